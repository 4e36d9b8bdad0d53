//! The arguments as typed. No I/O here: whether they make sense on this
//! machine is found out later.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use pcopy::digest::{Algorithm, Expectation};
use pcopy::engine::{EngineChoice, Reflink};
use pcopy::pool::RETRIES;
use pcopy::range::RangeSyntaxError;
use pcopy::size::{SizeError, parse_bytes};
use pcopy::sparse::{Preallocate, Sparse};
use pcopy::words::Word;
use pcopy::{Join, OnReadError, RangeSpec, Size, Threads};

use super::batch::BatchArgs;
use super::bench::BenchArgs;
use super::devices::DevicesArgs;
use super::evidence::EvidenceArgs;
use super::fleet::{JobArgs, SharedArgs};
#[cfg(feature = "manual")]
use super::manual::{CompletionsArgs, ManArgs};
use super::map::MapArgs;
use super::pages::{help_end, help_end_of_copy};
use super::patch::PatchArgs;
use super::remote::RemoteArgs;
use super::schema::SchemaArgs;

/// Copies a byte range of a file, disk image or block device with several
/// threads, exactly and durably.
///
/// A new file gets its name when it is complete, on the disk and as expected.
/// An existing DEST is written into only if --in-place or --to-device says so.
/// Ranges that cannot be read are listed, and everything else is copied.
#[derive(Parser, Debug)]
#[command(name = "pcopy", version, max_term_width = 100)]
#[command(after_help = help_end_of_copy())]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(override_usage = "\
pcopy [OPTIONS] SOURCE DEST
       pcopy [OPTIONS] SOURCE... DIRECTORY
       pcopy -R [OPTIONS] SOURCE... DIRECTORY
       pcopy COMMAND [OPTIONS] ...")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,

    #[command(flatten)]
    pub copy: CopyArgs,

    /// Switch the sandbox off. On Linux, Landlock keeps the process from making and writing files
    /// outside the folders of its destinations
    #[arg(long, global = true, help_heading = "How")]
    pub no_sandbox: bool,
}

/// Everything but a plain copy. A source of such a name is written `./batch`.
#[derive(Subcommand, Debug)]
pub enum Command {
    Batch(Box<BatchArgs>),
    Bench(Box<BenchArgs>),
    Verify(Box<VerifyArgs>),
    Patch(Box<PatchArgs>),
    Job(JobArgs),
    Devices(DevicesArgs),
    Schema(SchemaArgs),
    Map(MapArgs),
    #[cfg(feature = "manual")]
    Completions(CompletionsArgs),
    #[cfg(feature = "manual")]
    Man(ManArgs),
}

/// A copy of one source.
#[derive(Args, Debug)]
pub struct CopyArgs {
    /// What to copy (a file, disk image, block device, https://SERVER/OBJECT or s3://BUCKET/KEY; a
    /// pipe, or - for standard input; several files to an existing directory), then where to (a
    /// file, a directory, a block device, s3://BUCKET/KEY, or - for standard output)
    #[arg(value_name = "SOURCE... DEST", required = true, num_args = 1..)]
    pub paths: Vec<PathBuf>,

    // Before the groups: what follows one stands under its heading.
    /// Check everything, print the plan, write nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    #[command(flatten)]
    pub folders: FolderArgs,

    #[command(flatten)]
    pub what: WhatArgs,

    #[command(flatten)]
    pub consent: ConsentArgs,

    #[command(flatten)]
    pub resume: ResumeArgs,

    #[command(flatten)]
    pub how: HowArgs,

    #[command(flatten)]
    pub remote: RemoteArgs,

    #[command(flatten)]
    pub shared: SharedArgs,

    #[command(flatten)]
    pub proof: ProofArgs,

    #[command(flatten)]
    pub evidence: EvidenceArgs,

    #[command(flatten)]
    pub output: OutputArgs,
}

/// Folders with what is in them.
#[derive(Args, Clone, Copy, Debug)]
pub struct FolderArgs {
    /// Copy folders with everything in them to an existing directory; symbolic links stay links
    #[arg(short = 'R', long)]
    pub recursive: bool,

    /// With -R: do not enter folders on other file systems
    #[arg(short = 'x', long, requires = "recursive")]
    pub one_file_system: bool,
}

/// Which bytes, and where they go.
#[derive(Args, Debug)]
#[command(next_help_heading = "What")]
pub struct WhatArgs {
    /// Which bytes of SOURCE [default: all]
    #[arg(short, long, value_name = "RANGE", allow_hyphen_values = true, value_parser = range)]
    #[arg(conflicts_with_all = ["offset", "length"])]
    pub range: Option<RangeSpec>,

    /// First byte of SOURCE, dd's skip [default: 0]
    #[arg(long, value_name = "SIZE")]
    pub offset: Option<Size>,

    /// How many bytes, dd's count; of a pipe, how many must come [default: to the end]
    #[arg(long, value_name = "SIZE")]
    pub length: Option<Size>,

    /// Where in DEST the first byte goes, dd's seek
    #[arg(long, value_name = "SIZE", default_value = "0")]
    pub dest_offset: Size,

    /// Take what exists of a range beyond the end of SOURCE instead of refusing it
    #[arg(long)]
    pub clamp: bool,

    /// Read a file that was split as one, if SOURCE is the first piece: NAME.001, NAME.aa
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = words::<Join>())]
    pub join: Join,
}

/// What the user consents to.
#[derive(Args, Debug)]
#[command(next_help_heading = "Destination")]
pub struct ConsentArgs {
    /// A further destination, written from the same read; repeatable
    #[arg(long, value_name = "DEST")]
    pub also: Vec<PathBuf>,

    /// Write DEST.001, DEST.002, and so on, of SIZE each; DEST.001 as a SOURCE joins them again
    #[arg(long, value_name = "SIZE", conflicts_with_all = ["in_place", "to_device", "preserve"])]
    pub split: Option<Size>,

    /// Replace an existing DEST, atomically, when the copy is complete
    #[arg(short, long, conflicts_with = "in_place")]
    pub force: bool,

    /// Carry over owner, extended attributes, mode and times of a whole file; with -R also of
    /// folders and links, and keep hard links
    #[arg(short, long)]
    pub preserve: bool,

    /// Write into an existing DEST, touching no byte outside the range
    #[arg(long)]
    pub in_place: bool,

    /// Write to a block device
    #[arg(long, conflicts_with_all = ["force", "in_place"])]
    pub to_device: bool,

    /// Write only the blocks that differ from what DEST holds, with --in-place or --to-device;
    /// with --dry-run, say how much that would be
    #[arg(long, conflicts_with = "force")]
    pub only_changed: bool,

    /// How long to wait for a device that is briefly locked
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub wait: Duration,

    /// Go ahead even if DEST lies on the device that is being read
    #[arg(long)]
    pub allow_same_device: bool,

    /// Go ahead even if there seems to be less room than the copy takes
    #[arg(long)]
    pub ignore_space: bool,

    /// Write to DEST even if it is mounted as an image, or another program has locked it
    #[arg(long)]
    pub even_if_in_use: bool,

    /// Do not wait for the disk
    #[arg(long)]
    pub no_sync: bool,
}

/// What an interrupted run left.
#[derive(Args, Debug)]
#[command(next_help_heading = "Interruptions")]
pub struct ResumeArgs {
    /// Resume what an interrupted run left
    #[arg(long, conflicts_with = "restart")]
    pub resume: bool,

    /// Discard what an interrupted run left and start from the beginning
    #[arg(long)]
    pub restart: bool,

    /// Resume or discard what was left even if another user owns it or could have written it: that
    /// user may then have decided what is in DEST
    #[arg(long)]
    pub trust_leftovers: bool,

    /// Where the resume map lives [default: DEST.pcopy-map; with --split, DEST.001.pcopy-map; of a
    /// device, NAME.pcopy-map in the working directory]
    #[arg(long, value_name = "FILE")]
    pub map: Option<PathBuf>,

    /// Seconds between checkpoints
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds, hide = true)]
    pub checkpoint_every: Duration,

    /// Complete the copy, or resume it, even if SOURCE has changed
    #[arg(long)]
    pub allow_changed_source: bool,
}

/// How bytes move.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "How")]
pub struct HowArgs {
    /// Workers: a number, or auto
    #[arg(short, long, value_name = "N|auto", default_value = "auto")]
    pub threads: Threads,

    /// Unit of scheduling: a power of two, or auto
    #[arg(long, value_name = "SIZE|auto", default_value = "auto")]
    pub stripe_size: SizeArg,

    /// Size of one read or write: a power of two, or auto
    #[arg(long, value_name = "SIZE|auto", default_value = "auto")]
    pub io_size: SizeArg,

    /// How bytes move; a named engine that cannot be used is an error
    #[arg(long, value_name = "ENGINE", default_value = "auto", value_parser = words::<EngineChoice>())]
    pub engine: EngineChoice,

    /// Whether DEST shares extents with SOURCE
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = words::<Reflink>())]
    pub reflink: Reflink,

    /// Keep the holes of SOURCE, make holes from zeros too, or write every byte
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = words::<Sparse>())]
    pub sparse: Sparse,

    /// Reserve space before writing
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = words::<Preallocate>())]
    pub preallocate: Preallocate,

    /// Leave everything in the page cache, even after a large copy
    #[arg(long)]
    pub keep_cache: bool,

    /// Source ranges that cannot be read: list them and continue, or stop at the first
    #[arg(long, value_name = "POLICY", default_value = "record", value_parser = words::<OnReadError>())]
    pub on_read_error: OnReadError,

    /// Refuse a source that could be written while it is read: a device that is not read-only, a
    /// file whose mode allows writing, anything that is in use
    #[arg(long, help_heading = "Evidence")]
    pub require_read_only: bool,

    /// Retries of a failed read before it is split and recorded
    #[arg(long, value_name = "N", default_value_t = RETRIES)]
    pub retries: u32,

    /// Copy at most SIZE a second
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    pub limit_rate: Option<u64>,
}

/// Digests of a range.
#[derive(Args, Debug)]
#[command(next_help_heading = "Proof")]
pub struct DigestArgs {
    /// Print a digest of the range; repeatable
    #[arg(long, value_name = "ALG", value_parser = words::<Algorithm>())]
    pub digest: Vec<Algorithm>,

    /// Also print a digest of every SIZE bytes of the range [default: of each file of --split]
    #[arg(long, value_name = "SIZE", requires = "digest")]
    pub digest_every: Option<Size>,

    /// Write the digests into FILE instead of standard output
    #[arg(long, value_name = "FILE", requires = "digest")]
    pub digest_file: Option<PathBuf>,

    /// Fail (exit 4, nothing committed) if the digest of the range does not match; repeatable
    #[arg(long, value_name = "ALG:HEX")]
    pub expect: Vec<Expectation>,
}

/// How a copy is proved.
#[derive(Args, Debug)]
#[command(next_help_heading = "Proof")]
pub struct ProofArgs {
    #[command(flatten)]
    pub digests: DigestArgs,

    /// Read DEST back past the page cache and compare; exit 4, nothing committed, if it differs
    #[arg(long, conflicts_with = "no_sync")]
    pub verify: bool,

    /// Copy stripes that differ again, and verify them again
    #[arg(long, requires = "verify")]
    pub repair: bool,

    /// Read SOURCE once more at the end; exit 5, nothing committed, if it is not what was copied,
    /// even if no time of it has moved
    #[arg(long, requires = "verify", conflicts_with = "allow_changed_source")]
    pub check_source: bool,
}

/// Compare DEST with SOURCE, reading DEST past the page cache; print the ranges that differ
#[derive(Args, Debug)]
#[command(after_help = help_end("verify"))]
#[command(override_usage = "\
pcopy verify [OPTIONS] SOURCE DEST
       pcopy verify [OPTIONS] SOURCE... DIRECTORY
       pcopy verify -R [OPTIONS] SOURCE... DIRECTORY")]
pub struct VerifyArgs {
    /// What was copied (a file, disk image, block device or https://SERVER/OBJECT; or several files),
    /// then its copy (the same, or the directory that holds files of the same names)
    #[arg(value_name = "SOURCE... DEST", required = true, num_args = 2..)]
    pub paths: Vec<PathBuf>,

    /// Readers: a number, or auto
    #[arg(short, long, value_name = "N|auto", default_value = "auto")]
    pub threads: Threads,

    /// Leave what is read of a large SOURCE in the page cache
    #[arg(long)]
    pub keep_cache: bool,

    #[command(flatten)]
    pub folders: FolderArgs,

    /// With -R: also compare owners, attributes, modes and times of last change, and which names
    /// are hard links of one file
    #[arg(short, long, requires = "recursive")]
    pub preserve: bool,

    #[command(flatten)]
    pub what: WhatArgs,

    #[command(flatten)]
    pub remote: RemoteArgs,

    #[command(flatten)]
    pub digests: DigestArgs,

    #[command(flatten)]
    pub output: OutputArgs,
}

/// What is shown.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Print the report as one JSON document on standard output
    #[arg(long)]
    pub json: bool,

    /// Progress on standard error; json is one event a line
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub progress: ProgressArg,

    /// Print only errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Say which engine and why, and every fallback
    #[arg(short, long)]
    pub verbose: bool,
}

/// Takes the words of a choice, and lists them in help and completions.
pub fn words<W: Word + Send + Sync>() -> impl TypedValueParser<Value = W> {
    let value = |choice: &W| {
        let about = choice.about().trim().trim_end_matches('.');
        PossibleValue::new(choice.word()).help(about)
    };
    PossibleValuesParser::new(W::ALL.iter().map(value))
        .map(|word| pcopy::words::parse(&word).expect("only known words get past the parser"))
}

/// A size, or what suits best.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SizeArg(pub Option<Size>);

impl std::str::FromStr for SizeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<SizeArg, String> {
        match text {
            "auto" => Ok(SizeArg(None)),
            size => size
                .parse()
                .map(|size| SizeArg(Some(size)))
                .map_err(|error: SizeError| error.to_string()),
        }
    }
}

/// A year: longer than anything is waited for.
const MOST_SECONDS: Duration = Duration::from_secs(365 * 24 * 3600);

pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "must be a number of seconds".to_owned())?;
    let duration = Duration::try_from_secs_f64(seconds).ok();
    duration
        .filter(|duration| *duration <= MOST_SECONDS)
        .ok_or_else(|| format!("must be a number of seconds from 0 to {}", MOST_SECONDS.as_secs()))
}

fn range(text: &str) -> Result<RangeSpec, String> {
    text.parse().map_err(|error: RangeSyntaxError| match Path::new(text).is_dir() {
        // Who knows cp(1) types -r.
        true => format!("{error}\nhint: -R copies a folder with everything in it"),
        false => error.to_string(),
    })
}

fn rate(text: &str) -> Result<u64, String> {
    match parse_bytes(text) {
        Ok(0) => Err("nothing would ever be copied".to_owned()),
        Ok(rate) => Ok(rate),
        Err(error) => Err(error.to_string()),
    }
}

/// `--progress`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum ProgressArg {
    /// A bar on a terminal, plain lines elsewhere.
    Auto,
    /// A bar.
    Bar,
    /// A line every few seconds.
    Plain,
    /// One JSON event a line.
    Json,
    /// Nothing.
    None,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_range_from_the_end_is_no_option() {
        let cli = Cli::try_parse_from(["pcopy", "-r", "-4KiB", "a", "b"]).unwrap();
        assert_eq!(cli.copy.what.range, Some(RangeSpec::Last(Size::Bytes(4096))));
    }
}
