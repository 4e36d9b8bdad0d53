//! The disks of Windows, each with its volumes.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use windows_sys::Win32::Storage::FileSystem::FILE_READ_ATTRIBUTES;

use super::super::windows_names::{Named, classify};
use super::{call, device};
use crate::sys::Device;

/// Every disk, each before its volumes; then the volumes of no known disk.
pub fn devices() -> io::Result<Vec<Device>> {
    let mut volumes = volumes();
    let mut found = Vec::new();
    for name in disk_names()? {
        let disk = disk(&name);
        let number = name.strip_prefix("PhysicalDrive").and_then(|number| number.parse().ok());
        let path = disk.path.clone();
        found.push(disk);
        let on_it = |volume: &Volume| number.is_some() && volume.disk == number;
        for volume in volumes.extract_if(.., |volume| on_it(volume)) {
            found.push(Device { part_of: Some(path.clone()), ..volume.device });
        }
    }
    found.extend(volumes.into_iter().map(|volume| volume.device));
    Ok(found)
}

/// Names of disks and optical drives, as `\\.\NAME` opens them.
fn disk_names() -> io::Result<Vec<String>> {
    let all = call::device_names()?;
    let mut names: Vec<String> = all
        .iter()
        .filter_map(|name| name.to_str())
        .filter(|name| name.starts_with("PhysicalDrive"))
        .filter(|name| matches!(classify(&path_of(name)), Named::Disk(_)))
        .map(str::to_owned)
        .collect();
    // PhysicalDrive2 before PhysicalDrive10.
    names.sort_by_key(|name| (name.len(), name.clone()));
    Ok(names)
}

fn path_of(name: &str) -> PathBuf {
    PathBuf::from(format!(r"\\.\{name}"))
}

fn disk(name: &str) -> Device {
    let mut device = Device { path: path_of(name), ..Device::default() };
    describe(&mut device, Path::new(&path_of(name)));
    device
}

/// Fills in what the device at `path` says: to an administrator everything, to
/// others what it says without being read.
fn describe(device: &mut Device, path: &Path) {
    let mut asking = OpenOptions::new();
    asking.access_mode(FILE_READ_ATTRIBUTES);
    let open = device::open(path, OpenOptions::new().read(true));
    let Ok(file) = open.or_else(|_| device::open(path, &asking)) else { return };
    match device::device_info(&file) {
        Ok(info) => device.describe(info),
        Err(_) => device::describe_unread(device, &file),
    }
}

/// A volume, and the number of the disk it lies on.
struct Volume {
    device: Device,
    disk: Option<u32>,
}

fn volumes() -> Vec<Volume> {
    let names = call::volumes().unwrap_or_default();
    names.iter().map(|name| volume(name)).collect()
}

fn volume(name: &OsStr) -> Volume {
    let mounted: Vec<PathBuf> =
        call::mount_points(name).unwrap_or_default().into_iter().map(PathBuf::from).collect();
    // By its letter where it has one: that is what people know it by.
    let letter = mounted.iter().filter_map(|point| point.to_str()).find(|point| point.len() == 3);
    let path = match letter {
        Some(root) => path_of(&root[..2]),
        None => device::without_end(name).into(),
    };
    let mut device = Device { path, mounted, ..Device::default() };
    let path = device.path.clone();
    describe(&mut device, &path);
    let parts =
        device::open_volume(name).map_or_else(|_| Vec::new(), |open: File| device::extents(&open));
    if device.size.is_none() && !parts.is_empty() {
        device.size = Some(parts.iter().map(|part| part.len).sum());
    }
    Volume { device, disk: parts.first().map(|part| part.disk) }
}
