//! Pages for browsers: the list, the watch page, the form for a new stream. All of it is in the binary.

mod admin;
mod assets;
mod form;
mod html;
mod list;
mod reference;
mod watch;

use std::sync::Arc;

use axum::Extension;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::{get, post};

use crate::api::view;
use crate::app::App;
use crate::deliver::extract::{Client, StreamId};
use crate::deliver::pass::{self, Token};
use crate::deliver::progressive;
use crate::http::Problem;
use crate::http::accept::{StreamForm, stream_form};

/// Where the form for a new stream is sent to.
pub const FORM_PATH: &str = "/create";

/// Largest text field of the form in bytes.
pub(crate) const FIELD_LIMIT: usize = 8 * 1024;

/// Nothing but our own scripts, styles and media; no page of others may frame us.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; media-src 'self' blob:; worker-src 'self' blob:; \
    object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'";

/// Routes of the pages.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(list::page))
        .route("/admin", get(admin::page))
        .route("/api", get(reference::page))
        .route("/stream/{id}", get(stream))
        .route("/assets/{*file}", get(assets::asset))
        .route("/favicon.ico", get(assets::icon))
        .route(FORM_PATH, post(form::create).layer(axum::extract::DefaultBodyLimit::disable()))
}

/// `GET /stream/{id}`: the watch page or the progressive stream, by `Accept`.
async fn stream(
    State(app): State<Arc<App>>,
    StreamId(id): StreamId,
    method: Method,
    headers: HeaderMap,
    uri: Uri,
    token: Option<Extension<Token>>,
    client: Client,
) -> Result<Response, Problem> {
    match stream_form(&headers) {
        StreamForm::Page => {
            let Some(stream) = app.catalog.get(&id) else {
                let detail = format!("There is no stream \"{id}\" on this server. It may have been deleted.");
                return Ok(instead("No such stream", Problem::not_found(detail)));
            };
            let mut view = view(&app, &stream, false);
            // Its scripts ask for more, and send no password by themselves.
            let token = token.map(|Extension(Token(token))| token).or_else(|| pass::lasting(&app, &stream));
            if let Some(token) = token.filter(|_| stream.auth.is_some()) {
                view.through(&token);
            }
            Ok(page(watch::html(&view, &app.viewers.mint())))
        }
        StreamForm::Media => {
            let query = uri.query().unwrap_or("").as_bytes();
            let rung =
                url::form_urlencoded::parse(query).find(|(key, _)| key == "rung").map(|(_, rung)| rung);
            progressive(&app, &id, rung.as_deref(), &method, &client).await
        }
        StreamForm::Neither => Err(Problem::new(
            StatusCode::NOT_ACCEPTABLE,
            "not-acceptable",
            "Not available in that form",
            format!("The stream is here as text/html and video/mp4; /api/stream/{id} describes it as JSON."),
        )
        .header(header::VARY, HeaderValue::from_static("Accept"))),
    }
}

/// The page in the place of a private stream's, for somebody who may not watch it.
pub(crate) fn private(problem: Problem) -> Response {
    instead("This stream is private", problem)
}

/// The page in the place of one that there is not, for a browser.
pub(crate) fn nothing_here() -> Response {
    let detail = "There is nothing at this address. It may be spelled wrong, or what was here is gone.";
    instead("Nothing here", Problem::not_found(detail))
}

/// A page that tells people what programs are told by a problem document.
fn instead(heading: &str, problem: Problem) -> Response {
    let body = format!(
        "<h1>{}</h1>\n<p class=\"empty\">{}</p>\n<p><a href=\"/\">All streams</a></p>\n",
        html::Text(heading),
        html::Text(problem.detail())
    );
    let mut page = page(html::frame(&format!("{heading} - Weir"), "", &body, &[]));
    let refusal = problem.into_response();
    *page.status_mut() = refusal.status();
    for name in [header::WWW_AUTHENTICATE, header::RETRY_AFTER] {
        if let Some(value) = refusal.headers().get(&name) {
            page.headers_mut().insert(name, value.clone());
        }
    }
    page
}

/// A page with the headers that all pages have.
fn page(html: String) -> Response {
    let mut response = Html(html).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    headers.insert(HeaderName::from_static("referrer-policy"), HeaderValue::from_static("same-origin"));
    response
}
