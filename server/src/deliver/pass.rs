//! Who may watch a private stream: by a link that carries a token, by name and password, or as an admin.
//!
//! A token is part of the path (`/stream/film/~TOKEN/hls/master.m3u8`), so that everything that a playlist or a manifest names
//! relative to itself carries it too: one text and one gzip do for all viewers, and every player can follow. `?token=` leads there.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest as _, Sha256};

use crate::app::App;
use crate::catalog::auth::{hex, same};
use crate::catalog::{Stream, unix_ms};
use crate::http::Problem;
use crate::viewers::hmac_sha256;

/// What a token's part of the path begins with; no rendition, protocol or file does.
const MARK: char = '~';
/// Bytes of the signature that a token carries.
const SIGNATURE: usize = 16;
/// Passwords that were found right and are not worked through again.
const MOST_REMEMBERED: usize = 8_192;
/// Links that pages and admins are given are good for this long at least, and the same for an hour, so that what is asked
/// again and again does not change each time.
const LINK_S: u64 = 12 * 3600;
const LINK_STEP_S: u64 = 3600;

/// Base64 (RFC 4648, section 4), with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The token that a request's path held, for whoever answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token(pub String);

/// Passwords that were right, as digests of all that they depend on.
#[derive(Debug, Default)]
pub struct Known(Mutex<HashSet<[u8; 32]>>);

/// Takes a token out of an address below `/stream/ID/`. `None` when there is none in it.
pub fn split(uri: &Uri) -> Option<(Uri, Token)> {
    let path = uri.path();
    let rest = path.strip_prefix("/stream/")?;
    let (id, rest) = rest.split_once('/')?;
    let rest = rest.strip_prefix(MARK)?;
    let (token, file) = rest.split_once('/').map_or((rest, None), |(token, file)| (token, Some(file)));
    let mut plain = format!("/stream/{id}");
    for piece in [file.map(|file| ("/", file)), uri.query().map(|query| ("?", query))].into_iter().flatten() {
        plain.push_str(piece.0);
        plain.push_str(piece.1);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(plain).ok()?);
    Some((Uri::from_parts(parts).ok()?, Token(token.to_owned())))
}

/// The address below which a stream is for whoever has this token.
pub fn base(id: &str, token: &str) -> String {
    format!("/stream/{id}/{MARK}{token}")
}

/// A token of a stream that is good until `expires_s` (seconds since 1970); `None` for a public stream.
pub fn token(app: &App, stream: &Stream, expires_s: u64) -> Option<String> {
    let auth = stream.auth.as_ref()?;
    let expires = format!("{expires_s:x}");
    let signature = hmac_sha256(
        &app.gate.secret(),
        &[
            b"watch",
            stream.id.as_bytes(),
            &stream.created_ms.to_be_bytes(),
            &auth.epoch.to_be_bytes(),
            expires.as_bytes(),
        ],
    );
    Some(format!("{expires}-{}", hex(signature.get(..SIGNATURE).unwrap_or_default())))
}

/// A token for somebody who may watch anyway: at least twelve hours.
pub fn lasting(app: &App, stream: &Stream) -> Option<String> {
    let now = unix_ms() / 1000;
    token(app, stream, (now + LINK_S).next_multiple_of(LINK_STEP_S))
}

/// Whether a token lets somebody watch, or why it does not.
fn judge(app: &App, stream: &Stream, given: &str) -> Result<(), Refused> {
    let expires = given.split('-').next().and_then(|text| u64::from_str_radix(text, 16).ok());
    let expires = expires.ok_or(Refused::Wrong)?;
    let right = token(app, stream, expires).ok_or(Refused::Wrong)?;
    if !same(right.as_bytes(), given.as_bytes()) {
        return Err(Refused::Wrong);
    }
    if expires * 1000 <= unix_ms() { Err(Refused::Expired) } else { Ok(()) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    Missing,
    Wrong,
    Expired,
}

/// Whether a request may have what belongs to a stream. `token` is the one of its path or query.
///
/// # Errors
/// 401 for a private stream and nothing that opens it, 429 after too many wrong passwords.
pub async fn check(
    app: &App,
    stream: &Stream,
    token: Option<&str>,
    headers: &HeaderMap,
    network: u128,
) -> Result<(), Problem> {
    let Some(auth) = &stream.auth else { return Ok(()) };
    let mut refused = Refused::Missing;
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let sent = sent.and_then(|value| value.split_once(' ')).map(|(scheme, rest)| (scheme, rest.trim()));
    let bearer = sent.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, given)| given);
    for given in token.into_iter().chain(bearer) {
        match judge(app, stream, given) {
            Ok(()) => return Ok(()),
            Err(why) => refused = why,
        }
    }
    if let Some(given) = bearer {
        app.pace.login(app, network, false)?;
        if app.gate.accepts(given) {
            return Ok(());
        }
        // What was a good link once is no guess at anything.
        if refused == Refused::Wrong {
            app.pace.login(app, network, true)?;
        }
    }
    if let Some((_, given)) = sent.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic")) {
        refused = Refused::Wrong;
        let login = BASE64.decode(given).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        if let Some((name, password)) = login.as_deref().and_then(|login| login.split_once(':'))
            && let Some(user) = auth.user(name)
        {
            let mut digest = Sha256::new();
            for part in [user.stamp(), password] {
                digest.update((part.len() as u64).to_be_bytes());
                digest.update(part);
            }
            let digest = digest.finalize().into();
            if app.passwords.has(&digest) {
                return Ok(());
            }
            // Who guessed too often is not told whether this one was right.
            app.pace.login(app, network, false)?;
            let (user, password) = (user.clone(), password.to_owned());
            let right = tokio::task::spawn_blocking(move || user.has(&password)).await.unwrap_or(false);
            if right {
                app.passwords.remember(digest);
                return Ok(());
            }
        }
        app.pace.login(app, network, true)?;
    }
    Err(problem(stream, refused, !auth.users.is_empty()))
}

fn problem(stream: &Stream, why: Refused, with_password: bool) -> Problem {
    let how =
        if with_password { "a link with a token, or a name and password" } else { "a link with a token" };
    let (title, detail) = match why {
        Refused::Missing => ("This stream is private", format!("Its operator can give you {how}.")),
        Refused::Wrong => (
            "This stream is private",
            format!("What was sent does not open it. Its operator can give you {how}."),
        ),
        Refused::Expired => (
            "The link has expired",
            "Its time is over; the stream's operator can give you another.".to_owned(),
        ),
    };
    let challenge = match with_password {
        true => format!("Basic realm=\"{}\", charset=\"UTF-8\"", stream.id),
        false => format!("Bearer realm=\"{}\"", stream.id),
    };
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "private-stream", title, detail)
        .header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match HeaderValue::from_str(&challenge) {
        Ok(value) => problem.header(header::WWW_AUTHENTICATE, value),
        Err(_) => problem,
    }
}

/// What the answer to a viewer of a private stream says to caches: the viewer's own may keep it, others not.
pub fn keep_private(response: &mut Response) {
    let headers = response.headers_mut();
    let Some(value) = headers.get(header::CACHE_CONTROL).and_then(|value| value.to_str().ok()) else {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        return;
    };
    if value.contains("no-store") || value.starts_with("private") {
        return;
    }
    let kept =
        value.split(',').map(str::trim).filter(|part| *part != "public" && !part.starts_with("s-maxage"));
    let value = std::iter::once("private").chain(kept).collect::<Vec<_>>().join(", ");
    if let Ok(value) = HeaderValue::from_str(&value) {
        headers.insert(header::CACHE_CONTROL, value);
    }
}

/// Where a request with `?token=` is sent to: the same with the token in the path.
pub fn into_path(id: &str, uri: &Uri) -> Option<HeaderValue> {
    let rest = uri
        .path()
        .strip_prefix("/stream/")?
        .strip_prefix(id)
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
    let token = from_query(uri)?;
    let mut location = base(id, &token);
    location.push_str(rest);
    let others =
        url::form_urlencoded::parse(uri.query().unwrap_or("").as_bytes()).filter(|(key, _)| key != "token");
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(others).finish();
    if !query.is_empty() {
        location.push('?');
        location.push_str(&query);
    }
    HeaderValue::from_str(&location).ok()
}

/// The token of a query, when it is of a form that a path can hold.
pub fn from_query(uri: &Uri) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(uri.query()?.as_bytes()).take(32);
    let (_, token) = pairs.find(|(key, _)| key == "token")?;
    let plain =
        (1..=128).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    plain.then(|| token.into_owned())
}

impl Known {
    fn has(&self, digest: &[u8; 32]) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(digest)
    }

    fn remember(&self, digest: [u8; 32]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_REMEMBERED {
            known.clear();
        }
        known.insert(digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_out_of_the_path() {
        let rows = [
            ("/stream/film/~ab-12/hls/master.m3u8?x=1", Some(("/stream/film/hls/master.m3u8?x=1", "ab-12"))),
            ("/stream/film/~ab-12", Some(("/stream/film", "ab-12"))),
            ("/stream/film/~/hls/a/b", Some(("/stream/film/hls/a/b", ""))),
            ("/stream/film/hls/~ab/index.m3u8", None),
            ("/stream/film", None),
            ("/stream/~ab", None),
            ("/api/stream/film/~ab", None),
        ];
        for (address, expected) in rows {
            let found = split(&address.parse().unwrap());
            let found = found.as_ref().map(|(uri, token)| (uri.to_string(), token.0.clone()));
            assert_eq!(found, expected.map(|(uri, token)| (uri.to_owned(), token.to_owned())), "{address}");
        }
    }

    #[test]
    fn a_token_of_the_query_goes_into_the_path_and_the_rest_stays() {
        let rows = [
            ("/stream/film/hls/master.m3u8?token=ab-1", Some("/stream/film/~ab-1/hls/master.m3u8")),
            ("/stream/film?rung=360p&token=ab-1", Some("/stream/film/~ab-1?rung=360p")),
            ("/stream/film?rung=360p", None),
            ("/stream/film?token=a/../b", None),
            ("/stream/filmstar?token=ab-1", None),
        ];
        for (address, expected) in rows {
            let location = into_path("film", &address.parse().unwrap());
            assert_eq!(location.as_ref().and_then(|value| value.to_str().ok()), expected, "{address}");
        }
    }

    #[test]
    fn caches_of_others_keep_nothing_of_a_private_stream() {
        for (before, after) in [
            ("public, max-age=31536000, immutable", "private, max-age=31536000, immutable"),
            ("public, max-age=1, s-maxage=1", "private, max-age=1"),
            ("no-store", "no-store"),
            ("no-cache", "private, no-cache"),
        ] {
            let mut response = Response::new(axum::body::Body::empty());
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(before));
            keep_private(&mut response);
            assert_eq!(response.headers()[header::CACHE_CONTROL], after);
        }
    }

    #[test]
    fn names_and_passwords_are_read_with_padding_and_without() {
        for (text, bytes) in [("", Some("")), ("Zg==", Some("f")), ("Zm8", Some("fo")), ("Z:g=", None)] {
            assert_eq!(BASE64.decode(text).ok(), bytes.map(|text| text.as_bytes().to_vec()), "{text}");
        }
    }
}
