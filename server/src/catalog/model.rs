//! What the catalogue knows of a stream.

use serde::{Deserialize, Serialize};

use super::auth::Auth;
use super::live::Live;
use crate::ladder::Profile;

/// How far a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waits for its turn.
    Queued,
    /// Being packaged; what is finished can be watched.
    Packaging,
    /// Complete.
    Ready,
    /// Packaging ended with an error; what was finished can be watched.
    Failed,
    /// A live stream that waits for its publisher.
    Idle,
    /// A live stream that is on air, or whose publisher may come back at any moment.
    Live,
    /// A live stream that is over.
    Ended,
}

impl State {
    /// Every state, in the order of a stream's life.
    pub const ALL: [Self; 7] =
        [Self::Queued, Self::Packaging, Self::Ready, Self::Failed, Self::Idle, Self::Live, Self::Ended];

    /// Its name in the API and the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Packaging => "packaging",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Idle => "idle",
            Self::Live => "live",
            Self::Ended => "ended",
        }
    }

    /// The state of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether there is work left to do, also after a restart.
    pub fn unfinished(self) -> bool {
        matches!(self, Self::Queued | Self::Packaging)
    }
}

/// Where a stream comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Source {
    /// A video file below an allowed folder; the path is canonical.
    File {
        /// Absolute path.
        path: String,
    },
    /// A video file to be fetched by HTTP.
    Url {
        /// `http` or `https`.
        url: String,
    },
    /// A file that a client uploaded.
    Upload {
        /// Id of the upload.
        upload: String,
    },
    /// Somebody publishes with the stream's key, by RTMP for instance.
    Publisher,
    /// The generated test card.
    TestCard {
        /// Lines of the top rung.
        height: u32,
        /// Length in seconds.
        duration_s: f64,
        /// Pictures a second, as people write it: 25, 29.97, 50.
        frame_rate: f64,
    },
}

/// One stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stream {
    /// Its name in URLs: see [`valid_id`].
    pub id: String,
    /// Its name for people.
    pub title: String,
    /// How far it is.
    pub state: State,
    /// Where it comes from.
    pub source: Source,
    /// Its ladder.
    pub profile: Profile,
    /// Its settings as a live stream; none for video on demand.
    pub live: Option<Live>,
    /// Who may watch it; none for everybody.
    pub auth: Option<Auth>,
    /// Why it failed, and what to do.
    pub error: Option<String>,
    /// Milliseconds since 1970-01-01 UTC.
    pub created_ms: u64,
    /// Milliseconds since 1970-01-01 UTC.
    pub updated_ms: u64,
}

impl Stream {
    /// A stream that waits for its turn.
    #[must_use]
    pub fn new(id: impl Into<String>, title: impl Into<String>, source: Source, profile: Profile) -> Self {
        let now = super::unix_ms();
        Self {
            id: id.into(),
            title: title.into(),
            state: State::Queued,
            source,
            profile,
            live: None,
            auth: None,
            error: None,
            created_ms: now,
            updated_ms: now,
        }
    }

    /// The same as a live stream that waits for its publisher.
    #[must_use]
    pub fn with_live(mut self, live: Live) -> Self {
        self.live = Some(live);
        self.state = State::Idle;
        self
    }
}

/// Whether `id` is a stream's id: 1 to 64 of `a-z`, `0-9` and `-`, not starting with `-`.
pub fn valid_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && !id.starts_with('-')
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
