//! What a live stream does with what its publisher sends. Reads no clock: time comes in with every call.

mod pictures;
mod tail;

use std::collections::VecDeque;
use std::sync::Arc;

use self::pictures::Video;
use self::tail::Tail;
use super::clock::{Anchor, JumpWatch, Standstill, Verdict, slot};
use super::cutter::{Cut, Cutter};
use super::rung::Rungs;
use super::setup::{Config, VIDEO_TIMESCALE, frame_rate, part_length, source_delay, source_info};
use super::sound::Sound;
use super::status::{RungState, RungStatus};
use super::track::TrackWriter;
use super::{LiveEvent, LiveLadders, LiveSettings, LiveTrack, LiveUnit, TrackSetup};
use crate::package::Repeater;
use crate::store::{LiveInfo, StoreError, StreamStore, TrackKind};

/// Name of the rendition that carries the publisher's own pictures.
pub const SOURCE: &str = "source";
/// Name of the rendition that carries the sound.
pub const AUDIO: &str = "audio";

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
/// How long a beginning waits to see whether there is a second track, in media time.
const SECOND_TRACK: u64 = 700 * MS;
/// How long it waits for a key frame before it goes on without pictures.
const KEY_FRAME: u64 = 12 * SECOND;
/// Units that may wait for a beginning.
const WAITING: usize = 4096;
const WAITING_BYTES: usize = 32 << 20;
/// How much of a take may lie before the end of the one before it.
const OVERLAP: u64 = 50 * MS;

/// Where a segment begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Boundary {
    pub(super) number: u32,
    /// When its first picture is decoded: sound goes by that.
    pub(super) at_ns: u64,
    /// When that picture is shown: encoded rungs go by that.
    pub(super) shown_ns: u64,
    pub(super) discontinuity: bool,
}

/// Boundaries that are remembered for renditions that come behind.
const BOUNDARIES: usize = 64;

/// A take: from a beginning to the next discontinuity.
#[derive(Debug)]
struct Take {
    anchor: Anchor,
    cutter: Cutter,
    boundaries: VecDeque<Boundary>,
    video: Option<Video>,
    sound: Option<Sound>,
    rungs: Option<Rungs>,
    /// Sound that was announced and was not there when the take began: it joins at the first boundary after it
    /// has come.
    joining: Option<Joining>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joining {
    Announced,
    Arrived,
}

/// One live stream.
#[derive(Debug)]
pub(super) struct Session {
    stream: Arc<StreamStore>,
    settings: LiveSettings,
    ladders: Option<Arc<dyn LiveLadders>>,
    setups: [Option<(TrackSetup, Config)>; 2],
    watch: JumpWatch,
    still: Standstill,
    /// The connection's clock, as long as it has not jumped.
    anchor: Option<Anchor>,
    waiting: VecDeque<LiveUnit>,
    waiting_bytes: usize,
    take: Option<Take>,
    /// Oldest first. What the running take's encoders send waits for them, for it comes after.
    tails: VecDeque<Tail>,
    /// Tails that are over.
    tails_over: u64,
    /// Takes since the connection began.
    takes: u32,
    /// End of what is on the timeline.
    edge_ns: u64,
    pub(super) told: Told,
}

/// What the status tells.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) units: u64,
    pub(super) bytes: u64,
    pub(super) dropped: u64,
    pub(super) discontinuities: u32,
    pub(super) warnings: Vec<String>,
}

impl Told {
    /// Notes a warning unless it is there already.
    pub(super) fn warn(&mut self, stream: &str, text: String) {
        if self.warnings.contains(&text) {
            return;
        }
        tracing::warn!(stream, "{text}");
        if self.warnings.len() >= 20 {
            self.warnings.remove(0);
        }
        self.warnings.push(text);
    }
}

impl Session {
    pub(super) fn new(
        stream: Arc<StreamStore>,
        settings: LiveSettings,
        ladders: Option<Arc<dyn LiveLadders>>,
    ) -> Self {
        let edge_ns = stream.renditions().iter().map(|r| (r.end_seconds() * 1e9) as u64).max().unwrap_or(0);
        Self {
            stream,
            settings,
            ladders,
            setups: [None, None],
            watch: JumpWatch::default(),
            still: Standstill::default(),
            anchor: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            take: None,
            tails: VecDeque::new(),
            tails_over: 0,
            takes: 0,
            edge_ns,
            told: Told::default(),
        }
    }

    /// What arrives.
    pub(super) fn tracks(&self) -> Vec<LiveTrack> {
        self.setups.iter().flatten().map(|(setup, config)| config.describe(setup)).collect()
    }

    /// How the rungs are: the source and those below it. Empty without pictures.
    pub(super) fn rung_statuses(&self) -> Vec<RungStatus> {
        let Some(take) = self.take.as_ref().filter(|take| take.video.is_some()) else { return Vec::new() };
        let source = RungStatus::new(SOURCE, RungState::Running, Some("copy"));
        std::iter::once(source).chain(take.rungs.iter().flat_map(Rungs::statuses)).collect()
    }

    /// Length of the timeline.
    pub(super) fn edge_ns(&self) -> u64 {
        self.edge_ns
    }

    /// New settings. Segment and part length and the rungs count from the next take on.
    pub(super) fn set(&mut self, settings: LiveSettings) -> Result<(), StoreError> {
        if let Some(live) = self.stream.live() {
            let changed = LiveInfo { window_s: settings.window_s, record: settings.record, ..live };
            self.stream.set_live(changed)?;
        }
        self.settings = settings;
        Ok(())
    }

    /// Takes what the publisher sent. `now_ms` is the wall clock in milliseconds since 1970.
    pub(super) fn handle(&mut self, event: LiveEvent, now_ms: u64) -> Result<(), StoreError> {
        match event {
            LiveEvent::Setup(setup) => self.set_up(setup),
            LiveEvent::Discontinuity => {
                self.watch.reset();
                self.anchor = None;
                self.break_take()
            }
            LiveEvent::Warning(text) => {
                self.told.warn(self.stream.id(), text);
                Ok(())
            }
            LiveEvent::Unit(unit) => {
                self.told.units += 1;
                self.told.bytes += unit.data.len() as u64;
                if self.setup(unit.kind).is_none() || unit.data.is_empty() {
                    self.told.dropped += 1;
                    return Ok(());
                }
                if self.still.see(&unit) {
                    let kind = if unit.kind == TrackKind::Video { "pictures" } else { "sound" };
                    let text = format!(
                        "the time stamps of the {kind} stand still, so nothing can be played at its time: the publisher \
                         has to stamp what it sends (with ffmpeg: -use_wallclock_as_timestamps 1 before -i)"
                    );
                    self.told.warn(self.stream.id(), text);
                }
                let verdict = self.watch.see(&unit);
                self.told.dropped += std::mem::take(&mut self.watch.strays);
                match verdict {
                    Verdict::Good => self.accept(unit, now_ms),
                    Verdict::Held => Ok(()),
                    Verdict::Jumped(units) => {
                        self.anchor = None;
                        self.break_take()?;
                        units.into_iter().try_for_each(|unit| self.accept(unit, now_ms))
                    }
                }
            }
        }
    }

    /// The publisher sends nothing for now: what there is becomes whole segments.
    pub(super) fn pause(&mut self) -> Result<(), StoreError> {
        self.break_take()
    }

    /// The publisher is gone: what there is becomes whole segments.
    pub(super) fn disconnect(&mut self) -> Result<(), StoreError> {
        self.watch.reset();
        self.still.reset();
        self.told.dropped += std::mem::take(&mut self.watch.strays);
        self.anchor = None;
        self.setups = [None, None];
        self.takes = 0;
        self.break_take()
    }

    fn setup(&self, kind: TrackKind) -> Option<&(TrackSetup, Config)> {
        self.setups.get(slot(kind)).and_then(Option::as_ref)
    }

    fn set_up(&mut self, setup: TrackSetup) -> Result<(), StoreError> {
        let kind = setup.codec.kind();
        if self.setup(kind).is_some_and(|(known, _)| *known == setup) {
            return Ok(());
        }
        let config = match Config::of(&setup) {
            Ok(config) => config,
            Err(error) => {
                let text = format!("the publisher's {} cannot be used: {error}", setup.codec.name());
                self.told.warn(self.stream.id(), text);
                return Ok(());
            }
        };
        let changes = match (&mut self.take, kind) {
            (None, _) => false,
            (Some(take), TrackKind::Audio) if take.sound.is_none() && take.video.is_some() => {
                take.joining = Some(Joining::Announced);
                false
            }
            // Also pictures that come after sound alone: they are a take of their own.
            (Some(_), _) => true,
        };
        if changes {
            self.break_take()?;
        }
        if let Some(place) = self.setups.get_mut(slot(kind)) {
            *place = Some((setup, config));
        }
        Ok(())
    }

    fn accept(&mut self, unit: LiveUnit, now_ms: u64) -> Result<(), StoreError> {
        if self.take.is_some() {
            return self.run(unit, now_ms);
        }
        self.waiting_bytes += unit.data.len();
        self.waiting.push_back(unit);
        while self.waiting.len() > WAITING || self.waiting_bytes > WAITING_BYTES {
            self.drop_first();
        }
        self.try_begin(now_ms)
    }

    fn drop_first(&mut self) {
        if let Some(unit) = self.waiting.pop_front() {
            self.waiting_bytes -= unit.data.len();
            self.told.dropped += 1;
        }
    }

    /// Begins a take as soon as it is clear what it is made of.
    fn try_begin(&mut self, now_ms: u64) -> Result<(), StoreError> {
        let (wants_video, wants_sound) =
            (self.setup(TrackKind::Video).is_some(), self.setup(TrackKind::Audio).is_some());
        let times = || self.waiting.iter().map(|unit| unit.dts_ns);
        let (Some(oldest), Some(newest)) = (times().min(), times().max()) else { return Ok(()) };
        let span = newest.abs_diff(oldest);
        let key = self.waiting.iter().find(|unit| unit.kind == TrackKind::Video && unit.key);
        let first_sound = self.waiting.iter().find(|unit| unit.kind == TrackKind::Audio);
        let patient = if self.takes == 0 { SECOND_TRACK } else { 0 };
        let first = match (key, first_sound) {
            (Some(key), sound) => {
                let both = wants_sound && sound.is_some();
                let waited = newest.saturating_sub(key.dts_ns).max(0) as u64;
                let limit = if wants_sound { SECOND } else { patient };
                (both || waited >= limit).then_some(key)
            }
            (None, Some(sound)) => {
                let limit = if wants_video { KEY_FRAME } else { patient };
                (span >= limit).then_some(sound)
            }
            (None, None) => {
                // Pictures without a key frame: the newest may still belong to one.
                while self.waiting.len() > WAITING / 4 {
                    self.drop_first();
                }
                None
            }
        };
        let Some(first) = first.cloned() else { return Ok(()) };
        self.begin(&first, newest, now_ms)?;
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        waiting.into_iter().try_for_each(|unit| self.run(unit, now_ms))
    }

    /// Begins a take at `first`; `newest` is the newest decode time that has arrived.
    fn begin(&mut self, first: &LiveUnit, newest: i64, now_ms: u64) -> Result<(), StoreError> {
        let with_video = first.kind == TrackKind::Video;
        let lag_ns = newest.saturating_sub(first.pts_ns).max(0) as u64;
        let ahead_ns = newest.saturating_sub(first.dts_ns).max(0) as u64;
        let video_setup = self.setup(TrackKind::Video).filter(|_| with_video).cloned();
        let rate = video_setup.as_ref().map(|(setup, config)| frame_rate(setup, config, self.waiting.iter()));

        let repeated = video_setup.as_ref().is_some_and(
            |(_, config)| matches!(config, Config::Video(video) if Repeater::new(video).is_some()),
        );

        let live = match self.stream.live() {
            Some(live) => live,
            None => {
                let live = LiveInfo {
                    segment_ms: self.settings.segment_ms,
                    part_ms: part_length(self.settings.part_ms, rate, repeated, self.packet_ns()),
                    window_s: self.settings.window_s,
                    target_s: ((self.settings.segment_ms + 500) / 1000).max(1),
                    started_ms: now_ms.saturating_sub(lag_ns / MS),
                    record: self.settings.record,
                };
                self.stream.set_live(live)?;
                live
            }
        };
        let renditions = self.stream.renditions();
        let last = renditions.iter().map(|r| r.window().last_number()).max().unwrap_or(0);
        let (number, discontinuity) = (last.saturating_add(1), last > 0);
        // Where the clock went on, so does the timeline; the sound may have reached a packet further.
        let kept = self.anchor.and_then(|anchor| anchor.map(first.pts_ns));
        let kept = kept.filter(|at| at.saturating_add(OVERLAP) >= self.edge_ns);
        let by_wall = now_ms.saturating_sub(live.started_ms).saturating_mul(MS).saturating_sub(lag_ns);
        let ours_ns = match kept {
            Some(at) => at,
            None if discontinuity => by_wall.max(self.edge_ns),
            None => 0,
        };
        let reorder_ns = if with_video { first.pts_ns.saturating_sub(first.dts_ns) } else { 0 };
        if ours_ns > by_wall && kept.is_none() && discontinuity {
            // The wall clock was set back between two runs of the server: this stream's goes on.
            self.stream.clock().set(live.started_ms.saturating_add(ours_ns.saturating_add(lag_ns) / MS));
        }
        let anchor = Anchor { theirs_ns: first.pts_ns, ours_ns, reorder_ns };

        let mut names = Vec::new();
        let mut video = None;
        if let Some((setup, Config::Video(config))) = &video_setup {
            let known = self.stream.known_rendition(SOURCE);
            let timescale = known.as_ref().map_or(VIDEO_TIMESCALE, |r| r.info().timescale);
            let inits = known.map_or_else(Vec::new, |r| r.inits());
            let delay = source_delay(config, timescale, reorder_ns, &inits);
            let measured = self.measured(TrackKind::Video);
            let rate = rate.unwrap_or((25, 1));
            let (info, init) = source_info(setup, config, rate, measured, timescale, delay);
            let (rendition, init) = self.stream.live_rendition(info, init)?;
            let writer = TrackWriter::new(&self.stream, rendition, init, live.part_ms, live.started_ms);
            let mut writer = writer.delayed(delay);
            writer.repeats(config, reorder_ns);
            writer.begin(number, discontinuity);
            video = Some(Video::new(writer, ours_ns, live.part_ms, ahead_ns));
            names.push(SOURCE.to_owned());
        }
        let sound_arrives = self.waiting.iter().any(|unit| unit.kind == TrackKind::Audio);
        let sound = if sound_arrives { self.sound(live, number, discontinuity, ours_ns)? } else { None };
        let late = sound.is_none() && video.is_some() && self.setup(TrackKind::Audio).is_some();
        let joining = late.then_some(Joining::Announced);
        let rungs = match (&self.ladders, &video_setup) {
            (Some(ladders), Some((setup, config))) => {
                let LiveTrack { width, height, .. } = config.describe(setup);
                let setup = TrackSetup { width, height, frame_rate: rate, ..setup.clone() };
                Rungs::start(ladders.as_ref(), &self.stream, &setup, &self.settings.profile, live)
            }
            _ => None,
        };
        names.extend(rungs.iter().flat_map(Rungs::names));
        names.extend(sound.iter().map(|_| AUDIO.to_owned()));
        self.expect(&names)?;

        let target_s = renditions.iter().any(|r| !r.is_empty()).then_some(live.target_s);
        let wished = self.settings.segment_ms.min(target_s.map_or(u32::MAX, |s| s * 1000));
        let boundary = Boundary { number, at_ns: ours_ns, shown_ns: ours_ns, discontinuity };
        self.anchor = Some(anchor);
        self.takes += 1;
        self.told.discontinuities += u32::from(discontinuity);
        self.take = Some(Take {
            anchor,
            cutter: Cutter::new(wished, target_s, ours_ns),
            boundaries: VecDeque::from([boundary]),
            video,
            sound,
            rungs,
            joining,
        });
        Ok(())
    }

    /// Says which renditions the stream has from here on. What it had before and has no more leaves it.
    fn expect(&self, names: &[String]) -> Result<(), StoreError> {
        let mut names = names.to_vec();
        for rendition in self.stream.renditions() {
            let name = rendition.name();
            if names.iter().any(|wanted| wanted == name) {
                continue;
            }
            if matches!(rendition.info().kind, TrackKind::Video | TrackKind::Audio) {
                tracing::info!(stream = self.stream.id(), rendition = name, "is not sent any more");
                self.stream.retire_rendition(name)?;
            } else {
                names.push(name.to_owned());
            }
        }
        self.stream.expect_renditions(&names)
    }

    fn sound(
        &self,
        live: LiveInfo,
        number: u32,
        discontinuity: bool,
        from_ns: u64,
    ) -> Result<Option<Sound>, StoreError> {
        let Some((setup, Config::Audio(config))) = self.setup(TrackKind::Audio) else { return Ok(None) };
        let known = self.stream.known_rendition(AUDIO).map(|r| r.info().timescale);
        let (info, init) = super::setup::sound_info(setup, config, known);
        let (rendition, init) = self.stream.live_rendition(info, init)?;
        let mut writer = TrackWriter::new(&self.stream, rendition, init, live.part_ms, live.started_ms);
        writer.begin(number, discontinuity);
        Ok(Some(Sound::new(writer, config.clone(), from_ns)))
    }

    /// How long a packet of the sound is.
    fn packet_ns(&self) -> Option<u64> {
        let Some((_, Config::Audio(config))) = self.setup(TrackKind::Audio) else { return None };
        let packet = self.waiting.iter().find(|unit| unit.kind == TrackKind::Audio);
        Some(config.packet_ns(packet.map_or(&[], |unit| &unit.data)))
    }

    /// Bits a second of what waits, for lack of a better word from the publisher.
    fn measured(&self, kind: TrackKind) -> Option<u64> {
        let units = || self.waiting.iter().filter(|unit| unit.kind == kind);
        let span = units().map(|u| u.dts_ns).max()?.abs_diff(units().map(|u| u.dts_ns).min()?);
        let bytes: usize = units().map(|unit| unit.data.len()).sum();
        (span >= SECOND / 4).then(|| (bytes as u128 * 8 * u128::from(SECOND) / u128::from(span)) as u64)
    }

    /// A unit of a running take.
    fn run(&mut self, unit: LiveUnit, now_ms: u64) -> Result<(), StoreError> {
        match unit.kind {
            TrackKind::Video => self.picture(unit, now_ms),
            _ => self.packet(unit),
        }
    }

    /// The target duration becomes fixed with the first segment.
    fn target(stream: &StreamStore, cutter: &Cutter) -> Result<(), StoreError> {
        if let (Some(live), Some(target_s)) = (stream.live(), cutter.target_s())
            && live.target_s != target_s
        {
            stream.set_live(LiveInfo { target_s, ..live })?;
        }
        Ok(())
    }

    /// A segment has begun: who wants to join or must leave does so now.
    fn at_boundary(&mut self) -> Result<(), StoreError> {
        let Some(take) = &mut self.take else { return Ok(()) };
        let Some(boundary) = take.boundaries.back().copied() else { return Ok(()) };
        let mut changed = false;
        if let Some(rungs) = &mut take.rungs {
            rungs.at_boundary(boundary)?;
            changed = rungs.give_up_on_missing(boundary.number, &mut self.told, self.stream.id());
        }
        if take.joining == Some(Joining::Arrived) {
            take.joining = None;
            if let Some(live) = self.stream.live() {
                let sound = self.sound(live, boundary.number, true, boundary.at_ns)?;
                if let Some(take) = &mut self.take {
                    changed |= sound.is_some();
                    take.sound = sound;
                }
            }
        }
        if changed { self.expect_take() } else { Ok(()) }
    }

    fn expect_take(&self) -> Result<(), StoreError> {
        let Some(take) = &self.take else { return Ok(()) };
        let mut names: Vec<String> = take.video.iter().map(|_| SOURCE.to_owned()).collect();
        names.extend(take.rungs.iter().flat_map(Rungs::names));
        names.extend(take.sound.iter().map(|_| AUDIO.to_owned()));
        self.expect(&names)
    }

    fn packet(&mut self, unit: LiveUnit) -> Result<(), StoreError> {
        let Some(take) = &mut self.take else { return Ok(()) };
        let (Some(at), Some(sound)) = (take.anchor.map(unit.pts_ns), &mut take.sound) else {
            if take.joining.is_some() {
                take.joining = Some(Joining::Arrived);
            } else {
                self.told.dropped += 1;
            }
            return Ok(());
        };
        if take.video.is_some() {
            sound.hold(at, unit.data);
            let frontier = take.video.as_ref().map_or(0, Video::last_ns);
            sound.release(frontier, take.anchor.reorder(), &take.boundaries)?;
            return self.heard(at);
        }
        if take.cutter.sound(at) != Cut::No {
            Self::target(&self.stream, &take.cutter)?;
            let number = take.boundaries.back().map_or(1, |boundary| boundary.number.saturating_add(1));
            let at_ns = take.cutter.start_ns();
            push_boundary(
                &mut take.boundaries,
                Boundary { number, at_ns, shown_ns: at_ns, discontinuity: false },
            );
        }
        sound.pack(at, unit.data, &take.boundaries)?;
        self.edge_ns = self.edge_ns.max(at);
        Ok(())
    }

    /// Ends the take: segments in progress are finished as they are, and a discontinuity follows. Those of the encoded
    /// rungs are finished when their encoders have given what they hold.
    fn break_take(&mut self) -> Result<(), StoreError> {
        self.told.dropped += self.waiting.len() as u64 + std::mem::take(&mut self.watch.strays);
        self.waiting.clear();
        self.waiting_bytes = 0;
        let Some(mut take) = self.take.take() else { return Ok(()) };
        take.cutter.end();
        Self::target(&self.stream, &take.cutter)?;
        let mut first_error = Ok(());
        if let Some(mut video) = take.video.take() {
            let closed = video.writer.close(None);
            if let Ok(Some(entry)) = &closed {
                let timescale = u64::from(video.writer.rendition().info().timescale.max(1));
                let end = u128::from(entry.end()) * u128::from(SECOND) / u128::from(timescale);
                self.edge_ns = self.edge_ns.max(end as u64);
            }
            first_error = closed.map(|_| ());
        }
        if let Some(mut sound) = take.sound.take() {
            let finished = sound.finish(&take.boundaries);
            self.edge_ns = self.edge_ns.max(sound.due_ns().unwrap_or(0));
            self.told.dropped += sound.dropped;
            first_error = first_error.and(finished);
        }
        if let Some(rungs) = take.rungs.take() {
            first_error = first_error.and(self.wind_up(rungs, take.boundaries));
        }
        first_error
    }
}

fn push_boundary(boundaries: &mut VecDeque<Boundary>, boundary: Boundary) {
    boundaries.push_back(boundary);
    if boundaries.len() > BOUNDARIES {
        boundaries.pop_front();
    }
}
