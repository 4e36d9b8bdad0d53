//! Cuts JSON into the objects of a list: one a line, or written over several
//! lines, or in an array. What stands in an object is nothing to this room; it
//! only knows texts and brackets, and that neither may be too long or too deep.
//!
//! A line that ends in the middle of an object is an object of its own, and
//! malformed, unless its end says that more is to come: only so one bad line
//! does not take the good ones after it along.

use std::io::BufRead;

use super::super::LONGEST_TEXT;

/// The longest object taken: a file in millions of runs fits, and an object
/// without an end does not fill the memory.
const LONGEST: usize = 256 << 20;

/// The deepest nesting taken.
const DEEPEST: usize = 64;

/// The objects of a list.
pub(super) struct Objects<'r> {
    input: &'r mut dyn BufRead,
    object: Vec<u8>,
    state: State,
    /// The line at hand, and that of the object at hand.
    line: u64,
    first: u64,
    /// Whether an array has begun and not ended.
    in_array: bool,
}

#[derive(Clone, Copy)]
enum State {
    Between,
    Comment,
    /// After an object, or in something that is none: to the end of the line.
    Rest,
    Object {
        depth: usize,
        /// The last byte that is not a blank, while this is the first line.
        last: Option<u8>,
    },
    Text {
        depth: usize,
        len: usize,
        escaped: bool,
        last: Option<u8>,
    },
}

/// What becomes of a byte.
enum Step {
    Skip,
    Take,
    /// The object ends with it, or before it.
    TakeAndCut,
    Cut,
}

/// Why no more can be read, and where.
pub(super) type Broken = (u64, String);

impl<'r> Objects<'r> {
    /// The objects of `input`.
    pub(super) fn new(input: &'r mut dyn BufRead) -> Objects<'r> {
        let state = State::Between;
        Objects { input, object: Vec::new(), state, line: 1, first: 1, in_array: false }
    }

    /// The next object and the line it begins on.
    pub(super) fn next(&mut self) -> Result<Option<(u64, &[u8])>, Broken> {
        self.object.clear();
        loop {
            let chunk = match self.input.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) => {
                    return Err((self.line, format!("cannot read the manifest: {error}")));
                }
            };
            if chunk.is_empty() {
                return self.end();
            }
            let mut scan = Scan {
                state: self.state,
                line: self.line,
                first: self.first,
                in_array: self.in_array,
            };
            let (mut used, mut cut, mut wrong) = (0, false, None);
            for &byte in chunk {
                used += 1;
                match scan.step(byte) {
                    Ok(Step::Skip) => {}
                    Ok(Step::Take) => self.object.push(byte),
                    Ok(Step::TakeAndCut) => {
                        self.object.push(byte);
                        cut = true;
                    }
                    Ok(Step::Cut) => cut = true,
                    Err(why) => wrong = Some(why.to_owned()),
                }
                if cut || wrong.is_some() {
                    break;
                }
            }
            let Scan { state, line, first, in_array } = scan;
            (self.state, self.line, self.first, self.in_array) = (state, line, first, in_array);
            self.input.consume(used);
            if self.object.len() > LONGEST {
                wrong = Some("an object is longer than 256 MiB".to_owned());
            }
            if let Some(why) = wrong {
                return Err((self.first, why));
            }
            if cut {
                return Ok(Some((self.first, &self.object)));
            }
        }
    }

    /// The input has ended.
    fn end(&mut self) -> Result<Option<(u64, &[u8])>, Broken> {
        self.state = State::Between;
        if !self.object.is_empty() {
            return Ok(Some((self.first, &self.object)));
        }
        match self.in_array {
            true => Err((self.line, "the array has no end: the list was cut off".to_owned())),
            false => Ok(None),
        }
    }
}

struct Scan {
    state: State,
    line: u64,
    first: u64,
    in_array: bool,
}

impl Scan {
    fn step(&mut self, byte: u8) -> Result<Step, &'static str> {
        self.line += u64::from(byte == b'\n');
        match self.state {
            State::Between => Ok(self.between(byte)),
            State::Comment => {
                if byte == b'\n' {
                    self.state = State::Between;
                }
                Ok(Step::Skip)
            }
            State::Rest if byte == b'\n' => {
                self.state = State::Between;
                Ok(Step::Cut)
            }
            State::Rest => Ok(Step::Take),
            State::Object { depth, last } => self.inside(byte, depth, last),
            State::Text { depth, last, .. } if byte == b'"' && !self.is_escaped() => {
                self.state = State::Object { depth, last };
                Ok(Step::Take)
            }
            // A text has no line ends: something is wrong with this line alone.
            State::Text { .. } if byte == b'\n' => {
                self.state = State::Between;
                Ok(Step::Cut)
            }
            State::Text { len, .. } if len == LONGEST_TEXT => Err("a text is longer than 64 KiB"),
            State::Text { depth, len, escaped, last } => {
                let escaped = byte == b'\\' && !escaped;
                self.state = State::Text { depth, len: len + 1, escaped, last };
                Ok(Step::Take)
            }
        }
    }

    fn is_escaped(&self) -> bool {
        matches!(self.state, State::Text { escaped: true, .. })
    }

    fn between(&mut self, byte: u8) -> Step {
        match byte {
            b'#' => self.state = State::Comment,
            b'[' if !self.in_array => self.in_array = true,
            b']' if self.in_array => self.in_array = false,
            b',' if self.in_array => {}
            _ if byte.is_ascii_whitespace() => {}
            _ => {
                self.first = self.line;
                self.state = match byte {
                    b'{' => State::Object { depth: 1, last: Some(byte) },
                    _ => State::Rest,
                };
                return Step::Take;
            }
        }
        Step::Skip
    }

    /// Inside an object, outside its texts.
    fn inside(&mut self, byte: u8, depth: usize, last: Option<u8>) -> Result<Step, &'static str> {
        let seen = last.map(|last| if byte.is_ascii_whitespace() { last } else { byte });
        let depth = match byte {
            b'{' | b'[' => depth + 1,
            b'}' | b']' => depth - 1,
            _ => depth,
        };
        self.state = State::Object { depth, last: seen };
        match byte {
            b'"' => {
                self.state = State::Text { depth, len: 0, escaped: false, last: seen };
            }
            _ if depth > DEEPEST => return Err("objects are nested too deep"),
            _ if depth == 0 && self.in_array => {
                self.state = State::Between;
                return Ok(Step::TakeAndCut);
            }
            _ if depth == 0 => self.state = State::Rest,
            b'\n' => {
                let goes_on = last.is_none_or(|last| b"{[,:".contains(&last));
                if !goes_on && !self.in_array {
                    self.state = State::Between;
                    return Ok(Step::Cut);
                }
                // Only the first line can be one of its own.
                self.state = State::Object { depth, last: None };
            }
            _ => {}
        }
        Ok(Step::Take)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &[(u64, &str)]) {
        for size in [1, 3, 1 << 16] {
            let mut input = std::io::BufReader::with_capacity(size, text.as_bytes());
            let mut objects = Objects::new(&mut input);
            let mut found = Vec::new();
            while let Some((line, object)) = objects.next().unwrap() {
                found.push((line, String::from_utf8(object.to_owned()).unwrap()));
            }
            let found: Vec<(u64, &str)> = found.iter().map(|(n, o)| (*n, o.as_str())).collect();
            assert_eq!(found, want, "{text:?} in pieces of {size}");
        }
    }

    #[test]
    fn objects_are_found_however_they_are_written() {
        check("", &[]);
        check("{}\n\n# x\n{\"a\":1}\n", &[(1, "{}"), (4, "{\"a\":1}")]);
        check("{\"a\":\"}\\\"{\"}", &[(1, "{\"a\":\"}\\\"{\"}")]);
        check("[{\"a\":1},\n {\"a\":2}]\n", &[(1, "{\"a\":1}"), (2, "{\"a\":2}")]);
        check("[\n{\n\"a\":1\n}\n]", &[(2, "{\n\"a\":1\n}")]);
        check("{\n\"a\":1\n}\n{}\n", &[(1, "{\n\"a\":1\n}"), (4, "{}")]);
        check("{ \"a\":[1,\n2]}\n", &[(1, "{ \"a\":[1,\n2]}")]);
        check("[]", &[]);
        check("{} {}\nx\n", &[(1, "{} {}"), (2, "x")]);
    }

    #[test]
    fn a_bad_line_takes_no_good_one_along() {
        check("{\"a\":1\n{\"b\":2}\n", &[(1, "{\"a\":1"), (2, "{\"b\":2}")]);
        check("{\"a\":\"x\n{\"b\":2}\n", &[(1, "{\"a\":\"x"), (2, "{\"b\":2}")]);
        check("{\"a\":1}x\n{}\n", &[(1, "{\"a\":1}x"), (2, "{}")]);
    }

    #[test]
    fn what_is_too_long_or_too_deep_ends_it() {
        let check = |text: String, want: &str| {
            let mut input = text.as_bytes();
            let (line, why) = Objects::new(&mut input).next().unwrap_err();
            assert!(line == 1 && why.contains(want), "{line} {why}");
        };
        check(format!("{{\"{}", "x".repeat(LONGEST_TEXT + 1)), "64 KiB");
        check(format!("{{\"a\":{}", "[".repeat(100)), "too deep");
        let mut cut = &b"[{}"[..];
        let mut objects = Objects::new(&mut cut);
        assert!(objects.next().unwrap().is_some());
        assert!(objects.next().unwrap_err().1.contains("cut off"));
    }
}
