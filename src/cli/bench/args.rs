//! The arguments of `pcopy bench`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use pcopy::address;
use pcopy::bench::runner::DEFAULT_BYTES;
use pcopy::size::parse_bytes;
use pcopy::{RangeSpec, Threads};

use crate::cli::args::OutputArgs;
use crate::cli::remote::ServerArgs;

/// Measure which engine, threads and request size suit this storage best
///
/// Copies the same bytes with every combination, in interleaved rounds of
/// which the first is discarded, and recommends the options that were fastest
/// with the fewest threads. The copies are removed.
#[derive(Args, Debug)]
#[command(after_help = crate::cli::pages::help_end("bench"))]
pub struct BenchArgs {
    /// What to read: a file, disk image, block device or https://SERVER/OBJECT; zero: for the write
    /// limit
    #[arg(value_name = "SOURCE")]
    pub source: PathBuf,

    /// Where to write: a file that does not exist yet, a block device, or null:
    /// for the read limit
    #[arg(value_name = "DEST", default_value = "null:")]
    pub destination: PathBuf,

    /// Which part of SOURCE [default: its beginning]
    #[arg(short, long, value_name = "RANGE", allow_hyphen_values = true)]
    pub range: Option<RangeSpec>,

    /// Copy at most this many bytes in one run [default: 1GiB; 64MiB from a server]
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub size: Option<u64>,

    /// Thread counts to try, comma-separated; with a server, requests in flight [default:
    /// 1,2,4,8,16,32,auto; 1,4,16,auto with a server]
    #[arg(short, long, alias = "connections", value_name = "N,..", value_delimiter = ',')]
    pub threads: Vec<Threads>,

    /// Request sizes to try, comma-separated [default: 256KiB,1MiB; 1MiB,4MiB with a server]
    #[arg(long, value_name = "SIZE,..", value_delimiter = ',')]
    pub io_size: Vec<IoSizeArg>,

    /// Engines to try, comma-separated [default: all that can serve]
    #[arg(long, value_name = "ENGINE,..", value_delimiter = ',')]
    pub engine: Vec<String>,

    /// Whether SOURCE is in the page cache when a run starts
    #[arg(long, value_name = "STATE", default_value = "cold")]
    pub cache: CacheArg,

    /// Rounds to measure, after one warm-up round
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,

    /// Write to a block device. Its content is lost
    #[arg(long)]
    pub to_device: bool,

    /// Do not wait for the disk
    #[arg(long)]
    pub no_sync: bool,

    /// Write a chart of throughput over threads
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,

    /// Write a page in one file: the chart, a table of every setting, what to use
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    #[command(flatten)]
    pub server: ServerArgs,

    #[command(flatten)]
    pub output: OutputArgs,
}

impl BenchArgs {
    /// Whether a server hands out what is read.
    pub fn is_far(&self) -> bool {
        address::scheme(&self.source).is_some()
    }

    /// Most bytes of a run.
    pub fn size(&self) -> u64 {
        self.size.unwrap_or(if self.is_far() { 64 << 20 } else { DEFAULT_BYTES })
    }

    /// Numbers of threads to try.
    pub fn threads(&self) -> Vec<Threads> {
        let unasked: &[usize] = if self.is_far() { &[1, 4, 16] } else { &[1, 2, 4, 8, 16, 32] };
        match self.threads.is_empty() {
            true => unasked.iter().map(|&n| n.into()).chain([Threads::Auto]).collect(),
            false => self.threads.clone(),
        }
    }

    /// Sizes of requests to try.
    pub fn io_sizes(&self) -> Vec<Option<u64>> {
        let unasked = if self.is_far() { [1 << 20, 4 << 20] } else { [256 << 10, 1 << 20] };
        match self.io_size.is_empty() {
            true => unasked.map(Some).to_vec(),
            false => self.io_size.iter().map(|size| size.0).collect(),
        }
    }
}

/// One of `--io-size`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IoSizeArg(pub Option<u64>);

impl FromStr for IoSizeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<IoSizeArg, String> {
        if text == "auto" {
            Ok(IoSizeArg(None))
        } else {
            bytes(text).map(|size| IoSizeArg(Some(size)))
        }
    }
}

/// `--cache`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum CacheArg {
    /// Dropped before every run.
    Cold,
    /// Read before every run.
    Warm,
}

fn bytes(text: &str) -> Result<u64, String> {
    match parse_bytes(text) {
        Ok(0) => Err("nothing would be measured".to_owned()),
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(error.to_string()),
    }
}
