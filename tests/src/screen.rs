//! A display without a monitor, and what is on it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};

use crate::test_card::Luma;

/// A running Xvfb whose frame buffer is a file that can be read at any time.
#[derive(Debug)]
pub struct Screen {
    process: Child,
    folder: tempfile::TempDir,
    /// Like `:99`.
    pub display: String,
}

/// A picture of the whole screen.
#[derive(Debug)]
pub struct Shot {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// R, G, B a pixel.
    pub rgb: Vec<u8>,
}

impl Screen {
    /// Starts one with a screen of this size.
    pub fn start(width: usize, height: usize) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut process = Command::new("Xvfb")
            .args(["-displayfd", "1", "-nolisten", "tcp", "-screen", "0"])
            .arg(format!("{width}x{height}x24"))
            .arg("-fbdir")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("starting Xvfb (`make deps-test` installs it)")?;
        let mut number = String::new();
        let stdout = process.stdout.take().context("piped")?;
        BufReader::new(stdout).read_line(&mut number)?;
        ensure!(!number.trim().is_empty(), "Xvfb ended without naming its display");
        Ok(Self { process, folder, display: format!(":{}", number.trim()) })
    }

    /// What is on it now (the XWD file that Xvfb keeps; X11/XWDFile.h).
    pub fn shot(&self) -> anyhow::Result<Shot> {
        let file = fs::read(self.folder.path().join("Xvfb_screen0"))?;
        let field = |index: usize| {
            let bytes = file.get(index * 4..index * 4 + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map(|bytes| u32::from_be_bytes(bytes) as usize).context("the XWD header is cut short")
        };
        let (header, width, height, stride, colors) =
            (field(0)?, field(4)?, field(5)?, field(12)?, field(19)?);
        ensure!(field(11)? == 32 && field(7)? == 0, "only 32 bits a pixel, least significant byte first");
        let pixels = file.get(header + colors * 12..).context("no pixels")?;
        ensure!(pixels.len() >= stride * height, "the XWD file is cut short");
        let mut rgb = Vec::with_capacity(width * height * 3);
        for row in pixels.chunks(stride).take(height) {
            for pixel in row.chunks_exact(4).take(width) {
                rgb.extend([pixel[2], pixel[1], pixel[0]]);
            }
        }
        Ok(Shot { width, height, rgb })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Shot {
    /// In grey.
    pub fn luma(&self) -> Luma {
        let data = self
            .rgb
            .chunks_exact(3)
            .map(|p| ((u32::from(p[0]) * 54 + u32::from(p[1]) * 183 + u32::from(p[2]) * 19) >> 8) as u8)
            .collect();
        Luma { width: self.width, height: self.height, data }
    }

    /// Writes it as a PNG.
    pub fn save(&self, path: &std::path::Path) -> anyhow::Result<()> {
        image::save_buffer(path, &self.rgb, self.width as u32, self.height as u32, image::ColorType::Rgb8)
            .with_context(|| format!("writing {}", path.display()))
    }
}

/// Calls `look` until it gives something.
pub fn until<T>(
    patience: Duration,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let end = std::time::Instant::now() + patience;
    loop {
        if let Some(value) = look()? {
            return Ok(value);
        }
        ensure!(std::time::Instant::now() < end, "nothing within {patience:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
