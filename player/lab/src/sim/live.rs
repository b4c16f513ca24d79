//! A live presentation: segments come to be as time goes by.

use std::{sync::Arc, time::Duration};

use weir_abr::{Track, planner::Live};

/// How content is published live.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LiveEdge {
    /// Distance from the edge at which playback is wanted.
    pub target_latency: Duration,
    /// Media that exists when the session begins.
    pub head_start: Duration,
}

impl LiveEdge {
    pub(super) fn live(&self) -> Live {
        Live { target_latency: self.target_latency, start_at_edge: true }
    }

    /// Where the edge is at `now`.
    pub(super) fn edge(&self, now: Duration) -> Duration {
        now + self.head_start
    }

    /// What is listed at `now`: the segments that are complete.
    pub(super) fn listed(&self, track: &Track, now: Duration) -> Arc<Track> {
        let edge = self.edge(now);
        let count = track.segments.partition_point(|segment| segment.end() <= edge);
        let mut listed = Track::clone(track);
        listed.segments.truncate(count);
        Arc::new(listed)
    }

    /// When the next segment is complete; `None` when all are.
    pub(super) fn next(&self, track: &Track, now: Duration) -> Option<Duration> {
        let edge = self.edge(now);
        let next = track.segments.iter().find(|segment| segment.end() > edge)?;
        Some(next.end() - self.head_start)
    }
}
