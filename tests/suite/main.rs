//! What the command promises, tested on the real program and real files. A
//! module is one promise; a new one is one line here.
//!
//! Nothing here needs root. What cannot run where it is run says so in a line
//! `skipped: NAME: reason`, which `scripts/test` counts.

mod common;
#[cfg(feature = "http")]
mod server;

mod also;
mod any_options;
#[cfg(target_os = "linux")]
mod attack;
mod batch;
mod bench;
#[cfg(unix)]
mod book;
mod changed;
mod cli;
#[cfg(windows)]
mod console;
mod copy;
#[cfg(target_os = "linux")]
mod crash;
#[cfg(target_os = "linux")]
mod ddrescue;
mod digest;
#[cfg(target_os = "linux")]
mod docs;
mod documents;
#[cfg(target_os = "linux")]
mod ends;
mod engine_sizes;
mod engines;
#[cfg(target_os = "linux")]
mod faults;
#[cfg(target_os = "linux")]
mod gone;
#[cfg(target_os = "linux")]
mod hints;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
mod http_random;
#[cfg(target_os = "linux")]
mod imports;
mod in_place;
#[cfg(target_os = "linux")]
mod inject;
#[cfg(unix)]
mod interrupt;
#[cfg(target_os = "linux")]
mod leftovers;
#[cfg(target_os = "linux")]
mod limits;
mod lists;
#[cfg(unix)]
mod map_file;
#[cfg(target_os = "linux")]
mod meanwhile;
#[cfg(unix)]
mod mode;
mod names;
mod only_changed;
mod patch;
#[cfg(target_os = "linux")]
mod pieces;
#[cfg(unix)]
mod pipes;
#[cfg(unix)]
mod preserve;
mod property;
mod range;
mod rate;
#[cfg(unix)]
mod recipes;
#[cfg(target_os = "linux")]
mod repair;
mod report;
mod resume;
mod roles;
mod rules;
mod safety;
#[cfg(unix)]
mod same_bytes;
#[cfg(target_os = "linux")]
mod sandbox;
#[cfg(target_os = "linux")]
mod shared_folder;
#[cfg(target_os = "linux")]
mod side_files;
mod simulation;
#[cfg(target_os = "linux")]
mod space;
mod split;
mod stream;
#[cfg(target_os = "linux")]
mod told;
mod verify;
#[cfg(windows)]
mod volume;
