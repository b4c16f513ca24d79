//! Downloads a source, within limits and only from where the policy lets it.

use std::fmt;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect;
use url::{Host, Url};

/// Where the server may download from, and how much.
///
/// `allow_url` is asked before the first request and at each redirect; `allow_address` for every address
/// that a host name resolves to, at the moment of connecting, so that a name cannot change its address
/// between check and use.
pub trait FetchPolicy: Send + Sync + fmt::Debug {
    /// May this URL be fetched? The error is one sentence for the person who asked.
    ///
    /// # Errors
    /// When the URL is forbidden.
    fn allow_url(&self, url: &Url) -> Result<(), String>;
    /// May this address be connected to?
    fn allow_address(&self, address: IpAddr) -> bool;
    /// Upper bound of a download in bytes.
    fn max_bytes(&self) -> u64;
}

/// The safe default: http and https to public addresses only.
#[derive(Debug, Clone)]
pub struct PublicInternet {
    /// Upper bound of a download in bytes.
    pub max_bytes: u64,
}

impl FetchPolicy for PublicInternet {
    fn allow_url(&self, url: &Url) -> Result<(), String> {
        if matches!(url.scheme(), "http" | "https") {
            Ok(())
        } else {
            Err(format!("{:?} URLs are not fetched: use http or https", url.scheme()))
        }
    }

    fn allow_address(&self, address: IpAddr) -> bool {
        is_public(address)
    }

    fn max_bytes(&self) -> u64 {
        self.max_bytes
    }
}

/// Whether an address is one of the public internet's: not loopback, private, link-local (cloud metadata
/// lives there), shared, multicast, documentation or unspecified.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let benchmark = a == 198 && (18..20).contains(&b);
    let protocol = a == 192 && b == 0 && c == 0;
    !(v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_multicast()
        || v4.is_documentation()
        || a == 0
        || a >= 240
        || shared
        || benchmark
        || protocol)
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    if let Some(v4) = v6.to_ipv4() {
        // Mapped (::ffff:a.b.c.d) and compatible addresses, ::1 and :: included.
        return is_public_v4(v4);
    }
    let [first, second, ..] = v6.segments();
    let translated = first == 0x64 && second == 0xff9b; // NAT64 reaches v4 hosts behind the gateway.
    let six_to_four = first == 0x2002;
    let documentation = first == 0x2001 && second == 0xdb8;
    (first & 0xe000) == 0x2000 && !translated && !six_to_four && !documentation
}

/// Why a download failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The policy said no.
    #[error("downloading {url} is not allowed: {why}")]
    Forbidden {
        /// What was asked for.
        url: String,
        /// The policy's sentence.
        why: String,
    },
    /// The body is larger than the policy allows.
    #[error("{url} is larger than the limit of {limit} bytes")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The server answered with something other than success.
    #[error("{url} answered {status}: check the address")]
    Status {
        /// What was asked for.
        url: String,
        /// The status line's code and reason.
        status: String,
    },
    /// Connection or transfer failed.
    #[error("cannot download {url}: {why}; check the address and try again")]
    Network {
        /// What was asked for.
        url: String,
        /// The chain of causes.
        why: String,
    },
    /// The temporary file could not be written.
    #[error("cannot write the download to disk: {0}; check free space")]
    Disk(#[from] std::io::Error),
    /// The body did not end within its time.
    #[error("{url} took longer than {seconds} s; the server is too slow, or what it sends has no end")]
    TooSlow {
        /// What was asked for.
        url: String,
        /// The limit in seconds.
        seconds: u64,
    },
    /// [`fetch`]'s `keep_going` said stop.
    #[error("the download was cancelled")]
    Cancelled,
}

const MAX_REDIRECTS: usize = 5;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time without a byte.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Downloads `url` to `to` (by way of `to` + ".part"), calling `progress` with bytes so far and, where the
/// server says it, the total; it returns `false` to stop.
///
/// # Errors
/// See [`FetchError`]. Nothing is left behind then.
pub async fn fetch(
    url: &Url,
    to: &Path,
    policy: Arc<dyn FetchPolicy>,
    mut progress: impl FnMut(u64, Option<u64>) -> bool + Send,
) -> Result<u64, FetchError> {
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let result = download(url, Path::new(&part), policy, &mut progress).await;
    match result {
        Ok(bytes) => {
            std::fs::rename(&part, to)?;
            Ok(bytes)
        }
        Err(error) => {
            let _ = std::fs::remove_file(&part);
            Err(error)
        }
    }
}

async fn download(
    url: &Url,
    part: &Path,
    policy: Arc<dyn FetchPolicy>,
    progress: &mut (impl FnMut(u64, Option<u64>) -> bool + Send),
) -> Result<u64, FetchError> {
    check_url(policy.as_ref(), url).map_err(|why| FetchError::Forbidden { url: shown(url), why })?;
    let limit = policy.max_bytes();
    let client = client(Arc::clone(&policy)).map_err(|e| network(url, e))?;
    let response = client.get(url.clone()).send().await.map_err(|e| network(url, e))?;
    if !response.status().is_success() {
        return Err(FetchError::Status { url: shown(url), status: response.status().to_string() });
    }
    let total = response.content_length();
    if total.is_some_and(|total| total > limit) {
        return Err(FetchError::TooLarge { url: shown(url), limit });
    }
    let mut file = std::io::BufWriter::new(std::fs::File::create(part)?);
    let mut body = response.bytes_stream();
    let mut received = 0_u64;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|e| network(url, e))?;
        received += chunk.len() as u64;
        if received > limit {
            return Err(FetchError::TooLarge { url: shown(url), limit });
        }
        file.write_all(&chunk)?;
        if !progress(received, total) {
            return Err(FetchError::Cancelled);
        }
    }
    file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_data()?;
    Ok(received)
}

/// An address as messages show it: without user, password and query, which may hold secrets.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_fragment(None);
    if url.query().is_some() {
        url.set_query(Some("..."));
    }
    // Fails for addresses that cannot have them, which therefore have none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let text = url.to_string();
    match text.char_indices().nth(300) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

fn network(url: &Url, error: reqwest::Error) -> FetchError {
    let error = error.without_url();
    let mut why = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        why = format!("{why}: {inner}");
        cause = inner.source();
    }
    FetchError::Network { url: shown(url), why }
}

/// Asks the policy about an address, with what its literal host says.
///
/// # Errors
/// A sentence for the one who gave the address.
pub fn check_url(policy: &dyn FetchPolicy, url: &Url) -> Result<(), String> {
    policy.allow_url(url)?;
    // A literal address never reaches the resolver below.
    let literal = match url.host() {
        Some(Host::Ipv4(v4)) => Some(IpAddr::V4(v4)),
        Some(Host::Ipv6(v6)) => Some(IpAddr::V6(v6)),
        Some(Host::Domain(_)) => None,
        None => return Err("the address has no host".to_owned()),
    };
    match literal {
        Some(address) if !policy.allow_address(address) => {
            Err(format!("{address} is not an address that this server may fetch from"))
        }
        _ => Ok(()),
    }
}

fn client(policy: Arc<dyn FetchPolicy>) -> Result<reqwest::Client, reqwest::Error> {
    // Fails when one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let for_redirects = Arc::clone(&policy);
    reqwest::Client::builder()
        // A proxy from the environment would resolve names itself, past the policy.
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(IDLE_TIMEOUT)
        .user_agent(concat!("weir-server/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(GuardedResolver(policy))
        .redirect(redirect::Policy::custom(move |attempt| {
            if attempt.previous().len() > MAX_REDIRECTS {
                return attempt.error("too many redirects");
            }
            match check_url(for_redirects.as_ref(), attempt.url()) {
                Ok(()) => attempt.follow(),
                Err(why) => attempt.error(format!("redirect refused: {why}")),
            }
        }))
        .build()
}

/// Resolves names to addresses that the policy allows.
#[derive(Debug)]
pub(crate) struct GuardedResolver(Arc<dyn FetchPolicy>);

impl GuardedResolver {
    /// A resolver under `policy`.
    pub(crate) fn new(policy: Arc<dyn FetchPolicy>) -> Self {
        Self(policy)
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = Arc::clone(&self.0);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let (allowed, refused): (Vec<SocketAddr>, Vec<SocketAddr>) =
                found.partition(|address| policy.allow_address(address.ip()));
            if allowed.is_empty() && !refused.is_empty() {
                return Err(format!("{} is not a host that this server may fetch from", name.as_str()).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

mod get;
#[cfg(test)]
mod tests;

pub(crate) use get::{ByteRange, Getter, Limits};
