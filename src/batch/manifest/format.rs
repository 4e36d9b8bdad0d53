//! Which format a manifest is in.

use std::path::Path;
use std::str::FromStr;

/// A format manifests are read from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Comma-separated values with a header.
    Csv,
    /// Tab-separated values with a header.
    Tsv,
    /// One JSON object a line.
    Jsonl,
    /// `START END NAME` under a `#pcopy v1` line.
    Plain,
    /// Digital Forensics XML, as `fiwalk` writes it.
    Dfxml,
    /// What `filefrag -v` prints.
    Filefrag,
    /// The map of GNU ddrescue.
    Mapfile,
    /// The block map of `bmaptool`.
    Bmap,
    /// What `mmls` of the Sleuth Kit prints.
    Mmls,
}

/// Names of formats, and the endings of file names that tell them.
const NAMES: [(Format, &str, &[&str]); 9] = [
    (Format::Csv, "csv", &["csv"]),
    (Format::Tsv, "tsv", &["tsv", "tab"]),
    (Format::Jsonl, "jsonl", &["jsonl", "ndjson"]),
    (Format::Plain, "plain", &[]),
    (Format::Dfxml, "dfxml", &["dfxml"]),
    (Format::Filefrag, "filefrag", &["filefrag"]),
    (Format::Mapfile, "mapfile", &["mapfile"]),
    (Format::Bmap, "bmap", &["bmap"]),
    (Format::Mmls, "mmls", &["mmls"]),
];

/// A name that is none of a format.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{0:?} is no manifest format: csv, tsv, jsonl, plain, dfxml, filefrag, mapfile, bmap, mmls"
)]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Format, UnknownFormat> {
        let found = NAMES.iter().find(|(_, name, _)| name.eq_ignore_ascii_case(text));
        found.map(|row| row.0).ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}

impl Format {
    /// The name `--format` takes.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|row| row.0 == self).map_or("", |row| row.1)
    }

    /// The format of a manifest that begins with `head`. Signatures that no
    /// other format can carry come first, then the ending of the file's name,
    /// then the look of the first line.
    pub fn detect(manifest: Option<&Path>, head: &[u8]) -> Option<Format> {
        Format::by_signature(head)
            .or_else(|| Format::by_ending(manifest?))
            .or_else(|| Format::by_look(head))
    }

    fn by_signature(head: &[u8]) -> Option<Format> {
        let first = head.trim_ascii_start();
        if first.starts_with(b"<") {
            return [(Format::Dfxml, &b"<dfxml"[..]), (Format::Bmap, b"<bmap")]
                .into_iter()
                .find_map(|(format, root)| contains(first, root).then_some(format));
        }
        if first.starts_with(b"Filesystem type is:") || first.starts_with(b"File size of ") {
            return Some(Format::Filefrag);
        }
        let mut lines = first.split(|&byte| byte == b'\n').take(16);
        if lines.clone().any(|line| line.starts_with(b"#pcopy ")) {
            return Some(Format::Plain);
        }
        if first.starts_with(b"#") && contains(first, b"GNU ddrescue") {
            return Some(Format::Mapfile);
        }
        lines.any(|line| line.starts_with(b"Units are in ")).then_some(Format::Mmls)
    }

    fn by_ending(manifest: &Path) -> Option<Format> {
        let ending = manifest.extension()?.to_str()?.to_ascii_lowercase();
        NAMES.iter().find(|row| row.2.contains(&ending.as_str())).map(|row| row.0)
    }

    fn by_look(head: &[u8]) -> Option<Format> {
        let mut lines = head.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
        let line = lines.find(|line| !line.is_empty() && !line.starts_with(b"#"))?;
        if line.starts_with(b"{") {
            return Some(Format::Jsonl);
        }
        // A header without the one required column is no header.
        let delimiter = if line.contains(&b'\t') { b'\t' } else { b',' };
        let mut cells = line.split(|&byte| byte == delimiter).filter_map(|cell| {
            std::str::from_utf8(cell).ok().map(|cell| cell.trim().trim_matches('"'))
        });
        let names = |cell| super::Field::from_name(cell) == Some(super::Field::Name);
        match (cells.any(names), delimiter) {
            (false, _) => None,
            (true, b'\t') => Some(Format::Tsv),
            (true, _) => Some(Format::Csv),
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_have_names() {
        for (format, name, _) in NAMES {
            assert_eq!(name.parse(), Ok(format));
            assert_eq!(format.name(), name);
        }
        assert!("xlsx".parse::<Format>().is_err());
    }

    #[test]
    fn a_format_is_told_by_signature_then_ending_then_look() {
        let check = |file: &str, head: &str, want: Option<Format>| {
            assert_eq!(Format::detect(Some(Path::new(file)), head.as_bytes()), want, "{head:?}");
        };
        check("-", "name,start,end\n", Some(Format::Csv));
        check("-", "# by hand\n\n\"name\", start,len\r\n", Some(Format::Csv));
        check("-", "start\tlen\tname\n", Some(Format::Tsv));
        check("-", "name\n", Some(Format::Csv));
        check("-", " {\"name\":\"a\"}\n", Some(Format::Jsonl));
        check("-", "# a\n#pcopy v1 end=exclusive\n0 1 a\n", Some(Format::Plain));
        check("-", "<?xml version='1.0'?>\n<dfxml>", Some(Format::Dfxml));
        check("-", "<?xml version='1.0'?>\n<!-- x -->\n<bmap version='2.0'>", Some(Format::Bmap));
        check("-", "Filesystem type is: ef53\n", Some(Format::Filefrag));
        check("-", "# Mapfile. Created by GNU ddrescue version 1.27\n", Some(Format::Mapfile));
        check("-", "DOS Partition Table\nOffset Sector: 0\nUnits are in 512", Some(Format::Mmls));
        check("a.TSV", "anything\n", Some(Format::Tsv));
        check("a.mapfile", "0 + 1\n", Some(Format::Mapfile));
        check("a.csv", "#pcopy v1 end=inclusive\n", Some(Format::Plain));
        check("-", "0 512 a\n", None);
        check("-", "<html>", None);
        check("-", "", None);
    }
}
