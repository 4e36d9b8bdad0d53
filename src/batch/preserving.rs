//! What a file has besides its content, where every item of a batch is a whole
//! file that is copied to a file of its own.

use super::ending::data_of;
use super::output::Output;
use super::plan::BatchPlan;
use super::sources::Sources;
use super::wanted::Wanted;
use crate::error::{ErrorKind, Result, quoted};
use crate::io::FileIo;
use crate::manifest::Item;
use crate::preserve;
use crate::progress::lock;
use crate::range::ByteRange;
use crate::sync::Mutex;
use crate::sys::FileKind;

/// Refuses the first item that is not a whole file copied to a file of its own:
/// owner, mode and times are those of a file, not of a part of one.
///
/// # Errors
///
/// [`ErrorKind::Usage`].
pub fn check(items: &[Item], plan: &BatchPlan, wanted: &[Wanted], sources: &Sources) -> Result<()> {
    for (output, file) in (0..).zip(wanted) {
        let rows = plan.rows(output);
        let item = &items[rows[0] as usize];
        let number = plan.source_of(rows[0]);
        let size = sources.size(number);
        let all = (ByteRange::to(size), 0);
        let is_whole = sources.facts(number).is_some_and(|facts| facts.node == FileKind::File)
            && !sources.is_joined(number)
            && rows.len() == 1
            && file.len == size
            && data_of(item, size).eq([all]);
        if !is_whole {
            let place = match item.line {
                0 => quoted(sources.path(number)).to_string(),
                line => format!("line {line}"),
            };
            let why = "only a whole file that is copied to a file of its own has attributes, \
                       mode and times that can be preserved";
            return Err(ErrorKind::usage(format!("{place}: {why}")).into());
        }
    }
    Ok(())
}

/// What could not be carried over, each said once.
#[derive(Default)]
pub struct Lost(Mutex<Vec<String>>);

impl Lost {
    /// Gives `file`, of `output`, what its source has besides its content.
    ///
    /// # Errors
    ///
    /// If the source cannot be opened any more.
    pub fn carry_over(
        &self,
        output: &Output,
        file: &FileIo,
        plan: &BatchPlan,
        sources: &Sources,
    ) -> Result<()> {
        let Some(&row) = plan.rows(output.index).first() else { return Ok(()) };
        let number = plan.source_of(row);
        let source = sources.open(number)?;
        let (Some(from), Some(facts)) = (source.file(), sources.facts(number)) else {
            return Ok(());
        };
        let lost = preserve::carry_over(from.file.as_file(), facts, file.as_file());
        if !lost.is_empty() {
            let mut known = lock(&self.0);
            for note in lost {
                if !known.contains(&note) {
                    known.push(note);
                }
            }
        }
        Ok(())
    }

    /// All of it, a sentence each.
    pub fn into_notes(self) -> Vec<String> {
        self.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
