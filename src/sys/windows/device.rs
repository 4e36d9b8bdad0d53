//! Disks and volumes: size, sectors, where they lie, and having one alone.
//!
//! A device is recognised by its name. What Windows answers about an open one
//! differs much between drivers, and Wine, where an image stands for a drive,
//! answers next to nothing: everything but the size may be missing.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION, ERROR_WRITE_PROTECT,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_READ_ATTRIBUTES, IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS,
};
use windows_sys::Win32::System::Ioctl::{
    FSCTL_ALLOW_EXTENDED_DASD_IO, FSCTL_DISMOUNT_VOLUME, FSCTL_LOCK_VOLUME, GET_LENGTH_INFORMATION,
    IOCTL_DISK_GET_LENGTH_INFO, IOCTL_DISK_IS_WRITABLE, IOCTL_DISK_UPDATE_PROPERTIES,
    IOCTL_STORAGE_GET_DEVICE_NUMBER, IOCTL_STORAGE_QUERY_PROPERTY, PropertyStandardQuery,
    STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR, STORAGE_DEVICE_NUMBER, STORAGE_PROPERTY_ID,
    STORAGE_PROPERTY_QUERY, StorageAccessAlignmentProperty, StorageDeviceProperty,
    StorageDeviceSeekPenaltyProperty,
};

use super::super::windows_names::{Named, classify};
use super::super::{DeviceInfo, DiskRegion, FileKind, Metadata};
use super::call::{self, SeekPenalty};
use super::{is, is_unsupported};
use crate::sys::Device;

/// Sector of a device that does not say: larger than most, so that requests
/// fit every device there is.
const UNKNOWN_SECTOR: u32 = 4096;

/// Opens the device at `path`.
pub(super) fn open(path: &Path, options: &OpenOptions) -> io::Result<File> {
    let file = options.open(path).map_err(explain)?;
    allow_last_sectors(&file);
    Ok(file)
}

/// Says what a denied access to a device means.
fn explain(error: io::Error) -> io::Error {
    if !is(&error, ERROR_ACCESS_DENIED) {
        return error;
    }
    let advice = "access denied: disks and volumes can only be opened by a program that was \
                  started as administrator (elevated)";
    io::Error::new(io::ErrorKind::PermissionDenied, advice)
}

/// Lets a volume be read to its very end: the sectors behind its file system
/// are otherwise refused. Only volumes know the request, and not all need it.
pub(super) fn allow_last_sectors(file: &File) {
    let _ = call::tell(file, FSCTL_ALLOW_EXTENDED_DASD_IO, &());
}

/// What the device `name`, open as `file`, is.
pub(super) fn facts(file: &File, name: &str) -> io::Result<Metadata> {
    let size = size(file)?;
    Ok(Metadata {
        node: FileKind::BlockDevice,
        size,
        device: 0,
        inode: 0,
        rdev: regions(file).first().copied().unwrap_or_else(|| named_region(name)),
        mode: 0,
        owner: 0,
        group: 0,
        links: 1,
        modified: (0, 0),
        changed: (0, 0),
        accessed: (0, 0),
        // File numbers are not given again here.
        created: None,
        allocated: size,
    })
}

/// Size in bytes. Never from the geometry, which rounds and which some invent.
fn size(file: &File) -> io::Result<u64> {
    let answer: io::Result<GET_LENGTH_INFORMATION> =
        call::ask(file, IOCTL_DISK_GET_LENGTH_INFO, &());
    match (answer, call::file_size(file)) {
        (Ok(answer), _) => Ok(u64::try_from(answer.Length).unwrap_or(0)),
        // An image that stands for a device is a file.
        (Err(_), Ok(size)) if size > 0 => Ok(size),
        (Err(error), _) => Err(error),
    }
}

/// What the device open as `file` says of itself.
pub fn device_info(file: &File) -> io::Result<DeviceInfo> {
    let alignment =
        property::<STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR>(file, StorageAccessAlignmentProperty);
    let (logical, physical) = match alignment {
        Ok(answer) => (answer.BytesPerLogicalSector, answer.BytesPerPhysicalSector),
        Err(_) => (0, 0),
    };
    let size = size(file)?;
    let logical_sector = if logical.is_power_of_two() {
        logical
    } else if size.is_multiple_of(u64::from(UNKNOWN_SECTOR)) {
        UNKNOWN_SECTOR
    } else {
        512
    };
    let penalty = property::<SeekPenalty>(file, StorageDeviceSeekPenaltyProperty);
    let identity = identity(file);
    let read_only = call::tell(file, IOCTL_DISK_IS_WRITABLE, &());
    Ok(DeviceInfo {
        size,
        logical_sector,
        physical_sector: physical.max(logical_sector),
        read_only: read_only.is_err_and(|error| is(&error, ERROR_WRITE_PROTECT)),
        rotational: penalty.ok().map(|answer| answer.incurs != 0),
        model: identity.model,
        serial: identity.serial,
        wwn: None,
        firmware: None,
    })
}

/// Size of a logical sector, as the device says it.
pub(super) fn logical_sector(file: &File) -> Option<u32> {
    let which = StorageAccessAlignmentProperty;
    let answer = property::<STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR>(file, which);
    answer.ok().map(|answer| answer.BytesPerLogicalSector)
}

/// Fills in what a device says that may not be read.
pub(super) fn describe_unread(device: &mut Device, file: &File) {
    let alignment =
        property::<STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR>(file, StorageAccessAlignmentProperty).ok();
    device.logical_sector = alignment.as_ref().map(|answer| answer.BytesPerLogicalSector);
    device.physical_sector = alignment.as_ref().map(|answer| answer.BytesPerPhysicalSector);
    let penalty = property::<SeekPenalty>(file, StorageDeviceSeekPenaltyProperty).ok();
    device.rotational = penalty.map(|answer| answer.incurs != 0);
    let words = identity(file);
    (device.model, device.serial) = (words.model, words.serial);
}

fn query(property: STORAGE_PROPERTY_ID) -> STORAGE_PROPERTY_QUERY {
    STORAGE_PROPERTY_QUERY {
        PropertyId: property,
        QueryType: PropertyStandardQuery,
        AdditionalParameters: [0],
    }
}

fn property<T: call::Plain>(file: &File, which: STORAGE_PROPERTY_ID) -> io::Result<T> {
    call::ask(file, IOCTL_STORAGE_QUERY_PROPERTY, &query(which))
}

/// The words a device has for itself.
#[derive(Default, PartialEq, Eq, Debug)]
struct Words {
    model: Option<String>,
    serial: Option<String>,
}

fn identity(file: &File) -> Words {
    let query = query(StorageDeviceProperty);
    let answer = call::ask_bytes(file, IOCTL_STORAGE_QUERY_PROPERTY, &query, 4096);
    answer.map_or_else(|_| Words::default(), |bytes| words(&bytes))
}

/// Reads a STORAGE_DEVICE_DESCRIPTOR: at fixed places it says where in the
/// same bytes its texts begin.
fn words(descriptor: &[u8]) -> Words {
    let text = |field: usize| {
        let place = descriptor.get(field..field + 4)?.try_into().ok()?;
        let start = usize::try_from(u32::from_le_bytes(place)).ok().filter(|&start| start > 0)?;
        let text = descriptor.get(start..)?.split(|&byte| byte == 0).next()?;
        let text = String::from_utf8_lossy(text).trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    // VendorIdOffset, ProductIdOffset, SerialNumberOffset.
    let names: Vec<String> = [text(12), text(16)].into_iter().flatten().collect();
    let model = (!names.is_empty()).then(|| names.join(" "));
    Words { model, serial: text(24) }
}

/// Bits of a region's number that say where it begins, in units of 512 bytes.
const START_BITS: u32 = 48;

/// Number of the part of disk `disk` that begins at byte `start`. The type
/// keeps optical drives, which are counted for themselves, from disks.
fn region(device_type: u32, disk: u32, start: u64) -> u64 {
    let which = u64::from(disk & 0x3FF) << 5 | u64::from(device_type & 0x1F);
    which << START_BITS | (start / 512) & ((1 << START_BITS) - 1)
}

/// Number of a device that says nothing but its name: FNV-1a of the name.
fn named_region(name: &str) -> u64 {
    let hash = name.to_ascii_uppercase().bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The highest bit tells it from the others; no start, so a disk of its own.
    (hash | 1 << 63) & !((1 << START_BITS) - 1)
}

/// Where the device with number `represents` lies on its whole disk.
pub fn disk_region(rdev: u64) -> DiskRegion {
    let starts = (1 << START_BITS) - 1;
    DiskRegion { disk: rdev & !starts, start: (rdev & starts) * 512 }
}

/// The parts of disks that the device open as `file` lies on.
fn regions(file: &File) -> Vec<u64> {
    /// FILE_DEVICE_DISK: volumes lie on nothing else.
    const DISK: u32 = 7;
    let extents = extents(file);
    if !extents.is_empty() {
        return extents.into_iter().map(|part| region(DISK, part.disk, part.start)).collect();
    }
    let number: io::Result<STORAGE_DEVICE_NUMBER> =
        call::ask(file, IOCTL_STORAGE_GET_DEVICE_NUMBER, &());
    number.map_or_else(|_| Vec::new(), |it| vec![region(it.DeviceType, it.DeviceNumber, 0)])
}

/// Part of a disk that belongs to a volume.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Part {
    pub disk: u32,
    pub start: u64,
    pub len: u64,
}

/// The parts of disks that a volume consists of; nothing for a whole disk.
pub(super) fn extents(volume: &File) -> Vec<Part> {
    // Room for the parts of a volume that is spread over many disks.
    let room = 8 + 24 * 128;
    let answer = call::ask_bytes(volume, IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS, &(), room);
    answer.map_or_else(|_| Vec::new(), |bytes| parse_extents(&bytes))
}

/// Reads VOLUME_DISK_EXTENTS: a count, and from byte 8 on 24 bytes for each.
fn parse_extents(bytes: &[u8]) -> Vec<Part> {
    let number = |bytes: &[u8]| {
        let mut eight = [0; 8];
        eight[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(eight)
    };
    let Some((head, parts)) = bytes.split_at_checked(8) else { return Vec::new() };
    let count = usize::try_from(number(&head[..4])).unwrap_or(0);
    let part = |bytes: &[u8]| Part {
        disk: number(&bytes[..4]) as u32,
        start: number(&bytes[8..16]),
        len: number(&bytes[16..24]),
    };
    parts.chunks_exact(24).take(count).map(part).collect()
}

/// A volume, opened for questions only, which any user may.
pub(super) fn open_volume(name: &OsStr) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.access_mode(FILE_READ_ATTRIBUTES);
    options.open(without_end(name))
}

/// The volume itself: its name without the separator at the end, which would
/// mean the directory at its root.
pub(super) fn without_end(name: &OsStr) -> OsString {
    let name = name.to_string_lossy();
    name.strip_suffix('\\').unwrap_or(&name).into()
}

/// The volumes, open for questions, whose file system has the serial number
/// `file_system`.
fn volumes_of(file_system: u64) -> Vec<File> {
    let has_it = |volume: &OsString| {
        let serial = call::volume_information(volume).map(|(_, serial)| u64::from(serial));
        serial.is_ok_and(|serial| serial == file_system)
    };
    let volumes = call::volumes().unwrap_or_default();
    volumes.iter().filter(|volume| has_it(volume)).flat_map(|volume| open_volume(volume)).collect()
}

/// The devices that the file system with the serial number `file_system` lies on.
pub fn devices_below(file_system: u64, _path: &Path) -> Vec<u64> {
    volumes_of(file_system).iter().flat_map(regions).collect()
}

/// Whether the disk that a file system lies on spins, if it says.
pub(super) fn is_rotational(file_system: u64) -> Option<bool> {
    let spins = |volume: &File| property::<SeekPenalty>(volume, StorageDeviceSeekPenaltyProperty);
    let answers: Vec<bool> = volumes_of(file_system)
        .iter()
        .filter_map(|volume| spins(volume).ok().map(|answer| answer.incurs != 0))
        .collect();
    answers.into_iter().reduce(|one, other| one || other)
}

/// Name of a device that a file can be called by.
pub fn device_name(path: &Path) -> OsString {
    let Named::Disk(name) = classify(path) else {
        return path.file_name().unwrap_or_default().to_owned();
    };
    let plain = |character: &char| character.is_ascii_alphanumeric() || *character == '-';
    name.chars().filter(plain).collect::<String>().into()
}

/// What keeps others off a device while it is written: locks on the volumes
/// that lie on it.
pub struct DeviceLock {
    /// Open, locked and dismounted.
    volumes: Vec<File>,
}

impl DeviceLock {
    /// Lets others at the device, which has new content, perhaps new partitions.
    pub fn release(self, device: &File) {
        // Only a whole disk knows the request. What it finds is shown by the
        // system; it is not part of the copy, which is complete.
        let _ = call::tell(device, IOCTL_DISK_UPDATE_PROPERTIES, &());
        drop(self.volumes);
    }
}

/// Opens a device for writing, and takes every volume on it away from everyone
/// else: fails with `ResourceBusy` if one is in use.
pub fn open_device(path: &Path) -> io::Result<(File, DeviceLock)> {
    let Named::Disk(_) = classify(path) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not the name of a disk or volume",
        ));
    };
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    let file = open(path, &options)?;
    let number: io::Result<STORAGE_DEVICE_NUMBER> =
        call::ask(&file, IOCTL_STORAGE_GET_DEVICE_NUMBER, &());
    let is_disk = extents(&file).is_empty();
    let mut volumes = Vec::new();
    match number {
        Ok(number) if is_disk => {
            for volume in volumes_on(number.DeviceNumber)? {
                let volume = open(Path::new(&without_end(&volume)), &options)?;
                take(&volume)?;
                volumes.push(volume);
            }
        }
        _ => take(&file)?,
    }
    Ok((file, DeviceLock { volumes }))
}

/// Locks a volume, and ends the use of its file system.
fn take(volume: &File) -> io::Result<()> {
    for request in [FSCTL_LOCK_VOLUME, FSCTL_DISMOUNT_VOLUME] {
        match call::tell(volume, request, &()) {
            Err(error)
                if is(&error, ERROR_ACCESS_DENIED) || is(&error, ERROR_SHARING_VIOLATION) =>
            {
                return Err(io::ErrorKind::ResourceBusy.into());
            }
            // No volume, so nothing that could be mounted.
            Err(error) if is_unsupported(&error) => {}
            result => result?,
        }
    }
    Ok(())
}

/// The volumes that lie on disk `disk`, wholly or in part.
fn volumes_on(disk: u32) -> io::Result<Vec<OsString>> {
    let on_disk = |volume: &OsString| {
        let parts = open_volume(volume).map_or_else(|_| Vec::new(), |open| extents(&open));
        parts.iter().any(|part| part.disk == disk)
    };
    Ok(call::volumes()?.into_iter().filter(on_disk).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_is_read_by_its_own_places() {
        let mut bytes = vec![0; 40];
        (bytes[12], bytes[16], bytes[24]) = (40, 45, 51);
        bytes.extend(b"ACME\0Disk \0 S1\0");
        let expected = Words { model: Some("ACME Disk".into()), serial: Some("S1".into()) };
        assert_eq!(words(&bytes), expected);
        assert_eq!(words(&[]), Words::default());
        let mut lost = vec![0xFF; 40];
        lost[24] = 0;
        assert_eq!(words(&lost).model, None);
    }

    #[test]
    fn extents_are_read_as_far_as_they_go() {
        let mut bytes = vec![2, 0, 0, 0, 0, 0, 0, 0];
        for disk in [1u8, 3] {
            bytes.extend([disk, 0, 0, 0, 0, 0, 0, 0]);
            bytes.extend(1_048_576u64.to_le_bytes());
            bytes.extend(4096u64.to_le_bytes());
        }
        let part = |disk| Part { disk, start: 1_048_576, len: 4096 };
        assert_eq!(parse_extents(&bytes), [part(1), part(3)]);
        assert_eq!(parse_extents(&bytes[..40]), [part(1)]);
        assert_eq!(parse_extents(&[]), []);
    }

    #[test]
    fn a_volume_lies_on_its_disk() {
        let volume = region(7, 2, 1 << 20);
        assert_eq!(disk_region(volume), DiskRegion { disk: region(7, 2, 0), start: 1 << 20 });
        assert_ne!(region(7, 2, 0), region(2, 2, 0));
        let named = named_region("X:");
        assert_eq!(disk_region(named), DiskRegion { disk: named, start: 0 });
        assert_eq!(named, named_region("x:"));
    }

    #[test]
    fn devices_have_names_for_files() {
        for (path, name) in
            [(r"\\.\X:", "X"), (r"\\.\PhysicalDrive1", "PhysicalDrive1"), (r"C:\a\b", "b")]
        {
            assert_eq!(device_name(Path::new(path)), name);
        }
    }
}
