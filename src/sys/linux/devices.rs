//! The block devices as sysfs lists them, and where they are mounted.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::attribute;
use crate::devices::Device;

/// Every block device with a medium, each disk before its partitions.
pub fn devices() -> io::Result<Vec<Device>> {
    let mounts = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let swaps = std::fs::read("/proc/swaps").unwrap_or_default();
    let mut found = Vec::new();
    for disk in folders(Path::new("/sys/block"))? {
        let first = found.len();
        let mut device = describe(&disk, &disk);
        device.model = attribute(&disk, "device/model").or_else(|| stands_on(&disk));
        device.serial = attribute(&disk, "device/serial")
            .or_else(|| attribute(&disk, "serial"))
            .or_else(|| attribute(&disk, "device/wwid"));
        if device.size == Some(0) {
            // A loop device, a card reader or the like, with nothing in it.
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
        if lines(&swaps).any(|line| {
            line.split(|&byte| byte == b' ').next().map(path_of).as_ref() == Some(&device.path)
        }) {
            device.mounted.push("[swap]".into());
        }
    }
    Ok(found)
}

/// The folders in `folder`, by name.
fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    Ok(folders)
}

/// What sysfs says of the device in `folder`, which is `disk` or a part of it.
fn describe(folder: &Path, disk: &Path) -> Device {
    let number = |folder: &Path, name| attribute(folder, name)?.parse().ok();
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    Device {
        // In sysfs a slash of a name is an exclamation mark.
        path: Path::new("/dev").join(name.replace('!', "/")),
        // Counted in units of 512 bytes, whatever the sector size.
        size: attribute(folder, "size").and_then(|size| size.parse::<u64>().ok()?.checked_mul(512)),
        logical_sector: number(disk, "queue/logical_block_size"),
        physical_sector: number(disk, "queue/physical_block_size"),
        rotational: attribute(disk, "queue/rotational").map(|flag| flag == "1"),
        read_only: attribute(folder, "ro").map(|flag| flag == "1"),
        ..Device::default()
    }
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
fn mount_points(mountinfo: &[u8], number: &str, path: &Path) -> Vec<PathBuf> {
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
    }
}
