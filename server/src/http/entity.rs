//! One finished representation and every way to ask for it: GET, HEAD, conditions, one byte range, gzip.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::Write as _;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::problem::Problem;

/// Headers that an answer may come to have.
const MOST_HEADERS: usize = 12;

/// A representation held in memory, ready to be sent any number of times without a copy.
#[derive(Debug, Clone)]
pub struct Entity {
    bytes: Bytes,
    tag: HeaderValue,
    /// Packed, with a tag of its own.
    gzip: Option<(Bytes, HeaderValue)>,
    content_type: HeaderValue,
    cache_control: HeaderValue,
    ranges: bool,
}

impl Entity {
    /// Media: byte ranges allowed, cached for ever under its name. `tag` is the opaque part of a strong ETag.
    pub fn media(bytes: Bytes, tag: impl Display, content_type: impl Into<Cow<'static, str>>) -> Self {
        Self {
            bytes,
            tag: quoted(tag),
            gzip: None,
            content_type: text(content_type.into()),
            cache_control: HeaderValue::from_static("public, max-age=31536000, immutable"),
            ranges: true,
        }
    }

    /// Text: tagged by its hash and offered gzipped.
    pub fn text(text: impl Into<Bytes>, content_type: impl Into<Cow<'static, str>>) -> Self {
        let bytes = text.into();
        let tag = hash_tag(&bytes);
        Self {
            gzip: gzip(&bytes).map(|packed| (packed, quoted(format_args!("{tag}-gz")))),
            tag: quoted(tag),
            bytes,
            content_type: self::text(content_type.into()),
            cache_control: HeaderValue::from_static("no-cache"),
            ranges: false,
        }
    }

    /// JSON that is made for one answer: tagged by its hash, not packed, since nobody else will get it.
    pub fn json(text: impl Into<Bytes>) -> Self {
        let bytes = text.into();
        Self {
            tag: quoted(hash_tag(&bytes)),
            gzip: None,
            bytes,
            content_type: HeaderValue::from_static("application/json"),
            cache_control: HeaderValue::from_static("no-cache"),
            ranges: false,
        }
    }

    /// Sets `Cache-Control`.
    #[must_use]
    pub fn cache(mut self, value: impl Into<Cow<'static, str>>) -> Self {
        self.cache_control = text(value.into());
        self
    }

    /// Offers byte ranges.
    #[must_use]
    pub fn with_ranges(mut self) -> Self {
        self.ranges = true;
        self
    }

    /// The plain representation.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Length in bytes of the plain representation.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The answer to a request for it (RFC 9110, sections 13 and 14).
    ///
    /// A single satisfiable range gives 206, one outside 416, several the whole with 200.
    pub fn answer(&self, method: &Method, request: &HeaderMap) -> Response {
        let gzip =
            self.gzip.as_ref().filter(|_| accepts_gzip(request) && !request.contains_key(header::RANGE));
        let (body, tag) = match gzip {
            Some((packed, tag)) => (packed, tag),
            None => (&self.bytes, &self.tag),
        };
        if let Some(expected) = request.get(header::IF_MATCH)
            && !matches_any(expected, tag, Comparison::Strong)
        {
            return Problem::new(
                StatusCode::PRECONDITION_FAILED,
                "precondition-failed",
                "The object is another one",
                format!(
                    "If-Match does not name the current entity tag {}.",
                    tag.to_str().unwrap_or_default()
                ),
            )
            .into_response();
        }
        if let Some(known) = request.get(header::IF_NONE_MATCH)
            && matches_any(known, tag, Comparison::Weak)
        {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            self.common(response.headers_mut(), tag);
            return response;
        }
        let range = if self.ranges { wanted_range(request, tag, body.len() as u64) } else { Wanted::Whole };
        let (status, part, content_range) = match range {
            Wanted::Whole => (StatusCode::OK, body.clone(), None),
            Wanted::Part { first, last } => {
                let slice = body.slice(first as usize..=last as usize);
                (StatusCode::PARTIAL_CONTENT, slice, Some(format!("bytes {first}-{last}/{}", body.len())))
            }
            Wanted::Unsatisfiable => return unsatisfiable(body.len() as u64),
        };
        let length = part.len();
        let mut response =
            Response::new(if method == Method::HEAD { Body::empty() } else { Body::from(part) });
        *response.status_mut() = status;
        let headers = response.headers_mut();
        // With those that every answer carries; growing the map in steps would hash them anew each time.
        headers.reserve(MOST_HEADERS);
        self.common(headers, tag);
        headers.insert(header::CONTENT_TYPE, self.content_type.clone());
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        if let Some(value) = content_range {
            headers.insert(header::CONTENT_RANGE, text(Cow::Owned(value)));
        }
        if gzip.is_some() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }

    /// Headers that 200, 206 and 304 share.
    fn common(&self, headers: &mut HeaderMap, tag: &HeaderValue) {
        headers.insert(header::ETAG, tag.clone());
        headers.insert(header::CACHE_CONTROL, self.cache_control.clone());
        if self.gzip.is_some() {
            headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        if self.ranges {
            headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        }
    }
}

/// First 16 bytes of the SHA-256, in hex: the opaque part of an ETag.
pub fn hash_tag(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(16).map(|b| format!("{b:02x}")).collect()
}

/// A header's value; empty in place of what no header can carry.
fn text(value: Cow<'static, str>) -> HeaderValue {
    match value {
        Cow::Borrowed(text) => HeaderValue::from_static(text),
        Cow::Owned(text) => {
            HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(HeaderValue::from_static(""))
        }
    }
}

fn quoted(tag: impl Display) -> HeaderValue {
    text(Cow::Owned(format!("\"{tag}\"")))
}

/// Gzipped copy, when that is smaller.
fn gzip(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).ok()?;
    let packed = encoder.finish().ok()?;
    (packed.len() < bytes.len()).then(|| packed.into())
}

/// Whether the client takes gzip (RFC 9110, section 12.5.3).
fn accepts_gzip(request: &HeaderMap) -> bool {
    let mut any = None;
    for (name, quality) in super::accept::each_weighted(request, &header::ACCEPT_ENCODING) {
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            return quality > 0.0;
        }
        if name == "*" {
            any = Some(quality > 0.0);
        }
    }
    any.unwrap_or(false)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether a list of entity tags (or `*`) names `tag` (RFC 9110, section 8.8.3.2).
fn matches_any(list: &HeaderValue, tag: &HeaderValue, how: Comparison) -> bool {
    let (Ok(list), Ok(tag)) = (list.to_str(), tag.to_str()) else { return false };
    list.split(',').map(str::trim).any(|item| {
        item == "*"
            || match (item.strip_prefix("W/"), how) {
                (Some(weak), Comparison::Weak) => weak == tag,
                (Some(_), Comparison::Strong) => false,
                (None, _) => item == tag,
            }
    })
}

enum Wanted {
    Whole,
    Part { first: u64, last: u64 },
    Unsatisfiable,
}

/// Reads `Range` and `If-Range` (RFC 9110, sections 13.1.5 and 14.2).
fn wanted_range(request: &HeaderMap, tag: &HeaderValue, length: u64) -> Wanted {
    let Some(range) = request.get(header::RANGE) else { return Wanted::Whole };
    if let Some(condition) = request.get(header::IF_RANGE)
        && condition != tag
    {
        return Wanted::Whole;
    }
    let Ok(range) = range.to_str() else { return Wanted::Unsatisfiable };
    let Some((unit, set)) = range.split_once('=') else { return Wanted::Unsatisfiable };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    if set.contains(',') {
        return Wanted::Whole;
    }
    let Some((first, last)) = set.trim().split_once('-') else { return Wanted::Unsatisfiable };
    match (digits(first), digits(last)) {
        (Digits::Number(first), Digits::Nothing) if first < length => {
            Wanted::Part { first, last: length - 1 }
        }
        (Digits::Number(first), Digits::Number(last)) if first <= last && first < length => {
            Wanted::Part { first, last: last.min(length - 1) }
        }
        (Digits::Nothing, Digits::Number(suffix)) if suffix > 0 && length > 0 => {
            Wanted::Part { first: length.saturating_sub(suffix), last: length - 1 }
        }
        _ => Wanted::Unsatisfiable,
    }
}

enum Digits {
    Nothing,
    Number(u64),
    Wrong,
}

fn digits(text: &str) -> Digits {
    match text {
        "" => Digits::Nothing,
        // More digits than a u64 holds is still a number, only beyond any object.
        _ if text.bytes().all(|b| b.is_ascii_digit()) => Digits::Number(text.parse().unwrap_or(u64::MAX)),
        _ => Digits::Wrong,
    }
}

fn unsatisfiable(length: u64) -> Response {
    let problem = Problem::new(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "range-not-satisfiable",
        "No such range",
        format!("The object holds {length} bytes; ask for bytes=FIRST-LAST inside it."),
    );
    match HeaderValue::from_str(&format!("bytes */{length}")) {
        Ok(value) => problem.header(header::CONTENT_RANGE, value).into_response(),
        Err(_) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity() -> Entity {
        Entity::media(Bytes::from_static(b"0123456789"), "abc", "video/mp4")
    }

    fn ask(method: &Method, headers: &[(&'static str, &str)]) -> Response {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        entity().answer(method, &map)
    }

    async fn body(response: Response) -> Vec<u8> {
        axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()
    }

    #[tokio::test]
    async fn answers_every_form_of_range() {
        let rows: &[(&str, u16, &str, Option<&str>)] = &[
            ("bytes=0-3", 206, "0123", Some("bytes 0-3/10")),
            ("bytes=4-", 206, "456789", Some("bytes 4-9/10")),
            ("bytes=-2", 206, "89", Some("bytes 8-9/10")),
            ("bytes=-99", 206, "0123456789", Some("bytes 0-9/10")),
            ("bytes=8-99", 206, "89", Some("bytes 8-9/10")),
            ("bytes=9-9", 206, "9", Some("bytes 9-9/10")),
            ("bytes=0-1,4-5", 200, "0123456789", None),
            ("items=0-1", 200, "0123456789", None),
        ];
        for (range, status, text, content_range) in rows {
            let response = ask(&Method::GET, &[("range", range)]);
            assert_eq!(response.status().as_u16(), *status, "{range}");
            let got = response.headers().get("content-range").map(|v| v.to_str().unwrap().to_owned());
            assert_eq!(got.as_deref(), *content_range, "{range}");
            assert_eq!(body(response).await, text.as_bytes(), "{range}");
        }
    }

    #[tokio::test]
    async fn refuses_ranges_outside_and_nonsense_with_416() {
        for range in [
            "bytes=10-",
            "bytes=10-20",
            "bytes=5-2",
            "bytes=-0",
            "bytes=x-y",
            "bytes=-",
            "bytes",
            "bytes=99999999999999999999-",
        ] {
            let response = ask(&Method::GET, &[("range", range)]);
            assert_eq!(response.status().as_u16(), 416, "{range}");
            assert_eq!(response.headers()["content-range"], "bytes */10", "{range}");
            assert_eq!(response.headers()["content-type"], super::super::problem::CONTENT_TYPE);
        }
    }

    #[tokio::test]
    async fn head_tells_the_length_and_sends_no_body() {
        let response = ask(&Method::HEAD, &[]);
        assert_eq!(response.headers()["content-length"], "10");
        assert!(body(response).await.is_empty());
        let response = ask(&Method::HEAD, &[("range", "bytes=0-3")]);
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-length"]),
            (206, &HeaderValue::from(4))
        );
    }

    #[tokio::test]
    async fn conditions_follow_rfc_9110() {
        let rows: &[(&[(&'static str, &str)], u16)] = &[
            (&[("if-none-match", "\"abc\"")], 304),
            (&[("if-none-match", "W/\"abc\"")], 304),
            (&[("if-none-match", "\"x\", \"abc\"")], 304),
            (&[("if-none-match", "*")], 304),
            (&[("if-none-match", "\"x\"")], 200),
            (&[("if-match", "\"abc\"")], 200),
            (&[("if-match", "W/\"abc\"")], 412),
            (&[("range", "bytes=0-1"), ("if-range", "\"abc\"")], 206),
            (&[("range", "bytes=0-1"), ("if-range", "\"old\"")], 200),
            (&[("range", "bytes=0-1"), ("if-range", "Sun, 06 Nov 1994 08:49:37 GMT")], 200),
            (&[("range", "bytes=0-1"), ("if-none-match", "\"abc\"")], 304),
        ];
        for (headers, status) in rows {
            assert_eq!(ask(&Method::GET, headers).status().as_u16(), *status, "{headers:?}");
        }
    }

    #[tokio::test]
    async fn text_is_gzipped_only_for_those_who_take_it() {
        let text = Entity::text("#EXTM3U\n".repeat(100), "application/vnd.apple.mpegurl");
        let mut tags = std::collections::HashSet::new();
        for (accept, packed) in
            [("gzip, br", true), ("br", false), ("gzip;q=0", false), ("*", true), ("*;q=0", false)]
        {
            let mut request = HeaderMap::new();
            request.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accept));
            let response = text.answer(&Method::GET, &request);
            assert_eq!(response.headers().contains_key(header::CONTENT_ENCODING), packed, "{accept}");
            assert_eq!(response.headers()[header::VARY], "Accept-Encoding");
            tags.insert(response.headers()[header::ETAG].clone());
            let bytes = body(response).await;
            assert_eq!(bytes.len() < 800, packed, "{accept}");
        }
        assert_eq!(tags.len(), 2, "the packed form is another representation with another tag");
    }
}
