//! Copies from a file that is encrypted, and decrypts it on the way: an origin
//! of one's own, with everything that a file gets.
//!
//! ```text
//! cargo run --example decrypt -- SECRET PLAIN KEY
//! ```
//!
//! The cipher is a toy (each byte is exclusive-ored with a byte of the key by
//! its position). Any cipher that can decrypt from any offset fits in its place.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pcopy::endpoint::Origin;
use pcopy::io::{ReadAt, Source};
use pcopy::{CopyJob, digest::Algorithm};

/// An encrypted file.
struct Decrypting {
    path: PathBuf,
    source: Arc<Cipher>,
}

struct Cipher {
    file: File,
    key: Vec<u8>,
    size: u64,
}

impl ReadAt for Cipher {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(offset, buffer)?;
        for (position, byte) in (offset..).zip(&mut buffer[..count]) {
            *byte ^= self.key[(position % self.key.len() as u64) as usize];
        }
        Ok(count)
    }
}

impl Source for Cipher {
    fn size(&self) -> u64 {
        self.size
    }
}

impl Origin for Decrypting {
    fn path(&self) -> &Path {
        &self.path
    }

    fn source(&self) -> Arc<dyn Source> {
        self.source.clone()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [secret, plain, key] = &arguments[..] else {
        return Err("usage: decrypt SECRET PLAIN KEY".into());
    };
    if key.is_empty() {
        return Err("the key is empty".into());
    }
    let file = File::open(secret)?;
    let size = file.metadata()?.len();
    let source = Arc::new(Cipher { file, key: key.clone().into_bytes(), size });
    let report = CopyJob::from_origin(Decrypting { path: secret.into(), source }, plain)
        .digest(Algorithm::Sha256)
        .verify(true)
        .run()?;
    for digest in &report.digests {
        println!("{digest}  {plain}");
    }
    Ok(())
}
