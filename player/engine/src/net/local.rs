//! Files of this machine, read as if they had been downloaded.
//!
//! Only what a person opened from a file may name files: a manifest from the network has no business with them.

use std::{io, path::PathBuf, time::Instant};

use bytes::{Bytes, BytesMut};
use reqwest::Version;
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _},
};
use url::Url;

use super::{
    Http, NetError,
    body::{Ask, Body, Progress},
    stream::Tap,
};

/// Read at once.
const CHUNK: usize = 256 << 10;

impl Http {
    pub(super) async fn read_file(
        &self,
        ask: Ask,
        progress: &mut impl FnMut(Progress),
        mut tap: Option<&mut Tap>,
    ) -> Result<Body, NetError> {
        let Ask { url, range, limit, .. } = ask;
        let path = path_of(&url)?;
        let failed = |error: io::Error| NetError::File { path: path.clone(), reason: error.to_string() };
        let asked = Instant::now();
        let mut file = File::open(&path).await.map_err(failed)?;
        let meta = file.metadata().await.map_err(failed)?;
        if !meta.is_file() {
            let reason = "it is no plain file".to_owned();
            return Err(NetError::File { path, reason });
        }
        let range = range.unwrap_or(0..meta.len());
        let wanted = range.end.saturating_sub(range.start);
        if range.end > meta.len() {
            let got = meta.len().saturating_sub(range.start);
            return Err(NetError::Truncated { url, got, expected: wanted });
        }
        if wanted > limit {
            return Err(NetError::TooLarge { url, limit });
        }
        file.seek(io::SeekFrom::Start(range.start)).await.map_err(failed)?;
        let first_byte = asked.elapsed();
        progress(Progress::Head(Some(wanted)));
        if let Some(tap) = &mut tap {
            tap.begin(false);
        }
        let undecodable = |reason: String| NetError::Decode { url: url.clone(), reason };
        let mut rest = file.take(wanted);
        let (mut got, mut bytes) = (0_u64, BytesMut::new());
        loop {
            let mut chunk = BytesMut::with_capacity(CHUNK);
            if rest.read_buf(&mut chunk).await.map_err(failed)? == 0 {
                break;
            }
            got += chunk.len() as u64;
            match &mut tap {
                Some(tap) => {
                    tap.take(chunk.freeze()).await.map_err(undecodable)?;
                }
                None => bytes.extend_from_slice(&chunk),
            }
            progress(Progress::Bytes(got));
        }
        if got != wanted {
            return Err(NetError::Truncated { url, got, expected: wanted });
        }
        if let Some(tap) = &mut tap {
            tap.end().await.map_err(undecodable)?;
        }
        let bytes: Bytes = bytes.freeze();
        let version = Version::default();
        let (content_type, clock) = (None, None);
        Ok(Body { url, content_type, bytes, length: got, gzip: false, first_byte, clock, version })
    }
}

fn path_of(url: &Url) -> Result<PathBuf, NetError> {
    url.to_file_path().map_err(|()| NetError::Scheme { url: url.clone() })
}
