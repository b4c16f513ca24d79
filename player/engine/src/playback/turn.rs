//! A change of rate without a break: the data say from which picture on they are to be played at another rate.
//!
//! A seek that changes the rate flushes the pipeline, which is heard as a gap. Here a new segment goes into the stream before a
//! key frame, and into the sound at the same place, with the same relation of media time to running time: sinks play on, and
//! `scaletempo` goes on with what it has.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gstreamer::{self as gst, prelude::*};

use crate::demux::StreamKind;

/// `scaletempo` loses up to 60 ms of sound when it is switched off. A rate this near to 1 keeps it going, and nobody is
/// further off than a third of a second after an hour.
pub(super) const STEADY: f64 = 1.0001;

/// Pictures that belong before a key frame but are coded after it lie less than this before it.
const LEADING: u64 = 500_000_000;

type Stretch = gst::FormattedSegment<gst::ClockTime>;

/// How media time and running time go together from a place on.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Relation {
    /// Media time, nanoseconds.
    at: u64,
    /// Running time there.
    running: u64,
    /// Position there.
    stream: u64,
    rate: f64,
}

impl Relation {
    fn of(current: &Stretch, at: u64, rate: f64) -> Option<Self> {
        let time = gst::ClockTime::from_nseconds(at);
        let running = current.to_running_time(time)?.nseconds();
        let stream = current.to_stream_time(time)?.nseconds();
        Some(Self { at, running, stream, rate })
    }

    /// The segment that says so, for data from `from` on.
    fn segment(&self, from: u64) -> Option<Stretch> {
        // Running time cannot be negative: at the very start less is let through before `from`.
        let least = (self.running as f64 * self.rate) as u64;
        let start = from.saturating_sub(LEADING).max(self.at.saturating_sub(least));
        let ahead = (i128::from(start) - i128::from(self.at)) as f64;
        let base = self.running as f64 + ahead / self.rate;
        let stream = self.stream as f64 + ahead;
        if base < 0.0 || stream < 0.0 {
            return None;
        }
        let mut segment = Stretch::new();
        segment.set_rate(self.rate);
        segment.set_start(gst::ClockTime::from_nseconds(start));
        segment.set_position(gst::ClockTime::from_nseconds(start));
        segment.set_time(gst::ClockTime::from_nseconds(stream as u64));
        segment.set_base(gst::ClockTime::from_nseconds(base as u64));
        Some(segment)
    }
}

#[derive(Debug, Default)]
struct State {
    wanted: Option<f64>,
    /// What is wanted after that: one branch has turned already.
    next: Option<f64>,
    relation: Option<Relation>,
    /// Which branches there are, and which of them are still to turn.
    has_video: bool,
    has_audio: bool,
    video_left: bool,
    audio_left: bool,
}

impl State {
    fn begin(&mut self, rate: f64) {
        self.wanted = Some(rate);
        self.relation = None;
        (self.video_left, self.audio_left) = (self.has_video, self.has_audio);
    }
}

/// A change of rate that both branches make at the same place.
#[derive(Debug, Default)]
pub(super) struct Turn(Mutex<State>);

impl Turn {
    /// From the next key frame on (from the next sound, where there are no pictures) it is played at `rate`.
    pub(super) fn want(&self, rate: f64) {
        let mut state = self.lock();
        if state.wanted.is_some() && state.relation.is_some() {
            state.next = Some(rate);
        } else {
            state.begin(rate);
        }
    }

    /// A flush takes the rate along.
    pub(super) fn forget(&self) {
        let mut state = self.lock();
        (state.wanted, state.next, state.relation) = (None, None, None);
    }

    /// The segment to send before the sample at `pts`, if this is the place.
    fn due(&self, kind: StreamKind, pts: u64, key: bool, current: Option<&Stretch>) -> Option<Stretch> {
        let mut state = self.lock();
        let rate = state.wanted?;
        let left = match kind {
            StreamKind::Video => state.video_left,
            StreamKind::Audio => state.audio_left,
        };
        let leads = kind == StreamKind::Video || !state.has_video;
        if !left || (kind == StreamKind::Video && !key) {
            return None;
        }
        let relation = match state.relation {
            Some(relation) => relation,
            None if leads => *state.relation.insert(Relation::of(current?, pts, rate)?),
            None => return None,
        };
        if pts < relation.at {
            return None;
        }
        match kind {
            StreamKind::Video => state.video_left = false,
            StreamKind::Audio => state.audio_left = false,
        }
        if !state.video_left && !state.audio_left {
            (state.wanted, state.relation) = (None, None);
            if let Some(next) = state.next.take() {
                state.begin(next);
            }
        }
        relation.segment(pts)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere must not become a second one inside a GStreamer callback.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets a branch take part: `pad` is where its samples come out of the source.
pub(super) fn watch(pad: &gst::Pad, kind: StreamKind, turn: &Arc<Turn>) {
    {
        let mut state = turn.lock();
        match kind {
            StreamKind::Video => state.has_video = true,
            StreamKind::Audio => state.has_audio = true,
        }
    }
    let turn = Arc::clone(turn);
    let current: Mutex<Option<Stretch>> = Mutex::default();
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(kinds, move |pad, info| {
        let now = || current.lock().unwrap_or_else(PoisonError::into_inner);
        match &info.data {
            Some(gst::PadProbeData::Event(event)) => {
                if let gst::EventView::Segment(segment) = event.view() {
                    *now() = segment.segment().downcast_ref::<gst::ClockTime>().cloned();
                }
            }
            Some(gst::PadProbeData::Buffer(buffer)) => {
                let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
                // No lock is held while the event goes: it comes by here.
                let segment = buffer.pts().and_then(|pts| {
                    let before = now().clone();
                    turn.due(kind, pts.nseconds(), key, before.as_ref())
                });
                if let Some(segment) = segment {
                    pad.push_event(gst::event::Segment::new(&segment));
                }
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn running(segment: &Stretch, at: u64) -> f64 {
        segment.to_running_time(gst::ClockTime::from_nseconds(at)).unwrap().nseconds() as f64 / S as f64
    }

    #[test]
    fn both_branches_turn_at_one_place_and_running_time_goes_on() {
        gst::init().unwrap();
        let turn = Turn::default();
        (turn.lock().has_video, turn.lock().has_audio) = (true, true);
        let mut current = Stretch::new();
        current.set_start(gst::ClockTime::from_seconds(100));
        current.set_time(gst::ClockTime::from_seconds(100));
        assert!(turn.due(StreamKind::Video, 101 * S, true, Some(&current)).is_none(), "nobody asked");
        turn.want(1.05);
        assert!(turn.due(StreamKind::Audio, 103 * S, true, Some(&current)).is_none(), "pictures lead");
        assert!(turn.due(StreamKind::Video, 103 * S, false, Some(&current)).is_none(), "not at a key frame");
        let video = turn.due(StreamKind::Video, 104 * S, true, Some(&current)).unwrap();
        assert!(turn.due(StreamKind::Audio, 104 * S - 1, true, Some(&current)).is_none());
        turn.want(1.0);
        assert!(turn.due(StreamKind::Video, 105 * S, true, Some(&video)).is_none(), "sound is to turn first");
        let audio = turn.due(StreamKind::Audio, 104 * S + 20_000_000, true, Some(&current)).unwrap();
        assert!((running(&video, 104 * S) - 4.0).abs() < 1e-6);
        for at in [105 * S, 110 * S] {
            assert!((running(&video, at) - running(&audio, at)).abs() < 1e-6);
        }
        assert!((running(&video, 104 * S + 105 * S / 100) - 5.0).abs() < 1e-6);
        let position = video.to_stream_time(gst::ClockTime::from_seconds(105)).unwrap();
        assert!(position.nseconds().abs_diff(105 * S) < 1000);
        let back = turn.due(StreamKind::Video, 106 * S, true, Some(&video)).unwrap();
        assert!((running(&back, 106 * S) - running(&video, 106 * S)).abs() < 1e-6);
        assert!(turn.due(StreamKind::Audio, 106 * S, true, Some(&audio)).is_some());
        assert!(turn.due(StreamKind::Video, 107 * S, true, Some(&back)).is_none(), "it is done");
    }

    #[test]
    fn at_the_very_start_nothing_is_before_all_time() {
        gst::init().unwrap();
        let mut current = Stretch::new();
        current.set_start(gst::ClockTime::from_seconds(7));
        current.set_time(gst::ClockTime::from_seconds(7));
        let relation = Relation::of(&current, 7 * S, 0.95).unwrap();
        let segment = relation.segment(7 * S).unwrap();
        assert!(running(&segment, 7 * S).abs() < 1e-6);
        assert_eq!(Relation::of(&current, 6 * S, 0.95), None, "before the segment");
    }
}
