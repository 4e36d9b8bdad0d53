//! Reading a request whatever it takes: retries, then ever smaller parts, down
//! to one sector, so that a read error costs the sectors that cannot be read
//! and nothing else.

use std::io;

use super::OnReadError;
use super::stripe_io::{Halt, Post};
use crate::error::{Error, ErrorKind, again};
use crate::io::{Judgement, Source, as_u64, as_usize, transfer};
use crate::range::{ByteRange, RangeSet, align_down};

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
            let rescued = self.rescue(source, &mut place, rest, error, &mut bad);
            rescued.and_then(|()| self.check_bad(&bad)).inspect_err(|halt| {
                if matches!(halt, Halt::Failed { error, .. } if is_gone(error)) {
                    // Nobody knows whether what failed last was bad.
                    self.transfer.forget_failed(&bad);
                    self.control.progress.take_back_failed(bad.bytes());
                }
            })?;
        }
        Ok(bad)
    }

    /// What of a request could not be read is bad only if the source is there:
    /// the end of a copy may come before anybody doubts it.
    fn check_bad(&self, bad: &RangeSet) -> Result<(), Halt> {
        let Some(first) = bad.iter().next() else { return Ok(()) };
        let Some(why) = self.transfer.source.why_gone() else { return Ok(()) };
        let error = self.transfer.failed().within(first).pop();
        let error = error.map_or_else(String::new, |part| part.error.to_string());
        Err(self.gone(first.start(), why, io::Error::other(error)))
    }

    fn gone(&self, at: u64, why: String, source: io::Error) -> Halt {
        let path = self.transfer.source_path.clone();
        Halt::Failed { at, error: ErrorKind::SourceGone { path, at, why, source }.into() }
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

    /// Tries `rest` again and then reads it part by part, down to one sector.
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
        let mut search = Search::of(rest, self.transfer.sector);
        if search.is_one_sector(rest) {
            return self.fail(rest, &error, bad);
        }
        while let Some(part) = search.next() {
            self.before_request(0)?;
            match self.read_once(source, place, part) {
                Ok(()) => search.was_read(part),
                Err((missing, error)) => {
                    self.give_up_on(missing, &error)?;
                    if search.has_failed(missing) {
                        self.fail(missing, &error, bad)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// After a read that failed: the end of the source is no bad sector, nor is
    /// a source that is gone, or another one. What is missing will not come back.
    fn give_up_on(&self, rest: ByteRange, error: &io::Error) -> Result<(), Halt> {
        let at = rest.start();
        // A wish to stop may be why it failed.
        self.check_stop()?;
        let path = || self.transfer.source_path.clone();
        match self.transfer.source.judge(error) {
            Judgement::Local => {}
            Judgement::Final => {
                let error = ErrorKind::Read { path: path(), range: rest, source: again(error) };
                return Err(Halt::Failed { at, error: error.into() });
            }
            Judgement::Changed(change) => {
                let error = ErrorKind::SourceChanged { path: path(), change };
                return Err(Halt::Failed { at, error: error.into() });
            }
        }
        if let Some(why) = self.transfer.source.is_gone(error) {
            return Err(self.gone(at, why, again(error)));
        }
        if error.kind() != io::ErrorKind::UnexpectedEof {
            return Ok(());
        }
        Err(Halt::Failed { at, error: ErrorKind::SourceShrank { path: path(), at }.into() })
    }

    fn fail(&self, part: ByteRange, error: &io::Error, bad: &mut RangeSet) -> Result<(), Halt> {
        if self.control.on_read_error == OnReadError::Stop {
            let path = self.transfer.source_path.clone();
            let source = again(error);
            let error = ErrorKind::Read { path, range: part, source }.into();
            return Err(Halt::Failed { at: part.start(), error });
        }
        bad.insert(part);
        let error = crate::error::chain(error);
        self.transfer.record_failed(part, &error);
        self.control.progress.add_failed(part, &error);
        Ok(())
    }
}

fn is_gone(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::SourceGone { .. })
}

/// The order in which what cannot be read at once is read in parts, ascending.
///
/// What failed is halved until the first bad sector is found. Behind it, bad
/// sectors are likely: they are read one by one, and in longer and longer parts
/// only once they can be read again. A bad region therefore costs one read for
/// each sector, and a bad sector in a good region two for each halving.
struct Search {
    sector: u64,
    /// What has not been dealt with.
    rest: ByteRange,
    /// Up to here something failed, in one part with the beginning of `rest`.
    suspect: u64,
    /// How much to read at once where nothing has failed yet.
    stride: u64,
}

impl Search {
    /// `rest` has failed.
    fn of(rest: ByteRange, sector: u64) -> Search {
        Search { sector, rest, suspect: rest.end(), stride: sector }
    }

    /// What to read next.
    fn next(&self) -> Option<ByteRange> {
        if self.rest.is_empty() {
            return None;
        }
        let (suspect, rest) = self.rest.split_at(self.suspect);
        if !suspect.is_empty() {
            let half = middle(suspect, self.sector);
            return Some(half.map_or(suspect, |half| suspect.split_at(half).0));
        }
        let far = rest.start().saturating_add(self.stride);
        let edge = align_down(far, self.sector);
        Some(rest.split_at(if edge > rest.start() { edge } else { far }).0)
    }

    /// All of `part`, which was next, has been read.
    fn was_read(&mut self, part: ByteRange) {
        if part.start() >= self.suspect {
            self.stride = self.stride.saturating_mul(2);
        }
        self.rest = self.rest.split_at(part.end()).1;
    }

    /// What was next has been read up to `missing`, where it failed. Whether
    /// that is one sector, which is dealt with then.
    fn has_failed(&mut self, missing: ByteRange) -> bool {
        if self.is_one_sector(missing) {
            self.rest = self.rest.split_at(missing.end()).1;
            self.suspect = self.rest.start();
            self.stride = self.sector;
            return true;
        }
        self.rest = self.rest.split_at(missing.start()).1;
        self.suspect = missing.end();
        false
    }

    fn is_one_sector(&self, part: ByteRange) -> bool {
        middle(part, self.sector).is_none()
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

    /// Searches `rest`, in which every sector that `is_bad` cannot be read. With
    /// `short`, a read gets as far as it can. What failed, and after how many reads.
    fn search(rest: ByteRange, is_bad: &dyn Fn(u64) -> bool, short: bool) -> (RangeSet, usize) {
        let mut search = Search::of(rest, 512);
        let (mut bad, mut seen, mut reads) = (RangeSet::new(), RangeSet::new(), 0);
        while let Some(part) = search.next() {
            reads += 1;
            assert!(!part.is_empty() && rest.contains(part), "{part} of {rest}");
            match part.pieces_on_grid(512, 0).find(|piece| is_bad(piece.start() / 512)) {
                None => {
                    seen.insert(part);
                    search.was_read(part);
                }
                Some(first) => {
                    let moved = if short { first.start() } else { part.start() };
                    let (read, missing) = part.split_at(moved);
                    seen.insert(read);
                    if search.has_failed(missing) {
                        bad.insert(missing);
                    }
                }
            }
        }
        seen.merge(&bad);
        assert_eq!(seen, rest.into(), "every byte is read, or found to be bad");
        (bad, reads)
    }

    #[test]
    fn what_is_bad_is_found_to_the_sector_and_nothing_is_left_out() {
        let mut random = crate::testing::Random::new(3);
        for round in 0..2000 {
            let start = random.below(2000);
            let rest = ByteRange::with_len(start, 1 + random.below(64 << 10)).unwrap();
            let (mut bad, mut sector) = (RangeSet::new(), 0);
            while sector < 200 {
                let run = random.below(20);
                bad.insert(ByteRange::with_len(sector, run).unwrap());
                sector += run + 1 + random.below(60);
            }
            let is_bad = |sector: u64| bad.covers(ByteRange::with_len(sector, 1).unwrap());
            let expected: RangeSet =
                rest.pieces_on_grid(512, 0).filter(|piece| is_bad(piece.start() / 512)).collect();
            let found = search(rest, &is_bad, round % 2 == 0).0;
            assert_eq!(found, expected, "round {round}: {rest}");
        }
    }

    /// Halving alone took two reads for each bad sector.
    #[test]
    fn a_bad_region_costs_one_read_for_each_sector() {
        let whole = ByteRange::to(256 << 10);
        let check = |is_bad: &dyn Fn(u64) -> bool, most: usize| {
            let reads = search(whole, is_bad, false).1;
            assert!(reads <= most, "{reads} reads");
        };
        check(&|_| true, 512 + 9);
        check(&|sector| sector >= 100, 412 + 20);
        check(&|sector| sector < 100, 100 + 20);
        check(&|sector| sector == 77, 20);
        check(&|sector| sector == 511, 20);
        check(&|sector| sector % 2 == 0, 512 * 3 / 2 + 9);
    }
}
