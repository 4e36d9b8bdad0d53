//! Objects of S3 as sources: what a file gets they get, of one version, from
//! all that may read them; and nothing shows who that is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::common::{Ended, Run, Scene, assert_same, pattern};
use crate::server::s3::{Fate, KEY, Manners, S3, SECRET, TOKEN};
use crate::server::{Object, Reply, Request};

/// Words that make many small requests.
const SMALL: [&str; 6] = ["--io-size", "64KiB", "--stripe-size", "64KiB", "--timeout", "2"];

/// The program, told of `service`, which it has not run yet.
pub fn told(scene: &Scene, service: &S3, words: &[&str]) -> Run {
    let mut run = scene.pcopy(SMALL.iter().chain(words));
    run.command.envs(service.environment());
    run
}

#[track_caller]
fn copy(scene: &Scene, service: &S3, words: &[&str]) -> Ended {
    let ended = told(scene, service, words).run();
    let all = format!("{}{}", ended.stderr, ended.out());
    for secret in [SECRET, TOKEN, KEY, "X-Amz"] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
    ended
}

#[test]
fn a_range_is_read_by_signed_requests_of_one_object() {
    let (scene, bytes) = (Scene::new(), pattern(1, 1_000_001));
    let service = S3::new();
    service.put("/bucket/folder/disk.img", &bytes);
    let words = ["-r", "100..900_000", "--json", "s3://bucket/folder/disk.img", "part"];
    let report = copy(&scene, &service, &words).code(0).report();
    assert_same(&scene.read("part"), &bytes[100..900_000], "the range");
    assert_eq!(report["source"]["path"], "s3://bucket/folder/disk.img");
    assert_eq!(report["source"]["kind"], "s3");
    assert_eq!(report["source"]["size"], 1_000_001);
    let log = service.server.log();
    let ranges: Vec<_> = log.iter().filter_map(Request::range).collect();
    assert!(ranges.len() > 10, "{ranges:?}");
    let tag = log.iter().skip(1).map(|request| request.header("if-match"));
    assert!(tag.clone().all(|tag| tag.is_some() && tag == log[1].header("if-match")));
    // In a directory it has the last part of its key as its name.
    copy(&scene, &service, &["s3://bucket/folder/disk.img", "."]).code(0);
    assert_same(&scene.read("disk.img"), &bytes, "all of it");
}

#[test]
fn whatever_a_file_gets_an_object_of_s3_gets() {
    let (scene, bytes) = (Scene::new(), pattern(1, 300_000));
    let service = S3::new();
    service.put("/b/x", &bytes);
    let words = ["--verify", "--digest", "sha256", "--also", "two", "--json", "s3://b/x", "one"];
    let report = copy(&scene, &service, &words).code(0).report();
    assert_eq!(report["verified"], true, "{report}");
    assert_same(&scene.read("two"), &bytes, "the second one");
    let piped = copy(&scene, &service, &["-r", "-1000", "s3://b/x", "-"]).code(0);
    assert_same(&piped.stdout, &bytes[299_000..], "a stream");
    copy(&scene, &service, &["--expect", "crc32c:00000000", "s3://b/x", "three"]).code(4);
    copy(&scene, &service, &["-n", "s3://b/x", "four"]).code(0);
    copy(&scene, &service, &["-r", "..300_001", "s3://b/x", "four"]).code(3).says(&["300000"]);
    copy(&scene, &service, &["--limit-rate", "10M", "s3://b/x", "slow"]).code(0);
    assert!(!scene.has("four"));
}

#[test]
fn the_smallest_objects_and_the_oddest_keys_are_copied() {
    let (scene, service) = (Scene::new(), S3::new());
    for (number, count) in [0, 1, 2].into_iter().enumerate() {
        let bytes = pattern(1, count);
        service.put("/b/x", &bytes);
        copy(&scene, &service, &["s3://b/x", &format!("copy{number}")]).code(0);
        assert_eq!(scene.read(format!("copy{number}")), bytes);
    }
    for key in ["a b", "größe", "a//b", "q?x=1&y=#z", "100%", "%41", "+'()*!~", "a\\b", "x/..y/.z"]
    {
        service.put(&format!("/b/{key}"), key.as_bytes());
        copy(&scene, &service, &["--force", &format!("s3://b/{key}"), "odd"]).code(0);
        assert_eq!(scene.read("odd"), key.as_bytes());
    }
    for wrong in ["s3://b/../x", "s3://b/.", "s3://b/", "s3://b", "s3:///x", "s3://k:s@b/x"] {
        let code = copy(&scene, &service, &[wrong, "wrong"]).status.code();
        assert!(matches!(code, Some(2 | 3)), "{wrong}: {code:?}");
    }
}

/// What is put in its place meanwhile is another version, and not this one.
#[test]
fn the_version_that_was_there_at_the_beginning_is_copied() {
    let (scene, old, new) = (Scene::new(), pattern(1, 1_000_001), pattern(2, 1_000_001));
    let manners = Manners { versions: true, ..Manners::default() };
    let service = S3::with(manners, |_, _| Fate::Done);
    service.put("/b/x", &old);
    service.put("/b/x", &new);
    let words = ["--json", "s3://b/x?versionId=v1", "first"];
    let report = copy(&scene, &service, &words).code(0).report();
    assert_eq!(report["source"]["path"], "s3://b/x?versionId=v1");
    assert_same(&scene.read("first"), &old, "the version that was named");
    copy(&scene, &service, &["s3://b/x?versionId=v1", "."]).code(0);
    assert!(scene.has("x"));
    copy(&scene, &service, &["s3://b/x?versionId=v9", "none"]).code(3).says(&["NoSuchVersion"]);

    // Replaced while it is read.
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let changes = S3::with(manners, move |request, _| {
        counted.fetch_max(request.number, SeqCst);
        Fate::Done
    });
    changes.put("/b/x", &old);
    let run =
        told(&scene, &changes, &["--limit-rate", "2M", "--threads", "1", "s3://b/x", "second"]);
    let running = run.start();
    crate::common::wait_until("some requests were made", || count.load(SeqCst) > 3);
    changes.put("/b/x", &new);
    running.end().code(0);
    assert_same(&scene.read("second"), &old, "the version of the beginning");
}

#[test]
fn a_change_of_an_object_without_versions_ends_the_copy() {
    let (scene, old, new) = (Scene::new(), pattern(1, 1_000_001), pattern(2, 1_000_001));
    let service = S3::new();
    service.put("/b/x", &old);
    let words = ["--limit-rate", "256K", "--threads", "1", "--json", "s3://b/x", "copy"];
    let running = told(&scene, &service, &words).start();
    crate::common::wait_until("some requests were made", || service.server.log().len() > 4);
    service.put("/b/x", &new);
    let ended = running.end().code(5);
    assert_eq!(ended.report()["error_kind"], "source_changed");
    assert!(!scene.has("copy"));
}

#[test]
fn a_copy_is_resumed_from_the_same_object() {
    let (scene, bytes) = (Scene::new(), pattern(1, 2_000_001));
    let phase = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&phase);
    let service = S3::with(Manners::default(), move |request, _| match now.load(SeqCst) {
        0 if request.number >= 20 => Fate::Refused(Reply::status(404)),
        _ => Fate::Done,
    });
    service.put("/b/x", &bytes);
    let words = ["--threads", "1", "--checkpoint-every", "0", "s3://b/x", "copy"];
    copy(&scene, &service, &words).code(5).says(&["--resume", "s3://b/x"]);
    let map = String::from_utf8(scene.read("copy.pcopy-map")).unwrap();
    assert!(map.contains("source-path s3://b/x\n") && map.contains("source-tag "), "{map}");
    assert!(!map.contains(KEY) && !map.contains("X-Amz"), "{map}");
    phase.store(1, SeqCst);
    let resume = [&["--resume", "--json"][..], &words].concat();
    let report = copy(&scene, &service, &resume).code(0).report();
    assert!(report["bytes"]["resumed"].as_u64().unwrap() > 900_000, "{report}");
    assert_same(&scene.read("copy"), &bytes, "the copy");
}

#[test]
fn what_passes_is_asked_for_again() {
    let slow = |code: &str, status| {
        let body = format!("<Error><Code>{code}</Code><Message>wait</Message></Error>");
        Reply { body: body.into_bytes(), ..Reply::status(status) }.with("Retry-After", "0")
    };
    for (code, status) in [("SlowDown", 503), ("InternalError", 500), ("RequestTimeout", 400)] {
        let (scene, bytes) = (Scene::new(), pattern(1, 1_000_001));
        let service = S3::with(Manners::default(), move |request, _| match request.number % 3 {
            2 => Fate::Refused(slow(code, status)),
            _ => Fate::Done,
        });
        service.put("/b/x", &bytes);
        copy(&scene, &service, &["s3://b/x", "copy"]).code(0);
        assert_same(&scene.read("copy"), &bytes, code);
    }
}

#[test]
fn what_does_not_pass_is_said_as_the_service_says_it() {
    let (scene, service) = (Scene::new(), S3::new());
    copy(&scene, &service, &["s3://b/none", "copy"]).code(3).says(&["404 NoSuchKey", "& nothing"]);
    service.put("/b/x", b"bytes");
    let with = |set: &[(&str, &str)], words: &[&str]| {
        let mut run = told(&scene, &service, &[&["s3://b/x", "copy"], words].concat());
        run.command.envs(set.iter().copied());
        run.run().code(3)
    };
    with(&[("AWS_SECRET_ACCESS_KEY", "other")], &[]).says(&["403 SignatureDoesNotMatch"]);
    with(&[("AWS_ACCESS_KEY_ID", "other")], &[]).says(&["403 InvalidAccessKeyId"]);
    with(&[("AWS_SESSION_TOKEN", "other")], &[]).says(&["403 InvalidToken"]);
    with(&[], &["--no-sign-request"]).says(&["403 AccessDenied"]);
    with(&[("AWS_ACCESS_KEY_ID", "")], &[]).says(&["no credentials", "--no-sign-request"]);
    with(&[], &["--profile", "none"]).says(&["there is no profile none"]);
    assert!(!scene.has("copy"));
    // Nobody asks there.
    let open = S3::with(Manners { signed: false, ..Manners::default() }, |_, _| Fate::Done);
    open.put("/b/x", b"bytes");
    copy(&scene, &open, &["--no-sign-request", "s3://b/x", "copy"]).code(0);
    assert!(open.server.log().iter().all(|request| !request.target.contains("X-Amz")));
}

#[test]
fn who_asks_stands_in_the_files_of_the_tools_of_aws() {
    let (scene, service) = (Scene::new(), S3::new());
    service.put("/b/x", b"bytes");
    let keys = format!("aws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n");
    scene.write("keys", format!("[other]\n{keys}aws_session_token = {TOKEN}\n").as_bytes());
    let endpoint = service.endpoint();
    let config = format!("[profile other]\nregion = eu-test-1\nendpoint_url = {endpoint}\n");
    scene.write("config", config.as_bytes());
    let mut run = scene.pcopy(["s3://b/x", "copy"]);
    run.command.envs([("AWS_SHARED_CREDENTIALS_FILE", "keys"), ("AWS_CONFIG_FILE", "config")]);
    run.command.env("AWS_PROFILE", "other");
    run.run().code(0);
    assert_eq!(scene.read("copy"), b"bytes");
}

#[test]
fn a_bucket_in_another_region_is_found() {
    let scene = Scene::new();
    let manners = Manners { signed: false, ..Manners::default() };
    let service = S3::with(manners, |request, query| {
        match query.get("X-Amz-Credential").is_some_and(|scope| scope.contains("/right-1/")) {
            true => Fate::Done,
            false => {
                let _ = request;
                Fate::Refused(Reply::status(301).with("x-amz-bucket-region", "right-1"))
            }
        }
    });
    service.put("/b/x", b"bytes");
    copy(&scene, &service, &["s3://b/x", "copy"]).code(0);
    assert_eq!(scene.read("copy"), b"bytes");
}

/// Some services say that it is all, and hold what was asked for.
#[test]
fn a_part_is_known_by_what_is_said_of_it() {
    let (scene, bytes) = (Scene::new(), pattern(1, 300_000));
    let object = Object::new(&bytes);
    let service = S3::with(Manners::default(), move |request, _| {
        Fate::Refused(Reply { status: 200, ..object.answer(request) })
    });
    copy(&scene, &service, &["s3://b/x", "copy"]).code(0);
    assert_same(&scene.read("copy"), &bytes, "the copy");
    let object = Object::new(&bytes);
    let whole = S3::with(Manners::default(), move |request, _| {
        Fate::Refused(Reply { status: 200, ..object.answer(request) }.without("Content-Range"))
    });
    copy(&scene, &whole, &["s3://b/x", "other"]).code(3).says(&["all of it"]);
}

/// Headers of the user that a service wants signed are, and it is told no others.
#[test]
fn headers_of_the_user_are_signed_where_the_service_wants_that() {
    let (scene, service) = (Scene::new(), S3::new());
    service.put("/b/x", b"bytes");
    let words = ["-v", "--header", "X-Amz-Request-Payer: requester", "--header", "X-Mine: 1"];
    let words = [&words[..], &["--header", "x-amz-acl: private", "s3://b/x", "copy"]].concat();
    copy(&scene, &service, &words).code(0).says(&["header X-Mine is not told"]);
    let log = service.server.log();
    assert!(log.iter().all(|one| one.header("x-amz-request-payer") == Some("requester")));
    for name in ["x-mine", "x-amz-acl"] {
        assert!(log.iter().all(|one| one.header(name).is_none()), "{name}");
    }
}
