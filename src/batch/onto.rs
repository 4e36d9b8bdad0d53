//! The items of a list onto one file or device, each to its own offset.
//!
//! This is one copy, of which the list says what is wanted. Where all items
//! come from one source and move by the same distance, the origin is that
//! source. Otherwise it is what the destination is to hold, assembled from all
//! of them. Nothing of how bytes move is here.

mod assembly;
mod layout;
mod one_origin;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::assembly::Assembly;
use self::layout::{Layout, Way};
use super::handles::Handles;
use super::named::{Keeping, Named};
use super::prepare::refused;
use super::remote::check_stop;
use super::sources::Sources;
use crate::copy::{self, Request};
use crate::cpu::Pool;
use crate::endpoint::device::wait_until_free;
use crate::endpoint::{self, Destination, From, Origin};
use crate::error::{Error, ErrorKind, JobResult, Result};
use crate::manifest::{self, Item, ManifestErrors};
use crate::options::{Options, setters};
use crate::progress::{CancelToken, Progress, Watch};
use crate::range::{ByteRange, Mapping};
use crate::report::Report;
use crate::safety::Preflight;
use crate::sys;

/// Copies the items of a list onto one file or device, each to its
/// [`dest_offset`](Item::dest_offset). What no item covers is not touched there;
/// in a new file it is a hole.
///
/// It is one copy, and all that a [`CopyJob`](crate::CopyJob) can do is there for
/// it. Digests that the list expects are looked at before anything is written.
/// A digest of the copy is that of what the destination holds from the first
/// item to the last, where everything between the items counts as zeros.
///
/// ```
/// use pcopy::batch::Onto;
/// use pcopy::manifest::{self, ReadOptions};
///
/// let folder = tempfile::tempdir()?;
/// let (image, disk) = (folder.path().join("image"), folder.path().join("disk"));
/// std::fs::write(&image, b"ab..ef")?;
/// std::fs::write(&disk, b"123456789")?;
///
/// let list = "start,len\n0,2\n4,2\n";
/// let options = ReadOptions { own_offsets: true, ..ReadOptions::default() };
/// let items = manifest::read(list.as_bytes(), None, &options)?.items;
/// let report = Onto::new(items, &disk).source(&image).in_place(true).run()?;
///
/// assert!(report.is_complete());
/// assert_eq!(std::fs::read(&disk)?, b"ab34ef789");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a job copies nothing before it is run"]
pub struct Onto {
    items: Vec<Item>,
    unread: ManifestErrors,
    destination: PathBuf,
    also: Vec<PathBuf>,
    from: Option<From>,
    options: Options,
}

impl Onto {
    /// Copies `items` to their places in `destination`. Their names mean nothing,
    /// and neither do modes and times.
    pub fn new(items: Vec<Item>, destination: impl Into<PathBuf>) -> Onto {
        let destination = destination.into();
        let name: Box<Path> =
            Path::new(destination.file_name().unwrap_or("destination".as_ref())).into();
        let items = items.into_iter().map(|item| Item { name: name.clone(), ..item }).collect();
        Onto {
            items,
            unread: ManifestErrors::default(),
            destination,
            also: Vec::new(),
            from: None,
            options: Options::default(),
        }
    }

    /// As [`Batch::unread`](crate::Batch::unread).
    pub fn unread(mut self, errors: ManifestErrors) -> Onto {
        self.unread = errors;
        self
    }

    /// The source of all items that name none: a file or device, or what
    /// [`from_origin`](Onto::from_origin) says.
    pub fn source(mut self, path: impl Into<PathBuf>) -> Onto {
        self.from = Some(From::Path(path.into()));
        self
    }

    /// An end of any kind as the source of all items, which must all be moved by the
    /// same distance and name no source of their own.
    pub fn from_origin(mut self, origin: impl Origin + 'static) -> Onto {
        self.from = Some(From::Origin(Arc::new(origin)));
        self
    }

    /// The same of an open `stream`, such as standard input, from where it stands.
    /// From a pipe every item is read once, in the order of the bytes; digests that
    /// the list expects are looked at as they come, and the first that is wrong ends
    /// the copy.
    pub fn from_stream(mut self, stream: File) -> Onto {
        self.from = Some(From::Stream(Arc::new(stream)));
        self
    }

    /// As [`CopyJob::also`](crate::CopyJob::also).
    pub fn also(mut self, destination: impl Into<PathBuf>) -> Onto {
        self.also.push(destination.into());
        self
    }

    setters!(all);
    setters!(copying);
    setters!(placing);

    /// Copies every item.
    ///
    /// # Errors
    ///
    /// As of [`CopyJob::run`](crate::CopyJob::run); [`ErrorKind::BadList`] and
    /// [`Refusal::List`](crate::Refusal::List) say what is wrong with the items, of which no two may
    /// overlap in the destination.
    pub fn run(&self) -> JobResult<Report> {
        self.run_watched(Watch::new(&Progress::new(), &CancelToken::new()))
    }

    /// As [`Onto::run`]; `watch` sees how far it is, and can stop it.
    ///
    /// # Errors
    ///
    /// As of [`Onto::run`], and [`ErrorKind::Cancelled`].
    pub fn run_watched(&self, watch: Watch<'_>) -> JobResult<Report> {
        if self.options.to_device {
            for path in self.destinations() {
                wait_until_free(path, self.options.wait, watch)?;
            }
        }
        let wanted = self.wanted(watch.cancel)?;
        let destinations = self.open(&wanted)?;
        let Wanted { origin, options, .. } = wanted;
        copy::run(Request { origin, destinations, options: &options, part_of: None }, watch)
    }

    /// Does everything that `run` does before the first byte, but for looking at
    /// digests: the report says what would be done.
    ///
    /// # Errors
    ///
    /// Whatever would make `run` refuse.
    pub fn dry_run(&self, progress: &Progress) -> JobResult<Report> {
        let never = CancelToken::new();
        let wanted = self.wanted(&never)?;
        let destinations = self.open(&wanted)?;
        let Wanted { origin, options, .. } = wanted;
        let watch = Watch::new(progress, &never);
        copy::dry_run(Request { origin, destinations, options: &options, part_of: None }, watch)
    }

    fn destinations(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(&*self.destination).chain(self.also.iter().map(|path| &**path))
    }

    /// What the list makes of its sources.
    fn wanted(&self, cancel: &CancelToken) -> Result<Wanted> {
        self.options.check()?;
        let special = self.from.as_ref().map(|from| from.open_special(&self.options, cancel));
        let special = special.transpose()?.flatten();
        // What can be read at any offset may be put together in another way.
        let is_only_one = |origin: &Arc<dyn Origin>| {
            self.source_path().is_none() || origin.read_order().stream().is_some()
        };
        if let Some(origin) = special.filter(is_only_one) {
            return self.of_origin(origin);
        }
        let handles = Handles::within(sys::open_file_limit(), self.options.threads.most());
        let any_state = self.options.allow_changed_source;
        let of_all = self.source_path();
        let opened = Keeping { stay_open: handles.sources, any_state };
        let named = Named::open(&self.items, of_all, opened, &self.options, cancel);
        check_stop(cancel)?;
        let pool = Pool::for_items(self.items.len());
        self.check_list(manifest::check_with(&self.items, |source| named.size(source), &pool))?;
        let layout = Layout::of(&self.items, |item| named.of(0, item));
        let sources = Arc::new(named.sources);
        match layout.way(|number| sources.size(number)) {
            Way::OneSource { number, range } => {
                Ok(self.of_one(sources.open(number)?, range, &layout))
            }
            Way::Assembled => Ok(self.of_many(sources, layout)),
        }
    }

    /// Refuses a list of which something is wrong, in itself or as `checked` says.
    fn check_list(&self, checked: Result<(), ManifestErrors>) -> Result<()> {
        let mut errors = self.unread.clone();
        if let Err(found) = checked {
            errors.merge(found);
        }
        errors.or(()).map_err(|errors| refused(&errors))?;
        match self.items.is_empty() {
            true => Err(ErrorKind::usage("the list is empty: it names nothing to copy").into()),
            false => Ok(()),
        }
    }

    /// The file or device that was named as the source of all items.
    fn source_path(&self) -> Option<&Path> {
        match &self.from {
            Some(From::Path(path)) => Some(path),
            _ => None,
        }
    }

    /// One source, of which parts are wanted.
    fn of_one(&self, origin: Arc<dyn Origin>, range: ByteRange, layout: &Layout) -> Wanted {
        let options = Options {
            range: range.into(),
            dest_offset: layout.place().start().into(),
            only: Some(layout.in_source(range)),
            expected_in: layout.digests_in_source(range),
            ..self.options.clone()
        };
        let place = Mapping::identity(layout.place());
        Wanted { origin, options, place, sources: None }
    }

    /// What the destination is to hold, of several sources or moved about.
    fn of_many(&self, sources: Arc<Sources>, layout: Layout) -> Wanted {
        let place = layout.place();
        let options = Options {
            range: place.into(),
            dest_offset: place.start().into(),
            only: Some(layout.wanted()),
            expected_in: layout.digests(),
            ..self.options.clone()
        };
        let name = self.source_path().unwrap_or(sources.path(0)).to_owned();
        let (runs, all) = (layout.into_runs(), Some(Arc::clone(&sources)));
        let origin = Arc::new(Assembly::new(name, sources, runs, place.end()));
        Wanted { origin, options, place: Mapping::identity(place), sources: all }
    }

    /// Looks at every destination.
    fn open(&self, wanted: &Wanted) -> Result<Vec<Box<dyn Destination>>> {
        let name = wanted.origin.file_name();
        let open = |path| endpoint::destination(path, name.as_deref(), &wanted.options);
        let opened: Vec<_> = self.destinations().map(open).collect::<Result<_>>()?;
        if let Some(sources) = &wanted.sources {
            for destination in &opened {
                check_apart(sources, &**destination, wanted.place, &wanted.options)?;
            }
        }
        Ok(opened)
    }
}

/// What is copied, and how.
struct Wanted {
    origin: Arc<dyn Origin>,
    options: Options,
    /// What of the destination.
    place: Mapping,
    /// Where the origin is assembled: from what.
    sources: Option<Arc<Sources>>,
}

/// Refuses a destination that is, or holds, one of `sources`: they would be
/// written while they are read. A copy of one source sees to that by itself.
fn check_apart(
    sources: &Sources,
    destination: &dyn Destination,
    place: Mapping,
    options: &Options,
) -> Result<(), Error> {
    let Some(target) = destination.footprint() else { return Ok(()) };
    let written = place.to();
    for number in 0..sources.len() as u32 {
        let source = sources.open(number)?;
        let preflight = Preflight {
            source: source.file(),
            path: destination.path(),
            mapping: place,
            allow_same_device: options.allow_same_device,
        };
        preflight.check_all(&target, written)?;
    }
    Ok(())
}
