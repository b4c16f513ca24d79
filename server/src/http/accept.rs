//! Content negotiation: what a client says that it takes.

use axum::http::{HeaderMap, HeaderName, header};

/// The items of an `Accept`-like header in lower case with their quality, 0.0 to 1.0 (RFC 9110, section 12.4.2).
pub fn weighted(headers: &HeaderMap, name: &HeaderName) -> Vec<(String, f32)> {
    each_weighted(headers, name).map(|(name, quality)| (name.to_ascii_lowercase(), quality)).collect()
}

/// As [`weighted`], one after the other and as they are spelled.
pub fn each_weighted<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = (&'a str, f32)> + use<'a> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',').take(64)).filter_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty())?;
        let quality = parts
            .find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q=")))
            .and_then(|q| q.parse::<f32>().ok())
            .filter(|q| q.is_finite())
            .map_or(1.0, |q| q.clamp(0.0, 1.0));
        Some((name, quality))
    })
}

/// What `/stream/{id}` should be for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamForm {
    /// The watch page.
    Page,
    /// The progressive stream.
    Media,
    /// Neither is acceptable: 406.
    Neither,
}

/// Page for those who ask for HTML by name, media for everybody else who takes it.
pub fn stream_form(headers: &HeaderMap) -> StreamForm {
    if !headers.contains_key(header::ACCEPT) {
        return StreamForm::Media;
    }
    let (mut page, mut named_media, mut any) = (0.0_f32, 0.0_f32, 0.0_f32);
    for (name, quality) in weighted(headers, &header::ACCEPT) {
        match name.as_str() {
            "text/html" | "application/xhtml+xml" | "text/*" => page = page.max(quality),
            "video/mp4" | "video/*" => named_media = named_media.max(quality),
            "*/*" | "*" | "application/*" | "application/octet-stream" | "application/mp4" | "audio/*" => {
                any = any.max(quality);
            }
            _ => {}
        }
    }
    if page > 0.0 && page >= named_media {
        StreamForm::Page
    } else if named_media > 0.0 || any > 0.0 {
        StreamForm::Media
    } else {
        StreamForm::Neither
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_those_who_ask_for_html_get_the_page() {
        let rows = [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", StreamForm::Page),
            ("*/*", StreamForm::Media),
            ("video/webm,video/ogg,video/*;q=0.9,*/*;q=0.5", StreamForm::Media),
            ("text/html;q=0, */*", StreamForm::Media),
            ("text/html;q=0.1, video/mp4", StreamForm::Media),
            ("application/json", StreamForm::Neither),
            ("", StreamForm::Neither),
        ];
        for (accept, form) in rows {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(stream_form(&headers), form, "{accept}");
        }
        assert_eq!(stream_form(&HeaderMap::new()), StreamForm::Media);
    }
}
