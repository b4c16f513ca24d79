use bytes::Bytes;

use super::{DemuxError, Demuxed, Demuxer, InitSegment};

/// A [`Demuxer`] on GStreamer's demuxers and parsers.
#[derive(Debug)]
pub struct GstDemuxer {
    _private: (),
}

impl GstDemuxer {
    /// Sets GStreamer up.
    ///
    /// # Errors
    /// [`DemuxError::Setup`] when GStreamer cannot start.
    pub fn new() -> Result<Self, DemuxError> {
        gstreamer::init().map_err(|error| DemuxError::Setup(error.to_string()))?;
        Ok(Self { _private: () })
    }
}

impl Demuxer for GstDemuxer {
    fn append(&mut self, _init: Option<&InitSegment>, media: Bytes) -> Result<Demuxed, DemuxError> {
        Err(DemuxError::UnknownFormat { len: media.len(), head: String::new() })
    }
}
