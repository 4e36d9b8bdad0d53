//! Every name a file system takes is copied, and shown so that a terminal
//! takes no harm.

use std::ffi::{OsStr, OsString};

use crate::common::{Scene, assert_same};

/// Copies from a file of that name, and to one.
#[track_caller]
fn check(name: &OsStr) {
    let scene = Scene::new();
    let bytes = scene.source(name, 5000);
    let arguments = [OsStr::new("-t2"), OsStr::new("--"), name, OsStr::new("copy")];
    scene.pcopy(arguments).run().code(0);
    assert_same(&scene.read("copy"), &bytes, "from the name");
    std::fs::remove_file(scene.path(name)).unwrap();
    scene.pcopy([OsStr::new("--"), OsStr::new("copy"), name]).run().code(0);
    assert_same(&scene.read(name), &bytes, "to the name");
    let again = scene.pcopy([OsStr::new("--"), OsStr::new("copy"), name]).run().code(3);
    assert!(!again.stderr.contains('\x1b'), "{:?}", again.stderr);
    assert_eq!(again.stderr.lines().count(), 1, "{:?}", again.stderr);
}

#[test]
fn ordinary_and_odd_names() {
    for name in ["file", ".hidden", "two words", "-dash", "--force", "ä€😀", "a.pcopy-part", "a'b"]
    {
        check(OsStr::new(name));
    }
}

#[test]
fn names_of_the_greatest_length() {
    check(&OsString::from("n".repeat(255)));
    check(&OsString::from("n".repeat(244)));
    #[cfg(unix)]
    check(&OsString::from("€".repeat(85)));
}

/// Longer than the 260 characters that old calls of Windows take.
#[test]
fn long_paths() {
    let scene = Scene::new();
    let folder: std::path::PathBuf = (0..6).map(|_| "f".repeat(60)).collect();
    std::fs::create_dir_all(scene.path(&folder)).unwrap();
    let (source, copy) = (folder.join("source"), folder.join("copy"));
    let bytes = scene.source(&source, 5000);
    scene.pcopy([OsStr::new("-t2"), source.as_os_str(), copy.as_os_str()]).run().code(0);
    assert_same(&scene.read(&copy), &bytes, "relative");
    let (source, copy) = (scene.path(source), scene.path(copy));
    scene.pcopy([OsStr::new("-f"), source.as_os_str(), copy.as_os_str()]).run().code(0);
    scene.write("list.csv", format!("name\n{}/deep\n", "g".repeat(200)).as_bytes());
    let out = scene.path(&folder);
    let batch = [OsStr::new("batch"), OsStr::new("list.csv"), OsStr::new("--source")];
    let batch =
        batch.into_iter().chain([source.as_os_str(), OsStr::new("--into"), out.as_os_str()]);
    scene.pcopy(batch).run().code(0);
    assert_same(&scene.read(folder.join("g".repeat(200)).join("deep")), &bytes, "of a batch");
}

#[cfg(unix)]
#[test]
fn names_that_only_unix_takes() {
    use std::os::unix::ffi::OsStrExt;
    let names: [&[u8]; 6] =
        [b"new\nline", b"\x1b[31mred", b"\xff\xfe\x80", b"tab\tand\rreturn", b"back\\slash", b"*?"];
    for name in names {
        check(OsStr::from_bytes(name));
    }
}

#[test]
fn a_name_in_the_report_is_json_whatever_it_is() {
    let scene = Scene::new();
    // Windows has no quotes in names, but backslashes in paths.
    let name = if cfg!(windows) { r".\source ü" } else { "source \"quoted\"" };
    scene.source(name, 10);
    let report = scene.pcopy(["--json", name, "copy"]).run().code(0).report();
    assert_eq!(report["source"]["path"], name);
}
