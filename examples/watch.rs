//! Copies a file and calls a function ten times a second with how far it is.
//!
//! ```text
//! cargo run --example watch -- SOURCE DEST
//! ```

use std::time::Duration;

use pcopy::{CancelToken, CopyJob, JobResult, Progress, Report, Snapshot, Watch};

/// Runs `job` and calls `callback` on this thread until it is over. A callback
/// that returns false stops the copy.
fn run_with(job: &CopyJob, mut callback: impl FnMut(&Snapshot) -> bool) -> JobResult<Report> {
    let (progress, cancel) = (Progress::new(), CancelToken::new());
    std::thread::scope(|scope| {
        let running = scope.spawn(|| job.run_watched(Watch::new(&progress, &cancel)));
        while !running.is_finished() {
            if !callback(&progress.snapshot()) {
                cancel.cancel();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        running.join().expect("the copy does not panic")
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [source, destination] = &arguments[..] else {
        return Err("usage: watch SOURCE DEST".into());
    };
    let report = run_with(&CopyJob::new(source, destination), |now| {
        let total = now.total.map_or_else(String::new, |total| format!(" of {total}"));
        println!("{:?}: {}{total} bytes", now.phase, now.copied);
        true
    })?;
    println!("{} bytes at {:.0} bytes a second", report.bytes.copied, report.bytes_per_second);
    Ok(())
}
