//! What the control thread is to do next.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use gstreamer as gst;

use crate::{demux::StreamKind, samples::Hole};

/// More than this waiting means that nobody reads: the oldest go.
const ROOM: usize = 1024;

#[derive(Debug)]
pub(super) enum Mail {
    Playing(bool),
    Rate(f64),
    /// The same without a break, from a place of its own.
    Drift(f64),
    Volume(f64),
    Muted(bool),
    RgbaHeight(Option<u32>),
    /// From the bus.
    Bus(gst::Message),
    /// The feeder came to a hole.
    Hole(StreamKind, Hole),
    /// From this sample on (nanoseconds) it is another codec, which needs another pipeline.
    Codec(StreamKind, i64),
    /// Something that is waited for may have happened: a buffer changed, or a sink is ready.
    Poke,
    Stop,
}

/// Where to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) to: Duration,
    pub(super) exact: bool,
}

#[derive(Debug, Default)]
struct Content {
    queue: VecDeque<Mail>,
    poked: bool,
    wish: Option<Wish>,
    stop: bool,
}

#[derive(Debug, Default)]
pub(super) struct Mailbox {
    content: Mutex<Content>,
    arrived: Condvar,
}

impl Mailbox {
    pub(super) fn post(&self, mail: Mail) {
        let mut content = self.lock();
        match mail {
            Mail::Poke => content.poked = true,
            Mail::Stop => content.stop = true,
            mail => {
                if content.queue.len() >= ROOM {
                    content.queue.pop_front();
                }
                content.queue.push_back(mail);
            }
        }
        self.arrived.notify_one();
    }

    /// A later wish takes the place of one that was not begun. `first` is done before anybody can see it.
    pub(super) fn wish(&self, wish: Wish, first: impl FnOnce()) {
        let mut content = self.lock();
        first();
        content.wish = Some(wish);
        self.arrived.notify_one();
    }

    pub(super) fn take_wish(&self) -> Option<Wish> {
        self.lock().wish.take()
    }

    /// Does it, unless a wish came meanwhile.
    pub(super) fn unless_wished(&self, act: impl FnOnce()) {
        let content = self.lock();
        if content.wish.is_none() {
            act();
        }
    }

    /// Forgets messages of the bus that a flush makes meaningless.
    pub(super) fn forget(&self, kind: gst::MessageType) {
        self.lock().queue.retain(|mail| !matches!(mail, Mail::Bus(message) if message.type_() == kind));
    }

    /// Forgets all that comes from a pipeline that is gone.
    pub(super) fn forget_pipeline(&self) {
        self.lock().queue.retain(|mail| !matches!(mail, Mail::Bus(_) | Mail::Hole(..) | Mail::Codec(..)));
    }

    pub(super) fn forget_jumps(&self) {
        self.lock().queue.retain(|mail| !matches!(mail, Mail::Hole(..) | Mail::Codec(..)));
    }

    /// The next mail; [`Mail::Poke`] when there is a wish and `wishes` are minded, or when `limit` is over.
    pub(super) fn wait(&self, limit: Option<Duration>, wishes: bool) -> Mail {
        let deadline = limit.map(|limit| Instant::now() + limit);
        let mut content = self.lock();
        loop {
            if content.stop {
                return Mail::Stop;
            }
            if let Some(mail) = content.queue.pop_front() {
                return mail;
            }
            if std::mem::take(&mut content.poked) || (wishes && content.wish.is_some()) {
                return Mail::Poke;
            }
            content = match deadline {
                None => self.arrived.wait(content).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Mail::Poke;
                    }
                    self.arrived.wait_timeout(content, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        // A panic elsewhere must not become a second one inside a GStreamer callback.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
