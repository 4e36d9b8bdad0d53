//! What can be asked of remote ends: connections, patience, and what a server
//! is told. Credentials are among it, which are never shown, and never stored
//! with the other options.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::S3;
use crate::error::{ErrorKind, Result};
use crate::pool::MOST_THREADS;

/// How often a request is repeated that a server could not answer, unless the
/// user says otherwise.
pub const MAX_RETRIES: u32 = 8;

/// How long a server may say nothing, unless the user says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The shortest and the longest time that a server may say nothing: with less, no
/// answer would come in time, and with more no clock could tell.
const SHORTEST_PATIENCE: Duration = Duration::from_millis(1);
const LONGEST_PATIENCE: Duration = Duration::from_secs(365 * 24 * 3600);

/// What can be asked of remote ends.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Remote {
    /// How many requests are under way at once. Default: as many as bring more.
    pub connections: Option<usize>,
    /// How often a request is repeated that failed on its way, or that the server
    /// could not answer at that moment. Default: [`MAX_RETRIES`].
    pub max_retries: u32,
    /// How long a server may say nothing. Default: [`PATIENCE`].
    #[serde(with = "super::seconds")]
    pub timeout: Duration,
    /// A file of certificates in PEM that are trusted instead of those that are
    /// built in. Default: none.
    pub ca_file: Option<PathBuf>,
    /// What every request says besides. Goes to the server that was named, and to
    /// none that it redirects to. Default: nothing.
    #[serde(skip)]
    pub headers: Vec<Header>,
    /// Names and passwords, by server. Default: none.
    #[serde(skip)]
    pub logins: Vec<Login>,
    /// Proxies. Default: none.
    #[serde(skip)]
    pub proxies: Proxies,
    /// How objects with an address `s3://BUCKET/KEY` are asked for.
    pub s3: S3,
}

impl Default for Remote {
    fn default() -> Remote {
        Remote {
            connections: None,
            max_retries: MAX_RETRIES,
            timeout: PATIENCE,
            ca_file: None,
            headers: Vec::new(),
            logins: Vec::new(),
            proxies: Proxies::default(),
            s3: S3::default(),
        }
    }
}

impl Remote {
    /// Refuses what cannot be.
    pub(crate) fn check(&self) -> Result<()> {
        match self.connections {
            Some(count) if !(1..=MOST_THREADS).contains(&count) => {
                let problem = format!("must be a number from 1 to {MOST_THREADS}, not {count}");
                Err(ErrorKind::usage_of(&["connections"], problem).into())
            }
            _ if !(SHORTEST_PATIENCE..=LONGEST_PATIENCE).contains(&self.timeout) => {
                let (least, most) = (SHORTEST_PATIENCE.as_millis(), LONGEST_PATIENCE.as_secs());
                let problem = format!(
                    "must be from {least} milliseconds to {most} seconds, not {:?}",
                    self.timeout
                );
                Err(ErrorKind::usage_of(&["timeout"], problem).into())
            }
            _ => Ok(()),
        }
    }
}

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text, for the server that it is meant for.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("...")
    }
}

/// A line of a request: a name, and a value that may be a credential.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// As in `Authorization`.
    pub name: String,
    /// What stands behind the colon.
    pub value: Secret,
}

/// What a request says by itself.
const OWN: [&str; 10] = [
    "accept-encoding",
    "connection",
    "content-length",
    "host",
    "if-match",
    "if-none-match",
    "if-range",
    "range",
    "te",
    "transfer-encoding",
];

impl FromStr for Header {
    type Err = String;

    /// `Name: value`. An error does not repeat the value.
    fn from_str(text: &str) -> std::result::Result<Header, String> {
        let Some((name, value)) = text.split_once(':') else {
            return Err("must be NAME: VALUE".to_owned());
        };
        let (name, value) = (name.trim(), value.trim());
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(is_token) {
            return Err("must be NAME: VALUE, and this is not a NAME".to_owned());
        }
        if OWN.contains(&&*name.to_ascii_lowercase()) {
            return Err(format!("cannot be {name}: the copy itself decides that"));
        }
        if value.chars().any(char::is_control) {
            return Err(format!("has a control character in the value of {name}"));
        }
        Ok(Header { name: name.to_owned(), value: Secret::new(value) })
    }
}

/// Name and password for a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Login {
    /// Its name, without a port; `None` for every server that has no other.
    pub host: Option<String>,
    /// Who asks.
    pub user: String,
    /// How that is shown to be true.
    pub password: Secret,
}

/// What requests go through, by what is asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Proxies {
    /// For `http:`, as an address that may hold a name and a password.
    pub http: Option<Secret>,
    /// For `https:`.
    pub https: Option<Secret>,
    /// Servers that are asked directly, separated by commas; `*` for all.
    pub except: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_a_name_and_a_value_that_is_not_shown() {
        let header: Header = "Authorization: Bearer a:b ".parse().unwrap();
        assert_eq!((&*header.name, header.value.reveal()), ("Authorization", "Bearer a:b"));
        assert!(!format!("{header:?}").contains("Bearer"));
        for wrong in ["none", ": x", "a b: x", "Range: bytes=0-1", "x: a\r\nb: c", "IF-MATCH: x"] {
            let error = wrong.parse::<Header>().unwrap_err();
            assert!(!error.contains("bytes=") && !error.contains("\r"), "{error}");
        }
        assert!("Empty:".parse::<Header>().is_ok());
    }

    #[test]
    fn credentials_are_not_stored() {
        let remote = Remote {
            headers: vec!["Authorization: Bearer secret".parse().unwrap()],
            logins: vec![Login { host: None, user: "me".into(), password: Secret::new("secret") }],
            ..Remote::default()
        };
        let text = serde_json::to_string(&remote).unwrap() + &format!("{remote:?}");
        assert!(!text.contains("secret"), "{text}");
        let back: Remote = serde_json::from_str(&serde_json::to_string(&remote).unwrap()).unwrap();
        assert_eq!(back, Remote::default());
    }
}
