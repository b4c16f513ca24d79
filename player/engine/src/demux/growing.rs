//! A segment that is taken apart while it is downloaded.

use std::mem;

use bytes::{Bytes, BytesMut};
use gstreamer as gst;

use super::{
    DemuxError, Demuxed, DemuxedStream, Demuxer, Format, GstDemuxer, InitSegment, StreamKind, WRAP,
    boxes::{self, Outline, Walker},
    chain::{Chain, Collected, Outcome, Raw},
    codec::codec_name,
    gst_demuxer::{LIMIT, TRAILER, sample_from, ticks_to_ns},
    sniff::{self, TS_PACKET},
    ts_time::Scan,
};
use crate::samples::Sample;

/// So much of a transport stream shows that it is one.
const TS_SHOWN: usize = 4 * TS_PACKET;

/// More than this at the start of a segment without anything that describes it is read when it is complete.
const MOST_UNDECIDED: usize = 4 << 20;

/// What was new in a segment since the last look.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The new samples; a stream without new ones is left out.
    pub demuxed: Demuxed,
    /// The streams that the segment says that it has. There may be none of a kind all the same.
    pub kinds: Vec<StreamKind>,
}

/// A segment in the making: bytes in, in any pieces, samples out as soon as they are complete.
///
/// Samples come in decode order, each once. What cannot be read in pieces (packed audio, files whose description stands at
/// their end) comes in one batch with [`finish`](Self::finish).
#[derive(Debug)]
pub struct Growing {
    init: Option<InitSegment>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// It is not clear yet what it is.
    Undecided(BytesMut),
    /// It has to be complete first.
    Whole(BytesMut),
    Open(Box<Open>),
    Failed(DemuxError),
}

/// One stream of it.
#[derive(Debug)]
struct Track {
    kind: StreamKind,
    pid: Option<u16>,
    first: Option<i64>,
    /// Came before it was clear where they belong.
    raw: Vec<Raw>,
    /// Samples without a length, and what came behind them.
    tail: Vec<Sample>,
    /// The last sample that was given out.
    before: Option<Sample>,
    /// Presentation times of all.
    shown: Vec<i64>,
    longest: i64,
}

/// What is known of its streams.
#[derive(Debug)]
struct Book {
    format: Format,
    tracks: Vec<Track>,
    timed: bool,
    /// What to add to the chain's times; `None` while that is not known.
    offset: Option<i64>,
    scan: Scan,
}

#[derive(Debug)]
struct Open {
    chain: Chain,
    book: Book,
    walker: Walker,
    /// Less than a packet.
    rest: BytesMut,
    /// Nothing more is taken.
    stopped: bool,
    given: bool,
}

impl Growing {
    /// A segment whose initialization segment is `init`.
    pub fn new(init: Option<InitSegment>) -> Self {
        Self { init, stage: Stage::Undecided(BytesMut::new()) }
    }

    /// The next bytes of it.
    pub fn push(&mut self, bytes: Bytes) {
        match &mut self.stage {
            Stage::Undecided(start) => {
                start.extend_from_slice(&bytes);
                self.decide();
            }
            Stage::Whole(all) => all.extend_from_slice(&bytes),
            Stage::Open(open) => open.push(bytes),
            Stage::Failed(_) => {}
        }
    }

    fn decide(&mut self) {
        let Stage::Undecided(start) = &mut self.stage else { return };
        let ready = match sniff::sniff(start) {
            Some(Format::Mp4) => boxes::tells(start),
            Some(Format::MpegTs) => (start.len() >= TS_SHOWN).then_some(true),
            Some(Format::PackedAudio) => Some(false),
            None => (start.len() >= TS_SHOWN).then_some(false),
        };
        let ready = ready.or((start.len() > MOST_UNDECIDED).then_some(false));
        let Some(ready) = ready else { return };
        let start = mem::take(start);
        self.stage = if ready {
            match Open::new(self.init.as_ref(), start.freeze()) {
                Ok(open) => Stage::Open(Box::new(open)),
                Err(error) => Stage::Failed(error),
            }
        } else {
            Stage::Whole(start)
        };
    }

    /// What has become complete since the last call.
    pub fn take(&mut self) -> Option<Batch> {
        let Stage::Open(open) = &mut self.stage else { return None };
        open.take()
    }

    /// All bytes were pushed: what has not been given out yet.
    ///
    /// # Errors
    /// As [`Demuxer::append`], when the segment gave nothing at all.
    pub fn finish(self) -> Result<Demuxed, DemuxError> {
        match self.stage {
            Stage::Undecided(all) | Stage::Whole(all) => {
                GstDemuxer::new()?.append(self.init.as_ref(), all.freeze())
            }
            Stage::Open(open) => open.finish(),
            Stage::Failed(error) => Err(error),
        }
    }
}

impl Open {
    fn new(init: Option<&InitSegment>, start: Bytes) -> Result<Self, DemuxError> {
        gst::init().map_err(|error| DemuxError::Setup(error.to_string()))?;
        let format = sniff::sniff(&start).unwrap_or(Format::MpegTs);
        let mp4 = format == Format::Mp4;
        let outline = if mp4 { boxes::outline(&start) } else { Outline::default() };
        let init = init.filter(|_| !outline.has_moov);
        if mp4 && init.is_none() && !outline.has_moov {
            return Err(DemuxError::MissingInit);
        }
        let mut open = Self {
            chain: Chain::demuxer(if mp4 { "qtdemux" } else { "tsdemux" }, LIMIT)?,
            book: Book {
                format,
                tracks: Vec::new(),
                timed: !mp4 || outline.has_decode_time || !outline.has_moof,
                offset: mp4.then_some(0),
                scan: Scan::default(),
            },
            walker: Walker::default(),
            rest: BytesMut::new(),
            stopped: false,
            given: false,
        };
        if mp4 {
            if let Some(init) = init {
                open.feed(init.bytes.clone());
            }
            open.push(start);
        } else {
            open.push(start.slice(sniff::ts_start(&start).unwrap_or(0)..));
        }
        Ok(open)
    }

    fn push(&mut self, bytes: Bytes) {
        if self.book.format == Format::Mp4 {
            self.walker.walk(&bytes);
            self.feed(bytes);
            return;
        }
        self.rest.extend_from_slice(&bytes);
        let whole = self.rest.len() - self.rest.len() % TS_PACKET;
        if whole > 0 {
            let packets = self.rest.split_to(whole).freeze();
            self.book.scan.look(&packets);
            self.feed(packets);
        }
    }

    fn feed(&mut self, bytes: Bytes) {
        if !self.stopped {
            self.chain.allow();
            self.stopped = !self.chain.push(bytes, false);
        }
    }

    fn take(&mut self) -> Option<Batch> {
        let book = &mut self.book;
        self.chain.drain(|at, stream, samples| book.add(at, stream, samples));
        book.settle();
        let streams = book.streams(false);
        if streams.is_empty() {
            return None;
        }
        self.given = true;
        Some(Batch { demuxed: book.demuxed(streams, None), kinds: book.kinds() })
    }

    fn finish(self) -> Result<Demuxed, DemuxError> {
        let Self { mut chain, mut book, walker, rest, stopped, given } = self;
        chain.allow();
        if book.format == Format::Mp4 && walker.is_between() && !stopped {
            chain.push(Bytes::from_static(&TRAILER), false);
        }
        let Outcome { streams, error, timed_out } = chain.finish();
        for (at, mut stream) in streams.into_iter().enumerate() {
            let samples = mem::take(&mut stream.samples);
            book.add(at, &stream, samples);
        }
        book.settle();
        let timed = book.offset.is_some();
        if !timed {
            // Nothing tells: the manifest will.
            book.offset = Some(0);
            book.settle();
            book.timed = false;
        }
        let damage = match book.format {
            Format::Mp4 if !walker.is_between() => Some("it ends in the middle of a box".to_owned()),
            Format::MpegTs if !rest.is_empty() => Some("it ends in the middle of a packet".to_owned()),
            _ => None,
        };
        let damage = damage
            .or(error)
            .or_else(|| timed_out.then(|| format!("reading was given up after {} s", LIMIT.as_secs())));
        let streams = book.streams(true);
        if streams.is_empty() && !given {
            if timed_out {
                return Err(DemuxError::TimedOut(LIMIT.as_secs()));
            }
            let reason = damage.unwrap_or_else(|| "it holds no picture and no sound".to_owned());
            return Err(DemuxError::Corrupt(reason));
        }
        Ok(book.demuxed(streams, damage))
    }
}

impl Book {
    fn add(&mut self, at: usize, stream: &Collected, samples: Vec<Raw>) {
        while self.tracks.len() <= at {
            self.tracks.push(Track {
                kind: stream.kind,
                pid: stream.pid,
                first: None,
                raw: Vec::new(),
                tail: Vec::new(),
                before: None,
                shown: Vec::new(),
                longest: 0,
            });
        }
        if let Some(track) = self.tracks.get_mut(at) {
            (track.kind, track.pid, track.first) = (stream.kind, stream.pid, stream.first);
            track.raw.extend(samples);
        }
    }

    /// Finds the offset, and turns what waits for it into samples.
    fn settle(&mut self) {
        if self.offset.is_none() {
            // All streams share one clock. A stream whose first packet was not used would ask for too little.
            let offsets = self
                .tracks
                .iter()
                .filter_map(|track| Some(ticks_to_ns(*self.scan.stamps.get(&track.pid?)?) - track.first?));
            self.offset = offsets.max();
        }
        let Some(offset) = self.offset else { return };
        for track in &mut self.tracks {
            for raw in mem::take(&mut track.raw) {
                let before = track.tail.last().or(track.before.as_ref());
                if let Some(sample) = sample_from(raw, offset, before) {
                    let at = track.shown.partition_point(|pts| *pts <= sample.pts);
                    track.shown.insert(at, sample.pts);
                    track.tail.push(sample);
                }
            }
        }
    }

    /// Samples whose length is known, or all.
    fn streams(&mut self, all: bool) -> Vec<DemuxedStream> {
        let mut streams: Vec<_> = self.tracks.iter_mut().filter_map(|track| track.give(all)).collect();
        streams.sort_by_key(|stream| stream.kind != StreamKind::Video);
        streams
    }

    fn kinds(&self) -> Vec<StreamKind> {
        let mut kinds = self.scan.kinds.clone();
        kinds.extend(self.tracks.iter().map(|track| track.kind));
        kinds
    }

    fn demuxed(&self, streams: Vec<DemuxedStream>, damage: Option<String>) -> Demuxed {
        let wrap = (self.format == Format::MpegTs).then_some(WRAP);
        Demuxed { format: self.format, streams, wrap, timed: self.timed, damage }
    }
}

impl Track {
    /// The next samples in decode order: as far as their lengths are known, or all.
    fn give(&mut self, all: bool) -> Option<DemuxedStream> {
        // Whatever comes later is shown later than this.
        let decoded = self.tail.last().map(|last| last.dts);
        let mut known = 0;
        for at in 0..self.tail.len() {
            let Some(sample) = self.tail.get_mut(at) else { break };
            if sample.duration == 0 {
                let next = self.shown.get(self.shown.partition_point(|pts| *pts <= sample.pts));
                match next {
                    Some(next) if all || decoded.is_some_and(|decoded| *next <= decoded) => {
                        sample.duration = next - sample.pts;
                    }
                    // The last one takes the length of the one before.
                    _ if all => sample.duration = self.longest,
                    _ => break,
                }
            }
            self.longest = self.longest.max(sample.duration);
            known = at + 1;
        }
        let samples: Vec<Sample> = self.tail.drain(..known).collect();
        let caps = samples.first()?.payload.caps.clone();
        self.before = samples.last().cloned();
        let codec = codec_name(&caps);
        Some(DemuxedStream { kind: self.kind, caps, codec, samples })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demux::test_media::{self as media, Cut, Order, SMALL};

    fn whole(cut: &Cut, at: usize) -> Demuxed {
        let init = cut.init.clone().map(|bytes| InitSegment { bytes });
        GstDemuxer::new().unwrap().append(init.as_ref(), cut.segments[at].clone()).unwrap()
    }

    /// Every batch, and the rest.
    fn in_pieces(cut: &Cut, at: usize, size: usize) -> (Vec<Batch>, Demuxed) {
        let mut growing = Growing::new(cut.init.clone().map(|bytes| InitSegment { bytes }));
        let all = &cut.segments[at];
        let mut batches = Vec::new();
        for from in (0..all.len()).step_by(size) {
            growing.push(all.slice(from..all.len().min(from + size)));
            batches.extend(growing.take());
        }
        (batches, growing.finish().unwrap())
    }

    type Times = Vec<(i64, i64, i64, bool, usize)>;

    fn times<'a>(kind: StreamKind, all: impl IntoIterator<Item = &'a Demuxed>) -> Times {
        let streams = all.into_iter().flat_map(|demuxed| &demuxed.streams);
        let samples = streams.filter(|stream| stream.kind == kind).flat_map(|stream| &stream.samples);
        samples.map(|s| (s.pts, s.dts, s.duration, s.key, s.bytes)).collect()
    }

    #[track_caller]
    fn assert_same(cut: &Cut, kinds: &[StreamKind]) {
        for size in [1 << 20, 5000, 700, 188] {
            let (batches, rest) = in_pieces(cut, 1, size);
            let whole = whole(cut, 1);
            for kind in kinds {
                let parts = batches.iter().map(|batch| &batch.demuxed).chain([&rest]);
                assert_eq!(times(*kind, parts), times(*kind, [&whole]), "{kind:?} in pieces of {size}");
            }
            assert_eq!((rest.wrap, rest.timed, rest.damage), (whole.wrap, whole.timed, whole.damage));
        }
    }

    #[test]
    fn pieces_of_any_size_give_what_the_whole_gives() {
        use StreamKind::{Audio, Video};
        assert_same(&media::video_mp4(SMALL, 4, Order::Straight), &[Video]);
        assert_same(&media::video_mp4(SMALL, 4, Order::Reordered), &[Video]);
        assert_same(&media::audio_mp4(4), &[Audio]);
        assert_same(&media::muxed_ts(SMALL, 4, Order::Straight), &[Video, Audio]);
        assert_same(&media::muxed_ts(SMALL, 4, Order::Reordered), &[Video, Audio]);
    }

    #[test]
    fn samples_come_long_before_the_segment_is_complete() {
        for cut in [media::video_mp4(SMALL, 4, Order::Straight), media::muxed_ts(SMALL, 4, Order::Straight)] {
            let mut growing = Growing::new(cut.init.clone().map(|bytes| InitSegment { bytes }));
            let all = &cut.segments[1];
            growing.push(all.slice(..all.len() / 2));
            let batch = growing.take().expect("half of a segment has samples");
            let count = batch.demuxed.streams[0].samples.len();
            assert!(count > 10 && batch.kinds.contains(&StreamKind::Video), "{count} of 50 pictures");
        }
    }

    #[test]
    fn what_breaks_off_is_damaged_and_what_is_nothing_fails() {
        let cut = media::video_mp4(SMALL, 4, Order::Straight);
        let mut growing = Growing::new(cut.init.clone().map(|bytes| InitSegment { bytes }));
        growing.push(cut.segments[0].slice(..cut.segments[0].len() / 2));
        assert!(growing.take().is_some());
        assert!(growing.finish().unwrap().damage.is_some());

        let mut growing = Growing::new(None);
        growing.push(cut.segments[0].clone());
        assert!(matches!(growing.finish(), Err(DemuxError::MissingInit)));
        let mut growing = Growing::new(None);
        growing.push(Bytes::from_static(&[b'<'; 5000]));
        assert!(growing.take().is_none());
        assert!(matches!(growing.finish(), Err(DemuxError::UnknownFormat { .. })));
        assert!(Growing::new(None).finish().is_err());
    }
}
