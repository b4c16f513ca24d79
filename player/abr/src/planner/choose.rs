//! Which rung: start, the viewer's wish, caps, the controller.

use std::{sync::Arc, time::Duration};

use super::{Phase, Planner, QualityChoice};
use crate::{Bitrate, Decision, Rung, RungId, SegmentInfo, Track, TrackKind, control::Context};

/// Without any estimate nothing above this is tried.
const BLIND: Bitrate = Bitrate::from_bps(1_000_000);
/// The first segment should be there within this time.
const FIRST_WITHIN: Duration = Duration::from_secs(2);
/// Share of a remembered estimate that the first choice is made on.
pub(super) const MEMORY_SHARE: f64 = 0.7;
/// Audio goes up when it takes less than the first share of the expected rate, down when more than the second.
const AUDIO_UP: f64 = 0.08;
const AUDIO_DOWN: f64 = 0.16;
/// Segments that a controller is shown.
pub(super) const HORIZON: usize = 8;

/// The byte quota has to hold so much of a rung, and two segments; half of the largest buffer is always enough. Else the
/// rung is not used at all: one that is lowered for single segments flickers.
const QUOTA_SPAN: Duration = Duration::from_secs(6);

/// Too many frames that came too late lower the highest rung for a while.
#[derive(Clone, Debug, Default)]
pub(super) struct Drops {
    dropped: u64,
    total: u64,
    /// Highest rung, and until when.
    cap: Option<(RungId, Duration)>,
    times: u32,
}

impl Drops {
    const ENOUGH_FRAMES: u64 = 100;
    const TOO_MANY: f64 = 0.15;
    const FIRST_BAN: Duration = Duration::from_secs(30);

    pub(super) fn cap(&self, now: Duration) -> Option<RungId> {
        self.cap.filter(|(_, until)| now < *until).map(|(rung, _)| rung)
    }
}

/// A rung with its reason, before failures have had their say.
pub(super) struct Wish {
    pub rung: RungId,
    pub rule: &'static str,
    pub reason: String,
    pub wait: Duration,
    pub scored: bool,
}

impl Wish {
    fn new(rung: RungId, rule: &'static str, reason: String) -> Self {
        Self { rung, rule, reason, wait: Duration::ZERO, scored: false }
    }
}

impl Planner {
    pub(super) fn dropped_frames(&mut self, now: Duration, dropped: u32, total: u32) {
        self.drops.dropped += u64::from(dropped);
        self.drops.total += u64::from(total);
        if self.drops.total < Drops::ENOUGH_FRAMES {
            return;
        }
        let too_many = self.drops.dropped as f64 > Drops::TOO_MANY * self.drops.total as f64;
        self.drops.dropped = 0;
        self.drops.total = 0;
        let Some(main) = self.tracks.first() else { return };
        let shown = main.track.index_at(self.position_at(now)).and_then(|index| main.buffer.rung(index));
        if let Some(shown) = shown.filter(|shown| too_many && shown.0 > 0) {
            let ban = Drops::FIRST_BAN * (1 << self.drops.times.min(4));
            self.drops.cap = Some((RungId(shown.0 - 1), now + ban));
            self.drops.times += 1;
        }
    }

    /// Highest rung of the main track that the controller may choose.
    pub(super) fn limit(&self, now: Duration) -> RungId {
        let Some(main) = self.tracks.first() else { return RungId(0) };
        let ladder = &main.track.ladder;
        let mut limit = ladder.top();
        if let Some(cap) = self.caps.bitrate {
            let below = ladder.rungs().iter().rposition(|rung| rung.bitrate <= cap).unwrap_or(0);
            limit = limit.min(RungId(below));
        }
        if let Some(lines) = self.caps.height {
            let enough =
                ladder.rungs().iter().position(|rung| rung.height.is_some_and(|height| height >= lines));
            // Of several rungs with the same height the best one.
            let enough = enough.and_then(|first| {
                let height = ladder.rung(RungId(first)).height;
                ladder.rungs().iter().rposition(|rung| rung.height == height)
            });
            limit = limit.min(enough.map_or(limit, RungId));
        }
        limit = limit.min(self.held_by_quota(&main.track));
        // What controllers reckon with is to be had.
        let usable = |rung: &usize| !main.failures.is_withheld(RungId(*rung));
        limit = (0..=limit.0).rev().find(usable).map_or(limit, RungId);
        self.drops.cap(now).map_or(limit, |cap| limit.min(cap))
    }

    /// Highest rung of which the byte quota holds enough to play from.
    fn held_by_quota(&self, track: &Track) -> RungId {
        let segment = track.segments.first().map_or(Duration::ZERO, |segment| segment.duration);
        let span = QUOTA_SPAN.max(segment * 2).min(self.config.max_buffer / 2);
        let holds =
            |rung: &Rung| rung.bitrate.time_for(self.config.max_bytes).is_none_or(|time| time >= span);
        RungId(track.ladder.rungs().iter().rposition(holds).unwrap_or(0))
    }

    /// What the controller sees when it chooses for segment `index` of the main track with `level` ahead of the playhead.
    pub(super) fn context<'a>(
        &self,
        track: &'a Track,
        now: Duration,
        index: u64,
        level: Duration,
    ) -> Option<Context<'a>> {
        let main = self.tracks.first()?;
        let from = usize::try_from(index.checked_sub(track.first_index)?).ok()?;
        let upcoming: &[SegmentInfo] = track.segments.get(from..)?;
        let first = upcoming.first()?;
        let to_end = self.live.is_none().then(|| track.end().saturating_sub(first.start));
        // Separate audio rides along on the same link.
        let audio = self
            .tracks
            .get(1)
            .map_or(Bitrate::ZERO, |state| state.track.ladder.rung(state.last.unwrap_or(RungId(0))).bitrate);
        let estimate = self.expected(now).map(|estimate| {
            estimate.map(|rate| Bitrate::from_bps(rate.bps().saturating_sub(audio.bps()).max(rate.bps() / 2)))
        });
        Some(Context {
            now,
            ladder: &track.ladder,
            limit: self.limit(now),
            upcoming: upcoming.get(..HORIZON).unwrap_or(upcoming),
            buffer: level,
            max_buffer: self.config.max_buffer,
            last: main.last,
            estimate,
            since_start: first.start.saturating_sub(self.origin),
            to_end,
            latency: self.latency(now),
            rate: self.drain_rate(),
            waiting: self.is_waiting(),
        })
    }

    /// Chooses for segment `index` of the main track.
    pub(super) fn choose_video(&mut self, now: Duration, index: u64, level: Duration) -> Option<Wish> {
        let main = self.tracks.first()?;
        let track = Arc::clone(&main.track);
        let ladder = &track.ladder;
        if let QualityChoice::Manual(rung) = self.quality {
            let rung = rung.min(ladder.top());
            let reason = format!("{} because the viewer chose it.", ladder.rung(rung).label());
            return Some(Wish::new(rung, "manual", reason));
        }
        if let Some((_, rung)) = main.forced.filter(|(forced, _)| *forced == index) {
            let reason = format!(
                "{} because the download at a higher quality would have come too late.",
                ladder.rung(rung).label()
            );
            return Some(Wish::new(rung, "abandon", reason));
        }
        let empty = level.is_zero() && matches!(self.phase, Phase::Starting | Phase::Seeking);
        if empty || !self.bandwidth.is_measured() {
            return self.choose_first(now, index);
        }
        let context = self.context(&track, now, index, level)?;
        let choice = self.controller.choose(&context, &mut self.scores);
        let label = ladder.rung(choice.rung).label();
        Some(Wish {
            rung: choice.rung,
            rule: choice.rule,
            reason: format!("{label}: {}.", choice.reason),
            wait: choice.wait,
            scored: true,
        })
    }

    /// The first segment after start or seek: a sane quality that is there soon.
    fn choose_first(&mut self, now: Duration, index: u64) -> Option<Wish> {
        self.scores.clear();
        let main = self.tracks.first()?;
        let (track, limit) = (&main.track, self.limit(now).0);
        let ladder = &track.ladder;
        let segment = track.segment(index)?;
        let highest =
            |rate: Bitrate| (0..=limit).rev().find(|rung| ladder.rung(RungId(*rung)).bitrate <= rate);
        let (rate, ttfb, whence) = match (self.expected(now), self.bandwidth.remembered()) {
            (Some(estimate), _) if self.bandwidth.is_measured() => {
                (estimate.mean, estimate.ttfb, "is expected now")
            }
            (_, Some(remembered)) => (remembered, Duration::ZERO, "was measured here before"),
            (Some(estimate), None) => (estimate.mean, estimate.ttfb, "comes in so far"),
            (None, None) => {
                let rung = RungId(highest(BLIND).unwrap_or(0).min((ladder.len() - 1) / 2));
                let label = ladder.rung(rung).label();
                let reason = format!("{label} to begin with, since nothing is known about the network yet.");
                return Some(Wish::new(rung, "start", reason));
            }
        };
        let safe = Bitrate::from_kbps(rate.kbps() * MEMORY_SHARE);
        let mut rung = RungId(highest(safe).unwrap_or(0));
        while rung.0 > 0
            && safe.time_for(segment.size(rung, ladder)).is_none_or(|time| time + ttfb > FIRST_WITHIN)
        {
            rung.0 -= 1;
        }
        let label = ladder.rung(rung).label();
        let reason = format!("{label} to begin with: it is there soon, {rate} {whence}.");
        Some(Wish::new(rung, "start", reason))
    }

    /// Chooses for separate audio: best quality that leaves nearly all of the link to the pictures.
    pub(super) fn choose_audio(&self, now: Duration, at: usize) -> Option<Wish> {
        let state = self.tracks.get(at)?;
        let ladder = &state.track.ladder;
        let last = state.last.unwrap_or(RungId(0)).min(ladder.top());
        let Some(estimate) = self.expected(now).map(|estimate| estimate.mean.kbps()) else {
            return Some(Wish::new(
                last,
                "audio",
                format!("{}: nothing is known yet.", ladder.rung(last).label()),
            ));
        };
        let kbps = |rung: usize| ladder.rung(RungId(rung)).bitrate.kbps();
        let mut rung = last.0;
        while rung > 0 && kbps(rung) > AUDIO_DOWN * estimate {
            rung -= 1;
        }
        while rung < ladder.top().0 && rung >= last.0 && kbps(rung + 1) <= AUDIO_UP * estimate {
            rung += 1;
        }
        let label = ladder.rung(RungId(rung)).label();
        Some(Wish::new(RungId(rung), "audio", format!("{label}: leaves the link to the pictures.")))
    }

    /// Turns a wish for a segment into a decision, after failures have had their say; `None` when no rung is left.
    pub(super) fn decide(&self, now: Duration, at: usize, index: u64, wish: Wish) -> Option<Decision> {
        let state = self.tracks.get(at)?;
        let ladder = &state.track.ladder;
        let rung = state.failures.rung_for(index, wish.rung, ladder.len())?;
        let (rule, reason) = if rung == wish.rung {
            (if state.failures.has_failed(index) { "retry" } else { wish.rule }, wish.reason)
        } else {
            let label = ladder.rung(rung).label();
            let wanted = ladder.rung(wish.rung).label();
            let elsewhere = state.failures.is_withheld(wish.rung);
            let why = if elsewhere {
                "the pathway in use does not have it"
            } else if state.failures.last.is_empty() {
                "it failed before"
            } else {
                &state.failures.last
            };
            let rule = if elsewhere { "pathway" } else { "retry" };
            (rule, format!("{label} instead of {wanted}: {why}."))
        };
        Some(Decision {
            track: state.track.kind,
            index,
            rung,
            previous: state.last,
            estimate: self.expected(now).map(|estimate| estimate.mean),
            buffer: state.run(self.position_at(now)).level,
            rule,
            reason,
            scores: if wish.scored && state.track.kind == TrackKind::Video {
                self.scores.clone()
            } else {
                Vec::new()
            },
        })
    }
}
