//! Where nothing is synced, small files are written without a name and get theirs when
//! they are complete: that takes fewer calls than a part of its own and a rename, no
//! other program can reach the file before, and a run that is killed leaves nothing of
//! it. A name that something has already takes a rename. To be durable, a file needs a
//! name before it is synced: not every file system makes one durable that it got later.

use std::fs::File;
use std::io;
use std::sync::OnceLock;

use super::output::Output;
use super::outputs::{Make, Outputs};
use super::staging::same_file;
use crate::durable::part;
use crate::sync::atomic::Ordering;
use crate::sys::{self, Directory, FileSystemKind, Metadata, Replace};

/// The device of a folder whose files can be without a name and get one later, if there
/// is one: found out with the first file.
pub type Device = OnceLock<Option<u64>>;

/// File systems on which that takes no longer than a rename. On others, as on ZFS, it may
/// wait for the disk, or a program serves them, and a name may lead to another file.
const SUITABLE: [FileSystemKind; 4] =
    [FileSystemKind::Ext, FileSystemKind::Xfs, FileSystemKind::Btrfs, FileSystemKind::Tmpfs];

impl Outputs {
    /// Whether files may be without a name until they are complete.
    pub(super) fn have_unnamed(&self) -> bool {
        matches!(self.unnamed_on.get(), Some(Some(_)))
    }

    /// A file for `output` that has no name, or, if it is the first, that of its part.
    /// `None` if it has to be made as a part.
    pub(super) fn create_unnamed(
        &self,
        output: &Output,
        directory: &Directory,
        how: Make,
    ) -> Option<(File, Metadata)> {
        let wanted = &output.wanted;
        let is_new = wanted.replace == Replace::Never && wanted.suffix.is_none() && !how.keep;
        let may_be = is_new && how.at_once && self.group_sync().is_none();
        if !may_be || self.unnamed_on.get() == Some(&None) {
            return None;
        }
        // Whatever an earlier run left is in the way, or goes.
        if self.earlier.discard && directory.facts(&output.part_name()).ok()?.is_some() {
            return None;
        }
        // It stays open until it has its name.
        if !self.have_room_for_one() {
            return None;
        }
        let made = directory.create_unnamed();
        let made = made.and_then(|file| sys::facts_of_known(&file).map(|facts| (file, facts)));
        match (made, self.unnamed_on.get()) {
            (Ok((file, facts)), Some(&device)) => {
                // Another file system may be mounted in the folder.
                let is_there = device == Some(facts.device);
                output.unnamed.store(is_there, Ordering::Release);
                is_there.then_some((file, facts))
            }
            (Ok((file, facts)), None) => self.name_first(output, directory, file, facts),
            (Err(_), _) => {
                // Making a part tells why not, if that fails as well.
                let _ = self.unnamed_on.set(None);
                None
            }
        }
    }

    /// Gives the first file the name of its part at once, to find out whether it can be
    /// given one.
    fn name_first(
        &self,
        output: &Output,
        directory: &Directory,
        file: File,
        facts: Metadata,
    ) -> Option<(File, Metadata)> {
        let kind = sys::file_system(directory).map(|system| system.kind);
        let part = output.part_name();
        let named = match kind.is_ok_and(|kind| SUITABLE.contains(&kind)) {
            true => directory.name_unnamed(&file, &part),
            false => Err(io::ErrorKind::Unsupported.into()),
        };
        if named.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
            return None;
        }
        let _ = self.unnamed_on.set(named.is_ok().then_some(facts.device));
        named.and_then(|()| part::locked(directory, &part, file)).ok().map(|file| (file, facts))
    }

    /// Gives a complete output without a name its final one.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] if something has it.
    pub(super) fn name(&self, output: &Output, directory: &Directory) -> io::Result<()> {
        let file = output.open_file().ok_or_else(|| io::Error::other("it was closed"))?;
        output.check_length(&sys::facts_of_known(file.as_file())?)?;
        directory.name_unnamed(file.as_file(), output.name()).map_err(|error| {
            match (error.kind(), directory.facts(output.name())) {
                (io::ErrorKind::AlreadyExists, Ok(Some(there))) if self.is_ours(&there) => {
                    same_file()
                }
                _ => error,
            }
        })?;
        output.unnamed.store(false, Ordering::Release);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::super::tests::{outputs, write};
    use super::*;

    const AT_ONCE: Make = Make { keep: false, at_once: true };

    /// Outputs in `folder`, of which the first is made, if files can be without a name.
    fn begun(folder: &Path, names: &[&str], open: usize) -> Option<(Outputs, Arc<Output>)> {
        let outputs = outputs(folder, names, open, Replace::Never);
        let first = outputs.get(0, AT_ONCE).unwrap();
        outputs.have_unnamed().then_some((outputs, first))
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn only_the_first_has_a_name_before_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let all = ["a", "b", "c", "d"];
        let Some((outputs, first)) = begun(folder.path(), &all, 3) else { return };
        let mut made = vec![first];
        made.extend((1..4).map(|index| outputs.get(index, AT_ONCE).unwrap()));
        made.iter().for_each(|output| write(&outputs, output, output.name().as_encoded_bytes()));
        // Of three that may be open, one is closed to make room: one that has a name.
        assert_eq!(names(folder.path()), ["a.pcopy-part", "d.pcopy-part"]);
        assert!(made[1..3].iter().all(|output| output.open_file().is_some()));
        for output in &made {
            let wrong = outputs.publish(output).unwrap_err().to_string();
            assert!(wrong.contains("1 bytes, and was given 3"), "{wrong}");
            write(&outputs, output, b"abc");
            outputs.publish(output).unwrap();
            outputs.close(output);
        }
        assert_eq!(names(folder.path()), all);
    }

    #[test]
    fn what_has_the_name_stays_and_who_made_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let all = ["first", "x", "x", "y"];
        let Some((outputs, _)) = begun(folder.path(), &all, 9) else { return };
        let made: Vec<_> = (1..4).map(|index| outputs.get(index, AT_ONCE).unwrap()).collect();
        for (output, text) in made.iter().zip([b"one", b"two", b"our"]) {
            write(&outputs, output, text);
        }
        outputs.publish(&made[0]).unwrap();
        let second = outputs.publish(&made[1]).unwrap_err().to_string();
        assert!(second.contains("another item"), "{second}");
        std::fs::write(folder.path().join("y"), b"of somebody else").unwrap();
        let third = outputs.publish(&made[2]).unwrap_err();
        assert_eq!(third.kind(), io::ErrorKind::AlreadyExists);
        made[1..].iter().for_each(|output| outputs.discard(output));
        assert_eq!(std::fs::read(folder.path().join("x")).unwrap(), b"one");
        assert_eq!(std::fs::read(folder.path().join("y")).unwrap(), b"of somebody else");
    }
}
