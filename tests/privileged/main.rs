//! What needs root: real block devices, mounts and bad sectors. Where one of
//! the tools is missing, or root is, a test says so in a line
//! `skipped: NAME: reason` and passes; `scripts/test` counts those lines.
//!
//! Whatever is attached or mounted is taken down by the guards of `devices`
//! and `disks`, also when an assertion fails.

#[cfg(target_os = "linux")]
#[path = "../suite/book.rs"]
mod book;
#[cfg(target_os = "linux")]
#[path = "../suite/common.rs"]
mod common;
#[cfg(target_os = "linux")]
mod devices;
#[cfg(target_os = "linux")]
mod disks;
#[cfg(target_os = "linux")]
#[path = "../suite/folders/seen.rs"]
mod seen;
#[cfg(all(target_os = "linux", feature = "s3"))]
#[path = "../suite/server.rs"]
#[allow(dead_code)]
mod server;

#[cfg(target_os = "linux")]
mod bad_sectors;
#[cfg(target_os = "linux")]
mod badblocks;
#[cfg(target_os = "linux")]
mod batch;
#[cfg(target_os = "linux")]
mod bench;
#[cfg(target_os = "linux")]
mod block;
#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod claims;
#[cfg(target_os = "linux")]
mod engines;
#[cfg(target_os = "linux")]
mod every_oddity;
#[cfg(target_os = "linux")]
mod evidence;
#[cfg(target_os = "linux")]
mod fallbacks;
#[cfg(target_os = "linux")]
mod file_systems;
#[cfg(target_os = "linux")]
mod flush;
#[cfg(target_os = "linux")]
mod folders;
#[cfg(target_os = "linux")]
mod grows;
#[cfg(target_os = "linux")]
mod hints;
#[cfg(target_os = "linux")]
mod images;
#[cfg(target_os = "linux")]
mod in_use;
#[cfg(target_os = "linux")]
mod leftovers;
#[cfg(target_os = "linux")]
mod listing;
#[cfg(target_os = "linux")]
mod medium;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(target_os = "linux")]
mod mounts;
#[cfg(target_os = "linux")]
mod nospace;
#[cfg(target_os = "linux")]
mod numbers;
#[cfg(target_os = "linux")]
mod odd;
#[cfg(target_os = "linux")]
mod only_changed;
#[cfg(target_os = "linux")]
mod onto;
#[cfg(target_os = "linux")]
mod partitions;
#[cfg(target_os = "linux")]
mod powercut;
#[cfg(target_os = "linux")]
mod pulled;
#[cfg(target_os = "linux")]
mod recipes;
#[cfg(target_os = "linux")]
mod refused;
#[cfg(target_os = "linux")]
mod streams;
#[cfg(all(target_os = "linux", feature = "s3"))]
mod uploads;
