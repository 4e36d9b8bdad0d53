//! Services of S3 that others have made: what is promised holds there, too. Each is
//! started on this machine for one test, and ended with it.

use std::process::Command;

use crate::common::{Ended, Run, Scene, assert_same, has_tools};
use crate::services::Service;

/// Length of a part, in bytes.
const PART: usize = 8 << 20;

/// A copy that asks `service`.
fn told(service: &Service, scene: &Scene, words: &[&str]) -> Run {
    let mut run = scene.pcopy(words);
    run.command.envs([
        ("AWS_ACCESS_KEY_ID", "AKIDLOCAL"),
        ("AWS_SECRET_ACCESS_KEY", "secret/of+this=test"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_CONFIG_FILE", "/nowhere"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/nowhere"),
    ]);
    run.command.env("AWS_ENDPOINT_URL_S3", format!("http://127.0.0.1:{}", service.port));
    run
}

#[track_caller]
fn copy(service: &Service, scene: &Scene, line: &str) -> Ended {
    told(service, scene, &line.split(' ').collect::<Vec<_>>()).run()
}

/// What every service does.
fn check(service: &Service) {
    let scene = Scene::new();
    let source = scene.source("source", 3 * PART + 12345);
    copy(service, &scene, "--threads 3 source s3://bucket/folder/x.img").code(0);
    copy(service, &scene, "--digest sha256 s3://bucket/folder/x.img back").code(0);
    assert_same(&scene.read("back"), &source, "all of it");
    copy(service, &scene, "-r 5000..9_000_000 s3://bucket/folder/x.img part").code(0);
    assert_same(&scene.read("part"), &source[5000..9_000_000], "a range of it");
    copy(service, &scene, "source s3://bucket/folder/x.img").code(3).says(&["exists"]);
    copy(service, &scene, "--force -r ..1000 source s3://bucket/folder/x.img").code(0);
    copy(service, &scene, "s3://bucket/folder/x.img small").code(0);
    assert_same(&scene.read("small"), &source[..1000], "a small one");
    copy(service, &scene, "-r 0..0 source s3://bucket/empty").code(0);
    copy(service, &scene, "s3://bucket/empty empty").code(0);
    assert_eq!(scene.read("empty"), b"");
    copy(service, &scene, "s3://bucket/none none").code(3).says(&["404"]);
    copy(service, &scene, "s3://bucket/folder/x.img s3://bucket/copy").code(0);
}

/// An upload that is killed is resumed, or given up.
fn check_resume(service: &Service) {
    for word in ["--resume", "--restart"] {
        let scene = Scene::new();
        let source = scene.source("source", 5 * PART + 1);
        let line =
            format!("--limit-rate 10M --threads 1 --checkpoint-every 0 source s3://bucket/{word}");
        let words: Vec<&str> = line.split(' ').collect();
        let progress = ["--progress", "json"];
        let mut running = told(service, &scene, &[&progress[..], &words].concat()).start();
        running.wait_until_recorded(PART as u64);
        assert!(running.kill().was_killed());
        let again = format!("{word} --json {}", line.replace("--limit-rate 10M ", ""));
        let report = copy(service, &scene, &again).code(0).report();
        let resumed = report["bytes"]["resumed"].as_u64().expect("a number");
        assert_eq!(resumed >= PART as u64, word == "--resume", "{report}");
        copy(service, &scene, &format!("s3://bucket/{word} back")).code(0);
        assert_same(&scene.read("back"), &source, word);
        assert!(!scene.names().iter().any(|name| name.contains("pcopy-")));
    }
}

#[test]
fn moto() {
    if !has_tools(&["moto_server"]) {
        return;
    }
    let service = Service::start(|port| {
        let mut command = Command::new("moto_server");
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        command
    });
    assert!(service.send("PUT", "/bucket", "", b"").starts_with("HTTP/1.1 200"));
    check(&service);
    check_resume(&service);
    let uploads = service.send("GET", "/bucket?uploads", "", b"");
    assert!(uploads.contains("ListMultipartUploadsResult"), "{uploads}");
    assert!(!uploads.contains("<UploadId>"), "no upload is left: {uploads}");
}

#[test]
fn rclone() {
    // The first that serves is of 2023.
    if !has_tools(&["rclone"]) {
        return;
    }
    let help = Command::new("rclone").args(["serve", "s3", "--help"]).output();
    if !help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("--auth-key")) {
        crate::common::skip("needs an rclone that has serve s3");
        return;
    }
    let root = Scene::new();
    std::fs::create_dir(root.path("bucket")).expect("a folder can be made");
    let folder = root.folder().to_owned();
    let service = Service::start(|port| {
        let mut command = Command::new("rclone");
        command.args(["serve", "s3", "--addr", &format!("127.0.0.1:{port}")]);
        command.args(["--auth-key", "AKIDLOCAL,secret/of+this=test"]).arg(&folder);
        command.env("RCLONE_CONFIG", folder.join("none"));
        command
    });
    check(&service);
    check_resume(&service);
}
