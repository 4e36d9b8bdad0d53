//! Progress: one thread looks at the counters ten times a second and shows
//! them as a bar, as plain lines or as JSON events. The job knows nothing of it.

mod show;

pub use show::can_write_over;

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

use pcopy::range::{Failed, Unread};
use pcopy::{CancelToken, Event, Progress};

use super::args::OutputArgs;
use super::signals::Signals;
use show::{Show, Shown};

/// How often counters are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Window over which the current rate is measured.
const RATE_WINDOW: Duration = Duration::from_secs(2);

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
    let (done, finished) = channel::<()>();
    std::thread::scope(|scope| {
        let watcher = Builder::new().name("progress".to_owned()).stack_size(STACK).spawn_scoped(
            scope,
            move || {
                let mut watch = Watch::new(output, progress);
                loop {
                    let over = finished.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout);
                    watch.look(signals.take_status_request(), over);
                    if over {
                        return;
                    }
                }
            },
        );
        let result = job(progress, &cancel);
        drop(done);
        // Without a watcher the job has run unseen, which is no reason to fail.
        drop(watcher.map(std::thread::ScopedJoinHandle::join));
        result
    })
}

/// What the watching thread remembers.
struct Watch<'a> {
    progress: &'a Progress,
    show: Show,
    verbose: bool,
    /// Moments and counts of the last seconds, oldest first.
    window: std::collections::VecDeque<(Instant, u64)>,
    /// Source ranges that could not be read and were not told.
    unread: Unread,
    /// Lines that told of such ranges.
    told: usize,
}

impl<'a> Watch<'a> {
    fn new(output: &OutputArgs, progress: &'a Progress) -> Watch<'a> {
        Watch {
            progress,
            show: Show::new(output),
            verbose: output.verbose,
            window: std::collections::VecDeque::new(),
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
        let shown = Shown {
            rate: self.rate(snapshot.copied),
            waiting: snapshot.waiting.filter(|&(_, time)| time >= LONG_WAIT),
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
            Event::Planned { destination, engine, reason } if self.verbose => {
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
            Event::Checkpoint { bytes } if self.verbose => {
                format!("checkpoint: {bytes} bytes are safe")
            }
            Event::Note(note) if self.verbose => note.clone(),
            _ => return,
        };
        self.show.line(&line);
    }
}
