//! What the destination is, found out without changing anything.
//!
//! The parent directory is opened once and everything later happens inside it,
//! by name, so that swapping a parent for a link changes nothing. This room
//! decides what *may* be written; `stage` does it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::part;
use crate::error::{ErrorKind, Refusal, Result, Side, escaped};
use crate::progress::{CancelToken, Event, Progress};
use crate::report::{DestinationReport, Kind};
use crate::source::copyable;
use crate::sys::{self, DeviceInfo, DeviceLock, Directory, FileKind, Guards, Metadata, Replace};

/// Ending of a file that is being written.
pub const PART_SUFFIX: &str = ".pcopy-part";

/// Ending of the resume map of a destination.
pub const MAP_SUFFIX: &str = ".pcopy-map";

/// What the user consents to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Consent {
    /// Replace an existing file.
    pub force: bool,
    /// Write into an existing file.
    pub in_place: bool,
    /// Write to a block device.
    pub to_device: bool,
    /// Write to what somebody else uses or has locked.
    pub even_if_in_use: bool,
}

/// What the destination is.
pub enum Target {
    /// A file that appears, or is replaced, when it is complete.
    Staged(StagedTarget),
    /// An existing file, changed inside the range.
    InPlace(OpenTarget),
    /// A block device.
    Device(OpenTarget, DeviceInfo, DeviceLock),
}

/// A name in a directory that is to be given to a complete file.
pub struct StagedTarget {
    /// Final path, for messages.
    pub path: PathBuf,
    /// Its directory.
    pub directory: Directory,
    /// Path of the directory, for messages.
    pub directory_path: PathBuf,
    /// Its name there.
    pub name: OsString,
    /// What has the name now.
    pub existing: Option<Metadata>,
    /// Whether the user consents to replacing what has the name.
    pub force: bool,
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

impl Target {
    /// Looks at `path`. If it is a directory, the destination is in it, under
    /// the name of `source`. Whether a file that is there may be replaced is
    /// another question: [`Target::check_replaceable`].
    ///
    /// # Errors
    ///
    /// A [`Refusal`]; nothing has been changed.
    pub fn look(path: &Path, source: &Path, consent: Consent) -> Result<Target> {
        let mut path = path.to_owned();
        let mut facts = facts_of(&path)?;
        if facts.as_ref().is_some_and(|facts| facts.node == FileKind::Directory) {
            path.push(source.file_name().ok_or_else(|| no_name(source))?);
            facts = facts_of(&path)?;
        }
        let Some(facts) = facts else {
            if consent.in_place {
                return Err(Refusal::NothingInPlace { path }.into());
            }
            // Nothing there, or a link that leads nowhere: the name decides.
            let target = StagedTarget::new(path, consent.force)?;
            if consent.to_device {
                return Err(Refusal::NotADevice { path: target.path }.into());
            }
            return Ok(Target::Staged(target));
        };
        copyable(Side::Destination, &path, facts.node)?;
        match facts.node {
            FileKind::BlockDevice => open_device(path, consent),
            _ if consent.to_device => Err(Refusal::NotADevice { path }.into()),
            _ if consent.in_place => open_in_place(path, consent),
            _ => Ok(Target::Staged(StagedTarget::new(path, consent.force)?)),
        }
    }

    /// Refuses to replace a file without the user's consent, one that another run
    /// is writing, or where the system would refuse it at the end.
    ///
    /// # Errors
    ///
    /// [`Refusal::Exists`], [`Refusal::Busy`] or [`Refusal::CannotReplace`].
    pub fn check_replaceable(&self) -> Result<(), Refusal> {
        match self {
            Target::Staged(target) if target.existing.is_none() => Ok(()),
            Target::Staged(target) if !target.force => {
                Err(Refusal::Exists { path: target.path.clone(), in_batch: false })
            }
            Target::Staged(target) if target.is_written() => {
                Err(Refusal::Busy { path: target.path.clone() })
            }
            Target::Staged(target) => Guards::now()
                .check_replaceable(&target.directory, &target.name)
                .map_err(|source| cannot_replace(&target.directory, &target.path, source)),
            _ => Ok(()),
        }
    }

    /// Who uses the file that will be replaced, and keeps the old one, in words.
    pub fn who_keeps_the_old(&self) -> Option<String> {
        let Target::Staged(target) = self else { return None };
        let user = sys::users(None, target.existing.as_ref()?)?;
        let path = crate::error::quoted(&target.path);
        Some(format!("{path} is in use ({user}): its user keeps the old file"))
    }

    /// Final path.
    pub fn path(&self) -> &Path {
        match self {
            Target::Staged(target) => &target.path,
            Target::InPlace(target) | Target::Device(target, ..) => &target.path,
        }
    }

    /// What stands at the final path now.
    pub fn facts(&self) -> Option<&Metadata> {
        match self {
            Target::Staged(target) => target.existing.as_ref(),
            Target::InPlace(target) | Target::Device(target, ..) => Some(&target.facts),
        }
    }

    /// Whether what is written can be read back. A new file always can.
    pub fn is_readable(&self) -> bool {
        match self {
            Target::Staged(_) => true,
            Target::InPlace(target) | Target::Device(target, ..) => target.is_readable,
        }
    }

    /// Serial number, if it is a device that has one.
    pub fn serial(&self) -> Option<String> {
        match self {
            Target::Device(_, info, _) => info.serial.clone(),
            _ => None,
        }
    }

    /// The part of the report that describes it.
    pub fn report(&self) -> DestinationReport {
        let kind = if matches!(self, Target::Device(..)) { Kind::BlockDevice } else { Kind::File };
        DestinationReport { path: self.path().to_owned(), kind }
    }

    /// The destination in one line, a device with model and serial number.
    pub fn describe(&self) -> String {
        let name = crate::error::quoted(self.path());
        match self {
            Target::Staged(_) => name.to_string(),
            Target::InPlace(_) => format!("{name} (in place)"),
            Target::Device(_, info, _) => format!("{name} ({})", describe_device(info)),
        }
    }
}

/// Model, serial number and size of a device, as far as it says.
pub fn describe_device(info: &DeviceInfo) -> String {
    let mut words = Vec::new();
    if let Some(model) = &info.model {
        words.push(model.clone());
    }
    if let Some(serial) = &info.serial {
        words.push(format!("serial {serial}"));
    }
    words.push(format!("{} bytes", info.size));
    escaped(&words.join(", ")).into_owned()
}

impl StagedTarget {
    fn new(path: PathBuf, force: bool) -> Result<StagedTarget> {
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
            let what = format!("there is no directory {}", crate::error::quoted(&path));
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
        Ok(StagedTarget { path, directory, directory_path, name, existing, force })
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
        sibling_name(&self.name, PART_SUFFIX)
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

fn facts_of(path: &Path) -> Result<Option<Metadata>, Refusal> {
    sys::facts_of_path(path).map_err(|source| Refusal::CannotOpen {
        side: Side::Destination,
        path: path.to_owned(),
        source,
    })
}

fn no_name(path: &Path) -> Refusal {
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

fn open_in_place(path: PathBuf, consent: Consent) -> Result<Target> {
    let cannot_open = |path: &Path, source| {
        let path = path.to_owned();
        Refusal::CannotOpen { side: Side::Destination, path, source }
    };
    let (file, is_readable) = sys::open_in_place(&path).map_err(|error| {
        let source = sys::why_not_writable(&path).unwrap_or(error);
        cannot_open(&path, source)
    })?;
    let facts = facts_of_open(&path, &file)?;
    if facts.node != FileKind::File {
        copyable(Side::Destination, &path, facts.node)?;
        return Err(Refusal::DeviceBusy { path }.into());
    }
    Guards::now().check_writable(&facts).map_err(|source| cannot_open(&path, source))?;
    check_unused(&path, &file, &facts, consent)?;
    Ok(Target::InPlace(OpenTarget { path, file, is_readable, facts }))
}

/// Before any lock of our own: some servers make no difference between its kind
/// and that of others.
fn check_unused(
    path: &Path,
    file: &File,
    facts: &Metadata,
    consent: Consent,
) -> Result<(), Refusal> {
    let user = if consent.even_if_in_use { None } else { sys::users(Some(file), facts) };
    match user {
        Some(user) => Err(Refusal::InUse { path: path.to_owned(), user }),
        None => Ok(()),
    }
}

fn open_device(path: PathBuf, consent: Consent) -> Result<Target> {
    let description = || {
        let reader = sys::open_source(&path).and_then(|file| sys::device_info(&file));
        reader.map_or_else(|error| error.to_string(), |info| describe_device(&info))
    };
    if !consent.to_device {
        return Err(Refusal::DeviceWithoutConsent { description: description(), path }.into());
    }
    // Asked before opening for writing: a read-only device can be opened by
    // root all the same and fails with the first write.
    let reader = open(&path, sys::open_source)?;
    let info = device_info_of(&path, &reader)?;
    if info.size == 0 {
        return Err(Refusal::NoMedium { side: Side::Destination, path }.into());
    }
    if info.read_only {
        return Err(Refusal::DeviceReadOnly { path }.into());
    }
    let (file, claim) = match sys::open_device(&path) {
        Ok(open) => open,
        Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
            return Err(Refusal::DeviceBusy { path }.into());
        }
        Err(source) => {
            return Err(Refusal::CannotOpen { side: Side::Destination, path, source }.into());
        }
    };
    let facts = facts_of_open(&path, &file)?;
    if facts.node != FileKind::BlockDevice {
        return Err(Refusal::NotADevice { path }.into());
    }
    check_unused(&path, &file, &facts, consent)?;
    let info = device_info_of(&path, &file)?;
    let target = OpenTarget { path, file, is_readable: true, facts };
    Ok(Target::Device(target, info, claim))
}

/// How long whoever holds a device for a moment may hold it, where the user does
/// not say otherwise: udev takes a second to look at a stick.
pub const LONGEST_MOMENT: Duration = Duration::from_secs(5);

/// How often one looks whether a device is free.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Waits, at most for `time`, while somebody holds the device at `path` for a
/// moment. Who holds it then is found when it is opened.
///
/// # Errors
///
/// [`ErrorKind::Cancelled`].
pub fn wait_until_free(
    path: &Path,
    time: Duration,
    progress: &Progress,
    cancel: &CancelToken,
) -> Result<()> {
    let begin = Instant::now();
    let mut told = false;
    while begin.elapsed() < time && sys::is_held_for_a_moment(path) {
        if !std::mem::replace(&mut told, true) {
            let name = crate::error::quoted(path);
            progress.event(Event::Note(format!("{name} is locked: waiting")));
        }
        std::thread::sleep(LOOK_EVERY.min(time));
        if cancel.is_cancelled() {
            return Err(ErrorKind::Cancelled.into());
        }
    }
    Ok(())
}

fn open(path: &Path, how: impl Fn(&Path) -> std::io::Result<File>) -> Result<File, Refusal> {
    how(path).map_err(|source| Refusal::CannotOpen {
        side: Side::Destination,
        path: path.to_owned(),
        source,
    })
}

fn facts_of_open(path: &Path, file: &File) -> Result<Metadata, Refusal> {
    sys::facts_as(file, path).map_err(|source| Refusal::CannotOpen {
        side: Side::Destination,
        path: path.to_owned(),
        source,
    })
}

fn device_info_of(path: &Path, file: &File) -> Result<DeviceInfo, Refusal> {
    sys::device_info(file).map_err(|source| Refusal::CannotOpen {
        side: Side::Destination,
        path: path.to_owned(),
        source,
    })
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
}
