//! Live streams that keep a few seconds only, and clocks that are off.

#![allow(clippy::unwrap_used, reason = "in a test that is the report")]

mod support;

use std::{
    fmt::Write as _,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use support::{
    Record, media, open,
    raw::{Raw, head},
    server::{Server, Site},
    wait_until,
};
use weir_engine::{Options, State};

/// Segments of a second that are listed at a time.
const KEPT: usize = 6;

#[test]
fn a_pause_longer_than_the_window_ends_at_the_oldest_place_that_there_is() {
    let site = Site::default();
    media::fmp4(&site, &[media::LOW], 45);
    let began = Instant::now();
    site.put_dynamic("/fmp4/live.m3u8", move || {
        let first = (began.elapsed().as_secs() as usize).min(45 - KEPT);
        let mut list = format!(
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
             #EXT-X-MAP:URI=\"low-init.mp4\"\n"
        );
        for number in first..first + KEPT {
            let _ = write!(list, "#EXTINF:1.0,\nlow-{number}.m4s\n");
        }
        list
    });
    let server = Server::start(&site);
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events");
    let player = open(&server.url("/fmp4/live.m3u8"), &events, Options::default());
    wait_until(&player, "playback", |it| it.state == State::Playing && it.live_window.is_some());
    player.pause();
    let paused = wait_until(&player, "the pause", |it| it.state == State::Paused);
    let overtaken = |it: &weir_engine::Snapshot| {
        it.live_window.is_some_and(|(oldest, _)| oldest > paused.position + Duration::from_secs(6))
    };
    let still = wait_until(&player, "the window to go on", overtaken);
    assert!(still.position.abs_diff(paused.position) < Duration::from_millis(300), "{:?}", still.position);
    player.play();
    wait_until(&player, "playback of what there is", |it| {
        it.state == State::Playing && it.position > paused.position + Duration::from_secs(7)
    });
    player.stop();
    player.wait();
    drop(player);
    let record = Record::read(&events);
    let reason = record.one("live_jump")["reason"].as_str().unwrap();
    assert!(reason.contains("the oldest that there is"), "{reason}");
}

/// Day, month, year and time of day.
fn calendar(unix: u64) -> (u64, usize, u64, String) {
    let (days, rest) = (unix / 86_400, unix % 86_400);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut year, mut day) = (1970, days);
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    (day + 1, month, year, format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60))
}

#[test]
fn a_live_mpd_is_played_by_its_servers_clock_when_this_machines_is_an_hour_off() {
    for skew in [-3600_i64, 3600] {
        let site = Site::default();
        media::fmp4(&site, &[media::LOW], 30);
        let there = move || {
            let here = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            here.as_secs().saturating_add_signed(skew)
        };
        let (day, month, year, time) = calendar(there() - 12);
        let mpd = format!(
            r#"<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic" minimumUpdatePeriod="PT60S" minBufferTime="PT1S"
            availabilityStartTime="{year}-{:02}-{day:02}T{time}Z" timeShiftBufferDepth="PT8S" suggestedPresentationDelay="PT3S">
            <Period id="0" start="PT0S"><AdaptationSet mimeType="video/mp4"><SegmentTemplate timescale="1" duration="1"
            startNumber="0" initialization="/fmp4/low-init.mp4" media="/fmp4/low-$Number$.m4s"/><Representation id="a"
            codecs="avc1.42c00d" bandwidth="150000"/></AdaptationSet></Period></MPD>"#,
            month + 1
        );
        site.put("/live.mpd", mpd);
        let server = Raw::start(move |asked| {
            let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
            let (day, month, year, time) = calendar(there());
            let month = &months[month * 3..month * 3 + 3];
            let date = format!("date: Mon, {day:02} {month} {year} {time} GMT\r\n");
            match site.get(&asked.path) {
                Some(body) => {
                    let fields = format!("{date}content-length: {}\r\n", body.len());
                    [head("200 OK", &fields), body.to_vec()].concat()
                }
                None => head("404 Not Found", &format!("{date}content-length: 0\r\n")),
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let events = folder.path().join("events");
        let player = open(&server.url("/live.mpd"), &events, Options::default());
        let shown = wait_until(&player, "playback", |it| it.state == State::Playing);
        wait_until(&player, "it to go on", |it| it.position > shown.position + Duration::from_secs(2));
        player.stop();
        player.wait();
        drop(player);
        let record = Record::read(&events);
        assert!(record.all("error").is_empty(), "{skew}: {:#?}", record.all("error"));
    }
}
