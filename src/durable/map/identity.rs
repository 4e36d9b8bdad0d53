//! Which job a map belongs to. A map resumes only a job whose identity has no
//! [difference](Identity::difference) from its own. This room compares what it
//! is given; it looks at no file.

use super::MapError;
use super::escape::{escape, unescape};
use crate::range::ByteRange;
use crate::sys::{bytes_of, os_string};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Everything that must be the same for a map to go on being true.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Where the bytes come from.
    pub source: Source,
    /// Which of them the job copies.
    pub range: ByteRange,
    /// Where they go. No option decides which bytes get there: whether zeros
    /// are stored, say, or how bytes move, may change from run to run.
    pub destination: Destination,
    /// Digest of what a list says of the destination, where that has many
    /// sources or many places in one: positions are then those of the destination.
    pub list: Option<String>,
}

/// The source of a job, as it was when the job began.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// Absolute, so that a resume from another directory finds the same.
    pub path: PathBuf,
    /// What it is, in the words of the report: `file`, `block-device`.
    pub kind: String,
    /// Bytes.
    pub size: u64,
    /// Last change, in nanoseconds since 1970; `None` where it says nothing, as for devices.
    pub mtime_ns: Option<i128>,
    /// Last change of anything about it, likewise. Nobody can set this one: a
    /// change that left size and modification time as they were shows here.
    pub ctime_ns: Option<i128>,
    /// Whether size and times need not be what they were: the job itself
    /// changes the file it reads, or the user accepts whatever has changed.
    /// A matter of the job at hand, so it is not in the map.
    pub may_change: bool,
    /// Which object the path named; see [`ObjectId`] for when this is `None`.
    pub id: Option<ObjectId>,
}

/// The destination of a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Destination {
    /// The final name, absolute.
    pub path: PathBuf,
    /// Where in the destination the first byte of the range goes.
    pub offset: u64,
    /// What it is, in the words of the report.
    pub kind: String,
    /// How the bytes get there.
    pub mode: Mode,
    /// The object written to: the part file, or the destination itself where
    /// there is none. A part file put there by another run has another one.
    pub id: Option<ObjectId>,
}

/// How a destination comes to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Staged as a part file. Whether its final name is taken, and may be, is
    /// asked anew by each run: it changes nothing about what the part holds.
    New,
    /// Written into an existing file.
    InPlace,
    /// Written to a device.
    Device,
}

/// Which object a path named, by what outlives a reboot.
///
/// Give none where the numbers do not outlive a mount (FAT and exFAT make
/// inode numbers up): an unknown identity is better than a false one that
/// refuses every resume.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ObjectId {
    /// A file.
    File {
        /// Number of the device the file system is on. Kept for the reader and
        /// not compared: btrfs, NFS, LVM and loop devices get another one at
        /// the next mount, and a job is resumed after a reboot.
        device: u64,
        /// Number of the file in its file system.
        inode: u64,
        /// When the file was made, in nanoseconds since 1970, where the system
        /// tells: ext4 gives the number of a removed file to the next. Compared
        /// where both sides know it.
        born_ns: Option<i128>,
    },
    /// A device.
    Device {
        /// Number of the device itself; compared only where there is no
        /// serial, because disks are numbered anew at each boot.
        number: u64,
        /// Serial number of the disk.
        serial: Option<String>,
    },
}

/// The first field in which a map and a job differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Name of the field, as in the map.
    pub field: String,
    /// What the map says; `absent` if it does not have the field.
    pub map_value: String,
    /// What the job says; `absent` likewise.
    pub job_value: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { field, map_value, job_value } = self;
        write!(f, "{field} is {map_value} in the map and {job_value} in this job")
    }
}

impl Mode {
    const ALL: [Mode; 3] = [Mode::New, Mode::InPlace, Mode::Device];

    fn name(self) -> &'static str {
        match self {
            Mode::New => "new",
            Mode::InPlace => "in-place",
            Mode::Device => "device",
        }
    }
}

/// One field of an identity as it stands in the map.
struct Field {
    name: String,
    value: String,
    compared: bool,
}

/// Field of the time at which a file was made.
const BORN: &str = "created-ns";

/// What a change of the content shows in.
const STATE: [&str; 3] = ["source-size", "source-mtime-ns", "source-ctime-ns"];

impl Difference {
    /// Whether it is the same source in another state.
    pub fn is_of_state(&self) -> bool {
        STATE.contains(&self.field.as_str())
    }
}

impl Identity {
    /// What keeps a map with this identity from resuming `job`: the first
    /// field that differs, in the order of the map; `None` if nothing does.
    pub fn difference(&self, job: &Identity) -> Option<Difference> {
        let (ours, theirs) = (self.fields(), job.fields());
        // A field absent on one side has no value there, whichever side that is.
        let names = ours.iter().chain(&theirs).filter(|field| field.compared);
        let names = names.map(|field| field.name.as_str());
        let any_state = self.source.may_change || job.source.may_change;
        names.filter(|name| !(any_state && STATE.contains(name))).find_map(|name| {
            let (map_value, job_value) = (value_of(&ours, name), value_of(&theirs, name));
            let unknown = name.ends_with(BORN) && (map_value.is_none() || job_value.is_none());
            (map_value != job_value && !unknown).then(|| Difference {
                field: name.to_owned(),
                map_value: map_value.unwrap_or("absent").to_owned(),
                job_value: job_value.unwrap_or("absent").to_owned(),
            })
        })
    }

    /// Names and values in the order of the map; values are one line each.
    pub(super) fn lines(&self) -> impl Iterator<Item = (String, String)> {
        self.fields().into_iter().map(|field| (field.name, field.value))
    }

    /// The one list of fields: what is written is what is compared.
    fn fields(&self) -> Vec<Field> {
        let Identity { source, range, destination, list: rows } = self;
        let mut list = Vec::new();
        let mut add = |name: &str, value: String, compared| {
            list.push(Field { name: name.to_owned(), value, compared });
        };
        add("source-path", path_value(&source.path), true);
        add("source-kind", escape(source.kind.as_bytes()), true);
        add("source-size", source.size.to_string(), true);
        if let Some(time) = source.mtime_ns {
            add("source-mtime-ns", time.to_string(), true);
        }
        if let Some(time) = source.ctime_ns {
            add("source-ctime-ns", time.to_string(), true);
        }
        for (name, value, compared) in id_values(source.id.as_ref()) {
            add(&format!("source-{name}"), value, compared);
        }
        add("range-start", range.start().to_string(), true);
        add("range-end", range.end().to_string(), true);
        add("dest-path", path_value(&destination.path), true);
        add("dest-offset", destination.offset.to_string(), true);
        add("dest-kind", escape(destination.kind.as_bytes()), true);
        add("dest-mode", destination.mode.name().to_owned(), true);
        for (name, value, compared) in id_values(destination.id.as_ref()) {
            add(&format!("dest-{name}"), value, compared);
        }
        if let Some(rows) = rows {
            add("list", escape(rows.as_bytes()), true);
        }
        list
    }

    /// The identity that [`lines`](Identity::lines) was taken from.
    pub(super) fn from_fields(mut fields: Fields) -> Result<Identity, MapError> {
        let source = Source {
            path: fields.path("source-path")?,
            kind: fields.text("source-kind")?,
            size: fields.number("source-size")?,
            mtime_ns: fields.optional("source-mtime-ns", |value| value.parse().ok())?,
            ctime_ns: fields.optional("source-ctime-ns", |value| value.parse().ok())?,
            may_change: false,
            id: fields.id("source")?,
        };
        let (start, end) = (fields.number("range-start")?, fields.number("range-end")?);
        let range = ByteRange::new(start, end)
            .ok_or_else(|| MapError::whole("range-end lies before range-start"))?;
        let destination = Destination {
            path: fields.path("dest-path")?,
            offset: fields.number("dest-offset")?,
            kind: fields.text("dest-kind")?,
            mode: fields.required("dest-mode", |value| {
                Mode::ALL.into_iter().find(|mode| mode.name() == value)
            })?,
            id: fields.id("dest")?,
        };
        let list = fields.optional("list", |value| Some(value.to_owned()))?;
        fields.none_left()?;
        Ok(Identity { source, range, destination, list })
    }
}

fn value_of<'a>(fields: &'a [Field], name: &str) -> Option<&'a str> {
    fields
        .iter()
        .find(|field| field.compared && field.name == name)
        .map(|field| field.value.as_str())
}

fn path_value(path: &Path) -> String {
    escape(&bytes_of(path.as_os_str()))
}

/// Name, value, and whether it is compared.
fn id_values(id: Option<&ObjectId>) -> Vec<(&'static str, String, bool)> {
    match id {
        None => Vec::new(),
        Some(ObjectId::File { device, inode, born_ns }) => {
            let mut values =
                vec![("device", device.to_string(), false), ("inode", inode.to_string(), true)];
            values.extend(born_ns.map(|time| (BORN, time.to_string(), true)));
            values
        }
        Some(ObjectId::Device { number, serial: None }) => {
            vec![("device-number", number.to_string(), true)]
        }
        Some(ObjectId::Device { number, serial: Some(serial) }) => {
            vec![
                ("device-number", number.to_string(), false),
                ("serial", escape(serial.as_bytes()), true),
            ]
        }
    }
}

/// The fields of a map while they are being read: each is taken out once, and
/// what is left over is unknown.
#[derive(Default)]
pub(super) struct Fields(BTreeMap<String, (usize, String)>);

impl Fields {
    /// Adds a field found on `line`.
    pub(super) fn add(&mut self, line: usize, name: &str, value: &str) -> Result<(), MapError> {
        match self.0.insert(name.to_owned(), (line, value.to_owned())) {
            None => Ok(()),
            Some((first, _)) => {
                Err(MapError::at(line, format!("{name} is already on line {first}")))
            }
        }
    }

    fn optional<T>(
        &mut self,
        name: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, MapError> {
        let Some((line, value)) = self.0.remove(name) else {
            return Ok(None);
        };
        let bad = || MapError::at(line, format!("{name} cannot be {value:?}"));
        read(&value).map(Some).ok_or_else(bad)
    }

    fn required<T>(&mut self, name: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, MapError> {
        self.optional(name, read)?.ok_or_else(|| MapError::whole(format!("{name} is missing")))
    }

    fn number(&mut self, name: &str) -> Result<u64, MapError> {
        self.required(name, |value| value.parse().ok())
    }

    fn text(&mut self, name: &str) -> Result<String, MapError> {
        self.required(name, plain_text)
    }

    fn path(&mut self, name: &str) -> Result<PathBuf, MapError> {
        self.required(name, |value| unescape(value).and_then(os_string).map(PathBuf::from))
    }

    fn id(&mut self, of: &str) -> Result<Option<ObjectId>, MapError> {
        let number = |value: &str| value.parse().ok();
        if let Some(number) = self.optional(&format!("{of}-device-number"), number)? {
            let serial = self.optional(&format!("{of}-serial"), plain_text)?;
            return Ok(Some(ObjectId::Device { number, serial }));
        }
        let Some(device) = self.optional(&format!("{of}-device"), number)? else {
            return Ok(None);
        };
        let inode = self.number(&format!("{of}-inode"))?;
        let born_ns = self.optional(&format!("{of}-{BORN}"), |value| value.parse().ok())?;
        Ok(Some(ObjectId::File { device, inode, born_ns }))
    }

    /// Refuses what is left, for nobody knows what it means.
    fn none_left(self) -> Result<(), MapError> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((name, (line, _))) => Err(MapError::at(line, format!("unknown field {name:?}"))),
        }
    }
}

fn plain_text(value: &str) -> Option<String> {
    String::from_utf8(unescape(value)?).ok()
}
