//! An object that is being written: bytes are gathered until a part is there, and
//! the worker that completes it sends it. Parts go in any order.
//!
//! A part that has been sent is durable, and nothing before that is.

use std::collections::BTreeMap;
use std::io;
use std::sync::OnceLock;

use super::parts::{self, PartPlan};
use super::requests::Requests;
use crate::durable::map::UploadPart;
use crate::endpoint::http::fault::Fault;
use crate::endpoint::shared::Upload;
use crate::io::{Gathering, Sink, as_u64, as_usize};
use crate::progress::lock;
use crate::range::{ByteRange, RangeSet};
use crate::size::human;
use crate::sync::Mutex;

/// An object that is being written.
pub struct Parts {
    pub requests: Requests,
    plan: PartPlan,
    /// Where it ends, if that was not known before.
    end: OnceLock<u64>,
    /// `None` where all of it is one part, which goes at once and at the end.
    pub upload: Option<Upload>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Parts of which something has come.
    open: BTreeMap<u32, Filling>,
    /// Parts that the service has.
    sent: BTreeMap<u32, UploadPart>,
}

/// A part that is being gathered.
#[derive(Default)]
struct Filling {
    /// As long as the part, until it is on its way.
    bytes: Vec<u8>,
    /// What of it has come, in bytes of the part.
    filled: RangeSet,
}

impl Parts {
    /// Of which `sent` has arrived by an earlier run.
    pub fn new(
        requests: Requests,
        plan: PartPlan,
        upload: Option<Upload>,
        sent: BTreeMap<u32, UploadPart>,
    ) -> Parts {
        let state = State { open: BTreeMap::new(), sent };
        Parts { requests, plan, end: OnceLock::new(), upload, state: Mutex::new(state) }
    }

    /// Into which parts it is cut.
    pub fn plan(&self) -> PartPlan {
        self.end.get().map_or(self.plan, |&end| self.plan.up_to(end))
    }

    /// It ends at `end`. To be called when everything before that has been written.
    pub fn end_at(&self, end: u64) {
        self.end.get_or_init(|| end.min(self.plan.len));
    }

    /// The parts that the service has.
    pub fn sent(&self) -> BTreeMap<u32, UploadPart> {
        lock(&self.state).sent.clone()
    }

    /// Sends what of the object has not come in full, with zeros where nothing came.
    ///
    /// # Errors
    ///
    /// Of the request.
    pub fn fill_up(&self) -> Result<(), Fault> {
        match &self.upload {
            // No object has no part.
            Some(upload) if self.plan().len == 0 => self.send(upload, 1, &[]),
            _ => self.fill_up_within(ByteRange::to(self.plan().len)),
        }
    }

    /// The same of the parts that lie in `range`, which begins and ends where parts do.
    ///
    /// # Errors
    ///
    /// Of the request.
    pub fn fill_up_within(&self, range: ByteRange) -> Result<(), Fault> {
        let Some(upload) = &self.upload else { return Ok(()) };
        if range.is_empty() {
            return Ok(());
        }
        for number in self.plan().number(range.start())..=self.plan().number(range.end() - 1) {
            if !lock(&self.state).sent.contains_key(&number) {
                let bytes = self.bytes_of(number)?;
                self.send(upload, number, &bytes)?;
            }
        }
        Ok(())
    }

    /// All of it, where it goes at once.
    ///
    /// # Errors
    ///
    /// If it is not there any more.
    pub fn whole(&self) -> Result<Vec<u8>, Fault> {
        self.bytes_of(1)
    }

    /// What has come of part `number`, with zeros where nothing came. It stays
    /// gathered until it has been sent.
    fn bytes_of(&self, number: u32) -> Result<Vec<u8>, Fault> {
        let len = as_usize(self.plan().range(number).len());
        match lock(&self.state).open.get(&number) {
            None => Ok(vec![0; len]),
            // The last may turn out to be shorter.
            Some(Filling { bytes, .. }) if bytes.len() >= len => Ok(bytes[..len].to_vec()),
            // It was on its way, and did not arrive.
            Some(_) => Err(Fault::Protocol(format!("part {number} was not taken"))),
        }
    }

    fn send(&self, upload: &Upload, number: u32, bytes: &[u8]) -> Result<(), Fault> {
        let sent = self.requests.part(upload, number, bytes, crc32c::crc32c(bytes))?;
        let mut state = lock(&self.state);
        state.sent.insert(number, sent);
        state.open.remove(&number);
        Ok(())
    }

    /// CRC-32C of all of it, once all parts were sent.
    pub fn checksum(&self) -> u32 {
        let state = lock(&self.state);
        state.sent.iter().fold(0, |so_far, (&number, part)| {
            let len = as_usize(self.plan().range(number).len());
            crc32c::crc32c_combine(so_far, part.crc32c, len)
        })
    }

    /// Adds `data` to a part, from `skip` on; the part, if that was the rest of it.
    fn gather(&self, number: u32, skip: u64, data: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let len = self.plan.range(number).len();
        let mut state = lock(&self.state);
        let filling = state.open.entry(number).or_default();
        if filling.bytes.is_empty() {
            let room = as_usize(len);
            let refused = |_| io::Error::from(io::ErrorKind::OutOfMemory);
            filling.bytes.try_reserve_exact(room).map_err(refused)?;
            filling.bytes.resize(room, 0);
        }
        let start = as_usize(skip);
        filling.bytes[start..start + data.len()].copy_from_slice(data);
        filling.filled.insert(ByteRange::between(skip, skip + as_u64(data.len())));
        let is_whole = filling.filled.bytes() == len && self.upload.is_some();
        Ok(is_whole.then(|| std::mem::take(&mut filling.bytes)))
    }

    fn too_long(&self) -> TooLong {
        TooLong { most: self.plan.len, part_size: self.plan.part_size }
    }

    /// Whether nothing has to be done for a write to part `number`: it was sent, and
    /// what comes again is the same.
    fn has(&self, number: u32) -> bool {
        lock(&self.state).sent.contains_key(&number)
    }

    fn is_open(&self, number: u32) -> bool {
        lock(&self.state).open.contains_key(&number)
    }
}

/// More came than goes into one object.
#[derive(Debug, thiserror::Error)]
#[error(
    "an object has {} parts at most, and these are of {} each: {} in all",
    parts::MOST, human(*part_size), human(*most)
)]
struct TooLong {
    most: u64,
    part_size: u64,
}

impl Sink for Parts {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        if offset >= self.plan.len && !data.is_empty() {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, self.too_long()));
        }
        let number = self.plan.number(offset);
        let part = self.plan.range(number);
        let count = as_usize(part.end().saturating_sub(offset)).min(data.len());
        if count == 0 || self.has(number) {
            return Ok(count);
        }
        let data = &data[..count];
        let is_whole = as_u64(count) == part.len() && !self.is_open(number);
        match &self.upload {
            // From the buffer of the worker.
            Some(upload) if is_whole => self.send(upload, number, data)?,
            upload => {
                let whole = self.gather(number, offset - part.start(), data)?;
                if let (Some(bytes), Some(upload)) = (whole, upload) {
                    self.send(upload, number, &bytes)?;
                }
            }
        }
        Ok(count)
    }

    /// What was sent is durable, and what was not is not done.
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Gathering for Parts {
    fn gathered(&self) -> RangeSet {
        let state = lock(&self.state);
        let mut all = RangeSet::new();
        for (&number, filling) in &state.open {
            let start = self.plan.range(number).start();
            for range in filling.filled.iter() {
                all.insert(ByteRange::between(start + range.start(), start + range.end()));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::endpoint::http::client::Client;
    use crate::endpoint::s3::{place::Place, service::Service};
    use crate::options::{Remote, S3Access};

    /// Parts of which none is ever sent.
    fn unsent(plan: PartPlan) -> Parts {
        let mut remote = Remote::default();
        remote.s3.access = S3Access::Anonymous;
        let place = Place::new("s3://bucket/key").unwrap();
        let requests = Requests {
            service: Arc::new(Service::new(&place, &remote).unwrap()),
            client: Arc::new(Client::new(&remote).unwrap()),
        };
        Parts::new(requests, plan, None, BTreeMap::new())
    }

    #[test]
    fn what_comes_past_the_last_part_is_refused_with_the_limit() {
        let plan = PartPlan::open_ended(None);
        let parts = unsent(plan);
        let end = plan.len;
        let error = parts.write_at(end, b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        let said = error.to_string();
        assert!(said.contains("10000 parts") && said.contains("156.25 GiB in all"), "{said}");
        // Up to there it is taken, and the part says that it takes no more.
        assert_eq!(parts.write_at(end - 1, b"xy").unwrap(), 1);
        assert_eq!(parts.write_at(end, b"").unwrap(), 0);
    }
}
