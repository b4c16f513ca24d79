//! One decision: below 2 us for rules, below 25 us for plans, with 10 rungs.
//!
//! `NAME` decides with what it knew before; `NAME, all in` has new samples before each decision, so that whatever a
//! controller works out anew when it learns something is part of the figure. `NAME, outages` is the same on a link that has
//! had outages: more may come of a download then.

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use weir_abr::{
    Bitrate, Ladder, Rung, RungId, SegmentInfo,
    control::{self, Context},
    estimate::{Bandwidth, Estimate, Kind, Outlook},
    planner::FetchId,
};

const KBPS: [f64; 10] = [230.0, 331.0, 477.0, 688.0, 991.0, 1427.0, 2056.0, 2962.0, 5027.0, 6000.0];
const SEGMENT: Duration = Duration::from_secs(3);
/// Estimates that are gone through in turn.
const LEARNT: usize = 199;

fn context<'a>(
    ladder: &'a Ladder,
    upcoming: &'a [SegmentInfo],
    tick: u32,
    estimate: Estimate,
) -> Context<'a> {
    Context {
        now: SEGMENT * tick,
        ladder,
        limit: RungId(KBPS.len() - 1),
        upcoming,
        // Levels from 2 to 25 s in turn, so that no single branch is measured.
        buffer: Duration::from_secs(2 + u64::from(tick % 24)),
        max_buffer: Duration::from_secs(25),
        last: Some(RungId(5)),
        estimate: Some(estimate),
        since_start: Duration::from_secs(60),
        to_end: Some(Duration::from_secs(300)),
        latency: None,
        rate: 1.0,
        waiting: false,
    }
}

/// What a session believes from download to download, on a link that strays between 0.6 and 6 Mbit/s.
fn learnt() -> Vec<Estimate> {
    let mut bandwidth = Bandwidth::new(Kind::default());
    let (mut now, mut log, mut random) = (Duration::ZERO, 2000.0_f64.ln(), 88_172_645_463_325_252_u64);
    let mut estimates = Vec::with_capacity(LEARNT);
    for id in 0..LEARNT as u64 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        log = (log + 0.5 * ((random >> 11) as f64 / (1_u64 << 52) as f64 - 1.0))
            .clamp(600.0_f64.ln(), 6000.0_f64.ln());
        let bytes = 600_000_u64;
        let took = Duration::from_secs_f64(bytes as f64 / 125.0 / log.exp());
        bandwidth.started(FetchId(id), now);
        now += Duration::from_millis(40);
        bandwidth.first_byte(FetchId(id), now);
        now += took;
        bandwidth.progress(FetchId(id), bytes, now);
        bandwidth.ended(FetchId(id), now);
        estimates.extend(bandwidth.estimate(now));
    }
    estimates
}

fn decisions(c: &mut Criterion) {
    let rungs = KBPS.iter().map(|kbps| Rung::with_bitrate(Bitrate::from_kbps(*kbps))).collect();
    let Some(ladder) = Ladder::new(rungs) else { return };
    let upcoming: Vec<SegmentInfo> = (0..8)
        .map(|at| SegmentInfo { start: SEGMENT * at, duration: SEGMENT, ..SegmentInfo::default() })
        .collect();
    let mean = Bitrate::from_kbps(2500.0);
    let quantiles = [0.6, 0.85, 1.0, 1.1, 1.4].map(|factor| Bitrate::from_kbps(2500.0 * factor));
    let constant = [Estimate { quantiles, ttfb: Duration::from_millis(40), ..Estimate::exact(mean) }];
    let learnt = learnt();
    let outlook = |estimate: &Estimate| Outlook { outages: 0.02, silent: [6.0, 15.0], ..estimate.outlook };
    let failing: Vec<_> =
        learnt.iter().map(|estimate| Estimate { outlook: outlook(estimate), ..*estimate }).collect();
    let sets =
        [("", constant.as_slice()), (", all in", learnt.as_slice()), (", outages", failing.as_slice())];
    for name in control::NAMES {
        for (suffix, estimates) in sets {
            let Ok(mut controller) = control::create(name) else { continue };
            let mut scores = Vec::with_capacity(KBPS.len());
            let mut estimates = estimates.iter().cycle();
            let mut tick = 0_u32;
            c.bench_function(&format!("{name}{suffix}"), |bencher| {
                bencher.iter(|| {
                    tick = (tick + 1) % 24;
                    let estimate = estimates.next().copied().unwrap_or(constant[0]);
                    let context = context(&ladder, &upcoming, tick, estimate);
                    controller.choose(black_box(&context), &mut scores)
                });
            });
        }
    }
}

criterion_group!(benches, decisions);
criterion_main!(benches);
