//! A word for each thing that can go wrong: `error_kind` of a report, for
//! programs. A word may be added; none changes its meaning.

use super::{Error, ErrorKind, MapRefusal, Refusal, SplitRefusal};

/// Gives each variant of an enum its word.
macro_rules! words_of {
    ($name:ident, $all:ident { $($variant:ident = $word:literal,)+ }) => {
        const $all: &[&str] = &[$($word),+];

        impl $name {
            fn own_word(&self) -> &'static str {
                match self {
                    $($name::$variant { .. } => $word,)+
                }
            }
        }
    };
}

words_of!(ErrorKind, OF_ERRORS {
    Usage = "usage",
    BadList = "bad_list",
    // Each refusal has a word of its own.
    Refused = "refused",
    Discarded = "discarded",
    Read = "read",
    SourceShrank = "source_shrank",
    StreamEnded = "stream_ended",
    SourceGone = "source_gone",
    SourceChanged = "source_changed",
    DestinationChanged = "destination_changed",
    Write = "write",
    Destination = "destination",
    NotNamed = "not_named",
    Sync = "sync",
    Journal = "journal",
    DigestMismatch = "digest_mismatch",
    RangeMismatch = "range_mismatch",
    VerifyMismatch = "verify_mismatch",
    OldMismatch = "old_mismatch",
    LeftOut = "left_out",
    OutOfMemory = "out_of_memory",
    NoThread = "no_thread",
    EngineGaveWay = "engine_gave_way",
    WorkerPanicked = "worker_panicked",
    Cancelled = "cancelled",
});

words_of!(Refusal, OF_REFUSALS {
    CannotOpen = "cannot_open",
    NoMedium = "no_medium",
    Unprotected = "unprotected",
    NoEnd = "no_end",
    EndsEarly = "ends_early",
    NotCopyable = "not_copyable",
    Range = "outside",
    TooFar = "too_far",
    Exists = "exists",
    CannotReplace = "cannot_replace",
    InUse = "in_use",
    NothingInPlace = "nothing_in_place",
    NothingToUpdate = "nothing_to_update",
    Leftover = "leftover",
    NotAPart = "not_a_part",
    NotOurs = "not_ours",
    NothingToResume = "nothing_to_resume",
    NotWhatWasCopied = "not_what_was_copied",
    NothingToCompare = "nothing_to_compare",
    Busy = "busy",
    PieceBusy = "piece_busy",
    DeviceWithoutConsent = "device_without_consent",
    DeviceAsStream = "device_as_stream",
    NotADevice = "not_a_device",
    DeviceBusy = "mounted",
    DeviceReadOnly = "read_only",
    DeviceTooSmall = "device_too_small",
    PastEnd = "past_end",
    SameFile = "same_file",
    Overlap = "overlap",
    SameDevice = "same_device",
    HoldsSource = "holds_source",
    InTheWay = "in_the_way",
    TooLarge = "too_large",
    NoSuchDirectory = "no_such_directory",
    NoSpace = "no_space",
    AmongDevices = "among_devices",
    NoDirectory = "no_directory",
    CannotCreate = "cannot_create",
    NoRename = "no_rename",
    WriteOnly = "write_only",
    CannotWrite = "cannot_write",
    CannotRead = "cannot_read",
    EngineUnsuitable = "engine_unsuitable",
    CannotReserve = "cannot_reserve",
    List = "list",
    // Each has a word of its own.
    Map = "map",
    Split = "split",
    RequestTooLarge = "request_too_large",
    OtherJob = "other_job",
    Other = "other",
});

words_of!(MapRefusal, OF_MAPS {
    Foreign = "foreign_map",
    Alien = "alien_map",
    InTheWay = "map_in_the_way",
    CannotMake = "no_map",
    Unusable = "bad_map",
});

words_of!(SplitRefusal, OF_SPLITS {
    Piece = "piece",
    OneMorePiece = "one_more_piece",
    SegmentExists = "segment_exists",
});

/// The same word, where `text` is one of those that [`Error::word`] gives: a record
/// that was written earlier has it as text.
pub(crate) fn known_word(text: &str) -> Option<&'static str> {
    let all = [OF_ERRORS, OF_REFUSALS, OF_MAPS, OF_SPLITS];
    all.into_iter().flatten().find(|word| **word == text).copied()
}

impl ErrorKind {
    /// What went wrong, in a word that stays: `error_kind` of a report. Of a
    /// refusal it is the word of that.
    pub fn word(&self) -> &'static str {
        match self {
            ErrorKind::Refused(refusal) => refusal.word(),
            kind => kind.own_word(),
        }
    }
}

impl Refusal {
    /// Why, in a word that stays.
    pub fn word(&self) -> &'static str {
        match self {
            Refusal::Map(refusal) => refusal.own_word(),
            Refusal::Split(refusal) => refusal.own_word(),
            refusal => refusal.own_word(),
        }
    }
}

impl Error {
    /// As [`ErrorKind::word`].
    pub fn word(&self) -> &'static str {
        self.kind().word()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scripts compare with these: one may be added, and none changes.
    const GOLDEN: &str = "\
alien_map among_devices bad_list bad_map busy cancelled cannot_create cannot_open cannot_read \
cannot_replace cannot_reserve cannot_write destination destination_changed device_as_stream \
device_too_small device_without_consent digest_mismatch discarded ends_early engine_gave_way \
engine_unsuitable exists foreign_map holds_source in_the_way in_use journal left_out leftover list \
map_in_the_way mounted no_directory no_end no_map no_medium no_rename no_space no_such_directory no_thread \
not_a_device not_a_part not_copyable not_named not_ours not_what_was_copied nothing_in_place \
nothing_to_compare nothing_to_resume nothing_to_update old_mismatch one_more_piece other other_job \
out_of_memory outside overlap past_end piece piece_busy range_mismatch read read_only request_too_large same_device same_file \
segment_exists source_changed source_gone source_shrank stream_ended sync too_far too_large unprotected usage verify_mismatch \
worker_panicked write write_only";

    #[test]
    fn every_kind_and_every_refusal_has_a_word_of_its_own_that_stays() {
        let mut words = [OF_ERRORS, OF_REFUSALS, OF_MAPS, OF_SPLITS].concat();
        words.retain(|word| !matches!(*word, "refused" | "map" | "split"));
        words.sort_unstable();
        assert_eq!(words.join(" "), GOLDEN);
        let all = words.len();
        words.dedup();
        assert_eq!(words.len(), all, "no word stands for two things");
        let is_word = |word: &str| word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        assert!(words.iter().all(|word| is_word(word)));
    }

    #[test]
    fn the_word_of_a_refusal_is_that_of_the_error() {
        let refusal = || Refusal::Busy { path: "x".into() };
        assert_eq!(Error::from(refusal()).word(), "busy");
        assert_eq!(ErrorKind::Discarded { source: refusal() }.word(), "discarded");
        assert_eq!(ErrorKind::Cancelled.word(), "cancelled");
    }

    /// The page for callers has a row for each.
    #[test]
    fn every_word_is_documented() {
        let page = include_str!("../../docs/library.md");
        for word in GOLDEN.split(' ') {
            assert!(page.contains(&format!("`{word}`")), "{word} is not in docs/library.md");
        }
    }
}
