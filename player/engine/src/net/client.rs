//! One client for a whole session.

use std::{sync::Arc, time::Duration};

use reqwest::header::{HeaderMap, HeaderValue};
use url::{Origin, Url};

use super::{NetError, mirrors::Mirrors};

/// How long to wait, and for how much.
#[derive(Clone, Debug)]
pub struct Limits {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For the next byte, the first one included.
    pub idle: Duration,
    /// Largest media body, in bytes.
    pub media: u64,
    /// Largest manifest, after decompression, in bytes.
    pub text: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            idle: Duration::from_secs(8),
            media: 256 << 20,
            text: 32 << 20,
        }
    }
}

/// A cheap handle on one connection pool (keep-alive, HTTP/2 where the server offers it).
#[derive(Clone, Debug)]
pub struct Http {
    pub(crate) client: reqwest::Client,
    pub(crate) limits: Arc<Limits>,
    pub(crate) mirrors: Arc<Mirrors>,
    login: Option<Arc<Login>>,
    /// Files may be read.
    pub(super) local: bool,
}

/// Name and password, as they stood in an address, and the server that they are for.
#[derive(Debug)]
struct Login {
    origin: Origin,
    name: String,
    password: Option<String>,
}

impl Http {
    /// A client with a pool of its own.
    ///
    /// A machine without any CA certificate still gets one: plain `http` works, `https` says what is missing.
    pub fn new(limits: Limits) -> Result<Self, NetError> {
        // reqwest is built without a crypto provider; another part of the program may have installed one already,
        // which serves as well.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let headers = session_headers();
        let client = builder(&limits)
            .default_headers(headers.clone())
            .build()
            .or_else(|error| {
                tracing::warn!(%error, "no CA certificates on this machine: only plain http will work");
                builder(&limits).default_headers(headers).tls_certs_only(std::iter::empty()).build()
            })
            .map_err(|error| NetError::Client(error.to_string()))?;
        Ok(Self { client, limits: Arc::new(limits), mirrors: Arc::default(), login: None, local: false })
    }

    /// Prepares for what a person opens: from a file, files may be read.
    ///
    /// Takes name and password out of `url`. All requests to its server carry them from now on (RFC 7617), those for what
    /// a manifest lists too, and no other ones; no address that is shown or recorded has them any more.
    pub fn open(&mut self, url: &mut Url) {
        self.local = url.scheme() == "file";
        if url.username().is_empty() && url.password().is_none() {
            return;
        }
        let name = url.username().to_owned();
        let password = url.password().map(str::to_owned);
        self.login = Some(Arc::new(Login { origin: url.origin(), name, password }));
        // Cannot fail where there was a name.
        let _ = url.set_username("");
        let _ = url.set_password(None);
    }

    /// `url` as it is asked for.
    pub(super) fn with_login(&self, url: &Url) -> Url {
        let mut url = url.clone();
        let login = self.login.as_ref().filter(|login| login.origin == url.origin());
        if let Some(login) = login.filter(|_| url.username().is_empty() && url.password().is_none()) {
            let _ = url.set_username(&login.name);
            let _ = url.set_password(login.password.as_deref());
        }
        url
    }
}

/// Lets a server count viewers without guessing by address: one random name for this session, nothing that outlives it.
/// As `CMCD-Session` (CTA-5004, 3.2: `sid`), and as Apple's players name theirs, for servers that know only that.
fn session_headers() -> HeaderMap {
    let session = uuid::Uuid::new_v4();
    let mut headers = HeaderMap::new();
    for (name, value) in
        [("cmcd-session", format!("sid=\"{session}\"")), ("x-playback-session-id", session.to_string())]
    {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    headers
}

fn builder(limits: &Limits) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("Weir/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(limits.connect)
        .pool_idle_timeout(Duration::from_secs(50))
        .tcp_nodelay(true)
        .http2_adaptive_window(true)
}
