//! Bytes of segments in, encoded samples on the media timeline out.
