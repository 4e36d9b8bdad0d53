//! What a reply says of itself: which bytes it holds, of what object, and when
//! to ask again. Text to numbers, nothing else.

use std::time::Duration;

use ureq::http::HeaderMap;

/// What `Content-Range` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ContentRange {
    /// First and last byte; `None` where there are no such bytes.
    pub bytes: Option<FirstLast>,
    /// Length of the whole object; `None` if the server does not know.
    pub total: Option<u64>,
}

/// Both are part of the range, as HTTP counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FirstLast {
    pub first: u64,
    pub last: u64,
}

/// A header as text, without the white space around it.
pub(in crate::endpoint) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// `Content-Range`, if there is one that can be understood.
pub(super) fn content_range(headers: &HeaderMap) -> Option<ContentRange> {
    parse_range(text(headers, "content-range")?)
}

fn parse_range(value: &str) -> Option<ContentRange> {
    let (unit, rest) = value.split_once(char::is_whitespace)?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (bytes, total) = rest.trim().split_once('/')?;
    let total = match total {
        "*" => None,
        total => Some(number(total)?),
    };
    if bytes == "*" {
        return Some(ContentRange { bytes: None, total });
    }
    let (first, last) = bytes.split_once('-')?;
    let bytes = FirstLast { first: number(first)?, last: number(last)? };
    let fits = bytes.first <= bytes.last && total.is_none_or(|total| bytes.last < total);
    fits.then_some(ContentRange { bytes: Some(bytes), total })
}

/// Digits and nothing else: no sign, no space.
fn number(text: &str) -> Option<u64> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain { text.parse().ok() } else { None }
}

/// `Content-Length`, if there is one.
pub(in crate::endpoint) fn content_length(headers: &HeaderMap) -> Option<u64> {
    number(text(headers, "content-length")?)
}

/// Whether the body ends where `Content-Length` says, and not where its chunks do.
pub(super) fn says_length(headers: &HeaderMap) -> bool {
    content_length(headers).is_some() && !headers.contains_key("transfer-encoding")
}

/// How the body is packed; `None` if it is not.
pub(super) fn encoding(headers: &HeaderMap) -> Option<&str> {
    text(headers, "content-encoding").filter(|how| !how.eq_ignore_ascii_case("identity"))
}

/// `Retry-After`: seconds, or a date, which is compared with that of the server.
pub(in crate::endpoint) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = text(headers, "retry-after")?;
    if let Some(seconds) = number(value) {
        return Some(Duration::from_secs(seconds));
    }
    let (then, now) = (date(value)?, date(text(headers, "date")?)?);
    Some(Duration::from_secs(u64::try_from(then - now).unwrap_or(0)))
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A date of HTTP, `Sun, 06 Nov 1994 08:49:37 GMT`, in seconds since 1970.
pub(in crate::endpoint) fn date(text: &str) -> Option<i64> {
    let (_, rest) = text.split_once(", ")?;
    let words: Vec<&str> = rest.split(' ').collect();
    let [day, month, year, time, "GMT"] = words[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)?;
    let times: Vec<i64> = time.split(':').map(two_digits).collect::<Option<_>>()?;
    let [hour, minute, second] = times[..] else { return None };
    let is_time = hour < 24 && minute < 60 && second < 61;
    let (day, year) = (two_digits(day)?, i64::try_from(number(year)?).ok()?);
    if !is_time || !(1..=31).contains(&day) || !(1900..=9999).contains(&year) {
        return None;
    }
    let days = days_since_1970(year, i64::try_from(month).ok()? + 1, day);
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

fn two_digits(text: &str) -> Option<i64> {
    if text.len() == 2 { number(text).and_then(|number| i64::try_from(number).ok()) } else { None }
}

/// Days of the Gregorian calendar, by counting from the first of March.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let of_years = year * 365 + year / 4 - year / 100 + year / 400;
    of_years + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_taken_as_it_is_or_not_at_all() {
        let shown = |found: ContentRange| {
            let bytes = found.bytes.map(|bytes| format!("{}-{}", bytes.first, bytes.last));
            let total = found.total.map(|total| total.to_string());
            let star = || "*".to_owned();
            format!("{}/{}", bytes.unwrap_or_else(star), total.unwrap_or_else(star))
        };
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(parse_range(text).map(shown).as_deref(), expected, "{text}");
        };
        check("bytes 0-0/1", Some("0-0/1"));
        check("bytes 5-9/10", Some("5-9/10"));
        check("Bytes  5-9/*", Some("5-9/*"));
        check("bytes */0", Some("*/0"));
        let last = "18446744073709551615-18446744073709551615/*";
        check(&format!("bytes {last}"), Some(last));
        for wrong in [
            "",
            "bytes",
            "bytes 5-9",
            "bytes 9-5/10",
            "bytes 5-10/10",
            "bytes -5/10",
            "bytes 5-/10",
            "items 5-9/10",
            "bytes 5-9/1O",
            "bytes +5-9/10",
            "bytes 5-9/10/11",
            "bytes=5-9/10",
            "bytes 18446744073709551616-18446744073709551617/*",
            "bytes 5 - 9/10",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn dates_are_counted_from_1970() {
        let check = |text: &str, expected| assert_eq!(date(text), expected, "{text}");
        check("Thu, 01 Jan 1970 00:00:00 GMT", Some(0));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777));
        check("Thu, 29 Feb 2024 23:59:59 GMT", Some(1_709_251_199));
        check("Fri, 31 Dec 9999 23:59:59 GMT", Some(253_402_300_799));
        check("Sun, 06 Nov 1994 08:49:37 UTC", None);
        check("Sunday, 06-Nov-94 08:49:37 GMT", None);
        check("Sun, 6 Nov 1994 08:49:37 GMT", None);
        check("Sun, 06 Nov 1994 8:49:37 GMT", None);
        check("Sun, 06 Nov 1994 24:49:37 GMT", None);
        check("tomorrow", None);
    }

    #[test]
    fn how_long_to_wait_is_a_number_or_a_date() {
        let headers = |pairs: &[(&'static str, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| {
                    (ureq::http::HeaderName::from_static(name), value.parse().unwrap())
                })
                .collect::<HeaderMap>()
        };
        let check = |pairs: &[(&'static str, &str)], expected: Option<u64>| {
            assert_eq!(
                retry_after(&headers(pairs)),
                expected.map(Duration::from_secs),
                "{pairs:?}"
            );
        };
        check(&[("retry-after", "7")], Some(7));
        check(&[("retry-after", "-7")], None);
        let then = ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT");
        check(&[then, ("date", "Sun, 06 Nov 1994 08:49:07 GMT")], Some(30));
        check(&[then, ("date", "Sun, 06 Nov 1994 08:50:07 GMT")], Some(0));
        check(&[then], None);
    }
}
