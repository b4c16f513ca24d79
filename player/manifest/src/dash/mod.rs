//! DASH manifests (ISO/IEC 23009-1), as far as a player needs them.
//!
//! Counts of segments come out of templates and timelines by arithmetic, never by listing, so that a line of text
//! cannot ask for a billion segments.

mod addressing;
mod mpd;
mod select;
mod sidx;
mod source;
mod template;
mod timeline;
mod xml;

pub(crate) use addressing::Addressing;
pub(crate) use mpd::{Mpd, Representation};
pub(crate) use source::DashSource;
