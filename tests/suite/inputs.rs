//! The inputs that are kept in `fuzz/corpus`, and every one that has ended in a panic: as
//! they are, torn anywhere, and with changed bytes.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use pcopy::manifest::Format;
use pcopy::testing::Random;
use pcopy::testing::inputs::{KINDS, Kind};

use crate::common::{rounds, skip};

/// The files of `folder`, by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// Takes `input` in, and names it where that panics.
fn take(kind: &Kind, input: &[u8], name: &str) {
    let taken = catch_unwind(AssertUnwindSafe(|| (kind.take)(input)));
    assert!(taken.is_ok(), "{}: {name}: {:?}", kind.name, String::from_utf8_lossy(input));
}

/// The same with a few bytes changed, as often as the long run says.
fn take_changed(kind: &Kind, input: &[u8], name: &str) {
    let mut random = Random::new(input.len() as u64);
    for round in 0..rounds("PCOPY_INPUTS", 20) {
        let mut changed = input.to_vec();
        for _ in 0..=random.below(3) {
            let at = random.below(changed.len() as u64) as usize;
            match random.below(4) {
                0 => drop(changed.remove(at)),
                1 => changed.insert(at, b"0129+-.,/\n\"<>#x\0\xFF"[random.below(17) as usize]),
                2 => changed[at] ^= 1 << random.below(8),
                _ => changed.truncate(at),
            }
            if changed.is_empty() {
                break;
            }
        }
        take(kind, &changed, &format!("{name}, change {round}"));
    }
}

#[test]
fn every_input_that_is_kept_is_taken_in_or_refused() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    if !corpus.is_dir() {
        return skip("fuzz/corpus is not in a package");
    }
    for kind in KINDS {
        take(kind, b"", "nothing");
        let inputs = files(&corpus.join(kind.name));
        assert!(inputs.len() >= 3, "{} has {} inputs", kind.name, inputs.len());
        for path in inputs {
            let name = path.file_name().expect("a name").to_string_lossy();
            let input = std::fs::read(&path).expect("it can be read");
            take(kind, &input, &name);
            if !input.is_empty() {
                take_changed(kind, &input, &name);
            }
        }
    }
}

/// The first byte of a list says in which format it is read, by its number. A new format in
/// the middle of the others would change the formats of the lists that are kept.
#[test]
fn lists_that_are_kept_are_of_every_format() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/list");
    if !corpus.is_dir() {
        return skip("fuzz/corpus is not in a package");
    }
    let formats = Format::names();
    // The last number is for a format that is to be found out.
    let formats: Vec<&str> = formats.split(", ").chain(["any"]).collect();
    let mut kept = BTreeSet::new();
    for path in files(&corpus) {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        // Those that the fuzzer has found are called by their digest.
        if name.len() == 40 {
            continue;
        }
        let first = std::fs::read(&path).expect("it can be read")[0];
        let format = formats[usize::from(first) % formats.len()];
        assert!(name.starts_with(format), "{name} is read as {format}");
        kept.insert(format);
    }
    assert_eq!(kept.len(), formats.len(), "{kept:?} of {formats:?}");
}

/// Those who fuzz have all kinds, and no kind of another name.
#[test]
fn every_kind_of_input_is_a_target_of_the_fuzzer() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml");
    let Ok(manifest) = std::fs::read_to_string(manifest) else {
        return skip("fuzz is not in a package");
    };
    let (_, targets) = manifest.split_once("[[bin]]").expect("there are targets");
    let name = |line: &'_ str| line.strip_prefix("name = \"")?.strip_suffix('"').map(str::to_owned);
    let targets: Vec<String> = targets.lines().filter_map(name).collect();
    assert_eq!(targets, KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>());
}

/// What is kept stays small: it is part of every clone.
#[test]
fn the_inputs_that_are_kept_are_few_and_short() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    if !corpus.is_dir() {
        return skip("fuzz/corpus is not in a package");
    }
    let mut bytes = 0;
    for kind in KINDS {
        for path in files(&corpus.join(kind.name)) {
            let len = path.metadata().expect("it is there").len();
            assert!(len <= 4096, "{path:?} has {len} bytes");
            bytes += len;
        }
    }
    assert!(bytes < 200 << 10, "{bytes} bytes");
}
