//! Items that want the same bytes of the same file, or a file where another
//! item needs a directory.
//!
//! A million names are too many to sort in the time there is, so they are
//! hashed first: an item is suspect if the hash of its name occurs twice, or
//! also occurs as the hash of a directory, or if one of its directories has the
//! hash of a file. Only suspects are compared, in an order in which a directory
//! is followed at once by what lies in it, so that neighbours tell everything.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};

use super::check::{Sizes, bytes};
use super::item::Item;
use super::name::Rules;
use crate::cpu::Pool;
use crate::range::ByteRange;

/// An item that wants what another has.
pub(super) struct Clash<'i> {
    /// The later of both.
    pub(super) item: &'i Item,
    /// What it wants, and which has it.
    pub(super) message: String,
    /// How many components of its name are what the other has.
    pub(super) components: usize,
}

pub(super) fn clash(item: &Item, message: String) -> Clash<'_> {
    Clash { item, message, components: item.name.components().count() }
}

/// Adds every item whose destination another has.
pub(super) fn clashes<'i>(
    items: &'i [Item],
    sizes: &Sizes<'_>,
    rules: Rules,
    pool: &Pool,
    found: &mut Vec<Clash<'i>>,
) {
    let suspects = suspects(items, rules, pool);
    let mut names: Vec<(Cow<'_, [u8]>, &Item)> =
        pool.map(&suspects, |&item| (folded(bytes(item), rules), item));
    pool.sort_by(&mut names, |(a_name, a), (b_name, b)| {
        by_component(a_name, b_name)
            .then_with(|| a.dest_offset.cmp(&b.dest_offset))
            .then_with(|| a.line.cmp(&b.line))
    });
    // Of the file at hand: its first item, how far it is filled, and by which.
    let mut file: Option<(&[u8], &Item, u64, &Item)> = None;
    let mut before: Option<&Item> = None;
    for (name, item) in &names {
        let end = end_in_file(item, sizes);
        file = match file {
            Some((same, first, until, by)) if same == &**name => {
                let again = before.is_some_and(|before| before.dest_offset == item.dest_offset);
                if item.dest_offset < until || again {
                    found.push(overlap(by, item));
                }
                let (until, by) = if end > until { (end, *item) } else { (until, by) };
                Some((same, first, until, by))
            }
            _ => {
                if let Some((_, outer, ..)) = file.filter(|file| lies_in(name, file.0)) {
                    found.push(directory(outer, item));
                }
                Some((name, item, end, item))
            }
        };
        before = Some(item);
    }
}

/// The name as files are told apart by: on Windows case does not count.
fn folded(name: &[u8], rules: Rules) -> Cow<'_, [u8]> {
    match rules {
        Rules::Unix => Cow::Borrowed(name),
        Rules::Windows => String::from_utf8_lossy(name).to_lowercase().into_bytes().into(),
    }
}

/// The items that may clash; those that do are all among them.
fn suspects<'i>(items: &'i [Item], rules: Rules, pool: &Pool) -> Vec<&'i Item> {
    let state = RandomState::new();
    let hashes = |item: &Item| path_hashes(&state, &folded(bytes(item), rules));
    let mut files: Vec<u64> = pool.map(items, |item| hashes(item).0);
    let mut directories: Vec<u64> = pool.flat_map(items, |item| hashes(item).1);
    pool.sort_by(&mut files, u64::cmp);
    pool.sort_by(&mut directories, u64::cmp);
    directories.dedup();
    let mut marked: HashSet<u64> = HashSet::new();
    let mut ahead = directories.iter().peekable();
    for (n, hash) in files.iter().enumerate() {
        while ahead.next_if(|directory| *directory < hash).is_some() {}
        if ahead.peek() == Some(&hash) || files.get(n + 1) == Some(hash) {
            marked.insert(*hash);
        }
    }
    if marked.is_empty() {
        return Vec::new();
    }
    pool.flat_map(items, |item| {
        let (name, directories) = hashes(item);
        let suspect = |hash| marked.contains(hash);
        (suspect(&name) || directories.iter().any(suspect)).then_some(item)
    })
}

/// The hash of a name, and those of the directories it lies in.
fn path_hashes(state: &RandomState, name: &[u8]) -> (u64, Vec<u64>) {
    let mut hasher = state.build_hasher();
    let mut directories = Vec::new();
    for (n, component) in name.split(|&byte| byte == b'/').enumerate() {
        if n > 0 {
            directories.push(hasher.finish());
            hasher.write_u8(b'/');
        }
        hasher.write(component);
    }
    (hasher.finish(), directories)
}

/// Where an item ends in its file; a whole source of unknown length (which is
/// an error already) fills nothing.
fn end_in_file(item: &Item, sizes: &Sizes<'_>) -> u64 {
    let len = sizes.get(&item.source.as_deref()).copied().flatten().unwrap_or(0);
    item.destination(len).map_or(u64::MAX, ByteRange::end)
}

/// Byte order with `/` before everything else.
fn by_component(a: &[u8], b: &[u8]) -> Ordering {
    let rank = |byte: u8| if byte == b'/' { 0 } else { u16::from(byte) + 1 };
    match a.iter().zip(b).find(|(a, b)| a != b) {
        Some((&a, &b)) => rank(a).cmp(&rank(b)),
        None => a.len().cmp(&b.len()),
    }
}

fn lies_in(name: &[u8], directory: &[u8]) -> bool {
    let rest = name.strip_prefix(directory);
    !directory.is_empty() && rest.is_some_and(|rest| rest.starts_with(b"/"))
}

/// Two items for one place; the error is that of the later line.
fn overlap<'i>(a: &'i Item, b: &'i Item) -> Clash<'i> {
    let (first, second) = if a.line <= b.line { (a, b) } else { (b, a) };
    let what = match first.name == second.name {
        true => format!("{:?} is written", second.name),
        false => format!("{:?} and {:?} are one file here, written", second.name, first.name),
    };
    clash(
        second,
        format!(
            "{what} {}already, from {} on, and overlaps it from {} on",
            by_line(first),
            first.dest_offset,
            second.dest_offset
        ),
    )
}

/// Which line that is, if there is a list.
fn by_line(item: &Item) -> String {
    if item.line > 0 { format!("by line {} ", item.line) } else { String::new() }
}

/// A file that would also have to be a directory.
fn directory<'i>(file: &'i Item, inner: &'i Item) -> Clash<'i> {
    let (file_name, inner_name) = (&file.name, &inner.name);
    match file.line > inner.line {
        true => clash(
            file,
            format!("{file_name:?} is a directory of {inner_name:?}, line {}", inner.line),
        ),
        false => Clash {
            components: file_name.components().count(),
            ..clash(
                inner,
                format!(
                    "{inner_name:?} lies in {file_name:?}, which is a file, line {}",
                    file.line
                ),
            )
        },
    }
}
