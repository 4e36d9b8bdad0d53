//! Which object is read: what its server said of it when it was opened, against
//! which every later reply is held.

use ureq::http::HeaderMap;

use super::reply;
use crate::error::SourceChange;

/// What an object is known by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Pin {
    /// In bytes.
    pub size: u64,
    /// `ETag`, as the server writes it.
    pub tag: Option<String>,
    /// `Last-Modified`, likewise.
    pub modified: Option<String>,
}

impl Pin {
    /// Of an object of `size` bytes, by what a reply says of it.
    pub fn of(headers: &HeaderMap, size: u64) -> Pin {
        let text = |name| reply::text(headers, name).map(str::to_owned);
        let is_tag = |tag: &String| tag.ends_with('"') && tag.len() > 1;
        Pin { size, tag: text("etag").filter(is_tag), modified: text("last-modified") }
    }

    /// The tag, if no other bytes have the same.
    pub fn strong_tag(&self) -> Option<&str> {
        self.tag.as_deref().filter(|tag| tag.starts_with('"'))
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
        assert!(Pin::of(&weak(), 9).is_firm() && !Pin::of(&none(), 9).is_firm());
    }
}
