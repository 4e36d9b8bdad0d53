//! Making finished files durable and visible, many at a time.
//!
//! One sync after the other would let ten thousand small files wait ten
//! thousand times for the disk. Finished outputs are therefore gathered, and a
//! group takes each step of the recipe together: check digests, mode and time;
//! sync; rename; sync each directory once. A crash at any moment leaves every
//! file complete or absent.

use std::collections::HashMap;
use std::fs::FileTimes;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::manifest::Item;
use super::output::{Output, Outputs};
use super::report::Status;
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::chain;
use crate::io::{FileIo, as_u64, transfer};
use crate::range::ByteRange;
use crate::sys;

/// Outputs that wait for their commit, at most. Their files are open.
pub const GROUP: usize = 128;

/// Bytes that wait for their commit, at most: what a crash costs.
pub const GROUP_BYTES: u64 = 256 << 20;

/// From so many files on, one sync of the file system is cheaper than letting
/// each file's sync write the journal of the file system again.
const SYNC_TOGETHER: usize = 4;

/// An item and its place in its output.
pub struct Row<'a> {
    /// The item.
    pub item: &'a Item,
    /// Where its bytes are in the output.
    pub range: ByteRange,
}

/// What became of the items of one output.
pub struct Verdict {
    /// The output.
    pub output: Arc<Output>,
    /// Status, digests and error of each row, in the order of the rows.
    pub rows: Vec<RowVerdict>,
}

/// What became of one item.
pub struct RowVerdict {
    /// See there.
    pub status: Status,
    /// What was worked out.
    pub digests: Vec<Digest>,
    /// What went wrong.
    pub error: Option<String>,
}

/// How a group is committed.
pub struct Commit<'a> {
    /// All outputs of the batch.
    pub outputs: &'a Outputs,
    /// Wait for the disk.
    pub sync: bool,
    /// Digests to work out for every item.
    pub algorithms: &'a [Algorithm],
}

/// A member of a group on its way.
struct Member<'a> {
    output: Arc<Output>,
    rows: Vec<Row<'a>>,
    digests: Vec<Vec<Digest>>,
    mismatch: Vec<Option<String>>,
    error: Option<String>,
}

impl Commit<'_> {
    /// Commits `group`.
    pub fn run<'a>(&self, group: Vec<(Arc<Output>, Vec<Row<'a>>)>) -> Vec<Verdict> {
        let mut members: Vec<Member<'a>> = group.into_iter().map(Member::new).collect();
        self.each(&mut members, |member| self.inspect(member));
        self.each(&mut members, |member| self.dress(member));
        if self.sync {
            let alive = members.iter().filter(|member| member.is_alive()).count();
            if alive >= SYNC_TOGETHER {
                // Its errors show again, for the file they belong to, below.
                let _ = self.outputs.sync_file_system();
            }
            self.each(&mut members, |member| {
                self.outputs.file(&member.output)?.as_file().sync_all()
            });
        }
        self.each(&mut members, |member| self.outputs.publish(&member.output));
        if self.sync {
            self.sync_directories(&mut members);
        }
        members.into_iter().map(|member| self.finish(member)).collect()
    }

    /// Does `step` for every member that is still to be committed.
    fn each<'a>(
        &self,
        members: &mut [Member<'a>],
        step: impl Fn(&mut Member<'a>) -> io::Result<()>,
    ) {
        for member in members.iter_mut().filter(|member| member.is_alive()) {
            if let Err(error) = step(member) {
                member.error = Some(chain(&error));
            }
        }
    }

    /// Works out digests and compares them with what is expected.
    fn inspect(&self, member: &mut Member<'_>) -> io::Result<()> {
        let trouble = member.output.take_trouble();
        member.error = trouble.error;
        let known = trouble.digests;
        member.output.add_failed(trouble.failed);
        if member.error.is_some() {
            return Ok(());
        }
        for at in 0..member.rows.len() {
            let row = &member.rows[at];
            let wanted = algorithms_of(row.item, self.algorithms);
            let is_all = row.range == ByteRange::to(member.output.wanted.len);
            let digests = if wanted.is_empty() {
                Vec::new()
            } else if is_all && !known.is_empty() {
                known.clone()
            } else {
                hash_range(&*self.outputs.file(&member.output)?, row.range, &wanted)?
            };
            member.mismatch[at] = row.item.expected().iter().find_map(|expected| {
                let found =
                    digests.iter().find(|digest| digest.algorithm() == expected.algorithm())?;
                (!expected.is_met_by(found)).then(|| {
                    format!("{} is {found}, expected {}", expected.algorithm(), expected.digest())
                })
            });
            member.digests[at] = digests;
        }
        Ok(())
    }

    /// Mode and time: last, because writing changes the time.
    fn dress(&self, member: &mut Member<'_>) -> io::Result<()> {
        let details = || member.rows.iter().filter_map(|row| row.item.details.as_deref());
        let file = self.outputs.file(&member.output)?;
        let mode = details().find_map(|details| details.mode);
        sys::set_mode(file.as_file(), mode.unwrap_or(self.outputs.mode()))?;
        if let Some(time) = details().find_map(|details| details.mtime).and_then(moment) {
            file.as_file().set_times(FileTimes::new().set_modified(time))?;
        }
        Ok(())
    }

    /// Syncs each directory once, and those it lies in, which may be new as
    /// well. The files in it share its fate.
    fn sync_directories(&self, members: &mut [Member<'_>]) {
        let mut synced: HashMap<PathBuf, Option<String>> = HashMap::new();
        for member in members.iter_mut().filter(|member| member.is_alive()) {
            let mut error = None;
            for directory in member.output.wanted.name.ancestors().skip(1) {
                let sync = || self.outputs.sync_directory(directory).err().map(|e| chain(&e));
                let found = synced.entry(directory.to_owned()).or_insert_with(sync);
                error = error.or_else(|| found.clone());
            }
            member.error = error.map(|error| format!("cannot make its name durable: {error}"));
        }
    }

    fn finish(&self, member: Member<'_>) -> Verdict {
        let alive = member.is_alive();
        if !alive {
            self.outputs.discard(&member.output);
        }
        self.outputs.close(&member.output);
        let partial = !alive || member.output.has_unreadable();
        let other = "another part of the same file does not match".to_owned();
        let verdict = |(digests, mismatch): (Vec<Digest>, Option<String>)| match mismatch {
            Some(_) => RowVerdict { status: Status::Mismatch, digests, error: mismatch },
            None if !alive => {
                let error = member.error.clone().or_else(|| Some(other.clone()));
                RowVerdict { status: Status::Failed, digests, error }
            }
            None if partial => RowVerdict { status: Status::Partial, digests, error: None },
            None => RowVerdict { status: Status::Complete, digests, error: None },
        };
        let rows = member.digests.into_iter().zip(member.mismatch).map(verdict).collect();
        Verdict { output: member.output, rows }
    }
}

impl<'a> Member<'a> {
    fn new((output, rows): (Arc<Output>, Vec<Row<'a>>)) -> Member<'a> {
        let count = rows.len();
        let digests = vec![Vec::new(); count];
        Member { output, rows, digests, mismatch: vec![None; count], error: None }
    }

    fn is_alive(&self) -> bool {
        self.error.is_none() && self.mismatch.iter().all(Option::is_none)
    }
}

/// What to work out for `item`: what it expects, and what the batch wants of all.
pub fn algorithms_of(item: &Item, all: &[Algorithm]) -> Vec<Algorithm> {
    let mut wanted = all.to_vec();
    for expected in item.expected() {
        if !wanted.contains(&expected.algorithm()) {
            wanted.push(expected.algorithm());
        }
    }
    wanted
}

/// Digests of a range of a file, read back through the cache.
fn hash_range(file: &FileIo, range: ByteRange, wanted: &[Algorithm]) -> io::Result<Vec<Digest>> {
    const CHUNK: u64 = 256 << 10;
    let mut hashers: Vec<Hasher> = wanted.iter().map(|&algorithm| Hasher::new(algorithm)).collect();
    let mut buffer = vec![0; crate::io::as_usize(CHUNK.min(range.len()))];
    for piece in range.pieces(CHUNK) {
        let chunk = &mut buffer[..crate::io::as_usize(piece.len())];
        transfer::read_full(file, piece.start(), chunk).map_err(|stop| stop.error)?;
        debug_assert_eq!(as_u64(chunk.len()), piece.len());
        for hasher in &mut hashers {
            hasher.update(chunk);
        }
    }
    Ok(hashers.into_iter().map(Hasher::finalize).collect())
}

/// Seconds and nanoseconds since 1970 as a time, if the system can express it.
fn moment((seconds, nanoseconds): (i64, u32)) -> Option<SystemTime> {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let base = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(whole)?
    } else {
        SystemTime::UNIX_EPOCH.checked_add(whole)?
    };
    base.checked_add(Duration::from_nanos(u64::from(nanoseconds)))
}
