//! Handlers for playlists and manifests.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::Response;

use super::directives::Directives;
use super::extract::{Client, StreamId};
use super::found::Found;
use super::front::{Front, Verdict, advance_part_limit};
use super::hls::master::{self, Variant};
use super::hls::media::{self, MediaInput, Report};
use super::rendered::{Documents, Version};
use super::timing::Freshness;
use super::{dash, hls, hold, subtitles, trick};
use crate::app::App;
use crate::http::{Entity, Problem};
use crate::store::{LiveInfo, Rendition, TrackKind, Window, write_atomic};

/// `GET /stream/{id}/hls/master.m3u8`
pub(super) async fn multivariant(
    State(app): State<Arc<App>>,
    StreamId(id): StreamId,
    method: Method,
    headers: HeaderMap,
    client: Client,
) -> Result<Response, Problem> {
    let found = Found::playable(&app, &id, &client).await?;
    let renditions = found.store.renditions();
    let rates: Vec<_> = renditions.iter().map(|r| found.rates(r)).collect();
    // Rates and codecs are all that changes: of a live stream rarely, of a file once, at its end.
    let infos: Vec<_> = renditions.iter().map(|r| r.info_of_window()).collect();
    let subtitles = subtitles::listed(&found);
    let version = Version {
        fronts: Vec::new(),
        rates: rates.clone(),
        infos: infos.clone(),
        subtitles: subtitles.clone(),
        ended: found.ended(),
    };
    let documents = found.documents(&app);
    let entity = match documents.find("master", &version) {
        Some(entity) => entity,
        None => {
            let key_frames = trick::peaks(&found, &renditions, &rates).await;
            let variants: Vec<_> = infos
                .iter()
                .zip(&rates)
                .zip(key_frames)
                .map(|((info, rates), key_frame_peak)| Variant { info, rates: *rates, key_frame_peak })
                .collect();
            // Of a stream that goes on nobody knows what its publisher will send; its media playlists say what is so.
            let settled = found.ended() || found.store.live().is_none();
            let independent = settled && renditions.iter().all(|r| r.is_independent());
            documents.get("master", version, || {
                Entity::text(master::playlist(&variants, &subtitles, independent), hls::CONTENT_TYPE)
            })
        }
    };
    saw_playlist(&app, &id, &method, &client);
    let freshness = if found.ended() { Freshness::Ended } else { Freshness::Multivariant };
    Ok(answer(&entity, &method, &headers, freshness, found.timing().target))
}

/// `GET /stream/{id}/dash/manifest.mpd`
pub(super) async fn manifest(
    State(app): State<Arc<App>>,
    StreamId(id): StreamId,
    method: Method,
    headers: HeaderMap,
    client: Client,
) -> Result<Response, Problem> {
    let found = Found::playable(&app, &id, &client).await?;
    let renditions = found.store.renditions();
    let version = found.version(&renditions);
    let (generation, timing, live) = (found.generation(), found.timing(), found.store.live());
    let documents = found.documents(&app);
    if live.is_some() && documents.with_memory(|memory| memory.periods.is_new()) {
        let path = found.store.folder().join(dash::periods::FILE);
        // None before the first manifest.
        let saved = tokio::fs::read(&path).await.unwrap_or_default();
        documents.with_memory(|memory| memory.periods.restore(&saved));
    }
    let render = |published_ms| {
        let representations = found.representations(&renditions);
        let windows: Vec<_> = representations.iter().map(|r| (&*r.window, r.info.timescale)).collect();
        let low_latency = !version.ended && timing.part_ms > 0;
        let periods = documents.with_memory(|memory| memory.periods.update(&windows, low_latency));
        dash::manifest::manifest(&dash::manifest::ManifestInput {
            representations: &representations,
            subtitles: &version.subtitles,
            periods: &periods,
            generation: &generation,
            timing,
            segment_ms: found.segment_ms(),
            dynamic: (!version.ended).then(|| dash::manifest::Dynamic {
                id: &id,
                started_ms: live.map_or(found.stream.created_ms, |live| live.started_ms),
                published_ms,
                window_s: live.map_or(0, |live| live.window_s),
            }),
        })
    };
    let now_ms = found.store.clock().now_ms();
    let entity = documents.get_dated("manifest", version.clone(), now_ms, render, |text| {
        Entity::text(text, dash::CONTENT_TYPE)
    });
    if live.is_some() {
        remember_periods(&found, &documents).await;
    }
    saw_playlist(&app, &id, &method, &client);
    let freshness = if version.ended { Freshness::Ended } else { Freshness::Plain };
    Ok(answer(&entity, &method, &headers, freshness, timing.target))
}

/// Keeps what clients were told of Periods, for a server that starts again. A disk that does not take it costs no viewer
/// anything now.
async fn remember_periods(found: &Found, documents: &Documents) {
    let Some(text) = documents.with_memory(|memory| memory.periods.to_save()) else { return };
    let path = found.store.folder().join(dash::periods::FILE);
    let written = tokio::task::spawn_blocking(move || write_atomic(&path, &text)).await;
    match written {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(stream = found.stream.id, %error, "the manifest's Periods are not kept");
        }
        Err(error) => {
            tracing::error!(stream = found.stream.id, %error, "keeping the manifest's Periods failed");
        }
    }
}

/// `index.m3u8` of a rendition.
pub(super) async fn media(
    app: &App,
    found: &Found,
    rendition: &Arc<Rendition>,
    query: Option<&str>,
    method: &Method,
    headers: &HeaderMap,
    client: &Client,
) -> Result<Response, Problem> {
    let directives = match found.on_air() {
        // Of a playlist that does not change there is nothing to wait for, and nothing to skip.
        None => Directives::default(),
        Some(live) => {
            let directives = Directives::parse(query).map_err(|error| {
                found.mistake(Problem::bad_request(error.to_string()), Freshness::BlockingError)
            })?;
            held(app, found, rendition, live, directives, client).await?;
            directives
        }
    };
    // The end first, then the windows: what comes in between only makes the list longer.
    let (ended, growth, timing) = (found.ended(), found.growth(), found.timing());
    let window = rendition.window();
    let live = found.store.live().is_some();
    let renditions = found.store.renditions();
    let fronts = Fronts::of(&renditions, rendition, Front::of(&window), live && !ended);
    let version = Version { fronts: fronts.0.clone(), ended, ..Version::default() };
    let skip = directives.skip && !ended;
    let name = format!("{}/{}", rendition.name(), if skip { "delta" } else { "index" });
    // What a crowd that was held together asks for is there already, but for the first of them.
    let entity = found.documents(app).get(&name, version, || {
        let (window, reports) = (found.aligned(window, &renditions), fronts.reports(&renditions, rendition));
        let generation = found.generation();
        let input = MediaInput {
            timescale: rendition.info().timescale,
            window: &window,
            generation: &generation,
            timing,
            growth,
            live,
            reports: &reports,
        };
        let text = if skip { media::delta_update(&input) } else { media::playlist(&input) };
        Entity::text(text, hls::CONTENT_TYPE)
    });
    saw_playlist(app, &found.stream.id, method, client);
    let freshness = match (directives.blocks(), ended) {
        (true, _) => Freshness::Blocking,
        (false, true) => Freshness::Ended,
        (false, false) => Freshness::Plain,
    };
    Ok(answer(&entity, method, headers, freshness, timing.target))
}

/// `iframes.m3u8` of a rendition.
pub(super) async fn key_frames(
    app: &App,
    found: &Found,
    rendition: &Arc<Rendition>,
    method: &Method,
    headers: &HeaderMap,
    client: &Client,
) -> Result<Response, Problem> {
    if rendition.info().kind != TrackKind::Video {
        return Err(found.unknown("Only pictures have an I-frame playlist."));
    }
    let entity = trick::playlist(app, found, rendition).await?;
    saw_playlist(app, &found.stream.id, method, client);
    let freshness = if found.ended() { Freshness::Ended } else { Freshness::Plain };
    Ok(answer(&entity, method, headers, freshness, found.timing().target))
}

/// Holds a request for a live playlist until it can be answered.
async fn held(
    app: &App,
    found: &Found,
    rendition: &Rendition,
    live: LiveInfo,
    directives: Directives,
    client: &Client,
) -> Result<(), Problem> {
    let ready = |window: &Window| {
        // The target duration is settled with the first segment: before that there is nothing to say.
        if window.segments.is_empty() {
            return Verdict::Wait;
        }
        match directives.msn {
            None => Verdict::Ready,
            Some(msn) => {
                let part = directives.part.filter(|_| live.part_ms > 0);
                Front::of(window).judge(msn, part, advance_part_limit(live.part_ms))
            }
        }
    };
    match ready(&rendition.window()) {
        Verdict::Ready => return Ok(()),
        Verdict::TooFar => return Err(too_far(found, rendition)),
        Verdict::Wait => {}
    }
    let id = &found.stream.id;
    let _place = app.holds.take(id, client.address)?;
    let (changes, removed) = (rendition.changes(), || found.store.is_removed());
    let look = || match ready(&rendition.window()) {
        _ if found.store.is_complete() => Some(Ok(())),
        Verdict::Ready => Some(Ok(())),
        Verdict::TooFar => Some(Err(too_far(found, rendition))),
        Verdict::Wait => None,
    };
    let timing = found.timing();
    let longest = match rendition.window().segments.is_empty() {
        true => timing.longest_hold_before_the_first(),
        false => timing.longest_hold(),
    };
    match hold::wait(changes, removed, &app.stop, longest, look).await {
        Ok(result) => result,
        Err(why) => Err(hold::in_vain(why, id, longest)),
    }
}

fn too_far(found: &Found, rendition: &Rendition) -> Problem {
    let front = Front::of(&rendition.window());
    let problem = Problem::bad_request(format!(
        "That is too far in the future: the last segment is {}, {} parts of the next are there. Ask for the next segment \
         or part.",
        front.last, front.open_parts
    ));
    found.mistake(problem, Freshness::BlockingError)
}

/// How far a rendition is and, where its playlist tells it, how far the others are.
struct Fronts(Vec<Front>);

impl Fronts {
    fn of(all: &[Arc<Rendition>], own: &Rendition, front: Front, others: bool) -> Self {
        let reported = all.iter().filter(|other| others && other.name() != own.name());
        Self(std::iter::once(front).chain(reported.map(|other| Front::of(&other.window()))).collect())
    }

    fn reports(&self, all: &[Arc<Rendition>], own: &Rendition) -> Vec<Report> {
        let others = all.iter().filter(|other| other.name() != own.name());
        others
            .zip(self.0.iter().skip(1))
            .map(|(r, front)| Report { name: r.name().to_owned(), front: *front })
            .collect()
    }
}

fn saw_playlist(app: &App, id: &str, method: &Method, client: &Client) {
    if method == Method::GET {
        app.viewers.playlist(id, &client.who);
    }
}

fn answer(
    entity: &Entity,
    method: &Method,
    headers: &HeaderMap,
    freshness: Freshness,
    target: u32,
) -> Response {
    let mut response = entity.answer(method, headers);
    if (response.status().is_success() || response.status() == axum::http::StatusCode::NOT_MODIFIED)
        && let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(freshness.header(target)))
    {
        response.headers_mut().insert(header::CACHE_CONTROL, value);
    }
    response
}
