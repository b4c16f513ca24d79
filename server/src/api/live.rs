//! Live streams in the API: their fields, and `/api/stream/{id}/start`, `stop`, `kick`, `rotate-key`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::streams::catalog_problem;
use super::view::whole_view;
use crate::app::App;
use crate::catalog::live::LONGEST_DVR_S;
use crate::catalog::{Latency, Live, Source, Stream, StreamKey};
use crate::deliver::extract::StreamId;
use crate::http::Problem;
use crate::http::problem::FieldError;
use crate::ingest::PullStatus;
use crate::ladder::Profile;
use crate::live::LiveStatus;

/// Fields of a create request that only a live stream has.
pub(super) const FIELDS: [&str; 4] = ["dvr_s", "latency", "record", "takeover"];

/// Whether a create request asks for a live stream: by its mode, or by a source that can be nothing else.
pub(super) fn is_live(body: &Map<String, Value>, errors: &mut Vec<FieldError>) -> bool {
    let from_publisher = body.get("source").and_then(|source| source.get("type"));
    let from_publisher = from_publisher.is_some_and(|kind| kind == "publisher");
    match body.get("mode") {
        None | Some(Value::Null) => from_publisher,
        Some(mode) if mode == "live" => true,
        Some(mode) if mode == "vod" => {
            if from_publisher {
                errors.push(FieldError::new("mode", "must be \"live\" for a publisher"));
            }
            false
        }
        Some(_) => {
            errors.push(FieldError::new("mode", "must be \"vod\" or \"live\""));
            false
        }
    }
}

/// The settings of a live stream in a create request.
pub(super) fn read(body: &Map<String, Value>, source: Option<&Source>, errors: &mut Vec<FieldError>) -> Live {
    let mut live = Live::default();
    for name in FIELDS {
        if let Some(value) = body.get(name) {
            errors.extend(set(&mut live, name, value).err());
        }
    }
    if !matches!(source, None | Some(Source::Publisher | Source::TestCard { .. } | Source::Url { .. })) {
        errors.push(FieldError::new(
            "source",
            "a live stream comes from a publisher, a test card or the address of an HLS playlist",
        ));
    }
    live
}

/// Changes one setting; null gives it back its default (RFC 7396).
fn set(live: &mut Live, name: &str, value: &Value) -> Result<(), FieldError> {
    let default = Live::default();
    let truth = |field, value: &Value, default: bool| match value {
        Value::Null => Ok(default),
        Value::Bool(truth) => Ok(*truth),
        _ => Err(FieldError::new(field, "must be true or false")),
    };
    match name {
        "dvr_s" => {
            let seconds = match value {
                Value::Null => Some(default.dvr_s),
                value => value.as_u64().and_then(|seconds| u32::try_from(seconds).ok()),
            };
            let range =
                || FieldError::new("dvr_s", format!("must be 0 (keep all) or 10 to {LONGEST_DVR_S} seconds"));
            live.dvr_s = seconds.filter(|s| *s == 0 || (10..=LONGEST_DVR_S).contains(s)).ok_or_else(range)?;
        }
        "latency" => {
            live.latency = match value {
                Value::Null => default.latency,
                value => value
                    .as_str()
                    .and_then(Latency::parse)
                    .ok_or_else(|| FieldError::new("latency", "must be \"low\" or \"normal\""))?,
            };
        }
        "record" => live.record = truth("record", value, default.record)?,
        _ => live.takeover = truth("takeover", value, default.takeover)?,
    }
    Ok(())
}

/// A merge patch of a live stream's settings and ladder.
#[derive(Debug, Default)]
pub(super) struct Patch {
    settings: Vec<(&'static str, Value)>,
    profile: Option<Profile>,
}

impl Patch {
    /// Takes a member of the body if it is one of a live stream's settings. `has_media` says that the stream was on
    /// air before: how it is cut is settled then, since playlists may not change their target duration.
    pub(super) fn take(
        &mut self,
        name: &str,
        value: &Value,
        stream: &Stream,
        has_media: bool,
    ) -> Option<Result<(), FieldError>> {
        let name = FIELDS.into_iter().chain(["profile"]).find(|known| *known == name)?;
        let Some(live) = &stream.live else {
            return Some(Err(FieldError::new(name, "can be changed for a live stream only")));
        };
        Some(self.check(name, value, live, &stream.profile, has_media))
    }

    fn check(
        &mut self,
        name: &'static str,
        value: &Value,
        live: &Live,
        profile: &Profile,
        has_media: bool,
    ) -> Result<(), FieldError> {
        let settled = "is settled once the stream was on air; make another stream";
        if name == "profile" {
            let changed = merged(profile, value).map_err(|why| FieldError::new("profile", why))?;
            if has_media && changed.segment_ms != profile.segment_ms {
                return Err(FieldError::new("profile", format!("segment_ms {settled}")));
            }
            self.profile = Some(changed);
            return Ok(());
        }
        let mut changed = live.clone();
        set(&mut changed, name, value)?;
        if has_media && changed.latency != live.latency {
            return Err(FieldError::new("latency", settled));
        }
        self.settings.push((name, value.clone()));
        Ok(())
    }

    /// Applies what was taken.
    pub(super) fn apply(&self, stream: &mut Stream) {
        let Some(live) = &mut stream.live else { return };
        let before = live.latency;
        for (name, value) in &self.settings {
            // Checked against the same settings when it was taken.
            let _ = set(live, name, value);
        }
        // The segment's length follows the latency, unless somebody chose another.
        if stream.profile.segment_ms == before.segment_ms() {
            stream.profile.segment_ms = live.latency.segment_ms();
        }
        if let Some(profile) = &self.profile {
            stream.profile.clone_from(profile);
        }
    }

    /// Those of the changed fields that a running session does not follow.
    pub(super) fn needs_restart(before: &Stream, after: &Stream) -> Vec<&'static str> {
        let on_air = before.state == crate::catalog::State::Live;
        if on_air && before.profile != after.profile { vec!["profile"] } else { Vec::new() }
    }
}

/// A profile with a merge patch applied.
fn merged(profile: &Profile, patch: &Value) -> Result<Profile, String> {
    let profile = match patch {
        Value::Null => Profile { segment_ms: profile.segment_ms, ..Profile::default() },
        Value::Object(members) => {
            let mut whole = json!(profile);
            let usual = json!(Profile::default());
            for (name, value) in members {
                let value = if value.is_null() { usual[name.as_str()].clone() } else { value.clone() };
                whole[name.as_str()] = value;
            }
            serde_json::from_value(whole).map_err(|error| error.to_string())?
        }
        _ => return Err("must be an object".into()),
    };
    profile.check().map(|()| profile)
}

/// A live stream's settings as the API shows them.
#[derive(Debug, Clone, Serialize)]
pub struct LiveView {
    /// Seconds that viewers can go back; 0 is all.
    pub dvr_s: u32,
    /// How close to the present viewers are kept.
    pub latency: Latency,
    /// Whether it becomes video on demand when it ends.
    pub record: bool,
    /// Whether a second publisher takes it over.
    pub takeover: bool,
    /// Whether publishers are let in.
    pub enabled: bool,
    /// The session: who publishes (for admins), what arrives. Null when none was started since the server's start.
    pub session: Option<LiveStatus>,
    /// How the pull goes, of a stream that is pulled from another server; why it does not is for admins.
    pub pull: Option<PullStatus>,
}

impl LiveView {
    /// The view of a live stream; none for video on demand.
    pub(super) fn of(app: &App, stream: &Stream, admin: bool) -> Option<Self> {
        let live = stream.live.as_ref()?;
        let mut session = app.live.status(&stream.id);
        if let Some(session) = session.as_mut().filter(|_| !admin) {
            session.publisher = None;
        }
        let mut pull = app.pull_status(&stream.id);
        if let Some(pull) = pull.as_mut().filter(|_| !admin) {
            pull.error = None;
        }
        Some(Self {
            dvr_s: live.dvr_s,
            latency: live.latency,
            record: live.record,
            takeover: live.takeover,
            enabled: live.enabled,
            session,
            pull,
        })
    }
}

/// A stream for whoever may write: with the addresses to publish to, and the key if it was just made.
pub(super) fn with_ingest(app: &App, stream: &Stream, headers: &HeaderMap, key: Option<&StreamKey>) -> Value {
    let mut body = json!(whole_view(app, stream, true));
    let Some(members) = body.as_object_mut().filter(|_| stream.source == Source::Publisher) else {
        return body;
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    let mut ingest = json!({});
    for (name, with_key, server) in
        [("rtmp", "rtmp_with_key", app.rtmp_url(host)), ("rtmps", "rtmps_with_key", app.rtmps_url(host))]
    {
        if let Some(server) = server {
            if let Some(key) = key {
                ingest[with_key] = format!("{server}/{}", key.reveal()).into();
            }
            ingest[name] = server.into();
        }
    }
    if ingest != json!({}) {
        members.insert("ingest".into(), ingest);
    }
    if let Some(key) = key {
        members.insert("stream_key".into(), key.reveal().into());
    }
    body
}

/// `POST /api/stream/{id}/start`
pub(super) async fn start(
    State(app): State<Arc<App>>,
    StreamId(id): StreamId,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let stream = live_stream(&app, &id)?;
    let stream = app.start_live(&stream).await.map_err(|error| catalog_problem(&error))?;
    Ok(axum::Json(with_ingest(&app, &stream, &headers, None)).into_response())
}

/// `POST /api/stream/{id}/stop`
pub(super) async fn stop(
    State(app): State<Arc<App>>,
    StreamId(id): StreamId,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let stream = live_stream(&app, &id)?;
    let stream = app.stop_live(&stream).await.map_err(|error| catalog_problem(&error))?;
    Ok(axum::Json(with_ingest(&app, &stream, &headers, None)).into_response())
}

/// `POST /api/stream/{id}/kick`
pub(super) async fn kick(State(app): State<Arc<App>>, StreamId(id): StreamId) -> Result<Response, Problem> {
    let stream = live_stream(&app, &id)?;
    let kicked = app.kick(&stream.id);
    Ok(axum::Json(json!({"kicked": kicked})).into_response())
}

/// `POST /api/stream/{id}/rotate-key`
pub(super) async fn rotate_key(
    State(app): State<Arc<App>>,
    StreamId(id): StreamId,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let stream = live_stream(&app, &id)?;
    if stream.source != Source::Publisher {
        return Err(Problem::conflict(
            "no-key",
            "No stream key",
            "Nobody publishes to this stream, so it has no key.",
        ));
    }
    let key = StreamKey::random();
    let digest = key.digest();
    let change = move |stream: &mut Stream| {
        if let Some(live) = &mut stream.live {
            live.key_sha256 = Some(digest);
        }
    };
    let stream = app.catalog.update(&stream.id, change).await.map_err(|error| catalog_problem(&error))?;
    let body = with_ingest(&app, &stream, &headers, Some(&key));
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response())
}

fn live_stream(app: &App, id: &str) -> Result<Arc<Stream>, Problem> {
    let stream = app.catalog.get(id).ok_or_else(|| Problem::no_stream(id))?;
    if stream.live.is_none() {
        return Err(Problem::conflict(
            "not-live",
            "Not a live stream",
            "This stream is video on demand; only a live stream is started, stopped or published to.",
        ));
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::State as StreamState;

    fn settings(body: &Value) -> Result<Live, String> {
        let (body, mut errors) = (body.as_object().unwrap(), Vec::new());
        let live = read(body, Some(&Source::Publisher), &mut errors);
        errors.first().map_or(Ok(live), |error| Err(format!("{}: {}", error.field, error.detail)))
    }

    #[test]
    fn settings_are_read_and_checked() {
        assert_eq!(settings(&json!({})), Ok(Live::default()));
        let all = json!({"dvr_s": 0, "latency": "normal", "record": true, "takeover": false});
        let expected =
            Live { dvr_s: 0, latency: Latency::Normal, record: true, takeover: false, ..Live::default() };
        assert_eq!(settings(&all), Ok(expected));
        for (body, field) in [
            (json!({"dvr_s": 5}), "dvr_s"),
            (json!({"dvr_s": -1}), "dvr_s"),
            (json!({"dvr_s": 1e12}), "dvr_s"),
            (json!({"latency": "none"}), "latency"),
            (json!({"record": "yes"}), "record"),
            (json!({"takeover": 1}), "takeover"),
        ] {
            assert!(settings(&body).unwrap_err().starts_with(field), "{body}");
        }
    }

    #[test]
    fn the_mode_follows_the_source() {
        let mode = |body: &Value| {
            let mut errors = Vec::new();
            let live = is_live(body.as_object().unwrap(), &mut errors);
            (live, errors.len())
        };
        assert_eq!(mode(&json!({"source": {"type": "publisher"}})), (true, 0));
        assert_eq!(mode(&json!({"mode": "live"})), (true, 0));
        assert_eq!(mode(&json!({"mode": "vod"})), (false, 0));
        assert_eq!(mode(&json!({"source": {"type": "file"}})), (false, 0));
        assert_eq!(mode(&json!({"mode": "vod", "source": {"type": "publisher"}})), (false, 1));
        assert_eq!(mode(&json!({"mode": "tape"})), (false, 1));
    }

    fn patched(stream: &Stream, body: &Value, has_media: bool) -> Result<Stream, String> {
        let (mut patch, mut after) = (Patch::default(), stream.clone());
        for (name, value) in body.as_object().unwrap() {
            match patch.take(name, value, stream, has_media) {
                Some(taken) => taken.map_err(|error| format!("{}: {}", error.field, error.detail))?,
                None => return Err(format!("{name} is not taken")),
            }
        }
        patch.apply(&mut after);
        Ok(after)
    }

    #[test]
    fn a_patch_changes_what_it_names_and_says_what_waits() {
        let live = Live { dvr_s: 60, ..Live::default() };
        let profile = Profile { segment_ms: 2000, ..Profile::default() };
        let mut stream = Stream::new("cam", "Cam", Source::Publisher, profile).with_live(live);
        let body = json!({"record": true, "dvr_s": null, "latency": "normal", "profile": {"audio_kbps": 96}});
        let after = patched(&stream, &body, false).unwrap();
        let live = after.live.as_ref().unwrap();
        assert_eq!((live.record, live.dvr_s, live.latency), (true, 300, Latency::Normal));
        assert_eq!((after.profile.audio_kbps, Patch::needs_restart(&stream, &after)), (96, vec![]));
        assert_eq!(patched(&stream, &json!({"latency": "normal"}), false).unwrap().profile.segment_ms, 4000);

        stream.state = StreamState::Live;
        let after =
            patched(&stream, &json!({"profile": {"max_lines": 360}, "takeover": false}), true).unwrap();
        assert_eq!(Patch::needs_restart(&stream, &after), ["profile"]);
        assert_eq!(patched(&after, &json!({"profile": null}), true).unwrap().profile, stream.profile);
        for (body, field) in [
            (json!({"latency": "normal"}), "latency"),
            (json!({"profile": {"segment_ms": 4000}}), "profile"),
            (json!({"profile": {"colour": 1}}), "profile"),
            (json!({"profile": {"audio_kbps": 1}}), "profile"),
            (json!({"profile": "fast"}), "profile"),
            (json!({"record": 3}), "record"),
        ] {
            assert!(patched(&stream, &body, true).unwrap_err().starts_with(field), "{body}");
        }
        let vod = Stream::new("film", "Film", Source::Publisher, Profile::default());
        assert!(patched(&vod, &json!({"record": true}), false).is_err());
        assert!(patched(&vod, &json!({"title": "x"}), false).unwrap_err().contains("not taken"));
    }
}
