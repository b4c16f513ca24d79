//! The planner on networks and servers that misbehave in known ways.

mod world;

use weir_abr::{
    Event, RungId, TrackKind,
    planner::{Caps, Config, Live, QualityChoice},
};
use world::{Answer, KBPS, World, secs, track};

const M: f64 = 1e6;

#[test]
fn plays_a_fast_link_at_the_top_without_a_stall() {
    let mut world = World::video(120.0, |_| 50.0 * M).begin();
    world.run(200.0);
    assert!(world.ended);
    assert!(world.stalls.is_empty(), "{:?}", world.stalls);
    assert!(world.startup.unwrap() < 0.5);
    assert_eq!(world.shown_at(20.0), 4);
    assert!(world.played_kbps() > 4000.0, "{}", world.played_kbps());
}

#[test]
fn settles_near_the_bound_on_a_constant_link_and_wastes_nearly_nothing() {
    let mut world = World::video(180.0, |_| 2.87 * M).begin();
    world.run(300.0);
    assert!(world.ended && world.stalls.is_empty());
    eprintln!("{:?} {} {}", world.shown, world.played_kbps(), world.wasted_share());
    assert!(world.wasted_share() < 0.03, "{}", world.wasted_share());
    assert!(world.played_kbps() > 1750.0, "{}", world.played_kbps());
    assert!(world.startup.unwrap() < 2.0);
}

#[test]
fn goes_down_and_up_again_on_a_step_without_stalling() {
    let mut world =
        World::video(240.0, |t| if (60.0..120.0).contains(&t) { 0.6 * M } else { 5.0 * M }).begin();
    world.run(400.0);
    assert!(world.ended);
    eprintln!("{:?}", world.shown);
    assert!(world.stalls.is_empty(), "{:?}", world.stalls);
    assert!(world.shown_at(55.0) >= 3);
    assert!((60.0..130.0).any(|t| world.shown_at(t) <= 1));
    assert!(world.shown_at(160.0) >= 3, "{:?}", world.shown);
}

#[test]
fn goes_down_on_a_step_without_being_told_sizes() {
    let mut world = World::video(240.0, |t| if (60.0..120.0).contains(&t) { 0.6 * M } else { 5.0 * M });
    world.tells_size = false;
    let mut world = world.begin();
    world.run(400.0);
    assert!(world.ended && world.stalls.is_empty(), "{:?}", world.stalls);
}

trait Any {
    fn any(self, check: impl Fn(f64) -> bool) -> bool;
}

impl Any for std::ops::Range<f64> {
    fn any(self, check: impl Fn(f64) -> bool) -> bool {
        let steps = ((self.end - self.start) / 0.1) as u32;
        (0..steps).any(|step| check(self.start + f64::from(step) * 0.1))
    }
}

#[test]
fn survives_ten_seconds_without_any_network() {
    let mut world = World::video(160.0, |t| if (60.0..70.0).contains(&t) { 0.0 } else { 3.0 * M }).begin();
    world.run(300.0);
    assert!(world.ended);
    assert!(world.stalls.is_empty(), "{:?}", world.stalls);
}

#[test]
fn survives_a_server_that_is_away_for_twenty_seconds() {
    let mut world = World::video(160.0, |_| 5.0 * M)
        .with_answers(
            |request| if (50.0..70.0).contains(&request.at) { Answer::Refused } else { Answer::Fine },
        )
        .begin();
    world.run(300.0);
    assert!(world.ended, "{:?}", world.failed);
    assert!(world.stalls.is_empty(), "{:?}", world.stalls);
    let tries = world.fetches.iter().filter(|fetch| (50.0..70.0).contains(&fetch.at)).count();
    assert!((3..20).contains(&tries), "{tries}");
}

#[test]
fn survives_a_server_that_comes_back_after_the_stall_began() {
    let mut world = World::video(160.0, |_| 5.0 * M)
        .with_answers(
            |request| if (20.0..80.0).contains(&request.at) { Answer::Refused } else { Answer::Fine },
        )
        .begin();
    world.run(400.0);
    assert!(world.ended, "{:?}", world.failed);
    assert_eq!(world.stalls.len(), 1);
}

#[test]
fn says_what_failed_when_the_server_never_comes_back() {
    let mut world = World::video(160.0, |_| 5.0 * M)
        .with_answers(|request| if request.at > 20.0 { Answer::Refused } else { Answer::Fine })
        .begin();
    world.run(400.0);
    let (at, reason) = world.failed.clone().unwrap();
    assert!((80.0..180.0).contains(&at), "{at}");
    assert!(reason.contains("could not be reached") && reason.contains("Check"), "{reason}");
}

#[test]
fn takes_another_rung_for_a_segment_that_one_rung_lacks() {
    let mut world = World::video(100.0, |_| 20.0 * M)
        .with_answers(|request| {
            if request.index == 7 && request.rung >= 3 { Answer::Status(404) } else { Answer::Fine }
        })
        .begin();
    world.run(200.0);
    assert!(world.ended && world.stalls.is_empty() && world.skips.is_empty());
    assert!(world.fetches.iter().any(|fetch| fetch.index == 7 && fetch.rung < 3));
    assert_eq!(world.shown_at(60.0), 4);
}

#[test]
fn jumps_over_a_segment_that_nobody_has() {
    let mut world = World::video(100.0, |_| 20.0 * M)
        .with_answers(|request| if request.index == 7 { Answer::Status(404) } else { Answer::Fine })
        .begin();
    world.run(200.0);
    assert!(world.ended && world.failed.is_none());
    assert_eq!(world.skips, [(TrackKind::Video, 7)]);
    assert!(world.stalls.is_empty(), "{:?}", world.stalls);
}

#[test]
fn skips_a_corrupt_first_segment_and_starts_after_it() {
    let mut world = World::video(60.0, |_| 20.0 * M)
        .with_answers(|request| if request.index == 0 { Answer::Corrupt } else { Answer::Fine })
        .begin();
    world.run(100.0);
    assert!(world.ended && world.failed.is_none());
    assert_eq!(world.skips, [(TrackKind::Video, 0)]);
}

#[test]
fn one_segment_that_is_corrupt_everywhere_speaks_against_no_rung() {
    let mut world = World::video(100.0, |_| 20.0 * M)
        .with_answers(|request| if request.index == 0 { Answer::Corrupt } else { Answer::Fine })
        .begin();
    world.run(200.0);
    assert!(world.ended);
    assert_eq!(world.shown_at(60.0), 4);
}

#[test]
fn says_so_when_a_short_stream_has_no_segment_that_can_be_had() {
    let mut world = World::video(12.0, |_| 20.0 * M).with_answers(|_| Answer::Status(404)).begin();
    world.run(60.0);
    let (at, reason) = world.failed.clone().unwrap();
    assert!(
        at < 20.0 && reason.contains("None of the video segments") && reason.contains("404"),
        "{at} {reason}"
    );
}

#[test]
fn rungs_that_are_withheld_are_not_asked_for_until_they_are_there_again() {
    let mut world = World::video(120.0, |_| 20.0 * M).begin();
    world.tell(Event::Withheld(vec![RungId(4), RungId(2)]));
    world.run(30.0);
    assert!(world.fetches.iter().all(|fetch| ![2, 4].contains(&fetch.rung)), "{:?}", world.fetches);
    assert_eq!(world.shown_at(25.0), 3);
    world.tell(Event::Withheld(Vec::new()));
    world.run(200.0);
    assert!(world.ended && world.stalls.is_empty());
    assert_eq!(world.shown_at(110.0), 4);
    // All of them cannot be meant.
    let mut world = World::video(20.0, |_| 20.0 * M).begin();
    world.tell(Event::Withheld((0..5).map(RungId).collect()));
    world.run(60.0);
    assert!(world.ended);
}

#[test]
fn says_so_when_everything_arrives_and_none_of_it_is_media() {
    let mut world = World::video(100.0, |_| 20.0 * M).with_answers(|_| Answer::Corrupt).begin();
    world.run(200.0);
    let (at, reason) = world.failed.clone().unwrap();
    assert!(at < 20.0 && reason.contains("no media could be read"), "{at} {reason}");
    assert_eq!(world.skips.len(), 8);
}

#[test]
fn says_so_when_a_live_stream_turns_into_what_is_no_media() {
    let edge = Live { target_latency: secs(6.0), start_at_edge: true };
    let mut world = World::new(Config::default(), vec![live(20, 0)], |_| 20.0 * M)
        .with_live(edge)
        .with_answers(|request| if request.index >= 25 { Answer::Corrupt } else { Answer::Fine })
        .begin();
    for count in 21..60_u64 {
        world.run(2.0);
        world.change(vec![live(count, count.saturating_sub(5))], Some(edge));
    }
    let (at, reason) = world.failed.clone().unwrap();
    assert!(at < 60.0 && reason.contains("no media could be read"), "{at} {reason}");
}

#[test]
fn retries_a_truncated_segment() {
    let mut times = 0;
    let mut world = World::video(100.0, |_| 20.0 * M)
        .with_answers(move |request| {
            times += u32::from(request.index == 5);
            if request.index == 5 && times <= 2 { Answer::Truncated } else { Answer::Fine }
        })
        .begin();
    world.run(200.0);
    assert!(world.ended && world.skips.is_empty() && world.stalls.is_empty());
}

#[test]
fn leaves_a_rung_that_cannot_be_decoded() {
    let mut world = World::video(100.0, |_| 20.0 * M)
        .with_answers(|request| if request.rung == 4 { Answer::Unplayable } else { Answer::Fine })
        .begin();
    world.run(200.0);
    assert!(world.ended && world.skips.is_empty() && world.failed.is_none());
    assert_eq!(world.fetches.iter().filter(|fetch| fetch.rung == 4).count(), 2);
    assert_eq!(world.shown_at(60.0), 3);
}

#[test]
fn says_so_when_no_rung_can_be_decoded() {
    let mut world = World::video(100.0, |_| 20.0 * M).with_answers(|_| Answer::Unplayable).begin();
    world.run(200.0);
    let (at, reason) = world.failed.clone().unwrap();
    assert!(at < 20.0 && reason.contains("decode"), "{at} {reason}");
}

#[test]
fn says_so_when_the_server_refuses_everything() {
    let mut world = World::video(100.0, |_| 20.0 * M).with_answers(|_| Answer::Status(403)).begin();
    world.run(200.0);
    let (at, reason) = world.failed.clone().unwrap();
    assert!(at < 20.0 && reason.contains("403"), "{at} {reason}");
}

#[test]
fn asks_again_when_an_answer_never_comes() {
    let mut world = World::video(100.0, |_| 5.0 * M)
        .with_answers(
            |request| {
                if (30.0..32.0).contains(&request.at) { Answer::Silence } else { Answer::Fine }
            },
        )
        .begin();
    world.run(200.0);
    assert!(world.ended && world.stalls.is_empty(), "{:?}", world.stalls);
}

#[test]
fn seeks_inside_the_buffer_at_once_and_fetches_nothing_again() {
    let mut world = World::video(200.0, |_| 20.0 * M).begin();
    world.run(40.0);
    let position = world.position();
    world.tell(Event::Seek(secs(position + 10.0)));
    let (at, to) = world.seeks_ready[0];
    assert!((at - 40.0).abs() < 1e-6 && (to - position - 10.0).abs() < 1e-6);
    world.run(10.0);
    // Back again: still held.
    world.tell(Event::Seek(secs(position)));
    assert_eq!(world.seeks_ready.len(), 2);
    world.run(300.0);
    assert!(world.ended && world.stalls.is_empty());
}

#[test]
fn seeks_outside_the_buffer_and_plays_on_soon() {
    let mut world = World::video(400.0, |_| 5.0 * M).begin();
    world.run(30.0);
    world.tell(Event::Seek(secs(301.0)));
    assert!(world.seeks_ready.is_empty());
    world.run(5.0);
    let (at, to) = world.seeks_ready[0];
    assert!(at < 32.5 && (to - 301.0).abs() < 1e-6, "{at} {to}");
    world.run(300.0);
    assert!(world.ended && world.stalls.is_empty());
}

#[test]
fn seeks_again_and_again_without_getting_lost() {
    let mut world = World::video(400.0, |_| 5.0 * M).begin();
    for place in [300.0, 10.0, 350.0, 5.0, 200.0, 201.0, 199.0, 399.9, 0.0, 120.0] {
        world.run(0.7);
        world.tell(Event::Seek(secs(place)));
    }
    world.run(400.0);
    assert!(world.ended && world.failed.is_none());
}

#[test]
fn goes_on_buffering_while_paused() {
    let mut world = World::video(200.0, |_| 5.0 * M).begin();
    world.run(3.0);
    world.tell(Event::Paused(true));
    world.run(60.0);
    assert!(world.planner.buffer_level() > secs(25.0), "{:?}", world.planner.buffer_level());
    world.tell(Event::Paused(false));
    world.run(300.0);
    assert!(world.ended && world.stalls.is_empty());
}

#[test]
fn a_manual_choice_is_seen_soon_and_stays() {
    let mut world = World::video(200.0, |_| 20.0 * M).begin();
    world.run(60.0);
    assert_eq!(world.shown_at(60.0), 4);
    world.tell(Event::Quality(QualityChoice::Manual(RungId(1))));
    world.run(15.0);
    assert_eq!(world.shown_at(74.9), 1, "{:?}", world.shown);
    world.run(300.0);
    assert!(world.ended && world.stalls.is_empty());
    assert_eq!(world.shown_at(190.0), 1);
}

#[test]
fn never_goes_above_a_cap() {
    let mut world = World::video(120.0, |_| 50.0 * M);
    world.tell(Event::Caps(Caps { height: Some(480), bitrate: None }));
    let mut world = world.begin();
    world.run(200.0);
    assert!(world.ended);
    assert!(world.fetches.iter().all(|fetch| fetch.rung <= 2));
    assert_eq!(world.shown_at(100.0), 2);
}

#[test]
fn goes_down_when_frames_come_too_late() {
    let mut world = World::video(200.0, |_| 50.0 * M).begin();
    world.run(60.0);
    world.tell(Event::DroppedFrames { dropped: 60, total: 150 });
    world.run(10.0);
    assert!(world.fetches.iter().filter(|fetch| fetch.at > 60.0).all(|fetch| fetch.rung <= 3));
    assert!(world.fetches.iter().any(|fetch| fetch.at > 60.0));
    // What was buffered above it is not waited out: half a minute of pictures that nobody sees.
    assert!(world.fetches.iter().any(|fetch| fetch.at > 60.0 && fetch.replace));
    assert!(world.shown_at(69.0) <= 3, "{:?}", world.shown);
}

#[test]
fn keeps_separate_audio_level_with_video() {
    let tracks =
        || vec![track(TrackKind::Video, &KBPS, 40, 4.0), track(TrackKind::Audio, &[64.0, 128.0], 80, 2.0)];
    let link = |t: f64| if (60.0..120.0).contains(&t) { 0.7 * M } else { 4.0 * M };
    let mut world = World::new(Config::default(), tracks(), link).begin();
    world.run(300.0);
    assert!(world.ended, "{:?}", world.failed);
    assert!(world.stalls.is_empty(), "{:?} {:?}", world.stalls, world.shown);
    assert!(world.shown_at(150.0) >= 2, "{:?}", world.shown);
}

#[test]
fn gives_a_download_up_in_mid_segment_when_the_link_collapses() {
    let config = Config { max_buffer: secs(12.0), ..Config::default() };
    let video = track(TrackKind::Video, &KBPS, 50, 4.0);
    let mut world =
        World::new(config, vec![video], |t| if (41.0..90.0).contains(&t) { 0.45 * M } else { 6.0 * M })
            .begin();
    world.run(300.0);
    assert!(world.ended);
    assert!(!world.aborts.is_empty());
    assert!(world.stalled_for() < 1.0, "{:?} {:?}", world.stalls, world.shown);
}

#[test]
fn replaces_low_quality_after_the_link_is_back() {
    let mut world = World::video(160.0, |t| if t < 40.0 { 0.8 * M } else { 8.0 * M }).begin();
    world.run(300.0);
    assert!(world.ended && world.stalls.is_empty());
    assert!(world.fetches.iter().any(|fetch| fetch.replace));
    // Without replacing, what was buffered would be shown for up to 30 s more.
    assert!(world.shown_at(55.0) >= 3, "{:?}", world.shown);
}

#[test]
fn starts_at_what_it_remembers() {
    let mut world = World::video(100.0, |_| 8.0 * M);
    world.tell(Event::RememberedThroughput(weir_abr::Bitrate::from_kbps(8000.0), secs(60.0)));
    let mut world = world.begin();
    world.run(5.0);
    assert_eq!(world.fetches[0].rung, 3);
    assert!(world.startup.unwrap() < 2.2, "{:?}", world.startup);
}

#[test]
fn does_not_insist_on_a_memory_that_was_wrong() {
    let mut world = World::video(100.0, |_| 0.5 * M);
    world.tell(Event::RememberedThroughput(weir_abr::Bitrate::from_kbps(50_000.0), secs(60.0)));
    let mut world = world.begin();
    world.run(300.0);
    assert!(world.startup.unwrap() < 8.0, "{:?}", world.startup);
    assert!(world.stalled_for() < 2.0, "{:?}", world.stalls);
}

fn live(count: u64, first: u64) -> weir_abr::Track {
    let mut track = track(TrackKind::Video, &KBPS, count as usize, 2.0);
    track.segments.drain(..first as usize);
    track.first_index = first;
    track
}

#[test]
fn follows_a_live_edge_at_the_wanted_distance() {
    let edge = Live { target_latency: secs(6.0), start_at_edge: true };
    let mut world = World::new(Config::default(), vec![live(20, 0)], |_| 6.0 * M).with_live(edge).begin();
    for count in 21..90_u64 {
        world.run(2.0);
        world.change(vec![live(count, count.saturating_sub(20))], Some(edge));
    }
    assert!(world.failed.is_none());
    assert!(world.stalled_for() < 0.1, "{:?}", world.stalls);
    let latency = 89.0 * 2.0 - world.position();
    assert!((4.0..10.0).contains(&latency), "{latency}");
    assert!(world.shown_at(130.0) >= 3);
}

#[test]
fn a_viewer_who_went_back_in_a_live_stream_sees_it_at_its_own_speed_until_he_returns_to_the_edge() {
    let edge = Live { target_latency: secs(6.0), start_at_edge: true };
    let mut world = World::new(Config::default(), vec![live(60, 0)], |_| 6.0 * M).with_live(edge).begin();
    world.run(4.0);
    world.tell(Event::Seek(secs(40.0)));
    world.run(2.0);
    let (from, since) = (world.position(), 20.0);
    for count in 61..71_u64 {
        world.run(2.0);
        world.change(vec![live(count, 0)], Some(edge));
    }
    let pace = (world.position() - from) / since;
    assert!((0.98..1.02).contains(&pace), "played at {pace}");
    // Back at the edge, a little late: caught up.
    world.tell(Event::Seek(secs(142.0 - 12.0)));
    for count in 71..121_u64 {
        world.run(2.0);
        world.change(vec![live(count, 0)], Some(edge));
    }
    let latency = 240.0 - world.position();
    assert!((4.0..10.0).contains(&latency), "{latency}");
}

#[test]
fn waits_at_the_end_of_an_event_that_still_grows() {
    let event = Live { target_latency: secs(6.0), start_at_edge: false };
    let mut world = World::new(Config::default(), vec![live(3, 0)], |_| 20.0 * M).with_live(event).begin();
    world.run(20.0);
    assert!(world.started && world.stalled_for() > 10.0);
    world.change(vec![live(10, 0)], None);
    world.run(40.0);
    assert!(world.ended, "{}", world.position());
}
