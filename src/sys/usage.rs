//! What this process uses.

use std::time::Duration;

use super::Usage;

/// Processor time so far and peak memory since [`forget_peak_memory`]; zero
/// where the system does not say.
pub fn usage() -> Usage {
    Usage { cpu: cpu_time(), peak_memory: peak_memory().unwrap_or(0) }
}

#[cfg(unix)]
fn cpu_time() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

#[cfg(windows)]
fn cpu_time() -> Duration {
    super::windows::processor_time()
}

// Not getrusage: its peak is that of the whole life of the process, in which
// an earlier and larger run would hide a later one.
#[cfg(target_os = "linux")]
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(not(target_os = "linux"))]
fn peak_memory() -> Option<u64> {
    None
}

/// Starts to measure peak memory from now on, where the system can.
pub fn forget_peak_memory() {
    // 5 resets the peak to what is in use now, and does nothing else.
    #[cfg(target_os = "linux")]
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_processor_time() {
        let before = usage().cpu;
        let begin = std::time::Instant::now();
        let mut number = 1u64;
        while usage().cpu == before {
            number = std::hint::black_box(number.wrapping_mul(3));
            assert!(begin.elapsed() < Duration::from_secs(60), "none was counted");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_large_allocation_shows() {
        let size = 64 << 20;
        let before = usage();
        // Alive until then: other tests may forget the peak at any moment.
        let memory = std::hint::black_box(vec![1u8; size]);
        let after = usage();
        drop(memory);
        assert!(after.cpu >= before.cpu);
        assert!(after.peak_memory >= size as u64);
    }
}
