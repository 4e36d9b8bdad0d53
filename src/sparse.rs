//! Holes: where the source has them, and where the destination gets them.
//!
//! What a file system says of holes decides what is *not read*, never what is
//! there: a source that cannot say, says what makes no sense, or is not known to
//! tell the truth ([`Holes`]) is all data. Zeros that are read where a hole was
//! claimed become holes again. This room moves no bytes.

use std::path::Path;

use crate::error::{ErrorKind, Result, quoted};
use crate::io::{Holes, Source, as_u64, as_usize};
use crate::range::{ByteRange, RangeSet};
use crate::words::words;

words! {
    /// What becomes of holes and zeros.
    #[derive(Default)]
    pub enum Sparse {
        /// Keep the holes of the source.
        #[default]
        Auto = "auto",
        /// Make holes from zeros too.
        Always = "always",
        /// Write every byte.
        Never = "never",
    }
}

/// What to do with zeros that were read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Zeros {
    /// Write them like any bytes.
    #[default]
    Write,
    /// Leave them out: the destination is new, and reads as zeros where
    /// nothing was written.
    LeaveOut,
    /// Ask the destination to make a hole: it may hold other bytes there.
    MakeHoles,
}

/// Grain of the holes made from zeros, in bytes of the destination: the block
/// of common file systems. A smaller hole would save nothing.
pub const HOLE_GRAIN: u64 = 4096;

impl Sparse {
    /// What becomes of zeros that were read into a file that is `fresh` or not.
    pub(crate) fn zeros(self, fresh: bool) -> Zeros {
        match (self, fresh) {
            (Sparse::Always, true) => Zeros::LeaveOut,
            (Sparse::Always, false) => Zeros::MakeHoles,
            _ => Zeros::Write,
        }
    }

    /// Refuses units of `bytes`, which `options` name, in which no zeros would
    /// be found that are to become holes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`].
    pub(crate) fn check_grain(self, options: &'static [&'static str], bytes: u64) -> Result<()> {
        if self == Sparse::Always && bytes < HOLE_GRAIN {
            let problem = format!("must be at least {HOLE_GRAIN} bytes where sparse is always");
            return Err(ErrorKind::usage_of(options, problem).into());
        }
        Ok(())
    }
}

/// Most extents that are told apart. Beyond it the list would take more memory
/// than the copy; the rest of such a source is all data.
const MOST_EXTENTS: usize = 1 << 18;

/// What is to be read of a range, and what becomes of the zeros in it.
#[derive(Clone, Debug)]
pub struct Layout {
    /// What is to be read.
    pub data: RangeSet,
    /// What was asked for.
    pub asked: Sparse,
    /// How far the source is believed about its holes.
    pub holes: Holes,
    /// Bytes that are read although the source calls them holes.
    pub doubted: u64,
}

impl Layout {
    /// Of `range` of `source`, copied as `asked`.
    pub fn of(source: &dyn Source, range: ByteRange, asked: Sparse) -> Layout {
        let whole = Layout::whole(range, asked);
        if asked == Sparse::Never {
            return whole;
        }
        let data = claimed_in(source, range);
        let called_holes = range.len() - data.bytes();
        if called_holes == 0 {
            return whole;
        }
        match source.weigh_holes(range, data.bytes()) {
            Holes::Believed => Layout { data, ..whole },
            Holes::Reserved => Layout { holes: Holes::Reserved, ..whole },
            holes => Layout { holes, doubted: called_holes, ..whole },
        }
    }

    /// All of `range`, whether it has holes or not.
    pub fn whole(range: ByteRange, asked: Sparse) -> Layout {
        Layout { data: range.into(), asked, holes: Holes::Believed, doubted: 0 }
    }

    /// The same, of which only `wanted` is read.
    #[must_use]
    pub fn only(self, wanted: &RangeSet) -> Layout {
        Layout { data: self.data.common(wanted), ..self }
    }

    /// What becomes of zeros, so that holes that are read are holes again.
    pub fn sparse(&self) -> Sparse {
        match self.asked {
            Sparse::Auto if self.doubted > 0 => Sparse::Always,
            asked => asked,
        }
    }

    /// Says that more is read of `source` than it calls data.
    pub fn note(&self, source: &Path) -> Option<String> {
        let why = match self.holes {
            Holes::Contradicted => "the file takes more storage than its data would",
            Holes::Unproven => "its file system is not known to tell the truth about them",
            Holes::Believed | Holes::Reserved => return None,
        };
        let (bytes, name) = (self.doubted, quoted(source));
        Some(format!("{bytes} bytes of {name} that are said to be holes are read: {why}"))
    }
}

/// What of `range` of `source` must be read to know what is there.
pub fn data_in(source: &dyn Source, range: ByteRange) -> RangeSet {
    Layout::of(source, range, Sparse::Auto).data
}

/// What `source` calls data within `range`.
fn claimed_in(source: &dyn Source, range: ByteRange) -> RangeSet {
    let mut data = RangeSet::new();
    let mut at = range.start();
    while at < range.end() {
        match source.next_extent(at) {
            Ok(extent)
                if extent.range.start() <= at
                    && extent.range.end() > at
                    && data.as_slice().len() < MOST_EXTENTS =>
            {
                if extent.data {
                    data.insert(extent.range.intersect(range));
                }
                at = extent.range.end();
            }
            _ => {
                data.insert(ByteRange::between(at, range.end()));
                break;
            }
        }
    }
    data
}

/// Cuts `data`, which belongs at `offset` of the destination, into runs of
/// whole zero blocks there (`true`) and of anything else (`false`).
pub fn runs(data: &[u8], offset: u64) -> impl Iterator<Item = (ByteRange, bool)> + '_ {
    let whole = ByteRange::between(offset, offset + as_u64(data.len()));
    let mut blocks = whole.pieces_on_grid(HOLE_GRAIN, 0).map(move |block| {
        let skip = as_usize(block.start() - offset);
        let bytes = &data[skip..skip + as_usize(block.len())];
        (block, block.len() == HOLE_GRAIN && is_zero(bytes))
    });
    let mut next = blocks.next();
    std::iter::from_fn(move || {
        let (mut run, zero) = next.take()?;
        next = blocks.next();
        while let Some((block, same)) = next
            && same == zero
        {
            run = ByteRange::between(run.start(), block.end());
            next = blocks.next();
        }
        Some((run, zero))
    })
}

/// Compared as a whole: that is one call of the fastest comparison there is.
fn is_zero(block: &[u8]) -> bool {
    static ZEROS: [u8; HOLE_GRAIN as usize] = [0; HOLE_GRAIN as usize];
    block == &ZEROS[..block.len()]
}

words! {
    /// Whether storage is reserved before it is written.
    #[derive(Default)]
    pub enum Preallocate {
        /// Where that makes writing faster.
        #[default]
        Auto = "auto",
        /// Never.
        Off = "off",
        /// For the whole range, holes included.
        Full = "full",
    }
}

impl Preallocate {
    /// What is reserved before it is written: nothing that may turn out to be
    /// zeros and is to be left out.
    pub(crate) fn beside(self, sparse: Sparse) -> Preallocate {
        match (self, sparse) {
            (Preallocate::Auto, Sparse::Always) => Preallocate::Off,
            (asked, _) => asked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Extent;
    use positioned_io::ReadAt;
    use std::io;

    /// A source of a million bytes that says `answer` of its extents.
    struct Says(fn(u64) -> io::Result<Extent>);

    impl ReadAt for Says {
        fn read_at(&self, _: u64, buffer: &mut [u8]) -> io::Result<usize> {
            Ok(buffer.len())
        }
    }

    impl Source for Says {
        fn size(&self) -> u64 {
            1_000_000
        }
        fn next_extent(&self, from: u64) -> io::Result<Extent> {
            (self.0)(from)
        }
    }

    /// A source that calls all but a byte a hole, and what that is worth.
    struct Weighed(Holes);

    impl ReadAt for Weighed {
        fn read_at(&self, _: u64, buffer: &mut [u8]) -> io::Result<usize> {
            Ok(buffer.len())
        }
    }

    impl Source for Weighed {
        fn size(&self) -> u64 {
            1_000_000
        }
        fn next_extent(&self, from: u64) -> io::Result<Extent> {
            if from == 0 { extent(0, 1, true) } else { extent(from, 1_000_000, false) }
        }
        fn weigh_holes(&self, _: ByteRange, _: u64) -> Holes {
            self.0
        }
    }

    #[test]
    fn holes_in_doubt_are_read_and_become_holes_again_where_they_are_kept() {
        use Sparse::{Always, Auto, Never};
        let check = |holes, asked, read: u64, doubted: u64, sparse| {
            let layout = Layout::of(&Weighed(holes), ByteRange::to(9000), asked);
            let found = (layout.data.bytes(), layout.doubted, layout.sparse());
            assert_eq!(found, (read, doubted, sparse), "{holes:?} {asked:?}");
            assert_eq!(layout.note(Path::new("x")).is_some(), doubted > 0);
        };
        check(Holes::Believed, Auto, 1, 0, Auto);
        check(Holes::Believed, Always, 1, 0, Always);
        check(Holes::Reserved, Auto, 9000, 0, Auto);
        for doubt in [Holes::Contradicted, Holes::Unproven] {
            check(doubt, Auto, 9000, 8999, Always);
            check(doubt, Always, 9000, 8999, Always);
            check(doubt, Never, 9000, 0, Never);
        }
        check(Holes::Believed, Never, 9000, 0, Never);
    }

    fn extent(start: u64, end: u64, data: bool) -> io::Result<Extent> {
        Ok(Extent { range: ByteRange::between(start, end), data })
    }

    #[test]
    fn a_source_that_lies_or_fails_is_all_data() {
        let check = |answer: fn(u64) -> io::Result<Extent>, expected: &[(u64, u64)]| {
            let data = data_in(&Says(answer), ByteRange::between(1000, 9000));
            let expected = expected.iter().map(|&(a, b)| ByteRange::between(a, b)).collect();
            assert_eq!(data, expected);
        };
        let all = [(1000, 9000)];
        check(|_| Err(io::ErrorKind::InvalidInput.into()), &all);
        check(|from| extent(from, from, false), &all);
        check(|from| extent(from + 1, 9000, false), &all);
        check(|_| extent(0, 500, false), &all);
        check(|_| extent(0, 1_000_000, true), &all);
        check(|_| extent(0, 1_000_000, false), &[]);
        check(|from| extent(0, 4096, from < 4096).or(extent(0, 0, true)), &all);
        check(
            |from| extent(from, from + 1000, from % 2000 == 0),
            &[(2000, 3000), (4000, 5000), (6000, 7000), (8000, 9000)],
        );
    }

    #[test]
    fn a_source_in_crumbs_does_not_fill_the_memory() {
        let source = Says(|from| extent(from, from + 1, from % 2 == 0));
        let data = data_in(&source, ByteRange::between(0, 1_000_000));
        assert!(data.as_slice().len() <= MOST_EXTENTS + 1);
        assert!(data.covers(ByteRange::between(600_000, 1_000_000)));
    }

    #[test]
    fn runs_of_zero_blocks_are_found_at_the_grain_of_the_destination() {
        let check = |len: usize, offset: u64, ones: &[usize], expected: &[(u64, u64, bool)]| {
            let mut data = vec![0u8; len];
            for &at in ones {
                data[at] = 1;
            }
            let found: Vec<_> =
                runs(&data, offset).map(|(run, zero)| (run.start(), run.end(), zero)).collect();
            assert_eq!(found, expected);
        };
        check(0, 5, &[], &[]);
        check(4096, 0, &[], &[(0, 4096, true)]);
        check(4095, 0, &[], &[(0, 4095, false)]);
        check(8192, 0, &[0], &[(0, 4096, false), (4096, 8192, true)]);
        check(8192, 0, &[8191], &[(0, 4096, true), (4096, 8192, false)]);
        check(8192, 1, &[], &[(1, 4096, false), (4096, 8192, true), (8192, 8193, false)]);
        check(
            12288,
            4096,
            &[4096],
            &[(4096, 8192, true), (8192, 12288, false), (12288, 16384, true)],
        );
    }
}
