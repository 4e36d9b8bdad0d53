//! Folders, and what is in them: which files a copy of folders has, and what it
//! has besides files.
//!
//! Each folder is opened in the one it lies in, and never by its path, so that a
//! link that somebody puts in the place of a folder meanwhile leads nowhere, and
//! a path may be longer than the system takes at once. (That is why no crate
//! walks here: those that are well kept go by paths.) Names in a folder are
//! taken in the order of their file numbers, in which most file systems have put
//! the files on the disk.
//!
//! This room looks and remembers. It must not know what becomes of what it
//! finds, nor read any file.

pub mod folders;
mod operand;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Result;
use crate::manifest::Item;
use crate::progress::CancelToken;
use crate::sys::{Directory, Metadata};

/// Which folders and files to copy, and what counts as in them.
///
/// ```
/// use pcopy::{Batch, CancelToken, tree::Walk};
///
/// let scene = tempfile::tempdir()?;
/// let (photos, backup) = (scene.path().join("photos"), scene.path().join("backup"));
/// std::fs::create_dir_all(photos.join("2024"))?;
/// std::fs::create_dir(&backup)?;
/// std::fs::write(photos.join("2024/a.jpg"), b"a picture")?;
///
/// let tree = Walk::new([&photos]).keep_hard_links(true).run(&CancelToken::new())?;
/// let report = Batch::of_tree(tree, &backup).preserve(true).run()?;
///
/// assert!(report.items.all_good());
/// assert_eq!(std::fs::read(backup.join("photos/2024/a.jpg"))?, b"a picture");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is looked at before it is run"]
pub struct Walk {
    operands: Vec<PathBuf>,
    one_file_system: bool,
    keep_hard_links: bool,
}

impl Walk {
    /// Of these folders, files and symbolic links. A folder keeps its name in the
    /// directory that it is copied to; of one that is named with a last component
    /// of `.` or `..`, and of the root, what is in it goes there. A link is taken
    /// as a link, unless a separator follows its name.
    pub fn new(operands: impl IntoIterator<Item = impl Into<PathBuf>>) -> Walk {
        let operands = operands.into_iter().map(Into::into).collect();
        Walk { operands, one_file_system: false, keep_hard_links: false }
    }

    /// Takes a folder on another file system than the one that was named as empty.
    /// Default: what is in it is taken as well.
    pub fn one_file_system(mut self, one: bool) -> Walk {
        self.one_file_system = one;
        self
    }

    /// Whether the names of one file become names of one copy. Default: each name
    /// becomes a file of its own.
    pub fn keep_hard_links(mut self, keep: bool) -> Walk {
        self.keep_hard_links = keep;
        self
    }

    /// What was named.
    pub(crate) fn operands(&self) -> &[PathBuf] {
        &self.operands
    }

    /// See [`Walk::one_file_system`].
    pub(crate) fn is_one_file_system(&self) -> bool {
        self.one_file_system
    }

    /// Looks at everything.
    ///
    /// # Errors
    ///
    /// If something that was named is not there, or two of them would have one
    /// name; and [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled). A folder
    /// further below that cannot be read is not an error: the copy reports it.
    pub fn run(&self, cancel: &CancelToken) -> Result<Tree> {
        walk::run(self, cancel)
    }
}

/// What [`Walk`] found.
#[derive(Debug, Default)]
pub struct Tree {
    /// Where it was found.
    pub(crate) roots: Vec<Arc<Root>>,
    /// Files.
    pub(crate) files: Vec<Item>,
    /// Of each of the files: where it is from.
    pub(crate) origins: Vec<Origin>,
    /// Folders, each behind the one it lies in.
    pub(crate) folders: Vec<Folder>,
    /// Symbolic links.
    pub(crate) links: Vec<Named>,
    /// Further names of files.
    pub(crate) names: Vec<FurtherName>,
    /// What could not be looked at.
    pub(crate) lost: Vec<Lost>,
    /// Everything but files, folders and links.
    pub(crate) special: Omitted,
    /// Folders on other file systems, which were not entered.
    pub(crate) mount_points: Omitted,
}

impl Tree {
    /// The names that everything has in the copy, relative to the directory that
    /// it goes to.
    pub fn names(&self) -> impl Iterator<Item = &Path> {
        let folders = self.folders.iter().map(|folder| &*folder.name);
        let files = self.files.iter().map(|file| &*file.name);
        let links = self.links.iter().map(|link| &*link.item.name);
        let names = self.names.iter().map(|name| &*name.item.name);
        let all = folders.chain(files).chain(links).chain(names);
        all.filter(|name| !name.as_os_str().is_empty())
    }
}

/// An open directory in which things were found.
#[derive(Debug)]
pub(crate) struct Root {
    /// The directories below it.
    pub directories: folders::Folders,
    /// Its path, as named.
    pub path: PathBuf,
    /// What it is called in the copy; empty if what is in it goes to the top.
    pub name: PathBuf,
}

impl Root {
    /// Where something is below this directory that has the name `name` in the copy.
    pub fn place<'n>(&self, name: &'n Path) -> &'n Path {
        name.strip_prefix(&self.name).unwrap_or(name)
    }

    /// The directory that it lies in.
    ///
    /// # Errors
    ///
    /// If it cannot be opened any more.
    pub fn directory_of(&self, name: &Path) -> std::io::Result<Arc<Directory>> {
        self.directories.at(self.place(name).parent().unwrap_or(Path::new("")), false)
    }
}

/// Where a file is from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// It was named.
    Named,
    /// It was found.
    Below {
        /// The number of the root.
        root: u32,
        /// What it was when it was found.
        facts: Arc<Metadata>,
    },
}

/// A folder.
#[derive(Debug)]
pub(crate) struct Folder {
    /// The number of the root.
    pub root: u32,
    /// Its name in the copy.
    pub name: Box<Path>,
    /// What it was when it was found.
    pub facts: Metadata,
}

/// A symbolic link.
#[derive(Debug)]
pub(crate) struct Named {
    /// The number of the root.
    pub root: u32,
    /// Its name in the copy, and where it is; it has no bytes.
    pub item: Item,
    /// What it was when it was found.
    pub facts: Metadata,
}

/// A further name of a file.
#[derive(Debug)]
pub(crate) struct FurtherName {
    /// The name in the copy, and where it is; it has no bytes of its own.
    pub item: Item,
    /// The number of the file.
    pub file: usize,
}

/// Something that could not be looked at.
#[derive(Debug)]
pub(crate) struct Lost {
    /// Its name in the copy, and where it is.
    pub item: Item,
    /// What went wrong.
    pub why: String,
}

/// What was left out: how many, and which was the first.
#[derive(Debug, Default)]
pub(crate) struct Omitted {
    /// How many.
    pub count: u64,
    /// The first, and what it is.
    pub first: Option<(PathBuf, &'static str)>,
}

impl Omitted {
    fn add(&mut self, path: PathBuf, what: &'static str) {
        self.count += 1;
        self.first.get_or_insert((path, what));
    }
}
