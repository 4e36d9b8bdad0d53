//! Why an item is not as it should be, told twice: for people, and in a word that
//! stays.

use std::io;

use crate::error::{Error, chain};

/// What went wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Why {
    /// In a sentence.
    pub text: String,
    /// One of the words of [`ErrorKind::word`](crate::ErrorKind::word).
    pub word: &'static str,
}

/// What could not be made, written or given its name.
pub const DESTINATION: &str = "destination";

/// What could not be read.
pub const READ: &str = "read";

/// A digest is not the expected one.
pub const DIGEST: &str = "digest_mismatch";

/// What is there is not what was read from the source.
pub const DIFFERS: &str = "verify_mismatch";

impl Why {
    pub fn new(word: &'static str, text: impl Into<String>) -> Why {
        Why { text: text.into(), word }
    }

    /// Of a step that ended in `error`, which may be an error of ours inside one of
    /// the system; any other has this `word`.
    pub fn of_io(word: &'static str, error: &io::Error) -> Why {
        let ours = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        Why::new(ours.map_or(word, Error::word), chain(error))
    }

    /// The same said of something, such as where it was.
    pub fn said(self, say: impl FnOnce(String) -> String) -> Why {
        Why { text: say(self.text), word: self.word }
    }
}

impl From<&Error> for Why {
    fn from(error: &Error) -> Why {
        Why::new(error.word(), error.chain())
    }
}

/// Both forms of what went wrong, as reports have them.
pub fn told(why: Option<Why>) -> (Option<String>, Option<&'static str>) {
    why.map_or((None, None), |why| (Some(why.text), Some(why.word)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn an_error_of_ours_inside_one_of_the_system_keeps_its_word() {
        let ours = io::Error::other(Error::from(ErrorKind::Cancelled));
        assert_eq!(Why::of_io(READ, &ours).word, "cancelled");
        let theirs = io::Error::other("no");
        assert_eq!(Why::of_io(READ, &theirs), Why::new("read", "no"));
        let said = Why::new(DIFFERS, "a").said(|text| format!("in b: {text}"));
        assert_eq!(told(Some(said)), (Some("in b: a".to_owned()), Some("verify_mismatch")));
    }
}
