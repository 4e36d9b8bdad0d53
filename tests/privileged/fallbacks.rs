//! `direct` giving way: chosen by itself for a device that is not cached, and
//! turned down at each of its steps, with each error that says "not like this".

use serde_json::{Value, json};

use crate::common::{Scene, assert_same, has_tools, pattern, program};
use crate::devices::{Loop, possible};
use crate::engines::made;

/// Large enough for the engine to be chosen.
const LEN: usize = (64 << 20) + 4096;

const UNSUPPORTED: [&str; 4] = ["ENOSYS", "EINVAL", "EOPNOTSUPP", "ENOTTY"];

/// What is written.
const PART: &str = "mounted/copy.pcopy-part";

/// A device to read from, and a file system to write to.
struct Stage {
    device: Loop,
    _file_system: (crate::devices::Mount, Loop),
    bytes: Vec<u8>,
    scene: Scene,
}

impl Stage {
    fn new() -> Stage {
        let scene = Scene::new();
        let bytes = scene.source("from", LEN);
        let file_system = made(&scene, "ext4", 512);
        let device = Loop::new(&scene.path("from"), 512);
        Stage { device, _file_system: file_system, bytes, scene }
    }

    /// Copies while strace does `injection` to calls on the device and the part.
    /// The exit code, the report, standard error and the calls hit.
    fn copy(&self, injection: &str) -> (Option<i32>, Value, String, Vec<String>) {
        self.copy_watching(&[&self.device.path, PART], injection)
    }

    fn copy_watching(
        &self,
        paths: &[&str],
        injection: &str,
    ) -> (Option<i32>, Value, String, Vec<String>) {
        // Which is what makes the source cold.
        self.device.flush();
        let call = injection.split(':').next().unwrap_or_default();
        let mut run = self.scene.tool("strace", ["-f", "-qqq", "-o", "trace"]);
        for path in paths {
            run.command.arg("-P").arg(self.scene.path(path));
        }
        run.command.args(["-e", &format!("trace={call}"), "-e", &format!("inject={injection}")]);
        // Two workers may be had, and one is: there is one stripe. Calls are
        // counted by thread, and one that another worker makes after the
        // engine gave way is none of its steps.
        let options = "-t 2 --stripe-size 128MiB --json --progress json";
        run.command.arg(program()).args(options.split(' '));
        run.command.args([&self.device.path, "mounted/copy"]);
        let ended = run.run();
        let trace = String::from_utf8_lossy(&self.scene.read("trace")).into_owned();
        let hit = trace.lines().filter(|line| line.contains("(INJECTED)"));
        let hit = hit.map(str::to_owned).collect();
        (ended.status.code(), ended.report(), ended.stderr, hit)
    }

    /// The copy that was made, which goes.
    fn check_copy(&self, what: &str) {
        assert_same(&self.scene.read("mounted/copy"), &self.bytes, what);
        std::fs::remove_file(self.scene.path("mounted/copy")).unwrap();
    }
}

fn can_run() -> bool {
    possible(&["mkfs.ext4"]) && has_tools(&["strace"])
}

/// The right bytes, one event, and one line in the report.
#[test]
fn direct_gives_way_at_every_step_and_says_so_once() {
    if !can_run() {
        return;
    }
    let stage = Stage::new();
    // The first two reads try both sides out.
    let steps = [
        ("pread64", "1..2"),
        ("pread64", "3"),
        ("pread64", "9"),
        ("pwrite64", "1"),
        ("pwrite64", "9"),
    ];
    for (error, (call, when)) in
        UNSUPPORTED.iter().flat_map(|error| steps.map(|step| (error, step)))
    {
        let what = format!("{error} at {call} {when}");
        let (code, report, stderr, hit) = stage.copy(&format!("{call}:error={error}:when={when}"));
        assert_eq!(code, Some(0), "{what}: {stderr}");
        assert!(!hit.is_empty(), "{what}");
        let fallbacks = report["fallbacks"].as_array().expect("a list");
        assert_eq!(fallbacks.len(), 1, "{what}: {report}");
        assert_eq!(
            (&fallbacks[0]["from"], &fallbacks[0]["to"]),
            (&json!("direct"), &json!("positioned"))
        );
        assert_eq!(report["engine"], "positioned", "{what}");
        assert_eq!(stderr.matches("\"fallback\"").count(), 1, "{what}: {stderr}");
        assert_eq!(report["failed"], json!([]), "{what}");
        stage.check_copy(&what);
    }
}

/// One side that cannot be reached past the page cache leaves the other.
#[test]
fn one_side_that_is_turned_down_when_tried_out_is_a_note() {
    if !can_run() {
        return;
    }
    let stage = Stage::new();
    for error in UNSUPPORTED {
        for (path, side) in [(&*stage.device.path, "source"), (PART, "destination")] {
            let what = format!("{error} on the {side}");
            let injection = format!("pread64:error={error}:when=1");
            let (code, report, stderr, _) = stage.copy_watching(&[path], &injection);
            assert_eq!(code, Some(0), "{what}: {stderr}");
            assert_eq!(report["fallbacks"], json!([]), "{what}");
            let note = format!("the {side} goes through the page cache");
            assert!(report["notes"].to_string().contains(&note), "{what}: {report}");
            stage.check_copy(&what);
        }
    }
}

/// Never after EIO, nor where the reservation that it would like is refused.
#[test]
fn direct_stays_after_errors_of_the_disk() {
    if !can_run() {
        return;
    }
    let stage = Stage::new();
    let kept = [
        "pread64:error=EIO:when=1",
        "pread64:error=EIO:when=3",
        "pread64:error=EIO:when=9",
        "fallocate:error=EOPNOTSUPP:when=1",
        "fallocate:error=ENOSYS:when=1",
    ];
    for injection in kept {
        let (code, report, stderr, hit) = stage.copy(injection);
        assert_eq!((code, hit.is_empty()), (Some(0), false), "{injection}: {stderr}");
        assert_eq!(
            (&report["engine"], &report["fallbacks"]),
            (&json!("direct"), &json!([])),
            "{injection}"
        );
        stage.check_copy(injection);
    }
    for injection in
        ["pwrite64:error=EIO:when=1", "pwrite64:error=EIO:when=9", "pwrite64:error=ENOSPC:when=9"]
    {
        let (code, report, stderr, _) = stage.copy(injection);
        assert_eq!(code, Some(5), "{injection}: {stderr}");
        assert_eq!(
            (&report["engine"], &report["fallbacks"]),
            (&json!("direct"), &json!([])),
            "{injection}"
        );
        assert!(!stderr.contains("\"fallback\""), "{injection}: {stderr}");
        for left in ["mounted/copy.pcopy-part", "mounted/copy.pcopy-map"] {
            let _ = std::fs::remove_file(stage.scene.path(left));
        }
    }
}

/// Sharing extents gives way to copying inside the kernel, or to ordinary
/// requests where somebody looks at the bytes.
#[test]
fn sharing_gives_way_with_every_error_and_says_so_once() {
    if !has_tools(&["strace"]) {
        return;
    }
    for kind in ["xfs", "btrfs"] {
        if !possible(&[&format!("mkfs.{kind}")]) {
            continue;
        }
        let scene = Scene::new();
        let _file_system = made(&scene, kind, 512);
        let bytes = pattern(3, (1 << 20) + 77);
        scene.write("mounted/source", &bytes);
        for error in ["ENOSYS", "EINVAL", "EOPNOTSUPP", "ENOTTY", "EXDEV", "EIO", "ENOSPC"] {
            for (options, to) in [("", "offload"), ("--digest sha256", "positioned")] {
                let what = format!("{kind} {error} {options}");
                let mut run = scene.tool("strace", ["-f", "-qqq", "-o", "trace"]);
                run.command.arg("-P").arg(scene.path(PART));
                run.command.args(["-e", "trace=ioctl", "-e"]);
                run.command.arg(format!("inject=ioctl:error={error}")).arg(program());
                run.command.args(format!("--json --progress json {options}").split_whitespace());
                run.command.args(["mounted/source", "mounted/copy"]);
                let ended = run.run().code(0);
                let report = ended.report();
                let fallbacks = report["fallbacks"].as_array().expect("a list");
                assert_eq!(fallbacks.len(), 1, "{what}: {report}");
                assert_eq!(fallbacks[0]["to"], to, "{what}: {report}");
                assert!(fallbacks[0]["reason"].as_str() > Some("extents cannot be shared"));
                assert_eq!(ended.stderr.matches("\"fallback\"").count(), 1, "{what}");
                assert_same(&scene.read("mounted/copy"), &bytes, &what);
                std::fs::remove_file(scene.path("mounted/copy")).unwrap();
            }
        }
        let report = scene.run("--json mounted/source mounted/copy").code(0).report();
        assert_eq!(report["fallbacks"], json!([]), "{kind}: undisturbed, it is shared");
    }
}
