//! Options by chance, through the library: whatever is asked for, a job ends in a
//! report or in an error that says what is wrong, and nothing panics.

use std::fs::File;
use std::sync::mpsc::channel;
use std::time::Duration;

use pcopy::batch::Batch;
use pcopy::digest::Algorithm;
use pcopy::engine::{EngineChoice, Reflink};
use pcopy::manifest::{Item, Runs};
use pcopy::sparse::{Preallocate, Sparse};
use pcopy::words::Word;
use pcopy::{ByteRange, CancelToken, Threads, Trust, VerifyJob, Watch};
use pcopy::{
    CopyJob, Error, ErrorKind, Join, Leftovers, OnReadError, Options, Progress, RangeSpec, Size,
};
use proptest::prelude::*;

use crate::common::{Scene, rounds};

/// Long enough for every job here on any machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Ways to use options.
#[derive(Clone, Copy, Debug)]
enum Form {
    Copy,
    Replace,
    Plan,
    Several,
    Stream,
    Batch,
    Verify,
}

const FORMS: [Form; 7] =
    [Form::Copy, Form::Replace, Form::Plan, Form::Several, Form::Stream, Form::Batch, Form::Verify];

fn bytes() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => (0u32..64).prop_map(|bit| 1 << bit),
        1 => prop::sample::select(vec![0, 3, 511, 5000, 10_000, u64::MAX - 1, u64::MAX]),
        1 => any::<u64>(),
    ]
}

fn size() -> impl Strategy<Value = Size> {
    prop_oneof![3 => bytes().prop_map(Size::Bytes), 1 => bytes().prop_map(Size::Sectors)]
}

fn range() -> impl Strategy<Value = RangeSpec> {
    prop_oneof![
        4 => Just(RangeSpec::default()),
        1 => (0u64..6000, 0u64..6000).prop_map(|(a, b)| RangeSpec::from(a.min(b)..a.max(b))),
        1 => (bytes(), bytes()).prop_map(|(start, len)| {
            RangeSpec::from_offset_length(Some(Size::Bytes(start)), Some(Size::Bytes(len)))
        }),
        1 => size().prop_map(RangeSpec::Last),
    ]
}

fn threads() -> impl Strategy<Value = Threads> {
    prop_oneof![
        3 => Just(Threads::Auto),
        3 => (1usize..=4).prop_map(Threads::Exactly),
        1 => prop::sample::select(vec![0, 1024, 1025, usize::MAX]).prop_map(Threads::Exactly),
    ]
}

fn time() -> impl Strategy<Value = Duration> {
    prop::sample::select(vec![Duration::ZERO, Duration::from_secs(5), Duration::MAX])
}

fn word<W: Word + std::fmt::Debug>() -> impl Strategy<Value = W> {
    prop_oneof![2 => Just(W::ALL[0]), 1 => prop::sample::select(W::ALL)]
}

/// Mostly what is asked for by default: with everything else, nothing is copied.
fn flags() -> impl Strategy<Value = [bool; 13]> {
    prop::array::uniform13(prop::bool::weighted(0.15))
}

prop_compose! {
    fn options()(
        (range, dest_offset) in
            (range(), prop_oneof![3 => Just(Size::Bytes(0)), 1 => size()]),
        (threads, stripe_size, io_size) in
            (threads(), prop::option::weighted(0.3, size()), prop::option::weighted(0.3, size())),
        (engine, reflink, sparse, preallocate) in (
            word::<EngineChoice>(), word::<Reflink>(), word::<Sparse>(), word::<Preallocate>(),
        ),
        (on_read_error, leftovers, trust) in
            (word::<OnReadError>(), word::<Leftovers>(), word::<Trust>()),
        (retries, wait, checkpoint_every) in
            (prop::sample::select(vec![0, 2, u32::MAX]), time(), time()),
        limit_rate in prop::option::weighted(
            0.3, prop::sample::select(vec![0, 1 << 30, u64::MAX - 1, u64::MAX]),
        ),
        (digests, only_ranges) in (
            prop::collection::vec(word::<Algorithm>(), 0..3),
            prop::option::weighted(0.2, (0..9000u64, 0..9000u64)),
        ),
        (join, split, digest_every) in
            (word::<Join>(), prop::option::weighted(0.2, size()), prop::option::weighted(0.2, size())),
        flags in flags(),
    ) -> Options {
        let mut options = Options::default();
        (options.range, options.dest_offset) = (range, dest_offset);
        (options.threads, options.stripe_size, options.io_size) = (threads, stripe_size, io_size);
        (options.engine, options.reflink) = (engine, reflink);
        (options.sparse, options.preallocate) = (sparse, preallocate);
        (options.on_read_error, options.leftovers) = (on_read_error, leftovers);
        (options.trust, options.retries) = (trust, retries);
        (options.wait, options.checkpoint_every) = (wait, checkpoint_every);
        (options.limit_rate, options.digests) = (limit_rate, digests);
        (options.join, options.split, options.digest_every) = (join, split, digest_every);
        options.only = only_ranges.map(|(a, b)| ByteRange::between(a, b).into());
        let [clamp, force, in_place, to_device, in_use, same, preserve, sync, cache, verify, repair, check, only] =
            flags;
        (options.clamp, options.force, options.in_place) = (clamp, force, in_place);
        (options.to_device, options.even_if_in_use) = (to_device, in_use);
        (options.allow_same_device, options.preserve) = (same, preserve);
        (options.sync, options.keep_cache) = (!sync, cache);
        (options.verify, options.repair, options.check_source) = (verify, repair, check);
        options.only_changed = only;
        options
    }
}

/// How a job of `form` with `options` ends on a source of `len` bytes.
fn run(options: Options, form: Form, len: usize) -> Result<(), Error> {
    let scene = Scene::new();
    scene.source("source", len);
    if matches!(form, Form::Replace | Form::Verify) {
        scene.source("copy", len);
    }
    let (source, copy) = (scene.path("source"), scene.path("copy"));
    let (progress, cancel) = (Progress::new(), CancelToken::new());
    let watch = Watch::new(&progress, &cancel);
    let job = CopyJob::new(&source, &copy).options(options.clone());
    match form {
        Form::Copy | Form::Replace => job.run().map(drop)?,
        Form::Plan => job.dry_run(&progress).map(drop)?,
        Form::Several => job.also(scene.path("other")).run().map(drop)?,
        Form::Stream => {
            let stream = File::create(scene.path("stream")).expect("a file can be made");
            job.run_into(&stream, watch).map(drop)?;
        }
        Form::Batch => {
            let items = vec![Item::new("one", Runs::Whole), Item::new("two", Runs::Whole)];
            let batch = Batch::new(items, scene.path("out")).source(&source).options(options);
            batch.run().map(drop)?;
        }
        Form::Verify => VerifyJob::new(&source, &copy).options(options).run().map(drop)?,
    }
    Ok(())
}

fn check(options: Options, form: Form, len: usize) -> Result<(), TestCaseError> {
    let (ended, end) = channel();
    std::thread::spawn(move || ended.send(run(options, form, len)));
    // Also where it panicked, which drops the sender.
    let result = end.recv_timeout(PATIENCE);
    let result = result.map_err(|error| TestCaseError::fail(format!("no end: {error}")))?;
    let Err(error) = result else { return Ok(()) };
    let is_defect = matches!(error.kind(), ErrorKind::WorkerPanicked { .. });
    prop_assert!(!is_defect, "{}", error.chain());
    prop_assert!(!error.word().is_empty() && !error.chain().contains("--"), "{}", error.chain());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: rounds("PCOPY_OPTIONS", 150) as u32,
        max_shrink_iters: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_options_make_a_job_panic(
        options in options(),
        form in prop::sample::select(&FORMS[..]),
        len in prop::sample::select(vec![0usize, 1, 5000]),
    ) {
        check(options, form, len)?;
    }
}

/// Each option by itself at its edges, in every form.
#[test]
fn the_edges_of_each_option_are_taken_or_refused() {
    let edges: [fn(&mut Options); 18] = [
        |o| o.io_size = Some(Size::Bytes(0)),
        |o| o.io_size = Some(Size::Sectors(u64::MAX)),
        |o| o.io_size = Some(Size::Bytes(1 << 63)),
        |o| o.stripe_size = Some(Size::Bytes(3)),
        |o| o.stripe_size = Some(Size::Bytes(0)),
        |o| o.stripe_size = Some(Size::Bytes(1 << 40)),
        |o| o.threads = Threads::Exactly(0),
        |o| o.threads = Threads::Exactly(usize::MAX),
        |o| o.dest_offset = Size::Bytes(u64::MAX),
        |o| o.dest_offset = Size::Bytes(i64::MAX as u64),
        |o| o.dest_offset = Size::Sectors(u64::MAX),
        |o| o.retries = u32::MAX,
        |o| o.limit_rate = Some(0),
        |o| o.limit_rate = Some(u64::MAX),
        |o| o.checkpoint_every = Duration::ZERO,
        |o| o.checkpoint_every = Duration::MAX,
        |o| o.range = RangeSpec::from(4000..9000),
        |o| o.range = RangeSpec::Last(Size::Bytes(u64::MAX)),
    ];
    for (at, edge) in edges.into_iter().enumerate() {
        for form in FORMS {
            let mut options = Options::default();
            edge(&mut options);
            check(options, form, 5000).unwrap_or_else(|error| panic!("{at}, {form:?}: {error}"));
        }
    }
    for form in FORMS {
        let refused = |edge: fn(&mut Options), option: &str| {
            let mut options = Options::default();
            edge(&mut options);
            let error = run(options, form, 5000).expect_err(option);
            let ErrorKind::Usage { options, .. } = error.kind() else {
                panic!("{form:?}: {error}")
            };
            assert_eq!(options[..], [option], "{form:?}");
        };
        refused(|o| o.threads = Threads::Exactly(0), "threads");
        refused(|o| o.limit_rate = Some(0), "limit_rate");
    }
}
