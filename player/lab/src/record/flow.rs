//! The link of a recorded session, from how each download got on.

use std::collections::BTreeMap;

use weir_abr::{
    TrackKind,
    record::{Entry, Event},
};

use crate::trace::{Invalid, Point, Trace};

/// One download: when it was asked for, and how its bits came.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub(super) asked: f64,
    /// Time in ms, and bits that had come by then; at least the first byte's and the last one's.
    points: Vec<(f64, f64)>,
}

impl Flow {
    fn new(asked: f64, first: f64, last: f64, bytes: u64, progress: &[(f64, u64)]) -> Option<Self> {
        if last <= first {
            return None;
        }
        let mut points = vec![(first, 0.0)];
        for (ms, so_far) in progress {
            let (at, bits) = (asked + ms, *so_far as f64 * 8.0);
            // What a record says that does not rise is no progress.
            let rises = points.last().is_some_and(|(time, known)| at > *time && bits >= *known);
            if rises && at < last && *so_far <= bytes {
                points.push((at, bits));
            }
        }
        points.push((last, bytes as f64 * 8.0));
        Some(Self { asked, points })
    }

    fn first(&self) -> f64 {
        self.points.first().map_or(self.asked, |(at, _)| *at)
    }
}

/// Rates are rebuilt in steps of at least this.
const STEP_MS: f64 = 50.0;
/// Latency where none is known.
const LATENCY_MS: f64 = 40.0;

/// All downloads.
pub(super) fn flows(entries: &[Entry]) -> Vec<Flow> {
    let mut asked: BTreeMap<(TrackKind, u64), f64> = BTreeMap::new();
    let mut flows = Vec::new();
    for entry in entries {
        let last = entry.t_ms;
        match &entry.event {
            Event::Request { track: Some(track), index: Some(index), .. } => {
                asked.insert((*track, *index), last);
            }
            Event::Segment { bytes, ms, ttfb_ms, progress, .. } => {
                let asked = last - ms;
                flows.extend(Flow::new(asked, asked + ttfb_ms, last, *bytes, progress));
            }
            Event::Abort { track, index, bytes, ms, ttfb_ms, progress, .. } => {
                let asked = ms.map(|ms| last - ms).or_else(|| asked.get(&(*track, *index)).copied());
                if let Some(asked) = asked {
                    let first = ttfb_ms.map_or(asked + LATENCY_MS, |ttfb| asked + ttfb).min(last);
                    flows.extend(Flow::new(asked, first, last, *bytes, progress));
                }
            }
            _ => {}
        }
    }
    flows
}

/// The sum of all flows over time. Where nothing flowed the link is taken to be as it was before, and in the second half
/// of such a gap as it was after.
pub(super) fn link(flows: &[Flow], start: f64) -> Result<Trace, Invalid> {
    let mut edges: Vec<f64> =
        flows.iter().flat_map(|flow| flow.points.iter().map(|(at, _)| *at - start)).collect();
    edges.push(0.0);
    edges.sort_by(f64::total_cmp);
    // All of them, also those that nearly coincide: a stretch that reaches a little beyond one would make known what is a
    // gap.
    edges.dedup();
    let rates = rates(flows, start, &edges);
    let latencies = latencies(flows, start);
    let mut points: Vec<Point> = Vec::with_capacity(rates.len());
    for (from, to, kbps) in filled(&rates) {
        let point = Point { duration_ms: to - from, kbps, latency_ms: latency_at(&latencies, from, to) };
        match points.last_mut() {
            // Short stretches are joined with the one before: two downloads never end quite together.
            Some(before) if before.duration_ms < STEP_MS => {
                let length = before.duration_ms + point.duration_ms;
                let sum = before.kbps * before.duration_ms + point.kbps * point.duration_ms;
                *before = Point { duration_ms: length, kbps: sum / length, latency_ms: before.latency_ms };
            }
            _ => points.push(point),
        }
    }
    Trace::new("recorded link", points)
}

/// Rates between edges in kbit/s; `None` where nothing was under way.
fn rates(flows: &[Flow], start: f64, edges: &[f64]) -> Vec<(f64, f64, Option<f64>)> {
    // Stretches of all flows, by their beginning: each is looked at only while it goes on.
    let mut stretches: Vec<(f64, f64, f64)> = flows
        .iter()
        .flat_map(|flow| flow.points.windows(2))
        .filter_map(|pair| match pair {
            &[(from, before), (to, after)] => Some((from - start, to - start, after - before)),
            _ => None,
        })
        .collect();
    stretches.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut coming = stretches.into_iter().peekable();
    let mut open: Vec<(f64, f64, f64)> = Vec::new();
    let mut rates = Vec::with_capacity(edges.len());
    for pair in edges.windows(2) {
        let &[from, to] = pair else { continue };
        while let Some(stretch) = coming.next_if(|stretch| stretch.0 < to) {
            open.push(stretch);
        }
        open.retain(|(_, last, _)| *last > from);
        let mut bits = 0.0;
        for (first, last, all) in &open {
            bits += all * (last.min(to) - first.max(from)).max(0.0) / (last - first);
        }
        let known = open.iter().any(|(first, last, _)| first.max(from) < last.min(to));
        rates.push((from, to, known.then(|| bits / (to - from))));
    }
    rates
}

/// Gaps are filled with the mean of so much time in which something came.
const NEAR_MS: f64 = 1000.0;

/// Mean rate of the first known stretches that make up [`NEAR_MS`]; a single one may be only a few milliseconds long.
fn near<'a>(stretches: impl Iterator<Item = &'a (f64, f64, Option<f64>)>) -> Option<f64> {
    let (mut time, mut bits) = (0.0, 0.0);
    for (from, to, kbps) in stretches {
        let Some(kbps) = kbps else { continue };
        let length = (to - from).min(NEAR_MS - time);
        time += length;
        bits += kbps * length;
        if time >= NEAR_MS {
            break;
        }
    }
    (time > 0.0).then(|| bits / time)
}

/// The same with the gaps filled: the first half as it was before, the second as it was after.
fn filled(rates: &[(f64, f64, Option<f64>)]) -> Vec<(f64, f64, f64)> {
    let mut out: Vec<(f64, f64, f64)> = Vec::with_capacity(rates.len() + 16);
    let mut at = 0;
    while let Some((from, to, kbps)) = rates.get(at).copied() {
        if let Some(kbps) = kbps {
            out.push((from, to, kbps));
            at += 1;
            continue;
        }
        let (earlier, gap) = rates.split_at(at);
        let length = gap.iter().take_while(|(.., kbps)| kbps.is_none()).count();
        at += length;
        let later = gap.get(length..).unwrap_or_default();
        let end = later.first().map_or(to, |(from, ..)| *from);
        match (near(earlier.iter().rev()), near(later.iter())) {
            (Some(before), Some(after)) => {
                let middle = from + (end - from) / 2.0;
                out.push((from, middle, before));
                out.push((middle, end, after));
            }
            (Some(kbps), None) | (None, Some(kbps)) => out.push((from, end, kbps)),
            (None, None) => {}
        }
    }
    out
}

/// When requests went out, and how long their first byte took, in order.
fn latencies(flows: &[Flow], start: f64) -> Vec<(f64, f64)> {
    let mut latencies: Vec<(f64, f64)> =
        flows.iter().map(|flow| (flow.asked - start, (flow.first() - flow.asked).max(0.0))).collect();
    latencies.sort_by(|a, b| a.0.total_cmp(&b.0));
    latencies
}

/// The latency of a request between `from` and `to`: that of the first one from then on, or the last one of all.
fn latency_at(latencies: &[(f64, f64)], from: f64, to: f64) -> f64 {
    let at = latencies.partition_point(|(asked, _)| *asked < from);
    // A request that went out in the stretch itself comes before one that is yet to come.
    let next = latencies.get(at).or(latencies.last());
    let nearest = latencies
        .get(at.wrapping_sub(1))
        .filter(|(asked, _)| next.is_some_and(|(coming, _)| *coming > to && from - asked < coming - to));
    nearest.or(next).map_or(LATENCY_MS, |(_, latency)| *latency)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(asked: f64, points: &[(f64, f64)]) -> Flow {
        Flow { asked, points: points.to_vec() }
    }

    /// Bits that the trace carries from 0 to `ms`.
    fn bits(trace: &Trace, ms: f64) -> f64 {
        let mut left = ms;
        let mut sum = 0.0;
        for point in trace.points() {
            let time = point.duration_ms.min(left);
            sum += time * point.kbps;
            left -= time;
        }
        sum
    }

    #[test]
    fn the_link_carries_what_each_download_showed_from_moment_to_moment() {
        let flows = [
            flow(1000.0, &[(1050.0, 0.0), (1150.0, 100_000.0), (1250.0, 100_000.0), (1350.0, 400_000.0)]),
            flow(1300.0, &[(1350.0, 0.0), (1450.0, 50_000.0)]),
        ];
        let trace = link(&flows, 1000.0).unwrap();
        // What the link could do while the first byte was waited for is not known: as in the mean of what came then.
        let wait = 50.0 * 450_000.0 / 400.0;
        assert!((bits(&trace, 50.0) - wait).abs() < 1.0, "{trace:?}");
        assert!((bits(&trace, 150.0) - wait - 100_000.0).abs() < 1.0, "{trace:?}");
        assert!((bits(&trace, 250.0) - wait - 100_000.0).abs() < 1.0, "{trace:?}");
        assert!((bits(&trace, 350.0) - wait - 400_000.0).abs() < 1.0, "{trace:?}");
        assert!((bits(&trace, 450.0) - wait - 450_000.0).abs() < 1.0, "{trace:?}");
    }

    #[test]
    fn a_gap_is_half_as_before_and_half_as_after() {
        let flows = [
            flow(0.0, &[(0.0, 0.0), (1000.0, 1_000_000.0)]),
            flow(3000.0, &[(3000.0, 0.0), (4000.0, 3_000_000.0)]),
        ];
        let trace = link(&flows, 0.0).unwrap();
        assert!((bits(&trace, 2000.0) - 2_000_000.0).abs() < 1.0, "{trace:?}");
        assert!((bits(&trace, 3000.0) - 5_000_000.0).abs() < 1.0, "{trace:?}");
    }

    #[test]
    fn a_download_that_ends_a_moment_after_another_makes_no_outage_of_the_gap_behind_it() {
        let flows = [
            flow(0.0, &[(0.0, 0.0), (1000.0, 500_000.0)]),
            flow(0.0, &[(0.0, 0.0), (1000.4, 500_200.0)]),
            flow(3000.0, &[(3000.0, 0.0), (4000.0, 1_000_000.0)]),
        ];
        let trace = link(&flows, 0.0).unwrap();
        assert!((bits(&trace, 3000.0) - 3_000_000.0).abs() < 1000.0, "{trace:?}");
    }

    #[test]
    fn a_gap_is_not_as_the_few_milliseconds_beside_it() {
        let flows = [
            flow(0.0, &[(0.0, 0.0), (990.0, 990_000.0), (1000.0, 990_500.0)]),
            flow(3000.0, &[(3000.0, 0.0), (3010.0, 500.0), (4000.0, 2_970_500.0)]),
        ];
        let trace = link(&flows, 0.0).unwrap();
        assert!((bits(&trace, 2000.0) - 1_981_000.0).abs() < 1.0, "{trace:?}");
        assert!((bits(&trace, 3000.0) - 4_951_500.0).abs() < 1.0, "{trace:?}");
    }

    #[test]
    fn progress_that_makes_no_sense_is_left_out() {
        let flow = Flow::new(
            0.0,
            10.0,
            100.0,
            1000,
            &[(5.0, 10), (50.0, 2000), (60.0, 500), (55.0, 600), (200.0, 900)],
        );
        assert_eq!(flow.unwrap().points, [(10.0, 0.0), (60.0, 4000.0), (100.0, 8000.0)]);
        assert!(Flow::new(0.0, 100.0, 100.0, 1000, &[]).is_none());
    }
}
