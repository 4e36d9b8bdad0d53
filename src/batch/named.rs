//! Which source each item of a batch has: by the name that it gives, or the file
//! that a walk has found.

use std::collections::HashMap;
use std::path::Path;

use super::remote;
use super::sources::Sources;
use crate::address;
use crate::error::{ErrorKind, Fault, Refusal, Remedy, Result};
use crate::manifest::{self, Item, NoSource};
use crate::options::Options;
use crate::progress::CancelToken;
use crate::source::{Join, OpenSource};
use crate::tree::{Origin, Tree};

/// The sources that the items of a batch name.
pub struct Named<'a> {
    /// Those that could be opened.
    pub sources: Sources,
    numbers: Numbers<'a>,
}

/// How the source of an item is found.
enum Numbers<'a> {
    /// By its name: its number, or what kept it from being opened.
    ByName(HashMap<Option<&'a Path>, std::result::Result<u32, NoSource>>),
    /// Each item has one of its own, in the same order.
    OneEach,
}

/// How sources are opened; see [`Sources::new`].
#[derive(Clone, Copy)]
pub struct Keeping {
    /// How many stay open.
    pub stay_open: usize,
    /// Whether one that has changed may be opened again.
    pub any_state: bool,
}

impl<'a> Named<'a> {
    /// Looks at every source once. `of_all` is the one of items that name none, with
    /// the files that follow it if the options say so; a file that an item names is
    /// meant by itself.
    pub fn open(
        items: &'a [Item],
        of_all: Option<&Path>,
        opening: Keeping,
        options: &Options,
        cancel: &CancelToken,
    ) -> Named<'a> {
        let mut sources = Sources::new(opening.stay_open, opening.any_state);
        let mut numbers = HashMap::new();
        let named = items.iter().filter_map(|item| item.source.as_deref().or(of_all));
        let mut far = remote::open(named, options, cancel);
        for item in items {
            let name = item.source.as_deref();
            let number = numbers.entry(name).or_insert_with(|| {
                let path = name.or(of_all).ok_or_else(|| manifest::no_source(None))?;
                let join = if name.is_some() { Join::Never } else { options.join };
                let added = match far.remove(path) {
                    Some(opened) => opened.and_then(|origin| sources.add_open(origin)),
                    // Somebody asked to stop before it was opened.
                    None if address::scheme(path).is_some() => Err(ErrorKind::Cancelled.into()),
                    None => sources.add(path, join),
                };
                added.map_err(|error| NoSource {
                    kind: kind_of(&error),
                    message: error.chain(),
                    fault: fault_of(&error),
                })
            });
            if let (Ok(found), manifest::Runs::Whole) = (&number, &item.runs)
                && let Some(why) = sources.ends_early(*found)
            {
                let (kind, fault) = (manifest::ErrorKind::Refused, Fault::EndsEarly);
                *number = Err(NoSource { kind, message: why.to_owned(), fault });
            }
        }
        Named { sources, numbers: Numbers::ByName(numbers) }
    }

    /// Takes the files of `tree`, which `items` are. One that was named is looked
    /// at now.
    ///
    /// # Errors
    ///
    /// If one that was named cannot be opened, or there are more than can be counted.
    pub fn of_tree(items: &'a [Item], tree: &Tree, opening: Keeping) -> Result<Named<'a>> {
        let mut sources = Sources::new(opening.stay_open, opening.any_state);
        for (item, origin) in items.iter().zip(&tree.origins) {
            let Some(path) = &item.source else { continue };
            match origin {
                Origin::Named => {
                    let number = sources.add(path, Join::Never)?;
                    if let Some(refusal) =
                        sources.open(number)?.file().and_then(OpenSource::ends_early)
                    {
                        return Err(refusal.into());
                    }
                }
                Origin::Below { root, facts } => {
                    sources.add_found(path, &tree.roots[*root as usize], facts)?;
                }
            }
        }
        Ok(Named { sources, numbers: Numbers::OneEach })
    }

    /// The size of a source in bytes.
    ///
    /// # Errors
    ///
    /// What kept it from being opened.
    pub fn size(&self, name: Option<&Path>) -> std::result::Result<u64, NoSource> {
        let Numbers::ByName(numbers) = &self.numbers else { return Err(manifest::no_source(name)) };
        let number = numbers.get(&name).cloned();
        number.unwrap_or_else(|| Err(manifest::no_source(name))).map(|n| self.sources.size(n))
    }

    /// Number and size of the source of `item`, the item number `row`, after the
    /// check has found every source to be there.
    pub fn of(&self, row: usize, item: &Item) -> (u32, u64) {
        let number = match &self.numbers {
            Numbers::ByName(numbers) => {
                let number = numbers.get(&item.source.as_deref());
                *number.and_then(|found| found.as_ref().ok()).expect("the list was checked")
            }
            Numbers::OneEach => row as u32,
        };
        (number, self.sources.size(number))
    }
}

fn kind_of(error: &crate::Error) -> manifest::ErrorKind {
    match error.kind() {
        ErrorKind::Usage { .. } => manifest::ErrorKind::Usage,
        _ => manifest::ErrorKind::Refused,
    }
}

fn fault_of(error: &crate::Error) -> Fault {
    match error.kind() {
        ErrorKind::Refused(Refusal::Split(_)) => Fault::Piece,
        kind if kind.remedies().contains(&Remedy::Recursive) => Fault::Folder,
        _ => Fault::Other,
    }
}
