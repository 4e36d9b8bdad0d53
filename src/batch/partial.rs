//! Files that have their name although some of their source could not be read.
//!
//! Such a file has its full length, so neither name nor length tells it from a
//! complete one. Before it gets its name a map is put beside it, as a single
//! copy does: `NAME.pcopy-map`, in positions of the file itself, because its
//! bytes may come from many places of several sources. As long as the map is
//! there a later run reads what the map calls failed once more, into this very
//! file, and nothing else. Whether the file is still the one, and the list
//! still says the same of it, is told by the identity of the map.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::parents::Parents;
use super::plan::BatchPlan;
use super::preflight::file_name;
use super::queue::Together;
use super::skipped;
use super::sources::Sources;
use super::unchanged::{self, Row, differs};
use super::wanted::Wanted;
use crate::digest::{Algorithm, hash_slice};
use crate::durable::map::{Destination, Evidence, Identity, Map, MapError, MapFile, Mode};
use crate::durable::previous::{self, object_id};
use crate::durable::trust::{Examiner, Purpose};
use crate::endpoint::absolute;
use crate::error::{ErrorKind, MapRefusal, Result, chain};
use crate::manifest::{Item, Run};
use crate::progress::CancelToken;
use crate::range::{ByteRange, RangeSet};
use crate::sys::{Directory, FileKind, Metadata};

/// A file that an earlier run gave its name, and what it lacks.
#[derive(Debug)]
pub struct Partial {
    /// Which file it is.
    pub facts: Metadata,
    /// What could not be read, in positions of the file.
    pub missing: RangeSet,
}

/// What earlier runs got done of the items of a batch.
#[derive(Default)]
pub struct Standing {
    /// Whether it is complete, for each item.
    pub complete: Vec<bool>,
    /// By the number of the item: its file, which has its name and lacks something.
    pub partial: HashMap<usize, Arc<Partial>>,
}

impl Standing {
    /// Nothing of so many items.
    pub fn of_nothing(items: usize) -> Standing {
        Standing { complete: vec![false; items], ..Standing::default() }
    }

    /// Tells the files `wanted` of `plan` how far they are.
    pub fn mark(&self, plan: &BatchPlan, wanted: &mut [Wanted]) {
        for (output, file) in (0..).zip(wanted) {
            let row = plan.rows(output)[0] as usize;
            file.complete = self.complete[row];
            file.partial = self.partial.get(&row).cloned();
            file.has_map = file.partial.is_some();
        }
    }

    /// Takes note of a file of full length, made of the items `rows`, and of
    /// what it lacks.
    fn note(&mut self, rows: &[u32], found: Option<Arc<Partial>>) {
        for &row in rows {
            match &found {
                None => self.complete[row as usize] = true,
                Some(found) => {
                    self.partial.insert(row as usize, Arc::clone(found));
                }
            }
        }
    }
}

/// What the file of item `row` lacks in any of several folders, of which earlier
/// runs got done what `standing` says; `None` if it is not there in one of them.
pub fn missing(standing: &[Standing], row: usize) -> Option<RangeSet> {
    let mut all = RangeSet::new();
    for folder in standing.iter().filter(|folder| !folder.complete[row]) {
        all.merge(&folder.partial.get(&row)?.missing);
    }
    Some(all)
}

/// Where to look for what earlier runs got done.
pub struct Look<'a> {
    pub items: &'a [Item],
    /// The directory of the batch, and its path.
    pub root: &'a Directory,
    pub into: &'a Path,
    pub sources: &'a Sources,
    /// Whether a source may have changed since.
    pub any_state: bool,
    pub cancel: &'a CancelToken,
}

impl Look<'_> {
    /// Which items an earlier run completed: those whose file is there with its
    /// full length; and which of those lack something. What is there must be
    /// ours, unless the list says by a digest what it is to be.
    ///
    /// # Errors
    ///
    /// A [`Refusal`], or more items than can be counted.
    pub fn find(
        &self,
        source_of: &dyn Fn(usize, &Item) -> (u32, u64),
        together: Together,
        examiner: &mut Examiner,
    ) -> Result<Standing> {
        let Look { items, root, into, sources, .. } = *self;
        let mut standing = Standing::of_nothing(items.len());
        let (skip_nothing, none) = (|_: usize| false, |_: usize| None);
        let (plan, wanted) =
            BatchPlan::new(items, source_of, skip_nothing, none, sources.len(), together)?;
        let mut parents = Parents::new(root);
        for (output, file) in wanted.iter().enumerate() {
            let Some(facts) = parents.facts(&file.name, file_name(&file.name)) else { continue };
            if facts.node != FileKind::File || facts.size != file.len {
                continue;
            }
            let (path, rows) = (into.join(&file.name), plan.rows(output as u32));
            let its = unchanged::rows(items, &plan, output as u32);
            let there = There { name: &file.name, path: &path, facts: &facts, rows: &its };
            let found = match parents.map_file(&file.name, &path) {
                Some(map_file) => self.look(&map_file, &there, examiner)?.map(Arc::new),
                None => None,
            };
            // What the list gives a digest of is read and compared.
            let is_compared = |&row: &u32| !items[row as usize].expected().is_empty();
            if found.is_none() && !rows.iter().all(is_compared) {
                let leaf = file_name(&file.name);
                parents.examine(&file.name, leaf, &path, Purpose::Keep, examiner)?;
            }
            standing.note(rows, found);
        }
        Ok(standing)
    }

    /// What `map_file`, the map beside a file of full length, says that the file
    /// lacks; `None` if it is complete.
    ///
    /// # Errors
    ///
    /// A [`Refusal`]: the map says that the file is not complete, and is not of
    /// this job.
    fn look(
        &self,
        map_file: &MapFile,
        there: &There<'_>,
        examiner: &mut Examiner,
    ) -> Result<Option<Partial>> {
        let Some(map) = previous::load(map_file, examiner)? else { return Ok(None) };
        let Some(found) = &map.identity else {
            return Err(MapRefusal::Alien { path: map_file.path(), remedies: &[] }.into());
        };
        if found.list.is_none() && map.failed.is_empty() && found.destination.mode != Mode::InPlace
        {
            // Of a run that was killed after it had given the file its name.
            return Ok(None);
        }
        let facts = there.facts;
        let rows = there.rows.iter().copied();
        let ours = identity(there.path, facts.size, facts, rows, self.sources)?;
        let differences = found.differences(&ours);
        let of_another = differences.iter().find(|found| found.evidence == Evidence::None);
        let what = match of_another {
            Some(difference) => Some(difference.to_string()),
            None if differences.is_empty() || self.any_state => None,
            None => self.compare(there, &map)?,
        };
        match what {
            Some(what) => {
                Err(MapRefusal::Foreign { path: map_file.path(), what, remedies: &[] }.into())
            }
            None => {
                let missing = map.todo(ByteRange::to(facts.size));
                Ok(Some(Partial { facts: facts.clone(), missing }))
            }
        }
    }

    /// Compares what `map` calls done with what the list says is there; what
    /// differs, in words.
    fn compare(&self, there: &There<'_>, map: &Map) -> Result<Option<String>> {
        let file = skipped::open(self.root, there.name);
        let compared = file.and_then(|file| {
            unchanged::first_other(there.rows, self.sources, &file, &map.done, self.cancel)
        });
        match compared {
            Ok(other) => Ok(other.map(|other| differs(there.path, self.sources, other))),
            Err(_) if self.cancel.is_cancelled() => Err(ErrorKind::Cancelled.into()),
            Err(error) => Ok(Some(format!("it cannot be compared: {}", chain(&error)))),
        }
    }
}

/// A file of full length, and what the list says of it.
struct There<'a> {
    name: &'a Path,
    path: &'a Path,
    facts: &'a Metadata,
    rows: &'a [Row<'a>],
}

/// Puts the map of a file of `len` bytes that lacks `missing` beside it, durably.
///
/// # Errors
///
/// See [`MapFile::save`].
pub fn save(
    map_file: &MapFile,
    identity: Identity,
    len: u64,
    missing: RangeSet,
) -> std::result::Result<(), MapError> {
    let extent = ByteRange::to(len);
    let done = missing.missing_from(extent);
    map_file.save(&Map { identity: Some(identity), done, failed: missing, extent })
}

/// Identity of the map of the file `facts` at `path`, `len` bytes long and made
/// of `rows`: items and the numbers of their sources.
///
/// # Errors
///
/// If a source cannot be opened any more.
pub fn identity<'i>(
    path: &Path,
    len: u64,
    facts: &Metadata,
    rows: impl Iterator<Item = (&'i Item, u32)>,
    sources: &Sources,
) -> Result<Identity> {
    let mut first = None;
    let mut lines = Vec::new();
    for (item, number) in rows {
        first.get_or_insert(number);
        lines.push(line(item, sources, number));
    }
    // Rows may stand in another order than before.
    lines.sort_unstable();
    let source = sources.open(first.unwrap_or_default())?.identity();
    let list = hash_slice(Algorithm::Sha256, lines.concat().as_bytes()).to_string();
    Ok(Identity {
        source,
        range: ByteRange::to(len),
        destination: Destination {
            path: absolute(path),
            offset: 0,
            kind: "file".to_owned(),
            mode: Mode::New,
            id: Some(object_id(facts, None)),
        },
        list: Some(list),
    })
}

/// Which bytes an item takes from what, and where it puts them.
fn line(item: &Item, sources: &Sources, number: u32) -> String {
    let (size, state) = (sources.size(number), sources.state(number));
    let path = absolute(sources.path(number));
    let mut line = format!("{path:?} {size} {state} {}:", item.dest_offset);
    for run in item.runs.pieces(size) {
        line += &match run {
            Run::Data(range) => format!(" {}+{}", range.start(), range.len()),
            Run::Hole(len) => format!(" hole+{len}"),
        };
    }
    line + "\n"
}
