//! A part of a larger job: that job has looked at both ends, and makes durable and
//! names what is written. What lies between is a copy like any other: storage is
//! reserved, engines are made, bytes are looked at, progress is recorded.
//!
//! This room must not know what the larger job is.

use std::sync::Arc;

use super::branch::Branch;
use super::resolve::{Bytes, Task};
use crate::digest::Algorithm;
use crate::endpoint::Origin;
use crate::engine::Selection;
use crate::error::Result;
use crate::options::Options;
use crate::plan::Plan;
use crate::pool::controller::Workers;
use crate::range::{Mapping, RangeSet};
use crate::sparse::{Layout, Preallocate, Sparse};

/// What is copied to destinations that were begun.
pub struct Part<'a> {
    pub options: &'a Options,
    pub origin: Arc<dyn Origin>,
    pub mapping: Mapping,
    /// At least one.
    pub branches: Vec<Branch>,
    /// Digests of all of it to work out on the way.
    pub digests: Vec<Algorithm>,
}

/// How a part is copied.
pub struct Way {
    pub selection: Selection,
    /// What becomes of zeros.
    pub sparse: Sparse,
    /// Whether storage is reserved unasked.
    pub reserves: bool,
    /// Whether everything stays in the page cache.
    pub keep_cache: bool,
    /// Longest stripe in bytes.
    pub stripe_size: u64,
}

impl<'a> Task<'a> {
    /// A part that is read as `layout` says, for which `choose` finds a way when it is known how many bytes are
    /// to be moved.
    ///
    /// # Errors
    ///
    /// Those of `choose`.
    pub fn of_part(
        part: Part<'a>,
        layout: &Layout,
        choose: impl FnOnce(u64) -> Result<Way>,
    ) -> Result<Task<'a>> {
        let Part { options, origin, mapping, branches, digests } = part;
        let from = mapping.from();
        let wanted = RangeSet::from(from);
        let bytes = Bytes::of(layout, &branches, from, &wanted);
        let Way { selection, sparse, reserves, keep_cache, stripe_size } =
            choose(bytes.todo.bytes())?;
        // For a digest also what need not be moved is seen.
        let seen = if digests.is_empty() { bytes.todo.clone() } else { from.into() };
        Ok(Task {
            options,
            mapping,
            clamped: false,
            open_ended: false,
            requested: Some(from.len()),
            plan: Arc::new(Plan::new(&seen, mapping.grid(), stripe_size)),
            wanted,
            settled: bytes.todo.missing_from(from),
            holes: bytes.holes,
            kept_holes: bytes.kept_holes,
            bytes: bytes.todo.bytes(),
            resumed: bytes.resumed,
            sparse,
            digests,
            stated: Vec::new(),
            part_of: None,
            digest_pieces: Vec::new(),
            io_size: selection.io_size(),
            buffer_size: selection.io_size(),
            selection,
            workers: Workers::Exactly(1),
            stripe_size,
            writes_source: false,
            standing: None,
            room: None,
            reservation: if reserves { Preallocate::Auto } else { Preallocate::Off },
            keep_cache,
            notes: Vec::new(),
            origin,
            branches,
        })
    }
}
