//! The seam between a live session and the ladder that encodes its lower rungs.
//!
//! The session gives every picture that it packages to the ladder, with the stream's time and with a mark where a
//! segment begins; the ladder decodes, encodes with a key frame at each mark, and sends coded units back. It may be
//! late, and it may die: that costs its rungs, never the stream.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Codec, TrackSetup};
use crate::ladder::Profile;

/// A rung that the ladder is going to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RungPlan {
    /// "360p".
    pub name: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames a second as numerator and denominator.
    pub frame_rate: (u32, u32),
    /// What the encoder is asked for, in bit/s.
    pub bandwidth: u64,
    /// The element that encodes it: "x264enc".
    pub encoder: String,
}

/// A picture of the source on the stream's timeline.
#[derive(Debug, Clone)]
pub struct SourceUnit {
    /// Decode time in nanoseconds from the stream's beginning.
    pub dts_ns: u64,
    /// Presentation time in nanoseconds from the stream's beginning.
    pub pts_ns: u64,
    /// A key frame.
    pub key: bool,
    /// A segment begins here: every rung needs a key frame at this `pts_ns`.
    pub segment: Option<u32>,
    /// As in [`LiveUnit::data`](super::LiveUnit::data).
    pub data: Bytes,
}

/// What comes back from the ladder.
#[derive(Debug, Clone)]
pub enum RungEvent {
    /// How a rung is coded; before its first unit.
    Setup {
        /// The rung's name.
        rung: String,
        /// The codec.
        codec: Codec,
        /// As in [`TrackSetup::config`].
        config: Bytes,
    },
    /// A coded picture, in decode order.
    Unit {
        /// The rung's name.
        rung: String,
        /// On the stream's timeline, in nanoseconds.
        dts_ns: u64,
        /// On the stream's timeline, in nanoseconds.
        pts_ns: u64,
        /// A key frame; one at each [`SourceUnit::segment`].
        key: bool,
        /// As in [`LiveUnit::data`](super::LiveUnit::data).
        data: Bytes,
    },
    /// The encoder has died; it is started again, and the rung goes on with another [`Setup`](Self::Setup).
    Interrupted {
        /// The rung's name.
        rung: String,
        /// Why, for a person.
        why: String,
    },
    /// The rung is gone for good.
    Lost {
        /// The rung's name.
        rung: String,
        /// Why, for a person.
        why: String,
    },
}

/// Where a ladder sends its units. Bounded; when it is full the session is behind, and waiting is right.
pub type RungSender = mpsc::Sender<RungEvent>;

/// Makes ladders for live streams.
pub trait LiveLadders: Send + Sync + std::fmt::Debug {
    /// Starts a ladder below a source. Called at the beginning of a stream and after each discontinuity; the
    /// ladder before may still have to send what it holds. `None` when the source gets no rungs.
    fn start(
        &self,
        stream: &str,
        source: &TrackSetup,
        profile: &Profile,
        output: RungSender,
    ) -> Option<Box<dyn LiveLadder>>;
}

/// A running ladder. Dropping it stops it, and what it still holds is lost.
pub trait LiveLadder: Send + std::fmt::Debug {
    /// The rungs to expect, lowest first.
    fn rungs(&self) -> Vec<RungPlan>;

    /// Rungs of the profile that the machine cannot carry now.
    fn left_out(&self) -> Vec<String> {
        Vec::new()
    }

    /// Takes a picture. Never waits: a ladder that is behind drops pictures.
    fn push(&mut self, unit: SourceUnit);

    /// Says that no picture follows. What the encoders still hold comes, and then the output is closed. Never waits.
    fn finish(&mut self);
}
