//! Sources that go away at random places of a copy, in each of the ways in
//! which they do, and come back.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use pcopy::testing::Random;
use serde_json::Value;

use crate::common::{Scene, assert_same, wait_until};
use crate::devices::{BAD_DEVICE_TOOLS, Loop, Mount, possible};
use crate::disks::{Served, rounds};

const LEN: usize = 8 << 20;

/// How long a copy may take to end after the last answer of its source: less than it would
/// need to ask for every sector, and many times what it takes on a machine that is not busy.
const SOON: Duration = Duration::from_secs(10);

/// What goes away, and how.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Way {
    /// The server of a file is killed.
    ServerKilled,
    /// The connection of the kernel to what serves a file is cut.
    Aborted,
    /// The same, and the file is below a loop device.
    AbortedBelowDevice,
    /// The file below a loop device is cut to nothing.
    CutBelowDevice,
}

const WAYS: [Way; 4] =
    [Way::ServerKilled, Way::Aborted, Way::AbortedBelowDevice, Way::CutBelowDevice];

/// A source that can be taken away, and given back.
struct Source<'a> {
    scene: &'a Scene,
    way: Way,
    bytes: &'a [u8],
    // In the order of taking down.
    device: Option<Loop>,
    server: Option<Served>,
    connections: &'a Path,
}

impl<'a> Source<'a> {
    fn new(scene: &'a Scene, way: Way, bytes: &'a [u8], connections: &'a Path) -> Source<'a> {
        let (device, server) = (None, None);
        let mut source = Source { scene, way, bytes, device, server, connections };
        source.come();
        source
    }

    /// Is there.
    fn come(&mut self) {
        if self.way == Way::CutBelowDevice {
            self.scene.write("image", self.bytes);
            // Past the cache: what is kept of the file would hide that it was cut.
            self.device.get_or_insert_with(|| {
                Loop::with(&self.scene.path("image"), &["--read-only", "--direct-io=on"])
            });
            return;
        }
        let image = self.scene.path("image").display().to_string();
        let server = Served::new(self.scene, "served", true, ["file", &image]);
        if self.way == Way::AbortedBelowDevice {
            let device = Loop::with(&server.file(), &["--read-only", "--direct-io=on"]);
            // By a name that stays, as those of udev do.
            let name = self.scene.path("disk");
            let _ = std::fs::remove_file(&name);
            std::os::unix::fs::symlink(&device.path, &name).expect("a link");
            self.device = Some(device);
        }
        self.server = Some(server);
    }

    fn path(&self) -> String {
        match (self.way, &self.device) {
            (Way::CutBelowDevice, Some(device)) => device.path.clone(),
            (Way::AbortedBelowDevice, _) => "disk".to_owned(),
            _ => "served/nbd".to_owned(),
        }
    }

    /// Goes away: nothing is answered from here on.
    fn go(&self) {
        match (self.way, &self.server) {
            (Way::ServerKilled, Some(server)) => server.kill_server(),
            (Way::Aborted | Way::AbortedBelowDevice, Some(server)) => {
                server.abort(self.connections);
            }
            _ => self.scene.write("image", b""),
        }
    }

    /// Is there again, by the same path.
    fn come_back(&mut self) {
        if self.way != Way::CutBelowDevice {
            self.device = None;
            self.server = None;
            std::fs::remove_dir(self.scene.path("served")).expect("nothing is mounted");
        }
        self.come();
    }
}

/// A copy whose source went away before it had answered everything.
struct Pulled {
    /// From the last answer to the end of the program.
    took: Duration,
    /// Whether the copy that was resumed had bytes of the one before.
    resumed: bool,
}

/// Copies, takes the source away at a place that `random` chooses, and resumes
/// when it is back. `None` if everything had been read before, as the kernel
/// reads ahead.
fn pull(way: Way, random: &mut Random, what: &str) -> Option<Pulled> {
    let at = random.below(LEN as u64 * 3 / 4) + 1;
    let engine = ["positioned", "direct"][random.below(2) as usize];
    let what = format!("{what}, {way:?} at {at}, {engine}");
    let scene = Scene::new();
    let fuse = Mount::new(&scene, "fusectl", &["-t", "fusectl", "none"]);
    let bytes = scene.source("image", LEN);
    let mut source = Source::new(&scene, way, &bytes, &fuse.folder);
    let options = format!("--engine {engine} --io-size 64KiB --preallocate off --progress json");
    let line = format!("{options} -t 2 --limit-rate 8MiB {} copy", source.path());
    let mut running = scene.pcopy(line.split_whitespace()).start();
    let part = scene.path("copy.pcopy-part");
    running.wait_for_line(|line| line.contains(r#""phase":"copying""#));
    let is_there = || part.metadata().is_ok_and(|part| part.blocks() * 512 >= at);
    wait_until("it is there", || is_there() || scene.has("copy"));
    source.go();
    let last_answer = Instant::now();
    let ended = running.end();
    let took = last_answer.elapsed();
    if ended.status.success() {
        assert_same(&scene.read("copy"), &bytes, &what);
        return None;
    }
    let ended = ended.code(5).says(&["is gone", "--resume"]);
    assert!(took < SOON, "{what}: {took:?}\n{}", ended.stderr);
    assert!(!scene.has("copy"), "{what}");
    source.come_back();
    // It has another time, and perhaps another number.
    let line = format!("{options} --resume --allow-changed-source --json {} copy", source.path());
    let report: Value = scene.run(&line).code(0).report();
    assert_same(&scene.read("copy"), &bytes, &what);
    assert!(!scene.has("copy.pcopy-map") && !scene.has("copy.pcopy-part"), "{what}");
    Some(Pulled { took, resumed: report["bytes"]["resumed"].as_u64() > Some(0) })
}

/// No final name, an end soon after the last answer, and equal bytes once the
/// source is back, wherever it went away.
#[test]
fn what_goes_away_anywhere_is_resumed() {
    if !possible(BAD_DEVICE_TOOLS) {
        return;
    }
    let seed = rounds("PCOPY_SEED", 20_261_128);
    let mut random = Random::new(seed);
    let wanted = rounds("PCOPY_PULLS", 4) as usize;
    let mut pulls: Vec<Pulled> = Vec::new();
    let mut too_late = 0;
    while pulls.len() < wanted {
        let way = WAYS[pulls.len() % WAYS.len()];
        let what = format!("seed {seed}, pull {}, {too_late} too late", pulls.len());
        match pull(way, &mut random, &what) {
            Some(pulled) => pulls.push(pulled),
            None => too_late += 1,
        }
        assert!(too_late <= 4 * wanted, "{what}: nothing is pulled out in time");
    }
    let slowest = pulls.iter().map(|pulled| pulled.took).max().unwrap_or_default();
    let resumed = pulls.iter().filter(|pulled| pulled.resumed).count();
    println!(
        "measured: sources pulled out anywhere: {wanted} pulls, 0 final names, {wanted} equal in \
         the end, {resumed} of them with bytes of the first run, each ended within {} ms",
        slowest.as_millis()
    );
}
