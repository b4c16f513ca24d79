//! Seeking, by the frame number that the test card burns into each picture.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use std::{sync::Arc, time::Duration};

use gstreamer_video::prelude::*;
use weir_engine::{Options, Player, State};
use weir_tests::{
    Server, fixture,
    screen::until,
    test_card::{Code, Luma},
};

fn code(frame: &weir_engine::playback::VideoFrame) -> Option<Code> {
    let (width, height) = (frame.frame.width() as usize, frame.frame.height() as usize);
    let stride = frame.frame.plane_stride()[0] as usize;
    let plane = frame.frame.plane_data(0).ok()?;
    let data = plane.chunks(stride).take(height).flat_map(|row| row[..width].iter().copied()).collect();
    Luma { width, height, data }.code()
}

fn wait_state(player: &Player, state: State) {
    until(Duration::from_secs(20), || {
        let snapshot = player.snapshot();
        anyhow::ensure!(snapshot.error.is_none(), "{:?}", snapshot.error);
        Ok((snapshot.state == state).then_some(()))
    })
    .unwrap();
}

/// The frame number of the picture that stays, once the wanted one was there: one from before the seek may still come.
fn frame_at(player: &Player, target: Duration) -> u32 {
    let wanted = target.as_secs_f64() * 25.0;
    let mut last = None;
    let mut look = || {
        last = player.take_frame().and_then(|frame| code(&frame)).map(|code| code.frame).or(last);
        last
    };
    let near = |frame: &u32| (f64::from(*frame) - wanted).abs() < 1.01;
    let found = until(Duration::from_secs(10), || Ok(look().filter(near)));
    // Paused: whatever comes after it would be wrong, and is reported instead.
    std::thread::sleep(Duration::from_millis(150));
    match (found, look()) {
        (Ok(_), Some(frame)) => frame,
        (_, last) => panic!("seeking to {target:?}: the last picture is {last:?}"),
    }
}

#[test]
fn a_seek_shows_the_frame_that_was_asked_for() {
    let data = fixture::packaged().unwrap();
    let server = Server::start(data.path()).unwrap();
    let url = server.hls(fixture::SHORT).parse().unwrap();
    // A small buffer, so that some targets lie inside it and some do not.
    let mut options = Options { headless: true, ..Options::default() };
    options.planner.max_buffer = Duration::from_secs(8);
    let player = weir_engine::open(url, options, Arc::new(|| {}));
    wait_state(&player, State::Playing);
    player.pause();
    wait_state(&player, State::Paused);

    for target_ms in [1_000, 3_480, 7_020, 19_960, 12_345, 12_385, 500, 23_000, 0] {
        let target = Duration::from_millis(target_ms);
        while player.take_frame().is_some() {}
        player.seek(target, true);
        let frame = frame_at(&player, target);
        let off = f64::from(frame) / 25.0 - target.as_secs_f64();
        assert!(off.abs() <= 0.0401, "asked for {target:?}, got frame {frame}: {off} s off");
    }

    player.play();
    wait_state(&player, State::Playing);
    let from = player.snapshot().position;
    until(Duration::from_secs(5), || {
        Ok((player.snapshot().position > from + Duration::from_secs(1)).then_some(()))
    })
    .unwrap();
}
