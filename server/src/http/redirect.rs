//! Sends plain HTTP to the HTTPS address of the same path.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::Problem;

/// Answers everything with 308 to `https://HOST[:PORT]`; the host is the one that the client asked for.
pub fn router(https_port: u16) -> Router {
    Router::new().fallback(async move |request: Request| redirect(https_port, &request))
}

fn redirect(https_port: u16, request: &Request) -> Response {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| request.uri().authority().map(axum::http::uri::Authority::as_str))
        .and_then(|host| host.parse::<axum::http::uri::Authority>().ok());
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let target = host.map(|host| match https_port {
        443 => format!("https://{}{path}", host.host()),
        port => format!("https://{}:{port}{path}", host.host()),
    });
    match target.and_then(|target| HeaderValue::from_str(&target).ok()) {
        Some(target) => (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, target)]).into_response(),
        None => Problem::bad_request("This address only redirects to https, and the request names no host.")
            .into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    #[test]
    fn the_path_stays_and_the_port_changes() {
        let rows = [
            (443, "films.example:80", "/a?b=c", Some("https://films.example/a?b=c")),
            (8443, "127.0.0.1:8080", "/", Some("https://127.0.0.1:8443/")),
            (8443, "[::1]:8080", "/x", Some("https://[::1]:8443/x")),
            (443, "two hosts", "/", None),
        ];
        for (port, host, path, expected) in rows {
            let request = Request::builder().uri(path).header("host", host).body(Body::empty()).unwrap();
            let answer = redirect(port, &request);
            let location = answer.headers().get("location").map(|value| value.to_str().unwrap());
            assert_eq!(location, expected, "{host}");
            assert_eq!(answer.status().as_u16(), if expected.is_some() { 308 } else { 400 });
        }
    }
}
