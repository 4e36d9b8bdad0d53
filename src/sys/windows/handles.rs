//! A handle for every request that runs.
//!
//! Windows lets the requests of one ordinary handle run one after the other:
//! workers that share it wait for each other. Each request therefore takes a
//! handle of its own from a pool, which grows to the number of workers.

use std::fs::File;

use crossbeam::queue::SegQueue;
use windows_sys::Win32::Foundation::{GENERIC_READ, GENERIC_WRITE};
use windows_sys::Win32::Storage::FileSystem::{FILE_FLAG_NO_BUFFERING, FILE_FLAG_SEQUENTIAL_SCAN};

use super::{call, device};

/// The handles of a file that is read and written at positions.
pub struct Handles {
    is_device: bool,
    /// FILE_FLAG_... of every further handle.
    flags: u32,
    readers: SegQueue<File>,
    writers: SegQueue<File>,
}

impl Handles {
    /// Of a regular file.
    pub fn of_file() -> Handles {
        Handles {
            is_device: false,
            flags: FILE_FLAG_SEQUENTIAL_SCAN,
            readers: SegQueue::new(),
            writers: SegQueue::new(),
        }
    }

    /// Of a file that is read and written past the cache of the system.
    pub fn unbuffered() -> Handles {
        Handles { flags: FILE_FLAG_NO_BUFFERING, ..Handles::of_file() }
    }

    /// Of a disk or volume.
    pub fn of_device() -> Handles {
        Handles { is_device: true, flags: 0, ..Handles::of_file() }
    }

    /// Runs `request` with a handle for reading.
    pub fn reading<T>(&self, file: &File, request: impl FnOnce(&File) -> T) -> T {
        self.run(&self.readers, GENERIC_READ, file, request)
    }

    /// Runs `request` with a handle for reading and writing.
    pub fn writing<T>(&self, file: &File, request: impl FnOnce(&File) -> T) -> T {
        if self.is_device {
            // The handle that holds the lock of a volume is the one that may write to it.
            return request(file);
        }
        self.run(&self.writers, GENERIC_READ | GENERIC_WRITE, file, request)
    }

    fn run<T>(
        &self,
        pool: &SegQueue<File>,
        access: u32,
        file: &File,
        request: impl FnOnce(&File) -> T,
    ) -> T {
        let Some(handle) = pool.pop().or_else(|| self.another(file, access)) else {
            // What cannot be opened twice is used by one at a time.
            return request(file);
        };
        let result = request(&handle);
        pool.push(handle);
        result
    }

    fn another(&self, file: &File, access: u32) -> Option<File> {
        let handle = call::reopen(file, access, self.flags).ok()?;
        if self.is_device {
            device::allow_last_sectors(&handle);
        }
        Some(handle)
    }
}
