//! A block device, of which the first bytes are written last.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::earlier::Wrote;
use super::resumable::{self, Left, Resumable};
use super::{Abilities, Destination, Draft, End, Existing, Kind, Look, Looked, Shape};
use crate::durable::map::{Mode, ObjectId};
use crate::durable::open_file::OpenFile;
use crate::durable::partitions;
use crate::durable::previous::{self, Previous, Search, Start, object_id};
use crate::durable::target::{OpenTarget, cannot_open};
use crate::durable::trust::Examiner;
use crate::error::{ErrorKind, Refusal, Result, Side, escaped, plain, quoted};
use crate::io::only_changed::BLOCK;
use crate::io::{FileIo, HeadError, Held, Sink};
use crate::options::Options;
use crate::progress::{Event, Watch};
use crate::range::ByteRange;
use crate::safety::changes;
use crate::safety::roles::Footprint;
use crate::source::OpenSource;
use crate::sys::{self, DeviceInfo, DeviceLock, FileKind, User};

/// A device that may be written.
pub struct Device {
    target: OpenTarget,
    info: DeviceInfo,
    /// Keeps others off it.
    claim: DeviceLock,
    left: Left,
}

impl Device {
    /// Opens the device at `path`.
    ///
    /// # Errors
    ///
    /// A [`Refusal`]; nothing has been changed.
    pub(super) fn open(path: PathBuf, options: &Options) -> Result<Device> {
        if !options.to_device {
            return Err(Refusal::DeviceWithoutConsent { description: describe(&path), path }.into());
        }
        // Asked before opening for writing: a read-only device can be opened by
        // root even so, and fails with the first write.
        let opened = sys::open_source(&path).and_then(|file| sys::device_info(&file));
        let info = opened.map_err(|source| cannot_open(&path, source))?;
        if info.size == 0 {
            return Err(Refusal::NoMedium { side: Side::Destination, path }.into());
        }
        if info.read_only {
            return Err(Refusal::DeviceReadOnly { path }.into());
        }
        let (file, claim) = sys::open_device(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::ResourceBusy => {
                Refusal::DeviceBusy { user: user(&path), path: path.clone() }
            }
            _ => cannot_open(&path, error),
        })?;
        let target = OpenTarget::new(path, file, true)?;
        if target.facts.node != FileKind::BlockDevice {
            return Err(Refusal::NotADevice { path: target.path }.into());
        }
        target.check_unused(options.even_if_in_use)?;
        let info = sys::device_info(&target.file);
        let info = info.map_err(|source| cannot_open(&target.path, source))?;
        Ok(Device { target, info, claim, left: Left::default() })
    }

    fn check_fits(&self, range: ByteRange) -> Result<(), Refusal> {
        if range.end() <= self.info.size {
            return Ok(());
        }
        let path = self.target.path.clone();
        Err(Refusal::DeviceTooSmall { path, range, size: self.info.size })
    }
}

/// Largest block of a device that is believed, in bytes.
const LARGEST_BLOCK: u64 = 1 << 20;

/// Unit in which it is worth writing less, in bytes: the largest that the device
/// names, or a page.
fn block(info: &DeviceInfo) -> u64 {
    let named = u64::from(info.logical_sector.max(info.physical_sector));
    if named.is_power_of_two() { named.clamp(BLOCK, LARGEST_BLOCK) } else { BLOCK }
}

/// The device at `path` in words, or why there are none.
fn describe(path: &Path) -> String {
    let info = sys::open_source(path).and_then(|file| sys::device_info(&file));
    info.map_or_else(|error| plain(&error), |info| words(&info))
}

/// Who uses the device at `path`, if the system tells.
fn user(path: &Path) -> Option<User> {
    let file = sys::open_source(path).ok()?;
    let facts = sys::facts(&file).ok()?;
    sys::writers(&file, &facts, ByteRange::to(u64::MAX))
}

/// Model, serial number and size of a device, as far as it says.
fn words(info: &DeviceInfo) -> String {
    let mut words = Vec::new();
    if let Some(model) = &info.model {
        words.push(model.clone());
    }
    if let Some(serial) = &info.serial {
        words.push(format!("serial {serial}"));
    }
    words.push(format!("{} bytes", info.size));
    escaped(&words.join(", ")).into_owned()
}

impl Resumable for Device {
    fn mode(&self) -> Mode {
        Mode::Device
    }

    fn footprint(&self) -> Footprint<'_> {
        Footprint {
            path: &self.target.path,
            facts: Some(&self.target.facts),
            staged: None,
            map: previous::map_of_device(&self.target.path),
        }
    }

    fn id(&self) -> Option<ObjectId> {
        Some(object_id(&self.target.facts, self.info.serial.clone()))
    }

    fn writes_source(&self, source: &OpenSource) -> bool {
        changes(source, &self.target.facts, &self.target.path)
    }

    fn find(&self, mut search: Search<'_>) -> Result<Start> {
        previous::lock_destination(&self.target.file, &self.target.path)?;
        search.open(&self.target, self.info.serial.clone())
    }

    fn written<'a>(&'a self, _earlier: &'a Previous) -> Option<Wrote<'a>> {
        let (file, path) = (&self.target.file, self.target.path.clone());
        let (device, rotational) = (Some(&self.info), self.info.rotational);
        Some(Wrote { file, path, device, is_new: false, rotational })
    }
}

impl Destination for Device {
    fn path(&self) -> &Path {
        &self.target.path
    }

    fn kind(&self) -> Kind {
        Kind::BlockDevice
    }

    fn end(&self) -> End {
        End::of_device(&self.target.file, &self.info)
    }

    fn describe(&self) -> String {
        format!("{} ({})", quoted(&self.target.path), words(&self.info))
    }

    fn abilities(&self) -> Abilities {
        Abilities::default().in_place().open_ended()
    }

    fn footprint(&self) -> Option<Footprint<'_>> {
        Some(Resumable::footprint(self))
    }

    fn look(&mut self, look: &Look<'_>, examiner: &mut Examiner) -> Result<Looked> {
        resumable::refuse_preserve(look.options)?;
        let (left, looked) = resumable::look(self, look, examiner)?;
        self.left = left;
        Ok(looked)
    }

    fn check(&self, look: &Look<'_>) -> Result<()> {
        let preflight = resumable::preflight(look, &self.target.path);
        preflight.check_ranges(&self.target)?;
        self.check_fits(look.mapping.to())?;
        Ok(preflight.check_layers(&self.target)?)
    }

    fn existing(&self) -> Option<Existing> {
        let content = FileIo::device(self.target.file.try_clone().ok()?, &self.info);
        let (block, sector) = (block(&self.info), self.info.logical_sector);
        Some(Existing { content: Arc::new(content), block, sector })
    }

    fn begin(self: Box<Self>, shape: &Shape<'_>) -> Result<Box<dyn Draft>> {
        let Device { target, info, claim, left } = *self;
        left.clear_temporaries(shape);
        left.begin(shape, |_| {
            let io = Arc::new(FileIo::device(target.file, &info).with_head_last());
            let file = OpenFile { io, path: target.path, grows: false };
            let draft = DeviceDraft { file, info, claim: Some(claim) };
            Ok(Box::new(draft) as Box<dyn Draft>)
        })
    }
}

/// A device that is being written.
struct DeviceDraft {
    file: OpenFile,
    info: DeviceInfo,
    /// Until it is complete.
    claim: Option<DeviceLock>,
}

impl Draft for DeviceDraft {
    fn sink(&self) -> Arc<dyn Sink> {
        self.file.io.clone()
    }

    fn path(&self) -> &Path {
        &self.file.path
    }

    fn len(&self) -> u64 {
        self.file.io.len()
    }

    fn file(&self) -> Option<&OpenFile> {
        Some(&self.file)
    }

    /// The partition table never comes before what it tells of.
    fn write_deferred(&self, durable: bool) -> Result<Vec<Held>> {
        let head = self.file.io.write_head().map_err(|HeadError { range, error }| {
            let path = self.file.path.clone();
            ErrorKind::Write { path, range, source: error }
        })?;
        if durable && !head.is_empty() {
            self.file.sync()?;
        }
        Ok(head)
    }

    fn commit(&mut self, _durable: bool) -> Result<()> {
        if let Some(claim) = self.claim.take() {
            claim.release(self.file.as_file());
        }
        Ok(())
    }

    fn notes(&self, to: ByteRange) -> Vec<String> {
        let (io, sector) = (&*self.file.io, u64::from(self.info.logical_sector));
        partitions::notes(io, &self.file.path, to, sector)
    }

    fn discard(self: Box<Self>) -> Option<String> {
        None
    }
}

/// How often one looks whether a device is free.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Waits, at most for `time`, while somebody holds the device at `path` for a
/// moment. Who holds it then is found when it is opened.
///
/// # Errors
///
/// [`ErrorKind::Cancelled`].
pub(crate) fn wait_until_free(path: &Path, time: Duration, watch: Watch<'_>) -> Result<()> {
    let begin = Instant::now();
    let mut told = false;
    while begin.elapsed() < time && sys::is_held_for_a_moment(path) {
        if !std::mem::replace(&mut told, true) {
            let name = quoted(path);
            watch.progress.event(Event::Note(format!("{name} is locked: waiting")));
        }
        crate::sync::thread::sleep(LOOK_EVERY.min(time));
        if watch.cancel.is_cancelled() {
            return Err(ErrorKind::Cancelled.into());
        }
    }
    Ok(())
}
