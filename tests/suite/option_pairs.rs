//! Every pair of the options of a copy, on a small source, by the program: what is said, what
//! is written and what is left, against a model that knows the documents and no code. In
//! the long run also every three of them.

use std::collections::BTreeMap;
use std::io::{Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use pcopy::digest::{Algorithm, hash_slice};

use crate::common::{Scene, assert_same, pattern};

/// Bytes of the source, of which those from `HOLE` up to `DATA` are a hole.
const SIZE: usize = 10_000;
const HOLE: usize = 4096;
const DATA: usize = 8192;

/// Bytes of a destination that is there before.
const BEFORE: usize = 12_000;

/// Bytes of a file, with `--split`.
const PART: usize = 4096;

/// What was asked for.
#[derive(Clone, Debug, Default)]
struct Wish {
    /// From and to, where a range was named.
    range: Option<(usize, usize)>,
    offset: Option<usize>,
    length: Option<usize>,
    dest_offset: usize,
    clamp: bool,
    also: bool,
    split: bool,
    force: bool,
    preserve: bool,
    in_place: bool,
    only_changed: bool,
    no_sync: bool,
    resume: bool,
    restart: bool,
    map: bool,
    /// An engine or a way that the file system may not have.
    is_particular: bool,
    digests: Vec<Algorithm>,
    digest_every: bool,
    digest_file: bool,
    expects_other: bool,
    verify: bool,
    repair: bool,
    check_source: bool,
    allow_changed: bool,
    dry_run: bool,
}

/// An option with a value.
struct Setting {
    line: &'static str,
    say: fn(&mut Wish),
}

const fn setting(line: &'static str, say: fn(&mut Wish)) -> Setting {
    Setting { line, say }
}

/// All but those that are of devices, of servers, of folders and of what is printed.
const SETTINGS: &[Setting] = &[
    setting("--range 1000..7000", |wish| wish.range = Some((1000, 7000))),
    setting("--range -3000", |wish| wish.range = Some((SIZE - 3000, SIZE))),
    setting("--range 5000..20000", |wish| wish.range = Some((5000, 20_000))),
    setting("--range 4096..8192", |wish| wish.range = Some((HOLE, DATA))),
    setting("--range 5..5", |wish| wish.range = Some((5, 5))),
    setting("--offset 100", |wish| wish.offset = Some(100)),
    setting("--length 5000", |wish| wish.length = Some(5000)),
    setting("--dest-offset 4K", |wish| wish.dest_offset = 4096),
    setting("--clamp", |wish| wish.clamp = true),
    setting("--join never", |_| {}),
    setting("--also other", |wish| wish.also = true),
    setting("--split 4K", |wish| wish.split = true),
    setting("--force", |wish| wish.force = true),
    setting("--preserve", |wish| wish.preserve = true),
    setting("--in-place", |wish| wish.in_place = true),
    setting("--only-changed", |wish| wish.only_changed = true),
    setting("--wait 0", |_| {}),
    setting("--allow-same-device", |_| {}),
    setting("--ignore-space", |_| {}),
    setting("--even-if-in-use", |_| {}),
    setting("--no-sync", |wish| wish.no_sync = true),
    setting("--resume", |wish| wish.resume = true),
    setting("--restart", |wish| wish.restart = true),
    setting("--trust-leftovers", |_| {}),
    setting("--map m", |wish| wish.map = true),
    setting("--checkpoint-every 0", |_| {}),
    setting("--allow-changed-source", |wish| wish.allow_changed = true),
    setting("--threads 3", |_| {}),
    setting("--stripe-size 4K", |_| {}),
    setting("--io-size 4K", |_| {}),
    setting("--engine positioned", |_| {}),
    setting("--engine direct", |wish| wish.is_particular = true),
    setting("--engine offload", |wish| wish.is_particular = true),
    setting("--engine mmap", |wish| wish.is_particular = true),
    setting("--engine splice", |wish| wish.is_particular = true),
    setting("--reflink never", |_| {}),
    setting("--reflink always", |wish| wish.is_particular = true),
    setting("--sparse always", |_| {}),
    setting("--sparse never", |_| {}),
    setting("--preallocate off", |_| {}),
    setting("--preallocate full", |_| {}),
    setting("--keep-cache", |_| {}),
    setting("--on-read-error stop", |_| {}),
    setting("--retries 0", |_| {}),
    setting("--limit-rate 1G", |_| {}),
    setting("--digest blake3", |wish| wish.digests.push(Algorithm::Blake3)),
    setting("--digest sha256", |wish| wish.digests.push(Algorithm::Sha256)),
    setting("--digest-every 4K", |wish| wish.digest_every = true),
    setting("--digest crc32c --digest-file d", |wish| {
        wish.digests.push(Algorithm::Crc32c);
        wish.digest_file = true;
    }),
    setting("--expect md5:00000000000000000000000000000000", |wish| wish.expects_other = true),
    setting("--verify", |wish| wish.verify = true),
    setting("--repair", |wish| wish.repair = true),
    setting("--check-source", |wish| wish.check_source = true),
    setting("--dry-run", |wish| wish.dry_run = true),
];

/// Options that may be given more than once.
const REPEATABLE: [&str; 2] = ["--digest", "--expect"];

/// The destinations before the copy, and what is asked for anyway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum World {
    /// None is there.
    New,
    /// All are there, and written in place.
    InPlace,
    /// All are there, and replaced.
    Replaced,
}

const WORLDS: [World; 3] = [World::New, World::InPlace, World::Replaced];

impl World {
    fn has_files(self) -> bool {
        self != World::New
    }

    fn options(self) -> &'static str {
        match self {
            World::New => "",
            World::InPlace => "--in-place",
            World::Replaced => "--force",
        }
    }
}

/// How a copy should end.
#[derive(PartialEq, Eq, Debug)]
enum Verdict {
    /// The command line makes no sense.
    Usage,
    /// It is refused; where an engine is named, it may be that instead of a copy.
    Refused,
    /// The digest is another one.
    Mismatch,
    /// Nothing is written.
    Planned,
    Copied,
}

impl Wish {
    fn of(settings: &[&Setting], world: World) -> Wish {
        let mut wish = Wish::default();
        (wish.in_place, wish.force) = (world == World::InPlace, world == World::Replaced);
        for setting in settings {
            (setting.say)(&mut wish);
        }
        wish
    }

    /// From and to, as it was asked for.
    fn asked(&self) -> (usize, usize) {
        let start = self.offset.unwrap_or(0);
        self.range.unwrap_or((start, self.length.map_or(SIZE, |length| start + length)))
    }

    fn is_whole(&self) -> bool {
        self.range.is_none() && self.offset.is_none() && self.length.is_none()
    }

    /// What is read.
    fn source(&self) -> (usize, usize) {
        let (start, end) = self.asked();
        (start, end.min(SIZE))
    }

    /// As `docs/reference.md` and `--help` say.
    fn makes_no_sense(&self) -> bool {
        let is_dd = self.offset.is_some() || self.length.is_some();
        self.range.is_some() && is_dd
            || self.split && (self.in_place || self.preserve || self.dest_offset > 0)
            || self.force && (self.in_place || self.only_changed)
            || self.resume && self.restart
            || self.digest_every && self.digests.is_empty()
            || self.verify && self.no_sync
            || self.repair && !self.verify
            || self.check_source && (!self.verify || self.allow_changed)
            || self.also && (self.map || self.is_particular)
            || self.preserve && (!self.is_whole() || self.dest_offset > 0 || self.in_place)
    }

    fn is_refused(&self, world: World) -> bool {
        self.asked().1 > SIZE && !self.clamp
            || self.in_place && !world.has_files()
            || self.only_changed && !self.in_place
    }

    fn verdict(&self, world: World) -> Verdict {
        match () {
            () if self.makes_no_sense() => Verdict::Usage,
            () if self.is_refused(world) => Verdict::Refused,
            () if self.dry_run => Verdict::Planned,
            () if self.expects_other => Verdict::Mismatch,
            () => Verdict::Copied,
        }
    }
}

/// Everything in the folder, by name.
type Files = BTreeMap<String, Vec<u8>>;

fn files(scene: &Scene) -> Files {
    scene.names().into_iter().map(|name| (name.clone(), scene.read(&name))).collect()
}

fn source() -> Vec<u8> {
    let mut bytes = pattern(1, SIZE);
    bytes[HOLE..DATA].fill(0);
    bytes
}

fn scene(world: World) -> Scene {
    let scene = Scene::new();
    let bytes = source();
    let mut file = std::fs::File::create(scene.path("source")).expect("a file can be made");
    file.write_all(&bytes[..HOLE]).expect("written");
    file.seek(SeekFrom::Start(DATA as u64)).expect("a file has places");
    file.write_all(&bytes[DATA..]).expect("written");
    if world.has_files() {
        scene.write("copy", &pattern(2, BEFORE));
        scene.write("other", &pattern(2, BEFORE));
    }
    scene
}

/// The files that there should be after a copy, where `before` was there.
fn after(wish: &Wish, before: &Files) -> Files {
    let mut files = before.clone();
    let (start, end) = wish.source();
    let bytes = &source()[start..end];
    let names = ["copy", "other"].into_iter().take(if wish.also { 2 } else { 1 });
    for name in names {
        // Of a further destination there is one file.
        if wish.split && name == "copy" {
            // There is always one.
            let count = bytes.len().div_ceil(PART).max(1);
            for number in 0..count {
                let part = &bytes[number * PART..bytes.len().min((number + 1) * PART)];
                files.insert(format!("{name}.{:03}", number + 1), part.to_vec());
            }
            continue;
        }
        let was = if wish.in_place { before[name].clone() } else { Vec::new() };
        let mut now = was;
        now.resize(now.len().max(wish.dest_offset + bytes.len()), 0);
        now[wish.dest_offset..wish.dest_offset + bytes.len()].copy_from_slice(bytes);
        files.insert(name.to_owned(), now);
    }
    files
}

/// Whether a name is that of something an interrupted copy leaves.
fn is_left(name: &str) -> bool {
    name == "m" || name.ends_with(".pcopy-part") || name.ends_with(".pcopy-map")
}

/// Runs a copy with `settings`, and compares.
fn check(settings: &[&Setting], world: World) {
    let wish = Wish::of(settings, world);
    let scene = scene(world);
    let before = files(&scene);
    let words: Vec<&str> = settings.iter().map(|setting| setting.line).collect();
    let line =
        format!("--json --progress none {} {} source copy", world.options(), words.join(" "));
    let ended = scene.run(&line);
    let code = ended.status.code().expect("no signal");
    let report = ended.report();
    let mut found = files(&scene);
    let context = format!("pcopy {line}: {world:?}: exit {code}: {}", report["error"]);
    let verdict = wish.verdict(world);

    if code == 2 || code == 3 {
        let is_expected = match verdict {
            Verdict::Usage => code == 2 || wish.is_refused(world) || wish.is_particular,
            // What is shared is written as a whole.
            _ if wish.only_changed && wish.is_particular => true,
            Verdict::Refused => code == 3,
            _ => wish.is_particular && code == 3,
        };
        assert!(is_expected, "{context}: {verdict:?} was expected");
        assert_eq!(found, before, "{context}: something has changed");
        assert_eq!(report["outcome"], "refused", "{context}");
        let is_word = |key: &str| report[key].as_str().is_some_and(|text| !text.is_empty());
        assert!(is_word("error") && is_word("error_kind"), "{context}");
        return;
    }
    let (start, end) = wish.source();
    match verdict {
        Verdict::Planned => {
            assert_eq!((code, &report["outcome"]), (0, &"planned".into()), "{context}");
            assert_eq!(found, before, "{context}: something has changed");
        }
        Verdict::Mismatch => {
            assert_eq!((code, &report["outcome"]), (4, &"mismatch".into()), "{context}");
            assert_eq!(report["error_kind"], "digest_mismatch", "{context}");
            found.retain(|name, _| !is_left(name));
            let expected = if wish.in_place { after(&wish, &before) } else { before };
            assert_eq!(found, expected, "{context}: only what can be resumed is left");
        }
        Verdict::Copied => {
            assert_eq!((code, &report["outcome"]), (0, &"complete".into()), "{context}");
            if wish.digest_file {
                let lines = found.remove("d").expect("the file of digests");
                let hex = hash_slice(Algorithm::Crc32c, &source()[start..end]).to_string();
                assert!(String::from_utf8_lossy(&lines).contains(&hex), "{context}");
            }
            let expected = after(&wish, &before);
            let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(&found), names(&expected), "{context}");
            for (name, bytes) in &expected {
                assert_same(&found[name], bytes, &format!("{context}: {name}"));
            }
            let requested = (end - start) as u64;
            let bytes = |key: &str| report["bytes"][key].as_u64().unwrap_or(0);
            assert_eq!(bytes("requested"), requested, "{context}");
            let all = bytes("copied") + bytes("holes");
            assert_eq!((all, bytes("failed")), (requested, 0), "{context}: {report}");
            let looked_at = bytes("written") + bytes("equal");
            assert_eq!(looked_at, if wish.only_changed { requested } else { 0 }, "{context}");
            assert_eq!(report["durable"], !wish.no_sync, "{context}");
            assert_eq!(report["verified"].as_bool().unwrap_or(false), wish.verify, "{context}");
            for algorithm in &wish.digests {
                let digest = hash_slice(*algorithm, &source()[start..end]).to_string();
                assert_eq!(report["digests"][algorithm.name()], digest, "{context}");
            }
        }
        Verdict::Usage | Verdict::Refused => panic!("{context}: {verdict:?} was expected"),
    }
}

/// Whether `one` and `other` may be in one line.
fn go_together(one: &Setting, other: &Setting) -> bool {
    let option = |setting: &Setting| setting.line.split(' ').next();
    option(one) != option(other) || option(one).is_some_and(|name| REPEATABLE.contains(&name))
}

/// Every set of `count` settings that may be in one line.
fn combinations(count: usize) -> Vec<Vec<&'static Setting>> {
    let mut sets: Vec<Vec<&Setting>> = vec![Vec::new()];
    for setting in SETTINGS {
        for at in 0..sets.len() {
            let set = &sets[at];
            if set.len() < count && set.iter().all(|other| go_together(other, setting)) {
                sets.push(set.iter().copied().chain([setting]).collect());
            }
        }
    }
    sets.retain(|set| set.len() == count);
    sets
}

/// Whether `settings` may be in one line with the options of `world`.
fn fits(settings: &[&Setting], world: World) -> bool {
    settings.iter().all(|setting| setting.line != world.options())
}

/// Runs all of `cases`, a few at a time: each mostly waits for the disk.
fn check_all(cases: &[(Vec<&Setting>, World)]) {
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((settings, world)) = cases.get(next.fetch_add(1, Relaxed)) {
                    // Each says what it is; all are to be seen at once.
                    let checked = catch_unwind(AssertUnwindSafe(|| check(settings, *world)));
                    failed.fetch_add(usize::from(checked.is_err()), Relaxed);
                }
            });
        }
    });
    assert_eq!(failed.load(Relaxed), 0, "violations, of {} copies", cases.len());
}

fn is_long() -> bool {
    std::env::var_os("PCOPY_SOAK").is_some()
}

#[test]
fn every_pair_of_options_does_what_both_say() {
    let singles = combinations(0).into_iter().chain(combinations(1));
    let mut cases: Vec<_> =
        singles.flat_map(|set| WORLDS.map(|world| (set.clone(), world))).collect();
    for (number, pair) in combinations(2).into_iter().enumerate() {
        // In the short run each pair by itself, in one of the worlds.
        let worlds = if is_long() { &WORLDS[..] } else { &WORLDS[number % 3..][..1] };
        cases.extend(worlds.iter().map(|world| (pair.clone(), *world)));
    }
    cases.retain(|(set, world)| fits(set, *world));
    check_all(&cases);
    println!(
        "measured: every pair of {} settings of a copy: {} copies, 0 violations",
        SETTINGS.len(),
        cases.len()
    );
}

#[test]
fn every_three_options_do_what_all_of_them_say() {
    let triples = combinations(3);
    // A sample of them in the short run.
    let step = if is_long() { 1 } else { triples.len() / 100 };
    let worlds = WORLDS.iter().cycle();
    let mut cases: Vec<_> =
        triples.into_iter().zip(worlds).step_by(step).map(|(set, world)| (set, *world)).collect();
    cases.retain(|(set, world)| fits(set, *world));
    check_all(&cases);
    println!(
        "measured: three of {} settings of a copy: {} copies, 0 violations",
        SETTINGS.len(),
        cases.len()
    );
}
