//! Which decoders are tried, and in what order.
//!
//! Hardware decoders come first, and one that fails is not tried again in this process. The environment variable
//! `WEIR_HARDWARE_DECODING=off` leaves them out.

use std::sync::Once;

use gstreamer::{self as gst, prelude::*};

/// Environment variable; `off` leaves hardware decoders out.
pub(super) const SWITCH: &str = "WEIR_HARDWARE_DECODING";

static RANKED: Once = Once::new();

/// Sets the ranks, once for the process: GStreamer's registry is one.
pub(super) fn rank() {
    RANKED.call_once(|| {
        let off = std::env::var(SWITCH).is_ok_and(|value| value == "off");
        let rank = if off { gst::Rank::NONE } else { gst::Rank::PRIMARY + 64 };
        let decoders = gst::ElementFactory::factories_with_type(
            gst::ElementFactoryType::DECODER | gst::ElementFactoryType::MEDIA_VIDEO,
            gst::Rank::NONE,
        );
        for factory in decoders.iter().filter(|factory| is_hardware(factory)) {
            factory.set_rank(rank);
        }
    });
}

/// Takes the hardware decoder out of the choice; `false` when `element` is none, or was out already.
pub(super) fn give_up(element: &gst::Element) -> bool {
    let Some(factory) = element.factory().filter(is_hardware_ref) else { return false };
    if factory.rank() == gst::Rank::NONE {
        return false;
    }
    factory.set_rank(gst::Rank::NONE);
    true
}

/// A decoder that works on many frames at once holds as many back: when data runs short, playback would stand that
/// long before the end of what is buffered. Four at once are enough for 2160p on the machines that have the cores.
const FRAMES_AT_ONCE: usize = 4;

/// Keeps the decoder from holding back more pictures than it must.
pub(super) fn limit_delay(element: &gst::Element) {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let is_libav = element.factory().is_some_and(|factory| factory.name().starts_with("avdec_"));
    if is_libav && cores > FRAMES_AT_ONCE && element.find_property("max-threads").is_some() {
        element.set_property_from_str("max-threads", &FRAMES_AT_ONCE.to_string());
    }
}

fn is_hardware_ref(factory: &gst::ElementFactory) -> bool {
    is_hardware(factory)
}

fn is_hardware(factory: &gst::ElementFactory) -> bool {
    factory.metadata("klass").is_some_and(|class| class.split('/').any(|part| part == "Hardware"))
}

/// Whether `element` decodes pictures.
pub(super) fn is_video_decoder(element: &gst::Element) -> bool {
    element.factory().and_then(|factory| factory.metadata("klass").map(str::to_owned)).is_some_and(|class| {
        let has = |wanted| class.split('/').any(|part| part == wanted);
        has("Decoder") && has("Video")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_decoders_are_never_given_up() {
        gst::init().unwrap();
        rank();
        let decoder = gst::ElementFactory::make("avdec_h264").build().unwrap();
        assert!(is_video_decoder(&decoder));
        assert!(!give_up(&decoder));
        assert!(decoder.factory().unwrap().rank() > gst::Rank::NONE);
        let parser = gst::ElementFactory::make("h264parse").build().unwrap();
        assert!(!is_video_decoder(&parser));
    }
}
