//! The list of a batch: how it is read, and what becomes of its rows.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::Args;
use pcopy::manifest::{
    self, AreaStatuses, Columns, Format, Lenience, Manifest, ManifestErrors, ReadOptions,
};
use pcopy::source::OpenSource;
use pcopy::{CancelToken, ErrorKind, Join, Options, Refusal, Result, Size, address, endpoint};

use super::BatchArgs;
use crate::cli::input::Input;
use crate::cli::remote;
use crate::cli::render::usage;
use crate::cli::signals::Signals;

/// How the list is read.
#[derive(Args, Debug)]
#[command(next_help_heading = "List")]
pub struct ListArgs {
    /// Format of the manifest [default: from its name and first bytes]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,

    /// Where the file system lies on the source, for imports
    #[arg(long, value_name = "SIZE", default_value = "0")]
    pub base: Size,

    /// Name of the file, for formats that describe one
    #[arg(long, value_name = "NAME")]
    pub name: Option<PathBuf>,

    /// Prefix to cut from the names of filefrag, such as a mount point
    #[arg(long, value_name = "PREFIX")]
    pub strip_prefix: Option<PathBuf>,

    /// Areas of a ddrescue map to copy: any of + ? * / -
    #[arg(long, value_name = "STATUSES", allow_hyphen_values = true)]
    pub areas: Option<String>,

    /// Radix of filefrag's numbers: 16 if it was run with -X
    #[arg(long, value_name = "N", default_value = "10", value_parser = radix)]
    pub radix: u32,

    /// Bytes in a sector, where the list counts in sectors [default: those of the source]
    #[arg(long, value_name = "BYTES", value_parser = sector_size)]
    pub sector_size: Option<u32>,

    /// Which column or key of the list is which field, by name or number
    #[arg(long, value_name = "FIELD=COLUMN,...", default_value = "", hide_default_value = true)]
    #[arg(value_parser = columns)]
    pub columns: Columns,

    /// Skip unknown columns and keys
    #[arg(long)]
    pub ignore_columns: bool,

    /// Take the deleted files of a DFXML list as well
    #[arg(long)]
    pub deleted: bool,

    /// Skip files that are stored resident, compressed or encrypted, instead of refusing them
    #[arg(long)]
    pub skip_unmappable: bool,

    /// Skip items outside their source, as in a truncated image
    #[arg(long)]
    pub skip_outside: bool,

    /// Cut items that reach beyond the end of their source
    #[arg(long, conflicts_with = "skip_outside")]
    pub clamp: bool,

    /// Skip names that no file can have here
    #[arg(long)]
    pub skip_names: bool,

    /// Skip rows that would write where an earlier row writes
    #[arg(long)]
    pub skip_clashes: bool,

    /// Number rows that would write where an earlier row writes: NAME~2
    #[arg(long, conflicts_with = "skip_clashes")]
    pub number_clashes: bool,
}

fn radix(text: &str) -> Result<u32, String> {
    match text {
        "10" => Ok(10),
        "16" => Ok(16),
        _ => Err("must be 10 or 16".to_owned()),
    }
}

fn sector_size(text: &str) -> Result<u32, String> {
    let bytes = text.parse().ok().filter(|bytes: &u32| bytes.is_power_of_two());
    let wanted = "must be a power of two from 512 to 65536";
    bytes.filter(|bytes| (512..=65536).contains(bytes)).ok_or_else(|| wanted.to_owned())
}

fn columns(text: &str) -> Result<Columns, String> {
    match text {
        "" => Ok(Columns::OWN),
        text => text.parse().map_err(|error: manifest::BadColumns| error.to_string()),
    }
}

/// Sizes of what servers hand out, each asked for once.
struct Far {
    options: Options,
    cancel: CancelToken,
    sizes: RefCell<HashMap<PathBuf, Option<u64>>>,
}

impl Far {
    /// `source`, if it is an address.
    fn name<'a>(&self, source: Option<&'a Path>) -> Option<&'a Path> {
        source.filter(|source| address::scheme(source).is_some())
    }

    fn size(&self, address: &Path) -> Option<u64> {
        let known = self.sizes.borrow().get(address).copied();
        known.unwrap_or_else(|| {
            // What cannot be opened is said in a moment.
            let origin = endpoint::origin(address, &self.options, &self.cancel).ok();
            let ranges = origin.filter(|origin| origin.read_order().stream().is_none());
            let size = ranges.map(|origin| origin.source().size());
            self.sizes.borrow_mut().insert(address.to_owned(), size);
            size
        })
    }
}

fn far_options(args: &BatchArgs) -> Options {
    let mut options = Options::default();
    options.remote = remote::options(&args.common.remote);
    options
}

/// The manifest and what of it could not be understood, or how it ended.
///
/// # Errors
///
/// An error that has not been printed.
pub fn read(args: &BatchArgs, signals: &Signals) -> Result<(Manifest, ManifestErrors)> {
    let list = &args.list;
    let path = args.retry.as_deref().or(args.manifest.as_deref()).unwrap_or(Path::new("-"));
    let areas = match list.areas.as_deref().map(AreaStatuses::new) {
        None => AreaStatuses::default(),
        Some(Some(areas)) => areas,
        Some(None) => return Err(usage("--areas takes any of + ? * / -")),
    };
    let open = |source: Option<&Path>| {
        // A file that a row names is meant by itself.
        let join = if source.is_some() { Join::Never } else { args.common.join };
        OpenSource::open_joined(source.or(args.source.as_deref())?, join).ok()
    };
    let sector = |source: Option<&Path>| {
        list.sector_size.or_else(|| open(source).map(|source| source.unit()))
    };
    let far = Far {
        options: far_options(args),
        cancel: signals.cancel_token(),
        sizes: RefCell::default(),
    };
    let size = |source: Option<&Path>| match far.name(source.or(args.source.as_deref())) {
        Some(address) => far.size(address),
        None => open(source).map(|source| source.facts.size),
    };
    let unit = match list.base {
        Size::Sectors(_) => sector(None).unwrap_or(512),
        _ => 512,
    };
    let Some(base) = list.base.bytes(unit).ok() else {
        return Err(usage("--base is too large"));
    };
    let options = ReadOptions {
        manifest: Some(path),
        source: args.source.as_deref(),
        name: list.name.as_deref(),
        base,
        sector_of: &sector,
        areas,
        strip_prefix: list.strip_prefix.as_deref(),
        skip_unmappable: list.skip_unmappable,
        ignore_columns: list.ignore_columns,
        columns: &list.columns,
        radix: list.radix,
        deleted: list.deleted,
        skip_complete: args.retry.is_some(),
        own_offsets: args.onto.destination().is_some(),
        disk_size: match args.onto.destination() {
            Some(_) => args.onto.into_device.as_deref().and_then(|device| size(Some(device))),
            None => size(None),
        },
        size_of: &size,
    };
    let format = if args.retry.is_some() { Some(Format::Jsonl) } else { list.format };
    let cancel = signals.cancel_token();
    let opened = Input::open(path, cancel.clone()).and_then(|input| {
        let mut input = BufReader::new(input);
        // A directory opens and fails at the first read: better said here.
        input.fill_buf()?;
        Ok(input)
    });
    let read = opened.map(|input| manifest::read_lenient(input, format, &options));
    if cancel.is_cancelled() {
        return Err(ErrorKind::Cancelled.into());
    }
    let unreadable = |source| Refusal::CannotRead { path: path.to_owned(), source };
    let (mut manifest, mut errors) = read.map_err(unreadable)?;
    let lenience = Lenience {
        skip_outside: list.skip_outside,
        clamp: list.clamp,
        skip_names: list.skip_names,
        skip_clashes: list.skip_clashes,
        number_clashes: list.number_clashes,
    };
    if lenience != Lenience::default() {
        let notes = manifest::settle(&mut manifest.items, lenience, size);
        manifest.notes.extend(notes);
    }
    if !args.ignore_container && !manifest.takes_container {
        manifest::refuse_containers(&manifest.items, &mut errors, |source| {
            open(source)?.container()
        });
    }
    Ok((manifest, errors))
}
