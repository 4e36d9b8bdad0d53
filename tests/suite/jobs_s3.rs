//! Jobs of several processes between files and objects of S3: one upload, whose parts all
//! of them send, and one object; nothing of it is left at the service.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use md5::{Digest, Md5};
use pcopy::testing::Random;

use crate::common::{Running, Scene, assert_same, pattern, rounds, wait_until};
use crate::jobs::recorded;
use crate::s3_upload::{PART, came, maps, open, told};
use crate::server::Reply;
use crate::server::s3::{Fate, KEY, Manners, S3, SECRET, TOKEN, Upload};

const JOB: [&str; 4] = ["--job", "J", "--progress", "none"];

fn start(scene: &Scene, service: &S3, words: &[&str]) -> Running {
    start_with_lease(scene, service, "0.5", words)
}

fn start_with_lease(scene: &Scene, service: &S3, lease: &str, words: &[&str]) -> Running {
    let words = [&["--lease", lease], words].concat();
    let words: Vec<&str> = JOB.iter().chain(&words).copied().collect();
    told(scene, service, &words).start()
}

#[test]
fn several_processes_send_the_parts_of_one_object() {
    for manners in [Manners::default(), Manners { checksums: false, ..Manners::default() }] {
        let scene = Scene::new();
        let source = scene.source("disk.img", 6 * PART + 12345);
        let service = S3::with(manners, |_, _| Fate::Done);
        let words = ["--digest", "blake3", "--digest", "sha256", "--json", "disk.img", "s3://b/f/"];
        // Nobody loses a shard because it had no processor for a moment.
        let one = |_| start_with_lease(&scene, &service, "60", &words);
        let all: Vec<_> = (0..3).map(one).collect();
        let reports: Vec<_> = all.into_iter().map(|one| one.end().code(0).report()).collect();
        assert_same(&service.get("/b/f/disk.img").unwrap(), &source, "the object");
        let copied: u64 = reports.iter().map(|one| one["bytes"]["copied"].as_u64().unwrap()).sum();
        assert_eq!(copied, source.len() as u64);
        assert_eq!(reports[0]["destination"]["path"], "s3://b/f/disk.img");
        assert_eq!(reports[0]["destination"]["kind"], "s3");
        let mut sent: Vec<_> = came(&service).iter().map(|part| (part.number, part.len)).collect();
        sent.sort_unstable();
        let whole = (1..=6).map(|number| (number, PART));
        assert_eq!(sent, whole.chain([(7, 12345)]).collect::<Vec<_>>());
        assert_eq!((open(&service), maps(&scene).len()), (0, 0));
        // As one process says it.
        let plain = ["--digest", "blake3", "--digest", "sha256", "--json", "disk.img", "plain"];
        let plain = told(&scene, &service, &plain).run().code(0).report();
        assert!(reports.iter().all(|one| one["digests"] == plain["digests"]), "{plain}");
        // It is over: nothing is sent again.
        let again = start(&scene, &service, &words).end().code(0).report();
        assert_eq!(again["bytes"]["copied"], 0, "{again}");
        assert_eq!(came(&service).len(), 7);
        service.state(|state| state.objects.clear());
        start(&scene, &service, &words).end().code(3).says(&["the job is over"]);
    }
}

#[test]
fn small_objects_and_ranges_are_made_by_several_too() {
    let (scene, service) = (Scene::new(), S3::new());
    let source = scene.source("source", 2 * PART + 1);
    for (number, range) in [(0, 0..0), (1, 0..1), (2, 5..PART + 6)] {
        let (job, to) = (format!("J{number}"), format!("s3://b/{number}"));
        let range_word = format!("{}..{}", range.start, range.end);
        let words = ["--job", &*job, "-r", &range_word, "source", &to];
        let two: Vec<_> = (0..2).map(|_| told(&scene, &service, &words).start()).collect();
        two.into_iter().for_each(|one| drop(one.end().code(0)));
        assert_same(&service.get(&format!("/b/{number}")).unwrap(), &source[range], &range_word);
    }
    assert_eq!(open(&service), 0);
}

#[test]
fn what_must_not_be_replaced_or_cannot_be_is_refused_before_anything_is_begun() {
    let (scene, service) = (Scene::new(), S3::new());
    let source = scene.source("source", PART + 1);
    service.put("/b/x", b"there");
    start(&scene, &service, &["source", "s3://b/x"]).end().code(3).says(&["--force"]);
    let verify = ["--verify", "source", "s3://b/y"];
    start(&scene, &service, &verify).end().code(2).says(&["--verify", "checksums"]);
    let preserve = ["--preserve", "source", "s3://b/y"];
    start(&scene, &service, &preserve).end().code(2).says(&["--preserve"]);
    assert_eq!((service.get("/b/x").unwrap(), open(&service)), (b"there".to_vec(), 0));
    assert!(came(&service).is_empty());
    start(&scene, &service, &["--force", "source", "s3://b/x"]).end().code(0);
    assert_same(&service.get("/b/x").unwrap(), &source, "replaced as asked");
}

/// Killed anywhere, often enough, the same line makes the object in the end.
#[test]
fn processes_that_are_killed_leave_nothing_at_the_service() {
    let kills = rounds("PCOPY_KILLS", 6);
    let (scene, service) = (Scene::new(), S3::new());
    let source = scene.source("source", 12 * PART + 7);
    let words = ["-t", "2", "--limit-rate", "40MiB", "source", "s3://b/x"];
    let mut random = Random::new(kills);
    for _ in 0..kills {
        let two: Vec<_> = (0..2).map(|_| start(&scene, &service, &words)).collect();
        let (had, asked) = (recorded(&scene), service.server.requests());
        let patience = 1 + random.below(5);
        wait_until("something was asked", || {
            let requests = service.server.requests();
            requests >= asked + patience as usize
                || recorded(&scene) > had + 1
                || service.get("/b/x").is_some()
        });
        two.into_iter().for_each(|one| drop(one.kill()));
    }
    let words = ["--json", "source", "s3://b/x"];
    start(&scene, &service, &words).end().code(0);
    assert_same(&service.get("/b/x").unwrap(), &source, "the object");
    assert_eq!(open(&service), 0, "an upload is left");
    let mut finish = scene.pcopy(["job", "finish", "J"]);
    finish.command.envs(service.environment());
    finish.run().code(0);
}

/// The answer that says that the object is there is lost with the process that waited for it.
#[test]
fn an_object_that_is_complete_and_was_not_noted_is_known_again() {
    let lost = Arc::new(AtomicUsize::new(1));
    let count = Arc::clone(&lost);
    let scene = Scene::new();
    let service = S3::with(Manners::default(), move |request, query| {
        let is_complete = request.method == "POST" && query.contains_key("uploadId");
        match is_complete && count.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok()
        {
            true => Fate::Lost,
            false => Fate::Done,
        }
    });
    let source = scene.source("source", PART + 1);
    let words = ["--max-retries", "0", "source", "s3://b/x"];
    start(&scene, &service, &words).end();
    start(&scene, &service, &words).end().code(0);
    assert_same(&service.get("/b/x").unwrap(), &source, "the object");
    assert_eq!((open(&service), lost.load(SeqCst)), (0, 0));
}

/// A service that refuses to complete an upload as long as the switch says so.
fn incomplete(manners: Manners) -> (S3, Arc<AtomicBool>) {
    let refuses = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&refuses);
    let service = S3::with(manners, move |request, query| {
        let is_complete = request.method == "POST" && query.contains_key("uploadId");
        match is_complete && switch.load(SeqCst) {
            true => refused(403, "AccessDenied"),
            false => Fate::Done,
        }
    });
    (service, refuses)
}

fn refused(status: u16, code: &str) -> Fate {
    let body = format!("<Error><Code>{code}</Code><Message>no</Message></Error>").into_bytes();
    Fate::Refused(Reply { body, ..Reply::status(status) })
}

fn md5_of(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `text`, an object of JSON, with the seal of what is in the folder of a job.
fn sealed(text: &str) -> Vec<u8> {
    let open = text.trim_end().strip_suffix('}').unwrap();
    format!("{open},\"seal\":\"{:08x}\"}}\n", crc32c::crc32c(open.as_bytes())).into_bytes()
}

/// A request of a process that was killed may arrive after its shard was sent again.
#[test]
fn a_part_that_arrives_late_with_other_bytes_is_found() {
    for checksums in [true, false] {
        let scene = Scene::new();
        let (service, refuses) = incomplete(Manners { checksums, ..Manners::default() });
        let source = scene.source("source", 3 * PART + 1);
        let words = ["--max-retries", "0", "source", "s3://b/x"];
        let ended = start(&scene, &service, &words).end().code(5);
        assert!(ended.stderr.contains("abort-multipart-upload"), "{}", ended.stderr);
        service.state(|state| {
            let upload = state.uploads.values_mut().next().unwrap();
            let late = vec![0; PART];
            let tag = format!("\"{}\"", md5_of(&late));
            upload.parts.insert(2, (late, tag));
        });
        refuses.store(false, SeqCst);
        start(&scene, &service, &words).end().code(5).says(&["other parts than 1 of the shards"]);
        assert_eq!(service.get("/b/x"), None);
        start(&scene, &service, &words).end().code(0);
        assert_same(&service.get("/b/x").unwrap(), &source, "sent again");
        assert_eq!(open(&service), 0);
    }
}

#[test]
fn a_record_that_does_not_know_its_parts_is_not_believed() {
    let scene = Scene::new();
    let (service, refuses) = incomplete(Manners::default());
    let source = scene.source("source", 3 * PART + 1);
    let words = ["--max-retries", "0", "--digest", "blake3", "source", "s3://b/x"];
    start(&scene, &service, &words).end().code(5);
    let mut record: serde_json::Value =
        serde_json::from_slice(&scene.read("J/done.00001.json")).unwrap();
    record.as_object_mut().unwrap().retain(|name, _| name != "parts" && name != "seal");
    scene.write("J/done.00001.json", &sealed(&record.to_string()));
    refuses.store(false, SeqCst);
    start(&scene, &service, &words).end().code(5).says(&["other parts than 1 of the shards"]);
    start(&scene, &service, &words).end().code(0);
    assert_same(&service.get("/b/x").unwrap(), &source, "all of it");
}

/// Digests that know one order are made by a second read of the source.
#[test]
fn a_source_that_changed_behind_an_old_time_is_found_by_the_second_read() {
    let scene = Scene::new();
    let (service, refuses) = incomplete(Manners::default());
    let mut source = scene.source("source", 2 * PART);
    let words = ["--max-retries", "0", "--digest", "sha256", "source", "s3://b/x"];
    start(&scene, &service, &words).end().code(5);
    let path = scene.path("source");
    let before = std::fs::metadata(&path).unwrap().modified().unwrap();
    source[PART] ^= 1;
    scene.write("source", &source);
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_modified(before).unwrap();
    refuses.store(false, SeqCst);
    start(&scene, &service, &words).end().code(5).says(&["changed"]);
    assert_eq!(service.get("/b/x"), None);
}

#[test]
fn what_is_there_already_is_no_proof() {
    let (scene, service) = (Scene::new(), S3::new());
    let source = scene.source("source", 2 * PART + 1);
    start(&scene, &service, &["source", "s3://b/x"]).end().code(0);
    for expected in ["crc32c:00000000", &format!("md5:{}", "0".repeat(32))] {
        let job = format!("J{}", &expected[..3]);
        let words = ["--job", &*job, "--force", "--expect", expected, "source", "s3://b/x"];
        told(&scene, &service, &words).run().code(4);
    }
    assert_same(&service.get("/b/x").unwrap(), &source, "what was there");
}

#[test]
fn uploads_of_other_programs_stay() {
    let count = Arc::new(AtomicUsize::new(0));
    let begun = Arc::clone(&count);
    let scene = Scene::new();
    let service = S3::with(Manners::default(), move |request, query| {
        let begins = request.method == "POST" && query.contains_key("uploads");
        match begins && begun.fetch_add(1, SeqCst) < 3 {
            true => refused(403, "AccessDenied"),
            false => Fate::Done,
        }
    });
    scene.source("source", 2 * PART + 1);
    for _ in 0..3 {
        start(&scene, &service, &["source", "s3://b/x"]).end().code(3);
    }
    service.state(|state| {
        let begun = jiff::Timestamp::now().to_string();
        let other = Upload { path: "/b/x".to_owned(), begun, ..Upload::default() };
        state.uploads.insert("of-another-program".to_owned(), other);
    });
    start(&scene, &service, &["source", "s3://b/x"]).end().code(0);
    let left = service.state(|state| state.uploads.keys().cloned().collect::<Vec<_>>());
    assert_eq!(left, ["of-another-program"]);
}

#[test]
fn an_upload_whose_beginning_was_not_heard_does_not_stay() {
    let count = Arc::new(AtomicUsize::new(0));
    let begun = Arc::clone(&count);
    let scene = Scene::new();
    let service = S3::with(Manners::default(), move |request, query| {
        let begins = request.method == "POST" && query.contains_key("uploads");
        match begins && begun.fetch_add(1, SeqCst) == 0 {
            true => Fate::Lost,
            false => Fate::Done,
        }
    });
    let source = scene.source("source", 2 * PART + 1);
    start(&scene, &service, &["source", "s3://b/x"]).end().code(0);
    assert_same(&service.get("/b/x").unwrap(), &source, "the object");
    assert_eq!(open(&service), 0);
}

#[test]
fn what_ends_a_job_for_good_says_so() {
    let (scene, other) = (Scene::new(), S3::new());
    let (service, refuses) = incomplete(Manners::default());
    let source = scene.source("source", 2 * PART + 1);
    let words = ["--max-retries", "0", "source", "s3://b/x"];
    start(&scene, &service, &words).end().code(5);
    // Another service is another job.
    start(&scene, &other, &words).end().code(3).says(&["endpoint"]);
    let mut finish = scene.pcopy(["job", "finish", "J"]);
    finish.command.envs(other.environment());
    finish.run().code(3).says(&["endpoint"]);
    refuses.store(false, SeqCst);
    service.put("/b/x", b"another");
    let ended = start(&scene, &service, &words).end().code(5).says(&["once that is gone"]);
    assert!(!ended.stderr.contains("--force"), "{}", ended.stderr);
    service.state(|state| state.objects.clear());
    let mut finish = scene.pcopy(["job", "finish", "J"]);
    finish.command.envs(service.environment());
    finish.run().code(0);
    assert_same(&service.get("/b/x").unwrap(), &source, "the object");
    // An upload that a rule of the bucket has aborted.
    let words = ["--job", "K", "--max-retries", "0", "source", "s3://b/y"];
    refuses.store(true, SeqCst);
    told(&scene, &service, &words).run().code(5);
    refuses.store(false, SeqCst);
    service.state(|state| state.uploads.clear());
    told(&scene, &service, &words).run().code(5).says(&["name another job folder"]);
}

#[test]
fn who_may_write_and_not_look_makes_the_object() {
    let scene = Scene::new();
    let service = S3::with(Manners::default(), |request, _| match &*request.method {
        "HEAD" => Fate::Refused(Reply::status(403)),
        "GET" => refused(403, "AccessDenied"),
        _ => Fate::Done,
    });
    let source = scene.source("source", 3 * PART + 1);
    let three: Vec<_> = (0..3).map(|_| start(&scene, &service, &["source", "s3://b/x"])).collect();
    three.into_iter().for_each(|one| drop(one.end().code(0)));
    assert_same(&service.get("/b/x").unwrap(), &source, "the object");
    assert_eq!(open(&service), 0);
    let files = std::fs::read_dir(scene.path("J")).unwrap().flatten();
    for file in files {
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert!(![SECRET, TOKEN, KEY].iter().any(|secret| text.contains(secret)), "{text}");
    }
}

#[test]
fn a_source_that_changed_becomes_no_object() {
    let (scene, service) = (Scene::new(), S3::new());
    scene.source("source", 4 * PART);
    let words = ["--limit-rate", "8MiB", "source", "s3://b/x"];
    let first = start(&scene, &service, &words);
    wait_until("something is there", || recorded(&scene) > 0);
    scene.write("source", &pattern(9, 4 * PART));
    first.end().code(5);
    start(&scene, &service, &["source", "s3://b/x"]).end().code(5);
    assert_eq!(service.get("/b/x"), None);
}

#[test]
fn an_object_is_copied_to_another_by_several_processes() {
    let (scene, service) = (Scene::new(), S3::new());
    let bytes = pattern(3, 3 * PART + 9);
    service.put("/a/x", &bytes);
    let words = ["-r", "9..", "s3://a/x", "s3://b/y"];
    let all: Vec<_> = (0..3).map(|_| start(&scene, &service, &words)).collect();
    all.into_iter().for_each(|one| drop(one.end().code(0)));
    assert_same(&service.get("/b/y").unwrap(), &bytes[9..], "the second object");
    // And to a file.
    let words = ["--job", "F", "--verify", "--digest", "crc32c", "s3://a/x", "file"];
    let all: Vec<_> = (0..3).map(|_| told(&scene, &service, &words).start()).collect();
    all.into_iter().for_each(|one| drop(one.end().code(0)));
    assert_same(&scene.read("file"), &bytes, "the file");
    assert_eq!(open(&service), 0);
}
