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
    /// What `sfdisk -d` and `sfdisk -J` print.
    Sfdisk,
    /// What `parted -sm DEVICE unit B print` prints.
    Parted,
    /// What `lsblk -bJ -o NAME,START,SIZE` prints.
    Lsblk,
    /// What `qemu-img map --output=json` prints.
    QemuMap,
    /// A program file of Qualcomm's flashing tools.
    Rawprogram,
}

/// Names of formats, and the endings of file names that tell them.
const NAMES: [(Format, &str, &[&str]); 14] = [
    (Format::Csv, "csv", &["csv"]),
    (Format::Tsv, "tsv", &["tsv", "tab"]),
    (Format::Jsonl, "jsonl", &["jsonl", "ndjson", "json"]),
    (Format::Plain, "plain", &[]),
    (Format::Dfxml, "dfxml", &["dfxml"]),
    (Format::Filefrag, "filefrag", &["filefrag"]),
    (Format::Mapfile, "mapfile", &["mapfile"]),
    (Format::Bmap, "bmap", &["bmap"]),
    (Format::Mmls, "mmls", &["mmls"]),
    (Format::Sfdisk, "sfdisk", &["sfdisk"]),
    (Format::Parted, "parted", &["parted"]),
    (Format::Lsblk, "lsblk", &["lsblk"]),
    (Format::QemuMap, "qemu-map", &[]),
    (Format::Rawprogram, "rawprogram", &[]),
];

/// A name that is none of a format.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is not a manifest format: {names}", names = Format::names())]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Format, UnknownFormat> {
        let found = NAMES.iter().find(|(_, name, _)| name.eq_ignore_ascii_case(text));
        found.map(|row| row.0).ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}

impl Format {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Format> {
        NAMES.into_iter().map(|(format, _, _)| format)
    }

    /// The names of all of them, for messages.
    pub fn names() -> String {
        NAMES.map(|(_, name, _)| name).join(", ")
    }

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
            let roots: [(Format, &[u8]); 3] = [
                (Format::Dfxml, b"<dfxml"),
                (Format::Bmap, b"<bmap"),
                (Format::Rawprogram, b"<program "),
            ];
            let is_root = |(format, root)| contains(first, root).then_some(format);
            return roots.into_iter().find_map(is_root);
        }
        if first.starts_with(b"Filesystem type is:") || first.starts_with(b"File size of ") {
            return Some(Format::Filefrag);
        }
        let mut lines = first.split(|&byte| byte == b'\n').take(16);
        if lines.clone().any(|line| line.starts_with(b"#pcopy ")) {
            return Some(Format::Plain);
        }
        // Partclone, ntfsclone and others write such maps as well; all of them say this.
        let of_maps: [&[u8]; 3] = [b"GNU ddrescue", b"# current_pos", b"# Domain logfile"];
        if first.starts_with(b"#") && of_maps.iter().any(|mark| contains(first, mark)) {
            return Some(Format::Mapfile);
        }
        if first.starts_with(b"{") && contains(&first[..first.len().min(64)], b"\"partitiontable\"")
            || first.starts_with(b"label: ") && lines.clone().any(|line| line == b"unit: sectors")
        {
            return Some(Format::Sfdisk);
        }
        if first.starts_with(b"BYT;") || first.starts_with(b"CHS;") || first.starts_with(b"CYL;") {
            return Some(Format::Parted);
        }
        let start = &first[..first.len().min(256)];
        if first.starts_with(b"{") && contains(start, b"\"blockdevices\"") {
            return Some(Format::Lsblk);
        }
        if first.starts_with(b"[") && contains(start, b"\"depth\"") && contains(start, b"\"zero\"")
        {
            return Some(Format::QemuMap);
        }
        let is_mmls = |line: &[u8]| {
            line.starts_with(b"Units are in ") || line.starts_with(b"ID,Slot,Start,End,Length,")
        };
        lines.any(is_mmls).then_some(Format::Mmls)
    }

    fn by_ending(manifest: &Path) -> Option<Format> {
        let ending = manifest.extension()?.to_str()?.to_ascii_lowercase();
        NAMES.iter().find(|row| row.2.contains(&ending.as_str())).map(|row| row.0)
    }

    fn by_look(head: &[u8]) -> Option<Format> {
        // Also where all line ends are those of old systems, which is said later.
        let mut lines = head.split(|&byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii);
        let is_meant = |line: &&[u8]| !line.is_empty() && !line.starts_with(b"#");
        let line = lines.find(is_meant)?;
        if line.starts_with(b"{") || line.starts_with(b"[") {
            return Some(Format::Jsonl);
        }
        if line.starts_with(b"sep=") {
            return Some(Format::Csv);
        }
        // A header without a column that a list needs is not a header.
        let delimiter = match line {
            _ if line.contains(&b'\t') => b'\t',
            _ => super::formats::csv::delimiter_of(line, b','),
        };
        let mut cells = line.split(|&byte| byte == delimiter).filter_map(|cell| {
            std::str::from_utf8(cell).ok().map(|cell| cell.trim().trim_matches('"'))
        });
        let is_needed = |cell| {
            use super::Field::{Name, Start};
            super::Field::from_name(cell).is_some_and(|field| matches!(field, Name | Start))
        };
        match (cells.any(is_needed), delimiter) {
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
        check("-", "[\n{\"name\":\"a\"}]\n", Some(Format::Jsonl));
        check("-", "sep=;\nname;start\n", Some(Format::Csv));
        check("-", "name;start;len\n", Some(Format::Csv));
        check("-", "name,start,len\ra,0,1\r", Some(Format::Csv));
        check("-", "{\n  \"partitiontable\": {\n", Some(Format::Sfdisk));
        check("-", "label: gpt\nunit: sectors\n", Some(Format::Sfdisk));
        check("-", "ID,Slot,Start,End,Length,Description\n", Some(Format::Mmls));
        check("-", "# Domain logfile created by partclone.ext4 v0.3.23\n", Some(Format::Mapfile));
        check("-", "name|start|len\n", Some(Format::Csv));
        check("-", "start,len,dest_offset\n", Some(Format::Csv));
        check("-", "BYT;\n/dev/sda:1000B:scsi:512:512:gpt:Disk:;\n", Some(Format::Parted));
        check("-", "{\n   \"blockdevices\": [\n", Some(Format::Lsblk));
        check("a.json", "[{ \"start\": 0, \"length\": 5, \"depth\": 0, \"zero\": true}]", {
            Some(Format::QemuMap)
        });
        check("a.xml", "<?xml version=\"1.0\" ?>\n<data>\n  <program a=\"b\"/>", {
            Some(Format::Rawprogram)
        });
        check("-", "<html>", None);
        check("-", "", None);
    }
}
