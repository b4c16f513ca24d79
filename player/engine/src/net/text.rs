//! Manifests, playlists and segment indexes: small documents, retried with back-off.

use std::{
    io::Read,
    time::{Duration, Instant},
};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use url::Url;
use weir_manifest::model::Resource;

use super::{Ask, Body, Http, NetError};

/// A server that wants to be left alone for longer than this is asked all the same: somebody is waiting.
pub(super) const LONGEST_ASKED: Duration = Duration::from_secs(5);

/// How often, and how far apart, something is tried again.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Tries in all, at least 1.
    pub tries: u32,
    /// Wait before the second try; it doubles from there.
    pub first: Duration,
    /// No wait is longer.
    pub longest: Duration,
}

impl Retry {
    /// For the first load: a person is waiting for the picture or for the message.
    pub const OPEN: Self =
        Self { tries: 4, first: Duration::from_millis(300), longest: Duration::from_millis(1500) };
    /// In mid-play: whoever asked decides whether to go on asking.
    pub const PLAYING: Self =
        Self { tries: 2, first: Duration::from_millis(300), longest: Duration::from_millis(300) };

    /// The wait after the `failed`th failure in a row (1 is the first); `None` when there is no further try.
    pub fn wait(&self, failed: u32) -> Option<Duration> {
        (failed < self.tries).then(|| {
            let doubled = self.first.saturating_mul(2u32.saturating_pow(failed.saturating_sub(1)));
            doubled.min(self.longest)
        })
    }
}

/// A document and where it came from.
#[derive(Clone, Debug)]
pub struct Document {
    /// After redirects.
    pub url: Url,
    /// `Content-Type` without parameters, lower case.
    pub content_type: Option<String>,
    /// Decompressed.
    pub bytes: Bytes,
    /// From the first try to the last byte.
    pub took: Duration,
    /// The server's clock when it made this, seconds since the Unix epoch, where it says so.
    pub clock: Option<f64>,
    /// Protocol that was spoken: `HTTP/1.1`, `HTTP/2.0`.
    pub http: String,
}

impl Http {
    /// Loads a document. `patience` is how long the server may be silent. `failed` hears of each failure that is
    /// followed by another try, and of the wait before it.
    pub async fn document(
        &self,
        resource: &Resource,
        retry: Retry,
        patience: Duration,
        mut failed: impl FnMut(&NetError, Duration),
    ) -> Result<Document, NetError> {
        let from = Instant::now();
        let mut failures = 0;
        loop {
            let error = match self.document_once(resource, patience).await {
                Ok(document) => return Ok(Document { took: from.elapsed(), ..document }),
                Err(error) => error,
            };
            failures += 1;
            match retry.wait(failures).filter(|_| error.is_passing()) {
                Some(wait) => {
                    let wait = error.retry_after().map_or(wait, |asked| asked.clamp(wait, LONGEST_ASKED));
                    failed(&error, wait);
                    tokio::time::sleep(wait).await;
                }
                None => return Err(error),
            }
        }
    }

    async fn document_once(&self, resource: &Resource, patience: Duration) -> Result<Document, NetError> {
        let limit = self.limits.text;
        let Resource { url, range } = resource.clone();
        // Compression of a part of a file would make its range meaningless.
        let ask = Ask { url, compressed: range.is_none(), range, limit, idle: patience };
        let body = self.get_anywhere(ask, |_| ()).await?;
        let bytes = if body.gzip { gunzip(&body.url, &body.bytes, limit)? } else { body.bytes };
        let http = format!("{:?}", body.version);
        let Body { url, content_type, clock, .. } = body;
        Ok(Document { url, content_type, bytes, took: Duration::ZERO, clock, http })
    }
}

/// Decompresses at most `limit` bytes: a small body may hide a huge one.
pub(super) fn gunzip(url: &Url, bytes: &[u8], limit: u64) -> Result<Bytes, NetError> {
    let mut out = Vec::new();
    MultiGzDecoder::new(bytes)
        .take(limit + 1)
        .read_to_end(&mut out)
        .map_err(|error| NetError::Decode { url: url.clone(), reason: format!("bad gzip: {error}") })?;
    if out.len() as u64 > limit {
        return Err(NetError::TooLarge { url: url.clone(), limit });
    }
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_end() {
        let retry =
            Retry { tries: 4, first: Duration::from_millis(300), longest: Duration::from_millis(1000) };
        let waits: Vec<_> = (1..=4).map(|failed| retry.wait(failed).map(|wait| wait.as_millis())).collect();
        assert_eq!(waits, [Some(300), Some(600), Some(1000), None]);
    }

    #[test]
    fn a_small_gzip_that_hides_a_huge_text_is_refused() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![b'#'; 1 << 20]).unwrap();
        let packed = encoder.finish().unwrap();
        let url = Url::parse("http://a/b.m3u8").unwrap();
        assert!(matches!(gunzip(&url, &packed, 1 << 16), Err(NetError::TooLarge { .. })));
        assert_eq!(gunzip(&url, &packed, 1 << 20).unwrap().len(), 1 << 20);
        assert!(matches!(gunzip(&url, b"no gzip", 100), Err(NetError::Decode { .. })));
    }
}
