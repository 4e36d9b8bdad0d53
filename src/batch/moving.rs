//! How the bytes of a batch move. What a request scatters over many small
//! files goes through memory; a large file, or a large fragment of one, gets
//! the engine that a single copy of it would get, and the same care for
//! extents, holes, space and the page cache.
//!
//! Where the caller named a way that small files scattered together cannot go,
//! none are scattered: each is copied by itself.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use super::DEFAULT_IO_SIZE;
use super::output::Output;
use super::report::BatchReport;
use super::sources::Sources;
use crate::copy::{Branch, Way};
use crate::endpoint::Origin;
use crate::engine::capabilities::{Between, End, WORTH_ASKING};
use crate::engine::{self, Capabilities, EngineChoice, Preferences, Reflink};
use crate::error::{Error, ErrorKind, Refusal, Remedy, Result};
use crate::io::page_cache::LARGE;
use crate::manifest::{Item, Run};
use crate::options::{LARGEST_IO_SIZE, LARGEST_STRIPE, Options};
use crate::plan::longest_stripe;
use crate::pool::Transfer;
use crate::progress::lock;
use crate::range::{ByteRange, Mapping};
use crate::report::Fallback;
use crate::size::Size;
use crate::sparse::{Layout, Preallocate, Sparse};
use crate::sync::Mutex;
use crate::sys::{self, Directory};

/// What the caller wants of the way bytes move.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    engine: EngineChoice,
    reflink: Reflink,
    pub sparse: Sparse,
    preallocate: Preallocate,
    keep_cache: bool,
    stripe_size: Option<u64>,
    /// No storage is reserved unasked: what is reserved is not compressed.
    ignore_space: bool,
}

impl How {
    /// What `options` say of it.
    pub fn of(options: &Options) -> How {
        let Options { engine, reflink, sparse, preallocate, keep_cache, ignore_space, .. } =
            *options;
        let stripe_size = options.stripe_size.and_then(in_bytes);
        How { engine, reflink, sparse, preallocate, keep_cache, stripe_size, ignore_space }
    }
}

/// Bytes of a request to a server: what is far away is asked for more at once.
const FAR_IO_SIZE: u64 = 4 << 20;

/// Size of a request of a batch, of which a source may be far away, in bytes.
pub fn io_size(options: &Options, is_far: bool) -> u64 {
    let unasked = if is_far { FAR_IO_SIZE } else { DEFAULT_IO_SIZE };
    options.io_size.and_then(in_bytes).unwrap_or(unasked)
}

fn in_bytes(size: Size) -> Option<u64> {
    match size {
        Size::Bytes(bytes) => Some(bytes),
        Size::Sectors(_) => None,
    }
}

/// Refuses sizes that offsets cannot be masked with, or that have no length in
/// bytes: the sectors of sources may differ. Refuses also what a batch does not do.
///
/// # Errors
///
/// [`ErrorKind::Usage`].
pub fn check_sizes(options: &Options) -> Result<()> {
    if options.check_source {
        let problem = "is for one copy: a batch has many sources, and each part of one is \
                       complete at another time";
        return Err(ErrorKind::usage_of(&["check_source"], problem).into());
    }
    let check = |option: &'static [&'static str], size: Option<Size>, least: u64, most: u64| {
        let problem = match size {
            None => return Ok(()),
            Some(Size::Bytes(bytes)) => {
                if bytes.is_power_of_two() && (least..=most).contains(&bytes) {
                    return Ok(());
                }
                format!("must be a power of two from {least} to {most} bytes, not {bytes}")
            }
            Some(Size::Sectors(_)) => "of a batch is in bytes: its sources may differ".to_owned(),
        };
        Err(Error::from(ErrorKind::usage_of(option, problem)))
    };
    check(&["io_size"], options.io_size, 4096, LARGEST_IO_SIZE)?;
    check(&["stripe_size"], options.stripe_size, 512, LARGEST_STRIPE)
}

impl How {
    /// Longest request that may be scattered over several files, where one in
    /// memory has `io_size` bytes: none where they cannot go the way asked for.
    pub fn scattered(&self, io_size: u64) -> u64 {
        let by_memory = matches!(self.engine, EngineChoice::Auto | EngineChoice::Positioned);
        let together =
            by_memory && self.reflink != Reflink::Always && self.sparse != Sparse::Always;
        if together { io_size } else { 0 }
    }

    /// Unit of scheduling in bytes. Far away, a request is as good as many.
    pub fn stripes(&self, io_size: u64, is_far: bool) -> u64 {
        let unasked = if is_far { io_size } else { longest_stripe(io_size).max(io_size) };
        self.stripe_size.unwrap_or(unasked)
    }

    /// The bytes of `range` that are to be moved: with holes left out.
    pub fn layout(&self, source: &dyn Origin, range: ByteRange) -> Layout {
        Layout::of(&*source.source(), range, self.sparse)
    }

    /// Whether all storage is reserved, that of holes included.
    pub fn reserves_all(&self) -> bool {
        self.preallocate == Preallocate::Full
    }

    fn preferences(&self, sparse: Sparse, needs_bytes: bool, threads: usize) -> Preferences {
        let only_changed = false;
        Preferences { reflink: self.reflink, sparse, needs_bytes, threads, only_changed }
    }

    /// Whether every source can be copied in the way that was asked for.
    ///
    /// # Errors
    ///
    /// [`Refusal::EngineUnsuitable`], or a usage error for holes where none may be.
    pub fn check(
        &self,
        items: &[Item],
        sources: &Sources,
        root: &Directory,
        digests: bool,
    ) -> Result<()> {
        if self.sparse == Sparse::Never {
            no_holes(items)?;
        }
        if let Some(bytes) = self.stripe_size {
            self.sparse.check_grain(&["stripe_size"], bytes)?;
        }
        let always = self.reflink == Reflink::Always;
        if self.engine == EngineChoice::Auto && !always {
            return Ok(());
        }
        let needs_bytes = digests || items.iter().any(|item| !item.expected().is_empty());
        let destination = End::of_directory(root);
        for number in 0..sources.len() as u32 {
            let source = sources.open(number)?;
            let all = ByteRange::to(sources.size(number));
            let copy = Between {
                source: source.end(),
                destination,
                mapping: Mapping::identity(all),
                // Nothing that depends on how much it is bears on what can serve.
                bytes: 0,
                fresh: true,
            };
            let preferences = self.preferences(self.sparse, needs_bytes, 1);
            let about = Capabilities::of(copy, preferences, |range| source.cache_state(range));
            let can_share = about.destination.may_share() && about.same_file_system;
            engine::select(self.engine, about)?;
            if always && !can_share {
                let reason = "the file system cannot share extents".to_owned();
                let (engine, remedies) = ("offload", &[Remedy::NotReflinkAlways]);
                return Err(Refusal::EngineUnsuitable { engine, reason, remedies }.into());
            }
        }
        Ok(())
    }
}

/// A list may ask for holes by name, which is not what [`Sparse::Never`] wants.
fn no_holes(items: &[Item]) -> Result<()> {
    let has_hole = |item: &&Item| {
        let ends_in_one = item.details.as_deref().is_some_and(|details| details.file_len.is_some());
        ends_in_one || item.runs.pieces(0).any(|run| matches!(run, Run::Hole(_)))
    };
    match items.iter().find(has_hole) {
        None => Ok(()),
        Some(item) => {
            let line = item.line;
            let message = format!("line {line}: a hole, and every byte is to be written");
            Err(ErrorKind::usage(message).into())
        }
    }
}

/// How the bytes of one batch move, and what moved them.
pub struct Moving {
    how: How,
    place: End,
    threads: usize,
    moved: Mutex<Moved>,
}

#[derive(Default)]
struct Moved {
    engines: BTreeMap<&'static str, u64>,
    fallbacks: Vec<Fallback>,
}

/// A large output, or a large fragment of one, that is about to be written.
pub struct Piece<'a> {
    pub source: &'a dyn Origin,
    pub mapping: Mapping,
    /// How the source is read.
    pub layout: &'a Layout,
    /// Where it goes, in one folder or several, and the first of the places.
    pub outputs: &'a [Arc<Output>],
    pub place: End,
    /// Whether a digest of it is wanted.
    pub digested: bool,
}

impl Moving {
    /// For files below `root`, written by `threads` workers.
    pub fn new(how: How, root: &Directory, threads: usize) -> Moving {
        let place = End::of_directory(root);
        Moving { how, place, threads, moved: Mutex::default() }
    }

    /// What the caller wants.
    pub fn how(&self) -> &How {
        &self.how
    }

    /// Where `branch` lies, which may be another file system.
    pub fn place_of(&self, branch: &Branch) -> End {
        let sink = branch.draft.as_ref().map(|draft| draft.sink());
        let file = sink.as_ref().and_then(|sink| sink.file());
        file.map_or(self.place, |file| self.place.of_file_in(file))
    }

    /// Reserves the storage of a whole output, where that is asked for.
    ///
    /// # Errors
    ///
    /// If there is not enough.
    pub fn reserve_all(&self, output: &Output, file: &File) -> std::io::Result<()> {
        if !self.how.reserves_all() {
            return Ok(());
        }
        match sys::reserve(file, ByteRange::to(output.wanted.len)) {
            Err(error) if sys::is_refused(&error) => Ok(()),
            result => result,
        }
    }

    /// How a piece is copied of which `bytes` are to be moved, in stripes of
    /// `stripe_size`.
    ///
    /// # Errors
    ///
    /// If the engine asked for cannot serve.
    pub fn way(&self, piece: &Piece<'_>, bytes: u64, stripe_size: u64) -> Result<Way> {
        // What is read back for a digest had better stay.
        let keep_cache = self.how.keep_cache || piece.digested;
        let sparse = piece.layout.sparse();
        if !self.is_worth_choosing(bytes) {
            // The answer is known to be what serves everything, and the questions
            // cost more than they bring.
            let selection = engine::select(EngineChoice::Positioned, Capabilities::default())?;
            return Ok(Way { selection, sparse, reserves: false, keep_cache, stripe_size });
        }
        let about = |sparse| self.capabilities(piece, bytes, sparse);
        if piece.outputs.len() > 1 {
            // One read, several writes.
            let selection = engine::select(EngineChoice::Positioned, about(sparse))?;
            return Ok(Way { selection, sparse, reserves: false, keep_cache, stripe_size });
        }
        let (selection, sparse) = engine::select_for(self.how.engine, piece.layout, about)?;
        // All of it is reserved already, where that is asked for.
        let reserves =
            self.how.preallocate.beside(sparse) == Preallocate::Auto && !self.how.ignore_space;
        Ok(Way { selection, sparse, reserves, keep_cache, stripe_size })
    }

    /// Whether engines differ for a piece of which `bytes` are to be moved.
    fn is_worth_choosing(&self, bytes: u64) -> bool {
        let free = self.how.engine == EngineChoice::Auto && self.how.reflink != Reflink::Always;
        let may_share = self.place.may_share() && bytes >= WORTH_ASKING;
        !free || bytes >= LARGE || may_share
    }

    /// What the piece offers to choose an engine by.
    fn capabilities(&self, piece: &Piece<'_>, bytes: u64, sparse: Sparse) -> Capabilities {
        let copy = Between {
            source: piece.source.end(),
            destination: piece.place,
            mapping: piece.mapping,
            bytes,
            fresh: !piece.outputs.iter().any(|output| output.is_found()),
        };
        let preferences = self.how.preferences(sparse, piece.digested, self.threads);
        Capabilities::of(copy, preferences, |range| piece.source.cache_state(range))
    }

    /// Takes note of what moved a large piece, and leaves the cache as it should be left.
    pub fn over(&self, transfer: &Transfer) {
        transfer.page_cache.finish(&*transfer.source, &*transfer.sink);
        *lock(&self.moved).engines.entry(transfer.engine().name()).or_default() += 1;
        for fallback in transfer.fallbacks() {
            self.note(fallback);
        }
    }

    /// Said once, however many files meet it.
    pub fn note(&self, fallback: Fallback) {
        let fallbacks = &mut lock(&self.moved).fallbacks;
        if !fallbacks.contains(&fallback) {
            fallbacks.push(fallback);
        }
    }

    /// Takes what is known into the report.
    pub fn record(&self, report: &mut BatchReport) {
        let moved = std::mem::take(&mut *lock(&self.moved));
        (report.engines, report.fallbacks) = (moved.engines, moved.fallbacks);
    }
}
