//! One live stream's ladder: a thread that feeds the decoder and hands its pictures to every encoder.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer_video as gst_video;

use super::decode::LiveDecoder;
use super::handle::{Message, QUEUE, Shared};
use super::load::Load;
use super::stills::LiveStills;
use super::words::{Order, Outlet, Word};
use crate::ladder::log::Voice;
use crate::ladder::{LadderError, Offer, VideoEncoder, VideoEncoderSpec, lower_priority};
use crate::live::SourceUnit;

/// A decoder that fails more often than this is given up.
const DECODER_RETRIES: u32 = 5;
/// A millisecond: times of decoded pictures may be rounded.
const SLACK_NS: u64 = 1_000_000;
/// How much encoders give way to the rest of the server.
pub(super) const NICE: i32 = 5;
/// A decoder that was fed for so long and gave no picture gives none.
const BARREN: Duration = Duration::from_secs(5);
/// A ladder that is behind by no more, in nanoseconds, waits for its encoders instead of leaving pictures out: at the
/// beginning of a take, while its process starts, pictures gather.
const PATIENT_NS: u64 = 1_500_000_000;
/// How often the thread looks at what it has when nothing comes, and says that it is there.
pub(super) const TICK: Duration = Duration::from_secs(1);

struct Running {
    spec: VideoEncoderSpec,
    encoder: VideoEncoder,
    input: (u32, u32),
    load: Load,
    /// A picture that a segment begins with was left out: the next one is a key frame in its stead.
    owes_key: bool,
}

/// What the decoder got since its last picture.
struct Owed {
    since: Instant,
    first_ns: u64,
    last_ns: u64,
}

/// Decodes and encodes.
pub(super) struct Worker {
    order: Order,
    outlet: Outlet,
    voice: Voice,
    stills: Option<LiveStills>,
    shared: Arc<Shared>,
    sender: SyncSender<Message>,
    decoder: Option<LiveDecoder>,
    failures: u32,
    /// Presentation times at which segments begin, oldest first.
    cuts: VecDeque<u64>,
    running: Vec<Running>,
    /// Rungs that are to be started with the first picture.
    waiting: bool,
    input: Load,
    last_pts: Option<u64>,
    owed: Option<Owed>,
    said: Instant,
}

impl Worker {
    pub(super) fn new(
        mut order: Order,
        outlet: Outlet,
        voice: Voice,
        shared: Arc<Shared>,
        sender: SyncSender<Message>,
    ) -> Self {
        let stills = order.stills.take();
        Self {
            stills: stills.map(|stills| LiveStills::new(stills, Arc::clone(&outlet))),
            order,
            outlet,
            voice,
            shared,
            sender,
            decoder: None,
            failures: 0,
            cuts: VecDeque::new(),
            running: Vec::new(),
            waiting: true,
            input: Load::default(),
            last_pts: None,
            owed: None,
            said: Instant::now(),
        }
    }

    pub(super) fn run(mut self, receiver: &Receiver<Message>) {
        lower_priority(NICE);
        let mut skipping = true;
        loop {
            let message = self.shared.next(receiver, TICK);
            if self.stopped() {
                break;
            }
            let Some(message) = message else {
                self.give_the_rest();
                break;
            };
            if self.said.elapsed() >= TICK {
                self.said = Instant::now();
                let _ = (self.outlet)(Word::Alive);
            }
            if let Ok(Message::Unit(unit)) = message {
                let lost = self.shared.taken(&unit);
                if (!skipping || unit.key) && self.feed(&unit) {
                    skipping = false;
                } else {
                    skipping = true;
                    self.input.dropped(1);
                }
                self.input.dropped(lost);
                if self.input.overloaded(unit.pts_ns) {
                    self.retire_dearest("decoding the source does not keep up with real time");
                }
            }
            while let Some(sample) = self.decoder.as_ref().and_then(LiveDecoder::picture) {
                self.picture(&sample);
            }
            if let Some(error) = self.decoder.as_ref().and_then(LiveDecoder::error) {
                self.decoder = None;
                skipping = true;
                self.failures += 1;
                self.voice.warn(format!("decoding the source failed: {error}"));
            }
            if self.failures > DECODER_RETRIES || self.barren() {
                self.retire_all("the source cannot be decoded");
                break;
            }
        }
        if let Some(stills) = &mut self.stills {
            stills.finish();
        }
        // Before the encoders are stopped, so that none is waited for that waits for the session.
        self.shared.stop.store(true, Ordering::Release);
        for rung in self.running.drain(..) {
            rung.encoder.abort();
        }
        let _ = (self.outlet)(Word::Done);
    }

    /// No picture follows: what decoder and encoders hold is given.
    fn give_the_rest(&mut self) {
        if let Some(decoder) = self.decoder.take() {
            decoder.finish();
            loop {
                let (picture, more) = decoder.last_picture();
                if self.stopped() {
                    return;
                }
                if let Some(sample) = picture {
                    self.picture(&sample);
                }
                if !more {
                    break;
                }
            }
        }
        for rung in std::mem::take(&mut self.running) {
            let name = rung.spec.rung.name.clone();
            if let Err(error) = rung.encoder.finish()
                && !self.stopped()
            {
                self.lost(&name, &error.to_string());
            }
        }
    }

    fn stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Acquire)
    }

    /// Pictures are owed for long, by the stream's time and by ours: a burst is no proof, nor is a pause.
    fn barren(&self) -> bool {
        let Some(owed) = &self.owed else { return false };
        owed.since.elapsed() > BARREN && owed.last_ns.saturating_sub(owed.first_ns) > BARREN.as_nanos() as u64
    }

    /// Gives a unit to the decoder, which is started with the first key frame.
    fn feed(&mut self, unit: &SourceUnit) -> bool {
        self.input.offered();
        if self.decoder.is_none() {
            if !unit.key {
                return false;
            }
            let sender = self.sender.clone();
            // A full queue holds messages that have the same effect.
            let wake = move || drop(sender.try_send(Message::Wake));
            match LiveDecoder::start(&self.order.setup, NICE, &self.voice, wake) {
                Ok(decoder) => self.decoder = Some(decoder),
                Err(error) => {
                    self.failures += 1;
                    self.voice.warn(error.to_string());
                    return false;
                }
            }
        }
        if unit.segment.is_some() {
            self.cuts.push_back(unit.pts_ns);
            if self.cuts.len() > QUEUE {
                self.cuts.pop_front();
            }
        }
        let fresh = || Owed { since: Instant::now(), first_ns: unit.pts_ns, last_ns: 0 };
        self.owed.get_or_insert_with(fresh).last_ns = unit.pts_ns;
        self.decoder.as_ref().is_some_and(|decoder| decoder.push(unit))
    }

    /// Hands a decoded picture to every encoder.
    fn picture(&mut self, sample: &gst::Sample) {
        let (Some(buffer), Some(caps)) = (sample.buffer_owned(), sample.caps()) else { return };
        let Some(pts) = buffer.pts().map(gst::ClockTime::nseconds) else { return };
        let Ok(info) = gst_video::VideoInfo::from_caps(caps) else { return };
        self.owed = None;
        // Encoders take times that rise.
        if self.last_pts.replace(pts).is_some_and(|last| pts <= last) {
            return;
        }
        if let Some(stills) = &mut self.stills {
            stills.see(pts, &buffer, &info);
        }
        if std::mem::take(&mut self.waiting) {
            self.start_encoders(&info);
        }
        let mut key = false;
        while self.cuts.front().is_some_and(|cut| *cut <= pts + SLACK_NS) {
            self.cuts.pop_front();
            key = true;
        }
        let (num, den) = self.order.frame_rate;
        let duration = u64::from(den) * 1_000_000_000 / u64::from(num.max(1));
        let mut dead = Vec::new();
        let mut overloaded = false;
        // There is time for the last ones: nothing comes after them.
        let last = self.shared.finishes();
        let patient = self.shared.behind(pts) < PATIENT_NS;
        for (at, rung) in self.running.iter_mut().enumerate() {
            if rung.input != (info.width(), info.height()) {
                rung.input = (info.width(), info.height());
                rung.encoder.set_input_size(&rung.spec, info.width(), info.height());
            }
            let key = key || rung.owes_key;
            if last {
                rung.encoder.wait_for_room();
                if !rung.encoder.push(buffer.clone(), pts, duration, key) {
                    dead.push(at);
                }
                continue;
            }
            rung.load.offered();
            match rung.encoder.offer(buffer.clone(), pts, duration, key, patient) {
                Offer::Taken => rung.owes_key = false,
                Offer::Full => {
                    rung.load.dropped(1);
                    rung.owes_key = key;
                }
                Offer::Dead => dead.push(at),
            }
            overloaded |= rung.load.overloaded(pts);
        }
        for at in dead.into_iter().rev() {
            self.bury(at);
        }
        if overloaded {
            self.retire_dearest("encoding does not keep up with real time");
        }
    }

    fn start_encoders(&mut self, input: &gst_video::VideoInfo) {
        for rung in self.order.rungs.clone() {
            let name = rung.name.clone();
            let spec = VideoEncoderSpec {
                rung,
                input: input.clone(),
                frame_rate: self.order.frame_rate,
                kind: self.order.kind,
                speed: self.order.speed,
                nice: NICE,
                live: true,
            };
            let voice = self.voice.named(&name);
            voice.info(format!(
                "H.264 {}x{} at {} kbit/s by {} ({:?})",
                spec.rung.width,
                spec.rung.height,
                spec.rung.kbps,
                spec.kind.element(),
                spec.speed
            ));
            let sink = self.sink(&name);
            match VideoEncoder::start(&spec, &voice, sink) {
                Ok(encoder) => self.running.push(Running {
                    spec,
                    encoder,
                    input: (input.width(), input.height()),
                    load: Load::default(),
                    owes_key: false,
                }),
                Err(error) => self.lost(&name, &error.to_string()),
            }
        }
    }

    /// Sends an encoder's units to the session.
    fn sink(&self, name: &str) -> crate::ladder::UnitSink {
        let (shared, outlet, rung) = (Arc::clone(&self.shared), Arc::clone(&self.outlet), name.to_owned());
        let mut known = bytes::Bytes::new();
        Box::new(move |unit| {
            let send = |word| {
                let taken = !shared.stop.load(Ordering::Acquire) && outlet(word);
                if taken { Ok(()) } else { Err("the ladder was stopped".to_owned()) }
            };
            if unit.codec_data != known {
                known = unit.codec_data.clone();
                send(Word::Setup { rung: rung.clone(), config: unit.codec_data })?;
            }
            let (time_ns, key, data) = (unit.running_ns, unit.key, unit.data);
            send(Word::Unit { rung: rung.clone(), time_ns, key, data })
        })
    }

    /// An encoder has died.
    fn bury(&mut self, at: usize) {
        let rung = self.running.remove(at);
        let name = rung.spec.rung.name.clone();
        let why = match rung.encoder.finish() {
            Err(error) => error,
            Ok(()) => LadderError::Encode { rendition: name.clone(), why: "it stopped too early".to_owned() },
        };
        if !self.stopped() {
            self.lost(&name, &why.to_string());
        }
    }

    /// Gives up the rung that costs most; the others get its time.
    fn retire_dearest(&mut self, why: &str) {
        self.running.iter_mut().for_each(|rung| rung.load = Load::default());
        self.input = Load::default();
        if let Some(rung) = self.running.pop() {
            let name = rung.spec.rung.name.clone();
            rung.encoder.abort();
            self.lost(&name, why);
        }
    }

    fn retire_all(&mut self, why: &str) {
        self.waiting = false;
        let names: Vec<String> = self.order.rungs.iter().map(|rung| rung.name.clone()).collect();
        for rung in std::mem::take(&mut self.running) {
            rung.encoder.abort();
        }
        for name in names {
            self.lost(&name, why);
        }
    }

    fn lost(&mut self, name: &str, why: &str) {
        self.order.rungs.retain(|rung| rung.name != name);
        self.voice.named(name).warn(format!("the stream goes on without this rung: {why}"));
        // Waits when the session is behind, as units do.
        let _ = (self.outlet)(Word::Lost { rung: name.to_owned(), why: why.to_owned() });
    }
}
