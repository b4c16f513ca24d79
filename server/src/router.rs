//! All routes with what surrounds each request.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};

use crate::api;
use crate::app::App;
use crate::deliver;
use crate::http::{Problem, body, cors};
use crate::web;

/// The whole server as a service.
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

async fn nothing_here() -> Problem {
    Problem::not_found("There is nothing at this path. GET /openapi.json lists what there is.")
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
        cors::preflight(uri.path())
    } else {
        let request = body::idle_limited(app.config.limits.body, request);
        let mut response = match api::auth::guard(&app, &request) {
            Ok(()) => api::refuse_kicked(app, request, next).await,
            Err(problem) => problem.into_response(),
        };
        cors::mark(&mut response);
        response
    };
    log(&method, uri.path(), response.status());
    response
}

/// Tells each request at debug level, failures of ours at warn.
fn log(method: &Method, path: &str, status: StatusCode) {
    if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
        tracing::warn!(%method, path, status = status.as_u16(), "request failed");
    } else {
        tracing::debug!(%method, path, status = status.as_u16(), "request");
    }
}
