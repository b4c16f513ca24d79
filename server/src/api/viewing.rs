//! The field `auth` of a stream, and `/api/stream/{id}/tokens`.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::streams::{catalog_problem, json_body};
use crate::app::App;
use crate::catalog::auth::User;
use crate::catalog::{Auth, Source, Stream, StreamKey, unix_ms};
use crate::deliver::dash::date_time;
use crate::deliver::extract::StreamId;
use crate::deliver::pass;
use crate::http::Problem;
use crate::http::problem::FieldError;

/// Most users of one stream.
const MOST_USERS: usize = 100;
/// Longest name and password in bytes.
const LONGEST: usize = 128;
/// Shortest password in bytes.
const SHORTEST_PASSWORD: usize = 8;
/// How long a link is good, unless asked otherwise, and the bounds.
const LINK_S: u64 = 86_400;
const LINK_RANGE_S: std::ops::RangeInclusive<u64> = 60..=31_536_000;

/// What somebody wants `auth` to be; members that are not named stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    private: Option<bool>,
    /// Names, with passwords where they are new.
    users: Option<Vec<(String, Option<String>)>>,
    key: Option<StreamKey>,
}

/// The same with every password worked through, ready to be stored.
#[derive(Debug)]
pub(super) struct Settled {
    auth: Option<Auth>,
    /// A new stream key.
    pub(super) key: Option<StreamKey>,
}

/// Reads `auth` of a stream that is to be made.
pub(super) fn read_new(
    value: &Value,
    source: Option<&Source>,
    errors: &mut Vec<FieldError>,
) -> Option<Wanted> {
    read_for(value, source, None, errors)
}

/// Reads `auth` of a patch.
pub(super) fn read(value: &Value, stream: &Stream, errors: &mut Vec<FieldError>) -> Option<Wanted> {
    read_for(value, Some(&stream.source), stream.auth.as_ref(), errors)
}

fn read_for(
    value: &Value,
    source: Option<&Source>,
    before: Option<&Auth>,
    errors: &mut Vec<FieldError>,
) -> Option<Wanted> {
    let members = match value {
        Value::Null => return Some(Wanted { private: Some(false), ..Wanted::default() }),
        Value::Object(members) => members,
        _ => {
            errors.push(FieldError::new("auth", "must be an object, as {\"view\": \"private\"}"));
            return None;
        }
    };
    let so_far = errors.len();
    let mut wanted = Wanted::default();
    for (name, value) in members {
        match (name.as_str(), value) {
            ("view", Value::Null) => wanted.private = Some(false),
            ("view", value) if value == "public" || value == "private" => {
                wanted.private = Some(value == "private");
            }
            ("view", _) => errors.push(FieldError::new("auth.view", "must be \"public\" or \"private\"")),
            ("users", Value::Null) => wanted.users = Some(Vec::new()),
            ("users", value) => wanted.users = users(value, before, errors),
            ("publish_key", value) => {
                let key = value.as_str().and_then(StreamKey::chosen);
                if key.is_none() {
                    let form = "must be 16 to 128 of letters, digits, '-', '_' and '.'";
                    errors.push(FieldError::new("auth.publish_key", form));
                } else if source.is_some_and(|source| *source != Source::Publisher) {
                    errors.push(FieldError::new(
                        "auth.publish_key",
                        "is for streams that somebody publishes to",
                    ));
                }
                wanted.key = key;
            }
            _ => errors
                .push(FieldError::new("auth", "has an unknown field; known are view, users and publish_key")),
        }
    }
    let private = wanted.private.unwrap_or(before.is_some());
    if !private && wanted.users.as_ref().is_some_and(|users| !users.is_empty()) {
        errors.push(FieldError::new("auth.users", "are for a private stream; say \"view\": \"private\""));
    }
    (errors.len() == so_far).then_some(wanted)
}

fn users(
    value: &Value,
    before: Option<&Auth>,
    errors: &mut Vec<FieldError>,
) -> Option<Vec<(String, Option<String>)>> {
    let mut refuse = |why: String| {
        errors.push(FieldError::new("auth.users", why));
        None
    };
    let Some(list) = value.as_array().filter(|list| list.len() <= MOST_USERS) else {
        return refuse(format!(
            "must be a list of at most {MOST_USERS}, as [{{\"name\": ..., \"password\": ...}}]"
        ));
    };
    let mut users: Vec<(String, Option<String>)> = Vec::new();
    for (at, user) in list.iter().enumerate() {
        let empty = Map::new();
        let members = user.as_object().unwrap_or(&empty);
        if members.is_empty() || members.keys().any(|key| key != "name" && key != "password") {
            return refuse(format!("[{at}] must have name and password, and nothing else"));
        }
        let fits = |text: &&str| text.len() <= LONGEST && !text.chars().any(char::is_control);
        let name = members.get("name").and_then(Value::as_str).filter(fits);
        let Some(name) = name.filter(|name| !name.is_empty() && !name.contains(':')) else {
            return refuse(format!("[{at}].name must be 1 to {LONGEST} bytes without ':'"));
        };
        if users.iter().any(|(known, _)| known == name) {
            return refuse(format!("[{at}].name is there twice"));
        }
        let password = match members.get("password") {
            // Somebody who is known keeps the password.
            None | Some(Value::Null) if before.is_some_and(|auth| auth.user(name).is_some()) => None,
            Some(Value::String(text)) if text.len() >= SHORTEST_PASSWORD && fits(&text.as_str()) => {
                Some(text.clone())
            }
            _ => return refuse(format!("[{at}].password must be {SHORTEST_PASSWORD} to {LONGEST} bytes")),
        };
        users.push((name.to_owned(), password));
    }
    Some(users)
}

impl Wanted {
    /// The stream key that somebody chose.
    pub(super) fn key(&self) -> Option<StreamKey> {
        self.key.clone()
    }

    /// Works passwords through, off the async threads.
    pub(super) async fn settle(self, stream: &Stream) -> Result<Settled, Problem> {
        let before = stream.auth.clone();
        let Self { private, users, key } = self;
        if !private.unwrap_or(before.is_some()) {
            return Ok(Settled { auth: None, key });
        }
        let settled = tokio::task::spawn_blocking(move || {
            let mut auth = before.unwrap_or_else(Auth::closed);
            if let Some(users) = users {
                let known = std::mem::take(&mut auth.users);
                auth.users = users
                    .into_iter()
                    .filter_map(|(name, password)| match password {
                        Some(password) => Some(User::new(name, &password)),
                        None => known.iter().find(|user| user.name == name).cloned(),
                    })
                    .collect();
            }
            auth
        });
        let auth = settled.await.map_err(|_| Problem::internal("working the passwords through"))?;
        Ok(Settled { auth: Some(auth), key })
    }
}

impl Settled {
    /// Makes the stream so.
    pub(super) fn apply(self, stream: &mut Stream) {
        let epoch = stream.auth.as_ref().map_or(0, |auth| auth.epoch);
        stream.auth = self.auth.map(|auth| Auth { epoch: auth.epoch.max(epoch), ..auth });
        if let (Some(key), Some(live)) = (self.key, &mut stream.live) {
            live.key_sha256 = Some(key.digest());
        }
    }
}

/// `POST /api/stream/{id}/tokens`: a link for somebody who may watch, for a time.
pub(super) async fn make(
    State(app): State<Arc<App>>,
    StreamId(id): StreamId,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let stream = private(&app, &id)?;
    let empty = body.as_ref().is_ok_and(Bytes::is_empty);
    let body = if empty { json!({}) } else { json_body(&headers, body)? };
    let members = body.as_object().ok_or_else(|| Problem::bad_request("The body must be a JSON object."))?;
    if let Some(name) = members.keys().find(|name| *name != "expires_s") {
        let name: String = name.chars().take(40).collect();
        let why = format!("has an unknown field \"{name}\"; known is expires_s");
        return Err(Problem::fields(&[FieldError::new("body", why)]));
    }
    let seconds = match members.get("expires_s") {
        None | Some(Value::Null) => Some(LINK_S),
        Some(value) => value.as_u64().filter(|seconds| LINK_RANGE_S.contains(seconds)),
    };
    let seconds = seconds.ok_or_else(|| {
        let why = format!("must be {} to {} seconds", LINK_RANGE_S.start(), LINK_RANGE_S.end());
        Problem::fields(&[FieldError::new("expires_s", why)])
    })?;
    let expires_s = unix_ms() / 1000 + seconds;
    let token = pass::token(&app, &stream, expires_s).ok_or_else(|| Problem::no_stream(&id))?;
    let base = pass::base(&id, &token);
    let body = json!({
        "token": token,
        "expires_at": date_time(expires_s * 1000),
        "urls": {"page": base, "hls": format!("{base}/hls/master.m3u8"), "dash": format!("{base}/dash/manifest.mpd")},
    });
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response())
}

/// `DELETE /api/stream/{id}/tokens`: no link that was made so far opens the stream any more.
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    StreamId(id): StreamId,
) -> Result<StatusCode, Problem> {
    private(&app, &id)?;
    let change = |stream: &mut Stream| {
        if let Some(auth) = &mut stream.auth {
            auth.revoke_links();
        }
    };
    app.catalog.update(&id, change).await.map_err(|error| catalog_problem(&error))?;
    tracing::info!(stream = id, "all links are revoked");
    Ok(StatusCode::NO_CONTENT)
}

fn private(app: &App, id: &str) -> Result<Arc<Stream>, Problem> {
    let stream = app.catalog.get(id).ok_or_else(|| Problem::no_stream(id))?;
    if stream.auth.is_some() {
        return Ok(stream);
    }
    Err(Problem::conflict(
        "public-stream",
        "Not a private stream",
        "Everybody may watch this stream, so there are no tokens; PATCH it with {\"auth\": {\"view\": \"private\"}} first.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(body: &Value, source: &Source) -> String {
        let mut errors = Vec::new();
        let wanted = read_new(body, Some(source), &mut errors);
        assert_eq!(wanted.is_none(), !errors.is_empty());
        errors.first().map_or_else(String::new, |error| format!("{}: {}", error.field, error.detail))
    }

    #[test]
    fn what_is_wrong_with_auth_is_named() {
        let user = json!({"name": "anna", "password": "correct horse"});
        for (body, part) in [
            (json!({"view": "private"}), ""),
            (json!({"view": "private", "users": [user]}), ""),
            (json!({"publish_key": "my-own.key_0123456"}), ""),
            (json!("private"), "auth: "),
            (json!({"view": "secret"}), "auth.view: "),
            (json!({"colour": 1}), "auth: has an unknown"),
            (json!({"users": [user]}), "auth.users: are for a private"),
            (json!({"view": "private", "users": [user, user]}), "twice"),
            (json!({"view": "private", "users": [{"name": "a:b", "password": "correct horse"}]}), "[0].name"),
            (json!({"view": "private", "users": [{"name": "anna", "password": "short"}]}), "[0].password"),
            (json!({"view": "private", "users": [{"name": "anna"}]}), "[0].password"),
            (json!({"view": "private", "users": ["anna"]}), "[0] must have"),
            (json!({"publish_key": "short"}), "auth.publish_key: "),
            (json!({"publish_key": "with a space in it"}), "auth.publish_key: "),
        ] {
            let found = problems(&body, &Source::Publisher);
            assert!(found.contains(part) && found.is_empty() == part.is_empty(), "{body}: {found}");
        }
        let film = Source::File { path: "film.mp4".into() };
        assert!(
            problems(&json!({"publish_key": "my-own.key_0123456"}), &film).contains("somebody publishes")
        );
    }

    #[tokio::test]
    async fn a_patch_keeps_what_it_does_not_name() {
        let mut stream = Stream::new("s", "S", Source::Publisher, crate::ladder::Profile::default());
        for (body, names) in [
            (
                json!({"view": "private", "users": [{"name": "anna", "password": "correct horse"}]}),
                Some(vec!["anna"]),
            ),
            (json!({"view": "private"}), Some(vec!["anna"])),
            (
                json!({"users": [{"name": "anna"}, {"name": "ben", "password": "another one"}]}),
                Some(vec!["anna", "ben"]),
            ),
            (json!({"users": []}), Some(vec![])),
            (Value::Null, None),
        ] {
            let mut errors = Vec::new();
            let wanted = read(&body, &stream, &mut errors);
            assert!(errors.is_empty(), "{body}: {errors:?}");
            wanted.unwrap().settle(&stream).await.unwrap().apply(&mut stream);
            let users = stream.auth.as_ref().map(|auth| auth.users.iter().map(|user| &*user.name).collect());
            assert_eq!(users, names, "{body}");
            if let Some(anna) = stream.auth.as_ref().and_then(|auth| auth.user("anna")) {
                assert!(anna.has("correct horse"), "{body}");
            }
        }
    }
}
