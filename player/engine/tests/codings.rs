//! Streams whose parts differ: in the coding of sound, in where sound is, in how their qualities are cut.

#![allow(clippy::unwrap_used, reason = "in a test that is the report")]

mod support;

use std::time::Duration;

use support::{
    Record, media, open, play,
    server::{Server, Site},
    wait_until,
};
use weir_abr::{RungId, planner::QualityChoice};
use weir_engine::{Options, State};

const AAC: &str = "avenc_aac bitrate=96000 ! aacparse";
const MP3: &str = "lamemp3enc target=bitrate bitrate=128 ! mpegaudioparse";
const AC3: &str = "avenc_ac3 bitrate=128000 ! ac3parse";
const OPUS: &str = "opusenc ! opusparse";

/// Plays all of it; in each of its runs pictures and sound meet.
fn is_heard_throughout(sounds: &[&str], ts: bool) {
    let site = Site::default();
    media::spliced(&site, sounds, ts);
    let server = Server::start(&site);
    let options = Options { measure_sync: true, ..Options::default() };
    let (last, record) = play(&server.url("/spliced/list.m3u8"), options);
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    let beeps = record.numbers("sync", "beep_s");
    for run in 0..sounds.len() {
        let inside = |beep: &&f64| ((run as f64 * 3.0 + 0.5)..(run as f64 * 3.0 + 2.9)).contains(*beep);
        assert!(beeps.iter().filter(inside).count() >= 1, "nothing is heard of run {run}: {beeps:?}");
    }
    let errors = record.all("error");
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn sound_goes_on_in_another_coding_in_transport_streams() {
    is_heard_throughout(&[AAC, MP3, AC3, AAC], true);
}

#[test]
fn sound_goes_on_in_another_coding_in_mp4() {
    is_heard_throughout(&[AAC, OPUS, AAC], false);
}

#[test]
fn sound_in_the_pictures_segments_and_sound_apart_are_chosen_from_both_ways() {
    let site = Site::default();
    media::choice_of_sound(&site, 11, AC3);
    let server = Server::start(&site);
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events");
    let options = Options { measure_sync: true, ..Options::default() };
    let player = open(&server.url("/choice/master.m3u8"), &events, options);
    let plays = |what: &str, chosen: usize, from: u64| {
        let from = Duration::from_millis(from);
        wait_until(&player, what, |it| {
            it.sounds.chosen == Some(chosen) && it.state == State::Playing && it.position > from
        })
    };
    let shown = plays("playback", 0, 2200);
    let names: Vec<_> = shown.sounds.tracks.iter().map(|track| track.label.as_str()).collect();
    assert_eq!(names, ["English", "Deutsch"]);
    assert!(!site.requests().iter().any(|path| path.contains("other")), "{:?}", site.requests());
    player.set_sound(1);
    plays("the sound apart", 1, 5600);
    player.set_sound(0);
    plays("the sound of the pictures", 0, 8000);
    let last = player.wait();
    drop(player);
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    let record = Record::read(&events);
    let refused = |error: &&serde_json::Value| error["code"] == "codec_unplayable" || error["fatal"] == true;
    assert!(!record.all("error").iter().any(refused), "{:#?}", record.all("error"));
    let beeps = record.numbers("sync", "beep_s");
    for (from, to) in [(0.5, 2.2), (3.2, 5.6), (6.6, 10.9)] {
        assert!(beeps.iter().any(|beep| (from..to).contains(beep)), "silence from {from}: {beeps:?}");
    }
    let labels: Vec<_> = record.all("sound").iter().map(|it| it["label"].clone()).collect();
    assert_eq!(labels, ["Deutsch", "English"]);
}

#[test]
fn sound_apart_that_is_asked_for_takes_the_place_of_that_in_the_pictures_segments() {
    let site = Site::default();
    media::choice_of_sound(&site, 3, AC3);
    let server = Server::start(&site);
    let options = Options { sound: Some("de".to_owned()), measure_sync: true, ..Options::default() };
    let (last, record) = play(&server.url("/choice/master.m3u8"), options);
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    assert!(last.codecs.contains("AC-3") && !record.all("sync").is_empty(), "{}", last.codecs);
}

#[test]
fn a_quality_whose_segments_are_cut_elsewhere_is_left_out() {
    let site = Site::default();
    media::fmp4(&site, &[media::LOW, media::HIGH], 8);
    // Two seconds each, where the other quality has one.
    let mut list = String::from(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n\
         #EXT-X-MAP:URI=\"high-init.mp4\"\n",
    );
    for number in 0..4 {
        let half = |at| site.bytes(&format!("/fmp4/high-{at}.m4s")).to_vec();
        site.put(&format!("/fmp4/long-{number}.m4s"), [half(2 * number), half(2 * number + 1)].concat());
        list += &format!("#EXTINF:2.0,\nlong-{number}.m4s\n");
    }
    site.put("/fmp4/high.m3u8", list + "#EXT-X-ENDLIST\n");
    let server = Server::start(&site);
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events");
    let planner = weir_abr::planner::Config { max_buffer: Duration::from_secs(3), ..Default::default() };
    let quality = QualityChoice::Manual(RungId(0));
    let options = Options { planner, quality, ..Options::default() };
    let player = open(&server.url("/fmp4/master.m3u8"), &events, options);
    wait_until(&player, "playback", |it| it.position > Duration::from_millis(800));
    player.set_quality(QualityChoice::Manual(RungId(1)));
    let last = player.wait();
    drop(player);
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    let record = Record::read(&events);
    assert!(record.all("skip").is_empty(), "{:#?}", record.all("skip"));
    let played = record.one("summary")["played_s"].as_f64().unwrap();
    assert!(played > 7.5, "nothing is missing: {played}");
    assert!(record.all("error").iter().any(|it| it["code"] == "segments_unaligned"));
}
