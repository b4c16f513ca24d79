//! MPRIS 2.2: what media keys and a desktop's panel talk to.

use std::{collections::HashMap, process, sync::Arc, time::Duration};

use zbus::{
    blocking::{Connection, connection::Builder},
    interface,
    zvariant::{ObjectPath, OwnedValue, Value},
};

use super::{Asker, Change, Playing, Shared, Status, Wish};

const NAME: &str = "org.mpris.MediaPlayer2.io.github.weir_player.Weir";
const PATH: &str = "/org/mpris/MediaPlayer2";
const PLAYER: &str = "org.mpris.MediaPlayer2.Player";
const TRACK: &str = "/io/github/weir_player/Weir/stream";
const DESKTOP_ENTRY: &str = "io.github.weir_player.Weir";

/// Puts the player on the session bus.
pub(super) fn serve(shared: &Arc<Shared>, asker: Asker) -> zbus::Result<Connection> {
    let bus = Builder::session()?
        .serve_at(PATH, Root { shared: Arc::clone(shared), asker: asker.clone() })?
        .serve_at(PATH, Player { shared: Arc::clone(shared), asker })?
        .build()?;
    // A second window has a name of its own.
    if bus.request_name(NAME).is_err() {
        bus.request_name(format!("{NAME}.instance{}", process::id()))?;
    }
    Ok(bus)
}

/// Tells who listens what changed.
pub(super) fn announce(bus: &Connection, change: &Change) -> zbus::Result<()> {
    let (before, after) = (&change.before, &change.after);
    let mut changed: HashMap<&str, Value<'_>> = HashMap::new();
    if before.playing != after.playing {
        changed.insert("PlaybackStatus", playing(after).into());
    }
    if (&before.title, &before.url, before.length) != (&after.title, &after.url, after.length) {
        changed.insert("Metadata", Value::from(metadata(after)));
        changed.insert("CanSeek", after.length.is_some().into());
    }
    if before.rate.to_bits() != after.rate.to_bits() {
        changed.insert("Rate", after.rate.into());
    }
    if before.volume.to_bits() != after.volume.to_bits() {
        changed.insert("Volume", after.volume.into());
    }
    let none: Vec<&str> = Vec::new();
    let nobody = None::<&str>;
    if !changed.is_empty() {
        let body = (PLAYER, changed, none);
        bus.emit_signal(nobody, PATH, "org.freedesktop.DBus.Properties", "PropertiesChanged", &body)?;
    }
    if change.jumped {
        bus.emit_signal(nobody, PATH, PLAYER, "Seeked", &(micros(after.position)))?;
    }
    Ok(())
}

fn playing(status: &Status) -> &'static str {
    match status.playing {
        Playing::Stopped => "Stopped",
        Playing::Yes => "Playing",
        Playing::Paused => "Paused",
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

fn metadata(status: &Status) -> HashMap<String, Value<'static>> {
    let mut data = HashMap::new();
    if status.playing == Playing::Stopped {
        return data;
    }
    data.insert("mpris:trackid".to_owned(), Value::from(ObjectPath::from_static_str_unchecked(TRACK)));
    data.insert("xesam:title".to_owned(), Value::from(status.title.clone()));
    data.insert("xesam:url".to_owned(), Value::from(status.url.clone()));
    if let Some(length) = status.length {
        data.insert("mpris:length".to_owned(), Value::from(micros(length)));
    }
    data
}

struct Root {
    shared: Arc<Shared>,
    asker: Asker,
}

#[interface(name = "org.mpris.MediaPlayer2")]
impl Root {
    fn raise(&self) {
        self.asker.ask(Wish::Raise);
    }

    fn quit(&self) {
        self.asker.ask(Wish::Quit);
    }

    #[zbus(property)]
    fn can_quit(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn can_raise(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn has_track_list(&self) -> bool {
        false
    }

    #[zbus(property)]
    fn can_set_fullscreen(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn fullscreen(&self) -> bool {
        self.shared.known().status.full_screen
    }

    #[zbus(property)]
    fn set_fullscreen(&self, on: bool) {
        self.asker.ask(Wish::FullScreen(on));
    }

    #[zbus(property)]
    fn identity(&self) -> &'static str {
        "Weir"
    }

    #[zbus(property)]
    fn desktop_entry(&self) -> &'static str {
        DESKTOP_ENTRY
    }

    #[zbus(property)]
    fn supported_uri_schemes(&self) -> Vec<&'static str> {
        vec!["http", "https", "file"]
    }

    #[zbus(property)]
    fn supported_mime_types(&self) -> Vec<&'static str> {
        vec!["application/vnd.apple.mpegurl", "application/x-mpegURL", "application/dash+xml"]
    }
}

struct Player {
    shared: Arc<Shared>,
    asker: Asker,
}

#[interface(name = "org.mpris.MediaPlayer2.Player")]
impl Player {
    fn next(&self) {}

    fn previous(&self) {}

    fn pause(&self) {
        self.asker.ask(Wish::Pause);
    }

    fn play_pause(&self) {
        self.asker.ask(Wish::PlayPause);
    }

    fn stop(&self) {
        self.asker.ask(Wish::Stop);
    }

    fn play(&self) {
        self.asker.ask(Wish::Play);
    }

    fn seek(&self, by: i64) {
        self.asker.ask(Wish::SeekBy(by));
    }

    /// A place in a stream that is not open any more is nobody's.
    #[expect(clippy::needless_pass_by_value, reason = "what comes over the bus comes by value")]
    fn set_position(&self, track: ObjectPath<'_>, position: i64) {
        if track.as_str() == TRACK
            && let Ok(position) = u64::try_from(position)
        {
            self.asker.ask(Wish::SeekTo(Duration::from_micros(position)));
        }
    }

    fn open_uri(&self, _uri: &str) {}

    #[zbus(property)]
    fn playback_status(&self) -> &'static str {
        playing(&self.shared.known().status)
    }

    #[zbus(property)]
    fn rate(&self) -> f64 {
        self.shared.known().status.rate
    }

    #[zbus(property)]
    fn set_rate(&self, rate: f64) {
        if rate.is_finite() {
            self.asker.ask(if rate > 0.0 { Wish::Rate(rate) } else { Wish::Pause });
        }
    }

    #[zbus(property)]
    fn metadata(&self) -> HashMap<String, OwnedValue> {
        let data = metadata(&self.shared.known().status).into_iter();
        data.filter_map(|(name, value)| Some((name, OwnedValue::try_from(value).ok()?))).collect()
    }

    #[zbus(property)]
    fn volume(&self) -> f64 {
        self.shared.known().status.volume
    }

    #[zbus(property)]
    fn set_volume(&self, volume: f64) {
        if volume.is_finite() {
            self.asker.ask(Wish::Volume(volume.clamp(0.0, 1.0)));
        }
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn position(&self) -> i64 {
        micros(self.shared.known().position())
    }

    #[zbus(property)]
    fn minimum_rate(&self) -> f64 {
        0.25
    }

    #[zbus(property)]
    fn maximum_rate(&self) -> f64 {
        4.0
    }

    #[zbus(property)]
    fn can_go_next(&self) -> bool {
        false
    }

    #[zbus(property)]
    fn can_go_previous(&self) -> bool {
        false
    }

    #[zbus(property)]
    fn can_play(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn can_pause(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn can_seek(&self) -> bool {
        self.shared.known().status.length.is_some()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn can_control(&self) -> bool {
        true
    }
}
