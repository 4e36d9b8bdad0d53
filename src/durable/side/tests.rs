use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::sys::Replace;

fn names_in(dir: &Path) -> Vec<OsString> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

#[test]
fn names_are_random_hidden_and_known_again() {
    let long = "n".repeat(250);
    let (wide, wider) = ("ü".repeat(110), "ü".repeat(111));
    for of in ["m", "a b.jsonl", ".x", &long, &wide, &wider] {
        let of = OsStr::new(of);
        let (one, other) = (random_name(of), random_name(of));
        assert_ne!(one, other);
        for name in [one, other] {
            assert!(name.len() <= sys::NAME_MAX && name.as_encoded_bytes().starts_with(b"."));
            assert!(is_temporary_of(&name, of), "{name:?}");
            assert!(!is_temporary_of(&name, OsStr::new("other")));
        }
    }
    for name in ["", ".tmp", ".m.pcopy-.tmp", "m.pcopy-0123456789abcdef.tmp", "ü.tmp"] {
        assert!(!is_temporary_of(OsStr::new(name), OsStr::new("m")), "{name}");
    }
}

#[test]
fn a_temporary_takes_a_name_or_goes_away() {
    let dir = tempfile::tempdir().unwrap();
    let directory = Arc::new(Directory::open(dir.path()).unwrap());
    let name = OsStr::new("x");
    let make = |text: &str| {
        let temporary = Temporary::create(&directory, name).unwrap();
        temporary.file().write_all(text.as_bytes()).unwrap();
        temporary
    };
    make("one").publish(name, Replace::Never).unwrap();
    let second = make("two");
    second.publish(name, Replace::Never).unwrap_err();
    second.publish(name, Replace::Yes).unwrap();
    make("three").discard().unwrap();
    assert_eq!(fs::read(dir.path().join("x")).unwrap(), b"two");
    assert_eq!(names_in(dir.path()), ["x"]);
}

/// Whatever somebody puts under the name of a temporary is neither renamed nor removed.
#[test]
fn what_took_the_place_of_a_temporary_stays() {
    let dir = tempfile::tempdir().unwrap();
    let directory = Arc::new(Directory::open(dir.path()).unwrap());
    let temporary = Temporary::create(&directory, OsStr::new("x")).unwrap();
    let path = dir.path().join(temporary.name());
    temporary.file().write_all(b"ours").unwrap();
    fs::rename(&path, dir.path().join("aside")).unwrap();
    fs::write(&path, "theirs").unwrap();
    temporary.publish(OsStr::new("x"), Replace::Yes).unwrap_err();
    temporary.discard().unwrap_err();
    assert_eq!(fs::read(&path).unwrap(), b"theirs");
    assert_eq!(fs::read(dir.path().join("aside")).unwrap(), b"ours");
    assert!(!dir.path().join("x").exists());
}

#[test]
fn a_named_file_is_replaced_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    for text in ["one", "two, and longer", ""] {
        Named::look(&path).unwrap().write(text.as_bytes(), &|| true).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    fs::hard_link(&path, dir.path().join("other")).unwrap();
    Named::look(&path).unwrap().write(b"three", &|| true).unwrap();
    assert_eq!(fs::read(dir.path().join("other")).unwrap(), b"", "another name of the old one");
    Named::look(&path).unwrap().probe().unwrap();
    assert_eq!(names_in(dir.path()), ["other", "x"]);
    for bad in [dir.path(), &dir.path().join("no/x"), &dir.path().join("..")] {
        assert!(Named::look(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_draft_is_seen_from_its_publication_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    fs::write(&path, "old").unwrap();
    let mut draft = Named::look(&path).unwrap().draft(&|| true).unwrap();
    draft.begin().unwrap();
    draft.write_all(b"one").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"old");
    draft.publish().unwrap();
    draft.write_all(b" two").unwrap();
    draft.end().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"one two");
    Named::look(&path).unwrap().draft(&|| true).unwrap().discard();
    assert_eq!(names_in(dir.path()), ["x"]);
}

/// Several runs may have one log: the first gets it.
#[test]
fn what_replaces_nothing_fails_where_something_is_by_now_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let (one, other) = (Named::look(&path).unwrap(), Named::look(&path).unwrap());
    one.write_new(b"one", &|| true).unwrap();
    let error = other.write_new(b"other", &|| true).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(
        (fs::read(&path).unwrap(), names_in(dir.path())),
        (b"one".to_vec(), vec!["x".into()])
    );
    other.write(b"other", &|| true).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"other");
}

#[test]
fn another_file_under_the_name_of_a_published_one_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let mut draft = Named::look(&path).unwrap().draft(&|| true).unwrap();
    draft.publish().unwrap();
    draft.write_all(b"ours").unwrap();
    fs::rename(&path, dir.path().join("aside")).unwrap();
    fs::write(&path, "else").unwrap();
    draft.end().unwrap_err();
    assert_eq!(fs::read(&path).unwrap(), b"else");
}

#[test]
fn a_probe_finds_that_nothing_can_be_made() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let named = Named::look(&folder.join("x")).unwrap();
    // Some systems keep what somebody has open.
    if fs::remove_dir(&folder).is_ok() {
        named.probe().unwrap_err();
    }
}

/// What a killed run has left goes, also where a power cut kept its beginning from the
/// disk; a file of somebody else with such a name stays.
#[test]
fn temporaries_are_cleared_by_what_they_begin_with() {
    let after_zeros = |count| [&vec![0; count][..], b" and more"].concat();
    for (content, goes) in [
        (b"a map and more".to_vec(), true),
        (b"a m".to_vec(), true),
        (b"".to_vec(), true),
        (vec![0; 3], true),
        (after_zeros(PIECE), true),
        (after_zeros(PIECE - 1), false),
        (after_zeros(5), false),
        (b"a man and more".to_vec(), false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let directory = Arc::new(Directory::open(dir.path()).unwrap());
        let temporary = Temporary::create(&directory, OsStr::new("x")).unwrap();
        let path = dir.path().join(temporary.name());
        assert!(!clear_temporaries(&directory, OsStr::new("x"), b"a map"), "it is in use");
        drop(temporary);
        fs::write(&path, &content).unwrap();
        let is_cleared = clear_temporaries(&directory, OsStr::new("x"), b"a map");
        assert_eq!((is_cleared, path.exists()), (goes, !goes), "{content:?}");
    }
}

#[test]
fn another_name_is_tried_only_where_one_is_taken() {
    let tried = |results: &[io::ErrorKind]| {
        let mut count = 0;
        let made = until_new(|| {
            count += 1;
            results.get(count - 1).map_or(Ok(()), |&kind| Err(kind.into()))
        });
        (count, made.map_err(|error| error.kind()))
    };
    use io::ErrorKind::{AlreadyExists, PermissionDenied};
    assert_eq!(tried(&[]), (1, Ok(())));
    assert_eq!(tried(&[AlreadyExists, AlreadyExists]), (3, Ok(())));
    assert_eq!(tried(&[AlreadyExists, PermissionDenied]), (2, Err(PermissionDenied)));
    assert_eq!(tried(&[AlreadyExists; 1000]), (TRIES as usize, Err(AlreadyExists)));
}

/// A link of this user is followed, also to another one; one that leads to itself is not.
#[test]
fn links_of_this_user_lead_to_what_is_replaced() {
    if sys::WINDOWS_NAMES {
        // Whether a user may make links is another question there.
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir(path("folder")).unwrap();
    let link = |folder: &str, name: &str, target: &str| {
        let folder = Directory::open(&path(folder)).unwrap();
        folder.make_link(OsStr::new(name), Path::new(target)).unwrap();
    };
    link("", "first", "folder/second");
    link("folder", "second", "../file");
    Named::look(&path("first")).unwrap().write(b"new", &|| true).unwrap();
    assert_eq!(fs::read(path("file")).unwrap(), b"new");
    assert!(path("first").is_symlink() && path("folder/second").is_symlink());
    link("", "loop", "loop");
    let error = Named::look(&path("loop")).err().unwrap();
    assert_eq!(error.to_string(), "too many symbolic links lead to each other");
}

/// No other run looks for a trial: the next one clears away what killed runs have left,
/// and nothing else.
#[test]
fn a_trial_clears_away_those_that_were_left() {
    let dir = tempfile::tempdir().unwrap();
    let directory = Directory::open(dir.path()).unwrap();
    let name = |digit: char| format!(".trial.pcopy-{}.tmp", digit.to_string().repeat(DIGITS));
    fs::write(dir.path().join(name('0')), "").unwrap();
    // Of a user, for another purpose, and of a run that is at work.
    fs::write(dir.path().join(name('1')), "bytes").unwrap();
    fs::write(dir.path().join(".copy.pcopy-0000000000000000.tmp"), "").unwrap();
    let (held, _file) = make_trial(&directory).unwrap();
    let (other, file) = make_trial(&directory).unwrap();
    let mut expected =
        [".copy.pcopy-0000000000000000.tmp".into(), name('1').into(), held, other.clone()];
    expected.sort();
    assert_eq!(names_in(dir.path()), expected);
    // It holds its name. So does one that a killed run has left.
    let path = dir.path().join(&other);
    assert_eq!(fs::read(&path).unwrap(), other.as_encoded_bytes());
    drop(file);
    let _third = make_trial(&directory).unwrap();
    assert!(!path.exists());
}
