//! `/api/streams` and `/api/stream/...`

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::BytesRejection;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde_json::{Value, json};

use super::create::{Draft, Published, check_title, fingerprint, publish};
use super::live::{self, with_ingest};
use super::view::{SOURCES, StreamView, kind, view, whole_view};
use super::viewing;
use crate::app::{App, DeleteError};
use crate::catalog::{CatalogError, Made, RequestKey, State as StreamState, Stream};
use crate::deliver::extract::StreamId;
use crate::deliver::pass::Token;
use crate::http::problem::FieldError;
use crate::http::{Entity, Problem};
use crate::viewers::{Protocol, Viewers};

/// Streams on a page of the list, unless asked otherwise.
const PER_PAGE: usize = 50;
/// Pages that can be asked for.
const LAST_PAGE: usize = 1_000_000_000;
/// Most that can be asked for.
const MOST_PER_PAGE: usize = 200;

/// `GET /api/streams?state=&mode=&source=&protocol=&q=&page=&per_page=`
pub(super) async fn list(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let filter = Filter::parse(query.as_deref().unwrap_or(""))?;
    let admin = app.gate.is_admin(&headers);
    let viewers = Arc::clone(&app.viewers);
    let body = views(&app, admin, move |streams| {
        let matching: Vec<_> =
            streams.into_iter().filter(|stream| filter.matches(stream, &viewers)).collect();
        let total = matching.len();
        let from = (filter.page - 1).saturating_mul(filter.per_page);
        (matching.into_iter().skip(from).take(filter.per_page).collect(), (total, filter.page))
    })
    .await?;
    let (items, (total, page)) = body;
    let text = json!({"items": items, "total": total, "page": page}).to_string();
    Ok(Entity::json(text).answer(&method, &headers))
}

/// Views of the streams that `select` takes, made off the async threads since posters are looked for on disk.
pub(super) async fn views<T: Send + 'static>(
    app: &Arc<App>,
    admin: bool,
    select: impl FnOnce(Vec<Arc<Stream>>) -> (Vec<Arc<Stream>>, T) + Send + 'static,
) -> Result<(Vec<StreamView>, T), Problem> {
    let app = Arc::clone(app);
    tokio::task::spawn_blocking(move || {
        let (streams, rest) = select(listed(&app, admin));
        (streams.iter().map(|stream| view(&app, stream, admin)).collect(), rest)
    })
    .await
    .map_err(|_| Problem::internal("listing the streams"))
}

/// The streams that are listed: private ones for admins only.
pub(crate) fn listed(app: &App, admin: bool) -> Vec<Arc<Stream>> {
    let mut streams = app.catalog.list();
    if !admin && app.gate.needs_token() {
        streams.retain(|stream| stream.auth.is_none());
    }
    streams
}

struct Filter {
    state: Option<StreamState>,
    live: Option<bool>,
    source: Option<&'static str>,
    /// Somebody watches by it now.
    protocol: Option<Protocol>,
    words: Option<String>,
    page: usize,
    per_page: usize,
}

impl Filter {
    fn parse(query: &str) -> Result<Self, Problem> {
        let mut filter = Self {
            state: None,
            live: None,
            source: None,
            protocol: None,
            words: None,
            page: 1,
            per_page: PER_PAGE,
        };
        let unknown =
            |name: &str, known: &str| Problem::bad_request(format!("\"{name}\" must be one of {known}."));
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()).take(64) {
            match &*key {
                "state" if !value.is_empty() => {
                    let names = || StreamState::ALL.map(StreamState::name).join(", ");
                    filter.state =
                        Some(StreamState::parse(&value).ok_or_else(|| unknown("state", &names()))?);
                }
                "mode" if !value.is_empty() => {
                    filter.live = Some(match &*value {
                        "live" => true,
                        "vod" => false,
                        _ => return Err(unknown("mode", "vod, live")),
                    });
                }
                "source" if !value.is_empty() => {
                    let known = SOURCES.into_iter().find(|known| *known == value);
                    filter.source = Some(known.ok_or_else(|| unknown("source", &SOURCES.join(", ")))?);
                }
                "protocol" if !value.is_empty() => {
                    filter.protocol = Some(match &*value {
                        "hls" => Protocol::Hls,
                        "dash" => Protocol::Dash,
                        "progressive" => Protocol::Progressive,
                        _ => return Err(unknown("protocol", "hls, dash, progressive")),
                    });
                }
                "q" => filter.words = Some(value.to_lowercase()),
                "page" => filter.page = positive(&value, "page", LAST_PAGE)?,
                "per_page" => filter.per_page = positive(&value, "per_page", MOST_PER_PAGE)?,
                _ => {}
            }
        }
        Ok(filter)
    }

    fn matches(&self, stream: &Stream, viewers: &Viewers) -> bool {
        let words = self.words.as_deref().unwrap_or("");
        let watched_by = |protocol| {
            let by = viewers.count(&stream.id).by_protocol;
            0 < match protocol {
                Protocol::Hls => by.hls,
                Protocol::Dash => by.dash,
                Protocol::Progressive => by.progressive,
            }
        };
        self.state.is_none_or(|state| state == stream.state)
            && self.live.is_none_or(|live| live == stream.live.is_some())
            && self.source.is_none_or(|source| source == kind(&stream.source))
            && self.protocol.is_none_or(watched_by)
            && (stream.id.contains(words) || stream.title.to_lowercase().contains(words))
    }
}

fn positive(text: &str, name: &str, most: usize) -> Result<usize, Problem> {
    match text.parse() {
        Ok(value) if (1..=most).contains(&value) => Ok(value),
        _ => Err(Problem::bad_request(format!("\"{name}\" must be 1 to {most}."))),
    }
}

/// `POST /api/stream/create`
pub(super) async fn create(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = json_body(&headers, body)?;
    let draft = Draft::parse(&body)?;
    let key = match headers.get("idempotency-key") {
        None => None,
        Some(key) => {
            let key = key.to_str().ok().filter(|key| (1..=128).contains(&key.len()));
            let why = || Problem::bad_request("Idempotency-Key must be 1 to 128 visible ASCII characters.");
            Some(RequestKey { key: key.ok_or_else(why)?.to_owned(), request: fingerprint(&body) })
        }
    };
    let Published { stream, made, key } = publish(&app, draft, key).await?;
    let status = if made == Made::New { StatusCode::CREATED } else { StatusCode::OK };
    let body = with_ingest(&app, &stream, &headers, key.as_ref());
    let mut response = (status, [(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/api/stream/{}", stream.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// `GET /api/stream/{id}`
pub(super) async fn one(
    State(app): State<Arc<App>>,
    StreamId(id): StreamId,
    token: Option<Extension<Token>>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let stream = app.catalog.get(&id).ok_or_else(|| Problem::no_stream(&id))?;
    let body = match app.gate.is_admin(&headers) {
        true => with_ingest(&app, &stream, &headers, None),
        false => {
            let mut view = whole_view(&app, &stream, false);
            if let Some(Token(token)) = token.as_deref() {
                view.through(token);
            }
            json!(view)
        }
    };
    let text = body.to_string();
    Ok(Entity::json(text).answer(&method, &headers))
}

/// `PATCH /api/stream/{id}`: a merge patch (RFC 7396) of the title and of a live stream's settings. What a running
/// session cannot follow is named in `needs_restart`.
pub(super) async fn patch(
    State(app): State<Arc<App>>,
    StreamId(id): StreamId,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = json_body(&headers, body)?;
    let Some(body) = body.as_object() else {
        return Err(Problem::bad_request("The body must be a JSON object."));
    };
    let before = app.catalog.get(&id).ok_or_else(|| Problem::no_stream(&id))?;
    let mut errors = Vec::new();
    let mut title = None;
    let mut settings = live::Patch::default();
    let mut auth = None;
    let has_media = app.media(&id).is_some();
    for (name, value) in body {
        if let Some(taken) = settings.take(name, value, &before, has_media) {
            errors.extend(taken.err());
            continue;
        }
        match (name.as_str(), value) {
            ("title", Value::String(text)) if !text.trim().is_empty() => {
                errors.extend(check_title(text).err());
                title = Some(text.trim().to_owned());
            }
            ("auth", value) => auth = viewing::read(value, &before, &mut errors),
            ("title", _) => errors.push(FieldError::new("title", "must be a string that is not empty")),
            _ => errors.push(FieldError::new(
                "body",
                "only the title and auth, and of a live stream dvr_s, latency, record, takeover and profile, can be changed; create \
                 another stream instead",
            )),
        }
    }
    if !errors.is_empty() {
        return Err(Problem::fields(&errors));
    }
    let auth = match auth {
        Some(wanted) => Some(wanted.settle(&before).await?),
        None => None,
    };
    let key = auth.as_ref().and_then(|auth| auth.key.clone());
    let change = move |stream: &mut Stream| {
        if let Some(title) = title {
            stream.title = title;
        }
        if let Some(auth) = auth {
            auth.apply(stream);
        }
        settings.apply(stream);
    };
    let stream = match body.is_empty() {
        true => Arc::clone(&before),
        false => app.catalog.update(&id, change).await.map_err(|error| catalog_problem(&error))?,
    };
    app.live_settings_changed(&stream);
    let mut answer = with_ingest(&app, &stream, &headers, key.as_ref());
    answer["needs_restart"] = live::Patch::needs_restart(&before, &stream).into();
    Ok(axum::Json(answer).into_response())
}

/// `DELETE /api/stream/{id}`
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    StreamId(id): StreamId,
) -> Result<StatusCode, Problem> {
    match app.delete(&id).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(DeleteError::Catalog(error)) => Err(catalog_problem(&error)),
        Err(error @ DeleteError::Busy(_)) => {
            Err(Problem::new(StatusCode::CONFLICT, "busy", "Still packaging", format!("{error}.")))
        }
        Err(error) => {
            tracing::error!(stream = id, %error, "cannot delete a stream");
            Err(Problem::internal("deleting the stream's files"))
        }
    }
}

pub(super) fn catalog_problem(error: &CatalogError) -> Problem {
    match error {
        CatalogError::Missing(id) => Problem::no_stream(id),
        error => {
            tracing::error!(%error, "the catalogue failed");
            Problem::internal("changing the catalogue")
        }
    }
}

/// A JSON body that says that it is one. The type is demanded because a web page may send any other to us without
/// asking first.
pub(super) fn json_body(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Value, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if kind != "application/json" && !(kind.starts_with("application/") && kind.ends_with("+json")) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "Not JSON",
            "Send the body as Content-Type: application/json.",
        ));
    }
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let limit = super::JSON_LIMIT;
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-large",
                "The body is too large",
                format!("A JSON body may have at most {limit} bytes."),
            )
        }
        _ => Problem::bad_request("The body could not be read to its end."),
    })?;
    serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_request(format!("The body is not JSON: {error}.")))
}
