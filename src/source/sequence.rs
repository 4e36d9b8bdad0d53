//! Which files are the pieces of one that was split, by their names and sizes.
//!
//! A name ends in a counter: `NAME.001` as FTK, dcfldd, dc3dd and pcopy write it,
//! `NAME.000` as guymager does, `NAME.aa`, `xaa` and `x00` as split(1) does, with
//! counters that grow at their end (`.999`, `.1000`; `yz`, `zaaa`). Names alone
//! say little: pictures and logs are numbered as well. So sizes decide: all
//! pieces but the last have one length, and the last is not longer. This room
//! opens nothing.

mod counter;

use std::path::{Path, PathBuf};

use crate::error::{Refusal, Remedy, SplitRefusal, quoted};
use crate::sys::{self, Directory, FileKind};
use crate::words::words;
use counter::Counter;
pub(crate) use counter::{nth, without_counter};

words! {
    /// Whether the pieces of a file that was split are read as one.
    #[derive(Default)]
    pub enum Join {
        /// If names and sizes show that it was split.
        #[default]
        Auto = "auto",
        /// Join the pieces that follow it, whatever their sizes are.
        Always = "always",
        /// Read the named file by itself.
        Never = "never",
    }
}

/// Bytes that the pieces of split images are a multiple of.
const SECTOR: u64 = 512;

/// A file by its counter.
#[derive(Clone, Debug)]
struct Piece {
    counter: Counter,
    path: PathBuf,
    size: u64,
}

/// The files that are read where `path`, which has `size` bytes, is named: those
/// that it begins, or none if it is read by itself.
///
/// # Errors
///
/// [`SplitRefusal::Piece`], if it is one of several and not all of them are there, or
/// it is not the first.
pub fn pieces(path: &Path, size: u64, join: Join) -> Result<Vec<PathBuf>, Refusal> {
    let paths = |run: &[Piece]| run.iter().map(|piece| piece.path.clone()).collect();
    match join {
        Join::Never => Ok(Vec::new()),
        Join::Always => {
            let runs =
                Counter::all_of(path).into_iter().map(|counter| Run::after(counter, path, size));
            let longest = runs.max_by_key(|run| run.pieces.len());
            Ok(longest.map_or_else(Vec::new, |run| paths(&run.pieces)))
        }
        Join::Auto => {
            for counter in Counter::all_of(path) {
                let run = Run::around(counter, path, size);
                if let Some(found) = run.judge()? {
                    return Ok(paths(found));
                }
            }
            Ok(Vec::new())
        }
    }
}

/// Files whose counters follow each other.
struct Run {
    pieces: Vec<Piece>,
    /// Which of them was named.
    named: usize,
}

impl Run {
    /// The file that was named, and those after it.
    fn after(counter: Counter, path: &Path, size: u64) -> Run {
        let mut pieces = vec![Piece { counter, path: path.to_owned(), size }];
        while let Some(next) = pieces.last().and_then(|last| last.next()) {
            pieces.push(next);
        }
        Run { pieces, named: 0 }
    }

    /// The same with those before it.
    fn around(counter: Counter, path: &Path, size: u64) -> Run {
        let mut run = Run::after(counter, path, size);
        while let Some(before) = run.pieces.first().and_then(Piece::before) {
            run.pieces.insert(0, before);
            run.named += 1;
        }
        run
    }

    /// The pieces, if they are some of one file.
    fn judge(&self) -> Result<Option<&[Piece]>, Refusal> {
        let (first, named) = (&self.pieces[0], &self.pieces[self.named]);
        let is_usual = named.counter.is_usual();
        if first.size == 0 || named.size == 0 {
            return Ok(None);
        }
        let [.., last] = &self.pieces[..] else { return Ok(None) };
        let name = |piece: &Piece| quoted(&piece.path).to_string();
        if self.pieces.len() == 1 {
            // Alone, unless one of the same length is there with a gap between.
            let stranger = if is_usual { self.stranger(|size| size == first.size) } else { None };
            return stranger.map_or(Ok(None), |other| {
                let what =
                    format!("{} is as long, and what is between them is missing", name(&other));
                Err(refusal(&named.path, what, &[Remedy::JoinNever]))
            });
        }
        if let Some(doubt) = self.doubt() {
            return match is_usual && self.named == 0 && first.counter.is_first() {
                true => doubt.map_or(Ok(None), |what| {
                    let remedies = &[Remedy::JoinAlways, Remedy::JoinNever];
                    Err(refusal(&named.path, what, remedies))
                }),
                false => Ok(None),
            };
        }
        if self.named > 0 {
            let what = format!("it is a piece of the file that begins with {}", name(first));
            return Err(refusal(&named.path, what, &[Remedy::JoinNever]));
        }
        if !first.counter.is_first() {
            let what = "what comes before it is missing".to_owned();
            let remedies = &[Remedy::JoinAlways, Remedy::JoinNever];
            return if is_usual { Err(refusal(&named.path, what, remedies)) } else { Ok(None) };
        }
        let gap =
            if last.size == first.size { self.stranger(|size| size <= first.size) } else { None };
        match gap {
            None => Ok(Some(&self.pieces)),
            Some(other) => {
                let what =
                    format!("what comes between {} and {} is missing", name(last), name(&other));
                Err(refusal(&named.path, what, &[Remedy::JoinAlways, Remedy::JoinNever]))
            }
        }
    }

    /// Why the lengths do not show that these are pieces, if they do not. What speaks
    /// against it is said where other things speak for it.
    fn doubt(&self) -> Option<Option<String>> {
        let first = &self.pieces[0];
        let last = self.pieces.last().unwrap_or(first);
        let name = |piece: &Piece| quoted(&piece.path).to_string();
        match self.misfit() {
            None if self.is_certain() => None,
            None => Some(Some(format!("it may be one file with {}, or not", name(last)))),
            Some(piece) if self.has_two_of_a_length() && self.pieces[1].size <= first.size => {
                let (len, of_first) = (piece.size, first.size);
                Some(Some(format!(
                    "{} has {len} bytes, and {} has {of_first}: of a file that was split, only the \
                     last piece is shorter",
                    name(piece),
                    name(first)
                )))
            }
            Some(_) => Some(None),
        }
    }

    /// The first that does not have the length of a piece.
    fn misfit(&self) -> Option<&Piece> {
        let (last, rest) = self.pieces.split_last()?;
        let len = self.pieces[0].size;
        let is_bad = |piece: &&Piece| piece.size != len || len == 0;
        rest.iter()
            .find(is_bad)
            .or_else(|| Some(last).filter(|last| last.size > len || last.size == 0))
    }

    /// Whether it is not an accident that the lengths fit.
    fn is_certain(&self) -> bool {
        let len = self.pieces[0].size;
        let is_usual = self.pieces[0].counter.is_usual();
        self.pieces.len() > 2
            || self.pieces[1].size == len
            || is_usual && len.is_multiple_of(SECTOR)
    }

    fn has_two_of_a_length(&self) -> bool {
        let len = self.pieces[0].size;
        self.pieces.iter().filter(|piece| piece.size == len).count() > 1
    }

    /// A file with another counter of the same kind, of a length that `fits`.
    fn stranger(&self, fits: impl Fn(u64) -> bool) -> Option<Piece> {
        let first = &self.pieces[0];
        let folder = first.path.parent().unwrap_or(Path::new(""));
        let known = |counter: &Counter| self.pieces.iter().any(|piece| piece.counter == *counter);
        let wanted = |name: &std::ffi::OsStr| {
            first.counter.like(name).is_some_and(|counter| !known(&counter))
        };
        let names = Directory::open(folder).and_then(|folder| folder.names(wanted)).ok()?;
        let pieces =
            names.iter().filter_map(|name| piece(first.counter.like(name)?, folder.join(name)));
        let mut found: Vec<Piece> =
            pieces.filter(|piece| piece.size > 0 && fits(piece.size)).collect();
        found.sort_by(|one, other| one.path.cmp(&other.path));
        found.into_iter().next()
    }
}

impl Piece {
    fn next(&self) -> Option<Piece> {
        self.counter.followers().into_iter().find_map(|counter| self.beside(counter))
    }

    fn before(&self) -> Option<Piece> {
        self.counter.predecessor().and_then(|counter| self.beside(counter))
    }

    fn beside(&self, counter: Counter) -> Option<Piece> {
        let path = self.path.with_file_name(counter.name()?);
        piece(counter, path)
    }
}

/// The file at `path`, if there is one.
fn piece(counter: Counter, path: PathBuf) -> Option<Piece> {
    let facts = sys::facts_of_path(&path).ok()??;
    (facts.node == FileKind::File).then_some(Piece { counter, path, size: facts.size })
}

fn refusal(path: &Path, what: String, remedies: &'static [Remedy]) -> Refusal {
    SplitRefusal::Piece { path: path.to_owned(), what, remedies }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of `named` among `files`: how many are joined, or a word of the
    /// refusal.
    fn check(files: &[(&str, usize)], join: Join, named: &str, want: Result<usize, &str>) {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, size) in files {
            std::fs::write(folder.path().join(name), vec![1; *size]).expect("a file");
        }
        let path = folder.path().join(named);
        let size = path.metadata().expect("its facts").len();
        let found = pieces(&path, size, join);
        match (&found, want) {
            (Ok(found), Ok(want)) => assert_eq!(found.len(), want, "{named} of {files:?}"),
            (Err(error), Err(want)) => {
                assert!(error.to_string().contains(want), "{named} of {files:?}: {error}");
            }
            _ => panic!("{named} of {files:?}: {found:?}"),
        }
    }

    fn auto(files: &[(&str, usize)], named: &str, want: Result<usize, &str>) {
        check(files, Join::Auto, named, want);
    }

    #[test]
    fn pieces_are_told_by_names_and_sizes() {
        auto(&[("d.001", 1000)], "d.001", Ok(0));
        let three = [("d.001", 1000), ("d.002", 1000), ("d.003", 10)];
        auto(&three, "d.001", Ok(3));
        auto(&three, "d.002", Err("begins with"));
        auto(&three, "d.003", Err("begins with"));
        auto(&[("d.000", 5), ("d.001", 5)], "d.000", Ok(2));
        auto(&[("d.aa", 5), ("d.ab", 5), ("d.ac", 1)], "d.aa", Ok(3));
        auto(&[("xaa", 5), ("xab", 5), ("xac", 1)], "xaa", Ok(3));
        auto(&[("xaaa", 5), ("xaab", 5)], "xaaa", Ok(2));
        auto(&[("x00", 5), ("x01", 5), ("x02", 1)], "x00", Ok(3));
        auto(&[("d.0000", 5), ("d.0001", 5)], "d.0000", Ok(2));
        auto(&[("d_001", 5), ("d_002", 5)], "d_001", Ok(2));
        auto(&[("xaa", 5), ("xab", 5)], "xab", Err("begins with"));
    }

    #[test]
    fn two_of_different_lengths_are_pieces_if_the_first_has_whole_sectors() {
        auto(&[("d.001", 1024), ("d.002", 10)], "d.001", Ok(2));
        auto(&[("d.001", 1000), ("d.002", 10)], "d.001", Err("or not"));
        auto(&[("d.001", 1000), ("d.002", 10)], "d.002", Ok(0));
        auto(&[("photo00", 1024), ("photo01", 10)], "photo00", Ok(0));
    }

    #[test]
    fn files_of_any_length_are_no_pieces() {
        auto(&[("log.001", 10), ("log.002", 1000)], "log.001", Ok(0));
        auto(&[("log.001", 10), ("log.002", 1000)], "log.002", Ok(0));
        auto(&[("d.001", 1024), ("d.002", 0)], "d.001", Ok(0));
        auto(&[("d.001", 0), ("d.002", 0)], "d.001", Ok(0));
        auto(&[("d.img", 10), ("d.imh", 10)], "d.img", Ok(0));
        auto(&[("banana", 5), ("bananb", 5)], "banana", Ok(0));
        auto(&[("v1.20240101", 5), ("v1.20240102", 5)], "v1.20240101", Ok(0));
        auto(&[("d.001", 3), ("d.002", 2), ("d.003", 1)], "d.001", Ok(0));
    }

    #[test]
    fn what_is_missing_or_does_not_fit_is_refused() {
        auto(&[("d.001", 5), ("d.002", 5), ("d.004", 5)], "d.001", Err("is missing"));
        auto(&[("d.001", 5), ("d.003", 5)], "d.001", Err("is missing"));
        auto(&[("d.002", 5), ("d.003", 5)], "d.002", Err("before it is missing"));
        auto(&[("d.001", 9), ("d.002", 5), ("d.003", 9)], "d.001", Err("has 5 bytes"));
        auto(&[("d.001", 9), ("d.002", 9), ("d.003", 10)], "d.001", Err("has 10 bytes"));
        // After a last piece that is shorter, nothing is missing.
        auto(&[("d.001", 5), ("d.002", 5), ("d.003", 1), ("d.009", 5)], "d.001", Ok(3));
    }

    #[test]
    fn the_caller_may_insist() {
        let odd = [("d.001", 9), ("d.002", 5), ("d.003", 9), ("d.005", 9)];
        check(&odd, Join::Always, "d.001", Ok(3));
        check(&odd, Join::Always, "d.002", Ok(2));
        check(&odd, Join::Always, "d.005", Ok(1));
        check(&odd, Join::Never, "d.001", Ok(0));
        check(&[("d", 5)], Join::Always, "d", Ok(0));
        check(&[("d.001", 5), ("d.002", 5)], Join::Never, "d.002", Ok(0));
    }
}
