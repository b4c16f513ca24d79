//! The server's side of an encoder process: starts it, feeds it, takes its words, and starts it again when it dies.

use std::io::{self, Write as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::desk::Desk;
use super::handle::{Message, Shared};
use super::program::{EncoderProgram, LastWords};
use super::words::{Order, Task, Word};
use super::worker::TICK;
use crate::ladder::wire::FrameReader;
use crate::live::RungEvent;

/// How long a process gets to end by itself.
const END: Duration = Duration::from_secs(8);

/// When a process that died is started again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// The first pause; each further one is twice as long.
    pub(super) pause: Duration,
    /// Deaths in a row after which its rungs are given up.
    pub(super) deaths: u32,
    /// A process that lived so long has made up for those before.
    pub(super) good: Duration,
    /// One that says nothing for so long is stuck; it says something every second.
    pub(super) stuck: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            pause: Duration::from_millis(500),
            deaths: 6,
            good: Duration::from_secs(60),
            stuck: Duration::from_secs(30),
        }
    }
}

/// Looks after one stream's encoder process.
pub(super) struct Supervisor {
    pub(super) program: EncoderProgram,
    pub(super) patience: Patience,
    pub(super) order: Order,
    pub(super) desk: Arc<Desk>,
    pub(super) shared: Arc<Shared>,
    pub(super) sender: SyncSender<Message>,
}

/// What the thread that listens tells the one that feeds.
#[derive(Debug)]
struct Heard {
    began: Instant,
    stuck: Duration,
    /// When something came last, in milliseconds since the beginning; `u64::MAX` while the session is waited for.
    at_ms: AtomicU64,
    gone: AtomicBool,
    done: AtomicBool,
    /// Rungs that the process has given up itself.
    lost: Mutex<Vec<String>>,
}

impl Heard {
    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    fn is_stuck(&self) -> bool {
        self.now_ms().saturating_sub(self.at_ms.load(Ordering::Acquire)) > self.stuck.as_millis() as u64
    }
}

/// How a process's life ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It has nothing to do any more, or was told to go.
    Well,
    Died(String),
}

impl Supervisor {
    /// Runs processes until nobody wants them.
    pub(super) fn run(mut self, receiver: &Receiver<Message>) {
        let mut deaths = 0;
        loop {
            let began = Instant::now();
            let why = match self.one_life(receiver) {
                End::Well => return,
                End::Died(why) => why,
            };
            if self.shared.stopped() {
                return;
            }
            if self.shared.finishes() {
                // There is nothing for another one to do.
                self.desk
                    .voice
                    .named("encoder")
                    .error(format!("{why} before it had given its last pictures"));
                return;
            }
            deaths = if began.elapsed() > self.patience.good { 1 } else { deaths + 1 };
            let voice = self.desk.voice.named("encoder");
            if deaths > self.patience.deaths {
                voice.error(format!("{why}; it has died {deaths} times in a row and is not started again"));
                let why = format!("its encoder process died {deaths} times in a row; the last time {why}");
                for rung in &self.order.rungs {
                    self.tell(RungEvent::Lost { rung: rung.name.clone(), why: why.clone() });
                }
                return;
            }
            voice.error(format!("{why}; it is started again"));
            for rung in &self.order.rungs {
                self.tell(RungEvent::Interrupted { rung: rung.name.clone(), why: why.clone() });
            }
            if !self.rest(receiver, self.patience.pause * 2_u32.saturating_pow(deaths - 1)) {
                return;
            }
        }
    }

    fn tell(&self, event: RungEvent) {
        // Nobody listens when the stream has ended.
        let _ = self.desk.send(&self.shared, event);
    }

    /// Lets time pass, and pictures with it; `false` when the ladder is not wanted any more.
    fn rest(&self, receiver: &Receiver<Message>, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            match receiver.recv_timeout(left) {
                Ok(Message::Unit(unit)) => drop(self.shared.taken(&unit)),
                Ok(Message::Wake) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
            }
            if self.shared.stopped() || self.shared.finishes() {
                return false;
            }
        }
        true
    }

    fn one_life(&mut self, receiver: &Receiver<Message>) -> End {
        let (mut child, mut socket) = match self.spawn() {
            Ok(pair) => pair,
            Err(error) => return End::Died(format!("the encoder process cannot be started: {error}")),
        };
        let heard = Arc::new(Heard {
            began: Instant::now(),
            stuck: self.patience.stuck,
            at_ms: AtomicU64::new(0),
            gone: AtomicBool::new(false),
            done: AtomicBool::new(false),
            lost: Mutex::default(),
        });
        let errors = LastWords::of(&mut child, self.desk.voice.named("encoder"));
        let (closed, wait_closed) = sync_channel(1);
        let fed =
            self.listen(&socket, &heard, closed).and_then(|()| self.feed(&mut socket, receiver, &heard));
        let _ = socket.shutdown(Shutdown::Write);
        // It ends when its connection does, unless it is stuck; then there is nothing to wait for.
        let stuck = heard.is_stuck();
        if !stuck {
            let _ = wait_closed.recv_timeout(END);
        }
        let _ = child.kill();
        let status = child.wait();
        errors.wait();
        if stuck {
            let _ = wait_closed.recv_timeout(END);
        }
        let lost = std::mem::take(&mut *heard.lost.lock().unwrap_or_else(PoisonError::into_inner));
        self.order.rungs.retain(|rung| !lost.contains(&rung.name));
        if self.shared.stopped() || heard.done.load(Ordering::Acquire) {
            return End::Well;
        }
        match (stuck, status, fed) {
            (true, ..) => End::Died(format!(
                "the encoder process has said nothing for {} s and was ended",
                self.patience.stuck.as_secs()
            )),
            (_, Ok(status), _) => End::Died(format!("the encoder process {}", cause_of_death(status))),
            (_, Err(error), _) => End::Died(format!("the encoder process was lost: {error}")),
        }
    }

    fn spawn(&self) -> io::Result<(Child, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        // Not to be held up by one that does not read.
        ours.set_write_timeout(Some(TICK))?;
        let mut command = self.program.command();
        // The command is dropped here, and our copy of their end with it.
        command.stdin(OwnedFd::from(theirs)).stderr(Stdio::piped());
        Ok((command.spawn()?, ours))
    }

    /// Starts the thread that takes its words.
    fn listen(&self, socket: &UnixStream, heard: &Arc<Heard>, closed: SyncSender<()>) -> io::Result<()> {
        let mut reader = FrameReader::new(socket.try_clone()?);
        let (desk, shared) = (Arc::clone(&self.desk), Arc::clone(&self.shared));
        let (heard, sender) = (Arc::clone(heard), self.sender.clone());
        let take = move || {
            // What is no frame ends the connection, and with it the process.
            while let Ok(Some(frame)) = reader.next() {
                let Ok(word) = Word::read(frame) else { break };
                match &word {
                    Word::Done => heard.done.store(true, Ordering::Release),
                    Word::Lost { rung, .. } => {
                        heard.lost.lock().unwrap_or_else(PoisonError::into_inner).push(rung.clone());
                    }
                    _ => {}
                }
                heard.at_ms.store(u64::MAX, Ordering::Release);
                let _ = desk.take(&shared, word);
                heard.at_ms.store(heard.now_ms(), Ordering::Release);
            }
            drop(desk);
            heard.gone.store(true, Ordering::Release);
            let _ = closed.send(());
            // A full queue wakes its reader as well.
            let _ = sender.try_send(Message::Wake);
        };
        std::thread::Builder::new().name("weir-enc-out".to_owned()).spawn(take)?;
        Ok(())
    }

    /// Sends the order and then pictures, until none follows, or it has gone, is stuck, or is not wanted any more.
    fn feed(&self, socket: &mut UnixStream, receiver: &Receiver<Message>, heard: &Heard) -> io::Result<()> {
        let mut bytes = Vec::new();
        let stills = self.order.stills.as_ref().and_then(|stills| self.desk.stills(stills.size));
        Task::Start(Box::new(Order { stills, ..self.order.clone() })).write(&mut bytes);
        self.send(socket, &bytes, heard)?;
        while !self.is_over(heard) {
            let Some(message) = self.shared.next(receiver, TICK) else { break };
            match message {
                Ok(Message::Unit(unit)) => {
                    let lost = self.shared.taken(&unit);
                    bytes.clear();
                    Task::Unit(unit, lost).write(&mut bytes);
                    self.send(socket, &bytes, heard)?;
                }
                Ok(Message::Wake) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(())
    }

    fn is_over(&self, heard: &Heard) -> bool {
        self.shared.stopped() || heard.gone.load(Ordering::Acquire) || heard.is_stuck()
    }

    fn send(&self, socket: &mut UnixStream, mut bytes: &[u8], heard: &Heard) -> io::Result<()> {
        while !bytes.is_empty() && !self.is_over(heard) {
            match socket.write(bytes) {
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error)
                    if [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut, io::ErrorKind::Interrupted]
                        .contains(&error.kind()) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// How a process ended: "was ended by signal 11 (a memory error)".
pub(crate) fn cause_of_death(status: ExitStatus) -> String {
    let name = |signal| match signal {
        4 => " (illegal instruction)",
        6 => " (it aborted)",
        7 | 11 => " (a memory error)",
        8 => " (an arithmetic error)",
        9 => " (killed, perhaps for want of memory)",
        _ => "",
    };
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("was ended by signal {signal}{}", name(signal)),
        (None, Some(code)) => format!("ended with exit status {code}"),
        (None, None) => "ended".to_owned(),
    }
}
