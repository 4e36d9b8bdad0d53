//! XML whose texts are not all UTF-8, as tools write it that copy names and
//! targets of links from a disk. A byte that is none becomes a character that
//! stands for nothing else, and can be turned back.

use std::io::{self, BufRead, Read};

/// The character of byte 0x80: private ones, at the end of all characters.
const FIRST: u32 = 0x10_FF00;

/// Input in which every byte that is not UTF-8 is a character.
pub(super) struct Lossless<R> {
    input: R,
    /// What is ready to be read, and how much of it has been.
    ready: Vec<u8>,
    read: usize,
    /// The beginning of a character, from the chunk before.
    begun: Vec<u8>,
}

impl<R: BufRead> Lossless<R> {
    pub(super) fn new(input: R) -> Lossless<R> {
        Lossless { input, ready: Vec::new(), read: 0, begun: Vec::new() }
    }

    /// Takes the next chunk of the input.
    fn advance(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.read = 0;
        while self.ready.is_empty() {
            let chunk = self.input.fill_buf()?;
            let taken = chunk.len();
            let mut bytes = std::mem::take(&mut self.begun);
            bytes.extend_from_slice(chunk);
            if taken > 0 {
                // A character goes on in the next chunk.
                let whole = bytes.len() - unfinished(&bytes);
                self.begun = bytes.split_off(whole);
            }
            convert(&bytes, &mut self.ready);
            self.input.consume(taken);
            if taken == 0 {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// How many bytes at the end of `bytes` begin a character that is not whole.
fn unfinished(bytes: &[u8]) -> usize {
    let last = bytes.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
    match std::str::from_utf8(last) {
        Err(error) if error.error_len().is_none() => last.len(),
        _ => 0,
    }
}

fn convert(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        for &byte in chunk.invalid() {
            let stands_for = char::from_u32(FIRST + u32::from(byte)).unwrap_or('\u{fffd}');
            out.extend_from_slice(stands_for.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

/// The bytes that `text` was made of.
pub(super) fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        match u32::from(character).checked_sub(FIRST) {
            Some(byte @ 0x80..=0xff) => bytes.push(byte as u8),
            _ => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

impl<R: BufRead> Read for Lossless<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let len = available.len().min(buffer.len());
        buffer[..len].copy_from_slice(&available[..len]);
        self.consume(len);
        Ok(len)
    }
}

impl<R: BufRead> BufRead for Lossless<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.read == self.ready.len() {
            self.advance()?;
        }
        Ok(&self.ready[self.read..])
    }

    fn consume(&mut self, amount: usize) {
        self.read = (self.read + amount).min(self.ready.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back_whatever_the_chunks() {
        let mut all: Vec<u8> = (0..=255).collect();
        all.extend_from_slice("grüße 日本 \u{1f600}".as_bytes());
        all.extend_from_slice(b"\xe2\x82 cut \xf0\x9f\x98");
        for size in [1, 2, 3, 5, 1 << 16] {
            let input = io::BufReader::with_capacity(size, &all[..]);
            let mut text = String::new();
            Lossless::new(input).read_to_string(&mut text).expect("all of it is UTF-8 now");
            assert_eq!(bytes(&text), all, "chunks of {size}");
            assert!(text.contains("grüße 日本 \u{1f600}"), "chunks of {size}");
        }
    }
}
