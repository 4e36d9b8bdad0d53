use std::fs;
use std::io::{Seek, SeekFrom, Write};

use super::*;

/// Where the source's bytes begin that were copied, and where in the file they went.
const FROM: u64 = 1 << 20;
const TO: u64 = 2 << 20;
const LEN: u64 = 1 << 20;

/// Bytes that were copied, and how a read of them ends.
struct Read {
    bytes: Vec<u8>,
    error: Option<io::ErrorKind>,
}

impl ReadAt for Read {
    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = self.error {
            return Err(error.into());
        }
        let rest = &self.bytes[crate::io::as_usize(at)..];
        let count = buffer.len().min(rest.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

impl Source for Read {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// A source that somebody ends while it is read, as one on a server is.
struct Ended(CancelToken);

impl ReadAt for Ended {
    fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<usize> {
        self.0.cancel();
        Err(io::Error::other("interrupted"))
    }
}

impl Source for Ended {
    fn size(&self) -> u64 {
        FROM + LEN
    }
}

/// A source without zeros, its copy, and what is said to be written.
struct Copied {
    folder: tempfile::TempDir,
    source: Read,
    made: u64,
}

impl Copied {
    fn new() -> Copied {
        let folder = tempfile::tempdir().unwrap();
        let bytes = (0..FROM + LEN).map(|at| (at % 251) as u8 + 1).collect();
        let copied = Copied { folder, source: Read { bytes, error: None }, made: 0 };
        let file = File::create(copied.path()).unwrap();
        file.set_len(TO + LEN).unwrap();
        copied.write(0, &copied.source.bytes[crate::io::as_usize(FROM)..]);
        copied
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("copy")
    }

    /// Writes behind byte `at` of what was copied.
    fn write(&self, at: u64, bytes: &[u8]) {
        let mut file = File::options().write(true).open(self.path()).unwrap();
        file.seek(SeekFrom::Start(TO + at)).unwrap();
        file.write_all(bytes).unwrap();
    }

    /// Cuts the copy behind `at` bytes, and makes it as long as before.
    fn lose_from(&self, at: u64) {
        let file = File::options().write(true).open(self.path()).unwrap();
        file.set_len(TO + at).unwrap();
        file.set_len(TO + LEN).unwrap();
    }

    fn written(&self) -> Written<'_> {
        Written {
            source: &self.source,
            range: ByteRange::between(FROM, FROM + LEN),
            to: TO,
            holes: RangeSet::new(),
            zeros: RangeSet::new(),
            made: self.made,
        }
    }

    fn open(&self) -> File {
        File::open(self.path()).unwrap()
    }

    fn lost_if(&self, cancel: &CancelToken) -> Result<RangeSet> {
        self.written().lost(&FileIo::new(self.open(), TO + LEN), &self.path(), cancel)
    }

    fn lost(&self) -> Result<RangeSet> {
        self.lost_if(&CancelToken::new())
    }

    fn lost_unread(&self) -> Result<RangeSet> {
        self.written().lost_unread(&self.open(), &self.path(), &CancelToken::new())
    }

    /// Whether the file system makes no holes of zeros by itself.
    fn is_sure(&self) -> bool {
        use sys::FileSystemKind::{Btrfs, Ext, Tmpfs, Xfs};
        let kind = sys::file_system(self.open()).map(|system| system.kind);
        matches!(kind, Ok(Btrfs | Ext | Tmpfs | Xfs))
    }
}

/// The second half of the copy, in bytes of the source.
fn second_half() -> RangeSet {
    [ByteRange::between(FROM + LEN / 2, FROM + LEN)].into_iter().collect()
}

/// That, and the block before, which is compared with it.
fn all_that_is_compared() -> RangeSet {
    [ByteRange::between(FROM + LEN / 2 - BLOCK, FROM + LEN)].into_iter().collect()
}

/// A copy whose second half was lost, where the file system shows it as a hole.
fn halved() -> Option<Copied> {
    let copied = Copied::new();
    copied.lose_from(LEN / 2);
    let holes = holes_of(&copied.open(), ByteRange::between(TO, TO + LEN));
    (!holes.is_empty()).then_some(copied)
}

#[test]
fn every_hole_of_a_file_is_found_from_its_beginning_on() {
    let Some(copied) = halved() else { return };
    let holes = [ByteRange::to(TO), ByteRange::between(TO + LEN / 2, TO + LEN)];
    if copied.is_sure() {
        let found = holes_of(&copied.open(), ByteRange::to(TO + LEN));
        assert_eq!(found, holes.into_iter().collect());
    }
}

#[test]
fn what_became_a_hole_is_lost_where_it_differs() {
    assert!(Copied::new().lost().unwrap().is_empty());
    let Some(mut copied) = halved() else { return };
    assert_eq!(copied.lost().unwrap(), all_that_is_compared());
    let unread = if copied.is_sure() { second_half() } else { RangeSet::new() };
    assert_eq!(copied.lost_unread().unwrap(), unread);
    // A hole where the source has zeros has lost nothing.
    copied.source.bytes[crate::io::as_usize(FROM + LEN / 2)..].fill(0);
    assert!(copied.lost().unwrap().is_empty());
    assert!(copied.lost_unread().unwrap().is_empty());
}

/// As many bytes of holes as were made on the way are not a loss; more are.
#[test]
fn as_many_holes_as_were_made_are_not_a_loss() {
    let Some(mut copied) = halved() else { return };
    copied.made = LEN / 2;
    assert!(copied.lost().unwrap().is_empty());
    copied.made = LEN / 2 - 1;
    assert_eq!(copied.lost().unwrap(), all_that_is_compared());
}

#[test]
fn a_source_that_can_be_read_once_is_judged_by_holes_and_another_by_its_error() {
    let Some(mut copied) = halved() else { return };
    copied.source.error = Some(io::ErrorKind::NotSeekable);
    let lost = if copied.is_sure() { second_half() } else { RangeSet::new() };
    assert_eq!(copied.lost().unwrap(), lost);
    copied.source.error = Some(io::ErrorKind::PermissionDenied);
    let error = copied.lost().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Destination { .. }), "{error:?}");
}

#[test]
fn a_source_that_is_ended_while_it_is_compared_is_no_fault_of_the_copy() {
    let Some(copied) = halved() else { return };
    let cancel = CancelToken::new();
    let written = Written { source: &Ended(cancel.clone()), ..copied.written() };
    let file = FileIo::new(copied.open(), TO + LEN);
    let error = written.lost(&file, &copied.path(), &cancel).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Cancelled), "{error}");
}

#[test]
fn a_wish_to_stop_ends_a_comparison_and_nothing_else() {
    let cancel = CancelToken::new();
    cancel.cancel();
    assert!(Copied::new().lost_if(&cancel).unwrap().is_empty(), "nothing is to be compared");
    let Some(copied) = halved() else { return };
    let error = copied.lost_if(&cancel).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Cancelled), "{error:?}");
}

/// Another file under the name is taken for ours only if all of it is the same.
#[test]
fn a_name_leads_to_ours_or_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (path, aside) = (folder.path().join("x"), folder.path().join("aside"));
    fs::write(&path, b"some bytes").unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let ours = FileIo::new(file, 10);
    let name = Name { path: &path, written: ByteRange::to(10) };
    is_still_at(&name, &ours).unwrap();
    fs::rename(&path, &aside).unwrap();
    is_still_at(&name, &ours).unwrap_err();
    for (content, is_same) in [
        ("some bytes", true),
        ("some bytes and more", false),
        ("some byte", false),
        ("same bytes", false),
    ] {
        fs::write(&path, content).unwrap();
        // On Windows, a file that is open for reading alone cannot be synced.
        let is_ours = is_same && !sys::WINDOWS_NAMES;
        assert_eq!(is_still_at(&name, &ours).is_ok(), is_ours, "{content}");
    }
}
