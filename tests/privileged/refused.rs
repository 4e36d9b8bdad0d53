//! What the system would refuse after the last byte, or would let pass and
//! destroy: refused before the first, in a dry run too, with nothing made.

use std::path::Path;
use std::process::Command;

use crate::common::{Ended, Scene, assert_same, copy_program, has_tools, pattern, program, skip};
use crate::devices::{Loop, Mount, possible, tool};

const MIB: usize = 1 << 20;

/// A scene with a source, another file, and a list with one item of that name.
fn scene() -> Scene {
    let scene = Scene::new();
    scene.source("source", 2 * MIB);
    scene.write("other", b"other");
    scene.write("list.csv", b"name,start,len\nold,0,10\n");
    std::fs::create_dir(scene.path("folder")).expect("a folder");
    scene.write("folder/old", b"old");
    scene
}

fn names(scene: &Scene, folder: &str) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(scene.path(folder)).expect("the folder is there");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    names
}

/// Every form of a copy that would replace `folder/old`.
const REPLACING: [&str; 8] = [
    "-f source folder/old",
    "-n -f source folder/old",
    "-f --also folder/old source new",
    "-f --also new source folder/old",
    "-f other old folder",
    "-n -f other old folder",
    "batch -f list.csv --source source --into folder",
    "batch -n -f list.csv --source source --into folder",
];

/// Asserts that each is refused with `texts` and leaves `folder/old` as it was.
#[track_caller]
fn check_replacing(scene: &Scene, run: impl Fn(&str) -> Ended, texts: &[&str]) {
    scene.write("old", b"another of that name");
    let before = names(scene, "folder");
    for line in REPLACING {
        run(line).code(3).says(texts);
        assert_eq!(scene.read("folder/old"), b"old", "{line}");
        assert_eq!(names(scene, "folder"), before, "{line}");
        assert!(!scene.has("new") && !scene.has("new.pcopy-part"), "{line}");
    }
}

/// An attribute of a file, taken away at the end.
struct Attribute {
    path: String,
    letter: &'static str,
}

impl Attribute {
    fn new(path: &Path, letter: &'static str) -> Option<Attribute> {
        if !possible(&["chattr"]) {
            return None;
        }
        let path = path.to_str().expect("test files have plain names").to_owned();
        let set = Command::new("chattr").args([&format!("+{letter}"), &path]).output();
        if !set.expect("chattr is there").status.success() {
            skip("this file system has no such attributes");
            return None;
        }
        Some(Attribute { path, letter })
    }
}

impl Drop for Attribute {
    fn drop(&mut self) {
        let _ = Command::new("chattr").args([&format!("-{}", self.letter), &self.path]).status();
    }
}

#[test]
fn a_file_that_may_not_change_is_not_replaced() {
    for (letter, word) in [("i", "immutable"), ("a", "append-only")] {
        let scene = scene();
        let Some(_attribute) = Attribute::new(&scene.path("folder/old"), letter) else { return };
        check_replacing(&scene, |line| scene.run(line), &["cannot replace", "folder/old", word]);
        scene.run("--in-place source folder/old").code(3).says(&[word]);
        // What is in its place already, or beside it, is not concerned.
        scene.run("-f source folder/new").code(0);
    }
}

#[test]
fn a_folder_that_may_not_change_takes_no_file() {
    for (letter, word) in [("i", "immutable"), ("a", "append-only")] {
        let scene = scene();
        let Some(_attribute) = Attribute::new(&scene.path("folder"), letter) else { return };
        check_replacing(&scene, |line| scene.run(line), &["the folder is", word]);
        let single = scene.run("-f source folder/old").code(3);
        single.says(&["cannot replace", "--in-place writes into it"]);
        for line in ["source folder/new", "-n source folder/new", "--also folder/new source new"] {
            scene.run(line).code(3).says(&["the folder is", word]);
        }
        scene.write("below.csv", b"name,start,len\nfolder/a,0,10\nfolder/b/c,0,10\nok,0,10\n");
        for line in ["batch below.csv", "batch -n below.csv"] {
            let ended = scene.run(&format!("{line} --source source --into .")).code(3);
            ended.says(&["line 2", "line 3", "the folder is", word]);
        }
        assert_eq!(names(&scene, "folder"), ["old"]);
        assert!(!scene.has("ok") && !scene.has("new"));
        // The way that the message names.
        let line = "--in-place --map map source folder/old";
        scene.run(line).code(0);
        assert_same(&scene.read("folder/old"), &scene.read("source"), "in place");
    }
}

#[test]
fn a_file_that_something_is_mounted_on_is_not_replaced() {
    if !possible(&[]) {
        return;
    }
    let scene = scene();
    let file = scene.path("folder/old");
    let file = file.to_str().expect("test files have plain names");
    tool("mount", &["--bind", file, file]);
    let checked = std::panic::catch_unwind(|| {
        check_replacing(&scene, |line| scene.run(line), &["cannot replace", "mounted on it"]);
        scene.run("-f source folder/old").code(3).says(&["--in-place writes into it"]);
        scene.run("--in-place source folder/old").code(0);
    });
    tool("umount", &[file]);
    checked.expect("all checks held");
    scene.run("-f source folder/old").code(0);
}

#[test]
fn another_users_file_in_a_sticky_folder_is_not_replaced() {
    use std::os::unix::fs::PermissionsExt;
    if !possible(&["setpriv"]) {
        return;
    }
    let scene = scene();
    copy_program(&program(), &scene.path("pcopy"));
    let mode = |name: &str, mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(scene.path(name), mode).expect("a mode");
    };
    for (name, bits) in [("", 0o777), ("pcopy", 0o755), ("folder", 0o1777), ("folder/old", 0o666)] {
        mode(name, bits);
    }
    for name in ["source", "other", "list.csv"] {
        mode(name, 0o644);
    }
    let as_user = |line: &str| {
        let user = ["--reuid=65534", "--regid=65534", "--clear-groups", "--", "./pcopy"];
        scene.tool("setpriv", user.into_iter().chain(line.split(' '))).run()
    };
    check_replacing(&scene, as_user, &["cannot replace", "another user", "sticky"]);
    as_user("-f source folder/old").code(3).says(&["--in-place writes into it"]);
    as_user("-n --in-place source folder/old").code(0);
    // What is one's own, and whose folder is not sticky, is replaced.
    as_user("source folder/mine").code(0);
    as_user("-f source folder/mine").code(0);
    mode("folder", 0o777);
    as_user("-f source folder/old").code(0);
}

#[test]
fn swap_space_is_neither_replaced_nor_written() {
    if !possible(&["mkswap", "swapon", "swapoff"]) {
        return;
    }
    let scene = scene();
    let swap = scene.path("swap");
    std::fs::write(&swap, vec![0; MIB]).expect("a file");
    let path = swap.to_str().expect("test files have plain names");
    tool("chmod", &["600", path]);
    tool("mkswap", &["-q", path]);
    let before = scene.read("swap");
    if !Command::new("swapon").arg(path).status().expect("swapon is there").success() {
        return skip("this file system takes no swap files");
    }
    let checked = std::panic::catch_unwind(|| {
        let said = ["in use as swap space"];
        for option in ["-f", "-n -f", "--in-place", "-n --in-place", "--even-if-in-use --in-place"]
        {
            scene.run(&format!("{option} source swap")).code(3).says(&said);
        }
        scene.write("swap.csv", b"name,start,len\nswap,0,10\n");
        scene.run("batch -f swap.csv --source source --into .").code(3).says(&said);
    });
    tool("swapoff", &[path]);
    checked.expect("all checks held");
    assert_same(&scene.read("swap"), &before, "the swap space");
    assert!(!scene.has("swap.pcopy-part"));
}

/// A loop device and its file are one file, whichever is read or written.
#[test]
fn a_loop_device_and_its_own_file_overlap() {
    if !possible(&[]) {
        return;
    }
    let scene = scene();
    let image = scene.source("image", 8 * MIB);
    std::fs::hard_link(scene.path("image"), scene.path("hard")).expect("a link");
    let device = Loop::new(&scene.path("image"), 512);
    let behind = ["--offset", "2097152", "--sizelimit", "4194304"];
    let part = Loop::with(&scene.path("image"), &behind);
    let above = Loop::with(Path::new(&device.path), &["--offset", "1048576"]);
    let all = [&device.path, &part.path, &above.path];
    let line = |text: &str| {
        let names = ["LOOP", "PART", "ABOVE"].into_iter().zip(all);
        names.fold(text.to_owned(), |line, (name, path)| line.replace(name, path))
    };
    for text in [
        "--in-place -r 0+4MiB --dest-offset 1MiB LOOP image",
        "--in-place -r 0+4MiB --dest-offset 1MiB LOOP hard",
        "-n --in-place -r 0+4MiB --dest-offset 1MiB LOOP image",
        "--to-device -r 0+4MiB --dest-offset 1MiB image LOOP",
        "--in-place -r 0+512 --dest-offset 2MiB PART image",
        "--to-device -r 2MiB+512 image PART",
        "--to-device -r 2MiB+512 LOOP PART",
        "--to-device -r 0+1MiB --dest-offset 1MiB PART ABOVE",
        "--in-place -r 0+512 --dest-offset 1MiB ABOVE image",
        "--to-device -r 1MiB+1 image ABOVE",
    ] {
        scene.run(&line(text)).code(3).says(&["overlap in the same"]);
    }
    scene.write("image.csv", b"name,start,len\nimage,0,10\n");
    for text in [
        "-f LOOP image",
        "-n -f ABOVE hard",
        "-f --also image LOOP new",
        "batch -f image.csv --source ABOVE --into .",
    ] {
        scene.run(&line(text)).code(3).says(&["are the same file"]);
    }
    assert_same(&scene.read("image"), &image, "the image");
    // What is apart is copied, as within one file.
    for text in [
        "--in-place -r 0+1MiB --dest-offset 6MiB LOOP image",
        "--to-device -r 1MiB+1MiB image PART",
        // What is written behind the first MiB changes the time of the source, which is
        // no fault of the source.
        "--engine direct --to-device -r 0+2MiB image PART",
        "--to-device -r 0+1MiB --dest-offset 5MiB PART LOOP",
        "--in-place -r 0+512 --dest-offset 0 ABOVE image",
    ] {
        scene.run(&line(text)).code(0);
    }
}

/// A file system on a loop device on an image, with another one in it.
struct Nested {
    scene: Scene,
    image: String,
    // In the order of taking down.
    _inner: Mount,
    _outer: Mount,
}

impl Nested {
    fn new() -> Option<Nested> {
        if !possible(&["mkfs.ext4"]) {
            return None;
        }
        let scene = scene();
        let format = |name: &str, mib: u64| {
            let path = scene.path(name);
            std::fs::File::create(&path).and_then(|file| file.set_len(mib << 20)).expect("a file");
            tool("mkfs.ext4", &["-q", "-F", "-m", "0", path.to_str().expect("a plain name")]);
            path.to_str().expect("a plain name").to_owned()
        };
        let image = format("image", 48);
        let outer = Mount::new(&scene, "outer", &["-o", "loop", &image]);
        let inside = format("outer/image", 16);
        let inner = Mount::new(&scene, "inner", &["-o", "loop", &inside]);
        scene.write("outer/file", &pattern(3, MIB));
        scene.write("inner/file", &pattern(4, MIB));
        Some(Nested { scene, image, _inner: inner, _outer: outer })
    }
}

#[test]
fn what_lies_on_an_image_is_not_read_onto_itself() {
    let Some(nested) = Nested::new() else { return };
    let scene = &nested.scene;
    scene.write("below.csv", b"name,start,len\nok,0,10\ninner/a,0,10\n");
    for line in [
        "-r 0+4096 image outer/new",
        "-n -r 0+4096 image outer/new",
        "-r 0+4096 image inner/new",
        "-r 0+4096 --in-place image outer/file",
        "-r 0+4096 --also inner/new image new",
        "image other outer",
        "batch list.csv --source image --into inner/new",
        "batch -n list.csv --source image --into outer",
        "batch below.csv --source image --into .",
        "-r 0+4096 outer/image inner/new",
    ] {
        let ended = scene.run(line).code(3);
        ended.says(&["lies on the device being read", "--allow-same-device"]);
        let made = ["new", "ok", "outer/new", "inner/new"].into_iter().find(|name| scene.has(name));
        assert_eq!(made, None, "{line}");
    }
    scene.run("--allow-same-device -r 0+4096 image outer/new").code(0);
    // Two files that lie on one disk by different ways are two files.
    for line in ["inner/file outer/a", "outer/file inner/a", "-r 0+4096 image elsewhere"] {
        scene.run(line).code(0);
    }
    // Another device on the same image.
    let device = Loop::new(Path::new(&nested.image), 512);
    let line = format!("-r 0+4096 {} outer/new", device.path);
    scene.run(&line).code(3).says(&["lies on the device being read", "--allow-same-device"]);
    for file in ["outer/file", "inner/file"] {
        let line = format!("-n --to-device {file} {}", device.path);
        scene.run(&line).code(3).says(&["holds"]);
    }
}

#[test]
fn an_image_that_is_mounted_is_not_written() {
    let Some(nested) = Nested::new() else { return };
    let scene = &nested.scene;
    for line in [
        "--in-place other image",
        "-n --in-place other image",
        "--in-place --also outer/image other image",
        "--in-place other outer/image",
        "--in-place outer/file image",
    ] {
        let ended = scene.run(line).code(3);
        ended.says(&["in use: mounted at", "loop", "--even-if-in-use"]);
    }
    scene.run("-n --in-place --even-if-in-use other outer/image").code(0);
    scene.run("--in-place --even-if-in-use outer/file image").code(3).says(&["holds"]);
    // By a rename its user keeps the old file, which is worth a word.
    scene.run("-f -v other outer/image").code(0).says(&["in use", "keeps the old file"]);
}

/// Where it is mounted may be out of sight, or a partition, or not at all.
#[test]
fn an_image_that_is_mounted_elsewhere_is_not_written() {
    if !possible(&["mkfs.ext4", "unshare"]) || !has_tools(&["sh"]) {
        return;
    }
    let scene = scene();
    scene.write("image", &vec![0; 16 * MIB]);
    let image = scene.path("image");
    tool("mkfs.ext4", &["-q", "-F", image.to_str().expect("a plain name")]);
    std::fs::create_dir(scene.path("there")).expect("a folder");
    // The last word keeps the shell, and with it the first mount.
    let script = "mount -o loop,ro image there && \"$0\" --in-place other image; echo code $?; \
                  unshare --mount sh -c 'umount there; \"$0\" --in-place other image; echo code $?' \"$0\"; \
                  umount there";
    let mut shell = scene.tool("unshare", ["--mount", "sh", "-c", script]);
    shell.command.arg(program());
    let ended = shell.run().says(&["mounted at", "another program uses it"]);
    assert_eq!(ended.out().matches("code 3").count(), 2, "{ended:?}");
    // A loop device that nobody uses is not a reason.
    let device = Loop::new(&image, 512);
    scene.run("-n --in-place other image").code(0);
    let node = std::fs::File::open(&device.path).expect("the device");
    scene.run("--in-place other image").code(0);
    drop(node);
}

/// The map of a device lies in the working directory, and nothing else gets its name.
#[test]
fn the_map_of_a_device_is_no_other_file_of_the_copy() {
    if !possible(&[]) {
        return;
    }
    let scene = scene();
    scene.write("image", &vec![0; 4 * MIB]);
    let device = Loop::new(&scene.path("image"), 512);
    let name = Path::new(&device.path).file_name().expect("a name").to_string_lossy().into_owned();
    for option in ["--digest-file", "--log"] {
        let line = format!(
            "--to-device -r 0..4096 --digest md5 {option} {name}.pcopy-map source {}",
            device.path
        );
        scene.run(&line).code(2).says(&[option, "the map of the destination"]);
        assert_same(&scene.read("image"), &vec![0; 4 * MIB], option);
    }
}

/// The map of a device lies in the working directory, which may be that of devices.
#[test]
fn no_map_among_the_devices() {
    if !possible(&[]) {
        return;
    }
    let scene = scene();
    scene.write("image", &vec![0; 4 * MIB]);
    let device = Loop::new(&scene.path("image"), 512);
    let mut run = scene.pcopy(["--to-device", "-r", "0..4096"]);
    run.command.arg(scene.path("source")).arg(&device.path).current_dir("/dev");
    run.run().code(3).says(&["pcopy-map", "--map names another place"]);
    assert!(!Path::new(&format!("{}.pcopy-map", device.path)).exists());
}
