//! Objects of S3 as destinations: nothing is visible before all of it is there,
//! nothing is sent twice that was recorded, and nothing is left behind by a copy
//! that is given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::common::{Ended, Run, Scene, assert_same, pattern};
use crate::server::s3::{Came, Fate, KEY, Manners, S3, SECRET, TOKEN};
use crate::server::{Body, Reply};

/// Length of a part, in bytes.
pub const PART: usize = 8 << 20;

pub fn told(scene: &Scene, service: &S3, words: &[&str]) -> Run {
    let mut run = scene.pcopy(["--timeout", "5"].iter().chain(words));
    run.command.envs(service.environment());
    run
}

#[track_caller]
pub fn copy(scene: &Scene, service: &S3, words: &[&str]) -> Ended {
    let ended = told(scene, service, words).run();
    let all = format!("{}{}", ended.stderr, ended.out());
    for secret in [SECRET, TOKEN, KEY, "X-Amz"] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
    ended
}

/// Uploads that are neither complete nor aborted.
pub fn open(service: &S3) -> usize {
    service.state(|state| state.uploads.len())
}

pub fn came(service: &S3) -> Vec<Came> {
    service.state(|state| state.came.clone())
}

/// Names in the folder that belong to copies.
pub fn maps(scene: &Scene) -> Vec<String> {
    scene.names().into_iter().filter(|name| name.contains("pcopy-")).collect()
}

#[test]
fn an_object_is_sent_in_parts_and_shows_when_it_is_complete() {
    for manners in [Manners::default(), Manners { checksums: false, ..Manners::default() }] {
        let scene = Scene::new();
        let source = scene.source("disk.img", 3 * PART + 12345);
        let service = S3::with(manners, |_, _| Fate::Done);
        let words = ["--digest", "md5", "--threads", "3", "--json", "disk.img", "s3://b/folder/"];
        let report = copy(&scene, &service, &words).code(0).report();
        assert_same(&service.get("/b/folder/disk.img").unwrap(), &source, "the object");
        assert_eq!(report["destination"]["path"], "s3://b/folder/disk.img");
        assert_eq!(report["destination"]["kind"], "s3");
        assert_eq!(report["durable"], true, "{report}");
        let mut sent = came(&service);
        sent.sort_by_key(|part| part.number);
        let lens: Vec<usize> = sent.iter().map(|part| part.len).collect();
        assert_eq!(lens, [PART, PART, PART, 12345]);
        assert_eq!((open(&service), maps(&scene).len()), (0, 0));
        // A range of it, to another one.
        copy(&scene, &service, &["-r", "1000..9_000_000", "disk.img", "s3://b/part"]).code(0);
        assert_same(&service.get("/b/part").unwrap(), &source[1000..9_000_000], "a range");
    }
}

#[test]
fn small_objects_go_at_once() {
    let (scene, service) = (Scene::new(), S3::new());
    for count in [0, 1, 1_000_000, PART] {
        let bytes = scene.source("source", count);
        let words = ["--force", "--threads", "2", "--io-size", "64KiB", "source", "s3://b/x y#z"];
        copy(&scene, &service, &words).code(0);
        assert_same(&service.get("/b/x y#z").unwrap(), &bytes, "the object");
    }
    assert!(came(&service).iter().all(|part| part.number == 0));
    assert_eq!(maps(&scene).len(), 0);
}

#[test]
fn a_name_that_is_taken_is_not_taken_away() {
    let scene = Scene::new();
    let source = scene.source("source", 2 * PART);
    let service = S3::new();
    service.put("/b/x", b"there");
    let refused = copy(&scene, &service, &["source", "s3://b/x"]).code(3);
    assert!(refused.stderr.contains("--force") && !refused.stderr.contains("in-place"));
    assert_eq!((service.get("/b/x").unwrap(), open(&service)), (b"there".to_vec(), 0));
    copy(&scene, &service, &["--force", "source", "s3://b/x"]).code(0);
    assert_same(&service.get("/b/x").unwrap(), &source, "replaced");

    // It is taken while the copy is on its way.
    for (name, len) in [("whole", 1000), ("parts", 2 * PART)] {
        let bytes = scene.source("source", len);
        let path = format!("/b/{name}");
        let taken = Arc::new(AtomicUsize::new(0));
        let (count, other) = (Arc::clone(&taken), S3::new());
        let late = S3::with(Manners::default(), move |request, _| {
            if request.header("if-none-match").is_some() && count.fetch_add(1, SeqCst) == 0 {
                let body = b"<Error><Code>PreconditionFailed</Code></Error>".to_vec();
                return Fate::Refused(Reply { body, ..Reply::status(412) });
            }
            Fate::Done
        });
        let _ = other;
        let address = format!("s3://b/{name}");
        let ended = copy(&scene, &late, &["source", &address]).code(5);
        assert!(
            ended.stderr.contains("meanwhile") && ended.stderr.contains("--force"),
            "{}",
            ended.stderr
        );
        assert_eq!(late.get(&path), None);
        if name == "parts" {
            copy(&scene, &late, &["--resume", "source", &address]).code(0);
            assert_same(&late.get(&path).unwrap(), &bytes, "resumed");
            assert_eq!(came(&late).len(), 2, "no part came twice");
        }
        assert_eq!((open(&late), maps(&scene).len()), (0, 0), "{name}");
    }
}

/// What passes is tried again, and the object is right.
#[test]
fn what_goes_wrong_on_the_way_is_done_again() {
    let slow = || {
        let body = b"<Error><Code>SlowDown</Code><Message>x</Message></Error>".to_vec();
        Fate::Refused(Reply { body, ..Reply::status(503) }.with("Retry-After", "0"))
    };
    let broken = || Fate::Refused(Reply { way: Body::Lost, ..Reply::status(200) });
    let error_in_200 = || {
        let body = b"<Error><Code>InternalError</Code><Message>x</Message></Error>".to_vec();
        Fate::Refused(Reply { body, ..Reply::status(200) })
    };
    type Made = Box<dyn Fn() -> Fate + Send + Sync>;
    let fates: [(&str, Made); 4] = [
        ("slow down", Box::new(slow)),
        ("not done and not told", Box::new(broken)),
        ("done and not told", Box::new(|| Fate::Lost)),
        ("said to be well and is not", Box::new(error_in_200)),
    ];
    for (name, made) in fates {
        let scene = Scene::new();
        let source = scene.source("source", 3 * PART + 1);
        let counts: Arc<[AtomicUsize; 3]> = Arc::default();
        let only_end = name == "said to be well and is not";
        let service = S3::with(Manners::default(), move |request, query| {
            let kind = match (&*request.method, query.contains_key("uploadId")) {
                ("PUT", true) if !only_end => 0,
                ("POST", true) => 1,
                ("POST", false) if !only_end => 2,
                _ => return Fate::Done,
            };
            // Every other one, and the first of each kind.
            if counts[kind].fetch_add(1, SeqCst).is_multiple_of(2) { made() } else { Fate::Done }
        });
        copy(&scene, &service, &["--threads", "2", "source", "s3://b/x"]).code(0);
        assert_same(&service.get("/b/x").unwrap(), &source, name);
        // One without a part, of which only the service knows; see `s3_odd`.
        let unheard = usize::from(name == "done and not told");
        assert_eq!((open(&service), maps(&scene).len()), (unheard, 0), "{name}");
    }
    // The answer to the only request is lost.
    let (scene, lost) = (Scene::new(), Arc::new(AtomicUsize::new(0)));
    let source = scene.source("source", 1000);
    let service = S3::with(Manners::default(), move |request, _| {
        let is_first = request.method == "PUT" && lost.fetch_add(1, SeqCst) == 0;
        if is_first { Fate::Lost } else { Fate::Done }
    });
    copy(&scene, &service, &["source", "s3://b/x"]).code(0);
    assert_same(&service.get("/b/x").unwrap(), &source, "at once");
}

/// What ends a copy leaves an upload that is resumed: no part is sent twice.
#[test]
fn an_upload_is_resumed_and_no_part_is_sent_twice() {
    for manners in [
        Manners { page: 2, ..Manners::default() },
        Manners { checksums: false, ..Manners::default() },
    ] {
        let scene = Scene::new();
        let source = scene.source("source", 6 * PART + 77);
        let phase = Arc::new(AtomicUsize::new(0));
        let now = Arc::clone(&phase);
        let service = S3::with(manners, move |_, query| {
            let number = query.get("partNumber").map_or(0, |text| text.parse().unwrap());
            match (now.load(SeqCst), number) {
                (0, 5..) => {
                    let body = b"<Error><Code>AccessDenied</Code></Error>".to_vec();
                    Fate::Refused(Reply { body, ..Reply::status(403) })
                }
                _ => Fate::Done,
            }
        });
        let words = ["--threads", "1", "--checkpoint-every", "0", "source", "s3://b/x"];
        let ended = copy(&scene, &service, &words).code(5);
        let said = ended.stderr.clone();
        for text in ["403 AccessDenied", "--resume", "abort-multipart-upload", "--key 'x'"] {
            assert!(said.contains(text), "{text} in {said}");
        }
        assert_eq!((service.get("/b/x"), open(&service), maps(&scene).len()), (None, 1, 1));
        let map = String::from_utf8(scene.read(&maps(&scene)[0])).unwrap();
        assert!(map.contains("dest-path s3://b/x\n") && map.contains("dest-part-00004 "), "{map}");
        assert!(!map.contains(KEY) && !map.contains(SECRET), "{map}");
        phase.store(1, SeqCst);
        copy(&scene, &service, &words).code(3).says(&["--resume", "--restart"]);
        let before = came(&service);
        assert_eq!(before.len(), 4);
        let digest = pcopy::digest::hash_slice(pcopy::digest::Algorithm::Sha256, &source);
        let expect = format!("sha256:{digest}");
        let resume = [&["--resume", "--json", "--expect", &expect][..], &words].concat();
        let report = copy(&scene, &service, &resume).code(0).report();
        assert_eq!(report["bytes"]["resumed"].as_u64(), Some(4 * PART as u64), "{report}");
        assert_same(&service.get("/b/x").unwrap(), &source, "the object");
        let mut numbers: Vec<u32> = came(&service).iter().map(|part| part.number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!((open(&service), maps(&scene).len()), (0, 0));
    }
}

/// Two parts of four are there; the copy has ended.
fn half_done(scene: &Scene) -> (S3, Arc<AtomicUsize>) {
    let phase = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&phase);
    let service = S3::with(Manners::default(), move |_, query| {
        let number = query.get("partNumber").map_or(0, |text| text.parse().unwrap());
        match (now.load(SeqCst), number) {
            (0, 3..) => Fate::Refused(Reply::status(403)),
            _ => Fate::Done,
        }
    });
    copy(scene, &service, &["--threads", "1", "source", "s3://b/x"]).code(5);
    phase.store(1, SeqCst);
    (service, phase)
}

#[test]
fn a_part_counts_only_if_map_and_service_say_the_same_of_it() {
    // Another tag, another length, no part: each is sent again.
    for change in [0, 1, 2] {
        let scene = Scene::new();
        let source = scene.source("source", 3 * PART + 5);
        let (service, _) = half_done(&scene);
        service.state(|state| {
            let upload = state.uploads.values_mut().next().unwrap();
            let part = upload.parts.get_mut(&2).unwrap();
            match change {
                0 => part.1 = "\"00000000000000000000000000000000\"".to_owned(),
                1 => part.0.truncate(PART - 1),
                _ => drop(upload.parts.remove(&2)),
            }
        });
        let words = ["--resume", "--json", "source", "s3://b/x"];
        let report = copy(&scene, &service, &words).code(0).report();
        assert_eq!(report["bytes"]["resumed"].as_u64(), Some(PART as u64), "{report}");
        assert_same(&service.get("/b/x").unwrap(), &source, "the object");
    }
}

#[test]
fn a_source_that_has_changed_is_compared_by_the_checksums_of_the_parts() {
    let scene = Scene::new();
    let mut source = scene.source("source", 3 * PART + 5);
    let (service, _) = half_done(&scene);
    // Touched, and the same.
    let path = scene.path("source");
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let words = ["--resume", "-v", "-n", "source", "s3://b/x"];
    copy(&scene, &service, &words).code(0).says(&["have the same checksums"]);
    source[PART + 1] ^= 1;
    scene.write("source", &source);
    let ended = copy(&scene, &service, &["--resume", "--json", "source", "s3://b/x"]).code(3);
    assert_eq!(ended.report()["error_kind"], "not_what_was_copied");
    copy(&scene, &service, &["--restart", "source", "s3://b/x"]).code(0);
    assert_same(&service.get("/b/x").unwrap(), &source, "anew");
    assert_eq!((open(&service), maps(&scene).len()), (0, 0), "no upload is left");
}

#[test]
fn an_upload_that_is_gone_is_refused_unless_its_object_is_there() {
    let scene = Scene::new();
    let source = scene.source("source", 3 * PART + 5);
    let (service, _) = half_done(&scene);
    service.state(|state| state.uploads.clear());
    let ended = copy(&scene, &service, &["--resume", "source", "s3://b/x"]).code(3);
    assert!(ended.stderr.contains("--restart"), "{}", ended.stderr);
    copy(&scene, &service, &["--restart", "source", "s3://b/x"]).code(0);

    // Nobody hears that it is complete, at any time.
    let phase = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&phase);
    let service = S3::with(Manners::default(), move |request, query| {
        let is_end = request.method == "POST" && query.contains_key("uploadId");
        match now.load(SeqCst) {
            0 if is_end => Fate::Lost,
            // Nor can it be seen.
            0 if request.method == "HEAD" && request.number > 3 => {
                Fate::Refused(Reply::status(403))
            }
            _ => Fate::Done,
        }
    });
    let words = ["--max-retries", "1", "source", "s3://b/x"];
    copy(&scene, &service, &words).code(5);
    assert_same(&service.get("/b/x").unwrap(), &source, "it is there");
    phase.store(1, SeqCst);
    let sent = came(&service).len();
    copy(&scene, &service, &["--resume", "-v", "source", "s3://b/x"]).code(0);
    assert_eq!((came(&service).len(), maps(&scene).len()), (sent, 0));
}

/// The object is complete, nobody has heard of it, and the source is another one by now.
#[test]
fn a_completed_object_is_not_that_of_a_source_that_has_changed() {
    let scene = Scene::new();
    let mut source = scene.source("source", 2 * PART + 5);
    let lost = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&lost);
    let service = S3::with(Manners::default(), move |request, query| {
        let is_end = request.method == "POST" && query.contains_key("uploadId");
        match count.load(SeqCst) {
            0 if is_end => Fate::Lost,
            0 if request.method == "HEAD" && request.number > 1 => {
                Fate::Refused(Reply::status(403))
            }
            _ => Fate::Done,
        }
    });
    copy(&scene, &service, &["--max-retries", "0", "source", "s3://b/x"]).code(5);
    let before = service.get("/b/x").unwrap();
    assert_same(&before, &source, "it is there");
    lost.store(1, SeqCst);
    source[7] ^= 1;
    scene.write("source", &source);
    let resume = ["--resume", "--digest", "md5", "--json", "source", "s3://b/x"];
    let report = copy(&scene, &service, &resume).code(3).report();
    assert_eq!(report["error_kind"], "not_what_was_copied", "{report}");
    assert_same(&service.get("/b/x").unwrap(), &before, "untouched");
    // The same bytes with another time are those of the object.
    source[7] ^= 1;
    scene.write("source", &source);
    let ended = copy(&scene, &service, &["--resume", "-v", "source", "s3://b/x"]).code(0);
    ended.says(&["an earlier run completed it", "have the same checksums"]);
    assert_eq!(maps(&scene).len(), 0);
}

#[test]
fn a_copy_that_is_wrong_leaves_nothing() {
    let scene = Scene::new();
    scene.source("source", 2 * PART);
    let service = S3::new();
    for (words, code) in [
        (&["--expect", "crc32c:00000000", "source", "s3://b/x"][..], 4),
        (&["--verify", "source", "s3://b/x"], 2),
        (&["--in-place", "source", "s3://b/x"], 2),
        (&["--dest-offset", "1", "source", "s3://b/x"], 2),
        (&["--split", "1M", "source", "s3://b/x"], 2),
        (&["source", "s3://b/x?versionId=1"], 2),
        (&["source", "s3://b/../x"], 2),
        (&["source", "https://example.org/x"], 3),
        (&["source", "/etc/hostname", "s3://b/"], 3),
        (&["-n", "source", "s3://b/x"], 0),
    ] {
        copy(&scene, &service, words).code(code);
        assert_eq!((open(&service), maps(&scene).len()), (0, 0), "{words:?}");
    }
    let unsigned = copy(&scene, &service, &["--no-sign-request", "source", "s3://b/x"]).code(3);
    assert!(unsigned.stderr.contains("403"), "{}", unsigned.stderr);
    assert_eq!(service.state(|state| state.objects.len()), 0);
}

#[test]
fn a_stream_of_known_length_can_be_sent_and_leaves_nothing_if_it_ends_early() {
    let (scene, service) = (Scene::new(), S3::new());
    let bytes = pattern(1, 2 * PART + 9);
    let length = bytes.len().to_string();
    let words = ["--length", &length, "-", "s3://b/x"];
    told(&scene, &service, &words).with_input(&bytes).code(0);
    assert_same(&service.get("/b/x").unwrap(), &bytes, "the object");
    let words = ["--length", &length, "-", "s3://b/y"];
    told(&scene, &service, &words).with_input(&bytes[..PART + 9]).code(5);
    assert_eq!((service.get("/b/y"), open(&service), maps(&scene).len()), (None, 0, 0));
}

#[test]
fn a_stream_of_unknown_length_becomes_an_object_when_it_has_ended() {
    let (scene, service) = (Scene::new(), S3::new());
    let bytes = pattern(1, 40 << 20);
    for len in [0, 1, 1000, PART - 1, PART, PART + 1, 3 * PART, 3 * PART + 5, 40 << 20] {
        let words = ["--force", "--stripe-size", "8MiB", "--json", "-", "s3://b/x"];
        let report = told(&scene, &service, &words).with_input(&bytes[..len]).code(0).report();
        assert_same(&service.get("/b/x").unwrap(), &bytes[..len], &format!("{len} bytes"));
        assert_eq!(report["bytes"]["copied"].as_u64(), Some(len as u64), "{report}");
        assert_eq!((open(&service), maps(&scene).len()), (0, 0), "{len} bytes");
    }
    // Unasked, parts are longer: nobody knows how many there will be.
    let before = came(&service).len();
    let words = ["-v", "--digest", "sha256", "-", "s3://b/y"];
    let ended = told(&scene, &service, &words).with_input(&bytes).code(0);
    ended.says(&["156.25 GiB", "16 MiB"]);
    assert_same(&service.get("/b/y").unwrap(), &bytes, "in longer parts");
    assert_eq!(came(&service).len(), before + 3);
    // What is wrong, or taken, leaves nothing.
    let words = ["--expect", "crc32c:00000000", "-", "s3://b/z"];
    told(&scene, &service, &words).with_input(&bytes).code(4);
    told(&scene, &service, &["-", "s3://b/y"]).with_input(&bytes).code(3);
    assert_eq!((service.get("/b/z"), open(&service), maps(&scene).len()), (None, 0, 0));
}

#[test]
fn from_one_service_to_another_and_to_a_file_beside_it() {
    let (scene, bytes) = (Scene::new(), pattern(1, 2 * PART + 9));
    let service = S3::new();
    service.put("/a/x", &bytes);
    copy(&scene, &service, &["--also", "file", "s3://a/x", "s3://b/"]).code(0);
    assert_same(&service.get("/b/x").unwrap(), &bytes, "the object");
    assert_same(&scene.read("file"), &bytes, "the file");
    let http = crate::server::Server::of(&bytes);
    copy(&scene, &service, &[&http.url("x"), "s3://b/y"]).code(0);
    assert_same(&service.get("/b/y").unwrap(), &bytes, "from HTTP");
}

/// Holes are zeros in an object.
#[test]
fn holes_become_zeros() {
    let (scene, service) = (Scene::new(), S3::new());
    let file = std::fs::File::create(scene.path("source")).unwrap();
    file.set_len(3 * PART as u64).unwrap();
    drop(file);
    let mut bytes = vec![0; 3 * PART];
    let piece = pattern(1, 100_000);
    bytes[PART + 5000..PART + 105_000].copy_from_slice(&piece);
    scene.write("source", &bytes);
    copy(&scene, &service, &["source", "s3://b/x"]).code(0);
    assert_same(&service.get("/b/x").unwrap(), &bytes, "the object");
}
