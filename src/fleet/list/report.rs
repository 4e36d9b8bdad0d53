//! The report of a job of many files, from the records of its shards.

use crate::batch::why::{self, Why};
use crate::batch::{Batch, BatchReport, ItemReport, Items, Slow, Status};
use crate::error::{Error, Failure, known_word};
use crate::fleet::crew::{Done, Over};
use crate::fleet::record::{ItemRecord, OtherRecord};
use crate::fleet::work::{digests, failed_range};
use crate::manifest::{Item, Runs};
use crate::range::ByteRange;
use crate::report::{Outcome, Seconds};

/// Slow items named in the report.
const SLOWEST: usize = 5;

/// The report of the process that has `done` so much of the job of `batch`. `on_item`
/// hears of every item.
pub fn of_job(
    batch: &Batch,
    done: &Done,
    over: &Over,
    on_item: &(dyn Fn(&ItemReport<'_>) + Sync),
) -> BatchReport {
    let mut records: Vec<&ItemRecord> =
        over.records.values().flat_map(|record| &record.items).collect();
    records.sort_by_key(|record| record.row);
    let mut items = Items { total: batch.all_items(), ..Items::default() };
    let mut slowest: Vec<Slow> = Vec::new();
    for record in records {
        let Some(item) = batch.item(record.row) else { continue };
        items.count(record.status);
        let place = slowest.partition_point(|slow| slow.seconds >= record.seconds);
        if place < SLOWEST {
            let name = item.name.to_string_lossy().into_owned();
            slowest.insert(place, Slow { name, seconds: record.seconds });
            slowest.truncate(SLOWEST);
        }
        on_item(&item_report(item, record));
    }
    for other in &over.finished.others {
        items.count(other.status);
        other_report(other, on_item);
    }
    // A folder that failed is one more.
    let counted = items.complete + items.skipped + items.partial + items.mismatch + items.failed;
    items.total = items.total.max(counted);
    items.complete_count();
    let outcome = if items.all_good() { Outcome::Complete } else { Outcome::Partial };
    let mut report = of_process(done, outcome, items);
    report.resumed = over.finished.copied.saturating_sub(done.copied);
    report.holes = over.finished.holes;
    report.tree = batch.tree_report();
    report.slowest = slowest;
    report.notes.extend(over.finished.notes.iter().cloned());
    report
}

/// The error that ended this process, with what it has `done`.
pub fn of_error(done: &Done, error: Error) -> Failure<BatchReport> {
    let mut report = of_process(done, error.outcome(), Items::default());
    report.error = Some(error.chain());
    report.error_kind = Some(error.word());
    error.with_report(report)
}

fn of_process(done: &Done, outcome: Outcome, items: Items) -> BatchReport {
    let mut report = BatchReport::of_nothing(outcome, items);
    report.bytes = done.copied;
    report.holes = done.holes;
    report.notes.push(format!("this process copied {} shards", done.shards));
    report.notes.extend(done.notes.iter().cloned());
    report.seconds = Seconds { copy: done.seconds, total: done.seconds, ..Seconds::default() };
    if done.seconds > 0.0 {
        report.bytes_per_second = done.copied as f64 / done.seconds;
    }
    report
}

fn item_report<'a>(item: &'a Item, record: &ItemRecord) -> ItemReport<'a> {
    ItemReport {
        bytes: record.bytes,
        digests: digests(&record.digests),
        failed: record.failed.iter().map(failed_range).collect(),
        verified: record.verified,
        seconds: record.seconds,
        ..ItemReport::without_bytes(
            item,
            record.status,
            recorded(&record.error, &record.error_kind),
        )
    }
}

/// What went wrong, as it was recorded.
fn recorded(text: &Option<String>, word: &Option<String>) -> Option<Why> {
    let word = word.as_deref().and_then(known_word).unwrap_or(why::DESTINATION);
    text.as_ref().map(|text| Why::new(word, text))
}

fn other_report(other: &OtherRecord, on_item: &(dyn Fn(&ItemReport<'_>) + Sync)) {
    let item = Item::new(other.name.path(), Runs::One(ByteRange::to(0)));
    let item = match &other.source {
        Some(source) => item.of(source.path()),
        None => item,
    };
    let status: Status = other.status;
    on_item(&ItemReport::without_bytes(&item, status, recorded(&other.error, &other.error_kind)));
}
