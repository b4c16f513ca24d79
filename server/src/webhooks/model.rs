//! What a webhook is, and what it is told.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

/// What may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EventKind {
    /// A live stream went on air.
    #[serde(rename = "stream.started")]
    Started,
    /// A live stream is no longer on air.
    #[serde(rename = "stream.ended")]
    Ended,
    /// A stream failed.
    #[serde(rename = "stream.failed")]
    Failed,
    /// A recording, or a file that was published, is complete.
    #[serde(rename = "recording.ready")]
    RecordingReady,
    /// More people watch a stream than ever before.
    #[serde(rename = "viewer.peak")]
    ViewerPeak,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Started, Self::Ended, Self::Failed, Self::RecordingReady, Self::ViewerPeak];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Started => "stream.started",
            Self::Ended => "stream.ended",
            Self::Failed => "stream.failed",
            Self::RecordingReady => "recording.ready",
            Self::ViewerPeak => "viewer.peak",
        }
    }

    /// The kind of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// To which stream.
    pub stream: String,
    /// What there is to say about it.
    pub data: Value,
}

/// A webhook as the settings file gives it, and as the API takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookSetting {
    /// Where to post: http or https.
    pub url: String,
    /// Which events; all of them when empty.
    #[serde(default)]
    pub events: Vec<EventKind>,
    /// Key of the signature, 16 to 256 characters.
    pub secret: String,
    /// Whether anything is sent.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn yes() -> bool {
    true
}

impl HookSetting {
    /// What is wrong with it in itself, wherever it may post to.
    pub(crate) fn mistake(&self) -> Option<&'static str> {
        let web = Url::parse(&self.url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        let secret =
            (16..=256).contains(&self.secret.len()) && self.secret.bytes().all(|b| b.is_ascii_graphic());
        match (web, secret) {
            (false, _) => Some("url must be an http or https address"),
            (_, false) => Some("secret must be 16 to 256 visible ASCII characters"),
            _ => None,
        }
    }

    /// Whether it wants to be told.
    pub(super) fn wants(&self, kind: EventKind) -> bool {
        self.enabled && (self.events.is_empty() || self.events.contains(&kind))
    }
}

/// A webhook as the API shows it.
#[derive(Debug, Clone, Serialize)]
pub struct HookView {
    /// Its id.
    pub id: String,
    /// Where it posts.
    pub url: String,
    /// What it is told.
    pub events: Vec<EventKind>,
    /// Whether anything is sent.
    pub enabled: bool,
    /// Whether it comes from the settings file, where alone it can be changed.
    pub from_settings: bool,
    /// Deliveries under way or waiting for another attempt.
    pub waiting: usize,
    /// Deliveries that were taken, since the server started.
    pub delivered: u64,
    /// Deliveries that were given up, since the server started.
    pub failed: u64,
}

/// How a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// Under way, or waiting for another attempt.
    Waiting,
    /// Answered with 2xx.
    Delivered,
    /// Given up.
    Failed,
    /// Never sent: too many waited.
    Dropped,
}

/// One event on its way to one webhook.
#[derive(Debug, Clone, Serialize)]
pub struct Delivery {
    /// Its id, the same at each attempt.
    pub id: String,
    /// What it tells.
    pub event: &'static str,
    /// How it stands.
    pub state: DeliveryState,
    /// Attempts so far.
    pub attempts: u32,
    /// Status of the last answer.
    pub status: Option<u16>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// When the event happened, `xs:dateTime` in UTC.
    pub created_at: String,
    /// When it is tried again.
    pub next_attempt_at: Option<String>,
}
