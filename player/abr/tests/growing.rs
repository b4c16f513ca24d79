//! Media that count while their segment is still being downloaded, or still being made.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod world;

use std::{sync::Arc, time::Duration};

use weir_abr::{
    Command, Event, Planner, TrackKind,
    planner::{Config, FetchId, Live},
};
use world::{secs, track};

/// A planner, its clock, and what it said.
struct Hand {
    planner: Planner,
    now: f64,
    said: Vec<Command>,
}

impl Hand {
    fn new(seconds: f64, live: Option<Live>, edge: Option<(f64, f64)>) -> Self {
        let planner = Planner::new(Config::default()).unwrap();
        let mut hand = Self { planner, now: 0.0, said: Vec::new() };
        if let Some((at, step)) = edge {
            hand.tell(Event::Edge { at: secs(at), step: secs(step) });
        }
        let tracks = vec![Arc::new(track(TrackKind::Video, &[1000.0], 20, seconds))];
        hand.tell(Event::Presentation { tracks, live });
        hand
    }

    fn tell(&mut self, event: Event) {
        let now = secs(self.now);
        self.planner.handle(now, event);
        while let Some(command) = self.planner.poll(now) {
            self.said.push(command);
        }
    }

    fn fetch(&self) -> (FetchId, u64) {
        let fetches = self.said.iter().rev().filter_map(|command| match command {
            Command::Fetch { id, index, .. } => Some((*id, *index)),
            _ => None,
        });
        let mut fetches = fetches;
        fetches.next().unwrap()
    }

    /// A download of `kbps` gets on for `seconds`; segments of 1000 kbit/s whose media count at once.
    fn download(&mut self, id: FetchId, begun: f64, kbps: f64, seconds: f64, media_from: f64) {
        let until = self.now + seconds;
        while self.now < until - 1e-9 {
            self.now += 0.05;
            let bytes = (self.now - begun) * kbps * 125.0;
            self.tell(Event::TransferProgress(id, bytes as u64));
            let media = media_from + bytes / 125_000.0;
            self.tell(Event::MediaAppended(id, secs(media)));
        }
    }

    fn started(&self) -> bool {
        self.said.iter().any(|command| matches!(command, Command::Start { .. }))
    }
}

fn begin(hand: &mut Hand) -> FetchId {
    let (id, _) = hand.fetch();
    hand.tell(Event::TransferStarted(id));
    hand.tell(Event::FirstByte(id));
    id
}

#[test]
fn starts_on_the_first_part_of_a_segment_that_comes_faster_than_it_plays() {
    let mut hand = Hand::new(10.0, None, None);
    let id = begin(&mut hand);
    hand.tell(Event::TransferSize(id, 1_250_000));
    hand.download(id, 0.0, 2000.0, 0.4, 0.0);
    assert!(!hand.started(), "0.8 s are too little");
    hand.download(id, 0.0, 2000.0, 0.3, 0.0);
    assert!(hand.started(), "1.4 s are enough: {:?}", hand.said);
    assert!((hand.planner.buffer_level().as_secs_f64() - 1.4).abs() < 0.2);
}

#[test]
fn waits_with_a_part_whose_rest_would_be_missed() {
    let mut hand = Hand::new(10.0, None, None);
    let id = begin(&mut hand);
    hand.tell(Event::TransferSize(id, 1_250_000));
    hand.download(id, 0.0, 900.0, 2.0, 0.0);
    assert!(!hand.started(), "1.8 s are here, but the rest would be there no sooner than it is missed");
    hand.download(id, 0.0, 900.0, 3.0, 0.0);
    assert!(hand.started(), "with 4.5 s the rest comes in time");
}

#[test]
fn a_part_counts_until_its_segment_is_complete_and_when_its_download_was_lost() {
    let mut hand = Hand::new(4.0, None, None);
    let id = begin(&mut hand);
    hand.tell(Event::TransferSize(id, 500_000));
    hand.download(id, 0.0, 2000.0, 1.0, 0.0);
    let level = hand.planner.buffer_level();
    hand.tell(Event::TransferFailed(id, weir_abr::planner::Failure::Truncated));
    assert_eq!(hand.planner.buffer_level(), level, "it can be played all the same");
    hand.now += 1.0;
    hand.tell(Event::Wake);
    let (again, index) = hand.fetch();
    assert!(again != id && index == 0, "the segment is fetched again");
    // Less of it than before takes nothing away.
    hand.tell(Event::TransferStarted(again));
    hand.tell(Event::MediaAppended(again, secs(0.3)));
    assert_eq!(hand.planner.buffer_level(), level);
    hand.tell(Event::TransferDone(again, 500_000));
    assert_eq!(hand.planner.buffer_level(), secs(4.0));
}

#[test]
fn media_that_turn_out_unusable_do_not_count() {
    let mut hand = Hand::new(4.0, None, None);
    let id = begin(&mut hand);
    hand.tell(Event::MediaAppended(id, secs(2.0)));
    hand.tell(Event::TransferDone(id, 500_000));
    hand.tell(Event::TransferFailed(id, weir_abr::planner::Failure::Corrupt));
    assert_eq!(hand.planner.buffer_level(), Duration::ZERO);
}

#[test]
fn waiting_for_the_encoder_does_not_lower_the_estimate_and_gives_no_download_up() {
    let live = Live { target_latency: secs(1.5), start_at_edge: true };
    let mut hand = Hand::new(2.0, Some(live), Some((38.5, 0.5)));
    let id = begin(&mut hand);
    let mut bytes = 0;
    // Parts of half a second at 1000 kbit/s come at 8000 kbit/s.
    for _ in 0..4 {
        for _ in 0..6 {
            hand.now += 0.0125;
            bytes += 12_500;
            hand.tell(Event::TransferProgress(id, bytes));
        }
        hand.tell(Event::TransferIdle(id));
        hand.now += 0.425;
        hand.tell(Event::Wake);
    }
    hand.tell(Event::TransferDone(id, bytes));
    let estimate = hand.planner.estimate().unwrap().kbps();
    assert!((5000.0..11_000.0).contains(&estimate), "{estimate} kbit/s");
    let given_up = hand.said.iter().any(|command| matches!(command, Command::Abandon { .. }));
    assert!(!given_up, "{:?}", hand.said);
}

#[test]
fn an_encoder_that_makes_nothing_for_long_costs_no_download() {
    let live = Live { target_latency: secs(1.5), start_at_edge: true };
    let mut hand = Hand::new(2.0, Some(live), Some((38.5, 0.5)));
    let id = begin(&mut hand);
    hand.tell(Event::TransferIdle(id));
    for _ in 0..40 {
        hand.now += 0.5;
        hand.tell(Event::Wake);
    }
    assert!(!hand.said.iter().any(|command| matches!(command, Command::Abandon { .. })), "{:?}", hand.said);
}

#[test]
fn starts_at_the_wanted_distance_from_the_newest_part_with_half_of_it() {
    let live = Live { target_latency: secs(1.5), start_at_edge: true };
    // The segment from 38 to 40 s is being made, and can be had up to 38.5.
    let mut hand = Hand::new(2.0, Some(live), Some((38.5, 0.5)));
    let (id, index) = hand.fetch();
    assert_eq!(index, 18, "37 s is where playback begins");
    hand.tell(Event::TransferStarted(id));
    hand.now = 0.1;
    hand.tell(Event::TransferDone(id, 250_000));
    let start = hand.said.iter().find_map(|command| match command {
        Command::Start { position } => Some(*position),
        _ => None,
    });
    assert_eq!(start, Some(secs(37.1)), "the edge went on while it came");
    let (_, next) = hand.fetch();
    assert_eq!(next, 19, "the segment that is being made is fetched at once");
}

#[test]
fn catches_up_when_the_edge_is_further_away_than_wanted() {
    let live = Live { target_latency: secs(1.5), start_at_edge: true };
    let mut hand = Hand::new(2.0, Some(live), Some((38.5, 0.5)));
    let (id, _) = hand.fetch();
    hand.tell(Event::TransferStarted(id));
    hand.tell(Event::TransferDone(id, 250_000));
    let (id, _) = hand.fetch();
    hand.tell(Event::TransferStarted(id));
    hand.tell(Event::MediaAppended(id, secs(39.8)));
    hand.tell(Event::Playhead(secs(37.0)));
    let rates = |hand: &Hand| {
        let rates = hand.said.iter().filter_map(|command| match command {
            Command::SetRate(rate) => Some(*rate),
            _ => None,
        });
        rates.collect::<Vec<_>>()
    };
    assert!(rates(&hand).is_empty());
    hand.now += 0.1;
    hand.tell(Event::Edge { at: secs(39.8), step: secs(0.5) });
    hand.tell(Event::Wake);
    assert!(rates(&hand).last().is_some_and(|rate| *rate > 1.0), "{:?}", rates(&hand));
    hand.tell(Event::Playhead(secs(38.3)));
    assert_eq!(rates(&hand).last(), Some(&1.0));
}

#[test]
fn starts_where_the_edge_is_when_the_first_media_are_there() {
    let live = Live { target_latency: secs(1.5), start_at_edge: true };
    let mut hand = Hand::new(2.0, Some(live), Some((38.5, 0.5)));
    let (id, _) = hand.fetch();
    hand.tell(Event::TransferStarted(id));
    hand.now = 0.6;
    hand.tell(Event::Edge { at: secs(39.0), step: secs(0.5) });
    hand.tell(Event::TransferDone(id, 250_000));
    let start = hand.said.iter().find_map(|command| match command {
        Command::Start { position } => Some(*position),
        _ => None,
    });
    assert_eq!(start, Some(secs(37.0)), "half a second of 38 is left behind it, which is too little");
    let (next, _) = hand.fetch();
    assert!(next != id);

    let mut hand = Hand::new(2.0, Some(live), Some((38.5, 0.5)));
    let (id, _) = hand.fetch();
    hand.tell(Event::TransferStarted(id));
    hand.now = 0.2;
    hand.tell(Event::Edge { at: secs(38.7), step: secs(0.5) });
    hand.tell(Event::TransferDone(id, 250_000));
    let start = hand.said.iter().find_map(|command| match command {
        Command::Start { position } => Some(*position),
        _ => None,
    });
    assert_eq!(start, Some(secs(37.2)));
}
