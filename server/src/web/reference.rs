//! The API's description, rendered for people.

use axum::response::Response;

use super::html::frame;

const BODY: &str = "<h1>API</h1>\n<p class=\"quiet\">JSON over HTTP; errors are problem documents (RFC 9457). For programs: \
    <a href=\"/openapi.json\">/openapi.json</a> (OpenAPI 3.1).</p>\n<div id=\"api\"><noscript><p class=\"empty\">This page \
    needs JavaScript; <a href=\"/openapi.json\">the description itself</a> does not.</p></noscript></div>\n";

/// `GET /api`
pub(super) async fn page() -> Response {
    super::page(frame("API - Weir", "", BODY, &["ui.js", "apidoc.js"]))
}
