use super::{
    cue::{Align, Anchor, Line, Span, Vertical},
    document::{Clock, Timed, Unreadable, read},
};

const MS: i64 = 1_000_000;

fn cues(text: &str) -> Vec<Timed> {
    read(None, text.as_bytes()).unwrap().cues
}

fn texts(text: &str) -> Vec<String> {
    cues(text).iter().map(|cue| cue.spans.iter().map(|span| span.text.as_str()).collect()).collect()
}

#[test]
fn reads_cues_with_names_notes_styles_and_any_line_end() {
    let text = "\u{feff}WEBVTT - of a film\r\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:01.500\r\n\r\nSTYLE\r\n::cue { color: red }\r\n\r\n\
        NOTE\r\nnot shown\r\n\r\nfirst\r\n00:01.000 --> 00:00:02.250\r\none\r\ntwo\r\n\r\n\r\n1:00:03.000 --> 1:00:04.000\nthree";
    let document = read(None, text.as_bytes()).unwrap();
    assert_eq!(document.clock, Clock::Mapped(8_500 * MS));
    let times: Vec<_> = document.cues.iter().map(|cue| (cue.start / MS, cue.end / MS)).collect();
    assert_eq!(times, [(1000, 2250), (3_603_000, 3_604_000)]);
    assert_eq!(texts(text), ["one\ntwo", "three"]);
}

#[test]
fn what_is_wrong_costs_its_cue_only() {
    let text = "WEBVTT\n\n00:01.000 -> 00:02.000\nno arrow\n\n00:99.000 --> 00:02.000\nno such second\n\n\
        00:05.000 --> 00:04.000\nbackwards\n\n00:06.000 --> 00:07.000 line:abc size:-5% align:up\nstays\n\
        00:08.000 --> 00:09.000\nno empty line before\n\n00:10.000 --> 00:11.000\n \n<i></i>\n";
    assert_eq!(texts(text), ["stays", "no empty line before"]);
    assert!(matches!(read(None, b"WEBVTTX\n"), Err(Unreadable::Syntax(1, _))));
    assert!(matches!(read(None, b"WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:soon\n"), Err(Unreadable::Syntax(2, _))));
    assert_eq!(read(None, b"<html>"), Err(read(None, b"<html>").unwrap_err()));
    assert_eq!(read(None, b"hello"), Err(Unreadable::Unknown));
    assert!(cues("WEBVTT").is_empty());
    assert!(read(None, b"").unwrap().cues.is_empty(), "nothing is said");
}

#[test]
fn tags_and_entities_become_looks_and_characters() {
    let spans = |text: &str| cues(&format!("WEBVTT\n\n00:01.000 --> 00:02.000\n{text}\n")).remove(0).spans;
    let plain = |text: &str| Span { text: text.into(), ..Span::default() };
    assert_eq!(
        spans("a <i>b <b>c</b></i> d"),
        [
            plain("a "),
            Span { italic: true, ..plain("b ") },
            Span { italic: true, bold: true, ..plain("c") },
            plain(" d"),
        ]
    );
    assert_eq!(
        spans("<c.yellow.bg_blue>x</c>y"),
        [Span { colour: Some([255, 255, 0]), background: Some([0, 0, 255]), ..plain("x") }, plain("y"),]
    );
    assert_eq!(
        spans("&lt;&amp;&gt; &#65;&#x1F600; &unknown; R&D &"),
        [plain("<&> A\u{1F600} &unknown; R&D &")]
    );
    assert_eq!(spans("<v Ann Lee>hi</v> <00:01.500>now"), [plain("hi now")]);
    assert_eq!(spans("<ruby>漢<rt>kan</rt></ruby>字"), [plain("漢字")]);
    assert_eq!(spans("<i>never closed"), [Span { italic: true, ..plain("never closed") }]);
    assert_eq!(spans("</b>a<b"), [plain("a")]);
    assert_eq!(spans("שלום &rlm;עולם 🎬"), [plain("שלום \u{200f}עולם 🎬")]);
}

#[test]
fn style_blocks_say_how_cues_tags_classes_and_voices_look() {
    let head = "WEBVTT\n\nSTYLE\n::cue { color: #fc0; background-color: rgba(0,0,0,0) }\n/* ::cue { color: red } */\n\
        ::cue(b), ::cue(.loud) { font-weight: bold; color: rgb(1, 2, 3) }\n\
        ::cue(v[voice=\"Ann\"]) { font-style: italic }\n::cue(#last) { text-decoration: underline }\n\
        ::cue(:past) { color: blue }\n::cue(i) { font-style: normal; colour: x }\n\n";
    let spans = |id: &str, text: &str| {
        cues(&format!("{head}{id}\n00:01.000 --> 00:02.000\n{text}\n")).remove(0).spans
    };
    let own = |text: &str| Span { text: text.into(), colour: Some([255, 204, 0]), ..Span::default() };
    assert_eq!(spans("first", "a"), [own("a")]);
    assert_eq!(spans("last", "a"), [Span { underline: true, ..own("a") }]);
    let bold = Span { bold: true, colour: Some([1, 2, 3]), ..own("b") };
    assert_eq!(spans("x", "a<b>b</b>"), [own("a"), bold.clone()]);
    assert_eq!(spans("x", "<c.loud.x>b</c>a"), [bold, own("a")]);
    assert_eq!(spans("x", "<v Ann>a</v><v Bob>b"), [Span { italic: true, ..own("a") }, own("b")]);
    assert_eq!(spans("x", "<i>a"), [own("a")]);
    // None of it reaches another document, and what cannot be read is left out.
    assert_eq!(
        cues("WEBVTT\n\nSTYLE\n::cue { color: \n} } {\n\n00:01.000 --> 00:02.000\na\n")[0].spans[0].colour,
        None
    );
}

#[test]
fn a_region_says_where_its_cues_stand_unless_they_say_it() {
    let place = |settings: &str| {
        let head =
            "WEBVTT\n\nREGION\nid:left width:40% lines:2\nregionanchor:0%,100% viewportanchor:10%,90%\n\n";
        cues(&format!("{head}00:01.000 --> 00:02.000 {settings}\nx\n")).remove(0).place
    };
    let within = place("region:left align:left");
    assert_eq!((within.line, within.line_anchor), (Some(Line::Part(0.9)), Anchor::End));
    assert_eq!((within.position, within.position_anchor), (Some(0.1), Some(Anchor::Start)));
    assert!((within.size - 0.4).abs() < 1e-6 && within.align == Align::Left);
    assert!((place("region:left").position.unwrap() - 0.3).abs() < 1e-6);
    assert_eq!(place("region:left line:0").line, Some(Line::Number(0)));
    assert_eq!(place("region:right"), place(""));
}

#[test]
fn settings_say_where_a_cue_stands() {
    let place =
        |settings: &str| cues(&format!("WEBVTT\n\n00:01.000 --> 00:02.000 {settings}\nx\n")).remove(0).place;
    let at = place("line:10%,end position:20%,line-left size:50% align:left");
    assert_eq!((at.line, at.line_anchor), (Some(Line::Part(0.1)), Anchor::End));
    assert_eq!((at.position, at.position_anchor), (Some(0.2), Some(Anchor::Start)));
    assert_eq!((at.size, at.align), (0.5, Align::Left));
    assert_eq!(place("line:-2").line, Some(Line::Number(-2)));
    assert_eq!(place("line:0").line, Some(Line::Number(0)));
    assert_eq!(place("line:400% position:nan% size:1e9%"), place(""));
    assert_eq!(place("vertical:rl align:start").vertical, Some(Vertical::RightToLeft));
    assert_eq!(place("vertical:lr").vertical, Some(Vertical::LeftToRight));
    assert_eq!(place("vertical:up").vertical, None);
}

fn wrap(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], name, body].concat()
}

/// The initialization segment of a text track with 1000 ticks a second.
fn init(codec: &[u8; 4]) -> Vec<u8> {
    let mut header = vec![0; 24];
    header[12..16].copy_from_slice(&1000_u32.to_be_bytes());
    let entry = wrap(codec, &[0; 8]);
    let described = wrap(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1][..], &entry].concat());
    let media = [wrap(b"mdhd", &header), wrap(b"minf", &wrap(b"stbl", &described))].concat();
    [wrap(b"ftyp", b"isom"), wrap(b"moov", &wrap(b"trak", &wrap(b"mdia", &media)))].concat()
}

fn fragment(at: u32, samples: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let build = |offset: u32| {
        let mut run = [
            &0x0000_0301_u32.to_be_bytes()[..],
            &(samples.len() as u32).to_be_bytes(),
            &offset.to_be_bytes(),
        ]
        .concat();
        for (duration, bytes) in samples {
            run.extend(duration.to_be_bytes());
            run.extend((bytes.len() as u32).to_be_bytes());
        }
        let traf = [
            wrap(b"tfhd", &[0x00, 0x02, 0, 0, 0, 0, 0, 1]),
            wrap(b"tfdt", &[&[0; 4][..], &at.to_be_bytes()].concat()),
            wrap(b"trun", &run),
        ]
        .concat();
        wrap(b"moof", &wrap(b"traf", &traf))
    };
    let offset = build(0).len() as u32 + 8;
    let bytes: Vec<u8> = samples.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    [build(offset), wrap(b"mdat", &bytes)].concat()
}

#[test]
fn webvtt_in_mp4_is_read_and_a_cue_that_is_cut_is_put_together() {
    let cue =
        |text: &str| wrap(b"vttc", &[wrap(b"sttg", b"line:0"), wrap(b"payl", text.as_bytes())].concat());
    let media = fragment(
        5000,
        &[
            (1000, wrap(b"vtte", b"")),
            (500, cue("<i>long</i>")),
            (500, [cue("<i>long</i>"), cue("short")].concat()),
        ],
    );
    let document = read(Some(&init(b"wvtt")), &media).unwrap();
    assert_eq!(document.clock, Clock::Media);
    let found: Vec<_> =
        document.cues.iter().map(|cue| (cue.start / MS, cue.end / MS, cue.spans[0].text.as_str())).collect();
    assert_eq!(found, [(6000, 7000, "long"), (6500, 7000, "short")]);
    assert!(document.cues[0].spans[0].italic);
    assert_eq!(document.cues[0].place.line, Some(Line::Number(0)));
    for cut in 0..media.len() {
        let _ = read(Some(&init(b"wvtt")), &media[..cut]);
        let mut damaged = media.clone();
        damaged[cut] ^= 0xff;
        let _ = read(Some(&init(b"wvtt")), &damaged);
    }
    assert!(matches!(read(Some(&init(b"c608")), &media), Err(Unreadable::Unsupported(_))));
}

const TTML: &str = r##"<tt xmlns="http://www.w3.org/ns/ttml" xmlns:tts="http://www.w3.org/ns/ttml#styling" xmlns:ttp="http://www.w3.org/ns/ttml#parameter" ttp:frameRate="25">
<head><styling><style xml:id="base" tts:color="#FFFF00FF"/><style xml:id="soft" style="base" tts:fontStyle="italic"/></styling>
<layout><region xml:id="top" tts:origin="10% 5%" tts:extent="80% 20%" tts:textAlign="center"/></layout></head>
<body begin="1s"><div>
<p begin="00:00:01:05" end="00:00:03.5" region="top" style="base">one   <span style="soft">two</span><br/> three </p>
<p begin="4s" dur="500ms">later</p>
<p begin="9s" end="8s">never</p>
</div></body></tt>"##;

#[test]
fn ttml_is_read_with_its_styles_regions_and_clocks() {
    let found = cues(TTML);
    let times: Vec<_> = found.iter().map(|cue| (cue.start / MS, cue.end / MS)).collect();
    assert_eq!(times, [(2200, 4500), (5000, 5500)]);
    assert_eq!(texts(TTML), ["one two\nthree", "later"]);
    assert_eq!(found[0].spans[0].colour, Some([255, 255, 0]));
    assert!(!found[0].spans[0].italic && found[0].spans[1].italic);
    assert_eq!(
        (found[0].place.line, found[0].place.position, found[0].place.size),
        (Some(Line::Part(0.05)), Some(0.1), 0.8)
    );
    assert_eq!(found[1].place.line, None);
}

#[test]
fn ttml_in_mp4_counts_for_the_time_of_its_sample() {
    let media = fragment(2000, &[(1000, TTML.as_bytes().to_vec()), (1500, TTML.as_bytes().to_vec())]);
    let document = read(Some(&init(b"stpp")), &media).unwrap();
    let found: Vec<_> = document.cues.iter().map(|cue| (cue.start / MS, cue.end / MS)).collect();
    assert_eq!(found, [(2200, 4500)]);
    // Times that begin with the sample.
    let media = fragment(600_000, &[(6000, TTML.as_bytes().to_vec())]);
    let document = read(Some(&init(b"stpp")), &media).unwrap();
    assert_eq!(document.cues[0].start / MS, 602_200);
}

#[test]
fn hostile_text_is_bounded_and_never_panics() {
    let deep = format!("WEBVTT\n\n00:01.000 --> 00:02.000\n{}x\n", "<i>".repeat(2000));
    assert_eq!(texts(&deep), ["x"]);
    let long =
        format!("WEBVTT\n\n00:01.000 --> 00:02.000\n{}", format!("{}\n", "y".repeat(4000)).repeat(100));
    assert!(cues(&long)[0].spans[0].text.len() <= super::document::LONGEST_TEXT);
    let many = format!("WEBVTT\n\n{}", "00:01.000 --> 00:02.000\nz\n\n".repeat(60_000));
    assert_eq!(cues(&many).len(), super::document::MOST_CUES);
    let nested = format!(
        "<tt><body>{}<p begin=\"1s\" end=\"2s\">x</p>{}</body></tt>",
        "<div>".repeat(2000),
        "</div>".repeat(2000)
    );
    assert!(cues(&nested).is_empty());
    let wide = format!("<tt {}/>", (0..100_000).map(|n| format!("a{n}=\"\" ")).collect::<String>());
    assert!(read(None, wide.as_bytes()).is_err());
    let samples = ["WEBVTT\n\n00:01.000 --> 00:02.000 line:1\n<c.red>ש</c>🎬&amp;\n", TTML];
    for text in samples {
        let bytes = text.as_bytes();
        for at in 0..bytes.len() {
            let _ = read(None, &bytes[..at]);
            let mut damaged = bytes.to_vec();
            damaged[at] = damaged[at].wrapping_add(13);
            let _ = read(None, &damaged);
        }
    }
}
