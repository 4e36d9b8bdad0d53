//! Which job a map belongs to, and how that is known.
//!
//! Range, place and mode make the job: where they differ, the map is of another
//! one. All else, such as paths, numbers and times, are [hints](Evidence): they
//! spare a look at the bytes where they are the same, and where they are not,
//! the bytes decide. This room compares what it is given; it looks at no file.

use super::MapError;
use super::escape::{escape, plain_text, unescape};
use super::upload::{self, UploadPart};
use crate::range::ByteRange;
use crate::sys::{bytes_of, os_string};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// What a map knows of its job.
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

impl Source {
    /// Whether something tells it from another one of the same size, as far as its kind
    /// ever does. A device has nothing either, and is the same disk; what a server hands
    /// out can be exchanged without a trace.
    pub fn is_recognizable(&self) -> bool {
        let is_handed_out = matches!(&*self.kind, "http" | "s3");
        !is_handed_out || self.id.is_some() || self.mtime_ns.is_some()
    }
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
/// Not every file system keeps such numbers: FAT, exFAT and many that a program
/// serves make them up at each mount. So they are hints.
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
    /// An object on a server.
    Remote {
        /// What its server calls this version of it.
        tag: String,
        /// The same in the words of a service that keeps old versions. Kept for the
        /// reader and not compared: the tag says it too.
        version: Option<String>,
    },
    /// An upload to a server, which is not an object yet.
    Upload {
        /// What its server calls it; empty as long as that is not known.
        id: String,
        /// A time before it began, by its server.
        begun: String,
        /// Length of its parts but the last, in bytes.
        part_size: u64,
        /// Whether the server was told that all of it has a checksum.
        checked: bool,
        /// The parts that have arrived, by number from 1.
        parts: BTreeMap<u32, UploadPart>,
    },
}

/// What shows whether a map is true for a job, although a field differs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Evidence {
    /// A few places of what the map calls done: the field says only which file
    /// it is.
    Places,
    /// Every byte that the map calls done: something may have been written.
    AllBytes,
    /// Nothing: the map is of another job.
    None,
}

/// A field in which a map and a job differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Name of the field, as in the map.
    pub field: String,
    /// What the map says; `absent` if it does not have the field.
    pub map_value: String,
    /// What the job says; `absent` likewise.
    pub job_value: String,
    /// What shows whether the map is true despite the difference.
    pub evidence: Evidence,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { field, map_value, job_value, .. } = self;
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
    role: Role,
}

/// What a field is compared for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    /// Nothing: it is there for the reader.
    Note,
    /// It makes the job.
    Job,
    /// It spares a look at the bytes.
    Hint,
}

/// Field of the time at which a file was made.
pub(super) const BORN: &str = "created-ns";

/// Field of what a server calls a version of an object.
const TAG: &str = "tag";

/// Field of the version of an object.
const VERSION: &str = "version";

/// Field of the serial number of a disk.
pub(super) const SERIAL: &str = "serial";

/// A difference that no field shows: a server may hand out another object of the same
/// size by now, and says nothing by which that could be seen.
pub(super) const UNKNOWN: &str = "source-state";

/// What a change of the content shows in.
const STATE: [&str; 4] = ["source-size", "source-mtime-ns", "source-ctime-ns", "source-tag"];

impl Identity {
    /// The fields in which a map with this identity and `job` differ, in the
    /// order of the map.
    pub fn differences(&self, job: &Identity) -> Vec<Difference> {
        let (ours, theirs) = (self.fields(), job.fields());
        let any_state = self.source.may_change || job.source.may_change;
        let mut names: Vec<(&str, Role)> = Vec::new();
        // A field absent on one side has no value there, whichever side that is.
        for field in ours.iter().chain(&theirs) {
            let is_new = names.iter().all(|(name, _)| *name != field.name);
            let may_differ = any_state && STATE.contains(&&*field.name);
            if is_new && field.role != Role::Note && !may_differ {
                names.push((&field.name, field.role));
            }
        }
        let differs = |(name, role): (&str, Role)| {
            let (map_value, job_value) = (value_of(&ours, name), value_of(&theirs, name));
            let is_unknown = map_value.is_none() || job_value.is_none();
            if map_value == job_value || is_unknown && name.ends_with(BORN) {
                return None;
            }
            Some(Difference {
                field: name.to_owned(),
                map_value: map_value.unwrap_or("absent").to_owned(),
                job_value: job_value.unwrap_or("absent").to_owned(),
                evidence: match role {
                    Role::Job => Evidence::None,
                    _ if is_unknown && name.ends_with(SERIAL) => Evidence::Places,
                    _ => self.evidence(name, job),
                },
            })
        };
        let mut found: Vec<Difference> = names.into_iter().filter_map(differs).collect();
        if !any_state && !job.source.is_recognizable() {
            found.push(Difference {
                field: UNKNOWN.to_owned(),
                map_value: "unknown".to_owned(),
                job_value: "unknown".to_owned(),
                evidence: Evidence::AllBytes,
            });
        }
        found
    }

    /// What shows whether a map is true for `job`, where the hint `field` differs.
    fn evidence(&self, field: &str, job: &Identity) -> Evidence {
        let born = |identity: &Identity| match &identity.destination.id {
            Some(ObjectId::File { born_ns, .. }) => *born_ns,
            _ => None,
        };
        match field {
            "source-path"
            | "source-inode"
            | "source-device-number"
            | "dest-path"
            | "dest-device-number" => Evidence::Places,
            // On some file systems who has made a file says more than its number.
            "source-created-ns" => Evidence::Places,
            "dest-inode" if born(self).is_some() && born(self) == born(job) => Evidence::Places,
            _ => Evidence::AllBytes,
        }
    }

    /// Names and values in the order of the map; values are one line each.
    pub(super) fn lines(&self) -> impl Iterator<Item = (String, String)> {
        self.fields().into_iter().map(|field| (field.name, field.value))
    }

    /// The one list of fields: what is written is what is compared.
    fn fields(&self) -> Vec<Field> {
        let Identity { source, range, destination, list: rows } = self;
        let mut list = Vec::new();
        let mut add = |name: &str, value: String, role| {
            list.push(Field { name: name.to_owned(), value, role });
        };
        add("source-path", path_value(&source.path), Role::Hint);
        add("source-kind", escape(source.kind.as_bytes()), Role::Hint);
        add("source-size", source.size.to_string(), Role::Hint);
        if let Some(time) = source.mtime_ns {
            add("source-mtime-ns", time.to_string(), Role::Hint);
        }
        if let Some(time) = source.ctime_ns {
            add("source-ctime-ns", time.to_string(), Role::Hint);
        }
        for (name, value, role) in id_values(source.id.as_ref()) {
            add(&format!("source-{name}"), value, role);
        }
        add("range-start", range.start().to_string(), Role::Job);
        add("range-end", range.end().to_string(), Role::Job);
        add("dest-path", path_value(&destination.path), Role::Hint);
        add("dest-offset", destination.offset.to_string(), Role::Job);
        add("dest-kind", escape(destination.kind.as_bytes()), Role::Job);
        add("dest-mode", destination.mode.name().to_owned(), Role::Job);
        for (name, value, role) in id_values(destination.id.as_ref()) {
            add(&format!("dest-{name}"), value, role);
        }
        if let Some(rows) = rows {
            add("list", escape(rows.as_bytes()), Role::Hint);
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
        .find(|field| field.role != Role::Note && field.name == name)
        .map(|field| field.value.as_str())
}

fn path_value(path: &Path) -> String {
    escape(&bytes_of(path.as_os_str()))
}

/// Name, value, and what it is compared for.
fn id_values(id: Option<&ObjectId>) -> Vec<(Cow<'static, str>, String, Role)> {
    if let Some(id @ ObjectId::Upload { .. }) = id {
        let role = |name: &str| if name == upload::NAME { Role::Hint } else { Role::Note };
        let values = upload::values(id).into_iter();
        return values
            .map(|(name, value)| (Cow::Owned(name.clone()), value, role(&name)))
            .collect();
    }
    let values = few_id_values(id);
    values.into_iter().map(|(name, value, role)| (name.into(), value, role)).collect()
}

/// The same of what always has the same fields.
fn few_id_values(id: Option<&ObjectId>) -> Vec<(&'static str, String, Role)> {
    match id {
        Some(ObjectId::Upload { .. }) => Vec::new(),
        None => Vec::new(),
        Some(ObjectId::File { device, inode, born_ns }) => {
            let mut values = vec![
                ("device", device.to_string(), Role::Note),
                ("inode", inode.to_string(), Role::Hint),
            ];
            values.extend(born_ns.map(|time| (BORN, time.to_string(), Role::Hint)));
            values
        }
        Some(ObjectId::Remote { tag, version }) => {
            let mut values = vec![(TAG, escape(tag.as_bytes()), Role::Hint)];
            let version = version.as_ref().map(|version| escape(version.as_bytes()));
            values.extend(version.map(|version| (VERSION, version, Role::Note)));
            values
        }
        Some(ObjectId::Device { number, serial: None }) => {
            vec![("device-number", number.to_string(), Role::Hint)]
        }
        Some(ObjectId::Device { number, serial: Some(serial) }) => {
            vec![
                ("device-number", number.to_string(), Role::Note),
                (SERIAL, escape(serial.as_bytes()), Role::Hint),
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
        if let Some(tag) = self.optional(&format!("{of}-{TAG}"), plain_text)? {
            let version = self.optional(&format!("{of}-{VERSION}"), plain_text)?;
            return Ok(Some(ObjectId::Remote { tag, version }));
        }
        if let Some(id) = self.optional(&format!("{of}-{}", upload::NAME), plain_text)? {
            let part_size = self.number(&format!("{of}-{}", upload::SIZE))?;
            let checked = self.required(&format!("{of}-{}", upload::CHECKED), upload::yes_or_no)?;
            let begun = self.required(&format!("{of}-{}", upload::BEGUN), plain_text)?;
            let parts = self.upload_parts(&format!("{of}-{}", upload::PART))?;
            return Ok(Some(ObjectId::Upload { id, begun, part_size, checked, parts }));
        }
        let Some(device) = self.optional(&format!("{of}-device"), number)? else {
            return Ok(None);
        };
        let inode = self.number(&format!("{of}-inode"))?;
        let born_ns = self.optional(&format!("{of}-{BORN}"), |value| value.parse().ok())?;
        Ok(Some(ObjectId::File { device, inode, born_ns }))
    }

    /// The parts of an upload, in fields whose names begin with `prefix`.
    fn upload_parts(&mut self, prefix: &str) -> Result<BTreeMap<u32, UploadPart>, MapError> {
        let is_one = |name: &&String| name.starts_with(prefix);
        let names: Vec<String> = self.0.keys().filter(is_one).cloned().collect();
        let mut parts = BTreeMap::new();
        for name in names {
            let number = name[prefix.len()..].parse();
            let number = number.map_err(|_| MapError::whole(format!("{name} has no number")))?;
            parts.insert(number, self.required(&name, UploadPart::parse)?);
        }
        Ok(parts)
    }

    /// Refuses what is left, for nobody knows what it means.
    fn none_left(self) -> Result<(), MapError> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((name, (line, _))) => Err(MapError::at(line, format!("unknown field {name:?}"))),
        }
    }
}
