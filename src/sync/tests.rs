//! How a test is run under many schedules.

use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};

use super::{scheduling_point, thread};

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

/// Stands still for up to `most` steps of others.
pub fn wait_some_time(most: usize) {
    for _ in 0..thread_rng().gen_range(0..most) {
        scheduling_point();
    }
}

/// Runs each of `all` on a thread, which begins within `most` steps. With `stops`, about half
/// of them are asked to `stop` within as many. Returns what each came to, in their order.
pub fn meet<R: Sync, T: Send>(
    all: &[R],
    most: usize,
    stops: bool,
    run: impl Fn(&R) -> T + Sync,
    stop: impl Fn(&R) + Sync,
) -> Vec<T> {
    let (run, stop) = (&run, &stop);
    thread::scope(|scope| {
        let mut begun = Vec::new();
        for one in all {
            if stops && thread_rng().gen_bool(0.5) {
                scope.spawn(move || {
                    wait_some_time(most);
                    stop(one);
                });
            }
            begun.push(scope.spawn(move || {
                wait_some_time(most);
                run(one)
            }));
        }
        begun.into_iter().map(|one| one.join().unwrap()).collect()
    })
}
