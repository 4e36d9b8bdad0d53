//! Which call goes wrong, and how.

use std::io;
use std::ops::Range;
use std::time::Duration;

use super::random::mix;
use crate::range::ByteRange;

/// What a call does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Reads bytes.
    Read,
    /// Writes bytes.
    Write,
    /// Makes a range zero.
    Zero,
    /// Waits for the disk.
    Sync,
}

impl Operation {
    /// All of them.
    pub const ALL: [Operation; 4] =
        [Operation::Read, Operation::Write, Operation::Zero, Operation::Sync];

    pub(super) fn index(self) -> usize {
        self as usize
    }
}

/// Which calls a rule is for.
#[derive(Clone, Copy, Debug)]
enum When {
    /// All of them.
    Any,
    /// The one with this number, from 1.
    Call(u64),
    /// Those that touch a byte of the range.
    Within(ByteRange),
    /// This many of a million.
    Rate { per_million: u64, seed: u64 },
}

/// What happens to them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Errno(i32),
    Kind(io::ErrorKind),
    /// At most so many bytes are moved.
    Short(usize),
    /// The call takes this much longer, and succeeds.
    Delay(Duration),
    Panic,
}

impl Fault {
    pub(super) fn error(self) -> Option<io::Error> {
        match self {
            Fault::Errno(number) => Some(io::Error::from_raw_os_error(number)),
            Fault::Kind(kind) => Some(kind.into()),
            Fault::Short(_) | Fault::Delay(_) | Fault::Panic => None,
        }
    }
}

/// One rule of a [`Faulty`](super::Faulty): which calls go wrong, how, and
/// whether once or from then on.
///
/// Without a place ([`call`](Rule::call), [`within`](Rule::within),
/// [`rate`](Rule::rate)) every call is meant; without a fault the call fails
/// with errno 5, which is `EIO` on Unix. A rule is transient unless it says
/// [`persistent`](Rule::persistent).
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub(super) operation: Operation,
    when: When,
    pub(super) fault: Fault,
    persistent: bool,
}

impl Rule {
    /// A rule for calls that do `operation`.
    pub const fn on(operation: Operation) -> Rule {
        Rule { operation, when: When::Any, fault: Fault::Errno(5), persistent: false }
    }

    /// The call with this number among those of its operation, from 1. If
    /// persistent, that and every later one.
    pub fn call(mut self, number: u64) -> Rule {
        self.when = When::Call(number);
        self
    }

    /// Calls that touch a byte of `range`: the first, or all if persistent.
    /// A call that starts before `range` moves the bytes up to it and ends
    /// short, as a kernel's does; that counts as a hit, but not as the fault.
    ///
    /// # Panics
    ///
    /// If the range ends before it starts.
    pub fn within(mut self, range: Range<u64>) -> Rule {
        let range = ByteRange::new(range.start, range.end).expect("a range ends after its start");
        self.when = When::Within(range);
        self
    }

    /// So many calls of a million, chosen by `seed`: by the number of the call
    /// if transient, so that trying again may help; by offset if persistent,
    /// so that it never does.
    pub fn rate(mut self, per_million: u64, seed: u64) -> Rule {
        self.when = When::Rate { per_million, seed };
        self
    }

    /// The call fails with an error number of the operating system.
    pub fn errno(mut self, number: i32) -> Rule {
        self.fault = Fault::Errno(number);
        self
    }

    /// The call fails with an error of this kind.
    /// [`Interrupted`](io::ErrorKind::Interrupted) means "try again": with a
    /// persistent rule nobody ever gets any further.
    pub fn error(mut self, kind: io::ErrorKind) -> Rule {
        self.fault = Fault::Kind(kind);
        self
    }

    /// The call moves at most `bytes` bytes; 0 is the end of the file.
    pub fn short(mut self, bytes: usize) -> Rule {
        self.fault = Fault::Short(bytes);
        self
    }

    /// The call takes `time` longer and succeeds.
    pub fn delay(mut self, time: Duration) -> Rule {
        self.fault = Fault::Delay(time);
        self
    }

    /// The call panics.
    pub fn panic(mut self) -> Rule {
        self.fault = Fault::Panic;
        self
    }

    /// The fault stays.
    pub fn persistent(mut self) -> Rule {
        self.persistent = true;
        self
    }

    /// What the calls it is for do.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Whether the fault stays.
    pub fn is_persistent(&self) -> bool {
        self.persistent
    }

    /// Whether a caller that goes on after short counts and interruptions sees
    /// no more of the fault than that: no error, no end of file.
    pub fn is_harmless(&self) -> bool {
        match self.fault {
            Fault::Kind(kind) => kind == io::ErrorKind::Interrupted && !self.persistent,
            Fault::Short(bytes) => bytes > 0,
            Fault::Delay(_) => true,
            Fault::Errno(_) | Fault::Panic => false,
        }
    }

    /// What is wrong with call `number` at `range`, if it has not been wrong
    /// `before`: nothing, something before its bytes, or something at its bytes
    /// from an offset on.
    pub(super) fn verdict(&self, number: u64, range: ByteRange, before: bool) -> Verdict {
        if before && !self.persistent && !matches!(self.when, When::Rate { .. }) {
            return Verdict::Sound;
        }
        match self.when {
            When::Any => Verdict::Wrong,
            When::Call(wanted) if self.persistent => Verdict::wrong_if(number >= wanted),
            When::Call(wanted) => Verdict::wrong_if(number == wanted),
            When::Within(bad) if !bad.overlaps(range) => Verdict::Sound,
            When::Within(bad) if range.start() < bad.start() => Verdict::WrongFrom(bad.start()),
            When::Within(_) => Verdict::Wrong,
            When::Rate { per_million, seed } => {
                let what = if self.persistent { range.start() } else { number };
                Verdict::wrong_if(mix(mix(what ^ mix(seed))) % 1_000_000 < per_million)
            }
        }
    }
}

/// What a rule says of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Sound,
    /// Bytes before this offset are sound.
    WrongFrom(u64),
    Wrong,
}

impl Verdict {
    fn wrong_if(wrong: bool) -> Verdict {
        if wrong { Verdict::Wrong } else { Verdict::Sound }
    }
}
