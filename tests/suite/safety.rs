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
        // Also where it would be refused for being there: --force is no way out.
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
    // A pipe that nobody writes to must not make it wait.
    guarded.refuses("pipe copy", &["pipe"]);
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
        return crate::common::skip("/dev is no file system of its own");
    }
    let guarded = Guarded::new(|_| {});
    guarded.refuses("source /dev/pcopy-test-no-device", &["/dev"]);
    assert!(!std::path::Path::new("/dev/pcopy-test-no-device").exists());
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
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new();
    let root = rustix::process::geteuid().is_root();
    if root && !crate::common::has_tools(&["setpriv"]) {
        return;
    }
    // A copy of the program where another user can reach it.
    std::fs::copy(crate::common::program(), scene.path("pcopy")).unwrap();
    let mode = |name: &str, mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(scene.path(name), permissions).unwrap();
    };
    scene.source("source", 1000);
    scene.source("secret", 1000);
    scene.write("present", b"precious");
    std::fs::create_dir(scene.path("folder")).unwrap();
    for (name, bits) in
        [("", 0o755), ("pcopy", 0o755), ("folder", 0o555), ("secret", 0), ("present", 0o444)]
    {
        mode(name, bits);
    }
    let as_user = |line: &str| {
        let me = scene.path("pcopy").into_os_string();
        let words = line.split_whitespace().map(Into::into);
        if root {
            let user = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
            let user = user.into_iter().map(Into::into);
            return scene.tool("setpriv", user.chain([me]).chain(words)).run();
        }
        scene.tool(me.to_str().unwrap(), words.collect::<Vec<std::ffi::OsString>>()).run()
    };
    as_user("source folder/copy").code(3).says(&["folder", "Permission denied"]);
    as_user("source folder").code(3).says(&["folder", "Permission denied"]);
    as_user("secret copy").code(3).says(&["secret", "Permission denied"]);
    as_user("--in-place source present").code(3).says(&["present", "Permission denied"]);
    assert_same(&scene.read("present"), b"precious", "the file that may not be written");
    mode("folder", 0o755);
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
