//! A file has one role in a job: what is read, or written in another role, is
//! never written as a side file. Refused before the first byte, and every file
//! is as it was.

use std::path::Path;

use crate::common::{Scene, assert_same, pattern};

/// A scene with files, all of which must be as they were after a refusal.
struct Files {
    scene: Scene,
    before: Vec<(String, Vec<u8>)>,
}

impl Files {
    /// Files with bytes of their own, in folders that are made.
    fn new(names: &[&str]) -> Files {
        let scene = Scene::new();
        for (seed, name) in (1..).zip(names) {
            let folder = Path::new(name).parent().expect("a name has a parent");
            std::fs::create_dir_all(scene.path(folder)).expect("a folder can be made");
            scene.write(name, &pattern(seed, 5000));
        }
        let before = Vec::new();
        Files { scene, before }
    }

    fn with(self, name: &str, text: &str) -> Files {
        self.scene.write(name, text.as_bytes());
        self
    }

    /// Runs every line, and a dry run of it, and expects a refusal that says `text`.
    #[track_caller]
    fn refuse(mut self, text: &str, lines: &[&str]) {
        self.before = tree(&self.scene);
        for line in lines {
            for dry in ["", " --dry-run"] {
                if !dry.is_empty() && (line.starts_with("verify") || line.starts_with("bench")) {
                    continue;
                }
                let ended = self.scene.run(&format!("{line}{dry}")).says(&[text]);
                let code = ended.status.code();
                assert!(matches!(code, Some(2 | 3)), "{line}{dry}: {code:?}\n{}", ended.stderr);
                let after = tree(&self.scene);
                let names = |tree: &[(String, Vec<u8>)]| -> Vec<String> {
                    tree.iter().map(|(name, _)| name.clone()).collect()
                };
                assert_eq!(names(&after), names(&self.before), "{line}{dry}");
                for ((name, after), (_, before)) in after.iter().zip(&self.before) {
                    assert_same(after, before, &format!("{line}{dry}: {name}"));
                }
            }
        }
    }
}

/// Every file of the scene, with its bytes.
fn tree(scene: &Scene) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![scene.folder().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder can be listed") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let bytes = std::fs::read(&path).expect("a file can be read");
                    files.push((path.display().to_string(), bytes));
                }
            }
        }
    }
    files.sort();
    files
}

#[test]
fn a_digest_file_is_none_of_the_files_of_the_copy() {
    let sums = "--digest md5 --digest-file";
    let lines = |names: &[&str], rest: &str| -> Vec<String> {
        names.iter().map(|name| format!("{sums} {name} {rest}")).collect()
    };
    let all = [
        lines(&["src", "o", "o.pcopy-part", "./o.pcopy-map", "d/../o.pcopy-part"], "src o"),
        lines(&["m"], "--map m src o"),
        lines(&["d/src", "d/src.pcopy-part", "d/src.pcopy-map"], "src d"),
        lines(&["d/y", "d/y.pcopy-part"], "--also d/y src o"),
    ]
    .concat();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    Files::new(&["src", "d/other"]).refuse("--digest-file", &all);
    let verify = format!("verify {sums} d/src src d");
    Files::new(&["src", "d/src"]).refuse("--digest-file", &[&verify]);
    let chart = "bench --rounds 1 -t 1 --io-size 64KiB --engine positioned src o --svg";
    let charts = ["o.pcopy-part", "o.pcopy-map", "src"].map(|name| format!("{chart} {name}"));
    let charts = charts.each_ref().map(String::as_str);
    Files::new(&["src"]).refuse("--svg", &charts);
}

/// With standard output in a file, the digests would take its place.
#[cfg(unix)]
#[test]
fn a_digest_file_is_not_where_standard_output_goes() {
    let scene = Scene::new();
    let bytes = scene.source("src", 5000);
    let script = "\"$0\" --digest md5 --digest-file out src - > out";
    let program = crate::common::program();
    let run = |script: &str| {
        let mut run = scene.tool("sh", ["-c", script]);
        run.command.arg(&program);
        run.run()
    };
    run(script).code(2).says(&["--digest-file", "standard output"]);
    run("\"$0\" --digest md5 --digest-file sums src - > out").code(0);
    assert_same(&scene.read("out"), &bytes, "standard output");
}

/// The list is a CSV that names a source for each item.
fn list(rows: &str) -> String {
    format!("name,start,len,source\n{rows}")
}

#[test]
fn a_report_is_none_of_the_files_of_a_batch() {
    let files = || Files::new(&["src", "two", "o/a", "o/d/c"]);
    let rows = list("a,0,10,src\nb,0,10,two\nd/c,0,10,two\n");
    files().with("l.csv", &rows).refuse(
        "--report",
        &[
            "batch l.csv --into o --force --report src",
            "batch l.csv --into o --force --report two",
            "batch l.csv --into o --force --report l.csv",
            "batch l.csv --into o --force --report o/a",
            "batch l.csv --into o --force --report o/b",
            "batch l.csv --into o --force --report o/d/../b",
            "batch l.csv --into o --force --report o/d/c",
            "batch l.csv --into o --force --report o/a.pcopy-part",
            "batch l.csv --into o --force --report o/b.pcopy-map",
            "batch l.csv --into o --force --report o/d/c.pcopy-part",
        ],
    );
    let retry = serde_json::json!({"name": "b", "start": 0, "len": 9, "status": "failed"});
    let again = "batch --retry r --source src --into o --report";
    files().with("r", &retry.to_string()).refuse(
        "--report",
        &[&format!("{again} o/b"), &format!("{again} o/b.pcopy-part"), &format!("{again} src")],
    );
    // By another name.
    let files = files().with("l.csv", &rows);
    for (name, other) in [("src", "x"), ("o/a", "y")] {
        std::fs::hard_link(files.scene.path(name), files.scene.path(other)).expect("a link");
    }
    let line = "batch l.csv --into o --force --report";
    files.refuse("--report", &[&format!("{line} x"), &format!("{line} y")]);
}

/// An item may be called like the list that it stands in.
#[test]
fn no_item_is_the_list() {
    let rows = list("l.csv,0,10,src\n");
    let files = Files::new(&["src"]).with("l.csv", &rows);
    files.refuse("the list", &["batch l.csv --into . --force"]);
    let retry = serde_json::json!({"name": "r", "start": 0, "len": 9, "status": "failed"});
    let files = Files::new(&["src"]).with("r", &retry.to_string());
    let line = "batch --retry r --source src --into . --force";
    files.refuse("the list", &[line]);
    let files = Files::new(&["src"]).with("r", &retry.to_string());
    files.refuse("--report", &[&format!("{line} --report r")]);
}

#[test]
fn no_source_is_the_part_or_the_map_of_an_item() {
    let options = ["", "--resume", "--restart", "--force", "--force --restart"];
    let lines = |line: &str| options.map(|option| format!("{line} {option}"));
    let refuse = |files: Files, line: &str| {
        files.refuse("the same file", &lines(line).each_ref().map(String::as_str));
    };
    for name in ["x.pcopy-part", "x.pcopy-map", "d/x.pcopy-part"] {
        let (source, item) = (format!("o/{name}"), name.replace(".pcopy-part", ""));
        let item = item.replace(".pcopy-map", "");
        // Of its own item, and of another.
        let rows = [format!("{item},0,10,{source}\n"), format!("y,0,9,{source}\n{item},0,9,src\n")];
        for rows in rows {
            let files = Files::new(&["src", &source]).with("l.csv", &list(&rows));
            refuse(files, "batch l.csv --into o");
        }
    }
    // By another name.
    let files = Files::new(&["src", "o/x.pcopy-part"]).with("l.csv", &list("x,0,9,other\n"));
    std::fs::hard_link(files.scene.path("o/x.pcopy-part"), files.scene.path("other")).unwrap();
    refuse(files, "batch l.csv --into o");
    let files = Files::new(&["x", "o/x.pcopy-part"]);
    std::fs::hard_link(files.scene.path("o/x.pcopy-part"), files.scene.path("other")).unwrap();
    refuse(files, "other x o");
    // A copy of several files that is a batch.
    let files = Files::new(&["x", "o/x.pcopy-part"]);
    let all = lines("x o/x.pcopy-part o");
    files.refuse("x.pcopy-part", &all.each_ref().map(String::as_str));
}

/// One copy: the source as its own part, or as its own map.
#[test]
fn no_source_is_the_part_or_the_map_of_the_copy() {
    for option in ["", "--resume", "--restart", "--force --restart", "--also z"] {
        for name in ["y.pcopy-part", "y.pcopy-map"] {
            let line = format!("{option} {name} y");
            Files::new(&[name]).refuse(name, &[&line]);
        }
    }
    Files::new(&["src"]).refuse(
        "the same file",
        &[
            "--also y.pcopy-part src y",
            "--also y src y.pcopy-part",
            "--also y.pcopy-map src y",
            "--also y src y.pcopy-map",
        ],
    );
}

/// Whatever has the name that temporaries once had, or may have, is not theirs.
#[test]
fn nothing_beside_a_map_is_touched() {
    let slow = "--engine positioned -t 1 --io-size 16KiB --stripe-size 16KiB --limit-rate 1MiB \
                --checkpoint-every 0";
    let scene = Scene::new();
    let bytes = scene.source("src", 200_000);
    let check = |line: &str, copy: &str, others: &[&str]| {
        let theirs = pattern(7, 900);
        others.iter().for_each(|name| scene.write(name, &theirs));
        scene.run(&format!("{slow} {line}")).code(0);
        assert_same(&scene.read(copy), &bytes, line);
        for name in others {
            assert_same(&scene.read(name), &theirs, &format!("{line}: {name}"));
        }
    };
    check("src o", "o", &["o.pcopy-map.tmp", "o.tmp", ".o.pcopy-map.tmp"]);
    check("--map m src p", "p", &["m.tmp", ".m.pcopy-0123456789abcdef.tmp"]);
    check("--resume --map m src q", "q", &["m.tmp", ".m.pcopy-0123456789abcdef.tmp"]);
    scene.write("d.tmp", &vec![0; bytes.len()]);
    check("--in-place --map d src d.tmp", "d.tmp", &["e"]);
    check("--restart --map r.map d.tmp s", "s", &["r.map.tmp"]);
    check("--restart --map d d.tmp t", "t", &[]);
    assert_same(&scene.read("d.tmp"), &bytes, "a source that is called like a temporary");
}
