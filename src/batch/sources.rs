//! What a batch reads: one device, or many files.
//!
//! Ten thousand sources cannot all stay open. Each is looked at once before
//! the first byte; when its turn comes it is opened again and must be the same
//! file, unchanged.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use crate::error::{ErrorKind, Result};
use crate::progress::lock;
use crate::source::OpenSource;
use crate::sys::Facts;

struct Slot {
    path: PathBuf,
    facts: Facts,
    shared: Mutex<Weak<OpenSource>>,
}

/// All sources of a batch.
pub struct Sources {
    slots: Vec<Slot>,
    kept: Vec<Arc<OpenSource>>,
    stay_open: usize,
}

impl Sources {
    /// None yet; the first `stay_open` stay open for the whole batch.
    pub fn new(stay_open: usize) -> Sources {
        Sources { slots: Vec::new(), kept: Vec::new(), stay_open }
    }

    /// Opens `path` for a look and gives it a number.
    ///
    /// # Errors
    ///
    /// See [`OpenSource::open`].
    pub fn add(&mut self, path: &Path) -> Result<u32> {
        let source = Arc::new(OpenSource::open(path)?);
        let number = u32::try_from(self.slots.len())
            .map_err(|_| ErrorKind::Usage("more sources than can be counted".to_owned()))?;
        self.slots.push(Slot {
            path: path.to_owned(),
            facts: source.facts.clone(),
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
        let source = Arc::new(OpenSource::open(&slot.path)?);
        let same = source.facts.same_thing(&slot.facts)
            && (source.facts.size, source.facts.modified) == (slot.facts.size, slot.facts.modified);
        if !same {
            let what = "it is not the file that was there when the batch began".to_owned();
            return Err(ErrorKind::SourceChanged { path: slot.path.clone(), what }.into());
        }
        *shared = Arc::downgrade(&source);
        Ok(source)
    }

    /// What changed of source `number` since the batch began, in words.
    pub fn change(&self, number: u32) -> Option<String> {
        match self.open(number) {
            Ok(source) => source.change().unwrap_or_else(|error| Some(error.to_string())),
            Err(error) => Some(error.chain()),
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
    pub fn facts(&self, number: u32) -> &Facts {
        &self.slots[number as usize].facts
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }
}
