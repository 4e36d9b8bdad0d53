//! What a file system claims is believed only after a read: holes with bytes in
//! them, files of size 0 with content, sizes that are too large or too small,
//! and devices without a medium.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::common::{Scene, assert_same, has_tools, pattern, program, skip};
use crate::devices::{Loop, possible};
use crate::odd::Odd;

const MIB: usize = 1 << 20;

/// Claims that all, or a part, of a file is a hole, each in another way.
const FALSE_HOLES: [&[&str]; 7] = [
    &["seek=holes"],
    &["seek=holes", "blocks=0"],
    &["seek=end", "blocks=0"],
    &["refuse=lseek:ENXIO", "blocks=0"],
    &["refuse=lseek:ENXIO:2", "blocks=8"],
    // The bytes in the middle, which no sample at the ends would meet.
    &["seek=hole:1048576:1052672", "blocks=8"],
    &["seek=hole:4096:3145728", "blocks=0"],
];

/// A list of a whole source and of a range that is copied by stripes.
const LIST: &[u8] = b"name,start,len\nhead,0,4096\nall,,\npart,1048576,1052672\n";

fn check_list(scene: &Scene, folder: &str, bytes: &[u8], what: &str) {
    let name = |name: &str| format!("{folder}/{name}");
    assert_same(&scene.read(name("head")), &bytes[..4096], what);
    assert_same(&scene.read(name("all")), bytes, what);
    assert_same(&scene.read(name("part")), &bytes[MIB..2 * MIB + 4096], what);
}

#[test]
fn a_hole_with_bytes_in_it_is_data_in_every_form() {
    let scene = Scene::new();
    let Some(mut odd) = Odd::new(&scene, "odd", &[]) else { return };
    let bytes = pattern(1, 4 * MIB + 77);
    std::fs::write(odd.below("s"), &bytes).unwrap();
    scene.write("list", LIST);
    std::fs::create_dir(scene.path("several")).unwrap();
    for switches in FALSE_HOLES {
        let what = &format!("{switches:?}");
        odd.remount(switches);
        for options in ["", "--verify", "--sparse always", "-t 4 --digest md5 --verify"] {
            scene.run(&format!("-f {options} odd/s copy")).code(0);
            assert_same(&scene.read("copy"), &bytes, what);
        }
        scene.write("place", &pattern(2, 5 * MIB));
        scene.run("--in-place --dest-offset 512 odd/s place").code(0);
        assert_same(&scene.read("place")[512..bytes.len() + 512], &bytes, what);
        scene.run("-f --also other odd/s copy").code(0);
        assert_same(&scene.read("other"), &bytes, what);
        assert_same(&scene.run("odd/s -").code(0).stdout, &bytes, what);
        scene.run("-f -r 1MiB..3MiB odd/s range").code(0);
        assert_same(&scene.read("range"), &bytes[MIB..3 * MIB], what);
        scene.run("batch list --source odd/s --into dir -f").code(0);
        check_list(&scene, "dir", &bytes, what);
        scene.run("-f odd/s list several/").code(0);
        assert_same(&scene.read("several/s"), &bytes, what);
        scene.run("-f odd/s odd/there").code(0);
        assert_same(&std::fs::read(odd.below("there")).unwrap(), &bytes, what);
        for name in ["other", "several/s", "several/list"] {
            std::fs::remove_file(scene.path(name)).unwrap();
        }
    }
}

/// What is equal by the claims, and not by the bytes, is found.
#[test]
fn verify_reads_what_is_merely_claimed() {
    let scene = Scene::new();
    let Some(mut odd) = Odd::new(&scene, "odd", &[]) else { return };
    let bytes = pattern(1, 2 * MIB);
    std::fs::write(odd.below("s"), &bytes).unwrap();
    File::create(scene.path("zeros")).unwrap().set_len(2 << 20).unwrap();
    File::create(odd.below("zeros")).unwrap().set_len(2 << 20).unwrap();
    for switches in FALSE_HOLES {
        odd.remount(switches);
        // Either end may lie.
        for ends in ["odd/s zeros", "zeros odd/s", "odd/s odd/zeros", "odd/zeros odd/s"] {
            let ended = scene.run(&format!("verify {ends}")).code(4);
            assert_eq!(ended.out(), "0..2097152\n", "{switches:?} {ends}");
        }
        scene.run("verify zeros odd/zeros").code(0);
    }
}

/// Reading a hole costs time, and no storage.
#[test]
fn holes_that_are_read_are_holes_again() {
    let scene = Scene::new();
    let Some(odd) = Odd::new(&scene, "odd", &[]) else { return };
    let mut bytes = vec![0; 8 * MIB];
    bytes[3 * MIB..3 * MIB + 5000].copy_from_slice(&pattern(1, 5000));
    let file = File::create(odd.below("s")).unwrap();
    file.set_len(8 << 20).unwrap();
    file.write_all_at(&bytes[3 * MIB..3 * MIB + 5000], 3 << 20).unwrap();
    scene.write("list", b"name\nall\n");
    let is_sparse = |name: &str| {
        assert_same(&scene.read(name), &bytes, name);
        let stored = scene.path(name).metadata().unwrap().blocks() * 512;
        assert!(stored < 1 << 20, "{name} takes {stored} bytes");
    };
    let ended = scene.run("--json odd/s copy").code(0);
    is_sparse("copy");
    let report = ended.report();
    assert!(report["bytes"]["holes"].as_u64() > Some(7 << 20), "{report}");
    assert!(report["notes"].to_string().contains("said to be holes are read"), "{report}");
    scene.run("--also other --verify -f odd/s copy").code(0);
    is_sparse("other");
    scene.run("batch list --source odd/s --into dir").code(0);
    is_sparse("dir/all");
    scene.write("place", &pattern(2, 8 * MIB));
    scene.run("--in-place odd/s place").code(0);
    is_sparse("place");
    // And none where none are wanted.
    scene.run("-f --sparse never odd/s copy").code(0);
    assert!(scene.path("copy").metadata().unwrap().blocks() * 512 >= 8 << 20);
}

/// A file system that is believed is not believed against its own count of blocks.
#[test]
fn storage_that_no_data_accounts_for_is_looked_into() {
    if !has_tools(&["strace"]) {
        return;
    }
    let scene = Scene::new();
    let bytes = pattern(1, 4 * MIB);
    scene.write("s", &bytes);
    File::options().write(true).open(scene.path("s")).unwrap().set_len(64 << 20).unwrap();
    scene.write("list", LIST);
    let wanted = |bytes: &[u8]| [bytes, &vec![0; 60 * MIB]].concat();
    // The next data: nowhere, near the end, at the end.
    for fault in ["error=ENXIO", "error=ENXIO:when=3+", "retval=67000000", "retval=67108864"] {
        let lying = |line: &str| {
            let mut run = scene.tool("strace", ["-f", "-qq", "-o", "/dev/null", "-P"]);
            run.command.arg(scene.path("s"));
            run.command.args(["-e", "trace=lseek", "-e", &format!("inject=lseek:{fault}")]);
            run.command.arg(program()).args(line.split(' '));
            run.run().code(0);
        };
        lying("-f --verify s copy");
        assert_same(&scene.read("copy"), &wanted(&bytes), fault);
        // Of a part of it, too: the rest does not account for the storage either.
        lying("-f -r 1MiB..2MiB s copy");
        assert_same(&scene.read("copy"), &bytes[MIB..2 * MIB], fault);
        lying("batch list --source s --into dir -f");
        check_list(&scene, "dir", &wanted(&bytes), fault);
    }
}

#[test]
fn a_file_of_size_0_with_content_is_copied_whole() {
    let scene = Scene::new();
    let Some(mut odd) = Odd::new(&scene, "odd", &[]) else { return };
    std::fs::create_dir(scene.path("several")).unwrap();
    // Nothing, one request, more than one, and more than is read in turn.
    for len in [0, 1, 4096, 300_000, 5 * MIB + 13] {
        let bytes = pattern(1, len);
        std::fs::write(odd.below("s"), &bytes).unwrap();
        for switches in [&["size=0"][..], &["size=4096"], &["size=-1"], &["size=0", "seek=end"]] {
            let what = &format!("{len} bytes, {switches:?}");
            odd.remount(switches);
            if odd.folder().join("s").metadata().unwrap().len() > len as u64 {
                continue;
            }
            for engine in ["auto", "positioned", "splice", "mmap"] {
                scene.run(&format!("-f --engine {engine} odd/s copy")).code(0);
                assert_same(&scene.read("copy"), &bytes, &format!("{what}, {engine}"));
            }
            scene.run("--verify -f --also other odd/s copy").code(0);
            assert_same(&scene.read("other"), &bytes, what);
            assert_same(&scene.run("odd/s -").code(0).stdout, &bytes, what);
            scene.write("list", b"name\nall\n");
            scene.run("batch list --source odd/s --into dir -f").code(0);
            assert_same(&scene.read("dir/all"), &bytes, what);
            scene.run("odd/s list several/").code(0);
            assert_same(&scene.read("several/s"), &bytes, what);
            scene.run("verify odd/s copy").code(0);
            scene.run("verify copy odd/s").code(0);
            let report = scene.run("--json -f odd/s copy").code(0).report();
            assert_eq!(report["source"]["size"], len, "{what}");
            if len > 0 {
                scene.write("wrong", &bytes[..len - 1]);
                scene.run("verify odd/s wrong").code(4);
                let end = format!("-f -r -1 odd/s {}", scene.path("last").display());
                scene.run(&end).code(0);
                assert_same(&scene.read("last"), &bytes[len - 1..], what);
            }
            for name in ["other", "several/s", "several/list"] {
                std::fs::remove_file(scene.path(name)).unwrap();
            }
        }
    }
}

/// Files of the kernel that say that they are empty.
#[test]
fn files_made_up_by_the_kernel_are_not_empty() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    let folder = scene.path("formats");
    std::fs::create_dir(&folder).unwrap();
    let mounted = scene.tool("mount", ["-t", "binfmt_misc", "none", "formats"]).run();
    if !mounted.status.success() {
        return skip("needs binfmt_misc");
    }
    let _unmount = Unmount(folder);
    let bytes = scene.read("formats/status");
    assert!(!bytes.is_empty());
    scene.run("formats/status copy").code(0);
    assert_same(&scene.read("copy"), &bytes, "one file");
    assert_same(&scene.run("formats/status -").code(0).stdout, &bytes, "standard output");
}

/// Some of them cannot even be read at an offset: refused, and never empty.
#[test]
fn what_can_be_read_in_order_only_is_refused() {
    let scene = Scene::new();
    let Some(_odd) = Odd::new(&scene, "odd", &[]) else { return };
    std::fs::create_dir(scene.path("control")).unwrap();
    let _unmount = Unmount(scene.path("control"));
    if !scene.tool("mount", ["-t", "fusectl", "none", "control"]).run().status.success() {
        return skip("needs fusectl");
    }
    // One folder a mount, ours among them.
    let folders = std::fs::read_dir(scene.path("control")).unwrap();
    let folder = folders.flatten().next().expect("a connection").path();
    let file = folder.join("waiting").display().to_string();
    scene.write("list", b"name\nall\n");
    for line in [
        format!("{file} copy"),
        format!("--clamp --verify {file} copy"),
        format!("{file} -"),
        format!("{file} list dir/"),
        format!("batch list --source {file} --into dir"),
        format!("verify {file} list"),
    ] {
        scene.run(&line).code(3).says(&["in order only"]);
        assert!(!scene.has("copy") && !scene.has("dir/all") && !scene.has("dir/waiting"), "{line}");
    }
}

/// A size of 0 and a read that fails leave nothing to go by.
#[test]
fn an_end_that_cannot_be_found_is_refused() {
    let scene = Scene::new();
    let Some(mut odd) = Odd::new(&scene, "odd", &[]) else { return };
    std::fs::write(odd.below("s"), pattern(1, 300_000)).unwrap();
    // At once, and in the middle.
    for fault in ["refuse=read:EIO", "refuse=read:EIO:2"] {
        for line in ["odd/s copy", "--also other odd/s copy", "odd/s -", "verify odd/s odd.below/s"]
        {
            odd.remount(&["size=0", fault]);
            scene.run(line).code(3).says(&["cannot find out by reading how long"]);
            assert!(!scene.has("copy") && !scene.has("other"), "{line}");
        }
    }
}

struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        // Nothing may be mounted there.
        let mut command = Command::new("umount");
        let _ = command.arg("-l").arg(&self.0).stderr(Stdio::null()).status();
    }
}

/// Nothing became shorter: nothing of that length was ever there.
#[test]
fn a_size_that_is_too_large_is_refused_and_clamped() {
    let scene = Scene::new();
    let Some(mut odd) = Odd::new(&scene, "odd", &[]) else { return };
    for (len, switches) in
        [(100, "size=4096"), (0, "size=1"), (5 * MIB, "size=+7"), (4095, "size=1099511627776")]
    {
        let bytes = pattern(1, len);
        std::fs::write(odd.below("s"), &bytes).unwrap();
        odd.remount(&[switches]);
        scene.write("list", b"name\nall\n");
        for line in [
            "odd/s copy",
            "odd/s -",
            "--also other odd/s copy",
            "batch list --source odd/s --into dir",
        ] {
            let ended = scene.run(line).code(3);
            let ended = ended.says(&[&format!("only {len} can be read"), "--clamp"]);
            assert!(!ended.stderr.contains("shorter"), "{}", ended.stderr);
            assert!(!scene.has("copy") && !scene.has("other") && !scene.has("dir/all"), "{line}");
        }
        let report = scene.run("--clamp --json --verify odd/s copy").code(0).report();
        assert_eq!(report["clamped"], true, "{report}");
        assert_same(&scene.read("copy"), &bytes, switches);
        scene.run("verify odd/s copy").code(3);
        scene.run("verify --clamp odd/s copy").code(0);
        // What lies inside is nobody's loss.
        let part = len / 2;
        scene.run(&format!("-r ..{part} odd/s part")).code(0);
        assert_same(&scene.read("part"), &bytes[..part], switches);
        for name in ["copy", "part"] {
            std::fs::remove_file(scene.path(name)).unwrap();
        }
    }
}

/// The end is looked for again when all has been read.
#[test]
fn a_file_without_a_size_that_grows_is_a_changed_source() {
    let scene = Scene::new();
    let Some(odd) = Odd::new(&scene, "odd", &["size=0"]) else { return };
    std::fs::write(odd.below("s"), pattern(1, MIB)).unwrap();
    let path = odd.below("s");
    let modified = path.metadata().unwrap().modified().unwrap();
    let line = "--limit-rate 512KiB --progress json --io-size 4096 odd/s copy";
    let mut run = scene.pcopy(line.split(' ')).start();
    run.wait_until_copying();
    let file = File::options().append(true).open(&path).unwrap();
    file.write_all_at(b"more", MIB as u64).unwrap();
    file.set_modified(modified).unwrap();
    run.end().code(5);
    assert!(!scene.has("copy"));
}

/// A device of size 0 has no medium: nothing is read from it or written to it.
#[test]
fn a_device_without_a_medium_is_refused_in_every_form() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("source", 8192);
    scene.write("empty", b"");
    scene.write("list", b"name\nall\n");
    scene.write("range", b"name,start,len\nnone,0,0\n");
    // One of our own, empty: nobody else can take it meanwhile.
    let device = Loop::new(&scene.path("empty"), 512);
    let path = &device.path;
    let lines = [
        format!("{path} copy"),
        format!("--json --verify --clamp {path} copy"),
        format!("-r 0..0 {path} copy"),
        format!("--also other {path} copy"),
        format!("{path} source dir/"),
        format!("{path} -"),
        format!("batch list --source {path} --into dir"),
        format!("batch range --source {path} --into dir"),
        format!("--to-device source {path}"),
        format!("--to-device empty {path}"),
        format!("verify {path} source"),
        format!("verify source {path}"),
        format!("bench {path} null:"),
    ];
    for line in &lines {
        let ended = scene.run(line).code(3);
        assert!(ended.stderr.contains("no medium"), "{line}: {}", ended.stderr);
        for made in ["copy", "other", "dir/all", "dir/none", "dir/source"] {
            assert!(!scene.has(made), "{line} makes {made}");
        }
    }
    assert_same(&scene.read("source"), &bytes, "the source");
    // In a list that is copied as far as it goes, it costs itself.
    let list = format!("name,source\nnone,{path}\nsome,source\n");
    scene.write("mixed", list.as_bytes());
    scene.run("batch mixed --into dir").code(3).says(&["no medium"]);
}

/// How a file system is made on a device and mounted on a folder, and what that takes.
const OTHERS: [(&str, &[&str], &str); 5] = [
    ("vfat", &["mkfs.vfat"], "mkfs.vfat D && mount -t vfat D F"),
    ("exfat", &["mkfs.exfat", "mount.exfat-fuse"], "mkfs.exfat D && mount.exfat-fuse D F"),
    ("ntfs", &["mkfs.ntfs", "ntfs-3g"], "mkfs.ntfs -q -F D && ntfs-3g D F"),
    ("bindfs", &["bindfs"], "mkdir F.below && bindfs F.below F"),
    (
        "overlay",
        &[],
        "mkdir F.base && mount -t tmpfs none F.base && mkdir F.base/l F.base/u F.base/w && \
         mount -t overlay none -o lowerdir=F.base/l,upperdir=F.base/u,workdir=F.base/w F",
    ),
];

/// Sizes hold there, and are found to; holes that are told of are read.
#[test]
fn other_file_systems_are_copied_from_byte_by_byte() {
    if !possible(&[]) {
        return;
    }
    for (name, tools, line) in OTHERS {
        if !has_tools(tools) {
            continue;
        }
        let scene = Scene::new();
        File::create(scene.path("image")).unwrap().set_len(64 << 20).unwrap();
        std::fs::create_dir(scene.path("f")).unwrap();
        let device = Loop::new(&scene.path("image"), 512);
        let line = line.replace('D', &device.path).replace('F', "f");
        let _unmount = [Unmount(scene.path("f")), Unmount(scene.path("f.base"))];
        let made = scene.tool("sh", ["-ec", &line]).run();
        if !made.status.success() {
            let why = made.stderr.lines().next().unwrap_or_default().to_owned();
            skip(&format!("{name} cannot be mounted: {why}"));
            continue;
        }
        for len in [0, 1, 4096, 300_001] {
            let bytes = scene.source("f/s", len);
            let report = scene.run("-f --verify --json f/s copy").code(0).report();
            assert_same(&scene.read("copy"), &bytes, name);
            let notes = report["notes"].to_string();
            assert!(!notes.contains("found by reading"), "{name}: {report}");
        }
        let file = File::create(scene.path("f/sparse")).unwrap();
        file.set_len(8 << 20).unwrap();
        file.write_all_at(&pattern(1, 5000), 5 << 20).unwrap();
        drop(file);
        scene.run("-f --verify f/sparse copy").code(0);
        assert_same(&scene.read("copy"), &scene.read("f/sparse"), name);
        scene.run("verify f/sparse copy").code(0);
    }
}
