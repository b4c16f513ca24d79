//! A segment with all that it needs: its init segment and, decrypted, its media.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aes::cipher::{BlockModeDecrypt, KeyIvInit, block_padding::Pkcs7};
use bytes::{Bytes, BytesMut};
use url::Url;
use weir_manifest::model::{Encryption, Resource, Segment};

use super::{Ask, Http, NetError, body::Progress, text};

/// Init segments and keys kept; a ladder has a dozen of each.
const CACHED: usize = 64;

/// A segment, ready for the demuxer.
#[derive(Clone, Debug)]
pub struct SegmentBody {
    /// Initialization segment; the same `Arc` means the same one.
    pub init: Option<Arc<Bytes>>,
    /// Media, decrypted.
    pub media: Bytes,
    /// Bytes of media as they came over the network.
    pub transferred: u64,
    /// Request to the head of the media's response.
    pub first_byte: Duration,
    /// It is shorter than was announced, and may be complete all the same: it ends where it may end.
    pub doubt: Option<NetError>,
}

/// A key and the vector that goes with it.
pub(super) type Key = ([u8; 16], [u8; 16]);

/// Small bodies that many segments share, by address; the oldest goes first.
#[derive(Debug, Default)]
struct Cache {
    entries: HashMap<Resource, Arc<Bytes>>,
    order: VecDeque<Resource>,
}

impl Cache {
    fn insert(&mut self, resource: Resource, bytes: Arc<Bytes>) -> Arc<Bytes> {
        if let Some(known) = self.entries.get(&resource) {
            // Two segments asked at once: keep one, so that equality of pointers goes on meaning equality.
            return known.clone();
        }
        if self.order.len() >= CACHED
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
        self.order.push_back(resource.clone());
        self.entries.insert(resource, bytes.clone());
        bytes
    }
}

/// Fetches segments; clones share the cache.
#[derive(Clone, Debug)]
pub struct SegmentFetcher {
    pub(super) http: Http,
    cache: Arc<Mutex<Cache>>,
}

impl SegmentFetcher {
    /// With an empty cache.
    pub fn new(http: Http) -> Self {
        Self { http, cache: Arc::default() }
    }

    /// Fetches `segment`. Init segment and key, when they are not cached, are requested beside the media, so that a
    /// new rung costs one round trip.
    pub async fn fetch(
        &self,
        segment: &Segment,
        progress: impl FnMut(Progress),
    ) -> Result<SegmentBody, NetError> {
        let ask = self.ask(&segment.media);
        let (body, (init, key)) =
            tokio::try_join!(self.http.get_anywhere(ask, progress), self.prepare(segment))?;
        let transferred = body.length;
        // Not asked for, but some servers compress whatever they send.
        let media = if body.gzip {
            text::gunzip(&segment.media.url, &body.bytes, self.http.limits.media)?
        } else {
            body.bytes
        };
        let media = match key {
            None => media,
            Some((key, iv)) => decrypt(&segment.media.url, media, key, iv)?,
        };
        Ok(SegmentBody { init, media, transferred, first_byte: body.first_byte, doubt: None })
    }

    pub(super) fn ask(&self, media: &Resource) -> Ask {
        Ask {
            url: media.url.clone(),
            range: media.range.clone(),
            limit: self.http.limits.media,
            compressed: false,
            idle: self.http.limits.idle,
        }
    }

    /// What has to be there before media can be read: the init segment, decrypted, and the key with its vector.
    pub(super) async fn prepare(
        &self,
        segment: &Segment,
    ) -> Result<(Option<Arc<Bytes>>, Option<Key>), NetError> {
        let key = match &segment.encryption {
            None => None,
            Some(Encryption::Aes128 { key, iv }) => Some((key.clone(), *iv)),
            Some(Encryption::Unsupported(method)) => {
                return Err(NetError::Protected { url: segment.media.url.clone(), method: method.clone() });
            }
        };
        let (init, key) = tokio::try_join!(
            async {
                match &segment.init {
                    Some(init) => self.cached(init, self.http.limits.text).await.map(Some),
                    None => Ok(None),
                }
            },
            async {
                match key {
                    Some((url, iv)) => self.key(url).await.map(|key| Some((key, iv))),
                    None => Ok(None),
                }
            }
        )?;
        let init = match (key, init, &segment.init) {
            // RFC 8216, 4.3.2.5: the init segment is encrypted too when the key stands before the map, which the model
            // does not say; a box type tells.
            (Some((key, iv)), Some(init), Some(resource)) if !looks_like_mp4(&init) => {
                let plain = decrypt(&resource.url, init.as_ref().clone(), key, iv)?;
                let decrypted = Resource { url: with_fragment(&resource.url), range: resource.range.clone() };
                Some(self.lock().insert(decrypted, Arc::new(plain)))
            }
            (_, init, _) => init,
        };
        Ok((init, key))
    }

    async fn key(&self, url: Url) -> Result<[u8; 16], NetError> {
        let bytes = self.cached(&Resource { url: url.clone(), range: None }, 1 << 16).await?;
        <[u8; 16]>::try_from(bytes.as_ref().as_ref()).map_err(|_| NetError::Decode {
            url,
            reason: format!("a key has 16 bytes, this has {}", bytes.len()),
        })
    }

    async fn cached(&self, resource: &Resource, limit: u64) -> Result<Arc<Bytes>, NetError> {
        if let Some(bytes) = self.lock().entries.get(resource) {
            return Ok(bytes.clone());
        }
        let Resource { url, range } = resource.clone();
        let ask = Ask { url, range, limit, compressed: false, idle: self.http.limits.idle };
        let body = self.http.get_anywhere(ask, |_| ()).await?;
        let bytes = if body.gzip { text::gunzip(&resource.url, &body.bytes, limit)? } else { body.bytes };
        Ok(self.lock().insert(resource.clone(), Arc::new(bytes)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address under which the decrypted form of an init segment is cached.
fn with_fragment(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_fragment(Some("decrypted"));
    url
}

fn looks_like_mp4(bytes: &[u8]) -> bool {
    matches!(bytes.get(4..8), Some(b"ftyp" | b"styp" | b"moov" | b"free" | b"sidx" | b"skip" | b"uuid"))
}

/// AES-128 in CBC mode with PKCS#7 padding (RFC 8216, 5.2), in place.
pub(super) fn decrypt(url: &Url, bytes: Bytes, key: [u8; 16], iv: [u8; 16]) -> Result<Bytes, NetError> {
    let mut bytes = BytesMut::from(bytes);
    let length = cbc::Decryptor::<aes::Aes128>::new(&key.into(), &iv.into())
        .decrypt_padded::<Pkcs7>(&mut bytes)
        .map(<[u8]>::len)
        .map_err(|_| NetError::Decode {
            url: url.clone(),
            reason: "decrypting gave no valid padding, so the key or the segment is wrong".to_owned(),
        })?;
    bytes.truncate(length);
    Ok(bytes.freeze())
}

#[cfg(test)]
mod tests {
    use aes::cipher::BlockModeEncrypt;

    use super::*;

    #[test]
    fn decrypts_what_was_encrypted_and_refuses_a_wrong_key() {
        let url = Url::parse("http://a/1.ts").unwrap();
        let plain: Vec<u8> = (0..1000u32).map(|byte| byte as u8).collect();
        let cipher = cbc::Encryptor::<aes::Aes128>::new(&[7; 16].into(), &[9; 16].into())
            .encrypt_padded_vec::<Pkcs7>(&plain);
        let back = decrypt(&url, cipher.clone().into(), [7; 16], [9; 16]).unwrap();
        assert_eq!(back, plain);
        let cut = Bytes::from(cipher[..100].to_vec());
        assert!(matches!(decrypt(&url, cut, [7; 16], [9; 16]), Err(NetError::Decode { .. })));
    }

    #[test]
    fn the_cache_keeps_its_bound_and_one_copy() {
        let mut cache = Cache::default();
        let resource =
            |n: usize| Resource { url: Url::parse(&format!("http://a/{n}")).unwrap(), range: None };
        let first = cache.insert(resource(0), Arc::new(Bytes::from_static(b"a")));
        let again = cache.insert(resource(0), Arc::new(Bytes::from_static(b"a")));
        assert!(Arc::ptr_eq(&first, &again));
        for n in 1..200 {
            cache.insert(resource(n), Arc::new(Bytes::new()));
        }
        assert_eq!(cache.entries.len(), CACHED);
        assert!(!cache.entries.contains_key(&resource(0)));
    }
}
