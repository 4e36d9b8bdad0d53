//! What `filefrag -v FILE...` prints: the extents of files on a mounted file
//! system, in its blocks. The source is the device or image the file system
//! is on; where it begins there is the `base` of the options.
//!
//! Each file is a line with its size, a line of column titles, its extents,
//! and a line with their number; a file without that last line was cut off.
//! `unwritten` extents and gaps are holes, and the last extent ends with the
//! file. Every flag that is not known to leave the bytes at their place (inline,
//! encoded, not yet allocated) refuses the file by name, and so does btrfs,
//! whose addresses are not those of a device.

use std::io::BufRead;
use std::path::Path;

use super::super::{
    Item, Lines, ReadOptions, Reading, Run, Runs, decimal, in_radix, path_from_bytes, text,
};
use crate::error::Fault;
use crate::range::ByteRange;

/// Flags of an extent whose bytes are where it says.
const IN_PLACE: [&str; 4] = ["last", "merged", "shared", "eof"];
/// Flags of an extent that reads as zeros, whatever lies at its place.
const ZEROS: [&str; 2] = ["unwritten", "hole"];

/// Flags of an extent that has no place of its own, the plainest reason first.
const ELSEWHERE: [(&str, &str); 7] = [
    ("inline", "stored in the inode (inline): copy the file itself"),
    ("tail_packed", "stored beside the end of another file: copy the file itself"),
    ("encrypted", "encrypted: copy the file itself"),
    ("encoded", "compressed or encrypted (encoded): copy the file itself"),
    ("delalloc", "not written to its place yet (delalloc): sync and list again"),
    ("unknown_loc", "without a place (unknown_loc): sync and list again"),
    ("unknown", "without a place (unknown): sync and list again"),
];

/// File systems whose addresses are not those of a device, by magic number.
const MAPPED: [(&str, &str); 2] = [("9123683e", "btrfs"), ("ca451a4e", "bcachefs")];

/// A file whose extents are being read.
struct File {
    line: u64,
    name: Vec<u8>,
    size: u64,
    block: u64,
    pieces: Vec<Run>,
    /// Bytes of the file covered so far.
    covered: u64,
    unmappable: Option<String>,
    wrong: bool,
}

/// What the numbers of `filefrag -X` look like where they are read as decimal.
const TOO_EARLY: &str = "an extent that is said to reach the end of the file, and does not, as of numbers in \
     hexadecimal";

/// What is said of numbers that make no sense.
const NOT_UNDERSTOOD: &str = "an extent that is not understood (if filefrag was run with -X, its \
                              numbers are hexadecimal, which has no mark)";

/// Reads the output of `filefrag -v`.
pub(in crate::manifest) fn read(input: &mut dyn BufRead, reading: &mut Reading<'_>) {
    let mut lines = Lines::new(input);
    let mut file: Option<File> = None;
    let mut mapped = None;
    loop {
        let (number, line) = match lines.next() {
            Ok(None) => break,
            Ok(Some(line)) => line,
            Err(error) => return reading.unreadable(lines.number() + 1, &error),
        };
        if let Some(magic) = line.strip_prefix(b"Filesystem type is:") {
            let magic = text(magic.trim_ascii());
            mapped = MAPPED.iter().find(|row| row.0 == magic).map(|row| row.1);
        } else if line.starts_with(b"Filesystem cylinder groups") {
            // Said of ext2 and ext3, about no file.
        } else if line.starts_with(b"File size of ") {
            cut_off(file.take(), reading);
            file = header(number, line, mapped);
            if file.is_none() {
                reading.usage(number, "filefrag: this line about a file is not understood");
            }
        } else if let Some(this) = &mut file {
            if ends(line, &this.name) {
                file.take().into_iter().for_each(|file| finish(file, reading));
            } else if let Err(why) = extent(line, this, reading.options) {
                this.wrong = true;
                let is_of_radix = [NOT_UNDERSTOOD, TOO_EARLY].contains(&why);
                let fault = if is_of_radix { Fault::Radix } else { Fault::Other };
                reading.usage_of(number, fault, format!("filefrag: {why}"));
            }
        } else if !line.trim_ascii().is_empty() && !line.starts_with(b"#") {
            reading.usage(number, "filefrag: this line belongs to no file (was it run with -v?)");
        }
    }
    cut_off(file, reading);
}

fn cut_off(file: Option<File>, reading: &mut Reading<'_>) {
    if let Some(file) = file.filter(|file| !file.wrong) {
        reading.usage(
            file.line,
            format!("{:?}: the list of its extents was cut off", text(&file.name)),
        );
    }
}

/// `File size of NAME is SIZE (N blocks of BLOCK bytes)`.
fn header(number: u64, line: &[u8], mapped: Option<&str>) -> Option<File> {
    let line = line.strip_prefix(b"File size of ")?.strip_suffix(b" bytes)")?;
    let at = line.windows(4).rposition(|window| window == b" is ")?;
    let (name, rest) = (&line[..at], std::str::from_utf8(&line[at + 4..]).ok()?);
    let (size, rest) = rest.split_once(" (")?;
    let (_, block) = rest.split_once(" of ")?;
    Some(File {
        line: number,
        name: name.to_owned(),
        size: decimal(size.as_bytes())?,
        block: decimal(block.as_bytes()).filter(|&block| block > 0)?,
        pieces: Vec::new(),
        covered: 0,
        unmappable: mapped.map(|name| format!("addresses of {name} are not those of a device")),
        wrong: false,
    })
}

/// `NAME: N extents found`, after a file's extents.
fn ends(line: &[u8], name: &[u8]) -> bool {
    let rest = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(b": "));
    rest.is_some_and(|rest| rest.windows(7).any(|window| window == b" extent"))
}

/// ` EXT: LOGICAL.. LOGICAL: PHYSICAL.. PHYSICAL: LENGTH: [EXPECTED:] [FLAGS]`,
/// in blocks, both ends inclusive.
fn extent(line: &[u8], file: &mut File, options: &ReadOptions<'_>) -> Result<(), &'static str> {
    let line = std::str::from_utf8(line).map_err(|_| "an extent that is not text")?;
    if line.trim_start().starts_with("ext:") {
        return Ok(());
    }
    let mut columns = line.split(':').map(str::trim);
    let mut next = || columns.next().unwrap_or_default();
    let (_, logical, physical, length) = (next(), next(), next(), next());
    // Before the flags stands the expected block, where there is a gap.
    let flags = columns.next_back().unwrap_or_default();
    let flags: Vec<&str> = flags.split(',').map(str::trim).collect();
    let zeros = flags.iter().any(|flag| ZEROS.contains(flag));
    if let Some(why) = elsewhere(&flags, options.radix) {
        file.unmappable.get_or_insert(why);
    }
    if file.unmappable.is_some() {
        return Ok(());
    }
    let number = |text: &str| in_radix(text.trim().as_bytes(), options.radix);
    let blocks = |text: &str| {
        let (first, last) = text.split_once("..")?;
        ByteRange::new(number(first)?, number(last)?.checked_add(1)?)
    };
    let (logical, physical) = (blocks(logical), blocks(physical));
    let (logical, physical) = (logical.ok_or(NOT_UNDERSTOOD)?, physical.ok_or(NOT_UNDERSTOOD)?);
    let same = number(length) == Some(logical.len()) && logical.len() == physical.len();
    if !same || logical.is_empty() {
        return Err(NOT_UNDERSTOOD);
    }
    let past = "an extent ends past what 64 bits count";
    let (from, to) =
        (in_bytes(logical, file.block).ok_or(past)?, in_bytes(physical, file.block).ok_or(past)?);
    let to = to.rebase(0, options.base).ok_or(past)?;
    file.add(from, if zeros { Run::Hole(to.len()) } else { Run::Data(to) })?;
    if flags.contains(&"eof") && from.end() < file.size {
        return Err(TOO_EARLY);
    }
    Ok(())
}

/// Why an extent with `flags` has no place of its own; `None` if it has one.
fn elsewhere(flags: &[&str], radix: u32) -> Option<String> {
    if let Some((_, why)) = ELSEWHERE.iter().find(|(flag, _)| flags.contains(flag)) {
        return Some((*why).to_owned());
    }
    let is_known = |flag: &str| {
        // Where there are no flags, the column before them is the last.
        flag.is_empty()
            || in_radix(flag.as_bytes(), radix).is_some()
            || IN_PLACE.contains(&flag)
            || ZEROS.contains(&flag)
    };
    let unknown = flags.iter().find(|flag| !is_known(flag))?;
    Some(format!("an extent is {unknown}: copy the file itself"))
}

fn in_bytes(blocks: ByteRange, block: u64) -> Option<ByteRange> {
    ByteRange::new(blocks.start().checked_mul(block)?, blocks.end().checked_mul(block)?)
}

impl File {
    /// Adds the bytes at `at` of the file, after a hole if there is a gap.
    fn add(&mut self, at: ByteRange, run: Run) -> Result<(), &'static str> {
        if at.start() < self.covered {
            return Err("an extent lies before the end of the one above it");
        }
        let inside = at.intersect(ByteRange::to(self.size));
        if inside.is_empty() {
            // Reserved beyond the end of the file.
            return Ok(());
        }
        self.pieces.push(Run::Hole(inside.start() - self.covered));
        self.pieces.push(match run {
            Run::Data(range) => {
                Run::Data(range.split_at(range.start().saturating_add(inside.len())).0)
            }
            Run::Hole(_) => Run::Hole(inside.len()),
        });
        self.covered = inside.end();
        Ok(())
    }
}

fn finish(mut file: File, reading: &mut Reading<'_>) {
    if file.wrong {
        return;
    }
    let name = wanted_name(&file.name, reading.options.strip_prefix);
    if let Some(why) = file.unmappable {
        return reading.unmappable(file.line, &file.name, &why);
    }
    file.pieces.push(Run::Hole(file.size - file.covered));
    let (line, runs) = (file.line, Runs::from_pieces(file.pieces));
    let make = |name| Item { line, name, source: None, runs, dest_offset: 0, details: None };
    reading.push(name, make, line);
}

/// The name below the directory the files are taken from: without the prefix,
/// and without the `./` that find puts before it.
fn wanted_name<'n>(name: &'n [u8], prefix: Option<&Path>) -> &'n [u8] {
    let stripped = prefix.and_then(|prefix| path_from_bytes(name)?.strip_prefix(prefix).ok());
    let mut name = stripped.map_or(name, |path| path.as_os_str().as_encoded_bytes());
    while let Some(rest) = name.strip_prefix(b"./") {
        name = rest;
    }
    name
}
