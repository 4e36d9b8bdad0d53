//! Going on from an interrupted copy: no needless work, no wrong job, nothing
//! destroyed by mistake.

use std::io::Write;

use positioned_io::WriteAt;

use crate::common::{Ended, Scene, assert_same, pattern, skip};

const LEN: usize = 4 << 20;

/// Options that make stripes small, so that a map has some blocks.
const SMALL: &str = "-t 2 --io-size 64KiB --stripe-size 256KiB";

/// A scene with a part and a map of a copy that was killed in the middle, and
/// how many bytes were recorded.
fn killed(options: &str) -> (Scene, Vec<u8>, u64) {
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    let recorded = kill_in_the_middle(&scene, options);
    (scene, bytes, recorded)
}

/// Kills a copy when a quarter of it has been recorded, and says how much had.
fn kill_in_the_middle(scene: &Scene, options: &str) -> u64 {
    let line = format!(
        "{SMALL} --limit-rate 1MiB --checkpoint-every 0 --progress json {options} source copy"
    );
    let mut running = scene.pcopy(line.split_whitespace()).start();
    let recorded = running.wait_until_recorded(LEN as u64 / 4);
    running.child.kill().expect("it is running");
    running.end();
    recorded
}

fn resume(scene: &Scene, options: &str) -> Ended {
    scene.run(&format!("{SMALL} --json --resume {options} source copy"))
}

/// Also where the new file gets the number of the old, as on ext4. On Windows the
/// number tells by itself, for NTFS counts in it how often it was given away; the
/// file systems that Wine lends to programs do not.
#[cfg(unix)]
#[test]
fn another_file_at_the_name_of_the_destination_is_not_gone_on_with() {
    let scene = Scene::new();
    scene.source("source", LEN);
    scene.write("copy", &vec![0; LEN]);
    kill_in_the_middle(&scene, "--in-place");
    std::fs::remove_file(scene.path("copy")).expect("it is there");
    scene.write("copy", &vec![1; LEN]);
    let words = ["does not hold byte 0 of", "of the destination"];
    resume(&scene, "--in-place").code(3).says(&words);
    assert_same(&scene.read("copy"), &vec![1; LEN], "the other file");
}

#[test]
fn a_resumed_copy_does_no_needless_work() {
    let (scene, bytes, recorded) = killed("");
    let report = resume(&scene, "").code(0).report();
    assert_same(&scene.read("copy"), &bytes, "the copy");
    assert_eq!(scene.names(), ["copy", "source"]);
    let (copied, resumed) =
        (number(&report["bytes"]["copied"]), number(&report["bytes"]["resumed"]));
    assert_eq!(copied + resumed, LEN as u64, "{report}");
    assert!(copied <= LEN as u64 - recorded, "{recorded} were safe: {report}");
    println!(
        "measured: work of a resume: killed with {recorded} of {LEN} bytes recorded, {copied} copied on resume"
    );
}

/// What a signal interrupts is recorded to the last request.
#[cfg(unix)]
#[test]
fn after_a_signal_not_one_byte_is_copied_again() {
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    let line = format!("{SMALL} --limit-rate 1MiB --progress json --json source copy");
    let mut running = scene.pcopy(line.split_whitespace()).start();
    running.wait_until_copying();
    running.signal(rustix::process::Signal::INT);
    let ended = running.end().died_by(rustix::process::Signal::INT).says(&["--resume"]);
    let before = number(&ended.report()["bytes"]["copied"]);
    assert!(scene.has("copy.pcopy-map"), "{:?}", scene.names());
    let after = resume(&scene, "").code(0).report();
    assert_eq!(number(&after["bytes"]["copied"]) + before, LEN as u64, "{after}");
    assert_same(&scene.read("copy"), &bytes, "the copy");
}

fn number(value: &serde_json::Value) -> u64 {
    value.as_u64().expect("a number")
}

/// The map knows which bytes are there, and a stranger may have been at them.
#[test]
fn what_is_not_there_any_more_is_not_called_done() {
    for options in ["", "--in-place"] {
        let scene = Scene::new();
        scene.source("source", LEN);
        let name = if options.is_empty() { "copy.pcopy-part" } else { "copy" };
        if !options.is_empty() {
            scene.write("copy", &vec![0; LEN]);
        }
        kill_in_the_middle(&scene, options);
        let written = scene.read(name);
        let file = std::fs::OpenOptions::new().write(true).open(scene.path(name)).unwrap();
        (&file).write_all(&[0xee; LEN / 2]).unwrap();
        drop(file);
        let before = scene.read(name);
        assert!(written != before);
        resume(&scene, options).code(3).says(&[name, "does not hold", "--restart"]);
        assert_same(&scene.read(name), &before, "nothing was touched");
        scene.run(&format!("{SMALL} --restart {options} source copy")).code(0);
        assert_same(&scene.read("copy"), &scene.read("source"), options);
    }
}

#[test]
fn that_there_was_nothing_to_go_on_from_is_said() {
    let scene = Scene::new();
    scene.source("source", 1000);
    scene.run("--resume source copy").code(0).says(&["nothing was left to resume"]);
    let ended = scene.run("-f source copy").code(0);
    assert!(!ended.stderr.contains("nothing was left"), "{}", ended.stderr);
}

/// Before the first byte, and not when a night's work is to be recorded.
#[test]
fn a_map_that_cannot_be_made_is_refused_at_once() {
    let scene = Scene::new();
    scene.source("source", 1000);
    let refused = scene.run("--map missing/m source copy").code(3);
    refused.says(&["cannot make the map", "missing", "--map"]);
    assert_eq!(scene.names(), ["source"]);
}

#[test]
fn a_plan_says_what_is_left_to_do() {
    let (scene, _, recorded) = killed("");
    let before = scene.names();
    let plan = scene.run("-n --resume source copy").code(0);
    plan.says(&["were there from an earlier run", "nothing was written"]);
    let report = scene.run("-n --json --resume source copy").code(0).report();
    assert!(number(&report["bytes"]["resumed"]) >= recorded, "{report}");
    assert_eq!(scene.names(), before);
}

/// A map of ddrescue is kept as the record of what was read.
#[test]
fn a_map_of_ddrescue_stays_when_all_is_there() {
    for kill in [false, true] {
        let scene = Scene::new();
        let bytes = scene.source("source", LEN);
        let half = LEN / 2;
        scene.write("copy", &[&bytes[..half], &vec![0; half][..]].concat());
        let map = format!(
            "# Mapfile. Created by GNU ddrescue version 1.27\n0x00000000     ?               1\n\
             0x00000000  {half:#010X}  +\n{half:#010X}  {half:#010X}  ?\n"
        );
        scene.write("dd.map", map.replace("0X", "0x").as_bytes());
        let line = format!("{SMALL} --in-place --resume --map dd.map");
        if kill {
            let slow = "--limit-rate 1MiB --checkpoint-every 0 --progress json source copy";
            let mut running = scene.pcopy(format!("{line} {slow}").split(' ')).start();
            running.wait_until_recorded(1);
            assert!(running.kill().was_killed());
        }
        let report = scene.run(&format!("{line} --json source copy")).code(0).report();
        assert!(number(&report["bytes"]["resumed"]) >= half as u64, "{report}");
        assert_same(&scene.read("copy"), &bytes, "the copy");
        assert_eq!(scene.names(), ["copy", "dd.map", "source"]);
        let map = String::from_utf8(scene.read("dd.map")).unwrap();
        let blocks: Vec<&str> = map.lines().filter(|line| !line.starts_with('#')).skip(1).collect();
        assert!(blocks.len() == 1 && blocks[0].ends_with('+'), "{map}");
    }
}

/// It may tell of more than a job copies, and of that it goes on to tell.
#[test]
fn a_map_of_ddrescue_keeps_what_it_says_of_other_bytes() {
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    scene.write("copy", &vec![0; LEN]);
    let map = "# Mapfile. Created by GNU ddrescue version 1.27\n0x00000000     ?               1\n\
               0x00000000  0x00100000  -\n0x00100000  0x00200000  ?\n0x00300000  0x00100000  +\n";
    scene.write("dd.map", map.as_bytes());
    let part = "--in-place --resume --map dd.map --range 1MiB..2MiB --dest-offset 1MiB";
    scene.run(&format!("{part} source copy")).code(0);
    let map = String::from_utf8(scene.read("dd.map")).unwrap();
    let blocks: Vec<String> = map
        .lines()
        .filter(|line| !line.starts_with('#'))
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let expected = [
        "0x00000000 0x00100000 -",
        "0x00100000 0x00100000 +",
        "0x00200000 0x00100000 ?",
        "0x00300000 0x00100000 +",
    ];
    assert_eq!(blocks, expected, "{map}");
    let ended = scene.run("--in-place --resume --map dd.map source copy");
    // What it called done was never there.
    ended.code(3).says(&["does not hold"]);
    scene.write(
        "copy",
        &[&[0; 1 << 20][..], &bytes[1 << 20..2 << 20], &[0; 1 << 20], &bytes[3 << 20..]].concat(),
    );
    scene.run("--in-place --resume --map dd.map source copy").code(0);
    assert_same(&scene.read("copy"), &bytes, "the copy");
    // It is the user's, whatever is to be begun anew.
    for options in ["--in-place --restart", "--force --restart", "--in-place"] {
        scene.run(&format!("{options} --map dd.map source copy")).code(3).says(&["not of this"]);
        assert!(scene.has("dd.map"), "{options}");
    }
}

/// Where the map lay that says what is in it, the user knows.
#[test]
fn a_part_of_a_long_run_is_not_discarded_for_want_of_its_map() {
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    kill_in_the_middle(&scene, "--map elsewhere");
    let before = scene.names();
    let ended = resume(&scene, "").code(3).says(&["copy.pcopy-map", "--map", "--restart"]);
    assert!(!ended.stderr.contains("seconds"), "clocks are set: {}", ended.stderr);
    assert_eq!(scene.names(), before);
    let report = resume(&scene, "--map elsewhere").code(0).report();
    assert!(number(&report["bytes"]["resumed"]) > 0, "{report}");
    assert_same(&scene.read("copy"), &bytes, "the copy");
}

/// However short the run was, its map may be elsewhere.
#[test]
fn a_part_of_a_short_run_is_not_discarded_for_want_of_its_map() {
    let (scene, bytes, _) = killed("--map elsewhere");
    let before = scene.names();
    resume(&scene, "").code(3).says(&["copy.pcopy-map", "--map", "--restart"]);
    assert_eq!(scene.names(), before);
    let report = resume(&scene, "--map elsewhere").code(0).report();
    assert!(number(&report["bytes"]["resumed"]) > 0, "{report}");
    assert_same(&scene.read("copy"), &bytes, "the copy");
}

#[test]
fn what_was_left_is_refused_by_a_plain_run_and_named() {
    let (scene, bytes, _) = killed("");
    let before = scene.names();
    scene.run("source copy").code(3).says(&["--resume", "--restart"]);
    assert_eq!(scene.names(), before);
    let report = scene.run("--json --restart source copy").code(0).report();
    assert_eq!(number(&report["bytes"]["copied"]), LEN as u64);
    assert_same(&scene.read("copy"), &bytes, "the copy");
    assert_eq!(scene.names(), ["copy", "source"]);
}

/// One way to make a job another job than that of the map.
type Change = fn(&Scene);

#[test]
fn a_map_resumes_only_its_own_job() {
    let changes: [(&str, &str, &str, Change); 3] = [
        // It is copied to its end, which is another one.
        ("a longer source", "range-end", "source copy", |scene| {
            let file = std::fs::File::options().append(true).open(scene.path("source"));
            file.expect("it opens").write_all(b"more").expect("written");
        }),
        ("another range", "range-", "-r 4096.. source copy", |_| {}),
        ("another place", "dest-offset", "--dest-offset 512 source copy", |_| {}),
    ];
    for (what, field, job, change) in changes {
        let (scene, ..) = killed("");
        change(&scene);
        let part = scene.read("copy.pcopy-part");
        let map = scene.read("copy.pcopy-map");
        let ended = scene.run(&format!("{SMALL} --resume {job}"));
        assert_eq!(ended.status.code(), Some(3), "{what}: {}", ended.stderr);
        ended.says(&["of another job", field]);
        assert!(part == scene.read("copy.pcopy-part"), "{what}: the part was touched");
        assert!(map == scene.read("copy.pcopy-map"), "{what}: the map was touched");
    }
    println!("measured: maps of other jobs: {} refused, 0 wrong resumes", changes.len());
}

/// A part is as old as a clock says that it is; how much is in it does not
/// depend on clocks.
#[test]
fn a_small_part_without_a_map_is_begun_anew_whatever_the_clocks_say() {
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    let far = long_ago + std::time::Duration::from_secs(4_000_000_000);
    for time in [long_ago, far] {
        let scene = Scene::new();
        let bytes = scene.source("source", LEN);
        scene.write("copy.pcopy-part", &bytes[..4096]);
        #[cfg(unix)]
        make_private(&scene.path("copy.pcopy-part"));
        let part = std::fs::File::options().write(true).open(scene.path("copy.pcopy-part"));
        part.expect("a part").set_modified(time).expect("a time");
        resume(&scene, "").code(0);
        assert_same(&scene.read("copy"), &bytes, "the copy");
    }
}

#[cfg(unix)]
fn make_private(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
}

/// How bytes move and whether zeros are stored is not part of what a job is:
/// the bytes are the same.
#[test]
fn a_resume_may_move_the_bytes_another_way() {
    for other in ["--sparse always", "--sparse never", "--engine offload -t 1", "--no-sync"] {
        let (scene, bytes, recorded) = killed("");
        let ended = scene.run(&format!("--json --resume {other} source copy"));
        if other.contains("offload") && ended.status.code() == Some(3) {
            skip("no kernel here that copies by itself");
            continue;
        }
        let report = ended.code(0).report();
        assert!(number(&report["bytes"]["resumed"]) >= recorded, "{other}: {report}");
        assert_same(&scene.read("copy"), &bytes, other);
    }
}

#[test]
fn a_map_of_another_destination_is_refused() {
    let (scene, ..) = killed("");
    let line = "--resume --map copy.pcopy-map source elsewhere";
    scene.run(line).code(3);
    assert!(!scene.has("elsewhere") && scene.has("copy.pcopy-map"));
}

/// Every `step`-th place; all of them in the long tier.
fn step(short: usize) -> usize {
    if std::env::var_os("PCOPY_SOAK").is_some() { 1 } else { short }
}

#[test]
fn a_damaged_map_is_refused_wherever_it_is_damaged() {
    let (scene, bytes, _) = killed("");
    let map = scene.read("copy.pcopy-map");
    let part = scene.read("copy.pcopy-part");
    let refused = |damaged: &[u8], what: String| {
        scene.write("copy.pcopy-map", damaged);
        let ended = resume(&scene, "");
        assert_eq!(ended.status.code(), Some(3), "{what}: {}", ended.stderr);
        assert!(ended.stderr.contains("copy.pcopy-map"), "{what}: {}", ended.stderr);
    };
    let cuts = (0..map.len()).step_by(step(41));
    let count = cuts.len();
    cuts.for_each(|len| refused(&map[..len], format!("cut to {len} bytes")));
    let flips = (0..map.len()).step_by(step(23));
    let count = count + flips.len();
    for at in flips {
        let mut damaged = map.clone();
        damaged[at] ^= 1 << (at % 8);
        refused(&damaged, format!("bit {} of byte {at}", at % 8));
    }
    let text = String::from_utf8(map.clone()).expect("this one is text");
    refused(text.replace("version 1", "version 2").as_bytes(), "the future".to_owned());
    assert!(part == scene.read("copy.pcopy-part"), "the part was touched");
    scene.write("copy.pcopy-map", &map);
    resume(&scene, "").code(0);
    assert_same(&scene.read("copy"), &bytes, "the copy");
    println!("measured: damaged maps: {} refused, 0 wrong resumes", count + 1);
}

/// A part that is shorter than it was has lost bytes that the map calls done.
#[test]
fn a_part_that_was_cut_is_refused() {
    let (scene, ..) = killed("");
    let part = std::fs::File::options().write(true).open(scene.path("copy.pcopy-part")).unwrap();
    part.set_len(LEN as u64 / 8).unwrap();
    resume(&scene, "").code(3).says(&["copy.pcopy-part", "--restart"]);
    assert!(!scene.has("copy"));
}

#[test]
fn a_destination_in_place_that_was_cut_is_refused() {
    let scene = Scene::new();
    scene.source("source", LEN);
    scene.write("copy", &pattern(2, LEN));
    kill_in_the_middle(&scene, "--in-place");
    let file = std::fs::File::options().write(true).open(scene.path("copy")).unwrap();
    file.set_len(LEN as u64 / 8).unwrap();
    resume(&scene, "--in-place").code(3).says(&["copy", "--restart"]);
}

/// A hole of the source needs no work, unless the part was found not to have it.
#[test]
fn a_hole_found_to_be_wrong_is_made_again() {
    for options in ["", "--sparse always", "--digest sha256"] {
        let scene = Scene::new();
        let hole = 1 << 20;
        let data = pattern(5, LEN);
        let mut file = std::fs::File::create(scene.path("source")).expect("a file");
        file.set_len(hole + LEN as u64).expect("room");
        file.write_all_at(hole, &data).expect("written");
        kill_in_the_middle(&scene, options);
        let part = std::fs::File::options().write(true).open(scene.path("copy.pcopy-part"));
        part.expect("a part").write_all_at(5000, b"wrong").expect("written");
        let ended = resume(&scene, &format!("{options} --verify"));
        // Sharing all extents of the source makes every hole anew.
        if ended.status.code() == Some(0) {
            let report = ended.report();
            assert!(report["notes"].to_string().contains("share the storage"), "{report}");
            assert_same(&scene.read("copy"), &scene.read("source"), options);
            continue;
        }
        let found = ended.code(4).report();
        assert_eq!(found["mismatches"][0]["start"], 4608, "{found}");
        let report = resume(&scene, options).code(0).report();
        assert_same(&scene.read("copy"), &scene.read("source"), options);
        assert_eq!(scene.names(), ["copy", "source"]);
        let bytes = &report["bytes"];
        let all = number(&bytes["copied"]) + number(&bytes["holes"]) + number(&bytes["resumed"]);
        assert_eq!(all, hole + LEN as u64, "{report}");
        if let Some(digest) = report["digests"]["sha256"].as_str() {
            scene.run(&format!("verify --expect sha256:{digest} source copy")).code(0);
        }
    }
}

#[test]
fn a_copy_in_place_goes_on_and_touches_nothing_outside() {
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    let old = pattern(2, 2 * LEN);
    scene.write("copy", &old);
    let recorded = kill_in_the_middle(&scene, "--in-place --dest-offset 1MiB");
    scene.run("--in-place source copy").code(3).says(&["--resume", "--restart"]);
    let report = resume(&scene, "--in-place --dest-offset 1MiB").code(0).report();
    assert!(number(&report["bytes"]["resumed"]) >= recorded, "{report}");
    let mut expected = old;
    expected[1 << 20..(1 << 20) + LEN].copy_from_slice(&bytes);
    assert_same(&scene.read("copy"), &expected, "the destination");
    assert_eq!(scene.names(), ["copy", "source"]);
}

/// `--restart` discards a map; a file that is not a map was named by mistake.
#[test]
fn restart_never_removes_what_is_no_map() {
    let scene = Scene::new();
    let bytes = scene.source("source", 100_000);
    let precious = pattern(3, 5000);
    scene.write("precious", &precious);
    for line in ["--restart --map precious source copy", "--resume --map precious source copy"] {
        scene.run(line).code(3).says(&["precious"]);
        assert_same(&scene.read("precious"), &precious, "what was not a map");
        assert_eq!(scene.names(), ["precious", "source"]);
    }
    // What was a map once is one to be discarded, however damaged.
    for damaged in [&b"# Mapfile. Created by pcopy in the form"[..], b""] {
        scene.write("map", damaged);
        scene.run("--restart --map map source copy").code(0);
        assert_same(&scene.read("copy"), &bytes, "the copy");
        assert_eq!(scene.names(), ["copy", "precious", "source"]);
        std::fs::remove_file(scene.path("copy")).unwrap();
    }
}

/// A job of one stripe may be long, too.
#[test]
fn one_stripe_is_recorded_as_it_goes() {
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    let job = "--stripe-size 16MiB --io-size 64KiB";
    let line = format!("{job} --limit-rate 1MiB --checkpoint-every 0 --progress json source copy");
    let mut running = scene.pcopy(line.split_whitespace()).start();
    running.wait_until_recorded(1);
    running.child.kill().expect("it is running");
    running.end();
    let report = scene.run(&format!("{job} --json --resume source copy")).code(0).report();
    assert!(number(&report["bytes"]["resumed"]) > 0, "{report}");
    assert_same(&scene.read("copy"), &bytes, "the copy");
}

/// Every refusal of what was left names what helps.
#[test]
fn a_refused_map_names_what_gets_rid_of_it() {
    for (options, destination) in [("", None), ("--in-place", Some("old"))] {
        let scene = Scene::new();
        scene.source("source", 5000);
        if let Some(old) = destination {
            scene.write("copy", old.as_bytes());
        }
        scene.write("copy.pcopy-map", b"# Mapfile. Created by pcopy in the form");
        let line = format!("{options} source copy");
        scene.run(&line).code(3).says(&["copy.pcopy-map", "--resume", "--restart"]);
        // What --restart would not discard is not for --restart to get rid of.
        scene.write("copy.pcopy-map", b"precious");
        let ended = scene.run(&line).code(3).says(&["copy.pcopy-map", "not a map"]);
        assert!(!ended.stderr.contains("--restart"), "{}", ended.stderr);
    }
}

/// To resume is to consent to what the first run would have done, and that
/// would not have replaced what somebody has put there since.
#[test]
fn what_came_to_have_the_final_name_meanwhile_is_not_replaced_unasked() {
    let (scene, bytes, recorded) = killed("");
    let theirs = pattern(5, 5000);
    scene.write("copy", &theirs);
    let before = scene.names();
    resume(&scene, "").code(3).says(&["copy", "exists", "--force"]);
    assert_same(&scene.read("copy"), &theirs, "the file of somebody else");
    assert_eq!(scene.names(), before);
    // With the consent that the message names, it continues there.
    let report = resume(&scene, "--force").code(0).report();
    assert!(number(&report["bytes"]["resumed"]) >= recorded, "{report}");
    assert_same(&scene.read("copy"), &bytes, "the copy");
    assert_eq!(scene.names(), ["copy", "source"]);
}

/// A part without a map: nothing was known to be on the disk yet.
#[test]
fn a_part_without_a_map_is_resumed_from_the_beginning() {
    let scene = Scene::new();
    let bytes = scene.source("source", 100_000);
    scene.write("copy.pcopy-part", &pattern(4, 100_000));
    scene.run("source copy").code(3).says(&["--resume", "--restart"]);
    resume(&scene, "").code(0);
    assert_same(&scene.read("copy"), &bytes, "the copy");
    scene.write("again.pcopy-part", b"");
    scene.run("--resume source again").code(0);
    scene.run("--resume source never-begun").code(0);
}

#[test]
fn two_runs_on_one_destination_are_one_too_many() {
    for options in ["", "--in-place"] {
        let scene = Scene::new();
        let bytes = scene.source("source", LEN);
        if !options.is_empty() {
            scene.write("copy", b"old");
        }
        // For longer than any other run needs, and not to its end.
        let line = format!("{SMALL} --limit-rate 16KiB --progress json {options} source copy");
        let mut first = scene.pcopy(line.split_whitespace()).start();
        first.wait_until_copying();
        for leftovers in ["", "--resume", "--restart"] {
            let second = scene.run(&format!("{options} {leftovers} source copy"));
            second.code(3).says(&["another copy is writing"]);
        }
        first.child.kill().expect("it is running");
        first.end();
        resume(&scene, options).code(0);
        assert_same(&scene.read("copy"), &bytes, "the copy of the first");
    }
}

/// The map is elsewhere: the copy is resumed from it, and both are gone afterwards.
#[test]
fn a_map_may_live_elsewhere() {
    let (scene, bytes, recorded) = killed("--map maps.map");
    let mut names = scene.names();
    // Killed while the map was saved, it may have left a temporary, for the next run.
    names.retain(|name| !name.ends_with(".tmp"));
    assert_eq!(names, ["copy.pcopy-part", "maps.map", "source"]);
    let report = resume(&scene, "--map maps.map").code(0).report();
    assert!(number(&report["bytes"]["resumed"]) >= recorded, "{report}");
    assert_same(&scene.read("copy"), &bytes, "the copy");
    assert_eq!(scene.names(), ["copy", "source"]);
}

/// The command in the message does what the message says.
#[cfg(unix)]
#[test]
fn the_command_in_the_message_resumes() {
    let scene = Scene::new();
    let bytes = scene.source("it's a source\n", LEN);
    let words = ["-v", "--limit-rate", "1MiB", "--", "it's a source\n", "copy"];
    let mut running = scene.pcopy(words).start();
    running.wait_for_line(|line| line.contains("engine"));
    running.signal(rustix::process::Signal::TERM);
    let ended = running.end();
    let command = ended.stderr.split("to go on from here: ").nth(1).expect("a command");
    let command = std::path::PathBuf::from(command.trim_end());
    scene.tool("bash", ["-c".as_ref(), command.as_os_str()]).run().code(0);
    assert_same(&scene.read("copy"), &bytes, "the copy");
}

/// What the copy cannot begin with is refused, with or without `--restart`; only where
/// something was left is it said that it is gone.
#[test]
fn a_restart_without_anything_left_is_refused_as_any_copy() {
    let ways = ["--reflink always", "--engine direct", "--engine splice", "--engine offload"];
    let ends = ["", "--in-place", "--force", "--split 1MiB"];
    let mut refused = 0;
    for options in ways.iter().flat_map(|way| ends.map(|end| format!("{way} {end}"))) {
        let scene = Scene::new();
        scene.source("source", LEN);
        if ["in-place", "force"].iter().any(|word| options.contains(word)) {
            scene.write("copy", b"old");
        }
        let run = |scene: &Scene, restart: &str| {
            let ended = scene.run(&format!("--json {restart} {options} source copy"));
            let report = ended.report();
            (ended.status.code(), report["error_kind"].clone(), report["error"].clone())
        };
        let names = scene.names();
        let plain = run(&scene, "");
        if plain.0 != Some(3) {
            continue;
        }
        refused += 1;
        assert_eq!(run(&scene, "--restart"), plain, "{options}: nothing was left");
        assert_eq!(scene.names(), names, "{options}");
    }
    if refused == 0 {
        return skip("this file system refuses no way to move bytes");
    }
    // Whatever is left, were it a map alone, is gone by then.
    for left in ["copy.pcopy-part", "copy.pcopy-map"] {
        let scene = Scene::new();
        scene.source("source", LEN);
        if scene.run("--reflink always source copy").status.code() != Some(3) {
            return skip("this file system shares extents");
        }
        scene.write(left, b"");
        let ended = scene.run("--json --restart --reflink always source copy");
        if cfg!(windows) {
            // There, it is known before anything is discarded.
            ended.code(3);
            assert!(scene.has(left), "{left} was discarded");
            continue;
        }
        let ended = ended.code(5);
        assert_eq!(ended.report()["error_kind"], "discarded", "{left}");
        assert_eq!(scene.names(), ["source"]);
    }
}
