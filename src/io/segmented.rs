//! Several files that are written as one, each after the one before it.
//!
//! Writers need not know where one ends: a write that goes over an edge is short,
//! and what called it goes on in the next file. Only what was written since is
//! synced: of a thousand files, few are at work at a time.

use std::fs::File;
use std::io;
use std::sync::Arc;

use positioned_io::ReadAt;

use super::{FileIo, Joined, Sink, Source, as_usize};
use crate::range::{ByteRange, Segments};
use crate::sync::atomic::{AtomicBool, Ordering};

/// Several files, one after the other.
pub struct Segmented {
    segments: Segments,
    files: Vec<Written>,
}

struct Written {
    file: Arc<FileIo>,
    /// Whether something was written that no sync covers.
    unsynced: AtomicBool,
}

impl Segmented {
    /// `files`, of which each has the length that `segments` says.
    pub fn new(segments: Segments, files: Vec<Arc<FileIo>>) -> Segmented {
        let written = |file| Written { file, unsynced: AtomicBool::new(false) };
        Segmented { segments, files: files.into_iter().map(written).collect() }
    }

    /// Where each begins and ends.
    pub fn segments(&self) -> &Segments {
        &self.segments
    }

    /// What was written so far, as one.
    pub fn source(&self) -> Option<Arc<dyn Source>> {
        let sources = self.files.iter().map(|written| Arc::clone(&written.file) as Arc<_>);
        Some(Arc::new(Joined::new(sources.collect())?))
    }

    /// The files.
    pub fn files(&self) -> Vec<Arc<FileIo>> {
        self.files.iter().map(|written| Arc::clone(&written.file)).collect()
    }
}

impl Sink for Segmented {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        let Some(part) = self.segments.part_from(offset) else {
            return Err(io::Error::other("past the last segment"));
        };
        let len = as_usize(part.local.len().min(data.len() as u64));
        let written = &self.files[part.number];
        let count = Sink::write_at(&*written.file, part.local.start(), &data[..len])?;
        // After the write: a sync that comes in between has not covered it.
        written.unsynced.store(true, Ordering::SeqCst);
        Ok(count)
    }

    fn write_zeroes(&self, range: ByteRange) -> io::Result<()> {
        for part in self.segments.parts(range) {
            let written = &self.files[part.number];
            written.file.write_zeroes(part.local)?;
            written.unsynced.store(true, Ordering::SeqCst);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        for written in &self.files {
            if written.unsynced.swap(false, Ordering::SeqCst) {
                written.file.sync_data()?;
            }
        }
        Ok(())
    }

    fn for_each_place(&self, range: ByteRange, visit: &mut dyn FnMut(&File, ByteRange)) {
        for part in self.segments.parts(range) {
            visit(self.files[part.number].file.as_file(), part.local);
        }
    }
}

/// Files that are read as one, some of which are missing: those end at once.
pub struct Pieces<'a> {
    segments: &'a Segments,
    files: Vec<Option<&'a File>>,
}

impl<'a> Pieces<'a> {
    /// `files` in their order.
    pub fn new(segments: &'a Segments, files: Vec<Option<&'a File>>) -> Pieces<'a> {
        Pieces { segments, files }
    }
}

impl ReadAt for Pieces<'_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(part) = self.segments.part_from(offset) else { return Ok(0) };
        let Some(file) = self.files[part.number] else { return Ok(0) };
        let len = as_usize(part.local.len().min(buffer.len() as u64));
        file.read_at(part.local.start(), &mut buffer[..len])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::transfer;
    use crate::testing::Random;

    /// Pieces of any length, written in any order, are those of split(1).
    #[test]
    fn what_is_written_lies_one_after_the_other() {
        let mut random = Random::new(11);
        for case in 0..30 {
            let (size, len) = (1 + random.below(9), random.below(40));
            let segments = Segments::every(size, len);
            let count = as_usize(segments.count());
            let files: Vec<_> = (0..count)
                .map(|number| {
                    let file = tempfile::tempfile().expect("a file");
                    Arc::new(FileIo::new(file, segments.range(number).len()))
                })
                .collect();
            let sink = Segmented::new(segments, files);
            let bytes = random.bytes(as_usize(len));
            let mut stripes: Vec<_> = ByteRange::to(len).pieces(1 + random.below(15)).collect();
            while !stripes.is_empty() {
                let at = as_usize(random.below(stripes.len() as u64));
                let stripe = stripes.swap_remove(at);
                let data = &bytes[as_usize(stripe.start())..as_usize(stripe.end())];
                transfer::write_full(&sink, stripe.start(), data).expect("it has room");
            }
            sink.sync_data().expect("it is a file");
            let mut found = vec![0; bytes.len()];
            let source = sink.source().expect("short");
            transfer::read_full(&*source, 0, &mut found).expect("all is there");
            assert_eq!(found, bytes, "case {case}");
            for (number, file) in sink.files().iter().enumerate() {
                let range = sink.segments().range(number);
                let mut found = vec![0; as_usize(range.len())];
                transfer::read_full(&**file, 0, &mut found).expect("all is there");
                assert_eq!(found, bytes[as_usize(range.start())..as_usize(range.end())]);
            }
            assert!(transfer::write_full(&sink, len, &[1]).is_err(), "past the end");
        }
    }
}
