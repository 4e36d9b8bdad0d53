//! The choice of an engine: one function from what a copy offers to the
//! engines to try and the reason, and the making of what was chosen.

use super::{Capabilities, Engine, EngineContext, EngineEntry, Reflink, Support, named, offload};
use crate::error::{Refusal, Remedy};
use crate::io::Holes;
use crate::io::page_cache::{CacheState, LARGE};
use crate::pool::controller::Ways;
use crate::report::Fallback;
use crate::sparse::{Layout, Sparse};
use crate::words::{Word, words};

words! {
    /// Which engine the caller wants.
    #[derive(Default)]
    pub enum EngineChoice {
        /// The one that suits best.
        #[default]
        Auto = "auto",
        /// Buffered reads and writes at an offset.
        Positioned = "positioned",
        /// Past the page cache, from aligned buffers.
        Direct = "direct",
        /// The kernel copies, or shares extents.
        Offload = "offload",
        /// Reads into the mapped destination.
        Mmap = "mmap",
        /// The kernel moves pages through a pipe.
        Splice = "splice",
    }
}

impl EngineChoice {
    /// The row of the engine; `None` if the caller leaves the choice open.
    fn row(self) -> Option<&'static EngineEntry> {
        named(self.word())
    }

    /// Whether `engine` is a choice that the caller leaves open.
    pub fn may_be(self, engine: &str) -> bool {
        self == EngineChoice::Auto || self.word() == engine
    }
}

/// The engines to try, best first, and why.
#[derive(Clone)]
pub struct Selection {
    rows: Vec<&'static EngineEntry>,
    /// Another one, which only reads in its own way, that may prove better where each
    /// request takes long.
    patient: Option<&'static EngineEntry>,
    /// Why the first of them.
    pub reason: String,
    capabilities: Capabilities,
}

/// Chooses.
///
/// # Errors
///
/// [`Refusal::EngineUnsuitable`] where the caller named an engine that cannot
/// serve, or insists on sharing extents where that is impossible.
pub fn select(choice: EngineChoice, capabilities: Capabilities) -> Result<Selection, Refusal> {
    let (row, reason) = match choice.row() {
        Some(row) => (row, "asked for"),
        None => best(&capabilities),
    };
    let must_share = capabilities.reflink == Reflink::Always;
    let refused = |reason: &str, remedies: &'static [Remedy]| {
        let (engine, reason) = (row.name, reason.to_owned());
        Err(Refusal::EngineUnsuitable { engine, reason, remedies })
    };
    if must_share && row.name != "offload" {
        let reason = "it cannot share extents, and reflink is always";
        return refused(reason, &[Remedy::NotReflinkAlways]);
    }
    if let Support::No(reason) = (row.suits)(&capabilities) {
        return refused(reason, offload::remedies(reason));
    }
    let alone = must_share || choice != EngineChoice::Auto;
    let last = named("positioned").filter(|last| !alone && last.name != row.name);
    let rows = std::iter::once(row).chain(last).collect();
    let patient = named("direct").filter(|_| !alone && row.name == "positioned");
    let patient = patient.filter(|_| may_be_read_past_cache(&capabilities));
    Ok(Selection { rows, patient, reason: reason.to_owned(), capabilities })
}

/// Chooses for a source that is read as `layout` says, and says what becomes of
/// zeros then. Where holes are read because nobody believes in them, an engine
/// that sees the bytes makes holes of them again, unless extents are shared, which
/// carries holes over as they are, or the engine asked for sees no bytes.
///
/// # Errors
///
/// As of [`select`].
pub fn select_for(
    choice: EngineChoice,
    layout: &Layout,
    about: impl Fn(Sparse) -> Capabilities,
) -> Result<(Selection, Sparse), Refusal> {
    let plain = select(choice, about(layout.asked));
    // Whether the others share extents shows only when it is tried.
    let shares = |plain: &Selection| {
        let known = layout.holes == Holes::Contradicted && plain.may_share();
        known || plain.capabilities().reflink == Reflink::Always
    };
    if layout.sparse() == layout.asked || plain.as_ref().is_ok_and(shares) {
        return plain.map(|plain| (plain, layout.asked));
    }
    match select(choice, about(layout.sparse())) {
        Ok(selection) => Ok((selection, layout.sparse())),
        Err(_) => plain.map(|plain| (plain, layout.asked)),
    }
}

/// The engine that suits best, and why. It always suits.
fn best(capabilities: &Capabilities) -> (&'static EngineEntry, &'static str) {
    let (name, reason) = best_name(capabilities);
    (named(name).expect("only names of the table get here"), reason)
}

fn best_name(capabilities: &Capabilities) -> (&'static str, &'static str) {
    let Capabilities { source, destination, .. } = capabilities;
    let suits =
        |name| named(name).is_some_and(|row| matches!((row.suits)(capabilities), Support::Yes(_)));
    let offload = suits("offload") && capabilities.same_file_system;
    if capabilities.reflink == Reflink::Always {
        return ("offload", "extents are to be shared");
    }
    if offload && destination.may_share() && capabilities.congruent {
        return ("offload", "the file system can share extents");
    }
    if capabilities.bytes < LARGE {
        return ("positioned", "little to copy");
    }
    let larger_than_memory =
        capabilities.memory.is_some_and(|memory| capabilities.bytes > memory / 2);
    let past_cache = source.is_good_past_cache()
        && destination.is_good_past_cache()
        && source.rotational != Some(true)
        && destination.rotational != Some(true)
        && capabilities.threads > 1
        && capabilities.cache_state == CacheState::Cold;
    if past_cache && larger_than_memory {
        return ("direct", "too large for the page cache");
    }
    // A device may have much to answer at once; reading ahead asks for one
    // piece after the other. From file to file, measured, the page cache keeps
    // up with the disk, also of a job that waits for it: writing begins early.
    if past_cache && source.device {
        return ("direct", "a device that is not cached answers many large requests best");
    }
    // Measured: what is in memory already, two workers move with requests that
    // fit the processor's cache in three quarters of the time that the kernel
    // takes, which copies page by page and one after the other.
    if capabilities.cache_state == CacheState::Warm && capabilities.threads > 1 {
        return ("positioned", "the source is in memory, where two workers are faster than one");
    }
    if offload && !destination.may_share() {
        return ("offload", "both files are on one file system, where the kernel copies by itself");
    }
    ("positioned", "serves every source and destination")
}

/// Whether requests past the page cache are a choice for a source that nobody knows
/// to be good at them: whether they are shows when it is copied.
fn may_be_read_past_cache(capabilities: &Capabilities) -> bool {
    let Capabilities { source, .. } = capabilities;
    source.direct.is_some()
        && !source.spins()
        && !capabilities.only_changed
        && capabilities.bytes >= LARGE
        && matches!(capabilities.cache_state, CacheState::Cold | CacheState::Unknown)
}

/// The engines of a copy, made.
pub struct Made {
    /// Best first, but for a patient one before it.
    pub engines: Vec<Box<dyn Engine>>,
    /// The choice between them while copying, if there is one.
    pub ways: Option<Ways>,
    /// Those that did not work here after all.
    pub fallbacks: Vec<Fallback>,
}

impl Selection {
    /// Name of the engine chosen.
    pub fn name(&self) -> &'static str {
        self.rows[0].name
    }

    /// Request size that serves it best, in bytes.
    pub fn io_size(&self) -> u64 {
        self.rows[0].io_size
    }

    /// Whether it is better off with a destination whose storage is reserved: not one
    /// that is written through the page cache, which gathers what belongs together. A
    /// file system in memory fills with zeros what it reserves, one byte after the other.
    pub fn wants_space(&self) -> bool {
        self.rows[0].wants_space && self.capabilities.destination.direct.is_some()
    }

    /// Whether the destination may come to share storage with the source, so
    /// that nobody can say beforehand how much of its own it will need.
    pub fn may_share(&self) -> bool {
        let about = &self.capabilities;
        self.name() == "offload"
            && about.reflink != Reflink::Never
            && about.same_file_system
            && about.congruent
            && about.destination.may_share()
    }

    /// What it was chosen by.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Makes the engines for open ends, where `choosing` also one that may prove better
    /// while they copy.
    ///
    /// # Errors
    ///
    /// If none works; nothing has been written then.
    pub fn make(&self, site: &EngineContext<'_>, choosing: bool) -> Result<Made, Refusal> {
        let mut made = Made { engines: Vec::new(), ways: None, fallbacks: Vec::new() };
        for (at, row) in self.rows.iter().enumerate() {
            match ((row.make)(site), self.rows.get(at + 1)) {
                (Ok(engine), _) => {
                    made.fallbacks.extend(engine.gave_way());
                    made.engines.push(engine);
                }
                (Err(reason), None) if made.engines.is_empty() => {
                    let (engine, remedies) = (row.name, &[]);
                    return Err(Refusal::EngineUnsuitable { engine, reason, remedies });
                }
                // Another engine serves already, or will.
                (Err(_), None) => {}
                (Err(reason), Some(next)) => {
                    let (from, to) = (row.name.to_owned(), next.name.to_owned());
                    made.fallbacks.push(Fallback { from, to, reason });
                }
            }
        }
        if choosing && self.other().is_some() {
            made.choose(self.make_patient(site));
        }
        Ok(made)
    }

    /// Name of the engine that may take the place of the one chosen while they copy,
    /// because it proves better. What is shared already is not to be written again.
    pub fn other(&self) -> Option<&'static str> {
        let other = self.patient.or(self.rows.get(1).copied());
        other.filter(|_| !self.may_share()).map(|row| row.name)
    }

    /// The engine that may prove better, which only reads in its own way.
    fn make_patient(&self, site: &EngineContext<'_>) -> Option<Box<dyn Engine>> {
        let mut capabilities = site.capabilities.clone();
        capabilities.destination.direct = None;
        // Nobody asked for it, so that nothing is said where it does not work.
        (self.patient?.make)(&EngineContext { capabilities: &capabilities, ..*site }).ok()
    }
}

impl Made {
    /// Adds `patient`, and makes two engines a choice.
    fn choose(&mut self, patient: Option<Box<dyn Engine>>) {
        let first = usize::from(patient.is_some());
        self.engines.splice(..0, patient);
        if let [one, other] = &*self.engines {
            let names = [one.name(), other.name()];
            let patient = usize::from(names[0] != "direct");
            self.ways = Some(Ways { names, first, patient });
        }
    }
}
