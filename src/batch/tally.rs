//! Counts what becomes of the items of a batch, for its report.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::report::{BatchReport, ItemReport, Items, SCHEMA, Slow, Status};
use crate::progress::{Progress, lock};
use crate::report::{Bytes, Outcome, Seconds, rate};

/// Slow items named in the report.
const SLOWEST: usize = 5;

/// Counts what becomes of the items.
pub struct Tally<'a> {
    progress: &'a Progress,
    on_item: &'a (dyn Fn(&ItemReport<'_>) + Sync),
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    items: Items,
    bytes: Bytes,
    slowest: Vec<Slow>,
}

impl<'a> Tally<'a> {
    pub fn new(
        total: usize,
        progress: &'a Progress,
        on_item: &'a (dyn Fn(&ItemReport<'_>) + Sync),
    ) -> Tally<'a> {
        let items = Items { total: total as u64, ..Items::default() };
        Tally { progress, on_item, state: Mutex::new(State { items, ..State::default() }) }
    }

    pub fn hear(&self, report: &ItemReport<'_>) {
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

    /// A file got its name.
    pub fn hear_file(&self, bytes: Bytes) {
        let sum = &mut lock(&self.state).bytes;
        sum.copied += bytes.copied;
        sum.holes += bytes.holes;
        sum.resumed += bytes.resumed;
    }

    pub fn into_report(self, start: Instant, copied: Duration, durable: bool) -> BatchReport {
        let total = start.elapsed();
        let mut state = self.state.into_inner().unwrap_or_else(|error| error.into_inner());
        let counted = state.items;
        let heard = counted.complete
            + counted.skipped
            + counted.partial
            + counted.mismatch
            + counted.failed
            + counted.not_tried;
        // Items of outputs that nobody began.
        state.items.not_tried += counted.total - heard;
        BatchReport {
            schema: SCHEMA,
            outcome: if state.items.all_good() { Outcome::Complete } else { Outcome::Partial },
            items: state.items,
            bytes: state.bytes.copied,
            holes: state.bytes.holes,
            resumed: state.bytes.resumed,
            threads: 0,
            engines: Default::default(),
            fallbacks: Vec::new(),
            verified_by: Default::default(),
            durable,
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
