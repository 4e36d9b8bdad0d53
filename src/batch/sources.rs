//! What a batch reads: one device, many files, or what servers hand out.
//!
//! Ten thousand files cannot all stay open. Each is looked at once before
//! the first byte; when its turn comes it is opened again and must be the same
//! file, unchanged. What a server hands out stays open: it is known by what the
//! server said of it, and has connections only while it is read.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use super::queue::Segment;
use crate::endpoint::Origin;
use crate::engine::capabilities::Pace;
use crate::error::{Error, ErrorKind, Refusal, Result, Side, SourceChange, chain, quoted};
use crate::io::page_cache::CacheState;
use crate::progress::lock;
use crate::range::ByteRange;
use crate::safety::{files_behind, protection};
use crate::source::{Join, OpenSource};
use crate::sync::Mutex;
use crate::sys::{self, Directory, FileKind, Metadata, Thing};
use crate::tree::Root;

struct Slot {
    path: Arc<Path>,
    size: u64,
    /// What it is, if it is a file or device.
    facts: Option<Arc<Metadata>>,
    /// The files that it consists of, if those are several.
    pieces: Vec<Metadata>,
    /// Whether it is opened with the files that follow it.
    join: Join,
    /// The directory that it was found below, if it was not named.
    found: Option<Arc<Root>>,
    /// Whether the size that its file system says is believed unread.
    is_truthful: bool,
    /// Why it cannot be copied as a whole.
    ends_early: Option<String>,
    shared: Mutex<Weak<dyn Origin>>,
}

impl Slot {
    fn is_device(&self) -> bool {
        self.facts.as_ref().is_some_and(|facts| facts.node == FileKind::BlockDevice)
    }
}

/// Of so many that were found it is asked whether they are in the page cache.
const ASKED: usize = 16;

/// A file that is smaller is written whole, holes and all: it takes no more than
/// this for them.
const WORTH_KEEPING: u64 = 64 << 10;

/// All sources of a batch.
pub struct Sources {
    slots: Vec<Slot>,
    kept: Vec<Arc<dyn Origin>>,
    stay_open: usize,
    /// Whether the caller accepts a source that has changed.
    any_state: bool,
    /// By file system: whether what it says of sizes is believed.
    truthful: HashMap<u64, bool>,
}

impl Slot {
    /// Of what is at `path`, of which nothing is known.
    fn of(path: Arc<Path>) -> Slot {
        let shared: Weak<dyn Origin> = Weak::<OpenSource>::new();
        Slot {
            path,
            size: 0,
            facts: None,
            pieces: Vec::new(),
            join: Join::Never,
            found: None,
            is_truthful: false,
            ends_early: None,
            shared: Mutex::new(shared),
        }
    }

    /// Opens it, by the directory that it lies in if it was found in one.
    fn open_file(&self) -> io::Result<File> {
        self.directory()?.open_to_read(self.path.file_name().unwrap_or_default())
    }

    /// The directory that it lies in.
    fn directory(&self) -> io::Result<Arc<Directory>> {
        let Some(root) = &self.found else {
            return Directory::open(self.path.parent().unwrap_or(Path::new(""))).map(Arc::new);
        };
        let place = self.path.strip_prefix(&root.path).unwrap_or(&self.path);
        root.directories.at(place.parent().unwrap_or(Path::new("")), false)
    }

    fn open(&self) -> Result<OpenSource> {
        if self.found.is_none() {
            return OpenSource::open_joined(&self.path, self.join);
        }
        let opened = self.open_file();
        if self.is_truthful
            && let Ok(file) = opened
        {
            return OpenSource::of_known_file(&self.path, file);
        }
        let source = OpenSource::of_file(Side::Source, &self.path, opened)?;
        match source.ends_early() {
            Some(refusal) => Err(refusal.into()),
            None => Ok(source),
        }
    }
}

impl Sources {
    /// None yet; the first `stay_open` stay open for the whole batch. With
    /// `any_state`, one that has changed may be opened again.
    pub fn new(stay_open: usize, any_state: bool) -> Sources {
        let (slots, kept, truthful) = (Vec::new(), Vec::new(), HashMap::new());
        Sources { slots, kept, stay_open, any_state, truthful }
    }

    /// Opens the file or device at `path` for a look, with the files that follow it
    /// as `join` says, and gives it a number.
    ///
    /// # Errors
    ///
    /// See [`OpenSource::open_joined`].
    pub fn add(&mut self, path: &Path, join: Join) -> Result<u32> {
        let source = OpenSource::open_joined(path, join)?;
        let pieces = match source.is_joined() {
            true => source.files().iter().map(|file| file.facts.clone()).collect(),
            false => Vec::new(),
        };
        let (size, facts) = (source.facts.size, Some(Arc::new(source.facts.clone())));
        let ends_early = source.ends_early().map(|refusal| refusal.to_string());
        let source: Arc<dyn Origin> = Arc::new(source);
        let shared = Mutex::new(Arc::downgrade(&source));
        if self.kept.len() < self.stay_open {
            self.kept.push(source);
        }
        let (path, found, is_truthful) = (path.into(), None, false);
        self.number(Slot {
            path,
            size,
            facts,
            pieces,
            join,
            found,
            is_truthful,
            ends_early,
            shared,
        })
    }

    /// Keeps `origin`, an end other than a file, and gives it a number.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] if it can be read only once.
    pub fn add_open(&mut self, origin: Arc<dyn Origin>) -> Result<u32> {
        let path = origin.path().to_owned();
        if origin.read_order().stream().is_some() {
            let (name, why) = (quoted(&path), origin.why_once());
            let what = format!("{name} {why}; a copy of it alone takes it so");
            return Err(Refusal::Other(what).into());
        }
        let size = origin.source().size();
        let shared = Mutex::new(Arc::downgrade(&origin));
        self.kept.push(origin);
        self.number(Slot { size, shared, ..Slot::of(path.into()) })
    }

    fn number(&mut self, slot: Slot) -> Result<u32> {
        let number = u32::try_from(self.slots.len())
            .map_err(|_| ErrorKind::usage("more sources than can be counted"))?;
        self.slots.push(slot);
        Ok(number)
    }

    /// Gives a number to the file at `path`, which was found below `root` and was
    /// `facts` then. It is opened when its turn comes; before that, only where the
    /// file system may say another size than can be read.
    ///
    /// # Errors
    ///
    /// If there are more than can be counted.
    pub fn add_found(
        &mut self,
        path: &Arc<Path>,
        root: &Arc<Root>,
        facts: &Arc<Metadata>,
    ) -> Result<u32> {
        let found = Some(Arc::clone(root));
        let mut slot = Slot { size: facts.size, found, ..Slot::of(Arc::clone(path)) };
        let mut facts = Arc::clone(facts);
        slot.is_truthful = self.tells_the_truth(&slot, &facts);
        if !slot.is_truthful {
            // One that cannot be opened fails when its turn comes, alone.
            if let Ok(source) = slot.open() {
                slot.size = source.facts.size;
                Arc::make_mut(&mut facts).size = slot.size;
            }
        }
        slot.facts = Some(facts);
        self.number(slot)
    }

    /// Whether the sizes that its file system says are those that can be read.
    fn tells_the_truth(&mut self, slot: &Slot, facts: &Metadata) -> bool {
        *self.truthful.entry(facts.device).or_insert_with(|| {
            let system = slot.directory().and_then(|directory| {
                // Nothing else may be mounted on the file itself.
                let is_its_own = directory.own_facts()?.device == facts.device;
                Ok((is_its_own, sys::file_system(&directory.to_file()?)?))
            });
            system.is_ok_and(|(is_its_own, system)| is_its_own && system.kind.is_truthful())
        })
    }

    /// Source `number`, open.
    ///
    /// # Errors
    ///
    /// If it cannot be opened any more, or is not what it was.
    pub fn open(&self, number: u32) -> Result<Arc<dyn Origin>> {
        let slot = &self.slots[number as usize];
        let mut shared = lock(&slot.shared);
        if let Some(source) = shared.upgrade() {
            return Ok(source);
        }
        let source = slot.open()?;
        let change =
            slot.facts.as_ref().and_then(|facts| self.change_while_closed(&source.facts, facts));
        if let Some(change) = change {
            return Err(ErrorKind::SourceChanged { path: slot.path.to_path_buf(), change }.into());
        }
        let source: Arc<dyn Origin> = Arc::new(source);
        *shared = Arc::downgrade(&source);
        Ok(source)
    }

    /// What makes a source another one than that which was there when the batch
    /// began, if anything does. A file number alone does not: there are file
    /// systems that give a file another one whenever it is looked up.
    fn change_while_closed(&self, now: &Metadata, before: &Metadata) -> Option<SourceChange> {
        if now.size < before.size {
            return Some(SourceChange::Size { before: before.size, now: now.size });
        }
        if self.any_state {
            return None;
        }
        let is_known = now.same_thing(before) || now.changed == before.changed;
        if now.node != before.node || !is_known {
            return Some(SourceChange::Replaced);
        }
        // One that has grown is judged with the items that are copied from it.
        (now.size == before.size && now.modified != before.modified)
            .then_some(SourceChange::Modified)
    }

    /// What changed of source `number` since the batch began.
    pub fn change(&self, number: u32) -> Option<SourceChange> {
        let before = self.facts(number);
        let source = match self.open(number) {
            Ok(source) => source,
            Err(error) => {
                return Some(match error.into_kind() {
                    ErrorKind::SourceChanged { change, .. } => change,
                    kind => SourceChange::Unknown { reason: Error::from(kind).chain() },
                });
            }
        };
        let changed = |now: &Metadata| {
            let before = before?;
            // It may have been opened after it was changed.
            let is_file = now.node == FileKind::File;
            if now.size != before.size {
                Some(SourceChange::Size { before: before.size, now: now.size })
            } else if is_file && now.modified != before.modified {
                Some(SourceChange::Modified)
            } else if is_file && now.changed != before.changed {
                Some(SourceChange::Attributes)
            } else {
                None
            }
        };
        match source.change() {
            Ok(change) => change.or_else(|| changed(&source.file()?.facts)),
            Err(error) => Some(SourceChange::Unknown { reason: chain(&error) }),
        }
    }

    /// Whether `segments` are one file with holes that are worth keeping. Files that
    /// are packed take less storage as well, and are asked for nothing.
    pub fn have_holes(&self, segments: &[Segment]) -> bool {
        let [segment] = segments else { return false };
        let Some(facts) = self.facts(segment.source) else { return false };
        facts.node == FileKind::File
            && !self.is_joined(segment.source)
            && facts.size >= WORTH_KEEPING
            && facts.allocated < facts.size
            && segment.range == ByteRange::to(facts.size)
    }

    /// How many more may stay open.
    pub fn room(&self) -> usize {
        self.stay_open.saturating_sub(self.kept.len())
    }

    /// Why a source cannot be copied as a whole, if it cannot.
    pub fn ends_early(&self, number: u32) -> Option<&str> {
        self.slots[number as usize].ends_early.as_deref()
    }

    /// Size of a source in bytes.
    pub fn size(&self, number: u32) -> u64 {
        self.slots[number as usize].size
    }

    /// Path of a source.
    pub fn path(&self, number: u32) -> &Path {
        &self.slots[number as usize].path
    }

    /// What a source was when the batch began, if it is a file or device.
    pub fn facts(&self, number: u32) -> Option<&Metadata> {
        self.slots[number as usize].facts.as_deref()
    }

    /// What shows that a source is not what it was, as text: the time of a file, and
    /// what a server said of what it hands out.
    pub fn state(&self, number: u32) -> String {
        match self.facts(number) {
            Some(facts) if facts.node == FileKind::File => format!("{:?}", facts.modified),
            Some(_) => format!("{:?}", <(i64, u32)>::default()),
            None => {
                let identity = self.open(number).map(|source| source.identity());
                match identity {
                    Err(_) => String::new(),
                    // As if it was another one each time: its bytes are compared.
                    Ok(of) if !of.is_recognizable() => format!("{:?}", SystemTime::now()),
                    Ok(of) => format!("{:?} {:?}", of.id, of.mtime_ns),
                }
            }
        }
    }

    /// What each of the files of a source was then.
    pub fn facts_of_files(&self, number: u32) -> &[Metadata] {
        let slot = &self.slots[number as usize];
        match &slot.facts {
            Some(facts) if slot.pieces.is_empty() => std::slice::from_ref(&**facts),
            _ => &slot.pieces,
        }
    }

    /// How the first that is far away is best asked, if any is.
    pub fn pace(&self) -> Option<Pace> {
        self.kept.iter().filter(|origin| origin.file().is_none()).find_map(|far| far.end().pace)
    }

    /// Whether a source consists of several files.
    pub fn is_joined(&self, number: u32) -> bool {
        !self.slots[number as usize].pieces.is_empty()
    }

    /// Whether a disk that any of them lies on spins.
    pub fn spin(&self) -> bool {
        let mut known = HashMap::new();
        let mut local = self.slots.iter().filter_map(|slot| slot.facts.as_deref());
        local.any(|facts| {
            let is_device = facts.node == FileKind::BlockDevice;
            let disk = if is_device { facts.rdev } else { facts.device };
            *known.entry(disk).or_insert_with(|| sys::is_rotational(disk, None) == Some(true))
        })
    }

    /// Whether all of them are in the page cache, if they are few enough to be
    /// asked; of many that were found, some.
    pub fn are_in_memory(&self) -> bool {
        let is_warm = |source: &Arc<dyn Origin>| {
            source.cache_state(ByteRange::to(source.source().size())) == CacheState::Warm
        };
        let found = || self.slots.iter().enumerate().filter(|(_, slot)| slot.found.is_some());
        let some = || found().step_by((self.slots.len() / ASKED).max(1));
        let mut others = some().filter_map(|(number, _)| self.open(number as u32).ok());
        let all_asked = self.kept.len() + found().count() == self.slots.len();
        all_asked && self.kept.iter().all(is_warm) && others.all(|source| is_warm(&source))
    }

    /// Who may write, in words, to those that are not one of many: the devices, and
    /// the first of those that are files.
    pub fn who_may_write(&self) -> Vec<String> {
        let asked = (0..).zip(&self.slots).filter(|(at, slot)| *at == 0 || slot.is_device());
        let opened = asked.filter_map(|(number, _)| self.open(number).ok());
        let all = |source: &dyn Origin| ByteRange::to(source.source().size());
        let note = |source: Arc<dyn Origin>| source.who_may_write(all(&*source));
        opened.filter_map(note).collect()
    }

    /// Refuses the first that could be written while it is read.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unprotected`], or that one cannot be opened.
    pub fn check_protection(&self) -> Result<()> {
        let mut numbers = (0..).take(self.slots.len());
        numbers.try_for_each(|number| {
            let source = self.open(number)?;
            Ok(protection::check(source.file(), source.path())?)
        })
    }

    /// Tells which source a file is, if it is one.
    pub fn find(&self) -> Find<'_> {
        let devices: Vec<&Slot> = self.slots.iter().filter(|slot| slot.is_device()).collect();
        let files = self.slots.iter().filter(|slot| !slot.is_device());
        let files = files.flat_map(|slot| {
            let all = slot.facts.as_deref().into_iter().chain(&slot.pieces);
            all.map(move |facts| (Thing::of(facts), slot))
        });
        // What a device stands for is read as well.
        let behind = devices.iter().flat_map(|&slot| {
            let behind = slot.facts.iter().flat_map(|facts| files_behind(facts, &slot.path));
            behind.map(move |file| (file, slot))
        });
        Find { files: files.chain(behind).collect(), devices }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }
}

/// All sources by what they are, so that as many files can be looked for.
pub struct Find<'a> {
    devices: Vec<&'a Slot>,
    files: HashMap<Thing, &'a Slot>,
}

impl Find<'_> {
    /// The path of the source that `facts` are of.
    pub fn path(&self, facts: &Metadata) -> Option<&Path> {
        let file = self.files.get(&Thing::of(facts)).copied();
        let same = |slot: &&Slot| slot.facts.as_ref().is_some_and(|of| of.same_thing(facts));
        file.or_else(|| self.devices.iter().copied().find(same)).map(|slot| &*slot.path)
    }
}
