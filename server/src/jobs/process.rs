//! The server's side of a packaging process: starts it, stores what it sends, and tries again when it dies.

use std::io::{self, Write as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::JobError;
use super::child::Order;
use super::manager::{JobControl, JobOptions, JobStatus};
use super::place::{Place as _, kind};
use crate::ingest::SourceSpec;
use crate::ladder::wire::{Frame, FrameReader, Malformed};
use crate::ladder::{EncoderProgram, LastWords, LogLevel, Profile, cause_of_death};
use crate::store::{RenditionInfo, StreamStore};

/// How often it is looked whether the job was cancelled.
const TICK: Duration = Duration::from_millis(200);
/// How long a process gets to stop.
const END: Duration = Duration::from_secs(8);
/// Deaths at the same place after which the job fails.
const DEATHS: u32 = 2;
/// Longest text that is believed, in characters.
const TEXT: usize = 1000;

enum End {
    Done,
    Failed(String),
    Died(String),
}

/// Packages in a process of its own. What it had finished when it died stays, and the next one goes on from there.
pub(super) fn package(
    program: &EncoderProgram,
    stream: &Arc<StreamStore>,
    options: &JobOptions,
    control: &JobControl,
    (source, path): (&SourceSpec, Option<&PathBuf>),
    profile: &Profile,
) -> Result<(), JobError> {
    let mut deaths = 0;
    loop {
        let stored = || stream.renditions().iter().map(|r| (r.name().to_owned(), r.len() as u64)).collect();
        let order = Order {
            id: control.id.clone(),
            folder: stream.folder().to_owned(),
            source: source.clone(),
            path: path.cloned(),
            profile: profile.clone(),
            encoders: options.encoders.clone(),
            nice: options.nice,
            stored: stored(),
            poster: stream.stills().poster,
        };
        let why = match one_life(program, stream, control, &order) {
            Ok(End::Done) => return Ok(()),
            _ if control.is_cancelled() => return Err(JobError::Cancelled),
            Ok(End::Failed(why)) => return Err(JobError::Other(why)),
            Ok(End::Died(why)) => why,
            Err(error) => return Err(error),
        };
        let moved = order.stored != stored();
        deaths = if moved { 1 } else { deaths + 1 };
        if deaths >= DEATHS {
            return Err(JobError::Other(format!(
                "the packaging process {why}, {deaths} times at the same place; what is finished stays"
            )));
        }
        control.voice.error(format!("the packaging process {why}; another one goes on"));
    }
}

fn one_life(
    program: &EncoderProgram,
    stream: &Arc<StreamStore>,
    control: &JobControl,
    order: &Order,
) -> Result<End, JobError> {
    let start = |error: io::Error| JobError::Other(format!("cannot start a packaging process: {error}"));
    let (mut ours, theirs) = UnixStream::pair().map_err(start)?;
    let mut command = program.command();
    command.arg("--package").stdin(OwnedFd::from(theirs)).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(start)?;
    // Their end of the connection is in it.
    drop(command);
    let errors = LastWords::of(&mut child, control.voice.named("encoder"));
    let limits = ours.set_write_timeout(Some(END)).and_then(|()| ours.set_read_timeout(Some(TICK)));
    let end = limits.map_err(start).and_then(|()| {
        // One that has died already is told by the end of its words.
        let _ = ours.write_all(&order.write(&stream.stills()));
        let reader = FrameReader::new(ours.try_clone().map_err(start)?);
        take_all(reader, &ours, stream, control)
    });
    let _ = ours.shutdown(Shutdown::Both);
    let _ = child.kill();
    let status = child.wait();
    errors.wait();
    match (end, status) {
        (Ok(None), Ok(status)) => Ok(End::Died(cause_of_death(status))),
        (Ok(None), Err(error)) => Ok(End::Died(format!("was lost: {error}"))),
        (Ok(Some(end)), _) => Ok(end),
        (Err(error), _) => Err(error),
    }
}

/// Takes frames to the end; `None` when that came without a word.
fn take_all(
    mut reader: FrameReader<UnixStream>,
    socket: &UnixStream,
    stream: &Arc<StreamStore>,
    control: &JobControl,
) -> Result<Option<End>, JobError> {
    let mut told = None;
    loop {
        if control.is_cancelled() {
            let at = *told.get_or_insert_with(|| {
                let _ = socket.shutdown(Shutdown::Write);
                Instant::now()
            });
            if at.elapsed() > END {
                return Ok(None);
            }
        }
        match reader.next() {
            Ok(Some(frame)) => match take(frame, stream, control)? {
                Some(end) => return Ok(Some(end)),
                None => continue,
            },
            Err(error) if [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut].contains(&error.kind()) => {}
            Ok(None) | Err(_) => return Ok(None),
        }
    }
}

fn take(mut frame: Frame, stream: &Arc<StreamStore>, control: &JobControl) -> Result<Option<End>, JobError> {
    let malformed = |error: Malformed| JobError::Other(format!("packaging failed: {error}"));
    let unreadable = || malformed(Malformed("a description that cannot be read"));
    match frame.kind {
        kind::EXPECT => {
            let names: Vec<String> =
                serde_json::from_slice(&frame.bytes().map_err(malformed)?).map_err(|_| unreadable())?;
            stream.expect(&names)?;
        }
        kind::ADD => {
            let info: RenditionInfo =
                serde_json::from_slice(&frame.bytes().map_err(malformed)?).map_err(|_| unreadable())?;
            stream.add(info, frame.bytes().map_err(malformed)?)?;
        }
        kind::APPEND => {
            let name = frame.text(TEXT).map_err(malformed)?;
            let (number, start) = (frame.small().map_err(malformed)?, frame.number().map_err(malformed)?);
            let duration = frame.number().map_err(malformed)?;
            stream.append(&name, number, start, duration, frame.bytes().map_err(malformed)?)?;
        }
        kind::RETIRE => stream.retire(&frame.text(TEXT).map_err(malformed)?)?,
        kind::POSTER => keep(control, &stream.put_poster(&frame.bytes().map_err(malformed)?)),
        kind::SHEET => {
            let (number, jpeg) = (frame.small().map_err(malformed)?, frame.bytes().map_err(malformed)?);
            keep(control, &stream.put_sheet(number, &jpeg, &frame.text(usize::MAX).map_err(malformed)?));
        }
        kind::LOG => {
            let level = LogLevel::of_number(frame.number().map_err(malformed)?);
            let from = frame.text(64).map_err(malformed)?;
            control.voice.named(&from).say(level, frame.text(TEXT).map_err(malformed)?);
        }
        kind::STATUS => status(control, &frame.bytes().map_err(malformed)?),
        kind::DONE => {
            status(control, &frame.bytes().map_err(malformed)?);
            return Ok(Some(End::Done));
        }
        kind::FAILED => return Ok(Some(End::Failed(frame.text(TEXT).map_err(malformed)?))),
        _ => return Err(malformed(Malformed("a frame of an unknown kind"))),
    }
    Ok(None)
}

/// A picture that cannot be stored is not worth the stream.
fn keep(control: &JobControl, result: &Result<(), crate::store::StoreError>) {
    if let Err(error) = result {
        control.voice.warn(format!("a picture is not kept: {error}"));
    }
}

/// Its state is the server's own; what it says of its progress is taken over.
fn status(control: &JobControl, text: &[u8]) {
    if let Ok(told) = serde_json::from_slice::<JobStatus>(text) {
        control.update(|status| {
            status.progress = told.progress.clamp(0.0, 1.0);
            status.duration_s = told.duration_s;
            // Those of a process that died stay.
            for warning in told.warnings.into_iter().take(100) {
                if !status.warnings.contains(&warning) && status.warnings.len() < 100 {
                    status.warnings.push(warning);
                }
            }
        });
    }
}
