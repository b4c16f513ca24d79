//! No controller allocates when it decides: a decision must cost the same in the hundredth hour as in the first second.

#![expect(
    unsafe_code,
    reason = "a counting allocator is an unsafe trait's implementation; it only passes calls on"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    time::Duration,
};

use weir_abr::{
    Bitrate, Ladder, Rung, RungId, SegmentInfo,
    control::{self, Context, Controller, Delivery, InFlight, Resumed},
    estimate::Estimate,
};

thread_local! {
    /// Allocations of this thread.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, with each thread's calls counted.
struct Counting;

impl Counting {
    fn count() {
        // A thread that ends has no counter any more, and nobody asks for it.
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
    }
}

// SAFETY: every call goes to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count();
        // SAFETY: the caller keeps the contract of `GlobalAlloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const KBPS: [f64; 10] = [230.0, 331.0, 477.0, 688.0, 991.0, 1427.0, 2056.0, 2962.0, 5027.0, 6000.0];
const SEGMENT: Duration = Duration::from_secs(3);

/// A decision, a look at the download and its end, as they come in a session; different each `tick`.
fn live_through(
    tick: u32,
    ladder: &Ladder,
    upcoming: &[SegmentInfo],
    controller: &mut dyn Controller,
    scores: &mut Vec<f64>,
) {
    let kbps = [400.0, 900.0, 2500.0, 7000.0, 150.0][(tick / 7 % 5) as usize];
    let mean = Bitrate::from_kbps(kbps);
    let quantiles = [0.5, 0.8, 1.0, 1.1, 1.5].map(|factor| Bitrate::from_kbps(kbps * factor));
    let estimate = Estimate { quantiles, ttfb: Duration::from_millis(40), ..Estimate::exact(mean) };
    let buffer = Duration::from_millis(u64::from(tick * 700 % 25_000));
    let live = tick.is_multiple_of(3);
    let context = Context {
        now: SEGMENT * tick,
        ladder,
        limit: RungId(if tick.is_multiple_of(11) { 6 } else { 9 }),
        upcoming,
        buffer,
        max_buffer: Duration::from_secs(25),
        last: Some(RungId((tick % 10) as usize)),
        estimate: (!tick.is_multiple_of(29)).then_some(estimate),
        since_start: SEGMENT * tick,
        to_end: (!live).then_some(Duration::from_secs(300)),
        latency: live.then_some((Duration::from_millis(1400), Duration::from_millis(1500))),
        rate: 1.0,
        waiting: tick.is_multiple_of(13),
    };
    let choice = controller.choose(&context, scores);
    let size = 125 * KBPS[choice.rung.0] as u64 * 3;
    let took = Duration::from_secs_f64(size as f64 / 125.0 / kbps);
    let transfer = InFlight {
        rung: choice.rung,
        bytes: size / 3,
        size,
        elapsed: took / 3,
        ttfb: Some(Duration::from_millis(40)),
        recent_bps: kbps * 1000.0,
        silent: Duration::from_secs(u64::from(tick % 5 / 4) * 2),
        resumed: tick.is_multiple_of(3).then_some(Resumed {
            silences: took / 9,
            elapsed: took / 6,
            bytes: size / 6,
        }),
    };
    let _ = controller.abandon(&context, &transfer);
    if tick.is_multiple_of(17) {
        controller.idled(Duration::from_secs(1));
    }
    if tick % 101 == 100 {
        controller.restarted();
    }
    controller.delivered(&Delivery {
        rung: choice.rung,
        bytes: size,
        took,
        ttfb: Duration::from_millis(40),
        duration: SEGMENT,
        buffer_before: buffer,
        buffer_after: buffer + SEGMENT,
        replaced: tick.is_multiple_of(19),
    });
}

#[test]
fn no_controller_allocates_when_it_decides() {
    let rungs = KBPS.iter().map(|kbps| Rung::with_bitrate(Bitrate::from_kbps(*kbps))).collect();
    let ladder = Ladder::new(rungs).unwrap();
    let plain: Vec<SegmentInfo> = (0..8)
        .map(|at| SegmentInfo { start: SEGMENT * at, duration: SEGMENT, ..SegmentInfo::default() })
        .collect();
    let sized: Vec<SegmentInfo> = plain
        .iter()
        .map(|segment| SegmentInfo {
            sizes: KBPS.iter().map(|kbps| (kbps * 375.0) as u64).collect(),
            ..segment.clone()
        })
        .collect();
    let mut guilty = Vec::new();
    for name in control::NAMES {
        let mut controller = control::create(name).unwrap();
        let mut scores = Vec::with_capacity(KBPS.len());
        // Room to work in is made in the first minutes, with every kind of input there is.
        for tick in 0..1200_u32 {
            let upcoming = if tick.is_multiple_of(2) { &plain } else { &sized };
            live_through(tick, &ladder, upcoming, controller.as_mut(), &mut scores);
        }
        let before = COUNT.with(Cell::get);
        for tick in 1200..2400_u32 {
            let upcoming = if tick.is_multiple_of(2) { &plain } else { &sized };
            live_through(tick, &ladder, upcoming, controller.as_mut(), &mut scores);
        }
        let count = COUNT.with(Cell::get) - before;
        if count > 0 {
            guilty.push(format!("{name}: {count} in 1200 decisions"));
        }
    }
    assert!(guilty.is_empty(), "{guilty:?}");
}

#[test]
fn the_counter_counts() {
    let before = COUNT.with(Cell::get);
    let boxed = std::hint::black_box(Box::new([0_u8; 100]));
    assert_eq!(COUNT.with(Cell::get) - before, 1, "{}", boxed.len());
}
