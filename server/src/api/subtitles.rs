//! `/api/stream/{id}/subtitles/{lang}`

use std::sync::Arc;

use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde_json::{Value, json};

use super::create::check_title;
use crate::app::App;
use crate::catalog::Stream;
use crate::deliver::extract::StreamId;
use crate::deliver::subtitle_address;
use crate::http::Problem;
use crate::http::problem::FieldError;
use crate::ingest::subtitles::{MOST_BYTES, language, parse};
use crate::store::{StreamStore, TextTrack};

/// Languages that a stream may have.
pub(super) const MOST_LANGUAGES: usize = 50;

/// `GET /api/stream/{id}/subtitles`
pub(super) async fn list(State(app): State<Arc<App>>, StreamId(id): StreamId) -> Result<Response, Problem> {
    let stream = app.catalog.get(&id).ok_or_else(|| Problem::no_stream(&id))?;
    let list =
        |store: Arc<StreamStore>| store.subtitles().iter().map(|track| shown(&stream, track)).collect();
    let items: Vec<_> = app.media(&id).map(list).unwrap_or_default();
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(json!({"items": items}))).into_response())
}

/// `PUT /api/stream/{id}/subtitles/{lang}?label=&default=`: a WebVTT or SubRip file as the body.
pub(super) async fn put(
    State(app): State<Arc<App>>,
    StreamId(id): StreamId,
    Path((_, lang)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let stream = app.catalog.get(&id).ok_or_else(|| Problem::no_stream(&id))?;
    let lang = tag(&lang)?;
    let (mut label, mut default) = (None, false);
    for (key, value) in url::form_urlencoded::parse(query.as_deref().unwrap_or("").as_bytes()).take(16) {
        match &*key {
            "label" if !value.trim().is_empty() => {
                check_title(&value)
                    .map_err(|error| Problem::fields(&[FieldError::new("label", error.detail)]))?;
                label = Some(value.trim().replace('"', "'"));
            }
            "default" => default = value != "false" && value != "0",
            _ => {}
        }
    }
    let body = body.map_err(|_| too_large())?;
    let store = open(&app, &id).await?;
    let known = store.subtitles();
    if known.len() >= MOST_LANGUAGES && !known.iter().any(|track| track.lang == lang) {
        let why = format!("the stream has {MOST_LANGUAGES} languages already; delete one first");
        return Err(Problem::fields(&[FieldError::new("lang", why)]));
    }
    let fresh = !known.iter().any(|track| track.lang == lang);
    let track = tokio::task::spawn_blocking(move || {
        let found =
            parse(&body).map_err(|error| Problem::fields(&[FieldError::new("body", error.to_string())]))?;
        let label = label.unwrap_or_else(|| lang.clone());
        let track = TextTrack { label, default, end_ms: found.end_ms, lang, version: 0, bytes: 0 };
        let lang = track.lang.clone();
        store.put_subtitles(track, &found.vtt).map_err(|error| {
            tracing::error!(stream = store.id(), %error, "cannot store subtitles");
            Problem::internal("storing the subtitles")
        })?;
        Ok::<_, Problem>(
            store.subtitles().iter().find(|track| track.lang == lang).map(|track| shown(&stream, track)),
        )
    })
    .await
    .map_err(|_| Problem::internal("reading the subtitles"))??;
    let status = if fresh { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, axum::Json(track)).into_response())
}

/// `DELETE /api/stream/{id}/subtitles/{lang}`
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    StreamId(id): StreamId,
    Path((_, lang)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    app.catalog.get(&id).ok_or_else(|| Problem::no_stream(&id))?;
    let lang = tag(&lang)?;
    let none = || Problem::not_found("The stream has no subtitles in that language.");
    let store = app.media(&id).ok_or_else(none)?;
    let gone = tokio::task::spawn_blocking(move || store.remove_subtitles(&lang)).await;
    match gone {
        Ok(Ok(true)) => Ok(StatusCode::NO_CONTENT),
        Ok(Ok(false)) => Err(none()),
        Ok(Err(error)) => {
            tracing::error!(stream = id, %error, "cannot delete subtitles");
            Err(Problem::internal("deleting the subtitles"))
        }
        Err(_) => Err(Problem::internal("deleting the subtitles")),
    }
}

/// A track as the API shows it.
pub(super) fn shown(stream: &Stream, track: &TextTrack) -> Value {
    json!({
        "lang": track.lang,
        "label": track.label,
        "default": track.default,
        "end_s": track.end_ms as f64 / 1000.0,
        "bytes": track.bytes,
        "url": subtitle_address(stream, track),
    })
}

fn tag(lang: &str) -> Result<String, Problem> {
    let why = || FieldError::new("lang", "must be a language tag like \"en\" or \"pt-BR\" (BCP 47)");
    language(lang).ok_or_else(|| Problem::fields(&[why()]))
}

/// The stream's folder; a stream that still waits for its turn or its publisher gets it now.
pub(super) async fn open(app: &App, id: &str) -> Result<Arc<StreamStore>, Problem> {
    let (store, name) = (Arc::clone(&app.store), id.to_owned());
    let opened = tokio::task::spawn_blocking(move || store.get_or_create(&name)).await;
    match opened {
        Ok(Ok(store)) => Ok(store),
        Ok(Err(error)) => {
            tracing::error!(stream = id, %error, "cannot open a stream's folder");
            Err(Problem::internal("opening the stream's folder"))
        }
        Err(_) => Err(Problem::internal("opening the stream's folder")),
    }
}

fn too_large() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too-large",
        "The body is too large",
        format!("Subtitles may have at most {MOST_BYTES} bytes."),
    )
}
