//! The controller on simulated devices: no clock, no thread, no disk.

use super::*;

const MIB: f64 = (1 << 20) as f64;
const REQUEST: u64 = 256 << 10;
const GROWN: u64 = 1 << 20;

/// Bytes a second of a device by the course that is taken and the time in seconds.
type Rate = Box<dyn Fn(Course, f64) -> f64>;

/// A device that gives so many bytes a second, give or take `noise`, and a controller on it.
struct Bench {
    controller: Controller,
    rate: Rate,
    noise: f64,
    random: u64,
    now: Duration,
    copied: f64,
    /// How long each number of workers was at work.
    spent: Vec<Duration>,
}

impl Bench {
    /// On a device to which only the number of workers matters.
    fn new(most: usize, rate: impl Fn(usize, f64) -> f64 + 'static) -> Bench {
        let rate = move |course: Course, time: f64| rate(course.threads, time);
        Bench::on(Controller::auto(most, REQUEST), rate)
    }

    fn on(controller: Controller, rate: impl Fn(Course, f64) -> f64 + 'static) -> Bench {
        let (rate, spent) = (Box::new(rate), vec![Duration::ZERO; MOST_TRIED + 1]);
        Bench { controller, rate, noise: 0.0, random: 1, now: Duration::ZERO, copied: 0.0, spent }
    }

    fn noise(mut self, noise: f64, seed: u64) -> Bench {
        (self.noise, self.random) = (noise, seed);
        self
    }

    /// From -1 to 1: Knuth's linear congruential generator.
    fn chance(&mut self) -> f64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) as f64 / f64::from(1u32 << 30) - 1.0
    }

    fn run(&mut self, seconds: f64) -> &mut Bench {
        let end = self.now + Duration::from_secs_f64(seconds);
        while self.now < end {
            let step = self.controller.look_again_in();
            let course = self.controller.course().expect("it decides");
            let factor = 1.0 + self.noise * self.chance();
            let rate = (self.rate)(course, self.now.as_secs_f64());
            self.copied += rate * factor * step.as_secs_f64();
            self.now += step;
            self.spent[course.threads] += step;
            if let Some(change) = self.controller.sample(self.now, self.copied as u64) {
                assert_eq!(Some(change.course), self.controller.course());
                assert_ne!(change.course, course, "a change is a change");
                assert!(change.reason.len() < 80, "{}", change.reason);
                assert!((1..=MOST_TRIED).contains(&change.course.threads));
            }
        }
        self
    }

    fn best_course(&self) -> Course {
        self.controller.pilot.as_ref().unwrap().best
    }

    fn best(&self) -> usize {
        self.best_course().threads
    }

    /// Bytes copied as a share of what `course` would have.
    fn share_of_course(&self, course: Course) -> f64 {
        self.copied / ((self.rate)(course, 0.0) * self.now.as_secs_f64())
    }

    /// Bytes copied as a share of what `threads` workers would have.
    fn share_of(&self, threads: usize) -> f64 {
        self.share_of_course(Course { threads, ..self.controller.course().unwrap() })
    }

    /// Bytes copied as a share of the best that any course without a change would have.
    fn share_of_the_best(&self) -> f64 {
        let requests = [REQUEST, GROWN];
        let all = requests.into_iter().flat_map(|request| {
            (1..=MOST_TRIED)
                .flat_map(move |threads| [0, 1].map(|way| Course { threads, request, way }))
        });
        all.map(|course| self.share_of_course(course)).fold(f64::INFINITY, f64::min)
    }
}

/// A device that answers each request after 5 ms, `depth` of them at a time.
fn latency_bound(depth: usize) -> impl Fn(usize, f64) -> f64 + Clone {
    move |threads, _| threads.min(depth) as f64 * REQUEST as f64 / 0.005
}

#[test]
fn more_workers_are_hired_while_throughput_rises() {
    let check = |depth: usize, most: usize, expected: usize| {
        let mut bench = Bench::new(most, latency_bound(depth));
        bench.run(30.0);
        assert_eq!(bench.best(), expected, "depth {depth}, most {most}");
        assert!(bench.share_of(expected) > 0.95);
    };
    check(8, 32, 8);
    check(32, 32, 32);
    check(1000, 32, 32);
    check(2, 32, 2);
    check(16, 5, 5);
    check(8, 2, 2);
}

#[test]
fn a_job_of_one_second_comes_close_to_the_best_fixed_number() {
    let mut bench = Bench::new(32, latency_bound(8));
    bench.run(1.0);
    assert!(bench.share_of(8) > 0.85, "{}", bench.share_of(8));
}

#[test]
fn where_more_brings_nothing_few_remain() {
    let mut flat = Bench::new(32, |_, _| 1000.0 * MIB);
    flat.run(10.0);
    assert_eq!(flat.best(), 1);
    let mut worse = Bench::new(32, |threads, _| 1000.0 * MIB / threads as f64);
    worse.run(10.0);
    assert_eq!(worse.best(), 1);
    assert!(worse.share_of(1) > 0.9, "{}", worse.share_of(1));
}

#[test]
fn noise_does_not_lead_far_astray() {
    for seed in 0..50 {
        let mut bench = Bench::new(32, latency_bound(8)).noise(0.2, seed);
        bench.run(20.0);
        assert!(bench.share_of(8) > 0.85, "seed {seed}: {}", bench.share_of(8));
        let mut peak = Bench::new(32, |threads, _| match threads {
            4 => 800.0 * MIB,
            _ => 400.0 * MIB,
        });
        peak = peak.noise(0.2, seed);
        peak.run(20.0);
        assert!(peak.share_of(4) > 0.85, "seed {seed}: {}", peak.share_of(4));
    }
}

#[test]
fn a_stall_while_climbing_is_forgiven() {
    // Nothing moves for a moment just when eight workers are on trial.
    let stalls = |threads: usize, time: f64| match time {
        time if (0.045..0.09).contains(&time) => 0.0,
        _ => latency_bound(8)(threads, time),
    };
    let mut bench = Bench::new(32, stalls);
    bench.run(1.0);
    assert_eq!(bench.best(), 8);
}

#[test]
fn a_device_that_changes_its_mind_is_followed() {
    // A cache that takes anything from anybody, then a disk that wants one writer.
    let cache_then_disk = |threads: usize, time: f64| match time {
        time if time < 2.0 => threads as f64 * 100.0 * MIB,
        _ => 400.0 * MIB / (threads as f64).sqrt(),
    };
    let mut bench = Bench::new(32, cache_then_disk);
    bench.run(2.0);
    assert_eq!(bench.best(), 32);
    bench.run(8.0);
    assert_eq!(bench.best(), 1);

    let disk_then_network = |threads: usize, time: f64| match time {
        time if time < 5.0 => 100.0 * MIB,
        _ => threads as f64 * 50.0 * MIB,
    };
    let mut bench = Bench::new(32, disk_then_network);
    bench.run(60.0);
    assert_eq!(bench.best(), 32);
}

#[test]
fn a_long_job_is_left_in_peace() {
    let mut bench = Bench::new(32, latency_bound(8));
    bench.run(600.0);
    let at_work = bench.spent[8].as_secs_f64() / bench.now.as_secs_f64();
    assert!(at_work > 0.97, "{at_work}");
}

#[test]
fn a_device_with_slow_requests_gets_time_to_answer() {
    // Half a second a request: no window of 40 ms would say anything.
    let mut bench = Bench::new(32, |threads, _| threads as f64 * REQUEST as f64 / 0.5);
    bench.run(60.0);
    assert_eq!(bench.best(), 32);
}

#[test]
fn nothing_is_decided_before_something_was_copied() {
    let mut controller = Controller::auto(32, REQUEST);
    for step in 0..10_000 {
        assert_eq!(controller.sample(Duration::from_millis(10 * step), 0), None);
    }
    assert_eq!(controller.threads(), START);
}

#[test]
fn a_fixed_number_is_exactly_that() {
    let mut controller = Controller::fixed(7);
    for step in 0..1000u64 {
        assert_eq!(controller.sample(Duration::from_millis(10 * step), step << 30), None);
        assert_eq!(controller.threads(), 7);
    }
    assert_eq!(controller.summary(), None);
    assert!(Controller::inline().is_inline());
}

#[test]
fn what_was_tried_is_told() {
    let mut bench = Bench::new(32, latency_bound(8));
    bench.run(0.5);
    assert_eq!(bench.controller.summary().unwrap(), "threads: 2, 8, 16, 8 (best 8)");
    bench.run(600.0);
    let summary = bench.controller.summary().unwrap();
    assert!(summary.ends_with(", ... (best 8)") && summary.len() < 120, "{summary}");
}

#[test]
fn nobody_is_hired_who_finds_no_work_or_takes_too_much_memory() {
    let check = |workers: Workers, stripes: u64, most: usize| {
        let controller = workers.controller(stripes, REQUEST);
        assert_eq!(controller.is_inline(), stripes <= 1);
        let reachable = controller.pilot.as_ref().map_or(controller.threads(), |pilot| pilot.most);
        assert_eq!(reachable, most, "{workers:?} for {stripes} stripes");
    };
    check(Workers::Exactly(8), 100, 8);
    check(Workers::Exactly(8), 3, 3);
    check(Workers::Exactly(8), 1, 1);
    check(Workers::Exactly(1), 1000, 1);
    check(Workers::auto().bounded_by(REQUEST, None), u64::MAX, 32);
    check(Workers::auto().bounded_by(REQUEST, None), 5, 5);
    check(Workers::auto().bounded_by(REQUEST, None), 0, 1);
    check(Workers::auto().bounded_by(64 << 20, None), 100, 4);
    check(Workers::auto().bounded_by(1 << 30, None), 100, 1);
    check(Workers::Exactly(64).bounded_by(16 << 20, None), 100, 64);
    check(Workers::Exactly(64).bounded_by(16 << 20, Some(128 << 20)), 100, 4);
    check(Workers::Exactly(64).bounded_by(16 << 20, Some(16 << 20)), 100, 1);
    check(Workers::auto().bounded_by(1 << 20, Some(48 << 20)), 100, 24);
}

/// A device that answers each request after `latency` seconds, and gives no more than
/// `limit` bytes a second, however many there are.
fn far_away(latency: f64, limit: f64) -> impl Fn(Course, f64) -> f64 {
    move |course, _| {
        let request = course.request as f64;
        (course.threads as f64 * request / (latency + request / limit)).min(limit)
    }
}

fn growing() -> Controller {
    Controller::auto(MOST_TRIED, REQUEST).growing_to(GROWN)
}

#[test]
fn where_latency_rules_a_job_of_one_second_comes_close_to_the_best_course() {
    let mut bench = Bench::on(growing(), far_away(0.020, 800.0 * MIB));
    bench.run(1.3);
    assert!(bench.share_of_the_best() > 0.9, "{}", bench.share_of_the_best());
    assert_eq!(bench.best_course().request, GROWN);
    let summary = bench.controller.summary().unwrap();
    assert!(summary.starts_with("threads: 2, 8 by 1 MiB, "), "{summary}");
}

/// The courses that a controller takes, and when, on storage that answers all requests
/// under way at the same moment, `latency` after they were made.
fn courses(
    mut controller: Controller,
    latency: impl Fn(Course) -> Duration,
    end: Duration,
) -> Vec<(Course, Duration)> {
    let (mut now, mut begun, mut copied) = (Duration::ZERO, Duration::ZERO, 0);
    assert_eq!(controller.sample(now, copied), None);
    let mut taken = vec![(controller.course().unwrap(), now)];
    while now < end {
        let (course, was) = (controller.course().unwrap(), now);
        now += controller.look_again_in();
        // Whatever was under way when the course changed comes as late.
        let answers = |at: Duration| (at - begun).as_micros() / latency(course).as_micros();
        let came = (answers(now) - answers(was)) as u64;
        copied += came * course.threads as u64 * course.request;
        if let Some(change) = controller.sample(now, copied) {
            begun = now;
            taken.push((change.course, now));
        }
    }
    taken
}

#[test]
fn the_first_late_answers_are_enough() {
    let answer = Duration::from_millis(22);
    let taken = courses(growing(), |_| answer, answer * 4);
    let threads: Vec<usize> = taken.iter().map(|(course, _)| course.threads).collect();
    assert_eq!(threads, [2, 8, MOST_TRIED], "{taken:?}");
}

/// A short look at the first course must not be the measure of how long the next may take.
#[test]
fn answers_that_come_later_with_more_workers_are_waited_for() {
    let latency = |course: Course| match course.threads {
        2 => Duration::from_millis(11),
        threads => {
            let bytes = (threads as u64 * course.request) as f64;
            Duration::from_secs_f64(bytes / (40.0 * MIB))
        }
    };
    let taken = courses(growing(), latency, Duration::from_millis(450));
    let courses: Vec<_> =
        taken.iter().map(|(course, _)| (course.threads, course.request)).collect();
    assert_eq!(courses[..2], [(2, REQUEST), (8, GROWN)], "{taken:?}");
    assert!(courses.get(2).is_none_or(|(threads, _)| *threads > 8), "{taken:?}");
}

#[test]
fn a_slow_start_is_not_taken_for_latency() {
    let starts = |_: Course, time: f64| if time < 0.008 { 0.0 } else { 480.0 * MIB };
    let mut bench = Bench::on(growing(), starts);
    bench.run(1.0);
    assert_eq!(bench.best_course().request, REQUEST);
}

/// The product of latency and rate, and a little more, is what stays.
#[test]
fn no_more_are_kept_than_latency_and_rate_ask_for() {
    let check = |milliseconds: f64, mib: f64, most: usize| {
        let mut bench = Bench::on(growing(), far_away(milliseconds / 1000.0, mib * MIB));
        bench.run(1.5);
        let product = milliseconds / 1000.0 * mib + 1.0;
        let kept = bench.best() as f64;
        assert!(kept >= product * 0.85 || bench.best() == MOST_TRIED, "{kept} of {product}");
        assert!(bench.best() <= most, "{kept} of {product}");
    };
    check(20.0, 700.0, 16);
    check(20.0, 400.0, 16);
    check(10.0, 800.0, 16);
    check(20.0, 100.0, 8);
    check(100.0, 800.0, 32);
}

#[test]
fn requests_stay_short_where_nobody_waits() {
    let mut bench = Bench::on(growing(), far_away(0.0001, 2000.0 * MIB));
    bench.run(30.0);
    assert_eq!(bench.best_course().request, REQUEST);
}

const WAYS: Ways = Ways { names: ["direct", "positioned"], first: 1, patient: 0 };

/// `factor` as fast by way 0.
fn by_way(factor: f64, rate: impl Fn(Course, f64) -> f64) -> impl Fn(Course, f64) -> f64 {
    move |course, time| rate(course, time) * if course.way == 0 { factor } else { 1.0 }
}

#[test]
fn the_patient_way_is_taken_where_latency_rules_and_left_where_it_is_worse() {
    let slow = || far_away(0.020, 800.0 * MIB);
    let mut better = Bench::on(growing().choosing(WAYS), by_way(1.5, slow()));
    better.run(1.0);
    assert_eq!(better.best_course().way, 0);
    assert!(better.share_of_the_best() > 0.85, "{}", better.share_of_the_best());
    let summary = better.controller.summary().unwrap();
    assert!(summary.starts_with("threads: 2, 8 direct by 1 MiB, "), "{summary}");
    assert!(summary.ends_with(" direct)"), "{summary}");
    for factor in [0.001, 0.3, 0.6, 0.8] {
        let mut worse = Bench::on(growing().choosing(WAYS), by_way(factor, slow()));
        worse.run(20.0);
        assert_eq!(worse.best_course().way, 1, "{factor}");
        assert!(worse.share_of_the_best() > 0.85, "{factor}: {}", worse.share_of_the_best());
    }
}

#[test]
fn a_way_that_is_slower_is_left_although_nothing_refuses_it() {
    let offload = Ways { names: ["offload", "positioned"], first: 0, patient: 1 };
    let fast = || far_away(0.0001, 1000.0 * MIB);
    let mut bench = Bench::on(growing().choosing(offload), by_way(0.7, fast()));
    bench.run(20.0);
    assert_eq!(bench.best_course().way, 1);
    assert!(bench.share_of_the_best() > 0.9, "{}", bench.share_of_the_best());
    let mut bench = Bench::on(growing().choosing(offload), by_way(1.4, fast()));
    bench.run(20.0);
    assert_eq!(bench.best_course().way, 0);
    assert!(bench.share_of_the_best() > 0.9, "{}", bench.share_of_the_best());
}

/// Whatever the latency, the limit, the other way and the noise: most of what the
/// best course without a change would have brought.
#[test]
fn no_device_leads_far_astray() {
    let mut random = crate::testing::Random::new(19);
    for round in 0..2000 {
        let latency = 0.0001 * 1.0072_f64.powi(random.below(1000) as i32);
        let limit = 30.0 * MIB * 1.0042_f64.powi(random.below(1000) as i32);
        let factor = 0.5 + random.below(100) as f64 / 66.0;
        let device = by_way(factor, far_away(latency, limit));
        let mut bench = Bench::on(growing().choosing(WAYS), device).noise(0.1, round);
        bench.run(60.0);
        let share = bench.share_of_the_best();
        assert!(share > 0.75, "round {round}, {latency} s, {limit}, {factor}: {share}");
    }
}
