//! Uploads: at once (raw or as a form's file), or in pieces that survive a broken line (a subset of tus 1.0: creation,
//! offset, append, termination).
//!
//! An upload lies in `uploads/{id}.part` until its last byte is on the disk and in `uploads/{id}` after that.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::{FromRequest as _, Multipart, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use serde_json::json;
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt as _;

use crate::app::App;
use crate::catalog::Source;
use crate::deliver::extract::parameter;
use crate::http::Problem;

const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const TUS: HeaderName = HeaderName::from_static("tus-resumable");

/// Uploads that nobody made a stream of are deleted after this time.
const UNUSED: Duration = Duration::from_secs(86_400);

/// What tus clients ask for in advance: the version, the extensions, the largest upload.
pub fn describe(app: &App, headers: &mut HeaderMap) {
    headers.insert(TUS, HeaderValue::from_static("1.0.0"));
    headers.insert("tus-version", HeaderValue::from_static("1.0.0"));
    headers.insert("tus-extension", HeaderValue::from_static("creation,termination"));
    headers.insert("tus-max-size", HeaderValue::from(app.settings.now().max_source));
}

/// `POST /api/upload`
pub(super) async fn receive(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let id = uuid::Uuid::new_v4().to_string();
    if let Some(length) = number(request.headers(), &LENGTH)? {
        return begin(&app, &id, length).await;
    }
    let announced = number(request.headers(), &header::CONTENT_LENGTH)?;
    check_room(&app, announced.unwrap_or(0))?;
    let is_form = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("multipart/form-data"));
    let bytes = if is_form {
        let mut form = Multipart::from_request(request, &()).await.map_err(|error| {
            Problem::bad_request(format!("The form cannot be read: {}.", error.body_text()))
        })?;
        store_form_file(&app, &id, &mut form).await?
    } else {
        let body = request.into_body().into_data_stream();
        store_whole(&app, &id, body).await?
    };
    created(&id, bytes)
}

fn created(id: &str, bytes: u64) -> Result<Response, Problem> {
    let location = HeaderValue::from_str(&format!("/api/upload/{id}"))
        .map_err(|_| Problem::internal("naming the upload"))?;
    let body = axum::Json(json!({"upload": id, "bytes": bytes}));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], body).into_response())
}

/// The first field of a form that carries a file.
async fn store_form_file(app: &App, id: &str, form: &mut Multipart) -> Result<u64, Problem> {
    loop {
        let field = form
            .next_field()
            .await
            .map_err(|error| {
                Problem::bad_request(format!("The form cannot be read: {}.", error.body_text()))
            })?
            .ok_or_else(|| Problem::bad_request("The form holds no file."))?;
        if field.file_name().is_some() {
            return store_whole(app, id, field).await;
        }
    }
}

/// Writes a whole upload and returns its length; nothing of it stays when it fails.
pub(crate) async fn store_whole<E: std::fmt::Display>(
    app: &App,
    id: &str,
    mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
) -> Result<u64, Problem> {
    let part = part_path(app, id);
    let file = File::create(&part).await.map_err(|error| disk(&part, &error))?;
    let result = match append(app, file, &part, 0, app.settings.now().max_source, &mut body).await {
        Ok(0) => Err(Problem::bad_request("The upload is empty.")),
        other => other,
    };
    let result = match result {
        Ok(bytes) => finish(app, id).await.map(|()| bytes),
        Err(problem) => Err(problem),
    };
    if result.is_err() {
        remove(&part).await;
    }
    result
}

/// Writes what comes after `from`, never past `limit`, and returns the new length.
async fn append<E: std::fmt::Display>(
    app: &App,
    mut file: File,
    path: &Path,
    from: u64,
    limit: u64,
    body: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin),
) -> Result<u64, Problem> {
    /// Bytes between two looks at the free space.
    const LOOK: u64 = 64 << 20;
    let (mut length, mut next_look) = (from, from + LOOK);
    while let Some(chunk) = body.next().await {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => {
                // What came so far counts for an upload that can be resumed.
                file.sync_data().await.map_err(|error| disk(path, &error))?;
                return Err(Problem::bad_request(format!("The upload broke off: {error}.")));
            }
        };
        length += chunk.len() as u64;
        if length > limit {
            return Err(too_large(limit));
        }
        if length > next_look {
            check_room(app, 0)?;
            next_look = length + LOOK;
        }
        file.write_all(&chunk).await.map_err(|error| disk(path, &error))?;
    }
    file.flush().await.map_err(|error| disk(path, &error))?;
    file.sync_data().await.map_err(|error| disk(path, &error))?;
    Ok(length)
}

async fn finish(app: &App, id: &str) -> Result<(), Problem> {
    let (part, whole) = (part_path(app, id), app.upload_path(id));
    tokio::fs::rename(&part, &whole).await.map_err(|error| disk(&whole, &error))?;
    remove(&length_path(app, id)).await;
    Ok(())
}

/// tus creation: announces the length, sends nothing yet.
async fn begin(app: &App, id: &str, length: u64) -> Result<Response, Problem> {
    if length == 0 {
        return Err(Problem::bad_request("Upload-Length must be at least 1."));
    }
    check_room(app, length)?;
    let path = length_path(app, id);
    tokio::fs::write(&path, length.to_string()).await.map_err(|error| disk(&path, &error))?;
    let part = part_path(app, id);
    File::create(&part).await.map_err(|error| disk(&part, &error))?;
    let mut response = created(id, 0)?;
    response.headers_mut().insert(TUS, HeaderValue::from_static("1.0.0"));
    response.headers_mut().insert(OFFSET, HeaderValue::from_static("0"));
    Ok(response)
}

/// `HEAD /api/upload/{id}`: how much is there.
pub(super) async fn offset(State(app): State<Arc<App>>, mut parts: Parts) -> Result<Response, Problem> {
    let (_, length, offset) = unfinished(&app, &mut parts).await?;
    Ok(progress(StatusCode::OK, offset, Some(length)))
}

/// `PATCH /api/upload/{id}`: the bytes from `Upload-Offset` on.
pub(super) async fn resume(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let (id, length, offset) = unfinished(&app, &mut parts).await?;
    let kind = parts.headers.get(header::CONTENT_TYPE);
    if kind.is_none_or(|kind| kind != "application/offset+octet-stream") {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "Not a piece of an upload",
            "Send the piece as Content-Type: application/offset+octet-stream.",
        ));
    }
    let from =
        number(&parts.headers, &OFFSET)?.ok_or_else(|| Problem::bad_request("Upload-Offset is needed."))?;
    if from != offset {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "wrong-offset",
            "Not the next piece",
            format!("The upload has {offset} bytes; send Upload-Offset: {offset}."),
        ));
    }
    check_room(&app, length - offset)?;
    let path = part_path(&app, &id);
    let file = OpenOptions::new().append(true).open(&path).await.map_err(|error| disk(&path, &error))?;
    let offset = append(&app, file, &path, offset, length, &mut body.into_data_stream()).await?;
    if offset == length {
        finish(&app, &id).await?;
    }
    Ok(progress(StatusCode::NO_CONTENT, offset, None))
}

/// `DELETE /api/upload/{id}`
pub(super) async fn discard(State(app): State<Arc<App>>, mut parts: Parts) -> Result<StatusCode, Problem> {
    let id = upload_id(&mut parts).await?;
    let used =
        app.catalog.list().iter().any(|s| matches!(&s.source, Source::Upload { upload } if *upload == id));
    if used {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "upload-in-use",
            "The upload is in use",
            "A stream was made of this upload; delete that stream instead.",
        ));
    }
    let paths = [app.upload_path(&id), part_path(&app, &id)];
    if !paths.iter().any(|path| path.exists()) {
        return Err(no_upload());
    }
    for path in paths.iter().chain([&length_path(&app, &id)]) {
        remove(path).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

fn progress(status: StatusCode, offset: u64, length: Option<u64>) -> Response {
    let mut response = (status, Body::empty()).into_response();
    let headers = response.headers_mut();
    headers.insert(TUS, HeaderValue::from_static("1.0.0"));
    headers.insert(OFFSET, HeaderValue::from(offset));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(length) = length {
        headers.insert(LENGTH, HeaderValue::from(length));
    }
    response
}

/// Id, announced length and present length of an upload in pieces.
async fn unfinished(app: &App, parts: &mut Parts) -> Result<(String, u64, u64), Problem> {
    let id = upload_id(parts).await?;
    let text = tokio::fs::read_to_string(length_path(app, &id)).await.map_err(|_| no_upload())?;
    let length = text.trim().parse().map_err(|_| no_upload())?;
    let meta = tokio::fs::metadata(part_path(app, &id)).await.map_err(|_| no_upload())?;
    Ok((id, length, meta.len()))
}

async fn upload_id(parts: &mut Parts) -> Result<String, Problem> {
    let id = parameter(parts, &(), "id").await?;
    // Back to text from the parsed form: only what we give out can name a file.
    uuid::Uuid::try_parse(&id).map(|id| id.to_string()).map_err(|_| no_upload())
}

fn no_upload() -> Problem {
    Problem::not_found("There is no unfinished upload of that id.")
}

fn part_path(app: &App, id: &str) -> PathBuf {
    app.config.data.join("uploads").join(format!("{id}.part"))
}

fn length_path(app: &App, id: &str) -> PathBuf {
    app.config.data.join("uploads").join(format!("{id}.length"))
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| Problem::bad_request(format!("{name} must be a whole number.")))
}

/// Refuses what does not fit, before the first byte is taken.
pub(crate) fn check_room(app: &App, bytes: u64) -> Result<(), Problem> {
    if bytes > app.settings.now().max_source {
        return Err(too_large(app.settings.now().max_source));
    }
    let folder = app.config.data.join("uploads");
    let free = match rustix::fs::statvfs(&folder) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => {
            tracing::error!(path = %folder.display(), %error, "cannot see how much space is free");
            return Err(Problem::internal("looking for free space"));
        }
    };
    if free < bytes.saturating_add(app.settings.now().disk_reserve) {
        return Err(no_space());
    }
    Ok(())
}

fn too_large(limit: u64) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too-large",
        "The upload is too large",
        format!("An upload may have at most {limit} bytes here; --max-source-mb sets that."),
    )
}

fn no_space() -> Problem {
    Problem::new(
        StatusCode::INSUFFICIENT_STORAGE,
        "no-space",
        "No space for it",
        "The upload would leave less free space than --disk-reserve-mb asks for. Delete streams, or lower the reserve.",
    )
}

fn disk(path: &Path, error: &std::io::Error) -> Problem {
    tracing::error!(path = %path.display(), %error, "cannot write an upload");
    if error.kind() == std::io::ErrorKind::StorageFull {
        no_space()
    } else {
        Problem::internal("writing the upload")
    }
}

async fn remove(path: &Path) {
    if let Err(error) = tokio::fs::remove_file(path).await
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot delete a file of an upload");
    }
}

/// Deletes uploads that are older than a day and belong to no stream. Blocks.
pub fn sweep(app: &App) {
    let used: Vec<String> = app
        .catalog
        .list()
        .iter()
        .filter_map(|stream| match &stream.source {
            Source::Upload { upload } => Some(upload.clone()),
            _ => None,
        })
        .collect();
    let Ok(files) = std::fs::read_dir(app.config.data.join("uploads")) else { return };
    for file in files.flatten() {
        let name = file.file_name();
        let is_used = name.to_str().is_some_and(|name| used.iter().any(|id| id == name));
        let age =
            file.metadata().and_then(|meta| meta.modified()).map(|at| SystemTime::now().duration_since(at));
        let is_old = matches!(age, Ok(Ok(age)) if age > UNUSED);
        if is_old
            && !is_used
            && let Err(error) = std::fs::remove_file(file.path())
        {
            tracing::warn!(path = %file.path().display(), %error, "cannot delete an unused upload");
        }
    }
}
