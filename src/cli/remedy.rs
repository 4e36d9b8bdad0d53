//! What would help, in the words of the command line: the library says what is
//! wrong and knows no option by its flag.

use std::borrow::Cow;

use pcopy::error::Remedy;
use pcopy::{Error, ErrorKind, Refusal};

/// An error with its causes, and what would help.
pub fn said(error: &Error) -> String {
    let kind = error.kind();
    let mut text = match kind {
        ErrorKind::Usage { options, problem } if !options.is_empty() => {
            let flags: Vec<_> = options.iter().map(|option| flag(option)).collect();
            format!("{} {problem}", flags.join(" with "))
        }
        _ => error.chain(),
    };
    // For the others, see `hint`: another command would do.
    let ways = kind.remedies().into_iter().filter(|&remedy| !is_another_command(remedy));
    for (at, remedy) in ways.enumerate() {
        text += match is_list(kind) {
            // What helps against one fault is on one line, as what is wrong is.
            true if !is_second(remedy) => "\npcopy: ",
            false if at == 0 => "; ",
            _ => ", ",
        };
        text += way(remedy, kind);
    }
    text
}

/// Whether no flag helps, but a command of another form.
fn is_another_command(remedy: Remedy) -> bool {
    matches!(remedy, Remedy::Append | Remedy::InOrder)
}

/// Whether it is another way around what the one before it helps against.
fn is_second(remedy: Remedy) -> bool {
    matches!(
        remedy,
        Remedy::ClampRows | Remedy::NumberClashes | Remedy::IgnoreColumns | Remedy::JoinNever
    )
}

/// What helps a further run after one that cannot be resumed as it is.
pub fn said_of_next_run(remedies: &[Remedy]) -> Option<String> {
    let way = |remedy: &Remedy| match remedy {
        Remedy::Restart => Some("--restart copies it anew"),
        Remedy::AllowChangedSource => Some("--resume with --allow-changed-source continues it"),
        _ => None,
    };
    let ways: Vec<_> = remedies.iter().filter_map(way).collect();
    (!ways.is_empty()).then(|| ways.join(", "))
}

fn is_list(kind: &ErrorKind) -> bool {
    matches!(kind, ErrorKind::BadList { .. } | ErrorKind::Refused(Refusal::List { .. }))
}

/// The flag of an option of the library.
pub fn flag(option: &str) -> Cow<'static, str> {
    match option {
        "sync" => "--no-sync".into(),
        "only" => "a choice of ranges".into(),
        "expected_in" => "a digest in the list".into(),
        "digests" => "--digest".into(),
        "expected" => "--expect".into(),
        "leftovers" => "--resume and --restart".into(),
        "trust" => "--trust-leftovers".into(),
        "remote" => "--header".into(),
        option => format!("--{}", option.replace('_', "-")).into(),
    }
}

/// What helps against an error of that kind.
fn way(remedy: Remedy, kind: &ErrorKind) -> &'static str {
    let refusal = match kind {
        ErrorKind::Refused(refusal) => Some(refusal),
        _ => None,
    };
    match (remedy, refusal) {
        (Remedy::Resume, Some(Refusal::Exists { .. })) => "--resume keeps what has its full length",
        (Remedy::Resume, _) => "--resume continues it",
        (Remedy::Restart, Some(Refusal::Leftover { .. })) => "--restart discards it",
        (Remedy::Restart, Some(Refusal::NotOurs { .. })) => {
            "--restart discards it and starts from the beginning"
        }
        (remedy, _) => way_by_itself(remedy),
    }
}

/// What helps, whatever the error is.
fn way_by_itself(remedy: Remedy) -> &'static str {
    match remedy {
        Remedy::Force => "--force replaces it",
        Remedy::Credentials => {
            "--header 'Authorization: ...', or a line in ~/.netrc, gives the credentials"
        }
        Remedy::Keys => {
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or --profile, give the keys; \
             --no-sign-request reads public objects"
        }
        Remedy::InPlace => "--in-place writes into it",
        Remedy::InPlaceAsInTheMap => {
            "with such a map, --in-place says that the destination holds what it calls done"
        }
        Remedy::NotInPlace => "leave --in-place out",
        Remedy::ToDevice => "--to-device writes to it",
        Remedy::NotToDevice => "leave --to-device out",
        Remedy::Clamp => "--clamp copies what exists of it",
        Remedy::ClampAlone => "a single copy with --clamp copies what can be read",
        Remedy::AllowSameDevice => "--allow-same-device goes ahead",
        Remedy::ProtectDevice => {
            "blockdev --setro of the whole disk, or a hardware write blocker, protects it"
        }
        Remedy::ProtectFile => "chmod a-w, or a mount that is read-only, protects it",
        Remedy::Unmount => "umount what is on it",
        Remedy::NotReadOnly => "without --require-read-only it is copied anyway",
        Remedy::EvenIfInUse => "--even-if-in-use writes to it",
        Remedy::IgnoreSpace => "--ignore-space goes ahead, as where the file system compresses",
        Remedy::Resume => "--resume continues what an earlier run left",
        Remedy::Restart => "--restart starts from the beginning",
        Remedy::ForceAndRestart => "--force --restart replaces it",
        Remedy::TrustLeftovers => {
            "--trust-leftovers takes it for what an earlier run left, even if another user wrote it"
        }
        Remedy::AllowChangedSource => "--allow-changed-source continues even so",
        Remedy::MapElsewhere => "--map names another place",
        Remedy::SameMap => "if the first run had --map, name the same map",
        Remedy::PiecesApart => {
            "pieces that do not overlap can be written at once, or all of them by one pcopy batch"
        }
        Remedy::FewerThreads => "fewer --threads need less memory",
        Remedy::SmallerRequests => "a smaller --io-size needs less memory",
        Remedy::AnyEngine => "without --engine, another one takes over",
        Remedy::Grow => "--grow makes it longer",
        Remedy::NotOnlyChanged => "leave --only-changed out",
        Remedy::NotReflinkAlways => "leave --reflink always out",
        Remedy::NotReflinkNever => "leave --reflink never out",
        Remedy::NotSparseNever => "leave --sparse never out",
        Remedy::NameSource => "--source names the source",
        Remedy::NameColumns => "--columns FIELD=COLUMN,... says which column is which",
        Remedy::IgnoreColumns => "--ignore-columns skips unknown ones",
        Remedy::Hexadecimal => "--radix 16 reads the numbers of filefrag -X",
        Remedy::SkipOutside => "--skip-outside leaves out what lies outside",
        Remedy::ClampRows => "--clamp cuts it",
        Remedy::SkipNames => "--skip-names leaves out such names",
        Remedy::SkipClashes => "--skip-clashes leaves out what clashes",
        Remedy::NumberClashes => "--number-clashes gives it a number",
        Remedy::SkipUnmappable => "--skip-unmappable leaves out such files",
        Remedy::Recursive => "-R copies a folder with everything in it",
        Remedy::IgnoreContainer => "--ignore-container takes the ranges as they are",
        Remedy::JoinAlways => "--join always joins what follows it",
        Remedy::JoinNever => "--join never takes it by itself",
        _ => "see pcopy --help",
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use pcopy::Options;

    use super::*;
    use crate::cli::args::Cli;

    /// Flags of every form of the command.
    fn flags() -> Vec<String> {
        let command = Cli::command();
        let all = command.get_subcommands().chain([&command]);
        let long = all.flat_map(|command| command.get_arguments().filter_map(|arg| arg.get_long()));
        long.map(|name| format!("--{name}")).collect()
    }

    fn check_flags(text: &str) {
        let is_flag = |word: &&str| word.starts_with("--");
        for word in text.split(' ').map(|word| word.trim_end_matches([',', ';'])).filter(is_flag) {
            assert!(flags().iter().any(|flag| flag == word), "{word} of {text:?}");
        }
    }

    #[test]
    fn every_option_of_the_library_has_a_flag() {
        let options = serde_json::to_value(Options::default()).unwrap();
        for option in options.as_object().unwrap().keys().map(String::as_str) {
            check_flags(&flag(option));
        }
        ["also", "resume", "restart"].into_iter().for_each(|option| check_flags(&flag(option)));
    }

    #[test]
    fn what_helps_is_said_by_flags_that_there_are() {
        let path = || "x".into();
        let check = |kind: ErrorKind, want: &str| {
            let text = said(&kind.into());
            check_flags(&text);
            assert_eq!(text, want);
        };
        let refused = |refusal: Refusal, want| check(refusal.into(), want);
        refused(
            Refusal::Exists { path: path(), in_batch: false },
            "destination 'x' exists; --force replaces it, --in-place writes into it",
        );
        refused(
            Refusal::Exists { path: path(), in_batch: true },
            "destination 'x' exists; --resume keeps what has its full length, \
             --force replaces it",
        );
        refused(
            Refusal::Leftover { resumable: true, path: path() },
            "an earlier run left 'x'; --resume continues it, --restart discards it",
        );
        refused(Refusal::Busy { path: path() }, "another copy is writing 'x'");
        check(
            ErrorKind::usage_of(&["io_size"], "must be a power of two"),
            "--io-size must be a power of two",
        );
        check(
            ErrorKind::usage_of(&["map", "also"], "has no meaning"),
            "--map with --also has no meaning",
        );
        check(ErrorKind::usage("nothing is there"), "nothing is there");
    }

    #[test]
    fn ways_around_a_list_stand_on_lines_of_their_own() {
        use pcopy::error::Fault;
        let faults = [Fault::Outside, Fault::Column].into();
        let kind = ErrorKind::BadList { lines: "line 1: a\nline 2: b".to_owned(), faults };
        let text = said(&kind.into());
        check_flags(&text.replace('\n', " ").replace("FIELD=COLUMN,...", ""));
        let ways = "pcopy: --skip-outside leaves out what lies outside, --clamp cuts it\n\
                    pcopy: --columns FIELD=COLUMN,... says which column is which, \
                    --ignore-columns skips unknown ones";
        assert_eq!(text, format!("line 1: a\nline 2: b\n{ways}"));
    }
}
