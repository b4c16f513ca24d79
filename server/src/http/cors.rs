//! Cross-origin rules: media and read-only answers are for every page, writes for our own.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

/// Where players send their reports of events.
const BEACON_PATH: &str = "/api/beacon";
const METHODS: &str = "GET, HEAD, OPTIONS";
const REQUEST_HEADERS: &str = "Authorization, Range, If-None-Match, If-Range, CMCD-Object, CMCD-Request, CMCD-Session, \
    CMCD-Status, X-Playback-Session-Id";
const EXPOSED: &str = "Accept-Ranges, Content-Length, Content-Range, Date, ETag, Retry-After";

/// Marks an answer as readable from anywhere.
pub fn mark(response: &mut Response) {
    let headers = response.headers_mut();
    allow(headers);
    put(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    put(headers, HeaderName::from_static("timing-allow-origin"), "*");
    put(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
}

/// The answer to OPTIONS for `path`; its route adds `Allow`.
pub fn options(path: &str) -> Response {
    // Reports of players on pages of other origins: they tell about themselves and read nothing.
    let beacon = path == BEACON_PATH;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    allow(headers);
    put(headers, header::ACCESS_CONTROL_ALLOW_METHODS, if beacon { "POST, OPTIONS" } else { METHODS });
    let accepted = if beacon { "Content-Type" } else { REQUEST_HEADERS };
    put(headers, header::ACCESS_CONTROL_ALLOW_HEADERS, accepted);
    put(headers, header::ACCESS_CONTROL_MAX_AGE, "86400");
    response
}

fn allow(headers: &mut HeaderMap) {
    put(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}
