//! THROUGHPUT: the highest rung below 0.9 of the throughput.

use super::{
    Film,
    average::Expected,
    network::Download,
    rule::{Choice, View},
};

const SAFETY: f64 = 0.9;
/// A download that takes longer than so many segment lengths is given up.
const GIVE_UP_FACTOR: f64 = 1.8;
/// But not earlier than this.
const GRACE_MS: f64 = 500.0;

/// The insufficient-buffer rule: what a shrinking share of the buffer can bring.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShortBuffer {
    safety: f64,
}

impl ShortBuffer {
    const FIRST: f64 = 0.9;
    const LAST: f64 = 0.5;

    pub(super) fn new() -> Self {
        Self { safety: Self::FIRST }
    }

    /// The rung below the first one that is too large, when that is below `rung`.
    pub(super) fn limit(&mut self, view: &View<'_>, rung: usize) -> Option<usize> {
        let safe_bits = self.safety * (view.level_ms - view.expected.latency_ms) * view.expected.kbps;
        self.safety = f64::max(self.safety * Self::FIRST, Self::LAST);
        (0..rung).find(|at| view.film.kbps[at + 1] * view.film.segment_ms > safe_bits)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Throughput {
    short_buffer: ShortBuffer,
}

impl Throughput {
    pub(super) fn new() -> Self {
        Self { short_buffer: ShortBuffer::new() }
    }

    pub(super) fn choose(&mut self, view: &View<'_>) -> Choice {
        let rung = view.film.sustained(view.expected.kbps * SAFETY, view.expected.latency_ms);
        (self.short_buffer.limit(view, rung).unwrap_or(rung), 0.0)
    }

    pub(super) fn give_up(film: &Film, expected: Expected, download: &Download) -> Option<usize> {
        let receiving = download.time - download.ttfb;
        if download.time < GRACE_MS || receiving <= 0.0 {
            return None;
        }
        let kbps = download.got / receiving;
        let left = download.size - download.got;
        if download.time + left / kbps <= GIVE_UP_FACTOR * film.segment_ms {
            return None;
        }
        let rung = film.sustained(kbps * SAFETY, expected.latency_ms);
        let size = download.size * film.kbps[rung] / film.kbps[download.rung];
        (rung < download.rung && size < left).then_some(rung)
    }
}
