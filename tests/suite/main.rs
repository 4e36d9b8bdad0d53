//! What the command promises, tested on the real program and real files. A
//! module is one promise; a new one is one line here.
//!
//! Nothing here needs root. What cannot run where it is run says so in a line
//! `skipped: NAME: reason`, which `scripts/test` counts.

mod common;
#[cfg(feature = "http")]
mod server;
#[cfg(feature = "http")]
#[allow(dead_code, reason = "not every system has all services")]
mod services;

mod also;
mod any_options;
#[cfg(target_os = "linux")]
mod at_once;
#[cfg(target_os = "linux")]
mod attack;
mod batch;
mod bench;
#[cfg(unix)]
mod book;
mod changed;
mod cli;
#[cfg(target_os = "linux")]
mod confined;
#[cfg(windows)]
mod console;
mod copy;
#[cfg(target_os = "linux")]
mod crash;
#[cfg(target_os = "linux")]
mod crash_states;
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
mod evidence;
#[cfg(target_os = "linux")]
mod faults;
#[cfg(target_os = "linux")]
mod folders;
#[cfg(target_os = "linux")]
mod gone;
#[cfg(target_os = "linux")]
mod hints;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
mod http_batch;
#[cfg(all(unix, feature = "http"))]
mod http_killed;
#[cfg(all(target_os = "linux", feature = "http"))]
mod http_nginx;
#[cfg(feature = "http")]
mod http_others;
#[cfg(feature = "http")]
mod http_pieces;
#[cfg(feature = "http")]
mod http_random;
#[cfg(feature = "http")]
mod http_resumed;
#[cfg(feature = "http")]
mod http_secrets;
#[cfg(all(unix, feature = "http"))]
mod http_signed;
#[cfg(all(feature = "http", feature = "s3"))]
mod http_stated;
#[cfg(feature = "http")]
mod http_whole;
#[cfg(target_os = "linux")]
mod imports;
mod in_place;
#[cfg(target_os = "linux")]
mod inject;
mod inputs;
#[cfg(unix)]
mod interrupt;
#[cfg(unix)]
mod jobs;
#[cfg(unix)]
mod jobs_files;
#[cfg(all(unix, feature = "http"))]
mod jobs_http;
#[cfg(target_os = "linux")]
mod jobs_killed;
#[cfg(all(unix, feature = "s3"))]
mod jobs_s3;
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
mod option_pairs;
mod patch;
mod pictures;
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
#[cfg(feature = "s3")]
mod s3;
#[cfg(feature = "s3")]
mod s3_answers;
#[cfg(feature = "s3")]
mod s3_batch;
#[cfg(feature = "s3")]
mod s3_headers;
#[cfg(all(unix, feature = "s3"))]
mod s3_killed;
#[cfg(feature = "s3")]
mod s3_odd;
#[cfg(feature = "s3")]
mod s3_services;
#[cfg(feature = "s3")]
mod s3_upload;
mod safety;
#[cfg(unix)]
mod same_bytes;
#[cfg(target_os = "linux")]
mod sandbox;
mod schema;
#[cfg(target_os = "linux")]
mod shared_folder;
#[cfg(target_os = "linux")]
mod side_files;
mod simulation;
mod small_worlds;
#[cfg(target_os = "linux")]
mod space;
mod split;
mod split_stream;
mod stream;
#[cfg(target_os = "linux")]
mod terminal;
#[cfg(target_os = "linux")]
mod told;
mod verify;
#[cfg(windows)]
mod volume;
