//! Copies byte ranges of files, disk images and block devices with several
//! threads, exactly and durably.
//!
//! # The story of a copy
//!
//! A [`CopyJob`] names two ends ([`endpoint`]); `copy` looks at them and
//! refuses what must not be done before a byte is written. The range is cut
//! into **stripes** by `plan`; the workers of `pool` claim them in ascending
//! order, and an `engine` moves each by positioned reads and writes. A new file
//! is written under a temporary name and gets its own when it is complete and
//! on the disk (`durable`). A [`Report`] says what happened.
//!
//! # Code map
//!
//! | room | holds |
//! |---|---|
//! | `job` | the builder of a copy |
//! | `patch` | bytes into the middle of a file |
//! | `copy` | the pipeline: `copy::run` reads as "a copy" |
//! | `endpoint` | what can be read and written: one file a kind |
//! | `range`, `size` | the arithmetic and the grammar of ranges and sizes; maps of ddrescue, line by line |
//! | `words` | choices that have a word each |
//! | `options` | what can be asked of a job |
//! | `plan` | range → stripes; pure |
//! | `source` | opening what is read |
//! | `sparse` | holes: where they are, and where they are made |
//! | `io` | [`Source`](io::Source) and [`Sink`](io::Sink); the loops over short counts; buffers |
//! | `engine` | ways to move bytes; one file each |
//! | `pool` | workers, retries, the thread controller, the rate limit |
//! | `cpu` | a pool for work of processors alone, which may have no threads |
//! | `manifest` | the list of what to copy, read from ten formats and checked whole |
//! | `tree` | folders, and what is in them |
//! | `batch` | many ranges to many files |
//! | `fleet` | one copy by many processes, on many machines |
//! | `bench` | sweeps of settings, their statistics and charts |
//! | `durable` | new files up to their names; checkpoints, resume, side files |
//! | `safety` | what is refused |
//! | `digest` | hashes of the range, computed while it is copied |
//! | `preserve` | what a file has besides its content |
//! | `verify` | fingerprints, and reading back past the cache |
//! | `picture` | areas to text, SVG and HTML |
//! | `devices` | the block devices there are |
//! | `evidence` | the log of an acquisition |
//! | `progress`, `report`, `error` | what can be seen: during, after, and instead |
//! | `sys` | the operating system; all `unsafe` |
//! | `testing` | doubles that fail, tear and forget; feature `testing` |
//!
//! The command line lives in the binary and nowhere else, so that the library
//! cannot print.
//!
//! # Invariants
//!
//! Each has a test that names it.
//!
//! - **I1** A plan covers the wanted range exactly once; stripes are disjoint,
//!   ascending, with interior edges on alignment.
//! - **I2** Nothing outside the range is ever written; a byte is written by at
//!   most one worker per run.
//! - **I3** A byte is *done* only after a full write, and journalled only after
//!   a sync that *started* after it was done.
//! - **I4** A new file's final name never shows partial content. In-place
//!   writes say so in the report.
//! - **I5** The library does not print, exit, install signal handlers or read
//!   the environment.
//! - **I6** Only the transfer functions and an engine's own completion loop
//!   handle short counts; zero is end of file, never "try again".
//! - **I7** Nothing fallible in `Drop`.
//! - **I8** Cancellation is checked between requests.
//! - **I9** A sync error, a journal error, a changed source is never a warning;
//!   a failed fsync is never retried.
//! - **I10** A fallback is never silent, and happens only for "not supported
//!   here" errors, continuing from the bytes already moved.
//! - **I11** `Ok` with a complete report means: every requested byte is in the
//!   destination, and durable unless the caller said otherwise.
//! - **I12** What is removed, truncated or replaced was made in this run, or is
//!   proved to be of an earlier one. Side files have one home, `durable::side`,
//!   that makes, checks and names them.
//! - **I13** Bytes decide, not numbers: where the number, name or time of a file
//!   is not as before, content is compared before anything is refused, failed,
//!   thrown away or believed.

pub mod address;
pub mod batch;
pub mod bench;
pub mod devices;
pub mod digest;
pub mod endpoint;
pub mod error;
pub mod evidence;
pub mod fleet;
pub mod io;
pub mod manifest;
pub mod options;
pub mod patch;
pub mod picture;
pub mod progress;
pub mod range;
pub mod report;
pub mod size;
pub mod tree;
pub mod verify;
pub mod words;

mod copy;
mod cpu;
mod job;
mod sync;

// Rooms behind the facade. The command and the tests of this package look into
// them; they are not part of what a version promises.
#[doc(hidden)]
pub mod durable;
#[doc(hidden)]
pub mod engine;
#[doc(hidden)]
pub mod plan;
#[doc(hidden)]
pub mod pool;
#[doc(hidden)]
pub mod preserve;
#[doc(hidden)]
pub mod safety;
#[doc(hidden)]
pub mod source;
#[doc(hidden)]
pub mod sparse;
#[doc(hidden)]
pub mod sys;
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod testing;

pub use batch::Batch;
pub use durable::previous::Leftovers;
pub use durable::trust::Trust;
pub use engine::{EngineChoice, Reflink};
pub use error::{Error, ErrorKind, Failure, JobResult, Refusal, Result};
pub use fleet::{SharedBatch, SharedJob};
pub use job::{CopyJob, VerifyJob};
pub use options::Options;
pub use patch::{PatchJob, patch};
pub use pool::{OnReadError, Threads};
pub use progress::{CancelToken, Event, Phase, Progress, Snapshot, Watch};
pub use range::{ByteRange, Mapping, RangeSet, RangeSpec};
pub use report::{Outcome, Report};
pub use size::Size;
pub use source::Join;
pub use sparse::{Preallocate, Sparse};

/// The examples of the book are tests.
#[cfg(doctest)]
mod book {
    #[doc = include_str!("../docs/library.md")]
    mod library {}
    #[doc = include_str!("../README.md")]
    mod readme {}
}
