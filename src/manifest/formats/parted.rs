//! What `parted -sm DEVICE unit B print` prints, and `unit s`: the partitions of a
//! disk, each of which becomes an image of its own.
//!
//! A line `BYT;`, a line of the disk, a line for each partition; fields are divided
//! by colons. Other units are rounded, and refused. What the tables of old disks
//! call extended is not said, but it holds others: it is left out.

use std::io::BufRead;

use super::super::{Lines, Reading, decimal};
use super::partition::Partition;
use crate::range::ByteRange;

/// The highest number that a partition of a DOS table has, unless it lies in another.
const LAST_PRIMARY: u64 = 4;

/// The disk, as its line says.
struct Disk {
    sector: u64,
    is_dos: bool,
}

/// A partition, as its line says.
struct Found {
    line: u64,
    number: u64,
    place: ByteRange,
    about: String,
}

/// Reads the output of `parted -sm`.
pub(in crate::manifest) fn read(input: &mut dyn BufRead, reading: &mut Reading<'_>) {
    let mut lines = Lines::new(input);
    let mut disk: Option<Disk> = None;
    let mut found: Vec<Found> = Vec::new();
    loop {
        let (number, line) = match lines.next() {
            Ok(None) => break,
            Ok(Some(line)) => line,
            Err(error) => return reading.unreadable(lines.number() + 1, &error),
        };
        let line = String::from_utf8_lossy(line);
        let fields = fields(&line);
        let read = match (&*fields, &disk) {
            ([only], _) if only.trim().is_empty() => Ok(()),
            ([unit], _) if unit == "BYT" => Ok(()),
            ([unit], _) if matches!(&**unit, "CHS" | "CYL") => Err(ROUNDED.to_owned()),
            ([_, size, _, sector, _, label, ..], None) if length(size, 1).is_some() => {
                let sector = decimal(sector.as_bytes()).filter(|&bytes| bytes > 0);
                disk = sector.map(|sector| Disk { sector, is_dos: label == "msdos" });
                disk.as_ref().map(|_| ()).ok_or_else(|| "its sectors have no size".to_owned())
            }
            ([_, _, _, _, _, _, ..], None) => Err(ROUNDED.to_owned()),
            ([_, _, _, _, kind], Some(_)) if kind == "free" => {
                reading.skip("free space");
                Ok(())
            }
            ([partition, start, _, len, about @ ..], Some(disk)) => {
                row(number, [partition, start, len], about, disk).map(|row| found.push(row))
            }
            _ => Err("a line that is none of a disk nor of a partition".to_owned()),
        };
        if let Err(why) = read {
            return reading.usage(number, format!("parted: {why}"));
        }
    }
    let is_dos = disk.is_some_and(|disk| disk.is_dos);
    for partition in &found {
        let is_inside =
            |other: &Found| other.number > LAST_PRIMARY && partition.place.contains(other.place);
        if is_dos && partition.number <= LAST_PRIMARY && found.iter().any(is_inside) {
            reading.skip("an extended partition, which holds others");
            continue;
        }
        let number = partition.number.to_string();
        let (line, about, place) = (partition.line, &*partition.about, Some(partition.place));
        Partition { line, number: &number, about, place }.add("parted", reading);
    }
}

const ROUNDED: &str = "its numbers are rounded: list it with `parted -sm DEVICE unit B print`";

/// The fields of a line. A backslash takes the meaning from what follows.
fn fields(line: &str) -> Vec<String> {
    let line = line.trim_end();
    let (mut fields, mut escaped) = (vec![String::new()], false);
    for c in line.strip_suffix(';').unwrap_or(line).chars() {
        match (c, fields.last_mut()) {
            ('\\', _) if !escaped => {
                escaped = true;
                continue;
            }
            (':', _) if !escaped => fields.push(String::new()),
            (c, Some(last)) => last.push(c),
            (_, None) => {}
        }
        escaped = false;
    }
    fields
}

fn row(
    line: u64,
    [number, start, len]: [&str; 3],
    about: &[String],
    disk: &Disk,
) -> Result<Found, String> {
    let Some(number) = decimal(number.as_bytes()) else {
        return Err(format!("{number:?} is not a number of a partition"));
    };
    let (Some(start), Some(len)) = (length(start, disk.sector), length(len, disk.sector)) else {
        return Err(ROUNDED.to_owned());
    };
    let past = || "a partition ends past what 64 bits count".to_owned();
    let place = ByteRange::with_len(start, len).ok_or_else(past)?;
    // Its name, or what file system is on it.
    let [kind, name] = [0, 1].map(|at| about.get(at).map_or("", |text| &**text));
    let about = if name.is_empty() { kind } else { name }.to_owned();
    Ok(Found { line, number, place, about })
}

/// A whole number of bytes, or of sectors.
fn length(text: &str, sector: u64) -> Option<u64> {
    match (text.strip_suffix('B'), text.strip_suffix('s')) {
        (Some(bytes), _) => number(bytes),
        (_, Some(sectors)) => number(sectors)?.checked_mul(sector),
        _ => None,
    }
}

fn number(digits: &str) -> Option<u64> {
    decimal(digits.as_bytes()).filter(|_| !digits.is_empty())
}
