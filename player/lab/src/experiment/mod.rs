//! Many sessions: sets of traces times algorithms times buffers, in parallel, and what the results amount to.

mod job;
mod progress;
mod results;
mod stats;
mod suite;
mod table;

pub use job::{ORACLE, Options, Row, figures, one, run};
pub use progress::Progress;
pub use results::{read_json, write_csv, write_json};
pub use stats::{Interval, bootstrap_mean, mean, percentile};
pub use suite::{Half, Set, SetSpec, Suite, SuiteError, trace_files};
pub use table::{Group, groups, plain};
