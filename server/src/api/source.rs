//! Checks a source before anything is made of it.

use std::fs::File;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use url::{Host, Url};

use crate::app::App;
use crate::catalog::Source;
use crate::http::problem::FieldError;

/// Checks a source against the server's policy and gives it its final form: a path becomes canonical.
///
/// # Errors
/// What is wrong, by field.
pub async fn check(app: &App, source: Source) -> Result<Source, FieldError> {
    match source {
        Source::File { path } => {
            let roots = app.settings.now().roots.clone();
            let found = tokio::task::spawn_blocking(move || file_inside(&roots, &path))
                .await
                .unwrap_or_else(|_| Err("it could not be looked at".into()));
            let path = found.map_err(|why| FieldError::new("source.path", why))?;
            Ok(Source::File { path })
        }
        Source::Url { url } => {
            let allowed = allowed_url(app, &url).await;
            let url = allowed.map_err(|why| FieldError::new("source.url", why))?;
            Ok(Source::Url { url: url.into() })
        }
        Source::Upload { upload } => {
            let known = uuid::Uuid::try_parse(&upload).is_ok() && {
                let path = app.upload_path(&upload);
                tokio::fs::metadata(&path).await.is_ok_and(|meta| meta.is_file())
            };
            if known {
                Ok(Source::Upload { upload })
            } else {
                Err(FieldError::new(
                    "source.upload",
                    "there is no finished upload of that id; POST it to /api/upload",
                ))
            }
        }
        Source::Publisher => Ok(Source::Publisher),
        Source::TestCard { height, duration_s, frame_rate } => {
            if !(48..=2160).contains(&height) {
                return Err(FieldError::new("source.height", "must be 48 to 2160 lines"));
            }
            if !(1.0..=86_400.0).contains(&duration_s) {
                return Err(FieldError::new("source.duration_s", "must be 1 to 86400 seconds"));
            }
            if !(5.0..=60.0).contains(&frame_rate) {
                return Err(FieldError::new("source.frame_rate", "must be 5 to 60 pictures a second"));
            }
            Ok(Source::TestCard { height, duration_s, frame_rate })
        }
    }
}

/// The canonical path of a regular file below one of `roots`. A relative path is looked for in each of them.
///
/// The file is opened first and its canonical path compared with the open file, so that a link that changes in
/// between is noticed. One message for all that is not there or not allowed: it shall not tell what exists elsewhere.
pub(super) fn file_inside(roots: &[PathBuf], path: &str) -> Result<String, String> {
    if roots.is_empty() {
        return Err(
            "this server publishes no files by path; start it with --allow-path DIR, or upload the file"
                .into(),
        );
    }
    if path.contains('\0') || path.is_empty() {
        return Err("is not a path".into());
    }
    let refused = || "there is no readable file of that name below an allowed folder".to_owned();
    let given = Path::new(path);
    let candidates: Vec<PathBuf> = if given.is_absolute() {
        vec![given.to_owned()]
    } else {
        roots.iter().map(|root| root.join(given)).collect()
    };
    for candidate in candidates {
        let Ok(real) = candidate.canonicalize() else { continue };
        if !roots.iter().any(|root| real.starts_with(root)) {
            continue;
        }
        // Only now, inside: opening a device or a pipe elsewhere may block or do things.
        if !real.metadata().is_ok_and(|meta| meta.is_file()) {
            continue;
        }
        let Ok(file) = File::open(&candidate) else { continue };
        let (Ok(open), Ok(named)) = (file.metadata(), real.symlink_metadata()) else { continue };
        if (open.dev(), open.ino()) == (named.dev(), named.ino()) {
            return real.into_os_string().into_string().map_err(|_| refused());
        }
    }
    Err(refused())
}

/// Checks scheme, literal address and what the name resolves to now; the download checks again when it connects.
pub(super) async fn allowed_url(app: &App, text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    app.policy().allow_url(&url)?;
    let refused = "points to an address of this machine or a private network; start the server with \
                   --allow-private-sources to fetch from there";
    let addresses: Vec<IpAddr> = match url.host() {
        Some(Host::Ipv4(address)) => vec![address.into()],
        Some(Host::Ipv6(address)) => vec![address.into()],
        Some(Host::Domain(name)) => {
            let port = url.port_or_known_default().unwrap_or(80);
            match tokio::net::lookup_host((name, port)).await {
                Ok(found) => found.map(|address| address.ip()).collect(),
                Err(_) => return Err(format!("the host \"{name}\" cannot be found")),
            }
        }
        None => return Err("has no host".into()),
    };
    if addresses.iter().any(|address| app.policy().allow_address(*address)) {
        Ok(url)
    } else {
        Err(refused.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_below_the_allowed_folders_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        let root = base.join("films");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::write(root.join("a.mp4"), "a").unwrap();
        std::fs::write(root.join("sub/b.mp4"), "b").unwrap();
        std::fs::write(base.join("secret.mp4"), "s").unwrap();
        std::fs::create_dir_all(base.join("films-private")).unwrap();
        std::fs::write(base.join("films-private/c.mp4"), "c").unwrap();
        std::os::unix::fs::symlink(base.join("secret.mp4"), root.join("out.mp4")).unwrap();
        std::os::unix::fs::symlink(root.join("a.mp4"), root.join("in.mp4")).unwrap();
        std::os::unix::fs::symlink(&base, root.join("up")).unwrap();
        let roots = [root.clone()];
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        for good in [
            text(&root.join("a.mp4")),
            "a.mp4".into(),
            "sub/b.mp4".into(),
            "sub/../a.mp4".into(),
            "in.mp4".into(),
        ] {
            assert!(file_inside(&roots, &good).is_ok_and(|real| real.starts_with(&text(&root))), "{good}");
        }
        for bad in [
            "../secret.mp4",
            "out.mp4",
            "up/secret.mp4",
            "../films-private/c.mp4",
            &text(&base.join("secret.mp4")),
            "/etc/passwd",
            "/dev/zero",
            "sub",
            "",
            ".",
            "a.mp4\0.txt",
            "..\\secret.mp4",
            "%2e%2e/secret.mp4",
            "C:\\films\\a.mp4",
            "missing.mp4",
        ] {
            assert!(file_inside(&roots, bad).is_err(), "{bad:?}");
        }
        let (inside, outside) = (
            file_inside(&roots, "../secret.mp4").unwrap_err(),
            file_inside(&roots, "../nothing.mp4").unwrap_err(),
        );
        assert_eq!(inside, outside, "the message does not tell what exists elsewhere");
    }
}
