//! Items whose name is what another item, or the map of it, is called while it
//! is written: one of them would take the file of the other.
//!
//! Hardly any list has such names, so only those that look like one are kept,
//! and nothing else is looked at if there are none.

use std::collections::HashMap;
use std::path::Path;

use super::clash::{Clash, clash};
use super::item::Item;
use super::name::Rules;
use crate::durable::target::{MAP_SUFFIX, PART_SUFFIX, sibling_name};

/// What all such names contain.
const MARK: &str = ".pcopy-";

/// Adds every item that has such a name.
pub(super) fn siblings<'i>(items: &'i [Item], rules: Rules, found: &mut Vec<Clash<'i>>) {
    let mut suspects: HashMap<String, &Item> = HashMap::new();
    for item in items {
        let name = folded(&item.name, rules);
        if name.contains(MARK) {
            suspects.entry(name).or_insert(item);
        }
    }
    if suspects.is_empty() {
        return;
    }
    for item in items {
        let name = item.name.file_name().unwrap_or_default();
        let (part, map) = (sibling_name(name, PART_SUFFIX), sibling_name(name, MAP_SUFFIX));
        for sibling in [part, map] {
            let sibling = item.name.with_file_name(sibling);
            if let Some(other) = suspects.get(&folded(&sibling, rules)) {
                found.push(taken(item, other));
            }
        }
    }
}

/// The name as files are told apart by. What is not UTF-8 may be suspected
/// without need, and such a name is rare enough.
fn folded(name: &Path, rules: Rules) -> String {
    let name = name.to_string_lossy();
    match rules {
        Rules::Unix => name.into_owned(),
        // A path made here has its own separator where it was put together.
        Rules::Windows => name.to_lowercase().replace('\\', "/"),
    }
}

/// The error is that of the later line.
fn taken<'i>(item: &'i Item, sibling: &'i Item) -> Clash<'i> {
    let (name, line) = (&item.name, item.line);
    let what = format!("{:?} is a name that {name:?} needs while it is written", sibling.name);
    match line > sibling.line {
        true => clash(item, format!("{what}, line {}", sibling.line)),
        false => clash(sibling, format!("{what}, line {line}")),
    }
}
