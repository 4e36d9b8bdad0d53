//! Side files are made, replaced and removed by what they are: in the system
//! calls of every form of the command, and where links and pipes have been put.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use crate::common::{Ended, Run, Scene, assert_same, has_tools, pattern, skip};
use crate::inject::can_inject;

/// Invariant I12, over every form of the command.
#[test]
fn invariant_i12_only_what_is_known_to_be_ours_is_removed_renamed_or_cut() {
    if !can_inject() {
        return;
    }
    let mut asked = 0;
    let mut run = |scene: &Scene, line: &str, codes: &[i32]| -> Ended {
        let ended = scene.pcopy(line.split_whitespace()).watched().run();
        let code = ended.status.code().expect("it ends by itself");
        assert!(codes.contains(&code), "{line}: {code}\n{}", ended.stderr);
        asked += ended.asked;
        ended
    };
    let slow = "--engine positioned -t 1 --io-size 64KiB --stripe-size 64KiB --limit-rate 4MiB \
                --checkpoint-every 0";
    let scene = Scene::new();
    let bytes = scene.source("src", 600_000);
    std::fs::create_dir(scene.path("dir")).expect("a folder can be made");
    for line in [
        "src o",
        &format!("{slow} src p"),
        &format!("{slow} -f src o"),
        &format!("{slow} --in-place src o"),
        &format!("{slow} --map m src q"),
        "--sparse always src dir",
        "--digest md5 --digest-file sums src r",
        "--digest md5 --digest-file sums -f src r",
        "--digest md5 --digest-file sums src -",
        "--verify --preserve src s",
        "--also t src u",
        "--also t -f src u",
        "verify --digest md5 --digest-file sums src u",
        "bench --rounds 1 -t 1 --io-size 64KiB --engine positioned --svg chart src v",
        "bench --rounds 1 -t 1 --io-size 64KiB --engine positioned --svg chart zero: v",
        "-n -f src o",
        "-f src dir",
        "src o dir -f",
    ] {
        run(&scene, line, &[0]);
    }
    // Refused, and with the part, the map and the temporaries of a run that was killed.
    run(&scene, "src o", &[3]);
    for option in ["--resume", "--restart"] {
        scene.run("--expect crc32c:00000000 src left").code(4);
        scene.write(".left.pcopy-map.pcopy-0123456789abcdef.tmp", b"# Mapfile. Created by ");
        run(&scene, "src left", &[3]);
        run(&scene, "--expect crc32c:00000000 --resume src left", &[4]);
        run(&scene, &format!("{option} src left"), &[0]);
        assert_same(&scene.read("left"), &bytes, option);
        assert!(!scene.names().iter().any(|name| name.ends_with(".tmp")), "{:?}", scene.names());
        std::fs::remove_file(scene.path("left")).expect("it is there");
    }
    // Of a run that was killed in place before its first map, nothing else is there.
    scene.write("place", b"old");
    scene.write(".place.pcopy-map.pcopy-0123456789abcdef.tmp", b"# Mapfile. Created by ");
    run(&scene, "--in-place --resume src place", &[0]);
    assert!(!scene.names().iter().any(|name| name.ends_with(".tmp")), "{:?}", scene.names());
    let rows = "name,start,len,sha256\na,0,1000,\nd/b,1000,2000,\nc,0,10,".to_owned();
    scene.write("l.csv", format!("{rows}{}\n", "0".repeat(64)).as_bytes());
    for line in [
        "batch l.csv --source src --into out --report rep",
        "batch l.csv --source src --into out --report rep --resume",
        "batch l.csv --source src --into out --report rep --force --restart",
        "batch --retry rep --source src --into out --report rep",
    ] {
        run(&scene, line, &[1]);
    }
    run(&scene, "batch l.csv --source src --into out --report rep", &[3]);
    run(&scene, "batch l.csv --source src --into new -n --report rep", &[0]);
    assert!(!scene.has("new"));
    println!("measured: calls on files that must be known: {asked} asked, all are its own");
}

/// Everything that is put in the place of a side file that the user names.
#[test]
fn what_stands_at_a_named_side_file_is_replaced_or_refused() {
    let lines = [
        ("batch l.csv --source src --into o --force --report x", "o/a"),
        ("-f --digest md5 --digest-file x src o/a", "o/a"),
        ("bench --rounds 1 -t 1 --io-size 64KiB --engine positioned --svg x src null:", "src"),
    ];
    for (line, copy) in lines {
        let scene = Scene::new();
        scene.source("src", 100_000);
        scene.write("l.csv", b"name,start,len\na,0,100\n");
        std::fs::create_dir(scene.path("o")).expect("a folder can be made");
        let victim = pattern(5, 3000);
        scene.write("victim", &victim);
        let x = scene.path("x");
        let take_away = || std::fs::remove_file(&x).or_else(|_| std::fs::remove_dir(&x));

        // A link of our own is followed, to a new file: the link stays.
        symlink("real", &x).expect("a link");
        scene.run(line).code(0);
        assert!(x.is_symlink() && scene.read("real").len() > 20, "{line}");
        take_away().expect("it is there");

        // Another name of a file keeps what it has; the mode stays that of the old one.
        std::fs::hard_link(scene.path("victim"), &x).expect("a link");
        std::fs::set_permissions(&x, std::fs::Permissions::from_mode(0o640)).expect("ours");
        scene.run(line).code(0);
        assert_same(&scene.read("victim"), &victim, line);
        assert_eq!(x.metadata().expect("it is there").mode() & 0o777, 0o640, "{line}");
        take_away().expect("it is there");

        std::fs::create_dir(&x).expect("a folder can be made");
        let _ = std::fs::remove_file(scene.path("o/a"));
        scene.run(line).code(3).says(&["x"]);
        assert!(!scene.has("o/a"), "{line}: before anything was copied");
        take_away().expect("it is there");
        let _ = copy;
        assert!(!scene.names().iter().any(|name| name.ends_with(".tmp")), "{:?}", scene.names());
    }
}

/// What another user has put there is not followed and not written to.
#[test]
fn links_and_pipes_of_another_user_are_refused() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root");
    }
    for what in ["link", "pipe"] {
        for line in [
            "batch l.csv --source src --into o --report x",
            "--digest md5 --digest-file x src copy",
            "verify --digest md5 --digest-file x src src2",
            "bench --rounds 1 -t 1 --io-size 64KiB --engine positioned --svg x src null:",
        ] {
            let scene = Scene::new();
            scene.source("src", 100_000);
            scene.source("src2", 100_000);
            scene.write("l.csv", b"name,start,len\na,0,100\n");
            scene.write("victim", b"precious");
            match what {
                "link" => symlink("victim", scene.path("x")).expect("a link"),
                _ => drop(scene.tool("mkfifo", ["x"]).run().code(0)),
            }
            std::os::unix::fs::lchown(scene.path("x"), Some(65534), None).expect("root may");
            scene.run(line).code(3).says(&["x", what, "another user"]);
            assert_eq!(scene.read("victim"), b"precious", "{what}: {line}");
        }
    }
}

/// A link of root is as good as one's own.
#[test]
fn a_link_of_root_is_followed() {
    let scene = Scene::new();
    scene.source("src", 100_000);
    symlink("real", scene.path("x")).expect("a link");
    scene.set_mode("", 0o777);
    let Some(run) = scene.pcopy_of_a_user("--digest md5 --digest-file x src copy") else { return };
    run.run().code(0);
    assert!(scene.path("x").is_symlink() && scene.read("real").len() > 20);
}

/// It could be written, and is not: only where something is mounted on it is there no
/// other way.
#[test]
fn a_file_that_may_not_be_replaced_is_not_written_instead() {
    let scene = Scene::new();
    scene.source("src", 100_000);
    std::fs::create_dir(scene.path("folder")).expect("a folder can be made");
    scene.write("folder/x", b"old");
    for (name, mode) in [("", 0o777), ("folder", 0o1777), ("folder/x", 0o666)] {
        scene.set_mode(name, mode);
    }
    let line = "--digest md5 --digest-file folder/x src copy";
    let Some(run) = scene.pcopy_of_a_user(line) else { return };
    let ended = run.run();
    assert!(!ended.status.success(), "{}", ended.stderr);
    assert!(ended.stderr.contains("folder/x"), "{}", ended.stderr);
    assert_eq!(scene.read("folder/x"), b"old");
}

/// What replaces a file of another user is one's own, with the mode of a new file.
#[test]
fn a_file_of_another_user_is_replaced_by_one_of_ours() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root");
    }
    let scene = Scene::new();
    scene.source("src", 100_000);
    scene.write("x", b"old");
    scene.set_mode("x", 0o602);
    std::os::unix::fs::chown(scene.path("x"), Some(65534), None).expect("root may");
    scene.run("--digest md5 --digest-file x src copy").code(0);
    let facts = scene.path("x").metadata().expect("it is there");
    assert_eq!((facts.uid(), facts.mode() & 0o111), (0, 0));
    assert_ne!(facts.mode() & 0o777, 0o602);
}

/// After a power cut, a name leads to all of a side file, or to the old one.
#[test]
fn a_side_file_is_on_the_disk_before_it_has_its_name() {
    if !can_inject() {
        return;
    }
    for line in ["-f --digest md5 --digest-file x src o", "bench --rounds 1 -t 1 --svg x src null:"]
    {
        let scene = Scene::new();
        scene.source("src", 100_000);
        scene.write("x", b"old");
        let calls = ["trace=fsync,fdatasync,rename,renameat,renameat2"];
        let (ended, log) = crate::batch::faults::traced(&scene, &[], &calls, line);
        ended.code(0);
        let place = |what: &dyn Fn(&str) -> bool| log.lines().position(what);
        let synced = place(&|line| line.contains("sync(") && line.contains("/.x.pcopy-"));
        let named = place(&|line| line.contains("rename") && line.contains("\"x\""));
        assert!(synced.is_some() && synced < named, "{line}: {log}");
    }
}

/// Streams that the user names are written as they are.
#[test]
fn a_report_goes_to_a_pipe_or_a_descriptor() {
    if !has_tools(&["mkfifo", "sh", "cat"]) {
        return;
    }
    let scene = Scene::new();
    scene.source("src", 100_000);
    scene.write("l.csv", b"name,start,len\na,0,100\nb,5,6\n");
    scene.tool("mkfifo", ["pipe"]).run().code(0);
    let program = crate::common::program();
    let line = "batch l.csv --source src --into o --force --report";
    let digests = "-f --digest md5 --digest-file";
    for (script, lines) in [
        (format!("cat pipe > out & \"$0\" {line} pipe && wait"), 2),
        (format!("\"$0\" {line} pipe & cat pipe > out; wait"), 2),
        (format!("echo first > out; \"$0\" {line} /dev/fd/3 3>> out"), 3),
        (format!("\"$0\" {line} /dev/stdout > out"), 2),
        (format!("\"$0\" {line} /dev/stdout | cat > out"), 2),
        (format!("cat pipe > out & \"$0\" {digests} pipe src c && wait"), 1),
        (format!("\"$0\" {digests} /dev/stdout src c | cat > out"), 1),
    ] {
        let mut run = scene.tool("sh", ["-c", &script]);
        run.command.arg(&program);
        run.run().code(0);
        let out = String::from_utf8(scene.read("out")).expect("text");
        assert_eq!(out.lines().count(), lines, "{script}: {out}");
    }
}

/// A single file of the host is mounted in a container: nothing can take its name.
#[test]
fn a_report_on_a_mount_point_is_written_where_it_is() {
    if !rustix::process::geteuid().is_root() || !has_tools(&["mount", "umount"]) {
        return skip("needs root");
    }
    let scene = Scene::new();
    scene.source("src", 100_000);
    scene.write("l.csv", b"name,start,len\na,0,100\nb,5,6\n");
    for name in ["x", "host"] {
        scene.write(
            name,
            b"what was there, and is longer than some lines of a report".repeat(9).as_slice(),
        );
    }
    if !scene.tool("mount", ["--bind", "host", "x"]).run().status.success() {
        return skip("nothing can be mounted");
    }
    let lines = [
        ("batch l.csv --source src --into o --report x", 2),
        ("--digest md5 --digest-file x src copy", 1),
    ];
    let results = lines.map(|(line, _)| (scene.run(line).status.code(), scene.read("host")));
    scene.tool("umount", ["x"]).run().code(0);
    for ((code, text), (line, count)) in results.into_iter().zip(lines) {
        let text = String::from_utf8(text).expect("text");
        assert_eq!((code, text.lines().count()), (Some(0), count), "{line}: {text}");
    }
    assert!(!scene.names().iter().any(|name| name.ends_with(".tmp")), "{:?}", scene.names());
}

/// A file may be for a user to write, and its folder not: then it has no other to take its
/// place, and one with two names might be somebody else's as well.
#[test]
fn a_report_in_a_folder_that_may_not_be_written_is_written_where_it_is() {
    let scene = Scene::new();
    scene.source("src", 100_000);
    scene.write("l.csv", b"name,start,len\na,0,100\nb,5,6\n");
    std::fs::create_dir(scene.path("closed")).expect("a folder");
    let old = b"what was there, and is longer than some lines of a report".repeat(9);
    scene.write("closed/report", &old);
    for (name, mode) in [("", 0o777), ("closed/report", 0o666), ("closed", 0o555)] {
        scene.set_mode(name, mode);
    }
    let run = |line: &str| {
        let line = format!("batch l.csv --source src {line}");
        scene.pcopy_of_a_user(&line).map(Run::run)
    };
    let inode = |name| scene.path(name).metadata().expect("it is there").ino();
    let before = inode("closed/report");
    let Some(ended) = run("--into o --report closed/report") else { return };
    ended.code(0);
    let text = String::from_utf8(scene.read("closed/report")).expect("text");
    assert_eq!((text.lines().count(), inode("closed/report")), (2, before), "{text}");
    let ended = run("--into new --report closed/none").expect("as before");
    ended.code(3).says(&["closed/none", "Permission denied"]);
    scene.set_mode("closed", 0o755);
    std::fs::hard_link(scene.path("closed/report"), scene.path("closed/other")).expect("a link");
    scene.set_mode("closed", 0o555);
    let ended = run("--into new --report closed/report").expect("as before");
    ended.code(3).says(&["closed/report", "it has another name as well"]);
    assert_eq!(scene.read("closed/report"), text.as_bytes());
    scene.set_mode("closed", 0o755);
    assert!(!scene.has("new"), "before anything was copied");
}

/// A killed run may leave temporaries; the next one of the job clears them away.
#[test]
fn what_a_killed_run_left_of_a_report_goes() {
    let scene = Scene::new();
    scene.source("src", 100_000);
    scene.write("l.csv", b"name,start,len\na,0,100\n");
    let left = ".x.pcopy-0123456789abcdef.tmp";
    let theirs = ".x.pcopy-0123456789abcdee.tmp";
    scene.write(left, b"{\"name\":\"a\"");
    scene.write(theirs, b"not a report");
    scene.run("batch l.csv --source src --into o --report x").code(0);
    assert!(!scene.has(left));
    assert_eq!(scene.read(theirs), b"not a report");
}
