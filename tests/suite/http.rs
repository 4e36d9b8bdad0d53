//! Sources that a server hands out: whatever it answers, what is copied is the
//! object that was there at the beginning, or the copy says why it is not. No
//! credential is ever shown.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
#[cfg(unix)]
use std::time::Instant;

use crate::common::{Ended, Scene, assert_same, pattern, skip};
use crate::server::{Body, CA, Object, Reply, Request, Server};

/// Words that make many small requests.
const SMALL: [&str; 6] = ["--io-size", "64KiB", "--stripe-size", "64KiB", "--timeout", "2"];

fn copy(scene: &Scene, words: &[&str]) -> Ended {
    scene.pcopy(SMALL.iter().chain(words)).run()
}

/// A server that answers `object` by the rules, and changes what `faults` likes.
fn faulty(
    object: Object,
    faults: impl Fn(&Request, Reply) -> Reply + Send + Sync + 'static,
) -> Server {
    Server::start(move |request| faults(request, object.answer(request)))
}

#[test]
fn a_range_is_asked_for_by_several_requests_of_one_object() {
    let (scene, bytes) = (Scene::new(), pattern(1, 1_000_001));
    let server = Server::of(&bytes);
    let url = server.url("disk.img");
    let report = copy(&scene, &["-r", "100..900_000", "--threads", "4", "--json", &url, "part"]);
    let report = report.code(0).report();
    assert_same(&scene.read("part"), &bytes[100..900_000], "the range");
    assert_eq!(report["source"]["path"], *url);
    assert_eq!(report["source"]["kind"], "http");
    assert_eq!(report["source"]["size"], 1_000_001);
    let log = server.log();
    assert_eq!(log[0].range(), Some(0..1));
    let mut ranges: Vec<_> = log[1..].iter().filter_map(Request::range).collect();
    ranges.sort_by_key(|range| range.start);
    assert_eq!((ranges[0].start, ranges.last().unwrap().end), (100, 900_000));
    assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start), "{ranges:?}");
    for request in &log {
        assert_eq!(request.method, "GET");
        assert_eq!(request.header("accept-encoding"), Some("identity"));
        assert_eq!(request.header("if-range"), None);
    }
    assert!(log[1..].iter().all(|request| request.header("if-match") == Some("\"one\"")));
    // A connection for each worker, and not for each request.
    assert!(server.connections() <= 5, "{} connections", server.connections());
}

#[test]
fn whatever_a_file_gets_an_object_gets() {
    let (scene, bytes) = (Scene::new(), pattern(1, 300_000));
    let server = Server::of(&bytes);
    let url = server.url("x");
    let words = ["--verify", "--digest", "sha256", "--also", "two", "--json", &url, "one"];
    let report = copy(&scene, &words).code(0).report();
    assert_eq!(report["verified"], true, "{report}");
    assert_same(&scene.read("two"), &bytes, "the second one");
    let piped = copy(&scene, &["-r", "-1000", &url, "-"]).code(0);
    assert_same(&piped.stdout, &bytes[299_000..], "a stream");
    copy(&scene, &["--expect", "crc32c:00000000", &url, "three"]).code(4);
    copy(&scene, &["-n", &url, "four"]).code(0);
    copy(&scene, &["-r", "..300_001", &url, "four"]).code(3).says(&["300000"]);
    scene.write("disk", &[0; 400_000]);
    copy(&scene, &["--in-place", "--dest-offset", "512", &url, "disk"]).code(0);
    assert_same(&scene.read("disk")[512..300_512], &bytes, "in place");
    copy(&scene, &["--limit-rate", "10M", &url, "slow"]).code(0);
    assert!(!scene.has("four"));
}

#[test]
fn in_a_directory_a_copy_has_the_last_part_of_the_address_as_its_name() {
    let scene = Scene::new();
    let server = Server::of(b"some bytes");
    std::fs::create_dir(scene.path("into")).unwrap();
    for (path, name) in [
        ("a/plain.img?version=7#part", "plain.img"),
        ("a/gr%C3%B6%C3%9Fe%20x", "größe x"),
        ("..%2F..%2Fup", "..%2F..%2Fup"),
        ("a/folder/", "folder"),
    ] {
        copy(&scene, &[&server.url(path), "into"]).code(0);
        assert_eq!(scene.read(format!("into/{name}")), b"some bytes", "{path}");
    }
    assert!(server.log().iter().any(|request| request.target == "/a/gr%C3%B6%C3%9Fe%20x"));
    copy(&scene, &[&server.url(""), "into"]).code(3);
}

#[test]
fn the_smallest_objects_are_copied() {
    for count in [0, 1, 2] {
        let (scene, bytes) = (Scene::new(), pattern(1, count));
        let server = Server::of(&bytes);
        copy(&scene, &[&server.url("x"), "copy"]).code(0);
        assert_eq!(scene.read("copy"), bytes);
        // As some servers answer for an empty object.
        let whole = faulty(Object::new(&[]), |_, reply| {
            Reply { status: 200, ..reply }.without("Content-Range")
        });
        copy(&scene, &["--force", &whole.url("x"), "copy"]).code(0);
        assert_eq!(scene.read("copy"), b"");
    }
}

/// What passes: the copy is complete, and has the bytes of the object.
#[test]
fn what_goes_wrong_on_the_way_is_asked_for_again() {
    type Faults = fn(&Request, Reply) -> Reply;
    // Each only now and then: a second request has better luck.
    let faults: [(&str, Faults); 14] = [
        ("cut at once", |_, reply| reply.way(Body::Cut(0))),
        ("cut after a byte", |_, reply| reply.way(Body::Cut(1))),
        ("cut in the middle", |_, reply| reply.way(Body::Cut(40_000))),
        ("cut before the last byte", |_, reply| {
            let len = reply.body.len();
            reply.way(Body::Cut(len - 1))
        }),
        ("shorter than it says, in chunks", |_, mut reply| {
            reply.body.pop();
            reply.way(Body::Chunked)
        }),
        ("longer than it says", |_, mut reply| {
            reply.body.push(7);
            reply.way(Body::ToTheEnd)
        }),
        ("other bytes", |request, reply| {
            let range = request.range().unwrap();
            let described = format!("bytes {}-{}/1000001", range.start + 1, range.end);
            reply.with("Content-Range", described)
        }),
        ("earlier bytes", |request, reply| {
            let range = request.range().unwrap();
            let described = format!("bytes {}-{}/1000001", range.start / 2, range.end - 1);
            reply.with("Content-Range", described)
        }),
        ("bytes that nobody knows", |_, reply| reply.without("Content-Range")),
        ("two ranges", |_, reply| {
            reply.without("Content-Range").with("Content-Type", "multipart/byteranges; boundary=x")
        }),
        ("503", |_, _| Reply::status(503).with("Retry-After", "0")),
        ("429", |_, _| Reply::status(429).with("Retry-After", "0")),
        ("a gateway", |_, _| Reply { body: b"<html>".to_vec(), ..Reply::status(502) }),
        ("stalled", |_, reply| reply.way(Body::Stalled(30_000))),
    ];
    for (name, fault) in faults {
        let (scene, bytes) = (Scene::new(), pattern(1, 1_000_001));
        let server = faulty(Object::new(&bytes), move |request, reply| {
            let is_bad = request.number % if name == "stalled" { 11 } else { 3 } == 2;
            if is_bad { fault(request, reply) } else { reply }
        });
        let words = ["--threads", "4", "--timeout", "2", &server.url("x"), "copy"];
        scene.pcopy(SMALL[..4].iter().chain(&words)).run().code(0);
        assert_same(&scene.read("copy"), &bytes, name);
    }
}

#[test]
fn every_way_to_frame_a_body_is_understood() {
    for way in [Body::Chunked, Body::ToTheEnd] {
        let (scene, bytes) = (Scene::new(), pattern(1, 400_000));
        let server = faulty(Object::new(&bytes), move |_, reply| reply.way(way));
        copy(&scene, &[&server.url("x"), "copy"]).code(0);
        assert_same(&scene.read("copy"), &bytes, "the copy");
    }
    let (scene, bytes) = (Scene::new(), pattern(1, 400_000));
    let server = faulty(Object::new(&bytes), |_, reply| Reply { closes: true, ..reply });
    copy(&scene, &[&server.url("x"), "copy"]).code(0);
    assert_same(&scene.read("copy"), &bytes, "a connection for each");
}

/// What does not pass is refused before anything is made.
#[test]
fn what_cannot_be_read_in_ranges_is_refused_at_once() {
    type Faults = fn(&Request, Reply) -> Reply;
    let faults: [(&str, Faults, &str); 10] = [
        ("packed", |_, reply| reply.with("Content-Encoding", "gzip"), "compressed (gzip)"),
        ("no length", |_, reply| reply.with("Content-Range", "bytes 0-0/*"), "how long"),
        ("401", |_, _| Reply::status(401), "401 (it wants credentials"),
        ("403", |_, _| Reply::status(403), "403 (access"),
        ("404", |_, _| Reply::status(404), "404 (there is no such object)"),
        ("400", |_, _| Reply::status(400), "400"),
        ("a long wait", |_, _| Reply::status(503).with("Retry-After", "3600"), "wait for 3600 s"),
        ("a circle", |_, _| Reply::status(302).with("Location", "/x"), "more than 10 times"),
        ("nowhere", |_, _| Reply::status(302), "not said whereto"),
        ("a file", |_, _| Reply::status(301).with("Location", "file:///etc/passwd"), "not HTTP"),
    ];
    for (name, fault, said) in faults {
        let scene = Scene::new();
        let server = faulty(Object::new(&pattern(1, 1000)), fault);
        let ended = copy(&scene, &["--json", &server.url("x"), "copy"]).code(3).says(&[said]);
        assert_eq!(ended.report()["outcome"], "refused", "{name}");
        assert_eq!(scene.names(), [""; 0], "{name}");
    }
    // Nobody listens there: nothing to wait for.
    let scene = Scene::new();
    let server = Server::of(b"x");
    let url = server.url("x");
    drop(server);
    copy(&scene, &["--max-retries", "0", &url, "copy"]).code(3).says(&["refused"]);
    for wrong in ["http://", "http://:80/x", "http://localhost:99999/x", "s3:///x"] {
        let code = copy(&scene, &[wrong, "copy"]).status.code();
        assert!(matches!(code, Some(2 | 3)), "{wrong}: {code:?}");
    }
    copy(&scene, &[&url, "http://localhost/x"]).code(3);
    assert_eq!(scene.names(), [""; 0]);
}

/// What the source is not any more ends the copy, and a later one does not go on
/// from what is not of the same object.
#[test]
fn a_change_of_the_object_ends_the_copy() {
    type Change = fn(&Request, Reply, &Object) -> Reply;
    let changes: [(&str, Change, &str); 9] = [
        ("a rule-abiding server", |request, _, other| other.answer(request), "its tag"),
        (
            "a server that ignores conditions",
            |request, _, other| {
                let mut request = request.clone();
                request.headers.remove("if-match");
                other.answer(&request)
            },
            "its tag was \"one\" and is \"two\"",
        ),
        ("a tag that is gone", |_, reply, _| reply.without("ETag"), "its tag"),
        ("a weak tag", |_, reply, _| reply.with("ETag", "W/\"one\""), "its tag"),
        (
            "another size",
            |request, reply, _| {
                let range = request.range().unwrap();
                reply.with(
                    "Content-Range",
                    format!("bytes {}-{}/9999999", range.start, range.end - 1),
                )
            },
            "its size was 1000001 and is 9999999",
        ),
        (
            "shorter",
            |_, reply, _| Reply { status: 416, ..reply }.with("Content-Range", "bytes */5"),
            "its size was 1000001 and is 5",
        ),
        (
            "all of another",
            |_, reply, other| {
                let body = other.bytes.to_vec();
                Reply { status: 200, body, ..reply }.with("ETag", "\"two\"")
            },
            "its tag",
        ),
        (
            "all of it",
            |_, reply, _| Reply { status: 200, ..reply }.with("Content-Length", 1_000_001),
            "all of it",
        ),
        ("gone", |_, _, _| Reply::status(404), "404"),
    ];
    for (name, change, said) in changes {
        let (scene, bytes) = (Scene::new(), pattern(1, 1_000_001));
        let other = Object::new(&pattern(2, 1_000_001)).tagged("\"two\"");
        let changed = other.clone();
        let server = faulty(Object::new(&bytes), move |request, reply| {
            if request.number < 8 { reply } else { change(request, reply, &changed) }
        });
        let words =
            ["--threads", "1", "--json", "--checkpoint-every", "0", &server.url("x"), "copy"];
        let ended = copy(&scene, &words).code(5).says(&[said]);
        let report = ended.report();
        let is_change = !matches!(name, "gone" | "all of it");
        assert_eq!(
            report["error_kind"],
            if is_change { "source_changed" } else { "read" },
            "{name}"
        );
        assert!(!scene.has("copy"), "{name}");
        assert_eq!(report["failed"].as_array().map(Vec::len), Some(0), "{name}: no bad sectors");
        drop(server);
    }
}

#[test]
fn a_copy_is_resumed_from_the_same_object_only() {
    let (scene, bytes) = (Scene::new(), pattern(1, 1_000_001));
    let phase = Arc::new(AtomicUsize::new(0));
    let (now, object) = (Arc::clone(&phase), Object::new(&bytes));
    let changed = Object::new(&pattern(2, 1_000_001)).tagged("\"two\"");
    let server = Server::start(move |request| match now.load(SeqCst) {
        0 if request.number >= 8 => Reply::status(404),
        2 => changed.answer(request),
        3 => object.clone().tagged("\"three\"").answer(request),
        _ => object.answer(request),
    });
    let url = server.url("x");
    let words = ["--threads", "1", "--checkpoint-every", "0", &url, "copy"];
    copy(&scene, &words).code(5).says(&["to go on from here", "--resume"]);
    let map = String::from_utf8(scene.read("copy.pcopy-map")).unwrap();
    assert!(map.contains("source-tag \"one\""), "{map}");
    phase.store(1, SeqCst);
    copy(&scene, &words).code(3).says(&["--resume"]);
    let resume = || [&["--resume", "--json"][..], &words].concat();
    // Another object under the same address.
    phase.store(2, SeqCst);
    let ended = copy(&scene, &resume()).code(3);
    assert_eq!(ended.report()["error_kind"], "not_what_was_copied");
    // Another tag, and the same bytes: they decide.
    let part = scene.read("copy.pcopy-part");
    phase.store(3, SeqCst);
    let before = server.log().len();
    let report = copy(&scene, &resume()).code(0).report();
    let resumed = report["bytes"]["resumed"].as_u64().unwrap();
    assert!(resumed > 300_000, "{report}");
    assert!(part.len() > 300_000);
    assert_same(&scene.read("copy"), &bytes, "the copy");
    assert!(server.log().len() > before);
}

#[test]
fn nothing_that_was_copied_is_asked_for_again() {
    let (scene, bytes) = (Scene::new(), pattern(1, 8_000_001));
    let phase = Arc::new(AtomicUsize::new(0));
    let (now, object) = (Arc::clone(&phase), Object::new(&bytes));
    let server = Server::start(move |request| match now.load(SeqCst) {
        0 if request.number >= 80 => Reply::status(404),
        _ => object.answer(request),
    });
    let url = server.url("x");
    let words = ["--threads", "1", "--checkpoint-every", "0", &url, "copy"];
    copy(&scene, &words).code(5);
    phase.store(1, SeqCst);
    let before = server.log().len();
    let resume = [&["--resume", "--json"][..], &words].concat();
    let report = copy(&scene, &resume).code(0).report();
    let resumed = report["bytes"]["resumed"].as_u64().unwrap();
    assert!(resumed > 5_000_000, "{report}");
    let ranges = server.log()[before..].iter().filter_map(Request::range).collect::<Vec<_>>();
    let asked: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    // But for the places by which it is seen that the part is that of the object.
    let most = 8_000_001 - resumed + (1 << 20) + 1;
    assert!(asked <= most, "{asked} bytes asked for, {resumed} resumed");
    assert_same(&scene.read("copy"), &bytes, "the copy");
}

#[test]
fn weak_tags_and_dates_are_compared_and_not_made_a_condition() {
    let (scene, bytes) = (Scene::new(), pattern(1, 300_000));
    let weak = Object::new(&bytes).tagged("W/\"one\"");
    let answer = weak.clone();
    let server = Server::start(move |request| answer.answer(request));
    copy(&scene, &[&server.url("x"), "copy"]).code(0);
    assert!(server.log().iter().all(|request| request.header("if-match").is_none()));
    let later = "Sun, 06 Nov 1994 08:49:38 GMT";
    let server =
        faulty(
            weak,
            move |request, reply| {
                if request.number < 3 { reply } else { reply.with("Last-Modified", later) }
            },
        );
    let ended = copy(&scene, &["--threads", "1", &server.url("x"), "other"]).code(5);
    ended.says(&["modification time"]);
    // Nothing at all to tell it by: that is said.
    let none = Object { modified: None, ..Object::new(&bytes).tagged("") };
    let server = Server::start(move |request| none.answer(request));
    copy(&scene, &["-v", &server.url("x"), "third"]).code(0).says(&["would not be noticed"]);
}

#[test]
fn a_redirection_is_followed_once_and_again_when_its_end_is_gone() {
    let (scene, bytes) = (Scene::new(), pattern(1, 500_000));
    let object = Object::new(&bytes);
    let valid = Arc::new(AtomicUsize::new(1));
    let server = Server::start(move |request| {
        let current = valid.load(SeqCst);
        if request.target == "/named" {
            return Reply::status(302).with("Location", format!("signed?sig={current}"));
        }
        if request.target == format!("/signed?sig={current}") {
            if request.number == 5 {
                // What it leads to holds for a while only.
                valid.store(current + 1, SeqCst);
            }
            return object.answer(request);
        }
        Reply::status(403)
    });
    let ended = copy(&scene, &["-v", "--threads", "1", &server.url("named"), "copy"]).code(0);
    assert_same(&scene.read("copy"), &bytes, "the copy");
    let named = server.log().iter().filter(|request| request.target == "/named").count();
    assert_eq!(named, 2);
    assert!(!ended.stderr.contains("sig="), "{}", ended.stderr);
    ended.says(&["is redirected to"]);
    // Not to something that can be read on the way.
    let plain = server.url("named");
    let secure = Server::secure(move |_| Reply::status(307).with("Location", &plain));
    let mut run = scene.pcopy([&secure.url("x"), "other"]);
    run.command.env("SSL_CERT_FILE", CA);
    run.run().code(3).says(&["not be secure"]);
}

const SECRETS: [&str; 5] = ["topsecret", "dG9wc2VjcmV0", "bWU6", "hiddenvalue", "0123abcd"];

fn check_no_secret(scene: &Scene, ended: &Ended) {
    let mut texts = vec![ended.stderr.clone(), String::from_utf8_lossy(&ended.stdout).into_owned()];
    for name in scene.names().iter().filter(|name| name.contains("map")) {
        texts.push(String::from_utf8_lossy(&scene.read(name)).into_owned());
    }
    for text in texts {
        for secret in SECRETS {
            assert!(!text.contains(secret), "{secret} in:\n{text}");
        }
    }
}

#[test]
fn credentials_go_to_the_server_and_nowhere_else() {
    let (scene, bytes) = (Scene::new(), pattern(1, 700_000));
    let object = Object::new(&bytes);
    let other = {
        let object = object.clone();
        Server::start(move |request| object.answer(request))
    };
    let target = other.url("elsewhere").replace("127.0.0.1", "localhost");
    let server = Server::start(move |request| {
        let is_me = request.header("authorization") == Some("Basic bWU6dG9wc2VjcmV0")
            && request.header("x-key") == Some("hiddenvalue");
        match request.target.as_str() {
            _ if !is_me => Reply::status(401),
            "/away" => Reply::status(302).with("Location", &target),
            _ if request.number > 6 => Reply::status(403),
            _ => object.answer(request),
        }
    });
    let url = |path: &str| server.url(path).replace("//", "//me:topsecret@");
    let header = "X-Key: hiddenvalue";
    let words = |path: &str, name: &str| {
        let url = url(&format!("{path}?X-Amz-Signature=0123abcd&id=7"));
        ["--header", header, "--threads", "1", "-v", "--checkpoint-every", "0", &url, name]
            .map(str::to_owned)
    };
    let all = |words: &[String]| {
        scene.pcopy(SMALL.iter().map(|word| (*word).to_owned()).chain(words.iter().cloned())).run()
    };
    let failed = all(&words("x", "copy")).code(5).says(&["?id=7", "to go on from here"]);
    check_no_secret(&scene, &failed);
    assert!(!failed.stderr.contains("--header"), "{}", failed.stderr);
    let mut json = words("x", "copy").to_vec();
    json.insert(0, "--json".to_owned());
    check_no_secret(&scene, &all(&json).code(3));
    json[2] = "X-Key: wrong".to_owned();
    json.pop();
    json.push("new".to_owned());
    let refused = all(&json).code(3).says(&["401", "--header"]);
    check_no_secret(&scene, &refused);
    for command in ["verify", "bench"] {
        let ended = scene.pcopy([command, "--json", &url("x"), "copy.pcopy-part"]).run();
        assert_ne!(ended.status.code(), Some(0));
        check_no_secret(&scene, &ended);
    }
    check_no_secret(&scene, &scene.pcopy(["copy.pcopy-part", &url("x")]).run().code(3));
    let bad = scene.pcopy(["--header", "Range: topsecret", "a", "b"]).run().code(2);
    assert!(bad.stderr.contains("Range"), "{}", bad.stderr);

    let redirected = url("away");
    let away = [&SMALL[..], &["--header", header, &redirected, "away"]].concat();
    scene.pcopy(&away).run().code(0);
    assert!(other.log().len() > 3);
    for request in other.log() {
        assert_eq!(request.header("authorization"), None);
        assert_eq!(request.header("x-key"), None);
    }
}

#[test]
fn names_and_passwords_may_stand_in_a_file() {
    let (scene, bytes) = (Scene::new(), pattern(1, 1000));
    let object = Object::new(&bytes);
    let server = Server::start(move |request| match request.header("authorization") {
        Some("Basic bWU6dG9wc2VjcmV0") => object.answer(request),
        _ => Reply::status(401),
    });
    scene.write(
        "netrc",
        b"machine other login you password x\nmachine 127.0.0.1 login me password topsecret\n",
    );
    let mut run = scene.pcopy([&server.url("x"), "copy"]);
    run.command.env("NETRC", scene.path("netrc"));
    run.run().code(0);
    copy(&scene, &[&server.url("x"), "other"]).code(3).says(&["401", "--header"]);
}

#[test]
fn a_secure_server_must_be_known() {
    let (scene, bytes) = (Scene::new(), pattern(1, 600_000));
    let object = Object::new(&bytes);
    let server = Server::secure(move |request| object.answer(request));
    let run = |ca: Option<&str>, url: &str, name: &str| {
        let mut run = scene.pcopy(SMALL.iter().copied().chain([url, name]));
        ca.map(|ca| run.command.env("SSL_CERT_FILE", ca));
        run.run()
    };
    let url = server.url("x");
    run(Some(CA), &url, "copy").code(0);
    assert_same(&scene.read("copy"), &bytes, "the copy");
    run(Some(CA), &url.replace("127.0.0.1", "localhost"), "named").code(0);
    run(None, &url, "other").code(3).says(&["no secure connection"]);
    run(Some("missing.pem"), &url, "other").code(2).says(&["missing.pem"]);
    scene.write("none.pem", b"no certificate");
    run(Some("none.pem"), &url, "other").code(2).says(&["none.pem"]);
    // One that speaks something else.
    run(Some(CA), &Server::of(b"x").url("x").replace("http", "https"), "other").code(3);
}

#[test]
fn a_proxy_is_asked_to_connect() {
    let (scene, bytes) = (Scene::new(), pattern(1, 1000));
    let server = Server::of(&bytes);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let proxy = Server::start(move |request| {
        let said = request.header("proxy-authorization").map(str::to_owned);
        log.lock().unwrap().push((request.method.clone(), request.target.clone(), said));
        Reply::status(403)
    });
    let run = |variables: &[(&str, &str)]| {
        let mut run = scene.pcopy([&server.url("x"), "copy", "--force", "--max-retries", "0"]);
        run.command.envs(variables.iter().copied());
        run.run()
    };
    let address = proxy.url("").replace("//", "//me:topsecret@");
    let ended = run(&[("http_proxy", &address)]).code(3).says(&["proxy"]);
    check_no_secret(&scene, &ended);
    let place = server.address().to_string();
    let first = seen.lock().unwrap().first().cloned();
    let said = Some("Basic bWU6dG9wc2VjcmV0".to_owned());
    assert_eq!(first, Some(("CONNECT".to_owned(), place, said)));
    run(&[("http_proxy", &address), ("no_proxy", "other,127.0.0.1")]).code(0);
    run(&[("https_proxy", &address)]).code(0);
    // Windows knows one variable by both names.
    run(&[("HTTP_PROXY", &address)]).code(if cfg!(windows) { 3 } else { 0 });
    run(&[("http_proxy", "socks5://127.0.0.1:1")]).code(2).says(&["proxy"]);
}

#[test]
fn an_address_may_be_of_the_sixth_version() {
    let (scene, bytes) = (Scene::new(), pattern(1, 100_000));
    let object = Object::new(&bytes);
    let here = std::net::IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);
    let Ok(server) = Server::at(here, None, move |request| object.answer(request)) else {
        return skip("no IPv6 here");
    };
    copy(&scene, &[&server.url("x"), "copy"]).code(0);
    assert_same(&scene.read("copy"), &bytes, "the copy");
    assert_eq!(server.log()[0].header("host"), Some(&*server.address().to_string()));
}

/// A server that says nothing holds nobody up who wants to stop.
#[cfg(unix)]
#[test]
fn a_wish_to_stop_is_heard_while_a_server_says_nothing() {
    use rustix::process::Signal;
    for (name, from) in [("at the beginning", 0), ("in the middle", 4)] {
        let (scene, bytes) = (Scene::new(), pattern(1, 1_000_001));
        let stalled = Arc::new(AtomicUsize::new(0));
        let (count, object) = (Arc::clone(&stalled), Object::new(&bytes));
        let server = Server::start(move |request| {
            if request.number < from {
                return object.answer(request);
            }
            count.fetch_add(1, SeqCst);
            match request.number % 3 {
                0 => object.answer(request).way(Body::Stalled(0)),
                1 => object.answer(request).way(Body::Stalled(1000)),
                _ => Reply::status(503).with("Retry-After", "100"),
            }
        });
        let url = server.url("x");
        let words = ["--io-size", "64K", "--threads", "3", &url, "copy"];
        let running = scene.pcopy(words).start();
        let begin = Instant::now();
        while stalled.load(SeqCst) == 0 {
            assert!(begin.elapsed() < Duration::from_secs(60), "{name}: nothing was asked");
            std::thread::yield_now();
        }
        let begin = Instant::now();
        running.signal(Signal::INT);
        running.end().died_by(Signal::INT);
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(5), "{name}: {took:?}");
    }
}

#[test]
fn a_server_that_stays_away_leaves_a_copy_to_resume() {
    let (scene, bytes) = (Scene::new(), pattern(1, 1_000_001));
    let server = faulty(Object::new(&bytes), |request, reply| {
        if request.number < 8 { reply } else { reply.way(Body::Stalled(0)) }
    });
    let url = server.url("x");
    let words = ["--threads", "1", "--checkpoint-every", "0", "--max-retries", "1", &url, "copy"];
    let words = [&SMALL[..4], &["--timeout", "1"], &words].concat();
    let ended = scene.pcopy(&words).run().code(5);
    ended.says(&["did not answer", "--resume"]);
    drop(server);
    assert!(scene.has("copy.pcopy-part") && scene.has("copy.pcopy-map"));
}

/// What comes as slowly as it can without a stop is taken as it comes.
#[test]
fn too_much_to_do_for_a_server_makes_fewer_requests() {
    let (scene, bytes) = (Scene::new(), pattern(1, 2_000_000));
    let (active, most) = (Arc::new(AtomicUsize::new(0)), 3);
    let object = Object::new(&bytes);
    let (now, refused) = (Arc::clone(&active), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&refused);
    let server = Server::start(move |request| {
        let before = now.fetch_add(1, SeqCst);
        std::thread::sleep(Duration::from_millis(50));
        now.fetch_sub(1, SeqCst);
        if before < most {
            return object.answer(request);
        }
        count.fetch_add(1, SeqCst);
        Reply::status(503)
    });
    let words = ["--connections", "16", "--max-retries", "30", &server.url("x"), "copy"];
    copy(&scene, &words).code(0);
    assert_same(&scene.read("copy"), &bytes, "the copy");
    assert!(refused.load(SeqCst) > 0);
}

/// A list says which parts of an object are wanted: no others are asked for.
#[test]
fn ranges_of_a_list_are_all_that_is_asked_for() {
    let (scene, bytes) = (Scene::new(), pattern(1, 1_000_000));
    let server = Server::of(&bytes);
    let url = server.url("disk.img");
    scene.write("list.csv", b"start,end\n10,5000\n700000,900000\n");
    let line = format!("batch list.csv --source {url} --into-file new --verify");
    scene.run(&line).code(0);
    let mut expected = vec![0; 900_000];
    expected[10..5000].copy_from_slice(&bytes[10..5000]);
    expected[700_000..].copy_from_slice(&bytes[700_000..900_000]);
    assert_same(&scene.read("new"), &expected, "the ranges");
    let asked = server.log()[1..].iter().filter_map(Request::range).collect::<Vec<_>>();
    let is_wanted = |range: &std::ops::Range<u64>| range.end <= 5000 || range.start >= 700_000;
    assert!(asked.iter().all(is_wanted), "{asked:?}");
}

/// Little's law: what takes longer to arrive is asked for more at once.
#[test]
fn a_server_that_answers_late_is_asked_for_more_at_once() {
    let (scene, bytes) = (Scene::new(), pattern(1, 4_000_000));
    let (active, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, peak, object) = (Arc::clone(&active), Arc::clone(&most), Object::new(&bytes));
    let server = Server::start(move |request| {
        peak.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
        std::thread::sleep(Duration::from_millis(400));
        now.fetch_sub(1, SeqCst);
        object.answer(request)
    });
    copy(&scene, &[&server.url("x"), "copy"]).code(0);
    assert_same(&scene.read("copy"), &bytes, "the copy");
    let most = most.load(SeqCst);
    assert!(most >= 15, "{most} requests at once");
    copy(&scene, &["--connections", "1", "-r", "..200_000", &server.url("x"), "one"]).code(0);
}
