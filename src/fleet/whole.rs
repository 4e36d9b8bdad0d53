//! What all processes of a job make together, a file or an object on a server: how it is
//! begun by one, written by all, and given its name by one. Who does what is decided
//! elsewhere.

mod file;
#[cfg(feature = "s3")]
mod object;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::file::SharedFile;
#[cfg(feature = "s3")]
pub use self::object::SharedObject;
use super::finish::Finish;
use super::plan::{Job, Plan};
use super::record::BegunNote;
use crate::address;
use crate::durable::map::UploadPart;
pub(crate) use crate::endpoint::shared::NotBegun;
use crate::endpoint::shared::Upload;
use crate::endpoint::{Destination, Kind, Origin};
use crate::error::{Refusal, Result, quoted};
use crate::io::Source;
use crate::io::guarded::Guard;
use crate::options::Options;
use crate::progress::CancelToken;
use crate::range::{ByteRange, Mapping};

/// What is made.
pub trait Whole: Send + Sync {
    /// The name that it gets, as the user calls it.
    fn path(&self) -> &Path;

    /// What it is called while it is written, for messages.
    fn draft_path(&self) -> PathBuf;

    /// What it is.
    fn kind(&self) -> Kind;

    /// Bytes of which a shard has a multiple: a power of two.
    fn part_size(&self) -> u64 {
        1
    }

    /// Where it is, if its name does not say that.
    fn endpoint(&self) -> Option<String> {
        None
    }

    /// Refuses what must not be done. Nothing is changed.
    ///
    /// # Errors
    ///
    /// A [`Refusal`].
    fn check(&self, mapping: Mapping, origin: &dyn Origin, options: &Options) -> Result<()>;

    /// It is that of `plan` from here on.
    fn belong_to(&mut self, plan: &Plan);

    /// Begins it, of `len` bytes, as that of the plan that it belongs to. What all others
    /// must know of it goes into the plan.
    ///
    /// # Errors
    ///
    /// [`NotBegun`], if that cannot be.
    fn begin(&self, len: u64) -> Result<Begun, NotBegun>;

    /// Takes back what was `begun` for a plan that never was; whether nothing is left.
    fn take_back(&self, begun: &Begun) -> bool;

    /// What time it is at its service.
    fn time(&self) -> Option<String> {
        None
    }

    /// Removes what `notes` say was begun for plans that never were, by processes that were
    /// killed: if it is there, and nothing is in it. Best effort; returns what stays.
    fn clear(&self, notes: &[BegunNote]) -> Vec<String>;

    /// Whether something of that name and of `len` bytes is there. `None` if nobody says.
    fn is_there(&self, len: u64) -> Option<bool>;

    /// An end for some parts of it, which is written as long as `guard` lets it.
    ///
    /// # Errors
    ///
    /// If what was begun is not there.
    fn piece(&self, job: &Job, guard: Guard) -> Result<Piece>;

    /// What has got its name from somebody who has not noted that, if that can be known
    /// before it is completed.
    ///
    /// # Errors
    ///
    /// If it is neither there nor to be completed.
    fn named(&self, finish: &Finish<'_>) -> Result<Option<Content>> {
        let _ = finish;
        Ok(None)
    }

    /// What has not got its name.
    ///
    /// # Errors
    ///
    /// If it is not there.
    fn unnamed(&self, finish: &Finish<'_>) -> Result<Content>;

    /// Compares what was written, under its name or not, with the source.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::VerifyMismatch`](crate::ErrorKind::VerifyMismatch), or that either
    /// side cannot be had.
    fn compare(&self, finish: &Finish<'_>) -> Result<()>;

    /// Gives it its name. Returns what is worth knowing.
    ///
    /// # Errors
    ///
    /// The step that failed.
    fn give_name(&self, finish: &Finish<'_>, content: Content) -> Result<Vec<String>>;

    /// What stays of a job that is given up, and how to get rid of it, where that is not a
    /// file beside its name.
    fn left_open(&self) -> Option<String> {
        None
    }
}

/// What one process has begun for all.
pub struct Begun {
    /// What the others must know of it.
    pub upload: Option<Upload>,
    /// Whether something else may have been begun, of which nobody knows the name.
    pub unheard: bool,
    /// Open, if it is a file.
    pub file: Option<File>,
}

/// Parts of an upload that the service has, by their numbers, from 1.
pub type SentParts = BTreeMap<u32, UploadPart>;

/// Some parts of it.
pub struct Piece {
    /// Where they are written.
    pub end: Box<dyn Destination>,
    /// Says, when they are, which parts of an upload these are.
    pub sent: Box<dyn Fn() -> SentParts>,
}

/// Where the bytes can be read that were written.
pub struct Content {
    /// Them.
    pub bytes: Arc<dyn Source>,
    /// Which of it.
    pub range: ByteRange,
    /// What that is called, for messages.
    pub path: PathBuf,
    /// CRC-32C of what was written, where that is read elsewhere.
    pub checksum: Option<u32>,
    /// Open, if it is a file.
    pub file: Option<File>,
}

/// What `path` means as the destination of a job that copies `len` bytes of `origin`.
///
/// # Errors
///
/// A [`Refusal`]: not everything can be written by several.
pub fn at(
    path: &Path,
    origin: &dyn Origin,
    len: u64,
    options: &Options,
    cancel: &CancelToken,
) -> Result<Box<dyn Whole>> {
    match (path.to_str(), address::scheme(path)) {
        (Some(address), Some("s3")) => object(address, origin, len, options, cancel),
        (_, Some(scheme)) => {
            let name = quoted(path).to_string();
            let what = format!("{name} cannot be written: {scheme} is not a kind of destination");
            Err(Refusal::Other(what).into())
        }
        _ => Ok(Box::new(SharedFile::look_at(path, origin, options)?)),
    }
}

#[cfg(feature = "s3")]
fn object(
    address: &str,
    origin: &dyn Origin,
    len: u64,
    options: &Options,
    cancel: &CancelToken,
) -> Result<Box<dyn Whole>> {
    Ok(Box::new(SharedObject::look_at(address, origin, len, options, cancel)?))
}

#[cfg(not(feature = "s3"))]
fn object(
    address: &str,
    _origin: &dyn Origin,
    _len: u64,
    _options: &Options,
    _cancel: &CancelToken,
) -> Result<Box<dyn Whole>> {
    let name = quoted(address).to_string();
    let what = format!("{name} cannot be written: this program was built without S3");
    Err(Refusal::Other(what).into())
}
