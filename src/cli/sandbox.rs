//! What the process may still do once its command line is known, held by the kernel
//! where it can: write at and below its destinations and side files, and use the
//! network only if an address is named. A mistake elsewhere in the program, or a name
//! that leads somewhere else, then finds nothing that it could harm.

use std::path::{Path, PathBuf};

use pcopy::endpoint::bytes;
use pcopy::{address, sys};

use super::args::{Cli, Command, CopyArgs};
use super::batch::BatchArgs;
use super::config;

/// Where output is thrown away, also that of programs that are started.
const NOWHERE: &str = "/dev/null";

/// Restricts the process to what `cli` asks for. To be called before any other thread
/// is there. Where the kernel cannot, and for commands that write nothing or write
/// where no argument says, nothing changes.
pub fn enter(cli: &Cli) {
    if cli.no_sandbox {
        return;
    }
    let Some(named) = Named::of(cli) else { return };
    let mut places: Vec<PathBuf> = named.written.iter().flat_map(|path| places(path)).collect();
    places.extend(Path::new(NOWHERE).exists().then(|| NOWHERE.into()));
    let is_remote = named.paths.iter().any(|path| address::scheme(path).is_some());
    // What cannot be named cannot be allowed: the other defences have to do.
    let _ = sys::confine(&places, is_remote || named.lists_sources);
}

/// What a command line names.
struct Named<'a> {
    /// Files and directories that are written, or whose side files are.
    written: Vec<&'a Path>,
    /// Everything that is read or written.
    paths: Vec<&'a Path>,
    /// Whether a list may name more that is read.
    lists_sources: bool,
}

impl<'a> Named<'a> {
    /// `None` if that is not known, or nothing is written.
    fn of(cli: &'a Cli) -> Option<Named<'a>> {
        match &cli.command {
            None => Some(Named::of_copy(&cli.copy)),
            Some(Command::Batch(args)) => Some(Named::of_batch(args)),
            Some(Command::Patch(args)) => {
                let written = vec![&*args.file];
                Some(Named { paths: written.clone(), written, lists_sources: false })
            }
            Some(Command::Verify(args)) => {
                let written = args.digests.digest_file.as_deref().into_iter().collect();
                let paths = args.paths.iter().map(PathBuf::as_path).collect();
                Some(Named { written, paths, lists_sources: false })
            }
            Some(_) => None,
        }
    }

    fn of_copy(args: &'a CopyArgs) -> Named<'a> {
        let paths: Vec<&Path> = args.paths.iter().map(PathBuf::as_path).collect();
        let digests = &args.proof.digests.digest_file;
        let side = [&args.resume.map, digests, &args.shared.job, &args.evidence.log];
        let written = paths.last().copied().into_iter();
        let written = written.chain(args.consent.also.iter().map(PathBuf::as_path));
        let written = written.chain(side.into_iter().filter_map(|path| path.as_deref())).collect();
        Named { written, paths, lists_sources: false }
    }

    fn of_batch(args: &'a BatchArgs) -> Named<'a> {
        let onto = [&args.onto.map, &args.onto.into_device, &args.onto.into_file];
        let side = [&args.report, &args.html, &args.common.shared.job].into_iter().chain(onto);
        let side = side.filter_map(|path| path.as_deref());
        let into = args.onto.destination().is_none().then_some(&*args.into);
        let also = args.common.also.iter().map(PathBuf::as_path);
        let written: Vec<&Path> = into.into_iter().chain(also).chain(side).collect();
        let paths = args.source.as_deref().into_iter().collect();
        Named { written, paths, lists_sources: true }
    }
}

/// Where must be written for the sake of `path`, which may be a symbolic link, or not
/// be there yet: the directory that it lies in, for the side files too; a device and
/// the working directory.
fn places(path: &Path) -> Vec<PathBuf> {
    if config::is_standard_stream(path) || path == Path::new(bytes::NAME) {
        return Vec::new();
    }
    if address::scheme(path).is_some() {
        return here();
    }
    let Ok(real) = path.canonicalize() else { return above(path) };
    if real.is_dir() {
        return vec![real];
    }
    if real.is_file() {
        return above(&real).into_iter().chain(above(path)).collect();
    }
    std::iter::once(real).chain(here()).collect()
}

fn here() -> Vec<PathBuf> {
    Path::new(".").canonicalize().into_iter().collect()
}

/// The nearest directory above `path` that is there.
fn above(path: &Path) -> Vec<PathBuf> {
    let Ok(absolute) = std::path::absolute(path) else { return here() };
    let found = absolute.ancestors().skip(1).find_map(|folder| folder.canonicalize().ok());
    found.into_iter().collect()
}
