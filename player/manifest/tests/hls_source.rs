//! HLS presentations as the engine loads them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

use std::time::Duration;

use url::Url;
use weir_manifest::{
    Change, Lookup, Now, Request, Source, What,
    model::{Encryption, MediaKind, Segment},
    to_brain_track,
};

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn at(seconds: f64) -> Now {
    let session = Duration::from_secs_f64(seconds);
    Now { session, unix: Duration::from_secs(1_800_000_000) + session }
}

fn open(text: &str) -> Source {
    Source::new(&url("https://h.example/a/master.m3u8?t=1"), text.as_bytes(), at(0.0)).unwrap()
}

fn supply(source: &mut Source, place: (usize, usize), text: &str, now: Now) -> Change {
    let request = playlist_request(source, place, now);
    source.supply(&request, &request.resource.url.clone(), text.as_bytes(), now).unwrap()
}

fn playlist_request(source: &mut Source, (track, rendition): (usize, usize), now: Now) -> Request {
    if let Some(request) = source.wanted(track, rendition).pop() {
        return request;
    }
    let due = source.due(&[(track, rendition)], now);
    due.requests.into_iter().next().unwrap_or_else(|| {
        let resource = source.presentation().tracks[track].renditions[rendition].playlist.clone().unwrap();
        Request {
            resource: weir_manifest::model::Resource { url: resource, range: None },
            what: What::Playlist { track, rendition },
            blocking: false,
        }
    })
}

fn segments(source: &Source, place: (usize, usize)) -> &[Segment] {
    &source.presentation().tracks[place.0].renditions[place.1].segments
}

/// number, start in ms, discontinuity
fn layout(source: &Source, place: (usize, usize)) -> Vec<(u64, u128, u64)> {
    segments(source, place).iter().map(|s| (s.number, s.start.as_millis(), s.discontinuity)).collect()
}

/// A live playlist of 4 s segments `from..to`.
fn live(from: u64, to: u64) -> String {
    let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:{from}\n");
    for number in from..to {
        text.push_str(&format!("#EXTINF:4,\ns{number}.ts\n"));
    }
    text
}

/// The same with dates, `zero` being that of segment 0.
fn dated(from: u64, to: u64, first_number: u64) -> String {
    let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:{first_number}\n");
    for number in from..to {
        let seconds = number * 4;
        text.push_str(&format!(
            "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T{:02}:{:02}:{:02}.000Z\n#EXTINF:4,\ns{number}.ts\n",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        ));
    }
    text
}

const TWO: &str = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=3000000,RESOLUTION=1280x720\nhi.m3u8\n\
                   #EXT-X-STREAM-INF:BANDWIDTH=800000,RESOLUTION=640x360\nlo.m3u8\n";

#[test]
fn a_multivariant_playlist_needs_only_the_chosen_rendition() {
    let mut source = open(TWO);
    let wanted = source.wanted(0, 0);
    assert_eq!(wanted.len(), 1);
    assert_eq!(wanted[0].resource.url.as_str(), "https://h.example/a/lo.m3u8");
    supply(&mut source, (0, 0), &(live(0, 3) + "#EXT-X-ENDLIST\n"), at(1.0));
    assert!(source.wanted(0, 0).is_empty());
    let track = to_brain_track(&source.presentation().tracks[0], true).unwrap();
    assert_eq!(track.ladder.rungs().iter().map(|r| r.height).collect::<Vec<_>>(), [Some(360), Some(720)]);
    assert_eq!((track.first_index, track.segments.len()), (0, 3));
    assert!(matches!(source.segment(0, 1, 2, at(1.0)), Lookup::Load(_)));
    assert_eq!(source.presentation().duration, Some(Duration::from_secs(12)));
    assert!(!source.presentation().live);
    assert_eq!(source.due(&[(0, 0)], at(100.0)).wake_at, None);
}

#[test]
fn numbers_and_positions_stay_when_the_window_slides() {
    let mut source = open(TWO);
    supply(&mut source, (0, 0), &live(100, 104), at(0.0));
    assert!(source.presentation().live && source.presentation().start_at_edge);
    assert_eq!(layout(&source, (0, 0)), [(100, 0, 0), (101, 4000, 0), (102, 8000, 0), (103, 12000, 0)]);
    assert_eq!(supply(&mut source, (0, 0), &live(102, 106), at(4.0)), Change::Changed);
    assert_eq!(layout(&source, (0, 0)), [(102, 8000, 0), (103, 12000, 0), (104, 16000, 0), (105, 20000, 0)]);
    // Some were missed: the hole is as long as they are.
    supply(&mut source, (0, 0), &live(108, 110), at(20.0));
    assert_eq!(layout(&source, (0, 0)), [(108, 32000, 0), (109, 36000, 0)]);
}

#[test]
fn reloads_after_a_target_duration_and_after_half_of_it_when_nothing_changed() {
    let mut source = open(TWO);
    supply(&mut source, (0, 0), &live(0, 4), at(0.0));
    let due = source.due(&[(0, 0)], at(3.9));
    assert!(due.requests.is_empty());
    assert_eq!(due.wake_at, Some(Duration::from_secs(4)));
    let due = source.due(&[(0, 0)], at(4.0));
    assert_eq!(due.requests.len(), 1);
    assert!(source.due(&[(0, 0)], at(4.1)).requests.is_empty(), "it is on its way already");
    let text = live(0, 4);
    let url = due.requests[0].resource.url.clone();
    assert_eq!(source.supply(&due.requests[0], &url, text.as_bytes(), at(4.2)).unwrap(), Change::Unchanged);
    assert_eq!(source.due(&[(0, 0)], at(4.3)).wake_at, Some(Duration::from_millis(6200)));
    let due = source.due(&[(0, 0)], at(6.3));
    source.failed(&due.requests[0], at(6.4));
    assert_eq!(source.due(&[(0, 0)], at(6.5)).wake_at, Some(Duration::from_millis(8400)));
}

#[test]
fn an_event_starts_at_its_beginning_and_ends_with_endlist() {
    let mut source = open(TWO);
    let event = |to| live(0, to).replace("#EXT-X-MEDIA-SEQUENCE:0", "#EXT-X-PLAYLIST-TYPE:EVENT");
    supply(&mut source, (0, 0), &event(2), at(0.0));
    let now = source.presentation();
    assert!(now.live && !now.start_at_edge && now.duration.is_none());
    // With parts it is a live stream that keeps all of itself.
    let parts =
        event(3).replace("PLAYLIST-TYPE:EVENT", "PLAYLIST-TYPE:EVENT\n#EXT-X-PART-INF:PART-TARGET=0.5");
    supply(&mut source, (0, 0), &parts, at(3.0));
    assert!(source.presentation().live && source.presentation().start_at_edge);
    supply(&mut source, (0, 0), &(event(3) + "#EXT-X-ENDLIST\n"), at(4.0));
    let now = source.presentation();
    assert!(!now.live);
    assert_eq!((now.duration, now.reload_after), (Some(Duration::from_secs(12)), None));
    assert_eq!(source.segment(0, 0, 3, at(5.0)), Lookup::Gone);
}

#[test]
fn an_older_copy_from_a_cache_changes_nothing() {
    let mut source = open(TWO);
    supply(&mut source, (0, 0), &live(100, 104), at(0.0));
    assert_eq!(supply(&mut source, (0, 0), &live(99, 103), at(4.0)), Change::Unchanged);
    assert_eq!(segments(&source, (0, 0)).last().unwrap().number, 103);
}

#[test]
fn a_restarted_playlist_goes_on_as_a_run_of_its_own_on_all_renditions() {
    let mut source = open(TWO);
    supply(&mut source, (0, 0), &live(100, 103), at(0.0));
    supply(&mut source, (0, 1), &live(100, 102), at(0.0));
    supply(&mut source, (0, 0), &live(0, 2), at(8.0));
    assert_eq!(layout(&source, (0, 0)), [(103, 12000, 1), (104, 16000, 1)]);
    supply(&mut source, (0, 0), &live(0, 3), at(12.0));
    assert_eq!(layout(&source, (0, 0)), [(103, 12000, 1), (104, 16000, 1), (105, 20000, 1)]);
    supply(&mut source, (0, 1), &live(0, 3), at(12.0));
    assert_eq!(layout(&source, (0, 1)), layout(&source, (0, 0)));
}

#[test]
fn renditions_agree_on_numbers_by_date_where_their_sequences_differ() {
    let mut source = open(TWO);
    supply(&mut source, (0, 0), &dated(100, 104, 100), at(0.0));
    supply(&mut source, (0, 1), &dated(101, 105, 7), at(4.0));
    assert_eq!(layout(&source, (0, 1)), [(101, 4000, 0), (102, 8000, 0), (103, 12000, 0), (104, 16000, 0)]);
    assert_eq!(segments(&source, (0, 1))[0].media.url.path(), "/a/s101.ts");
    supply(&mut source, (0, 1), &dated(102, 106, 8), at(8.0));
    assert_eq!(layout(&source, (0, 1))[0], (102, 8000, 0));
}

#[test]
fn complete_renditions_agree_by_position_where_their_sequences_differ() {
    let mut source = open(TWO);
    supply(&mut source, (0, 0), &(live(0, 3) + "#EXT-X-ENDLIST"), at(0.0));
    supply(&mut source, (0, 1), &(live(1, 4) + "#EXT-X-ENDLIST"), at(0.0));
    assert_eq!(layout(&source, (0, 0)), layout(&source, (0, 1)));
}

#[test]
fn a_rendition_that_lags_behind_is_loaded_again() {
    let mut source = open(TWO);
    supply(&mut source, (0, 0), &live(100, 104), at(0.0));
    supply(&mut source, (0, 1), &live(100, 104), at(0.0));
    supply(&mut source, (0, 0), &live(104, 108), at(16.0));
    assert!(matches!(source.segment(0, 1, 106, at(16.0)), Lookup::Load(_)));
    supply(&mut source, (0, 1), &live(104, 107), at(16.1));
    assert!(matches!(source.segment(0, 1, 106, at(16.1)), Lookup::Ready(_)));
    assert!(matches!(source.segment(0, 1, 107, at(16.2)), Lookup::Later(_)), "not in a tight loop");
    assert_eq!(source.segment(0, 1, 90, at(16.2)), Lookup::Gone);
    assert!(matches!(source.segment(0, 0, 108, at(16.2)), Lookup::Later(_)));
}

const LOW_LATENCY: &str = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:4\n\
    #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=3.0,CAN-SKIP-UNTIL=24.0\n#EXT-X-PART-INF:PART-TARGET=1.0\n";

#[test]
fn delta_updates_take_what_they_skip_from_the_copy_before() {
    let mut source = open(TWO);
    let head = LOW_LATENCY;
    let list = |from: u64, to: u64| (from..to).map(|n| format!("#EXTINF:4,\ns{n}.m4s\n")).collect::<String>();
    let map = "#EXT-X-MAP:URI=\"init.mp4\"\n";
    supply(&mut source, (0, 0), &format!("{head}#EXT-X-MEDIA-SEQUENCE:10\n{map}{}", list(10, 20)), at(0.0));
    let due = source.due(&[(0, 0)], at(0.0));
    assert_eq!(due.requests[0].resource.url.query(), Some("_HLS_msn=20&_HLS_part=0&_HLS_skip=YES"));
    assert!(due.requests[0].blocking);
    let delta =
        format!("{head}#EXT-X-MEDIA-SEQUENCE:11\n#EXT-X-SKIP:SKIPPED-SEGMENTS=5\n{map}{}", list(16, 21));
    let located = due.requests[0].resource.url.clone();
    source.supply(&due.requests[0], &located, delta.as_bytes(), at(4.0)).unwrap();
    let numbers: Vec<_> = segments(&source, (0, 0)).iter().map(|s| (s.number, s.start.as_secs())).collect();
    assert_eq!(numbers, (11..21).map(|n| (n, (n - 10) * 4)).collect::<Vec<_>>());
    assert!(segments(&source, (0, 0)).iter().all(|s| s.init.is_some()));
    // What is in force need not be said again.
    let delta = format!("{head}#EXT-X-MEDIA-SEQUENCE:12\n#EXT-X-SKIP:SKIPPED-SEGMENTS=5\n{}", list(17, 22));
    supply(&mut source, (0, 0), &delta, at(6.0));
    let numbers: Vec<_> = segments(&source, (0, 0)).iter().map(|s| s.number).collect();
    assert_eq!(numbers, (12..22).collect::<Vec<_>>());
    assert!(segments(&source, (0, 0)).iter().all(|s| s.init.is_some() && s.encryption.is_none()));
    // A delta for a copy that is not here: the whole is asked for, at once.
    let delta =
        format!("{head}#EXT-X-MEDIA-SEQUENCE:50\n#EXT-X-SKIP:SKIPPED-SEGMENTS=5\n{map}{}", list(55, 60));
    assert_eq!(supply(&mut source, (0, 0), &delta, at(8.0)), Change::Unchanged);
    let due = source.due(&[(0, 0)], at(8.0));
    assert_eq!(due.requests[0].resource.url.query(), Some("_HLS_msn=22&_HLS_part=0"));
}

#[test]
fn a_key_that_stands_before_what_a_delta_update_skips_goes_on() {
    let mut source = open(TWO);
    let list = |from: u64, to: u64| (from..to).map(|n| format!("#EXTINF:4,\ns{n}.ts\n")).collect::<String>();
    let key = "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n";
    let first = format!("{LOW_LATENCY}#EXT-X-MEDIA-SEQUENCE:10\n{key}{}", list(10, 20));
    supply(&mut source, (0, 0), &first, at(0.0));
    let delta =
        format!("{LOW_LATENCY}#EXT-X-MEDIA-SEQUENCE:11\n#EXT-X-SKIP:SKIPPED-SEGMENTS=5\n{}", list(16, 21));
    supply(&mut source, (0, 0), &delta, at(4.0));
    // Without a vector of its own each segment has its number for one.
    let vector = |s: &Segment| match &s.encryption {
        Some(Encryption::Aes128 { iv, .. }) => u128::from_be_bytes(*iv),
        other => panic!("{other:?}"),
    };
    let vectors: Vec<u128> = segments(&source, (0, 0)).iter().map(vector).collect();
    assert_eq!(vectors, (11..21).collect::<Vec<_>>());
    let plain = format!(
        "{LOW_LATENCY}#EXT-X-MEDIA-SEQUENCE:12\n#EXT-X-SKIP:SKIPPED-SEGMENTS=8\n#EXT-X-KEY:METHOD=NONE\n{}",
        list(20, 22)
    );
    supply(&mut source, (0, 0), &plain, at(8.0));
    let encrypted: Vec<bool> = segments(&source, (0, 0)).iter().map(|s| s.encryption.is_some()).collect();
    assert_eq!(encrypted, [[true; 8].as_slice(), &[false; 2]].concat());
}

#[test]
fn keys_maps_ranges_and_gaps_reach_the_segments() {
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-MAP:URI=\"i.mp4\",BYTERANGE=\"100\"\n\
        #EXT-X-KEY:METHOD=AES-128,URI=\"k1\"\n#EXTINF:4,\n#EXT-X-BYTERANGE:50@100\nall.mp4\n\
        #EXTINF:4,\n#EXT-X-BYTERANGE:60\nall.mp4\n#EXT-X-KEY:METHOD=AES-128,URI=\"k2\",IV=0xAB\n#EXT-X-GAP\n#EXTINF:4,\nx.mp4\n\
        #EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://x\",KEYFORMAT=\"com.apple.streamingkeydelivery\"\n\
        #EXT-X-KEY:METHOD=AES-128,URI=\"k3\"\n#EXTINF:4,\ny.mp4\n#EXT-X-KEY:METHOD=NONE\n#EXT-X-DISCONTINUITY\n#EXTINF:4,\nz.mp4\n\
        #EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI=\"k\"\n#EXTINF:4,\nw.mp4\n#EXT-X-ENDLIST\n";
    let source = open(text);
    let all = segments(&source, (0, 0));
    assert_eq!(all[0].init.as_ref().unwrap().range, Some(0..100));
    assert!(
        all.iter().all(|s| s.init.as_ref().unwrap().url.path() == "/a/i.mp4"),
        "a map is carried forward"
    );
    assert_eq!((all[0].media.range.clone(), all[1].media.range.clone()), (Some(100..150), Some(150..210)));
    assert_eq!((all[0].size, all[2].size), (Some(50), None));
    let mut iv = [0; 16];
    iv[15] = 7;
    let key =
        |name: &str, iv| Some(Encryption::Aes128 { key: url(&format!("https://h.example/a/{name}")), iv });
    assert_eq!(all[0].encryption, key("k1", iv));
    iv[15] = 8;
    assert_eq!(all[1].encryption, key("k1", iv));
    iv[15] = 0xAB;
    assert_eq!(all[2].encryption, key("k2", iv));
    assert!(all[2].gap && !all[1].gap && !all[3].gap);
    iv[15] = 10;
    assert_eq!(all[3].encryption, key("k3", iv), "of several keys the one that can be used");
    assert_eq!((&all[4].encryption, all[4].discontinuity, all[3].discontinuity), (&None, 1, 0));
    assert_eq!(all[5].encryption, Some(Encryption::Unsupported("SAMPLE-AES-CTR".into())));
}

#[test]
fn durations_do_not_drift() {
    let mut text = String::from("#EXTM3U\n#EXT-X-TARGETDURATION:4\n");
    for number in 0..2400 {
        text.push_str(&format!("#EXTINF:3.003,\n{number}.ts\n"));
    }
    let source = open(&(text + "#EXT-X-ENDLIST\n"));
    assert_eq!(source.presentation().duration, Some(Duration::from_millis(7_207_200)));
}

const APPLE: &str = r#"#EXTM3U
#EXT-X-VERSION:6
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="aud1",LANGUAGE="en",NAME="English",AUTOSELECT=YES,DEFAULT=YES,CHANNELS="2",URI="a1/prog_index.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="aud1",LANGUAGE="de",NAME="Deutsch",AUTOSELECT=YES,DEFAULT=NO,CHANNELS="2",URI="a1de/prog_index.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="aud3",LANGUAGE="en",NAME="English",AUTOSELECT=YES,DEFAULT=YES,CHANNELS="6",URI="a3/prog_index.m3u8"
#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID="cc1",LANGUAGE="en",NAME="English",INSTREAM-ID="CC1"
#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="sub1",LANGUAGE="en",NAME="English",FORCED=NO,URI="s1/en/prog_index.m3u8"
#EXT-X-I-FRAME-STREAM-INF:AVERAGE-BANDWIDTH=28000,BANDWIDTH=38000,CODECS="avc1.640028",RESOLUTION=640x360,URI="tp1/iframe_index.m3u8"
#EXT-X-STREAM-INF:AVERAGE-BANDWIDTH=2168183,BANDWIDTH=2177116,CODECS="avc1.640020,mp4a.40.2",RESOLUTION=960x540,FRAME-RATE=60.000,CLOSED-CAPTIONS="cc1",AUDIO="aud1",SUBTITLES="sub1"
v5/prog_index.m3u8
#EXT-X-STREAM-INF:AVERAGE-BANDWIDTH=2399000,BANDWIDTH=2400000,CODECS="avc1.640020,ec-3",RESOLUTION=960x540,FRAME-RATE=60.000,AUDIO="aud3",SUBTITLES="sub1"
v5/prog_index.m3u8
#EXT-X-STREAM-INF:AVERAGE-BANDWIDTH=7968416,BANDWIDTH=8001098,CODECS="avc1.64002a,mp4a.40.2",RESOLUTION=1920x1080,FRAME-RATE=60.000,AUDIO="aud1",SUBTITLES="sub1"
v9/prog_index.m3u8
#EXT-X-STREAM-INF:AVERAGE-BANDWIDTH=900000,BANDWIDTH=950000,CODECS="hvc1.2.4.L123.B0,mp4a.40.2",RESOLUTION=960x540,AUDIO="aud1",SUBTITLES="sub1"
hevc/prog_index.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS="mp4a.40.2",AUDIO="aud1"
audio_only/prog_index.m3u8
"#;

#[test]
fn the_main_track_is_one_codec_family_with_each_address_once() {
    let source = open(APPLE);
    let tracks = &source.presentation().tracks;
    let main: Vec<_> = tracks[0].renditions.iter().map(|r| (r.bandwidth, r.height)).collect();
    assert_eq!(main, [(2_177_116, Some(540)), (8_001_098, Some(1080))]);
    let audio: Vec<_> = tracks.iter().filter(|t| t.kind == MediaKind::Audio).collect();
    assert_eq!(audio.len(), 2, "only the group of the variants that were kept");
    assert_eq!(
        audio.iter().map(|t| (t.name.as_str(), t.default)).collect::<Vec<_>>(),
        [("English", true), ("Deutsch", false)]
    );
    assert_eq!(tracks.iter().filter(|t| t.kind == MediaKind::Text).count(), 1);
}

#[test]
fn sound_in_the_main_segments_makes_no_track() {
    let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"Main\",DEFAULT=YES\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"Comment\",URI=\"c.m3u8\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\nv.m3u8\n";
    let source = open(text);
    let tracks = &source.presentation().tracks;
    assert_eq!(tracks.len(), 2);
    assert!(!tracks[1].default, "the sound in the main segments is what plays");
}

#[test]
fn a_stream_of_sound_alone_has_sound_as_its_main_track() {
    let source = open("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS=\"mp4a.40.2\"\nlo.m3u8\n");
    assert_eq!(source.presentation().tracks[0].kind, MediaKind::Audio);
    let track = to_brain_track(&source.presentation().tracks[0], true).unwrap();
    assert_eq!(track.kind, weir_abr::TrackKind::Video);
}

#[test]
fn variables_are_imported_into_media_playlists() {
    let text = "#EXTM3U\n#EXT-X-DEFINE:NAME=\"host\",VALUE=\"cdn.example\"\n#EXT-X-DEFINE:QUERYPARAM=\"t\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1\nhttps://{$host}/v.m3u8?t={$t}\n";
    let mut source = open(text);
    assert_eq!(source.wanted(0, 0)[0].resource.url.as_str(), "https://cdn.example/v.m3u8?t=1");
    let media =
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-DEFINE:IMPORT=\"host\"\n#EXTINF:4,\nhttps://{$host}/0.ts\n";
    supply(&mut source, (0, 0), media, at(0.0));
    assert_eq!(segments(&source, (0, 0))[0].media.url.as_str(), "https://cdn.example/0.ts");
}

#[test]
fn sizes_reach_the_brain_when_all_rungs_have_them() {
    let mut source = open(TWO);
    let ranged = |scale: u64| {
        format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n#EXT-X-BYTERANGE:{}@0\na.mp4\n#EXTINF:4,\n#EXT-X-BYTERANGE:{}\na.mp4\n#EXT-X-ENDLIST",
            10 * scale,
            20 * scale
        )
    };
    supply(&mut source, (0, 0), &ranged(1), at(0.0));
    let track = |source: &Source| to_brain_track(&source.presentation().tracks[0], true).unwrap();
    assert!(track(&source).segments[0].sizes.is_empty());
    supply(&mut source, (0, 1), &ranged(3), at(0.0));
    assert_eq!(*track(&source).segments[1].sizes, [20, 60]);
}

#[test]
fn sound_and_pictures_share_one_timeline() {
    let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"A\",DEFAULT=YES,URI=\"a.m3u8\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1000,AUDIO=\"a\"\nv.m3u8\n";
    let mut source = open(text);
    supply(&mut source, (0, 0), &dated(100, 104, 100), at(0.0));
    supply(&mut source, (1, 0), &dated(101, 105, 900), at(0.0));
    assert_eq!(layout(&source, (1, 0))[0], (900, 4000, 0));
    let mut source = open(text);
    supply(&mut source, (0, 0), &live(100, 104), at(0.0));
    supply(&mut source, (1, 0), &live(102, 106), at(0.0));
    assert_eq!(layout(&source, (1, 0))[0], (102, 8000, 0));
}

#[test]
fn another_kind_of_answer_is_an_error_and_changes_nothing() {
    let mut source = open(TWO);
    supply(&mut source, (0, 0), &live(0, 4), at(0.0));
    let due = source.due(&[(0, 0)], at(5.0));
    for body in ["<html>busy</html>", TWO, ""] {
        let located = due.requests[0].resource.url.clone();
        let error = source.supply(&due.requests[0], &located, body.as_bytes(), at(5.0)).unwrap_err();
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    assert_eq!(segments(&source, (0, 0)).len(), 4);
}

#[test]
fn redundant_variants_are_mirrors_of_one_rendition() {
    let text = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000000\nhttp://a/s/low.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=3000000\nhttp://a/s/high.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1000000\nhttp://b/t/low.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=3000000\nhttp://b/t/high.m3u8\n";
    let source = open(text);
    let presentation = source.presentation();
    assert_eq!(presentation.tracks[0].renditions.len(), 2);
    let others = |text: &str| -> Vec<String> {
        let url = Url::parse(text).unwrap();
        let all = presentation.mirrors.iter().flat_map(|mirror| mirror.others(&url));
        let mut all: Vec<String> = all.map(|url| url.to_string()).collect();
        all.dedup();
        all
    };
    assert_eq!(others("http://a/s/high.m3u8"), ["http://b/t/high.m3u8"]);
    assert_eq!(others("http://a/s/high/7.m4s"), ["http://b/t/high/7.m4s"]);
    assert!(open(TWO).presentation().mirrors.is_empty());
}

const STEERED: &str = "#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"../steer?x=1\",PATHWAY-ID=\"b\"\n\
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"sa\",NAME=\"en\",DEFAULT=YES,URI=\"http://a/s/sound.m3u8\"\n\
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"sb\",NAME=\"en\",DEFAULT=YES,STABLE-RENDITION-ID=\"en\",URI=\"http://b/other/en.m3u8\"\n\
    #EXT-X-STREAM-INF:BANDWIDTH=1000000,PATHWAY-ID=\"a\",STABLE-VARIANT-ID=\"low\",AUDIO=\"sa\"\nhttp://a/s/low.m3u8\n\
    #EXT-X-STREAM-INF:BANDWIDTH=3000000,PATHWAY-ID=\"a\",STABLE-VARIANT-ID=\"high\",AUDIO=\"sa\"\nhttp://a/s/high.m3u8\n\
    #EXT-X-STREAM-INF:BANDWIDTH=1000100,PATHWAY-ID=\"b\",STABLE-VARIANT-ID=\"low\",AUDIO=\"sb\"\nhttp://b/t/l.m3u8\n\
    #EXT-X-STREAM-INF:BANDWIDTH=3000100,PATHWAY-ID=\"b\",STABLE-VARIANT-ID=\"high\",AUDIO=\"sb\"\nhttp://b/t/h.m3u8\n";

#[test]
fn a_steered_stream_has_the_rungs_of_one_pathway_and_knows_where_the_others_have_them() {
    let source = open(STEERED);
    let presentation = source.presentation();
    let steering = presentation.steering.as_ref().unwrap();
    assert_eq!(steering.server.as_str(), "https://h.example/steer?x=1");
    assert_eq!(steering.first, ["b"]);
    let rungs = &presentation.tracks[0].renditions;
    let urls: Vec<_> = rungs.iter().map(|rung| rung.playlist.as_ref().unwrap().as_str()).collect();
    assert_eq!(urls, ["http://b/t/l.m3u8", "http://b/t/h.m3u8"]);
    assert_eq!(
        presentation.tracks[1].renditions[0].playlist.as_ref().unwrap().as_str(),
        "http://b/other/en.m3u8"
    );

    let clones = weir_manifest::SteeringManifest::parse(
        br#"{"VERSION":1,"PATHWAY-PRIORITY":["c"],"PATHWAY-CLONES":[{"BASE-ID":"b","ID":"c","URI-REPLACEMENT":
            {"HOST":"c","PER-RENDITION-URIS":{"en":"http://d/en.m3u8"}}}]}"#,
        &steering.server,
    )
    .unwrap()
    .clones;
    let places = |text: &str| -> Vec<(String, String)> {
        let mirrors = presentation.mirrors.iter().map(|mirror| mirror.with_clones(&clones));
        let best = mirrors.max_by_key(|mirror| mirror.fit(&url(text))).unwrap();
        let all: Vec<_> = best
            .places(&url(text))
            .into_iter()
            .map(|place| (place.url.to_string(), place.pathway.unwrap_or_default()))
            .collect();
        all
    };
    let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter().map(|(url, id)| ((*url).to_owned(), (*id).to_owned())).collect()
    };
    assert_eq!(
        places("http://b/t/h.m3u8"),
        pairs(&[("http://b/t/h.m3u8", "b"), ("http://c/t/h.m3u8", "c"), ("http://a/s/high.m3u8", "a")])
    );
    assert_eq!(
        places("http://b/other/en.m3u8"),
        pairs(&[("http://b/other/en.m3u8", "b"), ("http://d/en.m3u8", "c"), ("http://a/s/sound.m3u8", "a")])
    );
}

#[test]
fn a_rung_that_only_another_pathway_has_is_on_the_ladder_and_its_sound_is_no_rung_of_the_sound() {
    let top = "#EXT-X-STREAM-INF:BANDWIDTH=6000000,PATHWAY-ID=\"a\",STABLE-VARIANT-ID=\"top\",AUDIO=\"sa\"\nhttp://a/s/top.m3u8\n";
    // Listed before all others, which changes nothing.
    let (head, rest) = STEERED.split_at(STEERED.find("#EXT-X-STREAM-INF").unwrap());
    for text in [format!("{STEERED}{top}"), format!("{head}{top}{rest}")] {
        let source = open(&text);
        let presentation = source.presentation();
        let urls = |track: usize| -> Vec<&str> {
            let rungs = &presentation.tracks[track].renditions;
            rungs.iter().map(|rung| rung.playlist.as_ref().unwrap().as_str()).collect()
        };
        assert_eq!(urls(0), ["http://b/t/l.m3u8", "http://b/t/h.m3u8", "http://a/s/top.m3u8"]);
        assert_eq!(urls(1), ["http://b/other/en.m3u8"]);
        let sound = url("http://b/other/en.m3u8");
        let mirror = presentation.mirrors.iter().max_by_key(|mirror| mirror.fit(&sound)).unwrap();
        assert_eq!(mirror.pathways().collect::<Vec<_>>(), ["a", "b"]);
    }
}

#[test]
fn when_the_pathway_changes_a_films_lists_are_loaded_once_more_and_name_the_new_segments() {
    let mut source = open(STEERED);
    let film = |host: &str| {
        format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nhttp://{host}/x/0.ts\n#EXTINF:4,\nhttp://{host}/x/1.ts\n#EXT-X-ENDLIST\n"
        )
    };
    supply(&mut source, (0, 0), &film("b"), at(0.0));
    assert!(source.due(&[(0, 0)], at(60.0)).requests.is_empty());
    source.moved(at(60.0));
    assert_eq!(segments(&source, (0, 0))[1].media.url.host_str(), Some("b"), "until then the old ones serve");
    let due = source.due(&[(0, 0)], at(60.0));
    let [request] = due.requests.as_slice() else { panic!("{due:?}") };
    let change = source.supply(request, &url("http://a/s/low.m3u8"), film("a").as_bytes(), at(60.1)).unwrap();
    assert_eq!(change, Change::Changed);
    assert_eq!(segments(&source, (0, 0))[1].media.url.host_str(), Some("a"));
    assert_eq!(layout(&source, (0, 0)), [(0, 0, 0), (1, 4000, 0)]);
    assert!(source.due(&[(0, 0)], at(90.0)).requests.is_empty());
}

#[test]
fn captions_in_the_pictures_are_named_where_their_variants_are_played() {
    let source = open(
        "#EXTM3U\n#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc\",NAME=\"English\",LANGUAGE=\"en\",INSTREAM-ID=\"CC1\"\n\
        #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc\",NAME=\"Español\",LANGUAGE=\"es\",INSTREAM-ID=\"CC3\"\n\
        #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"other\",NAME=\"x\",INSTREAM-ID=\"CC2\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1000,CLOSED-CAPTIONS=\"cc\"\n1.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=2000,CLOSED-CAPTIONS=NONE\n2.m3u8\n",
    );
    let captions = &source.presentation().captions;
    let named: Vec<_> = captions
        .iter()
        .map(|one| (one.channel.as_str(), one.name.as_str(), one.language.as_deref()))
        .collect();
    assert_eq!(named, [("CC1", "English", Some("en")), ("CC3", "Español", Some("es"))]);
}

#[test]
fn a_live_stream_that_becomes_a_film_keeps_its_numbers_and_positions() {
    let mut source = open(TWO);
    supply(&mut source, (0, 0), &live(300, 330), at(0.0));
    let before: Vec<_> = segments(&source, (0, 0)).iter().map(|s| (s.number, s.start)).collect();
    // It ended: everything is listed, from its first second.
    let whole = live(0, 340) + "#EXT-X-ENDLIST\n";
    supply(&mut source, (0, 0), &whole, at(8.0));
    let after: Vec<_> = segments(&source, (0, 0)).iter().map(|s| (s.number, s.start)).collect();
    assert_eq!(after[..before.len()], before);
    assert_eq!(after.len(), 40);
    assert!(after.windows(2).all(|pair| pair[1].1 == pair[0].1 + Duration::from_secs(4)), "{after:?}");
    // Another rendition, first loaded now, has the same ones.
    supply(&mut source, (0, 1), &whole, at(9.0));
    let other: Vec<_> = segments(&source, (0, 1)).iter().map(|s| (s.number, s.start)).collect();
    assert_eq!(other, after);
    assert_eq!(source.presentation().duration, Some(Duration::from_secs(160)));
}

#[test]
fn a_rate_beyond_reason_is_cut_for_the_brain() {
    let url = Url::parse("http://h/a.m3u8").unwrap();
    let text = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=18446744073709551615\nhi.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=300000\nlo.m3u8\n";
    let now = Now { session: Duration::ZERO, unix: Duration::from_secs(1_800_000_000) };
    let source = Source::new(&url, text.as_bytes(), now).unwrap();
    let track = to_brain_track(&source.presentation().tracks[0], true).unwrap();
    let rates: Vec<u64> = track.ladder.rungs().iter().map(|rung| rung.bitrate.bps()).collect();
    assert_eq!(rates, [300_000, 100_000_000_000]);
}

#[test]
fn subtitles_and_small_pictures_are_tracks_that_say_nothing_of_the_medias_pace() {
    let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"t\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,URI=\"en.m3u8\"\n\
        #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"t\",NAME=\"Signs\",LANGUAGE=\"en\",AUTOSELECT=YES,FORCED=YES,URI=\"f.m3u8\"\n\
        #EXT-X-IMAGE-STREAM-INF:BANDWIDTH=9000,RESOLUTION=320x180,CODECS=\"jpeg\",URI=\"i.m3u8\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1000000,SUBTITLES=\"t\"\nv.m3u8\n";
    let mut source = open(text);
    let tracks = &source.presentation().tracks;
    let text: Vec<_> = tracks
        .iter()
        .filter(|track| track.kind == MediaKind::Text)
        .map(|track| (track.name.as_str(), track.default, track.autoselect, track.forced))
        .collect();
    assert_eq!(text, [("English", true, true, false), ("Signs", false, true, true)]);
    let images = tracks.iter().position(|track| track.kind == MediaKind::Image).unwrap();
    supply(&mut source, (0, 0), &format!("{}#EXT-X-ENDLIST\n", live(0, 30)), at(0.1));
    let film = "#EXTM3U\n#EXT-X-TARGETDURATION:120\n#EXTINF:120,\nen.vtt\n#EXT-X-ENDLIST\n";
    supply(&mut source, (1, 0), film, at(0.2));
    let tiles = "#EXTM3U\n#EXT-X-TARGETDURATION:60\n#EXT-X-IMAGES-ONLY\n#EXTINF:60,\n\
        #EXT-X-TILES:RESOLUTION=320x180,LAYOUT=5x4,DURATION=3\n1.jpg\n#EXTINF:60,\n2.jpg\n#EXT-X-ENDLIST\n";
    supply(&mut source, (images, 0), tiles, at(0.3));
    assert_eq!(source.presentation().tracks[images].tiles, Some((5, 4)));
    assert_eq!(
        layout(&source, (images, 0)).iter().map(|(_, start, _)| *start).collect::<Vec<_>>(),
        [0, 60_000]
    );
    assert_eq!(source.presentation().target_duration, Duration::from_secs(4));
}

#[test]
fn lists_of_key_frames_are_a_track_of_the_most_playable_codec_that_says_nothing_of_the_medias_pace() {
    let text = "#EXTM3U\n\
        #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=9000,CODECS=\"hvc1.1\",URI=\"h.m3u8\"\n\
        #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=300000,CODECS=\"avc1.4d\",RESOLUTION=640x360,URI=\"big.m3u8\"\n\
        #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=80000,CODECS=\"avc1.4d\",RESOLUTION=320x180,URI=\"small.m3u8\"\n\
        #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1000000,CODECS=\"avc1.4d\",RESOLUTION=640x360\nv.m3u8\n";
    let mut source = open(text);
    let tracks = &source.presentation().tracks;
    let keys = tracks.iter().position(|track| track.kind == MediaKind::KeyFrames).unwrap();
    let sizes: Vec<_> =
        tracks[keys].renditions.iter().map(|it| (it.bandwidth, it.width, it.height)).collect();
    assert_eq!(sizes, [(80_000, Some(320), Some(180)), (300_000, Some(640), Some(360))]);
    supply(&mut source, (0, 0), &format!("{}#EXT-X-ENDLIST\n", live(0, 3)), at(0.1));
    let list = "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-TARGETDURATION:9\n#EXT-X-I-FRAMES-ONLY\n#EXTINF:2.5,\n\
        #EXT-X-BYTERANGE:900@376\nv.ts\n#EXTINF:9.5,\n#EXT-X-BYTERANGE:800@9000\nv.ts\n#EXT-X-ENDLIST\n";
    supply(&mut source, (keys, 0), list, at(0.2));
    let segments = &source.presentation().tracks[keys].renditions[0].segments;
    assert_eq!(segments[1].start, Duration::from_millis(2500));
    assert_eq!(segments[1].media.range, Some(9000..9800));
    assert_eq!(source.presentation().target_duration, Duration::from_secs(4));
    // Sound alone has no pictures.
    let radio = "#EXTM3U\n#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"i.m3u8\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS=\"mp4a.40.2\"\na.m3u8\n";
    assert!(open(radio).presentation().tracks.iter().all(|track| track.kind == MediaKind::Audio));
}

#[test]
fn a_list_that_will_soon_be_played_out_is_due_before_its_time() {
    let mut source = open("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n");
    let event = live(0, 1).replace("#EXTINF", "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXTINF");
    supply(&mut source, (0, 0), &event, at(0.0));
    assert!(source.due(&[(0, 0)], at(3.9)).requests.is_empty());
    source.hurry(&[(0, 0)], Duration::from_secs(2));
    let wait = source.due(&[(0, 0)], at(1.9));
    assert!(wait.requests.is_empty());
    assert_eq!(wait.wake_at, Some(Duration::from_secs(2)));
    assert_eq!(source.due(&[(0, 0)], at(2.0)).requests.len(), 1);
    source.hurry(&[(0, 0)], Duration::ZERO);
    assert!(source.due(&[(0, 0)], at(2.1)).requests.is_empty(), "it is on its way");
}
