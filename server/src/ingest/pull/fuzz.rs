//! Playlists of other servers, made wrong line by line.

use url::Url;

use super::define::Variables;
use super::playlist::{Playlist, choose, parse};
use crate::fuzz::{Random, fuzz, mutate, odd, pick};

const LINES: [&str; 44] = [
    "#EXTM3U",
    "#EXT-X-VERSION:9",
    "#EXT-X-TARGETDURATION:4",
    "#EXT-X-MEDIA-SEQUENCE:7",
    "#EXT-X-DISCONTINUITY-SEQUENCE:3",
    "#EXT-X-DISCONTINUITY",
    "#EXT-X-PART-INF:PART-TARGET=0.5",
    "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5,CAN-SKIP-UNTIL=24",
    "#EXT-X-PART:DURATION=0.5,URI=\"p.m4s\",INDEPENDENT=YES",
    "#EXT-X-PART:DURATION=0.5,URI=\"p.m4s\",BYTERANGE=\"100@20\"",
    "#EXT-X-PART:DURATION=0.5,URI=\"p.m4s\",BYTERANGE=\"100\",GAP=YES",
    "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"q.m4s\"",
    "#EXT-X-MAP:URI=\"i.mp4\",BYTERANGE=\"800@0\"",
    "#EXT-X-MAP:URI=\"j.mp4\"",
    "#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x0123456789abcdef0123456789abcdef",
    "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://k\",KEYFORMAT=\"com.apple.streamingkeydelivery\"",
    "#EXT-X-KEY:METHOD=NONE",
    "#EXTINF:4.004,a title, with commas",
    "#EXTINF:4,",
    "#EXT-X-BYTERANGE:1000@500",
    "#EXT-X-BYTERANGE:1000",
    "#EXT-X-PROGRAM-DATE-TIME:2026-11-22T10:00:00.000Z",
    "#EXT-X-GAP",
    "#EXT-X-SKIP:SKIPPED-SEGMENTS=3",
    "#EXT-X-RENDITION-REPORT:URI=\"../a.m3u8\",LAST-MSN=9,LAST-PART=1",
    "#EXT-X-ENDLIST",
    "#EXT-X-I-FRAMES-ONLY",
    "#EXT-X-DEFINE:NAME=\"a\",VALUE=\"x\"",
    "#EXT-X-DEFINE:NAME=\"b\",VALUE=\"{$a}{$a}{$a}{$a}{$a}{$a}{$a}{$a}\"",
    "#EXT-X-DEFINE:IMPORT=\"c\"",
    "#EXT-X-DEFINE:QUERYPARAM=\"token\"",
    "{$a}/{$b}/{$c}.ts",
    "seg.ts",
    "http://[::1]:9/x y.m4s?a=b#c",
    "//other/seg.ts",
    "#EXT-X-STREAM-INF:BANDWIDTH=3000000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,AUDIO=\"a\",FRAME-RATE=25",
    "#EXT-X-STREAM-INF:BANDWIDTH=900000,CODECS=\"hvc1.1.6.L93.B0\",AUDIO=\"b\"",
    "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=99,URI=\"i.m3u8\"",
    "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"en\",DEFAULT=YES,AUTOSELECT=YES,URI=\"en.m3u8\"",
    "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"de\",URI=\"de.m3u8\"",
    "#EXT-X-SESSION-DATA:DATA-ID=\"x\",VALUE=\"y\"",
    "#EXT-X-DATERANGE:ID=\"ad\",START-DATE=\"2026-11-22T10:00:00Z\",DURATION=30",
    "# a comment {$a}",
    "",
];

fn make(random: &mut Random) -> Vec<u8> {
    let mut out = b"#EXTM3U\n".to_vec();
    for _ in 0..random.below(40) {
        let line = pick(random, &LINES).as_bytes();
        match random.below(12) {
            // A number in it becomes another.
            0 | 1 => {
                let digits = line.iter().position(u8::is_ascii_digit);
                let place = digits.unwrap_or(line.len());
                let end =
                    line[place..].iter().position(|b| !b.is_ascii_digit()).map_or(line.len(), |n| place + n);
                out.extend_from_slice(&line[..place]);
                let new = match random.below(4) {
                    0 => format!("-{}", odd(random)),
                    1 => format!("{}e{}", odd(random), random.below(400)),
                    2 => "99999999999999999999999999".to_owned(),
                    _ => odd(random).to_string(),
                };
                out.extend_from_slice(new.as_bytes());
                out.extend_from_slice(&line[end..]);
            }
            2 => out.extend(mutate(random, line, b"{$a}\"=,@")),
            3 => {
                out.extend_from_slice(line);
                out.extend(std::iter::repeat_n(*pick(random, b"{$a\"=,0"), random.below(3000)));
            }
            _ => out.extend_from_slice(line),
        }
        out.extend_from_slice(pick(random, &["\n", "\n", "\n", "\r\n", "\r", " \n"]).as_bytes());
    }
    out
}

#[test]
fn playlists() {
    let base = Url::parse("http://host/live/a.m3u8?token=secret").unwrap();
    let imported = Variables::from([("c".to_owned(), "http://cdn".to_owned())]);
    let (mut media, mut multivariant, mut refused) = (0_u32, 0_u32, 0_u32);
    fuzz(20_000, make, |bytes| {
        let lines = bytes.iter().filter(|byte| [b'\n', b'\r'].contains(byte)).count();
        match parse(&base, bytes, Some(&imported)) {
            Ok((Playlist::Media(list), _)) => {
                media += 1;
                assert!(list.segments.len() <= lines + 1 && list.target_s >= 1);
                assert!(list.segments.iter().all(|s| (0.0..=3600.0).contains(&s.seconds)));
                assert!(list.open.iter().all(|open| !open.parts.is_empty() && open.number == list.next));
            }
            Ok((Playlist::Multivariant(master), _)) => {
                multivariant += 1;
                let _ = choose(&base, &master);
            }
            Err(error) => {
                refused += 1;
                let text = error.to_string();
                assert!(text.len() > 20 && !text.contains("secret"), "{text}");
            }
        }
        // Addresses are made absolute, and a line of three bytes becomes a segment; a variable may stand for more than
        // its name.
        lines * 2000 + 16 * bytes.len()
    });
    assert!(media > 1000 && multivariant > 100 && refused > 1000, "{media}, {multivariant}, {refused}");
}
