//! Cuts a rendition's access units into segments and stores each as soon as it is whole.

use std::sync::Arc;

use crate::ladder::{EncodedUnit, Rung, Timeline};
use crate::package::{
    AUDIO_TRACK, AudioConfig, Sample, VIDEO_TRACK, VideoConfig, audio_init, media_segment, video_init,
};
use crate::store::{RenditionInfo, TrackKind};

use super::place::Place;
use super::plan::AUDIO;

/// What kind of units come.
#[derive(Debug, Clone)]
pub(super) enum Track {
    Video(Rung, (u32, u32)),
    Audio { kbps: u32, language: Option<String> },
}

/// One rendition's writer.
#[derive(Debug)]
pub(super) struct TrackWriter {
    stream: Arc<dyn Place>,
    timeline: Timeline,
    track: Track,
    name: String,
    /// Segments that an earlier run finished.
    stored: u64,
    registered: bool,
    segment: u64,
    /// Number of the first unit of the segment being filled.
    first: u64,
    last: u64,
    samples: Vec<Sample>,
    failure: Option<String>,
}

impl TrackWriter {
    pub(super) fn new(stream: &Arc<dyn Place>, timeline: Timeline, track: Track) -> Self {
        let name = match &track {
            Track::Video(rung, _) => rung.name.clone(),
            Track::Audio { .. } => AUDIO.to_owned(),
        };
        let stored = stream.stored(&name);
        Self {
            stream: Arc::clone(stream),
            timeline,
            track,
            name,
            stored,
            registered: false,
            segment: 0,
            first: 0,
            last: 0,
            samples: Vec::new(),
            failure: None,
        }
    }

    /// What the store said when it could not take a segment: that is the job's problem, not the encoder's.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.clone()
    }

    /// Takes unit `number` of the grid.
    pub(super) fn take(&mut self, number: u64, unit: EncodedUnit) -> Result<(), String> {
        let result = self.try_take(number, unit);
        if let Err(error) = &result {
            tracing::warn!(stream = self.stream.id(), rendition = self.name, error, "cannot package a unit");
        }
        result
    }

    fn try_take(&mut self, number: u64, unit: EncodedUnit) -> Result<(), String> {
        self.register(&unit)?;
        let ticks = self.unit_ticks();
        let segment = self.segment_of(number);
        if !self.samples.is_empty() {
            let step = number
                .checked_sub(self.last)
                .filter(|step| *step > 0)
                .ok_or_else(|| format!("unit {number} came after unit {}", self.last))?;
            if let Some(last) = self.samples.last_mut() {
                last.duration = (step * u64::from(ticks)).min(u64::from(u32::MAX)) as u32;
            }
            if segment != self.segment {
                self.flush()?;
            }
        }
        if self.samples.is_empty() {
            if !unit.key {
                return Err(format!("segment {} does not start with a key frame", segment + 1));
            }
            (self.segment, self.first) = (segment, number);
        }
        self.last = number;
        self.samples.push(Sample { duration: ticks, composition_offset: 0, key: unit.key, data: unit.data });
        Ok(())
    }

    /// Stores what is there as the last segment.
    pub(super) fn flush(&mut self) -> Result<(), String> {
        let samples = std::mem::take(&mut self.samples);
        if samples.is_empty() || self.segment < self.stored {
            return Ok(());
        }
        let result = self.store(&samples);
        if let Err(error) = &result {
            self.failure = Some(error.clone());
        }
        result
    }

    fn store(&self, samples: &[Sample]) -> Result<(), String> {
        let number = u32::try_from(self.segment + 1).map_err(|_| "too many segments".to_owned())?;
        let start = self.first * u64::from(self.unit_ticks());
        let duration = samples.iter().map(|sample| u64::from(sample.duration)).sum();
        let track = match self.track {
            Track::Video(..) => VIDEO_TRACK,
            Track::Audio { .. } => AUDIO_TRACK,
        };
        let bytes = media_segment(track, number, start, samples).map_err(|e| e.to_string())?;
        self.stream.append(&self.name, number, start, duration, bytes).map_err(|e| e.to_string())
    }

    /// The encoder's set-up is known with its first unit.
    fn register(&mut self, unit: &EncodedUnit) -> Result<(), String> {
        if self.registered {
            return Ok(());
        }
        let (info, init) = match &self.track {
            Track::Video(rung, frame_rate) => {
                let config = VideoConfig::from_avcc(rung.width as u16, rung.height as u16, &unit.codec_data)
                    .map_err(|e| e.to_string())?;
                let timescale = self.timeline.video_timescale();
                let info = RenditionInfo {
                    language: None,
                    name: self.name.clone(),
                    kind: TrackKind::Video,
                    codecs: config.codec_string(),
                    width: rung.width,
                    height: rung.height,
                    frame_rate: *frame_rate,
                    sample_rate: 0,
                    channels: 0,
                    bandwidth: u64::from(rung.kbps) * 1000,
                    timescale,
                };
                (info, video_init(&config, timescale))
            }
            Track::Audio { kbps, language } => {
                let config = AudioConfig::from_asc(48_000, 2, kbps * 1000, &unit.codec_data)
                    .map_err(|e| e.to_string())?;
                let info = RenditionInfo {
                    language: language.clone(),
                    name: self.name.clone(),
                    kind: TrackKind::Audio,
                    codecs: config.codec_string(),
                    width: 0,
                    height: 0,
                    frame_rate: (0, 1),
                    sample_rate: config.sample_rate,
                    channels: 2,
                    bandwidth: u64::from(config.bitrate),
                    timescale: config.sample_rate,
                };
                (info, audio_init(&config))
            }
        };
        if let Err(error) = self.stream.add(info, init) {
            self.failure = Some(error.to_string());
            return Err(error.to_string());
        }
        self.registered = true;
        Ok(())
    }

    fn segment_of(&self, number: u64) -> u64 {
        match self.track {
            Track::Video(..) => self.timeline.segment_of_frame(number),
            Track::Audio { .. } => self.timeline.segment_of_unit(number),
        }
    }

    fn unit_ticks(&self) -> u32 {
        match self.track {
            Track::Video(..) => self.timeline.frame_ticks(),
            Track::Audio { .. } => 1024,
        }
    }
}
