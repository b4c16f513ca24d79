//! What a live stream leaves on the disk, written behind the live edge by a thread of its own.
//!
//! The session hands its chunks over and goes on. A disk that is full or too slow ends the recording, never the
//! stream: from then on the stream lives in memory alone.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::StoreError;
use super::entry::{OpenSegment, SegmentEntry};
use super::journal::{Journal, open_path, segment_path};

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
}

impl RenditionDisk {
    pub(super) fn new(folder: PathBuf, journal: Journal, through: u32) -> Self {
        Self {
            folder,
            journal: Mutex::new(journal),
            through: AtomicU32::new(through),
            growing: Mutex::default(),
        }
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
    busy: bool,
    running: bool,
    failure: Option<String>,
}

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
        // What is on the disk already may still be deleted when the disk is full.
        if queue.failure.is_some() && !matches!(op, DiskOp::Delete(_)) {
            return;
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
            .wait_timeout_while(queue, limit, |queue| !queue.waiting.is_empty() || queue.busy)
            .unwrap_or_else(PoisonError::into_inner);
        queue.waiting.is_empty() && !queue.busy
    }

    /// The stream was deleted: nothing is written any more, and that is no failure to speak of.
    pub(super) fn stop(&self) {
        let mut queue = self.lock();
        queue.failure.get_or_insert_with(|| "the stream was deleted".to_owned());
        queue.waiting.clear();
        queue.weight = 0;
    }

    fn fail(&self, queue: &mut Queue, why: String) {
        if queue.failure.is_none() {
            tracing::error!(
                stream = self.stream,
                why,
                "the recording ends here; the stream goes on from memory"
            );
            queue.failure = Some(why);
        }
        queue.waiting.clear();
        queue.weight = 0;
        self.changed.notify_all();
    }

    fn work(&self) {
        loop {
            let (disk, op) = {
                let mut queue = self.lock();
                queue.busy = false;
                self.changed.notify_all();
                loop {
                    if let Some(next) = queue.waiting.pop_front() {
                        queue.busy = true;
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
            if let Err(error) = result {
                self.fail(&mut queue, error.to_string());
            }
        }
    }

    fn write(&self, disk: &RenditionDisk, op: DiskOp) -> Result<(), StoreError> {
        let mut growing = disk.growing.lock().unwrap_or_else(PoisonError::into_inner);
        match op {
            DiskOp::Begin(open) => {
                let path = open_path(&disk.folder, open.number);
                let file = OpenOptions::new()
                    .create(true)
                    .write(true)
                    .truncate(true)
                    .open(&path)
                    .map_err(|e| StoreError::io("create", &path, e))?;
                *growing = Some(file);
                disk.journal().begin(&open)
            }
            DiskOp::Chunk { number, bytes, duration } => {
                let Some(file) = growing.as_mut() else { return Ok(()) };
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

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long the thread rests before it ends.
const IDLE: Duration = Duration::from_secs(10);
