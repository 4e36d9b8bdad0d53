//! `--verify`, `--repair` and `--preserve` of many files: what differs from its
//! source gets no name, in whatever form it is copied.

use std::fs::File;

use positioned_io::WriteAt;
use serde_json::{Value, json};

use crate::batch::{lines, scene, tree};
use crate::common::{Scene, assert_same, pattern};

/// Small neighbours, one in fragments of all sizes with a hole, fragments of
/// two sources with an offset, a large one, a whole source, an empty file.
const LIST: &str = r#"{"name":"small","start":1000,"len":2000}
{"name":"d/next","start":3000,"len":700}
{"name":"far","start":60000,"len":700}
{"name":"pieces","runs":[{"start":0,"len":1500000},{"hole":true,"len":70001},{"start":7,"len":9}]}
{"name":"two","start":100,"len":1000,"dest_offset":5120}
{"name":"two","source":"other","start":0,"len":5120}
{"name":"large","start":4096,"len":2097153}
{"name":"all"}
{"name":"empty","start":5,"len":0}
"#;

/// A scene with `LIST`, its image and its other source; what the files hold.
pub fn listed() -> (Scene, Vec<(&'static str, Vec<u8>)>) {
    let (scene, image) = scene();
    let other = pattern(77, 5120);
    scene.write("other", &other);
    scene.write("list", LIST.as_bytes());
    std::fs::create_dir(scene.path("out")).unwrap();
    let pieces = [&image[..1_500_000], &[0; 70_001], &image[7..16]].concat();
    let files = vec![
        ("small", image[1000..3000].to_vec()),
        ("d/next", image[3000..3700].to_vec()),
        ("far", image[60_000..60_700].to_vec()),
        ("pieces", pieces),
        ("two", [&other[..], &image[100..1100]].concat()),
        ("large", image[4096..4096 + 2_097_153].to_vec()),
        ("all", image),
        ("empty", Vec::new()),
    ];
    (scene, files)
}

#[track_caller]
fn check_files(scene: &Scene, files: &[(&str, Vec<u8>)], what: &str) {
    for (name, bytes) in files {
        assert_same(&scene.read(format!("out/{name}")), bytes, &format!("{what}: {name}"));
    }
    // And the directory.
    let mut there = tree(scene, "out");
    there.retain(|name| !name.starts_with("fill"));
    assert_eq!(there.len(), files.len() + 1, "{what}");
}

pub const LINE: &str = "batch list --source image --into out --report report --json";

#[test]
fn every_file_of_a_batch_is_verified() {
    for options in [
        "",
        "-t 1",
        "-t 4 --io-size 4096",
        "--sparse always",
        "--sparse always --engine positioned --digest sha256",
        "--engine offload",
        "--preallocate full --digest md5",
        "--limit-rate 100MiB",
        "--repair",
    ] {
        let (scene, files) = listed();
        let ended = scene.run(&format!("{LINE} --verify {options}"));
        if options.contains("offload") && ended.status.code() == Some(3) {
            continue;
        }
        let report = ended.code(0).report();
        check_files(&scene, &files, options);
        let by = report["verified_by"].as_object().expect("it says how");
        let count: u64 = by.values().filter_map(Value::as_u64).sum();
        assert_eq!(count, files.len() as u64 - 1, "all but the empty one: {report}");
        for line in lines(&scene, "report") {
            assert_eq!(line["verified"], true, "{options}: {line}");
        }
        // What is there already is verified, too.
        let report = scene.run(&format!("{LINE} --verify --resume")).code(0).report();
        assert_eq!(report["items"]["skipped"], 9);
        assert!(lines(&scene, "report").iter().all(|line| line["verified"] == true));
    }
    let (scene, files) = listed();
    let report = scene.run(LINE).code(0).report();
    assert!(report["verified_by"].is_null());
    assert!(lines(&scene, "report").iter().all(|line| line["verified"].is_null()));
    check_files(&scene, &files, "not verified");
    scene.run(&format!("{LINE} --verify --no-sync")).code(2);
    scene.run(&format!("{LINE} --repair")).code(2);
}

/// Puts another byte into a file that is complete.
pub fn flip(scene: &Scene, name: &str, at: usize) {
    let byte = scene.read(name)[at] ^ 1;
    let mut file = File::options().write(true).open(scene.path(name)).unwrap();
    file.write_all_at(at as u64, &[byte]).unwrap();
}

#[test]
fn a_file_that_is_there_and_differs_is_no_complete_one() {
    let (scene, files) = listed();
    scene.run(LINE).code(0);
    flip(&scene, "out/small", 1999);
    // In a hole of the list, and in one item of two.
    flip(&scene, "out/pieces", 1_500_000);
    flip(&scene, "out/two", 5300);
    scene.run(&format!("{LINE} --resume")).code(0);
    let ended = scene.run(&format!("{LINE} --resume --verify")).code(1);
    let ended = ended.says(&["small", "bytes 1536..2000", "pieces", "1499648..1500160", "two"]);
    let items = &ended.report()["items"];
    assert_eq!((&items["mismatch"], &items["skipped"]), (&json!(3), &json!(6)));
    for line in lines(&scene, "report") {
        let differs = line["name"] == "small"
            || line["name"] == "pieces"
            || line["name"] == "two" && line["source"].is_null();
        assert_eq!(line["verified"], !differs, "{line}");
        assert_eq!(line["status"], if differs { "mismatch" } else { "skipped" }, "{line}");
    }
    for name in ["small", "pieces", "two"] {
        std::fs::remove_file(scene.path(format!("out/{name}"))).unwrap();
    }
    scene.run(&format!("{LINE} --resume --verify")).code(0);
    check_files(&scene, &files, "copied again");
}

#[test]
fn several_sources_are_verified() {
    let scene = Scene::new();
    let names = ["a", "b", "c"];
    let sizes = [0, 10_000, 3_000_001];
    let sources = names.map(|name| scene.source(name, sizes[name.as_bytes()[0] as usize - 97]));
    std::fs::create_dir(scene.path("dir")).unwrap();
    let report = scene.run("--verify --repair --json a b c dir/").code(0).report();
    assert!(report["verified_by"].is_object(), "{report}");
    for (name, bytes) in names.iter().zip(sources) {
        assert_same(&scene.read(format!("dir/{name}")), &bytes, name);
    }
}

#[cfg(target_os = "linux")]
mod lies {
    use super::*;
    use crate::batch::faults::traced;
    use crate::inject::can_inject;
    use pcopy::digest::{Algorithm, hash_slice};

    /// Items that are read after all others, so many that the first group is
    /// committed by the thread that copies: calls are counted by thread.
    fn fill(scene: &Scene) {
        let mut list = scene.read("list");
        let is_csv = list.starts_with(b"name");
        for number in 0..130 {
            let row = match is_csv {
                true => format!("fill/{number},{},1\n", 4_100_000 + number),
                false => {
                    let start = 4_100_000 + number;
                    format!("{{\"name\":\"fill/{number}\",\"start\":{start},\"len\":1}}\n")
                }
            };
            list.extend(row.bytes());
        }
        scene.write("list", &list);
    }

    /// A write that reports success without having been done, for each of the
    /// files.
    fn written(name: &str, line: &str, code: i32) -> (Scene, Vec<(&'static str, Vec<u8>)>, Value) {
        let (scene, files) = listed();
        fill(&scene);
        let part = format!("out/{name}.pcopy-part");
        let lie = "inject=pwrite64:retval=700:when=1";
        let (ended, log) = traced(&scene, &[&part], &[lie], line);
        assert!(log.contains("INJECTED"), "{name}: {log}");
        let ended = ended.code(code);
        if code == 1 {
            let text = &ended.stderr;
            assert!(text.contains(name) && text.contains("differ from the source"), "{text}");
        }
        let report = ended.report();
        (scene, files, report)
    }

    /// One thread, and positioned requests, so that the lie is met.
    const PLAIN: &str = "--engine positioned --preallocate off -t 1";

    #[test]
    fn a_lying_write_is_found_and_repaired() {
        if !can_inject() {
            return;
        }
        for name in ["small", "far", "pieces", "two", "large", "all"] {
            let line = format!("{LINE} --verify {PLAIN}");
            let (scene, mut files, report) = written(name, &line, 1);
            let bad = |line: &Value| line["status"] == "mismatch";
            let lines = lines(&scene, "report");
            let mismatch: Vec<_> = lines.iter().filter(|line| bad(line)).collect();
            assert_eq!(mismatch.len(), 1, "{name}: {report}");
            assert_eq!(
                (&mismatch[0]["name"], &mismatch[0]["verified"]),
                (&json!(name), &json!(false))
            );
            let of_others = lines.iter().filter(|line| line["name"] != name);
            assert!(of_others.clone().all(|line| line["verified"] == true), "{name}: {report}");
            files.retain(|(file, _)| *file != name);
            check_files(&scene, &files, name);

            if name == "two" {
                // Written last, it would be repaired by a thread that lies again.
                continue;
            }
            let line = format!("{line} --repair --digest crc32c");
            let (scene, files, report) = written(name, &line, 0);
            check_files(&scene, &files, &format!("{name} repaired"));
            assert!(report["notes"].to_string().contains("1 files differed"), "{report}");
            for line in super::lines(&scene, "report") {
                assert_eq!(line["verified"], true, "{name}: {line}");
                let file = format!("out/{}", line["name"].as_str().unwrap());
                if line["name"] != "two" {
                    let sum = hash_slice(Algorithm::Crc32c, &scene.read(&file));
                    assert_eq!(line["digests"]["crc32c"], sum.to_string(), "{name}: {file}");
                }
            }
        }
    }

    /// A read that reports bytes it did not deliver: what is left in the buffer
    /// must not confirm itself.
    #[test]
    fn a_lying_read_is_found_and_repaired() {
        if !can_inject() {
            return;
        }
        // After two looks for a container.
        for when in [3, 4, 5] {
            let (scene, mut files) = listed();
            fill(&scene);
            let lie = format!("inject=pread64:retval=64:when={when}");
            let line = format!("{LINE} --verify {PLAIN} --io-size 256KiB");
            let (ended, _) = traced(&scene, &["image"], &[&lie], &line);
            let report = ended.code(1).report();
            assert!(report["items"]["mismatch"].as_u64() > Some(0), "{when}: {report}");
            assert_eq!(report["items"]["failed"], 0, "{report}");
            let there = |name: &str| scene.has(format!("out/{name}"));
            files.retain(|(name, _)| there(name));
            for (name, bytes) in &files {
                assert_same(&scene.read(format!("out/{name}")), bytes, name);
            }
            let (scene, files) = listed();
            fill(&scene);
            let (ended, _) = traced(&scene, &["image"], &[&lie], &format!("{line} --repair"));
            ended.code(0);
            check_files(&scene, &files, &format!("{when} repaired"));
        }
    }

    /// What cannot be read is not compared, and the rest is; of a file that has
    /// its name and is completed, also what an earlier run read.
    #[test]
    fn what_can_be_read_of_a_partial_file_is_verified() {
        if !can_inject() {
            return;
        }
        let (scene, image) = scene();
        scene.write("list", b"name,start,len\na,512,1024\nb,2000000,3000\n");
        fill(&scene);
        let line = format!("{LINE} --verify -t 1 --retries 0");
        let bad = ["inject=pread64:error=EIO:when=1..3"];
        let (ended, _) = traced(&scene, &["image"], &bad, &line);
        ended.code(1);
        let report = lines(&scene, "report");
        assert_eq!(
            (&report[0]["status"], &report[0]["verified"]),
            (&json!("partial"), &json!(true))
        );
        flip(&scene, "out/a", 700);
        // Nothing is taken for done that was found to be wrong.
        let again = format!("{line} --resume");
        scene.run(&again).code(1).says(&["bytes 512..1024"]);
        scene.run(&again).code(0);
        assert_same(&scene.read("out/a"), &image[512..1536], "completed");
        assert!(!scene.has("out/a.pcopy-map"));
    }
}

#[cfg(unix)]
mod attributes {
    use super::*;
    use std::fs::{FileTimes, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::time::{Duration, SystemTime};

    fn source(scene: &Scene, name: &str, mode: u32, seconds: u64) {
        let file = File::options().write(true).open(scene.path(name)).unwrap();
        let moment = SystemTime::UNIX_EPOCH + Duration::new(seconds, 987_654_321);
        // Later than the change and not long ago: reading does not renew it then.
        let accessed = SystemTime::now() - Duration::from_secs(3600);
        file.set_times(FileTimes::new().set_modified(moment).set_accessed(accessed)).unwrap();
        file.set_permissions(Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn whole_files_keep_their_mode_and_times() {
        let several = ("a b c dir/", ["dir/a", "dir/b", "dir/c"]);
        let batch = ("batch list --into out", ["out/x/a", "out/b", "out/c"]);
        for options in ["", "--verify", "--no-sync", "--verify --repair -t 3", "--force"] {
            for (line, copies) in [several, batch] {
                let scene = Scene::new();
                std::fs::create_dir(scene.path("dir")).unwrap();
                scene.write("list", b"name,source\nx/a,a\nb,b\nc,c\n");
                for (name, mode, seconds) in
                    [("a", 0o641, 1_234_567_890), ("b", 0o400, 77), ("c", 0o2755, 1_700_000_000)]
                {
                    scene.source(name, 5000 * mode as usize);
                    source(&scene, name, mode, seconds);
                }
                let wanted = ["a", "b", "c"].map(|name| scene.path(name).metadata().unwrap());
                scene.run(&format!("{line} -p {options}")).code(0);
                for (name, wanted) in copies.iter().zip(&wanted) {
                    let found = scene.path(name).metadata().unwrap();
                    let facts = |of: &std::fs::Metadata| {
                        (of.mode(), of.mtime(), of.mtime_nsec(), of.atime(), of.atime_nsec())
                    };
                    assert_eq!(facts(&found), facts(wanted), "{options} {name}");
                }
            }
        }
    }

    #[test]
    fn a_part_of_a_file_has_no_attributes() {
        let (scene, _) = scene();
        scene.write("other", b"another");
        for (rows, line) in [
            ("a,image,,\nb,image,0,100\n", "line 3"),
            ("a,image,0,4194304\nb,image,1,4194303\n", "line 3"),
            ("a,image,,\na,other,0,7\n", "line 3"),
        ] {
            let rows = rows.replace("a,other,0,7", "c,other,0,6");
            scene.write("list", format!("name,source,start,len\n{rows}").as_bytes());
            let run = "batch list --into out --preserve";
            scene.run(run).code(2).says(&[line, "whole file"]);
            assert!(!scene.has("out"), "{rows}");
        }
        scene.write("list", b"name,source,dest_offset\na,other,0\nb,other,9\n");
        scene.run("batch list --into out --preserve").code(2).says(&["line 3", "whole file"]);
        scene.write("list", b"name,source,start,len\na,other,0,7\n");
        scene.run("batch list --into out --preserve").code(0);
    }
}
