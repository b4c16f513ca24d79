//! Buffered low quality is replaced by better, when the better will be there before it is shown ("fast switching",
//! Spiteri et al., MMSys 2018, 5).

use std::{sync::Arc, time::Duration};

use super::{Phase, Planner, QualityChoice, buffer::Run, choose::Wish};
use crate::RungId;

/// A replacement is wanted when its average is at least so much above what is buffered.
const WORTH: f64 = 1.1;
/// What replacing a stretch must gain, in segments at the top rung instead of at the lowest; a switch more or less on
/// screen counts as one.
const GAIN: f64 = 0.7;
/// The same on top of what the controller says that the time is worth, where it can tell. More than nothing: not every
/// stretch that is begun can be replaced to its end.
const PRICED_GAIN: f64 = 1.6;
/// Time that decoding and hand-over take, at most.
const MARGIN: Duration = Duration::from_millis(500);
/// Place of the pessimistic quantile that must be met.
const PESSIMISTIC: usize = 1;
/// A replacement takes no longer than this share of what the segment plays: the next ones get their turn.
const SHARE: f64 = 0.8;
/// Nothing is replaced for so long after a replacement was given up.
const PAUSE: Duration = Duration::from_secs(2);
/// While more could be fetched, replacing waits until so much of the largest buffer is there.
const ENOUGH: f64 = 0.5;

impl Planner {
    /// Replaces instead of fetching more, where that is better: the buffer is long enough and what comes next is low.
    pub(super) fn replace_before_more(&mut self, now: Duration, position: Duration, run: &Run) -> bool {
        if self.is_waiting() {
            return false;
        }
        let enough = match self.quality {
            QualityChoice::Auto if !self.controller.prices() => self.config.max_buffer.mul_f64(ENOUGH),
            QualityChoice::Auto | QualityChoice::Manual(_) => self.config.resume_buffer * 2,
        };
        run.level >= enough && self.replace_something(now, position, run)
    }

    /// Replaces the next segment that is worth it; whether there was one.
    pub(super) fn replace_something(&mut self, now: Duration, position: Duration, run: &Run) -> bool {
        let paused = self.tracks.first().is_none_or(|state| now < state.keep_until);
        if self.is_waiting() || run.level.is_zero() || paused {
            return false;
        }
        match self.replacement(now, position, run) {
            Some((index, wish)) => {
                self.start_fetch(now, 0, index, wish, true);
                true
            }
            None => false,
        }
    }

    fn replacement(&mut self, now: Duration, position: Duration, run: &Run) -> Option<(u64, Wish)> {
        let estimate = self.expected(now).filter(|_| self.bandwidth.is_measured())?;
        let track = Arc::clone(&self.tracks.first()?.track);
        let ladder = &track.ladder;
        let first = track.index_at(position)?;
        // A choice for a segment in the middle is made with what would be left of the buffer.
        let mut wish = match self.quality {
            QualityChoice::Manual(_) => self.choose_video(now, first, run.level)?,
            QualityChoice::Auto => {
                let mut context = self.context(&track, now, first, run.level)?;
                context.buffer = run.level;
                let choice = self.controller.choose(&context, &mut self.scores);
                let label = ladder.rung(choice.rung).label();
                Wish {
                    rung: choice.rung,
                    rule: "replace",
                    reason: format!("{label} in place of what is buffered: the network carries more now."),
                    wait: Duration::ZERO,
                    scored: true,
                }
            }
        };
        let manual = matches!(self.quality, QualityChoice::Manual(_));
        let drain = self.drain_rate().max(0.1);
        let too_fast = self.drops.cap(now);
        let state = self.tracks.first()?;
        let mut index = first;
        loop {
            index += 1;
            let segment = track.segment(index)?;
            // Only what plays on from here: beyond the run nothing is buffered.
            if segment.start >= run.end {
                return None;
            }
            let Some(held) = state.buffer.rung(index) else { continue };
            let target = state.failures.rung_for(index, wish.rung, ladder.len())?;
            if state.failures.has_failed(index) || target != wish.rung {
                continue;
            }
            // What is buffered above what this machine can show is no use.
            let too_much = too_fast.is_some_and(|cap| held > cap && target <= cap);
            let better = if manual {
                held != target
            } else {
                too_much
                    || held < target
                        && ladder.rung(target).bitrate.kbps() >= WORTH * ladder.rung(held).bitrate.kbps()
            };
            if !better {
                continue;
            }
            let bytes = segment.size(target, ladder);
            let fetch = estimate.fetch_time_at(PESSIMISTIC, bytes);
            let until_shown = segment.start.saturating_sub(position).div_f64(drain);
            let sustained = manual || fetch.as_secs_f64() <= SHARE * segment.duration.as_secs_f64() / drain;
            if !sustained {
                return None;
            }
            if !manual && !too_much {
                let context = self.context(&track, now, first, run.level)?;
                let price = self.controller.price(&context, bytes as f64 * 8.0);
                let needed = price.map_or(GAIN, |price| price + PRICED_GAIN);
                if self.gain(index, target, run.end).is_none_or(|gain| gain < needed) {
                    return None;
                }
            }
            if fetch.saturating_add(fetch / 4).saturating_add(MARGIN) < until_shown {
                let room = self.bytes_ahead(position) + bytes <= self.config.max_bytes;
                if too_much {
                    let label = ladder.rung(target).label();
                    wish.reason = format!(
                        "{label} in place of what is buffered: too many pictures came too late to be shown."
                    );
                }
                return room.then_some((index, wish));
            }
        }
    }

    /// What it gains to replace the stretch below `target` that begins at `index`, the switches on screen counted in. What
    /// is fetched after the buffer's end is taken to be at `target` too.
    fn gain(&self, index: u64, target: RungId, end: Duration) -> Option<f64> {
        let state = self.tracks.first()?;
        let ladder = &state.track.ladder;
        let utility = |rung: RungId| ladder.rung(rung).bitrate.kbps().max(1.0).ln();
        let span = (utility(ladder.top()) - utility(RungId(0))).max(f64::MIN_POSITIVE);
        let before = state.buffer.rung(index.checked_sub(1)?).unwrap_or(target);
        let (mut gain, mut last, mut at) = (0.0, before, index);
        let mut switches = -i32::from(before != target);
        let after = loop {
            let Some(rung) = state
                .track
                .segment(at)
                .filter(|segment| segment.start < end)
                .and_then(|_| state.buffer.rung(at))
            else {
                break target;
            };
            if rung >= target {
                break rung;
            }
            switches += i32::from(rung != last);
            gain += (utility(target) - utility(rung)) / span;
            last = rung;
            at += 1;
        };
        switches += i32::from(last != after) - i32::from(after != target);
        Some(gain + f64::from(switches))
    }

    /// A replacement that will come too late, or that the buffer cannot afford any more, is given up.
    pub(super) fn give_up_replacement(&mut self, now: Duration, position: Duration, run: &Run) {
        // Before playback begins nothing is late.
        if self.phase == Phase::Starting {
            return;
        }
        let Some(state) = self.tracks.first() else { return };
        let Some(fetch) = &state.fetch else { return };
        let in_flight = fetch.in_flight(now);
        let Some(segment) = state.track.segment(fetch.index) else { return };
        let drain = self.drain_rate().max(0.1);
        let until_shown = segment.start.saturating_sub(position).as_secs_f64() / drain;
        let left = if in_flight.recent_bps > 0.0 {
            in_flight.bits_left() / in_flight.recent_bps
        } else if in_flight.elapsed > Duration::from_secs(1) {
            f64::INFINITY
        } else {
            0.0
        };
        // In the last moments it is all or nothing: what is nearly there is let come.
        let late = left + 0.2 > until_shown;
        let dangerous = run.next.is_some() && left + 2.0 > run.level.as_secs_f64() / drain;
        if late || dangerous {
            self.drop_fetch(now, 0, "the better segment would come too late");
            if let Some(state) = self.tracks.first_mut() {
                // Not again at once: what made it late may last.
                state.keep_until = now + PAUSE;
            }
        }
    }
}
