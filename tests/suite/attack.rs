//! Somebody plants links and pipes where the copy is about to write, or swaps
//! a folder for a link while it runs: what they point to stays as it is, and
//! nothing waits for ever.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::fs::{CWD, FileType, Mode, RenameFlags};

use crate::common::{Scene, assert_same, pattern};

const LEN: usize = 300_000;

/// How many rounds: the long tier says so.
fn rounds() -> u64 {
    std::env::var("PCOPY_SWAPS").ok().and_then(|text| text.parse().ok()).unwrap_or(50)
}

fn pipe(path: &Path) {
    let mode = Mode::RUSR | Mode::WUSR;
    rustix::fs::mknodat(CWD, path, FileType::Fifo, mode, 0).expect("a pipe can be made");
}

/// Whatever has the name of the part or the map, it is not written through.
#[test]
fn planted_links_and_pipes_are_refused() {
    type Plant = fn(&Path, &Path);
    let plants: [(&str, Plant); 3] = [
        ("link", |victim, name| symlink(victim, name).expect("a link")),
        ("dangling link", |victim, name| {
            symlink(victim.with_extension("x"), name).expect("a link")
        }),
        ("pipe", |_, name| pipe(name)),
    ];
    let mut cases = 0;
    for (what, plant) in plants {
        for name in ["copy.pcopy-part", "copy.pcopy-map"] {
            for leftovers in ["", "--resume", "--restart"] {
                let scene = Scene::new();
                scene.source("source", LEN);
                let victim = pattern(9, 5000);
                scene.write("victim", &victim);
                plant(&scene.path("victim"), &scene.path(name));
                let before = scene.names();
                let ended = scene.run(&format!("{leftovers} source copy")).code(3).says(&[name]);
                // Neither option would help: what is in the way is not a part and no map.
                assert!(!ended.stderr.contains("--re"), "{what} at {name}: {}", ended.stderr);
                assert_same(&scene.read("victim"), &victim, &format!("{what} at {name}"));
                assert_eq!(scene.names(), before, "{what} at {name}, {leftovers}");
                cases += 1;
            }
        }
        // The name under which a map is made is taken, not followed and not waited for.
        let scene = Scene::new();
        let bytes = scene.source("source", LEN);
        let victim = pattern(9, 5000);
        scene.write("victim", &victim);
        plant(&scene.path("victim"), &scene.path("copy.pcopy-map.tmp"));
        let line = "--engine positioned -t 1 --io-size 16KiB --stripe-size 16KiB \
                    --limit-rate 2MiB --checkpoint-every 0 source copy";
        scene.run(line).code(0);
        assert_same(&scene.read("victim"), &victim, what);
        assert_same(&scene.read("copy"), &bytes, what);
        cases += 1;
    }
    println!("measured: planted links and pipes: {cases} cases, victim unchanged in all, 0 hangs");
}

/// Exchanges two names as fast as it can until told to stop; how many times.
fn keep_swapping(one: &Path, other: &Path, stop: &AtomicBool) -> u64 {
    let mut swaps = 0;
    while !stop.load(Relaxed) {
        swaps += u64::from(
            rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).is_ok(),
        );
    }
    swaps
}

/// The folder of the destination is swapped for a link to another folder,
/// again and again. Each copy ends in the folder that was opened, whole, and says so if
/// the path does not lead there, or is refused; the file of the same name in the other folder is
/// never touched. How many end in which way is left to chance; with the folders at rest, it is not.
#[test]
fn a_folder_that_is_swapped_for_a_link_misleads_nobody() {
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    let victim = pattern(9, 5000);
    for folder in ["real", "victims"] {
        std::fs::create_dir(scene.path(folder)).unwrap();
    }
    for name in ["copy", "copy.pcopy-part"] {
        scene.write(Path::new("victims").join(name), &victim);
    }
    symlink(scene.path("victims"), scene.path("link")).unwrap();
    std::fs::rename(scene.path("real"), scene.path("folder")).unwrap();
    let stop = &AtomicBool::new(false);
    let (mut copied, mut refused, mut lost) = (0, 0, 0);
    let swaps = std::thread::scope(|scope| {
        let (one, other) = (scene.path("folder"), scene.path("link"));
        let swapper = scope.spawn(move || keep_swapping(&one, &other, stop));
        let stop_at_the_end = StopAtTheEnd(stop);
        for round in 0..rounds() {
            let ended = scene.run("-t 2 source folder/copy");
            for name in ["copy", "copy.pcopy-part"] {
                let found = scene.read(Path::new("victims").join(name));
                assert_same(&found, &victim, &format!("round {round}: {name} of the victim"));
            }
            match ended.status.code() {
                Some(0) => copied += 1,
                Some(3) => refused += 1,
                // Copied, but the path led to the other folder at the end.
                Some(5) if ended.stderr.contains("its folder was moved") => lost += 1,
                _ => panic!("round {round}: {}\n{}", ended.status, ended.stderr),
            }
            // The real folder has either name now.
            for name in ["folder", "link"] {
                let is_real = scene.path(name).symlink_metadata().is_ok_and(|data| data.is_dir());
                let copy = scene.path(name).join("copy");
                if is_real
                    && let Ok(found) = std::fs::read(&copy)
                    && found != victim
                {
                    assert_same(&found, &bytes, &format!("round {round}: the copy"));
                    let _ = std::fs::remove_file(copy);
                }
            }
            // Removed by mistake if the folders were swapped in between.
            scene.write(Path::new("victims").join("copy"), &victim);
        }
        drop(stop_at_the_end);
        swapper.join().expect("the swapping ends")
    });
    assert!(swaps > 0, "nothing was swapped");
    // At rest each way has one end.
    let is_real = scene.path("folder").symlink_metadata().unwrap().is_dir();
    let (real, link) = if is_real { ("folder", "link") } else { ("link", "folder") };
    scene.run(&format!("-t 2 source {link}/copy")).code(3);
    scene.run(&format!("-t 2 source {real}/rest")).code(0);
    assert_same(&scene.read(Path::new(real).join("rest")), &bytes, "the copy at rest");
    assert_same(&scene.read("victims/copy"), &victim, "the victim at rest");
    println!(
        "measured: a folder swapped for a link: {} copies, {swaps} swaps, {copied} done, {lost} \
         not where the path led, {refused} refused, victim unchanged in all",
        rounds()
    );
}

/// Ends the swapping also when an assertion fails.
struct StopAtTheEnd<'a>(&'a AtomicBool);

impl Drop for StopAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// A link to a file elsewhere appears at the name of the part, again and
/// again, while copies begin there.
#[test]
fn a_link_that_appears_at_the_part_is_not_written_through() {
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    let victim = pattern(9, 5000);
    scene.write("victim", &victim);
    let stop = &AtomicBool::new(false);
    let (mut copied, mut others) = (0, 0);
    std::thread::scope(|scope| {
        let (target, part) = (scene.path("victim"), scene.path("copy.pcopy-part"));
        scope.spawn(move || {
            while !stop.load(Relaxed) {
                let _ = symlink(&target, &part);
                // Mostly not the part itself: some copies shall get through.
                if part.symlink_metadata().is_ok_and(|data| data.is_symlink()) {
                    let _ = std::fs::remove_file(&part);
                }
            }
        });
        let stop_at_the_end = StopAtTheEnd(stop);
        for round in 0..rounds() {
            let ended = scene.run("-t 2 --restart --force source copy");
            assert_same(&scene.read("victim"), &victim, &format!("round {round}: the victim"));
            let is_link = scene.path("copy").symlink_metadata().is_ok_and(|data| data.is_symlink());
            if ended.status.success() {
                copied += 1;
                assert!(!is_link, "round {round}: the link was given the final name");
                assert_same(&scene.read("copy"), &bytes, &format!("round {round}: the copy"));
            } else {
                // Somebody took the part away from under the copy.
                others += 1;
            }
            let _ = std::fs::remove_file(scene.path("copy"));
        }
        drop(stop_at_the_end);
    });
    // Whether any got through while links appeared is a matter of luck.
    let _ = std::fs::remove_file(scene.path("copy.pcopy-part"));
    scene.run("--restart --force source copy").code(0);
    assert_same(&scene.read("copy"), &bytes, "the copy that was left in peace");
    println!(
        "measured: a link appearing at the part: {} copies, {copied} done, {others} refused or \
         failed, victim unchanged in all",
        rounds()
    );
}
