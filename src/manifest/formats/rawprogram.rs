//! Program files of Qualcomm's flashing tools (`rawprogram0.xml`): which sectors of
//! a disk have which label, and which file goes there.
//!
//! Of a disk, each row is an image named by its label. Where everything goes onto
//! one destination, the rows say which files do, from the directory of the list.
//! A row may count from the end of the disk, or go on to it.

use std::io::BufRead;
use std::path::Path;

use super::super::{Item, Reading, Run, Runs, decimal, path_from_bytes};
use super::partition::{Partition, units};
use super::xml::{Attributes, Visitor, walk};
use crate::error::quoted;
use crate::range::ByteRange;

/// Reads a program file.
pub(in crate::manifest) fn read(input: &mut dyn BufRead, reading: &mut Reading<'_>) {
    let mut programs = Programs { reading, disk: None, count: 0, cut: 0, broken: None };
    let walked = walk(input, &mut programs);
    let Programs { reading, cut, broken, .. } = programs;
    if let Err((line, why)) = broken.map_or(walked, Err) {
        return reading.usage(line, format!("rawprogram: {why}"));
    }
    if cut > 0 {
        reading.note(format!("{cut} files are longer than their partitions, and are cut"));
    }
}

struct Programs<'r, 'a> {
    reading: &'r mut Reading<'a>,
    /// The physical disk that the rows are of.
    disk: Option<String>,
    count: usize,
    /// Files that are longer than where they go.
    cut: u64,
    broken: Option<(u64, String)>,
}

impl Visitor for Programs<'_, '_> {
    fn open(&mut self, name: &str, depth: usize, attributes: &Attributes<'_>, line: u64) {
        match name {
            _ if self.broken.is_some() || depth < 2 => {}
            "program" => {
                if let Err(why) = self.program(attributes, line) {
                    self.broken = Some((line, why));
                }
            }
            other => self.reading.skip(format!("<{other}>, which copies nothing")),
        }
    }

    fn close(&mut self, _: &str, _: usize, _: &str, _: u64) {}
}

/// A row, in bytes of the disk and of the file.
struct Program {
    label: String,
    file: String,
    /// Where it begins; `None` if that counts from an end that is not known.
    start: Option<u64>,
    /// How long it is; `None` to the end of the disk.
    len: Option<u64>,
    /// First byte of the file.
    from: u64,
}

impl Programs<'_, '_> {
    fn program(&mut self, attributes: &Attributes<'_>, line: u64) -> Result<(), String> {
        let text = |name: &str| attributes.get(name).unwrap_or_default();
        let disk = text("physical_partition_number");
        if *self.disk.get_or_insert_with(|| disk.clone()) != disk {
            let problem = "its rows are of several disks (physical_partition_number)";
            return Err(format!("{problem}: make a list of each"));
        }
        let program = self.in_bytes(attributes)?;
        self.count += 1;
        let is_packed = text("sparse").eq_ignore_ascii_case("true");
        let label = program.label.as_bytes();
        match (program.start, self.reading.options.own_offsets) {
            (None, _) => {
                let why = "it counts from the end of a disk whose size is not known";
                self.reading.unmappable(line, label, why);
            }
            (Some(_), true) if program.file.is_empty() => {
                self.reading.skip("a partition without a file");
            }
            (Some(_), true) if is_packed => {
                let why = "its file is an Android sparse image: simg2img unpacks it";
                self.reading.unmappable(line, label, why);
            }
            (Some(start), true) => self.file(line, start, &program)?,
            (Some(start), false) => self.image(line, start, &program),
        }
        Ok(())
    }

    fn in_bytes(&mut self, attributes: &Attributes<'_>) -> Result<Program, String> {
        let text = |name: &str| attributes.get(name).unwrap_or_default();
        let missing = |name: &str| format!("{name} is missing or no number");
        let number = |name: &str| whole(&text(name)).ok_or_else(|| missing(name));
        let sector = number("SECTOR_SIZE_IN_BYTES").ok().filter(|&bytes| bytes > 0);
        let own = self.reading.sector(None).map(u64::from);
        let sector = sector.or(own).ok_or_else(|| missing("SECTOR_SIZE_IN_BYTES"))?;
        let past = || "a row ends past what 64 bits count".to_owned();
        let bytes = |sectors: u64| sectors.checked_mul(sector).ok_or_else(past);
        let start = match text("start_sector").split_once("NUM_DISK_SECTORS") {
            None => Some(bytes(number("start_sector")?)?),
            Some(("", back)) => {
                let back = back.strip_prefix('-').and_then(whole);
                let back = bytes(back.ok_or_else(|| missing("start_sector"))?)?;
                let size = self.reading.options.disk_size;
                size.and_then(|size| (size / sector * sector).checked_sub(back))
            }
            Some(_) => return Err(missing("start_sector")),
        };
        let sectors = match &*text("num_partition_sectors") {
            "" => 0,
            _ => number("num_partition_sectors")?,
        };
        let from = match &*text("file_sector_offset") {
            "" => 0,
            _ => bytes(number("file_sector_offset")?)?,
        };
        let len = if sectors == 0 { None } else { Some(bytes(sectors)?) };
        Ok(Program { label: text("label"), file: text("filename"), start, len, from })
    }

    /// A part of the disk as an image of its own.
    fn image(&mut self, line: u64, start: u64, program: &Program) {
        let rest = || self.reading.options.disk_size?.checked_sub(start);
        let Some(len) = program.len.or_else(rest) else {
            let why = "it goes on to the end of a disk whose size is not known";
            return self.reading.unmappable(line, program.label.as_bytes(), why);
        };
        let (number, place) = (self.count.to_string(), units(start, len, 1));
        let about = &*program.label;
        Partition { line, number: &number, about, place }.add("rawprogram", self.reading);
    }

    /// A file that goes onto the disk.
    fn file(&mut self, line: u64, start: u64, program: &Program) -> Result<(), String> {
        let path = path_from_bytes(program.file.as_bytes()).ok_or("a file name is not UTF-8")?;
        let folder = self.reading.options.manifest.and_then(Path::parent);
        let path = folder.unwrap_or(Path::new("")).join(path);
        let Some(size) = (self.reading.options.size_of)(Some(&path)) else {
            let why = format!("{} cannot be opened", quoted(&path));
            self.reading.refuse(line, why);
            return Ok(());
        };
        if program.from > size {
            let why = format!("{} has only {size} bytes", quoted(&path));
            self.reading.refuse(line, why);
            return Ok(());
        }
        let there = size - program.from;
        let len = program.len.unwrap_or(there).min(there);
        self.cut += u64::from(len < there && program.from == 0);
        let range = ByteRange::with_len(program.from, len).unwrap_or_default();
        let source = self.reading.source(path.as_os_str().as_encoded_bytes());
        self.reading.items.push(Item {
            line,
            name: Path::new("-").into(),
            source,
            runs: Runs::from_pieces([Run::Data(range)]),
            dest_offset: start,
            details: None,
        });
        Ok(())
    }
}

/// A whole number; some programs write a point after it.
fn whole(text: &str) -> Option<u64> {
    let digits = text.trim().trim_end_matches('.');
    decimal(digits.as_bytes()).filter(|_| !digits.is_empty())
}
