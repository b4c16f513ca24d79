//! Text made to cost time, memory or a panic.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

use std::time::{Duration, Instant};

use url::Url;
use weir_manifest::{Now, Source, inspect};

fn base() -> Url {
    Url::parse("http://h/a/x").unwrap()
}

/// Repeats what `line` gives for 0, 1, 2 ... up to `bytes`.
fn repeat(head: &str, bytes: usize, line: impl Fn(usize) -> String, tail: &str) -> String {
    let mut text = String::with_capacity(bytes + 1000);
    text.push_str(head);
    let mut at = 0;
    while text.len() < bytes {
        text.push_str(&line(at));
        at += 1;
    }
    text + tail
}

const MPD: &str =
    "<MPD type='static' mediaPresentationDuration='PT1H'><Period><AdaptationSet mimeType='video/mp4'>";
const END: &str = "</AdaptationSet></Period></MPD>";

/// Names and texts of about `size` bytes each.
fn texts(size: usize) -> Vec<(&'static str, String)> {
    let media = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n";
    let template = format!("{MPD}<SegmentTemplate media='$Time$'><SegmentTimeline>");
    let template_end =
        format!("</SegmentTimeline></SegmentTemplate><Representation id='v' bandwidth='1'/>{END}");
    vec![
        ("smallest segments", repeat(media, size, |_| "#EXTINF:1,\na\n".into(), "")),
        (
            "dated segments",
            repeat(media, size, |n| format!("#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000Z\n#EXTINF:4.000,\nsegment-{n}.m4s?token=0123456789abcdef\n"), ""),
        ),
        ("dense tags", repeat(media, size, |n| format!("#EXT-X-DISCONTINUITY\n#EXT-X-BYTERANGE:1\n#EXT-X-MAP:URI=\"{n}\"\n#EXTINF:1,\na\n"), "")),
        ("keys", repeat(media, size, |n| format!("#EXT-X-KEY:METHOD=AES-128,URI=\"{n}\",KEYFORMAT=\"{n}\"\n"), "#EXTINF:4,\na.ts\n")),
        ("keys without an equals sign", repeat(media, size, |_| "#EXT-X-KEY:METHOD\n".into(), "")),
        ("one attribute list", repeat("#EXTM3U\n#EXT-X-STREAM-INF:", size, |n| format!("A{n}=\"x\","), "BANDWIDTH=1\nv.m3u8\n")),
        ("quotes that never close", repeat(media, size, |_| "#EXT-X-MAP:URI=\"\n".into(), "")),
        ("one line", repeat("#EXTM3U\n#EXTINF:4,\n", size, |_| "aaaaaaaaaaaaaaaa".into(), "\n")),
        ("blank lines", repeat(media, size, |_| " \r\n\r".into(), "#EXTINF:4,\na.ts\n")),
        ("parts", repeat(media, size, |_| "#EXT-X-PART:DURATION=1,URI=\"p\"\n".into(), "")),
        ("variants", repeat("#EXTM3U\n", size, |_| "#EXT-X-STREAM-INF:BANDWIDTH=1\nv\n".into(), "")),
        ("renditions", repeat("#EXTM3U\n", size, |_| "#EXT-X-MEDIA:TYPE=AUDIO\n".into(), "")),
        ("variables", repeat(media, size, |n| format!("#EXT-X-DEFINE:NAME=\"v{n}\",VALUE=\"x\"\n"), "")),
        (
            "variables that double",
            repeat("#EXTM3U\n#EXT-X-DEFINE:NAME=\"v0\",VALUE=\"xx\"\n", size.min(100_000), |n| format!("#EXT-X-DEFINE:NAME=\"v{}\",VALUE=\"{{$v{n}}}{{$v{n}}}\"\n", n + 1), ""),
        ),
        ("numbers", "#EXTM3U\n#EXT-X-TARGETDURATION:99999999999999999999\n#EXT-X-MEDIA-SEQUENCE:18446744073709551615\n#EXT-X-DISCONTINUITY-SEQUENCE:18446744073709551615\n#EXT-X-SKIP:SKIPPED-SEGMENTS=18446744073709551615\n#EXT-X-DISCONTINUITY\n#EXTINF:9999999999,\n#EXT-X-BYTERANGE:18446744073709551615@18446744073709551615\na\n#EXTINF:9999999999,\n#EXT-X-BYTERANGE:18446744073709551615\na\n".into()),
        ("timeline", repeat(&template, size, |_| "<S d='1'/>".into(), &template_end)),
        (
            "repeats",
            repeat(&template, 5_000, |n| format!("<S t='{}' d='1' r='{}'/>", u64::MAX - n as u64, i64::MAX), &template_end),
        ),
        ("representations", repeat(MPD, size, |n| format!("<Representation id='{n}' bandwidth='1'/>"), END)),
        (
            "representations on a timeline",
            repeat(
                &(repeat(&template, size / 2, |_| "<S d='1'/>".into(), "</SegmentTimeline></SegmentTemplate>")),
                size,
                |n| format!("<Representation id='{n}'><SegmentTemplate presentationTimeOffset='{n}'/></Representation>"),
                END,
            ),
        ),
        ("periods", repeat("<MPD>", size, |_| "<Period duration='PT1S'/>".into(), "</MPD>")),
        ("nesting", repeat("<MPD>", size, |_| "<a>".into(), "")),
        ("attributes", repeat("<MPD ", size, |n| format!("a{n}='' "), "/>")),
        (
            "elements with many attributes",
            repeat("<MPD>", size, |_| format!("<a {}/>", (0..63).map(|n| format!("a{n}='' ")).collect::<String>()), "</MPD>"),
        ),
        ("namespaces", repeat("<MPD>", size, |n| format!("<a xmlns:n{n}='u{n}'>"), "")),
        (
            "entities",
            "<!DOCTYPE MPD [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]><MPD>&b;</MPD>".into(),
        ),
        (
            "huge counts",
            format!("{MPD}<SegmentTemplate timescale='18446744073709551615' duration='1' startNumber='18446744073709551615' media='$Number%0999999999d$'/><Representation id='v' bandwidth='1'/>{END}"),
        ),
        (
            "huge times",
            "<MPD type='dynamic' availabilityStartTime='0000-01-01T00:00:00Z' timeShiftBufferDepth='P99999999999Y'><Period start='P9999999Y'><AdaptationSet mimeType='video/mp4'><SegmentTemplate timescale='18446744073709551615' availabilityTimeOffset='INF' presentationTimeOffset='18446744073709551615' duration='1' media='$Time$'/><Representation id='v' bandwidth='1'/></AdaptationSet></Period></MPD>".into(),
        ),
        ("a long base", format!("<MPD><BaseURL>{}</BaseURL><Period><AdaptationSet mimeType='video/mp4'>{}{END}", "b/".repeat(size / 2), "<Representation id='v'/>".repeat(1000))),
        ("no text", "\u{0}".repeat(size)),
        ("XML comments", repeat("<MPD>", size, |_| "<!-- -->".into(), "</MPD>")),
    ]
}

/// `WEIR_HOSTILE_BYTES` sets the size of each text; the limits hold for 100 MB as well.
fn size() -> usize {
    std::env::var("WEIR_HOSTILE_BYTES").ok().and_then(|bytes| bytes.parse().ok()).unwrap_or(2_000_000)
}

#[test]
fn hostile_text_is_described_or_refused_in_time() {
    for (name, text) in texts(size()) {
        let start = Instant::now();
        let result = inspect(text.as_bytes(), &base());
        let took = start.elapsed();
        println!(
            "{took:>12.3?}  {name}: {}",
            match &result {
                Ok(_) => "read".to_owned(),
                Err(reason) => reason.to_string(),
            }
        );
        if let Err(reason) = result {
            let message = reason.to_string();
            assert!(!message.contains('\n') && message.len() < 1000, "{name}: {message}");
        }
        assert!(took < Duration::from_secs(5), "{name} took {took:?}");
    }
}

#[test]
fn hostile_text_is_opened_or_refused_in_time() {
    for (name, text) in texts(size() / 4) {
        let start = Instant::now();
        let now = Now { session: Duration::ZERO, unix: Duration::from_secs(1_800_000_000) };
        let outcome = Source::new(&base(), text.as_bytes(), now).map(|mut source| {
            source.due(&[(0, 0)], now);
            source.wanted(0, 0).len()
        });
        let took = start.elapsed();
        println!("{took:>12.3?}  {name}: {outcome:?}");
        assert!(took < Duration::from_secs(5), "{name} took {took:?}");
    }
}
