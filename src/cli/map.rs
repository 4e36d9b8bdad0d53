//! `pcopy map`: a picture of a map or a report, for people.

pub mod batch;
mod names;
mod read;
mod report;

use std::path::{Path, PathBuf};

use clap::Args;
use pcopy::picture::{Chart, Names, html, svg, text};
use pcopy::safety::roles::{Role, Roles};
use pcopy::{ErrorKind, Refusal, Result, Size};

use super::exit::Exit;
use super::input::Input;
use super::render;
use super::signals::Signals;
use super::terminal::{to_stdout, write_stdout};

/// Show a map or a report as a picture: what was read, what could not be, what is left to do
///
/// Reads maps of GNU ddrescue and of pcopy, block maps (bmap), and reports of pcopy: the document
/// of --json, and the lines of batch --report. Without --svg - or --html -, a picture and tables
/// are printed as text.
#[derive(Args, Debug)]
#[command(after_help = super::pages::help_end("map"))]
pub struct MapArgs {
    /// A map or a report; - is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// A later map or report of the same source, to compare with
    #[arg(value_name = "OTHER")]
    pub other: Option<PathBuf>,

    /// Write the picture as SVG; - is standard output
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,

    /// Write a page in one file, with tables of all numbers; - is standard output
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// A list of files on the source, in any format that batch reads: says which files are damaged
    #[arg(long, value_name = "LIST")]
    pub names: Option<PathBuf>,

    /// Bytes in a sector [default: those of the source in a report, else 512]
    #[arg(long, value_name = "SIZE")]
    pub sector_size: Option<Size>,
}

/// Draws what was asked for.
///
/// # Errors
///
/// A file that is missing, cannot be understood, or cannot be written.
pub fn run(args: &MapArgs, signals: &Signals) -> Result<Exit> {
    check(args)?;
    let mut charts = read::charts(&args.file, signals)?;
    if let Some(other) = &args.other {
        charts.extend(read::charts(other, signals)?);
    }
    if let Some(size) = args.sector_size {
        let sector = sector(size)?;
        charts.iter_mut().for_each(|chart| chart.sector = sector);
    }
    if let [one, other] = &mut charts[..]
        && args.other.is_some()
    {
        align(one, other);
    }
    let names = match &args.names {
        Some(list) => names::read(list, signals)?,
        None => Names::default(),
    };
    let mut prints = true;
    for (file, draw) in [(&args.svg, svg_of as Draw), (&args.html, html_of)] {
        let Some(file) = file else { continue };
        let picture = draw(&charts, &names);
        if is_standard(file) {
            prints = false;
            write_stdout(picture.as_bytes());
        } else if let Err(message) =
            render::write_file(file, picture.as_bytes(), &|| signals.asked_to_stop())
        {
            return Ok(render::failed(&message));
        }
    }
    if prints {
        to_stdout(&text::text(&charts, &names));
    }
    Ok(Exit::Success)
}

type Draw = fn(&[Chart], &Names) -> String;

fn svg_of(charts: &[Chart], _: &Names) -> String {
    svg::svg(charts)
}

fn html_of(charts: &[Chart], names: &Names) -> String {
    html::html(charts, names)
}

/// Both over the extent of both, so that what lies below each other is the same place.
fn align(one: &mut Chart, other: &mut Chart) {
    if one.unit != other.unit {
        return;
    }
    let (extent, others) = (one.extent(), other.extent());
    *one = std::mem::take(one).widened(others);
    *other = std::mem::take(other).widened(extent);
}

fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn sector(size: Size) -> Result<u32> {
    let bytes = match size {
        Size::Bytes(bytes) => u32::try_from(bytes).ok().filter(|&bytes| bytes > 0),
        Size::Sectors(_) => None,
    };
    bytes.ok_or_else(|| render::usage("--sector-size takes bytes, such as 512 or 4KiB"))
}

/// Refuses pictures that would replace what is read, or each other.
fn check(args: &MapArgs) -> Result<()> {
    let outputs = [("--svg", &args.svg), ("--html", &args.html)];
    let standard = outputs.iter().filter(|(_, file)| file.as_deref().is_some_and(is_standard));
    if standard.count() > 1 {
        return Err(render::usage("only one of --svg and --html can be standard output"));
    }
    let inputs = [Some(&args.file), args.other.as_ref(), args.names.as_ref()];
    let inputs = inputs.into_iter().flatten();
    if inputs.clone().filter(|file| is_standard(file)).count() > 1 {
        return Err(render::usage("only one file can be standard input"));
    }
    let mut roles = Roles::default();
    for file in inputs.filter(|file| !is_standard(file)) {
        let _ = roles.add(Role::Read, "a file to read", file);
    }
    for (name, file) in outputs {
        let Some(file) = file.as_deref().filter(|file| !is_standard(file)) else { continue };
        let added = roles.add(Role::Side, name, file);
        added.map_err(|clash| render::usage(clash.to_string()))?;
        render::check_writable(file)?;
    }
    Ok(())
}

/// Opens a file that is read, and reads from it whatever `reader` does.
fn reading<T>(
    path: &Path,
    signals: &Signals,
    reader: impl FnOnce(Input) -> std::io::Result<T>,
) -> Result<T> {
    let cancel = signals.cancel_token();
    let found = Input::open(path, cancel.clone()).and_then(reader);
    if cancel.is_cancelled() {
        return Err(ErrorKind::Cancelled.into());
    }
    found.map_err(|source| Refusal::CannotRead { path: path.to_owned(), source }.into())
}
