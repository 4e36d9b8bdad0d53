//! How a test is run under many schedules.

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};

/// Schedules of each test, unless `PCOPY_SCHEDULES` says how many.
const SCHEDULES: usize = 1000;

/// Changes of mind of a schedule whose threads have priorities.
const DEPTH: usize = 3;

/// Bytes of stack of a thread: nothing is inlined in a test.
const STACK: usize = 1 << 20;

/// Steps after which a schedule is taken for one that does not end.
const LONGEST: usize = 1_000_000;

/// Runs `test` under as many schedules as are wanted: half of them choose the thread that
/// goes on at each step, half give priorities to threads, which finds what needs one of
/// them to stand still for long.
pub fn check(test: impl Fn() + Send + Sync + Clone + 'static) {
    let wanted = std::env::var("PCOPY_SCHEDULES").ok();
    let schedules = wanted.map_or(SCHEDULES, |text| text.parse().expect("a number of schedules"));
    run(RandomScheduler::new(schedules.div_ceil(2)), test.clone());
    // That scheduler takes a first run without any choice for a mistake, and a test may start
    // no thread by chance.
    run(PctScheduler::new(DEPTH, schedules / 2), move || {
        choose_once();
        test();
    });
}

/// Leaves one choice to the scheduler.
fn choose_once() {
    let other = shuttle::thread::spawn(shuttle::thread::yield_now);
    shuttle::thread::yield_now();
    other.join().unwrap();
}

fn run(scheduler: impl Scheduler + 'static, test: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = STACK;
    // That it takes every order of memory for the strictest one.
    config.silence_warnings = true;
    config.max_steps = shuttle::MaxSteps::FailAfter(LONGEST);
    Runner::new(scheduler, config).run(test);
}
