//! One session as the page draws it.

use serde::Serialize;
use weir_abr::{
    TrackKind,
    record::{Entry, Event},
};

use crate::trace::Link;

/// Link, estimate, choices, buffer and stalls over session time.
#[derive(Debug, Serialize)]
pub struct Timeline {
    set: String,
    buffer_s: f64,
    trace: String,
    algorithm: String,
    end_s: f64,
    /// Ladder in kbit/s.
    ladder: Vec<f64>,
    /// Mean rate of the link from each second to the next, in kbit/s.
    link: Vec<f64>,
    /// Decisions: time, rung, estimate in kbit/s, buffer, rule, sentence.
    decisions: Vec<(f64, usize, Option<f64>, f64, String, String)>,
    /// Downloads given up: time, rung, sentence.
    aborts: Vec<(f64, usize, String)>,
    /// On screen from this time on, in kbit/s.
    shown: Vec<(f64, f64)>,
    /// Buffer level: time, seconds.
    buffer: Vec<(f64, f64)>,
    /// Stalls: from, to.
    stalls: Vec<(f64, f64)>,
    /// First picture.
    start_s: Option<f64>,
}

/// Buffer levels are shown this often at most, in seconds.
const BUFFER_STEP_S: f64 = 0.5;
/// The link is drawn for a day at most: a session on a dead one goes on for longer.
const LONGEST_LINK_S: f64 = 86_400.0;

fn short(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

impl Timeline {
    /// From a session's record and the link that it ran on.
    pub fn new(
        (set, buffer_s, trace, algorithm): (&str, f64, &str, &str),
        record: &[Entry],
        link: &Link,
    ) -> Self {
        let end_s = record.last().map_or(0.0, |entry| entry.t_ms / 1000.0);
        let mut timeline = Self {
            set: set.to_owned(),
            buffer_s,
            trace: trace.to_owned(),
            algorithm: algorithm.to_owned(),
            end_s: short(end_s),
            ladder: Vec::new(),
            link: (0..end_s.ceil().min(LONGEST_LINK_S) as u32)
                .map(|second| {
                    let from = f64::from(second) * 1000.0;
                    link.mean_kbps(from, from + 1000.0).round()
                })
                .collect(),
            decisions: Vec::new(),
            aborts: Vec::new(),
            shown: Vec::new(),
            buffer: Vec::new(),
            stalls: Vec::new(),
            start_s: None,
        };
        let mut stall = None;
        let mut first_rung = None;
        for entry in record {
            let t = short(entry.t_ms / 1000.0);
            match &entry.event {
                Event::Ladder { track: TrackKind::Video, kbps, .. } => timeline.ladder.clone_from(kbps),
                Event::Decision {
                    track: TrackKind::Video,
                    rung,
                    estimate_kbps,
                    buffer_s,
                    rule,
                    reason,
                    ..
                } => {
                    first_rung.get_or_insert(rung.0);
                    let estimate = estimate_kbps.map(f64::round);
                    timeline.decisions.push((t, rung.0, estimate, *buffer_s, rule.clone(), reason.clone()));
                }
                Event::Abort { track: TrackKind::Video, rung, reason, .. } => {
                    timeline.aborts.push((t, rung.0, reason.clone()));
                }
                Event::FirstFrame { .. } => {
                    timeline.start_s = Some(t);
                    let kbps = first_rung.and_then(|rung| timeline.ladder.get(rung)).copied();
                    timeline.shown.push((t, kbps.unwrap_or_default()));
                }
                Event::Switch { to_kbps, .. } => timeline.shown.push((t, *to_kbps)),
                Event::Position { buffer_s, .. } | Event::Segment { buffer_s, .. }
                    if timeline.buffer.last().is_none_or(|(last, _)| t - last >= BUFFER_STEP_S) =>
                {
                    timeline.buffer.push((t, short(*buffer_s)));
                }
                Event::StallStart { .. } => stall = Some(t),
                Event::StallEnd { .. } => {
                    if let Some(from) = stall.take() {
                        timeline.stalls.push((from, t));
                        // Nothing is played in a stall: the level stays until it jumps.
                        if let Some((_, level)) = timeline.buffer.last().copied() {
                            timeline.buffer.push((t, level));
                        }
                    }
                }
                _ => {}
            }
        }
        if let Some(from) = stall {
            timeline.stalls.push((from, short(end_s)));
        }
        timeline
    }
}
