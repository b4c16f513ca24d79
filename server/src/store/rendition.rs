//! One rendition of a stream: what it is, its init segments, its segments.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::disk::RenditionDisk;
use super::entry::{SegmentEntry, Window};
use super::growing::{Growing, HotSegment};
use super::journal::{Journal, Listed, segment_path};
use super::{StoreError, atomic};
use crate::package::{InitFormat, init_format};

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
    /// Language of sound (RFC 5646), where its source tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
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

impl RenditionInfo {
    /// The language of sound (RFC 5646): what its source tells, else what the name of sound beside the main one does, as
    /// in `audio-de` or `audio-de_6ch`.
    #[must_use]
    pub fn language(&self) -> Option<&str> {
        if let Some(language) = &self.language {
            return Some(language);
        }
        let rest = self.name.strip_prefix("audio-").filter(|_| self.kind == TrackKind::Audio)?;
        rest.split('_').next().filter(|tag| !tag.is_empty())
    }

    /// For sound that is there in another coding too, the name of the one in AAC and what tells this one from it:
    /// `audio_opus` is `audio` in `opus`.
    #[must_use]
    pub fn coding(&self) -> Option<(&str, &str)> {
        let (main, coding) = self.name.rsplit_once('_').filter(|_| self.kind == TrackKind::Audio)?;
        ["opus", "ac3", "eac3"].contains(&coding).then_some((main, coding))
    }
}

/// What changes about a rendition.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) inits: Vec<Bytes>,
    /// Every finished segment that can be fetched, listed or not.
    pub(super) entries: Vec<SegmentEntry>,
    /// Segments that had left the list when an earlier run ended, and can still be read.
    pub(super) left: Vec<SegmentEntry>,
    pub(super) window: Arc<Window>,
    /// Segments in memory, the one in progress among them, by number.
    pub(super) hot: BTreeMap<u32, Arc<HotSegment>>,
}

/// A rendition and its segments. Readers share it; only the packager writes.
#[derive(Debug)]
pub struct Rendition {
    info: RenditionInfo,
    pub(super) disk: Arc<RenditionDisk>,
    pub(super) state: RwLock<State>,
    pub(super) changes: watch::Sender<u64>,
    /// What was measured of the segments that were listed last.
    measured: Mutex<Option<Measures>>,
}

/// What takes a walk over all listed segments, and is therefore kept with them.
#[derive(Debug, Clone)]
struct Measures {
    of: Arc<[SegmentEntry]>,
    average: Option<u64>,
    peak: Option<u64>,
    longest: u64,
    independent: bool,
}

impl Measures {
    fn take(of: Arc<[SegmentEntry]>, timescale: u32) -> Self {
        let ticks: u64 = of.iter().map(|s| s.duration).sum();
        let bytes: u64 = of.iter().map(|s| s.bytes).sum();
        let longest = of.iter().map(|s| s.duration).max().unwrap_or(0);
        let full = of.iter().filter(|s| s.duration * 2 >= longest);
        let peak = full.filter_map(|s| rate(s.bytes, s.duration, timescale)).max();
        let independent = of.iter().all(|s| s.independent);
        Self { average: rate(bytes, ticks, timescale), peak, longest, independent, of }
    }
}

impl Rendition {
    /// What it is. A codec change in the middle of a live stream does not show here, only in
    /// [`info_at`](Self::info_at).
    #[must_use]
    pub fn info(&self) -> &RenditionInfo {
        &self.info
    }

    /// Its name: `info().name`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// An init segment (`ftyp` + `moov`) by [`SegmentEntry::init`]; 0 is the first and always there.
    #[must_use]
    pub fn init(&self, index: u32) -> Option<Bytes> {
        self.read().inits.get(index as usize).cloned()
    }

    /// What it is in segments that need this init segment: codec and size may change on the way.
    #[must_use]
    pub fn info_at(&self, init: u32) -> RenditionInfo {
        let format = self.init(init).filter(|_| init > 0).and_then(|bytes| init_format(&bytes));
        let info = self.info.clone();
        let Some(InitFormat { codecs, width, height, sample_rate, channels }) = format else { return info };
        RenditionInfo { codecs, width, height, sample_rate, channels, ..info }
    }

    /// What it is as a whole, for who must choose before the first segment: every codec of what is listed, comma-separated
    /// and the newest first, and its size now.
    #[must_use]
    pub fn info_of_window(&self) -> RenditionInfo {
        let window = self.window();
        let mut inits: Vec<u32> = window.segments.iter().map(|segment| segment.init).collect();
        inits.extend(window.open.map(|open| open.init));
        inits.reverse();
        inits.dedup();
        let mut shown = self.info_at(inits.first().copied().unwrap_or(0));
        let mut codecs = vec![shown.codecs.clone()];
        for init in inits.into_iter().skip(1) {
            let other = self.info_at(init).codecs;
            if !codecs.contains(&other) {
                codecs.push(other);
            }
        }
        shown.codecs = codecs.join(",");
        shown
    }

    /// All init segments, by [`SegmentEntry::init`].
    #[must_use]
    pub fn inits(&self) -> Vec<Bytes> {
        self.read().inits.clone()
    }

    /// What is listed now.
    #[must_use]
    pub fn window(&self) -> Arc<Window> {
        Arc::clone(&self.read().window)
    }

    /// Counts changes of [`window`](Self::window), so that whoever waits for this rendition is not woken by
    /// the others. Changes also when nothing more will come.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// A snapshot of the listed segments, in order, numbers without holes.
    #[must_use]
    pub fn segments(&self) -> Arc<[SegmentEntry]> {
        Arc::clone(&self.read().window.segments)
    }

    /// A finished segment that can be fetched, listed or not.
    #[must_use]
    pub fn segment(&self, number: u32) -> Option<SegmentEntry> {
        find(&self.read().entries, number)
    }

    /// Number of the segment, finished or in progress, that begins at this tick, or is the next there is behind one that ended
    /// at it.
    #[must_use]
    pub fn number_at(&self, tick: u64) -> Option<u32> {
        let state = self.read();
        let (before, after) = state.entries.split_at(state.entries.partition_point(|e| e.start < tick));
        let open = state.window.open.map(|open| (open.number, open.start));
        let next = after.iter().find(|entry| !entry.is_gap()).map(|entry| (entry.number, entry.start));
        let (number, start) = next.or(open).filter(|(_, start)| *start >= tick)?;
        let ended = || before.iter().rev().find(|entry| !entry.is_gap()).map(SegmentEntry::end);
        (start == tick || ended() == Some(tick)).then_some(number)
    }

    /// One part's bytes, while it is in memory: see [`StreamStore::read_part`](super::StreamStore::read_part).
    #[must_use]
    pub fn part_bytes(&self, segment: u32, part: u32) -> Option<Bytes> {
        let hot = self.read().hot.get(&segment).cloned()?;
        hot.chunk(part as usize)
    }

    /// A segment in memory, to be read along while it grows; finished ones too.
    #[must_use]
    pub fn open_segment(&self, number: u32) -> Option<Growing> {
        let hot = self.read().hot.get(&number).cloned()?;
        Some(Growing::new(hot))
    }

    /// Number of listed segments.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().window.segments.len()
    }

    /// No segment is listed yet.
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

    /// Measured average bitrate of the listed segments in bit/s; `None` before the first.
    #[must_use]
    pub fn average_bandwidth(&self) -> Option<u64> {
        self.measures().average
    }

    /// Highest bitrate of any listed segment in bit/s (RFC 8216bis, peak segment bit rate); `None` before
    /// the first. A last segment of less than half the longest one's duration does not count.
    #[must_use]
    pub fn peak_bandwidth(&self) -> Option<u64> {
        self.measures().peak
    }

    /// Duration of the longest listed segment in ticks; 0 before the first.
    #[must_use]
    pub fn longest(&self) -> u64 {
        self.measures().longest
    }

    /// Every listed segment can be decoded without the one before it.
    #[must_use]
    pub fn is_independent(&self) -> bool {
        self.measures().independent
    }

    /// Walks the listed segments once, however often it is asked for while they stay the same.
    fn measures(&self) -> Measures {
        let segments = self.segments();
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        match &*measured {
            Some(known) if Arc::ptr_eq(&known.of, &segments) => known.clone(),
            _ => measured.insert(Measures::take(segments, self.info.timescale)).clone(),
        }
    }

    /// Where a segment's file is, whether or not it is there yet.
    #[must_use]
    pub fn segment_path(&self, number: u32) -> PathBuf {
        segment_path(&self.disk.folder, number)
    }

    /// Writes folder, description and init segment of a new rendition.
    pub(super) fn create(
        parent: &Path,
        info: RenditionInfo,
        init: Bytes,
        fsync: bool,
    ) -> Result<Self, StoreError> {
        let folder = parent.join(&info.name);
        write(&folder, &info, &init, fsync)?;
        Self::open(folder, info, vec![init])
    }

    /// As [`create`](Self::create), for a live stream: what cannot be written is made up for when the disk is tried again,
    /// and the error says why it was not.
    pub(super) fn create_live(
        parent: &Path,
        info: RenditionInfo,
        init: Bytes,
        fsync: bool,
    ) -> (Self, Option<StoreError>) {
        let folder = parent.join(&info.name);
        let made = write(&folder, &info, &init, fsync);
        let (journal, failed) = match made.and_then(|()| Journal::open(&folder)) {
            Ok(opened) => (opened, None),
            Err(error) => ((Journal::absent(&folder), Listed::default()), Some(error)),
        };
        let description = failed.is_some().then(|| describe(&info));
        let this = Self::of(folder, info, vec![init], journal);
        this.disk.owe(description);
        (this, failed)
    }

    /// Reads a rendition back; `None` when its creation was cut short.
    pub(super) fn load(folder: PathBuf) -> Result<Option<Self>, StoreError> {
        let path = folder.join(DESCRIPTION);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("read", &path, error)),
        };
        let info: RenditionInfo = serde_json::from_slice(&text).map_err(|e| StoreError::Mismatch {
            what: path.display().to_string(),
            why: format!("{e}; delete the stream and package it again"),
        })?;
        let mut inits = Vec::new();
        loop {
            let path = init_path(&folder, inits.len());
            match std::fs::read(&path) {
                Ok(init) => inits.push(Bytes::from(init)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && !inits.is_empty() => break,
                Err(error) => return Err(StoreError::io("read", &path, error)),
            }
        }
        Self::open(folder, info, inits).map(Some)
    }

    fn open(folder: PathBuf, info: RenditionInfo, inits: Vec<Bytes>) -> Result<Self, StoreError> {
        let opened = Journal::open(&folder)?;
        Ok(Self::of(folder, info, inits, opened))
    }

    fn of(
        folder: PathBuf,
        info: RenditionInfo,
        inits: Vec<Bytes>,
        (journal, listed): (Journal, Listed),
    ) -> Self {
        let through = listed.entries.last().map_or(0, |entry| entry.number);
        let window = Window {
            segments: listed.entries.as_slice().into(),
            discontinuity_sequence: listed.discontinuities,
            ..Window::default()
        };
        let Listed { entries, left, .. } = listed;
        let state = State { inits, entries, left, window: window.into(), hot: BTreeMap::new() };
        Self {
            info,
            disk: Arc::new(RenditionDisk::new(folder, journal, through)),
            state: RwLock::new(state),
            changes: watch::Sender::default(),
            measured: Mutex::default(),
        }
    }

    /// Makes the next segment of a stream that is packaged once part of the rendition: file first, then
    /// journal, then memory.
    pub(super) fn append(&self, entry: SegmentEntry, bytes: &[u8], fsync: bool) -> Result<(), StoreError> {
        let mut journal = self.disk.journal();
        let before = self.window();
        let (number, start) = before.segments.last().map_or((1, 0), |s| (s.number + 1, s.end()));
        if entry.number != number || entry.start < start || entry.duration == 0 {
            return Err(StoreError::Mismatch {
                what: format!("segment {} of {}", entry.number, self.info.name),
                why: format!("segment {number} is next and starts at tick {start} or later"),
            });
        }
        atomic::write(&self.segment_path(entry.number), bytes, fsync)?;
        journal.append(&entry, fsync)?;
        self.change(|state| {
            state.entries.push(entry);
            let segments = state.entries.as_slice().into();
            state.window = Arc::new(Window { segments, ..(*state.window).clone() });
        });
        Ok(())
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let result = f(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
        self.changes.send_modify(|count| *count += 1);
        result
    }
}

fn write(folder: &Path, info: &RenditionInfo, init: &Bytes, fsync: bool) -> Result<(), StoreError> {
    std::fs::create_dir_all(folder).map_err(|e| StoreError::io("create", folder, e))?;
    atomic::write(&init_path(folder, 0), init, fsync)?;
    // Last: a folder without it is not a rendition.
    atomic::write(&folder.join(DESCRIPTION), &describe(info), fsync)
}

fn describe(info: &RenditionInfo) -> Vec<u8> {
    serde_json::to_vec_pretty(info).unwrap_or_default()
}

/// What a rendition is, in its folder.
pub(super) const DESCRIPTION: &str = "rendition.json";

/// Where the n-th init segment is.
pub(super) fn init_path(folder: &Path, index: usize) -> PathBuf {
    if index == 0 { folder.join("init.mp4") } else { folder.join(format!("init-{index}.mp4")) }
}

/// The entry of a number; numbers have no holes.
pub(super) fn find(entries: &[SegmentEntry], number: u32) -> Option<SegmentEntry> {
    let first = entries.first()?.number;
    entries.get(number.checked_sub(first)? as usize).copied()
}

fn rate(bytes: u64, ticks: u64, timescale: u32) -> Option<u64> {
    let bits = u128::from(bytes) * 8 * u128::from(timescale);
    bits.checked_div(u128::from(ticks)).and_then(|r| u64::try_from(r).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_recording_is_walked_once_and_not_at_every_request() {
        let folder = tempfile::tempdir().unwrap();
        let info = RenditionInfo {
            language: None,
            name: "720p".to_owned(),
            kind: TrackKind::Video,
            codecs: "avc1.64001f".to_owned(),
            width: 1280,
            height: 720,
            frame_rate: (25, 1),
            sample_rate: 0,
            channels: 0,
            bandwidth: 2_800_000,
            timescale: 1000,
        };
        let rendition = Rendition::create(folder.path(), info, Bytes::from_static(b"init"), false).unwrap();
        let entries: Vec<_> = (1..=3600)
            .map(|n| SegmentEntry::plain(n, u64::from(n - 1) * 4000, 4000, 1000 + u64::from(n % 7)))
            .collect();
        rendition.change(|state| {
            state.window = Arc::new(Window { segments: entries.as_slice().into(), ..Window::default() });
        });
        let first = rendition.measures();
        assert_eq!((first.longest, first.peak, first.average), (4000, Some(2012), Some(2005)));
        for _ in 0..1000 {
            let again = (rendition.average_bandwidth(), rendition.peak_bandwidth(), rendition.longest());
            assert_eq!(again, (first.average, first.peak, first.longest));
        }
        assert!(Arc::ptr_eq(&rendition.measures().of, &first.of), "what was measured first is still in use");
        let kept = rendition.measured.lock().unwrap().as_ref().map(|known| Arc::strong_count(&known.of));
        assert_eq!(kept, Some(3), "the window, what is kept, and `first`: nothing was copied");
        rendition.append(SegmentEntry::plain(3601, 14_400_000, 6000, 9000), b"x", false).unwrap();
        assert_eq!(
            (rendition.longest(), rendition.peak_bandwidth()),
            (6000, Some(12_000)),
            "until there is more"
        );
    }
}
