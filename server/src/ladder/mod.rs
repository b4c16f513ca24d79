//! From any source to an aligned ladder of closed GOPs: GStreamer decodes once and encodes every rung.

mod profile;

pub use profile::{Profile, Rung, RungSpec, Speed};
