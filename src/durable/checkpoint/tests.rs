#[cfg(pcopy_model)]
mod schedules;

use super::*;
use crate::durable::map::{Destination, Mode, Source};
use crate::engine::Positioned;
use crate::io::memory::Memory;
use crate::io::transfer::write_full;
use crate::pool::Transfer;
use crate::range::Mapping;
use crate::testing::{Faulty, Operation, Rule, Volatile};
use std::sync::Arc;

/// Two errors can meet: a write fails at the start of the range while a
/// sync fails, and only one of them is reported. Whichever it is, the data
/// is lost, and a second sync would say that it is not.
#[test]
fn after_a_failed_sync_nothing_is_recorded_whatever_ended_the_job() {
    let folder = tempfile::tempdir().unwrap();
    let file = MapFile::new(&folder.path().join("map")).unwrap();
    let medium = Faulty::new(Memory::zeroed(512)).with(Rule::on(Operation::Sync).call(1));
    let disk = Arc::new(Volatile::new(medium));
    let source = (Arc::new(Memory::zeroed(512)) as Arc<_>, "source".into());
    let range = ByteRange::to(512);
    let sink = (Arc::clone(&disk) as Arc<_>, "sink".into());
    let transfer =
        Transfer::new(source, sink, Mapping::to_start(range), 512, vec![Box::new(Positioned)]);
    let every = Duration::ZERO;
    let settled = RangeSet::new();
    let identity = identity(range);
    let checkpointer = Checkpointer::new(file, identity, every, range, settled, false);

    write_full(&*disk, 0, &[1; 512]).unwrap();
    transfer.record_done(range);
    let error = checkpointer.save(&transfer).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Sync { .. }), "{error}");
    let (path, source) = ("sink".into(), std::io::ErrorKind::StorageFull.into());
    let other = ErrorKind::Write { path, range, source }.into();
    checkpointer.keep(&transfer, &other).unwrap();
    assert!(!checkpointer.has_saved(), "the map would be ahead of the data");
}

/// A checkpoint that is due while the copy is being committed would leave a
/// map beside a file that is complete.
#[test]
fn after_the_close_no_map_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = MapFile::new(&folder.path().join("map")).unwrap();
    let source = (Arc::new(Memory::zeroed(512)) as Arc<_>, "source".into());
    let sink = (Arc::new(Memory::zeroed(512)) as Arc<_>, "sink".into());
    let range = ByteRange::to(512);
    let transfer =
        Transfer::new(source, sink, Mapping::to_start(range), 512, vec![Box::new(Positioned)]);
    let (every, settled) = (Duration::ZERO, RangeSet::new());
    let checkpointer = Checkpointer::new(file, identity(range), every, range, settled, false);
    let progress = Progress::new();
    progress.add_copied(1);
    checkpointer.tick(&transfer, &progress).unwrap();
    assert!(checkpointer.has_saved());
    checkpointer.remove().unwrap();
    checkpointer.close();
    progress.add_copied(1);
    checkpointer.tick(&transfer, &progress).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// What has moved may be copied again, and what an earlier run has done is not of this one.
#[test]
fn a_checkpoint_tells_what_this_run_has_recorded_and_not_what_has_moved() {
    let folder = tempfile::tempdir().unwrap();
    let file = MapFile::new(&folder.path().join("map")).unwrap();
    let source = (Arc::new(Memory::zeroed(512)) as Arc<_>, "source".into());
    let sink = (Arc::new(Memory::zeroed(512)) as Arc<_>, "sink".into());
    let range = ByteRange::to(512);
    let transfer =
        Transfer::new(source, sink, Mapping::to_start(range), 512, vec![Box::new(Positioned)]);
    let settled: RangeSet = ByteRange::to(100).into();
    let checkpointer =
        Checkpointer::new(file, identity(range), Duration::ZERO, range, settled, true);
    let progress = Progress::new();
    progress.add_copied(400);
    transfer.record_done(ByteRange::between(100, 300));
    transfer.invalidate(&ByteRange::between(290, 300).into());
    checkpointer.tick(&transfer, &progress).unwrap();
    let told = progress.next_event();
    let Some(Event::Checkpoint { path, bytes: 190 }) = told else { panic!("{told:?}") };
    assert_eq!(path, Path::new("/x"));
}

fn identity(range: ByteRange) -> Identity {
    let (path, kind) = (std::path::PathBuf::from("/x"), "file".to_owned());
    let source = Source {
        path: path.clone(),
        kind: kind.clone(),
        size: 512,
        mtime_ns: None,
        ctime_ns: None,
        may_change: false,
        id: None,
    };
    let destination = Destination { path, offset: 0, kind, mode: Mode::New, id: None };
    Identity { source, range, destination, list: None }
}
