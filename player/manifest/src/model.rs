//! What a manifest says, whatever its protocol.

use std::{ops::Range, sync::Arc, time::Duration};

use url::Url;

use crate::{ContentSteering, Mirror};

/// What to request for a segment, an init segment or a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resource {
    /// Absolute.
    pub url: Url,
    /// Bytes of it, end exclusive; `None` for all.
    pub range: Option<Range<u64>>,
}

/// How a segment is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// The whole segment, AES-128 in CBC mode with PKCS#7 padding (RFC 8216, 5.2).
    Aes128 {
        /// Where the 16 bytes of the key are.
        key: Url,
        /// Given, or derived from the media sequence number.
        iv: [u8; 16],
    },
    /// Anything else, by the name that the manifest uses.
    Unsupported(String),
}

/// The pieces in which a segment near the live edge can be had (`EXT-X-PART`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Those that are there, in order from the segment's start; together they are the segment as far as it goes.
    pub list: Vec<Resource>,
    /// The one that comes next: a request for it is answered when it is there (`EXT-X-PRELOAD-HINT`).
    pub next: Option<Resource>,
}

/// One segment of one rendition.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Media sequence number (HLS), or the number derived from the template (DASH).
    pub number: u64,
    /// Where it starts on the presentation timeline, by the manifest.
    pub start: Duration,
    /// How long it plays, by the manifest.
    pub duration: Duration,
    /// Where its bytes are.
    pub media: Resource,
    /// Its initialization segment, where the format has one.
    pub init: Option<Resource>,
    /// Segments of one value share one media timeline (HLS discontinuity sequence, DASH period).
    pub discontinuity: u64,
    /// How to get from media time stamps to the presentation timeline where the manifest says it (DASH): media time
    /// of the presentation's `discontinuity` start, so presentation = media - this. `None` in HLS: measured instead.
    pub media_time_offset: Option<f64>,
    /// How it is encrypted.
    pub encryption: Option<Encryption>,
    /// Bytes, where the manifest knows.
    pub size: Option<u64>,
    /// No media here (`EXT-X-GAP`).
    pub gap: bool,
    /// It is still being made. Its `duration` is what it will probably be, and it comes no faster than it is made: in
    /// `parts` where there are any (`media` is the first of them then), else in one answer that goes on until it is complete.
    pub growing: bool,
    /// Its parts, where they are listed.
    pub parts: Option<Arc<Parts>>,
    /// Wall-clock time of its first sample, seconds since the Unix epoch.
    pub program_date_time: Option<f64>,
}

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Pictures, perhaps with sound in the same segments.
    Video,
    /// Sound alone.
    Audio,
    /// Subtitles or captions.
    Text,
    /// Small pictures of the main track for a scrub bar, several in one image.
    Image,
    /// Pictures of the main track that are each decoded by themselves, for a scrub bar (`EXT-X-I-FRAME-STREAM-INF`, DASH trick
    /// mode).
    KeyFrames,
}

/// One quality of a track.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendition {
    /// Stable name within the presentation.
    pub id: String,
    /// Declared peak in bit/s (`BANDWIDTH`, `@bandwidth`).
    pub bandwidth: u64,
    /// Declared average in bit/s.
    pub average_bandwidth: Option<u64>,
    /// Pixels.
    pub width: Option<u32>,
    /// Lines.
    pub height: Option<u32>,
    /// RFC 6381 string.
    pub codecs: Option<String>,
    /// Frames per second.
    pub frame_rate: Option<f64>,
    /// The playlist that lists its segments (HLS); `None` when `segments` needs no further request.
    pub playlist: Option<Url>,
    /// Its segments as far as they are known; empty until the playlist was loaded.
    pub segments: Vec<Segment>,
    /// What follows them and is still being made, where its parts can be had (HLS). In DASH it is the last of `segments`.
    pub growing: Option<Box<Segment>>,
}

impl Rendition {
    /// Of which nothing is known yet but its playlist (HLS).
    pub fn listed(id: String, bandwidth: u64, playlist: Url) -> Self {
        Self {
            id,
            bandwidth,
            average_bandwidth: None,
            width: None,
            height: None,
            codecs: None,
            frame_rate: None,
            playlist: Some(playlist),
            segments: Vec::new(),
            growing: None,
        }
    }

    /// Segment `number`, the one that is still being made included.
    pub fn segment(&self, number: u64) -> Option<&Segment> {
        let growing = self.growing.as_deref().filter(|growing| growing.number == number);
        crate::brain::find(&self.segments, number).or(growing)
    }

    /// The newest segment, the one that is still being made included.
    pub fn last(&self) -> Option<&Segment> {
        self.growing.as_deref().or(self.segments.last())
    }
}

/// How far media can be had although their segment is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// On the presentation timeline.
    pub at: Duration,
    /// It grows in steps of this; zero where it grows steadily.
    pub step: Duration,
}

/// Renditions that stand for each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// Stable name within the presentation.
    pub id: String,
    /// What it carries.
    pub kind: MediaKind,
    /// BCP 47, where given.
    pub language: Option<String>,
    /// For people.
    pub name: String,
    /// Chosen unless the viewer says otherwise.
    pub default: bool,
    /// May be chosen for the viewer, because it fits what is heard or the language that was asked for.
    pub autoselect: bool,
    /// Text of it: only what is said in another language than the sound's; meant to be seen without being asked for.
    pub forced: bool,
    /// Of small pictures: columns and rows in each image, filled row by row over the time of its segment.
    pub tiles: Option<(u32, u32)>,
    /// At least one, by rising bitrate.
    pub renditions: Vec<Rendition>,
}

/// A whole presentation.
#[derive(Clone, Debug, PartialEq)]
pub struct Presentation {
    /// `hls` or `dash`.
    pub protocol: Protocol,
    /// Tracks, the main one first. With sound in the main track's segments there is no audio track for it.
    pub tracks: Vec<Track>,
    /// More may be appended.
    pub live: bool,
    /// A live stream starts at its edge; an event that still grows starts at the beginning.
    pub start_at_edge: bool,
    /// Where it ends, once that is known.
    pub duration: Option<Duration>,
    /// How long to wait before the next reload, while it may change.
    pub reload_after: Option<Duration>,
    /// Longest segment, for time-outs and hold-backs.
    pub target_duration: Duration,
    /// Distance to keep from the end of a live presentation.
    pub target_latency: Option<Duration>,
    /// Where the newest media end, when segments can be had while they are made (low latency).
    pub edge: Option<Edge>,
    /// Sound in the main track's segments, where the manifest names it as one choice among others (`EXT-X-MEDIA` without an
    /// address).
    pub muxed_sound: Option<MuxedSound>,
    /// Captions inside the pictures that the manifest names (CEA-608 and CEA-708).
    pub captions: Vec<Captions>,
    /// What can be had at several addresses.
    pub mirrors: Vec<Mirror>,
    /// Who says at which of them.
    pub steering: Option<ContentSteering>,
}

/// Sound in the same segments as the pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MuxedSound {
    /// For people.
    pub name: String,
    /// BCP 47, where given.
    pub language: Option<String>,
}

/// Captions inside the pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captions {
    /// Which: `CC1` to `CC4` (CEA-608), `SERVICE1` to `SERVICE63` (CEA-708).
    pub channel: String,
    /// For people; empty where the manifest gives none.
    pub name: String,
    /// BCP 47, where given.
    pub language: Option<String>,
}

/// Where the text came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 8216 and 8216bis.
    Hls,
    /// ISO/IEC 23009-1.
    Dash,
}
