//! The chunk stream (Adobe's RTMP specification 1.0, section 5.3): messages in pieces, interleaved.

use std::collections::BTreeMap;

use bytes::{Buf as _, Bytes, BytesMut};

/// Largest message in bytes: a key frame of a very good camera is far below it.
pub const LARGEST_MESSAGE: usize = 16 << 20;
/// Chunk streams of one connection; encoders use about five.
const MOST_STREAMS: usize = 32;
/// Chunk size until the peer sets another (section 5.4.1).
pub const FIRST_CHUNK_SIZE: usize = 128;
/// The chunk size that we write with: all that we say fits into one chunk.
pub const OUR_CHUNK_SIZE: u32 = 4096;
/// Timestamps from here on have a field of their own.
const EXTENDED: u32 = 0xff_ffff;

/// A message of the peer's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Message type id.
    pub kind: u8,
    /// Message stream id.
    pub stream: u32,
    /// Milliseconds, modulo 2^32.
    pub timestamp: u32,
    /// What it carries.
    pub payload: Bytes,
}

/// Bytes that are no chunk stream, or cost too much.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// A short header on a chunk stream that had no long one yet.
    #[error("chunk stream {0} starts with a header that refers to an earlier one")]
    NoHeader(u32),
    /// A new message inside an unfinished one.
    #[error("chunk stream {0} starts a message inside another")]
    Interrupted(u32),
    /// A message that is too long.
    #[error("a message of {0} bytes is announced; at most {LARGEST_MESSAGE} are taken")]
    TooLong(usize),
    /// Unfinished messages that are too long together.
    #[error("unfinished messages hold more than {LARGEST_MESSAGE} bytes")]
    TooMuch,
    /// Too many chunk streams.
    #[error("more than {MOST_STREAMS} chunk streams are used")]
    TooManyStreams,
    /// A chunk size outside 1 to 2^31 - 1.
    #[error("the chunk size {0} is out of range")]
    ChunkSize(u32),
}

#[derive(Debug, Default)]
struct Stream {
    timestamp: u32,
    delta: u32,
    length: usize,
    kind: u8,
    stream: u32,
    /// The timestamp field of the last header that had one, when it needed the extended form.
    extended: Option<u32>,
    body: BytesMut,
}

/// Takes messages out of the peer's bytes. Memory grows with what has arrived, never with what is announced.
#[derive(Debug)]
pub struct ChunkReader {
    chunk_size: usize,
    streams: BTreeMap<u32, Stream>,
    /// The chunk stream whose chunk is being read, and what is missing of that chunk.
    open: Option<(u32, usize)>,
    /// Bytes in unfinished messages.
    held: usize,
}

impl Default for ChunkReader {
    fn default() -> Self {
        Self { chunk_size: FIRST_CHUNK_SIZE, streams: BTreeMap::new(), open: None, held: 0 }
    }
}

impl ChunkReader {
    /// The peer's "set chunk size".
    ///
    /// # Errors
    /// When it is 0 or above 2^31 - 1.
    pub fn set_chunk_size(&mut self, size: u32) -> Result<(), ChunkError> {
        if size == 0 || size > i32::MAX as u32 {
            return Err(ChunkError::ChunkSize(size));
        }
        self.chunk_size = size as usize;
        Ok(())
    }

    /// The peer's "abort message".
    pub fn abort(&mut self, chunk_stream: u32) {
        if let Some(stream) = self.streams.get_mut(&chunk_stream) {
            self.held -= stream.body.len();
            stream.body.clear();
        }
    }

    /// The next whole message, or `None` when more bytes are needed. Takes what it used from `input`.
    ///
    /// # Errors
    /// See [`ChunkError`]; nothing can be read after one.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Message>, ChunkError> {
        loop {
            let (id, missing) = match self.open {
                Some(open) => open,
                None => match self.header(input)? {
                    Some(open) => open,
                    None => return Ok(None),
                },
            };
            let Some(stream) = self.streams.get_mut(&id) else { return Err(ChunkError::NoHeader(id)) };
            let take = missing.min(input.len());
            if self.held + take > LARGEST_MESSAGE {
                return Err(ChunkError::TooMuch);
            }
            self.held += take;
            stream.body.extend_from_slice(input.get(..take).unwrap_or_default());
            input.advance(take);
            if take < missing {
                self.open = Some((id, missing - take));
                return Ok(None);
            }
            self.open = None;
            if stream.body.len() >= stream.length {
                self.held -= stream.body.len();
                let (kind, timestamp) = (stream.kind, stream.timestamp);
                let payload = std::mem::take(&mut stream.body).freeze();
                return Ok(Some(Message { kind, stream: stream.stream, timestamp, payload }));
            }
        }
    }

    /// Reads a chunk's header. Gives the chunk stream and how many bytes of body follow.
    fn header(&mut self, input: &mut BytesMut) -> Result<Option<(u32, usize)>, ChunkError> {
        let mut head: &[u8] = input;
        let Ok(first) = head.try_get_u8() else { return Ok(None) };
        let (format, id) = match (first >> 6, first & 63) {
            (format, 0) => (format, head.try_get_u8().map(|b| u32::from(b) + 64)),
            (format, 1) => (format, head.try_get_u16_le().map(|b| u32::from(b) + 64)),
            (format, id) => (format, Ok(u32::from(id))),
        };
        let Ok(id) = id else { return Ok(None) };
        let fields = match format {
            0 => 11,
            1 => 7,
            2 => 3,
            _ => 0,
        };
        if head.len() < fields {
            return Ok(None);
        }
        let known = self.streams.contains_key(&id);
        if !known && self.streams.len() >= MOST_STREAMS {
            return Err(ChunkError::TooManyStreams);
        }
        if !known && format != 0 && format != 1 {
            return Err(ChunkError::NoHeader(id));
        }
        // Some encoders start a chunk stream with a delta: there it counts from 0.
        let stream = self.streams.entry(id).or_default();
        let fresh = stream.body.is_empty();
        if !fresh && format != 3 {
            return Err(ChunkError::Interrupted(id));
        }
        let mut time = (format < 3).then(|| head.get_uint(3) as u32);
        let shape = (format < 2).then(|| (head.get_uint(3) as usize, head.get_u8()));
        let message_stream = (format == 0).then(|| head.get_u32_le());
        let mut extended = None;
        if time == Some(EXTENDED) {
            let Ok(whole) = head.try_get_u32() else { return Ok(None) };
            (time, extended) = (Some(whole), Some(whole));
        } else if let (3, Some(expected)) = (format, stream.extended) {
            // Section 5.3.1.3 repeats the field here; not every encoder does, so it is taken when it is the same.
            let Some(four) = head.first_chunk::<4>() else { return Ok(None) };
            if u32::from_be_bytes(*four) == expected {
                head.advance(4);
            }
        }
        if let Some((length, kind)) = shape {
            if length > LARGEST_MESSAGE {
                return Err(ChunkError::TooLong(length));
            }
            (stream.length, stream.kind) = (length, kind);
        }
        if let Some(message_stream) = message_stream {
            stream.stream = message_stream;
        }
        if let Some(time) = time {
            stream.extended = extended;
            stream.delta = time;
        }
        if fresh {
            stream.timestamp =
                if format == 0 { stream.delta } else { stream.timestamp.wrapping_add(stream.delta) };
        }
        let used = input.len() - head.len();
        input.advance(used);
        Ok(Some((id, (stream.length - stream.body.len()).min(self.chunk_size))))
    }
}

/// Appends a message to `out`, each chunk with a header of its own. The chunk stream id is 2 to 63.
pub fn write(
    out: &mut Vec<u8>,
    chunk_stream: u8,
    kind: u8,
    stream: u32,
    timestamp: u32,
    payload: &[u8],
    chunk_size: u32,
) {
    let short = timestamp.min(EXTENDED);
    let chunks = payload.chunks((chunk_size as usize).max(1));
    for (at, chunk) in chunks.chain(payload.is_empty().then_some(&[][..])).enumerate() {
        if at == 0 {
            out.push(chunk_stream & 63);
            out.extend_from_slice(&short.to_be_bytes()[1..]);
            out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
            out.push(kind);
            out.extend_from_slice(&stream.to_le_bytes());
        } else {
            out.push(0xc0 | (chunk_stream & 63));
        }
        if short == EXTENDED {
            out.extend_from_slice(&timestamp.to_be_bytes());
        }
        out.extend_from_slice(chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(reader: &mut ChunkReader, bytes: &[u8]) -> Vec<Message> {
        let mut input = BytesMut::from(bytes);
        std::iter::from_fn(|| reader.next(&mut input).unwrap()).collect()
    }

    fn message(kind: u8, timestamp: u32, payload: Vec<u8>) -> Message {
        Message { kind, stream: 1, timestamp, payload: payload.into() }
    }

    #[test]
    fn messages_survive_every_chunk_size_and_every_cut() {
        let messages = [
            message(9, 5, (0..=255).cycle().take(1000).collect()),
            message(8, 0x00ff_fffe, vec![1]),
            message(9, 0x00ff_ffff, vec![2; 300]),
            message(9, u32::MAX, vec![3; 129]),
            message(18, 0, vec![]),
        ];
        for size in [1_u32, 127, 128, 4096] {
            let mut bytes = Vec::new();
            for m in &messages {
                write(&mut bytes, 6, m.kind, m.stream, m.timestamp, &m.payload, size);
            }
            let mut reader = ChunkReader::default();
            reader.set_chunk_size(size).unwrap();
            assert_eq!(all(&mut reader, &bytes), messages, "in one piece, chunks of {size}");
            let (mut reader, mut input, mut got) = (ChunkReader::default(), BytesMut::new(), Vec::new());
            reader.set_chunk_size(size).unwrap();
            for byte in &bytes {
                input.extend_from_slice(&[*byte]);
                got.extend(reader.next(&mut input).unwrap());
            }
            assert_eq!(got, messages, "byte by byte, chunks of {size}");
            assert_eq!(reader.held, 0);
        }
    }

    #[test]
    fn interleaved_messages_and_deltas_are_put_together() {
        let mut bytes = vec![];
        // Video of 200 bytes at 1000 in two chunks, an audio message of one byte in between.
        bytes.extend([6, 0, 3, 0xe8, 0, 0, 200, 9, 1, 0, 0, 0]);
        bytes.extend([7; 128]);
        bytes.extend([4, 0, 3, 0xe9, 0, 0, 1, 8, 1, 0, 0, 0, 0xaf]);
        bytes.push(0xc6);
        bytes.extend([7; 72]);
        // Format 1: 40 ms later, one byte; format 2: 20 ms later; format 3: the same again.
        bytes.extend([0x46, 0, 0, 40, 0, 0, 1, 9, 8]);
        bytes.extend([0x86, 0, 0, 20, 9]);
        bytes.extend([0xc6, 10]);
        let got = all(&mut ChunkReader::default(), &bytes);
        let seen: Vec<_> = got.iter().map(|m| (m.kind, m.timestamp, m.payload.len())).collect();
        assert_eq!(seen, [(8, 1001, 1), (9, 1000, 200), (9, 1040, 1), (9, 1060, 1), (9, 1080, 1)]);
    }

    #[test]
    fn long_chunk_stream_ids_are_read() {
        let mut bytes = vec![0, 36, 0, 0, 1, 0, 0, 1, 8, 1, 0, 0, 0, 1];
        bytes.extend([1, 0x10, 0x01, 0, 0, 2, 0, 0, 1, 8, 1, 0, 0, 0, 2]);
        let got = all(&mut ChunkReader::default(), &bytes);
        assert_eq!(got.iter().map(|m| m.timestamp).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn an_extended_timestamp_that_is_not_repeated_is_read_too() {
        let mut bytes = vec![6, 0xff, 0xff, 0xff, 0, 0, 130, 9, 1, 0, 0, 0, 0x01, 0, 0, 0];
        bytes.extend([7; 128]);
        bytes.extend([0xc6, 7, 7, 6, 0, 0, 5, 0, 0, 0, 9, 1, 0, 0, 0]);
        let got = all(&mut ChunkReader::default(), &bytes);
        assert_eq!((got[0].timestamp, got[0].payload.len()), (0x0100_0000, 130));
        assert_eq!((got[1].timestamp, got[1].payload.len()), (5, 0));
    }

    #[test]
    fn what_breaks_the_rules_or_costs_too_much_is_an_error() {
        let next = |reader: &mut ChunkReader, bytes: &[u8]| reader.next(&mut BytesMut::from(bytes));
        assert_eq!(next(&mut ChunkReader::default(), &[0xc6, 1]), Err(ChunkError::NoHeader(6)));
        let mut reader = ChunkReader::default();
        let start = [6, 0, 0, 0, 0, 1, 0, 9, 1, 0, 0, 0];
        let mut twice = start.to_vec();
        twice.extend([0; 128]);
        twice.extend(start);
        assert_eq!(next(&mut reader, &twice), Err(ChunkError::Interrupted(6)));
        let long = [6, 0, 0, 0, 0xff, 0xff, 0xff, 9, 1, 0, 0, 0];
        // 2^24 - 1 bytes are just allowed, and cost nothing yet; but many such do not fit together.
        let mut reader = ChunkReader::default();
        reader.set_chunk_size(1 << 30).unwrap();
        assert_eq!(next(&mut reader, &long), Ok(None));
        let mut reader = ChunkReader::default();
        reader.set_chunk_size(8 << 20).unwrap();
        let result = (4..8).find_map(|id| {
            let mut bytes = vec![id];
            bytes.extend_from_slice(&long[1..]);
            bytes.resize(12 + (8 << 20), 0);
            next(&mut reader, &bytes).err()
        });
        assert_eq!(result, Some(ChunkError::TooMuch));
        let mut reader = ChunkReader::default();
        let many = (2..63).find_map(|id| next(&mut reader, &[id, 0, 0, 0, 0, 0, 0, 9, 1, 0, 0, 0]).err());
        assert_eq!(many, Some(ChunkError::TooManyStreams));
        assert_eq!(ChunkReader::default().set_chunk_size(0), Err(ChunkError::ChunkSize(0)));
    }

    #[test]
    fn an_aborted_message_is_forgotten() {
        let mut reader = ChunkReader::default();
        let mut bytes = vec![6, 0, 0, 0, 0, 1, 0, 9, 1, 0, 0, 0];
        bytes.extend([0; 128]);
        assert!(all(&mut reader, &bytes).is_empty());
        reader.abort(6);
        assert_eq!(reader.held, 0);
        let mut whole = Vec::new();
        write(&mut whole, 6, 9, 1, 7, &[1, 2], 128);
        assert_eq!(all(&mut reader, &whole), [message(9, 7, vec![1, 2])]);
    }
}
