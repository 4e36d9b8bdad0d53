//! What a copy has besides its content, compared with what its source has. The time
//! of the last access is nobody's concern: looking changes it.

use std::fs::File;
use std::io;

use crate::error::quoted;
use crate::sys::{self, FileKind, Metadata};

/// An open file, and what it is.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Open.
    pub file: &'a File,
    /// What it is.
    pub facts: &'a Metadata,
}

/// How `copy` differs from `source` in what [`carry_over`](super::carry_over) gives
/// it; `None` if it does not.
///
/// # Errors
///
/// If the system does not say what attributes one of them has.
pub fn difference(source: Known<'_>, copy: Known<'_>) -> io::Result<Option<String>> {
    match difference_of_facts(source.facts, copy.facts) {
        None => difference_of_attributes(source.file, copy.file),
        found => Ok(found),
    }
}

/// The same of owner, mode and time alone, as of a symbolic link.
pub fn difference_of_facts(facts: &Metadata, now: &Metadata) -> Option<String> {
    let owner = |facts: &Metadata| format!("{}:{}", facts.owner, facts.group);
    let mode = |facts: &Metadata| format!("{:04o}", facts.mode & 0o7777);
    let time = |facts: &Metadata| format!("{}.{:09}", facts.modified.0, facts.modified.1);
    let differs = |what: &str, now: String, wanted: String| {
        (now != wanted).then(|| format!("its {what} is {now}, and should be {wanted}"))
    };
    let mode_differs = || match facts.node {
        // That of a link counts nowhere.
        FileKind::Link => None,
        _ => differs("mode", mode(now), mode(facts)),
    };
    differs("owner", owner(now), owner(facts))
        .or_else(mode_differs)
        .or_else(|| differs("time of last change", time(now), time(facts)))
}

fn difference_of_attributes(source: &File, copy: &File) -> io::Result<Option<String>> {
    let (wanted, found) = (attributes(source)?, attributes(copy)?);
    if let Some(name) = wanted.iter().find(|name| !found.contains(name)) {
        return Ok(Some(format!("it lacks the attribute {}", quoted(name))));
    }
    if let Some(name) = found.iter().find(|name| !wanted.contains(name)) {
        return Ok(Some(format!("it has the attribute {}, and should not", quoted(name))));
    }
    for name in wanted {
        if sys::extended_attribute(source, &name)? != sys::extended_attribute(copy, &name)? {
            return Ok(Some(format!("its attribute {} has another value", quoted(&name))));
        }
    }
    Ok(None)
}

fn attributes(file: &File) -> io::Result<Vec<std::ffi::OsString>> {
    match sys::extended_attributes(file) {
        Err(error) if sys::is_unsupported(&error) => Ok(Vec::new()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_mode_and_time_count_and_nothing_else_that_changes_by_itself() {
        let file = tempfile::tempfile().unwrap();
        let facts = sys::facts(&file).unwrap();
        let check = |change: &dyn Fn(&mut Metadata), says: Option<&str>| {
            let mut now = facts.clone();
            change(&mut now);
            let found = difference_of_facts(&facts, &now);
            assert_eq!(found.is_some(), says.is_some(), "{found:?}");
            assert!(found.unwrap_or_default().contains(says.unwrap_or_default()));
        };
        check(&|_| {}, None);
        check(&|now| now.accessed.0 += 1, None);
        check(&|now| now.changed.0 += 1, None);
        check(&|now| now.inode += 1, None);
        check(&|now| now.group += 1, Some("owner"));
        check(&|now| now.mode ^= 0o4000, Some("mode"));
        check(&|now| now.modified.1 ^= 1, Some("time of last change"));
    }
}
