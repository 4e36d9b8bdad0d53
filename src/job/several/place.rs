//! One of several destinations: begun, left out when it fails, and given its
//! name, all without regard to the others.

use std::path::PathBuf;
use std::sync::Arc;

use super::super::CopyJob;
use crate::durable::map::MapFile;
use crate::durable::previous::{self, Start};
use crate::durable::stage::{Stage, StageShape};
use crate::durable::target::Target;
use crate::error::{Error, ErrorKind, Refusal};
use crate::io::Sink;
use crate::progress::{Event, Progress};
use crate::range::ByteRange;
use crate::report::{AlsoReport, Outcome};
use crate::safety::roles::{Role, Roles};
use crate::source::OpenSource;

/// One of the destinations.
pub struct Place {
    pub report: AlsoReport,
    /// Until it is begun, with where that is.
    pub target: Option<(Target, Start)>,
    /// The map of an earlier run, which goes when this one begins.
    pub map_file: Option<MapFile>,
    /// While it is written.
    pub stage: Option<Stage>,
    pub error: Option<Error>,
}

impl Place {
    pub fn begin(&mut self, blank: StageShape<'_>, progress: &Progress) {
        let Some((target, start)) = self.target.take().filter(|_| self.error.is_none()) else {
            return;
        };
        progress.event(Event::Planned {
            destination: target.describe(),
            engine: "positioned",
            reason: "one read, several writes".to_owned(),
        });
        // Before its part is gone: a map without a part must never remain.
        let removed = self.map_file.take().map_or(Ok(()), |map_file| {
            map_file.clear_temporaries();
            map_file.remove()
        });
        let removed = removed.map_err(|error| Refusal::Other(error.to_string()).into());
        match removed.and_then(|()| Stage::begin(target, blank, start)) {
            Ok(stage) => self.stage = Some(stage),
            Err(error) => self.error = Some(error),
        }
    }

    pub fn sink(&self) -> Option<Arc<dyn Sink>> {
        self.stage.as_ref().map(|stage| stage.io().clone() as Arc<dyn Sink>)
    }

    /// Leaves it out from now on. What was written of a new file goes away.
    pub fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
        if let Some(stage) = self.stage.take() {
            stage.discard();
        }
    }

    pub fn failed_to_write(&mut self, range: Option<ByteRange>, source: std::io::Error) {
        let path = self.path();
        let kind = match range {
            Some(range) => ErrorKind::Write { path, range, source },
            None => ErrorKind::Sync { path, source },
        };
        self.fail(kind.into());
    }

    pub fn path(&self) -> PathBuf {
        self.report.destination.path.clone()
    }

    pub fn settle(&mut self, job: &CopyJob, rights: u32) {
        let Some(stage) = &self.stage else { return };
        if let Err(error) = job.settle(stage, rights) {
            self.fail(error);
        }
    }

    /// Gives the final name, or takes away what was written. `to`: its bytes.
    pub fn end(&mut self, commit: bool, durable: bool, (outcome, to): (Outcome, ByteRange)) {
        let Some(mut stage) = self.stage.take() else { return };
        match commit.then(|| stage.commit(durable).and_then(|()| stage.check_name(to))) {
            None => stage.discard(),
            Some(Ok(())) => (self.report.outcome, self.report.durable) = (outcome, durable),
            Some(Err(error)) => {
                stage.discard();
                self.error = Some(error);
            }
        }
    }

    pub fn note(&mut self, error: &Error) {
        self.report.outcome = as_failure_outcome(error);
        self.report.error = Some(error.chain());
    }
}

/// When others have been written, nobody can say that nothing was.
fn as_failure_outcome(error: &Error) -> Outcome {
    match error.outcome() {
        Outcome::Refused => Outcome::Failed,
        outcome => outcome,
    }
}

/// Refuses one destination under two names, and what is a destination or the
/// source and also the part or the map of one.
pub fn check_distinct(source: &OpenSource, targets: &[Target]) -> Result<(), Refusal> {
    let mut roles = Roles::default();
    for target in targets {
        roles.add_target(target).map_err(|clash| match (clash.known.role, clash.added.role) {
            (Role::Destination, Role::Destination) => {
                let (source_path, path) = (clash.known.path, clash.added.path);
                Refusal::SameFile { source_path, path, what: "destination" }
            }
            _ => clash.into(),
        })?;
    }
    roles.add_known(Role::Read, "the source", &source.path, &source.facts)?;
    for target in targets {
        let map = previous::default_map_path(target);
        roles.add(Role::Side, "the map of a destination", &map)?;
    }
    Ok(())
}
