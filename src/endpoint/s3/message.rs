//! What a service of S3 says in XML, and what is said to it: text to facts and
//! back, nothing else.

use quick_xml::Reader;
use quick_xml::events::Event;

/// The deepest nesting that is followed: what is of interest lies at the third.
const DEEPEST: usize = 16;

/// An element with all that is in it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Element {
    pub name: String,
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    /// The root of a document; `None` if it is none, or not all of one.
    pub fn parse(text: &str) -> Option<Element> {
        let mut reader = Reader::from_str(text);
        let mut open: Vec<Element> = Vec::new();
        loop {
            match reader.read_event().ok()? {
                Event::Start(start) if open.len() < DEEPEST => {
                    let name = start.local_name().as_ref().to_owned();
                    open.push(Element { name, ..Element::default() });
                }
                Event::Start(_) => return None,
                Event::Empty(start) => {
                    let name = start.local_name().as_ref().to_owned();
                    let element = Element { name, ..Element::default() };
                    match open.last_mut() {
                        Some(parent) => parent.children.push(element),
                        None => return Some(element),
                    }
                }
                Event::End(_) => {
                    let element = open.pop()?;
                    match open.last_mut() {
                        Some(parent) => parent.children.push(element),
                        None => return Some(element),
                    }
                }
                Event::Text(part) => add(&mut open, &part),
                Event::CData(part) => add(&mut open, &part),
                Event::GeneralRef(reference) => {
                    let character = match reference.resolve_char_ref() {
                        Ok(Some(character)) => character.to_string(),
                        _ => quick_xml::escape::resolve_predefined_entity(&reference)?.to_owned(),
                    };
                    add(&mut open, &character);
                }
                Event::Eof => return None,
                _ => {}
            }
        }
    }

    /// The first element called `name` in it.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of that, without the white space around it.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.trim()).filter(|text| !text.is_empty())
    }
}

fn add(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

/// What an answer says is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    pub code: String,
    pub text: String,
    /// Where the bucket is.
    pub region: Option<String>,
}

/// What is wrong, if `text` says that something is.
pub fn problem(text: &str) -> Option<Problem> {
    let root = Element::parse(text)?;
    // Some wrap it.
    let error = if root.name == "Error" { &root } else { root.child("Error")? };
    let code = error.text_of("Code")?;
    // A code is one word: it is shown, and compared.
    let code = code.chars().filter(char::is_ascii_alphanumeric).collect();
    let text = error.text_of("Message").unwrap_or_default().to_owned();
    Some(Problem { code, text, region: error.text_of("Region").map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_a_word_and_a_sentence() {
        let text = r#"<?xml version="1.0" encoding="UTF-8"?>
            <Error><Code>AccessDenied</Code><Message>Access &quot;denied&#x22; &amp; so on</Message>
            <Region>eu-west-1</Region><HostId>x</HostId></Error>"#;
        let found = problem(text).unwrap();
        assert_eq!(found.code, "AccessDenied");
        assert_eq!(found.text, "Access \"denied\" & so on");
        assert_eq!(found.region.as_deref(), Some("eu-west-1"));
        let wrapped = "<ErrorResponse><Error><Code>Slow-Down</Code></Error></ErrorResponse>";
        assert_eq!(problem(wrapped).unwrap().code, "SlowDown");
        for other in ["", "<html>", "no", "<Result><Key>x</Key></Result>", "<Error></Error>"] {
            assert_eq!(problem(other), None, "{other}");
        }
        assert_eq!(problem(&"<Error>".repeat(100)), None);
    }
}
