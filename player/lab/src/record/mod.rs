//! Recorded sessions: read back, explained, and played again with other controllers.

mod circumstances;
mod explain;
mod flow;
mod read;
mod replay;

pub use explain::explain;
pub use read::{RecordError, read};
pub use replay::{RebuildError, Replay};
