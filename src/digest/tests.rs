//! Digests of pieces compared with published values, and what happens to pieces
//! that are late, missing or wrong.

mod random_order;

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;
use crate::range::ByteRange;
use crate::words::{self, Word};

/// Algorithms that take pieces in any order.
const UNORDERED: [Algorithm; 2] = [Algorithm::Blake3, Algorithm::Crc32c];

/// The input of the official BLAKE3 test vectors.
fn pattern(len: usize) -> Vec<u8> {
    (0..=250).cycle().take(len).collect()
}

fn piece(start: u64, end: u64) -> ByteRange {
    ByteRange::new(start, end).expect("runs forward")
}

fn update(digester: &Digester, data: &[u8], base: u64, piece: ByteRange) -> Result<(), Abandoned> {
    let from = (piece.start() - base) as usize;
    digester.update(piece.start(), &data[from..from + piece.len() as usize])
}

#[test]
fn published_digests() {
    let check = |algorithm, data: &[u8], expected: &str| {
        assert_eq!(
            hash_slice(algorithm, data).to_string(),
            expected,
            "{algorithm} of {} bytes",
            data.len()
        );
    };
    check(
        Algorithm::Sha256,
        b"",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    );
    check(
        Algorithm::Sha256,
        b"abc",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    );
    check(Algorithm::Sha1, b"", "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    check(Algorithm::Sha1, b"abc", "a9993e364706816aba3e25717850c26c9cd0d89d");
    check(Algorithm::Md5, b"", "d41d8cd98f00b204e9800998ecf8427e");
    check(Algorithm::Md5, b"abc", "900150983cd24fb0d6963f7d28e17f72");
    // RFC 3720, B.4.
    check(Algorithm::Crc32c, b"", "00000000");
    check(Algorithm::Crc32c, b"123456789", "e3069283");
    check(Algorithm::Crc32c, &[0; 32], "8a9136aa");
    check(Algorithm::Crc32c, &[0xff; 32], "62a8ab43");
    check(Algorithm::Crc32c, &(0..32).collect::<Vec<u8>>(), "46dd794e");
    check(Algorithm::Xxh3, b"", "2d06800538d394c2");
    check(Algorithm::Xxh3, b"123456789", "72dcb18b67a17dff");
}

/// First 32 bytes of the hashes in the official BLAKE3 test vectors.
const BLAKE3_VECTORS: &[(usize, &str)] = &[
    (0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
    (1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"),
    (1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11"),
    (1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"),
    (1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"),
    (2048, "e776b6028c7cd22a4d0ba182a8bf62205d2ef576467e838ed6f2529b85fba24a"),
    (2049, "5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030"),
    (3072, "b98cb0ff3623be03326b373de6b9095218513e64f1ee2edd2525c7ad1e5cffd2"),
    (3073, "7124b49501012f81cc7f11ca069ec9226cecb8a2c850cfe644e327d22d3e1cd3"),
    (4096, "015094013f57a5277b59d8475c0501042c0b642e531b0a1c8f58d2163229e969"),
    (4097, "9b4052b38f1c5fc8b1f9ff7ac7b27cd242487b3d890d15c96a1c25b8aa0fb995"),
    (5120, "9cadc15fed8b5d854562b26a9536d9707cadeda9b143978f319ab34230535833"),
    (5121, "628bd2cb2004694adaab7bbd778a25df25c47b9d4155a55f8fbd79f2fe154cff"),
    (6144, "3e2e5b74e048f3add6d21faab3f83aa44d3b2278afb83b80b3c35164ebeca205"),
    (6145, "f1323a8631446cc50536a9f705ee5cb619424d46887f3c376c695b70e0f0507f"),
    (7168, "61da957ec2499a95d6b8023e2b0e604ec7f6b50e80a9678b89d2628e99ada77a"),
    (7169, "a003fc7a51754a9b3c7fae0367ab3d782dccf28855a03d435f8cfe74605e7817"),
    (8192, "aae792484c8efe4f19e2ca7d371d8c467ffb10748d8a5a1ae579948f718a2a63"),
    (8193, "bab6c09cb8ce8cf459261398d2e7aef35700bf488116ceb94a36d0f5f1b7bc3b"),
    (16384, "f875d6646de28985646f34ee13be9a576fd515f76b5b0a26bb324735041ddde4"),
    (31744, "62b6960e1a44bcc1eb1a611a8d6235b6b4b78f32e7abc4fb4c6cdcce94895c47"),
    (102400, "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085"),
];

#[test]
fn official_blake3_vectors_in_any_order() {
    for &(len, expected) in BLAKE3_VECTORS {
        let data = pattern(len);
        assert_eq!(
            hash_slice(Algorithm::Blake3, &data).to_string(),
            expected,
            "{len} bytes at once"
        );
        for (size, open_ended) in
            [1, 1000, 1024, 4096, 65536].into_iter().flat_map(|size| [(size, false), (size, true)])
        {
            let digester = match open_ended {
                true => Digester::open_ended(&[Algorithm::Blake3], 0),
                false => Digester::new(&[Algorithm::Blake3], ByteRange::to(len as u64)),
            };
            let pieces: Vec<_> = ByteRange::to(len as u64).pieces(size).collect();
            for &piece in pieces.iter().rev() {
                update(&digester, &data, 0, piece).expect("not abandoned");
            }
            digester.end_at(len as u64);
            let digests = digester.finish().expect("complete");
            let how = format!("{len} bytes by {size}, last first, open-ended: {open_ended}");
            assert_eq!(digests[0].to_string(), expected, "{how}");
        }
    }
}

#[test]
fn large_holes_hash_like_the_zeros_they_are() {
    const MIB: u64 = 1 << 20;
    let range = ByteRange::with_len(12_345, 21 * MIB + 77).expect("fits");
    let holes = [
        piece(range.start() + 5, range.start() + 9 * MIB),
        piece(range.start() + 10 * MIB, range.end()),
    ];
    let data = [pattern(5), vec![0; (9 * MIB - 5) as usize], pattern(MIB as usize)].concat();
    let digester = Digester::new(&UNORDERED, range);
    digester.update_zeroes(holes[1]).expect("not abandoned");
    digester.update_zeroes(holes[0]).expect("not abandoned");
    for data_piece in [piece(9 * MIB, 10 * MIB), piece(0, 5)] {
        let place = data_piece.rebase(0, range.start()).expect("fits");
        update(&digester, &data, range.start(), place).expect("not abandoned");
    }
    let expected = UNORDERED.map(|algorithm| {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(&data);
        hasher.update_zeroes(holes[1].len());
        hasher.finalize()
    });
    assert_eq!(digester.finish().as_deref(), Some(&expected[..]));
}

#[test]
fn crc32c_of_a_huge_hole_is_that_of_its_zeros() {
    // Longer than a 32-bit count, still short enough to hash for comparison.
    let (len, block) = ((4 << 30) + (1 << 20), vec![0; 1 << 20]);
    let mut hasher = Hasher::new(Algorithm::Crc32c);
    (0..len >> 20).for_each(|_| hasher.update(&block));
    let digester = Digester::new(&[Algorithm::Crc32c], ByteRange::to(len));
    digester.update_zeroes(piece(1, len)).expect("not abandoned");
    digester.update_zeroes(piece(0, 1)).expect("not abandoned");
    assert_eq!(digester.finish(), Some(vec![hasher.finalize()]));
}

#[test]
fn zeros_stream_like_a_buffer_of_zeros() {
    for algorithm in Algorithm::ALL {
        for len in [0, 1, 1024, 100_000] {
            let mut hasher = Hasher::new(algorithm);
            hasher.update(b"x");
            hasher.update_zeroes(len as u64);
            let data = [b"x".to_vec(), vec![0; len]].concat();
            assert_eq!(hasher.finalize(), hash_slice(algorithm, &data), "{algorithm}, {len} zeros");
        }
    }
}

/// Hands over pieces and expects no digest, and no call that waits for ever.
fn check_incomplete(pieces: &[(u64, u64)]) {
    for algorithm in Algorithm::ALL {
        let digester = Digester::new(&[algorithm], piece(1000, 9000));
        for &(start, end) in pieces {
            let len = (end - start) as usize;
            digester.update(start, &vec![7; len]).expect("not abandoned");
        }
        assert_eq!(digester.finish(), None, "{algorithm} of {pieces:?}");
    }
}

#[test]
fn missing_repeated_and_foreign_pieces_give_no_digest() {
    check_incomplete(&[]);
    check_incomplete(&[(1000, 8999)]);
    check_incomplete(&[(1000, 5000), (1000, 5000), (5000, 9000)]);
    check_incomplete(&[(1000, 9000), (8999, 9000)]);
    check_incomplete(&[(1000, 9001)]);
    check_incomplete(&[(999, 1001), (1001, 9000)]);
}

#[test]
fn an_empty_range_and_no_algorithms_are_complete() {
    let digests = Digester::new(&Algorithm::ALL, piece(77, 77)).finish();
    assert_eq!(digests, Some(Algorithm::ALL.map(|a| hash_slice(a, b"")).to_vec()));
    let digester = Digester::new(&[], ByteRange::to(3));
    digester.update(0, b"abc").expect("not abandoned");
    assert_eq!(digester.finish(), Some(Vec::new()));
}

#[test]
fn no_bytes_change_nothing_wherever_they_are() {
    let digester = Digester::new(&Algorithm::ALL, ByteRange::between(10, 13));
    for at in [0, 10, 12, 13, 99] {
        digester.update(at, b"").expect("not abandoned");
    }
    digester.update(10, b"abc").expect("not abandoned");
    digester.update(10, b"").expect("not abandoned");
    let expected: Vec<_> = Algorithm::ALL.iter().map(|&one| hash_slice(one, b"abc")).collect();
    assert_eq!(digester.finish(), Some(expected));
}

#[test]
fn digests_come_once_each_in_the_order_they_were_named() {
    let algorithms =
        [Algorithm::Xxh3, Algorithm::Blake3, Algorithm::Xxh3, Algorithm::Md5, Algorithm::Blake3];
    let digester = Digester::new(&algorithms, ByteRange::to(3));
    digester.update(0, b"abc").expect("not abandoned");
    let expected =
        [Algorithm::Xxh3, Algorithm::Blake3, Algorithm::Md5].map(|a| hash_slice(a, b"abc"));
    assert_eq!(digester.finish().as_deref(), Some(&expected[..]));
}

#[test]
fn an_ordered_digest_holds_a_later_piece_back() {
    let digester = Digester::new(&[Algorithm::Sha256, Algorithm::Md5], ByteRange::to(6));
    let first_came = AtomicBool::new(false);
    thread::scope(|scope| {
        let later = scope.spawn(|| {
            digester.update(3, b"def").expect("not abandoned");
            first_came.load(Ordering::SeqCst)
        });
        first_came.store(true, Ordering::SeqCst);
        digester.update(0, b"abc").expect("not abandoned");
        assert!(later.join().expect("no panic"), "returned before its predecessor came");
    });
    assert!(digester.finish().is_some());
}

/// Lets eight workers wait for a first piece that never comes, ends it with
/// `stop`, and returns what the workers and a late call got.
fn stop_waiters(stop: fn(&Digester)) -> Vec<Result<(), Abandoned>> {
    let digester = Digester::new(&[Algorithm::Sha256, Algorithm::Blake3], ByteRange::to(90));
    let all_there = Barrier::new(9);
    let mut results: Vec<_> = thread::scope(|scope| {
        let waiters = [10, 20, 30, 40, 50, 60, 70, 80].map(|start| {
            let (digester, all_there) = (&digester, &all_there);
            scope.spawn(move || {
                all_there.wait();
                digester.update(start, &[1; 10])
            })
        });
        all_there.wait();
        stop(&digester);
        waiters.map(|waiter| waiter.join().expect("no panic")).to_vec()
    });
    results.push(digester.update(0, &[1; 10]));
    assert_eq!(digester.finish(), None);
    results
}

#[test]
fn waiting_workers_are_released() {
    assert_eq!(stop_waiters(Digester::abandon), [Err(Abandoned); 9]);
    assert_eq!(stop_waiters(Digester::spoil), [Ok(()); 9]);
    assert_eq!(
        stop_waiters(|digester| (digester.abandon(), digester.spoil()).0),
        [Err(Abandoned); 9]
    );
}

#[test]
fn names_are_those_of_the_command_line() {
    let names = ["blake3", "sha256", "sha1", "md5", "crc32c", "xxh3"];
    for (algorithm, name) in Algorithm::ALL.into_iter().zip(names) {
        assert_eq!(algorithm.to_string(), name);
        assert_eq!(name.parse(), Ok(algorithm));
        assert_eq!((algorithm.word(), words::parse(name)), (name, Ok(algorithm)));
        assert_eq!(serde_json::to_value(algorithm).expect("serializes"), name);
        assert_eq!(hash_slice(algorithm, b"").bytes().len(), algorithm.digest_len());
    }
    let digest = hash_slice(Algorithm::Crc32c, b"123456789");
    assert_eq!(serde_json::to_value(&digest).expect("serializes"), "e3069283");
    assert!(!ordered(&UNORDERED));
    assert!(ordered(&[Algorithm::Blake3, Algorithm::Xxh3]));
    for algorithms in [&UNORDERED[..], &[], &[Algorithm::Blake3, Algorithm::Xxh3], &Algorithm::ALL]
    {
        let digester = Digester::new(algorithms, ByteRange::to(3));
        assert_eq!(digester.is_ordered(), ordered(algorithms), "{algorithms:?}");
    }
}

#[test]
fn each_algorithm_is_told_from_the_others_in_a_line() {
    let lines: Vec<_> = Algorithm::ALL.iter().map(|one| one.about()).collect();
    for (line, tool) in lines.iter().zip(["b3", "sha256", "sha1", "md5", "rhash", "xxh"]) {
        assert!(line.contains(&format!("as {tool}")), "{line}");
    }
}

/// What differs from an expected digest, or was not computed, is refused by name.
#[test]
fn every_digest_that_is_expected_must_be_there() {
    let [found, other] = [b"abc", b"abx"].map(|bytes| hash_slice(Algorithm::Sha256, bytes));
    let found = [hash_slice(Algorithm::Md5, b"abc"), found];
    let expected = |digest: &Digest| -> Expectation {
        format!("{}:{digest}", digest.algorithm()).parse().expect("a digest")
    };
    check(&found, &[]).expect("nothing is expected");
    check(&found, &[expected(&found[1]), expected(&found[0])]).expect("both are there");
    for is_stated in [false, true] {
        let by = if is_stated { check_stated } else { check };
        let error = by(&found, &[expected(&found[0]), expected(&other)]).unwrap_err();
        let ErrorKind::DigestMismatch { algorithm, actual, expected: wanted, stated } =
            error.into_kind()
        else {
            panic!("another error");
        };
        assert_eq!((algorithm, stated), ("sha256", is_stated));
        assert_eq!((actual, wanted), (found[1].to_string(), other.to_string()));
        let error = by(&found[..1], &[expected(&found[1])]).unwrap_err();
        assert!(error.to_string().contains("unknown"), "{error}");
    }
}
