//! Every pair of the options of a copy, on a small source, by the program: what is said, what
//! is written and what is left, against a model that knows the documents and no code. In
//! the long run also every three of them.
//!
//! Stripes are so short that each copy has several, and several workers. A copy may be refused
//! for the reasons that the model names, and must be where one of them holds. What the file
//! system cannot do is found out first, by each setting that needs it, by itself.

mod model;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use pcopy::digest::{Algorithm, hash_slice};
use serde_json::{Map, Value, json};

use self::model::{Files, Reason, Sparse, Verdict, Wish};
use self::world::{DATA, HOLE, MAP, PART, SIZE, WORLDS, World, machine, source, stored};
use crate::common::{Ended, Scene, assert_same};

/// Stripes and workers of a copy that names none.
const STRIPE: usize = 4096;
const THREADS: usize = 2;

/// What says so.
const BASE: &str = "--stripe-size 4K";

/// An option with a value, or options that need each other.
struct Setting {
    line: &'static str,
    say: fn(&mut Wish),
}

const fn setting(line: &'static str, say: fn(&mut Wish)) -> Setting {
    Setting { line, say }
}

impl Setting {
    fn options(&self) -> impl Iterator<Item = &'static str> {
        self.line.split(' ').filter(|word| word.starts_with("--"))
    }

    /// Whether it serves on some file systems only.
    fn needs_something(&self) -> bool {
        let always = ["--engine positioned", "--reflink never"];
        self.options().any(|option| ["--engine", "--reflink"].contains(&option))
            && !always.contains(&self.line)
    }
}

/// All but those that are of devices, of servers, of folders and of what is printed.
const SETTINGS: &[Setting] = &[
    setting("--range 1000..7000", |wish| wish.range = Some((1000, 7000))),
    setting("--range -9000", |wish| wish.range = Some((SIZE - 9000, SIZE))),
    setting("--range 5000..30000", |wish| wish.range = Some((5000, 30_000))),
    setting("--range 8192..16384", |wish| wish.range = Some((HOLE, DATA))),
    setting("--range 5..5", |wish| wish.range = Some((5, 5))),
    setting("--offset 100", |wish| wish.offset = Some(100)),
    setting("--length 9000", |wish| wish.length = Some(9000)),
    setting("--dest-offset 4K", |wish| wish.dest_offset = 4096),
    setting("--clamp", |wish| wish.clamp = true),
    setting("--join never", |_| {}),
    setting("--also other", |wish| wish.also = true),
    setting("--split 8K", |wish| wish.split = true),
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
    setting("--threads 3", |wish| wish.threads = Some(3)),
    setting("--stripe-size 8K", |wish| wish.stripe = Some(8192)),
    setting("--io-size 4K", |_| {}),
    setting("--engine positioned", |wish| wish.engine = Some("positioned")),
    setting("--engine direct", |wish| wish.engine = Some("direct")),
    setting("--engine offload", |wish| wish.engine = Some("offload")),
    setting("--engine mmap", |wish| wish.engine = Some("mmap")),
    setting("--engine splice", |wish| wish.engine = Some("splice")),
    setting("--reflink never", |wish| wish.reflink_never = true),
    setting("--reflink always", |wish| wish.reflink_always = true),
    setting("--sparse always", |wish| wish.sparse = Sparse::Always),
    setting("--sparse never", |wish| wish.sparse = Sparse::Never),
    setting("--preallocate off", |_| {}),
    setting("--preallocate full", |wish| wish.reserves_all = true),
    setting("--keep-cache", |_| {}),
    setting("--on-read-error stop", |_| {}),
    setting("--retries 0", |_| {}),
    // What is shared takes no time: the fixture says that where a rate is named.
    setting("--limit-rate 1G --reflink never", |wish| wish.reflink_never = true),
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
    setting("--verify --repair", |wish| (wish.verify, wish.repair) = (true, true)),
    setting("--check-source", |wish| wish.check_source = true),
    setting("--verify --check-source", |wish| (wish.verify, wish.check_source) = (true, true)),
    setting("--dry-run", |wish| wish.dry_run = true),
];

/// Options that may be given more than once.
const REPEATABLE: [&str; 2] = ["--digest", "--expect"];

fn files(scene: &Scene) -> Files {
    scene.names().into_iter().map(|name| (name.clone(), scene.read(&name))).collect()
}

/// Whether a name is that of something an interrupted copy leaves.
fn is_left(name: &str) -> bool {
    name == "m" || name.ends_with(".pcopy-part") || name.ends_with(".pcopy-map")
}

/// How a copy that was as expected ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// As a mistake in the command line.
    Usage,
    /// Refused, by the engine or by `--reflink always`.
    Unsuitable,
    /// Refused for another reason.
    Refused,
    Other,
}

/// Runs a copy with `settings`, and compares.
fn check(settings: &[&Setting], world: World) -> End {
    let wish = Wish::of(settings, world);
    let copy = Copy::run(wish, settings, world);
    match copy.wish.verdict(world, machine()) {
        Verdict::Usage => copy.makes_no_sense(),
        Verdict::Refused(reasons) => copy.is_refused(&reasons),
        Verdict::Discarded(reasons) => copy.is_discarded(&reasons),
        Verdict::Planned => copy.is_planned(),
        Verdict::Mismatch => copy.is_a_mismatch(),
        Verdict::Copied => copy.is_complete(),
    }
}

/// A copy that has ended.
struct Copy {
    wish: Wish,
    world: World,
    scene: Scene,
    before: Files,
    source: std::fs::Metadata,
    code: i32,
    report: Value,
    context: String,
}

impl Copy {
    fn run(wish: Wish, settings: &[&Setting], world: World) -> Copy {
        let scene = world.scene();
        let before = files(&scene);
        let source = scene.path("source").metadata().expect("it is there");
        let mut words = vec!["--json --progress none".to_owned(), world.options().to_owned()];
        words.extend(settings.iter().map(|setting| setting.line.to_owned()));
        if wish.stripe.is_none() {
            words.push(BASE.to_owned());
        }
        if wish.threads.is_none() {
            words.push(format!("--threads {THREADS}"));
        }
        let line = format!("{} source copy", words.join(" "));
        let ended: Ended = scene.run(&line);
        let code = ended.status.code().expect("no signal");
        let report = ended.report();
        let context = format!("pcopy {line}: {world:?}: exit {code}: {}", report["error"]);
        Copy { wish, world, scene, before, source, code, report, context }
    }

    fn ended(&self, code: i32, outcome: &str) {
        let Copy { report, context, .. } = self;
        let verdict = self.wish.verdict(self.world, machine());
        let found = (self.code, &report["outcome"]);
        assert_eq!(found, (code, &outcome.into()), "{context}: {verdict:?} was expected");
    }

    fn nothing_has_changed(&self) {
        assert_eq!(files(&self.scene), self.before, "{}: something has changed", self.context);
    }

    fn bytes(&self, key: &str) -> u64 {
        self.report["bytes"][key].as_u64().unwrap_or(0)
    }

    fn has_note(&self, text: &str) -> bool {
        let notes = self.report["notes"].as_array().into_iter().flatten();
        notes.filter_map(Value::as_str).any(|note| note.contains(text))
    }

    /// One mistake may be seen before another.
    fn makes_no_sense(&self) -> End {
        let reasons = self.wish.reasons(self.world, machine());
        if self.code == 3 && !reasons.is_empty() {
            return self.is_refused(&reasons);
        }
        self.ended(2, "refused");
        self.nothing_has_changed();
        assert_eq!(self.report["error_kind"], "usage", "{}", self.context);
        End::Usage
    }

    fn is_refused(&self, reasons: &[Reason]) -> End {
        self.ended(3, "refused");
        self.nothing_has_changed();
        let error = self.report["error"].as_str().unwrap_or_default();
        let is_it = |reason: &&Reason| {
            self.report["error_kind"] == reason.kind && error.contains(&reason.says)
        };
        let found = reasons.iter().find(is_it);
        let found = found.unwrap_or_else(|| panic!("{}: none of {reasons:?}", self.context));
        if found.kind == "engine_unsuitable" { End::Unsuitable } else { End::Refused }
    }

    fn is_discarded(&self, reasons: &[Reason]) -> End {
        self.ended(5, "failed");
        let mut expected = self.before.clone();
        self.wish.take_leftovers(&mut expected);
        assert_eq!(files(&self.scene), expected, "{}", self.context);
        assert_eq!(self.report["error_kind"], "discarded", "{}", self.context);
        let error = self.report["error"].as_str().unwrap_or_default();
        let is_said = reasons.iter().any(|reason| error.contains(&reason.says));
        assert!(is_said, "{}: none of {reasons:?}", self.context);
        End::Unsuitable
    }

    fn is_planned(&self) -> End {
        self.ended(0, "planned");
        self.nothing_has_changed();
        if machine().counts_blocks && !self.reads_holes() {
            let (.., resumed) = self.wish.counts(self.world);
            assert_eq!(self.bytes("resumed"), resumed, "{}", self.context);
        }
        End::Other
    }

    fn is_a_mismatch(&self) -> End {
        let Copy { wish, context, .. } = self;
        self.ended(4, "mismatch");
        assert_eq!(self.report["error_kind"], "digest_mismatch", "{context}");
        let mut found = files(&self.scene);
        let (start, end) = wish.source();
        // `docs/reference.md`, "Digests" and "Further destinations".
        if !wish.in_place && !wish.split && start < end {
            let map = if wish.map { "m" } else { MAP };
            let left = [PART, map].map(|name| found.contains_key(name));
            let stays = !wish.also || wish.resumes(self.world);
            assert_eq!(left, [stays; 2], "{context}: the part and its map");
        }
        let other = found.keys().find(|name| is_left(name) && name.starts_with("other"));
        assert_eq!(other, None, "{context}: nothing of a further destination");
        found.retain(|name, _| !is_left(name));
        let mut expected =
            if wish.in_place { wish.after(&self.before) } else { self.before.clone() };
        expected.retain(|name, _| !is_left(name));
        assert_eq!(found, expected, "{context}: only what can be resumed is left");
        End::Other
    }

    fn is_complete(&self) -> End {
        self.ended(0, "complete");
        // Before anything is read.
        self.check_attributes();
        self.check_bytes();
        self.check_counts();
        self.check_holes();
        self.check_digests();
        self.check_the_rest();
        End::Other
    }

    fn check_bytes(&self) {
        let context = &self.context;
        let mut found = files(&self.scene);
        if self.wish.digest_file {
            let lines = found.remove("d").expect("the file of digests");
            let hex = self.digest(Algorithm::Crc32c, self.wish.source());
            assert!(String::from_utf8_lossy(&lines).contains(&hex), "{context}");
        }
        let expected = self.wish.after(&self.before);
        let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&found), names(&expected), "{context}");
        for (name, bytes) in &expected {
            assert_same(&found[name], bytes, &format!("{context}: {name}"));
        }
    }

    /// Whether holes are read because nobody believes in them, so that it depends on their
    /// bytes what becomes of them.
    fn reads_holes(&self) -> bool {
        self.has_note("that are said to be holes are read")
    }

    fn check_counts(&self) {
        let Copy { wish, world, report, context, .. } = self;
        let (start, end) = wish.source();
        let requested = (end - start) as u64;
        assert_eq!(self.bytes("requested"), requested, "{context}");
        let all = self.bytes("copied") + self.bytes("holes") + self.bytes("resumed");
        assert_eq!((all, self.bytes("failed")), (requested, 0), "{context}: {report}");
        let looked_at = self.bytes("written") + self.bytes("equal");
        assert_eq!(looked_at, if wish.only_changed { requested } else { 0 }, "{context}");
        let done = wish.done(*world).bytes();
        assert!(self.bytes("copied") <= requested - done, "{context}: {report}");
        // The folder was copied since, so that only bytes show whose map it is.
        let compares = ["that it calls done are the same", "what it calls done was not compared"];
        let resumes = wish.resumes(*world);
        let expected = [resumes && !wish.allow_changed, resumes && wish.allow_changed];
        assert_eq!(compares.map(|note| self.has_note(note)), expected, "{context}: {report}");
        if machine().counts_blocks && !self.reads_holes() {
            let found = ["copied", "holes", "resumed"].map(|key| self.bytes(key));
            let (copied, holes, resumed) = wish.counts(*world);
            assert_eq!(found, [copied, holes, resumed], "{context}: {report}");
            assert_eq!(report["threads"], wish.workers(*world), "{context}: {report}");
        }
    }

    /// What of the destinations takes room.
    fn check_holes(&self) {
        if !machine().counts_blocks || self.reads_holes() {
            return;
        }
        let shared = self.has_note("share the storage of the source");
        for (name, bytes) in self.wish.stored(self.world, shared) {
            assert_eq!(stored(&self.scene, &name), Some(bytes), "{}: {name}", self.context);
        }
    }

    fn digest(&self, algorithm: Algorithm, (start, end): (usize, usize)) -> String {
        hash_slice(algorithm, &source()[start..end]).to_string()
    }

    fn check_digests(&self) {
        let Copy { wish, report, context, .. } = self;
        let all = |range| -> Map<String, Value> {
            let digest = |algorithm: &Algorithm| {
                (algorithm.name().to_owned(), self.digest(*algorithm, range).into())
            };
            wish.digests.iter().map(digest).collect()
        };
        assert_eq!(report["digests"], Value::from(all(wish.source())), "{context}");
        let place = |piece: &Value| [&piece["start"], &piece["end"]].map(|at| at.as_u64());
        let mut found = report["pieces"].as_array().cloned().unwrap_or_default();
        found.sort_by_key(place);
        let piece =
            |(start, end)| json!({"start": start, "end": end, "digests": all((start, end))});
        let expected: Vec<_> = wish.pieces().into_iter().map(piece).collect();
        assert_eq!(found, expected, "{context}: the pieces");
    }

    /// Mode and times, of `--preserve` alone.
    fn check_attributes(&self) {
        let Copy { wish, scene, source, context, .. } = self;
        if wish.split {
            return;
        }
        for name in wish.names() {
            let found = scene.path(name).metadata().expect("it is there");
            let is_of_source = found.modified().ok() == source.modified().ok();
            assert_eq!(is_of_source, wish.preserve, "{context}: {name}: time of change");
            if wish.preserve {
                assert_eq!(found.accessed().ok(), source.accessed().ok(), "{context}: {name}");
            }
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                let mode = found.permissions().mode() & 0o7777;
                assert_eq!(mode == world::MODE, wish.preserve, "{context}: {name}: mode {mode:o}");
            }
        }
    }

    fn check_the_rest(&self) {
        let Copy { wish, world, report, context, .. } = self;
        assert_eq!(report["durable"], !wish.no_sync, "{context}");
        assert_eq!(report["verified"].as_bool().unwrap_or(false), wish.verify, "{context}");
        if let Some(engine) = wish.engine.filter(|_| self.bytes("copied") > 0) {
            assert_eq!(report["engine"], engine, "{context}");
        }
        let again = "bytes of the source were read once more, and are what was copied";
        assert_eq!(self.has_note(again), wish.check_source, "{context}: {report}");
        if wish.check_source && machine().counts_blocks && !self.reads_holes() {
            let note = format!("{} {again}", wish.looked_at(*world));
            assert!(self.has_note(&note), "{context}: {note}: {report}");
        }
    }
}

/// Whether `one` and `other` may be in one line.
fn go_together(one: &Setting, other: &Setting) -> bool {
    let is_twice = |option| other.options().any(|other| other == option);
    one.options().all(|option| !is_twice(option) || REPEATABLE.contains(&option))
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

/// A copy that is to be made.
type Case = (Vec<&'static Setting>, World);

/// Runs all of `cases`, a few at a time: each mostly waits for the disk. Says how they ended.
fn check_all(cases: &[Case]) -> String {
    // Before all others, so that it fails once.
    machine();
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let ends = [End::Usage, End::Refused, End::Unsuitable].map(|end| (end, AtomicUsize::new(0)));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((settings, world)) = cases.get(next.fetch_add(1, Relaxed)) {
                    // Each says what it is; all are to be seen at once.
                    let checked = catch_unwind(AssertUnwindSafe(|| check(settings, *world)));
                    failed.fetch_add(usize::from(checked.is_err()), Relaxed);
                    for (end, count) in &ends {
                        count.fetch_add(usize::from(checked.as_ref().ok() == Some(end)), Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(failed.load(Relaxed), 0, "violations, of {} copies", cases.len());
    let [usage, refused, engines] = ends.map(|(_, count)| count.into_inner());
    format!(
        "{} copies, of which {usage} make no sense, {refused} are refused, and {engines} because \
         of an engine or of sharing extents; 0 violations",
        cases.len()
    )
}

fn is_long() -> bool {
    std::env::var_os("PCOPY_SOAK").is_some()
}

/// The worlds in which a pair is tried in the short run: one of those where most pairs are
/// copies, and what an earlier run left where it is about that.
fn some_worlds(number: usize, pair: &[&Setting]) -> Vec<World> {
    let wish = Wish::of(pair, World::Left);
    let is_about_leftovers = wish.resume || wish.restart || wish.map;
    let mut worlds = vec![WORLDS[number % 4]];
    worlds.extend(is_about_leftovers.then_some(World::Left));
    worlds
}

#[test]
fn every_pair_of_options_does_what_both_say() {
    let singles = combinations(0).into_iter().chain(combinations(1));
    let mut cases: Vec<Case> =
        singles.flat_map(|set| WORLDS.map(|world| (set.clone(), world))).collect();
    for (number, pair) in combinations(2).into_iter().enumerate() {
        let worlds = if is_long() { WORLDS.to_vec() } else { some_worlds(number, &pair) };
        cases.extend(worlds.into_iter().map(|world| (pair.clone(), world)));
    }
    cases.retain(|(set, world)| fits(set, *world));
    let ended = check_all(&cases);
    println!("measured: every pair of {} settings of a copy: {ended}", SETTINGS.len());
}

#[test]
fn every_three_options_do_what_all_of_them_say() {
    let triples = combinations(3);
    // A sample of them in the short run.
    let step = if is_long() { 1 } else { triples.len() / 100 };
    let worlds = WORLDS.into_iter().cycle();
    let mut cases: Vec<Case> = triples.into_iter().zip(worlds).step_by(step).collect();
    cases.retain(|(set, world)| fits(set, *world));
    let ended = check_all(&cases);
    println!("measured: three of {} settings of a copy: {ended}", SETTINGS.len());
}
