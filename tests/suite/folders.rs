//! `-R`: folders with everything in them. What `cp -a` and `cp -R` of GNU make is
//! what is compared with, where they are there.

#[path = "folders/hostile.rs"]
mod hostile;
#[path = "folders/seen.rs"]
mod seen;
#[path = "folders/stopped.rs"]
mod stopped;

use std::ffi::OsStr;
use std::fs::{File, FileTimes, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FileType, Mode, XattrFlags};

use self::seen::{Seen, assert_alike, look};
use crate::common::{Scene, has_tools, pattern};

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode can be set");
}

fn set_time(path: &Path, seconds: u64, nanoseconds: u32) {
    let moment = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds);
    let times = FileTimes::new().set_modified(moment).set_accessed(moment);
    File::open(path).and_then(|file| file.set_times(times)).expect("times can be set");
}

/// A folder `name` with everything that can be in one without being root.
fn make_everything(scene: &Scene, name: &str) {
    let at = |inside: &str| scene.path(name).join(inside);
    for folder in ["a/b/c", "empty", "closed", "sticky", "two words"] {
        std::fs::create_dir_all(at(folder)).expect("a folder can be made");
    }
    let files: [(&str, usize); 8] = [
        ("a/one", 1),
        ("a/none", 0),
        ("a/b/some", 70_000),
        ("a/b/c/more", 3 << 20),
        ("two words/new\nline", 17),
        ("closed/inside", 5),
        ("shared", 4096),
        ("program", 100),
    ];
    for (seed, (file, len)) in (1..).zip(files) {
        std::fs::write(at(file), pattern(seed, len)).expect("a file can be made");
        set_time(&at(file), 1_000_000_000 + seed, 123_456_789);
    }
    let odd = scene.path(name).join(OsStr::from_bytes(b"bad \xff\xfe name"));
    std::fs::write(odd, "not UTF-8").expect("a file can be made");
    std::fs::hard_link(at("shared"), at("a/b/again")).expect("a link can be made");
    std::fs::hard_link(at("shared"), at("zzz")).expect("a link can be made");
    for (target, link) in [
        ("a/one", "to a file"),
        ("a", "to a folder"),
        ("nowhere", "a/dangling"),
        ("loop", "loop"),
        ("../../..", "a/b/up"),
        ("/", "to the root"),
    ] {
        symlink(target, at(link)).expect("a link can be made");
    }
    for (file, len) in [("sparse", 8 << 20), ("small and sparse", 256 << 10)] {
        let file = File::create(at(file)).expect("a file can be made");
        file.write_all_at(b"data", 64 << 10).expect("a file can be written");
        file.set_len(len).expect("a file can be made longer");
    }
    let value = b"a value\0with zeros";
    for thing in ["a/one", "a/b"] {
        // Where there are no attributes, both copies have none.
        let _ = rustix::fs::setxattr(at(thing), "user.test", value, XattrFlags::empty());
    }
    set_mode(&at("a/one"), 0o640);
    set_mode(&at("program"), 0o755);
    set_mode(&at("sticky"), 0o1777);
    set_mode(&at("a/b/c"), 0o2755);
    set_mode(&at("a/none"), 0o400);
    set_mode(&at("closed"), 0o500);
    for (seconds, folder) in (500_000_000..).zip(["a/b/c", "a/b", "a", "empty", "closed", ""]) {
        set_time(&at(folder), seconds, 987_654_321);
    }
}

#[test]
fn with_preserve_it_is_as_cp_a_makes_it() {
    if !has_tools(&["cp"]) {
        return;
    }
    for options in ["", "--no-sync -t 1", "--verify -t 3", "--reflink never --engine direct"] {
        let scene = Scene::new();
        make_everything(&scene, "all");
        for folder in ["ours", "theirs"] {
            std::fs::create_dir(scene.path(folder)).expect("a folder can be made");
        }
        scene.tool("cp", ["-a", "all", "theirs"]).run().code(0);
        let ended = scene.run(&format!("-R -p {options} all ours"));
        // The engine for disks cannot serve every file system.
        if options.contains("direct") && ended.status.code() == Some(3) {
            continue;
        }
        ended.code(0).says(&["2 hard links", "6 symbolic links"]);
        assert_alike(&scene.path("ours/all"), &scene.path("theirs/all"), |_| {});
        assert_alike(&scene.path("ours/all"), &scene.path("all"), |_| {});
        set_mode(&scene.path("ours/all/closed"), 0o700);
    }
}

/// From one read, and each on its own.
#[test]
fn several_directories_get_the_same() {
    let scene = Scene::new();
    make_everything(&scene, "all");
    let targets = ["one", "two", "three"];
    for target in targets {
        std::fs::create_dir(scene.path(target)).unwrap();
    }
    let line = "-R -p --json all one --also two --also three";
    let report = scene.run(line).code(0).report();
    let total = report["items"]["total"].as_u64().unwrap();
    assert_eq!(report["items"]["complete"], total);
    assert_eq!(report["tree"]["links"], 6);
    for (target, folder) in targets.iter().zip(report["folders"].as_array().unwrap()) {
        assert_eq!(folder["items"]["complete"], total, "{target}");
        assert_alike(&scene.path(target).join("all"), &scene.path("all"), |_| {});
    }
    // What is missing in any of them is made there, and the others stay.
    for gone in ["two/all/to a file", "two/all/a/b/again", "three/all/a/one"] {
        std::fs::remove_file(scene.path(gone)).unwrap();
    }
    let report = scene.run(&format!("--resume {line}")).code(0).report();
    assert_eq!(report["folders"][0]["items"]["skipped"], total);
    assert_eq!(report["folders"][1]["items"]["complete"], 2);
    assert_eq!(report["folders"][2]["items"]["complete"], 1);
    for target in targets {
        assert_alike(&scene.path(target).join("all"), &scene.path("all"), |_| {});
    }
    // One that is in the way in the last is refused before anything is made in the first.
    std::fs::remove_file(scene.path("three/all/to a file")).unwrap();
    std::fs::create_dir(scene.path("three/all/to a file")).unwrap();
    std::fs::create_dir(scene.path("four")).unwrap();
    let ended = scene.run("-R -p --resume all four --also three").code(3);
    ended.says(&["'three/all", "is a folder, and a link is"]);
    assert_eq!(std::fs::read_dir(scene.path("four")).unwrap().count(), 0);
    targets.iter().for_each(|to| set_mode(&scene.path(to).join("all/closed"), 0o700));
}

/// A directory inside another that is written: both copies would meet there.
#[test]
fn a_directory_in_the_copy_of_another_is_refused() {
    let scene = Scene::new();
    std::fs::create_dir_all(scene.path("from/sub")).unwrap();
    std::fs::create_dir_all(scene.path("to/from/sub")).unwrap();
    symlink("nowhere", scene.path("from/sub/link")).unwrap();
    let ended = scene.run("-R from to --also to/from/sub").code(3);
    ended.says(&["one folder lies in the other"]);
    assert_eq!(std::fs::read_dir(scene.path("to/from/sub")).unwrap().count(), 0);
}

#[test]
fn without_preserve_it_is_as_cp_r_makes_it() {
    if !has_tools(&["cp", "sh"]) {
        return;
    }
    for umask in ["022", "077", "002"] {
        let scene = Scene::new();
        make_everything(&scene, "all");
        let script =
            format!("umask {umask}; mkdir ours theirs; cp -R all theirs; exec \"$0\" -R all ours");
        let mut run = scene.tool("sh", ["-c", &script]);
        run.command.arg(crate::common::program());
        run.run().code(0);
        // Times are those of the copies, and attributes are of nobody's concern.
        let forget = |seen: &mut Seen| {
            seen.modified = (0, 0);
            seen.attributes.clear();
        };
        assert_alike(&scene.path("ours/all"), &scene.path("theirs/all"), forget);
        let seen = look(&scene.path("ours/all"));
        assert_eq!(seen[Path::new("zzz")].first, Path::new("zzz"), "a file of its own");
        set_mode(&scene.path("ours/all/closed"), 0o700);
    }
}

/// What is left out is counted, and no failure: it holds no byte.
#[test]
fn pipes_and_sockets_are_left_out_and_counted() {
    let scene = Scene::new();
    std::fs::create_dir_all(scene.path("from/in")).unwrap();
    scene.write("from/file", b"a file");
    let _socket = UnixListener::bind(scene.path("from/in/socket")).unwrap();
    rustix::fs::mknodat(CWD, scene.path("from/pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    std::fs::create_dir(scene.path("to")).unwrap();
    let ended = scene.run("-R --json from to").code(0);
    let report = ended.report();
    assert_eq!(report["tree"]["special"], 2);
    assert_eq!(report["tree"]["folders"], 2);
    assert_eq!(report["items"]["complete"], 1);
    let note = report["notes"][0].as_str().unwrap();
    assert!(note.contains("left out") && note.contains("and 1 more"), "{note}");
    assert!(!scene.has("to/from/pipe") && !scene.has("to/from/in/socket"));
    // One that is named is not a slip, and cannot be done.
    scene.run("-R from/pipe to").code(3).says(&["is a pipe"]);
}

#[test]
fn a_folder_keeps_its_name_unless_what_is_in_it_is_meant() {
    let check = |operands: &str, names: &[&str]| {
        let scene = Scene::new();
        std::fs::create_dir_all(scene.path("one/in")).unwrap();
        std::fs::create_dir_all(scene.path("two")).unwrap();
        scene.write("one/in/a", b"a");
        scene.write("two/b", b"b");
        scene.write("file", b"file");
        symlink("one", scene.path("link")).unwrap();
        std::fs::create_dir(scene.path("to")).unwrap();
        scene.run(&format!("-R {operands} to")).code(0);
        let found: Vec<String> = look(&scene.path("to"))
            .into_iter()
            .filter(|(_, seen)| seen.kind != "folder")
            .map(|(name, seen)| format!("{}:{}", name.display(), seen.kind))
            .collect();
        assert_eq!(found, names, "{operands}");
    };
    check("one", &["one/in/a:file"]);
    check("one/", &["one/in/a:file"]);
    check("one/.", &["in/a:file"]);
    check("./one//", &["one/in/a:file"]);
    check("one/in/..", &["in/a:file"]);
    check("one two/. file", &["b:file", "file:file", "one/in/a:file"]);
    check("link", &["link:link"]);
    check("link/", &["link/in/a:file"]);
    check("link/.", &["in/a:file"]);
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_made() {
    let scene = Scene::new();
    std::fs::create_dir_all(scene.path("from/sub/deep")).unwrap();
    std::fs::create_dir_all(scene.path("other/from")).unwrap();
    std::fs::create_dir(scene.path("to")).unwrap();
    scene.write("from/file", b"a file");
    scene.write("other/from/file", b"another");
    symlink("from", scene.path("link")).unwrap();
    let before = look(scene.folder());
    let check = |line: &str, code: i32, says: &[&str]| {
        scene.run(line).code(code).says(says);
        assert_alike_to(&scene, &before, line);
    };
    check("-R from from", 3, &["into itself"]);
    check("-R from from/sub/deep", 3, &["into itself"]);
    check("-R from link/sub", 3, &["into itself"]);
    check("-R from .", 3, &["are the same folder"]);
    check("-R from/. from", 3, &["into itself"]);
    check("-R from/sub from", 3, &["are the same folder"]);
    check("-R from missing", 3, &["there is no directory", "make it first"]);
    check("-R nowhere to", 3, &["cannot open source 'nowhere'"]);
    check("-R from other/from to", 3, &["would both be 'from'"]);
    check("-R from/. other/from/. to", 3, &["from/./file' has the name of another"]);
    check("-R from", 2, &["destination is missing"]);
    check("-R -r 0..1 from to", 2, &["--range"]);
    check("-R --in-place from to", 2, &["--in-place"]);
    check("-R --only-changed from to", 2, &["--only-changed"]);
    check("-R --split 1MiB from to", 2, &["--split"]);
    check("-R from to --also from/sub", 3, &["into itself"]);
    check("-R from to --also missing", 3, &["there is no directory 'missing'"]);
    check("-R from to --also ./to", 3, &["are the same destination"]);
    check("-x from to", 2, &["--recursive"]);
    check("from to", 3, &["is a directory", "-R copies a folder"]);
    check("from from/file to", 3, &["is a directory", "-R copies a folder"]);
}

/// Nothing is there that was not there before.
#[track_caller]
fn assert_alike_to(
    scene: &Scene,
    before: &std::collections::BTreeMap<std::path::PathBuf, Seen>,
    line: &str,
) {
    let now: Vec<_> = look(scene.folder()).into_keys().collect();
    assert_eq!(now, before.keys().cloned().collect::<Vec<_>>(), "{line}");
}

#[test]
fn folders_that_are_there_are_filled() {
    let scene = Scene::new();
    std::fs::create_dir_all(scene.path("from/sub")).unwrap();
    scene.write("from/new", b"new");
    scene.write("from/sub/both", b"ours");
    symlink("new", scene.path("from/link")).unwrap();
    std::fs::create_dir_all(scene.path("to/from/sub")).unwrap();
    scene.write("to/from/sub/theirs", b"theirs");
    scene.write("to/from/sub/both", b"older");
    set_mode(&scene.path("to/from/sub"), 0o711);
    // Before the first byte, whatever else could be made.
    scene.run("-R from to").code(3).says(&["'to/from/sub/both' exists", "--force"]);
    assert!(!scene.has("to/from/new"));
    scene.run("-R -f from to").code(0);
    assert_eq!(scene.read("to/from/sub/both"), b"ours");
    assert_eq!(scene.read("to/from/sub/theirs"), b"theirs");
    assert_eq!(look(&scene.path("to"))[Path::new("from/sub")].mode, 0o711, "it is theirs");
    // Once more, over links as well.
    symlink("elsewhere", scene.path("aside")).unwrap();
    std::fs::rename(scene.path("aside"), scene.path("to/from/link")).unwrap();
    scene.run("-R from to").code(3).says(&["exists"]);
    scene.run("-R -f -p from to").code(0);
    assert_eq!(std::fs::read_link(scene.path("to/from/link")).unwrap(), Path::new("new"));
    let forget = |seen: &mut Seen| seen.content.clear();
    std::fs::remove_file(scene.path("to/from/sub/theirs")).unwrap();
    set_time(&scene.path("to/from/sub"), 1, 1);
    scene.run("-R -f -p from to").code(0);
    assert_alike(&scene.path("to/from"), &scene.path("from"), forget);
}

/// Neither takes the place of the other, with --force either.
#[test]
fn a_file_in_the_way_of_a_folder_is_refused_and_so_is_the_reverse() {
    for force in ["", "-f"] {
        let check = |make_there: &dyn Fn(&Path), says: &str| {
            let scene = Scene::new();
            std::fs::create_dir_all(scene.path("from/folder/in")).unwrap();
            scene.write("from/file", b"file");
            symlink("file", scene.path("from/link")).unwrap();
            std::fs::create_dir_all(scene.path("to/from")).unwrap();
            make_there(&scene.path("to/from"));
            let before = look(&scene.path("to"));
            scene.run(&format!("-R {force} from to")).code(3).says(&[says]);
            assert_eq!(look(&scene.path("to")), before, "{says}");
        };
        check(&|to| std::fs::write(to.join("folder"), "x").unwrap(), "is a file, and a folder is");
        check(
            &|to| symlink("/tmp", to.join("folder")).unwrap(),
            "is a symbolic link, and a folder",
        );
        check(&|to| std::fs::create_dir(to.join("file")).unwrap(), "is a folder, and a file is");
        check(&|to| std::fs::create_dir(to.join("link")).unwrap(), "is a folder, and a link is");
    }
}

/// As deep as nobody can say in one path.
#[test]
fn folders_may_lie_deeper_than_a_path_is_long() {
    if !has_tools(&["rm", "sh"]) {
        return;
    }
    const DEPTH: usize = 1000;
    let scene = Scene::new();
    std::fs::create_dir_all(scene.path("from")).unwrap();
    std::fs::create_dir_all(scene.path("to")).unwrap();
    let flags = rustix::fs::OFlags::DIRECTORY;
    let mut folder = rustix::fs::open(scene.path("from"), flags, Mode::empty()).unwrap();
    for _ in 0..DEPTH {
        rustix::fs::mkdirat(&folder, "another", Mode::RWXU).unwrap();
        folder = rustix::fs::openat(&folder, "another", flags, Mode::empty()).unwrap();
    }
    let create = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
    let file = rustix::fs::openat(&folder, "file", create, Mode::RUSR | Mode::WUSR).unwrap();
    rustix::io::write(&file, b"at the bottom").unwrap();
    let ended = scene.run("-R -p --no-sync from to");
    let mut found = rustix::fs::open(scene.path("to/from"), flags, Mode::empty()).unwrap();
    let mut depth = 0;
    while let Ok(next) = rustix::fs::openat(&found, "another", flags, Mode::empty()) {
        found = next;
        depth += 1;
    }
    let mut text = [0; 20];
    let read = rustix::fs::openat(&found, "file", rustix::fs::OFlags::RDONLY, Mode::empty())
        .and_then(|file| rustix::io::read(&file, &mut text));
    let verified = scene.run("verify -R from to");
    // What takes paths cannot take it away again.
    scene.tool("rm", ["-rf", "from", "to"]).run().code(0);
    ended.code(0);
    assert_eq!(depth, DEPTH);
    assert_eq!(read.map(|len| text[..len].to_vec()), Ok(b"at the bottom".to_vec()));
    verified.code(0);
}

/// Hardly any file may be open at once, and each is copied.
#[test]
fn few_open_files_are_enough() {
    if !has_tools(&["sh"]) {
        return;
    }
    let scene = Scene::new();
    for folder in 0..40 {
        let path = scene.path(format!("from/{folder}"));
        std::fs::create_dir_all(&path).unwrap();
        for file in 0..10 {
            std::fs::write(path.join(file.to_string()), pattern(file, 100 * file as usize))
                .unwrap();
        }
    }
    std::fs::create_dir(scene.path("to")).unwrap();
    let mut run = scene.tool("sh", ["-c", "ulimit -n 40; exec \"$0\" -R -p from to"]);
    run.command.arg(crate::common::program());
    run.run().code(0);
    assert_alike(&scene.path("to/from"), &scene.path("from"), |_| {});
}

#[test]
fn a_comparison_finds_what_differs() {
    let scene = Scene::new();
    make_everything(&scene, "all");
    std::fs::create_dir(scene.path("to")).unwrap();
    scene.run("-R -p all to").code(0);
    scene.run("verify -R all to").code(0).says(&["are equal to their sources"]);
    let copy = |name: &str| scene.path("to/all").join(name);
    let check = |says: &str| {
        scene.run("verify -R all to").code(4).says(&[says]);
        scene.run("verify -R -q all/. to/all").code(4);
    };
    std::fs::remove_file(copy("to a file")).unwrap();
    check("'all/to a file': it is not there");
    symlink("elsewhere", copy("to a file")).unwrap();
    check("it leads to 'elsewhere', and should to 'a/one'");
    std::fs::remove_file(copy("to a file")).unwrap();
    symlink("a/one", copy("to a file")).unwrap();
    std::fs::remove_dir(copy("empty")).unwrap();
    check("'all/empty': it is not there");
    std::fs::create_dir(copy("empty")).unwrap();
    scene.run("verify -R all to").code(0);
    std::fs::write(copy("a/one"), "x").unwrap();
    check("'all/a/one'");
    set_mode(&copy("closed"), 0o700);
}

/// With -p, what a copy with -p preserves is compared, and nothing else.
#[test]
fn a_comparison_finds_what_differs_besides_content() {
    let scene = Scene::new();
    make_everything(&scene, "all");
    std::fs::create_dir(scene.path("to")).unwrap();
    scene.run("-R -p all to").code(0);
    let equal = || drop(scene.run("verify -R -p all to").code(0).says(&["are equal"]));
    equal();
    let copy = |name: &str| scene.path("to/all").join(name);
    let check = |says: &str| {
        scene.run("verify -R -p all to").code(4).says(&[says]);
        scene.run("verify -R all to").code(0);
    };
    set_mode(&copy("program"), 0o700);
    check("'all/program': its mode is 0700, and should be 0755");
    set_mode(&copy("program"), 0o755);
    equal();
    set_time(&copy("a/one"), 5, 0);
    check("'all/a/one': its time of last change is 5.000000000, and should be 1000000001.");
    set_time(&copy("a/one"), 1_000_000_001, 123_456_789);
    set_mode(&copy("sticky"), 0o777);
    check("'all/sticky': its mode is 0777, and should be 1777");
    set_mode(&copy("sticky"), 0o1777);
    set_time(&copy("empty"), 5, 0);
    check("'all/empty': its time of last change");
    set_time(&copy("empty"), 500_000_003, 987_654_321);
    equal();
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    let time = rustix::fs::Timespec { tv_sec: 7, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, copy("to a file"), &times, flags).unwrap();
    check("'all/to a file': its time of last change is 7.");
    scene.run("-R -p -f all to").code(0);
    equal();
    if rustix::fs::setxattr(copy("a/b"), "user.more", b"x", XattrFlags::empty()).is_ok() {
        check("'all/a/b': it has the attribute 'user.more', and should not");
        rustix::fs::removexattr(copy("a/b"), "user.more").unwrap();
        rustix::fs::setxattr(copy("a/one"), "user.test", b"y", XattrFlags::empty()).unwrap();
        check("'all/a/one': its attribute 'user.test' has another value");
        rustix::fs::removexattr(copy("a/one"), "user.test").unwrap();
        check("'all/a/one': it lacks the attribute 'user.test'");
        scene.run("-R -p -f all to").code(0);
    }
    // A file of its own is as good as a further name, unless names are to be kept.
    std::fs::remove_file(copy("zzz")).unwrap();
    std::fs::copy(copy("shared"), copy("zzz")).unwrap();
    set_time(&copy("zzz"), 1_000_000_007, 123_456_789);
    check("is not one file with");
    scene.run("verify -p all to").code(2).says(&["--recursive"]);
    set_mode(&copy("closed"), 0o700);
}

#[test]
fn a_dry_run_lists_and_makes_nothing() {
    let scene = Scene::new();
    make_everything(&scene, "all");
    std::fs::create_dir(scene.path("to")).unwrap();
    let ended = scene.run("-R -p -n -v all to").code(0);
    let ended = ended.says(&["8 folders, 6 links, 2 hard links", "nothing was written"]);
    ended.says(&["all/a/b/c/more", "all/empty", "all/a/dangling", "all/two words/new\\nline"]);
    assert_eq!(std::fs::read_dir(scene.path("to")).unwrap().count(), 0);
    let report = scene.run("-R -n --json all to").code(0).report();
    assert_eq!(report["tree"]["links"], 6);
    assert_eq!(report["items"]["not_tried"], report["items"]["total"]);
}

#[test]
fn digests_of_all_files_can_be_checked() {
    if !has_tools(&["sha256sum"]) {
        return;
    }
    let scene = Scene::new();
    std::fs::create_dir_all(scene.path("from/sub")).unwrap();
    scene.write("from/b", b"bytes");
    scene.write("from/sub/a", &pattern(3, 300_000));
    scene.write("from/none", b"");
    symlink("b", scene.path("from/link")).unwrap();
    std::fs::create_dir(scene.path("to")).unwrap();
    scene.run("-R --digest sha256 --digest-file SUMS from to").code(0);
    scene.tool("sha256sum", ["--check", "--strict", "SUMS"]).run().code(0);
    let sums = String::from_utf8(scene.read("SUMS")).unwrap();
    let names: Vec<&str> =
        sums.lines().filter_map(|line| line.split_once("  ")).map(|(_, n)| n).collect();
    assert_eq!(names, ["to/from/b", "to/from/none", "to/from/sub/a"], "in order of the names");
    let sums = scene.run("verify -R --digest sha256 from to").code(0).out();
    assert_eq!(sums.lines().count(), 3);
}
