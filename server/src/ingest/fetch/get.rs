//! Small downloads into memory: playlists, keys, segments. Every one under the policy, with a limit in bytes and in time.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use reqwest::header;
use url::Url;

use super::{FetchError, FetchPolicy, check_url, client, network, shown};

/// What one download may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Longest body in bytes.
    pub(crate) bytes: u64,
    /// Longest time to the body's end: one that drips is cut off too.
    pub(crate) time: Duration,
}

/// A part of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ByteRange {
    /// First byte.
    pub(crate) offset: u64,
    /// How many, at least 1.
    pub(crate) length: u64,
}

/// Downloads into memory, over connections that are kept. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Getter {
    client: reqwest::Client,
    policy: Arc<dyn FetchPolicy>,
}

impl Getter {
    /// Downloads under `policy`.
    pub(crate) fn new(policy: Arc<dyn FetchPolicy>) -> Result<Self, FetchError> {
        let client = client(Arc::clone(&policy)).map_err(|error| FetchError::Network {
            url: "anything".to_owned(),
            why: format!("no HTTP client can be made: {error}"),
        })?;
        Ok(Self { client, policy })
    }

    /// Upper bound of a whole download in bytes.
    pub(crate) fn max_bytes(&self) -> u64 {
        self.policy.max_bytes()
    }

    /// The body, and the address that it came from in the end.
    pub(crate) async fn get(
        &self,
        url: &Url,
        range: Option<ByteRange>,
        limits: Limits,
    ) -> Result<(Url, Bytes), FetchError> {
        match tokio::time::timeout(limits.time, self.read(url, range, limits.bytes)).await {
            Ok(result) => result,
            Err(_) => Err(FetchError::TooSlow { url: shown(url), seconds: limits.time.as_secs() }),
        }
    }

    async fn read(
        &self,
        url: &Url,
        range: Option<ByteRange>,
        limit: u64,
    ) -> Result<(Url, Bytes), FetchError> {
        check_url(self.policy.as_ref(), url).map_err(|why| FetchError::Forbidden { url: shown(url), why })?;
        let mut request = self.client.get(url.clone());
        let mut limit = limit;
        if let Some(ByteRange { offset, length }) = range {
            if length > limit {
                return Err(FetchError::TooLarge { url: shown(url), limit });
            }
            let last = offset.saturating_add(length).saturating_sub(1);
            request = request.header(header::RANGE, format!("bytes={offset}-{last}"));
        }
        let response = request.send().await.map_err(|e| network(url, e))?;
        if !response.status().is_success() {
            return Err(FetchError::Status { url: shown(url), status: response.status().to_string() });
        }
        let end = response.url().clone();
        // A server that knows no ranges sends everything: what was asked for is cut out of it.
        let cut = range.filter(|_| response.status() != reqwest::StatusCode::PARTIAL_CONTENT);
        if let Some(ByteRange { offset, length }) = cut {
            limit = offset.saturating_add(length).min(limit);
        }
        let too_large = || FetchError::TooLarge { url: shown(url), limit };
        if cut.is_none() && response.content_length().is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut body = BytesMut::new();
        let mut stream = response.bytes_stream();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|e| network(url, e))?;
            if body.len() as u64 + chunk.len() as u64 > limit {
                if cut.is_none() {
                    return Err(too_large());
                }
                body.extend_from_slice(
                    chunk.get(..(limit as usize).saturating_sub(body.len())).unwrap_or(&[]),
                );
                break;
            }
            body.extend_from_slice(&chunk);
        }
        let mut body = body.freeze();
        if let Some(ByteRange { offset, length }) = cut {
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(body.len());
            body = body.slice(from..);
            body.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        }
        if range.is_some_and(|range| body.len() as u64 != range.length) {
            return Err(FetchError::Network {
                url: shown(url),
                why: "it is shorter than the range that its playlist names".to_owned(),
            });
        }
        Ok((end, body))
    }
}
