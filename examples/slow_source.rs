//! Copies from something that answers after 20 ms, whatever it is asked for, and
//! takes many questions at once: 16 threads ask. Watches the progress by a
//! thread of its own.
//!
//! ```text
//! cargo run --example slow_source -- DEST
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pcopy::endpoint::Origin;
use pcopy::io::{ReadAt, Source};
use pcopy::{CancelToken, CopyJob, Outcome, Progress, Watch};

const SIZE: u64 = 64 << 20;

/// Bytes that count up, from far away.
struct FarAway(PathBuf);

struct Counting;

impl ReadAt for Counting {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        std::thread::sleep(Duration::from_millis(20));
        let count = (SIZE.saturating_sub(offset)).min(buffer.len() as u64) as usize;
        for (position, byte) in (offset..).zip(&mut buffer[..count]) {
            *byte = position as u8;
        }
        Ok(count)
    }
}

impl Source for Counting {
    fn size(&self) -> u64 {
        SIZE
    }
}

impl Origin for FarAway {
    fn path(&self) -> &Path {
        &self.0
    }

    fn source(&self) -> Arc<dyn Source> {
        Arc::new(Counting)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(destination) = std::env::args_os().nth(1) else {
        return Err("usage: slow_source DEST".into());
    };
    let job = CopyJob::from_origin(FarAway("far away".into()), destination).threads(16);
    let (progress, cancel) = (Progress::new(), CancelToken::new());
    let begin = Instant::now();
    let report = std::thread::scope(|scope| {
        let running = scope.spawn(|| job.run_watched(Watch::new(&progress, &cancel)));
        while !running.is_finished() {
            println!("{:>9} of {SIZE} bytes", progress.snapshot().copied);
            std::thread::sleep(Duration::from_millis(100));
        }
        running.join().expect("the copy does not panic")
    })?;
    assert_eq!(report.outcome, Outcome::Complete);
    println!("{} threads, {:.2} s", report.threads, begin.elapsed().as_secs_f64());
    Ok(())
}
