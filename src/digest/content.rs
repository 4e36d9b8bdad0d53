//! The bytes of a piece: a buffer, or zeros without one.

/// What a hole reads as, a block at a time: enough for the widest vector code of
/// BLAKE3 (16 KiB), and no more than a first-level cache holds.
static ZEROES: [u8; 32 * 1024] = [0; 32 * 1024];

/// The bytes of a piece.
#[derive(Clone, Copy)]
pub(super) enum Content<'a> {
    Data(&'a [u8]),
    /// So many zeros.
    Zeroes(u64),
}

impl<'a> Content<'a> {
    pub fn len(self) -> u64 {
        match self {
            Content::Data(data) => data.len() as u64,
            Content::Zeroes(len) => len,
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The first `len` bytes and the rest; `len` must not exceed the length.
    pub fn split_at(self, len: u64) -> (Content<'a>, Content<'a>) {
        match self {
            Content::Data(data) => {
                // A length within the slice fits in usize.
                let (head, tail) = data.split_at(len as usize);
                (Content::Data(head), Content::Data(tail))
            }
            Content::Zeroes(all) => (Content::Zeroes(len), Content::Zeroes(all - len)),
        }
    }

    /// The bytes, in order: a buffer as it is, zeros by blocks.
    pub fn blocks(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self;
        std::iter::from_fn(move || {
            let block = match rest {
                Content::Data(data) => data,
                Content::Zeroes(len) => &ZEROES[..len.min(ZEROES.len() as u64) as usize],
            };
            (_, rest) = rest.split_at(block.len() as u64);
            (!block.is_empty()).then_some(block)
        })
    }
}
