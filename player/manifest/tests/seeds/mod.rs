//! What the fuzz tests begin with, and what they do with it.

use std::time::Duration;

use url::Url;
use weir_manifest::{Lookup, Now, Source, inspect, to_brain_track};

/// Manifests in the style of common packagers and services.
pub(crate) const SEEDS: &[&str] = &[
    // Apple's tools
    "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-VERSION:7\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"main.mp4\",BYTERANGE=\"719@0\"\n#EXTINF:6.00600,\t\n#EXT-X-BYTERANGE:1508000@719\nmain.mp4\n#EXTINF:6.00600,\t\n#EXT-X-BYTERANGE:1510244@1508719\nmain.mp4\n#EXT-X-ENDLIST\n",
    // ffmpeg
    "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:5\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:4.166667,\nout0.ts\n#EXT-X-DISCONTINUITY\n#EXTINF:4.166667,\nout1.ts\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x00000000000000000000000000000001\n#EXTINF:1.2,\nout2.ts\n#EXT-X-ENDLIST\n",
    // gohlslib, low latency
    "#EXTM3U\n#EXT-X-VERSION:10\n#EXT-X-TARGETDURATION:4\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.50000,CAN-SKIP-UNTIL=24\n#EXT-X-PART-INF:PART-TARGET=0.20000\n#EXT-X-MEDIA-SEQUENCE:27\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXT-X-GAP\n#EXTINF:4.00000,\ngap.mp4\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T01:01:01.000Z\n#EXT-X-PART:DURATION=0.2,URI=\"part1.mp4\",INDEPENDENT=YES\n#EXTINF:4.00000,\nseg8.mp4\n#EXT-X-PART:DURATION=0.2,URI=\"part9.mp4\",BYTERANGE=\"10@3\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"part10.mp4\"\n#EXT-X-RENDITION-REPORT:URI=\"a.m3u8\",LAST-MSN=9,LAST-PART=1\n",
    // a live service with dates, ad markers and prefetch tags
    "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:4821\n#EXT-X-TWITCH-ELAPSED-SECS:9642.000\n#EXT-X-DATERANGE:ID=\"a\",CLASS=\"stitched-ad\",START-DATE=\"2026-01-01T00:00:00Z\",DURATION=30.1,X-AD=\"1\"\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.1Z\n#EXTINF:2.000,live\nhttps://edge/v1/a.ts\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:02.1Z\n#EXTINF:2.000,live\nhttps://edge/v1/b.ts\n#EXT-X-TWITCH-PREFETCH:https://edge/v1/c.ts\n",
    // delta update
    "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-VERSION:9\n#EXT-X-MEDIA-SEQUENCE:266\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3,RECENTLY-REMOVED-DATERANGES=\"a\tb\"\n#EXTINF:4.0,\nf269.mp4\n",
    // multivariant
    "#EXTM3U\n#EXT-X-DEFINE:NAME=\"a\",VALUE=\"b\"\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aud\",NAME=\"en\",LANGUAGE=\"en\",DEFAULT=YES,URI=\"{$a}.m3u8\"\n#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"en\",URI=\"s.m3u8\"\n#EXT-X-STREAM-INF:BANDWIDTH=1280000,AVERAGE-BANDWIDTH=1000000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=29.97,AUDIO=\"aud\",SUBTITLES=\"s\"\nv1.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2560000,CODECS=\"hvc1.1.6\",VIDEO-RANGE=PQ\nv2.m3u8\n#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=86000,URI=\"i.m3u8\"\n",
    // static and dynamic MPDs of every addressing
    "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" mediaPresentationDuration=\"PT12S\"><BaseURL>b/</BaseURL><Period id=\"0\"><AdaptationSet contentType=\"video\"><SegmentTemplate timescale=\"1000\" duration=\"4000\" media=\"$RepresentationID$-$Number%03d$.m4s\" initialization=\"i\" startNumber=\"1\"/><Representation id=\"v0\" bandwidth=\"500000\" width=\"640\" height=\"360\" frameRate=\"25/1\" codecs=\"avc1.4d401e\"/></AdaptationSet><AdaptationSet mimeType=\"text/vtt\" lang=\"en\"><Representation id=\"t\" bandwidth=\"1\"><BaseURL>t.vtt</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "<MPD type=\"dynamic\" availabilityStartTime=\"2026-01-01T00:00:00Z\" minimumUpdatePeriod=\"PT2S\" timeShiftBufferDepth=\"PT30S\"><Period id=\"p\" start=\"PT0S\"><AdaptationSet mimeType=\"audio/mp4\" lang=\"en\"><Role value=\"main\"/><SegmentTemplate timescale=\"48000\" presentationTimeOffset=\"96000\" media=\"$Time$.m4s\"><SegmentTimeline><S t=\"96000\" d=\"96000\" r=\"5\"/><S d=\"48000\" r=\"-1\"/></SegmentTimeline></SegmentTemplate><Representation id=\"a\" bandwidth=\"96000\"/></AdaptationSet></Period><UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:direct:2014\" value=\"x\"/></MPD>",
    "<MPD><Period duration=\"PT8S\"><AdaptationSet mimeType=\"video/mp4\"><SegmentList duration=\"4\"><Initialization sourceURL=\"i\"/><SegmentURL media=\"1\"/><SegmentURL media=\"2\" mediaRange=\"5-9\"/></SegmentList><Representation id=\"v\" bandwidth=\"9\"/></AdaptationSet></Period><Period duration=\"PT8S\"><AdaptationSet mimeType=\"video/mp4\"><Representation id=\"w\" bandwidth=\"9\"><BaseURL>w.mp4</BaseURL><SegmentBase indexRange=\"10-99\"><Initialization range=\"0-9\"/></SegmentBase></Representation></AdaptationSet></Period></MPD>",
];

/// Pieces that turn the meaning of a line.
pub(crate) const PIECES: &[&str] = &[
    "\n",
    "\r",
    "\"",
    "=",
    ",",
    ":",
    "@",
    "-1",
    "0",
    "18446744073709551615",
    "99999999999999999999",
    "1e308",
    "NaN",
    "{$a}",
    "{$",
    "$",
    "$Number%99d$",
    "\u{feff}",
    "\0",
    "é",
    "<",
    ">",
    "/>",
    "&amp;",
    "&#x0;",
    "<!--",
    "]]>",
    "#EXTM3U\n",
    "#EXTINF:4,\n",
    "#EXT-X-ENDLIST\n",
    "#EXT-X-DISCONTINUITY\n",
    "#EXT-X-KEY:METHOD=NONE\n",
    "#EXT-X-STREAM-INF:\n",
    "PT0S",
    "P1Y",
    "http://[",
    "data:",
    "//",
    "..",
    " r=\"-1\"",
    " d=\"0\"",
    " t=\"18446744073709551615\"",
];

/// Runs everything that takes outside text, on `first` and then on `second` as a reload or playlist of it.
pub(crate) fn exercise(first: &[u8], second: &[u8]) {
    let base = Url::parse("http://h/a/x.m3u8?t=1").unwrap();
    for text in [first, second] {
        if let Err(reason) = inspect(text, &base) {
            let message = reason.to_string();
            assert!(!message.contains('\n') && message.len() < 1000, "{message}");
        }
    }
    let at = |seconds: u64| Now {
        session: Duration::from_secs(seconds),
        unix: Duration::from_secs(1_767_225_700 + seconds),
    };
    let Ok(mut source) = Source::new(&base, first, at(0)) else { return };
    for step in 0..3 {
        let now = at(step * 7);
        let mut requests = source.wanted(0, 0);
        requests.extend(source.due(&[(0, 0), (1, 0)], now).requests);
        for request in requests.into_iter().take(4) {
            if source
                .supply(&request, &request.resource.url, if step == 1 { first } else { second }, now)
                .is_err()
            {
                source.failed(&request, now);
            }
        }
        for (at, track) in source.presentation().tracks.iter().enumerate() {
            assert!(!track.renditions.is_empty());
            let brain = to_brain_track(track, at == 0).expect("a ladder");
            for pair in brain.segments.windows(2) {
                assert!(pair[0].end() <= pair[1].start, "segments overlap: {pair:?}");
            }
            for rendition in &track.renditions {
                for pair in rendition.segments.windows(2) {
                    assert!(pair[1].number == pair[0].number.saturating_add(1), "numbers do not rise by one");
                }
            }
            if let Some(first) = brain.segments.first().map(|_| brain.first_index) {
                let _: Lookup<'_> = source.segment(at, 0, first, now);
            }
        }
    }
}
