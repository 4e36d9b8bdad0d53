//! File systems in an image whose power can be cut, and files that nbdkit
//! makes up. Each value takes down what it set up.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::common::{Scene, wait_until};

/// Runs a tool to its end and expects it to succeed; what it printed.
#[track_caller]
pub fn tool<S: AsRef<OsStr>>(name: &str, arguments: impl IntoIterator<Item = S>) -> String {
    let mut command = Command::new(name);
    // Many of these live where only root's path leads.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    command.args(arguments).env("PATH", path).stdin(Stdio::null());
    let output = command.output().unwrap_or_else(|error| panic!("{name}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {said}", output.status);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A file system in an image file, mounted.
pub struct Mounted {
    image: PathBuf,
    folder: PathBuf,
    mounted: bool,
}

impl Mounted {
    /// A new file system of `kind` (`ext4`, `xfs`, `btrfs`) with `mib` MiB, in `place`.
    pub fn new(place: &Path, kind: &str, mib: u64) -> Mounted {
        let image = place.join(format!("{kind}.img"));
        let file = std::fs::File::create(&image).expect("an image can be made");
        file.set_len(mib << 20).expect("an image may be sparse");
        let options: &[&str] = match kind {
            // Root would otherwise eat the reserve and never see a full disk.
            "ext4" => &["-q", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0"],
            _ => &["-q"],
        };
        let words = options.iter().map(OsStr::new).chain([image.as_os_str()]);
        tool(&format!("mkfs.{kind}"), words);
        let folder = place.join(kind);
        std::fs::create_dir(&folder).expect("a mount point");
        let mut mounted = Mounted { image, folder, mounted: false };
        mounted.mount("loop");
        mounted
    }

    /// A file system in memory.
    pub fn in_memory(place: &Path, mib: u64) -> Mounted {
        let folder = place.join("tmpfs");
        std::fs::create_dir(&folder).expect("a mount point");
        let options = format!("size={mib}m");
        tool(
            "mount",
            [
                "-t".as_ref(),
                "tmpfs".as_ref(),
                "-o".as_ref(),
                OsStr::new(&options),
                "none".as_ref(),
                folder.as_os_str(),
            ],
        );
        Mounted { image: PathBuf::new(), folder, mounted: true }
    }

    /// Everything that was done so far survives a power cut.
    pub fn sync(&self) {
        tool("sync", ["-f".as_ref(), self.folder.as_os_str()]);
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn image(&self) -> &Path {
        &self.image
    }

    fn mount(&mut self, options: &str) {
        let (image, folder) = (self.image.as_os_str(), self.folder.as_os_str());
        tool("mount", ["-o".as_ref(), OsStr::new(options), image, folder]);
        self.mounted = true;
    }

    pub fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        tool("mount", ["-o".as_ref(), OsStr::new(&options), self.folder.as_os_str()]);
    }

    /// Takes it down, and waits until nobody has it: another test that has begun a namespace
    /// of mounts meanwhile keeps it alive, as it is.
    fn unmount(&mut self) {
        tool("umount", [&self.folder]);
        self.mounted = false;
        let is_attached = || {
            let devices = std::fs::read_dir("/sys/block").expect("the devices");
            let files = devices.flatten().map(|device| device.path().join("loop/backing_file"));
            files.flat_map(std::fs::read_to_string).any(|file| Path::new(file.trim()) == self.image)
        };
        wait_until("nobody has it mounted", || !is_attached());
    }

    /// Takes the power away. With `log`, what is in the log reaches the disk
    /// and the data does not, which leaves names without contents.
    pub fn cut_power(&self, log: bool) {
        let shutdown = if log { "shutdown -f" } else { "shutdown" };
        tool(
            "xfs_io",
            ["-x".as_ref(), "-c".as_ref(), OsStr::new(shutdown), self.folder.as_os_str()],
        );
    }

    /// Power is back: what the disk holds is mounted again.
    pub fn power_on(&mut self) {
        self.unmount();
        self.mount("loop");
    }

    /// Power is back, on a disk that holds what `image` holds.
    pub fn power_on_with(&mut self, image: &Path) {
        self.unmount();
        std::fs::rename(image, &self.image).expect("the image is replaced");
        self.mount("loop");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.mounted {
            // A test that failed may have left somebody at work in it.
            let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
        }
    }
}

/// A file whose bytes nbdkit makes up, through nbdfuse.
pub struct Served {
    fuse: Child,
    folder: PathBuf,
}

impl Served {
    /// Serves `nbdkit -s WORDS` as a file in a folder `name` of the scene.
    /// What runs there writes to a log of its own in the scene.
    pub fn new<S: AsRef<OsStr>>(
        scene: &Scene,
        name: &str,
        read_only: bool,
        words: impl IntoIterator<Item = S>,
    ) -> Served {
        let folder = scene.path(name);
        std::fs::create_dir(&folder).expect("a mount point");
        let log = std::fs::File::create(scene.path(format!("{name}.log"))).expect("a log");
        let mut command = Command::new("nbdfuse");
        if read_only {
            command.arg("-r");
        }
        command.arg(&folder).args(["--command", "nbdkit", "-s"]).args(words);
        command.current_dir(scene.folder()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let fuse = command.spawn().expect("nbdfuse runs");
        let served = Served { fuse, folder };
        wait_until("the file is served", || served.file().exists());
        served
    }

    /// The file.
    pub fn file(&self) -> PathBuf {
        self.folder.join("nbd")
    }

    /// Kills nbdkit alone: what serves the file loses what it serves.
    pub fn kill_server(&self) {
        let fuse = self.fuse.id();
        let children = std::fs::read_to_string(format!("/proc/{fuse}/task/{fuse}/children"));
        let children = children.expect("the kernel tells the children of a process");
        for child in children.split_whitespace() {
            tool("kill", ["-KILL", child]);
        }
    }

    /// Cuts the connection of the kernel to what serves the file, where
    /// `connections` is a mounted fusectl.
    pub fn abort(&self, connections: &Path) {
        use std::os::unix::fs::MetadataExt;
        let device = self.file().metadata().expect("it is served").dev();
        // As the kernel counts them: the minor number, with no major one.
        let connection = connections.join(device.to_string());
        std::fs::write(connection.join("abort"), b"1").expect("a connection can be cut");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Lazily, and without waiting for an answer: a test that failed may
        // have left a request that gets none.
        let _ = Command::new("fusermount3").args(["-u", "-z"]).arg(&self.folder).status();
        let _ = self.fuse.kill();
        let _ = self.fuse.wait();
    }
}

/// How many rounds: few, or as many as the long tier says by `variable`.
pub fn rounds(variable: &str, short: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(short)
}
