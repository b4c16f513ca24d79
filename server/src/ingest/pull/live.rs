//! A live stream behind a playlist, played as a publisher would send it: in real time, pictures and sound together.
//!
//! A [`reader`](super::reader) a rendition downloads ahead, a few segments at most. What comes in bursts of a segment goes
//! out unit by unit at the pace of its time stamps, so that our own parts are as even as those of a camera.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::future::select_all;
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use url::Url;

use super::demux::Timed;
use super::reader::{Chunk, Reader, Step};
use super::{PullError, open};
use crate::ingest::fetch::Getter;
use crate::live::{LiveEvent, Publisher};

/// Segments that a reader may be ahead, beside the one that it holds.
const AHEAD: usize = 2;
/// How long one rendition waits for the other beyond its own time.
const PATIENCE: Duration = Duration::from_secs(1);
/// A segment that came too late puts everything behind it off by this much, so that the next one does not.
const RESERVE: Duration = Duration::from_millis(100);
/// What comes later than this was too late.
const LATE: Duration = Duration::from_millis(250);
/// Most that the reserve grows to.
const MOST_RESERVE: Duration = Duration::from_secs(10);
/// How much faster than real time what is behind is sent.
const FASTER: f64 = 1.02;

/// Where a pulled stream is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PullState {
    /// Its source is being looked at.
    #[default]
    Connecting,
    /// It plays.
    Playing,
    /// Its source does not answer, or nothing new comes; it is asked again.
    Waiting,
    /// Its source said that it is over.
    Ended,
    /// Nobody asks any more.
    Stopped,
}

/// What is told about a pulled stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PullStatus {
    /// Where it is.
    pub state: PullState,
    /// What went wrong last; null while it plays.
    pub error: Option<String>,
    /// Attempts since it last played.
    pub attempts: u32,
    /// Milliseconds to the next attempt, from when this state began; null while none is planned.
    pub retry_ms: Option<u64>,
    /// Announced bitrate of the variant that was chosen, in bit/s; null where its playlist tells none.
    pub bandwidth: Option<u64>,
    /// Announced size of its pictures.
    pub resolution: Option<(u32, u32)>,
    /// Segments fetched since the server's start.
    pub segments: u64,
    /// Bytes fetched since the server's start.
    pub bytes: u64,
    /// Segments that could not be had.
    pub lost: u64,
}

/// How a session ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The source's playlist says that it is over.
    Source,
    /// The session does not want more.
    NotWanted,
}

/// A rendition on its way to the publisher.
#[derive(Debug)]
struct Lane {
    steps: mpsc::Receiver<Step>,
    queue: VecDeque<Timed>,
    run: u64,
    /// Nothing more will come.
    over: bool,
}

impl Lane {
    /// Drops what plays before the beginning; set-ups are moved there.
    fn trim(&mut self, began: Option<(u64, i64)>) {
        /// Packets that reach into the beginning.
        const OVERLAP_NS: i64 = 100_000_000;
        let Some((_, from_ns)) = began.filter(|(run, _)| *run == self.run) else { return };
        self.queue.retain_mut(|timed| {
            let early = timed.at_ns < from_ns.saturating_sub(OVERLAP_NS);
            if early && matches!(timed.event, LiveEvent::Setup(_)) {
                timed.at_ns = from_ns;
                return true;
            }
            !early
        });
        self.queue.make_contiguous().sort_by_key(|timed| timed.at_ns);
    }
}

/// A source that answered: its readers run, and the first segment is there.
#[derive(Debug)]
pub(crate) struct Session {
    lanes: Vec<Lane>,
    /// Dropped with the session, which ends them.
    _readers: JoinSet<()>,
    pace: Pace,
    run: Option<u64>,
    /// The session has to be told that times start anew.
    broken: bool,
    /// The run that it began with, and the time of its first picture: sound before that is of no use.
    began: Option<(u64, i64)>,
}

impl Session {
    /// Looks at the source and waits for its first segment.
    ///
    /// # Errors
    /// See [`PullError`].
    pub(crate) async fn open(
        getter: &Getter,
        url: &Url,
        told: &watch::Sender<PullStatus>,
    ) -> Result<Self, PullError> {
        let (choice, tracks) = open(getter, url).await?;
        told.send_modify(|told| {
            told.bandwidth = (choice.bandwidth > 0).then_some(choice.bandwidth);
            told.resolution = choice.resolution;
        });
        let mut readers = JoinSet::new();
        let mut lanes = Vec::new();
        for track in tracks {
            let (sender, steps) = mpsc::channel(AHEAD);
            readers.spawn(Reader::new(track, sender, told.clone()).run());
            lanes.push(Lane { steps, queue: VecDeque::new(), run: 0, over: false });
        }
        let mut this =
            Self { lanes, _readers: readers, pace: Pace::default(), run: None, broken: false, began: None };
        while this.lanes.first().is_some_and(|lane| lane.queue.is_empty() && !lane.over) {
            let (index, step) = this.next_step().await;
            this.take(index, step)?;
        }
        if let Some(lane) = this.lanes.first()
            && let Some(first) = lane.queue.front()
        {
            this.began = Some((lane.run, first.at_ns));
        }
        let began = this.began;
        this.lanes.iter_mut().skip(1).for_each(|lane| lane.trim(began));
        Ok(this)
    }

    /// Sends what comes to the publisher, to the end.
    ///
    /// # Errors
    /// See [`PullError`].
    pub(crate) async fn play(&mut self, publisher: &Publisher) -> Result<End, PullError> {
        loop {
            let first = self.first();
            let waits = self.lanes.iter().any(|lane| lane.queue.is_empty() && !lane.over);
            // The pictures lead: without them there is nothing to wait for.
            if self.lanes.first().is_none_or(|lane| lane.over && lane.queue.is_empty()) {
                return Ok(End::Source);
            }
            let due = first.map(|(_, at_ns)| self.pace.due(Instant::now(), at_ns));
            if waits {
                let limit = due.map(|due| due + PATIENCE);
                tokio::select! {
                    biased;
                    () = publisher.ended() => return Ok(End::NotWanted),
                    (index, step) = self.next_step() => {
                        self.take(index, step)?;
                        continue;
                    }
                    () = until(limit) => {}
                }
            } else if let Some(due) = due.filter(|due| *due > Instant::now()) {
                tokio::select! {
                    biased;
                    () = publisher.ended() => return Ok(End::NotWanted),
                    () = tokio::time::sleep_until(due) => {}
                }
            }
            let Some((index, at_ns)) = first else { continue };
            if self.emit(index, at_ns, publisher).await.is_err() {
                return Ok(End::NotWanted);
            }
        }
    }

    /// The lane whose next event comes first, and its time.
    fn first(&self) -> Option<(usize, i64)> {
        let heads = self.lanes.iter().enumerate().filter_map(|(index, lane)| {
            let at_ns = lane.queue.front()?.at_ns;
            Some(((lane.run, at_ns), (index, at_ns)))
        });
        heads.min_by_key(|(order, _)| *order).map(|(_, found)| found)
    }

    async fn emit(
        &mut self,
        index: usize,
        at_ns: i64,
        publisher: &Publisher,
    ) -> Result<(), crate::live::Ended> {
        let Some(lane) = self.lanes.get_mut(index) else { return Ok(()) };
        let Some(timed) = lane.queue.pop_front() else { return Ok(()) };
        let run = lane.run;
        if self.run.is_some_and(|known| run > known) || std::mem::take(&mut self.broken) {
            self.pace.restart(Instant::now(), at_ns);
            publisher.send(LiveEvent::Discontinuity).await?;
        }
        self.run = Some(self.run.map_or(run, |known| known.max(run)));
        publisher.send(timed.event).await
    }

    /// What the next reader has, of those that are waited for.
    async fn next_step(&mut self) -> (usize, Option<Step>) {
        let waiting =
            self.lanes.iter_mut().enumerate().filter(|(_, lane)| lane.queue.is_empty() && !lane.over);
        let steps: Vec<_> =
            waiting.map(|(index, lane)| Box::pin(async move { (index, lane.steps.recv().await) })).collect();
        if steps.is_empty() {
            return std::future::pending().await;
        }
        select_all(steps).await.0
    }

    fn take(&mut self, index: usize, step: Option<Step>) -> Result<(), PullError> {
        let Some(lane) = self.lanes.get_mut(index) else { return Ok(()) };
        match step {
            Some(Step::Chunk(Chunk { run, broken, behind, mut events })) => {
                // A set-up belongs to the unit after it.
                let first =
                    events.iter().find(|timed| timed.at_ns != i64::MIN).map_or(0, |timed| timed.at_ns);
                events
                    .iter_mut()
                    .take_while(|timed| timed.at_ns == i64::MIN)
                    .for_each(|timed| timed.at_ns = first);
                if index == 0 {
                    self.broken |= broken && self.run == Some(run);
                    self.pace.arrived(Instant::now(), first, behind);
                }
                lane.run = run;
                lane.queue = events.into();
                if index > 0 {
                    lane.trim(self.began);
                }
            }
            Some(Step::Failed(error)) if index == 0 => return Err(error),
            Some(Step::Failed(error)) => {
                tracing::warn!(%error, "the sound of a pulled stream is lost");
                lane.over = true;
            }
            Some(Step::Ended) | None => lane.over = true,
        }
        Ok(())
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// When what is sent.
#[derive(Debug)]
struct Pace {
    /// A moment, and the source's time that is due then.
    base: Option<(Instant, i64)>,
    last: Option<Instant>,
    rate: f64,
    reserve: Duration,
    usual_behind: Option<f64>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { base: None, last: None, rate: 1.0, reserve: Duration::ZERO, usual_behind: None }
    }
}

impl Pace {
    /// When the source's time is due. The first one that is asked for is due now.
    fn due(&mut self, now: Instant, at_ns: i64) -> Instant {
        let (began, from_ns) = *self.base.get_or_insert((now, at_ns));
        let ahead = Duration::from_nanos(at_ns.saturating_sub(from_ns).max(0).unsigned_abs());
        let due = began + ahead.div_f64(self.rate);
        self.last = Some(self.last.map_or(due, |last| last.max(due)));
        due
    }

    /// Times start anew at `at_ns`: it is due when what came before has been.
    fn restart(&mut self, now: Instant, at_ns: i64) {
        self.base = Some((self.last.map_or(now, |last| last.max(now)), at_ns));
    }

    /// A segment has come whose first unit is at `at_ns`; `behind` more seconds are listed.
    fn arrived(&mut self, now: Instant, at_ns: i64, behind: Option<f64>) {
        let Some(known) = self.base else { return };
        let due = self.due(now, at_ns);
        if now > due + LATE && self.reserve < MOST_RESERVE {
            self.reserve += RESERVE;
            self.base = Some((known.0 + RESERVE, known.1));
        }
        let Some(behind) = behind else { return };
        let usual = *self.usual_behind.get_or_insert(behind);
        let rate = if behind > usual * 2.0 + 1.0 { FASTER } else { 1.0 };
        if rate != self.rate {
            // From here on.
            self.base = Some((self.due(now, at_ns), at_ns));
            self.rate = rate;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn after(began: Instant, ms: u64) -> Instant {
        began + Duration::from_millis(ms)
    }

    #[test]
    fn units_are_due_at_the_pace_of_their_times() {
        let (mut pace, began) = (Pace::default(), Instant::now());
        assert_eq!(pace.due(began, 90 * SECOND), began);
        assert_eq!(pace.due(began, 92 * SECOND), after(began, 2000));
        assert_eq!(pace.due(after(began, 100), 91 * SECOND), after(began, 1000));
        // Another clock follows on from what was sent.
        pace.restart(after(began, 1500), 5 * SECOND);
        assert_eq!(pace.due(after(began, 1500), 6 * SECOND), after(began, 3000));
        pace.restart(after(began, 9000), 0);
        assert_eq!(pace.due(after(began, 9000), 0), after(began, 9000), "but not in the past");
    }

    #[test]
    fn segments_that_come_too_late_make_a_reserve() {
        let (mut pace, began) = (Pace::default(), Instant::now());
        pace.due(began, 0);
        let late = after(began, 3000);
        pace.arrived(late, 2 * SECOND, None);
        assert_eq!(pace.due(late, 2 * SECOND), after(began, 2100));
        pace.arrived(late, 4 * SECOND, None);
        assert_eq!(pace.due(late, 4 * SECOND), after(began, 4100), "that one was in time");
    }

    #[test]
    fn a_source_that_runs_ahead_is_followed_a_little_faster() {
        let (mut pace, began) = (Pace::default(), Instant::now());
        pace.due(began, 0);
        pace.arrived(began, 2 * SECOND, Some(4.0));
        pace.arrived(began, 4 * SECOND, Some(10.0));
        let seconds = |due: Instant| due.duration_since(began).as_secs_f64();
        let due = seconds(pace.due(began, 55 * SECOND));
        assert!((due - 54.0).abs() < 0.01, "{due}");
        pace.arrived(began, 55 * SECOND, Some(4.0));
        let due = seconds(pace.due(began, 65 * SECOND));
        assert!((due - 64.0).abs() < 0.01, "{due}");
    }
}
