//! What a manifest of a million rows costs: seconds to read and check it, and
//! the most memory the process ever had. The promise is 2 s and 400 MB.
//!
//! `cargo bench --bench manifest [ROWS]` runs each format in a process of its
//! own, because the peak of one would hide that of the next.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use pcopy::batch::manifest::{ReadOptions, load};

const KINDS: [&str; 5] = ["csv", "full.csv", "fragments.csv", "jsonl", "plain.txt"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match &arguments[..] {
        [file, rows] => measure(Path::new(file), rows.parse().expect("a number of rows")),
        _ => {
            all(arguments.first().map_or(1_000_000, |rows| rows.parse().expect("a number of rows")))
        }
    }
}

fn all(rows: u64) {
    let this = std::env::current_exe().expect("the path of this program");
    let dir = tempfile::tempdir().expect("a directory");
    for kind in KINDS {
        let file = dir.path().join(format!("manifest.{kind}"));
        write(&file, kind, rows);
        let status = Command::new(&this).arg(&file).arg(rows.to_string()).status();
        assert!(status.expect("a process").success(), "{kind}");
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
        let (start, end) = (row * 65_536, row * 65_536 + 65_000);
        line.clear();
        match kind {
            "csv" => writeln!(line, "camera{}/2026/clip-{n:07}-{row}.mp4,{start},65000", n % 16),
            "full.csv" => writeln!(
                line,
                "camera{}/2026/clip-{n:07}-{row}.mp4,{start},{end},{row:064x},0644,2026-11-20T12:56:24Z",
                n % 16
            ),
            "fragments.csv" => {
                writeln!(line, "camera{}/2026/day.mp4,{start},65000,{}", n % 16, (n * rows + row) * 65_536)
            }
            "jsonl" => writeln!(
                line,
                "{{\"name\":\"camera{}/2026/clip-{n:07}-{row}.mp4\",\"start\":{start},\"len\":65000}}",
                n % 16
            ),
            _ => writeln!(line, "{start} {end} camera{}/2026/clip-{n:07}-{row}.mp4", n % 16),
        }
        .expect("a line");
        out.write_all(line.as_bytes()).expect("a write");
    }
    out.flush().expect("a write");
}

fn measure(file: &Path, rows: u64) {
    let options = ReadOptions { manifest: Some(file), ..ReadOptions::default() };
    let begun = Instant::now();
    let manifest = load(File::open(file).expect("a file"), None, &options, |_| Some(rows * 65_536));
    let seconds = begun.elapsed().as_secs_f64();
    let items = manifest.expect("a right manifest").items.len();
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    println!("{name:20} {items:9} rows {seconds:6.2} s  {}", peak().unwrap_or_default());
}

/// The peak of resident memory, where the system tells it.
fn peak() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(format!("{:6.0} MB at most", kilobytes * 1024.0 / 1e6))
}
