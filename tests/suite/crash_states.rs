//! Every state in which a power cut may leave a copy of three stripes, not only those that
//! a file system of today happens to leave. The calls of the program are recorded; after
//! each of them, any subset of what no sync has secured yet is taken to be on the disk:
//! sectors of writes, lengths, names that were made, given and removed. In each of these
//! states the final name is absent, old or complete, the map is true, all other names are
//! ours, and a resume ends with the right bytes (invariants I3, I4 and I12).
//!
//! The disk is worse than any: a sync of a file secures its bytes and not its name, names
//! come in any order, and only a sync of their folder secures them. A sector is whole.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::common::{Scene, pattern, program};
use crate::inject::can_inject;

/// What a disk writes as a whole, in bytes.
const SECTOR: usize = 512;

/// Bytes of a stripe, and of the source: two stripes and two and a half sectors.
const STRIPE: usize = 2 * SECTOR;
const LEN: usize = 2 * STRIPE + SECTOR + SECTOR / 2;

/// Every file by its name in the folder of the scene.
type Files = BTreeMap<String, Vec<u8>>;

/// A call of the program that changes what is on the disk, or secures it.
#[derive(Debug)]
enum Call {
    Create(String),
    Write {
        name: String,
        at: usize,
        bytes: Vec<u8>,
    },
    Append {
        name: String,
        bytes: Vec<u8>,
    },
    SetLength {
        name: String,
        len: usize,
    },
    /// Makes a file at least so long.
    Reserve {
        name: String,
        len: usize,
    },
    Sync(String),
    SyncFolder(String),
    Rename {
        from: String,
        to: String,
    },
    Remove(String),
}

/// What the disk takes or loses as a whole.
#[derive(Clone)]
enum Unit {
    /// At most a sector of file number `file`.
    Bytes {
        file: usize,
        at: usize,
        bytes: Vec<u8>,
    },
    Length {
        file: usize,
        len: usize,
    },
    /// Names of one folder, and the files that they lead to from then on.
    Names {
        folder: String,
        now: Vec<(String, Option<usize>)>,
    },
}

/// A disk, and what it was given and may not have written yet.
#[derive(Clone, Default)]
struct Disk {
    /// What is secured of each file, and which names lead to which.
    files: Vec<Vec<u8>>,
    names: BTreeMap<String, usize>,
    pending: Vec<Unit>,
    /// The names as the program sees them, and the lengths.
    seen: BTreeMap<String, usize>,
    lengths: Vec<usize>,
}

impl Disk {
    fn with(files: &Files) -> Disk {
        let mut disk = Disk::default();
        for (name, bytes) in files {
            disk.names.insert(name.clone(), disk.files.len());
            disk.lengths.push(bytes.len());
            disk.files.push(bytes.clone());
        }
        disk.seen = disk.names.clone();
        disk
    }

    fn change_names(&mut self, now: Vec<(String, Option<usize>)>) {
        for (name, file) in &now {
            match file {
                Some(file) => self.seen.insert(name.clone(), *file),
                None => self.seen.remove(name),
            };
        }
        self.pending.push(Unit::Names { folder: folder_of(&now[0].0), now });
    }

    fn set_length(&mut self, file: usize, len: usize) {
        self.lengths[file] = len;
        self.pending.push(Unit::Length { file, len });
    }

    fn put(&mut self, file: usize, at: usize, bytes: &[u8]) {
        self.lengths[file] = self.lengths[file].max(at + bytes.len());
        let mut begin = 0;
        while begin < bytes.len() {
            let end = bytes.len().min(begin + SECTOR - (at + begin) % SECTOR);
            let bytes = bytes[begin..end].to_vec();
            self.pending.push(Unit::Bytes { file, at: at + begin, bytes });
            begin = end;
        }
    }

    fn take(&mut self, call: &Call) {
        match call {
            Call::Create(name) => {
                let file = self.files.len();
                self.files.push(Vec::new());
                self.lengths.push(0);
                self.change_names(vec![(name.clone(), Some(file))]);
            }
            Call::Write { name, at, bytes } => self.put(self.seen[name], *at, bytes),
            Call::Append { name, bytes } => {
                let file = self.seen[name];
                self.put(file, self.lengths[file], bytes);
            }
            Call::SetLength { name, len } => self.set_length(self.seen[name], *len),
            Call::Reserve { name, len } => {
                let file = self.seen[name];
                self.set_length(file, self.lengths[file].max(*len));
            }
            Call::Sync(name) => {
                let synced = self.seen[name];
                self.secure(|unit| match unit {
                    Unit::Bytes { file, .. } | Unit::Length { file, .. } => *file == synced,
                    Unit::Names { .. } => false,
                });
            }
            Call::SyncFolder(synced) => {
                self.secure(|unit| matches!(unit, Unit::Names { folder, .. } if folder == synced));
            }
            Call::Rename { from, to } => {
                let file = self.seen[from];
                self.change_names(vec![(from.clone(), None), (to.clone(), Some(file))]);
            }
            Call::Remove(name) => self.change_names(vec![(name.clone(), None)]),
        }
    }

    fn secure(&mut self, is_secured: impl Fn(&Unit) -> bool) {
        let (secured, pending): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(is_secured);
        secured.iter().for_each(|unit| self.write(unit));
        self.pending = pending;
    }

    /// What `unit` changes on the disk.
    fn write(&mut self, unit: &Unit) {
        match unit {
            Unit::Bytes { file, at, bytes } => {
                let end = at + bytes.len();
                let content = &mut self.files[*file];
                content.resize(content.len().max(end), 0);
                content[*at..end].copy_from_slice(bytes);
            }
            Unit::Length { file, len } => self.files[*file].resize(*len, 0),
            Unit::Names { now, .. } => {
                for (name, file) in now {
                    match file {
                        Some(file) => self.names.insert(name.clone(), *file),
                        None => self.names.remove(name),
                    };
                }
            }
        }
    }

    /// Every state that a power cut may leave now, with each subset of what is pending.
    fn states(&self, found: &mut BTreeSet<Files>) {
        let count = self.pending.len();
        assert!(count <= 16, "{count} things at once that nothing has secured");
        for chosen in 0..1_u32 << count {
            let mut disk = self.clone();
            for (number, unit) in self.pending.iter().enumerate() {
                if chosen & 1 << number != 0 {
                    disk.write(unit);
                }
            }
            let content =
                |(name, file): (&String, &usize)| (name.clone(), disk.files[*file].clone());
            found.insert(disk.names.iter().map(content).collect());
        }
    }
}

fn folder_of(name: &str) -> String {
    name.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned())
}

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
}

/// One worker, with a request for each stripe.
const STEPS: &str = "-q --engine positioned -t 1 --io-size 1KiB --stripe-size 1KiB";

/// Slow enough for some maps.
const SLOWLY: &str = "--limit-rate 8KiB --checkpoint-every 0";

impl Job {
    fn words(&self, how: &str) -> Vec<String> {
        // The small files of a batch are written at once.
        let steps = if self.line.starts_with("batch") { "-q -t 1" } else { STEPS };
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

    /// What there is to be after it, and nothing else.
    fn after(&self) -> Files {
        self.ends.iter().map(|(name, (_, new))| ((*name).to_owned(), new.clone())).collect()
    }

    /// The calls of one run of the program from what is there now.
    fn trace(&self, scene: &Scene, how: &str) -> Vec<Call> {
        let log = tempfile::NamedTempFile::new().expect("a temporary file");
        let mut run = scene.tool("strace", ["-f", "-y", "-xx", "-s", "100000", "-qqq", "-o"]);
        run.command.arg(log.path()).args(["-e", &format!("trace={}", CALLS.join(","))]);
        run.command.arg(program()).args(self.words(how));
        run.run().code(0);
        let log = std::fs::read_to_string(log.path()).expect("strace has written a log");
        calls(&log, &scene.folder().canonicalize().expect("the folder is there"))
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
                None => assert!(self.is_ours(name), "{what}: {name} is not ours"),
            }
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
    /// is complete, and the other one is resumed by itself; or files of a set have got
    /// their names in another order than they were given them, and no map knows of it.
    fn may_be_refused(&self, state: &Files) -> bool {
        let is_left = |end: &str| {
            [part_of(end), self.map_of(end)].iter().any(|name| state.contains_key(name))
        };
        let mut named = self.ends.keys().map(|end| state.contains_key(*end));
        self.line.contains("--also")
            && self.ends.keys().any(|end| state.contains_key(*end) && !is_left(end))
            || self.line.contains("--split")
                && !state.get("copy.001.pcopy-map").is_some_and(|map| records(map))
                && named.any(|is| !is)
                && named.any(|is| is)
    }

    fn map_of(&self, end: &str) -> String {
        self.map.map_or_else(|| format!("{end}.pcopy-map"), str::to_owned)
    }

    /// Whether `name` is that of a side file.
    fn is_ours(&self, name: &str) -> bool {
        self.ends.keys().any(|end| {
            let map = self.map_of(end);
            let (folder, map_name) = map.rsplit_once('/').unwrap_or(("", &map));
            let begin = Path::new(folder).join(format!(".{map_name}.pcopy-"));
            let is_temporary =
                name.starts_with(&*begin.to_string_lossy()) && name.ends_with(".tmp");
            name == part_of(end) || name == map || is_temporary
        })
    }
}

fn part_of(end: &str) -> String {
    format!("{end}.pcopy-part")
}

/// All states that a power cut may leave while `calls` are made.
fn states(before: &Files, calls: &[Call]) -> BTreeSet<Files> {
    let (mut disk, mut found) = (Disk::with(before), BTreeSet::new());
    disk.states(&mut found);
    for call in calls {
        disk.take(call);
        disk.states(&mut found);
    }
    found
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

/// In place, each sector is the old or the new one, and the file no longer than either.
fn check_place(content: &[u8], old: &[u8], new: &[u8], what: &str) {
    assert!(content.len() <= old.len().max(new.len()), "{what}: it is too long");
    for (number, found) in content.chunks(SECTOR).enumerate() {
        let was = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes.resize(old.len().max(new.len()), 0);
            bytes[number * SECTOR..][..found.len()] == *found
        };
        assert!(was(old) || was(new), "{what}: sector {number} is neither old nor new");
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

/// The calls that change what is on a disk, or secure it. Some are only here so that a copy
/// that makes them is seen: the model does not know them.
const CALLS: [&str; 24] = [
    "open",
    "openat",
    "write",
    "pwrite64",
    "ftruncate",
    "fallocate",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "link",
    "linkat",
    "symlinkat",
    "pwritev",
    "pwritev2",
    "writev",
    "copy_file_range",
    "sync_file_range",
    "syncfs",
    "mkdirat",
    "ioctl",
];

/// The calls of a log of strace on files in `folder`, which have succeeded.
fn calls(log: &str, folder: &Path) -> Vec<Call> {
    let (mut calls, mut begun) = (Vec::new(), BTreeMap::new());
    let mut there: HashSet<String> = names_in(folder, folder);
    for line in log.lines() {
        let (thread, rest) = line.split_once(' ').expect("a thread and its call");
        let whole;
        let rest = rest.trim_start();
        let call = if let Some(begin) = rest.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, begin);
            continue;
        } else if let Some(end) = rest.strip_prefix("<... ") {
            let (_, end) = end.split_once(" resumed>").expect("the end of a call");
            whole = format!("{}{end}", begun.remove(thread).expect("it began before"));
            &whole
        } else {
            rest
        };
        let Some((name, rest)) = call.split_once('(') else { continue };
        let Some((arguments, result)) = rest.rsplit_once(" = ") else { continue };
        if result.starts_with('-') {
            continue;
        }
        let arguments: Vec<&str> = arguments.trim_end().trim_end_matches(')').split(", ").collect();
        calls.extend(call_of(name, &arguments, folder, &mut there));
    }
    calls
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

fn call_of(
    name: &str,
    arguments: &[&str],
    folder: &Path,
    there: &mut HashSet<String>,
) -> Option<Call> {
    // A descriptor, or the file of that name in the folder of a descriptor.
    let file = |at: usize| below(folder, Path::new(&path_of(arguments[at])));
    let named = |at: usize| {
        let path = PathBuf::from(path_of(arguments[at])).join(text_of(arguments[at + 1]));
        below(folder, &path)
    };
    let plain = |at: usize| below(folder, &folder.join(text_of(arguments[at])));
    let number = |at: usize| arguments[at].parse::<usize>().expect("a number");
    let opened = |name: String, flags: &str, there: &mut HashSet<String>| {
        assert!(!flags.contains("O_TRUNC") && !flags.contains("O_TMPFILE"), "{name}: {flags}");
        let is_new = flags.contains("O_CREAT") && there.insert(name.clone());
        is_new.then_some(Call::Create(name))
    };
    let renamed = |from: String, to: String, there: &mut HashSet<String>| {
        there.remove(&from);
        there.insert(to.clone());
        Call::Rename { from, to }
    };
    match name {
        "open" => opened(plain(0)?, arguments[1], there),
        "openat" => opened(named(0)?, arguments[2], there),
        "pwrite64" => {
            Some(Call::Write { name: file(0)?, bytes: bytes_of(arguments[1]), at: number(3) })
        }
        "write" => Some(Call::Append { name: file(0)?, bytes: bytes_of(arguments[1]) }),
        "ftruncate" => Some(Call::SetLength { name: file(0)?, len: number(1) }),
        "fallocate" => {
            assert_eq!(arguments[1], "0", "a way to allocate that the model does not know");
            Some(Call::Reserve { name: file(0)?, len: number(2) + number(3) })
        }
        "fsync" | "fdatasync" => {
            let path = PathBuf::from(path_of(arguments[0]));
            let name = below(folder, &path)?;
            Some(if folder.join(&name).is_dir() {
                Call::SyncFolder(name)
            } else {
                Call::Sync(name)
            })
        }
        "rename" => Some(renamed(plain(0)?, plain(1)?, there)),
        "renameat" | "renameat2" => Some(renamed(named(0)?, named(2)?, there)),
        "unlink" | "unlinkat" => {
            let name = if name == "unlink" { plain(0)? } else { named(0)? };
            there.remove(&name);
            Some(Call::Remove(name))
        }
        // Asks, and changes nothing: a terminal, or what a device is.
        "ioctl" => None,
        other => {
            assert!(file(0).is_none(), "the model does not know {other}({arguments:?})");
            None
        }
    }
}

/// The name of `path` as seen from `folder`; `None` if it is not below, or has no name any more.
fn below(folder: &Path, path: &Path) -> Option<String> {
    let name = path.strip_prefix(folder).ok()?.to_str()?;
    (!name.ends_with(" (deleted)")).then(|| name.to_owned())
}

/// The path behind a descriptor, as in `5<\x2f\x61>`.
fn path_of(argument: &str) -> String {
    let path = argument.split_once('<').map_or("", |(_, path)| path.trim_end_matches('>'));
    String::from_utf8(hexadecimal(path)).expect("names are text here")
}

/// A text, as in `"\x61"`.
fn text_of(argument: &str) -> String {
    String::from_utf8(bytes_of(argument)).expect("names are text here")
}

fn bytes_of(argument: &str) -> Vec<u8> {
    assert!(!argument.ends_with("..."), "strace has left out some bytes");
    hexadecimal(argument.trim_matches('"'))
}

fn hexadecimal(text: &str) -> Vec<u8> {
    let byte = |digits: &str| u8::from_str_radix(digits, 16).expect("two digits");
    text.split("\\x").skip(1).map(byte).collect()
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

/// Every state that a power cut may leave of one run of `job` from `before`.
fn recorded(job: &Job, scene: &Scene, before: &Files, how: &str) -> BTreeSet<Files> {
    lay_out(scene, before);
    states(before, &job.trace(scene, how))
}

/// Every so many of `count` states that are tried, so that in the short run there are about
/// `most`; in the long run all are.
fn step(count: usize, most: usize) -> usize {
    if std::env::var_os("PCOPY_SOAK").is_some() { 1 } else { count.div_ceil(most) }
}

/// Looks at all `states` of `job`, and resumes from them.
fn check_all(job: &Job, scene: &Scene, states: &BTreeSet<Files>, most: usize) {
    let done = job.after();
    for (number, state) in states.iter().enumerate() {
        let names: Vec<_> = state.iter().map(|(name, data)| (name, data.len())).collect();
        let what = format!("{}: {names:?}", job.what);
        job.check(state, &what);
        if *state == done || number % step(states.len(), most) != 0 {
            continue;
        }
        lay_out(scene, state);
        let ended = scene.pcopy(job.words("--resume")).run();
        let (code, said, found) = (ended.status.code(), &ended.stderr, content_of(scene));
        if job.may_be_refused(state) && code == Some(3) {
            assert!(found == *state, "{what}: refused, there are {:?}", found.keys());
        } else {
            assert_eq!(code, Some(0), "{what}: {said}");
            assert!(found == done, "{what}: resumed, there are {:?}: {said}", found.keys());
        }
    }
}

/// All forms of a copy that leave something to resume.
fn jobs() -> Vec<Job> {
    let new = pattern(1, LEN);
    let job = |what, line, ends| Job { what, line, ends, is_in_place: false, map: None };
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
    let (mut runs, mut count) = (0, 0);
    for job in jobs() {
        let scene = scene();
        for speed in [SLOWLY, ""] {
            let states = recorded(&job, &scene, &job.before(), speed);
            let maps =
                states.iter().flat_map(BTreeMap::iter).filter(|(name, _)| name.ends_with("map"));
            let has_recorded = maps.filter(|(_, map)| records(map)).count() > 0;
            let has_maps = !speed.is_empty() && !job.line.starts_with("batch");
            // A quick one on a slow machine has maps as well.
            assert!(has_recorded || !has_maps, "{}: no map records anything", job.what);
            check_all(&job, &scene, &states, 40);
            runs += 1;
            count += states.len();
        }
    }
    println!(
        "measured: power cuts, every state of small copies: {runs} runs, {count} states, \
         0 violations"
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
    for job in jobs().into_iter().take(6) {
        let scene = scene();
        let mut first = recorded(&job, &scene, &job.before(), SLOWLY);
        first.remove(&job.after());
        for before in first.iter().step_by(step(first.len(), 2)) {
            let states = recorded(&job, &scene, before, &format!("--resume {SLOWLY}"));
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
