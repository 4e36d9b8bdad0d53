//! Calls that are kept from the program, as by the filter of an old container:
//! what needs none of them goes on, says so once, and never takes another way
//! that would be less safe.

use std::fs::File;
use std::os::unix::fs::{FileExt, PermissionsExt};

use crate::common::{Ended, Run, Scene, assert_same, program};
use crate::inject::can_inject;

/// All that a copy does not need, or has an older call for.
const NOT_NEEDED: &str = "fchmod,fchmodat,fchown,fchownat,utimensat,fallocate,fadvise64,flock,\
     statfs,fstatfs,statx,faccessat2,renameat2,copy_file_range,sync_file_range,syncfs,fsetxattr,\
     fgetxattr,flistxattr,fremovexattr";

/// Every form of a copy, and where its first file is.
const FORMS: [(&str, &str); 8] = [
    ("source new", "new"),
    ("-f source old", "old"),
    ("--in-place source old", "old"),
    ("-p source new", "new"),
    ("--verify --engine positioned source new", "new"),
    ("--also other source new", "new"),
    ("source list.csv folder", "folder/source"),
    ("batch list.csv --source source --into into", "into/all"),
];

/// `pcopy LINE` in `scene`, with each of `calls` refused with `error`.
fn refused(scene: &Scene, calls: &str, error: &str, line: &str) -> Run {
    let mut run = scene.tool("strace", ["-f", "-qqq", "-o", "/dev/null"]);
    let calls: String = calls.split_whitespace().collect();
    run.command.args(["-e", &format!("trace={calls}")]);
    run.command.args(["-e", &format!("inject={calls}:error={error}")]);
    run.command.arg(program()).args(line.split_whitespace());
    run
}

fn scene() -> (Scene, Vec<u8>) {
    let scene = Scene::new();
    let bytes = scene.source("source", 3 << 20);
    scene.write("old", &[1; 3 << 20]);
    std::fs::create_dir(scene.path("folder")).expect("a folder");
    scene.write(
        "list.csv",
        b"name,mtime,mode\nall,2001-02-03T04:05:06Z,0640\nb,2001-02-03T04:05:06Z,0640\n",
    );
    (scene, bytes)
}

#[test]
fn all_that_is_not_needed_may_be_refused_at_once() {
    if !can_inject() {
        return;
    }
    for error in ["EPERM", "ENOSYS"] {
        for (line, name) in FORMS {
            let (scene, bytes) = scene();
            refused(&scene, NOT_NEEDED, error, line).run().code(0);
            assert_same(&scene.read(name), &bytes, &format!("{error}: {line}"));
            assert!(!scene.names().iter().any(|name| name.contains("pcopy")), "{error}: {line}");
        }
    }
}

/// Without a length ahead, a file whose copy has ended early does not reach to the holes
/// that are to come: a map that calls them done would make it look as if it had been cut.
#[test]
fn without_a_length_ahead_a_copy_with_holes_to_come_is_resumed() {
    if !can_inject() {
        return;
    }
    const MIB: usize = 1 << 20;
    for (line, names) in [
        ("source new", &["new"][..]),
        ("--sparse always source new", &["new"]),
        ("--split 1500K source new", &["new.001", "new.002", "new.003", "new.004"]),
    ] {
        let scene = Scene::new();
        // Data, a hole, zeros that may become one, data, and a hole up to the end.
        let mut bytes = scene.source("source", MIB);
        let file = File::options().write(true).open(scene.path("source")).expect("it is there");
        file.set_len(5 * MIB as u64).expect("it becomes longer");
        file.write_all_at(&[0; MIB], 2 << 20).expect("zeros are written");
        file.write_all_at(&[9; MIB], 3 << 20).expect("data is written");
        for (end, byte) in [(3, 0), (4, 9), (5, 0)] {
            bytes.resize(end * MIB, byte);
        }
        let line = format!("--resume --engine positioned --io-size 64K --stripe-size 64K {line}");
        let mut failing = scene.tool("strace", ["-f", "-qqq", "-o", "/dev/null"]);
        failing.command.args(["-e", "trace=ftruncate,pwrite64"]);
        failing.command.args(["-e", "inject=ftruncate:error=EPERM"]);
        failing.command.args(["-e", "inject=pwrite64:error=ENOSPC:when=4+"]);
        failing.command.arg(program()).args(line.split_whitespace());
        failing.run().code(5);
        refused(&scene, "ftruncate", "EPERM", &line).run().code(0);
        let found: Vec<u8> = names.iter().flat_map(|name| scene.read(name)).collect();
        assert_same(&found, &bytes, &line);
    }
}

/// How often the text says it.
fn count(ended: &Ended, text: &str) -> usize {
    ended.stderr.matches(text).count()
}

#[test]
fn what_was_not_given_is_said_once_however_many_files_there_are() {
    if !can_inject() {
        return;
    }
    for (call, said) in [("fchmod", "the mode could not be set"), ("utimensat", "the time could")] {
        let (scene, _) = scene();
        let line = "batch list.csv --source source --into into";
        let ended = refused(&scene, call, "EPERM", line).run().code(0);
        assert_eq!(count(&ended, said), 1, "{}", ended.stderr);
        ended.says(&["and 1 more", "Operation not permitted"]);
        let line = line.replace("--source", "-f --json --source");
        let report = refused(&scene, call, "EPERM", &line).run().code(0).report();
        assert!(report["notes"][0].as_str().is_some_and(|note| note.contains(said)), "{report}");
    }
    let (scene, _) = scene();
    let ended = refused(&scene, "fchmod", "EPERM", "source new").run().code(0);
    assert_eq!(count(&ended, "the mode could not be set"), 1, "{}", ended.stderr);
    // As private as it was made.
    let mode = scene.path("new").metadata().expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// A failing disk is not taken for a refusal.
#[test]
fn what_fails_is_no_note() {
    if !can_inject() {
        return;
    }
    for error in ["EIO", "ENOSPC", "EROFS"] {
        let (scene, _) = scene();
        refused(&scene, "fchmod", error, "source new").run().code(5);
        assert!(!scene.has("new"), "{error}");
        let (scene, _) = self::scene();
        let line = "batch list.csv --source source --into into";
        refused(&scene, "fchmod", error, line).run().code(1);
        assert!(!scene.has("into/all"), "{error}");
    }
}

/// Without the call that replaces nothing, a name that somebody has taken
/// meanwhile is still theirs: it is given by a link, which fails.
#[test]
fn without_the_newer_rename_nothing_is_replaced() {
    if !can_inject() {
        return;
    }
    for error in ["EPERM", "ENOSYS", "EINVAL"] {
        let (scene, bytes) = scene();
        let ended = refused(&scene, "renameat2,link,linkat", error, "source new").run().code(0);
        assert_same(&scene.read("new"), &bytes, &ended.stderr);
        let line = "--limit-rate 1MiB --progress json source raced";
        let mut running = refused(&scene, "renameat2", error, line).start();
        running.wait_until_copying();
        scene.write("raced", b"mine");
        running.end().code(5).says(&["complete in './raced.pcopy-part'", "exists"]);
        assert_eq!(scene.read("raced"), b"mine", "{error}");
        assert_same(&scene.read("raced.pcopy-part"), &bytes, error);
        // The map says so too: what is complete is not copied again.
        std::fs::remove_file(scene.path("raced")).expect("it is there");
        let report = scene.run("--resume --json source raced").code(0).report();
        assert_eq!(report["bytes"]["copied"], 0, "{report}");
    }
}

/// With the newer rename refused and no links either, both steps are seen.
#[test]
fn a_new_name_is_given_by_a_link_where_the_newer_rename_is_refused() {
    if !can_inject() {
        return;
    }
    let (scene, bytes) = scene();
    let mut run = scene.tool("strace", ["-f", "-qqq", "-o", "trace", "-e"]);
    run.command.args(["trace=renameat2,renameat,rename,link,linkat,unlink,unlinkat"]);
    run.command.args(["-e", "inject=renameat2:error=EPERM"]);
    run.command.arg(program()).args(["source", "new"]);
    run.run().code(0);
    let trace = String::from_utf8(scene.read("trace")).expect("a log is text");
    let steps: Vec<_> = trace.lines().filter(|line| line.contains("\"new.pcopy-part\"")).collect();
    let [refused, linked, unlinked] = &steps[..] else { panic!("{trace}") };
    assert!(refused.contains("renameat2(") && refused.contains("RENAME_NOREPLACE"), "{trace}");
    assert!(linked.contains("linkat(") && unlinked.contains("unlinkat("), "{trace}");
    assert_same(&scene.read("new"), &bytes, "by a link");
}

/// A file with two names is shared by both: the first goes, or the second never was.
#[test]
fn a_link_whose_first_name_stays_is_taken_back() {
    if !can_inject() {
        return;
    }
    let (scene, bytes) = scene();
    let mut run = scene.tool("strace", ["-f", "-qqq", "-o", "/dev/null"]);
    run.command.args(["-e", "inject=renameat2:error=EPERM"]);
    run.command.args(["-e", "inject=unlinkat:error=EIO:when=1"]);
    // Without a map there is nothing else to remove.
    run.command.arg(program()).args(["-q", "source", "new"]);
    let ended = run.run();
    if ended.status.code() == Some(0) {
        // The call that failed was another one.
        assert_same(&scene.read("new"), &bytes, "complete");
        return;
    }
    let ended = ended.code(5).says(&["complete in './new.pcopy-part'"]);
    assert!(!scene.has("new"), "{}", ended.stderr);
    assert_same(&scene.read("new.pcopy-part"), &bytes, "kept");
}
