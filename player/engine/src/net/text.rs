//! Manifests and playlists: text, retried with back-off.

use std::{io::Read, time::Duration};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use url::Url;

use super::{Ask, Http, NetError};

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
    /// For a playlist in mid-play: the buffer lasts a while, and a server may be restarting.
    pub const PLAYING: Self =
        Self { tries: 8, first: Duration::from_millis(300), longest: Duration::from_secs(5) };

    /// The wait after the `failed`th failure in a row (1 is the first); `None` when there is no further try.
    pub fn wait(&self, failed: u32) -> Option<Duration> {
        (failed < self.tries).then(|| {
            let doubled = self.first.saturating_mul(2u32.saturating_pow(failed.saturating_sub(1)));
            doubled.min(self.longest)
        })
    }
}

/// A text and where it came from.
#[derive(Clone, Debug)]
pub struct Document {
    /// After redirects.
    pub url: Url,
    /// `Content-Type` without parameters, lower case.
    pub content_type: Option<String>,
    /// Decompressed; bytes that are no UTF-8 became replacement characters.
    pub text: String,
    /// From the first try to the last byte.
    pub took: Duration,
}

impl Http {
    /// Loads a text. `failed` hears of each failure that is followed by another try.
    pub async fn text(
        &self,
        url: &Url,
        retry: Retry,
        mut failed: impl FnMut(&NetError, Duration),
    ) -> Result<Document, NetError> {
        let from = std::time::Instant::now();
        let mut failures = 0;
        loop {
            let error = match self.text_once(url).await {
                Ok(document) => return Ok(Document { took: from.elapsed(), ..document }),
                Err(error) => error,
            };
            failures += 1;
            match retry.wait(failures).filter(|_| error.is_passing()) {
                Some(wait) => {
                    failed(&error, wait);
                    tokio::time::sleep(wait).await;
                }
                None => return Err(error),
            }
        }
    }

    async fn text_once(&self, url: &Url) -> Result<Document, NetError> {
        let limit = self.limits.text;
        let ask = Ask { url: url.clone(), range: None, limit, compressed: true };
        let body = self.get(ask, |_| ()).await?;
        let bytes = if body.gzip { gunzip(&body.url, &body.bytes, limit)? } else { body.bytes };
        let text = match String::from_utf8_lossy(&bytes) {
            std::borrow::Cow::Borrowed(text) => text.to_owned(),
            std::borrow::Cow::Owned(text) => text,
        };
        Ok(Document { url: body.url, content_type: body.content_type, text, took: Duration::ZERO })
    }
}

/// Decompresses at most `limit` bytes: a small body may hide a huge one.
fn gunzip(url: &Url, bytes: &[u8], limit: u64) -> Result<Bytes, NetError> {
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
