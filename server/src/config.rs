//! Settings: flags over environment over a TOML file over defaults.

mod file;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::http::{Limits, TlsFiles};
use crate::ingest::rtmp::{RtmpLimits, RtmpListen};
use crate::ladder::{EncoderProgram, VideoEncoderKind};
use crate::webhooks::HookSetting;

/// What the command line, the environment and the file may set; each says nothing about what it leaves out.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Options {
    /// Folder for everything that the server keeps [default: data]
    #[arg(long, env = "WEIR_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Address to listen on; port 0 lets the system choose [default: 127.0.0.1:8080]
    #[arg(long, env = "WEIR_LISTEN", value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Address where encoders publish by RTMP, or `off` [default: port 1935 beside --listen, if it is free]
    #[arg(long, env = "WEIR_RTMP", value_name = "ADDR:PORT")]
    pub rtmp: Option<RtmpListen>,
    /// Address where encoders publish by RTMP over TLS; needs --tls-cert and --tls-key
    #[arg(long, env = "WEIR_RTMPS", value_name = "ADDR:PORT")]
    pub rtmps: Option<SocketAddr>,
    /// Publishers' connections at the same time [default: 512]
    #[arg(long, env = "WEIR_RTMP_MAX_CONNECTIONS", value_name = "N")]
    pub rtmp_max_connections: Option<usize>,
    /// Publishers' connections at the same time from one address (IPv6: one /64) [default: 32]
    #[arg(long, env = "WEIR_RTMP_MAX_CONNECTIONS_PER_IP", value_name = "N")]
    pub rtmp_max_connections_per_ip: Option<usize>,
    /// Seconds after which a publisher that sends not a byte is cut off [default: 60]
    #[arg(long, env = "WEIR_RTMP_IDLE_S", value_name = "SECONDS")]
    pub rtmp_idle_s: Option<u32>,
    /// Wrong stream keys that one address may try in a minute [default: 10]
    #[arg(long, env = "WEIR_RTMP_WRONG_KEYS", value_name = "N")]
    pub rtmp_wrong_keys: Option<u32>,
    /// Folder whose video files may be published by path; may be given several times
    #[arg(long = "allow-path", env = "WEIR_ALLOW_PATH", value_name = "DIR", value_delimiter = ':')]
    pub allow_path: Vec<PathBuf>,
    /// Let sources be fetched from loopback, private and link-local addresses
    #[arg(long, env = "WEIR_ALLOW_PRIVATE_SOURCES")]
    pub allow_private_sources: bool,
    /// Token that writes must carry as `Authorization: Bearer`. Without it writes are open on a loopback address, and
    /// on any other a token is made at the first start and kept in DIR/token
    #[arg(long, env = "WEIR_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Largest upload or download in megabytes (10^6 bytes) [default: 20000]
    #[arg(long, env = "WEIR_MAX_SOURCE_MB", value_name = "MB")]
    pub max_source_mb: Option<u64>,
    /// Disk space in megabytes that uploads leave free [default: 1000]
    #[arg(long, env = "WEIR_DISK_RESERVE_MB", value_name = "MB")]
    pub disk_reserve_mb: Option<u64>,
    /// Streams that are packaged at the same time [default: 1]
    #[arg(long, env = "WEIR_JOBS", value_name = "N")]
    pub jobs: Option<usize>,
    /// Encoded rungs that a live stream may have below its source; 0 leaves it at the source. What the machine cannot
    /// carry is left out in any case [default: 15]
    #[arg(long, env = "WEIR_LIVE_RUNGS", value_name = "N")]
    pub live_rungs: Option<usize>,
    /// H.264 encoders that may be used, best first [default: the first that works of x264enc, openh264enc,
    /// nvh264enc, vah264enc, vaapih264enc; for live streams hardware first]
    #[arg(long, env = "WEIR_ENCODER", value_name = "ELEMENT", value_delimiter = ',')]
    #[serde(deserialize_with = "elements")]
    pub encoder: Vec<VideoEncoderKind>,
    /// Where streams are decoded and encoded: `process`, each in a process of its own, so that a crash costs its rungs
    /// or its job; or `server`, in the server itself [default: process]
    #[arg(long, env = "WEIR_ENCODE_IN", value_name = "PLACE")]
    pub encode_in: Option<EncodeIn>,
    /// Connections at the same time [default: 10000]
    #[arg(long, env = "WEIR_MAX_CONNECTIONS", value_name = "N")]
    pub max_connections: Option<usize>,
    /// Connections at the same time from one address [default: 1024]
    #[arg(long, env = "WEIR_MAX_CONNECTIONS_PER_IP", value_name = "N")]
    pub max_connections_per_ip: Option<usize>,
    /// Requests that change something which one address may send in a minute (IPv6: one /64) [default: 600]
    #[arg(long, env = "WEIR_MAX_WRITES_PER_MINUTE", value_name = "N")]
    pub max_writes_per_minute: Option<u32>,
    /// Wrong tokens that one address may try in a minute [default: 20]
    #[arg(long, env = "WEIR_WRONG_TOKENS", value_name = "N")]
    pub wrong_tokens: Option<u32>,
    /// Address of a reverse proxy whose X-Forwarded-For is believed; may be given several times
    #[arg(long = "trusted-proxy", env = "WEIR_TRUSTED_PROXY", value_name = "IP", value_delimiter = ',')]
    pub trusted_proxy: Vec<IpAddr>,
    /// Certificate for HTTPS: a PEM file with the certificate and its chain; needs --tls-key. Changed files are taken
    /// up within seconds
    #[arg(long, env = "WEIR_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key: a PEM file
    #[arg(long, env = "WEIR_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Second address, that sends plain HTTP to HTTPS
    #[arg(long, env = "WEIR_REDIRECT_HTTP", value_name = "ADDR:PORT")]
    pub redirect_http: Option<SocketAddr>,
    /// What a stop of the server means for live streams: `endlist` ends them for their viewers, `retry` has viewers
    /// come again and takes the streams up at the next start [default: retry]
    #[arg(long, env = "WEIR_ON_STOP", value_name = "POLICY")]
    pub on_stop: Option<OnStop>,
    /// What is logged: a level, or a list as `info,weir_server=debug` [default: info]
    #[arg(long, env = "WEIR_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// Form of the log on standard error [default: text]
    #[arg(long, env = "WEIR_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Publish sample streams when there is none yet
    #[arg(long, env = "WEIR_DEMO")]
    pub demo: bool,
    /// Who is told what happens; in the file only.
    #[arg(skip)]
    pub webhook: Vec<HookSetting>,
}

/// What a stop of the server means for live streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnStop {
    /// They end for their viewers.
    Endlist,
    /// Viewers come again; the streams are taken up at the next start.
    Retry,
}

/// Where streams are decoded and encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EncodeIn {
    /// Each in a process of its own.
    Process,
    /// In the server itself.
    Server,
}

/// Encoders by the names of their elements, as on the command line.
fn elements<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<VideoEncoderKind>, D::Error> {
    let names = Vec::<String>::deserialize(from)?;
    let read = |name: &String| VideoEncoderKind::from_str(name, false).map_err(serde::de::Error::custom);
    names.iter().map(read).collect()
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Settings with every question answered.
#[derive(Debug, Clone)]
pub struct Config {
    /// Folder for everything that the server keeps.
    pub data: PathBuf,
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Where encoders publish by RTMP.
    pub rtmp: RtmpListen,
    /// Where they do so over TLS.
    pub rtmps: Option<SocketAddr>,
    /// What their connections may cost.
    pub rtmp_limits: RtmpLimits,
    /// Folders whose files may be published, canonical.
    pub roots: Vec<PathBuf>,
    /// Whether sources may come from addresses that are not public.
    pub allow_private_sources: bool,
    /// The configured token.
    pub token: Option<String>,
    /// Largest upload or download in bytes.
    pub max_source: u64,
    /// Disk space in bytes that uploads leave free.
    pub disk_reserve: u64,
    /// Streams that are packaged at the same time.
    pub jobs: usize,
    /// Encoded rungs that a live stream may have.
    pub live_rungs: usize,
    /// The H.264 encoders that may be used, best first; empty leaves it to the server.
    pub encoders: Vec<VideoEncoderKind>,
    /// Where streams are decoded and encoded.
    pub encode_in: EncodeIn,
    /// The program that encodes in processes of its own; set by the program, for a library has none.
    pub encoder_program: Option<EncoderProgram>,
    /// What a connection may cost.
    pub limits: Limits,
    /// Changes that one address may ask for in a minute.
    pub writes_per_minute: u32,
    /// Wrong tokens that one address may try in a minute.
    pub wrong_tokens: u32,
    /// Reverse proxies whose word on the client's address is taken.
    pub trusted_proxies: Vec<IpAddr>,
    /// The pair for HTTPS; without it HTTP is spoken.
    pub tls: Option<TlsFiles>,
    /// Second address, that sends plain HTTP to HTTPS.
    pub redirect_http: Option<SocketAddr>,
    /// What a stop means for live streams.
    pub on_stop: OnStop,
    /// What is logged.
    pub log: String,
    /// Form of the log.
    pub log_format: LogFormat,
    /// Publish sample streams when there is none yet.
    pub demo: bool,
    /// Who is told what happens, beside those that the API added.
    pub webhooks: Vec<HookSetting>,
}

impl Options {
    /// Reads a TOML file with the same names as the flags.
    ///
    /// # Errors
    /// When it cannot be read, or with every name and value in it that is not right, its line, and what would be.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        file::read(path)
    }

    /// The line of a settings file in which a setting stands, counted from 1; `None` when it does not.
    #[must_use]
    pub fn line_of(path: &Path, name: &str) -> Option<usize> {
        file::line_of_setting(&std::fs::read_to_string(path).ok()?, name)
    }

    /// Fills what this leaves open from `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let list = |own: Vec<_>, others| if own.is_empty() { others } else { own };
        Self {
            data: self.data.or(other.data),
            listen: self.listen.or(other.listen),
            rtmp: self.rtmp.or(other.rtmp),
            rtmps: self.rtmps.or(other.rtmps),
            rtmp_max_connections: self.rtmp_max_connections.or(other.rtmp_max_connections),
            rtmp_max_connections_per_ip: self
                .rtmp_max_connections_per_ip
                .or(other.rtmp_max_connections_per_ip),
            rtmp_idle_s: self.rtmp_idle_s.or(other.rtmp_idle_s),
            rtmp_wrong_keys: self.rtmp_wrong_keys.or(other.rtmp_wrong_keys),
            allow_path: list(self.allow_path, other.allow_path),
            allow_private_sources: self.allow_private_sources || other.allow_private_sources,
            token: self.token.or(other.token),
            max_source_mb: self.max_source_mb.or(other.max_source_mb),
            disk_reserve_mb: self.disk_reserve_mb.or(other.disk_reserve_mb),
            jobs: self.jobs.or(other.jobs),
            live_rungs: self.live_rungs.or(other.live_rungs),
            encoder: if self.encoder.is_empty() { other.encoder } else { self.encoder },
            encode_in: self.encode_in.or(other.encode_in),
            max_connections: self.max_connections.or(other.max_connections),
            max_connections_per_ip: self.max_connections_per_ip.or(other.max_connections_per_ip),
            max_writes_per_minute: self.max_writes_per_minute.or(other.max_writes_per_minute),
            wrong_tokens: self.wrong_tokens.or(other.wrong_tokens),
            trusted_proxy: if self.trusted_proxy.is_empty() {
                other.trusted_proxy
            } else {
                self.trusted_proxy
            },
            tls_cert: self.tls_cert.or(other.tls_cert),
            tls_key: self.tls_key.or(other.tls_key),
            redirect_http: self.redirect_http.or(other.redirect_http),
            on_stop: self.on_stop.or(other.on_stop),
            log: self.log.or(other.log),
            log_format: self.log_format.or(other.log_format),
            demo: self.demo || other.demo,
            webhook: if self.webhook.is_empty() { other.webhook } else { self.webhook },
        }
    }

    /// Answers every question.
    ///
    /// # Errors
    /// When a value is out of range or an allowed folder does not exist.
    pub fn resolve(self) -> anyhow::Result<Config> {
        let roots = self
            .allow_path
            .iter()
            .map(|path| {
                let real = path.canonicalize().with_context(|| {
                    format!("cannot use the allowed folder {}: it must exist", path.display())
                })?;
                anyhow::ensure!(real.is_dir(), "the allowed path {} is not a folder", path.display());
                Ok(real)
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let tls = match (self.tls_cert, self.tls_key) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            _ => anyhow::bail!("HTTPS needs both tls-cert and tls-key"),
        };
        anyhow::ensure!(
            tls.is_some() || self.redirect_http.is_none(),
            "redirect-http sends people to HTTPS, which needs tls-cert and tls-key"
        );
        anyhow::ensure!(tls.is_some() || self.rtmps.is_none(), "rtmps needs tls-cert and tls-key");
        let taken =
            |a: Option<SocketAddr>, b: Option<SocketAddr>| a.is_some_and(|a| a.port() != 0 && Some(a) == b);
        let listen = self.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080)));
        let rtmp = self.rtmp.unwrap_or_else(|| RtmpListen::beside(listen.ip()));
        let addresses = [
            ("listen", Some(listen)),
            ("redirect-http", self.redirect_http),
            // The usual one may be taken: the server goes on without it.
            ("rtmp", rtmp.address().filter(|_| matches!(rtmp, RtmpListen::At(_)))),
            ("rtmps", self.rtmps),
        ];
        for (at, (name, address)) in addresses.iter().enumerate() {
            let before = addresses.iter().take(at).find(|(_, other)| taken(*address, *other));
            if let Some((other, address)) = before {
                let address = address.map(|address| address.to_string()).unwrap_or_default();
                anyhow::bail!("{name} and {other} are the same address, {address}; each needs its own");
            }
        }
        let positive = |name: &str, value: Option<usize>, default: usize| {
            let value = value.unwrap_or(default);
            anyhow::ensure!(value > 0, "{name} must be at least 1");
            Ok(value)
        };
        let megabytes = |value: Option<u64>, default: u64| value.unwrap_or(default).saturating_mul(1_000_000);
        if let Some(token) = &self.token {
            anyhow::ensure!(token.len() >= 16, "the token must have at least 16 characters");
        }
        let limits = Limits::default();
        let usual = RtmpLimits::default();
        let idle = self.rtmp_idle_s.map_or(usual.idle, |s| Duration::from_secs(s.into()));
        anyhow::ensure!(idle >= Duration::from_secs(1), "rtmp-idle-s must be at least 1");
        let rtmp_limits = RtmpLimits {
            connections: positive("rtmp-max-connections", self.rtmp_max_connections, usual.connections)?,
            per_address: positive(
                "rtmp-max-connections-per-ip",
                self.rtmp_max_connections_per_ip,
                usual.per_address,
            )?,
            idle,
            wrong_keys: self.rtmp_wrong_keys.unwrap_or(usual.wrong_keys).max(1),
            ..usual
        };
        Ok(Config {
            data: self.data.unwrap_or_else(|| PathBuf::from("data")),
            listen,
            rtmp,
            rtmps: self.rtmps,
            rtmp_limits,
            roots,
            allow_private_sources: self.allow_private_sources,
            token: self.token,
            max_source: megabytes(self.max_source_mb, 20_000),
            disk_reserve: megabytes(self.disk_reserve_mb, 1_000),
            jobs: positive("jobs", self.jobs, 1)?,
            live_rungs: self.live_rungs.unwrap_or(15),
            encoders: self.encoder,
            encode_in: self.encode_in.unwrap_or(EncodeIn::Process),
            encoder_program: None,
            limits: Limits {
                connections: positive("max-connections", self.max_connections, limits.connections)?,
                per_address: positive(
                    "max-connections-per-ip",
                    self.max_connections_per_ip,
                    limits.per_address,
                )?,
                ..limits
            },
            writes_per_minute: self.max_writes_per_minute.unwrap_or(600).max(1),
            wrong_tokens: self.wrong_tokens.unwrap_or(20).max(1),
            trusted_proxies: self.trusted_proxy,
            tls,
            redirect_http: self.redirect_http,
            on_stop: self.on_stop.unwrap_or(OnStop::Retry),
            log: self.log.unwrap_or_else(|| "info".to_owned()),
            log_format: self.log_format.unwrap_or(LogFormat::Text),
            demo: self.demo,
            webhooks: self.webhook,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file_and_defaults_fill_the_rest() {
        let file: Options =
            toml::from_str("listen = \"127.0.0.1:9000\"\njobs = 2\nmax-source-mb = 5\nrtmp = \"off\"")
                .unwrap();
        let flags = Options { jobs: Some(3), ..Options::default() };
        let config = flags.or(file).resolve().unwrap();
        assert_eq!((config.listen.port(), config.jobs, config.max_source), (9000, 3, 5_000_000));
        assert_eq!((config.data, config.rtmp), (PathBuf::from("data"), RtmpListen::Off));
    }

    #[test]
    fn what_publishers_may_cost_is_set() {
        let file = "rtmp-max-connections = 3\nrtmp-idle-s = 20\nrtmp-wrong-keys = 2";
        let config = toml::from_str::<Options>(file).unwrap().resolve().unwrap();
        let limits = config.rtmp_limits;
        assert_eq!((limits.connections, limits.per_address, limits.wrong_keys), (3, 32, 2));
        assert_eq!(limits.idle, Duration::from_secs(20));
    }

    #[test]
    fn webhooks_come_from_the_file() {
        let text = "[[webhook]]\nurl = \"https://example.org/in\"\nsecret = \"0123456789abcdef\"\n\
                    events = [\"stream.started\", \"viewer.peak\"]";
        let config = toml::from_str::<Options>(text).unwrap().resolve().unwrap();
        assert_eq!((config.webhooks.len(), config.webhooks[0].events.len()), (1, 2));
        let wrong = text.replace("viewer.peak", "viewer.peek");
        assert!(toml::from_str::<Options>(&wrong).is_err());
    }

    #[test]
    fn a_misspelt_setting_is_an_error() {
        let error = toml::from_str::<Options>("lisen = \"127.0.0.1:9000\"").unwrap_err().to_string();
        assert!(error.contains("lisen"), "{error}");
    }

    #[test]
    fn values_out_of_range_are_named() {
        let error = Options { jobs: Some(0), ..Options::default() }.resolve().unwrap_err().to_string();
        assert!(error.contains("jobs"), "{error}");
        let missing = Options { allow_path: vec!["/no/such/folder".into()], ..Options::default() };
        assert!(missing.resolve().unwrap_err().to_string().contains("/no/such/folder"));
        let idle = Options { rtmp_idle_s: Some(0), ..Options::default() };
        assert!(idle.resolve().unwrap_err().to_string().contains("rtmp-idle-s"));
        let bare = Options { rtmps: Some(([127, 0, 0, 1], 1936).into()), ..Options::default() };
        assert!(bare.resolve().unwrap_err().to_string().contains("tls-cert"));
        let half = Options { tls_cert: Some("a.pem".into()), ..Options::default() };
        assert!(half.resolve().unwrap_err().to_string().contains("tls-key"));
        let alone = Options { redirect_http: Some(([127, 0, 0, 1], 80).into()), ..Options::default() };
        assert!(alone.resolve().unwrap_err().to_string().contains("tls-cert"));
        let short = Options { token: Some("short".into()), ..Options::default() };
        assert!(short.resolve().unwrap_err().to_string().contains("16"));
    }
}
