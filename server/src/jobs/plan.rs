//! What a job decided before its first segment, kept beside the segments so that a resumed job decides the
//! same.

use serde::{Deserialize, Serialize};

use super::JobError;
use crate::ingest::{SourceSpec, TestCardSpec};
use crate::ladder::{AudioEncoderKind, MediaInfo, Profile, Rung, Timeline, VideoEncoderKind};
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
    pub(super) video_encoder: VideoEncoderKind,
    /// `None` without audio.
    pub(super) audio_encoder: Option<AudioEncoderKind>,
}

/// Name of the audio rendition.
pub(super) const AUDIO: &str = "audio";
const FILE: &str = "plan.json";

impl Plan {
    /// The plan of an earlier run for the same source.
    pub(super) fn load(stream: &StreamStore, source: &SourceSpec) -> Result<Option<Self>, JobError> {
        let path = stream.folder().join(FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(JobError::Other(format!("cannot read {}: {error}", path.display()))),
        };
        match serde_json::from_slice::<Self>(&text) {
            Ok(plan) if plan.source == *source => Ok(Some(plan)),
            _ if stream.renditions().iter().all(|r| r.is_empty()) => Ok(None),
            _ => Err(JobError::Other(
                "the stream's segments come from another source; delete the stream and create it again"
                    .to_owned(),
            )),
        }
    }

    pub(super) fn save(&self, stream: &StreamStore) -> Result<(), JobError> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| JobError::Other(e.to_string()))?;
        Ok(write_atomic(&stream.folder().join(FILE), &text)?)
    }

    pub(super) fn for_card(card: &TestCardSpec, profile: &Profile) -> Result<Self, JobError> {
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
            video_encoder: VideoEncoderKind::installed()?,
            audio_encoder: card.audio.then(AudioEncoderKind::installed).transpose()?,
        })
    }

    pub(super) fn for_file(
        source: &SourceSpec,
        profile: &Profile,
        info: &MediaInfo,
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
            video_encoder: VideoEncoderKind::installed()?,
            audio_encoder: info.audio.map(|_| AudioEncoderKind::installed()).transpose()?,
        })
    }

    pub(super) fn timeline(&self) -> Timeline {
        Timeline::new(self.profile.segment_ms, self.profile.gop_ms, self.frame_rate)
    }

    /// Rungs that are still part of the stream, with their places.
    pub(super) fn active_rungs(&self) -> Vec<(u32, Rung)> {
        let numbered = (0..).zip(self.rungs.iter().cloned());
        numbered.filter(|(_, rung)| !self.retired.contains(&rung.name)).collect()
    }

    /// Names of all renditions.
    pub(super) fn names(&self) -> Vec<String> {
        let video = self.active_rungs().into_iter().map(|(_, rung)| rung.name);
        video.chain(self.audio_encoder.map(|_| AUDIO.to_owned())).collect()
    }
}
