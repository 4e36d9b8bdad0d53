//! Those of `loom`, as far as the rooms need them that it is asked about.

pub use loom::sync::atomic;
pub use loom::thread;
