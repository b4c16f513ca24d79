//! The conversation with one publisher, without a socket: messages in, answers and events out.

use bytes::{Bytes, BytesMut};
use url::form_urlencoded;

use super::amf::{self, AmfError, Value};
use super::chunk::{self, ChunkError, ChunkReader, Message};
use super::handshake::{Handshake, NotRtmp};

/// The application that publishers connect to: `rtmp://host/live`.
pub const APP: &str = "live";
/// Window of acknowledgements that we ask for and, until told otherwise, keep, in bytes.
const WINDOW: u32 = 2_500_000;
/// Message streams that a client may make; one is enough.
const MOST_STREAMS: u32 = 8;
/// Longest name or application that is looked at, in bytes.
const LONGEST_NAME: usize = 512;

/// Why the conversation ends.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// Not RTMP.
    #[error(transparent)]
    Handshake(#[from] NotRtmp),
    /// The chunk stream is broken.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A command is broken.
    #[error(transparent)]
    Amf(#[from] AmfError),
    /// A message that is too short for its type.
    #[error("a message of type {0} is too short")]
    Short(u8),
    /// What the client asks for is not to be had; it was told so.
    #[error("refused: {0}")]
    Refused(String),
}

/// Who connects and what they want to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishRequest {
    /// The stream key; empty when none was given.
    pub key: String,
    /// The stream's name, when it was given beside the key (`rtmp://host/live/NAME?key=KEY`).
    pub name: Option<String>,
    /// What the client calls itself, in printable characters.
    pub agent: String,
}

/// What the driver of the conversation has to act on.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Somebody wants to publish; answer with [`Session::accept`] or [`Session::refuse`].
    Publish(PublishRequest),
    /// The publisher ends its stream.
    Unpublish,
    /// A video tag.
    Video {
        /// Milliseconds, modulo 2^32.
        timestamp: u32,
        /// The tag's body.
        body: Bytes,
    },
    /// An audio tag.
    Audio {
        /// Milliseconds, modulo 2^32.
        timestamp: u32,
        /// The tag's body.
        body: Bytes,
    },
    /// What the publisher says of its stream: an object.
    Metadata(Value),
}

/// How far the client has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Connected,
    /// A publish request waits for its answer.
    Asked,
    Publishing,
}

/// One conversation.
#[derive(Debug)]
pub struct Session {
    handshake: Handshake,
    shaken: bool,
    chunks: ChunkReader,
    phase: Phase,
    streams: u32,
    /// The message stream that publishes.
    publishing: u32,
    agent: String,
    app_query: String,
    window: u32,
    received: u32,
    acknowledged: u32,
    /// Chunk size that we write with.
    out_chunk: u32,
    out: Vec<u8>,
    /// Sub-messages of an aggregate that were not handed out yet, last first.
    waiting: Vec<Event>,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            handshake: Handshake::default(),
            shaken: false,
            chunks: ChunkReader::default(),
            phase: Phase::Connecting,
            streams: 0,
            publishing: 0,
            agent: String::new(),
            app_query: String::new(),
            window: WINDOW,
            received: 0,
            acknowledged: 0,
            out_chunk: chunk::FIRST_CHUNK_SIZE as u32,
            out: Vec::new(),
            waiting: Vec::new(),
        }
    }
}

impl Session {
    /// Counts bytes from the socket, for acknowledgements.
    pub fn received(&mut self, bytes: usize) {
        self.received = self.received.wrapping_add(bytes as u32);
        if self.shaken && self.received.wrapping_sub(self.acknowledged) >= self.window / 2 {
            self.acknowledged = self.received;
            self.send(2, 3, 0, &self.received.to_be_bytes());
        }
    }

    /// Whether the handshake is over.
    pub fn is_shaken(&self) -> bool {
        self.shaken
    }

    /// What is to be sent to the client now.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Takes from `input` up to the next event; `None` when more bytes are needed. There may be output either way,
    /// also with an error.
    ///
    /// # Errors
    /// See [`SessionError`]; the conversation is over then.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Event>, SessionError> {
        if !self.shaken {
            if !self.handshake.advance(input, &mut self.out)? {
                return Ok(None);
            }
            self.shaken = true;
            self.acknowledged = self.received;
        }
        loop {
            if let Some(event) = self.waiting.pop() {
                return Ok(Some(event));
            }
            let Some(message) = self.chunks.next(input)? else { return Ok(None) };
            if let Some(event) = self.take(message)? {
                return Ok(Some(event));
            }
        }
    }

    /// Lets the publisher begin.
    pub fn accept(&mut self) {
        self.phase = Phase::Publishing;
        let mut begin = vec![0, 0];
        begin.extend_from_slice(&self.publishing.to_be_bytes());
        self.send(2, 4, 0, &begin);
        self.status("status", "NetStream.Publish.Start", "Publishing; viewers see it in a moment.");
    }

    /// Tells the publisher that it may not, or no longer. `code` is a `NetStream.` status.
    pub fn refuse(&mut self, code: &str, why: &str) {
        self.phase = Phase::Connected;
        self.status("error", code, why);
    }

    fn take(&mut self, message: Message) -> Result<Option<Event>, SessionError> {
        let Message { kind, stream, timestamp, payload } = message;
        let number = || {
            let four = payload.first_chunk::<4>().ok_or(SessionError::Short(kind))?;
            Ok::<_, SessionError>(u32::from_be_bytes(*four))
        };
        match kind {
            // Set chunk size, abort, window of acknowledgements.
            1 => self.chunks.set_chunk_size(number()?)?,
            2 => self.chunks.abort(number()?),
            5 => self.window = number()?.clamp(10_000, WINDOW),
            // User control: a ping wants its pong.
            4 if payload.starts_with(&[0, 6]) => {
                let mut pong = vec![0, 7];
                pong.extend(payload.iter().skip(2).take(4));
                self.send(2, 4, 0, &pong);
            }
            8 | 9 | 18 | 15 if self.phase != Phase::Publishing || stream != self.publishing => {}
            8 => return Ok(Some(Event::Audio { timestamp, body: payload })),
            9 => return Ok(Some(Event::Video { timestamp, body: payload })),
            22 if self.phase == Phase::Publishing => self.aggregate(timestamp, payload),
            18 => return Ok(metadata(amf::read(payload)?)),
            // AMF3 messages of commands and data hold AMF0 behind a zero.
            15 if payload.first() == Some(&0) => return Ok(metadata(amf::read(payload.slice(1..))?)),
            17 if payload.first() == Some(&0) => return self.command(stream, amf::read(payload.slice(1..))?),
            20 => return self.command(stream, amf::read(payload)?),
            _ => {}
        }
        Ok(None)
    }

    fn command(&mut self, stream: u32, values: Vec<Value>) -> Result<Option<Event>, SessionError> {
        let mut values = values.into_iter();
        let name = values.next();
        let name = name.as_ref().and_then(Value::text).unwrap_or("");
        let transaction = values.next().and_then(|value| value.number()).unwrap_or(0.0);
        let object = values.next().unwrap_or(Value::Null);
        let argument = values.next();
        match name {
            "connect" => self.connect(transaction, &object)?,
            _ if self.phase == Phase::Connecting => {
                return Err(SessionError::Refused(format!("the command \"{}\" before connect", plain(name))));
            }
            "createStream" => {
                self.streams += 1;
                if self.streams > MOST_STREAMS {
                    return Err(SessionError::Refused("too many streams were created".into()));
                }
                let id = f64::from(self.streams);
                self.reply(&["_result".into(), transaction.into(), Value::Null, id.into()]);
            }
            "releaseStream" | "FCPublish" | "_checkbw" => {
                self.reply(&["_result".into(), transaction.into(), Value::Null, Value::Null]);
            }
            "publish" if self.phase == Phase::Connected => {
                let name = argument.as_ref().and_then(Value::text).unwrap_or("");
                self.phase = Phase::Asked;
                self.publishing = stream;
                return Ok(Some(Event::Publish(self.request(name))));
            }
            "publish" => {
                return Err(SessionError::Refused("a connection publishes one stream at a time".into()));
            }
            "FCUnpublish" | "deleteStream" | "closeStream" if self.phase == Phase::Publishing => {
                self.status("status", "NetStream.Unpublish.Success", "No longer publishing.");
                self.phase = Phase::Connected;
                return Ok(Some(Event::Unpublish));
            }
            "play" | "play2" => {
                self.publishing = stream;
                self.status(
                    "error",
                    "NetStream.Play.Failed",
                    "RTMP is for publishing here; watch by HLS or DASH.",
                );
                return Err(SessionError::Refused("the client wants to play, not to publish".into()));
            }
            _ => {}
        }
        Ok(None)
    }

    fn connect(&mut self, transaction: f64, object: &Value) -> Result<(), SessionError> {
        if self.phase != Phase::Connecting {
            return Err(SessionError::Refused("connect was sent twice".into()));
        }
        let text = |name| object.get(name).and_then(Value::text).unwrap_or("");
        let (app, query) = text("app").split_once('?').unwrap_or((text("app"), ""));
        if app.trim_matches('/') != APP {
            let why = format!("There is no application \"{}\"; publish to rtmp://host/{APP}.", plain(app));
            let info = info("error", "NetConnection.Connect.Rejected", &why);
            self.reply(&["_error".into(), transaction.into(), Value::Null, info]);
            return Err(SessionError::Refused(why));
        }
        self.agent = plain(text("flashVer"));
        self.app_query = query.chars().take(LONGEST_NAME).collect();
        self.send(2, 5, 0, &WINDOW.to_be_bytes());
        let mut bandwidth = WINDOW.to_be_bytes().to_vec();
        bandwidth.push(2);
        self.send(2, 6, 0, &bandwidth);
        self.send(2, 1, 0, &chunk::OUR_CHUNK_SIZE.to_be_bytes());
        self.out_chunk = chunk::OUR_CHUNK_SIZE;
        let properties = Value::object([("fmsVer", "FMS/3,5,7,7009".into()), ("capabilities", 31.0.into())]);
        let mut info = info("status", "NetConnection.Connect.Success", "Connected.");
        if let Value::Object(members) = &mut info {
            // Enhanced RTMP v2: what can be forwarded (2) without being decoded here.
            let forward = |codes: &[&str]| {
                Value::Object(codes.iter().map(|code| ((*code).to_owned(), Value::Number(2.0))).collect())
            };
            let codes: [&str; 5] = ["av01", "hvc1", "avc1", "Opus", "mp4a"];
            members.push(("objectEncoding".into(), 0.0.into()));
            members.push(("capsEx".into(), 0.0.into()));
            members.push(("fourCcList".into(), Value::Array(codes.map(Value::from).to_vec())));
            members.push(("videoFourCcInfoMap".into(), forward(&["av01", "hvc1", "avc1"])));
            members.push(("audioFourCcInfoMap".into(), forward(&["Opus", "mp4a"])));
        }
        self.reply(&["_result".into(), transaction.into(), properties, info]);
        self.phase = Phase::Connected;
        Ok(())
    }

    /// Key and name, from `KEY`, `KEY?more`, `NAME?key=KEY`, or `key=KEY` behind the application.
    fn request(&self, name: &str) -> PublishRequest {
        let (path, query) = name.split_once('?').unwrap_or((name, ""));
        let path = path.trim_matches('/');
        let key = [query, self.app_query.as_str()].iter().find_map(|query| {
            form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "key").map(|(_, key)| key)
        });
        let cut = |text: &str| text.chars().take(LONGEST_NAME).collect::<String>();
        match key {
            Some(key) => PublishRequest {
                key: cut(&key),
                name: Some(cut(path)).filter(|name| !name.is_empty()),
                agent: self.agent.clone(),
            },
            None => PublishRequest { key: cut(path), name: None, agent: self.agent.clone() },
        }
    }

    /// Takes an aggregate (type 22) apart: FLV tags whose stamps count from the first one's.
    fn aggregate(&mut self, timestamp: u32, mut body: Bytes) {
        let mut first = None;
        let mut events = Vec::new();
        while let Some(head) = body.first_chunk::<11>().copied() {
            let [kind, l2, l1, l0, t2, t1, t0, t3, ..] = head;
            let length = u32::from_be_bytes([0, l2, l1, l0]) as usize;
            let stamp = u32::from_be_bytes([t3, t2, t1, t0]);
            // The tag is followed by its length.
            if body.len() < 11 + length {
                break;
            }
            let tag = body.slice(11..11 + length);
            body = body.slice((15 + length).min(body.len())..);
            let timestamp = timestamp.wrapping_add(stamp.wrapping_sub(*first.get_or_insert(stamp)));
            match kind {
                8 => events.push(Event::Audio { timestamp, body: tag }),
                9 => events.push(Event::Video { timestamp, body: tag }),
                _ => {}
            }
        }
        events.reverse();
        self.waiting = events;
    }

    fn status(&mut self, level: &str, code: &str, why: &str) {
        let values = ["onStatus".into(), 0.0.into(), Value::Null, info(level, code, why)];
        let payload = amf::write(&values);
        self.send(5, 20, self.publishing, &payload);
    }

    fn reply(&mut self, values: &[Value]) {
        let payload = amf::write(values);
        self.send(3, 20, 0, &payload);
    }

    fn send(&mut self, chunk_stream: u8, kind: u8, stream: u32, payload: &[u8]) {
        chunk::write(&mut self.out, chunk_stream, kind, stream, 0, payload, self.out_chunk);
    }
}

fn info(level: &str, code: &str, why: &str) -> Value {
    Value::object([("level", level.into()), ("code", code.into()), ("description", why.into())])
}

fn metadata(values: Vec<Value>) -> Option<Event> {
    let mut values = values.into_iter().skip_while(|value| value.text() == Some("@setDataFrame"));
    if values.next()?.text() != Some("onMetaData") {
        return None;
    }
    values.find(|value| matches!(value, Value::Object(_))).map(Event::Metadata)
}

/// What a client says of itself, fit for logs and pages.
pub(super) fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests;
