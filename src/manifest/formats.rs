//! The forms a list can have, one file each: each reads text and hands what it
//! finds to `Reading`. A format must not judge items; what is refused of any
//! list is refused by the parent room.
//!
//! `objects`, `xml` and `xml_text` cut text for several of them; `partition` is a row
//! of those that list disks.

pub(super) mod bmap;
pub(super) mod csv;
pub(super) mod dfxml;
pub(super) mod filefrag;
pub(super) mod jsonl;
pub(super) mod lsblk;
pub(super) mod mapfile;
pub(super) mod mmls;
mod objects;
pub(super) mod parted;
mod partition;
pub(super) mod plain;
pub(super) mod qemu_map;
pub(super) mod rawprogram;
pub(super) mod sfdisk;
mod xml;
mod xml_text;
