//! Many ranges of what servers hand out, and many objects: a batch of them is as
//! one of files. Connections are shared, and neighbours come in one request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::common::{Ended, Scene, assert_same, pattern};
use crate::server::{Object, Reply, Request, Server};

fn batch(scene: &Scene, words: &[&str]) -> Ended {
    scene.pcopy(["batch", "--timeout", "2"].iter().chain(words)).run()
}

/// A server of several objects, `/1` and so on, which differ.
fn several(len: usize) -> (Server, impl Fn(u64) -> Vec<u8>) {
    let bytes = move |number: u64| pattern(number, len + number as usize);
    let server = Server::start(move |request| {
        let number: u64 = match request.target[1..].split(['?', '.']).next().unwrap().parse() {
            Ok(number) => number,
            Err(_) => return Reply::status(404),
        };
        Object::new(&bytes(number)).tagged(&format!("\"{number}\"")).answer(request)
    });
    (server, bytes)
}

fn ranges(requests: &[Request]) -> Vec<std::ops::Range<u64>> {
    requests.iter().filter_map(Request::range).collect()
}

#[test]
fn ranges_of_one_object_share_connections_and_neighbours_share_requests() {
    let (scene, bytes) = (Scene::new(), pattern(1, 9_000_001));
    let server = Server::of(&bytes);
    // Two hundred small neighbours, with gaps; a large one; the end.
    let mut list = String::from("name,start,len\n");
    for number in 0..200 {
        list += &format!("small/{number},{},1000\n", number * 5000);
    }
    list += "large,1500000,6000000\nend,9000000,1\nempty,7,0\n";
    scene.write("list.csv", list.as_bytes());
    let url = server.url("disk.img");
    let words = ["--source", &url, "--into", "out", "--json", "list.csv"];
    let report = batch(&scene, &words).code(0).report();
    assert_eq!(report["items"]["complete"], 203, "{report}");
    for number in 0..200 {
        let found = scene.read(format!("out/small/{number}"));
        assert_same(&found, &bytes[number * 5000..][..1000], "a small one");
    }
    assert_same(&scene.read("out/large"), &bytes[1_500_000..7_500_000], "the large one");
    assert_same(&scene.read("out/end"), &bytes[9_000_000..], "the end");
    assert_eq!(scene.read("out/empty"), b"");
    let asked = ranges(&server.log());
    // What is small is asked for together, what is large by several requests.
    assert!(asked.len() < 16, "{} requests", asked.len());
    assert!(asked.iter().all(|range| range.end - range.start <= 4 << 20), "{asked:?}");
    assert!(server.connections() <= asked.len().min(17), "{} connections", server.connections());
    // Again: everything is there.
    batch(&scene, &[&["--resume"], &words[..]].concat()).code(0);
    batch(&scene, &words).code(3);
    // Compared, and found to differ.
    let compare = ["--compare", "--source", &url, "--into", "out", "list.csv"];
    batch(&scene, &compare).code(0);
    scene.write("out/small/7", &[0; 1000]);
    batch(&scene, &compare).code(4);
    batch(&scene, &["--force", "--verify", "--digest", "sha256", "--source", &url, "list.csv"])
        .code(0);
    assert_same(&scene.read("small/7"), &bytes[35_000..36_000], "a verified one");
}

#[test]
fn a_list_may_name_many_objects() {
    let scene = Scene::new();
    let (server, bytes) = several(100_000);
    let mut list = String::from("name,source,start,len\n");
    for number in 1..=40 {
        list += &format!("whole/{number},{},,\n", server.url(&number.to_string()));
        list += &format!("part/{number},{},1000,70000\n", server.url(&number.to_string()));
    }
    scene.write("local", b"some bytes");
    list += "local copy,local,5,5\n";
    scene.write("list.csv", list.as_bytes());
    batch(&scene, &["--into", "out", "list.csv"]).code(0);
    for number in 1..=40 {
        let bytes = bytes(number);
        assert_same(&scene.read(format!("out/whole/{number}")), &bytes, "a whole one");
        assert_same(&scene.read(format!("out/part/{number}")), &bytes[1000..71_000], "a part");
    }
    assert_eq!(scene.read("out/local copy"), b"bytes");
    assert!(server.connections() <= 48, "{} connections", server.connections());
    // To offsets of one file.
    let list = format!(
        "name,source,start,len,dest_offset\na,{},10,50000,0\nb,{},0,40000,60000\n",
        server.url("3"),
        server.url("4")
    );
    scene.write("onto.csv", list.as_bytes());
    scene.write("image", &[0; 100_000]);
    batch(&scene, &["--into-file", "image", "--in-place", "onto.csv"]).code(0);
    let image = scene.read("image");
    assert_same(&image[..50_000], &bytes(3)[10..50_010], "the first");
    assert_same(&image[60_000..], &bytes(4)[..40_000], "the second");
}

#[test]
fn several_addresses_are_several_sources() {
    let scene = Scene::new();
    let (server, bytes) = several(300_000);
    std::fs::create_dir(scene.path("into")).unwrap();
    std::fs::create_dir(scene.path("also")).unwrap();
    scene.write("local", b"some bytes");
    let (one, two) = (server.url("1.img?sig=secret"), server.url("2.img"));
    let words = ["--verify", "--digest", "md5", "--also", "also", &one, "local", &two, "into"];
    let ended = scene.pcopy(words).run().code(0);
    assert_eq!(ended.out().lines().count(), 3);
    for folder in ["into", "also"] {
        assert_same(&scene.read(format!("{folder}/1.img")), &bytes(1), "the first");
        assert_same(&scene.read(format!("{folder}/2.img")), &bytes(2), "the second");
        assert_eq!(scene.read(format!("{folder}/local")), b"some bytes");
    }
    scene.pcopy(["verify", &one, "local", &two, "into"]).run().code(0);
    scene.write("into/2.img", &bytes(1));
    scene.pcopy(["verify", &one, "local", &two, "into"]).run().code(4);
    scene.pcopy([&one, &server.url("a/1.img"), "into"]).run().code(2).says(&["would both be"]);
    let ended = scene.pcopy([&one, &server.url(""), "into"]).run().code(2).says(&["no name"]);
    assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
    scene.pcopy(["-p", &one, &two, "also"]).run().code(2).says(&["attributes"]);
}

#[test]
fn what_an_address_cannot_be_in_a_list_is_said() {
    let scene = Scene::new();
    let object = Object::new(&pattern(1, 100_000));
    let server = Server::start(move |request| match &*request.target {
        "/whole" => object.whole(),
        "/x" => object.answer(request),
        _ => Reply::status(404),
    });
    let list = format!(
        "name,source,start,len\na,{},0,10\nb,{},0,10\nc,{},99999,2\n",
        server.url("whole"),
        server.url("missing?sig=secret"),
        server.url("x")
    );
    scene.write("list.csv", list.as_bytes());
    let ended = batch(&scene, &["--into", "out", "list.csv"]).code(3);
    let ended = ended.says(&["line 2", "all of it instead of a range", "line 3", "404", "line 4"]);
    assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
    assert!(!scene.has("out"));
    let ended = batch(&scene, &["--skip-outside", "--into", "out", "list.csv"]).code(3);
    ended.says(&["1 left out"]);
}

#[test]
fn a_change_of_the_one_object_ends_a_batch_and_it_can_be_resumed() {
    let (scene, bytes) = (Scene::new(), pattern(1, 3_000_000));
    let phase = Arc::new(AtomicUsize::new(0));
    let (now, object) = (Arc::clone(&phase), Object::new(&bytes));
    let changed = Object::new(&pattern(2, 3_000_000)).tagged("\"two\"");
    let server = Server::start(move |request| match now.load(SeqCst) {
        0 if request.number > 10 => changed.answer(request),
        1 if request.number > 24 => Reply::status(404),
        _ => object.answer(request),
    });
    let mut list = String::from("name,start,len\n");
    for number in 0..30 {
        list += &format!("{number},{},100000\n", number * 100_000);
    }
    scene.write("list.csv", list.as_bytes());
    let url = server.url("x");
    let words = ["--io-size", "64KiB", "--jobs", "2", "--source", &url, "--into", "out"];
    let words = [&words[..], &["--json", "list.csv"]].concat();
    let report = batch(&scene, &words).code(5).report();
    assert_eq!(report["error_kind"], "source_changed", "{report}");
    phase.store(1, SeqCst);
    let resume = [&["--resume"], &words[..]].concat();
    let report = batch(&scene, &resume).code(5).report();
    assert_eq!(report["error_kind"], "read", "{report}");
    phase.store(2, SeqCst);
    batch(&scene, &resume).code(0);
    for number in 0..30 {
        let expected = &bytes[number * 100_000..][..100_000];
        assert_same(&scene.read(format!("out/{number}")), expected, "a part");
    }
}

#[test]
fn credentials_of_a_list_are_in_no_report() {
    let scene = Scene::new();
    let (server, _) = several(1000);
    let source = server.url("1?sig=topsecret").replace("//", "//me:topsecret@");
    scene.write("list.csv", format!("name,source,start,len\na,{source},,\n").as_bytes());
    let words = ["--report", "report.jsonl", "--header", "X-Key: topsecret", "-v", "list.csv"];
    let ended = batch(&scene, &words).code(0);
    let report = String::from_utf8(scene.read("report.jsonl")).unwrap();
    assert!(report.contains(&server.url("1")), "{report}");
    assert!(!report.contains("topsecret") && !ended.stderr.contains("topsecret"));
    assert_eq!(server.log()[0].header("x-key"), Some("topsecret"));
}

/// Servers that say nothing hold nobody up who wants to stop, nor does a list of many.
#[cfg(unix)]
#[test]
fn a_wish_to_stop_is_heard_while_the_objects_of_a_list_are_opened() {
    use rustix::process::Signal;
    let scene = Scene::new();
    let server = Server::start(|_| Reply::status(503).with("Retry-After", "100"));
    let mut list = String::from("name,source\n");
    (0..40).for_each(|number| list += &format!("{number},{}\n", server.url(&number.to_string())));
    scene.write("list.csv", list.as_bytes());
    let running = scene.pcopy(["batch", "--into", "out", "list.csv"]).start();
    crate::common::wait_until("it asks", || server.requests() > 0);
    let begin = std::time::Instant::now();
    running.signal(Signal::INT);
    running.end().died_by(Signal::INT);
    assert!(begin.elapsed() < std::time::Duration::from_secs(5), "{:?}", begin.elapsed());
    assert!(!scene.has("out"));
}
