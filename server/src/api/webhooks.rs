//! `/api/webhooks`: who is told what happens.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::streams::json_body;
use crate::app::App;
use crate::deliver::extract::parameter;
use crate::http::Problem;
use crate::http::problem::FieldError;
use crate::webhooks::{EventKind, HookError, HookSetting, new_secret};

/// A webhook's id from the path.
pub(super) struct HookId(String);

impl axum::extract::FromRequestParts<Arc<App>> for HookId {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        app: &Arc<App>,
    ) -> Result<Self, Problem> {
        // Reading them is for admins, too; the guard has seen to the writes.
        app.gate.check(&parts.headers, &parts.uri, None)?;
        Ok(Self(parameter(parts, app, "id").await?))
    }
}

/// `GET /api/webhooks`
pub(super) async fn list(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    app.gate.check(&headers, &uri, None)?;
    Ok(fresh(&json!({"items": app.webhooks.list()})))
}

/// `POST /api/webhooks`
pub(super) async fn add(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = object(json_body(&headers, body)?)?;
    let mut setting =
        HookSetting { url: String::new(), events: Vec::new(), secret: new_secret(), enabled: true };
    patch_setting(&mut setting, &body)?;
    if setting.url.is_empty() {
        return Err(Problem::fields(&[FieldError::new("url", "must be an http or https address")]));
    }
    let secret = setting.secret.clone();
    let view = blocking(&app, move |app| app.webhooks.add(setting)).await?;
    let location = HeaderValue::from_str(&format!("/api/webhooks/{}", view.id));
    let mut body = json!(view);
    if let Some(body) = body.as_object_mut() {
        body.insert("secret".into(), secret.into());
    }
    let mut response = fresh(&body);
    *response.status_mut() = StatusCode::CREATED;
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// `GET /api/webhooks/{id}`
pub(super) async fn one(State(app): State<Arc<App>>, HookId(id): HookId) -> Result<Response, Problem> {
    Ok(fresh(&json!(app.webhooks.get(&id).map_err(problem)?)))
}

/// `PATCH /api/webhooks/{id}`: a merge patch (RFC 7396).
pub(super) async fn patch(
    State(app): State<Arc<App>>,
    HookId(id): HookId,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = object(json_body(&headers, body)?)?;
    let mut tried =
        HookSetting { url: String::new(), events: Vec::new(), secret: String::new(), enabled: true };
    patch_setting(&mut tried, &body)?;
    let view = blocking(&app, move |app| {
        app.webhooks.change(&id, |setting| {
            // Cannot fail: the same patch was tried above.
            patch_setting(setting, &body)
                .map_err(|problem| HookError::Field { field: "body", detail: problem.detail().to_owned() })
        })
    })
    .await?;
    Ok(fresh(&json!(view)))
}

/// `DELETE /api/webhooks/{id}`
pub(super) async fn remove(State(app): State<Arc<App>>, HookId(id): HookId) -> Result<StatusCode, Problem> {
    blocking(&app, move |app| app.webhooks.remove(&id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/webhooks/{id}/deliveries`
pub(super) async fn deliveries(State(app): State<Arc<App>>, HookId(id): HookId) -> Result<Response, Problem> {
    Ok(fresh(&json!({"items": app.webhooks.deliveries(&id).map_err(problem)?})))
}

/// `POST /api/webhooks/{id}/ping`
pub(super) async fn ping(State(app): State<Arc<App>>, HookId(id): HookId) -> Result<StatusCode, Problem> {
    app.webhooks.ping(&id).map_err(problem)?;
    Ok(StatusCode::ACCEPTED)
}

fn fresh(body: &Value) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response()
}

fn object(body: Value) -> Result<Map<String, Value>, Problem> {
    match body {
        Value::Object(body) => Ok(body),
        _ => Err(Problem::bad_request("The body must be a JSON object.")),
    }
}

async fn blocking<T: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce(&App) -> Result<T, HookError> + Send + 'static,
) -> Result<T, Problem> {
    let app = Arc::clone(app);
    tokio::task::spawn_blocking(move || work(&app))
        .await
        .map_err(|_| Problem::internal("changing the webhooks"))?
        .map_err(problem)
}

fn patch_setting(setting: &mut HookSetting, body: &Map<String, Value>) -> Result<(), Problem> {
    let mut errors = Vec::new();
    for (name, value) in body {
        match (name.as_str(), value) {
            ("url", Value::String(url)) => setting.url = url.trim().to_owned(),
            ("url", _) => errors.push(FieldError::new("url", "must be an http or https address")),
            ("secret", Value::String(secret)) => setting.secret.clone_from(secret),
            ("secret", _) => {
                errors.push(FieldError::new("secret", "must be 16 to 256 visible ASCII characters"));
            }
            ("enabled", Value::Bool(enabled)) => setting.enabled = *enabled,
            ("enabled", _) => errors.push(FieldError::new("enabled", "must be true or false")),
            ("events", Value::Null) => setting.events.clear(),
            ("events", value) => match events(value) {
                Some(events) => setting.events = events,
                None => errors.push(FieldError::new(
                    "events",
                    format!("must be a list of {}", EventKind::ALL.map(EventKind::name).join(", ")),
                )),
            },
            _ => errors.push(FieldError::new("body", format!("there is no field \"{}\"", shown(name)))),
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Problem::fields(&errors)) }
}

fn shown(name: &str) -> String {
    name.chars().take(40).collect()
}

fn events(value: &Value) -> Option<Vec<EventKind>> {
    let mut events =
        value.as_array()?.iter().map(|name| EventKind::parse(name.as_str()?)).collect::<Option<Vec<_>>>()?;
    events.sort_unstable();
    events.dedup();
    Some(events)
}

fn problem(error: HookError) -> Problem {
    let detail = format!("{error}.");
    match error {
        HookError::Field { field, detail } => Problem::fields(&[FieldError::new(field, detail)]),
        HookError::Missing => Problem::new(
            StatusCode::NOT_FOUND,
            "no-such-webhook",
            "No such webhook",
            "No webhook has that id.",
        ),
        HookError::Full => Problem::new(StatusCode::CONFLICT, "too-many", "Too many webhooks", detail),
        HookError::FromSettings | HookError::Off => {
            Problem::new(StatusCode::CONFLICT, "not-changeable", "Not possible with this webhook", detail)
        }
        HookError::Store { .. } => {
            tracing::error!("{error}");
            Problem::internal("keeping the webhooks")
        }
    }
}
