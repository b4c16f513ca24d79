//! Handlers for playlists, manifests, segments and the poster.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;

use super::extract::{Client, MediaPath, StreamId};
use super::hls::{self, MediaName, RenditionView};
use super::{Found, dash};
use crate::app::App;
use crate::catalog::unix_ms;
use crate::http::{Entity, Problem};
use crate::store::{Rendition, TrackKind};
use crate::viewers::Protocol;

/// Cache time of a text that will change: a quarter of the usual segment length.
const GROWING: &str = "public, max-age=1";
/// Cache time of one that will not, unless the stream is deleted.
const ENDED: &str = "public, max-age=30";

/// `GET /stream/{id}/hls/master.m3u8`
pub(super) async fn multivariant(
    State(app): State<Arc<App>>,
    StreamId(id): StreamId,
    method: Method,
    headers: HeaderMap,
    client: Client,
) -> Result<Response, Problem> {
    let found = Found::playable(&app, &id).await?;
    let renditions = found.store.renditions();
    let ended = found.ended();
    let entity = app.rendered.get(&id, "master", (renditions.len(), ended, found.generation()), || {
        let views: Vec<_> = renditions.iter().map(|r| RenditionView::of(r, ended)).collect();
        Entity::text(hls::multivariant(&views), hls::CONTENT_TYPE).cache(cache(ended))
    });
    saw_playlist(&app, &id, &method, &client);
    Ok(entity.answer(&method, &headers))
}

/// `GET /stream/{id}/hls/{rendition}/{file}`
pub(super) async fn hls_file(
    State(app): State<Arc<App>>,
    StreamId(id): StreamId,
    path: MediaPath,
    method: Method,
    headers: HeaderMap,
    client: Client,
) -> Result<Response, Problem> {
    let found = Found::now(&app, &id)?;
    let rendition = rendition(&found, &path.rendition)?;
    if path.file != "index.m3u8" {
        return file(&app, &found, &rendition, &path.file, Protocol::Hls, &method, &headers, &client).await;
    }
    // The state first: segments that come after it only make the list longer, never a closed list incomplete.
    let ended = found.ended();
    let generation = found.generation();
    let version = (rendition.len(), ended, generation.clone());
    let entity = app.rendered.get(&id, rendition.name(), version, || {
        let text = hls::media(&rendition, &generation, found.stream.profile.segment_ms, ended);
        Entity::text(text, hls::CONTENT_TYPE).cache(cache(ended))
    });
    saw_playlist(&app, &id, &method, &client);
    Ok(entity.answer(&method, &headers))
}

/// `GET /stream/{id}/dash/manifest.mpd`
pub(super) async fn manifest(
    State(app): State<Arc<App>>,
    StreamId(id): StreamId,
    method: Method,
    headers: HeaderMap,
    client: Client,
) -> Result<Response, Problem> {
    let found = Found::playable(&app, &id).await?;
    let (renditions, ended, generation) = (found.store.renditions(), found.ended(), found.generation());
    let segments = renditions.iter().map(|r| r.len()).sum();
    let entity = app.rendered.get(&id, "manifest", (segments, ended, generation.clone()), || {
        let text = dash::manifest(&dash::ManifestInput {
            renditions: &renditions,
            generation: &generation,
            target_seconds: hls::target_seconds(found.stream.profile.segment_ms),
            ended,
            started_ms: found.stream.created_ms,
            now_ms: unix_ms(),
        });
        Entity::text(text, dash::CONTENT_TYPE).cache(cache(ended))
    });
    saw_playlist(&app, &id, &method, &client);
    Ok(entity.answer(&method, &headers))
}

/// `GET /stream/{id}/dash/{rendition}/{file}`
pub(super) async fn dash_file(
    State(app): State<Arc<App>>,
    StreamId(id): StreamId,
    path: MediaPath,
    method: Method,
    headers: HeaderMap,
    client: Client,
) -> Result<Response, Problem> {
    let found = Found::now(&app, &id)?;
    let rendition = rendition(&found, &path.rendition)?;
    file(&app, &found, &rendition, &path.file, Protocol::Dash, &method, &headers, &client).await
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

fn cache(ended: bool) -> &'static str {
    if ended { ENDED } else { GROWING }
}

fn rendition(found: &Found, name: &str) -> Result<Arc<Rendition>, Problem> {
    found.store.rendition(name).ok_or_else(|| {
        Problem::not_found(format!("The stream \"{}\" has no rendition of that name (yet).", found.stream.id))
    })
}

fn saw_playlist(app: &App, id: &str, method: &Method, client: &Client) {
    if method == Method::GET {
        app.viewers.playlist(id, &client.who);
    }
}

/// An init segment or a media segment.
#[expect(
    clippy::too_many_arguments,
    reason = "one call from each protocol's handler, with what it was given"
)]
async fn file(
    app: &App,
    found: &Found,
    rendition: &Rendition,
    name: &str,
    protocol: Protocol,
    method: &Method,
    headers: &HeaderMap,
    client: &Client,
) -> Result<Response, Problem> {
    let id = &found.stream.id;
    let generation = found.generation();
    let unknown = || {
        Problem::not_found("There is no such media file; playlists list those that exist.")
            .header(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=1"))
    };
    let wanted = hls::parse_name(name, &generation).ok_or_else(unknown)?;
    let (bytes, number) = match wanted {
        MediaName::Init => (rendition.init(0).unwrap_or_default(), 0),
        MediaName::Segment(number) => match found.store.read_segment(rendition.name(), number).await {
            Ok(bytes) => (bytes, number),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(unknown()),
            Err(error) => {
                tracing::error!(stream = id, rendition = rendition.name(), number, %error, "cannot read a segment");
                return Err(Problem::internal("reading a segment"));
            }
        },
    };
    let tag = format!("{generation}-{}-{number}-{:x}", rendition.name(), bytes.len());
    let mime = match rendition.info().kind {
        TrackKind::Video => "video/mp4",
        TrackKind::Audio => "audio/mp4",
    };
    let response = Entity::media(bytes, tag, mime).answer(method, headers);
    let delivered =
        matches!(response.status(), StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED);
    if method == Method::GET && delivered {
        match wanted {
            MediaName::Init => app.viewers.init(id, &client.who, protocol),
            MediaName::Segment(_) => {
                app.viewers.media(id, &client.who, protocol);
            }
        }
    }
    Ok(response)
}
