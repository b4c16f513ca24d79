//! What the network gave in earlier sessions, by host, in one small file.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use weir_abr::Bitrate;

/// Hosts kept; the one that was not used for longest goes first.
const HOSTS: usize = 100;

/// No file of ours is larger.
const LARGEST: u64 = 1 << 20;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Seen {
    bps: u64,
    /// Seconds since the Unix epoch.
    at: u64,
}

/// Throughput by host. A file that cannot be read counts as empty: it is a hint, nothing more.
#[derive(Debug)]
pub(crate) struct Remembered {
    path: Option<PathBuf>,
    hosts: BTreeMap<String, Seen>,
}

impl Remembered {
    /// From `folder`; without one, nothing is remembered.
    pub(crate) fn load(folder: Option<&Path>) -> Self {
        let path = folder.map(|folder| folder.join("throughput.json"));
        let hosts = path
            .as_deref()
            .filter(|path| fs::metadata(path).is_ok_and(|file| file.len() <= LARGEST))
            .and_then(|path| fs::read(path).ok())
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        Self { path, hosts }
    }

    /// The last estimate for `host`, and how old it is.
    pub(crate) fn get(&self, host: &str) -> Option<(Bitrate, Duration)> {
        let seen = self.hosts.get(host)?;
        Some((Bitrate::from_bps(seen.bps), Duration::from_secs(now().saturating_sub(seen.at))))
    }

    /// Keeps `estimate` for `host`: a whole new file, then a rename over the old one.
    pub(crate) fn put(&mut self, host: &str, estimate: Bitrate) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        self.hosts.insert(host.to_owned(), Seen { bps: estimate.bps(), at: now() });
        while self.hosts.len() > HOSTS {
            let Some(oldest) =
                self.hosts.iter().min_by_key(|(_, seen)| seen.at).map(|(host, _)| host.clone())
            else {
                break;
            };
            self.hosts.remove(&oldest);
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let beside = path.with_extension(format!("json.{}", std::process::id()));
        fs::write(&beside, serde_json::to_vec(&self.hosts).map_err(io::Error::from)?)?;
        fs::rename(&beside, path)
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_over_sessions_and_forgets_the_oldest_host() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("new");
        for host in 0..HOSTS + 5 {
            Remembered::load(Some(&state)).put(&format!("h{host}"), Bitrate::from_kbps(900.0)).unwrap();
        }
        let remembered = Remembered::load(Some(&state));
        assert_eq!(remembered.hosts.len(), HOSTS);
        let (estimate, age) = remembered.get(&format!("h{}", HOSTS + 4)).unwrap();
        assert_eq!(estimate, Bitrate::from_kbps(900.0));
        assert!(age < Duration::from_secs(60));
        assert_eq!(fs::read_dir(&state).unwrap().count(), 1, "no half-written file stays behind");
    }

    #[test]
    fn a_damaged_file_counts_as_empty() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("throughput.json"), b"{\"h\": [").unwrap();
        assert!(Remembered::load(Some(folder.path())).get("h").is_none());
    }
}
