//! The range grammar, its messages, and what ranges mean on a source.

use super::*;
use crate::size::Size::{Bytes, Sectors};
use crate::size::tests::{any_size, any_text, check_printable};
use proptest::prelude::*;

/// Checks that `input` is a range, or is refused at this byte.
#[track_caller]
fn check(input: &str, expected: Result<RangeSpec, usize>) {
    let found = input.parse::<RangeSpec>().map_err(|error| {
        assert_eq!(error.input(), input);
        assert!(error.to_string().starts_with(error.message()) && !error.message().is_empty());
        error.column()
    });
    assert_eq!(found, expected, "{input:?}");
}

#[test]
fn ranges() {
    for (input, spec) in [
        ("..", RangeSpec::All),
        ("100..200", RangeSpec::Bounds(Bytes(100), Bytes(200))),
        ("100..100", RangeSpec::Bounds(Bytes(100), Bytes(100))),
        ("..200", RangeSpec::Bounds(Bytes(0), Bytes(200))),
        ("..0", RangeSpec::Bounds(Bytes(0), Bytes(0))),
        ("1.5K..2.5K", RangeSpec::Bounds(Bytes(1536), Bytes(2560))),
        ("0x10..0x20K", RangeSpec::Bounds(Bytes(16), Bytes(32 << 10))),
        ("8s..16s", RangeSpec::Bounds(Sectors(8), Sectors(16))),
        // Which comes first is only known with the sector size.
        ("8s..100", RangeSpec::Bounds(Sectors(8), Bytes(100))),
        ("100..=199", RangeSpec::Inclusive(Bytes(100), Bytes(199))),
        ("100..=100", RangeSpec::Inclusive(Bytes(100), Bytes(100))),
        ("..=199", RangeSpec::Inclusive(Bytes(0), Bytes(199))),
        ("8s..=15s", RangeSpec::Inclusive(Sectors(8), Sectors(15))),
        ("100+50", RangeSpec::Span(Bytes(100), Bytes(50))),
        ("100+0", RangeSpec::Span(Bytes(100), Bytes(0))),
        ("8s+1MiB", RangeSpec::Span(Sectors(8), Bytes(1 << 20))),
        ("1M..", RangeSpec::From(Bytes(1 << 20))),
        ("0..", RangeSpec::From(Bytes(0))),
        ("-1M", RangeSpec::Last(Bytes(1 << 20))),
        ("-0", RangeSpec::Last(Bytes(0))),
        ("-8s", RangeSpec::Last(Sectors(8))),
    ] {
        check(input, Ok(spec));
    }
}

#[test]
fn refused_ranges() {
    for (input, column) in [
        ("", 0),
        ("100", 3),
        ("12K", 3),
        ("abc", 0),
        ("100:200", 3),
        ("100-200", 3),
        ("100–200", 3),
        ("100-", 3),
        ("100-2q0", 5),
        ("1q0-200", 1),
        ("1-2-3", 3),
        ("-", 1),
        ("-5q", 2),
        ("-5..", 2),
        ("-5..10", 2),
        ("-..", 1),
        ("-q..", 1),
        ("+", 1),
        ("+q", 1),
        ("--5", 1),
        ("+5", 0),
        ("5+", 2),
        ("5+q", 2),
        ("5+-5", 2),
        ("5+5+5", 3),
        ("5..-5", 3),
        ("5...6", 3),
        ("5..6..7", 5),
        ("5..=", 4),
        ("..=", 3),
        ("5..==6", 4),
        ("5 .. 6", 1),
        ("5.. 6", 3),
        ("5..é", 3),
        ("é..5", 0),
        ("2b..4b", 1),
        ("1K..2b", 5),
        ("200..100", 5),
        ("200..=199", 6),
        ("8s..7s", 4),
        ("0..99999999999999999999", 3),
    ] {
        check(input, Err(column));
    }
}

#[test]
fn syntax_messages() {
    let forms = FORMS;
    for (input, expected) in [
        (
            "100-200",
            "`-` does not say whether the end is included\n    100-200\n       ^\n\
             hint: write 100..200 to stop before 200 (100 bytes), 100..=200 to include it (101 bytes)",
        ),
        (
            "0x10s-0x10s",
            "`-` does not say whether the end is included\n    0x10s-0x10s\n         ^\n\
             hint: write 0x10s..0x10s to stop before 0x10s (0 sectors), 0x10s..=0x10s to include it (1 sector)",
        ),
        (
            "8s–1M",
            "`–` does not say whether the end is included\n    8s–1M\n      ^\n\
             hint: write 8s..1M to stop before 1M, 8s..=1M to include it",
        ),
        (
            "100-",
            "`-` does not say whether the end is included\n    100-\n       ^\n\
             hint: write 100.. to go on to the end",
        ),
        (
            "2M..1M",
            "the range runs backwards: it ends before it starts\n    2M..1M\n        ^\nhint: write 1M..2M",
        ),
        (
            "100",
            "a range needs a start and an end\n    100\n       ^\n\
             hint: write 100.. to go on to the end, 100+LEN, or ..100 to start at 0",
        ),
        ("", &format!("a range is missing\n    \n    ^\nhint: {forms}")),
        ("1:2", &format!("\":2\" is not a suffix of a size\n    1:2\n     ^\nhint: {forms}")),
        (
            "+5",
            "a range does not start with `+`\n    +5\n    ^\nhint: write 0+5, or ..5 for the same",
        ),
        (
            "-5..",
            "-LEN stands alone\n    -5..\n      ^\nhint: write -5 for the last bytes up to the end",
        ),
        (
            "5..=",
            "the last byte after `..=` is missing\n    5..=\n        ^\nhint: write 5.. to go on to the end",
        ),
        ("é..5", "a digit is expected, not 'é'\n    é..5\n    ^"),
        (
            "4b..8b",
            "dd's multiplier `b` is not used here\n    4b..8b\n     ^\n\
             hint: in dd, `b` is 512 bytes: write 2048, or 4s for sectors of the source",
        ),
    ] {
        assert_eq!(input.parse::<RangeSpec>().unwrap_err().to_string(), expected, "{input:?}");
    }
}

/// What a range means on a source: itself, what is left after clamping, or nothing.
#[derive(PartialEq, Debug)]
enum Meaning {
    Inside(u64, u64),
    Clamped(u64, u64),
    Backward,
}

use Meaning::*;

/// Checks both ways to resolve `spec` on a source of `source_len` bytes in sectors of 512.
#[track_caller]
fn check_meaning(spec: RangeSpec, source_len: u64, expected: Meaning) {
    let strict = spec.resolve(source_len, 512);
    let clamped = spec.resolve_clamped(source_len, 512);
    let found = match (strict, clamped) {
        (Ok(strict), Ok((same, false))) if strict == same => Inside(strict.start(), strict.end()),
        (Err(_), Ok((rest, true))) => Clamped(rest.start(), rest.end()),
        (Err(strict), Err(same)) if strict == same => Backward,
        odd => panic!("{spec} of {source_len}: {odd:?}"),
    };
    assert_eq!(found, expected, "{spec} of {source_len}");
}

#[test]
fn meanings() {
    for (input, source_len, expected) in [
        ("..", 0, Inside(0, 0)),
        ("..", 4096, Inside(0, 4096)),
        ("..", u64::MAX, Inside(0, u64::MAX)),
        ("100..200", 4096, Inside(100, 200)),
        ("0..4096", 4096, Inside(0, 4096)),
        ("0..4097", 4096, Clamped(0, 4096)),
        ("4095..4097", 4096, Clamped(4095, 4096)),
        ("4096..4097", 4096, Clamped(4096, 4096)),
        ("5000..6000", 4096, Clamped(4096, 4096)),
        // An empty range, inside and outside.
        ("0..0", 0, Inside(0, 0)),
        ("4096..4096", 4096, Inside(4096, 4096)),
        ("4097..4097", 4096, Clamped(4096, 4096)),
        ("4096+0", 4096, Inside(4096, 4096)),
        ("-0", 4096, Inside(4096, 4096)),
        ("4096..", 4096, Inside(4096, 4096)),
        ("4097..", 4096, Clamped(4096, 4096)),
        ("..=4095", 4096, Inside(0, 4096)),
        ("..=4096", 4096, Clamped(0, 4096)),
        ("..=0", 0, Clamped(0, 0)),
        ("4095+1", 4096, Inside(4095, 4096)),
        ("4095+2", 4096, Clamped(4095, 4096)),
        ("-4096", 4096, Inside(0, 4096)),
        ("-4097", 4096, Clamped(0, 4096)),
        ("-1", 0, Clamped(0, 0)),
        // Sectors; the last one of an inclusive range is included whole.
        ("1s..2s", 4096, Inside(512, 1024)),
        ("1s..=2s", 4096, Inside(512, 1536)),
        ("100..=0s", 4096, Inside(100, 512)),
        ("..=7s", 4096, Inside(0, 4096)),
        ("..=8s", 4096, Clamped(0, 4096)),
        ("1s+10", 4096, Inside(512, 522)),
        ("-1s", 4096, Inside(3584, 4096)),
        ("8s..", 4096, Inside(4096, 4096)),
        ("1s..512", 4096, Inside(512, 512)),
        ("1s..511", 4096, Backward),
        ("1s..=511", 4096, Backward),
        ("1s..=512", 4096, Inside(512, 513)),
        ("9s..100", 4096, Backward),
        // The edges of 64 bits.
        ("0..18446744073709551615", u64::MAX, Inside(0, u64::MAX)),
        ("0..=18446744073709551614", u64::MAX, Inside(0, u64::MAX)),
        ("0..=18446744073709551615", u64::MAX, Clamped(0, u64::MAX)),
        ("18446744073709551615+1", u64::MAX, Clamped(u64::MAX, u64::MAX)),
        ("18446744073709551615+18446744073709551615", 4096, Clamped(4096, 4096)),
        ("18446744073709551615s..=18446744073709551615s", 4096, Clamped(4096, 4096)),
        ("18446744073709551615s..", 4096, Clamped(4096, 4096)),
        ("-18446744073709551615s", 4096, Clamped(0, 4096)),
        ("0..36028797018963968s", u64::MAX, Clamped(0, u64::MAX)),
    ] {
        check_meaning(input.parse().unwrap(), source_len, expected);
    }
    // Backward ranges that no text can give.
    check_meaning(RangeSpec::Bounds(Bytes(5), Bytes(4)), 4096, Backward);
    check_meaning(RangeSpec::Inclusive(Bytes(5), Bytes(4)), 4096, Backward);
}

#[test]
fn meanings_follow_the_sector_size() {
    let spec: RangeSpec = "1s..=2s".parse().unwrap();
    for (sector, expected) in
        [(512, ByteRange::between(512, 1536)), (4096, ByteRange::between(4096, 12288))]
    {
        assert_eq!(spec.resolve(1 << 20, sector), Ok(expected));
    }
}

#[test]
fn misfit_messages() {
    for (input, source_len, expected) in [
        (
            "4096..4097",
            4096,
            "the range 4KiB..4097 (bytes 4096..4097) does not lie inside the source, which has 4096 bytes (4 KiB): \
             it ends 1 byte past the end",
        ),
        (
            "100..5000",
            4096,
            "the range 100..5000 does not lie inside the source, which has 4096 bytes (4 KiB): \
             it ends 904 bytes past the end",
        ),
        (
            "9s+1s",
            4097,
            "the range 9s+1s (bytes 4608..5120) does not lie inside the source, which has 4097 bytes (4.00 KiB): \
             it starts 511 bytes past the end",
        ),
        (
            "..=1",
            1,
            "the range 0..=1 (bytes 0..2) does not lie inside the source, which has 1 byte: \
             it ends 1 byte past the end",
        ),
        (
            "18446744073709551615+1",
            0,
            "the range 18446744073709551615+1 (bytes 18446744073709551615..18446744073709551616) does not lie \
             inside the source, which has 0 bytes: it starts 18446744073709551615 bytes past the end",
        ),
        (
            "5000..",
            4096,
            "the range 5000.. starts 904 bytes past the end of the source, which has 4096 bytes (4 KiB)",
        ),
        (
            "-5000",
            4096,
            "the last 5000 bytes cannot be copied: the source has only 4096 bytes (4 KiB)",
        ),
        (
            "8s..100",
            512,
            "the range 8s..100 (bytes 4096..100) runs backwards: it ends before it starts; the source has 512 bytes",
        ),
    ] {
        let error = input.parse::<RangeSpec>().unwrap().resolve(source_len, 512).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.source_len(), source_len);
        assert_eq!(Ok(error.spec()), input.parse());
    }
}

#[test]
fn ranges_of_numbers_are_bytes() {
    let bytes = ByteRange::between(5, 9);
    assert_eq!(RangeSpec::from(bytes), RangeSpec::Bounds(Bytes(5), Bytes(9)));
    assert_eq!(RangeSpec::from(5..9), RangeSpec::Bounds(Bytes(5), Bytes(9)));
    assert_eq!(RangeSpec::from(5..), RangeSpec::From(Bytes(5)));
    assert_eq!(RangeSpec::from(..), RangeSpec::All);
}

#[test]
fn a_range_counts_sectors_if_one_of_its_ends_does() {
    for (input, expected) in [
        ("..", false),
        ("1..2", false),
        ("1s..2000", true),
        ("1..=2s", true),
        ("512+1s", true),
        ("512..", false),
        ("1s..", true),
        ("-1s", true),
        ("-512", false),
    ] {
        let spec: RangeSpec = input.parse().unwrap();
        assert_eq!(spec.counts_sectors(), expected, "{input}");
    }
}

#[test]
fn offset_and_length() {
    let (offset, length) = (Bytes(100), Sectors(2));
    for (given, expected) in [
        ((None, None), RangeSpec::All),
        ((Some(offset), None), RangeSpec::From(offset)),
        ((None, Some(length)), RangeSpec::Span(Bytes(0), length)),
        ((Some(offset), Some(length)), RangeSpec::Span(offset, length)),
    ] {
        assert_eq!(RangeSpec::from_offset_length(given.0, given.1), expected);
    }
}

/// Every form, with its sizes in order where they are in the same unit.
fn any_spec() -> impl Strategy<Value = RangeSpec> {
    (0..6, any_size(), any_size()).prop_map(|(form, a, b)| {
        let (a, b) = if runs_backward(a, b) { (b, a) } else { (a, b) };
        match form {
            0 => RangeSpec::All,
            1 => RangeSpec::Bounds(a, b),
            2 => RangeSpec::Inclusive(a, b),
            3 => RangeSpec::Span(a, b),
            4 => RangeSpec::From(a),
            _ => RangeSpec::Last(a),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_range_displayed_parses_back(spec in any_spec()) {
        prop_assert_eq!(spec.to_string().parse(), Ok(spec));
    }

    #[test]
    fn a_range_resolves_inside_the_source_or_is_clamped_to_it(
        spec in any_spec(), source_len: u64, sector in prop_oneof![Just(512u32), Just(4096), 1..=u32::MAX],
    ) {
        let whole = ByteRange::to(source_len);
        match (spec.resolve(source_len, sector), spec.resolve_clamped(source_len, sector)) {
            (Ok(range), clamped) => {
                prop_assert!(range.end() <= whole.end());
                prop_assert_eq!(clamped, Ok((range, false)));
            }
            (Err(error), clamped) => {
                prop_assert!(!error.to_string().is_empty());
                if let Ok((range, cut)) = clamped {
                    prop_assert!(cut && range.end() <= whole.end());
                }
            }
        }
    }

    #[test]
    fn any_text_is_a_range_or_a_clear_error(text in any_text()) {
        match text.parse::<RangeSpec>() {
            Ok(spec) => prop_assert_eq!(spec.to_string().parse(), Ok(spec)),
            Err(error) => {
                prop_assert!(text.is_char_boundary(error.column()));
                check_printable(&error.to_string());
            }
        }
    }
}
