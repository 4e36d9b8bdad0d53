//! What the files of a batch could not be given: the same of many files is said
//! once, with how many they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::quoted;
use crate::preserve::NotGiven;
use crate::progress::lock;
use crate::sync::Mutex;

/// What was refused, from any thread.
#[derive(Default)]
pub struct Refused {
    by_what: Mutex<BTreeMap<&'static str, First>>,
}

/// The first of them, and how many there are.
struct First {
    name: PathBuf,
    missing: NotGiven,
    count: u64,
}

impl Refused {
    /// Takes what the file `name` was not given.
    pub fn extend(&self, missing: impl IntoIterator<Item = NotGiven>, name: &Path) {
        for missing in missing {
            let mut by_what = lock(&self.by_what);
            let what = missing.what;
            let first = || First { name: name.to_owned(), missing, count: 0 };
            by_what.entry(what).or_insert_with(first).count += 1;
        }
    }

    /// A line each.
    pub fn notes(&self) -> Vec<String> {
        let by_what = lock(&self.by_what);
        let line = |First { name, missing, count }: &First| match count {
            1 => format!("{missing} ({})", quoted(name)),
            _ => format!("{missing} ({} and {} more)", quoted(name), count - 1),
        };
        by_what.values().map(line).collect()
    }
}
