//! Where media comes from: a file, a download, another server's HLS, a publisher, or the test-card generator.

mod fetch;
pub(crate) mod pull;
pub mod rtmp;
pub mod subtitles;
mod testcard;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

pub use testcard::card_for_parent;
pub(crate) use testcard::{CardPainter, air, beep};

pub use fetch::{FetchError, FetchPolicy, PublicInternet, check_url, fetch};
pub(crate) use fetch::{Getter, GuardedResolver, shown as fetch_shown};
pub use pull::{PullError, PullState, PullStatus};

/// A stream's source, as the catalogue keeps it. Whoever accepts one from outside validates paths and URLs
/// against the server's policy first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SourceSpec {
    /// A file on this machine.
    File {
        /// Absolute path, already checked.
        path: PathBuf,
        /// Delete the file when packaging has ended well: it is an upload that nobody else needs.
        #[serde(default)]
        remove_when_done: bool,
    },
    /// A file behind http or https; downloaded whole before it is packaged.
    Url {
        /// Where from. Asked of the [`FetchPolicy`] again before the request and at every redirect.
        #[serde(with = "url_text")]
        url: Url,
    },
    /// The generated test card.
    TestCard(TestCardSpec),
}

/// What the test-card generator is to draw. The layout is in `docs/test-card.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TestCardSpec {
    /// Length in milliseconds, 1 s to 24 h.
    pub duration_ms: u64,
    /// Frames a second as numerator and denominator: (25, 1), (30000, 1001); 5 to 60 frames a second.
    pub frame_rate: (u32, u32),
    /// Lines of the highest rung (16:9), 48 to 2160.
    pub lines: u32,
    /// Seed of the texture.
    pub seed: u64,
    /// With the beep.
    pub audio: bool,
}

/// URLs as plain strings.
mod url_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use url::Url;

    pub(super) fn serialize<S: Serializer>(url: &Url, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(url.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
        let text = String::deserialize(deserializer)?;
        Url::parse(&text).map_err(|e| D::Error::custom(format!("{text:?} is not a URL: {e}")))
    }
}

impl Default for TestCardSpec {
    fn default() -> Self {
        Self { duration_ms: 60_000, frame_rate: (25, 1), lines: 1080, seed: 1, audio: true }
    }
}

impl TestCardSpec {
    /// Checks the ranges that the fields' documentation gives.
    ///
    /// # Errors
    /// One sentence that names the field and what it may be.
    pub fn check(&self) -> Result<(), String> {
        if !(1000..=86_400_000).contains(&self.duration_ms) {
            return Err("test card duration_ms: 1000 to 86400000".to_owned());
        }
        let (num, den) = self.frame_rate;
        if den == 0
            || num > 1_000_000
            || u64::from(num) < 5 * u64::from(den)
            || u64::from(num) > 60 * u64::from(den)
        {
            return Err(
                "test card frame_rate: 5 to 60 frames a second, as [numerator, denominator]".to_owned()
            );
        }
        if !(48..=2160).contains(&self.lines) {
            return Err("test card lines: 48 to 2160".to_owned());
        }
        Ok(())
    }

    /// Picture size of the highest rung: 16:9, even.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        let height = self.lines / 2 * 2;
        ((height * 8 + 4) / 9 * 2, height)
    }
}

/// A frame rate as people write it as an exact fraction: 29.97 is 30000/1001.
pub(crate) fn exact_rate(rate: f64) -> (u32, u32) {
    let whole = rate.round();
    if (rate - whole).abs() < 0.001 {
        (whole as u32, 1)
    } else if (rate - whole * 1000.0 / 1001.0).abs() < 0.006 {
        (whole as u32 * 1000, 1001)
    } else {
        ((rate * 1000.0).round() as u32, 1000)
    }
}
