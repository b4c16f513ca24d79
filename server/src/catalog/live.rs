//! What the catalogue knows of a live stream beside what it knows of every stream.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Longest DVR window in seconds: a week.
pub const LONGEST_DVR_S: u32 = 7 * 86_400;

/// How close to the present viewers are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Latency {
    /// Segments of 2 s in parts of 0.5 s.
    #[default]
    Low,
    /// Segments of 4 s in parts of 1 s: fewer requests, longer buffers.
    Normal,
}

impl Latency {
    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
        }
    }

    /// The latency of a name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Low, Self::Normal].into_iter().find(|latency| latency.name() == name)
    }

    /// Length of a segment in milliseconds, where the profile does not say another.
    pub fn segment_ms(self) -> u32 {
        match self {
            Self::Low => 2000,
            Self::Normal => 4000,
        }
    }

    /// Length of a part in milliseconds.
    pub fn part_ms(self) -> u32 {
        match self {
            Self::Low => 500,
            Self::Normal => 1000,
        }
    }
}

/// A live stream's own settings. A stream without them is video on demand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Live {
    /// Seconds that viewers can go back, up to [`LONGEST_DVR_S`]; 0 keeps everything.
    pub dvr_s: u32,
    /// How close to the present viewers are kept.
    pub latency: Latency,
    /// Whether the stream becomes video on demand when it ends.
    pub record: bool,
    /// Whether a second publisher takes the stream over (else it is refused).
    pub takeover: bool,
    /// Whether publishers are let in: `stop` takes it away, `start` gives it back.
    pub enabled: bool,
    /// SHA-256 of the stream key in lower-case hexadecimal; none for a source that nobody publishes to.
    pub key_sha256: Option<String>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            dvr_s: 300,
            latency: Latency::Low,
            record: false,
            takeover: true,
            enabled: true,
            key_sha256: None,
        }
    }
}

/// A stream key in clear: shown once to whoever made it, never kept.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamKey(String);

impl std::fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StreamKey(..)")
    }
}

impl StreamKey {
    /// A new key of 160 random bits, in characters that survive URLs and being read out.
    #[must_use]
    pub fn random() -> Self {
        const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let mut hash = Sha256::new();
        // Two random identifiers carry 244 random bits; the digest spreads them evenly.
        hash.update(uuid::Uuid::new_v4().as_bytes());
        hash.update(uuid::Uuid::new_v4().as_bytes());
        let digest = hash.finalize();
        let letters = digest.chunks_exact(5).take(4).flat_map(|five| {
            let bits = five.iter().fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte));
            (0..8).rev().map(move |at| ((bits >> (at * 5)) & 31) as usize)
        });
        Self(letters.filter_map(|at| ALPHABET.get(at)).map(|letter| char::from(*letter)).collect())
    }

    /// One that somebody chose: 16 to 128 of letters, digits, '-', '_' and '.'.
    pub fn chosen(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        ((16..=128).contains(&text.len()) && text.bytes().all(plain)).then(|| Self(text.to_owned()))
    }

    /// The key itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    #[must_use]
    pub fn digest(&self) -> String {
        digest(&self.0)
    }
}

/// SHA-256 of a key that somebody gave, in lower-case hexadecimal.
pub fn digest(key: &str) -> String {
    Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Live {
    /// Whether `given` is the digest of this stream's key. Takes the same time wherever they differ.
    pub fn accepts(&self, given: &str) -> bool {
        self.key_sha256.as_deref().is_some_and(|known| {
            known.len() == given.len()
                && known.bytes().zip(given.bytes()).fold(0, |acc, (a, b)| acc | (a ^ b)) == 0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_long_different_and_kept_as_digests_only() {
        let (one, two) = (StreamKey::random(), StreamKey::random());
        assert_ne!(one, two);
        assert_eq!(one.reveal().len(), 32);
        assert!(one.reveal().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
        let live = Live { key_sha256: Some(one.digest()), ..Live::default() };
        assert!(live.accepts(&digest(one.reveal())));
        for wrong in [digest(two.reveal()), digest(""), String::new(), one.reveal().to_owned()] {
            assert!(!live.accepts(&wrong), "{wrong}");
        }
        assert!(!Live::default().accepts(""));
        assert!(!format!("{one:?} {live:?}").contains(one.reveal()));
    }

    #[test]
    fn settings_of_an_older_program_get_the_defaults() {
        let live: Live = serde_json::from_str(r#"{"dvr_s": 60, "record": true}"#).unwrap();
        assert_eq!(live, Live { dvr_s: 60, record: true, ..Live::default() });
    }
}
