//! Extended attributes on systems without them.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;

/// None.
pub fn extended_attributes(_file: &File) -> io::Result<Vec<OsString>> {
    Ok(Vec::new())
}

/// Never called, because there are none.
pub fn extended_attribute(_file: &File, _name: &OsStr) -> io::Result<Vec<u8>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// There is none.
pub fn remove_extended_attribute(_file: &File, _name: &OsStr) -> io::Result<()> {
    Ok(())
}

/// Never called, because there are none.
pub fn copy_extended_attribute(_from: &File, _to: &File, _name: &OsStr) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
