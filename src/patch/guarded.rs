//! A file or device that is looked at before it is patched.
//!
//! In everything else it is the file or device that it stands before. It must not
//! know what is written.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::{Before, unfinished};
use crate::endpoint::{
    Abilities, Destination, Draft, End, Examiner, Existing, Footprint, Kind, Look, Looked, Shape,
};
use crate::error::{Error, ErrorKind, Refusal, Result, chain};
use crate::io::{as_u64, as_usize, transfer};
use crate::range::ByteRange;
use crate::sparse::Layout;

/// What is to be called with the bytes that are there, before one is written.
pub type Callback = Box<dyn Fn(&Before) -> io::Result<()> + Send + Sync>;

/// What is wanted of the bytes that are there.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// What must be at the place of the patch.
    pub expected: Option<Vec<u8>>,
    /// Whether the old bytes are wanted.
    pub keeps_old: bool,
    /// Whether the file may become longer.
    pub grows: bool,
}

/// A file or device, and what is wanted of it.
pub struct Guarded {
    file: Box<dyn Destination>,
    wish: Wish,
    before: Option<Callback>,
    /// What was found.
    found: Arc<OnceLock<Before>>,
}

impl Guarded {
    pub fn new(
        file: Box<dyn Destination>,
        wish: Wish,
        before: Option<Callback>,
        found: Arc<OnceLock<Before>>,
    ) -> Guarded {
        Guarded { file, wish, before, found }
    }

    /// Length in bytes, of a file that cannot be read as well.
    fn size(&self) -> u64 {
        match self.file.existing() {
            Some(existing) => existing.content.size(),
            None => {
                let footprint = self.file.footprint();
                footprint.and_then(|found| found.facts).map_or(0, |facts| facts.size)
            }
        }
    }

    /// Reads what is at the place `to`, as far as anybody wants to know it.
    fn find(&self, to: ByteRange) -> Result<()> {
        let size = self.size();
        if to.end() > size && !self.wish.grows {
            let path = self.path().to_owned();
            return Err(Refusal::PastEnd { path, range: to, size }.into());
        }
        let expected = self.wish.expected.as_deref().unwrap_or_default();
        let wants_old = self.wish.keeps_old || self.before.is_some();
        let old = if wants_old { to.len() } else { 0 };
        let there = self.read(
            to.start(),
            old.max(as_u64(expected.len())).min(size.saturating_sub(to.start())),
        )?;
        self.check_expected(to.start(), expected, &there)?;
        let old = there[..there.len().min(as_usize(old))].to_vec();
        // It is looked at once.
        let _ = self.found.set(Before { range: to, old, size });
        Ok(())
    }

    fn read(&self, at: u64, len: u64) -> Result<Vec<u8>> {
        if len == 0 {
            return Ok(Vec::new());
        }
        let path = || self.path().to_owned();
        let existing = self.file.existing().ok_or_else(|| Refusal::WriteOnly { path: path() })?;
        let mut there = vec![0; as_usize(len)];
        transfer::read_full(&*existing.content, at, &mut there)
            .map_err(|stop| Refusal::CannotRead { path: path(), source: stop.error })?;
        Ok(there)
    }

    fn check_expected(&self, at: u64, expected: &[u8], there: &[u8]) -> Result<()> {
        let differs =
            expected.iter().enumerate().position(|(at, byte)| there.get(at) != Some(byte));
        let Some(first) = differs else { return Ok(()) };
        let part = |bytes: &[u8]| bytes.iter().skip(first).take(SHOWN).copied().collect();
        let kind = ErrorKind::OldMismatch {
            path: self.path().to_owned(),
            at: at + as_u64(first),
            found: part(&there[..there.len().min(expected.len())]),
            expected: part(expected),
        };
        Err(kind.into())
    }
}

/// Bytes that a message shows.
const SHOWN: usize = 8;

/// What an interrupted copy left can be resumed by that copy alone.
fn of_a_patch(error: Error) -> Error {
    match error.into_kind() {
        ErrorKind::Refused(Refusal::Leftover { path, .. }) => unfinished(&path).into(),
        kind => kind.into(),
    }
}

impl Destination for Guarded {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn abilities(&self) -> Abilities {
        self.file.abilities()
    }

    fn kind(&self) -> Kind {
        self.file.kind()
    }

    fn end(&self) -> End {
        self.file.end()
    }

    fn describe(&self) -> String {
        self.file.describe()
    }

    fn look(&mut self, look: &Look<'_>, examiner: &mut Examiner) -> Result<Looked> {
        self.file.look(look, examiner).map_err(of_a_patch)
    }

    fn check(&self, look: &Look<'_>) -> Result<()> {
        self.file.check(look)?;
        self.find(look.mapping.to())
    }

    fn check_room(&self, look: &Look<'_>, layout: &Layout, may_share: bool) -> Result<()> {
        self.file.check_room(look, layout, may_share)
    }

    fn existing(&self) -> Option<Existing> {
        self.file.existing()
    }

    fn begin(self: Box<Self>, shape: &Shape<'_>) -> Result<Box<dyn Draft>> {
        if let (Some(before), Some(found)) = (&self.before, self.found.get()) {
            before(found).map_err(|error| {
                let why = chain(&error);
                Refusal::Other(format!("what is there now cannot be told, so it stays: {why}"))
            })?;
        }
        self.file.begin(shape)
    }

    fn is_fresh(&self) -> bool {
        self.file.is_fresh()
    }

    fn footprint(&self) -> Option<Footprint<'_>> {
        self.file.footprint()
    }
}
