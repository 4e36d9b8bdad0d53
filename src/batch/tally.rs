//! Gathers what becomes of the items of a batch, for its report: where there are
//! several folders, an item is over when it is over in each.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::report::{
    BatchReport, FolderReport, ItemInFolder, ItemReport, Items, SCHEMA, Slow, Status,
};
use crate::error::quoted;
use crate::progress::{Progress, lock};
use crate::report::{Bytes, Confinement, Outcome, Seconds, rate};
use crate::sync::Mutex;

/// Slow items named in the report.
const SLOWEST: usize = 5;

/// Counts what becomes of the items.
pub struct Tally<'a> {
    progress: &'a Progress,
    on_item: &'a (dyn Fn(&ItemReport<'_>) + Sync),
    folders: &'a [PathBuf],
    state: Mutex<State>,
    /// Items that are over in some of several folders, by their number.
    waiting: Mutex<HashMap<u32, Vec<Option<ItemReport<'a>>>>>,
}

#[derive(Default)]
struct State {
    items: Items,
    /// The same for each of several folders.
    in_folders: Vec<Items>,
    bytes: Bytes,
    slowest: Vec<Slow>,
}

impl<'a> Tally<'a> {
    /// Of `total` items, each of which is to be in every one of `folders`.
    pub fn new(
        total: usize,
        folders: &'a [PathBuf],
        progress: &'a Progress,
        on_item: &'a (dyn Fn(&ItemReport<'_>) + Sync),
    ) -> Tally<'a> {
        let items = Items { total: total as u64, ..Items::default() };
        let in_folders = if folders.len() > 1 { vec![items; folders.len()] } else { Vec::new() };
        let state = Mutex::new(State { items, in_folders, ..State::default() });
        Tally { progress, on_item, folders, state, waiting: Mutex::default() }
    }

    /// Item `row` is over in `folder`.
    pub fn hear(&self, folder: usize, row: u32, report: ItemReport<'a>) {
        if self.folders.len() == 1 {
            return self.item_over(&report);
        }
        lock(&self.state).in_folders[folder].count(report.status);
        let of_all = {
            let mut waiting = lock(&self.waiting);
            let heard = waiting.entry(row).or_insert_with(|| vec![None; self.folders.len()]);
            heard[folder] = Some(report);
            if heard.iter().any(Option::is_none) {
                return;
            }
            waiting.remove(&row)
        };
        let of_all: Vec<_> = of_all.into_iter().flatten().flatten().collect();
        if let Some(report) = worst(of_all, self.folders) {
            self.item_over(&report);
        }
    }

    /// An item is over in all folders.
    fn item_over(&self, report: &ItemReport<'_>) {
        if report.status != Status::NotTried {
            self.progress.add_items(1);
        }
        {
            let mut state = lock(&self.state);
            state.items.count(report.status);
            let seconds = report.seconds;
            let place = state.slowest.partition_point(|slow| slow.seconds >= seconds);
            if place < SLOWEST && report.status != Status::Skipped {
                let name = report.item.name.to_string_lossy().into_owned();
                state.slowest.insert(place, Slow { name, seconds });
                state.slowest.truncate(SLOWEST);
            }
        }
        (self.on_item)(report);
    }

    /// An item of which nobody knew is over in `folder`.
    pub fn hear_of_one_more(&self, folder: usize, report: ItemReport<'_>) {
        let mut report = report;
        {
            let state = &mut *lock(&self.state);
            state.items.total += 1;
            if let Some(items) = state.in_folders.get_mut(folder) {
                items.total += 1;
                items.count(report.status);
                let place = quoted(&self.folders[folder]);
                report.error = report.error.map(|error| format!("in {place}: {error}"));
            }
        }
        self.item_over(&report);
    }

    /// A file got its name, in the first of the folders.
    pub fn hear_file(&self, bytes: Bytes) {
        let sum = &mut lock(&self.state).bytes;
        sum.copied += bytes.copied;
        sum.holes += bytes.holes;
        sum.resumed += bytes.resumed;
    }

    pub fn into_report(self, start: Instant, copied: Duration, durable: bool) -> BatchReport {
        let total = start.elapsed();
        let mut state = self.state.into_inner().unwrap_or_else(|error| error.into_inner());
        state.items.complete_count();
        let folder = |(path, mut items): (&PathBuf, Items)| {
            items.complete_count();
            FolderReport {
                path: path.clone(),
                outcome: outcome(&items),
                items,
                durable,
                error: None,
                error_kind: None,
            }
        };
        BatchReport {
            schema: SCHEMA,
            outcome: outcome(&state.items),
            dry_run: false,
            folders: self.folders.iter().zip(state.in_folders).map(folder).collect(),
            tree: None,
            items: state.items,
            bytes: state.bytes.copied,
            holes: state.bytes.holes,
            resumed: state.bytes.resumed,
            threads: 0,
            engines: Default::default(),
            fallbacks: Vec::new(),
            verified_by: Default::default(),
            durable,
            confined: Confinement::reported(),
            notes: Vec::new(),
            slowest: state.slowest,
            seconds: Seconds {
                copy: copied.as_secs_f64(),
                sync: (total - copied).as_secs_f64(),
                verify: 0.0,
                total: total.as_secs_f64(),
            },
            bytes_per_second: rate(state.bytes.copied, total),
            error: None,
            error_kind: None,
        }
    }
}

fn outcome(items: &Items) -> Outcome {
    if items.all_good() { Outcome::Complete } else { Outcome::Partial }
}

/// One report of what became of an item in each of `folders`: it is as good as
/// where it is worst.
fn worst<'a>(reports: Vec<ItemReport<'a>>, folders: &'a [PathBuf]) -> Option<ItemReport<'a>> {
    let in_folder = |(path, report): (&'a PathBuf, &ItemReport<'a>)| ItemInFolder {
        path: path as &Path,
        status: report.status,
        verified: report.verified,
        error: report.error.clone(),
        error_kind: report.error_kind,
    };
    let each: Vec<_> = folders.iter().zip(&reports).map(in_folder).collect();
    let is_verified = match reports.iter().filter_map(|report| report.verified).min() {
        Some(true) if reports.iter().any(|report| report.verified.is_none()) => None,
        known => known,
    };
    let seconds = reports.iter().map(|report| report.seconds).fold(0.0, f64::max);
    let digests = reports.iter().find(|report| !report.digests.is_empty());
    let digests = digests.map_or_else(Vec::new, |report| report.digests.clone());
    // Of equals the first.
    let mut all = reports.into_iter().zip(folders);
    let first = all.next()?;
    let worse = |one: (ItemReport<'a>, &'a PathBuf), other: (ItemReport<'a>, &'a PathBuf)| {
        if other.0.status.rank() > one.0.status.rank() { other } else { one }
    };
    let (report, folder) = all.fold(first, worse);
    let error = report.error.map(|error| format!("in {}: {error}", quoted(folder)));
    Some(ItemReport { folders: each, verified: is_verified, seconds, digests, error, ..report })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Item, Runs};

    #[test]
    fn an_item_is_as_good_as_where_it_is_worst() {
        let item = Item::new("a", Runs::Whole);
        let folders = ["x".into(), "y".into()];
        let report = |status, error: Option<&str>| ItemReport {
            item: &item,
            status,
            bytes: 1,
            digests: Vec::new(),
            failed: Vec::new(),
            verified: None,
            error: error.map(str::to_owned),
            error_kind: error.map(|_| "write"),
            seconds: 0.0,
            folders: Vec::new(),
        };
        let check = |one: Status, other: Status, expected: Status| {
            let both = [report(one, Some("first")), report(other, Some("second"))];
            let found = worst(both.into(), &folders).unwrap();
            assert_eq!(found.status, expected);
            let by = if one == expected { "in 'x': first" } else { "in 'y': second" };
            assert_eq!(found.error.as_deref(), Some(by));
            assert_eq!((found.folders[0].status, found.folders[1].status), (one, other));
        };
        check(Status::Complete, Status::Complete, Status::Complete);
        check(Status::Skipped, Status::Complete, Status::Complete);
        check(Status::Complete, Status::Failed, Status::Failed);
        check(Status::Mismatch, Status::Failed, Status::Failed);
        check(Status::Partial, Status::Mismatch, Status::Mismatch);
        check(Status::Complete, Status::NotTried, Status::NotTried);
    }
}
