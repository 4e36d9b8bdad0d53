//! Opening what is to be read, and refusing what cannot be copied by offset.
//!
//! The path is used once; everything else is asked of the open descriptor.

mod container;
pub(crate) mod sequence;

pub use container::Container;
pub use sequence::Join;

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use crate::address;
use crate::error::{ErrorKind, Refusal, Result, Side, SourceChange, SplitRefusal};
use crate::io::{FileIo, Joined, Source};
use crate::range::{ByteRange, RangeSpec, Segments};
use crate::report::{Kind, SourceReport};
use crate::size::{Size, TooManySectors};
use crate::sys::{self, DeviceInfo, FileKind, Metadata};

/// Logical sector of what has none: the unit of `s` for regular files.
pub const DEFAULT_SECTOR: u32 = 512;

/// An open source.
#[derive(Clone)]
pub struct OpenSource {
    /// As named by the user.
    pub path: PathBuf,
    /// For reading.
    pub io: Arc<dyn Source>,
    /// The open file or device; the first, where it consists of several files.
    pub file: Arc<FileIo>,
    /// What it was when it was opened, with the size that can be read; of several
    /// files, what the first was, with the size of all.
    pub facts: Metadata,
    /// The size that its file system claimed then, in bytes.
    pub claimed: u64,
    /// If it is a block device: what it says of itself.
    pub device: Option<DeviceInfo>,
    /// The files that it consists of, if those are several.
    pieces: Arc<[OpenSource]>,
}

impl OpenSource {
    /// Opens `path` for reading.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] if it cannot be opened, or is neither a file nor a block device.
    pub fn open(path: &Path) -> Result<OpenSource> {
        if path.as_os_str() == OsStr::new("-") {
            return Err(ErrorKind::usage(
                "standard input is read by a copy of it alone; write ./- for a file of that name",
            )
            .into());
        }
        OpenSource::open_to_read(Side::Source, path)
    }

    /// Opens `path` for reading, with the files that follow it if it is the first
    /// piece of a file that was split.
    ///
    /// # Errors
    ///
    /// As of [`OpenSource::open`], and [`SplitRefusal::Piece`].
    pub fn open_joined(path: &Path, join: Join) -> Result<OpenSource> {
        OpenSource::open(path)?.joined(Side::Source, join)
    }

    /// The same, with the files that follow it if it is the first piece of a file
    /// that was split.
    ///
    /// # Errors
    ///
    /// [`SplitRefusal::Piece`], or a [`Refusal`] if one of them cannot be opened.
    pub fn joined(self, side: Side, join: Join) -> Result<OpenSource> {
        if self.facts.node != FileKind::File {
            return Ok(self);
        }
        let paths = sequence::pieces(&self.path, self.facts.size, join)?;
        if paths.len() < 2 {
            return Ok(self);
        }
        let most = sys::open_file_limit().saturating_sub(SPARE_FILES);
        if crate::io::as_u64(paths.len()) > most {
            let count = paths.len();
            let what = format!("{count} files are more than may be open at once");
            let refusal = SplitRefusal::Piece { path: self.path, what, remedies: &[] };
            return Err(Refusal::from(refusal).into());
        }
        let open = |path: &PathBuf| OpenSource::open_to_read(side, path);
        let rest = paths[1..].iter().map(open).collect::<Result<Vec<_>>>()?;
        let pieces: Vec<OpenSource> = std::iter::once(self).chain(rest).collect();
        OpenSource::of_pieces(pieces)
    }

    fn of_pieces(pieces: Vec<OpenSource>) -> Result<OpenSource> {
        let first = pieces[0].clone();
        if let Some(refusal) = pieces.iter().find_map(OpenSource::ends_early) {
            return Err(refusal.into());
        }
        let path = || first.path.clone();
        let too_long = || Refusal::TooFar { path: path() };
        let joined = Joined::new(pieces.iter().map(|piece| piece.io.clone()).collect());
        let joined = joined.ok_or_else(too_long)?;
        let size = joined.size();
        let facts = Metadata {
            size,
            allocated: pieces.iter().map(|piece| piece.facts.allocated).sum(),
            modified: latest(&pieces, |facts| facts.modified),
            changed: latest(&pieces, |facts| facts.changed),
            ..first.facts.clone()
        };
        let (io, pieces): (Arc<dyn Source>, Arc<[_]>) = (Arc::new(joined), pieces.into());
        Ok(OpenSource { io, facts, claimed: size, pieces, ..first })
    }

    /// The files that it consists of: itself, unless it was joined from several.
    pub fn files(&self) -> &[OpenSource] {
        if self.pieces.is_empty() { std::slice::from_ref(self) } else { &self.pieces }
    }

    /// What it is, as a map has it: of several files, which by names, sizes and times.
    pub fn word(&self) -> String {
        if !self.is_joined() {
            let is_device = self.facts.node == FileKind::BlockDevice;
            return if is_device { "block-device" } else { "file" }.to_owned();
        }
        let mut all = Xxh3::new();
        for piece in self.pieces.iter() {
            let Metadata { size, modified, changed, inode, .. } = &piece.facts;
            let name = piece.path.file_name().unwrap_or_default();
            all.update(&sys::bytes_of(name));
            all.update(format!(" {size} {modified:?} {changed:?} {inode}\n").as_bytes());
        }
        format!("{} files {:016x}", self.pieces.len(), all.digest())
    }

    /// Where each of its files begins and ends.
    pub fn segments(&self) -> Segments {
        let lengths = self.files().iter().map(|file| file.facts.size);
        Segments::of_lengths(lengths).unwrap_or_else(|| Segments::every(u64::MAX, self.facts.size))
    }

    /// Whether it consists of several files.
    pub fn is_joined(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// What a copy of it is called in a directory: as it is, or as its pieces are
    /// without their counter.
    pub fn name(&self) -> PathBuf {
        if self.is_joined() { sequence::without_counter(&self.path) } else { self.path.clone() }
    }

    /// Opens either end for reading.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] if it cannot be opened, or is neither a file nor a block device.
    pub fn open_to_read(side: Side, path: &Path) -> Result<OpenSource> {
        if address::scheme(path).is_some() && path.symlink_metadata().is_err() {
            let (what, hint) = ("on a server", "a copy of one source reads from there");
            return Err(Refusal::NotCopyable { side, path: path.to_owned(), what, hint }.into());
        }
        OpenSource::of_file(side, path, sys::open_source(path))
    }

    /// Takes what was `opened` for reading, which `path` says where it is.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] if it could not be opened, or is neither a file nor a block device.
    pub fn of_file(side: Side, path: &Path, opened: std::io::Result<File>) -> Result<OpenSource> {
        let cannot_open = |source| Refusal::CannotOpen { side, path: path.to_owned(), source };
        let file = match opened {
            Ok(file) => file,
            Err(error) => {
                // A socket cannot be opened at all; say what it is instead of why.
                if let Ok(Some(facts)) = sys::facts_of_path(path) {
                    copyable(side, path, facts.node)?;
                }
                return Err(cannot_open(error).into());
            }
        };
        OpenSource::of_open(side, path, file)
    }

    /// Takes either end, which is open for reading as `file`.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] if it is not a file or block device.
    pub fn of_open(side: Side, path: &Path, file: File) -> Result<OpenSource> {
        let cannot_open = |source| Refusal::CannotOpen { side, path: path.to_owned(), source };
        let mut facts = sys::facts_as(&file, path).map_err(cannot_open)?;
        copyable(side, path, facts.node)?;
        let device = match facts.node {
            FileKind::BlockDevice => Some(sys::device_info(&file).map_err(cannot_open)?),
            _ => None,
        };
        let io = match &device {
            Some(info) if info.size == 0 => {
                return Err(Refusal::NoMedium { side, path: path.to_owned() }.into());
            }
            Some(info) => FileIo::device(file, info),
            None => {
                FileIo::measured(file, facts.size).map_err(|error| no_end(side, path, error))?
            }
        };
        let claimed = std::mem::replace(&mut facts.size, io.len());
        let (path, file) = (path.to_owned(), Arc::new(io));
        let (io, pieces) = (Arc::clone(&file) as Arc<dyn Source>, Arc::default());
        Ok(OpenSource { path, io, file, facts, claimed, device, pieces })
    }

    /// Takes a regular file of a file system that is known to tell the truth,
    /// open for reading, which `path` says where it is.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] if it is not a regular file.
    pub fn of_known_file(path: &Path, file: File) -> Result<OpenSource> {
        let side = Side::Source;
        let cannot_open = |source| Refusal::CannotOpen { side, path: path.to_owned(), source };
        let facts = sys::facts_of_known(&file).map_err(cannot_open)?;
        if facts.node != FileKind::File {
            return OpenSource::of_file(side, path, Ok(file));
        }
        let (path, claimed) = (path.to_owned(), facts.size);
        let file = Arc::new(FileIo::new(file, claimed));
        let (io, pieces) = (Arc::clone(&file) as Arc<dyn Source>, Arc::default());
        Ok(OpenSource { path, io, file, facts, claimed, device: None, pieces })
    }

    /// Says that one range will be read from its start to its end.
    ///
    /// Measured, on a device that takes 5 ms a request: one worker then needs
    /// 1.4 s instead of 2.2 s for 512 MiB. Files gain nothing by it. Asking for
    /// each stripe before it is read (`POSIX_FADV_WILLNEED`) made copies from a
    /// cold disk slower by a tenth, and is not done.
    pub fn will_read_in_sequence(&self) {
        if self.device.is_some() {
            sys::read_further_ahead(self.file.as_file());
        }
    }

    /// Logical sector in bytes: the unit of `s`, and where splitting a request ends.
    pub fn sector(&self) -> u32 {
        self.device.as_ref().map_or(DEFAULT_SECTOR, |device| device.logical_sector)
    }

    /// As what it is packed, so that its positions are not those of a disk.
    pub fn container(&self) -> Option<Container> {
        match self.device {
            None => container::container(&*self.io, self.facts.size),
            Some(_) => None,
        }
    }

    /// What `s` counts in bytes: the logical sector, or that of the disk of which
    /// this is an image, where its partition table shows it.
    pub fn unit(&self) -> u32 {
        const TABLE: &[u8; 8] = b"EFI PART";
        let is_at = |at: u64| {
            let mut found = [0; 8];
            self.io.read_exact_at(at, &mut found).is_ok() && found == *TABLE
        };
        // The header of a GPT is in the second sector.
        match self.device {
            None if !is_at(512) && is_at(4096) => 4096,
            _ => self.sector(),
        }
    }

    /// `size` in bytes, of this source.
    ///
    /// # Errors
    ///
    /// If it is more than a `u64` counts.
    pub fn bytes(&self, size: Size) -> Result<u64, TooManySectors> {
        let unit = if matches!(size, Size::Sectors(_)) { self.unit() } else { self.sector() };
        size.bytes(unit)
    }

    /// Where `range` lies in it, and whether it was cut to what exists, which
    /// `clamp` allows.
    ///
    /// # Errors
    ///
    /// [`Refusal::Range`] if it does not lie inside; [`Refusal::EndsEarly`] if it
    /// does by what the file system claims, and not by what can be read.
    pub fn resolve(&self, range: &RangeSpec, clamp: bool) -> Result<(ByteRange, bool), Refusal> {
        let size = self.facts.size;
        // Looked up only where it matters: that reads.
        let sector = if range.counts_sectors() { self.unit() } else { self.sector() };
        let outside = |error| Refusal::Range { path: self.path.clone(), source: error };
        let claimed = self.claimed.max(size);
        let asked = if claimed > size { range.resolve(claimed, sector).ok() } else { None };
        let ends_early = asked.is_some_and(|asked| asked.end() > size);
        if clamp {
            let (range, clamped) = range.resolve_clamped(size, sector).map_err(outside)?;
            return Ok((range, clamped || ends_early));
        }
        if let Some(refusal) = self.ends_early().filter(|_| ends_early) {
            return Err(refusal);
        }
        range.resolve(size, sector).map(|range| (range, false)).map_err(outside)
    }

    /// Why it cannot be copied as a whole: not all that its file system claims
    /// can be read.
    pub fn ends_early(&self) -> Option<Refusal> {
        let (claimed, readable) = (self.claimed, self.facts.size);
        let path = || self.path.clone();
        (readable < claimed).then(|| Refusal::EndsEarly { path: path(), claimed, readable })
    }

    /// What is worth knowing of its files: how many there are, and that it has more
    /// bytes than its file system claims.
    pub fn note(&self) -> Option<String> {
        if let [first, .., last] = &*self.pieces {
            let (first, last) =
                (crate::error::quoted(&first.path), crate::error::quoted(&last.path));
            let count = self.pieces.len();
            return Some(format!("read as one: {count} files, {first} to {last}"));
        }
        let (claimed, size) = (self.claimed, self.facts.size);
        let name = crate::error::quoted(&self.path);
        (claimed < size).then(|| {
            format!("{name} has {size} bytes, found by reading; its file system says {claimed}")
        })
    }

    /// Who may write to `range` of it while it is read, in words.
    pub fn who_may_write(&self, range: ByteRange) -> Option<String> {
        if self.is_joined() {
            return self
                .pieces
                .iter()
                .find_map(|piece| piece.who_may_write(ByteRange::to(u64::MAX)));
        }
        let user = sys::writers(self.file.as_file(), &self.facts, range)?;
        let name = crate::error::quoted(&self.path);
        Some(format!(
            "{name} is in use ({user}): the copy may be a mixture of old \
             and new bytes"
        ))
    }

    /// What changed since it was opened; `None` if nothing did. Devices have no
    /// times worth comparing; their size is.
    ///
    /// # Errors
    ///
    /// If the system does not say.
    pub fn change(&self) -> std::io::Result<Option<SourceChange>> {
        if self.is_joined() {
            return self.change_of_pieces();
        }
        let before = &self.facts;
        let now = match before.node {
            // What was a file of the disk is one as long as it is open.
            FileKind::File => sys::facts_of_known(self.file.as_file())?,
            _ => sys::facts_as(self.file.as_file(), &self.path)?,
        };
        Ok(if now.size != self.claimed {
            Some(SourceChange::Size { before: self.claimed, now: now.size })
        } else if self.device.is_some() {
            None
        } else if self.claimed != before.size && self.file.end_has_moved() {
            Some(SourceChange::End { before: before.size })
        } else if now.modified != before.modified {
            Some(SourceChange::Modified)
        } else if now.changed != before.changed {
            Some(SourceChange::Attributes)
        } else {
            None
        })
    }

    /// The worst that happened to one of its files. One that got another length is
    /// followed by bytes of the next at other places than before.
    fn change_of_pieces(&self) -> std::io::Result<Option<SourceChange>> {
        let mut worst = None;
        for piece in self.pieces.iter() {
            match piece.change()? {
                None => {}
                Some(SourceChange::Attributes) => worst = Some(SourceChange::Attributes),
                Some(SourceChange::Size { .. }) => return Ok(Some(SourceChange::Modified)),
                Some(change) => return Ok(Some(change)),
            }
        }
        Ok(worst)
    }

    /// The part of the report that describes it.
    pub fn report(&self) -> SourceReport {
        SourceReport {
            path: self.path.clone(),
            kind: kind(self.facts.node),
            size: Some(self.facts.size),
            logical_sector: self.sector(),
        }
    }
}

/// Files that are open besides the pieces of a source, at most.
const SPARE_FILES: u64 = 64;

/// The latest of the times of several files.
fn latest<T: Ord + Default>(pieces: &[OpenSource], time: impl Fn(&Metadata) -> T) -> T {
    pieces.iter().map(|piece| time(&piece.facts)).max().unwrap_or_default()
}

/// The kind a node has in reports.
pub(crate) fn kind(node: FileKind) -> Kind {
    match node {
        FileKind::BlockDevice => Kind::BlockDevice,
        FileKind::File => Kind::File,
        FileKind::Pipe | FileKind::Socket => Kind::Stream,
        _ => Kind::Other,
    }
}

/// The refusal of a file whose end cannot be found by reading.
fn no_end(side: Side, path: &Path, source: std::io::Error) -> Refusal {
    let path = path.to_owned();
    if source.kind() == std::io::ErrorKind::NotSeekable {
        let (what, hint) = ("a file that is read in order only", "use cat");
        return Refusal::NotCopyable { side, path, what, hint };
    }
    Refusal::NoEnd { side, path, source }
}

/// Refuses everything that has no bytes at fixed offsets.
pub(crate) fn copyable(side: Side, path: &Path, node: FileKind) -> Result<(), Refusal> {
    let (what, hint) = match node {
        FileKind::File | FileKind::BlockDevice => return Ok(()),
        FileKind::Directory => ("a directory", "name a file in it"),
        FileKind::Pipe if side == Side::Destination => {
            ("a pipe", "a pipe has no positions; what goes to - is written in order")
        }
        FileKind::Pipe => ("a pipe", "a pipe is read by a copy of it alone"),
        FileKind::Socket => ("a socket", "a socket has no positions"),
        FileKind::CharacterDevice => (
            "a character device",
            match side {
                Side::Source => "only files and block devices have positions",
                Side::Destination => {
                    "only files and block devices have positions; null: keeps nothing, and - is \
                     written in order"
                }
            },
        ),
        FileKind::VirtualFile => {
            ("made up by the kernel as it is read", "its size is not known; use cat")
        }
        FileKind::Link => ("a symbolic link", "name what it points to"),
    };
    Err(Refusal::NotCopyable { side, path: path.to_owned(), what, hint })
}
