//! Promise: a command that a message advises does what is said of it. Each is
//! taken from the message, run by a shell, and ends well or leads on to one
//! that does; so does every option that a refusal names.

use std::ffi::{OsStr, OsString};
use std::fmt::Debug;
use std::os::unix::ffi::OsStrExt;

use rustix::process::Signal;

use crate::common::{Ended, Scene, SmallDisk, assert_same, can_engine, follow, has_tools, pattern};

const LEN: usize = 2 << 20;

/// Slow enough to be in the middle whatever the machine does.
const SLOW: &str =
    "--limit-rate 1MiB --io-size 64KiB --reflink never --checkpoint-every 0 --progress json";

/// Starts it and sends it a signal in the middle of its bytes.
#[track_caller]
fn interrupted(scene: &Scene, arguments: &[&OsStr]) -> Ended {
    let slow = SLOW.split(' ').map(OsStr::new);
    // Behind the name of a command.
    let at = usize::from(arguments[0] == "batch");
    let words = arguments[..at].iter().copied().chain(slow).chain(arguments[at..].iter().copied());
    let mut running = scene.pcopy(words).start();
    running.wait_until_copying();
    running.signal(Signal::INT);
    running.end().died_by(Signal::INT)
}

fn words(line: &str) -> Vec<&OsStr> {
    line.split(' ').map(OsStr::new).collect()
}

/// Runs `check` on each of `cases`, side by side: they wait for their rates.
fn side_by_side<C: Sync + Debug>(cases: &[C], check: impl Fn(&C) + Sync) {
    let can_map = can_engine("mmap");
    let can_be = |case: &&C| can_map || !format!("{case:?}").contains("mmap");
    std::thread::scope(|scope| {
        let check = &check;
        cases.iter().filter(can_be).for_each(|case| drop(scope.spawn(move || check(case))));
    });
}

#[test]
fn after_an_interruption_whatever_the_options() {
    let cases = [
        "",
        "--engine mmap -t 2",
        "--engine=mmap",
        "--engine positioned",
        "--restart",
        "--map m",
        "--verify",
        "--digest sha256",
        "--force",
        "-r 100..2000000",
        "--dest-offset 100",
        "--clamp -r ..9MiB",
        "--preserve",
        "--preallocate full",
        "--sparse always",
        "--no-sync",
        "--json",
    ];
    side_by_side(&cases, |&options| {
        let scene = Scene::new();
        let bytes = scene.source("source", LEN);
        if options == "--force" {
            scene.write("copy", b"old");
        }
        let line = format!("{options} source copy");
        let ended = interrupted(&scene, &words(line.trim()));
        follow(&scene, ended, options);
        let copy = scene.read("copy");
        match options {
            "-r 100..2000000" => assert_same(&copy, &bytes[100..2_000_000], options),
            "--dest-offset 100" => assert_same(&copy[100..], &bytes, options),
            _ => assert_same(&copy, &bytes, options),
        }
        let left = scene.names().into_iter().filter(|name| name.contains("pcopy") || name == "m");
        assert_eq!(left.count(), 0, "{options}: {:?}", scene.names());
    });
}

#[test]
fn in_place_and_into_a_directory() {
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    scene.write("copy", &pattern(2, LEN));
    let ended = interrupted(&scene, &words("--in-place source copy"));
    follow(&scene, ended, "in place");
    assert_same(&scene.read("copy"), &bytes, "in place");
    std::fs::create_dir(scene.path("d")).unwrap();
    let ended = interrupted(&scene, &words("source d"));
    follow(&scene, ended, "into a directory");
    assert_same(&scene.read("d/source"), &bytes, "into a directory");
}

#[test]
fn whatever_the_names_are() {
    let names: [&[u8]; 10] = [
        b"two words",
        b"it's \"quoted\" $HOME `x`",
        b"new\nline and \\x41",
        b"\x1b[2Jred",
        b"\xff\xfe0",
        "\u{202e}gpj \u{200b}".as_bytes(),
        b"--restart",
        b"--engine",
        b"~",
        b"a*?[b]!#&;|<>(){}",
    ];
    side_by_side(&names, |&name| {
        let scene = Scene::new();
        let name = OsStr::from_bytes(name);
        let bytes = scene.source(name, LEN);
        let mut copy = OsString::from(name);
        copy.push(".copy");
        let ended = interrupted(&scene, &[OsStr::new("--"), name, &copy]);
        follow(&scene, ended, &format!("{name:?}"));
        assert_same(&scene.read(&copy), &bytes, &format!("{name:?}"));
    });
}

/// A list of a large file, which is resumed, and of some small ones.
fn list(scene: &Scene) -> Vec<u8> {
    let image = scene.source("source", LEN);
    let rows: String = (0..8).map(|n| format!("d/f{n},{},{}\n", n * LEN / 8, LEN / 8)).collect();
    scene.write("list.csv", format!("name,start,len\n{rows}").as_bytes());
    image
}

#[track_caller]
fn assert_batch(scene: &Scene, image: &[u8], what: &str) {
    for (n, piece) in image.chunks(LEN / 8).enumerate() {
        assert_same(&scene.read(format!("o/d/f{n}")), piece, what);
    }
}

#[test]
fn of_a_batch() {
    let cases = [
        "",
        "--engine mmap",
        "--restart",
        "--jobs 2 --digest md5",
        "--report r",
        "--force",
        "--engine positioned",
        "--no-sync",
    ];
    side_by_side(&cases, |&options| {
        let scene = Scene::new();
        let image = list(&scene);
        let line = format!("batch {options} list.csv --source source --into o");
        let ended = interrupted(&scene, &words(&line.replace("batch  ", "batch ")));
        follow(&scene, ended, options);
        assert_batch(&scene, &image, options);
    });
    let scene = Scene::new();
    let bytes = scene.source("a", LEN);
    scene.source("b", LEN);
    std::fs::create_dir(scene.path("d")).unwrap();
    let ended = interrupted(&scene, &words("a b d"));
    follow(&scene, ended, "several");
    assert_same(&scene.read("d/a"), &bytes, "several");
}

#[test]
fn a_batch_that_was_killed_is_led_on_by_what_the_next_run_says() {
    for option in ["--resume", "--restart --force"] {
        let scene = Scene::new();
        let image = list(&scene);
        let line = "batch list.csv --source source --into o";
        let mut slow = words(line);
        slow.extend(words(SLOW));
        let mut running = scene.pcopy(slow).start();
        running.wait_until_copied(400_000);
        running.kill();
        let mut options = String::new();
        for _ in 0..3 {
            let ended = scene.run(&format!("{line} {options}"));
            if ended.status.success() {
                break;
            }
            // Nothing but what is named may be added.
            let named =
                option.split(' ').find(|o| ended.stderr.contains(*o) && !options.contains(*o));
            options += named.unwrap_or_else(|| panic!("{option}: {}", ended.stderr));
            options += " ";
        }
        assert_batch(&scene, &image, option);
    }
}

#[test]
fn when_the_destination_was_full() {
    for line in ["source small/copy", "batch list.csv --source source --into small/o"] {
        let scene = Scene::new();
        let Some(small) = SmallDisk::new(&scene, "small", 3) else { return };
        let image = list(&scene);
        let slow: Vec<&str> = SLOW.split(' ').collect();
        let (first, rest) = line.split_once(' ').unwrap();
        let line = match first {
            "batch" => [&["batch"], &slow[..], &rest.split(' ').collect::<Vec<_>>()].concat(),
            // To another file system, where not every engine gets.
            _ => [&["--engine", "auto"], &slow[..], &[first, rest]].concat(),
        };
        let mut running = scene.pcopy(&line).start();
        running.wait_until_copied(200_000);
        small.fill();
        let ended = running.end();
        if ended.status.success() {
            // All of it had been reserved.
            continue;
        }
        let ended = ended.code(5);
        std::fs::remove_file(scene.path("small/filler")).unwrap();
        follow(&scene, ended, &format!("{line:?}"));
        match first {
            "batch" => assert_same(&scene.read("small/o/d/f7"), &image[LEN / 8 * 7..], "batch"),
            _ => assert_same(&scene.read("small/copy"), &image, "copy"),
        }
    }
}

/// What a wrong digest leaves is kept by the command that the message describes.
#[test]
fn when_the_digest_was_not_as_expected() {
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    let said = scene.run("--expect md5:00000000000000000000000000000000 source copy").code(4);
    said.says(&["leave --expect out and add --resume"]);
    scene.run("--resume source copy").code(0);
    assert_same(&scene.read("copy"), &bytes, "kept");
}

/// A kernel that says it has written, and has not.
#[test]
fn when_what_was_read_back_differs() {
    if !has_tools(&["strace"]) {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    let program = crate::common::program();
    let lie = "trace=pwrite64 -e inject=pwrite64:retval=65536:when=2".split(' ');
    let mut arguments: Vec<&OsStr> = ["-f", "-qq", "-o", "log", "-e"].map(OsStr::new).to_vec();
    arguments.extend(lie.map(OsStr::new));
    arguments.push(program.as_os_str());
    let options = "--engine positioned --io-size 64KiB --verify --digest md5 source copy";
    arguments.extend(words(options));
    let ended = scene.tool("strace", arguments).run();
    if ended.status.code() != Some(4) {
        return crate::common::skip("strace injects nothing here");
    }
    follow(&scene, ended, "read back");
    assert_same(&scene.read("copy"), &bytes, "read back");
}

/// A refusal, and the options that it names: each is tried on a fresh scene.
struct Refused {
    line: &'static str,
    /// Makes the scene, besides a source.
    scene: fn(&Scene),
    /// Options that the message must name.
    named: &'static [&'static str],
}

fn left_over(scene: &Scene) {
    interrupted(scene, &words("source copy"));
}

#[test]
fn every_option_that_a_refusal_names_leads_on() {
    let exists = |scene: &Scene| scene.write("copy", &pattern(3, LEN));
    let cases = [
        Refused { line: "source copy", scene: exists, named: &["--force", "--in-place"] },
        Refused { line: "source copy", scene: left_over, named: &["--resume", "--restart"] },
        Refused { line: "-r ..9MiB source copy", scene: |_| {}, named: &["--clamp"] },
        Refused {
            line: "batch list.csv --source source --into o",
            scene: |scene| {
                list(scene);
                scene.run("batch list.csv --source source --into o").code(0);
            },
            named: &["--resume", "--force"],
        },
        Refused {
            line: "-r ..1MiB source copy",
            scene: |scene| {
                left_over(scene);
            },
            named: &["--restart"],
        },
    ];
    for Refused { line, scene: make, named } in cases {
        for option in named {
            let scene = Scene::new();
            scene.source("source", LEN);
            make(&scene);
            let ended = scene.run(line).code(3).says(&[option]);
            let mut arguments = words(line);
            arguments.insert(usize::from(arguments[0] == "batch"), OsStr::new(option));
            let again = scene.pcopy(&arguments).run();
            let leads_on = again.status.success()
                || named.iter().any(|other| other != option && again.stderr.contains(other));
            assert!(leads_on, "{line} {option}: {}\n{}", ended.stderr, again.stderr);
        }
    }
}
