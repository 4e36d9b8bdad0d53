//! A folder that misbehaves as real mounts do: `oddfs.c`, built with the C
//! compiler of the machine, shows one folder of a scene through FUSE.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use crate::common::{Scene, compiled, has_tools, is_root, skip};

/// The folder `NAME.below` of a scene, seen as `NAME` with the oddities asked for.
pub struct Odd {
    below: PathBuf,
    folder: PathBuf,
    server: Option<Child>,
}

impl Odd {
    /// Mounts a new folder `name` in `scene`; `None`, and a skip, where that
    /// cannot be. The switches are explained at the top of `oddfs.c`.
    #[track_caller]
    pub fn new(scene: &Scene, name: &str, switches: &[&str]) -> Option<Odd> {
        let program = program()?;
        let (below, folder) = (scene.path(format!("{name}.below")), scene.path(name));
        for path in [&below, &folder] {
            std::fs::create_dir(path).expect("a folder can be made");
        }
        let mut odd = Odd { below, folder, server: None };
        odd.mount(program, switches);
        Some(odd)
    }

    /// Where the odd view is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of `name` in the folder itself, where nothing is odd.
    pub fn below(&self, name: impl AsRef<Path>) -> PathBuf {
        self.below.join(name)
    }

    /// Takes it down and mounts it again, with other oddities.
    #[track_caller]
    pub fn remount(&mut self, switches: &[&str]) {
        self.unmount();
        self.mount(program().expect("it was built before"), switches);
    }

    /// Ends the server alone: from now on every call in the folder fails with
    /// ENOTCONN, as when the other side of a network mount is gone.
    pub fn die(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().expect("the server is running");
            server.wait().expect("the server was started here");
        }
    }

    #[track_caller]
    fn mount(&mut self, program: &Path, switches: &[&str]) {
        let mut command = Command::new(program);
        command.args([&self.below, &self.folder]).args(switches);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = command.spawn().expect("oddfs runs");
        let mut said = String::new();
        let stdout = server.stdout.take().expect("stdout is a pipe");
        BufReader::new(stdout).read_line(&mut said).expect("oddfs writes text");
        self.server = Some(server);
        assert_eq!(said, "mounted\n", "oddfs {switches:?} does not start");
    }

    fn unmount(&mut self) {
        if let Some(mut server) = self.server.take() {
            // It takes its mount down when nobody holds the other end of its input.
            drop(server.stdin.take());
            let _ = server.wait();
        }
        // Whatever still holds it, or has ended the server, the name is free again.
        let mut command = Command::new("umount");
        command.arg("-l").arg(&self.folder).stderr(Stdio::null());
        let _ = command.status();
    }
}

impl Drop for Odd {
    fn drop(&mut self) {
        self.unmount();
    }
}

/// The server, built once; `None`, and a skip, where it cannot be built or run.
fn program() -> Option<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    if !is_root() || !has_tools(&["gcc", "pkg-config", "umount"]) {
        return None;
    }
    if !Path::new("/dev/fuse").exists() {
        skip("needs /dev/fuse");
        return None;
    }
    match BUILT.get_or_init(build) {
        Ok(program) => Some(program),
        Err(reason) => {
            skip(reason);
            None
        }
    }
}

fn build() -> Result<PathBuf, String> {
    let flags = Command::new("pkg-config").args(["--cflags", "--libs", "fuse3"]).output();
    let flags = flags.expect("pkg-config runs");
    if !flags.status.success() {
        return Err("needs libfuse3-dev".to_owned());
    }
    let flags = String::from_utf8(flags.stdout).expect("flags are text");
    Ok(compiled("privileged/oddfs.c", &flags))
}

/// With no switch it is a file system like any other, so that what fails with
/// one fails by it.
#[test]
fn without_a_switch_nothing_is_odd() {
    let scene = Scene::new();
    let Some(mut odd) = Odd::new(&scene, "odd", &[]) else { return };
    let bytes = scene.source("source", 300_000);
    scene.run("--verify source odd/copy").code(0);
    scene.run("--verify --digest sha256 odd/copy back").code(0);
    scene.run("-f -p source odd/copy").code(0);
    scene.run("--in-place -r 100..200 source odd/copy --dest-offset 100").code(0);
    scene.run("source back odd").code(0);
    odd.remount(&[]);
    for name in ["odd/copy", "odd/source", "odd/back", "odd.below/copy", "back"] {
        crate::common::assert_same(&scene.read(name), &bytes, name);
    }
    let mut names: Vec<_> = std::fs::read_dir(odd.folder()).unwrap().collect();
    assert_eq!(names.drain(..).filter(|name| name.is_ok()).count(), 3);
    assert!(odd.below("copy").exists());
}

#[test]
fn what_is_refused_fails_and_what_is_gone_is_gone() {
    let scene = Scene::new();
    let Some(mut odd) = Odd::new(&scene, "odd", &["refuse=mkdir:EROFS", "refuse=create:EDQUOT:1"])
    else {
        return;
    };
    let error = |result: std::io::Result<()>| result.expect_err("refused").raw_os_error();
    let errno = |error: rustix::io::Errno| Some(error.raw_os_error());
    let folder = odd.folder().to_owned();
    let write = |name: &str| std::fs::write(folder.join(name), b"");
    assert_eq!(error(std::fs::create_dir(folder.join("d"))), errno(rustix::io::Errno::ROFS));
    write("first").expect("only the second is refused");
    assert_eq!(error(write("second")), errno(rustix::io::Errno::DQUOT));
    odd.die();
    assert_eq!(error(write("third")), errno(rustix::io::Errno::NOTCONN));
    odd.remount(&[]);
    write("fourth").expect("it is back");
}
