//! Transfers from a server that has a fault now and then, by seeds: no byte is
//! ever wrong, a change of the object is always noticed, and whatever else ends a
//! copy leaves one that can be resumed.
//!
//! `PCOPY_TRANSFERS` says how many; the long tier makes 10,000.

use std::time::Duration;

use pcopy::options::Remote;
use pcopy::testing::Random;
use pcopy::{CopyJob, ErrorKind, Leftovers, Options};

use crate::common::{Scene, assert_same, pattern, rounds};
use crate::server::{Body, Object, Reply, Request, Server};

/// What one seed means.
struct Case {
    bytes: Vec<u8>,
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
        Case { bytes: pattern(seed, len), faults, changes_at, random }
    }

    fn other(&self) -> Object {
        Object::new(&self.bytes.iter().map(|byte| !byte).collect::<Vec<_>>()).tagged("\"two\"")
    }
}

/// `/SEED/faulty` or `/SEED/well`, and how many requests of it came before.
fn answer(request: &Request, before: usize) -> Reply {
    let mut parts = request.target.split('/').skip(1);
    let seed: u64 = parts.next().unwrap().parse().unwrap();
    let case = Case::new(seed);
    let is_faulty = parts.next() == Some("faulty");
    let object = match case.changes_at {
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
    match random.below(200) {
        0 => reply.way(Body::Stalled(random.below(len as u64 + 1) as usize)),
        1..=60 => reply.way(Body::Cut(random.below(len as u64 + 1) as usize)),
        61..=80 => Reply { closes: true, ..reply },
        81..=95 => reply.way(Body::Chunked),
        96..=105 => reply.way(Body::ToTheEnd),
        106..=120 => {
            let described =
                format!("bytes {}-{}/{}", range.start + 1, range.end, case.bytes.len() + 1);
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
        _ => Reply::status(429).with("Retry-After", 0),
    }
}

fn options(random: &mut Random) -> Options {
    let mut remote = Remote::default();
    (remote.max_retries, remote.timeout) = (4, Duration::from_millis(200));
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
    let counts: std::sync::Mutex<std::collections::HashMap<String, usize>> = Default::default();
    let server = Server::start(move |request| {
        let mut counts = counts.lock().unwrap();
        let count = counts.entry(request.target.clone()).or_default();
        let before = std::mem::replace(count, *count + 1);
        drop(counts);
        answer(request, before)
    });
    let (mut complete, mut resumed, mut changed) = (0, 0, 0);
    for seed in 0..rounds("PCOPY_TRANSFERS", 40) {
        let (scene, mut case) = (Scene::new(), Case::new(seed));
        let len = case.bytes.len() as u64;
        let start = case.random.below(len);
        let end = start + 1 + case.random.below(len - start);
        let options = options(&mut case.random);
        let job = |how: &str| {
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
            Err(ErrorKind::SourceChanged { .. }) => {
                assert!(case.changes_at.is_some(), "seed {seed}: nothing changed");
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
    assert!(
        complete > 0 && changed > 0,
        "{complete} complete, {resumed} resumed, {changed} changed"
    );
}
