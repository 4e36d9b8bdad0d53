//! Rooms of pcopy, as they are, with the atomic operations of `loom`.

// Most of what a room has is of no use here.
#![allow(dead_code, unused_imports, unused_macros)]

#[path = "../../src"]
mod rooms {
    #[path = "progress/cancel.rs"]
    pub mod cancel;
    pub mod plan;
    pub mod range;
    pub mod size;
    pub mod sync;
    pub mod words;

    pub mod sys {
        //! No files here.

        pub const FILLS_AHEAD: bool = false;
    }
}

pub use rooms::*;
