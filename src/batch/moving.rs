//! How the bytes of a batch move. What a request scatters over many small
//! files goes through memory; a large file, or a large fragment of one, gets
//! the engine that a single copy of it would get, and the same care for
//! extents, holes, space and the page cache.
//!
//! Where the caller named a way that small files scattered together cannot go,
//! none are scattered: each is copied by itself.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::DEFAULT_IO_SIZE;
use super::output::Output;
use super::queue::Segment;
use super::report::BatchReport;
use super::sources::Sources;
use crate::engine::capabilities::{Between, End, WORTH_ASKING, cache_state};
use crate::engine::{
    self, Capabilities, EngineChoice, EngineContext, Positioned, Preferences, Reflink,
};
use crate::error::{Error, ErrorKind, Refusal, Remedy, Result};
use crate::io::page_cache::{LARGE, PageCachePolicy};
use crate::io::{self, FileIo};
use crate::manifest::{Item, Run};
use crate::options::{LARGEST_IO_SIZE, LARGEST_STRIPE, Options};
use crate::plan::longest_stripe;
use crate::pool::Transfer;
use crate::progress::{Event, Progress, lock};
use crate::range::{ByteRange, Mapping, RangeSet};
use crate::report::Fallback;
use crate::size::Size;
use crate::source::OpenSource;
use crate::sparse::{Layout, Preallocate, Sparse};
use crate::sys::{self, Directory};

/// Most pieces of a file whose storage is reserved unasked.
const MOST_RESERVED: usize = 1024;

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

/// Size of a request of a batch, in bytes.
pub fn io_size(options: &Options) -> u64 {
    options.io_size.and_then(in_bytes).unwrap_or(DEFAULT_IO_SIZE)
}

fn in_bytes(size: Size) -> Option<u64> {
    match size {
        Size::Bytes(bytes) => Some(bytes),
        Size::Sectors(_) => None,
    }
}

/// Refuses sizes that offsets cannot be masked with, or that have no length in
/// bytes: the sectors of sources may differ.
///
/// # Errors
///
/// [`ErrorKind::Usage`].
pub fn check_sizes(options: &Options) -> Result<()> {
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

    /// Unit of scheduling in bytes.
    pub fn stripes(&self, io_size: u64) -> u64 {
        self.stripe_size.unwrap_or(longest_stripe(io_size).max(io_size))
    }

    /// The bytes of `range` that are to be moved: with holes left out.
    pub fn layout(&self, source: &OpenSource, range: ByteRange) -> Layout {
        Layout::of(&*source.io, range, self.sparse)
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
            let all = ByteRange::to(source.facts.size);
            let copy = Between {
                source: End::of_source(&source),
                destination,
                mapping: Mapping::identity(all),
                // Nothing that depends on how much it is bears on what can serve.
                bytes: 0,
                fresh: true,
            };
            let preferences = self.preferences(self.sparse, needs_bytes, 1);
            let about = Capabilities::of(copy, preferences, |range| cache_state(&source, range));
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
    sync: bool,
    threads: usize,
    moved: Mutex<Moved>,
}

#[derive(Default)]
struct Moved {
    engines: BTreeMap<&'static str, u64>,
    fallbacks: Vec<Fallback>,
}

/// A large output, or a large fragment of one, that is about to be written.
pub struct Large<'a> {
    pub segment: &'a Segment,
    pub source: &'a Arc<OpenSource>,
    pub output: &'a Output,
    pub file: &'a Arc<FileIo>,
    pub path: &'a Path,
    /// How the source is read.
    pub layout: &'a Layout,
    /// What is to be moved, in bytes of the source.
    pub todo: &'a RangeSet,
    /// Whether a digest of it is wanted.
    pub digested: bool,
}

impl Moving {
    /// For files below `root`, written by `threads` workers.
    pub fn new(how: How, root: &Directory, sync: bool, threads: usize) -> Moving {
        let place = End::of_directory(root);
        Moving { how, place, sync, threads, moved: Mutex::default() }
    }

    /// What the caller wants.
    pub fn how(&self) -> &How {
        &self.how
    }

    /// Reserves the storage of a whole output, where that is asked for.
    ///
    /// # Errors
    ///
    /// If there is not enough.
    pub fn reserve_all(&self, output: &Output, file: &File) -> std::io::Result<()> {
        if self.how.reserves_all() {
            reserve(file, ByteRange::to(output.wanted.len))
        } else {
            Ok(())
        }
    }

    /// The transfer of a large piece, with engines made for its open ends.
    ///
    /// # Errors
    ///
    /// If the engine asked for does not work here after all, or there is no
    /// room for what it needs.
    pub fn transfer(&self, large: &Large<'_>, progress: &Progress) -> Result<Transfer> {
        let (range, at) = (large.segment.range, large.segment.at);
        let source: Arc<dyn io::Source> = large.source.io.clone();
        let sink: Arc<dyn io::Sink> = large.file.clone();
        let mut engines: Vec<Box<dyn engine::Engine>> = vec![Box::new(Positioned)];
        let mut page_cache = PageCachePolicy::none();
        let mut sparse = large.layout.sparse();
        if self.is_worth_choosing(large) {
            let about = |sparse| self.capabilities(large, sparse);
            let (selection, zeros) = engine::select_for(self.how.engine, large.layout, about)?;
            sparse = zeros;
            let reserves = self.how.preallocate.beside(sparse) == Preallocate::Auto;
            if selection.wants_space() && reserves && !self.how.ignore_space {
                self.reserve_pieces(large)?;
            }
            let made = selection.make(&EngineContext {
                source: &source,
                sink: &sink,
                only_changed: None,
                range,
                dest_offset: at,
                sink_len: large.output.wanted.len,
                is_clone: false,
                io_size: selection.io_size(),
                capabilities: selection.capabilities(),
            })?;
            for fallback in made.fallbacks {
                progress.event(Event::Fallback(fallback.clone()));
                self.note(fallback);
            }
            engines = made.engines;
            // What is read back for a digest had better stay.
            if !self.how.keep_cache && !large.digested {
                let about = selection.capabilities();
                page_cache = PageCachePolicy::new(about.cache_state, about.bytes, self.sync);
            }
        }
        let mut transfer = Transfer::new(
            (source, large.source.path.clone()),
            (sink, large.path.to_owned()),
            Mapping::new(range, at)
                .ok_or_else(|| Refusal::TooFar { path: large.path.to_owned() })?,
            large.source.sector(),
            engines,
        );
        transfer.page_cache = page_cache;
        transfer.zeros = sparse.zeros(!large.output.is_found());
        Ok(transfer)
    }

    /// Whether engines differ for the piece. Elsewhere the answer is known to be
    /// what serves everything, and the questions cost more than they bring.
    fn is_worth_choosing(&self, large: &Large<'_>) -> bool {
        let bytes = large.todo.bytes();
        let free = self.how.engine == EngineChoice::Auto && self.how.reflink != Reflink::Always;
        let may_share = self.place.may_share() && bytes >= WORTH_ASKING;
        !free || bytes >= LARGE || may_share
    }

    /// What the piece offers to choose an engine by.
    fn capabilities(&self, large: &Large<'_>, sparse: Sparse) -> Capabilities {
        let copy = Between {
            source: End::of_source(large.source),
            destination: self.place.of_file_in(large.file.as_file()),
            mapping: Mapping::new(large.segment.range, large.segment.at).unwrap_or_default(),
            bytes: large.todo.bytes(),
            fresh: !large.output.is_found(),
        };
        let preferences = self.how.preferences(sparse, large.digested, self.threads);
        Capabilities::of(copy, preferences, |range| cache_state(large.source, range))
    }

    fn reserve_pieces(&self, large: &Large<'_>) -> Result<()> {
        let pieces = large.todo.as_slice();
        if pieces.len() > MOST_RESERVED {
            return Ok(());
        }
        let (range, at) = (large.segment.range, large.segment.at);
        for piece in pieces {
            let target = piece.rebase(range.start(), at).unwrap_or_default();
            reserve(large.file.as_file(), target).map_err(|source| {
                let (path, bytes) = (large.path.to_owned(), large.todo.bytes());
                Refusal::CannotReserve { path, bytes, source }
            })?;
        }
        Ok(())
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
    fn note(&self, fallback: Fallback) {
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

/// Reserves storage where the system can.
fn reserve(file: &File, range: ByteRange) -> std::io::Result<()> {
    match sys::reserve(file, range) {
        Err(error) if sys::is_refused(&error) => Ok(()),
        result => result,
    }
}
