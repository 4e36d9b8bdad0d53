//! The formats with rows: CSV, TSV, JSON Lines, plain.

use super::*;
use crate::manifest::ErrorKind::Usage;

#[test]
fn csv_takes_every_way_to_say_a_range() {
    for (row, want) in [
        ("a,10,20,,,,", r#"{"name":"a","start":10,"len":10}"#),
        ("a,10,,19,,,", r#"{"name":"a","start":10,"len":10}"#),
        ("a,10,,,10,,", r#"{"name":"a","start":10,"len":10}"#),
        ("a,,,,,,", r#"{"name":"a"}"#),
        ("a,10,10,,,,", r#"{"name":"a","start":10,"len":0}"#),
        ("a,0x10,0x1_F,,,,", r#"{"name":"a","start":16,"len":15}"#),
        ("a, 1KiB ,2KiB,,,,", r#"{"name":"a","start":1024,"len":1024}"#),
        ("a,8s,,8s,,,", r#"{"name":"a","start":4096,"len":512}"#),
        ("a,8,16,,,sector,", r#"{"name":"a","start":4096,"len":4096}"#),
        ("a,8,,8,,sector,1000", r#"{"name":"a","start":5096,"len":512}"#),
        ("a,8,,,2,4KiB,1MiB", r#"{"name":"a","start":1081344,"len":8192}"#),
        (
            "a,0,18446744073709551615,,,byte,",
            r#"{"name":"a","start":0,"len":18446744073709551615}"#,
        ),
    ] {
        reads(Format::Csv, format!("name,start,end,last,len,unit,base\n{row}\n"), &[want]);
    }
}

#[test]
fn csv_refuses_what_is_not_one_range() {
    for (row, want) in [
        ("a,10,20,,10,,", "give exactly one of end, last and len"),
        ("a,10,,,,,", "give exactly one of end, last and len"),
        ("a,,20,,,,", "start is missing"),
        ("a,20,10,,,,", "the range ends before its start 20"),
        ("a,20,,19,,,", "the range ends before its start 20"),
        ("a,18446744073709551616,,,1,,", "start: \"18446744073709551616\" does not fit in 64 bits"),
        ("a,18446744073709551615,,,1,,", "len lies past what 64 bits count"),
        ("a,0,,18446744073709551615,,,", "last lies past what 64 bits count"),
        ("a,0x4000000000000000,,,1,sector,", "start lies past what 64 bits count"),
        ("a,1,,,1,,0xFFFFFFFFFFFFFFFF", "start lies past what 64 bits count"),
        ("a,4KiB,,,1,sector,", "start has a unit of its own beside the unit of the row"),
        ("a,1,,,1,0,", "unit: a unit of no bytes"),
        ("a,-1,,,1,,", "start: \"-1\": a digit is expected, not '-'"),
        (",1,,,1,,", ""),
    ] {
        let input = format!("name,start,end,last,len,unit,base\n{row}\n");
        match want {
            "" => assert!(read(input.as_bytes(), Some(Format::Csv), &options()).is_ok()),
            _ => fails(Format::Csv, input, Usage, &format!("line 2: {want}")),
        }
    }
}

#[test]
fn sectors_are_those_of_the_source_of_the_row() {
    let head = "name,source,unit,start,len\n";
    reads(
        Format::Csv,
        format!("{head}a,,sector,1,1\nb,4k.img,sector,1,1\nc,4k.img,byte,1s,1\n"),
        &[
            r#"{"name":"a","start":512,"len":512}"#,
            r#"{"name":"b","source":"4k.img","start":4096,"len":4096}"#,
            r#"{"name":"c","source":"4k.img","start":4096,"len":1}"#,
        ],
    );
    let want = "line 2: the sector size of the source is not known: give the unit in bytes, such as unit 512";
    fails(Format::Csv, format!("{head}a,what.img,sector,1,1\n"), Usage, want);
}

#[test]
fn csv_carries_every_wish_of_an_item() {
    let md5 = "d41d8cd98f00b204e9800998ecf8427e";
    reads(
        Format::Csv,
        format!(
            "Path,SRC,offset,Size,dst-offset,MD5,crc32c,mode,mtime,id,note,x-anything\n\
             a,b.img,1,2,4K,{},E3069283,0640,1970-01-02T00:00:00Z,row 1,hello,there\n",
            md5.to_uppercase()
        ),
        &[&format!(
            "{{\"name\":\"a\",\"source\":\"b.img\",\"start\":1,\"len\":2,\"dest_offset\":4096,\
             \"md5\":\"{md5}\",\"crc32c\":\"e3069283\",\"mode\":\"0640\",\"mtime\":\"86400\",\"id\":\"row 1\"}}"
        )],
    );
    for (cells, want) in [
        ("e306928,,", "crc32c has 8 hexadecimal digits, not 7"),
        (",888,", "mode: \"888\" is not octal up to 7777"),
        (",17777,", "mode: \"17777\" is not octal up to 7777"),
        (
            ",,yesterday",
            "mtime: \"yesterday\" is neither Unix seconds nor like 2026-01-31T12:00:00Z",
        ),
    ] {
        let input = format!("name,crc32c,mode,mtime\na,{cells}\n");
        fails(Format::Csv, input, Usage, &format!("line 2: {want}"));
    }
}

#[test]
fn lines_are_counted_through_comments_blanks_crlf_bom_and_quotes() {
    for end in ["\n", "\r\n"] {
        let text = [
            "# by hand",
            "",
            "name,start,len",
            "# more",
            "a,0,1",
            "",
            "\"b",
            "b\",0,1",
            "\"#c\",0,1",
            "\"d,\"\"d\"\"\",0,1",
            "e,x,1",
            "\"f",
            "\",x,1",
            "",
            "#",
            "g,x,1",
        ];
        for last in ["", end] {
            let input = format!("\u{feff}{}{last}", text.join(end));
            let errors = read(input.as_bytes(), None, &options()).expect_err("three wrong rows");
            let lines: Vec<u64> = errors.first().iter().map(|error| error.line).collect();
            assert_eq!(lines, [11, 12, 16], "{end:?} {last:?}");
            let good = input.replace(",x,", ",0,");
            let items = read(good.as_bytes(), None, &options()).expect("every row is right").items;
            let lines: Vec<u64> = items.iter().map(|item| item.line).collect();
            assert_eq!(lines, [5, 7, 9, 10, 11, 12, 16], "{end:?} {last:?}");
            let names: Vec<&str> = items.iter().filter_map(|item| item.name.to_str()).collect();
            let (b, f) = (format!("b{end}b"), format!("f{end}"));
            assert_eq!(names, ["a", &b, "#c", "d,\"d\"", "e", &f, "g"]);
        }
    }
}

#[test]
fn the_last_column_loses_the_carriage_return_only() {
    reads(Format::Csv, "start,len,name\r\n0,1,a \r\n", &[r#"{"name":"a ","start":0,"len":1}"#]);
    reads(
        Format::Tsv,
        "start\tlen\tname\n0\t1\ta b,c\n",
        &[r#"{"name":"a b,c","start":0,"len":1}"#],
    );
}

#[test]
fn a_header_that_is_not_clear_is_refused_once() {
    for (header, want) in [
        ("start,len", "line 1: the header has no column `name`"),
        ("name,start,offset", "line 1: two columns are called start"),
        (
            "name,sha265,crc32",
            "line 1: unknown column \"sha265\" in the header (a column for people is called `note` or begins with `x-`)\n\
             line 1: unknown column \"crc32\" in the header (a column for people is called `note` or begins with `x-`)\n\
             line 1: known columns are name, dst, path, name_hex, source, src, source_hex, start, offset, end, last, len, length, size, dest_offset, dst_offset, base, unit, mode, mtime, id, file_len, blake3, sha256, sha1, md5, crc32c, xxh3",
        ),
    ] {
        fails(Format::Csv, format!("{header}\na,b,c\na,b,c\n"), Usage, want);
    }
    fails(Format::Csv, "name,start,len\na,1\n", Usage, "line 2: 2 columns, and the header has 3");
}

/// Where names are not made of bytes, one that cannot be is refused.
#[test]
fn names_need_not_be_utf8() {
    let want = r#"{"name_hex":"61ff62","start":0,"len":1}"#;
    for (format, input) in [
        (Format::Csv, &b"name,start,len\na\xFFb,0,1\n"[..]),
        (Format::Plain, b"#pcopy v1 end=exclusive\n0 1 a\xFFb\n"),
        (Format::Jsonl, want.as_bytes()),
    ] {
        if crate::sys::path_from_bytes(b"a\xFFb").is_some() {
            reads(format, input, &[want]);
        } else {
            let errors = read(input, Some(format), &options()).expect_err("no such name");
            assert!(errors.to_string().contains("not UTF-8"), "{format:?}: {errors}");
        }
    }
}

#[test]
fn json_lines_take_numbers_text_and_runs() {
    reads(
        Format::Jsonl,
        r#"
# comment
{"name":"a","start":1,"end":"0x10"}
{"name":"b\n\u00e9","start":"8s","len":"1KiB","source":null,"note":{"any":[1]},"x-y":1}
{"name":"c","runs":[{"start":0,"len":10},{"start":10,"end":20},{"hole":true,"len":5},{"start":100,"last":109}]}
{"name":"d","runs":[{"start":1,"len":2},{"hole":true,"len":3}],"unit":"sector","base":7}
{"name":"e","runs":[]}
{"name":"f"}
"#,
        &[
            r#"{"name":"a","start":1,"len":15}"#,
            r#"{"name":"b\né","start":4096,"len":1024}"#,
            r#"{"name":"c","runs":[{"start":0,"len":20},{"hole":true,"len":5},{"start":100,"len":10}]}"#,
            r#"{"name":"d","runs":[{"start":519,"len":1024},{"hole":true,"len":1536}]}"#,
            r#"{"name":"e","start":0,"len":0}"#,
            r#"{"name":"f"}"#,
        ],
    );
}

#[test]
fn json_lines_are_wrong_line_by_line() {
    for (line, want) in [
        ("{", "EOF while parsing an object (column 1)"),
        (r#"{"start":1,"len":1}"#, "the name is missing"),
        (r#"{"name":"a","stat":1}"#, "unknown field `stat` (column 18)"),
        (r#"{"name":"a","name":"b"}"#, "`name` stands twice (column 22)"),
        (
            r#"{"name":"a","start":1.5,"len":1}"#,
            "invalid type: floating point `1.5`, expected text or a whole number of 64 bits (column 23)",
        ),
        (
            r#"{"name":"a","start":-1,"len":1}"#,
            "invalid type: integer `-1`, expected text or a whole number of 64 bits (column 22)",
        ),
        (
            r#"{"name":"a","start":18446744073709551616,"len":1}"#,
            "a number does not fit in 64 bits (column 40)",
        ),
        (
            r#"{"name":"a","runs":[{"hole":true,"len":1,"start":1}]}"#,
            "a hole has a len and nothing else",
        ),
        (r#"{"name":"a","runs":[{"start":1}]}"#, "give exactly one of end, last and len"),
        (
            r#"{"name":"a","start":1,"len":1,"runs":[]}"#,
            "`runs` and start, end, last or len exclude each other",
        ),
        (
            r#"{"name":"a","runs":[{"hole":true,"len":18446744073709551615},{"start":0,"len":1}]}"#,
            "the item ends past what 64 bits count",
        ),
        (r#"{"name":"a","mode":420}"#, "mode: write it as text in octal, such as \"0644\""),
        (r#"{"name":7}"#, "name is a number, not text"),
        (r#"{"name_hex":"6"}"#, "name_hex: \"6\" is not hexadecimal"),
        (r#"{"name":"a","name_hex":"61"}"#, "name and name_hex both"),
    ] {
        let want = want.replace(" (column 0)", "");
        let input = format!("\n{line}\n");
        let errors = read(input.as_bytes(), Some(Format::Jsonl), &options()).expect_err(line);
        let text = errors.to_string();
        assert!(
            text.starts_with(&format!("line 2: {}", want.split(" (column").next().unwrap_or(""))),
            "{line}: {text}"
        );
        assert_eq!((errors.count(), errors.kind()), (1, Usage), "{line}: {text}");
    }
}

#[test]
fn a_report_reads_back_and_a_retry_leaves_out_what_is_complete() {
    let report = r#"{"name":"a","start":0,"len":1,"status":"complete","bytes":1,"digests":{"sha256":"00"},"failed":[],"verified":true,"error":null,"seconds":0.1}
{"name":"b","start":1,"len":1,"status":"failed","bytes":0,"failed":[{"start":1,"end":2,"error":"bad"}],"error":"x","seconds":1e-3}
"#;
    let (a, b) = (r#"{"name":"a","start":0,"len":1}"#, r#"{"name":"b","start":1,"len":1}"#);
    reads(Format::Jsonl, report, &[a, b]);
    let retry = ReadOptions { skip_complete: true, ..options() };
    reads_with(&retry, Format::Jsonl, report, &[b]);
    let notes = read(report.as_bytes(), None, &retry).expect("a report").notes;
    assert_eq!(notes, ["1 skipped: complete already"]);
}

#[test]
fn the_plain_form_says_what_its_end_means() {
    for (directive, row, want) in [
        ("end=exclusive unit=bytes", "10 20 a", r#"{"name":"a","start":10,"len":10}"#),
        ("end=inclusive unit=bytes", "10 20 a", r#"{"name":"a","start":10,"len":11}"#),
        ("end=exclusive", "10\t20  a b ", r#"{"name":"a b ","start":10,"len":10}"#),
        ("end=inclusive unit=sector", "1 1 a", r#"{"name":"a","start":512,"len":512}"#),
        (
            "end=inclusive unit=sector sector=4096",
            "1 1 a",
            r#"{"name":"a","start":4096,"len":4096}"#,
        ),
        ("unit=4KiB base=0x200 end=exclusive", "1 2 a", r#"{"name":"a","start":4608,"len":4096}"#),
        (
            "end=exclusive",
            r#"0x0 1KiB " a ""b"" ""#,
            r#"{"name":" a \"b\" ","start":0,"len":1024}"#,
        ),
        ("end=exclusive", "0 1 #a", r##"{"name":"#a","start":0,"len":1}"##),
    ] {
        for end in ["\n", "\r\n"] {
            let input = format!("# list{end}{end}#pcopy v1 {directive}{end}{row}{end}#b{end}");
            reads_with(&options(), Format::Plain, input, &[want]);
        }
    }
}

#[test]
fn the_plain_form_is_refused_where_it_does_not_say() {
    let example = "such as `#pcopy v1 end=exclusive unit=bytes`";
    for (input, want) in [
        ("0 1 a\n", format!("line 1: nothing says whether END is inside the range: begin with a line {example}")),
        ("#pcopy v1\n", format!("line 1: `end=` is missing, {example}")),
        ("#pcopy v2 end=exclusive\n", format!("line 1: `#pcopy` is followed by the version, `v1`, {example}")),
        ("#pcopy v1 end=open\n", format!("line 1: \"end=open\" is not understood, {example}")),
        ("#pcopy v1 end=inclusive end=exclusive\n", format!("line 1: end stands twice, {example}")),
        ("#pcopy v1 end=inclusive\n#pcopy v1 end=exclusive\n", "line 2: a second `#pcopy` line".into()),
        ("#pcopy v1 end=inclusive\n1 2\n", "line 2: three columns are needed: START END NAME".into()),
        ("#pcopy v1 end=inclusive\n1 2 \"a\"b\"\n", "line 2: a quote inside the quoted name is not doubled".into()),
        ("#pcopy v1 end=inclusive\n5 4 a\nx 4 b\n", "line 2: the range ends before its start 5\nline 3: start: \"x\": a digit is expected, not 'x'".into()),
    ] {
        fails(Format::Plain, input, Usage, &want);
    }
}

#[test]
fn a_name_may_begin_with_a_number_sign() {
    for (format, text) in [
        (Format::Csv, "# no\nname,start,len\n#1,0,1\n# no\n\"#2\",0,1\n"),
        (Format::Tsv, "#no\tno\nname\tstart\tlen\n#1\t0\t1\n#no\n#2\t0\t1\n"),
        (Format::Csv, "name\n#1\n#2\n"),
        (Format::Csv, "# a,\"half\n\n# \"\nname,start,len\n#1,0,1\n#2,0,1\n"),
    ] {
        let items = read(text.as_bytes(), Some(format), &options()).expect("rows").items;
        let names: Vec<_> = items.iter().map(|item| item.name.to_str().unwrap()).collect();
        assert_eq!(names, ["#1", "#2"], "{text}");
    }
    fails(Format::Csv, "name,start,len\n#1,0\n", Usage, "line 2: 2 columns, and the header has 3");
}

/// A list is not a reason to make a file that runs as its owner.
#[test]
fn special_bits_of_modes_are_left_out_and_counted() {
    let set = |mode: &str| format!("{{\"name\":\"a\",\"mode\":\"{mode}\"}}");
    for (format, list) in [
        (Format::Csv, "name,mode\na,4755\na,7777\na,0640\n"),
        (Format::Tsv, "name\tmode\na\t4755\na\t0o7777\na\t640\n"),
        (
            Format::Jsonl,
            "{\"name\":\"a\",\"mode\":\"4755\"}\n{\"name\":\"a\",\"mode\":\"7777\",\"status\":\"failed\"}\n\
             {\"name\":\"a\",\"mode\":\"0640\"}\n",
        ),
    ] {
        reads(format, list, &[&set("0755"), &set("0777"), &set("0640")]);
        let manifest = read(list.as_bytes(), Some(format), &options()).expect("just read");
        assert_eq!(manifest.notes, ["2 modes: only the permission bits (0777) are set"]);
    }
}

#[test]
fn a_list_without_a_row_is_an_error_unless_it_is_taken_up_again() {
    // What was to make it may have failed.
    let empty = "the list is empty: it names nothing to copy";
    for format in [Format::Csv, Format::Tsv, Format::Jsonl, Format::Plain] {
        fails(format, "", Usage, empty);
        fails(format, "\u{feff}# nothing\r\n\r\n", Usage, empty);
    }
    fails(Format::Csv, "name,start,len", Usage, empty);
    fails(Format::Dfxml, "<dfxml></dfxml>", Usage, empty);
    let folder = "<fileobject><filename>d</filename><name_type>d</name_type></fileobject>";
    fails(Format::Dfxml, format!("<dfxml>{folder}</dfxml>"), Usage, empty);
    fails(Format::Mapfile, "0 ? 1\n", Usage, empty);
    let error = read(&b"\n"[..], None, &options()).expect_err("nothing was ever there");
    assert_eq!((error.kind(), error.to_string().as_str()), (Usage, empty));
    let retry = ReadOptions { skip_complete: true, ..options() };
    assert_eq!(read(&b""[..], None, &retry).expect("nothing is left to do").items, []);
    fails(Format::Csv, b"\xFF\xFEn\0", Usage, "line 1: the manifest is UTF-16: save it as UTF-8");
    assert!(read(&b"0 1 a\n"[..], None, &options()).is_err());
}
