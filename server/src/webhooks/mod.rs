//! Webhooks: other programs are told what happens, by signed HTTP requests that are repeated until they are taken.
//!
//! A delivery is a `POST` of a JSON object with `Weir-Event`, `Weir-Delivery` (the same at each attempt) and
//! `Weir-Signature: t=SECONDS,v1=HEX`, where `HEX` is HMAC-SHA-256 of `SECONDS.BODY` under the webhook's secret.
//! Addresses are judged as those of sources are: private ones only where the settings allow them. Redirects are not
//! followed. A webhook's events are delivered one after the other, in the order in which they happened, each at least
//! once. What waits is bounded and survives the process: see `outbox.rs`.

mod log;
mod model;
mod outbox;
mod send;
mod store;
pub mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::catalog::unix_ms;
use crate::deliver::dash::date_time;
use crate::ingest::{FetchPolicy, check_url};
use crate::viewers::hmac_sha256;
use log::Log;
pub use model::{Delivery, DeliveryState, Event, EventKind, HookSetting, HookView};
use outbox::{Outbox, Waiting};
use send::Sender;

/// Webhooks that there may be, those of the settings not counted.
const MOST_HOOKS: usize = 32;
/// Deliveries of one webhook that may wait.
const MOST_WAITING: usize = 256;

/// When a delivery is tried again, and how long an attempt may take.
#[derive(Debug, Clone)]
pub struct Patience {
    /// Waits before the second, third ... attempt; after the last one it is given up.
    pub waits: Vec<Duration>,
    /// Longest attempt.
    pub attempt: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let waits = [5, 30, 120, 600, 3600].map(Duration::from_secs).to_vec();
        Self { waits, attempt: Duration::from_secs(10) }
    }
}

/// Why a webhook was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HookError {
    /// One of its fields.
    #[error("{field}: {detail}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// There are as many as there may be.
    #[error("there are {MOST_HOOKS} webhooks already; remove one first")]
    Full,
    /// No webhook has that id.
    #[error("there is no webhook with that id")]
    Missing,
    /// It comes from the settings file.
    #[error("this webhook comes from the settings file; change it there and reload the settings")]
    FromSettings,
    /// It is switched off.
    #[error("this webhook is switched off")]
    Off,
    /// The file could not be written.
    #[error("cannot keep the webhooks in {path}: {error}")]
    Store {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

#[derive(Debug)]
struct Hook {
    setting: HookSetting,
    from_settings: bool,
    log: Arc<Mutex<Log>>,
    outbox: Arc<Mutex<Outbox>>,
    /// Address and secret as they are now.
    target: Arc<Mutex<(String, String)>>,
    /// Has what waits tried again at once.
    nudge: Arc<Notify>,
    gone: CancellationToken,
}

impl Hook {
    /// With what an earlier run of the server left in `folder`.
    fn new(setting: HookSetting, from_settings: bool, folder: PathBuf, stop: &CancellationToken) -> Self {
        let outbox = Outbox::open(folder, MOST_WAITING);
        let mut log = Log::default();
        for waiting in outbox.iter() {
            let kind = EventKind::parse(&waiting.event).map_or(PING, EventKind::name);
            log.begin(&waiting.id, kind, waiting.created_at.clone(), MOST_WAITING);
        }
        Self {
            target: Arc::new(Mutex::new((setting.url.clone(), setting.secret.clone()))),
            setting,
            from_settings,
            log: Arc::new(Mutex::new(log)),
            outbox: Arc::new(Mutex::new(outbox)),
            nudge: Arc::default(),
            gone: stop.child_token(),
        }
    }

    /// It was changed: what waits goes where it points now.
    fn retarget(&self) {
        let target = (self.setting.url.clone(), self.setting.secret.clone());
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
        self.nudge.notify_waiters();
    }

    /// It is removed with all that it had still to deliver.
    fn remove(&self) {
        self.gone.cancel();
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Name of the event that only tries a webhook.
const PING: &str = "ping";

/// The webhooks and what they are still to be told.
#[derive(Debug)]
pub struct Webhooks {
    hooks: Mutex<BTreeMap<String, Hook>>,
    path: PathBuf,
    policy: Arc<dyn FetchPolicy>,
    sender: Sender,
    patience: Patience,
    stop: CancellationToken,
}

impl Webhooks {
    /// Opens those that `path` keeps and adds those of the settings.
    ///
    /// # Errors
    /// When the file cannot be read or is not in its form.
    pub fn open(
        path: PathBuf,
        policy: Arc<dyn FetchPolicy>,
        settings: &[HookSetting],
        patience: Patience,
        stop: CancellationToken,
    ) -> anyhow::Result<Arc<Self>> {
        let kept = store::read(&path)?;
        let sender = Sender::new(Arc::clone(&policy), patience.attempt)?;
        let all = Arc::new(Self { hooks: Mutex::default(), path, policy, sender, patience, stop });
        all.with(|hooks| {
            for (id, setting) in kept {
                let hook = Hook::new(setting, false, all.folder(&id), &all.stop);
                all.deliver(&hook);
                hooks.insert(id, hook);
            }
        });
        all.apply(settings);
        all.with(|hooks| outbox::remove_others(&all.folder(""), |id| hooks.contains_key(id)));
        Ok(all)
    }

    /// Takes the settings file's webhooks as they are now; those that stay the same keep what they have to deliver.
    pub fn apply(&self, settings: &[HookSetting]) {
        self.with(|hooks| {
            hooks.retain(|_, hook| {
                let stays = !hook.from_settings || settings.contains(&hook.setting);
                if !stays {
                    hook.remove();
                }
                stays
            });
            for setting in settings {
                if let Err(error) = self.check(setting) {
                    tracing::error!(url = setting.url, "a webhook of the settings is not used: {error}");
                } else if !hooks.values().any(|hook| hook.from_settings && hook.setting == *setting) {
                    // The same at each start of the server, so that it finds what it had still to deliver.
                    let id = settings_id(setting);
                    let hook = Hook::new(setting.clone(), true, self.folder(&id), &self.stop);
                    self.deliver(&hook);
                    hooks.insert(id, hook);
                }
            }
        });
    }

    /// All of them.
    pub fn list(&self) -> Vec<HookView> {
        self.with(|hooks| hooks.iter().map(|(id, hook)| view(id, hook)).collect())
    }

    /// One of them.
    ///
    /// # Errors
    /// [`HookError::Missing`]
    pub fn get(&self, id: &str) -> Result<HookView, HookError> {
        self.with(|hooks| hooks.get(id).map(|hook| view(id, hook))).ok_or(HookError::Missing)
    }

    /// Adds one; blocks on the disk.
    ///
    /// # Errors
    /// See [`HookError`].
    pub fn add(&self, setting: HookSetting) -> Result<HookView, HookError> {
        self.check(&setting)?;
        self.with(|hooks| {
            if hooks.values().filter(|hook| !hook.from_settings).count() >= MOST_HOOKS {
                return Err(HookError::Full);
            }
            let id = new_id();
            hooks.insert(id.clone(), Hook::new(setting, false, self.folder(&id), &self.stop));
            if let Err(error) = self.keep(hooks) {
                hooks.remove(&id);
                return Err(error);
            }
            hooks.get(&id).map(|hook| view(&id, hook)).ok_or(HookError::Missing)
        })
    }

    /// Changes one; blocks on the disk. What it has still to deliver goes to where it points then, at once.
    ///
    /// # Errors
    /// See [`HookError`].
    pub fn change(
        &self,
        id: &str,
        change: impl FnOnce(&mut HookSetting) -> Result<(), HookError>,
    ) -> Result<HookView, HookError> {
        self.with(|hooks| {
            let hook = own(hooks, id)?;
            let before = hook.setting.clone();
            let mut after = before.clone();
            change(&mut after)?;
            self.check(&after)?;
            hook.setting = after;
            if let Err(error) = self.keep(hooks) {
                own(hooks, id)?.setting = before;
                return Err(error);
            }
            let hook = hooks.get(id).ok_or(HookError::Missing)?;
            hook.retarget();
            Ok(view(id, hook))
        })
    }

    /// Removes one with what it has still to deliver; blocks on the disk.
    ///
    /// # Errors
    /// See [`HookError`].
    pub fn remove(&self, id: &str) -> Result<(), HookError> {
        self.with(|hooks| {
            own(hooks, id)?;
            let Some(gone) = hooks.remove(id) else { return Err(HookError::Missing) };
            if let Err(error) = self.keep(hooks) {
                hooks.insert(id.to_owned(), gone);
                return Err(error);
            }
            gone.remove();
            Ok(())
        })
    }

    /// The last deliveries of one, newest first.
    ///
    /// # Errors
    /// [`HookError::Missing`]
    pub fn deliveries(&self, id: &str) -> Result<Vec<Delivery>, HookError> {
        let log = self.with(|hooks| hooks.get(id).map(|hook| Arc::clone(&hook.log)));
        let log = log.ok_or(HookError::Missing)?;
        let log = log.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(log.newest_first())
    }

    /// Sends a `ping` to one, to try it: behind what waits, which is tried again at once. Blocks on the disk.
    ///
    /// # Errors
    /// [`HookError::Missing`], [`HookError::Off`]
    pub fn ping(&self, id: &str) -> Result<(), HookError> {
        self.with(|hooks| {
            let hook = hooks.get(id).ok_or(HookError::Missing)?;
            if !hook.setting.enabled {
                return Err(HookError::Off);
            }
            self.start(hook, PING, None, &json!({}));
            hook.nudge.notify_waiters();
            Ok(())
        })
    }

    /// Tells everybody who wants to know; blocks on the disk. What finds no room is dropped and logged as such.
    pub fn tell(&self, event: &Event) {
        self.with(|hooks| {
            for hook in hooks.values().filter(|hook| hook.setting.wants(event.kind)) {
                self.start(hook, event.kind.name(), Some(&event.stream), &event.data);
            }
        });
    }

    fn start(&self, hook: &Hook, kind: &'static str, stream: Option<&str>, data: &serde_json::Value) {
        let (id, created_ms) = (uuid::Uuid::new_v4().to_string(), unix_ms());
        let created_at = date_time(created_ms);
        let body = json!({"id": id, "type": kind, "created_at": created_at, "stream": stream, "data": data});
        let room = {
            let mut log = hook.log.lock().unwrap_or_else(PoisonError::into_inner);
            log.begin(&id, kind, created_at.clone(), MOST_WAITING)
        };
        if !room {
            tracing::warn!(
                url = hook.setting.url,
                event = kind,
                "a webhook's queue is full, the event is dropped"
            );
            return;
        }
        let body = body.to_string();
        let waiting = Waiting { id, event: kind.to_owned(), created_at, body };
        hook.outbox.lock().unwrap_or_else(PoisonError::into_inner).push(waiting);
        self.deliver(hook);
    }

    /// Starts to deliver what waits, unless somebody does already.
    fn deliver(&self, hook: &Hook) {
        {
            let mut outbox = hook.outbox.lock().unwrap_or_else(PoisonError::into_inner);
            if outbox.busy || outbox.first().is_none() || self.stop.is_cancelled() {
                return;
            }
            outbox.busy = true;
        }
        let courier = send::Courier {
            target: Arc::clone(&hook.target),
            outbox: Arc::clone(&hook.outbox),
            log: Arc::clone(&hook.log),
            nudge: Arc::clone(&hook.nudge),
        };
        let (sender, patience, gone) = (self.sender.clone(), self.patience.clone(), hook.gone.clone());
        tokio::spawn(async move {
            tokio::select! {
                // What was not settled is on the disk, for the next start.
                () = gone.cancelled() => {}
                () = courier.run(&sender, &patience) => {}
            }
        });
    }

    fn folder(&self, id: &str) -> PathBuf {
        self.path.with_file_name("outbox").join(id)
    }

    fn check(&self, setting: &HookSetting) -> Result<(), HookError> {
        let field = |field, detail: &str| HookError::Field { field, detail: detail.to_owned() };
        if setting.url.len() > 2048 {
            return Err(field("url", "must have at most 2048 characters"));
        }
        let url = Url::parse(&setting.url).map_err(|error| HookError::Field {
            field: "url",
            detail: format!("is not an address: {error}"),
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(field("url", "must not hold a user or password; the signature tells who sends"));
        }
        check_url(self.policy.as_ref(), &url)
            .map_err(|why| HookError::Field { field: "url", detail: why })?;
        if !(16..=256).contains(&setting.secret.len())
            || !setting.secret.bytes().all(|b| b.is_ascii_graphic())
        {
            return Err(field("secret", "must be 16 to 256 visible ASCII characters"));
        }
        Ok(())
    }

    fn keep(&self, hooks: &BTreeMap<String, Hook>) -> Result<(), HookError> {
        let own = hooks.iter().filter(|(_, hook)| !hook.from_settings);
        let own = own.map(|(id, hook)| (id.clone(), hook.setting.clone())).collect();
        store::write(&self.path, &own).map_err(|error| HookError::Store { path: self.path.clone(), error })
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<String, Hook>) -> T) -> T {
        work(&mut self.hooks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A new secret: 244 random bits.
#[must_use]
pub fn new_secret() -> String {
    format!("whsec_{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

fn new_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// The id of a webhook of the settings, which have none: the same for the same setting.
fn settings_id(setting: &HookSetting) -> String {
    let events: Vec<_> = setting.events.iter().map(|event| event.name()).collect();
    let parts = [setting.url.as_bytes(), b"\0", events.join(",").as_bytes()].concat();
    let digest = hmac_sha256(setting.secret.as_bytes(), &[&parts]);
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn own<'a>(hooks: &'a mut BTreeMap<String, Hook>, id: &str) -> Result<&'a mut Hook, HookError> {
    let hook = hooks.get_mut(id).ok_or(HookError::Missing)?;
    if hook.from_settings { Err(HookError::FromSettings) } else { Ok(hook) }
}

fn view(id: &str, hook: &Hook) -> HookView {
    let log = hook.log.lock().unwrap_or_else(PoisonError::into_inner);
    let events = &hook.setting.events;
    HookView {
        id: id.to_owned(),
        url: hook.setting.url.clone(),
        events: if events.is_empty() { EventKind::ALL.to_vec() } else { events.clone() },
        enabled: hook.setting.enabled,
        from_settings: hook.from_settings,
        waiting: log.waiting(),
        delivered: log.delivered(),
        failed: log.failed(),
    }
}

#[cfg(test)]
mod tests;
