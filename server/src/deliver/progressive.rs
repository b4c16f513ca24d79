//! `/stream/{id}` for everything that is not a browser: one fragmented MP4 that follows the packaging, of a live stream from
//! the newest key frame on.

mod fragment;
mod track;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Method, header};
use axum::response::Response;
use bytes::Bytes;
use tokio::sync::watch;

use super::extract::Client;
use super::found::Found;
use crate::app::App;
use crate::catalog::State;
use crate::http::Problem;
use crate::package::muxed_init;
use crate::store::{Edge, Rendition, StreamStore, TrackKind};
use crate::viewers::{Presence, Protocol};
use track::{Step, Track, newest_start};

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
    let found = Found::playable(app, id, client).await?;
    let renditions = found.store.renditions();
    let video = choose(&renditions, rung)?;
    let audio =
        renditions.iter().find(|r| r.info().kind == TrackKind::Audio && r.name() != video.name()).cloned();
    let renditions: Vec<_> = std::iter::once(video).chain(audio).collect();
    let tracks = if found.on_air().is_some() {
        let start = newest_start(&renditions);
        renditions.iter().map(|r| Track::at(Arc::clone(r), start)).collect()
    } else {
        renditions.iter().map(|r| Track::from_start(Arc::clone(r))).collect::<Vec<_>>()
    };
    let init = init_of(&tracks).map_err(|error| {
        tracing::error!(stream = id, %error, "cannot mux the init segments");
        Problem::internal("joining sound and picture")
    })?;
    let body = if *method == Method::HEAD {
        // Nothing is sent, and no length is promised.
        Body::from_stream(futures_util::stream::empty::<io::Result<Bytes>>())
    } else {
        if let Some(peer) = &client.peer {
            peer.timers.allow_stall(PAUSE);
        }
        let presence = app.viewers.hold(id, &client.who, Protocol::Progressive);
        let edge = found.store.edge();
        let sender = Sender {
            app: Arc::clone(app),
            store: Arc::clone(&found.store),
            edge,
            begin_ns: tracks.iter().map(Track::position).min().unwrap_or(0),
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

/// One init segment for all tracks.
fn init_of(tracks: &[Track]) -> Result<Bytes, crate::package::PackageError> {
    let inits: Vec<_> = tracks.iter().map(Track::init).collect();
    match inits.as_slice() {
        [video, audio] => muxed_init(video, audio),
        one => Ok(one.first().cloned().unwrap_or_default()),
    }
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

/// Sends the tracks' fragments in the order of their times.
struct Sender {
    app: Arc<App>,
    store: Arc<StreamStore>,
    edge: watch::Receiver<Edge>,
    tracks: Vec<Track>,
    /// The stream's time that is 0 for who reads: a player that is told to play ten seconds does not look for them at the
    /// stream's own beginning.
    begin_ns: u128,
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
            if edge.complete || state == State::Failed {
                // A track may be shorter than the other: what is there is sent, then it is over.
                self.tracks.retain_mut(|track| !matches!(track.step(), Step::Wait));
            }
            let Some(track) = self.tracks.iter_mut().min_by_key(|track| track.position()) else {
                return Ok(None);
            };
            match track.step() {
                Step::Wait => {
                    tokio::select! {
                        _ = self.edge.changed() => {}
                        _ = changes.changed() => {}
                        () = self.app.stop.cancelled() => {
                            return Err(io::Error::other("the server is stopping"));
                        }
                    }
                }
                step @ (Step::Segment(_) | Step::Part(_) | Step::Rest(_)) => {
                    let earlier = track.ticks_at(self.begin_ns);
                    for fragment in track.take(step, &self.store).await? {
                        self.sequence += 1;
                        self.ready.extend(fragment::moved(&fragment, self.sequence, earlier)?);
                    }
                }
                // Another codec needs another init segment, which one file cannot have: it ends here.
                Step::OtherInit => return Ok(None),
                Step::Lost => {
                    // The reader was away for longer than the window: it goes on where the stream is now.
                    let renditions: Vec<_> = self.tracks.iter().map(|t| Arc::clone(t.rendition())).collect();
                    let start = newest_start(&renditions);
                    let inits: Vec<_> = self.tracks.iter().map(Track::init_index).collect();
                    self.tracks = renditions.into_iter().map(|r| Track::at(r, start)).collect();
                    if self.tracks.iter().map(Track::init_index).ne(inits) {
                        return Ok(None);
                    }
                }
            }
        }
    }
}
