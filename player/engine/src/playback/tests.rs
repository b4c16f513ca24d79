use std::{
    sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use gstreamer::prelude::*;
use tokio::sync::mpsc;

use super::{
    Event, Matrix, Options, PixelFormat, Playback, PlaybackError, Tracks, VideoFrame, video::Screen,
};
use crate::{
    demux::{
        Demuxer, GstDemuxer, InitSegment, StreamKind,
        test_media::{self as media, Cut, FPS, LARGE, Order, PATIENCE, Rung, SEGMENT_S, SMALL},
    },
    samples::{SECOND, Segment, SharedTrack, Tag},
};

const FRAME: Duration = Duration::from_millis(1000 / FPS);
const SECONDS: u64 = 8;

/// Media that all tests share: encoding it takes longer than most of them.
fn small() -> &'static Cut {
    static CUT: OnceLock<Cut> = OnceLock::new();
    CUT.get_or_init(|| media::video_mp4(SMALL, SECONDS, Order::Straight))
}

fn large() -> &'static Cut {
    static CUT: OnceLock<Cut> = OnceLock::new();
    CUT.get_or_init(|| media::video_mp4(LARGE, SECONDS, Order::Straight))
}

fn sound() -> &'static Cut {
    static CUT: OnceLock<Cut> = OnceLock::new();
    CUT.get_or_init(|| media::audio_mp4(SECONDS))
}

/// Segment `at` of `cut` as the session would insert it.
fn segments(cut: &Cut, at: usize, rung: usize) -> Vec<(StreamKind, Segment)> {
    let init = cut.init.clone().map(|bytes| InitSegment { bytes });
    let demuxed = GstDemuxer::new().unwrap().append(init.as_ref(), cut.segments[at].clone()).unwrap();
    let start = at as i64 * SEGMENT_S as i64 * SECOND;
    let tag = Tag { segment: at as u64, rung };
    let end = start + SEGMENT_S as i64 * SECOND;
    demuxed
        .streams
        .into_iter()
        .map(|stream| (stream.kind, Segment { tag, start, end, samples: stream.samples }))
        .collect()
}

fn fill(track: &SharedTrack, cut: &Cut, at: usize, rung: usize) {
    let (_, segment) = segments(cut, at, rung).remove(0);
    track.edit(|buffer| buffer.insert(segment));
}

/// All of `cut`, ended.
fn filled(cut: &Cut, rung: usize) -> Arc<SharedTrack> {
    let track = Arc::new(SharedTrack::new());
    for at in 0..cut.segments.len() {
        fill(&track, cut, at, rung);
    }
    track.edit(|buffer| buffer.set_last(Some(cut.segments.len() as u64 - 1)));
    track
}

fn video_only(track: &Arc<SharedTrack>) -> Tracks {
    Tracks { video: Some(Arc::clone(track)), audio: None }
}

/// A frame as the test card in it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shown {
    number: u64,
    rung: usize,
    position: Duration,
    at: Instant,
}

#[derive(Default)]
struct Gallery {
    frames: Mutex<Vec<Shown>>,
    arrived: Condvar,
}

/// A playback of which each frame is looked at, by a thread that takes it from the slot as a window would.
struct Watched {
    playback: Playback,
    events: mpsc::Receiver<Event>,
    seen: Vec<Event>,
    gallery: Arc<Gallery>,
}

fn headless() -> Options {
    Options { headless: true, ..Options::default() }
}

impl Watched {
    fn new(options: Options, tracks: Tracks) -> Self {
        let (sender, events) = mpsc::channel(256);
        let gallery = Arc::new(Gallery::default());
        // The frame is taken inside the callback, so that none is missed on a busy machine.
        let screen: Arc<OnceLock<Weak<Screen>>> = Arc::default();
        let (slot, frames) = (Arc::clone(&screen), Arc::clone(&gallery));
        let wake = Arc::new(move || {
            let frame = slot.get().and_then(|screen| screen.upgrade()?.take());
            if let Some(shown) = frame.as_ref().and_then(look) {
                frames.frames.lock().unwrap_or_else(PoisonError::into_inner).push(shown);
                frames.arrived.notify_all();
            }
        });
        let playback = Playback::new(options, tracks, sender, wake).unwrap();
        assert!(screen.set(Arc::downgrade(&playback.screen)).is_ok());
        // Other tests keep the machine busy: a late picture is to be counted here, not left out.
        if let Some(sink) = playback.view.sink().filter(|sink| sink.has_property("qos")) {
            sink.set_property("qos", false);
            sink.set_property("max-lateness", -1_i64);
        }
        Self { playback, events, seen: Vec::new(), gallery }
    }

    #[track_caller]
    fn until(&mut self, what: impl Fn(&Event) -> bool) -> Event {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.events.try_recv() {
                Ok(event) => {
                    self.seen.push(event.clone());
                    if what(&event) {
                        return event;
                    }
                }
                Err(_) => thread::sleep(Duration::from_millis(2)),
            }
        }
        panic!("the event did not come; there were {:?}", self.seen);
    }

    #[track_caller]
    fn seeked(&mut self) -> Duration {
        match self.until(|event| matches!(event, Event::Seeked { .. })) {
            Event::Seeked { position } => position,
            _ => unreachable!(),
        }
    }

    #[track_caller]
    fn ended(&mut self) {
        self.until(|event| matches!(event, Event::Ended));
    }

    /// Waits for a frame that `what` accepts, among those from `from` on.
    #[track_caller]
    fn frame(&self, from: usize, what: impl Fn(&Shown) -> bool) -> Shown {
        let deadline = Instant::now() + PATIENCE;
        let mut frames = self.gallery.frames.lock().unwrap();
        loop {
            if let Some(found) = frames.iter().skip(from).find(|shown| what(shown)) {
                return *found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the frame did not come; there were {frames:?}; events {:?}", self.seen);
            frames = self.gallery.arrived.wait_timeout(frames, left).unwrap().0;
        }
    }

    fn frames(&self) -> Vec<Shown> {
        self.gallery.frames.lock().unwrap().clone()
    }

    fn count(&self) -> usize {
        self.gallery.frames.lock().unwrap().len()
    }

    #[track_caller]
    fn prepare(&mut self, position: Duration) {
        self.playback.prepare(position);
        self.seeked();
    }
}

fn look(frame: &VideoFrame) -> Option<Shown> {
    let view = frame.view()?;
    let (step, plane) = if view.format == PixelFormat::Rgba { (4, 0) } else { (1, 0) };
    let luma: Vec<u8> = view.planes[plane].data.iter().copied().step_by(step).collect();
    let (number, rung) = media::read_band(&luma, view.planes[plane].stride / step, view.width, view.height)?;
    Some(Shown { number, rung, position: view.position, at: Instant::now() })
}

#[test]
fn nothing_to_play_is_an_error() {
    let (sender, _events) = mpsc::channel(1);
    let made = Playback::new(headless(), Tracks::default(), sender, Arc::new(|| {}));
    assert!(matches!(made, Err(PlaybackError::NoTracks)));
}

#[test]
fn plays_every_frame_in_order_at_its_time_to_the_end() {
    let mut watched = Watched::new(headless(), video_only(&filled(small(), 0)));
    assert_eq!(watched.playback.position(), None);
    watched.prepare(Duration::ZERO);
    assert_eq!(watched.playback.position(), Some(Duration::ZERO));
    watched.playback.play();
    watched.ended();
    let frames = watched.frames();
    let numbers: Vec<u64> = frames.iter().map(|shown| shown.number).collect();
    let dropped = watched.playback.stats().dropped;
    assert_eq!(numbers.len() as u64 + dropped, SECONDS * FPS, "dropped {dropped}: {numbers:?}");
    assert!(numbers.is_sorted_by(|a, b| a < b));
    for shown in &frames {
        assert_eq!(shown.position.as_millis(), u128::from(shown.number * 1000 / FPS));
    }
    let took = frames.last().unwrap().at - frames[1].at;
    let media = Duration::from_secs(SECONDS) - 2 * FRAME;
    assert!(took.abs_diff(media) < Duration::from_millis(500), "{took:?} for {media:?}");
    assert!(watched.seen.contains(&Event::FirstFrame { height: SMALL.height as u32 }));
    let end = watched.playback.position().unwrap();
    assert!(end.abs_diff(Duration::from_secs(SECONDS)) < Duration::from_millis(500), "{end:?}");
}

#[test]
fn switches_between_rungs_without_losing_a_frame() {
    let track = Arc::new(SharedTrack::new());
    for (at, (cut, rung)) in [(small(), 0), (large(), 1), (small(), 0), (large(), 1)].into_iter().enumerate()
    {
        fill(&track, cut, at, rung);
    }
    track.edit(|buffer| buffer.set_last(Some(3)));
    let mut watched = Watched::new(headless(), video_only(&track));
    watched.prepare(Duration::ZERO);
    watched.playback.play();
    watched.ended();
    let frames = watched.frames();
    let dropped = watched.playback.stats().dropped;
    assert_eq!(frames.len() as u64 + dropped, SECONDS * FPS, "dropped {dropped}");
    for shown in &frames {
        assert_eq!(shown.rung as u64, shown.number / (SEGMENT_S * FPS) % 2, "{shown:?}");
    }
    let showing: Vec<(usize, u64, u32, Duration)> = watched
        .seen
        .iter()
        .filter_map(|event| match event {
            Event::Showing { rung, segment, height, position, .. } => {
                Some((*rung, *segment, *height, *position))
            }
            _ => None,
        })
        .collect();
    let expected =
        |at: u64, rung: Rung| (rung.rung, at, rung.height as u32, Duration::from_secs(at * SEGMENT_S));
    assert_eq!(showing, [expected(0, SMALL), expected(1, LARGE), expected(2, SMALL), expected(3, LARGE)]);
}

#[test]
fn an_exact_seek_shows_the_frame_of_its_target_and_a_rough_one_the_key_frame() {
    let mut watched = Watched::new(headless(), video_only(&filled(small(), 0)));
    watched.prepare(Duration::from_millis(2500));
    assert_eq!(watched.frame(0, |_| true).number, 62);
    for (to, exact, number) in
        [(5_700, true, 142), (1_019, true, 25), (6_039, true, 150), (6_041, true, 151), (3_700, false, 75)]
    {
        let before = watched.count();
        watched.playback.seek(Duration::from_millis(to), exact);
        let position = watched.seeked();
        let shown = watched.frame(before, |_| true);
        assert_eq!(shown.number, number, "seek to {to} ms");
        assert!(position <= Duration::from_millis(to));
        assert!(position.abs_diff(shown.position) < FRAME, "{position:?} {shown:?}");
        assert_eq!(watched.playback.position(), Some(position), "held");
    }
    assert_eq!(watched.playback.stats().dropped, 0);
}

#[test]
fn a_seek_while_playing_goes_on_playing_from_there() {
    let mut watched = Watched::new(headless(), video_only(&filled(small(), 0)));
    watched.prepare(Duration::ZERO);
    watched.playback.play();
    watched.frame(0, |shown| shown.number == 10);
    let before = watched.count();
    watched.playback.seek(Duration::from_secs(5), true);
    watched.frame(before, |shown| shown.number == 140);
    let frames = watched.frames();
    assert!(frames[before..].iter().all(|shown| shown.number < 30 || shown.number >= 125), "{frames:?}");
}

#[test]
fn many_wishes_end_at_the_last_one() {
    let mut watched = Watched::new(headless(), video_only(&filled(small(), 0)));
    watched.prepare(Duration::ZERO);
    for to in 0..60 {
        watched.playback.seek(Duration::from_millis(7000 - to * 100), true);
    }
    watched.until(|event| *event == Event::Seeked { position: Duration::from_millis(1100) });
    watched.frame(0, |shown| shown.number == 27);
}

#[test]
fn a_seek_waits_for_its_samples_and_a_later_one_replaces_it() {
    let track = Arc::new(SharedTrack::new());
    fill(&track, small(), 0, 0);
    let mut watched = Watched::new(headless(), video_only(&track));
    watched.prepare(Duration::ZERO);
    watched.playback.play();
    watched.frame(0, |shown| shown.number == 5);
    let target = Duration::from_secs(5);
    watched.playback.seek(target, true);
    // It is never reached: the next wish comes first.
    watched.playback.seek(Duration::from_millis(4500), true);
    assert_eq!(watched.playback.position(), Some(Duration::from_millis(4500)));
    fill(&track, small(), 2, 0);
    assert_eq!(watched.seeked(), Duration::from_millis(4500));
    watched.frame(0, |shown| shown.number == 120);
}

#[test]
fn holding_loses_nothing_and_bursts_nothing() {
    let track = Arc::new(SharedTrack::new());
    fill(&track, small(), 0, 0);
    let mut watched = Watched::new(headless(), video_only(&track));
    watched.prepare(Duration::ZERO);
    watched.playback.play();
    watched.frame(0, |shown| shown.number == 40);
    watched.playback.hold();
    // Pictures stop; what is in flight may still come.
    thread::sleep(Duration::from_millis(200));
    let held = watched.count();
    let position = watched.playback.position();
    thread::sleep(Duration::from_millis(600));
    assert_eq!(watched.count(), held);
    assert_eq!(watched.playback.position(), position);
    fill(&track, small(), 1, 0);
    track.edit(|buffer| buffer.set_last(Some(1)));
    watched.playback.play();
    watched.ended();
    let frames = watched.frames();
    let numbers: Vec<u64> = frames.iter().map(|shown| shown.number).collect();
    let dropped = watched.playback.stats().dropped;
    assert_eq!(numbers.len() as u64 + dropped, 2 * SEGMENT_S * FPS, "{numbers:?}");
    let burst = frames.windows(8).map(|eight| eight[7].at - eight[0].at).min().unwrap();
    assert!(burst > 3 * FRAME, "eight frames within {burst:?}");
}

#[test]
fn picture_and_sound_play_together_and_in_sync() {
    let tracks = Tracks { video: Some(filled(large(), 1)), audio: Some(filled(sound(), 0)) };
    let mut watched = Watched::new(Options { measure_sync: true, ..headless() }, tracks);
    watched.prepare(Duration::from_millis(500));
    watched.playback.play();
    watched.ended();
    let mut offsets: Vec<i64> = watched
        .seen
        .iter()
        .filter_map(|event| match event {
            Event::Sync { flash, beep } => Some((flash.as_micros() as i64) - (beep.as_micros() as i64)),
            _ => None,
        })
        .collect();
    assert!(offsets.len() as u64 >= SECONDS - 3, "{offsets:?}");
    offsets.sort_unstable();
    let median = offsets[offsets.len() / 2];
    assert!(median.abs() < 40_000, "{offsets:?} µs");
}

#[test]
fn transport_streams_play_like_mp4() {
    let cut = media::muxed_ts(SMALL, 4, Order::Reordered);
    let (video, audio) = (Arc::new(SharedTrack::new()), Arc::new(SharedTrack::new()));
    let mut offset = None;
    for at in 0..cut.segments.len() {
        for (kind, mut segment) in segments(&cut, at, 0) {
            let start = *offset.get_or_insert_with(|| segment.samples.iter().map(|s| s.pts).min().unwrap());
            for sample in &mut segment.samples {
                (sample.pts, sample.dts) = (sample.pts - start, sample.dts - start);
            }
            let track = if kind == StreamKind::Video { &video } else { &audio };
            track.edit(|buffer| buffer.insert(segment));
        }
    }
    for track in [&video, &audio] {
        track.edit(|buffer| buffer.set_last(Some(cut.segments.len() as u64 - 1)));
    }
    let tracks = Tracks { video: Some(video), audio: Some(audio) };
    let mut watched = Watched::new(Options { measure_sync: true, ..headless() }, tracks);
    watched.prepare(Duration::from_millis(300));
    assert_eq!(watched.frame(0, |_| true).number, 7);
    watched.playback.play();
    watched.ended();
    let numbers: Vec<u64> = watched.frames().iter().map(|shown| shown.number).collect();
    let dropped = watched.playback.stats().dropped;
    assert_eq!(numbers.len() as u64 + dropped, 4 * FPS - 7, "{numbers:?}");
    assert!(numbers.is_sorted());
    assert!(
        watched.seen.iter().any(|event| matches!(event, Event::Sync { flash, beep }
        if flash.abs_diff(*beep) < Duration::from_millis(100))),
        "{:?}",
        watched.seen
    );
}

#[test]
fn sound_alone_plays_and_seeks() {
    let mut watched = Watched::new(headless(), Tracks { video: None, audio: Some(filled(sound(), 0)) });
    watched.prepare(Duration::ZERO);
    watched.playback.play();
    watched.playback.seek(Duration::from_secs(SECONDS - 2), true);
    assert_eq!(watched.seeked(), Duration::from_secs(SECONDS - 2));
    let began = Instant::now();
    watched.ended();
    assert!(began.elapsed() > Duration::from_millis(1500), "time is kept: {:?}", began.elapsed());
    assert!(watched.playback.position().unwrap() > Duration::from_secs(SECONDS - 1));
}

#[test]
fn twice_the_rate_is_twice_the_positions() {
    let tracks = Tracks { video: Some(filled(small(), 0)), audio: Some(filled(sound(), 0)) };
    let mut watched = Watched::new(headless(), tracks);
    watched.prepare(Duration::from_secs(1));
    watched.playback.play();
    watched.playback.set_rate(2.0);
    let from = watched.seeked();
    let began = Instant::now();
    assert!(from < Duration::from_millis(1500), "the rate changes at the same place, not at {from:?}");
    watched.ended();
    let rate = (Duration::from_secs(SECONDS) - from).as_secs_f64() / began.elapsed().as_secs_f64();
    assert!((1.6..2.4).contains(&rate), "{rate}");
}

#[test]
fn a_small_change_of_rate_is_made_without_a_break_and_picture_and_sound_make_it_together() {
    let options = Options { measure_sync: true, ..headless() };
    let tracks = Tracks { video: Some(filled(small(), 0)), audio: Some(filled(sound(), 0)) };
    let mut watched = Watched::new(options, tracks);
    watched.playback.prepare(Duration::ZERO);
    watched.playback.play();
    watched.until(|event| matches!(event, Event::Seeked { .. }));
    watched.playback.drift(1.25);
    watched.until(|event| matches!(event, Event::Ended));
    assert_eq!(
        watched.seen.iter().filter(|event| matches!(event, Event::Seeked { .. })).count(),
        1,
        "no flush"
    );
    let frames = watched.gallery.frames.lock().unwrap().clone();
    assert_eq!(frames.len() as u64, SECONDS * FPS, "every picture once");
    assert!(frames.windows(2).all(|pair| pair[1].number == pair[0].number + 1));
    // The first half is at both rates, the last two seconds are at the new one.
    let tail: Vec<_> =
        frames.iter().filter(|frame| frame.position >= Duration::from_secs(SECONDS - 2)).collect();
    let rate = (tail[tail.len() - 1].position - tail[0].position).as_secs_f64()
        / (tail[tail.len() - 1].at - tail[0].at).as_secs_f64();
    assert!((1.15..1.35).contains(&rate), "{rate}");
    let offsets: Vec<f64> = watched
        .seen
        .iter()
        .filter_map(|event| match event {
            Event::Sync { flash, beep } => Some(beep.as_secs_f64() - flash.as_secs_f64()),
            _ => None,
        })
        .collect();
    assert!(offsets.len() >= 3, "{offsets:?}");
    assert!(offsets.iter().all(|offset| offset.abs() < 0.040), "{offsets:?}");
}

#[test]
fn holes_are_jumped_over() {
    let track = Arc::new(SharedTrack::new());
    fill(&track, small(), 0, 0);
    track.edit(|buffer| buffer.skip(1, 2 * SECOND, 4 * SECOND));
    fill(&track, small(), 2, 0);
    track.edit(|buffer| buffer.set_last(Some(2)));
    let mut watched = Watched::new(headless(), video_only(&track));
    watched.prepare(Duration::from_secs(1));
    watched.playback.play();
    let began = Instant::now();
    watched.ended();
    let took = began.elapsed();
    assert!(took < Duration::from_millis(4500), "three seconds of media, but {took:?}");
    let hole =
        Event::Skipped { kind: StreamKind::Video, from: Duration::from_secs(2), to: Duration::from_secs(4) };
    assert!(watched.seen.contains(&hole), "{:?}", watched.seen);
    let numbers: Vec<u64> = watched.frames().iter().map(|shown| shown.number).collect();
    assert!(
        numbers.contains(&48) && numbers.contains(&100) && !numbers.iter().any(|n| (50..100).contains(n))
    );
}

#[test]
fn better_samples_take_the_place_of_those_that_were_not_read() {
    let track = filled(small(), 0);
    let mut watched = Watched::new(headless(), video_only(&track));
    watched.prepare(Duration::ZERO);
    watched.playback.play();
    watched.frame(0, |shown| shown.number == 5);
    fill(&track, large(), 3, 1);
    let shown = watched.frame(0, |shown| shown.number == 160);
    assert_eq!(shown.rung, 1);
}

#[test]
fn damaged_samples_are_an_error_or_a_blemish_but_never_the_end_of_the_process() {
    let track = Arc::new(SharedTrack::new());
    let (_, mut segment) = segments(small(), 0, 0).remove(0);
    for sample in segment.samples.iter_mut().skip(1).step_by(2) {
        let noise: Vec<u8> = (0..sample.bytes).map(|at| (at * 37 % 251) as u8).collect();
        sample.payload.buffer = gstreamer::Buffer::from_slice(noise);
    }
    track.edit(|buffer| {
        buffer.insert(segment);
        buffer.set_last(Some(0));
    });
    let mut watched = Watched::new(headless(), video_only(&track));
    watched.playback.prepare(Duration::ZERO);
    watched.playback.play();
    watched.until(|event| matches!(event, Event::Ended | Event::DecodeError { .. }));
}

#[test]
fn a_codec_without_a_decoder_is_named_and_another_rung_plays_on() {
    let track = Arc::new(SharedTrack::new());
    let (_, mut segment) = segments(small(), 0, 0).remove(0);
    // A codec that nobody has.
    let caps = gstreamer::Caps::builder("video/x-weir-test").field("width", 320).field("height", 180).build();
    for sample in &mut segment.samples {
        sample.payload.caps = caps.clone();
    }
    track.edit(|buffer| buffer.insert(segment));
    let mut watched = Watched::new(headless(), video_only(&track));
    watched.playback.prepare(Duration::ZERO);
    watched.playback.play();
    let event = watched.until(|event| matches!(event, Event::DecodeError { .. }));
    let Event::DecodeError { kind, message, missing, rung } = event else { unreachable!() };
    assert_eq!((kind, rung), (StreamKind::Video, Some(0)));
    assert_eq!(missing.as_deref(), Some("video/x-weir-test"));
    assert!(message.contains("install"), "{message}");

    fill(&track, large(), 0, 1);
    track.edit(|buffer| buffer.set_last(Some(0)));
    watched.playback.seek(Duration::ZERO, true);
    watched.ended();
    assert!(watched.frames().iter().all(|shown| shown.rung == 1));
}

#[test]
fn rgba_frames_are_scaled_down_but_never_up() {
    let frame_at = |height| {
        let (sender, mut events) = mpsc::channel(64);
        let options = Options { rgba_height: Some(height), ..headless() };
        let playback =
            Playback::new(options, video_only(&filled(large(), 1)), sender, Arc::new(|| {})).unwrap();
        playback.prepare(Duration::ZERO);
        let deadline = Instant::now() + PATIENCE;
        while !matches!(events.try_recv(), Ok(Event::Seeked { .. })) {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(2));
        }
        let frame = playback.take_frame().unwrap();
        let view = frame.view().unwrap();
        assert_eq!(view.format, PixelFormat::Rgba);
        (view.width, view.height)
    };
    assert_eq!(frame_at(180), (320, 180));
    assert_eq!(frame_at(2000), (640, 360));
}

#[test]
fn one_matrix_holds_for_the_whole_ladder() {
    let matrix_of = |track: &Arc<SharedTrack>| {
        let options = Options { top_height: Some(1080), ..headless() };
        let (sender, mut events) = mpsc::channel(64);
        let playback = Playback::new(options, video_only(track), sender, Arc::new(|| {})).unwrap();
        playback.prepare(Duration::ZERO);
        let deadline = Instant::now() + PATIENCE;
        while !matches!(events.try_recv(), Ok(Event::Seeked { .. })) {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(2));
        }
        playback.take_frame().unwrap().matrix
    };
    assert_eq!(matrix_of(&filled(small(), 0)), Matrix::Bt601, "the file says so");

    let untagged = Arc::new(SharedTrack::new());
    let cut = media::untagged_ts(SMALL, 2);
    let (_, mut segment) = segments(&cut, 0, 0).remove(0);
    let start = segment.samples[0].pts;
    for sample in &mut segment.samples {
        (sample.pts, sample.dts) = (sample.pts - start, sample.dts - start);
    }
    untagged.edit(|buffer| buffer.insert(segment));
    assert_eq!(matrix_of(&untagged), Matrix::Bt709, "180 lines, but the ladder goes up to 1080");
}

#[test]
fn fifty_seeks_leave_no_threads_behind() {
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let tracks = || Tracks { video: Some(filled(small(), 0)), audio: Some(filled(sound(), 0)) };
    // What GStreamer starts once for a process is no leak.
    drop_after_seeks(tracks(), 1);
    let before = threads();
    drop_after_seeks(tracks(), 50);
    let deadline = Instant::now() + PATIENCE;
    // Other tests of this process may start and end threads of their own; a leak of this one stays.
    while threads() > before + 2 {
        assert!(Instant::now() < deadline, "{} threads before, {} after", before, threads());
        thread::sleep(Duration::from_millis(20));
    }
}

fn drop_after_seeks(tracks: Tracks, count: u64) {
    let mut watched = Watched::new(headless(), tracks);
    watched.prepare(Duration::ZERO);
    watched.playback.play();
    for at in 0..count {
        watched.playback.seek(Duration::from_millis(at * 1370 % 7000), at % 3 != 0);
        watched.seeked();
    }
}

#[test]
fn a_missing_sound_card_does_not_stop_playback() {
    let tracks = Tracks { video: Some(filled(small(), 0)), audio: Some(filled(sound(), 0)) };
    let mut watched = Watched::new(Options::default(), tracks);
    watched.prepare(Duration::from_secs(SECONDS - 2));
    watched.playback.play();
    let began = Instant::now();
    watched.ended();
    assert!(began.elapsed() > Duration::from_millis(1200), "time is kept: {:?}", began.elapsed());
    assert!(watched.frames().len() > 20);
}

#[test]
fn another_codec_on_the_way_plays_on() {
    let other = media::hevc_mp4(LARGE, 4);
    let track = Arc::new(SharedTrack::new());
    fill(&track, small(), 0, 0);
    fill(&track, &other, 1, 1);
    fill(&track, small(), 2, 0);
    track.edit(|buffer| buffer.set_last(Some(2)));
    let mut watched = Watched::new(headless(), video_only(&track));
    watched.prepare(Duration::from_secs(1));
    watched.playback.play();
    watched.ended();
    let frames = watched.frames();
    let count = |rung| frames.iter().filter(|shown| shown.rung == rung).count() as u64;
    let dropped = watched.playback.stats().dropped;
    assert!(
        count(1) + dropped >= 2 * FPS - 3,
        "{} of the other codec, {dropped} dropped: {:?}",
        count(1),
        watched.seen
    );
    assert!(count(0) + dropped >= 3 * FPS - 3, "{}", count(0));
}

#[test]
fn a_part_that_another_rung_completes_plays_on_without_a_frame_twice_or_missing() {
    let piece = |segment: &Segment, range: std::ops::Range<usize>| Segment {
        samples: segment.samples[range].to_vec(),
        ..segment.clone()
    };
    let track = Arc::new(SharedTrack::new());
    fill(&track, large(), 0, LARGE.rung);
    let (_, high) = segments(large(), 1, LARGE.rung).remove(0);
    // It breaks off five frames after its second key frame.
    track.edit(|buffer| buffer.append(piece(&high, 0..30), 7));
    let mut watched = Watched::new(headless(), video_only(&track));
    watched.playback.prepare(Duration::ZERO);
    watched.playback.play();
    // All of it is with the decoder by then.
    watched.frame(0, |shown| shown.number >= 76);
    let (_, low) = segments(small(), 1, SMALL.rung).remove(0);
    for range in [0..20, 20..35, 35..50] {
        track.edit(|buffer| buffer.append(piece(&low, range), 8));
    }
    track.edit(|buffer| buffer.finish(1, 8));
    fill(&track, small(), 2, SMALL.rung);
    track.edit(|buffer| buffer.set_last(Some(2)));
    watched.ended();
    let frames = watched.frames();
    let numbers: Vec<u64> = frames.iter().map(|shown| shown.number).collect();
    assert_eq!(numbers, (0..150).collect::<Vec<_>>());
    for shown in &frames {
        let rung = if shown.number < 80 { LARGE.rung } else { SMALL.rung };
        assert_eq!(shown.rung, rung, "frame {}", shown.number);
    }
    assert!(!watched.seen.iter().any(|event| matches!(event, Event::Skipped { .. })), "{:?}", watched.seen);
}
