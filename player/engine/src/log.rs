//! The session's record: one JSON object a line (`docs/events.md`), and the figures of its summary.
//!
//! Lines are written and flushed one by one by a thread of their own, so that a reader sees each at once, a process
//! that is killed loses none, and a reader that stops reading never holds playback up.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    time::Duration,
};

use weir_abr::{
    qoe::{self, Reader},
    record::{Entry, Event},
};

/// Lines that may wait for a slow reader: about ten minutes' worth.
const WAITING: usize = 8192;

/// How long a closing session waits for a slow reader.
const CLOSING: Duration = Duration::from_secs(2);

/// Writes entries, and adds them up.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    lines: Option<SyncSender<Entry>>,
    /// Hangs up when the writer is done.
    written: Option<Receiver<()>>,
    lost: u64,
    figures: Figures,
    reader: Reader,
    newest: Duration,
}

/// The record cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("could not open {path} to write the session's record: {source}")]
pub(crate) struct OpenError {
    path: String,
    source: io::Error,
}

impl Recorder {
    /// Writes to `path`, or to standard output when it is `-`; `None` only adds up.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, OpenError> {
        let silent = Self::default();
        let Some(path) = path else { return Ok(silent) };
        let out: Box<dyn Write + Send> = if path.as_os_str() == "-" {
            Box::new(io::stdout())
        } else {
            let file = File::create(path)
                .map_err(|source| OpenError { path: path.display().to_string(), source })?;
            Box::new(file)
        };
        let (lines, waiting) = sync_channel(WAITING);
        let (writing, written) = sync_channel(1);
        std::thread::Builder::new()
            .name("weir-log".to_owned())
            .spawn(move || {
                write_lines(&waiting, out);
                drop(writing);
            })
            .map_err(|source| OpenError { path: path.display().to_string(), source })?;
        Ok(Self { lines: Some(lines), written: Some(written), ..silent })
    }

    /// Takes in what happened at `at` since the session's start.
    pub(crate) fn note(&mut self, at: Duration, event: Event) {
        self.figures.add(at, &event);
        // A download's end is known to the moment, and may be told after something later: the record goes by time.
        self.newest = self.newest.max(at);
        let entry = Entry { t_ms: millis(self.newest), event };
        self.reader.read(&entry);
        let Some(lines) = &self.lines else { return };
        match lines.try_send(entry) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.lost += 1,
            // The reader is gone (a closed pipe): go on without a record.
            Err(TrySendError::Disconnected(_)) => self.lines = None,
        }
    }

    /// What the entries so far add up to.
    pub(crate) fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Writes the summary and waits, for a bounded time, until all is written.
    pub(crate) fn close(mut self, at: Duration, frames: (u64, u64)) {
        if self.lost > 0 {
            let reason = format!("{} lines of this record were lost: its reader was too slow", self.lost);
            self.note(at, Event::Error { fatal: false, code: "record_overflow".to_owned(), reason });
        }
        let session = std::mem::take(&mut self.reader).finish();
        let (frames, dropped) = frames;
        self.note(at, rounded(qoe::Figures::of(&session).summary(dropped, frames)));
        self.lines = None;
        if let Some(written) = self.written.take()
            && written.recv_timeout(CLOSING) == Err(RecvTimeoutError::Timeout)
        {
            tracing::warn!("the end of the session's record was not read in time");
        }
    }
}

fn write_lines(entries: &Receiver<Entry>, out: Box<dyn Write + Send>) {
    let mut out = BufWriter::new(out);
    for entry in entries {
        let written = serde_json::to_writer(&mut out, &entry)
            .map_err(io::Error::from)
            .and_then(|()| out.write_all(b"\n"))
            .and_then(|()| out.flush());
        if let Err(error) = written {
            tracing::warn!(%error, "the session's record ends here: its reader is gone");
            return;
        }
    }
}

/// The summary with its figures to thousandths.
fn rounded(event: Event) -> Event {
    match event {
        Event::Summary {
            startup_ms,
            rebuffer_ms,
            rebuffer_count,
            played_s,
            played_kbps,
            switches,
            qoe_lin,
            qoe_log,
            qoe_s,
            sabre_score,
            dropped_frames,
            frames,
            bytes,
            wasted_bytes,
        } => Event::Summary {
            startup_ms: startup_ms.map(round),
            rebuffer_ms: round(rebuffer_ms),
            rebuffer_count,
            played_s: round(played_s),
            played_kbps: round(played_kbps),
            switches,
            qoe_lin: qoe_lin.map(round),
            qoe_log: qoe_log.map(round),
            qoe_s: qoe_s.map(round),
            sabre_score: sabre_score.map(round),
            dropped_frames,
            frames,
            bytes,
            wasted_bytes,
        },
        other => other,
    }
}

/// To thousandths: more digits than any measurement here has, fewer than a bare f64 prints.
pub(crate) fn round(value: f64) -> f64 {
    // The sum turns a negative zero into a plain one.
    (value * 1000.0).round() / 1000.0 + 0.0
}

/// Seconds, to the millisecond.
pub(crate) fn seconds(time: Duration) -> f64 {
    round(time.as_secs_f64())
}

/// Milliseconds, to the microsecond.
pub(crate) fn millis(time: Duration) -> f64 {
    round(time.as_secs_f64() * 1000.0)
}

/// What a window shows of a session's quality while it goes on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    /// Stalls that began.
    pub(crate) stalls: u32,
    /// Time stalled, those that ended.
    stalled: Duration,
    stalled_since: Option<Duration>,
    /// Switches of the picture's rung.
    pub(crate) switches: u32,
}

impl Figures {
    fn add(&mut self, at: Duration, event: &Event) {
        match event {
            Event::StallStart { .. } => {
                self.stalls += 1;
                self.stalled_since = Some(at);
            }
            Event::StallEnd { .. } => {
                if let Some(since) = self.stalled_since.take() {
                    self.stalled += at.saturating_sub(since);
                }
            }
            Event::Switch { .. } => self.switches += 1,
            _ => {}
        }
    }

    /// Time stalled until `at`, a stall that goes on included.
    pub(crate) fn stalled_at(&self, at: Duration) -> Duration {
        self.stalled + self.stalled_since.map_or(Duration::ZERO, |since| at.saturating_sub(since))
    }
}

#[cfg(test)]
mod tests {
    use weir_abr::{RungId, TrackKind};

    use super::*;

    #[test]
    fn writes_one_object_a_line_and_a_summary_that_adds_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut recorder = Recorder::open(Some(&path)).unwrap();
        let at = Duration::from_millis;
        let segment = |index: u64, kbps: f64| Event::Segment {
            track: TrackKind::Video,
            index,
            rung: RungId(index as usize),
            kbps,
            bytes: 1000,
            ms: 100.0,
            ttfb_ms: 10.0,
            start_s: index as f64 * 2.0,
            duration_s: 2.0,
            replaced: false,
            buffer_s: 2.0,
            sized: false,
            progress: Vec::new(),
        };
        let position = |pos_s: f64| Event::Position { pos_s, buffer_s: 1.0, height: 360 };
        recorder.note(at(300), segment(0, 1000.0));
        recorder.note(at(310), segment(1, 3000.0));
        recorder.note(at(400), Event::FirstFrame { height: 360 });
        recorder.note(at(400), position(0.0));
        recorder.note(at(2400), position(2.0));
        recorder.note(at(2400), Event::StallStart { pos_s: 2.0 });
        recorder.note(at(2900), Event::StallEnd { pos_s: 2.0, ms: 500.0 });
        recorder.note(at(2900), Event::Switch { from_kbps: 1000.0, to_kbps: 3000.0, pos_s: 2.0 });
        recorder.note(at(4900), position(4.0));
        assert_eq!(recorder.figures().stalled_at(at(4900)), at(500));
        recorder.close(at(4900), (120, 3));

        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Entry> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 10);
        let Event::Summary { startup_ms, rebuffer_ms, rebuffer_count, played_kbps, switches, frames, .. } =
            lines[9].event
        else {
            panic!("the last line is no summary: {text}");
        };
        assert_eq!((startup_ms, rebuffer_ms, rebuffer_count), (Some(400.0), 500.0, 1));
        assert_eq!((played_kbps, switches, frames), (2000.0, 1, 120));
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = Recorder::open(Some(Path::new("/nowhere/at/all.jsonl"))).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all.jsonl"));
    }
}
