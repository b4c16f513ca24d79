//! Subtitles that a create request brings along: as text, from an allowed folder, or from a URL.

use serde::Deserialize;
use serde_json::Value;

use super::create::check_title;
use super::source;
use super::subtitles::MOST_LANGUAGES;
use crate::app::App;
use crate::http::Problem;
use crate::http::problem::FieldError;
use crate::ingest::fetch;
use crate::ingest::subtitles::{MOST_BYTES, language, parse};
use crate::store::TextTrack;

/// One language, as a create request names it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sidecar {
    lang: String,
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    default: bool,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    url: Option<String>,
}

/// A language that can be stored.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    track: TextTrack,
    vtt: String,
}

/// Reads the member `subtitles` of a create request.
pub(super) fn read(value: Option<&Value>, errors: &mut Vec<FieldError>) -> Vec<Sidecar> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Vec::new() };
    let list: Vec<Sidecar> = match serde_json::from_value(value.clone()) {
        Ok(list) => list,
        Err(error) => {
            let why =
                format!("must be a list like [{{\"lang\": \"en\", \"path\": \"film.en.vtt\"}}]: {error}");
            errors.push(FieldError::new("subtitles", why));
            return Vec::new();
        }
    };
    let mut wrong = |why: String| errors.push(FieldError::new("subtitles", why));
    if list.len() > MOST_LANGUAGES {
        wrong(format!("a stream has at most {MOST_LANGUAGES} languages"));
    }
    let mut known = Vec::new();
    for sidecar in &list {
        let Some(lang) = language(&sidecar.lang) else {
            wrong("lang must be a language tag like \"en\" or \"pt-BR\" (BCP 47)".to_owned());
            continue;
        };
        let sources = [&sidecar.text, &sidecar.path, &sidecar.url].into_iter().flatten().count();
        if sources != 1 {
            wrong(format!("{lang}: give one of text, path and url"));
        }
        if let Some(Err(error)) = sidecar.label.as_deref().map(check_title) {
            wrong(format!("{lang}: the label {}", error.detail));
        }
        if known.contains(&lang) {
            wrong(format!("{lang} is there twice"));
        }
        known.push(lang);
    }
    list
}

/// Gets and checks all of them: a stream is not made when one is not right.
pub(super) async fn collect(app: &App, list: Vec<Sidecar>) -> Result<Vec<Ready>, FieldError> {
    let mut ready = Vec::new();
    for sidecar in list {
        let lang = language(&sidecar.lang).unwrap_or_default();
        let wrong = |why: String| FieldError::new("subtitles", format!("{lang}: {why}"));
        let bytes = get(app, &sidecar).await.map_err(wrong)?;
        let found = tokio::task::spawn_blocking(move || parse(&bytes)).await;
        let found = found.map_err(|_| wrong("it could not be read".to_owned()))?;
        let found = found.map_err(|error| wrong(error.to_string()))?;
        let label =
            sidecar.label.map(|label| label.trim().replace('"', "'")).filter(|label| !label.is_empty());
        let track = TextTrack {
            label: label.unwrap_or_else(|| lang.clone()),
            default: sidecar.default,
            end_ms: found.end_ms,
            lang,
            version: 0,
            bytes: 0,
        };
        ready.push(Ready { track, vtt: found.vtt });
    }
    Ok(ready)
}

async fn get(app: &App, sidecar: &Sidecar) -> Result<Vec<u8>, String> {
    if let Some(text) = &sidecar.text {
        return Ok(text.clone().into_bytes());
    }
    let too_large = || "the file is larger than 2 MiB".to_owned();
    if let Some(path) = &sidecar.path {
        let (roots, path) = (app.settings.now().roots.clone(), path.clone());
        let read = move || {
            let real = source::file_inside(&roots, &path)?;
            match std::fs::metadata(&real) {
                Ok(meta) if meta.len() > MOST_BYTES as u64 => Err(too_large()),
                _ => std::fs::read(&real).map_err(|error| format!("cannot read the file: {error}")),
            }
        };
        return tokio::task::spawn_blocking(read).await.map_err(|_| "it could not be read".to_owned())?;
    }
    let url = sidecar.url.as_deref().unwrap_or_default();
    let url = source::allowed_url(app, url).await?;
    let folder = app.config.data.join("uploads");
    let place = folder.join(format!("subtitles-{}", uuid::Uuid::new_v4().simple()));
    let mut large = false;
    let fetched = fetch(&url, &place, app.fetch_policy(), |done, total| {
        large |= done.max(total.unwrap_or(0)) > MOST_BYTES as u64;
        !large
    })
    .await;
    let bytes = match fetched {
        Ok(_) => tokio::fs::read(&place).await.map_err(|error| format!("cannot read the file: {error}")),
        Err(_) if large => Err(too_large()),
        Err(error) => Err(error.to_string()),
    };
    // It is not there when nothing was fetched.
    let _ = tokio::fs::remove_file(&place).await;
    bytes
}

/// Stores them with a stream that was just made.
pub(super) async fn store(app: &App, id: &str, list: Vec<Ready>) -> Result<(), Problem> {
    if list.is_empty() {
        return Ok(());
    }
    let stream = super::subtitles::open(app, id).await?;
    let stored = tokio::task::spawn_blocking(move || {
        list.into_iter().try_for_each(|Ready { track, vtt }| stream.put_subtitles(track, &vtt))
    });
    match stored.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            tracing::error!(stream = id, %error, "cannot store subtitles");
            Err(Problem::internal("storing the subtitles"))
        }
        Err(_) => Err(Problem::internal("storing the subtitles")),
    }
}
