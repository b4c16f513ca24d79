//! What a job decided before its first segment, kept beside the segments so that a resumed job decides the
//! same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::JobError;
use super::own_sound::OwnSound;
use super::place::Place;
use crate::ingest::{SourceSpec, TestCardSpec};
use crate::ladder::{
    AudioEncoderKind, MediaInfo, Profile, Rung, SoundTrack, SourceIndex, Timeline, VideoEncoderKind,
};
use crate::package::AudioCodec;
use crate::store::{StreamStore, write_atomic};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) source: SourceSpec,
    pub(super) profile: Profile,
    pub(super) frame_rate: (u32, u32),
    /// The file's time that is the stream's 0, in nanoseconds.
    pub(super) origin_ns: i64,
    pub(super) duration_ns: Option<u64>,
    /// Lowest first; empty without video. A rung's place is its number on the test card.
    pub(super) rungs: Vec<Rung>,
    /// Rungs whose encoder died; they stay out.
    pub(super) retired: Vec<String>,
    /// Size of the pictures as they are shown; none without video.
    #[serde(default)]
    pub(super) shown: Option<(u32, u32)>,
    pub(super) video_encoder: VideoEncoderKind,
    /// `None` without audio.
    pub(super) audio_encoder: Option<AudioEncoderKind>,
    /// Language of the encoded sound (RFC 5646), where the source tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) language: Option<String>,
    /// The source is a rung of its own.
    #[serde(default)]
    pub(super) source_rung: Option<SourceRung>,
    /// The source's own sound, where it passes through. One named [`AUDIO`] stands in the place of the encoded one.
    #[serde(default)]
    pub(super) own_sound: Vec<OwnSound>,
}

/// What is known of a source that passes through.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SourceRung {
    /// Where segments begin, in nanoseconds of the stream, the first at 0: at key frames of closed GOPs.
    pub(super) cuts: Vec<u64>,
    /// End of the last picture, in nanoseconds of the stream.
    pub(super) end_ns: u64,
    /// Average bitrate in bit/s.
    pub(super) bandwidth: u64,
    /// Ticks that composition offsets are raised by, for none to be negative. 0 in plans that know nothing of it:
    /// their streams have an init segment already, which says so.
    #[serde(default)]
    pub(super) delay: u32,
    /// Pictures a second, where they are more than those of the encoded rungs.
    #[serde(default)]
    pub(super) fast: Option<(u32, u32)>,
}

/// Name of the source's rendition.
pub(super) const SOURCE: &str = "source";

/// Name of the audio rendition.
pub(super) const AUDIO: &str = "audio";
const FILE: &str = "plan.json";
/// Sound passes through when it takes at most so many times what the profile asks for.
const MOST_TIMES_WISHED: u64 = 2;

impl Plan {
    /// The plan of an earlier run for the same source.
    pub(super) fn load(stream: &dyn Place, source: &SourceSpec) -> Result<Option<Self>, JobError> {
        let path = stream.folder().join(FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(JobError::Other(format!("cannot read {}: {error}", path.display()))),
        };
        match serde_json::from_slice::<Self>(&text) {
            Ok(plan) if plan.source == *source => Ok(Some(plan)),
            _ if stream.is_empty() => Ok(None),
            _ => Err(JobError::Other(
                "the stream's segments come from another source; delete the stream and create it again"
                    .to_owned(),
            )),
        }
    }

    pub(super) fn save(&self, stream: &dyn Place) -> Result<(), JobError> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| JobError::Other(e.to_string()))?;
        Ok(write_atomic(&stream.folder().join(FILE), &text)?)
    }

    pub(super) fn for_card(
        card: &TestCardSpec,
        profile: &Profile,
        encoders: &[VideoEncoderKind],
    ) -> Result<Self, JobError> {
        let (width, height) = card.size();
        let timeline = Timeline::new(profile.segment_ms, profile.gop_ms, card.frame_rate);
        let frames = timeline.frame_at(card.duration_ms * 1_000_000).max(1);
        Ok(Self {
            source: SourceSpec::TestCard(card.clone()),
            profile: profile.clone(),
            frame_rate: card.frame_rate,
            origin_ns: 0,
            duration_ns: Some(timeline.frame_ns(frames)),
            rungs: profile.ladder_for(width, height),
            retired: Vec::new(),
            shown: Some((width, height)),
            video_encoder: VideoEncoderKind::first_of(encoders)?,
            audio_encoder: card.audio.then(AudioEncoderKind::installed).transpose()?,
            language: None,
            source_rung: None,
            own_sound: Vec::new(),
        })
    }

    pub(super) fn for_file(
        source: &SourceSpec,
        profile: &Profile,
        info: &MediaInfo,
        encoders: &[VideoEncoderKind],
    ) -> Result<Self, JobError> {
        let starts = info.video.iter().map(|v| v.first_ns).chain(info.audio.iter().map(|a| a.first_ns));
        let origin_ns = starts.min().unwrap_or(0);
        Ok(Self {
            source: source.clone(),
            profile: profile.clone(),
            // Without video nothing but the segment length counts.
            frame_rate: info.video.map_or((25, 1), |video| video.frame_rate),
            origin_ns,
            duration_ns: info
                .duration_ns
                .map(|d| d.saturating_sub(origin_ns.max(0) as u64))
                .filter(|d| *d > 0),
            rungs: info.video.map_or_else(Vec::new, |video| profile.ladder_for(video.width, video.height)),
            retired: Vec::new(),
            shown: info.video.map(|video| (video.width, video.height)),
            video_encoder: VideoEncoderKind::first_of(encoders)?,
            audio_encoder: info.audio.map(|_| AudioEncoderKind::installed()).transpose()?,
            language: info.language.clone(),
            source_rung: None,
            own_sound: Vec::new(),
        })
    }

    /// Makes the source a rung where it can be cut, and leaves out the rungs that it replaces: those that are not
    /// clearly smaller, or would take more bits than the source does. The error says why it cannot.
    pub(super) fn pass_through(&mut self, index: &SourceIndex) -> Result<(), String> {
        let (width, height) = (index.format.width, index.format.height);
        let cuts = index.cuts(self.origin_ns, self.profile.segment_ms, self.duration_ns)?;
        let end_ns = (index.end_ns - self.origin_ns).max(1) as u64;
        let bandwidth = index.bandwidth();
        // Not every player has another codec, or more than 8 bits in 4:2:0: then the encoded rungs stay as they are.
        if index.format.plays_everywhere() {
            let lines = width.min(height);
            self.rungs.retain(|rung| {
                rung.width.min(rung.height) * 10 <= lines * 9 && u64::from(rung.kbps) * 1100 < bandwidth
            });
        }
        self.source_rung = Some(SourceRung { cuts, end_ns, bandwidth, delay: index.delay, fast: index.fast });
        Ok(())
    }

    /// Makes tracks of sound renditions as they are: the first in the place of the encoded one where that would be the same,
    /// beside it where it has more channels or another coding than AAC, which not every player has; others beside that.
    /// Gives for each of them that stays out, by its place, why.
    pub(super) fn pass_sound(&mut self, tracks: &[Result<SoundTrack, String>]) -> Vec<(usize, String)> {
        let mut out = Vec::new();
        let pictures =
            self.source_rung.as_ref().map(|rung| (rung.end_ns, rung.cuts.last().copied().unwrap_or(0)));
        for (at, track) in tracks.iter().enumerate() {
            let found = track.as_ref().map_err(Clone::clone).and_then(|track| {
                if self.has_video() && pictures.is_none() {
                    return Err("the pictures do not pass through, and segments begin together".to_owned());
                }
                let aac = track.codec == AudioCodec::Aac;
                if !aac && at > 0 {
                    return Err(
                        "not every player has its coding, and only the first is encoded beside it".to_owned()
                    );
                }
                if !self.has_video() && (at > 0 || track.channels > 2 || !aac) {
                    return Err(
                        "there are no pictures to keep several renditions of sound together".to_owned()
                    );
                }
                let most = u64::from(self.profile.audio_kbps) * 1000 * MOST_TIMES_WISHED;
                if at == 0 && aac && track.channels <= 2 && track.bandwidth() > most {
                    return Err(format!(
                        "it takes {} kbit/s, and the profile asks for {}",
                        track.bandwidth() / 1000,
                        self.profile.audio_kbps
                    ));
                }
                OwnSound::of(track, self.origin_ns, pictures).map(|sound| (track, sound))
            });
            match found {
                Ok((track, mut sound)) => {
                    if let Some(coding) = coding_of(track.codec) {
                        sound.name = format!("{AUDIO}_{coding}");
                    } else if at == 0 && track.channels <= 2 {
                        self.audio_encoder = None;
                    } else {
                        sound.name = self.name_beside(track);
                    }
                    self.own_sound.push(sound);
                }
                Err(why) => out.push((at, why)),
            }
        }
        out
    }

    /// A name for sound beside the main one that tells its language and whether it is surround: `audio-de`, `audio_6ch`.
    fn name_beside(&self, track: &SoundTrack) -> String {
        let language = track.language.as_deref().map_or_else(String::new, |tag| format!("-{tag}"));
        let channels = if track.channels > 2 { format!("_{}ch", track.channels) } else { String::new() };
        let name = format!("{AUDIO}{language}{channels}");
        let taken = |name: &str| name == AUDIO || self.own_sound.iter().any(|known| known.name == name);
        let numbered = || (2..100).map(|n| format!("{name}_{n}")).find(|name| !taken(name));
        if taken(&name) { numbered().unwrap_or(name) } else { name }
    }

    /// The stream has sound.
    pub(super) fn has_sound(&self) -> bool {
        self.audio_encoder.is_some() || !self.own_sound.is_empty()
    }

    pub(super) fn timeline(&self) -> Timeline {
        let timeline = Timeline::new(self.profile.segment_ms, self.profile.gop_ms, self.frame_rate);
        match &self.source_rung {
            Some(source) => timeline.cut_at(&source.cuts),
            None => timeline,
        }
    }

    /// The stream has pictures.
    pub(super) fn has_video(&self) -> bool {
        self.source_rung.is_some() || !self.rungs.is_empty()
    }

    /// Rungs that are still part of the stream, with their places.
    pub(super) fn active_rungs(&self) -> Vec<(u32, Rung)> {
        let numbered = (0..).zip(self.rungs.iter().cloned());
        numbered.filter(|(_, rung)| !self.retired.contains(&rung.name)).collect()
    }

    /// Names of all renditions.
    pub(super) fn names(&self) -> Vec<String> {
        let video = self.active_rungs().into_iter().map(|(_, rung)| rung.name);
        let source = self.source_rung.is_some().then(|| SOURCE.to_owned());
        let own = self.own_sound.iter().map(|sound| sound.name.clone());
        video.chain(source).chain(self.audio_encoder.map(|_| AUDIO.to_owned())).chain(own).collect()
    }
}

/// What the name of a rendition of the main sound in another coding than AAC ends in.
fn coding_of(codec: AudioCodec) -> Option<&'static str> {
    match codec {
        AudioCodec::Aac => None,
        AudioCodec::Opus => Some("opus"),
        AudioCodec::Ac3 => Some("ac3"),
        AudioCodec::Eac3 => Some("eac3"),
    }
}

/// Which element encodes which rendition of a packaged stream, as far as its plan tells. Touches the disk.
pub(crate) fn encoders(stream: &StreamStore) -> BTreeMap<String, &'static str> {
    let plan = std::fs::read(stream.folder().join(FILE)).ok();
    let Some(plan) = plan.and_then(|text| serde_json::from_slice::<Plan>(&text).ok()) else {
        return BTreeMap::new();
    };
    let video = plan.video_encoder.element();
    let rungs = plan.rungs.iter().map(|rung| (rung.name.clone(), video));
    let source = plan.source_rung.iter().map(|_| (SOURCE.to_owned(), "copy"));
    let sound = plan.audio_encoder.iter().map(|kind| (AUDIO.to_owned(), kind.element()));
    let own = plan.own_sound.iter().map(|sound| (sound.name.clone(), "copy"));
    rungs.chain(source).chain(sound).chain(own).collect()
}
