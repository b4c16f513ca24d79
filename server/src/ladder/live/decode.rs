//! Decodes a live source as its units come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc};

use crate::ladder::LadderError;
use crate::ladder::log::Voice;
use crate::ladder::pipeline::{Guarded, make};
use crate::live::{Codec, SourceUnit, TrackSetup};

/// Coded bytes that may wait for the decoder.
const QUEUE_BYTES: u64 = 16 << 20;

/// A decoder whose pictures carry the presentation times of the units.
#[derive(Debug)]
pub(super) struct LiveDecoder {
    guarded: Guarded,
    source: AppSrc,
    output: AppSink,
}

impl LiveDecoder {
    /// `wake` is called, from the decoder's thread, when a picture is there; it must not wait.
    pub(super) fn start(
        setup: &TrackSetup,
        nice: i32,
        voice: &Voice,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, LadderError> {
        let fail = |error: gst::glib::BoolError| LadderError::Decode(error.to_string());
        let guarded = Guarded::new(nice, voice);
        let source = AppSrc::builder()
            .caps(&caps(setup)?)
            .format(gst::Format::Time)
            .max_bytes(QUEUE_BYTES)
            .block(false)
            .build();
        let decoder = make("decodebin")?;
        if let Some(bin) = decoder.downcast_ref::<gst::Bin>() {
            bin.connect_deep_element_added(|_, _, element| low_delay(element));
        }
        let wanted = gst::Caps::builder("video/x-raw").field("format", "I420").build();
        let output = AppSink::builder().caps(&wanted).sync(false).max_buffers(4).build();
        output.set_callbacks(
            AppSinkCallbacks::builder()
                .new_sample(move |_| {
                    wake();
                    Ok(gst::FlowSuccess::Ok)
                })
                .build(),
        );
        let deinterlace = make("deinterlace")?;
        deinterlace.set_property_from_str("mode", "auto");
        deinterlace.set_property_from_str("fields", "top");
        let convert = make("videoconvert")?;
        let entry = make("videoconvert")?;
        let tail = [&entry, &deinterlace, &convert, output.upcast_ref()];
        guarded.pipeline.add_many([source.upcast_ref(), &decoder]).map_err(fail)?;
        guarded.pipeline.add_many(tail).map_err(fail)?;
        gst::Element::link_many([source.upcast_ref(), &decoder]).map_err(fail)?;
        gst::Element::link_many(tail).map_err(fail)?;
        let sink = entry.static_pad("sink");
        let linked = Arc::new(AtomicU32::new(0));
        decoder.connect_pad_added(move |_, pad| {
            if let Some(sink) = &sink
                && linked.fetch_add(1, Ordering::Relaxed) == 0
            {
                // When it fails, the decoder reports that its pad is not linked.
                let _ = pad.link(sink);
            }
        });
        guarded.set_state(gst::State::Playing).map_err(LadderError::Decode)?;
        Ok(Self { guarded, source, output })
    }

    /// Hands a unit over; `false` when too many wait, or the decoder has failed.
    pub(super) fn push(&self, unit: &SourceUnit) -> bool {
        if self.source.current_level_bytes() + unit.data.len() as u64 > QUEUE_BYTES {
            return false;
        }
        let mut buffer = gst::Buffer::from_slice(unit.data.clone());
        if let Some(buffer) = buffer.get_mut() {
            // No decode time: B pictures are decoded after they are shown here, and parsers would show them later for it.
            buffer.set_pts(gst::ClockTime::from_nseconds(unit.pts_ns));
            if !unit.key {
                buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
        }
        self.source.push_buffer(buffer).is_ok()
    }

    /// The next picture that is there.
    pub(super) fn picture(&self) -> Option<gst::Sample> {
        self.output.try_pull_sample(gst::ClockTime::ZERO)
    }

    /// Says that no unit follows.
    pub(super) fn finish(&self) {
        let _ = self.source.end_of_stream();
    }

    /// The next picture after [`finish`](Self::finish), waited for a fifth of a second; the second is whether there may be
    /// more.
    pub(super) fn last_picture(&self) -> (Option<gst::Sample>, bool) {
        let picture = self.output.try_pull_sample(gst::ClockTime::from_mseconds(200));
        let more = picture.is_some() || (!self.output.is_eos() && self.error().is_none());
        (picture, more)
    }

    /// Why it has failed.
    pub(super) fn error(&self) -> Option<String> {
        self.guarded.watcher.error()
    }
}

fn caps(setup: &TrackSetup) -> Result<gst::Caps, LadderError> {
    let (name, format, alignment) = match setup.codec {
        Codec::Avc => ("video/x-h264", "avc", "au"),
        Codec::Hevc => ("video/x-h265", "hvc1", "au"),
        Codec::Av1 => ("video/x-av1", "obu-stream", "tu"),
        Codec::Aac | Codec::Opus => {
            return Err(LadderError::Decode(format!("{} is not a video codec", setup.codec.name())));
        }
    };
    let mut caps = gst::Caps::builder(name).field("stream-format", format).field("alignment", alignment);
    if setup.codec != Codec::Av1 {
        caps = caps.field("codec_data", gst::Buffer::from_slice(Bytes::clone(&setup.config)));
    }
    if setup.width > 0 && setup.height > 0 {
        caps = caps.field("width", setup.width as i32).field("height", setup.height as i32);
    }
    if let Some((num, den)) = setup.frame_rate.filter(|(num, den)| *num > 0 && *den > 0) {
        caps = caps.field("framerate", gst::Fraction::new(num as i32, den as i32));
    }
    Ok(caps.build())
}

/// Decoding several pictures at once would hold each back by as many; slices cost no delay.
fn low_delay(element: &gst::Element) {
    if element.find_property("thread-type").is_some() {
        element.set_property_from_str("thread-type", "slice");
    }
}
