//! The test card on air: drawn, encoded and sent in real time, as a publisher would.
//!
//! Its clock is the time of day in UTC, so that whoever sees the card beside a clock sees the latency.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gstreamer as gst;
use tokio::runtime::Handle;

use super::process::Remote;
use super::{CardPainter, beep};
use crate::catalog::unix_ms;
use crate::ingest::TestCardSpec;
use crate::ladder::{
    self, AudioEncoder, AudioEncoderKind, EncodedUnit, EncoderProgram, LadderError, Offer, Profile, Rung,
    Timeline, VideoEncoder, VideoEncoderKind, VideoEncoderSpec, Voice,
};
use crate::live::{Codec, LiveEvent, LiveUnit, Publisher, TrackSetup};
use crate::store::TrackKind;

const SECOND_NS: u64 = 1_000_000_000;
/// A card that is further behind leaves pictures out.
const BEHIND: Duration = Duration::from_millis(250);

/// Takes what a card on air is made of: the session itself, or the connection to it.
pub(super) trait Taker: Send + Sync {
    /// Takes an event, waiting while there is no room; `false` when nobody wants the card any more.
    fn take(&self, event: LiveEvent) -> bool;
    /// Lets time pass; `false` when nobody wants the card any more.
    fn wait_until(&self, at: Instant) -> bool;
}

/// The session, in this process.
struct Session {
    publisher: Publisher,
    runtime: Handle,
}

impl Taker for Session {
    fn take(&self, event: LiveEvent) -> bool {
        self.runtime.block_on(self.publisher.send(event)).is_ok()
    }

    fn wait_until(&self, at: Instant) -> bool {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.publisher.ended() => false,
                () = tokio::time::sleep_until(at.into()) => true,
            }
        })
    }
}

/// Puts a card on air, drawn as the profile's highest rung below its size, with a thread of its own: in a process of its
/// own where a program is given, else in this one. It ends when its publisher is not wanted any more. `runtime` carries
/// what it sends. Looks for encoders, the first time by trying them.
pub(crate) fn air(
    program: Option<EncoderProgram>,
    card: TestCardSpec,
    profile: &Profile,
    publisher: Publisher,
    runtime: Handle,
    voice: Voice,
) -> Result<(), LadderError> {
    let work: Box<dyn FnOnce() + Send> = match program {
        Some(program) => {
            let profile = profile.clone();
            Box::new(move || Remote { program, card, profile, publisher, runtime, voice }.run())
        }
        None => {
            let card = LiveCard::new(card, profile, voice)?;
            let session = Arc::new(Session { publisher, runtime });
            Box::new(move || {
                if let Err(error) = card.run(unix_ms(), session) {
                    card.voice.error(format!("the test card stopped: {error}"));
                }
            })
        }
    };
    let started = std::thread::Builder::new().name("weir-card".to_owned()).spawn(work);
    started.map(|_| ()).map_err(|error| LadderError::Decode(format!("cannot start a thread: {error}")))
}

/// A live card before it is on air.
#[derive(Debug)]
pub(super) struct LiveCard {
    card: TestCardSpec,
    profile: Profile,
    rung: Rung,
    voice: Voice,
}

impl LiveCard {
    pub(super) fn new(card: TestCardSpec, profile: &Profile, voice: Voice) -> Result<Self, LadderError> {
        ladder::init()?;
        let (width, height) = card.size();
        let rung = profile.ladder_for(width, height).pop().ok_or(LadderError::NothingToPlay)?;
        Ok(Self { card, profile: profile.clone(), rung, voice })
    }

    /// Draws and encodes until nobody wants it.
    pub(super) fn run<T: Taker + 'static>(&self, unix_ms: u64, taker: Arc<T>) -> Result<(), LadderError> {
        let taker: Arc<dyn Taker> = taker;
        let timeline = Timeline::new(self.profile.segment_ms, self.profile.gop_ms, self.card.frame_rate);
        let first = timeline.frame_at(unix_ms % 86_400_000 * 1_000_000);
        let origin_ns = timeline.frame_ns(first);
        let (info, painter) =
            CardPainter::for_rung(&self.card, 0, &self.rung).map_err(LadderError::Decode)?;
        let spec = VideoEncoderSpec {
            rung: self.rung.clone(),
            input: info.clone(),
            frame_rate: self.card.frame_rate,
            kind: VideoEncoderKind::first_of(&VideoEncoderKind::LIVE)?,
            speed: self.profile.speed,
            nice: 0,
            live: true,
        };
        let mut outlet = self.outlet(&taker, TrackKind::Video);
        let video = VideoEncoder::start(
            &spec,
            &self.voice,
            // The encoder's clock begins at 0: not every one copes with a first picture hours into the day.
            Box::new(move |unit| outlet.send(origin_ns + unit.running_ns, unit)),
        )?;
        let mut sound = if self.card.audio { Some(self.sound(&taker, origin_ns)?) } else { None };
        let began = Instant::now();
        let mut n = first;
        // A key frame that was left out is made up for by the next picture that is not.
        let (mut seen, mut owed) = (first, true);
        let result = loop {
            let due = Duration::from_nanos(timeline.frame_ns(n) - origin_ns);
            if !taker.wait_until(began + due) {
                break Ok(());
            }
            if began.elapsed() > due + BEHIND {
                n = timeline.frame_at(origin_ns + began.elapsed().as_nanos() as u64).max(n);
            }
            let mut picture = vec![0; painter.picture_size()];
            painter.paint(n, &mut picture);
            let at = timeline.frame_ns(n) - origin_ns;
            let length = timeline.frame_ns(n + 1) - timeline.frame_ns(n);
            owed |= (seen..=n).any(|n| timeline.is_key(n - first));
            seen = n + 1;
            match video.offer(gst::Buffer::from_mut_slice(picture), at, length, owed, false) {
                Offer::Taken => owed = false,
                Offer::Full => {}
                Offer::Dead => break Ok(()),
            }
            if let Some(sound) = &mut sound
                && !sound.reach(timeline.frame_ns(n + 1))
            {
                break Ok(());
            }
            n += 1;
        };
        video.abort();
        if let Some(sound) = sound {
            sound.encoder.abort();
        }
        result
    }

    fn sound(&self, taker: &Arc<dyn Taker>, origin_ns: u64) -> Result<Sound, LadderError> {
        let mut outlet = self.outlet(taker, TrackKind::Audio);
        let first_unit = (u128::from(origin_ns) * 48_000).div_ceil(u128::from(1024 * SECOND_NS)) as u64;
        let kind = AudioEncoderKind::installed()?;
        let encoder = AudioEncoder::start(kind, self.profile.audio_kbps, first_unit, 0, &self.voice, {
            move |number, unit| outlet.send(number * 1024 * SECOND_NS / 48_000, unit)
        })?;
        let next = encoder.first_sample();
        Ok(Sound { encoder, next })
    }

    fn outlet(&self, taker: &Arc<dyn Taker>, kind: TrackKind) -> Outlet {
        Outlet {
            taker: Arc::clone(taker),
            kind,
            setup: None,
            rung: self.rung.clone(),
            frame_rate: self.card.frame_rate,
            audio_kbps: self.profile.audio_kbps,
        }
    }
}

/// The card's beep on its way.
#[derive(Debug)]
struct Sound {
    encoder: AudioEncoder,
    /// The next sample, counted at 48 kHz from midnight.
    next: i64,
}

impl Sound {
    /// Feeds samples up to `ns` after midnight. `false` when the encoder has died.
    fn reach(&mut self, ns: u64) -> bool {
        let to = (u128::from(ns) * 48_000 / u128::from(SECOND_NS)) as i64;
        let block: Vec<f32> = (self.next..to).flat_map(|i| [beep(i); 2]).collect();
        self.next = self.next.max(to);
        self.encoder.push(&block)
    }
}

/// What carries coded units from an encoder's thread to the session.
struct Outlet {
    taker: Arc<dyn Taker>,
    kind: TrackKind,
    setup: Option<Bytes>,
    rung: Rung,
    frame_rate: (u32, u32),
    audio_kbps: u32,
}

impl Outlet {
    fn send(&mut self, at_ns: u64, unit: EncodedUnit) -> Result<(), String> {
        let EncodedUnit { key, data, codec_data, .. } = unit;
        let mut events = Vec::new();
        if self.setup.as_ref() != Some(&codec_data) {
            self.setup = Some(codec_data.clone());
            events.push(LiveEvent::Setup(self.describe(codec_data)));
        }
        // After midnight the clock just goes on.
        let ns = i64::try_from(at_ns).unwrap_or(i64::MAX);
        events.push(LiveEvent::Unit(LiveUnit { kind: self.kind, dts_ns: ns, pts_ns: ns, key, data }));
        for event in events {
            if !self.taker.take(event) {
                return Err("nobody wants the card any more".to_owned());
            }
        }
        Ok(())
    }

    fn describe(&self, config: Bytes) -> TrackSetup {
        match self.kind {
            TrackKind::Video => TrackSetup {
                language: None,
                kind: TrackKind::Video,
                codec: Codec::Avc,
                config,
                width: self.rung.width,
                height: self.rung.height,
                frame_rate: Some(self.frame_rate),
                sample_rate: 0,
                channels: 0,
                bitrate: Some(u64::from(self.rung.kbps) * 1000),
            },
            _ => TrackSetup {
                language: None,
                kind: TrackKind::Audio,
                codec: Codec::Aac,
                config,
                width: 0,
                height: 0,
                frame_rate: None,
                sample_rate: 48_000,
                channels: 2,
                bitrate: Some(u64::from(self.audio_kbps) * 1000),
            },
        }
    }
}
