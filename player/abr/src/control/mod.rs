//! To be written.
/// Names of all controllers, the default first.
pub const NAMES: &[&str] = &["weir"];
