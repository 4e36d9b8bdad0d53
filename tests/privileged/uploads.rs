//! Devices as sources of objects.

use crate::common::{Scene, assert_same, pattern};
use crate::devices::{Loop, possible};
use crate::server::s3::S3;

const MIB: usize = 1 << 20;

/// A range of a device goes to a service in parts; what is killed on the way is
/// resumed, since the map knows the device again.
#[test]
fn a_range_of_a_device_becomes_an_object() {
    if !possible(&[]) {
        return;
    }
    let (scene, service) = (Scene::new(), S3::new());
    let bytes = pattern(5, 40 * MIB);
    scene.write("disk", &bytes);
    let device = Loop::new(&scene.path("disk"), 4096);
    let started = |words: &[&str], address: &str| {
        let job = ["-r", "1MiB+33MiB", "--checkpoint-every", "0", "--threads", "1", &device.path];
        let mut run = scene.pcopy(words.iter().chain(&job).copied().chain([address]));
        run.command.envs(service.environment());
        run
    };
    let words = ["--digest", "sha256", "--json"];
    let report = started(&words, "s3://b/whole").run().code(0).report();
    assert_same(&service.get("/b/whole").unwrap(), &bytes[MIB..34 * MIB], "the object");
    assert_eq!(report["source"]["kind"], "block-device", "{report}");

    let slow = ["--limit-rate", "8MiB", "--progress", "json"];
    let mut running = started(&slow, "s3://b/killed").start();
    let recorded = running.wait_until_recorded(8 * MIB as u64);
    assert!(running.kill().was_killed());
    assert_eq!(service.get("/b/killed"), None);
    let report = started(&["--resume", "--json"], "s3://b/killed").run().code(0).report();
    let resumed = report["bytes"]["resumed"].as_u64().unwrap();
    assert!(resumed >= recorded, "{recorded} recorded: {report}");
    assert_same(&service.get("/b/killed").unwrap(), &bytes[MIB..34 * MIB], "resumed");
    assert_eq!(service.state(|state| state.uploads.len()), 0);
}
