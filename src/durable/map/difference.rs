//! What a map says otherwise than a job, in words for people. It knows no time zone
//! but UTC, and looks at no file.

use super::identity::{BORN, Difference, SERIAL, UNKNOWN};

impl Difference {
    /// What differs, in words that follow "another".
    pub fn what(&self) -> String {
        if self.field == UNKNOWN {
            return "state of the source, perhaps: its server says neither tag nor time".to_owned();
        }
        let (side, field) = self.field.split_once('-').unwrap_or(("", &self.field));
        let field = match field {
            "mtime-ns" => "modification time",
            "ctime-ns" => "change time",
            BORN => "time of creation",
            "inode" => "file number",
            "device-number" => "device number",
            SERIAL => "serial number",
            field => field,
        };
        let times = match field {
            "modification time" => self.times().unwrap_or_default(),
            _ => String::new(),
        };
        match side {
            "source" => format!("{field} of the source{times}"),
            "dest" => format!("{field} of the destination{times}"),
            _ => self.field.clone(),
        }
    }

    /// Both values of a time, if there are both.
    fn times(&self) -> Option<String> {
        let (then, now) = (shown(&self.map_value)?, shown(&self.job_value)?);
        // Within one second the words would be the same.
        (then != now).then(|| format!(" ({then}, now {now})"))
    }
}

const NANOSECONDS: i128 = 1_000_000_000;
const SECONDS_OF_A_DAY: i128 = 86_400;

/// `2026-11-29 04:09:32 UTC` of nanoseconds since 1970; `None` if `text` is not a
/// number of them.
fn shown(text: &str) -> Option<String> {
    let seconds = text.parse::<i128>().ok()?.div_euclid(NANOSECONDS);
    let (days, rest) = (seconds.div_euclid(SECONDS_OF_A_DAY), seconds.rem_euclid(SECONDS_OF_A_DAY));
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    let (year, month, day) = date(days);
    Some(format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC"))
}

/// Year, month and day of so many days since 1970. A year begins in March here, so
/// that a leap day is its last one.
fn date(days: i128) -> (i128, i128, i128) {
    // From 0000-03-01.
    let days = days + 719_468;
    // Leap years repeat after 400 years.
    let (cycle, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Five months, from March on and again, have 153 days.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (400 * cycle + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::super::identity::Evidence;
    use super::*;

    #[test]
    fn a_modification_time_is_shown_as_time_and_not_as_a_number() {
        let difference = |field: &str, job: &str| {
            let (map_value, job_value) = ("1700000000123456789".to_owned(), job.to_owned());
            let evidence = Evidence::Places;
            Difference { field: field.to_owned(), map_value, job_value, evidence }.what()
        };
        assert_eq!(
            difference("source-mtime-ns", "1700000060000000000"),
            "modification time of the source \
             (2023-11-14 22:13:20 UTC, now 2023-11-14 22:14:20 UTC)"
        );
        let plain = "modification time of the source";
        assert_eq!(difference("source-mtime-ns", "1700000000223456789"), plain);
        assert_eq!(difference("source-mtime-ns", "absent"), plain);
        assert_eq!(difference("dest-inode", "7"), "file number of the destination");
    }

    #[test]
    fn nanoseconds_are_shown_as_date_and_time() {
        let check = |seconds: i64, text: &str| {
            assert_eq!(shown(&format!("{seconds}000000001")).as_deref(), Some(text));
        };
        check(0, "1970-01-01 00:00:00 UTC");
        check(951_782_400, "2000-02-29 00:00:00 UTC");
        check(951_868_799, "2000-02-29 23:59:59 UTC");
        check(951_868_800, "2000-03-01 00:00:00 UTC");
        check(1_704_067_199, "2023-12-31 23:59:59 UTC");
        check(4_107_542_400, "2100-03-01 00:00:00 UTC");
        assert_eq!(shown("-1").as_deref(), Some("1969-12-31 23:59:59 UTC"));
        assert_eq!(shown("absent"), None);
        assert_eq!(shown(""), None);
    }
}
