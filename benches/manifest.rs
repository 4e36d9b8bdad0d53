//! What a manifest of a million rows costs: seconds to read and check it, and
//! the most memory the process ever had. The promise is 2 s and 400 MB, also for
//! everything else that `pcopy batch --dry-run` does: look at the source and
//! the directory, and plan.
//!
//! `cargo bench --bench manifest [ROWS]` runs each format in a process of its
//! own, because the peak of one would hide that of the next.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use pcopy::Progress;
use pcopy::batch::Batch;
use pcopy::manifest::{ReadOptions, load, read_lenient};

const KINDS: [&str; 5] = ["csv", "full.csv", "fragments.csv", "jsonl", "plain.txt"];

/// A source beside the manifests, without a byte stored.
const IMAGE: &str = "image";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match &arguments[..] {
        [what, file, rows] => {
            measure(what, Path::new(file), rows.parse().expect("a number of rows"));
        }
        _ => {
            all(arguments.first().map_or(1_000_000, |rows| rows.parse().expect("a number of rows")))
        }
    }
}

fn all(rows: u64) {
    let this = std::env::current_exe().expect("the path of this program");
    let dir = tempfile::tempdir().expect("a directory");
    let image = File::create(dir.path().join(IMAGE)).expect("a file");
    image.set_len(rows * 65_536).expect("a hole");
    for kind in KINDS {
        let file = dir.path().join(format!("manifest.{kind}"));
        write(&file, kind, rows);
        for what in ["checked", "dry run"] {
            let status = Command::new(&this).arg(what).arg(&file).arg(rows.to_string()).status();
            assert!(status.expect("a process").success(), "{kind} {what}");
        }
    }
}

/// Rows in an order in which neither names nor ranges are sorted.
fn write(file: &Path, kind: &str, rows: u64) {
    let mut out = BufWriter::new(File::create(file).expect("a file"));
    let head = match kind {
        "csv" => "name,start,len\n",
        "full.csv" => "name,start,end,sha256,mode,mtime\n",
        "fragments.csv" => "name,start,len,dest_offset\n",
        "plain.txt" => "#pcopy v1 end=exclusive unit=bytes\n",
        _ => "",
    };
    out.write_all(head.as_bytes()).expect("a write");
    let mut line = String::new();
    for row in 0..rows {
        let n = row.wrapping_mul(0x9E37_79B1) % 1_000_003;
        let (start, end) = (row * 65_536, row * 65_536 + 650);
        line.clear();
        match kind {
            "csv" => writeln!(line, "camera{}/2026/clip-{n:07}-{row}.mp4,{start},650", n % 16),
            "full.csv" => writeln!(
                line,
                "camera{}/2026/clip-{n:07}-{row}.mp4,{start},{end},{row:064x},0644,2026-11-20T12:56:24Z",
                n % 16
            ),
            "fragments.csv" => {
                writeln!(line, "camera{}/2026/day.mp4,{start},650,{}", n % 16, (n * rows + row) * 65_536)
            }
            "jsonl" => writeln!(
                line,
                "{{\"name\":\"camera{}/2026/clip-{n:07}-{row}.mp4\",\"start\":{start},\"len\":650}}",
                n % 16
            ),
            _ => writeln!(line, "{start} {end} camera{}/2026/clip-{n:07}-{row}.mp4", n % 16),
        }
        .expect("a line");
        out.write_all(line.as_bytes()).expect("a write");
    }
    out.flush().expect("a write");
}

fn measure(what: &str, file: &Path, rows: u64) {
    let begun = Instant::now();
    let items = if what == "dry run" { dry_run(file) } else { checked(file, rows) };
    let seconds = begun.elapsed().as_secs_f64();
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let peak = peak().unwrap_or_default();
    println!("{name:23} {what:8} {items:9} rows {seconds:6.2} s  {peak}");
}

fn checked(file: &Path, rows: u64) -> usize {
    let options = ReadOptions { manifest: Some(file), ..ReadOptions::default() };
    let manifest = load(File::open(file).expect("a file"), None, &options, |_| Some(rows * 65_536));
    manifest.expect("a right manifest").items.len()
}

/// What the command does.
fn dry_run(file: &Path) -> usize {
    let image = file.with_file_name(IMAGE);
    let options =
        ReadOptions { manifest: Some(file), source: Some(&image), ..ReadOptions::default() };
    let (manifest, errors) = read_lenient(File::open(file).expect("a file"), None, &options);
    let batch = Batch::new(manifest.items, file.with_file_name("out")).unread(errors);
    let planned = batch.source(&image).dry_run(&Progress::new());
    planned.expect("a right manifest").items
}

/// The peak of resident memory, where the system tells it.
fn peak() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(format!("{:6.0} MB at most", kilobytes * 1024.0 / 1e6))
}
