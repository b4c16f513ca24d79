//! A segment of subtitles, of whatever kind: told by its bytes, for manifests often do not say.

use super::{cue::Placement, cue::Span, mp4, ttml, webvtt};

/// Most cues of a segment: a film has one or two thousand.
pub(super) const MOST_CUES: usize = 50_000;
/// Longest text of a cue, in bytes.
pub(super) const LONGEST_TEXT: usize = 8 * 1024;

/// A cue in its document's own time, nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Timed {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) spans: Vec<Span>,
    pub(crate) place: Placement,
}

/// How a document's time relates to that of the media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// It does not say.
    Unsaid,
    /// `X-TIMESTAMP-MAP` (RFC 8216, 3.5): add so many nanoseconds for media time, which starts over after 2^33 ticks of 90 kHz.
    Mapped(i64),
    /// It is media time.
    Media,
}

/// What a segment holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Document {
    pub(crate) cues: Vec<Timed>,
    pub(crate) clock: Clock,
}

/// Why nothing can be shown of a segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("it is neither WebVTT nor TTML")]
    Unknown,
    #[error("line {0}: {1}")]
    Syntax(usize, String),
    #[error("its text is pictures or a format that is not supported ({0})")]
    Unsupported(String),
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
}

/// Reads a segment; `init` is its initialization segment, where it has one.
pub(crate) fn read(init: Option<&[u8]>, media: &[u8]) -> Result<Document, Unreadable> {
    if mp4::is_mp4(media) || init.is_some_and(mp4::is_mp4) {
        return mp4::read(init.unwrap_or_default(), media);
    }
    if media.iter().all(u8::is_ascii_whitespace) {
        // Nothing is said in this one.
        return Ok(Document { cues: Vec::new(), clock: Clock::Unsaid });
    }
    let text = decode(media);
    let text = text.trim_start_matches('\u{feff}');
    if text.starts_with("WEBVTT") {
        return webvtt::read(text);
    }
    if text.trim_start().starts_with('<') {
        return Ok(Document { cues: ttml::read(text)?, clock: Clock::Unsaid });
    }
    Err(Unreadable::Unknown)
}

/// UTF-8, and UTF-16 where its mark says so; what cannot be read becomes a replacement character.
fn decode(bytes: &[u8]) -> String {
    let wide = |read: fn([u8; 2]) -> u16| {
        let units = bytes.get(2..).unwrap_or_default().chunks_exact(2);
        let units = units.filter_map(|pair| Some(read(pair.try_into().ok()?)));
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    match bytes {
        [0xff, 0xfe, ..] => wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] => wide(u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}
