//! The audio encoder: 48 kHz stereo samples in, AAC frames on the stream's grid out.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};
use serde::{Deserialize, Serialize};

use super::LadderError;
use super::collect::{Collector, UnitSink};
use super::log::Voice;
use super::pipeline::{Guarded, has, make};
use super::timeline::{AAC_SAMPLES, SAMPLE_RATE};

/// Which AAC encoder; part of a stream's plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AudioEncoderKind {
    Avenc,
    Voaac,
}

impl AudioEncoderKind {
    /// The best that is installed.
    pub(crate) fn installed() -> Result<Self, LadderError> {
        if has("avenc_aac") {
            Ok(Self::Avenc)
        } else if has("voaacenc") {
            Ok(Self::Voaac)
        } else {
            Err(LadderError::Missing("an AAC encoder (avenc_aac or voaacenc)".to_owned()))
        }
    }

    /// The GStreamer element.
    pub(crate) fn element(self) -> &'static str {
        match self {
            Self::Avenc => "avenc_aac",
            Self::Voaac => "voaacenc",
        }
    }

    /// Samples by which decoded sound lags behind what went in (measured: a click through encoder and
    /// decoder).
    fn delay(self) -> i64 {
        match self {
            Self::Avenc => 1024,
            Self::Voaac => 1600,
        }
    }
}

/// AAC frames that are encoded and thrown away before the first one that counts, so that its overlap with
/// the frame before is right when encoding resumes in the middle.
const LEAD_UNITS: u64 = 4;

/// A running AAC encoder.
///
/// Frame `u` of the grid decodes to samples `[u * 1024, (u + 1) * 1024)` of the stream: the encoder's delay
/// is taken out by feeding it that much later, so no edit list is needed and every player is in sync.
#[derive(Debug)]
pub(crate) struct AudioEncoder {
    collector: Collector,
    first_sample: i64,
    fed: u64,
}

/// One second.
const QUEUE_BYTES: u64 = SAMPLE_RATE as u64 * 8;

impl AudioEncoder {
    /// Starts an encoder whose first useful output is AAC frame `first_unit` of the grid. `sink` gets frames
    /// with their number in the grid.
    pub(crate) fn start(
        kind: AudioEncoderKind,
        kbps: u32,
        first_unit: u64,
        nice: i32,
        voice: &Voice,
        mut sink: impl FnMut(u64, super::EncodedUnit) -> Result<(), String> + Send + 'static,
    ) -> Result<Self, LadderError> {
        let guarded = Guarded::new(nice, voice);
        let rate = SAMPLE_RATE as i32;
        let caps = gst::Caps::builder("audio/x-raw")
            .field("format", "F32LE")
            .field("layout", "interleaved")
            .field("rate", rate)
            .field("channels", 2)
            .field("channel-mask", gst::Bitmask::new(3))
            .build();
        let source = AppSrc::builder()
            .caps(&caps)
            .format(gst::Format::Time)
            .max_bytes(QUEUE_BYTES)
            .block(true)
            .build();
        let encoder = make(kind.element())?;
        encoder.set_property("bitrate", (kbps * 1000) as i32);
        let coded = gst::Caps::builder("audio/mpeg")
            .field("mpegversion", 4)
            .field("stream-format", "raw")
            .field("rate", rate)
            .field("channels", 2)
            .build();
        let output = AppSink::builder().caps(&coded).sync(false).max_buffers(256).build();
        let chain = [source.clone().upcast(), make("audioconvert")?, encoder, output.clone().upcast()];
        // Counts frames: the encoder neither drops nor repeats any, whatever time stamps it gives them.
        let mut made = 0;
        let numbered: UnitSink = Box::new(move |unit| {
            let number = (first_unit + made).checked_sub(LEAD_UNITS);
            made += 1;
            match number {
                Some(number) if number >= first_unit => sink(number, unit),
                _ => Ok(()),
            }
        });
        let collector = Collector::start("audio", guarded, source, &chain, output, numbered)?;
        let first_sample = (first_unit as i64 - LEAD_UNITS as i64) * AAC_SAMPLES as i64 + kind.delay();
        Ok(Self { collector, first_sample, fed: 0 })
    }

    /// The stream's sample that [`push`](Self::push) wants first; negative before the beginning (silence).
    pub(crate) fn first_sample(&self) -> i64 {
        self.first_sample
    }

    /// Samples to feed in all, so that AAC frame `units - 1` comes out.
    pub(crate) fn end_sample(&self, units: u64, kind: AudioEncoderKind) -> i64 {
        units as i64 * AAC_SAMPLES as i64 + kind.delay()
    }

    /// Hands over interleaved stereo samples that follow the ones before, waiting while the encoder is
    /// behind. `false` when it has died: [`finish`](Self::finish) says why.
    pub(crate) fn push(&mut self, samples: &[f32]) -> bool {
        if samples.is_empty() {
            return true;
        }
        let frames = samples.len() as u64 / 2;
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        let time =
            |frames: u64| gst::ClockTime::from_nseconds(frames * 1_000_000_000 / u64::from(SAMPLE_RATE));
        let (from, to) = (time(self.fed), time(self.fed + frames));
        self.fed += frames;
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(from);
            buffer.set_duration(to.saturating_sub(from));
        }
        self.collector.push(buffer)
    }

    /// Says that nothing follows, and waits for the last frame to be taken.
    pub(crate) fn finish(self) -> Result<(), LadderError> {
        self.collector.finish()
    }

    /// Stops without taking what is still inside.
    pub(crate) fn abort(self) {
        self.collector.abort();
    }
}
