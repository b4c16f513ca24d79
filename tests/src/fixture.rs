//! Streams packaged once a build by the real server, then copied for each test.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::{Server, http, process::program};

/// A test card of 24 s in 240p, 360p and 480p.
pub const SHORT: &str = "short";
/// A test card of 96 s in 240p to 720p.
pub const LONG: &str = "long";

/// A folder with [`SHORT`] and [`LONG`], the caller's to change.
pub fn packaged() -> anyhow::Result<tempfile::TempDir> {
    let made = made_once()?;
    let copy = tempfile::tempdir()?;
    copy_folder(&made, copy.path())?;
    Ok(copy)
}

/// Packages unless a test before this one did it with the same server.
fn made_once() -> anyhow::Result<PathBuf> {
    let server = program("weir-server");
    let built = fs::metadata(&server)?.modified()?.duration_since(SystemTime::UNIX_EPOCH)?.as_nanos();
    let root = server.parent().context("programs are in a folder")?.join("test-streams");
    fs::create_dir_all(&root)?;
    let lock = fs::File::create(root.join("lock"))?;
    lock.lock()?;
    let folder = root.join(built.to_string());
    if folder.join("complete").exists() {
        return Ok(folder);
    }
    for old in fs::read_dir(&root)?.flatten() {
        if old.file_type()?.is_dir() {
            fs::remove_dir_all(old.path())?;
        }
    }
    let mut server = Server::start(&folder)?;
    create_card(&server, SHORT, 24, 480)?;
    create_card(&server, LONG, 96, 720)?;
    wait_ready(&server, SHORT, Duration::from_secs(120))?;
    wait_ready(&server, LONG, Duration::from_secs(280))?;
    server.terminate()?;
    fs::write(folder.join("complete"), "")?;
    Ok(folder)
}

/// Asks for a test card of this length and height.
pub fn create_card(server: &Server, id: &str, seconds: u32, height: u32) -> anyhow::Result<Value> {
    let body = json!({
        "id": id,
        "title": format!("Test card {height}p"),
        "source": {"type": "testcard", "duration_s": seconds, "height": height, "frame_rate": 25},
    });
    let answer = http::post_json(&format!("{}/api/stream/create", server.url), &body)?;
    if answer.status != 201 {
        bail!("creating {id}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    answer.json()
}

/// Waits until a stream is packaged to its end.
pub fn wait_ready(server: &Server, id: &str, patience: Duration) -> anyhow::Result<Value> {
    wait_stream(server, id, patience, |stream| stream["state"] == "ready")
}

/// Waits until the API's description of a stream satisfies `enough`.
pub fn wait_stream(
    server: &Server,
    id: &str,
    patience: Duration,
    enough: impl Fn(&Value) -> bool,
) -> anyhow::Result<Value> {
    let url = format!("{}/api/stream/{id}", server.url);
    crate::screen::until(patience, || {
        let stream = http::get_json(&url)?;
        if stream["state"] == "failed" {
            bail!("packaging {id} failed: {stream}");
        }
        Ok(enough(&stream).then_some(stream))
    })
    .with_context(|| format!("waiting for {id}"))
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
