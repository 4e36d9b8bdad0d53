//! Where a copy of the pairs begins: the source, what is there before, and what the file
//! system can do.

use std::fs::{File, FileTimes, Permissions};
use std::io::{Seek, SeekFrom, Write};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use pcopy::RangeSet;
use pcopy::durable::map::Map;

use super::{BASE, SETTINGS, Setting};
use crate::common::{Scene, pattern};

/// Bytes of the source. Those from `ZEROS` on are zeros, which are stored up to `HOLE`, and a
/// hole from there up to `DATA`.
pub const SIZE: usize = 20_000;
pub const ZEROS: usize = 4096;
pub const HOLE: usize = 8192;
pub const DATA: usize = 16_384;

/// Bytes of a destination that is there before.
pub const BEFORE: usize = 24_000;

/// What an interrupted run leaves of a copy.
pub const PART: &str = "copy.pcopy-part";
pub const MAP: &str = "copy.pcopy-map";

/// What is there before the copy, and what is asked for anyway.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum World {
    /// No destination is there.
    New,
    /// All are there, and written in place.
    InPlace,
    /// All are there, and replaced.
    Replaced,
    /// None is there, but for what an interrupted run left, which is resumed.
    Resumed,
    /// The same, and nothing is asked for.
    Left,
}

pub const WORLDS: [World; 5] =
    [World::New, World::InPlace, World::Replaced, World::Resumed, World::Left];

impl World {
    pub fn has_files(self) -> bool {
        matches!(self, World::InPlace | World::Replaced)
    }

    pub fn has_leftovers(self) -> bool {
        matches!(self, World::Resumed | World::Left)
    }

    pub fn options(self) -> &'static str {
        match self {
            World::New | World::Left => "",
            World::InPlace => "--in-place",
            World::Replaced => "--force",
            World::Resumed => "--resume",
        }
    }

    /// A folder with all that is there.
    pub fn scene(self) -> Scene {
        let scene = scene_of_the_source();
        if self.has_files() {
            scene.write("copy", &pattern(2, BEFORE));
            scene.write("other", &pattern(2, BEFORE));
        }
        if self.has_leftovers() {
            leftovers().put_into(&scene);
        }
        scene
    }
}

pub fn source() -> Vec<u8> {
    let mut bytes = pattern(1, SIZE);
    bytes[ZEROS..DATA].fill(0);
    bytes
}

fn scene_of_the_source() -> Scene {
    let scene = Scene::new();
    let bytes = source();
    let mut file = File::create(scene.path("source")).expect("a file can be made");
    file.write_all(&bytes[..HOLE]).expect("written");
    file.seek(SeekFrom::Start(DATA as u64)).expect("a file has places");
    file.write_all(&bytes[DATA..]).expect("written");
    // Times that no copy gets by itself. No reading renews one of access that is to come.
    let changed = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 987_654_300);
    let accessed = SystemTime::now() + Duration::from_secs(3600);
    let times = FileTimes::new().set_modified(changed).set_accessed(accessed);
    file.set_times(times).expect("times can be set");
    #[cfg(unix)]
    scene.set_mode("source", MODE);
    scene
}

/// Of the source: the umask would take the right of others from a new file.
#[cfg(unix)]
pub const MODE: u32 = 0o642;

/// What an interrupted run left.
pub struct Leftovers {
    part: Vec<u8>,
    map: Vec<u8>,
    permissions: Permissions,
    /// What the map calls done.
    pub done: RangeSet,
}

/// Those of one run that was ended in the middle, made once.
pub fn leftovers() -> &'static Leftovers {
    static LEFTOVERS: OnceLock<Leftovers> = OnceLock::new();
    LEFTOVERS.get_or_init(|| {
        let scene = scene_of_the_source();
        // The second stripe would take most of a minute.
        let line = format!(
            "{BASE} --threads 1 --reflink never --io-size 4K --limit-rate 100 --checkpoint-every 0 \
             --progress json source copy"
        );
        let mut running = scene.pcopy(line.split_whitespace()).start();
        running.wait_until_recorded(1);
        assert!(running.kill().was_killed());
        let map = scene.read(MAP);
        let done = Map::from_bytes(&map).expect("a map").done;
        let moved: u64 = done.iter().map(|run| run.len()).sum();
        assert!(0 < moved && moved < SIZE as u64, "{done:?}");
        let permissions = scene.path(PART).metadata().expect("it is there").permissions();
        Leftovers { part: scene.read(PART), map, permissions, done }
    })
}

impl Leftovers {
    /// As if the folder had been copied: times are the same, and numbers of files are not.
    fn put_into(&self, scene: &Scene) {
        scene.write(MAP, &self.map);
        let mut part = File::create(scene.path(PART)).expect("a file can be made");
        for run in self.done.iter() {
            let place = usize::try_from(run.start()).expect("small");
            let end = usize::try_from(run.end()).expect("small");
            let bytes = &self.part[place..end];
            // What is a hole stays one.
            if bytes.iter().any(|byte| *byte != 0) {
                part.seek(SeekFrom::Start(run.start())).expect("a file has places");
                part.write_all(bytes).expect("written");
            }
        }
        part.set_len(self.part.len() as u64).expect("a length can be set");
        for name in [MAP, PART] {
            let set = std::fs::set_permissions(scene.path(name), self.permissions.clone());
            set.expect("they can be set");
        }
    }
}

/// Bytes that a file takes, where the system counts them by blocks.
pub fn stored(scene: &Scene, name: &str) -> Option<usize> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::MetadataExt;
        let file = File::open(scene.path(name)).expect("it is there");
        // Some file systems count what is not yet on the disk otherwise.
        file.sync_all().expect("a file can be synced");
        let blocks = file.metadata().expect("it is there").blocks();
        Some(usize::try_from(blocks * 512).expect("small"))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (scene, name);
        None
    }
}

/// Why a setting is refused by itself.
#[derive(Clone, Debug)]
struct Alone {
    setting: &'static str,
    world: World,
    says: String,
    /// Whether a plan is refused as well.
    is_planned: bool,
}

/// What was found out of this file system.
pub struct Machine {
    alone: Vec<Alone>,
    /// Whether files share storage.
    pub shares: bool,
    /// Whether a file takes as many blocks as hold data.
    pub counts_blocks: bool,
}

/// Found out once, by each setting that needs something of the file system, by itself.
pub fn machine() -> &'static Machine {
    static MACHINE: OnceLock<Machine> = OnceLock::new();
    MACHINE.get_or_init(Machine::look)
}

impl Machine {
    fn look() -> Machine {
        let needing = || SETTINGS.iter().filter(|setting| setting.needs_something());
        let worlds = WORLDS.into_iter().filter(|world| *world != World::Left);
        let all = worlds.flat_map(|world| needing().map(move |setting| (setting, world)));
        let alone: Vec<_> = all.filter_map(|(setting, world)| refused(setting, world)).collect();
        for Alone { setting, world, says, .. } in &alone {
            println!("refused by itself: {setting}, {world:?}: {says}");
        }
        let shares = !alone.iter().any(|alone| alone.setting == "--reflink always");
        let scene = scene_of_the_source();
        let counts_blocks =
            stored(&scene, "source") == Some(HOLE + SIZE.next_multiple_of(4096) - DATA);
        Machine { alone, shares, counts_blocks }
    }

    /// What is said where `setting` is refused by itself, and whether a plan is as well.
    pub fn refuses(&self, setting: &str, world: World) -> Option<(&str, bool)> {
        // What is resumed or discarded there is a new file.
        let world = if world == World::Left { World::New } else { world };
        let is_it = |alone: &&Alone| alone.setting == setting && alone.world == world;
        self.alone.iter().find(is_it).map(|alone| (&*alone.says, alone.is_planned))
    }
}

/// Runs a setting by itself. It is refused for a reason of the file system, or not at all.
fn refused(setting: &Setting, world: World) -> Option<Alone> {
    let run = |plan: &str| {
        let line = format!("--json {plan} {BASE} {} {} source copy", world.options(), setting.line);
        let ended = world.scene().run(&line);
        let code = ended.status.code();
        let report = ended.report();
        assert!(code == Some(0) || code == Some(3), "{line}: {code:?} {report}");
        let error = report["error"].as_str().map(str::to_owned);
        assert!(code == Some(0) || report["error_kind"] == "engine_unsuitable", "{report}");
        error.filter(|_| code == Some(3))
    };
    let (done, planned) = (run(""), run("--dry-run"));
    if let Some(serves) = must_serve(setting.line, world) {
        assert_eq!(done.is_none(), serves, "{} by itself, {world:?}: {done:?}", setting.line);
    }
    let is_planned = planned.is_some();
    done.map(|says| Alone { setting: setting.line, world, says, is_planned })
}

/// Whether a setting serves on the file system of the temporary folder, where that is known
/// without the program.
#[cfg(target_os = "linux")]
fn must_serve(setting: &str, world: World) -> Option<bool> {
    use rustix::fs::{FallocateFlags, Mode, OFlags};
    const EXT: i64 = 0xef53;
    const XFS: i64 = 0x5846_5342;
    const BTRFS: i64 = 0x9123_683e;
    const TMPFS: i64 = 0x0102_1994;
    let scene = scene_of_the_source();
    let file = File::options().read(true).write(true).open(scene.path("source")).expect("open");
    let kind: i64 = rustix::fs::fstatfs(&file).expect("a file system").f_type;
    if ![EXT, XFS, BTRFS, TMPFS].contains(&kind) {
        return None;
    }
    Some(match setting {
        // In memory there is nothing to go past.
        "--engine direct" => {
            let flags = OFlags::RDWR | OFlags::DIRECT;
            let opens = rustix::fs::open(scene.path("source"), flags, Mode::empty()).is_ok();
            kind != TMPFS && opens
        }
        "--engine offload" | "--engine splice" => true,
        // Only a new file is mapped, and only where space that is reserved is kept.
        "--engine mmap" => {
            let reserves = rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, 4096).is_ok();
            world != World::InPlace && kind != BTRFS && reserves
        }
        "--reflink always" => {
            let other = File::create(scene.path("other")).expect("a file can be made");
            rustix::fs::ioctl_ficlone(&other, &file).is_ok()
        }
        _ => return None,
    })
}

#[cfg(not(target_os = "linux"))]
fn must_serve(_: &str, _: World) -> Option<bool> {
    None
}
