//! What a map says of an upload to a server: what that calls it, and which parts
//! have arrived, so that a later run knows them again.

use serde::{Deserialize, Serialize};

use super::ObjectId;
use super::escape::{escape, plain_text};

/// Field of what a server calls an upload.
pub(super) const NAME: &str = "upload";

/// Field of the length of its parts but the last, in bytes.
pub(super) const SIZE: &str = "size-of-parts";

/// Field of a time before it began.
pub(super) const BEGUN: &str = "begun";

/// Field of whether the server was told that all of it has a checksum.
pub(super) const CHECKED: &str = "checked";

/// Beginning of the fields of its parts.
pub(super) const PART: &str = "part-";

/// A part of an upload that has arrived.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UploadPart {
    /// CRC-32C of its bytes.
    pub crc32c: u32,
    /// What its server calls it.
    pub tag: String,
}

impl UploadPart {
    fn value(&self) -> String {
        escape(format!("{:08x} {}", self.crc32c, self.tag).as_bytes())
    }

    /// As it stands in a map.
    pub(super) fn parse(value: &str) -> Option<UploadPart> {
        let text = plain_text(value)?;
        let (crc32c, tag) = text.split_once(' ')?;
        let crc32c = u32::from_str_radix(crc32c, 16).ok().filter(|_| crc32c.len() == 8)?;
        Some(UploadPart { crc32c, tag: tag.to_owned() })
    }
}

/// What that says.
pub(super) fn yes_or_no(value: &str) -> Option<bool> {
    match value {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// Names and values of the fields of an upload.
pub(super) fn values(id: &ObjectId) -> Vec<(String, String)> {
    let ObjectId::Upload { id, begun, part_size, checked, parts } = id else { return Vec::new() };
    let head = [
        (NAME.to_owned(), escape(id.as_bytes())),
        (SIZE.to_owned(), part_size.to_string()),
        (BEGUN.to_owned(), escape(begun.as_bytes())),
        (CHECKED.to_owned(), if *checked { "yes" } else { "no" }.to_owned()),
    ];
    let part = |(number, part): (&u32, &UploadPart)| (format!("{PART}{number:05}"), part.value());
    head.into_iter().chain(parts.iter().map(part)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Destination, Identity, Map, Mode, ObjectId, Source};
    use super::*;
    use crate::range::{ByteRange, RangeSet};

    #[test]
    fn only_two_words_say_whether_something_was_checked() {
        for (value, expected) in
            [("yes", Some(true)), ("no", Some(false)), ("", None), ("No", None)]
        {
            assert_eq!(yes_or_no(value), expected, "{value}");
        }
    }

    #[test]
    fn an_upload_is_the_same_after_it_was_saved() {
        let part = |tag: &str| UploadPart { crc32c: 0xe306_9283, tag: tag.to_owned() };
        let parts = [(1, part("\"a b\"")), (10_000, part("odd\n\\tag"))].into_iter().collect();
        let id = ObjectId::Upload {
            id: "x/y+z==".to_owned(),
            begun: "now".to_owned(),
            part_size: 8 << 20,
            checked: true,
            parts,
        };
        let identity = Identity {
            source: Source {
                path: "/a".into(),
                kind: "file".to_owned(),
                size: 9,
                mtime_ns: None,
                ctime_ns: None,
                may_change: false,
                id: Some(ObjectId::Remote { tag: "\"t\"".to_owned(), version: Some("v".into()) }),
            },
            range: ByteRange::to(9),
            destination: Destination {
                path: "s3://b/k".into(),
                offset: 0,
                kind: "s3".to_owned(),
                mode: Mode::New,
                id: Some(id),
            },
            list: None,
        };
        let (extent, done) = (ByteRange::to(9), ByteRange::to(3).into());
        let map = Map { identity: Some(identity), done, failed: RangeSet::new(), extent };
        assert_eq!(Map::from_bytes(&map.to_bytes()).unwrap(), map);
        // Which parts there are tells no job from another.
        let mut other = map.identity.clone().unwrap();
        let Some(ObjectId::Upload { parts, .. }) = &mut other.destination.id else { panic!() };
        parts.clear();
        assert_eq!(map.identity.unwrap().differences(&other), []);
    }
}
