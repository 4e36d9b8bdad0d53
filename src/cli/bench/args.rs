//! The arguments of `pcopy bench`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use pcopy::size::parse_bytes;
use pcopy::{RangeSpec, Threads};

use crate::cli::args::OutputArgs;

/// Measure which engine, threads and request size suit this storage best
///
/// Copies the same bytes with every combination, in interleaved rounds of
/// which the first is discarded, and recommends the options that were fastest
/// with the fewest threads. The copies are removed.
#[derive(Args, Debug)]
pub struct BenchArgs {
    /// What to read: a file, disk image or block device; zero: for the write limit
    #[arg(value_name = "SOURCE")]
    pub source: PathBuf,

    /// Where to write: a file that does not exist yet, a block device, or null:
    /// for the read limit
    #[arg(value_name = "DEST", default_value = "null:")]
    pub destination: PathBuf,

    /// Which part of SOURCE [default: its beginning]
    #[arg(short, long, value_name = "RANGE", allow_hyphen_values = true)]
    pub range: Option<RangeSpec>,

    /// Most bytes to copy in one run
    #[arg(long, value_name = "SIZE", value_parser = bytes, default_value = "1GiB")]
    pub size: u64,

    /// Numbers of threads to try, comma-separated
    #[arg(short, long, value_name = "N,..", value_delimiter = ',')]
    #[arg(default_value = "1,2,4,8,16,auto")]
    pub threads: Vec<Threads>,

    /// Request sizes to try, comma-separated
    #[arg(long, value_name = "SIZE,..", value_delimiter = ',', default_value = "256KiB,1MiB")]
    pub io_size: Vec<IoSizeArg>,

    /// Engines to try, comma-separated [default: all that can serve]
    #[arg(long, value_name = "ENGINE,..", value_delimiter = ',')]
    pub engine: Vec<String>,

    /// Whether SOURCE is in the page cache when a run starts
    #[arg(long, value_name = "STATE", default_value = "cold")]
    pub cache: CacheArg,

    /// Rounds that count
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,

    /// Write to a block device. What is on it is lost
    #[arg(long)]
    pub to_device: bool,

    /// Do not wait for the disk
    #[arg(long)]
    pub no_sync: bool,

    /// Write a chart of throughput over threads
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,

    #[command(flatten)]
    pub output: OutputArgs,
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
