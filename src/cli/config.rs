//! From the arguments as typed to a job.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use pcopy::address;
use pcopy::pool::MOST_THREADS;
use pcopy::safety::roles::{Clash, Role, Roles};
use pcopy::source::OpenSource;
use pcopy::sys::{FileKind, facts_of_path};
use pcopy::{CopyJob, Join, Leftovers, Options, RangeSpec, Trust, VerifyJob};

use super::args::{CopyArgs, DigestArgs, HowArgs, VerifyArgs, WhatArgs};
use super::batch::CommonArgs;
use super::evidence::json_beside;
use super::remote;

/// Whether a destination means standard output.
pub fn is_stdout(destination: &Path) -> bool {
    is_standard_stream(destination)
}

/// Whether a name stands for standard input or output, whichever end it is of.
pub fn is_standard_stream(name: &Path) -> bool {
    name.as_os_str() == "-"
}

/// Whether both lead to one file, which need not be there yet.
pub fn is_same(one: &Path, other: &Path) -> bool {
    let real = real_path(one);
    let facts = |path| facts_of_path(path).ok().flatten();
    // One file may have two names.
    let same_thing = || Some(facts(one)?.same_thing(&facts(other)?));
    real.is_some() && real == real_path(other) || same_thing() == Some(true)
}

/// What `path` leads to, though the last part of it need not be there yet.
fn real_path(path: &Path) -> Option<PathBuf> {
    if let Ok(real) = path.canonicalize() {
        return Some(real);
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Some(parent.unwrap_or(Path::new(".")).canonicalize().ok()?.join(path.file_name()?))
}

/// Refuses `-`, which means standard output, where that is not written.
///
/// # Errors
///
/// A message for the user.
pub fn check_is_file(option: &str, path: &Path) -> Result<(), String> {
    if is_stdout(path) {
        let where_it_is = "standard output is DEST of one SOURCE; a file of that name is ./-";
        return Err(format!("{option}: - is not a file: {where_it_is}"));
    }
    Ok(())
}

/// Whose leftovers are taken for those of an earlier run.
fn trust(leftovers: bool) -> Trust {
    if leftovers { Trust::Anybody } else { Trust::Own }
}

/// The files that are written beside a copy, each with the option that names it.
fn side_files(args: &CopyArgs) -> Vec<(&'static str, PathBuf)> {
    let sums = args.proof.digests.digest_file.clone().map(|file| ("--digest-file", file));
    let log = args.evidence.log.iter().flat_map(|log| [log.clone(), json_beside(log)]);
    sums.into_iter().chain(log.map(|file| ("--log", file))).collect()
}

/// Refuses a file for digests or a log that is read or written by the copy itself.
///
/// # Errors
///
/// A message for the user.
pub fn check_side_files(args: &CopyArgs, source: &Path, destination: &Path) -> Result<(), String> {
    let files = side_files(args);
    if files.is_empty() {
        return Ok(());
    }
    let mut roles = Roles::default();
    // What clashes with each other is refused by the job, which says more of it.
    let _ = add_source(&mut roles, source, args.what.join);
    for (option, file) in &files {
        check_is_file(option, file)?;
        if args.consent.split.is_some() && is_segment(file, destination, source) {
            return Err(format!("{option}: it would be taken for a file of --split"));
        }
    }
    if is_stdout(destination) {
        let facts = pcopy::sys::standard_output().and_then(|stdout| pcopy::sys::facts(&stdout));
        if let Some(facts) = facts.ok().filter(|facts| facts.node == FileKind::File) {
            let what = "the file that standard output goes to";
            let _ = roles.add_known(Role::Destination, what, destination, &facts);
        }
    } else {
        let also = args.consent.also.iter().map(PathBuf::as_path);
        for destination in std::iter::once(destination).chain(also) {
            let _ = roles.add_destination(destination, source, args.resume.map.is_none());
        }
    }
    if let Some(map) = &args.resume.map {
        let _ = roles.add(Role::Side, "the map", map);
    }
    let mut add = |(option, file): &(&'static str, PathBuf)| roles.add(Role::Side, *option, file);
    files.iter().try_for_each(&mut add).map_err(|clash| clash.to_string())
}

/// Adds the files that are read where `source` is named.
fn add_source(roles: &mut Roles, source: &Path, join: Join) -> Result<(), Clash> {
    match OpenSource::open_joined(source, join) {
        Ok(open) if open.is_joined() => roles.add_source(&open),
        // What cannot be opened is said in a moment.
        _ => roles.add(Role::Read, "the source", source),
    }
}

/// Whether `file` has a name that a segment of `destination` may have.
fn is_segment(file: &Path, destination: &Path, source: &Path) -> bool {
    let name = if destination.is_dir() { source } else { destination }.file_name();
    let folder = if destination.is_dir() { Some(destination) } else { destination.parent() };
    let of = |path: Option<&Path>| {
        let path = path.filter(|path| !path.as_os_str().is_empty());
        path.unwrap_or(Path::new(".")).canonicalize().ok()
    };
    let counted = |name: &OsStr| {
        let bytes = name.as_encoded_bytes();
        let stem = bytes.iter().rposition(|byte| *byte == b'.').map(|dot| bytes.split_at(dot));
        let digits = stem.filter(|(_, end)| end[1..].iter().all(u8::is_ascii_digit));
        digits.map(|(stem, _)| stem.to_vec())
    };
    let counted = file.file_name().and_then(counted);
    of(file.parent()) == of(folder) && counted.as_deref() == name.map(OsStr::as_encoded_bytes)
}

/// What a copy of `source` is called in a directory.
pub fn name_of(source: &Path) -> Option<OsString> {
    match source.to_str().filter(|_| address::scheme(source).is_some()) {
        Some(address) => address::file_name(address),
        None => source.file_name().map(OsStr::to_owned),
    }
}

/// The range that the arguments describe, in either way of saying it.
fn range(what: &WhatArgs) -> RangeSpec {
    what.range.unwrap_or_else(|| RangeSpec::from_offset_length(what.offset, what.length))
}

/// The comparison of one source that the arguments describe.
///
/// # Errors
///
/// A message for the user, as of [`job`].
pub fn verify(args: &VerifyArgs, source: &Path, destination: &Path) -> Result<VerifyJob, String> {
    if let Some(file) = &args.digests.digest_file {
        check_is_file("--digest-file", file)?;
        let mut roles = Roles::default();
        let file_in_it = match destination.is_dir() {
            true => destination.join(name_of(source).unwrap_or_default()),
            false => destination.to_owned(),
        };
        add_source(&mut roles, source, args.what.join)
            .and_then(|()| add_source(&mut roles, &file_in_it, args.what.join))
            .and_then(|()| roles.add(Role::Side, "--digest-file", file))
            .map_err(|clash| clash.to_string())?;
    }
    let mut options = verify_options(args);
    set_range(&mut options, &args.what);
    options.expected.clone_from(&args.digests.expect);
    Ok(VerifyJob::new(source, destination).options(options))
}

fn verify_options(args: &VerifyArgs) -> Options {
    let mut options = Options::default();
    options.threads = args.threads;
    options.remote = remote::options(&args.remote);
    options.keep_cache = args.keep_cache;
    options.digests.clone_from(&args.digests.digest);
    options.digest_every = args.digests.digest_every;
    options
}

/// The options of a comparison of several sources.
///
/// # Errors
///
/// A message for the user, where an option makes sense for one source only.
pub fn verify_several(args: &VerifyArgs) -> Result<Options, String> {
    check_whole(&args.what, &args.digests)?;
    if let Some(file) = &args.digests.digest_file {
        check_is_file("--digest-file", file)?;
    }
    let mut options = verify_options(args);
    options.join = Join::Never;
    options.preserve = args.preserve;
    Ok(options)
}

/// Why an option is not for several sources.
const WHOLE: &str = "several sources are taken whole; a list of ranges is for pcopy batch";
const STAGED: &str = "each of several sources has a file of its own in DIR";

/// Refuses what is meant for a part of one source.
fn check_whole(what: &WhatArgs, digests: &DigestArgs) -> Result<(), String> {
    one_only([
        (what.range.is_some(), "--range", WHOLE),
        (what.offset.is_some(), "--offset", WHOLE),
        (what.length.is_some(), "--length", WHOLE),
        (what.dest_offset != pcopy::Size::Bytes(0), "--dest-offset", STAGED),
        (what.join == Join::Always, "--join", "several sources are copied as they are"),
        (
            digests.digest_every.is_some(),
            "--digest-every",
            "a list for pcopy batch can name the pieces of each source",
        ),
        (
            !digests.expect.is_empty(),
            "--expect",
            "several sources do not have one digest; a list for pcopy batch can give one for each",
        ),
    ])
}

/// Refuses the first option that is given, and says why.
fn one_only<const N: usize>(options: [(bool, &str, &str); N]) -> Result<(), String> {
    match options.into_iter().find(|&(given, ..)| given) {
        Some((_, option, why)) => Err(format!("{option}: {why}")),
        None => Ok(()),
    }
}

/// The job that the arguments describe.
///
/// # Errors
///
/// A message for the user, where options contradict each other in a way that
/// their grammar does not show.
pub fn job(args: &CopyArgs, source: &Path, destination: &Path) -> Result<CopyJob, String> {
    if args.output.json && is_stdout(destination) {
        return Err("--json: standard output holds the copied bytes already".to_owned());
    }
    for also in &args.consent.also {
        check_is_file("--also", also)?;
    }
    check_side_files(args, source, destination)?;
    let job = match is_standard_stream(source) {
        true => {
            let stdin = pcopy::sys::standard_input();
            let stdin = stdin.map_err(|error| format!("cannot use standard input: {error}"))?;
            CopyJob::from_stream(stdin, destination)
        }
        false => CopyJob::new(source, destination),
    };
    let job = job.options(options(args));
    Ok(args.consent.also.iter().fold(job, CopyJob::also))
}

/// The options of a copy, as typed.
pub fn options(args: &CopyArgs) -> Options {
    let CopyArgs { what, consent, resume, how, proof, .. } = args;
    let mut options = Options::default();
    set_range(&mut options, what);
    set_how(&mut options, how);
    options.split = consent.split;
    options.remote = remote::options(&args.remote);
    options.force = consent.force;
    options.in_place = consent.in_place;
    options.to_device = consent.to_device;
    options.only_changed = consent.only_changed;
    options.wait = consent.wait;
    options.even_if_in_use = consent.even_if_in_use;
    options.allow_same_device = consent.allow_same_device;
    options.ignore_space = consent.ignore_space;
    options.preserve = consent.preserve;
    options.sync = !consent.no_sync;
    options.leftovers = leftovers(resume.resume, resume.restart);
    options.trust = trust(resume.trust_leftovers);
    options.map.clone_from(&resume.map);
    options.checkpoint_every = resume.checkpoint_every;
    options.allow_changed_source = resume.allow_changed_source;
    options.digests.clone_from(&proof.digests.digest);
    options.digest_every = proof.digests.digest_every;
    options.expected.clone_from(&proof.digests.expect);
    options.verify = proof.verify;
    options.repair = proof.repair;
    options.check_source = proof.check_source;
    options
}

/// The options of a batch, as typed.
///
/// # Errors
///
/// A message for the user.
pub fn batch(args: &CommonArgs) -> Result<Options, String> {
    for also in &args.also {
        check_is_file("--also", also)?;
    }
    let mut options = Options::default();
    set_how(&mut options, &args.how);
    if let Some(jobs) = args.jobs {
        if !(1..=MOST_THREADS).contains(&jobs) {
            return Err(format!("--jobs must be a number from 1 to {MOST_THREADS}"));
        }
        options.threads = jobs.into();
    }
    options.force = args.force;
    options.allow_same_device = args.allow_same_device;
    options.ignore_space = args.ignore_space;
    options.sync = !args.no_sync;
    options.leftovers = leftovers(args.resume, args.restart);
    options.trust = trust(args.trust_leftovers);
    options.allow_changed_source = args.allow_changed_source;
    options.checkpoint_every = args.checkpoint_every;
    options.digests.clone_from(&args.digest);
    options.join = args.join;
    options.remote = remote::options(&args.remote);
    options.preserve = args.preserve;
    options.verify = args.verify;
    options.repair = args.repair;
    Ok(options)
}

fn leftovers(resume: bool, restart: bool) -> Leftovers {
    match (resume, restart) {
        (true, _) => Leftovers::Resume,
        (_, true) => Leftovers::Restart,
        _ => Leftovers::Refuse,
    }
}

fn set_range(options: &mut Options, what: &WhatArgs) {
    options.range = range(what);
    options.clamp = what.clamp;
    options.join = what.join;
    options.dest_offset = what.dest_offset;
}

fn set_how(options: &mut Options, how: &HowArgs) {
    options.threads = how.threads;
    options.stripe_size = how.stripe_size.0;
    options.io_size = how.io_size.0;
    options.engine = how.engine;
    options.reflink = how.reflink;
    options.sparse = how.sparse;
    options.preallocate = how.preallocate;
    options.keep_cache = how.keep_cache;
    options.require_read_only = how.require_read_only;
    options.on_read_error = how.on_read_error;
    options.retries = how.retries;
    options.limit_rate = how.limit_rate;
}

/// The options of a copy of several files.
///
/// # Errors
///
/// A message for the user, where an option makes sense for one file only.
pub fn several(args: &CopyArgs) -> Result<CommonArgs, String> {
    check_whole(&args.what, &args.proof.digests)?;
    one_only([
        (args.consent.in_place, "--in-place", STAGED),
        (args.evidence.log.is_some(), "--log", "each of several sources wants a log of its own"),
        (args.consent.split.is_some(), "--split", "several sources are copied as they are"),
        (args.consent.to_device, "--to-device", STAGED),
        (args.consent.only_changed, "--only-changed", STAGED),
        (args.consent.even_if_in_use, "--even-if-in-use", STAGED),
        (
            args.proof.check_source,
            "--check-source",
            "it is for one copy: each of several sources is complete at another time",
        ),
        (args.resume.map.is_some(), "--map", "each of several files has its map beside it"),
    ])?;
    if let Some(file) = &args.proof.digests.digest_file {
        check_is_file("--digest-file", file)?;
    }
    Ok(CommonArgs {
        also: args.consent.also.clone(),
        force: args.consent.force,
        resume: args.resume.resume,
        restart: args.resume.restart,
        trust_leftovers: args.resume.trust_leftovers,
        allow_same_device: args.consent.allow_same_device,
        ignore_space: args.consent.ignore_space,
        allow_changed_source: args.resume.allow_changed_source,
        no_sync: args.consent.no_sync,
        preserve: args.consent.preserve,
        verify: args.proof.verify,
        repair: args.proof.repair,
        digest: args.proof.digests.digest.clone(),
        // Each is a file of its own.
        join: Join::Never,
        jobs: None,
        checkpoint_every: args.resume.checkpoint_every,
        dry_run: args.dry_run,
        how: args.how.clone(),
        shared: args.shared.clone(),
        remote: args.remote.clone(),
        output: args.output.clone(),
    })
}
