//! Whether a destination holds what was read from the source.
//!
//! The destination is read back from the medium, not from the page cache, which
//! would only say what was meant to be written ([`read_back`]). It is compared
//! with fingerprints taken while the bytes were copied ([`fingerprint`](crate::io::fingerprint)), and
//! where there is none with the source, which is read again ([`compare`]).
//!
//! This room reads and compares. It repairs nothing and decides nothing.

pub mod again;
pub mod compare;
pub mod read_back;
