//! Into which parts an object is cut. Pure arithmetic: no request, no byte.
//!
//! All parts but the last are of one length, because some services want that, and
//! it is a power of two, so that no stripe lies in two of them.

use crate::range::ByteRange;

/// The shortest part that is made: services want 5 MiB at least.
pub const SHORTEST: u64 = 8 << 20;

/// The longest: services take 5 GiB at most.
pub const LONGEST: u64 = 4 << 30;

/// Of an object of which nobody knows how long it will be: 156 GiB of them.
pub const OF_A_STREAM: u64 = 16 << 20;

/// Parts of an object, at most.
pub const MOST: u64 = 10_000;

/// The parts of an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartPlan {
    /// Of the whole, in bytes.
    pub len: u64,
    /// Of each part but the last, in bytes.
    pub part_size: u64,
}

impl PartPlan {
    /// Of an object of `len` bytes, in parts of `wished` bytes if they may be so
    /// long, and must not be longer. `None` if no service takes so much.
    pub fn new(len: u64, wished: Option<u64>) -> Option<PartPlan> {
        let least = len.div_ceil(MOST).max(SHORTEST).checked_next_power_of_two()?;
        let part_size = wished.map_or(least, |wished| wished.min(LONGEST).max(least));
        PartPlan::of(len, part_size)
    }

    /// Of an object as long as it may become, in parts of `wished` bytes if they may be
    /// so long.
    pub fn open_ended(wished: Option<u64>) -> PartPlan {
        let part_size = wished.unwrap_or(OF_A_STREAM).clamp(SHORTEST, LONGEST);
        PartPlan { len: part_size * MOST, part_size }
    }

    /// The same parts, of an object that turned out to have `len` bytes.
    #[must_use]
    pub fn up_to(self, len: u64) -> PartPlan {
        PartPlan { len, ..self }
    }

    /// Of an object of `len` bytes, in parts of `part_size`; `None` if there is no
    /// such object.
    pub fn of(len: u64, part_size: u64) -> Option<PartPlan> {
        let fits = part_size.is_power_of_two()
            && (SHORTEST..=LONGEST).contains(&part_size)
            && len.div_ceil(part_size) <= MOST;
        fits.then_some(PartPlan { len, part_size })
    }

    /// How many there are.
    pub fn count(self) -> u32 {
        // As many as there may be.
        u32::try_from(self.len.div_ceil(self.part_size)).unwrap_or(u32::MAX)
    }

    /// The number of the part that holds byte `offset`, from 1.
    pub fn number(self, offset: u64) -> u32 {
        u32::try_from(offset / self.part_size).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// What part `number` holds.
    pub fn range(self, number: u32) -> ByteRange {
        let start = u64::from(number.max(1) - 1).saturating_mul(self.part_size).min(self.len);
        ByteRange::between(start, start.saturating_add(self.part_size).min(self.len))
    }

    /// The numbers of all of them.
    pub fn numbers(self) -> impl Iterator<Item = u32> {
        1..=self.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(len: u64, wished: Option<u64>) {
        let Some(plan) = PartPlan::new(len, wished) else {
            assert!(len > LONGEST * MOST, "{len}");
            return;
        };
        assert!(u64::from(plan.count()) <= MOST && plan.part_size.is_power_of_two());
        assert!((5 << 20..=5 << 30).contains(&plan.part_size));
        let mut reached = 0;
        for number in plan.numbers() {
            let range = plan.range(number);
            assert_eq!(range.start(), reached);
            let is_last = number == plan.count();
            assert!(!range.is_empty() && (is_last || range.len() == plan.part_size));
            assert_eq!(plan.number(range.start()), number);
            assert_eq!(plan.number(range.end() - 1), number);
            reached = range.end();
        }
        assert_eq!(reached, len);
    }

    #[test]
    fn parts_are_as_short_as_they_may_be() {
        let size = |len| PartPlan::new(len, None).map(|plan| plan.part_size);
        assert_eq!(size(0), Some(8 << 20));
        assert_eq!(size(80_000 << 20), Some(8 << 20));
        assert_eq!(size((80_000 << 20) + 1), Some(16 << 20));
        assert_eq!(size(9_000_000_000_000), Some(1 << 30));
        assert_eq!(size(LONGEST * MOST), Some(LONGEST));
        assert_eq!(size(LONGEST * MOST + 1), None);
        assert_eq!(size(u64::MAX), None);
        let wished = |wished| PartPlan::new(9 << 40, Some(wished)).map(|plan| plan.part_size);
        assert_eq!((wished(1 << 20), wished(2 << 30)), (Some(1 << 30), Some(2 << 30)));
        assert_eq!(wished(1 << 40), Some(LONGEST));
        for len in [0, 1, SHORTEST, SHORTEST + 1, LONGEST * MOST, 50_000_000_000_000] {
            check(len, None);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn parts_cover_an_object_exactly_once(
            len in prop_oneof![0..1u64 << 34, 0..1u64 << 46, Just(u64::MAX)],
            wished in proptest::option::of(0u32..40),
        ) {
            check(len, wished.map(|shift| 1 << shift));
        }
    }
}
