//! What threads share: locks, flags, threads, channels, and the clock they wait by.
//!
//! In a program these are the ones of std and crossbeam by other names, and nothing is
//! between. Tests of the library that are compiled by `scripts/model` get those of a model
//! checker: `shuttle` decides at each of them which thread goes on, and runs a test under as
//! many schedules as it is told. What is tried is the code of the program, not a copy of it.
//! The models in `tests/loom` compile a few rooms with the atomic operations of `loom`, which
//! knows what a weaker order of memory allows.
//!
//! This room knows nothing of what is shared.

#[cfg(all(test, pcopy_model))]
#[path = "sync/shuttle.rs"]
mod primitives;

#[cfg(pcopy_loom)]
#[path = "sync/loom.rs"]
mod primitives;

#[cfg(not(any(pcopy_loom, all(test, pcopy_model))))]
#[path = "sync/real.rs"]
mod primitives;

#[cfg(all(test, pcopy_model))]
pub mod tests;

pub use primitives::*;
