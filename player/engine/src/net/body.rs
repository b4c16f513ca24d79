//! One request: head, body in chunks with their times, checks.

use std::{
    error::Error as _,
    ops::Range,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use reqwest::{
    StatusCode, Version,
    header::{
        ACCEPT_ENCODING, AGE, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, DATE, HeaderMap, RANGE,
        RETRY_AFTER,
    },
};
use tokio::time::timeout;
use url::Url;

use super::{Http, NetError, error::host_of, stream::Tap};

/// Progress is told at most this often: finer adds nothing to an estimate of throughput.
const PROGRESS_EVERY: Duration = Duration::from_millis(25);

/// How a request is getting on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The response's head arrived, with a good status; the body will have so many bytes, where it says so.
    Head(Option<u64>),
    /// So many bytes of the body arrived in all.
    Bytes(u64),
    /// All that there is has come; more will when it is made.
    Idle,
}

/// What to ask for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Absolute, http or https.
    pub url: Url,
    /// Bytes of it, end exclusive; `None` for all.
    pub range: Option<Range<u64>>,
    /// Largest body to take in.
    pub limit: u64,
    /// Let the server compress it.
    pub compressed: bool,
    /// How long the server may be silent.
    pub idle: Duration,
}

/// A complete body.
#[derive(Clone, Debug)]
pub struct Body {
    /// After redirects: what relative addresses in the body are relative to.
    pub url: Url,
    /// `Content-Type` without parameters, lower case.
    pub content_type: Option<String>,
    /// As sent, so still compressed when `gzip` says so. Empty where the bytes were handed on as they came.
    pub bytes: Bytes,
    /// Bytes that came.
    pub length: u64,
    /// The body is gzip.
    pub gzip: bool,
    /// Request to head.
    pub first_byte: Duration,
    /// The server's clock when it made this (`Date`, `Age`), seconds since the Unix epoch.
    pub clock: Option<f64>,
    /// Protocol that was spoken: `HTTP/1.1`, `HTTP/2.0`.
    pub version: Version,
}

impl Http {
    /// Requests `ask` and reads its body to the end. Dropping the future closes this request, and only this one.
    pub async fn get(&self, ask: Ask, mut progress: impl FnMut(Progress)) -> Result<Body, NetError> {
        self.read(ask, &mut progress, None).await
    }

    /// As [`get`](Self::get); with a tap the bytes go there as they come, and are not kept.
    pub(super) async fn read(
        &self,
        ask: Ask,
        progress: &mut impl FnMut(Progress),
        mut tap: Option<&mut Tap>,
    ) -> Result<Body, NetError> {
        if ask.url.scheme() == "file" && self.local {
            return self.read_file(ask, progress, tap).await;
        }
        let Ask { url, range, limit, compressed, idle } = ask;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(NetError::Scheme { url });
        }
        let silent = || NetError::Idle { host: host_of(&url), waited: idle };
        let mut request = self.client.get(self.with_login(&url));
        request = request.header(ACCEPT_ENCODING, if compressed { "gzip" } else { "identity" });
        if range.as_ref().is_some_and(Range::is_empty) {
            return Err(NetError::Decode { url, reason: "its byte range is empty".to_owned() });
        }
        // What was handed on already need not come again.
        let had = tap.as_ref().map_or(0, |tap| tap.wants_from());
        let start = range.as_ref().map_or(0, |range| range.start) + had;
        if let Some(range) = &range {
            request = request.header(RANGE, format!("bytes={start}-{}", range.end.max(start + 1) - 1));
        } else if had > 0 {
            request = request.header(RANGE, format!("bytes={start}-"));
        }
        let asked = Instant::now();
        let mut response =
            timeout(idle, request.send()).await.map_err(|_| silent())?.map_err(|error| sort(&url, &error))?;
        let status = response.status();
        let (first, total) = content_range(response.headers());
        if status == StatusCode::RANGE_NOT_SATISFIABLE && had > 0 {
            if let Some(tap) = &mut tap {
                tap.needs_whole();
            }
            // There is no more: a length that was announced was wrong.
            if range.is_none() && total == Some(had) {
                return Ok(Body {
                    url: response.url().clone(),
                    content_type: None,
                    bytes: Bytes::new(),
                    length: 0,
                    gzip: false,
                    first_byte: asked.elapsed(),
                    clock: None,
                    version: response.version(),
                });
            }
            return Err(NetError::Truncated { url, got: had, expected: total.unwrap_or(0) });
        }
        if !status.is_success() {
            let retry_after = retry_after(response.headers());
            return Err(NetError::Status { url, status: status.as_u16(), retry_after });
        }
        let first_byte = asked.elapsed();
        let announced = response.content_length();
        let goes_on = had > 0 && status == StatusCode::PARTIAL_CONTENT && first.is_none_or(|at| at == start);
        let had = if goes_on { had } else { 0 };
        progress(Progress::Head(announced.map(|rest| rest.saturating_add(had))));
        if announced.is_some_and(|length| length > limit) {
            return Err(NetError::TooLarge { url, limit });
        }
        let content_type = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(|value| value.split(';').next().unwrap_or(value).trim().to_ascii_lowercase());
        let coding = response.headers().get(CONTENT_ENCODING);
        let gzip = coding.is_some_and(|value| matches!(value.as_bytes(), b"gzip" | b"x-gzip"));
        let version = response.version();
        let clock = clock(response.headers());

        // An announced length is a hint for one allocation, never a reason for a huge one.
        let kept = if tap.is_some() { 0 } else { announced.unwrap_or(64 << 10).min(8 << 20) };
        let mut bytes = BytesMut::with_capacity(kept as usize);
        let mut got = 0_u64;
        // A server without range support sends everything.
        let part = range.as_ref().filter(|_| status == StatusCode::OK);
        match &mut tap {
            Some(tap) if goes_on && !gzip => tap.go_on(had),
            Some(tap) => tap.begin(gzip),
            None => {}
        }
        let mut told = Instant::now();
        loop {
            let chunk = match timeout(idle, response.chunk()).await {
                Err(_) => return Err(silent()),
                Ok(Ok(None)) => break,
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Err(error)) => {
                    return Err(cut(&url, &error, had + got, announced.map(|rest| rest + had)));
                }
            };
            let from = got;
            got += chunk.len() as u64;
            if got > limit {
                return Err(NetError::TooLarge { url, limit });
            }
            let mut idle = false;
            match &mut tap {
                Some(tap) => {
                    let chunk = match part {
                        Some(part) => overlap(&chunk, from, part),
                        None => chunk,
                    };
                    idle = tap
                        .take(chunk)
                        .await
                        .map_err(|reason| NetError::Decode { url: url.clone(), reason })?;
                }
                None => bytes.extend_from_slice(&chunk),
            }
            if idle || told.elapsed() >= PROGRESS_EVERY {
                told = Instant::now();
                progress(Progress::Bytes(had + got));
            }
            if idle {
                progress(Progress::Idle);
            }
        }
        if let Some(expected) = announced.filter(|&expected| expected != got) {
            return Err(NetError::Truncated { url, got: had + got, expected: had + expected });
        }
        if let Some(tap) = &mut tap {
            tap.end().await.map_err(|reason| NetError::Decode { url: url.clone(), reason })?;
        }
        let mut bytes = bytes.freeze();
        if let Some(range) = range {
            let expected = range.end - range.start;
            if status == StatusCode::OK && tap.is_none() && got >= range.end {
                bytes = bytes.slice(range.start as usize..range.end as usize);
            }
            let got = tap.as_ref().map_or(bytes.len() as u64, |tap| tap.seen());
            if got != expected {
                return Err(NetError::Truncated { url, got, expected });
            }
        }
        let url = response.url().clone();
        Ok(Body { url, content_type, bytes, length: got, gzip, first_byte, clock, version })
    }
}

/// What of `chunk`, which starts at byte `from`, lies in `range`.
fn overlap(chunk: &Bytes, from: u64, range: &Range<u64>) -> Bytes {
    let within = |at: u64| at.clamp(from, from + chunk.len() as u64) - from;
    chunk.slice(within(range.start) as usize..within(range.end.max(range.start)) as usize)
}

/// A failure before the head.
fn sort(url: &Url, error: &reqwest::Error) -> NetError {
    let host = host_of(url);
    let reason = innermost(error);
    if error.is_connect() {
        match tls_error(error) {
            Some(error) => NetError::Tls { reason: tls_reason(error, &host), host },
            None if is_unknown_name(error) => NetError::Name { host, reason: plain_reason(&reason) },
            None => NetError::Connect { host, reason: plain_reason(&reason) },
        }
    } else if error.is_timeout() {
        NetError::Connect { host, reason: "it took too long".to_owned() }
    } else if error.is_builder() {
        NetError::Client(reason)
    } else if error.is_redirect() {
        NetError::Decode { url: url.clone(), reason: format!("its redirects lead nowhere: {reason}") }
    } else {
        NetError::Lost { host, reason: plain_reason(&reason) }
    }
}

/// The connection failed because nobody knows the name. The resolver's error has no kind of its own.
fn is_unknown_name(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if inner.to_string().starts_with("dns error")
            || inner.to_string().starts_with("failed to lookup address")
        {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// What the system says, without its numbers and its preamble.
fn plain_reason(reason: &str) -> String {
    let reason = reason.strip_prefix("failed to lookup address information: ").unwrap_or(reason);
    let end = reason.rfind(" (os error ").unwrap_or(reason.len());
    reason.get(..end).unwrap_or(reason).to_lowercase()
}

/// A failure inside the body.
fn cut(url: &Url, error: &reqwest::Error, got: u64, announced: Option<u64>) -> NetError {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<std::io::Error>()
            && io.kind() != std::io::ErrorKind::UnexpectedEof
        {
            return NetError::Lost { host: host_of(url), reason: plain_reason(&io.to_string()) };
        }
        source = inner.source();
    }
    NetError::Truncated { url: url.clone(), got, expected: announced.unwrap_or(0) }
}

/// The TLS library's error in a chain of causes.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    // What an io::Error carries is not its source: that is the source of what it carries.
    let carried = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let carried = carried.and_then(|carried| tls_error(carried));
    carried.or_else(|| error.source().and_then(tls_error))
}

/// What is wrong with a certificate, for people.
fn tls_reason(error: &rustls::Error, host: &str) -> String {
    use rustls::CertificateError as Bad;
    let bad = match error {
        rustls::Error::InvalidCertificate(bad) => bad,
        // An answer in plain HTTP does not look like a record of TLS.
        rustls::Error::InvalidMessage(_) => {
            return "what answers there does not speak HTTPS; the address may begin with http://".to_owned();
        }
        error => return error.to_string(),
    };
    match bad {
        Bad::Expired | Bad::ExpiredContext { .. } => "its certificate has expired".to_owned(),
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
            "its certificate is not valid yet by this machine's clock".to_owned()
        }
        Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
            format!("its certificate is for another host than {host}")
        }
        Bad::UnknownIssuer => {
            "its certificate was issued by an authority that this machine does not trust".to_owned()
        }
        Bad::Revoked => "its certificate was revoked".to_owned(),
        other => format!("its certificate is not accepted: {other}"),
    }
}

/// First byte and whole length of `Content-Range: bytes 5-9/10`, or `bytes */10`.
fn content_range(headers: &HeaderMap) -> (Option<u64>, Option<u64>) {
    let value = headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let Some((range, total)) = value.and_then(|value| value.trim().strip_prefix("bytes ")?.split_once('/'))
    else {
        return (None, None);
    };
    let first = range.split('-').next().and_then(|first| first.trim().parse().ok());
    (first, total.trim().parse().ok())
}

/// `Date: Sun, 06 Nov 1994 08:49:37 GMT`, and the `Age` that it has in a cache.
fn clock(headers: &HeaderMap) -> Option<f64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let mut parts = text(DATE)?.split_whitespace().skip(1);
    let (day, month, year, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let at = weir_manifest::read_clock(&format!("{year}-{month:02}-{day:0>2}T{time}Z"))?;
    let age = text(AGE).and_then(|age| age.trim().parse::<u32>().ok()).unwrap_or(0);
    Some(at + f64::from(age))
}

/// `Retry-After` in seconds; the form with a date is not used by servers of media.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The deepest cause says most ("Connection refused"); the layers above only say "error sending request".
fn innermost(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_told_without_its_numbers() {
        assert_eq!(plain_reason("Connection refused (os error 111)"), "connection refused");
        let unknown = "failed to lookup address information: Name or service not known";
        assert_eq!(plain_reason(unknown), "name or service not known");
        assert_eq!(plain_reason(""), "");
    }

    #[test]
    fn the_servers_clock_is_read_from_its_answer() {
        let read = |fields: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.insert(*name, value.parse().unwrap());
            }
            clock(&headers)
        };
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(read(&[date]), Some(784_111_777.0));
        assert_eq!(read(&[date, ("age", "23")]), Some(784_111_800.0));
        assert_eq!(read(&[("date", "Sun, 6 Nov 1994 08:49:37 GMT")]), Some(784_111_777.0));
        for odd in ["", "now", "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(read(&[("date", odd)]), None, "{odd}");
        }
    }

    #[test]
    fn a_content_range_says_where_it_begins_and_how_long_all_is() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, text.parse().unwrap());
            content_range(&headers)
        };
        assert_eq!(read("bytes 5-9/10"), (Some(5), Some(10)));
        assert_eq!(read("bytes 5-9/*"), (Some(5), None));
        assert_eq!(read("bytes */10"), (None, Some(10)));
        assert_eq!(read("lines 1-2/3"), (None, None));
        assert_eq!(content_range(&HeaderMap::new()), (None, None));
    }
}
