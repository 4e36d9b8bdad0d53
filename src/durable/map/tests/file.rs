use super::super::file::all_of;
use super::*;
use std::fs;
use std::path::Path;

/// A directory and a map in it of the given name.
fn fixture(name: &str) -> (tempfile::TempDir, MapFile) {
    let dir = tempfile::tempdir().unwrap();
    let file = MapFile::new(&dir.path().join(name)).unwrap();
    (dir, file)
}

fn names_in(dir: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

#[test]
fn a_map_is_saved_replaced_loaded_and_removed() {
    let (dir, file) = fixture("x.pcopy-map");
    assert_eq!(file.load().unwrap(), None);
    file.remove().unwrap();
    file.save(&sample()).unwrap();
    assert_eq!(file.load().unwrap(), Some(sample()));
    let later = Map { done: set(&[(0x200, 0x10200)]), failed: RangeSet::new(), ..sample() };
    file.save(&later).unwrap();
    assert_eq!(file.load().unwrap(), Some(later));
    assert_eq!(names_in(dir.path()), ["x.pcopy-map"]);
    file.remove().unwrap();
    assert!(names_in(dir.path()).is_empty());
}

#[test]
fn a_name_without_a_directory_is_in_the_current_one() {
    assert_eq!(MapFile::new(Path::new("m")).unwrap().path(), Path::new("./m"));
    for bad in ["", "/", ".."] {
        assert!(MapFile::new(Path::new(bad)).is_err(), "{bad:?}");
    }
}

#[test]
fn the_longest_names_can_be_saved() {
    for length in [1, 250, 251, 252, 255] {
        let (dir, file) = fixture(&"n".repeat(length));
        file.save(&sample()).unwrap();
        file.save(&sample()).unwrap();
        assert_eq!(file.load().unwrap(), Some(sample()));
        assert_eq!(names_in(dir.path()).len(), 1, "{length}");
    }
    let (dir, file) = fixture(&"n".repeat(256));
    let error = file.save(&sample()).expect_err("too long");
    assert!(chain(&error).contains("too long"), "{}", chain(&error));
    assert!(names_in(dir.path()).is_empty(), "no temporary stays");
}

/// A name that a save of the map `m` may have given a temporary.
const LEFT: &str = ".m.pcopy-0123456789abcdef.tmp";

#[test]
fn what_a_killed_run_left_is_cleared_away_and_nothing_else() {
    let (dir, file) = fixture("m");
    let text = sample().to_bytes();
    let theirs = [
        "m.tmp",
        ".m.pcopy-0123456789abcdeg.tmp",
        ".m.pcopy-.tmp",
        ".n.pcopy-0123456789abcdef.tmp",
    ];
    for name in theirs {
        fs::write(dir.path().join(name), &text).unwrap();
    }
    for left in [&text[..], &text[..40], b""] {
        fs::write(dir.path().join(LEFT), left).unwrap();
        assert_eq!(file.load().unwrap(), None, "a temporary is not a map");
        file.clear_temporaries();
        assert!(!dir.path().join(LEFT).exists());
    }
    // Not what is not a map, and not what has another name.
    fs::write(dir.path().join(LEFT), "precious").unwrap();
    file.clear_temporaries();
    assert_eq!(fs::read(dir.path().join(LEFT)).unwrap(), b"precious");
    fs::remove_file(dir.path().join(LEFT)).unwrap();
    fs::hard_link(dir.path().join("m.tmp"), dir.path().join(LEFT)).unwrap();
    file.clear_temporaries();
    file.save(&sample()).unwrap();
    file.remove().unwrap();
    let mut names: Vec<std::ffi::OsString> = theirs.iter().map(Into::into).collect();
    names.push(LEFT.into());
    names.sort();
    assert_eq!(names_in(dir.path()), names);
}

#[test]
fn a_failed_save_leaves_the_old_map_alone() {
    let (dir, _) = fixture("m");
    let missing = MapFile::new(&dir.path().join("no/m")).unwrap();
    let error = missing.save(&sample()).expect_err("no directory");
    assert!(matches!(error, MapError::Io { operation: "create", .. }), "{error:?}");

    let (dir, file) = fixture("occupied");
    fs::create_dir(file.path()).unwrap();
    assert!(file.save(&sample()).is_err() && file.remove().is_err());
    assert_eq!(names_in(dir.path()), ["occupied"], "no temporary stays");
}

/// What somebody puts where the map is to be is neither replaced nor removed.
#[test]
fn what_is_no_map_stays() {
    let (dir, file) = fixture("m");
    fs::write(file.path(), "precious").unwrap();
    assert!(file.save(&sample()).is_err() && file.remove().is_err());
    assert_eq!(fs::read(file.path()).unwrap(), b"precious");
    assert_eq!(names_in(dir.path()), ["m"]);
}

#[test]
fn a_damaged_file_is_refused_with_its_path_and_the_reason() {
    let (_dir, file) = fixture("m");
    fs::write(file.path(), "0 ? 1\n0 1 +\n5 1 +\n").unwrap();
    let text = chain(&file.load().expect_err("a gap"));
    assert!(text.contains("m\" as a map: line 3: the block at 0x5 leaves a gap"), "{text}");
}

#[test]
fn what_is_too_long_for_a_map_is_not_read() {
    for (len, expected) in [(0, Some(0)), (7, Some(7)), (8, Some(8)), (9, None), (100, None)] {
        let bytes = vec![1; len];
        assert_eq!(all_of(&bytes[..], 8).unwrap().map(|read| read.len()), expected, "{len}");
    }
}

#[test]
fn what_has_the_name_of_a_map_is_looked_at_and_nothing_is_followed() {
    let (dir, file) = fixture("m");
    assert!(file.look().unwrap().is_none() && file.was_a_map().unwrap());
    fs::write(file.path(), b"").unwrap();
    assert!(file.was_a_map().unwrap(), "nothing is lost with it");
    file.save(&sample()).unwrap();
    assert!(file.look().unwrap().is_some() && file.was_a_map().unwrap());
    fs::write(file.path(), "precious").unwrap();
    assert!(file.look().unwrap().is_some() && !file.was_a_map().unwrap());

    // Without the folder there is no map. What is in place of the folder is an error, but on
    // Windows, which tells both in one word.
    let nowhere = MapFile::new(&dir.path().join("none/m")).unwrap();
    assert!(nowhere.load().unwrap().is_none() && nowhere.look().unwrap().is_none());
    let under_a_file = MapFile::new(&dir.path().join("m/m")).unwrap();
    let is_refused = under_a_file.load().is_err() && under_a_file.look().is_err();
    assert!(is_refused || crate::sys::WINDOWS_NAMES);
}
