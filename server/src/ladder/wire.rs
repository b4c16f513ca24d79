//! Frames between the server and the processes that encode for it: a length, a kind, and fields that each say their length.
//!
//! Neither side believes the other: a frame is bounded, a field that does not fit is an error, and an error ends the
//! connection.

use std::io::{self, Read};

use bytes::{Buf as _, Bytes, BytesMut};

/// Longest frame in bytes: ten seconds of a film at 200 Mbit/s, and what goes with it.
pub(crate) const LONGEST: usize = 256 << 20;
/// Most fields of a frame.
const FIELDS: usize = 8;
/// What is read at once.
const CHUNK: usize = 64 << 10;

/// What the other side sent is no frame, or not the one that it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the other side sent what is no frame: {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

impl From<Malformed> for io::Error {
    fn from(error: Malformed) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// Puts a frame into `out`.
pub(crate) fn write(out: &mut Vec<u8>, kind: u8, fields: &[&[u8]]) {
    let length = 2 + fields.iter().map(|field| 4 + field.len()).sum::<usize>();
    out.reserve(4 + length);
    out.extend_from_slice(&(length as u32).to_le_bytes());
    out.extend_from_slice(&[kind, fields.len() as u8]);
    for field in fields {
        out.extend_from_slice(&(field.len() as u32).to_le_bytes());
        out.extend_from_slice(field);
    }
}

/// A frame's fields, taken one after the other.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    rest: Bytes,
    fields: usize,
}

impl Frame {
    pub(crate) fn bytes(&mut self) -> Result<Bytes, Malformed> {
        self.fields = self.fields.checked_sub(1).ok_or(Malformed("a field is missing"))?;
        let length = self.rest.try_get_u32_le().map_err(|_| Malformed("a field has no length"))? as usize;
        if length > self.rest.len() {
            return Err(Malformed("a field is cut off"));
        }
        Ok(self.rest.split_to(length))
    }

    /// A text of at most `longest` characters; what follows is cut off.
    pub(crate) fn text(&mut self, longest: usize) -> Result<String, Malformed> {
        Ok(String::from_utf8_lossy(&self.bytes()?).chars().take(longest).collect())
    }

    pub(crate) fn number(&mut self) -> Result<u64, Malformed> {
        let bytes = self.bytes()?;
        let bytes = bytes.as_ref().try_into().map_err(|_| Malformed("a number has not eight bytes"))?;
        Ok(u64::from_le_bytes(bytes))
    }

    pub(crate) fn small(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.number()?).map_err(|_| Malformed("a number is too large"))
    }

    pub(crate) fn flag(&mut self) -> Result<bool, Malformed> {
        Ok(self.number()? != 0)
    }
}

/// Reads frames.
#[derive(Debug)]
pub(crate) struct FrameReader<R> {
    input: R,
    buffer: BytesMut,
}

impl<R: Read> FrameReader<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, buffer: BytesMut::new() }
    }

    /// The next frame, waiting for it; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = parse(&mut self.buffer)? {
                return Ok(Some(frame));
            }
            let filled = self.buffer.len();
            self.buffer.resize(filled + CHUNK, 0);
            let read = match self.buffer.get_mut(filled..) {
                Some(room) => self.input.read(room),
                None => Ok(0),
            };
            self.buffer.truncate(filled + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(Malformed("it ends in the middle of a frame").into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn parse(buffer: &mut BytesMut) -> Result<Option<Frame>, Malformed> {
    let Some(length) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_le_bytes(*length) as usize;
    if !(2..=LONGEST).contains(&length) {
        return Err(Malformed("its length is impossible"));
    }
    // Memory grows with what has come, not with what is announced.
    if buffer.len() < 4 + length {
        return Ok(None);
    }
    buffer.advance(4);
    let mut body = buffer.split_to(length).freeze();
    let (kind, fields) = (body.get_u8(), usize::from(body.get_u8()));
    if fields > FIELDS {
        return Err(Malformed("it has too many fields"));
    }
    Ok(Some(Frame { kind, rest: body, fields }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a byte at a time.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            (room[0], self.0) = (*first, rest);
            Ok(1)
        }
    }

    #[test]
    fn frames_come_back_however_they_are_cut() {
        let mut out = Vec::new();
        write(&mut out, 7, &[b"abc", &5_u64.to_le_bytes(), b""]);
        write(&mut out, 9, &[]);
        let mut reader = FrameReader::new(Drip(&out));
        let mut first = reader.next().unwrap().unwrap();
        assert_eq!((first.kind, first.text(2).unwrap()), (7, "ab".to_owned()));
        assert_eq!((first.number().unwrap(), first.bytes().unwrap().len()), (5, 0));
        assert!(first.bytes().is_err(), "there are no more");
        assert_eq!(reader.next().unwrap().unwrap().kind, 9);
        assert!(reader.next().unwrap().is_none());
    }

    #[test]
    fn what_is_no_frame_is_an_error_and_takes_no_memory() {
        let mut whole = Vec::new();
        write(&mut whole, 1, &[b"abc"]);
        let cut = whole.len() - 1;
        let rows: [&[u8]; 6] = [
            &[0xff; 64],
            &[0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, 7],
            &[2, 0, 0, 0, 1, 200],
            &whole[..cut],
            &(LONGEST as u32 + 1).to_le_bytes(),
        ];
        for row in rows {
            let mut reader = FrameReader::new(row);
            assert!(reader.next().is_err(), "{row:?}");
            assert!(reader.buffer.capacity() < 4 * CHUNK);
        }
        // A field that reaches beyond its frame.
        let mut reader = FrameReader::new(&[6, 0, 0, 0, 1, 1, 200, 0, 0, 0][..]);
        assert!(reader.next().unwrap().unwrap().bytes().is_err());
        // A number of three bytes.
        let mut reader = FrameReader::new(&whole[..]);
        assert!(reader.next().unwrap().unwrap().number().is_err());
    }
}
