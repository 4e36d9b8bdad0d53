//! The automatic part of the controller: what is tried, when, and what is kept.

use std::time::Duration;

use super::{Course, Ways};
use crate::size::human;

/// Workers to start with where nobody knows better.
pub(super) const START: usize = 2;

/// Shortest time over which throughput is measured. Jobs may last no more than
/// a second, so it is short; noise is met by `MARGIN` and by second chances.
pub(super) const WINDOW: Duration = Duration::from_millis(40);

/// Requests each worker should complete within a window, so that the rate says
/// something about slow devices too.
const REQUESTS_IN_WINDOW: u64 = 2;

/// What another course must bring to be kept.
const MARGIN: f64 = 1.05;

/// What fewer workers must still reach to be preferred.
const AS_GOOD: f64 = 0.97;

/// A drop to this share of what was reached before is not noise.
const COLLAPSE: f64 = 0.6;

/// The same where it is likely that a job is over soon, and the trial must be cheap.
const POOR: f64 = 0.9;

/// Windows that a course gets to prove itself. One good one will do for more
/// workers: to stop too early costs a multiple, to go too far little. For fewer
/// workers, and for another way, it is their mean that counts.
const CHANCES: u32 = 3;

/// Most times as long as a window of the best course took that one of another is
/// waited for, where hardly anything comes.
const PATIENCE: u32 = 4;

/// A course this many times as fast as the best one is better, however short the look.
const PLAIN: f64 = 2.0;

/// Windows that make up the current rate while nothing is tried.
const RECENT: usize = 4;

/// Time between two trials, doubled by each that brings nothing.
const SHORTEST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(16);

/// Bytes a second that a copy aims at: what the fastest links and disks bring, and
/// half of that again, because answers do not come evenly.
pub const AIM: f64 = (3u64 << 29) as f64;

/// Most times as many workers that are tried next. More at once would be too many for
/// a device that is slow for another reason than latency.
const STRIDE: usize = 4;

/// Half as many workers are tried after a climb if they are at least this share of
/// what latency and rate ask for.
const NEARLY: f64 = 0.9;

/// Steps kept for the report.
const LONGEST_TRAIL: usize = 16;

/// What is being found out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Whether more workers bring more.
    Climbing,
    /// Nothing: the best course is taken.
    Resting,
    /// Whether fewer do as well, and then fewer still.
    Descending,
    /// Whether as many as latency and rate ask for do as well.
    Fitting,
    /// Whether another way brings more.
    Comparing,
}

/// The automatic part of the controller.
#[derive(Clone, Debug)]
pub(super) struct Pilot {
    pub most: usize,
    /// What a request may grow to, in bytes.
    pub longest: u64,
    /// The ways there are, if there is a choice.
    ways: Option<Ways>,
    pub course: Course,
    /// The course to go back to, and the rate it reached in bytes a second.
    pub best: Course,
    reference: f64,
    /// How long the window took that showed it, and the last one.
    took: Duration,
    last_took: Duration,
    /// The highest rate of one worker with the requests and the way of the course:
    /// the length of a request by the time it takes where nobody is in its way.
    alone: f64,
    phase: Phase,
    /// Whether requests and way have been changed because latency rules.
    adapted: bool,
    /// Windows in which the course under trial has not proved itself yet, and
    /// the sum of their rates.
    misses: u32,
    sum: f64,
    /// Begin of the current window, and of the course with its workers.
    window: Option<(Duration, u64)>,
    begun: Option<(Duration, u64)>,
    /// Rates of the last windows while resting.
    recent: Vec<f64>,
    /// When to try something again, and how long to rest after it.
    next_trial: Duration,
    rest: Duration,
    way_next: bool,
    up_next: bool,
    trail: Vec<Course>,
    steps: usize,
}

impl Pilot {
    pub fn new(start: usize, most: usize, request: u64) -> Pilot {
        let course = Course { threads: start.clamp(1, most), request, way: 0 };
        Pilot {
            most,
            longest: request,
            ways: None,
            course,
            best: course,
            reference: 0.0,
            took: Duration::ZERO,
            last_took: Duration::ZERO,
            alone: 0.0,
            phase: Phase::Climbing,
            adapted: false,
            misses: 0,
            sum: 0.0,
            window: None,
            begun: None,
            recent: Vec::new(),
            next_trial: Duration::ZERO,
            rest: SHORTEST_REST,
            way_next: true,
            up_next: false,
            trail: vec![course],
            steps: 1,
        }
    }

    /// Chooses between `ways`.
    pub fn choose_between(&mut self, ways: Ways) {
        self.ways = Some(ways);
        self.course.way = ways.first;
        (self.best, self.trail) = (self.course, vec![self.course]);
    }

    pub fn is_trying(&self) -> bool {
        self.phase != Phase::Resting
    }

    /// Why the course is another one from now on, if it is.
    pub fn sample(&mut self, now: Duration, copied: u64) -> Option<String> {
        let Some((since, before)) = self.window else {
            self.begun.get_or_insert((now, copied));
            self.window = Some((now, copied));
            return None;
        };
        let (mut time, bytes) = (now.saturating_sub(since), copied.saturating_sub(before));
        let Course { threads, request, .. } = self.course;
        // The first window begins with the first requests, so that one of each is enough.
        let requests =
            if self.steps == 1 && self.reference == 0.0 { 1 } else { REQUESTS_IN_WINDOW };
        let enough = (threads as u64).saturating_mul(requests * request);
        let mut rate = bytes as f64 / time.as_secs_f64();
        // A course that stays far behind the best one is not waited for.
        let is_late = time >= self.took * PATIENCE && rate < self.reference * COLLAPSE;
        let (begun, before) = self.begun.unwrap_or((since, before));
        let of_course = (now.saturating_sub(begun), copied.saturating_sub(before));
        if self.is_plain(of_course.0, of_course.1) {
            // Requests that are answered in this window were made before it.
            (time, rate) = (of_course.0, of_course.1 as f64 / of_course.0.as_secs_f64());
        } else if time < WINDOW || bytes < enough && !is_late {
            return None;
        }
        self.window = Some((now, copied));
        self.last_took = time.max(WINDOW);
        self.alone = self.alone.max(rate / threads as f64);
        let (course, word) = match self.phase {
            Phase::Climbing => self.climb(now, rate),
            Phase::Resting => self.rest(now, rate),
            // A course that loses much gets no second chance.
            Phase::Fitting if rate < self.reference * POOR => self.back(now),
            _ if rate < self.reference * COLLAPSE => self.back(now),
            Phase::Descending | Phase::Fitting => self.descend(now, rate),
            Phase::Comparing => self.compare(now, rate),
        }?;
        debug_assert_ne!(course, self.course, "a change is a change");
        let reason =
            format!("{}/s with {threads}, {word}{}", human(rate as u64), self.new_in(course));
        self.set((now, copied), course);
        Some(reason)
    }

    /// Whether the first answers to a course with more workers, which brought `bytes` in
    /// `time`, say already that many more are needed: each worker had one, hardly two, it
    /// took long, and yet it is far better than what was before.
    fn is_plain(&self, time: Duration, bytes: u64) -> bool {
        let Course { threads, request, .. } = self.course;
        let one_each = (threads as u64).saturating_mul(request);
        let rate = bytes as f64 / time.as_secs_f64();
        self.phase == Phase::Climbing
            && threads < self.most
            && time >= WINDOW / 4
            && (one_each..one_each.saturating_mul(2)).contains(&bytes)
            && rate > self.reference * PLAIN
            && self.needs_a_stride(rate / threads as f64)
    }

    /// Whether so many times as many workers, of which each by itself has this rate, are no
    /// more than are needed. By Little's law, what is under way is what arrives in a second
    /// times the seconds that each takes.
    fn needs_a_stride(&self, alone: f64) -> bool {
        let stride = self.course.threads.saturating_mul(STRIDE);
        AIM / alone >= stride as f64
    }

    /// What of `course` besides the number of workers is new, for people.
    fn new_in(&self, course: Course) -> String {
        let mut text = String::new();
        if course.way != self.course.way {
            text += &format!(", {}", self.name_of(course.way));
        }
        if course.request != self.course.request {
            text += &format!(", requests of {}", human(course.request));
        }
        text
    }

    fn name_of(&self, way: usize) -> &'static str {
        self.ways.and_then(|ways| ways.names.get(way).copied()).unwrap_or_default()
    }

    fn set(&mut self, begun: (Duration, u64), course: Course) {
        let Course { request, way, .. } = self.course;
        if (course.request, course.way) != (request, way) {
            self.alone = 0.0;
        }
        // A worker that starts or goes now must not count for either course. Only where
        // none goes do answers say from the beginning what the course brings.
        self.begun = (course.threads > self.course.threads).then_some(begun);
        (self.window, self.course) = (None, course);
        self.steps += 1;
        if self.trail.len() < LONGEST_TRAIL {
            self.trail.push(course);
        }
    }

    fn climb(&mut self, now: Duration, rate: f64) -> Option<(Course, &'static str)> {
        if rate <= self.reference * MARGIN {
            return self.missed(now);
        }
        // Where more was better once, the climb may have ended in a bad moment.
        self.up_next = self.reference > 0.0;
        self.accept(rate);
        if self.course.threads >= self.most {
            return self.fit(now);
        }
        Some((self.further(), "trying more"))
    }

    /// What to try after the course, which was better than all before it.
    fn further(&mut self) -> Course {
        let Course { threads, request, way } = self.course;
        let double = threads.saturating_mul(2);
        if !self.needs_a_stride(self.alone) {
            return Course { threads: double.min(self.most), request, way };
        }
        let stride = threads.saturating_mul(STRIDE);
        let mut next = Course { threads: stride.min(self.most), request, way };
        if !std::mem::replace(&mut self.adapted, true) {
            next.request = self.longest.max(request);
            next.way = self.ways.map_or(way, |ways| ways.patient);
        }
        next
    }

    fn other_way(&self) -> usize {
        self.ways.map_or(self.course.way, |_| 1 - self.course.way)
    }

    /// After a climb: as many workers as latency and rate ask for, where that is fewer.
    fn fit(&mut self, now: Duration) -> Option<(Course, &'static str)> {
        let wanted = self.reference / self.alone;
        let mut threads = self.best.threads;
        while threads > 1 && (threads / 2) as f64 >= wanted * NEARLY {
            threads /= 2;
        }
        if threads == self.best.threads {
            self.settle(now);
            return None;
        }
        self.phase = Phase::Fitting;
        Some((Course { threads, ..self.best }, "trying fewer"))
    }

    fn descend(&mut self, now: Duration, rate: f64) -> Option<(Course, &'static str)> {
        self.sum += rate;
        let rate = self.sum / f64::from(self.misses + 1);
        if self.misses + 1 < CHANCES || rate < self.reference * AS_GOOD {
            return self.missed(now);
        }
        let fits = self.phase == Phase::Fitting;
        // The reference stays, or small losses would add up on the way down.
        self.accept(self.reference.max(rate));
        if fits || self.course.threads == 1 {
            self.settle(now);
            return None;
        }
        Some((Course { threads: self.course.threads / 2, ..self.course }, "trying fewer"))
    }

    fn compare(&mut self, now: Duration, rate: f64) -> Option<(Course, &'static str)> {
        self.sum += rate;
        let rate = self.sum / f64::from(self.misses + 1);
        if self.misses + 1 < CHANCES || rate < self.reference * MARGIN {
            return self.missed(now);
        }
        self.accept(rate);
        self.settle(now);
        None
    }

    fn accept(&mut self, reference: f64) {
        self.best = self.course;
        (self.reference, self.took) = (reference, self.last_took);
        (self.misses, self.sum) = (0, 0.0);
        self.rest = SHORTEST_REST;
    }

    /// The course under trial has not proved itself in this window.
    fn missed(&mut self, now: Duration) -> Option<(Course, &'static str)> {
        self.misses += 1;
        if self.misses < CHANCES {
            return None;
        }
        (self.misses, self.sum) = (0, 0.0);
        let (tried, best) = (self.course, self.best);
        if self.phase != Phase::Climbing {
            return self.back(now);
        }
        let half = tried.threads / 2;
        if (tried.request, tried.way) != (best.request, best.way) {
            // It may have been the way, or the requests, and not the number.
            let threads = best.threads.saturating_mul(2).min(self.most);
            let request = if tried.way == best.way { best.request } else { tried.request };
            return Some((Course { threads, request, way: best.way }, "back"));
        }
        if half > best.threads {
            return Some((Course { threads: half, ..best }, "trying half"));
        }
        self.fit(now).or(Some((best, "back")))
    }

    fn back(&mut self, now: Duration) -> Option<(Course, &'static str)> {
        self.settle(now);
        Some((self.best, "back"))
    }

    fn settle(&mut self, now: Duration) {
        self.phase = Phase::Resting;
        (self.misses, self.sum) = (0, 0.0);
        self.recent.clear();
        self.next_trial = now + self.rest;
        self.rest = (self.rest * 2).min(LONGEST_REST);
    }

    fn rest(&mut self, now: Duration, rate: f64) -> Option<(Course, &'static str)> {
        if self.recent.len() == RECENT {
            self.recent.remove(0);
        }
        self.recent.push(rate);
        if self.recent.len() < RECENT {
            return None;
        }
        let mean = self.recent.iter().sum::<f64>() / RECENT as f64;
        if mean < self.reference * COLLAPSE {
            self.reference = mean;
            self.rest = SHORTEST_REST;
            (self.way_next, self.up_next) = (false, false);
            return self.trial(now);
        }
        if now < self.next_trial {
            return None;
        }
        self.reference = mean;
        self.trial(now)
    }

    /// Another way and another number of workers, in turn.
    fn trial(&mut self, now: Duration) -> Option<(Course, &'static str)> {
        let way = self.other_way();
        self.way_next = !self.way_next;
        if !self.way_next && way != self.best.way {
            self.phase = Phase::Comparing;
            return Some((Course { way, ..self.best }, "trying another way"));
        }
        let best = self.best;
        // One step up or down, in turn; where one of them is not there, the other.
        let up = match (best.threads < self.most, best.threads > 1) {
            (true, true) => self.up_next,
            (up_is_there, _) => up_is_there,
        };
        self.up_next = !up;
        if !up && best.threads == 1 {
            self.settle(now);
            return None;
        }
        if up {
            self.phase = Phase::Climbing;
            let threads = best.threads.saturating_mul(2).min(self.most);
            Some((Course { threads, ..best }, "trying more"))
        } else {
            self.phase = Phase::Descending;
            Some((Course { threads: best.threads / 2, ..best }, "trying fewer"))
        }
    }

    /// The steps that were taken, in a few words.
    pub fn steps(&self) -> String {
        let mut text = String::new();
        let mut before = self.trail[0];
        for course in &self.trail {
            let comma = if text.is_empty() { "" } else { ", " };
            text += &format!("{comma}{}", course.threads);
            if course.way != before.way {
                text += &format!(" {}", self.name_of(course.way));
            }
            if course.request != before.request {
                text += &format!(" by {}", human(course.request));
            }
            before = *course;
        }
        let more = if self.steps > self.trail.len() { ", ..." } else { "" };
        let way = self.ways.map(|_| format!(" {}", self.name_of(self.best.way)));
        let way = way.unwrap_or_default();
        format!("{text}{more} (best {}{way})", self.best.threads)
    }
}
