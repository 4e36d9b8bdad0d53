//! Invariants that are about the source text: what a room must not do. Where
//! the compiler cannot say no, this does.

use std::path::{Path, PathBuf};

/// A file of `src`.
struct Room {
    path: PathBuf,
    text: String,
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs")
}

/// Every file of the library, without its tests.
fn library() -> Vec<Room> {
    of_library(all_rooms(false))
}

/// Those of `rooms` that are not the command.
fn of_library(mut rooms: Vec<Room>) -> Vec<Room> {
    // `sys/signals` is compiled into the command alone.
    let command = ["cli", "cli.rs", "main.rs", "sys/signals", "sys/signals.rs"];
    rooms.retain(|room| !command.iter().any(|prefix| room.path.starts_with(prefix)));
    rooms
}

/// Every file of `src`, with its `tests` or without.
fn all_rooms(tests: bool) -> Vec<Room> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut rooms = Vec::new();
    let mut folders = vec![source.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the source is there") {
            let path = entry.expect("an entry").path();
            let inside = path.strip_prefix(&source).expect("it is inside").to_owned();
            if !tests && is_test(&inside) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).expect("source is text");
                let text = if tests { text } else { without_tests(&text) };
                rooms.push(Room { path: inside, text: without_comments(&text) });
            }
        }
    }
    assert!(rooms.len() > 10, "the library was found");
    rooms
}

/// `text` up to its test module.
fn without_tests(text: &str) -> String {
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or(text).to_owned()
}

fn without_comments(text: &str) -> String {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    text.lines().filter(is_code).map(|line| format!("{line}\n")).collect()
}

/// Asserts that none of `words` is in the library, but for the rooms `allowed`.
fn check_absent(invariant: &str, words: &[&str], allowed: &[&str]) {
    check_absent_in(&library(), invariant, words, allowed);
}

/// The same of `rooms`.
fn check_absent_in(rooms: &[Room], invariant: &str, words: &[&str], allowed: &[&str]) {
    for room in rooms {
        if allowed.iter().any(|prefix| room.path.starts_with(prefix)) {
            continue;
        }
        for (number, line) in room.text.lines().enumerate() {
            let found = words.iter().find(|word| line.contains(*word));
            assert_eq!(found, None, "{invariant}: {} has {line:?} ({number})", room.path.display());
        }
    }
}

#[test]
fn invariant_i5_the_library_does_not_print_exit_or_read_the_environment() {
    let printing = ["println!", "eprintln!", "print!(", "eprint!(", "dbg!", "stderr()"];
    // Nor do its tests: what prints belongs to the suite.
    check_absent_in(&of_library(all_rooms(true)), "I5", &printing, &[]);
    // `sys` hands out standard output as a file, for callers who copy to it.
    check_absent("I5", &["stdout()"], &["sys"]);
    check_absent("I5", &["process::exit", "process::abort", "signal_hook"], &[]);
    // Where a system has no signal to end by, the command says what ends it.
    let rooms: Vec<Room> = all_rooms(true).into_iter().filter(is_in_sys).collect();
    check_absent_in(&rooms, "I5", &["process::exit", "process::abort"], &[]);
    check_absent("I5", &["env::var", "env::args", "env::set_var"], &[]);
}

/// What is said to people is escaped at the one way out.
#[test]
fn only_one_file_of_the_command_writes_to_the_terminal() {
    let mut rooms = all_rooms(false);
    rooms.retain(|room| room.path.starts_with("cli") || room.path.ends_with("main.rs"));
    let writing = ["stderr().lock", "stdout().lock", "println!", "eprint!", " print!("];
    check_absent_in(&rooms, "one way out", &writing, &["cli/terminal.rs"]);
}

#[test]
fn invariant_i6_short_counts_are_handled_in_one_place() {
    // `io` implements and loops, `sys` calls, an engine has its own completion loop.
    // One of `verify` is a source in front of another: it passes each count on. So do a
    // shared sink and the doubles for tests.
    let decorators = ["verify/read_back.rs", "io.rs", "testing"];
    let rooms = [&["io", "sys", "sys.rs", "engine"][..], &decorators].concat();
    check_absent("I6", &[".read_at(", ".write_at("], &rooms);
}

/// What copies and what compares are the same workers.
#[test]
fn workers_are_started_in_one_place() {
    let starting = ["spawn_scoped(", "thread::spawn(", "thread::scope("];
    check_absent("one pool", &starting, &["pool/workers.rs"]);
}

/// Models replace the locks of `sync` by their own. All threads of a model run on one thread
/// of the system, and a lock of std would block all of them.
#[test]
fn threads_wait_for_each_other_by_one_room() {
    for room in library().iter().filter(|room| !room.path.starts_with("sync")) {
        for line in room.text.lines().filter(|line| line.contains("std::sync::")) {
            let found =
                ["Mutex", "Condvar", "RwLock", "Barrier"].iter().find(|word| line.contains(*word));
            assert_eq!(found, None, "{} has {line:?}", room.path.display());
        }
    }
}

#[test]
fn invariant_i7_nothing_fallible_in_drop() {
    for room in library() {
        for body in room.text.split("fn drop(&mut self) {").skip(1) {
            let body = body.split("\n    }").next().unwrap_or(body);
            for word in ["?;", "unwrap()", "expect(", "panic!", "sync_", "rename(", "remove("] {
                assert!(!body.contains(word), "I7: {} drops with {word}", room.path.display());
            }
        }
    }
}

/// Flags are words of the command. A caller of the library has none: it names
/// options by their names, and says by a `Remedy` what would help.
#[test]
fn the_library_names_no_flag_of_the_command() {
    // Of other programs, whose commands a message advises.
    let others = [
        "ntfsclone --restore-image",
        "aws s3api abort-multipart-upload --bucket {bucket} --key {key} --upload-id {id}",
        "aws s3api list-multipart-uploads --bucket {bucket} --prefix {key}",
        " --endpoint-url {at}",
    ];
    let mut seen = 0;
    for room in library() {
        for literal in literals(&room.text) {
            seen += 1;
            let literal = others.iter().fold(literal, |text, other| text.replace(other, ""));
            let flag = literal
                .split("--")
                .skip(1)
                .any(|rest| rest.chars().next().is_some_and(|first| first.is_ascii_alphabetic()));
            assert!(!flag, "{}: {literal:?} names a flag", room.path.display());
        }
    }
    assert!(seen > 1000, "the literals were found: {seen}");
}

/// The literals of text in source without whole lines of comments.
fn literals(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '\'', '/']) {
        let raw = rest[..at].trim_end_matches('#');
        let is_raw = raw.ends_with('r') || raw.ends_with("br");
        let hashes = if is_raw { at - raw.len() } else { 0 };
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("//") {
            rest = comment.split_once('\n').map_or("", |(_, below)| below);
        } else if rest.starts_with('"') && is_raw {
            let end = format!("\"{}", "#".repeat(hashes));
            let (literal, after) = rest[1..].split_once(&end).expect("a literal ends");
            found.push(literal.to_owned());
            rest = after;
        } else if rest.starts_with('"') {
            let mut escaped = false;
            let is_end = |&(_, byte): &(usize, u8)| {
                let ends = byte == b'"' && !escaped;
                escaped = byte == b'\\' && !escaped;
                ends
            };
            let end = rest.bytes().enumerate().skip(1).find(is_end).expect("a literal ends").0;
            found.push(rest[1..end].to_owned());
            rest = &rest[end + 1..];
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\\"'") {
            rest = rest[1..].split_once('\'').expect("a character ends").1;
        } else {
            rest = &rest[1..];
        }
    }
    found
}

#[test]
fn literals_are_found_in_source() {
    let source =
        "a(\"one\", b\"two\"); // \"no\"\nlet c = '\"'; 'x: \"th\\\"ree\"; r#\"fo\"ur\"#; \"\"";
    assert_eq!(literals(source), ["one", "two", "th\\\"ree", "fo\"ur", ""]);
}

/// What differs between systems is in one room: another system is one new file there.
#[test]
fn only_sys_knows_which_system_it_runs_on() {
    let systems = ["unix", "windows", "target_os", "target_family", "target_env", "target_vendor"];
    for room in all_rooms(true).iter().filter(|room| !is_in_sys(room)) {
        for line in room.text.lines().filter(|line| line.contains("cfg")) {
            let is_condition = systems.iter().any(|system| line.contains(system));
            assert!(!is_condition, "{}: {line}", room.path.display());
        }
        let other =
            ["std::os::unix", "std::os::windows", "std::os::linux", "windows_sys", "libc::"];
        let found = other.iter().find(|word| room.text.contains(**word));
        assert_eq!(found, None, "{}", room.path.display());
    }
}

fn is_in_sys(room: &Room) -> bool {
    room.path.starts_with("sys") || room.path == Path::new("sys.rs")
}

/// Units of work that a reader can hold in mind.
#[test]
fn files_stay_under_500_lines() {
    for room in library() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(&room.path);
        let lines = std::fs::read_to_string(path).expect("source is text").lines().count();
        assert!(lines <= 500, "{} has {lines} lines", room.path.display());
    }
}

/// The rooms of each layer, the highest first, as `docs/architecture.md` lists them.
fn layers() -> Vec<Vec<String>> {
    let page = include_str!("../../docs/architecture.md");
    let table = page.split("\n|---|---|---|\n").nth(1).expect("the table of layers");
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let names = |row: &str| {
        let rooms = row.split('|').nth(2).expect("the column of rooms");
        rooms.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    rows.map(names).collect()
}

/// The room that a file of `src` belongs to.
fn room_of(path: &Path) -> String {
    let first = path.components().next().expect("a path has a first part");
    Path::new(first.as_os_str()).with_extension("").display().to_string()
}

#[test]
fn a_room_imports_only_from_the_layers_below() {
    let layers = layers();
    let layer = |room: &str| layers.iter().position(|rooms| rooms.iter().any(|one| one == room));
    let outside = ["lib", "testing"];
    for room in all_rooms(false) {
        let from = room_of(&room.path);
        if outside.contains(&from.as_str()) {
            continue;
        }
        let own = layer(&from).unwrap_or_else(|| panic!("{from} has no layer"));
        for line in room.text.lines() {
            for path in line.split("crate::").skip(1) {
                let name: String =
                    path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                // Names that the crate itself exports, such as `crate::Result`.
                let Some(below) = layer(&name) else { continue };
                let allowed = below > own || name == from;
                assert!(allowed, "{}: {from} imports {name}: {line}", room.path.display());
            }
        }
    }
}

#[test]
fn every_room_has_a_layer_and_every_layer_its_rooms() {
    let mut listed: Vec<String> = layers().concat();
    let mut there: Vec<String> = all_rooms(false).iter().map(|room| room_of(&room.path)).collect();
    there.retain(|room| room != "lib" && room != "testing");
    listed.sort();
    there.sort();
    there.dedup();
    assert_eq!(listed, there);
}

/// A phrase that is not plain English, and what to write is in CONTRIBUTING.md.
struct Banned {
    phrase: &'static str,
    /// What it may be followed or preceded by all the way through.
    unless: &'static [&'static str],
}

const BANNED: [Banned; 8] = [
    Banned { phrase: "whoever", unless: &[] },
    Banned { phrase: "for who ", unless: &[] },
    // The advice to resume, which scripts look for.
    Banned { phrase: "go on from", unless: &["to go on from here"] },
    Banned { phrase: "goes on from", unless: &[] },
    Banned { phrase: "all the same", unless: &[] },
    Banned {
        phrase: " is no ",
        unless: &["there is no ", "is no longer", "is no more", "which is no "],
    },
    Banned { phrase: " are no ", unless: &["there are no ", "are no longer", "are no more"] },
    Banned { phrase: " was no ", unless: &["there was no ", "was no longer", "was no more"] },
];

/// Where a phrase stands that is banned, if one does.
fn banned(line: &str) -> Option<&'static str> {
    let line = line.to_lowercase();
    let is_in = |banned: &&Banned| {
        let excused = banned.unless.iter().map(|phrase| line.matches(phrase).count()).sum();
        line.matches(banned.phrase).count() > excused
    };
    BANNED.iter().find(is_in).map(|banned| banned.phrase)
}

/// Every text that a user or a reader meets.
fn texts() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The list of such phrases is in both.
    let lists = [root.join("CONTRIBUTING.md"), root.join("tests/suite/rules.rs")];
    let mut found: Vec<PathBuf> = ["README.md", "CHANGELOG.md", "SECURITY.md", "Cargo.toml"]
        .map(|name| root.join(name))
        .into();
    let mut folders: Vec<PathBuf> = [
        "docs",
        "src",
        "tests",
        "examples",
        "scripts",
        "benches",
        ".ci",
        "python/src",
        "python/pcopy",
    ]
    .map(|name| root.join(name))
    .into();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            if path.is_dir() {
                folders.push(path);
            } else if !lists.contains(&path) {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn no_document_or_source_has_a_banned_phrase() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for path in texts() {
        // Libraries and pictures are not text.
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        seen += 1;
        for (number, line) in text.lines().enumerate() {
            if let Some(phrase) = banned(line) {
                wrong.push(format!("{}:{}: {phrase:?}: {line}", path.display(), number + 1));
            }
        }
    }
    assert!(seen > 100, "only {seen} texts were found");
    assert!(wrong.is_empty(), "see CONTRIBUTING.md, English:\n{}", wrong.join("\n"));
}

/// A sentence whose subject is a clause is read twice.
#[test]
fn no_sentence_of_the_documents_begins_with_a_clause() {
    let mut wrong = Vec::new();
    for path in texts().iter().filter(|path| path.extension().is_some_and(|end| end == "md")) {
        let text = std::fs::read_to_string(path).expect("a document is text");
        // Every other part is a block of code.
        for part in text.split("\n```").step_by(2) {
            for sentence in part.split(['\n', '|']).flat_map(|line| line.split(". ")) {
                let sentence = sentence.trim_start_matches(['-', '*', ' ']);
                if sentence.starts_with("What ") && !sentence.contains('?') {
                    wrong.push(format!("{}: {sentence}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "name the subject:\n{}", wrong.join("\n"));
}

#[test]
fn banned_phrases_are_found_and_others_are_not() {
    for wrong in ["for whoever reads", "It goes on from there", "That is no list", "All the same,"]
    {
        assert!(banned(wrong).is_some(), "{wrong}");
    }
    for right in ["there is no list", "it is no longer", "pcopy: to go on from here: pcopy", "now"]
    {
        assert_eq!(banned(right), None, "{right}");
    }
}
