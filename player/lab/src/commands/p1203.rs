//! Input for implementations of ITU-T P.1203.

use std::path::Path;

use anyhow::Context as _;
use weir_abr::qoe::{P1203, Session};

/// Assumed: a record tells neither the frame rate nor the bitrate of sound that comes with the pictures.
const FRAME_RATE: f64 = 24.0;
const AUDIO_KBPS: f64 = 128.0;

/// Writes mode 0 input of a session.
pub(super) fn write(path: &Path, session: &Session) -> anyhow::Result<()> {
    let writing = || format!("writing {}", path.display());
    let input = P1203::of(session, FRAME_RATE, AUDIO_KBPS);
    let text = serde_json::to_string_pretty(&input).with_context(writing)?;
    std::fs::write(path, text + "\n").with_context(writing)
}
