//! `pcopy patch`: some bytes into the middle of a file or device.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use pcopy::endpoint::bytes::NAME;
use pcopy::patch::{Before, PatchJob, hex};
use pcopy::size::human;
use pcopy::{JobResult, Progress, Refusal, Report, Result, Size, Watch};

use super::args::{OutputArgs, seconds};
use super::config::check_is_file;
use super::exit::Exit;
use super::hint::shell_word;
use super::input::Input;
use super::render::{self, usage};
use super::signals::Signals;
use super::terminal::{line_to_stderr, line_to_stdout};
use super::watch;

/// Write some bytes into the middle of a file or device, in place
#[derive(Args, Debug)]
#[command(after_help = super::pages::help_end("patch"))]
pub struct PatchArgs {
    /// What to write into (an existing file, or a block device)
    pub file: PathBuf,

    /// Where in FILE the first byte goes (`s`: logical sectors of the device, or of 512 bytes)
    pub offset: Size,

    #[command(flatten)]
    pub data: DataArgs,

    /// Write nothing and exit with 4 unless these bytes are there now
    #[arg(long, value_name = "HEX", value_parser = bytes)]
    pub expect_old: Option<Hex>,

    /// Print the command that undoes the patch, before the first byte is written
    #[arg(long)]
    pub print_old: bool,

    /// Make the file longer if the bytes go beyond its end
    #[arg(long)]
    pub grow: bool,

    /// Check everything, write nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    /// Write to a block device
    #[arg(long)]
    pub to_device: bool,

    /// How long to wait for a device that is briefly locked
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub wait: Duration,

    /// Write to FILE even if it is mounted as an image, or another program has locked it
    #[arg(long)]
    pub even_if_in_use: bool,

    /// Do not wait for the disk
    #[arg(long)]
    pub no_sync: bool,

    /// Read the bytes back past the page cache and compare; exit 4 if they differ
    #[arg(long, conflicts_with = "no_sync")]
    pub verify: bool,

    #[command(flatten)]
    pub output: OutputArgs,
}

/// The bytes to write.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct DataArgs {
    /// The bytes, two digits each, as 2a or "00 ff"
    #[arg(long, value_name = "HEX", value_parser = bytes)]
    pub hex: Option<Hex>,

    /// The bytes of this text, as they are typed
    #[arg(long, value_name = "TEXT")]
    pub text: Option<OsString>,

    /// The bytes of a small file; - for standard input
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
}

/// Bytes that were typed in hexadecimal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hex(Vec<u8>);

/// Most bytes of a patch: what is longer is copied.
const MOST: u64 = 64 << 20;

/// Most bytes whose old ones are printed, as a line that every shell takes.
const MOST_PRINTED: usize = 32 << 10;

/// Writes what the arguments say.
///
/// # Errors
///
/// An error that has not been printed.
pub fn run(args: &PatchArgs, signals: &Signals) -> Result<Exit> {
    check_is_file("FILE", &args.file).map_err(usage)?;
    let data = data(args, signals)?;
    if args.print_old && data.len() > MOST_PRINTED {
        let text = format!(
            "--print-old is for up to {MOST_PRINTED} bytes. Save them first with \
             pcopy --range OFFSET+LENGTH FILE OLD, and write them back with --from OLD"
        );
        return Err(usage(text));
    }
    let job = job(args, data.clone());
    let progress = Progress::new();
    let undo = Undo { args: UndoArgs::of(args), data };
    let result = match (args.dry_run, args.print_old) {
        (true, _) => job.dry_run(),
        (false, false) => watch::run(&args.output, &progress, signals, |progress, cancel| {
            job.run_watched(Watch::new(progress, cancel))
        }),
        (false, true) => watch::run(&args.output, &progress, signals, |progress, cancel| {
            job.run_after(move |before| undo.print(before), Watch::new(progress, cancel))
        }),
    };
    tell(args, &result);
    Ok(Exit::of(&result))
}

fn job(args: &PatchArgs, data: Vec<u8>) -> PatchJob {
    let job = PatchJob::new(&args.file, args.offset, data)
        .keep_old(args.print_old)
        .grow(args.grow)
        .to_device(args.to_device)
        .wait(args.wait)
        .even_if_in_use(args.even_if_in_use)
        .sync(!args.no_sync)
        .verify(args.verify);
    match &args.expect_old {
        Some(Hex(old)) => job.expect_old(old.clone()),
        None => job,
    }
}

fn data(args: &PatchArgs, signals: &Signals) -> Result<Vec<u8>> {
    let PatchArgs { data: DataArgs { hex, text, from }, .. } = args;
    if let Some(from) = from {
        return read(from, signals);
    }
    let text = text.as_ref().map(|text| text.as_encoded_bytes().to_vec());
    let hex = hex.as_ref().map(|Hex(bytes)| bytes.clone());
    Ok(hex.or(text).unwrap_or_default())
}

/// The bytes of a small file.
fn read(path: &Path, signals: &Signals) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    let read = Input::open(path, signals.cancel_token())
        .and_then(|input| input.take(MOST + 1).read_to_end(&mut data));
    read.map_err(|source| Refusal::CannotRead { path: path.to_owned(), source })?;
    if data.len() as u64 > MOST {
        let text = format!(
            "--from is for up to {}. What is longer is copied: \
             pcopy --in-place --dest-offset OFFSET SOURCE FILE",
            human(MOST)
        );
        return Err(usage(text));
    }
    Ok(data)
}

fn bytes(text: &str) -> Result<Hex, String> {
    let is_between = |c: &char| c.is_ascii_whitespace() || matches!(c, ':' | '_');
    let text = text.strip_prefix("0x").unwrap_or(text);
    let digits: Vec<char> = text.chars().filter(|c| !is_between(c)).collect();
    if let Some(wrong) = digits.iter().find(|digit| !digit.is_ascii_hexdigit()) {
        return Err(format!("{wrong:?} is not a hexadecimal digit"));
    }
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return Err("a byte has two hexadecimal digits, as 2a or 00ff".to_owned());
    }
    let value = |digit: &char| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |pair: &[char]| Some(value(&pair[0])? << 4 | value(&pair[1])?);
    Ok(Hex(digits.chunks(2).filter_map(byte).collect()))
}

/// What the command that undoes a patch has from the one that was typed.
struct UndoArgs {
    file: PathBuf,
    to_device: bool,
    even_if_in_use: bool,
    /// Standard output is for the report.
    json: bool,
}

impl UndoArgs {
    fn of(args: &PatchArgs) -> UndoArgs {
        UndoArgs {
            file: args.file.clone(),
            to_device: args.to_device,
            even_if_in_use: args.even_if_in_use,
            json: args.output.json,
        }
    }
}

/// The command that undoes a patch.
struct Undo {
    args: UndoArgs,
    data: Vec<u8>,
}

impl Undo {
    /// Prints it, to the last byte, or fails.
    fn print(&self, before: &Before) -> io::Result<()> {
        let program = std::env::args_os().next().unwrap_or_else(|| "pcopy".into());
        self.lines(&shell_word(&program), before).iter().try_for_each(|line| {
            if self.args.json { line_to_stderr(line) } else { line_to_stdout(line) }
        })
    }

    fn lines(&self, program: &str, before: &Before) -> Vec<String> {
        let mut lines = Vec::new();
        let old = before.old.len();
        let file = shell_word(self.args.file.as_os_str());
        if old > 0 {
            let consent = [
                (self.args.to_device, " --to-device"),
                (self.args.even_if_in_use, " --even-if-in-use"),
            ];
            let consent: String =
                consent.into_iter().filter_map(|(given, flag)| given.then_some(flag)).collect();
            lines.push(format!(
                "{program} patch{consent} --hex {} --expect-old {} -- {file} {}",
                hex(&before.old),
                hex(&self.data[..old.min(self.data.len())]),
                before.range.start(),
            ));
        }
        if before.range.end() > before.size {
            lines.push(format!("truncate -s {} -- {file}", before.size));
        }
        lines
    }
}

fn tell(args: &PatchArgs, result: &JobResult<Report>) {
    let style = render::Style::of_patch(&args.output, args.dry_run);
    match result {
        Ok(report) => style.done(report, &summary(args, report)),
        Err(error) => style.failed(error, Path::new(NAME), &args.file),
    }
}

fn summary(args: &PatchArgs, report: &Report) -> String {
    let count = report.range.len();
    let bytes = if count == 1 { "byte" } else { "bytes" };
    let wrote = if args.dry_run { "would write" } else { "wrote" };
    let name = pcopy::error::quoted(&report.destination.path);
    let mut text = format!("{wrote} {count} {bytes} at {} of {name}", report.dest_offset);
    if !args.dry_run && !report.durable {
        text += "; not synced";
    }
    if report.verified == Some(true) {
        text += "; read back and found equal";
    }
    if let Some(old) = report.old.as_ref().filter(|_| args.dry_run) {
        text += &format!("\n  old bytes: {old}");
    }
    for note in &report.notes {
        text += &format!("\n  {note}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_pairs_of_digits() {
        let check = |text: &str, expected: Option<&[u8]>| {
            assert_eq!(bytes(text).ok().map(|Hex(bytes)| bytes).as_deref(), expected, "{text}");
        };
        check("2a", Some(&[0x2a]));
        check("0x2A", Some(&[0x2a]));
        check("00 ff:10_aB", Some(&[0, 0xff, 0x10, 0xab]));
        for wrong in ["", " ", "2", "2a3", "g0", "0x", "2a0x2a", "é9"] {
            check(wrong, None);
        }
    }
}
