//! Preflight: every check that can refuse before the first byte is written.
//!
//! What a path *is* has been found out by the time a job gets here; these are
//! the questions about source and destination together; `roles` asks about all
//! the other files of a job.

pub mod protection;
pub mod roles;

use std::path::Path;

use self::roles::Footprint;
use crate::durable::target::{OpenTarget, StagedTarget};
use crate::error::Refusal;
use crate::range::{ByteRange, Mapping};
use crate::source::OpenSource;
use crate::sys::{self, FileKind, Layer, Metadata, Thing};

/// A copy that is about to begin.
pub struct Preflight<'a> {
    /// What is read; `None` if that is neither a file nor a device.
    pub source: Option<&'a OpenSource>,
    /// What is written, for messages.
    pub path: &'a Path,
    /// What of the source, and where it goes.
    pub mapping: Mapping,
    /// The user accepts that the destination lies on the device being read.
    pub allow_same_device: bool,
}

impl Preflight<'_> {
    /// Refuses a new file at `target` that would replace the source, or lie on it.
    ///
    /// # Errors
    ///
    /// The first reason found.
    pub fn check_new_file(&self, target: &StagedTarget) -> Result<(), Refusal> {
        let mut files = self.source.map_or(&[][..], OpenSource::files).iter();
        files.try_for_each(|file| self.check_new_file_for(file, target))
    }

    fn check_new_file_for(&self, open: &OpenSource, target: &StagedTarget) -> Result<(), Refusal> {
        let source = &open.facts;
        // Replacing a link to the source is refused too: what stands at the
        // name is asked, and what it leads to.
        // Nor is the source what an earlier run left, which this one discards.
        let others = [target.path.clone(), target.part_path()];
        let others = others.iter().filter_map(|path| sys::facts_of_path(path).ok().flatten());
        let mut named = target.existing.clone().into_iter().chain(others);
        let behind: Vec<Thing> = files_behind(source, &open.path).collect();
        let is_it =
            |facts: &Metadata| facts.same_thing(source) || behind.contains(&Thing::of(facts));
        if let Some(found) = named.find(is_it) {
            let (source_path, path) = (open.path.clone(), self.path.to_owned());
            return Err(Refusal::SameFile { source_path, path, what: word(Thing::of(&found)) });
        }
        let Ok(facts) = target.directory.own_facts() else { return Ok(()) };
        self.lies_apart(open, &facts, &target.directory_path, || match source.node {
            FileKind::BlockDevice => sys::layers(source, &open.path),
            // Nothing that is there is written: what the source file lies on does not matter.
            _ => itself(source),
        })
    }

    /// Refuses to write, in the source itself, what is read: source and `target`
    /// under any two names, as a link, a bind mount, another node of a device.
    ///
    /// # Errors
    ///
    /// [`Refusal::Overlap`].
    pub fn check_ranges(&self, target: &OpenTarget) -> Result<(), Refusal> {
        let is_it = |open: &OpenSource| target.facts.same_thing(&open.facts);
        // Of several files, any byte of one may be read.
        let overlaps =
            |open: &OpenSource| open.is_joined() || self.mapping.from().overlaps(self.mapping.to());
        let is_read = |open: &OpenSource| open.files().iter().any(is_it) && overlaps(open);
        match self.source.is_some_and(is_read) {
            true => Err(self.overlap(word(Thing::of(&target.facts)))),
            false => Ok(()),
        }
    }

    /// Refuses to write what is read, whatever lies between `target`, the source and
    /// the disk.
    ///
    /// # Errors
    ///
    /// The first reason found.
    pub fn check_layers(&self, target: &OpenTarget) -> Result<(), Refusal> {
        let mut files = self.source.map_or(&[][..], OpenSource::files).iter();
        files.try_for_each(|open| {
            let layers = || sys::layers(&open.facts, &open.path);
            self.lies_apart(open, &target.facts, &target.path, layers)
        })
    }

    /// What is read of `open`, in the layers `read`, and what is written, in `facts` at `path`,
    /// must have no byte in common.
    fn lies_apart(
        &self,
        open: &OpenSource,
        facts: &Metadata,
        path: &Path,
        read: impl FnOnce() -> Vec<Layer>,
    ) -> Result<(), Refusal> {
        if are_beside(&open.facts, facts) {
            return Ok(());
        }
        let is_one_of_several = self.source.is_some_and(OpenSource::is_joined);
        let (from, to) = match is_one_of_several {
            true => (ByteRange::to(open.facts.size), ByteRange::to(u64::MAX)),
            false => (self.mapping.from(), self.mapping.to()),
        };
        let meeting = meet(&read(), from, &sys::layers(facts, path), to);
        self.judge(&meeting, open, [from, to])
    }

    /// Refuses to write `written` of what is at `target` where any byte of the source
    /// may lie: for a copy that reads it in pieces, of which nobody looks at each.
    ///
    /// # Errors
    ///
    /// The first reason found.
    pub fn check_all(&self, target: &Footprint<'_>, written: ByteRange) -> Result<(), Refusal> {
        let Some(open) = self.source else { return Ok(()) };
        if let Some(staged) = target.staged {
            return self.check_new_file(staged);
        }
        let Some(facts) = target.facts else { return Ok(()) };
        let ranges = [ByteRange::to(open.facts.size), written];
        if facts.same_thing(&open.facts) {
            return self.judge(&Meeting::Overlap(word(Thing::of(facts))), open, ranges);
        }
        if are_beside(&open.facts, facts) {
            return Ok(());
        }
        let (read, layers) =
            (sys::layers(&open.facts, &open.path), sys::layers(facts, target.path));
        self.judge(&meet(&read, ranges[0], &layers, written), open, ranges)
    }

    /// What becomes of a copy whose ends, of which `from` is read and `to` is written,
    /// lie to each other in this way.
    fn judge(
        &self,
        meeting: &Meeting,
        open: &OpenSource,
        [from, to]: [ByteRange; 2],
    ) -> Result<(), Refusal> {
        let (path, source_path) = (self.path.to_owned(), open.path.clone());
        match *meeting {
            Meeting::Apart => Ok(()),
            Meeting::Overlap(what) => Err(Refusal::Overlap { path, from, to, what }),
            Meeting::SourceInside => Err(Refusal::HoldsSource { path, source_path }),
            Meeting::TargetInside if self.allow_same_device => Ok(()),
            Meeting::TargetInside => Err(Refusal::SameDevice { path, source_path }),
        }
    }

    fn overlap(&self, what: &'static str) -> Refusal {
        let (from, to) = (self.mapping.from(), self.mapping.to());
        Refusal::Overlap { path: self.path.to_owned(), from, to, what }
    }
}

/// Refuses what there is no room for: `path` needs so many bytes of those
/// `available`. A file system that does not say is taken at its word when it is full.
///
/// # Errors
///
/// [`Refusal::NoSpace`].
pub fn check_space(
    path: &Path,
    needed: u64,
    available: std::io::Result<u64>,
) -> Result<(), Refusal> {
    match available {
        Ok(available) if needed > available => {
            Err(Refusal::NoSpace { path: path.to_owned(), needed, available })
        }
        _ => Ok(()),
    }
}

/// Refuses a file that would be longer than the `longest` that the file system or
/// the limit of the process allows.
///
/// # Errors
///
/// [`Refusal::TooLarge`].
pub fn check_length(path: &Path, len: u64, longest: u64) -> Result<(), Refusal> {
    match len <= longest {
        true => Ok(()),
        false => Err(Refusal::TooLarge { path: path.to_owned(), len }),
    }
}

/// Whether `path` is the name of nothing yet in a directory that holds device
/// nodes: a device that was misspelt, where no file and no folder is made.
pub fn is_new_among_devices(path: &Path) -> bool {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let holds_nodes = |parent| match sys::facts_of_path(parent) {
        Ok(Some(facts)) => sys::holds_device_nodes(&facts),
        _ => false,
    };
    path.symlink_metadata().is_err() && holds_nodes(parent.unwrap_or(Path::new(".")))
}

/// How the bytes of a source and of a destination lie to each other.
enum Meeting {
    /// They have none in common.
    Apart,
    /// They share some, of a file or a device.
    Overlap(&'static str),
    /// The source lies somewhere in what is written, as a file on a device does.
    SourceInside,
    /// The destination lies somewhere in what is read.
    TargetInside,
}

/// Compares two ends by what their bytes lie in: `from` of the source and `to` of
/// the destination. Where both are somewhere on one device, as two files of a
/// file system are, they are apart.
fn meet(source: &[Layer], from: ByteRange, target: &[Layer], to: ByteRange) -> Meeting {
    let pairs = source.iter().flat_map(|read| target.iter().map(move |written| (read, written)));
    let mut found = Meeting::Apart;
    for (read, written) in pairs.filter(|(read, written)| read.thing == written.thing) {
        let within = read.within.overlaps(written.within);
        match (read.start, written.start) {
            (Some(start), Some(to_start)) => {
                let ranges = from.rebase(0, start).zip(to.rebase(0, to_start));
                if ranges.is_some_and(|(from, to)| from.overlaps(to)) {
                    return Meeting::Overlap(word(read.thing));
                }
            }
            (None, Some(_)) if within => found = Meeting::SourceInside,
            (Some(_), None) if within => found = Meeting::TargetInside,
            _ => {}
        }
    }
    found
}

fn word(thing: Thing) -> &'static str {
    if matches!(thing, Thing::Device(_)) { "device" } else { "file" }
}

/// A file, and not what it lies on.
fn itself(file: &Metadata) -> Vec<Layer> {
    vec![Layer { thing: Thing::of(file), start: Some(0), within: ByteRange::to(u64::MAX) }]
}

/// Whether both are files of one file system, so that neither is behind the other.
fn are_beside(one: &Metadata, other: &Metadata) -> bool {
    one.device == other.device && ![one.node, other.node].contains(&FileKind::BlockDevice)
}

/// Whether writing what has these facts, at `path`, changes the source, which is
/// allowed where no byte that is read changes.
pub fn changes(source: &OpenSource, facts: &Metadata, path: &Path) -> bool {
    source.files().iter().any(|file| changes_file(file, facts, path))
}

fn changes_file(source: &OpenSource, facts: &Metadata, path: &Path) -> bool {
    if facts.same_thing(&source.facts) {
        return true;
    }
    // A device does not say that it was written to.
    let is_device = source.facts.node == FileKind::BlockDevice;
    if is_device || are_beside(&source.facts, facts) {
        return false;
    }
    let source = Thing::of(&source.facts);
    sys::layers(facts, path).iter().any(|layer| layer.thing == source)
}

/// The files that a source stands for, if it is a device: those behind loop devices.
pub fn files_behind(source: &Metadata, path: &Path) -> impl Iterator<Item = Thing> {
    let is_device = source.node == FileKind::BlockDevice;
    let layers = is_device.then(|| sys::layers(source, path));
    let files = layers.into_iter().flatten().filter(|layer| layer.start.is_some());
    files.map(|layer| layer.thing).filter(|thing| matches!(thing, Thing::File { .. }))
}

/// A directory that files will be made in, and what those will lie in.
pub struct Ground {
    device: u64,
    layers: Vec<Layer>,
}

impl Ground {
    /// Of a directory with these facts, which `path` leads to.
    pub fn of(directory: &Metadata, path: &Path) -> Ground {
        Ground { device: directory.device, layers: sys::layers(directory, path) }
    }

    /// The classic mistake of carving: the files rescued from a disk are written
    /// to the very file system they are rescued from. `path` is for the message.
    ///
    /// # Errors
    ///
    /// [`Refusal::SameDevice`] if what is written there changes the source.
    pub fn check(&self, source: &Metadata, source_path: &Path, path: &Path) -> Result<(), Refusal> {
        let layers = match source.node {
            FileKind::BlockDevice => sys::layers(source, source_path),
            _ if source.device == self.device => return Ok(()),
            // Where it lies is known to the byte on neither side.
            _ => itself(source),
        };
        match meet(&layers, ByteRange::default(), &self.layers, ByteRange::default()) {
            Meeting::Apart => Ok(()),
            _ => {
                let (path, source_path) = (path.to_owned(), source_path.to_owned());
                Err(Refusal::SameDevice { path, source_path })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every place of a small source and destination in one thing, against a list
    /// of the bytes of each.
    #[test]
    fn ranges_meet_where_they_share_a_byte_of_one_thing() {
        let layer = |inode, start| {
            let within = ByteRange::to(u64::MAX);
            Layer { thing: Thing::File { device: 1, inode }, start, within }
        };
        let range = |start, len| ByteRange::with_len(start, len).expect("small");
        for (a, from, len) in [(0, 0, 3), (2, 1, 3), (3, 0, 1), (0, 4, 0)] {
            for b in 0..6 {
                for to in 0..6 {
                    let read = [layer(7, Some(0)), layer(8, Some(a))];
                    let written = [layer(9, Some(0)), layer(8, Some(b))];
                    let meeting = meet(&read, range(from, len), &written, range(to, len));
                    let shared = (0..len).any(|n| (0..len).any(|m| a + from + n == b + to + m));
                    let what = format!("{len} bytes at {a}+{from} and {b}+{to}");
                    assert_eq!(matches!(meeting, Meeting::Overlap("file")), shared, "{what}");
                    assert_eq!(matches!(meeting, Meeting::Apart), !shared, "{what}");
                }
            }
        }
    }

    /// A file system on a partition, and a copy to or from the other one.
    #[test]
    fn what_lies_somewhere_meets_what_is_around_it() {
        let on = |number, start, from, to| {
            let within = ByteRange::new(from, to).expect("in order");
            Layer { thing: Thing::Device(number), start, within }
        };
        let (first, second) = (on(1, None, 0, 100), on(0, None, 1000, 1100));
        let file = [first, second];
        let partition = [on(1, Some(0), 0, 100), on(0, Some(1000), 1000, 1100)];
        let other = [on(2, Some(0), 0, 100), on(0, Some(1100), 1100, 1200)];
        let disk = [on(0, Some(0), 0, 5000)];
        let ten = ByteRange::to(10);
        let between = |read: &[Layer], written: &[Layer]| meet(read, ten, written, ten);
        assert!(matches!(between(&partition, &file), Meeting::TargetInside));
        assert!(matches!(between(&disk, &file), Meeting::TargetInside));
        assert!(matches!(between(&file, &disk), Meeting::SourceInside));
        assert!(matches!(between(&file, &partition), Meeting::SourceInside));
        for (read, written) in [(&other[..], &file[..]), (&file, &other), (&file, &file)] {
            assert!(matches!(between(read, written), Meeting::Apart));
        }
        assert!(matches!(between(&partition, &other), Meeting::Apart));
        assert!(matches!(between(&partition, &disk), Meeting::Apart));
        let there = meet(&partition, ten, &disk, ByteRange::new(1009, 1019).expect("in order"));
        assert!(matches!(there, Meeting::Overlap("device")));
    }

    /// What fits exactly fits.
    #[test]
    fn one_byte_more_than_there_is_room_for_is_refused() {
        let path = Path::new("copy");
        for (needed, fits) in [(0, true), (99, true), (100, true), (101, false)] {
            assert_eq!(check_space(path, needed, Ok(100)).is_ok(), fits, "{needed} bytes");
            assert_eq!(check_length(path, needed, 100).is_ok(), fits, "{needed} bytes");
        }
        // Where the system does not say, the writes will.
        let unknown = Err(std::io::ErrorKind::Unsupported.into());
        assert!(check_space(path, u64::MAX, unknown).is_ok());
    }
}
