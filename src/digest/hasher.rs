//! Every digest as a plain stream, first byte to last.

use sha2::Digest as _;

use super::content::Content;
use super::{Algorithm, Digest, runs};

/// A digest of bytes that come in order, on one thread.
pub struct Hasher(State);

// The large ones are boxed: a hasher is handed from worker to worker.
enum State {
    Blake3(Box<blake3::Hasher>),
    Sha256(sha2::Sha256),
    Sha1(sha1::Sha1),
    Md5(md5::Md5),
    Crc32c(u32),
    Xxh3(Box<xxhash_rust::xxh3::Xxh3>),
}

impl Hasher {
    /// A hasher that has seen no bytes.
    pub fn new(algorithm: Algorithm) -> Hasher {
        Hasher(match algorithm {
            Algorithm::Blake3 => State::Blake3(Box::default()),
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha1 => State::Sha1(sha1::Sha1::new()),
            Algorithm::Md5 => State::Md5(md5::Md5::new()),
            Algorithm::Crc32c => State::Crc32c(0),
            Algorithm::Xxh3 => State::Xxh3(Box::default()),
        })
    }

    /// Adds the next bytes.
    pub fn update(&mut self, data: &[u8]) {
        match &mut self.0 {
            State::Blake3(hasher) => {
                hasher.update(data);
            }
            State::Sha256(hasher) => hasher.update(data),
            State::Sha1(hasher) => hasher.update(data),
            State::Md5(hasher) => hasher.update(data),
            State::Crc32c(crc) => *crc = crc32c::crc32c_append(*crc, data),
            State::Xxh3(hasher) => hasher.update(data),
        }
    }

    /// Adds `len` zeros. Costs as much as hashing them, except for CRC-32C,
    /// where it takes microseconds.
    pub fn update_zeroes(&mut self, len: u64) {
        if let State::Crc32c(crc) = &mut self.0 {
            *crc = runs::append(*crc, Content::Zeroes(len));
            return;
        }
        for block in Content::Zeroes(len).blocks() {
            self.update(block);
        }
    }

    /// The digest of everything added.
    pub fn finalize(self) -> Digest {
        match self.0 {
            State::Blake3(hasher) => Digest::new(Algorithm::Blake3, *hasher.finalize().as_bytes()),
            State::Sha256(hasher) => Digest::new(Algorithm::Sha256, hasher.finalize().as_slice()),
            State::Sha1(hasher) => Digest::new(Algorithm::Sha1, hasher.finalize().as_slice()),
            State::Md5(hasher) => Digest::new(Algorithm::Md5, hasher.finalize().as_slice()),
            State::Crc32c(crc) => Digest::new(Algorithm::Crc32c, crc.to_be_bytes()),
            State::Xxh3(hasher) => Digest::new(Algorithm::Xxh3, hasher.digest().to_be_bytes()),
        }
    }
}

/// The digest of one slice.
pub fn hash_slice(algorithm: Algorithm, data: &[u8]) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(data);
    hasher.finalize()
}
