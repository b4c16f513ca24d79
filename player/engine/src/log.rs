//! The session's record: one JSON object a line (`docs/events.md`), and the figures of its summary.
//!
//! Lines are written and flushed one by one by a thread of their own, so that a reader sees each at once, a process
//! that is killed loses none, and a reader that stops reading never holds playback up.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use weir_abr::record::{Entry, Event};

/// Lines that may wait for a slow reader: about ten minutes' worth.
const WAITING: usize = 8192;

/// How long a closing session waits for a slow reader.
const CLOSING: Duration = Duration::from_secs(2);

/// Writes entries, and adds them up.
#[derive(Debug)]
pub(crate) struct Recorder {
    lines: Option<SyncSender<Entry>>,
    writer: Option<JoinHandle<()>>,
    lost: u64,
    figures: Figures,
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
        let silent = Self { lines: None, writer: None, lost: 0, figures: Figures::default() };
        let Some(path) = path else { return Ok(silent) };
        let out: Box<dyn Write + Send> = if path.as_os_str() == "-" {
            Box::new(io::stdout())
        } else {
            let file = File::create(path)
                .map_err(|source| OpenError { path: path.display().to_string(), source })?;
            Box::new(file)
        };
        let (lines, waiting) = sync_channel(WAITING);
        let writer = std::thread::Builder::new()
            .name("weir-log".to_owned())
            .spawn(move || write_lines(&waiting, out))
            .map_err(|source| OpenError { path: path.display().to_string(), source })?;
        Ok(Self { lines: Some(lines), writer: Some(writer), ..silent })
    }

    /// Takes in what happened at `at` since the session's start.
    pub(crate) fn note(&mut self, at: Duration, event: Event) {
        self.figures.add(at, &event);
        let Some(lines) = &self.lines else { return };
        match lines.try_send(Entry { t_ms: round(at.as_secs_f64() * 1000.0), event }) {
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

    /// For what no entry says.
    pub(crate) fn figures_mut(&mut self) -> &mut Figures {
        &mut self.figures
    }

    /// Writes the summary and waits, for a bounded time, until all is written.
    pub(crate) fn close(mut self, at: Duration, frames: (u64, u64)) {
        if self.lost > 0 {
            let reason = format!("{} lines of this record were lost: its reader was too slow", self.lost);
            self.note(at, Event::Error { fatal: false, code: "record_overflow".to_owned(), reason });
        }
        let summary = self.figures.summary(at, frames);
        self.note(at, summary);
        self.lines = None;
        let Some(writer) = self.writer.take() else { return };
        let deadline = Instant::now() + CLOSING;
        while !writer.is_finished() && Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(5));
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

/// To thousandths: more digits than any measurement here has, fewer than a bare f64 prints.
pub(crate) fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Seconds, to the millisecond.
pub(crate) fn seconds(time: Duration) -> f64 {
    round(time.as_secs_f64())
}

/// Milliseconds, to the microsecond.
pub(crate) fn millis(time: Duration) -> f64 {
    round(time.as_secs_f64() * 1000.0)
}

/// What a session adds up to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// Session's start to first picture.
    pub(crate) startup: Option<Duration>,
    /// Stalls that began.
    pub(crate) stalls: u32,
    /// Time stalled, those that ended.
    pub(crate) stalled: Duration,
    /// Switches of the picture's rung.
    pub(crate) switches: u32,
    /// Media played.
    pub(crate) played: Duration,
    /// Bits of it.
    played_bits: f64,
    /// Sum of the switches' heights, in Mbit/s.
    switched_mbps: f64,
    /// Bitrate of the picture at the sink, in kbit/s.
    showing_kbps: Option<f64>,
    stalled_since: Option<Duration>,
    bytes: u64,
    wasted: u64,
}

impl Figures {
    fn add(&mut self, at: Duration, event: &Event) {
        match event {
            Event::FirstFrame { .. } => {
                self.startup.get_or_insert(at);
            }
            Event::StallStart { .. } => {
                self.stalls += 1;
                self.stalled_since = Some(at);
            }
            Event::StallEnd { .. } => {
                if let Some(since) = self.stalled_since.take() {
                    self.stalled += at.saturating_sub(since);
                }
            }
            Event::Switch { from_kbps, to_kbps, .. } => {
                self.switches += 1;
                self.switched_mbps += (to_kbps - from_kbps).abs() / 1000.0;
            }
            Event::Segment { bytes, .. } => self.bytes += bytes,
            Event::Abort { bytes, .. } => {
                self.bytes += bytes;
                self.wasted += bytes;
            }
            _ => {}
        }
    }

    /// `time` of media was shown at `kbps`.
    pub(crate) fn played(&mut self, time: Duration, kbps: f64) {
        self.played += time;
        self.played_bits += time.as_secs_f64() * kbps * 1000.0;
        self.showing_kbps = Some(kbps);
    }

    /// Bytes that were fetched, buffered, and thrown away again.
    pub(crate) fn wasted(&mut self, bytes: u64) {
        self.wasted += bytes;
    }

    /// Time stalled until `at`, a stall that goes on included.
    pub(crate) fn stalled_at(&self, at: Duration) -> Duration {
        self.stalled + self.stalled_since.map_or(Duration::ZERO, |since| at.saturating_sub(since))
    }

    /// Average bitrate of what was played, in kbit/s.
    pub(crate) fn played_kbps(&self) -> f64 {
        let seconds = self.played.as_secs_f64();
        if seconds > 0.0 { self.played_bits / seconds / 1000.0 } else { 0.0 }
    }

    fn summary(&self, at: Duration, (frames, dropped): (u64, u64)) -> Event {
        Event::Summary {
            startup_ms: self.startup.map(millis),
            rebuffer_ms: millis(self.stalled_at(at)),
            rebuffer_count: self.stalls,
            played_s: seconds(self.played),
            played_kbps: round(self.played_kbps()),
            switches: self.switches,
            qoe_lin: self.startup.map(|_| round(self.yin_linear(at))),
            dropped_frames: dropped,
            frames,
            bytes: self.bytes,
            wasted_bytes: self.wasted,
        }
    }

    /// Linear QoE of Yin et al., "A Control-Theoretic Approach for Dynamic Adaptive Video Streaming over HTTP"
    /// (SIGCOMM 2015), section 3.1, per played second: mean Mbit/s, less the switches, less the stalls.
    fn yin_linear(&self, at: Duration) -> f64 {
        let played = self.played.as_secs_f64();
        if played <= 0.0 {
            return 0.0;
        }
        let stalled = self.stalled_at(at).as_secs_f64();
        (self.played_bits / 1e6 - self.switched_mbps - stalled) / played
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_one_object_a_line_and_a_summary_that_adds_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut recorder = Recorder::open(Some(&path)).unwrap();
        let at = Duration::from_millis;
        recorder.note(at(400), Event::FirstFrame { height: 360 });
        recorder.figures.played(at(2000), 1000.0);
        recorder.note(at(2400), Event::StallStart { pos_s: 2.0 });
        recorder.note(at(2900), Event::StallEnd { pos_s: 2.0, ms: 500.0 });
        recorder.note(at(2900), Event::Switch { from_kbps: 1000.0, to_kbps: 3000.0, pos_s: 2.0 });
        recorder.figures.played(at(2000), 3000.0);
        recorder.close(at(4900), (120, 3));

        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Entry> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 5);
        let Event::Summary {
            startup_ms, rebuffer_ms, rebuffer_count, played_kbps, switches, qoe_lin, ..
        } = lines[4].event
        else {
            panic!("the last line is no summary: {text}");
        };
        assert_eq!((startup_ms, rebuffer_ms, rebuffer_count), (Some(400.0), 500.0, 1));
        assert_eq!((played_kbps, switches), (2000.0, 1));
        // 8 Mbit played, a switch of 2 Mbit/s, 0.5 s stalled, over 4 s.
        assert_eq!(qoe_lin, Some(1.375));
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = Recorder::open(Some(Path::new("/nowhere/at/all.jsonl"))).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all.jsonl"));
    }
}
