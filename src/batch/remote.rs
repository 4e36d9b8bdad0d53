//! Opening what servers hand out, many at once: each answer takes its time, and
//! a list may name thousands.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use crate::address;
use crate::cpu::into_inner;
use crate::endpoint::{self, Origin};
use crate::error::{ErrorKind, Result};
use crate::options::Options;
use crate::pool::controller::Controller;
use crate::pool::{self, FailedAt, Requests, Steps};
use crate::progress::{CancelToken, Progress, Watch, lock};
use crate::sync::Mutex;

/// Servers are asked for so many at once, unless the user says otherwise.
const AT_ONCE: usize = 16;

/// Those that could be opened, and why the others could not, by name.
pub type Opened<'a> = HashMap<&'a Path, Result<Arc<dyn Origin>>>;

/// Opens each of `names` that is an address, once. Those of one server share its
/// connections.
pub fn open<'a>(
    names: impl Iterator<Item = &'a Path>,
    options: &Options,
    cancel: &CancelToken,
) -> Opened<'a> {
    let far: HashSet<&Path> = names.filter(|name| address::scheme(name).is_some()).collect();
    let wanted: Vec<&Path> = far.into_iter().collect();
    if wanted.is_empty() {
        return HashMap::new();
    }
    let threads = options.remote.connections.unwrap_or(AT_ONCE).min(wanted.len());
    let progress = Progress::new();
    let control = options.control(0, Watch::new(&progress, cancel));
    let opening = Opening {
        opener: Opener { options, cancel, servers: Mutex::default() },
        rest: Mutex::new(wanted.into_iter()),
        opened: Mutex::default(),
    };
    // The first makes what the others share.
    opening.next();
    // Those that are not opened because somebody asked to stop are not there.
    let _ = pool::run_steps(&control, &opening, Controller::fixed(threads));
    into_inner(opening.opened)
}

/// Addresses that are opened one after the other by each of several workers.
struct Opening<'o, 'a> {
    opener: Opener<'o>,
    rest: Mutex<std::vec::IntoIter<&'a Path>>,
    opened: Mutex<Opened<'a>>,
}

impl Opening<'_, '_> {
    /// Opens the next; whether there was one.
    fn next(&self) -> bool {
        let Some(path) = lock(&self.rest).next() else { return false };
        let origin = self.opener.open(path);
        lock(&self.opened).insert(path, origin);
        true
    }
}

impl Steps for Opening<'_, '_> {
    type Buffers = ();

    const NAME: &'static str = "open";

    fn bytes(&self) -> usize {
        0
    }

    fn buffers(&self) -> Result<()> {
        Ok(())
    }

    fn step(&self, _buffers: &mut (), _requests: Requests<'_>) -> Result<bool, FailedAt> {
        Ok(self.next())
    }

    fn needs_supervisor(&self) -> bool {
        false
    }
}

/// What opens them, and the first of each server.
struct Opener<'a> {
    options: &'a Options,
    cancel: &'a CancelToken,
    servers: Mutex<HashMap<String, Arc<dyn Origin>>>,
}

impl Opener<'_> {
    fn open(&self, path: &Path) -> Result<Arc<dyn Origin>> {
        check_stop(self.cancel)?;
        let server = path.to_str().and_then(address::server).unwrap_or_default();
        let known = lock(&self.servers).get(&server).cloned();
        let origin = match known.and_then(|known| known.open_beside(path, self.cancel)) {
            Some(opened) => opened?,
            None => endpoint::origin(path, self.options, self.cancel)?,
        };
        lock(&self.servers).entry(server).or_insert_with(|| Arc::clone(&origin));
        Ok(origin)
    }
}

/// Ends what is being prepared if somebody asked to stop.
///
/// # Errors
///
/// [`ErrorKind::Cancelled`].
pub fn check_stop(cancel: &CancelToken) -> Result<()> {
    if cancel.is_cancelled() { Err(ErrorKind::Cancelled.into()) } else { Ok(()) }
}
