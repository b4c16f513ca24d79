//! The rungs below a live source: decoded once, encoded with key frames where the source's segments begin.
//!
//! A ladder that does not keep up drops pictures, and when that is not enough it gives up its dearest rung. It
//! never makes the session wait.

mod budget;
mod child;
mod decode;
mod desk;
#[cfg(test)]
mod fuzz;
mod handle;
mod load;
mod program;
mod stills;
mod supervisor;
#[cfg(test)]
mod tests;
mod words;
mod worker;

use std::sync::{Arc, OnceLock};

use budget::{Budget, Choice};
pub(crate) use child::die_with_parent;
pub use child::{EncoderError, encode_for_parent, probe_for_parent};
use desk::Desk;
use handle::Handle;
pub use program::EncoderProgram;
pub(crate) use program::LastWords;
pub(crate) use supervisor::cause_of_death;
use supervisor::{Patience, Supervisor};
use words::{Order, Outlet};
use worker::Worker;

use super::log::{StreamLogs, Voice};
use super::{LadderError, Profile, Rung, VideoEncoderKind};
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
    options: LadderOptions,
    patience: Patience,
    /// Encoders that work, tried when first needed.
    working: OnceLock<Vec<VideoEncoderKind>>,
}

/// How live streams are encoded.
#[derive(Debug, Clone)]
pub struct LadderOptions {
    /// Encoded rungs that a stream may have; 0 leaves it at its source.
    pub most: usize,
    /// The encoders that may be used, best first; empty is [`VideoEncoderKind::LIVE`].
    pub encoders: Vec<VideoEncoderKind>,
    /// How encoder processes are started; without it, encoders run in this process and may take it along.
    pub program: Option<EncoderProgram>,
}

impl EncodedLadders {
    /// Ladders below the streams of a store, whose encoders write into `logs`.
    #[must_use]
    pub fn new(store: Arc<Store>, logs: Arc<StreamLogs>, options: LadderOptions) -> Self {
        let (budget, patience) = (Budget::of_machine(), Patience::default());
        Self { store, logs, budget, options, patience, working: OnceLock::new() }
    }

    /// The best of the encoders that may be used and work.
    fn encoder(&self) -> Result<VideoEncoderKind, LadderError> {
        let order = match self.options.encoders.as_slice() {
            [] => &VideoEncoderKind::LIVE,
            order => order,
        };
        let Some(program) = &self.options.program else {
            return super::init().and_then(|()| VideoEncoderKind::first_of(order));
        };
        let working = self.working.get_or_init(|| program.probe());
        order
            .iter()
            .copied()
            .find(|kind| working.contains(kind))
            .ok_or_else(|| VideoEncoderKind::missing(order))
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
        let kind = match self.encoder() {
            Ok(kind) => kind,
            Err(error) => {
                voice.warn(format!("the source is the only rung: {error}"));
                return None;
            }
        };
        let frame_rate = source.frame_rate.filter(|(num, den)| *num > 0 && *den > 0).unwrap_or(USUAL_RATE);
        let fps = (f64::from(frame_rate.0) / f64::from(frame_rate.1)).clamp(1.0, 120.0);
        let mut wanted = below(profile, source);
        wanted.truncate(self.options.most);
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
        let desk = Arc::new(Desk::new(output, self.store.get(stream), voice.clone()));
        let Choice { rungs, speed, left_out, permit } = choice;
        let stills = desk.stills(size);
        let setup = source.clone();
        let order = Order { setup, frame_rate, kind, speed, rungs, stills };
        match self.begin(order, desk, left_out, permit) {
            Ok(handle) => Some(Box::new(handle)),
            Err(error) => {
                voice.warn(format!("the source is the only rung: cannot start a thread: {error}"));
                None
            }
        }
    }
}

impl EncodedLadders {
    /// Starts the thread that encodes, or the one that looks after the process that does.
    fn begin(
        &self,
        order: Order,
        desk: Arc<Desk>,
        left_out: Vec<String>,
        permit: budget::Permit,
    ) -> std::io::Result<Handle> {
        let plan = Order { stills: None, ..order.clone() };
        let (program, patience) = (self.options.program.clone(), self.patience);
        let work = move |shared: Arc<handle::Shared>, sender, receiver| {
            let held = Arc::clone(&shared);
            match program {
                Some(program) => {
                    Supervisor { program, patience, order, desk, shared, sender }.run(&receiver);
                }
                None => {
                    let (voice, theirs) = (desk.voice.clone(), Arc::clone(&shared));
                    let outlet: Outlet = Arc::new(move |word| desk.take(&theirs, word));
                    Worker::new(order, outlet, voice, shared, sender).run(&receiver);
                }
            }
            held.release();
        };
        let (handle, _) = Handle::start(&plan, left_out, Some(permit), work)?;
        Ok(handle)
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
