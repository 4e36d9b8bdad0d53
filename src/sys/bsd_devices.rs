//! The disks of macOS and the BSDs by their names in `/dev`, and the table of
//! mounts. What a disk says of itself it says to who may open it.

use std::ffi::CStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::DiskRegion;
use crate::sys::Device;

/// Every disk whose name, without the digits and letters of its part, is one of
/// `drivers`; each before its parts.
pub(super) fn devices(drivers: &[&str]) -> io::Result<Vec<Device>> {
    let mounts = mounts();
    let names = std::fs::read_dir("/dev")?.flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let disk = disk_of(&name, drivers)?.to_owned();
        Some((disk.len(), disk, name.len(), name))
    });
    let mut names: Vec<_> = names.collect();
    names.sort();
    let device = |(_, disk, _, name): (usize, String, usize, String)| {
        let path = Path::new("/dev").join(&name);
        let on_it = mounts.iter().filter(|(from, _)| *from == path);
        let mounted = on_it.map(|(_, point)| point.clone()).collect();
        let part_of = (disk != name).then(|| Path::new("/dev").join(disk));
        let mut device = Device { path, part_of, mounted, ..Device::default() };
        let open = super::open_source(&device.path);
        if let Ok(info) = open.and_then(|file| super::device_info(&file)) {
            device.describe(info);
        }
        device
    };
    Ok(names.into_iter().map(device).collect())
}

/// The disk that `name` is, or is a part of: `disk2` of `disk2s1`, `ada0` of `ada0p3`.
fn disk_of<'a>(name: &'a str, drivers: &[&str]) -> Option<&'a str> {
    let (driver, rest) = name.split_at(name.find(|character: char| character.is_ascii_digit())?);
    let digits = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
    drivers.contains(&driver).then(|| &name[..driver.len() + digits])
}

/// What is mounted, and where.
fn mounts() -> Vec<(PathBuf, PathBuf)> {
    // SAFETY: without a buffer the call counts.
    let count = unsafe { libc::getfsstat(std::ptr::null_mut(), 0, libc::MNT_NOWAIT) };
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: a structure of numbers and characters, for which zeros are valid.
    let mut table = vec![unsafe { std::mem::zeroed::<libc::statfs>() }; count];
    let bytes = std::mem::size_of_val(&table[..]);
    // SAFETY: the buffer has the length given.
    let count = unsafe { libc::getfsstat(table.as_mut_ptr(), bytes as _, libc::MNT_NOWAIT) };
    table.truncate(usize::try_from(count).unwrap_or(0));
    let path = |text: &[libc::c_char]| {
        // SAFETY: the kernel ends both texts within their arrays.
        let text = unsafe { CStr::from_ptr(text.as_ptr()) };
        PathBuf::from(std::ffi::OsStr::from_bytes(text.to_bytes()))
    };
    table.iter().map(|mount| (path(&mount.f_mntfromname), path(&mount.f_mntonname))).collect()
}

/// Where the device `rdev` lies on its whole disk: not known, so every device
/// counts as a disk of its own.
pub fn disk_region(rdev: u64) -> DiskRegion {
    DiskRegion { disk: rdev, start: 0 }
}

/// The devices that a file system lies on: what is in between is not asked.
pub fn devices_below(file_system: u64, _path: &Path) -> Vec<u64> {
    vec![file_system]
}
