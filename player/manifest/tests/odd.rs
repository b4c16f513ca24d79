//! Odd manifests, each with what a reader of the standards works out by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

use std::fmt::Write as _;

use serde_json::{Value, json};
use url::Url;
use weir_manifest::inspect;

fn look(text: &str) -> Result<Value, String> {
    let base = Url::parse("http://h/a/b.mpd?q=1&tok=x%20y").unwrap();
    inspect(text.as_bytes(), &base).map_err(|error| error.to_string())
}

/// Each path of `expected` (`segments.count`) holds that value; a missing one counts as null.
#[track_caller]
fn holds(text: &str, expected: &Value) {
    let found = look(text).unwrap_or_else(|error| panic!("{text}\nwas refused: {error}"));
    for (path, expected) in expected.as_object().unwrap() {
        let mut at = &found;
        for key in path.split('.') {
            at = match key.parse::<usize>() {
                Ok(index) => &at[index],
                Err(_) => &at[key],
            };
        }
        assert_eq!(at, expected, "{path} of\n{text}");
    }
}

#[track_caller]
fn refused(text: &str, wanted: &str) {
    let error = look(text).expect_err(text);
    assert!(error.contains(wanted) && !error.contains('\n'), "{text}\ngave {error:?}, not {wanted:?}");
}

#[test]
fn odd_media_playlists() {
    for (body, expected) in [
        // Lines, blanks and marks.
        (
            "#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na.ts",
            json!({"segments.count":1,"segments.last_url":"http://h/a/a.ts"}),
        ),
        (
            "\n \t\n  #EXT-X-TARGETDURATION: 4 \n\t#EXTINF: 4 , title \n  a.ts  \n",
            json!({"duration_s":4.0,"segments.target_duration_s":4.0}),
        ),
        (
            "# EXTINF:9,\n#EXTINFO:8,\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n#x\na.ts\n",
            json!({"duration_s":4.0,"segments.count":1}),
        ),
        // Addresses.
        (
            "#EXTINF:1,\n?v=2\n#EXTINF:1,\n//c/x.ts\n",
            json!({"segments.first_url":"http://h/a/b.mpd?v=2","segments.last_url":"http://c/x.ts"}),
        ),
        (
            "#EXTINF:1,\n/r.ts\n#EXTINF:1,\nhttps://c:8443/d/../e.ts?x=../y\n",
            json!({"segments.first_url":"http://h/r.ts","segments.last_url":"https://c:8443/e.ts?x=../y"}),
        ),
        (
            "#EXTINF:1,\n../../../up.ts\n#EXTINF:1,\na:b/c.ts\n",
            json!({"segments.first_url":"http://h/up.ts","segments.last_url":"a:b/c.ts"}),
        ),
        // Numbers.
        ("#EXTINF:1e1,\na\n#EXTINF:.5\nb\n#EXTINF:2.\nc\n", json!({"duration_s":12.5,"segments.count":3})),
        ("#EXTINF:0.1,\na\n#EXTINF:0.2,\nb\n", json!({"duration_s":0.3})),
        ("#EXTINF:0,\na\n", json!({"duration_s":0.0,"segments.count":1})),
        (
            "#EXT-X-TARGETDURATION:9.5\n#EXT-X-MEDIA-SEQUENCE:18446744073709551615\n#EXTINF:9.5,\na\n",
            json!({"segments.target_duration_s":9.5,"segments.media_sequence":18_446_744_073_709_551_615_u64}),
        ),
        (
            "#EXT-X-MEDIA-SEQUENCE:9007199254740993\n#EXTINF:1,\na\n",
            json!({"segments.media_sequence":9_007_199_254_740_993_u64}),
        ),
        // Addresses that are missing, and tags that stand twice.
        ("#EXTINF:1,\n#EXTINF:2,\na\n#EXTINF:3,\n", json!({"duration_s":2.0,"segments.count":1})),
        (
            "#EXTINF:1,\na\nstray\n#EXTINF:1,\nb\n",
            json!({"segments.count":2,"segments.last_url":"http://h/a/b"}),
        ),
        (
            "#EXT-X-DISCONTINUITY\n#EXT-X-DISCONTINUITY\n#EXTINF:1,\na\n#EXTINF:1,\nb\n#EXT-X-DISCONTINUITY\n",
            json!({"segments.discontinuities":1}),
        ),
        (
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:1,\na\n#EXT-X-ENDLIST\n#EXT-X-ENDLIST\n",
            json!({"live":false,"segments.count":1}),
        ),
        (
            "#EXT-X-TARGETDURATION:6\n",
            json!({"live":true,"duration_s":0.0,"segments.count":0,"segments.first_url":null,"segments.last_url":null,"encryption":"none"}),
        ),
        ("#EXT-X-ENDLIST\n#EXTINF:1,\na\n", json!({"live":false,"segments.count":1})),
        ("#EXT-X-PLAYLIST-TYPE:EVENT\n#EXTINF:1,\na\n#EXT-X-ENDLIST\n", json!({"live":false})),
        // Ranges.
        (
            "#EXTINF:1,\n#EXT-X-BYTERANGE:5@0\na\n#EXTINF:1,\n#EXT-X-BYTERANGE:5\na\n#EXTINF:1,\nb\n",
            json!({"segments.byte_ranges":2,"segments.count":3}),
        ),
        ("#EXT-X-BYTERANGE:5\n#EXTINF:1,\na\n", json!({"segments.byte_ranges":1})),
        // Initialization segments.
        (
            "#EXTINF:1,\na\n#EXT-X-MAP:URI=\"i,1.mp4\",BYTERANGE=\"9@0\"\n#EXTINF:1,\nb\n#EXT-X-MAP:URI=\"j.mp4\"\n#EXTINF:1,\nc\n",
            json!({"segments.init_url":"http://h/a/i,1.mp4"}),
        ),
        (
            "#EXT-X-MAP:URI=\"i.mp4\"\n#EXT-X-MAP:URI=\"j.mp4\"\n#EXTINF:1,\na\n",
            json!({"segments.init_url":"http://h/a/j.mp4"}),
        ),
        ("#EXTINF:1,\na\n#EXT-X-MAP:URI=\"i.mp4\"\n", json!({"segments.init_url":null})),
        // Keys.
        (
            "#EXT-X-KEY:METHOD=NONE\n#EXTINF:1,\na\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://k,METHOD=AES-128\",KEYFORMAT=\"com.apple.streamingkeydelivery\"\n#EXTINF:1,\nb\n",
            json!({"encryption":"SAMPLE-AES"}),
        ),
        (
            "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-KEY:METHOD=NONE\n#EXTINF:1,\na\n",
            json!({"encryption":"none"}),
        ),
        ("#EXTINF:1,\na\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n", json!({"encryption":"none"})),
        (
            "#EXT-X-SESSION-KEY-X:1\n#EXT-X-KEY: METHOD = AES-128 , URI = \"k\" , IV = 0XAB\n#EXTINF:1,\na\n",
            json!({"encryption":"AES-128"}),
        ),
        // Low latency and delta updates.
        (
            "#EXT-X-TARGETDURATION:4\n#EXT-X-PART-INF:PART-TARGET=1\n#EXT-X-MAP:URI=\"i\"\n#EXT-X-PART:DURATION=1,URI=\"p0\"\n#EXT-X-PART:DURATION=1,URI=\"p1\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p2\"\n",
            json!({"live":true,"duration_s":0.0,"segments.count":0,"segments.parts":2,"segments.first_url":null}),
        ),
        (
            "#EXT-X-TARGETDURATION:4\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p0\"\n",
            json!({"segments.count":0,"segments.parts":0}),
        ),
        (
            "#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:10\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXTINF:4,\na\n",
            json!({"segments.count":1,"duration_s":4.0,"segments.media_sequence":10,"skipped_segments":3}),
        ),
        ("#EXTINF:1,\n#EXT-X-GAP\na\n", json!({"segments.count":1,"segments.gaps":1})),
        // Variables.
        (
            "#EXT-X-DEFINE:NAME=\"a-1_B\",VALUE=\"x\"\n#EXT-X-DEFINE:NAME=\"e\",VALUE=\"\"\n#EXTINF:1,\n{$a-1_B}{$e}/{a}$b\n",
            json!({"segments.first_url":"http://h/a/x/%7Ba%7D$b"}),
        ),
        (
            "#EXT-X-DEFINE:QUERYPARAM=\"tok\"\n#EXT-X-MAP:URI=\"i?{$tok}\"\n#EXTINF:1,\na\n",
            json!({"segments.init_url":"http://h/a/i?x%20y"}),
        ),
    ] {
        let text = format!("#EXTM3U\n{body}");
        holds(&text, &expected);
        holds(&format!("\u{feff}{}", text.replace('\n', "\r\n")), &expected);
    }
    for (body, wanted) in [
        ("#EXT-X-DEFINE:QUERYPARAM=\"none\"\n#EXTINF:1,\na\n", "line 2: EXT-X-DEFINE wants a value"),
        ("#EXT-X-DEFINE:IMPORT=\"v\"\n#EXTINF:1,\na\n", "line 2: EXT-X-DEFINE imports"),
        ("#EXT-X-DEFINE:VALUE=\"v\"\n#EXTINF:1,\na\n", "line 2: EXT-X-DEFINE has none of"),
        ("#EXT-X-MAP:URI=\"{$no}\"\n#EXTINF:1,\na\n", "line 2: the variable {$no}"),
        (
            "#EXT-X-STREAM-INF:BANDWIDTH=1\nv\n#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"{$no}\"\n",
            "line 4: the variable {$no}",
        ),
        (
            "#EXT-X-STREAM-INF:BANDWIDTH=1\nv\n#EXT-X-PART:DURATION=1,URI=\"p\"\n",
            "line 4: EXT-X-PART does not belong",
        ),
        ("#EXTINF:1,\na\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv\n", "line 4: EXT-X-STREAM-INF does not belong"),
        ("#EXTINF:-1,\na\n", "line 2: EXTINF wants"),
        ("#EXTINF:,\na\n", "line 2: EXTINF wants"),
        ("#EXT-X-MAP:BYTERANGE=\"1@0\"\n#EXTINF:1,\na\n", "line 2: EXT-X-MAP has no URI"),
        (
            "#EXT-X-DEFINE:NAME=\"a\",VALUE=\"x/{$a}\"\n#EXTINF:1,\na\n",
            "line 2: the variable {$a} is used but not defined",
        ),
        ("#EXT-X-VERSION:3\n", "lists no segments"),
    ] {
        refused(&format!("#EXTM3U\n{body}"), wanted);
    }
    refused("#EXTINF:1,\na\n#EXTM3U\n", "neither an HLS playlist");
}

#[test]
fn odd_multivariant_playlists() {
    for (body, expected) in [
        (
            "#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"a,b\",NAME=\"x=1,y\",RESOLUTION=1920x1080,FRAME-RATE=59.940\nv?x=1\n",
            json!({"variants.0.codecs":"a,b","variants.0.width":1920,"variants.0.height":1080,"variants.0.frame_rate":59.94,"variants.0.url":"http://h/a/v?x=1"}),
        ),
        (
            "#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=1920X1080,BANDWIDTH=2\n?v\n",
            json!({"variants.0.bandwidth":1,"variants.0.width":1920,"variants.0.url":"http://h/a/b.mpd?v"}),
        ),
        (
            "#EXT-X-STREAM-INF:RESOLUTION=big,BANDWIDTH=4294967296\nhttp://z\n",
            json!({"variants.0.bandwidth":4_294_967_296_u64,"variants.0.width":null,"variants.0.url":"http://z/"}),
        ),
        (
            "#EXT-X-STREAM-INF:BANDWIDTH=1\n#EXT-X-STREAM-INF:BANDWIDTH=2\nv\n",
            json!({"variants.0.url":null,"variants.1.bandwidth":2,"variants.1.url":"http://h/a/v"}),
        ),
        (
            "#EXT-X-CONTENT-STEERING:SERVER-URI=\"/s\",PATHWAY-ID=\"A\"\n#EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID=\"A\"\nv\n#EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID=\"B\"\nw\n",
            json!({"variants.0.url":"http://h/a/v","variants.1.url":"http://h/a/w","variants.2":null,"live":null,"duration_s":null}),
        ),
        (
            "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"i\"\n",
            json!({"kind":"multivariant","iframe_variants":1,"variants.0":null}),
        ),
        (
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"g\",NAME=\"n\",DEFAULT=NO,AUTOSELECT=YES\n#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"t\",NAME=\"\u{e9}, \",LANGUAGE=\"fr\",DEFAULT=YES,URI=\"s?a,b\"\n",
            json!({"audio.0.group":"g","audio.0.default":false,"audio.0.url":null,"audio.0.language":null,"subtitles.0.name":"\u{e9}, ","subtitles.0.default":true,"subtitles.0.url":"http://h/a/s?a,b","audio.1":null}),
        ),
        (
            "#EXT-X-DEFINE:NAME=\"h\",VALUE=\"http://c\"\n#EXT-X-SESSION-DATA:DATA-ID=\"x\",VALUE=\"y\"\n#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"{$h}\"\n{$h}/v\n",
            json!({"variants.0.url":"http://c/v","variants.0.audio_group":"http://c"}),
        ),
        (
            "#EXT-X-TARGETDURATION:4\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv\n",
            json!({"kind":"multivariant","variants.0.bandwidth":1}),
        ),
    ] {
        let text = format!("#EXTM3U\n{body}");
        holds(&text, &expected);
        holds(&format!("\u{feff}{}", text.replace('\n', "\r\n")), &expected);
    }
}

/// An MPD of 12 s with one Representation `r` of 7 bit/s; `inner` stands in its AdaptationSet.
fn one(inner: &str) -> String {
    format!(
        "<MPD xmlns='urn:mpeg:dash:schema:mpd:2011' type='static' mediaPresentationDuration='PT12S'><Period>\
         <AdaptationSet mimeType='video/mp4'>{inner}<Representation id='r' bandwidth='7'/></AdaptationSet></Period></MPD>"
    )
}

/// `[count, first, last, init]` of the first Representation.
#[track_caller]
fn lists(text: &str, expected: &Value) {
    let found = look(text).unwrap_or_else(|error| panic!("{text}\nwas refused: {error}"));
    let segments = &found["representations"][0]["segments"];
    let tail = |key: &str| {
        segments[key].as_str().map(|url| url.strip_prefix("http://h/a/").unwrap_or(url).to_owned())
    };
    let found = json!([segments["count"], tail("first_url"), tail("last_url"), tail("init_url")]);
    assert_eq!(&found, expected, "{text}");
}

#[test]
fn odd_segment_templates_and_lists() {
    let line = |attributes: &str, entries: &str| {
        format!(
            "<SegmentTemplate {attributes}><SegmentTimeline>{entries}</SegmentTimeline></SegmentTemplate>"
        )
    };
    for (inner, expected) in [
        ("<SegmentTemplate duration='4' media='$RepresentationID$-$Number%05d$-$$-$Bandwidth%03d$'/>".into(), json!([3, "r-00001-$-007", "r-00003-$-007", null])),
        ("<SegmentTemplate duration='5' startNumber='0' endNumber='1' media='$Number$'/>".into(), json!([2, "0", "1", null])),
        ("<SegmentTemplate duration='5' endNumber='9' media='$Number$'/>".into(), json!([3, "1", "3", null])),
        ("<SegmentTemplate duration='5' startNumber='7' endNumber='3' media='$Number$'/>".into(), json!([0, null, null, null])),
        ("<SegmentTemplate timescale='48000' duration='191488' media='$Time$' presentationTimeOffset='1000'/>".into(), json!([4, "1000", "575464", null])),
        ("<SegmentTemplate timescale='30000' duration='120120' media='$Number$'/>".into(), json!([3, "1", "3", null])),
        ("<SegmentTemplate timescale='10000000' duration='40000001' media='$Number$'/>".into(), json!([3, "1", "3", null])),
        ("<SegmentTemplate timescale='10000000' duration='39999999' media='$Number$'/>".into(), json!([4, "1", "4", null])),
        ("<SegmentTemplate timescale='1000' duration='4000.0' presentationTimeOffset='0.0' media='$Number$'/>".into(), json!([3, "1", "3", null])),
        ("<SegmentTemplate duration='4' eptDelta='-4' media='$Number$'/>".into(), json!([3, "2", "4", null])),
        ("<SegmentTemplate duration='4' availabilityTimeOffset='INF' availabilityTimeComplete='false' media='$Number$'/>".into(), json!([3, "1", "3", null])),
        ("<SegmentTemplate duration='0' media='$Number$'/>".into(), json!([1, "1", "1", null])),
        ("<SegmentTemplate duration='4' initialization='$RepresentationID$/$Bandwidth$/i$Number$'/>".into(), json!([null, null, null, "r/7/i1"])),
        ("<SegmentTemplate duration='4' media='https://c/$Number$?a=$Time$' initialization='../i'/>".into(), json!([3, "https://c/1?a=0", "https://c/3?a=8", "http://h/i"])),
        (line("media='$Time$'", "<S t='0' d='4' r='-1'/>"), json!([3, "0", "8", null])),
        (line("media='$Time$'", "<S t='0' d='5' r='-1'/>"), json!([3, "0", "10", null])),
        (line("media='$Time$' timescale='10'", "<S t='0' d='30' r='-1'/><S t='80' d='40'/>"), json!([4, "0", "80", null])),
        (line("media='$Time$'", "<S d='3'/><S d='3' r='1'/><S t='10' d='2'/>"), json!([4, "0", "10", null])),
        (line("media='$Number$' startNumber='100' endNumber='101'", "<S d='3' r='3'/>"), json!([2, "100", "101", null])),
        (line("media='$Number$'", "<S d='3' n='10'/><S d='3' r='1'/><S d='3' n='20'/>"), json!([4, "10", "20", null])),
        (line("media='$Number$' endNumber='12'", "<S d='3' n='10' r='1'/><S d='3' n='20' r='1'/>"), json!([2, "10", "11", null])),
        (line("media='$Number$_$SubNumber$'", "<S d='4' k='4' r='2'/>"), json!([12, "1_0", "3_3", null])),
        (line("media='$Time$_$SubNumber%02d$'", "<S t='0' d='8' k='4'/><S d='4'/>"), json!([5, "0_00", "8_00", null])),
        (line("media='$Number$'", "<S d='4' k='4' r='2'/>"), json!([3, "1", "3", null])),
        (line("media='$Time$' presentationTimeOffset='8'", "<S t='4' d='4' r='99'/>"), json!([3, "8", "16", null])),
        (line("media='$Time$' timescale='1000000000'", "<S t='0' d='1' r='1000000000'/>"), json!([1_000_000_001_u64, "0", "1000000000", null])),
        (line("media='$Number$' timescale='4294967296'", "<S t='0' d='12' r='-1'/>"), json!([4_294_967_296_u64, "1", "4294967296", null])),
        ("<SegmentList><SegmentURL mediaRange='0-9'/><SegmentURL media='x' mediaRange='10-'/></SegmentList>".into(), json!([2, "b.mpd?q=1&tok=x%20y", "x", null])),
        ("<BaseURL>d/f.mp4</BaseURL><SegmentList timescale='1' duration='4'><Initialization range='0-9'/><SegmentURL mediaRange='10-19'/><SegmentURL mediaRange='20-29'/><SegmentURL mediaRange='30-39'/></SegmentList>".into(), json!([3, "d/f.mp4", "d/f.mp4", null])),
        ("<SegmentList/>".into(), json!([0, null, null, null])),
        ("<BaseURL>f.mp4</BaseURL><SegmentBase><Initialization sourceURL='i.mp4'/></SegmentBase>".into(), json!([null, "f.mp4", "f.mp4", "i.mp4"])),
        ("<BaseURL>http://x/</BaseURL><BaseURL>http://y/</BaseURL><SegmentTemplate duration='12' media='$Number$'/>".into(), json!([1, "http://x/1", "http://x/1", null])),
        ("<BaseURL>/abs/name</BaseURL><SegmentTemplate duration='12' media='$Number$'/>".into(), json!([1, "http://h/abs/1", "http://h/abs/1", null])),
    ] {
        lists(&one(&inner), &expected);
    }
    for (inner, wanted) in [
        (
            "<SegmentTemplate duration='four' media='$Number$'/>",
            "SegmentTemplate@duration wants a whole number",
        ),
        (
            "<SegmentTemplate duration='-4' media='$Number$'/>",
            "SegmentTemplate@duration wants a whole number",
        ),
        (
            "<SegmentTemplate duration='4' timescale='29.97' media='$Number$'/>",
            "SegmentTemplate@timescale wants",
        ),
        (
            "<SegmentTemplate media='$Time$'><SegmentTimeline><S t='0'/></SegmentTimeline></SegmentTemplate>",
            "S has no @d",
        ),
        (
            "<SegmentTemplate media='$Time$'><SegmentTimeline><S d='1' r='x'/></SegmentTimeline></SegmentTemplate>",
            "S@r wants",
        ),
    ] {
        refused(&one(inner), wanted);
    }
}

#[test]
fn addressing_is_inherited_over_three_levels_and_replaced_by_another_kind() {
    let mpd = |period: &str, set: &str, representation: &str| {
        format!(
            "<MPD mediaPresentationDuration='PT12S'><BaseURL>m/</BaseURL><Period><BaseURL>p/</BaseURL>{period}\
             <AdaptationSet mimeType='video/mp4'><BaseURL>s/</BaseURL>{set}<Representation id='r' bandwidth='7'>\
             {representation}</Representation></AdaptationSet></Period></MPD>"
        )
    };
    let timeline = "<SegmentTemplate><SegmentTimeline><S d='3' r='3'/></SegmentTimeline></SegmentTemplate>";
    for (text, expected) in [
        (
            mpd(
                "<SegmentTemplate timescale='10' duration='40' startNumber='5'/>",
                "<SegmentTemplate media='$Number$' initialization='i'/>",
                "<SegmentTemplate startNumber='1' duration='60'/>",
            ),
            json!([2, "m/p/s/1", "m/p/s/2", "m/p/s/i"]),
        ),
        (
            mpd(timeline, "<SegmentTemplate media='$Time$'/>", "<BaseURL>r/</BaseURL>"),
            json!([4, "m/p/s/r/0", "m/p/s/r/9", null]),
        ),
        (
            mpd(timeline, "", "<SegmentTemplate media='$Number$' duration='6'/>"),
            json!([2, "m/p/s/1", "m/p/s/2", null]),
        ),
        (
            mpd(
                "<SegmentTemplate duration='4' media='$Number$' initialization='i'/>",
                "",
                "<BaseURL>f.mp4</BaseURL><SegmentBase indexRange='1-2'/>",
            ),
            json!([null, "m/p/s/f.mp4", "m/p/s/f.mp4", null]),
        ),
        (
            mpd(
                "<SegmentList duration='4'><SegmentURL media='1'/><SegmentURL media='2'/></SegmentList>",
                "<SegmentList><Initialization sourceURL='i'/></SegmentList>",
                "",
            ),
            json!([2, "m/p/s/1", "m/p/s/2", "m/p/s/i"]),
        ),
        (mpd("", "", "<BaseURL>f.mp4</BaseURL>"), json!([null, "m/p/s/f.mp4", "m/p/s/f.mp4", null])),
        (
            mpd("", "", "<BaseURL>https://x/f.mp4</BaseURL>"),
            json!([null, "https://x/f.mp4", "https://x/f.mp4", null]),
        ),
    ] {
        lists(&text, &expected);
    }
}

#[test]
fn odd_durations_and_periods() {
    let body = "<AdaptationSet mimeType='video/mp4'><SegmentTemplate duration='4' media='$Number$'/><Representation id='r' bandwidth='7'/></AdaptationSet>";
    let mpd = |attributes: &str, periods: &[&str]| {
        let periods = periods.iter().fold(String::new(), |mut out, period| {
            write!(out, "<Period {period}>{body}</Period>").unwrap();
            out
        });
        format!("<MPD {attributes}>{periods}</MPD>")
    };
    for (attributes, periods, duration, counts) in [
        ("mediaPresentationDuration='P1DT2H'", &[""][..], json!(93_600.0), json!([23_400])),
        ("mediaPresentationDuration='PT0.5S'", &[""], json!(0.5), json!([1])),
        ("mediaPresentationDuration='P0Y0M0DT0H0M8.000S'", &[""], json!(8.0), json!([2])),
        ("mediaPresentationDuration='P0Y'", &[""], json!(0.0), json!([null])),
        ("mediaPresentationDuration=' PT1M '", &[""], json!(60.0), json!([15])),
        ("", &["duration='PT8S'", ""], json!(null), json!([2, null])),
        ("", &["", "start='PT8S' duration='PT4S'"], json!(12.0), json!([2, 1])),
        (
            "mediaPresentationDuration='PT20S'",
            &["", "start='PT8S'", "start='PT12.1S'"],
            json!(20.0),
            json!([2, 2, 2]),
        ),
        (
            "mediaPresentationDuration='PT20S'",
            &["duration='PT8S'", "duration='PT4S'", ""],
            json!(20.0),
            json!([2, 1, 2]),
        ),
        (
            "mediaPresentationDuration='PT20S' maxSegmentDuration='soon' minimumUpdatePeriod='-PT1S'",
            &[""],
            json!(20.0),
            json!([5]),
        ),
    ] {
        let text = mpd(attributes, periods);
        let found = look(&text).unwrap_or_else(|error| panic!("{text}\nwas refused: {error}"));
        let listed = found["representations"].as_array().unwrap();
        let listed: Value = listed.iter().map(|one| one["segments"]["count"].clone()).collect();
        assert_eq!((&found["duration_s"], &listed), (&duration, &counts), "{text}");
        assert_eq!(found["periods"], periods.len(), "{text}");
    }
    refused(
        &mpd("mediaPresentationDuration='-PT5S'", &[""]),
        "MPD@mediaPresentationDuration wants a duration",
    );
    refused(&mpd("", &["start='5'"]), "Period@start wants a duration");
}

#[test]
fn odd_documents() {
    let set = |attributes: &str, inner: &str| {
        format!(
            "<MPD><Period><AdaptationSet {attributes}>{inner}<Representation id='r' bandwidth='7'/></AdaptationSet></Period></MPD>"
        )
    };
    for (attributes, inner, kind) in [
        (
            "mimeType='image/jpeg'",
            "<EssentialProperty schemeIdUri='http://dashif.org/guidelines/thumbnail_tile' value='10x1'/>",
            "image",
        ),
        (
            "contentType='video'",
            "<EssentialProperty schemeIdUri='http://dashif.org/guidelines/trickmode' value='1'/>",
            "video",
        ),
        (
            "mimeType='application/mp4' codecs='stpp'",
            "<Role schemeIdUri='urn:mpeg:dash:role:2011' value='main'/>",
            "text",
        ),
        ("contentType='text' mimeType='application/mp4' codecs='wvtt'", "", "text"),
        ("mimeType='application/x-subrip'", "", "text"),
        (
            "mimeType='video/mp4' codecs='encv'",
            "<ContentProtection schemeIdUri='urn:mpeg:dash:mp4protection:2011' value='cbcs'/>",
            "video",
        ),
        ("", "<ContentComponent contentType='audio'/>", "audio"),
        ("", "", "other"),
    ] {
        holds(
            &set(attributes, inner),
            &json!({"representations.0.content_type":kind,"adaptation_sets":1,"live":false,"duration_s":null}),
        );
    }
    // A remote set and a remote Period are counted, and nothing is loaded.
    let remote = "<MPD xmlns:xlink='http://www.w3.org/1999/xlink'><Period xlink:href='http://x/p' xlink:actuate='onLoad'/>\
        <Period><AdaptationSet xlink:href='urn:mpeg:dash:resolve-to-zero:2013'/></Period></MPD>";
    holds(remote, &json!({"periods":2,"adaptation_sets":1,"representations.0":null}));
    let dynamic = "<MPD type='dynamic'><Period id='1' start='PT0S'><AdaptationSet mimeType='video/mp4'>\
        <SegmentTemplate duration='2' startNumber='5' media='$Number$' initialization='i'/><Representation id='r' bandwidth='7'/></AdaptationSet></Period></MPD>";
    holds(dynamic, &json!({"live":true,"duration_s":null}));
    lists(dynamic, &json!([null, "5", null, "i"]));
    for (text, wanted) in [
        (
            "<Patch xmlns='urn:mpeg:dash:schema:mpd-patch:2020' mpdId='m'><replace sel='/MPD/@id'>x</replace></Patch>",
            "neither an HLS playlist",
        ),
        (
            "<!DOCTYPE MPD [<!ENTITY % p SYSTEM 'file:///etc/passwd'> %p;]><MPD><Period/></MPD>",
            "document type declaration",
        ),
        (
            "<!DOCTYPE MPD [<!ENTITY a 'x'><!ENTITY b '&a;&a;'>]><MPD><Period>&b;</Period></MPD>",
            "document type declaration",
        ),
        ("<MPD><Period></MPD>", "the XML cannot be read"),
        ("<MPD><Period/></MPD><MPD/>", "the XML cannot be read"),
        ("<MPD>", "the XML cannot be read"),
        ("<MPD><Period id=1/></MPD>", "the XML cannot be read"),
        ("<html>MPD</html>", "neither an HLS playlist"),
    ] {
        refused(text, wanted);
    }
}
