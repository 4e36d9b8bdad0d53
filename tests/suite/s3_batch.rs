//! Many objects of S3, and all that reads one: those of a bucket share its connections.

use crate::common::{Ended, Scene, assert_same, pattern};
use crate::server::Reply;
use crate::server::s3::{Fate, Manners, S3};

fn run(scene: &Scene, service: &S3, words: &[&str]) -> Ended {
    let mut run = scene.pcopy(words);
    run.command.envs(service.environment());
    run.run()
}

#[test]
fn the_objects_of_a_bucket_share_connections() {
    let (scene, service) = (Scene::new(), S3::new());
    let bytes = |number: u64| pattern(number, 10_000 + number as usize);
    let mut list = String::from("name,source,start,len\n");
    for number in 0..60 {
        service.put(&format!("/b/{number}"), &bytes(number));
        list +=
            &format!("whole/{number},s3://b/{number},,\npart/{number},s3://b/{number},100,5000\n");
    }
    service.put("/other/x", b"of another bucket");
    list += "other,s3://other/x,,\n";
    scene.write("list.csv", list.as_bytes());
    run(&scene, &service, &["batch", "--into", "out", "list.csv"]).code(0);
    for number in 0..60 {
        let bytes = bytes(number);
        assert_same(&scene.read(format!("out/whole/{number}")), &bytes, "a whole one");
        assert_same(&scene.read(format!("out/part/{number}")), &bytes[100..5100], "a part");
    }
    assert_eq!(scene.read("out/other"), b"of another bucket");
    // Sixteen open objects, and as many workers at most.
    let made = service.server.connections();
    assert!(made <= 48, "{made} connections");
    service.state(|state| drop(state.objects.remove("/b/7")));
    let ended = run(&scene, &service, &["batch", "--into", "more", "list.csv"]).code(3);
    ended.says(&["404 NoSuchKey"]);
}

/// The first object tells where the bucket is, and the others are asked for there.
#[test]
fn a_bucket_in_another_region_is_found_once() {
    let scene = Scene::new();
    let manners = Manners { signed: false, ..Manners::default() };
    let service = S3::with(manners, |_, query| {
        match query.get("X-Amz-Credential").is_some_and(|scope| scope.contains("/right-1/")) {
            true => Fate::Done,
            false => Fate::Refused(Reply::status(301).with("x-amz-bucket-region", "right-1")),
        }
    });
    let mut list = String::from("name,source\n");
    for number in 0..20 {
        service.put(&format!("/b/{number}"), b"bytes");
        list += &format!("{number},s3://b/{number}\n");
    }
    scene.write("list.csv", list.as_bytes());
    run(&scene, &service, &["batch", "--into", "out", "list.csv"]).code(0);
    let log = service.server.log();
    let elsewhere = log.iter().filter(|request| !request.target.contains("right-1")).count();
    assert_eq!(elsewhere, 1);
}

#[test]
fn an_object_is_verified_and_measured() {
    let (scene, service) = (Scene::new(), S3::new());
    let bytes = pattern(1, 300_000);
    service.put("/b/x", &bytes);
    scene.write("same", &bytes);
    run(&scene, &service, &["verify", "s3://b/x", "same"]).code(0);
    run(&scene, &service, &["verify", "same", "s3://b/x"]).code(0);
    scene.write("other", &pattern(2, 300_000));
    run(&scene, &service, &["verify", "s3://b/x", "other"]).code(4);
    run(&scene, &service, &["bench", "--json", "s3://b/x"]).code(0);
    std::fs::create_dir(scene.path("into")).unwrap();
    service.put("/b/y", b"some bytes");
    run(&scene, &service, &["--verify", "s3://b/x", "s3://b/y", "into"]).code(0);
    assert_same(&scene.read("into/x"), &bytes, "the first");
    assert_eq!(scene.read("into/y"), b"some bytes");
}
