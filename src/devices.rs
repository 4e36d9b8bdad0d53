//! The block devices of this machine: what a copy could read or write.
//!
//! What is listed comes from the system; what a device does not say, or says to
//! an administrator only, is left out. Nothing is read from any device.

use std::io;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

use crate::sys;

/// Schema of the list: changes when a field changes meaning or goes.
pub const SCHEMA: &str = "pcopy.devices/1";

/// A disk, a partition, a volume or a virtual device.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Device {
    /// What to name it by as source or destination.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// The disk it is a part of.
    #[serde(serialize_with = "lossy_option")]
    pub part_of: Option<PathBuf>,
    /// Size in bytes.
    pub size: Option<u64>,
    /// Model, or what a virtual device stands on.
    pub model: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// Smallest unit that can be addressed, in bytes.
    pub logical_sector: Option<u32>,
    /// Smallest unit the medium writes, in bytes.
    pub physical_sector: Option<u32>,
    /// Whether it spins.
    pub rotational: Option<bool>,
    /// Whether writing is forbidden.
    pub read_only: Option<bool>,
    /// Where file systems on it are mounted; drive letters on Windows.
    #[serde(serialize_with = "lossy_list")]
    pub mounted: Vec<PathBuf>,
}

impl Device {
    /// Fills in what an open device says of itself.
    pub fn describe(&mut self, info: sys::DeviceInfo) {
        self.size = Some(info.size);
        self.logical_sector = Some(info.logical_sector);
        self.physical_sector = Some(info.physical_sector);
        self.read_only = Some(info.read_only);
        self.rotational = info.rotational;
        self.model = info.model;
        self.serial = info.serial;
    }
}

/// The list as one JSON document.
#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    devices: &'a [Device],
}

/// Every block device that has a size or may have one, each disk before its parts.
///
/// # Errors
///
/// If the system has no list to give.
pub fn list() -> io::Result<Vec<Device>> {
    sys::devices()
}

/// `devices` as one JSON document.
pub fn to_json(devices: &[Device]) -> String {
    let document = Document { schema: SCHEMA, devices };
    // Numbers, texts and lists of them always serialize.
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

fn lossy<S: Serializer>(path: &std::path::Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

fn lossy_option<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_ref().map(|path| path.to_string_lossy()).serialize(serializer)
}

fn lossy_list<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_names_every_field_also_where_it_is_not_known() {
        let disk = Device { path: "/dev/sda".into(), size: Some(512), ..Device::default() };
        let part = Device {
            path: "/dev/sda1".into(),
            part_of: Some("/dev/sda".into()),
            mounted: vec!["/a b".into()],
            ..Device::default()
        };
        let text = to_json(&[disk, part]);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["schema"], SCHEMA);
        let [disk, part] = &value["devices"].as_array().unwrap()[..] else { panic!("{text}") };
        assert_eq!(disk["size"], 512);
        assert!(disk["part_of"].is_null() && disk["model"].is_null());
        assert_eq!(part["part_of"], "/dev/sda");
        assert_eq!(part["mounted"][0], "/a b");
        assert_eq!(disk.as_object().unwrap().len(), 10);
    }

    #[test]
    fn a_list_can_be_had_and_parts_follow_their_disks() {
        let devices = list().unwrap();
        for (at, device) in devices.iter().enumerate() {
            let Some(disk) = &device.part_of else { continue };
            assert!(devices[..at].iter().any(|earlier| earlier.path == *disk), "{device:?}");
        }
    }
}
