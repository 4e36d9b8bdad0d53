//! One request of the source, written to the several files it holds pieces of.

use std::io;
use std::sync::{Arc, OnceLock};

use super::output::Output;
use super::outputs::{self, ends_the_batch, storage_error};
use super::queue::Segment;
use super::roots::Roots;
use super::why::Why;
use crate::digest::{Algorithm, Digest, hash_slice};
use crate::io::fingerprint::{self, Fingerprint};
use crate::io::{Sink, as_u64, as_usize};
use crate::range::ByteRange;

/// A piece of an output and where its bytes are.
pub struct Piece {
    /// Whose, in every folder that needs it.
    pub outputs: Vec<Arc<Output>>,
    /// Where in the source, and where in the output.
    pub segment: Segment,
    /// In bytes of the sink, which begins where the task begins.
    pub range: ByteRange,
    /// Digests of the whole output to work out, if this piece is all of it.
    pub digests: Vec<Algorithm>,
    /// The hash of its bytes, where that is wanted and they came at once.
    pub hash: OnceLock<u128>,
}

impl Piece {
    /// The fingerprint of its bytes, in positions of the output.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        let range = ByteRange::with_len(self.segment.at, self.range.len())?;
        Some(Fingerprint { range, hash: *self.hash.get()? })
    }
}

/// A sink that writes pieces of what it is given to the files they belong to,
/// and drops what belongs to none. A file that cannot be written is noted in
/// its output and does not keep the others from being written.
pub struct Scatter {
    roots: Arc<Roots>,
    pieces: Vec<Piece>,
    /// Whether pieces are hashed, to be compared later.
    fingerprints: bool,
}

impl Scatter {
    /// Writes to `pieces`.
    pub fn new(roots: Arc<Roots>, pieces: Vec<Piece>, fingerprints: bool) -> Scatter {
        Scatter { roots, pieces, fingerprints }
    }

    /// The pieces it writes to.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    fn write_piece(&self, piece: &Piece, written: ByteRange, data: &[u8]) -> io::Result<()> {
        let part = piece.range.intersect(written);
        if part.is_empty() || piece.outputs.iter().all(|output| output.has_failed()) {
            return Ok(());
        }
        let skip = as_usize(part.start() - written.start());
        let bytes = &data[skip..skip + as_usize(part.len())];
        if part == piece.range && !piece.digests.is_empty() {
            let digests: Vec<Digest> =
                piece.digests.iter().map(|&algorithm| hash_slice(algorithm, bytes)).collect();
            piece.outputs.iter().for_each(|output| output.set_digests(digests.clone()));
        }
        if part == piece.range && self.fingerprints {
            // Bytes that are written once more were read once more.
            let _ = piece.hash.set(fingerprint::hash_of(bytes));
        }
        let at = piece.segment.at + (part.start() - piece.range.start());
        piece.outputs.iter().try_for_each(|output| self.write(output, at, bytes))
    }

    /// An error only where no folder takes any more.
    fn write(&self, output: &Arc<Output>, at: u64, bytes: &[u8]) -> io::Result<()> {
        let root = self.roots.of(output);
        if root.is_lost() || output.has_failed() {
            return Ok(());
        }
        let Err(error) = outputs::write(&root.outputs, output, at, bytes) else { return Ok(()) };
        if !ends_the_batch(error.kind()) {
            output.fail(Why::of_io("write", &error));
            return Ok(());
        }
        if self.roots.is_alone() {
            return Err(error);
        }
        let (kind, path) = (error.kind(), root.outputs.path(&output.wanted.name));
        let lost = self.roots.lose(output.root, storage_error(path, error));
        lost.map_err(|error| io::Error::new(kind, error))
    }
}

impl Sink for Scatter {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        let written = ByteRange::with_len(offset, as_u64(data.len())).unwrap_or_default();
        for piece in &self.pieces {
            self.write_piece(piece, written, data)?;
        }
        Ok(data.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        // Files are synced in groups when they are complete.
        Ok(())
    }
}
