//! What the catalogue knows of who may watch a stream.

use serde::{Deserialize, Serialize};

use crate::viewers::HmacKey;

/// Rounds of PBKDF2 for a new password: some 20 ms, once for each viewer.
const ROUNDS: u32 = 60_000;
/// Most rounds that are read back; more would be a way to keep the server busy.
const MOST_ROUNDS: u32 = 10_000_000;

/// Who may watch a private stream. A stream without it is public.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Auth {
    /// Those who may with a name and a password.
    pub users: Vec<User>,
    /// Links of another epoch are no longer good: when it began, in seconds since 1970.
    pub epoch: u64,
}

/// Somebody with a password, of which only a hash is kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name, without ':'.
    pub name: String,
    /// `pbkdf2-sha256:ROUNDS:SALT:HASH`, salt and hash in hexadecimal.
    password: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Auth {
    /// Nobody may yet. A stream that was private, then public, then private again does not open to its old links.
    #[must_use]
    pub fn closed() -> Self {
        Self { users: Vec::new(), epoch: super::unix_ms() / 1000 }
    }

    /// Has every link that was made so far open nothing.
    pub fn revoke_links(&mut self) {
        self.epoch = (self.epoch + 1).max(super::unix_ms() / 1000);
    }

    /// The user of a name.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }
}

impl User {
    /// With a salt of its own. Takes some 20 ms of processor time.
    #[must_use]
    pub fn new(name: impl Into<String>, password: &str) -> Self {
        let salt = *uuid::Uuid::new_v4().as_bytes();
        let hash = pbkdf2(password, &salt, ROUNDS);
        let password = format!("pbkdf2-sha256:{ROUNDS}:{}:{}", hex(&salt), hex(&hash));
        Self { name: name.into(), password }
    }

    /// Whether this is the password. Takes as long as [`new`](Self::new), wherever they differ.
    pub fn has(&self, password: &str) -> bool {
        let mut parts = self.password.split(':');
        let (Some("pbkdf2-sha256"), Some(rounds), Some(salt), Some(hash)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return false;
        };
        let (Ok(rounds), Some(salt)) = (rounds.parse::<u32>(), unhex(salt)) else { return false };
        rounds <= MOST_ROUNDS && same(hex(&pbkdf2(password, &salt, rounds)).as_bytes(), hash.as_bytes())
    }

    /// What changes with the password: names what is remembered about this one.
    pub fn stamp(&self) -> &str {
        &self.password
    }
}

/// The first 32 bytes of PBKDF2-HMAC-SHA-256 (RFC 8018, section 5.2).
fn pbkdf2(password: &str, salt: &[u8], rounds: u32) -> [u8; 32] {
    let key = HmacKey::new(password.as_bytes());
    let mut block = key.of(&[&[salt, &1_u32.to_be_bytes()].concat()]);
    let mut sum = block;
    for _ in 1..rounds {
        block = key.of(&[&block]);
        for (slot, byte) in sum.iter_mut().zip(block) {
            *slot ^= byte;
        }
    }
    sum
}

/// Whether two texts are equal, in a time that does not tell where they differ.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |acc, (a, b)| acc | (a ^ b)) == 0
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_rfc_7914_section_11() {
        let expected = "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc";
        assert_eq!(hex(&pbkdf2("passwd", b"salt", 1)), expected);
        let expected = "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56";
        assert_eq!(hex(&pbkdf2("Password", b"NaCl", 80_000)), expected);
    }

    #[test]
    fn a_password_is_known_again_and_kept_as_a_hash_only() {
        let (anna, again) = (User::new("anna", "correct horse"), User::new("anna", "correct horse"));
        assert_ne!(anna.stamp(), again.stamp(), "each has a salt of its own");
        assert!(anna.has("correct horse") && !anna.has("correct hors") && !anna.has(""));
        let kept = serde_json::to_string(&anna).unwrap();
        assert!(!kept.contains("horse") && !format!("{anna:?}").contains("pbkdf2"));
        assert_eq!(serde_json::from_str::<User>(&kept).unwrap(), anna);
        for damaged in
            ["", "pbkdf2-sha256", "pbkdf2-sha256:1:zz:00", "pbkdf2-sha256:4000000000:00:00", "plain:1:00:00"]
        {
            let user = User { name: "anna".into(), password: damaged.into() };
            assert!(!user.has("correct horse"), "{damaged}");
        }
    }
}
