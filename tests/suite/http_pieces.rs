//! An answer of a server is long, and only a piece of it is in memory at a time: it
//! is asked for once, and what has come of it stays if it breaks off.

use std::ops::Range;

use crate::common::{Scene, assert_same, has_tools, pattern, program};
use crate::server::{Body, Object, Reply, Request, Server};

const MIB: u64 = 1 << 20;

/// One request after the other, of 1 MiB each.
const WORDS: [&str; 6] = ["--threads", "1", "--io-size", "1MiB", "--stripe-size", "1MiB"];

/// What was asked for, behind the first byte that every copy asks for.
fn asked(server: &Server) -> Vec<Range<u64>> {
    server.log()[1..].iter().filter_map(Request::range).collect()
}

/// A copy from a server that does to the answer to its second request what `fault`
/// says: what was asked for.
fn after_fault(fault: impl Fn(Reply) -> Reply + Send + Sync + 'static) -> Vec<Range<u64>> {
    let (scene, bytes) = (Scene::new(), pattern(1, 3 * MIB as usize - 1));
    let object = Object::new(&bytes);
    let server = Server::start(move |request| {
        let reply = object.answer(request);
        if request.number == 2 { fault(reply) } else { reply }
    });
    let url = server.url("x");
    scene.pcopy(WORDS.iter().copied().chain([&*url, "copy"])).run().code(0);
    assert_same(&scene.read("copy"), &bytes, "the copy");
    asked(&server)
}

#[test]
fn an_answer_is_asked_for_once_though_it_comes_in_pieces() {
    let end = 3 * MIB - 1;
    assert_eq!(after_fault(|reply| reply), [0..MIB, MIB..2 * MIB, 2 * MIB..end]);
}

#[test]
fn what_came_of_an_answer_that_breaks_off_is_not_asked_for_again() {
    let end = 3 * MIB - 1;
    for cut in [1, 65_535, 65_536, 65_537, 300_000, MIB as usize - 1] {
        let again = MIB + cut as u64..2 * MIB;
        let expected = [0..MIB, MIB..2 * MIB, again, 2 * MIB..end];
        assert_eq!(after_fault(move |reply| reply.way(Body::Cut(cut))), expected, "{cut}");
    }
}

/// Such an answer may turn out to be longer than it should be: until its end has come,
/// nothing of it counts.
#[test]
fn an_answer_that_does_not_say_its_length_brings_one_piece() {
    let asked = after_fault(|reply| reply.way(Body::Chunked));
    let piece = MIB / 16;
    assert_eq!(asked[..2], [0..MIB, MIB..2 * MIB]);
    let pieces = asked[2..].iter().map(|range| range.end - range.start);
    assert!(pieces.clone().all(|len| len == piece || len == piece - 1), "{asked:?}");
    assert_eq!(pieces.count(), 32);
}

#[test]
fn an_answer_that_is_too_long_is_no_part_of_the_object() {
    let asked = after_fault(|mut reply| {
        reply.body.insert(0, b'<');
        reply.way(Body::Chunked)
    });
    assert!(asked[2..].iter().all(|range| range.end - range.start <= MIB / 16), "{asked:?}");
}

/// Scenario S9, with connections.
#[test]
fn what_many_connections_bring_is_not_all_in_memory() {
    if !has_tools(&["time"]) {
        return;
    }
    let (scene, len) = (Scene::new(), 160 << 20);
    let server = Server::of(&vec![7; len]);
    for (connections, request) in [("64", "4MiB"), ("16", "16MiB")] {
        let (program, url) = (program().display().to_string(), server.url("x"));
        let words = ["-f", "%M", &program, "--quiet", "--no-sync", "--force", "--io-size", request];
        let more = ["--connections", connections, &url, "copy"];
        let ended = scene.tool("time", words.iter().chain(&more)).run().code(0);
        let peak: u64 = ended.stderr.trim().parse().expect("a number of KiB");
        println!("measured: {connections} connections, requests of {request}: peak {peak} KiB");
        assert!(peak < 96 << 10, "{connections} connections: {peak} KiB");
        let copied = std::fs::metadata(scene.path("copy")).expect("a copy").len();
        assert_eq!(copied, len as u64);
    }
}

/// Each byte that came was a success: such a server was asked without end.
#[test]
fn a_server_that_breaks_off_after_each_byte_is_given_up() {
    let (scene, bytes) = (Scene::new(), pattern(1, 3000));
    let object = Object::new(&bytes);
    let server = Server::start(move |request| {
        let reply = object.answer(request);
        if request.number == 0 { reply } else { reply.way(Body::Cut(1)) }
    });
    let url = server.url("x");
    for word in ["--no-sync", "--verify"] {
        let words = ["--threads", "1", "--timeout", "5", "--max-retries", "3", word];
        scene.pcopy(words.iter().chain(&["--restart", &url, "copy"])).run().code(5);
    }
    let asked = server.log().len();
    assert!(asked < 40, "{asked} requests");
}

/// A server that has too much to do for a moment, and asks for no pause.
#[test]
fn no_pause_that_a_server_asks_for_is_none_that_the_copy_makes() {
    use std::sync::Mutex;
    use std::time::{Duration, Instant};
    let (scene, bytes) = (Scene::new(), pattern(1, 3000));
    let object = Object::new(&bytes);
    let first: Mutex<Option<Instant>> = Mutex::default();
    let server = Server::start(move |request| {
        let begin = *first.lock().unwrap().get_or_insert_with(Instant::now);
        match request.number > 0 && begin.elapsed() < Duration::from_millis(700) {
            true => Reply::status(503).with("Retry-After", "0"),
            false => object.answer(request),
        }
    });
    let words = ["--threads", "1", "--timeout", "4", &server.url("x"), "copy"];
    scene.pcopy(words).run().code(0);
    assert_same(&scene.read("copy"), &bytes, "the copy");
}
