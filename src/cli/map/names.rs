//! Which files have bytes where, by a list as a batch takes it.

use std::path::Path;

use pcopy::Result;
use pcopy::error::quoted;
use pcopy::manifest::{self, ReadOptions, Run};
use pcopy::picture::{Names, Said};

use super::reading;
use crate::cli::render::usage;
use crate::cli::signals::Signals;

/// Reads a list of files.
///
/// # Errors
///
/// If it cannot be read or understood.
pub fn read(path: &Path, signals: &Signals) -> Result<Names> {
    let options =
        ReadOptions { manifest: Some(path), skip_unmappable: true, ..ReadOptions::default() };
    let list = reading(path, signals, |input| Ok(manifest::read(input, None, &options)))?;
    let list = list.map_err(|errors| usage(format!("{}: {errors}", quoted(path))))?;
    let mut pieces = Vec::new();
    for item in &list.items {
        for run in item.runs.pieces(0) {
            if let Run::Data(range) = run {
                let text = item.name.to_string_lossy().into_owned();
                pieces.push(Said { range, text });
            }
        }
    }
    Ok(Names::new(pieces))
}
