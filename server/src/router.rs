//! All routes with what surrounds each request, and the short way to media past them.

use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{self, HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

use crate::api;
use crate::app::App;
use crate::deliver::extract::{Client, parameter};
use crate::deliver::pass::{self, Token};
use crate::deliver::{self, Wanted};
use crate::http::accept::{StreamForm, stream_form};
use crate::http::{Answer, Peer, Problem, body, cors};
use crate::web;

/// The whole server: files of renditions by the short way, all else by the routes.
///
/// Both ways end in the same code. Routing, layers and extractors cost a small playlist more than finding it does, and
/// playlists and parts are what a crowd asks for.
#[derive(Debug, Clone)]
pub struct Site {
    app: Arc<App>,
    routes: Router,
    /// Where the long way is gone: what takes long there holds no other connection up, and what it starts lives on.
    runtime: Option<Handle>,
}

impl Site {
    /// For this application.
    pub fn new(app: Arc<App>) -> Self {
        Self { routes: router(Arc::clone(&app)), app, runtime: Handle::try_current().ok() }
    }

    /// By the routes. Who goes away ends what is done for him.
    async fn by_routes(&self, peer: Peer, request: http::Request<Incoming>) -> Response {
        let Some(runtime) = &self.runtime else { return self.routes.answer(peer, request).await };
        let routes = self.routes.clone();
        let answer = AbortOnDropHandle::new(runtime.spawn(async move { routes.answer(peer, request).await }));
        answer.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a request's task failed");
            Problem::internal("answering").into_response()
        })
    }
}

impl Answer for Site {
    async fn answer(&self, peer: Peer, request: http::Request<Incoming>) -> Response {
        let (mut parts, body) = request.into_parts();
        if names_no_host(&parts) {
            self.app.answers.count(StatusCode::BAD_REQUEST);
            return Problem::bad_request("An HTTP/1.1 request must have one Host header.").into_response();
        }
        let token = match pass::split(&parts.uri) {
            Some((plain, token)) => {
                parts.uri = plain;
                parts.extensions.insert(token.clone());
                Some(token)
            }
            None => None,
        };
        let http::request::Parts { method, uri, headers, .. } = &parts;
        let reads = matches!(*method, Method::GET | Method::HEAD);
        // Whether an admin removed this one is asked on the long way.
        let wanted = Wanted::read(uri).filter(|_| reads && self.app.viewers.nobody_kicked());
        let Some(wanted) = wanted else {
            return self.by_routes(peer, http::Request::from_parts(parts, body)).await;
        };
        // What an address may ask for is asked on the long way, unless everybody may.
        if token.is_some() || self.app.watched(wanted.id()).is_some_and(|stream| stream.auth.is_some()) {
            return self.by_routes(peer, http::Request::from_parts(parts, body)).await;
        }
        let client = Client::of(&self.app, Some(peer), headers, uri);
        let answer = wanted.find(&self.app, method, headers, &client).await;
        let mut response = answer.unwrap_or_else(Problem::into_response);
        cors::mark(&mut response);
        if *method == Method::HEAD {
            take_body(&mut response);
        }
        log(&self.app, method, uri.path(), response.status());
        response
    }
}

/// Whether a request of HTTP/1.1 lacks its `Host`, or has several, which is refused (RFC 9112, section 3.2).
fn names_no_host(parts: &http::request::Parts) -> bool {
    parts.version == http::Version::HTTP_11 && parts.headers.get_all(header::HOST).iter().count() != 1
}

/// Leaves of an answer what HEAD asks for, the length among it.
fn take_body(response: &mut Response) {
    let body = std::mem::take(response.body_mut());
    if let Some(length) = body.size_hint().exact() {
        response.headers_mut().entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
    }
}

/// All routes as a service.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .merge(web::routes())
        .merge(deliver::routes())
        .merge(api::routes())
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), surround))
        .with_state(app)
}

async fn nothing_here(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let reads = matches!(method, Method::GET | Method::HEAD);
    // Programs that say nothing of what they take, and all that ask the API, get what programs read.
    if reads && !uri.path().starts_with("/api/") && stream_form(&headers) == StreamForm::Page {
        return web::nothing_here();
    }
    Problem::not_found("There is nothing at this path. GET /openapi.json lists what there is.")
        .into_response()
}

async fn wrong_method(method: Method) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "The method does not apply here",
        format!("{method} is not for this path; the Allow header lists the methods that are."),
    )
}

/// What surrounds each request, in one layer: every further one costs each request several allocations.
async fn surround(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let response = if method == Method::OPTIONS {
        options(&app, request, next).await
    } else {
        let request = body::idle_limited(app.config.limits.body, request);
        let mut response =
            match api::pace::check(&app, &request).and_then(|()| api::auth::guard(&app, &request)) {
                Ok(()) => to_viewers(Arc::clone(&app), request, next).await,
                Err(problem) => problem.into_response(),
            };
        cors::mark(&mut response);
        response
    };
    log(&app, &method, uri.path(), response.status());
    response
}

/// What belongs to a private stream is for those who may watch it.
async fn to_viewers(app: Arc<App>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    // By the route, not by the path: that one may be spelled in many ways.
    let route =
        parts.extensions.get::<MatchedPath>().map(|route| route.as_str().to_owned()).unwrap_or_default();
    let (media, reads) =
        (route.starts_with("/stream/{id}"), matches!(parts.method, Method::GET | Method::HEAD));
    let about = reads && (route == "/api/stream/{id}" || route == "/api/stream/{id}/subtitles");
    let stream = match media || about {
        true => parameter(&mut parts, &app, "id").await.ok().and_then(|id| app.watched(&id)),
        false => None,
    };
    let Some(stream) = stream.filter(|stream| stream.auth.is_some()) else {
        return api::refuse_kicked(app, Request::from_parts(parts, body), next).await;
    };
    if media && let Some(location) = pass::into_path(&stream.id, &parts.uri) {
        let headers =
            [(header::LOCATION, location), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
        return (StatusCode::TEMPORARY_REDIRECT, headers).into_response();
    }
    if !(about && app.gate.is_admin(&parts.headers)) {
        let token = parts.extensions.get::<Token>().map(|token| token.0.clone());
        let token = token.or_else(|| pass::from_query(&parts.uri));
        let network = api::pace::network_of(&app, &parts.extensions, &parts.headers);
        if let Err(problem) = pass::check(&app, &stream, token.as_deref(), &parts.headers, network).await {
            let page = media && route == "/stream/{id}" && stream_form(&parts.headers) == StreamForm::Page;
            return if page { web::private(problem) } else { problem.into_response() };
        }
        if let Some(token) = token {
            parts.extensions.insert(Token(token));
        }
    }
    let mut response = api::refuse_kicked(app, Request::from_parts(parts, body), next).await;
    pass::keep_private(&mut response);
    response
}

/// What may be done at a path. A page that asks in advance gets its answer also where there is nothing, so that it sees
/// the 404 itself.
async fn options(app: &App, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let asks_in_advance = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    // Without the body: whatever it holds is none of the route's business.
    let (parts, _) = request.into_parts();
    let mut refusal = next.run(Request::from_parts(parts, axum::body::Body::empty())).await;
    if refusal.status() == StatusCode::NOT_FOUND && !asks_in_advance {
        cors::mark(&mut refusal);
        return refusal;
    }
    let mut response = cors::options(&path);
    if path == "/api/upload" || path.starts_with("/api/upload/") {
        api::describe_uploads(app, response.headers_mut());
    }
    response
}

/// Counts each request, tells it at debug level, failures of ours at warn.
fn log(app: &App, method: &Method, path: &str, status: StatusCode) {
    app.answers.count(status);
    if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
        tracing::warn!(%method, path, status = status.as_u16(), "request failed");
    } else {
        tracing::debug!(%method, path, status = status.as_u16(), "request");
    }
}
