//! The controller on simulated devices: no clock, no thread, no disk.

use super::*;

const MIB: f64 = (1 << 20) as f64;
const REQUEST: u64 = 256 << 10;

/// A device that gives `rate(threads, seconds)` bytes a second, give or take
/// `noise`, and a controller on it.
struct Bench<F> {
    controller: Controller,
    rate: F,
    noise: f64,
    random: u64,
    now: Duration,
    copied: f64,
    /// How long each number of workers was at work.
    spent: Vec<Duration>,
}

impl<F: Fn(usize, f64) -> f64> Bench<F> {
    fn new(most: usize, rate: F) -> Bench<F> {
        let controller = Controller::auto(most, REQUEST);
        let spent = vec![Duration::ZERO; MOST_TRIED + 1];
        Bench { controller, rate, noise: 0.0, random: 1, now: Duration::ZERO, copied: 0.0, spent }
    }

    fn noise(mut self, noise: f64, seed: u64) -> Bench<F> {
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

    fn run(&mut self, seconds: f64) -> &mut Bench<F> {
        let end = self.now + Duration::from_secs_f64(seconds);
        while self.now < end {
            let step = self.controller.look_again_in();
            let threads = self.controller.threads();
            let factor = 1.0 + self.noise * self.chance();
            self.copied +=
                (self.rate)(threads, self.now.as_secs_f64()) * factor * step.as_secs_f64();
            self.now += step;
            self.spent[threads] += step;
            if let Some(change) = self.controller.sample(self.now, self.copied as u64) {
                assert_eq!(change.threads, self.controller.threads());
                assert_ne!(change.threads, threads, "a change is a change");
                assert!((1..=MOST_TRIED).contains(&change.threads));
            }
        }
        self
    }

    fn best(&self) -> usize {
        self.controller.pilot.as_ref().unwrap().best
    }

    /// Bytes copied as a share of what `threads` workers would have.
    fn share_of(&self, threads: usize) -> f64 {
        self.copied / ((self.rate)(threads, 0.0) * self.now.as_secs_f64())
    }
}

/// A device that answers each request after 5 ms, `depth` of them at a time.
fn latency_bound(depth: usize) -> impl Fn(usize, f64) -> f64 {
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
    // Nothing moves for a moment just when four workers are on trial.
    let stalls = |threads: usize, time: f64| match time {
        time if (0.06..0.1).contains(&time) => 0.0,
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
    assert_eq!(bench.controller.summary().unwrap(), "threads: 2, 4, 8, 16, 8 (best 8)");
    bench.run(600.0);
    let summary = bench.controller.summary().unwrap();
    assert!(summary.ends_with(", ... (best 8)") && summary.len() < 120, "{summary}");
}

#[test]
fn nobody_is_hired_who_finds_no_work_or_takes_too_much_memory() {
    let check = |workers: Workers, stripes: u64, most: usize| {
        let controller = workers.controller(stripes, REQUEST);
        assert_eq!(controller.is_inline(), stripes <= 1);
        let reachable = controller.pilot.as_ref().map_or(controller.threads, |pilot| pilot.most);
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
