//! What an earlier run left of an upload: the map says which parts it sent, and the
//! service says which it has. A part counts if both say the same of it. Nothing is
//! changed here.

use std::collections::BTreeMap;

use super::failed_to_look;
use super::parts::PartPlan;
use super::requests::{Head, Requests, encoded, is_no_upload, tag_of_all};
use crate::durable::map::{Difference, Identity, Map, MapFile, ObjectId, UploadPart};
use crate::durable::previous::{self, Leftovers};
use crate::durable::trust::Examiner;
use crate::endpoint::Look;
use crate::endpoint::http::fault::Fault;
use crate::endpoint::shared::Upload;
use crate::error::{ErrorKind, MapRefusal, Refusal, Remedy, Result, chain, quoted};
use crate::io::{as_usize, transfer};
use crate::range::{ByteRange, RangeSet};

/// Bytes that are compared at a time.
const CHUNK: u64 = 1 << 20;

/// What an earlier run left.
#[derive(Default)]
pub enum Left {
    /// Nothing.
    #[default]
    Nothing,
    /// A map, and an upload if there is one, that are discarded when the job begins.
    Discarded(Option<String>),
    /// An upload that is resumed.
    Resumed(Earlier),
    /// All of it: only the map remains.
    Complete,
}

/// An upload that is resumed.
pub struct Earlier {
    pub upload: Upload,
    pub plan: PartPlan,
    /// What the service has of it, and will not be sent again.
    pub parts: BTreeMap<u32, UploadPart>,
}

/// What was found.
#[derive(Default)]
pub struct Found {
    pub left: Left,
    /// In bytes of the source.
    pub done: RangeSet,
    pub notes: Vec<String>,
}

/// What is looked for.
pub struct Search<'a> {
    pub look: &'a Look<'a>,
    pub requests: &'a Requests,
    pub map_file: &'a MapFile,
    /// What is to be copied, to an upload if that is known.
    pub identity: &'a dyn Fn(Option<ObjectId>) -> Identity,
}

impl Search<'_> {
    /// Finds out where the job begins.
    ///
    /// # Errors
    ///
    /// A [`Refusal`].
    pub fn find(&self, examiner: &mut Examiner) -> Result<Found> {
        match self.look.options.leftovers {
            Leftovers::Refuse => {
                previous::check_no_map(self.map_file, examiner)?;
                Ok(Found::default())
            }
            Leftovers::Restart => match previous::check_discardable(self.map_file, examiner)? {
                true => self.discarded(),
                false => Ok(Found::default()),
            },
            Leftovers::Resume => match previous::load(self.map_file, examiner)? {
                Some(map) => self.resume(&map),
                None => Ok(Found {
                    notes: vec!["nothing was left to resume: copied from the beginning".to_owned()],
                    ..Found::default()
                }),
            },
        }
    }

    /// The map that is discarded, and its upload.
    fn discarded(&self) -> Result<Found> {
        let found = |upload| Found { left: Left::Discarded(upload), ..Found::default() };
        // One that is damaged names none.
        let Ok(Some(Map { identity: Some(identity), .. })) = self.map_file.load() else {
            return Ok(found(None));
        };
        self.check_object(&identity)?;
        match identity.destination.id {
            Some(ObjectId::Upload { id, begun, .. }) if id.is_empty() => self.unheard(&begun),
            Some(ObjectId::Upload { id, .. }) => Ok(found(Some(id))),
            _ => Ok(found(None)),
        }
    }

    /// A map without the name of an upload that began after `begun`: that is discarded
    /// if it is certain which one it is, and otherwise it is said what may be left.
    fn unheard(&self, begun: &str) -> Result<Found> {
        let (upload, note) = match self.requests.unheard(begun) {
            Ok(mut found) if found.len() <= 1 => (found.pop(), None),
            Ok(found) => (None, Some(self.requests.left_behind(Some(found.len())))),
            Err(Fault::Stopped) => return Err(ErrorKind::Cancelled.into()),
            // Who may write need not be allowed to ask.
            Err(_) => (None, Some(self.requests.left_behind(None))),
        };
        let notes = note.into_iter().collect();
        Ok(Found { left: Left::Discarded(upload), notes, ..Found::default() })
    }

    /// Refuses a map of another object, whose upload is nothing of this job.
    fn check_object(&self, identity: &Identity) -> Result<(), Refusal> {
        let (theirs, ours) = (&identity.destination, (self.identity)(None).destination);
        if theirs.path == ours.path && theirs.kind == ours.kind {
            return Ok(());
        }
        let what = format!(
            "it is of a copy to {}, and this one is to {}",
            quoted(&theirs.path),
            quoted(&ours.path)
        );
        let remedies = &[Remedy::MapElsewhere];
        Err(MapRefusal::Foreign { path: self.map_file.path(), what, remedies }.into())
    }

    fn resume(&self, map: &Map) -> Result<Found> {
        let path = self.map_file.path();
        let Some(identity) = &map.identity else {
            let remedies = &[Remedy::MapElsewhere];
            return Err(MapRefusal::Alien { path, remedies }.into());
        };
        self.check_object(identity)?;
        let Some(ObjectId::Upload { id, begun, part_size, checked, parts }) =
            &identity.destination.id
        else {
            let reason = "it names no upload".to_owned();
            return Err(MapRefusal::Unusable { path, reason }.into());
        };
        let job = (self.identity)(identity.destination.id.clone());
        let hints = previous::compare(map, self.map_file, &job)?;
        let Some(plan) = PartPlan::of(self.look.mapping.len(), *part_size) else {
            let reason = format!("no object has parts of {part_size} bytes");
            return Err(MapRefusal::Unusable { path, reason }.into());
        };
        if id.is_empty() {
            // It was ended before anybody knew what the service calls the upload.
            return self.unheard(begun);
        }
        let listed = match self.requests.list(id) {
            Ok(listed) => listed,
            Err(fault) if is_no_upload(&fault) => {
                return self.without_upload(plan, parts, &hints);
            }
            Err(fault) => return Err(failed_to_look(&job.destination.path, fault)),
        };
        let mut known = parts.clone();
        known.retain(|&number, part| {
            let range = self.look.mapping.to_source(plan.range(number));
            let there = listed.get(&number);
            let is_there = there.is_some_and(|there| there.tag == part.tag);
            let is_whole = there.is_some_and(|there| there.len == range.len());
            is_there && is_whole && map.done.within(range).bytes() == range.len()
        });
        let ranges = known.keys().map(|&number| self.look.mapping.to_source(plan.range(number)));
        let done: RangeSet = ranges.collect();
        let notes = self.compare(plan, &known, &hints)?.into_iter().collect();
        let earlier =
            Earlier { upload: Upload { id: id.clone(), checked: *checked }, plan, parts: known };
        Ok(Found { left: Left::Resumed(earlier), done, notes })
    }

    /// Where the service knows the upload no more: it is complete if the object is
    /// there that it was to become, and the source is still what that was made of.
    fn without_upload(
        &self,
        plan: PartPlan,
        parts: &BTreeMap<u32, UploadPart>,
        hints: &[Difference],
    ) -> Result<Found> {
        let path = (self.identity)(None).destination.path;
        let found = self.requests.head().map_err(|fault| failed_to_look(&path, fault))?;
        if found.is_some_and(|found| is_made_of(&found, plan, parts)) {
            let done = self.look.mapping.from().into();
            let note = "an earlier run completed it, and was ended before it could say so";
            let compared = self.compare(plan, parts, hints)?;
            let notes = [note.to_owned()].into_iter().chain(compared).collect();
            return Ok(Found { left: Left::Complete, done, notes });
        }
        let reason = "the service knows its upload no more: it was completed, aborted, or too old";
        let (reason, remedies) = (reason.to_owned(), &[Remedy::Restart]);
        Err(Refusal::NothingToResume { reason, remedies }.into())
    }

    /// Where something of the source is not as the map has it, compares it with what
    /// was sent. Returns what is to be said of that.
    fn compare(
        &self,
        plan: PartPlan,
        parts: &BTreeMap<u32, UploadPart>,
        hints: &[Difference],
    ) -> Result<Option<String>> {
        let hints: Vec<String> = hints.iter().map(Difference::what).collect();
        let accepts_all = self.look.options.allow_changed_source;
        if hints.is_empty() || parts.is_empty() || accepts_all {
            return Ok(None);
        }
        let mut bytes = 0;
        for (&number, part) in parts {
            let range = self.look.mapping.to_source(plan.range(number));
            if self.checksum(range, &hints)? != part.crc32c {
                return Err(Refusal::NotWhatWasCopied {
                    source_path: self.look.origin.path().to_owned(),
                    path: (self.identity)(None).destination.path,
                    offset: range.start(),
                    hints,
                }
                .into());
            }
            bytes += range.len();
        }
        let hints = hints.join(", ");
        let says = format!("all {bytes} bytes that it calls done have the same checksums");
        Ok(Some(format!("the map has another {hints}; {says}")))
    }

    /// CRC-32C of `range` of the source as it is now.
    fn checksum(&self, range: ByteRange, hints: &[String]) -> Result<u32> {
        let source = self.look.origin.source();
        let (mut memory, mut sum) = (vec![0; as_usize(CHUNK.min(range.len()))], 0);
        for piece in range.pieces(CHUNK) {
            if self.look.watch.cancel.is_cancelled() {
                return Err(ErrorKind::Cancelled.into());
            }
            let memory = &mut memory[..as_usize(piece.len())];
            transfer::read_full(&*source, piece.start(), memory).map_err(|stop| {
                Refusal::NothingToCompare {
                    source_path: self.look.origin.path().to_owned(),
                    path: (self.identity)(None).destination.path,
                    reason: chain(&stop.error),
                    hints: hints.to_vec(),
                }
            })?;
            sum = crc32c::crc32c_append(sum, memory);
        }
        Ok(sum)
    }
}

/// Whether an object is what `parts` make, as far as its service says what it is.
pub fn is_made_of(found: &Head, plan: PartPlan, parts: &BTreeMap<u32, UploadPart>) -> bool {
    let is_all = parts.len() == plan.count() as usize;
    let tag = tag_of_all(parts);
    let checksum = parts.iter().fold(0, |so_far, (&number, part)| {
        crc32c::crc32c_combine(so_far, part.crc32c, as_usize(plan.range(number).len()))
    });
    let same_tag = tag.is_some() && found.tag == tag;
    let same_sum = found.checksum.as_deref() == Some(&*encoded(checksum));
    is_all && found.len == plan.len && (same_tag || same_sum)
}
