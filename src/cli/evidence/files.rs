//! The two files of a log: for people, and for programs.
//!
//! Nothing that is there is replaced. The one exception is the log of a run that was
//! interrupted, when the run that resumes it has the same log: the new one has all
//! of the old one in it.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use pcopy::durable::side::Named;
use pcopy::error::{plain, quoted};
use pcopy::evidence::{Acquisition, HEADING, SCHEMA};
use pcopy::safety::Ground;
use pcopy::sys::{FileKind, facts_of_path};
use pcopy::{Refusal, Result};
use serde_json::Value;

use super::super::render;
use super::cannot_write;

/// Bytes of the longest log that is taken into another.
const LONGEST: u64 = 256 << 20;

/// The files of a log.
pub struct Files {
    text: PathBuf,
    json: PathBuf,
    /// What the log of an interrupted run says, which is replaced.
    standing: Option<Value>,
}

/// What the file for programs is called.
pub fn json_beside(text: &Path) -> PathBuf {
    let mut name = OsString::from(text);
    name.push(".json");
    name.into()
}

impl Files {
    /// Looks whether both can be made, or are of the run that is resumed.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub fn look(text: &Path, resumes: bool, dry_run: bool) -> Result<Files> {
        let (text, json) = (text.to_owned(), json_beside(text));
        let there = [&text, &json].map(|path| path.symlink_metadata().is_ok());
        let standing = match there {
            [false, false] => None,
            [true, true] if resumes => Some(standing(&text, &json)?),
            [is_text, _] => {
                let path = if is_text { &text } else { &json };
                return Err(cannot_write(path, "it exists, and a log never replaces a file"));
            }
        };
        let check = if dry_run { render::check_place } else { render::check_writable };
        check(&text)?;
        check(&json)?;
        Ok(Files { text, json, standing })
    }

    /// Refuses a log on the very device that is read, which it would change.
    ///
    /// # Errors
    ///
    /// [`Refusal::SameDevice`].
    pub fn check_is_apart(&self, source: &Path, allowed: bool) -> Result<()> {
        let device = facts_of_path(source).ok().flatten();
        let device = device.filter(|facts| facts.node == FileKind::BlockDevice);
        let Some(device) = device.filter(|_| !allowed) else { return Ok(()) };
        let folder = self.text.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let Some(facts) = facts_of_path(folder).ok().flatten() else { return Ok(()) };
        Ok(Ground::of(&facts, folder).check(&device, source, &self.text)?)
    }

    /// The logs of the runs before this one, the first of them first.
    pub fn earlier(&self) -> Vec<Value> {
        let Some(mut last) = self.standing.clone() else { return Vec::new() };
        let before = last.as_object_mut().and_then(|log| log.remove("earlier"));
        let mut all = match before {
            Some(Value::Array(before)) => before,
            _ => Vec::new(),
        };
        all.push(last);
        all
    }

    /// Writes both.
    ///
    /// # Errors
    ///
    /// A message if one cannot be written.
    pub fn write(
        &self,
        acquired: &Acquisition<'_>,
        give_up: &dyn Fn() -> bool,
    ) -> std::result::Result<(), String> {
        let both = [(&self.json, acquired.to_json()), (&self.text, acquired.to_text())];
        for (path, content) in both {
            // The one for programs comes first: of runs that have one log, one gets both.
            let written = match self.standing {
                Some(_) => {
                    Named::look(path).and_then(|named| named.write(content.as_bytes(), give_up))
                }
                // Nor is a link followed, or a pipe waited for.
                None if path.symlink_metadata().is_ok() => Err(io::ErrorKind::AlreadyExists.into()),
                None => {
                    Named::look(path).and_then(|named| named.write_new(content.as_bytes(), give_up))
                }
            };
            written.map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => format!(
                    "cannot write the log {}: something else has got its name meanwhile",
                    quoted(path)
                ),
                _ => format!("cannot write {}: {}", quoted(path), plain(&error)),
            })?;
        }
        Ok(())
    }
}

/// The log of an interrupted run, of which both files are there.
fn standing(text: &Path, json: &Path) -> Result<Value> {
    let not_ours = "it is not a log of the run that is resumed";
    let read = |path: &Path| {
        let is_file =
            |facts: &pcopy::sys::Metadata| facts.node == FileKind::File && facts.size <= LONGEST;
        match facts_of_path(path) {
            Ok(Some(facts)) if is_file(&facts) => std::fs::read(path)
                .map_err(|source| Refusal::CannotRead { path: path.to_owned(), source }.into()),
            _ => Err(cannot_write(path, not_ours)),
        }
    };
    if !read(text)?.starts_with(HEADING.as_bytes()) {
        return Err(cannot_write(text, not_ours));
    }
    let log: Option<Value> = serde_json::from_slice(&read(json)?).ok();
    let is_one = |log: &Value| log["schema"] == SCHEMA;
    log.filter(is_one).ok_or_else(|| cannot_write(json, not_ours))
}
