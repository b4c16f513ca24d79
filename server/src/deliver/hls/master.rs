//! The multivariant playlist (RFC 8216bis, section 4.4.6).

use std::fmt::Write as _;

use crate::deliver::rates::Rates;
use crate::store::{RenditionInfo, TrackKind};

/// A rendition with the rates that it announces.
#[derive(Debug)]
pub struct Variant<'a> {
    /// What it is.
    pub info: &'a RenditionInfo,
    /// Its own rates, without those of another track.
    pub rates: Rates,
    /// Peak of its key frames alone in bit/s, where it has an I-frame playlist.
    pub key_frame_peak: Option<u64>,
}

/// Subtitles beside the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subtitles {
    /// Name in paths.
    pub name: String,
    /// Language, RFC 5646.
    pub language: String,
    /// Name for people.
    pub label: String,
    /// Shown without being asked for.
    pub default: bool,
    /// Name of its file in the folder of its name.
    pub file: String,
}

/// The playlist: a variant per video rendition, all with the audio and subtitle groups that there are. `independent` says
/// that every segment there is and will be can be decoded without the one before it.
pub fn playlist(variants: &[Variant<'_>], subtitles: &[Subtitles], independent: bool) -> String {
    let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:7\n");
    if independent {
        text.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    }
    let of_kind = |kind| variants.iter().filter(move |v| v.info.kind == kind);
    let audio: Vec<_> = of_kind(TrackKind::Audio).collect();
    let video: Vec<_> = of_kind(TrackKind::Video).collect();
    subtitle_group(&mut text, subtitles);
    if video.is_empty() {
        for Variant { info, rates, .. } in &audio {
            stream_inf(&mut text, *rates, &info.codecs);
            groups(&mut text, &[], subtitles);
            let _ = write!(text, "\n{}/index.m3u8\n", info.name);
        }
        return text;
    }
    audio_group(&mut text, &audio);
    let audio_peak = audio.iter().map(|a| a.rates.peak).max().unwrap_or(0);
    let audio_average = audio.iter().map(|a| a.rates.average).max().unwrap_or(0);
    for Variant { info, rates, .. } in &video {
        let both = Rates { peak: rates.peak + audio_peak, average: rates.average + audio_average };
        // All that the group has, each once.
        let mut codecs = info.codecs.clone();
        for (at, sound) in audio.iter().enumerate() {
            if !audio.iter().take(at).any(|before| before.info.codecs == sound.info.codecs) {
                let _ = write!(codecs, ",{}", sound.info.codecs);
            }
        }
        stream_inf(&mut text, both, &codecs);
        picture(&mut text, info);
        let (frames, seconds) = info.frame_rate;
        if frames > 0 {
            let _ = write!(text, ",FRAME-RATE={:.3}", f64::from(frames) / f64::from(seconds.max(1)));
        }
        groups(&mut text, &audio, subtitles);
        let _ = write!(text, "\n{}/index.m3u8\n", info.name);
    }
    let mut first = true;
    for Variant { info, key_frame_peak, .. } in &video {
        let Some(peak) = key_frame_peak else { continue };
        text.push_str(if std::mem::take(&mut first) { "\n" } else { "" });
        let _ = write!(text, "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={peak},CODECS=\"{}\"", info.codecs);
        picture(&mut text, info);
        let _ = writeln!(text, ",URI=\"{}/iframes.m3u8\"", info.name);
    }
    text
}

fn stream_inf(text: &mut String, Rates { peak, average }: Rates, codecs: &str) {
    let _ =
        write!(text, "\n#EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average},CODECS=\"{codecs}\"");
}

fn picture(text: &mut String, info: &RenditionInfo) {
    if info.width > 0 && info.height > 0 {
        let _ = write!(text, ",RESOLUTION={}x{}", info.width, info.height);
    }
}

fn groups(text: &mut String, audio: &[&Variant<'_>], subtitles: &[Subtitles]) {
    if !audio.is_empty() {
        text.push_str(",AUDIO=\"audio\"");
    }
    if !subtitles.is_empty() {
        text.push_str(",SUBTITLES=\"text\"");
    }
}

fn audio_group(text: &mut String, audio: &[&Variant<'_>]) {
    for (index, Variant { info, .. }) in audio.iter().enumerate() {
        let default = if index == 0 { "YES" } else { "NO" };
        let _ = write!(text, "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"{}\",", info.name);
        if let Some(language) = info.language() {
            let _ = write!(text, "LANGUAGE=\"{language}\",");
        }
        let _ = writeln!(
            text,
            "DEFAULT={default},AUTOSELECT=YES,CHANNELS=\"{}\",URI=\"{}/index.m3u8\"",
            info.channels, info.name
        );
    }
}

fn subtitle_group(text: &mut String, subtitles: &[Subtitles]) {
    for Subtitles { name, language, label, default, .. } in subtitles {
        let default = if *default { "YES" } else { "NO" };
        let _ = writeln!(
            text,
            "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"text\",NAME=\"{}\",LANGUAGE=\"{}\",DEFAULT={default},AUTOSELECT=YES,\
             FORCED=NO,URI=\"{name}/index.m3u8\"",
            quotable(label),
            quotable(language)
        );
    }
}

/// A quoted string holds no quotation mark and no line break (section 4.2).
fn quotable(text: &str) -> String {
    text.chars().map(|c| if c == '"' { '\'' } else { c }).filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(name: &str, height: u32, bandwidth: u64) -> RenditionInfo {
        RenditionInfo {
            name: name.into(),
            kind: TrackKind::Video,
            codecs: "avc1.64001f".into(),
            width: height * 16 / 9,
            height,
            frame_rate: (30_000, 1001),
            sample_rate: 0,
            channels: 0,
            bandwidth,
            timescale: 90_000,
        }
    }

    fn audio() -> RenditionInfo {
        RenditionInfo {
            name: "audio".into(),
            kind: TrackKind::Audio,
            codecs: "mp4a.40.2".into(),
            width: 0,
            height: 0,
            frame_rate: (0, 1),
            sample_rate: 48_000,
            channels: 2,
            bandwidth: 128_000,
            timescale: 48_000,
        }
    }

    fn variant(info: &RenditionInfo, peak: u64, average: u64) -> Variant<'_> {
        Variant { info, rates: Rates { peak, average }, key_frame_peak: None }
    }

    #[test]
    fn a_variant_announces_picture_and_sound_together() {
        let (low, high, sound) = (video("360p", 360, 750_000), video("720p", 720, 2_800_000), audio());
        let text = playlist(
            &[
                Variant { key_frame_peak: Some(120_000), ..variant(&low, 900_000, 700_000) },
                variant(&high, 3_000_000, 2_700_000),
                variant(&sound, 130_000, 128_500),
            ],
            &[],
            true,
        );
        assert_eq!(
            text,
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"audio\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"audio/index.m3u8\"\n\
             \n#EXT-X-STREAM-INF:BANDWIDTH=1030000,AVERAGE-BANDWIDTH=828500,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=640x360,FRAME-RATE=29.970,AUDIO=\"audio\"\n360p/index.m3u8\n\
             \n#EXT-X-STREAM-INF:BANDWIDTH=3130000,AVERAGE-BANDWIDTH=2828500,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO=\"audio\"\n720p/index.m3u8\n\
             \n#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=120000,CODECS=\"avc1.64001f\",RESOLUTION=640x360,URI=\"360p/iframes.m3u8\"\n"
        );
    }

    #[test]
    fn it_parses_elsewhere_with_subtitles_and_i_frames() {
        let (low, sound) = (video("360p", 360, 750_000), audio());
        let subtitles = [Subtitles {
            name: "text-de".into(),
            language: "de".into(),
            label: "Deutsch \"plus\"\n".into(),
            default: false,
            file: "1-k.vtt".into(),
        }];
        let variants = [
            Variant { key_frame_peak: Some(99_000), ..variant(&low, 900_000, 700_000) },
            variant(&sound, 130_000, 128_000),
        ];
        let text = playlist(&variants, &subtitles, true);
        let parsed = m3u8_rs::parse_master_playlist_res(text.as_bytes()).unwrap();
        let groups: Vec<_> = parsed.variants.iter().map(|v| (v.is_i_frame, v.subtitles.as_deref())).collect();
        assert_eq!(groups, [(false, Some("text")), (true, None)]);
        let names: Vec<_> = parsed.alternatives.iter().map(|a| (a.name.as_str(), a.uri.as_deref())).collect();
        assert!(names.contains(&("Deutsch 'plus'", Some("text-de/index.m3u8"))), "{names:?}");
        let parsed = broadcast_hls::MasterPlaylist::parse(&text).unwrap();
        assert_eq!(parsed.variants.len(), 1);
    }

    #[test]
    fn a_stream_without_sound_has_no_audio_group() {
        let low = video("360p", 360, 750_000);
        let text = playlist(&[variant(&low, 1, 1)], &[], true);
        assert!(!text.contains("AUDIO") && text.contains("CODECS=\"avc1.64001f\""), "{text}");
    }

    #[test]
    fn a_stream_of_sound_alone_is_a_variant() {
        let sound = audio();
        let text = playlist(&[variant(&sound, 1, 1)], &[], false);
        assert!(text.contains("CODECS=\"mp4a.40.2\"\naudio/index.m3u8"), "{text}");
        assert!(!text.contains("FRAME-RATE") && !text.contains("RESOLUTION"));
        assert!(!text.contains("INDEPENDENT"), "what is not known is not said");
    }
}
