//! Bytes nobody meant to be a manifest, and items on their way through a
//! report and back.

use proptest::prelude::*;

use super::*;
use crate::digest::{Algorithm, Expectation};
use crate::manifest::{Details, Item, Run, Runs, check};
use crate::range::ByteRange;

const FORMATS: [Format; 14] = [
    Format::Csv,
    Format::Tsv,
    Format::Jsonl,
    Format::Plain,
    Format::Dfxml,
    Format::Filefrag,
    Format::Mapfile,
    Format::Bmap,
    Format::Mmls,
    Format::Sfdisk,
    Format::Parted,
    Format::Lsblk,
    Format::QemuMap,
    Format::Rawprogram,
];

/// A right text of each format, to be damaged.
fn seed(format: Format) -> &'static str {
    match format {
        Format::Csv => "name,start,len,mtime,md5\n\"a\"\"b\",0x10,1KiB,2026-01-01T00:00:00Z,\n",
        Format::Tsv => "name\tstart\tlast\tunit\na\t1\t2\tsector\n",
        Format::Jsonl => {
            "{\"name\":\"a\",\"runs\":[{\"start\":1,\"len\":2},{\"hole\":true,\"len\":3}]}\n"
        }
        Format::Plain => "#pcopy v1 end=inclusive unit=sector base=5\n1 2 \"a\"\"\"\n",
        Format::Dfxml => super::imports::FIWALK,
        Format::Filefrag => super::imports::FILEFRAG,
        Format::Mapfile => super::imports::MAPFILE,
        Format::Bmap => super::imports::BMAP,
        Format::Mmls => super::imports::MMLS,
        Format::Sfdisk => super::foreign::SFDISK,
        Format::Parted => super::disks::PARTED,
        Format::Lsblk => super::disks::LSBLK,
        Format::QemuMap => super::disks::QEMU_MAP,
        Format::Rawprogram => super::disks::RAWPROGRAM,
    }
}

/// Reads and checks; all that matters is that it comes back.
fn survives(input: &[u8], format: Option<Format>) {
    let disk_size = Some(1 << 40);
    let own = ReadOptions { own_offsets: true, disk_size, size_of: &|_| disk_size, ..options() };
    for options in [options(), own] {
        if let Ok(manifest) = load(input, format, &options, |_| disk_size) {
            for item in &manifest.items {
                let _ = serde_json::to_string(item).expect("an item is JSON");
            }
        }
    }
}

fn runs() -> impl Strategy<Value = Runs> {
    let run = prop_oneof![
        (0..1u64 << 40, 1..1u64 << 30)
            .prop_map(|(at, len)| Run::Data(ByteRange::between(at, at + len))),
        (1..1u64 << 40).prop_map(Run::Hole),
    ];
    prop_oneof![Just(Runs::Whole), prop::collection::vec(run, 0..5).prop_map(Runs::from_pieces)]
}

fn details() -> impl Strategy<Value = Details> {
    let expected = (0..Algorithm::ALL.len(), any::<[u8; 32]>()).prop_map(|(n, bytes)| {
        let algorithm = Algorithm::ALL[n];
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Expectation::new(algorithm, &hex[..algorithm.digest_len() * 2]).expect("hexadecimal")
    });
    (
        prop::option::of("[a-z \"\\\\é\n]{1,8}"),
        prop::collection::vec(expected, 0..2),
        prop::option::of(0..=0o777u32),
        prop::option::of((-1i64 << 40..1 << 40, 0..1_000_000_000u32)),
        prop::option::of(any::<u64>()),
    )
        .prop_map(|(id, expected, mode, mtime, file_len)| Details {
            id: id.map(Into::into),
            expected: expected.into(),
            mode,
            mtime,
            file_len,
        })
}

fn item() -> impl Strategy<Value = Item> {
    let letters = if crate::sys::WINDOWS_NAMES { 32..=126u8 } else { 1..=255u8 };
    let name = prop::collection::vec(letters, 1..20);
    (name, prop::option::of("[a-z/]{1,9}"), runs(), 0..1u64 << 40, details()).prop_map(
        |(name, source, runs, dest_offset, details)| Item {
            line: 1,
            name: crate::manifest::path_from_bytes(&name).expect("a path").into(),
            source: source.map(|source| Path::new(&source).into()),
            runs,
            dest_offset,
            details: (details != Details::default()).then(|| Box::new(details)),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(input in prop::collection::vec(any::<u8>(), 0..300)) {
        survives(&input, None);
        FORMATS.into_iter().for_each(|format| survives(&input, Some(format)));
    }

    #[test]
    fn damaged_manifests_never_panic(
        n in 0..FORMATS.len(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..6),
    ) {
        let mut input = seed(FORMATS[n]).as_bytes().to_vec();
        for (index, byte, how) in cuts {
            let at = index.index(input.len().max(1)).min(input.len());
            match how {
                0 => input.truncate(at),
                1 => input.insert(at, byte),
                _ => input.iter_mut().skip(at).take(1).for_each(|old| *old = byte),
            }
        }
        survives(&input, Some(FORMATS[n]));
        survives(&input, None);
    }

    #[test]
    fn an_item_survives_the_report(item in item()) {
        let line = serde_json::to_string(&item).expect("an item is JSON");
        let read = read(line.as_bytes(), Some(Format::Jsonl), &options()).expect("what was written");
        prop_assert_eq!(read.items, vec![item]);
    }

    /// The sweep over sorted neighbours finds a clash where comparing every
    /// two items does.
    #[test]
    fn clashes_are_those_of_every_pair(
        items in prop::collection::vec(("[ab](/[ab!]){0,2}", 0..4u64, 0..4u64), 0..8)
    ) {
        let items: Vec<Item> = items.into_iter().enumerate().map(|(n, (name, at, len))| Item {
            line: n as u64 + 1,
            name: Path::new(&name).into(),
            source: None,
            runs: Runs::One(ByteRange::to(len)),
            dest_offset: at,
            details: None,
        }).collect();
        let clash = |a: &Item, b: &Item| {
            let place = |item: &Item| item.destination(0).expect("small");
            let inside = b.name != a.name && b.name.starts_with(&a.name);
            let (x, y) = (place(a), place(b));
            inside || (a.name == b.name && (x.overlaps(y) || x.start() == y.start()
                || (x.start() < y.start() && y.start() < x.end())))
        };
        let expected = items.iter().enumerate().any(|(n, a)| {
            items.iter().enumerate().any(|(m, b)| n != m && clash(a, b))
        });
        prop_assert_eq!(check(&items, |_| Some(100)).is_err(), expected);
    }
}
