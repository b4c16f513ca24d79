//! Reading elements and attributes, with lines for messages.

use std::{ops::Range, time::Duration};

use roxmltree::{Document, Node, ParsingOptions};

use crate::{Error, time};

/// Most elements, comments and pieces of text that are read.
const MOST_NODES: u32 = 8_000_000;

/// Parses `text`. Documents with a type declaration are refused: entities are of no use in a manifest, but can grow
/// without bound.
pub(crate) fn document(text: &str) -> Result<Document<'_>, Error> {
    bounded(text)?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|reason| match reason {
        roxmltree::Error::NodesLimitReached => {
            Error::TooLarge { what: "elements", limit: MOST_NODES as usize }
        }
        roxmltree::Error::DtdDetected => Error::syntax(
            1,
            "the manifest has a document type declaration, which is not read (entities could be bombs)",
        ),
        reason => {
            let line = reason.pos().row as usize;
            Error::syntax(line, format_args!("the XML cannot be read: {reason}"))
        }
    })
}

/// Most attributes of one element.
const MOST_ATTRIBUTES: usize = 1_000;
/// Most declarations of a namespace.
const MOST_NAMESPACES: usize = 1_000;

/// The XML parser compares each attribute of an element with all others, and copies the namespaces in force for each
/// element that adds one: both are bounded here, for they grow with the square.
fn bounded(text: &str) -> Result<(), Error> {
    if text.matches("xmlns").nth(MOST_NAMESPACES).is_some() {
        return Err(Error::TooLarge { what: "XML namespaces", limit: MOST_NAMESPACES });
    }
    for tag in text.split('<') {
        // The shortest attribute is `a="" `.
        if tag.len() > MOST_ATTRIBUTES * 4 {
            let tag = tag.split_once("/>").map_or(tag, |(tag, _)| tag);
            if tag.matches("=\"").count() + tag.matches("='").count() > MOST_ATTRIBUTES {
                return Err(Error::TooLarge { what: "attributes in one element", limit: MOST_ATTRIBUTES });
            }
        }
    }
    Ok(())
}

/// Children that are elements called `name`, whatever their namespace.
pub(crate) fn children<'a, 'd>(node: Node<'a, 'd>, name: &'static str) -> impl Iterator<Item = Node<'a, 'd>> {
    node.children().filter(move |child| child.is_element() && child.tag_name().name() == name)
}

pub(crate) fn child<'a, 'd>(node: Node<'a, 'd>, name: &'static str) -> Option<Node<'a, 'd>> {
    children(node, name).next()
}

/// Line of `node`, counted from 1. Counts line ends from the start of the text, so it is for messages only.
pub(crate) fn line(node: Node<'_, '_>) -> usize {
    node.document().text_pos_at(node.range().start).row as usize
}

/// An attribute without blanks around it; one that is empty, or longer than any real one, counts as not given.
pub(crate) fn text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.attribute(name).map(str::trim).filter(|value| !value.is_empty() && value.len() <= LONGEST_VALUE)
}

const LONGEST_VALUE: usize = 16 * 1024;

/// An attribute that must be an unsigned integer; a sign or a fraction is not accepted.
pub(crate) fn integer(node: Node<'_, '_>, name: &str) -> Result<Option<u64>, Error> {
    let Some(value) = text(node, name) else { return Ok(None) };
    value.parse().map(Some).map_err(|_| wrong(node, name, "a whole number", value))
}

pub(crate) fn duration(node: Node<'_, '_>, name: &str) -> Result<Option<Duration>, Error> {
    let Some(value) = text(node, name) else { return Ok(None) };
    match time::xs_duration(value) {
        Some(duration) => Ok(Some(duration)),
        None => Err(wrong(node, name, "a duration such as PT12.5S", value)),
    }
}

/// `first-last`, both inclusive.
pub(crate) fn range(node: Node<'_, '_>, name: &str) -> Option<Range<u64>> {
    let (first, last) = text(node, name)?.split_once('-')?;
    let first = first.trim().parse().ok()?;
    let end = last.trim().parse::<u64>().ok()?.saturating_add(1);
    (first < end).then_some(first..end)
}

pub(crate) fn wrong(node: Node<'_, '_>, name: &str, wanted: &str, value: &str) -> Error {
    let value = crate::error::one_line(value, 60);
    Error::syntax(line(node), format_args!("{}@{name} wants {wanted}, not {value:?}", node.tag_name().name()))
}
