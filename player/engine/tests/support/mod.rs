//! A small web server with faults, and media made on the spot.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test that is the report")]

pub mod media;
pub mod raw;
pub mod server;

use std::{
    path::Path,
    sync::{Arc, Once},
    time::Duration,
};

use serde_json::Value;
use url::Url;
use weir_engine::{Options, Player, Snapshot};

/// Long enough for a loaded machine, short enough to fail before the runner gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Shows the engine's log under `RUST_LOG`.
pub fn log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
    });
}

/// Starts a headless session that writes its record to `events`.
pub fn open(url: &Url, events: &Path, options: Options) -> Player {
    log();
    let stop_after = options.stop_after.or(Some(PATIENCE));
    let options = Options { headless: true, events: Some(events.to_owned()), stop_after, ..options };
    weir_engine::open(url.clone(), options, Arc::new(|| ()))
}

/// Plays `url` to its end; gives the last state and the record.
pub fn play(url: &Url, options: Options) -> (Snapshot, Record) {
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events.jsonl");
    let player = open(url, &events, options);
    let last = player.wait();
    drop(player);
    (last, Record::read(&events))
}

/// Waits until `good`, or fails with the last state.
pub fn wait_until(player: &Player, what: &str, mut good: impl FnMut(&Snapshot) -> bool) -> Snapshot {
    let deadline = std::time::Instant::now() + PATIENCE / 2;
    loop {
        let snapshot = player.snapshot();
        if good(&snapshot) {
            return snapshot;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "waited too long for {what}: {:?} at {:?}, {:?}",
            snapshot.state,
            snapshot.position,
            snapshot.error
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A session's record.
#[derive(Debug)]
pub struct Record(pub Vec<Value>);

impl Record {
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        Self(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    /// All entries of one kind.
    pub fn all(&self, event: &str) -> Vec<&Value> {
        self.0.iter().filter(|entry| entry["event"] == event).collect()
    }

    /// The only entry of its kind.
    pub fn one(&self, event: &str) -> &Value {
        let all = self.all(event);
        assert_eq!(all.len(), 1, "{event}: {all:#?}");
        all[0]
    }

    /// Numbers of one field.
    pub fn numbers(&self, event: &str, field: &str) -> Vec<f64> {
        self.all(event).iter().filter_map(|entry| entry[field].as_f64()).collect()
    }
}
