//! The block devices as sysfs lists them, and where they are mounted.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::{attribute, parse_device};
use crate::sys::Device;

/// Where the kernel tells of every btrfs that is mounted.
const BTRFS: &str = "/sys/fs/btrfs";

/// Every block device, each disk before its partitions; without a size where it
/// has no medium.
pub fn devices() -> io::Result<Vec<Device>> {
    let mounts = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let swaps = swap_areas();
    let mut found = Vec::new();
    for disk in folders(Path::new("/sys/block"))? {
        let first = found.len();
        let mut device = describe(&disk, &disk);
        device.model = attribute(&disk, "device/model").or_else(|| stands_on(&disk));
        device.serial = serial(&disk);
        device.wwn = wwn(&disk);
        device.firmware = firmware(&disk);
        if device.size.is_none() && is_virtual_disk(&disk) {
            // A loop device or the like that stands for nothing, of which there are many.
            continue;
        }
        let path = device.path.clone();
        found.push(device);
        for part in folders(&disk)?.iter().filter(|folder| folder.join("partition").exists()) {
            found.push(Device { part_of: Some(path.clone()), ..describe(part, &disk) });
        }
        found[first + 1..].sort_by_key(|part| (part.path.as_os_str().len(), part.path.clone()));
    }
    for device in &mut found {
        let number = attribute(&sysfs_of(&device.path), "dev").unwrap_or_default();
        device.mounted = mount_points(&mounts, &number, &device.path);
        if swaps.contains(&device.path) {
            device.mounted.push("[swap]".into());
        }
    }
    Ok(found)
}

/// Whether somebody has the device at `path` for itself, and it is neither
/// mounted, nor swap, nor part of another device.
pub(in crate::sys) fn is_claimed_for_a_moment(path: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let claimed = rustix::fs::open(path, flags, Mode::empty());
    if !claimed.is_err_and(|error| error == rustix::io::Errno::BUSY) {
        return false;
    }
    let (Ok(path), Ok(devices)) = (std::fs::canonicalize(path), devices()) else { return false };
    let is_used = |device: &Device| {
        let is_held =
            || folders(&sysfs_of(&device.path).join("holders")).is_ok_and(|f| !f.is_empty());
        !device.mounted.is_empty() || is_held()
    };
    let mut parts = devices.iter().filter(|device| {
        device.path == path || device.part_of.as_ref().is_some_and(|disk| *disk == path)
    });
    !parts.any(is_used)
}

/// The files and devices that are swapped on.
pub(super) fn swap_areas() -> Vec<PathBuf> {
    let table = std::fs::read("/proc/swaps").unwrap_or_default();
    // A line for the columns comes first.
    let areas = lines(&table).skip(1).filter_map(|line| {
        line.split(|byte| byte.is_ascii_whitespace()).next().filter(|name| !name.is_empty())
    });
    areas.map(path_of).collect()
}

/// What a device that is not hardware of its own stands on.
pub(super) fn slaves(device: &Path) -> Vec<u64> {
    numbers(&device.join("slaves"))
}

/// All devices of the btrfs that has `device`.
pub(super) fn companions(device: u64) -> Vec<u64> {
    let all = folders(Path::new(BTRFS)).unwrap_or_default();
    let numbers = |folder: PathBuf| numbers(&folder.join("devices"));
    all.into_iter().map(numbers).find(|numbers| numbers.contains(&device)).unwrap_or_default()
}

/// All devices of the btrfs that calls itself `id`.
pub(super) fn of_btrfs(id: [u8; 16]) -> Vec<u64> {
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let uuid = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
    numbers(&Path::new(BTRFS).join(uuid).join("devices"))
}

/// Numbers of the devices in `folder`.
fn numbers(folder: &Path) -> Vec<u64> {
    let devices = folders(folder).unwrap_or_default();
    devices.iter().filter_map(|device| parse_device(&attribute(device, "dev")?)).collect()
}

/// What the file system that `path` lies on, or would be made on, is mounted from.
pub(super) fn mounted_from(path: &Path) -> Option<PathBuf> {
    let there = path.ancestors().find_map(|path| match path.as_os_str().is_empty() {
        true => std::fs::canonicalize(".").ok(),
        false => std::fs::canonicalize(path).ok(),
    })?;
    mount_source(&std::fs::read("/proc/self/mountinfo").ok()?, &there)
}

/// What is mounted deepest on the way to `path`; the last where several are.
fn mount_source(mountinfo: &[u8], path: &Path) -> Option<PathBuf> {
    let mounts = lines(mountinfo).filter_map(|line| {
        let fields: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
        let dash = fields.iter().position(|field| *field == b"-")?;
        Some((path_of(fields.get(4)?), path_of(fields.get(dash + 2)?)))
    });
    let on_the_way = mounts.filter(|(point, _)| path.starts_with(point));
    on_the_way.max_by_key(|(point, _)| point.components().count()).map(|(_, source)| source)
}

/// The number of the block device at `path`.
pub(super) fn device_number(path: &Path) -> Option<u64> {
    use std::os::unix::fs::FileTypeExt;
    let facts = std::fs::metadata(path).ok()?;
    facts.file_type().is_block_device().then(|| facts.rdev())
}

/// The folders in `folder`, by name.
pub(super) fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    Ok(folders)
}

/// What sysfs says of the device in `folder`, which is `disk` or a part of it.
fn describe(folder: &Path, disk: &Path) -> Device {
    let number = |folder: &Path, name| attribute(folder, name)?.parse().ok();
    Device {
        path: path_in_dev(folder),
        // Counted in units of 512 bytes, whatever the sector size; 0 without a medium.
        size: attribute(folder, "size")
            .and_then(|size| size.parse::<u64>().ok()?.checked_mul(512))
            .filter(|&size| size > 0),
        logical_sector: number(disk, "queue/logical_block_size"),
        physical_sector: number(disk, "queue/physical_block_size"),
        rotational: attribute(disk, "queue/rotational").map(|flag| flag == "1"),
        read_only: attribute(folder, "ro").map(|flag| flag == "1"),
        ..Device::default()
    }
}

/// Whether no hardware is behind it.
fn is_virtual_disk(disk: &Path) -> bool {
    let place = std::fs::canonicalize(disk).unwrap_or_default();
    place.to_string_lossy().contains("/virtual/")
}

/// Where the node of the device in `folder` usually is.
pub(super) fn path_in_dev(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    // In sysfs a slash of a name is an exclamation mark.
    Path::new("/dev").join(name.replace('!', "/"))
}

/// The serial number of the disk in `folder`: of NVMe and MMC a text, of SCSI and SATA
/// in a page of the drive.
pub(super) fn serial(folder: &Path) -> Option<String> {
    attribute(folder, "device/serial")
        .or_else(|| attribute(folder, "serial"))
        .or_else(|| unit_serial(&std::fs::read(folder.join("device/vpd_pg80")).ok()?))
        .or_else(|| attribute(folder, "device/wwid"))
}

/// The text of a page 80h of vital product data (SPC): four bytes before it, of which
/// the last two are its length.
fn unit_serial(page: &[u8]) -> Option<String> {
    let (head, rest) = page.split_at_checked(4)?;
    let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let text = std::str::from_utf8(rest.get(..len)?).ok()?.trim_matches(['\0', ' ']);
    (head[1] == 0x80 && !text.is_empty()).then(|| text.to_owned())
}

/// What names the disk in `folder` anywhere in the world.
pub(super) fn wwn(folder: &Path) -> Option<String> {
    attribute(folder, "wwid").or_else(|| attribute(folder, "device/wwid"))
}

/// The version of the firmware of the disk in `folder`: of NVMe, SCSI and SATA, MMC.
pub(super) fn firmware(folder: &Path) -> Option<String> {
    let names = ["device/firmware_rev", "device/rev", "device/fwrev"];
    names.into_iter().find_map(|name| attribute(folder, name))
}

fn stands_on(disk: &Path) -> Option<String> {
    let file = attribute(disk, "loop/backing_file").map(|file| format!("loop device on {file}"));
    file.or_else(|| attribute(disk, "dm/name").map(|name| format!("device mapper, {name}")))
}

fn sysfs_of(device: &Path) -> PathBuf {
    let name = device.strip_prefix("/dev").unwrap_or(device).to_string_lossy().replace('/', "!");
    Path::new("/sys/class/block").join(name)
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n')
}

/// Where the device with this number is mounted, as mountinfo has it. Some
/// file systems (btrfs) show a number of their own there: then the name counts.
pub(super) fn mount_points(mountinfo: &[u8], number: &str, path: &Path) -> Vec<PathBuf> {
    let mut points: Vec<PathBuf> = lines(mountinfo)
        .filter_map(|line| {
            let fields: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
            // Any number of optional fields ends in a dash; then type and source.
            let dash = fields.iter().position(|field| *field == b"-")?;
            let is_it = fields.get(2) == Some(&number.as_bytes())
                || fields.get(dash + 2).is_some_and(|source| path_of(source) == path);
            is_it.then(|| fields.get(4).map(|point| path_of(point))).flatten()
        })
        .collect();
    points.dedup();
    points
}

/// A path in which the kernel has written spaces and the like as `\040`.
fn path_of(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        rest = tail;
        let octal = tail
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(octal.unwrap_or(*first));
        if octal.is_some() {
            rest = &tail[3..];
        }
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_found_by_number_and_by_name() {
        let mountinfo = b"\
30 1 8:1 / / rw - ext4 /dev/sda1 rw
31 1 8:2 / /with\\040space rw shared:1 master:2 - ext4 /dev/sda2 rw
32 1 0:42 /sub /data rw - btrfs /dev/sdb rw
33 1 0:43 / /proc rw - proc proc rw
34 1 8:1 /home /bind rw - ext4 /dev/sda1 rw
garbage
";
        let check = |number: &str, path: &str, expected: &[&str]| {
            let found = mount_points(mountinfo, number, Path::new(path));
            assert_eq!(found, expected.iter().map(PathBuf::from).collect::<Vec<_>>(), "{path}");
        };
        check("8:1", "/dev/sda1", &["/", "/bind"]);
        check("8:2", "/dev/sda2", &["/with space"]);
        check("8:16", "/dev/sdb", &["/data"]);
        check("8:0", "/dev/sda", &[]);
        let check = |path: &str, expected: &str| {
            let found = mount_source(mountinfo, Path::new(path));
            assert_eq!(found.as_deref(), Some(Path::new(expected)), "{path}");
        };
        check("/home/x", "/dev/sda1");
        check("/data/deep/down", "/dev/sdb");
        check("/database", "/dev/sda1");
        check("/with space", "/dev/sda2");
    }

    #[test]
    fn a_serial_number_is_taken_out_of_its_page() {
        let check = |page: &[u8], want: Option<&str>| {
            assert_eq!(unit_serial(page).as_deref(), want, "{page:?}");
        };
        check(b"\0\x80\0\x0b  WD-1234  ", Some("WD-1234"));
        check(b"\0\x80\0\x0c  WD-1234  ", None);
        check(b"\0\x80\0\x08 WD-1234", Some("WD-1234"));
        check(b"\0\x80\0\x03abcdef", Some("abc"));
        check(b"\0\x83\0\x03abc", None);
        check(b"\0\x80\0\x02  ", None);
        check(b"\0\x80", None);
    }

    /// A card reader without a card is there, and has no size.
    #[test]
    fn a_device_without_a_medium_has_no_size() {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("sdx");
        std::fs::create_dir(&disk).unwrap();
        for (size, expected) in [("0\n", None), ("8\n", Some(4096))] {
            std::fs::write(disk.join("size"), size).unwrap();
            let device = describe(&disk, &disk);
            assert_eq!((device.size, device.path), (expected, "/dev/sdx".into()));
        }
    }
}
