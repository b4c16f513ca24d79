//! The proxy's event log: one JSON object a request.

use std::{
    fs::File,
    io::Write as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use serde::Serialize;
use tokio::time::Instant;

/// Where finished requests are written to; does nothing without a file.
#[derive(Debug)]
pub(super) struct Journal {
    file: Option<Mutex<File>>,
    start: Instant,
}

/// One request, as a line of the log.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Line {
    /// Milliseconds since the proxy started, at the request's arrival.
    pub(super) t_ms: f64,
    /// Milliseconds since this client's trace started, at the request's arrival.
    pub(super) trace_ms: f64,
    pub(super) client: String,
    pub(super) method: String,
    pub(super) url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) range: Option<String>,
    pub(super) status: u16,
    /// Bytes of the body that were taken by the connection.
    pub(super) bytes: u64,
    /// From the request's arrival to the answer's head being ready to send.
    pub(super) head_ms: f64,
    /// From the request's arrival to the end of the body.
    pub(super) ms: f64,
    /// The body ended as it should have.
    pub(super) complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fault: Option<String>,
}

impl Journal {
    pub(super) fn open(path: Option<&Path>, start: Instant) -> anyhow::Result<Self> {
        let file = path
            .map(|path| {
                File::options()
                    .create(true)
                    .append(true)
                    .open(path)
                    .with_context(|| format!("opening the request log {}", path.display()))
            })
            .transpose()?
            .map(Mutex::new);
        Ok(Self { file, start })
    }

    pub(super) fn start(&self) -> Instant {
        self.start
    }

    fn write(&self, line: &Line) {
        let Some(file) = &self.file else { return };
        let Ok(mut text) = serde_json::to_vec(line) else { return };
        text.push(b'\n');
        if let Err(error) = file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&text) {
            tracing::warn!(%error, "cannot write to the request log");
        }
    }
}

/// A request under way; its line is written when this is dropped.
#[derive(Debug)]
pub(super) struct Entry {
    journal: Arc<Journal>,
    began: Instant,
    pub(super) line: Line,
}

impl Entry {
    pub(super) fn new(journal: Arc<Journal>, began: Instant, line: Line) -> Self {
        Self { journal, began, line }
    }

    pub(super) fn head_ready(&mut self, status: u16) {
        self.line.status = status;
        self.line.head_ms = self.elapsed_ms();
    }

    fn elapsed_ms(&self) -> f64 {
        (self.began.elapsed().as_secs_f64() * 1e6).round() / 1e3
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.line.ms = self.elapsed_ms();
        self.journal.write(&self.line);
    }
}
