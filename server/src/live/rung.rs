//! The encoded rungs of a live stream: what comes back from the ladder, cut where the source was cut.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::session::{Boundary, Told};
use super::setup::rung_info;
use super::status::{RungState, RungStatus};
use super::track::TrackWriter;
use super::{Codec, LiveLadder, LiveLadders, RungEvent, RungPlan, SourceUnit, TrackSetup};
use crate::ladder::Profile;
use crate::package::VideoConfig;
use crate::store::{LiveInfo, StoreError, StreamStore};

/// Units that may wait between ladder and session.
const QUEUE: usize = 256;
/// Segments of the source after which a rung that has not begun is not waited for any more.
const PATIENCE: u32 = 4;
/// How far a rung's key frame may be off the boundary that it was asked for.
const TOLERANCE_NS: u64 = 5_000_000;

#[derive(Debug)]
struct Rung {
    plan: RungPlan,
    writer: Option<TrackWriter>,
    /// The segment that its units go into.
    number: u32,
    given_up: bool,
    /// Its encoder has died and is started again: segments without it are gaps.
    away: bool,
    status: RungStatus,
}

/// A take's ladder.
#[derive(Debug)]
pub(super) struct Rungs {
    stream: Arc<StreamStore>,
    live: LiveInfo,
    ladder: Box<dyn LiveLadder>,
    receiver: mpsc::Receiver<RungEvent>,
    rungs: Vec<Rung>,
    /// Those that are no more, and those that never were.
    gone: Vec<RungStatus>,
    first: Option<u32>,
    ended: bool,
}

impl Rungs {
    pub(super) fn start(
        ladders: &dyn LiveLadders,
        stream: &Arc<StreamStore>,
        source: &TrackSetup,
        profile: &Profile,
        live: LiveInfo,
    ) -> Option<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let ladder = ladders.start(stream.id(), source, profile, sender)?;
        let rungs = ladder.rungs().into_iter().map(|plan| Rung {
            status: RungStatus::new(&plan.name, RungState::Starting, Some(&plan.encoder)),
            plan,
            writer: None,
            number: 0,
            given_up: false,
            away: false,
        });
        let rungs = rungs.collect();
        let left_out = ladder.left_out().into_iter().map(|name| RungStatus {
            error: Some("this machine cannot carry it now".to_owned()),
            ..RungStatus::new(&name, RungState::LeftOut, None)
        });
        let gone = left_out.collect();
        let stream = Arc::clone(stream);
        Some(Self { stream, live, ladder, receiver, rungs, gone, first: None, ended: false })
    }

    /// `None` when nothing will come any more.
    pub(super) fn receiver(&mut self) -> Option<&mut mpsc::Receiver<RungEvent>> {
        Some(&mut self.receiver).filter(|_| !self.ended)
    }

    /// The ladder has let go of its end.
    pub(super) fn ended(&mut self) {
        self.ended = true;
    }

    /// Rungs that are part of the stream.
    pub(super) fn names(&self) -> Vec<String> {
        self.rungs.iter().filter(|rung| !rung.given_up).map(|rung| rung.plan.name.clone()).collect()
    }

    /// How each of them is, those included that are no part of the stream.
    pub(super) fn statuses(&self) -> impl Iterator<Item = RungStatus> + '_ {
        self.rungs.iter().map(|rung| &rung.status).chain(&self.gone).cloned()
    }

    pub(super) fn push(&mut self, unit: SourceUnit) {
        self.ladder.push(unit);
    }

    /// A segment of the source has begun: rungs whose encoder is being started again list a gap for the one before.
    pub(super) fn at_boundary(&mut self, boundary: Boundary) -> Result<(), StoreError> {
        for rung in self.rungs.iter_mut().filter(|rung| rung.away) {
            let Some(writer) = &mut rung.writer else { continue };
            let at = writer.ticks(boundary.shown_ns);
            // The last picture is shown until here, so that the rung's time has no hole within a segment.
            writer.close(Some(at))?;
            self.stream.append_gaps(writer.rendition(), boundary.number, at);
            rung.number = rung.number.max(boundary.number.saturating_sub(1));
        }
        Ok(())
    }

    /// Rungs that have not begun in time are not waited for; they may still come. `true` when the list changed.
    pub(super) fn give_up_on_missing(&mut self, number: u32, told: &mut Told, stream: &str) -> bool {
        let first = *self.first.get_or_insert(number);
        let mut changed = false;
        if number.saturating_sub(first) >= PATIENCE {
            for rung in self.rungs.iter_mut().filter(|rung| rung.writer.is_none() && !rung.given_up) {
                rung.given_up = true;
                changed = true;
                told.warn(
                    stream,
                    format!("rung {} has not begun in time; the stream goes on without", rung.plan.name),
                );
            }
        }
        changed
    }

    /// Takes what the ladder sent. `true` when the list of rungs changed.
    pub(super) fn take(
        &mut self,
        event: RungEvent,
        boundaries: &VecDeque<Boundary>,
        told: &mut Told,
    ) -> Result<bool, StoreError> {
        match event {
            RungEvent::Setup { rung, codec, config } => {
                let Some(found) = self.rungs.iter_mut().find(|known| known.plan.name == rung) else {
                    return Ok(false);
                };
                if let Err(error) = set_up(&self.stream, &self.live, found, codec, &config)? {
                    found.given_up = true;
                    let why = format!("cannot be packaged: {error}");
                    told.warn(self.stream.id(), format!("rung {rung} {why}"));
                    (found.status.state, found.status.error) = (RungState::Lost, Some(why));
                    return Ok(true);
                }
                Ok(std::mem::take(&mut found.given_up))
            }
            RungEvent::Unit { rung, dts_ns, pts_ns, key, data } => {
                if let Some(found) = self.rungs.iter_mut().find(|known| known.plan.name == rung) {
                    found.unit((dts_ns, pts_ns), key, data, boundaries)?;
                }
                Ok(false)
            }
            RungEvent::Interrupted { rung, why } => {
                if let Some(found) = self.rungs.iter_mut().find(|known| known.plan.name == rung) {
                    told.warn(self.stream.id(), format!("rung {rung} is interrupted: {why}"));
                    found.away = true;
                    found.status.restarts += 1;
                    (found.status.state, found.status.error) = (RungState::Restarting, Some(why));
                }
                Ok(false)
            }
            RungEvent::Lost { rung, why } => {
                let Some(at) = self.rungs.iter().position(|known| known.plan.name == rung) else {
                    return Ok(false);
                };
                told.warn(self.stream.id(), format!("rung {rung} was lost: {why}"));
                let mut lost = self.rungs.remove(at);
                (lost.status.state, lost.status.error) = (RungState::Lost, Some(why));
                self.gone.push(lost.status);
                if let Some(writer) = &mut lost.writer {
                    writer.close(None)?;
                }
                Ok(true)
            }
        }
    }

    /// Says that no picture follows. `false` when nothing is left to come: [`finish`](Self::finish) it.
    pub(super) fn wind_up(&mut self) -> bool {
        let wanted = !self.ended && self.rungs.iter().any(|rung| rung.writer.is_some() || !rung.given_up);
        if wanted {
            self.ladder.finish();
        }
        wanted
    }

    /// Closes what is open, as it is.
    pub(super) fn finish(&mut self) -> Result<(), StoreError> {
        for rung in &mut self.rungs {
            if let Some(writer) = &mut rung.writer {
                writer.close(None)?;
            }
        }
        Ok(())
    }
}

/// The inner error is the configuration's, the outer one the store's.
fn set_up(
    stream: &Arc<StreamStore>,
    live: &LiveInfo,
    rung: &mut Rung,
    codec: Codec,
    config: &[u8],
) -> Result<Result<(), crate::package::PackageError>, StoreError> {
    let (width, height) = (rung.plan.width.min(16_384) as u16, rung.plan.height.min(16_384) as u16);
    let config = match codec {
        Codec::Hevc => VideoConfig::from_hvcc(width, height, config),
        Codec::Av1 => VideoConfig::from_av1c(width, height, config),
        _ => VideoConfig::from_avcc(width, height, config),
    };
    let config = match config {
        Ok(config) => config,
        Err(error) => return Ok(Err(error)),
    };
    let known = stream.known_rendition(&rung.plan.name).map(|r| r.info().timescale);
    let (info, init) = rung_info(&rung.plan, &config, known);
    let (rendition, init) = stream.live_rendition(info, init)?;
    match &mut rung.writer {
        Some(writer) => writer.set_init(init),
        None => {
            rung.writer = Some(TrackWriter::new(stream, rendition, init, live.part_ms, live.started_ms));
        }
    }
    if let Some(writer) = &mut rung.writer {
        writer.repeats(&config, 0);
    }
    Ok(Ok(()))
}

impl Rung {
    fn unit(
        &mut self,
        (dts_ns, pts_ns): (u64, u64),
        key: bool,
        data: bytes::Bytes,
        boundaries: &VecDeque<Boundary>,
    ) -> Result<(), StoreError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let dts = writer.ticks(dts_ns);
        let here = boundaries.iter().rev().find(|boundary| boundary.shown_ns <= pts_ns + TOLERANCE_NS);
        let next = here.filter(|boundary| boundary.number > self.number && key);
        // One that was interrupted comes back where a segment begins, not in the middle of one.
        let next = next.filter(|boundary| !self.away || pts_ns <= boundary.shown_ns + TOLERANCE_NS);
        // An encoder that does not give its key frame in time: the segment ends all the same, and the next begins without.
        let overdue = || {
            here.filter(|b| b.number > self.number && self.number > 0 && !self.away && writer.is_overdue(dts))
        };
        let next = next.or_else(overdue);
        if self.away && next.is_none() {
            return Ok(());
        }
        if let Some(boundary) = next {
            // One that joins late does not follow from anything.
            let joins = self.number == 0 && !writer.rendition().is_empty();
            writer.close(Some(dts))?;
            writer.begin(boundary.number, boundary.discontinuity || joins);
            self.number = boundary.number;
            self.away = false;
            (self.status.state, self.status.error) = (RungState::Running, None);
        }
        if self.number == 0 {
            return Ok(()); // not a key frame: nothing can begin with it
        }
        let offset = i64::try_from(pts_ns).unwrap_or(i64::MAX) - i64::try_from(dts_ns).unwrap_or(i64::MAX);
        let mut offset = writer.signed_ticks(offset);
        let at = writer.fill(dts, key)?;
        offset = offset.saturating_add(i64::try_from(dts.saturating_sub(at)).unwrap_or(0));
        writer.push(at, offset, key, data)
    }
}
