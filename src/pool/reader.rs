//! Reading a request whatever it takes: retries, then ever smaller parts, down
//! to one sector, so that a read error costs the sectors that cannot be read
//! and nothing else.

use std::io;
use std::path::Path;

use super::OnReadError;
use super::requests::{Ended, Requests};
use crate::error::{ErrorKind, again};
use crate::io::{Judgement, Source, as_u64, as_usize, transfer};
use crate::range::{ByteRange, RangeSet, Unread, align_down};

/// Who keeps account of what cannot be read, as it is found out: to read a bad
/// region takes hours.
pub trait BadSectors {
    /// `part` cannot be read because of `error`.
    fn found(&self, part: ByteRange, error: &str);

    /// Nobody knows whether `parts`, which were found just now, are bad.
    fn take_back(&self, parts: &RangeSet);
}

/// Reads a source for one worker.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    /// The rules for its requests.
    pub requests: Requests<'a>,
    /// What is read.
    pub source: &'a dyn Source,
    /// Its name, for messages.
    pub path: &'a Path,
    /// Smallest unit it can be read in, in bytes: where splitting stops.
    pub sector: u64,
    /// Who keeps account of what cannot be read.
    pub bad: &'a dyn BadSectors,
}

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

impl Reader<'_> {
    /// Reads `request` into `memory`, which is as long, and says what could not
    /// be read. The reads go through `source`, which is the same, or sees them.
    ///
    /// # Errors
    ///
    /// A wish to stop; a source that is gone or ends; and what cannot be read,
    /// where the job ends with that.
    pub fn read(
        &self,
        source: &dyn Source,
        request: ByteRange,
        memory: &mut [u8],
    ) -> Result<RangeSet, Ended> {
        let mut place = Place { range: request, memory };
        let Err((rest, error)) = self.read_once(source, &mut place, request) else {
            return Ok(RangeSet::new());
        };
        let mut bad = Unread::new();
        let rescued = self.rescue(source, &mut place, rest, error, &mut bad);
        let found = bad.ranges();
        rescued.and_then(|()| self.check_bad(bad)).inspect_err(|ended| {
            if is_gone(ended) {
                // Nobody knows whether what failed last was bad.
                self.bad.take_back(&found);
            }
        })?;
        Ok(found)
    }

    /// What of a request could not be read is bad only if the source is there:
    /// the end of a copy may come before anybody doubts it.
    fn check_bad(&self, mut bad: Unread) -> Result<(), Ended> {
        let Some(first) = bad.pop_first() else { return Ok(()) };
        let Some(why) = self.source.why_gone() else { return Ok(()) };
        Err(self.gone(first.range.start(), why, io::Error::other(&*first.error)))
    }

    fn gone(&self, at: u64, why: String, source: io::Error) -> Ended {
        Ended::failed(at, ErrorKind::SourceGone { path: self.path.to_owned(), at, why, source })
    }

    /// One attempt at the part `part` of a request. On an error: what of it is
    /// still missing, and why.
    fn read_once(
        &self,
        source: &dyn Source,
        place: &mut Place<'_>,
        part: ByteRange,
    ) -> Result<(), (ByteRange, io::Error)> {
        let (start, memory) = (part.start(), place.of(part));
        let read = || transfer::read_full(source, start, memory);
        self.requests
            .waiting(start, read)
            .map_err(|stop| (part.split_at(start + as_u64(stop.moved)).1, stop.error))
    }

    /// Tries `rest` again and then reads it part by part, down to one sector.
    fn rescue(
        &self,
        source: &dyn Source,
        place: &mut Place<'_>,
        mut rest: ByteRange,
        mut error: io::Error,
        bad: &mut Unread,
    ) -> Result<(), Ended> {
        for _ in 0..self.requests.control.retries {
            self.give_up_on(rest, &error)?;
            self.requests.before(0)?;
            match self.read_once(source, place, rest) {
                Ok(()) => return Ok(()),
                Err((missing, again)) => (rest, error) = (missing, again),
            }
        }
        self.give_up_on(rest, &error)?;
        let mut search = Search::of(rest, self.sector);
        if search.is_one_sector(rest) {
            return self.fail(rest, &error, bad);
        }
        while let Some(part) = search.next() {
            self.requests.before(0)?;
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

    /// After a read that failed: the end of the source is not a bad sector, nor is
    /// a source that is gone, or another one. What is missing will not come back.
    fn give_up_on(&self, rest: ByteRange, error: &io::Error) -> Result<(), Ended> {
        let at = rest.start();
        // A wish to stop may be why it failed.
        self.requests.check_stop()?;
        let path = || self.path.to_owned();
        match self.source.judge(error) {
            Judgement::Local => {}
            Judgement::Final => {
                let kind = ErrorKind::Read { path: path(), range: rest, source: again(error) };
                return Err(Ended::failed(at, kind));
            }
            Judgement::Changed(change) => {
                return Err(Ended::failed(at, ErrorKind::SourceChanged { path: path(), change }));
            }
        }
        if let Some(why) = self.source.is_gone(error) {
            return Err(self.gone(at, why, again(error)));
        }
        if error.kind() != io::ErrorKind::UnexpectedEof {
            return Ok(());
        }
        Err(Ended::failed(at, ErrorKind::SourceShrank { path: path(), at }))
    }

    fn fail(&self, part: ByteRange, error: &io::Error, bad: &mut Unread) -> Result<(), Ended> {
        if self.requests.control.on_read_error == OnReadError::Stop {
            let (path, source) = (self.path.to_owned(), again(error));
            let kind = ErrorKind::Read { path, range: part, source };
            return Err(Ended::failed(part.start(), kind));
        }
        let error = crate::error::chain(error);
        bad.insert(part, &error);
        self.bad.found(part, &error);
        Ok(())
    }
}

fn is_gone(ended: &Ended) -> bool {
    let Ended::Failed(failed) = ended else { return false };
    matches!(failed.error.kind(), ErrorKind::SourceGone { .. })
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
