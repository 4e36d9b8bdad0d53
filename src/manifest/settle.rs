//! What a list may have that would refuse it, left out or mended at the wish of
//! the user: one bad row must not cost the others. Everything that is done here
//! is told in a note.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check::{Sizes, bytes, outside};
use super::clash::{Clash, clashes};
use super::item::{Item, Run, Runs};
use super::name::{Rules, refusal};
use super::siblings::siblings;
use crate::cpu::Pool;
use crate::error::quoted;
use crate::range::ByteRange;

/// What becomes of rows that would refuse the list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lenience {
    /// Leave out what lies outside its source.
    pub skip_outside: bool,
    /// Cut what lies outside its source to what exists.
    pub clamp: bool,
    /// Leave out names that are refused.
    pub skip_names: bool,
    /// Leave out what wants a place that a row before it has.
    pub skip_clashes: bool,
    /// Give such a number.
    pub number_clashes: bool,
}

/// Rounds after which clashes that are left refuse the list: a name with a
/// number may clash again.
const ROUNDS: usize = 8;

/// Leaves out, cuts or numbers `items` as `lenience` says. `source_len` is that
/// of [`check`](super::check()). Returns what was done, a note each.
pub fn settle(
    items: &mut Vec<Item>,
    lenience: Lenience,
    source_len: impl Fn(Option<&Path>) -> Option<u64>,
) -> Vec<String> {
    let mut notes = Vec::new();
    if lenience.skip_names {
        let bad = |item: &Item| refusal(bytes(item), Rules::HERE).is_some();
        note(&mut notes, "left out, because their names are refused", leave_out(items, bad));
    }
    let mut lens = HashMap::new();
    for item in &*items {
        let source = item.source.clone();
        lens.entry(source).or_insert_with_key(|source| source_len(source.as_deref()));
    }
    let len = |item: &Item| lens.get(&item.source).copied().flatten();
    if lenience.clamp {
        let mut cut = Done::default();
        for item in &mut *items {
            if len(item).is_some_and(|len| clamp(item, len)) {
                cut.add(item);
            }
        }
        note(&mut notes, "cut to what their source has; no digest is expected of them", cut);
        let nothing = |item: &Item| starts_outside(item, len(item));
        note(&mut notes, "left out, because nothing of them exists", leave_out(items, nothing));
    }
    if lenience.skip_outside {
        let out = |item: &Item| len(item).is_some_and(|len| outside(item, len).is_some());
        note(&mut notes, "left out, because they lie outside their source", leave_out(items, out));
    }
    if lenience.skip_clashes || lenience.number_clashes {
        settle_clashes(items, lenience, &lens, &mut notes);
    }
    notes
}

/// How many, and the first of them.
#[derive(Default)]
struct Done {
    count: usize,
    first: Option<(u64, PathBuf)>,
}

impl Done {
    fn add(&mut self, item: &Item) {
        self.count += 1;
        self.first.get_or_insert_with(|| (item.line, item.name.to_path_buf()));
    }
}

fn note(notes: &mut Vec<String>, what: &str, done: Done) {
    if let Some((line, name)) = done.first {
        let count = done.count;
        notes.push(format!("{count} {what}; the first is {}, line {line}", quoted(name)));
    }
}

fn leave_out(items: &mut Vec<Item>, unwanted: impl Fn(&Item) -> bool) -> Done {
    let mut done = Done::default();
    items.retain(|item| {
        let stays = !unwanted(item);
        if !stays {
            done.add(item);
        }
        stays
    });
    done
}

/// Whether an item that was cut has lost all of its data.
fn starts_outside(item: &Item, len: Option<u64>) -> bool {
    match (&item.runs, len) {
        (Runs::One(range), Some(len)) => range.start() > len,
        _ => false,
    }
}

/// Cuts the runs of an item at the first byte that its source does not have.
fn clamp(item: &mut Item, len: u64) -> bool {
    if outside(item, len).is_none() {
        return false;
    }
    if matches!(item.runs, Runs::One(range) if range.start() > len) {
        // It is left out.
        return false;
    }
    let mut pieces = Vec::new();
    for run in item.runs.pieces(len) {
        match run {
            Run::Data(range) if range.end() > len => {
                pieces.push(Run::Data(range.intersect(ByteRange::to(len))));
                break;
            }
            run => pieces.push(run),
        }
    }
    item.runs = Runs::from_pieces(pieces);
    if let Some(details) = &mut item.details {
        details.expected = Box::default();
    }
    true
}

fn settle_clashes(
    items: &mut Vec<Item>,
    lenience: Lenience,
    lens: &HashMap<Option<Arc<Path>>, Option<u64>>,
    notes: &mut Vec<String>,
) {
    let mut done = Done::default();
    let pool = Pool::for_items(items.len());
    for round in 2..2 + ROUNDS {
        let sizes: Sizes<'_> = lens.iter().map(|(source, len)| (source.as_deref(), *len)).collect();
        let mut found = Vec::new();
        clashes(items, &sizes, Rules::HERE, &pool, &mut found);
        siblings(items, Rules::HERE, &mut found);
        let first = items.as_ptr().addr();
        let row =
            |clash: &Clash<'_>| (std::ptr::from_ref(clash.item).addr() - first) / size_of::<Item>();
        let rows: HashMap<usize, usize> =
            found.iter().map(|clash| (row(clash), clash.components)).collect();
        if rows.is_empty() {
            break;
        }
        let mut row = 0;
        items.retain_mut(|item| {
            row += 1;
            let Some(&components) = rows.get(&(row - 1)) else { return true };
            done.add(item);
            if lenience.number_clashes {
                item.name = numbered(&item.name, components, round).into();
            }
            lenience.number_clashes
        });
    }
    let what = match lenience.number_clashes {
        true => "given a number, because a row before has their place",
        false => "left out, because a row before has their place",
    };
    note(notes, what, done);
}

/// `dir/name.end` as `dir/name~2.end`, where `components` of it are taken.
fn numbered(name: &Path, components: usize, number: usize) -> PathBuf {
    let mut whole = OsString::new();
    for (at, component) in (1..).zip(name.components()) {
        if at > 1 {
            // That of manifests, on every system.
            whole.push("/");
        }
        let part = Path::new(&component);
        if at != components {
            whole.push(part);
            continue;
        }
        let stem = part.file_stem().unwrap_or_default();
        // The number of the round before is replaced: that name was taken as well.
        let before = format!("~{}", number - 1);
        let stem =
            stem.to_str().and_then(|stem| stem.strip_suffix(&before)).map_or(stem, OsStr::new);
        whole.push(stem);
        whole.push(format!("~{number}"));
        if let Some(ending) = part.extension() {
            whole.push(".");
            whole.push(ending);
        }
    }
    whole.into()
}
