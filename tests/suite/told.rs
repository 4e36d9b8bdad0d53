//! Promise: whatever a name, a list or a device holds, a message is text. Nothing
//! from outside reaches the terminal as a control sequence, forges a line or
//! changes the order in which one is read; and how much memory is taken is not
//! for a list to say.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::{Output, Stdio};

use crate::common::{Scene, assert_same, program};

/// Everything that must not reach a terminal, and a line that must not be forged.
const HOSTILE: &[&[u8]] = &[
    b"\x1b[2J",
    b"\xc2\x9b31m",
    b"\x1b]0;x\x07",
    b"\xe2\x80\xae\xe2\x80\xaa",
    b"\xe2\x81\xa6x\xe2\x81\xa9",
    b"\xe2\x80\x8e\xe2\x80\x8f\xd8\x9c",
    b"\xe2\x80\x8b\xef\xbb\xbf",
    b"a\rb",
    b"\x7f",
    b"\nFORGED",
];

/// All of it in one name, and bytes that are not UTF-8.
fn hostile_name(before: &str) -> OsString {
    let mut name = before.as_bytes().to_vec();
    HOSTILE.iter().for_each(|part| name.extend_from_slice(part));
    name.extend_from_slice(b"\xff\xfe");
    OsString::from_vec(name)
}

/// Asserts that what was said is text. `\t` is none of it.
#[track_caller]
fn assert_text(said: &[u8], what: &str) {
    let text = std::str::from_utf8(said).unwrap_or_else(|error| panic!("{what}: {error}"));
    let bad = |c: &char| *c != '\n' && !pcopy::error::is_shown(*c);
    assert_eq!(text.chars().find(bad), None, "{what}: {text:?}");
    assert!(!text.lines().any(|line| line.starts_with("FORGED")), "{what}: {text}");
}

fn run(scene: &Scene, arguments: &[&OsStr]) -> Output {
    let mut command = scene.pcopy(arguments).command;
    command.stdin(Stdio::null()).output().expect("pcopy runs")
}

/// Runs it; what it says is text, and something is said with code `code`.
#[track_caller]
fn check(scene: &Scene, arguments: &[&OsStr], code: i32) -> Output {
    let output = run(scene, arguments);
    let what = format!("{arguments:?}");
    assert_text(&output.stderr, &what);
    assert_eq!(output.status.code(), Some(code), "{what}: {:?}", output.stderr.escape_ascii());
    output
}

fn words(line: &str) -> Vec<&OsStr> {
    line.split(' ').map(OsStr::new).collect()
}

#[test]
fn names_of_files_are_text_in_every_message() {
    let scene = Scene::new();
    let name = hostile_name("n");
    let (n, none) = (name.as_os_str(), hostile_name("none"));
    let none = none.as_os_str();
    let inside = std::path::Path::new(none).join(n);
    let copy = hostile_name("copy");
    let copy = copy.as_os_str();
    scene.source(n, 3000);
    scene.source("src", 3000);
    let of = |line: &str, names: &[&OsStr]| -> Vec<OsString> {
        let mut names = names.iter();
        let word = |w: &OsStr| if w == "%" { names.next().unwrap() } else { w }.to_owned();
        words(line).into_iter().map(word).collect()
    };
    let cases: &[(&str, &[&OsStr], i32)] = &[
        ("% b", &[none], 3),
        ("src %", &[n], 3),
        ("src %", &[inside.as_os_str()], 3),
        ("-v % %", &[n, copy], 0),
        ("-n -v % new", &[n], 0),
        ("-r 1TiB.. % new", &[n], 3),
        ("-f --in-place src %", &[n], 2),
        ("--also % src new", &[n], 3),
        ("--in-place src %", &[none], 3),
        ("--map % --resume src new", &[n], 3),
        ("--map % src new", &[inside.as_os_str()], 3),
        ("--digest md5 --digest-file % src new", &[inside.as_os_str()], 3),
        ("--digest md5 --digest-file % % new2", &[n, n], 2),
        ("--to-device src %", &[n], 3),
        ("% % missing/folder", &[n, copy], 3),
        ("verify % %", &[n, none], 3),
        ("verify % src", &[n], 0),
        ("batch %", &[none], 3),
        ("batch % --source src", &[n], 2),
        ("batch --retry % --into new", &[n], 2),
        ("batch l.csv --source % --into new", &[none], 3),
        ("batch l.csv --source src --into %", &[inside.as_os_str()], 3),
        ("batch l.csv --source src --into o --report %", &[inside.as_os_str()], 3),
        ("--engine % src new", &[n], 2),
        ("--range % src new", &[n], 2),
        ("--unknown=% src new", &[n], 2),
        ("% --unknown src new", &[n], 2),
    ];
    scene.write("l.csv", b"name,start,len\na,0,10\n");
    for &(line, names, code) in cases {
        let line = of(line, names);
        let line: Vec<&OsStr> = line.iter().map(OsString::as_os_str).collect();
        check(&scene, &line, code);
    }
}

#[test]
fn what_programs_read_has_no_control_bytes_and_loses_none() {
    let scene = Scene::new();
    let (name, copy) = (hostile_name("n"), hostile_name("copy"));
    scene.source(&name, 3000);
    let json = [OsStr::new("--json"), OsStr::new("--progress"), OsStr::new("json")];
    let output = check(&scene, &[&json[..], &[&name, &copy]].concat(), 0);
    assert_text(&output.stdout, "the report");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let hex: String = copy.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(report["destination"]["path_hex"], hex);
    assert_eq!(report["source"]["path"].as_str().unwrap(), name.to_string_lossy());
    for line in String::from_utf8(output.stderr).unwrap().lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("every line is an event");
    }
    let output = check(&scene, &[&json[..], &[&name, &copy]].concat(), 3);
    assert_text(&output.stdout, "the report of a refusal");

    let items = [OsStr::new("batch"), OsStr::new("l.jsonl"), OsStr::new("--json")];
    let rest = ["--source", "src", "--into", "o", "--report", "r"].map(OsStr::new);
    scene.source("src", 3000);
    let hex: String = name.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    scene.write("l.jsonl", format!("{{\"name_hex\":\"{hex}\",\"start\":0,\"len\":9}}\n{{\"name\":\"\\u009b\",\"id\":\"\\u202e\",\"start\":0,\"len\":9}}\n").as_bytes());
    let output = check(&scene, &[&items[..], &rest].concat(), 0);
    assert_text(&output.stdout, "the report of a batch");
    assert_text(&scene.read("r"), "the lines of its items");
    // It is a list itself.
    std::fs::remove_dir_all(scene.path("o")).unwrap();
    let text = String::from_utf8(scene.read("r")).unwrap().replace("complete", "failed");
    scene.write("r", text.as_bytes());
    scene.run("batch --retry r --source src --into o").code(0);
    assert_same(&scene.read(std::path::Path::new("o").join(&name)), &scene.read("src")[..9], "o");
}

#[test]
fn digest_lines_are_those_of_coreutils() {
    let scene = Scene::new();
    for name in ["a\nb", "a\rb", "a\\b", "a\u{1b}b", "plain"] {
        scene.source("src", 100);
        let arguments = ["--digest", "sha256", "-f", "src", name];
        let output = check(&scene, &arguments.map(OsStr::new), 0);
        let tool = scene.tool("sha256sum", ["--", name]).command.output().expect("sha256sum");
        assert_eq!(
            output.stdout.escape_ascii().to_string(),
            tool.stdout.escape_ascii().to_string()
        );
    }
}

/// `%` in `text` is the hostile text as it can stand there.
#[track_caller]
fn check_list(name: &str, text: &str, options: &str, hostile: &dyn Fn(&[u8]) -> Vec<u8>) {
    for part in HOSTILE {
        let scene = Scene::new();
        scene.source("src", 5000);
        let (before, after) = text.split_once('%').expect("a place");
        let bytes = [before.as_bytes(), &hostile(part)[..], after.as_bytes()].concat();
        scene.write(name, &bytes);
        let line = format!("batch {name} --source src --into o {options}");
        let output = run(&scene, &words(line.trim()));
        assert_text(&output.stderr, &format!("{name}: {}", bytes.escape_ascii()));
    }
}

#[test]
fn lists_are_text_in_every_message() {
    let json = |part: &[u8]| {
        let text = serde_json::to_string(std::str::from_utf8(part).unwrap()).unwrap();
        text.trim_matches('"').as_bytes().to_vec()
    };
    for text in [
        "{\"name\":\"a%\",\"start\":0,\"len\":1}\n{\"name\":\"a\",\"start\":0,\"len\":1}\n",
        "{\"name\":\"a%\",\"start\":90000000,\"len\":1}\n",
        "{\"name\":\"../a%\",\"start\":0,\"len\":1}\n",
        "{\"name\":\"a\",\"start\":0,\"len\":1,\"%\":1}\n",
        "{\"name\":\"a\",\"start\":\"%\",\"len\":1}\n",
        "{\"name\":\"a\",\"start\":0,\"len\":1,\"unit\":\"%\"}\n",
        "{\"name\":\"a\",\"start\":0,\"len\":1,\"md5\":\"%\"}\n",
        "{\"name\":\"a\",\"start\":0,\"len\":1,\"mode\":\"%\"}\n",
        "{\"name\":\"a\",\"start\":0,\"len\":1,\"mtime\":\"%\"}\n",
        "{\"name\":\"a\",\"start\":0,\"len\":1,\"source\":\"%\"}\n",
        "{\"name\":\"a\",\"name_hex\":\"%\",\"start\":0,\"len\":1}\n",
        "{\"name_hex\":\"%\",\"start\":0,\"len\":1}\n",
        "{\"name\":\"a\",\"runs\":[{\"%\":0,\"len\":1}]}\n",
        "{\"name\":\"a\",\"runs\":[{\"start\":0,\"len\":\"%\"}]}\n",
        "{\"name\":\"a\",\"start\":0,\"len\":1}\n{\"name\":\"a/%\",\"start\":0,\"len\":1}\n",
        "{\"name\":\"%\",\"start\":0,\"len\":1,\"md5\":\"00000000000000000000000000000000\"}\n",
    ] {
        check_list("l.jsonl", text, "", &json);
    }
    let raw = |part: &[u8]| part.to_vec();
    check_list("l.jsonl", "{\"name\":\"a%\",\"start\":0,\"len\":1}\n", "", &raw);
    check_list("l.jsonl", "%{\"name\":\"a\",\"start\":0,\"len\":1}\n", "", &raw);
    for text in [
        "name,start,len,%\na,0,1,1\n",
        "name,start,len\na%,0,1\na,x,1\n",
        "name,start,len\na,%,1\n",
        "name,start,len\n\"a%\",90000000,1\n",
        "name,start,len\n\"../a%\",0,1\n",
        "name,start,len\n\"a%\n",
        "name,start,len,source\na,0,1,\"%\"\n",
        "name,start,len,sha256\na,0,1,\"%\"\n",
    ] {
        check_list("l.csv", text, "", &raw);
        check_list("l.tsv", &text.replace(',', "\t"), "", &raw);
    }
    check_list("l.txt", "#pcopy v1 end=exclusive %\n0 1 a\n", "", &raw);
    check_list("l.txt", "#pcopy v1 end=exclusive\n0 % a\n", "", &raw);
    check_list("l.txt", "#pcopy v1 end=exclusive\n0 90000000 a%\n", "", &raw);
    let file = |inside: &str| format!("<dfxml><fileobject>{inside}</fileobject></dfxml>");
    let run = "<byte_runs><byte_run img_offset='9000000' len='1'/></byte_runs>";
    for text in [
        file(&format!("<filename>a%</filename><filesize>1</filesize>{run}")),
        file(&format!("<filename>a</filename><filesize>%</filesize>{run}")),
        file(&format!("<filename>a</filename><%x></filename>{run}")),
        file("<filename>a%</filename><filesize>1</filesize>"),
        file(&format!("<filename>a</filename><hashdigest type='md5'>%</hashdigest>{run}")),
        "<dfxml%></dfxm>".to_owned(),
        "<dfxml>&%;</dfxml>".to_owned(),
        "<dfxml><%".to_owned(),
        "<bmap version='%'></bmap>".to_owned(),
        "<bmap version='2.0'><ChecksumType>%</ChecksumType></bmap>".to_owned(),
        "<bmap version='2.0'><BmapFileChecksum>%</BmapFileChecksum></bmap>".to_owned(),
        "<bmap version='2.0'><%/></bmap><a>".to_owned(),
    ] {
        check_list("l.xml", &text, "", &raw);
    }
    let frag = |name: &str, flags: &str| {
        format!(
            "Filesystem type is: ef53\nFile size of m/{name} is 4096 (1 block of 4096 bytes)\n \
             ext:     logical_offset:        physical_offset: length:   expected: flags:\n   0:        \
             0..       0:         1..         1:      1:             {flags}eof\nm/{name}: 1 extent found\n"
        )
    };
    check_list("l.txt", &frag("s", "%,"), "--strip-prefix m", &raw);
    check_list("l.txt", &frag("s", "%,"), "--strip-prefix m --skip-unmappable", &raw);
    check_list("l.txt", &frag("s%", ""), "", &raw);
    check_list("l.map", "# GNU ddrescue\n0 + 1\n0x0 0x10 %\n", "", &raw);
    let mmls = "DOS Partition Table\nOffset Sector: 0\nUnits are in 512-byte sectors\n\n";
    check_list(
        "l.txt",
        &format!("{mmls}002:  000:000  0000002048 0000004095 0000002048 %\n"),
        "",
        &raw,
    );
    check_list("l.txt", &format!("{mmls}002:  000:000  % 0000004095 0000002048 x\n"), "", &raw);
    check_list("l", "%", "", &raw);
    check_list("l", "%", "--format %", &raw);
}

/// A map that was edited, or belongs to another job, is quoted like a list.
#[test]
fn maps_are_text_in_every_message() {
    for part in HOSTILE {
        for text in
            ["%", "# pcopy: version %\n", "# pcopy: version 2\n# pcopy: %\n", "0 % 1\n0 1 %\n"]
        {
            let scene = Scene::new();
            scene.source("src", 5000);
            let (before, after) = text.split_once('%').expect("a place");
            let rest = after.replace('%', "x");
            scene.write("m", &[before.as_bytes(), part, rest.as_bytes()].concat());
            for how in ["--resume", "--restart", "--in-place --resume"] {
                let output = run(&scene, &words(&format!("{how} --map m src copy")));
                assert_text(&output.stderr, text);
            }
        }
    }
}

/// Feeds `head`, then `fill` without an end, to `batch -`: refused while it is
/// read, whatever memory there is.
#[track_caller]
fn endless(format: &str, head: &str, fill: &str, says: &str) {
    let scene = Scene::new();
    scene.source("src", 5000);
    scene.write("head", head.as_bytes());
    let line = format!(
        "ulimit -v 300000; (cat head; yes '{fill}' | tr -d '\\n') | \"$0\" batch - --format {format} --source src --into o"
    );
    let program = program();
    let ended = scene.tool("sh", [OsStr::new("-c"), OsStr::new(&line), program.as_os_str()]).run();
    let code = ended.status.code();
    assert!(matches!(code, Some(2 | 3)), "{format} {head:?}: {code:?} {}", ended.stderr);
    assert!(ended.stderr.contains(says), "{format} {head:?}: {}", ended.stderr);
    assert!(ended.stderr.len() < 50_000 && !scene.has("o"), "{format}: {}", ended.stderr.len());
}

#[test]
fn no_part_of_a_list_may_be_endless() {
    for head in ["{\"name\":\"", "{\"", "{\"name\":\"a\",\"id\":\"", "[{\"name\":\"a\",\"note\":\""]
    {
        endless("jsonl", head, "a", "64 KiB");
    }
    endless("jsonl", "{\"name\":\"a\",\"note\":", "[", "too deep");
    endless("csv", "name,start,len\n\"", "a", "1 MiB");
    endless("csv", "name,", "a,", "1 MiB");
    endless("tsv", "name\tstart\tlen\n", "a", "1 MiB");
    endless("plain", "#pcopy v1 end=exclusive\n0 1 ", "a", "1 MiB");
    endless("dfxml", "<dfxml><fileobject><filename>", "a", "1 MiB");
    endless("dfxml", "<dfxml><fileobject><filename>", "&#65;", "64 KiB");
    endless("dfxml", "<dfxml><fileobject><byte_run len=\"", "1", "1 MiB");
    endless("dfxml", "<dfxml", "a", "1 MiB");
    endless("dfxml", "<dfxml><!--", "a", "1 MiB");
    endless("dfxml", "<dfxml>", "<a>", "too deep");
    endless("bmap", "<bmap version=\"2.0\">", " ", "64 MiB");
    endless("filefrag", "File size of ", "a", "1 MiB");
    endless("mapfile", "0 + ", "1", "1 MiB");
    endless("mmls", "Units are in ", "1", "1 MiB");
}

/// A name is bounded in length and depth, in every format that has names.
#[test]
fn names_are_no_longer_than_paths() {
    let scene = Scene::new();
    scene.source("src", 5000);
    let long = format!("{}x", "abcdefghi/".repeat(500));
    let deep = format!("{}f", "a/".repeat(300));
    for (name, says) in [(&long, "at most 4095"), (&deep, "at most 256")] {
        let lists = [
            ("l.jsonl", format!("{{\"name\":\"{name}\",\"start\":0,\"len\":1}}\n")),
            ("l.csv", format!("name,start,len\n{name},0,1\n")),
            ("l.txt", format!("#pcopy v1 end=exclusive\n0 1 {name}\n")),
            (
                "l.xml",
                format!(
                    "<dfxml><fileobject><filename>{name}</filename><filesize>1</filesize><byte_runs><byte_run img_offset='0' len='1'/></byte_runs></fileobject></dfxml>"
                ),
            ),
            (
                "f.txt",
                format!(
                    "File size of {name} is 1 (1 block of 4096 bytes)\n 0: 0.. 0: 1.. 1: 1: eof\n{name}: 1 extent found\n"
                ),
            ),
        ];
        for (file, text) in lists {
            scene.write(file, text.as_bytes());
            let ended = scene.run(&format!("batch {file} --source src --into o")).code(3);
            assert!(ended.stderr.contains(says), "{file}: {}", ended.stderr);
            assert!(ended.stderr.len() < 1000 && !scene.has("o"), "{file}: {}", ended.stderr);
        }
    }
    let id = "i".repeat(2000);
    scene.write("l.csv", format!("name,start,len,id\na,0,1,{id}\n").as_bytes());
    scene.run("batch l.csv --source src --into o").code(2).says(&["a field of 2000 bytes"]);
    let good = format!("{}f", "a/".repeat(256));
    scene.write("l.csv", format!("name,start,len\n{good},0,1\n").as_bytes());
    scene.run("batch l.csv --source src --into o").code(0);
    assert_eq!(scene.read(format!("o/{good}")).len(), 1);
}
