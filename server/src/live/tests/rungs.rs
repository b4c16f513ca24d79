//! Encoded rungs beside the source, with a ladder that only pretends.

use std::sync::Mutex;

use tokio::sync::mpsc::error::TryRecvError;

use super::*;
use crate::ladder::Profile;
use crate::live::status::RungState;
use crate::store::SegmentEntry;

/// Gives back what it gets under another name, some pictures later.
#[derive(Debug)]
struct Echo {
    lag: usize,
    begun: Mutex<u32>,
    /// It never gives what it holds.
    hangs: bool,
}

impl Echo {
    fn with_lag(lag: usize) -> Arc<Self> {
        Arc::new(Self { lag, begun: Mutex::default(), hangs: false })
    }
}

#[derive(Debug)]
struct Running {
    lag: usize,
    held: std::collections::VecDeque<SourceUnit>,
    output: Option<RungSender>,
    begun: bool,
    hangs: bool,
}

fn plan(name: &str) -> RungPlan {
    RungPlan {
        name: name.to_owned(),
        width: 160,
        height: 90,
        frame_rate: (25, 1),
        bandwidth: 200_000,
        encoder: "fake".to_owned(),
    }
}

impl LiveLadders for Echo {
    fn start(
        &self,
        _: &str,
        source: &TrackSetup,
        _: &Profile,
        output: RungSender,
    ) -> Option<Box<dyn LiveLadder>> {
        assert_eq!(source.frame_rate, Some((25, 1)));
        *self.begun.lock().unwrap() += 1;
        let output = Some(output);
        Some(Box::new(Running {
            lag: self.lag,
            held: Default::default(),
            output,
            begun: false,
            hangs: self.hangs,
        }))
    }
}

impl LiveLadder for Running {
    fn rungs(&self) -> Vec<RungPlan> {
        vec![plan("90p"), plan("never")]
    }

    fn push(&mut self, unit: SourceUnit) {
        self.held.push_back(unit);
        if self.held.len() > self.lag {
            self.give();
        }
    }

    fn finish(&mut self) {
        if self.hangs {
            return;
        }
        while !self.held.is_empty() {
            self.give();
        }
        self.output = None;
    }
}

impl Running {
    fn give(&mut self) {
        let output = self.output.as_ref().expect("nothing is pushed after the end");
        if !std::mem::replace(&mut self.begun, true) {
            let config = Bytes::from_static(OTHER_AVCC);
            let setup = RungEvent::Setup { rung: "90p".to_owned(), codec: Codec::Avc, config };
            output.try_send(setup).unwrap();
        }
        let unit = self.held.pop_front().unwrap();
        output
            .try_send(RungEvent::Unit {
                rung: "90p".to_owned(),
                dts_ns: unit.dts_ns,
                pts_ns: unit.pts_ns,
                key: unit.segment.is_some(),
                data: unit.data,
            })
            .unwrap();
    }
}

impl Rig {
    fn drain(&mut self) {
        while let Some(rungs) = self.session.rungs() {
            match rungs.try_recv() {
                Ok(event) => self.session.rung(event).unwrap(),
                Err(TryRecvError::Disconnected) => self.session.rungs_ended().unwrap(),
                Err(TryRecvError::Empty) => return,
            }
        }
    }

    /// What the rungs have that the source has, too: number, start, duration.
    fn places(&self, name: &str) -> Vec<(u32, u64, u64)> {
        self.segments(name).iter().map(|entry| (entry.number, entry.start, entry.duration)).collect()
    }

    fn play_slowly(&mut self, from: f64, to: f64) {
        let mut at = from;
        while at < to {
            self.play(FEED, 0.0, at, at + 1.0);
            self.drain();
            at += 1.0;
        }
    }
}

#[test]
fn rungs_are_cut_where_the_source_was_cut_and_one_that_never_comes_is_given_up() {
    let echo = Echo::with_lag(30);
    let mut rig = Rig::with(settings(), Some(echo.clone()));
    rig.set_up();
    rig.play_slowly(0.0, 5.0);
    assert!(!rig.stream.edge().borrow().ready, "the playlist of all variants waits for the rungs");
    rig.play_slowly(5.0, 15.0);
    assert!(rig.stream.edge().borrow().playable());
    let names: Vec<String> = rig.stream.renditions().iter().map(|r| r.name().to_owned()).collect();
    assert_eq!(names, ["90p", "source", "audio"]);
    assert!(rig.session.told.warnings[0].contains("never"), "{:?}", rig.session.told.warnings);
    let (rung, source) = (rig.segments("90p"), rig.segments("source"));
    assert!(rung.len() + 1 >= source.len() - 1, "{} {}", rung.len(), source.len());
    for (rung, source) in rung.iter().zip(source.iter()) {
        assert_eq!((rung.number, rung.start, rung.duration), (source.number, source.start, source.duration));
    }
    // A break starts another ladder, and the rung goes on under the same numbers as the source.
    rig.send(LiveEvent::Discontinuity);
    rig.play_slowly(15.0, 24.0);
    assert_eq!(*echo.begun.lock().unwrap(), 2);
    let (rung, source) = (rig.segments("90p"), rig.segments("source"));
    for entry in rung.iter().filter(|entry| !entry.is_gap()) {
        let same = source.iter().find(|other| other.number == entry.number).unwrap();
        assert_eq!((entry.start, entry.discontinuity), (same.start, same.discontinuity), "{}", entry.number);
    }
    assert!(rung.last().unwrap().number >= 10);
}

#[test]
fn cuts_that_are_closer_than_pictures_are_held_back_are_the_rungs_too() {
    let mut rig = Rig::with(settings(), Some(Echo::with_lag(3)));
    rig.send(LiveEvent::Setup(video_setup()));
    // Key frames at 0, 2, 4.72 and 6.72 s: the one in the middle comes just behind a cut without. What is held back is
    // longer from the third second on.
    for n in 0..200_u32 {
        let at = f64::from(n) * 40.0;
        rig.now_ms = u64::from(n) * 40;
        let held = if n < 60 { 40.0 } else { 400.0 };
        rig.unit(TrackKind::Video, at, at + held, [0, 50, 118, 168].contains(&n));
        rig.drain();
    }
    rig.session.disconnect().unwrap();
    rig.drain();
    let first = |name: &str| -> Vec<(u32, String)> {
        let numbers =
            rig.segments(name).iter().map(|entry| (entry.number, entry.is_gap())).collect::<Vec<_>>();
        let first = |number| {
            let bytes = rig.stream.segment_bytes(name, number).unwrap();
            read::samples(&bytes, 90_000.0, 0).remove(0).text
        };
        numbers.into_iter().map(|(n, gap)| (n, if gap { String::new() } else { first(n) })).collect()
    };
    assert_eq!(first("90p"), first("source"));
    assert_eq!(first("source").len(), 5);
}

#[test]
fn what_an_encoder_holds_when_a_take_ends_comes_into_the_rung() {
    let mut rig = Rig::with(settings(), Some(Echo::with_lag(30)));
    rig.set_up();
    rig.play_slowly(0.0, 7.0);
    rig.play(FEED, 0.0, 7.0, 7.3);
    // The connection breaks and another begins, before the encoders' last words were read.
    rig.session.disconnect().unwrap();
    assert!(rig.session.tail().is_some());
    rig.set_up();
    rig.play(FEED, 0.0, 20.0, 21.5);
    let behind = rig.places("90p").len();
    rig.drain();
    rig.play_slowly(21.5, 27.5);
    rig.session.disconnect().unwrap();
    rig.drain();
    assert_eq!(rig.session.tail(), None);
    assert!(behind < rig.places("90p").len());
    assert_eq!(rig.places("90p"), rig.places("source"), "to the last picture of both takes");
    let breaks = |name: &str| -> Vec<u32> {
        rig.segments(name).iter().filter(|entry| entry.discontinuity).map(|entry| entry.number).collect()
    };
    assert_eq!((breaks("90p"), breaks("90p").len()), (breaks("source"), 1));
    assert!(!rig.session.told.warnings.iter().any(|text| text.contains("in time:")));
}

#[test]
fn an_encoder_that_gives_nothing_any_more_costs_its_last_pictures_only() {
    let echo = Echo { hangs: true, lag: 30, begun: Mutex::default() };
    let mut rig = Rig::with(settings(), Some(Arc::new(echo)));
    rig.set_up();
    rig.play_slowly(0.0, 7.0);
    let first = rig.session.tail();
    rig.send(LiveEvent::Discontinuity);
    rig.play_slowly(7.0, 14.0);
    assert_eq!((first, rig.session.tail()), (None, Some(0)));
    let rung = rig.places("90p");
    rig.session.give_up_tail().unwrap();
    assert_eq!((rig.session.tail(), rig.places("90p").len()), (None, rung.len() + 1), "it ends where it is");
    assert!(rig.session.told.warnings.iter().any(|text| text.contains("end a little early")));
    rig.drain();
    let numbers = |name: &str| rig.places(name).iter().map(|place| place.0).collect::<Vec<_>>();
    assert_eq!(numbers("90p"), numbers("source"), "the next take's are all there");
    // Jumps that come faster than encoders end: two ends are waited for, not more.
    for _ in 0..5 {
        rig.send(LiveEvent::Discontinuity);
        rig.play(FEED, 0.0, 14.0, 15.5);
    }
    assert_eq!(rig.session.tail(), Some(4));
}

#[test]
fn a_rung_whose_key_frames_do_not_come_is_cut_all_the_same_and_says_so() {
    let mut rig = Rig::with(settings(), Some(Echo::with_lag(usize::MAX)));
    rig.set_up();
    rig.play(FEED, 0.0, 0.0, 7.0);
    let config = Bytes::from_static(OTHER_AVCC);
    rig.session.rung(RungEvent::Setup { rung: "90p".to_owned(), codec: Codec::Avc, config }).unwrap();
    for n in 0..170_u64 {
        let (at, data) = (n * 40_000_000, Bytes::from_static(b"picture"));
        let unit = RungEvent::Unit { rung: "90p".to_owned(), dts_ns: at, pts_ns: at, key: n == 0, data };
        rig.session.rung(unit).unwrap();
    }
    let rung = rig.segments("90p");
    let seconds: Vec<f64> = rung.iter().map(|entry| entry.duration as f64 / 90_000.0).collect();
    assert!(rung.len() == 2 && seconds.iter().all(|s| (2.0..2.46).contains(s)), "{seconds:?}");
    assert_eq!(rung.iter().map(|entry| entry.independent).collect::<Vec<_>>(), [true, false]);
    assert!(!rig.stream.rendition("90p").unwrap().window().open.unwrap().independent);
}

#[test]
fn a_lost_rung_costs_itself() {
    let mut rig = Rig::with(settings(), Some(Echo::with_lag(0)));
    rig.set_up();
    rig.play_slowly(0.0, 5.0);
    let lost = |rung: &str| RungEvent::Lost { rung: rung.to_owned(), why: "its encoder died".to_owned() };
    for name in ["90p", "never", "unknown"] {
        rig.session.rung(lost(name)).unwrap();
    }
    rig.play_slowly(5.0, 11.0);
    let names: Vec<String> = rig.stream.renditions().iter().map(|r| r.name().to_owned()).collect();
    assert_eq!(names, ["source", "audio"]);
    assert!(rig.stream.edge().borrow().playable());
    assert!(rig.session.told.warnings.iter().any(|text| text.contains("its encoder died")));
    assert_eq!(rig.segments("source").len(), 5);
}

#[test]
fn an_interrupted_rung_lists_gaps_and_comes_back_where_a_segment_begins() {
    let mut rig = Rig::with(settings(), Some(Echo::with_lag(0)));
    rig.set_up();
    rig.play_slowly(0.0, 5.0);
    rig.session.rung(RungEvent::Lost { rung: "never".to_owned(), why: "no".to_owned() }).unwrap();
    let why = "signal 11".to_owned();
    rig.session.rung(RungEvent::Interrupted { rung: "90p".to_owned(), why }).unwrap();
    let state = |rig: &Rig| {
        let all = rig.session.rung_statuses();
        let found = all.into_iter().find(|rung| rung.name == "90p").unwrap();
        (found.state, found.restarts, found.error)
    };
    assert_eq!(state(&rig), (RungState::Restarting, 1, Some("signal 11".to_owned())));
    // While its encoder is away, what the source gives is lost to it.
    for second in 5..9 {
        rig.play(FEED, 0.0, f64::from(second), f64::from(second + 1));
        while rig.session.rungs().is_some_and(|rungs| rungs.try_recv().is_ok()) {}
    }
    let (rung, source) = (rig.segments("90p"), rig.segments("source"));
    assert!(rung.iter().any(SegmentEntry::is_gap), "gaps are listed as they arise: {rung:?}");
    assert_eq!(rung.last().unwrap().number, source.last().unwrap().number, "its playlist moves on");
    // It is there again in the middle of a segment.
    rig.play_slowly(9.0, 16.0);
    let (rung, source) = (rig.segments("90p"), rig.segments("source"));
    for pair in rung.windows(2) {
        assert_eq!((pair[1].number, pair[1].start), (pair[0].number + 1, pair[0].end()), "no hole");
    }
    for entry in rung.iter() {
        let same = source.iter().find(|other| other.number == entry.number).unwrap();
        assert_eq!((entry.start, entry.discontinuity), (same.start, false), "{}", entry.number);
    }
    let gaps = rung.iter().filter(|entry| entry.is_gap()).count();
    assert!((1..=3).contains(&gaps) && !rung.last().unwrap().is_gap(), "{gaps}");
    assert_eq!(state(&rig), (RungState::Running, 1, None));
    let lost = rig.session.rung_statuses().into_iter().find(|rung| rung.name == "never").unwrap();
    assert_eq!((lost.state, lost.encoder.as_deref()), (RungState::Lost, Some("fake")));
    assert!(!source.iter().any(|entry| entry.is_gap() || entry.discontinuity), "the source goes on");
}
