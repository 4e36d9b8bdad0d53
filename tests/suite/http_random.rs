//! Transfers from a server that has a fault now and then, by seeds: no byte is
//! ever wrong, a change of the object is always noticed, and whatever else ends a
//! copy leaves one that can be resumed.
//!
//! `PCOPY_TRANSFERS` says how many; the long tier makes 10,000.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pcopy::options::Remote;
use pcopy::testing::Random;
use pcopy::{CopyJob, ErrorKind, Leftovers, Options};

use crate::common::{Scene, assert_same, pattern, rounds};
use crate::server::{Body, CA, Object, Reply, Request, Server};

/// What one seed means.
struct Case {
    bytes: Vec<u8>,
    /// Whether it is asked for by `https:`.
    is_secure: bool,
    /// Whether its server says now and then what is not so: that its tag is weak, or
    /// that it has another length.
    lies: bool,
    /// Faults among 100 answers.
    faults: u64,
    /// From this request of it on, it is another object.
    changes_at: Option<usize>,
    random: Random,
}

impl Case {
    fn new(seed: u64) -> Case {
        let mut random = Random::new(seed);
        let len = 1 + random.below(400_000) as usize;
        let faults = random.below(40);
        let changes_at = random.chance(1, 3).then(|| 1 + random.below(20) as usize);
        let (is_secure, lies) = (random.chance(1, 8), random.chance(1, 8));
        Case { bytes: pattern(seed, len), is_secure, lies, faults, changes_at, random }
    }

    fn other(&self) -> Object {
        Object::new(&self.bytes.iter().map(|byte| !byte).collect::<Vec<_>>()).tagged("\"two\"")
    }
}

/// `/SEED/faulty`, `/SEED/well`, or `/SEED/other`, where something else is; and how
/// many requests of it came before.
fn answer(request: &Request, before: usize) -> Reply {
    let mut parts = request.target.split('/').skip(1);
    let seed: u64 = parts.next().unwrap().parse().unwrap();
    let case = Case::new(seed);
    let how = parts.next();
    let is_faulty = how == Some("faulty");
    let object = match case.changes_at {
        _ if how == Some("other") => case.other(),
        Some(at) if is_faulty && before >= at => case.other(),
        _ => Object::new(&case.bytes),
    };
    let reply = object.answer(request);
    let mut random = Random::new(seed ^ (before as u64).rotate_left(32));
    if !is_faulty || before == 0 || !random.chance(case.faults, 100) {
        return reply;
    }
    let len = reply.body.len();
    let range = request.range().unwrap();
    let some = |random: &mut Random| random.below(len as u64 + 1) as usize;
    match random.below(260) {
        0 => reply.way(Body::Stalled(some(&mut random))),
        1..=50 => reply.way(Body::Cut(some(&mut random))),
        51..=60 => reply.way(Body::HalfClosed(some(&mut random))),
        61..=80 => Reply { closes: true, ..reply },
        81..=95 => reply.way(Body::Chunked),
        96..=105 => reply.way(Body::ToTheEnd),
        106..=120 => {
            let described = format!("bytes {}-{}/{}", range.start + 1, range.end, case.bytes.len());
            reply.with("Content-Range", described)
        }
        121..=130 => reply.without("Content-Range"),
        131..=140 => {
            let mut reply = reply;
            reply.body.push(0);
            reply.way(Body::Chunked)
        }
        141..=150 => Reply { body: vec![b'<'; 100], ..Reply::status(502) },
        151..=175 => Reply::status(503).with("Retry-After", 0),
        176..=190 => Reply::status(429).with("Retry-After", 0),
        191..=200 => reply.way(Body::Dribble(50)),
        201..=210 => reply.way(Body::ChunkedCut(some(&mut random))),
        // Earlier bytes than those that were asked for.
        211..=220 if range.start > 0 => {
            let described =
                format!("bytes {}-{}/{}", range.start - 1, range.end - 2, case.bytes.len());
            reply.with("Content-Range", described)
        }
        // No HTTP, or no TLS.
        221..=225 => Reply { body: random.bytes(200), ..Reply::default() }.way(Body::Torn),
        226..=230 => Reply { body: random.bytes(200), ..Reply::default() }.way(Body::Raw),
        231..=233 => reply.with("Content-Encoding", "gzip"),
        234..=236 => object.whole(),
        237..=239 => Reply::status(302).with("Location", format!("/{seed}/other")),
        240..=242 => Reply::status(404),
        243..=244 if case.lies => reply.with("ETag", "W/\"one\""),
        245..=246 if case.lies => {
            let described = format!("bytes {}-{}/999999", range.start, range.end - 1);
            reply.with("Content-Range", described)
        }
        _ => reply.way(Body::Cut(0)),
    }
}

fn options(random: &mut Random) -> Options {
    let mut remote = Remote::default();
    (remote.max_retries, remote.timeout) = (4, Duration::from_secs(1));
    remote.ca_file = Some(CA.into());
    let mut options = Options::default();
    options.remote = remote;
    options.threads = (1 + random.below(5) as usize).into();
    options.io_size = Some((4096 << random.below(5)).into());
    options.stripe_size = Some((65_536 << random.below(2)).into());
    options.checkpoint_every = Duration::ZERO;
    options.sync = random.chance(1, 8);
    options
}

#[test]
fn no_fault_of_a_server_makes_a_wrong_byte() {
    let counts: Arc<Mutex<HashMap<String, usize>>> = Default::default();
    let handler = move |request: &Request| {
        let mut counts = counts.lock().unwrap();
        let count = counts.entry(request.target.clone()).or_default();
        let before = std::mem::replace(count, *count + 1);
        drop(counts);
        answer(request, before)
    };
    let (plain, secure) = (Server::start(handler.clone()), Server::secure(handler));
    let (mut complete, mut resumed, mut changed) = (0, 0, 0);
    for seed in 0..rounds("PCOPY_TRANSFERS", 40) {
        let (scene, mut case) = (Scene::new(), Case::new(seed));
        let len = case.bytes.len() as u64;
        let start = case.random.below(len);
        let end = start + 1 + case.random.below(len - start);
        let options = options(&mut case.random);
        let job = |how: &str| {
            let server = if case.is_secure { &secure } else { &plain };
            let url = server.url(&format!("{seed}/{how}"));
            let mut options = options.clone();
            options.range = (start..end).into();
            CopyJob::new(url, scene.path("copy")).options(options)
        };
        let wanted = &case.bytes[start as usize..end as usize];
        let result = job("faulty").run();
        match result.as_ref().map_err(|error| error.kind()) {
            Ok(report) => {
                assert!(report.is_complete(), "seed {seed}: {report:?}");
                complete += 1;
            }
            Err(ErrorKind::SourceChanged { change, .. }) => {
                let may = case.changes_at.is_some() || case.lies;
                assert!(may, "seed {seed}: nothing changed, but {change}");
                assert!(!scene.has("copy"), "seed {seed}");
                changed += 1;
                continue;
            }
            Err(ErrorKind::Read { .. }) => {
                // The address is another one; the bytes show that it is the same object.
                let job = job("well").leftovers(Leftovers::Resume);
                job.run().unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
                resumed += 1;
            }
            Err(error) => panic!("seed {seed}: {error:?}"),
        }
        assert_same(&scene.read("copy"), wanted, &format!("seed {seed}"));
    }
    println!(
        "measured: transfers with faults: {complete} complete, {resumed} resumed, {changed} \
         changed, 0 wrong bytes"
    );
    assert!(complete > 0 && changed > 0 && resumed > 0);
}

/// Something like a head: a few bytes of it changed, added, or gone.
fn fuzzed(head: &mut Vec<u8>, random: &mut Random) {
    const ODD: &[u8] = b"\r\n:;/- ,*0192\0\xff\x7f";
    for _ in 0..1 + random.below(6) {
        if head.is_empty() {
            return;
        }
        let at = random.below(head.len() as u64) as usize;
        let odd = match random.chance(1, 2) {
            true => ODD[random.below(ODD.len() as u64) as usize],
            false => random.below(256) as u8,
        };
        match random.below(6) {
            0 | 1 => head[at] = odd,
            2 => head.insert(at, odd),
            3 => drop(head.remove(at)),
            4 => head.truncate(at + 1),
            _ => {
                let many = 1 + random.below(3000) as usize;
                head.splice(at..at, std::iter::repeat_n(odd, many));
            }
        }
    }
}

/// Whatever comes instead of a reply: an error or a copy, and soon.
#[test]
fn replies_that_are_hardly_any_neither_panic_nor_hang() {
    let bytes = pattern(1, 50_000);
    let object = Object::new(&bytes);
    let server = Server::start(move |request| {
        // Where a fuzzed redirection has led.
        let Ok(seed) = request.target[1..].parse::<u64>() else { return Reply::status(404) };
        let mut random = Random::new(seed ^ (request.number as u64).rotate_left(40));
        // Every other seed gets as far as the first bytes.
        let is_first = request.range() == Some(0..1);
        let reply = match random.below(5) {
            0 => object.whole(),
            1 => Reply::status(302).with("Location", "/1"),
            // Without a time, which would be waited for if it became 90 s.
            2 => Reply::status(503),
            _ => object.answer(request),
        };
        if is_first && seed.is_multiple_of(2) {
            return object.answer(request);
        }
        let mut head = crate::server::head(&reply);
        fuzzed(&mut head, &mut random);
        head.extend(&reply.body);
        Reply { body: head, ..Reply::default() }.way(Body::Raw)
    });
    let (mut copied, mut longest) = (0, Duration::ZERO);
    let count = rounds("PCOPY_FUZZED_REPLIES", 200);
    for seed in 0..count {
        let (scene, mut random) = (Scene::new(), Random::new(seed));
        let mut options = options(&mut random);
        options.remote.max_retries = 2;
        options.remote.timeout = Duration::from_millis(100);
        let begin = std::time::Instant::now();
        let job = CopyJob::new(server.url(&seed.to_string()), scene.path("copy"));
        match job.options(options).run() {
            Ok(_) => copied += 1,
            Err(error) => {
                let is_panic = matches!(error.kind(), ErrorKind::WorkerPanicked { .. });
                assert!(!is_panic, "seed {seed}: {error:?}");
                assert!(!scene.has("copy"), "seed {seed}: {error:?}");
            }
        }
        longest = longest.max(begin.elapsed());
        assert!(begin.elapsed() < Duration::from_secs(30), "seed {seed}: {:?}", begin.elapsed());
    }
    println!(
        "measured: fuzzed replies: {count} copies, {copied} came through, longest {longest:?}"
    );
}
