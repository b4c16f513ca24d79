//! Files in the binary, under names that change with their content.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use bytes::Bytes;
use rust_embed::RustEmbed;

use crate::http::entity::hash_tag;
use crate::http::{Entity, Problem};

#[derive(RustEmbed)]
#[folder = "web/"]
struct Files;

/// Files by the path that pages use: `{hash}/{name}`.
static BY_PATH: LazyLock<HashMap<String, Entity>> = LazyLock::new(|| {
    Files::iter()
        .filter_map(|name| {
            let bytes = match Files::get(&name)?.data {
                Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                Cow::Owned(bytes) => bytes.into(),
            };
            let entity = Entity::text(bytes, mime(&name)).cache("public, max-age=31536000, immutable");
            Some((path(&name)?, entity))
        })
        .collect()
});

fn path(name: &str) -> Option<String> {
    let hash = hash_tag(&Files::get(name)?.data);
    Some(format!("{}/{name}", hash.get(..12)?))
}

/// The URL of a file.
pub(super) fn url(name: &str) -> String {
    static URLS: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
        Files::iter()
            .filter_map(|name| Some((name.to_string(), format!("/assets/{}", path(&name)?))))
            .collect()
    });
    URLS.get(name).cloned().unwrap_or_else(|| format!("/assets/missing/{name}"))
}

fn mime(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

/// `GET /assets/{hash}/{name}`
pub(super) async fn asset(uri: Uri, method: Method, headers: HeaderMap) -> Result<Response, Problem> {
    let path = uri.path().strip_prefix("/assets/").unwrap_or("");
    let entity = BY_PATH.get(path).ok_or_else(|| Problem::not_found("There is no such asset."))?;
    Ok(entity.answer(&method, &headers))
}

/// `GET /favicon.ico`, which browsers ask for unasked.
pub(super) async fn icon(method: Method, headers: HeaderMap) -> Result<Response, Problem> {
    let entity = path("icon.svg").and_then(|path| BY_PATH.get(&path));
    let entity = entity.ok_or_else(|| Problem::not_found("There is no icon."))?;
    Ok(entity.answer(&method, &headers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest as _, Sha256};

    #[test]
    fn vendored_files_are_the_pinned_ones() {
        let sums = include_str!("../../web/vendor/SHA256SUMS");
        let mut checked = 0;
        for line in sums.lines() {
            let (sum, name) = line.split_once("  ").unwrap();
            let file = Files::get(&format!("vendor/{name}")).unwrap();
            let hex: String = Sha256::digest(&file.data).iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(hex, sum, "{name}");
            checked += 1;
        }
        let notes = ["vendor/README.md", "vendor/SHA256SUMS"];
        let third_party =
            Files::iter().filter(|name| name.starts_with("vendor/") && !notes.contains(&name.as_ref()));
        assert_eq!(checked, third_party.count());
    }

    #[test]
    fn every_page_asset_has_a_url() {
        for name in ["app.css", "icon.svg", "list.js", "watch.js", "vendor/hls.min.js", "vendor/dash.min.js"]
        {
            let url = url(name);
            assert!(BY_PATH.contains_key(url.strip_prefix("/assets/").unwrap()), "{url}");
        }
    }
}
