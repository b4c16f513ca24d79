//! `/stream/{id}` for everything that is not a browser: one fragmented MP4 that follows the packaging.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Method, header};
use axum::response::Response;
use bytes::Bytes;
use tokio::sync::watch;

use super::Found;
use super::extract::Client;
use crate::app::App;
use crate::catalog::State;
use crate::http::Problem;
use crate::package::{muxed_init, with_sequence};
use crate::store::{Edge, Rendition, StreamStore, TrackKind};
use crate::viewers::{Presence, Protocol};

/// A paused player stops reading: its connection may rest this long.
const PAUSE: Duration = Duration::from_secs(600);

/// Without a wish the best rung up to this many lines is sent: one that every machine decodes.
const DEFAULT_LINES: u32 = 720;

/// The answer: chunked, without a length, to the end of the stream. `rung` is a rendition's name.
///
/// # Errors
/// As [`Found::playable`]; 404 when there is no rung of that name.
pub async fn progressive(
    app: &Arc<App>,
    id: &str,
    rung: Option<&str>,
    method: &Method,
    client: &Client,
) -> Result<Response, Problem> {
    let found = Found::playable(app, id).await?;
    let renditions = found.store.renditions();
    let video = choose(&renditions, rung)?;
    let audio =
        renditions.iter().find(|r| r.info().kind == TrackKind::Audio && r.name() != video.name()).cloned();
    let init = match &audio {
        Some(audio) => muxed_init(&first_init(&video), &first_init(audio)).map_err(|error| {
            tracing::error!(stream = id, %error, "cannot mux the init segments");
            Problem::internal("joining sound and picture")
        })?,
        None => first_init(&video),
    };
    let body = if *method == Method::HEAD {
        Body::empty()
    } else {
        if let Some(peer) = &client.peer {
            peer.timers.allow_stall(PAUSE);
        }
        let presence = app.viewers.hold(id, &client.who, Protocol::Progressive);
        let edge = found.store.edge();
        let tracks =
            std::iter::once(video).chain(audio).map(|rendition| Track { rendition, next: 1 }).collect();
        let sender = Sender {
            app: Arc::clone(app),
            store: Arc::clone(&found.store),
            edge,
            tracks,
            sequence: 0,
            ready: VecDeque::from([init]),
            _presence: presence,
        };
        Body::from_stream(futures_util::stream::try_unfold(sender, |mut sender| async move {
            Ok::<_, io::Error>(sender.next().await?.map(|bytes| (bytes, sender)))
        }))
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("video/mp4"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("none"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    if let Ok(value) = HeaderValue::from_str(&format!("inline; filename=\"{id}.mp4\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

fn first_init(rendition: &Rendition) -> Bytes {
    rendition.init(0).unwrap_or_default()
}

fn choose(renditions: &[Arc<Rendition>], rung: Option<&str>) -> Result<Arc<Rendition>, Problem> {
    let video = || renditions.iter().filter(|r| r.info().kind == TrackKind::Video);
    let chosen = match rung {
        Some(name) => renditions.iter().find(|r| r.name() == name),
        None => video()
            .rfind(|r| r.info().width.min(r.info().height) <= DEFAULT_LINES)
            .or_else(|| video().next())
            .or_else(|| renditions.first()),
    };
    chosen.cloned().ok_or_else(|| {
        let names: Vec<_> = renditions.iter().map(|r| r.name()).collect();
        Problem::not_found(format!("There is no rung of that name; there are {}.", names.join(", ")))
    })
}

struct Track {
    rendition: Arc<Rendition>,
    next: u32,
}

impl Track {
    /// Start of the next segment in nanoseconds, known as soon as the one before it is.
    fn next_start(&self) -> u128 {
        let segments = self.rendition.segments();
        let before = (self.next as usize).checked_sub(2).and_then(|at| segments.get(at));
        let ticks = before.map_or(0, |s| s.start + s.duration);
        u128::from(ticks) * 1_000_000_000 / u128::from(self.rendition.info().timescale.max(1))
    }

    fn is_there(&self) -> bool {
        self.next as usize <= self.rendition.len()
    }
}

/// Sends the tracks' segments in the order of their times.
struct Sender {
    app: Arc<App>,
    store: Arc<StreamStore>,
    edge: watch::Receiver<Edge>,
    tracks: Vec<Track>,
    sequence: u32,
    ready: VecDeque<Bytes>,
    _presence: Option<Presence>,
}

impl Sender {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Ok(Some(bytes));
            }
            let mut changes = self.app.catalog.changes();
            let edge = *self.edge.borrow_and_update();
            // The catalogue forgets a stream before the store does: either tells.
            let state = self.app.catalog.get(self.store.id()).map(|stream| stream.state);
            let Some(state) = state.filter(|_| !edge.removed) else {
                return Err(io::Error::other("the stream was deleted"));
            };
            let ended = edge.complete || state == State::Failed;
            if ended {
                // A track may be shorter than the other: what is there is sent, then it is over.
                self.tracks.retain(Track::is_there);
                if self.tracks.is_empty() {
                    return Ok(None);
                }
            }
            let Some(track) = self.tracks.iter_mut().min_by_key(|track| track.next_start()) else {
                return Ok(None);
            };
            if track.is_there() {
                let segment = self.store.read_segment(track.rendition.name(), track.next).await?;
                track.next += 1;
                self.sequence += 1;
                self.ready.extend(with_sequence(&segment, self.sequence).map_err(io::Error::other)?);
                continue;
            }
            tokio::select! {
                _ = self.edge.changed() => {}
                _ = changes.changed() => {}
                () = self.app.stop.cancelled() => return Err(io::Error::other("the server is stopping")),
            }
        }
    }
}
