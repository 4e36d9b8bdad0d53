//! What a device that was written says of itself, and no longer is: partitions
//! that the kernel still has from before, and the second partition table of a
//! disk of another size. All of it is told, and nothing of it is written: the
//! copy is what was asked for.

use std::fs::File;
use std::path::Path;

use positioned_io::ReadAt;

use crate::error::{plain, quoted};
use crate::io::FileIo;
use crate::range::ByteRange;
use crate::sys;

/// How a partition table of the kind GPT begins, in the second sector and in the last.
const GPT: &[u8; 8] = b"EFI PART";

/// The start of a GPT, as far as it matters here.
struct Header {
    /// The sector in which its double is.
    other: u64,
    /// The number of the disk, which both have.
    disk: [u8; 16],
}

/// A device with its table.
struct Disk<'a> {
    device: &'a dyn ReadAt,
    /// Its size and its sectors, in bytes.
    size: u64,
    sector: u64,
}

impl Disk<'_> {
    /// The header in this sector, if there is one.
    fn header(&self, number: u64) -> Option<Header> {
        let mut bytes = [0; 512];
        self.device.read_exact_at(number.checked_mul(self.sector)?, &mut bytes).ok()?;
        let other = u64::from_le_bytes(bytes[32..40].try_into().ok()?);
        let disk = bytes[56..72].try_into().ok()?;
        bytes.starts_with(GPT).then_some(Header { other, disk })
    }

    /// Whether it begins with a partition table.
    fn has_table(&self) -> bool {
        let mut bytes = [0; 512];
        let read = self.device.read_exact_at(0, &mut bytes);
        let is_marked = read.is_ok() && bytes[510..] == [0x55, 0xaa];
        // Four entries: whether one boots from it, the kind at 4, the length at 12.
        // What is not 0 or 0x80 there is code of a file system without partitions.
        let entries = || bytes[446..510].chunks_exact(16);
        let is_used = |entry: &[u8]| entry[4] != 0 && entry[12..] != [0; 4];
        is_marked && entries().all(|entry| entry[0] & 0x7f == 0) && entries().any(is_used)
    }

    /// Has the kernel read the table. Why it does not know what is there now.
    fn why_not_known(&self, file: &File) -> Option<String> {
        let (before, table) = (sys::has_partitions(file) == Some(true), self.has_table());
        if !before && !table {
            return None;
        }
        match sys::reread_partitions(file) {
            Ok(()) if table && sys::has_partitions(file) == Some(false) => {
                Some("the kernel finds none of the partitions".to_owned())
            }
            Ok(()) => None,
            // A device that can have none, such as a partition.
            Err(error) if !before && sys::is_unsupported(&error) => None,
            Err(error) if before => {
                Some(format!("the kernel keeps the old partitions ({})", plain(&error)))
            }
            Err(error) => {
                Some(format!("the kernel does not look for the partitions ({})", plain(&error)))
            }
        }
    }

    /// What the table at the end is, as seen from the one at the beginning, which
    /// was written a moment ago.
    fn misplaced(&self) -> Option<&'static str> {
        let last = (self.size / self.sector).checked_sub(1)?;
        let end = self.header(last);
        match (self.header(1), end) {
            (Some(first), Some(end)) if first.disk == end.disk && first.other == last => None,
            (Some(first), _) if first.other == last => None,
            (Some(_), _) => Some(
                "the second partition table is not at the end of the device, which has another \
                 size than the disk that was copied: `sgdisk -e` moves it there",
            ),
            (None, Some(_)) => Some(
                "the last sector still has a partition table (GPT) from before, which some \
                 programs go by: `wipefs` removes it",
            ),
            (None, None) => None,
        }
    }
}

/// What is to be said of `device`, which is at `path`, when `written` of it is new.
/// `sector` is its own, in bytes.
pub fn notes(device: &FileIo, path: &Path, written: ByteRange, sector: u64) -> Vec<String> {
    // The table, and the mark of an older one, are in the first two sectors.
    if !written.overlaps(ByteRange::to(sector.saturating_mul(2))) {
        return Vec::new();
    }
    let name = quoted(path);
    let disk = Disk { device, size: device.len(), sector };
    let stale = disk.why_not_known(device.as_file()).map(|why| {
        format!("{why} of {name}: `partprobe` has the kernel read what the device has now")
    });
    let misplaced = disk.misplaced();
    let misplaced = misplaced.map(|what| format!("{name}: {what}"));
    stale.into_iter().chain(misplaced).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::memory::Memory;

    const SECTORS: u64 = 100;

    /// A table in sector `at` of `disk`, whose double is in `other`.
    fn put(disk: &mut [u8], sector: usize, (at, other): (usize, u64), name: u8) {
        let header = &mut disk[at * sector..][..512];
        header[..8].copy_from_slice(GPT);
        header[32..40].copy_from_slice(&other.to_le_bytes());
        header[56..72].fill(name);
    }

    fn check(sector: usize, tables: &[(usize, u64, u8)], expected: Option<&str>) {
        let mut bytes = vec![0; sector * SECTORS as usize];
        for &(at, other, name) in tables {
            put(&mut bytes, sector, (at, other), name);
        }
        let size = bytes.len() as u64;
        let device = Memory::new(bytes);
        let found = Disk { device: &device, size, sector: sector as u64 }.misplaced();
        let is_as_expected = match (found, expected) {
            (None, None) => true,
            (Some(found), Some(expected)) => found.contains(expected),
            _ => false,
        };
        assert!(is_as_expected, "{sector} {tables:?}: {found:?}");
    }

    #[test]
    fn a_table_is_told_from_the_code_of_a_file_system() {
        let check = |mark: [u8; 2], first: u8, kind: u8, len: u8, expected: bool| {
            let mut bytes = vec![0; 1024];
            (bytes[446], bytes[446 + 4], bytes[446 + 12]) = (first, kind, len);
            bytes[510..512].copy_from_slice(&mark);
            let device = Memory::new(bytes);
            let disk = Disk { device: &device, size: 1024, sector: 512 };
            assert_eq!(disk.has_table(), expected, "{mark:?} {first} {kind} {len}");
        };
        let mark = [0x55, 0xaa];
        check(mark, 0, 0x83, 1, true);
        check(mark, 0x80, 0x0c, 1, true);
        check([0, 0], 0, 0x83, 1, false);
        check(mark, b'N', 0x83, 1, false);
        check(mark, 0, 0, 1, false);
        check(mark, 0, 0x83, 0, false);
    }

    #[test]
    fn only_a_table_that_is_not_where_it_belongs_is_told() {
        for sector in [512, 4096] {
            check(sector, &[], None);
            // The whole of a disk of this size.
            check(sector, &[(1, 99, 7), (99, 1, 7)], None);
            // Of a smaller one, of a larger one, and with the end of another.
            check(sector, &[(1, 49, 7), (49, 1, 7)], Some("sgdisk -e"));
            check(sector, &[(1, 199, 7)], Some("sgdisk -e"));
            check(sector, &[(1, 49, 7), (99, 1, 8)], Some("sgdisk -e"));
            // What was written has none.
            check(sector, &[(99, 1, 8)], Some("wipefs"));
        }
    }
}
