//! What `qemu-img map --output=json` prints: where in an image file the bytes of
//! the disk in it are. All go to one destination, each where it is on the disk;
//! what is zeros there is a hole of the list.
//!
//! Positions are those of the file, so a disk that is packed in a container is
//! taken out of it. What is compressed, or in the file that an image is based on,
//! has no place there.

use std::io::{BufRead, Read};

use serde::Deserialize;

use super::super::{Details, Item, Reading, Run, Runs};
use crate::range::ByteRange;

/// The longest JSON taken: half a million extents fit.
const LONGEST: u64 = 64 << 20;

/// An extent of the disk.
#[derive(Deserialize)]
struct Extent {
    start: u64,
    length: u64,
    #[serde(default)]
    depth: u64,
    data: bool,
    #[serde(default)]
    zero: bool,
    #[serde(default)]
    compressed: bool,
    offset: Option<u64>,
}

/// Reads the output of `qemu-img map --output=json`.
pub(in crate::manifest) fn read(mut input: &mut dyn BufRead, reading: &mut Reading<'_>) {
    let mut text = Vec::new();
    if let Err(error) = Read::take(&mut input, LONGEST).read_to_end(&mut text) {
        return reading.unreadable(1, &error);
    }
    if text.len() as u64 == LONGEST {
        return reading.usage(1, "qemu-img map: longer than 64 MiB");
    }
    let extents = match serde_json::from_slice::<Vec<Extent>>(&text) {
        Ok(extents) => extents,
        Err(error) => return reading.usage(error.line() as u64, format!("qemu-img map: {error}")),
    };
    reading.takes_container();
    let name = reading.only_name();
    let end = extents.iter().filter_map(|extent| extent.start.checked_add(extent.length)).max();
    // An extent a line, as it is printed.
    for (line, extent) in (1..).zip(&extents) {
        let run = match extent.run(reading.options.base) {
            Ok(run) => run,
            Err(Wrong::Past) => {
                let message = "qemu-img map: an extent ends past what 64 bits count";
                return reading.usage(line, message);
            }
            Err(Wrong::Elsewhere(why)) => {
                reading.unmappable(line, name.as_os_str().as_encoded_bytes(), why);
                continue;
            }
        };
        reading.items.push(Item {
            line,
            name: name.clone().into(),
            source: None,
            runs: Runs::from_pieces([run]),
            dest_offset: extent.start,
            details: Some(Box::new(Details { file_len: end, ..Details::default() })),
        });
    }
}

/// Why an extent cannot be taken.
enum Wrong {
    Past,
    /// Its bytes are not at a place of the file.
    Elsewhere(&'static str),
}

impl Extent {
    fn run(&self, base: u64) -> Result<Run, Wrong> {
        self.start.checked_add(self.length).ok_or(Wrong::Past)?;
        if !self.data {
            return match self.zero {
                true => Ok(Run::Hole(self.length)),
                false => Err(Wrong::Elsewhere("what an extent holds is not known")),
            };
        }
        match self.offset {
            _ if self.depth > 0 => {
                Err(Wrong::Elsewhere("bytes are in the file that the image is based on"))
            }
            _ if self.compressed => Err(Wrong::Elsewhere("bytes are compressed")),
            None => Err(Wrong::Elsewhere("bytes have no place in the file")),
            Some(offset) => ByteRange::with_len(offset, self.length)
                .and_then(|range| range.rebase(0, base))
                .map(Run::Data)
                .ok_or(Wrong::Past),
        }
    }
}
