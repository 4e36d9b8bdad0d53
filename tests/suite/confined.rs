//! The kernel keeps the command from writing elsewhere: asked for by every command that
//! writes, before the first byte, and by none with `--no-sandbox`.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use rustix::fs::{CWD, FileType, Mode, OFlags, XattrFlags};

use crate::common::{Scene, can_engine, compiled, has_tools, program, skip};
use crate::inject::can_inject;

/// The version of Landlock that the kernel has; 0 without it. A skip if nobody can ask.
fn landlock() -> Option<usize> {
    // landlock_create_ruleset, asked for LANDLOCK_CREATE_RULESET_VERSION.
    const ASK: &str = "print syscall(444, 0, 0, 1)";
    if !has_tools(&["perl"]) {
        return None;
    }
    let said = Command::new("perl").args(["-e", ASK]).output().unwrap().stdout;
    let version: i64 = String::from_utf8(said).unwrap().parse().unwrap();
    Some(usize::try_from(version).unwrap_or(0))
}

/// Whether the kernel has version 2, the oldest that is used; a skip if not.
fn has_landlock() -> bool {
    let Some(version) = landlock() else { return false };
    if version < 2 {
        skip("needs a kernel with Landlock");
    }
    version >= 2
}

/// How often a run with these words is confined; that is before it writes, and it ends well.
fn confines(scene: &Scene, words: &[&str]) -> usize {
    let log = scene.path("log");
    let mut command = Command::new("strace");
    command.args(["-f", "-qqq", "-e", "trace=landlock_restrict_self,pwrite64", "-o"]);
    command.arg(&log).arg(program()).args(words).current_dir(scene.path("."));
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{words:?}: {}", String::from_utf8_lossy(&ended.stderr));
    let log = std::fs::read_to_string(log).unwrap();
    let is_it = |line: &&str| line.contains("landlock_restrict_self(") && line.ends_with("= 0");
    let first = log.lines().position(|line| is_it(&line));
    let written = log.lines().position(|line| line.contains("pwrite64("));
    assert!(first.is_none() || written.is_none() || first < written, "{words:?}: {log}");
    log.lines().filter(is_it).count()
}

#[test]
fn every_command_that_writes_confines_itself() {
    if !can_inject() || !has_landlock() {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 100_000);
    scene.write("list.csv", b"name,start,end\na,0,10\n");
    let lines: [&[&str]; 6] = [
        &["source", "first"],
        &["--in-place", "source", "first"],
        &["batch", "--source", "source", "--into", "made", "list.csv"],
        &["--digest", "md5", "--digest-file", "sums", "source", "second"],
        &["verify", "source", "first"],
        &["patch", "first", "0", "--hex", "00"],
    ];
    for words in lines {
        assert_eq!(confines(&scene, words), 1, "{words:?}");
    }
    assert_eq!(confines(&scene, &["--no-sandbox", "source", "third"]), 0);
    let batch = ["batch", "--no-sandbox", "--into", "x", "--source", "source", "list.csv"];
    assert_eq!(confines(&scene, &batch), 0);
}

/// What the kernel has decides how far a run is confined, and the report says it. An older
/// kernel is one that says so; it has to know all that is asked of it then.
#[test]
fn reports_say_how_far_a_run_was_confined() {
    let scene = Scene::new();
    scene.source("source", 100_000);
    scene.write("list.csv", b"name,start,end\na,0,10\n");
    let Some(known) = landlock() else { return };
    let here = ["none", "none", "partial", "partial", "partial", "partial"];
    let here = here.get(known).unwrap_or(&"full");
    let lines =
        ["source first", "batch --source source --into made list.csv", "verify source first"];
    for line in lines {
        let ended = scene.run(&format!("{line} --json")).code(0);
        assert_eq!(ended.report()["confined"], *here, "{line}");
    }
    let ended = scene.run("--no-sandbox -v --json source second").code(0);
    let ended = ended.says(&["pcopy: not confined: --no-sandbox"]);
    assert_eq!(ended.report()["confined"], "none");
    let quiet = scene.run("--no-sandbox source third").code(0);
    assert!(!quiet.stderr.contains("confined"), "{}", quiet.stderr);
    if !can_inject() || !has_landlock() {
        return;
    }
    if known < 6 {
        skip("needs a kernel that has all that is asked of Landlock");
    }
    let older = [
        ("error=ENOSYS", "none", "not confined: the kernel has no Landlock"),
        ("error=EOPNOTSUPP", "none", "not confined: the kernel has no Landlock"),
        ("retval=1", "none", "not confined: the kernel has version 1 of Landlock, not 2"),
        ("retval=2", "partial", "confined in part: the kernel is older than Linux 6.12"),
        ("retval=3", "partial", "confined in part"),
        ("retval=4", "partial", "confined in part"),
        ("retval=5", "partial", "confined in part"),
        ("retval=6", "full", ""),
    ];
    for (answer, confined, says) in older {
        let version = answer.strip_prefix("retval=").and_then(|text| text.parse().ok());
        if version.is_some_and(|version: usize| version > known) {
            continue;
        }
        // The version is asked for once more to say why it does not do.
        let when = if confined == "none" { "1..2" } else { "1" };
        let inject = format!("inject=landlock_create_ruleset:{answer}:when={when}");
        let words = ["-f", "-qqq", "-o", "/dev/null", "-e", "trace=landlock_create_ruleset", "-e"];
        let mut run = scene.tool("strace", words);
        run.command.arg(inject).arg(program()).args(["-f", "-v", "--json", "source", "copy"]);
        let ended = run.run().code(0);
        assert_eq!(ended.report()["confined"], confined, "{answer}");
        assert_eq!(
            ended.stderr.contains("confined"),
            !says.is_empty(),
            "{answer}: {}",
            ended.stderr
        );
        ended.says(&[says]);
    }
}

/// Destinations that are somewhere else than they are called.
#[test]
fn links_and_places_that_are_not_there_yet_are_written_to() {
    let scene = Scene::new();
    let bytes = scene.source("source", 100_000);
    std::fs::create_dir_all(scene.path("far/away")).unwrap();
    scene.write("far/away/file", b"old");
    for (name, target) in [("folder", "far/away"), ("link", "far/away/file")] {
        std::os::unix::fs::symlink(target, scene.path(name)).unwrap();
    }
    scene.run("source folder/new").code(0);
    assert!(scene.read("far/away/new") == bytes);
    scene.run("--in-place source link").code(0);
    assert!(scene.read("far/away/file") == bytes);
    scene.run("--also far/second source third").code(0);
    scene.run("--map far/map --digest md5 --digest-file far/sums source fourth").code(0);
    assert!(scene.read("far/second") == bytes && scene.read("fourth") == bytes);
}

/// The attacks of `ATTACKS` that find their aim in most forms of a copy where nothing keeps
/// them from it. A pipe takes only what is written without an offset, such as a log.
const FINDING: &[&str] = &["link", "dangling", "taken", "folder"];

/// Every form of a copy that writes in `folder`, with the attacks that find their aim.
const FORMS: [(&str, &[&str]); 15] = [
    ("source folder/copy", FINDING),
    ("--resume source folder/copy", FINDING),
    ("-f source folder/old", FINDING),
    ("-p --engine positioned -t 2 source folder/copy", FINDING),
    ("--engine mmap --verify source folder/copy", FINDING),
    ("--limit-rate 8M --checkpoint-every 0 --map folder/map source folder/copy", FINDING),
    ("--also folder/second source folder/copy", FINDING),
    ("--split 100K source folder/copy", FINDING),
    ("--digest md5 --digest-file folder/sums source folder/copy", FINDING),
    ("--log folder/log source folder/copy", &["link", "dangling", "pipe", "taken", "folder"]),
    ("source list.csv folder", FINDING),
    ("-R tree folder", FINDING),
    ("batch --source source --into folder list.csv", FINDING),
    // Where files can be without a name until they are complete, no name can be a link.
    ("batch --no-sync --source source --into folder list.csv", &["folder"]),
    // Nothing is created, and what is opened is compared with what was looked at.
    ("--in-place source folder/old", &[]),
];

/// What is planted, by its name here, that of the tool and what it leads to: a link to a file,
/// to nothing, to a pipe, one in the place of what has the name, and one for the folder.
const ATTACKS: [(&str, &str, &str); 5] = [
    ("link", "link", "else/victim"),
    ("dangling", "link", "else/nothing"),
    ("pipe", "link", "else/pipe"),
    ("taken", "taken", "else/victim"),
    ("folder", "folder", "else"),
];

/// A folder to copy into, one elsewhere with what is to be harmed, and what is copied.
fn attacked() -> Scene {
    let scene = Scene::new();
    scene.source("source", 300_000);
    for folder in ["folder", "else", "tree"] {
        std::fs::create_dir(scene.path(folder)).unwrap();
    }
    scene.write("folder/old", &[1; 300_000]);
    scene.write("else/victim", b"not to be changed");
    scene.write("tree/file", b"in a folder");
    scene.write("list.csv", b"name,start,end\na,0,10\nb,10,200000\n");
    let mode = Mode::RUSR | Mode::WUSR;
    rustix::fs::mknodat(CWD, scene.path("else/pipe"), FileType::Fifo, mode, 0).unwrap();
    for name in ["else", "else/victim"] {
        // Not every file system has them.
        let _ = rustix::fs::setxattr(scene.path(name), "user.test", b"old", XattrFlags::empty());
    }
    scene
}

/// All that can be told of `else` and what is in it, but for the times of reading, which is
/// not restricted.
fn state(scene: &Scene) -> BTreeMap<PathBuf, String> {
    let folder = scene.path("else");
    let inside = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let all: Vec<PathBuf> = std::iter::once(folder.clone()).chain(inside).collect();
    let told = |path: PathBuf| {
        let facts = path.symlink_metadata().unwrap();
        let numbers = (facts.dev(), facts.ino(), facts.mode(), facts.uid(), facts.gid());
        let sizes = (facts.nlink(), facts.size(), facts.blocks());
        let times = (facts.mtime(), facts.mtime_nsec(), facts.ctime(), facts.ctime_nsec());
        let bytes = facts.is_file().then(|| std::fs::read(&path).unwrap());
        let text = format!("{numbers:?} {sizes:?} {times:?} {:?} {bytes:?}", attributes(&path));
        (path, text)
    };
    all.into_iter().map(told).collect()
}

/// The extended attributes of what is at `path`, as far as there are any.
fn attributes(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = [0; 4096];
    let len = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let names = String::from_utf8_lossy(&names[..len]).into_owned();
    let value = |name: &str| {
        let mut value = [0; 4096];
        let len = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap_or(0);
        (name.to_owned(), value[..len].to_vec())
    };
    names.split_terminator('\0').map(value).collect()
}

/// Made once: tests run at the same time.
static UNDEFENDED: LazyLock<PathBuf> = LazyLock::new(|| compiled("suite/undefended.c", ""));

/// A run of `line` without the other defences, with creation `number` attacked; how often that
/// was done, and what it said.
fn attack(scene: &Scene, how: &str, aim: &str, number: u32, line: &str) -> (u32, String) {
    let real = scene.path(".").canonicalize().unwrap();
    let mut run = scene.tool(UNDEFENDED.to_str().unwrap(), [how]);
    run.command.args([real.join(aim), real.join("folder")]);
    run.command.arg(number.to_string()).arg(program()).args(line.split_whitespace());
    let said = run.run().stderr;
    let last = said.lines().last().and_then(|line| line.strip_prefix("undefended: attacks: "));
    let what = format!("{how} {aim} {number}, {line}: {said}");
    (last.and_then(|count| count.parse().ok()).expect(&what), what)
}

/// Whether the attacks can be made here.
fn can_attack() -> bool {
    if !cfg!(target_arch = "x86_64") {
        skip("knows the registers of x86-64 alone");
        return false;
    }
    has_tools(&["gcc"]) && can_inject() && has_landlock()
}

/// With the other defences against links taken away (see `undefended.c`, which says what
/// stays), and with an attacker who is never too late, the kernel alone keeps all forms of a
/// copy from changing anything elsewhere. Where it does not, the same attacks find their aim.
#[test]
fn the_kernel_alone_keeps_attacks_from_their_aim() {
    if !can_attack() {
        return;
    }
    let (mut attacks, mut copies) = (0, 0);
    let can_map = can_engine("mmap");
    for (line, finding) in FORMS {
        if line.contains("mmap") && !can_map {
            continue;
        }
        for (plant, how, aim) in ATTACKS {
            let run = |number: u32, line: &str| {
                let scene = attacked();
                // Both ends are open, so that nobody waits for the other one.
                let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let pipe = rustix::fs::open(scene.path("else/pipe"), flags, Mode::empty());
                let _pipe: File = pipe.unwrap().into();
                let before = state(&scene);
                let (tried, what) = attack(&scene, how, aim, number, line);
                let after = state(&scene);
                let what = format!("{what}\nbefore: {before:#?}\nafter: {after:#?}");
                (tried, before != after, what)
            };
            let (_, is_harmed, what) = run(0, &format!("{line} --no-sandbox"));
            assert!(is_harmed || !finding.contains(&plant), "{what}");
            // The program ends at the first call that is denied: so each creation is the first.
            for number in 1.. {
                let (tried, is_harmed, what) = run(number, line);
                assert!(!is_harmed, "{what}");
                assert!(tried > 0 || number > 1 || !finding.contains(&plant), "{what}");
                attacks += tried;
                copies += 1;
                if tried == 0 {
                    break;
                }
            }
        }
    }
    println!(
        "measured: attacks on the kernel's confinement alone: {attacks} attacks in {copies} copies, \
         nothing changed elsewhere; without it they found their aim"
    );
}

/// A limit of the kernel's confinement: a file elsewhere can be written by a second name
/// (hard link) in the folder.
#[test]
fn a_second_name_of_a_file_elsewhere_is_not_held_by_the_kernel_alone() {
    if !can_attack() {
        return;
    }
    let scene = attacked();
    let (tried, what) = attack(&scene, "second", "else/victim", 1, "source folder/copy");
    assert_eq!(tried, 1, "{what}");
    assert_ne!(scene.read("else/victim"), b"not to be changed", "{what}");
    // With its own defences the command does not write to it.
    let scene = attacked();
    let before = state(&scene);
    std::fs::hard_link(scene.path("else/victim"), scene.path("folder/copy.pcopy-part")).unwrap();
    scene.run("source folder/copy").code(3);
    std::fs::remove_file(scene.path("folder/copy.pcopy-part")).unwrap();
    assert_eq!(scene.read("else/victim"), b"not to be changed");
    assert_eq!(before.len(), state(&scene).len());
}
