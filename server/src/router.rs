//! All routes with what surrounds each request.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
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
    let body_limit = app.config.limits.body;
    Router::new()
        .merge(web::routes())
        .merge(deliver::routes())
        .merge(api::routes())
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), api::refuse_kicked))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), api::auth::guard))
        .layer(middleware::from_fn(move |request, next| body::idle_limit(body_limit, request, next)))
        .layer(middleware::from_fn(cors::layer))
        .layer(middleware::from_fn(log))
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

/// Tells each request at debug level, failures of ours at warn.
async fn log(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let status = response.status();
    if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
        tracing::warn!(%method, path, status = status.as_u16(), "request failed");
    } else {
        tracing::debug!(%method, path, status = status.as_u16(), "request");
    }
    response.into_response()
}
