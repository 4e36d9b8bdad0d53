//! Which object is read: what its server said of it when it was opened, against
//! which every later reply is held.

use ureq::http::HeaderMap;

use super::{reply, stated};
use crate::digest::Expectation;
use crate::durable::map::ObjectId;
use crate::error::SourceChange;

/// What an object is known by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::endpoint) struct Pin {
    /// In bytes.
    pub size: u64,
    /// `ETag`, as the server writes it.
    pub tag: Option<String>,
    /// `Last-Modified`, likewise.
    pub modified: Option<String>,
    /// Which of the versions that are kept it is, where a service of S3 says so.
    pub version: Option<String>,
    /// Digests of all of it, as the server states them.
    pub stated: Vec<Expectation>,
}

impl Pin {
    /// Of an object of `size` bytes, by what a reply says of it.
    pub fn of(headers: &HeaderMap, size: u64) -> Pin {
        let text = |name| reply::text(headers, name).map(str::to_owned);
        // Some servers forget the quotes: what they say tells one object from another even so.
        let (tag, modified) = (text("etag"), text("last-modified"));
        let tag = tag.filter(|tag| !tag.is_empty());
        let (version, stated) = (text("x-amz-version-id"), stated::digests(headers));
        Pin { size, tag, modified, version, stated }
    }

    /// The tag, if no other bytes have the same, and a request may name it.
    pub fn strong_tag(&self) -> Option<&str> {
        let is_strong = |tag: &&str| tag.len() > 1 && tag.starts_with('"') && tag.ends_with('"');
        self.tag.as_deref().filter(is_strong)
    }

    /// What a map says of it, so that a later run knows it again. A weak tag is a part of
    /// that, and one without quotes.
    pub fn id(&self) -> Option<ObjectId> {
        let version = self.version.clone();
        self.tag.clone().map(|tag| ObjectId::Remote { tag, version })
    }

    /// When it was changed, in seconds since 1970, where no tag says it better.
    pub fn modified_at(&self) -> Option<i64> {
        match self.strong_tag() {
            Some(_) => None,
            None => reply::date(self.modified.as_deref()?),
        }
    }

    /// Whether anything tells another object of that size from this one.
    pub fn is_firm(&self) -> bool {
        self.tag.is_some() || self.modified.is_some()
    }

    /// What is other than it was, by a reply of which the whole object has
    /// `total` bytes.
    pub fn change(&self, headers: &HeaderMap, total: Option<u64>) -> Option<SourceChange> {
        let size = total.unwrap_or(self.size);
        let now = Pin::of(headers, size);
        if size != self.size {
            return Some(SourceChange::Size { before: self.size, now: size });
        }
        if now.tag != self.tag {
            return Some(SourceChange::Tag { before: self.tag.clone(), now: now.tag });
        }
        // A strong tag says all; servers that share the work may differ in times.
        let is_other = self.strong_tag().is_none() && now.modified != self.modified;
        is_other.then_some(SourceChange::Modified)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(tag: Option<&str>, modified: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut add = |name, value: Option<&str>| {
            value.map(|value| headers.insert(name, value.parse().unwrap()));
        };
        add("etag", tag);
        add("last-modified", modified);
        headers
    }

    #[test]
    fn every_reply_is_held_against_what_the_first_one_said() {
        let check = |before: HeaderMap, now: HeaderMap, total, changed: bool| {
            let pin = Pin::of(&before, 9);
            assert_eq!(pin.change(&now, total).is_some(), changed, "{pin:?}: {now:?}");
        };
        let strong = || headers(Some("\"a\""), Some("x"));
        check(strong(), strong(), Some(9), false);
        check(strong(), strong(), None, false);
        check(strong(), strong(), Some(8), true);
        check(strong(), headers(Some("\"b\""), Some("x")), Some(9), true);
        check(strong(), headers(None, Some("x")), Some(9), true);
        check(strong(), headers(Some("W/\"a\""), Some("x")), Some(9), true);
        check(strong(), headers(Some("\"a\""), Some("y")), Some(9), false);
        let weak = || headers(Some("W/\"a\""), Some("x"));
        check(weak(), weak(), Some(9), false);
        check(weak(), headers(Some("W/\"a\""), Some("y")), Some(9), true);
        let none = || headers(None, None);
        check(none(), none(), Some(9), false);
        check(none(), strong(), Some(9), true);
        assert_eq!(Pin::of(&weak(), 9).strong_tag(), None);
        let bare = || headers(Some("a"), Some("x"));
        check(bare(), bare(), Some(9), false);
        check(bare(), headers(Some("b"), Some("x")), Some(9), true);
        for tag in ["a", "\"", "\"a", "a\""] {
            assert_eq!(Pin::of(&headers(Some(tag), None), 9).strong_tag(), None, "{tag}");
        }
        assert!(Pin::of(&weak(), 9).is_firm() && !Pin::of(&none(), 9).is_firm());
    }
}
