//! The session's end of a ladder, and the queue behind it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::budget::Permit;
use super::words::Order;
use crate::live::{LiveLadder, RungPlan, SourceUnit};

/// Messages that may wait for the thread: some seconds of pictures.
pub(super) const QUEUE: usize = 256;
/// Coded bytes that may wait for it.
const QUEUE_BYTES: usize = 32 << 20;

/// What the ladder's thread waits for.
pub(super) enum Message {
    Unit(SourceUnit),
    /// Something has changed: a picture is there, the ladder was dropped.
    Wake,
}

/// What both ends of the queue see.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Nobody wants anything of it any more.
    pub(super) stop: AtomicBool,
    /// No picture follows; what is inside is still wanted.
    finish: AtomicBool,
    /// The machine's time that it may take, until it is done or winds up.
    permit: Mutex<Option<Permit>>,
    /// Coded bytes in the queue.
    bytes: AtomicUsize,
    /// Units that the queue had no room for.
    refused: AtomicUsize,
    /// When the newest unit that came is shown.
    newest_ns: AtomicU64,
}

impl Shared {
    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// No picture follows those that are in the queue.
    pub(super) fn finishes(&self) -> bool {
        self.finish.load(Ordering::Acquire)
    }

    /// Holds a part of the budget for as long as it encodes in real time.
    pub(super) fn hold(&self, permit: Permit) {
        *self.permit.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
    }

    /// Gives it back: for the next take's ladder, among others.
    pub(super) fn release(&self) {
        self.permit.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// The next message, after [`TICK`](super::worker::TICK) at most; `None` when none follows.
    pub(super) fn next(
        &self,
        receiver: &Receiver<Message>,
        patience: Duration,
    ) -> Option<Result<Message, RecvTimeoutError>> {
        // The flag first: what was pushed before it was set is in the queue.
        if !self.finishes() {
            return Some(receiver.recv_timeout(patience));
        }
        match receiver.try_recv() {
            Ok(message) => Some(Ok(message)),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
        }
    }

    /// A unit has left the queue; tells how many were refused since the one before.
    pub(super) fn taken(&self, unit: &SourceUnit) -> u32 {
        self.bytes.fetch_sub(unit.data.len(), Ordering::Relaxed);
        self.refused.swap(0, Ordering::Relaxed) as u32
    }

    /// How far a picture is behind the newest unit that came, in nanoseconds.
    pub(super) fn behind(&self, pts_ns: u64) -> u64 {
        self.newest_ns.load(Ordering::Relaxed).saturating_sub(pts_ns)
    }

    /// Units that were lost on their way here.
    pub(super) fn lost(&self, count: u32) {
        self.refused.fetch_add(count as usize, Ordering::Relaxed);
    }
}

/// Takes pictures and never waits.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) shared: Arc<Shared>,
    sender: SyncSender<Message>,
    rungs: Vec<RungPlan>,
    left_out: Vec<String>,
    /// Without rungs key frames are enough: they make thumbnails.
    only_keys: bool,
    /// Dropping until the next key frame, for what follows a lost unit cannot be decoded.
    skipping: bool,
}

impl Handle {
    /// A ladder whose thread does `work` with the queue. It ends by itself after the handle was dropped.
    pub(super) fn start(
        order: &Order,
        left_out: Vec<String>,
        permit: Option<Permit>,
        work: impl FnOnce(Arc<Shared>, SyncSender<Message>, Receiver<Message>) + Send + 'static,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (sender, receiver) = sync_channel(QUEUE);
        let shared = Arc::new(Shared::default());
        if let Some(permit) = permit {
            shared.hold(permit);
        }
        let plan = |rung: &crate::ladder::Rung| RungPlan {
            name: rung.name.clone(),
            width: rung.width,
            height: rung.height,
            frame_rate: order.frame_rate,
            bandwidth: u64::from(rung.kbps) * 1000,
            encoder: order.kind.element().to_owned(),
        };
        let rungs: Vec<RungPlan> = order.rungs.iter().map(plan).collect();
        let only_keys = rungs.is_empty();
        let (theirs, waker) = (Arc::clone(&shared), sender.clone());
        let thread = std::thread::Builder::new()
            .name("weir-ladder".to_owned())
            .spawn(move || work(theirs, waker, receiver))?;
        Ok((Self { shared, sender, rungs, left_out, only_keys, skipping: true }, thread))
    }
}

impl LiveLadder for Handle {
    fn rungs(&self) -> Vec<RungPlan> {
        self.rungs.clone()
    }

    fn left_out(&self) -> Vec<String> {
        self.left_out.clone()
    }

    fn push(&mut self, unit: SourceUnit) {
        if (self.skipping || self.only_keys) && !unit.key {
            return;
        }
        self.shared.newest_ns.store(unit.pts_ns, Ordering::Relaxed);
        let size = unit.data.len();
        let room = self.shared.bytes.load(Ordering::Relaxed) + size <= QUEUE_BYTES;
        if room {
            // Counted before it can be taken out.
            self.shared.bytes.fetch_add(size, Ordering::Relaxed);
            if self.sender.try_send(Message::Unit(unit)).is_ok() {
                self.skipping = false;
                return;
            }
            self.shared.bytes.fetch_sub(size, Ordering::Relaxed);
        }
        self.skipping = true;
        self.shared.refused.fetch_add(1, Ordering::Relaxed);
    }

    fn finish(&mut self) {
        self.shared.finish.store(true, Ordering::Release);
        self.shared.release();
        // A full queue is being read, and the flag is seen at its end.
        let _ = self.sender.try_send(Message::Wake);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.release();
        // When the queue is full the thread is busy, and sees the flag after what it is doing. It is not
        // waited for: it may wait for the session that drops us.
        let _ = self.sender.try_send(Message::Wake);
    }
}
