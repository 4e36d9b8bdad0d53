//! Digests that a service states of an object: a copy of all of it that is verified
//! is compared with them, and nothing is left of one that differs.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::common::{Scene, assert_same, pattern};
use crate::s3::told;
use crate::server::s3::{Fate, Manners, S3};
use crate::server::{Object, Server};

const LEN: usize = 300_000;

/// A server that hands out `bytes`, and states `value` of them.
fn stating(bytes: &[u8], name: &'static str, value: String) -> Server {
    let object = Object::new(bytes);
    Server::start(move |request| object.answer(request).with(name, &value))
}

fn crc(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(crc32c::crc32c(bytes).to_be_bytes())
}

#[test]
fn a_verified_copy_is_compared_with_what_its_server_states() {
    let (scene, bytes) = (Scene::new(), pattern(1, LEN));
    let hex = format!("crc32c:{:08x}", crc32c::crc32c(&bytes));
    for (name, value) in
        [("x-goog-hash", format!("crc32c={}", crc(&bytes))), ("x-amz-checksum-crc32c", crc(&bytes))]
    {
        let server = stating(&bytes, name, value);
        let words = ["--force", "--verify", "--json", &server.url("x"), "copy"];
        let report = scene.pcopy(words).run().code(0).report();
        let note = report["notes"][0].as_str().unwrap_or_default();
        assert!(note.contains("is stated") && note.contains(&hex), "{note}");
        assert_eq!(report["digests"]["crc32c"], hex[7..], "{report}");
        assert_same(&scene.read("copy"), &bytes, "the copy");
        // A digest that was not asked for is not printed as one.
        let printed = scene.pcopy(["--force", "--verify", &server.url("x"), "copy"]).run().code(0);
        assert!(!printed.out().contains(&hex[7..]), "{}", printed.out());
    }
}

#[test]
fn a_copy_that_differs_from_what_is_stated_gets_no_name() {
    let (scene, bytes) = (Scene::new(), pattern(1, LEN));
    let server = stating(&bytes, "x-goog-hash", format!("crc32c={}", crc(b"others")));
    scene.pcopy(["--verify", &server.url("x"), "copy"]).run().code(4).says(&[
        "crc32c",
        "server states",
        "leave --verify out",
    ]);
    assert!(!scene.has("copy"));
    scene.pcopy(["--resume", &server.url("x"), "copy"]).run().code(0);
    assert_same(&scene.read("copy"), &bytes, "what was kept even so");
    // It is of all of the object, and asked for by `--verify`.
    scene.pcopy(["--verify", "-r", "1..", &server.url("x"), "part"]).run().code(0);
    scene.pcopy([&server.url("x"), "unverified"]).run().code(0);
    scene.pcopy(["-n", "--verify", &server.url("x"), "planned"]).run().code(0);
}

#[test]
fn the_digest_that_is_computed_anyway_is_the_one_that_is_compared() {
    let (scene, bytes) = (Scene::new(), pattern(1, LEN));
    let wrong = format!("crc32c={}, sha-256=:{}:", crc(&bytes), BASE64_STANDARD.encode([7; 32]));
    let server = stating(&bytes, "repr-digest", wrong);
    scene.pcopy(["--verify", &server.url("x"), "one"]).run().code(0);
    let words = ["--verify", "--digest", "sha256", &server.url("x"), "two"];
    scene.pcopy(words).run().code(4).says(&["sha256", "0707"]);
}

#[test]
fn the_checksum_of_an_object_of_s3_is_asked_for_where_it_is_compared() {
    let (scene, bytes) = (Scene::new(), pattern(1, LEN));
    let service = S3::new();
    service.put("/b/x", &bytes);
    told(&scene, &service, &["--verify", "s3://b/x", "copy"]).run().code(0).says(&["is stated"]);
    service.state(|state| {
        let stored = state.objects.get_mut("/b/x").unwrap().last_mut().unwrap();
        stored.bytes = Arc::new(pattern(2, LEN));
    });
    told(&scene, &service, &["--verify", "s3://b/x", "other"]).run().code(4).says(&["crc32c"]);
    assert!(!scene.has("other"));
    // Nothing is asked where nothing is compared, and a service may know none.
    let before = service.server.log().len();
    told(&scene, &service, &["-r", "..100", "s3://b/x", "part"]).run().code(0);
    let log = service.server.log();
    assert!(log[before..].iter().all(|request| request.method != "HEAD"));
    let without = Manners { checksums: false, ..Manners::default() };
    let plain = S3::with(without, |_, _| Fate::Done);
    plain.put("/b/x", &bytes);
    told(&scene, &plain, &["--verify", "s3://b/x", "plain"]).run().code(0);
}
