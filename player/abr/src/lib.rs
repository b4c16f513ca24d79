//! The brain of Weir: what to download next, at which quality, when to give a download up, when to
//! start, stall and resume.
//!
//! It reads no clock, opens no socket and starts no thread. Time and events come in as arguments,
//! commands go out, so the desktop player and the simulator drive *the same code*: the one with
//! tokio and GStreamer in real time, the other with a virtual clock.
//!
//! ## The run loop
//!
//! ```text
//! loop {
//!     planner.handle(now, event);                 // one event in ...
//!     while let Some(command) = planner.poll(now) // ... then poll until it has nothing more to say
//!     {
//!         carry_out(command);
//!     }
//!     sleep until the time of the last Command::WakeAt, or until the next event
//! }
//! ```
//!
//! Times are [`Duration`](std::time::Duration)s since the session's start; positions are
//! `Duration`s on the presentation timeline; bitrates are [`Bitrate`]s.

pub mod control;
pub mod decision;
pub mod estimate;
pub mod ladder;
pub mod planner;
pub mod qoe;
pub mod record;
mod units;

pub use decision::Decision;
pub use ladder::{Ladder, Rung, RungId, SegmentInfo, Track, TrackKind};
pub use planner::{Command, Event, Planner};
pub use units::Bitrate;
