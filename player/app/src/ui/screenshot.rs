//! Saving the window's picture.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use egui::ColorImage;

/// What became of screenshots that are being saved.
pub(crate) type Reports = Arc<Mutex<Vec<Result<PathBuf, String>>>>;

/// Asks for the window's picture and saves it as `file` in a thread of its own; the report comes later.
pub(crate) fn take(ctx: &egui::Context, file: PathBuf, reports: &Reports) {
    let reports = Arc::clone(reports);
    let waker = ctx.clone();
    ctx.request_screenshot(move |image| {
        let work = move || {
            let report = save(&image, &file).map(|()| file);
            reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
            waker.request_repaint();
        };
        if let Err(error) = std::thread::Builder::new().name("weir-screenshot".to_owned()).spawn(work) {
            tracing::warn!("the screenshot was not saved: {error}");
        }
    });
}

fn save(image: &ColorImage, file: &Path) -> Result<(), String> {
    let [width, height] = image.size;
    let rgb: Vec<u8> = image.pixels.iter().flat_map(|pixel| [pixel.r(), pixel.g(), pixel.b()]).collect();
    let failed =
        |error: &dyn std::fmt::Display| format!("cannot save a screenshot as {}: {error}", file.display());
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    }
    // Written whole before it gets its name: whoever waits for the file can read it.
    let new = file.with_extension("part");
    image::save_buffer_with_format(
        &new,
        &rgb,
        width as u32,
        height as u32,
        image::ColorType::Rgb8,
        image::ImageFormat::Png,
    )
    .map_err(|error| failed(&error))?;
    std::fs::rename(&new, file).map_err(|error| failed(&error))
}

/// A new name in `folder`: the stream's name and the time.
pub(crate) fn name(folder: &Path, title: &str) -> PathBuf {
    let plain: String = title.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).take(60).collect();
    let plain = plain.trim_matches('-');
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    folder.join(format!("{}-{seconds}.png", if plain.is_empty() { "weir" } else { plain }))
}

#[cfg(test)]
mod tests {
    use egui::Color32;

    use super::*;

    #[test]
    fn a_screenshot_is_a_png_of_the_window() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/shot.png");
        let image = ColorImage::new([3, 2], vec![Color32::from_rgb(10, 20, 30); 6]);
        save(&image, &file).unwrap();
        let back = image::open(&file).unwrap().to_rgb8();
        assert_eq!((back.dimensions(), back.get_pixel(2, 1).0), ((3, 2), [10, 20, 30]));
        assert!(save(&image, &file.join("not a folder/x.png")).unwrap_err().contains("cannot save"));
    }

    #[test]
    fn names_hold_nothing_that_a_file_system_minds() {
        let path = name(Path::new("/p"), "../Große Film: Teil 1/2?");
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("Große-Film--Teil-1-2-") && name.ends_with(".png"), "{name}");
        assert!(name == path.strip_prefix("/p").unwrap().to_str().unwrap());
        assert!(super::name(Path::new("/p"), "???").to_str().unwrap().starts_with("/p/weir-"));
    }
}
