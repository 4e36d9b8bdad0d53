//! Times of files: Unix seconds (`1700000000.5`) and RFC 3339
//! (`2026-11-20T12:56:24Z`). A time is whole seconds since 1970 in UTC,
//! rounded down, and the nanoseconds since.

use std::time::{Duration, SystemTime};

const NANOSECONDS: u32 = 1_000_000_000;

/// The time a text tells. One without a zone, as file systems that keep local
/// time give, is taken as UTC.
pub(crate) fn parse(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    if text.contains(':') { calendar(text) } else { unix(text) }
}

/// The time as Unix seconds, which [`parse`] takes back.
pub(crate) fn show((seconds, nanoseconds): (i64, u32)) -> String {
    match nanoseconds {
        0 => seconds.to_string(),
        _ if seconds >= 0 => format!("{seconds}.{nanoseconds:09}"),
        _ => format!("-{}.{:09}", (seconds + 1).unsigned_abs(), NANOSECONDS - nanoseconds),
    }
}

fn unix(text: &str) -> Option<(i64, u32)> {
    let (whole, nanoseconds) = match text.split_once('.') {
        Some((whole, digits)) => (whole, fraction(digits)?),
        None => (text, 0),
    };
    let seconds: i64 = whole.parse().ok()?;
    if whole.starts_with('-') && nanoseconds > 0 {
        return Some((seconds.checked_sub(1)?, NANOSECONDS - nanoseconds));
    }
    Some((seconds, nanoseconds))
}

fn calendar(text: &str) -> Option<(i64, u32)> {
    let (date, clock) = text.split_once(['T', 't', ' '])?;
    let mut date = date.split('-');
    let year = i64::from(number(date.next()?, 4, 9999)?);
    let (month, day) = (number(date.next()?, 2, 12)?, number(date.next()?, 2, 31)?);
    if date.next().is_some() || month == 0 || day == 0 {
        return None;
    }
    let (clock, zone) = split_zone(clock)?;
    let (clock, nanoseconds) = match clock.split_once('.') {
        Some((clock, digits)) => (clock, fraction(digits)?),
        None => (clock, 0),
    };
    let mut clock = clock.split(':');
    let (hour, minute) = (number(clock.next()?, 2, 23)?, number(clock.next()?, 2, 59)?);
    let second = number(clock.next()?, 2, 60)?;
    if clock.next().is_some() {
        return None;
    }
    let clock = i64::from(hour * 3600 + minute * 60 + second);
    Some((days_since_1970(year, month, day) * 86_400 + clock - zone, nanoseconds))
}

/// The clock, and how many seconds its zone is ahead of UTC.
fn split_zone(clock: &str) -> Option<(&str, i64)> {
    if let Some(clock) = clock.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = clock.find(['+', '-']) else {
        return Some((clock, 0));
    };
    let (hours, minutes) = clock[at + 1..].split_once(':')?;
    let ahead = i64::from(number(hours, 2, 23)? * 3600 + number(minutes, 2, 59)? * 60);
    Some((&clock[..at], if clock[at..].starts_with('-') { -ahead } else { ahead }))
}

/// Days from 1970-01-01 in the Gregorian calendar. March is the first month
/// of the year here, so that the leap day is the last.
fn days_since_1970(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, month) = (year.div_euclid(400), i64::from((month + 9) % 12));
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Exactly `digits` digits, not above `most`.
fn number(text: &str, digits: usize, most: u32) -> Option<u32> {
    if text.len() != digits || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|&value| value <= most)
}

/// Digits after the point, in nanoseconds; what is finer is cut off.
fn fraction(digits: &str) -> Option<u32> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!("{:0<9}", &digits[..digits.len().min(9)]).parse().ok()
}

/// Seconds since 1970 and nanoseconds as a time of the system, if it can express it.
pub fn of_system((seconds, nanoseconds): (i64, u32)) -> Option<SystemTime> {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let base = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(whole)?
    } else {
        SystemTime::UNIX_EPOCH.checked_add(whole)?
    };
    base.checked_add(Duration::from_nanos(u64::from(nanoseconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_unix_seconds_or_rfc_3339() {
        let check = |text: &str, want: Option<(i64, u32)>| {
            assert_eq!(parse(text.as_bytes()), want, "{text:?}");
            if let Some(time) = want {
                assert_eq!(parse(show(time).as_bytes()), want, "{text:?} shown and read again");
            }
        };
        check("0", Some((0, 0)));
        check("1700000000.5", Some((1_700_000_000, 500_000_000)));
        check("1700000000.1234567891", Some((1_700_000_000, 123_456_789)));
        check("-1", Some((-1, 0)));
        check("-0.25", Some((-1, 750_000_000)));
        check("-1.5", Some((-2, 500_000_000)));
        check("1970-01-01T00:00:00Z", Some((0, 0)));
        check("2026-11-20T12:56:24Z", Some((1_795_179_384, 0)));
        check("2026-11-20T12:56:24", Some((1_795_179_384, 0)));
        check("2026-11-20 13:56:24.5+01:00", Some((1_795_179_384, 500_000_000)));
        check("2000-02-29T23:59:59Z", Some((951_868_799, 0)));
        check("1969-12-31T23:59:59Z", Some((-1, 0)));
        for wrong in [
            "",
            "now",
            "1.",
            ".",
            "1.5.5",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "26-01-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00Z",
            "9223372036854775808",
            "-9223372036854775808.5",
            "2026-01-01T00:00:00+1:00",
            "é:",
            "2026-01-01-01T00:00:00Z",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn times_of_the_system_lie_on_both_sides_of_1970() {
        let (epoch, half) = (SystemTime::UNIX_EPOCH, Duration::from_millis(500));
        assert_eq!(of_system((0, 0)), Some(epoch));
        assert_eq!(of_system((3, 500_000_000)), Some(epoch + Duration::from_secs(3) + half));
        assert_eq!(of_system((-1, 500_000_000)), Some(epoch - half));
        assert_eq!(of_system((-7, 0)), Some(epoch - Duration::from_secs(7)));
    }
}
