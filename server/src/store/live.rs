//! A live stream's side of the store: segments that grow, windows that slide, and how it ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::disk::{DiskOp, Missed};
use super::entry::{OpenSegment, SegmentEntry, Window};
use super::growing::HotSegment;
use super::rendition::{Rendition, RenditionInfo, State, init_path};
use super::stream::StreamStore;
use super::{StoreError, atomic};

/// What playlists and manifests need to know of a live stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveInfo {
    /// Length that segments aim at, in milliseconds.
    pub segment_ms: u32,
    /// No part is longer than this many milliseconds.
    pub part_ms: u32,
    /// Seconds that stay listed behind the edge; 0 keeps everything.
    pub window_s: u32,
    /// No segment's duration, rounded to whole seconds, is above this. Set when the first segment is
    /// finished, never changed later (RFC 8216bis, 4.4.3.1).
    pub target_s: u32,
    /// Wall-clock time of tick 0 in milliseconds since 1970-01-01 UTC. Never moves.
    pub started_ms: u64,
    /// Everything is kept, so that the stream becomes an on-demand one when it ends.
    pub record: bool,
}

/// What a rendition whose disk failed keeps in memory: what fits into this many bytes and is not older than this many
/// seconds ...
const MEMORY_BYTES: u64 = 48 << 20;
const MEMORY_LONGEST: u64 = 120;
/// ... but never less than this many target durations and seconds.
const MEMORY_TARGETS: u64 = 8;
const MEMORY_SECONDS: u64 = 30;
/// Target durations behind the edge within which parts are listed (RFC 8216bis, 4.4.4.9).
const PART_TARGETS: u64 = 3;
/// A sliding window is never shorter than this many target durations: delta updates need them.
const SHORTEST_WINDOW: u64 = 8;
/// How long segments stay after they have left the list: as long as the list is, but at most this many seconds.
const LINGER_SECONDS: u64 = 120;

impl LiveInfo {
    fn target_ticks(&self, timescale: u32) -> u64 {
        u64::from(self.target_s.max(1)) * u64::from(timescale)
    }
}

impl StreamStore {
    /// What makes the stream a live one; `None` for one that is packaged once. Still there when it has ended:
    /// see [`is_complete`](Self::is_complete).
    #[must_use]
    pub fn live(&self) -> Option<LiveInfo> {
        self.read().description.live
    }

    /// Why the stream is not written to disk now; `None` while all is well, and again when the disk has caught up.
    #[must_use]
    pub fn recording_failure(&self) -> Option<String> {
        self.disk.failure()
    }

    /// Makes the stream a live one, or changes what may change: everything but `started_ms`, and `target_s` once
    /// there is a segment.
    ///
    /// # Errors
    /// The disk's.
    pub fn set_live(&self, info: LiveInfo) -> Result<(), StoreError> {
        self.change(|state| {
            let mut info = info;
            if let Some(before) = state.description.live {
                info.started_ms = before.started_ms;
                if state.renditions.iter().any(|r| !r.is_empty()) {
                    info.target_s = before.target_s;
                }
            }
            if state.description.live != Some(info) {
                state.description.live = Some(info);
                self.describe(&state.description)?;
            }
            Ok(())
        })
    }

    /// The init segment's index in a live rendition, which is made when there is none yet. An init segment
    /// that was used before keeps its index.
    ///
    /// A rendition of that name keeps its description, its timescale above all, also one that the stream had once and
    /// gave up: ask [`known_rendition`](Self::known_rendition) before you make the init segment.
    ///
    /// A disk that is full costs the recording, not the stream: it goes on from memory, and what could not be written is
    /// made up for when there is room.
    ///
    /// # Errors
    /// None at present.
    pub fn live_rendition(
        &self,
        info: RenditionInfo,
        init: Bytes,
    ) -> Result<(Arc<Rendition>, u32), StoreError> {
        let Some(found) = self.known_rendition(&info.name) else {
            return Ok((self.add_live_rendition(info, init), 0));
        };
        if self.rendition(&info.name).is_none() {
            self.revive(&info.name);
        }
        let known = found.read().inits.iter().position(|known| *known == init);
        if let Some(index) = known {
            return Ok((found, index as u32));
        }
        let index = found.read().inits.len();
        // Small and rare: written here, so that no listed segment ever lacks it after a restart.
        if let Err(error) = atomic::write(&init_path(&found.disk.folder, index), &init, self.fsync) {
            self.disk.failed(&error);
        }
        found.change(|state| state.inits.push(init));
        self.update_edge();
        Ok((found, index as u32))
    }

    /// Begins a segment. One that is in progress is finished first.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] when it does not follow the last one.
    pub fn begin_segment(&self, rendition: &Rendition, open: OpenSegment) -> Result<(), StoreError> {
        if rendition.window().open.is_some() {
            self.finish_segment(rendition);
        }
        let last = rendition.read().entries.last().copied();
        let fits = open.number > 0
            && last.is_none_or(|last| {
                last.number.checked_add(1) == Some(open.number) && open.start >= last.end()
            });
        if !fits {
            let next = last.map_or((1, 0), |last| (last.number.saturating_add(1), last.end()));
            return Err(StoreError::Mismatch {
                what: format!("segment {} of {} at tick {}", open.number, rendition.name(), open.start),
                why: format!("segment {} is next and starts at tick {} or later", next.0, next.1),
            });
        }
        if self.disk.is_behind(&rendition.disk) {
            self.catch_up(rendition);
        } else {
            self.settle();
        }
        rendition.change(|state| {
            state.hot.insert(open.number, Arc::new(HotSegment::new(open)));
            state.window = Arc::new(Window { open: Some(open), ..(*state.window).clone() });
        });
        self.disk.push(&rendition.disk, DiskOp::Begin(open));
        self.update_edge();
        Ok(())
    }

    /// Adds a part to the segment in progress: one CMAF chunk of `duration` ticks. Does nothing when none is in
    /// progress. Waits for the part before it to get to the disk, 100 ms at most.
    pub fn append_part(&self, rendition: &Rendition, bytes: Bytes, duration: u64, independent: bool) {
        self.disk.keep_up(&rendition.disk);
        let number = rendition.change(|state| {
            let number = state.window.open?.number;
            let part = state.hot.get(&number)?.push(bytes.clone(), duration, independent);
            let parts = state.window.parts.iter().copied().chain([part]).collect();
            state.window = Arc::new(Window { parts, ..(*state.window).clone() });
            Some(number)
        });
        if let Some(number) = number {
            self.disk.push(&rendition.disk, DiskOp::Chunk { number, bytes, duration });
            self.update_edge();
        }
    }

    /// Finishes the segment in progress, slides the window, and gives the entry. `None` when none is in
    /// progress or it has no part; it is given up then, and its number is free again.
    pub fn finish_segment(&self, rendition: &Rendition) -> Option<SegmentEntry> {
        let live = self.live()?;
        let mut operations = Vec::new();
        let entry = rendition.change(|state| {
            let number = state.window.open?.number;
            let entry = state.hot.get(&number).and_then(|hot| hot.finish());
            if let Some(entry) = entry {
                state.entries.push(entry);
                operations.push(DiskOp::Finish(entry));
            } else {
                state.hot.remove(&number);
            }
            state.window = Arc::new(Window { open: None, ..(*state.window).clone() });
            let failed = self.disk.is_behind(&rendition.disk);
            let through = rendition.disk.through.load(Ordering::Acquire);
            slide(state, &live, rendition.info().timescale, failed, through, &mut operations);
            entry
        });
        for operation in operations {
            self.disk.push(&rendition.disk, operation);
        }
        self.update_edge();
        entry
    }

    /// Ends a live stream: finishes what is in progress and waits until the disk has it all, at most 30 s.
    /// Blocks. A recorded stream lists everything from its beginning again, under the same names.
    ///
    /// # Errors
    /// The disk's, for the note that it is complete. It is so for readers all the same.
    pub fn complete_live(&self) -> Result<(), StoreError> {
        let recorded = self.live().is_some_and(|live| live.record);
        for rendition in self.renditions() {
            self.finish_segment(&rendition);
            if self.disk.is_behind(&rendition.disk) {
                self.catch_up(&rendition);
            }
            rendition.change(|state| {
                let mut window = Window { parts: Arc::default(), open: None, ..(*state.window).clone() };
                if recorded {
                    let back = state.entries.iter().take_while(|e| e.number < window.first_number());
                    let back = back.filter(|entry| entry.discontinuity).count() as u64;
                    window.discontinuity_sequence = window.discontinuity_sequence.saturating_sub(back);
                    window.segments = state.entries.as_slice().into();
                }
                state.window = Arc::new(window);
            });
        }
        if !self.disk.flush(FLUSH_LIMIT) {
            tracing::warn!(stream = self.id(), "the disk has not taken the end of the recording yet");
        }
        self.settle();
        for rendition in self.renditions() {
            let through = rendition.disk.through.load(Ordering::Acquire);
            // Parts that were listed a moment ago are cut out of their segments: see `read_part`.
            rendition.change(|state| state.hot.retain(|number, _| *number > through));
        }
        let result = self.complete();
        if result.is_err() {
            self.change(|state| {
                state.description.complete = true;
                Ok(())
            })?;
            self.wake_all();
        }
        result
    }
}

const FLUSH_LIMIT: Duration = Duration::from_secs(30);

/// Takes from the front what has had its time: out of the list, out of memory, off the disk.
fn slide(
    state: &mut State,
    live: &LiveInfo,
    timescale: u32,
    disk_failed: bool,
    through: u32,
    operations: &mut Vec<DiskOp>,
) {
    let Some(edge) = state.entries.last().map(SegmentEntry::end) else { return };
    let target = live.target_ticks(timescale);
    let mut window = (*state.window).clone();
    let seconds = |s: u64| s * u64::from(timescale);

    let keep = match live.window_s {
        0 => u64::MAX,
        s => seconds(s.into()).max(target * SHORTEST_WINDOW),
    };
    let room = if disk_failed { memory_floor(state, edge, target, timescale, through) } else { 0 };
    let before = window.first_number();
    let newest = state.entries.last().map_or(0, |entry| entry.number);
    let first = state
        .entries
        .iter()
        .find(|entry| entry.number == newest || edge.saturating_sub(entry.end()) < keep)
        .map_or(before, |entry| entry.number.max(before))
        .max(room);
    let gone = state.entries.iter().filter(|entry| (before..first).contains(&entry.number));
    window.discontinuity_sequence += gone.filter(|entry| entry.discontinuity).count() as u64;
    let listed = state.entries.iter().position(|entry| entry.number >= first).unwrap_or(0);
    window.segments = state.entries.get(listed..).unwrap_or_default().into();
    window.parts = window
        .parts
        .iter()
        .filter(|part| {
            let segment = window.segment(part.segment);
            segment.is_none_or(|segment| edge.saturating_sub(segment.end()) < target * PART_TARGETS)
        })
        .copied()
        .collect();

    // In memory: twice as long as parts are listed, or until the disk has it.
    let listed_from = window.segments.first().map_or(0, |segment| segment.start);
    let linger = if disk_failed { 0 } else { window.duration().min(seconds(LINGER_SECONDS)) };
    let linger = linger.max(target * PART_TARGETS);
    let entries = &state.entries;
    let on_disk = |number: u32| number <= through;
    state.hot.retain(|number, _| {
        let Some(entry) = super::rendition::find(entries, *number) else { return true };
        let fresh = edge.saturating_sub(entry.end()) <= target * PART_TARGETS * 2;
        let wanted = entry.number >= first
            || (live.record && !disk_failed)
            || listed_from.saturating_sub(entry.end()) <= linger;
        fresh || (wanted && !on_disk(*number))
    });
    if !live.record {
        if first > before {
            operations.push(DiskOp::Gone {
                first,
                discontinuities: window.discontinuity_sequence,
                left: Arc::clone(&window.segments),
            });
        }
        let leaving = state
            .entries
            .iter()
            .take_while(|e| e.number < first && listed_from.saturating_sub(e.end()) > linger)
            .count();
        for entry in state.entries.drain(..leaving) {
            operations.push(DiskOp::Delete(entry.number));
        }
    }
    state.window = Arc::new(window);
}

/// The first segment from which on memory has room for all that the disk has not.
fn memory_floor(state: &State, edge: u64, target: u64, timescale: u32, through: u32) -> u32 {
    let seconds = |s: u64| s * u64::from(timescale);
    let least = (target * MEMORY_TARGETS).max(seconds(MEMORY_SECONDS));
    let mut bytes = 0;
    for entry in state.entries.iter().rev().take_while(|entry| entry.number > through) {
        bytes += entry.bytes;
        let age = edge.saturating_sub(entry.end());
        if age >= least && (bytes > MEMORY_BYTES || age >= seconds(MEMORY_LONGEST)) {
            return entry.number.saturating_add(1);
        }
    }
    0
}

impl StreamStore {
    /// After a restart: what a running live stream lists is its window, not all that is on the disk.
    pub(super) fn reopen_live(&self) {
        let Some(live) = self.live().filter(|_| !self.is_complete()) else { return };
        for rendition in self.renditions() {
            let mut operations = Vec::new();
            rendition.change(|state| {
                let through = rendition.disk.through.load(Ordering::Acquire);
                if !live.record {
                    // Whoever has an older playlist still asks for them.
                    let left = std::mem::take(&mut state.left);
                    state.entries.splice(..0, left);
                }
                slide(state, &live, rendition.info().timescale, false, through, &mut operations);
            });
            remove_strays(&rendition);
            for operation in operations {
                self.disk.push(&rendition.disk, operation);
            }
        }
        self.update_edge();
    }
}

/// Deletes files of segments that had left the list when the process ended.
fn remove_strays(rendition: &Rendition) {
    let Some(first) = rendition.read().entries.first().map(|entry| entry.number) else { return };
    let Ok(files) = std::fs::read_dir(&rendition.disk.folder) else { return };
    for file in files.flatten() {
        let name = file.file_name();
        let number =
            name.to_str().and_then(|name| name.strip_suffix(".m4s")).and_then(|n| n.parse::<u32>().ok());
        if number.is_some_and(|number| number < first) {
            let _ = std::fs::remove_file(file.path());
        }
    }
}

impl StreamStore {
    /// Lists gaps for the segments that a rendition missed, up to `next` which begins at tick `start`: entries of
    /// no bytes. A rendition that missed more than 100 begins anew instead: what it listed leaves the list.
    ///
    /// Does nothing for a stream that is not live.
    pub fn append_gaps(&self, rendition: &Rendition, next: u32, start: u64) {
        let Some(live) = self.live() else { return };
        let target = live.target_ticks(rendition.info().timescale);
        let mut operations = Vec::new();
        let breaks = self.breaks_beside(rendition, next);
        rendition.change(|state| {
            let Some(last) = state.entries.last().copied() else { return };
            let missing = next.saturating_sub(last.number).saturating_sub(1);
            if missing > LONGEST_GAP {
                let gone =
                    state.window.segments.iter().filter(|segment| segment.discontinuity).count() as u64;
                let discontinuities = state.window.discontinuity_sequence + gone;
                operations.push(DiskOp::Gone { first: next, discontinuities, left: Arc::default() });
                state.entries.clear();
                state.window =
                    Arc::new(Window { discontinuity_sequence: discontinuities, ..Window::default() });
                return;
            }
            let room = start.saturating_sub(last.end()) / u64::from(missing.max(1));
            let duration = room.clamp(1, target.max(1));
            let mut at = last.end();
            for number in last.number + 1..next {
                let wall_ms = last
                    .wall_ms
                    .map(|ms| ms + (at - last.start) * 1000 / u64::from(rendition.info().timescale.max(1)));
                let plain = SegmentEntry::plain(number, at, duration, 0);
                let discontinuity = breaks.contains(&number);
                let entry = SegmentEntry { wall_ms, init: last.init, discontinuity, ..plain };
                at += duration;
                state.entries.push(entry);
                operations.push(DiskOp::Gap(entry));
            }
            let from =
                state.entries.iter().position(|e| e.number >= state.window.first_number()).unwrap_or(0);
            let segments = state.entries.get(from..).unwrap_or_default().into();
            state.window = Arc::new(Window { segments, ..(*state.window).clone() });
        });
        for operation in operations {
            self.disk.push(&rendition.disk, operation);
        }
        self.update_edge();
    }

    /// Numbers of segments before `next` that every other rendition which has them begins with a break, also those that
    /// the stream has no more: what a rendition missed breaks where they do.
    fn breaks_beside(&self, rendition: &Rendition, next: u32) -> Vec<u32> {
        let from = rendition.window().last_number();
        let others = self.ever().into_iter().filter(|other| other.name() != rendition.name());
        let missed = |entry: &SegmentEntry| entry.number > from && entry.number < next && !entry.is_gap();
        let (mut broken, mut whole) = (Vec::new(), Vec::new());
        for other in others {
            for entry in other.read().entries.iter().filter(|entry| missed(entry)) {
                if entry.discontinuity { &mut broken } else { &mut whole }.push(entry.number);
            }
        }
        broken.retain(|number| !whole.contains(number));
        broken
    }

    /// Has the disk tried again after a failure, with all that memory still holds of what it missed.
    fn catch_up(&self, rendition: &Rendition) {
        let record = self.live().is_some_and(|live| live.record);
        let through = rendition.disk.through.load(Ordering::Acquire);
        let missed = rendition.change(|state| {
            let State { inits, entries, window, hot, .. } = state;
            let missed = entries.iter_mut().filter(|entry| entry.number > through);
            let segments = missed.map(|entry| {
                let bytes = hot.get(&entry.number).and_then(|hot| hot.whole()).unwrap_or_default();
                // Not to be had any more.
                entry.bytes = bytes.len() as u64;
                (*entry, bytes)
            });
            let segments: Vec<_> = segments.collect();
            let hole = segments.first().is_some_and(|(first, _)| first.number > through.saturating_add(1));
            let gone = (!record || hole).then(|| {
                let first =
                    if record { entries.first().map_or(1, |e| e.number) } else { window.first_number() };
                (first, window.discontinuity_sequence, Arc::clone(&window.segments))
            });
            Missed { inits: inits.clone(), segments, gone }
        });
        self.disk.push(&rendition.disk, DiskOp::CatchUp(Box::new(missed)));
        if let Err(error) = self.write_description(&self.read().description) {
            self.disk.failed(&error);
        }
    }

    fn settle(&self) {
        if self.disk.failure().is_some() {
            self.disk.settle(self.renditions().iter().map(|rendition| &*rendition.disk));
        }
    }

    /// Waits until the disk has everything, at most 30 s. Blocks.
    pub fn flush_live(&self) {
        for rendition in self.renditions() {
            if self.disk.is_behind(&rendition.disk) {
                self.catch_up(&rendition);
            }
        }
        if !self.disk.flush(FLUSH_LIMIT) {
            tracing::warn!(stream = self.id(), "the disk has not taken everything yet");
        }
    }

    /// Takes up a live stream that had ended: more follows.
    ///
    /// # Errors
    /// The disk's.
    pub fn resume_live(&self) -> Result<(), StoreError> {
        if !self.is_complete() {
            return Ok(());
        }
        self.change(|state| {
            state.description.complete = false;
            self.describe(&state.description)
        })?;
        self.reopen_live();
        Ok(())
    }
}

/// Segments in a row that may be listed as gaps.
const LONGEST_GAP: u32 = 100;
