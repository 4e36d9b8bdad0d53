//! Progress: one thread looks at the counters ten times a second and shows
//! them as a bar, as plain lines or as JSON events. The job knows nothing of it.

mod line;
mod show;
mod shown;

pub use show::can_write_over;

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use pcopy::error::{escaped, quoted};
use pcopy::range::{Failed, Unread};
use pcopy::{CancelToken, Event, Phase, Progress, Snapshot};

use super::args::OutputArgs;
use super::signals::Signals;
use show::Show;
use shown::Shown;

/// How often counters are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Window over which the current rate is measured.
const RATE_WINDOW: Duration = Duration::from_secs(2);

/// How long a source is called bad after bytes of it could not be read.
const FAILING: Duration = Duration::from_secs(5);

/// How often the rate is kept, for the picture of it.
const SAMPLE: Duration = Duration::from_secs(1);

/// How long one request may take before the line says what is being waited for.
const LONG_WAIT: Duration = Duration::from_secs(3);

/// Bytes of stack of the thread that shows it.
const STACK: usize = 512 << 10;

/// Ranges that could not be read told while the job runs; the report has all.
const MOST_UNREAD: usize = 10;
const NEXT_UNREAD: usize = MOST_UNREAD + 1;

/// Runs `job`, which hears of `signals` that ask it to stop, while showing its progress.
pub fn run<T>(
    output: &OutputArgs,
    progress: &Progress,
    signals: &Signals,
    job: impl FnOnce(&Progress, &CancelToken) -> T,
) -> T {
    let cancel = signals.cancel_token();
    let over = Over::default();
    let (result, watch) = std::thread::scope(|scope| {
        let watcher = Builder::new().name("progress".to_owned()).stack_size(STACK).spawn_scoped(
            scope,
            || {
                // What is over by the first look is not worth the memory of a thread.
                let mut watch = None;
                while !over.within(LOOK) {
                    let watch = watch.get_or_insert_with(|| Watch::new(output, progress));
                    watch.look(signals.take_status_request(), false);
                }
                watch
            },
        );
        let result = {
            let _end = over.at_the_end();
            job(progress, &cancel)
        };
        // Without a watcher the job has run unseen, which is not a reason to fail.
        let watch = watcher.ok().and_then(|watcher| watcher.join().ok()).flatten();
        (result, watch)
    });
    let mut watch = watch.unwrap_or_else(|| Watch::new(output, progress));
    watch.look(signals.take_status_request(), true);
    result
}

/// Whether the job is over, which the watching thread waits for between two looks.
#[derive(Default)]
struct Over {
    over: Mutex<bool>,
    changed: Condvar,
}

impl Over {
    /// Waits for the end for as long as `time`, and says whether it has come.
    fn within(&self, time: Duration) -> bool {
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(over, time, |over| !*over);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Says that the job is over when it is dropped: also where the job panics.
    fn at_the_end(&self) -> AtTheEnd<'_> {
        AtTheEnd(self)
    }
}

struct AtTheEnd<'a>(&'a Over);

impl Drop for AtTheEnd<'_> {
    fn drop(&mut self) {
        *self.0.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.changed.notify_all();
    }
}

/// What the watching thread remembers.
struct Watch<'a> {
    progress: &'a Progress,
    show: Show,
    verbose: bool,
    /// Moments and counts of the last seconds, oldest first.
    window: VecDeque<(Instant, u64)>,
    /// The rate once a second, the latest last.
    rates: VecDeque<f64>,
    sampled: Instant,
    /// What was counted at the last look, and when it last changed.
    seen: Seen,
    /// When bytes were last found to be unreadable.
    failed: Option<Instant>,
    /// Source ranges that could not be read and were not told.
    unread: Unread,
    /// Lines that told of such ranges.
    told: usize,
}

/// What tells whether anything goes on.
struct Seen {
    phase: Phase,
    counted: u64,
    unreadable: u64,
    changed: Instant,
}

impl<'a> Watch<'a> {
    fn new(output: &OutputArgs, progress: &'a Progress) -> Watch<'a> {
        Watch {
            progress,
            show: Show::new(output),
            verbose: output.verbose,
            window: VecDeque::new(),
            rates: VecDeque::new(),
            sampled: Instant::now(),
            seen: Seen {
                phase: Phase::Preparing,
                counted: 0,
                unreadable: 0,
                changed: Instant::now(),
            },
            failed: None,
            unread: Unread::new(),
            told: 0,
        }
    }

    fn look(&mut self, status_requested: bool, over: bool) {
        while let Some(event) = self.progress.next_event() {
            self.event(&event);
        }
        self.tell_unread();
        let snapshot = self.progress.snapshot();
        self.notice(&snapshot);
        let rate = self.rate(snapshot.copied);
        self.sample(rate);
        let shown = Shown {
            rate,
            waiting: snapshot.waiting.filter(|&(_, time)| time >= LONG_WAIT),
            still: self.seen.changed.elapsed(),
            failing: self.failed.is_some_and(|then| then.elapsed() < FAILING),
            file: self
                .progress
                .active_items()
                .into_iter()
                .next()
                .map(|name| escaped(&name).into_owned()),
            places: self.progress.places(),
            rates: self.rates.iter().copied().collect(),
            snapshot,
        };
        if status_requested {
            self.show.line(&shown.plain());
        }
        if over {
            self.show.finish(&shown);
        } else {
            self.show.update(&shown);
        }
    }

    /// Notices whether anything has changed since the last look.
    fn notice(&mut self, snapshot: &Snapshot) {
        let Snapshot { copied, failed, verified, items, .. } = *snapshot;
        let counted = [failed, verified, items].into_iter().fold(copied, u64::wrapping_add);
        let now = Instant::now();
        if failed > self.seen.unreadable {
            self.failed = Some(now);
        }
        let is_new = counted != self.seen.counted || snapshot.phase != self.seen.phase;
        let changed = if is_new { now } else { self.seen.changed };
        self.seen = Seen { phase: snapshot.phase, counted, unreadable: failed, changed };
    }

    /// Keeps the rate for the picture of it.
    fn sample(&mut self, rate: f64) {
        if self.sampled.elapsed() < SAMPLE {
            return;
        }
        self.sampled = Instant::now();
        self.rates.push_back(rate);
        if self.rates.len() > line::SAMPLES {
            self.rates.pop_front();
        }
    }

    /// Tells what could not be read since the last look: sectors fail one by
    /// one, in the order in which workers meet them, and are told as ranges.
    fn tell_unread(&mut self) {
        for Failed { range, error } in std::mem::take(&mut self.unread) {
            self.told += 1;
            match self.told {
                ..=MOST_UNREAD => {
                    self.show.line(&format!("cannot read bytes {range}: {error}"));
                }
                NEXT_UNREAD => self.show.line("cannot read more: listed in the end"),
                _ => return,
            }
        }
    }

    /// Bytes a second over the last seconds.
    fn rate(&mut self, copied: u64) -> f64 {
        let now = Instant::now();
        while self.window.front().is_some_and(|&(then, _)| now - then > RATE_WINDOW) {
            self.window.pop_front();
        }
        self.window.push_back((now, copied));
        let Some(&(then, before)) = self.window.front() else { return 0.0 };
        let seconds = (now - then).as_secs_f64();
        if seconds > 0.0 { copied.saturating_sub(before) as f64 / seconds } else { 0.0 }
    }

    fn event(&mut self, event: &Event) {
        self.show.event(event);
        let line = match event {
            Event::Planned { destination, engine, reason, .. } if self.verbose => {
                format!("to {destination}, engine {engine}: {reason}")
            }
            // A device is named with model and serial number before anything else is shown.
            Event::Planned { destination, .. } if destination.contains("bytes)") => {
                format!("writing to {destination}")
            }
            Event::Fallback(fallback) if self.verbose => {
                format!("{} gives way to {}: {}", fallback.from, fallback.to, fallback.reason)
            }
            Event::ReadFailed { range, error } if self.show.takes_lines() => {
                self.unread.insert(*range, error);
                return;
            }
            Event::Threads { threads, reason } if self.verbose => {
                format!("{threads} threads: {reason}")
            }
            Event::Checkpoint { path, bytes } if self.verbose => {
                format!("checkpoint: {bytes} bytes of {} are safe", quoted(path))
            }
            Event::Note(note) if self.verbose => note.clone(),
            _ => return,
        };
        self.show.line(&line);
    }
}
