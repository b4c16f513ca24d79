//! The rungs below a live source: decoded once, encoded with key frames where the source's segments begin.
//!
//! A ladder that does not keep up drops pictures, and when that is not enough it gives up its dearest rung. It
//! never makes the session wait.

mod budget;
mod decode;
mod load;
mod stills;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::Arc;

use budget::Budget;
use stills::LiveStills;
use worker::{Handle, Start};

use super::log::{StreamLogs, Voice};
use super::{Profile, Rung, VideoEncoderKind};
use crate::live::{LiveLadder, LiveLadders, RungSender, TrackSetup};
use crate::store::{Store, TrackKind};

/// Frame rate that is assumed when the publisher does not name one.
const USUAL_RATE: (u32, u32) = (30, 1);

/// Makes ladders for live streams; all of them share the machine.
#[derive(Debug)]
pub struct EncodedLadders {
    store: Arc<Store>,
    logs: Arc<StreamLogs>,
    budget: Arc<Budget>,
    most: usize,
}

impl EncodedLadders {
    /// `most` is the number of encoded rungs that a stream may have; 0 leaves it at its source.
    #[must_use]
    pub fn new(store: Arc<Store>, logs: Arc<StreamLogs>, most: usize) -> Self {
        Self { store, logs, budget: Budget::of_machine(), most }
    }
}

impl LiveLadders for EncodedLadders {
    fn start(
        &self,
        stream: &str,
        source: &TrackSetup,
        profile: &Profile,
        output: RungSender,
    ) -> Option<Box<dyn LiveLadder>> {
        if source.kind != TrackKind::Video || source.width == 0 || source.height == 0 {
            return None;
        }
        let voice = Voice::new(&self.logs.of(stream), "source");
        let kind = match super::init().and_then(|()| VideoEncoderKind::for_live()) {
            Ok(kind) => kind,
            Err(error) => {
                voice.warn(format!("the source is the only rung: {error}"));
                return None;
            }
        };
        let frame_rate = source.frame_rate.filter(|(num, den)| *num > 0 && *den > 0).unwrap_or(USUAL_RATE);
        let fps = (f64::from(frame_rate.0) / f64::from(frame_rate.1)).clamp(1.0, 120.0);
        let mut wanted = below(profile, source);
        wanted.truncate(self.most);
        let size = (source.width, source.height);
        let choice = self.budget.choose(&wanted, size, fps, kind, profile);
        voice.info(format!(
            "live {} {}x{} at {fps:.2} a second",
            source.codec.name(),
            source.width,
            source.height
        ));
        if !choice.left_out.is_empty() {
            voice.warn(format!("this machine cannot carry {} now", choice.left_out.join(", ")));
        }
        let stills = self.store.get(stream).map(|store| LiveStills::new(store, size, voice.clone()));
        let start =
            Start { setup: source.clone(), frame_rate, kind, choice, output, stills, voice: voice.clone() };
        match Handle::start(start) {
            Ok(handle) => Some(Box::new(handle)),
            Err(error) => {
                voice.warn(format!("the source is the only rung: cannot start a thread: {error}"));
                None
            }
        }
    }
}

/// The profile's rungs that are clearly below the source, lowest first.
fn below(profile: &Profile, source: &TrackSetup) -> Vec<Rung> {
    let lines = source.width.min(source.height);
    let mut rungs = profile.ladder_for(source.width, source.height);
    rungs.retain(|rung| {
        let cheaper = source.bitrate.is_none_or(|bitrate| u64::from(rung.kbps) * 1000 < bitrate * 9 / 10);
        rung.width.min(rung.height) * 10 <= lines * 9 && cheaper
    });
    rungs
}
