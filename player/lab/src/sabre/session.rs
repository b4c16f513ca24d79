//! A whole session, and Sabre's figures of it.

use super::{
    Compatibility, Film, Options,
    average::{Averages, Expected},
    buffer::Buffer,
    network::{Download, Judge, Network},
    rule::{Ended, Rule, View},
};
use crate::trace::Trace;

/// Sabre's figures. "Time average" is per segment length of total time, stalls and start-up included.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Time average played bitrate in kbit/s.
    pub kbps: f64,
    /// Stall time over total time.
    pub rebuffer_ratio: f64,
    /// Times that the buffer ran dry.
    pub rebuffer_events: u32,
    /// Time average |change of bitrate| in kbit/s.
    pub change_kbps: f64,
    /// Time average ln(bitrate / lowest).
    pub utility: f64,
    /// Utility less gamma p times stall time.
    pub score: f64,
    /// Until the first segment at the sustainable rung was on screen, in seconds.
    pub rampup_s: f64,
    /// Download time of the first segment, in seconds.
    pub startup_s: f64,
    /// Total time in seconds.
    pub total_s: f64,
}

/// A replacement is given up when its place is about to play.
struct Replacement {
    level: f64,
    reserve_ms: f64,
}

impl Judge for Replacement {
    type Verdict = Option<usize>;

    fn check(&mut self, download: &Download) -> Option<Self::Verdict> {
        (f64::max(0.0, self.level - download.time) - self.reserve_ms <= 0.0).then_some(None)
    }

    fn is_quiet(&self, _: &Download, _: f64, _: f64) -> bool {
        false
    }
}

/// The next segment is given up by the rule.
struct Next<'a> {
    rule: &'a mut Rule,
    film: &'a Film,
    expected: Expected,
    level: f64,
}

impl Judge for Next<'_> {
    type Verdict = Option<usize>;

    fn check(&mut self, download: &Download) -> Option<Self::Verdict> {
        let level = f64::max(0.0, self.level - download.time);
        self.rule.give_up(self.film, self.expected, download, level).map(Some)
    }

    fn is_quiet(&self, download: &Download, ms: f64, kbps: f64) -> bool {
        let level_then = f64::max(0.0, self.level - download.time - ms);
        self.rule.is_quiet(self.film, download, level_then, kbps)
    }
}

/// Rung that a link in this state sustains.
fn sustainable(film: &Film, network: &Network<'_>) -> usize {
    let point = network.point();
    let kbps = point.kbps * (1.0 - point.latency_ms / film.segment_ms);
    (1..film.rungs()).take_while(|rung| film.kbps[*rung] <= kbps).last().unwrap_or(0)
}

/// Plays the film over the trace.
pub fn simulate(film: &Film, trace: &Trace, options: &Options) -> Outcome {
    let count = options
        .movie_length_s
        .map_or(film.segments(), |length| (length * 1000.0 / film.segment_ms).ceil() as usize);
    let mut network = Network::new(trace);
    let mut buffer = Buffer::new(film);
    let mut rule = Rule::new(options, film);
    let mut averages = Averages::new(film.segment_ms);
    let ramped_up = |network: &Network<'_>| options.rampup_rung.unwrap_or_else(|| sustainable(film, network));

    let first = network.fetch(0, film.size(0, 0));
    buffer.push(0);
    let receiving = first.time - first.ttfb;
    let mut expected: Expected = averages.push(receiving, first.size / receiving, first.ttfb);
    buffer.total_ms += first.time;

    let mut seek = options.seek_s;
    // A rung that must come next, because the last download was given up for it.
    let mut forced = None;
    let mut next = 1;
    while next < count {
        if let Some((when, to)) = seek
            && next as f64 * film.segment_ms >= 1000.0 * when
        {
            seek = None;
            next = (1000.0 * to / film.segment_ms).floor() as usize;
            buffer.clear();
            rule.seeked(next);
            buffer.rampup_origin_ms = buffer.total_ms;
            buffer.rampup_ms = None;
        }
        let full_ms = buffer.level_ms() + film.segment_ms - options.max_buffer_ms;
        if full_ms > 0.0 {
            buffer.play(full_ms, || ramped_up(&network));
            network.pass(full_ms);
            rule.waited(full_ms);
        }
        let view = View { film, level_ms: buffer.level_ms(), expected, index: next, count };
        let (rung, mut delay) = forced.map_or_else(|| rule.choose(&view), |rung| (rung, 0.0));
        let replace = if options.replace && forced.is_none() { buffer.replaceable(rung) } else { None };
        forced = None;
        if replace.is_some() {
            delay = 0.0;
        }
        let segment = next - replace.unwrap_or(0);
        if delay > 0.0 {
            buffer.play(delay, || ramped_up(&network));
            network.pass(delay);
        }
        let size = film.size(segment, rung);
        let level = buffer.level_ms();
        let (download, given_up) = if !options.abandon {
            (network.fetch(rung, size), None)
        } else if let Some(from_end) = replace {
            let reserve_ms = film.segment_ms * from_end as f64;
            network.fetch_judged(rung, size, &mut Replacement { level, reserve_ms })
        } else {
            network.fetch_judged(rung, size, &mut Next { rule: &mut rule, film, expected, level })
        };
        buffer.play(download.time, || ramped_up(&network));
        match (replace, given_up) {
            (None, None) => {
                buffer.push(rung);
                next += 1;
            }
            (None, Some(target)) => {
                if options.compatibility == Compatibility::Corrected {
                    forced = target;
                }
            }
            (Some(from_end), None) => {
                if buffer.level_ms() - film.segment_ms * from_end as f64 >= 0.0 {
                    buffer.replace(from_end, rung);
                }
            }
            (Some(_), Some(_)) => {}
        }
        let ended = Ended { download, replaced: replace.is_some(), given_up, level_ms: buffer.level_ms() };
        rule.ended(film, &ended);
        if given_up.is_none() {
            let receiving = download.time - download.ttfb;
            expected = averages.push(receiving, download.got / receiving, download.ttfb);
        }
    }
    buffer.play_out(|| ramped_up(&network));

    let average = 1.0 / (buffer.total_ms / film.segment_ms);
    Outcome {
        kbps: buffer.kbps * average,
        rebuffer_ratio: buffer.stall_ms / buffer.total_ms,
        rebuffer_events: buffer.stalls,
        change_kbps: buffer.change_kbps * average,
        utility: buffer.utility * average,
        score: average * (buffer.utility - options.gamma_p * buffer.stall_ms / film.segment_ms),
        rampup_s: buffer.rampup_ms.unwrap_or(count as f64 * film.segment_ms) / 1000.0,
        startup_s: first.time / 1000.0,
        total_s: buffer.total_ms / 1000.0,
    }
}
