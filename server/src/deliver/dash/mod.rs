//! DASH manifests as views on the store (ISO/IEC 23009-1), from the same segments as HLS.

mod adaptation;
pub mod manifest;
pub mod periods;

pub use super::text::date_time;

/// MIME type of manifests.
pub const CONTENT_TYPE: &str = "application/dash+xml";
