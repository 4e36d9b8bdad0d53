//! `pcopy bench`: runs the sweep, shows its table and what to make of it.

mod args;
mod meter;

use std::path::Path;

use pcopy::address::shown;
use pcopy::bench::advice::{Advice, advise};
use pcopy::bench::chart::{self, bar};
use pcopy::bench::page::{self, Around, Recommended};
use pcopy::bench::{Cache, Place, Runner, Series, combinations, sweep};
use pcopy::error::{escaped, quoted};
use pcopy::safety::roles::{Role, Roles};
use pcopy::size::human;
use pcopy::{Error, Options, Progress, Result};
use serde_json::{Value, json};

pub use args::BenchArgs;
use args::CacheArg;
use meter::Meter;

use super::args::{OutputArgs, ProgressArg};
use super::config;
use super::exit::Exit;
use super::hint::shell_word;
use super::remedy::said;
use super::remote;
use super::render;
use super::signals::Signals;
use super::terminal::{json_to_stdout, to_stderr, to_stdout};
use super::watch;

/// Cells of the longest bar: what is left of 80 columns.
const BAR: usize = 8;

/// Columns of a terminal that has not been made wider.
const COLUMNS: usize = 80;

/// Name and version of the JSON schema.
const SCHEMA: &str = "pcopy.bench/1";

/// Runs the sweep and prints what came of it. What was measured before an error
/// or a signal ended it is worth as much as before.
///
/// # Errors
///
/// An error that has not been printed: nothing was measured.
pub fn run(args: &BenchArgs, signals: &Signals) -> Result<Exit> {
    check_files(args)?;
    let (runner, all, error) = measure(args, signals)?;
    let advice = advise(&all);
    let error = match (error, &advice) {
        (Some(error), None) => return Err(error),
        (error, _) => error,
    };
    let result = Findings { args, runner: &runner, all: &all, error, advice };
    if args.output.json {
        json_to_stdout(result.json().to_string());
    } else {
        to_stdout(&result.text());
    }
    for (file, picture) in [(&args.svg, result.svg()), (&args.html, result.html())] {
        let Some(file) = file else { continue };
        let give_up = || signals.asked_to_stop();
        if let Err(message) = render::write_file(file, picture.as_bytes(), &give_up) {
            return Ok(render::failed(&message));
        }
    }
    Ok(match &result.error {
        Some(error) => {
            to_stderr(&format!("pcopy: {}", said(error)));
            Exit::of_error(error)
        }
        None if result.advice.is_some() => Exit::Success,
        None => render::failed(NOTHING_RAN),
    })
}

/// What is said where every setting was unusable.
const NOTHING_RAN: &str = "no setting could be run";

/// The document of a bench that measured nothing.
pub fn document_of(error: &Error, ends: Option<(&Path, &Path)>) -> Value {
    json!({
        "schema": SCHEMA,
        "source": ends.map(|(source, _)| shown(source).to_string_lossy().into_owned()),
        "destination": ends.map(|(_, to)| shown(to).to_string_lossy().into_owned()),
        "range": null,
        "bytes": null,
        "rounds": null,
        "cache": null,
        "synced": null,
        "shared": null,
        "settings": [],
        "recommended": null,
        "notes": [],
        "error": error.chain(),
        "error_kind": error.word(),
    })
}

/// Whether what is named are files, and the picture can be written without
/// loss, before hours are spent on what it shows.
fn check_files(args: &BenchArgs) -> Result<()> {
    let ends = [&*args.source, &*args.destination];
    let pictures = [("--svg", args.svg.as_deref()), ("--html", args.html.as_deref())];
    let named = [[("SOURCE", Some(ends[0])), ("DEST", Some(ends[1]))], pictures].concat();
    let mut checked = named
        .into_iter()
        .try_for_each(|(what, path)| path.map_or(Ok(()), |path| config::check_is_file(what, path)));
    checked = checked.and_then(|()| check_apart(args, pictures));
    checked.map_err(render::usage)?;
    pictures.into_iter().filter_map(|(_, file)| file).try_for_each(render::check_writable)
}

/// A file that is written at the end, and the option that names it.
type Output<'a> = (&'static str, Option<&'a Path>);

/// Refuses a picture where the runs read or write, or the copy that is advised would.
fn check_apart(args: &BenchArgs, pictures: [Output<'_>; 2]) -> Result<(), String> {
    let mut roles = Roles::default();
    if args.source.as_os_str() != "zero:" {
        let _ = roles.add(Role::Read, "the source", &args.source);
    }
    if args.destination.as_os_str() != "null:" {
        let _ = roles.add_destination(&args.destination, &args.source, true);
    }
    let mut files = pictures.into_iter().filter_map(|(option, file)| Some((option, file?)));
    let added = files.try_for_each(|(option, file)| roles.add(Role::Side, option, file));
    added.map_err(|clash| clash.to_string())
}

/// The runs that count, and what ended them early.
type Measured = (Runner, Vec<Series>, Option<Error>);

fn measure(args: &BenchArgs, signals: &Signals) -> Result<Measured> {
    let place = |path: &Path, nothing: &str| match path {
        path if path.as_os_str() == nothing => Place::Nothing,
        path => Place::Path(path.to_owned()),
    };
    let cache = match args.cache {
        CacheArg::Cold => Cache::Cold,
        CacheArg::Warm => Cache::Warm,
    };
    let (from, to) = (place(&args.source, "zero:"), place(&args.destination, "null:"));
    let range = args.range.unwrap_or_default();
    let mut options = Options::default();
    options.to_device = args.to_device;
    options.remote = remote::of_server(&args.server);
    let runner = Runner::with_options(from, to, range, args.size(), options)?;
    let mut runner = runner.cache(cache).sync(!args.no_sync);
    let engines = if args.engine.is_empty() { runner.engines()? } else { args.engine.clone() };
    let settings = combinations(&engines, &args.io_sizes(), &args.threads());
    settings.iter().try_for_each(|setting| runner.check(setting))?;
    let meter = Meter::new(&args.output);
    // Progress and events of the single runs are not wanted here: only signals are heard.
    let silent = OutputArgs { progress: ProgressArg::None, ..args.output.clone() };
    let all = watch::run(&silent, &Progress::new(), signals, |_, cancel| {
        sweep(&settings, args.rounds as usize, |step| {
            meter.during(step, || runner.run(step.setting, cancel))
        })
    });
    meter.clear();
    Ok((runner, all.0, all.1))
}

/// What came of a sweep.
struct Findings<'a> {
    args: &'a BenchArgs,
    runner: &'a Runner,
    all: &'a [Series],
    /// What ended it early.
    error: Option<Error>,
    advice: Option<Advice<'a>>,
}

impl Findings<'_> {
    fn bytes(&self) -> u64 {
        self.runner.range().len()
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n\n", wrapped(&self.title()));
        text += &format!(
            "{:<10} {:>7} {:>7} {:>11} {:>16} {:>6} {:>7}\n",
            "engine", "io-size", "threads", "median", "slowest..fastest", "cpu", "memory"
        );
        let fastest = self.advice.as_ref().and_then(|advice| advice.fastest.seconds());
        for series in self.all {
            text += &row(series, self.bytes(), fastest.map_or(0.0, |seconds| seconds.min));
        }
        text += "\n";
        for condition in self.conditions() {
            text += &format!("{}\n", wrapped(&format!("{condition}.")));
        }
        if let Some(advice) = &self.advice {
            let reason = advice.reason();
            let reason = wrapped(&format!("Recommended ({reason}):"));
            text += &format!("\n{reason}\n  {}", self.command(advice));
        }
        text
    }

    fn title(&self) -> String {
        format!(
            "{} of {} to {}, {} after a warm-up",
            human(self.bytes()),
            quoted(&self.args.source),
            quoted(&self.args.destination),
            counted(self.rounds(), "round")
        )
    }

    /// Rounds that are through: fewer than were wanted where it ended early.
    fn rounds(&self) -> u32 {
        let through = self.all.iter().map(|series| series.samples.len());
        let through = through.filter(|&len| len > usize::from(self.some_ran_once()));
        through.min().and_then(|least| u32::try_from(least).ok()).unwrap_or(self.args.rounds)
    }

    /// Whether there are settings that were too slow to be run more than once.
    fn some_ran_once(&self) -> bool {
        let ran = |least: usize| self.all.iter().any(|series| series.samples.len() >= least);
        ran(2) && self.all.iter().any(|series| series.samples.len() == 1)
    }

    /// What was and was not part of the measurement.
    fn conditions(&self) -> Vec<String> {
        let mut all = vec![match (self.reads(), self.args.cache) {
            (false, _) => "Nothing was read: zeros come from memory".to_owned(),
            (true, _) if self.args.is_far() => {
                "Every run asked the server anew, which may keep what it reads in memory".to_owned()
            }
            (true, CacheArg::Cold) => {
                "The source was dropped from the page cache before each run".to_owned()
            }
            (true, CacheArg::Warm) => "The source was in the page cache".to_owned(),
        }];
        all.push(match (self.writes(), self.args.no_sync) {
            (false, _) => "Nothing was written".to_owned(),
            (true, false) => "Times include the sync of the destination".to_owned(),
            (true, true) => "The destination was not synced".to_owned(),
        });
        if self.writes() {
            all.push("No extents were shared: all bytes were moved".to_owned());
        }
        if self.some_ran_once() && self.error.is_none() {
            all.push("Settings several times slower than the fastest ran once".to_owned());
        }
        all.extend(self.runner.notes().map(capitalised));
        if let Some(error) = &self.error {
            all.push(format!("It ended before all rounds were through: {}", error.chain()));
        }
        all
    }

    fn reads(&self) -> bool {
        self.args.source.as_os_str() != "zero:"
    }

    fn writes(&self) -> bool {
        self.args.destination.as_os_str() != "null:"
    }

    /// The command line to use. Ends that do not exist outside a bench are
    /// left for the user to name.
    fn command(&self, advice: &Advice<'_>) -> String {
        let end = |exists: bool, path: &Path, name: &str| {
            if exists { shell_word(shown(path).as_os_str()) } else { name.to_owned() }
        };
        let consent = if self.args.to_device { " --to-device" } else { "" };
        let sync = if self.args.no_sync && self.writes() { " --no-sync" } else { "" };
        // An equals sign: a range may begin with a dash.
        let range = self.args.range.map(|range| format!(" --range={range}")).unwrap_or_default();
        format!(
            "pcopy {}{range}{consent}{sync} {} {}",
            meter::flags(&advice.recommended.setting),
            end(self.reads(), &self.args.source, "SOURCE"),
            end(self.writes(), &self.args.destination, "DEST"),
        )
    }

    /// From where to where, by the last part of each name.
    fn ends(&self) -> String {
        let name = |path: &Path| {
            let path = shown(path);
            escaped(&path.file_name().unwrap_or(path.as_os_str()).to_string_lossy()).into_owned()
        };
        format!("{} to {}", name(&self.args.source), name(&self.args.destination))
    }

    /// How it was measured, in a line.
    fn subtitle(&self) -> String {
        let cache = match (self.reads(), self.args.cache) {
            (false, _) => "zeros from memory",
            (true, _) if self.args.is_far() => "from a server",
            (true, CacheArg::Cold) => "cold cache",
            (true, CacheArg::Warm) => "warm cache",
        };
        let sync = match (self.writes(), self.args.no_sync) {
            (false, _) => "nothing written",
            (true, false) => "synced",
            (true, true) => "not synced",
        };
        format!(
            "{}, {cache}, {sync}; median of {}, slowest to fastest",
            human(self.bytes()),
            counted(self.rounds(), "run")
        )
    }

    fn svg(&self) -> String {
        let lines = chart::lines(self.all, self.bytes());
        chart::svg(&lines, &self.ends(), &self.subtitle())
    }

    fn html(&self) -> String {
        let recommended = self.advice.as_ref().and_then(|advice| {
            let is_it = |series: &Series| std::ptr::eq(series, advice.recommended);
            let at = self.all.iter().position(is_it)?;
            Some(Recommended { at, reason: advice.reason(), command: self.command(advice) })
        });
        let around = Around {
            title: self.ends(),
            subtitle: self.subtitle(),
            conditions: self.conditions(),
            recommended,
        };
        page::html(self.all, self.bytes(), &around)
    }

    fn json(&self) -> Value {
        let (error, kind) = match (&self.error, &self.advice) {
            (Some(error), _) => (Some(error.chain()), Some(error.word())),
            (None, None) => (Some(NOTHING_RAN.to_owned()), Some("engine_unsuitable")),
            (None, Some(_)) => (None, None),
        };
        let settings: Vec<Value> =
            self.all.iter().map(|series| as_json(series, self.bytes())).collect();
        let recommended = self.advice.as_ref().map(|advice| {
            json!({
                "engine": advice.recommended.setting.engine,
                "threads": meter::as_json(advice.recommended.setting.threads),
                "io_size": advice.recommended.setting.io_size,
                "reason": advice.reason(),
                "command": self.command(advice),
            })
        });
        json!({
            "schema": SCHEMA,
            "source": shown(&self.args.source).to_string_lossy(),
            "destination": shown(&self.args.destination).to_string_lossy(),
            "range": { "start": self.runner.range().start(), "end": self.runner.range().end() },
            "bytes": self.bytes(),
            "rounds": self.args.rounds,
            "cache": if self.args.cache == CacheArg::Cold { "cold" } else { "warm" },
            "synced": self.writes() && !self.args.no_sync,
            "shared": false,
            "settings": settings,
            "recommended": recommended,
            "notes": self.runner.notes().collect::<Vec<_>>(),
            "error": error,
            "error_kind": kind,
        })
    }
}

/// `text` in lines of up to 80 columns, as far as its words are no longer.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("there is a line");
        if last.is_empty() {
            *last = word.to_owned();
        } else if last.chars().count() + 1 + word.chars().count() <= COLUMNS {
            *last += " ";
            *last += word;
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join("\n")
}

fn row(series: &Series, bytes: u64, shortest: f64) -> String {
    let setting = &series.setting;
    let io_size = setting.io_size.map_or_else(|| "auto".to_owned(), human);
    let threads = setting.threads.to_string();
    let name = format!("{:<10} {io_size:>7} {threads:>7}", setting.engine);
    let (Some(seconds), Some(cpu)) = (series.seconds(), series.cpu_seconds()) else {
        let reason = series.unusable.as_deref().unwrap_or("not run");
        return format!("{name} {:>11} {reason}\n", "-");
    };
    let rate = seconds.per(bytes as f64);
    let mib = |rate: f64| rate / f64::from(1 << 20);
    let spread = format!("{:.0}..{:.0}", mib(rate.min), mib(rate.max));
    let memory = match series.peak_memory() {
        0 => "-".to_owned(),
        bytes => format!("{:.0} MiB", mib(bytes as f64)),
    };
    format!(
        "{name} {:>5.0} MiB/s {spread:>16} {:>4.1} s {memory:>7} {}\n",
        mib(rate.median),
        cpu.median,
        bar(shortest / seconds.median, BAR)
    )
}

fn as_json(series: &Series, bytes: u64) -> Value {
    let setting = &series.setting;
    let mut value = json!({
        "engine": setting.engine,
        "threads": meter::as_json(setting.threads),
        "io_size": setting.io_size,
    });
    let (Some(seconds), Some(cpu)) = (series.seconds(), series.cpu_seconds()) else {
        value["unusable"] = json!(series.unusable);
        return value;
    };
    let spread =
        |s: pcopy::bench::Spread| json!({ "median": s.median, "min": s.min, "max": s.max });
    value["seconds"] = spread(seconds);
    value["bytes_per_second"] = spread(seconds.per(bytes as f64));
    value["cpu_seconds"] = spread(cpu);
    value["peak_memory"] = json!(series.peak_memory());
    value["most_threads"] = json!(series.threads());
    value["runs"] = series.samples.iter().map(|sample| sample.seconds).collect();
    value
}

fn capitalised(note: &str) -> String {
    let mut letters = note.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().collect::<String>() + letters.as_str()
    })
}

fn counted(number: u32, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
