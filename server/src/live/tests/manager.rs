//! Streams on their own threads.

use std::time::Duration;

use super::*;

const LIMIT: Duration = Duration::from_secs(30);

fn manager() -> (tempfile::TempDir, Arc<Store>, LiveManager) {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(dir.path()).unwrap());
    let manager = LiveManager::new(Arc::clone(&store));
    (dir, store, manager)
}

fn who(app: &str) -> PublisherInfo {
    PublisherInfo { app: app.to_owned(), ..PublisherInfo::default() }
}

/// Sends `seconds` of pictures, as fast as the session takes them.
async fn publish(publisher: &Publisher, seconds: i64) -> Result<(), Ended> {
    publisher.send(LiveEvent::Setup(video_setup())).await?;
    for n in 0..seconds * 25 {
        let ns = n * 40_000_000;
        let data = Bytes::from_static(b"picture");
        let unit = LiveUnit { kind: TrackKind::Video, dts_ns: ns, pts_ns: ns, key: n % 50 == 0, data };
        publisher.send(LiveEvent::Unit(unit)).await?;
    }
    Ok(())
}

async fn until(manager: &LiveManager, state: LiveState) -> LiveStatus {
    let mut watch = manager.watch("s").unwrap();
    let reached = tokio::time::timeout(LIMIT, watch.wait_for(|status| status.state == state)).await;
    reached.unwrap_or_else(|_| panic!("the stream never is {state:?}")).unwrap().clone()
}

#[tokio::test]
async fn a_stream_without_a_publisher_for_too_long_becomes_an_on_demand_one() {
    let (_dir, store, manager) = manager();
    assert_eq!(manager.publish("s", who("a")).unwrap_err(), Refused::NotStarted("s".to_owned()));
    manager.open("s", LiveSettings { grace_ms: 50, record: true, ..settings() }).unwrap();
    assert_eq!(manager.status("s").unwrap().state, LiveState::Idle);
    let publisher = manager.publish("s", who("rtmp")).unwrap();
    publish(&publisher, 5).await.unwrap();
    let live = until(&manager, LiveState::Live).await;
    assert_eq!(live.publisher.unwrap().app, "rtmp");
    drop(publisher);
    let status = until(&manager, LiveState::Ended).await;
    assert_eq!((status.units, status.dropped, status.publisher), (125, 0, None));
    assert_eq!(status.tracks[0].codecs, "avc1.64000d");
    let stream = store.get("s").unwrap();
    assert!(stream.is_complete());
    assert_eq!(stream.edge().borrow().segments, 3);
    assert!(manager.publish("s", who("late")).is_err());
    // Started again, it goes on.
    manager.open("s", settings()).unwrap();
    let publisher = manager.publish("s", who("again")).unwrap();
    publish(&publisher, 3).await.unwrap();
    drop(publisher);
    manager.end("s").await;
    assert_eq!(stream.edge().borrow().segments, 5);
    assert!(stream.rendition("source").unwrap().segments()[3].discontinuity);
}

#[tokio::test]
async fn a_publisher_that_is_there_and_sends_nothing_is_waited_for_and_then_sent_away() {
    let (_dir, store, manager) = manager();
    manager.open("s", LiveSettings { quiet_ms: 50, grace_ms: 60_000, ..settings() }).unwrap();
    let publisher = manager.publish("s", who("rtmp")).unwrap();
    publish(&publisher, 5).await.unwrap();
    let waiting = until(&manager, LiveState::Grace).await;
    assert_eq!(waiting.publisher.unwrap().app, "rtmp", "it is still connected");
    let stream = store.get("s").unwrap();
    assert!(stream.rendition("source").unwrap().window().open.is_none(), "viewers have all there is");
    publish(&publisher, 5).await.unwrap();
    until(&manager, LiveState::Live).await;
    // For good, this time.
    manager.open("s", LiveSettings { quiet_ms: 50, grace_ms: 50, ..settings() }).unwrap();
    until(&manager, LiveState::Ended).await;
    tokio::time::timeout(LIMIT, publisher.ended()).await.expect("it is told");
    assert!(stream.is_complete());
}

#[tokio::test]
async fn a_second_publisher_is_refused_or_takes_over_by_policy() {
    let (_dir, store, manager) = manager();
    manager.open("s", LiveSettings { takeover: false, ..settings() }).unwrap();
    let first = manager.publish("s", who("first")).unwrap();
    publish(&first, 3).await.unwrap();
    assert_eq!(manager.publish("s", who("second")).unwrap_err(), Refused::Busy("s".to_owned()));
    manager.open("s", LiveSettings { takeover: true, ..settings() }).unwrap();
    let second = manager.publish("s", who("second")).unwrap();
    tokio::time::timeout(LIMIT, first.ended()).await.expect("the first one is cut off");
    assert_eq!(publish(&first, 1).await, Err(Ended));
    publish(&second, 3).await.unwrap();
    // When it goes, somebody else may come, also where nobody may take over.
    manager.open("s", LiveSettings { takeover: false, ..settings() }).unwrap();
    drop((first, second));
    until(&manager, LiveState::Grace).await;
    let third = manager.publish("s", who("third")).unwrap();
    publish(&third, 3).await.unwrap();
    assert!(manager.kick("s"));
    tokio::time::timeout(LIMIT, third.ended()).await.expect("kicked");
    manager.end("s").await;
    let breaks = store.get("s").unwrap().rendition("source").unwrap();
    let breaks = breaks.segments().iter().filter(|entry| entry.discontinuity).count();
    assert_eq!(breaks, 2);
}

#[tokio::test]
async fn a_stream_that_is_left_goes_on_at_the_next_start() {
    let (dir, store, manager) = manager();
    manager.open("s", settings()).unwrap();
    let publisher = manager.publish("s", who("a")).unwrap();
    publish(&publisher, 5).await.unwrap();
    manager.stop_all(false).await;
    assert!(!store.get("s").unwrap().is_complete());
    assert!(publish(&publisher, 1).await.is_err());
    let store = Arc::new(Store::open(dir.path()).unwrap());
    let manager = LiveManager::new(Arc::clone(&store));
    manager.open("s", settings()).unwrap();
    let publisher = manager.publish("s", who("b")).unwrap();
    publish(&publisher, 2).await.unwrap();
    manager.stop_all(true).await;
    let stream = store.get("s").unwrap();
    assert!(stream.is_complete());
    let segments = stream.rendition("source").unwrap().segments();
    let list: Vec<(u32, bool)> = segments.iter().map(|e| (e.number, e.discontinuity)).collect();
    assert_eq!(list, [(1, false), (2, false), (3, false), (4, true)]);
}
