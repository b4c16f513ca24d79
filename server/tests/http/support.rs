//! A server in this process with a packaged stream, and a client that shows every byte.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use weir_server::app::App;
use weir_server::catalog::{Catalog, Source, State, Stream};
use weir_server::config::{Config, Options};
use weir_server::http::Listener;
use weir_server::ladder::Profile;
use weir_server::package::{
    AUDIO_TRACK, AudioConfig, Sample, VIDEO_TRACK, VideoConfig, audio_init, media_segment, video_init,
};
use weir_server::router::Site;
use weir_server::store::{RenditionInfo, Store, StreamStore, TrackKind};
use weir_server::viewers::ManualClock;

/// Longest that a test waits for something that should come at once.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// SPS and PPS of a 320x180 High@1.3 stream.
pub const AVCC: &[u8] = &[
    1, 0x64, 0x00, 0x0d, 0xff, 0xe1, 0, 8, 0x67, 0x64, 0x00, 0x0d, 0xac, 0xd9, 0x41, 0x41, 1, 0, 4, 0x68,
    0xeb, 0xec, 0xb2,
];

/// A server with the streams that its test made before.
pub struct Server {
    pub address: SocketAddr,
    pub app: Arc<App>,
    pub clock: Arc<ManualClock>,
    _folder: TempDir,
    serving: Option<tokio::task::JoinHandle<()>>,
}

impl Server {
    /// With the complete stream `film` of two renditions and sound, three segments each.
    pub async fn with_film() -> Self {
        Self::with(|_| {}, &[("film", State::Ready, 3, true)]).await
    }

    /// With these streams: id, state, segments, complete. `change` sees the settings first.
    pub async fn with(change: impl FnOnce(&mut Config), streams: &[(&str, State, u32, bool)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Options {
            data: Some(folder.path().join("data")),
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            disk_reserve_mb: Some(0),
            ..Options::default()
        }
        .resolve()
        .unwrap();
        change(&mut config);
        seed(&config.data, streams).await;
        let clock = Arc::new(ManualClock::default());
        let listener = Listener::bind(config.listen, config.limits).await.unwrap();
        let address = listener.address();
        let app = App::open(config, clock.clone()).await.unwrap();
        let serving = tokio::spawn(listener.serve(Site::new(Arc::clone(&app)), app.stop.clone()));
        Self { address, app, clock, _folder: folder, serving: Some(serving) }
    }

    /// Waits for the end after `app.stop` was cancelled.
    pub async fn ended(&mut self) {
        tokio::time::timeout(PATIENCE, self.serving.take().unwrap()).await.unwrap().unwrap();
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, "").await
    }

    pub async fn post_json(&self, path: &str, body: &serde_json::Value) -> Answer {
        self.send("POST", path, &[("Content-Type", "application/json")], &body.to_string()).await
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Answer {
        let body = body.as_ref();
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head += &format!("Host: {}\r\n", self.address);
        }
        if !body.is_empty() {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        self.raw(&[format!("{head}\r\n").as_bytes(), body].concat()).await
    }

    /// Sends bytes and reads to the end of the connection.
    pub async fn raw(&self, bytes: &[u8]) -> Answer {
        let mut socket = self.connect().await;
        // A refusal may come before everything is taken.
        let _ = socket.write_all(bytes).await;
        let mut all = Vec::new();
        let read =
            tokio::time::timeout(PATIENCE, socket.read_to_end(&mut all)).await.expect("an answer in time");
        if all.is_empty() {
            read.expect("an answer");
        }
        Answer::parse(&all)
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.app.stop.cancel();
    }
}

/// A response with its body decoded.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The body ended as it said that it would.
    pub complete: bool,
}

impl Answer {
    pub fn parse(all: &[u8]) -> Self {
        let end = all.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
        let head = String::from_utf8(all[..end].to_vec()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut answer = Self { status, headers, body: all[end..].to_vec(), complete: true };
        if answer.header("transfer-encoding") == Some("chunked") {
            (answer.body, answer.complete) = dechunk(&all[end..]);
        }
        answer
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Asserts that it is a problem document of this status and returns its kind.
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let body = self.json();
        assert_eq!(body["status"], status);
        for member in ["title", "detail"] {
            assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{body}");
        }
        body["type"].as_str().unwrap().rsplit(':').next().unwrap().to_owned()
    }
}

/// Joins chunks; `false` when the last one is missing.
fn dechunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(line) = rest.windows(2).position(|w| w == b"\r\n") else { return (body, false) };
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        rest = &rest[line + 2..];
        if size == 0 {
            return (body, true);
        }
        if rest.len() < size {
            body.extend_from_slice(rest);
            return (body, false);
        }
        body.extend_from_slice(&rest[..size]);
        rest = rest.get(size + 2..).unwrap_or(&[]);
    }
}

async fn seed(data: &Path, streams: &[(&str, State, u32, bool)]) {
    std::fs::create_dir_all(data).unwrap();
    let catalog = Catalog::open(data).await.unwrap();
    let store = Store::open(data).unwrap();
    for (id, state, segments, complete) in streams {
        let source = Source::TestCard { height: 360, duration_s: 12.0, frame_rate: 25.0 };
        catalog
            .create(Stream::new(*id, format!("The {id}"), source, Profile::default()), None)
            .await
            .unwrap();
        let state = *state;
        catalog
            .update(id, move |stream| {
                stream.state = state;
                stream.error = (state == State::Failed).then(|| "the source is broken".to_owned());
            })
            .await
            .unwrap();
        let media = store.create(id).unwrap();
        add_renditions(&media);
        for number in 1..=*segments {
            add_segment(&media, number);
        }
        if *complete {
            media.complete().unwrap();
        }
    }
}

/// 180p, 360p and sound.
pub fn add_renditions(media: &StreamStore) {
    let names = ["180p", "360p", "audio"].map(str::to_owned);
    media.expect_renditions(&names).unwrap();
    for (name, height, bandwidth) in [("180p", 180_u16, 300_000), ("360p", 360, 800_000)] {
        let config = VideoConfig::from_avcc(height / 9 * 16, height, AVCC).unwrap();
        let info = RenditionInfo {
            language: None,
            name: name.into(),
            kind: TrackKind::Video,
            codecs: config.codec_string(),
            width: u32::from(height / 9 * 16),
            height: u32::from(height),
            frame_rate: (25, 1),
            sample_rate: 0,
            channels: 0,
            bandwidth,
            timescale: 25_000,
        };
        media.add_rendition(info, video_init(&config, 25_000)).unwrap();
    }
    let config = AudioConfig::from_asc(48_000, 2, 128_000, &[0x11, 0x90]).unwrap();
    let info = RenditionInfo {
        language: None,
        name: "audio".into(),
        kind: TrackKind::Audio,
        codecs: config.codec_string(),
        width: 0,
        height: 0,
        frame_rate: (0, 1),
        sample_rate: 48_000,
        channels: 2,
        bandwidth: 128_000,
        timescale: 48_000,
    };
    media.add_rendition(info, audio_init(&config)).unwrap();
}

/// The next 4 s of every rendition.
pub fn add_segment(media: &StreamStore, number: u32) {
    for (name, track, duration, bytes) in [
        ("180p", VIDEO_TRACK, 100_000_u32, 60_000),
        ("360p", VIDEO_TRACK, 100_000, 200_000),
        ("audio", AUDIO_TRACK, 192_000, 30_000),
    ] {
        let sample = Sample {
            duration,
            composition_offset: 0,
            key: true,
            data: Bytes::from(vec![number as u8; bytes]),
        };
        let start = u64::from(number - 1) * u64::from(duration);
        let segment = media_segment(track, number, start, &[sample]).unwrap();
        media.append_segment(name, number, start, u64::from(duration), segment).unwrap();
    }
}

/// URIs of a playlist.
pub fn uris(playlist: &str) -> Vec<String> {
    playlist.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}
