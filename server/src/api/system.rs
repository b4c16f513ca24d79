//! Operations: health, metrics, time, the API's description.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::measures;
use crate::app::App;
use crate::catalog::{State as StreamState, unix_ms};
use crate::deliver::dash::date_time;
use crate::http::{Entity, Problem};
use crate::reload::Changes;

/// The API's description, kept by hand and compared with the router by a test.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

/// `GET /healthz`: the process answers.
pub(super) async fn healthz() -> Response {
    ([(header::CACHE_CONTROL, "no-store")], "ok\n").into_response()
}

/// `GET /readyz`: the catalogue answers and nobody has asked the server to stop.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    if app.stop.is_cancelled() || !app.catalog.healthy().await {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not-ready",
            "Not ready",
            "The server is stopping or its catalogue does not answer.",
        ));
    }
    Ok(([(header::CACHE_CONTROL, "no-store")], "ready\n").into_response())
}

/// What `/api/time` may be asked for.
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct WhichClock {
    /// The stream whose clock it is to be.
    stream: Option<String>,
}

/// `GET /api/time`: the server's clock, or the one that a stream goes by, for players that align theirs. They are the
/// same until somebody sets the server's.
pub(super) async fn time(
    State(app): State<Arc<App>>,
    query: Result<Query<WhichClock>, QueryRejection>,
) -> Response {
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    let stream = query.ok().and_then(|Query(which)| app.media(&which.stream?));
    let now_ms = stream.map_or_else(unix_ms, |stream| stream.clock().now_ms());
    (headers, date_time(now_ms)).into_response()
}

/// `POST /api/reload`: reads the settings again, as SIGHUP does.
pub(super) async fn reload(State(app): State<Arc<App>>) -> Result<Json<Changes>, Problem> {
    let run = move || app.reloader.get().map(|reloader| reloader.run(&app));
    match tokio::task::spawn_blocking(run).await {
        Ok(Some(Ok(changes))) => {
            changes.log();
            Ok(Json(changes))
        }
        Ok(Some(Err(error))) => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "settings-not-right",
            "The settings are not right",
            format!("Everything stays as it was: {error:#}"),
        )),
        Ok(None) => Err(Problem::new(
            StatusCode::CONFLICT,
            "no-settings",
            "There is nothing to read again",
            "This server was not started from settings that can be read again.",
        )),
        Err(_) => Err(Problem::internal("reading the settings")),
    }
}

/// `GET /openapi.json`
pub(super) async fn openapi(method: Method, headers: HeaderMap) -> Response {
    Entity::text(OPENAPI, "application/json").answer(&method, &headers)
}

/// `GET /metrics` in Prometheus' text form; one series a stream, none a session.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let streams = app.catalog.list();
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, rows: Vec<(String, f64)>| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in rows {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    family(
        "weir_uptime_seconds",
        "gauge",
        "Seconds since the server started.",
        vec![(String::new(), app.started.elapsed().as_secs_f64())],
    );
    let by_state = StreamState::ALL.map(|state| {
        let count = streams.iter().filter(|stream| stream.state == state).count();
        (format!("{{state=\"{}\"}}", state.name()), count as f64)
    });
    family("weir_streams", "gauge", "Streams by state.", by_state.to_vec());
    family(
        "weir_held_requests",
        "gauge",
        "Requests that wait for what a stream has not yet.",
        vec![(String::new(), app.holds.count() as f64)],
    );
    app.answers.write(&mut text);
    measures::process(&mut text);
    app.viewers.write_metrics(&mut text);
    let headers = [
        (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, text).into_response()
}
