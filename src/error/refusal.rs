//! Everything that is refused before the first byte, each with what is needed to
//! decide otherwise. What would help is said by [`Remedy`], and not in the text.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use super::{
    Fault, MapRefusal, Remedy, Side, SplitRefusal, Unprotected, quoted, shown::because,
    shown::holder,
};
use crate::range::{ByteRange, RangeError};
use crate::size::human;
use crate::sys::User;

/// Why a job was refused. Nothing has been written when one of these is returned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The path cannot be opened at all.
    #[error("cannot open {side} {}", quoted(path))]
    CannotOpen {
        /// Which end.
        side: Side,
        /// What was named.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A device without anything in it: a card reader, an optical drive, a loop
    /// device that stands for no file.
    #[error("{side} {} has no medium: the device says that its size is 0", quoted(path))]
    NoMedium {
        /// Which end.
        side: Side,
        /// The device.
        path: PathBuf,
    },
    /// It is to be protected against being written, and is not.
    #[error("source {} could be written while it is read: {why}", quoted(path))]
    Unprotected {
        /// The source.
        path: PathBuf,
        /// What could change it.
        why: Unprotected,
    },
    /// The size cannot be relied on, and where reads end cannot be found out.
    #[error("cannot find out by reading how long {side} {} is", quoted(path))]
    NoEnd {
        /// Which end.
        side: Side,
        /// The file.
        path: PathBuf,
        /// What the read said.
        source: io::Error,
    },
    /// The file system claims bytes that cannot be read.
    #[error(
        "the file system says that {} has {claimed} bytes, and only {readable} can be read",
        quoted(path)
    )]
    EndsEarly {
        /// The source.
        path: PathBuf,
        /// Its size by the file system, in bytes.
        claimed: u64,
        /// Where reads end.
        readable: u64,
    },
    /// It is a directory, pipe, socket or character device.
    #[error("{side} {} is {what}; {hint}", quoted(path))]
    NotCopyable {
        /// Which end.
        side: Side,
        /// What was named.
        path: PathBuf,
        /// The kind of thing it is, with its article.
        what: &'static str,
        /// What to do instead.
        hint: &'static str,
    },
    /// The range does not lie inside the source.
    #[error("no such range in {}", quoted(path))]
    Range {
        /// The source.
        path: PathBuf,
        /// Where and why.
        source: RangeError,
    },
    /// Range or destination offset lead beyond what a `u64` or a file can address.
    #[error("destination {} would end beyond the largest possible offset", quoted(path))]
    TooFar {
        /// The destination.
        path: PathBuf,
    },
    /// The destination exists and the user said neither how to replace nor how to change it.
    #[error("destination {} exists", quoted(path))]
    Exists {
        /// The destination.
        path: PathBuf,
        /// Whether it is a file of a batch, where a file of full length can be kept.
        in_batch: bool,
    },
    /// The destination exists, and the system will not let another file take its place.
    #[error("cannot replace {}", quoted(path))]
    CannotReplace {
        /// The destination.
        path: PathBuf,
        /// Whether it could be written in place.
        in_place: bool,
        /// Why.
        source: io::Error,
    },
    /// Somebody else uses the destination, which writing would change under them.
    #[error("destination {} is in use: {user}", quoted(path))]
    InUse {
        /// The destination.
        path: PathBuf,
        /// By whom.
        user: User,
    },
    /// What is to be written in place is not there.
    #[error("destination {} does not exist, so there is nothing to write into", quoted(path))]
    NothingInPlace {
        /// The destination.
        path: PathBuf,
    },
    /// Only what differs is to be written, and the destination is written as a whole.
    #[error(
        "destination {} {}",
        quoted(path),
        if *exists {
            "exists, and what is the same stays only where it is written in place"
        } else {
            "does not exist, so there is nothing that could be the same"
        }
    )]
    NothingToUpdate {
        /// The destination.
        path: PathBuf,
        /// Whether something has its name.
        exists: bool,
    },
    /// An earlier run left its part or its map.
    #[error("an earlier run left {}", quoted(path))]
    Leftover {
        /// What was left.
        path: PathBuf,
        /// Whether it could be resumed: nothing can from what is read only once.
        resumable: bool,
    },
    /// Something else has the name that the part would have.
    #[error("{} is in the way: it is not a file that a copy has left; remove it", quoted(path))]
    NotAPart {
        /// What is in the way.
        path: PathBuf,
    },
    /// What stands under the name of a leftover may be of another user.
    #[error("{} {doubt}, {so}", quoted(path))]
    NotOurs {
        /// What was found.
        path: PathBuf,
        /// What speaks against it.
        doubt: String,
        /// What follows from that.
        so: &'static str,
        /// What would help.
        remedies: &'static [Remedy],
    },
    /// What is to be resumed is not there, or not what the map says.
    #[error("cannot resume: {reason}")]
    NothingToResume {
        /// What is missing.
        reason: String,
        /// What would help.
        remedies: &'static [Remedy],
    },
    /// What a map calls done is not there.
    #[error(
        "cannot resume: {} does not hold byte {offset} of {}, which the map calls done{}",
        quoted(path),
        quoted(source_path),
        because(hints)
    )]
    NotWhatWasCopied {
        /// The source.
        source_path: PathBuf,
        /// What was written.
        path: PathBuf,
        /// The first byte that differs, in bytes of the source.
        offset: u64,
        /// What else of the job is not as the map has it.
        hints: Vec<String>,
    },
    /// Nothing shows that a map is true for the job.
    #[error(
        "cannot resume: what the map calls done cannot be compared in {} and {}{}: {reason}",
        quoted(source_path),
        quoted(path),
        because(hints)
    )]
    NothingToCompare {
        /// The source.
        source_path: PathBuf,
        /// What was written.
        path: PathBuf,
        /// Why not.
        reason: String,
        /// What of the job is not as the map has it.
        hints: Vec<String>,
    },
    /// Something is wrong with the map.
    #[error(transparent)]
    Map(#[from] MapRefusal),
    /// Another run is at work on the same destination.
    #[error("another copy is writing {}", quoted(path))]
    Busy {
        /// What is locked.
        path: PathBuf,
    },
    /// Another run writes some of the same bytes of a file where it is.
    #[error("another copy is writing some of bytes {range} of {}", quoted(path))]
    PieceBusy {
        /// The file.
        path: PathBuf,
        /// What was to be written, in bytes of the file.
        range: ByteRange,
    },
    /// The destination is a block device and consent was not given.
    #[error("destination {} is a block device: {description}", quoted(path))]
    DeviceWithoutConsent {
        /// The device.
        path: PathBuf,
        /// Model, serial number and size.
        description: String,
    },
    /// The stream that bytes are to be poured into is a block device.
    #[error("destination {} is a block device; name it as the destination", quoted(path))]
    DeviceAsStream {
        /// What the stream is called.
        path: PathBuf,
    },
    /// A device is to be written, and the destination is none, or nothing.
    #[error("destination {} is not a block device", quoted(path))]
    NotADevice {
        /// What was named.
        path: PathBuf,
    },
    /// The device is mounted, swapped on, or part of something.
    #[error("device {} is in use: {}", quoted(path), holder(user.as_ref()))]
    DeviceBusy {
        /// The device.
        path: PathBuf,
        /// By whom, if the system tells.
        user: Option<User>,
    },
    /// The device is write-protected.
    #[error("device {} is read-only", quoted(path))]
    DeviceReadOnly {
        /// The device.
        path: PathBuf,
    },
    /// The range does not fit on the device.
    #[error("bytes {range} do not fit on {}, which has {size} bytes", quoted(path))]
    DeviceTooSmall {
        /// The device.
        path: PathBuf,
        /// Where the copy would go.
        range: ByteRange,
        /// Size of the device in bytes.
        size: u64,
    },
    /// A patch goes beyond the end of the file.
    #[error("bytes {range} are not all in {}, which has {size} bytes", quoted(path))]
    PastEnd {
        /// The file.
        path: PathBuf,
        /// Where the patch would go.
        range: ByteRange,
        /// Size of the file in bytes.
        size: u64,
    },
    /// Source and destination are one file or device.
    #[error("{} and {} are the same {what}", quoted(source_path), quoted(path))]
    SameFile {
        /// One name.
        source_path: PathBuf,
        /// The other.
        path: PathBuf,
        /// "file" or "device".
        what: &'static str,
    },
    /// Both ranges lie in one file or device and share bytes.
    #[error(
        "source bytes {from} and destination bytes {to} overlap in the same {what} {}",
        quoted(path)
    )]
    Overlap {
        /// The file or device.
        path: PathBuf,
        /// What would be read.
        from: ByteRange,
        /// What would be written.
        to: ByteRange,
        /// "file" or "device".
        what: &'static str,
    },
    /// Writing the destination would change the device that is being read.
    #[error(
        "destination {} lies on the device being read, {}: writing there may destroy what is to be copied",
        quoted(path),
        quoted(source_path)
    )]
    SameDevice {
        /// The destination.
        path: PathBuf,
        /// The source.
        source_path: PathBuf,
    },
    /// What is read lies somewhere in what would be written.
    #[error(
        "destination {} holds {}: writing to it may destroy what is to be copied",
        quoted(path),
        quoted(source_path)
    )]
    HoldsSource {
        /// The destination.
        path: PathBuf,
        /// The source.
        source_path: PathBuf,
    },
    /// Something of another kind has a name that is needed.
    #[error("{} is {found}, and {wanted} is to have that name", quoted(path))]
    InTheWay {
        /// What is in the way.
        path: PathBuf,
        /// What it is, with its article.
        found: &'static str,
        /// What is to be there.
        wanted: &'static str,
    },
    /// No file may be so long there.
    #[error(
        "destination {} would have {len} bytes, more than the file system, or ulimit -f, allows",
        quoted(path)
    )]
    TooLarge {
        /// The destination.
        path: PathBuf,
        /// How many bytes it would have.
        len: u64,
    },
    /// Several files are to go into a directory that is not there.
    #[error("there is no directory {} for several files; make it first", quoted(path))]
    NoSuchDirectory {
        /// What was named.
        path: PathBuf,
    },
    /// The file system has less room than the copy needs.
    #[error("not enough space for {}: {needed} bytes needed, {available} available", quoted(path))]
    NoSpace {
        /// The destination.
        path: PathBuf,
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        available: u64,
    },
    /// A regular file would be created among the device nodes.
    #[error(
        "{}, and a regular file does not belong among device nodes",
        if *exists {
            format!("no file is made at {}", quoted(path))
        } else {
            format!("{} does not exist", quoted(path))
        }
    )]
    AmongDevices {
        /// The destination.
        path: PathBuf,
        /// Whether something is there.
        exists: bool,
    },
    /// The directory of a batch cannot be had, or not be written.
    #[error("cannot make files in {}", quoted(path))]
    NoDirectory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory of the destination is missing or cannot be written.
    #[error("cannot create {} in {}", quoted(name), quoted(directory))]
    CannotCreate {
        /// The directory.
        directory: PathBuf,
        /// The name in it.
        name: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot get its name when it is complete.
    #[error("no file can be renamed in {}, so a copy cannot get its name there", quoted(directory))]
    NoRename {
        /// The directory.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is written can never be read, and the job is to read it.
    #[error(
        "{} can be written and not be read, so it cannot be verified or compared",
        quoted(path)
    )]
    WriteOnly {
        /// The destination.
        path: PathBuf,
    },
    /// A file that is to be written besides the copy cannot be.
    #[error("cannot write {}", quoted(path))]
    CannotWrite {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A list cannot be read.
    #[error("cannot read {}", quoted(path))]
    CannotRead {
        /// The list.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A named engine cannot serve this copy.
    #[error("engine {engine} cannot copy this: {reason}")]
    EngineUnsuitable {
        /// The engine asked for.
        engine: &'static str,
        /// Why it cannot.
        reason: String,
        /// What would help.
        remedies: &'static [Remedy],
    },
    /// Space cannot be reserved, and it was asked for.
    #[error("cannot reserve {bytes} bytes for {}", quoted(path))]
    CannotReserve {
        /// The destination.
        path: PathBuf,
        /// How much.
        bytes: u64,
        /// Why.
        source: io::Error,
    },
    /// What is wrong with a list, a line each.
    #[error("{lines}")]
    List {
        /// All of it.
        lines: String,
        /// What kinds of faults there are.
        faults: BTreeSet<Fault>,
    },
    /// Something is wrong with the files that a split file consists of.
    #[error(transparent)]
    Split(#[from] SplitRefusal),
    /// A request does not fit into the memory that this process may have.
    #[error(
        "requests of {} do not fit into the {} of memory that this process may have",
        human(*bytes),
        human(*memory)
    )]
    RequestTooLarge {
        /// Length of a request.
        bytes: u64,
        /// What this process may have.
        memory: u64,
    },
    /// The folder that several processes share is of another job than this one.
    #[error(
        "{} is the folder of another job: {what} is {planned} there, and {here} here",
        quoted(folder)
    )]
    OtherJob {
        /// The folder.
        folder: PathBuf,
        /// What differs.
        what: String,
        /// In the plan of the folder.
        planned: String,
        /// In this process.
        here: String,
    },
    /// Anything else that can be told before the first byte.
    #[error("{0}")]
    Other(String),
}
