//! One decision: below 2 us for rules, below 25 us for plans, with 10 rungs.

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use weir_abr::{
    Bitrate, Ladder, Rung, RungId, SegmentInfo,
    control::{self, Context},
    estimate::Estimate,
};

const KBPS: [f64; 10] = [230.0, 331.0, 477.0, 688.0, 991.0, 1427.0, 2056.0, 2962.0, 5027.0, 6000.0];
const SEGMENT: Duration = Duration::from_secs(3);

fn decisions(c: &mut Criterion) {
    let rungs = KBPS.iter().map(|kbps| Rung::with_bitrate(Bitrate::from_kbps(*kbps))).collect();
    let Some(ladder) = Ladder::new(rungs) else { return };
    let upcoming: Vec<SegmentInfo> = (0..8)
        .map(|at| SegmentInfo { start: SEGMENT * at, duration: SEGMENT, ..SegmentInfo::default() })
        .collect();
    let mean = Bitrate::from_kbps(2500.0);
    let quantiles = [0.6, 0.85, 1.0, 1.1, 1.4].map(|factor| Bitrate::from_kbps(2500.0 * factor));
    let estimate = Estimate { quantiles, ttfb: Duration::from_millis(40), ..Estimate::exact(mean) };
    let mut scores = Vec::with_capacity(KBPS.len());
    for name in control::NAMES {
        let Ok(mut controller) = control::create(name) else { continue };
        let mut tick = 0_u32;
        c.bench_function(name, |bencher| {
            bencher.iter(|| {
                // Levels from 2 to 25 s in turn, so that no single branch is measured.
                tick = (tick + 1) % 24;
                let context = Context {
                    now: SEGMENT * tick,
                    ladder: &ladder,
                    limit: RungId(KBPS.len() - 1),
                    upcoming: &upcoming,
                    buffer: Duration::from_secs(2 + u64::from(tick)),
                    max_buffer: Duration::from_secs(25),
                    last: Some(RungId(5)),
                    estimate: Some(estimate),
                    since_start: Duration::from_secs(60),
                    to_end: Some(Duration::from_secs(300)),
                    latency: None,
                    rate: 1.0,
                    waiting: false,
                };
                controller.choose(black_box(&context), &mut scores)
            });
        });
    }
}

criterion_group!(benches, decisions);
criterion_main!(benches);
