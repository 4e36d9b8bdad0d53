//! Files that are kept in several: read as one, and written so.

#[cfg(unix)]
use crate::common::Ended;
use crate::common::{Scene, assert_same, has_tools};

/// A scene with `source` of `len` bytes, and its pieces as split(1) makes them.
fn split_up(len: usize, options: &[&str], prefix: &str) -> Option<(Scene, Vec<u8>)> {
    if !has_tools(&["split"]) {
        return None;
    }
    let scene = Scene::new();
    let bytes = scene.source("source", len);
    let words = options.iter().copied().chain(["source", prefix]);
    scene.tool("split", words).run().code(0);
    Some((scene, bytes))
}

#[test]
fn pieces_are_read_as_one() {
    let sets: [(&[&str], &str, &str); 8] = [
        (&["-b", "100000", "-d", "-a", "3", "--numeric-suffixes=1"], "d.", "d.001"),
        (&["-b", "100000", "-d", "-a", "3"], "d.", "d.000"),
        (&["-b", "100000"], "d.", "d.aa"),
        (&["-b", "100000"], "x", "xaa"),
        (&["-b", "100000", "-a", "3"], "x", "xaaa"),
        (&["-b", "100000", "-d"], "x", "x00"),
        (&["-b", "1000", "-d"], "d.", "d.00"),
        (&["-b", "1000"], "d.", "d.aa"),
    ];
    for (options, prefix, first) in sets {
        let Some((scene, bytes)) = split_up(777_777, options, prefix) else { return };
        let ended = scene.run(&format!("--digest md5 {first} whole"));
        let ended = ended.code(0).says(&["read as one", first]);
        assert_same(&scene.read("whole"), &bytes, first);
        let sum = scene.tool("md5sum", ["whole"]).run().code(0);
        assert_eq!(ended.out(), sum.out());
        scene.run(&format!("-r 99990..400010 {first} part")).code(0);
        assert_same(&scene.read("part"), &bytes[99_990..400_010], first);
        scene.run(&format!("{first} whole --verify -f -t 3 --io-size 4KiB")).code(0);
        scene.run(&format!("verify {first} whole")).code(0);
        scene.run(&format!("verify whole {first}")).code(0);
        let piece = scene.read(first);
        scene.run(&format!("--join never {first} piece")).code(0);
        assert_same(&scene.read("piece"), &piece, first);
    }
}

#[test]
fn what_is_not_a_whole_set_is_refused_with_a_way_out() {
    let options = ["-b", "100000", "-d", "-a", "3", "--numeric-suffixes=1"];
    let Some((scene, bytes)) = split_up(777_777, &options, "d.") else { return };
    let never = "--join never takes it by itself";
    scene.run("d.004 whole").code(3).says(&["begins with 'd.001'", never]);
    std::fs::rename(scene.path("d.003"), scene.path("away")).unwrap();
    scene.run("d.001 whole").code(3).says(&["between 'd.002' and 'd.004' is missing", never]);
    scene.run("--join always d.001 two").code(0);
    assert_same(&scene.read("two"), &bytes[..200_000], "the two before the gap");
    scene.write("d.003", &bytes[..99_999]);
    scene.run("d.001 whole").code(3).says(&["'d.003' has 99999 bytes", "--join always"]);
    std::fs::rename(scene.path("away"), scene.path("d.003")).unwrap();
    std::fs::remove_file(scene.path("d.001")).unwrap();
    scene.run("d.002 whole").code(3).says(&["before it is missing", "--join always"]);
    assert!(!scene.has("whole"));
    scene.run("source x.E01").code(0);
    scene.run("source x.E02").code(0);
    scene.run("x.E01 copy").code(0);
    assert_same(&scene.read("copy"), &bytes, "a volume of another format is one file");
}

#[test]
fn several_sources_are_copied_as_they_are() {
    let options = ["-b", "100000", "-d", "-a", "3", "--numeric-suffixes=1"];
    let Some((scene, bytes)) = split_up(250_000, &options, "d.") else { return };
    std::fs::create_dir(scene.path("o")).unwrap();
    scene.run("d.001 d.002 d.003 o").code(0);
    assert_same(&scene.read("o/d.003"), &bytes[200_000..], "the last");
    scene.run("verify d.001 d.002 d.003 o").code(0);
    scene.run("verify d.001 o").code(0);
    scene.run("--join always -f d.001 d.002 o").code(2).says(&["--join"]);
    // In a folder, the whole has the name of its pieces without their numbers.
    scene.run("d.001 o").code(0);
    assert_same(&scene.read("o/d"), &bytes, "the whole");
    scene.run("verify d.001 o").code(0);
}

#[test]
fn ranges_of_a_list_lie_in_the_whole() {
    let options = ["-b", "100000", "-d", "-a", "3", "--numeric-suffixes=1"];
    let Some((scene, bytes)) = split_up(777_777, &options, "d.") else { return };
    scene.write("l.csv", b"name,start,len\na,99990,20\nb,0,777777\nc,500000,100000\n");
    scene.run("batch l.csv --source d.001 --into o --verify").code(0);
    assert_same(&scene.read("o/a"), &bytes[99_990..100_010], "over an edge");
    assert_same(&scene.read("o/b"), &bytes, "all");
    assert_same(&scene.read("o/c"), &bytes[500_000..600_000], "one piece");
    scene.run("batch l.csv --source d.001 --compare --into o").code(0);
    let said = ["begins with 'd.001'", "--join never"];
    scene.run("batch l.csv --source d.002 --into p").code(3).says(&said);
    scene.run("batch l.csv --source d.001 --join never --into p").code(3).says(&["line 3"]);
    // A file that a row names is meant by itself.
    scene.write("n.csv", b"name,source\nx,d.002\n");
    scene.run("batch n.csv --into p").code(0);
    assert_same(&scene.read("p/x"), &bytes[100_000..200_000], "by itself");
}

/// A destination among the pieces, or a piece that changes.
#[cfg(unix)]
#[test]
fn no_piece_is_written_and_none_may_change() {
    let options = ["-b", "100000", "-d", "-a", "3", "--numeric-suffixes=1"];
    let Some((scene, bytes)) = split_up(777_777, &options, "d.") else { return };
    scene.run("-f d.001 d.003").code(3).says(&["same file"]);
    scene.run("--in-place d.001 d.008").code(3);
    scene.run("-r 0..10 --in-place d.001 d.005").code(3);
    for (number, at) in (1..=8).zip((0..).step_by(100_000)) {
        let piece = scene.read(format!("d.{number:03}"));
        assert_same(&piece, &bytes[at..bytes.len().min(at + 100_000)], "untouched");
    }
    let mut running = scene
        .pcopy("--progress json --limit-rate 200000 --io-size 4KiB d.001 o".split(' '))
        .start();
    running.wait_until_copied(1);
    scene.write("d.007", &bytes[..100_000]);
    let ended: Ended = running.end();
    ended.code(5).says(&["changed"]);
    assert!(!scene.has("o"));
}

/// The copy of a set goes on where it was interrupted, unless a piece is another.
#[cfg(unix)]
#[test]
fn a_copy_of_pieces_resumes() {
    let options = ["-b", "1000000", "-d", "-a", "3", "--numeric-suffixes=1"];
    let Some((scene, bytes)) = split_up(7_777_777, &options, "d.") else { return };
    let line =
        "--progress json --limit-rate 1000000 --checkpoint-every 0.01 -t 1 --io-size 64KiB d.001 o";
    let mut running = scene.pcopy(line.split(' ')).start();
    running.wait_until_recorded(500_000);
    assert!(running.kill().was_killed());
    let ended = scene.run("--resume --json d.001 o").code(0);
    assert!(ended.report()["bytes"]["resumed"].as_u64().unwrap() > 0, "{}", ended.out());
    assert_same(&scene.read("o"), &bytes, "resumed");
    let mut running = scene.pcopy(format!("-f {line}").split(' ')).start();
    running.wait_until_recorded(500_000);
    assert!(running.kill().was_killed());
    scene.write("d.001", &vec![7; 1_000_000]);
    scene.run("-f --resume d.001 o").code(3).says(&["--restart"]);
}

/// Holes of the pieces are holes of the whole.
#[cfg(target_os = "linux")]
#[test]
fn holes_of_pieces_are_kept() {
    use std::os::unix::fs::MetadataExt;
    let scene = Scene::new();
    let len: u64 = 8 << 20;
    for name in ["d.001", "d.002", "d.003"] {
        scene.write(name, b"data");
        let file = std::fs::File::options().write(true).open(scene.path(name)).unwrap();
        file.set_len(len).unwrap();
    }
    scene.write("d.001", &vec![1; len as usize]);
    scene.run("d.001 o").code(0);
    let facts = scene.path("o").metadata().unwrap();
    assert_eq!(facts.len(), 3 * len);
    assert!(facts.blocks() * 512 < len + (1 << 20), "{}", facts.blocks());
    assert_eq!(scene.read("o")[len as usize..][..5], *b"data\0");
}

/// The names of the segments of `base`, and what is in them one after the other.
fn segments(scene: &Scene, base: &str) -> (Vec<String>, Vec<u8>) {
    let mut names = scene.names();
    names.retain(|name| {
        let number = name.strip_prefix(base).and_then(|rest| rest.strip_prefix('.'));
        number.is_some_and(|digits| {
            digits.bytes().all(|byte| byte.is_ascii_digit())
                && format!("{:03}", digits.parse::<u32>().unwrap()) == digits
        })
    });
    // By numbers: after 999 comes 1000.
    names.sort_by_key(|name| (name.len(), name.clone()));
    let bytes = names.iter().flat_map(|name| scene.read(name)).collect();
    (names, bytes)
}

#[track_caller]
fn assert_split(scene: &Scene, base: &str, bytes: &[u8], size: usize) {
    let (names, found) = segments(scene, base);
    assert_same(&found, bytes, base);
    let count = bytes.len().div_ceil(size).max(1);
    let wanted: Vec<_> = (1..=count).map(|number| format!("{base}.{number:03}")).collect();
    assert_eq!(names, wanted);
    for name in &names[..count - 1] {
        assert_eq!(scene.path(name).metadata().unwrap().len(), size as u64, "{name}");
    }
    let left = scene.names().into_iter().filter(|name| name.contains("pcopy")).count();
    assert_eq!(left, 0, "{:?}", scene.names());
}

#[test]
fn a_destination_is_written_in_segments() {
    for (len, size) in [
        (0, 512),
        (1, 512),
        (512, 512),
        (513, 512),
        (777_777, 100_000),
        (777_777, 777_777),
        (777_777, 777_776),
        (777_777, 10_000_000),
        (1_000, 7),
    ] {
        let scene = Scene::new();
        let bytes = scene.source("source", len);
        let line = format!("-f -t 3 --io-size 4KiB --verify --split {size} source d");
        scene.run(&line).code(0).says(&["d.001"]);
        assert_split(&scene, "d", &bytes, size);
        let sum = scene.run("--digest sha256 source whole").code(0).out();
        assert!(sum.contains("whole"));
        if len > size {
            scene.run("--join always d.001 joined").code(0);
            assert_same(&scene.read("joined"), &bytes, "joined");
            scene.run("verify source d.001 --join always").code(0);
        }
        std::fs::remove_file(scene.path("whole")).unwrap();
        scene.run(&format!("-r 10.. --split {size} source e")).code(if len < 10 { 3 } else { 0 });
        if len >= 10 {
            assert_split(&scene, "e", &bytes[10..], size);
        }
    }
}

#[test]
fn options_hold_for_segments_as_for_one_file() {
    let scene = Scene::new();
    let bytes = scene.source("source", 777_777);
    scene.run("--split 100000 --also w source w").code(0);
    assert_split(&scene, "w", &bytes, 100_000);
    assert_same(&scene.read("w"), &bytes, "the other one is whole");
    for (number, option) in [
        "--sparse always",
        "--sparse never",
        "--preallocate full",
        "--no-sync",
        "--keep-cache",
        "--limit-rate 100MiB",
        "--verify --repair",
        "-t 1",
        "--engine positioned",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("d{number}");
        scene.run(&format!("{option} --split 100000 source {name}")).code(0);
        assert_split(&scene, &name, &bytes, 100_000);
    }
    std::fs::create_dir(scene.path("o")).unwrap();
    scene.run("--split 500000 source o").code(0);
    assert_same(&scene.read("o/source.002"), &bytes[500_000..], "in a folder");
    for option in ["--in-place", "--to-device", "--preserve", "--dest-offset 5", "--engine mmap"] {
        let code = if option.contains("mmap") { 3 } else { 2 };
        scene.run(&format!("{option} --split 500000 source x")).code(code);
    }
    scene.run("--split 500000 source -").code(2).says(&["--split"]);
    scene.run("--split 0 source x").code(2).says(&["--split must be more than 0"]);
    scene.run("--split 1 source x").code(2).says(&["777777 files", "open at once"]);
    scene.run("--split 5K source source o").code(2).says(&["--split"]);
    let report = scene.run("--json -n --split 500000 source x").code(0).report();
    assert_eq!(report["destination"]["segments"][1]["path"], "x.002");
    assert_eq!(report["destination"]["segments"][1]["range"]["end"], 777_777);
    assert!(!scene.has("x.001") && segments(&scene, "x").0.is_empty());
}

/// Nothing is replaced that nobody consents to, and nothing removed at all.
#[test]
fn files_in_the_way_of_segments_stay() {
    let scene = Scene::new();
    let bytes = scene.source("source", 300_000);
    let guard = b"guard".to_vec();
    for name in ["d.003", "d.004", "d.1000", "d.000"] {
        scene.write(name, &guard);
        let force = if name == "d.003" { "" } else { "-f" };
        scene.run(&format!("{force} --split 100000 source d")).code(3).says(&[name]);
        assert_eq!(scene.read(name), guard);
        assert_eq!(scene.names(), [name, "source"]);
        std::fs::remove_file(scene.path(name)).unwrap();
    }
    for name in ["d", "d.01", "d.0004", "d.x", "d.005.old", "e.004"] {
        scene.write(name, &guard);
    }
    scene.run("--split 100000 source d").code(0);
    scene.run("--split 100000 source d").code(3).says(&["d.001", "--force"]);
    let other = scene.source("source", 250_000);
    scene.run("-f --split 100000 source d").code(0);
    assert_same(&segments(&scene, "d").1[..250_000], &other, "replaced");
    scene.run("-f --split 200000 source d").code(3).says(&["d.003", "one more"]);
    assert_same(&segments(&scene, "d").1[..250_000], &other, "as it was");
    for name in ["d", "d.01", "d.0004", "d.x", "d.005.old", "e.004"] {
        assert_eq!(scene.read(name), guard, "{name}");
    }
    assert!(bytes.len() > other.len());
}

#[test]
fn every_segment_has_a_digest_that_the_usual_tools_check() {
    if !has_tools(&["sha256sum", "md5sum"]) {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 777_777);
    scene.run("--split 100000 --digest sha256 --digest-file sums source d").code(0);
    scene.tool("sha256sum", ["-c", "--strict", "sums"]).run().code(0);
    let of_all = scene.tool("sha256sum", ["source"]).run().code(0).out();
    let text = String::from_utf8(scene.read("sums")).unwrap();
    assert!(text.contains(&format!("# {}", of_all.replace("source", "d"))), "{text}");
    assert_eq!(text.lines().count(), 9);
    // Without files of their own, pieces stand in comments.
    let out = scene.run("--digest md5 --digest-every 300000 source e").code(0).out();
    scene.write("sums", out.as_bytes());
    scene.tool("md5sum", ["-c", "--strict", "sums"]).run().code(0);
    for (start, end) in [(0, 300_000), (300_000, 600_000), (600_000, 777_777)] {
        let range = format!("{start}..{end}");
        let part = scene.run(&format!("-f --digest md5 -r {range} source part")).code(0).out();
        let hex = part.split(' ').next().unwrap().to_owned();
        assert!(out.contains(&format!("# {hex}  e {range}\n")), "{out}");
    }
    for file in ["e.002", "source"] {
        let line = format!("-f --split 300000 --digest md5 --digest-file {file} source e");
        scene.run(&line).code(2).says(&["--digest-file"]);
    }
    let again = scene.run("verify --digest md5 --digest-every 300000 source e").code(0).out();
    assert_eq!(again, out);
    let line = "--json --digest blake3 --digest crc32c --digest-every 1 -r 5..8 -f source part";
    let report = scene.run(line).code(0).report();
    let pieces = report["pieces"].as_array().unwrap();
    assert_eq!(pieces.len(), 3);
    assert_eq!((&pieces[1]["start"], &pieces[1]["end"]), (&6.into(), &7.into()));
    assert!(pieces[1]["digests"]["blake3"].is_string());
    scene.run("--digest-every 5 source x").code(2).says(&["--digest"]);
}

#[cfg(unix)]
#[test]
fn segments_that_were_interrupted_are_resumed() {
    let scene = Scene::new();
    let bytes = scene.source("source", 7_777_777);
    let line = "--progress json --limit-rate 2000000 --checkpoint-every 0.01 -t 2 --io-size 64KiB \
                --split 1000000 source d";
    let words = || line.split_whitespace();
    for signal in [None, Some(rustix::process::Signal::INT)] {
        let mut running = scene.pcopy(words()).start();
        running.wait_until_recorded(1_500_000);
        match signal {
            None => assert!(running.kill().was_killed()),
            Some(signal) => {
                running.signal(signal);
                running.end().died_by(signal).says(&["--resume"]);
            }
        }
        assert!(segments(&scene, "d").0.is_empty(), "{:?}", scene.names());
        scene.run("--split 1000000 source d").code(3).says(&["--resume", "--restart"]);
        scene.run("--split 1000001 --resume source d").code(3).says(&["segments of 1000000"]);
        let report = scene.run("--json --split 1000000 --resume source d").code(0).report();
        assert!(report["bytes"]["resumed"].as_u64().unwrap() > 0, "{report}");
        assert_split(&scene, "d", &bytes, 1_000_000);
        for number in 1..=8 {
            std::fs::remove_file(scene.path(format!("d.{number:03}"))).unwrap();
        }
    }
    let mut running = scene.pcopy(words()).start();
    running.wait_until_recorded(1_500_000);
    assert!(running.kill().was_killed());
    std::fs::remove_file(scene.path("d.002.pcopy-part")).unwrap();
    scene.run("--split 1000000 --resume source d").code(3).says(&["d.002.pcopy-part' is gone"]);
    // Fewer and longer ones take the place of all of them.
    scene.run("--split 4000000 --restart source d").code(0);
    assert_split(&scene, "d", &bytes, 4_000_000);
}

/// A foreign file that takes the name of a segment while the others are written.
#[cfg(unix)]
#[test]
fn a_file_that_appears_meanwhile_stays() {
    for name in ["d.007", "d.009"] {
        let scene = Scene::new();
        let bytes = scene.source("source", 800_000);
        let line = "--progress json --limit-rate 400000 --io-size 4KiB --split 100000 source d";
        let mut running = scene.pcopy(line.split(' ')).start();
        running.wait_until_copied(100_000);
        scene.write(name, b"guard");
        running.end().code(5).says(&[name]);
        assert_eq!(scene.read(name), b"guard");
        assert_eq!(segments(&scene, "d").0, [name], "no segment has its name");
        std::fs::remove_file(scene.path(name)).unwrap();
        scene.run("--split 100000 --resume source d").code(0);
        assert_split(&scene, "d", &bytes, 100_000);
    }
}

/// Killed before each call that changes a name, and resumed.
#[cfg(target_os = "linux")]
#[test]
fn killed_while_segments_get_their_names() {
    if !crate::inject::can_inject() {
        return;
    }
    let mut kills = 0;
    for old in [false, true] {
        for call in ["renameat2,rename,renameat", "unlink,unlinkat", "fsync"] {
            for k in 1.. {
                let scene = Scene::new();
                let bytes = scene.source("source", 350_000);
                let force = if old { "-f " } else { "" };
                if old {
                    scene.run("--split 100000 -r 1.. source d").code(0);
                }
                let line = format!("{force}--split 100000 source d");
                let injected = format!("--inject={call}:signal=KILL:when={k}");
                let program = crate::common::program();
                let words = ["-f", "-qq", "-e", "trace=none", &injected];
                let words = words.iter().map(std::ffi::OsString::from);
                let words = words.chain([program.into_os_string()]);
                let words = words.chain(line.split(' ').map(std::ffi::OsString::from));
                let ended = scene.tool("strace", words).run();
                if ended.status.code() == Some(0) {
                    break;
                }
                kills += 1;
                let what = format!("{line}, {injected}");
                if scene.has("d.001") {
                    // It is the first of a whole set, old or new.
                    let found = segments(&scene, "d").1;
                    assert!(found == bytes || old && found == bytes[1..], "{what}");
                }
                let left = scene.names().iter().any(|name| name.contains("pcopy"));
                if left || segments(&scene, "d").1 != bytes {
                    scene.run(&format!("--resume {line}")).code(0);
                }
                assert_split(&scene, "d", &bytes, 100_000);
            }
        }
    }
    println!("measured: killed while segments get their names: {kills} kills, all resumed");
}
