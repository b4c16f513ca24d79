//! A stream as the API shows it.

use serde::Serialize;
use serde_json::{Value, json};

use super::live::LiveView;
use crate::app::App;
use crate::catalog::{Source, State, Stream};
use crate::deliver::dash::date_time;
use crate::deliver::pass;
use crate::jobs::JobState;
use crate::live::LiveState;
use crate::store::TrackKind;
use crate::viewers::{Count, Qoe};

/// A stream with everything that is known about it now.
#[derive(Debug, Clone, Serialize)]
pub struct StreamView {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub title: String,
    /// "vod" or "live".
    pub mode: &'static str,
    /// How far it is.
    pub state: State,
    /// The same in words for people: "not on air: waiting for a publisher".
    pub status: &'static str,
    /// Its settings as a live stream; null for video on demand.
    pub live: Option<LiveView>,
    /// Who may watch.
    pub auth: AuthView,
    /// Share of the packaging that is done, 0.0 to 1.0.
    pub progress: f64,
    /// Whether a player would find something now.
    pub playable: bool,
    /// Why it failed.
    pub error: Option<String>,
    /// What went wrong without ending the packaging.
    pub warnings: Vec<String>,
    /// Length in seconds: of the source once known, else of what is finished.
    pub duration_s: Option<f64>,
    /// Where it comes from; only the type for those without the token.
    pub source: Value,
    /// Its renditions, lowest first, sound last.
    pub renditions: Vec<RenditionView>,
    /// Its subtitles, by language.
    pub subtitles: Vec<Value>,
    /// Who watches.
    pub viewers: Count,
    /// How well it plays for them, as far as their players tell.
    pub qoe: Qoe,
    /// When it was created, as `xs:dateTime` in UTC.
    pub created_at: String,
    /// When its state changed last.
    pub updated_at: String,
    /// Where to find it.
    pub urls: Urls,
}

/// A rendition as the API shows it.
#[derive(Debug, Clone, Serialize)]
pub struct RenditionView {
    /// Its name, as in `?rung=`.
    pub name: String,
    /// Picture or sound.
    pub kind: TrackKind,
    /// RFC 6381.
    pub codecs: String,
    /// Pixels; 0 for sound.
    pub width: u32,
    /// Pixels; 0 for sound.
    pub height: u32,
    /// Pictures a second; 0 for sound.
    pub frame_rate: f64,
    /// What the encoder was asked for, in bit/s.
    pub bandwidth: u64,
    /// Measured average in bit/s.
    pub average_bandwidth: Option<u64>,
    /// Measured peak of a segment in bit/s.
    pub peak_bandwidth: Option<u64>,
    /// Finished segments.
    pub segments: usize,
    /// The element that encodes it ("x264enc"), "copy" for what passes through as it is; null when that is not known
    /// any more.
    pub encoder: Option<String>,
}

/// Who may watch, as the API shows it.
#[derive(Debug, Clone, Serialize)]
pub struct AuthView {
    /// "public" or "private".
    pub view: &'static str,
    /// Names of those who may with a password; empty for those without the token.
    pub users: Vec<String>,
}

/// A stream's addresses on this server.
#[derive(Debug, Clone, Serialize)]
pub struct Urls {
    /// Watch page for browsers, progressive stream for the rest.
    pub page: String,
    /// HLS.
    pub hls: String,
    /// DASH.
    pub dash: String,
    /// Thumbnail; absent until there is one.
    pub poster: Option<String>,
    /// WebVTT index of thumbnails for the scrub bar; absent until there are some.
    pub thumbnails: Option<String>,
}

/// A stream as it is now. `admin` sees where it comes from.
///
/// Looks for the poster's file, so call it from a blocking thread or for few streams at a time.
pub fn view(app: &App, stream: &Stream, admin: bool) -> StreamView {
    // Why something went wrong names files and addresses: where there is a token, it is for those who have it.
    let told = admin || !app.gate.needs_token();
    let job = app.job(&stream.id);
    let media = app.media(&stream.id);
    let renditions = media.as_ref().map(|media| media.renditions()).unwrap_or_default();
    let finished = renditions.iter().map(|r| r.end_seconds()).fold(0.0, f64::max);
    let known = job.as_ref().and_then(|job| job.duration_s);
    let progress = match (stream.state, &job) {
        (State::Ready, _) => 1.0,
        (_, Some(job)) => {
            let part = f64::from(job.progress.clamp(0.0, 1.0));
            // A download is a part of the way, and says so rather than to start twice from nothing.
            match (job.state, &stream.source) {
                (JobState::Fetching, _) => part * 0.2,
                (_, Source::Url { .. }) => 0.2 + part * 0.8,
                _ => part,
            }
        }
        (_, None) => 0.0,
    };
    // Whoever may see the settings gets addresses that open.
    let link = stream.auth.as_ref().filter(|_| told).and_then(|_| pass::lasting(app, stream));
    let live = LiveView::of(app, stream, admin);
    let rungs =
        live.as_ref().and_then(|live| live.session.as_ref()).map_or(&[][..], |session| &session.rungs);
    let encoder =
        |name: &str| rungs.iter().find(|rung| rung.name == name).and_then(|rung| rung.encoder.clone());
    let has_poster = media.as_ref().is_some_and(|media| media.folder().join("poster.jpg").exists());
    let playable = media.as_ref().is_some_and(|media| media.edge().borrow().playable());
    let has_thumbnails = media.as_ref().is_some_and(|media| media.has_thumbnails());
    let mut view = StreamView {
        id: stream.id.clone(),
        title: stream.title.clone(),
        mode: if stream.live.is_some() { "live" } else { "vod" },
        state: stream.state,
        status: status(stream, live.as_ref(), playable),
        progress: (progress * 1000.0).round() / 1000.0,
        playable,
        error: stream.error.clone().map(|why| if told { why } else { UNTOLD.to_owned() }),
        warnings: job.filter(|_| told).map(|job| job.warnings).unwrap_or_default(),
        // A fragmented source may announce its first fragment only.
        duration_s: known.filter(|known| *known > finished).or((finished > 0.0).then_some(finished)),
        source: if admin { json!(stream.source) } else { json!({"type": kind(&stream.source)}) },
        renditions: renditions
            .iter()
            .map(|r| {
                let info = r.info();
                let rate = f64::from(info.frame_rate.0) / f64::from(info.frame_rate.1.max(1));
                RenditionView {
                    name: info.name.clone(),
                    kind: info.kind,
                    codecs: info.codecs.clone(),
                    width: info.width,
                    height: info.height,
                    frame_rate: (rate * 1000.0).round() / 1000.0,
                    bandwidth: info.bandwidth,
                    average_bandwidth: r.average_bandwidth(),
                    peak_bandwidth: r.peak_bandwidth(),
                    segments: r.len(),
                    encoder: encoder(&info.name),
                }
            })
            .collect(),
        subtitles: media.as_ref().map_or_else(Vec::new, |media| {
            media.subtitles().iter().map(|track| super::subtitles::shown(stream, track)).collect()
        }),
        viewers: app.viewers.count(&stream.id),
        qoe: app.viewers.quality(&stream.id),
        live,
        auth: AuthView {
            view: if stream.auth.is_some() { "private" } else { "public" },
            users: stream
                .auth
                .iter()
                .filter(|_| admin)
                .flat_map(|auth| &auth.users)
                .map(|user| user.name.clone())
                .collect(),
        },
        created_at: date_time(stream.created_ms),
        updated_at: date_time(stream.updated_ms),
        urls: Urls::below(format!("/stream/{}", stream.id), has_poster, has_thumbnails),
    };
    if let Some(token) = link {
        view.through(&token);
    }
    view
}

impl Urls {
    /// Below the stream's own address, which may hold a token.
    fn below(base: String, has_poster: bool, has_thumbnails: bool) -> Self {
        Self {
            hls: format!("{base}/hls/master.m3u8"),
            dash: format!("{base}/dash/manifest.mpd"),
            thumbnails: has_thumbnails.then(|| format!("{base}/thumbnails.vtt")),
            poster: has_poster.then(|| format!("{base}/poster.jpg")),
            page: base,
        }
    }
}

impl StreamView {
    /// The same with addresses that carry this token.
    pub(crate) fn through(&mut self, token: &str) {
        let (plain, base) = (format!("/stream/{}/", self.id), pass::base(&self.id, token));
        self.urls = Urls::below(base.clone(), self.urls.poster.is_some(), self.urls.thumbnails.is_some());
        for track in &mut self.subtitles {
            if let Some(rest) = track["url"].as_str().and_then(|url| url.strip_prefix(&plain)) {
                // One that carries another token already is kept as it is told to those who have that.
                let file = rest
                    .strip_prefix('~')
                    .and_then(|rest| rest.split_once('/'))
                    .map_or(rest, |(_, file)| file);
                track["url"] = format!("{base}/{file}").into();
            }
        }
    }
}

/// How a stream is, in words for people.
fn status(stream: &Stream, live: Option<&LiveView>, playable: bool) -> &'static str {
    let grace = |live: &LiveView| live.session.as_ref().is_some_and(|now| now.state == LiveState::Grace);
    match (stream.state, live) {
        (State::Live, Some(live)) if grace(live) => "on air, waiting for its publisher",
        (State::Live, _) => "on air",
        (State::Idle, Some(live)) if !live.enabled => "not on air: stopped",
        (State::Idle, _) => match stream.source {
            Source::Publisher => "not on air: waiting for a publisher",
            Source::Url { .. } => "not on air: waiting for its source",
            _ => "not on air",
        },
        (State::Ended, Some(live)) if live.record && playable => "ended, can be watched again",
        (State::Ended, Some(live)) if !live.enabled => "ended: stopped",
        (State::Ended, Some(_)) => "ended: waiting for a publisher",
        (state, _) => state.name(),
    }
}

/// [`view`] with what only the files of the stream tell.
pub(super) fn whole_view(app: &App, stream: &Stream, admin: bool) -> StreamView {
    let mut view = view(app, stream, admin);
    let encoders = app.media(&stream.id).map(|media| crate::jobs::encoders(&media)).unwrap_or_default();
    for rendition in view.renditions.iter_mut().filter(|rendition| rendition.encoder.is_none()) {
        rendition.encoder = encoders.get(&rendition.name).map(|&element| element.to_owned());
    }
    view
}

/// Why a stream failed, for those who may not know more.
const UNTOLD: &str = "It could not be made; its admin sees why.";

/// Every type of source as the API names it.
pub(super) const SOURCES: [&str; 5] = ["file", "url", "upload", "publisher", "testcard"];

/// A source's type as the API names it.
pub(crate) fn kind(source: &Source) -> &'static str {
    match source {
        Source::File { .. } => "file",
        Source::Url { .. } => "url",
        Source::Upload { .. } => "upload",
        Source::Publisher => "publisher",
        Source::TestCard { .. } => "testcard",
    }
}
