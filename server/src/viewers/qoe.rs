//! Quality of experience: what CMCD tells of one session, and of all sessions of a stream.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cmcd::{Cmcd, ObjectType, PlayerState};
use super::spread::{Histogram, Spread};

/// Weight of a request that does not say how long its object is.
const USUAL_MS: u32 = 1000;
/// Longest stall and start-up that are believed.
const LONGEST: Duration = Duration::from_secs(600);

/// What was counted of a session before it was heard of again: its player's own counters go on from there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counted {
    pub(super) stalls: u32,
    pub(super) stalled_ms: u64,
    pub(super) dropped: u32,
}

/// What one session told so far.
#[derive(Debug, Clone, Default)]
pub(super) struct SessionQoe {
    /// Counted of it before a restart of the server or a long silence; `None` for one that told nothing then.
    before: Option<Counted>,
    /// Anything at all.
    pub(super) reported: bool,
    /// Events come, which tell stalls exactly.
    eventful: bool,
    pub(super) state: Option<PlayerState>,
    /// Since when it is in that state, by our clock.
    state_since: Duration,
    /// The same by the player's clock, where it tells it.
    state_at_ms: Option<u64>,
    first_urgent: Option<Duration>,
    estimated_startup_ms: Option<u32>,
    told_startup_ms: Option<u32>,
    /// Stalls by `bs` flags, by changes of state, and as the player counts them itself: the last that there is counts.
    by_flag: u32,
    by_state: u32,
    told: Option<u32>,
    stalled_by_state_ms: u64,
    stalled_by_report_ms: u64,
    told_stalled_ms: Option<u32>,
    told_dropped: u32,
    /// Sum of kbit/s times ms over the pictures that were asked for, and of the ms.
    kbit: f64,
    media_ms: u64,
    pub(super) bitrate_kbps: Option<u32>,
    pub(super) buffer_ms: Option<u32>,
    pub(super) throughput_kbps: Option<u32>,
    pub(super) latency_ms: Option<u32>,
}

impl SessionQoe {
    /// Of a session that told something before, and goes on.
    pub(super) fn going_on(before: Option<Counted>) -> Self {
        Self { before, ..Self::default() }
    }

    /// All that was counted of it so far; `None` when it told nothing.
    pub(super) fn counted(&self) -> Option<Counted> {
        (self.reported || self.before.is_some()).then(|| {
            let before = self.base();
            Counted {
                stalls: before.stalls.saturating_add(self.stalls()),
                stalled_ms: before.stalled_ms.saturating_add(self.stalled_ms()),
                dropped: before.dropped.saturating_add(self.dropped()),
            }
        })
    }

    fn base(&self) -> Counted {
        self.before.unwrap_or_default()
    }

    /// Takes a report in.
    pub(super) fn take(&mut self, report: &Cmcd, now: Duration) {
        self.reported = true;
        self.buffer_ms = report.buffer_ms.or(self.buffer_ms);
        self.throughput_kbps = report.throughput_kbps.or(self.throughput_kbps);
        self.latency_ms = report.latency_ms.or(self.latency_ms);
        self.told_startup_ms = self.told_startup_ms.or(report.start_delay_ms);
        self.told = self.told.max(report.stalls);
        self.told_stalled_ms = self.told_stalled_ms.max(report.stalled_ms);
        self.stalled_by_report_ms += u64::from(report.stall_ms.unwrap_or(0));
        self.told_dropped = self.told_dropped.max(report.dropped.unwrap_or(0));
        let of_picture = matches!(report.object, None | Some(ObjectType::Video));
        if of_picture && report.bitrate_kbps.is_some() {
            self.bitrate_kbps = report.bitrate_kbps;
        }
        if report.event {
            self.eventful = true;
        } else {
            self.request(report, of_picture, now);
        }
        if let Some(state) = report.state.filter(|_| report.event) {
            self.enter(state, report.at_ms, now);
        }
    }

    fn request(&mut self, report: &Cmcd, of_picture: bool, now: Duration) {
        if report.object == Some(ObjectType::Other) {
            return;
        }
        self.by_flag += u32::from(report.starved);
        if let Some(kbps) = report.bitrate_kbps.filter(|_| of_picture) {
            let ms = report.duration_ms.unwrap_or(USUAL_MS);
            self.kbit += f64::from(kbps) * f64::from(ms);
            self.media_ms += u64::from(ms);
        }
        // Urgent requests come until the first picture stands: the first that is not tells when, a segment late at most.
        match (report.startup == Some(true), self.first_urgent) {
            (true, None) if self.estimated_startup_ms.is_none() && self.media_ms <= 60_000 => {
                self.first_urgent = Some(now);
            }
            (false, Some(first)) if self.estimated_startup_ms.is_none() => {
                self.estimated_startup_ms = Some(millis(now.saturating_sub(first).min(LONGEST)));
            }
            _ => {}
        }
    }

    fn enter(&mut self, state: PlayerState, at_ms: Option<u64>, now: Duration) {
        if self.state == Some(state) {
            return;
        }
        if self.state == Some(PlayerState::Rebuffering) {
            // The player's clock knows nothing of the time that the report was under way.
            let lasted = match (self.state_at_ms, at_ms) {
                (Some(from), Some(to)) => Duration::from_millis(to.saturating_sub(from)),
                _ => now.saturating_sub(self.state_since),
            };
            self.stalled_by_state_ms += u64::from(millis(lasted.min(LONGEST)));
        }
        self.by_state += u32::from(state == PlayerState::Rebuffering);
        (self.state, self.state_since, self.state_at_ms) = (Some(state), now, at_ms);
    }

    pub(super) fn startup_ms(&self) -> Option<u32> {
        self.told_startup_ms.or(self.estimated_startup_ms)
    }

    /// Stalls that were not counted before.
    fn stalls(&self) -> u32 {
        match self.told {
            Some(told) => since(told.into(), self.base().stalls.into()) as u32,
            None if self.eventful => self.by_state,
            None => self.by_flag,
        }
    }

    /// Their length.
    fn stalled_ms(&self) -> u64 {
        match self.told_stalled_ms {
            Some(ms) => since(ms.into(), self.base().stalled_ms),
            None if self.eventful => self.stalled_by_state_ms,
            None => self.stalled_by_report_ms,
        }
    }

    /// Dropped frames that were not counted before.
    fn dropped(&self) -> u32 {
        since(self.told_dropped.into(), self.base().dropped.into()) as u32
    }

    /// Time-weighted mean of the pictures' bitrate.
    pub(super) fn mean_kbps(&self) -> Option<u32> {
        (self.media_ms > 0).then(|| (self.kbit / self.media_ms as f64).round() as u32)
    }
}

/// What a player's counter, which runs since its session began, has come to since `before`. One that is below that began
/// anew, with a player that was loaded again.
fn since(told: u64, before: u64) -> u64 {
    told.checked_sub(before).unwrap_or(told)
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// What all sessions of a stream told together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct StreamQoe {
    pub(super) startup_ms: Histogram,
    pub(super) bitrate_kbps: Histogram,
    pub(super) sessions: u64,
    pub(super) stalled_sessions: u64,
    pub(super) stalls: u64,
    pub(super) stalled_ms: u64,
    pub(super) dropped: u64,
    kbit: f64,
    media_ms: u64,
}

impl StreamQoe {
    /// Adds a session that is over, or one as it is now: of one that told something before, only what is new.
    pub(super) fn add(&mut self, session: &SessionQoe) {
        if !session.reported {
            return;
        }
        let (stalls, before) = (session.stalls(), session.before);
        self.stalled_sessions += u64::from(stalls > 0 && before.is_none_or(|before| before.stalls == 0));
        self.stalls += u64::from(stalls);
        self.stalled_ms += session.stalled_ms();
        self.dropped += u64::from(session.dropped());
        self.kbit += session.kbit;
        self.media_ms += session.media_ms;
        if before.is_some() {
            return;
        }
        self.sessions += 1;
        if let Some(ms) = session.startup_ms() {
            self.startup_ms.add(ms);
        }
        if let Some(kbps) = session.mean_kbps() {
            self.bitrate_kbps.add(kbps);
        }
    }

    /// What an earlier run of the server saved, or nothing when it cannot be.
    pub(super) fn checked(self) -> Self {
        let sane = self.startup_ms.is_sane() && self.bitrate_kbps.is_sane() && self.kbit.is_finite();
        if sane { self } else { Self::default() }
    }

    /// With the sessions that go on.
    pub(super) fn report<'a>(&self, current: impl Iterator<Item = &'a SessionQoe>) -> Qoe {
        let mut all = self.clone();
        let (mut reporting, mut buffer, mut throughput, mut latency) =
            (0, Histogram::default(), Histogram::default(), Histogram::default());
        for session in current.filter(|session| session.reported) {
            all.add(session);
            reporting += 1;
            let put = |into: &mut Histogram, value: Option<u32>| value.into_iter().for_each(|v| into.add(v));
            put(&mut buffer, session.buffer_ms);
            put(&mut throughput, session.throughput_kbps);
            put(&mut latency, session.latency_ms);
        }
        Qoe {
            sessions: all.sessions,
            reporting,
            startup_ms: all.startup_ms.spread(),
            bitrate_kbps: all.bitrate_kbps.spread(),
            mean_bitrate_kbps: (all.media_ms > 0).then(|| (all.kbit / all.media_ms as f64).round() as u32),
            buffer_ms: buffer.spread(),
            throughput_kbps: throughput.spread(),
            latency_ms: latency.spread(),
            stalls: Stalls {
                count: all.stalls,
                seconds: all.stalled_ms as f64 / 1000.0,
                sessions_share: if all.sessions == 0 {
                    0.0
                } else {
                    (all.stalled_sessions as f64 / all.sessions as f64 * 1000.0).round() / 1000.0
                },
            },
            dropped_frames: all.dropped,
        }
    }
}

/// Quality of experience of a stream's sessions since the stream was made, as far as players tell it by CMCD.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Qoe {
    /// Sessions that told anything, past and current.
    pub sessions: u64,
    /// Current sessions among them.
    pub reporting: u64,
    /// From being told to play to the first picture, over all sessions.
    pub startup_ms: Spread,
    /// Each session's time-weighted mean bitrate of the picture.
    pub bitrate_kbps: Spread,
    /// Time-weighted mean over all sessions together.
    pub mean_bitrate_kbps: Option<u32>,
    /// Buffer of the current sessions.
    pub buffer_ms: Spread,
    /// Throughput of the current sessions, as they measure it.
    pub throughput_kbps: Spread,
    /// Distance of the current sessions from the live edge.
    pub latency_ms: Spread,
    /// Playback that stood still for want of media.
    pub stalls: Stalls,
    /// Frames that players dropped.
    pub dropped_frames: u64,
}

/// Stalls of a stream's sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Stalls {
    /// All of them.
    pub count: u64,
    /// Their length together; only what players tell.
    pub seconds: f64,
    /// Share of the sessions that had one, 0.0 to 1.0.
    pub sessions_share: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(reports: &[(u64, &str)]) -> SessionQoe {
        let mut session = SessionQoe::default();
        for (ms, list) in reports {
            session.take(&Cmcd::parse(list), Duration::from_millis(*ms));
        }
        session
    }

    #[test]
    fn start_up_is_what_the_player_says_or_else_when_its_haste_ends() {
        let guessed =
            told(&[(100, "ot=m,su"), (200, "ot=v,su"), (600, "ot=v,su"), (1400, "ot=v"), (9000, "ot=v,su")]);
        assert_eq!(guessed.startup_ms(), Some(1200));
        let said = told(&[(200, "ot=v,su"), (900, "e=ps,sta=p,msd=640"), (1400, "ot=v")]);
        assert_eq!(said.startup_ms(), Some(640));
        assert_eq!(told(&[(200, "ot=v,su"), (600, "ot=v,su")]).startup_ms(), None, "still starting");
    }

    #[test]
    fn each_way_of_telling_stalls_counts_once() {
        assert_eq!(told(&[(0, "ot=v"), (1, "ot=v,bs"), (2, "ot=a"), (3, "ot=v,bs")]).stalls(), 2);
        let events = told(&[
            (0, "e=ps,sta=p,ts=1000"),
            (10, "ot=v,bs"),
            (5000, "e=ps,sta=r,ts=6000"),
            (5500, "e=t,sta=r,ts=6400"),
            (9000, "e=ps,sta=p,ts=7500"),
        ]);
        assert_eq!((events.stalls(), events.stalled_ms()), (1, 1500));
        let absolute = told(&[(0, "e=ps,sta=r"), (1, "bs,bsa=(3),bsda=(2200)")]);
        assert_eq!((absolute.stalls(), absolute.stalled_ms()), (3, 2200));
    }

    #[test]
    fn what_a_player_counts_itself_goes_on_over_a_break_and_counts_once() {
        let reports = |list: &str| told(&[(0, list)]);
        let mut stream = StreamQoe::default();
        let first = reports("ot=v,br=1000,bsa=(3),bsda=(2200),dfa=10");
        stream.add(&first);
        let goes_on = |list: &str| {
            let mut session = SessionQoe::going_on(first.counted());
            session.take(&Cmcd::parse(list), Duration::ZERO);
            session
        };
        let second = goes_on("ot=v,br=1000,bsa=(4),bsda=(2900),dfa=11");
        stream.add(&second);
        assert_eq!((stream.sessions, stream.stalled_sessions), (1, 1));
        assert_eq!((stream.stalls, stream.stalled_ms, stream.dropped), (4, 2900, 11));
        let whole = Counted { stalls: 4, stalled_ms: 2900, dropped: 11 };
        assert_eq!(second.counted(), Some(whole), "the session's own figures are the player's");
        // One that tells by flags tells what is new in any case, one that was loaded again counts from zero.
        assert_eq!(goes_on("ot=v,bs").counted().map(|c| c.stalls), Some(4));
        assert_eq!(
            goes_on("bsa=(1),bsda=(100)").counted().map(|c| (c.stalls, c.stalled_ms)),
            Some((4, 2300))
        );
        // Silent since: nothing new, and nothing is forgotten.
        assert_eq!(SessionQoe::going_on(first.counted()).counted(), first.counted());
    }

    #[test]
    fn a_session_that_stalls_only_after_a_break_is_one_that_stalled() {
        let mut stream = StreamQoe::default();
        let first = told(&[(0, "ot=v,br=1000")]);
        stream.add(&first);
        let mut second = SessionQoe::going_on(first.counted());
        second.take(&Cmcd::parse("bsa=(1)"), Duration::ZERO);
        stream.add(&second);
        assert_eq!((stream.sessions, stream.stalled_sessions, stream.stalls), (1, 1, 1));
    }

    #[test]
    fn bitrate_is_weighted_by_the_length_of_what_was_asked_for() {
        let session = told(&[
            (0, "ot=v,br=1000,d=2000"),
            (1, "ot=a,br=128,d=2000"),
            (2, "ot=v,br=4000,d=6000"),
            (3, "ot=i,br=9000"),
        ]);
        assert_eq!(session.mean_kbps(), Some(3250));
        assert_eq!(session.bitrate_kbps, Some(4000));
    }

    #[test]
    fn a_stream_sums_up_past_and_current_sessions() {
        let mut stream = StreamQoe::default();
        stream.add(&told(&[(0, "ot=v,br=1000,bl=4000,msd=500")]));
        stream.add(&SessionQoe::default());
        let now = told(&[(0, "ot=v,br=3000,bl=8000,mtp=9000,msd=2000,bs")]);
        let qoe = stream.report([&now].into_iter());
        assert_eq!((qoe.sessions, qoe.reporting, qoe.stalls.count), (2, 1, 1));
        assert!((qoe.stalls.sessions_share - 0.5).abs() < 1e-9);
        assert_eq!(qoe.mean_bitrate_kbps, Some(2000));
        assert_eq!((qoe.startup_ms.count, qoe.buffer_ms.count), (2, 1));
        assert!(qoe.buffer_ms.median.is_some_and(|ms| (7300..=8800).contains(&ms)), "{:?}", qoe.buffer_ms);
    }
}
