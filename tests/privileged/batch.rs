//! Batches off real block devices and onto real file systems: whole indexes
//! as `fiwalk` and `filefrag` write them, bad sectors, a file system that is full.

use std::path::Path;

use serde_json::{Value, json};

use crate::common::{Scene, assert_same, has_tools, pattern};
use crate::devices::{BAD_DEVICE_TOOLS, BadDevice, Loop, Mount, possible, tool};

/// Files with every kind of length, below a folder `files`.
fn make_files(scene: &Scene) -> Vec<(String, Vec<u8>)> {
    std::fs::create_dir_all(scene.path("files/sub/deeper")).expect("folders can be made");
    let folders = ["", "sub/", "sub/deeper/"];
    let lengths = [0, 1, 511, 512, 4095, 4096, 4097, 65_536, 300_001];
    let mut files: Vec<_> = (0..300)
        .map(|n| {
            let name = format!("{}file {n}.bin", folders[n % 3]);
            (name, pattern(n as u64 + 1, lengths[n % lengths.len()]))
        })
        .collect();
    files.push(("sub/large.bin".to_owned(), pattern(1000, (200 << 20) + 77)));
    for (name, bytes) in &files {
        scene.write(Path::new("files").join(name), bytes);
    }
    files
}

#[track_caller]
fn assert_carved(scene: &Scene, files: &[(String, Vec<u8>)], what: &str) {
    for (name, bytes) in files {
        assert_same(&scene.read(Path::new("out").join(name)), bytes, &format!("{what}: {name}"));
    }
}

/// Indexes the image with fiwalk and carves all of it off a loop device.
#[track_caller]
fn check_fiwalk(scene: &Scene, files: &[(String, Vec<u8>)], what: &str) {
    scene.tool("fiwalk", ["-X", "index.xml", "image"]).run().code(0);
    let device = Loop::read_only(&scene.path("image"));
    let line = format!(
        "batch index.xml --source {} --into out --skip-unmappable -t 4 --digest sha256",
        device.path
    );
    scene.run(&line).code(0);
    assert_carved(scene, files, what);
}

#[test]
fn the_whole_index_of_an_ext4_image() {
    if !possible(&["mkfs.ext4", "fiwalk"]) {
        return;
    }
    let scene = Scene::new();
    let files = make_files(&scene);
    scene.write("image", b"");
    scene.tool("truncate", ["-s", "320M", "image"]).run().code(0);
    scene.tool("mkfs.ext4", ["-q", "-F", "-b", "1024", "-d", "files", "image"]).run().code(0);
    check_fiwalk(&scene, &files, "ext4");
}

#[test]
fn the_whole_index_of_a_fat_image() {
    if !possible(&["mkfs.vfat", "mcopy", "fiwalk"]) {
        return;
    }
    let scene = Scene::new();
    let files = make_files(&scene);
    scene.write("image", b"");
    scene.tool("truncate", ["-s", "320M", "image"]).run().code(0);
    scene.tool("mkfs.vfat", ["-F", "32", "image"]).run().code(0);
    scene.tool("sh", ["-c", "mcopy -s -i image files/* ::/"]).run().code(0);
    check_fiwalk(&scene, &files, "FAT");
}

/// Files fragmented on purpose: written in turns onto a mounted ext4.
#[test]
fn fragmented_files_by_filefrag() {
    if !possible(&["mkfs.ext4", "filefrag"]) {
        return;
    }
    let scene = Scene::new();
    scene.write("image", b"");
    scene.tool("truncate", ["-s", "96M", "image"]).run().code(0);
    scene.tool("mkfs.ext4", ["-q", "-F", "image"]).run().code(0);
    let device = Loop::new(&scene.path("image"), 512);
    let mount = Mount::new(&scene, "mounted", &[&device.path]);
    let mut files: Vec<_> = (0..8).map(|n| (format!("f{n}"), Vec::new())).collect();
    for turn in 0..6 {
        for (seed, (name, bytes)) in (1..).zip(&mut files) {
            use std::io::Write;
            let path = mount.folder.join(&*name);
            let open = std::fs::OpenOptions::new().create(true).append(true).open(path);
            let more = pattern(seed + turn * 100, 200_000);
            let mut file = open.expect("a file");
            file.write_all(&more).expect("there is room");
            file.sync_all().expect("it can be synced");
            bytes.extend(more);
        }
    }
    let index = tool("sh", &["-c", &format!("filefrag -v {}/f*", mount.folder.display())]);
    drop(mount);
    scene.write("index.txt", index.as_bytes());
    device.flush();
    let prefix = scene.path("mounted");
    let line = format!(
        "batch index.txt --source {} --into out --strip-prefix {}",
        device.path,
        prefix.display()
    );
    scene.run(&line).code(0).says(&["8 of 8"]);
    assert_carved(&scene, &files, "filefrag");
}

/// One sync for many files covers one file system; below the folder may be others.
#[test]
fn files_on_another_file_system_below_the_folder_are_synced() {
    if !possible(&["strace"]) {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 8000);
    std::fs::create_dir(scene.path("out")).expect("a folder");
    let _mount = Mount::new(&scene, "out/sub", &["-t", "tmpfs", "none"]);
    let rows: String =
        (0..16).map(|n| format!("{}f{n},{},500\n", ["sub/", ""][n % 2], n * 500)).collect();
    scene.write("list.csv", format!("name,start,len\n{rows}").as_bytes());
    let options =
        ["-f", "-qqq", "-y", "-o", "trace", "-e", "trace=fsync,fdatasync", "-e", "signal=none"];
    let mut run = scene.tool("strace", options);
    let line = "batch list.csv --source source --into out";
    run.command.arg(crate::common::program()).args(line.split(' '));
    run.run().code(0);
    let trace = String::from_utf8_lossy(&scene.read("trace")).into_owned();
    for n in (0..16).step_by(2) {
        assert!(trace.contains(&format!("out/sub/f{n}.")), "f{n} was not synced: {trace}");
    }
}

/// Bytes that cannot be read cost the items they lie in, and those alone.
#[test]
fn bad_sectors_make_their_items_partial_and_no_other() {
    if !possible(BAD_DEVICE_TOOLS) {
        return;
    }
    let scene = Scene::new();
    let image = scene.source("image", 4 << 20);
    // In the middle of f10, and over the edge of f20 and f21.
    let bad = [(10 * 40_960 + 512, 10 * 40_960 + 1024), (21 * 40_960 - 512, 21 * 40_960 + 512)];
    let device = BadDevice::new(&scene, &scene.path("image"), &bad);
    let rows: String = (0..100).map(|n| format!("f{n},{},40960\n", n * 40_960)).collect();
    scene.write("list.csv", format!("name,start,len\n{rows}").as_bytes());
    let source = &device.device.path;
    let line = format!("batch list.csv --source {source} --into out -t 4 --report r --json");
    let ended = scene.run(&line).code(1).says(&["'f10'", "unreadable"]);
    let items = ended.report()["items"].clone();
    assert_eq!((&items["complete"], &items["partial"]), (&json!(97), &json!(3)));
    let mut expected = image;
    for (start, end) in bad {
        let bad = usize::try_from(start).unwrap()..usize::try_from(end).unwrap();
        expected[bad].fill(0);
    }
    for n in 0..100 {
        let name = format!("out/f{n}");
        assert_same(&scene.read(&name), &expected[n * 40_960..][..40_960], &name);
    }
    let text = String::from_utf8(scene.read("r")).expect("text");
    let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let of = |name: &str| lines.iter().find(|line| line["name"] == name).expect("a line");
    for (name, start, end) in [
        ("f10", bad[0].0, bad[0].1),
        ("f20", bad[1].0, 21 * 40_960),
        ("f21", 21 * 40_960, bad[1].1),
    ] {
        let line = of(name);
        assert_eq!(line["status"], "partial", "{name}");
        assert_eq!(line["bytes"], 40_960 - (end - start), "{name}");
        let failed: Vec<_> = line["failed"].as_array().expect("a list").iter().collect();
        assert_eq!(failed.first().map(|part| &part["start"]), Some(&json!(start)), "{name}");
        assert_eq!(failed.last().map(|part| &part["end"]), Some(&json!(end)), "{name}");
    }
    assert_eq!(of("f11")["status"], "complete");

    // It has no digest, nor one to compare with: what there is of it stays.
    let expected = "0".repeat(64);
    let row = format!("name,start,len,sha256\nf10,409600,40960,{expected}\n");
    scene.write("one.csv", row.as_bytes());
    let line = format!("batch one.csv --source {source} --into one --digest blake3 --report t");
    scene.run(&line).code(1);
    let line: Value = serde_json::from_slice(&scene.read("t")).expect("one line of JSON");
    assert_eq!(line["status"], "partial", "{line}");
    assert!(line["digests"].as_object().is_none_or(|digests| digests.is_empty()), "{line}");
    assert!(scene.has("one/f10"));

    // By the other policy such an item fails, and the others are complete.
    let line =
        format!("batch list.csv --source {source} --into stop --on-read-error stop --report s");
    scene.run(&line).code(1);
    for n in 0..100 {
        // Also those that are read in the same request.
        assert_eq!(scene.has(format!("stop/f{n}")), ![10, 20, 21].contains(&n), "f{n}");
    }
}

/// What lies between two items is read with them, and nobody's loss.
#[test]
fn bad_sectors_that_nobody_wants_cost_nothing() {
    if !possible(BAD_DEVICE_TOOLS) {
        return;
    }
    let scene = Scene::new();
    let image = scene.source("image", 1 << 20);
    let device = BadDevice::new(&scene, &scene.path("image"), &[(8192, 12_288)]);
    let source = &device.device.path;
    scene.write("list.csv", b"name,start,len\na,0,8000\nb,12288,4000\nc,16384,4096\n");
    for policy in ["record", "stop"] {
        let line = format!(
            "batch list.csv --source {source} --into {policy} --progress json --on-read-error {policy}"
        );
        let ended = scene.run(&line).code(0);
        let last =
            ended.stderr.lines().rfind(|line| line.contains("\"finished\"")).expect("events");
        let event: Value = serde_json::from_str(last).expect("JSON");
        assert_eq!(event["failed"], 0, "{event}");
        assert_same(&scene.read(format!("{policy}/a")), &image[..8000], policy);
        assert_same(&scene.read(format!("{policy}/b")), &image[12_288..16_288], policy);
    }
}

/// Where case does not count, two names of a list may be one file: the second
/// fails, and does not take the part of the first.
#[test]
fn names_that_differ_in_case_alone_do_not_take_each_others_part() {
    if !possible(&["mkfs.vfat"]) {
        return;
    }
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !known.contains("vfat") {
        return crate::common::skip("the kernel has no FAT");
    }
    let scene = Scene::new();
    let image = scene.source("image", 1 << 20);
    scene.write("fat", b"");
    scene.tool("truncate", ["-s", "64M", "fat"]).run().code(0);
    scene.tool("mkfs.vfat", ["-F", "32", "fat"]).run().code(0);
    let device = Loop::new(&scene.path("fat"), 512);
    let mount = Mount::new(&scene, "out", &[&device.path]);
    let rows = "name,start,len\nA.txt,0,5000\na.txt,5000,5000\nb,9,9\n";
    scene.write("list.csv", rows.as_bytes());
    for options in ["--restart", "--resume --force", "--restart --force"] {
        let line = format!("batch list.csv --source image --into out {options} --report r");
        scene.run(&line).code(1).says(&["a.txt"]);
        assert_same(&scene.read("out/A.txt"), &image[..5000], options);
        if !options.contains("force") {
            std::fs::remove_file(mount.folder.join("A.txt")).expect("it is there");
            std::fs::remove_file(mount.folder.join("b")).expect("it is there");
        }
    }
}

/// Full in the middle: the batch ends, and what is complete stays.
#[test]
fn a_full_file_system_ends_the_batch() {
    if !possible(&[]) {
        return;
    }
    for (option, items) in [("size=2m", 2000), ("nr_inodes=300", 2000)] {
        let scene = Scene::new();
        let image = scene.source("image", 1 << 20);
        let mount = Mount::new(&scene, "full", &["-t", "tmpfs", "-o", option, "tmpfs"]);
        // Each file takes a whole block: more than its bytes let expect.
        let rows: String = (0..items).map(|n| format!("f{n},{},100\n", n * 100)).collect();
        scene.write("list.csv", format!("name,start,len\n{rows}").as_bytes());
        let line = "batch list.csv --source image --into full --json";
        let ended = scene.run(line).code(5).says(&["No space left"]);
        let report = ended.report();
        assert_eq!(report["outcome"], "failed");
        let mut complete = 0;
        for entry in std::fs::read_dir(&mount.folder).expect("it is mounted") {
            let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
            let n: usize = name[1..].parse().unwrap_or_else(|_| panic!("{option}: {name} is left"));
            let found = std::fs::read(mount.folder.join(&name)).expect("a file");
            assert_same(&found, &image[n * 100..][..100], &name);
            complete += 1;
        }
        assert!(complete > 100, "{option}: {complete} stay");
        assert_eq!(report["items"]["complete"], complete, "{option}");
    }
}

/// Partitions by the output of mmls.
#[test]
fn partitions_by_mmls() {
    if !has_tools(&["sfdisk", "mmls"]) {
        return;
    }
    let scene = Scene::new();
    let mut image = scene.source("image", 8 << 20);
    image[..1 << 20].fill(0);
    scene.write("image", &image);
    let script = "printf '2048,4096\\n8192,2048\\n' | sfdisk -q image && mmls image > index.txt";
    scene.tool("sh", ["-c", script]).run().code(0);
    scene.run("batch index.txt --source image --into out").code(0);
    let mut found: Vec<_> = std::fs::read_dir(scene.path("out"))
        .expect("a folder")
        .map(|entry| std::fs::read(entry.expect("an entry").path()).expect("a file"))
        .collect();
    found.sort_by_key(Vec::len);
    assert_same(&found[0], &image[8192 * 512..][..2048 * 512], "the second partition");
    assert_same(&found[1], &image[2048 * 512..][..4096 * 512], "the first partition");
}

/// Whole files of several are shared where a single copy would share them.
#[test]
fn extents_of_several_files_are_shared_where_they_can_be_and_only_if_allowed() {
    for kind in ["xfs", "btrfs"] {
        if !possible(&[&format!("mkfs.{kind}"), "filefrag"]) {
            continue;
        }
        let scene = Scene::new();
        scene.write("image", b"");
        scene.tool("truncate", ["-s", "400M", "image"]).run().code(0);
        tool(&format!("mkfs.{kind}"), &["-q", &scene.path("image").to_string_lossy()]);
        let device = Loop::new(&scene.path("image"), 512);
        let mount = Mount::new(&scene, "mounted", &[&device.path]);
        std::fs::create_dir(mount.folder.join("dir")).expect("a folder");
        let small = scene.source("mounted/small", 300_000);
        let large = scene.source("mounted/large", 5_000_013);
        let check = |options: &str, shared: [bool; 2]| {
            let line = format!("mounted/small mounted/large mounted/dir {options}");
            scene.run(&line).code(0);
            assert_same(&scene.read("mounted/dir/small"), &small, &line);
            assert_same(&scene.read("mounted/dir/large"), &large, &line);
            let is_shared = |name: &str| {
                let path = mount.folder.join("dir").join(name);
                tool("filefrag", &["-sv", &path.to_string_lossy()]).contains("shared")
            };
            assert_eq!([is_shared("small"), is_shared("large")], shared, "{kind} {options:?}");
            scene.tool("rm", ["mounted/dir/small", "mounted/dir/large"]).run().code(0);
        };
        // What is small is read together with others, unless told to be shared.
        check("", [false, true]);
        check("--reflink always", [true, true]);
        check("--reflink never", [false, false]);
        check("--sparse never", [false, false]);
        check("--sparse always", [false, false]);
        check("--engine positioned", [false, false]);
        scene.tool("mkdir", ["elsewhere"]).run().code(0);
        let line = "mounted/small mounted/large elsewhere --reflink always";
        scene.run(line).code(3).says(&["cannot share extents"]);
        assert_eq!(std::fs::read_dir(scene.path("elsewhere")).expect("a folder").count(), 0);
    }
}

/// Room is what the bytes take that are still missing: not holes, and not what
/// an earlier run has written already.
#[test]
fn holes_and_what_is_there_already_need_no_room() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    let image = scene.source("image", 80 << 20);
    let mount = Mount::new(&scene, "full", &["-t", "tmpfs", "-o", "size=100m", "tmpfs"]);
    for name in ["one", "two"] {
        let file = std::fs::File::create(scene.path(name)).expect("a file");
        file.set_len(1 << 30).expect("a hole");
    }
    scene.write("island", &image[..9000]);
    scene.run("--in-place --dest-offset 10MiB island two").code(0);
    scene.run("one two full/").code(0);
    assert_eq!(std::fs::metadata(mount.folder.join("two")).expect("it is there").len(), 1 << 30);
    // Every byte of it: that is too much.
    scene.run("one two full/ --force --sparse never").code(3).says(&["space"]);

    scene.write("list.csv", format!("name,start,len\nlarge,0,{}\n", 80 << 20).as_bytes());
    let slow = "--limit-rate 16MiB --io-size 1MiB --progress json";
    let stop = |options: &str| {
        let line = format!("batch list.csv --source image --into full {slow} {options}");
        let mut running = scene.pcopy(line.split_whitespace()).start();
        running.wait_for_line(|line| {
            let event: Value = serde_json::from_str(line).unwrap_or_default();
            event["copied"].as_u64() > Some(30 << 20)
        });
        running.signal(rustix::process::Signal::INT);
        running.end().died_by(rustix::process::Signal::INT);
    };
    for options in ["--resume", "--restart"] {
        stop("--restart");
        scene.run(&format!("batch list.csv --source image --into full {options}")).code(0);
        assert_same(&scene.read("full/large"), &image, options);
        scene.tool("rm", ["full/large"]).run().code(0);
    }
}
