//! Landlock: what the process may write, ask of devices, and whom it may call, from
//! now on. It can be told to allow less, never more.

use std::io;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, make_bitflags,
};

use super::super::Allowed;

/// The oldest version that is used, of Linux 5.19. An older one refuses every rename from
/// one directory to another.
const NEEDED: ABI = ABI::V2;

/// The version that knows every restriction asked for here, of Linux 6.12. On an older
/// kernel, the restrictions that it does not know are left out.
const WANTED: ABI = ABI::V6;

/// pcopy makes no devices, sockets or pipes, so these rights are given nowhere.
const SPECIAL: BitFlags<AccessFs> =
    make_bitflags!(AccessFs::{MakeChar | MakeBlock | MakeSock | MakeFifo});

/// Lets this thread, and those that it starts, do what is `allowed`, and nothing else of
/// its kind. Files that are open stay as they are, and reading is not restricted.
/// Signals and abstract sockets reach only processes that are restricted by this too.
/// Returns whether the kernel holds all of that; an older one holds what it knows.
///
/// # Errors
///
/// Why nothing is restricted: the kernel cannot, or something allowed is not there.
pub fn confine(allowed: &Allowed) -> io::Result<bool> {
    let asked = allowed.asked.unwrap_or_default();
    let mut places = Vec::with_capacity(allowed.written.len() + asked.len());
    for path in allowed.written {
        places.push(place(path, writing(path))?);
    }
    for path in asked {
        places.push(place(path, AccessFs::IoctlDev.into())?);
    }
    let restricted = restrict(allowed, places);
    restricted.map_err(|error| why_not().unwrap_or_else(|| io::Error::other(error)))
}

fn place(path: &Path, access: BitFlags<AccessFs>) -> io::Result<PathBeneath<PathFd>> {
    Ok(PathBeneath::new(PathFd::new(path).map_err(io::Error::other)?, access))
}

/// What is needed to write at and below `path`.
fn writing(path: &Path) -> BitFlags<AccessFs> {
    let all = AccessFs::from_write(WANTED) & !SPECIAL & !AccessFs::IoctlDev;
    if path.is_dir() { all } else { all & AccessFs::from_file(WANTED) }
}

fn restrict(allowed: &Allowed, places: Vec<PathBeneath<PathFd>>) -> Result<bool, RulesetError> {
    let mut handled = AccessFs::from_write(WANTED);
    if allowed.asked.is_none() {
        handled &= !AccessFs::IoctlDev;
    }
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_write(NEEDED))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(handled)?
        .scope(Scope::from_all(WANTED))?;
    let network = AccessNet::from_all(WANTED);
    let rules = if allowed.network { rules } else { rules.handle_access(network)? };
    let rules = rules.create()?.add_rules(places.into_iter().map(Ok::<_, RulesetError>))?;
    Ok(rules.restrict_self()?.ruleset == RulesetStatus::FullyEnforced)
}

/// Why the kernel confines nobody, if that is so.
fn why_not() -> Option<io::Error> {
    match version() {
        Ok(version) if version >= NEEDED as u32 => None,
        Ok(version) => {
            let needed = NEEDED as u32;
            let what = format!("the kernel has version {version} of Landlock, not {needed}");
            Some(io::Error::other(what))
        }
        Err(error) => Some(io::Error::other(format!("the kernel has no Landlock: {error}"))),
    }
}

/// The version of Landlock that the kernel has.
fn version() -> io::Result<u32> {
    // linux/landlock.h: LANDLOCK_CREATE_RULESET_VERSION.
    const VERSION: u32 = 1;
    let none = std::ptr::null::<u8>();
    // SAFETY: asked for the version, the call reads no memory.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, VERSION) };
    u32::try_from(version).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{ErrorKind, IsTerminal};
    use std::net::{TcpListener, TcpStream};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
    use std::path::PathBuf;
    use std::process::{Child, Command, Stdio};

    use rustix::process::{Pid, test_kill_process};

    use super::*;

    /// Whether the kernel has version `needed`. On an older kernel, `confine` must not say
    /// that it holds everything. The suite counts the skip.
    fn has(needed: ABI) -> bool {
        let version = version().unwrap_or(0);
        if version < needed as u32 {
            let allowed = only(&[]);
            let held = std::thread::scope(|scope| scope.spawn(|| confine(&allowed)).join());
            match held.unwrap() {
                Ok(is_all) => assert!(!is_all && version >= NEEDED as u32),
                Err(error) => assert!(version < NEEDED as u32, "{error}"),
            }
        }
        version >= needed as u32
    }

    /// What `act` returns where only what is `allowed` can be done. The thread is
    /// restricted, and no other one.
    fn confined<T: Send>(allowed: &Allowed, act: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let is_all = confine(allowed).unwrap();
                assert_eq!(is_all, version().unwrap() >= WANTED as u32);
                act()
            });
            thread.join().unwrap()
        })
    }

    fn only(written: &[PathBuf]) -> Allowed<'_> {
        Allowed { written, asked: Some(&[]), network: false }
    }

    #[test]
    fn nothing_is_written_outside_and_everything_inside() {
        if !has(NEEDED) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (inside, outside) = (at("inside"), at("outside"));
        fs::create_dir(&inside).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("old"), "old").unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
        let found = confined(&only(std::slice::from_ref(&inside)), || {
            for denied in [outside.join("new"), outside.join("old"), inside.join("link/old")] {
                let error = fs::write(&denied, "new").unwrap_err();
                assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{denied:?}");
            }
            let old = outside.join("old");
            assert!(fs::remove_file(&old).is_err());
            assert!(fs::rename(&old, inside.join("old")).is_err());
            assert!(fs::rename(&old, outside.join("other")).is_err());
            assert_eq!(fs::read(&old).unwrap(), b"old");
            fs::write(inside.join("part"), "new").unwrap();
            fs::create_dir(inside.join("folder")).unwrap();
            fs::rename(inside.join("part"), inside.join("folder/new")).unwrap();
            fs::hard_link(inside.join("folder/new"), inside.join("second")).unwrap();
            fs::remove_file(inside.join("folder/new")).unwrap();
            std::os::unix::fs::symlink("second", inside.join("link to it")).unwrap();
            let folder = crate::sys::Directory::open(&inside.join("folder")).unwrap();
            if let Ok(unnamed) = folder.create_unnamed() {
                folder.name_unnamed(&unnamed, "named".as_ref()).unwrap();
            }
            // Nothing makes these, inside or outside.
            let fifo = rustix::fs::FileType::Fifo;
            let mode = rustix::fs::Mode::RUSR;
            let made = rustix::fs::mknodat(rustix::fs::CWD, inside.join("pipe"), fifo, mode, 0);
            assert_eq!(made, Err(rustix::io::Errno::ACCESS));
            let socket = UnixListener::bind(inside.join("socket")).unwrap_err();
            assert_eq!(socket.kind(), ErrorKind::PermissionDenied);
            fs::read(inside.join("second")).unwrap()
        });
        assert_eq!(found, b"new");
        fs::write(outside.join("new"), "other threads may").unwrap();
    }

    /// These are the limits that the documentation names.
    #[test]
    fn modes_and_second_names_are_not_held() {
        if !has(NEEDED) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (inside, outside) = (at("inside"), at("outside"));
        fs::create_dir(&inside).unwrap();
        fs::write(&outside, "old").unwrap();
        fs::hard_link(&outside, inside.join("second")).unwrap();
        confined(&only(std::slice::from_ref(&inside)), || {
            assert!(fs::write(&outside, "new").is_err());
            fs::write(inside.join("second"), "new").unwrap();
            fs::set_permissions(&outside, fs::Permissions::from_mode(0o604)).unwrap();
        });
        assert_eq!(fs::read(&outside).unwrap(), b"new");
        assert_eq!(fs::metadata(&outside).unwrap().permissions().mode() & 0o777, 0o604);
    }

    #[test]
    fn the_network_is_there_where_it_is_allowed() {
        if !has(ABI::V4) {
            return;
        }
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        for network in [true, false] {
            let found =
                confined(&Allowed { network, ..only(&[]) }, || TcpStream::connect(address).is_ok());
            assert_eq!(found, network);
        }
    }

    #[test]
    fn devices_answer_where_that_is_allowed() {
        if !has(ABI::V5) {
            return;
        }
        let terminals = Path::new("/dev/ptmx");
        let asks = |asked: Option<&[&str]>| {
            let asked = asked.map(|all| all.iter().map(PathBuf::from).collect::<Vec<_>>());
            confined(&Allowed { asked: asked.as_deref(), ..only(&[]) }, || {
                fs::File::open(terminals).unwrap().is_terminal()
            })
        };
        assert!(asks(None));
        assert!(asks(Some(&["/dev"])));
        assert!(asks(Some(&["/dev/ptmx"])));
        assert!(!asks(Some(&[])));
        assert!(!asks(Some(&["/proc"])));
    }

    /// Ends with its standard input.
    fn waiting() -> Child {
        Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn signals_and_abstract_sockets_reach_nobody_outside() {
        if !has(ABI::V6) {
            return;
        }
        let name = format!("pcopy-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let _server = UnixListener::bind_addr(&address).unwrap();
        let signal = |child: &Child| test_kill_process(Pid::from_child(child));
        let end = |mut child: Child| {
            drop(child.stdin.take());
            assert!(child.wait().unwrap().success());
        };
        let outside = waiting();
        assert!(signal(&outside).is_ok());
        assert!(UnixStream::connect_addr(&address).is_ok());
        confined(&only(&["/dev/null".into()]), || {
            assert_eq!(signal(&outside), Err(rustix::io::Errno::PERM));
            assert!(UnixStream::connect_addr(&address).is_err());
            let mut own = waiting();
            assert!(signal(&own).is_ok());
            own.kill().unwrap();
            assert!(!own.wait().unwrap().success());
        });
        end(outside);
    }

    #[test]
    fn what_is_not_there_restricts_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert!(confine(&only(std::slice::from_ref(&missing))).is_err());
                fs::write(&missing, "written").unwrap();
            });
        });
    }
}
