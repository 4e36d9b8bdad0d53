use super::super::escape::{escape, unescape};
use super::*;
use crate::sys::wtf8;

fn source(job: &Identity) -> Source {
    job.source.clone()
}

/// The fields in which two differ, and what is asked for.
fn found(map: &Identity, job: &Identity) -> Vec<(String, Evidence)> {
    map.differences(job).into_iter().map(|found| (found.field, found.evidence)).collect()
}

fn file(inode: u64, born_ns: Option<i128>) -> Option<ObjectId> {
    Some(ObjectId::File { device: 2049, inode, born_ns })
}

#[test]
fn what_makes_the_job_may_not_differ_and_of_all_else_the_bytes_decide() {
    use Evidence::{AllBytes, None as Nothing, Places};
    let check = |change: fn(&mut Identity), wanted: &[(&str, Evidence)]| {
        let mut job = identity();
        change(&mut job);
        let wanted: Vec<_> = wanted.iter().map(|&(name, what)| (name.to_owned(), what)).collect();
        assert_eq!(found(&identity(), &job), wanted);
        // It is the same the other way round.
        assert_eq!(found(&job, &identity()), wanted);
    };
    check(|_| {}, &[]);
    check(|job| job.source.path = "/b".into(), &[("source-path", Places)]);
    check(|job| job.source.kind = "block-device".into(), &[("source-kind", AllBytes)]);
    check(|job| job.source.size += 1, &[("source-size", AllBytes)]);
    check(|job| job.source.mtime_ns = Some(-1), &[("source-mtime-ns", AllBytes)]);
    check(|job| job.source.mtime_ns = None, &[("source-mtime-ns", AllBytes)]);
    check(|job| job.source.ctime_ns = Some(-1), &[("source-ctime-ns", AllBytes)]);
    let any_state = |job: &mut Identity| {
        let path = "/b".into();
        let any =
            Source { size: 0, mtime_ns: None, ctime_ns: None, may_change: true, ..source(job) };
        job.source = Source { path, ..any };
    };
    check(any_state, &[("source-path", Places)]);
    check(|job| job.source.id = file(1, None), &[("source-inode", Places)]);
    check(|job| job.source.id = None, &[("source-inode", Places)]);
    check(|job| job.range = range(0, 0x10200), &[("range-start", Nothing)]);
    check(|job| job.range = range(0x200, 0x10000), &[("range-end", Nothing)]);
    check(|job| job.destination.path = "/c".into(), &[("dest-path", Places)]);
    check(|job| job.destination.offset = 0, &[("dest-offset", Nothing)]);
    check(|job| job.destination.kind = "x".into(), &[("dest-kind", Nothing)]);
    check(|job| job.destination.mode = Mode::InPlace, &[("dest-mode", Nothing)]);
    check(|job| job.destination.id = file(9, None), &[("dest-inode", AllBytes)]);
    check(|job| job.list = Some("x".into()), &[("list", AllBytes)]);
    // All that differs is found, in the order of the map.
    check(
        |job| {
            job.source.ctime_ns = Some(-1);
            job.source.id = file(1, None);
            job.range = range(0, 0x10200);
        },
        &[("source-ctime-ns", AllBytes), ("source-inode", Places), ("range-start", Nothing)],
    );
    // A file system mounted again may have another device number.
    check(|job| job.source.id = Some(ObjectId::File { device: 5, inode: 77, born_ns: None }), &[]);

    let job = Identity { range: range(0, 0x10200), ..identity() };
    let difference = identity().differences(&job).remove(0);
    assert_eq!(difference.to_string(), "range-start is 512 in the map and 0 in this job");
    assert_eq!(difference.what(), "range-start");
    job_with(|job| job.destination.id = file(9, None), "file number of the destination");
    job_with(|job| job.source.ctime_ns = None, "change time of the source");
}

/// What the only difference of a job is called.
fn job_with(change: fn(&mut Identity), what: &str) {
    let mut job = identity();
    change(&mut job);
    assert_eq!(identity().differences(&job).remove(0).what(), what);
}

/// A part whose time of creation is known is the same under another number; one
/// that was made at another time is another, whatever its number is.
#[test]
fn a_part_is_known_by_its_time_of_creation() {
    let with = |id| {
        let mut identity = identity();
        identity.destination.id = id;
        identity
    };
    let check = |a: Option<ObjectId>, b: Option<ObjectId>, wanted: Option<Evidence>| {
        let most = found(&with(a), &with(b)).into_iter().map(|(_, evidence)| evidence).max();
        assert_eq!(most, wanted);
    };
    check(file(1, Some(5)), file(1, Some(5)), None);
    check(file(1, None), file(1, Some(5)), None);
    check(file(1, Some(5)), file(2, Some(5)), Some(Evidence::Places));
    check(file(1, Some(5)), file(1, Some(6)), Some(Evidence::AllBytes));
    check(file(1, Some(5)), file(2, Some(6)), Some(Evidence::AllBytes));
    check(file(1, Some(5)), file(2, None), Some(Evidence::AllBytes));
}

/// A copy of the source has another time of creation, and so has one whose file system
/// makes them up.
#[test]
fn a_source_that_was_made_at_another_time_is_looked_at_in_places() {
    let with = |born_ns| {
        let mut identity = identity();
        identity.source.id = file(77, born_ns);
        identity
    };
    assert_eq!(found(&with(Some(5)), &with(Some(5))), []);
    assert_eq!(found(&with(Some(5)), &with(None)), []);
    let wanted = [("source-created-ns".to_owned(), Evidence::Places)];
    assert_eq!(found(&with(Some(5)), &with(Some(6))), wanted);
}

/// What a server hands out may be exchanged without a trace.
#[test]
fn what_no_server_describes_is_read_again() {
    let with = |kind: &str, id: Option<ObjectId>, mtime_ns| {
        let mut identity = identity();
        let source = Source { kind: kind.to_owned(), id, mtime_ns, ..source(&identity) };
        identity.source = source;
        identity
    };
    let tag = || Some(ObjectId::Remote { tag: "1".to_owned(), version: None });
    for (job, is_recognizable) in [
        (with("http", None, None), false),
        (with("s3", None, None), false),
        (with("http", None, Some(1)), true),
        (with("s3", tag(), None), true),
        (with("file", None, None), true),
        (with("block-device", None, None), true),
    ] {
        assert_eq!(job.source.is_recognizable(), is_recognizable);
        let evidence: Vec<_> = found(&job, &job).into_iter().map(|(_, what)| what).collect();
        assert_eq!(evidence.is_empty(), is_recognizable);
        assert!(evidence.iter().all(|what| *what == Evidence::AllBytes));
    }
}

/// Disks are numbered anew at each boot. Another adapter shows another serial
/// number of the same disk, and so does another disk.
#[test]
fn a_disk_is_known_by_its_serial_and_without_one_by_its_number() {
    use Evidence::{AllBytes, Places};
    type Disk = (u64, Option<&'static str>);
    let check = |a: Disk, b: Disk, wanted: Option<(&str, Evidence)>| {
        let with = |(number, serial): Disk| {
            let mut identity = identity();
            identity.source.id =
                Some(ObjectId::Device { number, serial: serial.map(str::to_owned) });
            identity
        };
        let found = found(&with(a), &with(b));
        let found = found.first().map(|(name, evidence)| (name.as_str(), *evidence));
        assert_eq!(found, wanted, "{a:?} {b:?}");
    };
    check((8, Some("S1")), (8, Some("S1")), None);
    check((8, Some("S1")), (9, Some("S1")), None);
    check((8, Some("S1")), (8, Some("S2")), Some(("source-serial", AllBytes)));
    check((8, None), (8, None), None);
    check((8, None), (9, None), Some(("source-device-number", Places)));
    check((8, None), (8, Some("S1")), Some(("source-device-number", Places)));
    check((8, Some("S1")), (8, None), Some(("source-serial", Places)));
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
