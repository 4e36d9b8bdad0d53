//! Which object an address means: bucket, key, version. The key is taken as it
//! stands there, as every tool for S3 takes it. No server is known here.

use std::path::PathBuf;

use crate::address::split_version;

/// The longest key there is, in bytes.
const LONGEST_KEY: usize = 1024;

/// An object, or the beginning of the names of some.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    pub bucket: String,
    /// Empty, or with a slash at its end, where no object is named.
    pub key: String,
    pub version: Option<String>,
}

impl Place {
    /// The one that `address` means.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words that follow it.
    pub fn new(address: &str) -> Result<Place, String> {
        let (address, version) = split_version(address);
        let (_, rest) = address.split_once("://").ok_or("has no scheme")?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.contains('@') {
            return Err("names who asks: give the keys by themselves".to_owned());
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if bucket.is_empty() || !bucket.chars().all(is_plain) {
            return Err("names no bucket: s3://BUCKET/KEY".to_owned());
        }
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        Ok(Place { bucket, key, version: version.map(str::to_owned) })
    }

    /// Whether it names an object, and not a folder.
    pub fn is_object(&self) -> bool {
        !self.key.is_empty() && !self.key.ends_with('/')
    }

    /// The one called `name` in this folder.
    #[must_use]
    pub fn join(&self, name: &str) -> Place {
        let slash = if self.key.is_empty() || self.key.ends_with('/') { "" } else { "/" };
        let key = format!("{}{slash}{name}", self.key);
        Place { bucket: self.bucket.clone(), key, version: None }
    }

    /// Refuses what no address of a request can hold.
    ///
    /// # Errors
    ///
    /// What is wrong with the key, in words that follow it.
    pub fn check_key(&self) -> Result<(), String> {
        if self.key.is_empty() {
            return Err("names no object: s3://BUCKET/KEY".to_owned());
        }
        if self.key.len() > LONGEST_KEY {
            return Err(format!("has a key of more than {LONGEST_KEY} bytes"));
        }
        // What reads an address takes these for ways through folders.
        if self.key.split('/').any(|part| matches!(part, "." | "..")) {
            return Err("has . or .. in its key, which no request can ask for".to_owned());
        }
        Ok(())
    }

    /// Its address.
    pub fn path(&self) -> PathBuf {
        let version = self.version.as_ref().map(|version| format!("?versionId={version}"));
        format!("s3://{}/{}{}", self.bucket, self.key, version.unwrap_or_default()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_as_it_stands() {
        let check = |address: &str, bucket: &str, key: &str, version: Option<&str>| {
            let place = Place::new(address).unwrap();
            assert_eq!((&*place.bucket, &*place.key), (bucket, key), "{address}");
            assert_eq!(place.version.as_deref(), version, "{address}");
        };
        check("s3://b/k", "b", "k", None);
        check("S3://my.bucket_1/a//b/ c%20?x=#y", "my.bucket_1", "a//b/ c%20?x=#y", None);
        check("s3://b/k?versionId=3/L4=", "b", "k", Some("3/L4="));
        check("s3://b/k?versionId=", "b", "k?versionId=", None);
        check("s3://b/folder/", "b", "folder/", None);
        check("s3://b", "b", "", None);
        for wrong in ["s3:///x", "s3://a:b@c/x", "s3://arn:aws:s3/x", "s3://ü/x", "s3://a b/x"] {
            assert!(Place::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_no_request_can_ask_for_is_refused() {
        let check = |key: &str, good| {
            let place = Place { bucket: "b".into(), key: key.into(), version: None };
            assert_eq!(place.check_key().is_ok(), good, "{key}");
        };
        check("a/b", true);
        check("/a", true);
        check("a/.../b.", true);
        check("", false);
        check("..", false);
        check("a/../b", false);
        check("a/.", false);
        check(&"x".repeat(1024), true);
        check(&"x".repeat(1025), false);
    }

    #[test]
    fn an_object_in_a_folder() {
        let check = |address: &str, want: &str| {
            let place = Place::new(address).unwrap();
            assert!(!place.is_object() || place.key == "a");
            assert_eq!(place.join("n").path(), PathBuf::from(want));
        };
        check("s3://b", "s3://b/n");
        check("s3://b/", "s3://b/n");
        check("s3://b/a/", "s3://b/a/n");
        check("s3://b/a", "s3://b/a/n");
    }
}
