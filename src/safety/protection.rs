//! Whether a source is protected against being written while it is read, as
//! evidence has to be.
//!
//! Nothing here protects anything: that is for a write blocker, the flag of the
//! kernel or a mode, which an administrator sets before.

use std::path::Path;

use crate::devices;
use crate::error::{Refusal, Unprotected};
use crate::range::ByteRange;
use crate::source::OpenSource;
use crate::sys::{self, FileKind};

/// Refuses a source that could be written: `open`, if it is a file or a device, and
/// any other by its `path`.
///
/// # Errors
///
/// [`Refusal::Unprotected`].
pub fn check(open: Option<&OpenSource>, path: &Path) -> Result<(), Refusal> {
    match unprotected(open) {
        None => Ok(()),
        Some(why) => Err(Refusal::Unprotected { path: path.to_owned(), why }),
    }
}

/// What could change the source, which is `open` if it is a file or a device; `None`
/// if nothing could.
pub fn unprotected(open: Option<&OpenSource>) -> Option<Unprotected> {
    let Some(open) = open else { return Some(Unprotected::Unknown) };
    open.files().iter().find_map(of_one)
}

fn of_one(open: &OpenSource) -> Option<Unprotected> {
    let (file, facts) = (open.file.as_file(), &open.facts);
    // A mount made before a flag was set may write even so.
    if let Some(user) = sys::writers(file, facts, ByteRange::to(u64::MAX)) {
        return Some(Unprotected::Used(user));
    }
    if facts.node == FileKind::BlockDevice {
        return of_device(open);
    }
    let is_protected = sys::is_mounted_read_only(file)
        || sys::is_immutable(file)
        || file.metadata().is_ok_and(|facts| facts.permissions().readonly());
    (!is_protected).then_some(Unprotected::File)
}

/// The flag of a partition says nothing of what is written to its disk.
fn of_device(open: &OpenSource) -> Option<Unprotected> {
    let flag = sys::device_info(open.file.as_file()).map(|info| info.read_only);
    match flag {
        Ok(false) => return Some(Unprotected::Device),
        Ok(true) => {}
        Err(_) => return Some(Unprotected::UnknownDevice),
    }
    let disk = devices::at(&open.path)?.part_of?;
    let is_protected = devices::at(&disk).is_some_and(|disk| disk.read_only == Some(true));
    (!is_protected).then_some(Unprotected::Disk(disk))
}
