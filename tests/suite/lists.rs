//! Lists and images that mean something else than they seem to: taken in the
//! sense of the program that made them, or refused with the way out.

#[cfg(unix)]
use crate::common::has_tools;
use crate::common::{Scene, assert_same};

const LEN: usize = 1 << 20;

/// A scene with a source, and a list.
fn scene(name: &str, list: &str) -> (Scene, Vec<u8>) {
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    scene.write(name, list.as_bytes());
    (scene, bytes)
}

/// Each option that a refused list names takes the rest of it.
#[test]
fn one_bad_row_does_not_cost_the_others() {
    let rows = "good,0,512\noutside,1048000,5000\nfar,2MiB,5\ngood,512,10\n../up,0,1\n";
    let list = format!("name,start,len\n{rows}");
    let line = "batch l.csv --source source --into o";
    let named = ["--skip-outside", "--clamp", "--skip-names", "--skip-clashes", "--number-clashes"];
    let (scene, bytes) = self::scene("l.csv", &list);
    let ended = scene.run(line).code(3).says(&named);
    assert_eq!(ended.stderr.lines().count(), 7, "{}", ended.stderr);
    assert!(!scene.has("o"));

    let ended = scene.run(&format!("{line} --skip-outside --skip-names --skip-clashes")).code(0);
    ended.says(&["2 left out", "'outside', line 3", "'../up', line 6", "'good', line 5"]);
    assert_same(&scene.read("o/good"), &bytes[..512], "good");
    assert_eq!(std::fs::read_dir(scene.path("o")).unwrap().count(), 1);

    let (scene, bytes) = self::scene("l.csv", &list);
    scene.run(&format!("{line} --clamp --skip-names --number-clashes")).code(0);
    assert_same(&scene.read("o/outside"), &bytes[1_048_000..], "cut");
    assert_same(&scene.read("o/good~2"), &bytes[512..522], "numbered");
    assert_eq!(std::fs::read_dir(scene.path("o")).unwrap().count(), 3);
}

#[test]
fn columns_that_are_not_known_have_a_way_out() {
    let (scene, bytes) = scene("l.csv", "Datei;type;start;len\na;jpg;0;512\n");
    let line = "batch l.csv --source source --into o";
    scene.run(line).code(2).says(&["known columns are name", "--columns", "--ignore-columns"]);
    scene.run(&format!("{line} --columns name=Datei")).code(2).says(&["\"type\""]);
    scene.run(&format!("{line} --columns name=Datei --ignore-columns")).code(0);
    assert_same(&scene.read("o/a"), &bytes[..512], "a");
    scene.run(&format!("{line} --columns nam=Datei")).code(2).says(&["known are name"]);
}

/// What holds a disk packed has other bytes where the disk has its files.
#[test]
fn ranges_of_a_disk_are_not_those_of_an_image_that_is_packed() {
    let heads: [(&[u8], &str); 7] = [
        (b"QFI\xfb", "qemu-nbd"),
        (b"KDMV", "qemu-nbd"),
        (b"conectix", "qemu-nbd"),
        (b"vhdxfile", "qemu-nbd"),
        (b"EVF\x09\x0d\x0a\xff\x00", "ewfmount"),
        (b"\x1f\x8b\x08", "gzip -dc"),
        (b"\x28\xb5\x2f\xfd", "zstd -dc"),
    ];
    for (head, tool) in heads {
        let (scene, mut bytes) = scene("l.csv", "name,start,len\na,4096,10\n");
        bytes[..head.len()].copy_from_slice(head);
        scene.write("source", &bytes);
        let line = "batch l.csv --source source --into o";
        scene.run(line).code(3).says(&["line 2", "container", tool, "--ignore-container"]);
        assert!(!scene.has("o"));
        scene.run(&format!("{line} --ignore-container")).code(0);
        assert_same(&scene.read("o/a"), &bytes[4096..4106], "as it is");
        // A whole copy is a copy of the file.
        let ended = scene.run("source copy").code(0);
        assert!(!ended.stderr.contains("container"), "{}", ended.stderr);
        scene.write("w.csv", b"name\nw\n");
        scene.run("batch w.csv --source source --into o").code(0);
        scene.run("-r 4096+10 source part").code(0).says(&["container", tool]);
        let ended = scene.run("-q -r 4096+10 -f source part").code(0);
        assert_eq!(ended.stderr, "");
    }
}

/// A GPT that begins at byte 4096 is that of a disk with such sectors.
#[test]
fn sectors_of_an_image_are_those_of_its_disk() {
    let (scene, mut bytes) = scene("l.csv", "name,start,len,unit\na,2,1,sector\n");
    bytes[4096..4104].copy_from_slice(b"EFI PART");
    scene.write("source", &bytes);
    scene.run("-r 2s+1s source copy").code(0);
    assert_same(&scene.read("copy"), &bytes[8192..12_288], "in sectors of 4096");
    let line = "batch l.csv --source source --into";
    scene.run(&format!("{line} o")).code(0);
    assert_same(&scene.read("o/a"), &bytes[8192..12_288], "in sectors of 4096");
    scene.run(&format!("{line} p --sector-size 512")).code(0);
    assert_same(&scene.read("p/a"), &bytes[1024..1536], "in sectors that were named");
    scene.run(&format!("{line} p --sector-size 500")).code(2);
    bytes[512..520].copy_from_slice(b"EFI PART");
    scene.write("source", &bytes);
    scene.run("-f -r 2s+1s source copy").code(0);
    assert_same(&scene.read("copy"), &bytes[1024..1536], "in sectors of 512");
}

#[cfg(target_os = "linux")]
#[test]
fn partitions_as_sfdisk_lists_them() {
    if !has_tools(&["sfdisk"]) {
        return;
    }
    let scene = Scene::new();
    let mut image = scene.source("image", 32 << 20);
    image[..1 << 20].fill(0);
    scene.write("image", &image);
    let script = "label: gpt\nsize=2048,name=a\nsize=8192,name=\"b c\"\n";
    let made = scene.tool("sfdisk", ["-q", "image"]).with_input(script.as_bytes());
    if !made.status.success() {
        return crate::common::skip("sfdisk makes no table here");
    }
    let image = scene.read("image");
    for option in ["-J", "-d"] {
        let list = scene.tool("sfdisk", [option, "image"]).run().code(0);
        let into = format!("out{option}");
        let run = scene.pcopy(["batch", "-", "--source", "image", "--into", &into]);
        run.with_input(&list.stdout).code(0);
        assert_same(&scene.read(format!("{into}/001-a.img")), &image[1 << 20..2 << 20], option);
        assert_same(&scene.read(format!("{into}/002-b_c.img")), &image[2 << 20..6 << 20], option);
    }
}

/// Of the command that is shown, a system has its own name of the program.
#[cfg(unix)]
#[test]
fn a_command_that_is_misspelt_or_comes_late_is_named() {
    // What clap makes of such words leads away from what is wrong.
    let late = Scene::new().run("-q batch list.csv --source a --into o").code(2);
    assert!(!late.stderr.contains("tip:"), "{}", late.stderr);
    let (scene, _) = scene("l.csv", "name\na\n");
    for (line, says) in [
        ("verfy source copy", "did you mean the command `verify`?"),
        ("batc l.csv --source source", "did you mean the command `batch`?"),
        ("devics", "did you mean the command `devices`?"),
        ("--json verify source source", "pcopy verify --json source source"),
        ("-n batch l.csv --source source --into o", "batch -n l.csv --source source --into o"),
        ("--quiet devices", "the command `devices` comes before its options"),
        ("-q batch list.csv --source a --into o", "pcopy batch -q list.csv --source a --into o"),
        ("compare a b", "did you mean the command `verify`?"),
    ] {
        scene.run(line).code(2).says(&[says]);
    }
    // A file of that name is a file.
    scene.write("verfy", b"x");
    scene.run("verfy copy").code(0);
    scene.run("-- batch copy2").code(3).says(&["cannot open source 'batch'"]);
}
