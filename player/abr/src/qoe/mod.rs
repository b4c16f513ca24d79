//! From a session's record to figures: how long until the first picture, how often and how long it stood, how good it
//! looked, how often that changed, and the composites of the literature side by side.
//!
//! No single composite tells the truth: they disagree about how much a switch hurts. Print the parts as well.

mod figures;
mod p1203;
mod session;

pub use figures::Figures;
pub use p1203::{P1203, P1203Segment, P1203Stream, Stalling, Viewing};
pub use session::{Download, Played, Reader, Session, Stall};
