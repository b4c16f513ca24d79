//! Follows one rendition's playlist and downloads its segments in order.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::PullError;
use super::demux::Timed;
use super::live::PullStatus;
use super::playlist::{Media, Segment};
use super::track::Track;
use crate::ingest::fetch::{FetchError, Limits};

/// Target durations from the end at which playing begins (RFC 8216, 6.3.3).
const FROM_END: u64 = 3;
/// Target durations without a new segment after which the source is lost, and the least of that.
const LOST_TARGETS: u64 = 3;
const LOST: Duration = Duration::from_secs(8);
/// Largest segment, in bytes.
const SEGMENT_BYTES: u64 = 32 << 20;
/// Segments in a row that cannot be had.
const MOST_LOST: u32 = 3;

/// What a reader says.
#[derive(Debug)]
pub(super) enum Step {
    Chunk(Chunk),
    /// The playlist says that nothing more will come.
    Ended,
    Failed(PullError),
}

/// A segment.
#[derive(Debug)]
pub(super) struct Chunk {
    /// Its discontinuity sequence number.
    pub(super) run: u64,
    /// The one before it was lost.
    pub(super) broken: bool,
    /// Seconds that were listed behind it when the playlist was last loaded; only where it was loaded for this one.
    pub(super) behind: Option<f64>,
    pub(super) events: Vec<Timed>,
}

/// Follows one rendition.
#[derive(Debug)]
pub(super) struct Reader {
    track: Track,
    sender: mpsc::Sender<Step>,
    told: watch::Sender<PullStatus>,
    /// Number of the segment that is next.
    next: Option<u64>,
    run: Option<u64>,
    broken: bool,
    lost: u32,
    last_error: Option<String>,
    progress: Instant,
}

impl Reader {
    pub(super) fn new(track: Track, sender: mpsc::Sender<Step>, told: watch::Sender<PullStatus>) -> Self {
        Self {
            track,
            sender,
            told,
            next: None,
            run: None,
            broken: false,
            lost: 0,
            last_error: None,
            progress: Instant::now(),
        }
    }

    /// Reads to the end, or until nobody listens.
    pub(super) async fn run(mut self) {
        let last = match self.follow().await {
            Ok(()) => Step::Ended,
            Err(error) => Step::Failed(error),
        };
        // Nobody may be listening any more, which is fine.
        let _ = self.sender.send(last).await;
    }

    async fn follow(&mut self) -> Result<(), PullError> {
        let mut target_s = 2;
        let mut failures = 0_u32;
        loop {
            let loaded = Instant::now();
            let list = match self.track.playlist().await {
                Ok(list) => list,
                Err(error) if error.lasts() || self.next.is_none() => return Err(error),
                Err(error) => {
                    failures += 1;
                    self.went_wrong(error.to_string());
                    self.patience(target_s)?;
                    tokio::time::sleep(Duration::from_millis(250 << failures.min(4))).await;
                    continue;
                }
            };
            failures = 0;
            target_s = list.target_s;
            let changed = self.read(&list).await?;
            if list.ended || self.sender.is_closed() {
                return Ok(());
            }
            self.patience(target_s)?;
            // RFC 8216, 6.3.4: a target duration after a change, half of one otherwise.
            let wait = Duration::from_millis(if changed { target_s * 1000 } else { target_s * 500 });
            // Segments may be shorter than the target: what is listed soon after is not left waiting.
            let shortest =
                list.segments.last().map_or(wait, |last| Duration::from_secs_f64(last.seconds.max(0.2)));
            tokio::time::sleep_until(loaded + wait.min(shortest)).await;
        }
    }

    /// Reads what is new in the playlist. `false` when nothing is.
    async fn read(&mut self, list: &Media) -> Result<bool, PullError> {
        let restarted = self.next.is_some_and(|next| list.next < next);
        if restarted {
            // Its numbers start anew: so does everything else.
            self.broken = true;
            self.track.restart();
        }
        let next = match self.next {
            Some(next) if !restarted => next,
            _ => start(list, self.track.leads()),
        };
        let first = list.segments.first().map_or(next, |first| first.number);
        // The playlist has moved past what was next.
        self.broken |= first > next;
        self.next = Some(next.max(first));
        let fresh: Vec<&Segment> = list.segments.iter().filter(|s| Some(s.number) >= self.next).collect();
        let mut behind = Some(fresh.iter().skip(1).map(|s| s.seconds).sum::<f64>());
        for segment in &fresh {
            self.next = Some(segment.number.saturating_add(1));
            if segment.gap {
                self.broken = true;
                continue;
            }
            if self.run.is_some_and(|run| run != segment.run) {
                self.track.restart();
            }
            self.run = Some(segment.run);
            match self.segment(segment, list.target_s).await {
                Ok((size, events)) => {
                    self.told.send_modify(|told| {
                        told.segments += 1;
                        told.bytes += size;
                    });
                    let chunk = Chunk {
                        run: segment.run,
                        broken: std::mem::take(&mut self.broken),
                        behind: behind.take(),
                        events,
                    };
                    if self.sender.send(Step::Chunk(chunk)).await.is_err() {
                        return Ok(true);
                    }
                    (self.lost, self.last_error) = (0, None);
                    self.progress = Instant::now();
                }
                Err(error) => {
                    self.broken = true;
                    self.lost += 1;
                    self.told.send_modify(|told| told.lost += 1);
                    if self.lost >= MOST_LOST || error.lasts() {
                        return Err(error);
                    }
                    self.went_wrong(error.to_string());
                }
            }
        }
        Ok(!fresh.is_empty())
    }

    /// Asks twice: a segment may be listed a moment before it can be had.
    async fn segment(&mut self, segment: &Segment, target_s: u64) -> Result<(u64, Vec<Timed>), PullError> {
        let time = Duration::from_secs((target_s * 3).clamp(6, 60));
        let limits = Limits { bytes: SEGMENT_BYTES, time };
        match self.track.segment(segment, limits).await {
            Err(PullError::Fetch(FetchError::Status { .. } | FetchError::Network { .. })) => {
                tokio::time::sleep(Duration::from_millis((target_s * 250).min(1500))).await;
                self.track.segment(segment, limits).await
            }
            other => other,
        }
    }

    fn went_wrong(&mut self, why: String) {
        tracing::debug!(playlist = self.track.name(), why, "a pull goes on after an error");
        self.last_error = Some(why);
    }

    fn patience(&self, target_s: u64) -> Result<(), PullError> {
        let limit = LOST.max(Duration::from_secs(target_s.saturating_mul(LOST_TARGETS)));
        if self.progress.elapsed() < limit {
            return Ok(());
        }
        let seconds = self.progress.elapsed().as_secs();
        Err(PullError::Stalled { url: self.track.name(), seconds, last: self.last_error.clone() })
    }
}

/// Number of the segment to begin with: three target durations from the end, of a recording the first one. Sound that goes
/// with pictures begins a segment before them, and is cut to fit later.
fn start(list: &Media, leads: bool) -> u64 {
    let first = list.segments.first().map_or(list.next, |first| first.number);
    if list.ended {
        return first;
    }
    let wanted = (list.target_s * (FROM_END + u64::from(!leads))) as f64;
    let mut seconds = 0.0;
    let begin = list.segments.iter().rev().find(|segment| {
        seconds += segment.seconds;
        seconds >= wanted
    });
    begin.map_or(first, |segment| segment.number)
}
