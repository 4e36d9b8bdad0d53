//! What must be known of the source before anything is written: digests that
//! parts of it must have. A file that is new has no name before all of it was
//! found to be right; what is written where it is can only be kept from wrong
//! bytes by looking first. So the parts are read twice, the second time mostly
//! from memory. Nothing is written here.

use crate::cpu::Pool;
use crate::digest::{Hasher, RangeDigest};
use crate::endpoint::Origin;
use crate::error::{Error, ErrorKind, Result, again};
use crate::io::buffer::Buffer;
use crate::io::incoming::expected::mismatch;
use crate::io::{Source, as_u64, as_usize, transfer};
use crate::options::Options;
use crate::pool::Throttle;
use crate::progress::{Phase, Watch, lock};
use crate::range::ByteRange;
use crate::sync::Mutex;

/// Bytes read at a time.
const CHUNK: u64 = 1 << 20;

/// Refuses parts that are not in `range`.
///
/// # Errors
///
/// [`ErrorKind::Usage`].
pub fn check_parts(parts: &[RangeDigest], range: ByteRange) -> Result<()> {
    let Some(outside) = parts.iter().find(|part| !range.contains(part.range)) else {
        return Ok(());
    };
    let problem = format!("has bytes {}, which are not in the range {range}", outside.range);
    Err(ErrorKind::usage_of(&["expected_in"], problem).into())
}

/// Makes sure that every part of `origin` has the digest that `options` expect.
///
/// # Errors
///
/// [`ErrorKind::RangeMismatch`] for the first that has another one;
/// [`ErrorKind::Read`] if one cannot be read; a wish to stop.
pub fn check(origin: &dyn Origin, options: &Options, watch: Watch<'_>) -> Result<()> {
    let source = origin.source();
    let all = &options.expected_in;
    watch.progress.expect(Some(all.iter().map(|part| part.range.len()).sum()), 0);
    watch.progress.enter(Phase::Verifying);
    let round = Round {
        origin,
        source: &*source,
        retries: options.retries,
        throttle: options.throttle(),
        watch,
        first: Mutex::new(None),
    };
    Pool::new(options.threads.most()).each(all, |part| round.work(part));
    watch.progress.restart_verified();
    watch.progress.enter(Phase::Preparing);
    match round.first.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}

/// One look at all parts, shared by its threads.
struct Round<'a> {
    origin: &'a dyn Origin,
    source: &'a dyn Source,
    retries: u32,
    throttle: Option<Throttle>,
    watch: Watch<'a>,
    /// The error at the lowest offset, with that offset.
    first: Mutex<Option<(u64, Error)>>,
}

impl Round<'_> {
    fn work(&self, part: &RangeDigest) {
        // The first error says enough.
        if lock(&self.first).is_some() {
            return;
        }
        let Err(error) = self.check(part) else { return };
        let mut first = lock(&self.first);
        let at = part.range.start();
        if first.as_ref().is_none_or(|&(lowest, _)| at < lowest) {
            *first = Some((at, error));
        }
    }

    fn check(&self, part: &RangeDigest) -> Result<()> {
        let mut hasher = Hasher::new(part.digest.algorithm());
        let mut buffer = Buffer::new(as_usize(part.range.len().clamp(1, CHUNK)))?;
        for piece in part.range.pieces(CHUNK) {
            if let Some(throttle) = &self.throttle {
                throttle.wait(piece.len(), self.watch.cancel);
            }
            if self.watch.cancel.is_cancelled() {
                return Err(ErrorKind::Cancelled.into());
            }
            let memory = buffer.at(piece.start(), piece.len());
            self.read(piece, memory)?;
            hasher.update(memory);
            self.watch.progress.add_verified(piece.len());
        }
        let found = hasher.finalize();
        if part.digest.is_met_by(&found) {
            return Ok(());
        }
        Err(mismatch(self.origin.path(), part, &found, true))
    }

    /// Reads `range`, whatever it takes within the retries.
    fn read(&self, range: ByteRange, memory: &mut [u8]) -> Result<()> {
        let (mut rest, mut retries) = (range, 0..self.retries);
        loop {
            let missing = &mut memory[as_usize(rest.start() - range.start())..];
            let Err(stop) = transfer::read_full(self.source, rest.start(), missing) else {
                return Ok(());
            };
            rest = rest.split_at(rest.start() + as_u64(stop.moved)).1;
            let path = self.origin.path().to_owned();
            if let Some(why) = self.source.is_gone(&stop.error) {
                let (at, source) = (rest.start(), again(&stop.error));
                return Err(ErrorKind::SourceGone { path, at, why, source }.into());
            }
            if self.watch.cancel.is_cancelled() {
                return Err(ErrorKind::Cancelled.into());
            }
            if retries.next().is_none() {
                return Err(ErrorKind::Read { path, range: rest, source: stop.error }.into());
            }
        }
    }
}
