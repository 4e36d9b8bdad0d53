//! The book and the README: their examples are run, every option is in them,
//! their links lead somewhere, and every question of a stranger to a place.
//!
//! A comment before a block of code says what becomes of it; it does not show
//! in the rendered page. `<!-- run -->` runs it in a folder of its own,
//! `<!-- run: on -->` in the one of the block before, and `<!-- file: NAME -->`
//! writes it as a file into the folder of the next block. Of a `console` block
//! every line of output that is shown must come out, in this order, but for
//! times and rates. Blocks of neither kind must at least be understood: their
//! `pcopy` commands are run where none of their files exist.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::common::{Ended, Scene, has_tools, pattern, program};

const PAGES: [&str; 14] = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/README.md",
    "docs/examples.md",
    "docs/reference.md",
    "docs/guide.md",
    "docs/carving.md",
    "docs/evidence.md",
    "docs/fleet.md",
    "docs/library.md",
    "docs/python.md",
    "docs/reliability.md",
    "docs/remote.md",
];

/// What stands for a drive: a file. Written to are only real ones, which
/// `privileged` does.
const WRITTEN_DEVICE: &str = "/dev/sdX";

struct Block {
    /// Page and line, to be found by.
    place: String,
    /// What the comment before it says, empty if there is none.
    wish: String,
    language: String,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(page: &str) -> String {
    std::fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

fn blocks(page: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut wish = String::new();
    let mut inside = false;
    for (number, line) in read(page).lines().enumerate() {
        if let Some(language) = line.strip_prefix("```") {
            inside = !inside;
            if inside {
                let place = format!("{page}:{}", number + 1);
                let (wish, language) = (std::mem::take(&mut wish), language.to_owned());
                found.push(Block { place, wish, language, text: String::new() });
            }
        } else if inside {
            let block = found.last_mut().expect("a block was begun");
            writeln!(block.text, "{line}").expect("memory takes all");
        } else {
            let comment = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
            wish = comment.unwrap_or_default().to_owned();
        }
    }
    assert!(!inside, "{page}: a block does not end");
    found
}

/// A folder with what the examples speak of.
fn scene() -> Scene {
    let scene = Scene::new();
    let disk = pattern(1, 64 << 20);
    scene.write("disk.img", &disk);
    scene.write("sdb", &disk);
    scene.write("image.iso", &pattern(2, 2 << 20));
    scene.write("interview.mp4", &pattern(3, 3 << 20));
    for folder in ["mnt/a", "mnt/b", "bin"] {
        std::fs::create_dir_all(scene.path(folder)).expect("a folder can be made");
    }
    std::os::unix::fs::symlink(program(), scene.path("bin/pcopy")).expect("a link can be made");
    shell(&scene, "sha256sum image.iso > image.iso.sha256", 0).code(0);
    scene
}

/// Runs a script with `status` as the exit code of what was before.
fn shell(scene: &Scene, script: &str, status: i32) -> Ended {
    let script = script.replace("/dev/sdb", "sdb").replace("/mnt/", "mnt/");
    let mut run = scene.tool("sh", ["-c", &format!("exec 2>&1; (exit {status}); {script}")]);
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", scene.path("bin").display());
    run.command.env("PATH", path).env("HOME", scene.folder()).env("LC_ALL", "C");
    run.run()
}

#[test]
fn the_examples_do_what_they_say() {
    if !has_tools(&["sh", "sha256sum", "timeout", "cmp"]) {
        return;
    }
    let mut ran = 0;
    for page in PAGES {
        let mut current = scene();
        let mut used = false;
        for block in blocks(page) {
            if let Some(name) = block.wish.strip_prefix("file: ") {
                if std::mem::take(&mut used) {
                    current = scene();
                }
                current.write(name, block.text.as_bytes());
            }
            if !matches!(block.wish.as_str(), "run" | "run: on") {
                continue;
            }
            if used && block.wish == "run" {
                current = scene();
            }
            used = true;
            ran += 1;
            match block.language.as_str() {
                "console" => check_session(&current, &block),
                _ => check_script(&current, &block),
            }
        }
    }
    assert!(ran >= 20, "only {ran} blocks were run");
}

/// Every command succeeds.
fn check_script(scene: &Scene, block: &Block) {
    let lines = block.text.lines().filter(|line| !line.contains(WRITTEN_DEVICE));
    let script = format!("set -e\n{}", lines.collect::<Vec<_>>().join("\n"));
    let ended = shell(scene, &script, 0);
    assert!(ended.status.success(), "{}: {}\n{}", block.place, ended.status, ended.out());
}

/// Every command says what is shown; one that fails must be shown to.
fn check_session(scene: &Scene, block: &Block) {
    let mut status = 0;
    for step in block.text.split("$ ").skip(1).filter(|step| !step.contains(WRITTEN_DEVICE)) {
        let (command, shown) = step.split_once('\n').expect("a line ends");
        let ended = shell(scene, command, status);
        let out = ended.out();
        let mut found = out.lines().map(settled);
        for line in shown.lines() {
            let line = settled(line);
            assert!(
                found.any(|found| found == line),
                "{}: {command}\nexpected: {line}\nof: {out}",
                block.place
            );
        }
        status = ended.status.code().unwrap_or(128);
        assert!(status == 0 || !shown.is_empty(), "{}: {command}: {status}\n{out}", block.place);
    }
}

/// A line without its times, rates and whatever else is different every time.
fn settled(line: &str) -> String {
    let by_chance = line.ends_with("were there from an earlier run");
    let mut words: Vec<&str> = line.split(' ').collect();
    for at in 1..words.len() {
        let is_number = words[at - 1].parse::<f64>().is_ok();
        let is_rate = words[at].contains("B/s");
        if is_number && (by_chance || is_rate || words[at - 1].contains('.')) {
            words[at - 1] = "#";
            words[at] = if is_rate { "#/s" } else { "#" };
        }
    }
    words.join(" ")
}

#[test]
fn other_examples_are_understood() {
    let mut seen = 0;
    for page in PAGES {
        for block in blocks(page) {
            if !matches!(block.language.as_str(), "sh" | "console") {
                continue;
            }
            let runs = block.wish.starts_with("run");
            for line in block.text.lines() {
                let line = line.strip_prefix("$ ").unwrap_or(line);
                if !line.starts_with("pcopy ") || (runs && !line.contains(WRITTEN_DEVICE)) {
                    continue;
                }
                seen += 1;
                let scene = Scene::new();
                std::fs::create_dir(scene.path("bin")).expect("a folder can be made");
                std::os::unix::fs::symlink(program(), scene.path("bin/pcopy")).expect("a link");
                let ended = shell(&scene, &nowhere(line), 0);
                let code = ended.status.code();
                assert_eq!(code, Some(3), "{}: {line}\n{}", block.place, ended.out());
            }
        }
    }
    assert!(seen >= 10, "only {seen} commands were seen");
}

/// The same of what is not there: neither the devices of this machine nor any
/// server are an example's business.
fn nowhere(line: &str) -> String {
    line.replace("/dev/", "nowhere/").replace("https://server.example/", "nowhere/")
}

#[test]
fn every_option_is_in_the_book() {
    let scene = Scene::new();
    let text: String = PAGES.map(read).concat();
    let is_named = |option: &str| {
        text.match_indices(option).any(|(at, _)| {
            let next = text[at + option.len()..].chars().next();
            !next.is_some_and(|next| next == '-' || next.is_alphanumeric())
        })
    };
    let mut seen = 0;
    for command in [
        "",
        "batch",
        "bench",
        "verify",
        "patch",
        "devices",
        "schema",
        "map",
        "completions",
        "man",
        "job status",
        "job finish",
        "job script",
    ] {
        let help = scene.run(&format!("{command} --help")).code(0).out();
        for line in help.lines().map(str::trim_start).filter(|line| line.starts_with('-')) {
            let words = line.split([' ', ',', '=']).filter(|word| word.starts_with("--"));
            for option in words.take(1) {
                seen += 1;
                assert!(is_named(option), "pcopy {command} {option} is nowhere in the book");
            }
        }
    }
    assert!(seen > 60, "only {seen} options in the help");
}

/// Every page of the project, those without examples too.
fn all_pages() -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["", "docs/"] {
        let entries = std::fs::read_dir(root().join(folder)).expect("the folder is there");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let names = names.map(|name| name.into_string().expect("names of pages are text"));
        found.extend(
            names.filter(|name| name.ends_with(".md")).map(|name| folder.to_owned() + &name),
        );
    }
    assert!(PAGES.iter().all(|page| found.iter().any(|found| found == page)), "{found:?}");
    found
}

/// A stranger who asks is led to a place; that the places exist is seen below.
#[test]
fn each_of_ten_strangers_finds_an_answer() {
    let page = read("docs/README.md");
    let table = page.split("| who asks | question | answer |\n|---|---|---|\n").nth(1);
    let rows = table.expect("the table").lines().take_while(|line| line.starts_with('|'));
    let mut askers = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [asker, question, answer] = cells[..] else { panic!("not three cells: {row}") };
        askers += usize::from(!asker.is_empty());
        assert!(question.ends_with('?'), "not a question: {row}");
        assert!(answer.contains("]("), "nothing is linked: {row}");
    }
    assert!(askers >= 10, "only {askers} ask");
    let link = "docs/README.md#questions-and-where-they-are-answered";
    assert!(read("README.md").contains(link), "the README does not lead to the questions");
}

#[test]
fn links_lead_somewhere() {
    let mut seen = 0;
    for page in &all_pages() {
        let folder = root().join(page).parent().expect("a page lies in a folder").to_owned();
        for link in read(page).split("](").skip(1) {
            let link = link.split(')').next().unwrap_or_default();
            if link.contains("://") {
                continue;
            }
            seen += 1;
            let (file, part) = link.split_once('#').unwrap_or((link, ""));
            let file = if file.is_empty() { root().join(page) } else { folder.join(file) };
            assert!(file.is_file(), "{page}: {link}");
            assert!(part.is_empty() || has_heading(&file, part), "{page}: {link}");
        }
    }
    assert!(seen > 10, "only {seen} links");
}

/// Whether a page has the heading that a link to `part` of it means.
fn has_heading(page: &Path, part: &str) -> bool {
    let text = std::fs::read_to_string(page).expect("the page is there");
    text.lines().filter(|line| line.starts_with('#')).any(|line| {
        let heading = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        heading.replace(|c: char| c != '-' && !c.is_alphanumeric(), "") == part
    })
}
