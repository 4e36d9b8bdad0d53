//! A control group that limits memory: who takes more is killed, so nobody does.

use std::path::{Path, PathBuf};

use crate::common::{Ended, Scene, assert_same, is_root, program, skip};

/// What a process in the group may have.
const LIMIT: &str = "50331648";

/// A control group, of version 1 or 2.
struct Group {
    folder: PathBuf,
}

impl Group {
    /// `None`, with a skip, where none can be made.
    fn new(name: &str) -> Option<Group> {
        if !is_root() {
            return None;
        }
        if in_memory(&std::env::temp_dir()) {
            skip("what the copies hold would count as memory of the group");
            return None;
        }
        let name = format!("pcopy-test-{name}-{}", std::process::id());
        let places = [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
            ("/sys/fs/cgroup/unified", "memory.max"),
        ];
        for (mounted, limit) in places {
            let folder = Path::new(mounted).join(&name);
            if !Path::new(mounted).join("cgroup.procs").exists()
                || std::fs::create_dir(&folder).is_err()
            {
                continue;
            }
            let group = Group { folder };
            // A new file would be no limit.
            if group.folder.join(limit).exists()
                && std::fs::write(group.folder.join(limit), LIMIT).is_ok()
            {
                return Some(group);
            }
        }
        skip("no control group for memory can be made");
        None
    }

    /// Runs the program with `line` in it.
    fn run(&self, scene: &Scene, line: &str) -> Ended {
        let script = "echo $$ > \"$0\" && exec \"$@\"";
        let mut shell = scene.tool("sh", ["-c", script]);
        shell.command.arg(self.folder.join("cgroup.procs")).arg(program()).args(line.split(' '));
        shell.run()
    }
}

/// Whether the files of a folder are kept in memory.
fn in_memory(folder: &Path) -> bool {
    // TMPFS_MAGIC of statfs(2).
    rustix::fs::statfs(folder).is_ok_and(|found| found.f_type as u64 == 0x0102_1994)
}

impl Drop for Group {
    fn drop(&mut self) {
        // Empty by now: what ran in it has been waited for.
        let _ = std::fs::remove_dir(&self.folder);
    }
}

#[test]
fn a_wish_beyond_the_memory_is_made_smaller_or_refused() {
    let Some(group) = Group::new("wish") else { return };
    let scene = Scene::new();
    let bytes = scene.source("source", 80 << 20);
    scene.write("list.csv", b"name,start,len\none,0,41943040\ntwo,41943040,41943040\n");
    let greedy = "-t 64 --io-size 16MiB --sparse never --reflink never --engine positioned";
    let fewer = "1 thread instead of 64";
    group.run(&scene, &format!("{greedy} source copy")).code(0).says(&[fewer, "48 MiB"]);
    assert_same(&scene.read("copy"), &bytes, "the copy");
    group.run(&scene, &format!("{greedy} -f --also other source copy")).code(0).says(&[fewer]);
    let stream = group.run(&scene, "-t 64 --io-size 16MiB source -").code(0);
    assert_same(&stream.stdout, &bytes, "the stream");
    let batch = format!("batch {greedy} --source source --into out list.csv --json");
    let report = group.run(&scene, &batch).code(0).report();
    assert!(report["notes"].to_string().contains(fewer), "{report}");
    assert_same(&scene.read("out/two"), &bytes[40 << 20..], "an item");

    let refused = ["requests of 64 MiB", "48 MiB", "--io-size"];
    group.run(&scene, "--io-size 64MiB source new").code(3).says(&refused);
    group.run(&scene, "--io-size 64MiB source -").code(3).says(&refused);
    let batch = "batch --io-size 64MiB --source source --into new list.csv";
    group.run(&scene, batch).code(3).says(&refused);
    assert!(!scene.has("new"));
}

#[test]
fn what_nobody_asked_for_fits() {
    let Some(group) = Group::new("default") else { return };
    let scene = Scene::new();
    let bytes = scene.source("source", 64 << 20);
    for options in ["--engine positioned", "--engine direct", "--verify", "--digest sha256"] {
        group.run(&scene, &format!("-f {options} source copy")).code(0);
        assert_same(&scene.read("copy"), &bytes, options);
    }
}
