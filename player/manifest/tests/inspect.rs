//! What `inspect` says of manifests of all kinds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

use serde_json::{Value, json};
use url::Url;
use weir_manifest::inspect;

fn look(text: impl AsRef<[u8]>) -> Result<Value, weir_manifest::Error> {
    inspect(text.as_ref(), &Url::parse("http://h/a/x.m3u8?token=1").unwrap())
}

/// Every key of `expected` is in `actual` with the same value; `null` may be left out.
#[track_caller]
fn holds(actual: &Value, expected: &Value) {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            for (key, value) in expected {
                holds(
                    actual
                        .get(key)
                        .unwrap_or_else(|| if value.is_null() { &Value::Null } else { panic!("no {key}") }),
                    value,
                );
            }
        }
        (Value::Array(actual), Value::Array(expected)) => {
            assert_eq!(actual.len(), expected.len(), "{actual:?}");
            for (actual, expected) in actual.iter().zip(expected) {
                holds(actual, expected);
            }
        }
        (actual, expected) => assert_eq!(actual, expected),
    }
}

#[test]
fn describes_a_simple_playlist() {
    let text = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:9.009,\n1.ts\n#EXTINF:9.009,\n2.ts\n\
                #EXTINF:3.003,\n3.ts\n#EXT-X-ENDLIST\n";
    let expected = json!({"protocol":"hls","kind":"media","live":false,"duration_s":21.021,
        "segments":{"count":3,"first_url":"http://h/a/1.ts","last_url":"http://h/a/3.ts","target_duration_s":10.0,
        "media_sequence":0,"discontinuities":0,"byte_ranges":0,"init_url":null,"parts":0},"encryption":"none"});
    holds(&look(text).unwrap(), &expected);
    // The traps of the parser underneath: none of them changes what the playlist says.
    let odd = format!("\u{feff}{}", text.replace('\n', " \t\r\n\r\n"));
    holds(&look(odd).unwrap(), &expected);
    let mac = text.replace('\n', "\r");
    holds(&look(mac).unwrap(), &expected);
    let utf16: Vec<u8> =
        [0xFF, 0xFE].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    holds(&look(utf16).unwrap(), &expected);
}

#[test]
fn a_decimal_target_duration_makes_no_segment() {
    let out = look("#EXTM3U\n#EXT-X-TARGETDURATION:4.5\n#EXTINF:4.5,\na.ts\n").unwrap();
    holds(
        &out,
        &json!({"live":true,"segments":{"count":1,"target_duration_s":4.5,"first_url":"http://h/a/a.ts"}}),
    );
}

#[test]
fn live_is_told_by_endlist_and_type() {
    let of = |tags: &str| {
        look(format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n{tags}#EXTINF:4,\na.ts\n")).unwrap()["live"].clone()
    };
    assert_eq!(of(""), json!(true));
    assert_eq!(of("#EXT-X-PLAYLIST-TYPE:EVENT\n"), json!(true));
    assert_eq!(of("#EXT-X-PLAYLIST-TYPE:VOD\n"), json!(null));
    assert_eq!(of("#EXT-X-ENDLIST\n"), json!(false));
}

#[test]
fn counts_what_the_tags_apply_to() {
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:42\n#EXT-X-DISCONTINUITY-SEQUENCE:3\n\
        #EXT-X-KEY:METHOD=NONE\n#EXTINF:4,first\n#EXT-X-BYTERANGE:10@0\nall.mp4\n#EXT-X-DISCONTINUITY\n\
        #EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI=\"k,1\",KEYFORMAT=\"com.widevine\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"k2\"\n\
        #EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:4,with, comma\n#EXT-X-BYTERANGE:10\nall.mp4\n# comment\n#EXT-X-UNKNOWN:x\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.5+0100\n#EXTINF:2.5\nlast.mp4?x=1#frag\n";
    holds(
        &look(text).unwrap(),
        &json!({"duration_s":10.5,"encryption":"SAMPLE-AES-CTR","segments":{"count":3,"media_sequence":42,"discontinuities":1,
            "byte_ranges":2,"init_url":"http://h/a/init.mp4","last_url":"http://h/a/last.mp4?x=1#frag"}}),
    );
}

#[test]
fn describes_the_low_latency_edge() {
    let text = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:4\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5\n\
        #EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:266\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:4.0,\nseg266.m4s\n\
        #EXT-X-PART:DURATION=0.5,URI=\"seg267.0.m4s\",INDEPENDENT=YES\n#EXT-X-PART:DURATION=0.5,URI=\"seg267.1.m4s\"\n\
        #EXTINF:1.0,\nseg267.m4s\n#EXT-X-PART:DURATION=0.5,URI=\"seg268.0.m4s\",BYTERANGE=\"100@0\"\n\
        #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"seg268.1.m4s\"\n#EXT-X-RENDITION-REPORT:URI=\"../lo/live.m3u8\",LAST-MSN=268,LAST-PART=0\n";
    holds(
        &look(text).unwrap(),
        &json!({"live":true,"duration_s":5.0,"part_target_s":0.5,"can_block_reload":true,
            "segments":{"count":2,"parts":3,"last_url":"http://h/a/seg267.m4s","media_sequence":266}}),
    );
}

#[test]
fn describes_a_multivariant_playlist() {
    let text = "#EXTM3U\n#EXT-X-DEFINE:NAME=\"path\",VALUE=\"v1\"\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a,b\",NAME=\"\",LANGUAGE=\"en\",DEFAULT=YES,URI=\"{$path}/a.m3u8\"\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"Muxed\",FORCED=YES\n\
        #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"Deutsch\",LANGUAGE=\"de\",URI=\"s.m3u8\"\n\
        #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"c\",NAME=\"CC\"\n\
        #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"i.m3u8\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=800000,AVERAGE-BANDWIDTH=700000,RESOLUTION=640x360,CODECS=\"avc1.4d401e,mp4a.40.2\",FRAME-RATE=29.970,AUDIO=\"a\"\n\
        # a comment between\n\n{$path}/lo.m3u8\n\
        #EXT-X-STREAM-INF:RESOLUTION=1280x720,CODECS=\"\"\nhi.m3u8  \n\
        #EXT-X-STREAM-INF: BANDWIDTH=\"900000\" , CLOSED-CAPTIONS=NONE,NAME=\"720p\"\n#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"j.m3u8\"\nhttps://cdn/mid.m3u8\nstray.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=64000\n";
    holds(
        &look(text).unwrap(),
        &json!({"kind":"multivariant","live":null,"duration_s":null,"iframe_variants":2,
        "variants":[
            {"bandwidth":800000,"average_bandwidth":700000,"width":640,"height":360,"codecs":"avc1.4d401e,mp4a.40.2","frame_rate":29.97,"url":"http://h/a/v1/lo.m3u8"},
            {"bandwidth":null,"width":1280,"height":720,"codecs":null,"url":"http://h/a/hi.m3u8"},
            {"bandwidth":900000,"url":"https://cdn/mid.m3u8"},
            {"bandwidth":64000,"url":null}],
        "audio":[{"group":"a,b","name":"","language":"en","default":true,"url":"http://h/a/v1/a.m3u8"},
                 {"group":"a","name":"Muxed","language":null,"default":false,"url":null}],
        "subtitles":[{"group":"s","name":"Deutsch","language":"de","default":false,"url":"http://h/a/s.m3u8"}]}),
    );
    let warnings = look(text).unwrap()["warnings"].to_string();
    assert!(warnings.contains("no BANDWIDTH") && warnings.contains("no address"), "{warnings}");
}

#[test]
fn variables_come_from_the_address_too() {
    let out = look(
        "#EXTM3U\n#EXT-X-DEFINE:QUERYPARAM=\"token\"\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na.ts?t={$token}\n",
    );
    holds(&out.unwrap(), &json!({"segments":{"first_url":"http://h/a/a.ts?t=1"}}));
}

#[test]
fn unusable_text_gives_one_line_that_says_what_and_where() {
    for (text, wanted) in [
        ("", "neither an HLS playlist"),
        ("<html><body>404</body></html>", "neither an HLS playlist"),
        ("#EXTM3U8\n", "neither"),
        ("#EXTM3U\n", "lists no segments"),
        ("#EXTM3U\na.ts\n", "without EXTINF"),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:abc,\na.ts\n", "line 3: EXTINF wants a duration"),
        (
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n#EXTINF:4,\na.ts\n",
            "line 4: EXTINF does not belong",
        ),
        (
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-KEY:URI=\"k\"\n#EXTINF:4,\na.ts\n",
            "line 3: EXT-X-KEY has no METHOD",
        ),
        (
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-KEY:METHOD=AES-128,IV=0xZZ\n#EXTINF:4,\na.ts\n",
            "line 3: the IV",
        ),
        (
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n#EXT-X-BYTERANGE:x\na.ts\n",
            "line 4: EXT-X-BYTERANGE",
        ),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{$no}.ts\n", "line 4: the variable {$no}"),
        (
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-DEFINE:IMPORT=\"v\"\n#EXTINF:4,\na.ts\n",
            "line 3: EXT-X-DEFINE imports",
        ),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nhttp://[bad/\n", "line 4: the address"),
        ("<?xml version=\"1.0\"?>\n<MPD>\n<Period>\n", "line"),
        ("<MPD></MPD>", "no Period"),
        ("<!DOCTYPE MPD [<!ENTITY a \"b\">]><MPD>&a;</MPD>", "document type declaration"),
        ("\u{1f}\u{8b}", "neither"),
        (
            "#EXTM3U\n#EXT-X-DEFINE:NAME=\"a\",VALUE=\"1\"\n#EXT-X-DEFINE:NAME=\"a\",VALUE=\"2\"\n#EXTINF:4,\na.ts\n",
            "line 3: EXT-X-DEFINE gives a second value",
        ),
        (
            "#EXTM3U\n#EXT-X-DEFINE:QUERYPARAM=\"empty\"\n#EXTINF:4,\na.ts\n",
            "line 2: EXT-X-DEFINE wants a value",
        ),
        ("#EXTM3U\n#EXTINF:-1 tvg-id=\"x\",Channel\nhttp://h/live\n", "line 2: EXTINF wants a duration"),
        ("<SmoothStreamingMedia/><!-- MPD -->", "neither"),
        (
            "<MPD mediaPresentationDuration=\"soon\"><Period/></MPD>",
            "line 1: MPD@mediaPresentationDuration wants",
        ),
    ] {
        let error = look(text).expect_err(text).to_string();
        assert!(error.contains(wanted), "{text:?} gave {error:?}");
        assert!(!error.contains('\n'), "{error:?}");
    }
}

fn mpd(attributes: &str, body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- made by hand -->\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" {attributes}>{body}</MPD>"
    )
}

const STATIC: &str = "type=\"static\" mediaPresentationDuration=\"PT12S\"";

/// `segments` of the only Representation.
fn segments(attributes: &str, body: &str) -> Value {
    look(mpd(attributes, body)).unwrap()["representations"][0]["segments"].clone()
}

#[test]
fn describes_a_numbered_template() {
    let body = "<Period><AdaptationSet contentType=\"video\" codecs=\"avc1.4d401e\" width=\"640\" height=\"360\">\
        <SegmentTemplate timescale=\"1000\" duration=\"4000\" media=\"$RepresentationID$-$Number$.m4s\" initialization=\"$RepresentationID$-init.mp4\"/>\
        <Representation id=\"v0\" bandwidth=\"500000\"/></AdaptationSet></Period>";
    holds(
        &look(mpd(STATIC, body)).unwrap(),
        &json!({"protocol":"dash","kind":"mpd","live":false,"duration_s":12.0,"periods":1,"adaptation_sets":1,
        "representations":[{"id":"v0","bandwidth":500000,"content_type":"video","codecs":"avc1.4d401e","width":640,"height":360,
        "segments":{"count":3,"first_url":"http://h/a/v0-1.m4s","last_url":"http://h/a/v0-3.m4s","init_url":"http://h/a/v0-init.mp4"}}]}),
    );
}

#[test]
fn segments_of_every_addressing() {
    let set = |inner: &str| {
        format!(
            "<Period><AdaptationSet mimeType=\"video/mp4\">{inner}<Representation id=\"v\" bandwidth=\"7\"/></AdaptationSet></Period>"
        )
    };
    for (inner, expected) in [
        (
            "<SegmentTemplate timescale=\"10\" media=\"$Time%06d$.m4s\" startNumber=\"5\"><SegmentTimeline><S t=\"0\" d=\"40\" r=\"1\"/><S t=\"90\" d=\"30\"/></SegmentTimeline></SegmentTemplate>",
            json!({"count":3,"first_url":"http://h/a/000000.m4s","last_url":"http://h/a/000090.m4s","init_url":null}),
        ),
        (
            "<SegmentTemplate timescale=\"10\" media=\"$Number$.m4s\" startNumber=\"5\"><SegmentTimeline><S d=\"40\" r=\"-1\"/></SegmentTimeline></SegmentTemplate>",
            json!({"count":3,"first_url":"http://h/a/5.m4s","last_url":"http://h/a/7.m4s"}),
        ),
        (
            "<SegmentTemplate timescale=\"10\" presentationTimeOffset=\"80\" media=\"$Time$\"><SegmentTimeline><S t=\"0\" d=\"40\" r=\"9\"/></SegmentTimeline></SegmentTemplate>",
            json!({"count":3,"first_url":"http://h/a/80","last_url":"http://h/a/160"}),
        ),
        (
            "<SegmentTemplate duration=\"5\" media=\"$Bandwidth$/$$$Number%03d$\" startNumber=\"0\"/>",
            json!({"count":3,"first_url":"http://h/a/7/$000","last_url":"http://h/a/7/$002"}),
        ),
        (
            "<SegmentTemplate duration=\"1\" media=\"$Number$\" endNumber=\"4\"/>",
            json!({"count":4,"last_url":"http://h/a/4"}),
        ),
        (
            "<SegmentTemplate media=\"all.vtt\"/>",
            json!({"count":1,"first_url":"http://h/a/all.vtt","last_url":"http://h/a/all.vtt"}),
        ),
        (
            "<SegmentTemplate duration=\"1\" timescale=\"1000000000\" media=\"$Number$\"/>",
            json!({"count":12_000_000_000_u64,"last_url":"http://h/a/12000000000"}),
        ),
        (
            "<SegmentList duration=\"4\"><Initialization sourceURL=\"i.mp4\"/><SegmentURL media=\"1.m4s\"/><SegmentURL media=\"2.m4s\" mediaRange=\"0-99\"/></SegmentList>",
            json!({"count":2,"first_url":"http://h/a/1.m4s","last_url":"http://h/a/2.m4s","init_url":"http://h/a/i.mp4"}),
        ),
        (
            "<BaseURL>v/</BaseURL><SegmentList duration=\"12\"><SegmentURL/></SegmentList>",
            json!({"count":1,"first_url":"http://h/a/v/"}),
        ),
        (
            "<BaseURL>v.mp4</BaseURL><SegmentBase indexRange=\"100-200\"><Initialization range=\"0-99\"/></SegmentBase>",
            json!({"count":null,"first_url":"http://h/a/v.mp4","last_url":"http://h/a/v.mp4","init_url":null}),
        ),
        (
            "<BaseURL> v.mp4 </BaseURL>",
            json!({"count":null,"first_url":"http://h/a/v.mp4","last_url":"http://h/a/v.mp4"}),
        ),
        ("", json!({"count":null,"first_url":null,"last_url":null})),
    ] {
        holds(&segments(STATIC, &set(inner)), &expected);
    }
}

#[test]
fn inherits_and_resolves_over_all_levels() {
    let body = "<BaseURL>https://cdn/one/</BaseURL><BaseURL>https://other/</BaseURL><Period><BaseURL>p/</BaseURL>\
        <SegmentTemplate timescale=\"1000\" initialization=\"i-$RepresentationID$\"/><AdaptationSet mimeType=\"audio/mp4\" lang=\"en\">\
        <BaseURL>s/</BaseURL><SegmentTemplate duration=\"6000\"/><Representation id=\"a\" bandwidth=\"1\"><BaseURL>r/</BaseURL>\
        <SegmentTemplate media=\"$Number$.m4s\" startNumber=\"3\"/></Representation></AdaptationSet></Period>";
    holds(
        &segments(STATIC, body),
        &json!({"count":2,"first_url":"https://cdn/one/p/s/r/3.m4s","last_url":"https://cdn/one/p/s/r/4.m4s","init_url":"https://cdn/one/p/s/r/i-a"}),
    );
}

#[test]
fn periods_end_where_the_next_one_starts() {
    let period = |attributes: &str| {
        format!(
            "<Period {attributes}><AdaptationSet mimeType=\"video/mp4\"><SegmentTemplate duration=\"4\" media=\"$Number$\"/><Representation id=\"v\" bandwidth=\"1\"/></AdaptationSet></Period>"
        )
    };
    let counts = |attributes: &str, periods: &[&str]| {
        let out = look(mpd(attributes, &periods.iter().map(|p| period(p)).collect::<String>())).unwrap();
        let counts: Vec<_> = out["representations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["segments"]["count"].clone())
            .collect();
        (Value::from(counts), out["duration_s"].clone())
    };
    assert_eq!(counts(STATIC, &["", "start=\"PT8S\""]), (json!([2, 1]), json!(12.0)));
    assert_eq!(counts("", &["duration=\"PT8S\"", "duration=\"PT20S\""]), (json!([2, 5]), json!(28.0)));
    assert_eq!(counts("", &["start=\"PT0S\""]), (json!([null]), json!(null)));
}

#[test]
fn a_dynamic_mpd_is_described_without_a_clock() {
    let body = "<Period start=\"PT0S\"><AdaptationSet contentType=\"video\"><SegmentTemplate duration=\"2\" media=\"$Number$\"/>\
        <Representation id=\"v\" bandwidth=\"1\"/></AdaptationSet></Period><UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:http-iso:2014\" value=\"http://t/\"/>";
    let out = look(mpd(
        "type=\"dynamic\" availabilityStartTime=\"2026-01-01T00:00:00Z\" minimumUpdatePeriod=\"PT2S\"",
        body,
    ))
    .unwrap();
    holds(&out, &json!({"live":true,"duration_s":null,"utc_timing":[{"value":"http://t/"}]}));
    assert_eq!(out["representations"][0]["segments"]["count"], Value::Null);
    assert_eq!(out["representations"][0]["segments"]["first_url"], "http://h/a/1");
}

#[test]
fn tells_what_a_representation_carries() {
    for (attributes, expected) in [
        ("contentType=\"video\"", "video"),
        ("mimeType=\"audio/webm\"", "audio"),
        ("mimeType=\"application/mp4\" codecs=\"stpp.ttml.im1t\"", "text"),
        ("mimeType=\"application/mp4\" codecs=\"wvtt\"", "text"),
        ("mimeType=\"text/vtt\"", "text"),
        ("mimeType=\"application/ttml+xml\"", "text"),
        ("mimeType=\"image/jpeg\"", "image"),
        ("codecs=\"hvc1.1.6\"", "video"),
        ("codecs=\"opus\"", "audio"),
        ("mimeType=\"application/octet-stream\"", "other"),
    ] {
        let body = format!(
            "<Period><AdaptationSet {attributes}><Representation id=\"x\" bandwidth=\"1\"/></AdaptationSet></Period>"
        );
        assert_eq!(
            look(mpd(STATIC, &body)).unwrap()["representations"][0]["content_type"],
            expected,
            "{attributes}"
        );
    }
}

#[test]
fn protected_and_remote_elements_are_still_listed() {
    let body = "<Period xlink:href=\"http://elsewhere/\" xmlns:xlink=\"http://www.w3.org/1999/xlink\"/><Period><AdaptationSet mimeType=\"video/mp4\">\
        <ContentProtection schemeIdUri=\"urn:mpeg:dash:mp4protection:2011\" value=\"cenc\"/><Representation id=\"v\" bandwidth=\"1\"/></AdaptationSet></Period>";
    holds(
        &look(mpd(STATIC, body)).unwrap(),
        &json!({"periods":2,"adaptation_sets":1,"representations":[{"encryption":"cenc"}]}),
    );
}

#[test]
fn text_in_other_encodings_is_read() {
    let body = "<Period><AdaptationSet mimeType=\"video/mp4\"><Representation id=\"é\" bandwidth=\"7\"/></AdaptationSet></Period>";
    let id = |bytes: &[u8]| {
        let out = inspect(bytes, &Url::parse("http://h/a/").unwrap()).unwrap();
        out["representations"][0]["id"].as_str().unwrap().to_owned()
    };
    let text = mpd(STATIC, body);
    let utf16 = |mark: bool, bytes: fn(u16) -> [u8; 2]| {
        let units = mark.then_some(0xFEFF).into_iter().chain(text.encode_utf16());
        units.flat_map(bytes).collect::<Vec<u8>>()
    };
    for mark in [true, false] {
        assert_eq!(id(&utf16(mark, u16::to_le_bytes)), "é", "{mark}");
        assert_eq!(id(&utf16(mark, u16::to_be_bytes)), "é", "{mark}");
    }
    let latin = text.replace("UTF-8", "ISO-8859-1").chars().map(|c| c as u8).collect::<Vec<u8>>();
    assert_eq!(id(&latin), "é");
    let error = inspect(&[0x1F, 0x8B, 8, 0], &Url::parse("http://h/a/").unwrap()).unwrap_err().to_string();
    assert!(error.contains("gzip"), "{error}");
}

#[test]
fn the_xml_may_be_as_xml_is_written() {
    let plain = "<MPD type=\"static\" mediaPresentationDuration=\"PT8S\"><Period><AdaptationSet mimeType=\"video/mp4\">\
        <Representation id=\"v\" bandwidth=\"7.5\"><BaseURL>a<!-- not this -->b/<![CDATA[c&d/]]></BaseURL>\
        <SegmentTemplate duration=\"4\" media=\"$Number$\"/></Representation></AdaptationSet></Period></MPD>";
    let expected = json!({"periods":1,"adaptation_sets":1,"representations":[{"id":"v","bandwidth":7,
        "segments":{"count":2,"first_url":"http://h/a/ab/c&d/1"}}]});
    let prefixed =
        plain.replace("<!", "\u{1}").replace("</", "\u{2}").replace('<', "<d:").replace('\u{2}', "</d:");
    let prefixed =
        prefixed.replace('\u{1}', "<!").replace("<d:MPD", "<d:MPD xmlns:d=\"urn:mpeg:dash:schema:mpd:2011\"");
    for text in [
        plain.to_owned(),
        prefixed,
        format!("\n \r\n<?xml version=\"1.0\"?>{plain}"),
        format!("<!DOCTYPE MPD SYSTEM \"x.dtd\">\n{plain}"),
        // A prefix that nobody declared, and elements of others with our names.
        plain.replace("<Period>", "<Period><x:Event><x:Period/></x:Event>"),
        plain.replace("<Period>", "<e:Period xmlns:e=\"urn:else\"><AdaptationSet/></e:Period><Period>"),
        plain.replace(
            "<SegmentTemplate",
            "<e:SegmentTemplate xmlns:e=\"urn:else\" media=\"no\"/><SegmentTemplate",
        ),
    ] {
        holds(&look(&text).unwrap(), &expected);
    }
}

#[test]
fn a_duration_that_is_counted_from_the_first_period_is_understood() {
    let period = |attributes: &str| {
        format!(
            "<Period {attributes}><AdaptationSet mimeType=\"video/mp4\"><SegmentTemplate duration=\"4\" media=\"$Number$\"/><Representation id=\"v\" bandwidth=\"1\"/></AdaptationSet></Period>"
        )
    };
    holds(&segments(STATIC, &period("start=\"PT754S\"")), &json!({"count":3,"last_url":"http://h/a/3"}));
    holds(&segments(STATIC, &period("start=\"PT4S\"")), &json!({"count":2}));
}

#[test]
fn a_value_that_is_not_given_is_not_made_up() {
    let out = look("#EXTM3U\n#EXTINF:3.5,\na.ts\n#EXT-X-ENDLIST\n").unwrap();
    assert_eq!(out["segments"]["target_duration_s"], Value::Null);
    assert!(out["warnings"].to_string().contains("EXT-X-TARGETDURATION is missing"));
}

#[test]
fn stray_tags_do_not_make_another_playlist() {
    let out = look(
        "#EXTM3U\n#EXT-X-TARGETDURATION:\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-ENDLIST\n",
    )
    .unwrap();
    holds(
        &out,
        &json!({"kind":"multivariant","live":null,"variants":[{"bandwidth":1,"url":"http://h/a/v.m3u8"}]}),
    );
    // Braces in a title, or in a tag that nobody knows, are no variables.
    let out = look(
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-VENDOR:A=\"{$no}\"\n#EXTINF:4s,{$no}\n#EXT-X-BYTERANGE:10@\na.ts\n",
    )
    .unwrap();
    holds(&out, &json!({"duration_s":4.0,"segments":{"count":1,"byte_ranges":1}}));
}

#[test]
fn the_first_key_in_force_is_the_first_that_is_written() {
    let out = look(
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-KEY:METHOD=AES-128,URI=\"a\"\n\
         #EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI=\"b\",KEYFORMAT=\"w\"\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"c\"\n#EXTINF:4,\na.ts\n",
    );
    assert_eq!(out.unwrap()["encryption"], "SAMPLE-AES-CTR");
}
