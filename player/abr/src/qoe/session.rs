//! What was played, stalled, fetched and thrown away.

use std::collections::BTreeMap;

use crate::{
    RungId, TrackKind,
    record::{Entry, Event},
};

/// A stretch of one segment that was shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Played {
    /// Number of the segment.
    pub index: u64,
    /// Its rung.
    pub rung: RungId,
    /// The rung's average bitrate in kbit/s.
    pub kbps: f64,
    /// Where the stretch starts on the presentation timeline, in seconds.
    pub start_s: f64,
    /// How much of it was shown, in media seconds.
    pub duration_s: f64,
}

/// A stall.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stall {
    /// Where playback stood.
    pub pos_s: f64,
    /// For how long.
    pub ms: f64,
}

/// A download that came to its end, for judging an estimator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Download {
    /// What was expected when it was chosen, in kbit/s.
    pub expected_kbps: Option<f64>,
    /// What came, the time to the first byte left out, in kbit/s.
    pub actual_kbps: f64,
}

/// A session, as far as its quality goes. Built from a record, or by a simulator directly.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Session {
    /// Bitrates of the main track's ladder in kbit/s, lowest first; empty when unknown.
    pub ladder_kbps: Vec<f64>,
    /// Heights of the ladder, in its order.
    pub heights: Vec<Option<u32>>,
    /// Time to the first picture.
    pub startup_ms: Option<f64>,
    /// What was shown, in order.
    pub played: Vec<Played>,
    /// Stalls, the one at the record's end included.
    pub stalls: Vec<Stall>,
    /// Downloads of the main track.
    pub downloads: Vec<Download>,
    /// Bytes that came, all tracks.
    pub bytes: u64,
    /// Of these, bytes of downloads that were given up, and of segments that were replaced.
    pub wasted_bytes: u64,
    /// Playback came to the end of the presentation.
    pub ended: bool,
    /// A fatal error ended it.
    pub failed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Buffered {
    rung: RungId,
    kbps: f64,
    bytes: u64,
    start_s: f64,
    end_s: f64,
}

/// Positions are written down to the millisecond.
const EXACT_S: f64 = 0.001;
/// More than one or two stretches wait only where segments never become complete.
const MOST_EARLY: usize = 64;
/// Steps between two positions above this are jumps.
const LONGEST_STEP_S: f64 = 2.0;

impl Session {
    /// Reads a record. Entries are in order of time.
    pub fn from_record<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut reader = Reader::default();
        for entry in entries {
            reader.read(entry);
        }
        reader.finish()
    }

    /// Media seconds that were shown.
    pub fn played_s(&self) -> f64 {
        self.played.iter().map(|played| played.duration_s).sum()
    }

    /// Milliseconds of all stalls.
    pub fn stalled_ms(&self) -> f64 {
        // Not `sum`: of nothing it is -0.0, and the record would say so.
        self.stalls.iter().fold(0.0, |sum, stall| sum + stall.ms)
    }
}

/// Reads a record entry by entry, while it is being written.
#[derive(Debug, Default)]
pub struct Reader {
    session: Session,
    held: BTreeMap<(TrackKind, u64), Buffered>,
    expected: BTreeMap<u64, Option<f64>>,
    position: Option<f64>,
    /// Stretches that were shown before their segment was complete, which is when it is told of.
    early: Vec<(f64, f64)>,
    stall: Option<(f64, f64)>,
    last_ms: f64,
}

impl Reader {
    /// Takes in the next entry, in order of time.
    pub fn read(&mut self, entry: &Entry) {
        self.last_ms = entry.t_ms;
        match &entry.event {
            Event::Ladder { track: TrackKind::Video, kbps, heights } => {
                self.session.ladder_kbps.clone_from(kbps);
                self.session.heights.clone_from(heights);
            }
            Event::Decision { track: TrackKind::Video, index, estimate_kbps, .. } => {
                self.expected.insert(*index, *estimate_kbps);
            }
            Event::Segment { track, index, rung, kbps, bytes, ms, ttfb_ms, start_s, duration_s, .. } => {
                self.session.bytes = self.session.bytes.saturating_add(*bytes);
                let held = Buffered {
                    rung: *rung,
                    kbps: self.session.ladder_kbps.get(rung.0).copied().unwrap_or(*kbps),
                    bytes: *bytes,
                    start_s: *start_s,
                    end_s: start_s + duration_s,
                };
                if let Some(old) = self.held.insert((*track, *index), held) {
                    self.session.wasted_bytes += old.bytes;
                }
                if *track == TrackKind::Video {
                    for (from, to) in std::mem::take(&mut self.early) {
                        self.shown(from, to);
                    }
                }
                let busy_ms = ms - ttfb_ms;
                if *track == TrackKind::Video && busy_ms > 0.0 {
                    self.session.downloads.push(Download {
                        expected_kbps: self.expected.remove(index).flatten(),
                        actual_kbps: *bytes as f64 * 8.0 / busy_ms,
                    });
                }
            }
            Event::Abort { bytes, .. } => {
                self.session.bytes += bytes;
                self.session.wasted_bytes += bytes;
            }
            Event::FirstFrame { .. } => self.started(entry.t_ms),
            Event::Position { pos_s, .. } => {
                self.started(entry.t_ms);
                self.moved(*pos_s);
            }
            Event::StallStart { pos_s } => self.stall = Some((*pos_s, entry.t_ms)),
            Event::StallEnd { ms, .. } => {
                if let Some((pos_s, _)) = self.stall.take() {
                    self.session.stalls.push(Stall { pos_s, ms: *ms });
                }
            }
            Event::Seek { to_s, .. } => {
                self.position = Some(*to_s);
                // Waiting after a jump is the jump's, not a stall.
                self.stall = None;
            }
            Event::Error { fatal: true, .. } => self.session.failed = true,
            Event::Ended { pos_s } => {
                self.moved(*pos_s);
                self.session.ended = true;
            }
            _ => {}
        }
    }

    fn started(&mut self, t_ms: f64) {
        self.session.startup_ms.get_or_insert(t_ms);
    }

    fn moved(&mut self, to: f64) {
        let Some(from) = self.position.replace(to) else { return };
        let step = to - from;
        if step <= 0.0 || step > LONGEST_STEP_S {
            return;
        }
        self.shown(from, to);
    }

    /// What was between two positions, as far as it is known; the rest is kept for when it is.
    fn shown(&mut self, from: f64, to: f64) {
        let mut known = from;
        // At most a few segments lie in one step.
        for ((track, index), held) in &self.held {
            if *track != TrackKind::Video || held.end_s <= from || held.start_s >= to {
                continue;
            }
            let (start_s, end_s) = (held.start_s.max(from), held.end_s.min(to));
            let duration_s = end_s - start_s;
            known = known.max(end_s);
            match self.session.played.last_mut() {
                Some(last) if last.index == *index && last.rung == held.rung => last.duration_s += duration_s,
                _ => self.session.played.push(Played {
                    index: *index,
                    rung: held.rung,
                    kbps: held.kbps,
                    start_s,
                    duration_s,
                }),
            }
        }
        // Segments are complete in order: what is not known lies behind what is.
        if to - known > EXACT_S {
            let count = self.early.len();
            match self.early.last_mut() {
                Some(last) if (last.1 - known).abs() <= EXACT_S => last.1 = to,
                _ if count < MOST_EARLY => self.early.push((known, to)),
                _ => {}
            }
        }
    }

    /// What was read; a stall that goes on counts up to the last entry.
    pub fn finish(mut self) -> Session {
        if let Some((pos_s, since)) = self.stall.take() {
            self.session.stalls.push(Stall { pos_s, ms: self.last_ms - since });
        }
        self.session
    }
}
