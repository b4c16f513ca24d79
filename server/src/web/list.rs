//! `GET /`: the streams and the form for a new one.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use super::html::{Text, counted, frame, length};
use crate::api::{StreamView, view};
use crate::app::App;
use crate::catalog::State as StreamState;
use crate::http::Problem;
use crate::store::TrackKind;

/// Streams on the page.
const MOST: usize = 200;

pub(super) async fn page(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let shared = Arc::clone(&app);
    let (views, total) = tokio::task::spawn_blocking(move || {
        let streams = crate::api::listed(&shared, false);
        let views: Vec<_> = streams.iter().take(MOST).map(|stream| view(&shared, stream, false)).collect();
        (views, streams.len())
    })
    .await
    .map_err(|_| Problem::internal("listing the streams"))?;
    Ok(super::page(html(&views, total, app.gate.needs_token(), !app.settings.now().roots.is_empty(), None)))
}

/// The page; `refused` is why the form that was sent was not taken.
pub(super) fn html(
    views: &[StreamView],
    total: usize,
    needs_token: bool,
    has_roots: bool,
    refused: Option<&str>,
) -> String {
    let watching: u64 = views.iter().map(|view| view.viewers.current).sum();
    let note = format!("{}, {watching} watching", counted(total as u64, "stream"));
    let mut body = String::from("<h1>Streams</h1>\n");
    if let Some(why) = refused {
        let _ =
            writeln!(body, "<p class=\"why\" role=\"alert\">The stream was not created. {}</p>", Text(why));
    }
    body.push_str("<ul class=\"grid\" id=\"streams\">\n");
    for view in views {
        card(&mut body, view);
    }
    let hidden = if views.is_empty() { "" } else { " hidden" };
    let _ = write!(
        body,
        "</ul>\n<p class=\"empty\" id=\"empty\"{hidden}>No stream yet. Create one below: a test card is ready in a \
         minute.</p>\n"
    );
    form(&mut body, needs_token, has_roots, views.is_empty() || refused.is_some());
    frame("Weir", &note, &body, &["list.js"])
}

fn card(body: &mut String, view: &StreamView) {
    let _ = write!(body, "<li class=\"card\" data-id=\"{}\"><div class=\"poster\">", Text(&view.id));
    if let Some(poster) = &view.urls.poster {
        let _ = write!(body, "<img src=\"{}\" alt=\"\" loading=\"lazy\">", Text(poster));
    } else if view.state == StreamState::Idle || (view.state == StreamState::Ended && !view.playable) {
        body.push_str("<span class=\"nothing\" aria-hidden=\"true\">Not on air</span>");
    }
    let live = view.state == StreamState::Live;
    if live {
        body.push_str("<span class=\"badge\">Live</span>");
    }
    if let Some(seconds) = view.duration_s.filter(|_| !live) {
        let _ = write!(body, "<span class=\"length\">{}</span>", length(seconds));
    }
    let (state, status) = (view.state.name(), view.status);
    let some = if view.viewers.current > 0 { " some" } else { "" };
    let _ = write!(
        body,
        "</div><div class=\"text\"><h2><a href=\"{}\">{}</a></h2><div class=\"meta\"><span class=\"state {state}\">\
         {status}</span><span class=\"viewers{some}\">{}</span>",
        Text(&view.urls.page),
        Text(&view.title),
        counted(view.viewers.current, "viewer")
    );
    if let Some(top) = view.renditions.iter().rfind(|r| r.kind == TrackKind::Video) {
        let _ = write!(body, "<span>up to {}p</span>", top.height);
    }
    body.push_str("</div>");
    if matches!(view.state, StreamState::Queued | StreamState::Packaging) {
        let _ = write!(
            body,
            "<progress max=\"1\" value=\"{}\" aria-label=\"packaged\"></progress>",
            view.progress
        );
    }
    if let Some(error) = &view.error {
        let _ = write!(body, "<p class=\"why\">{}</p>", Text(error));
    }
    body.push_str("</div></li>\n");
}

fn form(body: &mut String, needs_token: bool, has_roots: bool, open: bool) {
    let _ = write!(
        body,
        r#"<details class="new"{open}><summary>New stream</summary>
<form method="post" action="{action}" enctype="multipart/form-data">
<label class="field">Title<input name="title" maxlength="200" placeholder="What viewers shall read" autocomplete="off"></label>
<fieldset><legend>Source</legend>
<label class="choice"><input type="radio" name="type" value="testcard" checked>Test card</label>
<label class="choice"><input type="radio" name="type" value="upload">Upload</label>
<label class="choice"><input type="radio" name="type" value="url">URL</label>
{file_choice}</fieldset>
<div class="pair only testcard"><label class="field">Lines<select name="height"><option>360</option><option>480</option><option selected>720</option><option>1080</option><option>1440</option><option>2160</option></select></label>
<label class="field">Seconds<input name="duration_s" type="number" min="1" max="86400" value="60"></label></div>
<label class="field only url">http or https address of a video file<input name="url" type="url" placeholder="https://example.org/film.mp4"></label>
<label class="field only file">Path below an allowed folder<input name="path" placeholder="film.mp4" autocomplete="off"></label>
"#,
        open = if open { " open" } else { "" },
        action = super::FORM_PATH,
        file_choice = if has_roots {
            "<label class=\"choice\"><input type=\"radio\" name=\"type\" value=\"file\">File on the server</label>\n"
        } else {
            ""
        },
    );
    if needs_token {
        body.push_str(
            "<label class=\"field\">Token<input name=\"token\" type=\"password\" autocomplete=\"current-password\" \
             required></label>\n",
        );
    }
    // The file comes last: what precedes it is known before its first byte is written.
    body.push_str(
        "<label class=\"field only upload\">Video file<input name=\"file\" type=\"file\" accept=\"video/*,.mkv,.ts\"></label>\n\
         <button>Create</button>\n</form></details>\n",
    );
}
