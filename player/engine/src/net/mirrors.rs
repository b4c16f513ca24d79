//! Where else something can be had when its server is in trouble.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use url::Url;
use weir_manifest::Mirror;

use super::{Ask, Body, Http, NetError, Progress, error::host_of, stream::Tap};

/// A server that failed is asked last for so long.
const AVOIDED: Duration = Duration::from_secs(30);

/// So long a server may be silent while there is another one to ask.
const HURRIED: Duration = Duration::from_secs(3);

/// Servers that are remembered.
const REMEMBERED: usize = 32;

/// What the manifest says of mirrors, and which servers failed lately. Shared by all requests of a session.
#[derive(Debug, Default)]
pub(crate) struct Mirrors(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    mirrors: Vec<Mirror>,
    /// Host and port, and when it failed; oldest first.
    failed: Vec<(String, Instant)>,
}

impl Mirrors {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A manifest was read.
    pub(crate) fn set(&self, mirrors: &[Mirror]) {
        let mut state = self.lock();
        if state.mirrors != mirrors {
            state.mirrors = mirrors.to_vec();
        }
    }

    /// Where `url` can be had, itself included; servers that failed lately come last.
    fn addresses(&self, url: &Url, now: Instant) -> Vec<Url> {
        let state = self.lock();
        let mut addresses = vec![url.clone()];
        for other in state.mirrors.iter().flat_map(|mirror| mirror.others(url)) {
            if !addresses.contains(&other) {
                addresses.push(other);
            }
        }
        addresses.sort_by_key(|address| {
            let host = host_of(address);
            let at = state.failed.iter().find(|(failed, _)| *failed == host).map(|(_, at)| *at);
            at.is_some_and(|at| now.saturating_duration_since(at) < AVOIDED)
        });
        addresses
    }

    fn failed(&self, url: &Url, now: Instant) {
        let mut state = self.lock();
        let host = host_of(url);
        state.failed.retain(|(failed, _)| *failed != host);
        if state.failed.len() >= REMEMBERED {
            state.failed.remove(0);
        }
        state.failed.push((host, now));
    }
}

impl Http {
    /// As [`get`](Self::get), and at the next mirror when that fails. The error is that of the first address.
    pub async fn get_anywhere(&self, ask: Ask, mut progress: impl FnMut(Progress)) -> Result<Body, NetError> {
        self.read_anywhere(ask, &mut progress, None).await
    }

    /// As [`get_anywhere`](Self::get_anywhere); a tap gets each byte once, whatever address it comes from.
    pub(super) async fn read_anywhere(
        &self,
        ask: Ask,
        progress: &mut impl FnMut(Progress),
        mut tap: Option<&mut Tap>,
    ) -> Result<Body, NetError> {
        let mut first: Option<NetError> = None;
        let addresses = self.mirrors.addresses(&ask.url, Instant::now());
        let last = addresses.len().saturating_sub(1);
        for (at, url) in addresses.into_iter().enumerate() {
            // A request that the server holds on purpose is not hurried.
            let idle =
                if at < last && ask.idle <= self.limits.idle { ask.idle.min(HURRIED) } else { ask.idle };
            let error = match self
                .read(Ask { url: url.clone(), idle, ..ask.clone() }, progress, tap.as_deref_mut())
                .await
            {
                Ok(body) => return Ok(body),
                Err(error) => error,
            };
            let server = !matches!(error, NetError::Status { status: 400..500, .. });
            if server && error.is_passing() {
                self.mirrors.failed(&url, Instant::now());
            }
            let elsewhere =
                error.is_passing() || matches!(error, NetError::Status { .. } | NetError::Tls { .. });
            if !elsewhere {
                return Err(first.unwrap_or(error));
            }
            tracing::debug!(%url, %error, "trying the next mirror, if there is one");
            first.get_or_insert(error);
        }
        Err(first.unwrap_or(NetError::Scheme { url: ask.url }))
    }
}
