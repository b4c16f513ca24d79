//! HLS playlists as views on the store (RFC 8216bis).

pub mod iframes;
pub mod master;
pub mod media;

/// MIME type of playlists (RFC 8216bis, section 10).
pub const CONTENT_TYPE: &str = "application/vnd.apple.mpegurl";

/// `EXT-X-TARGETDURATION` for a segment length.
pub fn target_seconds(segment_ms: u32) -> u32 {
    super::timing::Timing::target_of(segment_ms)
}
