//! What goes wrong, in words for people.

use weir_manifest::Error as ManifestError;

use crate::{demux::DemuxError, net::NetError, player::ErrorView};

/// From a request.
pub(crate) fn net(doing: &str, error: &NetError) -> ErrorView {
    let code = match error {
        // The manifest is what people mistype: it has codes of its own.
        NetError::Status { .. } if doing.contains("manifest") => "manifest_status",
        NetError::Status { .. } if doing.contains("playlist") => "playlist_status",
        _ => error.code(),
    };
    view(code, once(doing, &error.to_string()), error.advice())
}

/// What was being done and what went wrong, an address in both said once.
fn once(doing: &str, error: &str) -> String {
    match doing.rsplit_once(' ') {
        Some((doing, address)) if address.contains("://") && error.contains(address) => {
            format!("{doing}: {error}")
        }
        _ => format!("{doing}: {error}"),
    }
}

/// From a manifest that arrived.
pub(crate) fn manifest(doing: &str, error: &ManifestError) -> ErrorView {
    view(
        "manifest_invalid",
        format!("{doing}: {error}"),
        "Check the address, and the manifest with `weir inspect`.",
    )
}

/// From a segment that arrived.
pub(crate) fn demux(doing: &str, error: &DemuxError) -> ErrorView {
    let (code, advice) = match error {
        DemuxError::MissingElement { .. } => ("element_missing", "Install the package that is named."),
        DemuxError::Setup(_) => ("gstreamer_setup", "Check the installation of GStreamer 1.22 or newer."),
        _ => ("segment_corrupt", "The stream is damaged there: check it with `weir inspect`."),
    };
    view(code, format!("{doing}: {error}"), advice)
}

/// Of its own.
pub(crate) fn view(code: &str, what: impl Into<String>, advice: &str) -> ErrorView {
    ErrorView { code: code.to_owned(), what: what.into(), advice: advice.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_said_once() {
        let (doing, error) = ("loading the manifest http://a/b", "http://a/b answered with HTTP status 404");
        assert_eq!(once(doing, error), "loading the manifest: http://a/b answered with HTTP status 404");
        assert_eq!(once(doing, "a sent nothing"), "loading the manifest http://a/b: a sent nothing");
        assert_eq!(once("loading video segment 3", "gone"), "loading video segment 3: gone");
    }
}
