//! What all rules have in common, and the choice among them.

use super::{
    Algorithm, Film, Options,
    average::Expected,
    bola::Bola,
    bola_e::BolaE,
    dynamic::{Dynamic, DynamicDash},
    network::Download,
    throughput::Throughput,
};

/// What a rule sees when it chooses.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) film: &'a Film,
    pub(super) level_ms: f64,
    pub(super) expected: Expected,
    /// Segment to choose for.
    pub(super) index: usize,
    /// Segments in all.
    pub(super) count: usize,
}

/// A rung, and how long to wait before it is asked for.
pub(super) type Choice = (usize, f64);

/// How a download ended, for the rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) download: Download,
    pub(super) replaced: bool,
    /// Given up: for which rung (`None` for a replacement that would come too late).
    pub(super) given_up: Option<Option<usize>>,
    /// Buffer afterwards.
    pub(super) level_ms: f64,
}

/// The rules.
#[derive(Clone, Debug)]
pub(super) enum Rule {
    Throughput(Throughput),
    Bola(Bola),
    BolaE(BolaE),
    Dynamic(Dynamic),
    DynamicDash(DynamicDash),
}

impl Rule {
    pub(super) fn new(options: &Options, film: &Film) -> Self {
        match options.algorithm {
            Algorithm::Throughput => Self::Throughput(Throughput::new()),
            Algorithm::BolaBasic => Self::Bola(Bola::new(options, film, true)),
            Algorithm::Bola => Self::Bola(Bola::new(options, film, false)),
            Algorithm::BolaPl => Self::BolaE(BolaE::new(options, film, false)),
            Algorithm::BolaE => Self::BolaE(BolaE::new(options, film, true)),
            Algorithm::Dynamic => Self::Dynamic(Dynamic::new(options, film, false)),
            Algorithm::DynamicBasic => Self::Dynamic(Dynamic::new(options, film, true)),
            Algorithm::DynamicDash => Self::DynamicDash(DynamicDash::new(options, film)),
        }
    }

    pub(super) fn choose(&mut self, view: &View<'_>) -> Choice {
        match self {
            Self::Throughput(rule) => rule.choose(view),
            Self::Bola(rule) => rule.choose(view),
            Self::BolaE(rule) => rule.choose(view),
            Self::Dynamic(rule) => rule.choose(view),
            Self::DynamicDash(rule) => rule.choose(view),
        }
    }

    /// The buffer was full for so long.
    pub(super) fn waited(&mut self, time_ms: f64) {
        match self {
            Self::BolaE(rule) => rule.waited(time_ms),
            Self::DynamicDash(rule) => rule.bola.waited(time_ms),
            Self::Throughput(_) | Self::Bola(_) | Self::Dynamic(_) => {}
        }
    }

    pub(super) fn ended(&mut self, film: &Film, ended: &Ended) {
        match self {
            Self::BolaE(rule) => rule.ended(film, ended),
            Self::DynamicDash(rule) => rule.bola.ended(film, ended),
            Self::Dynamic(rule) => rule.ended(ended),
            Self::Throughput(_) | Self::Bola(_) => {}
        }
    }

    /// A rung to give the download up for. `level_ms` is the buffer as it is now.
    pub(super) fn give_up(
        &mut self,
        film: &Film,
        expected: Expected,
        download: &Download,
        level_ms: f64,
    ) -> Option<usize> {
        match self {
            Self::Bola(rule) => rule.give_up(film, download, level_ms),
            Self::BolaE(rule) => rule.give_up(film, download, level_ms),
            Self::DynamicDash(rule) if rule.is_bola() => rule.bola.give_up(film, download, level_ms),
            Self::Throughput(_) | Self::Dynamic(_) | Self::DynamicDash(_) => {
                Throughput::give_up(film, expected, download)
            }
        }
    }

    /// Whether [`give_up`](Self::give_up) says no to all that the download will be until the buffer is down to
    /// `level_ms`, at `kbps`. May say no when it is not sure.
    pub(super) fn is_quiet(&self, film: &Film, download: &Download, level_ms: f64, kbps: f64) -> bool {
        match self {
            Self::BolaE(rule) => rule.is_quiet(film, download, level_ms, kbps),
            Self::DynamicDash(rule) if rule.is_bola() => rule.bola.is_quiet(film, download, level_ms, kbps),
            _ => false,
        }
    }

    /// Playback goes on elsewhere.
    pub(super) fn seeked(&mut self, segment: usize) {
        match self {
            Self::Bola(rule) => rule.seeked(segment),
            Self::BolaE(rule) => rule.seeked(),
            // Sabre's combined rules take no notice.
            Self::Throughput(_) | Self::Dynamic(_) | Self::DynamicDash(_) => {}
        }
    }
}
