//! The link as Sabre models it: one download at a time, at the trace's rate, after the trace's latency.

use crate::trace::{Point, Trace};

/// Whether to give up is asked after so many bits and so many ms, whichever comes later.
const CHECK_BITS: f64 = 12_000.0;
const CHECK_MS: f64 = 50.0;

/// A download at an end, or on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Download {
    pub(super) rung: usize,
    /// Bits in all.
    pub(super) size: f64,
    /// Bits so far.
    pub(super) got: f64,
    /// Since the request, in ms.
    pub(super) time: f64,
    /// To the first bit, in ms.
    pub(super) ttfb: f64,
}

/// Decides whether a download is given up.
pub(super) trait Judge {
    /// What comes of giving up.
    type Verdict;

    /// Asked after each piece.
    fn check(&mut self, download: &Download) -> Option<Self::Verdict>;

    /// Whether [`check`](Self::check) would say no however often it is asked during the next `ms` at `kbps`: those
    /// checks are then left out, which changes nothing but the time that it takes.
    fn is_quiet(&self, download: &Download, ms: f64, kbps: f64) -> bool;
}

#[derive(Clone, Debug)]
pub(super) struct Network<'a> {
    points: &'a [Point],
    at: usize,
    left_ms: f64,
}

impl<'a> Network<'a> {
    pub(super) fn new(trace: &'a Trace) -> Self {
        let points = trace.points();
        Self { points, at: 0, left_ms: points[0].duration_ms }
    }

    /// The point in force.
    pub(super) fn point(&self) -> Point {
        self.points[self.at]
    }

    fn next(&mut self) {
        self.at += 1;
        if self.at == self.points.len() {
            self.at = 0;
        }
        self.left_ms = self.points[self.at].duration_ms;
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, mut time_ms: f64) {
        while time_ms > self.left_ms {
            time_ms -= self.left_ms;
            self.next();
        }
        self.left_ms -= time_ms;
    }

    /// One latency, split in proportion where the trace changes during it.
    fn wait_latency(&mut self) -> f64 {
        let mut share = 1.0;
        let mut total = 0.0;
        while share > 0.0 {
            let latency = self.point().latency_ms;
            let time = share * latency;
            if time <= self.left_ms {
                total += time;
                self.left_ms -= time;
                break;
            }
            total += self.left_ms;
            share -= self.left_ms / latency;
            self.next();
        }
        total
    }

    fn receive(&mut self, mut bits: f64) -> f64 {
        let mut total = 0.0;
        while bits > 0.0 {
            let kbps = self.point().kbps;
            if bits <= self.left_ms * kbps {
                let time = bits / kbps;
                total += time;
                self.left_ms -= time;
                break;
            }
            total += self.left_ms;
            bits -= self.left_ms * kbps;
            self.next();
        }
        total
    }

    /// Receives until the next check is due, or to the end: bits and time.
    fn receive_some(&mut self, mut bits: f64, mut min_ms: f64) -> (f64, f64) {
        let mut min_bits = CHECK_BITS;
        let (mut total_bits, mut total_ms) = (0.0, 0.0);
        while bits > 0.0 && (min_bits > 0.0 || min_ms > 0.0) {
            let kbps = self.point().kbps;
            let (got, time);
            if kbps > 0.0 {
                let wanted = f64::max(min_bits, min_ms * kbps);
                let room = self.left_ms * kbps;
                if bits <= wanted && bits <= room {
                    got = bits;
                    time = got / kbps;
                    self.left_ms -= time;
                } else if wanted <= room {
                    got = wanted;
                    time = got / kbps;
                    // Rounding must not leave a rest that is waited for.
                    min_bits = 0.0;
                    min_ms = 0.0;
                    self.left_ms -= time;
                } else {
                    got = room;
                    time = self.left_ms;
                    self.next();
                }
            } else {
                got = 0.0;
                if min_bits > 0.0 || min_ms > self.left_ms {
                    time = self.left_ms;
                    self.next();
                } else {
                    time = min_ms;
                    self.left_ms -= time;
                }
            }
            total_bits += got;
            total_ms += time;
            bits -= got;
            min_bits -= got;
            min_ms -= time;
        }
        (total_bits, total_ms)
    }

    /// A whole download.
    pub(super) fn fetch(&mut self, rung: usize, size: f64) -> Download {
        let ttfb = self.wait_latency();
        let time = ttfb + self.receive(size);
        Download { rung, size, got: size, time, ttfb }
    }

    /// A download that `judge` may give up, asked again and again.
    pub(super) fn fetch_judged<J: Judge>(
        &mut self,
        rung: usize,
        size: f64,
        judge: &mut J,
    ) -> (Download, Option<J::Verdict>) {
        let ttfb = self.wait_latency();
        let mut download = Download { rung, size, got: 0.0, time: ttfb, ttfb };
        // The first check counts from the request, the others from the check before.
        let mut min_ms = CHECK_MS - ttfb;
        loop {
            let (bits, time) = self.receive_some(size - download.got, min_ms);
            min_ms = CHECK_MS;
            download.time += time;
            download.got += bits;
            if download.got >= size {
                return (download, None);
            }
            if let Some(verdict) = judge.check(&download) {
                return (download, Some(verdict));
            }
            let kbps = self.point().kbps;
            if kbps > 0.0 {
                let bits = f64::max(CHECK_BITS, CHECK_MS * kbps);
                // The last piece of the point and of the download are left to the loop.
                let count = ((self.left_ms * kbps).min(size - download.got) / bits - 1.0).floor();
                let time = count * bits / kbps;
                if count > 1.0 && judge.is_quiet(&download, time, kbps) {
                    // One by one: the sums must be rounded as in Sabre, whose stalls can be of no length but rounding.
                    let step = bits / kbps;
                    for _ in 0..count as u64 {
                        download.got += bits;
                        download.time += step;
                        self.left_ms -= step;
                    }
                }
            }
        }
    }
}
