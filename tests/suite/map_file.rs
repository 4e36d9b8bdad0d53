//! The file of a map, where others can get at its folder.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use pcopy::durable::map::{Map, MapError, MapFile};
use pcopy::{ByteRange, RangeSet};

/// A directory and a map in it of the given name.
fn fixture(name: &str) -> (tempfile::TempDir, MapFile) {
    let dir = tempfile::tempdir().unwrap();
    let file = MapFile::new(&dir.path().join(name)).unwrap();
    (dir, file)
}

fn map() -> Map {
    let done = RangeSet::from(ByteRange::to(512));
    Map { identity: None, done, failed: RangeSet::new(), extent: ByteRange::to(1024) }
}

fn names_in(dir: &Path) -> Vec<OsString> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

/// The error and what caused it.
fn chain(error: &MapError) -> String {
    let cause = std::error::Error::source(error);
    format!("{error}: {}", cause.map(ToString::to_string).unwrap_or_default())
}

#[test]
fn only_the_owner_can_read_a_map() {
    let (_dir, file) = fixture("m");
    file.save(&map()).unwrap();
    assert_eq!(fs::metadata(file.path()).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn planted_links_are_neither_followed_nor_read() {
    let (dir, file) = fixture("m");
    let victim = dir.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    symlink(&victim, dir.path().join("m.tmp")).unwrap();
    file.save(&map()).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    assert_eq!(names_in(dir.path()), ["m", "m.tmp", "victim"], "a link of somebody stays");

    file.remove().unwrap();
    for target in [victim.as_path(), Path::new("nowhere")] {
        symlink(target, file.path()).unwrap();
        let text = chain(&file.load().expect_err("a link"));
        assert!(text.contains("a symbolic link"), "{text}");
        fs::remove_file(file.path()).unwrap();
    }
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
}

#[test]
fn a_pipe_or_a_directory_in_place_of_the_map_is_refused_without_waiting() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let (dir, file) = fixture("m");
    mknodat(CWD, file.path(), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let text = chain(&file.load().expect_err("a pipe"));
    assert!(text.contains("not a regular file"), "{text}");
    let directory = MapFile::new(dir.path()).unwrap();
    assert!(directory.load().is_err());
}

#[test]
fn a_name_of_any_bytes_will_do() {
    let name = std::os::unix::ffi::OsStringExt::from_vec(b"a\nb\xff%".to_vec());
    let (dir, _) = fixture("unused");
    let name: std::ffi::OsString = name;
    let file = MapFile::new(&dir.path().join(&name)).unwrap();
    file.save(&map()).unwrap();
    assert_eq!(file.load().unwrap(), Some(map()));
    assert_eq!(names_in(dir.path()), [name]);
}
