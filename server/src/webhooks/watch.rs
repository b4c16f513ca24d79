//! Sees from the catalogue and the counter what happened, and tells it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::model::{Event, EventKind};
use crate::app::App;
use crate::catalog::State;

/// How often viewers are looked at; states are seen at once.
const LOOK: Duration = Duration::from_secs(1);
/// Shortest time between two peaks of one stream that are told.
const BETWEEN_PEAKS: Duration = Duration::from_secs(60);

/// A stream at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub title: String,
    /// How far it is.
    pub state: State,
    /// Whether it is, or was, live.
    pub live: bool,
    /// Whether what was live is kept.
    pub record: bool,
    /// Whether a player finds something.
    pub playable: bool,
    /// Why it failed.
    pub error: Option<String>,
    /// Most viewers at one time.
    pub peak: u64,
    /// Sessions so far.
    pub viewers: u64,
    /// Seconds watched so far.
    pub watch_seconds: f64,
}

#[derive(Debug)]
struct Known {
    seen: Seen,
    told_peak: u64,
    told_at: Option<Duration>,
}

/// Compares one moment with the one before.
#[derive(Debug, Default)]
pub struct Watcher {
    known: HashMap<String, Known>,
    started: bool,
}

impl Watcher {
    /// What happened since the last call; the first call only looks. `now` is any monotonic time.
    pub fn look(&mut self, now: Duration, streams: Vec<Seen>) -> Vec<Event> {
        let mut events = Vec::new();
        let mut before = std::mem::take(&mut self.known);
        for seen in streams {
            let mut known = match before.remove(&seen.id) {
                Some(known) => known,
                // What is there at the start is not news; what appears later began as nothing.
                None if !self.started => Known { told_peak: seen.peak, told_at: None, seen: seen.clone() },
                None => {
                    let blank = Seen { state: State::Queued, peak: 0, ..seen.clone() };
                    Known { seen: blank, told_peak: 0, told_at: None }
                }
            };
            changes(&known.seen, &seen, &mut events);
            let ready = known.told_at.is_none_or(|at| now.saturating_sub(at) >= BETWEEN_PEAKS);
            if seen.peak > known.told_peak && ready {
                events.push(event(EventKind::ViewerPeak, &seen, json!({"peak": seen.peak})));
                (known.told_peak, known.told_at) = (seen.peak, Some(now));
            }
            known.seen = seen;
            self.known.insert(known.seen.id.clone(), known);
        }
        // A live stream that was deleted while it was on air is over, too.
        for (_, known) in before {
            if known.seen.state == State::Live {
                events.push(over(&known.seen));
            }
        }
        self.started = true;
        events
    }
}

fn changes(old: &Seen, new: &Seen, events: &mut Vec<Event>) {
    if old.state == new.state {
        return;
    }
    if new.state == State::Live {
        events.push(event(EventKind::Started, new, json!({})));
    }
    if old.state == State::Live {
        events.push(over(new));
    }
    if new.state == State::Failed {
        events.push(event(EventKind::Failed, new, json!({"error": new.error})));
    }
    let packaged = !new.live && new.state == State::Ready;
    let over = matches!(new.state, State::Ended | State::Ready);
    let recorded = new.live && new.record && over && new.playable;
    if packaged || recorded {
        events.push(event(EventKind::RecordingReady, new, json!({})));
    }
}

fn over(seen: &Seen) -> Event {
    let told =
        json!({"viewers": {"peak": seen.peak, "total": seen.viewers, "watch_seconds": seen.watch_seconds}});
    event(EventKind::Ended, seen, told)
}

fn event(kind: EventKind, seen: &Seen, more: Value) -> Event {
    let base = format!("/stream/{}", seen.id);
    let mut data = json!({
        "title": seen.title,
        "state": seen.state.name(),
        "urls": {"page": base, "hls": format!("{base}/hls/master.m3u8"), "dash": format!("{base}/dash/manifest.mpd")},
    });
    if let (Some(data), Value::Object(more)) = (data.as_object_mut(), more) {
        data.extend(more);
    }
    Event { kind, stream: seen.id.clone(), data }
}

/// Watches until the server stops. Also empties the count of a live stream that is over.
pub async fn run(app: Arc<App>) {
    let mut states = app.catalog.changes();
    let mut settings = app.settings.changes();
    loop {
        states.borrow_and_update();
        look(&app).await;
        tokio::select! {
            () = app.stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
            _ = states.changed() => {}
            Ok(()) = settings.changed() => {
                let webhooks = settings.borrow_and_update().webhooks.clone();
                app.webhooks.apply(&webhooks);
            }
        }
    }
}

/// Looks once and tells what happened; also after [`run`], for what a stop of the server ends. What cannot be
/// delivered any more waits for the next start.
pub async fn look(app: &Arc<App>) {
    let app = Arc::clone(app);
    let work = move || {
        let mut watcher = app.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        for event in watcher.look(app.started.elapsed(), look_at(&app)) {
            if event.kind == EventKind::Ended {
                app.viewers.end(&event.stream);
            }
            app.webhooks.tell(&event);
        }
    };
    if let Err(error) = tokio::task::spawn_blocking(work).await {
        tracing::error!(%error, "telling the webhooks failed");
    }
}

fn look_at(app: &App) -> Vec<Seen> {
    let see = |stream: &Arc<crate::catalog::Stream>| {
        let count = app.viewers.count(&stream.id);
        Seen {
            id: stream.id.clone(),
            title: stream.title.clone(),
            state: stream.state,
            live: stream.live.is_some(),
            record: stream.live.as_ref().is_some_and(|live| live.record),
            playable: app.media(&stream.id).is_some_and(|media| media.edge().borrow().playable()),
            error: stream.error.clone(),
            peak: count.peak,
            viewers: count.total,
            watch_seconds: count.watch_seconds,
        }
    };
    app.catalog.list().iter().map(see).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(state: State, live: bool, peak: u64) -> Seen {
        Seen {
            id: "a".into(),
            title: "A".into(),
            state,
            live,
            record: live,
            playable: true,
            error: (state == State::Failed).then(|| "broken".to_owned()),
            peak,
            viewers: 9,
            watch_seconds: 4.5,
        }
    }

    fn kinds(events: &[Event]) -> Vec<&'static str> {
        events.iter().map(|event| event.kind.name()).collect()
    }

    #[test]
    fn a_live_stream_tells_its_start_its_end_and_its_recording() {
        let mut watcher = Watcher::default();
        let mut at = |state| watcher.look(Duration::ZERO, vec![seen(state, true, 0)]);
        assert!(at(State::Idle).is_empty());
        assert_eq!(kinds(&at(State::Live)), ["stream.started"]);
        assert!(at(State::Live).is_empty());
        let end = at(State::Ended);
        assert_eq!(kinds(&end), ["stream.ended", "recording.ready"]);
        assert_eq!(end[0].data["viewers"]["total"], 9);
        // What is not kept is no recording.
        let unkept = |state| vec![Seen { record: false, ..seen(state, true, 0) }];
        watcher.look(Duration::ZERO, unkept(State::Live));
        assert_eq!(kinds(&watcher.look(Duration::ZERO, unkept(State::Ended))), ["stream.ended"]);
    }

    #[test]
    fn a_file_tells_that_it_is_ready_or_failed() {
        let mut watcher = Watcher::default();
        let mut at = |state| watcher.look(Duration::ZERO, vec![seen(state, false, 0)]);
        assert!(at(State::Queued).is_empty());
        assert!(at(State::Packaging).is_empty());
        assert_eq!(kinds(&at(State::Ready)), ["recording.ready"]);
        let failed = at(State::Failed);
        assert_eq!((kinds(&failed), &failed[0].data["error"]), (vec!["stream.failed"], &json!("broken")));
    }

    #[test]
    fn what_was_there_at_the_start_is_not_news_and_what_is_deleted_on_air_is_over() {
        let mut watcher = Watcher::default();
        assert!(watcher.look(Duration::ZERO, vec![seen(State::Live, true, 5)]).is_empty());
        assert_eq!(kinds(&watcher.look(Duration::ZERO, Vec::new())), ["stream.ended"]);
        assert_eq!(
            kinds(&watcher.look(Duration::ZERO, vec![seen(State::Live, true, 0)])),
            ["stream.started"]
        );
    }

    #[test]
    fn peaks_are_told_at_most_once_a_minute_and_the_last_one_is_not_lost() {
        let mut watcher = Watcher::default();
        let mut at = |s, peak| {
            let events = watcher.look(Duration::from_secs(s), vec![seen(State::Ready, false, peak)]);
            events.iter().filter_map(|event| event.data["peak"].as_u64()).collect::<Vec<_>>()
        };
        assert!(at(0, 2).is_empty());
        assert_eq!(at(1, 3), [3]);
        assert!(at(2, 8).is_empty() && at(60, 9).is_empty());
        assert_eq!(at(61, 9), [9]);
        assert!(at(500, 9).is_empty());
    }
}
