//! Whether what stands under the name of a leftover is what an earlier run of
//! this user left.
//!
//! A folder may be open to others. Anyone who may write there can put a part and a
//! map under the names of ours: what is then copied would be theirs to read, and
//! what their map calls done would be theirs to choose. So the file system is
//! asked whose a file is, how many names it has, and who may write it. In a
//! folder with the sticky bit that settles it, because nobody renames a file of
//! another user there; in any other the identity in a map, which must be ours as
//! well, tells which file is meant.
//!
//! Where the file system keeps neither owners nor modes, it says the same of
//! every file: then it is not evidence against one, and the bytes of the finished
//! file are as open to others as those of the part. That is found out by making
//! a file, when there is a doubt and only then.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::part::Ours;
use super::side;
use crate::error::{Refusal, Remedy, quoted};
use crate::sys::{self, Directory, Metadata};

crate::words::words! {
    /// Whose leftovers are taken for those of an earlier run.
    #[derive(Default)]
    pub enum Trust {
        /// Those of this user that nobody else could have written.
        #[default]
        Own = "own",
        /// Those of any user.
        Anybody = "anybody",
    }
}

/// What is to be done with a leftover.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// A part is to be written further.
    Write,
    /// What a map says is to be believed.
    Believe,
    /// It is to be removed.
    Discard,
    /// That a file under its final name is complete is to be believed.
    Keep,
}

/// What speaks against a file being ours alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doubt {
    /// It belongs to this user.
    Owner(u32),
    /// It has so many names.
    Links(u64),
    /// Others may write it, by its mode.
    Mode(u32),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::Owner(0) => f.write_str("belongs to root"),
            Doubt::Owner(user) => write!(f, "belongs to user {user}"),
            Doubt::Links(names) => write!(f, "has {names} names, which all lead to one file"),
            Doubt::Mode(mode) => write!(f, "could be written by other users (mode {mode:04o})"),
        }
    }
}

/// What the file system says of a file that this process makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Own {
    owner: u32,
    /// Whether the mode of a file is what was asked for.
    has_modes: bool,
}

impl Own {
    /// What speaks against `facts` being of a file of ours.
    fn check(self, facts: &Metadata, purpose: Purpose) -> Result<(), Doubt> {
        if facts.owner != self.owner {
            return Err(Doubt::Owner(facts.owner));
        }
        if matches!(purpose, Purpose::Discard | Purpose::Keep) {
            return Ok(());
        }
        if facts.links > 1 {
            return Err(Doubt::Links(facts.links));
        }
        // The group of the same number as the user is the user's own.
        let others = if facts.group == facts.owner { 0o002 } else { 0o022 };
        match self.has_modes && facts.mode & others != 0 {
            true => Err(Doubt::Mode(facts.mode & 0o777)),
            false => Ok(()),
        }
    }

    /// As a file that is made in `directory` shows it.
    fn as_made_in(directory: &Directory) -> io::Result<Own> {
        // Without a name it changes nothing, not even the time of the directory.
        let facts = match directory.create_unnamed().and_then(|file| sys::facts(&file)) {
            Ok(facts) => facts,
            Err(_) => Own::facts_of_named(directory)?,
        };
        Ok(Own { owner: facts.owner, has_modes: facts.mode & 0o022 == 0 })
    }

    fn facts_of_named(directory: &Directory) -> io::Result<Metadata> {
        let (name, file) = side::make_trial(directory)?;
        let facts = sys::facts(&file)?;
        side::remove(directory, &name, Ours { file: &file, facts: &facts })?;
        Ok(facts)
    }
}

/// Why a leftover is taken for ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Grounds {
    /// Owner, names and mode say so.
    Metadata,
    /// Every file is like it there.
    NothingIsKnown,
    /// The caller insists.
    Insisted(Doubt),
}

/// Finds out whether leftovers are ours, and remembers what was doubtful.
#[derive(Debug, Default)]
pub struct Examiner {
    trust: Trust,
    nothing_known: Vec<PathBuf>,
    insisted: Vec<(PathBuf, Doubt)>,
}

impl Examiner {
    /// One that takes `trust` for ours.
    pub fn new(trust: Trust) -> Examiner {
        Examiner { trust, ..Examiner::default() }
    }

    /// Whether the file `facts` at `path`, which lies in `directory`, may be
    /// used for `purpose`.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotOurs`].
    pub fn check(
        &mut self,
        directory: &Directory,
        facts: &Metadata,
        purpose: Purpose,
        path: &Path,
    ) -> Result<(), Refusal> {
        match grounds(directory, facts, purpose, self.trust) {
            Ok(Grounds::Metadata) => {}
            Ok(Grounds::NothingIsKnown) => self.nothing_known.push(path.to_owned()),
            Ok(Grounds::Insisted(doubt)) => self.insisted.push((path.to_owned(), doubt)),
            Err(doubt) => {
                return Err(refusal(path, doubt, purpose, self.trust));
            }
        }
        Ok(())
    }

    /// What the report says of what was doubtful.
    pub fn into_notes(self) -> Vec<String> {
        let more = |count: usize| match count {
            0 | 1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        let insisted = self.insisted.first().map(|(path, doubt)| {
            let more = more(self.insisted.len());
            format!(
                "{}{more} {doubt}, and was taken for what an earlier run left, because the caller \
                 trusts all leftovers: what that user wrote is in the copy",
                quoted(path)
            )
        });
        let nothing_known = self.nothing_known.first().map(|path| {
            let more = more(self.nothing_known.len());
            format!(
                "{}{more} was taken for ours: the file system keeps no owners or modes",
                quoted(path)
            )
        });
        insisted.into_iter().chain(nothing_known).collect()
    }
}

fn grounds(
    directory: &Directory,
    facts: &Metadata,
    purpose: Purpose,
    trust: Trust,
) -> Result<Grounds, Doubt> {
    let own = Own { owner: sys::user(), has_modes: sys::HAS_OWNERS };
    let Err(doubt) = own.check(facts, purpose) else { return Ok(Grounds::Metadata) };
    if !matches!(doubt, Doubt::Links(_))
        && Own::as_made_in(directory).is_ok_and(|own| own.check(facts, purpose).is_ok())
    {
        return Ok(Grounds::NothingIsKnown);
    }
    match trust {
        // What is written under one name shows under all of them.
        Trust::Anybody if purpose == Purpose::Write && facts.links > 1 => {
            Err(Doubt::Links(facts.links))
        }
        // What one cannot make private is not filled.
        Trust::Anybody if purpose == Purpose::Write && is_for_good(doubt) => Err(doubt),
        Trust::Anybody => Ok(Grounds::Insisted(doubt)),
        Trust::Own => Err(doubt),
    }
}

/// Whether nothing that this process can do makes a file its own.
fn is_for_good(doubt: Doubt) -> bool {
    matches!(doubt, Doubt::Owner(_)) && sys::user() != 0
}

/// Whether what was found out of the file `before` holds for the file `after`.
pub fn is_unchanged(before: &Metadata, after: &Metadata) -> bool {
    let asked = |facts: &Metadata| (facts.owner, facts.group, facts.mode, facts.links);
    before.same_thing(after) && asked(before) == asked(after)
}

/// Whether owner and mode of `file`, which lies in `directory`, are those that
/// every file has there.
pub fn says_nothing(directory: &Directory, file: &File) -> bool {
    let (Ok(facts), Ok(own)) = (sys::facts(file), Own::as_made_in(directory)) else {
        return false;
    };
    facts.owner == own.owner && (own.owner != sys::user() || !own.has_modes)
}

/// What is said of a doubt about what is at `path`, and what would help.
fn refusal(path: &Path, doubt: Doubt, purpose: Purpose, trust: Trust) -> Refusal {
    use Remedy::{Force, Restart, TrustLeftovers};
    let (so, remedies): (_, &'static [Remedy]) = match (doubt, purpose) {
        (Doubt::Owner(_), Purpose::Write) if trust == Trust::Anybody => {
            ("so only that user and root can resume it", &[Restart])
        }
        (_, Purpose::Keep) => {
            ("so it is not taken for complete: remove it", &[Force, TrustLeftovers])
        }
        (Doubt::Owner(_), _) => {
            ("so it is neither resumed nor discarded: remove it", &[TrustLeftovers])
        }
        (Doubt::Links(_), Purpose::Write) => ("so it is not written", &[Restart]),
        _ => ("so what it says is not believed", &[Restart, TrustLeftovers]),
    };
    Refusal::NotOurs { path: path.to_owned(), doubt: doubt.to_string(), so, remedies }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of ours, as the system shows one.
    fn ours() -> Metadata {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, b"x").unwrap();
        let facts = sys::facts_of_path(&path).unwrap().unwrap();
        Metadata { mode: 0o600, owner: 1000, group: 1000, links: 1, ..facts }
    }

    #[test]
    fn what_speaks_against_a_leftover() {
        use Purpose::{Believe, Discard, Keep, Write};
        let own = Own { owner: 1000, has_modes: true };
        let check = |change: fn(&mut Metadata), purposes: &[Purpose], expected| {
            for &purpose in purposes {
                let mut facts = ours();
                change(&mut facts);
                assert_eq!(own.check(&facts, purpose), expected, "{purpose:?} {facts:?}");
            }
        };
        let all = [Write, Believe, Discard, Keep];
        check(|_| {}, &all, Ok(()));
        check(|facts| facts.owner = 0, &all, Err(Doubt::Owner(0)));
        check(|facts| facts.owner = 1001, &all, Err(Doubt::Owner(1001)));
        let (used, named) = ([Write, Believe], [Discard, Keep]);
        check(|facts| facts.links = 2, &used, Err(Doubt::Links(2)));
        check(|facts| facts.links = 2, &named, Ok(()));
        for (change, mode) in [
            (
                Box::new(|facts: &mut Metadata| facts.mode = 0o666) as Box<dyn Fn(&mut Metadata)>,
                0o666,
            ),
            (Box::new(|facts| facts.mode = 0o602), 0o602),
            (Box::new(|facts| (facts.mode, facts.group) = (0o620, 50)), 0o620),
        ] {
            let mut facts = ours();
            change(&mut facts);
            assert_eq!(own.check(&facts, Write), Err(Doubt::Mode(mode)));
            assert_eq!(own.check(&facts, Keep), Ok(()));
            // Where every file has this mode, it says nothing.
            assert_eq!(Own { has_modes: false, ..own }.check(&facts, Write), Ok(()));
        }
        // As the umask of a system has it that gives each user a group.
        check(|facts| facts.mode = 0o664, &all, Ok(()));
        check(|facts| facts.mode = 0o644, &all, Ok(()));
        let root = Own { owner: 0, has_modes: true };
        assert_eq!(root.check(&ours(), Write), Err(Doubt::Owner(1000)), "root has its own");
    }

    /// What was found out of a file holds for no other, and not for what it has become.
    #[test]
    fn what_was_found_out_holds_as_long_as_nothing_changes() {
        let before = ours();
        assert!(is_unchanged(&before, &before.clone()));
        let changes: [fn(&mut Metadata); 5] = [
            |facts| facts.owner = 0,
            |facts| facts.group = 0,
            |facts| facts.mode = 0o602,
            |facts| facts.links = 2,
            |facts| facts.inode += 1,
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut after = before.clone();
            change(&mut after);
            assert!(!is_unchanged(&before, &after), "change {number}");
        }
    }

    #[test]
    fn what_is_said_of_a_doubt_names_what_would_help() {
        use Purpose::{Believe, Discard, Keep, Write};
        use Remedy::{Force, Restart, TrustLeftovers};
        let (owner, links, mode) = (Doubt::Owner(7), Doubt::Links(2), Doubt::Mode(0o666));
        for (doubt, purpose, trust, expected, remedies) in [
            (owner, Write, Trust::Anybody, "only that user and root", &[Restart][..]),
            (owner, Write, Trust::Own, "neither resumed nor discarded", &[TrustLeftovers]),
            (owner, Believe, Trust::Anybody, "neither resumed nor discarded", &[TrustLeftovers]),
            (owner, Discard, Trust::Own, "neither resumed nor discarded", &[TrustLeftovers]),
            (owner, Keep, Trust::Own, "not taken for complete", &[Force, TrustLeftovers]),
            (links, Write, Trust::Own, "so it is not written", &[Restart]),
            (links, Believe, Trust::Own, "is not believed", &[Restart, TrustLeftovers]),
            (mode, Write, Trust::Own, "is not believed", &[Restart, TrustLeftovers]),
        ] {
            let said = refusal(Path::new("x"), doubt, purpose, trust);
            let Refusal::NotOurs { so, remedies: found, .. } = said else { panic!("{said:?}") };
            assert!(so.contains(expected), "{doubt:?} {purpose:?}: {so}");
            assert_eq!(found, remedies, "{doubt:?} {purpose:?}");
        }
    }
}
