//! Windows.
//!
//! | file | holds |
//! |---|---|
//! | `call` | the calls of Windows with types: every `unsafe` |
//! | `files` | opening, what a file is, positions, holes, locks |
//! | `directory` | a directory, and names in it |
//! | `devices` | the list of disks and volumes |
//! | `device` | disks and volumes: size, sectors, where they lie, exclusive use |
//! | `handles` | a handle for every request that runs |
//! | `data` | what moves, shares and reserves the bytes of files |

mod call;
mod data;
mod device;
mod devices;
mod directory;
mod files;
mod handles;
mod tree;

pub use super::plain_data::{
    MOVES_BYTES, Pipe, cached_bytes, copy_range, drop_cached, forget_below, largest_file,
    memory_limit, own_input, own_stream, read_further_ahead, start_writing,
};
pub use data::{
    available_memory, direct_alignment, file_system, is_not_offered, is_rotational, reopen_direct,
    reserve, share_range,
};
pub use device::{DeviceLock, device_info, device_name, devices_below, disk_region, open_device};
pub use devices::devices;
pub use directory::Directory;
pub use files::{
    bytes_of, check_readable, facts, facts_as, facts_of_known, facts_of_path, holds_descriptors,
    holds_device_nodes, host_name, is_virtual, left_by_umask, next_extent, open_in_place,
    open_source, open_stream, os_string, path_from_bytes, read_at, set_len, set_mode, set_owner,
    standard_input, standard_output, stream_of_name, take_ownership, try_lock, user, wait_readable,
    wait_writable, write_at, zero_range,
};
pub use handles::Handles;

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use windows_sys::Win32::Foundation::{
    ERROR_BAD_NETPATH, ERROR_CALL_NOT_IMPLEMENTED, ERROR_DEV_NOT_EXIST, ERROR_DEVICE_NOT_CONNECTED,
    ERROR_DEVICE_REMOVED, ERROR_INVALID_FUNCTION, ERROR_INVALID_PARAMETER, ERROR_NETNAME_DELETED,
    ERROR_NO_MEDIA_IN_DRIVE, ERROR_NO_SUCH_DEVICE, ERROR_NOT_READY, ERROR_NOT_SUPPORTED,
    WIN32_ERROR,
};

use super::Kernel;

/// Disks and volumes take whole sectors only.
pub const WHOLE_SECTORS: bool = true;

/// Whether a write ahead of all others makes the file system write zeros up to
/// it first. NTFS knows up to where a file is valid, and fills what is skipped.
pub const FILLS_AHEAD: bool = true;

/// Longest name in a directory: 255 units of UTF-16 on every file system in
/// use. Counted here in bytes of UTF-8, of which a name never has fewer.
pub const NAME_MAX: usize = 255;

/// How many files this process may have open: far more than it will.
pub fn open_file_limit() -> u64 {
    1 << 16
}

/// Nothing to raise here.
pub fn raise_open_file_limit() {}

/// The kernel: the system does not tell its version to every program.
pub fn kernel() -> Option<Kernel> {
    None
}

/// Whether a file lies on a file system that is mounted read-only: not asked.
pub fn is_mounted_read_only(_file: &File) -> bool {
    false
}

/// User and system time of this process.
pub(super) fn processor_time() -> Duration {
    Duration::from_nanos(call::processor_time().saturating_mul(100))
}

/// Whether an error says that a call or a flag does not exist here.
pub fn is_unsupported(error: &io::Error) -> bool {
    const LIST: [WIN32_ERROR; 4] = [
        ERROR_INVALID_FUNCTION,
        ERROR_NOT_SUPPORTED,
        ERROR_INVALID_PARAMETER,
        ERROR_CALL_NOT_IMPLEMENTED,
    ];
    error.kind() == io::ErrorKind::Unsupported || LIST.iter().any(|&code| is(error, code))
}

/// Whether an error says that a call is kept from this process, or does not exist here.
pub fn is_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied || is_unsupported(error)
}

/// Whether an error of a read says that there is nothing to read from any more:
/// no bad sector has one of these.
pub fn is_gone(error: &io::Error) -> bool {
    const LIST: [WIN32_ERROR; 8] = [
        ERROR_BAD_NETPATH,
        ERROR_DEV_NOT_EXIST,
        ERROR_DEVICE_NOT_CONNECTED,
        ERROR_DEVICE_REMOVED,
        ERROR_NETNAME_DELETED,
        ERROR_NO_MEDIA_IN_DRIVE,
        ERROR_NO_SUCH_DEVICE,
        ERROR_NOT_READY,
    ];
    LIST.iter().any(|&code| is(error, code))
}

/// Whether somebody holds the device at `path` for a moment: not known here.
pub fn is_held_for_a_moment(_path: &Path) -> bool {
    false
}

/// How it is known that what is open as `file` is not there any more: here, the
/// errors of reads say so.
pub fn why_gone(_file: &File, _size: Option<u64>) -> Option<String> {
    None
}

/// Whether `error` is the error `code` of Windows.
fn is(error: &io::Error, code: WIN32_ERROR) -> bool {
    error.raw_os_error() == Some(code.cast_signed())
}
