//! Doubles for tests: sources and sinks that fail, stall, tear and forget on
//! request, the same way every time.
//!
//! [`Faulty`] makes calls go wrong by rule; [`Volatile`] is a disk with a
//! write cache that loses power. Both wrap any [`Source`](crate::io::Source)
//! or [`Sink`](crate::io::Sink), most usefully a
//! [`Memory`](crate::io::memory::Memory), so that a test can say exactly which
//! byte goes wrong and look at what is left. Library users test their own
//! handling of errors with them: they are public under the feature `testing`. [`inputs`] takes in whatever comes as bytes from outside.
//!
//! This room knows nothing of jobs, stripes or maps.
//!
//! ```
//! use pcopy::io::{memory::Memory, transfer::read_full};
//! use pcopy::testing::{Faulty, Operation, Rule};
//!
//! let disk = Faulty::new(Memory::zeroed(4096))
//!     .with(Rule::on(Operation::Read).within(512..1024).errno(5).persistent());
//! let stop = read_full(&disk, 0, &mut [0; 4096]).unwrap_err();
//! assert_eq!((stop.moved, stop.error.raw_os_error()), (512, Some(5)));
//! assert_eq!(disk.hits(), 2, "cut short at the bad sector, then the error");
//! ```

mod faulty;
pub mod inputs;
mod random;
mod rule;
mod volatile;

pub use faulty::Faulty;
pub use random::Random;
pub use rule::{Operation, Rule};
pub use volatile::{SECTOR, Volatile};
