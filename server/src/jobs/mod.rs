//! Packaging in the background: a queue, a bounded number of workers, progress, cancelling, resuming.

mod manager;
mod run;

pub use manager::{JobManager, JobOptions, JobState, JobStatus, StartError};
