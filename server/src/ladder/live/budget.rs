//! What encoding costs, and how many rungs the machine can carry: all live streams share one budget.

use std::sync::{Arc, Mutex, PoisonError};

use crate::ladder::{Profile, Rung, Speed, VideoEncoderKind};

/// Picture rate that the costs below were measured at: 1280x720 pictures, 30 a second.
const REFERENCE: f64 = 1280.0 * 720.0 * 30.0;
/// Cores that decoding at the reference rate takes.
const DECODE: f64 = 0.12;
/// Share of the machine that live encoding may take; the rest is for delivery and for peaks.
const SHARE: f64 = 0.7;

/// Cores that an encoder takes at the reference rate.
fn encode_cost(kind: VideoEncoderKind, speed: Speed) -> f64 {
    match (kind, speed) {
        (VideoEncoderKind::X264, Speed::Ultrafast) => 0.32,
        (VideoEncoderKind::X264, Speed::Superfast) => 0.48,
        (VideoEncoderKind::X264, Speed::Veryfast) => 0.72,
        (VideoEncoderKind::Openh264, _) => 0.4,
        // Scaling and copying stay with the processor.
        (VideoEncoderKind::Va | VideoEncoderKind::Vaapi | VideoEncoderKind::Nv, _) => 0.06,
    }
}

/// Cores that all live encoders together may take.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(super) free: Mutex<f64>,
}

/// A stream's part of the budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    budget: Arc<Budget>,
    cores: f64,
}

/// The rungs that fit.
#[derive(Debug)]
pub(super) struct Choice {
    /// Lowest first.
    pub(super) rungs: Vec<Rung>,
    pub(super) speed: Speed,
    /// Rungs of the profile that the machine cannot carry now.
    pub(super) left_out: Vec<String>,
    /// Held as long as the encoders run.
    pub(super) permit: Permit,
}

impl Budget {
    pub(crate) fn of_machine() -> Arc<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self::with_cores(cores as f64 * SHARE)
    }

    pub(super) fn with_cores(cores: f64) -> Arc<Self> {
        Arc::new(Self { free: Mutex::new(cores) })
    }

    /// Chooses among `wanted` (lowest first): all of them at the profile's effort where they fit, else at the
    /// least effort as many as fit, from the lowest up.
    pub(super) fn choose(
        self: &Arc<Self>,
        wanted: &[Rung],
        source: (u32, u32),
        fps: f64,
        kind: VideoEncoderKind,
        profile: &Profile,
    ) -> Choice {
        let load = |(width, height): (u32, u32)| f64::from(width) * f64::from(height) * fps / REFERENCE;
        let decoding = load(source) * DECODE;
        let cost = |rung: &Rung, speed| load((rung.width, rung.height)) * encode_cost(kind, speed);
        let total =
            |rungs: &[Rung], speed| decoding + rungs.iter().map(|rung| cost(rung, speed)).sum::<f64>();
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rungs = wanted.to_vec();
        let mut speed = profile.speed;
        if total(&rungs, speed) > *free {
            speed = Speed::Ultrafast;
        }
        let mut left_out = Vec::new();
        while total(&rungs, speed) > *free {
            let Some(rung) = rungs.pop() else { break };
            left_out.push(rung.name);
        }
        // Without rungs only key frames are decoded, for thumbnails: next to nothing.
        let cores = if rungs.is_empty() { 0.0 } else { total(&rungs, speed) };
        *free -= cores;
        left_out.reverse();
        Choice { rungs, speed, left_out, permit: Permit { budget: Arc::clone(self), cores } }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *self.budget.free.lock().unwrap_or_else(PoisonError::into_inner) += self.cores;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rungs() -> Vec<Rung> {
        Profile::default().ladder_for(1920, 1080).into_iter().filter(|rung| rung.height < 1080).collect()
    }

    fn names(choice: &Choice) -> Vec<&str> {
        choice.rungs.iter().map(|rung| rung.name.as_str()).collect()
    }

    #[test]
    fn a_large_machine_carries_the_whole_ladder_at_the_profiles_effort() {
        let budget = Budget::with_cores(8.0);
        let choice = budget.choose(&rungs(), (1920, 1080), 30.0, VideoEncoderKind::X264, &Profile::default());
        assert_eq!(names(&choice), ["240p", "360p", "480p", "720p"]);
        assert_eq!((choice.speed, choice.left_out.len()), (Speed::Veryfast, 0));
    }

    #[test]
    fn a_small_machine_first_spends_less_effort_and_then_leaves_out_the_dearest() {
        let budget = Budget::with_cores(1.0);
        let choose =
            || budget.choose(&rungs(), (1920, 1080), 30.0, VideoEncoderKind::X264, &Profile::default());
        let first = choose();
        assert_eq!((first.rungs.len(), first.speed), (4, Speed::Ultrafast));
        let second = choose();
        assert_eq!((names(&second), second.left_out.join(" ")), (vec![], "240p 360p 480p 720p".to_owned()));
        drop(first);
        assert_eq!(choose().rungs.len(), 4, "what a stream gives back is free again");
    }

    #[test]
    fn what_is_given_back_adds_up() {
        let budget = Budget::with_cores(1.4);
        for _ in 0..1000 {
            drop(budget.choose(&rungs(), (1920, 1080), 60.0, VideoEncoderKind::X264, &Profile::default()));
        }
        assert!((*budget.free.lock().unwrap() - 1.4).abs() < 1e-9);
    }
}
