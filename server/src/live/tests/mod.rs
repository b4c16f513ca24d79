//! Live sessions on a virtual clock, read back from the store.

mod breaks;
mod card;
mod manager;
mod read;
mod rungs;
mod steady;
mod vfr;

use std::sync::Arc;

use bytes::Bytes;

use super::session::Session;
use super::*;
use crate::store::{Store, StreamStore, TrackKind};

/// SPS and PPS of a 320x180 High@1.3 stream.
pub(super) const AVCC: &[u8] = &[
    1, 0x64, 0x00, 0x0d, 0xff, 0xe1, 0, 8, 0x67, 0x64, 0x00, 0x0d, 0xac, 0xd9, 0x41, 0x41, 1, 0, 4, 0x68,
    0xeb, 0xec, 0xb2,
];
/// The same with level 2.0.
pub(super) const OTHER_AVCC: &[u8] = &[
    1, 0x64, 0x00, 0x14, 0xff, 0xe1, 0, 8, 0x67, 0x64, 0x00, 0x14, 0xac, 0xd9, 0x41, 0x41, 1, 0, 4, 0x68,
    0xeb, 0xec, 0xb2,
];
/// AAC-LC, 48 kHz, stereo.
pub(super) const ASC: &[u8] = &[0x11, 0x90];

/// When the tests begin, by the wall clock.
pub(super) const WALL_MS: u64 = 1_700_000_000_000;

pub(super) fn video_setup() -> TrackSetup {
    TrackSetup {
        language: None,
        kind: TrackKind::Video,
        codec: Codec::Avc,
        config: Bytes::from_static(AVCC),
        width: 320,
        height: 180,
        frame_rate: Some((25, 1)),
        sample_rate: 0,
        channels: 0,
        bitrate: Some(800_000),
    }
}

pub(super) fn audio_setup() -> TrackSetup {
    TrackSetup {
        language: None,
        kind: TrackKind::Audio,
        codec: Codec::Aac,
        config: Bytes::from_static(ASC),
        width: 0,
        height: 0,
        frame_rate: None,
        sample_rate: 48_000,
        channels: 2,
        bitrate: Some(128_000),
    }
}

pub(super) fn settings() -> LiveSettings {
    LiveSettings { window_s: 0, ..LiveSettings::default() }
}

/// A session, its clock and its store.
pub(super) struct Rig {
    pub(super) store: Store,
    pub(super) stream: Arc<StreamStore>,
    pub(super) session: Session,
    /// The wall clock in milliseconds since [`WALL_MS`].
    pub(super) now_ms: u64,
    pub(super) dir: tempfile::TempDir,
}

impl Rig {
    pub(super) fn new(settings: LiveSettings) -> Self {
        Self::with(settings, None)
    }

    pub(super) fn with(settings: LiveSettings, ladders: Option<Arc<dyn LiveLadders>>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let stream = store.get_or_create("s").unwrap();
        let session = Session::new(Arc::clone(&stream), settings, ladders);
        Self { store, stream, session, now_ms: 0, dir }
    }

    /// As after `kill -9`: everything that was not on the disk is gone.
    pub(super) fn restart(&mut self, settings: LiveSettings) {
        self.stream.flush_live();
        self.store = Store::open(self.dir.path()).unwrap();
        self.stream = self.store.get("s").unwrap();
        self.session = Session::new(Arc::clone(&self.stream), settings, None);
    }

    pub(super) fn send(&mut self, event: LiveEvent) {
        self.session.handle(event, WALL_MS + self.now_ms).unwrap();
    }

    pub(super) fn set_up(&mut self) {
        self.send(LiveEvent::Setup(video_setup()));
        self.send(LiveEvent::Setup(audio_setup()));
    }

    pub(super) fn unit(&mut self, kind: TrackKind, dts_ms: f64, pts_ms: f64, key: bool) {
        // Publishers of the RTMP kind know whole milliseconds only.
        let ns = |ms: f64| ms.round() as i64 * 1_000_000;
        let data = Bytes::from(format!("{dts_ms:.3}"));
        self.send(LiveEvent::Unit(LiveUnit { kind, dts_ns: ns(dts_ms), pts_ns: ns(pts_ms), key, data }));
    }

    /// Sends from `from` to `to` seconds of a stream that began at `origin_ms` by its own clock. The wall clock
    /// goes along.
    pub(super) fn play(&mut self, feed: Feed, origin_ms: f64, from: f64, to: f64) {
        let frame = 1000.0 / feed.frame_rate;
        let packet = 1024.0 * 1000.0 / feed.sample_rate;
        let mut frames = (from * 1000.0 / frame).ceil() as u64;
        let mut packets = (from * 1000.0 / packet).ceil() as u64;
        let wall = self.now_ms;
        loop {
            let (video, audio) = (frames as f64 * frame, packets as f64 * packet);
            let at = match (feed.video, feed.audio) {
                (true, true) => video.min(audio),
                (true, false) => video,
                _ => audio,
            };
            if at >= to * 1000.0 - 1e-6 {
                break;
            }
            self.now_ms = wall + (at - from * 1000.0) as u64;
            if feed.video && video <= at {
                let key = frames.is_multiple_of(feed.gop);
                self.unit(TrackKind::Video, origin_ms + video, origin_ms + video + feed.delay_ms, key);
                frames += 1;
            } else {
                self.unit(TrackKind::Audio, origin_ms + audio, origin_ms + audio, true);
                packets += 1;
            }
        }
        self.now_ms = wall + ((to - from) * 1000.0) as u64;
    }

    pub(super) fn segments(&self, name: &str) -> Arc<[crate::store::SegmentEntry]> {
        self.stream.rendition(name).unwrap().segments()
    }
}

/// What a publisher sends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Feed {
    pub(super) video: bool,
    pub(super) audio: bool,
    pub(super) frame_rate: f64,
    /// Frames between key frames.
    pub(super) gop: u64,
    pub(super) sample_rate: f64,
    /// Presentation after decoding.
    pub(super) delay_ms: f64,
}

pub(super) const FEED: Feed =
    Feed { video: true, audio: true, frame_rate: 25.0, gop: 50, sample_rate: 48_000.0, delay_ms: 0.0 };
