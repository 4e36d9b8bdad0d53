//! What the kernel refuses to do with a name or a file although the permissions
//! allow it: found out by asking, before it is tried.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, Statx, StatxAttributes, StatxFlags};

use super::super::{AppendOnly, Directory, Metadata};
use super::devices::swap_areas;

/// The bit of a mode that lets only owners replace the files in a directory.
const STICKY: u32 = 0o1000;

/// Asks about many files, and once about what is the same for all.
pub struct Guards {
    /// Device and number of every file that is swapped on.
    swaps: Vec<(u64, u64)>,
}

impl Guards {
    /// Looks what is swapped on now.
    pub fn now() -> Guards {
        let files = swap_areas().into_iter().filter_map(|path| path.metadata().ok());
        Guards { swaps: files.map(|file| (file.dev(), file.ino())).collect() }
    }

    /// Whether `name`, a file in `directory`, may be given to another file, as far
    /// as the file itself is concerned.
    pub fn check_replaceable(&self, directory: &Directory, name: &OsStr) -> io::Result<()> {
        let Ok(file) = look(directory, name) else {
            // Old kernels and strange file systems say it when it is tried.
            return Ok(());
        };
        check_attributes("it", &file)?;
        if is_mount_point(&file) {
            let what = "something is mounted on it";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, what));
        }
        self.check_swap(device_of(&file), file.stx_ino)?;
        match look(directory, OsStr::new("")) {
            Ok(folder) if is_kept_from_us(&file, &folder) => {
                Err(denied("it belongs to another user, and its folder is sticky"))
            }
            _ => Ok(()),
        }
    }

    /// Whether an open file may be written to, beyond what opening it has said.
    pub fn check_writable(&self, facts: &Metadata) -> io::Result<()> {
        self.check_swap(facts.device, facts.inode)
    }

    fn check_swap(&self, device: u64, inode: u64) -> io::Result<()> {
        let what = "it is in use as swap space";
        match self.swaps.contains(&(device, inode)) {
            true => Err(io::Error::new(io::ErrorKind::ExecutableFileBusy, what)),
            false => Ok(()),
        }
    }
}

/// Why the file at `path`, which cannot be opened for writing, cannot, where that
/// does not depend on permissions.
pub fn why_not_writable(path: &Path) -> Option<io::Error> {
    let flags = AtFlags::empty();
    let file = rustix::fs::statx(rustix::fs::CWD, path, flags, StatxFlags::BASIC_STATS).ok()?;
    check_attributes("it", &file).err()
}

/// Whether a file can be changed by no program, whatever its mode.
pub fn is_immutable(file: &File) -> bool {
    let flags = AtFlags::EMPTY_PATH;
    rustix::fs::statx(file, "", flags, StatxFlags::BASIC_STATS)
        .is_ok_and(|facts| facts.stx_attributes.contains(StatxAttributes::IMMUTABLE))
}

fn look(directory: &Directory, name: &OsStr) -> io::Result<Statx> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT;
    Ok(rustix::fs::statx(directory, name, flags, StatxFlags::BASIC_STATS)?)
}

fn check_attributes(what: &'static str, file: &Statx) -> io::Result<()> {
    if file.stx_attributes.contains(StatxAttributes::IMMUTABLE) {
        return Err(denied(&format!("{what} is immutable (chattr -i)")));
    }
    if file.stx_attributes.contains(StatxAttributes::APPEND) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, AppendOnly(what)));
    }
    Ok(())
}

fn denied(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, what)
}

/// A rename over a mount point fails with EBUSY. Before Linux 5.8 it is not known.
fn is_mount_point(file: &Statx) -> bool {
    let known = file.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
    known && file.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
}

fn device_of(file: &Statx) -> u64 {
    rustix::fs::makedev(file.stx_dev_major, file.stx_dev_minor)
}

/// In a sticky directory a name belongs to the owner of the file and to that of
/// the directory.
fn is_kept_from_us(file: &Statx, folder: &Statx) -> bool {
    let me = rustix::process::geteuid().as_raw();
    u32::from(folder.stx_mode) & STICKY != 0
        && file.stx_uid != me
        && folder.stx_uid != me
        && !overrides_owners()
}

/// Whether this thread may do what only the owner of a file may (CAP_FOWNER).
fn overrides_owners() -> bool {
    /// linux/capability.h: the version of 64 bits, and the number of the right.
    const VERSION: u32 = 0x2008_0522;
    const FOWNER: u32 = 3;
    // struct __user_cap_header_struct for this thread, and two of struct
    // __user_cap_data_struct: effective, permitted, inheritable.
    let mut header = [VERSION, 0];
    let mut sets = [[0u32; 3]; 2];
    // SAFETY: both are laid out as the kernel's structures, and alive during the call.
    let result = unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr()) };
    match result {
        0 => sets[0][0] & (1 << FOWNER) != 0,
        _ => rustix::process::geteuid().is_root(),
    }
}

/// Whether names can be made and given to files in an open directory, beyond
/// what its permissions say.
pub fn check_directory(directory: impl AsFd) -> io::Result<()> {
    if super::is_virtual(&directory) {
        return Err(denied("the kernel makes up what is in it"));
    }
    let flags = AtFlags::EMPTY_PATH;
    let Ok(folder) = rustix::fs::statx(&directory, "", flags, StatxFlags::BASIC_STATS) else {
        return Ok(());
    };
    // Of one that is append-only, a name could be made, and never be changed.
    check_attributes("the folder", &folder)?;
    if folder.stx_nlink == 0 && is_removed(&directory) {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the folder has been removed"));
    }
    Ok(())
}

/// Some file systems count no links at all: the kernel says it once more.
fn is_removed(directory: impl AsFd) -> bool {
    use std::os::fd::AsRawFd;
    let link = format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd());
    std::fs::read_link(link)
        .is_ok_and(|path| path.as_os_str().as_encoded_bytes().ends_with(b" (deleted)"))
}

/// Up to here every file system in use takes a file.
const ALWAYS: u64 = (2 << 30) - 1;

/// The most bytes that a file in `directory` may have, as far as it matters for
/// one of `len` bytes, by the limit of this process and that of the file system.
pub fn longest_file(directory: &Directory, len: u64) -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize);
    let limit = limit.current.unwrap_or(u64::MAX);
    if len <= ALWAYS || len > limit {
        return limit;
    }
    limit.min(longest_on(directory, len))
}

fn longest_on(directory: &Directory, len: u64) -> u64 {
    /// linux/magic.h: FAT, whose sizes have 32 bits.
    const MSDOS: u64 = 0x4d44;
    if rustix::fs::fstatfs(directory).is_ok_and(|system| system.f_type as u64 == MSDOS) {
        return u64::from(u32::MAX);
    }
    // A file without a name, which is gone when it is closed, says it exactly.
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::openat(directory, ".", flags, Mode::RUSR | Mode::WUSR) else {
        return u64::MAX;
    };
    match File::from(file).set_len(len) {
        // How much less is not worth finding out.
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => len - 1,
        _ => u64::MAX,
    }
}
