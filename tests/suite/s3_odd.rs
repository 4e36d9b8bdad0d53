//! Services of S3 that do not know everything, answers that nobody hears, and
//! sources that cannot all be read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use pcopy::endpoint::Origin;
use pcopy::endpoint::s3::S3Destination;
use pcopy::io::{ReadAt, Source};
use pcopy::options::{S3Access, S3Keys, Secret};
use pcopy::{CopyJob, Options, Outcome};

use crate::common::{Scene, assert_same, pattern};
use crate::s3_upload::{PART, came, copy, maps, open, told};
use crate::server::Reply;
use crate::server::s3::{Fate, KEY, Manners, REGION, S3, SECRET, TOKEN, Upload};

fn not_known() -> Fate {
    let body = b"<Error><Code>NotImplemented</Code><Message>no</Message></Error>".to_vec();
    Fate::Refused(Reply { body, ..Reply::status(501) })
}

#[test]
fn a_service_that_knows_neither_checksums_nor_conditions_is_used_as_it_is() {
    let scene = Scene::new();
    let source = scene.source("source", 2 * PART + 1);
    let manners = Manners { checksums: false, ..Manners::default() };
    let service = S3::with(manners, |request, _| {
        let is_new = ["x-amz-checksum-algorithm", "if-none-match"];
        match is_new.iter().any(|name| request.header(name).is_some()) {
            true => not_known(),
            false => Fate::Done,
        }
    });
    for (range, name) in [("0..", "parts"), ("..1000", "whole")] {
        let address = format!("s3://b/{name}");
        let ended = copy(&scene, &service, &["-v", "-r", range, "source", &address]).code(0);
        assert!(ended.stderr.contains("cannot refuse a name"), "{}", ended.stderr);
    }
    assert_same(&service.get("/b/parts").unwrap(), &source, "in parts");
    assert_same(&service.get("/b/whole").unwrap(), &source[..1000], "at once");
    copy(&scene, &service, &["source", "s3://b/parts"]).code(3).says(&["exists"]);
    assert_eq!((open(&service), maps(&scene).len()), (0, 0));
}

#[test]
fn where_only_parts_have_checksums_they_go_without() {
    let (scene, service) = (Scene::new(), S3::new());
    let source = scene.source("source", 2 * PART + 1);
    copy(&scene, &service, &["source", "s3://b/of-parts-only"]).code(0);
    assert_same(&service.get("/b/of-parts-only").unwrap(), &source, "the object");
    assert_eq!((open(&service), maps(&scene).len()), (0, 0));
}

/// Services do not agree on the name of the answer; an upload is completed once.
#[test]
fn an_answer_to_the_completion_may_have_another_name() {
    let (scene, service) = (Scene::new(), S3::new());
    let source = scene.source("source", 2 * PART + 1);
    copy(&scene, &service, &["source", "s3://b/responded"]).code(0);
    assert_same(&service.get("/b/responded").unwrap(), &source, "the object");
    let log = service.server.log();
    let ends = log.iter().filter(|one| one.method == "POST" && one.target.contains("uploadId"));
    assert_eq!(ends.count(), 1);
}

/// The upload begins, and nobody hears what it is called.
#[test]
fn an_upload_that_nobody_has_heard_of_is_found_and_taken_back() {
    for word in ["--resume", "--restart"] {
        let scene = Scene::new();
        let source = scene.source("source", 2 * PART + 1);
        let count = Arc::new(AtomicUsize::new(0));
        let service = S3::with(Manners::default(), move |request, query| {
            let begins = request.method == "POST" && query.contains_key("uploads");
            if begins && count.fetch_add(1, SeqCst) == 0 { Fate::Lost } else { Fate::Done }
        });
        let words = ["source", "s3://b/x"];
        copy(&scene, &service, &[&["--max-retries", "0"][..], &words].concat()).code(3);
        assert_eq!((open(&service), maps(&scene).len()), (1, 1));
        copy(&scene, &service, &words).code(3).says(&["--restart"]);
        // Of another object, or of one that somebody sends parts of.
        service.state(|state| {
            let mut other = state.uploads.values().next().unwrap().clone();
            other.path = "/b/xy".to_owned();
            state.uploads.insert("other".to_owned(), other.clone());
            other.path = "/b/x".to_owned();
            other.parts.insert(1, (vec![0; PART], "\"t\"".to_owned()));
            state.uploads.insert("of somebody".to_owned(), other);
        });
        copy(&scene, &service, &[&[word][..], &words].concat()).code(0);
        assert_same(&service.get("/b/x").unwrap(), &source, word);
        let left: Vec<String> = service.state(|state| state.uploads.keys().cloned().collect());
        assert_eq!(
            (&left[..], maps(&scene).len()),
            (&["of somebody".into(), "other".into()][..], 0)
        );
    }
}

/// A map of another object is not discarded with its upload.
#[test]
fn the_map_of_another_object_is_refused() {
    let scene = Scene::new();
    scene.source("source", 2 * PART + 1);
    let phase = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&phase);
    let service = S3::with(Manners::default(), move |_, query| {
        let is_second = query.get("partNumber").is_some_and(|number| number == "2");
        let is_bad = is_second && now.load(SeqCst) == 0;
        if is_bad { Fate::Refused(Reply::status(403)) } else { Fate::Done }
    });
    let words = ["--threads", "1", "--map", "map", "source"];
    copy(&scene, &service, &[&words[..], &["s3://b/x"]].concat()).code(5);
    phase.store(1, SeqCst);
    for word in ["--resume", "--restart"] {
        let other = [&[word][..], &words, &["s3://b/y"]].concat();
        copy(&scene, &service, &other).code(3).says(&["of a copy to 's3://b/x'"]);
    }
    assert_eq!((open(&service), came(&service).len()), (1, 1));
    let again = [&["--resume"][..], &words, &["s3://b/x"]].concat();
    copy(&scene, &service, &again).code(0);
    assert_eq!((open(&service), came(&service).len()), (0, 3));
    assert!(!scene.has("map"));
}

struct Damaged(Arc<Vec<u8>>);

impl ReadAt for Damaged {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let end = offset + buffer.len() as u64;
        let bad = PART as u64 + 5000;
        if (offset..end).contains(&bad) {
            return Err(io::Error::other("a scratch"));
        }
        (&self.0[..]).read_at(offset, buffer)
    }
}

impl Source for Damaged {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }
}

struct Disk(PathBuf, Arc<Vec<u8>>);

impl Origin for Disk {
    fn path(&self) -> &Path {
        &self.0
    }

    fn source(&self) -> Arc<dyn Source> {
        Arc::new(Damaged(self.1.clone()))
    }
}

#[test]
fn what_cannot_be_read_is_zeros_and_leaves_nothing_to_resume() {
    let scene = Scene::new();
    let service = S3::new();
    let mut bytes = pattern(1, 3 * PART);
    let mut options = Options::default();
    options.remote.s3.endpoint = Some(service.endpoint());
    options.remote.s3.region = Some(REGION.to_owned());
    options.remote.s3.access = S3Access::Keys(S3Keys {
        id: KEY.to_owned(),
        secret: Secret::new(SECRET),
        token: Some(Secret::new(TOKEN)),
    });
    options.map = Some(scene.path("map"));
    let origin = Disk("disk".into(), Arc::new(bytes.clone()));
    let destination = S3Destination::new("s3://b/x", None, &options).unwrap();
    let report = CopyJob::between(origin, destination).options(options).run().unwrap();
    assert_eq!(report.outcome, Outcome::Partial);
    let failed = (report.failed[0].start as usize, report.failed[0].end as usize);
    assert_eq!(failed, (PART + 4608, PART + 5120));
    assert!(!report.resumable && !scene.has("map"));
    bytes[failed.0..failed.1].fill(0);
    assert_same(&service.get("/b/x").unwrap(), &bytes, "the object");
    assert_eq!(open(&service), 0);
}

/// Ctrl-C ends an upload that waits for its service, and says how to go on.
#[cfg(unix)]
#[test]
fn an_interrupted_upload_says_how_to_go_on() {
    use rustix::process::Signal;
    let scene = Scene::new();
    let source = scene.source("source", 3 * PART);
    let words = [
        "--threads",
        "1",
        "--limit-rate",
        "4M",
        "--progress",
        "json",
        "--checkpoint-every",
        "0",
        "source",
        "s3://b/x",
    ];
    let service = S3::new();
    let mut running = crate::s3_upload::told(&scene, &service, &words).start();
    running.wait_until_copied(PART as u64 + 1);
    running.signal(Signal::INT);
    let ended = running.end().died_by(Signal::INT);
    for line in ended.stderr.lines().filter(|line| line.contains("\"checkpoint\"")) {
        let event: serde_json::Value = serde_json::from_str(line).expect("an event");
        let bytes = event["bytes"].as_u64().expect("a count");
        assert_eq!(bytes % PART as u64, 0, "a part that is not complete is called safe: {line}");
    }
    let command = crate::common::advised(&ended.stderr).expect("advice");
    assert!(command.contains("--resume"), "{command}");
    assert!(ended.stderr.contains("abort-multipart-upload"), "{}", ended.stderr);
    assert_eq!((open(&service), maps(&scene).len()), (1, 1));
    let words = ["--resume", "--json", "source", "s3://b/x"];
    let report = copy(&scene, &service, &words).code(0).report();
    assert_eq!(report["bytes"]["resumed"].as_u64(), Some(PART as u64), "{report}");
    assert_same(&service.get("/b/x").unwrap(), &source, "the object");
}

/// What another program has begun is none of this copy, though it has no part yet.
#[test]
fn an_upload_of_another_program_is_never_aborted() {
    let scene = Scene::new();
    let source = scene.source("source", 2 * PART + 1);
    let count = Arc::new(AtomicUsize::new(0));
    let service = S3::with(Manners::default(), move |request, query| {
        let begins = request.method == "POST" && query.contains_key("uploads");
        if begins && count.fetch_add(1, SeqCst) == 0 { Fate::Lost } else { Fate::Done }
    });
    let others = "of another program".to_owned();
    service.state(|state| {
        let begun = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(60);
        let (path, begun) = ("/b/x".to_owned(), begun.to_string());
        state.uploads.insert(others.clone(), Upload { path, begun, ..Upload::default() });
    });
    let ended = copy(&scene, &service, &["-v", "source", "s3://b/x"]).code(0);
    ended.says(&["2 uploads of this object", "list-multipart-uploads", "abort-multipart-upload"]);
    assert_same(&service.get("/b/x").unwrap(), &source, "the object");
    assert!(service.state(|state| state.uploads.contains_key(&others)));
}

#[test]
fn uploads_of_which_nothing_is_known_are_told_to_the_user() {
    let scene = Scene::new();
    let source = scene.source("source", 2 * PART + 1);
    let count = Arc::new(AtomicUsize::new(0));
    let service = S3::with(Manners::default(), move |request, query| {
        let begins = request.method == "POST" && query.contains_key("uploads");
        if begins && count.fetch_add(1, SeqCst) < 4 { Fate::Lost } else { Fate::Done }
    });
    // Also of a pipe, which has no map.
    let length = source.len().to_string();
    let words = ["--max-retries", "1", "--length", &length, "-", "s3://b/y"];
    let said = told(&scene, &service, &words).with_input(&source).code(3);
    said.says(&["may have begun", "list-multipart-uploads", "--prefix 'y'"]);
    assert_eq!((open(&service), maps(&scene).len()), (2, 0));
    let words = ["-v", "--max-retries", "1", "source", "s3://b/x"];
    copy(&scene, &service, &words).code(3).says(&["may have begun", "--prefix 'x'"]);
    assert_eq!((open(&service), maps(&scene).len()), (4, 1));
    let again = copy(&scene, &service, &[&["--restart"], &words[..]].concat()).code(0);
    again.says(&["2 uploads of this object", "list-multipart-uploads"]);
    assert_same(&service.get("/b/x").unwrap(), &source, "the object");
    assert_eq!((open(&service), maps(&scene).len()), (4, 0));
}

/// Who may write need not be allowed to abort.
#[test]
fn an_upload_that_cannot_be_aborted_is_told_and_can_be_aborted_later() {
    let scene = Scene::new();
    let source = scene.source("source", 2 * PART + 1);
    let phase = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&phase);
    let service = S3::with(Manners::default(), move |request, _| {
        match request.method == "DELETE" && now.load(SeqCst) == 0 {
            true => Fate::Refused(Reply::status(403)),
            false => Fate::Done,
        }
    });
    let words = ["source", "s3://b/x"];
    let wrong = [&["--expect", "crc32c:00000000"][..], &words].concat();
    copy(&scene, &service, &wrong).code(4).says(&["abort-multipart-upload", "--key 'x'"]);
    assert_eq!((open(&service), maps(&scene).len()), (1, 1));
    phase.store(1, SeqCst);
    copy(&scene, &service, &[&["--restart"], &words[..]].concat()).code(0);
    assert_same(&service.get("/b/x").unwrap(), &source, "the object");
    assert_eq!((open(&service), maps(&scene).len()), (0, 0));
    phase.store(0, SeqCst);
    let length = source.len().to_string();
    let words = ["--length", &length, "-", "s3://b/y"];
    let ended = told(&scene, &service, &words).with_input(&source[..PART + 9]).code(5);
    ended.says(&["abort-multipart-upload", "--key 'y'"]);
    assert_eq!((open(&service), maps(&scene).len()), (1, 0));
}

/// Ctrl-C ends an upload from a pipe, which cannot be resumed: nothing is left of it.
#[cfg(unix)]
#[test]
fn an_interrupted_upload_from_a_pipe_is_aborted() {
    use std::io::Write;

    use rustix::process::Signal;
    let (scene, service) = (Scene::new(), S3::new());
    scene.tool("mkfifo", ["pipe"]).run().code(0);
    let running = told(&scene, &service, &["pipe", "--length", "60MiB", "s3://b/x"]).start();
    let mut pipe = std::fs::File::options().write(true).open(scene.path("pipe")).unwrap();
    pipe.write_all(&pattern(1, PART + 1)).unwrap();
    crate::common::wait_until("a part was sent", || !came(&service).is_empty());
    running.signal(Signal::INT);
    running.end().died_by(Signal::INT);
    assert_eq!((open(&service), maps(&scene).len()), (0, 0));
}

/// Some services ignore the condition that nothing must have the name.
#[test]
fn what_came_meanwhile_is_not_replaced_by_a_service_that_ignores_conditions() {
    for len in [1000, 2 * PART + 1] {
        let scene = Scene::new();
        scene.source("source", len);
        let gate = Arc::new(AtomicUsize::new(0));
        let now = Arc::clone(&gate);
        let manners = Manners { conditions: false, ..Manners::default() };
        // The last question before the object gets its name waits until it is taken.
        let service = S3::with(manners, move |request, _| {
            if request.method == "HEAD" && request.number > 0 {
                now.fetch_max(1, SeqCst);
                crate::common::wait_until("it may go on", || now.load(SeqCst) >= 2);
            }
            Fate::Done
        });
        let words = ["--timeout", "60", "source", "s3://b/x"];
        let mut run = scene.pcopy(words);
        run.command.envs(service.environment());
        let running = run.start();
        crate::common::wait_until("it asks for the last time", || gate.load(SeqCst) == 1);
        service.put("/b/x", b"of another program");
        gate.store(2, SeqCst);
        running.end().code(5).says(&["meanwhile", "--force"]);
        assert_eq!(service.get("/b/x").unwrap(), b"of another program");
    }
}

/// A second run neither restarts nor resumes the upload while the first one writes it.
#[test]
fn an_upload_that_another_copy_writes_is_left_alone() {
    let scene = Scene::new();
    let source = scene.source("source", 2 * PART + 1);
    let gate = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&gate);
    let service = S3::with(Manners::default(), move |_, query| {
        if query.get("partNumber").is_some_and(|number| number == "2") {
            now.fetch_max(1, SeqCst);
            crate::common::wait_until("it may go on", || now.load(SeqCst) >= 2);
        }
        Fate::Done
    });
    let words = ["--threads", "1", "--timeout", "60", "source", "s3://b/x"];
    let mut run = scene.pcopy(words);
    run.command.envs(service.environment());
    let running = run.start();
    crate::common::wait_until("a part is on its way", || gate.load(SeqCst) == 1);
    for word in ["--restart", "--resume", "--quiet"] {
        let ended = copy(&scene, &service, &[word, "source", "s3://b/x"]).code(3);
        ended.says(&["another copy is writing 's3://b/x'"]);
        assert_eq!(open(&service), 1, "{word}");
    }
    gate.store(2, SeqCst);
    running.end().code(0);
    assert_same(&service.get("/b/x").unwrap(), &source, "the object");
    assert_eq!((open(&service), maps(&scene).len()), (0, 0));
    // Of a run that was killed: nobody has it, and it is nothing else.
    let name = "x.lock-test";
    scene.write(format!("{name}.pcopy-lock"), b"");
    copy(&scene, &service, &["--map", name, "source", "s3://b/y"]).code(0);
    assert_eq!(maps(&scene).len(), 0);
    scene.write(format!("{name}.pcopy-lock"), b"a letter");
    copy(&scene, &service, &["--map", name, "source", "s3://b/z"]).code(3);
    assert_eq!(scene.read(format!("{name}.pcopy-lock")), b"a letter");
}

/// From before the look on: what the first one found is what there is when it begins.
#[test]
fn a_copy_that_is_still_looking_keeps_others_away() {
    let scene = Scene::new();
    let source = scene.source("source", 2 * PART + 1);
    let gate = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&gate);
    let service = S3::with(Manners::default(), move |request, _| {
        if request.method == "HEAD" && now.fetch_max(1, SeqCst) < 2 {
            crate::common::wait_until("it may go on", || now.load(SeqCst) >= 2);
        }
        Fate::Done
    });
    let mut run = scene.pcopy(["--timeout", "60", "source", "s3://b/x"]);
    run.command.envs(service.environment());
    let running = run.start();
    crate::common::wait_until("it looks", || gate.load(SeqCst) == 1);
    for word in ["--restart", "--resume", "--quiet"] {
        let ended = copy(&scene, &service, &[word, "source", "s3://b/x"]).code(3);
        ended.says(&["another copy is writing 's3://b/x'"]);
    }
    gate.store(2, SeqCst);
    running.end().code(0);
    assert_same(&service.get("/b/x").unwrap(), &source, "the object");
    assert_eq!((open(&service), scene.names()), (0, vec!["source".to_owned()]));
}
