//! What Weir remembers between runs: server, recent streams, where they were left, volume, limits, looks.

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use url::Url;
use weir_abr::Bitrate;
use weir_engine::SubtitleChoice;

use crate::address;

/// How many recent streams are kept.
const RECENTS: usize = 12;
/// A stream that was left this close to its beginning or end starts from the beginning again.
const RESUME_MARGIN: Duration = Duration::from_secs(15);

/// A stream that was opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recent {
    /// Its address.
    #[serde(serialize_with = "write_url", deserialize_with = "read_url")]
    pub url: Url,
    /// What to call it.
    pub title: String,
    /// Where it was left, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position_s: Option<f64>,
    /// How long it is, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<f64>,
}

/// Light, dark, or as the desktop has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Look {
    /// As the desktop has it.
    #[default]
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

/// Everything that is remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The server whose streams are listed, as it was typed.
    pub server: Option<String>,
    /// The newest first.
    pub recents: VecDeque<Recent>,
    /// 0.0 to 1.0.
    pub volume: f64,
    /// Sound off.
    pub muted: bool,
    /// No rung above this, in kbit/s.
    pub cap_kbps: Option<f64>,
    /// No rung taller than the window.
    pub fit_window: bool,
    /// Language or name of the sound that was chosen last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sound: Option<String>,
    /// Language or name of the subtitles that were chosen last, `off` when they were switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subtitles: Option<String>,
    /// Light or dark.
    pub look: Look,
    /// The statistics were open.
    pub statistics: bool,
    /// Where they are kept; nowhere when `None`.
    #[serde(skip)]
    pub file: Option<PathBuf>,
    /// What the command line set for this run: as it was before, and as it is since.
    #[serde(skip)]
    pub given: Option<Box<(Settings, Settings)>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            server: None,
            recents: VecDeque::new(),
            volume: 1.0,
            muted: false,
            cap_kbps: None,
            fit_window: false,
            sound: None,
            subtitles: None,
            look: Look::System,
            statistics: false,
            file: None,
            given: None,
        }
    }
}

impl Settings {
    /// Reads `file`. One that is missing or cannot be understood gives the defaults: settings never keep Weir from starting.
    pub fn load(file: PathBuf) -> Self {
        let mut settings = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!("{} is not readable, starting with defaults: {error}", file.display());
                Self::default()
            }),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!("cannot read {}, starting with defaults: {error}", file.display());
                }
                Self::default()
            }
        };
        settings.volume = if settings.volume.is_finite() { settings.volume.clamp(0.0, 1.0) } else { 1.0 };
        settings.recents.truncate(RECENTS);
        settings.file = Some(file);
        settings
    }

    /// Writes them back where they came from: whole or not at all.
    pub fn save(&self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        let new = file.with_extension("json.new");
        fs::write(&new, serde_json::to_vec_pretty(&self.lasting())?)?;
        fs::rename(&new, file)
    }

    /// Changes something for this run. It is not written down unless the viewer changes it again.
    pub fn for_this_run(&mut self, change: impl FnOnce(&mut Self)) {
        let before = self.clone();
        change(self);
        self.given = Some(Box::new((before, self.clone())));
    }

    fn lasting(&self) -> Self {
        let mut out = self.clone();
        if let Some((before, given)) = self.given.as_deref() {
            if (out.volume, out.muted) == (given.volume, given.muted) {
                (out.volume, out.muted) = (before.volume, before.muted);
            }
            if out.sound == given.sound {
                out.sound.clone_from(&before.sound);
            }
            if out.subtitles == given.subtitles {
                out.subtitles.clone_from(&before.subtitles);
            }
            if out.cap_kbps == given.cap_kbps {
                out.cap_kbps = before.cap_kbps;
            }
        }
        out
    }

    /// The server to list, the default one when none was chosen.
    pub fn server(&self) -> Url {
        self.server
            .as_deref()
            .and_then(|text| address::parse_server(text).ok())
            .unwrap_or_else(address::default_server)
    }

    /// The subtitles to begin with.
    pub fn subtitles(&self) -> SubtitleChoice {
        self.subtitles.as_deref().map_or(SubtitleChoice::Auto, subtitle_choice)
    }

    /// The cap on bitrate.
    pub fn cap(&self) -> Option<Bitrate> {
        self.cap_kbps.filter(|kbps| kbps.is_finite() && *kbps > 0.0).map(Bitrate::from_kbps)
    }

    /// Puts a stream at the top of the recent ones; what was known of it stays.
    pub fn opened(&mut self, url: &Url, title: &str) {
        let known =
            self.recents.iter().position(|recent| recent.url == *url).and_then(|at| self.recents.remove(at));
        let mut recent = known.unwrap_or_else(|| Recent {
            url: url.clone(),
            title: String::new(),
            position_s: None,
            duration_s: None,
        });
        title.clone_into(&mut recent.title);
        self.recents.push_front(recent);
        self.recents.truncate(RECENTS);
    }

    /// Remembers where a stream was left.
    pub fn left(&mut self, url: &Url, position: Duration, duration: Option<Duration>) {
        if let Some(recent) = self.recents.iter_mut().find(|recent| recent.url == *url) {
            let worth = position > RESUME_MARGIN
                && duration.is_some_and(|duration| position + RESUME_MARGIN < duration);
            recent.position_s = worth.then_some(position.as_secs_f64());
            recent.duration_s = duration.map(|d| d.as_secs_f64());
        }
    }

    /// Where to go on with a stream.
    pub fn resume_at(&self, url: &Url) -> Option<Duration> {
        let recent = self.recents.iter().find(|recent| recent.url == *url)?;
        Duration::try_from_secs_f64(recent.position_s?).ok()
    }

    /// Takes a stream off the list.
    pub fn forget(&mut self, url: &Url) {
        self.recents.retain(|recent| recent.url != *url);
    }
}

/// What a language, a name or `off` stands for.
pub fn subtitle_choice(text: &str) -> SubtitleChoice {
    match text.trim() {
        off if off.eq_ignore_ascii_case("off") => SubtitleChoice::Off,
        auto if auto.eq_ignore_ascii_case("auto") => SubtitleChoice::Auto,
        wanted => SubtitleChoice::Language(wanted.to_owned()),
    }
}

fn write_url<S: Serializer>(url: &Url, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(url.as_str())
}

fn read_url<'de, D: Deserializer<'de>>(from: D) -> Result<Url, D::Error> {
    Url::parse(&String::deserialize(from)?).map_err(D::Error::custom)
}

/// Folders for settings and for what the engine learns; `None` without a home folder.
pub fn folders() -> Option<(PathBuf, PathBuf)> {
    let dirs = directories::ProjectDirs::from("io.github", "weir_player", "weir")?;
    let state = dirs.state_dir().unwrap_or_else(|| dirs.data_local_dir());
    Some((dirs.config_dir().to_owned(), state.to_owned()))
}

/// Where screenshots go: the pictures folder, else the home folder, else here.
pub fn pictures() -> PathBuf {
    let dirs = directories::UserDirs::new();
    let pictures = dirs.as_ref().and_then(|dirs| dirs.picture_dir()).filter(|folder| folder.is_dir());
    pictures
        .or_else(|| dirs.as_ref().map(directories::UserDirs::home_dir))
        .unwrap_or(Path::new("."))
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn settings_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/settings.json");
        let mut settings = Settings::load(file.clone());
        assert_eq!(settings.volume, 1.0);
        settings.volume = 0.4;
        settings.cap_kbps = Some(3000.0);
        settings.opened(&url("http://h/a"), "A");
        settings.save().unwrap();
        let again = Settings::load(file);
        assert_eq!(again, settings);
        assert_eq!(again.cap(), Some(Bitrate::from_kbps(3000.0)));
    }

    #[test]
    fn broken_settings_become_defaults_and_wild_values_are_tamed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.json");
        fs::write(&file, "{ nonsense").unwrap();
        assert_eq!(Settings::load(file.clone()).recents.len(), 0);
        fs::write(&file, r#"{"volume": 7.5, "cap_kbps": -1, "unknown": true}"#).unwrap();
        let settings = Settings::load(file);
        assert_eq!((settings.volume, settings.cap()), (1.0, None));
    }

    #[test]
    fn what_the_command_line_sets_is_not_remembered_unless_it_is_changed_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.json");
        let mut settings = Settings::load(file.clone());
        settings.for_this_run(|settings| (settings.volume, settings.cap_kbps) = (0.2, Some(1000.0)));
        settings.opened(&url("http://h/a"), "A");
        settings.save().unwrap();
        let next = Settings::load(file.clone());
        assert_eq!((next.volume, next.cap_kbps, next.recents.len()), (1.0, None, 1));
        settings.cap_kbps = Some(2000.0);
        settings.save().unwrap();
        let next = Settings::load(file);
        assert_eq!((next.volume, next.cap_kbps), (1.0, Some(2000.0)));
    }

    #[test]
    fn recents_are_newest_first_without_doubles_and_bounded() {
        let mut settings = Settings::default();
        for n in 0..20 {
            settings.opened(&url(&format!("http://h/{n}")), "x");
        }
        settings.opened(&url("http://h/15"), "again");
        assert_eq!(settings.recents.len(), RECENTS);
        assert_eq!(settings.recents[0].title, "again");
        assert_eq!(settings.recents.iter().filter(|r| r.url == url("http://h/15")).count(), 1);
        settings.forget(&url("http://h/15"));
        assert_eq!(settings.recents.len(), RECENTS - 1);
    }

    #[test]
    fn a_stream_goes_on_where_it_was_left_unless_that_is_an_end() {
        let mut settings = Settings::default();
        let (a, length) = (url("http://h/a"), Some(Duration::from_secs(600)));
        settings.opened(&a, "A");
        settings.left(&a, Duration::from_secs(300), length);
        assert_eq!(settings.resume_at(&a), Some(Duration::from_secs(300)));
        for edge in [3, 595] {
            settings.left(&a, Duration::from_secs(edge), length);
            assert_eq!(settings.resume_at(&a), None, "left at {edge} s");
        }
        settings.left(&a, Duration::from_secs(300), None);
        assert_eq!(settings.resume_at(&a), None, "a live stream starts at its edge");
    }
}
