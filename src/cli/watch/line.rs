//! The line of progress on a terminal, and the lines below it where there is
//! room: pure text, as wide as the terminal lets it be.
//!
//! A figure is whole or not there. Time left, rate, what could not be read and
//! files come first; a bar, an average and the name of a file take what is left.

use pcopy::Phase;
use pcopy::picture::cells::Cell;
use pcopy::picture::{Counts, State};
use pcopy::progress::Place;

use super::shown::{Shown, clock};

/// A terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    pub columns: usize,
    pub rows: usize,
}

impl Room {
    /// Whether there is room for lines below the first.
    fn is_large(self) -> bool {
        (self.columns >= 72 && self.rows >= 16) || (self.columns >= 120 && self.rows >= 6)
    }
}

/// Cells of a bar, at least and at most.
const BAR: std::ops::RangeInclusive<usize> = 8..=32;

/// Columns of a name, at least, and of what stands before it.
const NAME: usize = 14;
const COMMA: usize = 2;

/// Columns of a bar beside its cells: two brackets and a space.
const BRACKETS: usize = 3;

/// Samples of the rate below the line.
pub const SAMPLES: usize = 48;

/// Everything that is shown, at least one line. The last column stays free:
/// some terminals begin a new line behind it.
pub fn lines(shown: &Shown, room: Room) -> Vec<String> {
    let width = room.columns.saturating_sub(1);
    let (line, is_named) = first(shown, width);
    let mut lines = vec![line];
    if room.is_large() && shown.is_moving() {
        lines.extend(map(&shown.places));
        lines.extend(spark(shown));
        let file = shown.file.as_ref().filter(|_| !is_named);
        lines.extend(file.map(|file| format!("  file {}", end_of(file, width.saturating_sub(7)))));
    }
    lines.into_iter().map(|line| cut(&line, width)).collect()
}

/// One thing to be said.
struct Part {
    text: String,
    /// The lower, the earlier it is chosen.
    rank: u8,
    /// Ends with a space instead of a comma.
    is_head: bool,
}

/// The parts of the first line in the order in which they stand.
fn parts(shown: &Shown) -> Vec<Part> {
    let snapshot = &shown.snapshot;
    let head = |text: String, rank| Some(Part { text, rank, is_head: true });
    let figure = |text: String, rank| Some(Part { text, rank, is_head: false });
    let percent = shown.percent().map(|percent| format!("{percent}%"));
    // Where nobody knows the end, the amount is what says how far it is.
    let amount = if percent.is_some() { 6 } else { 0 };
    let has_rate = shown.is_moving();
    let unreadable =
        (snapshot.failed > 0).then(|| format!("{} unreadable", short(snapshot.failed)));
    let waiting = shown
        .waiting
        .map(|(offset, time)| format!("byte {offset} waiting for {} s", time.as_secs()));
    let all = [
        head(snapshot.phase.name().to_owned(), 5),
        percent.and_then(|percent| head(percent, 0)),
        figure(shown.amount(short), amount),
        has_rate.then(|| figure(format!("{}/s", short(shown.rate as u64)), 2)).flatten(),
        shown.going().and_then(|going| figure(going, 1)),
        unreadable.and_then(|text| figure(text, 3)),
        shown.files().and_then(|files| figure(files, 4)),
        waiting.and_then(|text| figure(text, 8)),
        figure(format!("{} elapsed", clock(snapshot.elapsed)), 7),
    ];
    all.into_iter().flatten().collect()
}

/// The most important parts that fit, then the name of a file and a bar in the
/// room that they leave; and whether that name is in it.
fn first(shown: &Shown, width: usize) -> (String, bool) {
    let parts = parts(shown);
    let mut ranks: Vec<u8> = parts.iter().map(|part| part.rank).collect();
    ranks.sort_unstable();
    let mut chosen: Vec<u8> = Vec::new();
    for rank in ranks {
        chosen.push(rank);
        if columns(&joined(&parts, &chosen, "")) > width {
            chosen.pop();
        }
    }
    let mut left = width - columns(&joined(&parts, &chosen, "")).min(width);
    let file = shown.file.as_ref().filter(|_| left >= NAME + COMMA);
    let name = file.map_or_else(String::new, |file| format!(", {}", end_of(file, left - COMMA)));
    left -= columns(&name).min(left);
    let cells = left.saturating_sub(BRACKETS).min(*BAR.end());
    let percent = shown.percent().filter(|_| cells >= *BAR.start());
    let bar = percent.map_or_else(String::new, |percent| drawn(percent, cells));
    (joined(&parts, &chosen, &bar) + &name, !name.is_empty())
}

/// The chosen parts with their separators; `bar` stands behind the heads.
fn joined(parts: &[Part], chosen: &[u8], bar: &str) -> String {
    let of = |is_head: bool, separator: &str| {
        let parts = parts.iter().filter(|part| part.is_head == is_head);
        let parts = parts.filter(|part| chosen.contains(&part.rank));
        parts.map(|part| part.text.as_str()).collect::<Vec<&str>>().join(separator)
    };
    let words = [of(true, " "), bar.to_owned(), of(false, ", ")];
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<String>>().join(" ")
}

/// `[====>   ]`
fn drawn(percent: u64, cells: usize) -> String {
    let full = usize::try_from(percent.min(100)).unwrap_or(100) * cells / 100;
    let tip = if full < cells { ">" } else { "" };
    format!("[{:cells$}]", "=".repeat(full) + tip)
}

/// What is copied by position, a cell each.
fn map(places: &[Place]) -> Option<String> {
    let glyphs: String = places.iter().map(|place| cell(place).look().glyph()).collect();
    (!glyphs.is_empty()).then(|| format!("  map  {glyphs}"))
}

fn cell(place: &Place) -> Cell {
    let mut counts = Counts::default();
    let mut rest = place.range.len();
    // Counters are read one by one while they grow: together they may be too much.
    for (state, bytes) in
        [(State::Bad, place.failed), (State::Read, place.copied), (State::Outside, place.outside)]
    {
        counts.add(state, bytes.min(rest));
        rest -= bytes.min(rest);
    }
    counts.add(State::NonTried, rest);
    Cell { range: place.range, counts }
}

/// The rate of the last while as a row of columns, and the average.
fn spark(shown: &Shown) -> Option<String> {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    if shown.rates.len() < 2 || shown.snapshot.phase == Phase::Preparing {
        return None;
    }
    let rates = &shown.rates[shown.rates.len().saturating_sub(SAMPLES)..];
    let most = rates.iter().copied().fold(1.0, f64::max);
    let column = |rate: &f64| match rate {
        rate if *rate < 1.0 => ' ',
        rate => HEIGHTS[((rate / most * 8.0).ceil() as usize).clamp(1, 8) - 1],
    };
    let columns: String = rates.iter().map(column).collect();
    let average = short(shown.average() as u64);
    Some(format!("  rate {columns:>SAMPLES$} {average}/s average"))
}

/// A size in at most eight columns: three figures, rounded down.
pub fn short(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = (bytes.ilog2() / 10).min(6);
    let hundredths = (u128::from(bytes) * 100) >> (10 * power);
    let unit = UNITS[power as usize - 1];
    match (hundredths, bytes.trailing_zeros() >= 10 * power) {
        (_, true) => format!("{} {unit}", hundredths / 100),
        (..1000, _) => format!("{}.{:02} {unit}", hundredths / 100, hundredths % 100),
        (..10_000, _) => format!("{}.{} {unit}", hundredths / 100, hundredths / 10 % 10),
        _ => format!("{} {unit}", hundredths / 100),
    }
}

fn columns(text: &str) -> usize {
    console::measure_text_width(text)
}

/// The end of a name, which tells files of a folder apart.
fn end_of(name: &str, width: usize) -> String {
    if columns(name) <= width {
        return name.to_owned();
    }
    let mut kept = String::new();
    for character in name.chars().rev() {
        let longer = format!("{character}{kept}");
        if columns(&longer) + 1 > width {
            break;
        }
        kept = longer;
    }
    format!("…{kept}")
}

/// At most so many columns, whatever is in it.
fn cut(line: &str, width: usize) -> String {
    console::truncate_str(line, width, "").into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn shown(total: Option<u64>, copied: u64, failed: u64, items: u64) -> Shown {
        let mut snapshot = pcopy::Progress::new().snapshot();
        (snapshot.phase, snapshot.total) = (Phase::Copying, total);
        (snapshot.copied, snapshot.failed) = (copied, failed);
        (snapshot.items, snapshot.total_items) = (items / 2, items);
        (snapshot.copying, snapshot.elapsed) = (Duration::from_secs(63), Duration::from_secs(65));
        Shown { rate: copied as f64 / 63.0, ..Shown::of(snapshot) }
    }

    fn line(shown: &Shown, columns: usize) -> String {
        lines(shown, Room { columns, rows: 5 }).remove(0)
    }

    #[test]
    fn a_line_for_each_width() {
        let mib = 1 << 20;
        let mut some = shown(Some(64 * mib), 27 * mib, 4096, 12);
        some.file = Some("photos/2024/one.jpg".to_owned());
        let check = |columns, expected: &str| assert_eq!(line(&some, columns), expected);
        check(20, "42% 1:27 left");
        check(50, "42% 438 KiB/s, 1:27 left, 4 KiB unreadable");
        let figures = "438 KiB/s, 1:27 left, 4 KiB unreadable, 6/12 files, 1:05 elapsed";
        check(80, &format!("copying 42% {figures}"));
        let amount = "27 MiB of 64 MiB";
        check(120, &format!("copying 42% {amount}, {figures}, photos/2024/one.jpg"));
        let bar = format!("[{:32}]", "=".repeat(13) + ">");
        check(200, &format!("copying 42% {bar} {amount}, {figures}, photos/2024/one.jpg"));
    }

    #[test]
    fn without_an_end_the_amount_comes_first() {
        let pipe = shown(None, 27 << 20, 0, 0);
        assert_eq!(line(&pipe, 20), "27 MiB, 438 KiB/s");
        assert_eq!(line(&pipe, 80), "copying 27 MiB, 438 KiB/s, 1:05 elapsed");
    }

    #[test]
    fn below_it_are_a_map_and_the_rate_where_there_is_room() {
        let mut some = shown(Some(64), 32, 0, 0);
        some.rates = vec![0.0, 10.0, 20.0, 80.0];
        some.places = pcopy::Progress::new().places();
        let count = |columns, rows| lines(&some, Room { columns, rows }).len();
        assert_eq!((count(80, 15), count(71, 40), count(80, 16), count(120, 6)), (1, 1, 2, 2));
        let below = lines(&some, Room { columns: 80, rows: 24 }).remove(1);
        some.file = Some("x".repeat(200));
        let named = lines(&some, Room { columns: 80, rows: 24 });
        assert!(named[0].contains("…xxx") || named[2].starts_with("  file …x"), "{named:?}");
        assert!(
            below.trim_start().starts_with("rate ") && below.contains(" ▁▂█ 0 B/s average"),
            "{below}"
        );
    }

    #[test]
    fn sizes_are_short() {
        let check = |bytes, text| assert_eq!(short(bytes), text);
        check(0, "0 B");
        check(1023, "1023 B");
        check(1024, "1 KiB");
        check(1025, "1.00 KiB");
        check((1 << 20) - 1, "1023 KiB");
        check(12_900_000, "12.3 MiB");
        check(u64::MAX, "15.9 EiB");
    }

    proptest! {
        /// The promise: at 80 columns none of these is ever left out.
        #[test]
        fn at_80_columns_what_matters_is_there(
            total in 1..1u64 << 60, done in 0..1000u64, failed in 1..1u64 << 60,
            files in 0..1_000_000u64, rate in 0..1u64 << 50, still in 0..300_000u64,
        ) {
            let copied = (total / 1000).saturating_mul(done);
            let mut some = shown(Some(total), copied, failed, files);
            (some.rate, some.still) = (rate as f64, Duration::from_secs(still));
            let line = line(&some, 80);
            let expected = [
                format!("{}/s", short(rate)),
                format!("{} unreadable", short(failed)),
                some.files().unwrap_or_default(),
                some.going().unwrap_or_default(),
            ];
            for figure in expected {
                prop_assert!(line.contains(&figure), "{:?} is not in {:?}", figure, line);
            }
        }

        #[test]
        fn no_line_is_wider_than_the_terminal(
            total in prop::option::of(0..1u64 << 60), copied in 0..1u64 << 60, failed in 0..1u64 << 50,
            files in 0..1u64 << 40, columns in 0..200usize, rows in 0..60usize, file in ".{0,90}",
        ) {
            let mut some = shown(total, copied, failed, files);
            (some.file, some.rates) = (Some(pcopy::error::escaped(&file).into_owned()), vec![1.0; 200]);
            for line in lines(&some, Room { columns, rows }) {
                prop_assert!(super::columns(&line) <= columns.saturating_sub(1), "{columns}: {line}");
            }
        }

        #[test]
        fn short_sizes_have_eight_columns(bytes: u64) {
            prop_assert!(short(bytes).len() <= 8, "{}", short(bytes));
        }
    }
}
