//! Landlock: what the process may write and whom it may call, from now on. It can
//! be told to allow less, never more.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus,
};

/// The version that knows of truncating, and of names that move between
/// directories: Linux 6.2.
const FILES: ABI = ABI::V3;

/// The version that knows of TCP: Linux 6.7.
const NETWORK: ABI = ABI::V4;

/// Lets this thread, and those that it starts, make and write files only at and below
/// `writable`, and make connections only with `network`. Files that are open stay as
/// they are, and reading is not restricted. Returns whether the kernel does so: one
/// that cannot is asked for nothing.
///
/// # Errors
///
/// If one of `writable` is not there, in which case nothing is restricted.
pub fn confine(writable: &[PathBuf], network: bool) -> std::io::Result<bool> {
    let places: Vec<_> = writable
        .iter()
        .map(|path| {
            let all = AccessFs::from_write(FILES);
            let access = if path.is_dir() { all } else { all & AccessFs::from_file(FILES) };
            PathFd::new(path).map(|place| PathBeneath::new(place, access))
        })
        .collect::<Result<_, _>>()
        .map_err(std::io::Error::other)?;
    Ok(restrict(places, network).unwrap_or(false))
}

fn restrict(places: Vec<PathBeneath<PathFd>>, network: bool) -> Result<bool, RulesetError> {
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_write(FILES))?
        .set_compatibility(CompatLevel::BestEffort);
    let rules = if network { rules } else { rules.handle_access(AccessNet::from_all(NETWORK))? };
    let rules = rules.create()?.add_rules(places.into_iter().map(Ok::<_, RulesetError>))?;
    Ok(rules.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// The thread is restricted, and no other one.
    fn confined<T: Send>(
        writable: &[PathBuf],
        network: bool,
        act: impl FnOnce() -> T + Send,
    ) -> Option<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| confine(writable, network).unwrap().then(act));
            thread.join().unwrap()
        })
    }

    #[test]
    fn nothing_is_written_outside_and_everything_inside() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (inside, outside) = (at("inside"), at("outside"));
        fs::create_dir(&inside).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("old"), "old").unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
        let allowed = confined(std::slice::from_ref(&inside), false, || {
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
            let folder = crate::sys::Directory::open(&inside.join("folder")).unwrap();
            if let Ok(unnamed) = folder.create_unnamed() {
                folder.name_unnamed(&unnamed, "named".as_ref()).unwrap();
            }
            fs::read(inside.join("second")).unwrap()
        });
        // A kernel without Landlock leaves out all of this.
        assert!(allowed.is_none_or(|found| found == b"new"));
        fs::write(outside.join("new"), "other threads may").unwrap();
    }

    #[test]
    fn the_network_is_there_where_it_is_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let call = || TcpStream::connect(address).is_ok();
        let places = [folder.path().to_owned()];
        let (Some(open), Some(closed)) =
            (confined(&places, true, call), confined(&places, false, call))
        else {
            return;
        };
        assert!(open);
        // Before Linux 6.7 the network cannot be restricted.
        let knows = rustix::system::uname().release().to_string_lossy().into_owned();
        if knows.starts_with("6.") || knows.starts_with("7.") {
            let minor: u32 = knows.split('.').nth(1).and_then(|m| m.parse().ok()).unwrap_or(0);
            assert_eq!(closed, knows.starts_with("6.") && minor < 7);
        }
    }

    #[test]
    fn what_is_not_there_restricts_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert!(confine(std::slice::from_ref(&missing), false).is_err());
                fs::write(&missing, "written").unwrap();
            });
        });
    }
}
