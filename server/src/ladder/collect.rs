//! The running pipeline of an encoder: units go in at one end, a thread takes coded units out at the other.

use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};

use super::LadderError;
use super::pipeline::{Guarded, Watcher, lower_priority};

/// One coded picture or AAC frame.
#[derive(Debug)]
pub(crate) struct EncodedUnit {
    /// Nanoseconds since the first picture's running time 0.
    pub(crate) running_ns: u64,
    pub(crate) key: bool,
    pub(crate) data: Bytes,
    /// The decoder configuration from the caps: `avcC` or `AudioSpecificConfig`.
    pub(crate) codec_data: Bytes,
}

/// Takes coded units in order; an error ends the encoder.
pub(crate) type UnitSink = Box<dyn FnMut(EncodedUnit) -> Result<(), String> + Send>;

/// An encoder's pipeline from `appsrc` to `appsink`, with the thread that empties it.
#[derive(Debug)]
pub(super) struct Collector {
    name: String,
    source: AppSrc,
    guarded: Arc<Guarded>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

impl Collector {
    /// Links `chain` (from the source to the output, both included), starts it, and hands every unit to `sink`.
    pub(super) fn start(
        name: &str,
        guarded: Guarded,
        source: AppSrc,
        chain: &[gst::Element],
        output: AppSink,
        mut sink: UnitSink,
    ) -> Result<Self, LadderError> {
        let failed = |why: String| LadderError::Encode { rendition: name.to_owned(), why };
        guarded.pipeline.add_many(chain).map_err(|e| failed(e.to_string()))?;
        gst::Element::link_many(chain).map_err(|e| failed(e.to_string()))?;
        guarded.set_state(gst::State::Playing).map_err(failed)?;
        let guarded = Arc::new(guarded);
        let shared = Arc::clone(&guarded);
        let thread = std::thread::Builder::new()
            .name(format!("weir-enc-{name}"))
            .spawn(move || {
                lower_priority(shared.nice);
                let result = take_all(&shared.watcher, &output, &mut sink);
                // Releases a producer that is blocked in `push`.
                shared.stop();
                result
            })
            .map_err(|e| failed(e.to_string()))?;
        Ok(Self { name: name.to_owned(), source, guarded, thread: Some(thread) })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn source(&self) -> &AppSrc {
        &self.source
    }

    /// Hands a buffer over, waiting while the encoder is behind where its source blocks. `false` when it has
    /// died: [`finish`](Self::finish) says why.
    pub(super) fn push(&self, buffer: gst::Buffer) -> bool {
        self.source.push_buffer(buffer).is_ok()
    }

    /// Nothing is encoded any more.
    pub(super) fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Says that nothing follows, and waits for the last unit to be taken.
    pub(super) fn finish(mut self) -> Result<(), LadderError> {
        let _ = self.source.end_of_stream();
        self.join()
    }

    /// Stops without taking what is still inside.
    pub(super) fn abort(mut self) {
        self.guarded.stop();
        let _ = self.join();
    }

    fn join(&mut self) -> Result<(), LadderError> {
        let joined = match self.thread.take() {
            Some(thread) => thread.join().unwrap_or_else(|_| Err("its thread panicked".to_owned())),
            None => Ok(()),
        };
        joined.map_err(|why| LadderError::Encode { rendition: self.name.clone(), why })
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // An encoder that is dropped on the way of an error must not leave its thread behind.
        if self.thread.is_some() {
            self.guarded.stop();
            let _ = self.join();
        }
    }
}

fn take_all(watcher: &Watcher, output: &AppSink, sink: &mut UnitSink) -> Result<(), String> {
    loop {
        match output.try_pull_sample(gst::ClockTime::from_mseconds(200)) {
            Some(sample) => sink(unit(&sample)?)?,
            None => {
                if let Some(error) = watcher.error() {
                    return Err(error);
                }
                if output.is_eos() {
                    return Ok(());
                }
            }
        }
    }
}

fn unit(sample: &gst::Sample) -> Result<EncodedUnit, String> {
    let missing = |what: &str| format!("the encoder gave a unit without {what}");
    let buffer = sample.buffer().ok_or_else(|| missing("data"))?;
    let pts = buffer.pts().ok_or_else(|| missing("a time"))?;
    // x264enc shifts its times and the segment by 1000 hours; the running time is ours again.
    let running = sample
        .segment()
        .and_then(|segment| segment.downcast_ref::<gst::ClockTime>())
        .and_then(|segment| segment.to_running_time(pts))
        .ok_or_else(|| missing("a running time"))?;
    let codec_data = sample
        .caps()
        .and_then(|caps| caps.structure(0))
        .and_then(|caps| caps.get::<gst::Buffer>("codec_data").ok())
        .ok_or_else(|| missing("a codec configuration"))?;
    Ok(EncodedUnit {
        running_ns: running.nseconds(),
        key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
        data: bytes_of(buffer)?,
        codec_data: bytes_of(&codec_data)?,
    })
}

/// A copy of a buffer's memory.
pub(super) fn bytes_of(buffer: &gst::BufferRef) -> Result<Bytes, String> {
    let map = buffer.map_readable().map_err(|e| e.to_string())?;
    Ok(Bytes::copy_from_slice(&map))
}
