//! What there is in a folder, to be compared: kinds, content, holes, modes,
//! times, owners, attributes, where links lead, and which names are of one file.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What something is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    pub kind: String,
    pub mode: u32,
    pub owner: (u32, u32),
    pub modified: (i64, i64),
    pub content: Vec<u8>,
    pub target: Option<PathBuf>,
    pub attributes: BTreeMap<OsString, Vec<u8>>,
    /// The first name, in order, of the same file.
    pub first: PathBuf,
    /// Whether it takes much less storage than it has bytes.
    pub is_sparse: bool,
}

/// Everything below `root`, and itself under an empty name.
pub fn look(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut names = vec![PathBuf::new()];
    let mut at = 0;
    while at < names.len() {
        let name = names[at].clone();
        at += 1;
        let path = root.join(&name);
        if path.symlink_metadata().is_ok_and(|data| data.is_dir()) {
            let entries =
                std::fs::read_dir(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
            names.extend(entries.map(|entry| name.join(entry.expect("an entry").file_name())));
        }
    }
    names.sort();
    let mut first = HashMap::new();
    let mut all = BTreeMap::new();
    for name in names {
        let seen = one(root, &name, &mut first);
        all.insert(name, seen);
    }
    all
}

fn one(root: &Path, name: &Path, first: &mut HashMap<(u64, u64), PathBuf>) -> Seen {
    // Joined with nothing, a path would end in a separator, which follows links.
    let path = if name.as_os_str().is_empty() { root.to_owned() } else { root.join(name) };
    let data = path.symlink_metadata().unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let kind = data.file_type();
    let what = if kind.is_dir() {
        "folder"
    } else if kind.is_symlink() {
        "link"
    } else if kind.is_fifo() {
        "pipe"
    } else if kind.is_socket() {
        "socket"
    } else if kind.is_file() {
        "file"
    } else {
        "device"
    };
    let thing = (data.dev(), data.ino());
    let first = match kind.is_file() {
        true => first.entry(thing).or_insert_with(|| name.to_owned()).clone(),
        false => name.to_owned(),
    };
    Seen {
        kind: what.to_owned(),
        // That of a link counts nowhere.
        mode: if kind.is_symlink() { 0 } else { data.mode() & 0o7777 },
        owner: (data.uid(), data.gid()),
        modified: (data.mtime(), data.mtime_nsec()),
        content: if kind.is_file() { std::fs::read(&path).expect("a file") } else { Vec::new() },
        target: std::fs::read_link(&path).ok(),
        attributes: attributes(&path),
        first,
        is_sparse: kind.is_file() && data.blocks() * 512 + (64 << 10) < data.size(),
    }
}

fn attributes(path: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let mut list = vec![0; 1 << 16];
    let Ok(len) = rustix::fs::llistxattr(path, &mut list) else { return BTreeMap::new() };
    let names = list[..len].split(|&byte| byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let name = std::ffi::OsStr::from_bytes(name);
        let mut value = vec![0; 1 << 16];
        let len = rustix::fs::lgetxattr(path, name, &mut value).unwrap_or(0);
        value.truncate(len);
        (name.to_owned(), value)
    };
    names.map(value).collect()
}

/// Asserts that both folders hold the same, but for what `forget` takes away.
#[track_caller]
pub fn assert_alike(found: &Path, wanted: &Path, forget: impl Fn(&mut Seen)) {
    let [mut found, mut wanted] = [found, wanted].map(look);
    for seen in found.values_mut().chain(wanted.values_mut()) {
        forget(seen);
    }
    let names = |all: &BTreeMap<PathBuf, Seen>| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&wanted));
    for (name, wanted) in wanted {
        let found = &found[&name];
        let bare = |seen: &Seen| Seen { content: Vec::new(), ..seen.clone() };
        assert_eq!(bare(found), bare(&wanted), "{name:?}");
        assert!(found.content == wanted.content, "the content of {name:?}");
    }
}
