//! The block devices of this machine: what a copy could read or write.
//!
//! What is listed comes from the system; what a device does not say, or says to
//! an administrator only, is left out. Nothing is read from any device.

use std::io;
use std::path::Path;

use serde::Serialize;

pub use crate::sys::Device;

use crate::error::{Error, escaped_json};
use crate::sys::{self, FileKind};

/// Schema of the list: changes when a field changes meaning or goes.
pub const SCHEMA: &str = "pcopy.devices/1";

/// The list as one JSON document.
#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    devices: &'a [Device],
    error: Option<String>,
    error_kind: Option<&'static str>,
}

/// Every block device that has a size or may have one, each disk before its parts.
///
/// # Errors
///
/// If the system has no list to give.
pub fn list() -> io::Result<Vec<Device>> {
    sys::devices()
}

/// The block device that `path` leads to, under whatever name it is listed.
pub fn at(path: &Path) -> Option<Device> {
    let facts = sys::facts_of_path(path).ok()??;
    if facts.node != FileKind::BlockDevice {
        return None;
    }
    let is_it = |device: &Device| {
        let found = || sys::facts_of_path(&device.path).ok().flatten();
        device.path == path || found().is_some_and(|found| found.same_thing(&facts))
    };
    list().ok()?.into_iter().find(is_it)
}

/// `devices` as one JSON document.
pub fn to_json(devices: &[Device]) -> String {
    json_of(&Document { schema: SCHEMA, devices, error: None, error_kind: None })
}

/// The document where there is no list, but `error`.
pub fn to_json_of_error(error: &Error) -> String {
    let (text, word) = (Some(error.chain()), Some(error.word()));
    json_of(&Document { schema: SCHEMA, devices: &[], error: text, error_kind: word })
}

fn json_of(document: &Document<'_>) -> String {
    // Numbers, texts and lists of them always serialize.
    escaped_json(serde_json::to_string_pretty(document).unwrap_or_default())
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
        assert_eq!(disk.as_object().unwrap().len(), 12);
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
