//! Moments as RFC 3339 has them, in UTC.

use std::time::{Duration, SystemTime};

const SECONDS_A_DAY: u64 = 86_400;

/// `2026-11-29T03:04:05.678Z`. What lies before 1970 is shown as 1970.
pub fn utc(moment: SystemTime) -> String {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (day, second) = (since.as_secs() / SECONDS_A_DAY, since.as_secs() % SECONDS_A_DAY);
    let Date { year, month, day } = date(day);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let milliseconds = since.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
}

struct Date {
    year: u64,
    month: u64,
    day: u64,
}

/// The date so many days after 1970-01-01, in the Gregorian calendar. March is the
/// first month of the year here, so that the leap day is the last.
fn date(days: u64) -> Date {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    Date { year: era * 400 + year + u64::from(month <= 2), month, day }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::parse_time;

    #[test]
    fn a_moment_is_written_as_it_would_be_read() {
        let check = |seconds: u64, want: &str| {
            let text = utc(SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 7));
            assert_eq!(text, want);
        };
        check(0, "1970-01-01T00:00:00.007Z");
        check(951_782_399, "2000-02-28T23:59:59.007Z");
        check(951_782_400, "2000-02-29T00:00:00.007Z");
        check(4_107_542_400, "2100-03-01T00:00:00.007Z");
        for day in 0..60_000_u64 {
            let seconds = day * SECONDS_A_DAY + 86_399;
            let text = utc(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
            let read = parse_time(text.as_bytes());
            assert_eq!(read, Some((seconds as i64, 0)), "{text}");
        }
    }
}
