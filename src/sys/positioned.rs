//! A file or device that several threads read and write at positions.
//!
//! The same on every system but for two things that the system says: how many
//! handles it takes for requests to run side by side ([`super::Handles`]), and
//! whether its devices want whole sectors ([`super::WHOLE_SECTORS`]).

use std::fs::File;
use std::io;

use super::sectors::Sectors;
use super::{DeviceInfo, Handles, WHOLE_SECTORS, read_at, write_at};

/// A file or device that several threads read and write at positions.
pub struct PositionedFile {
    file: File,
    handles: Handles,
    sectors: Option<Sectors>,
}

impl PositionedFile {
    /// For a regular file.
    pub fn file(file: File) -> PositionedFile {
        PositionedFile { file, handles: Handles::of_file(), sectors: None }
    }

    /// For a block device.
    pub fn device(file: File, info: &DeviceInfo) -> PositionedFile {
        let sectors = WHOLE_SECTORS.then(|| Sectors::new(info.logical_sector, info.size));
        PositionedFile { file, handles: Handles::of_device(), sectors }
    }

    /// With handles that were chosen otherwise.
    #[cfg(windows)]
    pub(super) fn with_handles(file: File, handles: Handles) -> PositionedFile {
        PositionedFile { file, handles, sectors: None }
    }

    /// The handle it was made from.
    pub fn as_file(&self) -> &File {
        &self.file
    }

    /// Reads at `offset`. May be short; 0 is the end.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.handles.reading(&self.file, |file| match &self.sectors {
            None => read_at(file, buffer, offset),
            Some(sectors) => sectors.read(buffer, offset, |into, at| read_at(file, into, at)),
        })
    }

    /// Writes at `offset`. May be short.
    pub fn write_at(&self, data: &[u8], offset: u64) -> io::Result<usize> {
        self.handles.writing(&self.file, |file| match &self.sectors {
            None => write_at(file, data, offset),
            Some(sectors) => sectors.write(
                data,
                offset,
                |into, at| read_at(file, into, at),
                |from, at| write_at(file, from, at),
            ),
        })
    }
}
