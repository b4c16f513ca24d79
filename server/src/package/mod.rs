//! Pure-Rust CMAF (ISO/IEC 23000-19): access units in, init segments and media segments out.
//!
//! Video is track 1, audio track 2, in the demuxed renditions and in the muxed stream alike, so that a
//! progressive stream is [`muxed_init`] followed by the renditions' own segments in turn, each passed through
//! [`with_sequence`].

mod bits;
mod boxes;
mod codec;
mod dolby;
mod fragment;
mod init;
pub(crate) mod language;
mod mux;
mod repeat;
mod silence;
mod sps;

pub(crate) use bits::{nal_units, unescape};
pub use codec::{AudioCodec, AudioConfig, VideoCodec, VideoConfig};
pub use fragment::{ProducerTime, Sample, chunk, media_segment};
pub use init::{
    InitFormat, audio_init, audio_init_at, audio_init_in, init_delay, init_format, video_init,
    video_init_delayed,
};
pub use mux::{muxed_init, with_sequence, with_sequences};
pub use repeat::{Repeater, Repetition};
pub use sps::PictureInfo;

/// Track ID of every video rendition.
pub const VIDEO_TRACK: u32 = 1;
/// Track ID of every audio rendition.
pub const AUDIO_TRACK: u32 = 2;

/// Why something could not be packaged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// A codec configuration that does not parse.
    #[error("the {codec} configuration is not usable: {why}")]
    Codec {
        /// "H.264", "AAC" ...
        codec: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// An init or media segment without the boxes that it must have.
    #[error("not a CMAF segment of this server: {0}")]
    Malformed(String),
    /// More than a segment can hold.
    #[error("the segment is too large: {0}")]
    TooLarge(String),
}

#[cfg(test)]
mod codec_tests;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
