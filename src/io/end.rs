//! Where a file really ends: where a read brings nothing.
//!
//! The size that a file system claims is a hint. Files that are made up as they
//! are read say 0 or 4096, a server may say what it remembers. One short read at
//! the claimed end tells whether the claim holds, and only where it does not is
//! the end looked for.

use std::io::{self, ErrorKind};

use positioned_io::ReadAt;

use super::as_u64;

/// How far behind a claimed end every byte is read in turn. What is made up as
/// it is read is shorter, and may not be readable in any other order.
const IN_TURN: u64 = 1 << 20;

/// The offset of the end of `source`, which is claimed to be at `claimed`. A
/// place before it that cannot be read does not count as the end: the copy meets
/// it and says why.
///
/// # Errors
///
/// If there is no telling: the file cannot be read at an offset at all, or not
/// where it goes on behind the claimed end.
pub fn find_end(source: &dyn ReadAt, claimed: u64) -> io::Result<u64> {
    let Some(last) = claimed.checked_sub(1) else { return end_behind(source, 0) };
    match read_some(source, last, &mut [0; 2]) {
        Ok(0) => Ok(first_without(source, 0, last)),
        Ok(2) => end_behind(source, claimed),
        Err(error) if error.kind() == ErrorKind::NotSeekable => Err(error),
        _ => Ok(claimed),
    }
}

/// How many bytes a read brought.
fn read_some(source: &dyn ReadAt, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read_at(at, buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The end, which lies at `start` or behind it.
fn end_behind(source: &dyn ReadAt, start: u64) -> io::Result<u64> {
    let mut buffer = vec![0; 64 << 10];
    let mut end = start;
    while end - start < IN_TURN {
        match read_some(source, end, &mut buffer)? {
            0 => return Ok(end),
            count => end += as_u64(count),
        }
    }
    // Further out in strides that double, up to what an offset can be.
    let mut stride = IN_TURN;
    loop {
        let probe = end.saturating_add(stride).min(i64::MAX as u64);
        if read_some(source, probe, &mut [0])? == 0 {
            return Ok(first_without(source, end, probe));
        }
        if probe == i64::MAX as u64 {
            return Ok(probe);
        }
        (end, stride) = (probe, stride.saturating_mul(2));
    }
}

/// The first offset from `from` on that has no byte, of which `without` is one.
fn first_without(source: &dyn ReadAt, from: u64, without: u64) -> u64 {
    let (mut low, mut high) = (from, without);
    while low < high {
        let middle = low + (high - low) / 2;
        if matches!(read_some(source, middle, &mut [0]), Ok(0)) {
            high = middle
        } else {
            low = middle + 1
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    /// Zeros up to an end, and how many reads there were.
    struct Until {
        end: u64,
        most: usize,
        reads: AtomicU64,
        broken: Option<u64>,
    }

    impl ReadAt for Until {
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
            match self.reads.fetch_add(1, Relaxed) {
                reads if reads % 3 == 1 => return Err(ErrorKind::Interrupted.into()),
                _ => {}
            }
            if self.broken.is_some_and(|broken| offset >= broken) {
                return Err(io::Error::from_raw_os_error(5));
            }
            let there = self.end.saturating_sub(offset).min(as_u64(buffer.len()));
            Ok(usize::try_from(there).unwrap().min(self.most))
        }
    }

    fn until(end: u64, most: usize) -> Until {
        Until { end, most, reads: AtomicU64::new(0), broken: None }
    }

    #[test]
    fn the_end_is_where_a_read_brings_nothing_whatever_is_claimed() {
        let sizes =
            [0, 1, 2, 100, 4095, 4096, 4097, 65_536, 1 << 20, (1 << 20) + 1, 5 << 20, 1 << 45];
        for end in sizes {
            for claimed in sizes {
                let source = until(end, usize::MAX);
                assert_eq!(find_end(&source, claimed).unwrap(), end, "{claimed} claimed of {end}");
                let reads = source.reads.load(Relaxed);
                assert!(reads < 300, "{reads} reads for {claimed} claimed of {end}");
            }
            let source = until(end, usize::MAX);
            assert_eq!(find_end(&source, end).unwrap(), end);
            assert!(source.reads.load(Relaxed) <= 2, "a claim that holds takes one read");
        }
    }

    #[test]
    fn short_reads_end_nothing() {
        for end in [0, 1, 7, 5000] {
            assert_eq!(find_end(&until(end, 1), 0).unwrap(), end);
            assert_eq!(find_end(&until(end, 1), end).unwrap(), end);
        }
    }

    #[test]
    fn what_cannot_be_read_does_not_count_as_the_end_and_what_never_ends_is_bounded() {
        let broken = |broken, end| Until { broken: Some(broken), ..until(end, usize::MAX) };
        assert_eq!(find_end(&broken(0, 9000), 9000).unwrap(), 9000);
        assert_eq!(find_end(&broken(100, 9000), 9000).unwrap(), 9000);
        // With nothing but the claim of 0, it would be called empty, or cut off.
        for at in [0, 100, 1 << 16, 1 << 20, 1 << 22] {
            assert!(find_end(&broken(at, 1 << 30), 0).is_err(), "{at}");
        }
        assert_eq!(find_end(&until(u64::MAX, usize::MAX), 0).unwrap(), i64::MAX as u64);
        assert_eq!(find_end(&until(u64::MAX, usize::MAX), 4096).unwrap(), i64::MAX as u64);
    }
}
