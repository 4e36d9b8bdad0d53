//! The memory of the command: where there is no more, it says so and ends.
//!
//! A library cannot decide that, so this is compiled into the command alone.
//! What grows with a wish (buffers, threads) does not come from here and may
//! be refused; everything else is small, or as large as a list that was given.
//! Without memory nothing can be tidied up: what was written is left as it is
//! when a process is killed, which the next run knows how to deal with.

use std::alloc::{GlobalAlloc, Layout, System};

/// The memory of the system, which never fails to those who ask.
pub struct Memory;

// SAFETY: all memory is that of `System`, under the same layouts.
unsafe impl GlobalAlloc for Memory {
    // SAFETY: the caller keeps the promises of `GlobalAlloc`; they are passed on.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as promised to us.
        had(unsafe { System.alloc(layout) })
    }

    // SAFETY: the caller keeps the promises of `GlobalAlloc`; they are passed on.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as promised to us.
        had(unsafe { System.alloc_zeroed(layout) })
    }

    // SAFETY: the caller keeps the promises of `GlobalAlloc`; they are passed on.
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as promised to us.
        had(unsafe { System.realloc(memory, layout, size) })
    }

    // SAFETY: the caller keeps the promises of `GlobalAlloc`; they are passed on.
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as promised to us.
        unsafe { System.dealloc(memory, layout) }
    }
}

fn had(memory: *mut u8) -> *mut u8 {
    if memory.is_null() {
        give_up();
    }
    memory
}

/// Without the usual printing and unwinding, which ask for memory themselves.
#[cold]
#[cfg(unix)]
fn give_up() {
    /// Exit code of a job that failed.
    const FAILED: i32 = 5;
    const NOTICE: &[u8] = b"pcopy: error: out of memory\n";
    // SAFETY: both calls may be made at any moment, and the text is as long as is said.
    unsafe {
        libc::write(2, NOTICE.as_ptr().cast(), NOTICE.len());
        libc::_exit(FAILED);
    }
}

/// What std does then is all there is.
#[cold]
#[cfg(not(unix))]
fn give_up() {}

/// Keeps the allocator from setting address space aside for each thread where
/// that is limited: 64 MiB a thread would be all of it.
pub fn spare_address_space() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if pcopy::sys::address_space_left().is_some() {
        // SAFETY: sets a number of the allocator, and nothing else.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    }
}
