//! `GET /api/events`: the list of streams whenever something about it changes, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde_json::json;
use tokio::sync::Mutex;

use super::streams::views;
use crate::app::App;

/// Counts, progress and states are looked at this often, and told when they differ.
const LOOK: Duration = Duration::from_secs(1);
/// Most streams that one event tells of.
const MOST: usize = 200;

/// The list as it was last made, for all who follow it: many readers cost little more than one.
#[derive(Debug, Default)]
pub struct Feed {
    everybody: Mutex<Option<(Instant, Arc<str>)>>,
    admins: Mutex<Option<(Instant, Arc<str>)>>,
}

impl Feed {
    /// The list, not older than [`LOOK`]. Who asks while it is made waits for it.
    async fn now(&self, app: &Arc<App>, admin: bool) -> Option<Arc<str>> {
        let mut slot = if admin { self.admins.lock().await } else { self.everybody.lock().await };
        if let Some((at, text)) = &*slot
            && at.elapsed() < LOOK
        {
            return Some(Arc::clone(text));
        }
        let (items, total) = views(app, admin, |mut streams| {
            let total = streams.len();
            streams.truncate(MOST);
            (streams, total)
        })
        .await
        .ok()?;
        let text: Arc<str> = json!({"items": items, "total": total}).to_string().into();
        *slot = Some((Instant::now(), Arc::clone(&text)));
        Some(text)
    }
}

pub(super) async fn events(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let admin = app.gate.is_admin(&headers);
    let start = (app, None::<Arc<str>>);
    let events = stream::unfold(start, move |(app, last)| async move {
        let mut first = last.is_none();
        loop {
            if !first {
                tokio::select! {
                    () = app.stop.cancelled() => return None,
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
            first = false;
            let text = app.feed.now(&app, admin).await?;
            if last.as_ref() != Some(&text) {
                let event = Event::default().event("streams").data(&*text);
                return Some((Ok::<_, Infallible>(event), (app, Some(text))));
            }
        }
    });
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(15));
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
