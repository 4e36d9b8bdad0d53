//! What would help against an error, as data. The library says what is wrong; the
//! caller knows which of its options or keywords stands for a remedy.

use std::collections::BTreeSet;
use std::io;

use super::{ErrorKind, Fault, MapRefusal, Refusal, Side, SplitRefusal, Unprotected};
use crate::address;
use crate::sys::{self, AppendOnly, User};

/// Something that a caller can ask for so that the job can be done after all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Remedy {
    /// Replace the destination: `force`.
    Force,
    /// Tell the server who asks: `headers` and `logins` of `remote`.
    Credentials,
    /// Give keys for S3, or ask without any: `s3` of `remote`.
    Keys,
    /// Write into the destination where it is: `in_place`.
    InPlace,
    /// Write into the destination where it is, and resume: the caller vouches
    /// that it holds what the map calls done.
    InPlaceAsInTheMap,
    /// Do not ask to write in place.
    NotInPlace,
    /// Write to a block device: `to_device`.
    ToDevice,
    /// Do not ask to write to a device.
    NotToDevice,
    /// Copy what exists of the range: `clamp`.
    Clamp,
    /// Copy what can be read of the file by a copy of its own, with `clamp`.
    ClampAlone,
    /// Write to the device that is read: `allow_same_device`.
    AllowSameDevice,
    /// Write what another program uses: `even_if_in_use`.
    EvenIfInUse,
    /// Forbid writing to the device, by its flag in the kernel or a write blocker.
    ProtectDevice,
    /// Forbid writing to the file, by its mode or that of the mount.
    ProtectFile,
    /// Unmount what is on the source.
    Unmount,
    /// Read a source that could be written: `require_read_only`.
    NotReadOnly,
    /// Do not believe what the file system says of its room: `ignore_space`.
    IgnoreSpace,
    /// Write in order, to the end of what is there, as a stream does: see
    /// [`run_into`](crate::CopyJob::run_into).
    Append,
    /// The same, to a new file.
    InOrder,
    /// Resume what an earlier run left: [`Leftovers::Resume`](crate::Leftovers::Resume).
    Resume,
    /// Discard what an earlier run left: [`Leftovers::Restart`](crate::Leftovers::Restart).
    Restart,
    /// Replace the destination and discard what an earlier run left.
    ForceAndRestart,
    /// Believe leftovers of any user: [`Trust::Anybody`](crate::Trust::Anybody).
    TrustLeftovers,
    /// Go on with a source that has changed: `allow_changed_source`.
    AllowChangedSource,
    /// Name another place for the map: `map`.
    MapElsewhere,
    /// Name the map that the first run had: `map`.
    SameMap,
    /// Write pieces that do not overlap at the same time, or all of them in one
    /// [`Batch`](crate::Batch).
    PiecesApart,
    /// Fewer workers: `threads`.
    FewerThreads,
    /// Smaller requests: `io_size`.
    SmallerRequests,
    /// Leave the choice of the engine open: `engine`.
    AnyEngine,
    /// Let a patch make the file longer: [`grow`](crate::PatchJob::grow).
    Grow,
    /// Write all of it: `only_changed`.
    NotOnlyChanged,
    /// Do not insist on sharing extents: `reflink`.
    NotReflinkAlways,
    /// Do not forbid to share extents: `reflink`.
    NotReflinkNever,
    /// Do not forbid holes: `sparse`.
    NotSparseNever,
    /// Say which source a list is about.
    NameSource,
    /// Say which columns of a list have other names.
    NameColumns,
    /// Pass over columns of a list that are not known.
    IgnoreColumns,
    /// Read the numbers of a list as hexadecimal.
    Hexadecimal,
    /// Leave out rows that lie outside their source.
    SkipOutside,
    /// Cut rows that lie outside their source.
    ClampRows,
    /// Leave out rows whose name cannot be had.
    SkipNames,
    /// Leave out rows that want the place of another.
    SkipClashes,
    /// Give a number to rows that want the place of another.
    NumberClashes,
    /// Leave out files whose bytes have no place of their own.
    SkipUnmappable,
    /// Take ranges as they are, even if the source is a container.
    IgnoreContainer,
    /// Read what follows the source as one with it: `join`.
    JoinAlways,
    /// Read the source by itself: `join`.
    JoinNever,
    /// Copy the folder with what is in it: see [`Walk`](crate::tree::Walk).
    Recursive,
}

use Remedy::*;

impl ErrorKind {
    /// What would help, the safest first. Empty where nothing is known to.
    pub fn remedies(&self) -> Vec<Remedy> {
        match self {
            ErrorKind::BadList { faults, .. } => of_faults(faults),
            ErrorKind::Refused(refusal) | ErrorKind::Discarded { source: refusal } => {
                refusal.remedies()
            }
            ErrorKind::LeftOut { refusal } => refusal.kind().remedies(),
            // What takes no size and no bytes but at the end.
            ErrorKind::Write { source, .. } if sys::is_refused(source) => vec![InOrder],
            ErrorKind::Destination { step: "resize", source, .. } if sys::is_refused(source) => {
                vec![InOrder]
            }
            ErrorKind::Destination { source, .. } if is_taken(source) => vec![Force],
            ErrorKind::SourceChanged { .. } => vec![AllowChangedSource],
            ErrorKind::OutOfMemory { .. } => vec![FewerThreads, SmallerRequests],
            ErrorKind::NoThread { .. } => vec![FewerThreads],
            ErrorKind::EngineGaveWay { .. } => vec![AnyEngine],
            _ => Vec::new(),
        }
    }
}

impl Refusal {
    /// What would help, the safest first. Empty where nothing is known to.
    pub fn remedies(&self) -> Vec<Remedy> {
        match self {
            Refusal::NotCopyable { side: Side::Source, what: A_FOLDER, .. } => vec![Recursive],
            Refusal::Exists { in_batch: true, .. } => vec![Resume, Force],
            Refusal::Exists { path, .. } if address::scheme(path).is_some() => vec![Force],
            Refusal::Exists { in_batch: false, .. } => vec![Force, InPlace],
            Refusal::Split(SplitRefusal::SegmentExists { .. }) => vec![Force],
            Refusal::CannotReplace { in_place, source, .. } => {
                let ways = [(*in_place, InPlace), (is_append_only(source), Append)];
                ways.into_iter().filter_map(|(helps, way)| helps.then_some(way)).collect()
            }
            Refusal::CannotOpen { source, .. } if is_append_only(source) => vec![Append],
            Refusal::CannotOpen { source, .. } if wants_credentials(source) => vec![Credentials],
            Refusal::CannotOpen { source, .. } if wants_keys(source) => vec![Keys],
            Refusal::CannotCreate { source, .. } if is_append_only(source) => vec![InOrder],
            Refusal::NoRename { .. } => vec![InOrder],
            Refusal::NoSpace { .. } => vec![IgnoreSpace],
            Refusal::EndsEarly { .. } => vec![ClampAlone],
            Refusal::Range { source, .. } => {
                let exists = source.existing().is_some_and(|existing| !existing.is_empty());
                if exists { vec![Clamp] } else { Vec::new() }
            }
            Refusal::InUse { .. } => vec![EvenIfInUse],
            Refusal::NothingInPlace { .. } => vec![NotInPlace],
            Refusal::PastEnd { .. } => vec![Grow],
            Refusal::NothingToUpdate { exists: true, .. } => vec![InPlace],
            Refusal::NothingToUpdate { exists: false, .. } => vec![NotOnlyChanged],
            Refusal::Leftover { resumable: true, .. } => vec![Resume, Restart],
            Refusal::Leftover { resumable: false, .. } => vec![Restart],
            Refusal::PieceBusy { .. } => vec![PiecesApart],
            Refusal::NotWhatWasCopied { .. } | Refusal::NothingToCompare { .. } => {
                vec![Restart, AllowChangedSource]
            }
            Refusal::EngineUnsuitable { remedies, .. }
            | Refusal::NotOurs { remedies, .. }
            | Refusal::Split(SplitRefusal::Piece { remedies, .. })
            | Refusal::NothingToResume { remedies, .. }
            | Refusal::Map(MapRefusal::Foreign { remedies, .. })
            | Refusal::Map(MapRefusal::Alien { remedies, .. }) => remedies.to_vec(),
            Refusal::Map(MapRefusal::CannotMake { .. } | MapRefusal::InTheWay { .. }) => {
                vec![MapElsewhere]
            }
            Refusal::DeviceWithoutConsent { .. } | Refusal::DeviceAsStream { .. } => {
                vec![ToDevice]
            }
            Refusal::NotADevice { .. } => vec![NotToDevice],
            Refusal::Unprotected { why, .. } => match why {
                Unprotected::Used(User::Mount { .. }) => vec![Unmount, NotReadOnly],
                Unprotected::Device | Unprotected::Disk(_) => vec![ProtectDevice, NotReadOnly],
                Unprotected::File => vec![ProtectFile, NotReadOnly],
                _ => vec![NotReadOnly],
            },
            Refusal::SameDevice { .. } => vec![AllowSameDevice],
            Refusal::List { faults, .. } => of_faults(faults),
            Refusal::RequestTooLarge { .. } => vec![SmallerRequests],
            _ => Vec::new(),
        }
    }
}

/// What a folder is called where a file is wanted.
pub(crate) const A_FOLDER: &str = "a directory";

fn is_append_only(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<AppendOnly>())
}

/// Whether a server wants to know who asks.
#[derive(Debug, thiserror::Error)]
#[error("the server answers 401 (it wants credentials, and was given none that are right)")]
pub(crate) struct WantsCredentials;

fn wants_credentials(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<WantsCredentials>())
}

/// Nobody has said who asks a service of S3.
#[derive(Debug, thiserror::Error)]
#[error("no credentials for S3: {reason}")]
pub(crate) struct WantsKeys {
    /// Why not.
    pub reason: String,
}

fn wants_keys(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<WantsKeys>())
}

/// A name that was free at the beginning is not at the end.
#[derive(Debug, thiserror::Error)]
#[error("something else has got its name meanwhile")]
pub(crate) struct NameIsTaken;

fn is_taken(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<NameIsTaken>())
}

/// Ways around what is wrong with a list.
fn of_faults(faults: &BTreeSet<Fault>) -> Vec<Remedy> {
    let ways = |fault: &Fault| match fault {
        Fault::Outside => &[SkipOutside, ClampRows][..],
        Fault::Name => &[SkipNames],
        Fault::Clash => &[SkipClashes, NumberClashes],
        Fault::Unmappable => &[SkipUnmappable],
        Fault::Container => &[IgnoreContainer],
        Fault::EndsEarly => &[ClampAlone],
        Fault::Column => &[NameColumns, IgnoreColumns],
        Fault::Radix => &[Hexadecimal],
        Fault::NoSource => &[NameSource],
        Fault::Piece => &[JoinAlways, JoinNever],
        Fault::Folder => &[Recursive],
        Fault::Other => &[],
    };
    faults.iter().flat_map(ways).copied().collect()
}
