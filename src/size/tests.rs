//! The size grammar: what it takes, what it refuses and where, and what it says.

use super::SizeErrorKind::*;
use super::*;
use proptest::prelude::*;

/// Checks that `input` is a size, or is refused for this reason at this byte.
#[track_caller]
fn check(input: &str, expected: Result<Size, (SizeErrorKind, usize)>) {
    let found = input.parse::<Size>().map_err(|error| {
        assert_eq!(error.input(), input);
        (error.kind(), error.column())
    });
    assert_eq!(found, expected, "{input:?}");
}

#[test]
fn sizes() {
    for (input, bytes) in [
        ("0", 0),
        ("00", 0),
        ("010", 10),
        ("17", 17),
        ("17B", 17),
        ("1_000_000", 1_000_000),
        ("1_0K", 10 << 10),
        ("1K", 1 << 10),
        ("2M", 2 << 20),
        ("3G", 3 << 30),
        ("4T", 4 << 40),
        ("5P", 5 << 50),
        ("6E", 6 << 60),
        ("1KiB", 1 << 10),
        ("2MiB", 2 << 20),
        ("3GiB", 3 << 30),
        ("4TiB", 4 << 40),
        ("5PiB", 5 << 50),
        ("6EiB", 6 << 60),
        ("1kB", 1_000),
        ("1KB", 1_000),
        ("2MB", 2_000_000),
        ("3GB", 3_000_000_000),
        ("4TB", 4_000_000_000_000),
        ("5PB", 5_000_000_000_000_000),
        ("6EB", 6_000_000_000_000_000_000),
        // Hexadecimal: B and E are digits, other suffixes are suffixes.
        ("0x0", 0),
        ("0x1000", 4096),
        ("0xfFfF", 65535),
        ("0x1_0000", 65536),
        ("0x10B", 0x10b),
        ("0x10E", 0x10e),
        ("0x10EB", 0x10eb),
        ("0x10K", 16 << 10),
        ("0x10MiB", 16 << 20),
        ("0x10kB", 16_000),
        ("0xffffffffffffffff", u64::MAX),
        // Fractions.
        ("1.5GiB", 3 << 29),
        ("1.5K", 1536),
        ("0.5K", 512),
        ("1.0", 1),
        ("2.000B", 2),
        ("0.0009765625K", 1),
        ("0.001kB", 1),
        ("1.000_001MB", 1_000_001),
        ("0.1_25K", 128),
        // The edge of 64 bits.
        ("18446744073709551615", u64::MAX),
        ("15.999999999999999999132638262011596452794037759304046630859375EiB", u64::MAX),
        ("18.446744073709551615EB", u64::MAX),
        ("15E", 15 << 60),
    ] {
        check(input, Ok(Size::Bytes(bytes)));
    }
    for (input, sectors) in [
        ("0s", 0),
        ("8s", 8),
        ("0x10s", 16),
        ("1_024s", 1024),
        ("2.0s", 2),
        ("18446744073709551615s", u64::MAX),
    ] {
        check(input, Ok(Size::Sectors(sectors)));
    }
}

#[test]
fn refused_sizes() {
    for (input, kind, column) in [
        ("", Empty, 0),
        ("K", MissingDigit, 0),
        ("-5", MissingDigit, 0),
        ("+5", MissingDigit, 0),
        (" 5", MissingDigit, 0),
        ("é5", MissingDigit, 0),
        ("٣", MissingDigit, 0),
        (".5K", MissingDigit, 0),
        ("5.", MissingDigit, 2),
        ("5.K", MissingDigit, 2),
        ("0x", MissingDigit, 2),
        ("0xK", MissingDigit, 2),
        ("_5", Underscore, 0),
        ("5_", Underscore, 1),
        ("5_K", Underscore, 1),
        ("5__0", Underscore, 1),
        ("5_.5K", Underscore, 1),
        ("5._5K", Underscore, 2),
        ("0x_5", Underscore, 2),
        ("0_x5", Underscore, 1),
        ("5q", UnknownSuffix, 1),
        ("5é", UnknownSuffix, 1),
        ("5 K", UnknownSuffix, 1),
        ("5K ", UnknownSuffix, 2),
        ("5k", UnknownSuffix, 2),
        ("5m", UnknownSuffix, 1),
        ("5kb", UnknownSuffix, 2),
        ("5Kb", UnknownSuffix, 2),
        ("5mb", UnknownSuffix, 1),
        ("5Ki", UnknownSuffix, 3),
        ("5KIB", UnknownSuffix, 2),
        ("5KiBs", UnknownSuffix, 4),
        ("5Ks", UnknownSuffix, 2),
        ("5S", UnknownSuffix, 1),
        ("5bytes", UnknownSuffix, 1),
        ("1.5.5K", UnknownSuffix, 3),
        ("1e6", UnknownSuffix, 1),
        ("1,000", UnknownSuffix, 1),
        ("0X10", UnknownSuffix, 1),
        ("0x10EiB", UnknownSuffix, 5),
        ("0x1.8K", UnknownSuffix, 3),
        ("2b", Multiplier, 1),
        ("2w", Multiplier, 1),
        ("2c", Multiplier, 1),
        ("2x512", Multiplier, 1),
        ("2bx3", Multiplier, 1),
        ("1.5b", Multiplier, 3),
        ("0x10w", Multiplier, 4),
        ("0.5", NotWhole, 1),
        ("1.5B", NotWhole, 1),
        ("1.5s", NotWhole, 1),
        ("0.1K", NotWhole, 1),
        ("0.0001kB", NotWhole, 1),
        ("18446744073709551616", TooLarge, 0),
        ("18446744073709551616s", TooLarge, 0),
        ("16E", TooLarge, 0),
        ("16.0E", TooLarge, 0),
        ("19EB", TooLarge, 0),
        ("18.446744073709551616EB", TooLarge, 0),
        ("0x10000000000000000", TooLarge, 0),
        ("99999999999999999999999999999999999999999", TooLarge, 0),
    ] {
        check(input, Err((kind, column)));
    }
}

/// Checks the whole message.
#[track_caller]
fn check_message(input: &str, expected: &str) {
    assert_eq!(parse_bytes(input).unwrap_err().to_string(), expected, "{input:?}");
}

#[test]
fn messages() {
    check_message(
        "12q",
        "\"q\" is not a suffix of a size\n    12q\n      ^\nhint: the suffixes are K M G T P E and KiB MiB ... \
         for powers of 1024, kB MB GB ... for powers of 1000, B for bytes, s for sectors of the source",
    );
    check_message("", "a size is missing\n    \n    ^");
    check_message(
        "8s",
        "sectors are not possible here\n    8s\n     ^\nhint: write the size in bytes, with a suffix such as KiB if you like",
    );
    check_message(
        "99999999999999999999",
        "more than 18446744073709551615 bytes, the largest number possible\n    99999999999999999999\n    ^",
    );
    check_message("1_é", "`_` may only stand between two digits\n    1_é\n     ^");
    // What would move the cursor or turn the text around is not shown as it is.
    check_message(
        "1\u{1b}[2J\u{202e}",
        "\"\\u{1b}[2J\\u{202e}\" is not a suffix of a size\n    1\u{fffd}[2J\u{fffd}\n     ^\nhint: the suffixes are K M G T P E and KiB MiB ... for powers of 1024, kB MB GB ... for powers of 1000, B for bytes, s for sectors of the source",
    );
}

#[test]
fn hints() {
    for (input, hint) in [
        ("2b", "in dd, `b` is 512 bytes: write 1024, or 2s for sectors of the source"),
        ("2w", "in dd, `w` is 2 bytes: write 4"),
        ("1_0c", "in dd, `c` is 1 byte: write 10"),
        ("2x512", "in dd, `x` multiplies two numbers: write 1024"),
        ("2x4K", "in dd, `x` multiplies two numbers: write 8192"),
        ("2x", "in dd, `x` multiplies two numbers: write the number of bytes"),
        ("2bx3", "in dd, `b` is 512 bytes: write the number of bytes"),
        ("1.5b", "in dd, `b` is 512 bytes: write the number of bytes"),
        ("18446744073709551615w", "in dd, `w` is 2 bytes: write the number of bytes"),
        ("12m", "write 12MiB (or 12M) for powers of 1024, 12MB for powers of 1000"),
        ("1.5gb", "write 1.5GiB (or 1.5G) for powers of 1024, 1.5GB for powers of 1000"),
        ("5Ki", "write 5KiB (or 5K) for powers of 1024, 5kB for powers of 1000"),
        ("5k", "write 5KiB (or 5K) for powers of 1024, 5kB for powers of 1000"),
        ("5S", "write 5s for sectors of the source"),
        ("5bytes", "write 5 or 5B"),
        ("5 K", "write a size without spaces"),
        (" 5", "write a size without spaces"),
        ("-5", "a size has no sign"),
        (".5K", "write 0.5K"),
        ("1,000", "group digits with `_`; the decimal point is `.`"),
        ("0X10", "write 0x in lower case"),
        ("0x10EiB", "after 0x, E is a hexadecimal digit: write the number in decimal"),
        ("0x1.8K", "a hexadecimal number has no fraction"),
        ("0.3K", "it lies between 307 and 308 bytes"),
    ] {
        let message = input.parse::<Size>().unwrap_err().to_string();
        assert_eq!(message.split_once("\nhint: ").map(|(_, hint)| hint), Some(hint), "{input:?}");
    }
}

#[test]
fn sectors_in_bytes() {
    for (size, sector, expected) in [
        (Size::Bytes(u64::MAX), 4096, Some(u64::MAX)),
        (Size::Sectors(8), 512, Some(4096)),
        (Size::Sectors(8), 4096, Some(32768)),
        (Size::Sectors(u64::MAX / 512), 512, Some(u64::MAX - 511)),
        (Size::Sectors(u64::MAX / 512 + 1), 512, None),
    ] {
        assert_eq!(size.bytes(sector).ok(), expected, "{size} of {sector}");
    }
    assert_eq!(
        Size::Sectors(u64::MAX).bytes(512).unwrap_err().to_string(),
        "18446744073709551615 sectors of 512 bytes are more bytes than 64 bits can count"
    );
}

#[test]
fn sizes_for_people_and_for_the_grammar() {
    for (bytes, people, grammar) in [
        (0, "0 B", "0"),
        (17, "17 B", "17"),
        (513, "513 B", "513"),
        (1023, "1023 B", "1023"),
        (1024, "1 KiB", "1KiB"),
        (1025, "1.00 KiB", "1025"),
        (1536, "1.50 KiB", "1536"),
        (64 << 10, "64 KiB", "64KiB"),
        (1000 << 10, "1000 KiB", "1000KiB"),
        ((1 << 20) - 1, "1.00 MiB", "1048575"),
        ((1 << 20) - 6, "1023.99 KiB", "1048570"),
        (8 << 20, "8 MiB", "8MiB"),
        (3 << 29, "1.50 GiB", "1536MiB"),
        (1 << 60, "1 EiB", "1EiB"),
        ((1 << 60) - 1, "1.00 EiB", "1152921504606846975"),
        (u64::MAX, "16.00 EiB", "18446744073709551615"),
    ] {
        assert_eq!((human(bytes).as_str(), exact(bytes).as_str()), (people, grammar), "{bytes}");
    }
}

/// Numbers of every magnitude, round and not.
pub(crate) fn any_number() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        (any::<u64>(), 0..64u32).prop_map(|(number, shift)| number >> shift),
        (0..4096u64, 0..64u32).prop_map(|(number, shift)| number.wrapping_shl(shift)),
    ]
}

/// Sizes of every magnitude, in bytes and in sectors.
pub(crate) fn any_size() -> impl Strategy<Value = Size> {
    prop_oneof![any_number().prop_map(Size::Bytes), any_number().prop_map(Size::Sectors)]
}

/// Texts made of what sizes and ranges are made of, and any texts at all.
pub(crate) fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9xaEBKMGkmiBbswc_.=+–é -]{0,16}",
        "[.+-]?[0-9]{1,3}[KMGkbxs]?(\\.\\.=?|[+-])[0-9]{1,3}[iBs]?",
        "[0-9+.-]{0,3}\\PC?[\x1b\n\r\t]?.{0,4}[0-9.+-]{0,3}",
        ".*",
    ]
}

/// Checks that a message says what, where and perhaps a hint, and that a
/// terminal does nothing but print it.
pub(crate) fn check_printable(message: &str) {
    let lines: Vec<&str> = message.split('\n').collect();
    assert!(matches!(lines.len(), 3 | 4), "{message:?}");
    assert!(!message.contains(|c: char| c.is_control() && c != '\n'), "{message:?}");
    assert_eq!(lines[2].trim_start(), "^", "{message:?}");
    assert!(lines[2].len() <= "    ^".len() + lines[1].chars().count(), "{message:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_size_displayed_parses_back(size in any_size()) {
        prop_assert_eq!(size.to_string().parse(), Ok(size));
    }

    #[test]
    fn exact_parses_back(bytes in any_number()) {
        prop_assert_eq!(parse_bytes(&exact(bytes)), Ok(bytes));
    }

    /// Long division of the bytes by the unit gives a decimal fraction, which
    /// must parse to the bytes; one more digit makes it a fraction of a byte.
    #[test]
    fn fractions_are_exact(bytes in any_number(), at in 0..SUFFIXES.len()) {
        let (suffix, unit) = SUFFIXES[at];
        let mut text = format!("{}.", bytes / unit);
        let mut rest = u128::from(bytes % unit);
        while rest > 0 {
            rest *= 10;
            text += &(rest / u128::from(unit)).to_string();
            rest %= u128::from(unit);
        }
        let whole = format!("{text}0{suffix}");
        prop_assert_eq!(parse_bytes(&whole), Ok(bytes), "{}", whole);
        let fraction = format!("{text}{:0>70}{suffix}", 1);
        let error = parse_bytes(&fraction).unwrap_err();
        prop_assert_eq!(error.kind(), NotWhole, "{}", fraction);
    }

    #[test]
    fn any_text_is_a_size_or_a_clear_error(text in any_text()) {
        match text.parse::<Size>() {
            Ok(size) => prop_assert_eq!(size.to_string().parse(), Ok(size)),
            Err(error) => {
                prop_assert!(text.is_char_boundary(error.column()));
                check_printable(&error.to_string());
            }
        }
        let _ = parse_bytes(&text);
    }
}
