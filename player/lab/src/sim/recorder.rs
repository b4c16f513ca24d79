//! Writes the session's record as the player does (`docs/events.md`).

use std::{sync::Arc, time::Duration};

use weir_abr::{
    Decision, RungId, Track, TrackKind,
    record::{Curve, Entry, Event},
};

use super::session::{Fetch, Session};
use crate::{content::Content, figures::Figures};

/// Collects entries; does nothing when off.
#[derive(Debug)]
pub(super) struct Recorder {
    on: bool,
    entries: Vec<Entry>,
    showing: Option<f64>,
}

fn s(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e6
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

impl Recorder {
    pub(super) fn new(on: bool) -> Self {
        Self { on, entries: Vec::new(), showing: None }
    }

    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    fn add(&mut self, now: Duration, event: Event) {
        self.entries.push(Entry { t_ms: ms(now), event });
    }

    pub(super) fn session(&mut self, algorithm: &str, max_buffer: Duration, content: &str) {
        if self.on {
            let begin = Event::Session {
                url: format!("sim:{content}"),
                algorithm: algorithm.to_owned(),
                max_buffer_s: s(max_buffer),
                remembered_kbps: None,
                remembered_age_s: None,
            };
            self.add(Duration::ZERO, begin);
        }
    }

    pub(super) fn ladders(&mut self, tracks: &[Arc<Track>]) {
        if !self.on {
            return;
        }
        for track in tracks {
            let rungs = track.ladder.rungs();
            self.add(
                Duration::ZERO,
                Event::Ladder {
                    track: track.kind,
                    kbps: rungs.iter().map(|rung| rung.bitrate.kbps()).collect(),
                    heights: rungs.iter().map(|rung| rung.height).collect(),
                },
            );
        }
    }

    pub(super) fn decision(&mut self, now: Duration, decision: Decision) {
        if !self.on {
            return;
        }
        let Decision { track, index, rung, .. } = decision;
        self.add(
            now,
            Event::Decision {
                track,
                index,
                rung,
                estimate_kbps: decision.estimate.map(weir_abr::Bitrate::kbps),
                buffer_s: s(decision.buffer),
                rule: decision.rule.to_owned(),
                reason: decision.reason,
                scores: decision.scores,
            },
        );
        let url = format!("sim:{}/{index}/{}", kind(track), rung.0);
        self.add(now, Event::Request { track: Some(track), index: Some(index), rung: Some(rung), url });
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one line of the record")]
    pub(super) fn segment(
        &mut self,
        track: &Track,
        index: u64,
        rung: RungId,
        bytes: u64,
        (asked, first_byte, now): (Duration, Duration, Duration),
        (replaced, sized): (bool, bool),
        buffer: Duration,
        curve: Curve,
    ) {
        if !self.on {
            return;
        }
        let Some(segment) = track.segment(index) else { return };
        self.add(
            now,
            Event::Segment {
                track: track.kind,
                index,
                rung,
                kbps: track.ladder.rung(rung).bitrate.kbps(),
                bytes,
                ms: ms(now - asked),
                ttfb_ms: ms(first_byte - asked),
                start_s: s(segment.start),
                duration_s: s(segment.duration),
                replaced,
                buffer_s: s(buffer),
                sized,
                progress: curve.into_points(),
            },
        );
    }

    pub(super) fn abort(
        &mut self,
        now: Duration,
        track: TrackKind,
        fetch: Fetch,
        bytes: u64,
        reason: String,
    ) {
        if self.on {
            let Fetch { index, rung, asked, first_byte, sent, .. } = fetch;
            let abort = Event::Abort {
                track,
                index,
                rung,
                bytes,
                reason,
                ms: sent.then(|| ms(now - asked)),
                ttfb_ms: first_byte.map(|first| ms(first - asked)),
                progress: fetch.curve.into_points(),
            };
            self.add(now, abort);
        }
    }

    pub(super) fn skip(&mut self, now: Duration, track: TrackKind, index: u64, reason: String) {
        if self.on {
            self.add(now, Event::Skip { track, index, reason });
        }
    }

    /// A segment came on screen.
    pub(super) fn entered(&mut self, track: &Track, rung: RungId, now: Duration, start: Duration) {
        if !self.on {
            return;
        }
        let kbps = track.ladder.rung(rung).bitrate.kbps();
        if let Some(from_kbps) = self.showing.replace(kbps)
            && from_kbps != kbps
        {
            self.add(now, Event::Switch { from_kbps, to_kbps: kbps, pos_s: s(start) });
        }
    }

    pub(super) fn start(&mut self, now: Duration, position: Duration, height: u32) {
        if self.on {
            self.add(now, Event::Start { pos_s: s(position) });
            self.add(now, Event::FirstFrame { height });
        }
    }

    pub(super) fn position(&mut self, now: Duration, position: Duration, buffer: Duration, height: u32) {
        self.add(now, Event::Position { pos_s: s(position), buffer_s: s(buffer), height });
    }

    pub(super) fn stall_start(&mut self, now: Duration, position: Duration) {
        if self.on {
            self.add(now, Event::StallStart { pos_s: s(position) });
        }
    }

    pub(super) fn stall_end(&mut self, now: Duration, position: Duration, length: Duration) {
        if self.on {
            self.add(now, Event::StallEnd { pos_s: s(position), ms: ms(length) });
        }
    }

    pub(super) fn seek(&mut self, now: Duration, from: Duration, to: Duration, since: Duration) {
        if self.on {
            let in_buffer = now == since;
            self.add(now, Event::Seek { from_s: s(from), to_s: s(to), ms: ms(now - since), in_buffer });
        }
    }

    pub(super) fn rate(&mut self, now: Duration, rate: f64) {
        if self.on {
            self.add(now, Event::Rate { rate });
        }
    }

    pub(super) fn error(&mut self, now: Duration, reason: &str) {
        if self.on {
            self.add(
                now,
                Event::Error { fatal: true, code: "planner".to_owned(), reason: reason.to_owned() },
            );
        }
    }

    pub(super) fn ended(&mut self, now: Duration, position: Duration) {
        if self.on {
            self.add(now, Event::Ended { pos_s: s(position) });
        }
    }

    pub(super) fn summary(&mut self, now: Duration, session: &Session, content: &Content) {
        if !self.on {
            return;
        }
        let figures = Figures::of(session, content);
        self.add(
            now,
            Event::Summary {
                startup_ms: session.startup.map(ms),
                rebuffer_ms: figures.stall_s * 1000.0,
                rebuffer_count: figures.stalls,
                played_s: figures.played_s,
                played_kbps: figures.kbps,
                switches: figures.switches,
                qoe_lin: Some(figures.qoe_lin),
                qoe_log: Some(figures.qoe_log),
                qoe_s: Some(figures.qoe_s),
                sabre_score: Some(figures.score),
                dropped_frames: 0,
                frames: 0,
                bytes: session.bytes,
                wasted_bytes: session.aborted_bytes + session.replaced_bytes,
            },
        );
    }
}

fn kind(track: TrackKind) -> &'static str {
    match track {
        TrackKind::Video => "video",
        TrackKind::Audio => "audio",
    }
}
