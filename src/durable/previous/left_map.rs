//! The map of an interrupted run: whether there is one, and whether it is ours. What it
//! says is for others to compare.

use crate::durable::map::{Map, MapFile};
use crate::durable::trust::{self, Examiner, Purpose};
use crate::error::{MapRefusal, Refusal, Remedy};
use crate::sys::{FileKind, Metadata};

/// Refuses a map that was left, by the options that get rid of it, if they do:
/// what never was a map is not discarded.
///
/// # Errors
///
/// A [`Refusal`].
pub fn check_no_map(map_file: &MapFile, examiner: &mut Examiner) -> Result<(), Refusal> {
    let loaded = map_file.load();
    if let Ok(None) = loaded {
        return Ok(());
    }
    let path = map_file.path();
    match (check_discardable(map_file, examiner)?, loaded) {
        (false, Err(error)) => {
            Err(MapRefusal::Unusable { path, reason: crate::error::chain(&error) }.into())
        }
        _ => Err(Refusal::Leftover { resumable: true, path }),
    }
}

/// The same where no part was found. The run of the map may have begun, or ended, since:
/// `look_again` refuses what it has made, and what is gone then was not left.
///
/// # Errors
///
/// A [`Refusal`].
pub fn check_no_map_alone(
    map_file: &MapFile,
    examiner: &mut Examiner,
    look_again: impl FnOnce(&mut Examiner) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    match check_no_map(map_file, examiner) {
        Err(Refusal::Leftover { .. }) => {}
        checked => return checked,
    }
    look_again(examiner)?;
    check_no_map(map_file, examiner)
}

/// What a restart discards must be a map of ours, if only a damaged one: a
/// file that never was one has been named by mistake. Returns whether there is one.
///
/// # Errors
///
/// A [`Refusal`].
pub fn check_discardable(map_file: &MapFile, examiner: &mut Examiner) -> Result<bool, Refusal> {
    let path = map_file.path();
    let is_there = check_map(map_file, Purpose::Discard, examiner)?.is_some();
    match map_file.was_a_map() {
        Ok(true) if matches!(map_file.load(), Ok(Some(map)) if map.identity.is_none()) => {
            Err(MapRefusal::Alien { path, remedies: &[Remedy::MapElsewhere] }.into())
        }
        Ok(true) => Ok(is_there),
        Ok(false) => {
            Err(MapRefusal::Unusable { path, reason: "it is not a map".to_owned() }.into())
        }
        Err(error) => {
            Err(MapRefusal::Unusable { path, reason: crate::error::chain(&error) }.into())
        }
    }
}

/// The map, if there is one and it is ours.
///
/// # Errors
///
/// A [`Refusal`].
pub fn load(map_file: &MapFile, examiner: &mut Examiner) -> Result<Option<Map>, Refusal> {
    let bad = |reason| MapRefusal::Unusable { path: map_file.path(), reason };
    let examined = check_map(map_file, Purpose::Believe, examiner)?;
    let loaded = map_file.load_known().map_err(|error| bad(crate::error::chain(&error)))?;
    let Some((map, facts)) = loaded else { return Ok(None) };
    if examined.is_none_or(|examined| !trust::is_unchanged(&examined, &facts)) {
        // Somebody has put another there since.
        let directory = map_file.directory().map_err(|error| bad(crate::error::chain(&error)))?;
        examiner.check(&directory, &facts, Purpose::Believe, &map_file.path())?;
    }
    Ok(Some(map))
}

/// Looks whether the map is ours, by its name: of another user, it may not even
/// be opened. Returns what it is, if it is a file.
///
/// # Errors
///
/// A [`Refusal`].
pub fn check_map(
    map_file: &MapFile,
    purpose: Purpose,
    examiner: &mut Examiner,
) -> Result<Option<Metadata>, Refusal> {
    let bad =
        |error| MapRefusal::Unusable { path: map_file.path(), reason: crate::error::chain(&error) };
    let found = map_file.look().map_err(bad)?;
    let Some((facts, directory)) = found.filter(|(facts, _)| facts.node == FileKind::File) else {
        return Ok(None);
    };
    examiner.check(&directory, &facts, purpose, &map_file.path())?;
    Ok(Some(facts))
}
