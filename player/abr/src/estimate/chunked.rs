//! Throughput of segments that are sent while they are being made (chunked CMAF): between two chunks the link idles, so
//! bytes over time says how fast the encoder is, not the network. Only the bursts count: the rate within a chunk, idle
//! gaps left out, bursts too short to time merged, and the last one of a transfer dropped since its end is the
//! transfer's (dash.js `moofParsing`; ACTE, NOSSDAV 2019).

use std::{collections::VecDeque, time::Duration};

use super::{Estimator, Sample};

/// A pause of at least this long between two arrivals ends a burst.
const IDLE_GAP: Duration = Duration::from_millis(8);
/// A burst shorter than this says nothing by itself: it is merged with the next.
const MIN_BURST: Duration = Duration::from_millis(2);
/// Bursts that are remembered.
const WINDOW: usize = 32;

/// See the module's page.
#[derive(Clone, Debug, Default)]
pub struct Chunked {
    bursts: VecDeque<Sample>,
    whole: VecDeque<Sample>,
    merging: Sample,
    open: Option<Burst>,
}

#[derive(Clone, Copy, Debug)]
struct Burst {
    begun: Duration,
    last: Duration,
    bytes: u64,
}

impl Chunked {
    /// Nothing known yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn merge(&mut self, sample: Sample) {
        self.merging.bytes += sample.bytes;
        self.merging.busy += sample.busy;
        if self.merging.busy >= MIN_BURST && self.merging.bytes > 0 {
            let merged = std::mem::take(&mut self.merging);
            push(&mut self.bursts, merged);
        }
    }
}

fn push(window: &mut VecDeque<Sample>, sample: Sample) {
    window.push_back(sample);
    if window.len() > WINDOW {
        window.pop_front();
    }
}

impl Estimator for Chunked {
    /// Whole transfers count only while no burst was seen: where nothing is sent in chunks.
    fn add(&mut self, sample: &Sample) {
        push(&mut self.whole, *sample);
    }

    fn arrived(&mut self, now: Duration, bytes: u64) {
        match &mut self.open {
            Some(burst) if now.saturating_sub(burst.last) < IDLE_GAP => {
                burst.last = now;
                burst.bytes += bytes;
            }
            open => {
                // What comes first after a pause was under way during it: it begins a burst and is not counted.
                let done = open.replace(Burst { begun: now, last: now, bytes: 0 });
                if let Some(done) = done {
                    self.merge(Sample {
                        bytes: done.bytes,
                        busy: done.last.saturating_sub(done.begun),
                        ..Sample::default()
                    });
                }
            }
        }
    }

    /// What is open is the transfer's last chunk, and is dropped.
    fn finished(&mut self) {
        self.open = None;
    }

    fn bps(&self, pending: Option<&Sample>) -> Option<f64> {
        let (mut bytes, mut seconds) = (0.0, 0.0);
        let window = if self.bursts.is_empty() { &self.whole } else { &self.bursts };
        for sample in window {
            bytes += sample.bytes as f64;
            seconds += sample.busy.as_secs_f64();
        }
        let now = (seconds > 0.0).then(|| bytes * 8.0 / seconds)?;
        // A silent transfer is an idle encoder until the silence is long.
        Some(match pending {
            Some(sample) if sample.busy > Duration::from_secs(1) => now.min(sample.bps().max(now * 0.1)),
            _ => now,
        })
    }

    fn seed(&mut self, bps: f64) {
        if self.whole.is_empty() {
            self.whole.push_back(Sample {
                bytes: (bps / 80.0) as u64,
                busy: Duration::from_millis(100),
                ..Sample::default()
            });
        }
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}
