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
            groups(&mut text, "", subtitles);
            let _ = write!(text, "\n{}/index.m3u8\n", info.name);
        }
        return text;
    }
    let sounds = sound_groups(&audio);
    for sound in &sounds {
        audio_group(&mut text, sound);
    }
    // The same pictures once for each coding of the sound, with that one first which every player has.
    let silent = [Sound { group: String::new(), members: Vec::new() }];
    for sound in if sounds.is_empty() { &silent[..] } else { &sounds } {
        let peak = sound.members.iter().map(|(_, a)| a.rates.peak).max().unwrap_or(0);
        let average = sound.members.iter().map(|(_, a)| a.rates.average).max().unwrap_or(0);
        for Variant { info, rates, .. } in &video {
            let both = Rates { peak: rates.peak + peak, average: rates.average + average };
            // All that the group has, each once.
            let mut codecs = info.codecs.clone();
            for (at, (_, member)) in sound.members.iter().enumerate() {
                let before = sound.members.iter().take(at);
                if !before.into_iter().any(|(_, known)| known.info.codecs == member.info.codecs) {
                    let _ = write!(codecs, ",{}", member.info.codecs);
                }
            }
            stream_inf(&mut text, both, &codecs);
            picture(&mut text, info);
            let (frames, seconds) = info.frame_rate;
            if frames > 0 {
                let _ = write!(text, ",FRAME-RATE={:.3}", f64::from(frames) / f64::from(seconds.max(1)));
            }
            groups(&mut text, &sound.group, subtitles);
            let _ = write!(text, "\n{}/index.m3u8\n", info.name);
        }
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

fn groups(text: &mut String, audio: &str, subtitles: &[Subtitles]) {
    if !audio.is_empty() {
        let _ = write!(text, ",AUDIO=\"{audio}\"");
    }
    if !subtitles.is_empty() {
        text.push_str(",SUBTITLES=\"text\"");
    }
}

/// A group of sound: every choice that there is, each under its name.
struct Sound<'a> {
    group: String,
    members: Vec<(&'a str, &'a Variant<'a>)>,
}

/// One group for each coding of the main sound. All offer the same choices (RFC 8216bis, section 4.4.6.1.1): what is not
/// there in a group's coding is in it as it is.
fn sound_groups<'a>(audio: &[&'a Variant<'a>]) -> Vec<Sound<'a>> {
    let coded = audio.iter().filter_map(|sound| Some((sound.info.coding()?, *sound)));
    let coded: Vec<_> =
        coded.filter(|((main, _), _)| audio.iter().any(|sound| sound.info.name == *main)).collect();
    let alone = |sound: &&&Variant<'_>| !coded.iter().any(|(_, other)| other.info.name == sound.info.name);
    let members: Vec<_> =
        audio.iter().filter(alone).map(|sound| (sound.info.name.as_str(), *sound)).collect();
    if members.is_empty() {
        return Vec::new();
    }
    let mut all = vec![Sound { group: "audio".to_owned(), members }];
    for ((_, coding), _) in &coded {
        let group = format!("audio-{coding}");
        if all.iter().any(|known| known.group == group) {
            continue;
        }
        let in_coding = |name: &str| coded.iter().find(|(of, _)| *of == (name, *coding)).map(|(_, v)| *v);
        let members = all.first().into_iter().flat_map(|main| main.members.iter());
        let members = members.map(|(name, sound)| (*name, in_coding(name).unwrap_or(sound))).collect();
        all.push(Sound { group, members });
    }
    all
}

fn audio_group(text: &mut String, sound: &Sound<'_>) {
    for (index, (name, Variant { info, .. })) in sound.members.iter().enumerate() {
        let default = if index == 0 { "YES" } else { "NO" };
        let _ = write!(text, "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{}\",NAME=\"{name}\",", sound.group);
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
            language: None,
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
            language: None,
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
    fn sound_in_another_coding_is_a_group_with_variants_of_its_own() {
        let (low, sound) = (video("360p", 360, 750_000), audio());
        let german = RenditionInfo { name: "audio-de".into(), ..audio() };
        let opus = RenditionInfo { name: "audio_opus".into(), codecs: "opus".into(), ..audio() };
        let variants = [
            variant(&low, 900_000, 700_000),
            variant(&sound, 130_000, 128_000),
            variant(&german, 130_000, 128_000),
            variant(&opus, 100_000, 96_000),
        ];
        let text = playlist(&variants, &[], true);
        let parsed = m3u8_rs::parse_master_playlist_res(text.as_bytes()).unwrap();
        let media = |group: &str| -> Vec<_> {
            let of_group = parsed.alternatives.iter().filter(|a| a.group_id == group);
            of_group.map(|a| (a.name.as_str(), a.uri.as_deref().unwrap())).collect()
        };
        assert_eq!(
            media("audio"),
            [("audio", "audio/index.m3u8"), ("audio-de", "audio-de/index.m3u8")],
            "what every player has"
        );
        assert_eq!(
            media("audio-opus"),
            [("audio", "audio_opus/index.m3u8"), ("audio-de", "audio-de/index.m3u8")],
            "the same choices"
        );
        let variants: Vec<_> = parsed
            .variants
            .iter()
            .map(|v| (v.uri.as_str(), v.codecs.as_deref().unwrap(), v.audio.as_deref().unwrap()))
            .collect();
        let uri = "360p/index.m3u8";
        assert_eq!(
            variants,
            [(uri, "avc1.64001f,mp4a.40.2", "audio"), (uri, "avc1.64001f,opus,mp4a.40.2", "audio-opus")]
        );
    }

    #[test]
    fn the_language_of_the_only_sound_is_told_too() {
        let (low, sound) =
            (video("360p", 360, 750_000), RenditionInfo { language: Some("pt-br".into()), ..audio() });
        let text = playlist(&[variant(&low, 1, 1), variant(&sound, 1, 1)], &[], true);
        assert!(text.contains("NAME=\"audio\",LANGUAGE=\"pt-br\",DEFAULT=YES,"), "{text}");
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
