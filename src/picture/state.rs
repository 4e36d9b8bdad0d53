//! What can be known of a byte, and how each state looks without colours.

/// How many states there are.
pub const STATES: usize = State::ALL.len();

/// What is known of a byte. The later in this list, the more it has to be seen:
/// a cell of a picture shows the last state that any byte of it is in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum State {
    /// Nobody asked for it, or it is not in the map.
    Outside,
    /// Not read yet.
    NonTried,
    /// Holds data, says a block map; nothing is known of a copy.
    Data,
    /// Read and copied.
    Read,
    /// In a block that could not be read, whose edges were not looked for.
    NonTrimmed,
    /// In a block that could not be read, and that was not read sector by sector.
    NonScraped,
    /// Read, and not as it should be.
    Differs,
    /// Could not be read.
    Bad,
}

impl State {
    /// Every state, the one to be seen most last.
    pub const ALL: [State; 8] = [
        State::Outside,
        State::NonTried,
        State::Data,
        State::Read,
        State::NonTrimmed,
        State::NonScraped,
        State::Differs,
        State::Bad,
    ];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            State::Outside => "outside",
            State::NonTried => "not tried",
            State::Data => "data",
            State::Read => "read",
            State::NonTrimmed => "not trimmed",
            State::NonScraped => "not scraped",
            State::Differs => "differs",
            State::Bad => "unreadable",
        }
    }

    /// One character for it, one column wide.
    pub const fn glyph(self) -> char {
        match self {
            State::Outside => '_',
            State::NonTried => '.',
            State::Data => '#',
            State::Read => '█',
            State::NonTrimmed => '*',
            State::NonScraped => '/',
            State::Differs => '!',
            State::Bad => 'X',
        }
    }

    /// What its class is called in a style sheet, and in the names of patterns.
    pub(super) const fn class(self) -> &'static str {
        match self {
            State::Outside => "o",
            State::NonTried => "n",
            State::Data => "a",
            State::Read => "r",
            State::NonTrimmed => "t",
            State::NonScraped => "s",
            State::Differs => "d",
            State::Bad => "b",
        }
    }

    /// Whether it belongs into a list of what went wrong.
    pub const fn is_damage(self) -> bool {
        matches!(self, State::NonTrimmed | State::NonScraped | State::Differs | State::Bad)
    }
}

/// How much there is in each state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    amounts: [u64; STATES],
    areas: [u64; STATES],
}

impl Counts {
    /// One more area of `amount` in `state`.
    pub fn add(&mut self, state: State, amount: u64) {
        self.amounts[state as usize] += amount;
        self.areas[state as usize] += 1;
    }

    /// Adds everything of `other`.
    pub fn merge(&mut self, other: &Counts) {
        for at in 0..STATES {
            self.amounts[at] += other.amounts[at];
            self.areas[at] += other.areas[at];
        }
    }

    /// How much is in `state`.
    pub const fn of(&self, state: State) -> u64 {
        self.amounts[state as usize]
    }

    /// In how many areas that is.
    pub const fn areas(&self, state: State) -> u64 {
        self.areas[state as usize]
    }

    /// How much there is in all.
    pub fn total(&self) -> u64 {
        self.amounts.iter().sum()
    }

    /// The states that there are, the one to be seen most first.
    pub fn present(&self) -> impl Iterator<Item = State> + '_ {
        State::ALL.into_iter().rev().filter(|&state| self.of(state) > 0)
    }
}
