//! The text of a map of GNU ddrescue, line by line, with every status that it knows.
//!
//! A status line comes first, then blocks that follow each other without a gap.
//! Comments begin with `#`. Each reader of a map makes of the blocks what it needs:
//! what a copy has done, which areas a list names, a picture.

use super::ByteRange;

/// What ddrescue knows of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlockStatus {
    /// Not read yet.
    NonTried,
    /// It could not be read, and its edges were not looked for.
    NonTrimmed,
    /// It could not be read, and was not read sector by sector.
    NonScraped,
    /// It cannot be read.
    Bad,
    /// It was read.
    Finished,
}

impl BlockStatus {
    /// The status that a map has as `letter`.
    pub const fn of_letter(letter: u8) -> Option<BlockStatus> {
        match letter {
            b'?' => Some(BlockStatus::NonTried),
            b'*' => Some(BlockStatus::NonTrimmed),
            b'/' => Some(BlockStatus::NonScraped),
            b'-' => Some(BlockStatus::Bad),
            b'+' => Some(BlockStatus::Finished),
            _ => None,
        }
    }

    /// What stands for it in a map.
    pub const fn letter(self) -> u8 {
        match self {
            BlockStatus::NonTried => b'?',
            BlockStatus::NonTrimmed => b'*',
            BlockStatus::NonScraped => b'/',
            BlockStatus::Bad => b'-',
            BlockStatus::Finished => b'+',
        }
    }
}

/// A block of a map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    /// Which bytes.
    pub range: ByteRange,
    /// What is known of them.
    pub status: BlockStatus,
}

/// What is wrong with a line of a map.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MapFault {
    /// The first line that is not a comment.
    #[error("not a status line (position, one of ?*/-+FG, pass)")]
    StatusLine,
    /// Any other.
    #[error("not a block (position, size, one of ?*/-+)")]
    Block,
    /// A block that no offset reaches the end of.
    #[error("the block ends past the largest position there is")]
    TooFar,
    /// A block that does not begin where the one before ends.
    #[error(
        "the block at {start:#x} {}, which ends at {end:#x}",
        if start < end { "overlaps the one before" } else { "leaves a gap before it" }
    )]
    Apart {
        /// Where it begins.
        start: u64,
        /// Where the one before ends.
        end: u64,
    },
}

/// Reads a map, a line after the other.
#[derive(Default)]
pub struct Reader {
    has_status: bool,
    end: Option<u64>,
}

impl Reader {
    /// Takes the next line, without its end: a block, if it is one.
    ///
    /// # Errors
    ///
    /// What is wrong with the line.
    pub fn line(&mut self, line: &[u8]) -> Result<Option<Block>, MapFault> {
        let words = words(line);
        if words[0].is_none() {
            return Ok(None);
        }
        if !self.has_status {
            check_status_line(words)?;
            self.has_status = true;
            return Ok(None);
        }
        let block = block(words)?;
        match self.end {
            Some(end) if end != block.range.start() => {
                return Err(MapFault::Apart { start: block.range.start(), end });
            }
            _ => self.end = Some(block.range.end()),
        }
        Ok(Some(block))
    }

    /// Whether the status line was there, without which no map is one.
    pub fn has_status(&self) -> bool {
        self.has_status
    }

    /// Where the last block ends.
    pub fn end(&self) -> Option<u64> {
        self.end
    }
}

/// The first four words of a line, up to a comment. No good line has four.
fn words(line: &[u8]) -> [Option<&[u8]>; 4] {
    let mut all = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .take_while(|word| !word.starts_with(b"#"));
    [all.next(), all.next(), all.next(), all.next()]
}

/// The status line steers ddrescue and says nothing about bytes, so it is only
/// checked. Old versions of ddrescue write no pass.
fn check_status_line(words: [Option<&[u8]>; 4]) -> Result<(), MapFault> {
    let [Some(position), Some(status), pass, None] = words else {
        return Err(MapFault::StatusLine);
    };
    let known = matches!(status, [b'?' | b'*' | b'/' | b'-' | b'+' | b'F' | b'G']);
    let pass = pass.is_none_or(|pass| pass.iter().all(u8::is_ascii_digit) && pass != b"0");
    match known && pass && number(position).is_some() {
        true => Ok(()),
        false => Err(MapFault::StatusLine),
    }
}

fn block(words: [Option<&[u8]>; 4]) -> Result<Block, MapFault> {
    let [Some(position), Some(size), Some(&[letter]), None] = words else {
        return Err(MapFault::Block);
    };
    let (position, size) = number(position).zip(number(size)).ok_or(MapFault::Block)?;
    let status = BlockStatus::of_letter(letter).ok_or(MapFault::Block)?;
    let range = ByteRange::with_len(position, size).ok_or(MapFault::TooFar)?;
    Ok(Block { range, status })
}

/// An integer as in C, which is how ddrescue reads it: `0x1F`, `31`, octal `037`.
fn number(word: &[u8]) -> Option<u64> {
    let word = std::str::from_utf8(word).ok()?;
    let (digits, radix) = match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if word.starts_with('0') => (word, 8),
        None => (word, 10),
    };
    // The standard parser would take a plus sign.
    if digits.starts_with('+') {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_stands_for_one_status_and_no_other_does() {
        let known: Vec<u8> =
            (0..=u8::MAX).filter(|letter| BlockStatus::of_letter(*letter).is_some()).collect();
        assert_eq!(known, b"*+-/?");
        for letter in known {
            assert_eq!(BlockStatus::of_letter(letter).map(BlockStatus::letter), Some(letter));
        }
    }

    #[test]
    fn a_map_begins_with_a_status_line() {
        for good in ["0x10 ?", "0x10 * 1", "16 / 12", "0X10 - 1", "020 + 1", "0 F 3", "0 G 1 # end"]
        {
            assert_eq!(Reader::default().line(good.as_bytes()), Ok(None), "{good}");
        }
        for bad in [
            "0x10",
            "0x10 X 1",
            "0x10 ?? 1",
            "place ? 1",
            "+1 ? 1",
            "08 ? 1",
            "0x10 ? 0",
            "0x10 ? first",
            "0x10 ? 1 1",
        ] {
            let read = Reader::default().line(bad.as_bytes());
            assert_eq!(read, Err(MapFault::StatusLine), "{bad}");
        }
    }

    /// As in C, which is how ddrescue reads them.
    #[test]
    fn numbers_are_decimal_octal_or_hexadecimal() {
        for (word, expected) in [
            ("0", Some(0)),
            ("31", Some(31)),
            ("037", Some(31)),
            ("0x1F", Some(31)),
            ("0X1f", Some(31)),
            ("038", None),
            ("0x", None),
            ("+1", None),
            ("0x+1", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(number(word.as_bytes()), expected, "{word}");
        }
    }

    /// What readers of maps rely on: a line at a time, and no gap.
    #[test]
    fn blocks_follow_each_other() {
        let mut reader = Reader::default();
        assert_eq!(reader.line(b"# a comment"), Ok(None));
        assert!(!reader.has_status());
        assert_eq!(reader.line(b"0x10 ? 1 # b"), Ok(None));
        assert!(reader.has_status());
        let first = reader.line(b"512 0x10 +").unwrap().unwrap();
        let range = ByteRange::between(512, 528);
        assert_eq!(first, Block { range, status: BlockStatus::Finished });
        assert_eq!(reader.line(b"0 1 +"), Err(MapFault::Apart { start: 0, end: 528 }));
        assert_eq!(reader.line(b"600 1 +"), Err(MapFault::Apart { start: 600, end: 528 }));
        assert_eq!((reader.line(b"528 0 -").map(|_| ()), reader.end()), (Ok(()), Some(528)));
    }
}
