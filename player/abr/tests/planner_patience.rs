//! The planner does not change what is on screen where a little patience does as well.

mod world;

use std::time::Duration;

use weir_abr::{
    Command, Event, Planner, RungId, Track, TrackKind,
    planner::{Config, FetchId, Live, QualityChoice},
};
use world::{Answer, KBPS, World, track};

const M: f64 = 1e6;

#[test]
fn a_quota_of_bytes_makes_it_wait_for_room_and_not_change_the_quality() {
    // Twelve seconds at the top rung.
    let config = Config { max_bytes: (KBPS[4] * 1000.0 / 8.0 * 12.0) as u64, ..Config::default() };
    let quota = config.max_bytes as f64;
    let mut world = World::new(config, vec![track(TrackKind::Video, &KBPS, 45, 4.0)], |_| 50.0 * M).begin();
    world.run(300.0);
    assert!(world.ended && world.stalls.is_empty(), "{:?}", world.stalls);
    let low: Vec<_> = world.fetches.iter().filter(|fetch| fetch.at > 20.0 && fetch.rung < 4).collect();
    assert!(low.is_empty(), "{low:?}");
    assert!(world.switches_after(20.0) == 0 && world.bytes > 10.0 * quota, "{:?}", world.shown);
}

#[test]
fn a_quota_that_holds_a_few_seconds_only_lowers_the_quality() {
    // Four seconds at the top rung: one segment, which is no buffer.
    let config = Config { max_bytes: (KBPS[4] * 1000.0 / 8.0 * 4.0) as u64, ..Config::default() };
    let mut world = World::new(config, vec![track(TrackKind::Video, &KBPS, 45, 4.0)], |_| 50.0 * M).begin();
    world.run(300.0);
    assert!(world.ended && world.stalls.is_empty(), "{:?}", world.stalls);
    let top = world.shown.iter().map(|(_, rung)| *rung).max();
    assert!(top < Some(4) && world.switches_after(20.0) == 0, "{:?}", world.shown);
}

#[test]
fn a_short_silence_gives_nothing_up_while_the_buffer_is_long() {
    let mut world = World::video(160.0, |t| if (60.0..66.0).contains(&t) { 0.0 } else { 4.0 * M }).begin();
    world.run(300.0);
    assert!(world.ended && world.stalls.is_empty(), "{:?}", world.stalls);
    let given_up: Vec<_> = world.aborts.iter().filter(|(at, _)| (60.0..66.0).contains(at)).collect();
    assert!(given_up.is_empty(), "{given_up:?}");
}

#[test]
fn a_fast_link_shows_a_good_first_segment_and_hardly_later() {
    let mut world = World::video(60.0, |_| 50.0 * M).begin();
    world.run(100.0);
    let first = world.fetches.first().unwrap().rung;
    assert!(world.shown[0].1 > first, "fetched {first}, showed {:?}", world.shown);
    assert!(world.startup.unwrap() < 0.5, "{:?}", world.startup);
}

#[test]
fn a_better_first_segment_that_does_not_come_is_not_waited_for() {
    // The link is gone once the first segment is there.
    let mut world = World::video(60.0, |t| if (0.2..8.0).contains(&t) { 0.0 } else { 50.0 * M }).begin();
    world.run(100.0);
    assert!(world.ended);
    assert!(world.startup.unwrap() < 0.6, "{:?}", world.startup);
}

#[test]
fn a_download_that_was_given_up_before_its_request_went_out_leaves_nothing_behind() {
    let mut planner = Planner::new(Config::default()).unwrap();
    let tracks = vec![std::sync::Arc::new(track(TrackKind::Video, &KBPS, 45, 4.0))];
    planner.handle(Duration::ZERO, Event::Presentation { tracks, live: None });
    let fetch = |planner: &mut Planner, now| {
        std::iter::from_fn(|| planner.poll(now)).find_map(|command| match command {
            Command::Fetch { id, .. } => Some(id),
            _ => None,
        })
    };
    let first: FetchId = fetch(&mut planner, Duration::ZERO).unwrap();
    // The viewer goes elsewhere at once; news of the first request comes late.
    planner.handle(Duration::ZERO, Event::Seek(Duration::from_secs(100)));
    planner.handle(Duration::ZERO, Event::TransferStarted(first));
    let second = fetch(&mut planner, Duration::ZERO).unwrap();
    assert_ne!(first, second);
    let ms = Duration::from_millis;
    planner.handle(ms(10), Event::TransferStarted(second));
    planner.handle(ms(50), Event::FirstByte(second));
    planner.handle(ms(550), Event::TransferProgress(second, 250_000));
    planner.handle(ms(550), Event::TransferDone(second, 250_000));
    let kbps = planner.estimate().unwrap().kbps();
    assert!((kbps - 4000.0).abs() < 400.0, "{kbps}");
}

fn status(at: f64, status: u16) -> World {
    World::video(160.0, |_| 20.0 * M)
        .with_answers(move |request| if request.at >= at { Answer::Status(status) } else { Answer::Fine })
}

#[test]
fn a_server_that_only_refuses_is_given_up_when_nothing_is_left_to_play_and_not_before() {
    for code in [500, 503, 429, 404, 403] {
        let mut world = status(20.0, code).begin();
        world.run(200.0);
        let (at, reason) = world.failed.clone().unwrap_or_else(|| panic!("{code}: {:?}", world.stalls));
        assert!(reason.contains(&code.to_string()), "{reason}");
        let dry = world.stalls.first().map_or(at, |(since, _)| *since);
        // All that was buffered was played, but for segments that no rung has.
        assert!(dry > 40.0, "{code}: dry at {dry}");
        let most = if code == 404 || code == 403 { 6.0 } else { 26.0 };
        assert!(at - dry < most, "{code}: dry at {dry}, given up at {at}");
    }
}

#[test]
fn a_server_that_refuses_from_the_start_is_given_up_soon() {
    let mut world = status(0.0, 500).begin();
    world.run(100.0);
    let (at, _) = world.failed.clone().unwrap();
    assert!((15.0..30.0).contains(&at), "{at}");
    assert!(world.fetches.len() >= 6, "{}", world.fetches.len());
}

#[test]
fn a_server_that_refuses_for_a_while_is_waited_for() {
    for (long, code) in [(40.0, 500), (30.0, 404)] {
        let mut world = World::video(160.0, |_| 20.0 * M)
            .with_answers(move |request| {
                let off = (20.0..20.0 + long).contains(&request.at);
                if off { Answer::Status(code) } else { Answer::Fine }
            })
            .begin();
        world.run(300.0);
        assert!(world.ended, "{code}: {:?}", world.failed);
        // What was said not to be there was left out, and no more than that.
        assert!(world.skips.len() < 8, "{:?}", world.skips);
    }
}

#[test]
fn a_network_that_is_away_is_waited_for_longer_than_a_server_that_says_no() {
    let mut world = World::video(160.0, |_| 20.0 * M)
        .with_answers(
            |request| {
                if (20.0..110.0).contains(&request.at) { Answer::Refused } else { Answer::Fine }
            },
        )
        .begin();
    world.run(400.0);
    assert!(world.ended, "{:?}", world.failed);
}

#[test]
fn a_rung_that_the_server_refuses_gives_way_to_one_that_it_does_not() {
    for bad in [0, 4] {
        let mut world = World::video(100.0, |_| 20.0 * M)
            .with_answers(move |request| if request.rung == bad { Answer::Status(500) } else { Answer::Fine })
            .begin();
        world.run(200.0);
        assert!(world.ended && world.skips.is_empty(), "{bad}: {:?}", world.failed);
    }
    // Also upwards, from the lowest rung by hand.
    let mut world = World::video(60.0, |_| 20.0 * M)
        .with_answers(|request| if request.rung == 0 { Answer::Status(500) } else { Answer::Fine })
        .begin();
    world.tell(Event::Quality(QualityChoice::Manual(RungId(0))));
    world.run(200.0);
    assert!(world.ended && world.skips.is_empty(), "{:?}", world.failed);
}

#[test]
fn rubbish_is_fetched_once_more_where_there_is_no_other_quality() {
    let mut times = 0;
    let mut world =
        World::new(Config::default(), vec![track(TrackKind::Video, &KBPS[..1], 20, 4.0)], |_| 20.0 * M)
            .with_answers(move |request| {
                times += u32::from(request.index == 5);
                if request.index == 5 && times == 1 { Answer::Corrupt } else { Answer::Fine }
            })
            .begin();
    world.run(200.0);
    assert!(world.ended && world.skips.is_empty() && world.stalls.is_empty(), "{:?}", world.skips);
}

#[test]
fn a_server_whose_answers_all_break_off_is_not_waited_for_either() {
    let mut world = World::video(160.0, |_| 20.0 * M).with_answers(|_| Answer::Truncated).begin();
    world.run(200.0);
    let (at, reason) = world.failed.clone().unwrap();
    assert!(at < 40.0 && reason.contains("ended early"), "{at} {reason}");
}

fn window(from: u64, count: usize) -> Vec<Track> {
    let mut all = track(TrackKind::Video, &KBPS, from as usize + count, 2.0);
    all.segments.drain(..from as usize);
    all.first_index = from;
    vec![all]
}

#[test]
fn who_paused_for_longer_than_the_window_goes_on_at_the_oldest_place_that_there_is() {
    let edge = Live { target_latency: Duration::from_secs(6), start_at_edge: true };
    let mut world = World::new(Config::default(), window(0, 20), |_| 20.0 * M).with_live(edge).begin();
    world.run(4.0);
    world.tell(Event::Paused(true));
    for step in 1..60 {
        world.run(2.0);
        world.change(window(step, 20), Some(edge));
    }
    assert!(world.seeks_ready.is_empty(), "nothing moves while it is paused: {:?}", world.seeks_ready);
    let last = world.fetches.last().unwrap().at;
    assert!(last < 60.0, "what nobody will see is not fetched: {last}");
    world.tell(Event::Paused(false));
    for step in 60..70 {
        world.run(2.0);
        world.change(window(step, 20), Some(edge));
    }
    assert_eq!(world.seeks_ready.len(), 1, "{:?}", world.seeks_ready);
    // The window went from 118 to 158 s then.
    assert!((120.0..126.0).contains(&world.seeks_ready[0].1), "{:?}", world.seeks_ready);
    assert!(world.failed.is_none() && world.position() > 130.0, "{:?} {}", world.failed, world.position());
}

#[test]
fn a_download_that_stands_still_is_kept_for_nothing_else_would_come_either() {
    let config = Config { max_buffer: Duration::from_secs(10), ..Config::default() };
    let link = |t: f64| if t % 8.0 < 4.5 { 6.0 * M } else { 0.0 };
    let mut world = World::new(config, vec![track(TrackKind::Video, &KBPS, 50, 4.0)], link).begin();
    world.run(300.0);
    assert!(world.ended, "{:?}", world.failed);
    let silent: Vec<_> = world.aborts.iter().filter(|(at, _)| at % 8.0 > 6.1).collect();
    assert!(silent.is_empty(), "{silent:?}");
    assert!(world.stalled_for() < 2.0, "{:?}", world.stalls);
}
