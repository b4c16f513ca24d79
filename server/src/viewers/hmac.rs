//! HMAC-SHA-256 (RFC 2104).

use sha2::{Digest, Sha256};

/// HMAC of the `parts`, each preceded by its length so that no two lists of parts collide; a single part goes in bare.
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    Key::new(key).of(parts)
}

/// A key that is worked in already, which is half the work on short messages.
#[derive(Clone)]
pub(crate) struct Key {
    inner: Sha256,
    outer: Sha256,
}

impl Key {
    pub(crate) fn new(key: &[u8]) -> Self {
        let digest;
        // A key longer than a block is hashed first.
        let key = if key.len() > 64 {
            digest = Sha256::digest(key);
            digest.as_slice()
        } else {
            key
        };
        let with = |pad: u8| {
            let mut block = [pad; 64];
            for (slot, byte) in block.iter_mut().zip(key) {
                *slot ^= byte;
            }
            Sha256::new_with_prefix(block)
        };
        Self { inner: with(0x36), outer: with(0x5c) }
    }

    pub(crate) fn of(&self, parts: &[&[u8]]) -> [u8; 32] {
        let Self { mut inner, mut outer } = self.clone();
        for part in parts {
            if parts.len() > 1 {
                inner.update((part.len() as u64).to_be_bytes());
            }
            inner.update(part);
        }
        outer.update(inner.finalize());
        outer.finalize().into()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_rfc_4231_case_1() {
        // The RFC's key of 20 bytes, padded with zeros as HMAC does itself.
        let mut key = [0_u8; 32];
        key[..20].fill(0x0b);
        let hex: String = hmac_sha256(&key, &[b"Hi There"]).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    }

    #[test]
    fn agrees_with_rfc_4231_case_6_whose_key_is_longer_than_a_block() {
        let text: &[u8] = b"Test Using Larger Than Block-Size Key - Hash Key First";
        let hex: String = hmac_sha256(&[0xaa; 131], &[text]).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }

    #[test]
    fn lists_that_join_to_the_same_bytes_differ() {
        assert_ne!(hmac_sha256(&[1; 32], &[b"ab", b"c"]), hmac_sha256(&[1; 32], &[b"a", b"bc"]));
    }
}
