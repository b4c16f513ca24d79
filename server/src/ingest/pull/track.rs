//! One rendition: its playlist, and its segments as access units.

use std::sync::Arc;
use std::time::Duration;

use aes::cipher::{BlockModeDecrypt as _, KeyIvInit as _, block_padding::Pkcs7};
use bytes::{Bytes, BytesMut};
use url::Url;

use super::define::Variables;
use super::demux::{DemuxError, Demuxer, Timed};
use super::media::{Key, Map, Media, Part, Resource, Segment};
use super::playlist::{self, Playlist};
use super::{PLAYLIST, PullError, SMALL};
use crate::ingest::fetch::{Getter, Limits, shown};

/// Reads one rendition.
#[derive(Debug)]
pub(super) struct Track {
    getter: Getter,
    url: Url,
    demuxer: Demuxer,
    /// What the multivariant playlist defines.
    variables: Arc<Variables>,
    /// The key and the init segment that were used last.
    key: Option<(Url, [u8; 16])>,
    init: Option<(Arc<Map>, Bytes)>,
}

impl Track {
    pub(super) fn new(getter: Getter, url: Url, demuxer: Demuxer, variables: Arc<Variables>) -> Self {
        Self { getter, url, demuxer, variables, key: None, init: None }
    }

    /// Its address, as messages show it.
    pub(super) fn name(&self) -> String {
        shown(&self.url)
    }

    /// Whether it carries what the other renditions follow.
    pub(super) fn leads(&self) -> bool {
        self.demuxer.wanted().pictures
    }

    /// The playlist as it is now.
    pub(super) async fn playlist(&self) -> Result<Media, PullError> {
        self.load(&self.url).await
    }

    /// The playlist as soon as it has this part of a segment, both counted as in the playlist (RFC 8216bis, 6.2.5.2).
    pub(super) async fn playlist_with(&self, segment: u64, part: usize) -> Result<Media, PullError> {
        let mut url = self.url.clone();
        let directives = format!("_HLS_msn={segment}&_HLS_part={part}");
        let query = match url.query().filter(|query| !query.is_empty()) {
            Some(query) => format!("{query}&{directives}"),
            None => directives,
        };
        url.set_query(Some(&query));
        self.load(&url).await
    }

    async fn load(&self, url: &Url) -> Result<Media, PullError> {
        let (base, body) = self.getter.get(url, None, PLAYLIST).await?;
        match playlist::parse(&base, &body, Some(&self.variables))?.0 {
            Playlist::Media(media) => Ok(*media),
            Playlist::Multivariant(_) => Err(PullError::Playlist {
                url: self.name(),
                why: "it should list segments and lists variants again".to_owned(),
            }),
        }
    }

    /// The clock starts anew.
    pub(super) fn restart(&mut self) {
        self.demuxer.restart();
    }

    /// A segment's size and what is in it.
    pub(super) async fn segment(
        &mut self,
        segment: &Segment,
        limits: Limits,
    ) -> Result<(u64, Vec<Timed>), PullError> {
        self.piece(segment, &segment.resource, limits).await
    }

    /// The same of one of its parts.
    pub(super) async fn part(
        &mut self,
        segment: &Segment,
        part: &Part,
        limits: Limits,
    ) -> Result<(u64, Vec<Timed>), PullError> {
        self.piece(segment, &part.resource, limits).await
    }

    async fn piece(
        &mut self,
        segment: &Segment,
        resource: &Resource,
        limits: Limits,
    ) -> Result<(u64, Vec<Timed>), PullError> {
        let init = match &segment.map {
            Some(map) => Some(self.init(map).await?),
            None => None,
        };
        let key = match &segment.key {
            Some(key) => Some(self.key(key, segment.number).await?),
            None => None,
        };
        let Resource { url, range } = resource;
        let (_, bytes) = self.getter.get(url, *range, limits).await?;
        let size = bytes.len() as u64;
        let bytes = match key {
            Some((key, iv)) => decrypt(url, bytes, key, iv)?,
            None => bytes,
        };
        let offset = range.map_or(0, |range| range.offset);
        let read = self.demuxer.segment(init.as_ref(), &bytes, offset);
        Ok((size, read.map_err(|why: DemuxError| wrong(url, why.to_string()))?))
    }

    async fn init(&mut self, map: &Arc<Map>) -> Result<Bytes, PullError> {
        if let Some((known, bytes)) = &self.init
            && known == map
        {
            return Ok(bytes.clone());
        }
        let Resource { url, range } = &map.resource;
        let (_, bytes) = self.getter.get(url, *range, SMALL).await?;
        let bytes = match &map.key {
            // Without an IV of its own an init segment has no number to take one from (RFC 8216, 4.3.2.5).
            Some(key) => {
                let (key, iv) = self.key(key, 0).await?;
                decrypt(url, bytes, key, iv)?
            }
            None => bytes,
        };
        self.init = Some((Arc::clone(map), bytes.clone()));
        Ok(bytes)
    }

    async fn key(&mut self, key: &Key, number: u64) -> Result<([u8; 16], [u8; 16]), PullError> {
        let iv = key.iv.unwrap_or_else(|| u128::from(number).to_be_bytes());
        if let Some((url, bytes)) = &self.key
            && *url == key.url
        {
            return Ok((*bytes, iv));
        }
        let limits = Limits { bytes: 64, time: Duration::from_secs(20) };
        let (_, bytes) = self.getter.get(&key.url, None, limits).await?;
        let length = bytes.len();
        let bytes: [u8; 16] = bytes
            .as_ref()
            .try_into()
            .map_err(|_| wrong(&key.url, format!("a key has 16 bytes, this has {length}")))?;
        self.key = Some((key.url.clone(), bytes));
        Ok((bytes, iv))
    }
}

fn wrong(url: &Url, why: String) -> PullError {
    PullError::Segment { url: shown(url), why }
}

/// AES-128 in CBC mode with PKCS#7 padding (RFC 8216, 5.2).
fn decrypt(url: &Url, bytes: Bytes, key: [u8; 16], iv: [u8; 16]) -> Result<Bytes, PullError> {
    let mut bytes = BytesMut::from(bytes);
    let length = cbc::Decryptor::<aes::Aes128>::new(&key.into(), &iv.into())
        .decrypt_padded::<Pkcs7>(&mut bytes)
        .map(<[u8]>::len)
        .map_err(|_| {
            wrong(url, "decrypting it gave no valid padding: key or segment are wrong".to_owned())
        })?;
    bytes.truncate(length);
    Ok(bytes.freeze())
}
