//! What a file has besides its content: owner, extended attributes, mode and
//! times, carried over to a copy of the whole file.
//!
//! The order matters: changing the owner clears the set-user-id bit, writing
//! attributes needs permission that the mode may take away, and everything
//! touches the times. What cannot be carried over is told, and no failure: the
//! content is what was asked for. This room knows open files and no jobs.

use std::fs::{File, FileTimes};
use std::io;

use crate::error::chain;
use crate::sys;

/// Set-user-id and set-group-id, which belong to an owner and go with them.
const SET_ID_BITS: u32 = 0o6000;

/// Gives `to` what `from` has besides its content. Returns what could not be
/// carried over, a sentence each.
pub fn carry_over(from: &File, to: &File) -> Vec<String> {
    let mut notes = Vec::new();
    let mut lost = |what: &str, error: io::Error| {
        notes.push(format!("{what} could not be preserved: {}", chain(&error)));
    };
    let owner = sys::copy_owner(from, to);
    let mut mode = sys::facts(from).map(|facts| facts.mode);
    if let Err(error) = owner {
        mode = mode.map(|mode| mode & !SET_ID_BITS);
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
    if let Err(error) = mode.and_then(|mode| sys::set_mode(to, mode)) {
        lost("the mode", error);
    }
    if let Err(error) = copy_times(from, to) {
        lost("the times", error);
    }
    notes
}

fn copy_times(from: &File, to: &File) -> io::Result<()> {
    let metadata = from.metadata()?;
    let times = FileTimes::new().set_modified(metadata.modified()?);
    // A file system that keeps no time of access has none to carry over.
    let times = metadata.accessed().map_or(times, |accessed| times.set_accessed(accessed));
    to.set_times(times)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    #[test]
    fn mode_and_times_are_carried_over() {
        let file = || tempfile::NamedTempFile::new().expect("a file").into_file();
        let (from, to) = (file(), file());
        let moment = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
        let times = FileTimes::new().set_modified(moment).set_accessed(moment);
        sys::set_mode(&from, 0o640).expect("own file");
        from.set_times(times).expect("own file");
        assert_eq!(carry_over(&from, &to), Vec::<String>::new());
        let found = to.metadata().expect("own file");
        assert_eq!(found.modified().expect("a time"), moment);
        assert_eq!(found.accessed().expect("a time"), moment);
        assert_eq!(sys::facts(&to).expect("own file").mode, 0o640);
    }
}
