//! HLS playlists and DASH manifests in, one [`Presentation`](model::Presentation) model out.
//!
//! No I/O and no clock: text, the URL it came from and the time are arguments; the caller loads what is asked for.
//! Hostile text gives a typed error, never a panic and never unbounded work.
//!
//! ## The sequence of calls
//!
//! 1. Load the address that the viewer gave, follow redirects, and hand the bytes to [`Source::new`].
//! 2. Choose a rendition of the main track (the first one) and, where another track is the [`default`] sound, one of
//!    that. Load what [`Source::wanted`] names for them, in parallel, and [`Source::supply`] it. No other playlist is
//!    needed before playback starts.
//! 3. Tell the brain: [`to_brain_track`] of each of those tracks. Do it again after each [`Change::Changed`].
//! 4. For each segment that the brain wants, ask [`Source::segment`]. [`Lookup::Load`] means that this rendition's
//!    playlist was not loaded yet, or is older than that of another rendition: load it, supply it, ask again.
//! 5. While the presentation is live, call [`Source::due`] at [`Due::wake_at`]: it gives what to reload, at the pace that
//!    RFC 8216 (6.3.4) or the MPD asks for. A load that fails is reported by [`Source::failed`].
//!
//! Segment numbers and positions never change for the same media, whatever slides, restarts or is skipped, and are
//! equal on all renditions of a track. Renditions are sorted, so that rung *i* of the brain is rendition *i*.
//!
//! ```
//! use std::time::Duration;
//! use url::Url;
//! use weir_manifest::{Lookup, Now, Source, to_brain_track};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # fn load(url: &Url) -> &'static [u8] {
//! #     if url.path().ends_with("master.m3u8") {
//! #         b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=800000\nlow.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=3000000\nhigh.m3u8\n"
//! #     } else {
//! #         b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n0.m4s\n#EXTINF:3.5,\n1.m4s\n#EXT-X-ENDLIST\n"
//! #     }
//! # }
//! let now = Now { session: Duration::ZERO, unix: Duration::from_secs(1_800_000_000) };
//! let url = Url::parse("https://media.example/stream/master.m3u8")?;
//! let mut source = Source::new(&url, load(&url), now)?;
//!
//! // Only the playlist of the rendition to start with.
//! for request in source.wanted(0, 0) {
//!     let bytes = load(&request.resource.url);
//!     source.supply(&request, &request.resource.url, bytes, now)?;
//! }
//! let track = to_brain_track(&source.presentation().tracks[0], true).expect("has renditions");
//! assert_eq!((track.ladder.len(), track.segments.len()), (2, 2));
//!
//! // The brain wants segment 1 of the higher rung, whose playlist nobody loaded yet.
//! if let Lookup::Load(request) = source.segment(0, 1, 1, now) {
//!     let bytes = load(&request.resource.url);
//!     source.supply(&request, &request.resource.url, bytes, now)?;
//! }
//! let Lookup::Ready(segment) = source.segment(0, 1, 1, now) else { panic!("listed") };
//! assert_eq!(segment.media.url.as_str(), "https://media.example/stream/1.m4s");
//! assert_eq!(segment.start, Duration::from_secs(4));
//! # Ok(())
//! # }
//! ```
//!
//! [`default`]: model::Track::default

mod brain;
mod dash;
mod error;
pub mod hls;
mod inspect;
mod mirror;
pub mod model;
mod source;
mod steering;
mod time;

use std::borrow::Cow;

pub use brain::to_brain_track;
pub use error::{Error, Warning};
pub use inspect::inspect;
pub use mirror::{Address, Mirror};
pub use source::{Change, Due, Lookup, Now, Request, Source, What};
pub use steering::{ContentSteering, PathwayClone, SteeringManifest, data_of, steering_request};

/// Reads an `xs:dateTime`, as a clock that a live MPD names (`UTCTiming`) tells it: seconds since the Unix epoch.
pub fn read_clock(text: &str) -> Option<f64> {
    time::xs_date_time(text)
}

/// What a text is.
pub(crate) enum Found {
    Hls(hls::Kind),
    Dash,
}

/// Bytes as text: UTF-8 or UTF-16 with or without a mark, and the Latin alphabet where an XML declaration says so. What
/// is not valid is replaced.
pub(crate) fn text(bytes: &[u8]) -> Result<Cow<'_, str>, Error> {
    let utf16 = |bytes: &[u8], read: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).filter_map(|pair| Some(read(pair.try_into().ok()?)));
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect::<String>()
    };
    Ok(match bytes {
        [0x1F, 0x8B, ..] => {
            return Err(Error::incomplete(
                "the file is compressed with gzip, and nothing said so",
                "unpack it, or have the server send Content-Encoding: gzip",
            ));
        }
        [0xFF, 0xFE, rest @ ..] => Cow::Owned(utf16(rest, u16::from_le_bytes)),
        [0xFE, 0xFF, rest @ ..] => Cow::Owned(utf16(rest, u16::from_be_bytes)),
        [b'<' | b'#', 0, ..] => Cow::Owned(utf16(bytes, u16::from_le_bytes)),
        [0, b'<' | b'#', ..] => Cow::Owned(utf16(bytes, u16::from_be_bytes)),
        _ if is_latin(bytes) => Cow::Owned(bytes.iter().copied().map(char::from).collect()),
        [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8_lossy(rest),
        _ => String::from_utf8_lossy(bytes),
    })
}

/// The XML declaration at the start of `bytes` names ISO 8859-1, or what browsers take for it.
fn is_latin(bytes: &[u8]) -> bool {
    let head = bytes.get(..bytes.len().min(200)).unwrap_or_default();
    let end = head.iter().position(|byte| *byte == b'>').unwrap_or(0);
    let declaration = String::from_utf8_lossy(head.get(..end).unwrap_or_default()).to_ascii_lowercase();
    declaration.starts_with("<?xml")
        && ["iso-8859-1", "latin1", "windows-1252"].iter().any(|name| declaration.contains(name))
}

/// Finds out what `text` is, by its first line.
pub(crate) fn detect(text: &str) -> Result<Found, Error> {
    let first = hls::lines::Lines::new(text).next().map(|line| line.text).unwrap_or_default();
    if first
        .strip_prefix("#EXTM3U")
        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
    {
        return hls::kind(text).map(Found::Hls);
    }
    // Comments and processing instructions may stand before the root element, which the XML parser tells.
    if first.starts_with('<') && text.contains("MPD") {
        return Ok(Found::Dash);
    }
    Err(Error::NotAManifest(error::one_line(first, 40)))
}
