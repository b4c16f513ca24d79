//! Live streams: what publishers send becomes segments and parts while it is sent.
//!
//! [`LiveManager::open`] starts a stream with a thread of its own; [`LiveManager::publish`] lets an ingest in, which
//! sends set-ups and access units on the publisher's own clock. The session maps that clock onto the stream's
//! timeline, cuts segments at key frames and the sound along with them, and writes parts into the
//! [store](crate::store). It never waits for a viewer, for the disk, or for an encoder.

mod clock;
mod cutter;
mod input;
mod manager;
mod pace;
mod rung;
mod rungs;
mod session;
mod setup;
mod sound;
mod status;
#[cfg(test)]
mod tests;
mod track;

pub use input::{Codec, LiveEvent, LiveUnit, TrackSetup};
pub use manager::{Ended, LiveManager, OpenError, Publisher, Refused};
pub use rungs::{LiveLadder, LiveLadders, RungEvent, RungPlan, RungSender, SourceUnit};
pub use session::{AUDIO, SOURCE};
pub use setup::check_setup;
pub use status::{LiveSettings, LiveState, LiveStatus, LiveTrack, PublisherInfo, RungState, RungStatus};
