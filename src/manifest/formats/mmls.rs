//! What `mmls` of the Sleuth Kit prints: the partitions of a disk, each of
//! which becomes an image of its own, named by its number and description.
//!
//! `Units are in 512-byte sectors` says what the columns count; the end is the
//! last sector. With `-c` the rows are CSV, and count in sectors of the source. Tables and unallocated space are left out, with a note.

use std::io::BufRead;

use super::super::{Item, Lines, Reading, Run, Runs, decimal};
use super::partition::described;
use crate::error::Fault;
use crate::range::ByteRange;

/// Reads the output of `mmls`.
pub(in crate::manifest) fn read(input: &mut dyn BufRead, reading: &mut Reading<'_>) {
    let mut lines = Lines::new(input);
    let mut unit = None;
    let mut table = Table::Columns;
    loop {
        let (number, line) = match lines.next() {
            Ok(None) => break,
            Ok(Some(line)) => line,
            Err(error) => return reading.unreadable(lines.number() + 1, &error),
        };
        let line = String::from_utf8_lossy(line);
        if let Some(rest) = line.strip_prefix("Units are in ") {
            let bytes = rest.split('-').next().unwrap_or_default();
            unit = decimal(bytes.as_bytes()).filter(|&bytes| bytes > 0);
            other_unit(unit, reading);
        } else if let Some(titles) = line.strip_prefix("ID,Slot,Start,End,Length,") {
            // mmls -c says no unit.
            let sector = reading.sector(None).map(u64::from);
            let Some(sector) = sector else {
                let message = "mmls -c says no unit: name the source, or list without -c";
                return reading.usage_of(number, Fault::NoSource, message);
            };
            reading.note(format!(
                "mmls -c says no unit: {sector} bytes, as the sectors of the source"
            ));
            (unit, table) = (Some(sector), Table::Csv { has_size: titles.starts_with("Size,") });
        } else if let (Some(unit), Table::Csv { has_size }) = (unit, &table) {
            if let Err(why) = csv_row(number, &line, unit, *has_size, reading) {
                reading.usage(number, format!("mmls: {why}"));
            }
        } else if let Some(sector) = line.strip_prefix("Offset Sector:") {
            if decimal(sector.trim().as_bytes()) != Some(0) {
                return reading.usage(
                    number,
                    "mmls: made with -o, so that its positions do not count from the beginning of \
                     the image: cut the image there, or list it without -o",
                );
            }
        } else if is_row(&line) {
            let Some(unit) = unit else {
                return reading
                    .usage(number, "mmls: no line above says `Units are in N-byte sectors`");
            };
            if let Err(why) = row(number, &line, unit, reading) {
                reading.usage(number, format!("mmls: {why}"));
            }
        } else if line.starts_with(|first: char| first.is_ascii_digit()) {
            reading.usage(number, "mmls: this line is not understood");
        }
    }
    if unit.is_none() {
        reading.usage(0, "mmls: no line says `Units are in N-byte sectors`");
    }
}

/// How rows are written.
enum Table {
    /// In columns.
    Columns,
    /// With commas, as of `mmls -c`, with or without a column of sizes.
    Csv { has_size: bool },
}

/// Says if the list counts in other units than the source has.
fn other_unit(unit: Option<u64>, reading: &mut Reading<'_>) {
    if let (Some(unit), Some(sector)) = (unit, reading.sector(None))
        && unit != u64::from(sector)
    {
        reading.note(format!(
            "the list counts in units of {unit} bytes, and the source has sectors of {sector}: the \
             partitions are where the list says only if it was made of this disk in units of {unit}"
        ));
    }
}

/// `ID,SLOT,START,END,LENGTH,[SIZE,]DESCRIPTION`; the slot of what is not
/// allocated is empty.
fn csv_row(
    number: u64,
    line: &str,
    unit: u64,
    has_size: bool,
    reading: &mut Reading<'_>,
) -> Result<(), &'static str> {
    if line.trim().is_empty() {
        return Ok(());
    }
    let mut cells = line.splitn(if has_size { 7 } else { 6 }, ',');
    let mut cell = || cells.next().unwrap_or_default().trim();
    let (index, slot, numbers) = (cell(), cell(), [cell(), cell(), cell()]);
    if has_size {
        cell();
    }
    let slot = if slot.is_empty() { "-" } else { slot };
    partition(number, index, slot, cell(), numbers, unit, reading)
}

/// Rows begin with their number and a colon.
fn is_row(line: &str) -> bool {
    line.split_once(": ").is_some_and(|(number, _)| decimal(number.as_bytes()).is_some())
}

/// `NNN:  SLOT  START  END  LENGTH  [SIZE]  DESCRIPTION`.
fn row(number: u64, line: &str, unit: u64, reading: &mut Reading<'_>) -> Result<(), &'static str> {
    let (index, rest) = line.split_once(": ").ok_or("no number")?;
    let (slot, rest) = word(rest);
    let (start, rest) = word(rest);
    let (last, rest) = word(rest);
    let (length, rest) = word(rest);
    partition(number, index, slot, without_size(rest), [start, last, length], unit, reading)
}

/// A partition in `unit`s, with its index, slot and description.
fn partition(
    number: u64,
    index: &str,
    slot: &str,
    description: &str,
    numbers: [&str; 3],
    unit: u64,
    reading: &mut Reading<'_>,
) -> Result<(), &'static str> {
    let numbers = numbers.map(|word| decimal(word.as_bytes()));
    let [Some(start), Some(last), Some(length)] = numbers else {
        return Err("start, end and length must be numbers");
    };
    if slot == "Meta" {
        reading.skip("Meta (a partition table)");
        return Ok(());
    }
    if slot.starts_with('-') {
        reading.skip("Unallocated");
        return Ok(());
    }
    let end = last.checked_add(1).ok_or("an end past what 64 bits count")?;
    if end.checked_sub(start) != Some(length) {
        return Err("start, end and length do not agree");
    }
    let past = "a partition ends past what 64 bits count";
    let sectors = (start.checked_mul(unit).ok_or(past)?, end.checked_mul(unit).ok_or(past)?);
    let range = ByteRange::new(sectors.0, sectors.1)
        .and_then(|range| range.rebase(0, reading.options.base));
    let runs = Runs::from_pieces([Run::Data(range.ok_or(past)?)]);
    let name = format!("{index}{}.img", described(description));
    let make =
        |name| Item { line: number, name, source: None, runs, dest_offset: 0, details: None };
    reading.push(name.as_bytes(), make, number);
    Ok(())
}

fn word(line: &str) -> (&str, &str) {
    let line = line.trim_start();
    line.split_once(char::is_whitespace).unwrap_or((line, ""))
}

/// The description, without the size `mmls -B` puts before it (`0009M`).
fn without_size(rest: &str) -> &str {
    let (first, description) = word(rest);
    match first.split_at_checked(4) {
        Some((digits, "B" | "K" | "M" | "G" | "T")) if decimal(digits.as_bytes()).is_some() => {
            description.trim()
        }
        _ => rest.trim(),
    }
}
