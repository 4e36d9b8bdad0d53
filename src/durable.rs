//! How a destination becomes complete, visible and durable, in that order.
//!
//! `target` is where it is written, `previous` what an earlier run left of it,
//! `trust` whether that is ours and `recheck` whether it is still there, `part` is
//! a file under a name nobody looks at, `sizing` gives it its length, `open_file`
//! is what is written, `stage` a new file up to its name, `intact` looks whether
//! others left it alone meanwhile, `checkpoint` records in a `map` how far a run
//! got, and `side` makes and removes what lies beside. The recipe is complete or useless: write,
//! sync the file, rename, sync the directory. Leaving out any step loses data in a
//! power cut on common file systems.

pub mod checkpoint;
pub mod intact;
pub mod map;
pub mod open_file;
pub mod part;
pub mod partitions;
pub mod pieces;
pub mod previous;
pub mod recheck;
pub mod side;
pub mod sizing;
pub mod stage;
pub mod target;
pub mod trust;
