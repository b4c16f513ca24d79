//! The best that was possible: an offline optimum over rungs for a known trace, content and buffer.
//!
//! Forward dynamic programming over segments. A state is where a schedule stands after a segment: time, time at which its
//! buffer runs dry, last rung. Of the schedules that fall into the same cell ([`Resolution::cell`] of time and of buffer,
//! same rung) only the best goes on, and at most [`Resolution::beam`] go on in all. Every schedule is computed exactly, never
//! rounded to its cell, so the answer is always one that could really have been played: it is never above the true
//! optimum. How far below it can be is documented in `docs/lab.md`.
//!
//! The model is that of an ideal player: one download at a time, next request when there is room, playback from the first
//! segment on, and after a stall with the segment that was waited for. Start-up time that exceeds the lowest rung's
//! counts as a stall, so that nothing can be gained by starting late.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    time::Duration,
};

use weir_abr::RungId;

use crate::{
    content::Content,
    figures::Figures,
    sim::{Played, Session, Stall},
    trace::Link,
};

/// Which quality of experience is optimised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Objective {
    /// [`Figures::qoe_s`].
    #[value(help = "quality, stalls and switches as SODA weighs them")]
    QoeS,
    /// [`Figures::qoe_lin`].
    #[value(help = "Yin's composite, linear in the bitrate")]
    Linear,
    /// [`Figures::qoe_log`].
    #[value(help = "Pensieve's composite, logarithmic in the bitrate")]
    Log,
    /// [`Figures::score`].
    #[value(help = "Sabre's score")]
    Score,
}

/// How finely schedules are told apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resolution {
    /// Schedules closer than this in time and in buffer are compared, the better goes on.
    pub cell: Duration,
    /// Most schedules that are followed at a time.
    pub beam: usize,
}

impl Default for Resolution {
    fn default() -> Self {
        Self { cell: Duration::from_millis(500), beam: 1500 }
    }
}

/// What the objective is, a segment.
struct Weights {
    utility: Vec<f64>,
    /// For any change.
    switch: f64,
    /// For the size of a change, in the same unit as `level`.
    change: f64,
    level: Vec<f64>,
    /// For a second of stall.
    stall: f64,
}

#[derive(Clone, Copy)]
struct State {
    now: f64,
    dry: f64,
    value: f64,
    stall: f64,
    rung: u8,
    parent: u32,
}

/// Multiplies: keys are distinct small numbers, no one chooses them to collide.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = (self.0.rotate_left(5) ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// The best schedule for `objective`, as a session.
pub fn best(
    content: &Content,
    link: &Link,
    max_buffer: Duration,
    objective: Objective,
    resolution: Resolution,
) -> Session {
    let figure = |session: &Session| objective.of(&Figures::of(session, content));
    // The penalty of a ratio is not a sum: start from its slope without stalls, then take the slope where it ended.
    let mut weights = objective.weights(content, 0.0);
    let mut found = schedule(content, link, max_buffer, &weights, resolution);
    if matches!(objective, Objective::QoeS | Objective::Score) {
        for _ in 0..2 {
            let stall: f64 = found.stalls.iter().map(|stall| stall.length.as_secs_f64()).sum();
            if stall < 0.01 {
                break;
            }
            weights = objective.weights(content, stall);
            let next = schedule(content, link, max_buffer, &weights, resolution);
            if figure(&next) <= figure(&found) {
                break;
            }
            found = next;
        }
    }
    found
}

impl Objective {
    /// Its value among a session's figures.
    pub fn of(self, figures: &Figures) -> f64 {
        match self {
            Self::QoeS => figures.qoe_s,
            Self::Linear => figures.qoe_lin,
            Self::Log => figures.qoe_log,
            Self::Score => figures.score,
        }
    }

    /// Additive weights whose sum over a session rises and falls with the objective, for sessions that stall about so long.
    fn weights(self, content: &Content, stall_s: f64) -> Weights {
        let kbps = content.kbps();
        let low = kbps.first().copied().unwrap_or(1.0);
        let logs: Vec<f64> = kbps.iter().map(|kbps| (kbps / low).ln()).collect();
        let span = logs.last().copied().unwrap_or(0.0).max(1e-9);
        let count = content.main().segments.len().max(1) as f64;
        let played = content.main().end().as_secs_f64().max(1e-9);
        // Slope of stall / (stall + played).
        let slope = played / (played + stall_s).powi(2);
        match self {
            Self::QoeS => Weights {
                utility: logs.iter().map(|log| log / span).collect(),
                switch: 1.0,
                change: 0.0,
                level: logs,
                stall: 10.0 * slope * count,
            },
            Self::Linear => {
                let mbps: Vec<f64> = kbps.iter().map(|kbps| kbps / 1000.0).collect();
                let stall = mbps.last().copied().unwrap_or(1.0);
                Weights { utility: mbps.clone(), switch: 0.0, change: 1.0, level: mbps, stall }
            }
            Self::Log => {
                Weights { utility: logs.clone(), switch: 0.0, change: 1.0, level: logs, stall: span }
            }
            Self::Score => {
                // A second of stall costs gamma p, and dilutes the utility of the rest.
                let mean = span * 0.5;
                let stall = (5.0 + mean) * count / played;
                Weights { utility: logs.clone(), switch: 0.0, change: 0.0, level: logs, stall }
            }
        }
    }
}

fn schedule(
    content: &Content,
    link: &Link,
    max_buffer: Duration,
    weights: &Weights,
    resolution: Resolution,
) -> Session {
    let track = content.main();
    let rungs = track.ladder.len();
    let cell = resolution.cell.as_secs_f64().max(0.01) * 1000.0;
    let max_buffer = max_buffer.as_secs_f64() * 1000.0;
    let bits = |index: usize, rung: usize| {
        track
            .segments
            .get(index)
            .map_or(1.0, |segment| segment.size(RungId(rung), &track.ladder) as f64 * 8.0)
    };
    let length = |index: usize| track.segments.get(index).map_or(0.0, |s| s.duration.as_secs_f64() * 1000.0);
    let first_latency = link.latency_at(0.0);
    let least_startup = link.finish_ms(first_latency, bits(0, 0));
    let mut layers: Vec<Vec<State>> = Vec::with_capacity(track.segments.len());
    layers.push(
        (0..rungs)
            .map(|rung| {
                let now = link.finish_ms(first_latency, bits(0, rung));
                let stall = (now - least_startup) / 1000.0;
                let value = weights.utility[rung] - weights.stall * stall;
                State { now, dry: now + length(0), value, stall, rung: rung as u8, parent: 0 }
            })
            .collect(),
    );
    let mut cells: HashMap<u64, u32, BuildHasherDefault<KeyHasher>> = HashMap::default();
    for index in 1..track.segments.len() {
        let Some(last) = layers.last() else { break };
        let (length, sizes): (f64, Vec<f64>) =
            (length(index), (0..rungs).map(|rung| bits(index, rung)).collect());
        cells.clear();
        let mut next: Vec<State> = Vec::with_capacity(last.len() * 2);
        for (parent, state) in last.iter().enumerate() {
            // Wait until there is room for the segment.
            let asked = state.now.max((state.dry + length - max_buffer).min(state.dry));
            let from = asked + link.latency_at(asked);
            let mut now = from;
            let mut before = 0.0;
            for (rung, size) in sizes.iter().copied().enumerate() {
                // Sizes rise: go on from where the rung below ended.
                now = if size >= before {
                    link.finish_ms(now, size - before)
                } else {
                    link.finish_ms(from, size)
                };
                before = size;
                let stall = (now - state.dry).max(0.0) / 1000.0;
                let last_rung = usize::from(state.rung);
                let mut value = state.value + weights.utility[rung] - weights.stall * stall;
                if rung != last_rung {
                    value -= weights.switch
                        + weights.change * (weights.level[rung] - weights.level[last_rung]).abs();
                }
                let dry = now.max(state.dry) + length;
                let (time_cell, buffer_cell) = ((now / cell) as u64, ((dry - now) / cell) as u64);
                let key = (time_cell << 24) | (buffer_cell << 8) | rung as u64;
                let new = State {
                    now,
                    dry,
                    value,
                    stall: state.stall + stall,
                    rung: rung as u8,
                    parent: parent as u32,
                };
                match cells.entry(key) {
                    std::collections::hash_map::Entry::Occupied(slot) => {
                        let held = &mut next[*slot.get() as usize];
                        if new.value > held.value {
                            *held = new;
                        }
                    }
                    std::collections::hash_map::Entry::Vacant(slot) => {
                        slot.insert(next.len() as u32);
                        next.push(new);
                    }
                }
            }
        }
        if next.len() > resolution.beam {
            // What is buffered will be worth something, too.
            let promise = |state: &State| state.value + 0.5 * (state.dry - state.now) / length.max(1.0);
            next.select_nth_unstable_by(resolution.beam, |a, b| promise(b).total_cmp(&promise(a)));
            next.truncate(resolution.beam);
        }
        layers.push(next);
    }
    finish(content, &trace_back(content, &layers), least_startup)
}

/// The rungs of the best schedule.
fn trace_back(content: &Content, layers: &[Vec<State>]) -> Vec<(RungId, State)> {
    let Some(mut state) =
        layers.last().and_then(|layer| layer.iter().max_by(|a, b| a.value.total_cmp(&b.value))).copied()
    else {
        return Vec::new();
    };
    let mut path = Vec::with_capacity(content.main().segments.len());
    for at in (0..layers.len()).rev() {
        path.push((RungId(usize::from(state.rung)), state));
        if let Some(parent) = at.checked_sub(1).and_then(|at| layers[at].get(state.parent as usize)) {
            state = *parent;
        }
    }
    path.reverse();
    path
}

fn finish(content: &Content, path: &[(RungId, State)], least_startup: f64) -> Session {
    let track = content.main();
    let ms = |ms: f64| Duration::from_secs_f64((ms / 1000.0).max(0.0));
    let mut session = Session { startup: Some(ms(least_startup)), finished: true, ..Session::default() };
    let mut before = 0.0;
    for (segment, (rung, state)) in track.segments.iter().zip(path) {
        let length = segment.duration.as_secs_f64() * 1000.0;
        // On screen when what was buffered before it ends.
        let at = state.dry - length;
        let stalled = (state.stall - before) * 1000.0;
        if stalled > 0.001 {
            session.stalls.push(Stall { at: ms(at - stalled), length: ms(stalled), position: segment.start });
        }
        before = state.stall;
        session.bytes += segment.size(*rung, &track.ladder);
        let index = track.first_index + session.played.len() as u64;
        session.played.push(Played { index, rung: *rung, duration: segment.duration, at: ms(at) });
        session.end = ms(state.dry);
    }
    session
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        content::Model,
        trace::{Trace, generate},
    };

    fn content(count: usize) -> Content {
        let model = Model {
            kbps: vec![300.0, 1200.0, 4000.0],
            segment: Duration::from_secs(4),
            count,
            spread: 0.3,
            seed: 2,
        };
        model.to_content("c").unwrap()
    }

    fn rungs(session: &Session) -> Vec<usize> {
        session.played.iter().map(|played| played.rung.0).collect()
    }

    #[test]
    fn a_fast_link_gives_the_top_rung_throughout() {
        let link = Link::new(&Trace::constant(40_000.0, 20.0).unwrap());
        let best = best(&content(20), &link, Duration::from_secs(20), Objective::QoeS, Resolution::default());
        assert!(rungs(&best)[1..].iter().all(|rung| *rung == 2), "{:?}", rungs(&best));
        assert!(best.stalls.iter().map(|stall| stall.length).sum::<Duration>() < Duration::from_secs(1));
    }

    /// Every one of the 3^7 schedules, one after the other.
    fn exhaustive(content: &Content, link: &Link, max_buffer: f64) -> f64 {
        let track = content.main();
        let count = track.segments.len();
        let mut best = f64::NEG_INFINITY;
        for code in 0..3usize.pow(count as u32) {
            let rung = |index: usize| code / 3usize.pow(index as u32) % 3;
            let bits = |index: usize, rung| track.segments[index].sizes[rung] as f64 * 8.0;
            let least = link.finish_ms(link.latency_at(0.0), bits(0, 0));
            let mut now = link.finish_ms(link.latency_at(0.0), bits(0, rung(0)));
            let mut dry = now + 4000.0;
            let mut stalls = vec![now - least];
            for index in 1..count {
                let asked = now.max(dry + 4000.0 - max_buffer * 1000.0);
                now = link.finish_ms(asked + link.latency_at(asked), bits(index, rung(index)));
                stalls.push((now - dry).max(0.0));
                dry = now.max(dry) + 4000.0;
            }
            let mut session = Session { startup: Some(Duration::ZERO), ..Session::default() };
            for (index, stall) in stalls.into_iter().enumerate() {
                if stall > 0.0 {
                    let length = Duration::from_secs_f64(stall / 1000.0);
                    session.stalls.push(Stall { at: Duration::ZERO, length, position: Duration::ZERO });
                }
                session.played.push(Played {
                    index: index as u64,
                    rung: RungId(rung(index)),
                    duration: Duration::from_secs(4),
                    at: Duration::ZERO,
                });
            }
            best = best.max(Figures::of(&session, content).qoe_lin);
        }
        best
    }

    #[test]
    fn it_finds_what_trying_every_schedule_finds() {
        let content = content(7);
        for (rates, buffer) in [([2500.0, 400.0, 3000.0], 12.0), ([900.0, 5000.0, 500.0], 8.0)] {
            let trace = generate::steps("s", &rates, 7000.0, 50.0).unwrap();
            let link = Link::new(&trace);
            let max_buffer = Duration::from_secs_f64(buffer);
            let fine = Resolution { cell: Duration::from_millis(20), beam: 100_000 };
            let found = best(&content, &link, max_buffer, Objective::Linear, fine);
            let found = Figures::of(&found, &content).qoe_lin;
            let truth = exhaustive(&content, &link, buffer);
            assert!((found - truth).abs() < 1e-3, "{found} instead of {truth}");
        }
    }

    #[test]
    fn a_coarse_search_is_never_above_a_fine_one_by_more_than_chance() {
        let content = content(60);
        let link = Link::new(&generate::walk("w", 2000.0, 240, 5, 40.0).unwrap());
        let value = |cell, beam| {
            let resolution = Resolution { cell: Duration::from_millis(cell), beam };
            let session = best(&content, &link, Duration::from_secs(20), Objective::QoeS, resolution);
            Figures::of(&session, &content).qoe_s
        };
        let (coarse, fine) = (value(500, 1500), value(100, 20_000));
        assert!(coarse <= fine + 0.005, "{coarse} {fine}");
        assert!(fine - coarse < 0.03, "{coarse} {fine}");
    }
}
