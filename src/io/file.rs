//! An open file or block device as source and sink.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use positioned_io::{ReadAt, Size, WriteAt};

use super::deferred::{DeferredPrefix, HeadError, Held};
use super::pulse::Pulse;
use super::uncached::Uncached;
use super::{
    Extent, Holes, Sink, Source, WriteOrder, ZEROES, as_u64, as_usize, find_end, transfer,
};
use crate::range::ByteRange;
use crate::sys::{self, DeviceInfo, PositionedFile};

/// An open file or block device.
///
/// It stands in for positioned-io's own `RandomAccessFile`, which switches
/// readahead off on Linux, and knows the size of devices.
pub struct FileIo {
    file: PositionedFile,
    size: AtomicU64,
    /// Whether the file system is asked for holes.
    has_holes: bool,
    /// For what the page cache cannot get.
    uncached: Uncached,
    /// What is written last; of devices.
    head: Option<Arc<DeferredPrefix>>,
    /// Bytes of the whole file that are called data; `None` if it has too many
    /// extents to add up.
    called_data: OnceLock<Option<u64>>,
    /// Whether it is still there.
    pulse: Pulse,
}

/// Most extents of a file that are added up.
const MOST_EXTENTS: usize = 1 << 14;

impl FileIo {
    /// Takes a regular file whose size is, or will be, `size` bytes.
    pub fn new(file: File, size: u64) -> FileIo {
        FileIo::over(PositionedFile::file(file), size, true)
    }

    /// Takes a regular file that is to be read, and that is said to have
    /// `claimed` bytes. It has as many as can be read, unless its file system is
    /// known to tell the truth.
    ///
    /// # Errors
    ///
    /// If its end cannot be found.
    pub fn measured(file: File, claimed: u64) -> io::Result<FileIo> {
        let io = FileIo::new(file, claimed);
        Ok(if io.is_truthful() {
            io
        } else {
            FileIo { size: find_end(&io, claimed)?.into(), ..io }
        })
    }

    /// Takes a block device. It has no holes.
    pub fn device(file: File, info: &DeviceInfo) -> FileIo {
        FileIo::over(PositionedFile::device(file, info), info.size, false)
    }

    fn over(file: PositionedFile, size: u64, has_holes: bool) -> FileIo {
        let (uncached, called_data, pulse) =
            (Uncached::default(), OnceLock::new(), Pulse::default());
        let size = AtomicU64::new(size);
        FileIo { file, size, has_holes, uncached, head: None, called_data, pulse }
    }

    /// Whether it is a block device.
    pub fn is_device(&self) -> bool {
        !self.has_holes
    }

    /// Keeps back what is written to the first bytes of the device, until
    /// [`FileIo::write_head`]. Who reads them gets what was written.
    pub fn with_head_last(self) -> FileIo {
        FileIo { head: Some(Arc::new(DeferredPrefix::new())), ..self }
    }

    /// In which order what is handed to it becomes written.
    pub fn write_order(&self) -> WriteOrder {
        self.head.clone().map_or(WriteOrder::Any, WriteOrder::FirstLast)
    }

    /// Writes what was kept back, and returns it.
    ///
    /// # Errors
    ///
    /// Of the write. Nothing of it counts as written then.
    pub fn write_head(&self) -> Result<Vec<Held>, HeadError> {
        let Some(head) = &self.head else { return Ok(Vec::new()) };
        head.release(|offset, data| {
            transfer::write_full(&PlainWrites(&self.file), offset, data).map_err(|stop| {
                let range = ByteRange::between(offset, offset + as_u64(data.len()));
                HeadError { range, error: stop.error }
            })
        })
    }

    /// Puts what is kept back into `buffer`, into which `read` bytes were read from
    /// the device at `offset`, as the system says: it may say more than it can have.
    pub fn overlay(&self, offset: u64, buffer: &mut [u8], read: usize) {
        if let Some(head) = &self.head {
            let read = read.min(buffer.len());
            head.overlay(offset, &mut buffer[..read]);
        }
    }

    fn why_system_says_gone(&self) -> Option<String> {
        sys::why_gone(self.as_file(), (!self.has_holes).then_some(self.len()))
    }

    /// Size in bytes when it was opened, or is complete.
    pub fn len(&self) -> u64 {
        self.size.load(Relaxed)
    }

    /// It turns out to have `size` bytes when it is complete.
    pub fn set_len(&self, size: u64) {
        self.size.store(size, Relaxed);
    }

    /// Whether it holds no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether another end of the file can be read by now than the one that was
    /// found when it was opened.
    pub fn end_has_moved(&self) -> bool {
        find_end(self, self.len()).map_or(true, |end| end != self.len())
    }

    /// Whether its file system is known to tell the truth.
    fn is_truthful(&self) -> bool {
        sys::file_system(self.as_file()).is_ok_and(|system| system.kind.is_truthful())
    }

    /// Whether what is called data may take all of the storage, `stored` bytes,
    /// that the file takes, if in `range` it is `data` bytes.
    fn accounts_for(&self, stored: u64, range: ByteRange, data: u64) -> bool {
        // Lists of extents and attributes take storage as well.
        let enough =
            |data: u64| stored <= data.saturating_add(data / 128).saturating_add(128 << 10);
        if enough(data) || range.contains(ByteRange::to(self.len())) {
            return enough(data);
        }
        let all = self.called_data.get_or_init(|| self.add_up_data());
        all.is_none_or(enough)
    }

    fn add_up_data(&self) -> Option<u64> {
        let (mut at, mut data) = (0, 0);
        for _ in 0..MOST_EXTENTS {
            if at >= self.len() {
                return Some(data);
            }
            match self.next_extent(at) {
                Ok(extent) if extent.range.end() > at => {
                    data += if extent.data { extent.range.len() } else { 0 };
                    at = extent.range.end();
                }
                // What makes no sense means data, to the end.
                _ => return Some(data + (self.len() - at)),
            }
        }
        None
    }

    /// As much of `data`, to be written at `offset`, as a device has room for: a
    /// stream may be longer, and not every system says so itself.
    fn within_device<'d>(&self, offset: u64, data: &'d [u8]) -> io::Result<&'d [u8]> {
        if !self.is_device() {
            return Ok(data);
        }
        let size = self.len();
        match size.saturating_sub(offset) {
            0 if !data.is_empty() => {
                let what = format!("the device ends there: it has {size} bytes");
                Err(io::Error::new(io::ErrorKind::StorageFull, what))
            }
            room if room < as_u64(data.len()) => Ok(&data[..as_usize(room)]),
            _ => Ok(data),
        }
    }

    /// The open file.
    pub fn as_file(&self) -> &File {
        self.file.as_file()
    }
}

impl ReadAt for FileIo {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let cached = |buffer: &mut [u8]| self.file.read_at(buffer, offset);
        let read = self.uncached.read_at(self.as_file(), offset, buffer, cached)?;
        self.was_read(offset);
        self.overlay(offset, buffer, read);
        Ok(read)
    }
}

impl WriteAt for &FileIo {
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<usize> {
        self.file.write_at(data, offset)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Size for FileIo {
    fn size(&self) -> io::Result<Option<u64>> {
        Ok(Some(self.len()))
    }
}

impl Source for FileIo {
    fn size(&self) -> u64 {
        self.len()
    }

    fn next_extent(&self, from: u64) -> io::Result<Extent> {
        let rest = ByteRange::between(from.min(self.len()), self.len());
        if self.has_holes {
            sys::next_extent(self.as_file(), rest)
        } else {
            Ok(Extent { range: rest, data: true })
        }
    }

    fn weigh_holes(&self, range: ByteRange, data: u64) -> Holes {
        // What cannot be asked is not known to be true.
        let stored = sys::facts(self.as_file()).map_or(u64::MAX - 1, |facts| facts.allocated);
        if stored >= self.len() {
            Holes::Reserved
        } else if !self.is_truthful() {
            Holes::Unproven
        } else if self.accounts_for(stored, range, data) {
            Holes::Believed
        } else {
            Holes::Contradicted
        }
    }

    fn was_read(&self, offset: u64) {
        self.pulse.beat(offset);
    }

    fn is_gone(&self, error: &io::Error) -> Option<String> {
        if sys::is_gone(error) {
            // The system may say so once and still have it: reads decide.
            if self.pulse.places().next().is_some() {
                return self.why_gone();
            }
            return Some("the system does not find it any more".to_owned());
        }
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return self.why_system_says_gone();
        }
        if self.pulse.miss() { self.why_gone() } else { None }
    }

    fn why_gone(&self) -> Option<String> {
        self.why_system_says_gone().or_else(|| {
            let is_there = |offset| {
                let cached = |byte: &mut [u8]| self.file.read_at(byte, offset);
                self.uncached.can_read(self.as_file(), offset, cached)
            };
            // Only an error of all that was read before says so: one is a bad sector.
            let mut places = self.pulse.places().peekable();
            (places.peek().is_some() && !places.any(is_there))
                .then(|| "what was read before cannot be read any more".to_owned())
        })
    }

    fn file(&self) -> Option<&File> {
        Some(self.as_file())
    }
}

impl Sink for FileIo {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        let data = self.within_device(offset, data)?;
        match self.head.as_ref().and_then(|head| head.keep(offset, data)) {
            Some(kept) => Ok(kept),
            None => self.file.write_at(data, offset),
        }
    }

    fn write_zeroes(&self, range: ByteRange) -> io::Result<()> {
        let (first, range) = range.split_at(self.write_order().deferred().end());
        for piece in first.pieces(ZEROES.len() as u64) {
            transfer::write_full(self, piece.start(), &ZEROES[..as_usize(piece.len())])
                .map_err(|stop| stop.error)?;
        }
        if range.is_empty() {
            return Ok(());
        }
        if sys::zero_range(self.as_file(), range).is_ok() {
            return Ok(());
        }
        // Whatever the reason, ordinary writes decide whether the range can be written.
        PlainWrites(&self.file).write_zeroes(range)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.as_file().sync_data()
    }

    fn file(&self) -> Option<&File> {
        Some(self.as_file())
    }
}

/// The file without its shortcuts: zeros are written as bytes.
struct PlainWrites<'a>(&'a PositionedFile);

impl Sink for PlainWrites<'_> {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        self.0.write_at(data, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.as_file().sync_data()
    }
}
