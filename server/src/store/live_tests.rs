use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::*;

/// 1000 ticks a second, segments of 2 s in four parts of 500 ms.
fn info(name: &str) -> RenditionInfo {
    RenditionInfo {
        language: None,
        name: name.to_owned(),
        kind: TrackKind::Video,
        codecs: "avc1.64001f".to_owned(),
        width: 640,
        height: 360,
        frame_rate: (30, 1),
        sample_rate: 0,
        channels: 0,
        bandwidth: 1_000_000,
        timescale: 1000,
    }
}

fn live(window_s: u32, record: bool) -> LiveInfo {
    LiveInfo { segment_ms: 2000, part_ms: 500, window_s, target_s: 2, started_ms: 1_000_000, record }
}

fn part(segment: u32, index: u32) -> Bytes {
    Bytes::from(format!("segment {segment} part {index};"))
}

fn begin(stream: &StreamStore, rendition: &Rendition, number: u32, discontinuity: bool) {
    let start = u64::from(number - 1) * 2000;
    let wall_ms = Some(1_000_000 + start);
    let open = OpenSegment { number, start, init: 0, discontinuity, wall_ms, independent: true };
    stream.begin_segment(rendition, open).unwrap();
}

fn fill(stream: &StreamStore, rendition: &Rendition, numbers: std::ops::RangeInclusive<u32>) {
    for number in numbers {
        begin(stream, rendition, number, false);
        for index in 0..4 {
            stream.append_part(rendition, part(number, index), 500, index == 0);
        }
        stream.finish_segment(rendition).unwrap();
    }
}

fn open_stream(store: &Store, window_s: u32, record: bool) -> (Arc<StreamStore>, Arc<Rendition>) {
    let stream = store.get_or_create("one").unwrap();
    stream.set_live(live(window_s, record)).unwrap();
    stream.expect_renditions(&["source".to_owned()]).unwrap();
    let (rendition, index) = stream.live_rendition(info("source"), Bytes::from_static(b"init")).unwrap();
    assert_eq!(index, 0);
    (stream, rendition)
}

fn written(stream: &StreamStore) {
    assert!(stream.disk.flush(Duration::from_secs(20)), "the disk thread stands still");
}

#[test]
fn parts_are_listed_as_they_come_and_the_segment_is_their_concatenation() {
    let dir = tempfile::tempdir().unwrap();
    let (stream, rendition) = open_stream(&Store::open(dir.path()).unwrap(), 0, false);
    let mut edge = stream.edge();
    edge.mark_unchanged();
    begin(&stream, &rendition, 1, false);
    stream.append_part(&rendition, part(1, 0), 500, true);
    assert!(edge.has_changed().unwrap());
    let window = rendition.window();
    assert_eq!(window.open.unwrap().number, 1);
    assert!(window.segments.is_empty() && window.parts[0].independent);
    stream.append_part(&rendition, part(1, 1), 400, false);
    let second = rendition.window().parts[1];
    let expected = PartEntry {
        segment: 1,
        index: 1,
        start: 500,
        duration: 400,
        offset: 17,
        bytes: 17,
        independent: false,
    };
    assert_eq!(second, expected);
    assert_eq!(rendition.part_bytes(1, 1), Some(part(1, 1)));
    assert_eq!(rendition.part_bytes(1, 2), None);
    let entry = stream.finish_segment(&rendition).unwrap();
    assert_eq!((entry.duration, entry.bytes, entry.wall_ms), (900, 34, Some(1_000_000)));
    let whole = [part(1, 0), part(1, 1)].concat();
    assert_eq!(stream.segment_bytes("source", 1).unwrap(), whole);
    assert_eq!(rendition.part_bytes(1, 1), Some(part(1, 1)));
    written(&stream);
    assert_eq!(std::fs::read(rendition.segment_path(1)).unwrap(), whole);
}

#[tokio::test]
async fn a_growing_segment_is_read_along_chunk_by_chunk() {
    let dir = tempfile::tempdir().unwrap();
    let (stream, rendition) = open_stream(&Store::open(dir.path()).unwrap(), 0, false);
    begin(&stream, &rendition, 1, false);
    stream.append_part(&rendition, part(1, 0), 500, true);
    let mut reader = rendition.open_segment(1).unwrap();
    assert!(reader.finished().is_none());
    assert_eq!(reader.next().await, Some(part(1, 0)));
    let along = tokio::spawn(async move {
        let mut got = Vec::new();
        while let Some(chunk) = reader.next().await {
            got.push(chunk);
        }
        got
    });
    tokio::task::yield_now().await;
    stream.append_part(&rendition, part(1, 1), 500, false);
    tokio::task::yield_now().await;
    stream.append_part(&rendition, part(1, 2), 500, false);
    stream.finish_segment(&rendition).unwrap();
    assert_eq!(along.await.unwrap(), [part(1, 1), part(1, 2)]);
    assert!(rendition.open_segment(2).is_none());
    assert_eq!(rendition.open_segment(1).unwrap().finished().unwrap().len(), 51);
}

#[test]
fn a_window_slides_and_what_left_it_can_be_fetched_for_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let (stream, rendition) = open_stream(&Store::open(dir.path()).unwrap(), 20, false);
    fill(&stream, &rendition, 1..=3);
    begin(&stream, &rendition, 4, true);
    stream.append_part(&rendition, part(4, 0), 2000, true);
    fill(&stream, &rendition, 5..=13);
    written(&stream);
    fill(&stream, &rendition, 14..=14);
    let window = rendition.window();
    let listed: Vec<u32> = window.segments.iter().map(|s| s.number).collect();
    assert_eq!(listed, (5..=14).collect::<Vec<_>>());
    assert_eq!(window.discontinuity_sequence, 1);
    assert_eq!(window.segment(7).unwrap().start, 12_000);
    assert_eq!((window.segment(4), window.first_number(), window.last_number()), (None, 5, 14));
    // Parts within three target durations of the edge.
    assert_eq!(window.parts.first().map(|part| part.segment), Some(12));
    assert!(rendition.part_bytes(8, 0).is_some(), "unlisted parts stay three target durations more");
    assert!(rendition.part_bytes(7, 0).is_none());
    // As long as the list is.
    for number in 1..=14 {
        assert!(stream.segment_bytes("source", number).is_ok(), "{number}");
    }
    fill(&stream, &rendition, 15..=30);
    written(&stream);
    assert_eq!(stream.segment_bytes("source", 9).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(!rendition.segment_path(9).exists(), "its file is deleted");
    assert!(stream.segment_bytes("source", 14).is_ok());
    assert!(rendition.segment_path(21).exists());
}

#[test]
fn a_killed_stream_keeps_all_but_the_part_that_was_being_written() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (stream, rendition) = open_stream(&Store::open(dir.path()).unwrap(), 0, true);
        fill(&stream, &rendition, 1..=2);
        begin(&stream, &rendition, 3, true);
        for index in 0..3 {
            stream.append_part(&rendition, part(3, index), 500, index == 0);
        }
        written(&stream);
    }
    // Half a part more got to the file, and half a line to the journal.
    let folder = dir.path().join("streams/one/source");
    let append = |name: &str, text: &str| {
        let mut file = std::fs::OpenOptions::new().append(true).open(folder.join(name)).unwrap();
        io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    };
    append("00003.open", "segm");
    append("journal", "p 1");
    let stream = Store::open(dir.path()).unwrap().get("one").unwrap();
    let rendition = stream.rendition("source").unwrap();
    let last = *rendition.window().segments.last().unwrap();
    let expected = SegmentEntry {
        number: 3,
        start: 4000,
        duration: 1500,
        bytes: 51,
        init: 0,
        discontinuity: true,
        wall_ms: Some(1_004_000),
        independent: true,
    };
    assert_eq!(last, expected);
    assert_eq!(stream.segment_bytes("source", 3).unwrap(), [part(3, 0), part(3, 1), part(3, 2)].concat());
    assert_eq!(stream.live(), Some(live(0, true)));
    begin(&stream, &rendition, 4, true);
    assert!(
        stream
            .begin_segment(&rendition, OpenSegment { number: 9, ..rendition.window().open.unwrap() })
            .is_err()
    );
}

#[test]
fn the_window_is_the_same_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (stream, rendition) = open_stream(&Store::open(dir.path()).unwrap(), 20, false);
        fill(&stream, &rendition, 1..=3);
        begin(&stream, &rendition, 4, true);
        stream.append_part(&rendition, part(4, 0), 2000, true);
        fill(&stream, &rendition, 5..=18);
        written(&stream);
    }
    let stream = Store::open(dir.path()).unwrap().get("one").unwrap();
    let window = stream.rendition("source").unwrap().window();
    assert_eq!((window.first_number(), window.last_number()), (9, 18));
    assert_eq!(window.discontinuity_sequence, 1);
    assert_eq!(stream.edge().borrow().segments, 18);
}

#[test]
fn what_had_just_left_the_list_can_be_fetched_for_a_while_after_a_restart_too() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (stream, rendition) = open_stream(&Store::open(dir.path()).unwrap(), 20, false);
        fill(&stream, &rendition, 1..=25);
        written(&stream);
        assert!(stream.segment_bytes("source", 5).is_ok(), "within a list's length of the first, 16");
        assert!(!rendition.segment_path(4).exists());
        // Left by a process that was killed before it could delete it.
        std::fs::write(rendition.segment_path(3), "old").unwrap();
    }
    let (stream, rendition) = open_stream(&Store::open(dir.path()).unwrap(), 20, false);
    assert_eq!((rendition.window().first_number(), rendition.window().last_number()), (16, 25));
    for number in 5..=25 {
        let whole: Vec<u8> = (0..4).flat_map(|index| part(number, index)).collect();
        assert_eq!(stream.segment_bytes("source", number).unwrap(), whole, "{number}");
    }
    assert!(stream.segment_bytes("source", 3).is_err() && !rendition.segment_path(3).exists());
    fill(&stream, &rendition, 26..=30);
    written(&stream);
    assert!(!rendition.segment_path(9).exists(), "its time is over, as without the restart");
    assert!(stream.segment_bytes("source", 10).is_ok());
    // A file that is not as it was written is not read, nor what lies before it.
    std::fs::write(rendition.segment_path(13), "torn").unwrap();
    drop((stream, rendition));
    let stream = Store::open(dir.path()).unwrap().get("one").unwrap();
    assert!(stream.segment_bytes("source", 14).is_ok());
    assert!(stream.segment_bytes("source", 13).is_err() && stream.segment_bytes("source", 12).is_err());
}

#[test]
fn a_recorded_stream_lists_everything_again_when_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (stream, rendition) = open_stream(&Store::open(dir.path()).unwrap(), 20, true);
    begin(&stream, &rendition, 1, true);
    stream.append_part(&rendition, part(1, 0), 2000, true);
    fill(&stream, &rendition, 2..=30);
    assert_eq!((rendition.window().first_number(), rendition.window().discontinuity_sequence), (21, 1));
    assert!(stream.segment_bytes("source", 2).is_ok(), "what is recorded can be fetched all along");
    begin(&stream, &rendition, 31, false);
    stream.append_part(&rendition, part(31, 0), 300, true);
    stream.complete_live().unwrap();
    for stream in [stream, Store::open(dir.path()).unwrap().get("one").unwrap()] {
        let window = stream.rendition("source").unwrap().window();
        assert_eq!((window.first_number(), window.last_number(), window.discontinuity_sequence), (1, 31, 0));
        assert!(window.parts.is_empty() && window.open.is_none());
        assert!(stream.edge().borrow().complete);
        assert_eq!(stream.segment_bytes("source", 31).unwrap(), part(31, 0));
    }
}

#[test]
fn without_recording_the_window_is_what_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (stream, rendition) = open_stream(&Store::open(dir.path()).unwrap(), 20, false);
    fill(&stream, &rendition, 1..=30);
    stream.complete_live().unwrap();
    assert_eq!(rendition.window().first_number(), 21);
    let again = Store::open(dir.path()).unwrap().get("one").unwrap();
    assert_eq!(again.rendition("source").unwrap().window().first_number(), 21);
}

/// Full from the moment that it is told so.
#[derive(Debug, Default)]
struct FullDisk(AtomicBool);

impl DiskWriter for FullDisk {
    fn append(&self, file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) {
            // A full disk takes what still fits.
            let _ = PlainDisk.append(file, path, &bytes[..bytes.len() / 2]);
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        PlainDisk.append(file, path, bytes)
    }
}

#[test]
fn a_full_disk_interrupts_the_recording_and_not_the_stream() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(FullDisk::default());
    let options = StoreOptions { writer: disk.clone(), ..StoreOptions::default() };
    let store = Store::open_with(dir.path(), options).unwrap();
    let (stream, rendition) = open_stream(&store, 0, true);
    fill(&stream, &rendition, 1..=3);
    written(&stream);
    disk.0.store(true, Ordering::Relaxed);
    fill(&stream, &rendition, 4..=6);
    written(&stream);
    assert!(stream.recording_failure().unwrap().contains("free space"), "{:?}", stream.recording_failure());
    fill(&stream, &rendition, 7..=100);
    let window = rendition.window();
    assert_eq!((window.first_number(), window.last_number()), (41, 100), "two minutes live on in memory");
    for number in 41..=100 {
        assert_eq!(stream.segment_bytes("source", number).unwrap().len(), 4 * part(number, 0).len());
    }
    let held = rendition.read().hot.len();
    assert!(held < 70, "memory is bounded: {held} segments");
    stream.complete_live().unwrap();
    let window = rendition.window();
    assert_eq!((window.first_number(), window.last_number()), (1, 100), "what is there is listed");
    assert!(window.segment(30).unwrap().is_gap() && !window.segment(41).unwrap().is_gap());
    let stored = Store::open(dir.path()).unwrap().get("one").unwrap();
    let window = stored.rendition("source").unwrap().window();
    assert_eq!(
        (window.first_number(), window.last_number()),
        (1, 3),
        "what was recorded before can be watched"
    );
}

/// A stream of which three segments are on a disk that is full from there on.
fn with_full_disk(
    record: bool,
) -> (tempfile::TempDir, Arc<FullDisk>, Store, Arc<StreamStore>, Arc<Rendition>) {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(FullDisk::default());
    let options = StoreOptions { writer: disk.clone(), ..StoreOptions::default() };
    let store = Store::open_with(dir.path(), options).unwrap();
    let (stream, rendition) = open_stream(&store, 0, record);
    fill(&stream, &rendition, 1..=3);
    begin(&stream, &rendition, 4, false);
    stream.append_part(&rendition, part(4, 0), 500, true);
    written(&stream);
    disk.0.store(true, Ordering::Relaxed);
    for index in 1..4 {
        stream.append_part(&rendition, part(4, index), 500, false);
    }
    stream.finish_segment(&rendition).unwrap();
    written(&stream);
    assert!(stream.recording_failure().is_some());
    (dir, disk, store, stream, rendition)
}

#[tokio::test]
async fn a_part_can_be_had_as_long_as_its_segment() {
    let chunk = |number: u32, index: u32| {
        let data = Bytes::from(format!("{number}.{index}"));
        let sample = crate::package::Sample { duration: 500, composition_offset: 0, key: index == 0, data };
        crate::package::media_segment(1, number * 10 + index, 0, &[sample]).unwrap()
    };
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let (stream, rendition) = open_stream(&store, 0, false);
    for number in 1..=3 {
        begin(&stream, &rendition, number, false);
        (0..4).for_each(|index| stream.append_part(&rendition, chunk(number, index), 500, index == 0));
        stream.finish_segment(&rendition).unwrap();
    }
    let ending = Arc::clone(&stream);
    tokio::task::spawn_blocking(move || ending.complete_live()).await.unwrap().unwrap();
    assert_eq!(rendition.part_bytes(2, 1), None, "it is not in memory any more");
    let again = Store::open(dir.path()).unwrap();
    for stream in [stream, again.get("one").unwrap()] {
        let rendition = stream.rendition("source").unwrap();
        let rows = [(2, 1, true), (1, 0, true), (3, 3, true), (3, 4, false), (4, 0, false), (0, 0, false)];
        for (segment, index, there) in rows {
            let read = stream.read_part(&rendition, segment, index).await.unwrap();
            assert_eq!(read, there.then(|| chunk(segment, index)), "{segment}.{index}");
        }
    }
}

#[test]
fn when_there_is_room_again_nothing_is_missing() {
    let (dir, disk, _store, stream, rendition) = with_full_disk(true);
    // While it lasts, a file beside the segments cannot be written either, nor a line of the journal be trusted.
    let journal = dir.path().join("streams/one/source/journal");
    fill(&stream, &rendition, 5..=20);
    let (_, index) = stream.live_rendition(info("source"), Bytes::from_static(b"other")).unwrap();
    assert_eq!(rendition.window().first_number(), 1, "what was listed stays so");
    std::fs::remove_file(dir.path().join("streams/one/source/init-1.mp4")).unwrap();
    disk.0.store(false, Ordering::Relaxed);
    begin(&stream, &rendition, 21, true);
    stream.append_part(&rendition, part(21, 0), 500, true);
    written(&stream);
    stream.append_part(&rendition, part(21, 1), 500, false);
    stream.finish_segment(&rendition).unwrap();
    let open = OpenSegment {
        number: 22,
        start: 42_000,
        init: index,
        discontinuity: false,
        wall_ms: None,
        independent: false,
    };
    stream.begin_segment(&rendition, open).unwrap();
    assert_eq!(stream.recording_failure(), None, "it is well again without a restart");
    stream.append_part(&rendition, part(22, 0), 500, true);
    written(&stream);
    let again = Store::open(dir.path()).unwrap().get("one").unwrap();
    let stored = again.rendition("source").unwrap();
    assert_eq!((stored.window().first_number(), stored.window().last_number()), (1, 22));
    for number in 1..=20 {
        let whole: Vec<u8> = (0..4).flat_map(|index| part(number, index)).collect();
        assert_eq!(again.segment_bytes("source", number).unwrap(), whole, "{number}");
    }
    assert_eq!(again.segment_bytes("source", 21).unwrap(), [part(21, 0), part(21, 1)].concat());
    assert_eq!(stored.init(1).as_deref(), Some(&b"other"[..]), "its init segment is there, too");
    assert!(!std::fs::read_to_string(journal).unwrap().is_empty());
    let left = std::fs::read_dir(dir.path().join("streams/one/source")).unwrap().flatten();
    let left: Vec<_> =
        left.map(|file| file.file_name()).filter(|n| n.to_string_lossy().contains("open")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_memory_could_not_hold_is_a_gap_of_the_recording() {
    let (dir, disk, _store, stream, rendition) = with_full_disk(true);
    fill(&stream, &rendition, 5..=100);
    disk.0.store(false, Ordering::Relaxed);
    fill(&stream, &rendition, 101..=102);
    stream.complete_live().unwrap();
    assert_eq!(stream.recording_failure(), None);
    for stream in [stream, Store::open(dir.path()).unwrap().get("one").unwrap()] {
        let window = stream.rendition("source").unwrap().window();
        assert_eq!((window.first_number(), window.last_number()), (1, 102));
        let gaps: Vec<_> = window.segments.iter().filter(|e| e.is_gap()).map(|e| e.number).collect();
        // What had just left the list was there still.
        assert_eq!(gaps, (4..=36).collect::<Vec<_>>());
        assert_eq!(stream.segment_bytes("source", 41).unwrap().len(), 4 * part(41, 0).len());
    }
}

#[test]
fn a_window_that_went_on_in_memory_is_the_one_on_the_disk_afterwards() {
    let (dir, disk, store, _, _) = with_full_disk(false);
    let (stream, rendition) = open_stream(&store, 20, false);
    fill(&stream, &rendition, 5..=60);
    disk.0.store(false, Ordering::Relaxed);
    fill(&stream, &rendition, 61..=62);
    written(&stream);
    let listed = rendition.window();
    assert_eq!((listed.first_number(), listed.last_number()), (53, 62));
    let again = Store::open(dir.path()).unwrap().get("one").unwrap();
    assert_eq!(again.rendition("source").unwrap().segments(), listed.segments);
}

#[test]
fn a_line_that_the_disk_took_in_part_does_not_spoil_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = journal::Journal::open(dir.path()).unwrap();
    let gap = |number: u32| SegmentEntry::plain(number, u64::from(number) * 10, 10, 0);
    journal.append(&gap(1), false).unwrap();
    journal.tear(b"2 20 1");
    journal.append(&gap(2), false).unwrap();
    let (_, listed) = journal::Journal::open(dir.path()).unwrap();
    assert_eq!(listed.entries, [gap(1), gap(2)]);
}

#[test]
fn another_init_segment_gets_the_next_index_and_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (stream, _) = open_stream(&Store::open(dir.path()).unwrap(), 0, false);
    let add =
        |bytes: &'static [u8]| stream.live_rendition(info("source"), Bytes::from_static(bytes)).unwrap().1;
    assert_eq!((add(b"other"), add(b"init"), add(b"other"), add(b"third")), (1, 0, 1, 2));
    let again = Store::open(dir.path()).unwrap().get("one").unwrap().rendition("source").unwrap();
    assert_eq!(again.init(1).as_deref(), Some(&b"other"[..]));
    assert_eq!((again.init(2).as_deref(), again.init(3)), (Some(&b"third"[..]), None));
}
