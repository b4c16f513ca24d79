//! Carries samples from a track's buffer into an appsrc, as fast as that asks for them.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use gstreamer as gst;
use gstreamer_app as gst_app;

use super::{
    mailbox::{Mail, Mailbox},
    tags::TagLog,
    time,
};
use crate::{
    demux::StreamKind,
    samples::{Next, Sample, SharedTrack, Tag},
};

#[derive(Debug, Default)]
struct State {
    /// The appsrc asked for data. Nothing is pushed before: an early push can park its task for good.
    hungry: bool,
    /// There may be something to read that was not tried yet.
    fresh: bool,
    /// Nothing more goes out before a seek: the last sample went, or a jump comes next.
    parked: bool,
    /// The last sample went out.
    at_end: bool,
    stop: bool,
}

#[derive(Debug)]
struct Shared {
    track: Arc<SharedTrack>,
    state: Mutex<State>,
    changed: Condvar,
    /// Held while a sample goes from the buffer into the appsrc, so that a seek never comes in between.
    carry: Mutex<Carry>,
}

#[derive(Debug, Default)]
struct Carry {
    /// See [`Feed`].
    border: Option<i64>,
    caps: Option<gst::Caps>,
    discontinuity: bool,
}

/// A thread that feeds one appsrc.
#[derive(Debug)]
pub(super) struct Feeder {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What a feeder needs to know.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) kind: StreamKind,
    pub(super) source: gst_app::AppSrc,
    pub(super) track: Arc<SharedTrack>,
    pub(super) tags: Arc<TagLog>,
    pub(super) mailbox: Arc<Mailbox>,
    /// A hole is silence, not a reason to jump.
    pub(super) plays_through_holes: bool,
    /// Samples before this (nanoseconds) are of another coding than what the pipeline was made for.
    pub(super) border: Option<i64>,
}

impl Feeder {
    pub(super) fn start(feed: Feed) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            track: feed.track.clone(),
            state: Mutex::default(),
            changed: Condvar::new(),
            carry: Mutex::new(Carry { border: feed.border, ..Carry::default() }),
        });
        install(&feed, &shared);
        let (listener, mailbox) = (Arc::downgrade(&shared), Arc::clone(&feed.mailbox));
        feed.track.listen(Some(Arc::new(move || {
            if let Some(shared) = listener.upgrade() {
                shared.update(|state| state.fresh = true);
            }
            mailbox.post(Mail::Poke);
        })));
        let name = match feed.kind {
            StreamKind::Video => "weir-feed-video",
            StreamKind::Audio => "weir-feed-audio",
        };
        let worker = Arc::clone(&shared);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || run(&feed, &worker))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Whether the last sample was handed over.
    pub(super) fn at_end(&self) -> bool {
        lock(&self.shared.state).at_end
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.shared.update(|state| state.stop = true);
        self.shared.track.listen(None);
        if let Some(thread) = self.thread.take() {
            // It ends at once; if it panicked there is nobody to tell.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut lock(&self.state));
        self.changed.notify_all();
    }
}

fn install(feed: &Feed, shared: &Arc<Shared>) {
    let (needs, enough, seeks) = (Arc::downgrade(shared), Arc::downgrade(shared), Arc::downgrade(shared));
    let tags = Arc::clone(&feed.tags);
    feed.source.set_callbacks(
        gst_app::AppSrcCallbacks::builder()
            .need_data(move |_, _| {
                if let Some(shared) = needs.upgrade() {
                    shared.update(|state| (state.hungry, state.fresh) = (true, true));
                }
            })
            .enough_data(move |_| {
                if let Some(shared) = enough.upgrade() {
                    shared.update(|state| state.hungry = false);
                }
            })
            .seek_data(move |_, offset| {
                let Some(shared) = seeks.upgrade() else { return false };
                let mut carry = lock(&shared.carry);
                carry.discontinuity = true;
                tags.clear();
                shared.track.captions.reset();
                let position = time::from_pipeline(gst::ClockTime::from_nseconds(offset));
                // Back before it all is of the other coding, and said to be.
                carry.border = carry.border.filter(|border| *border <= position);
                shared.track.seek(position);
                // What is queued now will be thrown away, and what would be pushed before the next need-data too.
                shared.update(|state| *state = State { stop: state.stop, ..State::default() });
                true
            })
            .build(),
    );
}

fn run(feed: &Feed, shared: &Shared) {
    loop {
        let mut state = lock(&shared.state);
        while !state.stop && (state.parked || !(state.hungry && state.fresh)) {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stop {
            return;
        }
        state.fresh = false;
        drop(state);
        while step(feed, shared) {}
    }
}

/// Hands one sample over; `false` when there is nothing more to do now.
fn step(feed: &Feed, shared: &Shared) -> bool {
    let mut carry = lock(&shared.carry);
    {
        let state = lock(&shared.state);
        if state.stop || state.parked || !state.hungry {
            return false;
        }
    }
    match feed.track.next() {
        // The last moment of the coding before: nobody misses it, and it would set the decoder up for itself.
        Next::Sample(sample, _) | Next::Lead(sample, _)
            if carry.border.is_some_and(|border| sample.pts < border) =>
        {
            true
        }
        Next::Sample(sample, _) | Next::Lead(sample, _)
            if carry.caps.as_ref().is_some_and(|caps| !same_codec(caps, &sample)) =>
        {
            // decodebin3 of GStreamer 1.22 hangs for good when its input changes the codec.
            feed.mailbox.post(Mail::Codec(feed.kind, sample.pts));
            park(feed, shared);
            false
        }
        Next::Sample(sample, tag) => push(feed, &mut carry, &sample, Some(tag)),
        // Decoded once more, at another rung: the sink knows by its time that it was shown.
        Next::Lead(sample, _) => push(feed, &mut carry, &sample, None),
        Next::Wait => false,
        Next::Hole(hole) => {
            feed.mailbox.post(Mail::Hole(feed.kind, hole));
            carry.discontinuity = true;
            if !feed.plays_through_holes {
                park(feed, shared);
            }
            feed.plays_through_holes
        }
        Next::End => {
            shared.update(|state| state.at_end = true);
            park(feed, shared);
            false
        }
    }
}

/// Nothing more before a seek: what the decoder holds back comes out.
fn park(feed: &Feed, shared: &Shared) {
    shared.update(|state| state.parked = true);
    // It fails while flushing only, and then the seek starts anew.
    let _ = feed.source.end_of_stream();
}

fn same_codec(caps: &gst::CapsRef, sample: &Sample) -> bool {
    let codec = |caps: &gst::CapsRef| {
        let structure = caps.structure(0)?;
        // MP3 and AAC have one name.
        let layers = structure.get::<i32>("mpegversion").is_ok_and(|version| version == 1);
        Some((structure.name().to_string(), layers))
    };
    codec(caps) == codec(&sample.payload.caps)
}

fn push(feed: &Feed, carry: &mut Carry, sample: &Sample, tag: Option<Tag>) -> bool {
    let Some(pts) = time::to_pipeline(sample.pts) else { return true };
    let caps = &sample.payload.caps;
    // Before the caps: without a decoder for them the pipeline asks at once where they come from.
    if let Some(tag) = tag {
        feed.tags.record(sample.pts, tag, caps);
        if feed.kind == StreamKind::Video {
            feed.track.captions.sample(sample);
        }
    }
    if carry.caps.as_ref() != Some(caps) {
        feed.source.set_caps(Some(caps));
        carry.caps = Some(caps.clone());
    }
    // The data is shared; only the description is copied.
    let mut buffer = sample.payload.buffer.copy();
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(pts);
        buffer.set_dts(time::to_pipeline(sample.dts));
        buffer.set_duration(u64::try_from(sample.duration).ok().map(gst::ClockTime::from_nseconds));
        let jump = std::mem::take(&mut carry.discontinuity);
        for (flag, on) in [(gst::BufferFlags::DISCONT, jump), (gst::BufferFlags::DELTA_UNIT, !sample.key)] {
            if on {
                buffer.set_flags(flag);
            } else {
                buffer.unset_flags(flag);
            }
        }
    }
    feed.source.push_buffer(buffer).is_ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere must not become a second one inside a GStreamer callback.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
