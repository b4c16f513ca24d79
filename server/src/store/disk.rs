//! What a live stream leaves on the disk, written behind the live edge by a thread of its own.
//!
//! The session hands its chunks over and goes on; it waits a moment at most where the disk is more than one part
//! behind, so that a killed process loses one part at most. A disk that is full or too slow interrupts the recording,
//! never the stream: meanwhile the stream lives in memory alone, and with each segment that begins the disk is tried
//! again. What memory still holds then is written first, so that an interruption need not show.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::entry::{OpenSegment, SegmentEntry};
use super::journal::{Journal, open_path, segment_path};
use super::rendition::{DESCRIPTION, init_path};
use super::{StoreError, atomic};

/// How chunks get to the disk: the seam at which tests make it full.
pub trait DiskWriter: Send + Sync + std::fmt::Debug {
    /// Appends `bytes` to `file`, which is at `path`.
    ///
    /// # Errors
    /// The disk's.
    fn append(&self, file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()>;
}

/// Writes, and nothing else.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainDisk;

impl DiskWriter for PlainDisk {
    fn append(&self, file: &mut File, _: &Path, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }
}

/// A rendition's folder.
#[derive(Debug)]
pub(super) struct RenditionDisk {
    pub(super) folder: PathBuf,
    pub(super) journal: Mutex<Journal>,
    /// Newest segment that is finished on the disk.
    pub(super) through: AtomicU32,
    growing: Mutex<Option<File>>,
    /// The failure after which it was last told to catch up, and the one after which it has; see [`Queue::failures`].
    told: AtomicU64,
    caught: AtomicU64,
    /// The rendition's description, as long as it could not be written.
    owed: Mutex<Option<Vec<u8>>>,
}

impl RenditionDisk {
    pub(super) fn new(folder: PathBuf, journal: Journal, through: u32) -> Self {
        Self {
            folder,
            journal: Mutex::new(journal),
            through: AtomicU32::new(through),
            growing: Mutex::default(),
            told: AtomicU64::new(0),
            caught: AtomicU64::new(0),
            owed: Mutex::default(),
        }
    }

    /// The description that the folder lacks.
    pub(super) fn owe(&self, description: Option<Vec<u8>>) {
        *self.owed.lock().unwrap_or_else(PoisonError::into_inner) = description;
    }

    /// Makes the folder of a rendition that began on a full disk; its init segments come first.
    fn establish(&self, inits: &[Bytes]) -> Result<(), StoreError> {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        if owed.is_some() {
            std::fs::create_dir_all(&self.folder).map_err(|e| StoreError::io("create", &self.folder, e))?;
        }
        for (index, init) in inits.iter().enumerate() {
            let path = init_path(&self.folder, index);
            // What lies there of a rendition that was given up is not this one's.
            if owed.is_some() || !path.exists() {
                atomic::write(&path, init, false)?;
            }
        }
        if let Some(description) = &*owed {
            self.journal().establish()?;
            atomic::write(&self.folder.join(DESCRIPTION), description, false)?;
            *owed = None;
        }
        Ok(())
    }

    pub(super) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One thing to do.
#[derive(Debug)]
pub(super) enum DiskOp {
    Begin(OpenSegment),
    Chunk {
        number: u32,
        bytes: Bytes,
        duration: u64,
    },
    Finish(SegmentEntry),
    /// A segment that there is not.
    Gap(SegmentEntry),
    Gone {
        first: u32,
        discontinuities: u64,
        left: Arc<[SegmentEntry]>,
    },
    Delete(u32),
    /// What the disk missed; ahead of what follows from here on.
    CatchUp(Box<Missed>),
}

/// What a rendition's folder lacks after a failure.
#[derive(Debug)]
pub(super) struct Missed {
    /// All init segments.
    pub(super) inits: Vec<Bytes>,
    /// Segments behind [`RenditionDisk::through`], oldest first; gaps for those that memory does not hold any more.
    pub(super) segments: Vec<(SegmentEntry, Bytes)>,
    /// As in [`DiskOp::Gone`], when something has left the list.
    pub(super) gone: Option<(u32, u64, Arc<[SegmentEntry]>)>,
}

impl DiskOp {
    fn weight(&self) -> usize {
        match self {
            Self::Chunk { bytes, .. } => bytes.len() + 64,
            _ => 64,
        }
    }
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(Arc<RenditionDisk>, DiskOp)>,
    /// Bytes that wait or are being written.
    weight: usize,
    busy: Option<Arc<RenditionDisk>>,
    running: bool,
    failure: Option<String>,
    /// How often it failed. A rendition that has not caught up after the last failure is not written to.
    failures: u64,
    /// The disk has been waited for long enough; it is not again before the queue is empty.
    late: bool,
    /// The stream was deleted.
    stopped: bool,
}

/// How long a part waits for the one before it to get to the disk.
const BEHIND: Duration = Duration::from_millis(100);

/// Bytes that may wait for the disk. More means that it does not keep up.
const QUEUE_LIMIT: usize = 64 << 20;

/// A stream's disk thread; it exists while there is something to write.
#[derive(Debug)]
pub(super) struct DiskThread {
    stream: String,
    writer: Arc<dyn DiskWriter>,
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl DiskThread {
    pub(super) fn new(stream: &str, writer: Arc<dyn DiskWriter>) -> Self {
        Self { stream: stream.to_owned(), writer, queue: Mutex::default(), changed: Condvar::new() }
    }

    /// Why nothing is written any more.
    pub(super) fn failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    /// Never waits.
    pub(super) fn push(self: &Arc<Self>, disk: &Arc<RenditionDisk>, op: DiskOp) {
        let mut queue = self.lock();
        match op {
            _ if queue.stopped => return,
            // What is on the disk already may still be deleted when the disk is full.
            DiskOp::Delete(_) => {}
            DiskOp::CatchUp(_) => disk.told.store(queue.failures, Ordering::Release),
            _ if disk.told.load(Ordering::Acquire) != queue.failures => return,
            _ => {}
        }
        queue.weight += op.weight();
        if queue.weight > QUEUE_LIMIT {
            let why = format!("the disk does not keep up: {} MiB wait to be written", QUEUE_LIMIT >> 20);
            self.fail(&mut queue, why);
            return;
        }
        queue.waiting.push_back((Arc::clone(disk), op));
        if queue.running {
            self.changed.notify_all();
            return;
        }
        let this = Arc::clone(self);
        let started = std::thread::Builder::new().name("weir-disk".to_owned()).spawn(move || this.work());
        match started {
            Ok(_) => queue.running = true,
            Err(error) => self.fail(&mut queue, format!("cannot start a thread: {error}")),
        }
    }

    /// Waits until everything is written, at most `limit`. `false` when something is left.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let queue = self.lock();
        let (queue, _) = self
            .changed
            .wait_timeout_while(queue, limit, |queue| !queue.waiting.is_empty() || queue.busy.is_some())
            .unwrap_or_else(PoisonError::into_inner);
        queue.waiting.is_empty() && queue.busy.is_none()
    }

    /// Waits until the disk has all of this rendition, but not for long: a disk that is slow holds a stream up once.
    pub(super) fn keep_up(&self, disk: &Arc<RenditionDisk>) {
        let queue = self.lock();
        if queue.late {
            return;
        }
        let has = |queue: &mut Queue| {
            queue.busy.iter().chain(queue.waiting.iter().map(|(of, _)| of)).any(|of| Arc::ptr_eq(of, disk))
        };
        let (mut queue, waited) =
            self.changed.wait_timeout_while(queue, BEHIND, has).unwrap_or_else(PoisonError::into_inner);
        queue.late = waited.timed_out();
    }

    /// Whether the rendition is not written to since the last failure.
    pub(super) fn is_behind(&self, disk: &RenditionDisk) -> bool {
        disk.told.load(Ordering::Acquire) != self.lock().failures
    }

    /// Notes that a file beside the segments could not be written: [`Missed`] makes up for it.
    pub(super) fn failed(&self, why: &StoreError) {
        let mut queue = self.lock();
        self.fail(&mut queue, why.to_string());
    }

    /// Forgets the failure when `renditions`, all that there are, have caught up.
    pub(super) fn settle<'a>(&self, mut renditions: impl Iterator<Item = &'a RenditionDisk>) {
        let mut queue = self.lock();
        let failures = queue.failures;
        if !queue.stopped
            && queue.failure.is_some()
            && renditions.all(|disk| disk.caught.load(Ordering::Acquire) == failures)
        {
            tracing::info!(stream = self.stream, "the disk takes the recording again");
            queue.failure = None;
        }
    }

    /// The stream was deleted: nothing is written any more, and that is no failure to speak of.
    pub(super) fn stop(&self) {
        let mut queue = self.lock();
        queue.failure.get_or_insert_with(|| "the stream was deleted".to_owned());
        queue.stopped = true;
        queue.waiting.clear();
        queue.weight = 0;
    }

    fn fail(&self, queue: &mut Queue, why: String) {
        if queue.failure.is_none() {
            tracing::error!(
                stream = self.stream,
                why,
                "the recording is interrupted; the stream goes on from memory, and the disk is tried again"
            );
            queue.failure = Some(why);
        }
        queue.failures += 1;
        queue.waiting.retain(|(_, op)| matches!(op, DiskOp::Delete(_)));
        queue.weight = queue.waiting.iter().map(|(_, op)| op.weight()).sum();
        self.changed.notify_all();
    }

    fn work(&self) {
        loop {
            let (disk, op) = {
                let mut queue = self.lock();
                queue.busy = None;
                queue.late &= !queue.waiting.is_empty();
                self.changed.notify_all();
                loop {
                    if let Some(next) = queue.waiting.pop_front() {
                        queue.busy = Some(Arc::clone(&next.0));
                        break next;
                    }
                    let (next, timeout) =
                        self.changed.wait_timeout(queue, IDLE).unwrap_or_else(PoisonError::into_inner);
                    queue = next;
                    if timeout.timed_out() && queue.waiting.is_empty() {
                        queue.running = false;
                        return;
                    }
                }
            };
            let weight = op.weight();
            let result = self.write(&disk, op);
            let mut queue = self.lock();
            queue.weight = queue.weight.saturating_sub(weight);
            if let Err(error) = result
                && !queue.stopped
            {
                self.fail(&mut queue, error.to_string());
            }
        }
    }

    fn write(&self, disk: &RenditionDisk, op: DiskOp) -> Result<(), StoreError> {
        let mut growing = disk.growing.lock().unwrap_or_else(PoisonError::into_inner);
        match op {
            DiskOp::Begin(open) => {
                leave_room(&disk.folder)?;
                *growing = Some(create(&open_path(&disk.folder, open.number))?);
                disk.journal().begin(&open)
            }
            DiskOp::Chunk { number, bytes, duration } => {
                let Some(file) = growing.as_mut() else { return Ok(()) };
                leave_room(&disk.folder)?;
                let path = open_path(&disk.folder, number);
                self.writer.append(file, &path, &bytes).map_err(|e| StoreError::io("write to", &path, e))?;
                disk.journal().chunk(bytes.len() as u64, duration)
            }
            DiskOp::Finish(entry) => {
                if growing.take().is_none() {
                    return Ok(());
                }
                let (from, to) =
                    (open_path(&disk.folder, entry.number), segment_path(&disk.folder, entry.number));
                std::fs::rename(&from, &to).map_err(|e| StoreError::io("rename", &from, e))?;
                disk.journal().append(&entry, false)?;
                disk.through.store(entry.number, Ordering::Release);
                Ok(())
            }
            DiskOp::Gap(entry) => {
                disk.journal().append(&entry, false)?;
                disk.through.store(entry.number, Ordering::Release);
                Ok(())
            }
            DiskOp::Gone { first, discontinuities, left } => {
                disk.journal().gone(first, discontinuities, &left)
            }
            DiskOp::CatchUp(missed) => {
                *growing = None;
                self.catch_up(disk, *missed)
            }
            DiskOp::Delete(number) => {
                let path = segment_path(&disk.folder, number);
                match std::fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        tracing::warn!(path = %path.display(), %error, "cannot delete a segment that left the window");
                    }
                    _ => {}
                }
                Ok(())
            }
        }
    }

    fn catch_up(&self, disk: &RenditionDisk, missed: Missed) -> Result<(), StoreError> {
        // Read before: a failure meanwhile is one more to catch up after.
        let told = disk.told.load(Ordering::Acquire);
        leave_room(&disk.folder)?;
        disk.establish(&missed.inits)?;
        let through = disk.through.load(Ordering::Acquire);
        if let (Some((first, _)), Some((_, discontinuities, _))) = (missed.segments.first(), &missed.gone)
            && first.number > through.saturating_add(1)
        {
            // What lies between has left the list, so that the journal has to say so first.
            disk.journal().gone(first.number, *discontinuities, &[])?;
        }
        let mut gaps = Vec::new();
        for (entry, bytes) in missed.segments {
            // Not before what follows: a list that ends with gaps tells nothing.
            if entry.is_gap() {
                gaps.push(entry);
                continue;
            }
            let (from, to) =
                (open_path(&disk.folder, entry.number), segment_path(&disk.folder, entry.number));
            leave_room(&disk.folder)?;
            let mut file = create(&from)?;
            self.writer.append(&mut file, &from, &bytes).map_err(|e| StoreError::io("write to", &from, e))?;
            std::fs::rename(&from, &to).map_err(|e| StoreError::io("rename", &from, e))?;
            for entry in gaps.drain(..).chain([entry]) {
                disk.journal().append(&entry, false)?;
                disk.through.store(entry.number, Ordering::Release);
            }
        }
        for entry in gaps {
            disk.journal().append(&entry, false)?;
            disk.through.store(entry.number, Ordering::Release);
        }
        if let Some((first, discontinuities, left)) = missed.gone {
            disk.journal().gone(first, discontinuities, &left)?;
        }
        disk.caught.store(told, Ordering::Release);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room in bytes that recordings leave: so that on a full disk streams can still be deleted.
const LEFT: u64 = 2 << 20;

fn leave_room(folder: &Path) -> Result<(), StoreError> {
    // A folder that is not there yet is to be where its parent is. A file system that does not tell is taken as one with
    // room.
    let Some(there) = folder.ancestors().find(|path| path.exists()) else { return Ok(()) };
    let Ok(disk) = rustix::fs::statvfs(there) else { return Ok(()) };
    if disk.f_bavail.saturating_mul(disk.f_frsize) >= LEFT {
        return Ok(());
    }
    let why = format!("no space left but the last {} MiB, which the catalogue needs", LEFT >> 20);
    Err(StoreError::io("record in", folder, io::Error::new(io::ErrorKind::StorageFull, why)))
}

fn create(path: &Path) -> Result<File, StoreError> {
    let options = OpenOptions::new().create(true).write(true).truncate(true).open(path);
    options.map_err(|e| StoreError::io("create", path, e))
}

/// How long the thread rests before it ends.
const IDLE: Duration = Duration::from_secs(10);
