//! A progress bar on stderr, when that is a terminal.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Counts steps, from any thread.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    shown: bool,
    total: AtomicUsize,
    done: AtomicUsize,
    stopped: AtomicBool,
    start: Instant,
    last: Mutex<Option<Instant>>,
}

const WIDTH: usize = 30;
const PAUSE: Duration = Duration::from_millis(100);

impl Progress {
    /// Shown if stderr is a terminal.
    pub fn new(what: &'static str) -> Self {
        Self { shown: std::io::stderr().is_terminal(), ..Self::silent(what) }
    }

    /// Never shown.
    pub fn silent(what: &'static str) -> Self {
        Self {
            what,
            shown: false,
            total: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            start: Instant::now(),
            last: Mutex::new(None),
        }
    }

    /// So many more steps are to come.
    pub fn expect(&self, count: usize) {
        self.total.fetch_add(count, Ordering::Relaxed);
    }

    /// No further step shall begin.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// [`stop`](Self::stop) was called.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Steps that are to be done in all.
    pub fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// Steps done so far.
    pub fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// One step is done.
    pub fn step(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if !self.shown {
            return;
        }
        let total = self.total.load(Ordering::Relaxed).max(done);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if done < total && last.is_some_and(|last| last.elapsed() < PAUSE) {
            return;
        }
        *last = Some(Instant::now());
        let filled = WIDTH * done / total;
        let elapsed = self.start.elapsed().as_secs_f64();
        let left = elapsed / done as f64 * (total - done) as f64;
        let bar = format!("{}{}", "#".repeat(filled), "-".repeat(WIDTH - filled));
        let ending = if done == total { "\n" } else { "" };
        let mut err = std::io::stderr().lock();
        // The bar is for eyes only: a stderr that is gone is no reason to stop.
        let _ = write!(err, "\r[{bar}] {done}/{total} {}, {left:.0} s left  {ending}", self.what);
        let _ = err.flush();
    }
}
