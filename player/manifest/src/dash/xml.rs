//! Reading elements and attributes, with lines for messages.

use std::{borrow::Cow, ops::Range, time::Duration};

use roxmltree::{Document, Node, ParsingOptions};

use crate::{Error, time};

/// Longest text.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Most elements, comments and pieces of text that are read.
const MOST_NODES: u32 = 4_000_000;

fn parse(text: &str) -> Result<Document<'_>, roxmltree::Error> {
    let options = ParsingOptions {
        allow_dtd: !text.contains("<!ENTITY"),
        nodes_limit: MOST_NODES,
        ..ParsingOptions::default()
    };
    Document::parse_with_options(text, options)
}

/// Parses `text`. Documents that declare entities are refused: those are of no use in a manifest, but can grow without
/// bound.
pub(crate) fn document(text: &str) -> Result<Document<'_>, Error> {
    bounded(text)?;
    parse(text).map_err(|reason| match reason {
        roxmltree::Error::NodesLimitReached => {
            Error::TooLarge { what: "elements", limit: MOST_NODES as usize }
        }
        roxmltree::Error::DtdDetected => Error::syntax(
            1,
            "the manifest has a document type declaration with entities, which is not read (they could be bombs)",
        ),
        reason => {
            let line = reason.pos().row as usize;
            Error::syntax(line, format_args!("the XML cannot be read: {reason}"))
        }
    })
}

/// Most prefixes that are declared in the author's place.
const MOST_PREFIXES: usize = 8;
/// Longest text in which that is done: it is read once more for each.
const LONGEST_UNDECLARED: usize = 4 * 1024 * 1024;

/// `text`, with its namespace prefixes declared where its author forgot (`cenc`, `scte35`, `xlink` ...): what they
/// stand on is no part of the manifest proper.
pub(crate) fn declared(text: &str) -> Result<Cow<'_, str>, Error> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..MOST_PREFIXES {
        if text.len() > LONGEST_UNDECLARED {
            break;
        }
        bounded(&text)?;
        let Err(roxmltree::Error::UnknownNamespace(prefix, _)) = parse(&text) else { break };
        let Some(at) = root_name_end(&text) else { break };
        let (before, after) = text.split_at(at);
        text = Cow::Owned(format!("{before} xmlns:{prefix}=\"urn:undeclared:{prefix}\"{after}"));
    }
    Ok(text)
}

/// Where the name of the root element, `MPD`, ends.
fn root_name_end(text: &str) -> Option<usize> {
    text.match_indices("MPD").find_map(|(at, name)| {
        let start = text.get(..at)?.rfind('<')?;
        let prefix = text.get(start + 1..at)?;
        let whole = prefix.is_empty() || prefix.ends_with(':') && !prefix.contains(char::is_whitespace);
        whole.then_some(at + name.len())
    })
}

/// Most attributes of one element.
const MOST_ATTRIBUTES: usize = 64;
/// Most declarations of a namespace.
const MOST_NAMESPACES: usize = 1_000;

/// The XML parser compares each attribute of an element with all others, and copies the namespaces in force for each
/// element that adds one: both are bounded here, for they grow with the square.
fn bounded(text: &str) -> Result<(), Error> {
    if text.len() > MOST_BYTES {
        return Err(Error::TooLarge { what: "bytes of XML", limit: MOST_BYTES });
    }
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

/// Children that are elements called `name`, of the namespace of `node` or of one that is the manifest's by its name:
/// what extensions call the same is something else.
pub(crate) fn children<'a, 'd>(node: Node<'a, 'd>, name: &'static str) -> impl Iterator<Item = Node<'a, 'd>> {
    let own = node.tag_name().namespace();
    node.children().filter(move |child| {
        let tag = child.tag_name();
        let known =
            || tag.namespace().is_none_or(|namespace| namespace.to_ascii_lowercase().contains("mpeg:dash"));
        child.is_element() && tag.name() == name && (tag.namespace() == own || known())
    })
}

/// The text of an element, comments within it left out.
pub(crate) fn content(node: Node<'_, '_>) -> String {
    node.children().filter(Node::is_text).filter_map(|child| child.text()).collect()
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

/// An attribute that must be an unsigned integer. A fraction is not allowed, but occurs; it is cut off.
pub(crate) fn integer(node: Node<'_, '_>, name: &str) -> Result<Option<u64>, Error> {
    let Some(value) = text(node, name) else { return Ok(None) };
    whole(value).map(Some).ok_or_else(|| wrong(node, name, "a whole number", value))
}

/// `12`, `12.0` or `12.7`.
pub(crate) fn whole(value: &str) -> Option<u64> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    fraction.bytes().all(|digit| digit.is_ascii_digit()).then(|| whole.parse().ok())?
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
