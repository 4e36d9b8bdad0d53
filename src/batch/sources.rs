//! What a batch reads: one device, or many files.
//!
//! Ten thousand sources cannot all stay open. Each is looked at once before
//! the first byte; when its turn comes it is opened again and must be the same
//! file, unchanged.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use crate::engine::capabilities::cache_state;
use crate::error::{Error, ErrorKind, Fault, Refusal, Result, SourceChange, chain};
use crate::io::page_cache::CacheState;
use crate::manifest::{self, Item, NoSource};
use crate::progress::lock;
use crate::range::ByteRange;
use crate::safety::files_behind;
use crate::source::{Join, OpenSource};
use crate::sys::{self, FileKind, Metadata, Thing};

struct Slot {
    path: PathBuf,
    facts: Metadata,
    /// The files that it consists of, if those are several.
    pieces: Vec<Metadata>,
    /// Whether it is opened with the files that follow it.
    join: Join,
    /// Why it cannot be copied as a whole.
    ends_early: Option<String>,
    shared: Mutex<Weak<OpenSource>>,
}

/// All sources of a batch.
pub struct Sources {
    slots: Vec<Slot>,
    kept: Vec<Arc<OpenSource>>,
    stay_open: usize,
    /// Whether the caller accepts a source that has changed.
    any_state: bool,
}

impl Sources {
    /// None yet; the first `stay_open` stay open for the whole batch. With
    /// `any_state`, one that has changed may be opened again.
    pub fn new(stay_open: usize, any_state: bool) -> Sources {
        Sources { slots: Vec::new(), kept: Vec::new(), stay_open, any_state }
    }

    /// Opens `path` for a look, with the files that follow it as `join` says, and
    /// gives it a number.
    ///
    /// # Errors
    ///
    /// See [`OpenSource::open_joined`].
    pub fn add(&mut self, path: &Path, join: Join) -> Result<u32> {
        let source = Arc::new(OpenSource::open_joined(path, join)?);
        let number = u32::try_from(self.slots.len())
            .map_err(|_| ErrorKind::usage("more sources than can be counted"))?;
        self.slots.push(Slot {
            path: path.to_owned(),
            facts: source.facts.clone(),
            pieces: match source.is_joined() {
                true => source.files().iter().map(|file| file.facts.clone()).collect(),
                false => Vec::new(),
            },
            join,
            ends_early: source.ends_early().map(|refusal| refusal.to_string()),
            shared: Mutex::new(Arc::downgrade(&source)),
        });
        if self.kept.len() < self.stay_open {
            self.kept.push(source);
        }
        Ok(number)
    }

    /// Source `number`, open.
    ///
    /// # Errors
    ///
    /// If it cannot be opened any more, or is not what it was.
    pub fn open(&self, number: u32) -> Result<Arc<OpenSource>> {
        let slot = &self.slots[number as usize];
        let mut shared = lock(&slot.shared);
        if let Some(source) = shared.upgrade() {
            return Ok(source);
        }
        let source = Arc::new(OpenSource::open_joined(&slot.path, slot.join)?);
        if let Some(change) = self.change_while_closed(&source.facts, &slot.facts) {
            return Err(ErrorKind::SourceChanged { path: slot.path.clone(), change }.into());
        }
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
            Ok(change) => change.or_else(|| changed(&source.facts)),
            Err(error) => Some(SourceChange::Unknown { reason: chain(&error) }),
        }
    }

    /// Size of a source in bytes.
    pub fn size(&self, number: u32) -> u64 {
        self.slots[number as usize].facts.size
    }

    /// Path of a source.
    pub fn path(&self, number: u32) -> &Path {
        &self.slots[number as usize].path
    }

    /// What a source was when the batch began.
    pub fn facts(&self, number: u32) -> &Metadata {
        &self.slots[number as usize].facts
    }

    /// What each of the files of a source was then.
    pub fn facts_of_files(&self, number: u32) -> &[Metadata] {
        let slot = &self.slots[number as usize];
        if slot.pieces.is_empty() { std::slice::from_ref(&slot.facts) } else { &slot.pieces }
    }

    /// Whether a source consists of several files.
    pub fn is_joined(&self, number: u32) -> bool {
        !self.slots[number as usize].pieces.is_empty()
    }

    /// Whether a disk that any of them lies on spins.
    pub fn spin(&self) -> bool {
        let mut known = HashMap::new();
        self.slots.iter().any(|slot| {
            let is_device = slot.facts.node == FileKind::BlockDevice;
            let disk = if is_device { slot.facts.rdev } else { slot.facts.device };
            *known.entry(disk).or_insert_with(|| sys::is_rotational(disk, None) == Some(true))
        })
    }

    /// Whether all of them, if they are few enough to be asked, are in the page cache.
    pub fn are_in_memory(&self) -> bool {
        let is_warm = |source: &Arc<OpenSource>| {
            cache_state(source, ByteRange::to(source.facts.size)) == CacheState::Warm
        };
        self.kept.len() == self.slots.len() && self.kept.iter().all(is_warm)
    }

    /// Who may write, in words, to those that are not one of many: the devices, and
    /// the first of those that are files.
    pub fn who_may_write(&self) -> Vec<String> {
        let is_device = |slot: &Slot| slot.facts.node == FileKind::BlockDevice;
        let asked = (0..).zip(&self.slots).filter(|(at, slot)| *at == 0 || is_device(slot));
        let opened = asked.filter_map(|(number, _)| self.open(number).ok());
        let note = |source: Arc<OpenSource>| source.who_may_write(ByteRange::to(source.facts.size));
        opened.filter_map(note).collect()
    }

    /// Tells which source a file is, if it is one.
    pub fn find(&self) -> Find<'_> {
        let is_device = |slot: &&Slot| slot.facts.node == FileKind::BlockDevice;
        let devices: Vec<&Slot> = self.slots.iter().filter(is_device).collect();
        let files = self.slots.iter().filter(|slot| !is_device(slot));
        let files = files.flat_map(|slot| {
            let all = std::iter::once(&slot.facts).chain(&slot.pieces);
            all.map(move |facts| (Thing::of(facts), slot))
        });
        // What a device stands for is read as well.
        let behind = devices
            .iter()
            .flat_map(|&slot| files_behind(&slot.facts, &slot.path).map(move |file| (file, slot)));
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
        let same = |slot: &&Slot| slot.facts.same_thing(facts);
        file.or_else(|| self.devices.iter().copied().find(same)).map(|slot| &*slot.path)
    }
}

/// The sources that the items of a batch name.
pub struct Named<'a> {
    /// Those that could be opened.
    pub sources: Sources,
    /// Their numbers; for the others, what kept them from being opened.
    numbers: HashMap<Option<&'a Path>, std::result::Result<u32, NoSource>>,
}

impl<'a> Named<'a> {
    /// Looks at every source once. `of_all` is the one of items that name none, with
    /// the files that follow it as `join` says; a file that an item names is meant by
    /// itself.
    /// `stay_open` and `any_state`: see [`Sources::new`].
    pub fn open(
        items: &'a [Item],
        of_all: Option<&Path>,
        join: Join,
        stay_open: usize,
        any_state: bool,
    ) -> Named<'a> {
        let mut sources = Sources::new(stay_open, any_state);
        let mut numbers = HashMap::new();
        for item in items {
            let name = item.source.as_deref();
            let number = numbers.entry(name).or_insert_with(|| {
                let path = name.or(of_all).ok_or_else(|| manifest::no_source(None))?;
                let join = if name.is_some() { Join::Never } else { join };
                sources.add(path, join).map_err(|error| NoSource {
                    kind: kind_of(&error),
                    message: error.chain(),
                    fault: match error.kind() {
                        ErrorKind::Refused(Refusal::Split(_)) => Fault::Piece,
                        _ => Fault::Other,
                    },
                })
            });
            if let (Ok(found), manifest::Runs::Whole) = (&number, &item.runs)
                && let Some(why) = &sources.slots[*found as usize].ends_early
            {
                let (kind, fault) = (manifest::ErrorKind::Refused, Fault::EndsEarly);
                *number = Err(NoSource { kind, message: why.clone(), fault });
            }
        }
        Named { sources, numbers }
    }

    /// The size of a source in bytes.
    ///
    /// # Errors
    ///
    /// What kept it from being opened.
    pub fn size(&self, name: Option<&Path>) -> std::result::Result<u64, NoSource> {
        let number = self.numbers.get(&name).cloned();
        number.unwrap_or_else(|| Err(manifest::no_source(name))).map(|n| self.sources.size(n))
    }

    /// Number and size of the source of an item, after the check has found
    /// every source to be there.
    pub fn of(&self, item: &Item) -> (u32, u64) {
        let number = self.numbers.get(&item.source.as_deref());
        let number = *number.and_then(|found| found.as_ref().ok()).expect("the list was checked");
        (number, self.sources.size(number))
    }
}

fn kind_of(error: &crate::Error) -> manifest::ErrorKind {
    match error.kind() {
        ErrorKind::Usage { .. } => manifest::ErrorKind::Usage,
        _ => manifest::ErrorKind::Refused,
    }
}
