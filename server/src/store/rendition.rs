//! One rendition of a stream: what it is, its init segment, its finished segments.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::journal::{Journal, SegmentEntry, segment_path};
use super::{StoreError, atomic};

/// What a rendition carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrackKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// What a rendition is; does not change once its first segment exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenditionInfo {
    /// Name in paths and playlists: "720p", "audio". Letters, digits, '-' and '_' only.
    pub name: String,
    /// Picture or sound.
    pub kind: TrackKind,
    /// RFC 6381 codec string: "avc1.64001f", "mp4a.40.2".
    pub codecs: String,
    /// Picture width in pixels; 0 for audio.
    pub width: u32,
    /// Picture height in pixels; 0 for audio.
    pub height: u32,
    /// Frames a second as numerator and denominator; `(0, 1)` for audio.
    pub frame_rate: (u32, u32),
    /// Audio sample rate in Hz; 0 for video.
    pub sample_rate: u32,
    /// Audio channels; 0 for video.
    pub channels: u32,
    /// Bitrate that the encoder was asked for, in bit/s. See [`Rendition::average_bandwidth`] for what it
    /// came to.
    pub bandwidth: u64,
    /// Ticks a second of [`SegmentEntry::start`] and [`SegmentEntry::duration`].
    pub timescale: u32,
}

/// A rendition and its finished segments. Readers share it; only the packager writes.
#[derive(Debug)]
pub struct Rendition {
    info: RenditionInfo,
    folder: PathBuf,
    init: Bytes,
    segments: RwLock<Arc<[SegmentEntry]>>,
    journal: Mutex<Journal>,
}

impl Rendition {
    /// What it is.
    #[must_use]
    pub fn info(&self) -> &RenditionInfo {
        &self.info
    }

    /// Its name: `info().name`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// The init segment (`ftyp` + `moov`).
    #[must_use]
    pub fn init(&self) -> &Bytes {
        &self.init
    }

    /// A snapshot of the finished segments, in order, numbers 1, 2, 3 ...
    #[must_use]
    pub fn segments(&self) -> Arc<[SegmentEntry]> {
        Arc::clone(&self.segments.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Number of finished segments.
    #[must_use]
    pub fn len(&self) -> usize {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// No segment is finished yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// End of the last finished segment in seconds from the stream's beginning.
    #[must_use]
    pub fn end_seconds(&self) -> f64 {
        self.segments()
            .last()
            .map_or(0.0, |last| (last.start + last.duration) as f64 / f64::from(self.info.timescale.max(1)))
    }

    /// Measured average bitrate of the finished segments in bit/s; `None` before the first.
    #[must_use]
    pub fn average_bandwidth(&self) -> Option<u64> {
        let segments = self.segments();
        let ticks: u64 = segments.iter().map(|s| s.duration).sum();
        let bytes: u64 = segments.iter().map(|s| s.bytes).sum();
        rate(bytes, ticks, self.info.timescale)
    }

    /// Highest bitrate of any finished segment in bit/s (RFC 8216bis, peak segment bit rate); `None` before
    /// the first. A last segment of less than half the longest one's duration does not count.
    #[must_use]
    pub fn peak_bandwidth(&self) -> Option<u64> {
        let segments = self.segments();
        let longest = segments.iter().map(|s| s.duration).max()?;
        segments
            .iter()
            .filter(|s| s.duration * 2 >= longest)
            .filter_map(|s| rate(s.bytes, s.duration, self.info.timescale))
            .max()
    }

    /// Where a segment's file is, whether or not it is there yet.
    #[must_use]
    pub fn segment_path(&self, number: u32) -> PathBuf {
        segment_path(&self.folder, number)
    }

    /// Writes folder, description and init segment of a new rendition.
    pub(super) fn create(
        parent: &Path,
        info: RenditionInfo,
        init: Bytes,
        fsync: bool,
    ) -> Result<Self, StoreError> {
        let folder = parent.join(&info.name);
        std::fs::create_dir_all(&folder).map_err(|e| StoreError::io("create", &folder, e))?;
        atomic::write(&folder.join("init.mp4"), &init, fsync)?;
        let text = serde_json::to_vec_pretty(&info).unwrap_or_default();
        // Last: a folder without it is not a rendition.
        atomic::write(&folder.join("rendition.json"), &text, fsync)?;
        Self::open(folder, info, init)
    }

    /// Reads a rendition back; `None` when its creation was cut short.
    pub(super) fn load(folder: PathBuf) -> Result<Option<Self>, StoreError> {
        let path = folder.join("rendition.json");
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("read", &path, error)),
        };
        let info: RenditionInfo = serde_json::from_slice(&text).map_err(|e| StoreError::Mismatch {
            what: path.display().to_string(),
            why: format!("{e}; delete the stream and package it again"),
        })?;
        let path = folder.join("init.mp4");
        let init = std::fs::read(&path).map_err(|e| StoreError::io("read", &path, e))?;
        Self::open(folder, info, init.into()).map(Some)
    }

    fn open(folder: PathBuf, info: RenditionInfo, init: Bytes) -> Result<Self, StoreError> {
        let (journal, entries) = Journal::open(&folder)?;
        Ok(Self { info, folder, init, segments: RwLock::new(entries.into()), journal: Mutex::new(journal) })
    }

    /// Makes the next segment part of the rendition: file first, then journal, then memory.
    pub(super) fn append(&self, entry: SegmentEntry, bytes: &[u8], fsync: bool) -> Result<(), StoreError> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.segments();
        let (number, start) = before.last().map_or((1, 0), |s| (s.number + 1, s.start + s.duration));
        if entry.number != number || entry.start < start || entry.duration == 0 {
            return Err(StoreError::Mismatch {
                what: format!("segment {} of {}", entry.number, self.info.name),
                why: format!("segment {number} is next and starts at tick {start} or later"),
            });
        }
        atomic::write(&self.segment_path(entry.number), bytes, fsync)?;
        journal.append(&entry, fsync)?;
        let after: Arc<[SegmentEntry]> = before.iter().copied().chain([entry]).collect();
        *self.segments.write().unwrap_or_else(PoisonError::into_inner) = after;
        Ok(())
    }
}

fn rate(bytes: u64, ticks: u64, timescale: u32) -> Option<u64> {
    let bits = u128::from(bytes) * 8 * u128::from(timescale);
    bits.checked_div(u128::from(ticks)).and_then(|r| u64::try_from(r).ok())
}
