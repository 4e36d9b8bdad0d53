//! Reading and writing any bytes of a device that moves whole sectors only.
//!
//! A raw device of Windows, macOS or FreeBSD refuses a request whose offset,
//! length or address is not a multiple of its sector. The wanted bytes are then
//! cut out of an aligned read, and a write reads the sectors at its edges
//! first. Pure: which calls move the sectors is the caller's business.

use std::io;

use crossbeam::queue::SegQueue;

use super::buffer::{ALIGNMENT, Buffer};
use crate::range::{as_u64, as_usize};
use crate::sync::{Mutex, PoisonError};

/// Longest request that goes through a buffer of its own. A longer one is
/// short, which every caller must handle anyway. A multiple of every sector.
const LONGEST: u64 = 1 << 20;

/// A device, by what matters for the shape of requests, and the buffers for
/// those that do not fit.
pub struct Sectors {
    /// Size of a sector in bytes.
    sector: u64,
    /// Size of the device in bytes: no request goes beyond it, because some
    /// systems refuse such a request instead of cutting it short.
    size: u64,
    buffers: SegQueue<Buffer>,
    /// Two writes may share the sector at their edges: one at a time.
    edge: Mutex<()>,
}

impl Sectors {
    /// A device of `size` bytes in sectors of `sector` bytes.
    pub fn new(sector: u32, size: u64) -> Sectors {
        let sector = u64::from(sector).clamp(1, LONGEST);
        Sectors { sector, size, buffers: SegQueue::new(), edge: Mutex::new(()) }
    }

    /// Reads at `offset` by means of `read`, which sees whole sectors only.
    /// May be short; 0 is the end.
    pub fn read(
        &self,
        buffer: &mut [u8],
        offset: u64,
        mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let len = as_u64(buffer.len()).min(self.size.saturating_sub(offset));
        let wanted = &mut buffer[..as_usize(len)];
        if wanted.is_empty() {
            return Ok(0);
        }
        if self.fits(wanted, offset) {
            return read(wanted, offset);
        }
        let (start, end) = self.hull(offset, len);
        let mut bounce = self.buffer()?;
        let sectors = bounce.at(0, end - start);
        let got = read(sectors, start)?;
        let ahead = as_usize(offset - start);
        let copied = got.saturating_sub(ahead).min(wanted.len());
        wanted[..copied].copy_from_slice(&sectors[ahead..ahead + copied]);
        self.buffers.push(bounce);
        Ok(copied)
    }

    /// Writes at `offset` by means of `read` and `write`, which see whole
    /// sectors only. May be short.
    pub fn write(
        &self,
        data: &[u8],
        offset: u64,
        mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
        mut write: impl FnMut(&[u8], u64) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let len = as_u64(data.len()).min(self.size.saturating_sub(offset));
        if len == 0 {
            // What writing to a full device is called.
            return if data.is_empty() { Ok(0) } else { Err(io::ErrorKind::StorageFull.into()) };
        }
        let data = &data[..as_usize(len)];
        if self.fits(data, offset) {
            return write(data, offset);
        }
        let (start, end) = self.hull(offset, len);
        let mut bounce = self.buffer()?;
        let sectors = bounce.at(0, end - start);
        let ahead = as_usize(offset - start);
        let taken = data.len().min(sectors.len() - ahead);
        let behind = offset + as_u64(taken);
        let _alone = self.edge.lock().unwrap_or_else(PoisonError::into_inner);
        if ahead > 0 {
            self.fill(&mut sectors[..as_usize(self.sector.min(end - start))], start, &mut read)?;
        }
        let last = (end - 1) / self.sector * self.sector;
        if behind < end && (ahead == 0 || last > start) {
            self.fill(&mut sectors[as_usize(last - start)..], last, &mut read)?;
        }
        sectors[ahead..ahead + taken].copy_from_slice(&data[..taken]);
        let put = write(sectors, start)?;
        self.buffers.push(bounce);
        Ok(put.saturating_sub(ahead).min(taken))
    }

    /// Reads one sector, all of it: the rest of it is about to be written back.
    fn fill(
        &self,
        sector: &mut [u8],
        at: u64,
        read: &mut impl FnMut(&mut [u8], u64) -> io::Result<usize>,
    ) -> io::Result<()> {
        if read(sector, at)? == sector.len() {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a sector was read in part"))
    }

    /// Whether the request can go to the device as it is.
    fn fits(&self, memory: &[u8], offset: u64) -> bool {
        let whole = |value: u64| value.is_multiple_of(self.sector);
        // A page is enough for any device, however large its sectors.
        let alignment = as_usize(self.sector).min(ALIGNMENT);
        whole(offset)
            && (whole(as_u64(memory.len())) || offset + as_u64(memory.len()) == self.size)
            && memory.as_ptr().addr().is_multiple_of(alignment)
    }

    /// The whole sectors around a request, at most `LONGEST` bytes of them.
    fn hull(&self, offset: u64, len: u64) -> (u64, u64) {
        let start = offset / self.sector * self.sector;
        let longest = LONGEST / self.sector * self.sector;
        let end = (offset + len).div_ceil(self.sector).saturating_mul(self.sector);
        (start, end.min(self.size).min(start.saturating_add(longest)))
    }

    fn buffer(&self) -> io::Result<Buffer> {
        match self.buffers.pop() {
            Some(buffer) => Ok(buffer),
            None => Ok(Buffer::new(as_usize(LONGEST))?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTOR: u32 = 512;

    /// Refuses what a raw device refuses.
    fn insist(memory: &[u8], offset: u64, device: usize) {
        let sector = SECTOR as usize;
        assert!(offset.is_multiple_of(u64::from(SECTOR)), "offset {offset}");
        assert!(memory.len().is_multiple_of(sector), "length {}", memory.len());
        assert!(memory.as_ptr().addr().is_multiple_of(sector), "address");
        assert!(as_usize(offset) + memory.len() <= device, "beyond the end");
    }

    fn device() -> Vec<u8> {
        (0..3 << 20).map(|at: u32| (at ^ at >> 8 ^ at >> 16) as u8).collect()
    }

    fn check_read(offset: usize, len: usize) {
        let device = device();
        let sectors = Sectors::new(SECTOR, device.len() as u64);
        let mut memory = vec![0; len];
        let mut done = 0;
        while done < len {
            let got = sectors.read(&mut memory[done..], (offset + done) as u64, |into, at| {
                insist(into, at, device.len());
                let at = as_usize(at);
                into.copy_from_slice(&device[at..at + into.len()]);
                Ok(into.len())
            });
            match got.unwrap() {
                0 => break,
                got => done += got,
            }
        }
        let end = (offset + len).min(device.len());
        assert_eq!(done, end.saturating_sub(offset), "{offset}+{len}");
        assert!(memory[..done] == device[offset.min(end)..end], "{offset}+{len}");
    }

    fn check_write(offset: usize, len: usize) {
        let before = device();
        let disk = std::cell::RefCell::new(before.clone());
        let sectors = Sectors::new(SECTOR, before.len() as u64);
        let data = vec![0xA5; len];
        let mut done = 0;
        while done < len {
            let put = sectors.write(
                &data[done..],
                (offset + done) as u64,
                |into, at| {
                    insist(into, at, before.len());
                    into.copy_from_slice(&disk.borrow()[as_usize(at)..as_usize(at) + into.len()]);
                    Ok(into.len())
                },
                |from, at| {
                    insist(from, at, before.len());
                    disk.borrow_mut()[as_usize(at)..as_usize(at) + from.len()]
                        .copy_from_slice(from);
                    Ok(from.len())
                },
            );
            done += put.unwrap();
        }
        let mut expected = before;
        expected[offset..offset + len].fill(0xA5);
        assert!(*disk.borrow() == expected, "{offset}+{len}");
    }

    #[test]
    fn any_bytes_are_cut_out_of_whole_sectors() {
        for offset in [0, 1, 511, 512, 513, 4095, 1 << 20, (1 << 20) + 1] {
            for len in [0, 1, 2, 511, 512, 513, 1024, 4097, 1 << 20, (1 << 20) + 513] {
                check_read(offset, len);
                check_write(offset, len);
            }
        }
        let end = 3 << 20;
        for (offset, len) in [(end - 1, 1), (end - 513, 513), (end - 700, 699)] {
            check_read(offset, len);
            check_write(offset, len);
        }
        // Beyond the end there is nothing, and no request goes there.
        for (offset, len) in [(end - 1, 1000), (end - 512, 4096), (end, 1), (end + 5, 5)] {
            check_read(offset, len);
        }
    }

    #[test]
    fn a_write_beyond_the_end_says_so() {
        let sectors = Sectors::new(SECTOR, 1024);
        let never = |_: &mut [u8], _| panic!("nothing is there to be read");
        let result = sectors.write(&[1], 1024, never, |_, _| panic!("or written"));
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn an_odd_last_sector_is_reached() {
        // No such disk is known; an image that stands for one may be.
        let sectors = Sectors::new(SECTOR, 1000);
        let mut memory = [0; 10];
        let got = sectors.read(&mut memory, 995, |into, at| {
            assert_eq!((at, into.len()), (512, 488));
            into.fill(7);
            Ok(into.len())
        });
        assert_eq!((got.unwrap(), memory[4]), (5, 7));
    }
}
