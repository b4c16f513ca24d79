//! Small pictures above the scrub bar.

use std::time::Duration;

use egui::{ColorImage, Rect, TextureHandle, TextureOptions, Ui, pos2, vec2};
use weir_engine::{Crop, Thumbnail, ThumbnailImage};

use super::tokens;

/// Images that are held as textures.
const KEPT: usize = 8;
/// Largest image that is decoded, in pixels on each side and in all.
const LARGEST: (u32, u64) = (8192, 16 * 1024 * 1024);
/// A pointer that moves less is asked for nothing new.
const STEP: Duration = Duration::from_millis(200);

/// Images on their way to the screen.
#[derive(Default)]
pub(crate) struct Thumbs {
    /// The one that was used last at the end; none where it could not be read.
    textures: Vec<(String, Option<TextureHandle>)>,
    asked: Option<Duration>,
    wish: Option<Option<Duration>>,
}

impl Thumbs {
    /// The pointer is over this place of the bar, or elsewhere.
    pub(crate) fn pointed(&mut self, at: Option<Duration>) {
        let near = match (self.asked, at) {
            (Some(asked), Some(at)) => asked.abs_diff(at) < STEP,
            (None, None) => true,
            _ => false,
        };
        if !near {
            self.asked = at;
            self.wish = Some(at);
        }
    }

    /// What the session is to be asked for.
    pub(crate) fn take_wish(&mut self) -> Option<Option<Duration>> {
        self.wish.take()
    }

    /// Draws one above `bottom`, around `x`.
    pub(crate) fn paint(&mut self, ui: &Ui, thumbnail: &Thumbnail, x: f32, bottom: f32) {
        let Some(texture) = self.texture(ui, thumbnail) else { return };
        let whole = texture.size_vec2();
        let Some((uv, size)) = part(thumbnail.crop, whole) else { return };
        let (widest, highest) = tokens::THUMBNAIL;
        let scale = (widest / size.x).min(highest / size.y);
        let size = size * scale;
        let area = ui.clip_rect().shrink(4.0);
        let left = (x - size.x / 2.0).clamp(area.left(), (area.right() - size.x).max(area.left()));
        let place = Rect::from_min_size(pos2(left, bottom - size.y), size);
        let colour = egui::Color32::WHITE.gamma_multiply(ui.opacity());
        ui.painter().rect_filled(place.expand(2.0), tokens::ROUND, tokens::GLASS);
        ui.painter().image(texture.id(), place, uv, colour);
    }

    fn texture(&mut self, ui: &Ui, thumbnail: &Thumbnail) -> Option<TextureHandle> {
        if let Some(at) = self.textures.iter().position(|(id, _)| *id == thumbnail.id) {
            let entry = self.textures.remove(at);
            self.textures.push(entry.clone());
            return entry.1;
        }
        let texture = read(&thumbnail.image)
            .map(|image| ui.ctx().load_texture("thumbnails", image, TextureOptions::LINEAR));
        if self.textures.len() >= KEPT {
            self.textures.remove(0);
        }
        self.textures.push((thumbnail.id.clone(), texture.clone()));
        texture
    }
}

/// What a picture looks like; one that is not as large as it says, or broken, is none.
fn read(image: &ThumbnailImage) -> Option<ColorImage> {
    match image {
        ThumbnailImage::Encoded(bytes) => decode(bytes),
        ThumbnailImage::Rgba { width, height, bytes } => {
            let size = [*width as usize, *height as usize];
            let whole = size[0] * size[1] * 4 == bytes.len() && !bytes.is_empty();
            whole.then(|| ColorImage::from_rgba_premultiplied(size, bytes))
        }
    }
}

/// Reads an image; one that is too large or broken is none.
fn decode(bytes: &[u8]) -> Option<ColorImage> {
    let mut reader = image::ImageReader::new(std::io::Cursor::new(bytes)).with_guessed_format().ok()?;
    let mut limits = image::Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(LARGEST.0), Some(LARGEST.0));
    limits.max_alloc = Some(LARGEST.1 * 4);
    reader.limits(limits);
    let image = reader.decode().ok()?.to_rgba8();
    let (width, height) = image.dimensions();
    if u64::from(width) * u64::from(height) > LARGEST.1 {
        return None;
    }
    Some(ColorImage::from_rgba_unmultiplied([width as usize, height as usize], image.as_raw()))
}

/// The part of an image in texture coordinates, and its size in pixels; `None` when it is not inside of the image.
fn part(crop: Crop, whole: egui::Vec2) -> Option<(Rect, egui::Vec2)> {
    let (min, size) = match crop {
        Crop::Whole => (pos2(0.0, 0.0), whole),
        Crop::Pixels { x, y, width, height } => (pos2(x as f32, y as f32), vec2(width as f32, height as f32)),
        Crop::Tile { column, row, columns, rows } => {
            let size = vec2(whole.x / columns.max(1) as f32, whole.y / rows.max(1) as f32);
            (pos2(size.x * column as f32, size.y * row as f32), size)
        }
    };
    let area = Rect::from_min_size(min, size);
    let inside =
        area.right() <= whole.x + 0.5 && area.bottom() <= whole.y + 0.5 && size.x >= 1.0 && size.y >= 1.0;
    let scaled = |at: egui::Pos2| pos2(at.x / whole.x, at.y / whole.y);
    inside.then(|| (Rect::from_min_max(scaled(area.min), scaled(area.max)), size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_an_image_is_found_and_one_outside_is_none() {
        let whole = vec2(1600.0, 900.0);
        let (uv, size) = part(Crop::Pixels { x: 160, y: 90, width: 160, height: 90 }, whole).unwrap();
        assert_eq!((uv.min, size), (pos2(0.1, 0.1), vec2(160.0, 90.0)));
        let tile = Crop::Tile { column: 9, row: 4, columns: 10, rows: 5 };
        let (uv, size) = part(tile, whole).unwrap();
        assert!((uv.max - pos2(1.0, 1.0)).length() < 1e-5 && size == vec2(160.0, 180.0));
        assert_eq!(part(Crop::Pixels { x: 1500, y: 0, width: 160, height: 90 }, whole), None);
        assert!(part(Crop::Whole, whole).is_some());
    }

    #[test]
    fn the_session_is_asked_again_only_when_the_pointer_moved() {
        let mut thumbs = Thumbs::default();
        thumbs.pointed(None);
        assert_eq!(thumbs.take_wish(), None);
        thumbs.pointed(Some(Duration::from_secs(5)));
        assert_eq!(thumbs.take_wish(), Some(Some(Duration::from_secs(5))));
        thumbs.pointed(Some(Duration::from_millis(5100)));
        assert_eq!(thumbs.take_wish(), None);
        thumbs.pointed(None);
        assert_eq!(thumbs.take_wish(), Some(None));
    }

    #[test]
    fn what_is_no_image_is_none() {
        assert!(decode(b"<html>").is_none());
        assert!(decode(&[0xff, 0xd8, 0xff, 0xe0, 0, 16]).is_none());
    }
}
