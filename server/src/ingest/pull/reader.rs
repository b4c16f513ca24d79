//! Follows one rendition's playlist and downloads its segments in order.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::PullError;
use super::demux::Timed;
use super::live::PullStatus;
use super::media::{LowLatency, Media, Part, Segment};
use super::track::Track;
use crate::ingest::fetch::{FetchError, Limits};
use crate::live::{LiveEvent, LiveUnit};
use crate::store::TrackKind;

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
    /// Parts of it that were read already.
    parts: usize,
    /// Decode times of the last picture and packet of sound that were passed on.
    seen: [Option<i64>; 2],
    run: Option<u64>,
    broken: bool,
    /// Seconds that the playlist listed when it was last loaded, until something of that has been read.
    listed: Option<f64>,
    /// The segment that was counted last.
    counted: Option<u64>,
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
            parts: 0,
            seen: [None; 2],
            run: None,
            broken: false,
            listed: None,
            counted: None,
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
        // Whether the playlist holds a reload until there is more.
        let mut holds = None;
        loop {
            let loaded = Instant::now();
            let list = match self.load(holds).await {
                Ok(list) => list,
                Err(error) if error.lasts() || self.next.is_none() => return Err(error),
                Err(error) => {
                    failures += 1;
                    self.went_wrong(error.to_string());
                    self.patience(target_s)?;
                    holds = None;
                    tokio::time::sleep(Duration::from_millis(250 << failures.min(4))).await;
                    continue;
                }
            };
            failures = 0;
            target_s = list.target_s;
            holds = list.low.filter(|_| follows_parts(&list));
            let changed = self.read(&list).await?;
            if list.ended || self.sender.is_closed() {
                return Ok(());
            }
            self.patience(target_s)?;
            let wait = match holds {
                // It is held by the server; one that answers at once all the same is not asked without end.
                Some(low) if changed => Duration::from_secs_f64(low.part_s / 4.0),
                Some(low) => Duration::from_secs_f64(low.part_s),
                // RFC 8216, 6.3.4: a target duration after a change, half of one otherwise.
                None => {
                    let wait = Duration::from_millis(if changed { target_s * 1000 } else { target_s * 500 });
                    // Segments may be shorter than the target: what is listed soon after is not left waiting.
                    let last = list.segments.last();
                    last.map_or(wait, |last| wait.min(Duration::from_secs_f64(last.seconds.max(0.2))))
                }
            };
            tokio::time::sleep_until(loaded + wait).await;
        }
    }

    /// The playlist; where it holds reloads, as soon as there is what is next.
    async fn load(&self, holds: Option<LowLatency>) -> Result<Media, PullError> {
        match (holds, self.next) {
            (Some(_), Some(next)) => self.track.playlist_with(next, self.parts).await,
            _ => self.track.playlist().await,
        }
    }

    /// Reads what is new in the playlist. `false` when nothing is.
    async fn read(&mut self, list: &Media) -> Result<bool, PullError> {
        let restarted = self.next.is_some_and(|next| list.next < next);
        if restarted {
            // Its numbers start anew: so does everything else.
            self.broken = true;
            self.track.restart();
            self.seen = [None; 2];
        }
        let (next, parts) = match self.next {
            Some(next) if !restarted => (next, self.parts),
            _ => start(list, self.track.leads()),
        };
        let first = list.segments.first().map_or(next, |first| first.number);
        // The playlist has moved past what was next.
        self.broken |= first > next;
        (self.next, self.parts) = if first > next { (Some(first), 0) } else { (Some(next), parts) };
        let fresh: Vec<&Segment> = list.segments.iter().filter(|s| Some(s.number) >= self.next).collect();
        let open = list.open.as_ref().filter(|_| follows_parts(list));
        let open = open.filter(|open| open.has_usable_parts());
        self.listed = Some(fresh.iter().copied().chain(open).map(|segment| segment.seconds).sum::<f64>());
        let mut any = false;
        for segment in fresh {
            let by_parts = segment.has_usable_parts() && list.low.is_some();
            if segment.gap {
                self.broken = true;
            } else if !by_parts || !self.read_parts(segment, list.target_s).await? {
                self.read_whole(segment, list.target_s).await?;
            }
            (self.next, self.parts) = (Some(segment.number.saturating_add(1)), 0);
            any = true;
            if self.sender.is_closed() {
                return Ok(true);
            }
        }
        if let Some(open) = open.filter(|open| Some(open.number) == self.next) {
            let before = self.parts;
            // Where one is gone, the next playlist has the segment.
            self.read_parts(open, list.target_s).await?;
            any |= self.parts > before;
        }
        Ok(any)
    }

    /// Whether a unit was passed on already.
    fn knows(&self, event: &LiveEvent) -> bool {
        match event {
            LiveEvent::Unit(unit) => {
                self.seen.get(slot(unit)).copied().flatten().is_some_and(|seen| unit.dts_ns <= seen)
            }
            _ => false,
        }
    }

    /// Another run than the one before it has another clock.
    fn enter(&mut self, segment: &Segment) {
        if self.run.is_some_and(|run| run != segment.run) {
            self.track.restart();
            self.seen = [None; 2];
        }
        self.run = Some(segment.run);
    }

    /// Reads a segment of which parts may have been read.
    async fn read_whole(&mut self, segment: &Segment, target_s: u64) -> Result<(), PullError> {
        self.enter(segment);
        let mut read = self.segment(segment, target_s).await;
        // What its parts brought is in it again.
        if let Ok((_, events)) = &mut read
            && self.parts > 0
        {
            events.retain(|timed| !self.knows(&timed.event));
        }
        self.pass_on(segment, segment.seconds, read).await
    }

    /// Reads the parts of a segment that were not read yet. `false` when one is gone: a stream that ends, or moves on fast,
    /// has its segment whole and not in parts any more.
    async fn read_parts(&mut self, segment: &Segment, target_s: u64) -> Result<bool, PullError> {
        self.enter(segment);
        for part in segment.parts.get(self.parts..).unwrap_or_default() {
            if part.gap {
                self.parts += 1;
                self.broken = true;
                continue;
            }
            let read = self.part(segment, part, target_s).await;
            if matches!(&read, Err(PullError::Fetch(FetchError::Status { .. }))) {
                return Ok(false);
            }
            self.parts += 1;
            self.pass_on(segment, part.seconds, read).await?;
            if self.sender.is_closed() {
                break;
            }
        }
        Ok(true)
    }

    /// Hands over what was read; what could not be had is a gap, until it is too much.
    async fn pass_on(
        &mut self,
        segment: &Segment,
        seconds: f64,
        read: Result<(u64, Vec<Timed>), PullError>,
    ) -> Result<(), PullError> {
        match read {
            Ok((size, events)) => {
                self.told.send_modify(|told| {
                    told.segments += u64::from(self.counted != Some(segment.number));
                    told.bytes += size;
                });
                self.counted = Some(segment.number);
                for timed in &events {
                    if let LiveEvent::Unit(unit) = &timed.event
                        && let Some(seen) = self.seen.get_mut(slot(unit))
                    {
                        *seen = Some(unit.dts_ns);
                    }
                }
                let behind = self.listed.take().map(|listed| (listed - seconds).max(0.0));
                let broken = std::mem::take(&mut self.broken);
                let chunk = Chunk { run: segment.run, broken, behind, events };
                // Nobody listening is seen by whoever called.
                let _ = self.sender.send(Step::Chunk(chunk)).await;
                (self.lost, self.last_error) = (0, None);
                self.progress = Instant::now();
                Ok(())
            }
            Err(error) => {
                self.broken = true;
                self.lost += 1;
                self.told.send_modify(|told| told.lost += 1);
                if self.lost >= MOST_LOST || error.lasts() {
                    return Err(error);
                }
                self.went_wrong(error.to_string());
                Ok(())
            }
        }
    }

    async fn segment(&mut self, segment: &Segment, target_s: u64) -> Result<(u64, Vec<Timed>), PullError> {
        let limits = limits(target_s);
        match self.track.segment(segment, limits).await {
            Err(error) if may_come(&error) => {
                again(target_s).await;
                self.track.segment(segment, limits).await
            }
            other => other,
        }
    }

    async fn part(
        &mut self,
        segment: &Segment,
        part: &Part,
        target_s: u64,
    ) -> Result<(u64, Vec<Timed>), PullError> {
        let limits = limits(target_s);
        match self.track.part(segment, part, limits).await {
            Err(error) if may_come(&error) => {
                again(target_s).await;
                self.track.part(segment, part, limits).await
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

fn slot(unit: &LiveUnit) -> usize {
    usize::from(unit.kind != TrackKind::Video)
}

fn limits(target_s: u64) -> Limits {
    Limits { bytes: SEGMENT_BYTES, time: Duration::from_secs((target_s * 3).clamp(6, 60)) }
}

/// A segment may be listed a moment before it can be had: it is asked for twice.
fn may_come(error: &PullError) -> bool {
    matches!(error, PullError::Fetch(FetchError::Status { .. } | FetchError::Network { .. }))
}

async fn again(target_s: u64) {
    tokio::time::sleep(Duration::from_millis((target_s * 250).min(1500))).await;
}

/// Whether the playlist is followed part by part.
fn follows_parts(list: &Media) -> bool {
    list.low.is_some() && list.open.iter().chain(list.segments.last()).any(Segment::has_usable_parts)
}

/// Number of the segment to begin with, and of the part in it. Of a recording that is the first one; else three target
/// durations from the end, or the distance that a low-latency playlist names. Sound that goes with pictures begins a
/// segment before them, and is cut to fit later.
fn start(list: &Media, leads: bool) -> (u64, usize) {
    let first = list.segments.first().map_or(list.next, |first| first.number);
    if list.ended {
        return (first, 0);
    }
    let low = list.low.filter(|_| follows_parts(list));
    let mut wanted = low.map_or((list.target_s * FROM_END) as f64, |low| low.hold_back_s);
    if !leads {
        wanted += list.target_s as f64;
    }
    let open = list.open.as_ref().filter(|_| low.is_some());
    let mut seconds = 0.0;
    for segment in open.into_iter().chain(list.segments.iter().rev()) {
        if low.is_none() || !segment.has_usable_parts() {
            seconds += segment.seconds;
            if seconds >= wanted {
                return (segment.number, 0);
            }
            continue;
        }
        for (index, part) in segment.parts.iter().enumerate().rev() {
            seconds += part.seconds;
            if seconds >= wanted && (index == 0 || part.independent) {
                return (segment.number, index);
            }
        }
    }
    (first, 0)
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::super::media::read;
    use super::*;

    fn list(text: &str) -> Media {
        read(&Url::parse("http://host/a.m3u8").unwrap(), text).unwrap()
    }

    #[test]
    fn a_playlist_is_entered_three_target_durations_from_its_end_and_a_recording_at_its_beginning() {
        let head = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:10\n";
        let ten = "#EXTINF:2,\na\n".repeat(10);
        assert_eq!(start(&list(&format!("{head}{ten}")), true), (17, 0));
        assert_eq!(start(&list(&format!("{head}{ten}")), false), (16, 0));
        assert_eq!(start(&list(&format!("{head}{ten}#EXT-X-ENDLIST\n")), true), (10, 0));
        assert_eq!(start(&list(&format!("{head}#EXTINF:2,\na\n")), true), (10, 0), "it has no more");
    }

    #[test]
    fn a_low_latency_playlist_is_entered_at_a_key_frame_behind_what_it_says_to_hold_back() {
        let part = |n: u32, key: bool| {
            format!("#EXT-X-PART:DURATION=0.5,URI=\"p{n}\"{}\n", if key { ",INDEPENDENT=YES" } else { "" })
        };
        let parts = |keys: &[u32]| (0..4).map(|n| part(n, keys.contains(&n))).collect::<String>();
        let head = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5\n\
                    #EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:10\n#EXT-X-MAP:URI=\"i\"\n";
        let body = format!("{}#EXTINF:2,\ns\n", parts(&[0])).repeat(4);
        // 14 is in progress: half a second of it is there.
        let now = list(&format!("{head}{body}{}", part(0, true)));
        assert_eq!((start(&now, true), start(&now, false)), ((13, 0), (12, 0)));
        let two = format!("{}#EXTINF:2,\ns\n", parts(&[0, 2])).repeat(4);
        let now = list(&format!("{head}{two}{}", part(0, true)));
        assert_eq!(start(&now, true), (13, 2), "a key frame within a segment will do");
        // Those of TS do not say what they hold: whole segments are read.
        let plain = list(&format!("{head}{body}").replace("#EXT-X-MAP:URI=\"i\"\n", ""));
        assert_eq!(start(&plain, true), (11, 0));
    }
}
