//! An RTMP publisher for tests.

use std::net::SocketAddr;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use weir_server::ingest::rtmp::amf::{self, Value};
use weir_server::ingest::rtmp::chunk::{self, ChunkReader, Message};

use super::support::PATIENCE;

/// `AVCDecoderConfigurationRecord` of a 320x180 High@1.3 stream.
pub const AVCC: &[u8] = &[
    1, 0x64, 0x00, 0x0d, 0xff, 0xe1, 0, 8, 0x67, 0x64, 0x00, 0x0d, 0xac, 0xd9, 0x41, 0x41, 1, 0, 4, 0x68,
    0xeb, 0xec, 0xb2,
];
/// AAC-LC, 48 kHz, stereo.
pub const ASC: &[u8] = &[0x11, 0x90];
/// What is written in one chunk.
const CHUNK: u32 = 60_000;

/// What the conversation is held over.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

/// A connection to the server.
pub struct RtmpClient {
    socket: Box<dyn Socket>,
    reader: ChunkReader,
    input: BytesMut,
}

impl RtmpClient {
    /// Connects and shakes hands.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(Box::new(TcpStream::connect(address).await.unwrap())).await
    }

    /// Shakes hands.
    async fn over(mut socket: Box<dyn Socket>) -> Self {
        let mut hello = vec![3];
        hello.resize(1 + 1536, 7);
        socket.write_all(&hello).await.unwrap();
        let mut answer = vec![0; 1 + 2 * 1536];
        socket.read_exact(&mut answer).await.unwrap();
        assert_eq!((answer[0], &answer[1 + 1536 + 8..]), (3, &hello[9..]));
        socket.write_all(&answer[1..=1536]).await.unwrap();
        let mut client = Self { socket, reader: ChunkReader::default(), input: BytesMut::new() };
        client.message(1, 0, 0, &CHUNK.to_be_bytes(), 128).await;
        client
    }

    /// Connects and asks to publish; gives the client and the status that answers.
    pub async fn publish(address: SocketAddr, key: &str) -> (Self, String) {
        Self::publish_over(Box::new(TcpStream::connect(address).await.unwrap()), key).await
    }

    /// The same over a connection that is there already.
    pub async fn publish_over(socket: Box<dyn Socket>, key: &str) -> (Self, String) {
        let mut client = Self::over(socket).await;
        let object = Value::object([("app", "live".into()), ("flashVer", "test/1".into())]);
        client.command(0, &["connect".into(), 1.0.into(), object]).await;
        client.command(0, &["createStream".into(), 2.0.into(), Value::Null]).await;
        let publish = ["publish".into(), 3.0.into(), Value::Null, key.into(), "live".into()];
        client.command(1, &publish).await;
        let status = client.status().await;
        (client, status)
    }

    pub async fn command(&mut self, stream: u32, values: &[Value]) {
        self.message(20, stream, 0, &amf::write(values), CHUNK).await;
    }

    async fn message(&mut self, kind: u8, stream: u32, at: u32, payload: &[u8], chunk_size: u32) {
        let mut out = Vec::new();
        chunk::write(&mut out, 3 + kind % 32, kind, stream, at, payload, chunk_size);
        // A server that has closed is seen at the next read.
        let _ = self.socket.write_all(&out).await;
    }

    /// Writes bytes as they are.
    pub async fn raw(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes).await;
    }

    pub async fn video(&mut self, at: u32, body: &[u8]) {
        self.message(9, 1, at, body, CHUNK).await;
    }

    pub async fn audio(&mut self, at: u32, body: &[u8]) {
        self.message(8, 1, at, body, CHUNK).await;
    }

    /// Metadata.
    pub async fn data(&mut self, body: &[u8]) {
        self.message(18, 1, 0, body, CHUNK).await;
    }

    /// H.264 and AAC configurations.
    pub async fn configure(&mut self) {
        self.video(0, &[&[0x17, 0, 0, 0, 0], AVCC].concat()).await;
        self.audio(0, &[&[0xaf, 0], ASC].concat()).await;
    }

    /// Pictures at 25 a second with a key frame every second, and sound, from `from` ms on, for `length` ms. Stamps
    /// wrap as on the wire.
    pub async fn play(&mut self, from: u32, length: u32) {
        let mut sound = 0.0;
        for at in (0..length).step_by(40) {
            let key = at % 1000 == 0;
            let (first, unit) = if key { (0x17, 0x65) } else { (0x27, 0x41) };
            let mut body = vec![first, 1, 0, 0, 0, 0, 0, 0, 200, unit];
            body.resize(9 + 200, 0xaa);
            self.video(from.wrapping_add(at), &body).await;
            while sound <= f64::from(at) {
                let mut body = vec![0xaf, 1];
                body.resize(2 + 150, 0x21);
                self.audio(from.wrapping_add(sound as u32), &body).await;
                sound += 1024.0 / 48.0;
            }
        }
    }

    /// The next message, or none at the end of the connection.
    async fn heard(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.reader.next(&mut self.input).unwrap() {
                if message.kind == 1 {
                    let size = u32::from_be_bytes(*message.payload.first_chunk().unwrap());
                    self.reader.set_chunk_size(size).unwrap();
                }
                return Some(message);
            }
            let read = tokio::time::timeout(PATIENCE, self.socket.read_buf(&mut self.input));
            // A reset ends the connection as well.
            if read.await.expect("the server says something").unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// The code of the next status about the stream; empty at the end of the connection.
    pub async fn status(&mut self) -> String {
        while let Some(message) = self.heard().await {
            if message.kind == 20 {
                let values = amf::read(message.payload).unwrap();
                if values[0].text() == Some("onStatus") || values[0].text() == Some("_error") {
                    let code = values.iter().find_map(|value| value.get("code")).and_then(Value::text);
                    return code.unwrap().to_owned();
                }
            }
        }
        String::new()
    }

    /// Waits for the end of the connection.
    pub async fn closed(&mut self) {
        while self.heard().await.is_some() {}
    }
}
