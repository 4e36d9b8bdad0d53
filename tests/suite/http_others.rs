//! Comparing and measuring what servers hand out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::common::{Scene, pattern};
use crate::server::{Object, Reply, Server};

#[test]
fn either_side_of_a_comparison_may_be_an_address() {
    let (scene, bytes) = (Scene::new(), pattern(1, 3_000_001));
    let server = Server::of(&bytes);
    let url = server.url("disk.img");
    scene.write("disk.img", &bytes);
    scene.write("part", &bytes[100..2_000_000]);
    let verify = |words: &[&str]| scene.pcopy(["verify"].iter().chain(words)).run();
    let report = verify(&["--json", "--digest", "sha256", &url, "disk.img"]).code(0).report();
    assert_eq!(report["verified"], true, "{report}");
    assert_eq!(report["source"]["kind"], "http");
    let report = verify(&["--json", "disk.img", &url]).code(0).report();
    assert_eq!(
        (&report["destination"]["kind"], &report["verified_by"]),
        (&"http".into(), &"read".into())
    );
    verify(&["--connections", "3", &url, "."]).code(0);
    verify(&["-r", "100..2_000_000", &url, "part"]).code(0);
    verify(&["--dest-offset", "100", "part", &url]).code(0);
    verify(&["part", &url]).code(4);
    verify(&[&url, &url]).code(3).says(&["same object"]);
    verify(&["--dest-offset", "1", &url, &url]).code(4);
    let other = Server::of(&bytes);
    verify(&[&url, &other.url("x")]).code(0);
    let mut changed = bytes.clone();
    changed[1_500_000] ^= 1;
    scene.write("disk.img", &changed);
    verify(&[&url, "disk.img"]).code(4);
    let report = verify(&["--json", "disk.img", &url]).code(4).report();
    let first = report["mismatches"][0]["start"].as_u64().unwrap();
    assert!((1_400_000..=1_500_000).contains(&first), "{report}");
    // Shorter than the file, and longer.
    scene.write("disk.img", &[&bytes[..], b"more"].concat());
    verify(&["disk.img", &url]).code(4);
    scene.write("disk.img", &bytes[..1_000_000]);
    verify(&["disk.img", &url]).code(0).says(&["has 2000001 bytes more"]);
    assert!(server.log().iter().all(|request| request.method == "GET"));
}

#[test]
fn what_becomes_of_an_address_while_it_is_compared_is_said() {
    let (scene, bytes) = (Scene::new(), pattern(1, 9_000_001));
    scene.write("file", &bytes);
    for (code, said) in [(412, "changed"), (404, "404")] {
        let now = Arc::new(AtomicUsize::new(0));
        let object = Object::new(&bytes);
        let count = Arc::clone(&now);
        let server = Server::start(move |request| match count.fetch_add(1, SeqCst) {
            0 | 1 => object.answer(request),
            _ => Reply::status(code),
        });
        let url = server.url("x");
        scene.pcopy(["verify", "-t", "1", &url, "file"]).run().code(5).says(&[said]);
        now.store(0, SeqCst);
        let ended = scene.pcopy(["verify", "-t", "1", "file", &url]).run();
        assert!(matches!(ended.status.code(), Some(4 | 5)), "{}", ended.stderr);
        ended.says(&[said]);
    }
    let object = Object::new(&bytes);
    let whole = Server::start(move |_| object.whole());
    let url = whole.url("x");
    for words in [["verify", &url, "file"], ["verify", "file", &url], ["bench", &url, "null:"]] {
        scene.pcopy(words).run().code(3).says(&["all of it instead of a range"]);
    }
}

#[test]
fn connections_and_sizes_of_requests_are_measured() {
    let (scene, bytes) = (Scene::new(), pattern(1, 1_000_001));
    let server = Server::of(&bytes);
    let url = server.url("disk.img?sig=topsecret");
    let words =
        ["--connections", "1,3", "--io-size", "64KiB,256KiB", "--header", "X-Key: topsecret"];
    let bench = |more: &[&str]| {
        let all = ["bench", "--rounds", "1", "--engine", "positioned"];
        scene.pcopy(all.iter().chain(&words).chain(more)).run().code(0)
    };
    let text = bench(&[&url]).out();
    for said in ["asked the server anew", "Nothing was written", "disk.img'", "--threads"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let ended = bench(&["--json", "--svg", "chart.svg", &url, "copy"]);
    let document: serde_json::Value = serde_json::from_str(&ended.out()).unwrap();
    assert_eq!(document["settings"].as_array().map(Vec::len), Some(4));
    assert_eq!(document["bytes"], 1_000_001);
    let chart = String::from_utf8(scene.read("chart.svg")).unwrap();
    assert!(![text, ended.out(), chart].iter().any(|text| text.contains("topsecret")));
    assert!(server.log().iter().all(|request| request.header("x-key") == Some("topsecret")));
    assert_eq!(scene.names(), ["chart.svg"]);
}

/// The recipes of the book, at a server that is there.
#[cfg(target_os = "linux")]
#[test]
fn a_member_of_an_archive_and_the_partitions_of_an_image_are_fetched() {
    use crate::book::{recipe_of, run};
    use crate::common::{assert_same, has_tools};
    if !has_tools(&["bash", "zip", "unzip", "zipinfo", "awk", "sfdisk", "truncate"]) {
        return;
    }
    let recipe = |server: &Server, name: &str| {
        recipe_of("docs/remote.md", name).replace("https://server.example/", &server.url(""))
    };
    let scene = Scene::new();
    let film = pattern(3, 700_000);
    std::fs::create_dir(scene.path("there")).unwrap();
    for (name, bytes) in [("a", &film[..500_000]), ("film.mp4", &film), ("z", &film[..400_000])] {
        scene.write(format!("there/{name}"), bytes);
    }
    run(&scene, "cd there && zip -q all.zip a film.mp4 z");
    let archive = scene.read("there/all.zip");
    let server = Server::of(&archive);
    run(&scene, &recipe(&server, "all.zip"));
    assert_same(&scene.read("film.mp4"), &film, "the member");
    let ranges = server.log().into_iter().filter_map(|request| request.range());
    let asked: u64 = ranges.map(|range| range.end - range.start).sum();
    assert!(asked < archive.len() as u64 / 2 + (100 << 10), "{asked} of {}", archive.len());

    let mut disk = vec![0; 16 << 20];
    disk[2 << 20..3 << 20].copy_from_slice(&pattern(4, 1 << 20));
    scene.write("there/disk.img", &disk);
    run(&scene, "cd there && printf 'start=2M size=1M\nsize=4M\n' | sfdisk -q disk.img");
    let server = Server::of(&scene.read("there/disk.img"));
    run(&scene, &recipe(&server, "disk.img"));
    let mut parts: Vec<_> = std::fs::read_dir(scene.path("parts")).unwrap().flatten().collect();
    parts.sort_by_key(std::fs::DirEntry::path);
    assert_eq!(parts.len(), 2);
    let first = std::fs::read(parts[0].path()).unwrap();
    assert_same(&first, &pattern(4, 1 << 20), "the first partition");
}
