//! A partition of a disk, whatever program lists it: an image of its own, named by
//! its number and what it is called.

use super::super::{Item, Reading, Run, Runs};
use crate::range::ByteRange;

/// A partition as a list has it.
pub(super) struct Partition<'t> {
    /// Line of the list.
    pub line: u64,
    /// As the kernel numbers it.
    pub number: &'t str,
    /// Its name or type.
    pub about: &'t str,
    /// Where it is on the disk, in bytes; `None` if 64 bits do not count so far.
    pub place: Option<ByteRange>,
}

impl Partition<'_> {
    /// Adds it to the list. `program` has made that.
    pub(super) fn add(&self, program: &str, reading: &mut Reading<'_>) {
        let line = self.line;
        let Some(range) = self.place.and_then(|place| place.rebase(0, reading.options.base)) else {
            let message = format!("{program}: a partition ends past what 64 bits count");
            return reading.usage(line, message);
        };
        let name = format!("{:0>3}{}.img", self.number, described(self.about));
        let runs = Runs::from_pieces([Run::Data(range)]);
        let make = |name| Item { line, name, source: None, runs, dest_offset: 0, details: None };
        reading.push(name.as_bytes(), make, line);
    }
}

/// The number at the end of the name of a node, or `else_number`.
pub(super) fn number_of(node: &str, else_number: usize) -> String {
    let digits = node.len() - node.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    match &node[node.len() - digits..] {
        "" => else_number.to_string(),
        number => number.to_owned(),
    }
}

/// `count` units of `unit` bytes from unit `start` on.
pub(super) fn units(start: u64, count: u64, unit: u64) -> Option<ByteRange> {
    ByteRange::with_len(start.checked_mul(unit)?, count.checked_mul(unit)?)
}

/// A description as a part of a name.
pub(super) fn described(description: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-.+".contains(c);
    let words = description.split(|c| !plain(c)).filter(|word| !word.is_empty());
    let name: Vec<&str> = words.collect();
    match name.is_empty() {
        true => String::new(),
        false => format!("-{}", name.join("_").chars().take(60).collect::<String>()),
    }
}
