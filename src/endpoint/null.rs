//! The end that takes everything and keeps nothing: `null:`, where only reading
//! matters.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Abilities, Destination, Draft, Shape};
use crate::error::Result;
use crate::io::Sink;

/// Its name on the command line.
pub const NAME: &str = "null:";

/// Takes everything and keeps nothing.
#[derive(Debug)]
pub struct Null {
    path: PathBuf,
}

impl Default for Null {
    fn default() -> Null {
        Null { path: PathBuf::from(NAME) }
    }
}

impl Destination for Null {
    fn path(&self) -> &Path {
        &self.path
    }

    fn abilities(&self) -> Abilities {
        Abilities::default().without_read_back().open_ended()
    }

    fn begin(self: Box<Self>, shape: &Shape<'_>) -> Result<Box<dyn Draft>> {
        Ok(Box::new(NullDraft { path: self.path, len: shape.mapping.to().end() }))
    }
}

struct NullDraft {
    path: PathBuf,
    len: u64,
}

impl Draft for NullDraft {
    fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(NullSink)
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn is_durable(&self) -> bool {
        false
    }

    fn commit(&mut self, _durable: bool) -> Result<()> {
        Ok(())
    }

    fn discard(self: Box<Self>) -> Option<String> {
        None
    }
}

struct NullSink;

impl Sink for NullSink {
    fn write_at(&self, _offset: u64, data: &[u8]) -> io::Result<usize> {
        Ok(data.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}
