//! What `lsblk -bJ -o NAME,START,SIZE` prints: the partitions of a disk, each of
//! which becomes an image of its own. START counts in 512 bytes, whatever the
//! sectors of the disk; sizes are bytes with `-b`, and rounded without.

use std::io::{BufRead, Read};

use serde::Deserialize;
use serde_json::Value;

use super::super::Reading;
use super::partition::{Partition, number_of};
use crate::range::ByteRange;

/// Bytes that START counts in.
const UNIT: u64 = 512;

/// The longest JSON taken: thousands of devices fit.
const LONGEST: u64 = 16 << 20;

#[derive(Deserialize)]
struct Document {
    blockdevices: Vec<Device>,
}

/// A device as it is written. Older versions write numbers as text.
#[derive(Deserialize)]
struct Device {
    #[serde(default)]
    name: String,
    /// `null` of what is not a partition.
    #[serde(default, deserialize_with = "present")]
    start: Option<Value>,
    #[serde(default)]
    size: Value,
    partlabel: Option<String>,
    label: Option<String>,
    #[serde(default)]
    children: Vec<Device>,
}

/// Tells a field that is `null` from one that is not there.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Reads the output of `lsblk -bJ`.
pub(in crate::manifest) fn read(mut input: &mut dyn BufRead, reading: &mut Reading<'_>) {
    let mut text = Vec::new();
    if let Err(error) = Read::take(&mut input, LONGEST).read_to_end(&mut text) {
        return reading.unreadable(1, &error);
    }
    let devices = match serde_json::from_slice::<Document>(&text) {
        Ok(document) => document.blockdevices,
        Err(error) => return reading.usage(error.line() as u64, format!("lsblk: {error}")),
    };
    let is_listed = |device: &&Device| device.has_start(true) || !device.children.is_empty();
    if devices.iter().filter(is_listed).count() > 1 {
        return reading.usage(1, "lsblk: it lists several disks: name one of them");
    }
    let mut count = 0;
    for device in &devices {
        if let Err(why) = add(device, &mut count, reading) {
            return reading.usage(1, format!("lsblk: {why}"));
        }
    }
}

impl Device {
    /// Whether it is a partition; with `said` false, whether that is said at all.
    fn has_start(&self, said: bool) -> bool {
        self.start.as_ref().is_some_and(|start| !said || !start.is_null())
    }
}

/// Adds `device`, if it is a partition, and those in it.
fn add(device: &Device, count: &mut usize, reading: &mut Reading<'_>) -> Result<(), &'static str> {
    if !device.has_start(false) {
        return Err("it has no START: list it with `lsblk -bJ -o NAME,START,SIZE DEVICE`");
    }
    if !device.has_start(true) {
        return device.children.iter().try_for_each(|child| add(child, count, reading));
    }
    *count += 1;
    let start = device.start.as_ref().and_then(number).ok_or("START is not a number")?;
    let size = number(&device.size).ok_or("sizes are rounded: list it with `lsblk -b`")?;
    let about = device.partlabel.as_deref().or(device.label.as_deref()).unwrap_or("");
    let number = number_of(&device.name, *count);
    let place = start.checked_mul(UNIT).and_then(|start| ByteRange::with_len(start, size));
    // What is in a partition is not part of the disk by itself.
    Partition { line: 1, number: &number, about, place }.add("lsblk", reading);
    Ok(())
}

fn number(value: &Value) -> Option<u64> {
    let text = || value.as_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    value.as_u64().or_else(|| text()?.parse().ok())
}
