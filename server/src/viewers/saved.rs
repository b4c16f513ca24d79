//! Counts that outlive the server's process: `viewers.json` in the data folder.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::qoe::{Counted, StreamQoe};
use super::session::StreamSessions;
use super::{Method, Viewers};
use crate::catalog::unix_ms;

/// How often counts are written, when they changed: what a killed process loses at most.
const EVERY: Duration = Duration::from_secs(10);
/// A guessed session that is heard of again this long after the last run is still the same viewer.
const SAME_VIEWER_MS: u64 = 120_000;
/// Sessions of a stream that are remembered over a restart.
const MOST_KEYS: usize = 4096;

/// The file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    streams: BTreeMap<String, SavedStream>,
}

/// One stream's counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedStream {
    born_ms: u64,
    peak: u64,
    total: u64,
    watched_ms: u64,
    /// When the sessions below were current.
    #[serde(default)]
    saved_ms: u64,
    /// Keys of sessions that name themselves, and of guessed ones.
    #[serde(default)]
    named: Vec<String>,
    #[serde(default)]
    guessed: Vec<String>,
    /// What those of them told that told anything, as far as it is counted below.
    #[serde(default)]
    counted: BTreeMap<String, Counted>,
    /// What players told, current sessions included.
    #[serde(default)]
    qoe: StreamQoe,
}

impl Saved {
    /// Reads the file of the last run; nothing when there is none.
    ///
    /// # Errors
    /// When it cannot be read or is not in its form.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = path(folder);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is damaged; delete it to count from zero", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let path = path(folder);
        let doing = || format!("cannot write the viewers' counts to {}", path.display());
        let part = path.with_extension("json.tmp");
        let mut file = fs::File::create(&part).with_context(doing)?;
        file.write_all(&serde_json::to_vec(self)?).with_context(doing)?;
        file.sync_data().with_context(doing)?;
        fs::rename(&part, &path).with_context(doing)
    }

    pub(super) fn take(&mut self, stream: &str, born_ms: u64) -> Option<SavedStream> {
        self.streams.remove(stream).filter(|saved| saved.born_ms == born_ms)
    }
}

impl SavedStream {
    pub(super) fn give(self, sessions: &mut StreamSessions) {
        let soon = unix_ms().saturating_sub(self.saved_ms) < SAME_VIEWER_MS;
        let guessed = if soon { self.guessed } else { Vec::new() };
        let keys = self.named.into_iter().chain(guessed);
        sessions.restore(
            self.peak,
            self.total,
            Duration::from_millis(self.watched_ms),
            self.qoe.checked(),
            keys.filter_map(|key| {
                Some((u128::from_str_radix(&key, 16).ok()?, self.counted.get(&key).copied()))
            }),
        );
    }
}

impl Viewers {
    /// Hands over the counts of the last run, before streams are opened.
    pub fn restore(&self, saved: Saved) {
        *self.before.lock().unwrap_or_else(PoisonError::into_inner) = saved;
    }

    /// The counts as they are now.
    pub fn save(&self) -> Saved {
        let now = self.clock.now();
        self.with(|streams| Saved {
            streams: streams
                .iter_mut()
                .map(|(id, sessions)| {
                    sessions.sweep(now);
                    let keys = |guessed: bool| {
                        let wanted = sessions
                            .sessions
                            .iter()
                            .filter(|(_, s)| (s.method == Method::Heuristic) == guessed);
                        let mut keys: Vec<_> =
                            wanted.take(MOST_KEYS).map(|(key, _)| format!("{key:x}")).collect();
                        keys.sort_unstable();
                        keys
                    };
                    let (named, guessed) = (keys(false), keys(true));
                    let told = |key: &String| {
                        let session = sessions.sessions.get(&u128::from_str_radix(key, 16).ok()?)?;
                        Some((key.clone(), session.qoe.counted()?))
                    };
                    let counted = named.iter().chain(&guessed).filter_map(told).collect();
                    let (peak, total) = sessions.totals();
                    let saved = SavedStream {
                        born_ms: sessions.born_ms,
                        peak,
                        total,
                        watched_ms: u64::try_from(sessions.watched(now).as_millis()).unwrap_or(u64::MAX),
                        saved_ms: if guessed.is_empty() { 0 } else { unix_ms() },
                        named,
                        guessed,
                        counted,
                        qoe: sessions.quality_so_far(),
                    };
                    (id.clone(), saved)
                })
                .collect(),
        })
    }

    /// Writes the counts every few seconds, and a last time when `stop` is cancelled.
    pub async fn keep(self: Arc<Self>, folder: PathBuf, stop: CancellationToken) {
        let mut written = Saved::default();
        let mut complained = false;
        loop {
            let last = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(EVERY) => false,
            };
            let saved = self.save();
            if saved != written {
                let (copy, folder) = (saved.clone(), folder.clone());
                match tokio::task::spawn_blocking(move || copy.write(&folder)).await {
                    Ok(Ok(())) => (written, complained) = (saved, false),
                    Ok(Err(error)) if !complained => {
                        complained = true;
                        tracing::error!("{error:#}; counts are kept in memory meanwhile");
                    }
                    Ok(Err(_)) | Err(_) => {}
                }
            }
            if last {
                return;
            }
        }
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("viewers.json")
}

#[cfg(test)]
mod tests {
    use super::super::{ManualClock, Protocol, Who};
    use super::*;
    use std::net::IpAddr;

    fn viewers() -> (Arc<ManualClock>, Viewers) {
        let clock = Arc::new(ManualClock::default());
        (clock.clone(), Viewers::new(clock, [9; 32]))
    }

    #[test]
    fn peak_total_and_watch_time_survive_and_current_sessions_are_not_counted_again() {
        let folder = tempfile::tempdir().unwrap();
        let guest = |n: u8| Who::from_address(IpAddr::from([192, 0, 2, n]), "mpv");
        let (clock, first) = viewers();
        first.open_from("a", Duration::from_secs(4), 77);
        first.media("a", &guest(1), Protocol::Hls);
        first.media("a", &guest(2), Protocol::Hls);
        clock.advance(Duration::from_secs(8));
        first.media("a", &guest(1), Protocol::Hls);
        first.save().write(folder.path()).unwrap();

        let (_, second) = viewers();
        second.restore(Saved::read(folder.path()).unwrap());
        second.open_from("a", Duration::from_secs(4), 77);
        let count = second.count("a");
        assert_eq!((count.current, count.peak, count.total), (0, 2, 2));
        assert!((count.watch_seconds - 8.0).abs() < 0.01);
        second.media("a", &guest(1), Protocol::Hls);
        second.media("a", &guest(3), Protocol::Hls);
        let count = second.count("a");
        assert_eq!((count.current, count.peak, count.total), (2, 2, 3));
    }

    #[test]
    fn what_players_told_survives_and_nobody_is_counted_twice() {
        let folder = tempfile::tempdir().unwrap();
        let told = |n: u8, list: &str| {
            let mut who = Who::from_address(IpAddr::from([192, 0, 2, n]), "mpv");
            who.cmcd = Some(super::super::cmcd::Cmcd::parse(list));
            who
        };
        let (clock, first) = viewers();
        first.open_from("a", Duration::from_secs(4), 77);
        first.media("a", &told(1, "sid=\"one\",ot=v,br=1000,d=2000,msd=500"), Protocol::Hls);
        clock.advance(Duration::from_secs(60));
        // The first one is gone; this one goes on over the restart.
        first.media("a", &told(2, "sid=\"two\",ot=v,br=3000,d=2000,msd=1500,bs"), Protocol::Hls);
        let before = first.quality("a");
        assert_eq!((before.sessions, before.reporting, before.stalls.count), (2, 1, 1));
        first.save().write(folder.path()).unwrap();

        let (_, second) = viewers();
        second.restore(Saved::read(folder.path()).unwrap());
        second.open_from("a", Duration::from_secs(4), 77);
        let after = second.quality("a");
        assert_eq!((after.startup_ms, after.bitrate_kbps), (before.startup_ms, before.bitrate_kbps));
        assert_eq!((after.mean_bitrate_kbps, after.stalls), (before.mean_bitrate_kbps, before.stalls));
        assert_eq!((after.sessions, after.reporting), (2, 0));
        second.media("a", &told(2, "sid=\"two\",ot=v,br=3000,d=2000,bs"), Protocol::Hls);
        second.media("a", &told(3, "sid=\"three\",ot=v,br=3000,d=2000"), Protocol::Hls);
        let after = second.quality("a");
        assert_eq!((after.sessions, after.reporting, after.stalls.count), (3, 2, 2));
        assert_eq!(after.mean_bitrate_kbps, Some(2500));
        assert_eq!(second.count("a").total, 3);
    }

    #[test]
    fn a_player_that_counts_its_stalls_itself_goes_on_over_a_restart_without_counting_twice() {
        let folder = tempfile::tempdir().unwrap();
        let told = |list: &str| {
            let mut who = Who::from_address(IpAddr::from([192, 0, 2, 1]), "page");
            who.cmcd = Some(super::super::cmcd::Cmcd::parse(list));
            who
        };
        let (_, first) = viewers();
        first.open_from("a", Duration::from_secs(4), 77);
        first.media("a", &told("sid=\"one\",ot=v,br=1000,bsa=(2),bsda=(900),dfa=5"), Protocol::Hls);
        first.save().write(folder.path()).unwrap();
        // What comes between the last writing and a kill is not lost either: the player tells it again.
        first.media("a", &told("sid=\"one\",ot=v,bsa=(3),bsda=(1500),dfa=6"), Protocol::Hls);

        let (clock, second) = viewers();
        second.restore(Saved::read(folder.path()).unwrap());
        second.open_from("a", Duration::from_secs(4), 77);
        let goes_on = told("sid=\"one\",ot=v,bsa=(4),bsda=(1600),dfa=7");
        second.media("a", &goes_on, Protocol::Hls);
        let figures = |qoe: super::super::Qoe| {
            (
                qoe.sessions,
                qoe.stalls.count,
                qoe.stalls.seconds,
                qoe.stalls.sessions_share,
                qoe.dropped_frames,
            )
        };
        let whole = (1, 4, 1.6, 1.0, 7);
        assert_eq!(figures(second.quality("a")), whole);
        assert_eq!(second.list("a", 1)[0].stalls, Some(4));
        // The same within one run: a session that ends and comes back.
        clock.advance(Duration::from_secs(300));
        assert_eq!((second.count("a").current, figures(second.quality("a"))), (0, whole));
        second.media("a", &goes_on, Protocol::Hls);
        assert_eq!(figures(second.quality("a")), whole);
    }

    #[test]
    fn figures_that_were_tampered_with_count_as_none() {
        let (_, first) = viewers();
        first.open_from("a", Duration::from_secs(4), 77);
        let mut saved = serde_json::to_value(first.save()).unwrap();
        saved["streams"]["a"]["qoe"]["startup_ms"]["counts"] = serde_json::json!([1, 2, 3]);
        saved["streams"]["a"]["qoe"]["sessions"] = serde_json::json!(9);
        let (_, second) = viewers();
        second.restore(serde_json::from_value(saved).unwrap());
        second.open_from("a", Duration::from_secs(4), 77);
        assert_eq!(second.quality("a").sessions, 0);
    }

    #[test]
    fn another_stream_of_the_same_id_starts_at_zero() {
        let (_, first) = viewers();
        first.open_from("a", Duration::from_secs(4), 77);
        first.media("a", &Who::from_address(IpAddr::from([192, 0, 2, 1]), "mpv"), Protocol::Hls);
        let (_, second) = viewers();
        second.restore(first.save());
        second.open_from("a", Duration::from_secs(4), 78);
        assert_eq!(second.count("a").total, 0);
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("viewers.json"), b"{").unwrap();
        let error = format!("{:#}", Saved::read(folder.path()).unwrap_err());
        assert!(error.contains("viewers.json"), "{error}");
    }
}
