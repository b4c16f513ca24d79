//! What ingest gives to a live session: set-ups and access units on the publisher's clock.

use bytes::Bytes;

use crate::store::TrackKind;

/// Codecs that a live stream may carry as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// H.264.
    Avc,
    /// H.265.
    Hevc,
    /// AV1.
    Av1,
    /// AAC.
    Aac,
    /// Opus.
    Opus,
}

impl Codec {
    /// Picture or sound.
    #[must_use]
    pub fn kind(self) -> TrackKind {
        match self {
            Self::Avc | Self::Hevc | Self::Av1 => TrackKind::Video,
            Self::Aac | Self::Opus => TrackKind::Audio,
        }
    }

    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Avc => "H.264",
            Self::Hevc => "HEVC",
            Self::Av1 => "AV1",
            Self::Aac => "AAC",
            Self::Opus => "Opus",
        }
    }
}

/// How a track is coded. Sent before its first unit, and again when it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackSetup {
    /// Picture or sound; must be the codec's own kind.
    pub kind: TrackKind,
    /// The codec.
    pub codec: Codec,
    /// `avcC`, `hvcC`, `av1C`, `AudioSpecificConfig` or `dOps` payload. An `OpusHead` packet counts as `dOps`.
    pub config: Bytes,
    /// Pixels; 0 when unknown (H.264: read from the SPS then) or for sound.
    pub width: u32,
    /// Pixels; 0 as for `width`.
    pub height: u32,
    /// Frames a second as numerator and denominator, when the publisher said so.
    pub frame_rate: Option<(u32, u32)>,
    /// Hz; 0 for pictures.
    pub sample_rate: u32,
    /// Channels; 0 for pictures.
    pub channels: u32,
    /// Language of sound (RFC 5646), where the source tells it.
    pub language: Option<String>,
    /// What the publisher says it sends, in bit/s.
    pub bitrate: Option<u64>,
}

/// One access unit on the publisher's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveUnit {
    /// Which track.
    pub kind: TrackKind,
    /// Decode time in nanoseconds, monotonic within a connection, any origin.
    pub dts_ns: i64,
    /// Presentation time in nanoseconds.
    pub pts_ns: i64,
    /// Decoding can start here.
    pub key: bool,
    /// H.264 and HEVC with four-byte NAL lengths, AV1 OBUs without temporal delimiters, raw AAC, Opus packets.
    pub data: Bytes,
}

/// What a publisher sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveEvent {
    /// How a track is coded from here on. The same again changes nothing; another one makes a discontinuity.
    Setup(TrackSetup),
    /// An access unit.
    Unit(LiveUnit),
    /// The publisher's clock started anew: what follows has another origin.
    Discontinuity,
    /// Something that an admin has to know of this publisher, such as why it is sent away.
    Warning(String),
}
