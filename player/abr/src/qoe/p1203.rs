//! The input of ITU-T P.1203 in mode 0 (metadata only) as JSON, for whoever holds an implementation. None is part of this
//! project: the public one may not be used commercially, and patents apply.

use super::Session;

/// A report in the form that implementations of the standard read.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct P1203 {
    /// Audio segments.
    #[cfg_attr(feature = "serde", serde(rename = "I11"))]
    pub audio: P1203Stream,
    /// Video segments.
    #[cfg_attr(feature = "serde", serde(rename = "I13"))]
    pub video: P1203Stream,
    /// Stalls.
    #[cfg_attr(feature = "serde", serde(rename = "I23"))]
    pub stalling: Stalling,
    /// How it was watched.
    #[cfg_attr(feature = "serde", serde(rename = "IGen"))]
    pub viewing: Viewing,
}

/// The segments of one stream.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "camelCase"))]
pub struct P1203Stream {
    /// Any number.
    pub stream_id: u32,
    /// In order of playback.
    pub segments: Vec<P1203Segment>,
}

/// One segment; times in seconds of media as it was played, bitrates in kbit/s.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct P1203Segment {
    /// `h264`, `aaclc` ...
    pub codec: String,
    /// Average bitrate.
    pub bitrate: f64,
    /// When it was shown, stalls left out.
    pub start: f64,
    /// How long it played.
    pub duration: f64,
    /// Frames per second; video only.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub fps: Option<f64>,
    /// `1280x720`; video only.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub resolution: Option<String>,
}

/// Stalls as [media time, seconds]; start-up is a stall at 0.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "camelCase"))]
pub struct Stalling {
    /// Any number.
    pub stream_id: u32,
    /// Media time and length.
    pub stalling: Vec<[f64; 2]>,
}

/// How it was watched.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "camelCase"))]
pub struct Viewing {
    /// `pc` or `mobile`.
    pub device: String,
    /// `1920x1080`.
    pub display_size: String,
    /// `150cm`.
    pub viewing_distance: String,
}

/// The longest session that the standard covers, in seconds.
const LONGEST_S: f64 = 300.0;

impl P1203 {
    /// Of a session's first five minutes at most. `fps` is the stream's, `audio_kbps` that of its sound.
    pub fn of(session: &Session, fps: f64, audio_kbps: f64) -> Self {
        let mut video = Vec::new();
        let mut time = 0.0;
        // From stretch to stretch: where it was on the presentation timeline does not matter, when it was shown does.
        let mut shown = Vec::new();
        for played in &session.played {
            if time >= LONGEST_S {
                break;
            }
            let duration = played.duration_s.min(LONGEST_S - time);
            let height = session.heights.get(played.rung.0).copied().flatten().unwrap_or(720);
            let width = (f64::from(height) * 16.0 / 9.0 / 2.0).round() * 2.0;
            video.push(P1203Segment {
                codec: "h264".to_owned(),
                bitrate: played.kbps,
                start: time,
                duration,
                fps: Some(fps),
                resolution: Some(format!("{width:.0}x{height}")),
            });
            shown.push((played.start_s, time));
            time += duration;
        }
        let startup = session.startup_ms.map(|ms| [0.0, ms / 1000.0]);
        let stalls = session.stalls.iter().map(|stall| {
            let place = shown.iter().rev().find(|(start_s, _)| *start_s <= stall.pos_s);
            [place.map_or(0.0, |(start_s, at)| at + stall.pos_s - start_s), stall.ms / 1000.0]
        });
        let audio = P1203Segment {
            codec: "aaclc".to_owned(),
            bitrate: audio_kbps,
            start: 0.0,
            duration: time,
            fps: None,
            resolution: None,
        };
        Self {
            audio: P1203Stream { stream_id: 1, segments: vec![audio] },
            video: P1203Stream { stream_id: 2, segments: video },
            stalling: Stalling {
                stream_id: 2,
                stalling: startup.into_iter().chain(stalls).filter(|[at, _]| *at <= time).collect(),
            },
            viewing: Viewing {
                device: "pc".to_owned(),
                display_size: "1920x1080".to_owned(),
                viewing_distance: "150cm".to_owned(),
            },
        }
    }
}
