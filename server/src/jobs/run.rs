//! One packaging job from source to complete stream.

use std::sync::Arc;

use super::manager::{JobControl, JobOptions};
use crate::ingest::SourceSpec;
use crate::ladder::Profile;
use crate::store::Store;

/// Why a job ended without a complete stream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// It was asked to stop.
    #[error("cancelled")]
    Cancelled,
}

pub(super) fn run(
    _store: &Arc<Store>,
    _options: &JobOptions,
    _control: &Arc<JobControl>,
    _source: &SourceSpec,
    _profile: &Profile,
) -> Result<(), JobError> {
    Err(JobError::Cancelled)
}
