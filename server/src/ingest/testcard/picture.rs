//! The card laid out for GStreamer's encoders.

use gstreamer_video as gst_video;

use super::{CardPainter, CardPlanes};
use crate::ingest::TestCardSpec;
use crate::ladder::Rung;

impl CardPainter {
    /// A painter for one rung, and the layout of its pictures. `place` counts rungs from 0 = lowest.
    ///
    /// # Errors
    /// A sentence, when GStreamer has no layout for the rung's size.
    pub(crate) fn for_rung(
        card: &TestCardSpec,
        place: u32,
        rung: &Rung,
    ) -> Result<(gst_video::VideoInfo, Self), String> {
        let bt709 = gst_video::VideoColorimetry::new(
            gst_video::VideoColorRange::Range16_235,
            gst_video::VideoColorMatrix::Bt709,
            gst_video::VideoTransferFunction::Bt709,
            gst_video::VideoColorPrimaries::Bt709,
        );
        let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::I420, rung.width, rung.height)
            .colorimetry(&bt709)
            .build()
            .map_err(|e| format!("cannot lay out pictures of {}: {e}", rung.name))?;
        let (strides, offsets) = (info.stride(), info.offset());
        let plane = |i: usize| {
            let stride = strides.get(i).map_or(0, |s| (*s).max(0) as usize);
            (stride, offsets.get(i).copied().unwrap_or(0))
        };
        let planes = [plane(0), plane(1), plane(2)];
        let rate = if rung.kbps >= 1000 {
            let text = format!("{:.1}", f64::from(rung.kbps) / 1000.0);
            format!("{}M", text.trim_end_matches(".0"))
        } else {
            format!("{}k", rung.kbps)
        };
        let painter = Self::new(
            CardPlanes {
                width: rung.width as usize,
                height: rung.height as usize,
                strides: planes.map(|p| p.0),
                offsets: planes.map(|p| p.1),
                size: info.size(),
            },
            place,
            &format!("{} {rate}", rung.name),
            card.frame_rate,
            card.seed,
        );
        Ok((info, painter))
    }
}
