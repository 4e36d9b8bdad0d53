//! What a format's reader is given and what it fills: items, notes, errors,
//! and the shared paths of sources.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::columns::Columns;
use super::error::{ErrorKind, ManifestError, ManifestErrors};
use super::item::{Item, Runs};
use super::name::{path_from_bytes, too_long};
use crate::error::{Fault, escaped};

/// What a manifest cannot say of itself.
#[derive(Clone, Copy)]
pub struct ReadOptions<'a> {
    /// The manifest's own file name: its ending may tell the format.
    pub manifest: Option<&'a Path>,
    /// The source of the whole batch. Formats that describe one file take its
    /// name from it.
    pub source: Option<&'a Path>,
    /// The name of the one destination of a mapfile or bmap; else the file
    /// name of the source, else that of the manifest without its ending.
    pub name: Option<&'a Path>,
    /// Bytes added to every source position of an import: where the file
    /// system lies on the source, if the positions count from its beginning.
    /// A manifest of our own formats says that itself.
    pub base: u64,
    /// The logical sector of a source in bytes (`None`: of the source of the
    /// whole batch), or `None` if it is not known.
    pub sector_of: &'a dyn Fn(Option<&Path>) -> Option<u32>,
    /// Which areas of a mapfile to copy.
    pub areas: AreaStatuses,
    /// What `filefrag` was given before the names that are wanted, such as a
    /// mount point.
    pub strip_prefix: Option<&'a Path>,
    /// Leave out files whose bytes are not at a place of their own (inline,
    /// compressed, not yet written), with a note, instead of refusing.
    pub skip_unmappable: bool,
    /// Pass over columns and keys that are not known.
    pub ignore_columns: bool,
    /// What columns and keys are called.
    pub columns: &'a Columns,
    /// Radix of the numbers of `filefrag`: 16 where it was run with `-X`.
    pub radix: u32,
    /// Take also deleted files of a DFXML list, as far as their bytes are still theirs.
    pub deleted: bool,
    /// Leave out rows of a report that say `complete`: its retry.
    pub skip_complete: bool,
    /// Everything goes to one destination: what names no offset there has the one
    /// that it has in the source, and nothing needs a name.
    pub own_offsets: bool,
    /// Size in bytes of the disk that a list describes, if it is known: that of the
    /// source, or of the one destination.
    pub disk_size: Option<u64>,
    /// The size of a source in bytes (`None`: of the source of the whole batch), or
    /// `None` if it is not known.
    pub size_of: &'a dyn Fn(Option<&Path>) -> Option<u64>,
}

static OWN: Columns = Columns::OWN;

fn unknown_size(_: Option<&Path>) -> Option<u64> {
    None
}

fn unknown_sector(_: Option<&Path>) -> Option<u32> {
    None
}

impl Default for ReadOptions<'_> {
    fn default() -> Self {
        ReadOptions {
            manifest: None,
            source: None,
            name: None,
            base: 0,
            sector_of: &unknown_sector,
            areas: AreaStatuses::default(),
            strip_prefix: None,
            skip_unmappable: false,
            ignore_columns: false,
            columns: &OWN,
            radix: 10,
            deleted: false,
            skip_complete: false,
            own_offsets: false,
            disk_size: None,
            size_of: &unknown_size,
        }
    }
}

/// A choice among the statuses of areas in a GNU ddrescue mapfile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AreaStatuses(u8);

/// The statuses: finished, not tried, not trimmed, not scraped, bad.
const STATUSES: &[u8; 5] = b"+?*/-";

impl Default for AreaStatuses {
    /// The finished areas: what an image made by ddrescue really holds.
    fn default() -> Self {
        AreaStatuses(1)
    }
}

impl AreaStatuses {
    /// The statuses in `text`, such as `?*/-` for everything still missing;
    /// `None` if it has another character or none.
    pub fn new(text: &str) -> Option<AreaStatuses> {
        let mut bits = 0;
        for byte in text.bytes() {
            bits |= AreaStatuses::bit(byte)?;
        }
        (bits != 0).then_some(AreaStatuses(bits))
    }

    /// Whether `status` is chosen; `None` if it is not a status.
    pub(crate) fn has(self, status: u8) -> Option<bool> {
        AreaStatuses::bit(status).map(|bit| self.0 & bit != 0)
    }

    fn bit(status: u8) -> Option<u8> {
        STATUSES.iter().position(|&known| known == status).map(|at| 1 << at)
    }
}

/// A manifest that was read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Manifest {
    /// What to copy, in order of lines.
    pub items: Vec<Item>,
    /// What the user should know, such as `3 skipped: directory`.
    pub notes: Vec<String>,
    /// Whether positions are those of the source as it is, even if it is a container
    /// with a disk packed in it.
    pub takes_container: bool,
}

/// A manifest being read.
pub(crate) struct Reading<'a> {
    pub(crate) options: &'a ReadOptions<'a>,
    pub(crate) items: Vec<Item>,
    notes: Vec<String>,
    skipped: BTreeMap<String, u64>,
    /// Whether a row was left out because the caller wants that.
    left_out: bool,
    /// Modes with bits beyond the permissions.
    cut_modes: u64,
    takes_container: bool,
    /// Digests of items whose pieces go to offsets of their own.
    unchecked: u64,
    errors: ManifestErrors,
    sources: HashSet<Arc<Path>>,
    /// The sector size last asked for: rows of one source follow each other.
    sector: Option<(Option<Arc<Path>>, Option<u32>)>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(options: &'a ReadOptions<'a>) -> Reading<'a> {
        Reading {
            options,
            items: Vec::new(),
            notes: Vec::new(),
            skipped: BTreeMap::new(),
            left_out: false,
            cut_modes: 0,
            takes_container: false,
            unchecked: 0,
            errors: ManifestErrors::default(),
            sources: HashSet::new(),
            sector: None,
        }
    }

    pub(super) fn finish(mut self) -> (Manifest, ManifestErrors) {
        // What was to make the list may have failed. Of a report, nothing may be left to do.
        let may_be_empty = self.left_out || self.options.skip_complete;
        if self.items.is_empty() && self.errors.is_empty() && !may_be_empty {
            self.usage(0, "the list is empty: it names nothing to copy");
        }
        if self.cut_modes > 0 {
            let modes = if self.cut_modes == 1 { "mode" } else { "modes" };
            let count = self.cut_modes;
            self.note(format!("{count} {modes}: only the permission bits (0777) are set"));
        }
        if self.unchecked > 0 {
            let count = self.unchecked;
            self.note(format!(
                "{count} digests are of files in several pieces, and are not looked at"
            ));
        }
        for (reason, count) in self.skipped {
            self.notes.push(format!("{count} skipped: {}", escaped(&reason)));
        }
        // A list that grew by doubling may hold twice the memory it needs.
        self.items.shrink_to_fit();
        let Reading { items, notes, takes_container, errors, .. } = self;
        (Manifest { items, notes, takes_container }, errors)
    }

    /// An error of syntax.
    pub(crate) fn usage(&mut self, line: u64, message: impl Into<String>) {
        self.error(line, ErrorKind::Usage, message.into());
    }

    /// An error of syntax that there is a way around.
    pub(crate) fn usage_of(&mut self, line: u64, fault: Fault, message: impl Into<String>) {
        let message = message.into();
        self.errors.push(ManifestError::new(line, ErrorKind::Usage, &message).of(fault));
    }

    /// Something understood and refused.
    pub(crate) fn refuse(&mut self, line: u64, message: impl Into<String>) {
        self.error(line, ErrorKind::Refused, message.into());
    }

    pub(super) fn error(&mut self, line: u64, kind: ErrorKind, message: String) {
        self.errors.push(ManifestError::new(line, kind, &message));
    }

    /// The manifest itself cannot be read on.
    pub(crate) fn unreadable(&mut self, line: u64, error: &dyn std::fmt::Display) {
        self.refuse(line, format!("cannot read the manifest: {error}"));
    }

    /// Something was left out because the caller wants that: it is not an error if
    /// nothing else is in the list.
    pub(crate) fn may_leave_nothing(&mut self) {
        self.left_out = true;
    }

    /// The list says where a disk is in its container.
    pub(crate) fn takes_container(&mut self) {
        self.takes_container = true;
    }

    /// The permission bits of `mode`: a list makes no file that runs as its owner.
    pub(crate) fn permissions(&mut self, mode: u32) -> u32 {
        self.cut_modes += u64::from(mode > 0o777);
        mode & 0o777
    }

    /// A row left out on purpose.
    pub(crate) fn skip(&mut self, reason: impl Into<String>) {
        *self.skipped.entry(reason.into()).or_default() += 1;
    }

    /// A file whose bytes cannot be copied from their place.
    pub(crate) fn unmappable(&mut self, line: u64, name: &[u8], why: &str) {
        if self.options.skip_unmappable {
            self.may_leave_nothing();
            self.skip(why);
        } else {
            let message = format!("{:?}: {why}", super::text(name));
            let error = ManifestError::new(line, ErrorKind::Refused, &message);
            self.errors.push(error.of(Fault::Unmappable));
        }
    }

    /// Something the user should know.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(escaped(&note.into()).into_owned());
    }

    /// The shared path of a source, or `None` if it is not a path here.
    pub(crate) fn source(&mut self, bytes: &[u8]) -> Option<Arc<Path>> {
        let path = path_from_bytes(bytes)?;
        if let Some(known) = self.sources.get(path) {
            return Some(Arc::clone(known));
        }
        let source: Arc<Path> = path.into();
        self.sources.insert(Arc::clone(&source));
        Some(source)
    }

    /// The logical sector of a source.
    pub(crate) fn sector(&mut self, source: Option<&Arc<Path>>) -> Option<u32> {
        match &self.sector {
            Some((last, sector)) if last.as_ref() == source => *sector,
            _ => {
                let sector = (self.options.sector_of)(source.map(|path| &**path));
                self.sector = Some((source.cloned(), sector));
                sector
            }
        }
    }

    /// Adds an item that names no offset in the destination. Where there is one
    /// destination, each of its pieces has the offset there that it has in the source.
    pub(crate) fn place(&mut self, item: Item) {
        if !self.options.own_offsets || item.runs == Runs::Whole {
            return self.items.push(item);
        }
        if let Runs::One(range) = item.runs {
            return self.items.push(Item { dest_offset: range.start(), ..item });
        }
        self.unchecked += item.expected().len() as u64;
        // What is in no source has no offset of its own.
        for piece in item.runs.pieces(0) {
            let super::item::Run::Data(range) = piece else { continue };
            self.items.push(Item {
                runs: Runs::One(range),
                dest_offset: range.start(),
                details: None,
                name: item.name.clone(),
                source: item.source.clone(),
                line: item.line,
            });
        }
    }

    /// Adds an item whose name is `name`; refuses one that is not a path here.
    pub(crate) fn push(&mut self, name: &[u8], make: impl FnOnce(Box<Path>) -> Item, line: u64) {
        if let Some(why) = too_long(name) {
            return self.refuse(line, format!("the name {why}"));
        }
        match path_from_bytes(name) {
            Some(name) => {
                let item = make(name.into());
                self.place(item);
            }
            None => self.refuse(line, format!("{:?}: the name is not UTF-8", super::text(name))),
        }
    }

    /// The destination of a format that describes one file without naming it.
    pub(crate) fn only_name(&self) -> PathBuf {
        let options = self.options;
        let of_source = options.source.and_then(Path::file_name).map(Path::new);
        let of_manifest = options.manifest.and_then(Path::file_stem).map(Path::new);
        options.name.or(of_source).or(of_manifest).unwrap_or(Path::new("image")).to_owned()
    }
}
