//! What the desktop around the window sees and says: media keys and the panel's player (MPRIS), and no sleep while a film
//! plays. All of it is a courtesy: without a session bus nothing is missing but this.

mod awake;
mod mpris;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use awake::Awake;

use crate::session::Wake;

/// Positions that are further off than this are a jump, and not just time that passed.
const JUMP: Duration = Duration::from_millis(1500);

/// Changes that may wait for a slow bus.
const ROOM: usize = 16;

/// Whether something plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Playing {
    /// Nothing is open.
    #[default]
    Stopped,
    /// Pictures move, or would if there were any.
    Yes,
    /// The viewer paused, or the end was reached.
    Paused,
}

/// What the desktop is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Status {
    pub(crate) playing: Playing,
    /// Name of the stream.
    pub(crate) title: String,
    /// Its address.
    pub(crate) url: String,
    /// `None` for a live stream.
    pub(crate) length: Option<Duration>,
    pub(crate) position: Duration,
    pub(crate) rate: f64,
    /// 0 to 1; 0 when muted.
    pub(crate) volume: f64,
    pub(crate) full_screen: bool,
}

/// What the desktop asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wish {
    Raise,
    Quit,
    Play,
    Pause,
    PlayPause,
    Stop,
    /// By so many microseconds, back when negative.
    SeekBy(i64),
    SeekTo(Duration),
    Rate(f64),
    Volume(f64),
    FullScreen(bool),
}

/// The last status, and when it was true.
#[derive(Debug)]
struct Known {
    status: Status,
    at: Instant,
}

impl Known {
    /// Where playback is by now.
    fn position(&self) -> Duration {
        let passed = if self.status.playing == Playing::Yes { self.at.elapsed() } else { Duration::ZERO };
        let position = self.status.position + passed.mul_f64(self.status.rate.clamp(0.0, 16.0));
        self.status.length.map_or(position, |length| position.min(length))
    }
}

/// What the window and the bus share.
#[derive(Debug)]
struct Shared {
    known: Mutex<Known>,
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes wishes to the window.
#[derive(Clone)]
struct Asker {
    wishes: mpsc::SyncSender<Wish>,
    wake: Wake,
}

impl Asker {
    fn ask(&self, wish: Wish) {
        // A window that does not keep up has enough to do.
        if self.wishes.try_send(wish).is_ok() {
            (self.wake)();
        }
    }
}

/// What changed, for the thread that talks to the bus.
#[derive(Debug)]
struct Change {
    before: Status,
    after: Status,
    jumped: bool,
}

/// The window's end.
pub(crate) struct Desktop {
    shared: Arc<Shared>,
    changes: mpsc::SyncSender<Change>,
    wishes: mpsc::Receiver<Wish>,
}

impl Desktop {
    /// Connects to the session bus in a thread of its own; never fails, and never waits.
    pub(crate) fn start(wake: Wake) -> Self {
        let known = Known { status: Status::default(), at: Instant::now() };
        let shared = Arc::new(Shared { known: Mutex::new(known) });
        let (asks, wishes) = mpsc::sync_channel(ROOM);
        let (changes, changed) = mpsc::sync_channel(ROOM);
        let asker = Asker { wishes: asks, wake };
        let for_thread = Arc::clone(&shared);
        let thread = thread::Builder::new().name("weir-desktop".to_owned()).spawn(move || {
            if let Err(error) = serve(&for_thread, asker, &changed) {
                tracing::debug!(%error, "the desktop's session bus is not used");
            }
        });
        if let Err(error) = thread {
            tracing::debug!(%error, "no thread for the session bus");
        }
        Self { shared, changes, wishes }
    }

    /// What the desktop was told last.
    pub(crate) fn playing(&self) -> Playing {
        self.shared.known().status.playing
    }

    /// Tells the desktop what plays now. Cheap when nothing changed: called with each frame.
    pub(crate) fn tell(&self, status: Status) {
        let mut known = self.shared.known();
        let expected = known.position();
        let jumped = status.url == known.status.url && expected.abs_diff(status.position) > JUMP;
        let same = Status { position: known.status.position, ..status.clone() } == known.status;
        if same && !jumped {
            return;
        }
        let before =
            std::mem::replace(&mut *known, Known { status: status.clone(), at: Instant::now() }).status;
        drop(known);
        // Nobody listens where there is no bus.
        let _ = self.changes.try_send(Change { before, after: status, jumped });
    }

    /// What the desktop asked for since the last call.
    pub(crate) fn wishes(&self) -> impl Iterator<Item = Wish> {
        self.wishes.try_iter()
    }
}

fn serve(shared: &Arc<Shared>, asker: Asker, changes: &mpsc::Receiver<Change>) -> zbus::Result<()> {
    let bus = mpris::serve(shared, asker)?;
    let mut awake = Awake::default();
    // Ends with the window.
    while let Ok(change) = changes.recv() {
        awake.keep(&bus, change.after.playing == Playing::Yes);
        if let Err(error) = mpris::announce(&bus, &change) {
            tracing::debug!(%error, "the session bus took no news");
        }
    }
    awake.keep(&bus, false);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desktop() -> (Desktop, mpsc::Receiver<Change>) {
        let known = Known { status: Status::default(), at: Instant::now() };
        let (_, wishes) = mpsc::sync_channel(ROOM);
        let (changes, changed) = mpsc::sync_channel(ROOM);
        (Desktop { shared: Arc::new(Shared { known: Mutex::new(known) }), changes, wishes }, changed)
    }

    fn playing(position: f64) -> Status {
        Status {
            playing: Playing::Yes,
            url: "http://a/b".to_owned(),
            length: Some(Duration::from_secs(60)),
            position: Duration::from_secs_f64(position),
            rate: 1.0,
            volume: 1.0,
            ..Status::default()
        }
    }

    #[test]
    fn only_changes_and_jumps_are_told() {
        let (desktop, changed) = desktop();
        desktop.tell(playing(1.0));
        assert!(!changed.try_recv().unwrap().jumped, "another stream is no jump");
        for step in 0..10 {
            desktop.tell(playing(1.0 + f64::from(step) * 0.1));
        }
        assert!(changed.try_recv().is_err(), "time that passes is no news");
        desktop.tell(playing(30.0));
        assert!(changed.try_recv().unwrap().jumped);
        desktop.tell(Status { volume: 0.5, ..playing(30.0) });
        let change = changed.try_recv().unwrap();
        assert!(!change.jumped && change.before.volume > change.after.volume);
    }

    #[test]
    fn the_position_goes_on_by_itself_up_to_the_end() {
        let (desktop, _changed) = desktop();
        desktop.tell(playing(10.0));
        let known = desktop.shared.known();
        assert!(known.position() >= Duration::from_secs(10));
        drop(known);
        desktop.tell(Status { playing: Playing::Paused, ..playing(59.0) });
        assert_eq!(desktop.shared.known().position(), Duration::from_secs(59));
        desktop.tell(Status { rate: 16.0, ..playing(59.999) });
        thread::sleep(Duration::from_millis(5));
        assert_eq!(desktop.shared.known().position(), Duration::from_secs(60));
    }

    #[test]
    fn a_bus_that_does_not_keep_up_stops_nothing() {
        let (desktop, changed) = desktop();
        for step in 0..100 {
            desktop.tell(Status { volume: f64::from(step) / 100.0, ..playing(1.0) });
        }
        assert_eq!(changed.try_iter().count(), ROOM);
    }
}
