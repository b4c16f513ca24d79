//! The thread that owns the database connection.

use std::path::PathBuf;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::ballast::Ballast;
use super::{CatalogError, Stream, store};

/// Requests that may wait for the thread; past it callers wait, which is the back-pressure.
const QUEUE: usize = 64;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// Sends work to the thread.
#[derive(Debug, Clone)]
pub(super) struct Writer(mpsc::Sender<Job>);

impl Writer {
    /// Opens the database on its own thread and reads what is in it.
    pub(super) async fn start(path: PathBuf) -> Result<(Self, Vec<Stream>), CatalogError> {
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE);
        let (opened, is_open) = oneshot::channel();
        let thread = std::thread::Builder::new().name("catalog".into()).spawn(move || {
            let ballast = Ballast::beside(&path);
            let result = open(&path);
            let mut db = match result {
                Ok((db, streams)) => {
                    if opened.send(Ok(streams)).is_err() {
                        return;
                    }
                    db
                }
                Err(error) => {
                    // The opener is gone only when the program ends.
                    drop(opened.send(Err(error)));
                    return;
                }
            };
            while let Some(job) = queue.blocking_recv() {
                ballast.settle();
                job(&mut db);
            }
        });
        if thread.is_err() {
            return Err(CatalogError::Closed);
        }
        let streams = is_open.await.map_err(|_| CatalogError::Closed)??;
        Ok((Self(jobs), streams))
    }

    /// Runs `work` on the thread and waits for its result.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, CatalogError> + Send + 'static,
    ) -> Result<T, CatalogError> {
        let (done, result) = oneshot::channel();
        let job: Job = Box::new(move |db| {
            // A caller that went away does not undo the work.
            drop(done.send(work(db)));
        });
        self.0.send(job).await.map_err(|_| CatalogError::Closed)?;
        result.await.map_err(|_| CatalogError::Closed)?
    }
}

fn open(path: &PathBuf) -> Result<(Connection, Vec<Stream>), CatalogError> {
    let mut db = Connection::open(path)?;
    store::prepare(&mut db)?;
    let streams = store::all(&mut db)?;
    Ok((db, streams))
}
