//! The imports against the tools themselves, on images made here: what is
//! carved by the items equals what was put in. What a machine cannot run is
//! skipped, and says so.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pcopy::digest::{Algorithm, hash_slice};
use pcopy::manifest::{AreaStatuses, ErrorKind, Item, Manifest, ReadOptions, Run, load, read};

use crate::common::{has_tools, pattern, skip};

const MIB: usize = 1 << 20;

/// Options of a batch whose source has sectors of 512 bytes.
fn options() -> ReadOptions<'static> {
    ReadOptions {
        source: Some(Path::new("/dev/disk.img")),
        sector_of: &|_| Some(512),
        ..ReadOptions::default()
    }
}

/// Runs a tool in `dir`; `None`, with the reason printed, if it is not there.
fn run(dir: &Path, tool: &str, arguments: &[&dyn AsRef<OsStr>]) -> Option<Output> {
    if !has_tools(&[tool]) {
        return None;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let mut command = Command::new(tool);
    command.env("PATH", std::env::join_paths(all).expect("a path of paths")).env("LC_ALL", "C");
    let output = command.current_dir(dir).args(arguments).output();
    Some(output.unwrap_or_else(|error| panic!("{tool}: {error}")))
}

/// What a tool prints, which has to succeed if it is there.
fn printed(dir: &Path, tool: &str, arguments: &[&dyn AsRef<OsStr>]) -> Option<Vec<u8>> {
    let output = run(dir, tool, arguments)?;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tool} failed: {error}");
    Some(output.stdout)
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Files of many sizes below `dir`.
fn tree(dir: &Path) -> Files {
    let sizes = [0, 1, 511, 512, 513, 4095, 4096, 4097, 70_000, 3_000_000];
    let mut files: Files = sizes
        .iter()
        .enumerate()
        .map(|(n, &size)| {
            (PathBuf::from(format!("sub/size {size}.bin")), pattern(n as u64 + 1, size))
        })
        .collect();
    files.insert("top.txt".into(), b"top".to_vec());
    for (name, bytes) in &files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, bytes).expect("a file");
    }
    files
}

/// The files the items make of the image.
fn carve(image: &[u8], items: &[Item]) -> Files {
    let mut files = Files::new();
    for item in items {
        let file = files.entry(item.name.to_path_buf()).or_default();
        let mut at = item.dest_offset as usize;
        for run in item.runs.pieces(image.len() as u64) {
            let end = at + run.len() as usize;
            file.resize(file.len().max(end), 0);
            if let Run::Data(range) = run {
                file[at..end].copy_from_slice(&image[range.start() as usize..range.end() as usize]);
            }
            at = end;
        }
        let least = item.details.as_ref().and_then(|details| details.file_len).unwrap_or(0);
        file.resize(file.len().max(least as usize), 0);
    }
    files
}

#[track_caller]
fn loaded(output: &[u8], image: &[u8], options: &ReadOptions<'_>) -> Manifest {
    match load(output, None, options, |_| Some(image.len() as u64)) {
        Ok(manifest) => manifest,
        Err(errors) => panic!("{errors}\n{}", String::from_utf8_lossy(output)),
    }
}

/// Compares without printing megabytes.
#[track_caller]
fn same(got: &Files, want: &Files) {
    let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(got), names(want));
    for (name, bytes) in want {
        assert!(got[name] == *bytes, "{name:?} differs");
    }
}

/// Whether some item has several runs of data.
fn fragmented(items: &[Item]) -> bool {
    let data = |item: &Item| item.runs.pieces(0).filter(|run| matches!(run, Run::Data(_))).count();
    items.iter().any(|item| data(item) > 1)
}

/// An ext4 image with the tree, a sparse file, odd names and, written into the
/// gaps that removed files leave, a fragmented file.
fn ext4(dir: &Path) -> Option<Files> {
    let root = dir.join("root");
    let mut files = tree(&root);
    let mut sparse = pattern(50, 8192);
    sparse.resize(MIB, 0);
    sparse.extend(pattern(51, 5000));
    files.insert("sparse".into(), sparse.clone());
    fs::write(root.join("sparse"), [&sparse[..8192]].concat()).expect("a file");
    let hole = fs::OpenOptions::new().write(true).open(root.join("sparse")).expect("a file");
    hole.write_all_at(&sparse[MIB..], MIB as u64).expect("a tail");
    for name in
        [&b"bad\xFF\xFEname"[..], b"back\\slash", b"amp&<\"'\xC3\xA9", b"new\nline", b" blank "]
    {
        let name = OsStr::from_bytes(name);
        files.insert(name.into(), pattern(60, 100));
        fs::write(root.join(name), pattern(60, 100)).expect("a file");
    }
    std::os::unix::fs::symlink("top.txt", root.join("link")).expect("a link");
    for n in 0..40 {
        fs::write(root.join(format!("gap{n}")), pattern(n + 100, 64 << 10)).expect("a file");
    }
    let gone: Vec<String> = (0..40).step_by(2).map(|n| format!("rm gap{n}\n")).collect();
    for n in (1..40).step_by(2) {
        files.insert(format!("gap{n}").into(), pattern(n + 100, 64 << 10));
    }
    let big = pattern(7, 12 * MIB);
    fs::write(dir.join("big"), &big).expect("a file");
    files.insert("big in pieces".into(), big);
    fs::write(dir.join("script"), format!("{}write big \"big in pieces\"\n", gone.concat()))
        .expect("a script");
    fs::File::create(dir.join("image"))
        .and_then(|file| file.set_len(24 * MIB as u64))
        .expect("an image");
    printed(
        dir,
        "mkfs.ext4",
        &[&"-q", &"-F", &"-b", &"1024", &"-m", &"0", &"-d", &"root", &"image"],
    )?;
    printed(dir, "debugfs", &[&"-w", &"-f", &"script", &"image"])?;
    Some(files)
}

#[test]
fn fiwalk_of_ext4() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(files) = ext4(dir.path()) else { return };
    let Some(output) = printed(dir.path(), "fiwalk", &[&"-x", &"image"]) else { return };
    let image = fs::read(dir.path().join("image")).expect("the image");
    let manifest = loaded(&output, &image, &options());
    assert!(fragmented(&manifest.items), "the big file lies in one piece");
    assert!(
        manifest.items.iter().all(|item| item.expected().len() == 2 || item.runs.len(0) == Some(0))
    );
    let mut carved = carve(&image, &manifest.items);
    // The big file has the inode of a removed one, whose name fiwalk then
    // lists as if it were there; it can be told, not solved.
    let notes = manifest.notes.join("; ");
    if carved.len() > files.len() {
        assert!(notes.contains("more names than links"), "{notes}");
        assert_eq!(carved.len(), files.len() + 1);
        carved.retain(|name, _| files.contains_key(name));
    }
    same(&carved, &files);
    assert!(notes.contains("directory") && notes.contains("symbolic link"), "{notes}");
}

#[test]
fn fiwalk_of_inline_files_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    tree(&dir.path().join("root"));
    fs::File::create(dir.path().join("image"))
        .and_then(|file| file.set_len(16 << 20))
        .expect("an image");
    let mkfs: [&dyn AsRef<OsStr>; 9] =
        [&"-q", &"-F", &"-I", &"256", &"-O", &"inline_data", &"-d", &"root", &"image"];
    let Some(_) = printed(dir.path(), "mkfs.ext4", &mkfs) else { return };
    let Some(output) = printed(dir.path(), "fiwalk", &[&"-x", &"image"]) else { return };
    let errors = read(&output[..], None, &options()).expect_err("top.txt is inline");
    assert!(errors.to_string().contains("\"top.txt\": resident in the file table"), "{errors}");
    assert_eq!(errors.kind(), ErrorKind::Refused);
    let lenient = ReadOptions { skip_unmappable: true, ..options() };
    assert!(read(&output[..], None, &lenient).is_ok());
}

/// A partition table with two partitions, from 1 MiB and from 17 MiB.
fn table() -> Vec<u8> {
    let mut sector = vec![0; 512];
    for (n, (kind, start, count)) in
        [(0x83, 2048u32, 32768u32), (0x0e, 34816, 32768)].iter().enumerate()
    {
        let entry = &mut sector[446 + 16 * n..][..16];
        entry[4] = *kind;
        entry[8..12].copy_from_slice(&start.to_le_bytes());
        entry[12..16].copy_from_slice(&count.to_le_bytes());
    }
    sector[510..].copy_from_slice(&[0x55, 0xAA]);
    sector
}

/// A disk with ext4 and a fragmented FAT, both with the tree.
fn disk(dir: &Path) -> Option<Files> {
    let files = tree(&dir.join("root"));
    fs::File::create(dir.join("ext")).and_then(|file| file.set_len(16 << 20)).expect("an image");
    fs::File::create(dir.join("fat")).and_then(|file| file.set_len(16 << 20)).expect("an image");
    printed(dir, "mkfs.ext4", &[&"-q", &"-F", &"-d", &"root", &"ext"])?;
    printed(dir, "mkfs.fat", &[&"fat"])?;
    fs::write(dir.join("filler"), pattern(9, 64 << 10)).expect("a file");
    for n in 0..100 {
        printed(dir, "mcopy", &[&"-i", &"fat", &"filler", &format!("::/fill{n}")])?;
    }
    for n in (0..100).step_by(2) {
        printed(dir, "mdel", &[&"-i", &"fat", &format!("::/fill{n}")])?;
    }
    printed(dir, "mcopy", &[&"-i", &"fat", &"-s", &"root/sub", &"root/top.txt", &"::/"])?;
    for n in (1..100).step_by(2) {
        printed(dir, "mdel", &[&"-i", &"fat", &format!("::/fill{n}")])?;
    }
    let mut image = table();
    image.resize(MIB, 0);
    image.extend(fs::read(dir.join("ext")).expect("a file system"));
    image.extend(fs::read(dir.join("fat")).expect("a file system"));
    fs::write(dir.join("image"), image).expect("the disk");
    Some(files)
}

#[test]
fn fiwalk_and_mmls_of_a_partitioned_disk() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(files) = disk(dir.path()) else { return };
    let image = fs::read(dir.path().join("image")).expect("the disk");
    if let Some(output) = printed(dir.path(), "mmls", &[&"image"]) {
        let parts = carve(&image, &loaded(&output, &image, &options()).items);
        let names: Vec<&str> = parts.keys().filter_map(|name| name.to_str()).collect();
        assert_eq!(names, ["002-Linux_0x83.img", "003-Win95_FAT16_0x0e.img"]);
        assert!(parts[Path::new(names[0])] == image[MIB..17 * MIB]);
        assert!(parts[Path::new(names[1])] == image[17 * MIB..]);
        let sized = printed(dir.path(), "mmls", &[&"-B", &"image"]).expect("it was there");
        assert!(carve(&image, &loaded(&sized, &image, &options()).items) == parts);
    }
    if let Some(output) = printed(dir.path(), "fiwalk", &[&"-x", &"image"]) {
        let manifest = loaded(&output, &image, &options());
        assert!(fragmented(&manifest.items), "the file system of mtools is not fragmented");
        let carved = carve(&image, &manifest.items);
        let below = |part: &str| {
            let named =
                files.iter().map(|(name, bytes)| (Path::new(part).join(name), bytes.clone()));
            named.collect::<Files>()
        };
        let mut want = below("part1");
        want.extend(below("part2"));
        same(&carved, &want);
    }
}

/// A mounted image, unmounted again whatever happens.
struct Mount(PathBuf);

impl Mount {
    fn new(dir: &Path) -> Option<Mount> {
        let point = dir.join("mnt");
        fs::create_dir(&point).expect("a mount point");
        let output = run(dir, "mount", &[&"-o", &"loop", &"image", &"mnt"])?;
        if !output.status.success() {
            skip(&format!("cannot mount: {}", String::from_utf8_lossy(&output.stderr).trim()));
            return None;
        }
        Some(Mount(point))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily, because a test that failed may still have files open there.
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[test]
fn filefrag_of_a_mounted_image() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(mut files) = ext4(dir.path()) else { return };
    let Some(mount) = Mount::new(dir.path()) else { return };
    // Space that is reserved beyond what was written reads as zeros.
    let mut reserved = pattern(77, 5000);
    let file = fs::File::create(mount.0.join("reserved")).expect("a file");
    let fallocate = run(&mount.0, "fallocate", &[&"-l", &"100000", &"reserved"]);
    file.write_all_at(&reserved, 0).expect("a write");
    file.sync_all().expect("a sync");
    drop(file);
    if fallocate.is_some_and(|output| output.status.success()) {
        reserved.resize(100_000, 0);
    }
    files.insert("reserved".into(), reserved);
    let newline = PathBuf::from("new\nline");
    files.remove(&newline);
    let names: Vec<PathBuf> = files.keys().map(|name| Path::new(".").join(name)).collect();
    let mut arguments: Vec<&dyn AsRef<OsStr>> = vec![&"-v"];
    arguments.extend(names.iter().map(|name| name as &dyn AsRef<OsStr>));
    let listed = printed(&mount.0, "filefrag", &arguments);
    let broken = printed(&mount.0, "filefrag", &[&"-v", &newline]);
    drop(mount);
    let (Some(listed), Some(broken)) = (listed, broken) else { return };
    let image = fs::read(dir.path().join("image")).expect("the image");
    let manifest = loaded(&listed, &image, &options());
    assert!(fragmented(&manifest.items), "the big file lies in one piece");
    same(&carve(&image, &manifest.items), &files);
    // filefrag prints names as they are, so that a newline makes two lines of one.
    assert!(read(&broken[..], None, &options()).is_err());
}

#[test]
fn ddrescue_maps_of_a_part_and_of_the_rest() {
    let dir = tempfile::tempdir().expect("a directory");
    let bytes = pattern(3, 3 * MIB + 17);
    fs::write(dir.path().join("image"), &bytes).expect("an image");
    let parts: [&[&dyn AsRef<OsStr>]; 2] = [
        &[&"-q", &"-s", &"1000000", &"image", &"out", &"map"],
        &[&"-q", &"-i", &"2000000", &"-s", &"100000", &"image", &"out", &"map"],
    ];
    for arguments in parts {
        let Some(_) = printed(dir.path(), "ddrescue", arguments) else { return };
    }
    let map = fs::read(dir.path().join("map")).expect("the map");
    let items = loaded(&map, &bytes, &options()).items;
    let places: Vec<_> = items.iter().filter_map(|item| item.destination(0)).collect();
    assert_eq!(format!("{places:?}"), "[0..1000000, 2000000..2100000]");
    let finished = carve(&bytes, &items).into_values().next().expect("one file");
    let out = fs::read(dir.path().join("out")).expect("the output");
    assert!(
        finished[..out.len()] == out[..] && finished[out.len()..].iter().all(|&byte| byte == 0)
    );
    let rest = ReadOptions { areas: AreaStatuses::new("?*/-").expect("statuses"), ..options() };
    let rest =
        carve(&bytes, &loaded(&map, &bytes, &rest).items).into_values().next().expect("one file");
    let both: Vec<u8> = finished.iter().zip(&rest).map(|(a, b)| a | b).collect();
    assert!(both[..] == bytes[..both.len()]);
}

#[test]
fn bmaptool_maps_of_a_sparse_image() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = fs::File::create(dir.path().join("image")).expect("an image");
    for (seed, at, len) in [(1, 0, 9000), (2, 3 * MIB, 5), (3, 10 * MIB - 3, 1003)] {
        image.write_all_at(&pattern(seed, len), at as u64).expect("a write");
    }
    image.sync_all().expect("a sync");
    let Some(map) = printed(dir.path(), "bmaptool", &[&"create", &"image"]) else { return };
    let bytes = fs::read(dir.path().join("image")).expect("the image");
    let items = loaded(&map, &bytes, &options()).items;
    for item in &items {
        let place = item.destination(0).expect("in 64 bits");
        let range = place.start() as usize..place.end() as usize;
        let hex = hash_slice(Algorithm::Sha256, &bytes[range]);
        let expected: Vec<String> = item.expected().iter().map(ToString::to_string).collect();
        assert_eq!(expected, [format!("sha256:{hex}")]);
    }
    assert!(carve(&bytes, &items).into_values().next().expect("one file") == bytes);
    let changed = String::from_utf8(map).expect("text").replacen("<Range", "<Range ", 1);
    assert!(
        read(changed.as_bytes(), None, &options()).is_err(),
        "its own checksum is not looked at"
    );
}
