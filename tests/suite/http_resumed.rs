//! Copies that are resumed from servers that say little of what they hand out: two
//! objects never become one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::common::{Ended, Run, Scene, assert_same, pattern};
#[cfg(feature = "s3")]
use crate::s3_upload::{PART, maps};
use crate::server::{Object, Reply, Server};

const LEN: usize = 1_000_001;

/// What a server says of two objects: tags, and the time of the last change.
type Said = (&'static str, &'static str, Option<&'static str>);

/// Where the tag differs, and where nothing does.
const SAID: [Said; 6] = [
    ("W/\"one\"", "W/\"two\"", None),
    ("one", "two", None),
    ("\"one", "\"two", Some("Sun, 06 Nov 1994 08:49:37 GMT")),
    ("", "", None),
    ("", "", Some("yesterday")),
    ("", "", Some("Sunday, 06-Nov-94 08:49:37 GMT")),
];

/// One after the other under one address: the first up to byte `cut`, the second, and the
/// first again.
struct Served {
    server: Server,
    phase: Arc<AtomicUsize>,
    first: Vec<u8>,
    second: Vec<u8>,
}

impl Served {
    fn new(said: Said, len: usize, cut: u64) -> Served {
        let (first, second) = (pattern(1, len), pattern(2, len));
        let object = |bytes: &[u8], tag: &str| Object {
            modified: said.2.map(str::to_owned),
            ..Object::new(bytes).tagged(tag)
        };
        let (before, after) = (object(&first, said.0), object(&second, said.1));
        let phase = Arc::new(AtomicUsize::new(0));
        let now = Arc::clone(&phase);
        let server = Server::start(move |request| match now.load(SeqCst) {
            0 if request.range().is_none_or(|range| range.end > cut) => Reply::status(404),
            1 => after.answer(request),
            _ => before.answer(request),
        });
        Served { server, phase, first, second }
    }
}

fn run(run: Run, service: Option<&[(&'static str, String)]>) -> Ended {
    let mut run = run;
    run.command.envs(service.unwrap_or_default().iter().cloned());
    run.run()
}

#[test]
fn another_object_is_seen_though_its_server_says_little_of_it() {
    for said in SAID {
        let (scene, served) = (Scene::new(), Served::new(said, LEN, 600_000));
        let url = served.server.url("x");
        let words = ["--io-size", "64KiB", "--stripe-size", "64KiB", "--threads", "1"];
        let words = [&words[..], &["--checkpoint-every", "0", &url, "copy"]].concat();
        let copy = |more: &[&str]| run(scene.pcopy(more.iter().chain(&words)), None);
        copy(&[]).code(5).says(&["--resume"]);
        served.phase.store(1, SeqCst);
        let report = copy(&["--resume", "--json"]).code(3).report();
        assert_eq!(report["error_kind"], "not_what_was_copied", "{said:?}: {report}");
        assert!(!scene.has("copy"));
        served.phase.store(2, SeqCst);
        let ended = copy(&["--resume", "-v", "--json"]).code(0);
        let report = ended.report();
        assert!(report["bytes"]["resumed"].as_u64() > Some(300_000), "{said:?}: {report}");
        let tells = report["notes"].to_string().contains("neither tag nor time");
        assert_eq!(tells, said.0.is_empty(), "{said:?}: {report}");
        assert_same(&scene.read("copy"), &served.first, "the copy");
        // The user may say that it is the same.
        served.phase.store(0, SeqCst);
        copy(&["--restart", "--force"]).code(5);
        served.phase.store(2, SeqCst);
        copy(&["--resume", "--allow-changed-source", "--force"]).code(0);
    }
}

#[test]
fn a_batch_copies_another_object_anew() {
    for said in SAID {
        let (scene, served) = (Scene::new(), Served::new(said, 9_000_000, 6_000_000));
        let url = served.server.url("x");
        scene.write("list.csv", b"name,start,len\nlarge,0,9000000\n");
        let words = ["batch", "--io-size", "64KiB", "--source", &url, "--into", "out"];
        let words = [&words[..], &["--json", "list.csv"]].concat();
        run(scene.pcopy(&words), None).code(1);
        served.phase.store(1, SeqCst);
        run(scene.pcopy([&words[..], &["--resume"]].concat()), None).code(0);
        assert_same(&scene.read("out/large"), &served.second, &format!("{said:?}"));
    }
}

#[cfg(feature = "s3")]
#[test]
fn an_upload_is_never_of_two_objects() {
    for said in [SAID[0], SAID[1], SAID[3]] {
        let (scene, service) = (Scene::new(), crate::server::s3::S3::new());
        let served = Served::new(said, 2 * PART + 5, PART as u64);
        let url = served.server.url("x");
        let words = ["--threads", "1", "--json", &url, "s3://b/x"];
        let environment = service.environment();
        let copy = |more: &[&str]| run(scene.pcopy(more.iter().chain(&words)), Some(&environment));
        copy(&[]).code(5);
        served.phase.store(1, SeqCst);
        let report = copy(&["--resume"]).code(3).report();
        assert_eq!(report["error_kind"], "not_what_was_copied", "{said:?}: {report}");
        served.phase.store(2, SeqCst);
        let report = copy(&["--resume"]).code(0).report();
        assert_eq!(report["bytes"]["resumed"].as_u64(), Some(PART as u64), "{report}");
        assert_same(&service.get("/b/x").unwrap(), &served.first, "the object");
        assert_eq!(maps(&scene).len(), 0);
    }
}
