//! Addresses of remote ends, as text: which names are addresses, what of them
//! may be shown, and what a copy of one is called.
//!
//! User names, passwords and signatures in an address are credentials. They are
//! never part of a message, a report or a map. This room makes no connection, and
//! is there also where no kind of remote end is built in, because an address is
//! then refused by its name.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Schemes of remote ends, in lower case.
const SCHEMES: [&str; 3] = ["http", "https", "s3"];

/// Parameters of a query that are credentials wherever they stand, in lower case.
const SECRETS: [&str; 15] = [
    "access_token",
    "api_key",
    "apikey",
    "auth",
    "awsaccesskeyid",
    "googleaccessid",
    "key-pair-id",
    "password",
    "q-ak",
    "q-signature",
    "secret",
    "sig",
    "signature",
    "token",
    "x-token",
];

/// Beginnings of such parameters.
const SECRET_BEGINNINGS: [&str; 4] = ["x-amz-", "x-goog-", "x-oss-", "x-cos-"];

/// Parameters that belong to a signature, and mean nothing without one.
const OF_A_SIGNATURE: [&str; 20] = [
    "expires",
    "ossaccesskeyid",
    "policy",
    "q-header-list",
    "q-key-time",
    "q-sign-algorithm",
    "q-sign-time",
    "q-url-param-list",
    "se",
    "sip",
    "ske",
    "skoid",
    "sks",
    "skt",
    "sktid",
    "skv",
    "sp",
    "spr",
    "sr",
    "st",
];

/// The scheme of an address of a remote end, in lower case; `None` for every
/// other name.
pub fn scheme(path: &Path) -> Option<&'static str> {
    let (scheme, rest) = path.to_str()?.split_once("://")?;
    let known = SCHEMES.into_iter().find(|known| scheme.eq_ignore_ascii_case(known))?;
    (!rest.is_empty()).then_some(known)
}

/// `path` as it may be shown: an address without its credentials, every other
/// name as it is.
pub fn shown(path: &Path) -> Cow<'_, Path> {
    match path.to_str().filter(|_| scheme(path).is_some()) {
        Some(text) => Cow::Owned(PathBuf::from(without_credentials(text))),
        None => Cow::Borrowed(path),
    }
}

/// The same of an address as text, and without the part behind `#`, which no
/// server sees.
pub fn without_credentials(address: &str) -> String {
    let address = address.split('#').next().unwrap_or_default();
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let parameters: Vec<&str> = query.split('&').filter(|one| !one.is_empty()).collect();
    let is_signed = parameters.iter().any(|one| is_secret(one));
    let belongs = |one: &str| is_signed && OF_A_SIGNATURE.contains(&&*name_of(one));
    let is_shown = |one: &&&str| !is_secret(one) && !belongs(one);
    let left: Vec<&str> = parameters.iter().filter(is_shown).copied().collect();
    let mark = if left.is_empty() { "" } else { "?" };
    format!("{scheme}://{host}{path}{mark}{}", left.join("&"))
}

fn name_of(parameter: &str) -> String {
    parameter.split('=').next().unwrap_or_default().to_ascii_lowercase()
}

fn is_secret(parameter: &str) -> bool {
    let name = name_of(parameter);
    SECRETS.contains(&&*name) || SECRET_BEGINNINGS.iter().any(|begin| name.starts_with(begin))
}

/// What a copy of the thing at `address` is called in a directory: the last part
/// of its path, decoded where that gives a name that every system takes. `None`
/// where the address has no such part.
pub fn file_name(address: &str) -> Option<OsString> {
    let address = address.split(['#', '?']).next()?;
    let (_, rest) = address.split_once("://")?;
    let (_, path) = rest.split_once('/')?;
    let last = path.rsplit('/').find(|part| !part.is_empty())?;
    let decoded = decode(last).filter(|name| is_plain_name(name));
    let name = decoded.or_else(|| is_plain_name(last).then(|| last.to_owned()))?;
    Some(OsString::from(name))
}

/// Whether `name` is a file of that name in whatever directory it is put.
fn is_plain_name(name: &str) -> bool {
    let is_odd = |c: char| c.is_control() || "/\\:*?\"<>|".contains(c);
    !name.is_empty()
        && name != "."
        && name != ".."
        && !name.ends_with([' ', '.'])
        && !name.contains(is_odd)
}

/// `text` with its `%41` decoded; `None` where that is not UTF-8.
pub fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match (byte, digit(ahead.next()), digit(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = ahead;
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_have_a_scheme() {
        let check = |name: &str, expected| assert_eq!(scheme(Path::new(name)), expected, "{name}");
        check("http://host/x", Some("http"));
        check("HTTPS://host/x", Some("https"));
        check("s3://bucket/key", Some("s3"));
        check("ftp://host/x", None);
        check("https:", None);
        check("https://", None);
        check("./https://host/x", None);
        check("/data/disk.img", None);
    }

    #[test]
    fn credentials_are_not_shown() {
        let check = |address: &str, expected| {
            assert_eq!(shown(Path::new(address)), Path::new(expected), "{address}");
        };
        check("https://host/a.img", "https://host/a.img");
        check("https://me:secret@host:8/a?x=1&y=2", "https://host:8/a?x=1&y=2");
        check("https://me@host?x", "https://host?x");
        check("https://host/a@b/c", "https://host/a@b/c");
        check("https://a@b@host/", "https://host/");
        check(
            "https://host/a?X-Amz-Signature=ab&X-Amz-Date=1&versionId=7",
            "https://host/a?versionId=7",
        );
        check("https://host/a?sv=1&sp=r&se=2&sig=x%3D", "https://host/a?sv=1");
        // Without a signature, these are anything.
        check("https://host/a?sp=r&expires=never", "https://host/a?sp=r&expires=never");
        check("https://host/a?TOKEN=x#part", "https://host/a");
        check("s3://key:secret@bucket/key", "s3://bucket/key");
        check("/data/me:secret@host", "/data/me:secret@host");
    }

    #[test]
    fn a_copy_is_called_as_the_last_part_of_the_path() {
        let check = |address: &str, expected: Option<&str>| {
            assert_eq!(file_name(address), expected.map(OsString::from), "{address}");
        };
        check("https://host/a/disk.img", Some("disk.img"));
        check("https://host/a/disk%20one.img?x=/y#z", Some("disk one.img"));
        check("https://host/gr%C3%B6%C3%9Fe", Some("größe"));
        check("https://host/a/", Some("a"));
        check("https://host/", None);
        check("https://host", None);
        check("https://host?x=/y", None);
        // What would leave the directory, or be no file on another system.
        check("https://host/a/..", None);
        check("https://host/a/%2e%2E", Some("%2e%2E"));
        check("https://host/..%2f..%2Fetc%2fpasswd", Some("..%2f..%2Fetc%2fpasswd"));
        check("https://host/a%00b", Some("a%00b"));
        check("https://host/a%5Cb", Some("a%5Cb"));
        check("https://host/%ff", Some("%ff"));
        check("https://host/100%", Some("100%"));
        check("s3://bucket/folder/key", Some("key"));
    }
}
