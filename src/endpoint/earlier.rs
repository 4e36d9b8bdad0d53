//! What an earlier run left of a file or device: whether it holds what the map
//! calls done.
//!
//! Numbers and times make a check cheap. They are not a reason to refuse: a disk
//! comes back under another number, a folder is renamed, a file gets another
//! mode. So where the map and this job differ in those, the bytes are compared,
//! and they decide (invariant I13). Nothing is changed here.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use super::Look;
use crate::durable::map::Difference;
use crate::durable::previous::Previous;
use crate::durable::recheck::{Belief, Sides};
use crate::error::{Refusal, Result, chain};
use crate::io::page_cache::CacheState;
use crate::io::{FileIo, Source};
use crate::plan::Plan;
use crate::pool::{Control, OnReadError};
use crate::progress::Phase;
use crate::range::{ByteRange, RangeSet};
use crate::sys::DeviceInfo;
use crate::verify::compare::{Comparison, Findings};
use crate::verify::read_back::ReadBack;

/// What one thread compares at a time, in bytes.
const STRIPE: u64 = 4 << 20;

/// Length of a request, where the user names none, in bytes.
const REQUEST: u64 = 1 << 20;

/// Most threads that compare what an earlier run left.
const MOST_THREADS: usize = 8;

/// What an earlier run has written.
pub(super) struct Wrote<'a> {
    /// Where it is.
    pub file: &'a File,
    /// The path of that.
    pub path: PathBuf,
    /// What it is, if it is a device.
    pub device: Option<&'a DeviceInfo>,
    /// Whether it is in a file of its own, of which nothing else is written.
    pub is_new: bool,
    /// Whether its disk spins, if it says.
    pub rotational: Option<bool>,
}

/// Makes sure that what `earlier` wrote is what its map calls done, as far as is
/// necessary to believe the map. Returns what is to be said of it.
///
/// # Errors
///
/// [`Refusal::NotWhatWasCopied`], [`Refusal::NothingToCompare`], or a wish to stop.
pub(super) fn check(
    look: &Look<'_>,
    wrote: Wrote<'_>,
    earlier: &Previous,
) -> Result<Option<String>> {
    let hints: Vec<String> = earlier.hints.iter().map(Difference::what).collect();
    if look.options.allow_changed_source {
        return Ok(says(&hints, "what it calls done was not compared"));
    }
    let done = earlier.map.done.common(&look.options.wanted(look.mapping.from()));
    // In a file of its own, verifying finds all of it. Elsewhere nothing is written
    // before somebody has looked.
    let is_verified = look.options.verifies() && wrote.is_new;
    if done.is_empty() || (hints.is_empty() && is_verified) {
        return Ok(None);
    }
    let source = look.origin.source();
    let left = Left { look, source: &*source, wrote, done: &done, hints: &hints };
    match left.sides().believe(earlier.evidence()) {
        Belief::Refuted(offset) => Err(left.differs(offset).into()),
        Belief::Believed => {
            Ok(says(&hints, "places of what it calls done were compared, and are the same"))
        }
        Belief::Doubted(_) => {
            let bytes = left.compare_all()?;
            Ok(says(&hints, &format!("all {bytes} bytes that it calls done are the same")))
        }
    }
}

/// What an earlier run has written of a source.
struct Left<'a> {
    look: &'a Look<'a>,
    source: &'a dyn Source,
    wrote: Wrote<'a>,
    /// In bytes of the source.
    done: &'a RangeSet,
    /// What of the job is not as the map has it.
    hints: &'a [String],
}

impl Left<'_> {
    fn sides(&self) -> Sides<'_, impl Fn(ByteRange) -> Option<ByteRange>> {
        let mapping = self.look.mapping;
        let to = move |part: ByteRange| Some(mapping.to_destination(part));
        Sides { source: self.source, destination: self.wrote.file, done: self.done, to }
    }

    /// Compares all that is done; returns how many bytes could be compared.
    fn compare_all(&self) -> Result<u64> {
        let Look { origin, mapping, options, watch, .. } = *self.look;
        let progress = watch.progress;
        progress.expect(Some(0), self.done.bytes());
        progress.enter(Phase::Verifying);
        let medium = ReadBack::new(&self.written()?);
        let io_size = options.request_size(origin.sector(), REQUEST)?;
        let spinning = [origin.end().rotational, self.wrote.rotational];
        let workers = options.threads.choose(spinning, CacheState::Mixed).bounded(io_size);
        let control = options.control(io_size, watch);
        let comparison = Comparison {
            source: self.source,
            source_path: origin.path(),
            sector: origin.sector().into(),
            // What cannot be read any more proves nothing.
            control: &Control { on_read_error: OnReadError::Record, ..control },
            page_cache: &options.page_cache(CacheState::Mixed, self.done.bytes(), false),
            medium: &medium,
            mapping,
            digester: None,
            threads: workers.most().min(MOST_THREADS),
        };
        let mut rest = self.done.clone();
        rest.subtract(&comparison.holes());
        progress.add_verified(self.done.bytes() - rest.bytes());
        let plan = Plan::new(&rest, mapping.grid(), STRIPE.max(io_size));
        let (findings, ended) = comparison.run(&[], &plan);
        progress.restart_verified();
        ended?;
        progress.enter(Phase::Preparing);
        self.judge(&findings)?;
        let compared = self.done.bytes() - findings.unread.ranges().bytes();
        if compared == 0 {
            return Err(self.unproven("the source cannot be read there").into());
        }
        Ok(compared)
    }

    fn judge(&self, findings: &Findings) -> Result<(), Refusal> {
        if let Some(unreadable) = findings.unreadable.clone().into_iter().next() {
            return Err(self.unproven(&unreadable.error));
        }
        match findings.differing.iter().next() {
            None => Ok(()),
            Some(range) => Err(self.differs(self.sides().first_in(range).unwrap_or(range.start()))),
        }
    }

    /// What was written, to be read back.
    fn written(&self) -> Result<Arc<FileIo>, Refusal> {
        let opened = self.wrote.file.try_clone().and_then(|file| match self.wrote.device {
            Some(info) => Ok(FileIo::device(file, info)),
            None => file.metadata().map(|facts| FileIo::new(file, facts.len())),
        });
        opened.map(Arc::new).map_err(|error| self.unproven(&chain(&error)))
    }

    fn differs(&self, offset: u64) -> Refusal {
        Refusal::NotWhatWasCopied {
            source_path: self.look.origin.path().to_owned(),
            path: self.wrote.path.clone(),
            offset,
            hints: self.hints.to_vec(),
        }
    }

    fn unproven(&self, reason: &str) -> Refusal {
        Refusal::NothingToCompare {
            source_path: self.look.origin.path().to_owned(),
            path: self.wrote.path.clone(),
            reason: reason.to_owned(),
            hints: self.hints.to_vec(),
        }
    }
}

/// What a report says of a map that was believed although something differs.
fn says(hints: &[String], then: &str) -> Option<String> {
    (!hints.is_empty()).then(|| format!("the map has another {}; {then}", hints.join(", ")))
}
