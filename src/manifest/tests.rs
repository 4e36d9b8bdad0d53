//! Tests of all formats through the one door, `manifest::load` and its halves:
//! goldens are the items as JSON lines, and the errors as they are printed.

mod check;
mod disks;
mod foreign;
mod imports;
mod random;
mod rows;

use std::path::Path;

use super::{ErrorKind, Format, ReadOptions, load, read};

/// Options of a batch whose source `disk.img` has sectors of 512 bytes; the
/// one in `4k.img` has 4096, and of others nothing is known.
fn options() -> ReadOptions<'static> {
    ReadOptions {
        source: Some(Path::new("/dev/disk.img")),
        sector_of: &|source| match source.and_then(Path::to_str) {
            None => Some(512),
            Some("4k.img") => Some(4096),
            Some(_) => None,
        },
        ..ReadOptions::default()
    }
}

/// `input` reads as the items of `want`, each as a JSON line.
#[track_caller]
fn reads(format: Format, input: impl AsRef<[u8]>, want: &[&str]) {
    reads_with(&options(), format, input, want);
}

#[track_caller]
fn reads_with(options: &ReadOptions<'_>, format: Format, input: impl AsRef<[u8]>, want: &[&str]) {
    let manifest = match read(input.as_ref(), Some(format), options) {
        Ok(manifest) => manifest,
        Err(errors) => panic!("{format:?} was refused:\n{errors}"),
    };
    let items: Vec<String> = manifest
        .items
        .iter()
        .map(|item| serde_json::to_string(item).expect("an item is JSON"))
        .collect();
    assert_eq!(items, want, "{format:?}");
}

/// `input` is wrong as printed in `want`.
#[track_caller]
fn fails(format: Format, input: impl AsRef<[u8]>, kind: ErrorKind, want: &str) {
    fails_with(&options(), format, input, kind, want);
}

#[track_caller]
fn fails_with(
    options: &ReadOptions<'_>,
    format: Format,
    input: impl AsRef<[u8]>,
    kind: ErrorKind,
    want: &str,
) {
    match read(input.as_ref(), Some(format), options) {
        Ok(manifest) => panic!("{format:?} was read: {:?}", manifest.items),
        Err(errors) => {
            assert_eq!(errors.to_string(), want, "{format:?}");
            assert_eq!(errors.kind(), kind, "{want}");
        }
    }
}

/// The printed errors of `input` on a source of `len` bytes; `other.img` has
/// ten times as many.
fn load_errors(format: Format, input: &str, len: u64) -> Option<(ErrorKind, String)> {
    let size = |source: Option<&Path>| match source.and_then(Path::to_str) {
        None => Some(len),
        Some("other.img") => Some(len * 10),
        Some(_) => None,
    };
    let errors = load(input.as_bytes(), Some(format), &options(), size).err()?;
    Some((errors.kind(), errors.to_string()))
}
