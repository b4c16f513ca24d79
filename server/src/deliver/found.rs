//! A stream together with its media, as a request finds it.

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};

use super::align::{align, leading};
use super::dash::manifest::Representation;
use super::extract::Client;
use super::front::Front;
use super::hls::media::Growth;
use super::rates::Rates;
use super::rendered::{Documents, Version};
use super::subtitles;
use super::timing::{Freshness, Timing};
use crate::app::App;
use crate::catalog::{State, Stream};
use crate::http::Problem;
use crate::store::{LiveInfo, Rendition, StreamStore, Window};

/// Name of the rung that is the publisher's own pictures.
const PASSED_THROUGH: &str = "source";

/// A stream together with its media.
#[derive(Debug, Clone)]
pub struct Found {
    /// What the catalogue says.
    pub stream: Arc<Stream>,
    /// Its media.
    pub store: Arc<StreamStore>,
}

impl Found {
    /// The stream as it is now, when it has a place in the store.
    ///
    /// # Errors
    /// 404 when there is none, 503 when its first segment is still to come.
    pub fn now(app: &App, id: &str) -> Result<Self, Problem> {
        let stream = app.watched(id).ok_or_else(|| Problem::no_stream(id))?;
        let store = app.media(id).ok_or_else(|| not_yet(&stream))?;
        Ok(Self { stream, store })
    }

    /// Waits a little for the first segment of every rendition.
    ///
    /// # Errors
    /// As [`now`](Self::now), and 404 for a stream that failed before it had anything to play, 503 when too many wait.
    pub async fn playable(app: &App, id: &str, client: &Client) -> Result<Self, Problem> {
        let segment_ms = app.watched(id).map_or(0, |stream| stream.profile.segment_ms);
        let timing = Timing { target: Timing::target_of(segment_ms), part_ms: 0 };
        let deadline = tokio::time::Instant::now() + timing.longest_hold_before_the_first();
        let mut place = None;
        loop {
            let mut changes = app.catalog.changes();
            let found = match Self::now(app, id) {
                Ok(found) => Some(found),
                Err(problem) if problem.status() == StatusCode::NOT_FOUND => return Err(problem),
                Err(_) => None,
            };
            let mut edge = found.as_ref().map(|found| found.store.edge());
            if let (Some(found), Some(edge)) = (found, &mut edge) {
                if edge.borrow_and_update().playable() {
                    return Ok(found);
                }
                if found.stream.state == State::Failed {
                    return Err(failed(app, &found.stream));
                }
            }
            if place.is_none() {
                place = Some(app.holds.take(id, client.address)?);
            }
            let edge_moves = async {
                match &mut edge {
                    Some(edge) => edge.changed().await.is_ok(),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = edge_moves => {}
                _ = changes.changed() => {}
                () = app.stop.cancelled() => break,
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
        match app.watched(id) {
            Some(stream) if stream.state == State::Failed => Err(failed(app, &stream)),
            Some(stream) => Err(not_yet(&stream)),
            None => Err(Problem::no_stream(id)),
        }
    }

    /// One of its renditions.
    ///
    /// # Errors
    /// 404 when there is none of that name.
    pub fn rendition(&self, name: &str) -> Result<Arc<Rendition>, Problem> {
        self.store.rendition(name).ok_or_else(|| {
            self.unknown(format!("The stream \"{}\" has no rendition of that name (yet).", self.stream.id))
        })
    }

    /// 404 that caches may keep for a target duration.
    pub fn unknown(&self, detail: impl Into<String>) -> Problem {
        self.mistake(Problem::not_found(detail), Freshness::PlainError)
    }

    /// A client's mistake, with how long caches may keep the answer.
    pub fn mistake(&self, problem: Problem, freshness: Freshness) -> Problem {
        match HeaderValue::from_str(&freshness.header(self.timing().target)) {
            Ok(value) => problem.header(header::CACHE_CONTROL, value),
            Err(_) => problem,
        }
    }

    /// Nothing will be added any more.
    pub fn ended(&self) -> bool {
        let over = match self.store.live() {
            // The last segments come after the publisher has gone: the store says when it has them.
            Some(_) => self.stream.state == State::Failed,
            None => matches!(self.stream.state, State::Ready | State::Failed),
        };
        over || self.store.is_complete()
    }

    /// What makes it a live stream, while it goes on.
    pub fn on_air(&self) -> Option<LiveInfo> {
        self.store.live().filter(|_| !self.ended())
    }

    /// How its texts may still change.
    pub fn growth(&self) -> Growth {
        if self.ended() {
            return Growth::Ended;
        }
        match self.store.live() {
            Some(live) if live.window_s > 0 => Growth::Sliding,
            _ => Growth::Event,
        }
    }

    /// Durations to announce. A live stream's were settled with its first segment; of a file, no segment may be longer than
    /// what was said, so the longest one counts (RFC 8216bis, section 4.4.3.1).
    pub fn timing(&self) -> Timing {
        if let Some(live) = self.store.live() {
            let target = if live.target_s > 0 { live.target_s } else { Timing::target_of(live.segment_ms) };
            return Timing { target, part_ms: live.part_ms };
        }
        let aim = Timing::target_of(self.stream.profile.segment_ms);
        let longest = self.store.renditions().iter().map(|r| longest_seconds(r)).fold(aim, u32::max);
        Timing { target: longest, part_ms: 0 }
    }

    /// Length that the packager aims at, in milliseconds.
    pub fn segment_ms(&self) -> u32 {
        self.store.live().map_or(self.stream.profile.segment_ms, |live| live.segment_ms)
    }

    /// The rates that a rendition announces.
    pub fn rates(&self, rendition: &Rendition) -> Rates {
        let (info, peak, average) =
            (rendition.info(), rendition.peak_bandwidth(), rendition.average_bandwidth());
        if self.ended() {
            Rates::measured(info, peak, average)
        } else if self.store.live().is_some() {
            Rates::live(info, info.name != PASSED_THROUGH, peak, average)
        } else {
            Rates::nominal(info)
        }
    }

    /// Every rendition as the manifest describes it.
    pub fn representations<'a>(&self, renditions: &'a [Arc<Rendition>]) -> Vec<Representation<'a>> {
        let windows: Vec<_> = renditions.iter().map(|r| r.window()).collect();
        let leading = self.leading(&windows);
        renditions
            .iter()
            .zip(windows)
            .map(|(r, window)| {
                let window = match &leading {
                    Some(leading) => align(window, leading),
                    None => window,
                };
                let inits = window.segments.iter().map(|s| s.init).chain(window.open.map(|open| open.init));
                let others = (1..=inits.max().unwrap_or(0)).map(|init| r.info_at(init)).collect();
                Representation { info: r.info(), others, window, rates: self.rates(r) }
            })
            .collect()
    }

    /// What a rendition lists, with discontinuities where the whole stream has them.
    pub fn window(&self, rendition: &Rendition) -> Arc<Window> {
        self.aligned(rendition.window(), &self.store.renditions())
    }

    /// The window of one of these renditions, with discontinuities where the whole stream has them.
    pub fn aligned(&self, window: Arc<Window>, renditions: &[Arc<Rendition>]) -> Arc<Window> {
        let windows: Vec<_> = renditions.iter().map(|r| r.window()).collect();
        match self.leading(&windows) {
            Some(leading) => align(window, &leading),
            None => window,
        }
    }

    fn leading(&self, windows: &[Arc<Window>]) -> Option<Arc<Window>> {
        self.store.live().and_then(|_| leading(windows))
    }

    /// Part of media names; another one when a stream is deleted and made again under the same id.
    pub fn generation(&self) -> String {
        generation_of(&self.stream)
    }

    /// What was rendered of it last.
    pub fn documents(&self, app: &App) -> Arc<Documents> {
        app.rendered.of(&self.stream.id, self.stream.created_ms)
    }

    /// What a text about all renditions depends on.
    pub fn version(&self, renditions: &[Arc<Rendition>]) -> Version {
        // The end first: what comes after it only makes lists longer, never a closed list incomplete.
        let ended = self.ended();
        Version {
            fronts: renditions.iter().map(|r| Front::of(&r.window())).collect(),
            rates: renditions.iter().map(|r| self.rates(r)).collect(),
            infos: Vec::new(),
            subtitles: subtitles::listed(self),
            ended,
        }
    }
}

/// Part of the names of a stream's media.
pub(super) fn generation_of(stream: &Stream) -> String {
    format!("{:x}", stream.created_ms)
}

fn longest_seconds(rendition: &Rendition) -> u32 {
    let timescale = u64::from(rendition.info().timescale.max(1));
    u32::try_from((rendition.longest() + timescale / 2) / timescale).unwrap_or(u32::MAX)
}

/// 503 for a stream that has nothing to play yet.
fn not_yet(stream: &Stream) -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not-yet-playable",
        "Not playable yet",
        format!(
            "The stream \"{}\" is {} and has no finished segment yet; ask again in a few seconds.",
            stream.id,
            stream.state.name()
        ),
    )
    .header(header::RETRY_AFTER, HeaderValue::from_static("2"))
}

fn failed(app: &App, stream: &Stream) -> Problem {
    // Why is told to everybody only where everybody may do everything.
    let why = match &stream.error {
        Some(why) if !app.gate.needs_token() => why,
        _ => "its admin sees why",
    };
    Problem::new(
        StatusCode::NOT_FOUND,
        "stream-failed",
        "The stream could not be made",
        format!("Packaging \"{}\" failed before there was anything to play: {why}", stream.id),
    )
}
