//! Reading a request whatever it takes: retries, then halves, down to one
//! sector, so that a read error costs the sectors that cannot be read and
//! nothing else.

use std::io;

use super::OnReadError;
use super::lane::{Halt, Post};
use crate::error::ErrorKind;
use crate::io::{Source, as_u64, as_usize, transfer};
use crate::progress::Event;
use crate::range::{ByteRange, RangeSet};

/// A request, or part of one, and the memory for it.
struct Place<'m> {
    range: ByteRange,
    memory: &'m mut [u8],
}

impl Place<'_> {
    /// The memory of `part`, which lies in the range.
    fn of(&mut self, part: ByteRange) -> &mut [u8] {
        let skip = as_usize(part.start() - self.range.start());
        &mut self.memory[skip..skip + as_usize(part.len())]
    }
}

impl Post<'_> {
    /// Reads `request` into `memory`, which is as long, and says what could
    /// not be read.
    pub fn read(
        &self,
        source: &dyn Source,
        request: ByteRange,
        memory: &mut [u8],
    ) -> Result<RangeSet, Halt> {
        let mut bad = RangeSet::new();
        let mut place = Place { range: request, memory };
        if let Err((rest, error)) = self.read_once(source, &mut place, request) {
            self.rescue(source, &mut place, rest, error, &mut bad)?;
        }
        Ok(bad)
    }

    /// One attempt at the part `part` of a request. On an error: what of it is
    /// still missing, and why.
    fn read_once(
        &self,
        source: &dyn Source,
        place: &mut Place<'_>,
        part: ByteRange,
    ) -> Result<(), (ByteRange, io::Error)> {
        let memory = place.of(part);
        let read = self.waiting(part.start(), || transfer::read_full(source, part.start(), memory));
        read.map_err(|stop| (part.split_at(part.start() + as_u64(stop.moved)).1, stop.error))
    }

    /// Tries `rest` again and then splits it, down to one sector.
    fn rescue(
        &self,
        source: &dyn Source,
        place: &mut Place<'_>,
        mut rest: ByteRange,
        mut error: io::Error,
        bad: &mut RangeSet,
    ) -> Result<(), Halt> {
        for _ in 0..self.control.retries {
            self.give_up_on(rest, &error)?;
            self.before_request(0)?;
            match self.read_once(source, place, rest) {
                Ok(()) => return Ok(()),
                Err((missing, again)) => (rest, error) = (missing, again),
            }
        }
        self.give_up_on(rest, &error)?;
        let mut parts = vec![(rest, error)];
        while let Some((part, error)) = parts.pop() {
            self.before_request(0)?;
            let Some(middle) = middle(part, self.transfer.sector) else {
                self.fail(part, &error, bad)?;
                continue;
            };
            let (head, tail) = part.split_at(middle);
            let head = self.read_once(source, place, head).err();
            let tail = self.read_once(source, place, tail).err();
            // The tail is pushed first: what is left is worked off in ascending order.
            for (missing, error) in [tail, head].into_iter().flatten() {
                self.give_up_on(missing, &error)?;
                parts.push((missing, error));
            }
        }
        Ok(())
    }

    /// The end of the source is no bad sector: what is missing will not come back.
    fn give_up_on(&self, rest: ByteRange, error: &io::Error) -> Result<(), Halt> {
        if error.kind() != io::ErrorKind::UnexpectedEof {
            return Ok(());
        }
        let at = rest.start();
        let path = self.transfer.source_path.clone();
        Err(Halt::Failed { at, error: ErrorKind::SourceShrank { path, at }.into() })
    }

    fn fail(&self, part: ByteRange, error: &io::Error, bad: &mut RangeSet) -> Result<(), Halt> {
        if self.control.on_read_error == OnReadError::Stop {
            let path = self.transfer.source_path.clone();
            let source = io::Error::new(error.kind(), error.to_string());
            let error = ErrorKind::Read { path, range: part, source }.into();
            return Err(Halt::Failed { at: part.start(), error });
        }
        bad.insert(part);
        let error = crate::error::chain(error);
        self.transfer.record_failed(part, &error);
        self.control.progress.add_failed(part.len());
        self.control.progress.event(Event::ReadFailed { range: part, error });
        Ok(())
    }
}

/// Where to split `part`: the sector edge nearest to its middle. `None` if it
/// lies within one sector.
fn middle(part: ByteRange, sector: u64) -> Option<u64> {
    let first_edge = (part.start() / sector + 1).checked_mul(sector)?;
    if part.end() <= first_edge {
        return None;
    }
    let middle = part.start() + part.len() / 2;
    Some((middle / sector * sector).max(first_edge))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitting_ends_at_one_sector() {
        let check = |a: u64, b: u64, expected: Option<u64>| {
            assert_eq!(middle(ByteRange::new(a, b).unwrap(), 512), expected);
        };
        check(0, 512, None);
        check(0, 513, Some(512));
        check(100, 500, None);
        check(511, 513, Some(512));
        check(0, 4096, Some(2048));
        check(1000, 2000, Some(1024));
        check(1024, 1536, None);
    }
}
