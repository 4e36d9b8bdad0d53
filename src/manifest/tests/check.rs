//! The checks of a whole manifest.

use super::*;
use crate::manifest::ErrorKind::{Refused, Usage};

#[track_caller]
fn check(rows: &str, want: &str) {
    let input = format!("name,start,len,dest_offset,source\n{rows}");
    let errors = load_errors(Format::Csv, &input, 1000);
    match want {
        "" => assert_eq!(errors, None),
        _ => assert_eq!(errors, Some((Refused, want.to_owned()))),
    }
}

#[test]
fn ranges_lie_inside_their_source() {
    check("a,0,1000,,\nb,1000,0,,\nc,,,,\nd,9999,1,,other.img\n", "");
    check(
        "a,0,1001,,\nb,1001,0,,\nc,1,10000,,other.img\n",
        "line 2: \"a\": bytes 0..1001 do not lie inside the source, which has 1000 bytes\n\
         line 3: \"b\": bytes 1001..1001 do not lie inside the source, which has 1000 bytes\n\
         line 4: \"c\": bytes 1..10001 do not lie inside \"other.img\", which has 10000 bytes",
    );
    check("a,,,18446744073709550616,\n", "line 2: \"a\" would end past what 64 bits count");
    check(
        "a,0,1,,no.img\nb,0,1,,no.img\n",
        "line 2: there is no source \"no.img\" whose size is known",
    );
    let no_source =
        load(&b"{\"name\":\"a\"}"[..], None, &options(), |_| None).expect_err("no source");
    assert_eq!(no_source.kind(), Usage);
}

#[test]
fn one_range_past_the_end_on_line_9999_is_found() {
    let mut input = String::from("name,start,len\n");
    for line in 2..=20_000 {
        let start = if line == 9999 { 20_001 } else { line };
        input.push_str(&format!("f{line},{start},1\n"));
    }
    assert_eq!(
        load_errors(Format::Csv, &input, 20_001).map(|errors| errors.1).as_deref(),
        Some(
            "line 9999: \"f9999\": bytes 20001..20002 do not lie inside the source, which has 20001 bytes"
        )
    );
}

#[test]
fn errors_of_syntax_and_of_bounds_are_told_together() {
    let input = "name,start,len\n../x,0,1\nb,q,1\nc,999,2\n";
    let (kind, text) = load_errors(Format::Csv, input, 1000).expect("three errors");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(kind, Usage);
    assert_eq!(lines[0], "line 2: \"../x\" has a component `..`");
    assert!(lines[1].starts_with("line 3: start:"));
    assert!(lines[2].starts_with("line 4: \"c\": bytes 999..1001"));
}

#[test]
fn fragments_of_one_file_may_not_overlap() {
    check("a,0,10,0,\na,10,10,10,\na,50,10,100,\n", "");
    check("a,50,10,100,\na,10,10,10,\na,0,10,0,\n", "");
    check("a,0,10,0,\nb,0,10,0,\n", "");
    let twice = |line, by, from, on| {
        format!(
            "line {line}: \"a\" is written by line {by} already, from {from} on, and overlaps it from {on} on"
        )
    };
    check("a,0,10,0,\na,10,10,9,\n", &twice(3, 2, 0, 9));
    check("a,10,10,9,\na,0,10,0,\n", &twice(3, 2, 9, 0));
    check("a,0,0,0,\na,0,0,0,\n", &twice(3, 2, 0, 0));
    check(
        "a,0,100,0,\na,0,10,10,\na,0,10,50,\n",
        &format!("{}\n{}", twice(3, 2, 0, 10), twice(4, 2, 0, 50)),
    );
    check("a,,,,\na,0,1,999,\n", &twice(3, 2, 0, 999));
    check("a,,,,\na,0,1,1000,\n", "");
}

#[test]
fn a_file_is_no_directory_of_another() {
    check("a/b,0,1,,\na/c,0,1,,\na.b,0,1,,\na-b/c,0,1,,\nab,0,1,,\n", "");
    check(
        "a,0,1,,\na-b,0,1,,\na/b,0,1,,\n",
        "line 4: \"a/b\" lies in \"a\", which is a file, line 2",
    );
    check("a/b/c,0,1,,\na!,0,1,,\na,0,1,,\n", "line 4: \"a\" is a directory of \"a/b/c\", line 2");
    check("a/b,0,1,,\na/b/c,0,1,,\n", "line 3: \"a/b/c\" lies in \"a/b\", which is a file, line 2");
}

#[test]
fn hostile_names_are_refused_with_their_lines() {
    let long = "x".repeat(256);
    let rows = format!(
        "../a,0,1,,\n/etc/passwd,0,1,,\na/../../b,0,1,,\n{long},0,1,,\n,0,1,,\nd/,0,1,,\n./e,0,1,,\n\"new\nline\",0,1,,\nok,0,1,,\n"
    );
    let (kind, text) =
        load_errors(Format::Csv, &format!("name,start,len,dest_offset,source\n{rows}"), 10)
            .expect("errors");
    assert_eq!(kind, Refused);
    let lines: Vec<&str> =
        text.lines().map(|line| line.split_once(':').expect("a line").0).collect();
    let expected: Vec<String> = (2..=8).map(|n| format!("line {n}")).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    assert_eq!(
        lines,
        if crate::sys::WINDOWS_NAMES { [&expected[..], &["line 9"]].concat() } else { expected }
    );
}

#[test]
fn many_errors_are_counted() {
    let rows: String = (0..1_000).map(|n| format!("../{n},0,1,,\n")).collect();
    let input = format!("name,start,len,dest_offset,source\n{rows}");
    let (_, text) = load_errors(Format::Csv, &input, 10).expect("errors");
    assert_eq!(text.lines().count(), 21);
    assert!(text.ends_with("\nand 980 more"), "{text}");
}

#[test]
fn bounds_of_fragments_and_holes() {
    let check = |line: &str, want: Option<&str>| {
        let text = load_errors(Format::Jsonl, line, 1000).map(|errors| errors.1);
        assert_eq!(text.as_deref(), want, "{line}");
    };
    check(
        r#"{"name":"a","runs":[{"start":990,"len":10},{"hole":true,"len":99999},{"start":0,"len":10}]}"#,
        None,
    );
    check(
        r#"{"name":"a","runs":[{"start":0,"len":10},{"hole":true,"len":99999},{"start":991,"len":10}]}"#,
        Some("line 1: \"a\": bytes 991..1001 do not lie inside the source, which has 1000 bytes"),
    );
}
