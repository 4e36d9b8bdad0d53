//! What bytes lie in, all the way down: a partition in its disk, a loop device
//! in its file, a file in the device that its file system is on.
//!
//! Down to a device mapper, a RAID or a file system each byte has a known place;
//! below it, it may have any.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, major};
use rustix::ioctl;

use super::super::{FileKind, Layer, Metadata, Thing};
use super::devices::{companions, device_number, mounted_from, of_btrfs, path_in_dev, slaves};
use super::{attribute, disk_region, sysfs_device};
use crate::range::ByteRange;

/// A layer, and a path to it if it is a file.
type Found = (Layer, Option<PathBuf>);

/// What the bytes of a file or device lie in, itself first; of a directory, what
/// those of a new file in it will lie in. `path` leads to it.
pub fn layers(facts: &Metadata, path: &Path) -> Vec<Layer> {
    let whole = |thing| Layer { thing, start: Some(0), within: ByteRange::to(u64::MAX) };
    let mut found: Vec<Found> = match facts.node {
        FileKind::BlockDevice => {
            let within = ByteRange::to(facts.size.max(1));
            vec![(Layer { within, ..whole(Thing::Device(facts.rdev)) }, None)]
        }
        FileKind::Directory => on_devices_of(facts.device, path),
        _ => vec![(whole(Thing::of(facts)), Some(path.to_owned()))],
    };
    let mut at = 0;
    while let Some((layer, path)) = found.get(at).cloned() {
        at += 1;
        for next in below(&layer, path.as_deref()) {
            let is_next =
                |(known, _): &Found| (known.thing, known.start) == (next.0.thing, next.0.start);
            if !found.iter().any(is_next) {
                found.push(next);
            }
        }
    }
    found.into_iter().map(|(layer, _)| layer).collect()
}

/// What `layer` lies in itself.
fn below(layer: &Layer, path: Option<&Path>) -> Vec<Found> {
    let device = match layer.thing {
        Thing::File { device, .. } => return on_devices_of(device, path.unwrap_or(Path::new("/"))),
        Thing::Device(device) => device,
    };
    let mut found: Vec<Found> =
        slaves(&sysfs_device(device)).into_iter().map(|slave| (anywhere(slave), None)).collect();
    let region = disk_region(device);
    if region.disk != device {
        found.push((layer.moved(Thing::Device(region.disk), region.start), None));
    }
    if let Some(file) = Backing::of(device) {
        found.push((layer.moved(file.thing, file.offset), file.path));
    }
    found
}

impl Layer {
    /// The same bytes in a `thing` where byte 0 of this one is byte `by`.
    fn moved(&self, thing: Thing, by: u64) -> Layer {
        let add = |at: u64| at.saturating_add(by);
        let within = ByteRange::between(add(self.within.start()), add(self.within.end()));
        Layer { thing, start: self.start.map(add), within }
    }
}

/// Somewhere on a device.
fn anywhere(device: u64) -> Layer {
    // Counted in units of 512 bytes, whatever the sector size.
    let size = attribute(&sysfs_device(device), "size").and_then(|size| size.parse::<u64>().ok());
    let within = ByteRange::to(size.map_or(u64::MAX, |size| size.saturating_mul(512)));
    Layer { thing: Thing::Device(device), start: None, within }
}

/// The devices that the file system with this number is on, which `path` lies on.
/// btrfs gives out numbers that are not devices, another one for each subvolume;
/// only the mount says where it lies, on as many devices as it has.
fn on_devices_of(file_system: u64, path: &Path) -> Vec<Found> {
    let mut devices = Vec::new();
    if major(file_system) != 0 {
        devices.push(file_system);
    } else if let Some(number) = mounted_from(path).and_then(|from| device_number(&from)) {
        devices.extend(companions(number));
        devices.push(number);
    } else if let Some(id) = id_of(path) {
        // Without a list of mounts, as where /proc is not mounted.
        devices.extend(of_btrfs(id));
    }
    devices.into_iter().map(|device| (anywhere(device), None)).collect()
}

/// What the btrfs that `path` lies on calls itself.
fn id_of(path: &Path) -> Option<[u8; 16]> {
    let there =
        std::fs::File::open(if path.as_os_str().is_empty() { Path::new(".") } else { path });
    crate::sys::file_system(there.ok()?).ok()?.id
}

/// What a loop device stands for.
pub(super) struct Backing {
    /// A file, or another device.
    pub thing: Thing,
    /// Where the device begins in it, in bytes.
    pub offset: u64,
    /// A path to it that need not lead there any more.
    pub path: Option<PathBuf>,
}

/// The beginning of struct loop_info64 of linux/loop.h, and what it is filled up with.
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdev: u64,
    offset: u64,
    size_limit: u64,
    rest: [u8; 192],
}

impl Backing {
    /// Of the device with this number, if it is a loop device that stands for something.
    pub(super) fn of(device: u64) -> Option<Backing> {
        let folder = sysfs_device(device);
        let name = attribute(&folder, "loop/backing_file")?;
        // Of a file that was removed.
        let path = PathBuf::from(name.strip_suffix(" (deleted)").unwrap_or(&name));
        let node = path_in_dev(&folder);
        let asked = open_node(&node, device, OFlags::empty()).and_then(|node| ask(&node));
        match asked {
            Some(info) => {
                let is_device = info.rdev != 0 && major(info.rdev) != 0;
                let thing = match is_device {
                    true => Thing::Device(info.rdev),
                    false => Thing::File { device: info.device, inode: info.inode },
                };
                Some(Backing { thing, offset: info.offset, path: Some(path) })
            }
            // Not everybody may open it: then the name tells.
            None => {
                let facts = crate::sys::facts_of_path(&path).ok()??;
                let thing = Thing::of(&facts);
                let offset = attribute(&folder, "loop/offset")?.parse().ok()?;
                Some(Backing { thing, offset, path: Some(path) })
            }
        }
    }
}

/// The node at `path`, open for questions, if it is that of `device`.
pub(super) fn open_node(path: &Path, device: u64, flags: OFlags) -> Option<std::fs::File> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let is_it =
        |facts: &std::fs::Metadata| facts.file_type().is_block_device() && facts.rdev() == device;
    // Looked at first: opening something else may do something.
    std::fs::metadata(path).ok().filter(is_it)?;
    let flags = flags | OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = std::fs::File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    file.metadata().is_ok_and(|facts| is_it(&facts)).then_some(file)
}

fn ask(node: impl AsFd) -> Option<LoopInfo> {
    // linux/loop.h: LOOP_GET_STATUS64 is a bare number and fills a struct loop_info64.
    type Info = ioctl::Getter<0x4c05, LoopInfo>;
    // SAFETY: the device is a loop device, whose request fills the struct, all of
    // whose values are valid.
    unsafe { ioctl::ioctl(node, Info::new()) }.ok()
}
