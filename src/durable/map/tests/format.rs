use super::*;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

#[test]
fn the_file_looks_as_documented() {
    let text = "\
# Mapfile. Created by pcopy in the format of GNU ddrescue
# pcopy version 1
# pcopy source-path /data/disk of Ümit%0A.img
# pcopy source-kind file
# pcopy source-size 1048576
# pcopy source-mtime-ns 1700000000123456789
# pcopy source-ctime-ns 1700000000223456789
# pcopy source-device 2049
# pcopy source-inode 77
# pcopy range-start 512
# pcopy range-end 66048
# pcopy dest-path /data/out 100%25
# pcopy dest-offset 4096
# pcopy dest-kind file
# pcopy dest-mode new
# pcopy dest-device 2049
# pcopy dest-inode 78
# pcopy list 0123abcd
# current_pos  current_status  current_pass
0x00001400     ?               1
#      pos        size  status
0x00000200  0x00001000  +
0x00001200  0x00000200  -
0x00001400  0x00002C00  ?
0x00004000  0x00001000  +
0x00005000  0x00000200  -
0x00005200  0x0000B000  ?
";
    let seal = format!("# pcopy checksum crc32c {:08x}\n", crc32c::crc32c(text.as_bytes()));
    assert_eq!(String::from_utf8(sample().to_bytes()).unwrap(), format!("{text}{seal}"));
    // The checksum is CRC-32C as everyone else computes it.
    assert_eq!(crc32c::crc32c(b"123456789"), 0xE306_9283);
}

#[test]
fn the_status_line_says_where_ddrescue_goes_on() {
    let check = |done: &[(u64, u64)], failed: &[(u64, u64)], wanted: &str| {
        let map =
            Map { identity: None, done: set(done), failed: set(failed), extent: range(16, 64) };
        let text = String::from_utf8(map.to_bytes()).unwrap();
        let line = text.lines().find(|line| !line.starts_with('#')).unwrap();
        assert_eq!(line.split_whitespace().collect::<Vec<_>>().join(" "), wanted, "{text}");
    };
    check(&[], &[], "0x00000010 ? 1");
    check(&[(16, 20)], &[(20, 21)], "0x00000015 ? 1");
    check(&[(16, 20), (21, 64)], &[(20, 21)], "0x00000014 - 1");
    check(&[(16, 64)], &[], "0x00000010 + 1");
}

#[test]
fn a_byte_both_done_and_failed_is_failed_and_nothing_is_claimed_outside_the_extent() {
    let map = Map {
        identity: None,
        done: set(&[(0, 100)]),
        failed: set(&[(50, 60), (90, 200)]),
        extent: range(10, 95),
    };
    let read = Map::from_bytes(&map.to_bytes()).unwrap();
    assert_eq!(read.done, set(&[(10, 50), (60, 90)]));
    assert_eq!(read.failed, set(&[(50, 60), (90, 95)]));
    assert_eq!(read.extent, range(10, 95));
}

#[test]
fn todo_is_everything_not_done() {
    let check = |start, end, wanted: &[(u64, u64)]| {
        assert_eq!(sample().todo(range(start, end)), set(wanted), "{start}..{end}");
    };
    check(0x200, 0x10200, &[(0x1200, 0x4000), (0x5000, 0x10200)]);
    check(0, 0x300, &[(0, 0x200)]);
    check(0x300, 0x400, &[]);
    check(0x10000, 0x20000, &[(0x10000, 0x20000)]);
    check(7, 7, &[]);
}

/// What a text means: done, failed and extent, or part of the complaint.
type Meaning<'a> = Result<(&'a [(u64, u64)], &'a [(u64, u64)], (u64, u64)), &'a str>;

#[test]
fn texts_of_others_are_read_as_ddrescue_reads_them_or_refused_with_the_line() {
    let check = |text: &str, wanted: Meaning| match (Map::from_bytes(text.as_bytes()), wanted) {
        (Ok(map), Ok((done, failed, (start, end)))) => {
            let wanted = Map {
                identity: None,
                done: set(done),
                failed: set(failed),
                extent: range(start, end),
            };
            assert_eq!(map, wanted, "{text:?}");
        }
        (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{text:?}: {error}"),
        (got, wanted) => panic!("{text:?}: {got:?}, not {wanted:?}"),
    };
    let done = Ok((&[(0, 16)][..], &[][..], (0, 16)));
    // Numbers.
    check("0x0 + 1\n0x0 0x10 +\n", done);
    check("0 + 1\n0 16 +\n", done);
    check("0 + 1\n0 020 +\n", done);
    check("0X0 + 1\n00 0X10 +\n", done);
    for bad in
        ["-1", "+1", "0x+1", "0x", "08", "1k", "1_0", "1.0", "0x1G", "18446744073709551616", "１"]
    {
        check(&format!("0 + 1\n0 {bad} +\n"), Err("line 2: not a block"));
    }
    // White space, line ends, comments.
    check(" 0\t+  1 \n\n  \n0 16 +", done);
    check("0 + 1\r\n0 16 +\r\n", done);
    check("# a\n0 + 1 # b\n# c\n0 16 + #d\n# e", done);
    check("0 + 1\n0 16 +# no comment\n", Err("line 2"));
    check("0 + 1\n0 16 + junk\n", Err("line 2"));
    check("0 + 1\n0 16\n", Err("line 2"));
    check("0 + 1\n0 16 ++\n", Err("line 2"));
    check("0 + 1\n0 16 F\n", Err("line 2"));
    // The status line.
    check("0 +\n0 16 +\n", done);
    for status in ["?", "*", "/", "-", "F", "G"] {
        check(&format!("0 {status} 7\n0 16 +\n"), done);
    }
    for bad in ["x + 1", "0 x 1", "0 ++ 1", "0 + 0", "0 + x", "0 + 1 1", "0", "+"] {
        check(&format!("# x\n{bad}\n0 16 +\n"), Err("line 2: not a status line"));
    }
    check("", Err("no status line"));
    check("# Mapfile. Created by GNU ddrescue\n", Err("no status line"));
    check("\n\0\n", Err("line 2: not a status line"));
    // The statuses of blocks: only '+' is done and only '-' is failed.
    let all = "0 ? 1\n0 1 ?\n1 1 *\n2 1 /\n3 1 -\n4 1 +\n5 1 -\n";
    check(all, Ok((&[(4, 5)], &[(3, 4), (5, 6)], (0, 6))));
    check("0 ? 1\n0 8 +\n8 8 +\n", done);
    // Contiguous, ascending.
    check("5 ? 1\n", Ok((&[], &[], (0, 0))));
    check("5 ? 1\n5 0 ?\n", Ok((&[], &[], (5, 5))));
    check("0 ? 1\n512 1 +\n", Ok((&[(512, 513)], &[], (512, 513))));
    check(
        "0 ? 1\n0 8 +\n# x\n9 1 +\n",
        Err("line 4: the block at 0x9 leaves a gap before it, which ends at 0x8"),
    );
    check(
        "0 ? 1\n0 8 +\n7 1 +\n",
        Err("line 3: the block at 0x7 overlaps the one before, which ends at 0x8"),
    );
    check("0 ? 1\n8 8 +\n0 8 +\n", Err("line 3"));
    // The largest positions.
    let max = u64::MAX;
    let near = [(max - 1, max)];
    check(&format!("0 ? 1\n{} 1 +\n", max - 1), Ok((&near, &[], near[0])));
    check("0 ? 1\n0x0 0xFFFFFFFFFFFFFFFF -\n", Ok((&[], &[(0, max)], (0, max))));
    check("0 ? 1\n1 0xFFFFFFFFFFFFFFFF -\n", Err("line 2: the block ends past"));
    check(&format!("0 ? 1\n0 {max} +\n{max} 1 +\n"), Err("line 3: the block ends past"));
}

/// The example in the manual of GNU ddrescue 1.27, with a command line that is
/// not ASCII and a block past 4 GiB.
const OF_DDRESCUE: &str = "\
# Mapfile. Created by GNU ddrescue version 1.27
# Command line: ddrescue -n -b2048 /dev/sr0 caf\u{e9}.iso map
# Start time:   2024-05-06 07:08:09
# Current time: 2024-05-06 07:09:10
# Copying non-tried blocks... Pass 1 (forwards)
# current_pos  current_status  current_pass
0x00120000     ?               1
#      pos        size  status
0x00000000  0x00117000  +
0x00117000  0x00000200  -
0x00117200  0x00001000  /
0x00118200  0x00007E00  *
0x00120000  0x00048000  ?
0x00168000  0x100000000  +
";

#[test]
fn a_map_of_ddrescue_is_read() {
    let map = Map::from_bytes(OF_DDRESCUE.as_bytes()).unwrap();
    assert_eq!(map.identity, None);
    assert_eq!(map.done, set(&[(0, 0x117000), (0x168000, 0x1_0016_8000)]));
    assert_eq!(map.failed, set(&[(0x117000, 0x117200)]));
    assert_eq!(map.extent, range(0, 0x1_0016_8000));
    // Its command line may hold bytes that are not UTF-8.
    let latin: Vec<u8> = OF_DDRESCUE.chars().map(|character| character as u8).collect();
    assert_eq!(Map::from_bytes(&latin).unwrap(), map);
}

#[test]
fn every_changed_byte_is_noticed() {
    let good = sample().to_bytes();
    let mut bytes = good.clone();
    let mut tried = 0;
    for at in 0..bytes.len() {
        for other in (0..=u8::MAX).filter(|other| *other != good[at]) {
            bytes[at] = other;
            assert!(Map::from_bytes(&bytes).is_err(), "byte {at} as {other:#x}");
            tried += 1;
        }
        bytes[at] = good[at];
    }
    assert_eq!((Map::from_bytes(&bytes).unwrap(), tried), (sample(), bytes.len() * 255));
}

#[test]
fn a_map_cut_short_or_grown_anywhere_is_refused() {
    let good = sample().to_bytes();
    for length in 0..good.len() {
        assert!(Map::from_bytes(&good[..length]).is_err(), "cut to {length}");
    }
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes.remove(at);
        assert!(Map::from_bytes(&bytes).is_err(), "without byte {at}");
    }
    for extra in ["\n", " ", "#", "# x\n", "0x10200 1 +\n"] {
        assert!(
            Map::from_bytes(&[&good, extra.as_bytes()].concat()).is_err(),
            "{extra:?} after it"
        );
    }
    let zeroed = vec![0; good.len()];
    assert!(Map::from_bytes(&zeroed).is_err(), "zeros, as an unsynced file may hold");
}

/// `sample` with `from` replaced by `to` and a good checksum.
fn forged(from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(sample().to_bytes()).unwrap();
    assert!(text.contains(from), "{from:?}");
    let text = text.replacen(from, to, 1);
    let body = &text[..text.rfind("# pcopy checksum").unwrap()];
    format!("{body}# pcopy checksum crc32c {:08x}\n", crc32c::crc32c(body.as_bytes())).into_bytes()
}

#[test]
fn a_map_of_another_version_or_with_bad_fields_is_refused_with_the_reason() {
    let check = |from: &str, to: &str, reason: &str| {
        let error = Map::from_bytes(&forged(from, to)).expect_err(to).to_string();
        assert!(error.contains(reason), "{to:?}: {error}");
    };
    assert_eq!(Map::from_bytes(&forged("file", "file")).unwrap(), sample());
    check("version 1", "version 2", "line 2: version \"2\" of the map; this pcopy reads version 1");
    check("version 1", "version 01", "version \"01\"");
    check("# pcopy version 1\n", "", "line 2: the version of the map is missing");
    check("# pcopy source-size 1048576\n", "", "source-size is missing");
    check(
        "source-size 1048576",
        "source-size 0x100000",
        "line 5: source-size cannot be \"0x100000\"",
    );
    check("source-size", "source-sise", "source-size is missing");
    check(
        "source-kind file\n",
        "source-kind file\n# pcopy source-kind file\n",
        "line 5: source-kind is already on line 4",
    );
    check("dest-mode new", "dest-mode old", "line 15: dest-mode cannot be \"old\"");
    check("dest-inode 78", "dest-inode", "has no value");
    check("dest-offset 4096", "dest-offset 4096\n# pcopy colour blue", "line 14: unknown field");
    check("100%25", "100%2", "line 12: dest-path cannot be");
    check("100%25", "100%2+", "line 12: dest-path cannot be");
    check("file\n", "%FF\n", "line 4: source-kind cannot be");
    check("range-start 512", "range-start 5120000", "range-end lies before range-start");
}

#[test]
fn damage_is_told_from_a_missing_end() {
    let good = sample().to_bytes();
    let reason = |bytes: &[u8]| Map::from_bytes(bytes).expect_err("damaged").to_string();
    let mut flipped = good.clone();
    flipped[200] ^= 1;
    assert!(reason(&flipped).contains("does not match"));
    assert!(reason(&good[..good.len() - 1]).contains("missing"));
    let crlf = String::from_utf8(good).unwrap().replace('\n', "\r\n");
    assert!(reason(crlf.as_bytes()).contains("version \"1\\r\""));
}

/// Of nothing, a map says nothing: neither where it begins nor where it ends.
#[test]
fn an_empty_part_changes_no_map_and_an_empty_map_becomes_its_part() {
    let part = Map { identity: None, ..sample() };
    let empty = Map::default();
    assert_eq!(empty.with(part.clone()), part);
    assert_eq!(part.with(empty.clone()), part);
    let far = Map { extent: range(1 << 40, 1 << 40), ..empty };
    assert_eq!(part.with(far.clone()).extent, part.extent);
    assert_eq!(far.with(part.clone()).extent, part.extent);
}

#[test]
fn a_full_disk_is_told_from_other_errors() {
    let error = |kind| {
        let (operation, path) = ("write", PathBuf::from("map"));
        MapError::Io { operation, path, source: std::io::Error::from(kind) }
    };
    assert!(error(std::io::ErrorKind::StorageFull).is_of_space());
    assert!(error(std::io::ErrorKind::QuotaExceeded).is_of_space());
    assert!(!error(std::io::ErrorKind::PermissionDenied).is_of_space());
    assert!(!MapError::whole("no map").is_of_space());
}

#[test]
fn half_a_million_blocks_make_the_round_trip() {
    let done = (0..250_000).map(|index| range(index * 4096, index * 4096 + 512)).collect();
    let failed =
        (0..250_000).map(|index| range(index * 4096 + 1024, index * 4096 + 1536)).collect();
    let map = Map { identity: Some(identity()), done, failed, extent: range(0, 250_000 * 4096) };
    assert_eq!(Map::from_bytes(&map.to_bytes()).unwrap(), map);
}

/// Of any bytes where names may have them, else of any text.
fn any_path() -> impl Strategy<Value = PathBuf> {
    vec(any::<u8>(), 0..40).prop_map(|bytes| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        crate::sys::os_string(bytes).unwrap_or_else(|| text.into()).into()
    })
}

fn any_object() -> impl Strategy<Value = ObjectId> {
    prop_oneof![
        any::<(u64, u64, Option<i128>)>().prop_map(|(device, inode, born_ns)| ObjectId::File {
            device,
            inode,
            born_ns
        }),
        any::<(u64, Option<String>)>()
            .prop_map(|(number, serial)| ObjectId::Device { number, serial }),
        any::<(String, Option<String>)>()
            .prop_map(|(tag, version)| ObjectId::Remote { tag, version }),
        any_upload(),
    ]
}

fn any_upload() -> impl Strategy<Value = ObjectId> {
    let part = any::<(u32, String)>().prop_map(|(crc32c, tag)| UploadPart { crc32c, tag });
    let parts = btree_map(any::<u32>(), part, 0..4);
    (any::<(String, String, u64, bool)>(), parts).prop_map(
        |((id, begun, part_size, checked), parts)| ObjectId::Upload {
            id,
            begun,
            part_size,
            checked,
            parts,
        },
    )
}

prop_compose! {
    fn any_identity()(
        (path, kind, size, (mtime_ns, ctime_ns), id) in
            (any_path(), any::<String>(), any::<u64>(), any::<(Option<i128>, Option<i128>)>(), proptest::option::of(any_object())),
        (a, b) in any::<(u64, u64)>(),
        list in proptest::option::of("[0-9a-f]{1,64}"),
        (to, offset, what, mode, into) in
            (any_path(), any::<u64>(), any::<String>(), 0..3, proptest::option::of(any_object())),
    ) -> Identity {
        let mode = [Mode::New, Mode::InPlace, Mode::Device][mode as usize];
        Identity {
            source: Source { path, kind, size, mtime_ns, ctime_ns, may_change: false, id },
            range: ByteRange::between(a, b),
            destination: Destination { path: to, offset, kind: what, mode, id: into },
            list,
        }
    }
}

prop_compose! {
    /// Runs of any length up to the largest position, so that they touch, gap and end there.
    fn any_map()(
        identity in proptest::option::of(any_identity()),
        start in prop_oneof![Just(0), any::<u64>()],
        runs in vec((0..3, prop_oneof![1..20u64, 1..1u64 << 40, any::<u64>()]), 0..30),
    ) -> Map {
        let mut map = Map { identity, extent: range(start, start), ..Map::default() };
        for (status, length) in runs {
            let run = range(map.extent.end(), map.extent.end().saturating_add(length));
            match status {
                0 => map.done.insert(run),
                1 => map.failed.insert(run),
                _ => {}
            }
            map.extent = range(start, run.end());
        }
        map
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_map_makes_the_round_trip(map in any_map()) {
        prop_assert_eq!(Map::from_bytes(&map.to_bytes()).unwrap(), map);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(words in vec(prop_oneof![
        Just("# pcopy version 1\n"), Just("# pcopy "), Just("checksum crc32c "), Just("0x"), Just("0"), Just("9"),
        Just("18446744073709551615"), Just(" "), Just("\n"), Just("+"), Just("?"), Just("-"), Just("\u{0}"), Just("é"),
    ], 0..40)) {
        let _ = Map::from_bytes(words.concat().as_bytes());
    }
}
