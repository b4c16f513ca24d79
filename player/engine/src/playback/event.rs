use std::time::Duration;

use crate::demux::StreamKind;

/// What happened in the pipeline. Positions are on the presentation timeline.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The first picture is at the sink (shown even while held). Once in a session.
    FirstFrame {
        /// Lines of the picture as coded.
        height: u32,
    },
    /// The picture at the sink comes from another segment or rung than the one before (the first one too).
    Showing {
        /// Rung.
        rung: usize,
        /// Number of the segment.
        segment: u64,
        /// Pixels of the picture as coded.
        width: u32,
        /// Lines of the picture as coded.
        height: u32,
        /// Position of the picture.
        position: Duration,
    },
    /// The target of a seek, of [`super::Playback::prepare`] or of a change of rate is at the sinks: picture shown,
    /// sound ready.
    Seeked {
        /// Position of the first picture (of the first sound, where there are no pictures).
        position: Duration,
    },
    /// A hole was jumped over: nothing is buffered or will come for this stretch.
    Skipped {
        /// Track that has the hole.
        kind: StreamKind,
        /// From.
        from: Duration,
        /// To.
        to: Duration,
    },
    /// The last sample of all tracks was played.
    Ended,
    /// A decoder is missing or gave up. Playback stands; other rungs may work: replace the samples, then
    /// [`super::Playback::seek`] to go on.
    DecodeError {
        /// Track that it concerns.
        kind: StreamKind,
        /// What failed and what to do, in plain words.
        message: String,
        /// The codec, when no decoder for it is installed.
        missing: Option<String>,
        /// Rung of the samples, where it is known.
        rung: Option<usize>,
    },
    /// The sound card is missing or went away: time goes on without sound.
    AudioDeviceLost {
        /// What it said.
        message: String,
    },
    /// A flash of the test card reached the video sink, and its beep the audio sink (with `measure_sync` only).
    Sync {
        /// Position at which the flash was shown.
        flash: Duration,
        /// Position at which the beep was heard, device latency aside.
        beep: Duration,
    },
    /// The pipeline cannot go on at all.
    Failed {
        /// What failed and what to do, in plain words.
        message: String,
    },
}
