//! What is fetched beside the media (subtitles, small pictures), and streams that grow under the player's feet.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test that is the report")]

mod support;

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use support::{
    Record,
    media::{self, LOW},
    open, play,
    server::{Fault, Server, Site},
    wait_until,
};
use weir_engine::{Crop, Options, State, SubtitleChoice, Thumbnail, ThumbnailImage};

/// A stream of `seconds` in one quality, and its server.
fn film(seconds: u32) -> (Site, Server) {
    let site = Site::default();
    media::fmp4(&site, &[LOW], seconds);
    let server = Server::start(&site);
    (site, server)
}

/// Adds subtitles in segments of 2 s: `en` by default, `de` beside it.
fn with_subtitles(site: &Site, seconds: u32) {
    let mut master = site.text("/fmp4/master.m3u8").replace(",AUDIO=\"a\"", ",AUDIO=\"a\",SUBTITLES=\"t\"");
    for (language, default) in [("en", "YES"), ("de", "NO")] {
        let _ = writeln!(
            master,
            "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"t\",NAME=\"{language}\",LANGUAGE=\"{language}\",DEFAULT={default},\
             AUTOSELECT=YES,URI=\"{language}.m3u8\""
        );
        let mut list = String::from("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n");
        for number in 0..seconds / 2 {
            let _ = write!(list, "#EXTINF:2,\n{language}-{number}.vtt\n");
            // Each document counts from a time of its own.
            let cue = format!(
                "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:01:00:00.000,MPEGTS:{}\n\n\
                 01:00:00.500 --> 01:00:01.500 line:0\n<i>{language}</i> {number}\n",
                u64::from(number) * 2 * 90_000
            );
            site.put(&format!("/fmp4/{language}-{number}.vtt"), cue);
        }
        site.put(&format!("/fmp4/{language}.m3u8"), list + "#EXT-X-ENDLIST\n");
    }
    site.put("/fmp4/master.m3u8", master);
}

#[test]
fn subtitles_are_shown_with_their_pictures_and_one_that_is_missing_costs_its_words_only() {
    let (site, server) = film(8);
    with_subtitles(&site, 8);
    site.fault("/en-1.vtt", Fault::Status(404), u32::MAX);
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events.jsonl");
    let player = open(&server.url("/fmp4/master.m3u8"), &events, Options::default());

    let texts = |snapshot: &weir_engine::Snapshot| -> Vec<(String, Duration)> {
        snapshot.subtitles.cues.iter().map(|cue| (cue.text(), cue.start)).collect()
    };
    let all = |snapshot: &weir_engine::Snapshot| texts(snapshot).iter().any(|(text, _)| text == "en 3");
    let shown = wait_until(&player, "subtitles", all);
    let expected = [0_u64, 2, 3].map(|n| (format!("en {n}"), Duration::from_millis(n * 2000 + 500)));
    assert_eq!(texts(&shown), expected, "by the stream's default");
    assert_eq!((shown.subtitles.tracks.len(), shown.subtitles.chosen), (2, Some(0)));

    player.set_subtitles(SubtitleChoice::Language("de-AT".to_owned()));
    wait_until(&player, "other subtitles", |snapshot| texts(snapshot).iter().any(|(text, _)| text == "de 3"));
    player.set_subtitles(SubtitleChoice::Off);
    wait_until(&player, "none", |snapshot| texts(snapshot).is_empty() && snapshot.subtitles.chosen.is_none());
    let last = player.wait();
    drop(player);
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    let record = Record::read(&events);
    assert_eq!(record.one("summary")["rebuffer_count"], 0);
    let chosen: Vec<_> = record
        .all("subtitles")
        .iter()
        .map(|entry| (entry["language"].clone(), entry["by"].clone()))
        .collect();
    let expected = [
        ("en".into(), "default".into()),
        ("de".into(), "viewer".into()),
        (serde_json::Value::Null, "viewer".into()),
    ];
    assert_eq!(chosen, expected);
    // The picture comes first.
    let requests = site.requests();
    let first = |part: &str| requests.iter().position(|path| path.contains(part)).unwrap();
    assert!(first("/low-0.m4s") < first("/en.m3u8"), "{requests:?}");
}

#[test]
fn subtitles_of_a_place_are_there_after_a_jump_and_those_that_nobody_wants_are_never_fetched() {
    let (site, server) = film(6);
    with_subtitles(&site, 6);
    let options = Options {
        subtitles: SubtitleChoice::Language("de".to_owned()),
        start_at: Some(Duration::from_secs(4)),
        ..Options::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let player = open(&server.url("/fmp4/master.m3u8"), &folder.path().join("events"), options);
    let has = |wanted: &'static str| {
        move |snapshot: &weir_engine::Snapshot| snapshot.subtitles.cues.iter().any(|cue| cue.text() == wanted)
    };
    wait_until(&player, "those of the place", has("de 2"));
    let asked = |part: &str| site.requests().iter().any(|path| path.contains(part));
    assert!(!asked("/de-0.vtt") && !asked("/en"), "{:?}", site.requests());
    player.seek(Duration::ZERO, true);
    wait_until(&player, "those of the beginning", has("de 0"));
}

#[test]
fn captions_in_the_pictures_are_shown_when_they_are_asked_for_and_again_after_a_jump() {
    // CEA-608 in both containers, then CEA-708.
    for (ts, newer) in [(false, false), (true, false), (true, true)] {
        let site = Site::default();
        media::captioned(&site, 6, ts, newer);
        if let Ok(folder) = std::env::var("WEIR_KEEP_CAPTIONED") {
            site.save(&std::path::Path::new(&folder).join(match (ts, newer) {
                (_, true) => "newer",
                (true, false) => "ts",
                (false, false) => "fmp4",
            }));
        }
        let server = Server::start(&site);
        let folder = tempfile::tempdir().unwrap();
        let player = open(&server.url("/cc/master.m3u8"), &folder.path().join("events"), Options::default());
        let shown = wait_until(&player, "the menu", |snapshot| !snapshot.subtitles.tracks.is_empty());
        assert_eq!(shown.subtitles.tracks[0].label, "English");
        assert_eq!((shown.subtitles.tracks.len(), shown.subtitles.chosen), (1, None), "not by themselves");
        wait_until(&player, "playback", |snapshot| snapshot.position > Duration::from_millis(1200));
        player.set_subtitles(SubtitleChoice::Language("en".to_owned()));
        let cue = |snapshot: &weir_engine::Snapshot, text: &str| {
            snapshot.subtitles.cues.iter().find(|cue| cue.text() == text).cloned()
        };
        let all = wait_until(&player, "captions", |snapshot| {
            cue(snapshot, "say 02").is_some_and(|cue| {
                // Its end is known by now.
                cue.end < Duration::from_secs(3)
            })
        });
        assert_eq!(all.subtitles.chosen, Some(0));
        let found = cue(&all, "say 02").unwrap();
        // Shown with frame 12 of its second and taken away with frame 23.
        let (start, end) = (found.start.as_secs_f64(), found.end.as_secs_f64());
        assert!((start - 2.48).abs() < 0.05 && (end - 2.92).abs() < 0.05, "{ts}: {start} to {end}");
        player.seek(Duration::ZERO, true);
        wait_until(&player, "the first again", |snapshot| cue(snapshot, "say 00").is_some());
        player.set_subtitles(SubtitleChoice::Off);
        wait_until(&player, "none", |snapshot| snapshot.subtitles.cues.is_empty());
    }
}

#[test]
fn encrypted_parts_of_a_live_stream_are_played_each_by_itself() {
    let site = Site::default();
    media::encrypted_parts(&site, 9, 20);
    let server = Server::start(&site);
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events");
    let player = open(&server.url("/ll/low.m3u8"), &events, Options::default());
    let parts = || site.requests().iter().filter(|path| path.contains("/part-")).count();
    let shown = wait_until(&player, "four parts", |snapshot| {
        parts() >= 4 && snapshot.position > Duration::from_secs(8)
    });
    assert_eq!(shown.state, State::Playing);
    drop(player);
    let record = Record::read(&events);
    assert!(record.all("error").is_empty(), "{:?}", record.all("error"));
    let positions = record.numbers("position", "pos_s");
    assert!(positions.first().is_some_and(|first| *first > 3.0), "it begins near the edge: {positions:?}");
    assert!(record.all("skip").is_empty());
}

#[test]
fn a_small_picture_is_fetched_when_it_is_pointed_at_and_not_before() {
    let (site, server) = film(4);
    let lists = ["master.m3u8", "low.m3u8", "audio.m3u8"].map(str::to_owned);
    let media = ["low", "audio"].into_iter().flat_map(|name| {
        let list = site.text(&format!("/fmp4/{name}.m3u8"));
        let files: Vec<_> = list.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
        files.into_iter().chain([format!("{name}-init.mp4")])
    });
    for path in lists.into_iter().chain(media) {
        site.put(&format!("/stream/x/hls/{path}"), site.bytes(&format!("/fmp4/{path}")));
    }
    site.put("/stream/x/thumbnails.vtt", "WEBVTT\n\n00:00.000 --> 00:02.000\n1.jpg#xywh=0,0,16,9\n\n00:02.000 --> 00:04.000\n1.jpg#xywh=16,0,16,9\n");
    site.put("/stream/x/1.jpg", "not looked into here");
    let folder = tempfile::tempdir().unwrap();
    let player =
        open(&server.url("/stream/x/hls/master.m3u8"), &folder.path().join("events"), Options::default());
    wait_until(&player, "a picture", |snapshot| snapshot.position > Duration::from_millis(300));
    let asked = |part: &str| site.requests().iter().filter(|path| path.contains(part)).count();
    assert_eq!(asked("thumbnails.vtt") + asked(".jpg"), 0);
    player.want_thumbnail(Some(Duration::from_millis(2500)));
    let shown =
        wait_until(&player, "a small picture", |snapshot| snapshot.thumbnail.is_some()).thumbnail.unwrap();
    assert_eq!(shown.crop, Crop::Pixels { x: 16, y: 0, width: 16, height: 9 });
    assert_eq!((shown.start, shown.end), (Duration::from_secs(2), Duration::from_secs(4)));
    let ThumbnailImage::Encoded(image) = &shown.image else { panic!("{:?}", shown.image) };
    assert_eq!(&image[..], b"not looked into here");
    player.want_thumbnail(Some(Duration::from_millis(500)));
    let first = Crop::Pixels { x: 0, y: 0, width: 16, height: 9 };
    wait_until(&player, "another one", |snapshot| {
        snapshot.thumbnail.as_ref().is_some_and(|it| it.crop == first)
    });
    assert_eq!((asked("thumbnails.vtt"), asked("1.jpg")), (1, 1), "one image holds both");
    player.want_thumbnail(None);
    wait_until(&player, "none", |snapshot| snapshot.thumbnail.is_none());
}

/// Adds German sound beside the one that there is.
fn with_german(site: &Site) {
    let tag = "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"Deutsch\",LANGUAGE=\"de\",DEFAULT=NO,URI=\"de.m3u8\"\n";
    site.put("/fmp4/master.m3u8", site.text("/fmp4/master.m3u8") + tag);
    let list = site.text("/fmp4/audio.m3u8");
    let files = list.lines().filter(|line| !line.starts_with('#')).chain(["audio-init.mp4"]);
    for file in files {
        let german = file.replace("audio-", "de-");
        site.put(&format!("/fmp4/{german}"), site.bytes(&format!("/fmp4/{file}")));
    }
    site.put("/fmp4/de.m3u8", list.replace("audio-", "de-"));
}

#[test]
fn other_sound_takes_over_from_where_playback_is() {
    let (site, server) = film(8);
    with_german(&site);
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events");
    let player = open(&server.url("/fmp4/master.m3u8"), &events, Options::default());
    let shown = wait_until(&player, "playback", |snapshot| snapshot.position > Duration::from_millis(2300));
    assert_eq!((shown.sounds.tracks.len(), shown.sounds.chosen), (2, Some(0)));
    assert_eq!(shown.sounds.tracks[1].label, "Deutsch");
    assert!(!site.requests().iter().any(|path| path.contains("/de")), "{:?}", site.requests());
    player.set_sound(1);
    wait_until(&player, "it goes on", |snapshot| {
        snapshot.sounds.chosen == Some(1)
            && snapshot.state == State::Playing
            && snapshot.position > shown.position + Duration::from_millis(1500)
    });
    let last = player.wait();
    drop(player);
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    let record = Record::read(&events);
    assert!(record.all("error").is_empty(), "{:?}", record.all("error"));
    assert_eq!(
        (&record.one("sound")["language"], &record.one("sound")["by"]),
        (&"de".into(), &"viewer".into())
    );
    assert_eq!(record.one("summary")["rebuffer_count"], 0);
    let seek = record.one("seek");
    let (from, to) = (seek["from_s"].as_f64().unwrap(), seek["to_s"].as_f64().unwrap());
    assert!((from - to).abs() < 0.3, "it went from {from} to {to}");
    let german =
        record.all("request").iter().filter(|entry| entry["url"].as_str().unwrap().contains("/de-")).count();
    assert!((4..=7).contains(&german), "{german} segments, of what is still to be heard");
}

#[test]
fn sound_that_is_asked_for_is_the_only_one_that_is_fetched_and_a_missing_one_leaves_the_default() {
    for (wanted, part, other) in [("deu", "/de", "/audio"), ("fr", "/audio", "/de")] {
        let (site, server) = film(2);
        with_german(&site);
        let options = Options { sound: Some(wanted.to_owned()), ..Options::default() };
        let (last, _) = play(&server.url("/fmp4/master.m3u8"), options);
        assert_eq!(last.state, State::Ended, "{:?}", last.error);
        let asked = |part: &str| site.requests().iter().any(|path| path.contains(part));
        assert!(asked(part) && !asked(other), "{wanted}: {:?}", site.requests());
    }
}

#[test]
fn sound_whose_list_cannot_be_had_leaves_the_one_that_is_heard() {
    let (site, server) = film(6);
    with_german(&site);
    site.fault("/de.m3u8", Fault::Status(404), u32::MAX);
    let folder = tempfile::tempdir().unwrap();
    let player = open(&server.url("/fmp4/master.m3u8"), &folder.path().join("events"), Options::default());
    wait_until(&player, "playback", |snapshot| snapshot.position > Duration::from_millis(600));
    player.set_sound(1);
    wait_until(&player, "the wish", |_| site.requests().iter().any(|path| path.contains("/de.m3u8")));
    wait_until(&player, "the one before", |snapshot| snapshot.sounds.chosen == Some(0));
    let last = player.wait();
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
}

/// A decoded picture of this size that shows something.
fn assert_shows(thumbnail: &Thumbnail, size: (u32, u32)) {
    let ThumbnailImage::Rgba { width, height, bytes } = &thumbnail.image else {
        panic!("{:?}", thumbnail.image)
    };
    assert_eq!((*width, *height), size);
    assert_eq!(bytes.len() as u32, width * height * 4);
    // A white ball on black.
    let bright = bytes.chunks_exact(4).filter(|pixel| pixel[0] > 200).count();
    assert!(bright > 20 && bright < bytes.len() / 8, "{bright} bright pixels");
}

#[test]
fn the_scrub_bar_shows_key_frames_that_the_stream_lists_for_it() {
    let (site, server) = film(8);
    let tag = "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=150000,CODECS=\"avc1.42c00b\",RESOLUTION=160x90,URI=\"keys.m3u8\"\n";
    site.put("/fmp4/master.m3u8", site.text("/fmp4/master.m3u8") + tag);
    // Each of the segments is one second with one key frame.
    let mut keys = String::from(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:1\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-I-FRAMES-ONLY\n\
         #EXT-X-MAP:URI=\"low-init.mp4\"\n",
    );
    for number in 0..8 {
        let bytes = site.bytes(&format!("/fmp4/low-{number}.m4s"));
        let _ = write!(keys, "#EXTINF:1.0,\n#EXT-X-BYTERANGE:{}@0\nkey-{number}.m4s\n", bytes.len());
        site.put(&format!("/fmp4/key-{number}.m4s"), bytes);
    }
    site.put("/fmp4/keys.m3u8", keys + "#EXT-X-ENDLIST\n");
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events");
    let player = open(&server.url("/fmp4/master.m3u8"), &events, Options::default());
    wait_until(&player, "a picture", |snapshot| snapshot.position > Duration::from_millis(300));
    let asked = |part: &str| site.requests().iter().filter(|path| path.contains(part)).count();
    assert_eq!(asked("/key"), 0, "nobody pointed at the bar");
    player.want_thumbnail(Some(Duration::from_millis(6500)));
    let shown = wait_until(&player, "a small picture", |snapshot| snapshot.thumbnail.is_some());
    let shown = shown.thumbnail.unwrap();
    assert_eq!((shown.start, shown.end), (Duration::from_secs(6), Duration::from_secs(7)));
    assert_shows(&shown, (160, 90));
    player.want_thumbnail(Some(Duration::from_millis(6900)));
    player.want_thumbnail(Some(Duration::from_millis(2100)));
    wait_until(&player, "another one", |snapshot| {
        snapshot.thumbnail.as_ref().is_some_and(|it| it.start == Duration::from_secs(2))
    });
    assert_eq!((asked("/keys.m3u8"), asked("/key-6"), asked("/key-2")), (1, 1, 1), "{:?}", site.requests());
    player.stop();
    player.wait();
    drop(player);
    let record = Record::read(&events);
    assert!(record.all("error").is_empty(), "{:?}", record.all("error"));
    assert_eq!(record.one("summary")["rebuffer_count"], 0);
}

#[test]
fn a_live_window_without_pictures_of_its_own_shows_those_of_its_lowest_rung() {
    let (site, server) = film(28);
    let clock = Instant::now();
    grow(&site, 1, "", move || {
        let edge = 14 + clock.elapsed().as_secs();
        (edge.saturating_sub(12).min(26), edge.min(28), false)
    });
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events");
    let player = open(&server.url("/fmp4/master.m3u8"), &events, Options::default());
    let live = wait_until(&player, "live pictures", |snapshot| {
        snapshot.live_window.is_some() && snapshot.state == State::Playing
    });
    let (from, edge) = live.live_window.unwrap();
    assert!(edge - from > Duration::from_secs(9), "{from:?} to {edge:?}");
    // Well before what was played, and yet in the window for a while.
    let at = from + Duration::from_millis(5500);
    player.want_thumbnail(Some(at));
    let shown = wait_until(&player, "a small picture", |snapshot| snapshot.thumbnail.is_some());
    let shown = shown.thumbnail.unwrap();
    assert!(shown.start <= at && at < shown.end, "{:?} to {:?} for {at:?}", shown.start, shown.end);
    assert_shows(&shown, (160, 90));
}

#[test]
fn subtitles_of_a_live_stream_are_placed_by_their_timestamps_while_its_window_moves() {
    let (site, server) = film(28);
    let clock = Instant::now();
    let listed = move || {
        let edge = 12 + clock.elapsed().as_secs();
        (edge.saturating_sub(6).min(24), edge.min(28))
    };
    grow(&site, 1, "", move || {
        let (from, to) = listed();
        (from, to, false)
    });
    let master = site.text("/fmp4/master.m3u8").replace(",AUDIO=\"a\"", ",AUDIO=\"a\",SUBTITLES=\"t\"");
    let tag = "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"t\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,AUTOSELECT=YES,\
               URI=\"en.m3u8\"\n";
    site.put("/fmp4/master.m3u8", master + tag);
    site.put_dynamic("/fmp4/en.m3u8", move || {
        let (from, to) = listed();
        let mut text =
            format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{from}\n");
        for number in from..to {
            let _ = write!(text, "#EXTINF:1.0,\nen-{number}.vtt\n");
        }
        text
    });
    for number in 0..28_u64 {
        // Local times count from ten seconds before the segment; a cue that goes on is in both segments that it is seen in.
        let mut text = format!("WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:10.000,MPEGTS:{}\n\n", number * 90_000);
        if number > 0 {
            let _ = write!(text, "00:00:09.800 --> 00:00:10.100\nover {}\n\n", number - 1);
        }
        let _ = write!(
            text,
            "00:00:10.200 --> 00:00:10.700\nlive {number}\n\n00:00:10.800 --> 00:00:11.100\nover {number}\n"
        );
        site.put(&format!("/fmp4/en-{number}.vtt"), text);
    }
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events");
    let player = open(&server.url("/fmp4/master.m3u8"), &events, Options::default());
    let mut seen = std::collections::BTreeMap::new();
    wait_until(&player, "subtitles of seven segments", |snapshot| {
        let cues = &snapshot.subtitles.cues;
        for cue in cues.iter() {
            let text = cue.text();
            assert_eq!(cues.iter().filter(|other| other.text() == text).count(), 1, "{text} is there twice");
            seen.insert(text, cue.start.as_secs_f64());
        }
        seen.keys().filter(|text| text.starts_with("live")).count() >= 7
    });
    player.stop();
    player.wait();
    drop(player);
    let record = Record::read(&events);
    assert!(record.all("error").is_empty(), "{:?}", record.all("error"));
    // Where the pictures of the same media time are.
    let mut compared = 0;
    for segment in record.all("segment").iter().filter(|segment| segment["track"] == "video") {
        let (index, start) = (segment["index"].as_u64().unwrap(), segment["start_s"].as_f64().unwrap());
        for (text, after) in [(format!("live {index}"), 0.2), (format!("over {index}"), 0.8)] {
            let Some(at) = seen.get(&text) else { continue };
            assert!((at - start - after).abs() < 0.06, "{text} at {at}, its segment at {start}");
            compared += 1;
        }
    }
    assert!(compared >= 8, "{compared} of {seen:?}");
}

/// Makes the playlists grow: `listed` gives the first and the one after the last number.
fn grow(
    site: &Site,
    target: u32,
    kind: &'static str,
    listed: impl Fn() -> (u64, u64, bool) + Clone + Send + Sync + 'static,
) {
    for name in ["low", "audio"] {
        let listed = listed.clone();
        site.put_dynamic(&format!("/fmp4/{name}.m3u8"), move || {
            let (from, to, ended) = listed();
            let mut text = format!(
                "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:{from}\n{kind}\
                 #EXT-X-MAP:URI=\"{name}-init.mp4\"\n"
            );
            for number in from..to {
                let _ = write!(text, "#EXTINF:1.0,\n{name}-{number}.m4s\n");
            }
            text + if ended { "#EXT-X-ENDLIST\n" } else { "" }
        });
    }
}

#[test]
fn a_film_that_is_being_made_faster_than_it_is_played_is_played_without_a_stall() {
    let (site, server) = film(8);
    let begun = Arc::new(AtomicU64::new(u64::MAX));
    let clock = Instant::now();
    // Two segments to begin with, another one every 0.7 s from the first look on; the list is to be read every 4 s.
    grow(&site, 4, "#EXT-X-PLAYLIST-TYPE:EVENT\n", move || {
        let now = clock.elapsed().as_millis() as u64;
        let begun = begun.fetch_min(now, Ordering::Relaxed).min(now);
        let count = (2 + (now - begun) / 700).min(8);
        (0, count, count == 8)
    });
    let (last, record) = play(&server.url("/fmp4/master.m3u8"), Options::default());
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    assert_eq!(record.one("summary")["rebuffer_count"], 0, "{:#?}", record.all("stall_start"));
    let lists = site.requests().iter().filter(|path| path.ends_with("/low.m3u8")).count();
    assert!(lists <= 14, "{lists} looks at the list in 8 s");
}

#[test]
fn after_a_long_outage_a_live_stream_goes_on_at_its_edge() {
    let (site, server) = film(28);
    let clock = Instant::now();
    grow(&site, 1, "", move || {
        let edge = 5 + clock.elapsed().as_secs();
        (edge.saturating_sub(20), edge.min(28), false)
    });
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events.jsonl");
    let player = open(&server.url("/fmp4/master.m3u8"), &events, Options::default());
    wait_until(&player, "live pictures", |snapshot| snapshot.position > Duration::from_millis(2500));
    // Nothing more comes for a while: further behind than four of the wanted distances of 3 s.
    site.fault("/", Fault::Status(503), u32::MAX);
    let stalled = wait_until(&player, "a stall", |snapshot| snapshot.state == State::Stalled).position;
    thread::sleep(Duration::from_secs(12));
    site.mend();
    let back = wait_until(&player, "the edge", |snapshot| {
        snapshot.state == State::Playing && snapshot.position > stalled + Duration::from_secs(6)
    });
    let edge = Duration::from_secs(5) + clock.elapsed();
    assert!(edge.saturating_sub(back.position) < Duration::from_secs(7), "{:?} of {edge:?}", back.position);
    player.stop();
    player.wait();
    drop(player);
    let record = Record::read(&events);
    let jump = record.one("live_jump");
    assert!(jump["to_s"].as_f64().unwrap() - jump["from_s"].as_f64().unwrap() > 6.0, "{jump}");
    assert!(jump["reason"].as_str().unwrap().contains("left out"), "{jump}");
    assert!(record.all("seek").is_empty(), "the viewer did not ask for it");
}
