//! `POST /create`: the form, which also works without JavaScript.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::multipart::{Field, Multipart};
use axum::extract::{FromRequest as _, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};

use super::{FIELD_LIMIT, list};
use crate::api::pace::network_of;
use crate::api::{Draft, publish, view};
use crate::app::App;
use crate::http::Problem;

/// Text fields that a form may have.
const MOST_FIELDS: usize = 16;

pub(super) async fn create(State(app): State<Arc<App>>, request: Request) -> Response {
    let network = network_of(&app, request.extensions(), request.headers());
    let taken = take(&app, request).await;
    if let Err(problem) = &taken
        && problem.status() == StatusCode::UNAUTHORIZED
    {
        // Counted; that this was one too many is told with the next.
        let _ = app.pace.guess(&app, network, true);
    }
    match taken {
        Ok(location) => (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response(),
        Err(problem) => {
            let shared = Arc::clone(&app);
            let views = tokio::task::spawn_blocking(move || {
                crate::api::listed(&shared, false)
                    .iter()
                    .map(|stream| view(&shared, stream, false))
                    .collect::<Vec<_>>()
            });
            let Ok(views) = views.await else { return problem.into_response() };
            let roots = !app.settings.now().roots.is_empty();
            let html = list::html(&views, views.len(), app.gate.needs_token(), roots, Some(problem.detail()));
            let mut page = super::page(html);
            *page.status_mut() = problem.status();
            page
        }
    }
}

async fn take(app: &Arc<App>, request: Request) -> Result<String, Problem> {
    let (headers, uri) = (request.headers().clone(), request.uri().clone());
    if !app.gate.needs_token() {
        app.gate.check(&headers, &uri, None)?;
    }
    let unreadable = |error: axum::extract::multipart::MultipartError| {
        Problem::bad_request(format!("The form cannot be read: {}.", error.body_text()))
    };
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|error| Problem::bad_request(format!("The form cannot be read: {}.", error.body_text())))?;
    let mut fields: HashMap<String, String> = HashMap::new();
    let mut upload = None;
    while let Some(field) = form.next_field().await.map_err(unreadable)? {
        let name = field.name().unwrap_or("").to_owned();
        if name == "file" {
            let wanted = fields.get("type").is_some_and(|kind| kind == "upload");
            if wanted && field.file_name().is_some_and(|name| !name.is_empty()) {
                // Nothing is written for someone without the token, which the form sends before the file.
                allow(app, &headers, &uri, &fields)?;
                let id = uuid::Uuid::new_v4().to_string();
                crate::api::check_room(app, 0)?;
                crate::api::store_whole(app, &id, field).await?;
                upload = Some(id);
            }
            continue;
        }
        if fields.len() >= MOST_FIELDS {
            return Err(Problem::bad_request("The form has too many fields."));
        }
        let value = text(field).await?;
        fields.insert(name, value);
    }
    allow(app, &headers, &uri, &fields)?;
    let draft = Draft::parse(&body(&fields, upload.as_deref()))?;
    let published = publish(app, draft, None).await?;
    Ok(format!("/stream/{}", published.stream.id))
}

fn allow(
    app: &App,
    headers: &axum::http::HeaderMap,
    uri: &axum::http::Uri,
    fields: &HashMap<String, String>,
) -> Result<(), Problem> {
    app.gate.check(headers, uri, fields.get("token").map(String::as_str))
}

async fn text(mut field: Field<'_>) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|_| Problem::bad_request("The form broke off."))? {
        if bytes.len() + chunk.len() > FIELD_LIMIT {
            return Err(Problem::bad_request("A field of the form is too long."));
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| Problem::bad_request("A field of the form is not UTF-8."))
}

/// The same body that a program would send to the API.
fn body(fields: &HashMap<String, String>, upload: Option<&str>) -> Value {
    let field = |name: &str| fields.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
    let kind = field("type").unwrap_or("");
    let mut source = Map::new();
    source.insert("type".into(), kind.into());
    let numbers: &[&str] = if kind == "testcard" { &["height", "duration_s"] } else { &[] };
    for name in numbers {
        if let Some(text) = field(name) {
            let value = text.parse::<f64>().map_or_else(|_| json!(text), |number| json!(number));
            source.insert((*name).into(), value);
        }
    }
    match kind {
        "url" => source.insert("url".into(), json!(field("url"))),
        "file" => source.insert("path".into(), json!(field("path"))),
        "upload" => source.insert("upload".into(), json!(upload)),
        _ => None,
    };
    let mut body = Map::new();
    body.insert("title".into(), json!(field("title")));
    body.insert("source".into(), source.into());
    body.into()
}
