//! Whole jobs with the real encoders, on small and short pictures, judged by decoding what they stored.

mod card;
mod files;
mod read;
mod through;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::ingest::{SourceSpec, TestCardSpec};
use crate::ladder::{Passthrough, Profile, RungSpec, Speed};
use crate::store::{Store, StreamStore};

/// Two small rungs, quick to encode.
fn small_profile() -> Profile {
    Profile {
        rungs: vec![RungSpec { lines: 90, kbps: 200 }, RungSpec { lines: 180, kbps: 500 }],
        speed: Speed::Ultrafast,
        passthrough: Passthrough::Never,
        ..Profile::default()
    }
}

fn card(duration_ms: u64, lines: u32) -> TestCardSpec {
    TestCardSpec { duration_ms, lines, ..TestCardSpec::default() }
}

fn manager(data: &Path) -> (Arc<Store>, JobManager) {
    let store = Arc::new(Store::open(data).unwrap());
    (Arc::clone(&store), JobManager::new(store, JobOptions { nice: 0, ..JobOptions::default() }))
}

/// Runs a job to its end.
async fn finish(jobs: &JobManager, id: &str, source: SourceSpec, profile: Profile) -> JobStatus {
    let mut status = jobs.start(id, source, profile).unwrap();
    let over = status.wait_for(|status| status.state.is_over());
    tokio::time::timeout(Duration::from_secs(300), over).await.expect("the job ends").unwrap().clone()
}

/// Packages and expects success.
async fn packaged(data: &Path, source: SourceSpec, profile: Profile) -> Arc<StreamStore> {
    let (store, jobs) = manager(data);
    let status = finish(&jobs, "s", source, profile).await;
    assert_eq!((status.state, &status.error), (JobState::Done, &None));
    assert!(status.warnings.is_empty(), "{:?}", status.warnings);
    assert!((status.progress - 1.0).abs() < f32::EPSILON);
    store.get("s").unwrap()
}
