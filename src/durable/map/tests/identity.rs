use super::super::escape::{escape, unescape};
use super::*;
use crate::sys::wtf8;

fn source(job: &Identity) -> Source {
    job.source.clone()
}

#[test]
fn the_first_field_that_differs_is_named() {
    let check = |change: fn(&mut Identity), wanted: Option<(&str, &str, &str)>| {
        let mut job = identity();
        change(&mut job);
        let found = identity().difference(&job);
        let found =
            found.as_ref().map(|d| (d.field.as_str(), d.map_value.as_str(), d.job_value.as_str()));
        assert_eq!(found, wanted);
        // The other way round the values change places.
        let back = job.difference(&identity()).map(|d| (d.field, d.job_value, d.map_value));
        assert_eq!(back.as_ref().map(|(f, m, j)| (f.as_str(), m.as_str(), j.as_str())), wanted);
    };
    check(|_| {}, None);
    check(
        |job| job.source.path = "/b".into(),
        Some(("source-path", "/data/disk of Ümit%0A.img", "/b")),
    );
    check(
        |job| job.source.kind = "block-device".into(),
        Some(("source-kind", "file", "block-device")),
    );
    check(|job| job.source.size += 1, Some(("source-size", "1048576", "1048577")));
    let mtime = "1700000000123456789";
    check(|job| job.source.mtime_ns = Some(-1), Some(("source-mtime-ns", mtime, "-1")));
    check(|job| job.source.mtime_ns = None, Some(("source-mtime-ns", mtime, "absent")));
    let ctime = "1700000000223456789";
    check(|job| job.source.ctime_ns = Some(-1), Some(("source-ctime-ns", ctime, "-1")));
    check(
        |job| {
            job.source =
                Source { size: 0, mtime_ns: None, ctime_ns: None, may_change: true, ..source(job) };
        },
        None,
    );
    check(
        |job| job.source = Source { path: "/b".into(), may_change: true, ..source(job) },
        Some(("source-path", "/data/disk of Ümit%0A.img", "/b")),
    );
    check(
        |job| job.source.id = Some(ObjectId::File { device: 2049, inode: 1, born_ns: None }),
        Some(("source-inode", "77", "1")),
    );
    check(|job| job.source.id = None, Some(("source-inode", "77", "absent")));
    check(|job| job.range = range(0, 0x10200), Some(("range-start", "512", "0")));
    check(|job| job.range = range(0x200, 0x10000), Some(("range-end", "66048", "65536")));
    check(|job| job.destination.path = "/c".into(), Some(("dest-path", "/data/out 100%25", "/c")));
    check(|job| job.destination.offset = 0, Some(("dest-offset", "4096", "0")));
    check(|job| job.destination.kind = "x".into(), Some(("dest-kind", "file", "x")));
    check(|job| job.destination.mode = Mode::InPlace, Some(("dest-mode", "new", "in-place")));
    check(
        |job| job.destination.id = Some(ObjectId::File { device: 2049, inode: 9, born_ns: None }),
        Some(("dest-inode", "78", "9")),
    );
    // A file system mounted again may have another device number.
    check(|job| job.source.id = Some(ObjectId::File { device: 5, inode: 77, born_ns: None }), None);

    let difference = identity()
        .difference(&Identity { range: range(0, 0x10200), ..identity() })
        .expect("differs");
    assert_eq!(difference.to_string(), "range-start is 512 in the map and 0 in this job");
}

#[test]
fn a_disk_is_known_by_its_serial_and_without_one_by_its_number() {
    let check = |a: (u64, Option<&str>), b: (u64, Option<&str>), wanted: Option<&str>| {
        let with = |(number, serial): (u64, Option<&str>)| {
            let mut identity = identity();
            identity.source.id =
                Some(ObjectId::Device { number, serial: serial.map(str::to_owned) });
            identity
        };
        assert_eq!(with(a).difference(&with(b)).map(|d| d.field).as_deref(), wanted, "{a:?} {b:?}");
    };
    check((8, Some("S1")), (8, Some("S1")), None);
    check((8, Some("S1")), (9, Some("S1")), None);
    check((8, Some("S1")), (8, Some("S2")), Some("source-serial"));
    check((8, None), (8, None), None);
    check((8, None), (9, None), Some("source-device-number"));
    check((8, None), (8, Some("S1")), Some("source-device-number"));
}

#[test]
fn text_becomes_one_line_and_comes_back() {
    let check = |bytes: &[u8], line: &str| {
        assert_eq!(escape(bytes), line);
        assert_eq!(unescape(line).as_deref(), Some(bytes));
    };
    check(b"", "");
    check(b" plain /path ", " plain /path ");
    check("Ümit 測".as_bytes(), "Ümit 測");
    check(b"a\nb\r\t\0%", "a%0Ab%0D%09%00%25");
    check(b"\xff\xc3/\xe2\x82", "%FF%C3/%E2%82");
    check("\u{85}\u{2028}\u{7f}".as_bytes(), "%C2%85%E2%80%A8%7F");
    for bad in ["%", "%4", "%4x", "a%", "%+1", "%é"] {
        assert_eq!(unescape(bad), None, "{bad}");
    }
}

#[test]
fn names_of_windows_come_back_with_their_lone_surrogates() {
    let check = |wide: &[u16], bytes: &[u8]| {
        assert_eq!(wtf8::from_wide(wide.iter().copied()), bytes);
        assert_eq!(wtf8::to_wide(bytes).as_deref(), Some(wide));
    };
    check(&[], b"");
    check(&[0x61, 0xE9, 0xD83D, 0xDE00], "aé😀".as_bytes());
    check(&[0x61, 0xD800, 0x62], b"a\xED\xA0\x80b");
    check(&[0xDFFF, 0xD83D], b"\xED\xBF\xBF\xED\xA0\xBD");
    for bad in [&b"\xff"[..], b"\xED\xA0", b"\xED\xA0x", b"a\xC3"] {
        assert_eq!(wtf8::to_wide(bad), None, "{bad:?}");
    }
}
