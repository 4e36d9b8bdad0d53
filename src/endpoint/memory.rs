//! Memory of the caller as an end: bytes are read straight into it, without a
//! buffer in between where the engine allows that.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use positioned_io::ReadAt;

use super::{Abilities, Destination, Draft, Look, Shape};
use crate::error::{Refusal, Result};
use crate::io::{Sink, Source, as_u64};
use crate::range::ByteRange;
use crate::sys::shared_buffer::{Lent, SharedBuffer};

/// What stands for the memory in messages and in the report.
const NAME: &str = "memory";

/// Memory that is lent for the time of one copy. Byte 0 of the destination is
/// its first byte, and nothing outside what is copied is touched.
pub(crate) struct MemoryDestination {
    path: PathBuf,
    memory: Arc<SharedBuffer>,
}

impl MemoryDestination {
    /// Of `memory`.
    pub(crate) fn new(memory: Arc<SharedBuffer>) -> MemoryDestination {
        MemoryDestination { path: PathBuf::from(NAME), memory }
    }
}

impl Destination for MemoryDestination {
    fn path(&self) -> &Path {
        &self.path
    }

    fn abilities(&self) -> Abilities {
        // Holes of the source are zeros here, and something else is there before.
        Abilities { is_new: false, in_memory: true, ..Abilities::default() }
    }

    fn check(&self, look: &Look<'_>) -> Result<()> {
        let (to, len) = (look.mapping.to(), self.memory.len());
        if to.end() <= len {
            return Ok(());
        }
        let what = format!("bytes {to} do not fit into {len} bytes of memory");
        Err(Refusal::Other(what).into())
    }

    fn begin(self: Box<Self>, _shape: &Shape<'_>) -> Result<Box<dyn Draft>> {
        let sink = Arc::new(MemorySink { memory: self.memory });
        Ok(Box::new(MemoryDraft { path: self.path, sink }))
    }
}

struct MemoryDraft {
    path: PathBuf,
    sink: Arc<MemorySink>,
}

impl Draft for MemoryDraft {
    fn sink(&self) -> Arc<dyn Sink> {
        self.sink.clone()
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> u64 {
        self.sink.memory.len()
    }

    fn written(&self) -> Option<Arc<dyn Source>> {
        Some(self.sink.clone())
    }

    fn is_durable(&self) -> bool {
        false
    }

    fn commit(&mut self, _durable: bool) -> Result<()> {
        Ok(())
    }

    fn discard(self: Box<Self>) -> Option<String> {
        None
    }
}

struct MemorySink {
    memory: Arc<SharedBuffer>,
}

impl MemorySink {
    fn lend(&self, offset: u64, len: usize) -> io::Result<Lent<'_>> {
        let range = ByteRange::with_len(offset, as_u64(len));
        let lent = range.and_then(|range| self.memory.lend(range));
        lent.ok_or_else(|| io::Error::other("another worker has these bytes, or nobody"))
    }
}

impl Sink for MemorySink {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        self.lend(offset, data.len())?.copy_from_slice(data);
        Ok(data.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn memory(&self) -> Option<&SharedBuffer> {
        Some(&self.memory)
    }
}

impl ReadAt for MemorySink {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.memory.len().saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = buffer.len().min(left);
        if count > 0 {
            buffer[..count].copy_from_slice(&self.lend(offset, count)?);
        }
        Ok(count)
    }
}

impl Source for MemorySink {
    fn size(&self) -> u64 {
        self.memory.len()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::endpoint::Origin;
    use crate::io::memory::Memory;
    use crate::testing::{Faulty, Operation, Rule};
    use crate::{CancelToken, CopyJob, EngineChoice, JobResult, Outcome, Progress, Report, Watch};

    fn read(job: &CopyJob, memory: &mut [u8]) -> JobResult<Report> {
        job.run_into_memory(memory, Watch::new(&Progress::new(), &CancelToken::new()))
    }

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at * 31 % 251) as u8 + 1).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_byte_arrives_and_none_beside_it_changes(
            len in 0usize..300_000,
            start in 0usize..300_000,
            (before, behind) in (0usize..5000, 0usize..5000),
            threads in 1usize..5,
            engine in prop::sample::select(vec![
                EngineChoice::Auto,
                EngineChoice::Positioned,
                EngineChoice::Direct,
            ]),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("source");
            let bytes = pattern(300_000);
            std::fs::write(&path, &bytes).unwrap();
            let len = len.min(bytes.len() - start);
            let mut memory = vec![0xee; before + len + behind];
            let job = CopyJob::new(&path, "")
                .range(start as u64..(start + len) as u64)
                .dest_offset(before as u64)
                .threads(threads)
                .io_size(4096u64)
                .engine(engine);
            match read(&job, &mut memory) {
                Ok(report) => prop_assert!(report.is_complete()),
                // Not every file system has such requests.
                Err(error) => prop_assert!(engine == EngineChoice::Direct, "{error}"),
            }
            if memory[before..before + len] == bytes[start..start + len] {
                prop_assert!(memory[..before].iter().all(|&byte| byte == 0xee));
                prop_assert!(memory[before + len..].iter().all(|&byte| byte == 0xee));
            } else {
                prop_assert!(engine == EngineChoice::Direct && memory.iter().all(|&b| b == 0xee));
            }
        }
    }

    #[test]
    fn holes_are_zeros_and_the_digest_is_that_of_the_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("source");
        std::fs::File::create(&path).unwrap().set_len(1 << 20).unwrap();
        let mut memory = vec![7; 1 << 20];
        let job = CopyJob::new(&path, "").digest(crate::digest::Algorithm::Blake3).verify(true);
        let report = read(&job, &mut memory).unwrap();
        assert!(memory.iter().all(|&byte| byte == 0));
        let expected = blake3::hash(&memory).to_hex().to_string();
        assert_eq!(report.digests[0].to_string(), expected);
        assert_eq!(report.verified, Some(true));
    }

    #[test]
    fn a_range_that_does_not_fit_is_refused_before_any_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("source");
        std::fs::write(&path, pattern(100)).unwrap();
        let mut memory = [7; 99];
        let error = read(&CopyJob::new(&path, ""), &mut memory).unwrap_err();
        assert!(error.to_string().contains("do not fit into 99 bytes of memory"), "{error}");
        assert_eq!(memory, [7; 99]);
    }

    struct Broken(Arc<Faulty<Memory>>);

    impl Origin for Broken {
        fn path(&self) -> &Path {
            Path::new("broken")
        }

        fn source(&self) -> Arc<dyn Source> {
            self.0.clone()
        }
    }

    #[test]
    fn a_bad_sector_costs_itself_and_is_listed() {
        let bytes = pattern(64 << 10);
        let rule = Rule::on(Operation::Read).within(5000..5001).errno(5).persistent();
        let source = Arc::new(Faulty::new(Memory::new(bytes.clone())).with(rule));
        let mut memory = vec![0; bytes.len()];
        let job = CopyJob::from_origin(Broken(source), "").threads(2).retries(0);
        let report = read(&job, &mut memory).unwrap();
        assert_eq!(report.outcome, Outcome::Partial);
        let failed = &report.failed[..];
        assert!(matches!(failed, [part] if (part.start, part.end) == (5000, 5120)), "{failed:?}");
        assert!(memory[..5000] == bytes[..5000] && memory[5120..] == bytes[5120..]);
    }
}
