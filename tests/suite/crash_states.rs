//! Every state in which a power cut may leave a copy of three stripes, not only those that
//! a file system of today happens to leave. The calls of the program are recorded; whenever
//! one begins or returns, any subset of what no sync has secured yet is taken to be on the
//! disk: sectors of writes, of which one may be torn, lengths, names that were made, given
//! and removed. In each of these states the final name is absent, old or complete, and not
//! absent where an old file was; the map is true, all other names are ours, and a resume
//! ends with the right bytes (invariants I3, I4 and I12). Whatever is lost after the last
//! call, the copy is complete (I11).
//!
//! The disk is worse than any: a sync of a file secures its bytes and not its name, names
//! come in any order, and only a sync of their folder secures them. A sync secures what had
//! been written when it began; what is still being written then, or later, is pending.

#[path = "crash_states/disk.rs"]
mod disk;
#[path = "crash_states/log.rs"]
mod log;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use self::disk::{Files, Outcomes, PIECE, Recording, SECTOR};
use crate::common::{Scene, pattern, program};
use crate::inject::can_inject;

/// Bytes of a stripe, and of the source: two stripes and two and a half sectors.
const STRIPE: usize = 2 * SECTOR;
const LEN: usize = 2 * STRIPE + SECTOR + SECTOR / 2;

/// A copy, and what is under its final names before and after it.
struct Job {
    what: &'static str,
    /// All words of the line; for `HOW`, how to treat what is left, and how slow to be.
    line: &'static str,
    /// For each final name, what it held before, if anything, and what it is to hold.
    ends: BTreeMap<&'static str, (Option<Vec<u8>>, Vec<u8>)>,
    is_in_place: bool,
    /// Where its map is, if that is said.
    map: Option<&'static str>,
    has_workers: bool,
    /// The names of the side files that it is to write in the end.
    sides: &'static [&'static str],
}

/// One worker, with a request for each stripe.
const STEPS: &str = "-q --engine positioned -t 1 --io-size 1KiB --stripe-size 1KiB";

/// Several of them, with stripes so small that each has some.
const WORKERS: &str = "-q --engine positioned -t 3 --io-size 512 --stripe-size 512";

/// Faults of strace that let writes of several workers begin and return while the data is
/// synced: both take longer.
const LONG_CALLS: [&str; 4] =
    ["-e", "inject=fdatasync:delay_enter=80000", "-e", "inject=pwrite64:delay_exit=20000"];

/// Slow enough for some maps.
const SLOWLY: &str = "--limit-rate 8KiB --checkpoint-every 0";

impl Job {
    fn words(&self, how: &str) -> Vec<String> {
        // The small files of a batch are written at once.
        let steps = match self.has_workers {
            _ if self.line.starts_with("batch") => "-q -t 1",
            true => WORKERS,
            false => STEPS,
        };
        let line = self.line.replace("HOW", &format!("{how} {steps}"));
        line.split_whitespace().map(str::to_owned).collect()
    }

    /// What is there before the copy: all of it is secured.
    fn before(&self) -> Files {
        let old = |(name, (old, _)): (&&str, &(Option<Vec<u8>>, Vec<u8>))| {
            Some(((*name).to_owned(), old.clone()?))
        };
        self.ends.iter().filter_map(old).collect()
    }

    /// Whether `found` is what there is to be after it, and nothing else.
    fn is_done(&self, found: &Files) -> bool {
        found.len() == self.ends.len() + self.sides.len()
            && self.ends.iter().all(|(name, (_, new))| found.get(*name) == Some(new))
            && self.sides.iter().all(|name| found.contains_key(*name))
    }

    /// The calls of one run of the program from what is there now.
    fn trace(&self, scene: &Scene, how: &str) -> Recording {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let mut run = scene.tool("strace", ["-f", "-y", "-xx", "-s", "100000", "-qqq", "-o"]);
        run.command.arg(file.path()).args(["-e", &format!("trace={}", log::CALLS.join(","))]);
        run.command.args(LONG_CALLS.iter().filter(|_| self.has_workers));
        run.command.arg(program()).args(self.words(how));
        run.run().code(0);
        let log = std::fs::read_to_string(file.path()).expect("strace has written a log");
        log::recording(&log, &scene.folder().canonicalize().expect("the folder is there"))
    }

    /// What must be true of `state` as it is.
    fn check(&self, state: &Files, what: &str) {
        for (name, content) in state {
            match self.ends.get(&**name) {
                Some((old, new)) if self.is_in_place => {
                    let old = old.as_deref().expect("a file to write into");
                    check_place(content, old, new, what);
                }
                Some((old, new)) => {
                    let is_whole = content == new || Some(content) == old.as_ref();
                    assert!(is_whole, "{what}: {name} is neither old nor complete");
                }
                None if self.sides.contains(&&**name) => check_side(name, content, what),
                None => assert!(self.is_ours(name), "{what}: {name} is not ours"),
            }
        }
        for (name, _) in self.ends.iter().filter(|(_, (old, _))| old.is_some()) {
            assert!(state.contains_key(*name), "{what}: neither the old {name} nor the new one");
        }
        // That of a set of files is of all of them: the resume shows whether it is true.
        for (name, (_, new)) in self.ends.iter().filter(|_| !self.line.contains("--split")) {
            let Some(map) = state.get(&self.map_of(name)) else { continue };
            let part = part_of(name);
            let data = state.get(&part).filter(|_| !self.is_in_place).or_else(|| state.get(*name));
            check_map(map, data.unwrap_or_else(|| panic!("{what}: a map of nothing")), new, what);
        }
    }

    /// Whether a resume may refuse to go on, and then changes nothing: one of several destinations
    /// is complete, and the other one is resumed by itself; or the only one is, and what is
    /// missing is a side file; or files of a set have got their names in another order than
    /// they were given them, and no map knows of it.
    fn may_be_refused(&self, state: &Files) -> bool {
        let is_left = |end: &str| {
            [part_of(end), self.map_of(end)].iter().any(|name| state.contains_key(name))
        };
        let mut named = self.ends.keys().map(|end| state.contains_key(*end));
        (self.line.contains("--also") || !self.sides.is_empty())
            && self.ends.keys().any(|end| state.contains_key(*end) && !is_left(end))
            || self.line.contains("--split")
                && !state.get("copy.001.pcopy-map").is_some_and(|map| records(map))
                && named.any(|is| !is)
                && named.any(|is| is)
    }

    fn map_of(&self, end: &str) -> String {
        self.map.map_or_else(|| format!("{end}.pcopy-map"), str::to_owned)
    }

    /// Whether `name` is that of a part, a map, or a temporary.
    fn is_ours(&self, name: &str) -> bool {
        let is_of = |end: &&str| {
            let map = self.map_of(end);
            name == part_of(end) || name == map || is_temporary(name, &map)
        };
        self.ends.keys().any(is_of) || self.sides.iter().any(|side| is_temporary(name, side))
    }
}

fn part_of(end: &str) -> String {
    format!("{end}.pcopy-part")
}

/// Whether `name` is what a temporary of the file `of` may be called.
fn is_temporary(name: &str, of: &str) -> bool {
    let (folder, of) = of.rsplit_once('/').unwrap_or(("", of));
    let begin = Path::new(folder).join(format!(".{of}.pcopy-"));
    name.starts_with(&*begin.to_string_lossy()) && name.ends_with(".tmp")
}

/// A side file that has its name is complete.
fn check_side(name: &str, content: &[u8], what: &str) {
    let digest = format!("{:08x}", crc32c::crc32c(&pattern(1, LEN)));
    let text = String::from_utf8(content.to_vec()).expect("side files are text");
    let is_whole = match name.rsplit_once('.') {
        None => text == format!("CRC32C (copy) = {digest}\n"),
        Some((_, "json")) => serde_json::from_str::<serde_json::Value>(&text)
            .is_ok_and(|log| log["report"]["digests"]["crc32c"] == digest),
        Some(_) => text.contains("COMPLETE: every byte") && text.trim_end().ends_with(&digest),
    };
    assert!(is_whole, "{what}: {name} is not complete:\n{text}");
}

/// Puts `state` in place of what is in the scene, but for what the copy reads.
fn lay_out(scene: &Scene, state: &Files) {
    for name in names_in(scene.folder(), scene.folder()) {
        if !READ.contains(&&*name) {
            std::fs::remove_file(scene.path(name)).expect("it can be removed");
        }
    }
    for (name, content) in state {
        scene.write(name, content);
        // As they are made.
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(scene.path(name), private).expect("it is ours");
    }
}

fn content_of(scene: &Scene) -> Files {
    let mut names = names_in(scene.folder(), scene.folder());
    names.retain(|name| !READ.contains(&&**name));
    names.into_iter().map(|name| (name.clone(), scene.read(&name))).collect()
}

/// In place, each piece is the old or the new one, and the file no longer than either.
fn check_place(content: &[u8], old: &[u8], new: &[u8], what: &str) {
    assert!(content.len() <= old.len().max(new.len()), "{what}: it is too long");
    for (number, found) in content.chunks(PIECE).enumerate() {
        let was = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes.resize(old.len().max(new.len()), 0);
            bytes[number * PIECE..][..found.len()] == *found
        };
        let at = number * PIECE;
        assert!(was(old) || was(new), "{what}: what is at {at} is neither old nor new");
    }
}

/// Whether `map` calls anything done.
fn records(map: &[u8]) -> bool {
    map.windows(3).any(|text| text == b" +\n")
}

/// What `map` calls done is in `data`.
fn check_map(map: &[u8], data: &[u8], source: &[u8], what: &str) {
    let text = String::from_utf8(map.to_vec()).expect("a map is text");
    assert!(text.contains("# pcopy checksum"), "{what}: half a map:\n{text}");
    let number = |word: &str| usize::from_str_radix(word.trim_start_matches("0x"), 16).ok();
    for line in text.lines().filter(|line| line.ends_with('+') && line.starts_with("0x")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        // The line of the state ends so as well, and has a position alone.
        let [at, len, "+"] = words[..] else { continue };
        let (Some(at), Some(len)) = (number(at), number(len)) else { continue };
        let done = data.get(at..at + len);
        assert!(done == Some(&source[at..at + len]), "{what}: not there, but done: {line}");
    }
}

/// The names of the files below `folder`, as seen from `base`.
fn names_in(folder: &Path, base: &Path) -> HashSet<String> {
    let mut names = HashSet::new();
    for entry in std::fs::read_dir(folder).expect("the folder can be listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            names.extend(names_in(&path, base));
        } else {
            let name = path.strip_prefix(base).expect("it is below");
            names.insert(name.to_string_lossy().into_owned());
        }
    }
    names
}

/// What the copies read: it stays as it is.
const READ: [&str; 2] = ["source", "list.csv"];

/// A scene with what is read, and the folders that are written to.
fn scene() -> Scene {
    let scene = Scene::new();
    scene.write("source", &pattern(1, LEN));
    scene.write("list.csv", b"name,start,end\na,0,1000\nb,1000,2816\n");
    for folder in ["into", "far"] {
        std::fs::create_dir(scene.path(folder)).expect("a folder can be made");
    }
    scene
}

/// What power cuts may leave of one run of `job` from `before`. Whatever is lost when it has
/// ended, the copy is complete.
fn recorded(job: &Job, scene: &Scene, before: &Files, how: &str) -> Outcomes {
    lay_out(scene, before);
    let outcomes = job.trace(scene, how).outcomes(before);
    for state in &outcomes.last {
        let names: Vec<_> = state.iter().map(|(name, data)| (name, data.len())).collect();
        assert!(job.is_done(state), "{}: it has ended, and a power cut leaves {names:?}", job.what);
    }
    outcomes
}

/// Every so many of `count` states that are tried, so that there are about `most` in the
/// short run, and about `long` in the long one.
fn step(count: usize, most: usize, long: usize) -> usize {
    count.div_ceil(if std::env::var_os("PCOPY_SOAK").is_some() { long } else { most })
}

/// Looks at all `states` of `job`, and resumes from about `most` of them, or all in the long run.
fn check_all(job: &Job, scene: &Scene, states: &BTreeSet<Files>, most: usize) {
    for (number, state) in states.iter().enumerate() {
        let names: Vec<_> = state.iter().map(|(name, data)| (name, data.len())).collect();
        let what = format!("{}: {names:?}", job.what);
        job.check(state, &what);
        if job.is_done(state) || number % step(states.len(), most, usize::MAX) != 0 {
            continue;
        }
        lay_out(scene, state);
        let ended = scene.pcopy(job.words("--resume")).run();
        let (code, said, mut found) = (ended.status.code(), &ended.stderr, content_of(scene));
        if job.may_be_refused(state) && code == Some(3) {
            assert!(found == *state, "{what}: refused, there are {:?}", found.keys());
        } else {
            assert_eq!(code, Some(0), "{what}: {said}");
            // Those of side files stay: nothing tells what is in them.
            let is_of_a_side = |name: &str| job.sides.iter().any(|side| is_temporary(name, side));
            found.retain(|name, _| !is_of_a_side(name) || !state.contains_key(name));
            assert!(job.is_done(&found), "{what}: resumed, there are {:?}: {said}", found.keys());
        }
    }
}

/// All forms of a copy that leave something to resume.
fn jobs() -> Vec<Job> {
    let new = pattern(1, LEN);
    let job = |what, line, ends| Job {
        what,
        line,
        ends,
        is_in_place: false,
        map: None,
        has_workers: false,
        sides: &[],
    };
    let copied = |old: Option<Vec<u8>>| [("copy", (old, new.clone()))].into();
    let (short, long) = (pattern(2, 1000), pattern(2, 3000));
    let over = [&new[..], &long[LEN..]].concat();
    let half = |from: usize, to: usize| (None, new[from..to].to_vec());
    vec![
        job("new", "HOW source copy", copied(None)),
        job("replaced", "HOW -f source copy", copied(Some(short.clone()))),
        job("replaced by one as long", "HOW -f source copy", copied(Some(pattern(2, LEN)))),
        Job {
            map: Some("far/map"),
            ..job("its map elsewhere", "HOW --map far/map source copy", copied(None))
        },
        Job {
            is_in_place: true,
            ..job("made longer", "HOW --in-place source copy", copied(Some(short)))
        },
        Job {
            is_in_place: true,
            ..job("in place", "HOW --in-place source copy", [("copy", (Some(long), over))].into())
        },
        Job {
            has_workers: true,
            ..job("replaced by workers", "HOW -f source copy", copied(Some(pattern(2, LEN))))
        },
        Job {
            is_in_place: true,
            has_workers: true,
            ..job(
                "in place, by workers",
                "HOW --in-place source copy",
                copied(Some(pattern(2, LEN))),
            )
        },
        Job {
            sides: &["sums", "a.log", "a.log.json"],
            ..job(
                "with side files",
                "HOW --digest crc32c --digest-file sums --log a.log source copy",
                copied(None),
            )
        },
        job(
            "two destinations",
            "HOW --also far/other source copy",
            [("copy", (None, new.clone())), ("far/other", (None, new.clone()))].into(),
        ),
        job(
            "split",
            "HOW --split 1K source copy",
            [
                ("copy.001", half(0, 1024)),
                ("copy.002", half(1024, 2048)),
                ("copy.003", half(2048, LEN)),
            ]
            .into(),
        ),
        job(
            "batch",
            "batch HOW --source source --into into list.csv",
            [("into/a", half(0, 1000)), ("into/b", half(1000, LEN))].into(),
        ),
    ]
}

#[test]
fn every_state_that_a_power_cut_may_leave_is_resumed() {
    if !can_inject() {
        return;
    }
    let (mut runs, mut count, mut meanwhile) = (0, 0, 0);
    for job in jobs() {
        let scene = scene();
        for speed in [SLOWLY, ""] {
            let is_slow = !speed.is_empty();
            let mut found = recorded(&job, &scene, &job.before(), speed);
            // On a machine where the other threads had no turn, once more.
            let says_little = |found: &Outcomes| is_slow && job.has_workers && found.meanwhile == 0;
            for _ in 0..9 {
                if says_little(&found) {
                    found = recorded(&job, &scene, &job.before(), speed);
                }
            }
            assert!(!says_little(&found), "{}: no write returned during a sync", job.what);
            let maps = found.states.iter().flatten().filter(|(name, _)| name.ends_with("map"));
            let has_recorded = maps.filter(|(_, map)| records(map)).count() > 0;
            let has_maps = is_slow && !job.line.starts_with("batch");
            // A quick one on a slow machine has maps as well.
            assert!(has_recorded || !has_maps, "{}: no map records anything", job.what);
            check_all(&job, &scene, &found.states, 30);
            runs += 1;
            count += found.states.len();
            meanwhile += found.meanwhile;
        }
    }
    println!(
        "measured: power cuts, every state of small copies: {runs} runs, {count} states, \
         {meanwhile} writes during a sync, 0 violations"
    );
}

/// The power goes a second time, while what the first time left is resumed.
#[test]
fn every_state_of_a_resume_is_resumed_again() {
    if !can_inject() {
        return;
    }
    let (mut runs, mut count) = (0, 0);
    // Those of one map, whose states a resume can meet all of.
    for job in jobs().into_iter().take(8) {
        let scene = scene();
        let mut first = recorded(&job, &scene, &job.before(), SLOWLY).states;
        first.retain(|state| !job.is_done(state));
        for before in first.iter().step_by(step(first.len(), 2, 25)) {
            let states = recorded(&job, &scene, before, &format!("--resume {SLOWLY}")).states;
            check_all(&job, &scene, &states, 10);
            runs += 1;
            count += states.len();
        }
    }
    println!(
        "measured: power cuts, every state of small copies that are resumed: {runs} runs, \
         {count} states, 0 violations"
    );
}
