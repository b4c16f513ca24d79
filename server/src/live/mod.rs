//! Live streams: what publishers send becomes segments and parts while it is sent.

mod input;
mod rungs;
mod status;

pub use input::{Codec, LiveEvent, LiveUnit, TrackSetup};
pub use rungs::{LiveLadder, LiveLadders, RungEvent, RungPlan, RungSender, SourceUnit};
pub use status::{LiveSettings, LiveState, LiveStatus, LiveTrack, PublisherInfo};
