//! The handshake (Adobe's RTMP specification 1.0, section 5.2), server's side, in its plain form: a zero in the version
//! field of S1 tells the client that no digests are exchanged.

use bytes::{Buf as _, BytesMut};
use sha2::{Digest as _, Sha256};

/// Bytes of C1, C2, S1 and S2.
const BLOCK: usize = 1536;

/// The first byte is not RTMP's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the first byte is {0}, not RTMP's version 3; is this an RTMP client, without TLS or encryption?")]
pub struct NotRtmp(u8);

/// Where the handshake is.
#[derive(Debug, Default)]
pub enum Handshake {
    /// C0 and C1 are awaited.
    #[default]
    Start,
    /// C2 is awaited.
    Answered,
    /// Chunks follow.
    Done,
}

impl Handshake {
    /// Takes what it can from `input`; what is to be sent goes to `out`. True when it is over.
    ///
    /// # Errors
    /// At the first byte that is not RTMP's.
    pub fn advance(&mut self, input: &mut BytesMut, out: &mut Vec<u8>) -> Result<bool, NotRtmp> {
        if matches!(self, Self::Start) {
            match input.first() {
                None => return Ok(false),
                Some(3) => {}
                Some(other) => return Err(NotRtmp(*other)),
            }
            if input.len() < 1 + BLOCK {
                return Ok(false);
            }
            input.advance(1);
            let c1 = input.split_to(BLOCK);
            out.push(3);
            out.extend_from_slice(&[0; 8]);
            out.extend_from_slice(&filler());
            // S2 repeats C1 with the time of its arrival; our clock starts with the connection.
            out.extend_from_slice(c1.get(..4).unwrap_or_default());
            out.extend_from_slice(&[0; 4]);
            out.extend_from_slice(c1.get(8..).unwrap_or_default());
            *self = Self::Answered;
        }
        if matches!(self, Self::Answered) && input.len() >= BLOCK {
            // C2 repeats S1. Clients that send something else exist, and nothing depends on it.
            input.advance(BLOCK);
            *self = Self::Done;
        }
        Ok(matches!(self, Self::Done))
    }
}

/// Bytes that differ from connection to connection, as S1 asks for. They protect nothing.
fn filler() -> [u8; BLOCK - 8] {
    let mut block = [0; BLOCK - 8];
    let seed = uuid::Uuid::new_v4();
    for (at, chunk) in block.chunks_mut(32).enumerate() {
        let digest = Sha256::new().chain_update(seed.as_bytes()).chain_update(at.to_be_bytes()).finalize();
        chunk.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_answered_in_any_pieces() {
        let mut hello = vec![3];
        hello.extend((0..BLOCK).map(|at| at as u8));
        for step in [1, 100, 5000] {
            let (mut handshake, mut input, mut out) = (Handshake::default(), BytesMut::new(), Vec::new());
            for piece in hello.chunks(step) {
                input.extend_from_slice(piece);
                assert!(!handshake.advance(&mut input, &mut out).unwrap());
            }
            assert_eq!(out.len(), 1 + 2 * BLOCK);
            assert_eq!((out[0], &out[1 + BLOCK + 8..]), (3, &hello[9..]));
            assert_eq!(out[5..9], [0; 4], "no digests");
            input.extend_from_slice(&[0; BLOCK]);
            input.extend_from_slice(b"chunk");
            assert!(handshake.advance(&mut input, &mut out).unwrap());
            assert_eq!(&input[..], b"chunk");
        }
    }

    #[test]
    fn other_protocols_are_told_apart_at_once() {
        for first in [b'G', 0x16, 6] {
            let mut input = BytesMut::from(&[first][..]);
            assert_eq!(Handshake::default().advance(&mut input, &mut Vec::new()), Err(NotRtmp(first)));
        }
    }
}
