//! A block device as it is listed: what the system says of it without reading from it.

use std::path::PathBuf;

use serde::{Serialize, Serializer};

use super::DeviceInfo;

/// A disk, a partition, a volume or a virtual device.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Device {
    /// What to name it by as source or destination.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// The disk it is a part of.
    #[serde(serialize_with = "lossy_option")]
    pub part_of: Option<PathBuf>,
    /// Size in bytes. `None` where there is no medium, or it does not say.
    pub size: Option<u64>,
    /// Model, or what a virtual device stands on.
    pub model: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// World wide name, or what else names it anywhere in the world.
    pub wwn: Option<String>,
    /// Version of its firmware.
    pub firmware: Option<String>,
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
    pub fn describe(&mut self, info: DeviceInfo) {
        self.size = Some(info.size).filter(|&size| size > 0);
        self.logical_sector = Some(info.logical_sector);
        self.physical_sector = Some(info.physical_sector);
        self.read_only = Some(info.read_only);
        self.rotational = info.rotational;
        self.model = info.model;
        self.serial = info.serial;
        self.wwn = info.wwn;
        self.firmware = info.firmware;
    }
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
