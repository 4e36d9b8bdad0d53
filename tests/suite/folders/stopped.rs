//! Copies of folders that do not come to their end at once: killed, interrupted,
//! or with a source of which something goes away.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::seen::assert_alike;
use super::{make_everything, set_mode};
use crate::common::{Scene, has_tools, is_root, pattern, rounds};

/// Folders with files of which each takes a moment at 2 MiB/s.
fn slow_scene() -> Scene {
    let scene = Scene::new();
    make_everything(&scene, "from");
    for folder in 0..5 {
        let path = scene.path(format!("from/f{folder}"));
        std::fs::create_dir(&path).unwrap();
        for file in 0..8 {
            std::fs::write(path.join(file.to_string()), pattern(file, 70_000)).unwrap();
        }
    }
    std::fs::create_dir(scene.path("to")).unwrap();
    scene
}

const SLOW: &str = "-t 2 --io-size 16KiB --limit-rate 2MiB --progress json";

#[test]
fn killed_at_any_moment_it_is_resumed() {
    let mut killed = 0;
    for round in 0..rounds("PCOPY_FOLDER_KILLS", 6) {
        let scene = slow_scene();
        let mut running = scene.pcopy(format!("-R -p {SLOW} from to").split_whitespace()).start();
        running.wait_until_copied(round * 700_000);
        killed += u64::from(running.kill().was_killed());
        // What has its name is whole, at any moment.
        for (name, seen) in super::look(&scene.path("to/from")) {
            let is_file = seen.kind == "file" && !name.to_string_lossy().contains(".pcopy-");
            let source = std::fs::read(scene.path("from").join(&name));
            assert!(!is_file || source.is_ok_and(|bytes| bytes == seen.content), "{name:?}");
        }
        scene.run("-R -p from to").code(3);
        scene.run("-R -p --resume from to").code(0);
        assert_alike(&scene.path("to/from"), &scene.path("from"), |_| {});
        // And there is nothing left to do.
        scene.run("-R -p --resume from to").code(0).says(&["copied 0 of"]);
        assert_alike(&scene.path("to/from"), &scene.path("from"), |_| {});
        set_mode(&scene.path("to/from/closed"), 0o700);
    }
    assert!(killed > 0, "every run was over before it was killed");
}

#[test]
fn interrupted_it_says_how_to_go_on() {
    if !has_tools(&["bash"]) {
        return;
    }
    let scene = slow_scene();
    let mut running = scene.pcopy(format!("-R {SLOW} from to").split_whitespace()).start();
    running.wait_until_copied(200_000);
    running.signal(rustix::process::Signal::INT);
    let ended = running.end().died_by(rustix::process::Signal::INT);
    let command = crate::common::advised(&ended.stderr).expect("advice");
    assert!(command.contains("--resume") && command.contains("-R"), "{command}");
    let resume = command.replace("--limit-rate 2MiB", "");
    scene.tool("bash", ["-c", &resume]).run().code(0);
    let forget = |seen: &mut super::Seen| {
        seen.modified = (0, 0);
        seen.attributes.clear();
        seen.first.clear();
        (seen.mode, seen.is_sparse) = (0, false);
    };
    assert_alike(&scene.path("to/from"), &scene.path("from"), forget);
    set_mode(&scene.path("to/from/closed"), 0o700);
}

/// What goes away, or changes, fails by itself.
#[test]
fn what_vanishes_costs_nothing_else() {
    let scene = slow_scene();
    let mut running = scene.pcopy(format!("-R {SLOW} from to").split_whitespace()).start();
    running.wait_until_copying();
    let last = Path::new("from/f4");
    std::fs::remove_file(scene.path(last.join("7"))).unwrap();
    std::fs::write(scene.path(last.join("6")), "another content").unwrap();
    let ended = running.end().code(1).says(&["f4/7", "f4/6"]);
    assert!(crate::common::advised(&ended.stderr).is_some(), "{}", ended.stderr);
    assert!(!scene.has("to/from/f4/7") && !scene.has("to/from/f4/6"));
    for name in ["f4/5", "f0/0", "a/b/some"] {
        assert!(
            scene.read(Path::new("to/from").join(name)) == scene.read(Path::new("from").join(name))
        );
    }
    assert!(scene.has("to/from/to a file") && scene.has("to/from/empty"));
    scene.run("-R --resume from to").code(0);
    assert_eq!(scene.read("to/from/f4/6"), b"another content");
    set_mode(&scene.path("to/from/closed"), 0o700);
}

/// Not as root, whom no permission keeps out.
#[test]
fn what_may_not_be_read_costs_nothing_else() {
    if is_root() && !has_tools(&["setpriv"]) {
        return;
    }
    let scene = Scene::new();
    std::fs::create_dir_all(scene.path("from/closed")).unwrap();
    std::fs::create_dir_all(scene.path("from/open")).unwrap();
    std::fs::create_dir(scene.path("to")).unwrap();
    scene.write("from/closed/in", b"in");
    scene.write("from/open/secret", b"secret");
    scene.write("from/open/file", b"file");
    let mode = |name: &str, mode| {
        let path = scene.path(name);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("from/closed", 0o000);
    mode("from/open/secret", 0o000);
    mode("", 0o755);
    mode("to", 0o777);
    let run = |words: &[&str]| match rustix::process::geteuid().is_root() {
        true => {
            let mut run =
                scene.tool("setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups"]);
            run.command.arg(crate::common::program()).args(words);
            run.run()
        }
        false => scene.pcopy(words).run(),
    };
    let ended = run(&["-R", "--json", "from", "to"]);
    // What cannot be compared is not said to be equal.
    let compared = run(&["verify", "-R", "-p", "from", "to"]);
    compared.code(4).says(&["'from/closed': cannot read the folder", "2 could not be compared"]);
    mode("from/closed", 0o700);
    let report =
        ended.code(1).says(&["'from/closed': cannot read the folder", "from/open/secret"]).report();
    assert_eq!(report["items"]["failed"], 2);
    assert_eq!(report["items"]["complete"], 1);
    assert_eq!(report["outcome"], "partial");
    assert_eq!(scene.read("to/from/open/file"), b"file");
    assert!(scene.has("to/from/closed"));
    mode("to/from/closed", 0o700);
}
