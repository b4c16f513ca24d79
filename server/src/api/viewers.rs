//! Who watches, for admins; removing a session; players' reports of events.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde_json::json;

use crate::app::App;
use crate::deliver::extract::{Client, StreamId, parameter};
use crate::http::Problem;
use crate::http::accept::{StreamForm, stream_form};
use crate::viewers::cmcd::Cmcd;

/// Where players send their events.
pub(crate) const BEACON_PATH: &str = "/api/beacon";

/// Sessions that one list shows.
const MOST_LISTED: usize = 1000;
/// Reports in one beacon.
const MOST_REPORTS: usize = 64;
/// How long a removed session is refused, unless asked otherwise, and at most.
const KICK: Duration = Duration::from_secs(600);
const LONGEST_KICK: u64 = 86_400;

/// `GET /api/stream/{id}/viewers`: the current sessions, longest first.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    StreamId(id): StreamId,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    app.gate.check(&headers, &uri, None)?;
    if app.catalog.get(&id).is_none() {
        return Err(Problem::no_stream(&id));
    }
    let count = app.viewers.count(&id);
    let items = app.viewers.list(&id, MOST_LISTED);
    let body =
        json!({"items": items, "total": count.current, "viewers": count, "qoe": app.viewers.quality(&id)});
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response())
}

/// `DELETE /api/session/{sid}?seconds=`: ends a session and refuses its requests for a while.
pub(super) async fn kick(State(app): State<Arc<App>>, request: Request) -> Result<StatusCode, Problem> {
    let (mut parts, _) = request.into_parts();
    let sid = parameter(&mut parts, &app, "id").await?;
    let query = parts.uri.query().unwrap_or("").as_bytes();
    let lasting = match url::form_urlencoded::parse(query).find(|(key, _)| key == "seconds") {
        None => KICK,
        Some((_, text)) => match text.parse() {
            Ok(seconds) if (1..=LONGEST_KICK).contains(&seconds) => Duration::from_secs(seconds),
            _ => return Err(Problem::bad_request(format!("\"seconds\" must be 1 to {LONGEST_KICK}."))),
        },
    };
    if app.viewers.kick(&sid, lasting) {
        tracing::info!(sid, seconds = lasting.as_secs(), "viewer removed");
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::new(
        StatusCode::NOT_FOUND,
        "no-such-session",
        "No such session",
        "No current session has that sid. GET /api/stream/{id}/viewers lists those that there are.",
    ))
}

/// `POST /api/beacon?stream=`: CMCD in event mode, one report a line; open to everybody, as fetching media is.
pub(super) async fn beacon(
    State(app): State<Arc<App>>,
    client: Client,
    uri: Uri,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "The body is too large",
            format!("A beacon may have at most {} bytes.", super::JSON_LIMIT),
        ),
        _ => Problem::bad_request("The body could not be read to its end."),
    })?;
    let text = std::str::from_utf8(&body).map_err(|_| Problem::bad_request("The body is not UTF-8."))?;
    let query = url::form_urlencoded::parse(uri.query().unwrap_or("").as_bytes());
    let named: Option<String> =
        query.into_iter().find(|(key, _)| key == "stream").map(|(_, id)| id.into_owned());
    let mut reports = 0;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()).take(MOST_REPORTS) {
        let report = Cmcd::parse(line);
        if report.sid.is_none() {
            continue;
        }
        reports += 1;
        let Some(stream) = named.clone().or_else(|| report.cid.clone()) else { continue };
        let report = Cmcd { event: true, ..report };
        app.viewers.event(&stream, &client.who.clone().reporting(report));
    }
    if reports == 0 {
        return Err(Problem::bad_request(
            "The body has no report: send one CMCD list a line, each with a sid, and name the stream by cid or ?stream=.",
        ));
    }
    // The same answer whether anything counted: a stranger learns nothing about sessions.
    Ok(StatusCode::NO_CONTENT)
}

/// Media of a session that an admin has removed is refused, and an open progressive stream is cut.
pub async fn refuse_kicked(app: Arc<App>, request: Request, next: Next) -> Response {
    let Some((id, is_progressive)) = stream_of(request.uri().path()) else { return next.run(request).await };
    let is_media = matches!(*request.method(), Method::GET | Method::HEAD)
        && !(is_progressive && stream_form(request.headers()) == StreamForm::Page);
    // Nobody is removed, as is usual: only an answer that lasts has to ask again later.
    if !is_media || (!is_progressive && app.viewers.nobody_kicked()) {
        return next.run(request).await;
    }
    let id = id.to_owned();
    let (mut parts, body) = request.into_parts();
    let client = client(&mut parts, &app).await;
    if app.viewers.kicked(&id, &client.who) {
        return Problem::new(
            StatusCode::FORBIDDEN,
            "removed",
            "Removed by the operator",
            "This playback session was removed by the operator of the server. Its requests are refused for a while.",
        )
        .into_response();
    }
    let response = next.run(Request::from_parts(parts, body)).await;
    if !is_progressive || response.status() != StatusCode::OK {
        return response;
    }
    response.map(|body| {
        let cut = move |frame: Result<http_body::Frame<Bytes>, axum::Error>| {
            if app.viewers.kicked(&id, &client.who) {
                return Err(axum::Error::new(std::io::Error::other("the session was removed by an admin")));
            }
            frame
        };
        Body::new(CutBody { inner: body, cut: Box::new(cut) })
    })
}

async fn client(parts: &mut Parts, app: &Arc<App>) -> Client {
    use axum::extract::FromRequestParts as _;
    match Client::from_request_parts(parts, app).await {
        Ok(client) => client,
        Err(never) => match never {},
    }
}

/// The stream that a path is below of, and whether it is the stream's own path.
fn stream_of(path: &str) -> Option<(&str, bool)> {
    let rest = path.strip_prefix("/stream/")?;
    Some(rest.split_once('/').map_or((rest, true), |(id, _)| (id, false)))
}

type Cut = dyn FnMut(Result<http_body::Frame<Bytes>, axum::Error>) -> Result<http_body::Frame<Bytes>, axum::Error>
    + Send;

/// A body each of whose frames is asked about once more.
struct CutBody {
    inner: Body,
    cut: Box<Cut>,
}

impl http_body::Body for CutBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        std::pin::Pin::new(&mut this.inner).poll_frame(cx).map(|frame| frame.map(&mut this.cut))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}
