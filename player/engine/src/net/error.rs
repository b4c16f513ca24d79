//! What can go wrong on the way to a body, and what a person can do about it.

use std::{path::PathBuf, time::Duration};

use url::Url;
use weir_abr::planner::Failure;

/// Why a request gave no usable body.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NetError {
    /// No connection came about.
    #[error("could not connect to {host}: {reason}")]
    Connect {
        /// Host and port.
        host: String,
        /// What the system says.
        reason: String,
    },
    /// No machine has that name.
    #[error("no server of the name {host} is known: {reason}")]
    Name {
        /// Host and port.
        host: String,
        /// What the system says.
        reason: String,
    },
    /// The TLS handshake failed.
    #[error("could not set up a secure connection to {host}: {reason}")]
    Tls {
        /// Host and port.
        host: String,
        /// What the TLS library says.
        reason: String,
    },
    /// The connection was lost.
    #[error("the connection to {host} was lost: {reason}")]
    Lost {
        /// Host and port.
        host: String,
        /// What the system says.
        reason: String,
    },
    /// Nothing came for too long.
    #[error("{host} sent nothing for {} s", waited.as_secs_f64())]
    Idle {
        /// Host and port.
        host: String,
        /// How long nothing came.
        waited: Duration,
    },
    /// The server refused.
    #[error("{url} answered with HTTP status {status}{}", meaning(*status))]
    Status {
        /// What was asked for.
        url: Url,
        /// 4xx or 5xx.
        status: u16,
        /// The server says when to come again (`Retry-After`).
        retry_after: Option<Duration>,
    },
    /// The body ended early.
    #[error("{url} ended after {got} of {expected} bytes")]
    Truncated {
        /// What was asked for.
        url: Url,
        /// Bytes that came.
        got: u64,
        /// Bytes that were announced; 0 where the length was not announced.
        expected: u64,
    },
    /// The body is larger than anything sensible.
    #[error("{url} is larger than {limit} bytes, which was not read further")]
    TooLarge {
        /// What was asked for.
        url: Url,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The bytes are not what they were said to be: bad gzip, bad padding, a key of the wrong length.
    #[error("{url} could not be decoded: {reason}")]
    Decode {
        /// What was asked for.
        url: Url,
        /// What is wrong with it.
        reason: String,
    },
    /// Encryption that only a DRM module could undo.
    #[error("{url} is protected with {method}, which needs a DRM module that this player does not have")]
    Protected {
        /// What was asked for.
        url: Url,
        /// The method's name in the manifest.
        method: String,
    },
    /// A file could not be read.
    #[error("{} could not be read: {reason}", path.display())]
    File {
        /// Where it should be.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// Not a scheme for requests, or a file that something from the network names.
    #[error("{url} cannot be requested: only http and https addresses can")]
    Scheme {
        /// What was asked for.
        url: Url,
    },
    /// The client could not be made or used.
    #[error("the HTTP client failed: {0}")]
    Client(String),
}

impl NetError {
    /// The body came too slowly to be of use.
    pub(crate) fn too_slow(url: &Url, waited: Duration) -> Self {
        let reason = format!("its body was not complete after {} s", waited.as_secs());
        Self::Lost { host: host_of(url), reason }
    }

    /// What the brain is told.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Status { status, .. } => Failure::Status(*status),
            Self::Truncated { .. } => Failure::Truncated,
            Self::Decode { .. } | Self::TooLarge { .. } => Failure::Corrupt,
            Self::Protected { .. } => Failure::Unplayable,
            // As if a server did not have it: nothing gets better by asking again.
            Self::File { .. } => Failure::Status(404),
            Self::Connect { .. }
            | Self::Name { .. }
            | Self::Tls { .. }
            | Self::Lost { .. }
            | Self::Idle { .. }
            | Self::Scheme { .. }
            | Self::Client(_) => Failure::Network,
        }
    }

    /// Worth another try later: nothing that only a person can change.
    pub fn is_passing(&self) -> bool {
        match self {
            // A name may be unknown for a moment, while a network comes back.
            Self::Connect { .. }
            | Self::Name { .. }
            | Self::Lost { .. }
            | Self::Idle { .. }
            | Self::Truncated { .. } => true,
            // 404 may pass: a playlist that is just being written, a server that is just starting.
            Self::Status { status, .. } => *status >= 500 || matches!(status, 404 | 408 | 425 | 429),
            _ => false,
        }
    }

    /// When the server wants to be asked again, where it says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Short and stable, for logs and for looking up.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "server_unreachable",
            Self::Name { .. } => "server_unknown",
            Self::Tls { .. } => "tls_failed",
            Self::Lost { .. } => "connection_lost",
            Self::Idle { .. } => "server_silent",
            Self::Status { .. } => "http_status",
            Self::Truncated { .. } => "body_truncated",
            Self::TooLarge { .. } => "body_too_large",
            Self::Decode { .. } => "body_undecodable",
            Self::Protected { .. } => "drm_protected",
            Self::File { .. } => "file_unreadable",
            Self::Scheme { .. } => "address_scheme",
            Self::Client(_) => "http_client",
        }
    }

    /// What a person can do.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Connect { .. } => {
                "Check that the server is running, that the host and port are right, and that this machine is online."
            }
            Self::Name { .. } => {
                "Check how the name is spelt, and that this machine is online and can look names up."
            }
            Self::Tls { .. } => {
                "Check the server's certificate and this machine's clock and CA certificates (package ca-certificates); \
                 for an authority of one's own, name a file with its certificate in the environment variable SSL_CERT_FILE."
            }
            Self::Lost { .. } | Self::Idle { .. } | Self::Truncated { .. } => {
                "The network or the server is in trouble: try again, or look at the server's log."
            }
            Self::Status { status: 401 | 403, .. } => {
                "The server does not let you in: check the address for a token that ran out."
            }
            Self::Status { status: 404 | 410, .. } => {
                "Check the address: the stream may have been removed or renamed."
            }
            Self::Status { .. } => "The server has a problem: try again later, or look at its log.",
            Self::TooLarge { .. } | Self::Decode { .. } => {
                "The address may not be a stream, or the stream is damaged: check it with `weir inspect`."
            }
            Self::Protected { .. } => "Use the player that the stream's provider names.",
            Self::File { .. } => "Check that the file is there and that you may read it.",
            Self::Scheme { .. } => "Give an address that starts with http:// or https://.",
            Self::Client(_) => "Start the player again; if it stays, report it with the log.",
        }
    }
}

/// What a status means, in words and brackets.
fn meaning(status: u16) -> String {
    let known = reqwest::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    known.map_or_else(String::new, |reason| format!(" ({})", reason.to_lowercase()))
}

/// Host and port of `url`, for messages.
pub(crate) fn host_of(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        _ => url.to_string(),
    }
}
