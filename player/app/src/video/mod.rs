//! Putting decoded pictures on the screen.

pub mod colour;
pub mod made;
mod planes;
mod rgba;

use std::sync::Arc;

use eframe::glow::{self, HasContext};
use egui::{Rect, Vec2};
use weir_engine::playback::{PictureView, VideoFrame};

pub use planes::Planes;
pub use rgba::Rgba;

use made::Made;

/// A picture, wherever it came from.
#[derive(Debug)]
pub enum Picture {
    /// Out of a decoder.
    Decoded(Box<VideoFrame>),
    /// Made for a test.
    Made(Made),
}

impl Picture {
    /// To read it; `None` when nothing here knows its format.
    pub fn view(&self) -> Option<PictureView<'_>> {
        match self {
            Self::Decoded(frame) => frame.view(),
            Self::Made(made) => Some(made.view()),
        }
    }
}

/// Which painter to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum PainterChoice {
    /// Planes and shader where the graphics card draws, RGBA where the processor does.
    #[default]
    Auto,
    /// Planes and shader.
    Planes,
    /// RGBA.
    Rgba,
}

/// Shows the newest picture that it was given.
pub trait VideoPainter {
    /// Its name in the statistics.
    fn name(&self) -> &'static str;

    /// It wants RGBA pictures of about the height at which they are shown.
    fn wants_rgba(&self) -> bool;

    /// Shows this from now on.
    fn set(&mut self, ctx: &egui::Context, picture: Picture);

    /// Forgets what it shows.
    fn clear(&mut self);

    /// Paints what it shows into `rect`.
    fn paint(&mut self, ui: &egui::Ui, rect: Rect);

    /// Gives back what it holds on the graphics card.
    fn destroy(&mut self, gl: Option<&glow::Context>);
}

/// The painter for this window.
pub fn painter(choice: PainterChoice, gl: Option<&Arc<glow::Context>>) -> Box<dyn VideoPainter> {
    let by_shader = match (choice, gl) {
        (PainterChoice::Rgba, _) | (_, None) => None,
        (PainterChoice::Auto, Some(gl)) if is_software(gl) => None,
        (_, Some(gl)) => match Planes::new(gl) {
            Ok(planes) => Some(planes),
            Err(error) => {
                tracing::warn!("showing pictures without a shader: {error}");
                None
            }
        },
    };
    match by_shader {
        Some(planes) => Box::new(planes),
        None => Box::new(Rgba::default()),
    }
}

/// The processor does the drawing: one plane less to sample halves its work.
fn is_software(gl: &glow::Context) -> bool {
    #[expect(unsafe_code, reason = "reading a string of the live GL context that eframe handed out")]
    let renderer = unsafe { gl.get_parameter_string(glow::RENDERER) }.to_lowercase();
    ["llvmpipe", "softpipe", "swrast", "software"].iter().any(|name| renderer.contains(name))
}

/// The largest place of this shape in `area`, in its middle, on whole pixels.
pub fn fit(picture: Vec2, area: Rect, pixels_per_point: f32) -> Rect {
    if picture.x <= 0.0 || picture.y <= 0.0 || area.width() <= 0.0 || area.height() <= 0.0 {
        return area;
    }
    let scale = (area.width() / picture.x).min(area.height() / picture.y);
    let whole = |value: f32| (value * pixels_per_point).round() / pixels_per_point;
    let size = Vec2::new(whole(picture.x * scale), whole(picture.y * scale));
    let min = area.min + (area.size() - size) / 2.0;
    Rect::from_min_size(egui::pos2(whole(min.x), whole(min.y)), size)
}

/// Counts pictures that the screen never showed, by the gaps in their serial numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    last: Option<u64>,
    /// Pictures that were handed to the painter.
    pub shown: u64,
    /// Pictures that a newer one overtook before the window could take them.
    pub overtaken: u64,
}

impl Shown {
    /// One more picture goes to the screen.
    pub fn count(&mut self, serial: u64) {
        if let Some(last) = self.last {
            self.overtaken += serial.saturating_sub(last).saturating_sub(1);
        }
        self.last = Some(serial);
        self.shown += 1;
    }
}

#[cfg(test)]
mod tests {
    use egui::{pos2, vec2};

    use super::*;

    #[test]
    fn a_picture_is_as_large_as_fits_and_in_the_middle() {
        let area = Rect::from_min_size(pos2(0.0, 0.0), vec2(640.0, 480.0));
        assert_eq!(
            fit(vec2(1280.0, 720.0), area, 1.0),
            Rect::from_min_size(pos2(0.0, 60.0), vec2(640.0, 360.0))
        );
        let tall = fit(vec2(9.0, 16.0), area, 1.0);
        assert_eq!((tall.width(), tall.height(), tall.left()), (270.0, 480.0, 185.0));
        assert_eq!(fit(vec2(0.0, 0.0), area, 1.0), area);
    }

    #[test]
    fn a_picture_starts_on_a_whole_pixel_at_any_scale() {
        for scale in [1.0, 1.25, 1.5, 2.0] {
            let area = Rect::from_min_size(pos2(3.3, 7.7), vec2(701.3, 499.9));
            let rect = fit(vec2(1920.0, 1080.0), area, scale);
            for value in [rect.left(), rect.top(), rect.width(), rect.height()] {
                let pixels = value * scale;
                assert!((pixels - pixels.round()).abs() < 0.01, "{rect:?} at {scale}");
            }
        }
    }

    #[test]
    fn gaps_in_serials_are_overtaken_pictures() {
        let mut shown = Shown::default();
        for serial in [5, 6, 9, 10] {
            shown.count(serial);
        }
        assert_eq!((shown.shown, shown.overtaken), (4, 2));
        // A new session counts from the start: no gap.
        shown.count(0);
        assert_eq!((shown.shown, shown.overtaken), (5, 2));
    }
}
