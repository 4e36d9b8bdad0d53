//! Opening files, what they are, their bytes at positions, their locks.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::os::windows::io::AsHandle;
use std::path::Path;
use std::time::Duration;

use windows_sys::Win32::Foundation::{
    ERROR_BAD_PATHNAME, ERROR_DIRECTORY, ERROR_IO_PENDING, ERROR_LOCK_VIOLATION,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_READONLY, FILE_ATTRIBUTE_REPARSE_POINT,
    FILE_ATTRIBUTE_SPARSE_FILE, FILE_BASIC_INFO, FILE_FLAG_BACKUP_SEMANTICS,
    FILE_FLAG_OPEN_REPARSE_POINT, FILE_FLAG_SEQUENTIAL_SCAN, FILE_ID_INFO, FILE_READ_ATTRIBUTES,
    FILE_TYPE_CHAR, FILE_TYPE_PIPE, FileBasicInfo, FileIdInfo, FileStandardInfo,
};
use windows_sys::Win32::System::Ioctl::{
    FILE_ALLOCATED_RANGE_BUFFER, FILE_ZERO_DATA_INFORMATION, FSCTL_QUERY_ALLOCATED_RANGES,
    FSCTL_SET_SPARSE, FSCTL_SET_ZERO_DATA,
};

use super::super::windows_names::{Named, classify};
use super::super::{FileKind, Metadata, Moment, wtf8};
use super::call::{self, Standard};
use super::{device, is};
use crate::range::{ByteRange, Extent};

/// Reads at `offset`. May be short; 0 is the end.
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek_read(buffer, offset)
}

/// Writes at `offset`. May be short.
pub fn write_at(file: &File, data: &[u8], offset: u64) -> io::Result<usize> {
    file.seek_write(data, offset)
}

/// Opens for reading, whatever it is, without waiting.
pub fn open_source(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    match classify(path) {
        Named::Disk(_) => device::open(path, &options),
        Named::File => {
            // Backup semantics: a directory is opened too, and refused by its kind.
            let flags = FILE_FLAG_SEQUENTIAL_SCAN | FILE_FLAG_BACKUP_SEMANTICS;
            options.custom_flags(flags).open(path)
        }
        Named::Pipe | Named::OtherDevice => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Opens an existing file for writing inside it, and whether it can be read as
/// well. Symbolic links are followed: the user named the file behind them.
pub fn open_in_place(path: &Path) -> io::Result<(File, bool)> {
    Ok((OpenOptions::new().read(true).write(true).open(path)?, true))
}

/// Opens what is not a file and has no positions, such as a pipe or a console, for
/// writing. It is never made.
pub fn open_stream(path: &Path) -> io::Result<Option<File>> {
    OpenOptions::new().write(true).open(path).map(Some)
}

/// Whether the names in `directory` stand for open files: there is no such directory.
pub fn holds_descriptors(_directory: &super::Directory) -> bool {
    false
}

/// What is open as `file`, which was opened as `path`: only the name tells an
/// image that a drive letter stands for from a file.
pub fn facts_as(file: &File, path: &Path) -> io::Result<Metadata> {
    match classify(path) {
        Named::Disk(name) => device::facts(file, &name),
        _ => facts(file),
    }
}

/// What an open file is.
pub fn facts_of_known(file: &File) -> io::Result<Metadata> {
    facts(file)
}

/// What an open file is.
pub fn facts(file: &File) -> io::Result<Metadata> {
    match call::kind(file) {
        FILE_TYPE_PIPE => return Ok(no_file(FileKind::Pipe)),
        FILE_TYPE_CHAR => return Ok(no_file(FileKind::CharacterDevice)),
        _ => {}
    }
    let basic: FILE_BASIC_INFO = match call::information(file, FileBasicInfo) {
        Ok(basic) => basic,
        // No file system behind it; a disk knows its length.
        Err(error) => return device::facts(file, "").map_err(|_| error),
    };
    let standard: Standard = call::information(file, FileStandardInfo)?;
    let (device, inode) = identity(file)?;
    let has = |attribute| basic.FileAttributes & attribute != 0;
    let node = if has(FILE_ATTRIBUTE_REPARSE_POINT) && is_link(file) {
        FileKind::Link
    } else if has(FILE_ATTRIBUTE_DIRECTORY) {
        FileKind::Directory
    } else {
        FileKind::File
    };
    Ok(Metadata {
        node,
        size: u64::try_from(standard.end_of_file).unwrap_or(0),
        device,
        inode,
        rdev: 0,
        mode: if has(FILE_ATTRIBUTE_READONLY) { 0o444 } else { 0o666 },
        owner: 0,
        group: 0,
        links: standard.links.into(),
        modified: moment(basic.LastWriteTime),
        changed: moment(basic.ChangeTime),
        accessed: moment(basic.LastAccessTime),
        // File numbers are not given again here.
        created: None,
        allocated: u64::try_from(standard.allocation_size).unwrap_or(0),
    })
}

/// What there is to say of something that is neither a file nor a disk.
fn no_file(node: FileKind) -> Metadata {
    Metadata {
        node,
        size: 0,
        device: 0,
        inode: 0,
        rdev: 0,
        mode: 0,
        owner: 0,
        group: 0,
        links: 1,
        modified: (0, 0),
        changed: (0, 0),
        accessed: (0, 0),
        // File numbers are not given again here.
        created: None,
        allocated: 0,
    }
}

/// Whether what is open is the link itself. A reparse point may also be a
/// plain file whose content is compressed, deduplicated or fetched on demand.
fn is_link(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.file_type().is_symlink())
}

/// Number of the file system, and number of the file there.
fn identity(file: &File) -> io::Result<(u64, u64)> {
    if let Ok(id) = call::information::<FILE_ID_INFO>(file, FileIdInfo) {
        // ReFS numbers files in 128 bits, everybody else in the lower 64.
        let id_128 = u128::from_le_bytes(id.FileId.Identifier);
        let folded = (id_128 >> 64) as u64 ^ id_128 as u64;
        return Ok((u64::from(id.VolumeSerialNumber as u32), folded));
    }
    let old = call::old_information(file)?;
    let inode = u64::from(old.nFileIndexHigh) << 32 | u64::from(old.nFileIndexLow);
    Ok((u64::from(old.dwVolumeSerialNumber), inode))
}

/// A time of Windows, which counts 100 ns since 1601, since 1970.
fn moment(time: i64) -> Moment {
    const FROM_1601_TO_1970: i64 = 11_644_473_600;
    const TICKS: i64 = 10_000_000;
    let nanoseconds = time.rem_euclid(TICKS) * 100;
    (time.div_euclid(TICKS) - FROM_1601_TO_1970, u32::try_from(nanoseconds).unwrap_or(0))
}

/// What a path leads to, without opening its content: `None` if there is nothing.
pub fn facts_of_path(path: &Path) -> io::Result<Option<Metadata>> {
    match classify(path) {
        // A device that is not there is an error: a file cannot have its name.
        Named::Disk(name) => {
            let file = device::open(path, OpenOptions::new().read(true))?;
            device::facts(&file, &name).map(Some)
        }
        Named::Pipe => Ok(Some(no_file(FileKind::Pipe))),
        Named::OtherDevice => Ok(Some(no_file(FileKind::CharacterDevice))),
        Named::File => absent(look(path, 0)),
    }
}

/// What is at `path`.
pub(super) fn look(path: &Path, flags: u32) -> io::Result<Metadata> {
    let mut options = OpenOptions::new();
    // Attributes alone can be read of a file that another program has for itself.
    options.access_mode(FILE_READ_ATTRIBUTES).custom_flags(FILE_FLAG_BACKUP_SEMANTICS | flags);
    facts(&options.open(path)?)
}

/// Turns "there is nothing" from an error into an answer.
pub(super) fn absent(result: io::Result<Metadata>) -> io::Result<Option<Metadata>> {
    match result {
        Ok(facts) => Ok(Some(facts)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // A file where the path says directory; as on Unix, nothing is there.
        Err(error) if is(&error, ERROR_DIRECTORY) || is(&error, ERROR_BAD_PATHNAME) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The name of this machine.
pub fn host_name() -> String {
    super::call::host_name()
}

/// Users have no numbers here.
pub fn user() -> u32 {
    0
}

/// A file stays with whom it belongs to: its directory says who may use it.
pub fn take_ownership(_file: &File) -> io::Result<()> {
    Ok(())
}

/// Owner and group have no numbers here.
pub fn set_owner(_file: &File, _owner: u32, _group: u32) -> io::Result<()> {
    Ok(())
}

/// Windows has one bit of a mode: whether a file may be written.
pub fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    let mut permissions = file.metadata()?.permissions();
    let readonly = mode & 0o222 == 0;
    if permissions.readonly() == readonly {
        return Ok(());
    }
    permissions.set_readonly(readonly);
    file.set_permissions(permissions)
}

/// There is no umask: the rights of a new file are those its directory hands down.
pub fn left_by_umask(mode: u32) -> u32 {
    mode
}

/// Nothing here is made up as it is read.
pub fn is_virtual(_file: &File) -> bool {
    false
}

/// Devices have a namespace of their own.
pub fn holds_device_nodes(_directory: &Metadata) -> bool {
    false
}

/// The extent of `file` at the start of `rest`, within `rest`.
pub fn next_extent(file: &File, rest: ByteRange) -> io::Result<Extent> {
    let basic: FILE_BASIC_INFO = call::information(file, FileBasicInfo)?;
    let data = Extent { range: rest, data: true };
    if rest.is_empty() || basic.FileAttributes & FILE_ATTRIBUTE_SPARSE_FILE == 0 {
        return Ok(data);
    }
    let asked = FILE_ALLOCATED_RANGE_BUFFER {
        FileOffset: rest.start().cast_signed(),
        Length: rest.len().cast_signed(),
    };
    let answer: io::Result<FILE_ALLOCATED_RANGE_BUFFER> =
        call::ask(file, FSCTL_QUERY_ALLOCATED_RANGES, &asked);
    let first = match answer {
        Ok(first) => first,
        // An empty list: nothing is allocated.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Ok(Extent { range: rest, data: false });
        }
        Err(error) => return Err(error),
    };
    let start = first.FileOffset.cast_unsigned().clamp(rest.start(), rest.end());
    let end = first.FileOffset.saturating_add(first.Length).cast_unsigned();
    if start > rest.start() {
        return Ok(Extent { range: ByteRange::between(rest.start(), start), data: false });
    }
    let end = end.clamp(rest.start(), rest.end());
    if end == rest.start() {
        return Err(io::Error::other("the file system gives holes that make no sense"));
    }
    Ok(Extent { range: ByteRange::between(rest.start(), end), data: true })
}

/// Makes `range` of a file read as zeros, by a hole where that is possible.
/// Fails where that is not supported.
pub fn zero_range(file: &File, range: ByteRange) -> io::Result<()> {
    // Without the flag the zeros are written, which is right as well.
    let _ = call::tell(file, FSCTL_SET_SPARSE, &());
    let zeros = FILE_ZERO_DATA_INFORMATION {
        FileOffset: range.start().cast_signed(),
        BeyondFinalZero: range.end().cast_signed(),
    };
    call::tell(file, FSCTL_SET_ZERO_DATA, &zeros)
}

/// Sets the length of a file. `gaps`: not all of it will be written, or not in
/// ascending order. Such a file is made sparse first, where that is possible:
/// what is skipped then takes no storage and need not be filled with zeros.
pub fn set_len(file: &File, len: u64, gaps: bool) -> io::Result<()> {
    if gaps {
        // FAT has no such files; the zeros are written there, which is right as well.
        let _ = call::tell(file, FSCTL_SET_SPARSE, &());
    }
    file.set_len(len)
}

/// The bytes of a path or name.
pub fn bytes_of(text: &OsStr) -> Vec<u8> {
    wtf8::from_wide(text.encode_wide())
}

/// The path or name that [`bytes_of`] was given; `None` for bytes it does not make.
pub fn os_string(bytes: Vec<u8>) -> Option<OsString> {
    wtf8::to_wide(&bytes).map(|wide| OsString::from_wide(&wide))
}

/// `bytes` as a path, if they are UTF-8.
pub fn path_from_bytes(bytes: &[u8]) -> Option<&Path> {
    std::str::from_utf8(bytes).ok().map(Path::new)
}

/// Waits until `stream` takes bytes, at most for `time`. A stream here never
/// says that it does not: its writers wait in the write.
pub fn wait_writable(_stream: &File, time: Duration) -> io::Result<()> {
    std::thread::sleep(time);
    Ok(())
}

/// Whether a read of `stream` may be tried: it waits here, and Ctrl-C with it.
pub fn wait_readable(_stream: &File, _time: Duration) -> io::Result<bool> {
    Ok(true)
}

/// Whether `path` may be read by this process: not known before it is opened.
pub fn check_readable(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// The open stream that `path` names by its number in this process: here there are
/// no such names.
pub fn stream_of_name(_path: &Path) -> Option<io::Result<File>> {
    None
}

/// The standard input of this process, to be read past its usual buffer.
pub fn standard_input() -> io::Result<File> {
    Ok(io::stdin().as_handle().try_clone_to_owned()?.into())
}

/// The standard output of this process, to be written to besides its usual buffer.
pub fn standard_output() -> io::Result<File> {
    Ok(io::stdout().as_handle().try_clone_to_owned()?.into())
}

/// Opens the file `path` for reading, without following a link.
pub fn open_unfollowed(path: &Path) -> io::Result<File> {
    if classify(path) != Named::File {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the name of a device"));
    }
    let file =
        OpenOptions::new().read(true).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT).open(path)?;
    match facts(&file)?.node {
        FileKind::Link => Err(io::Error::new(io::ErrorKind::InvalidInput, "a symbolic link")),
        _ => Ok(file),
    }
}

/// Takes the lock of an open file that says "a run is writing this", without
/// waiting. It lasts as long as the file is open.
///
/// A lock keeps every other handle from the bytes it covers, also those of
/// this process. It therefore covers one byte that no file has.
pub fn try_lock(file: &File) -> Result<(), TryLockError> {
    const NO_FILE_IS_THAT_LONG: u64 = i64::MAX as u64 - 1;
    match call::lock(file, NO_FILE_IS_THAT_LONG, 1) {
        Err(error) if is(&error, ERROR_LOCK_VIOLATION) || is(&error, ERROR_IO_PENDING) => {
            Err(TryLockError::WouldBlock)
        }
        Err(error) => Err(TryLockError::Error(error)),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_count_from_1970() {
        assert_eq!(moment(116_444_736_000_000_000), (0, 0));
        assert_eq!(moment(116_444_736_000_000_001), (0, 100));
        assert_eq!(moment(116_444_735_999_999_999), (-1, 999_999_900));
    }

    #[test]
    fn one_run_has_the_lock_and_all_can_read_and_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, b"content").unwrap();
        let (first, _) = open_in_place(&path).unwrap();
        try_lock(&first).unwrap();
        let (second, _) = open_in_place(&path).unwrap();
        assert!(matches!(try_lock(&second), Err(TryLockError::WouldBlock)));
        assert_eq!(write_at(&second, b"C", 0).unwrap(), 1);
        assert_eq!(std::fs::read(&path).unwrap(), b"Content");
        drop(first);
        try_lock(&second).unwrap();
    }
}
