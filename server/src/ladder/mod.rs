//! From any source to an aligned ladder of closed GOPs: GStreamer decodes once and encodes every rung.
//!
//! Each encoder is a pipeline of its own, so that one that dies costs its rung and not the stream. All
//! clocks are derived from frame and sample numbers ([`Timeline`]), never added up.

mod animation;
mod audio;
mod boxes;
mod collect;
mod decode;
mod encode;
mod grid;
mod index;
mod live;
mod log;
mod picture;
mod pipeline;
mod probe;
mod profile;
mod sequence;
mod sound;
mod thumbs;
mod timeline;
mod units;
mod whole;
pub(crate) mod wire;

pub use encode::VideoEncoderKind;
pub use live::{
    EncodedLadders, EncoderError, EncoderProgram, LadderOptions, encode_for_parent, probe_for_parent,
};
pub use log::{LogLevel, LogLine, StreamLog, StreamLogs};
pub use profile::{Passthrough, Profile, Rung, RungSpec, Speed};
pub use timeline::Timeline;

pub(crate) use animation::{Animation, animation};
pub(crate) use audio::{AudioEncoder, AudioEncoderKind};
pub(crate) use collect::{EncodedUnit, UnitSink};
#[cfg(test)]
pub(crate) use decode::Decoder;
pub(crate) use decode::{MediaInfo, Next};
pub(crate) use encode::{Offer, VideoEncoder, VideoEncoderSpec};
pub(crate) use grid::{FrameGrid, SampleGrid};
pub(crate) use index::{SOURCE_TIMESCALE, SourceIndex, source_ticks};
pub(crate) use live::{LastWords, cause_of_death, die_with_parent};
pub(crate) use log::Voice;
pub(crate) use picture::{Rgb, poster_jpeg};
pub(crate) use pipeline::lower_priority;
pub(crate) use probe::works as encoder_works;
pub(crate) use sequence::{Sequence, probe_all};
pub(crate) use sound::{NextSound, SoundReader, SoundTrack};
pub(crate) use thumbs::{Sheets, interval_ms, newest_sheet, tile_size};
pub(crate) use units::{NextUnit, SourceFormat, SourceSample, UnitReader};

/// Why decoding or encoding failed; every message is for the person who gave the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LadderError {
    /// GStreamer or one of its plug-ins is not installed.
    #[error("this server lacks {0}; install the GStreamer plug-ins (base, good, bad, ugly, libav)")]
    Missing(String),
    /// The source could not be read or decoded.
    #[error("cannot decode the source: {0}")]
    Decode(String),
    /// A copy or an upload that did not come to its end.
    #[error(
        "the source is cut short: it has {length} bytes of at least {least}, and its index (moov) would come behind them; copy \
         or upload it again"
    )]
    CutShort {
        /// Bytes that are there.
        length: u64,
        /// Bytes that the file says it has, without its index.
        least: u64,
    },
    /// The source holds neither pictures nor sound.
    #[error("the source has no video and no audio that this server can decode")]
    NothingToPlay,
    /// An encoder gave up.
    #[error("encoding {rendition} failed: {why}")]
    Encode {
        /// The rendition's name.
        rendition: String,
        /// The encoder's words.
        why: String,
    },
}

/// Loads GStreamer once.
///
/// # Errors
/// When its plug-in registry cannot be loaded.
pub fn init() -> Result<(), LadderError> {
    gstreamer::init().map_err(|error| LadderError::Missing(format!("a working GStreamer ({error})")))
}
