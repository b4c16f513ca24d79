//! A stream's packaging: its log, and trying again.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::streams::catalog_problem;
use super::view::view;
use crate::app::{App, RetryError};
use crate::deliver::dash::date_time;
use crate::deliver::extract::StreamId;
use crate::http::Problem;

/// `POST /api/stream/{id}/retry`
pub(super) async fn retry(State(app): State<Arc<App>>, StreamId(id): StreamId) -> Result<Response, Problem> {
    match app.retry(&id).await {
        Ok(stream) => Ok((StatusCode::ACCEPTED, axum::Json(view(&app, &stream, true))).into_response()),
        Err(RetryError::Catalog(error)) => Err(catalog_problem(&error)),
        Err(error @ RetryError::NotFailed(..)) => {
            Err(Problem::new(StatusCode::CONFLICT, "not-failed", "Nothing to try again", format!("{error}.")))
        }
        Err(error @ RetryError::Start(_)) => {
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "Too much to do", format!("{error}.")))
        }
    }
}

/// `GET /api/stream/{id}/log`: what packaging and encoders said since the server's start, for admins.
pub(super) async fn log(
    State(app): State<Arc<App>>,
    StreamId(id): StreamId,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    app.gate.check_read(&headers)?;
    app.catalog.get(&id).ok_or_else(|| Problem::no_stream(&id))?;
    let (lines, dropped) = app.logs.find(&id).map(|log| log.lines()).unwrap_or_default();
    let items: Vec<_> = lines
        .iter()
        .map(|line| {
            json!({"at": date_time(line.at_ms), "level": line.level, "from": line.from, "text": line.text})
        })
        .collect();
    let body = axum::Json(json!({"items": items, "dropped": dropped}));
    Ok(([(header::CACHE_CONTROL, "no-store")], body).into_response())
}
