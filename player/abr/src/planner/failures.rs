//! What to do about a segment that could not be had.

use std::{collections::BTreeMap, time::Duration};

use super::Failure;
use crate::RungId;

/// First pause before a request is tried again; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// A server that is away for less than this is waited for, however empty the buffer is.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);
/// One that is there, and says no to all that it is asked for, is believed sooner once nothing is left to play.
pub(super) const REFUSED: Duration = Duration::from_secs(20);
/// A live stream may be on its way back.
pub(super) const REFUSED_LIVE: Duration = Duration::from_secs(60);
/// After so many refusals a rung gives way to one that was refused less.
const REFUSALS: u32 = 2;
/// A rung that misses so many segments in a row is not asked again.
const MISSES_BAN_RUNG: u32 = 3;
/// So many segments given up, with none that could be had between, end the session.
const SKIPS_END: usize = 8;

/// What became of one segment so far.
#[derive(Clone, Debug, Default)]
struct Attempts {
    /// Rungs at which the server does not have it, or has rubbish.
    bad: Vec<RungId>,
    /// So many of them, the first ones, are counted in [`Failures::misses`].
    counted: usize,
    /// Attempts that ended in the middle.
    broken: u32,
    /// The last rung that was left brought rubbish, and got another try.
    again: bool,
    /// How often each rung was refused for a reason that may pass.
    refused: BTreeMap<RungId, u32>,
    not_before: Duration,
}

/// The failures of one track.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures {
    segments: BTreeMap<u64, Attempts>,
    /// Rungs that are not asked any more.
    banned: Vec<RungId>,
    /// Rungs that are not asked for now.
    withheld: Vec<RungId>,
    misses: BTreeMap<RungId, u32>,
    /// Failures in a row on which waiting may help, and when the first of them was.
    row: u32,
    since: Option<Duration>,
    /// Since when the server has given out nothing whole, though it is there.
    refused_since: Option<Duration>,
    /// Segments given up, in order, with no media between them.
    skipped: Vec<u64>,
    /// The last one, in words.
    pub last: String,
}

/// What follows from a failure.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// Try again, perhaps at another rung, not before this time.
    Retry,
    /// Give the segment up.
    Skip,
    /// Every rung is of no use.
    Hopeless,
}

impl Failures {
    pub(super) fn is_banned(&self, rung: RungId) -> bool {
        self.banned.contains(&rung)
    }

    /// These rungs of so many are not to be asked for now; all of them cannot be meant.
    pub(super) fn withhold(&mut self, withheld: &[RungId], rungs: usize) {
        self.withheld.clear();
        if (0..rungs).any(|rung| !withheld.contains(&RungId(rung))) {
            self.withheld.extend_from_slice(withheld);
        }
    }

    pub(super) fn is_withheld(&self, rung: RungId) -> bool {
        self.withheld.contains(&rung)
    }

    /// Bans a rung; `true` when none of `rungs` is left.
    pub(super) fn ban(&mut self, rung: RungId, rungs: usize) -> bool {
        if !self.is_banned(rung) {
            self.banned.push(rung);
        }
        self.banned.len() >= rungs
    }

    /// When the segment may be asked for again.
    pub(super) fn not_before(&self, index: u64) -> Duration {
        self.segments.get(&index).map_or(Duration::ZERO, |attempts| attempts.not_before)
    }

    /// Lifts the pause before the next attempt: enough time has passed.
    pub(super) fn at_once(&mut self, index: u64) {
        if let Some(attempts) = self.segments.get_mut(&index) {
            attempts.not_before = Duration::ZERO;
        }
    }

    /// Whether the segment failed before.
    pub(super) fn has_failed(&self, index: u64) -> bool {
        self.segments.contains_key(&index)
    }

    /// The rung to ask for when `wanted` is wanted: itself, else the nearest below, else the nearest above that is not
    /// known to be of no use; one lower after two attempts that broke off.
    pub(super) fn rung_for(&self, index: u64, wanted: RungId, rungs: usize) -> Option<RungId> {
        let attempts = self.segments.get(&index);
        let usable = |rung: &RungId| {
            !self.is_banned(*rung)
                && !self.is_withheld(*rung)
                && !attempts.is_some_and(|attempts| attempts.bad.contains(rung))
        };
        let step_down = attempts.map_or(0, |attempts| attempts.broken / 2) as usize;
        let wanted = wanted.0.min(rungs.saturating_sub(1)).saturating_sub(step_down);
        // A server may lack one rung's file only, and say 500 instead of 404.
        let refusals =
            |rung: &RungId| attempts.and_then(|it| it.refused.get(rung)).map_or(0, |times| times / REFUSALS);
        let least = (0..rungs).map(RungId).filter(usable).map(|rung| refusals(&rung)).min()?;
        let best = |rung: &RungId| usable(rung) && refusals(rung) == least;
        (0..=wanted).rev().map(RungId).find(best).or_else(|| (wanted + 1..rungs).map(RungId).find(best))
    }

    /// A download came to its end: whatever was wrong with the network is over. Whether there is media in it is not known
    /// yet.
    pub(super) fn worked(&mut self, index: u64, rung: RungId) {
        self.row = 0;
        self.since = None;
        self.refused_since = None;
        self.misses.remove(&rung);
        // A rung that lacks segment after segment while others have them is not asked any more.
        let uncounted = self.segments.get_mut(&index).map(|attempts| {
            let from = std::mem::replace(&mut attempts.counted, attempts.bad.len());
            attempts.bad.get(from..).unwrap_or_default().to_vec()
        });
        for bad in uncounted.unwrap_or_default() {
            let misses = self.misses.entry(bad).or_default();
            *misses += 1;
            if *misses >= MISSES_BAN_RUNG && bad != rung && !self.banned.contains(&bad) {
                self.banned.push(bad);
            }
        }
        // Kept otherwise: it may still turn out corrupt, and its bad rungs must stay known.
        if self.segments.get(&index).is_some_and(|attempts| attempts.bad.is_empty() && !attempts.again) {
            self.segments.remove(&index);
        }
    }

    /// How long waiting has not helped.
    pub(super) fn waiting_since(&self) -> Option<Duration> {
        self.since
    }

    /// How long the server has said no to everything, where it is there at all.
    pub(super) fn refused_since(&self) -> Option<Duration> {
        self.refused_since
    }

    /// Segment `index` is asked for again at all rungs, not before `at`, instead of being given up.
    pub(super) fn put_off(&mut self, index: u64, at: Duration) {
        let attempts = self.segments.entry(index).or_default();
        *attempts = Attempts { not_before: at, ..Attempts::default() };
    }

    /// Whether giving `index` up as well would be one too many; see [`too_many_skips`](Self::too_many_skips).
    pub(super) fn would_be_too_many(&self, index: u64, media: Option<u64>) -> bool {
        let before = |skipped: &&u64| **skipped < index && media.is_none_or(|media| **skipped > media);
        self.skipped.iter().filter(before).count() + 1 >= SKIPS_END
    }

    /// Segment `index` is given up; the last one before it that is media has number `media`. Whether so many were given
    /// up that going on is of no use. That a download came to its end says nothing here: it may hold no media.
    pub(super) fn too_many_skips(&mut self, index: u64, media: Option<u64>) -> bool {
        self.skipped.retain(|skipped| *skipped < index && media.is_none_or(|media| *skipped > media));
        self.skipped.push(index);
        self.skipped.len() >= SKIPS_END
    }

    pub(super) fn failed(
        &mut self,
        now: Duration,
        index: u64,
        rung: RungId,
        failure: Failure,
        rungs: usize,
    ) -> Verdict {
        self.last = sentence(failure);
        // Who has no network does not know what the server would say.
        match failure {
            Failure::Status(_) | Failure::Truncated => {
                self.refused_since.get_or_insert(now);
            }
            _ => self.refused_since = None,
        }
        let attempts = self.segments.entry(index).or_default();
        match failure {
            Failure::Unplayable => {
                if self.ban(rung, rungs) {
                    return Verdict::Hopeless;
                }
                Verdict::Retry
            }
            Failure::Corrupt => {
                // It may have been the way here: where there is no other rung, once more.
                let mut others = (0..rungs).map(RungId).filter(|other| *other != rung);
                let bad = |other: &RungId| {
                    self.banned.contains(other)
                        || self.withheld.contains(other)
                        || attempts.bad.contains(other)
                };
                // Behind one that was given up that is not likely.
                let alone = self.skipped.last().is_none_or(|last| index.abs_diff(*last) > 1);
                if alone && !attempts.again && others.all(|other| bad(&other)) {
                    attempts.again = true;
                    attempts.not_before = now + FIRST_PAUSE;
                    return Verdict::Retry;
                }
                self.missing(now, index, rung, rungs, true)
            }
            Failure::Status(status) if (400..500).contains(&status) && ![408, 425, 429].contains(&status) => {
                self.missing(now, index, rung, rungs, false)
            }
            Failure::Network | Failure::Truncated | Failure::Status(_) => {
                match failure {
                    Failure::Status(_) => *attempts.refused.entry(rung).or_default() += 1,
                    _ => attempts.broken += 1,
                }
                let pause = FIRST_PAUSE.saturating_mul(1 << self.row.min(6)).min(LONGEST_PAUSE);
                attempts.not_before = now + pause;
                self.row += 1;
                self.since.get_or_insert(now);
                // A body that breaks off again and again is wrong at the server, unless everything is.
                if failure == Failure::Truncated && attempts.broken.is_multiple_of(3) {
                    return self.missing(now, index, rung, rungs, true);
                }
                Verdict::Retry
            }
        }
    }

    /// The segment is not to be had at this rung.
    fn missing(&mut self, now: Duration, index: u64, rung: RungId, rungs: usize, corrupt: bool) -> Verdict {
        let attempts = self.segments.entry(index).or_default();
        if !attempts.bad.contains(&rung) {
            attempts.bad.push(rung);
        }
        attempts.not_before = if corrupt { now + Duration::from_millis(100) } else { now };
        if self.rung_for(index, rung, rungs).is_some() {
            return Verdict::Retry;
        }
        // What no rung has speaks against none of them.
        if let Some(attempts) = self.segments.get_mut(&index) {
            for bad in attempts.bad.get(..attempts.counted).unwrap_or_default() {
                if let Some(misses) = self.misses.get_mut(bad) {
                    *misses = misses.saturating_sub(1);
                }
            }
            attempts.counted = 0;
        }
        Verdict::Skip
    }

    /// Forgets segments before `index`.
    pub(super) fn forget_before(&mut self, index: u64) {
        self.segments = self.segments.split_off(&index);
    }
}

/// A failure in words.
pub(super) fn sentence(failure: Failure) -> String {
    match failure {
        Failure::Network => "the server could not be reached or the connection broke off".to_owned(),
        Failure::Status(404) => "the server does not have it (HTTP 404)".to_owned(),
        Failure::Status(status @ (401 | 403)) => format!("the server refuses it (HTTP {status})"),
        Failure::Status(status) => format!("the server answered with HTTP {status}"),
        Failure::Truncated => "the download ended early".to_owned(),
        Failure::Corrupt => "no media could be read from it".to_owned(),
        Failure::Unplayable => "nothing here can decode it".to_owned(),
    }
}
