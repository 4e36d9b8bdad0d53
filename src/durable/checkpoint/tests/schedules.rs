//! Checkpoints beside workers, under every kind of schedule, on a disk that loses what was
//! not synced: the map calls nothing done that a power cut would take away, whenever it comes
//! (invariant I3).

use std::sync::Arc;

use shuttle::rand::{Rng, thread_rng};

use super::*;
use crate::OnReadError;
use crate::engine::Engine;
use crate::plan::{Cursor, Plan};
use crate::pool::controller::Controller;
use crate::pool::{self, Assignment, Control, Work};
use crate::progress::CancelToken;
use crate::sync::tests::check;
use crate::sync::thread;

const REQUEST: u64 = 512;
const STRIPE: u64 = 1024;
const LEN: u64 = 5 * 1024 + 7;

/// What the map must not be ahead of.
type Medium = Arc<Memory>;

/// Stripes, with a checkpoint whenever the supervisor looks.
struct Checkpointing<'a> {
    transfer: Arc<Transfer>,
    cursor: Cursor<'a>,
    checkpointer: &'a Checkpointer,
    progress: &'a Progress,
}

impl Work for Checkpointing<'_> {
    fn claim(&self) -> Result<Option<Assignment>> {
        let transfer = || Arc::clone(&self.transfer);
        let assign = |stripe| Assignment { ticket: 0, transfer: transfer(), stripe };
        Ok(self.cursor.claim().map(assign))
    }

    fn checkpoint(&self) -> Result<()> {
        self.checkpointer.tick(&*self.transfer, self.progress)
    }
}

fn bytes() -> Vec<u8> {
    (0..LEN).map(|at| (at % 251) as u8 + 1).collect()
}

/// What the map says now is on the medium now; how much that is.
fn look(file: &MapFile, medium: &Medium) -> u64 {
    let map = file.load().expect("the map is always whole").unwrap_or_default();
    let (there, wanted) = (medium.bytes(), bytes());
    for run in map.done.iter() {
        let run = run.start() as usize..run.end() as usize;
        assert!(there[run.clone()] == wanted[run.clone()], "{run:?} is not on the disk");
    }
    map.done.bytes()
}

/// One copy, in which one sync may fail, looked at all the time.
#[test]
fn the_map_is_never_ahead_of_the_disk() {
    check(|| {
        let mut random = thread_rng();
        let folder = tempfile::tempdir().unwrap();
        let map_file = || MapFile::new(&folder.path().join("map")).unwrap();
        let medium = Medium::new(Memory::zeroed(LEN as usize));
        let mut inside = Faulty::new(Arc::clone(&medium));
        if random.gen_bool(0.3) {
            inside = inside.with(Rule::on(Operation::Sync).call(random.gen_range(1..=4)));
        }
        let disk = Arc::new(Volatile::new(inside));
        let range = ByteRange::to(LEN);
        let (every, settled) = (Duration::ZERO, RangeSet::new());
        let checkpointer =
            Checkpointer::new(map_file(), identity(range), every, range, settled, false);
        let source = (Arc::new(Memory::new(bytes())) as Arc<_>, "source".into());
        let sink = (Arc::clone(&disk) as Arc<_>, "sink".into());
        let engines: Vec<Box<dyn Engine>> = vec![Box::new(Positioned)];
        let transfer =
            Arc::new(Transfer::new(source, sink, Mapping::to_start(range), 512, engines));
        let (progress, cancel) = (Progress::new(), CancelToken::new());
        let plan = Plan::new(&RangeSet::from(range), 0, STRIPE);
        let work = Checkpointing {
            transfer: Arc::clone(&transfer),
            cursor: Cursor::new(&plan),
            checkpointer: &checkpointer,
            progress: &progress,
        };
        let control = Control {
            progress: &progress,
            cancel: &cancel,
            io_size: REQUEST,
            buffer_size: REQUEST,
            kernel_io_size: REQUEST,
            retries: 0,
            on_read_error: OnReadError::Record,
            throttle: None,
        };
        let workers = Controller::fixed(random.gen_range(2..=3));
        let looks = random.gen_range(0..30);
        let result = thread::scope(|scope| {
            let copy = scope.spawn(|| pool::run(&control, &work, workers).1);
            scope.spawn(|| {
                for _ in 0..looks {
                    look(&map_file(), &medium);
                    crate::sync::scheduling_point();
                }
            });
            copy.join().unwrap()
        });
        let ended = match result {
            Ok(()) => checkpointer.save(&*transfer).is_ok(),
            // As of a copy that ends early.
            Err(error) => {
                let _ = checkpointer.keep(&*transfer, &error);
                false
            }
        };
        // The power goes.
        disk.crash(thread_rng().r#gen()).unwrap();
        let recorded = look(&map_file(), &medium);
        assert!(!ended || recorded == LEN, "{recorded} of {LEN} bytes are recorded");
    });
}
