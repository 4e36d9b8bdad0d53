//! A file that is made, or replaced, when it is complete: written beside its final
//! name, under one that nobody looks at.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::earlier::Wrote;
use super::resumable::{self, Left, Resumable};
use super::{Abilities, Destination, Draft, End, Kind, Look, Looked, Shape};
use crate::durable::intact::Written;
use crate::durable::map::{Mode, ObjectId};
use crate::durable::open_file::OpenFile;
use crate::durable::previous::{self, Previous, Search, Start};
use crate::durable::stage::{self, Blank, Stage};
use crate::durable::target::StagedTarget;
use crate::durable::trust::Examiner;
use crate::error::Result;
use crate::io::Sink;
use crate::options::Options;
use crate::progress::CancelToken;
use crate::range::{ByteRange, RangeSet};
use crate::safety::roles::Footprint;
use crate::safety::{changes, check_length, check_space};
use crate::size::Size;
use crate::source::OpenSource;
use crate::sparse::Layout;
use crate::sys::{self, FileKind};

/// A name that is to be given to a complete file.
pub struct NewFile {
    target: StagedTarget,
    left: Left,
}

impl NewFile {
    /// Looks at `path`, and at what has that name now.
    ///
    /// # Errors
    ///
    /// A [`Refusal`](crate::Refusal); nothing has been changed.
    pub(super) fn look_at(path: PathBuf, options: &Options) -> Result<NewFile> {
        let target = StagedTarget::look_at(path, options.force)?;
        Ok(NewFile { target, left: Left::default() })
    }

    /// Bytes of storage that it will need on top of what the part of an earlier
    /// run takes, to be kept or given back.
    fn space_needed(&self, look: &Look<'_>, layout: &Layout) -> u64 {
        let part = match &self.left.start {
            Start::Fresh => None,
            Start::Over(part) => {
                part.as_ref().and_then(|part| sys::facts(part).ok()).map(|facts| facts.allocated)
            }
            Start::Resume(earlier) => earlier.file.as_ref().map(|(_, facts)| facts.allocated),
        };
        resumable::space_needed(look, layout).saturating_sub(part.unwrap_or(0))
    }
}

/// Owner, mode and times are those of a file, not of a part of one.
fn is_whole(look: &Look<'_>) -> bool {
    let all = |source: &OpenSource| {
        source.facts.node == FileKind::File
            && !source.is_joined()
            && look.mapping.from() == ByteRange::to(source.facts.size)
    };
    look.origin.file().is_some_and(all) && look.options.dest_offset == Size::Bytes(0)
}

impl Resumable for NewFile {
    fn mode(&self) -> Mode {
        Mode::New
    }

    fn footprint(&self) -> Footprint<'_> {
        Footprint {
            path: &self.target.path,
            facts: self.target.existing.as_ref(),
            staged: Some(&self.target),
            map: previous::map_beside(&self.target.path),
        }
    }

    fn id(&self) -> Option<ObjectId> {
        None
    }

    fn writes_source(&self, source: &OpenSource) -> bool {
        let directory = self.target.directory.own_facts();
        directory.is_ok_and(|facts| changes(source, &facts, &self.target.path))
    }

    fn find(&self, mut search: Search<'_>) -> Result<Start> {
        search.staged(&self.target)
    }

    fn written<'a>(&'a self, earlier: &'a Previous) -> Option<Wrote<'a>> {
        let (file, _) = earlier.file.as_ref()?;
        let path = match earlier.committed {
            true => self.target.path.clone(),
            false => self.target.part_path(),
        };
        Some(Wrote { file, path, device: None, is_new: true, rotational: self.end().rotational })
    }
}

impl Destination for NewFile {
    fn path(&self) -> &Path {
        &self.target.path
    }

    fn kind(&self) -> Kind {
        Kind::File
    }

    fn abilities(&self) -> Abilities {
        Abilities::default().open_ended()
    }

    fn end(&self) -> End {
        End::of_directory(&self.target.directory)
    }

    fn footprint(&self) -> Option<Footprint<'_>> {
        Some(Resumable::footprint(self))
    }

    fn look(&mut self, look: &Look<'_>, examiner: &mut Examiner) -> Result<Looked> {
        if !is_whole(look) {
            resumable::refuse_preserve(look.options)?;
        }
        let (left, mut looked) = resumable::look(self, look, examiner)?;
        self.left = left;
        looked.notes.extend(self.target.who_keeps_the_old());
        Ok(looked)
    }

    fn check(&self, look: &Look<'_>) -> Result<()> {
        resumable::preflight(look, &self.target.path).check_new_file(&self.target)?;
        match self.left.start.is_committed() {
            true => Ok(()),
            false => Ok(self.target.check_replaceable()?),
        }
    }

    fn check_room(&self, look: &Look<'_>, layout: &Layout, may_share: bool) -> Result<()> {
        let (path, directory) = (&self.target.path, &self.target.directory);
        let len = look.mapping.to().end();
        check_length(path, len, sys::longest_file(directory, len))?;
        if !may_share && !look.options.ignore_space {
            let needed = self.space_needed(look, layout);
            check_space(path, needed, directory.available_space())?;
        }
        Ok(())
    }

    fn begin(self: Box<Self>, shape: &Shape<'_>) -> Result<Box<dyn Draft>> {
        let Shape { open_ended, gaps, like, .. } = *shape;
        let blank = Blank { len: shape.certain().end(), open_ended, gaps, like };
        let target = self.target;
        self.left.clear_temporaries(shape);
        if matches!(self.left.start, Start::Fresh | Start::Over(None)) {
            stage::check_no_part(&target)?;
        }
        let stage = self.left.begin(shape, |start| {
            stage::check_renames(&target)?;
            Stage::begin(target, blank, start)
        })?;
        Ok(Box::new(stage))
    }
}

impl Draft for Stage {
    fn sink(&self) -> Arc<dyn Sink> {
        Stage::file(self).io.clone()
    }

    fn path(&self) -> &Path {
        &Stage::file(self).path
    }

    fn len(&self) -> u64 {
        Stage::file(self).io.len()
    }

    fn file(&self) -> Option<&OpenFile> {
        Some(Stage::file(self))
    }

    fn is_clone(&self) -> bool {
        Stage::is_clone(self)
    }

    fn end_at(&self, to: ByteRange) -> Result<()> {
        Stage::file(self).end_at(to.end())
    }

    fn settle(&self, rights: Option<u32>) -> Result<Vec<String>> {
        Stage::file(self).fill_up()?;
        rights.map_or(Ok(Vec::new()), |rights| self.set_final_mode(rights))
    }

    fn secure_names(&self) -> io::Result<()> {
        self.secure_name()
    }

    fn lost(&self, written: &Written<'_>, cancel: &CancelToken) -> Result<RangeSet> {
        let file = Stage::file(self);
        written.lost(&file.io, &file.path, cancel)
    }

    fn commit(&mut self, durable: bool) -> Result<()> {
        Stage::commit(self, durable)
    }

    fn check_name(&self, _to: ByteRange) -> Result<()> {
        Stage::check_name(self)
    }

    fn discard(self: Box<Self>) -> Option<String> {
        Stage::discard(*self);
        None
    }
}
