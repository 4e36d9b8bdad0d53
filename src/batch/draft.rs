//! A large output, or a large fragment of one, as one destination of a copy: what
//! an earlier run left of it, and the draft that is written. It is made durable
//! and named with its group, and not by the copy.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::large::{Settings, has_map};
use super::output::Output;
use super::outputs::Outputs;
use super::queue::Segment;
use super::staging::give_length;
use crate::copy::Branch;
use crate::durable::map::{Destination, Evidence, Identity, Map, MapFile, Mode};
use crate::durable::previous::{self, needed_length, object_id};
use crate::durable::recheck::{Belief, Shown, Sides};
use crate::durable::trust::{Examiner, Trust};
use crate::endpoint::{Draft, Journal, Looked, ObjectId, Origin, absolute};
use crate::error::{ErrorKind, Result};
use crate::io::{FileIo, Sink, Source};
use crate::progress::CancelToken;
use crate::range::{ByteRange, RangeSet};
use crate::sync::atomic::Ordering;
use crate::sys::{self, Metadata};

/// The output of `segment`, ready to be written.
///
/// # Errors
///
/// If its file cannot be opened, or the caller asked to stop.
pub fn begin(
    segment: &Segment,
    source: &dyn Origin,
    output: &Arc<Output>,
    outputs: &Outputs,
    settings: Settings<'_>,
) -> Result<Branch> {
    let path = outputs.path(&output.wanted.name);
    let failed = |source| ErrorKind::Destination { step: "open", path: path.clone(), source };
    let file = outputs.file(output).map_err(failed)?;
    let mut looked = Looked::default();
    let mut resumed = output.is_found();
    if has_map(segment, &output.wanted) {
        let map_file = outputs.map_file(output).map_err(failed)?;
        let identity = identity(segment, source, output, &path);
        let left = earlier(&map_file, outputs.earlier.trust, &identity, output.found());
        let to = |part: ByteRange| part.rebase(segment.range.start(), segment.at);
        let from = source.source();
        let sides = Sides { source: &*from, destination: &*file, done: &left.done, to };
        let evidence = left.evidence.filter(|_| !settings.options.allow_changed_source);
        // Where somebody has written, it is copied from the start.
        if is_there(&sides, evidence, settings.cancel)? {
            looked.done = left.done;
        }
        if output.found().is_some() {
            map_file.clear_temporaries();
        }
        resumed = !looked.done.is_empty();
        looked.journal =
            Some(Journal { file: map_file, identity, of_the_user: None, resumed, discards: false });
    }
    if output.found().is_some() && looked.done.is_empty() {
        // Nothing in it is known to be right, and holes are to be zeros.
        let cleared = file.as_file().set_len(0);
        cleared.and_then(|()| give_length(output, file.as_file())).map_err(failed)?;
    }
    let draft = OutputDraft { path: path.clone(), file, output: Arc::clone(output) };
    Ok(Branch::begun(path, Box::new(draft), looked, resumed))
}

/// An output that is being written.
struct OutputDraft {
    path: PathBuf,
    file: Arc<FileIo>,
    output: Arc<Output>,
}

impl Draft for OutputDraft {
    fn sink(&self) -> Arc<dyn Sink> {
        self.file.clone()
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> u64 {
        self.output.wanted.len
    }

    fn written(&self) -> Option<Arc<dyn Source>> {
        Some(self.file.clone())
    }

    fn id(&self) -> Result<Option<ObjectId>> {
        Ok(self.output.identity().map(|facts| object_id(facts, None)))
    }

    fn grows(&self) -> bool {
        self.output.grows.load(Ordering::Acquire)
    }

    fn reach(&self) -> Option<u64> {
        let size = || sys::facts(self.file.as_file()).map_or(0, |facts| facts.size);
        self.grows().then(size)
    }

    /// Its group gives it its name.
    fn commit(&mut self, _durable: bool) -> Result<()> {
        Ok(())
    }

    /// Its group takes away what failed.
    fn discard(self: Box<Self>) -> Option<String> {
        None
    }
}

/// Which copy the map of `output` belongs to.
fn identity(segment: &Segment, source: &dyn Origin, output: &Output, path: &Path) -> Identity {
    Identity {
        source: source.identity(),
        range: segment.range,
        destination: Destination {
            path: absolute(path),
            offset: segment.at,
            kind: "file".to_owned(),
            mode: Mode::New,
            id: output.identity().map(|facts| object_id(facts, None)),
        },
        list: None,
    }
}

/// What an earlier run left of an output.
#[derive(Default)]
struct Left {
    done: RangeSet,
    /// What shows that it is there, where the map is not quite of this job.
    evidence: Option<Evidence>,
}

/// What the map of an earlier run says is done of the part that was `found`, if
/// it is the map of this job, and the file is as long as what the map calls
/// done. Anything else is not a reason to fail: the file is copied from the start.
fn earlier(
    map_file: &MapFile,
    trust: Trust,
    identity: &Identity,
    found: Option<&Metadata>,
) -> Left {
    let Some(found) = found else { return Left::default() };
    let map: Option<Map> = previous::load(map_file, &mut Examiner::new(trust)).ok().flatten();
    let Some(map) = map.filter(|map| found.size >= needed_length(map, identity)) else {
        return Left::default();
    };
    let Some(differences) = map.identity.as_ref().map(|of_map| of_map.differences(identity)) else {
        return Left::default();
    };
    match differences.iter().map(|difference| difference.evidence).max() {
        Some(Evidence::None) => Left::default(),
        evidence => Left { done: map.done, evidence },
    }
}

/// Whether the destination holds what is done, as far as `evidence` asks for it.
///
/// # Errors
///
/// [`ErrorKind::Cancelled`].
fn is_there<T: Fn(ByteRange) -> Option<ByteRange>>(
    sides: &Sides<'_, T>,
    evidence: Option<Evidence>,
    cancel: &CancelToken,
) -> Result<bool> {
    let shown = match sides.believe(evidence) {
        Belief::Believed => return Ok(true),
        Belief::Refuted(_) => return Ok(false),
        Belief::Doubted(shown) => shown,
    };
    let first = sides.first_of_all(cancel);
    if cancel.is_cancelled() {
        return Err(ErrorKind::Cancelled.into());
    }
    // What cannot be read any more proves nothing.
    Ok(first.map_or(shown == Shown::Same, |first| first.is_none()))
}
