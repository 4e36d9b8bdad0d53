//! Reading a destination from its medium instead of from the page cache.
//!
//! Where requests past the cache exist, they are used. Where they do not, what
//! the cache holds is dropped and read again; that drops only what is clean, so
//! the destination must have been synced. Which of the two it was is in the
//! report: the second is weaker, because nobody says what was really dropped.

use std::fs::File;
use std::io;
use std::sync::{Arc, OnceLock};

use positioned_io::ReadAt;

use super::compare::differing_blocks;
use crate::io::buffer::{ALIGNMENT, Buffer};
use crate::io::fingerprint::{Marked, Marks};
use crate::io::{Extent, FileIo, Held, Holes, Source, as_u64, as_usize, transfer};
use crate::range::{ByteRange, RangeSet, Segments};
use crate::sys::{self, PositionedFile};

/// A destination, to be read from its medium; what it keeps back to be written
/// last, from memory.
pub struct ReadBack {
    buffered: Arc<dyn Source>,
    /// The same, if it is a file or device.
    file: Option<Arc<FileIo>>,
    direct: Option<PositionedFile>,
    /// Why there are no requests past the cache.
    refusal: OnceLock<String>,
    /// The files that it consists of, if it is kept in several.
    pieces: Vec<ReadBack>,
    segments: Segments,
}

/// Offset and length of requests past the cache: a multiple of every sector
/// size in use.
const UNIT: u64 = ALIGNMENT as u64;

impl ReadBack {
    /// Prepares to read `destination`, which has been synced.
    pub fn new(destination: &Arc<FileIo>) -> ReadBack {
        let file = destination.as_file();
        // Also before requests past the cache: some file systems answer them from it.
        sys::drop_cached(file, ByteRange::to(destination.len()));
        let (direct, refusal) = match open_direct(file) {
            Ok(direct) => (Some(direct), OnceLock::new()),
            Err(error) => (None, OnceLock::from(crate::error::chain(&error))),
        };
        let file = Some(Arc::clone(destination));
        let of = ReadBack::of(Arc::clone(destination) as Arc<_>);
        ReadBack { file, direct, refusal, ..of }
    }

    /// Of files that are read as one, each after the one before it; `buffered`
    /// reads all of them.
    pub fn of_files(
        files: &[Arc<FileIo>],
        segments: Segments,
        buffered: Arc<dyn Source>,
    ) -> ReadBack {
        let pieces = files.iter().map(ReadBack::new).collect();
        ReadBack { pieces, segments, ..ReadBack::of(buffered) }
    }

    /// Of what is neither file nor device, and knows itself how to be read past
    /// what it keeps in memory.
    pub fn of(destination: Arc<dyn Source>) -> ReadBack {
        let segments = Segments::every(u64::MAX, destination.size());
        let (pieces, refusal) = (Vec::new(), OnceLock::new());
        ReadBack { buffered: destination, file: None, direct: None, refusal, pieces, segments }
    }

    /// How it was read: `direct`, or `dropped-cache`; or `read`, where it is neither
    /// file nor device.
    pub fn how(&self) -> &'static str {
        match self.file {
            None if !self.pieces.is_empty() => {
                let worst = self.pieces.iter().map(ReadBack::how).find(|how| *how != "direct");
                worst.unwrap_or("direct")
            }
            None => "read",
            Some(_) if self.refusal.get().is_none() => "direct",
            Some(_) => "dropped-cache",
        }
    }

    /// Why requests past the cache were not possible, if they were not.
    pub fn note(&self) -> Option<String> {
        if let Some(note) = self.pieces.iter().find_map(ReadBack::note) {
            return Some(note);
        }
        let why = self.refusal.get()?;
        Some(format!("read back through the page cache, after dropping it: {why}"))
    }

    /// A buffer for requests of up to `io_size` bytes at any offset.
    ///
    /// # Errors
    ///
    /// If there is no memory.
    pub fn buffer(io_size: u64) -> crate::Result<Buffer> {
        Ok(Buffer::new(as_usize(io_size) + 2 * ALIGNMENT)?)
    }

    /// The bytes `range` of the destination. A read that reports bytes it did
    /// not deliver shows as other bytes.
    ///
    /// # Errors
    ///
    /// What the system says, and the end of the file.
    pub fn read<'b>(
        &self,
        range: ByteRange,
        buffer: &'b mut Buffer,
        marks: &Marks,
    ) -> io::Result<&'b [u8]> {
        if !self.pieces.is_empty() {
            return self.read_of_pieces(range, buffer, marks);
        }
        let around =
            if self.direct.is_some() && self.is_direct() { range.align_out(UNIT) } else { range };
        let memory = buffer.at(around.start(), around.len());
        match transfer::read_full(&Marked::new(self, marks), around.start(), memory) {
            // The file may end in the middle of the last block.
            Err(stop) if around.start() + as_u64(stop.moved) < range.end() => Err(stop.error),
            _ => {
                let skip = as_usize(range.start() - around.start());
                Ok(&memory[skip..skip + as_usize(range.len())])
            }
        }
    }

    /// The same, of several files. Where a request lies in more than one of them,
    /// its parts are put together.
    fn read_of_pieces<'b>(
        &self,
        range: ByteRange,
        buffer: &'b mut Buffer,
        marks: &Marks,
    ) -> io::Result<&'b [u8]> {
        let inside = range.intersect(ByteRange::to(self.segments.len()));
        if inside.len() < range.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let parts: Vec<_> = self.segments.parts(range).collect();
        if let [part] = parts[..] {
            return self.pieces[part.number].read(part.local, buffer, marks);
        }
        let memory = buffer.at(range.start(), range.len());
        for part in parts {
            let mut own = Buffer::new(as_usize(part.local.len()) + 2 * ALIGNMENT)
                .map_err(io::Error::other)?;
            let bytes = self.pieces[part.number].read(part.local, &mut own, marks)?;
            let skip = as_usize(part.whole.start() - range.start());
            memory[skip..skip + bytes.len()].copy_from_slice(bytes);
        }
        Ok(memory)
    }

    /// Where there are other bytes than `held` was written, in bytes of the
    /// destination, and why, if that cannot be read.
    ///
    /// # Errors
    ///
    /// If there is no memory.
    pub fn differing(&self, held: &Held) -> crate::Result<(RangeSet, Option<String>)> {
        let range = ByteRange::between(held.at, held.at + as_u64(held.bytes.len()));
        let mut buffer = ReadBack::buffer(range.len())?;
        Ok(match self.read(range, &mut buffer, &Marks::new()) {
            Ok(found) => {
                (differing_blocks(held.at, &held.bytes, found).into_iter().collect(), None)
            }
            Err(error) => (range.into(), Some(crate::error::chain(&error))),
        })
    }

    fn is_direct(&self) -> bool {
        self.refusal.get().is_none()
    }
}

impl ReadAt for ReadBack {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = self.segments.part_from(offset);
        if let Some((part, piece)) =
            piece.and_then(|part| Some((part, self.pieces.get(part.number)?)))
        {
            let len = as_usize(part.local.len().min(as_u64(buffer.len())));
            return piece.read_at(part.local.start(), &mut buffer[..len]);
        }
        if let Some(direct) = self.direct.as_ref().filter(|_| self.is_direct()) {
            match direct.read_at(buffer, offset) {
                // Some say so only when it is tried; the end of the file is met
                // at an offset that is not a multiple of anything.
                Err(error) if sys::is_unsupported(&error) => {
                    if offset < self.buffered.size() && offset.is_multiple_of(UNIT) {
                        self.refusal.get_or_init(|| error.to_string());
                    }
                }
                Ok(read) => {
                    if let Some(file) = &self.file {
                        file.overlay(offset, buffer, read);
                    }
                    return Ok(read);
                }
                result => return result,
            }
        }
        self.buffered.read_at(offset, buffer)
    }
}

impl Source for ReadBack {
    fn size(&self) -> u64 {
        self.buffered.size()
    }

    fn next_extent(&self, from: u64) -> io::Result<Extent> {
        self.buffered.next_extent(from)
    }

    fn weigh_holes(&self, range: ByteRange, data: u64) -> Holes {
        self.buffered.weigh_holes(range, data)
    }
}

/// Opens `file` again and tries one request.
fn open_direct(file: &File) -> io::Result<PositionedFile> {
    let asked = sys::direct_alignment(file)?;
    if asked.is_some_and(|asked| asked.offset > UNIT || asked.memory > UNIT) {
        return Err(io::Error::other("its requests would have to be too long"));
    }
    let direct = sys::reopen_direct(file, false)?;
    let mut buffer = Buffer::new(ALIGNMENT).map_err(io::Error::other)?;
    direct.read_at(buffer.at(0, UNIT), 0)?;
    Ok(direct)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn every_part_of_a_file_of_any_length_can_be_read() {
        let data: Vec<u8> = (0..=250).cycle().take(20_000).collect();
        for len in [1, 511, 4096, 4097, 20_000] {
            // Beside the sources: temporary folders often have no medium.
            let mut file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).expect("a file");
            file.write_all(&data[..len]).expect("written");
            file.sync_all().expect("synced");
            let medium = ReadBack::new(&Arc::new(FileIo::new(file, as_u64(len))));
            let mut buffer = ReadBack::buffer(as_u64(len)).expect("memory");
            for (start, end) in
                [(0, len), (len / 2, len), (len - 1, len), (0, 1), (len / 3, len / 2)]
            {
                let range = ByteRange::between(as_u64(start), as_u64(end));
                let found = medium.read(range, &mut buffer, &Marks::new());
                assert!(found.expect("a read") == &data[start..end], "{start}..{end} of {len}");
            }
            let beyond = ByteRange::between(0, as_u64(len) + 1);
            let mut buffer = ReadBack::buffer(as_u64(len) + 1).expect("memory");
            assert!(medium.read(beyond, &mut buffer, &Marks::new()).is_err());
        }
    }
}
