//! What must hold of the headers of every reply.

use ureq::http::{HeaderMap, HeaderName, HeaderValue};

use super::pin::Pin;
use super::reply;

/// Headers, one a line: `name: value`.
///
/// # Panics
///
/// Where something that must hold does not.
pub fn reply(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|&byte| byte == b'\n') {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let name = HeaderName::from_bytes(line[..colon].trim_ascii());
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let found = reply::content_range(&headers);
    if let Some(bytes) = found.and_then(|range| range.bytes) {
        assert!(bytes.first <= bytes.last, "{bytes:?}");
        let total = found.and_then(|range| range.total);
        assert!(total.is_none_or(|total| bytes.last < total), "{found:?}");
    }
    let len = reply::content_length(&headers);
    assert!(!reply::says_length(&headers) || len.is_some());
    let _ = (reply::retry_after(&headers), reply::encoding(&headers));
    let size = found.and_then(|range| range.total).or(len).unwrap_or(0);
    let pin = Pin::of(&headers, size);
    let _ = pin.modified_at();
    // The same object says the same of itself a second time, and another size is another.
    assert_eq!(pin.change(&headers, Some(size)), None);
    assert!(pin.change(&headers, Some(size ^ 1)).is_some());
    assert!(pin.is_firm() || pin.strong_tag().is_none());
}
