//! Symbolic links, and further names of files.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use super::{Branches, is_same, keeps};
use crate::batch::report::Status;
use crate::durable::side;
use crate::error::{chain, quoted};
use crate::sys::{self, Directory, FileKind, LinkOwner, Replace};
use crate::tree::{FurtherName, Named};

impl Branches<'_, '_> {
    /// Makes a symbolic link that leads where the one that is copied leads.
    pub(super) fn make_link(&self, link: &Named) -> io::Result<Status> {
        let Some((directory, name)) = self.place(&link.item.name)? else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let root = &self.tree.roots[link.root as usize];
        let from = root.directory_of(&link.item.name)?;
        let target = from.link_target(root.place(&link.item.name).file_name().unwrap_or(name))?;
        if keeps(self.options)
            && let Ok(there) = directory.link_target(name)
        {
            return match there == target {
                true => Ok(Status::Skipped),
                false => Err(io::Error::other("a link is there that leads elsewhere")),
            };
        }
        self.put(&directory, name, |name| {
            directory.make_link(name, &target)?;
            self.preserve_link(&directory, name, link);
            Ok(())
        })?;
        Ok(Status::Complete)
    }

    /// Gives a link owner and times. Its mode and attributes count nowhere.
    fn preserve_link(&self, directory: &Directory, name: &OsStr, link: &Named) {
        if !self.options.preserve {
            return;
        }
        let facts = &link.facts;
        let lost = |what: &str, result: io::Result<()>| {
            let say = |error| format!("{what} of links could not be preserved: {}", chain(&error));
            self.note(result.err().map(say));
        };
        let owner = LinkOwner { user: facts.owner, group: facts.group };
        let is_owner = |now: sys::Metadata| (now.owner, now.group) == (owner.user, owner.group);
        if !directory.facts(name).ok().flatten().is_some_and(is_owner) {
            lost("the owner", directory.set_link_owner(name, owner));
        }
        lost("the times", directory.set_link_times(name, facts.modified, facts.accessed));
    }

    /// Gives the copy of a file a further name.
    pub(super) fn make_name(&self, further: &FurtherName) -> io::Result<Status> {
        let first = &*self.items[further.file].name;
        if crate::progress::lock(&self.incomplete).contains(first) {
            return Err(cannot(first, "which is not complete"));
        }
        let Some((of_first, first_name)) = self.place(first)? else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let Some((directory, name)) = self.place(&further.item.name)? else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let Some(facts) = of_first.facts(first_name)?.filter(|f| f.node == FileKind::File) else {
            return Err(cannot(first, "which is not there any more"));
        };
        let there = directory.facts(name)?;
        if is_same(there.as_ref(), &facts) {
            return Ok(Status::Skipped);
        }
        if keeps(self.options) && there.is_some() {
            return Err(cannot(first, "because another file is there"));
        }
        self.put(&directory, name, |name| {
            of_first.add_name(first_name, &directory, name)?;
            // A name may lead elsewhere by now.
            match directory.facts(name)? {
                Some(now) if now.same_thing(&facts) => Ok(()),
                _ => Err(cannot(first, "in whose place somebody put another file")),
            }
        })?;
        Ok(Status::Complete)
    }

    /// Has `make` make something that gets the name `name`, where that may replace
    /// what has it now.
    fn put(
        &self,
        directory: &Directory,
        name: &OsStr,
        make: impl Fn(&OsStr) -> io::Result<()>,
    ) -> io::Result<()> {
        let is_taken = self.options.force && directory.facts(name)?.is_some();
        if !is_taken {
            return make(name);
        }
        let aside = side::random_name(name);
        make(&aside)?;
        directory.rename(&aside, name, Replace::Yes).inspect_err(|_| {
            // The name is random, and what has it was made a moment ago.
            let _ = directory.remove(&aside);
        })
    }
}

fn cannot(first: &Path, why: &str) -> io::Error {
    io::Error::other(format!("cannot be a further name of {}, {why}", quoted(first)))
}
