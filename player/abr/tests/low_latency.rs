//! L2A-LL and LoL+ do what their papers and dash.js say they do.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::time::Duration;

use weir_abr::{
    Bitrate, Ladder, Rung, RungId, SegmentInfo,
    control::{Context, Controller, Delivery, L2aLl, LolPlus},
    estimate::Estimate,
};

const KBPS: [f64; 5] = [200.0, 600.0, 1000.0, 2500.0, 4000.0];
const SEGMENT: f64 = 0.5;

/// A controller at a live edge: segments of half a second, a link of `kbps`, a buffer that follows.
struct Edge<C> {
    controller: C,
    ladder: Ladder,
    upcoming: Vec<SegmentInfo>,
    scores: Vec<f64>,
    last: Option<RungId>,
    level: f64,
    latency: f64,
}

impl<C: Controller> Edge<C> {
    fn new(controller: C) -> Self {
        let rungs = KBPS.iter().map(|kbps| Rung::with_bitrate(Bitrate::from_kbps(*kbps))).collect();
        let length = Duration::from_secs_f64(SEGMENT);
        let upcoming = vec![SegmentInfo { duration: length, ..SegmentInfo::default() }];
        let ladder = Ladder::new(rungs).unwrap();
        Self { controller, ladder, upcoming, scores: Vec::new(), last: None, level: 0.0, latency: 1.0 }
    }

    fn choose(&mut self, kbps: f64) -> usize {
        let seconds = Duration::from_secs_f64;
        let context = Context {
            now: Duration::ZERO,
            ladder: &self.ladder,
            limit: self.ladder.top(),
            upcoming: &self.upcoming,
            buffer: seconds(self.level),
            max_buffer: seconds(6.0),
            last: self.last,
            estimate: Some(Estimate::exact(Bitrate::from_kbps(kbps))),
            since_start: seconds(10.0),
            to_end: None,
            latency: Some((seconds(self.latency), seconds(1.5))),
            rate: 1.0,
            waiting: false,
        };
        self.controller.choose(&context, &mut self.scores).rung.0
    }

    /// Chooses and downloads a segment; the rung.
    fn step(&mut self, kbps: f64) -> usize {
        let rung = self.choose(kbps);
        let took = SEGMENT * KBPS[rung] / kbps;
        let before = self.level;
        self.level = (self.level - took).max(0.0) + SEGMENT;
        // Nothing more is published than has happened: the buffer is bounded by the latency.
        self.level = self.level.min(2.0);
        self.last = Some(RungId(rung));
        self.controller.delivered(&Delivery {
            rung: RungId(rung),
            bytes: (SEGMENT * KBPS[rung] * 125.0) as u64,
            took: Duration::from_secs_f64(took),
            ttfb: Duration::ZERO,
            duration: Duration::from_secs_f64(SEGMENT),
            buffer_before: Duration::from_secs_f64(before),
            buffer_after: Duration::from_secs_f64(self.level),
            replaced: false,
        });
        rung
    }

    fn steps(&mut self, count: usize, kbps: f64) -> Vec<usize> {
        (0..count).map(|_| self.step(kbps)).collect()
    }
}

#[test]
fn l2a_goes_by_the_throughput_until_a_second_and_a_half_is_buffered_and_learns_from_then_on() {
    let mut edge = Edge::new(L2aLl::default());
    while edge.level < 1.5 {
        assert_eq!(edge.step(3000.0), 3, "0.9 of the throughput carries 2500 kbit/s");
        assert!(edge.scores.is_empty(), "there are no probabilities yet");
    }
    edge.steps(2, 3000.0);
    assert_eq!(edge.scores.len(), KBPS.len());
}

#[test]
fn l2a_keeps_a_distribution_over_the_rungs_whatever_the_link_does() {
    let mut edge = Edge::new(L2aLl::default());
    for round in 0..200_u32 {
        let kbps = [3000.0, 900.0, 12_000.0, 150.0][(round / 10 % 4) as usize];
        edge.step(kbps);
        if edge.scores.is_empty() {
            continue;
        }
        assert!(edge.scores.iter().all(|weight| (0.0..=1.0).contains(weight)), "{:?}", edge.scores);
        assert!((edge.scores.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{:?}", edge.scores);
    }
}

#[test]
fn l2a_climbs_one_rung_at_a_time_and_settles_on_what_the_link_carries() {
    let mut edge = Edge::new(L2aLl::default());
    edge.steps(8, 500.0);
    assert_eq!(edge.last, Some(RungId(0)));
    let climb = edge.steps(40, 3000.0);
    let mut before = 0;
    for rung in &climb {
        assert!(*rung <= before + 1, "{climb:?}");
        before = *rung;
    }
    assert_eq!(climb[20..], [3; 20], "{climb:?}");
}

#[test]
fn l2a_leaves_a_rung_that_the_link_does_not_carry_any_more_within_a_few_segments() {
    let mut edge = Edge::new(L2aLl::default());
    edge.steps(40, 6000.0);
    assert_eq!(edge.last, Some(RungId(4)));
    let fall = edge.steps(6, 700.0);
    assert!(fall[5] <= 1, "{fall:?}");
}

#[test]
fn l2a_steps_once_a_segment_however_often_it_is_asked() {
    let (mut asked, mut once) = (Edge::new(L2aLl::default()), Edge::new(L2aLl::default()));
    asked.steps(8, 900.0);
    once.steps(8, 900.0);
    for _ in 0..10 {
        asked.choose(3000.0);
    }
    assert_eq!(asked.steps(20, 3000.0), once.steps(20, 3000.0));
}

#[test]
fn lolp_takes_no_rung_that_the_link_does_not_carry_except_the_lowest() {
    let mut edge = Edge::new(LolPlus::default());
    for (kbps, highest) in [(5000.0, 4), (3000.0, 3), (1500.0, 2), (800.0, 1), (300.0, 0), (100.0, 0)] {
        edge.level = 2.0;
        let choices = edge.steps(12, kbps);
        // The first may still be the one before: a short buffer leaves the lowest that is below it.
        assert!(choices[4..].iter().all(|rung| *rung <= highest), "at {kbps}: {choices:?}");
    }
}

#[test]
fn lolp_takes_what_the_link_carries_when_there_is_enough_buffer() {
    let mut edge = Edge::new(LolPlus::default());
    edge.level = 2.0;
    for (kbps, best) in [(2900.0, 3), (5000.0, 4)] {
        let choices = edge.steps(10, kbps);
        assert!(choices[2..].iter().all(|rung| *rung == best), "at {kbps}: {choices:?}");
    }
}

#[test]
fn lolp_goes_down_at_once_past_its_map_when_the_buffer_would_run_short() {
    let mut edge = Edge::new(LolPlus::default());
    edge.level = 2.0;
    edge.steps(5, 6000.0);
    assert_eq!(edge.last, Some(RungId(4)));
    edge.level = 0.8;
    // 4000 kbit/s for half a second take 1.85 s at 0.9 x 1200 kbit/s: the highest below that is 1000.
    assert_eq!(edge.choose(1200.0), 2);
    assert!(edge.scores.is_empty(), "the map was not asked");
}

#[test]
fn lolp_learns_to_leave_a_rung_that_stalls() {
    // The map moves towards what was seen: the neuron of the chosen rung moves most.
    let mut edge = Edge::new(LolPlus::default());
    edge.level = 2.0;
    edge.choose(2900.0);
    let fresh = edge.scores.clone();
    edge.steps(200, 2900.0);
    edge.level = 2.0;
    edge.choose(2900.0);
    assert!(edge.scores[3] > fresh[3], "{fresh:?} became {:?}", edge.scores);
}

#[test]
fn both_give_equal_choices_to_equal_inputs() {
    fn play(controller: impl Controller) -> Vec<usize> {
        let mut edge = Edge::new(controller);
        (0..300_u32).map(|at| edge.step(400.0 + f64::from(at * 7919 % 5000))).collect()
    }
    assert_eq!(play(L2aLl::default()), play(L2aLl::default()));
    assert_eq!(play(LolPlus::default()), play(LolPlus::default()));
}
