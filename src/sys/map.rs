//! Part of a file as memory.

use std::fs::File;
use std::io;

use memmap2::{MmapMut, MmapOptions};

use crate::range::ByteRange;

/// Part of a file as memory that can be written.
///
/// Memory beyond the end of the file, or storage that runs out behind it, is a
/// signal that ends the process. The code that makes a map answers for both: the
/// file is long enough, has its storage, and nobody else knows its name.
pub struct Map {
    memory: MmapMut,
}

impl Map {
    /// Maps `range` of `file`, shared. It need not be aligned.
    pub fn new(file: &File, range: ByteRange) -> io::Result<Map> {
        let len = usize::try_from(range.len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
        // SAFETY: the memory is plain bytes, and is only written here. Other
        // writers of the file are ruled out by the caller, see above.
        let memory = unsafe { MmapOptions::new().offset(range.start()).len(len).map_mut(file)? };
        Ok(Map { memory })
    }

    /// The bytes.
    pub fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory
    }
}
