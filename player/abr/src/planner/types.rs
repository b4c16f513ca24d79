//! What goes into the planner, and what comes out.

use std::{sync::Arc, time::Duration};

use crate::{Bitrate, Decision, RungId, Track, TrackKind};

/// Names one download, from [`Command::Fetch`] to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId(pub u64);

/// How a download or its contents failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection, connection lost, or nothing came for too long.
    Network,
    /// The server answered with this HTTP status (4xx or 5xx).
    Status(u16),
    /// The body ended early or was longer than announced.
    Truncated,
    /// It arrived, but no media could be read from it.
    Corrupt,
    /// It arrived and was read, but nothing here can decode it: the whole rung is of no use.
    Unplayable,
}

/// What the viewer asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QualityChoice {
    /// The controller decides.
    #[default]
    Auto,
    /// This rung and no other, as long as it can be had.
    Manual(RungId),
}

/// Limits on what the controller may choose in [`QualityChoice::Auto`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Caps {
    /// No rung above this average bitrate.
    pub bitrate: Option<Bitrate>,
    /// No rung taller than needed for a picture shown at this many physical lines.
    pub height: Option<u32>,
}

/// A live stream's moving edge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Live {
    /// Distance from the end of the listed media at which playback is wanted.
    pub target_latency: Duration,
    /// Playback starts at the edge (a live stream), not at the beginning (an event that still grows).
    pub start_at_edge: bool,
}

/// What happened. Times are handed to [`Planner::handle`] beside the event.
#[derive(Clone, Debug)]
pub enum Event {
    /// The presentation is known, or changed: segments came or went, or it ended.
    /// Exactly one track is [`TrackKind::Video`] (the main one); at most one is [`TrackKind::Audio`].
    Presentation {
        /// All tracks, each with what is listed now.
        tracks: Vec<Arc<Track>>,
        /// `Some` while more segments may be appended.
        live: Option<Live>,
    },
    /// The request is on its way.
    TransferStarted(FetchId),
    /// The response's head arrived.
    FirstByte(FetchId),
    /// The body will have so many bytes (`Content-Length`). Without it the planner goes by the manifest or the average.
    TransferSize(FetchId, u64),
    /// So many bytes of the body arrived in all.
    TransferProgress(FetchId, u64),
    /// Media of a download under way can be played, without a break, from the start of its segment up to this position. It
    /// counts as buffered, and stays so if the download is given up. Never sent for replacements, which count when complete.
    MediaAppended(FetchId, Duration),
    /// The server has sent all that there is of a segment that is still being made; the download waits for the encoder. The
    /// time up to the next byte says nothing about the network.
    TransferIdle(FetchId),
    /// The body is complete: so many bytes. The segment counts as buffered from here on.
    TransferDone(FetchId, u64),
    /// It failed; also sent after `TransferDone` when the bytes turned out unusable.
    TransferFailed(FetchId, Failure),
    /// Where playback is; sent at least every 250 ms while playing, and at once after a jump.
    Playhead(Duration),
    /// The viewer wants to go here. The planner drops what it fetched for elsewhere.
    Seek(Duration),
    /// The engine dropped buffered segments that end before this position (already played).
    Evicted(TrackKind, Duration),
    /// The viewer paused (`true`) or resumed.
    Paused(bool),
    /// Playback rate, 1.0 is normal.
    Rate(f64),
    /// The viewer chose a quality.
    Quality(QualityChoice),
    /// Limits changed.
    Caps(Caps),
    /// Rungs of the main track that are not to be used from now on, though they are listed and may be buffered: the pathway
    /// in use does not have them. An empty list takes that back.
    Withheld(Vec<RungId>),
    /// Frames that came too late to be shown, out of so many, since the last such event.
    DroppedFrames {
        /// Too late.
        dropped: u32,
        /// All.
        total: u32,
    },
    /// The estimate of an earlier session on the same network, with its age.
    RememberedThroughput(Bitrate, Duration),
    /// Media can be had up to `at`, although the segment there is still being made (low latency). Sent before the
    /// [`Event::Presentation`] that lists that segment with the length it will probably have.
    Edge {
        /// End of what can be had now, on the presentation timeline.
        at: Duration,
        /// It grows in steps of this; zero where it grows steadily.
        step: Duration,
    },
    /// Playback came to the end of the presentation.
    ReachedEnd,
    /// The time of the last [`Command::WakeAt`] came.
    Wake,
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Command {
    /// Download a segment and append it.
    Fetch {
        /// Names the download in later events.
        id: FetchId,
        /// Track of the segment.
        track: TrackKind,
        /// Number of the segment.
        index: u64,
        /// Rung to fetch.
        rung: RungId,
        /// The segment is buffered already, at a lower rung: swap it when the new one is complete.
        replace: bool,
        /// Why this one.
        decision: Decision,
    },
    /// Stop a download; no more events about it are expected.
    Abandon {
        /// The download.
        id: FetchId,
        /// Why, in one sentence.
        reason: String,
    },
    /// Give up a segment that cannot be had: playback jumps over it.
    Skip {
        /// Track of the segment.
        track: TrackKind,
        /// Number of the segment.
        index: u64,
        /// Why, in one sentence.
        reason: String,
    },
    /// Enough is buffered: show the first picture and play.
    Start {
        /// Where playback starts.
        position: Duration,
    },
    /// The buffer ran dry: hold the clock. A stall begins.
    Stall,
    /// Enough is buffered again: let the clock run. The stall ends.
    Resume,
    /// Playback can go on at this place after a seek: flush to it and play on (or stay paused).
    SeekReady {
        /// Target of the seek.
        position: Duration,
    },
    /// Play at this rate to keep the distance to the live edge.
    SetRate(f64),
    /// Nothing more can be played.
    Fail {
        /// What failed, and what to do, in plain words.
        reason: String,
    },
    /// Call [`Planner::handle`] with [`Event::Wake`] at this time, if nothing else happens before.
    WakeAt(Duration),
}

/// How the planner behaves; every field has a default that suits most.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Name of the controller ([`crate::control::NAMES`] lists them).
    pub controller: String,
    /// Media to hold ahead of the playhead at most, in time.
    pub max_buffer: Duration,
    /// Media ahead of the playhead at most, in bytes over all tracks.
    pub max_bytes: u64,
    /// Media that must be buffered before playback starts.
    pub start_buffer: Duration,
    /// Media that must be buffered before playback resumes after a stall.
    pub resume_buffer: Duration,
    /// Below this level the clock is held.
    pub stall_buffer: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            controller: "weir".to_owned(),
            max_buffer: Duration::from_secs(30),
            max_bytes: 400_000_000,
            start_buffer: Duration::from_secs(1),
            resume_buffer: Duration::from_secs(2),
            stall_buffer: Duration::from_millis(150),
        }
    }
}

/// There is no controller of this name.
#[derive(Debug, thiserror::Error)]
#[error("there is no controller named {0:?}; known are: {1}")]
pub struct UnknownController(pub String, pub String);
