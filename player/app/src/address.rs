//! From what a person types, pastes or drops to a URL that can be opened.

use std::path::Path;

use url::Url;

/// Where streams come from when nobody said otherwise.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

/// Guesses the URL that `text` means. The error says what to type instead.
pub fn parse(text: &str) -> Result<Url, String> {
    let text = text.trim().trim_matches(['"', '\'', '<', '>']).trim();
    if text.is_empty() {
        return Err("type the address of a stream, for example http://127.0.0.1:8080/stream/demo".to_owned());
    }
    if text.contains(char::is_whitespace) && !looks_like_path(text) {
        return Err(format!("{text:?} has blanks in it: an address has none"));
    }
    if looks_like_path(text) {
        return from_path(Path::new(text));
    }
    // "localhost:8080/x" parses as a URL with the scheme "localhost": ask for "://" instead.
    let url = if text.contains("://") {
        Url::parse(text)
    } else if let Some(scheme) = foreign_scheme(text) {
        return Err(format!("{scheme}: addresses cannot be played: use http, https or file"));
    } else {
        Url::parse(&format!("{}://{text}", if is_local(text) { "http" } else { "https" }))
    };
    let url = url.map_err(|error| format!("{text:?} is not an address: {error}"))?;
    match url.scheme() {
        "http" | "https" if url.host_str().is_none_or(str::is_empty) => {
            Err(format!("{text:?} names no host: write http://host/path"))
        }
        "http" | "https" | "file" => Ok(url),
        other => Err(format!("{other}: addresses cannot be played: use http, https or file")),
    }
}

/// The URL of a file that was dropped or named.
pub fn from_path(path: &Path) -> Result<Url, String> {
    let whole = std::path::absolute(path)
        .map_err(|error| format!("cannot find out where {} is: {error}", path.display()))?;
    if whole.is_dir() {
        return Err(format!("{} is a folder: name the playlist in it", whole.display()));
    }
    if !whole.is_file() {
        return Err(format!("there is no file {}", whole.display()));
    }
    Url::from_file_path(&whole).map_err(|()| format!("{} cannot be written as an address", whole.display()))
}

/// A server's address, always with a path that ends in a slash, so that joining appends.
pub fn parse_server(text: &str) -> Result<Url, String> {
    let mut url = parse(text)?;
    if url.scheme() == "file" {
        return Err(format!("{text:?} is a file: a server's address starts with http:// or https://"));
    }
    url.set_query(None);
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// [`DEFAULT_SERVER`] as a URL.
pub fn default_server() -> Url {
    match parse_server(DEFAULT_SERVER) {
        Ok(url) => url,
        Err(error) => unreachable!("a constant: {error}"),
    }
}

/// What a title says when nobody gave one: the last part of the path that names something.
pub fn title(url: &Url) -> String {
    let plain = |part: &str| {
        !matches!(part, "" | "master.m3u8" | "index.m3u8" | "playlist.m3u8" | "manifest.mpd" | "hls" | "dash")
    };
    let name = url.path_segments().and_then(|parts| parts.rev().find(|part| plain(part)).map(str::to_owned));
    match (name, url.host_str()) {
        (Some(name), _) => name,
        (None, Some(host)) => host.to_owned(),
        (None, None) => url.to_string(),
    }
}

fn looks_like_path(text: &str) -> bool {
    text.starts_with('/') || text.starts_with("./") || text.starts_with("../") || {
        !text.contains("://")
            && [".m3u8", ".m3u", ".mpd"].iter().any(|end| text.ends_with(end))
            && Path::new(text).exists()
    }
}

/// "mailto:someone": a scheme that is no host with a port.
fn foreign_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once(':')?;
    let port = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    (!is_port && !scheme.contains(['.', '/', '[']) && !scheme.is_empty()).then_some(scheme)
}

/// Hosts that nobody gives a certificate to.
fn is_local(text: &str) -> bool {
    let host = text.split(['/', '?', '#']).next().unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name == "localhost"
        || name.starts_with('[')
        || name.parse::<std::net::Ipv4Addr>().is_ok()
        || !name.contains('.')
        || name.ends_with(".local")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_scheme_gets_the_likely_one() {
        for (typed, meant) in [
            ("http://h/a.m3u8", "http://h/a.m3u8"),
            ("  https://h/a?b=c#d ", "https://h/a?b=c#d"),
            ("localhost:8080/stream/1", "http://localhost:8080/stream/1"),
            ("127.0.0.1:8080", "http://127.0.0.1:8080/"),
            ("nas/film.m3u8", "http://nas/film.m3u8"),
            ("nas:8080", "http://nas:8080/"),
            ("nas.local/film.m3u8", "http://nas.local/film.m3u8"),
            ("example.org/live/master.m3u8", "https://example.org/live/master.m3u8"),
            ("example.org:8443/x", "https://example.org:8443/x"),
            ("[::1]:8080/x", "http://[::1]:8080/x"),
            ("\"http://h/x\"", "http://h/x"),
        ] {
            assert_eq!(parse(typed).map(String::from).as_deref(), Ok(meant), "{typed}");
        }
    }

    #[test]
    fn what_cannot_be_an_address_says_why() {
        for (typed, part) in [
            ("", "type the address"),
            ("   ", "type the address"),
            ("my film", "blanks"),
            ("mailto:a@b", "mailto: addresses"),
            ("rtmp://h/live", "rtmp: addresses"),
            ("http://", "not an address"),
            ("http://exa mple/", "blanks"),
            ("/no/such/file.m3u8", "there is no file"),
        ] {
            let error = parse(typed).unwrap_err();
            assert!(error.contains(part), "{typed}: {error}");
        }
    }

    #[test]
    fn a_file_becomes_a_file_url() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a film.m3u8");
        std::fs::write(&path, "#EXTM3U\n").unwrap();
        let url = parse(path.to_str().unwrap()).unwrap();
        assert_eq!(url.scheme(), "file");
        assert_eq!(url.to_file_path().unwrap(), path);
    }

    #[test]
    fn a_server_address_is_a_folder() {
        assert_eq!(parse_server("h.org").unwrap().as_str(), "https://h.org/");
        assert_eq!(parse_server("http://h/weir?x=1#y").unwrap().as_str(), "http://h/weir/");
        assert_eq!(
            parse_server(DEFAULT_SERVER).unwrap().join("api/streams").unwrap().as_str(),
            "http://127.0.0.1:8080/api/streams"
        );
        assert!(parse_server("ftp://h").is_err());
    }

    #[test]
    fn a_title_is_the_part_of_the_path_that_names_something() {
        let named = |text: &str| title(&Url::parse(text).unwrap());
        assert_eq!(named("http://h/stream/abc/hls/master.m3u8"), "abc");
        assert_eq!(named("http://h/films/big.m3u8?x"), "big.m3u8");
        assert_eq!(named("http://h/"), "h");
    }
}
