//! Azure and Google: objects behind signed addresses, as their emulators hand them
//! out. Each is started on this machine for one test, and ended with it.

use std::process::Command;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use crate::common::{Scene, assert_same, has_tools};
use crate::services::Service;

/// What every one of them does: ranges, in parallel, and resumed; what signs an
/// address is in no message and in no map.
fn check(scene: &Scene, url: &str, bytes: &[u8], secret: &str) {
    let small = ["--io-size", "256KiB", "--stripe-size", "256KiB", "--connections", "4"];
    let copy = |words: &[&str]| {
        let ended = scene.pcopy(small.iter().chain(words)).run();
        assert!(!format!("{}{}", ended.stderr, ended.out()).contains(secret), "a secret is shown");
        ended
    };
    copy(&["--verify", "--json", url, "whole"]).code(0);
    assert_same(&scene.read("whole"), bytes, "all of it");
    copy(&["-r", "1000..3_000_001", url, "part"]).code(0);
    assert_same(&scene.read("part"), &bytes[1000..3_000_001], "a range");
    let slow = ["--limit-rate", "1M", "--checkpoint-every", "0", "--progress", "json"];
    let words = small.iter().chain(&slow).copied().chain([url, "killed"]);
    let mut running = scene.pcopy(words).start();
    let recorded = running.wait_until_recorded(500_000);
    assert!(running.kill().was_killed());
    let map = String::from_utf8_lossy(&scene.read("killed.pcopy-map")).into_owned();
    assert!(!map.contains(secret), "{map}");
    let report = copy(&["--resume", "--json", url, "killed"]).code(0).report();
    assert!(report["bytes"]["resumed"].as_u64() >= Some(recorded), "{report}");
    assert_same(&scene.read("killed"), bytes, "resumed");
}

/// HMAC-SHA-256, as RFC 2104 has it.
fn hmac(key: &[u8], message: &str) -> [u8; 32] {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let padded = |byte: u8| block.map(|of_key| of_key ^ byte);
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
}

/// The account that the emulator of Azure has, and its key, which everybody knows.
const ACCOUNT: &str = "devstoreaccount1";
const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A signature for the whole account (SAS), which allows everything.
fn account_signature() -> String {
    let (version, end) = ("2020-12-06", "2099-01-01T00:00:00Z");
    let fields = [ACCOUNT, "rwc", "b", "sco", "", end, "", "http", version, ""];
    let message = fields.map(|field| format!("{field}\n")).concat();
    let key = BASE64_STANDARD.decode(ACCOUNT_KEY).expect("a key");
    let signature = BASE64_STANDARD.encode(hmac(&key, &message));
    let signature = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("sv={version}&ss=b&srt=sco&sp=rwc&se={end}&spr=http&sig={signature}")
}

#[test]
fn azure() {
    if !has_tools(&["azurite-blob"]) {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("source", 5_000_001);
    let folder = scene.path("blobs");
    let service = Service::start(|port| {
        let mut command = Command::new("azurite-blob");
        command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
        command.arg("--location").arg(&folder);
        command.args(["--silent", "--disableTelemetry", "--skipApiVersionCheck"]);
        command
    });
    let signature = account_signature();
    let version = "x-ms-version: 2020-12-06\r\n";
    let made = format!("/{ACCOUNT}/images?restype=container&{signature}");
    service.send("PUT", &made, version, b"");
    let target = format!("/{ACCOUNT}/images/disk.img?{signature}");
    let headers = format!("{version}x-ms-blob-type: BlockBlob\r\n");
    service.send("PUT", &target, &headers, &bytes);
    let secret = signature.rsplit("sig=").next().expect("it has one");
    check(&scene, &service.url(&target), &bytes, secret);
    // Not signed, or by somebody else.
    let unsigned = service.url(&format!("/{ACCOUNT}/images/disk.img"));
    scene.pcopy([&*unsigned, "unsigned"]).run().code(3);
    let wrong = service.url(&target.replace("sig=", "sig=AAAA"));
    scene.pcopy([&*wrong, "wrong"]).run().code(3).says(&["403"]);
}

#[test]
fn google() {
    if !has_tools(&["gcp-storage-emulator"]) {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("source", 5_000_001);
    let service = Service::start(|port| {
        let mut command = Command::new("gcp-storage-emulator");
        command.args(["start", "--host", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--in-memory", "--default-bucket", "images"]);
        command
    });
    let upload = "/upload/storage/v1/b/images/o?uploadType=media&name=disk.img";
    service.send("POST", upload, "Content-Type: application/octet-stream\r\n", &bytes);
    // Whatever the signature is: the emulator believes it.
    let target = "/images/disk.img?X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Signature=5ec2e7";
    check(&scene, &service.url(target), &bytes, "5ec2e7");
    scene.pcopy([&*service.url("/images/none?X-Goog-Signature=5ec2e7"), "none"]).run().code(3);
}
