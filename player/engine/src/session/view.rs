//! What a window shows, made once a tick for everybody.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use weir_abr::{Bitrate, Decision, RungId, Track, TrackKind};

use super::{Session, catalog::Catalog};
use crate::player::{
    BufferedRange, DecisionView, ErrorView, PlotPoint, QualityView, Snapshot, State, TrackView,
};

/// Points of the plots: five minutes, four a second.
const POINTS: usize = 5 * 60 * 4;

/// What is gathered for the view.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Something changed that should be drawn soon.
    pub(crate) changed: bool,
    pub(crate) loading: Option<RungId>,
    pub(crate) audio_loading: Option<RungId>,
    decision: Option<DecisionView>,
    pub(crate) warning: Option<ErrorView>,
    pub(crate) error: Option<ErrorView>,
    /// The newest fault, dealt with or not: what a final message names.
    pub(crate) last_trouble: Option<ErrorView>,
    /// The newest segment that was given up, and why.
    pub(crate) skipped: Option<(TrackKind, u64, String)>,
    pub(crate) codecs: String,
    /// Bytes of media since the session's start.
    pub(crate) received: u64,
    plotted: Option<(Duration, u64)>,
    plot: Arc<VecDeque<PlotPoint>>,
    last_state: State,
}

impl View {
    pub(crate) fn decided(&mut self, at: Duration, decision: &Decision) {
        if decision.track == TrackKind::Video {
            self.decision =
                Some(DecisionView { at, rule: decision.rule.to_owned(), reason: decision.reason.clone() });
        }
    }
}

impl Session {
    pub(crate) fn state(&self) -> State {
        if self.view.error.is_some() {
            State::Failed
        } else if self.playing.ended {
            State::Ended
        } else if self.catalog.is_none() {
            State::Loading
        } else if !self.playing.visible {
            State::Starting
        } else if self.is_seeking() {
            State::Seeking
        } else if self.playing.paused {
            State::Paused
        } else if self.is_stalled() {
            State::Stalled
        } else {
            State::Playing
        }
    }

    /// Adds a point to the plots, four times a second.
    pub(crate) fn plot(&mut self) {
        let now = self.now();
        let (since, received) = self.view.plotted.unwrap_or((Duration::ZERO, 0));
        let passed = now.saturating_sub(since);
        self.view.plotted = Some((now, self.view.received));
        let throughput = Bitrate::from_transfer(self.view.received.saturating_sub(received), passed);
        let track = self.catalog.as_ref().and_then(|catalog| catalog.track(TrackKind::Video));
        let bitrate = |rung: RungId| track.map(|track| track.ladder.rung(rung).bitrate);
        let fetching = !self.transfers.is_empty();
        let point = PlotPoint {
            at: now,
            estimate: self.planner.estimate(),
            throughput: throughput.unwrap_or_default(),
            playing: self.playing.showing.and_then(|showing| bitrate(showing.rung)),
            loading: self.view.loading.filter(|_| fetching).and_then(bitrate),
            buffer: self.planner.buffer_level(),
            stalled: self.is_stalled(),
        };
        // Nobody holds the old plot for long, so this seldom copies.
        let plot = Arc::make_mut(&mut self.view.plot);
        if plot.len() >= POINTS {
            plot.pop_front();
        }
        plot.push_back(point);
    }

    /// Puts up a new snapshot, and wakes the window when there is something new to draw.
    pub(crate) fn publish(&mut self) {
        let state = self.state();
        let news = std::mem::take(&mut self.view.changed) | (state != self.view.last_state);
        self.view.last_state = state;
        let snapshot = self.make_snapshot(state);
        self.shared.publish(snapshot);
        if news {
            (self.shared.wake)();
        }
    }

    /// There is something to draw that should not wait for the next tick.
    pub(crate) fn has_news(&self) -> bool {
        self.view.changed || self.state() != self.view.last_state
    }

    fn make_snapshot(&self, state: State) -> Snapshot {
        let now = self.now();
        let catalog = self.catalog.as_ref();
        let track = |kind| catalog.and_then(|catalog| catalog.track(kind));
        let figures = self.recorder.figures();
        let fetching = |kind| self.transfers.values().any(|transfer| transfer.is_for(kind));
        let codecs = if self.media.codecs.is_empty() {
            self.view.codecs.clone()
        } else {
            self.media.codecs.join(", ")
        };
        Snapshot {
            state,
            position: self.seek_target().unwrap_or(self.playing.position),
            duration: catalog.and_then(Catalog::length),
            growing: catalog.is_some_and(Catalog::is_growing),
            live_window: catalog
                .filter(|catalog| catalog.presentation().live && !catalog.is_growing())
                .and_then(Catalog::window),
            latency: self.latency().map(|(made, edge, _)| made.unwrap_or(edge)),
            live_target: self.latency().map(|(_, _, target)| target),
            buffer: self.planner.buffer_level(),
            video: track(TrackKind::Video).map_or_else(TrackView::default, |track| {
                let showing = self.playing.showing.map(|showing| showing.rung);
                let loading = self.view.loading.filter(|_| fetching(TrackKind::Video));
                self.track_view(track, showing, loading)
            }),
            audio: track(TrackKind::Audio).map(|track| {
                let loading = self.view.audio_loading.filter(|_| fetching(TrackKind::Audio));
                let position = self.playing.position;
                let mut view = self.track_view(track, None, loading);
                let at = view.buffered.iter().find(|range| range.start <= position && position < range.end);
                view.showing = at.map(|range| range.rung);
                view
            }),
            sounds: self.sounds_view(),
            subtitles: self.subtitles_view(),
            thumbnail: self.thumbnail_view(),
            quality: self.quality,
            caps: self.caps,
            volume: self.volume,
            muted: self.muted,
            rate: self.rate,
            estimate: self.planner.estimate(),
            decision: self.view.decision.clone(),
            plot: self.view.plot.clone(),
            frames: (self.playing.counts.shown, self.playing.counts.dropped),
            stalls: (figures.stalls, figures.stalled_at(now)),
            switches: figures.switches,
            picture: self.playing.showing.map(|showing| (showing.width, showing.height)),
            codecs,
            pathway: self.steering.current.clone(),
            warning: self.view.warning.clone(),
            error: self.view.error.clone(),
        }
    }

    fn track_view(&self, track: &Track, showing: Option<RungId>, loading: Option<RungId>) -> TrackView {
        let rungs = track.ladder.rungs().iter().map(|rung| QualityView {
            label: rung.label(),
            bitrate: rung.bitrate,
            height: rung.height,
        });
        let buffered = self.media.spans(track.kind).into_iter();
        TrackView {
            rungs: rungs.collect(),
            showing: showing.map(|rung| rung.0),
            loading: loading.map(|rung| rung.0),
            buffered: buffered.map(|(start, end, rung)| BufferedRange { start, end, rung }).collect(),
        }
    }
}
