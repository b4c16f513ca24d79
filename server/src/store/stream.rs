//! One stream: its renditions, its edge, its poster.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::cache::{Cached, SegmentCache};
use super::clock::StreamClock;
use super::disk::{DiskThread, DiskWriter};
use super::live::LiveInfo;
use super::rendition::{Rendition, RenditionInfo, TrackKind};
use super::side::Side;
use super::{SegmentEntry, StoreError, atomic};

/// How far a stream has got. Changes with each finished segment, when a rendition appears or goes, and at
/// completion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Edge {
    /// Every rendition that the stream is to have is there with its init segment: the multivariant playlist
    /// will not grow any more.
    pub ready: bool,
    /// Number of the newest segment that is finished on *every* rendition; 0 until `ready`. Numbers count from
    /// 1, so until a live window slides it is how many there are.
    pub segments: u32,
    /// Nothing will be added any more.
    pub complete: bool,
    /// The stream was deleted; `complete` is set too.
    pub removed: bool,
    /// Counts changes, so that a finished segment or part of a single rendition wakes its readers as well.
    pub version: u64,
}

impl Edge {
    /// There is something to play on every rendition.
    #[must_use]
    pub fn playable(&self) -> bool {
        self.ready && self.segments > 0
    }
}

/// What `stream.json` holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Description {
    /// Names of the renditions that the stream is to have.
    renditions: Vec<String>,
    pub(super) complete: bool,
    /// What makes it a live stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) live: Option<LiveInfo>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) description: Description,
    pub(super) renditions: Vec<Arc<Rendition>>,
    /// Those that the stream has no more; what they had can still be read.
    retired: Vec<Arc<Rendition>>,
}

/// A stream's media.
#[derive(Debug)]
pub struct StreamStore {
    id: String,
    folder: PathBuf,
    pub(super) fsync: bool,
    cache: Arc<SegmentCache>,
    pub(super) disk: Arc<DiskThread>,
    state: RwLock<State>,
    edge: watch::Sender<Edge>,
    pub(super) side: Side,
    clock: StreamClock,
}

impl StreamStore {
    /// The stream's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The stream's folder. The packaging job keeps its plan and a downloaded source here too.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Renditions that have an init segment: video from the lowest to the highest picture, then audio.
    #[must_use]
    pub fn renditions(&self) -> Vec<Arc<Rendition>> {
        self.read().renditions.clone()
    }

    /// One rendition by name.
    #[must_use]
    pub fn rendition(&self, name: &str) -> Option<Arc<Rendition>> {
        self.read().renditions.iter().find(|r| r.name() == name).cloned()
    }

    /// One that was [retired](Self::retire_rendition) since this process began, and did not come back.
    #[must_use]
    pub fn retired_rendition(&self, name: &str) -> Option<Arc<Rendition>> {
        self.read().retired.iter().find(|r| r.name() == name).cloned()
    }

    /// The renditions, and those that were retired.
    pub(super) fn ever(&self) -> Vec<Arc<Rendition>> {
        let state = self.read();
        state.renditions.iter().chain(&state.retired).cloned().collect()
    }

    /// A rendition of a live stream that there is, or was once: what comes back goes on as it was. Looks at the disk.
    #[must_use]
    pub fn known_rendition(&self, name: &str) -> Option<Arc<Rendition>> {
        if let Some(found) = self.rendition(name).or_else(|| self.retired_rendition(name)) {
            return Some(found);
        }
        match Rendition::load(self.folder.join(name)) {
            Ok(found) => {
                let found = Arc::new(found?);
                let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
                state.retired.push(Arc::clone(&found));
                Some(found)
            }
            Err(error) => {
                tracing::warn!(stream = self.id, rendition = name, %error, "what an earlier run left is not used");
                None
            }
        }
    }

    /// Watches how far the stream has got. The receiver's current value is always up to date.
    #[must_use]
    pub fn edge(&self) -> watch::Receiver<Edge> {
        self.edge.subscribe()
    }

    /// The time on the stream's own clock, which nobody sets: see [`StreamClock`].
    #[must_use]
    pub fn clock(&self) -> &StreamClock {
        &self.clock
    }

    /// Nothing will be added any more.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.read().description.complete
    }

    /// A finished segment's bytes, from memory or from disk (then kept in memory).
    ///
    /// Blocks on the disk when the segment is not in memory: in async code use
    /// [`read_segment`](Self::read_segment).
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is no such rendition or segment; the disk's otherwise.
    pub fn segment_bytes(&self, rendition: &str, number: u32) -> io::Result<Bytes> {
        let (found, _) = self.find(rendition, number)?;
        match self.in_memory(&found, number) {
            Some(cached) => Ok(cached.bytes),
            None => Ok(self.read_disk(&found, number)?.bytes),
        }
    }

    fn read_disk(&self, rendition: &Rendition, number: u32) -> io::Result<Cached> {
        let mut file = open(&rendition.segment_path(number))?;
        let mut bytes = Vec::with_capacity(file.metadata()?.len() as usize);
        file.read_to_end(&mut bytes)?;
        // Both from one open file: whatever becomes of the path, they are the same.
        let file = self.cache.wants_file(bytes.len()).then(|| Arc::new(file));
        let cached = Cached { bytes: bytes.into(), file };
        self.cache.put(&self.id, rendition.name(), number, cached.clone());
        Ok(cached)
    }

    /// [`segment_bytes`](Self::segment_bytes) for async code: memory at once, the disk on a blocking thread.
    ///
    /// # Errors
    /// As [`segment_bytes`](Self::segment_bytes).
    pub async fn read_segment(self: &Arc<Self>, rendition: &str, number: u32) -> io::Result<Bytes> {
        let (found, _) = self.find(rendition, number)?;
        match self.in_memory(&found, number) {
            Some(cached) => Ok(cached.bytes),
            None => Ok(self.clone().read_in_background(found, number).await?.bytes),
        }
    }

    /// As [`read_segment`](Self::read_segment), with the file beside the bytes where one is worth it: of a large segment that
    /// is not the live edge's.
    ///
    /// # Errors
    /// As [`segment_bytes`](Self::segment_bytes).
    pub async fn read_segment_to_send(self: &Arc<Self>, rendition: &str, number: u32) -> io::Result<Cached> {
        let (found, _) = self.find(rendition, number)?;
        match self.in_memory(&found, number) {
            Some(cached) if cached.file.is_some() || !self.cache.wants_file(cached.bytes.len()) => Ok(cached),
            // A live edge's segment may not be on the disk yet.
            Some(cached) if found.read().hot.contains_key(&number) => Ok(cached),
            // Without its file it can be sent as well.
            Some(cached) => Ok(self.clone().read_in_background(found, number).await.unwrap_or(cached)),
            None => self.clone().read_in_background(found, number).await,
        }
    }

    async fn read_in_background(
        self: Arc<Self>,
        rendition: Arc<Rendition>,
        number: u32,
    ) -> io::Result<Cached> {
        tokio::task::spawn_blocking(move || self.read_disk(&rendition, number))
            .await
            .map_err(io::Error::other)?
    }

    /// The thumbnail, a JPEG 320 pixels wide; `None` until one was made.
    #[must_use]
    pub fn poster(&self) -> Option<Bytes> {
        std::fs::read(self.folder.join(POSTER)).ok().map(Bytes::from)
    }

    /// Stores the thumbnail (JPEG), replacing an earlier one.
    ///
    /// # Errors
    /// The disk's.
    pub fn put_poster(&self, jpeg: &[u8]) -> Result<(), StoreError> {
        atomic::write(&self.folder.join(POSTER), jpeg, self.fsync)
    }

    /// Says which renditions the stream is to have; [`Edge::ready`] waits for all of them.
    ///
    /// # Errors
    /// The disk's.
    pub fn expect_renditions(&self, names: &[String]) -> Result<(), StoreError> {
        self.change(|state| {
            state.description.renditions = names.to_vec();
            self.describe(&state.description)
        })
    }

    /// Adds a rendition with its init segment, or finds the one that an earlier run made.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] when an earlier run's init segment differs and segments exist that need it.
    pub fn add_rendition(&self, info: RenditionInfo, init: Bytes) -> Result<Arc<Rendition>, StoreError> {
        self.change(|state| {
            if let Some(at) = state.renditions.iter().position(|r| r.name() == info.name) {
                if let Some(known) = state.renditions.get(at)
                    && (known.init(0).as_ref() == Some(&init) || !known.is_empty())
                {
                    return if known.init(0).as_ref() == Some(&init) {
                        Ok(Arc::clone(known))
                    } else {
                        Err(StoreError::Mismatch {
                            what: format!("the encoder's set-up for rendition {}", info.name),
                            why: "its finished segments were made by another encoder; delete the stream \
                                  and create it again"
                                .to_owned(),
                        })
                    };
                }
                state.renditions.remove(at);
            }
            let rendition = Arc::new(Rendition::create(&self.folder, info, init, self.fsync)?);
            state.renditions.push(Arc::clone(&rendition));
            sort(&mut state.renditions);
            Ok(rendition)
        })
    }

    /// Takes one back that was retired.
    pub(super) fn revive(&self, name: &str) {
        {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            let State { renditions, retired, .. } = &mut *state;
            renditions.extend(retired.extract_if(.., |rendition| rendition.name() == name));
            sort(renditions);
        }
        self.update_edge();
    }

    /// Adds a rendition that is not there yet to a live stream, on the disk as far as that takes it.
    pub(super) fn add_live_rendition(&self, info: RenditionInfo, init: Bytes) -> Arc<Rendition> {
        let (rendition, failed) = Rendition::create_live(&self.folder, info, init, self.fsync);
        let rendition = Arc::new(rendition);
        {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            state.renditions.push(Arc::clone(&rendition));
            sort(&mut state.renditions);
        }
        if let Some(error) = failed {
            self.disk.failed(&error);
        }
        self.update_edge();
        rendition
    }

    /// Makes the next segment part of a rendition and moves the edge.
    ///
    /// # Errors
    /// [`StoreError::NoRendition`], [`StoreError::Mismatch`] when it does not follow the last one, or the
    /// disk's.
    pub fn append_segment(
        &self,
        rendition: &str,
        number: u32,
        start: u64,
        duration: u64,
        bytes: Bytes,
    ) -> Result<(), StoreError> {
        let found = self.rendition(rendition).ok_or_else(|| StoreError::NoRendition {
            stream: self.id.clone(),
            rendition: rendition.to_owned(),
        })?;
        let entry = SegmentEntry::plain(number, start, duration, bytes.len() as u64);
        found.append(entry, &bytes, self.fsync)?;
        self.cache.put(&self.id, rendition, number, bytes.into());
        self.update_edge();
        Ok(())
    }

    /// Takes a rendition out of the stream, for instance when its encoder died. Its files stay until the stream is
    /// deleted, and can be read by those who know their names.
    ///
    /// # Errors
    /// The disk's.
    pub fn retire_rendition(&self, name: &str) -> Result<(), StoreError> {
        self.change(|state| {
            let going = state.renditions.extract_if(.., |r| r.name() == name);
            state.retired.extend(going);
            state.description.renditions.retain(|n| n != name);
            self.describe(&state.description)
        })
    }

    /// Says that nothing will be added any more.
    ///
    /// # Errors
    /// The disk's.
    pub fn complete(&self) -> Result<(), StoreError> {
        let result = self.change(|state| {
            state.description.complete = true;
            self.write_description(&state.description)
        });
        self.wake_all();
        result
    }

    pub(super) fn load(
        id: &str,
        folder: PathBuf,
        fsync: bool,
        cache: Arc<SegmentCache>,
        writer: Arc<dyn DiskWriter>,
    ) -> Result<Self, StoreError> {
        let path = folder.join(DESCRIPTION);
        let description = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|e| StoreError::Mismatch {
                what: path.display().to_string(),
                why: format!("{e}; delete the stream and create it again"),
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Description::default(),
            Err(error) => return Err(StoreError::io("read", &path, error)),
        };
        let mut renditions = Vec::new();
        for name in &description.renditions {
            renditions.extend(Rendition::load(folder.join(name))?.map(Arc::new));
        }
        sort(&mut renditions);
        let stream = Self {
            id: id.to_owned(),
            side: Side::load(&folder),
            folder,
            fsync,
            cache,
            disk: Arc::new(DiskThread::new(id, writer)),
            state: RwLock::new(State { description, renditions, retired: Vec::new() }),
            edge: watch::Sender::new(Edge::default()),
            clock: StreamClock::default(),
        };
        stream.reopen_live();
        stream.update_edge();
        Ok(stream)
    }

    /// The stream was deleted.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        self.edge.borrow().removed
    }

    /// Wakes those who wait for one rendition: nothing more will come.
    pub(super) fn wake_all(&self) {
        let state = self.read();
        for rendition in state.renditions.iter().chain(&state.retired) {
            rendition.changes.send_modify(|count| *count += 1);
        }
    }

    pub(super) fn close(&self) {
        self.disk.stop();
        self.edge.send_modify(|edge| {
            edge.complete = true;
            edge.removed = true;
            edge.version += 1;
        });
        self.wake_all();
    }

    fn find(&self, rendition: &str, number: u32) -> io::Result<(Arc<Rendition>, SegmentEntry)> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("no {rendition} segment {number}"));
        let found = self.rendition(rendition).or_else(|| self.retired_rendition(rendition));
        let found = found.ok_or_else(missing)?;
        let entry = found.segment(number).filter(|entry| !entry.is_gap()).ok_or_else(missing)?;
        Ok((found, entry))
    }

    fn in_memory(&self, rendition: &Rendition, number: u32) -> Option<Cached> {
        let hot = rendition.read().hot.get(&number).and_then(|hot| hot.whole());
        hot.map(Cached::from).or_else(|| self.cache.get(&self.id, rendition.name(), number))
    }

    pub(super) fn change<T>(
        &self,
        f: impl FnOnce(&mut State) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let result = f(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
        self.update_edge();
        result
    }

    pub(super) fn update_edge(&self) {
        self.edge.send_modify(|edge| {
            let state = self.read();
            let wanted = &state.description.renditions;
            edge.ready = !wanted.is_empty()
                && wanted.iter().all(|name| state.renditions.iter().any(|r| r.name() == name));
            let numbers = || state.renditions.iter().map(|r| r.window().last_number());
            let common = match numbers().max() {
                // A rendition that joins a running stream does not take what there is away from its viewers.
                Some(newest) if newest > 2 && state.description.live.is_some() => {
                    numbers().filter(|number| *number > 0).min()
                }
                _ => numbers().min(),
            };
            let common = common.unwrap_or(0);
            edge.segments = if edge.ready { common } else { 0 };
            edge.complete = edge.removed || state.description.complete;
            edge.version += 1;
        });
    }

    pub(super) fn write_description(&self, description: &Description) -> Result<(), StoreError> {
        let text = serde_json::to_vec_pretty(description).unwrap_or_default();
        atomic::write(&self.folder.join(DESCRIPTION), &text, self.fsync)
    }

    /// As [`write_description`](Self::write_description); a live stream goes on without, and it is written when the
    /// disk is well again.
    pub(super) fn describe(&self, description: &Description) -> Result<(), StoreError> {
        match self.write_description(description) {
            Err(error) if description.live.is_some() => {
                self.disk.failed(&error);
                Ok(())
            }
            result => result,
        }
    }

    pub(super) fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

const DESCRIPTION: &str = "stream.json";
const POSTER: &str = "poster.jpg";

/// Opens a file that is read, and sent, again and again: the system need not look each time whether to note that it was.
fn open(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags | OFlags::NOATIME, Mode::empty()) {
        Ok(file) => Ok(file.into()),
        // Only a file's owner may ask for that.
        Err(rustix::io::Errno::PERM) => File::open(path),
        Err(error) => Err(error.into()),
    }
}

fn sort(renditions: &mut [Arc<Rendition>]) {
    // Sound beside the main one comes behind it: the first is the one that plays when nobody chooses.
    renditions.sort_by_key(|r| {
        let (info, sound) = (r.info(), r.info().kind == TrackKind::Audio);
        let beside = if sound && info.name != "audio" { info.name.clone() } else { String::new() };
        (sound, beside, info.height, info.bandwidth)
    });
}
