//! The packaging process: reads an order from the server, packages, and sends what it has made.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::JobError;
use super::manager::{JobControl, JobStatus};
use super::place::{Kept, Place, Remote, kind};
use super::run::{Work, package};
use crate::ingest::SourceSpec;
use crate::ladder::wire::{self, FrameReader};
use crate::ladder::{self, EncoderError, Profile, StreamLog, VideoEncoderKind, Voice};

/// How long threads get to end when the server has let go.
const END: Duration = Duration::from_secs(5);

/// What is to be packaged.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) id: String,
    /// The stream's folder.
    pub(super) folder: PathBuf,
    pub(super) source: SourceSpec,
    /// Where the source lies; none for a test card.
    pub(super) path: Option<PathBuf>,
    pub(super) profile: Profile,
    pub(super) encoders: Vec<VideoEncoderKind>,
    pub(super) nice: i32,
    /// Segments that are there, by rendition.
    pub(super) stored: BTreeMap<String, u64>,
    pub(super) poster: bool,
}

impl Order {
    pub(super) fn write(&self, kept: &Kept) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Names and numbers only: it cannot fail.
        let plain = serde_json::to_vec(self).unwrap_or_default();
        let index = kept.index.as_deref().unwrap_or_default();
        wire::write(&mut bytes, 1, &[&plain, index, kept.sheet.as_deref().unwrap_or_default()]);
        bytes
    }
}

/// What `weir-server encoder --package` does: packages what the order on standard input, a socket, says.
///
/// # Errors
/// When there is no order, or no connection to the server. Why packaging failed is told to the server.
pub fn package_for_parent() -> Result<(), EncoderError> {
    ladder::die_with_parent();
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut reader = FrameReader::new(socket.try_clone()?);
    let mut first = reader.next()?.ok_or(EncoderError::NoOrder)?;
    let invalid = std::io::Error::from;
    let order: Order =
        serde_json::from_slice(&first.bytes().map_err(invalid)?).map_err(|_| EncoderError::NoOrder)?;
    let some = |bytes: Bytes| Some(bytes).filter(|bytes| !bytes.is_empty());
    let (index, sheet) = (first.bytes().map_err(invalid)?, first.bytes().map_err(invalid)?);
    let kept = Kept { poster: order.poster, index: some(index), sheet: some(sheet) };
    let remote = Arc::new(Remote {
        id: order.id.clone(),
        folder: order.folder.clone(),
        stored: order.stored.clone(),
        kept,
        socket: Mutex::new(socket),
    });
    let said = Arc::clone(&remote);
    let log = StreamLog::relayed(move |grade, from, text| {
        let _ = said.send(kind::LOG, &[&grade.number().to_le_bytes(), from.as_bytes(), text.as_bytes()]);
    });
    let control = Arc::new(JobControl::new(&order.id, Voice::new(&Arc::new(log), "job")));
    watch_status(&control, &remote)?;
    watch_parent(reader, Arc::clone(&control))?;
    ladder::lower_priority(order.nice);
    let place: Arc<dyn Place> = Arc::<Remote>::clone(&remote);
    let work = Work {
        source: &order.source,
        path: order.path.as_ref(),
        profile: &order.profile,
        encoders: &order.encoders,
        nice: order.nice,
    };
    let result = ladder::init().map_err(JobError::from).and_then(|()| package(&place, &control, &work));
    let _ = match result {
        Ok(()) => remote.send(kind::DONE, &[&status_json(&control.watch().borrow())]),
        Err(error) => remote.send(kind::FAILED, &[error.to_string().as_bytes()]),
    };
    Ok(())
}

fn status_json(status: &JobStatus) -> Vec<u8> {
    serde_json::to_vec(status).unwrap_or_default()
}

/// Sends the job's status whenever it changes.
fn watch_status(control: &Arc<JobControl>, remote: &Arc<Remote>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let (mut watch, remote) = (control.watch(), Arc::clone(remote));
    let run = move || {
        runtime.block_on(async {
            while watch.changed().await.is_ok() {
                let status = status_json(&watch.borrow_and_update());
                if remote.send(kind::STATUS, &[&status]).is_err() {
                    break;
                }
            }
        });
    };
    std::thread::Builder::new().name("weir-status".to_owned()).spawn(run).map(|_| ())
}

/// The end of the connection cancels the job.
fn watch_parent(mut reader: FrameReader<UnixStream>, control: Arc<JobControl>) -> std::io::Result<()> {
    let run = move || {
        while let Ok(Some(_)) = reader.next() {}
        control.cancel();
        // What hangs in a decoder does not hear it: after a while there is nothing to wait for.
        std::thread::sleep(END);
        std::process::exit(1);
    };
    std::thread::Builder::new().name("weir-parent".to_owned()).spawn(run).map(|_| ())
}
