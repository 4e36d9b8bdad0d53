//! Preflight: every check that can refuse before the first byte is written.
//!
//! What a path *is* has been found out by the time a job gets here; these are
//! the questions about source and destination together.

use std::path::Path;

use crate::durable::target::{OpenTarget, Target};
use crate::error::Refusal;
use crate::range::ByteRange;
use crate::source::OpenSource;
use crate::sys::{self, DeviceInfo, Directory, Facts, Node};

/// A copy that is about to begin.
pub struct Preflight<'a> {
    /// What is read.
    pub source: &'a OpenSource,
    /// What is written.
    pub target: &'a Target,
    /// What of the source.
    pub from: ByteRange,
    /// Where in the destination.
    pub to: ByteRange,
    /// Bytes of storage that a new file will need.
    pub space_needed: u64,
    /// The user accepts that the destination lies on the device being read.
    pub allow_same_device: bool,
}

impl Preflight<'_> {
    /// Refuses what must not be done, room or no room.
    ///
    /// # Errors
    ///
    /// The first reason found.
    pub fn check(&self) -> Result<(), Refusal> {
        self.is_not_itself()?;
        match self.target {
            Target::Device(target, info, _) => {
                self.fits_on_device(&target.path, info)?;
                self.device_is_not_read_from(&target.path, &target.facts)?;
            }
            Target::InPlace(target) => self.is_not_on_source_device(target.facts.device)?,
            Target::Staged(target) => {
                if let Ok(facts) = target.directory.own_facts() {
                    self.is_not_on_source_device(facts.device)?;
                }
            }
        }
        Ok(())
    }

    /// Refuses what there is no room for.
    ///
    /// # Errors
    ///
    /// [`Refusal::NoSpace`].
    pub fn check_space(&self) -> Result<(), Refusal> {
        match self.target {
            Target::Device(..) => Ok(()),
            Target::InPlace(target) => {
                let growth = self.to.end().saturating_sub(target.facts.size);
                self.has_space(space_around(target), growth)
            }
            Target::Staged(target) => self.has_space(target.directory.available_space(), u64::MAX),
        }
    }

    /// Source and destination under any two names: a link, a bind mount,
    /// another node of the same device.
    fn is_not_itself(&self) -> Result<(), Refusal> {
        let source = &self.source.facts;
        // Replacing a link to the source is refused too: what stands at the
        // name is asked, and what it leads to.
        // Nor is the source what an earlier run left, which this one discards.
        let others = match self.target {
            Target::Staged(target) => vec![target.path.clone(), target.part_path()],
            _ => Vec::new(),
        };
        let others = others.iter().filter_map(|path| sys::facts_of_path(path).ok().flatten());
        let mut named = self.target.facts().cloned().into_iter().chain(others);
        if !named.any(|facts| facts.same_thing(source)) {
            return Ok(());
        }
        let path = self.target.path().to_owned();
        let what = if source.node == Node::BlockDevice { "device" } else { "file" };
        if matches!(self.target, Target::Staged(_)) {
            let source_path = self.source.path.clone();
            return Err(Refusal::SameFile { source_path, path, what });
        }
        self.disjoint(self.from, self.to, what)
    }

    fn disjoint(&self, from: ByteRange, to: ByteRange, what: &'static str) -> Result<(), Refusal> {
        if !from.overlaps(to) {
            return Ok(());
        }
        let path = self.target.path().to_owned();
        Err(Refusal::Overlap { path, from: self.from, to: self.to, what })
    }

    fn fits_on_device(&self, path: &Path, info: &DeviceInfo) -> Result<(), Refusal> {
        if self.to.end() <= info.size {
            return Ok(());
        }
        let path = path.to_owned();
        Err(Refusal::DeviceTooSmall { path, range: self.to, size: info.size })
    }

    /// A device destination must not hold what is read: neither as a partition
    /// of one disk, nor as the file system that the source file lies on.
    fn device_is_not_read_from(&self, path: &Path, target: &Facts) -> Result<(), Refusal> {
        let target_region = sys::disk_region(target.represents);
        let source = &self.source.facts;
        if source.node == Node::BlockDevice {
            let source_region = sys::disk_region(source.represents);
            if source_region.disk != target_region.disk {
                return Ok(());
            }
            // Both as bytes of the whole disk.
            let on_disk = |range: ByteRange, start| range.rebase(0, start);
            let from = on_disk(self.from, source_region.start);
            let to = on_disk(self.to, target_region.start);
            return match (from, to) {
                (Some(from), Some(to)) => self.disjoint(from, to, "device"),
                _ => Ok(()),
            };
        }
        if sys::lies_on(source.device, &self.source.path, target.represents) {
            let source_path = self.source.path.clone();
            return Err(Refusal::SameDevice { path: path.to_owned(), source_path });
        }
        Ok(())
    }

    fn is_not_on_source_device(&self, file_system: u64) -> Result<(), Refusal> {
        if self.allow_same_device {
            return Ok(());
        }
        not_on_source_device(self.source, file_system, self.target.path())
    }

    /// Whether there is room for what is to be written, of which at most
    /// `new` bytes lie where there is nothing yet.
    fn has_space(&self, available: std::io::Result<u64>, new: u64) -> Result<(), Refusal> {
        let needed = self.space_needed.min(new);
        match available {
            Ok(available) if needed > available => {
                Err(Refusal::NoSpace { path: self.target.path().to_owned(), needed, available })
            }
            // A file system that does not say is taken at its word when it is full.
            _ => Ok(()),
        }
    }
}

/// Refuses a map where the copy itself reads or writes: it would replace the
/// bytes, and go when the copy is complete.
///
/// # Errors
///
/// The refusal.
pub fn check_map_is_apart(map: &Path, source: &OpenSource, target: &Target) -> Result<(), Refusal> {
    let facts = sys::facts_of_path(map).ok().flatten();
    let is = |other: &Facts| facts.as_ref().is_some_and(|facts| facts.same_thing(other));
    let will_be = match target {
        Target::Staged(target) => {
            let own = target.directory.own_facts().ok();
            let parent = map.parent().filter(|parent| !parent.as_os_str().is_empty());
            let parent = sys::facts_of_path(parent.unwrap_or(Path::new("."))).ok().flatten();
            let together = own.zip(parent).is_some_and(|(own, parent)| own.same_thing(&parent));
            let name = map.file_name();
            together && (name == Some(&target.name) || name == Some(&target.part_name()))
        }
        _ => false,
    };
    if will_be || is(&source.facts) || target.facts().is_some_and(is) {
        let map = crate::error::quoted(map);
        return Err(Refusal::Other(format!("--map {map} is what the copy itself reads or writes")));
    }
    Ok(())
}

/// Bytes free on the file system of an open file.
fn space_around(target: &OpenTarget) -> std::io::Result<u64> {
    let path = std::fs::canonicalize(&target.path)?;
    let directory = Directory::open(path.parent().unwrap_or(&path))?;
    // A single file can be a mount point.
    if directory.own_facts()?.device != target.facts.device {
        return Err(std::io::ErrorKind::CrossesDevices.into());
    }
    directory.available_space()
}

/// The classic mistake of carving: the files rescued from a disk are written
/// to the very file system they are rescued from.
///
/// # Errors
///
/// [`Refusal::SameDevice`] if `path` lies on a `file_system` on the device that is read.
pub fn not_on_source_device(
    source: &OpenSource,
    file_system: u64,
    path: &Path,
) -> Result<(), Refusal> {
    let facts = &source.facts;
    if facts.node != Node::BlockDevice || !sys::lies_on(file_system, path, facts.represents) {
        return Ok(());
    }
    Err(Refusal::SameDevice { path: path.to_owned(), source_path: source.path.clone() })
}
