//! The calls of Windows, with types.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::os::windows::io::{AsRawHandle, BorrowedHandle, FromRawHandle};
use std::path::Path;
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::{ERROR_MORE_DATA, HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::Storage::FileSystem as fs;
use windows_sys::Win32::System::IO::{DeviceIoControl, OVERLAPPED};

/// `text` as Windows wants it: UTF-16 with a zero at the end.
pub fn wide(text: &OsStr) -> Vec<u16> {
    text.encode_wide().chain([0]).collect()
}

/// The text up to the first zero.
pub fn from_wide(wide: &[u16]) -> OsString {
    let end = wide.iter().position(|&unit| unit == 0).unwrap_or(wide.len());
    OsString::from_wide(&wide[..end])
}

/// The error of the call just made, if `result` says that it failed.
fn check(result: i32) -> io::Result<()> {
    if result == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Bytes as a length of Windows; every structure and buffer here is small.
fn length<T>() -> u32 {
    size_of::<T>() as u32
}

/// A plain structure of Windows: any bytes are a valid value of it.
///
/// # Safety
///
/// Only for types made of numbers and arrays of numbers.
pub unsafe trait Plain {}

macro_rules! plain {
    ($($name:ty),* $(,)?) => {
        // SAFETY: structures of the Windows headers that hold numbers alone.
        $(unsafe impl Plain for $name {})*
    };
}

use windows_sys::Win32::System::Ioctl as ioctl;
plain!(
    u8,
    fs::FILE_BASIC_INFO,
    fs::FILE_ID_INFO,
    fs::FILE_STORAGE_INFO,
    fs::BY_HANDLE_FILE_INFORMATION,
    ioctl::GET_LENGTH_INFORMATION,
    ioctl::STORAGE_DEVICE_NUMBER,
    ioctl::STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR,
    ioctl::DISK_GEOMETRY,
    ioctl::FILE_ALLOCATED_RANGE_BUFFER,
);
/// A flag that Windows stores as a byte: [`SeekPenalty`] in place of the
/// binding's `bool`, for which not any byte would do.
#[repr(C)]
pub struct SeekPenalty {
    pub version: u32,
    pub size: u32,
    pub incurs: u8,
}
/// `FILE_STANDARD_INFO` with its flags as bytes, for the same reason.
#[repr(C)]
pub struct Standard {
    pub allocation_size: i64,
    pub end_of_file: i64,
    pub links: u32,
    pub delete_pending: u8,
    pub directory: u8,
}
plain!(SeekPenalty, Standard);

/// Sends the request `code` with `input` and gives the answer, a `T`.
pub fn ask<I, T: Plain>(file: &File, code: u32, input: &I) -> io::Result<T> {
    let mut answer = MaybeUninit::<T>::zeroed();
    let mut got = 0;
    // SAFETY: both pointers are to memory of the lengths given, alive during
    // the call, which is synchronous: the handle was not opened for overlapped use.
    let result = unsafe {
        DeviceIoControl(
            file.as_raw_handle(),
            code,
            (&raw const *input).cast(),
            length::<I>(),
            answer.as_mut_ptr().cast(),
            length::<T>(),
            &raw mut got,
            null_mut(),
        )
    };
    match check(result) {
        // The first of a list: the rest was not asked for.
        Err(error) if !super::is(&error, ERROR_MORE_DATA) => return Err(error),
        _ => {}
    }
    if got == 0 && length::<T>() > 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // SAFETY: zeroed before the call, and `Plain`: any bytes are a `T`.
    Ok(unsafe { answer.assume_init() })
}

/// Sends the request `code` with `input` and gives the bytes of the answer.
pub fn ask_bytes<I>(file: &File, code: u32, input: &I, room: usize) -> io::Result<Vec<u8>> {
    let mut answer = vec![0; room];
    let mut got = 0;
    // SAFETY: as above; the answer has `room` bytes.
    let result = unsafe {
        DeviceIoControl(
            file.as_raw_handle(),
            code,
            (&raw const *input).cast(),
            length::<I>(),
            answer.as_mut_ptr().cast(),
            room as u32,
            &raw mut got,
            null_mut(),
        )
    };
    check(result)?;
    answer.truncate(got as usize);
    Ok(answer)
}

/// Sends the request `code`, which answers nothing.
pub fn tell<I>(file: &File, code: u32, input: &I) -> io::Result<()> {
    ask_bytes(file, code, input, 0).map(drop)
}

/// What the file system keeps on an open file.
pub fn information<T: Plain>(file: &File, class: fs::FILE_INFO_BY_HANDLE_CLASS) -> io::Result<T> {
    let mut answer = MaybeUninit::<T>::zeroed();
    // SAFETY: the class says which structure is stored; callers name both.
    // A structure that is longer than `T` is refused because of the length.
    let result = unsafe {
        fs::GetFileInformationByHandleEx(
            file.as_raw_handle(),
            class,
            answer.as_mut_ptr().cast(),
            length::<T>(),
        )
    };
    check(result)?;
    // SAFETY: zeroed before the call, and `Plain`.
    Ok(unsafe { answer.assume_init() })
}

/// The older form, which every file system answers.
pub fn old_information(file: &File) -> io::Result<fs::BY_HANDLE_FILE_INFORMATION> {
    let mut answer = MaybeUninit::zeroed();
    // SAFETY: the call stores this structure.
    check(unsafe { fs::GetFileInformationByHandle(file.as_raw_handle(), answer.as_mut_ptr()) })?;
    // SAFETY: stored by the call, and made of numbers.
    Ok(unsafe { answer.assume_init() })
}

/// Whether a handle is of a disk, a pipe or a console: FILE_TYPE_...
pub fn kind(file: &File) -> fs::FILE_TYPE {
    // SAFETY: the handle is open for as long as `file` is borrowed.
    unsafe { fs::GetFileType(file.as_raw_handle()) }
}

/// Size of a file, or of an image that stands for a device.
pub fn file_size(file: &File) -> io::Result<u64> {
    let mut size = 0;
    // SAFETY: the call stores one number.
    check(unsafe { fs::GetFileSizeEx(file.as_raw_handle(), &raw mut size) })?;
    Ok(u64::try_from(size).unwrap_or(0))
}

/// A further handle of the same file, with a position and a queue of its own.
pub fn reopen(file: &File, access: u32, flags: u32) -> io::Result<File> {
    let share = fs::FILE_SHARE_READ | fs::FILE_SHARE_WRITE | fs::FILE_SHARE_DELETE;
    // SAFETY: the handle is open for as long as `file` is borrowed.
    let handle = unsafe { fs::ReOpenFile(file.as_raw_handle(), access, share, flags) };
    if handle == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a handle just made, which nobody else has.
    Ok(unsafe { File::from_raw_handle(handle) })
}

/// Locks `len` bytes at `offset` for this handle alone, without waiting.
pub fn lock(file: &File, offset: u64, len: u64) -> io::Result<()> {
    let flags = fs::LOCKFILE_EXCLUSIVE_LOCK | fs::LOCKFILE_FAIL_IMMEDIATELY;
    let mut at = OVERLAPPED::default();
    at.Anonymous.Anonymous.Offset = offset as u32;
    at.Anonymous.Anonymous.OffsetHigh = (offset >> 32) as u32;
    // SAFETY: the call returns at once and keeps no pointer to `at`.
    check(unsafe {
        fs::LockFileEx(file.as_raw_handle(), flags, 0, len as u32, (len >> 32) as u32, &raw mut at)
    })
}

/// Gives `from` the name `to`, and waits until that is on the disk.
pub fn move_file(from: &Path, to: &Path, replace: bool) -> io::Result<()> {
    let (from, to) = (wide(from.as_os_str()), wide(to.as_os_str()));
    let replace = if replace { fs::MOVEFILE_REPLACE_EXISTING } else { 0 };
    // SAFETY: both names end in a zero and are alive during the call.
    check(unsafe {
        fs::MoveFileExW(from.as_ptr(), to.as_ptr(), fs::MOVEFILE_WRITE_THROUGH | replace)
    })
}

/// Bytes that this user could still write in the directory.
pub fn available_space(directory: &Path) -> io::Result<u64> {
    let name = wide(directory.as_os_str());
    let mut available = 0;
    // SAFETY: the name ends in a zero; the call stores one number, as the other two are not asked for.
    check(unsafe {
        fs::GetDiskFreeSpaceExW(name.as_ptr(), &raw mut available, null_mut(), null_mut())
    })?;
    Ok(available)
}

/// Name of the file system (`NTFS`) that an open file lies on.
pub fn file_system_name(file: BorrowedHandle<'_>) -> io::Result<OsString> {
    let mut name = [0; 64];
    // SAFETY: the buffer has the length given, and what is not asked for is null.
    check(unsafe {
        fs::GetVolumeInformationByHandleW(
            file.as_raw_handle(),
            null_mut(),
            0,
            null_mut(),
            null_mut(),
            null_mut(),
            name.as_mut_ptr(),
            name.len() as u32,
        )
    })?;
    Ok(from_wide(&name))
}

/// Reserves `bytes` for a file that is no longer than that.
pub fn set_allocation(file: &File, bytes: u64) -> io::Result<()> {
    let request = fs::FILE_ALLOCATION_INFO { AllocationSize: bytes.cast_signed() };
    // SAFETY: the class says that this structure is read.
    check(unsafe {
        fs::SetFileInformationByHandle(
            file.as_raw_handle(),
            fs::FileAllocationInfo,
            (&raw const request).cast(),
            length::<fs::FILE_ALLOCATION_INFO>(),
        )
    })
}

/// Bytes of memory that could be had without swapping.
pub fn available_memory() -> Option<u64> {
    use windows_sys::Win32::System::SystemInformation::{GlobalMemoryStatusEx, MEMORYSTATUSEX};
    let mut status = MEMORYSTATUSEX { dwLength: length::<MEMORYSTATUSEX>(), ..Default::default() };
    // SAFETY: the call stores this structure, whose length it has been told.
    check(unsafe { GlobalMemoryStatusEx(&raw mut status) }).ok()?;
    Some(status.ullAvailPhys)
}

/// Processor time of this process so far, in units of 100 ns.
pub fn processor_time() -> u64 {
    use windows_sys::Win32::Foundation::FILETIME;
    use windows_sys::Win32::System::Threading::{GetCurrentProcess, GetProcessTimes};
    let mut times = [FILETIME::default(); 4];
    let [created, ended, kernel, user] = &mut times;
    // SAFETY: the handle always is of this process; the call stores four numbers.
    let result =
        check(unsafe { GetProcessTimes(GetCurrentProcess(), created, ended, kernel, user) });
    let units =
        |time: &FILETIME| u64::from(time.dwHighDateTime) << 32 | u64::from(time.dwLowDateTime);
    result.map_or(0, |()| units(&times[2]) + units(&times[3]))
}

/// Name and serial number of the file system at the root `root` (`X:\`).
pub fn volume_information(root: &OsStr) -> io::Result<(OsString, u32)> {
    let root = wide(root);
    let mut serial = 0;
    let mut name = [0; 64];
    // SAFETY: the name ends in a zero; the buffer has the length given, and
    // what is not asked for is null.
    check(unsafe {
        fs::GetVolumeInformationW(
            root.as_ptr(),
            null_mut(),
            0,
            &raw mut serial,
            null_mut(),
            null_mut(),
            name.as_mut_ptr(),
            name.len() as u32,
        )
    })?;
    Ok((from_wide(&name), serial))
}

/// The volumes of the system, as `\\?\Volume{...}\`.
pub fn volumes() -> io::Result<Vec<OsString>> {
    let mut name = [0; 64];
    // SAFETY: the buffer has the length given.
    let search: HANDLE = unsafe { fs::FindFirstVolumeW(name.as_mut_ptr(), name.len() as u32) };
    if search == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    let mut found = vec![from_wide(&name)];
    // SAFETY: the search is open; the buffer has the length given.
    while unsafe { fs::FindNextVolumeW(search, name.as_mut_ptr(), name.len() as u32) } != 0 {
        found.push(from_wide(&name));
    }
    // SAFETY: the search is open and not used any more.
    unsafe { fs::FindVolumeClose(search) };
    Ok(found)
}

/// Where `volume` (`\\?\Volume{...}\`) can be reached: drive letters and folders.
pub fn mount_points(volume: &OsStr) -> io::Result<Vec<OsString>> {
    let volume = wide(volume);
    let mut names = vec![0; 4096];
    let mut got = 0;
    // SAFETY: the name ends in a zero; the buffer has the length given.
    check(unsafe {
        fs::GetVolumePathNamesForVolumeNameW(
            volume.as_ptr(),
            names.as_mut_ptr(),
            names.len() as u32,
            &raw mut got,
        )
    })?;
    names.truncate(got as usize);
    let parts = names.split(|&unit| unit == 0).filter(|part| !part.is_empty());
    Ok(parts.map(OsString::from_wide).collect())
}

/// The names of all devices that can be opened as `\\.\NAME`.
pub fn device_names() -> io::Result<Vec<OsString>> {
    let mut names: Vec<u16> = vec![0; 1 << 16];
    loop {
        // SAFETY: null asks for all names; the buffer has the length given.
        let got = unsafe { fs::QueryDosDeviceW(null(), names.as_mut_ptr(), names.len() as u32) };
        if got > 0 {
            names.truncate(got as usize);
            break;
        }
        let error = io::Error::last_os_error();
        let too_short = windows_sys::Win32::Foundation::ERROR_INSUFFICIENT_BUFFER;
        if !super::is(&error, too_short) || names.len() > 1 << 24 {
            return Err(error);
        }
        names.resize(names.len() * 2, 0);
    }
    let parts = names.split(|&unit| unit == 0).filter(|part| !part.is_empty());
    Ok(parts.map(OsString::from_wide).collect())
}

/// The name of this machine in its network.
pub fn host_name() -> String {
    use windows_sys::Win32::System::SystemInformation::{
        ComputerNamePhysicalDnsHostname, GetComputerNameExW,
    };
    let mut buffer = [0u16; 256];
    let mut len = buffer.len() as u32;
    // SAFETY: the buffer has as many units as `len` says.
    let made = unsafe {
        GetComputerNameExW(ComputerNamePhysicalDnsHostname, buffer.as_mut_ptr(), &mut len)
    };
    match made {
        0 => String::new(),
        _ => from_wide(&buffer).to_string_lossy().into_owned(),
    }
}
