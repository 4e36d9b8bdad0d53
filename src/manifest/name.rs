//! Names a batch may give to files, and those it refuses: a list from
//! elsewhere must not decide what is written outside the directory.

use std::path::Path;

use super::bounds::{DEEPEST, LONGEST_COMPONENT, LONGEST_PATH};

/// Names Windows keeps for devices, whatever their extension.
const RESERVED: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// Whose file names are meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rules {
    /// A `/` divides, everything else but NUL is a name.
    Unix,
    /// Reserved names, reserved characters, and case that does not count.
    Windows,
}

impl Rules {
    /// The rules of this machine.
    pub(super) const HERE: Rules =
        if crate::sys::WINDOWS_NAMES { Rules::Windows } else { Rules::Unix };
}

/// Why a path is longer than any that is taken, or `None`: told while a list is
/// read, so that it is not kept until then.
pub(super) fn too_long(path: &[u8]) -> Option<String> {
    if path.len() > LONGEST_PATH {
        return Some(format!("has {} bytes, and a path has at most {LONGEST_PATH}", path.len()));
    }
    let depth = path.iter().filter(|&&byte| byte == b'/').count();
    let too_deep = || format!("lies {depth} directories deep, and at most {DEEPEST} are made");
    (depth > DEEPEST).then(too_deep)
}

/// Why a name is refused, or `None`.
pub(super) fn refusal(name: &[u8], rules: Rules) -> Option<String> {
    let why = match name {
        [] => "is empty",
        [b'/', ..] => "is absolute",
        [.., b'/'] => "ends in a slash",
        _ if name.contains(&0) => "contains NUL",
        _ if too_long(name).is_some() => return too_long(name),
        _ => return name.split(|&byte| byte == b'/').find_map(|part| component(part, rules)),
    };
    Some(why.to_owned())
}

fn component(part: &[u8], rules: Rules) -> Option<String> {
    match part {
        b"" => Some("has an empty component".to_owned()),
        b"." => Some("has a component `.`".to_owned()),
        b".." => Some("has a component `..`".to_owned()),
        _ if part.len() > LONGEST_COMPONENT => Some(format!(
            "has a component of {} bytes, and file systems take {LONGEST_COMPONENT}",
            part.len()
        )),
        _ if rules == Rules::Windows => windows(part),
        _ => None,
    }
}

fn windows(part: &[u8]) -> Option<String> {
    if let Some(&byte) = part.iter().find(|byte| **byte < 32 || b"<>:\"\\|?*".contains(byte)) {
        return Some(format!("contains {:?}, which Windows reserves", byte as char));
    }
    if part.ends_with(b".") || part.ends_with(b" ") {
        return Some("ends in a dot or a space, which Windows drops".to_owned());
    }
    let stem = part.split(|&byte| byte == b'.').next().unwrap_or(part).trim_ascii_end();
    let stem = String::from_utf8_lossy(stem).to_ascii_uppercase();
    let numbered = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    let number = |rest: &str| {
        matches!(rest, "\u{b9}" | "\u{b2}" | "\u{b3}")
            || rest.len() == 1 && rest.bytes().all(|byte| byte.is_ascii_digit())
    };
    let reserved = RESERVED.contains(&stem.as_str()) || numbered.is_some_and(number);
    reserved.then(|| format!("is {stem}, a device on Windows"))
}

/// Bytes as a path of this system; `None` where paths are Unicode and the
/// bytes are not.
pub(crate) fn path_from_bytes(bytes: &[u8]) -> Option<&Path> {
    crate::sys::path_from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, unix: &str, windows: &str) {
        for (rules, want) in [(Rules::Unix, unix), (Rules::Windows, windows)] {
            let why = refusal(name.as_bytes(), rules);
            match want {
                "" => assert_eq!(why, None, "{name:?} under {rules:?}"),
                _ => assert!(
                    why.as_deref().is_some_and(|why| why.contains(want)),
                    "{name:?} under {rules:?}: {why:?} does not say {want:?}"
                ),
            }
        }
    }

    #[test]
    fn names_that_escape_or_cannot_be_are_refused_everywhere() {
        for (name, want) in [
            ("", "empty"),
            ("/etc/passwd", "absolute"),
            ("a/", "slash"),
            ("a\0b", "NUL"),
            ("..", "`..`"),
            ("a/../b", "`..`"),
            ("../a", "`..`"),
            (".", "`.`"),
            ("./a", "`.`"),
            ("a/./b", "`.`"),
            ("a//b", "empty component"),
        ] {
            check(name, want, want);
        }
        check(&"x".repeat(256), "256 bytes", "256 bytes");
        check(&format!("a/{}/b", "é".repeat(128)), "256 bytes", "256 bytes");
        check(&"x".repeat(255), "", "");
    }

    #[test]
    fn ordinary_names_are_taken() {
        for name in ["a", "a/b/c.txt", "with space", "...", "..a", "a..", "-", "é"] {
            check(name, "", if name.ends_with('.') { "dot" } else { "" });
        }
        assert_eq!(refusal(b"\xFF\xFE", Rules::Unix), None);
    }

    #[test]
    fn what_windows_reserves_is_refused_there_and_only_there() {
        for name in ["con", "a/NUL", "nul.txt", "aux .c", "COM1", "lpt9.log", "COM\u{b9}", "CONIN$"]
        {
            check(name, "", "device on Windows");
        }
        for name in ["C:evil", "a\\b", "..\\a", "a:stream", "new\nline", "a?"] {
            check(name, "", "Windows reserves");
        }
        for name in ["a.", "b /c", "d "] {
            check(name, "", "Windows drops");
        }
        for name in ["console", "COM", "COM10", "nulls", "a/comma"] {
            check(name, "", "");
        }
    }
}
