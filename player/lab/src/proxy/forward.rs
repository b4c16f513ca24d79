//! One request: to the server and back.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderName, HeaderValue},
};
use tokio::time::Instant;
use url::Url;

use super::{
    args::UpstreamDown,
    body::{ProxyBody, Spoil},
    fault::{FaultKind, Faults},
    io::Control,
    journal::{Entry, Journal, Line},
    link::ShapedLink,
};

/// Manifests above this size are passed on unchanged even with `--rewrite`.
const MAX_REWRITE: u64 = 16 * 1024 * 1024;

/// What every request needs.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) upstream: Url,
    pub(super) client: reqwest::Client,
    pub(super) faults: Faults,
    pub(super) journal: Arc<Journal>,
    pub(super) upstream_down: UpstreamDown,
    pub(super) rewrite: bool,
}

/// The connection that a request came on.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) peer: SocketAddr,
    pub(super) link: Option<Arc<ShapedLink>>,
    pub(super) control: Arc<Control>,
}

/// Ends the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed without an answer")]
pub(super) struct Hangup;

impl From<Infallible> for Hangup {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

pub(super) async fn serve(
    context: Arc<Context>,
    connection: Connection,
    request: Request<Incoming>,
) -> Result<Response<ProxyBody>, Hangup> {
    let began = Instant::now();
    let mut latency = Duration::ZERO;
    let mut trace_ms = 0.0;
    if let Some(link) = &connection.link {
        link.start(began);
        latency = link.latency(began);
        trace_ms = link.elapsed_ms(began);
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let fault = context.faults.pick(&path);
    let mut entry = Entry::new(
        context.journal.clone(),
        began,
        Line {
            t_ms: began.saturating_duration_since(context.journal.start()).as_secs_f64() * 1000.0,
            trace_ms,
            client: connection.peer.to_string(),
            method: request.method().to_string(),
            url: path.clone(),
            range: request.headers().get(header::RANGE).and_then(|v| v.to_str().ok()).map(str::to_owned),
            fault: fault.map(|kind| format!("{kind:?}")),
            ..Line::default()
        },
    );
    if let Some(FaultKind::Delay(time)) = fault {
        latency += time;
    }
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    match fault {
        Some(FaultKind::Reset) => {
            connection.control.ask_reset();
            return Err(Hangup);
        }
        Some(FaultKind::Status(status)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            entry.head_ready(status.as_u16());
            return Ok(plain(status, "This error was injected by the proxy.\n", entry));
        }
        _ => {}
    }
    let host = request.headers().get(header::HOST).cloned();
    match ask_upstream(&context, request, &path).await {
        Ok(response) => Ok(answer(&context, &connection, response, &path, host, fault, entry).await),
        Err(error) => {
            tracing::debug!(%error, %path, "the upstream server cannot be reached");
            if context.upstream_down == UpstreamDown::Reset {
                connection.control.ask_reset();
                return Err(Hangup);
            }
            let text = format!("The server {} cannot be reached. Is it running?\n", context.upstream);
            entry.head_ready(502);
            Ok(plain(StatusCode::BAD_GATEWAY, text, entry))
        }
    }
}

async fn ask_upstream(
    context: &Context,
    request: Request<Incoming>,
    path: &str,
) -> Result<reqwest::Response, reqwest::Error> {
    let (parts, body) = request.into_parts();
    let mut headers = parts.headers;
    strip_hop_by_hop(&mut headers);
    // reqwest writes the upstream's own.
    headers.remove(header::HOST);
    if context.rewrite {
        // A compressed manifest could not be rewritten.
        headers.remove(header::ACCEPT_ENCODING);
    }
    let mut out = context.client.request(parts.method, target(&context.upstream, path)).headers(headers);
    if !http_body::Body::is_end_stream(&body) {
        out = out.body(reqwest::Body::wrap(body));
    }
    out.send().await
}

/// The upstream's URL for a request's path and query.
fn target(upstream: &Url, path: &str) -> Url {
    let mut url = upstream.clone();
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let base = upstream.path().trim_end_matches('/');
    url.set_path(&format!("{base}{path}"));
    url.set_query(query);
    url
}

async fn answer(
    context: &Context,
    connection: &Connection,
    response: reqwest::Response,
    path: &str,
    host: Option<HeaderValue>,
    fault: Option<FaultKind>,
    mut entry: Entry,
) -> Response<ProxyBody> {
    let length = response.content_length();
    let rewritable = context.rewrite
        && response.status() == StatusCode::OK
        && is_manifest(response.headers(), path)
        && length.is_none_or(|length| length <= MAX_REWRITE);
    let (mut parts, body) = Response::<reqwest::Body>::from(response).into_parts();
    strip_hop_by_hop(&mut parts.headers);
    rewrite_location(&mut parts.headers, &context.upstream, host.as_ref());
    parts.version = hyper::Version::HTTP_11;
    let status = parts.status;
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        parts.headers.remove(header::CONTENT_LENGTH);
    }
    entry.head_ready(status.as_u16());
    if let (true, Some(host)) = (rewritable, host.as_ref().and_then(|host| host.to_str().ok())) {
        return match collect(body).await {
            Ok(text) => {
                let text = rewrite_urls(&text, &context.upstream, host);
                parts.headers.remove(header::CONTENT_LENGTH);
                Response::from_parts(parts, ProxyBody::text(text, entry))
            }
            Err(error) => {
                entry.head_ready(502);
                plain(StatusCode::BAD_GATEWAY, format!("Reading the manifest failed: {error}\n"), entry)
            }
        };
    }
    let half = length.unwrap_or(64 * 1024) / 2;
    let spoil = match fault {
        Some(FaultKind::TruncateBytes(bytes)) => Some(Spoil::Cut(bytes)),
        Some(FaultKind::TruncateShare(share)) => {
            Some(Spoil::Cut((length.unwrap_or(64 * 1024) as f64 * share) as u64))
        }
        Some(FaultKind::Stall(time)) => Some(Spoil::Stall(half, time)),
        Some(FaultKind::Corrupt) => Some(Spoil::Corrupt),
        _ => None,
    };
    Response::from_parts(parts, ProxyBody::upstream(body, spoil, connection.control.clone(), entry))
}

async fn collect(body: reqwest::Body) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    use http_body_util::BodyExt as _;
    let limit = usize::try_from(MAX_REWRITE).unwrap_or(usize::MAX);
    Ok(http_body_util::Limited::new(body, limit).collect().await?.to_bytes())
}

fn plain(status: StatusCode, text: impl Into<Bytes>, entry: Entry) -> Response<ProxyBody> {
    let mut response = Response::new(ProxyBody::text(text, entry));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// Headers that concern one connection only (RFC 9110, section 7.6.1).
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in
        ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"]
    {
        headers.remove(name);
    }
}

/// A redirect of the upstream to itself must lead through the proxy, or the link would be left.
fn rewrite_location(headers: &mut HeaderMap, upstream: &Url, host: Option<&HeaderValue>) {
    let Some(host) = host.and_then(|host| host.to_str().ok()) else { return };
    let Some(location) = headers.get(header::LOCATION).and_then(|location| location.to_str().ok()) else {
        return;
    };
    let Some(rest) = strip_base(location, upstream) else { return };
    if let Ok(value) = HeaderValue::from_str(&format!("http://{host}{rest}")) {
        headers.insert(header::LOCATION, value);
    }
}

/// What follows the upstream's URL in `text`, when it begins with it.
fn strip_base<'a>(text: &'a str, upstream: &Url) -> Option<&'a str> {
    let rest = text.strip_prefix(base(upstream).as_str())?;
    (rest.is_empty() || rest.starts_with(['/', '?', '#'])).then_some(rest)
}

/// The upstream's URL without a slash at its end.
fn base(upstream: &Url) -> String {
    upstream.as_str().trim_end_matches('/').to_owned()
}

fn is_manifest(headers: &HeaderMap, path: &str) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.to_ascii_lowercase();
    let path = path.split('?').next().unwrap_or_default().to_ascii_lowercase();
    kind.contains("mpegurl")
        || kind.contains("dash+xml")
        || [".m3u8", ".m3u", ".mpd"].iter().any(|ending| path.ends_with(ending))
}

/// Replaces the upstream's URL, where it stands whole, by the proxy's.
fn rewrite_urls(text: &[u8], upstream: &Url, host: &str) -> Bytes {
    let text = String::from_utf8_lossy(text);
    let base = base(upstream);
    let mut out = String::with_capacity(text.len());
    let mut rest: &str = &text;
    while let Some(at) = rest.find(&base) {
        let (before, from) = rest.split_at(at);
        let after = &from[base.len()..];
        out.push_str(before);
        // `http://host:80` must not match in `http://host:8080`.
        if after.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-')) {
            out.push_str(&base);
        } else {
            out.push_str("http://");
            out.push_str(host);
        }
        rest = after;
    }
    out.push_str(rest);
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_queries_are_put_behind_the_upstream() {
        let url = |base: &str, path: &str| target(&Url::parse(base).unwrap(), path).to_string();
        assert_eq!(url("http://a:1", "/x/y?z=1"), "http://a:1/x/y?z=1");
        assert_eq!(url("http://a:1/base/", "/x"), "http://a:1/base/x");
        assert_eq!(url("http://a:1", "/a%20b"), "http://a:1/a%20b");
    }

    #[test]
    fn only_whole_urls_of_the_upstream_are_rewritten() {
        let upstream = Url::parse("http://o:80/").unwrap();
        // The default port is not part of a URL's text.
        let text = rewrite_urls(b"http://o/a http://o:8080/b http://o.com/c \"http://o\"", &upstream, "p:9");
        assert_eq!(&text[..], b"http://p:9/a http://o:8080/b http://o.com/c \"http://p:9\"");
    }
}
