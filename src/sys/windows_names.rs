//! Names with a meaning of their own on Windows: devices that are opened by
//! path, and names that no file can have. Pure, so that it is tested
//! everywhere.

use std::ffi::OsStr;
use std::path::Path;

/// What a path names, as far as its text says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Named {
    /// A file, a directory, or nothing.
    File,
    /// A disk or volume, by its name among the devices.
    Disk(String),
    /// A pipe.
    Pipe,
    /// A console, a port, a tape, or what else is not read at positions.
    OtherDevice,
}

/// What `path` names.
///
/// A device is `\\.\NAME` or `\\?\NAME` without anything behind the name: with
/// a separator it is a file on that volume, or its root.
pub fn classify(path: &Path) -> Named {
    let Some(text) = path.to_str() else { return Named::File };
    let Some(name) = device_part(text) else {
        let last = text.rsplit(['\\', '/']).next().unwrap_or_default();
        return if reserved(last).is_some() { Named::OtherDevice } else { Named::File };
    };
    if starts_with(&name, r"pipe\") {
        return Named::Pipe;
    }
    let object = strip(&name, r"GLOBALROOT\Device\").unwrap_or(&name);
    if is_disk(object) {
        return Named::Disk(name);
    }
    let is_path = object.contains('\\') || text.starts_with(r"\\?\");
    if is_path { Named::File } else { Named::OtherDevice }
}

/// The name behind `\\.\` (in any slashes) or `\\?\` (as it is).
fn device_part(text: &str) -> Option<String> {
    if let Some(name) = text.strip_prefix(r"\\?\") {
        return Some(name.to_owned());
    }
    text.replace('/', r"\").strip_prefix(r"\\.\").map(str::to_owned)
}

/// Whether an object of the device namespace is read at positions.
fn is_disk(object: &str) -> bool {
    let numbered = |prefix| strip(object, prefix).is_some_and(is_number);
    let drive_letter = matches!(object.as_bytes(), [letter, b':'] if letter.is_ascii_alphabetic());
    let volume =
        strip(object, "Volume{").is_some_and(|rest| rest.find('}') == Some(rest.len() - 1));
    let partition = |middle: &str| {
        let parts = strip(object, "Harddisk").and_then(|rest| split(rest, middle));
        parts.is_some_and(|(disk, part)| is_number(disk) && is_number(part))
    };
    drive_letter
        || volume
        || ["PhysicalDrive", "CdRom", "HarddiskVolume", "HarddiskVolumeShadowCopy"]
            .into_iter()
            .any(numbered)
        || ["Partition", r"\Partition", r"\DR"].into_iter().any(partition)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn strip<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    starts_with(text, prefix).then(|| &text[prefix.len()..])
}

/// `text` before and after `middle`, in any case.
fn split<'a>(text: &'a str, middle: &str) -> Option<(&'a str, &'a str)> {
    let at = text.to_ascii_lowercase().find(&middle.to_ascii_lowercase())?;
    Some((&text[..at], &text[at + middle.len()..]))
}

/// The device that `name` stands for in any directory, whatever its extension.
pub fn reserved(name: &str) -> Option<&'static str> {
    const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];
    let stem = name.split(['.', ':']).next().unwrap_or_default().trim_end_matches(' ');
    let numbered = |port| {
        // One digit, which may also be one of the three superscripts of Latin 1.
        let digit = strip(stem, port).unwrap_or_default();
        let mut digits = digit.chars();
        matches!((digits.next(), digits.next()), (Some('1'..='9' | '¹' | '²' | '³'), None))
    };
    let plain = DEVICES.into_iter().find(|device| stem.eq_ignore_ascii_case(device));
    plain.or_else(|| ["COM", "LPT"].into_iter().find(|&port| numbered(port)))
}

/// Longest name in a directory, in units of UTF-16.
const LONGEST: usize = 255;

/// Why no file can be called `name`; `None` if one can.
pub fn unusable(name: &OsStr) -> Option<&'static str> {
    let name = name.to_string_lossy();
    if reserved(&name).is_some() {
        return Some("Windows keeps this name for a device");
    }
    // A colon would make a stream of another file.
    let kept = |character: char| character < ' ' || r#"<>:"/\|?*"#.contains(character);
    if name.contains(kept) {
        return Some("Windows allows no < > : \" / \\ | ? * or control character in a name");
    }
    if name.encode_utf16().count() > LONGEST {
        return Some("the name is too long: Windows allows 255 characters");
    }
    if name.ends_with([' ', '.']) {
        return Some("Windows drops a dot or space at the end of a name");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_apart() {
        let check = |path: &str, expected: Named| {
            assert_eq!(classify(Path::new(path)), expected, "{path}");
        };
        for (path, name) in [
            (r"\\.\X:", "X:"),
            (r"\\?\x:", "x:"),
            ("//./X:", "X:"),
            (r"\\.\PhysicalDrive1", "PhysicalDrive1"),
            (r"\\.\PHYSICALDRIVE12", "PHYSICALDRIVE12"),
            (r"\\?\Volume{01234567-89ab-cdef}", "Volume{01234567-89ab-cdef}"),
            (r"\\.\Harddisk0Partition2", "Harddisk0Partition2"),
            (r"\\.\CdRom0", "CdRom0"),
            (
                r"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy3",
                r"GLOBALROOT\Device\HarddiskVolumeShadowCopy3",
            ),
            (
                r"\\?\GLOBALROOT\Device\Harddisk0\Partition1",
                r"GLOBALROOT\Device\Harddisk0\Partition1",
            ),
        ] {
            check(path, Named::Disk(name.to_owned()));
        }
        for path in [
            "a",
            r"C:\a",
            r"\\.\X:\",
            r"\\.\X:\a",
            r"\\?\C:\long",
            r"\\?\Volume{01234567}\a",
            r"\\?\Volume{01234567}\",
            r"\\server\share\a",
            r"\\?\UNC\server\share\a",
            r"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy3\a",
            "X:",
            "",
        ] {
            check(path, Named::File);
        }
        for path in
            [r"\\.\COM1", r"\\.\NUL", r"\\.\Tape0", r"\\.\PhysicalDrive", "NUL", r"C:\a\con.txt"]
        {
            check(path, Named::OtherDevice);
        }
        check(r"\\.\pipe\x", Named::Pipe);
        check(r"\\.\PIPE\a\b", Named::Pipe);
    }

    #[test]
    fn names_no_file_can_have() {
        for name in ["con", "NUL.txt", "Com1", "lpt9.tar.gz", "COM³", "aux ", "prn .x", "CONIN$"] {
            let reason = unusable(OsStr::new(name));
            assert!(reason.is_some_and(|reason| reason.contains("device")), "{name}");
        }
        for name in ["a:b", "what?", "a|b", "tab\t", "end.", "end ", "a/b", r"a\b", "\"q\""] {
            assert!(unusable(OsStr::new(name)).is_some(), "{name}");
        }
        let (fits, too_long) = ("ü".repeat(255), "n".repeat(256));
        assert_eq!(unusable(OsStr::new(&fits)), None);
        assert!(unusable(OsStr::new(&too_long)).is_some_and(|reason| reason.contains("too long")));
        for name in ["a", "con1", "com0", "COM10", "COM", "null", "a.con", "ünïcode", ".hidden"] {
            assert_eq!(unusable(OsStr::new(name)), None, "{name}");
        }
    }
}
