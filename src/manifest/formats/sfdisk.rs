//! What `sfdisk -d` and `sfdisk -J` print: the partitions of a disk, each of
//! which becomes an image of its own, named by its number and its name or type.
//!
//! Both count in sectors, whose size they say; without it, it is that of the
//! source. An extended partition is a container of others, and left out.

use std::io::{BufRead, Read};

use serde::Deserialize;

use super::super::{Lines, Reading, decimal};
use super::partition::{self, number_of, units};
use crate::error::Fault;

/// Types of partitions of a DOS table that hold others.
const CONTAINERS: [&str; 3] = ["5", "f", "85"];

/// The longest JSON taken: a table of a disk has at most a few hundred rows.
const LONGEST: u64 = 1 << 20;

/// A partition as it is written.
#[derive(Deserialize, Default)]
struct Partition {
    #[serde(default)]
    node: String,
    start: Option<u64>,
    size: Option<u64>,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Document {
    partitiontable: Table,
}

#[derive(Deserialize)]
struct Table {
    unit: Option<String>,
    sectorsize: Option<u64>,
    #[serde(default)]
    partitions: Vec<Partition>,
}

/// Reads either of both.
pub(in crate::manifest) fn read(input: &mut dyn BufRead, reading: &mut Reading<'_>) {
    let is_json = match input.fill_buf() {
        Ok(head) => head.trim_ascii_start().starts_with(b"{"),
        Err(error) => return reading.unreadable(1, &error),
    };
    if is_json { read_json(input, reading) } else { read_dump(input, reading) }
}

fn read_json(mut input: &mut dyn BufRead, reading: &mut Reading<'_>) {
    let mut text = Vec::new();
    if let Err(error) = Read::take(&mut input, LONGEST).read_to_end(&mut text) {
        return reading.unreadable(1, &error);
    }
    let table = match serde_json::from_slice::<Document>(&text) {
        Ok(document) => document.partitiontable,
        Err(error) => return reading.usage(error.line() as u64, format!("sfdisk: {error}")),
    };
    if table.unit.is_some_and(|unit| unit != "sectors") {
        return reading.usage(1, "sfdisk: its unit is none of sectors");
    }
    let Some(sector) = sector(table.sectorsize, reading) else { return };
    for (n, found) in table.partitions.iter().enumerate() {
        add(1, n + 1, found, sector, reading);
    }
}

/// `key: value` lines, a blank line, and `NODE : key=value, ...` lines.
fn read_dump(input: &mut dyn BufRead, reading: &mut Reading<'_>) {
    let mut lines = Lines::new(input);
    let (mut named, mut size, mut count) = (None, None, 0);
    loop {
        let (number, line) = match lines.next() {
            Ok(None) => return,
            Ok(Some(line)) => line,
            Err(error) => return reading.unreadable(lines.number() + 1, &error),
        };
        let line = String::from_utf8_lossy(line);
        if let Some(bytes) = line.strip_prefix("sector-size:") {
            named = decimal(bytes.trim().as_bytes());
        } else if let Some(unit) = line.strip_prefix("unit:") {
            if unit.trim() != "sectors" {
                return reading.usage(number, "sfdisk: its unit is none of sectors");
            }
        } else if let Some((node, rest)) = line.split_once(" : ") {
            count += 1;
            let found = dumped(node, rest);
            if size.is_none() {
                size = sector(named, reading);
            }
            let Some(sector) = size else { return };
            add(number, count, &found, sector, reading);
        }
    }
}

fn dumped(node: &str, rest: &str) -> Partition {
    let mut found = Partition { node: node.trim().to_owned(), ..Partition::default() };
    for pair in rest.split(", ") {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = value.trim();
        match key.trim() {
            "start" => found.start = decimal(value.as_bytes()),
            "size" => found.size = decimal(value.as_bytes()),
            "type" | "Id" => found.kind = value.to_owned(),
            "name" => found.name = value.trim_matches('"').to_owned(),
            _ => {}
        }
    }
    found
}

/// Bytes in a sector: what the table says, or the source.
fn sector(named: Option<u64>, reading: &mut Reading<'_>) -> Option<u64> {
    let own = reading.sector(None).map(u64::from);
    match (named.filter(|&bytes| bytes > 0), own) {
        (Some(named), Some(own)) if named != own => {
            reading.note(format!(
                "the list counts in sectors of {named} bytes, and the source has sectors of {own}"
            ));
            Some(named)
        }
        (Some(named), _) => Some(named),
        (None, Some(own)) => Some(own),
        (None, None) => {
            let message = "sfdisk: it says no sector size, and no source is named";
            reading.usage_of(0, Fault::NoSource, message);
            None
        }
    }
}

fn add(line: u64, index: usize, found: &Partition, sector: u64, reading: &mut Reading<'_>) {
    if CONTAINERS.contains(&found.kind.to_ascii_lowercase().as_str()) {
        return reading.skip("an extended partition, which holds others");
    }
    let (Some(start), Some(size)) = (found.start, found.size) else {
        return reading.usage(line, "sfdisk: a partition without a start or a size");
    };
    let about = if found.name.is_empty() { &found.kind } else { &found.name };
    let number = number_of(&found.node, index);
    let place = units(start, size, sector);
    partition::Partition { line, number: &number, about, place }.add("sfdisk", reading);
}
