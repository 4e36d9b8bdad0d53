//! Extended attributes, on the systems that have them by file descriptor.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;

/// Names of the extended attributes of `file`.
pub fn extended_attributes(file: &File) -> io::Result<Vec<OsString>> {
    // Most files have few or none.
    let mut few = [0u8; 256];
    match rustix::fs::flistxattr(file, &mut few) {
        Ok(0) => return Ok(Vec::new()),
        Ok(_) | Err(rustix::io::Errno::RANGE) => {}
        Err(error) => return Err(error.into()),
    }
    let list = with_growing_buffer(|buffer| rustix::fs::flistxattr(file, buffer))?;
    let names = list.split(|&byte| byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| OsStr::from_bytes(name).to_owned()).collect())
}

/// The value of the extended attribute `name` of `file`.
pub fn extended_attribute(file: &File, name: &OsStr) -> io::Result<Vec<u8>> {
    with_growing_buffer(|buffer| rustix::fs::fgetxattr(file, name, buffer))
}

/// Gives `to` the extended attribute `name` of `from`.
pub fn copy_extended_attribute(from: &File, to: &File, name: &OsStr) -> io::Result<()> {
    let value = extended_attribute(from, name)?;
    Ok(rustix::fs::fsetxattr(to, name, &value, rustix::fs::XattrFlags::empty())?)
}

/// Takes the extended attribute `name` from `file`. Its not being there is no error.
pub fn remove_extended_attribute(file: &File, name: &OsStr) -> io::Result<()> {
    match rustix::fs::fremovexattr(file, name) {
        Err(error) if error != NO_ATTRIBUTE => Err(error.into()),
        _ => Ok(()),
    }
}

/// What the system says where an attribute is not there.
#[cfg(target_os = "linux")]
const NO_ATTRIBUTE: rustix::io::Errno = rustix::io::Errno::NODATA;
#[cfg(not(target_os = "linux"))]
const NO_ATTRIBUTE: rustix::io::Errno = rustix::io::Errno::NOATTR;

/// Calls `get` with more and more room until it suffices.
fn with_growing_buffer(
    mut get: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>,
) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 4096];
    loop {
        match get(&mut buffer) {
            Ok(len) => {
                buffer.truncate(len);
                return Ok(buffer);
            }
            Err(rustix::io::Errno::RANGE) => buffer.resize(2 * buffer.len(), 0),
            Err(error) => return Err(error.into()),
        }
    }
}
