//! Files that hold a disk or another file packed: what lies at a position of
//! the disk lies elsewhere in the file. Told by their first bytes, or their last.

use positioned_io::ReadAt;

use crate::io::{as_u64, as_usize, transfer};

/// How something is packed, and what unpacks it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Container {
    /// Name of the format.
    pub name: &'static str,
    /// What makes its content a file or device with positions of its own.
    pub opened_by: &'static str,
}

/// Bytes that are looked at.
const HEAD: usize = 72;

const QEMU: &str = "qemu-nbd (or qemu-img convert -O raw) opens it as the disk that it holds";
const EWF: &str = "ewfmount shows it as the disk that it holds";
const AFF: &str = "affuse shows it as the disk that it holds";

/// Signatures, where they stand, and of what they are. ZIP is not among them:
/// an index of its members is a list of ranges of the file itself.
const SIGNATURES: [(usize, &[u8], &str, &str); 23] = [
    (0, b"QFI\xfb", "qcow2", QEMU),
    (0, b"QED\0", "QED", QEMU),
    (0, b"KDMV", "VMDK", QEMU),
    (0, b"COWD", "VMDK", QEMU),
    (0, b"# Disk DescriptorFile", "VMDK", QEMU),
    (0, b"conectix", "VHD", QEMU),
    (0, b"vhdxfile", "VHDX", QEMU),
    (64, b"\x7f\x10\xda\xbe", "VDI", QEMU),
    (0, b"WithoutFreeSpace", "Parallels", QEMU),
    (0, b"EVF\x09\x0d\x0a\xff\0", "E01 (EWF)", EWF),
    (0, b"EVF2\x0d\x0a\x81\0", "Ex01 (EWF)", EWF),
    (0, b"LVF\x09\x0d\x0a\xff\0", "L01 (EWF)", EWF),
    (0, b"AFF10\r\n\0", "AFF", AFF),
    (0, b"partclone-image", "partclone", "partclone.restore writes the file system that it holds"),
    (
        0,
        b"\0ntfsclone-image",
        "ntfsclone",
        "ntfsclone --restore-image writes the file system that it holds",
    ),
    (0, b"\x1f\x8b\x08", "gzip, compressed", "gzip -dc unpacks it"),
    (0, b"BZh", "bzip2, compressed", "bzip2 -dc unpacks it"),
    (0, b"\xfd7zXZ\0", "xz, compressed", "xz -dc unpacks it"),
    (0, b"\x28\xb5\x2f\xfd", "zstd, compressed", "zstd -dc unpacks it"),
    (0, b"\x04\x22\x4d\x18", "lz4, compressed", "lz4 -dc unpacks it"),
    (0, b"LZIP\x01", "lzip, compressed", "lzip -dc unpacks it"),
    (0, b"\x89LZO\0\r\n\x1a\n", "lzop, compressed", "lzop -dc unpacks it"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z, compressed", "7z x unpacks it"),
];

/// What ends a disk image of macOS that is packed, and how long that is.
const KOLY: &[u8] = b"koly";
const KOLY_LEN: u64 = 512;
const UDIF: Container = Container { name: "UDIF (dmg)", opened_by: "dmg2img unpacks it" };

/// As what `source`, which has `size` bytes, is packed, if it is. What cannot be
/// read is not.
pub fn container(source: &dyn ReadAt, size: u64) -> Option<Container> {
    let mut head = [0; HEAD];
    let head = &mut head[..as_usize(size.min(as_u64(HEAD)))];
    transfer::read_full(source, 0, head).ok()?;
    of_head(head).or_else(|| {
        let mut tail = [0; KOLY.len()];
        transfer::read_full(source, size.checked_sub(KOLY_LEN)?, &mut tail).ok()?;
        (tail == KOLY).then_some(UDIF)
    })
}

fn of_head(head: &[u8]) -> Option<Container> {
    let found = SIGNATURES
        .iter()
        .find(|(at, mark, ..)| head.get(*at..).is_some_and(|rest| rest.starts_with(mark)));
    found.map(|&(.., name, opened_by)| Container { name, opened_by })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signature_is_told_and_nothing_else() {
        for (at, mark, name, _) in SIGNATURES {
            let mut head = vec![0; at];
            head.extend_from_slice(mark);
            head.resize(HEAD, 0xee);
            assert_eq!(of_head(&head).map(|found| found.name), Some(name));
            assert_eq!(of_head(&head[..at + mark.len() - 1]), None, "{name}, cut");
        }
        let mut image = vec![7; 4096];
        image[4096 - 512..][..4].copy_from_slice(KOLY);
        assert_eq!(container(&image, 4096), Some(UDIF));
        assert_eq!(of_head(b""), None);
        assert_eq!(of_head(&[0xeb; HEAD]), None);
    }
}
