//! Manifests of the right shape with figures put wrong: what can be opened at all, every controller comes to an end with.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::{sync::Arc, time::Duration};

use url::Url;
use weir_abr::planner::Config;
use weir_lab::{
    content::Content,
    sim::{Setup, simulate},
    trace::{Link, Trace},
};
use weir_manifest::{Now, Source, to_brain_track};

const SEEDS: &[&str] = &[
    "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-DISCONTINUITY-SEQUENCE:1\n#EXTINF:4.0,\na\n#EXTINF:4.0,\n\
     #EXT-X-BYTERANGE:5000@0\nb\n#EXT-X-DISCONTINUITY\n#EXTINF:3.5,\nc\n#EXT-X-GAP\n#EXTINF:4,\nd\n#EXT-X-ENDLIST\n",
    "<MPD mediaPresentationDuration=\"PT12S\"><Period start=\"PT0S\"><AdaptationSet mimeType=\"video/mp4\"><SegmentTemplate timescale=\"1000\" \
     duration=\"4000\" presentationTimeOffset=\"0\" startNumber=\"1\" eptDelta=\"0\" media=\"$Number$\"/><Representation id=\"a\" \
     bandwidth=\"300000\"/><Representation id=\"b\" bandwidth=\"900000\"/></AdaptationSet></Period></MPD>",
    "<MPD mediaPresentationDuration=\"PT12S\"><Period duration=\"PT8S\"><AdaptationSet mimeType=\"video/mp4\"><SegmentTemplate timescale=\"10\" \
     media=\"$Time$\"><SegmentTimeline><S t=\"0\" d=\"40\" r=\"1\"/></SegmentTimeline></SegmentTemplate><Representation id=\"a\" \
     bandwidth=\"300000\"/></AdaptationSet></Period><Period start=\"PT8S\"><AdaptationSet mimeType=\"video/mp4\"><SegmentList duration=\"2\">\
     <SegmentURL media=\"x\" mediaRange=\"0-4999\"/><SegmentURL media=\"y\"/></SegmentList><Representation id=\"a\" bandwidth=\"300000\"/>\
     </AdaptationSet></Period></MPD>",
];

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "0.000000001",
    "0.001",
    "36000",
    "1e9",
    "2147483648",
    "4294967296",
    "1000000000000",
    "1152921504606846976",
    "9223372036854775807",
    "18446744073709551615",
];

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// One to three of the numbers in `text` become others.
fn mutate(text: &str, random: &mut Random) -> String {
    let mut text = text.to_owned();
    for _ in 0..=random.below(3) {
        let bytes = text.as_bytes();
        let number = |at: usize| bytes.get(at).is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.');
        let starts: Vec<usize> = (1..bytes.len()).filter(|at| number(*at) && !number(at - 1)).collect();
        let start = starts[random.below(starts.len())];
        let end = (start..bytes.len()).find(|at| !number(*at)).unwrap_or(bytes.len());
        text.replace_range(start..end, NUMBERS[random.below(NUMBERS.len())]);
    }
    text
}

fn content(text: &str) -> Option<Content> {
    let now = Now { session: Duration::ZERO, unix: Duration::from_secs(1_800_000_000) };
    let url = Url::parse("http://h/a/x").unwrap();
    let mut source = Source::new(&url, text.as_bytes(), now).ok()?;
    for request in source.wanted(0, 0) {
        source.supply(&request, &url, text.as_bytes(), now).ok()?;
    }
    let mut track = to_brain_track(source.presentation().tracks.first()?, true)?;
    if track.segments.is_empty() || track.segments.len() > 200 || track.end() > Duration::from_secs(3600) {
        return None;
    }
    for segment in &mut track.segments {
        if segment.sizes.is_empty() {
            segment.sizes = vec![50_000; track.ladder.len()].into();
        }
    }
    Some(Content { name: "hostile".to_owned(), tracks: vec![Arc::new(track)] })
}

#[test]
fn every_controller_survives_what_a_manifest_may_say() {
    let link = Link::new(&Trace::constant(2000.0, 20.0).unwrap());
    let mut random = Random(1);
    let mut played = 0;
    for round in 0..1200 {
        let text = mutate(SEEDS[round % SEEDS.len()], &mut random);
        let Some(content) = content(&text) else { continue };
        // The default each time, the others in turn.
        for name in ["weir", weir_abr::control::NAMES[round / SEEDS.len() % weir_abr::control::NAMES.len()]] {
            let config = Config { controller: name.to_owned(), ..Config::default() };
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                simulate(Setup::new(&content, &link), config).map(drop)
            }));
            assert!(matches!(done, Ok(Ok(()))), "{name} on {text}");
        }
        played += 1;
    }
    assert!(played > 300, "{played}");
}
