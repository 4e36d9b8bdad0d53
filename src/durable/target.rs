//! Where a destination is written: a name in a directory that a new file is to
//! get, or what is open and written where it is.
//!
//! The parent directory is opened once and everything later happens inside it,
//! by name, so that swapping a parent for a link changes nothing. Nothing is
//! changed here; which of the two a path means is for `endpoint` to find out.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::part;
use crate::error::{Refusal, Result, Side, quoted};
use crate::sys::{self, Directory, FileKind, Guards, Metadata, Replace};

/// Ending of a file that is being written.
pub const PART_SUFFIX: &str = ".pcopy-part";

/// Ending of the resume map of a destination.
pub const MAP_SUFFIX: &str = ".pcopy-map";

/// A name in a directory that is to be given to a complete file.
pub struct StagedTarget {
    /// Final path, for messages.
    pub path: PathBuf,
    /// Its directory, open; shared by several names in it.
    pub directory: Arc<Directory>,
    /// Path of the directory, for messages.
    pub directory_path: PathBuf,
    /// Its name there.
    pub name: OsString,
    /// What has the name now.
    pub existing: Option<Metadata>,
    /// Whether the user consents to replacing what has the name.
    pub force: bool,
    /// What it is called while it is written, where not as of a copy by one process.
    pub own_part: Option<OsString>,
}

/// A destination that is written where it is.
pub struct OpenTarget {
    /// Path, for messages.
    pub path: PathBuf,
    /// Open for writing, and for reading where that is allowed.
    pub file: File,
    /// Whether it can be read.
    pub is_readable: bool,
    /// What it is.
    pub facts: Metadata,
}

impl StagedTarget {
    /// Looks at `path`, which `force` allows to be replaced. Whether what is there
    /// may be replaced is another question: [`StagedTarget::check_replaceable`].
    ///
    /// # Errors
    ///
    /// A [`Refusal`]; nothing has been changed.
    pub fn look_at(path: PathBuf, force: bool) -> Result<StagedTarget> {
        let name = path.file_name().ok_or_else(|| no_name(&path))?.to_owned();
        let directory_path = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let cannot_create = |source| Refusal::CannotCreate {
            directory: directory_path.clone(),
            name: PathBuf::from(&name),
            source,
        };
        let ends_in_separator = path.as_os_str().as_encoded_bytes().last();
        let ends_in_separator =
            ends_in_separator.is_some_and(|&byte| std::path::is_separator(char::from(byte)));
        if ends_in_separator {
            let what = format!("there is no directory {}", quoted(&path));
            return Err(Refusal::Other(what).into());
        }
        let directory = Directory::open(&directory_path).map_err(cannot_create)?;
        let existing = directory.facts(&name).map_err(cannot_create)?;
        if let Err(error) = directory.check_writable() {
            return Err(match &existing {
                Some(_) => cannot_replace(&directory, &path, error).into(),
                None => cannot_create(error).into(),
            });
        }
        // Also if a file is there: what is written first is beside it.
        if directory.own_facts().is_ok_and(|facts| sys::holds_device_nodes(&facts)) {
            return Err(Refusal::AmongDevices { path, exists: existing.is_some() }.into());
        }
        let directory = Arc::new(directory);
        let own_part = None;
        Ok(StagedTarget { path, directory, directory_path, name, existing, force, own_part })
    }

    /// Another name in the same directory.
    ///
    /// # Errors
    ///
    /// [`Refusal::CannotOpen`] if the system does not say what has the name.
    pub fn beside(&self, name: OsString) -> Result<StagedTarget, Refusal> {
        let path = self.path.with_file_name(&name);
        let found = self.directory.facts(&name);
        let existing = found.map_err(|source| cannot_open(&path, source))?;
        let (directory, directory_path) =
            (Arc::clone(&self.directory), self.directory_path.clone());
        let (force, own_part) = (self.force, None);
        Ok(StagedTarget { path, directory, directory_path, name, existing, force, own_part })
    }

    /// Refuses to replace a file without the user's consent, one that another run
    /// is writing, or where the system would refuse it at the end.
    ///
    /// # Errors
    ///
    /// [`Refusal::Exists`], [`Refusal::Busy`] or [`Refusal::CannotReplace`].
    pub fn check_replaceable(&self) -> Result<(), Refusal> {
        if self.existing.is_none() {
            return Ok(());
        }
        if !self.force {
            return Err(Refusal::Exists { path: self.path.clone(), in_batch: false });
        }
        if self.is_written() {
            return Err(Refusal::Busy { path: self.path.clone() });
        }
        Guards::now()
            .check_replaceable(&self.directory, &self.name)
            .map_err(|source| cannot_replace(&self.directory, &self.path, source))
    }

    /// Refuses a name that was free when it was looked at, and is taken by now; or what
    /// is to be replaced, if another run has begun to write it.
    ///
    /// # Errors
    ///
    /// [`Refusal::Exists`] or [`Refusal::Busy`].
    pub fn check_still_free(&self) -> Result<(), Refusal> {
        let path = || self.path.clone();
        if self.force {
            return if self.is_written() { Err(Refusal::Busy { path: path() }) } else { Ok(()) };
        }
        if self.existing.is_some() {
            return Ok(());
        }
        // What the system does not say now, it says when the file is to get its name.
        match self.directory.facts(&self.name) {
            Ok(Some(_)) => Err(Refusal::Exists { path: path(), in_batch: false }),
            _ => Ok(()),
        }
    }

    /// Who uses the file that will be replaced, and keeps the old one, in words.
    pub fn who_keeps_the_old(&self) -> Option<String> {
        let user = sys::users(None, self.existing.as_ref()?)?;
        let path = quoted(&self.path);
        Some(format!("{path} is in use ({user}): its user keeps the old file"))
    }

    /// Whether another run is writing, where it is, the file that would be replaced.
    pub fn is_written(&self) -> bool {
        let there = self.directory.facts(&self.name).ok().flatten();
        there.is_some_and(|there| there.node == FileKind::File)
            && part::is_written(&self.directory, &self.name)
    }

    /// Whether committing replaces what has the name then. What has it now is
    /// no consent: `resume` lets it past until it is known whose it is.
    pub fn replace(&self) -> Replace {
        if self.force { Replace::Yes } else { Replace::Never }
    }

    /// Name of the file that is written before it gets its final name.
    pub fn part_name(&self) -> OsString {
        let shared = self.own_part.clone();
        shared.unwrap_or_else(|| sibling_name(&self.name, PART_SUFFIX))
    }

    /// While it is written, it is called by the `tag` of all who write it.
    pub fn write_by_several(&mut self, tag: &str) {
        self.own_part = Some(sibling_name(&self.name, &format!(".{tag}{PART_SUFFIX}")));
    }

    /// Path of that file, for messages.
    pub fn part_path(&self) -> PathBuf {
        self.directory_path.join(self.part_name())
    }
}

/// `name` with `suffix`. Where that would be too long for a file system, the
/// name is cut and a hash of the whole name keeps it distinct.
pub fn sibling_name(name: &OsStr, suffix: &str) -> OsString {
    let mut sibling = name.to_owned();
    sibling.push(suffix);
    if sibling.len() <= sys::NAME_MAX {
        return sibling;
    }
    let tag = format!("~{:016x}", fnv1a(name.as_encoded_bytes()));
    let room = sys::NAME_MAX - suffix.len() - tag.len();
    // Lossy is enough: the hash is what tells names apart.
    let mut short: String = name.to_string_lossy().into_owned();
    while short.len() > room {
        short.pop();
    }
    OsString::from(short + &tag + suffix)
}

/// FNV-1a, 64 bits: stable over versions, which std's hashers are not, so that
/// a later run finds the part of an earlier one.
fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// That `path` ends in no name that a file could get.
pub fn no_name(path: &Path) -> Refusal {
    Refusal::NotCopyable {
        side: Side::Destination,
        path: path.to_owned(),
        what: "no name for a file",
        hint: "end it in the name the copy shall have",
    }
}

/// That the file at `path`, in `directory`, cannot be replaced, and whether it
/// could be written.
fn cannot_replace(directory: &Directory, path: &Path, source: std::io::Error) -> Refusal {
    // Swap space can be opened, and not written.
    let is_swap = source.kind() == std::io::ErrorKind::ExecutableFileBusy;
    let name = path.file_name().unwrap_or_default();
    let is_open = |file: File| !sys::is_virtual(&file);
    let in_place = !is_swap && directory.open_existing(name).is_ok_and(is_open);
    Refusal::CannotReplace { path: path.to_owned(), in_place, source }
}

impl OpenTarget {
    /// Takes what was opened at `path` for writing, and perhaps for reading.
    ///
    /// # Errors
    ///
    /// [`Refusal::CannotOpen`] if the system does not say what it is.
    pub fn new(path: PathBuf, file: File, is_readable: bool) -> Result<OpenTarget, Refusal> {
        match sys::facts_as(&file, &path) {
            Ok(facts) => Ok(OpenTarget { path, file, is_readable, facts }),
            Err(source) => Err(cannot_open(&path, source)),
        }
    }

    /// Refuses what somebody uses, unless the user says that this does not matter.
    /// To be asked before any lock of our own: some servers make no difference
    /// between its kind and that of others.
    ///
    /// # Errors
    ///
    /// [`Refusal::InUse`].
    pub fn check_unused(&self, even_if_in_use: bool) -> Result<(), Refusal> {
        let user = if even_if_in_use { None } else { sys::users(Some(&self.file), &self.facts) };
        match user {
            Some(user) => Err(Refusal::InUse { path: self.path.clone(), user }),
            None => Ok(()),
        }
    }
}

/// That the destination at `path` cannot be opened, or not be looked at.
pub fn cannot_open(path: &Path, source: std::io::Error) -> Refusal {
    Refusal::CannotOpen { side: Side::Destination, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_length_get_a_sibling_that_fits() {
        let long_a = "a".repeat(255);
        let long_b = "a".repeat(254) + "b";
        let wide = "ü".repeat(127);
        for name in ["x", &long_a, &long_b, &wide] {
            let part = sibling_name(OsStr::new(name), PART_SUFFIX);
            assert!(part.len() <= 255 && part.to_string_lossy().ends_with(PART_SUFFIX));
        }
        assert_eq!(sibling_name(OsStr::new("x"), PART_SUFFIX), "x.pcopy-part");
        assert_ne!(
            sibling_name(OsStr::new(&long_a), PART_SUFFIX),
            sibling_name(OsStr::new(&long_b), PART_SUFFIX)
        );
    }

    /// A name that fits stays as it is, and no name is shorter than it must be.
    #[test]
    fn only_a_name_that_does_not_fit_is_cut() {
        let of = |len: usize| sibling_name(OsStr::new(&"a".repeat(len)), PART_SUFFIX);
        let most = sys::NAME_MAX - PART_SUFFIX.len();
        assert_eq!(of(most), OsString::from("a".repeat(most) + PART_SUFFIX));
        let cut = of(most + 1).into_string().unwrap();
        assert!(cut.len() == sys::NAME_MAX && cut.contains('~'), "{cut}");
    }

    /// Values that are published with the function: other versions must find the same names.
    #[test]
    fn the_hash_of_a_name_is_fnv_1a() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
