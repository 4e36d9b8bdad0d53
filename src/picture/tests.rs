//! What every picture keeps: each byte is counted once, every cell is there,
//! and a picture is small, whatever is in it.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::cells::{Look, cells, pieces};
use super::*;

/// Areas from lengths and states, from `start` on.
fn chart(start: u64, parts: &[(u64, usize)]) -> Chart {
    let mut at = start;
    let areas = parts.iter().map(|&(len, state)| {
        let range = ByteRange::with_len(at, len).unwrap();
        at = range.end();
        Area { range, state: State::ALL[state % STATES] }
    });
    Chart { title: "disk.map".to_owned(), sector: 512, ..Chart::of_areas(areas).unwrap() }
}

/// A million areas, of which every other one is damaged in one way or another.
fn million() -> Chart {
    let parts: Vec<(u64, usize)> = (0..1_000_000).map(|at| (4096 + at % 7, at as usize)).collect();
    chart(0, &parts)
}

proptest! {
    #[test]
    fn every_byte_is_counted_in_one_cell(
        start in prop_oneof![0..100u64, Just(u64::MAX - 50_000)],
        parts in prop::collection::vec((0..900u64, 0..STATES), 0..40),
        count in 1..200u64,
    ) {
        let chart = chart(start, &parts);
        let cells = cells(chart.areas(), chart.extent(), count);
        prop_assert_eq!(cells.len() as u64, count.min(chart.extent().len()));
        let mut at = chart.extent().start();
        for cell in &cells {
            prop_assert_eq!(cell.range.start(), at);
            prop_assert!(!cell.range.is_empty());
            prop_assert_eq!(cell.counts.total(), cell.range.len());
            at = cell.range.end();
        }
        prop_assert_eq!(at, chart.extent().end());
        for state in State::ALL {
            let sum: u64 = cells.iter().map(|cell| cell.counts.of(state)).sum();
            prop_assert_eq!(sum, chart.counts().of(state));
        }
    }

    #[test]
    fn cells_are_of_one_size_but_for_a_byte(start in 0..1000u64, len in 0..u64::MAX / 2, count in 1..2000u64) {
        let extent = ByteRange::with_len(start, len).unwrap();
        let sizes: Vec<u64> = pieces(extent, count).map(|piece| piece.len()).collect();
        prop_assert_eq!(sizes.iter().sum::<u64>(), len);
        if let (Some(least), Some(most)) = (sizes.iter().min(), sizes.iter().max()) {
            prop_assert!(most - least <= 1);
        }
    }

    #[test]
    fn damage_is_seen_however_small(
        parts in prop::collection::vec((1..1u64 << 40, 2..4usize), 1..30), at in 0..30usize,
    ) {
        let mut parts = parts;
        parts.insert(at.min(parts.len()), (1, State::Bad as usize));
        let chart = chart(0, &parts);
        prop_assert!(text::line(chart.areas(), chart.extent(), 64).contains('X'));
        prop_assert!(svg::svg(std::slice::from_ref(&chart)).contains("class=\"b\""));
    }

    #[test]
    fn layers_cover_those_before_them(ranges in prop::collection::vec((0..200u64, 0..60u64, 0..STATES), 0..20)) {
        let mut expected = [State::Outside; 200];
        let layers = ranges.iter().map(|&(start, len, state)| {
            let range = ByteRange::with_len(start, len).unwrap();
            for byte in range.start()..range.end().min(200) {
                expected[byte as usize] = State::ALL[state];
            }
            Layer { ranges: RangeSet::from(range), state: State::ALL[state] }
        });
        let layers: Vec<Layer> = layers.collect();
        let chart = Chart::layered(ByteRange::to(200), State::Outside, layers);
        prop_assert_eq!(chart.extent(), ByteRange::to(200));
        for area in chart.areas() {
            for byte in area.range.start()..area.range.end() {
                prop_assert_eq!(expected[byte as usize], area.state, "byte {}", byte);
            }
        }
        prop_assert_eq!(chart.counts().total(), 200);
    }

    #[test]
    fn changes_count_every_byte_of_both_once(
        one in prop::collection::vec((0..90u64, 0..STATES), 0..20),
        other in prop::collection::vec((0..90u64, 0..STATES), 0..20),
        start in 0..300u64,
    ) {
        let (one, other) = (chart(100, &one), chart(start, &other));
        let found = changes(&one, &other);
        let all = super::changes::union(one.extent(), other.extent());
        prop_assert_eq!(found.iter().map(|change| change.bytes).sum::<u64>(), all.len());
        for state in State::ALL.into_iter().filter(|&state| state != State::Outside) {
            let of = |is: fn(&Change) -> State| -> u64 {
                found.iter().filter(|change| is(change) == state).map(|change| change.bytes).sum()
            };
            prop_assert_eq!(of(|change| change.from), one.counts().of(state));
            prop_assert_eq!(of(|change| change.to), other.counts().of(state));
        }
    }

    #[test]
    fn text_fits_80_columns(
        start in prop_oneof![Just(0u64), Just(u64::MAX / 2)],
        parts in prop::collection::vec((0..1u64 << 57, 0..STATES), 0..40),
    ) {
        let chart = chart(start, &parts);
        for line in text::text(&[chart.clone(), chart], &Names::default()).lines() {
            prop_assert!(line.chars().count() <= 80, "{}", line);
        }
    }

    #[test]
    fn a_share_never_says_too_much(part in 0..1_000_000u64, more in 0..1_000_000u64) {
        let told = percent(part, part + more);
        prop_assert_eq!(told == "100%", more == 0 && part > 0);
        prop_assert_eq!(told == "0.00%", part == 0);
    }

    #[test]
    fn a_map_is_never_a_panic(text in "[0-9a-fx+?*/ \\-#\n]{0,80}") {
        let _ = mapfile::parse(text.as_bytes());
    }
}

#[test]
fn a_map_reads_as_ddrescue_writes_it() {
    let map = b"# Mapfile. Created by GNU ddrescue version 1.27\n\
        # current_pos  current_status  current_pass\n0x00120000     ?     1\n\
        0x00000000  0x00117000  +\n0x00117000  0x00000200  -\n1143296 010 /\n\
        0x00117208  0x1  *\n0x00117209 0x2 ?";
    let chart = mapfile::parse(map).unwrap();
    let states: Vec<State> = chart.areas().iter().map(|area| area.state).collect();
    let expected = [State::Read, State::Bad, State::NonScraped, State::NonTrimmed, State::NonTried];
    assert_eq!(states, expected);
    assert_eq!(chart.extent(), ByteRange::to(0x11_720B));
    let check = |map: &str, line, word: &str| {
        let error = mapfile::parse(map.as_bytes()).unwrap_err();
        assert_eq!(error.line, line, "{map:?}: {error}");
        assert!(error.reason.contains(word), "{map:?}: {error}");
    };
    check("", 1, "no status line");
    check("hello\n", 1, "not a status line");
    check("0 ? 1\n0 5 +\n6 1 +\n", 3, "leaves a gap");
    check("0 ? 1\n0 5 +\n4 1 +\n", 3, "overlaps");
    check("0 ? 1\n0 5 x\n", 2, "not a block");
    check("0 ? 1\n0 5\n", 2, "not a block");
    check("0 ? 1\n0xFFFFFFFFFFFFFFFF 1 +\n", 2, "past the largest");
}

#[test]
fn a_mixture_looks_like_one() {
    let of = |parts: &[(u64, usize)]| {
        let chart = chart(0, parts);
        cells(chart.areas(), chart.extent(), 1)[0].look()
    };
    let (read, not_tried, outside) = (State::Read as usize, State::NonTried as usize, 0);
    assert_eq!(of(&[(9, read), (1, not_tried)]), Look::Partly);
    assert_eq!(of(&[(9, read), (1, outside)]), Look::Of(State::Read));
    assert_eq!(of(&[(9, not_tried), (1, outside)]), Look::Of(State::NonTried));
    assert_eq!(of(&[(9, read), (1, not_tried), (1, State::Bad as usize)]), Look::Of(State::Bad));
}

/// Two seconds is the promise of an optimised program on a slow machine.
#[test]
fn a_million_areas_are_a_small_picture() {
    let chart = million();
    let pieces =
        chart.areas().iter().map(|area| Said { range: area.range, text: "f/".repeat(300) });
    let names = Names::new(pieces.step_by(2).collect());
    let begun = Instant::now();
    let page = html::html(std::slice::from_ref(&chart), &names);
    let picture = svg::svg(std::slice::from_ref(&chart));
    let both = html::html(&[chart.clone(), chart], &names);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    for (what, text) in [("page", page), ("picture", picture), ("two", both)] {
        assert!(text.len() <= 200 << 10, "{what}: {} bytes", text.len());
    }
}

#[test]
fn a_page_stands_alone_and_takes_names_as_text() {
    let errors =
        vec![Said { range: ByteRange::between(0, 512), text: "<b>\u{1b}[31m&".to_owned() }];
    let chart = Chart {
        title: "<script>alert(1)</script>".to_owned(),
        errors,
        ..chart(0, &[(512, State::Bad as usize), (512, State::Read as usize)])
    };
    let names = Names::new(vec![Said { range: ByteRange::to(1), text: "a\"b<c>.jpg".to_owned() }]);
    let charts = [chart.clone(), chart];
    for page in [html::html(&charts, &names), svg::svg(&charts)] {
        for foreign in ["<script", "http://", "https://", "src=", "@import", "\u{1b}", "<b>", "<c>"]
        {
            let page = page.replace("http://www.w3.org/2000/svg", "");
            assert!(!page.contains(foreign), "{foreign}: {page}");
        }
        for tag in ["svg", "table", "tr", "td", "text", "title", "p", "figure", "div"] {
            let opened = page.matches(&format!("<{tag}>")).count()
                + page.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }
    assert!(html::html(&charts, &names).contains("a&quot;b&lt;c&gt;.jpg"));
}

#[test]
fn names_are_found_wherever_files_overlap() {
    let said = |start, end, text: &str| Said {
        range: ByteRange::between(start, end),
        text: text.to_owned(),
    };
    let names = Names::new(vec![
        said(0, 1000, "all"),
        said(10, 20, "early"),
        said(10, 20, "early"),
        said(500, 600, "late"),
        said(700, 700, "empty"),
    ]);
    let check = |start, end, expected: &[&str]| {
        assert_eq!(names.in_range(ByteRange::between(start, end)), expected, "{start}..{end}");
    };
    check(0, 10, &["all"]);
    check(19, 20, &["all", "early"]);
    check(599, 2000, &["all", "late"]);
    check(1000, 2000, &[]);
}
