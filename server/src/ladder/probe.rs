//! Which encoders do not only exist but work: a driver may be there without its device.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use gstreamer as gst;
use gstreamer_video as gst_video;

use super::encode::{VideoEncoder, VideoEncoderKind, VideoEncoderSpec};
use super::log::Voice;
use super::pipeline::has;
use super::{Rung, Speed};

/// Whether an encoder of this kind encoded a picture when first asked; GStreamer must be loaded.
pub(crate) fn works(kind: VideoEncoderKind) -> bool {
    // Once a process: devices do not come and go, and the answer must not differ between two streams.
    static WORKS: [OnceLock<bool>; 5] = [const { OnceLock::new() }; 5];
    let ask = || {
        let works = has(kind.element()) && encodes(kind);
        if has(kind.element()) {
            tracing::info!(encoder = kind.element(), works, "tried a video encoder");
        }
        works
    };
    WORKS.get(kind as usize).is_some_and(|known| *known.get_or_init(ask))
}

fn encodes(kind: VideoEncoderKind) -> bool {
    let (width, height) = (320, 192);
    let Ok(input) = gst_video::VideoInfo::builder(gst_video::VideoFormat::I420, width, height).build() else {
        return false;
    };
    let spec = VideoEncoderSpec {
        rung: Rung { name: "probe".to_owned(), width, height, kbps: 300 },
        input: input.clone(),
        frame_rate: (25, 1),
        kind,
        speed: Speed::Ultrafast,
        nice: 0,
        live: false,
    };
    let units = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&units);
    let sink = Box::new(move |_| {
        seen.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    let Ok(encoder) = VideoEncoder::start(&spec, &Voice::unheard(), sink) else { return false };
    let frame = 40_000_000;
    let pushed = (0..3_u64).all(|n| {
        encoder.push(gst::Buffer::from_mut_slice(vec![128_u8; input.size()]), n * frame, frame, n == 0)
    });
    let finished = encoder.finish();
    pushed && finished.is_ok() && units.load(Ordering::Relaxed) == 3
}
