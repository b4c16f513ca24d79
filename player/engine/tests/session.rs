//! Whole sessions without a window, against a server that misbehaves.

#![allow(clippy::unwrap_used, reason = "in a test that is the report")]

mod support;

use std::time::{Duration, Instant};

use support::{
    Record,
    media::{self, HIGH, LOW},
    open, play,
    server::{Fault, Server, Site},
    wait_until,
};
use url::Url;
use weir_abr::{RungId, planner::QualityChoice};
use weir_engine::{Options, State};

/// A stream of `seconds` with both rungs, and its server.
fn fmp4(seconds: u32) -> (Site, Server) {
    let site = Site::default();
    media::fmp4(&site, &[LOW, HIGH], seconds);
    let server = Server::start(&site);
    (site, server)
}

fn low() -> Options {
    Options { quality: QualityChoice::Manual(RungId(0)), ..Options::default() }
}

#[test]
fn plays_fmp4_with_separate_audio_to_the_end_without_a_stall() {
    let (site, server) = fmp4(6);
    let (last, record) = play(&server.url("/fmp4/master.m3u8"), Options::default());
    assert_eq!(last.state, State::Ended, "{:?}", last.error);

    let summary = record.one("summary");
    assert_eq!(summary["rebuffer_count"], 0, "{summary}");
    assert!(summary["played_s"].as_f64().unwrap() > 5.0, "{summary}");
    let end = record.one("ended")["pos_s"].as_f64().unwrap();
    assert!((5.5..6.3).contains(&end), "ended at {end}");
    // One playlist of each kind before the first segment, and nothing else.
    let requests = site.requests();
    let first = requests.iter().position(|path| path.ends_with(".m4s")).unwrap();
    let lists = requests[..first].iter().filter(|path| path.ends_with(".m3u8")).count();
    assert_eq!(lists, 3, "{requests:?}");
    // Real time: the clock of the sinks, not of the decoder.
    let positions = record.numbers("position", "pos_s");
    assert!(positions.len() > 40, "{positions:?}");
    assert!(positions.is_sorted(), "{positions:?}");
    let fields = ["pos_s", "buffer_s", "height"];
    assert!(record.all("position").iter().all(|entry| fields.iter().all(|field| entry.get(field).is_some())));
    assert!([90, 180].contains(&record.one("first_frame")["height"].as_u64().unwrap()));
}

#[test]
fn a_playlist_in_a_folder_is_played_and_one_from_the_network_opens_no_files() {
    let (site, server) = fmp4(2);
    let folder = tempfile::tempdir().unwrap();
    site.save(folder.path());
    let master = folder.path().join("fmp4/master.m3u8");
    let (last, record) = play(&Url::from_file_path(&master).unwrap(), Options::default());
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    assert_eq!(record.one("summary")["rebuffer_count"], 0);

    let text =
        format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000000\n{}\n", Url::from_file_path(&master).unwrap());
    site.put("/evil.m3u8", text);
    let (last, _) = play(&server.url("/evil.m3u8"), Options::default());
    let error = last.error.unwrap();
    assert!(error.what.contains("only http and https"), "{error:?}");

    let (last, _) = play(&Url::from_file_path(folder.path().join("none.m3u8")).unwrap(), Options::default());
    let error = last.error.unwrap();
    assert!(error.what.contains("none.m3u8 could not be read"), "{error:?}");
}

/// RFC 7617, with the example of its 2.1.
#[test]
fn a_name_and_password_in_the_address_open_all_of_the_stream_and_are_recorded_nowhere() {
    let (site, server) = fmp4(2);
    site.require("Basic dGVzdDoxMjPCow==");
    let mut url = server.url("/fmp4/master.m3u8");
    let (refused, _) = play(&url, low());
    assert_eq!(refused.state, State::Failed, "{:?}", refused.error);
    url.set_username("test").unwrap();
    url.set_password(Some("123\u{a3}")).unwrap();
    let (last, record) = play(&url, low());
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    assert!(!record.all("request").is_empty());
    for event in ["session", "request"] {
        let urls: Vec<_> = record.all(event).iter().map(|entry| entry["url"].to_string()).collect();
        assert!(urls.iter().all(|url| !url.contains("123") && !url.contains("test")), "{urls:?}");
    }
}

#[test]
fn plays_muxed_transport_streams_to_the_end() {
    let site = Site::default();
    media::ts(&site, 6, None);
    let server = Server::start(&site);
    let (last, record) = play(&server.url("/ts/master.m3u8"), Options::default());
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    assert_eq!(record.one("summary")["rebuffer_count"], 0);
    assert_eq!(record.one("first_frame")["height"], 180);
    assert!(last.codecs.contains("AAC"), "sound of the same segments is played: {}", last.codecs);
}

#[test]
fn plays_segments_that_are_encrypted_with_aes_128() {
    let site = Site::default();
    media::ts(&site, 4, Some(*b"sixteen byte key"));
    let server = Server::start(&site);
    let (last, record) = play(&server.url("/ts/master.m3u8"), Options::default());
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    assert_eq!(record.one("summary")["rebuffer_count"], 0);
    assert_eq!(site.requests().iter().filter(|path| path.ends_with("key.bin")).count(), 1);
}

#[test]
fn a_segment_that_is_missing_at_one_rung_is_played_at_another() {
    let (site, server) = fmp4(5);
    site.fault("/low-2.m4s", Fault::Status(404), u32::MAX);
    let (last, record) = play(&server.url("/fmp4/master.m3u8"), low());
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    assert!(site.requests().iter().any(|path| path.ends_with("/high-2.m4s")), "{:?}", site.requests());
    assert!(record.all("skip").is_empty());
    assert!(!record.all("switch").is_empty());
}

#[test]
fn a_segment_that_is_missing_at_all_rungs_is_jumped_over() {
    let (site, server) = fmp4(5);
    site.fault("-2.m4s", Fault::Status(404), u32::MAX);
    let (last, record) = play(&server.url("/fmp4/master.m3u8"), Options::default());
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    assert!(record.all("skip").iter().any(|skip| skip["index"] == 2), "{:#?}", record.all("skip"));
}

#[test]
fn truncated_and_corrupt_segments_are_fetched_again() {
    let (site, server) = fmp4(5);
    site.fault("/low-1.m4s", Fault::Truncate, 1);
    site.fault("/low-3.m4s", Fault::Noise, 1);
    let (last, record) = play(&server.url("/fmp4/master.m3u8"), low());
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    assert!(record.all("skip").is_empty(), "{:#?}", record.all("skip"));
    assert!(record.all("error").iter().all(|error| error["fatal"] == false));
    assert!(!record.all("error").is_empty());
}

/// Turns a rung into one of a codec that nothing here knows.
fn unknown_codec(site: &Site, rung: &str) {
    let path = format!("/fmp4/{rung}-init.mp4");
    let mut init = site.bytes(&path).to_vec();
    let at = init.windows(4).position(|name| name == b"avc1").unwrap();
    // The brand in `ftyp` may say the same: only the sample entry, which comes last, decides.
    let at = init.windows(4).rposition(|name| name == b"avc1").unwrap_or(at);
    init[at..at + 4].copy_from_slice(b"zzz1");
    site.put(&path, init);
}

#[test]
fn a_rung_that_cannot_be_decoded_is_left_for_another() {
    let (site, server) = fmp4(4);
    unknown_codec(&site, "high");
    let options = Options { quality: QualityChoice::Manual(RungId(1)), ..Options::default() };
    let (last, record) = play(&server.url("/fmp4/master.m3u8"), options);
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    assert_eq!(record.one("first_frame")["height"], 90);
}

#[test]
fn a_stream_that_cannot_be_decoded_at_all_ends_with_a_message() {
    let (site, server) = fmp4(4);
    unknown_codec(&site, "high");
    unknown_codec(&site, "low");
    let (last, _) = play(&server.url("/fmp4/master.m3u8"), Options::default());
    assert_eq!(last.state, State::Failed);
    let error = last.error.unwrap();
    assert!(!error.what.is_empty() && !error.advice.is_empty(), "{error:?}");
}

#[test]
fn pictures_alone_and_sound_alone_are_played() {
    let (_site, server) = fmp4(3);
    let (last, record) = play(&server.url("/fmp4/low.m3u8"), Options::default());
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    assert_eq!(record.one("first_frame")["height"], 90);
    let (last, record) = play(&server.url("/fmp4/audio.m3u8"), Options::default());
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    assert_eq!(record.one("first_frame")["height"], 0);
    assert!(record.numbers("position", "pos_s").last().is_some_and(|last| *last > 2.0));
}

#[test]
fn a_dead_server_gives_one_message_that_names_it() {
    let site = Site::default();
    let server = Server::start(&site);
    let url = server.url("/fmp4/master.m3u8");
    let host = server.address.to_string();
    drop(server);
    let from = Instant::now();
    let (last, record) = play(&url, Options::default());
    assert_eq!(last.state, State::Failed);
    let error = last.error.unwrap();
    assert_eq!(error.code, "server_unreachable");
    assert!(error.what.contains(&host), "{}", error.what);
    assert!(!error.advice.is_empty());
    let fatal: Vec<_> = record.all("error").into_iter().filter(|error| error["fatal"] == true).collect();
    assert_eq!(fatal.len(), 1);
    assert!(from.elapsed() < Duration::from_secs(20));
}

#[test]
fn what_is_no_manifest_is_said_to_be_none() {
    let site = Site::default();
    site.put("/page.html", "<html>hello</html>");
    let server = Server::start(&site);
    let (last, _) = play(&server.url("/page.html"), Options::default());
    assert_eq!(last.error.map(|error| error.code).as_deref(), Some("manifest_invalid"));
    let (last, _) = play(&server.url("/none.m3u8"), Options::default());
    assert_eq!(last.error.map(|error| error.code).as_deref(), Some("manifest_status"));
}

#[test]
fn a_variant_whose_playlist_is_gone_is_left_for_another() {
    let (site, server) = fmp4(4);
    site.fault("/low.m3u8", Fault::Status(404), u32::MAX);
    let (last, _) = play(&server.url("/fmp4/master.m3u8"), Options::default());
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
}

#[test]
fn seeks_inside_and_outside_the_buffer_land_where_they_were_sent() {
    let (_site, server) = fmp4(12);
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events.jsonl");
    let options = Options {
        planner: weir_abr::planner::Config {
            max_buffer: Duration::from_secs(4),
            ..weir_abr::planner::Config::default()
        },
        ..low()
    };
    let player = open(&server.url("/fmp4/master.m3u8"), &events, options);
    wait_until(&player, "playback", |snapshot| snapshot.position > Duration::from_millis(500));
    player.seek(Duration::from_millis(9200), true);
    wait_until(&player, "the place outside the buffer", |snapshot| {
        snapshot.state == State::Playing && snapshot.position > Duration::from_millis(9300)
    });
    player.seek(Duration::from_millis(400), true);
    wait_until(&player, "the place in the buffer", |snapshot| {
        snapshot.state == State::Playing
            && (Duration::from_millis(450)..Duration::from_secs(5)).contains(&snapshot.position)
    });
    player.stop();
    player.wait();
    drop(player);

    let record = Record::read(&events);
    let seeks = record.all("seek");
    assert_eq!(seeks.len(), 2, "{seeks:#?}");
    for (seek, wanted) in seeks.iter().zip([9.2, 0.4]) {
        let landed = seek["to_s"].as_f64().unwrap();
        // Within one frame.
        assert!((landed - wanted).abs() <= 1.01 / f64::from(media::FPS), "{seek}");
    }
    assert_eq!(seeks[0]["in_buffer"], false);
    assert_eq!(seeks[1]["in_buffer"], true);
}

#[test]
fn starts_where_it_is_told_to() {
    let (site, server) = fmp4(6);
    let options = Options { start_at: Some(Duration::from_millis(3300)), ..low() };
    let (last, record) = play(&server.url("/fmp4/master.m3u8"), options);
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    let positions = record.numbers("position", "pos_s");
    assert!(positions.first().is_some_and(|first| (3.2..3.6).contains(first)), "{positions:?}");
    assert!(!site.requests().iter().any(|path| path.ends_with("/low-0.m4s")), "nothing before is fetched");
}

#[test]
fn pauses_and_goes_on() {
    let (_site, server) = fmp4(6);
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events.jsonl");
    let player = open(&server.url("/fmp4/master.m3u8"), &events, low());
    wait_until(&player, "playback", |snapshot| snapshot.position > Duration::from_millis(500));
    player.pause();
    let paused = wait_until(&player, "the pause", |snapshot| snapshot.state == State::Paused);
    std::thread::sleep(Duration::from_millis(600));
    let still = player.snapshot();
    assert!(still.position.saturating_sub(paused.position) < Duration::from_millis(200), "it went on");
    player.play();
    let last = player.wait();
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    drop(player);
    let record = Record::read(&events);
    assert_eq!(record.all("paused").len(), 2);
    assert_eq!(record.one("summary")["rebuffer_count"], 0, "a pause is no stall");
}

#[test]
fn an_event_that_still_grows_is_played_from_its_beginning_to_its_end() {
    let (site, server) = fmp4(8);
    // Everybody's playlist grows by a segment a second, three are there from the start.
    let from = Instant::now();
    for name in ["low", "high", "audio"] {
        let path = format!("/fmp4/{name}.m3u8");
        let whole = site.text(&path).replace("PLAYLIST-TYPE:VOD", "PLAYLIST-TYPE:EVENT");
        site.put_dynamic(&path, move || {
            let there = 3 + from.elapsed().as_secs() as usize;
            let total = whole.matches("#EXTINF").count();
            if there >= total {
                return whole.clone();
            }
            let mut seen = 0;
            let listed = whole.lines().take_while(|line| {
                seen += usize::from(line.starts_with("#EXTINF"));
                seen <= there && !line.starts_with("#EXT-X-ENDLIST")
            });
            listed.map(|line| format!("{line}\n")).collect()
        });
    }
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events.jsonl");
    let player = open(&server.url("/fmp4/master.m3u8"), &events, Options::default());
    let growing = wait_until(&player, "the length so far", |snapshot| snapshot.duration.is_some());
    assert!(growing.growing && growing.live_window.is_none(), "it is no live stream");
    let so_far = growing.duration;
    let last = player.wait();
    drop(player);
    let record = Record::read(&events);
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    assert!(!last.growing && last.duration > so_far, "{so_far:?} {:?}", last.duration);
    let positions = record.numbers("position", "pos_s");
    assert!(positions.first().is_some_and(|first| *first < 1.0), "{positions:?}");
    let end = record.one("ended")["pos_s"].as_f64().unwrap();
    assert!(end > 7.5, "ended at {end}");
}

#[test]
fn goes_on_at_the_other_address_of_a_redundant_variant_when_a_server_goes_away() {
    let (site, first) = fmp4(8);
    let second = Server::start(&site);
    // Each variant twice: here, and at the other server.
    let mut both = String::new();
    for line in site.text("/fmp4/master.m3u8").lines() {
        both.push_str(line);
        both.push('\n');
        if line.starts_with("#EXT-X-STREAM-INF") {
            continue;
        }
        if let (false, Some(tag)) = (line.starts_with('#'), both.rfind("#EXT-X-STREAM-INF")) {
            let tag = both[tag..].lines().next().unwrap().to_owned();
            both.push_str(&format!("{tag}\n{}\n", second.url(&format!("/fmp4/{line}"))));
        }
    }
    site.put("/fmp4/both.m3u8", both);
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events.jsonl");
    let planner = weir_abr::planner::Config { max_buffer: Duration::from_secs(3), ..Default::default() };
    let player = open(&first.url("/fmp4/both.m3u8"), &events, Options { planner, ..low() });
    wait_until(&player, "playback", |snapshot| snapshot.position > Duration::from_millis(800));
    drop(first);
    let last = player.wait();
    drop(player);
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    let record = Record::read(&events);
    assert_eq!(record.one("summary")["rebuffer_count"], 0, "{:?}", record.all("error"));
    assert!(record.all("skip").is_empty() && record.one("ended")["pos_s"].as_f64().unwrap() > 7.5);
}

#[test]
fn a_steered_stream_follows_its_server_and_leaves_a_pathway_that_fails() {
    let (a, first) = fmp4(8);
    let (b, second) = fmp4(8);
    // The second has the same under names of its own.
    for (list, name) in [("low", "l"), ("audio", "s")] {
        let text =
            b.text(&format!("/fmp4/{list}.m3u8")).replace(&format!("{list}-"), &format!("/fmp4/{list}-"));
        b.put(&format!("/cdn/{name}.m3u8"), text);
    }
    let steering = Site::default();
    let third = Server::start(&steering);
    steering.put("/next", r#"{"VERSION":1,"TTL":1,"PATHWAY-PRIORITY":["b","a"]}"#);
    steering.put("/steer", r#"{"VERSION":1,"TTL":1,"RELOAD-URI":"/next","PATHWAY-PRIORITY":["a"]}"#);
    let mut master =
        format!("#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"{}\",PATHWAY-ID=\"a\"\n", third.url("/steer"));
    let pathways = [
        ("a", first.url("/fmp4/low.m3u8"), first.url("/fmp4/audio.m3u8")),
        ("b", second.url("/cdn/l.m3u8"), second.url("/cdn/s.m3u8")),
    ];
    for (id, video, sound) in &pathways {
        master.push_str(&format!(
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{id}\",NAME=\"main\",DEFAULT=YES,URI=\"{sound}\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=400000,CODECS=\"avc1.42c00d,mp4a.40.2\",AUDIO=\"{id}\",PATHWAY-ID=\"{id}\"\n{video}\n"
        ));
    }
    steering.put("/master.m3u8", master);
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events.jsonl");
    let planner = weir_abr::planner::Config { max_buffer: Duration::from_secs(2), ..Default::default() };
    let player = open(&third.url("/master.m3u8"), &events, Options { planner, ..low() });
    let from_b =
        |kind: &str| b.requests().iter().filter(|path| path.contains(kind) && path.ends_with(".m4s")).count();
    wait_until(&player, "pathway b", |_| from_b("low-") > 1 && from_b("audio-") > 1);
    drop(second);
    let before = a.requests().len();
    let last = player.wait();
    drop(player);
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    assert_eq!(last.pathway.as_deref(), Some("a"));
    assert!(a.requests().len() > before + 2, "{:?}", a.requests());

    let record = Record::read(&events);
    assert_eq!(record.one("summary")["rebuffer_count"], 0, "{:?}", record.all("error"));
    assert!(record.all("skip").is_empty() && record.one("ended")["pos_s"].as_f64().unwrap() > 7.5);
    let ways: Vec<_> = record.all("pathway").iter().map(|entry| entry["to"].as_str().unwrap()).collect();
    assert_eq!(ways, ["a", "b", "a"]);
    assert!(record.all("pathway")[2]["reason"].as_str().unwrap().contains("trouble"));
    assert_eq!(record.all("steering")[0]["priority"], serde_json::json!(["a"]));
    assert_eq!(record.all("steering")[1]["priority"], serde_json::json!(["b", "a"]));
    let asked: Vec<_> = record.all("request").iter().filter_map(|entry| entry["url"].as_str()).collect();
    let told = |part: &str| asked.iter().any(|url| url.contains(part));
    assert!(told("/steer?_HLS_pathway=%22a%22") && told("/next?_HLS_pathway=%22b%22"), "{asked:?}");
    // The record names the pathway's own address, not the listed one.
    assert!(asked.contains(&pathways[1].1.as_str()), "{asked:?}");
    // The lists of a pathway name its own segments: they were loaded from there.
    assert!(b.requests().iter().any(|path| path == "/cdn/l.m3u8"), "{:?}", b.requests());
}

/// A playlist that `third` steers: pathways, their servers and the rungs that they have.
fn steered(third: &Server, pathways: &[(&str, &Server, &[&str])]) -> String {
    let mut master =
        format!("#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"{}\",PATHWAY-ID=\"a\"\n", third.url("/steer"));
    for (id, server, rungs) in pathways {
        let sound = server.url("/fmp4/audio.m3u8");
        master.push_str(&format!(
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{id}\",NAME=\"main\",DEFAULT=YES,URI=\"{sound}\"\n"
        ));
        for (at, name) in rungs.iter().enumerate() {
            let video = server.url(&format!("/fmp4/{name}.m3u8"));
            master.push_str(&format!(
                "#EXT-X-STREAM-INF:BANDWIDTH={},CODECS=\"avc1.42c00d,mp4a.40.2\",AUDIO=\"{id}\",PATHWAY-ID=\"{id}\",\
                 STABLE-VARIANT-ID=\"{name}\"\n{video}\n",
                300_000 + 400_000 * at
            ));
        }
    }
    master
}

/// Plays a stream of two pathways with these rungs; the steering server prefers the second one once more than three segments
/// were asked for whose names have `part` in them. Gives the second one's site, the record, and the rungs of the decisions
/// before and after the change.
fn moved_on(
    rungs: [&[&str]; 2],
    part: &'static str,
    quality: QualityChoice,
    buffer: u64,
) -> (Site, Record, [Vec<u64>; 2]) {
    let (a, first) = fmp4(14);
    let (b, second) = fmp4(14);
    // Downloads of a few kilobytes say nothing about the network.
    let padding = [&60_008_u32.to_be_bytes()[..], b"free", &[0; 60_000]].concat();
    for (site, number) in [&a, &b].into_iter().flat_map(|site| (0..14).map(move |number| (site, number))) {
        let path = format!("/fmp4/low-{number}.m4s");
        site.put(&path, [&site.bytes(&path)[..], &padding].concat());
    }
    let steering = Site::default();
    let third = Server::start(&steering);
    steering.put_dynamic("/steer", move || {
        let played = a.requests().iter().filter(|path| path.contains(part)).count() > 3;
        let order = if played { r#"["b","a"]"# } else { r#"["a","b"]"# };
        format!(r#"{{"VERSION":1,"TTL":1,"PATHWAY-PRIORITY":{order}}}"#)
    });
    steering.put("/master.m3u8", steered(&third, &[("a", &first, rungs[0]), ("b", &second, rungs[1])]));
    let planner = weir_abr::planner::Config { max_buffer: Duration::from_secs(buffer), ..Default::default() };
    let (last, record) = play(&third.url("/master.m3u8"), Options { planner, quality, ..Options::default() });
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    assert_eq!(last.video.rungs.len(), 2, "the ladder stays what it was");
    assert!(record.all("error").is_empty() && record.all("skip").is_empty(), "{:?}", record.all("error"));
    let ways: Vec<_> = record.all("pathway").iter().map(|entry| entry["to"].as_str().unwrap()).collect();
    assert_eq!(ways, ["a", "b"], "{:?}", record.all("steering"));
    let moved = record.all("pathway")[1]["t_ms"].as_f64().unwrap();
    let decided = [false, true].map(|after| {
        let decisions = record.all("decision");
        let video = decisions.iter().filter(|entry| entry["track"] == "video");
        let then = video.filter(|entry| (entry["t_ms"].as_f64().unwrap() > moved) == after);
        then.map(|entry| entry["rung"].as_u64().unwrap()).collect()
    });
    (b, record, decided)
}

#[test]
fn a_rung_that_only_one_pathway_has_is_used_while_that_is_in_use() {
    let by_hand = QualityChoice::Manual(RungId(1));
    // Away from the first pathway as soon as its own rung is played.
    let (b, _, [before, after]) = moved_on([&["low", "high"], &["low"]], "/high-", by_hand, 2);
    assert!(before.contains(&1), "{before:?}");
    assert!(after.len() > 2 && after.iter().all(|rung| *rung == 0), "{after:?}");
    assert!(b.requests().iter().any(|path| path.contains("/low-")), "{:?}", b.requests());
}

#[test]
fn an_upper_rung_that_only_the_other_pathway_has_is_taken_by_itself_once_that_is_in_use() {
    let rungs: [&[&str]; 2] = [&["low"], &["low", "high"]];
    let (b, record, [before, after]) = moved_on(rungs, "/low-", QualityChoice::Auto, 5);
    assert!(before.len() > 2 && before.iter().all(|rung| *rung == 0), "{before:?}");
    assert!(after.contains(&1), "automatic quality goes up: {after:?}");
    assert!(b.requests().iter().any(|path| path.contains("/high-")), "{:?}", b.requests());
    let seen = record.all("switch");
    assert!(seen.iter().any(|it| it["to_kbps"].as_f64() > it["from_kbps"].as_f64()), "{seen:?}");
}

#[test]
fn survives_a_server_that_is_killed_and_comes_back() {
    let (site, server) = fmp4(10);
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events.jsonl");
    let options = Options {
        planner: weir_abr::planner::Config {
            max_buffer: Duration::from_secs(3),
            ..weir_abr::planner::Config::default()
        },
        ..low()
    };
    let player = open(&server.url("/fmp4/master.m3u8"), &events, options);
    wait_until(&player, "playback", |snapshot| snapshot.position > Duration::from_millis(800));
    let address = server.address;
    drop(server);
    wait_until(&player, "the fault to be noticed", |snapshot| snapshot.warning.is_some());
    let _server = Server::start_at(&site, address);
    let last = player.wait();
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
}

#[test]
fn the_next_session_knows_what_the_network_gave() {
    let (site, server) = fmp4(3);
    // The loopback is too fast to be measured: 100 kB/s.
    site.fault(".m4s", Fault::Slow(1000), u32::MAX);
    let state = tempfile::tempdir().unwrap();
    let options = || Options { state_dir: Some(state.path().to_owned()), ..Options::default() };
    play(&server.url("/fmp4/master.m3u8"), options());
    let (_, record) = play(&server.url("/fmp4/master.m3u8"), options());
    let first = record.all("decision")[0]["reason"].as_str().unwrap();
    assert!(first.contains("was measured here before"), "{first}");
}

#[test]
fn the_record_is_complete_after_stop_after() {
    let (_site, server) = fmp4(6);
    let options = Options { stop_after: Some(Duration::from_secs(2)), ..Options::default() };
    let (_, record) = play(&server.url("/fmp4/master.m3u8"), options);
    assert!(record.all("ended").is_empty());
    assert_eq!(record.0.last().unwrap()["event"], "summary");
}

#[test]
fn odd_but_legal_servers_are_played_from() {
    let (site, server) = fmp4(5);
    site.fault("/entry.m3u8", Fault::Moved("fmp4/master.m3u8"), 1);
    site.fault("/high.m3u8", Fault::Gzip, u32::MAX);
    site.fault("/low.m3u8", Fault::Gzip, u32::MAX);
    site.fault("-1.m4s", Fault::Unsized, u32::MAX);
    site.fault("-2.m4s", Fault::Gzip, u32::MAX);
    site.fault("-3.m4s", Fault::Busy(1), 1);
    let (last, record) = play(&server.url("/entry.m3u8"), low());
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    assert!(record.all("skip").is_empty(), "{:#?}", record.all("skip"));
    assert_eq!(record.one("summary")["rebuffer_count"], 0);
    assert!(site.requests().iter().any(|path| path == "/fmp4/low-1.m4s"), "relative to where it was found");
}

#[test]
fn a_segment_is_played_while_it_comes() {
    let site = Site::default();
    media::ts(&site, 6, None);
    let server = Server::start(&site);
    // The first segment takes several times as long as what its first second takes.
    let size = site.bytes("/ts/high-0.ts").len();
    site.fault("/high-0.ts", Fault::Slow(size / 60), 1);
    let (last, record) = play(&server.url("/ts/master.m3u8"), Options::default());
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    let first = record.one("first_frame")["t_ms"].as_f64().unwrap();
    let complete = record.all("segment")[0]["t_ms"].as_f64().unwrap();
    assert!(first < complete, "the first picture came at {first}, its segment at {complete} ms");
    assert_eq!(record.one("summary")["rebuffer_count"], 0);
}

#[test]
fn sound_that_was_there_before_the_pictures_does_not_wait_for_their_whole_segment() {
    let site = Site::default();
    media::fmp4(&site, &[LOW], 4);
    // All in one segment each.
    for name in ["low", "audio"] {
        let parts = (0..).map_while(|number| site.get(&format!("/fmp4/{name}-{number}.m4s")));
        let whole = parts.flat_map(|part| part.to_vec()).collect::<Vec<u8>>();
        site.put(&format!("/fmp4/{name}-whole.m4s"), whole);
        site.put(
            &format!("/fmp4/{name}.m3u8"),
            format!(
                "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:4\n#EXT-X-PLAYLIST-TYPE:VOD\n\
                 #EXT-X-MAP:URI=\"{name}-init.mp4\"\n#EXTINF:4,\n{name}-whole.m4s\n#EXT-X-ENDLIST\n"
            ),
        );
    }
    // Twice as fast as it is played.
    site.fault("/low-whole.m4s", Fault::Slow(site.bytes("/fmp4/low-whole.m4s").len() / 200), 1);
    let server = Server::start(&site);
    let (last, record) = play(&server.url("/fmp4/master.m3u8"), Options::default());
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    let plays = |entry: &&&serde_json::Value| entry["pos_s"].as_f64().is_some_and(|position| position > 0.1);
    let moved = record.all("position").iter().find(plays).unwrap()["t_ms"].as_f64().unwrap();
    let pictures = record.all("segment").into_iter().find(|entry| entry["track"] == "video").unwrap();
    let complete = pictures["t_ms"].as_f64().unwrap();
    assert!(moved < complete, "it went on at {moved}, the pictures were complete at {complete} ms");
    assert_eq!(record.one("summary")["rebuffer_count"], 0);
}

#[test]
fn a_segment_that_breaks_off_while_it_is_played_is_completed_by_the_next_try() {
    let site = Site::default();
    media::ts(&site, 6, None);
    let server = Server::start(&site);
    site.fault("/high-", Fault::Truncate, 2);
    let (last, record) = play(&server.url("/ts/master.m3u8"), Options::default());
    assert_eq!(last.state, State::Ended, "{:?}", last.error);
    assert!(record.all("skip").is_empty());
    assert!(
        record.all("error").iter().all(|error| error["code"] != "playback_stood"),
        "{:#?}",
        record.all("error")
    );
    let frames = record.one("summary")["frames"].as_u64().unwrap();
    assert!((140..=150).contains(&frames), "{frames} of 150 pictures were shown");
}
