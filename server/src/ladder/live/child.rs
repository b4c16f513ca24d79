//! The encoder process: reads an order and pictures from the server, encodes, and writes back what it has to say.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::handle::{Handle, Shared};
use super::words::{Order, Outlet, Task, Word};
use super::worker::{NICE, Worker};
use crate::ladder::log::{StreamLog, Voice};
use crate::ladder::wire::FrameReader;
use crate::ladder::{LadderError, VideoEncoderKind, lower_priority};
use crate::live::LiveLadder as _;

/// How long encoders get to give what they hold and to end, when no picture follows.
const END: Duration = Duration::from_secs(5);

/// Why the process could not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncoderError {
    /// The connection to the server that started it.
    #[error("the connection to the server failed: {0}")]
    Connection(#[from] std::io::Error),
    /// It was not told what to do.
    #[error("this is started by the server, and waits for its order on standard input")]
    NoOrder,
    /// GStreamer's words.
    #[error(transparent)]
    Ladder(#[from] LadderError),
}

/// What `weir-server encoder` does: encodes what comes in on standard input, a socket, until its end.
///
/// # Errors
/// See [`EncoderError`].
pub fn encode_for_parent() -> Result<(), EncoderError> {
    die_with_parent();
    lower_priority(NICE);
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut reader = FrameReader::new(socket.try_clone()?);
    let first = reader.next()?.ok_or(EncoderError::NoOrder)?;
    let Task::Start(order) = Task::read(first).map_err(std::io::Error::from)? else {
        return Err(EncoderError::NoOrder);
    };
    crate::ladder::init()?;
    let outlet = outlet(socket);
    let said = Arc::clone(&outlet);
    let log = StreamLog::relayed(move |level, from, text| {
        let (from, text) = (from.to_owned(), text.to_owned());
        let _ = said(Word::Log { level, from, text });
    });
    let (mut handle, ended) = start(*order, outlet, Voice::new(&Arc::new(log), "source"))?;
    let result = feed(&mut reader, &mut handle);
    // What the encoders hold is still given; the server does not listen where it is not wanted.
    handle.finish();
    // An encoder that does not end must not keep the process.
    let _ = ended.recv_timeout(END);
    drop(handle);
    result
}

/// Which encoders work here, as the first line on standard output: for `weir-server encoder --probe`.
///
/// # Errors
/// When GStreamer cannot be loaded or nobody reads.
pub fn probe_for_parent() -> Result<(), EncoderError> {
    die_with_parent();
    crate::ladder::init()?;
    let works: Vec<VideoEncoderKind> =
        VideoEncoderKind::LIVE.into_iter().filter(|kind| crate::ladder::encoder_works(*kind)).collect();
    let line = serde_json::to_string(&works).unwrap_or_default();
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

pub(crate) fn die_with_parent() {
    // The end of the connection says the same, to a process that is well.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let _ = rustix::thread::set_name(c"weir-encoder");
    // When memory runs out it shall be the rungs, not the server. A system without this file has another way.
    let _ = std::fs::write("/proc/self/oom_score_adj", "500");
}

/// Words go straight into the socket: an encoder waits where the server is behind.
fn outlet(socket: UnixStream) -> Outlet {
    let socket = Mutex::new((socket, Vec::new()));
    Arc::new(move |word| {
        let mut locked = socket.lock().unwrap_or_else(PoisonError::into_inner);
        let (socket, bytes) = &mut *locked;
        bytes.clear();
        word.write(bytes);
        socket.write_all(bytes).is_ok()
    })
}

type Ended = std::sync::mpsc::Receiver<()>;

fn start(order: Order, outlet: Outlet, voice: Voice) -> std::io::Result<(Handle, Ended)> {
    let (end, ended) = std::sync::mpsc::sync_channel(1);
    let plan = order.clone();
    let work = move |shared: Arc<Shared>, sender, receiver| {
        Worker::new(order, outlet, voice, shared, sender).run(&receiver);
        // Nobody waits for it who has gone already.
        let _ = end.send(());
    };
    let (handle, _) = Handle::start(&plan, Vec::new(), None, work)?;
    Ok((handle, ended))
}

fn feed(reader: &mut FrameReader<UnixStream>, handle: &mut Handle) -> Result<(), EncoderError> {
    loop {
        let frame = match reader.next() {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(()),
            // The server has gone without a word.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match Task::read(frame).map_err(std::io::Error::from)? {
            Task::Unit(unit, lost) => {
                handle.shared.lost(lost);
                handle.push(unit);
            }
            Task::Start(_) => return Err(EncoderError::NoOrder),
        }
    }
}
