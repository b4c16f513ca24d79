//! Who may write.
//!
//! On a loopback address writes are open unless a token is set; pages of other origins are refused all the same, so
//! that no web site that the admin happens to visit can publish or delete. On any other address a token is needed.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Context as _;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use sha2::{Digest as _, Sha256};

use crate::app::App;
use crate::config::Config;
use crate::http::Problem;

/// Decides on writes.
pub struct Gate {
    token: RwLock<Option<Arc<str>>>,
    secret: [u8; 32],
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("needs_token", &self.needs_token()).finish_non_exhaustive()
    }
}

impl Gate {
    /// Takes the configured token, or makes one where the address asks for it.
    ///
    /// # Errors
    /// When the data folder's secrets cannot be read or written.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        let secret = Sha256::digest(kept(&config.data.join("secret"))?.as_bytes()).into();
        let token = RwLock::new(wanted_token(config)?);
        Ok(Self { token, secret })
    }

    /// Asks for the token of these settings from now on.
    ///
    /// # Errors
    /// When a token is needed and cannot be read or made; the old one stays.
    pub fn reload(&self, config: &Config) -> anyhow::Result<()> {
        let token = wanted_token(config)?;
        *self.token.write().unwrap_or_else(PoisonError::into_inner) = token;
        Ok(())
    }

    fn token(&self) -> Option<Arc<str>> {
        self.token.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Key for signing session ids and for keying the viewers' heuristic.
    pub fn secret(&self) -> [u8; 32] {
        self.secret
    }

    /// Whether writes need a token.
    pub fn needs_token(&self) -> bool {
        self.token().is_some()
    }

    /// Whether this request carries the token, or none is needed.
    pub fn is_admin(&self, headers: &HeaderMap) -> bool {
        !self.needs_token() || self.accepts(bearer(headers).unwrap_or(""))
    }

    /// Checks a read of what only admins may see.
    ///
    /// # Errors
    /// 401 without a good token where one is needed.
    pub fn check_read(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if self.is_admin(headers) { Ok(()) } else { Err(unauthorized()) }
    }

    /// Whether `given` is the token.
    pub fn accepts(&self, given: &str) -> bool {
        self.token().is_some_and(|token| {
            let [expected, given] = [&*token, given].map(|text| Sha256::digest(text.as_bytes()));
            // Digests are compared in full, so that time tells nothing about the token.
            expected.iter().zip(given.iter()).fold(0, |acc, (a, b)| acc | (a ^ b)) == 0
        })
    }

    /// Checks a write. `form_token` is what a form without JavaScript carries instead of a header.
    ///
    /// # Errors
    /// 401 without a good token where one is needed, 403 for a page of another origin.
    pub fn check(&self, headers: &HeaderMap, uri: &Uri, form_token: Option<&str>) -> Result<(), Problem> {
        if self.needs_token() {
            let given = form_token.or_else(|| bearer(headers)).unwrap_or("");
            return if self.accepts(given) { Ok(()) } else { Err(unauthorized()) };
        }
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .or_else(|| uri.authority().map(axum::http::uri::Authority::as_str))
            .unwrap_or("");
        let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
        let foreign_page = headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site")
            || origin.is_some_and(|origin| origin.split_once("://").map(|(_, host)| host) != Some(host));
        // A name that an attacker's DNS points at this machine is not one of ours.
        if foreign_page || !is_loopback_name(host) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "foreign-origin",
                "Not from there",
                "Without a token only this machine's own pages and programs may write. Start the server with --token \
                 and send it as a bearer token.",
            ));
        }
        Ok(())
    }
}

/// Checks every write but those of forms, whose handler checks, and players' reports. A method that no route takes is none:
/// the routes refuse it, and say which ones they take.
///
/// # Errors
/// Those of [`Gate::check`].
pub fn guard(app: &App, request: &Request) -> Result<(), Problem> {
    let writes = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH | Method::DELETE);
    let path = request.uri().path();
    // The form's handler checks for itself; a beacon only tells how its own session goes.
    let open = path == crate::web::FORM_PATH || path == super::viewers::BEACON_PATH;
    if !writes || open { Ok(()) } else { app.gate.check(request.headers(), request.uri(), None) }
}

fn wanted_token(config: &Config) -> anyhow::Result<Option<Arc<str>>> {
    Ok(match &config.token {
        Some(token) => Some(token.as_str().into()),
        None if config.listen.ip().is_loopback() => None,
        None => Some(kept(&config.data.join("token"))?.into()),
    })
}

fn unauthorized() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "token-needed",
        "A token is needed",
        "Send the server's token as \"Authorization: Bearer TOKEN\". It is the one given by --token, or else the one in \
         the file \"token\" in the data folder.",
    )
    .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"weir\""))
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The text of a file that only we may read, made from random bits when there is none.
fn kept(path: &Path) -> anyhow::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) if text.trim().len() >= 16 => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    let text = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let write = || {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn gate(token: Option<&str>) -> Gate {
        Gate { token: RwLock::new(token.map(Arc::from)), secret: [0; 32] }
    }

    fn headers(rows: &[(&'static str, &'static str)]) -> HeaderMap {
        rows.iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn an_open_gate_lets_this_machine_in_and_foreign_pages_not() {
        let uri = Uri::from_static("/api/stream/create");
        let rows: &[(&[(&'static str, &'static str)], bool)] = &[
            (&[("host", "127.0.0.1:8080")], true),
            (&[("host", "localhost:8080")], true),
            (&[("host", "[::1]:8080")], true),
            (&[("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:8080")], true),
            (&[("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:9090")], false),
            (&[("host", "127.0.0.1:8080"), ("origin", "https://example.org")], false),
            (&[("host", "127.0.0.1:8080"), ("origin", "null")], false),
            (&[("host", "127.0.0.1:8080"), ("sec-fetch-site", "cross-site")], false),
            (&[("host", "rebound.example.org")], false),
            (&[], false),
        ];
        for (row, allowed) in rows {
            assert_eq!(gate(None).check(&headers(row), &uri, None).is_ok(), *allowed, "{row:?}");
        }
    }

    #[test]
    fn a_closed_gate_wants_the_token_from_everywhere() {
        let (gate, uri) = (gate(Some("0123456789abcdef")), Uri::from_static("/"));
        let status =
            |rows: &[_], form| gate.check(&headers(rows), &uri, form).map_err(|problem| problem.status());
        assert_eq!(status(&[("host", "localhost")], None), Err(StatusCode::UNAUTHORIZED));
        assert_eq!(status(&[("authorization", "Bearer wrong")], None), Err(StatusCode::UNAUTHORIZED));
        assert_eq!(
            status(&[("authorization", "Basic 0123456789abcdef")], None),
            Err(StatusCode::UNAUTHORIZED)
        );
        assert_eq!(status(&[("authorization", "Bearer 0123456789abcdef")], None), Ok(()));
        assert_eq!(status(&[("authorization", "bearer 0123456789abcdef")], None), Ok(()));
        assert_eq!(status(&[], Some("0123456789abcdef")), Ok(()));
    }

    #[test]
    fn a_made_token_is_kept_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let first = kept(&path).unwrap();
        assert_eq!(first.len(), 64);
        assert_eq!(kept(&path).unwrap(), first);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
