//! Commands that a message advises, fit to be pasted into a shell.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use pcopy::error::{Remedy, is_shown};

use super::remote::{SECRET_OPTIONS, shown};

/// Commands whose options follow their name.
const COMMANDS: [&str; 2] = ["batch", "verify"];

/// The command that was typed, with `--resume`. `engine` is the one that it
/// used, and is left out if it serves new files only, as those that are mapped.
pub fn resume_command(engine: &str) -> String {
    let without: &[&str] = if engine == "mmap" { &["--engine"] } else { &[] };
    resumed(super::typed::words(), without)
}

/// The command that would do for one copy, where another one would.
pub fn way_on(remedy: Remedy, source: &Path, destination: &Path) -> Option<String> {
    let words = [source, destination].map(|path| shell_word(shown(path.as_os_str()).as_os_str()));
    let [source, destination] = &words;
    let streams = |into: &str| {
        format!("this writes in order, to the end: pcopy {source} - {into} {destination}")
    };
    match remedy {
        Remedy::InOrder => Some(streams(">")),
        Remedy::Append => Some(streams(">>")),
        _ => None,
    }
}

/// What would do for a batch, where another command would.
pub fn batch_remedy(remedy: Remedy) -> Option<&'static str> {
    match remedy {
        Remedy::InOrder | Remedy::Append => {
            Some("one file at a time goes there in order: pcopy SOURCE - > DEST")
        }
        _ => None,
    }
}

/// Options `without` are left out with their values.
fn resumed(typed: Vec<OsString>, without: &[&str]) -> String {
    let mut words: Vec<String> = Vec::with_capacity(typed.len() + 1);
    let mut typed = typed.into_iter();
    words.extend(typed.next().map(|program| shell_word(&program)));
    let mut options = true;
    let mut is_value_left_out = false;
    for word in typed {
        // What follows two dashes is a name, whatever it looks like.
        options &= word != "--";
        let left_out = options && (word == "--restart" || word == "--resume");
        let of_option = |option: &&&str| {
            let rest = word.as_encoded_bytes().strip_prefix(option.as_bytes());
            options && rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'=')
        };
        let option = without.iter().chain(SECRET_OPTIONS).find(of_option);
        if !std::mem::take(&mut is_value_left_out) && !left_out && option.is_none() {
            words.push(shell_word(shown(&word).as_os_str()));
        }
        is_value_left_out = option.is_some_and(|option| word == *option);
    }
    // Before the operands, so that a `--` among the words stays in front of
    // them; behind the name of a command, whose option it is.
    let is_command = words.get(1).is_some_and(|word| COMMANDS.contains(&&**word));
    words.insert(words.len().min(if is_command { 2 } else { 1 }), "--resume".to_owned());
    words.join(" ")
}

/// The command that was typed, fit to be kept: without credentials.
pub fn shown_command(typed: Vec<OsString>) -> String {
    const LEFT_OUT: &str = "(left out)";
    let (mut words, mut options, mut is_secret) = (Vec::with_capacity(typed.len()), true, false);
    for word in typed {
        options &= word != "--";
        let text = word.to_string_lossy();
        let named = SECRET_OPTIONS.iter().find(|option| {
            options && text.strip_prefix(**option).is_some_and(|rest| rest.starts_with('='))
        });
        words.push(match named {
            _ if std::mem::take(&mut is_secret) => format!("'{LEFT_OUT}'"),
            Some(option) => format!("{option}='{LEFT_OUT}'"),
            None => shell_word(shown(&word).as_os_str()),
        });
        is_secret = options && SECRET_OPTIONS.iter().any(|option| word == *option);
    }
    words.join(" ")
}

/// A word as a shell reads it back; what cannot be shown or is not UTF-8 needs
/// `$'...'`.
pub fn shell_word(word: &OsStr) -> String {
    let bytes = word.as_encoded_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./=:,+@%".contains(byte);
    if !bytes.is_empty() && bytes.iter().all(plain) && bytes[0] != b'=' {
        return word.to_string_lossy().into_owned();
    }
    match word.to_str() {
        Some(text) if text.chars().all(is_shown) => format!("'{}'", text.replace('\'', r"'\''")),
        _ => {
            let escape = |&byte: &u8| match byte {
                b' '..=b'~' if byte != b'\'' && byte != b'\\' => char::from(byte).to_string(),
                _ => format!("\\x{byte:02x}"),
            };
            format!("$'{}'", bytes.iter().map(escape).collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        let check = |word: &str, shell| assert_eq!(shell_word(word.as_ref()), shell);
        check("plain-1.img", "plain-1.img");
        check("", "''");
        check("two words", "'two words'");
        check("it's", r"'it'\''s'");
        check("new\nline", r"$'new\x0aline'");
        check("größe", "'größe'");
        check("\u{202e}x", r"$'\xe2\x80\xaex'");
        check("=x", "'=x'");
        check("~", "'~'");
    }

    #[test]
    fn a_command_is_kept_without_credentials() {
        let check = |typed: &[&str], want: &str| {
            assert_eq!(shown_command(typed.iter().map(OsString::from).collect()), want);
        };
        check(&["pcopy", "--note", "two words", "a", "b"], "pcopy --note 'two words' a b");
        check(
            &["pcopy", "--header", "Authorization: x", "http://me:secret@h/a?x=1&sig=2", "b"],
            "pcopy --header '(left out)' 'http://h/a?x=1' b",
        );
        check(&["pcopy", "--header=A: x", "a"], "pcopy --header='(left out)' a");
        check(&["pcopy", "--", "--header", "a"], "pcopy -- --header a");
    }

    #[test]
    fn options_that_would_not_do_again_are_left_out() {
        let check = |typed: &str, without: &[&str], want: &str| {
            let typed = typed.split(' ').map(OsString::from).collect();
            assert_eq!(resumed(typed, without), want);
        };
        check("pcopy a b", &[], "pcopy --resume a b");
        check("pcopy --restart -t 2 a b", &[], "pcopy --resume -t 2 a b");
        check("pcopy -- --restart b", &[], "pcopy --resume -- --restart b");
        check("pcopy batch --restart l", &[], "pcopy batch --resume l");
        check("pcopy --engine mmap a b", &["--engine"], "pcopy --resume a b");
        check("pcopy --engine=mmap a b", &["--engine"], "pcopy --resume a b");
        check("pcopy --engines a b", &["--engine"], "pcopy --resume --engines a b");
        check(
            "pcopy --header Authorization:x http://me:secret@h/a?x=1 b",
            &[],
            "pcopy --resume 'http://h/a?x=1' b",
        );
        check("pcopy --header=A:x a b", &[], "pcopy --resume a b");
        check("pcopy -- --engine mmap", &["--engine"], "pcopy --resume -- --engine mmap");
    }
}
