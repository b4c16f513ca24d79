//! The painter for machines that draw with their processor: one RGBA texture, conversion and scaling left to the engine.

use eframe::glow;
use egui::{ColorImage, Rect, TextureHandle, TextureOptions};
use weir_engine::playback::{PictureView, PixelFormat};

use super::{Picture, VideoPainter, colour};

/// Shows pictures through egui's own textures.
#[derive(Default)]
pub struct Rgba {
    texture: Option<TextureHandle>,
    empty: bool,
}

fn image(view: &PictureView<'_>) -> Option<ColorImage> {
    let size = [view.width, view.height];
    let row = view.width.checked_mul(4)?;
    let plane = view.planes[0];
    if view.format == PixelFormat::Rgba && plane.stride == row {
        // Alpha is 255 throughout, so premultiplied is the same and needs no arithmetic.
        let data = plane.data.get(..row.checked_mul(view.height)?)?;
        return Some(ColorImage::from_rgba_premultiplied(size, data));
    }
    Some(ColorImage::from_rgba_premultiplied(size, &colour::to_rgba(view)?))
}

impl VideoPainter for Rgba {
    fn name(&self) -> &'static str {
        "RGBA texture"
    }

    fn wants_rgba(&self) -> bool {
        true
    }

    fn set(&mut self, ctx: &egui::Context, picture: Picture) {
        let Some(image) = picture.view().and_then(|view| image(&view)) else {
            tracing::debug!("a picture that cannot be read was left out: {picture:?}");
            return;
        };
        self.empty = false;
        match &mut self.texture {
            // The same size: the texture's memory is used again.
            Some(texture) if texture.size() == image.size => {
                texture.set_partial([0, 0], image, TextureOptions::LINEAR);
            }
            Some(texture) => texture.set(image, TextureOptions::LINEAR),
            None => self.texture = Some(ctx.load_texture("video", image, TextureOptions::LINEAR)),
        }
    }

    fn clear(&mut self) {
        self.empty = true;
    }

    fn paint(&mut self, ui: &egui::Ui, rect: Rect) {
        if let (Some(texture), false) = (&self.texture, self.empty) {
            let whole = Rect::from_min_max(egui::pos2(0.0, 0.0), egui::pos2(1.0, 1.0));
            ui.painter().image(texture.id(), rect, whole, egui::Color32::WHITE);
        }
    }

    fn destroy(&mut self, _gl: Option<&glow::Context>) {
        self.texture = None;
    }
}
