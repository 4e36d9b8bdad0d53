//! A copy: one origin, one range of it, one or several destinations.
//!
//! This is the only pipeline. It reads in the order in which a copy happens:
//! `resolve` opens, looks, refuses and plans (a dry run ends there); `ahead` reads
//! what must be known of the source before anything is written; `moving` hands
//! stripes to the workers, and `only_changed` has them write less; `unchanged` and
//! `prove` read back and compare; `finish`
//! makes durable, looks once more and gives names; `run` is all of that in one
//! page; `report` says what happened; `stream` is what is different where the bytes
//! come once and in order. A `branch` is one of the destinations:
//! what fails there is its own, unless it is the only one. A `part` is what a
//! larger job has of this pipeline: it looks and commits by itself.
//!
//! This room must not know kinds of ends: it asks an `endpoint` what it can do.

mod ahead;
mod branch;
mod clock;
mod finish;
mod moved;
mod moving;
mod only_changed;
mod part;
mod prove;
mod report;
mod resolve;
mod run;
mod sizes;
mod stated;
mod stream;
mod unchanged;

pub(crate) use branch::Branch;
pub(crate) use finish::is_of_all;
pub(crate) use moving::{Moved, Sent};
pub(crate) use part::{Part, Way};
pub(crate) use resolve::{Request, Task};
pub(crate) use run::{dry_run, run};
