//! The live test card, from the painter to the store, in real time.

use std::time::Duration;

use super::read::{boxes, samples};
use super::*;
use crate::ingest::{TestCardSpec, air};
use crate::ladder::{Profile, Speed, Voice};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_live_test_card_can_be_watched_while_it_is_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(dir.path()).unwrap());
    let manager = LiveManager::new(Arc::clone(&store));
    manager.open("card", LiveSettings { segment_ms: 1000, part_ms: 250, ..settings() }).unwrap();
    let publisher = manager.publish("card", PublisherInfo::default()).unwrap();
    let profile = Profile { segment_ms: 1000, gop_ms: 1000, speed: Speed::Ultrafast, ..Profile::default() };
    let card = TestCardSpec { lines: 90, frame_rate: (20, 1), ..TestCardSpec::default() };
    let runtime = tokio::runtime::Handle::current();
    let voice = Voice::unheard();
    let aired = tokio::task::spawn_blocking(move || air(None, card, &profile, publisher, runtime, voice));
    aired.await.unwrap().unwrap();

    let stream = store.get("card").unwrap();
    let mut edge = stream.edge();
    let three = edge.wait_for(|edge| edge.segments >= 3);
    tokio::time::timeout(Duration::from_secs(60), three).await.expect("three segments in a minute").unwrap();
    manager.end("card").await;

    let status = manager.status("card").unwrap();
    assert_eq!(status.state, LiveState::Ended);
    assert_eq!(status.warnings, Vec::<String>::new());
    let (source, audio) = (stream.rendition("source").unwrap(), stream.rendition("audio").unwrap());
    assert!(source.info().codecs.starts_with("avc1."), "{}", source.info().codecs);
    assert_eq!(audio.info().codecs, "mp4a.40.2");
    assert_eq!((source.info().width, source.info().height), (160, 90));
    let (mut shown, mut heard) = (0, 0);
    for entry in source.segments().iter() {
        let bytes = stream.segment_bytes("source", entry.number).unwrap();
        let read = samples(&bytes, 90_000.0, 0);
        shown += read.len();
        // Every segment begins with an IDR picture: NAL type 5 somewhere in the first access unit.
        let (_, at, size) = boxes(&bytes).into_iter().find(|(kind, ..)| kind == "mdat").unwrap();
        let mut unit = &bytes[at + 8..at + size];
        let mut kinds = Vec::new();
        while unit.len() > 4 && kinds.len() < 6 {
            kinds.push(unit[4] & 31);
            unit = &unit[4 + u32::from_be_bytes(unit[..4].try_into().unwrap()) as usize..];
        }
        assert!(kinds.contains(&5), "segment {} begins with {kinds:?}", entry.number);
    }
    for entry in audio.segments().iter() {
        heard += samples(&stream.segment_bytes("audio", entry.number).unwrap(), 48_000.0, 0).len();
    }
    // A machine that is very busy may leave pictures out, but not many of them.
    assert!(shown >= 30 && heard >= 130, "{shown} pictures, {heard} packets");
}
