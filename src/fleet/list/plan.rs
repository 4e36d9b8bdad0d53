//! The plan of a job of many files: which of them are done together, and which alone.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::batch::{Batch, Survey, SurveyedFile};
use crate::digest::{Algorithm, hash_slice};
use crate::error::Result;
use crate::fleet::plan::{Difference, MOST, Name, Planned, agreed, shard_size};
use crate::manifest::{Item, Runs};
use crate::options::Options;
use crate::plan::SMALLEST_STRIPE;
use crate::range::ByteRange;
use crate::tree::Walk;

/// Files of a shard that is worth its record and its sync, at least and, unless
/// there were too many shards, at most.
const FILES: (u64, u64) = (16, 1024);

/// Shards of small files that keep many machines busy to the end.
const ENOUGH: u64 = 256;

/// A file of so many times the size of a shard is shared by all processes.
const LARGE: u64 = 4;

/// Many files.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListJob {
    /// Digest of all that is to be done; it is in a file beside the plan.
    pub tasks: String,
    /// Items of the list.
    pub items: u64,
    /// The directory that all files go to, absolute.
    pub into: Name,
    /// What was named, of a copy of folders.
    pub folders: Option<Folders>,
    /// Files, in the order of the list.
    pub shards: Vec<Shard>,
    /// How they are copied. What may differ from machine to machine is left out.
    pub options: Options,
}

/// What was named, of a copy of folders.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Folders {
    /// Absolute.
    pub operands: Vec<Name>,
    /// See [`Walk::one_file_system`].
    pub one_file_system: bool,
}

impl Folders {
    /// Of what `walk` looks at.
    pub fn of(walk: &Walk) -> Folders {
        // A point at the end counts.
        let here = std::env::current_dir().unwrap_or_default();
        let name = |path: &PathBuf| Name::from(&*here.join(path));
        let operands = walk.operands().iter().map(name).collect();
        Folders { operands, one_file_system: walk.is_one_file_system() }
    }
}

/// Files that are done together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    /// The first of them.
    pub first: u32,
    /// How many there are.
    pub files: u32,
    /// Their bytes.
    pub bytes: u64,
    /// Whether all processes do a part of it: then it is one file, and a job of its own.
    pub together: bool,
}

impl Planned for ListJob {
    const SCHEMA: &'static str = "pcopy.job-list/1";

    fn is_sound(&self) -> bool {
        let mut next = 0;
        let is_next = |shard: &Shard| {
            let is_next = shard.first == next && shard.files > 0;
            next = shard.first.saturating_add(shard.files);
            is_next && (shard.files == 1 || !shard.together)
        };
        self.shards.iter().all(is_next)
    }

    fn shards(&self) -> Vec<ByteRange> {
        let mut at = 0u64;
        let range = |shard: &Shard| {
            let range = ByteRange::with_len(at, shard.bytes).unwrap_or_default();
            at = range.end();
            range
        };
        self.shards.iter().map(range).collect()
    }
}

impl ListJob {
    /// A job that copies what the `survey` of `batch` found to `into`.
    ///
    /// # Errors
    ///
    /// If the stripes of the `options` cannot be.
    pub fn new(
        into: PathBuf,
        folders: Option<Folders>,
        survey: &Survey,
        batch: &Batch,
        options: &Options,
    ) -> Result<ListJob> {
        let stripe = options.stripe_size(SECTOR)?.unwrap_or(SMALLEST_STRIPE);
        let is_one = |file: &SurveyedFile| match file.rows[..] {
            [row] => !options.repair && batch.item(row).is_some_and(can_be_shared),
            _ => false,
        };
        Ok(ListJob {
            tasks: hash_slice(Algorithm::Blake3, &survey.tasks).to_string()[..32].to_owned(),
            items: batch.all_items(),
            into: Name::from(&*into),
            folders,
            shards: shards(&survey.files, stripe, is_one),
            options: agreed(options),
        })
    }

    /// In what the job of `here` has another list.
    pub fn difference(&self, here: &ListJob) -> Option<Difference> {
        if self.folders != here.folders {
            let names = |job: &ListJob| match &job.folders {
                None => "a list".to_owned(),
                Some(folders) => serde_json::to_string(&folders.operands).unwrap_or_default(),
            };
            let (planned, here) = (names(self), names(here));
            return Some(Difference { what: "source".to_owned(), planned, here });
        }
        if self.tasks == here.tasks {
            return None;
        }
        let of = |job: &ListJob| {
            let bytes: u64 = job.shards.iter().map(|shard| shard.bytes).sum();
            format!("one of {} items with {bytes} bytes ({})", job.items, &job.tasks[..8])
        };
        let what = match self.folders {
            None => "list of files",
            Some(_) => "content of the folders",
        };
        let (planned, here) = (of(self), of(here));
        Some(Difference { what: what.to_owned(), planned, here })
    }
}

/// The item whose source is all that differs between two files of tasks, the first of
/// them; `None` if there is another difference, or none.
pub fn changed_source(theirs: &[u8], ours: &[u8]) -> Option<u32> {
    fn without_state(line: &[u8]) -> &[u8] {
        let key = b",\"state\":";
        let at = line.windows(key.len()).rposition(|window| window == key);
        at.map_or(line, |at| &line[..at])
    }
    let (theirs, ours) = (theirs.split(|it| *it == b'\n'), ours.split(|it| *it == b'\n'));
    let (mut first, mut row) = (None, 0u32);
    let mut ours = ours.fuse();
    for line in theirs {
        let other = ours.next()?;
        if line != other {
            if without_state(line) != without_state(other) {
                return None;
            }
            first.get_or_insert(row);
        }
        row = row.saturating_add(1);
    }
    first.filter(|_| ours.next().is_none())
}

/// Bytes of a sector, where nothing else is known.
const SECTOR: u32 = 512;

/// Whether an item can be a job of its own: one range, with nothing said of its file.
fn can_be_shared(item: &Item) -> bool {
    let is_plain = |details: &crate::manifest::Details| {
        details.mode.is_none() && details.mtime.is_none() && details.file_len.is_none()
    };
    !matches!(item.runs, Runs::Pieces(_))
        && item.dest_offset == 0
        && item.details.as_deref().is_none_or(is_plain)
}

/// Shards of `files`: enough for many machines, and each worth its record. Files for
/// which `is_one` holds may be shared.
fn shards(
    files: &[SurveyedFile],
    stripe: u64,
    is_one: impl Fn(&SurveyedFile) -> bool,
) -> Vec<Shard> {
    let total = files.iter().map(|file| file.bytes).fold(0, u64::saturating_add);
    let size = shard_size(total, stripe);
    let count = files.len() as u64;
    let most = count.div_ceil(ENOUGH).clamp(FILES.0, FILES.1).max(count.div_ceil(MOST));
    let mut shards: Vec<Shard> = Vec::new();
    let mut is_open = false;
    for (number, file) in (0u32..).zip(files) {
        let bytes = file.bytes;
        let together = bytes / LARGE >= size && is_one(file);
        match shards.last_mut().filter(|_| is_open && !together) {
            Some(last) => {
                last.files += 1;
                last.bytes = last.bytes.saturating_add(bytes);
            }
            None => shards.push(Shard { first: number, files: 1, bytes, together }),
        }
        is_open = shards.last().is_some_and(|last| {
            !last.together && last.bytes < size && u64::from(last.files) < most
        });
    }
    shards
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn files(bytes: &[u64]) -> Vec<SurveyedFile> {
        let file = |(row, &bytes)| SurveyedFile { rows: vec![row], bytes };
        (0..).zip(bytes).map(file).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn every_file_is_in_one_shard(
            sizes in prop::collection::vec(
                prop_oneof![4 => 0u64..5000, 1 => 0u64..1 << 24], 0..400),
            shift in 12u32..24,
        ) {
            let found = shards(&files(&sizes), 1 << shift, |_| true);
            let mut next = 0;
            for shard in &found {
                prop_assert_eq!(shard.first, next);
                next += shard.files;
                let of = &sizes[shard.first as usize..next as usize];
                prop_assert_eq!(of.iter().sum::<u64>(), shard.bytes);
                prop_assert!(!shard.together || shard.files == 1);
            }
            prop_assert_eq!(next as usize, sizes.len());
        }
    }

    #[test]
    fn a_source_that_changed_is_told_from_another_list() {
        let one = b"{\"name\":\"a\",\"state\":\"00\"}\n{\"name\":\"b\",\"state\":\"01\"}\n";
        let line = |name, state| format!("{{\"name\":\"{name}\",\"state\":\"{state}\"}}\n");
        let changed = line("a", "00") + &line("b", "02");
        assert_eq!(changed_source(one, changed.as_bytes()), Some(1));
        let other = line("a", "02") + &line("c", "01");
        assert_eq!(changed_source(one, other.as_bytes()), None);
        assert_eq!(changed_source(one, line("a", "03").as_bytes()), None);
        assert_eq!(changed_source(one, one), None);
    }

    #[test]
    fn large_files_are_shared_and_small_ones_grouped() {
        let mut sizes = vec![100; 40];
        sizes.push(10 << 20);
        let found = shards(&files(&sizes), 64 << 10, |_| true);
        let counts: Vec<u32> = found.iter().map(|shard| shard.files).collect();
        assert_eq!(counts, [16, 16, 8, 1]);
        assert!(found[3].together && !found[0].together);
        let alone = shards(&files(&sizes), 64 << 10, |_| false);
        assert!(alone.iter().all(|shard| !shard.together));
        // A million files are not a million shards.
        assert!(shards(&files(&vec![1; 1_000_000]), 64 << 10, |_| true).len() <= 4096);
        assert_eq!(shards(&[], 1 << 20, |_| true), []);
    }
}
