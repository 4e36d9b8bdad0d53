//! What is refused: exit code 3, the reason, and nothing changed.

use crate::common::{Scene, assert_same, pattern};

/// A folder with a source, and what must be as it was after a refusal.
struct Guarded {
    scene: Scene,
    names: Vec<String>,
    source: Vec<u8>,
}

impl Guarded {
    fn new(prepare: impl FnOnce(&Scene)) -> Guarded {
        let scene = Scene::new();
        let source = scene.source("source", 10_000);
        prepare(&scene);
        Guarded { names: scene.names(), scene, source }
    }

    /// Runs, and asserts a refusal that says `texts` and leaves all as it was.
    #[track_caller]
    fn refuses(&self, line: &str, texts: &[&str]) {
        let ended = self.scene.run(&format!("--json {line}")).code(3).says(texts);
        assert_eq!(ended.report()["outcome"], "refused", "{line}");
        assert_eq!(self.scene.names(), self.names, "{line}");
        assert_same(&self.scene.read("source"), &self.source, line);
    }
}

#[test]
fn a_destination_that_exists() {
    let guarded = Guarded::new(|scene| scene.write("copy", b"precious"));
    guarded.refuses("source copy", &["exists", "--force", "--in-place"]);
    assert_same(&guarded.scene.read("copy"), b"precious", "the destination");
}

#[test]
fn a_part_that_an_earlier_run_left() {
    let guarded = Guarded::new(|scene| scene.write("copy.pcopy-part", b"half"));
    guarded.refuses("source copy", &["copy.pcopy-part", "--resume", "--restart"]);
    assert_same(&guarded.scene.read("copy.pcopy-part"), b"half", "the part");
}

#[test]
fn a_missing_directory() {
    let guarded = Guarded::new(|_| {});
    guarded.refuses("source missing/copy", &["missing"]);
    guarded.refuses("source missing/", &["missing"]);
    guarded.refuses("source source/copy", &["source"]);
}

#[test]
fn a_source_that_is_missing_or_a_directory() {
    let guarded = Guarded::new(|scene| std::fs::create_dir(scene.path("folder")).unwrap());
    guarded.refuses("missing copy", &["cannot open source", "missing"]);
    guarded.refuses("folder copy", &["a directory"]);
    guarded.refuses(". copy", &["a directory"]);
}

#[test]
fn the_source_itself_under_another_spelling() {
    let guarded = Guarded::new(|scene| std::fs::create_dir(scene.path("folder")).unwrap());
    for name in ["source", "./source", "folder/../source", "."] {
        // Also where it would be refused for being there: --force does not help.
        guarded.refuses(&format!("source {name}"), &["same file"]);
        guarded.refuses(&format!("--also other source {name}"), &["same file"]);
        guarded.refuses(&format!("--force source {name}"), &["same file"]);
        guarded.refuses(&format!("--in-place source {name}"), &["overlap", "same file"]);
    }
}

#[test]
fn the_source_itself_under_another_name() {
    let guarded = Guarded::new(|scene| {
        std::fs::hard_link(scene.path("source"), scene.path("hard")).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("source", scene.path("soft")).unwrap();
    });
    guarded.refuses("--force source hard", &["same file"]);
    guarded.refuses("--in-place source hard", &["same file"]);
    #[cfg(unix)]
    {
        guarded.refuses("--force source soft", &["same file"]);
        guarded.refuses("--in-place source soft", &["same file"]);
        guarded.refuses("--force soft hard", &["same file"]);
    }
}

#[test]
fn the_part_that_the_copy_would_discard_is_no_source() {
    let guarded = Guarded::new(|scene| scene.write("film.pcopy-part", &[7; 5000]));
    guarded.refuses("film.pcopy-part film", &["film.pcopy-part"]);
    for option in ["--restart", "--resume"] {
        guarded.refuses(&format!("{option} film.pcopy-part film"), &["same file"]);
    }
}

#[test]
fn a_map_where_the_copy_reads_or_writes() {
    let guarded = Guarded::new(|_| {});
    for map in ["copy", "./copy", "copy.pcopy-part"] {
        guarded.refuses(&format!("--map {map} source copy"), &["--map", "itself"]);
    }
    guarded.refuses("--map source source copy", &["--map", "itself"]);
}

/// Of what is copied, only the copy itself is written.
#[test]
fn a_file_beside_the_copy_does_not_replace_what_is_copied() {
    let scene = Scene::new();
    let bytes = scene.source("source", 5000);
    for file in ["source", "./source", "copy"] {
        let line = format!("--digest sha256 --digest-file {file} source copy");
        scene.run(&line).code(2).says(&["--digest-file", "replace"]);
    }
    scene.run("verify --digest sha256 --digest-file source source source").code(2);
    // By another name, and behind a directory.
    #[cfg(unix)]
    {
        std::fs::hard_link(scene.path("source"), scene.path("link")).unwrap();
        std::fs::create_dir(scene.path("dir")).unwrap();
        for line in ["--digest-file link source copy", "--digest-file dir/source source dir"] {
            scene.run(&format!("--digest sha256 {line}")).code(2).says(&["replace"]);
        }
        std::fs::remove_file(scene.path("link")).unwrap();
        std::fs::remove_dir(scene.path("dir")).unwrap();
    }
    scene.write("list.csv", b"name,start,len\na,0,100\n");
    for report in ["source", "list.csv"] {
        let line = format!("batch list.csv --source source --into out --report {report}");
        scene.run(&line).code(2).says(&["--report", "replace"]);
    }
    assert_same(&scene.read("source"), &bytes, "the source");
    assert_eq!(scene.names(), ["list.csv", "source"]);
}

#[test]
fn ranges_that_overlap_in_one_file() {
    let guarded = Guarded::new(|_| {});
    for (range, to) in [("0..10", 0), ("0..10", 9), ("100..200", 1), ("0..5000", 4999)] {
        let line = format!("--in-place -r {range} --dest-offset {to} source source");
        guarded.refuses(&line, &["overlap", "same file"]);
    }
}

#[test]
fn a_regular_file_where_a_device_is_wished() {
    let guarded = Guarded::new(|scene| scene.write("copy", b"precious"));
    guarded.refuses("--to-device source copy", &["not a block device"]);
    guarded.refuses("--to-device source missing", &["missing"]);
}

#[cfg(unix)]
#[test]
fn pipes_sockets_and_character_devices() {
    let mut listener = None;
    let guarded = Guarded::new(|scene| {
        scene.tool("mkfifo", ["pipe"]).run().code(0);
        listener = std::os::unix::net::UnixListener::bind(scene.path("socket")).ok();
    });
    assert!(listener.is_some());
    guarded.refuses("socket copy", &["socket"]);
    guarded.refuses("/dev/null copy", &["character device"]);
    guarded.refuses("/dev/zero copy", &["character device"]);
    guarded.refuses("--force source pipe", &["pipe"]);
    guarded.refuses("--in-place source pipe", &["pipe"]);
    guarded.refuses("--force source socket", &["socket"]);
    guarded.refuses("--force source /dev/null", &["character device"]);
    guarded.refuses("--in-place source /dev/full", &["character device"]);
}

#[cfg(target_os = "linux")]
#[test]
fn files_that_the_kernel_makes_up() {
    let guarded = Guarded::new(|_| {});
    for path in ["/proc/self/status", "/proc/version", "/sys/kernel/uevent_seqnum"] {
        if std::path::Path::new(path).exists() {
            guarded.refuses(&format!("{path} copy"), &["made up by the kernel"]);
        } else {
            crate::common::skip(&format!("{path} is not here"));
        }
    }
}

/// A misspelt device name must not become a file that fills memory.
#[cfg(target_os = "linux")]
#[test]
fn a_new_file_among_the_devices() {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &str| std::fs::metadata(path).map(|facts| facts.dev()).ok();
    if device("/dev") == device("/") {
        return crate::common::skip("/dev is not a file system of its own");
    }
    let guarded = Guarded::new(|scene| {
        scene.write("other", b"other");
        scene.write("list.csv", b"name,start,len\na,0,10\n");
        scene.write("below.csv", b"name,start,len\ndev/pcopy-test/a,0,10\n");
    });
    let name = "/dev/pcopy-test-no-device";
    for line in [
        "source NAME",
        "-n source NAME",
        "-f source NAME",
        "--also copy source NAME",
        "--also NAME source copy",
        "--map NAME source copy",
        "--digest md5 --digest-file NAME source copy",
        "-n --digest md5 --digest-file NAME source copy",
        "source other NAME",
        "source other /dev",
        "-n source other /dev",
        "batch list.csv --source source --into NAME",
        "batch -n list.csv --source source --into NAME",
        "batch list.csv --source source --into /dev",
        "batch list.csv --source source --into . --report NAME",
        "batch -n list.csv --source source --into . --report NAME",
        "man NAME",
        "batch below.csv --source source --into /",
        "batch -n below.csv --source source --into /",
    ] {
        let line = line.replace("NAME", name);
        guarded.scene.run(&line).code(3).says(&["dev"]);
        assert_eq!(guarded.scene.names(), guarded.names, "{line}");
        for made in [name, "/dev/pcopy-test", "/dev/source"] {
            assert!(!std::path::Path::new(made).exists(), "{line}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn folders_that_the_kernel_makes_up() {
    let guarded = Guarded::new(|scene| {
        scene.write("other", b"other");
        scene.write("list.csv", b"name,start,len\na,0,10\n");
    });
    for folder in ["/proc", "/sys", "/proc/self"] {
        for line in [
            "source FOLDER/copy",
            "-n source FOLDER/copy",
            "--also FOLDER/copy source copy",
            "--map FOLDER/map source copy",
            "source other FOLDER",
            "batch -n list.csv --source source --into FOLDER",
            "batch list.csv --source source --into FOLDER",
        ] {
            let line = line.replace("FOLDER", folder);
            guarded.scene.run(&line).code(3).says(&["the kernel makes up"]);
            assert_eq!(guarded.scene.names(), guarded.names, "{line}");
        }
    }
    guarded.refuses("-n -f source /proc/sys/vm/swappiness", &["cannot replace"]);
}

/// A working directory that somebody has removed takes no file any more.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_is_gone() {
    let scene = Scene::new();
    scene.source("source", 1000);
    scene.write("other", b"other");
    scene.write("list.csv", b"name,start,len\na,0,10\n");
    for line in [
        "$top/source copy",
        "-n $top/source copy",
        "--also copy $top/source $top/copy",
        "-n $top/source $top/other .",
        "batch $top/list.csv --source $top/source",
        "batch -n $top/list.csv --source $top/source",
    ] {
        std::fs::create_dir(scene.path("gone")).unwrap();
        let script = format!("top=$PWD; cd gone && rmdir ../gone && exec \"$0\" {line}");
        let mut shell = scene.tool("sh", ["-c", &script]);
        shell.command.arg(crate::common::program());
        shell.run().code(3).says(&["has been removed"]);
        assert!(!scene.has("copy"), "{line}");
    }
}

/// A file that a program has locked is not written under it.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_another_program_has_locked() {
    use rustix::fs::{FlockOperation, fcntl_lock};
    let scene = Scene::new();
    let bytes = scene.source("source", 10_000);
    scene.write("image", &pattern(2, 20_000));
    let image = std::fs::File::options().read(true).write(true).open(scene.path("image")).unwrap();
    for kind in [FlockOperation::NonBlockingLockShared, FlockOperation::NonBlockingLockExclusive] {
        fcntl_lock(&image, kind).unwrap();
        for line in ["--in-place", "-n --in-place", "--in-place --resume"] {
            let ended = scene.run(&format!("{line} source image")).code(3);
            ended.says(&["in use", "has locked it", "--even-if-in-use"]);
        }
        // By this descriptor: closing another one would end the lock.
        let mut found = vec![0; 20_000];
        std::os::unix::fs::FileExt::read_exact_at(&image, &mut found, 0).unwrap();
        assert_same(&found, &pattern(2, 20_000), "the image");
    }
    scene.write("also", &pattern(3, 20_000));
    scene.run("--in-place --also image source also").code(3).says(&["has locked it"]);
    assert_same(&scene.read("also"), &pattern(3, 20_000), "the other");
    scene.run("-n --even-if-in-use --in-place source image").code(0);
    scene.run("--even-if-in-use --in-place source image").code(0);
    // This ends the lock: it goes with its program, or with any of its descriptors.
    assert_same(&scene.read("image")[..10_000], &bytes, "the image");
    scene.run("--in-place source image").code(0);
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere_is_not_written_through() {
    let guarded = Guarded::new(|scene| {
        std::os::unix::fs::symlink("elsewhere", scene.path("copy")).unwrap();
        std::os::unix::fs::symlink("victim", scene.path("other.pcopy-part")).unwrap();
    });
    guarded.refuses("source copy", &["exists"]);
    guarded.refuses("source other", &["other.pcopy-part"]);
    assert!(!guarded.scene.has("elsewhere") && !guarded.scene.has("victim"));
}

/// A folder that cannot be written and a source that cannot be read, seen by
/// a user who may not: root may do everything.
#[cfg(unix)]
#[test]
fn what_permissions_forbid() {
    let scene = Scene::new();
    scene.source("source", 1000);
    scene.source("secret", 1000);
    scene.write("present", b"precious");
    std::fs::create_dir(scene.path("folder")).unwrap();
    for (name, bits) in [("", 0o755), ("folder", 0o555), ("secret", 0), ("present", 0o444)] {
        scene.set_mode(name, bits);
    }
    if scene.pcopy_of_a_user("").is_none() {
        return;
    }
    let as_user = |line: &str| scene.pcopy_of_a_user(line).expect("as before").run();
    scene.write("folder/old", b"old");
    scene.set_mode("folder/old", 0o666);
    for line in ["-f source folder/old", "-n -f source folder/old"] {
        as_user(line).code(3).says(&["cannot replace", "--in-place", "Permission denied"]);
    }
    // Nor can it be written where it is.
    scene.set_mode("folder/old", 0o444);
    let ended = as_user("-f source folder/old").code(3).says(&["cannot replace"]);
    assert!(!ended.stderr.contains("--in-place"), "{}", ended.stderr);
    std::fs::remove_file(scene.path("folder/old")).unwrap();
    as_user("source folder/copy").code(3).says(&["folder", "Permission denied"]);
    as_user("source folder").code(3).says(&["folder", "Permission denied"]);
    as_user("secret copy").code(3).says(&["secret", "Permission denied"]);
    as_user("--in-place source present").code(3).says(&["present", "Permission denied"]);
    assert_same(&scene.read("present"), b"precious", "the file that may not be written");
    scene.set_mode("folder", 0o755);
    assert_eq!(std::fs::read_dir(scene.path("folder")).unwrap().count(), 0);
}

#[test]
fn a_refusal_touches_neither_an_old_destination_nor_its_times() {
    let scene = Scene::new();
    scene.source("source", 100);
    scene.write("copy", &pattern(2, 50));
    let before = scene.path("copy").metadata().unwrap().modified().unwrap();
    scene.run("--force -r 50..200 source copy").code(3);
    scene.run("--in-place -r 50..200 source copy").code(3);
    assert_eq!(scene.path("copy").metadata().unwrap().modified().unwrap(), before);
    assert_same(&scene.read("copy"), &pattern(2, 50), "the destination");
}
