//! The simulated network: requests wait for the latency, then share the link.

use crate::trace::Link;

/// How the transport behaves beyond the trace's rate and latency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transport {
    /// TCP slow start (RFC 5681): a connection begins with 10 segments a round trip and doubles that each
    /// round trip, anew after having been idle for longer than a second.
    pub slow_start: bool,
    /// Standing queue of a saturated link in milliseconds (bufferbloat): a request that is made while the link
    /// was busy waits for what is left of it.
    pub queue_ms: f64,
}

impl Default for Transport {
    /// Neither: as in Sabre.
    fn default() -> Self {
        Self { slow_start: false, queue_ms: 0.0 }
    }
}

/// Bits of ten segments of 1460 bytes (RFC 6928).
const INITIAL_WINDOW: f64 = 10.0 * 1460.0 * 8.0;
/// After so much silence the window is small again (RFC 5681, 4.1).
const IDLE_RESTART_MS: f64 = 1000.0;
/// With slow start, rates are looked at this often.
const SLICE_MS: f64 = 10.0;

/// One download.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    pub(super) id: u64,
    bits: f64,
    got: f64,
    first_byte_ms: f64,
    /// Highest rate that the window allows, in kbit/s.
    cap_kbps: f64,
    rtt_ms: f64,
    next_growth_ms: f64,
    /// The planner was told of the first byte.
    pub(super) announced: bool,
}

impl Flow {
    /// Whole bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        (self.got / 8.0) as u64
    }

    /// How much of it has come, 0 to 1.
    pub(super) fn share(&self) -> f64 {
        if self.bits > 0.0 { (self.got / self.bits).min(1.0) } else { 0.0 }
    }

    fn left(&self) -> f64 {
        self.bits - self.got
    }

    fn is_receiving(&self, now_ms: f64) -> bool {
        self.first_byte_ms <= now_ms
    }

    /// When its first byte comes, in ms.
    pub(super) fn first_byte_ms(&self) -> f64 {
        self.first_byte_ms
    }

    /// All bits are through, but for rounding.
    pub(super) fn is_done(&self) -> bool {
        self.left() < 1e-3
    }
}

#[derive(Debug)]
pub(super) struct Network<'a> {
    link: &'a Link,
    transport: Transport,
    now_ms: f64,
    flows: Vec<Flow>,
    /// When the link last carried something.
    busy_ms: f64,
    /// Rate that the connection's window allowed at its end, in kbit/s.
    window_kbps: f64,
    /// Bits carried in all.
    carried: f64,
}

impl<'a> Network<'a> {
    pub(super) fn new(link: &'a Link, transport: Transport) -> Self {
        Self {
            link,
            transport,
            now_ms: 0.0,
            flows: Vec::with_capacity(2),
            busy_ms: f64::NEG_INFINITY,
            window_kbps: 0.0,
            carried: 0.0,
        }
    }

    pub(super) fn start(&mut self, id: u64, bytes: u64) {
        let latency = self.link.latency_at(self.now_ms);
        let idle = self.now_ms - self.busy_ms;
        let queued = (self.transport.queue_ms - idle).max(0.0);
        let rtt_ms = latency.max(1.0);
        let cap_kbps = if self.transport.slow_start {
            let fresh = INITIAL_WINDOW / rtt_ms;
            if idle > IDLE_RESTART_MS { fresh } else { self.window_kbps.max(fresh) }
        } else {
            f64::INFINITY
        };
        let first_byte_ms = self.now_ms + latency + queued;
        self.flows.push(Flow {
            id,
            bits: bytes as f64 * 8.0,
            got: 0.0,
            first_byte_ms,
            cap_kbps,
            rtt_ms,
            next_growth_ms: first_byte_ms + rtt_ms,
            announced: false,
        });
    }

    /// Takes a download out, with the bytes that came.
    pub(super) fn stop(&mut self, id: u64) -> Option<u64> {
        let at = self.flows.iter().position(|flow| flow.id == id)?;
        Some(self.flows.swap_remove(at).bytes())
    }

    pub(super) fn flows_mut(&mut self) -> &mut [Flow] {
        &mut self.flows
    }

    pub(super) fn flows(&self) -> &[Flow] {
        &self.flows
    }

    /// Bytes carried in all.
    pub(super) fn carried_bytes(&self) -> u64 {
        (self.carried / 8.0) as u64
    }

    fn receiving(&self) -> usize {
        self.flows.iter().filter(|flow| flow.is_receiving(self.now_ms)).count()
    }

    fn is_capped(&self) -> bool {
        self.flows.iter().any(|flow| flow.cap_kbps.is_finite() && flow.is_receiving(self.now_ms))
    }

    /// When something happens to a download if nothing is changed until then; infinite when there is none.
    pub(super) fn next_event_ms(&self) -> f64 {
        let heads = self.flows.iter().map(|flow| flow.first_byte_ms).filter(|at| *at > self.now_ms);
        let next_head = heads.fold(f64::INFINITY, f64::min);
        let count = self.receiving();
        if count == 0 {
            return next_head;
        }
        let receiving = self.flows.iter().filter(|flow| flow.is_receiving(self.now_ms));
        let least = receiving.map(Flow::left).fold(f64::INFINITY, f64::min);
        let done = if self.is_capped() {
            // Rates change within the round trip: look again soon.
            self.now_ms + SLICE_MS.min(self.fastest_end())
        } else {
            self.link.finish_ms(self.now_ms, least.max(0.0) * count as f64)
        };
        next_head.min(done)
    }

    /// Milliseconds until the first download ends at the rates of now.
    fn fastest_end(&self) -> f64 {
        let share = self.link.kbps_at(self.now_ms) / self.receiving().max(1) as f64;
        self.flows
            .iter()
            .filter(|flow| flow.is_receiving(self.now_ms))
            .map(|flow| flow.left().max(0.0) / share.min(flow.cap_kbps).max(1e-9))
            .fold(f64::INFINITY, f64::min)
            .max(1e-3)
    }

    /// Lets the link carry until `to_ms`; nothing may happen to a download in between.
    pub(super) fn advance(&mut self, to_ms: f64) {
        let count = self.receiving();
        if count > 0 && to_ms > self.now_ms {
            let bits = self.link.bits_until(to_ms) - self.link.bits_until(self.now_ms);
            let time = to_ms - self.now_ms;
            let share = bits / count as f64;
            for flow in self.flows.iter_mut().filter(|flow| flow.first_byte_ms <= self.now_ms) {
                let got = share.min(flow.cap_kbps * time).min(flow.left());
                flow.got += got;
                self.carried += got;
                if flow.cap_kbps.is_finite() {
                    while flow.next_growth_ms <= to_ms {
                        flow.cap_kbps *= 2.0;
                        flow.next_growth_ms += flow.rtt_ms;
                    }
                    let rate = self.link.kbps_at(to_ms);
                    self.window_kbps = flow.cap_kbps.min(2.0 * rate.max(1.0));
                    if flow.cap_kbps > 4.0 * rate.max(1.0) {
                        // Slow start ends where the link does.
                        flow.cap_kbps = f64::INFINITY;
                    }
                }
            }
            self.busy_ms = to_ms;
        }
        self.now_ms = to_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Point, Trace};

    fn link(kbps: f64, latency_ms: f64) -> Link {
        Link::new(&Trace::new("t", vec![Point { duration_ms: 1e6, kbps, latency_ms }]).unwrap())
    }

    /// Time at which the only download of `bytes` is complete.
    fn alone(transport: Transport, bytes: u64) -> f64 {
        let link = link(8000.0, 50.0);
        let mut network = Network::new(&link, transport);
        network.start(1, bytes);
        while !network.flows()[0].is_done() {
            let next = network.next_event_ms();
            assert!(next > network.now_ms);
            network.advance(next);
        }
        network.now_ms
    }

    #[test]
    fn a_download_takes_latency_and_transfer() {
        assert!((alone(Transport::default(), 1_000_000) - 1050.0).abs() < 1e-6);
    }

    #[test]
    fn slow_start_delays_short_downloads_and_hardly_long_ones() {
        let slow = Transport { slow_start: true, ..Transport::default() };
        let short = alone(slow, 50_000) - alone(Transport::default(), 50_000);
        assert!((20.0..200.0).contains(&short), "{short}");
        let long = alone(slow, 10_000_000);
        assert!(long < 10_250.0, "{long}");
    }

    #[test]
    fn two_downloads_share_the_link() {
        let link = link(8000.0, 0.0);
        let mut network = Network::new(&link, Transport::default());
        network.start(1, 500_000);
        network.start(2, 1_000_000);
        network.advance(network.next_event_ms());
        assert!((network.now_ms - 1000.0).abs() < 1e-6, "{}", network.now_ms);
        assert_eq!(network.stop(1), Some(500_000));
        network.advance(network.next_event_ms());
        assert!((network.now_ms - 1500.0).abs() < 1e-6, "{}", network.now_ms);
    }

    #[test]
    fn a_request_behind_a_full_queue_waits_for_it() {
        let link = link(8000.0, 10.0);
        let mut network = Network::new(&link, Transport { slow_start: false, queue_ms: 100.0 });
        network.start(1, 100_000);
        network.advance(network.next_event_ms());
        network.advance(network.next_event_ms());
        let now = network.now_ms;
        network.start(2, 1000);
        assert!((network.flows()[1].first_byte_ms() - now - 110.0).abs() < 1e-6);
    }
}
