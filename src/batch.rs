//! Many ranges to many files in one run.
//!
//! Items come from a list (see `crate::manifest`) and become segments in the
//! order of the source (`queue`, `plan`), which the same pool copies that
//! copies a single range (`work`): neighbouring small ones in one request
//! (`scatter`), large ones in stripes (`large`) and by the engine that suits
//! them (`moving`). Files are written under other names (`staging`), and made
//! durable and visible in groups when they are finished (`ending`, `commit`,
//! `group_sync`); of those that lack something a map is kept (`partial`). What an
//! earlier run completed is compared with what the list expects of it (`skipped`).
//! Sources of which something has changed are compared with what was copied (`unchanged`).
//! What servers hand out is opened many at once (`remote`).
//! What is read and written besides must be none of all these (`beside`).
//! What a copy of folders has besides files is made around all of it (`tree`).
//! A part of one that several processes do is written by a `claim`.
//! `job` reads as the story of it.
//!
//! Where all items go to one destination (`onto`), each to an offset of its own,
//! it is a single copy: the list says which bytes of it are wanted.

mod assembled;
mod beside;
mod claim;
mod commit;
mod comparison;
mod draft;
mod ending;
mod group_sync;
mod handles;
mod job;
mod large;
mod moving;
mod named;
mod once;
mod onto;
mod output;
mod outputs;
mod parents;
mod partial;
mod plan;
mod preflight;
mod prepare;
mod preserving;
mod proof;
mod queue;
mod refused;
mod remote;
mod report;
mod roots;
mod scatter;
mod skipped;
mod sources;
mod staging;
mod tally;
mod tree;
mod unchanged;
mod unnamed;
mod wanted;
pub(crate) mod why;
mod work;

pub(crate) use claim::{Claim, Survey, SurveyedFile, suffix};
pub use job::{Batch, DEFAULT_IO_SIZE};
pub use onto::Onto;
pub use plan::BatchPlanned;
pub use report::{
    BatchReport, FolderReport, ItemInFolder, ItemReport, Items, Slow, Status, TreeReport,
};

#[cfg(test)]
mod tests;
