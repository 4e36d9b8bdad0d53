//! What must hold of every answer in XML.

use super::message::{Element, problem};

/// An answer.
///
/// # Panics
///
/// Where something that must hold does not.
pub fn message(bytes: &[u8]) {
    // As the answer of a service is read: what is not text becomes question marks.
    let text = String::from_utf8_lossy(bytes);
    let root = Element::parse(&text);
    let found = problem(&text);
    assert!(found.is_none() || root.is_some(), "of what is not a document");
    if let Some(problem) = found {
        assert!(problem.code.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{problem:?}");
    }
    if let Some(root) = root {
        // No more is kept than was there.
        assert!(size(&root) <= text.len(), "{root:?}");
    }
}

/// Bytes of names and texts in an element.
fn size(element: &Element) -> usize {
    element.name.len() + element.text.len() + element.children.iter().map(size).sum::<usize>()
}
