//! A disk that loses power at any moment, and what it may hold then.

use std::collections::{BTreeMap, BTreeSet};

/// What a disk writes at once, in bytes. Even that may be torn.
pub const SECTOR: usize = 512;

/// The smallest piece that is old or new as a whole: half of the last half sector of a file.
pub const PIECE: usize = SECTOR / 4;

/// Every file by its name in the folder of the scene.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A call of the program that changes what is on the disk, or secures it.
#[derive(Debug)]
pub enum Call {
    Create(String),
    Write {
        name: String,
        at: usize,
        bytes: Vec<u8>,
    },
    Append {
        name: String,
        bytes: Vec<u8>,
    },
    SetLength {
        name: String,
        len: usize,
    },
    /// Makes a file at least so long.
    Reserve {
        name: String,
        len: usize,
    },
    Sync(String),
    SyncFolder(String),
    Rename {
        from: String,
        to: String,
    },
    Remove(String),
}

/// What happens to a call, by its number among all.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    Begins(usize),
    Returns(usize),
}

/// The calls of one run, and in which order they began and returned.
#[derive(Default)]
pub struct Recording {
    pub calls: Vec<Call>,
    pub moments: Vec<Moment>,
}

/// What is known of a run whose power may go at any moment.
pub struct Outcomes {
    /// Every state that a power cut may leave before, in or after the run.
    pub states: BTreeSet<Files>,
    /// Those of them that it may leave after the last call.
    pub last: BTreeSet<Files>,
    /// How many writes returned while a sync of the same file was under way.
    pub meanwhile: usize,
}

/// What the disk takes or loses at once.
#[derive(Clone)]
enum Unit {
    /// At most a sector of file number `file`.
    Bytes {
        file: usize,
        at: usize,
        bytes: Vec<u8>,
    },
    Length {
        file: usize,
        len: usize,
    },
    /// Names of one folder, and the files that they lead to from then on.
    Names {
        folder: String,
        now: Vec<(String, Option<usize>)>,
    },
}

/// A unit that no sync has secured yet, of a call that may not have returned yet.
struct Pending {
    unit: Unit,
    call: usize,
    has_returned: bool,
}

/// A sync that has not returned.
struct Sync {
    /// What it is of, if not of a folder.
    file: Option<usize>,
    /// The calls whose changes it secures: those that had returned when it began.
    secures: BTreeSet<usize>,
}

/// What becomes of a unit whose call is not secured.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Lost,
    Whole,
    FirstHalf,
    SecondHalf,
}

/// The bytes of each file on the disk, and which names lead to which.
#[derive(Clone, Default)]
struct Medium {
    files: Vec<Vec<u8>>,
    names: BTreeMap<String, usize>,
}

impl Medium {
    /// What `unit` changes.
    fn write(&mut self, unit: &Unit, fate: Fate) {
        match unit {
            _ if fate == Fate::Lost => {}
            Unit::Bytes { file, at, bytes } => {
                let half = half_of(*at, bytes.len());
                let (at, bytes) = match fate {
                    Fate::FirstHalf => (*at, &bytes[..half]),
                    Fate::SecondHalf => (at + half, &bytes[half..]),
                    Fate::Whole | Fate::Lost => (*at, &bytes[..]),
                };
                let end = at + bytes.len();
                let content = &mut self.files[*file];
                content.resize(content.len().max(end), 0);
                content[at..end].copy_from_slice(bytes);
            }
            Unit::Length { file, len } => self.files[*file].resize(*len, 0),
            Unit::Names { now, .. } => {
                for (name, file) in now {
                    match file {
                        Some(file) => self.names.insert(name.clone(), *file),
                        None => self.names.remove(name),
                    };
                }
            }
        }
    }

    fn content(&self) -> Files {
        let content = |(name, file): (&String, &usize)| (name.clone(), self.files[*file].clone());
        self.names.iter().map(content).collect()
    }
}

/// Where a write of `len` bytes at `at`, in one sector, is torn: in the middle of the
/// sector, or of the write if that lies on one side.
fn half_of(at: usize, len: usize) -> usize {
    let to_the_middle = (SECTOR / 2).saturating_sub(at % SECTOR);
    if (1..len).contains(&to_the_middle) { to_the_middle } else { len / 2 }
}

/// A disk, and what it was given and may not have written yet.
#[derive(Default)]
struct Disk {
    /// What is secured.
    medium: Medium,
    pending: Vec<Pending>,
    /// Those that are under way, by the numbers of their calls.
    syncs: BTreeMap<usize, Sync>,
    /// The names as the program sees them, and the lengths.
    seen: BTreeMap<String, usize>,
    lengths: Vec<usize>,
}

impl Disk {
    fn with(files: &Files) -> Disk {
        let mut disk = Disk::default();
        for (name, bytes) in files {
            disk.medium.names.insert(name.clone(), disk.lengths.len());
            disk.lengths.push(bytes.len());
            disk.medium.files.push(bytes.clone());
        }
        disk.seen = disk.medium.names.clone();
        disk
    }

    /// Takes what call number `number` changes: from now on it may be on the disk. A sync
    /// is to secure what calls have changed that have returned by now, and nothing else.
    fn begin(&mut self, number: usize, call: &Call) {
        match call {
            Call::Create(name) => {
                let file = self.lengths.len();
                self.medium.files.push(Vec::new());
                self.lengths.push(0);
                self.seen.insert(name.clone(), file);
                self.change_names(number, vec![(name.clone(), Some(file))]);
            }
            Call::Write { name, at, bytes } => self.put(number, self.seen[name], *at, bytes),
            Call::Append { name, bytes } => {
                let file = self.seen[name];
                self.put(number, file, self.lengths[file], bytes);
            }
            Call::SetLength { name, len } => self.set_length(number, self.seen[name], *len),
            Call::Reserve { name, len } => {
                let file = self.seen[name];
                self.set_length(number, file, self.lengths[file].max(*len));
            }
            Call::Sync(name) => {
                let file = Some(self.seen[name]);
                self.begin_sync(number, file, |unit| unit.file() == file);
            }
            Call::SyncFolder(synced) => self.begin_sync(
                number,
                None,
                |unit| matches!(unit, Unit::Names { folder, .. } if folder == synced),
            ),
            // Until it returns, either name may lead to it.
            Call::Rename { from, to } => {
                let file = self.seen[from];
                self.seen.insert(to.clone(), file);
                self.change_names(number, vec![(from.clone(), None), (to.clone(), Some(file))]);
            }
            Call::Remove(name) => self.change_names(number, vec![(name.clone(), None)]),
        }
    }

    /// Call number `number` has returned. Whether it is a write that has while a sync of
    /// its file was under way, which does not secure it.
    fn end(&mut self, number: usize, call: &Call) -> bool {
        for pending in self.pending.iter_mut().filter(|pending| pending.call == number) {
            pending.has_returned = true;
        }
        match call {
            Call::Sync(_) | Call::SyncFolder(_) => {
                let sync = self.syncs.remove(&number).expect("it has begun");
                let (secured, pending): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending)
                    .into_iter()
                    .partition(|pending| sync.secures.contains(&pending.call));
                secured.iter().for_each(|pending| self.medium.write(&pending.unit, Fate::Whole));
                self.pending = pending;
                false
            }
            Call::Rename { from: name, .. } | Call::Remove(name) => {
                self.seen.remove(name);
                false
            }
            Call::Write { name, .. } => {
                let file = Some(self.seen[name]);
                self.syncs.values().any(|sync| sync.file == file)
            }
            Call::Append { .. }
            | Call::Create(_)
            | Call::SetLength { .. }
            | Call::Reserve { .. } => false,
        }
    }

    fn begin_sync(
        &mut self,
        number: usize,
        file: Option<usize>,
        is_covered: impl Fn(&Unit) -> bool,
    ) {
        let is_secured = |pending: &&Pending| pending.has_returned && is_covered(&pending.unit);
        let secures = self.pending.iter().filter(is_secured).map(|pending| pending.call).collect();
        self.syncs.insert(number, Sync { file, secures });
    }

    fn change_names(&mut self, call: usize, now: Vec<(String, Option<usize>)>) {
        let folder = folder_of(&now[0].0);
        assert!(now.iter().all(|(name, _)| folder_of(name) == folder), "two folders: {now:?}");
        self.give(call, Unit::Names { folder, now });
    }

    fn set_length(&mut self, call: usize, file: usize, len: usize) {
        self.lengths[file] = len;
        self.give(call, Unit::Length { file, len });
    }

    fn put(&mut self, call: usize, file: usize, at: usize, bytes: &[u8]) {
        self.lengths[file] = self.lengths[file].max(at + bytes.len());
        let mut begin = 0;
        while begin < bytes.len() {
            let end = bytes.len().min(begin + SECTOR - (at + begin) % SECTOR);
            let bytes = bytes[begin..end].to_vec();
            self.give(call, Unit::Bytes { file, at: at + begin, bytes });
            begin = end;
        }
    }

    fn give(&mut self, call: usize, unit: Unit) {
        self.pending.push(Pending { unit, call, has_returned: false });
    }

    /// Every state that a power cut may leave now: with each subset of what is pending,
    /// and with one sector torn, of which either half comes to the disk.
    fn states(&self, found: &mut BTreeSet<Files>) {
        let count = self.pending.len();
        assert!(count <= 16, "{count} things at once that nothing has secured");
        let chosen =
            |subset: u32, at: usize| if subset & 1 << at == 0 { Fate::Lost } else { Fate::Whole };
        for subset in 0..1_u32 << count {
            found.insert(self.left(|at| chosen(subset, at)));
        }
        let is_bytes = |at: usize| matches!(self.pending[at].unit, Unit::Bytes { .. });
        let bytes: u32 = (0..count).filter(|&at| is_bytes(at)).map(|at| 1 << at).sum();
        // With none or all of the other sectors: those of a write are torn one by one.
        let subsets = (0..1_u32 << count).filter(|subset| [0, bytes].contains(&(subset & bytes)));
        for subset in subsets {
            for torn in (0..count).filter(|&at| is_bytes(at)) {
                for fate in [Fate::FirstHalf, Fate::SecondHalf] {
                    found
                        .insert(self.left(|at| if at == torn { fate } else { chosen(subset, at) }));
                }
            }
        }
    }

    /// What is there after a power cut if `fate` is that of each unit.
    fn left(&self, fate: impl Fn(usize) -> Fate) -> Files {
        let mut medium = self.medium.clone();
        for (number, pending) in self.pending.iter().enumerate() {
            medium.write(&pending.unit, fate(number));
        }
        medium.content()
    }
}

impl Unit {
    /// The file that it is of, if it is not of names.
    fn file(&self) -> Option<usize> {
        match self {
            Unit::Bytes { file, .. } | Unit::Length { file, .. } => Some(*file),
            Unit::Names { .. } => None,
        }
    }
}

fn folder_of(name: &str) -> String {
    name.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned())
}

impl Recording {
    /// What power cuts may leave of this run, if `before` was there and secured.
    pub fn outcomes(&self, before: &Files) -> Outcomes {
        let (mut disk, mut states) = (Disk::with(before), BTreeSet::new());
        let (mut last, mut meanwhile) = (BTreeSet::new(), 0);
        disk.states(&mut states);
        for moment in &self.moments {
            let count = disk.pending.len();
            match *moment {
                Moment::Begins(number) => disk.begin(number, &self.calls[number]),
                Moment::Returns(number) => {
                    meanwhile += usize::from(disk.end(number, &self.calls[number]));
                }
            }
            if disk.pending.len() != count {
                disk.states(&mut states);
            }
        }
        disk.states(&mut last);
        Outcomes { states, last, meanwhile }
    }
}
