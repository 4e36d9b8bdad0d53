//! What the process may still do once its command line is known, held by the kernel
//! where it can: write at and below its destinations and side files, send requests to
//! devices, and use the network only if an address is named or a list may name one. A
//! mistake elsewhere in the program, or a name that leads somewhere else, then reaches
//! less; what the kernel cannot hold, the documentation names.

use std::io;
use std::path::{Path, PathBuf};

use pcopy::endpoint::bytes;
use pcopy::report::Confinement;
use pcopy::sys::Allowed;
use pcopy::{address, sys};

use super::args::{Cli, Command, CopyArgs, OutputArgs};
use super::batch::BatchArgs;
use super::config;
use super::render::Style;

/// Where output is thrown away, also that of programs that are started.
const NOWHERE: &str = "/dev/null";

/// Where devices are: the disk of a partition and the loop devices above a file are
/// asked too, and nobody names them.
const DEVICES: &str = "/dev";

/// Restricts the process to what `cli` asks for. To be called before any other thread
/// is there. Commands that write nothing, or write where no argument says, are not
/// restricted. Where the kernel cannot, the other defences have to do: reports say so,
/// and `--verbose` why.
pub fn enter(cli: &Cli) {
    let Some(named) = Named::of(cli) else { return };
    let held = match cli.no_sandbox {
        true => Err(io::Error::other("--no-sandbox")),
        false => named.confine(),
    };
    let (confinement, why) = match held {
        Ok(true) => (Confinement::Full, None),
        Ok(false) => {
            let why = "confined in part: the kernel is older than Linux 6.12";
            (Confinement::Partial, Some(why.to_owned()))
        }
        Err(error) => (Confinement::None, Some(format!("not confined: {error}"))),
    };
    confinement.report();
    if let Some(why) = why.filter(|_| named.output.verbose) {
        Style::new(named.output, false).note(&why);
    }
}

/// What a command line names.
struct Named<'a> {
    /// Files and directories that are written, or whose side files are.
    written: Vec<&'a Path>,
    /// Everything that is read or written.
    paths: Vec<&'a Path>,
    /// Whether a list may name more that is read. It is read later.
    lists_sources: bool,
    /// How the command says things.
    output: &'a OutputArgs,
}

impl<'a> Named<'a> {
    /// `None` if that is not known, or nothing is written.
    fn of(cli: &'a Cli) -> Option<Named<'a>> {
        match &cli.command {
            None => Some(Named::of_copy(&cli.copy)),
            Some(Command::Batch(args)) => Some(Named::of_batch(args)),
            Some(Command::Patch(args)) => {
                let written = vec![&*args.file];
                let paths = written.clone();
                Some(Named { paths, written, lists_sources: false, output: &args.output })
            }
            Some(Command::Verify(args)) => {
                let written = args.digests.digest_file.as_deref().into_iter().collect();
                let paths = args.paths.iter().map(PathBuf::as_path).collect();
                Some(Named { written, paths, lists_sources: false, output: &args.output })
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
        Named { written, paths, lists_sources: false, output: &args.output }
    }

    fn of_batch(args: &'a BatchArgs) -> Named<'a> {
        let onto = [&args.onto.map, &args.onto.into_device, &args.onto.into_file];
        let side = [&args.report, &args.html, &args.common.shared.job].into_iter().chain(onto);
        let side = side.filter_map(|path| path.as_deref());
        let into = args.onto.destination().is_none().then_some(&*args.into);
        let also = args.common.also.iter().map(PathBuf::as_path);
        let written: Vec<&Path> = into.into_iter().chain(also).chain(side).collect();
        let paths = args.source.as_deref().into_iter().collect();
        Named { written, paths, lists_sources: true, output: &args.common.output }
    }

    fn confine(&self) -> io::Result<bool> {
        let mut written: Vec<PathBuf> = self.written.iter().flat_map(|path| places(path)).collect();
        written.extend(existing(NOWHERE));
        let mut asked: Vec<PathBuf> =
            self.paths.iter().chain(&self.written).flat_map(|path| device(path)).collect();
        asked.extend(existing(DEVICES));
        let mut all = self.paths.iter().chain(&self.written);
        let is_remote = all.any(|path| address::scheme(path).is_some());
        sys::confine(&Allowed {
            written: &written,
            asked: (!self.lists_sources).then_some(&*asked),
            network: is_remote || self.lists_sources,
        })
    }
}

fn existing(path: &str) -> Option<PathBuf> {
    Some(PathBuf::from(path)).filter(|path| path.exists())
}

/// `path`, if it is there and neither a file nor a directory.
fn device(path: &Path) -> Option<PathBuf> {
    let facts = path.metadata().ok()?;
    (!facts.is_file() && !facts.is_dir()).then(|| path.to_owned())
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
