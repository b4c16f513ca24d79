//! Finds the flashes and beeps of the test card at the sinks and pairs them.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use gstreamer_video::{self as gst_video, prelude::*};

/// A flash and a beep further apart than this are not of one second, nanoseconds.
const PAIR: i64 = 500_000_000;

/// Sound is silent below this and a beep above (full scale is 1); half the beep's level is in between for any volume
/// that the card is coded with.
const SILENCE: f32 = 0.02;
const BEEP: f32 = 0.08;

/// So many samples below [`SILENCE`] in a row make a silence, at any rate of 8 to 192 kHz at least 20 ms.
const SILENT_MS: u32 = 20;

#[derive(Debug, Default)]
struct State {
    lit: Option<bool>,
    silent: u32,
    flashes: VecDeque<i64>,
    beeps: VecDeque<i64>,
}

/// See the module's page. Times are positions in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct SyncMeter {
    state: Mutex<State>,
}

impl SyncMeter {
    /// A jump: what was seen before means nothing.
    pub(super) fn reset(&self) {
        *self.lock() = State::default();
    }

    /// A picture appeared at `at`. Gives flash and beep when it completes a pair.
    pub(super) fn picture(&self, lit: bool, at: i64) -> Option<(i64, i64)> {
        let mut state = self.lock();
        let before = state.lit.replace(lit);
        if !(lit && before == Some(false)) {
            return None;
        }
        state.flashes.push_back(at);
        state.pair()
    }

    /// Sound: interleaved `samples` of which the first is heard at `at`. Gives flash and beep of a completed pair.
    pub(super) fn sound(&self, samples: &[f32], channels: usize, rate: u32, at: i64) -> Option<(i64, i64)> {
        let mut state = self.lock();
        let channels = channels.max(1);
        let needed = rate / 1000 * SILENT_MS;
        let mut found = None;
        for (index, frame) in samples.chunks_exact(channels).enumerate() {
            let level = frame.iter().fold(0.0_f32, |level, sample| level.max(sample.abs()));
            if level > BEEP {
                if state.silent >= needed {
                    let offset = index as i64 * 1_000_000_000 / i64::from(rate.max(1));
                    state.beeps.push_back(at + offset);
                    found = found.or(state.pair());
                }
                state.silent = 0;
            } else if level < SILENCE {
                state.silent = state.silent.saturating_add(1);
            }
        }
        found
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere must not become a second one inside a GStreamer callback.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn pair(&mut self) -> Option<(i64, i64)> {
        while let (Some(flash), Some(beep)) = (self.flashes.front().copied(), self.beeps.front().copied()) {
            if flash - beep > PAIR {
                self.beeps.pop_front();
            } else if beep - flash > PAIR {
                self.flashes.pop_front();
            } else {
                self.flashes.pop_front();
                self.beeps.pop_front();
                return Some((flash, beep));
            }
        }
        // Sound runs ahead of the pictures by the sink's buffer; more than a few seconds has lost its partner.
        for queue in [&mut self.flashes, &mut self.beeps] {
            while queue.len() > 8 {
                queue.pop_front();
            }
        }
        None
    }
}

/// Whether the test card's flash box is lit in `frame`: x in 0.80 to 0.98 of the width, y in 0.05 to 0.30 of the
/// height. `None` for a format that cannot be read.
pub(super) fn is_lit(frame: &gst_video::VideoFrame<gst_video::video_frame::Readable>) -> Option<bool> {
    let info = frame.info();
    // Bytes from one pixel to the next, and the byte in it that tells its brightness.
    let (step, byte) = match info.format() {
        gst_video::VideoFormat::Nv12 | gst_video::VideoFormat::I420 => (1, 0),
        gst_video::VideoFormat::Rgba => (4, 1),
        // Of ten bits in the lower ones the upper byte holds two, 0 to 3.
        gst_video::VideoFormat::P01010le | gst_video::VideoFormat::I42010le => (2, 1),
        _ => return None,
    };
    let ten_low = info.format() == gst_video::VideoFormat::I42010le;
    let data = frame.plane_data(0).ok()?;
    let stride = usize::try_from(*info.stride().first()?).ok()?;
    let (width, height) = (info.width() as usize, info.height() as usize);
    let (mut sum, mut count) = (0_u64, 0_u64);
    // A border of a tenth of the box is left out, where coding blurs it; every other line is enough.
    for y in (height * 8 / 100..height * 27 / 100).step_by(2) {
        let row = data.get(y * stride..)?;
        for x in width * 82 / 100..width * 96 / 100 {
            sum += u64::from(*row.get(x * step + byte)?);
            count += 1;
        }
    }
    let mean = sum.checked_div(count)?;
    Some(if ten_low { mean >= 2 } else { mean > 125 })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn tone(silence_ms: usize, beep_ms: usize) -> Vec<f32> {
        let mut samples = vec![0.0; silence_ms * 48];
        samples.extend((0..beep_ms * 48).map(|at| (at as f32 / 48.0 * std::f32::consts::TAU).sin() * 0.5));
        samples
    }

    #[test]
    fn pairs_a_flash_with_its_beep_whichever_comes_first() {
        let meter = SyncMeter::default();
        assert_eq!(meter.picture(false, 960 * MS), None);
        assert_eq!(meter.picture(true, 1000 * MS), None);
        assert_eq!(meter.picture(true, 1040 * MS), None);
        let (flash, beep) = meter.sound(&tone(110, 50), 1, 48_000, 900 * MS).unwrap();
        assert_eq!(flash, 1000 * MS);
        assert!((beep - 1010 * MS).abs() < MS, "{beep}");

        assert_eq!(meter.sound(&tone(100, 50), 1, 48_000, 1900 * MS), None);
        assert_eq!(meter.picture(false, 1960 * MS), None);
        let (flash, beep) = meter.picture(true, 2005 * MS).unwrap();
        assert_eq!(flash, 2005 * MS);
        assert!((beep - 2000 * MS).abs() < MS, "{beep}");
    }

    #[test]
    fn one_beep_is_one_onset_and_a_lost_partner_is_left_behind() {
        let meter = SyncMeter::default();
        meter.picture(false, 0);
        assert_eq!(meter.sound(&tone(100, 100), 2, 48_000, 0), None);
        assert_eq!(meter.picture(true, 5000 * MS), None, "the beep was of another second");
        assert!(meter.sound(&tone(500, 50), 1, 48_000, 4500 * MS).is_some());
    }

    #[test]
    fn the_first_picture_after_a_jump_is_no_flash() {
        let meter = SyncMeter::default();
        meter.sound(&tone(100, 50), 1, 48_000, 0);
        assert_eq!(meter.picture(true, 100 * MS), None);
        meter.reset();
        assert_eq!(meter.picture(true, 200 * MS), None);
    }
}
