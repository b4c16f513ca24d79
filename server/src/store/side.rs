//! What lies beside a stream's renditions: thumbnail sheets with their index, and subtitles.
//!
//! ```text
//! data/streams/{id}/thumbs/thumbnails.vtt, 00001.jpg ...   tiles for the scrub bar
//! data/streams/{id}/subtitles/tracks.json, {lang}.vtt ...  whole WebVTT files
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::stream::StreamStore;
use super::{StoreError, atomic};

/// One language of subtitles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextTrack {
    /// BCP 47 tag, unique within the stream, in lower case: "en", "pt-br".
    pub lang: String,
    /// Name for people: "English".
    pub label: String,
    /// Shown without being asked for.
    #[serde(default)]
    pub default: bool,
    /// End of the last cue in milliseconds.
    pub end_ms: u64,
    /// Changes with the text: part of names that caches may keep for ever.
    pub version: u64,
    /// Size of the WebVTT file in bytes.
    pub bytes: u64,
}

const THUMBS: &str = "thumbs";
const INDEX: &str = "thumbnails.vtt";
const SUBTITLES: &str = "subtitles";
const TRACKS: &str = "tracks.json";

/// The tracks that a stream has, as last read or written.
#[derive(Debug, Default)]
pub(super) struct Side {
    tracks: Mutex<Arc<[TextTrack]>>,
}

impl Side {
    /// Reads the list back. One that cannot be read counts as empty, which is logged: subtitles are not worth
    /// a stream.
    pub(super) fn load(folder: &Path) -> Self {
        let path = folder.join(SUBTITLES).join(TRACKS);
        let tracks: Vec<TextTrack> = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
                tracing::warn!(path = %path.display(), %error, "cannot read the list of subtitles");
                Vec::new()
            }),
            Err(_) => Vec::new(),
        };
        Self { tracks: Mutex::new(tracks.into()) }
    }
}

impl StreamStore {
    /// The WebVTT index of the thumbnails; its cues name sheets as `thumbs/00001.jpg#xywh=...`, relative to the
    /// stream's address. `None` until there are some. Touches the disk.
    #[must_use]
    pub fn thumbnails(&self) -> Option<Bytes> {
        std::fs::read(self.folder().join(THUMBS).join(INDEX)).ok().map(Bytes::from)
    }

    /// There is an index of thumbnails. Touches the disk.
    #[must_use]
    pub fn has_thumbnails(&self) -> bool {
        self.folder().join(THUMBS).join(INDEX).exists()
    }

    /// A sheet of thumbnails (JPEG) by the name that the index gives it: "00001.jpg". Touches the disk.
    #[must_use]
    pub fn thumbnail_sheet(&self, name: &str) -> Option<Bytes> {
        let number = name.strip_suffix(".jpg")?.parse().ok()?;
        let path = self.sheet_path(number);
        (sheet_name(number) == name).then(|| std::fs::read(path).ok().map(Bytes::from)).flatten()
    }

    /// Stores a sheet, replacing it when it has grown.
    ///
    /// # Errors
    /// The disk's.
    pub fn put_thumbnail_sheet(&self, number: u32, jpeg: &[u8]) -> Result<(), StoreError> {
        self.put_side(THUMBS, &sheet_name(number), jpeg)
    }

    /// Stores the index; after the sheets that it names.
    ///
    /// # Errors
    /// The disk's.
    pub fn put_thumbnails(&self, vtt: &str) -> Result<(), StoreError> {
        self.put_side(THUMBS, INDEX, vtt.as_bytes())
    }

    /// Deletes a sheet that the index names no more.
    ///
    /// # Errors
    /// The disk's.
    pub fn drop_thumbnail_sheet(&self, number: u32) -> Result<(), StoreError> {
        gone(&self.sheet_path(number))
    }

    /// The subtitles, in the order in which they came.
    #[must_use]
    pub fn subtitles(&self) -> Arc<[TextTrack]> {
        Arc::clone(&self.side.tracks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The whole WebVTT file of a language. Touches the disk.
    #[must_use]
    pub fn subtitle(&self, lang: &str) -> Option<Bytes> {
        let track = self.subtitles().iter().find(|track| track.lang == lang).cloned()?;
        std::fs::read(self.folder().join(SUBTITLES).join(format!("{}.vtt", track.lang))).ok().map(Bytes::from)
    }

    /// Stores subtitles, replacing those of the same language. `track.lang` was checked by whoever took it in;
    /// `track.version` and `track.bytes` are set here.
    ///
    /// # Errors
    /// The disk's; [`StoreError::Mismatch`] for a language that cannot be a file's name.
    pub fn put_subtitles(&self, mut track: TextTrack, vtt: &str) -> Result<(), StoreError> {
        let fine = (1..=35).contains(&track.lang.len())
            && track.lang.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !fine {
            return Err(StoreError::Mismatch {
                what: format!("the language {:?}", track.lang),
                why: "use a BCP 47 tag in lower case".to_owned(),
            });
        }
        let mut tracks = self.side.tracks.lock().unwrap_or_else(PoisonError::into_inner);
        track.bytes = vtt.len() as u64;
        track.version = tracks.iter().map(|known| known.version).max().unwrap_or(0) + 1;
        self.put_side(SUBTITLES, &format!("{}.vtt", track.lang), vtt.as_bytes())?;
        let mut after = tracks.to_vec();
        if track.default {
            after.iter_mut().for_each(|other| other.default = false);
        }
        match after.iter_mut().find(|known| known.lang == track.lang) {
            Some(known) => *known = track,
            None => after.push(track),
        }
        self.write_tracks(&after)?;
        *tracks = after.into();
        drop(tracks);
        self.update_edge();
        Ok(())
    }

    /// Takes subtitles away; `false` when there were none of that language.
    ///
    /// # Errors
    /// The disk's.
    pub fn remove_subtitles(&self, lang: &str) -> Result<bool, StoreError> {
        let mut tracks = self.side.tracks.lock().unwrap_or_else(PoisonError::into_inner);
        let after: Vec<_> = tracks.iter().filter(|track| track.lang != lang).cloned().collect();
        if after.len() == tracks.len() {
            return Ok(false);
        }
        self.write_tracks(&after)?;
        *tracks = after.into();
        drop(tracks);
        self.update_edge();
        gone(&self.folder().join(SUBTITLES).join(format!("{lang}.vtt")))?;
        Ok(true)
    }

    fn write_tracks(&self, tracks: &[TextTrack]) -> Result<(), StoreError> {
        self.put_side(SUBTITLES, TRACKS, &serde_json::to_vec_pretty(tracks).unwrap_or_default())
    }

    fn put_side(&self, folder: &str, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let folder = self.folder().join(folder);
        std::fs::create_dir_all(&folder).map_err(|e| StoreError::io("create", &folder, e))?;
        atomic::write(&folder.join(name), bytes, false)
    }

    fn sheet_path(&self, number: u32) -> PathBuf {
        self.folder().join(THUMBS).join(sheet_name(number))
    }
}

/// Name of a sheet in the index.
pub(crate) fn sheet_name(number: u32) -> String {
    format!("{number:05}.jpg")
}

fn gone(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("delete", path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    fn track(lang: &str, default: bool) -> TextTrack {
        TextTrack { lang: lang.into(), label: lang.to_uppercase(), default, end_ms: 5, version: 0, bytes: 0 }
    }

    #[test]
    fn subtitles_survive_a_restart_and_only_one_is_the_default() {
        let dir = tempfile::tempdir().unwrap();
        let stream = Store::open(dir.path()).unwrap().create("s").unwrap();
        stream.put_subtitles(track("en", true), "WEBVTT\n\none").unwrap();
        stream.put_subtitles(track("de", true), "WEBVTT\n\nzwei").unwrap();
        stream.put_subtitles(track("en", false), "WEBVTT\n\nother").unwrap();
        let before = stream.edge().borrow().version;
        assert!(stream.remove_subtitles("de").unwrap() && !stream.remove_subtitles("de").unwrap());
        assert!(stream.edge().borrow().version > before, "whoever renders playlists is told");
        stream.put_subtitles(track("fr", true), "WEBVTT\n").unwrap();
        drop(stream);
        let stream = Store::open(dir.path()).unwrap().get("s").unwrap();
        let tracks = stream.subtitles();
        let names: Vec<_> = tracks.iter().map(|t| (t.lang.as_str(), t.default, t.version, t.bytes)).collect();
        assert_eq!(names, [("en", false, 3, 13), ("fr", true, 4, 7)]);
        assert_eq!(stream.subtitle("en").unwrap(), "WEBVTT\n\nother");
        assert_eq!(stream.subtitle("de"), None);
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let stream = Store::open(dir.path()).unwrap().create("s").unwrap();
        stream.put_thumbnail_sheet(1, b"jpeg").unwrap();
        assert_eq!(stream.thumbnail_sheet("00001.jpg").unwrap(), &b"jpeg"[..]);
        for name in ["1.jpg", "00002.jpg", "../stream.json", "+0001.jpg", "", "thumbnails.vtt"] {
            assert_eq!(stream.thumbnail_sheet(name), None, "{name}");
        }
        for lang in ["../x", "", "EN", "a/b", "."] {
            assert!(stream.put_subtitles(track(lang, false), "WEBVTT\n").is_err(), "{lang}");
            assert_eq!(stream.subtitle(lang), None);
        }
        stream.drop_thumbnail_sheet(1).unwrap();
        stream.drop_thumbnail_sheet(1).unwrap();
        assert_eq!(stream.thumbnail_sheet("00001.jpg"), None);
    }
}
