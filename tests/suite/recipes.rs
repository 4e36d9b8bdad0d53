//! The recipes of the book for what other programs print, with those programs:
//! the commands are taken from the page, and run on an image made here.

use crate::book::{recipe, run};
use crate::common::{Scene, assert_same, has_tools, pattern};

/// An ext file system, `disk.img`, with a file that has a hole.
fn file_system(scene: &Scene) -> Vec<u8> {
    let mut film = pattern(3, 400_777);
    film[100_000..300_000].fill(0);
    std::fs::create_dir(scene.path("tree")).expect("a folder");
    scene.write("tree/before", &pattern(2, 5000));
    scene.write("tree/film.mp4", &film);
    let make = "truncate -s 64M disk.img\nmke2fs -q -t ext4 -b 4096 -d tree disk.img 2>/dev/null";
    run(scene, make);
    film
}

#[test]
fn by_debugfs() {
    if !has_tools(&["debugfs", "mke2fs", "sed"]) {
        return;
    }
    let scene = Scene::new();
    let film = file_system(&scene);
    run(&scene, &recipe("debugfs"));
    assert_same(&scene.read("out/film.mp4"), &film, "by debugfs");
}

#[test]
fn by_istat() {
    if !has_tools(&["istat", "ifind", "mke2fs", "sed"]) {
        return;
    }
    let scene = Scene::new();
    let film = file_system(&scene);
    let number = scene.tool("ifind", ["-n", "film.mp4", "disk.img"]).run().code(0).out();
    let recipe = recipe("\"film.mp4\"").replace(" 13 ", &format!(" {} ", number.trim()));
    run(&scene, &recipe);
    assert_same(&scene.read("out/film.mp4"), &film, "by istat");
}

/// What a program that looks for JPEG takes for one, with `len` bytes in it.
fn picture(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes =
        b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00".to_vec();
    bytes.extend(b"\xff\xdb\x00\x43\x00".iter().chain(&[0; 64]));
    bytes.extend(b"\xff\xc0\x00\x0b\x08\x00\x10\x00\x10\x01\x01\x11\x00\xff\xc4\x00\x14\x00");
    bytes.extend([0; 17].iter().chain(b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"));
    bytes.extend(pattern(seed, len).iter().map(|byte| byte & 0x7f));
    bytes.extend(b"\xff\xd9");
    bytes
}

/// A disk with two of them, `disk.img`.
fn disk(scene: &Scene) -> [Vec<u8>; 2] {
    let pictures = [picture(1, 20_000), picture(2, 70_001)];
    let mut disk = vec![0; 4 << 20];
    for (picture, at) in pictures.iter().zip([100 * 512, 3000 * 512]) {
        disk[at..at + picture.len()].copy_from_slice(picture);
    }
    scene.write("disk.img", &disk);
    pictures
}

#[test]
fn by_scalpel() {
    if !has_tools(&["scalpel", "grep", "tr"]) {
        return;
    }
    let scene = Scene::new();
    let pictures = disk(&scene);
    scene.write("scalpel.conf", b"jpg y 5242880 \\xff\\xd8\\xff???JFIF \\xff\\xd9\n");
    run(&scene, &recipe("scalpel"));
    for (picture, name) in pictures.iter().zip(["out/00000000.jpg", "out/00000001.jpg"]) {
        assert_same(&scene.read(name), picture, name);
    }
}

#[test]
fn by_foremost() {
    if !has_tools(&["foremost", "grep", "tr"]) {
        return;
    }
    let scene = Scene::new();
    let pictures = disk(&scene);
    run(&scene, &recipe("foremost"));
    for (picture, name) in pictures.iter().zip(["out/00000100.jpg", "out/00003000.jpg"]) {
        assert_same(&scene.read(name), picture, name);
    }
}

/// bulk_extractor is in no package of Debian, so its list is written here, as its
/// manual shows it: everything but the first command of the recipe is run.
#[test]
fn by_bulk_extractor() {
    if !has_tools(&["grep", "tr", "sed"]) {
        return;
    }
    let scene = Scene::new();
    let disk = pattern(4, 1 << 20);
    scene.write("disk.img", &disk);
    std::fs::create_dir(scene.path("found")).expect("a folder");
    let list = "\u{feff}# BANNER FILE NOT PROVIDED (-b option)\n\
                # BULK_EXTRACTOR-Version: 2.0.0\n# Feature-Recorder: email\n\
                # Filename: disk.img\n# Feature-File-Version: 1.1\n\
                50000\tme@example.org\tTo: me@example.org\n\
                70000-GZIP-320\tyou@example.org\tx you@example.org\n\
                1048000\tme@example.org\tcc 12\tme@example.org\n\
                50000\tex@example.org\tTo: ex@example.org\n";
    scene.write("found/email.txt", list.as_bytes());
    let recipe = recipe("bulk_extractor");
    let (_, rest) = recipe.split_once('\n').expect("it has more lines");
    run(&scene, rest);
    assert_eq!(std::fs::read_dir(scene.path("out")).expect("a folder").count(), 3);
    assert_same(&scene.read("out/email-50000"), &disk[50_000..54_096], "the first");
    assert_same(&scene.read("out/email-50000~2"), &disk[50_000..54_096], "at the same place");
    assert_same(&scene.read("out/email-1048000"), &disk[1_048_000..], "at the end");
}

/// The list of a container is of the file, and the disk is taken out of it.
#[test]
fn by_qemu_img() {
    if !has_tools(&["qemu-img"]) {
        return;
    }
    let scene = Scene::new();
    let mut disk = pattern(5, 3_000_000);
    disk[200_000..1_500_000].fill(0);
    disk.resize(3_145_728, 0);
    scene.write("disk.raw", &disk);
    run(
        &scene,
        "qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2\n\
         qemu-img map --output=json disk.qcow2 > map.json\n\
         pcopy batch map.json --source disk.qcow2 --into-file out.raw\n\
         pcopy batch map.json --source disk.qcow2 --into out --name again.raw",
    );
    assert_same(&scene.read("out.raw"), &disk, "onto one file");
    assert_same(&scene.read("out/again.raw"), &disk, "as a batch");
    let before = pattern(6, 3_200_000);
    scene.write("old.raw", &before);
    run(&scene, "pcopy batch map.json --source disk.qcow2 --in-place --into-file old.raw --verify");
    let found = scene.read("old.raw");
    assert_same(&found[..disk.len()], &disk, "zeros are zeros there");
    assert_same(&found[disk.len()..], &before[disk.len()..], "behind the disk");
}

/// The lists of a partition table, as its programs print them here.
#[test]
fn by_programs_that_list_partitions() {
    if !has_tools(&["sfdisk", "parted"]) {
        return;
    }
    let scene = Scene::new();
    let disk = scene.source("disk.img", 16 << 20);
    let table = "label: gpt\\nstart=2048, size=4096, name=one\\nstart=8192, size=2048\\n";
    run(&scene, &format!("printf '{table}' | sfdisk -q disk.img"));
    let lists = [
        "sfdisk -J disk.img",
        "sfdisk -d disk.img",
        "parted -sm disk.img unit B print",
        "parted -sm disk.img unit s print",
    ];
    for list in lists {
        run(&scene, &format!("rm -rf out\n{list} | pcopy batch - --source disk.img --into out"));
        let second = std::fs::read_dir(scene.path("out")).expect("a folder");
        let second = second.map(|entry| entry.expect("an entry").path());
        let second = second.max().expect("two files");
        assert_same(&scene.read("out/001-one.img"), &disk[1 << 20..3 << 20], list);
        assert_same(&std::fs::read(second).expect("a file"), &disk[4 << 20..5 << 20], list);
        // Each to its own offset of another disk.
        let before = pattern(9, 16 << 20);
        scene.write("other.img", &before);
        let onto = "pcopy batch - --source disk.img --in-place --into-file other.img";
        run(&scene, &format!("{list} | {onto}"));
        let mut expected = before;
        for range in [1 << 20..3 << 20, 4 << 20..5 << 20] {
            expected[range.clone()].copy_from_slice(&disk[range]);
        }
        assert_same(&scene.read("other.img"), &expected, list);
    }
}
