//! Content steering: asks who says from which pathway media are fetched, and follows (RFC 8216bis 7, ETSI TS 103 998).
//!
//! What comes first is known to all requests through the mirrors; this module keeps that up to date and writes it down.

use std::time::{Duration, Instant};

use url::Url;
use weir_abr::{RungId, TrackKind, planner::Event, record};
use weir_manifest::{
    SteeringManifest, data_of,
    model::{Protocol, Rendition},
    steering_request,
};

use super::{Session, input::Input};
use crate::{
    log::seconds,
    net::{Ask, Body, NetError},
};

/// A steering manifest that cannot be had is asked for again after so long, unless the last one said otherwise.
const AGAIN: Duration = Duration::from_secs(300);
/// So long a steering server may be silent.
const PATIENCE: Duration = Duration::from_secs(5);
/// And so long it may keep a viewer waiting who waits for its answer.
const BEFORE_START: Duration = Duration::from_secs(2);
/// Largest steering manifest, in bytes.
const LARGEST: u64 = 1 << 20;
/// Pathways that are told to the server.
const TOLD: usize = 16;

/// What is known of the steering.
#[derive(Debug, Default)]
pub(crate) struct Steering {
    /// Where to ask; `None` where nobody steers, or nobody does any more.
    server: Option<Url>,
    loading: bool,
    /// When to ask (session time).
    next: Duration,
    ttl: Option<Duration>,
    /// The pathway that media come from.
    pub(crate) current: Option<String>,
    /// Those that they came from since the server was asked.
    used: Vec<String>,
    /// Rungs that the current pathway does not have.
    pub(crate) withheld: Vec<RungId>,
    /// Until when the start waits for the server.
    holds: Option<Duration>,
}

impl Session {
    /// The manifest is here: who steers is asked, and the pathway that it begins with is used until then.
    ///
    /// `true` when nothing is to be loaded before the answer.
    pub(crate) fn begin_steering(&mut self) -> bool {
        let Some(catalog) = &self.catalog else { return false };
        let Some(steering) = catalog.presentation().steering.clone() else { return false };
        self.http.mirrors.steer(&steering.first, &[]);
        self.steering.server = Some(steering.server);
        self.steering.next = self.now();
        self.steering.holds = steering.before_start.then(|| self.now() + BEFORE_START);
        self.follow_steering();
        self.steering.holds.is_some()
    }

    /// Asks when it is time, and notices when another pathway comes first.
    pub(crate) fn follow_steering(&mut self) {
        let now = self.now();
        self.follow_pathway();
        if self.steering.holds.is_some_and(|until| now >= until) {
            self.steering.holds = None;
            self.begin_media();
        }
        let Some(server) = &self.steering.server else { return };
        if self.steering.loading || now < self.steering.next || self.is_over() {
            return;
        }
        if let Some(bytes) = data_of(server) {
            let url = server.clone();
            self.take_steering(&url, &bytes);
            return;
        }
        let Some(catalog) = &self.catalog else { return };
        let protocol = catalog.presentation().protocol;
        let throughput = self.planner.estimate().map(|rate| (rate.kbps() * 1000.0).round() as u64);
        let current: Vec<String> = self.steering.current.clone().into_iter().collect();
        let used = std::mem::replace(&mut self.steering.used, current.clone());
        let told = match protocol {
            Protocol::Hls => current,
            Protocol::Dash => used,
        };
        let url = steering_request(server, protocol, &told, throughput);
        self.steering.loading = true;
        self.note(record::Event::Request { track: None, index: None, rung: None, url: url.to_string() });
        let (http, inbox) = (self.http.clone(), self.inbox.clone());
        self.runtime.spawn(async move {
            let ask = Ask { url, range: None, limit: LARGEST, compressed: false, idle: PATIENCE };
            let result = http.get(ask, |_| ()).await;
            let _ = inbox.send(Input::Steered(result)).await;
        });
    }

    /// The server answered.
    pub(crate) fn steered(&mut self, result: Result<Body, NetError>) {
        self.steering.loading = false;
        match result {
            Ok(body) => self.take_steering(&body.url, &body.bytes),
            Err(error) => {
                // Who is gone does not come back (RFC 8216bis, 7.4).
                if matches!(error, NetError::Status { status: 410, .. }) {
                    self.steering.server = None;
                }
                let asked = error.retry_after();
                self.steering_failed(&format!("asking the steering server: {error}"), asked);
            }
        }
        if self.steering.holds.take().is_some() {
            self.begin_media();
        }
    }

    /// Playback goes on as before.
    fn steering_failed(&mut self, what: &str, asked: Option<Duration>) {
        tracing::warn!(what, "the stream is not steered for now");
        let wait = asked.or(self.steering.ttl).unwrap_or(AGAIN).max(Duration::from_secs(1));
        self.steering.next = self.now() + wait;
        self.note(record::Event::Error {
            fatal: false,
            code: "steering_unavailable".to_owned(),
            reason: what.to_owned(),
        });
    }

    fn take_steering(&mut self, url: &Url, bytes: &[u8]) {
        let manifest = match SteeringManifest::parse(bytes, url) {
            Ok(manifest) => manifest,
            Err(error) => {
                self.steering_failed(&error.to_string(), None);
                return;
            }
        };
        // A manifest that stands in the playlist itself stays what it is.
        self.steering.server =
            manifest.reload.or_else(|| Some(url.clone()).filter(|url| url.scheme() != "data"));
        self.steering.ttl = Some(manifest.ttl);
        self.steering.next = self.now() + manifest.ttl;
        self.http.mirrors.steer(&manifest.priority, &manifest.clones);
        let url = match url.scheme() {
            "data" => "data:".to_owned(),
            _ => url.to_string(),
        };
        self.note(record::Event::Steering {
            url,
            ttl_s: seconds(manifest.ttl),
            priority: manifest.priority.clone(),
        });
        self.follow_pathway();
    }

    /// Rungs that only other pathways have are not used from now on.
    fn withhold_rungs(&mut self) {
        let (Some(catalog), Some(pathway)) = (&self.catalog, &self.steering.current) else { return };
        let renditions = catalog
            .place(TrackKind::Video, RungId(0))
            .and_then(|(main, _)| catalog.presentation().tracks.get(main))
            .map(|track| track.renditions.as_slice())
            .unwrap_or_default();
        let address = |rendition: &Rendition| {
            let listed = rendition.segments.first().map(|segment| segment.media.url.clone());
            rendition.playlist.clone().or(listed)
        };
        let lacks = |rendition: &Rendition| {
            address(rendition).is_some_and(|url| !self.http.mirrors.has(&url, pathway))
        };
        let withheld: Vec<RungId> = renditions
            .iter()
            .enumerate()
            .filter(|(_, rendition)| lacks(rendition))
            .map(|(rung, _)| RungId(rung))
            .collect();
        if withheld != self.steering.withheld {
            self.steering.withheld.clone_from(&withheld);
            self.feed(Event::Withheld(withheld));
        }
    }

    fn follow_pathway(&mut self) {
        if self.catalog.as_ref().is_none_or(|catalog| catalog.presentation().steering.is_none()) {
            return;
        }
        let now = Instant::now();
        let Some(to) = self.http.mirrors.pathway(now) else { return };
        if self.steering.current.as_ref() == Some(&to) {
            return;
        }
        let from = self.steering.current.replace(to.clone());
        let reason = match &from {
            None => "the stream begins with it".to_owned(),
            Some(from) if self.http.mirrors.is_penalised(from, now) => format!("{from} is in trouble"),
            Some(_) => "who steers the stream prefers it".to_owned(),
        };
        if !self.steering.used.contains(&to) && self.steering.used.len() < TOLD {
            self.steering.used.push(to.clone());
        }
        let is_first = from.is_none();
        self.withhold_rungs();
        self.note(record::Event::Pathway { from, to, reason });
        self.view.changed = true;
        if is_first {
            return;
        }
        // Lists name the segments of the pathway that they came from.
        let now = self.manifest_now();
        if let Some(catalog) = &mut self.catalog {
            catalog.source.moved(now);
        }
        self.lists_due();
    }
}
