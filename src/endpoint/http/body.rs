//! What a reply brings, taken in pieces: how far it came, and whether more of it can
//! come. Which bytes those are is not known here.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use ureq::BodyReader;

use super::client::{CLOSED, Client, Reply};
use super::fault::Fault;
use crate::io::{as_u64, as_usize};

/// Bytes a second that are too few: another connection may be better.
const CRAWL: u64 = 4 << 10;

/// The body of a reply.
pub(super) struct Body<'a> {
    client: &'a Client,
    reader: BodyReader<'static>,
    /// What has not come yet, in bytes.
    left: u64,
    is_broken: bool,
}

impl<'a> Body<'a> {
    /// Of `reply`, which is to bring `len` bytes.
    pub fn of(client: &'a Client, reply: Reply, len: u64) -> Body<'a> {
        Body { client, reader: reply.into_body(), left: len, is_broken: false }
    }

    /// Whether more can come.
    pub fn goes_on(&self) -> bool {
        self.left > 0 && !self.is_broken
    }

    /// Nothing more is read of it.
    pub fn give_up(&mut self) {
        self.is_broken = true;
    }

    /// Whether it ended before all of it had come.
    pub fn is_cut(&self) -> bool {
        self.left > 0 && self.is_broken
    }

    /// Fills `buffer`, as far as it goes. How many bytes came.
    ///
    /// # Errors
    ///
    /// If not even one byte came; or if there is more than there is to be.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Fault> {
        let wanted = as_usize(self.left.min(as_u64(buffer.len())));
        let begin = Instant::now();
        let limit = self.client.remote().timeout;
        let longest = limit * 2 + Duration::from_secs(as_u64(wanted) / CRAWL);
        let mut moved = 0;
        while moved < wanted && !self.is_broken {
            match self.reader.read(&mut buffer[moved..wanted]) {
                Ok(0) => self.is_broken = true,
                Ok(count) => moved += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if moved == 0 => return Err(self.client.fault_of_io(error)),
                // What came is good.
                Err(_) => self.is_broken = true,
            }
            self.is_broken |= begin.elapsed() > longest;
        }
        if moved == 0 && wanted > 0 {
            return Err(Fault::Connection(CLOSED.to_owned()));
        }
        self.left -= as_u64(moved);
        if self.left == 0 && !self.is_broken {
            self.end(moved)?;
        }
        Ok(moved)
    }

    /// Only a body that was read to its end leaves a connection for the next.
    fn end(&mut self, moved: usize) -> Result<(), Fault> {
        match self.reader.read(&mut [0]) {
            Ok(0) | Err(_) => Ok(()),
            Ok(_) => Err(Fault::WrongRange {
                asked: format!("{moved} in number"),
                got: "more bytes".to_owned(),
            }),
        }
    }
}
