//! What a file has besides its content: owner, extended attributes, mode and
//! times, carried over to a copy of the whole file.
//!
//! The order matters: changing the owner clears the set-user-id bit, writing
//! attributes needs permission that the mode may take away, and everything
//! touches the times. What cannot be carried over is told, and no failure: the
//! content is what was asked for. This room knows open files and no jobs.

use std::fs::{File, FileTimes};
use std::io;
use std::time::{Duration, SystemTime};

use crate::error::chain;
use crate::sys::{self, Facts, Moment};

/// Set-user-id and set-group-id, which belong to an owner and go with them.
const SET_ID_BITS: u32 = 0o6000;

/// Gives `to` what `from` has besides its content, which was `facts` before it
/// was read. Returns what could not be carried over, a sentence each.
pub fn carry_over(from: &File, facts: &Facts, to: &File) -> Vec<String> {
    let mut notes = Vec::new();
    let mut lost = |what: &str, error: io::Error| {
        notes.push(format!("{what} could not be preserved: {}", chain(&error)));
    };
    let mut mode = facts.mode;
    if let Err(error) = sys::copy_owner(from, to) {
        mode &= !SET_ID_BITS;
        lost("the owner", error);
    }
    match sys::extended_attributes(from) {
        Ok(names) => {
            for name in names {
                if let Err(error) = sys::copy_extended_attribute(from, to, &name) {
                    lost(&format!("attribute {}", crate::error::quoted(&name)), error);
                }
            }
        }
        // A file system without attributes has lost none.
        Err(error) if sys::is_unsupported(&error) => {}
        Err(error) => lost("extended attributes", error),
    }
    if let Err(error) = sys::set_mode(to, mode) {
        lost("the mode", error);
    }
    let (modified, accessed) = (time(facts.modified), time(facts.accessed));
    let times = FileTimes::new().set_modified(modified).set_accessed(accessed);
    if let Err(error) = to.set_times(times) {
        lost("the times", error);
    }
    notes
}

fn time((seconds, nanoseconds): Moment) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let second =
        if seconds < 0 { SystemTime::UNIX_EPOCH - whole } else { SystemTime::UNIX_EPOCH + whole };
    second + Duration::from_nanos(nanoseconds.into())
}
