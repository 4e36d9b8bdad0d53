//! Windows names as bytes and back: UTF-8, with lone surrogates in the same
//! manner (WTF-8), so that no name loses anything.

/// The bytes of `wide`.
pub fn from_wide(wide: impl Iterator<Item = u16>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for unit in char::decode_utf16(wide) {
        match unit {
            Ok(character) => bytes.extend(character.encode_utf8(&mut [0; 4]).bytes()),
            Err(lone) => {
                let lone = lone.unpaired_surrogate();
                bytes.extend([0xED, 0x80 | (lone >> 6 & 0x3F) as u8, 0x80 | (lone & 0x3F) as u8]);
            }
        }
    }
    bytes
}

/// What [`from_wide`] was given; `None` for bytes it does not make.
pub fn to_wide(bytes: &[u8]) -> Option<Vec<u16>> {
    let mut wide = Vec::new();
    let mut rest = bytes;
    loop {
        let good = match std::str::from_utf8(rest) {
            Ok(text) => {
                wide.extend(text.encode_utf16());
                return Some(wide);
            }
            Err(error) => error.valid_up_to(),
        };
        let (good, bad) = rest.split_at(good);
        wide.extend(std::str::from_utf8(good).ok()?.encode_utf16());
        let &[0xED, middle @ 0xA0..=0xBF, last @ 0x80..=0xBF, ref tail @ ..] = bad else {
            return None;
        };
        wide.push(0xD000 | u16::from(middle & 0x3F) << 6 | u16::from(last & 0x3F));
        rest = tail;
    }
}
