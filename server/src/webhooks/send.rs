//! Attempts to deliver.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use tokio::sync::Notify;
use url::Url;

use super::Patience;
use super::log::Log;
use super::model::DeliveryState;
use super::outbox::{Outbox, Waiting};
use crate::catalog::unix_ms;
use crate::deliver::dash::date_time;
use crate::ingest::{FetchPolicy, GuardedResolver, check_url};
use crate::viewers::hmac_sha256;

/// Longest wait that a receiver's `Retry-After` is granted.
const LONGEST_WISH: Duration = Duration::from_secs(3600);

/// Posts to where the policy allows.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    client: reqwest::Client,
    policy: Arc<dyn FetchPolicy>,
}

/// Why an attempt failed.
struct Failure {
    status: Option<u16>,
    why: String,
    wish: Option<Duration>,
    /// Trying again changes nothing.
    hopeless: bool,
}

impl Sender {
    pub(super) fn new(policy: Arc<dyn FetchPolicy>, attempt: Duration) -> Result<Self, reqwest::Error> {
        // Fails when one is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            // A proxy from the environment would resolve names itself, past the policy.
            .no_proxy()
            .connect_timeout(attempt)
            .timeout(attempt)
            .user_agent(concat!("weir-server/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(GuardedResolver::new(Arc::clone(&policy)))
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { client, policy })
    }

    async fn post(&self, attempt: &Attempt) -> Result<u16, Failure> {
        let failure = |why: String| Failure { status: None, why, wish: None, hopeless: false };
        let url = Url::parse(&attempt.url).map_err(|error| failure(error.to_string()))?;
        // Again, since the settings may have become stricter.
        check_url(self.policy.as_ref(), &url).map_err(|why| Failure { hopeless: true, ..failure(why) })?;
        let at = unix_ms() / 1000;
        let answer = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("weir-event", &attempt.kind)
            .header("weir-delivery", &attempt.id)
            .header("weir-signature", signature(&attempt.secret, at, &attempt.body))
            .body(attempt.body.clone())
            .send()
            .await
            .map_err(|error| failure(chain(&error)))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(status.as_u16());
        }
        let wish = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Err(Failure {
            status: Some(status.as_u16()),
            why: format!("the receiver answered {status}"),
            wish: wish.map(Duration::from_secs),
            // Gone, by its own word.
            hopeless: status.as_u16() == 410,
        })
    }
}

/// `t=SECONDS,v1=HEX` with HMAC-SHA-256 of `SECONDS.BODY`.
pub(super) fn signature(secret: &str, at: u64, body: &[u8]) -> String {
    let signed = [at.to_string().as_bytes(), b".", body].concat();
    let hex: String = hmac_sha256(secret.as_bytes(), &[&signed]).iter().map(|b| format!("{b:02x}")).collect();
    format!("t={at},v1={hex}")
}

/// What became of an attempt: the state that the delivery is in now, the receiver's status, and why it failed.
type Outcome = (DeliveryState, Option<u16>, Option<String>);

/// What one request needs.
struct Attempt {
    id: String,
    kind: String,
    url: String,
    secret: String,
    body: Bytes,
}

/// Delivers one webhook's events, one after the other.
pub(super) struct Courier {
    pub(super) target: Arc<Mutex<(String, String)>>,
    pub(super) outbox: Arc<Mutex<Outbox>>,
    pub(super) log: Arc<Mutex<Log>>,
    pub(super) nudge: Arc<Notify>,
}

impl Courier {
    /// Goes on until nothing waits.
    pub(super) async fn run(&self, sender: &Sender, patience: &Patience) {
        loop {
            let next = {
                let mut outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
                let next = outbox.first();
                // Under the lock: whoever adds one from here on starts the next courier.
                outbox.busy = next.is_some();
                next
            };
            let Some(waiting) = next else { return };
            let outcome = self.settle(&waiting, sender, patience).await;
            let outbox = Arc::clone(&self.outbox);
            let pop = move || outbox.lock().unwrap_or_else(PoisonError::into_inner).pop();
            if tokio::task::spawn_blocking(pop).await.is_err() {
                return;
            }
            // Only now: what is told as settled does not wait on the disk any more.
            self.note(&waiting.id, outcome, None);
        }
    }

    /// Tries until it is taken or patience ends, and tells which.
    async fn settle(&self, waiting: &Waiting, sender: &Sender, patience: &Patience) -> Outcome {
        let mut waits = patience.waits.iter();
        loop {
            // Before the target is read: who changes it during the attempt has it tried again at once.
            let nudged = self.nudge.notified();
            let (url, secret) = self.target.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let (id, kind) = (waiting.id.clone(), waiting.event.clone());
            let attempt = Attempt { id, kind, url, secret, body: waiting.body.clone().into() };
            let failure = match sender.post(&attempt).await {
                Ok(status) => return (DeliveryState::Delivered, Some(status), None),
                Err(failure) => failure,
            };
            let wait = waits.next().filter(|_| !failure.hopeless);
            let Some(wait) = wait else {
                tracing::warn!(
                    url = attempt.url,
                    event = waiting.event,
                    "a webhook is not told: {}",
                    failure.why
                );
                return (DeliveryState::Failed, failure.status, Some(failure.why));
            };
            let wait = failure.wish.map_or(*wait, |wish| wish.min(LONGEST_WISH).max(*wait));
            let next = date_time(unix_ms().saturating_add(wait.as_millis() as u64));
            self.note(&waiting.id, (DeliveryState::Waiting, failure.status, Some(failure.why)), Some(next));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = nudged => {}
            }
        }
    }

    fn note(&self, id: &str, (state, status, error): Outcome, next: Option<String>) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.note(id, state, status, error, next);
    }
}

fn chain(error: &reqwest::Error) -> String {
    // Without the address, which the log shows beside it.
    let mut why =
        if error.is_timeout() { "no answer in time".to_owned() } else { "cannot be reached".to_owned() };
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        why = format!("{why}: {inner}");
        cause = inner.source();
    }
    why
}
