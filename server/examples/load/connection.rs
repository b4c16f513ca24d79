//! HTTP/1.1 over one kept-alive socket that never blocks, as cheap as can be: the server is measured, not the client.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Poll, Token};
use rustix::net::RecvFlags;

/// Longest head of an answer.
const LONGEST_HEAD: usize = 16 * 1024;

/// One connection with at most one request on its way.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: TcpStream,
    /// What follows the path in each request.
    tail: String,
    /// What the socket did not take yet.
    unsent: Vec<u8>,
    /// Of an answer: its head, and its body where somebody reads it.
    text: Vec<u8>,
    /// Status, whole length and missing bytes of the body, once the head is there.
    body: Option<(u16, usize, usize)>,
    keep: bool,
}

/// A whole answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) bytes: usize,
}

impl Connection {
    /// Connects to `address` and tells `poll` to name it `token`. `headers` are lines that every request carries.
    pub(crate) fn open(poll: &Poll, token: usize, address: SocketAddr, headers: &str) -> io::Result<Self> {
        let mut socket = TcpStream::connect(address)?;
        socket.register(poll.registry(), Token(token), Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            socket,
            tail: format!(" HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n"),
            unsent: Vec::new(),
            text: Vec::new(),
            body: None,
            keep: false,
        })
    }

    /// Asks for a path; `keep` the body or only count it.
    pub(crate) fn ask(&mut self, path: &str, keep: bool) -> io::Result<()> {
        self.keep = keep;
        self.text.clear();
        self.body = None;
        for piece in ["GET ", path, &self.tail] {
            self.unsent.extend_from_slice(piece.as_bytes());
        }
        self.send()
    }

    fn send(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.socket.write(&self.unsent) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                // It is told when there is room, or when it is connected.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) =>
                {
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Goes on with what can be done now. Gives the answer when it is complete; `scratch` is room to read into.
    pub(crate) fn go_on(&mut self, scratch: &mut [u8]) -> anyhow::Result<Option<Answer>> {
        self.send()?;
        loop {
            if let Some((status, bytes, missing)) = self.body {
                if missing == 0 {
                    return Ok(Some(Answer { status, bytes }));
                }
                if !self.keep {
                    let room = missing.min(scratch.len());
                    match discard(&self.socket, scratch.get_mut(..room).unwrap_or_default()) {
                        Ok(0) => bail!("the body ended {missing} bytes early"),
                        Ok(read) => self.body = Some((status, bytes, missing - read)),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                        Err(error) => return Err(error.into()),
                    }
                    continue;
                }
            }
            match self.socket.read(scratch) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(read) => self.came(scratch.get(..read).unwrap_or_default())?,
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The body that was kept.
    pub(crate) fn take_text(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.text)
    }

    fn came(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        if let Some((_, _, missing)) = &mut self.body {
            *missing = missing.checked_sub(bytes.len()).context("more came than was asked for")?;
            self.text.extend_from_slice(bytes);
            return Ok(());
        }
        // The head nearly always comes in one piece, with what it announces or without.
        self.text.extend_from_slice(bytes);
        let Some(end) = self.text.windows(4).position(|four| four == b"\r\n\r\n") else {
            anyhow::ensure!(self.text.len() < LONGEST_HEAD, "a head without end");
            return Ok(());
        };
        let head = self.text.get(..end).unwrap_or_default();
        let status =
            std::str::from_utf8(head.get(9..12).unwrap_or_default())?.parse().context("no status")?;
        let length = length_of(head).context("an answer without a length")?;
        self.text.drain(..end + 4);
        let missing = length.checked_sub(self.text.len()).context("more came than was asked for")?;
        self.body = Some((status, length, missing));
        Ok(())
    }
}

/// The value of `Content-Length`.
fn length_of(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let mut lines = head.split(|byte| *byte == b'\n');
    let line =
        lines.find(|line| line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)))?;
    std::str::from_utf8(line.get(NAME.len()..)?).ok()?.trim().parse().ok()
}

/// Takes bytes off the socket without copying them: a viewer's own machine would, and its work is not what is measured.
fn discard(socket: &TcpStream, room: &mut [u8]) -> io::Result<usize> {
    socket.try_io(|| Ok(rustix::net::recv(socket, room, RecvFlags::TRUNC)?.1))
}

/// Fetches one object whole.
pub(crate) fn get(address: SocketAddr, path: &str) -> anyhow::Result<Vec<u8>> {
    let mut poll = Poll::new()?;
    let mut connection = Connection::open(&poll, 0, address, "")?;
    connection.ask(path, true)?;
    let (mut events, mut scratch) = (mio::Events::with_capacity(4), vec![0; 64 * 1024]);
    loop {
        poll.poll(&mut events, Some(std::time::Duration::from_secs(5)))?;
        anyhow::ensure!(!events.is_empty(), "{path} did not come within 5 s");
        if let Some(answer) = connection.go_on(&mut scratch)? {
            anyhow::ensure!(answer.status == 200, "{path}: {}", answer.status);
            return Ok(connection.text);
        }
    }
}
