//! HTTP/1.1 over one kept-alive socket, as cheap as can be: the server is measured, not the client.

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// One connection.
pub(crate) struct Client {
    socket: TcpStream,
    host: String,
    /// Lines that every request carries.
    headers: String,
    buffer: Vec<u8>,
}

/// An answer; the body is kept for small ones that somebody reads.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) bytes: usize,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(host: &str, headers: String) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(host).await.with_context(|| format!("connecting to {host}"))?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, host: host.to_owned(), headers, buffer: vec![0; 64 * 1024] })
    }

    /// Asks for `path`; `keep` the body or only count it.
    pub(crate) async fn get(&mut self, path: &str, keep: bool) -> anyhow::Result<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{}\r\n", self.host, self.headers);
        self.socket.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        let (end, mut rest) = loop {
            let read = self.socket.read(&mut self.buffer).await?;
            if read == 0 {
                bail!("the server closed the connection");
            }
            head.extend_from_slice(self.buffer.get(..read).unwrap_or(&[]));
            if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
                break (end, head.split_off(end + 4));
            }
            if head.len() > 64 * 1024 {
                bail!("a head without end");
            }
        };
        head.truncate(end);
        let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status")?;
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if let Some(length) = field("content-length:") {
            let length: usize = length.parse().context("content-length")?;
            let mut got = rest.len();
            while got < length {
                let read = self.socket.read(&mut self.buffer).await?;
                if read == 0 {
                    bail!("the body ended after {got} of {length} bytes");
                }
                got += read;
                if keep {
                    rest.extend_from_slice(self.buffer.get(..read).unwrap_or(&[]));
                }
            }
            return Ok(Answer { status, bytes: length, body: rest });
        }
        // Chunked: read until the last chunk; its framing is counted along, which is a few bytes.
        while !rest.ends_with(b"0\r\n\r\n") {
            let read = self.socket.read(&mut self.buffer).await?;
            if read == 0 {
                bail!("a chunked body ended early");
            }
            rest.extend_from_slice(self.buffer.get(..read).unwrap_or(&[]));
        }
        Ok(Answer { status, bytes: rest.len(), body: rest })
    }
}
