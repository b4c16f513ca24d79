//! Handlers for media files: init segments, segments, parts, segments in progress, the poster.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;

use super::extract::{Client, MediaPath, StreamId};
use super::found::Found;
use super::front::Front;
use super::names::{MediaName, parse_name};
use super::{hold, playlists, subtitles};
use crate::app::App;
use crate::catalog::valid_id;
use crate::http::{Backing, Entity, Problem};
use crate::store::{Cached, Growing, Rendition, TrackKind};
use crate::viewers::Protocol;

/// `GET /stream/{id}/{hls|dash}/{rendition}/{file}` by way of the routes.
pub(super) async fn file(
    State(app): State<Arc<App>>,
    StreamId(id): StreamId,
    path: MediaPath,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
    client: Client,
) -> Result<Response, Problem> {
    let MediaPath { protocol, rendition, file } = &path;
    let wanted = Wanted { protocol: *protocol, id: &id, rendition, file, query: query.as_deref() };
    wanted.find(&app, &method, &headers, &client).await
}

/// A file of a rendition, as a path names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'a> {
    protocol: Protocol,
    id: &'a str,
    rendition: &'a str,
    file: &'a str,
    query: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    /// Reads an address as our own texts spell it: nothing in it needs decoding. `None` for every other.
    pub fn read(uri: &'a Uri) -> Option<Self> {
        let path = uri.path().strip_prefix("/stream/").filter(|path| !path.contains('%'))?;
        let mut parts = path.split('/');
        let (id, protocol) = (parts.next()?, parts.next()?);
        let (rendition, file) = (parts.next()?, parts.next()?);
        if parts.next().is_some() || !valid_id(id) || rendition.is_empty() || file.is_empty() {
            return None;
        }
        Some(Self { protocol: protocol_of(protocol)?, id, rendition, file, query: uri.query() })
    }

    /// The stream that it is of.
    pub fn id(&self) -> &'a str {
        self.id
    }

    /// The answer to GET or HEAD.
    ///
    /// # Errors
    /// 404 when there is none, 503 when it is still to come, 400 for directives that make no sense.
    pub async fn find(
        self,
        app: &App,
        method: &Method,
        headers: &HeaderMap,
        client: &Client,
    ) -> Result<Response, Problem> {
        let found = Found::now(app, self.id)?;
        if let Some(track) = subtitles::track(&found, self.rendition) {
            return subtitles::file(&found, track, self.file, method, headers).await;
        }
        match (self.protocol, self.file) {
            (Protocol::Hls, "index.m3u8") => {
                let rendition = found.rendition(self.rendition)?;
                playlists::media(app, &found, &rendition, self.query, method, headers, client).await
            }
            (Protocol::Hls, "iframes.m3u8") => {
                let rendition = found.rendition(self.rendition)?;
                playlists::key_frames(app, &found, &rendition, method, headers, client).await
            }
            (protocol, name) => {
                // Who is behind still reads what the stream has no more.
                let rendition = match found.store.retired_rendition(self.rendition) {
                    Some(retired) => retired,
                    None => found.rendition(self.rendition)?,
                };
                let asked = Asked { app, found: &found, rendition: &rendition, protocol };
                asked.file(name, method, headers, client).await
            }
        }
    }
}

/// The protocol whose files are below `/stream/{id}/{folder}/`.
pub(super) fn protocol_of(folder: &str) -> Option<Protocol> {
    match folder {
        "hls" => Some(Protocol::Hls),
        "dash" => Some(Protocol::Dash),
        _ => None,
    }
}

/// `GET /stream/{id}/poster.jpg`
pub(super) async fn poster(
    State(app): State<Arc<App>>,
    StreamId(id): StreamId,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = Found::now(&app, &id)?;
    let store = Arc::clone(&found.store);
    let jpeg = tokio::task::spawn_blocking(move || store.poster())
        .await
        .map_err(|_| Problem::internal("reading the poster"))?
        .ok_or_else(|| Problem::not_found(format!("The stream \"{id}\" has no poster yet.")))?;
    let tag = crate::http::entity::hash_tag(&jpeg);
    Ok(Entity::media(jpeg, tag, "image/jpeg").cache("public, max-age=60").answer(&method, &headers))
}

/// Whose file is asked for, and by which protocol.
struct Asked<'a> {
    app: &'a App,
    found: &'a Found,
    rendition: &'a Arc<Rendition>,
    protocol: Protocol,
}

/// A file as it is now.
enum File {
    Whole(Entity),
    InProgress(Growing),
}

impl Asked<'_> {
    async fn file(
        &self,
        name: &str,
        method: &Method,
        headers: &HeaderMap,
        client: &Client,
    ) -> Result<Response, Problem> {
        let generation = self.found.generation();
        let wanted = parse_name(name, &generation).ok_or_else(|| self.no_such_file())?;
        let file = match wanted {
            MediaName::Init(index) => self.init(index)?,
            MediaName::Segment(number) => self.segment(number, client).await?,
            MediaName::At(start) => {
                let number = self.rendition.number_at(start).ok_or_else(|| self.no_such_file())?;
                self.segment(number, client).await?
            }
            MediaName::Part(segment, part) => self.part(segment, part, client).await?,
        };
        let response = match file {
            File::Whole(entity) => entity.answer(method, headers),
            File::InProgress(growing) => self.in_progress(growing),
        };
        let delivered = matches!(
            response.status(),
            StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED
        );
        if *method == Method::GET && delivered {
            let id = &self.found.stream.id;
            match wanted {
                MediaName::Init(_) => self.app.viewers.init(id, &client.who, self.protocol),
                MediaName::Segment(_) | MediaName::At(_) | MediaName::Part(..) => {
                    self.app.viewers.media(id, &client.who, self.protocol);
                }
            }
        }
        Ok(response)
    }

    fn init(&self, index: u32) -> Result<File, Problem> {
        let bytes = self.rendition.init(index).ok_or_else(|| self.no_such_file())?;
        Ok(self.whole(bytes, format_args!("i{index}")))
    }

    async fn segment(&self, number: u32, client: &Client) -> Result<File, Problem> {
        let name = self.rendition.name();
        // The one in progress first: when it is finished in between, it is still there, and whole.
        if self.rendition.segment(number).is_none()
            && let Some(growing) = self.rendition.open_segment(number)
        {
            return Ok(match growing.finished() {
                Some(bytes) => self.whole(bytes, format_args!("{number}")),
                None => File::InProgress(growing),
            });
        }
        match self.found.store.read_segment_to_send(name, number).await {
            Ok(Cached { bytes, file }) => {
                if let (Some(file), Some(peer)) = (file, client.peer.as_ref().filter(|peer| peer.plain)) {
                    peer.timers.send_from(Backing::new(bytes.clone(), file));
                }
                Ok(self.whole(bytes, format_args!("{number}")))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(self.no_such_file()),
            Err(error) => Err(self.unreadable(number, &error)),
        }
    }

    fn unreadable(&self, number: u32, error: &io::Error) -> Problem {
        let (stream, rendition) = (&self.found.stream.id, self.rendition.name());
        tracing::error!(stream, rendition, number, %error, "cannot read a segment");
        Problem::internal("reading a segment")
    }

    /// A part that is there, or the one that the preload hint names as soon as it is. Nothing of a part is sent before all of
    /// it can be: a client measures its line by it.
    async fn part(&self, segment: u32, part: u32, client: &Client) -> Result<File, Problem> {
        let look = || {
            // The front before the bytes: a part that comes in between is then there.
            let next = Front::of(&self.rendition.window()).next_part();
            match self.rendition.part_bytes(segment, part) {
                Some(bytes) => Some(Ok(self.whole(bytes, format_args!("{segment}.{part}")))),
                None if next == (segment, part) && !self.found.store.is_complete() => None,
                None => Some(Err(self.no_such_file())),
            }
        };
        match look() {
            None => {}
            Some(Ok(there)) => return Ok(there),
            Some(Err(problem)) => {
                return match self.found.store.read_part(self.rendition, segment, part).await {
                    Ok(Some(bytes)) => Ok(self.whole(bytes, format_args!("{segment}.{part}"))),
                    Ok(None) => Err(problem),
                    Err(error) => Err(self.unreadable(segment, &error)),
                };
            }
        }
        if self.found.on_air().is_none_or(|live| live.part_ms == 0) {
            return Err(self.no_such_file());
        }
        let id = &self.found.stream.id;
        let _place = self.app.holds.take(id, client.address)?;
        let longest = self.found.timing().longest_hold();
        let (changes, removed) = (self.rendition.changes(), || self.found.store.is_removed());
        match hold::wait(changes, removed, &self.app.stop, longest, look).await {
            Ok(result) => result,
            Err(why) => Err(hold::in_vain(why, id, longest)),
        }
    }

    fn whole(&self, bytes: bytes::Bytes, name: std::fmt::Arguments<'_>) -> File {
        let (generation, rendition, length) = (self.found.generation(), self.rendition.name(), bytes.len());
        let tag = format_args!("{generation}-{rendition}-{name}-{length:x}");
        File::Whole(Entity::media(bytes, tag, self.mime()))
    }

    /// Chunked, without a length: each chunk as soon as it is there, to the segment's end. Of an answer to HEAD nothing is
    /// ever read.
    fn in_progress(&self, growing: Growing) -> Response {
        let stop = self.app.stop.clone();
        let body = Body::from_stream(futures_util::stream::try_unfold(growing, move |mut growing| {
            let stop = stop.clone();
            async move {
                let next = tokio::select! {
                    next = growing.next() => next,
                    () = stop.cancelled() => return Err(io::Error::other("the server is stopping")),
                };
                match next {
                    Some(chunk) => Ok(Some((chunk, growing))),
                    None if growing.finished().is_some() => Ok(None),
                    None => Err(io::Error::other("the segment was given up")),
                }
            }
        }));
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.mime()));
        // What is cached is the finished segment: a body that is cut short is not complete, and is not kept.
        headers
            .insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("none"));
        response
    }

    fn mime(&self) -> &'static str {
        match self.rendition.info().kind {
            TrackKind::Video => "video/mp4",
            TrackKind::Audio => "audio/mp4",
        }
    }

    fn no_such_file(&self) -> Problem {
        self.found.unknown("There is no such media file (any more); playlists list those that exist.")
    }
}
