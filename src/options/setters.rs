//! The builder methods that jobs share. One option has one name, one type and
//! one description, whatever the job.

/// Builder methods of a job that has a field `options`, by group: `all`,
/// `range`, `copying`, `placing`.
macro_rules! setters {
    (all) => {
        /// All options at once, as from a plan: what was set before is gone.
        pub fn options(mut self, options: $crate::Options) -> Self {
            self.options = options;
            self
        }

        /// How many workers: a number, or [`Threads::Auto`](crate::Threads::Auto). Default:
        /// as many as the storage rewards.
        pub fn threads(mut self, threads: impl Into<$crate::Threads>) -> Self {
            self.options.threads = threads.into();
            self
        }

        /// Whether the pieces of a source that was split, such as `NAME.001` and
        /// `NAME.002`, are read as one. Default: if names and sizes say that they are.
        pub fn join(mut self, join: $crate::Join) -> Self {
            self.options.join = join;
            self
        }

        /// Leaves everything that was read and written in the page cache, where a
        /// large job pushes out what other programs have there. Default: off.
        pub fn keep_cache(mut self, keep: bool) -> Self {
            self.options.keep_cache = keep;
            self
        }

        /// How often a failed request is repeated before it is split. Default:
        /// [`RETRIES`](crate::pool::RETRIES).
        pub fn retries(mut self, retries: u32) -> Self {
            self.options.retries = retries;
            self
        }

        /// Most bytes a second, over all workers; more than 0. Default: no limit.
        pub fn limit_rate(mut self, bytes_per_second: u64) -> Self {
            self.options.limit_rate = Some(bytes_per_second);
            self
        }

        /// Computes a digest of the range, or of each item. May be called for
        /// several. Default: none.
        pub fn digest(mut self, algorithm: $crate::digest::Algorithm) -> Self {
            self.options.digests.push(algorithm);
            self
        }
    };
    (range) => {
        /// What of the source is meant. Default: all of it.
        pub fn range(mut self, range: impl Into<$crate::RangeSpec>) -> Self {
            self.options.range = range.into();
            self
        }

        /// Computes also the digests of each piece of so many bytes. Default: of each
        /// file that the destination is split into.
        pub fn digest_every(mut self, size: impl Into<$crate::Size>) -> Self {
            self.options.digest_every = Some(size.into());
            self
        }

        /// Takes what exists of a range that reaches beyond the end of the
        /// source, instead of refusing it. Default: refuse.
        pub fn clamp(mut self, clamp: bool) -> Self {
            self.options.clamp = clamp;
            self
        }

        /// Where the first byte goes in the destination. Default: 0.
        pub fn dest_offset(mut self, offset: impl Into<$crate::Size>) -> Self {
            self.options.dest_offset = offset.into();
            self
        }

        /// Fails, with nothing committed, if the range does not have this digest
        /// or if parts of it cannot be read. May be called for several. Default:
        /// whatever there is.
        ///
        /// What was copied stays as a part with a map, as after any other failure:
        /// it is what the source holds, and a job that resumes without the
        /// expectation commits it without copying again.
        pub fn expect(mut self, digest: $crate::digest::Expectation) -> Self {
            self.options.expected.push(digest);
            self
        }
    };
    (copying) => {
        /// Replaces existing files, each atomically when it is complete. Default:
        /// refuse.
        pub fn force(mut self, force: bool) -> Self {
            self.options.force = force;
            self
        }

        /// Accepts a destination on the device that is being read. Default: refuse.
        pub fn allow_same_device(mut self, allow: bool) -> Self {
            self.options.allow_same_device = allow;
            self
        }

        /// Begins even if the file system seems to have no room for the copy. That
        /// is an estimate: a file system that compresses takes more than it says is
        /// free, and one with quotas may take less. Unless asked for, no storage is
        /// reserved then. Default: refuse.
        pub fn ignore_space(mut self, ignore: bool) -> Self {
            self.options.ignore_space = ignore;
            self
        }

        /// Carries over owner, extended attributes, mode and times of a whole
        /// file. What cannot be carried over is a note in the report. Default: no.
        pub fn preserve(mut self, preserve: bool) -> Self {
            self.options.preserve = preserve;
            self
        }

        /// Whether to wait for the disk before reporting success. Default: yes.
        pub fn sync(mut self, sync: bool) -> Self {
            self.options.sync = sync;
            self
        }

        /// Unit of scheduling, a power of two. Default: chosen from the size of the
        /// job.
        pub fn stripe_size(mut self, size: impl Into<$crate::Size>) -> Self {
            self.options.stripe_size = Some(size.into());
            self
        }

        /// Largest single request, a power of two of at least 512 bytes. Default:
        /// chosen.
        pub fn io_size(mut self, size: impl Into<$crate::Size>) -> Self {
            self.options.io_size = Some(size.into());
            self
        }

        /// How bytes move. A named engine that cannot serve is a refusal. Default:
        /// the engine that suits best.
        pub fn engine(mut self, engine: $crate::engine::EngineChoice) -> Self {
            self.options.engine = engine;
            self
        }

        /// Whether extents are shared with the source. Default: where the file
        /// system can.
        pub fn reflink(mut self, reflink: $crate::engine::Reflink) -> Self {
            self.options.reflink = reflink;
            self
        }

        /// What becomes of holes and zeros. Default: holes stay holes.
        pub fn sparse(mut self, sparse: $crate::sparse::Sparse) -> Self {
            self.options.sparse = sparse;
            self
        }

        /// Whether storage is reserved before it is written. Default: where that
        /// makes writing faster.
        pub fn preallocate(mut self, preallocate: $crate::sparse::Preallocate) -> Self {
            self.options.preallocate = preallocate;
            self
        }

        /// Refuses a source that a program could write to while it is read: a device
        /// that the kernel does not keep from being written, a file whose mode allows
        /// it, one that is in use, and what is not a file or a block device. Default:
        /// off.
        pub fn require_read_only(mut self, require: bool) -> Self {
            self.options.require_read_only = require;
            self
        }

        /// What to do with ranges that cannot be read. Default: record them and go
        /// on.
        pub fn on_read_error(mut self, policy: $crate::OnReadError) -> Self {
            self.options.on_read_error = policy;
            self
        }

        /// What to do with what an interrupted run left. In a batch, resuming also
        /// skips files that are there already with the right size, and the digest
        /// that their item expects, if it does. Default: refuse to start.
        pub fn leftovers(mut self, leftovers: $crate::Leftovers) -> Self {
            self.options.leftovers = leftovers;
            self
        }

        /// Whose leftovers are resumed or discarded. With
        /// [`Trust::Anybody`](crate::Trust::Anybody) also those that another user has
        /// made or could have written: what that user wrote comes into the copy,
        /// and the report says so. Default: [`Trust::Own`](crate::Trust::Own), the others are a
        /// refusal.
        pub fn trust(mut self, trust: $crate::Trust) -> Self {
            self.options.trust = trust;
            self
        }

        /// Time between checkpoints: what a crash costs at most. Default:
        /// [`CHECKPOINT_EVERY`](crate::durable::checkpoint::CHECKPOINT_EVERY).
        pub fn checkpoint_every(mut self, time: std::time::Duration) -> Self {
            self.options.checkpoint_every = time;
            self
        }

        /// Commits even if the source changed during the copy, or since an
        /// earlier run that is resumed. Default: fail.
        pub fn allow_changed_source(mut self, allow: bool) -> Self {
            self.options.allow_changed_source = allow;
            self
        }

        /// Reads the destination back, past the page cache, once it is on the disk,
        /// and fails with nothing committed if it is not what was read from the
        /// source. Default: no.
        ///
        /// The comparison uses fingerprints that were taken while the bytes were
        /// copied. Of what an earlier run or the kernel has copied there are none:
        /// there the source is read again. What differs counts as not copied to a
        /// job that resumes.
        pub fn verify(mut self, verify: bool) -> Self {
            self.options.verify = verify;
            self
        }

        /// Copies stripes that do not pass [`verify`](Self::verify) once more, and
        /// verifies them again. Default: no.
        pub fn repair(mut self, repair: bool) -> Self {
            self.options.repair = repair;
            self
        }
    };
    (placing) => {
        /// Copies only the bytes of the range that are in `only`, in bytes of the
        /// source, each to where it would go without this. All others are neither
        /// read nor written: in a new file they are holes, and what is there already
        /// keeps what it has. In a digest they count as zeros. It is not an option of
        /// a stream, which has no offsets. Default: all of the range.
        pub fn only(mut self, only: $crate::RangeSet) -> Self {
            self.options.only = Some(only);
            self
        }

        /// Fails, with nothing written, if a range of the source does not have this
        /// digest. It is read for that before the copy begins. May be called for
        /// several. Default: whatever there is.
        pub fn expect_in(
            mut self,
            range: $crate::ByteRange,
            digest: $crate::digest::Expectation,
        ) -> Self {
            self.options.expected_in.push($crate::digest::RangeDigest { range, digest });
            self
        }

        /// Writes the destination in several files of this length, of which the last
        /// may be shorter: `NAME.001`, `NAME.002`, and so on. All of them get their
        /// names when all are complete, the first after all others. Further
        /// destinations are not split. Default: one file.
        pub fn split(mut self, size: impl Into<$crate::Size>) -> Self {
            self.options.split = Some(size.into());
            self
        }

        /// Writes into an existing destination, touching no byte outside the
        /// range and truncating nothing. Default: off.
        pub fn in_place(mut self, in_place: bool) -> Self {
            self.options.in_place = in_place;
            self
        }

        /// Reads the source once more when all is [verified](Self::verify), and fails with
        /// nothing committed if it is not what was copied. That finds what moves no time
        /// of the source, as most writes of a program do that has mapped it. No engine of
        /// the kernel copies then, and what an earlier run copied is compared by `verify`
        /// alone. Default: no.
        pub fn check_source(mut self, check: bool) -> Self {
            self.options.check_source = check;
            self
        }

        /// Consents to writing to a block device. Default: refuse.
        pub fn to_device(mut self, to_device: bool) -> Self {
            self.options.to_device = to_device;
            self
        }

        /// Writes only the blocks that differ from what the destination holds, which
        /// is read for that: blocks of 4 KiB, or of the device where its own are
        /// larger. The report says how many bytes were written and how many were
        /// equal, and so does a dry run, which reads both sides. It is for a
        /// destination that is changed in place or a device. Default: off.
        pub fn only_changed(mut self, only: bool) -> Self {
            self.options.only_changed = only;
            self
        }

        /// How long to wait for a device that another program holds for a moment,
        /// as programs do that look at what is on it. Default:
        /// [`LONGEST_MOMENT`](crate::options::LONGEST_MOMENT).
        pub fn wait(mut self, time: std::time::Duration) -> Self {
            self.options.wait = time;
            self
        }

        /// Writes to a file or device that another program uses, as a mounted image
        /// is, or has locked. Default: refuse.
        pub fn even_if_in_use(mut self, even_if: bool) -> Self {
            self.options.even_if_in_use = even_if;
            self
        }

        /// Where the resume map lives. Default: the destination's name with
        /// `.pcopy-map`; for a device, in the working directory.
        pub fn map(mut self, path: impl Into<std::path::PathBuf>) -> Self {
            self.options.map = Some(path.into());
            self
        }
    };
}
pub(crate) use setters;
