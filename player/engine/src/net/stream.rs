//! Segments whose bytes are handed on as they come, so that they can be played before the last one is there.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use aes::cipher::{
    BlockModeDecrypt, KeyIvInit,
    block_padding::{NoPadding, Pkcs7},
};
use bytes::{Bytes, BytesMut};
use flate2::write::MultiGzDecoder;
use tokio::sync::{mpsc, watch};
use url::Url;
use weir_manifest::model::{Resource, Segment};

use super::{
    Growth, NetError, SegmentBody, SegmentFetcher, body::Progress, error::host_of, segment::Key,
    text::LONGEST_ASKED,
};
use crate::demux::{Format, InitSegment, Walker, sniff_format};

/// A segment that should be there by the clock and is not yet is asked for again after so long, and so often.
const NOT_YET: Duration = Duration::from_millis(250);
const TRIES: u32 = 12;

/// So often a server may put a request off.
const MOST_ASKED: u32 = 3;

/// A body that breaks off is gone on with where it ended: so often at most, and so often in a row without a byte more.
const RESUMES: u32 = 5;
const IN_VAIN: u32 = 2;
const RESUME_AFTER: Duration = Duration::from_millis(200);

/// What a demuxer gets of a download.
#[derive(Debug)]
pub(crate) enum Piece {
    /// What it needs before any media, in whatever order it comes: the init segment, and what decrypts them.
    Prepared(Option<InitSegment>, Option<Unlock>),
    /// The next bytes, as they were sent.
    Data(Bytes),
    /// A part that was encrypted by itself (RFC 8216bis, 4.4.4.9) ends here.
    Cut,
    /// All came.
    End,
}

/// Decrypts AES-128 in CBC mode piece by piece.
#[derive(Debug)]
pub(crate) struct Unlock {
    url: Url,
    key: [u8; 16],
    iv: [u8; 16],
    /// Vector at the start.
    first: [u8; 16],
    /// There were parts.
    parts: bool,
    /// What is held back: the last block has the padding.
    held: BytesMut,
}

impl Unlock {
    fn new(url: &Url, (key, iv): Key) -> Self {
        Self { url: url.clone(), key, iv, first: iv, parts: false, held: BytesMut::new() }
    }

    /// Plain bytes as far as they are certain to be no padding.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Bytes {
        self.held.extend_from_slice(bytes);
        let ready = self.held.len().saturating_sub(1) / 16 * 16;
        if ready == 0 {
            return Bytes::new();
        }
        let mut blocks = self.held.split_to(ready);
        let next = blocks.last_chunk().copied().unwrap_or(self.iv);
        // Whole blocks without padding cannot fail.
        let _ = cbc::Decryptor::<aes::Aes128>::new(&self.key.into(), &self.iv.into())
            .decrypt_padded::<NoPadding>(&mut blocks);
        self.iv = next;
        blocks.freeze()
    }

    /// The rest, without its padding. Where parts were encrypted each by itself, none.
    pub(crate) fn finish(mut self) -> Result<Bytes, NetError> {
        if self.parts && self.held.is_empty() { Ok(Bytes::new()) } else { self.rest() }
    }

    /// The rest of a part that was encrypted by itself; the next one begins anew.
    pub(crate) fn cut(&mut self) -> Result<Bytes, NetError> {
        self.parts = true;
        let rest = self.rest();
        self.iv = self.first;
        rest
    }

    fn rest(&mut self) -> Result<Bytes, NetError> {
        let length = cbc::Decryptor::<aes::Aes128>::new(&self.key.into(), &self.iv.into())
            .decrypt_padded::<Pkcs7>(&mut self.held)
            .map(<[u8]>::len)
            .map_err(|_| NetError::Decode {
                url: self.url.clone(),
                reason: "decrypting gave no valid padding, so the key or the segment is wrong".to_owned(),
            })?;
        self.held.truncate(length);
        Ok(std::mem::take(&mut self.held).freeze())
    }
}

/// What came of a segment.
#[derive(Debug)]
struct Came {
    bytes: u64,
    first_byte: Duration,
    /// See [`SegmentBody::doubt`].
    doubt: Option<NetError>,
}

impl Came {
    fn well(bytes: u64, first_byte: Duration) -> Self {
        Self { bytes, first_byte, doubt: None }
    }
}

/// Hands the bytes of one resource on, each once however often it is begun anew.
#[derive(Debug)]
pub(crate) struct Tap {
    out: mpsc::Sender<Piece>,
    /// Bytes that were handed on.
    given: u64,
    /// Bytes of this attempt.
    seen: u64,
    /// Undoes a compression that was not asked for.
    unzip: Option<MultiGzDecoder<Vec<u8>>>,
    /// The server sends what is made as it is made: tells where it has nothing more.
    pace: Option<Walker>,
    /// Parts cannot be asked for.
    whole_only: bool,
    shape: Shape,
}

/// As much of a resource's form as it takes to see whether it ends where it may end.
#[derive(Debug, Default)]
enum Shape {
    /// Nothing came, or it is of no form that is known here.
    #[default]
    Any,
    /// It is made of blocks of so many bytes.
    Blocks(u64),
    Boxes(Walker),
}

impl Shape {
    fn of(start: &[u8]) -> Self {
        match sniff_format(start) {
            Some(Format::Mp4) => Self::Boxes(Walker::default()),
            Some(Format::MpegTs) if start.first() == Some(&0x47) => Self::Blocks(188),
            _ => Self::Any,
        }
    }

    /// It cannot end after `given` bytes, or nobody knows whether it can.
    fn is_open(&self, given: u64) -> Option<bool> {
        match self {
            Self::Any => None,
            Self::Blocks(size) => Some(!given.is_multiple_of(*size)),
            Self::Boxes(walker) => Some(walker.lacks_something()),
        }
    }
}

impl Tap {
    pub(super) fn new(out: mpsc::Sender<Piece>) -> Self {
        let shape = Shape::default();
        Self { out, given: 0, seen: 0, unzip: None, pace: None, whole_only: false, shape }
    }

    /// Byte that is wanted next, where the server may be asked to begin there.
    pub(super) fn wants_from(&self) -> u64 {
        if self.whole_only || self.unzip.is_some() || self.pace.is_some() { 0 } else { self.given }
    }

    /// Parts cannot be asked for: the next attempt is for all.
    pub(super) fn needs_whole(&mut self) {
        self.whole_only = true;
    }

    /// Another attempt, which goes on at byte `from`.
    pub(super) fn go_on(&mut self, from: u64) {
        self.seen = from;
    }

    /// Another attempt: what was handed on comes again.
    pub(super) fn begin(&mut self, gzip: bool) {
        self.seen = 0;
        if self.given == 0 {
            self.unzip = gzip.then(|| MultiGzDecoder::new(Vec::new()));
        }
    }

    /// The body is complete.
    pub(super) async fn end(&mut self) -> Result<(), String> {
        let Some(mut unzip) = self.unzip.take() else { return Ok(()) };
        unzip.try_finish().map_err(|error| format!("bad gzip: {error}"))?;
        let rest = Bytes::from(std::mem::take(unzip.get_mut()));
        let _ = self.out.send(Piece::Data(rest)).await;
        Ok(())
    }

    /// Bytes of this attempt.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// The next bytes; whether they are all that there is for now. An error says what is wrong with them.
    pub(super) async fn take(&mut self, bytes: Bytes) -> Result<bool, String> {
        let known = self.given.saturating_sub(self.seen).min(bytes.len() as u64);
        self.seen += bytes.len() as u64;
        let fresh = bytes.slice(known as usize..);
        if fresh.is_empty() {
            return Ok(false);
        }
        if self.given == 0 && matches!(self.shape, Shape::Any) {
            self.shape = Shape::of(&fresh);
        }
        self.given += fresh.len() as u64;
        if let Shape::Boxes(walker) = &mut self.shape {
            walker.walk(&fresh);
        }
        let fresh = match &mut self.unzip {
            Some(unzip) => {
                unzip.write_all(&fresh).map_err(|error| format!("bad gzip: {error}"))?;
                Bytes::from(std::mem::take(unzip.get_mut()))
            }
            None => fresh,
        };
        let idle = match &mut self.pace {
            Some(walker) => {
                walker.walk(&fresh);
                walker.is_after_media()
            }
            None => false,
        };
        // Nobody takes them when the download was given up, and then this ends too.
        let _ = self.out.send(Piece::Data(fresh)).await;
        Ok(idle)
    }
}

impl SegmentFetcher {
    /// As [`fetch`](Self::fetch), but media go to `out` as they come; the answer has none. `growth` tells what the playlists
    /// say of a segment that is still being made.
    pub(crate) async fn stream(
        &self,
        segment: &Segment,
        mut progress: impl FnMut(Progress),
        out: mpsc::Sender<Piece>,
        growth: watch::Receiver<Growth>,
    ) -> Result<SegmentBody, NetError> {
        let media = async {
            if segment.growing && segment.parts.is_some() {
                self.follow(segment, &mut progress, &out, growth).await
            } else {
                self.one(segment, &mut progress, &out).await
            }
        };
        let prepare = async {
            let (init, key) = self.prepare(segment).await?;
            let unlock = key.map(|key| Unlock::new(&segment.media.url, key));
            let ready = init.as_ref().map(|bytes| InitSegment { bytes: bytes.as_ref().clone() });
            let _ = out.send(Piece::Prepared(ready, unlock)).await;
            Ok(init)
        };
        let (Came { bytes, first_byte, doubt }, init) = tokio::try_join!(media, prepare)?;
        Ok(SegmentBody { init, media: Bytes::new(), transferred: bytes, first_byte, doubt })
    }

    /// A segment in one answer.
    async fn one(
        &self,
        segment: &Segment,
        progress: &mut impl FnMut(Progress),
        out: &mpsc::Sender<Piece>,
    ) -> Result<Came, NetError> {
        let mut ask = self.ask(&segment.media);
        let mut tap = Tap::new(out.clone());
        if segment.growing {
            ask.idle = ask.idle.max(segment.duration.saturating_mul(2));
            tap.pace = Some(Walker::default());
        }
        if segment.encryption.is_some() {
            tap.shape = Shape::Blocks(16);
        }
        let (mut tries, mut resumes, mut in_vain) = (0, 0, 0);
        let mut first_byte = None;
        loop {
            let before = tap.given;
            let error = match self.http.read_anywhere(ask.clone(), progress, Some(&mut tap)).await {
                Ok(body) => {
                    let first_byte = *first_byte.get_or_insert(body.first_byte);
                    // A length that is too short hides the rest.
                    let rest = ask.range.is_none()
                        && tap.wants_from() > before
                        && tap.shape.is_open(tap.given) == Some(true);
                    if !rest || resumes >= RESUMES {
                        return Ok(Came::well(tap.given.max(body.length), first_byte));
                    }
                    resumes += 1;
                    continue;
                }
                Err(error) => error,
            };
            let broke_off = matches!(error, NetError::Truncated { .. } | NetError::Lost { .. });
            if broke_off && tap.given > 0 && tap.unzip.is_none() {
                in_vain = if tap.given > before { 0 } else { in_vain + 1 };
                resumes += 1;
                if in_vain < IN_VAIN && resumes < RESUMES {
                    tokio::time::sleep(RESUME_AFTER * resumes).await;
                    continue;
                }
                // A wrong length of something that is whole.
                if matches!(error, NetError::Truncated { .. })
                    && tap.pace.is_none()
                    && tap.shape.is_open(tap.given) == Some(false)
                {
                    let came = Came::well(tap.given, first_byte.unwrap_or_default());
                    return Ok(Came { doubt: Some(error), ..came });
                }
                return Err(error);
            }
            // The rest that was looked for is not there: what came is all.
            if resumes > 0 && !broke_off && matches!(error, NetError::Status { .. }) && tap.given > 0 {
                return Ok(Came::well(tap.given, first_byte.unwrap_or_default()));
            }
            // Clocks differ by a little.
            let early = segment.growing && matches!(error, NetError::Status { status: 404 | 425, .. });
            // A server that says when it can be asked again has not failed yet.
            let asked = error.retry_after().filter(|wait| *wait <= LONGEST_ASKED && tries < MOST_ASKED);
            tries += 1;
            match asked {
                Some(wait) => tokio::time::sleep(wait).await,
                None if early && tries < TRIES => {
                    progress(Progress::Idle);
                    tokio::time::sleep(NOT_YET).await;
                }
                None => return Err(error),
            }
        }
    }

    /// A segment part by part: those that are listed, and the next one before it is there.
    async fn follow(
        &self,
        segment: &Segment,
        progress: &mut impl FnMut(Progress),
        out: &mpsc::Sender<Piece>,
        mut growth: watch::Receiver<Growth>,
    ) -> Result<Came, NetError> {
        let asked = Instant::now();
        let mut done: Vec<Resource> = Vec::new();
        let mut refused: Option<Resource> = None;
        let mut total = 0;
        let mut first_byte = None;
        loop {
            let now = growth.borrow_and_update().clone();
            let listed = &now.parts.list;
            if let Some((_, told)) = done.iter().zip(listed).find(|(had, told)| had != told) {
                let reason = "another part was announced in its place".to_owned();
                return Err(NetError::Lost { host: host_of(&told.url), reason });
            }
            let hinted = now
                .parts
                .next
                .as_ref()
                .filter(|next| !now.complete && refused.as_ref() != Some(*next) && !done.contains(next));
            let base = total;
            let mut tap = Tap::new(out.clone());
            let wanted = match (listed.get(done.len()), hinted) {
                (Some(part), _) => Some((part.clone(), false)),
                (None, Some(next)) => Some((next.clone(), true)),
                (None, None) => None,
            };
            let Some((part, held)) = wanted else {
                match now.whole.filter(|_| listed.is_empty()) {
                    // The whole is encrypted otherwise than its parts: what came of them cannot be gone on with.
                    Some(whole) if now.complete && segment.encryption.is_some() && base > 0 => {
                        let reason = "its parts are not listed any more".to_owned();
                        return Err(NetError::Lost { host: host_of(&whole.url), reason });
                    }
                    // Its parts are not listed any more: what is missing is in the whole.
                    Some(whole) if now.complete => {
                        (tap.given, tap.seen) = (base, 0);
                        let ask = self.ask(&whole);
                        let body = self.http.read_anywhere(ask, progress, Some(&mut tap)).await?;
                        let first_byte = first_byte.unwrap_or(body.first_byte);
                        return Ok(Came::well(body.length.max(base), first_byte));
                    }
                    _ if now.complete && total > 0 => {
                        return Ok(Came::well(total, first_byte.unwrap_or_default()));
                    }
                    _ if now.complete => {
                        let url = segment.media.url.clone();
                        return Err(NetError::Status { url, status: 404, retry_after: None });
                    }
                    _ => {}
                }
                progress(Progress::Idle);
                if growth.changed().await.is_err() {
                    let reason = "its playlist is not followed any more".to_owned();
                    return Err(NetError::Lost { host: host_of(&segment.media.url), reason });
                }
                continue;
            };
            if held || total > 0 {
                progress(Progress::Idle);
            }
            let mut step = |step| match step {
                // How long a server holds a request says nothing about the way to it.
                Progress::Head(_) if held || base > 0 => {}
                // The parts behind it count too.
                Progress::Head(_) => progress(Progress::Head(None)),
                Progress::Bytes(bytes) => progress(Progress::Bytes(base + bytes)),
                Progress::Idle => progress(Progress::Idle),
            };
            let mut ask = self.ask(&part);
            if held {
                ask.idle = ask.idle.max(segment.duration.saturating_mul(3));
            }
            let fetched = if held {
                tokio::select! {
                    fetched = self.http.read_anywhere(ask, &mut step, Some(&mut tap)) => Some(fetched),
                    () = overtaken(&mut growth, done.len(), &part) => None,
                }
            } else {
                Some(self.http.read_anywhere(ask, &mut step, Some(&mut tap)).await)
            };
            match fetched {
                Some(Ok(body)) => {
                    total += body.length;
                    progress(Progress::Bytes(total));
                    first_byte.get_or_insert_with(|| if held { asked.elapsed() } else { body.first_byte });
                    if segment.encryption.is_some() {
                        let _ = out.send(Piece::Cut).await;
                    }
                    done.push(part);
                }
                // The encoder may have cut elsewhere than was announced.
                Some(Err(NetError::Status { .. })) if held => refused = Some(part),
                Some(Err(error)) => return Err(error),
                None if tap.given > 0 => {
                    let reason = "another part was announced in its place".to_owned();
                    return Err(NetError::Lost { host: host_of(&part.url), reason });
                }
                None => refused = Some(part),
            }
        }
    }
}

/// Waits until a playlist shows that the announced part `at` will not come.
async fn overtaken(growth: &mut watch::Receiver<Growth>, at: usize, hint: &Resource) {
    loop {
        if growth.changed().await.is_err() {
            return;
        }
        let now = growth.borrow_and_update();
        match now.parts.list.get(at) {
            Some(part) if part != hint => return,
            None if now.complete => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use aes::cipher::BlockModeEncrypt;

    use super::*;

    #[test]
    fn decrypts_in_pieces_of_any_size() {
        let url = Url::parse("http://a/1.ts").unwrap();
        for length in [0, 1, 15, 16, 17, 1000] {
            let plain: Vec<u8> = (0..length).map(|byte: u32| byte as u8).collect();
            let cipher = cbc::Encryptor::<aes::Aes128>::new(&[7; 16].into(), &[9; 16].into())
                .encrypt_padded_vec::<Pkcs7>(&plain);
            for size in [1, 5, 16, 33, 2000] {
                let mut unlock = Unlock::new(&url, ([7; 16], [9; 16]));
                let mut back: Vec<u8> = Vec::new();
                for piece in cipher.chunks(size) {
                    back.extend(unlock.push(piece));
                }
                back.extend(unlock.finish().unwrap());
                assert_eq!(back, plain, "{length} bytes in pieces of {size}");
            }
        }
        let part = |plain: &[u8]| {
            cbc::Encryptor::<aes::Aes128>::new(&[7; 16].into(), &[9; 16].into())
                .encrypt_padded_vec::<Pkcs7>(plain)
        };
        let mut parts = Unlock::new(&url, ([7; 16], [9; 16]));
        let mut back = Vec::new();
        for plain in [&[1; 40][..], &[2; 16], &[3; 5]] {
            back.extend(parts.push(&part(plain)));
            back.extend(parts.cut().unwrap());
        }
        back.extend(parts.finish().unwrap());
        assert_eq!(back, [&[1; 40][..], &[2; 16], &[3; 5]].concat(), "each part by itself");
        let mut wrong = Unlock::new(&url, ([7; 16], [9; 16]));
        wrong.push(&[1; 40]);
        assert!(matches!(wrong.finish(), Err(NetError::Decode { .. })));
    }

    #[tokio::test]
    async fn what_comes_again_is_handed_on_once() {
        let (out, mut pieces) = mpsc::channel(16);
        let mut tap = Tap::new(out);
        for attempt in ["abc", "abcde", "abcdefg"] {
            tap.begin(false);
            for byte in attempt.bytes() {
                tap.take(Bytes::copy_from_slice(&[byte])).await.unwrap();
            }
        }
        drop(tap);
        let mut all = Vec::new();
        while let Some(Piece::Data(bytes)) = pieces.recv().await {
            all.extend(bytes);
        }
        assert_eq!(all, b"abcdefg");
    }
}
