//! Servers that know no ranges: what they send is a stream, read once and in order,
//! and the copy says so. What ends too early is never taken for all of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use crate::common::{Ended, Scene, assert_same, pattern};
use crate::server::{Body, Object, Reply, Server};

const NOTE: &str = "instead of the range that was asked for";

fn copy(scene: &Scene, words: &[&str]) -> Ended {
    scene.pcopy(["--io-size", "64KiB", "--timeout", "2"].iter().chain(words)).run()
}

/// A server that sends all of `bytes`, in its way.
fn server(bytes: &[u8], way: Body) -> Server {
    let object = Object::new(bytes);
    Server::start(move |_| object.whole().way(way))
}

#[test]
fn all_of_an_object_is_taken_as_one_stream_and_that_is_said() {
    for way in [Body::Whole, Body::Chunked, Body::ToTheEnd] {
        let (scene, bytes) = (Scene::new(), pattern(1, 1_000_001));
        let server = server(&bytes, way);
        let url = server.url("x");
        let ended = copy(&scene, &["--threads", "3", "--also", "two", &url, "one"]);
        let ended = ended.code(0).says(&[NOTE]);
        let warns = ended.stderr.contains("where it ends");
        assert_eq!(warns, way == Body::ToTheEnd, "{way:?}: {}", ended.stderr);
        assert_same(&scene.read("one"), &bytes, "the copy");
        assert_same(&scene.read("two"), &bytes, "the second one");
        // One request: what an address leads to may be handed out but once.
        assert_eq!(server.log().len(), 1);
        let words =
            ["-r", "100..500_000", "--verify", "--digest", "sha256", "--json", &url, "part"];
        let report = copy(&scene, &words).code(0).report();
        assert_same(&scene.read("part"), &bytes[100..500_000], "a range");
        assert_eq!(report["verified"], true, "{report}");
        let piped = copy(&scene, &["-r", "999_000..", &url, "-"]).code(0);
        assert_same(&piped.stdout, &bytes[999_000..], "the end of it");
        scene.write("disk", &[0; 2_000_000]);
        copy(&scene, &["--in-place", "--dest-offset", "512", &url, "disk"]).code(0);
        assert_same(&scene.read("disk")[512..1_000_513], &bytes, "in place");
        copy(&scene, &["--expect", "crc32c:00000000", &url, "three"]).code(4);
        copy(&scene, &["-n", &url, "four"]).code(0).says(&[NOTE]);
        assert!(!scene.has("four") && !scene.has("three"));
    }
}

#[test]
fn a_length_that_was_said_is_known_from_the_beginning() {
    let (scene, bytes) = (Scene::new(), pattern(1, 300_000));
    let known = server(&bytes, Body::Whole);
    let report = copy(&scene, &["--json", &known.url("x"), "copy"]).code(0).report();
    assert_eq!(report["source"]["size"], 300_000);
    copy(&scene, &["-r", "-1000", &known.url("x"), "last"]).code(0);
    assert_same(&scene.read("last"), &bytes[299_000..], "the last bytes");
    copy(&scene, &["-r", "..300_001", &known.url("x"), "more"]).code(3).says(&["300000"]);
    let words = ["--clamp", "-r", "100..300_001", &known.url("x"), "clamped"];
    copy(&scene, &words).code(0);
    assert_same(&scene.read("clamped"), &bytes[100..], "what exists");
    // In chunks, nobody knows before the end.
    let unknown = server(&bytes, Body::Chunked);
    copy(&scene, &["-r", "-1000", &unknown.url("x"), "more"]).code(3).says(&["before it ends"]);
    copy(&scene, &["-r", "..300_001", &unknown.url("x"), "more"]).code(5);
    assert!(!scene.has("more"));
    let report = copy(&scene, &["--json", &unknown.url("x"), "other"]).code(0).report();
    assert_eq!(report["source"]["size"], 300_000);
}

#[test]
fn what_ends_too_early_is_no_copy() {
    for way in [Body::Cut(0), Body::Cut(1), Body::Cut(200_000), Body::Cut(299_999)]
        .into_iter()
        .chain([Body::ChunkedCut(0), Body::ChunkedCut(1000), Body::ChunkedCut(300_000)])
        .chain([Body::Stalled(100_000)])
    {
        let (scene, bytes) = (Scene::new(), pattern(1, 300_000));
        let server = server(&bytes, way);
        let words = ["--timeout", "1", "--json", &server.url("x"), "copy"];
        let report = scene.pcopy(words).run().code(5).report();
        assert_eq!(report["error_kind"], "read", "{way:?}: {report}");
        assert!(!scene.has("copy"), "{way:?}");
    }
}

#[test]
fn one_stream_cannot_be_resumed() {
    let (scene, bytes) = (Scene::new(), pattern(1, 300_000));
    let broken = server(&bytes, Body::Cut(200_000));
    let ended = copy(&scene, &[&broken.url("x"), "copy"]).code(5);
    assert!(!ended.stderr.contains("--resume"), "{}", ended.stderr);
    let well = server(&bytes, Body::Whole);
    let url = well.url("x");
    copy(&scene, &["--resume", &url, "copy"]).code(2).says(&["all of it instead of a range"]);
    copy(&scene, &["--restart", &url, "copy"]).code(0);
    assert_same(&scene.read("copy"), &bytes, "the copy");
    // A server that knew ranges when the copy began.
    let object = Object::new(&bytes);
    let knows_ranges = Arc::new(AtomicBool::new(true));
    let now = Arc::clone(&knows_ranges);
    let forgets = Server::start(move |request| match now.load(SeqCst) {
        true if request.number < 3 => object.answer(request),
        true => Reply::status(404),
        false => object.whole(),
    });
    let words = ["--threads", "1", "--checkpoint-every", "0", &forgets.url("x"), "other"];
    copy(&scene, &words).code(5).says(&["--resume"]);
    knows_ranges.store(false, SeqCst);
    copy(&scene, &[&["--resume"], &words[..]].concat()).code(2).says(&["all of it"]);
    assert!(scene.has("other.pcopy-part"));
}

#[test]
fn a_packed_stream_is_refused() {
    let scene = Scene::new();
    let object = Object::new(&pattern(1, 1000));
    let server = Server::start(move |_| object.whole().with("Content-Encoding", "gzip"));
    copy(&scene, &[&server.url("x"), "copy"]).code(3).says(&["compressed (gzip)"]);
    assert_eq!(scene.names(), [""; 0]);
}

/// A server that says nothing holds nobody up who wants to stop.
#[cfg(unix)]
#[test]
fn a_wish_to_stop_is_heard_in_a_stream_that_stalls() {
    use rustix::process::Signal;
    let (scene, bytes) = (Scene::new(), pattern(1, 1_000_001));
    let server = server(&bytes, Body::Stalled(500_000));
    let words = ["--io-size", "64K", "--progress", "json", &server.url("x"), "copy"];
    let mut running = scene.pcopy(words).start();
    running.wait_until_copied(1);
    let begin = std::time::Instant::now();
    running.signal(Signal::INT);
    running.end().died_by(Signal::INT);
    assert!(begin.elapsed() < std::time::Duration::from_secs(5), "{:?}", begin.elapsed());
}
