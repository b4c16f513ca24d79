//! The options of `proxy`.

use std::{net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use url::Url;

use super::Fault;
use crate::{
    options,
    trace::{self, Trace},
};

/// Shapes the traffic between any player and a server.
#[derive(Args, Clone, Debug)]
pub struct ProxyArgs {
    /// Server to forward to, e.g. `http://127.0.0.1:8080`. A path in it is put before every request's path.
    #[arg(long, value_name = "URL", value_parser = upstream)]
    pub upstream: Url,
    /// Where to listen. Port 0 takes a free one; the first line of output says which.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090")]
    pub listen: SocketAddr,
    /// Network trace to follow, in any known format; `FILE#NAME` or `FILE#3` picks one of several in a file.
    #[arg(long, value_name = "FILE", conflicts_with = "rate")]
    pub trace: Option<String>,
    /// Constant rate instead of a trace: `800k`, `1.5M`, or bit/s. Without either the link is not limited.
    #[arg(long, value_name = "RATE", value_parser = options::rate_kbps)]
    pub rate: Option<f64>,
    /// Delay before each response and at connection set-up, e.g. `40ms`; replaces the trace's.
    #[arg(long, value_name = "TIME", value_parser = options::duration, allow_hyphen_values = true)]
    pub latency: Option<Duration>,
    /// When the trace begins.
    #[arg(long, value_enum, default_value_t = TraceStart::FirstRequest)]
    pub start: TraceStart,
    /// Who shares a link.
    #[arg(long, value_enum, default_value_t = Share::Client)]
    pub share: Share,
    /// Inject a fault: `KIND[=VALUE]@URL-PART[#N][%PROBABILITY]`, see docs/proxy.md. May be given several times.
    ///
    /// Kinds: a status (404, 503 ...), `reset`, `truncate[=50%|BYTES]`, `stall[=5s]`, `delay=2s`, `corrupt`.
    /// URL-PART is a piece of the path and query with `*` and `?` as wildcards. `#2` means only the second
    /// match, `#2-4` the second to fourth, `#3+` from the third on.
    #[arg(long = "fault", value_name = "FAULT", value_parser = Fault::from_str)]
    pub faults: Vec<Fault>,
    /// Seed of the faults' probabilities.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// What a client sees while the server cannot be reached.
    #[arg(long, value_enum, default_value_t = UpstreamDown::BadGateway)]
    pub upstream_down: UpstreamDown,
    /// Rewrite absolute URLs of the upstream in HLS and DASH manifests so that they lead through the proxy.
    #[arg(long)]
    pub rewrite: bool,
    /// Append one JSON object for each request to this file.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
}

/// When the trace begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TraceStart {
    /// With each client's first request.
    #[default]
    FirstRequest,
    /// Now, for all clients.
    Now,
}

/// Who shares a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Share {
    /// All connections from one IP address.
    #[default]
    Client,
    /// Nobody: each connection has a link of its own.
    Connection,
    /// All clients together.
    All,
}

/// What a client sees while the server cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum UpstreamDown {
    /// Status 502 with a sentence.
    #[default]
    #[value(name = "502")]
    BadGateway,
    /// A connection reset.
    Reset,
}

/// An address that requests can be forwarded to.
fn upstream(text: &str) -> Result<Url, String> {
    let wanted = "write http://host:port or https://host, perhaps with a path";
    let url = Url::parse(text).map_err(|reason| format!("{reason}; {wanted}"))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        other => Err(format!("nothing is forwarded to {other}: addresses; {wanted}")),
    }
}

impl ProxyArgs {
    /// Options with defaults, for use as a library.
    pub fn new(upstream: Url) -> Self {
        Self {
            upstream,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            trace: None,
            rate: None,
            latency: None,
            start: TraceStart::default(),
            share: Share::default(),
            faults: Vec::new(),
            seed: 1,
            upstream_down: UpstreamDown::default(),
            rewrite: false,
            log: None,
        }
    }

    /// The trace to follow; `None` means no limit.
    pub(super) fn load_trace(&self) -> anyhow::Result<Option<Trace>> {
        let trace = match (&self.trace, self.rate) {
            (Some(source), _) => Some(trace::read_one(source)?),
            (None, Some(kbps)) => Some(Trace::constant(kbps, 0.0).context("using --rate as a link")?),
            // A link of its own for the delay alone; faster than anything that comes through here.
            (None, None) if self.latency.is_some() => {
                Some(Trace::constant(10e6, 0.0).context("making a link for --latency")?)
            }
            (None, None) => None,
        };
        Ok(match (trace, self.latency) {
            (Some(trace), Some(latency)) => Some(trace.with_latency(latency.as_secs_f64() * 1000.0)),
            (trace, _) => trace,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_forwarded_to_is_an_upstream() {
        assert_eq!(upstream("http://127.0.0.1:8080/base").unwrap().port(), Some(8080));
        for bad in ["", "nonsense", "localhost:8080", "ftp://h/", "file:///a", "http://"] {
            let error = upstream(bad).expect_err(bad);
            assert!(error.contains("write http://"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_delay_alone_is_a_link_too() {
        let mut args = ProxyArgs::new(upstream("http://127.0.0.1:8080").unwrap());
        assert!(args.load_trace().unwrap().is_none());
        args.latency = Some(Duration::from_millis(40));
        assert_eq!(args.load_trace().unwrap().map(|trace| trace.points()[0].latency_ms), Some(40.0));
    }
}
