//! Packaging in the background: a queue, a bounded number of workers, progress, cancelling, resuming.

mod audio_side;
mod child;
mod manager;
mod own_sound;
mod pace;
mod place;
mod plan;
mod process;
mod run;
mod source_side;
mod stills;
mod video_side;
mod writer;

pub(crate) use plan::encoders;

pub use child::package_for_parent;
pub use manager::{JobManager, JobOptions, JobState, JobStatus, StartError};

use crate::ingest::{FetchError, PullError};
use crate::ladder::LadderError;
use crate::store::StoreError;

/// Why a job ended without a complete stream.
#[derive(Debug, thiserror::Error)]
enum JobError {
    #[error("cancelled")]
    Cancelled,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Ladder(#[from] LadderError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Pull(#[from] PullError),
    #[error("{0}")]
    Other(String),
}

#[cfg(test)]
mod tests;
