//! What a file is to hold, as one source: its bytes come from many
//! places of several sources, and where the list has a hole there are zeros.
//! Offsets are those of the file. Nothing is written here.

use std::borrow::Borrow;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use positioned_io::ReadAt;

use super::sources::Sources;
use crate::endpoint::Origin;
use crate::error::{again, quoted};
use crate::io::{Extent, Judgement, Source, as_usize, transfer};
use crate::progress::lock;
use crate::range::{ByteRange, RangeSet};
use crate::sparse;
use crate::sync::Mutex;

/// Runs shorter than this count as data: looking for holes in them costs more
/// than reading them.
const WORTH_ASKING: u64 = 1 << 20;

/// Bytes of a source, and where they are in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// Number of the source.
    pub source: u32,
    /// Which bytes of it.
    pub range: ByteRange,
    /// Where the first of them is in the file.
    pub at: u64,
}

impl Run {
    /// Where it is in the file.
    pub fn place(&self) -> ByteRange {
        ByteRange::with_len(self.at, self.range.len()).unwrap_or_default()
    }
}

/// The content of a file, read from its sources, which are lent or shared.
pub struct Assembled<S> {
    sources: S,
    /// Ascending in the file, none empty.
    runs: Vec<Run>,
    len: u64,
    /// The source that was read last. Others may have to be opened again.
    last: Mutex<Option<(u32, Arc<dyn Origin>)>>,
    data: OnceLock<RangeSet>,
}

impl<S: Borrow<Sources>> Assembled<S> {
    /// A file of `len` bytes with `runs`, which do not overlap in it.
    pub fn new(sources: S, runs: impl IntoIterator<Item = Run>, len: u64) -> Assembled<S> {
        let mut runs: Vec<Run> = runs.into_iter().filter(|run| !run.range.is_empty()).collect();
        runs.sort_unstable_by_key(|run| run.at);
        Assembled { sources, runs, len, last: Mutex::default(), data: OnceLock::new() }
    }

    /// Where its bytes come from.
    pub fn sources(&self) -> &Sources {
        self.sources.borrow()
    }

    fn open(&self, number: u32) -> crate::Result<Arc<dyn Origin>> {
        let mut last = lock(&self.last);
        if let Some((_, source)) = last.as_ref().filter(|(known, _)| *known == number) {
            return Ok(Arc::clone(source));
        }
        let source = self.sources().open(number)?;
        *last = Some((number, Arc::clone(&source)));
        Ok(source)
    }

    /// What is data, in positions of the file.
    fn data(&self) -> &RangeSet {
        self.data.get_or_init(|| {
            let of_run = |run: &Run| -> RangeSet {
                let whole = || RangeSet::from(run.place());
                if run.range.len() < WORTH_ASKING {
                    return whole();
                }
                let Ok(source) = self.open(run.source) else { return whole() };
                let data = sparse::data_in(&*source.source(), run.range);
                data.iter().filter_map(|part| part.rebase(run.range.start(), run.at)).collect()
            };
            self.runs.iter().flat_map(|run| of_run(run).iter().collect::<Vec<_>>()).collect()
        })
    }
}

/// An error of one of the sources.
#[derive(Debug, thiserror::Error)]
#[error("cannot read byte {at} of {}", quoted(path))]
struct OfSource {
    number: u32,
    path: PathBuf,
    at: u64,
    #[source]
    error: io::Error,
}

impl<S: Borrow<Sources>> ReadAt for Assembled<S> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let index = self.runs.partition_point(|run| run.place().end() <= offset);
        let run = self.runs.get(index);
        let Some(run) = run.filter(|run| run.at <= offset) else {
            let end = run.map_or(self.len, |run| run.at);
            let zeros = as_usize(end.saturating_sub(offset)).min(buffer.len());
            buffer[..zeros].fill(0);
            return Ok(zeros);
        };
        let there = as_usize(run.place().end() - offset).min(buffer.len());
        let at = run.range.start() + (offset - run.at);
        let source = self.open(run.source).map_err(io::Error::other)?;
        match transfer::read_full(&*source.source(), at, &mut buffer[..there]) {
            Ok(()) => Ok(there),
            // Asked again from there, it comes first.
            Err(stop) if stop.moved > 0 => Ok(stop.moved),
            Err(stop) => {
                let (number, path, error) = (run.source, source.path().to_owned(), stop.error);
                // Where one of them ends, the file does not.
                let kind = match error.kind() {
                    io::ErrorKind::UnexpectedEof => io::ErrorKind::Other,
                    kind => kind,
                };
                Err(io::Error::new(kind, OfSource { number, path, at, error }))
            }
        }
    }
}

impl<S: Borrow<Sources> + Send + Sync> Source for Assembled<S> {
    fn size(&self) -> u64 {
        self.len
    }

    fn next_extent(&self, from: u64) -> io::Result<Extent> {
        let rest = ByteRange::between(from.min(self.len), self.len);
        let data = self.data().as_slice();
        let next = data.get(data.partition_point(|run| run.end() <= from));
        Ok(match next {
            None => Extent { range: rest, data: false },
            Some(run) if run.start() <= from => {
                Extent { range: ByteRange::between(rest.start(), run.end()), data: true }
            }
            Some(run) => {
                Extent { range: ByteRange::between(rest.start(), run.start()), data: false }
            }
        })
    }

    fn is_gone(&self, error: &io::Error) -> Option<String> {
        let of_source = error.get_ref()?.downcast_ref::<OfSource>()?;
        self.open(of_source.number).ok()?.source().is_gone(&again(&of_source.error))
    }

    /// What the source says of its error.
    fn judge(&self, error: &io::Error) -> Judgement {
        let of_source = error.get_ref().and_then(|inner| inner.downcast_ref::<OfSource>());
        let judged =
            of_source.and_then(|of| Some(self.open(of.number).ok()?.source().judge(&of.error)));
        judged.unwrap_or(Judgement::Local)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::as_u64;

    /// Two sources, whose bytes are their offsets, and 100 and more.
    fn sources(folder: &std::path::Path) -> Sources {
        let mut sources = Sources::new(1, false);
        for (name, first) in [("a", 0u8), ("b", 100)] {
            let bytes: Vec<u8> = (first..first + 100).collect();
            std::fs::write(folder.join(name), bytes).unwrap();
            sources.add(&folder.join(name), crate::Join::Never).unwrap();
        }
        sources
    }

    #[test]
    fn a_file_is_read_from_its_runs_and_zeros_are_between_them() {
        let folder = tempfile::tempdir().unwrap();
        let sources = sources(folder.path());
        let run = |source, start, len, at| Run {
            source,
            range: ByteRange::with_len(start, len).unwrap(),
            at,
        };
        let runs = [run(1, 0, 3, 20), run(0, 50, 5, 2), run(0, 10, 0, 9), run(0, 0, 2, 23)];
        let file = Assembled::new(&sources, runs, 30);
        let mut expected = [0; 30];
        expected[2..7].copy_from_slice(&[50, 51, 52, 53, 54]);
        expected[20..25].copy_from_slice(&[100, 101, 102, 0, 1]);
        for start in 0..30usize {
            for end in start..=30 {
                let mut found = vec![7; end - start];
                transfer::read_full(&file, start as u64, &mut found).unwrap();
                assert_eq!(found, expected[start..end], "{start}..{end}");
            }
        }
        assert!(transfer::read_full(&file, 29, &mut [0; 2]).is_err(), "it ends there");
        let data = sparse::data_in(&file, ByteRange::to(30));
        let data: Vec<_> = data.iter().map(|part| (part.start(), part.end())).collect();
        assert_eq!(data, [(2, 7), (20, 25)]);
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_source() {
        let folder = tempfile::tempdir().unwrap();
        let sources = sources(folder.path());
        let range = ByteRange::new(98, 102).unwrap();
        let file = Assembled::new(&sources, [Run { source: 1, range, at: 0 }], 4);
        let mut found = [7; 4];
        let stop = transfer::read_full(&file, 0, &mut found).unwrap_err();
        assert_eq!((stop.moved, &found[..2]), (2, &[198, 199][..]));
        let shown = crate::error::chain(&stop.error);
        let name = format!("{}b'", std::path::MAIN_SEPARATOR);
        assert!(shown.contains("byte 100 of") && shown.contains(&name), "{shown}");
        assert_eq!(as_u64(stop.moved), 2);
    }
}
