//! From the body of a create request to a stream.

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::sidecar::{self, Sidecar};
use super::viewing::{self, Wanted};
use super::{live, source};
use crate::app::{App, CreateError};
use crate::catalog::auth::hex;
use crate::catalog::{CatalogError, Live, Made, RequestKey, Source, Stream, StreamKey, valid_id};
use crate::http::Problem;
use crate::http::problem::FieldError;
use crate::jobs::StartError;
use crate::ladder::Profile;

/// Longest title in characters.
const LONGEST_TITLE: usize = 200;

/// A create request whose fields are of the right form; the source is not checked against the policy yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The wished id.
    pub id: Option<String>,
    /// The title.
    pub title: Option<String>,
    /// Where it comes from.
    pub source: Source,
    /// Its ladder.
    pub profile: Profile,
    /// Its settings as a live stream.
    pub live: Option<Live>,
    /// Its subtitles.
    pub subtitles: Vec<Sidecar>,
    /// Who may watch it, and with which key it is published.
    pub auth: Option<Wanted>,
}

impl Draft {
    /// Reads a JSON body.
    ///
    /// # Errors
    /// 422 with every field that is not right.
    pub fn parse(body: &Value) -> Result<Self, Problem> {
        let Some(body) = body.as_object() else {
            return Err(Problem::bad_request("The body must be a JSON object."));
        };
        let mut errors = Vec::new();
        let is_live = live::is_live(body, &mut errors);
        for name in body.keys() {
            let of_live = live::FIELDS.contains(&name.as_str());
            if of_live && !is_live {
                let name = live::FIELDS.into_iter().find(|known| known == name).unwrap_or("body");
                errors.push(FieldError::new(name, "is for live streams; say \"mode\": \"live\""));
            } else if !of_live
                && !["id", "title", "mode", "source", "profile", "subtitles", "auth"].contains(&name.as_str())
            {
                let known = "known are id, title, mode, source, profile, subtitles, auth, dvr_s, latency, record and takeover";
                errors.push(FieldError::new(
                    "body",
                    format!("has an unknown field \"{}\"; {known}", short(name)),
                ));
            }
        }
        let id = text(body, "id", "id", &mut errors);
        if let Some(id) = &id
            && !valid_id(id)
        {
            errors.push(FieldError::new("id", "must be 1 to 64 of a-z, 0-9 and '-', and not start with '-'"));
        }
        if id.as_deref() == Some("create") {
            errors.push(FieldError::new("id", "\"create\" is taken by the API"));
        }
        let title = text(body, "title", "title", &mut errors);
        if let Some(title) = &title {
            errors.extend(check_title(title).err());
        }
        let source = match body.get("source") {
            Some(Value::Object(source)) => read_source(source, &mut errors),
            None | Some(Value::Null) if is_live => Some(Source::Publisher),
            _ => {
                errors.push(FieldError::new(
                    "source",
                    "is needed, as {\"type\": \"file\", \"path\": \"film.mp4\"}",
                ));
                None
            }
        };
        let live = is_live.then(|| live::read(body, source.as_ref(), &mut errors));
        let usual = || Profile {
            segment_ms: live.as_ref().map_or(Profile::default().segment_ms, |live| live.latency.segment_ms()),
            ..Profile::default()
        };
        let profile = match body.get("profile") {
            None | Some(Value::Null) => usual(),
            Some(value) => {
                let mut value = value.clone();
                // What is left out is as usual for this stream: a ladder of one's own is no wish for longer segments.
                if let Some(members) = value.as_object_mut() {
                    members.entry("segment_ms").or_insert_with(|| usual().segment_ms.into());
                }
                serde_json::from_value(value).unwrap_or_else(|error| {
                    errors.push(FieldError::new("profile", error.to_string()));
                    Profile::default()
                })
            }
        };
        if let Err(why) = profile.check() {
            errors.push(FieldError::new("profile", why));
        }
        let subtitles = sidecar::read(body.get("subtitles"), &mut errors);
        let auth = body.get("auth").and_then(|auth| viewing::read_new(auth, source.as_ref(), &mut errors));
        match source {
            Some(source) if errors.is_empty() => {
                Ok(Self { id, title, source, profile, live, subtitles, auth })
            }
            _ => Err(Problem::fields(&errors)),
        }
    }

    /// The id: the wished one, or one made of the title.
    fn id(&self) -> String {
        if let Some(id) = &self.id {
            return id.clone();
        }
        let plain = slug(self.title.as_deref().unwrap_or("stream"));
        let random = uuid::Uuid::new_v4().simple().to_string();
        format!("{plain}-{}", random.get(..6).unwrap_or("0"))
    }
}

/// What [`publish`] made.
#[derive(Debug)]
pub struct Published {
    /// The stream.
    pub stream: Arc<Stream>,
    /// By this request or an earlier one.
    pub made: Made,
    /// Its stream key, when it was made just now and has one. Nobody can be told again.
    pub key: Option<StreamKey>,
}

/// Makes the stream of a draft.
///
/// # Errors
/// 409 when the id is taken, 422 when the source is refused or the key was another request's, 503 when too much waits.
pub async fn publish(app: &Arc<App>, draft: Draft, key: Option<RequestKey>) -> Result<Published, Problem> {
    // First: what made the stream, an upload for instance, may be gone by now.
    if let Some(key) = &key
        && let Some(stream) = app.catalog.made_before(key.clone()).await.map_err(|e| refusal(e.into()))?
    {
        return Ok(Published { stream, made: Made::Before, key: None });
    }
    let id = draft.id();
    let title = draft.title.clone().filter(|title| !title.trim().is_empty()).unwrap_or_else(|| id.clone());
    let source = source::check(app, draft.source).await.map_err(|error| Problem::fields(&[error]))?;
    let subtitles = sidecar::collect(app, draft.subtitles).await;
    let subtitles = subtitles.map_err(|error| Problem::fields(&[error]))?;
    let mut stream = Stream::new(id, title.trim(), source, draft.profile);
    let mut stream_key = None;
    if let Some(mut live) = draft.live {
        if stream.source == Source::Publisher {
            let own = draft.auth.as_ref().and_then(Wanted::key);
            let new = own.unwrap_or_else(StreamKey::random);
            live.key_sha256 = Some(new.digest());
            stream_key = Some(new);
        }
        stream = stream.with_live(live);
    }
    if let Some(wanted) = draft.auth {
        wanted.settle(&stream).await?.apply(&mut stream);
    }
    let (stream, made) = app.create(stream, key).await.map_err(refusal)?;
    // A repeated request has brought them before.
    if made == Made::New {
        sidecar::store(app, &stream.id, subtitles).await?;
    }
    Ok(Published { stream, made, key: stream_key.filter(|_| made == Made::New) })
}

/// What tells one create request from another: its body, whatever the order of its members. Passwords are left out, for
/// they are to be kept in no form but their slow hashes.
pub(super) fn fingerprint(body: &Value) -> String {
    let mut body = body.clone();
    for user in body.pointer_mut("/auth/users").and_then(Value::as_array_mut).into_iter().flatten() {
        user.as_object_mut().and_then(|user| user.remove("password"));
    }
    hex(&Sha256::digest(body.to_string()))
}

fn refusal(error: CreateError) -> Problem {
    match error {
        CreateError::Catalog(error @ CatalogError::Exists(_)) => {
            Problem::new(StatusCode::CONFLICT, "id-taken", "The id is taken", format!("{error}."))
        }
        CreateError::Catalog(error @ CatalogError::KeyUsed(_)) => {
            Problem::fields(&[FieldError::new("Idempotency-Key", error.to_string())])
        }
        CreateError::Start(StartError::Invalid(why)) => Problem::fields(&[FieldError::new("source", why)]),
        CreateError::Start(error @ (StartError::QueueFull(_) | StartError::Stopping)) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "Too much to do", format!("{error}."))
        }
        error => {
            tracing::error!(%error, "cannot create a stream");
            Problem::internal("storing the stream")
        }
    }
}

/// Checks a title.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check_title(title: &str) -> Result<(), FieldError> {
    if title.chars().count() > LONGEST_TITLE {
        return Err(FieldError::new("title", format!("must have at most {LONGEST_TITLE} characters")));
    }
    if title.chars().any(char::is_control) {
        return Err(FieldError::new("title", "must not hold control characters"));
    }
    Ok(())
}

fn read_source(body: &Map<String, Value>, errors: &mut Vec<FieldError>) -> Option<Source> {
    let before = errors.len();
    let kind = text(body, "type", "source.type", errors).unwrap_or_default();
    let known: &[&str] = match kind.as_str() {
        "file" => &["type", "path"],
        "url" => &["type", "url"],
        "upload" => &["type", "upload"],
        "testcard" => &["type", "height", "duration_s", "frame_rate"],
        "publisher" => &["type"],
        _ => {
            errors.push(FieldError::new(
                "source.type",
                "must be \"file\", \"url\", \"upload\", \"testcard\" or \"publisher\"",
            ));
            return None;
        }
    };
    for name in body.keys().filter(|name| !known.contains(&name.as_str())) {
        let list = known.join(", ");
        errors.push(FieldError::new(
            "source",
            format!("has an unknown field \"{}\"; known are {list}", short(name)),
        ));
    }
    let mut needed = |name: &str, field: &'static str| {
        let value = text(body, name, field, errors);
        if value.is_none() {
            errors.push(FieldError::new(field, "is needed"));
        }
        value.unwrap_or_default()
    };
    let source = match kind.as_str() {
        "file" => Source::File { path: needed("path", "source.path") },
        "url" => Source::Url { url: needed("url", "source.url") },
        "upload" => Source::Upload { upload: needed("upload", "source.upload") },
        "publisher" => Source::Publisher,
        _ => Source::TestCard {
            height: number(body, "height", "source.height", 720.0, errors) as u32,
            duration_s: number(body, "duration_s", "source.duration_s", 60.0, errors),
            frame_rate: number(body, "frame_rate", "source.frame_rate", 30.0, errors),
        },
    };
    (errors.len() == before).then_some(source)
}

fn text(
    body: &Map<String, Value>,
    name: &str,
    field: &'static str,
    errors: &mut Vec<FieldError>,
) -> Option<String> {
    match body.get(name) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(_) => {
            errors.push(FieldError::new(field, "must be a string"));
            None
        }
    }
}

fn number(
    body: &Map<String, Value>,
    name: &str,
    field: &'static str,
    default: f64,
    errors: &mut Vec<FieldError>,
) -> f64 {
    match body.get(name) {
        None | Some(Value::Null) => default,
        Some(value) => value.as_f64().unwrap_or_else(|| {
            errors.push(FieldError::new(field, "must be a number"));
            default
        }),
    }
}

/// Part of a name that came from outside, fit for a message.
fn short(name: &str) -> String {
    name.chars().take(40).collect()
}

/// Letters and digits of a title in lower case, the rest as single '-'.
fn slug(title: &str) -> String {
    let mut text = String::new();
    for c in title.chars().take(80) {
        if c.is_ascii_alphanumeric() {
            text.push(c.to_ascii_lowercase());
        } else if !text.is_empty() && !text.ends_with('-') {
            text.push('-');
        }
    }
    let plain: String = text.trim_matches('-').chars().take(48).collect();
    let plain = plain.trim_end_matches('-');
    if plain.is_empty() { "stream".to_owned() } else { plain.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(body: &Value) -> String {
        Draft::parse(body).unwrap_err().detail().to_owned()
    }

    #[test]
    fn a_minimal_body_is_enough() {
        let draft = Draft::parse(&json!({"source": {"type": "testcard"}})).unwrap();
        assert_eq!(draft.source, Source::TestCard { height: 720, duration_s: 60.0, frame_rate: 30.0 });
        assert!(valid_id(&draft.id()));
    }

    #[test]
    fn a_ladder_of_ones_own_leaves_the_latency_as_it_is() {
        let segment_ms = |body: &Value| Draft::parse(body).unwrap().profile.segment_ms;
        let rungs = json!({"rungs": [{"lines": 180, "kbps": 200}]});
        assert_eq!(segment_ms(&json!({"mode": "live", "profile": rungs})), 2000);
        assert_eq!(segment_ms(&json!({"mode": "live", "latency": "normal", "profile": rungs})), 4000);
        assert_eq!(segment_ms(&json!({"source": {"type": "testcard"}, "profile": rungs})), 4000);
        assert_eq!(segment_ms(&json!({"mode": "live", "profile": {"segment_ms": 6000}})), 6000);
    }

    #[test]
    fn every_wrong_field_is_named() {
        let detail = fields(&json!({
            "id": "Not/Good", "title": 5, "mode": "tape", "colour": "red",
            "source": {"type": "file", "url": "x"}, "profile": {"rungs": []},
        }));
        for part in ["id: ", "title: ", "mode: ", "colour", "source.path: ", "\"url\"", "profile"] {
            assert!(detail.contains(part), "{part} in {detail}");
        }
        assert!(fields(&json!({"source": {"type": "tape"}})).contains("source.type"));
        assert!(fields(&json!({"source": "film.mp4"})).contains("source: "));
        assert!(fields(&json!({"source": {"type": "testcard", "height": "tall"}})).contains("source.height"));
        assert!(fields(&json!({"id": "create", "source": {"type": "testcard"}})).contains("taken"));
    }

    #[test]
    fn titles_become_ids() {
        let rows =
            [("Big Buck Bunny", "big-buck-bunny"), ("  ¿Qué? ", "qu"), ("日本", "stream"), ("a--b", "a-b")];
        for (title, expected) in rows {
            assert_eq!(slug(title), expected);
        }
        assert!(valid_id(&slug(&"x-".repeat(100))));
    }
}
