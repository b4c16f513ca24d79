//! Settings that change while the server runs: nobody is disconnected, and what has to wait for a restart is named.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;
use url::Url;

use crate::app::App;
use crate::config::{Config, Options};
use crate::http::{Caps, Tls};
use crate::ingest::{FetchPolicy, PublicInternet};

/// The settings in force.
#[derive(Debug)]
pub struct Settings(watch::Sender<Arc<Config>>);

impl Settings {
    /// Starts with these.
    pub fn new(config: Config) -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(Arc::new(config))))
    }

    /// The settings as they are now.
    pub fn now(&self) -> Arc<Config> {
        Arc::clone(&self.0.borrow())
    }

    /// For those who must do something at a change.
    pub fn changes(&self) -> watch::Receiver<Arc<Config>> {
        self.0.subscribe()
    }

    /// Takes `new` into use, but for what was settled at the start, which stays.
    fn change(&self, new: Config) -> Changes {
        let old = self.now();
        let mut changes = Changes::default();
        let mut compare = |list: fn(&mut Changes) -> &mut Vec<&'static str>, name, same: bool| {
            if !same {
                list(&mut changes).push(name);
            }
        };
        // Without `..`: whoever adds a setting decides here whether it can change while the server runs.
        let Config {
            data,
            listen,
            rtmp,
            rtmps,
            rtmp_limits,
            roots,
            allow_private_sources,
            token,
            max_source,
            disk_reserve,
            jobs,
            live_rungs,
            encoders,
            encode_in,
            encoder_program: _,
            limits,
            writes_per_minute,
            wrong_tokens,
            trusted_proxies,
            tls,
            redirect_http,
            on_stop,
            log,
            log_format,
            demo: _,
            webhooks,
        } = &new;
        compare(Changes::at_start, "data", *data == old.data);
        compare(Changes::at_start, "listen", *listen == old.listen);
        compare(Changes::at_start, "rtmp", *rtmp == old.rtmp);
        compare(Changes::at_start, "rtmps", *rtmps == old.rtmps);
        compare(Changes::at_start, "rtmp-...", *rtmp_limits == old.rtmp_limits);
        compare(Changes::at_once, "allow-path", *roots == old.roots);
        compare(
            Changes::at_once,
            "allow-private-sources",
            *allow_private_sources == old.allow_private_sources,
        );
        compare(Changes::at_once, "token", *token == old.token);
        compare(Changes::at_once, "max-source-mb", *max_source == old.max_source);
        compare(Changes::at_once, "disk-reserve-mb", *disk_reserve == old.disk_reserve);
        compare(Changes::at_start, "jobs", *jobs == old.jobs);
        compare(Changes::at_start, "live-rungs", *live_rungs == old.live_rungs);
        compare(Changes::at_start, "encoder", *encoders == old.encoders);
        compare(Changes::at_start, "encode-in", *encode_in == old.encode_in);
        compare(Changes::at_once, "max-connections", limits.connections == old.limits.connections);
        compare(Changes::at_once, "max-connections-per-ip", limits.per_address == old.limits.per_address);
        compare(Changes::at_once, "max-writes-per-minute", *writes_per_minute == old.writes_per_minute);
        compare(Changes::at_once, "wrong-tokens", *wrong_tokens == old.wrong_tokens);
        compare(Changes::at_once, "trusted-proxy", *trusted_proxies == old.trusted_proxies);
        // Another certificate is taken at once; whether there is TLS at all is settled with the socket.
        match (tls, &old.tls) {
            (Some(new), Some(old)) => compare(Changes::at_once, "tls-cert, tls-key", new == old),
            (new, old) => compare(Changes::at_start, "tls-cert, tls-key", new.is_some() == old.is_some()),
        }
        compare(Changes::at_start, "redirect-http", *redirect_http == old.redirect_http);
        compare(Changes::at_once, "on-stop", *on_stop == old.on_stop);
        compare(Changes::at_once, "log", *log == old.log);
        compare(Changes::at_once, "webhook", *webhooks == old.webhooks);
        compare(Changes::at_start, "log-format", *log_format == old.log_format);
        let kept = Config {
            data: old.data.clone(),
            listen: old.listen,
            rtmp: old.rtmp,
            rtmps: old.rtmps,
            rtmp_limits: old.rtmp_limits,
            jobs: old.jobs,
            live_rungs: old.live_rungs,
            encoders: old.encoders.clone(),
            encode_in: old.encode_in,
            encoder_program: old.encoder_program.clone(),
            tls: if old.tls.is_some() { new.tls.or_else(|| old.tls.clone()) } else { None },
            redirect_http: old.redirect_http,
            log_format: old.log_format,
            demo: old.demo,
            ..new
        };
        self.0.send_replace(Arc::new(kept));
        changes
    }
}

/// What a reload changed, by the names of the settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// In force now.
    pub applied: Vec<&'static str>,
    /// In force after a restart.
    pub needs_restart: Vec<&'static str>,
}

impl Changes {
    fn at_once(&mut self) -> &mut Vec<&'static str> {
        &mut self.applied
    }

    fn at_start(&mut self) -> &mut Vec<&'static str> {
        &mut self.needs_restart
    }

    /// Tells the log.
    pub fn log(&self) {
        let Self { applied, needs_restart } = self;
        if applied.is_empty() && needs_restart.is_empty() {
            tracing::info!("settings read again: nothing changed");
        } else {
            tracing::info!(applied = applied.join(", "), "settings read again");
        }
        if !needs_restart.is_empty() {
            tracing::warn!(settings = needs_restart.join(", "), "changed settings wait for a restart");
        }
    }
}

/// Sets the log's filter.
pub type SetLog = Box<dyn Fn(&str) -> anyhow::Result<()> + Send + Sync>;

/// Reads the settings again, and what in the process depends on them.
pub struct Reloader {
    /// What the command line and the environment said.
    pub options: Options,
    /// The file that may have changed.
    pub file: Option<PathBuf>,
    /// Of the listener.
    pub caps: Arc<Caps>,
    /// The certificate, where HTTPS is spoken.
    pub tls: Option<Arc<Tls>>,
    /// Of the log.
    pub set_log: SetLog,
}

impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Reloader {
    /// Reads and applies. It blocks on the disk.
    ///
    /// # Errors
    /// When the settings are not right or a file that they name is not; then nothing is changed.
    pub fn run(&self, app: &App) -> anyhow::Result<Changes> {
        let file = self.file.as_deref().map(Options::read).transpose()?.unwrap_or_default();
        let new = self.options.clone().or(file).resolve()?;
        (self.set_log)(&new.log)?;
        if let (Some(tls), Some(files)) = (&self.tls, &new.tls) {
            tls.reload(files.clone())?;
        }
        let (data, listen) = (app.config.data.clone(), app.config.listen);
        app.gate.reload(&Config { data, listen, ..new.clone() })?;
        self.caps.set(&new.limits);
        Ok(app.settings.change(new))
    }
}

/// Where sources may come from by the settings in force.
#[derive(Debug)]
pub struct SourcePolicy(pub Arc<Settings>);

impl SourcePolicy {
    fn public(&self) -> PublicInternet {
        PublicInternet { max_bytes: self.0.now().max_source }
    }
}

impl FetchPolicy for SourcePolicy {
    fn allow_url(&self, url: &Url) -> Result<(), String> {
        self.public().allow_url(url)
    }

    fn allow_address(&self, address: IpAddr) -> bool {
        self.0.now().allow_private_sources || self.public().allow_address(address)
    }

    fn max_bytes(&self) -> u64 {
        self.public().max_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_change_does_and_the_rest_is_named_and_stays() {
        let settings = Settings::new(Options::default().resolve().unwrap());
        let before = settings.now();
        let mut new = (*before).clone();
        (new.jobs, new.max_source, new.listen) = (7, 5, ([127, 0, 0, 1], 9).into());
        new.limits.connections = 3;
        let changes = settings.change(new);
        assert_eq!(changes.applied, ["max-source-mb", "max-connections"]);
        assert_eq!(changes.needs_restart, ["listen", "jobs"]);
        let now = settings.now();
        assert_eq!((now.max_source, now.limits.connections), (5, 3));
        assert_eq!((now.jobs, now.listen), (before.jobs, before.listen), "as they are until the restart");
        assert_eq!(settings.change((*now).clone()), Changes::default());
    }

    #[test]
    fn the_policy_for_sources_follows_the_settings() {
        let settings = Settings::new(Options::default().resolve().unwrap());
        let policy = SourcePolicy(Arc::clone(&settings));
        let loopback = IpAddr::from([127, 0, 0, 1]);
        assert!(!policy.allow_address(loopback));
        settings.change(Config { allow_private_sources: true, ..(*settings.now()).clone() });
        assert!(policy.allow_address(loopback));
        assert!(policy.allow_url(&Url::parse("file:///etc/passwd").unwrap()).is_err());
    }
}
