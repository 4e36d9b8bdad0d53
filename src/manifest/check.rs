//! The checks of a whole manifest: each row against its source and the rules
//! of names, in parallel, and all of them against each other (`clash`).

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::clash::{Clash, clashes};
use super::error::{ErrorKind, ManifestError, ManifestErrors};
use super::item::{Item, Run, Runs};
use super::name::{Rules, refusal};
use super::siblings::siblings;
use crate::address;
use crate::cpu::Pool;
use crate::error::{Fault, quoted};
use crate::range::ByteRange;
use crate::source::Container;

/// The sizes of all sources; `None` for one that is not there.
pub(super) type Sizes<'a> = HashMap<Option<&'a Path>, Option<u64>>;

/// Checks items against the sizes of their sources (`source_len`; `None` asks
/// for the source of the whole batch) and against each other.
///
/// # Errors
///
/// Everything that is refused, in order of lines: a range that does not lie
/// inside its source, a name that escapes or cannot be, destinations that are
/// the same or overlap, a name that is a directory of another.
pub fn check(
    items: &[Item],
    source_len: impl Fn(Option<&Path>) -> Option<u64>,
) -> Result<(), ManifestErrors> {
    let pool = Pool::for_items(items.len());
    check_with(items, |source| source_len(source).ok_or_else(|| no_source(source)), &pool)
}

/// As [`check`], for a caller who can say why a source is not to be had.
///
/// # Errors
///
/// As [`check`].
pub(crate) fn check_with(
    items: &[Item],
    source_len: impl Fn(Option<&Path>) -> Result<u64, NoSource>,
    pool: &Pool,
) -> Result<(), ManifestErrors> {
    check_under(items, source_len, Rules::HERE, pool)
}

/// Why a source is not to be had.
#[derive(Clone, Debug)]
pub(crate) struct NoSource {
    /// Whether the call or the source is to blame.
    pub kind: ErrorKind,
    /// What is said of it.
    pub message: String,
    /// What kind of fault it is.
    pub fault: Fault,
}

/// Checks items that were found against each other: whole files, whose names are
/// those of files that there are.
///
/// # Errors
///
/// As [`check`], of the names alone.
pub(crate) fn check_apart(items: &[Item], pool: &Pool) -> Result<(), ManifestErrors> {
    let (mut same, mut needed) = (Vec::new(), Vec::new());
    clashes(items, &Sizes::new(), Rules::HERE, pool, &mut same);
    siblings(items, Rules::HERE, &mut needed);
    // They stand on no lines, and the ways around rows of a list do not help.
    let same = same.into_iter().map(|clash| {
        let source = clash.item.source.as_deref().unwrap_or(&clash.item.name);
        let message = "has the name of another file that is copied, or lies in one";
        error(clash.item, format!("{} {message}", quoted(source)))
    });
    let needed = needed
        .into_iter()
        .map(|clash| error(clash.item, clash.message.trim_end_matches(", line 0").to_owned()));
    ManifestErrors::from_unordered(same.chain(needed).collect()).or(())
}

fn check_under(
    items: &[Item],
    source_len: impl Fn(Option<&Path>) -> Result<u64, NoSource>,
    rules: Rules,
    pool: &Pool,
) -> Result<(), ManifestErrors> {
    let mut sizes = Sizes::new();
    let mut errors = Vec::new();
    for item in items {
        // Said once a source, however many rows name it.
        sizes.entry(item.source.as_deref()).or_insert_with_key(|source| {
            let refused = |NoSource { kind, message, fault }: NoSource| {
                errors.push(ManifestError::new(item.line, kind, &message).of(fault));
            };
            source_len(*source).map_err(refused).ok()
        });
    }
    errors.extend(pool.flat_map(items, |item| {
        let name =
            refusal(bytes(item), rules).map(|why| error(item, format!("{:?} {why}", item.name)));
        let len = sizes.get(&item.source.as_deref()).copied().flatten();
        let beyond = len.and_then(|len| outside(item, len));
        let name = name.map(|error| error.of(Fault::Name));
        name.into_iter().chain(beyond.map(|why| error(item, why).of(Fault::Outside)))
    }));
    let mut found = Vec::new();
    clashes(items, &sizes, rules, pool, &mut found);
    siblings(items, rules, &mut found);
    let clashing = |clash: Clash<'_>| error(clash.item, clash.message).of(Fault::Clash);
    errors.extend(found.into_iter().map(clashing));
    ManifestErrors::from_unordered(errors).or(())
}

pub(super) fn error(item: &Item, message: String) -> ManifestError {
    ManifestError::new(item.line, ErrorKind::Refused, &message)
}

pub(super) fn bytes(item: &Item) -> &[u8] {
    item.name.as_os_str().as_encoded_bytes()
}

/// What is said of a source of which nothing is known.
pub(crate) fn no_source(source: Option<&Path>) -> NoSource {
    match source {
        Some(source) => {
            let source = address::shown(source);
            let message = format!("there is no source {source:?} whose size is known");
            NoSource { kind: ErrorKind::Refused, message, fault: Fault::Other }
        }
        None => {
            let message = "no source: name one for the batch, or in a column `source`".to_owned();
            NoSource { kind: ErrorKind::Usage, message, fault: Fault::NoSource }
        }
    }
}

/// Refuses ranges of a source that holds the disk packed: `packed` says as what.
/// It is said once a source.
pub fn refuse_containers(
    items: &[Item],
    errors: &mut ManifestErrors,
    packed: impl Fn(Option<&Path>) -> Option<Container>,
) {
    let mut known = HashSet::new();
    for item in items.iter().filter(|item| item.runs != Runs::Whole) {
        let source = item.source.as_deref();
        if known.insert(source)
            && let Some(Container { name, opened_by }) = packed(source)
        {
            let of =
                source.map_or_else(|| "the source".to_owned(), |path| quoted(path).to_string());
            let message = format!(
                "{of} is a container, {name}, and ranges of a disk are not where the list says: \
                 {opened_by}"
            );
            let mut more = ManifestErrors::default();
            more.push(error(item, message).of(Fault::Container));
            errors.merge(more);
        }
    }
}

/// What is said of an item that does not lie inside its source of `len` bytes.
pub(super) fn outside(item: &Item, len: u64) -> Option<String> {
    let inside = ByteRange::to(len);
    let source = item.source.as_deref();
    let of = source
        .map_or_else(|| "the source".to_owned(), |source| format!("{:?}", address::shown(source)));
    let name = &item.name;
    let beyond = item.runs.pieces(len).find_map(|run| match run {
        Run::Data(range) if range.end() > inside.end() => Some(range),
        _ => None,
    });
    if let Some(range) = beyond {
        return Some(format!(
            "{name:?}: bytes {range} do not lie inside {of}, which has {len} bytes"
        ));
    }
    let fits = item.destination(len).is_some();
    (!fits).then(|| format!("{name:?} would end past what 64 bits count"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(names: [&str; 2], rules: Rules, want: &[&str]) {
        let item = |(n, name): (usize, &&str)| Item {
            line: n as u64 + 1,
            name: Path::new(*name).into(),
            source: None,
            runs: Runs::Whole,
            dest_offset: 0,
            details: None,
        };
        let items: Vec<Item> = names.iter().enumerate().map(item).collect();
        let errors = check_under(&items, |_| Ok(1), rules, &Pool::none()).err().unwrap_or_default();
        assert_eq!(
            errors.to_string().lines().collect::<Vec<_>>(),
            want,
            "{names:?} under {rules:?}"
        );
    }

    #[test]
    fn case_counts_except_on_windows() {
        let one = "line 2: \"é.TXT\" and \"É.txt\" are one file here, written by line 1 already, \
                   from 0 on, and overlaps it from 0 on";
        check(["É.txt", "é.TXT"], Rules::Unix, &[]);
        check(["É.txt", "é.TXT"], Rules::Windows, &[one]);
        let inside = "line 2: \"DIR/a\" lies in \"dir\", which is a file, line 1";
        check(["dir", "DIR/a"], Rules::Unix, &[]);
        check(["dir", "DIR/a"], Rules::Windows, &[inside]);
    }

    #[test]
    fn reserved_names_are_refused_on_windows_only() {
        check(["con", "a"], Rules::Unix, &[]);
        check(["con", "a"], Rules::Windows, &["line 1: \"con\" is CON, a device on Windows"]);
    }
}
