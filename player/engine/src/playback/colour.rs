//! One colour description for a whole presentation.
//!
//! GStreamer guesses the matrix of untagged video by its height, so on a ladder that crosses 576 lines the hue would
//! change at a switch. Here a tag of any rung wins for all; without tags the height of the ladder's top decides.

use std::sync::{Mutex, MutexGuard, PoisonError};

use gstreamer as gst;
use gstreamer_video as gst_video;

use super::Matrix;

/// From so many lines on, untagged video is BT.709.
const HD_LINES: u32 = 720;

#[derive(Debug)]
pub(super) struct Colour {
    top_height: Option<u32>,
    tagged: Mutex<Option<String>>,
}

impl Colour {
    pub(super) fn new(top_height: Option<u32>) -> Self {
        Self { top_height, tagged: Mutex::default() }
    }

    /// The colorimetry to use for pictures of `height` lines whose stream carries `tag`.
    pub(super) fn decide(&self, tag: Option<&str>, height: u32) -> String {
        let mut tagged = self.lock();
        let usable = |tag: &&str| tag.parse::<gst_video::VideoColorimetry>().is_ok_and(|c| known(&c));
        if let Some(tag) = tag.filter(usable) {
            return tagged.insert(tag.to_owned()).clone();
        }
        tagged.clone().unwrap_or_else(|| {
            let hd = self.top_height.unwrap_or(0).max(height) >= HD_LINES;
            if hd { "bt709" } else { "bt601" }.to_owned()
        })
    }

    /// `caps` of decoded pictures with the presentation's colour; `None` when they are not Y'CbCr.
    pub(super) fn rewrite(&self, caps: &gst::CapsRef, tag: Option<&str>) -> Option<gst::Caps> {
        let info = gst_video::VideoInfo::from_caps(caps).ok()?;
        if !info.is_yuv() {
            return None;
        }
        let colorimetry = self.decide(tag, info.height());
        let mut caps = caps.to_owned();
        caps.make_mut().structure_mut(0)?.set("colorimetry", colorimetry);
        Some(caps)
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        // A panic elsewhere must not become a second one inside a GStreamer callback.
        self.tagged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn known(colorimetry: &gst_video::VideoColorimetry) -> bool {
    colorimetry.matrix() != gst_video::VideoColorMatrix::Unknown
}

/// What a painter needs to know of `info`.
pub(super) fn of(info: &gst_video::VideoInfo) -> (Matrix, bool) {
    let colorimetry = info.colorimetry();
    let matrix = match colorimetry.matrix() {
        gst_video::VideoColorMatrix::Bt2020 => Matrix::Bt2020,
        gst_video::VideoColorMatrix::Bt601 | gst_video::VideoColorMatrix::Fcc => Matrix::Bt601,
        _ => Matrix::Bt709,
    };
    (matrix, colorimetry.range() == gst_video::VideoColorRange::Range0_255)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untagged_rungs_share_the_colour_of_the_top() {
        let colour = Colour::new(Some(1080));
        assert_eq!(colour.decide(None, 240), "bt709");
        assert_eq!(colour.decide(None, 1080), "bt709");
        assert_eq!(Colour::new(Some(480)).decide(None, 480), "bt601");
        assert_eq!(Colour::new(None).decide(None, 720), "bt709");
    }

    #[test]
    fn a_tag_of_any_rung_wins_for_all() {
        gst::init().unwrap();
        let colour = Colour::new(Some(1080));
        assert_eq!(colour.decide(Some("bt601"), 360), "bt601");
        assert_eq!(colour.decide(None, 1080), "bt601");
        assert_eq!(colour.decide(Some("rubbish"), 1080), "bt601");
    }

    #[test]
    fn caps_are_rewritten_for_pictures_of_the_camera_kind_only() {
        gst::init().unwrap();
        let colour = Colour::new(Some(720));
        let caps = |format: gst_video::VideoFormat| {
            gst_video::VideoInfo::builder(format, 320, 240).build().unwrap().to_caps().unwrap()
        };
        let written = colour.rewrite(&caps(gst_video::VideoFormat::I420), None).unwrap();
        let info = gst_video::VideoInfo::from_caps(&written).unwrap();
        assert_eq!(of(&info), (Matrix::Bt709, false));
        assert!(colour.rewrite(&caps(gst_video::VideoFormat::Rgba), None).is_none());
    }
}
