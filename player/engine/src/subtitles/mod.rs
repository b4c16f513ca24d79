//! Subtitles: from a segment's bytes to cues that a window can draw. No I/O, no clock.
//!
//! WebVTT as text (HLS with its `X-TIMESTAMP-MAP`, DASH beside the media), WebVTT in MP4 (`wvtt`) and TTML, as text or in MP4
//! (`stpp`). Hostile input gives an error or fewer cues, never a panic, never unbounded work.

mod cue;
mod document;
mod markup;
mod mp4;
mod style;
#[cfg(test)]
mod tests;
mod ttml;
mod webvtt;

pub use cue::{Align, Anchor, Cue, Line, Placement, Span, Vertical};
pub(crate) use document::{Clock, Document, Timed, read};
