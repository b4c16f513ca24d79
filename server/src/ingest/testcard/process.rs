//! The live test card in a process of its own: its side, and the side of the server that looks after it.
//!
//! The server sends an order, and gets set-ups and units as a publisher would send them. An encoder that crashes costs the
//! card a moment, and nobody else anything.

use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::live::{LiveCard, Taker};
use crate::catalog::unix_ms;
use crate::ingest::TestCardSpec;
use crate::ladder::wire::{self, Frame, FrameReader, Malformed};
use crate::ladder::{
    self, EncoderError, EncoderProgram, LastWords, LogLevel, Profile, StreamLog, Voice, cause_of_death,
};
use crate::live::{Codec, LiveEvent, LiveUnit, Publisher, TrackSetup};

/// Pause before a card that died is started again; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(500);
/// Deaths in a row after which it is given up.
const DEATHS: u32 = 6;
/// One that lived so long has made up for those before.
const GOOD: Duration = Duration::from_secs(60);
/// How often the server looks whether it is still wanted while nothing comes.
const TICK: Duration = Duration::from_secs(1);
/// One that says nothing for so long is stuck: it draws several pictures a second.
const STUCK: Duration = Duration::from_secs(15);
/// How long a process gets to end by itself.
const END: Duration = Duration::from_secs(2);
/// Longest text that is believed, in characters.
const TEXT: usize = 1000;

/// Kinds of frames.
mod kind {
    pub(super) const ORDER: u8 = 1;
    pub(super) const SETUP: u8 = 2;
    pub(super) const UNIT: u8 = 3;
    pub(super) const LOG: u8 = 4;
    pub(super) const FAILED: u8 = 5;
}

/// What is to be drawn.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    card: TestCardSpec,
    profile: Profile,
    /// The time of day at which it begins.
    unix_ms: u64,
}

/// A set-up without its bytes.
#[derive(Debug, Serialize, Deserialize)]
struct Plain {
    codec: Codec,
    size: (u32, u32),
    frame_rate: Option<(u32, u32)>,
    sound: (u32, u32),
    bitrate: Option<u64>,
}

fn write_event(event: &LiveEvent, out: &mut Vec<u8>) {
    match event {
        LiveEvent::Setup(setup) => {
            let plain = Plain {
                codec: setup.codec,
                size: (setup.width, setup.height),
                frame_rate: setup.frame_rate,
                sound: (setup.sample_rate, setup.channels),
                bitrate: setup.bitrate,
            };
            // Names and numbers only: it cannot fail.
            wire::write(out, kind::SETUP, &[&serde_json::to_vec(&plain).unwrap_or_default(), &setup.config]);
        }
        LiveEvent::Unit(unit) => {
            let sound = u64::from(unit.kind != crate::store::TrackKind::Video).to_le_bytes();
            let (dts, pts) = (unit.dts_ns.to_le_bytes(), unit.pts_ns.to_le_bytes());
            wire::write(
                out,
                kind::UNIT,
                &[&sound, &dts, &pts, &u64::from(unit.key).to_le_bytes(), &unit.data],
            );
        }
        LiveEvent::Discontinuity | LiveEvent::Warning(_) => {}
    }
}

fn read_event(frame: &mut Frame) -> Result<LiveEvent, Malformed> {
    use crate::store::TrackKind;
    if frame.kind == kind::SETUP {
        let plain: Plain =
            serde_json::from_slice(&frame.bytes()?).map_err(|_| Malformed("a set-up that cannot be read"))?;
        return Ok(LiveEvent::Setup(TrackSetup {
            language: None,
            kind: plain.codec.kind(),
            codec: plain.codec,
            config: frame.bytes()?,
            width: plain.size.0,
            height: plain.size.1,
            frame_rate: plain.frame_rate,
            sample_rate: plain.sound.0,
            channels: plain.sound.1,
            bitrate: plain.bitrate,
        }));
    }
    let kind = if frame.flag()? { TrackKind::Audio } else { TrackKind::Video };
    let (dts_ns, pts_ns) = (frame.number()?.cast_signed(), frame.number()?.cast_signed());
    Ok(LiveEvent::Unit(LiveUnit { kind, dts_ns, pts_ns, key: frame.flag()?, data: frame.bytes()? }))
}

/// Looks after a card's process.
pub(super) struct Remote {
    pub(super) program: EncoderProgram,
    pub(super) card: TestCardSpec,
    pub(super) profile: Profile,
    pub(super) publisher: Publisher,
    pub(super) runtime: Handle,
    pub(super) voice: Voice,
}

/// How a process's life ended.
enum End {
    NotWanted,
    /// It said why it cannot go on.
    Failed(String),
    Died(String),
}

impl Remote {
    /// Runs processes until nobody wants the card, or none of them lives.
    pub(super) fn run(self) {
        let mut deaths = 0;
        loop {
            let began = Instant::now();
            let why = match self.one_life() {
                End::NotWanted => return,
                End::Failed(why) => return self.voice.error(format!("the test card stopped: {why}")),
                End::Died(why) => why,
            };
            deaths = if began.elapsed() > GOOD { 1 } else { deaths + 1 };
            if deaths > DEATHS {
                let times = format!("it has died {deaths} times in a row and is not started again");
                return self.voice.error(format!("the test card's process {why}; {times}"));
            }
            self.voice.error(format!("the test card's process {why}; it is started again"));
            let pause = PAUSE * 2_u32.saturating_pow(deaths - 1);
            let again = self.runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = self.publisher.ended() => false,
                    () = tokio::time::sleep(pause) => self.publisher.send(LiveEvent::Discontinuity).await.is_ok(),
                }
            });
            if !again {
                return;
            }
        }
    }

    fn one_life(&self) -> End {
        let (mut child, socket) = match self.spawn() {
            Ok(pair) => pair,
            Err(error) => return End::Died(format!("cannot be started: {error}")),
        };
        let errors = LastWords::of(&mut child, self.voice.clone());
        let end = self.listen(socket);
        // Its connection is closed: one that is well ends by itself.
        let until = Instant::now() + END;
        while Instant::now() < until && matches!(child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        let status = child.wait();
        errors.wait();
        match (end, status) {
            (Some(end), _) => end,
            (None, Ok(status)) => End::Died(cause_of_death(status)),
            (None, Err(error)) => End::Died(format!("was lost: {error}")),
        }
    }

    fn spawn(&self) -> io::Result<(Child, UnixStream)> {
        let (mut ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(TICK))?;
        ours.set_write_timeout(Some(TICK))?;
        let mut command = self.program.command();
        command.arg("--card").stdin(OwnedFd::from(theirs)).stderr(Stdio::piped());
        let child = command.spawn()?;
        drop(command);
        let order = Order { card: self.card.clone(), profile: self.profile.clone(), unix_ms: unix_ms() };
        let mut bytes = Vec::new();
        wire::write(&mut bytes, kind::ORDER, &[&serde_json::to_vec(&order).unwrap_or_default()]);
        ours.write_all(&bytes)?;
        Ok((child, ours))
    }

    /// Passes on what comes; `None` when the connection broke.
    fn listen(&self, socket: UnixStream) -> Option<End> {
        let mut reader = FrameReader::new(socket);
        let mut heard = Instant::now();
        loop {
            let mut frame = match reader.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => return None,
                Err(error)
                    if [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut].contains(&error.kind()) =>
                {
                    if !self.is_wanted() {
                        return Some(End::NotWanted);
                    }
                    if heard.elapsed() > STUCK {
                        let seconds = STUCK.as_secs();
                        return Some(End::Died(format!("has said nothing for {seconds} s and was ended")));
                    }
                    continue;
                }
                Err(error) => return Some(End::Died(format!("was ended: {error}"))),
            };
            heard = Instant::now();
            match frame.kind {
                kind::SETUP | kind::UNIT => {
                    let event = match read_event(&mut frame) {
                        Ok(event) => event,
                        Err(error) => return Some(End::Died(format!("was ended: {error}"))),
                    };
                    if self.runtime.block_on(self.publisher.send(event)).is_err() {
                        return Some(End::NotWanted);
                    }
                }
                kind::LOG => {
                    let level = LogLevel::of_number(frame.number().unwrap_or(u64::MAX));
                    self.voice.say(level, frame.text(TEXT).unwrap_or_default());
                }
                kind::FAILED => return Some(End::Failed(frame.text(TEXT).unwrap_or_default())),
                _ => return Some(End::Died("was ended: it sent a frame of an unknown kind".to_owned())),
            }
        }
    }

    fn is_wanted(&self) -> bool {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.publisher.ended() => false,
                () = std::future::ready(()) => true,
            }
        })
    }
}

/// The connection to the server, in the card's process.
struct Connection {
    socket: Mutex<UnixStream>,
    gone: Mutex<bool>,
    changed: Condvar,
}

impl Connection {
    fn send(&self, kind: u8, fields: &[&[u8]]) -> bool {
        let mut bytes = Vec::new();
        wire::write(&mut bytes, kind, fields);
        self.write(&bytes)
    }

    fn write(&self, bytes: &[u8]) -> bool {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner).write_all(bytes).is_ok()
    }
}

impl Taker for Connection {
    fn take(&self, event: LiveEvent) -> bool {
        let mut bytes = Vec::new();
        write_event(&event, &mut bytes);
        self.write(&bytes)
    }

    fn wait_until(&self, at: Instant) -> bool {
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        let left = at.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout_while(gone, left, |gone| !*gone);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// What `weir-server encoder --card` does: draws and encodes the card that the order on standard input, a socket, names.
///
/// # Errors
/// When there is no order, or no connection to the server. Why the card stopped is told to the server.
pub fn card_for_parent() -> Result<(), EncoderError> {
    ladder::die_with_parent();
    // Not to be taken for one that encodes rungs.
    let _ = rustix::thread::set_name(c"weir-card");
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut reader = FrameReader::new(socket.try_clone()?);
    let mut first = reader.next()?.ok_or(EncoderError::NoOrder)?;
    let order: Order = serde_json::from_slice(&first.bytes().map_err(io::Error::from)?)
        .map_err(|_| EncoderError::NoOrder)?;
    let connection =
        Arc::new(Connection { socket: Mutex::new(socket), gone: Mutex::default(), changed: Condvar::new() });
    let watched = Arc::clone(&connection);
    let watch = move || {
        while let Ok(Some(_)) = reader.next() {}
        *watched.gone.lock().unwrap_or_else(PoisonError::into_inner) = true;
        watched.changed.notify_all();
        // What hangs in an encoder does not hear it: after a while there is nothing to wait for.
        std::thread::sleep(END);
        std::process::exit(1);
    };
    std::thread::Builder::new().name("weir-parent".to_owned()).spawn(watch)?;
    let said = Arc::clone(&connection);
    let log = StreamLog::relayed(move |level, from, text| {
        let text = if from == "testcard" { text.to_owned() } else { format!("{from}: {text}") };
        let _ = said.send(kind::LOG, &[&level.number().to_le_bytes(), text.as_bytes()]);
    });
    let voice = Voice::new(&Arc::new(log), "testcard");
    let card = LiveCard::new(order.card, &order.profile, voice);
    let result = card.and_then(|card| card.run(order.unix_ms, Arc::clone(&connection)));
    if let Err(error) = result {
        connection.send(kind::FAILED, &[error.to_string().as_bytes()]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::store::TrackKind;

    #[test]
    fn events_come_back_as_they_were() {
        let config = Bytes::from_static(b"avcC");
        let setup = TrackSetup {
            language: None,
            kind: TrackKind::Video,
            codec: Codec::Avc,
            config,
            width: 320,
            height: 180,
            frame_rate: Some((30_000, 1001)),
            sample_rate: 0,
            channels: 0,
            bitrate: Some(500_000),
        };
        let data = Bytes::from_static(b"unit");
        let unit = LiveUnit { kind: TrackKind::Audio, dts_ns: -5, pts_ns: i64::MAX, key: true, data };
        for event in [LiveEvent::Setup(setup), LiveEvent::Unit(unit)] {
            let mut out = Vec::new();
            write_event(&event, &mut out);
            let mut frame = FrameReader::new(&out[..]).next().unwrap().unwrap();
            assert_eq!(read_event(&mut frame), Ok(event));
        }
    }
}
