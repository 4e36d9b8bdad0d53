//! Digital Forensics XML, as `fiwalk` of the Sleuth Kit writes it: where every
//! file of a file system lies on the image, without mounting it.
//!
//! A file is a `fileobject` with its `byte_runs`; `img_offset` counts from the
//! beginning of the image, so that the source is the image fiwalk was given. A
//! run with `fill` is a hole. Digests of whole files become expected digests.
//! Directories, links and deleted files are left out, with a note. A file
//! whose bytes are not at a place of their own (resident in the file table,
//! compressed, without runs) is refused by name. A removed name whose inode
//! was given to another file is listed as if it were that file's, and nothing
//! in the list tells which is which: there is a note, no more. Where an image has several
//! volumes, the files of each go below `partN/`.

use std::collections::HashMap;
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::BufRead;
use std::path::PathBuf;

use super::super::{Details, Item, Reading, Run, Runs, decimal, parse_time, text};
use super::xml::{Attributes, Visitor, walk};
use super::xml_text;
use crate::digest::{Algorithm, Expectation};
use crate::range::ByteRange;

/// Permission bits taken over: not set-user-ID and its like, which would mean
/// the users of this machine.
const MODE_BITS: u64 = 0o7777;

/// File systems without permissions, for which the tool makes some up.
const WITHOUT_MODES: [&str; 3] = ["fat", "exfat", "ntfs"];

/// Reads DFXML.
pub(in crate::manifest) fn read(input: &mut dyn BufRead, reading: &mut Reading<'_>) {
    let mut walker = Walker {
        reading,
        escapes: false,
        volume: 0,
        modes: true,
        file: None,
        volumes: Vec::new(),
        links: HashMap::new(),
        objects: 0,
        seen: HashMap::new(),
    };
    if let Err((line, why)) = walk(input, &mut walker) {
        let whole = walker.objects;
        let until = match whole {
            0 => String::new(),
            _ => format!("; {whole} file objects before it are whole"),
        };
        walker.reading.usage(line, format!("DFXML: {why}{until}"));
    }
    let (volumes, links) = (walker.volumes, walker.links);
    name_volumes(&volumes, reading);
    let stale = links.values().filter(|&&left| left < 0).count();
    if stale > 0 {
        reading.note(format!(
            "{stale} files have more names than links: one name of each is that of a removed file"
        ));
    }
}

/// Puts files below `partN/` where there are several volumes with files.
fn name_volumes(volumes: &[u32], reading: &mut Reading<'_>) {
    if volumes.windows(2).all(|pair| pair[0] == pair[1]) {
        return;
    }
    for (item, volume) in reading.items.iter_mut().zip(volumes) {
        // With the slash of manifests, on every system.
        let mut name = OsString::from(format!("part{volume}/"));
        // A name that would replace what it is joined to is refused later.
        if item.name.is_relative() {
            name.push(item.name.as_os_str());
            item.name = PathBuf::from(name).into();
        }
    }
    reading.note("several volumes: the files of each are named partN/...");
}

/// What is known of the file at hand.
#[derive(Default)]
struct File {
    line: u64,
    depth: usize,
    name: Option<String>,
    name_type: String,
    meta_type: String,
    unallocated: bool,
    size: Option<u64>,
    runs: Vec<ByteRun>,
    /// Whether the runs at hand are those of its content.
    of_content: bool,
    /// Why the bytes cannot be copied from their place.
    unmappable: Option<&'static str>,
    /// What could not be read.
    wrong: Option<String>,
    details: Details,
    expected: Vec<Expectation>,
    /// The algorithm of the digest whose text comes next.
    digest: Option<Algorithm>,
    inode: Option<u64>,
    links: Option<u64>,
}

struct ByteRun {
    file_offset: Option<u64>,
    run: Run,
}

struct Walker<'r, 'a> {
    reading: &'r mut Reading<'a>,
    /// Whether the writer escapes bytes of names as `\xHH`, and `\` with them.
    escapes: bool,
    /// The volume at hand, from 1.
    volume: u32,
    /// Whether its modes are its own.
    modes: bool,
    file: Option<File>,
    /// The volume of each item.
    volumes: Vec<u32>,
    /// How many more links each inode has than names were seen.
    links: HashMap<(u32, u64), i64>,
    /// File objects that are whole.
    objects: u64,
    /// Items by the hash of their name and volume.
    seen: HashMap<u64, u32>,
}

impl Visitor for Walker<'_, '_> {
    fn open(&mut self, name: &str, depth: usize, attributes: &Attributes<'_>, line: u64) {
        match (&mut self.file, name) {
            (None, "dfxml") if depth == 1 => {}
            (None, _) if depth == 1 => {
                self.reading.usage(line, format!("DFXML: the root is <{name}>, not <dfxml>"));
            }
            (None, "volume") => (self.volume, self.modes) = (self.volume + 1, true),
            (None, "fileobject") => {
                self.file = Some(File { line, depth, ..File::default() });
            }
            (Some(file), "byte_runs") if depth == file.depth + 1 => {
                // Others say where its inode or its name lies.
                let facet = attributes.get("facet").unwrap_or_default();
                file.of_content = matches!(&*facet, "" | "data" | "content");
            }
            (Some(file), "byte_run") if depth == file.depth + 2 && file.of_content => {
                file.byte_run(attributes, self.reading.options.base);
            }
            (Some(file), "hashdigest") if depth == file.depth + 1 => {
                file.digest = algorithm(attributes.get("type").as_deref().unwrap_or_default());
            }
            _ => {}
        }
    }

    fn close(&mut self, name: &str, depth: usize, text: &str, _line: u64) {
        let Some(file) = &mut self.file else {
            match name {
                "program" => self.escapes = text.trim() == "fiwalk",
                "ftype_str" => {
                    let kind = text.trim().to_ascii_lowercase();
                    self.modes = !WITHOUT_MODES.iter().any(|without| kind.starts_with(without));
                }
                _ => {}
            }
            return;
        };
        if depth == file.depth + 1 {
            file.element(name, text);
        } else if depth == file.depth
            && let Some(file) = self.file.take()
        {
            self.finish(file);
        }
    }
}

impl File {
    fn byte_run(&mut self, attributes: &Attributes<'_>, base: u64) {
        let number = |name| attributes.get(name).map(|value| decimal(value.trim().as_bytes()));
        if attributes.get("uncompressed_len").is_some() {
            self.unmappable = Some("compressed");
            return;
        }
        match attributes.get("type").as_deref() {
            None | Some("") => {}
            Some("resident") => return self.unmappable = Some("resident in the file table"),
            Some(_) => return self.unmappable = Some("a byte run of a type that is not known"),
        }
        // PhotoRec calls it `offset`.
        let file_offset = number("file_offset").or_else(|| number("offset"));
        let len = match number("len") {
            None => return self.unmappable = Some("a byte run without a len"),
            len => len,
        };
        let (Some(Some(len)), None | Some(Some(_))) = (len, file_offset) else {
            return self.wrong("a byte run with a number that is none");
        };
        let run = match (attributes.get("fill").as_deref(), number("img_offset")) {
            (Some("0"), _) => Run::Hole(len),
            (Some(_), _) => {
                return self.unmappable = Some("filled with something other than zeros");
            }
            (None, None) => return self.unmappable = Some("a byte run without img_offset"),
            (None, Some(offset)) => {
                let start = offset.and_then(|offset| offset.checked_add(base));
                match start.and_then(|start| ByteRange::with_len(start, len)) {
                    Some(range) => Run::Data(range),
                    None => return self.wrong("a byte run ends past what 64 bits count"),
                }
            }
        };
        self.runs.push(ByteRun { file_offset: file_offset.flatten(), run });
    }

    fn wrong(&mut self, why: impl Into<String>) {
        self.wrong.get_or_insert(why.into());
    }

    fn element(&mut self, name: &str, text: &str) {
        let value = text.trim();
        match name {
            "filename" => self.name = Some(text.to_owned()),
            "name_type" => self.name_type = value.to_owned(),
            "meta_type" => self.meta_type = value.to_owned(),
            "filesize" => {
                self.size = decimal(value.as_bytes());
                if self.size.is_none() {
                    self.wrong("a file size that is not a number");
                }
            }
            // `alloc` is how fiwalk says it, the others how the schema does.
            "unalloc" | "unused" => self.unallocated |= value == "1",
            "alloc" | "used" | "alloc_inode" | "alloc_name" => self.unallocated |= value == "0",
            "inode" => self.inode = decimal(value.as_bytes()),
            "nlink" => self.links = decimal(value.as_bytes()),
            "mode" => {
                let mode = decimal(value.as_bytes()).map(|mode| (mode & MODE_BITS) as u32);
                self.details.mode = mode;
            }
            "mtime" => self.details.mtime = parse_time(value.as_bytes()),
            // Written where nothing could be hashed.
            "hashdigest" if value.is_empty() => self.digest = None,
            "hashdigest" => {
                let expected = self.digest.take().map(|digest| Expectation::new(digest, value));
                match expected {
                    Some(Ok(expected)) => self.expected.push(expected),
                    Some(Err(error)) => self.wrong(error.to_string()),
                    None => {}
                }
            }
            _ => {}
        }
    }

    /// Why the object is not copied, or `None`; with `deleted`, deleted files are.
    fn skipped(&self, deleted: bool) -> Option<&'static str> {
        match (&*self.name_type, &*self.meta_type) {
            ("d", _) | ("" | "-", "2") => Some("directory"),
            ("l", _) | ("" | "-", "6") => Some("symbolic link"),
            ("v" | "V", _) | ("" | "-", "10" | "11") => Some("virtual file of the tool"),
            _ if self.unallocated && !deleted => Some("deleted file"),
            _ if self.size == Some(0) && !self.runs.is_empty() => {
                Some("a file of size 0 whose byte runs are those of another stream")
            }
            ("r", _) | ("" | "-", "" | "1") => None,
            // A name that leads to an inode nobody has.
            ("" | "-", "0") => Some("object without a type"),
            _ => Some("special file"),
        }
    }

    /// The pieces of the file in order, which must cover it without a gap.
    fn pieces(&mut self) -> Result<Runs, &'static str> {
        let runs = &mut self.runs;
        if runs.iter().all(|run| run.file_offset.is_some()) {
            runs.sort_by_key(|run| run.file_offset);
        }
        let total = runs.iter().try_fold(0u64, |sum, run| sum.checked_add(run.run.len()));
        let size = self.size.or(total).ok_or("a size past what 64 bits count")?;
        let mut covered = 0u64;
        let mut pieces = Vec::with_capacity(runs.len());
        for run in runs.iter().take_while(|run| run.file_offset.is_none_or(|at| at < size)) {
            if run.file_offset.is_some_and(|at| at != covered) {
                return Err("its byte runs leave gaps or overlap");
            }
            pieces.push(trimmed(run.run, size - covered));
            covered += run.run.len().min(size - covered);
        }
        match (covered == size, runs.is_empty()) {
            (true, _) => Ok(Runs::from_pieces(pieces)),
            (false, true) => Err("no byte runs"),
            (false, false) => Err("its byte runs cover less than its size"),
        }
    }
}

/// At most the first `len` bytes of a run.
fn trimmed(run: Run, len: u64) -> Run {
    match run {
        Run::Data(range) => Run::Data(range.split_at(range.start().saturating_add(len)).0),
        Run::Hole(hole) => Run::Hole(hole.min(len)),
    }
}

/// The algorithm of a `hashdigest`, in any case, with or without a hyphen.
fn algorithm(name: &str) -> Option<Algorithm> {
    let name = name.to_ascii_lowercase().replace('-', "");
    Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)
}

impl Walker<'_, '_> {
    /// The object has ended: an item, a note, or an error of the line it
    /// began on.
    fn finish(&mut self, mut file: File) {
        self.objects += 1;
        if let Some(reason) = file.skipped(self.reading.options.deleted) {
            return self.reading.skip(reason);
        }
        let line = file.line;
        let Some(name) = file.name.take() else {
            return self.reading.usage(line, "DFXML: a file object without a filename");
        };
        let name = xml_text::bytes(&name);
        let name = if self.escapes { unescape(&name) } else { name };
        if let Some(why) = file.wrong {
            return self.reading.usage(line, format!("{:?}: {why}", text(&name)));
        }
        let runs = match file.unmappable.map_or_else(|| file.pieces(), Err) {
            Ok(runs) => runs,
            Err(why) => return self.reading.unmappable(line, &name, why),
        };
        let mut details = file.details;
        details.expected = file.expected.into();
        let mode = details.mode.filter(|_| self.modes);
        details.mode = mode.map(|mode| self.reading.permissions(mode));
        let details = (details != Details::default()).then(|| Box::new(details));
        let make = |name| Item { line, name, source: None, runs, dest_offset: 0, details };
        let before = self.reading.items.len();
        self.reading.push(&name, make, line);
        if self.reading.items.len() > before {
            if self.is_known(before) {
                self.reading.items.truncate(before);
                return self.reading.skip("listed twice");
            }
            self.volumes.push(self.volume);
        }
        if let (Some(inode), Some(links)) = (file.inode, file.links) {
            let first = i64::try_from(links).unwrap_or(i64::MAX);
            *self.links.entry((self.volume, inode)).or_insert(first) -= 1;
        }
    }
}

impl Walker<'_, '_> {
    /// Whether the last item, number `last`, is one that came before: tools list
    /// an object once for each way that they met it.
    fn is_known(&mut self, last: usize) -> bool {
        let items = &self.reading.items;
        let mut hasher = DefaultHasher::new();
        (self.volume, &items[last].name).hash(&mut hasher);
        let number = u32::try_from(last).unwrap_or(u32::MAX);
        let first = *self.seen.entry(hasher.finish()).or_insert(number) as usize;
        let same = |first: &Item, item: &Item| {
            (&first.name, &first.runs, &first.details) == (&item.name, &item.runs, &item.details)
        };
        first != last
            && self.volumes.get(first) == Some(&self.volume)
            && items.get(first).is_some_and(|first| same(first, &items[last]))
    }
}

/// The bytes of a name in which fiwalk wrote what is not text as `\xHH`.
fn unescape(name: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| tail.get(at).and_then(|&byte| (byte as char).to_digit(16));
        match (first, tail.first(), digit(1), digit(2)) {
            (b'\\', Some(b'x'), Some(high), Some(low)) => {
                bytes.push((high << 4 | low) as u8);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}
