use std::fs::OpenOptions;
use std::io::Write;

use bytes::Bytes;

use super::*;

fn video(name: &str, height: u32) -> RenditionInfo {
    RenditionInfo {
        language: None,
        name: name.to_owned(),
        kind: TrackKind::Video,
        codecs: "avc1.64001f".to_owned(),
        width: height * 16 / 9,
        height,
        frame_rate: (25, 1),
        sample_rate: 0,
        channels: 0,
        bandwidth: 1_000_000,
        timescale: 1000,
    }
}

fn segment(number: u32) -> Bytes {
    Bytes::from(vec![number as u8; 1000])
}

fn stream_with(store: &Store, segments: u32) -> Arc<StreamStore> {
    let stream = store.create("one").unwrap();
    stream.expect_renditions(&["360p".to_owned(), "240p".to_owned()]).unwrap();
    stream.add_rendition(video("360p", 360), Bytes::from_static(b"init-360")).unwrap();
    stream.add_rendition(video("240p", 240), Bytes::from_static(b"init-240")).unwrap();
    for number in 1..=segments {
        for name in ["240p", "360p"] {
            let start = u64::from(number - 1) * 4000;
            stream.append_segment(name, number, start, 4000, segment(number)).unwrap();
        }
    }
    stream
}

#[test]
fn what_was_finished_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let before = stream_with(&Store::open(dir.path()).unwrap(), 3);
    assert_eq!(before.edge().borrow().segments, 3);

    let store = Store::open(dir.path()).unwrap();
    let stream = store.get("one").unwrap();
    let names: Vec<String> = stream.renditions().iter().map(|r| r.name().to_owned()).collect();
    assert_eq!(names, ["240p", "360p"]);
    let edge = *stream.edge().borrow();
    assert!(edge.ready && edge.playable() && !edge.complete);
    assert_eq!(edge.segments, 3);
    assert_eq!(stream.segment_bytes("240p", 2).unwrap(), segment(2));
    assert_eq!(stream.rendition("360p").unwrap().init(0).unwrap().as_ref(), b"init-360");
    assert_eq!(stream.rendition("360p").unwrap().average_bandwidth(), Some(2000));
    stream.complete().unwrap();
    assert!(Store::open(dir.path()).unwrap().get("one").unwrap().edge().borrow().complete);
}

#[test]
fn a_torn_last_line_costs_only_that_segment_and_writing_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    drop(stream_with(&Store::open(dir.path()).unwrap(), 2));
    let folder = dir.path().join("streams/one/240p");
    // The process died while it appended the third line: the file is there, the line is not whole.
    std::fs::write(folder.join("00003.m4s"), segment(3)).unwrap();
    let mut journal = OpenOptions::new().append(true).open(folder.join("journal")).unwrap();
    journal.write_all(b"3 8000 40").unwrap();
    drop(journal);

    let store = Store::open(dir.path()).unwrap();
    let stream = store.get("one").unwrap();
    assert_eq!(stream.rendition("240p").unwrap().len(), 2);
    stream.append_segment("240p", 3, 8000, 4000, segment(9)).unwrap();
    let again = Store::open(dir.path()).unwrap().get("one").unwrap();
    assert_eq!(again.rendition("240p").unwrap().len(), 3);
    assert_eq!(again.segment_bytes("240p", 3).unwrap(), segment(9));
}

#[test]
fn a_listed_segment_whose_file_is_short_ends_the_list() {
    let dir = tempfile::tempdir().unwrap();
    drop(stream_with(&Store::open(dir.path()).unwrap(), 3));
    std::fs::write(dir.path().join("streams/one/240p/00002.m4s"), b"short").unwrap();
    let stream = Store::open(dir.path()).unwrap().get("one").unwrap();
    assert_eq!(stream.rendition("240p").unwrap().len(), 1);
    assert_eq!(stream.edge().borrow().segments, 1);
}

#[test]
fn garbage_in_a_journal_never_panics_and_keeps_the_good_head() {
    for tail in ["\n", "x y z w\n", "3 8000 4000\n", "3 8000 0 1000\n", "5 8000 4000 1000\n", "3 1 1 1000\n"]
    {
        let dir = tempfile::tempdir().unwrap();
        drop(stream_with(&Store::open(dir.path()).unwrap(), 2));
        let path = dir.path().join("streams/one/240p/journal");
        let mut journal = OpenOptions::new().append(true).open(path).unwrap();
        journal.write_all(tail.as_bytes()).unwrap();
        journal.write_all(&[0xff, 0xfe, b'\n']).unwrap();
        let stream = Store::open(dir.path()).unwrap().get("one").unwrap();
        assert_eq!(stream.rendition("240p").unwrap().len(), 2, "tail {tail:?}");
    }
}

#[test]
fn the_edge_counts_what_every_rendition_has_and_wakes_on_every_segment() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let stream = stream_with(&store, 1);
    let mut edge = stream.edge();
    edge.mark_unchanged();
    stream.append_segment("360p", 2, 4000, 4000, segment(2)).unwrap();
    assert!(edge.has_changed().unwrap());
    assert_eq!(edge.borrow_and_update().segments, 1);
    stream.append_segment("240p", 2, 4000, 4000, segment(2)).unwrap();
    assert_eq!(edge.borrow_and_update().segments, 2);
    stream.retire_rendition("360p").unwrap();
    assert!(edge.borrow_and_update().ready);
    assert!(stream.rendition("360p").is_none());
}

#[test]
fn segments_out_of_order_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let stream = stream_with(&Store::open(dir.path()).unwrap(), 2);
    assert!(stream.append_segment("240p", 4, 8000, 4000, segment(4)).is_err());
    assert!(stream.append_segment("240p", 2, 4000, 4000, segment(2)).is_err());
    assert!(stream.append_segment("nope", 1, 0, 4000, segment(1)).is_err());
    assert_eq!(stream.segment_bytes("240p", 3).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(stream.segment_bytes("240p", 0).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn another_encoder_cannot_continue_a_rendition_silently() {
    let dir = tempfile::tempdir().unwrap();
    let stream = stream_with(&Store::open(dir.path()).unwrap(), 1);
    assert!(stream.add_rendition(video("240p", 240), Bytes::from_static(b"init-240")).is_ok());
    assert!(stream.add_rendition(video("240p", 240), Bytes::from_static(b"other")).is_err());
}

#[test]
fn a_removed_stream_is_gone_and_its_watchers_are_released() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let stream = stream_with(&store, 1);
    let edge = stream.edge();
    assert!(store.remove("one").unwrap());
    assert!(edge.borrow().removed && edge.borrow().complete);
    assert!(store.get("one").is_none());
    assert!(!store.remove("one").unwrap());
    assert_eq!(std::fs::read_dir(dir.path().join("streams")).unwrap().count(), 0);
    assert!(store.create("one").is_ok());
}

#[test]
fn ids_that_could_leave_the_folder_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for id in ["", "..", "a/b", ".hidden", "a b", "ä", &"x".repeat(65)] {
        assert!(matches!(store.create(id), Err(StoreError::BadId(_))), "{id:?}");
        assert!(store.get(id).is_none());
    }
}
