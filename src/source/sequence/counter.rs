//! The counter at the end of a name: what comes before it, what after it, and
//! what the name is without it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::sys;

/// A name that ends in a counter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counter {
    /// What is before the counter, with a dot if there is one.
    stem: Vec<u8>,
    /// Digits, or letters from `a` to `z`.
    digits: Vec<u8>,
}

/// Digits of the counters that names of pieces have.
const USUAL: usize = 3;

/// Most digits of a counter: what is longer is a date or another number.
const MOST: usize = 6;

impl Counter {
    /// What the end of the name of `path` may count, the likeliest first.
    pub fn all_of(path: &Path) -> Vec<Counter> {
        let Some(name) = path.file_name() else { return Vec::new() };
        let bytes = sys::bytes_of(name);
        let tail = |of: fn(&u8) -> bool| bytes.iter().rev().take_while(|byte| of(byte)).count();
        let (digits, letters) = (tail(u8::is_ascii_digit), tail(u8::is_ascii_lowercase));
        let after_dot = |len: usize| len < bytes.len() && bytes[bytes.len() - len - 1] == b'.';
        let widths: Vec<usize> = match (digits, letters) {
            (2..=MOST, _) => vec![digits],
            (0, 2..=MOST) if after_dot(letters) => vec![letters],
            (0, 3..) => vec![3, 2],
            (0, 2) => vec![2],
            _ => Vec::new(),
        };
        let cut = |width: usize| {
            let (stem, digits) = bytes.split_at(bytes.len() - width);
            let counter = Counter { stem: stem.to_vec(), digits: digits.to_vec() };
            // Without a dot, any word ends in letters: those of split(1) begin with a.
            let is_likely = match counter.is_number() {
                true => !counter.is_volume(),
                false => counter.is_after_dot() || digits[0] == b'a',
            };
            (is_likely && !stem.is_empty() && stem != b".").then_some(counter)
        };
        widths.into_iter().filter_map(cut).collect()
    }

    /// The same of `name`, if it counts in the same way.
    pub fn like(&self, name: &OsStr) -> Option<Counter> {
        let bytes = sys::bytes_of(name);
        let digits = bytes.strip_prefix(&self.stem[..])?.to_vec();
        let is_kind = |byte: &u8| match self.is_number() {
            true => byte.is_ascii_digit(),
            false => byte.is_ascii_lowercase(),
        };
        let is_wide = digits.len() == self.digits.len()
            || self.is_number() && digits.len() > self.digits.len() && digits[0] != b'0';
        (is_wide && digits.len() <= MOST && digits.iter().all(is_kind))
            .then(|| Counter { stem: self.stem.clone(), digits })
    }

    /// The name.
    pub fn name(&self) -> Option<OsString> {
        sys::os_string([&self.stem[..], &self.digits].concat())
    }

    fn is_number(&self) -> bool {
        self.digits[0].is_ascii_digit()
    }

    fn is_after_dot(&self) -> bool {
        self.stem.last() == Some(&b'.')
    }

    /// Whether it is one of a format that numbers its volumes, each of which has a
    /// head of its own: `.E01`, `.Ex01`, `.r00`, `.z01`.
    fn is_volume(&self) -> bool {
        let letters = self.stem.iter().rev().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let dot = self.stem.len().checked_sub(letters + 1).map(|at| self.stem[at]);
        (1..=2).contains(&letters) && dot == Some(b'.')
    }

    /// Whether pieces are usually called so, and other files seldom.
    pub fn is_usual(&self) -> bool {
        let is_wide = self.digits.len() >= USUAL;
        self.is_after_dot() && if self.is_number() { is_wide } else { self.is_first() }
    }

    /// Whether sets begin with it.
    pub fn is_first(&self) -> bool {
        let (last, rest) = self.digits.split_last().expect("there are two digits");
        match self.is_number() {
            true => rest.iter().all(|digit| *digit == b'0') && matches!(last, b'0' | b'1'),
            false => self.digits.iter().all(|digit| *digit == b'a'),
        }
    }

    /// The counters that may come next.
    pub fn followers(&self) -> Vec<Counter> {
        let with = |digits: Vec<u8>| Counter { stem: self.stem.clone(), digits };
        let (zero, last) = if self.is_number() { (b'0', b'9') } else { (b'a', b'z') };
        let mut next = Vec::new();
        let mut digits = self.digits.clone();
        let kept = digits.iter().rposition(|digit| *digit != last);
        match kept {
            Some(at) => {
                digits[at] += 1;
                digits[at + 1..].fill(zero);
                next.push(with(digits));
            }
            None if self.is_number() => {
                digits.fill(b'0');
                digits.insert(0, b'1');
                next.push(with(digits));
            }
            None => {}
        }
        // As split(1) goes on: yz, zaaa; 89, 9000.
        let lasts = self.digits.iter().take_while(|digit| **digit == last).count();
        let rest = &self.digits[lasts..];
        if rest.first() == Some(&(last - 1)) && rest[1..].iter().all(|digit| *digit == last) {
            let mut longer = vec![last; lasts + 1];
            longer.resize(longer.len() + rest.len() + 1, zero);
            next.push(with(longer));
        }
        next
    }

    /// The counter before it.
    pub fn predecessor(&self) -> Option<Counter> {
        let (zero, last) = if self.is_number() { (b'0', b'9') } else { (b'a', b'z') };
        let mut digits = self.digits.clone();
        let kept = digits.iter().rposition(|digit| *digit != zero)?;
        digits[kept] -= 1;
        digits[kept + 1..].fill(last);
        // 1000 comes after 999.
        if self.is_number() && digits.len() > USUAL && self.digits[0] == b'1' && kept == 0 {
            digits.remove(0);
        }
        Some(Counter { stem: self.stem.clone(), digits })
    }
}

/// `path` without its counter, and the dot before that: what the whole is called.
/// `path` itself if nothing else would be left.
pub(crate) fn without_counter(path: &Path) -> PathBuf {
    let Some(counter) = Counter::all_of(path).into_iter().next() else { return path.to_owned() };
    let stem = counter.stem.strip_suffix(b".").unwrap_or(&counter.stem).to_vec();
    match sys::os_string(stem).filter(|stem| !stem.is_empty()) {
        Some(stem) => path.with_file_name(stem),
        None => path.to_owned(),
    }
}

/// The name of segment `number`, from 0, of the file `name`: `NAME.001` is the
/// first. After `NAME.999` comes `NAME.1000`, as FTK and dcfldd have it.
pub(crate) fn nth(name: &OsStr, number: u64) -> OsString {
    let mut segment = name.to_owned();
    segment.push(format!(".{:03}", number.saturating_add(1)));
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(name: &str) -> Counter {
        Counter::all_of(Path::new(name)).into_iter().next().expect("a counter")
    }

    #[test]
    fn counters_go_on_as_those_who_write_them_have_it() {
        let check = |name: &str, next: &[&str]| {
            let found: Vec<_> =
                counter(name).followers().iter().filter_map(Counter::name).collect();
            assert_eq!(found, next, "{name}");
        };
        check("d.001", &["d.002"]);
        check("d.099", &["d.100"]);
        check("d.999", &["d.1000"]);
        check("d.aa", &["d.ab"]);
        check("d.az", &["d.ba"]);
        check("d.yz", &["d.za", "d.zaaa"]);
        check("d.zyzz", &["d.zzaa", "d.zzaaaa"]);
        check("d.zz", &[]);
        check("x89", &["x90", "x9000"]);
    }

    #[test]
    fn volumes_of_other_formats_are_not_counted() {
        for name in ["d.E01", "d.Ex01", "d.r00", "d.z01", "d.L01", "d.img", "d", "d.1", "x.gz"] {
            let path = Path::new(name);
            let numbers = Counter::all_of(path).iter().filter(|found| found.is_number()).count();
            assert_eq!(numbers, 0, "{name}");
        }
    }

    #[test]
    fn counters_go_back_to_the_first() {
        let check = |name: &str, before: Option<&str>| {
            let found = counter(name).predecessor().and_then(|counter| counter.name());
            assert_eq!(found, before.map(OsString::from), "{name}");
        };
        check("d.001", Some("d.000"));
        check("d.000", None);
        check("d.1000", Some("d.999"));
        check("d.1001", Some("d.1000"));
        check("d.0100", Some("d.0099"));
        check("d.ba", Some("d.az"));
        check("d.aa", None);
    }

    #[test]
    fn a_whole_is_called_as_its_pieces_without_the_counter() {
        let check = |name: &str, want: &str| {
            assert_eq!(without_counter(Path::new(name)), Path::new(want));
        };
        check("a/d.img.001", "a/d.img");
        check("d.aa", "d");
        check("xaa", "x");
        check("d_001", "d_");
        check(".001", ".001");
        check("x", "x");
        assert_eq!(nth(OsStr::new("d"), 0), "d.001");
        assert_eq!(nth(OsStr::new("d"), 998), "d.999");
        assert_eq!(nth(OsStr::new("d"), 999), "d.1000");
    }
}
