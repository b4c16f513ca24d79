//! Bytes of segments in, encoded samples on the media timeline out.
//!
//! ```no_run
//! # fn main() -> Result<(), weir_engine::demux::DemuxError> {
//! use weir_engine::demux::{Demuxer, GstDemuxer};
//! let mut demuxer = GstDemuxer::new()?;
//! let demuxed = demuxer.append(None, bytes::Bytes::from_static(b"a whole segment"))?;
//! for stream in demuxed.streams {
//!     println!("{:?} {}: {} samples", stream.kind, stream.codec, stream.samples.len());
//! }
//! # Ok(())
//! # }
//! ```

mod boxes;
mod chain;
mod codec;
mod growing;
mod gst_demuxer;
mod id3;
mod sniff;
mod still;
#[cfg(test)]
pub(crate) mod test_media;
#[cfg(test)]
mod tests;
mod ts_time;

use bytes::Bytes;
use gstreamer as gst;

use crate::samples::Sample;

pub(crate) use boxes::Walker;
pub use codec::{codec_name, decoder_package};
pub use growing::{Batch, Growing};
pub use gst_demuxer::GstDemuxer;
pub(crate) use sniff::sniff as sniff_format;
pub(crate) use still::{Still, stills};

/// 33 bits at 90 kHz, nanoseconds.
const WRAP: i64 = 95_443_717_688_889;

/// An initialization segment (fMP4: `ftyp` and `moov`).
#[derive(Clone, Debug)]
pub struct InitSegment {
    /// Its bytes.
    pub bytes: Bytes,
}

/// Container of a segment, told by its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Fragmented or plain MP4 (ISO/IEC 14496-12).
    Mp4,
    /// MPEG-2 transport stream (ISO/IEC 13818-1).
    MpegTs,
    /// ADTS, MP3 or AC-3 frames, most often behind an ID3 tag (RFC 8216, 3.4).
    PackedAudio,
}

/// What a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// One elementary stream of a segment.
#[derive(Clone, Debug)]
pub struct DemuxedStream {
    /// What it carries.
    pub kind: StreamKind,
    /// Caps of its first sample.
    pub caps: gst::Caps,
    /// The codec as people call it: "H.264", "AAC".
    pub codec: String,
    /// In decode order, on the media timeline; never empty.
    pub samples: Vec<Sample>,
}

/// What was in a segment.
#[derive(Clone, Debug)]
pub struct Demuxed {
    /// Its container.
    pub format: Format,
    /// First video first; one stream of each kind at most: further ones are left out.
    pub streams: Vec<DemuxedStream>,
    /// Media time wraps after so many nanoseconds (33 bit at 90 kHz in transport streams and ID3 stamps): place it
    /// with [`Demuxed::align`]. `None` where it does not wrap.
    pub wrap: Option<i64>,
    /// The segment has timestamps; without, its first sample is at 0 and the manifest says where it belongs.
    pub timed: bool,
    /// It ended in mid-sample or was damaged: the samples before are good. Says what was found.
    pub damage: Option<String>,
}

impl Demuxed {
    /// Start of the earliest sample, nanoseconds of media time. `None` when there are no samples.
    pub fn start(&self) -> Option<i64> {
        self.streams.iter().flat_map(|stream| &stream.samples).map(|sample| sample.pts).min()
    }

    /// Moves a timeline that wraps by whole turns, so that it starts as near to `expected` (nanoseconds of media
    /// time) as it can.
    pub fn align(&mut self, expected: i64) {
        let (Some(wrap), Some(start)) = (self.wrap, self.start()) else { return };
        // Rounded to the nearest turn.
        let turns = (expected.saturating_sub(start).saturating_add(wrap / 2)).div_euclid(wrap);
        let shift = turns.saturating_mul(wrap);
        for sample in self.streams.iter_mut().flat_map(|stream| &mut stream.samples) {
            sample.pts = sample.pts.saturating_add(shift);
            sample.dts = sample.dts.saturating_add(shift);
        }
    }
}

/// Why no media could be read. All of them leave the demuxer fit for the next segment.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemuxError {
    /// Nothing that is known starts like this.
    #[error(
        "the segment's {len} bytes are in no known container (they start with {head}); MP4, MPEG-TS and packed audio can be read"
    )]
    UnknownFormat {
        /// Size.
        len: usize,
        /// First bytes in hexadecimal.
        head: String,
    },
    /// A fragment came without the initialization segment that it needs.
    #[error(
        "the segment is a fragment of an MP4 file whose initialization segment is missing: the playlist needs EXT-X-MAP"
    )]
    MissingInit,
    /// A GStreamer element is not installed.
    #[error("the GStreamer element {element} is missing: install the package {package}")]
    MissingElement {
        /// Its name.
        element: &'static str,
        /// Where Debian and Ubuntu have it.
        package: &'static str,
    },
    /// The container was known, but no sample came out.
    #[error("no media could be read from the segment: {0}")]
    Corrupt(String),
    /// Reading took longer than any sane segment needs.
    #[error("reading the segment was given up after {0} s")]
    TimedOut(u64),
    /// GStreamer would not start.
    #[error("GStreamer could not be set up: {0}")]
    Setup(String),
}

/// Takes segments apart. Blocking: call it on a worker thread, one demuxer per track.
pub trait Demuxer: Send {
    /// Reads a whole segment. `init` is the initialization segment that belongs to it, for each call anew.
    /// Segments may come in any order, of any rung.
    ///
    /// # Errors
    /// See [`DemuxError`]. A segment that is damaged but gave samples is no error: see [`Demuxed::damage`].
    fn append(&mut self, init: Option<&InitSegment>, media: Bytes) -> Result<Demuxed, DemuxError>;
}
