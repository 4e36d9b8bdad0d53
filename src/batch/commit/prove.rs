//! The step of a commit that reads files back and compares them with their
//! sources, before they get their names. What differs is copied once more if
//! that is asked for; what differs then is a mismatch of the items it is in.

use std::io;
use std::sync::Arc;

use super::super::assembled::Assembled;
use super::super::output::Output;
use super::super::outputs::Outputs;
use super::super::proof::{Proof, Subject, first_difference, why_not};
use super::super::sources::Sources;
use super::super::why::{READ, Why};
use super::{Commit, Member};
use crate::error::{ErrorKind, Result};
use crate::io::fingerprint::Fingerprint;
use crate::range::{ByteRange, RangeSet};
use crate::verify::compare::Findings;

/// What is known not to be right is widened to whole blocks of the page cache,
/// so that no block is half trusted.
const BLOCK: u64 = 4096;

/// How outputs are compared.
pub struct Proving<'a> {
    /// All outputs of the batch.
    pub outputs: &'a Outputs,
    /// What the file of an output is to hold.
    pub expected: &'a (dyn Fn(&Output) -> Assembled<&'a Sources> + Sync),
    /// How files are compared.
    pub proof: &'a Proof<'a>,
}

/// A member that is compared, and what was found.
struct Candidate {
    /// Its number in the group.
    member: usize,
    output: Arc<Output>,
    /// What was written of it, or by an earlier run.
    ranges: RangeSet,
    fingerprints: Vec<Fingerprint>,
}

impl Commit<'_> {
    /// Compares every member, which is on the disk, with its sources.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Cancelled`].
    pub(super) fn prove(&self, members: &mut [Member<'_>], proving: &Proving<'_>) -> Result<()> {
        let proof = proving.proof;
        let candidates: Vec<Candidate> = members
            .iter_mut()
            .enumerate()
            .filter(|(_, member)| member.is_alive())
            .map(|(number, member)| Candidate::new(number, member))
            .collect();
        let threads = proof.share(candidates.len());
        let found = proof.pool(candidates.len()).map(&candidates, |candidate| {
            let Candidate { output, ranges, fingerprints, .. } = candidate;
            proving.compare(output, ranges, fingerprints, threads)
        });
        for (candidate, found) in candidates.iter().zip(found) {
            let member = &mut members[candidate.member];
            let outcome = found.and_then(|(findings, ended)| match ended {
                // Found before the end, it is true nevertheless.
                Err(error) if findings.pieces.is_empty() => Ok(Err(error)),
                _ if findings.pieces.is_empty() || !proof.repair => Ok(Ok(findings)),
                _ => self.repair(proving, member, &findings).map(Ok),
            });
            match outcome {
                Ok(Ok(findings)) => self.judge(member, &findings),
                Ok(Err(error)) if matches!(error.kind(), ErrorKind::Cancelled) => {
                    return Err(error);
                }
                Ok(Err(error)) => member.why = Some(why_not(&error)),
                Err(error) => member.why = Some(Why::of_io(READ, &error)),
            }
        }
        match self.cancel.is_cancelled() {
            true => Err(ErrorKind::Cancelled.into()),
            false => Ok(()),
        }
    }

    /// Copies what differs once more, and compares it again.
    fn repair(
        &self,
        proving: &Proving<'_>,
        member: &mut Member<'_>,
        found: &Findings,
    ) -> io::Result<Findings> {
        let proof = proving.proof;
        let file = self.outputs.file(&member.output)?;
        proof.repair(&file, &(proving.expected)(&member.output), &found.pieces)?;
        file.as_file().sync_all()?;
        let (findings, ended) =
            proving.compare(&member.output, &found.pieces, &[], proof.share(1))?;
        if findings.pieces.is_empty() {
            ended.map_err(|error| io::Error::other(why_not(&error).text))?;
            proof.repaired(found.differing.bytes());
        }
        // The digests were of what was read before.
        for at in 0..member.rows.len() {
            let is_repaired = !found.pieces.within(member.rows[at].range).is_empty();
            if is_repaired {
                self.digest(member, at, &[])?;
            }
        }
        Ok(findings)
    }

    /// What `findings` mean for the items of a member.
    fn judge(&self, member: &mut Member<'_>, findings: &Findings) {
        for (row, (verified, mismatch)) in
            member.rows.iter().zip(member.verified.iter_mut().zip(&mut member.mismatch))
        {
            let difference = first_difference(findings, row.range);
            *verified = Some(difference.is_none());
            *mismatch = difference.or(mismatch.take());
        }
        if findings.differing.is_empty() {
            return;
        }
        if member.is_alive() {
            // In a gap between items.
            let all = ByteRange::to(member.output.wanted.len);
            member.why = first_difference(findings, all);
        }
        if member.output.wanted.partial.is_some()
            && let Err(error) = self.record_wrong(member, &findings.differing)
        {
            let why = Why::of_io("journal", &error);
            member.why =
                Some(why.said(|text| format!("its map does not say what is wrong: {text}")));
        }
    }

    /// A file that has its name keeps it: its map says what a later run copies
    /// once more.
    fn record_wrong(&self, member: &Member<'_>, wrong: &RangeSet) -> io::Result<()> {
        let all = ByteRange::to(member.output.wanted.len);
        let mut missing = member.output.unreadable();
        missing.merge(&wrong.iter().map(|part| part.align_out(BLOCK).intersect(all)).collect());
        self.save_map(member, missing)
    }
}

impl Proving<'_> {
    fn compare(
        &self,
        output: &Arc<Output>,
        ranges: &RangeSet,
        fingerprints: &[Fingerprint],
        threads: usize,
    ) -> io::Result<(Findings, Result<()>)> {
        let file = self.outputs.file(output)?;
        let expected = &(self.expected)(output);
        Ok(self.proof.compare(&file, &Subject { expected, ranges, fingerprints, threads }))
    }
}

impl Candidate {
    fn new(number: usize, member: &mut Member<'_>) -> Candidate {
        let output = Arc::clone(&member.output);
        let ranges = output.unreadable().missing_from(ByteRange::to(output.wanted.len));
        let mut fingerprints = std::mem::take(&mut member.fingerprints);
        // What failed in part is compared with its source.
        fingerprints.retain(|print| ranges.covers(print.range));
        fingerprints.sort_unstable_by_key(|print| print.range);
        Candidate { member: number, output, ranges, fingerprints }
    }
}
