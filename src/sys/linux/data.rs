//! Calls that move, share, reserve and cache the bytes of files, on Linux.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::raw::c_int;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{Advice, AtFlags, FallocateFlags, Mode, OFlags, StatxFlags};
use rustix::io::Errno;
use rustix::ioctl;
use rustix::pipe::{PipeFlags, SpliceFlags};

use super::super::{DirectAlignment, FileSystem, FileSystemKind, PositionedFile};
use crate::range::ByteRange;

/// Whether the kernel moves bytes by itself, from file to file or through a pipe.
pub const MOVES_BYTES: bool = true;

/// The file system that `file`, which may be a directory, lies on.
pub fn file_system(file: impl std::os::fd::AsFd) -> io::Result<FileSystem> {
    let stat = rustix::fs::fstatfs(&file)?;
    // linux/magic.h and the sources of the file systems.
    let kind = match stat.f_type as u64 {
        0xef53 => FileSystemKind::Ext,
        0x5846_5342 => FileSystemKind::Xfs,
        0x9123_683e => FileSystemKind::Btrfs,
        0x0102_1994 => FileSystemKind::Tmpfs,
        0x6573_5546 => FileSystemKind::Fuse,
        FAT | 0x2011_bab0 => FileSystemKind::Ntfs,
        _ => FileSystemKind::Other,
    };
    let id = (kind == FileSystemKind::Btrfs).then(|| btrfs_id(file).ok()).flatten();
    Ok(FileSystem { kind, block: u64::try_from(stat.f_bsize).unwrap_or(4096).max(512), id })
}

/// linux/magic.h: MSDOS_SUPER_MAGIC.
const FAT: u64 = 0x4d44;

/// Longest file, in bytes, that the file system of `file` can hold, where that
/// is less than anybody wants.
pub fn largest_file(file: &File) -> Option<u64> {
    let stat = rustix::fs::fstatfs(file).ok()?;
    (stat.f_type as u64 == FAT).then_some(u64::from(u32::MAX))
}

/// The beginning of struct btrfs_ioctl_fs_info_args of linux/btrfs.h, and what
/// it is filled up with.
#[repr(C)]
struct BtrfsInfo {
    max_id: u64,
    num_devices: u64,
    fsid: [u8; 16],
    rest: [u8; 992],
}

fn btrfs_id(file: impl std::os::fd::AsFd) -> io::Result<[u8; 16]> {
    type Info = ioctl::Getter<{ ioctl::opcode::read::<BtrfsInfo>(0x94, 31) }, BtrfsInfo>;
    // SAFETY: BTRFS_IOC_FS_INFO fills the struct, all of whose values are valid.
    Ok(unsafe { ioctl::ioctl(file, Info::new()) }?.fsid)
}

/// What the system wants of requests past the page cache: `None` if it does
/// not say, an error where there are none.
pub fn direct_alignment(file: &File) -> io::Result<Option<DirectAlignment>> {
    let statx = match rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN) {
        // statx(2) is of Linux 4.11; older filters of containers say EPERM.
        Err(Errno::NOSYS | Errno::PERM) => return Ok(None),
        result => result?,
    };
    if statx.stx_mask & StatxFlags::DIOALIGN.bits() == 0 {
        return Ok(None);
    }
    let alignment = DirectAlignment {
        memory: u64::from(statx.stx_dio_mem_align),
        offset: u64::from(statx.stx_dio_offset_align),
    };
    if alignment.memory == 0 || alignment.offset == 0 {
        return Err(Errno::OPNOTSUPP.into());
    }
    Ok(Some(alignment))
}

/// A second descriptor of an open file, for requests past the page cache. The
/// flag is not switched on for the first one: it would be for all its users.
pub fn reopen_direct(file: &File, writable: bool) -> io::Result<PositionedFile> {
    // The descriptor, not the path: the name may mean another file by now.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let access = if writable { OFlags::RDWR } else { OFlags::RDONLY };
    let flags = access | OFlags::DIRECT | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let again = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let (before, now) = (file.metadata()?, again.metadata()?);
    if (before.dev(), before.ino()) != (now.dev(), now.ino()) {
        return Err(io::Error::other("opening the file again led to another file"));
    }
    Ok(PositionedFile::file(again))
}

/// Lets the kernel copy up to `len` bytes from file to file. May be short; 0
/// is the end of `from`, or a file that the call cannot read.
pub fn copy_range(from: &File, at: u64, to: &File, to_at: u64, len: u64) -> io::Result<u64> {
    let (mut at, mut to_at) = (at, to_at);
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let moved = rustix::fs::copy_file_range(from, Some(&mut at), to, Some(&mut to_at), len)?;
    Ok(moved as u64)
}

/// Makes `to` share the storage of `range` of `from`, from `to_at` on.
pub fn share_range(from: &File, range: ByteRange, to: &File, to_at: u64) -> io::Result<()> {
    /// linux/fs.h: struct file_clone_range.
    #[repr(C)]
    struct CloneRange {
        from: i64,
        from_offset: u64,
        len: u64,
        to_offset: u64,
    }
    // linux/fs.h: FICLONERANGE is _IOW(0x94, 13, struct file_clone_range).
    type Clone = ioctl::Setter<{ ioctl::opcode::write::<CloneRange>(0x94, 13) }, CloneRange>;
    let request = CloneRange {
        from: i64::from(from.as_raw_fd()),
        from_offset: range.start(),
        len: range.len(),
        to_offset: to_at,
    };
    // SAFETY: the opcode reads one `CloneRange`, laid out as the kernel's; the
    // descriptor in it is open for as long as `from` is borrowed.
    unsafe { ioctl::ioctl(to, Clone::new(request)) }?;
    Ok(())
}

/// Whether an error says that a file cannot be written by `copy_range` or its
/// like here, so that ordinary reads and writes may still do: the list of GNU
/// coreutils, and what others have met (a file open for appending, CIFS).
pub fn is_not_offered(error: &io::Error) -> bool {
    const LIST: [Errno; 12] = [
        Errno::NOSYS,
        Errno::NOTTY,
        Errno::OPNOTSUPP,
        Errno::INVAL,
        Errno::BADF,
        Errno::XDEV,
        Errno::TXTBSY,
        Errno::PERM,
        Errno::ACCESS,
        Errno::NOENT,
        Errno::OVERFLOW,
        Errno::FBIG,
    ];
    Errno::from_io_error(error).is_some_and(|errno| LIST.contains(&errno))
}

/// Reserves storage for `range` of a file that is long enough already.
pub fn reserve(file: &File, range: ByteRange) -> io::Result<()> {
    if range.is_empty() {
        return Ok(());
    }
    let flags = FallocateFlags::KEEP_SIZE;
    Ok(rustix::fs::fallocate(file, flags, range.start(), range.len())?)
}

/// How many bytes of `range` are in the page cache.
pub fn cached_bytes(file: &File, range: ByteRange) -> io::Result<u64> {
    match cachestat(file, range) {
        // Before Linux 6.5, or kept from us by a sandbox.
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::NOSYS | Errno::PERM)) => {
            sample_mincore(file, range)
        }
        result => result,
    }
}

/// linux/mman.h: struct cachestat_range.
#[repr(C)]
struct CacheRange {
    offset: u64,
    len: u64,
}

/// linux/mman.h: struct cachestat, in pages.
#[repr(C)]
#[derive(Default)]
struct CacheStat {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

fn cachestat(file: &File, range: ByteRange) -> io::Result<u64> {
    /// The same number on every architecture.
    const SYS_CACHESTAT: libc::c_long = 451;
    let asked = CacheRange { offset: range.start(), len: range.len() };
    let mut answer = CacheStat::default();
    // SAFETY: both pointers are to structures of the layout the kernel expects,
    // alive during the call; the kernel writes to the second alone.
    let result = unsafe {
        libc::syscall(
            SYS_CACHESTAT,
            file.as_raw_fd(),
            &raw const asked,
            &raw mut answer,
            0 as libc::c_uint,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let page = rustix::param::page_size() as u64;
    Ok(answer.cached.saturating_mul(page).min(range.len()))
}

/// How many pages of a range are looked at where the kernel cannot count.
const SAMPLES: u64 = 16;

fn sample_mincore(file: &File, range: ByteRange) -> io::Result<u64> {
    let samples = SAMPLES.min(range.len() / 4096 + 1);
    let mut cached = 0;
    for sample in 0..samples {
        let at = range.start() + range.len() / samples * sample;
        cached += u64::from(is_page_cached(file, at)?);
    }
    Ok(range.len() / samples * cached)
}

fn is_page_cached(file: &File, at: u64) -> io::Result<bool> {
    use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
    let page = rustix::param::page_size();
    let at = at / page as u64 * page as u64;
    let anywhere = std::ptr::null_mut();
    // SAFETY: a new mapping at an address of the kernel's choice disturbs no
    // other memory. It is not accessed, so a file that shrinks does no harm.
    let address = unsafe { mmap(anywhere, page, ProtFlags::READ, MapFlags::SHARED, file, at)? };
    let mut resident = 0u8;
    // SAFETY: the page is mapped, and the kernel writes one byte a page.
    let result = unsafe { libc::mincore(address, page, &raw mut resident) };
    let error = io::Error::last_os_error();
    // SAFETY: the mapping is ours, made above, and nothing refers to it.
    unsafe { munmap(address, page)? };
    if result == 0 { Ok(resident & 1 == 1) } else { Err(error) }
}

/// Advice is never worth an error: the bytes are the same without it.
fn advise(file: &File, range: ByteRange, advice: Advice) {
    // A length of zero would mean "to the end".
    if let Some(len) = NonZeroU64::new(range.len()) {
        let _ = rustix::fs::fadvise(file, range.start(), Some(len), advice);
    }
}

/// Asks that the page cache read further ahead in `file` than usual.
pub fn read_further_ahead(file: &File) {
    let _ = rustix::fs::fadvise(file, 0, None, Advice::Sequential);
}

/// Drops what of `range` is clean from the page cache.
pub fn drop_cached(file: &File, range: ByteRange) {
    advise(file, range, Advice::DontNeed);
}

/// Begins to write what of `range` is dirty to the disk, without waiting for
/// it. No substitute for a sync, and its errors are found by the sync.
pub fn start_writing(file: &File, range: ByteRange) {
    let (Ok(start), Ok(len)) = (i64::try_from(range.start()), i64::try_from(range.len())) else {
        return;
    };
    if len > 0 {
        // SAFETY: no memory is involved; the descriptor is open.
        unsafe { libc::sync_file_range(file.as_raw_fd(), start, len, libc::SYNC_FILE_RANGE_WRITE) };
    }
}

/// Bytes of memory that could be had without swapping, and without being killed.
pub fn available_memory() -> Option<u64> {
    let limit = super::memory_limit();
    memory_of_the_system().map_or(limit, |memory| Some(limit.map_or(memory, |l| l.min(memory))))
}

fn memory_of_the_system() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Room wished for in a pipe that is written to or read: what everybody may have.
const STREAM_CAPACITY: usize = 1 << 20;

/// A descriptor of `stream` for writing. Of a pipe, one of our own that never
/// makes us wait, so that a wish to stop is heard while its reader does
/// nothing; of all else, and where that is not allowed, another name for it.
pub fn own_stream(stream: &File) -> io::Result<File> {
    use std::os::unix::fs::FileTypeExt;
    if stream.metadata()?.file_type().is_fifo() {
        // Fails on what is not allowed, which costs only speed.
        let _ = rustix::pipe::fcntl_setpipe_size(stream, STREAM_CAPACITY);
        let path = format!("/proc/self/fd/{}", stream.as_raw_fd());
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        if let Ok(own) = rustix::fs::open(path, flags, Mode::empty()) {
            return Ok(own.into());
        }
    }
    stream.try_clone()
}

/// A descriptor of `stream`, a pipe that is read, of our own that never makes us
/// wait. `None` of all else, and where that is not allowed.
pub fn own_input(stream: &File) -> Option<File> {
    use std::os::unix::fs::FileTypeExt;
    if !stream.metadata().ok()?.file_type().is_fifo() {
        return None;
    }
    // Fails on what is not allowed, which costs only speed.
    let _ = rustix::pipe::fcntl_setpipe_size(stream, STREAM_CAPACITY);
    let path = format!("/proc/self/fd/{}", stream.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).ok().map(File::from)
}

/// A pipe that bytes can be moved through inside the kernel.
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    capacity: u64,
}

impl Pipe {
    /// A pipe with room for up to `capacity` bytes; less where the system allows less.
    pub fn new(capacity: u64) -> io::Result<Pipe> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let wanted = c_int::try_from(capacity).unwrap_or(c_int::MAX) as usize;
        let capacity = match rustix::pipe::fcntl_setpipe_size(&write, wanted) {
            Ok(capacity) => capacity,
            Err(_) => rustix::pipe::fcntl_getpipe_size(&write)?,
        };
        Ok(Pipe { read, write, capacity: capacity as u64 })
    }

    /// Most bytes that [`Pipe::fill`] moves into the empty pipe.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Moves up to `len` bytes of `from` into the pipe. May be short; 0 is the end.
    pub fn fill(&self, from: &File, at: u64, len: u64) -> io::Result<u64> {
        let (mut at, len) = (at, usize::try_from(len).unwrap_or(usize::MAX));
        let flags = SpliceFlags::MOVE;
        Ok(rustix::pipe::splice(from, Some(&mut at), &self.write, None, len, flags)? as u64)
    }

    /// Moves up to `len` bytes out of the pipe to `to`. May be short.
    pub fn drain(&self, to: &File, at: u64, len: u64) -> io::Result<u64> {
        let (mut at, len) = (at, usize::try_from(len).unwrap_or(usize::MAX));
        let flags = SpliceFlags::MOVE;
        Ok(rustix::pipe::splice(&self.read, None, to, Some(&mut at), len, flags)? as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::is_unsupported;
    use rustix::io::Errno;

    /// Which errors make an engine give way. Never one of a disk: not EIO, nor any
    /// that says that there is no space, no device or no memory.
    #[test]
    fn only_errors_that_say_not_here_make_an_engine_give_way() {
        let that = |says: fn(&io::Error) -> bool| -> Vec<i32> {
            let errors = (1..4096).filter(|&number| says(&io::Error::from_raw_os_error(number)));
            errors.collect()
        };
        let sorted = |errors: &[Errno]| {
            let mut numbers: Vec<i32> = errors.iter().map(|errno| errno.raw_os_error()).collect();
            numbers.sort_unstable();
            numbers
        };
        let unsupported = [Errno::NOSYS, Errno::INVAL, Errno::OPNOTSUPP, Errno::NOTTY];
        let elsewhere = [
            Errno::BADF,
            Errno::XDEV,
            Errno::TXTBSY,
            Errno::PERM,
            Errno::ACCESS,
            Errno::NOENT,
            Errno::OVERFLOW,
            Errno::FBIG,
        ];
        assert_eq!(that(is_unsupported), sorted(&unsupported));
        assert_eq!(that(is_not_offered), sorted(&[&unsupported[..], &elsewhere].concat()));
    }
}
