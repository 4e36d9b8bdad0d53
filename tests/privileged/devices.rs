//! Loop devices, mounts and devices with bad sectors, each taken down when its
//! guard goes out of scope, also on a panic.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::common::{Scene, has_tools, is_root, wait_until};

/// Whether this test can run: as root, with loop devices and `tools`.
pub fn possible(tools: &[&str]) -> bool {
    if !is_root() || !has_tools(&["losetup", "blockdev", "mount", "umount"]) || !has_tools(tools) {
        return false;
    }
    if !Path::new("/dev/loop-control").exists() {
        crate::common::skip("needs loop devices");
        return false;
    }
    true
}

/// Runs a tool that must succeed, and returns what it says.
#[track_caller]
pub fn tool(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(name).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{name}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {arguments:?}: {}\n{stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Runs a tool whose failure changes nothing any more.
fn try_tool(name: &str, arguments: &[&str]) {
    let quiet = || Stdio::null();
    let command = &mut Command::new(name);
    let _ = command.args(arguments).stdin(quiet()).stdout(quiet()).stderr(quiet()).status();
}

/// A loop device.
pub struct Loop {
    pub path: String,
}

impl Loop {
    /// On `file`, with logical sectors of `sector` bytes.
    #[track_caller]
    pub fn new(file: &Path, sector: u32) -> Loop {
        Loop::with(file, &["--sector-size", &sector.to_string()])
    }

    /// Read-only, past the cache of the file below: that one would fail by
    /// more than the pages that are bad.
    #[track_caller]
    pub fn read_only(file: &Path) -> Loop {
        Loop::with(file, &["--read-only", "--direct-io=on"])
    }

    /// With whatever options of losetup.
    #[track_caller]
    pub fn with(file: &Path, options: &[&str]) -> Loop {
        let file = file.to_str().expect("test files have plain names");
        Loop::at(tool("losetup", &[&["-f", "--show"], options, &[file]].concat()))
    }

    /// The device that has just been set up at `path`. If an earlier test had a failed write
    /// on this device and did not sync, the kernel reports it at the next sync, even though
    /// the device has another file by then. This sync takes that report.
    pub fn at(path: String) -> Loop {
        let _ = std::fs::File::open(&path).and_then(|device| device.sync_all());
        Loop { path }
    }

    /// Makes the device itself read-only, which outlives detaching.
    #[track_caller]
    pub fn set_read_only(&self) {
        tool("blockdev", &["--setro", &self.path]);
    }

    /// Drops what the kernel remembers of it, so that its file can be compared.
    #[track_caller]
    pub fn flush(&self) {
        tool("blockdev", &["--flushbufs", &self.path]);
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // In this order: what is left behind would meet the next user of the device.
        try_tool("partx", &["--delete", &self.path]);
        try_tool("blockdev", &["--setrw", &self.path]);
        try_tool("losetup", &["--detach", &self.path]);
    }
}

/// A mounted file system.
pub struct Mount {
    pub folder: PathBuf,
}

impl Mount {
    /// `arguments` as of mount, but for the folder.
    #[track_caller]
    pub fn new(scene: &Scene, name: &str, arguments: &[&str]) -> Mount {
        let folder = scene.path(name);
        std::fs::create_dir(&folder).expect("a mount point can be made");
        let place = folder.to_str().expect("test folders have plain names");
        tool("mount", &[arguments, &[place]].concat());
        Mount { folder }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        try_tool("umount", &[self.folder.to_str().unwrap_or_default()]);
    }
}

/// A block device some of whose bytes cannot be read: a file served by nbdkit
/// with a ddrescue map of what is bad, and a loop device on top.
pub struct BadDevice {
    // In the order of taking down.
    pub device: Loop,
    _server: Server,
}

pub const BAD_DEVICE_TOOLS: &[&str] = &["nbdkit", "nbdfuse", "fusermount3"];

/// `nbdfuse`, which serves one file and owns nbdkit.
struct Server {
    child: Child,
    folder: PathBuf,
}

impl BadDevice {
    /// `image` with the byte ranges `bad` unreadable.
    #[track_caller]
    pub fn new(scene: &Scene, image: &Path, bad: &[(u64, u64)]) -> BadDevice {
        let map = scene.path("bad.map");
        let size = image.metadata().expect("the image is there").len();
        std::fs::write(&map, ddrescue_map(size, bad)).expect("the map can be written");
        let folder = scene.path("served");
        std::fs::create_dir(&folder).expect("a mount point can be made");
        let mut map_option = std::ffi::OsString::from("ddrescue-mapfile=");
        map_option.push(&map);
        let child = Command::new("nbdfuse")
            .arg("-r")
            .arg(&folder)
            .args(["--command", "nbdkit", "-s", "--filter=ddrescue", "file"])
            .args([image.as_os_str(), &map_option])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // One line for every failed read, which would hide what matters.
            .stderr(Stdio::null())
            .spawn()
            .expect("nbdfuse is there");
        let server = Server { child, folder };
        let file = server.folder.join("nbd");
        wait_until("the image is served", || file.exists());
        BadDevice { device: Loop::read_only(&file), _server: server }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Detaching a loop device may still be under way; a busy folder says so.
        try_tool("fusermount3", &["-u", "-z", self.folder.to_str().unwrap_or_default()]);
        let _ = self.child.wait();
    }
}

/// The whole of `size` bytes as a map of GNU ddrescue, `bad` in bad-sector blocks.
fn ddrescue_map(size: u64, bad: &[(u64, u64)]) -> String {
    let mut map = String::from("# Mapfile\n0x0 + 1\n");
    let mut at = 0;
    let mut block = |from: u64, to: u64, status: char| {
        if from < to {
            map += &format!("{from:#x} {:#x} {status}\n", to - from);
        }
    };
    for &(start, end) in bad {
        block(at, start, '+');
        block(start, end, '-');
        at = end;
    }
    block(at, size, '+');
    map
}
