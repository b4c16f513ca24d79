//! The planner does not change what is on screen where a little patience does as well.

mod world;

use std::time::Duration;

use weir_abr::{
    Command, Event, Planner, TrackKind,
    planner::{Config, FetchId},
};
use world::{KBPS, World, track};

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
