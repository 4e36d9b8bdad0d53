//! A copy of what comes once and in order, up to an end that may not be known: a
//! pipe. Here is what that changes, and the rest of the pipeline asks only whether
//! it is so: what is refused, how far the work may reach, what is known when the
//! stream has ended, and what becomes of what arrived if the copy fails.

use super::branch::Branch;
use super::moving::{Moved, Sent};
use super::resolve::Task;
use crate::durable::previous::Leftovers;
use crate::endpoint::{Abilities, Origin};
use crate::error::{Error, ErrorKind, Refusal, Result, quoted};
use crate::io::Incoming;
use crate::options::Options;
use crate::progress::Progress;
use crate::range::{ByteRange, Mapping, RangeSet};
use crate::sparse::Preallocate;

/// What is to be known of a source that may be a stream, before it is read.
#[derive(Clone, Copy)]
pub struct Stream {
    /// Whether its bytes come once, in order.
    pub once: bool,
    /// Whether it may end before the range that is wanted does.
    pub open_ended: bool,
}

impl Stream {
    /// Of `origin`, which is copied as `options` say.
    pub fn of(origin: &dyn Origin, options: &Options) -> Stream {
        let order = origin.read_order();
        let once = order.stream().is_some();
        // A range that says where it ends is a promise.
        let may_end = !options.range.is_final() || options.clamp;
        Stream { once, open_ended: order.is_endless() && may_end }
    }

    /// What of `mapping` is certain before anything has come.
    pub fn certain(self, mapping: Mapping) -> Mapping {
        if self.open_ended { mapping.up_to(mapping.from().start()) } else { mapping }
    }

    /// What of `range` is certain to be read for the sake of `wanted`: of a stream,
    /// what comes before the end of that too, and nothing behind it.
    pub fn seen(self, range: ByteRange, wanted: &RangeSet) -> ByteRange {
        match wanted.as_slice().last() {
            Some(last) if self.once => range.split_at(last.end()).0,
            _ => range,
        }
    }

    /// The same error, without advice that a stream cannot follow.
    pub fn without_resume(self, error: Error) -> Error {
        match error.into_kind() {
            ErrorKind::Refused(Refusal::Leftover { path, resumable }) => {
                Refusal::Leftover { path, resumable: resumable && !self.once }.into()
            }
            kind => kind.into(),
        }
    }

    /// Refuses what needs more of a source than a stream can give.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`].
    pub fn check(self, origin: &dyn Origin, branches: &[Branch], options: &Options) -> Result<()> {
        let name = quoted(origin.path());
        let unknowing = |branch: &&Branch| !branch.abilities.open_ended;
        if let Some(branch) = branches.iter().find(unknowing).filter(|_| self.open_ended) {
            let path = quoted(branch.path());
            let problem = format!("{path} must be told how long the copy of {name} will be");
            return Err(ErrorKind::usage(problem).into());
        }
        if origin.read_order().stream().is_some_and(|stream| stream.position() > 0) {
            return Err(ErrorKind::usage(format!("{name} has been read already")).into());
        }
        let cannot: [(&'static [&'static str], &str, bool); 7] = [
            (&["resume"], "", options.leftovers == Leftovers::Resume),
            (&["map"], "", options.map.is_some()),
            (&["repair"], "", options.repair),
            (&["check_source"], "", options.check_source),
            (&["preserve"], "", options.preserve),
            (&["engine"], "other than positioned ", !options.engine.may_be("positioned")),
            (&["reflink"], "always ", options.reflink == crate::Reflink::Always),
        ];
        if let Some((option, value, _)) = cannot.into_iter().find(|(.., given)| self.once && *given)
        {
            let problem = format!("{value}is not for {name}, which {}", origin.why_once());
            return Err(ErrorKind::usage_of(option, problem).into());
        }
        let parts: [(&'static [&'static str], bool); 2] = [
            (&["only"], options.only.is_some()),
            (&["expected_in"], !options.expected_in.is_empty()),
        ];
        if let Some((option, _)) = parts.into_iter().find(|(_, given)| self.open_ended && *given) {
            let problem = format!("needs a range with an end: the length of {name} is not known");
            return Err(ErrorKind::usage_of(option, problem).into());
        }
        if self.open_ended && options.preallocate == Preallocate::Full {
            let problem = format!("full needs a length: that of {name} is not known");
            return Err(ErrorKind::usage_of(&["preallocate"], problem).into());
        }
        Ok(())
    }
}

/// As much of `from` as goes into a file from `offset` on: files are addressed with
/// signed 64-bit offsets.
pub fn cut_to_offsets(from: ByteRange, offset: u64) -> ByteRange {
    let most = (i64::MAX as u64).saturating_sub(offset);
    from.split_at(from.start().saturating_add(most)).0
}

impl Task<'_> {
    /// Has the stream looked at as it comes, where parts of it have digests.
    pub fn begin_stream(&self) {
        let parts = &self.options.expected_in;
        if let Some(stream) = self.origin.read_order().stream().filter(|_| !parts.is_empty()) {
            stream.expect(self.origin.path(), parts.clone());
        }
    }

    /// Takes note of where the stream ended. To be called when all that came has
    /// been written.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::StreamEnded`] if that is before the end of the range, or a
    /// destination that cannot be ended there.
    pub fn end_stream(
        &mut self,
        sent: &Sent,
        moved: &mut Moved,
        progress: &Progress,
    ) -> Result<()> {
        let order = self.origin.read_order();
        let Some(end) = order.stream().and_then(Incoming::end) else { return Ok(()) };
        let range = self.mapping.from();
        let least = match (self.open_ended, self.options.clamp) {
            (false, _) => range.end(),
            (true, false) => range.start(),
            (true, true) => 0,
        };
        if end < least {
            let path = self.origin.path().to_owned();
            return Err(ErrorKind::StreamEnded { path, at: end, least }.into());
        }
        if !self.open_ended {
            return Ok(());
        }
        self.clamped = self.options.range.is_final() && end < range.end();
        self.mapping = self.mapping.up_to(end);
        if self.mapping.is_empty() && !range.is_empty() {
            moved.take_notes(vec![format!("nothing came from {}", quoted(self.origin.path()))]);
        }
        self.open_ended = false;
        self.wanted = self.mapping.from().into();
        self.requested = Some(self.mapping.len());
        progress.expect(self.requested, 0);
        sent.transfer.observers().end_at(self.mapping.from().end());
        self.end_drafts()
    }

    /// Has every destination end where the mapping does.
    fn end_drafts(&mut self) -> Result<()> {
        let to = self.mapping.to();
        for number in 0..self.branches.len() {
            let draft = self.branches[number].draft.as_ref();
            let result = draft.map_or(Ok(()), |draft| draft.end_at(to));
            let segments = draft.map_or_else(Vec::new, |draft| draft.segments());
            self.branches[number].report.segments = segments;
            self.settle_result(number, result)?;
        }
        Ok(())
    }

    /// What becomes of what arrived when the copy of a stream has failed: it may not
    /// come a second time, so it is kept, and said where it is. Where nothing was
    /// written, nothing is left.
    pub fn keep_arrived(&mut self, sent: &Sent, moved: &mut Moved) {
        let arrived = self.mapping.up_to(sent.transfer.reached(&self.wanted));
        let (bytes, to) = (self.wanted.within(arrived.from()).bytes(), arrived.to());
        if std::mem::take(&mut self.open_ended) {
            self.mapping = arrived;
            self.wanted = arrived.from().into();
        }
        for branch in self.branches.iter_mut().filter(|branch| branch.is_alive()) {
            let Some(draft) = &branch.draft else { continue };
            let Abilities { is_new, in_place, sealed, .. } = branch.abilities;
            if bytes == 0 && is_new || sealed {
                branch.discard();
                continue;
            }
            let ended = draft.end_at(to);
            let others = if draft.segments().len() > 1 { " and those after it" } else { "" };
            let path = format!("{}{others}", quoted(draft.path()));
            // To a device the first bytes come last, and did not come.
            let held = draft.write_order().not_written().bytes();
            let written = bytes.saturating_sub(held);
            let note = match (held, written) {
                (0, _) => format!("the first {bytes} bytes of the copy are in {path}"),
                (_, 0) => format!("nothing was written to {path}"),
                _ => format!(
                    "{written} bytes of the copy are in {path}, but its first {held} were not \
                     written: they come last"
                ),
            };
            if bytes > 0 && (is_new || in_place) {
                moved.take_notes(vec![note]);
            }
            if let Err(error) = ended {
                moved.take_notes(vec![error.chain()]);
            }
        }
    }
}
