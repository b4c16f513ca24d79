//! Arbitrary and mutated text: no panic, always an answer, one-line messages.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod seeds;

use proptest::{collection::vec, prelude::*, sample::select};
use seeds::{PIECES, SEEDS, exercise};
use url::Url;
use weir_manifest::inspect;

/// A seed with pieces put in, taken out and doubled.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), 0_usize..20, 0_u8..4, select(PIECES), any::<u8>());
    (select(SEEDS), vec(edit, 0..8)).prop_map(|(seed, edits)| {
        let mut text = seed.as_bytes().to_vec();
        for (at, length, what, piece, byte) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + length).min(text.len());
            match what {
                0 => drop(text.splice(at..at, piece.bytes())),
                1 => drop(text.drain(at..end)),
                2 => drop(text.splice(at..end, piece.bytes())),
                _ if at < text.len() => text[at] = byte,
                _ => text.push(byte),
            }
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, max_shrink_time: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_manifests_never_panic(first in mutated(), second in mutated()) {
        exercise(&first, &second);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..400), which in 0_usize..4) {
        let head: &[u8] = [&b""[..], b"#EXTM3U\n", b"<MPD>", b"#EXTM3U\n#EXTINF:1,\n"][which];
        let text = [head, &bytes].concat();
        exercise(&text, &bytes);
    }

    #[test]
    fn shuffled_lines_never_panic(lines in vec((select(SEEDS), any::<prop::sample::Index>()), 0..40)) {
        let mut text = String::from("#EXTM3U\n");
        for (seed, at) in lines {
            let all: Vec<&str> = seed.split('\n').collect();
            let line: &&str = at.get(all.as_slice());
            text.push_str(line);
            text.push('\n');
        }
        exercise(text.as_bytes(), SEEDS[0].as_bytes());
    }
}

#[test]
fn every_seed_is_a_manifest() {
    let base = Url::parse("http://h/a/x").unwrap();
    for seed in SEEDS {
        assert!(inspect(seed.as_bytes(), &base).is_ok(), "{seed}");
    }
}

/// Found by mutation: the offset of a reloaded manifest put its segments before the first that had a number.
#[test]
fn a_manifest_that_goes_back_before_its_beginning_is_numbered_upwards() {
    let text = |offset: &str| {
        format!(
            r#"<MPD type="dynamic" availabilityStartTime="2026-01-01T00:00:00Z" minimumUpdatePeriod="PT2S">
            <Period id="p" start="PT0S"><AdaptationSet mimeType="audio/mp4" lang="en">
            <SegmentTemplate timescale="48000" {offset} media="$Time$.m4s"><SegmentTimeline><S t="96000" d="96000" r="5"/>
            <S d="48000" r="-1"/></SegmentTimeline></SegmentTemplate><Representation id="a" bandwidth="96000"/>
            </AdaptationSet></Period></MPD>"#
        )
    };
    let (first, second) = (text(""), text("presentationTimeOffset=\"96000\""));
    exercise(
        first.replace("minimum", "timeShiftBufferDepth=\"PT30S\" minimum").as_bytes(),
        second.as_bytes(),
    );
}

/// Found by mutation: so many segments a second that the number of the last one has no successor.
#[test]
fn segments_that_are_shorter_than_any_clock_tells_are_survived() {
    let text = r#"<MPD type="dynamic" availabilityStartTime="1970-01-01T00:00:00Z" minimumUpdatePeriod="PT8S">
        <Period id="p" start="PT0S"><AdaptationSet contentType="audio"><SegmentTemplate media="$Number$" duration="384000"
        startNumber="0" timescale="9223372036854775807" availabilityTimeOffset="7" availabilityTimeComplete="false"/>
        <Representation id="a" bandwidth="36997" mimeType="audio/mp4"/></AdaptationSet></Period></MPD>"#;
    exercise(text.as_bytes(), text.as_bytes());
}
