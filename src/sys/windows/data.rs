//! What moves, shares and reserves the bytes of files, as far as Windows has
//! such calls.

use std::fs::File;
use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle};

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_NOT_SAME_DEVICE, ERROR_SHARING_VIOLATION, GENERIC_READ,
    GENERIC_WRITE,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_NO_BUFFERING, FILE_STORAGE_INFO, FileStorageInfo,
};
use windows_sys::Win32::System::Ioctl::{DUPLICATE_EXTENTS_DATA, FSCTL_DUPLICATE_EXTENTS_TO_FILE};

use super::super::{DirectAlignment, FileSystem, FileSystemKind, PositionedFile};
use super::handles::Handles;
use super::{call, device, is, is_unsupported};
use crate::range::ByteRange;

/// The file system that `file`, which may be a directory, lies on.
pub fn file_system(file: impl AsHandle) -> io::Result<FileSystem> {
    let name = call::file_system_name(file.as_handle())?;
    Ok(match name.to_str() {
        // Clusters of 4 or 64 KiB: what fits the larger fits both.
        Some("ReFS") => FileSystem { kind: FileSystemKind::Other, block: 64 << 10, id: None },
        _ => FileSystem { kind: FileSystemKind::Ntfs, block: 4096, id: None },
    })
}

/// Whether the disk that a file system lies on spins.
pub fn is_rotational(volume: u64, _file_system: Option<FileSystem>) -> Option<bool> {
    device::is_rotational(volume)
}

/// What the system wants of requests past its cache: whole sectors, in memory
/// too. `None` where neither the device nor the file system says how large they
/// are; what suits every disk is known to the caller.
pub fn direct_alignment(file: &File) -> io::Result<Option<DirectAlignment>> {
    let of_file_system = || {
        let answer: FILE_STORAGE_INFO = call::information(file, FileStorageInfo).ok()?;
        Some(answer.LogicalBytesPerSector)
    };
    let sector = device::logical_sector(file).or_else(of_file_system);
    Ok(sector.and_then(whole_sectors))
}

/// Alignment to sectors of `sector` bytes; `None` for an answer that makes no sense.
fn whole_sectors(sector: u32) -> Option<DirectAlignment> {
    let sensible = sector.is_power_of_two() && (512..=1 << 16).contains(&sector);
    let sector = u64::from(sector);
    sensible.then_some(DirectAlignment { memory: sector, offset: sector })
}

/// Further handles of an open file, for requests past the cache.
pub fn reopen_direct(file: &File, writable: bool) -> io::Result<PositionedFile> {
    let access = if writable { GENERIC_READ | GENERIC_WRITE } else { GENERIC_READ };
    let again = call::reopen(file, access, FILE_FLAG_NO_BUFFERING)?;
    device::allow_last_sectors(&again);
    Ok(PositionedFile::with_handles(again, Handles::unbuffered()))
}

/// Makes `to` share the storage of `range` of `from`, from `to_at` on: on ReFS.
pub fn share_range(from: &File, range: ByteRange, to: &File, to_at: u64) -> io::Result<()> {
    /// The call takes less than 4 GiB at a time.
    const LONGEST: u64 = 1 << 30;
    for piece in range.pieces(LONGEST) {
        let target = to_at + (piece.start() - range.start());
        let request = DUPLICATE_EXTENTS_DATA {
            FileHandle: from.as_raw_handle(),
            SourceFileOffset: piece.start().cast_signed(),
            TargetFileOffset: target.cast_signed(),
            ByteCount: piece.len().cast_signed(),
        };
        call::tell(to, FSCTL_DUPLICATE_EXTENTS_TO_FILE, &request)?;
    }
    Ok(())
}

/// Whether an error says that ordinary reads and writes may still do.
pub fn is_not_offered(error: &io::Error) -> bool {
    /// Too many files share a piece of storage already.
    const ERROR_BLOCK_TOO_MANY_REFERENCES: u32 = 347;
    let list = [
        ERROR_NOT_SAME_DEVICE,
        ERROR_BLOCK_TOO_MANY_REFERENCES,
        ERROR_ACCESS_DENIED,
        ERROR_SHARING_VIOLATION,
    ];
    is_unsupported(error) || list.iter().any(|&code| is(error, code))
}

/// Reserves storage for a file that is long enough already: all of it, because
/// what Windows is told is the storage of the whole file.
pub fn reserve(file: &File, range: ByteRange) -> io::Result<()> {
    let storage = call::file_size(file)?.max(range.end());
    call::set_allocation(file, storage)
}

/// Bytes of memory that could be had without swapping.
pub fn available_memory() -> Option<u64> {
    call::available_memory()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sectors_that_exist_are_believed() {
        let aligned = |sector| Some(DirectAlignment { memory: sector, offset: sector });
        assert_eq!(whole_sectors(512), aligned(512));
        assert_eq!(whole_sectors(4096), aligned(4096));
        for nonsense in [0, 1, 256, 520, 1 << 17, u32::MAX] {
            assert_eq!(whole_sectors(nonsense), None, "{nonsense}");
        }
    }
}
