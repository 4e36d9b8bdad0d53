//! What a destination is to hold, assembled from several sources, as one origin.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::assembled::{Assembled, Run};
use super::super::sources::Sources;
use crate::digest::{Algorithm, Hasher};
use crate::durable::map;
use crate::endpoint::{End, Origin};
use crate::error::SourceChange;
use crate::io::Source;
use crate::range::ByteRange;

/// Several sources as one. Positions are those of the destination.
pub struct Assembly {
    name: PathBuf,
    content: Arc<Assembled<Arc<Sources>>>,
    sources: Arc<Sources>,
    /// What tells it from every other.
    fingerprint: String,
}

impl Assembly {
    /// `runs` of `sources`, in a destination of `len` bytes; messages call it `name`.
    pub fn new(name: PathBuf, sources: Arc<Sources>, runs: Vec<Run>, len: u64) -> Assembly {
        let fingerprint = fingerprint(&sources, &runs);
        let content = Arc::new(Assembled::new(Arc::clone(&sources), runs, len));
        Assembly { name, content, sources, fingerprint }
    }
}

/// A digest of where everything comes from, as long as that does not change.
fn fingerprint(sources: &Sources, runs: &[Run]) -> String {
    let mut hasher = Hasher::new(Algorithm::Blake3);
    for number in 0..sources.len() as u32 {
        hasher.update(sources.path(number).as_os_str().as_encoded_bytes());
        hasher.update(format!("\0{} {}\n", sources.size(number), sources.state(number)).as_bytes());
    }
    for run in runs {
        let ends = [u64::from(run.source), run.range.start(), run.range.end(), run.at];
        ends.iter().for_each(|number| hasher.update(&number.to_le_bytes()));
    }
    hasher.finalize().to_string()
}

impl Origin for Assembly {
    fn path(&self) -> &Path {
        &self.name
    }

    fn source(&self) -> Arc<dyn Source> {
        self.content.clone()
    }

    fn sector(&self) -> u32 {
        self.sources.open(0).map_or(crate::source::DEFAULT_SECTOR, |first| first.sector())
    }

    fn identity(&self) -> map::Source {
        map::Source {
            path: std::path::absolute(&self.name).unwrap_or_else(|_| self.name.clone()),
            kind: format!("list-{}", self.fingerprint),
            size: self.content.size(),
            mtime_ns: None,
            ctime_ns: None,
            may_change: false,
            id: None,
        }
    }

    fn change(&self) -> io::Result<Option<SourceChange>> {
        Ok((0..self.sources.len() as u32).find_map(|number| self.sources.change(number)))
    }

    fn end(&self) -> End {
        // Most lists have one source.
        self.sources.open(0).map(|first| first.end()).unwrap_or_default()
    }

    fn who_may_write(&self, _range: ByteRange) -> Option<String> {
        let all = self.sources.who_may_write();
        (!all.is_empty()).then(|| all.join("; "))
    }
}
