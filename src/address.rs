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
const SECRETS: [&str; 10] = [
    "awsaccesskeyid",
    "code",
    "googleaccessid",
    "hdnea",
    "hdnts",
    "key-pair-id",
    "pass",
    "q-ak",
    "sid",
    "verify",
];

/// Ends of names of such parameters: better one too many that is not shown.
const SECRET_ENDS: [&str; 14] = [
    "auth",
    "authorization",
    "credential",
    "hash",
    "hmac",
    "jwt",
    "key",
    "password",
    "pwd",
    "secret",
    "session",
    "sig",
    "signature",
    "token",
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
    if let Some((scheme, rest)) = s3_parts(address) {
        // A key is taken as it is: every character of it is a part of the name.
        let (bucket, key) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let bucket = bucket.rsplit_once('@').map_or(bucket, |(_, bucket)| bucket);
        return format!("{scheme}://{bucket}{key}");
    }
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let rest = without_odd_password(rest);
    let rest = rest.split('#').next().unwrap_or_default();
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

/// `rest`, what follows the scheme of an address, without a password that should have
/// been encoded: before it ends, a character ends what looks like the server, which
/// then has a port that is not a number.
fn without_odd_password(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
    let has_server = |(_, server): (&str, &str)| !server.is_empty();
    let is_whole = authority.rsplit_once('@').is_some_and(has_server) || authority.ends_with(']');
    match rest.rsplit_once('@') {
        Some((_, host)) if !is_whole && port.contains(|c: char| !c.is_ascii_digit()) => host,
        _ => rest,
    }
}

/// The server of an address and how it is asked, `https://host:8443`; `None` if
/// it is not an address.
pub fn server(address: &str) -> Option<String> {
    let (scheme, rest) = address.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let is_one = SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known));
    (is_one && !host.is_empty()).then(|| format!("{scheme}://{host}").to_ascii_lowercase())
}

/// Scheme and rest of an address of S3.
fn s3_parts(address: &str) -> Option<(&str, &str)> {
    address.split_once("://").filter(|(scheme, _)| scheme.eq_ignore_ascii_case("s3"))
}

/// What asks for one version of an object of S3, at the end of its address.
const VERSION: &str = "?versionId=";

/// An address of S3 without the version that it may name, and that.
pub fn split_version(address: &str) -> (&str, Option<&str>) {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
    match address.rsplit_once(VERSION) {
        Some((address, version)) if !version.is_empty() && version.chars().all(is_plain) => {
            (address, Some(version))
        }
        _ => (address, None),
    }
}

fn name_of(parameter: &str) -> String {
    let name = parameter.split('=').next().unwrap_or_default();
    decode(name).unwrap_or_else(|| name.to_owned()).to_ascii_lowercase()
}

fn is_secret(parameter: &str) -> bool {
    let name = name_of(parameter);
    SECRETS.contains(&&*name)
        || SECRET_BEGINNINGS.iter().any(|begin| name.starts_with(begin))
        || SECRET_ENDS.iter().any(|end| name.ends_with(end))
}

/// What a copy of the thing at `address` is called in a directory: the last part
/// of its path, decoded where that gives a name that every system takes. `None`
/// where the address has no such part.
pub fn file_name(address: &str) -> Option<OsString> {
    if let Some((_, rest)) = s3_parts(split_version(address).0) {
        let (_, key) = rest.split_once('/')?;
        let last = key.rsplit('/').find(|part| !part.is_empty())?;
        return is_plain_name(last).then(|| OsString::from(last));
    }
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
    fn what_is_of_one_server_is_known_by_scheme_and_host() {
        let check = |address: &str, expected: Option<&str>| {
            assert_eq!(server(address).as_deref(), expected, "{address}");
        };
        check("HTTPS://me:secret@Host:8443/a/b?c", Some("https://host:8443"));
        check("http://host?x", Some("http://host"));
        check("/data/x", None);
        check("ftp://host/x", None);
        check("http:///x", None);
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
        check("https://host/a?Authorization=3_b2&id=5", "https://host/a?id=5");
        check("https://host/a?private_token=glpat&Key=k&X%2dAmz-Signature=s", "https://host/a");
        check("https://host/a?verify=17-hash&author=me", "https://host/a?author=me");
        // A password that should have been encoded.
        for password in ["se/cret", "se?cret", "se#cret", "se@/cret"] {
            check(&format!("https://me:{password}@host/a"), "https://host/a");
        }
        check("https://[::1]/a@b", "https://[::1]/a@b");
        check("https://host:8/a@b", "https://host:8/a@b");
        check("s3://key:secret@bucket/key", "s3://bucket/key");
        check("S3://bucket/a@b?token=x#y", "S3://bucket/a@b?token=x#y");
        check("s3://bucket", "s3://bucket");
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
        check("s3://bucket/folder/a#b%20c", Some("a#b%20c"));
        check("s3://bucket/folder/key?versionId=3HL4kqt", Some("key"));
        check("s3://bucket/what?", None);
        check("s3://bucket", None);
    }
}
