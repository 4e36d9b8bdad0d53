//! A source or sink whose calls go wrong by rule.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use positioned_io::ReadAt;

use super::rule::{Fault, Operation, Rule, Verdict};
use crate::io::{Extent, Holes, Judgement, Sink, Source, as_u64, as_usize};
use crate::range::ByteRange;

/// A [`Source`] or [`Sink`] whose calls go wrong by [`Rule`].
///
/// Rules are asked in the order they were given; the first that applies is
/// what happens, except that delays add up with what follows them. The open
/// file of the wrapped object is not passed on, so that no engine can go
/// around the rules.
pub struct Faulty<T> {
    inner: T,
    rules: Vec<(Rule, AtomicBool)>,
    calls: [AtomicU64; Operation::ALL.len()],
    hits: AtomicU64,
}

impl<T> Faulty<T> {
    /// `inner` without a fault.
    pub fn new(inner: T) -> Faulty<T> {
        Faulty { inner, rules: Vec::new(), calls: Default::default(), hits: AtomicU64::new(0) }
    }

    /// With one more rule.
    #[must_use]
    pub fn with(mut self, rule: Rule) -> Faulty<T> {
        self.rules.push((rule, AtomicBool::new(false)));
        self
    }

    /// What is wrapped.
    pub fn inner(&self) -> &T {
        &self.inner
    }

    /// How many calls a rule has changed. A loop over "the k-th call fails"
    /// is through when a run ends with 0 here.
    pub fn hits(&self) -> u64 {
        self.hits.load(SeqCst)
    }

    /// How many calls did `operation`.
    pub fn calls(&self, operation: Operation) -> u64 {
        self.calls[operation.index()].load(SeqCst)
    }

    /// What is left of a call at `range` after the rules: how many bytes it
    /// may move, or the error it fails with.
    fn judge(&self, operation: Operation, range: ByteRange) -> io::Result<usize> {
        let number = self.calls[operation.index()].fetch_add(1, SeqCst) + 1;
        let len = as_usize(range.len());
        for (rule, used) in self.rules.iter().filter(|(rule, _)| rule.operation == operation) {
            let verdict = rule.verdict(number, range, used.load(SeqCst));
            if verdict == Verdict::Sound {
                continue;
            }
            self.hits.fetch_add(1, SeqCst);
            if let (Verdict::WrongFrom(bad), false) =
                (verdict, matches!(rule.fault, Fault::Delay(_)))
            {
                return Ok(as_usize(bad - range.start()));
            }
            used.store(true, SeqCst);
            match rule.fault {
                Fault::Short(bytes) => return Ok(bytes.min(len)),
                Fault::Delay(time) => std::thread::sleep(time),
                Fault::Panic => panic!("a fault on request: {operation:?} number {number}"),
                fault => return fault.error().map_or(Ok(len), Err),
            }
        }
        Ok(len)
    }
}

fn span(offset: u64, len: usize) -> ByteRange {
    ByteRange::between(offset, offset.saturating_add(as_u64(len)))
}

impl<T: ReadAt> ReadAt for Faulty<T> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let allowed = self.judge(Operation::Read, span(offset, buffer.len()))?;
        self.inner.read_at(offset, &mut buffer[..allowed])
    }
}

impl<T: Source> Source for Faulty<T> {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn next_extent(&self, from: u64) -> io::Result<Extent> {
        self.inner.next_extent(from)
    }

    fn weigh_holes(&self, range: ByteRange, data: u64) -> Holes {
        self.inner.weigh_holes(range, data)
    }

    fn was_read(&self, offset: u64) {
        self.inner.was_read(offset);
    }

    fn is_gone(&self, error: &io::Error) -> Option<String> {
        self.inner.is_gone(error)
    }

    fn why_gone(&self) -> Option<String> {
        self.inner.why_gone()
    }

    fn judge(&self, error: &io::Error) -> Judgement {
        self.inner.judge(error)
    }
}

impl<T: Sink> Sink for Faulty<T> {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        let allowed = self.judge(Operation::Write, span(offset, data.len()))?;
        self.inner.write_at(offset, &data[..allowed])
    }

    /// A short fault leaves the range unfinished and says so: making zeros has
    /// no short count.
    fn write_zeroes(&self, range: ByteRange) -> io::Result<()> {
        let number = ByteRange::with_len(range.start(), range.len().min(u64::from(u32::MAX)));
        let allowed = self.judge(Operation::Zero, number.unwrap_or(range))?;
        let (sound, rest) = range.split_at(range.start() + as_u64(allowed));
        self.inner.write_zeroes(if rest.is_empty() { range } else { sound })?;
        if rest.is_empty() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.judge(Operation::Sync, ByteRange::default())?;
        self.inner.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::memory::Memory;
    use crate::io::transfer::{read_full, write_full};
    use std::time::Duration;

    const READ: Rule = Rule::on(Operation::Read);

    /// Reads 100 bytes at 0, 100, ... 900 and says which failed.
    fn failures(rule: Rule) -> Vec<u64> {
        let disk = Faulty::new(Memory::zeroed(1000)).with(rule);
        let fails = |at: &u64| read_full(&disk, *at, &mut [0; 100]).is_err();
        (0..10).map(|n| n * 100).filter(fails).collect()
    }

    #[test]
    fn a_rule_says_which_calls() {
        let check = |rule: Rule, expected: &[u64]| assert_eq!(failures(rule), expected, "{rule:?}");
        check(READ.call(3), &[200]);
        check(READ.call(3).persistent(), &[200, 300, 400, 500, 600, 700, 800, 900]);
        check(READ.within(250..401), &[200]);
        check(READ.within(250..401).persistent(), &[200, 300, 400]);
        check(READ.within(2000..3000).persistent(), &[]);
        check(READ, &[0]);
        check(READ.persistent(), &[0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
        check(Rule::on(Operation::Write).persistent(), &[]);
        check(READ.rate(0, 1).persistent(), &[]);
        check(READ.rate(1_000_000, 1), &[0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
    }

    #[test]
    fn a_rate_is_kept_and_is_the_same_for_the_same_seed() {
        for seed in 0..20 {
            let disk = Faulty::new(Memory::zeroed(8)).with(READ.rate(250_000, seed));
            let failed = |_: &i32| disk.read_at(0, &mut [0; 8]).is_err();
            let count = (0..4000).filter(failed).count();
            assert!((800..1200).contains(&count), "seed {seed}: {count} of 4000");
            let rule = READ.rate(250_000, seed).persistent();
            assert_eq!(failures(rule), failures(rule));
        }
    }

    #[test]
    fn bytes_before_a_bad_range_are_moved() {
        let disk = Faulty::new(Memory::new(vec![7; 1000]))
            .with(READ.within(300..310).errno(5).persistent())
            .with(Rule::on(Operation::Write).within(600..700).errno(28));
        let mut buffer = [0; 500];
        let stop = read_full(&disk, 0, &mut buffer).unwrap_err();
        assert_eq!((stop.moved, stop.error.raw_os_error()), (300, Some(5)));
        assert!(buffer[..300].iter().all(|&byte| byte == 7));
        let stop = write_full(&disk, 500, &[9; 200]).unwrap_err();
        assert_eq!((stop.moved, stop.error.raw_os_error()), (100, Some(28)));
        assert_eq!(disk.inner().bytes()[599..601], [9, 7]);
        write_full(&disk, 600, &[9; 100]).expect("the fault was transient");
    }

    #[test]
    fn short_counts_interruptions_and_delays_change_no_byte() {
        let bytes: Vec<u8> = (0..=255).collect();
        let disk = Faulty::new(Memory::new(bytes.clone()))
            .with(READ.rate(400_000, 1).error(io::ErrorKind::Interrupted))
            .with(READ.delay(Duration::from_nanos(1)).persistent())
            .with(READ.short(1).persistent());
        let mut buffer = [0; 256];
        read_full(&disk, 0, &mut buffer).unwrap();
        assert_eq!(buffer[..], bytes);
        assert!(disk.calls(Operation::Read) > 300, "256 bytes and some interruptions");
        let zero = Faulty::new(Memory::zeroed(10)).with(READ.short(0));
        assert_eq!(zero.read_at(0, &mut [0; 10]).unwrap(), 0, "the end of the file");
    }

    #[test]
    fn zeroing_and_syncing_fail_too() {
        let disk = Faulty::new(Memory::new(vec![1; 100]))
            .with(Rule::on(Operation::Zero).within(50..60).persistent())
            .with(Rule::on(Operation::Sync).call(2).errno(5));
        let all = ByteRange::to(100);
        assert_eq!(disk.write_zeroes(all).unwrap_err().kind(), io::ErrorKind::WriteZero);
        assert_eq!(disk.inner().bytes()[49..51], [0, 1]);
        assert_eq!(
            disk.write_zeroes(ByteRange::between(55, 58)).unwrap_err().raw_os_error(),
            Some(5)
        );
        disk.sync_data().unwrap();
        assert_eq!(disk.sync_data().unwrap_err().raw_os_error(), Some(5));
        disk.sync_data().unwrap();
    }

    #[test]
    #[should_panic(expected = "a fault on request: Write number 2")]
    fn a_panic_is_a_fault() {
        let disk = Faulty::new(Memory::zeroed(1)).with(Rule::on(Operation::Write).call(2).panic());
        write_full(&disk, 0, b"a").unwrap();
        let _ = write_full(&disk, 0, b"a");
    }
}
