//! The list of what a batch is to copy: its items, how they are read from
//! any of the formats, and every check that needs no destination.
//!
//! [`load`] is the usual way in: it reads a whole manifest, checks it against
//! the sizes of the sources, and returns either all items or all errors, each
//! with its line, so that nothing is written on the word of a list that is
//! wrong on its last line. [`read`] and [`check`] are its two halves; a batch
//! takes what [`read_lenient`] found and does the other half itself, because it
//! is the one to open the sources.
//!
//! `formats` has one file each; they hand what they find to `Reading`. This room must not know how bytes move, nor open anything:
//! sizes and sector sizes of sources are asked of the caller.

mod bounds;
mod check;
mod clash;
mod columns;
mod error;
mod format;
mod formats;
mod item;
mod lines;
mod name;
mod number;
mod reading;
mod row;
mod settle;
mod siblings;
mod time;

pub(crate) use bounds::{LONGEST_TEXT, Pieces};
pub(crate) use check::{NoSource, check_apart, check_with, no_source};
pub use check::{check, refuse_containers};
pub use columns::{BadColumns, Columns};
pub use error::{ErrorKind, ManifestError, ManifestErrors};
pub use format::{Format, UnknownFormat};
pub use item::{Details, Item, Run, Runs};
pub use reading::{AreaStatuses, Manifest, ReadOptions};
pub use settle::{Lenience, settle};

pub(crate) use lines::{Lines, text};
pub(crate) use name::path_from_bytes;
pub(crate) use number::{decimal, in_radix};
pub(crate) use reading::Reading;
pub(crate) use row::{Field, Piece, Row, Value};
pub(crate) use time::parse as parse_time;

#[cfg(test)]
mod tests;

use std::io::{BufRead, Cursor, Read};
use std::path::Path;

/// How much of the input is looked at to tell the format: more than the
/// comment `bmaptool` writes before its root element.
const HEAD_BYTES: u64 = 64 * 1024;

/// Reads a manifest and checks it whole.
///
/// `source_len` tells the size in bytes of a source (`None` is the one named
/// for the whole batch), or `None` if there is no such source.
///
/// # Errors
///
/// Every error of syntax and every refusal, in order of lines.
pub fn load(
    input: impl Read,
    format: Option<Format>,
    options: &ReadOptions<'_>,
    source_len: impl Fn(Option<&Path>) -> Option<u64>,
) -> Result<Manifest, ManifestErrors> {
    let (manifest, mut errors) = read_lenient(input, format, options);
    if let Err(refused) = check(&manifest.items, source_len) {
        errors.merge(refused);
    }
    errors.or(manifest)
}

/// Reads a manifest; `None` for the format finds it out from
/// [`ReadOptions::manifest`] and the first bytes.
///
/// # Errors
///
/// Every row that could not be understood, in order of lines.
pub fn read(
    input: impl Read,
    format: Option<Format>,
    options: &ReadOptions<'_>,
) -> Result<Manifest, ManifestErrors> {
    let (manifest, errors) = read_lenient(input, format, options);
    errors.or(manifest)
}

/// The rows that could be understood, and the errors of those that could not:
/// for a caller who checks those rows as well, and tells of all errors at once.
pub fn read_lenient(
    input: impl Read,
    format: Option<Format>,
    options: &ReadOptions<'_>,
) -> (Manifest, ManifestErrors) {
    let mut reading = Reading::new(options);
    let mut input = std::io::BufReader::with_capacity(1 << 16, input);
    let mut head = Vec::new();
    if let Err(error) = input.by_ref().take(HEAD_BYTES).read_to_end(&mut head) {
        reading.refuse(0, format!("cannot read the manifest: {error}"));
        return reading.finish();
    }
    if head.starts_with(b"\xFF\xFE") || head.starts_with(b"\xFE\xFF") {
        reading.usage(1, "the manifest is UTF-16: save it as UTF-8");
        return reading.finish();
    }
    let bom = if head.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
    // Columns that are named are those of a table.
    let table = || (!options.columns.is_own()).then_some(Format::Csv);
    match format.or_else(|| Format::detect(options.manifest, &head[bom..])).or_else(table) {
        Some(format) => {
            let mut head = Cursor::new(head);
            head.set_position(bom as u64);
            dispatch(format, &mut head.chain(input), &mut reading);
        }
        // Said in the end, as of a list in any other form.
        None if says_nothing(&head[bom..]) => {}
        None => reading.usage(
            1,
            format!(
                "cannot tell the format: name it ({}), or begin a plain list with `#pcopy v1 \
                 end=exclusive unit=bytes`",
                Format::names()
            ),
        ),
    }
    reading.finish()
}

/// Whether `head` is all of a list that has no lines but blank ones and comments.
fn says_nothing(head: &[u8]) -> bool {
    let mut lines = head.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    head.len() < HEAD_BYTES as usize && lines.all(|line| matches!(line.first(), None | Some(b'#')))
}

/// The table of formats.
fn dispatch(format: Format, input: &mut dyn BufRead, reading: &mut Reading<'_>) {
    match format {
        Format::Csv => formats::csv::read(input, b',', reading),
        Format::Tsv => formats::csv::read(input, b'\t', reading),
        Format::Jsonl => formats::jsonl::read(input, reading),
        Format::Plain => formats::plain::read(input, reading),
        Format::Dfxml => formats::dfxml::read(input, reading),
        Format::Filefrag => formats::filefrag::read(input, reading),
        Format::Mapfile => formats::mapfile::read(input, reading),
        Format::Bmap => formats::bmap::read(input, reading),
        Format::Mmls => formats::mmls::read(input, reading),
        Format::Sfdisk => formats::sfdisk::read(input, reading),
        Format::Parted => formats::parted::read(input, reading),
        Format::Lsblk => formats::lsblk::read(input, reading),
        Format::QemuMap => formats::qemu_map::read(input, reading),
        Format::Rawprogram => formats::rawprogram::read(input, reading),
    }
}
