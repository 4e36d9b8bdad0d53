//! Walking an XML file by its elements, with line numbers: what the two
//! formats in XML share. Nothing is expanded but the five named characters and
//! character references.

use std::io::BufRead;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::super::{LONGEST_TEXT, Pieces};
use super::xml_text::Lossless;

/// The deepest nesting that is followed; both formats have five levels.
const DEEPEST: usize = 64;

/// What is done with the elements of a file. Depth 1 is the root.
pub(super) trait Visitor {
    /// An element begins.
    fn open(&mut self, name: &str, depth: usize, attributes: &Attributes<'_>, line: u64);
    /// An element ends; `text` is what stood in it after its last child.
    fn close(&mut self, name: &str, depth: usize, text: &str, line: u64);
}

/// The attributes of an element.
pub(super) struct Attributes<'e>(&'e BytesStart<'e>);

impl Attributes<'_> {
    /// The value of an attribute, if it is there and well-formed.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let mut all = self.0.attributes();
        let found = all.find_map(|attribute| attribute.ok().filter(|a| a.key.0 == name))?;
        quick_xml::escape::unescape(&found.value).ok().map(|value| value.into_owned())
    }
}

/// Walks `input` from its first element to its last.
///
/// # Errors
///
/// The line and what is wrong: no XML, cut off in the middle, not readable.
pub(super) fn walk(
    input: &mut dyn BufRead,
    visitor: &mut dyn Visitor,
) -> Result<(), (u64, String)> {
    let mut input = Lossless::new(input);
    let input = Pieces::new(&mut input);
    let taken = input.taken();
    let mut xml = Reader::from_reader(input);
    let mut open: Vec<String> = Vec::new();
    let (mut text, mut buffer) = (String::new(), Vec::new());
    let mut rooted = false;
    loop {
        buffer.clear();
        // An element is named by the line it begins on.
        let at = taken.lines() + 1;
        taken.begin_piece();
        let wrong = |why: String| (at, why);
        match xml.read_event_into(&mut buffer).map_err(|error| wrong(error.to_string()))? {
            Event::Start(element) => {
                if open.len() == DEEPEST || (open.is_empty() && rooted) {
                    return Err(wrong(
                        "elements are nested too deep, or there are two roots".into(),
                    ));
                }
                let name = element.local_name().as_ref().to_owned();
                visitor.open(&name, open.len() + 1, &Attributes(&element), at);
                open.push(name);
                (rooted, text) = (true, String::new());
            }
            Event::Empty(element) => {
                let name = element.local_name().as_ref().to_owned();
                visitor.open(&name, open.len() + 1, &Attributes(&element), at);
                visitor.close(&name, open.len() + 1, "", at);
                rooted = true;
            }
            Event::End(_) => {
                let name =
                    open.pop().ok_or_else(|| wrong("an element ends that never began".into()))?;
                visitor.close(&name, open.len() + 1, &text, at);
                text.clear();
            }
            Event::Text(part) => text.push_str(&part),
            Event::CData(part) => text.push_str(&part),
            Event::GeneralRef(reference) => match character(&reference) {
                Some(character) => text.push(character),
                None => return Err(wrong(format!("&{}; is not known", &*reference))),
            },
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            Event::Eof => break,
        }
        if text.len() > LONGEST_TEXT {
            return Err(wrong("the text of an element is longer than 64 KiB".into()));
        }
    }
    match open.pop() {
        Some(name) => {
            Err((taken.lines() + 1, format!("the file ends inside <{name}>: it was cut off")))
        }
        None if !rooted => Err((taken.lines() + 1, "there is no element".into())),
        None => Ok(()),
    }
}

fn character(reference: &quick_xml::events::BytesRef<'_>) -> Option<char> {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return Some(character);
    }
    quick_xml::escape::resolve_predefined_entity(reference)?.chars().next()
}
