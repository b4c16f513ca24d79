//! Requests against a server that misbehaves.

mod support;

use std::time::{Duration, Instant};

use support::server::{Fault, Server, Site};
use weir_abr::planner::Failure;
use weir_engine::net::{Ask, Http, Limits, NetError, Progress, Retry, SegmentFetcher};
use weir_manifest::model::{Encryption, Resource, Segment};

fn limits() -> Limits {
    Limits { connect: Duration::from_secs(2), idle: Duration::from_millis(400), ..Limits::default() }
}

fn ask(server: &Server, path: &str) -> Ask {
    Ask { url: server.url(path), range: None, limit: 1 << 20, compressed: false, idle: limits().idle }
}

#[tokio::test]
async fn tells_head_progress_and_gives_the_body() {
    let site = Site::default();
    site.put("/a", vec![7u8; 500_000]);
    let server = Server::start(&site);
    let mut steps = Vec::new();
    let body = Http::new(limits()).unwrap().get(ask(&server, "/a"), |step| steps.push(step)).await.unwrap();
    assert_eq!(body.bytes.len(), 500_000);
    assert_eq!(steps.first(), Some(&Progress::Head(Some(500_000))));
}

#[tokio::test]
async fn sorts_failures_into_kinds() {
    let site = Site::default();
    site.put("/a", vec![7u8; 5000]);
    let server = Server::start(&site);
    let http = Http::new(limits()).unwrap();

    let error = http.get(ask(&server, "/none"), |_| ()).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Status(404));

    site.fault("/a", Fault::Truncate, 1);
    let error = http.get(ask(&server, "/a"), |_| ()).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Truncated, "{error}");

    site.fault("/a", Fault::Delay(Duration::from_secs(5)), 1);
    let error = http.get(ask(&server, "/a"), |_| ()).await.unwrap_err();
    assert!(matches!(error, NetError::Idle { .. }), "{error}");

    let error = http.get(Ask { limit: 100, ..ask(&server, "/a") }, |_| ()).await.unwrap_err();
    assert!(matches!(error, NetError::TooLarge { .. }), "{error}");

    let gone = server.url("/a");
    drop(server);
    let error = http
        .get(Ask { url: gone, range: None, limit: 100, compressed: false, idle: limits().idle }, |_| ())
        .await
        .unwrap_err();
    assert!(matches!(error, NetError::Connect { .. } | NetError::Lost { .. }), "{error}");
    assert_eq!(error.failure(), Failure::Network);
}

#[tokio::test]
async fn a_server_without_ranges_gives_the_asked_part_all_the_same() {
    let site = Site::default();
    site.put("/a", (0..=255u8).collect::<Vec<_>>());
    let server = Server::start(&site);
    let http = Http::new(limits()).unwrap();
    let body = http.get(Ask { range: Some(10..13), ..ask(&server, "/a") }, |_| ()).await.unwrap();
    assert_eq!(body.bytes.as_ref(), [10, 11, 12]);
    let error = http.get(Ask { range: Some(250..300), ..ask(&server, "/a") }, |_| ()).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Truncated, "{error}");
}

#[tokio::test]
async fn a_text_is_tried_again_until_it_comes() {
    let site = Site::default();
    site.put("/a.m3u8", "#EXTM3U\n");
    site.fault("/a.m3u8", Fault::Status(503), 2);
    let server = Server::start(&site);
    let retry = Retry { tries: 3, first: Duration::from_millis(5), longest: Duration::from_millis(20) };
    let http = Http::new(limits()).unwrap();
    let mut failures = 0;
    let resource = Resource { url: server.url("/a.m3u8"), range: None };
    let document = http.document(&resource, retry, limits().idle, |_, _| failures += 1).await.unwrap();
    assert_eq!((document.bytes.as_ref(), failures), (&b"#EXTM3U\n"[..], 2));
    assert_eq!(document.content_type.as_deref(), Some("application/vnd.apple.mpegurl"));

    site.fault("/a.m3u8", Fault::Status(503), 3);
    let error = http.document(&resource, retry, limits().idle, |_, _| ()).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Status(503));
}

#[tokio::test]
async fn dropping_a_request_leaves_the_others_alone() {
    let site = Site::default();
    site.put("/slow", vec![0u8; 100]);
    site.put("/fast", vec![0u8; 100]);
    site.fault("/slow", Fault::Delay(Duration::from_millis(300)), 1);
    let server = Server::start(&site);
    let http = Http::new(limits()).unwrap();
    let from = Instant::now();
    let slow = tokio::spawn({
        let (http, ask) = (http.clone(), ask(&server, "/slow"));
        async move { http.get(ask, |_| ()).await.map(|_| ()) }
    });
    tokio::task::yield_now().await;
    slow.abort();
    assert!(slow.await.unwrap_err().is_cancelled());
    assert_eq!(http.get(ask(&server, "/fast"), |_| ()).await.unwrap().bytes.len(), 100);
    assert!(from.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn init_segment_and_key_are_fetched_once() {
    let site = Site::default();
    site.put("/init", &b"\0\0\0\x08ftyp"[..]);
    site.put("/key", vec![1u8; 16]);
    // "weir", encrypted with the key of ones and the IV of zeros.
    let cipher = {
        use aes::cipher::{BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7};
        cbc::Encryptor::<aes::Aes128>::new(&[1; 16].into(), &[0; 16].into())
            .encrypt_padded_vec::<Pkcs7>(b"weir")
    };
    site.put("/media", cipher);
    let server = Server::start(&site);
    let segment = Segment {
        number: 0,
        start: Duration::ZERO,
        duration: Duration::from_secs(1),
        media: Resource { url: server.url("/media"), range: None },
        init: Some(Resource { url: server.url("/init"), range: None }),
        discontinuity: 0,
        media_time_offset: None,
        encryption: Some(Encryption::Aes128 { key: server.url("/key"), iv: [0; 16] }),
        size: None,
        gap: false,
        growing: false,
        parts: None,
        program_date_time: None,
    };
    let fetcher = SegmentFetcher::new(Http::new(limits()).unwrap());
    for _ in 0..3 {
        let body = fetcher.fetch(&segment, |_| ()).await.unwrap();
        assert_eq!(body.media.as_ref(), b"weir");
        assert!(body.init.is_some());
    }
    let mut requests = site.requests();
    requests.sort();
    assert_eq!(requests, ["/init", "/key", "/media", "/media", "/media"]);

    let drm = Segment { encryption: Some(Encryption::Unsupported("SAMPLE-AES".to_owned())), ..segment };
    assert_eq!(fetcher.fetch(&drm, |_| ()).await.unwrap_err().failure(), Failure::Unplayable);
}

#[tokio::test]
async fn a_server_that_is_busy_is_asked_again_when_it_says() {
    let site = Site::default();
    site.put("/a.m3u8", "#EXTM3U\n");
    site.fault("/a.m3u8", Fault::Busy(1), 1);
    let server = Server::start(&site);
    let retry = Retry { tries: 2, first: Duration::from_millis(5), longest: Duration::from_millis(20) };
    let http = Http::new(limits()).unwrap();
    let resource = Resource { url: server.url("/a.m3u8"), range: None };
    let mut waits = Vec::new();
    http.document(&resource, retry, limits().idle, |_, wait| waits.push(wait)).await.unwrap();
    assert_eq!(waits, [Duration::from_secs(1)]);
}

#[tokio::test]
async fn bodies_that_are_compressed_unasked_or_of_unknown_length_come_whole() {
    let site = Site::default();
    let all: Vec<u8> = (0..200_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 9) as u8).collect();
    site.put("/a", all.clone());
    let server = Server::start(&site);
    let http = Http::new(limits()).unwrap();
    site.fault("/a", Fault::Unsized, 1);
    let mut steps = Vec::new();
    let body = http.get(ask(&server, "/a"), |step| steps.push(step)).await.unwrap();
    assert_eq!((body.bytes.as_ref(), steps.first()), (&*all, Some(&Progress::Head(None))));
    site.fault("/a", Fault::Gzip, 2);
    let resource = Resource { url: server.url("/a"), range: None };
    let document = http.document(&resource, Retry::PLAYING, limits().idle, |_, _| ()).await.unwrap();
    assert_eq!(document.bytes.as_ref(), all);
}

#[tokio::test]
async fn a_document_says_where_it_was_found_in_the_end() {
    let site = Site::default();
    site.put("/b/real.m3u8", "#EXTM3U\n");
    site.fault("/old.m3u8", Fault::Moved("b/next.m3u8"), 1);
    site.fault("/b/next.m3u8", Fault::Moved("real.m3u8"), 1);
    let server = Server::start(&site);
    let http = Http::new(limits()).unwrap();
    let resource = Resource { url: server.url("/old.m3u8"), range: None };
    let document = http.document(&resource, Retry::PLAYING, limits().idle, |_, _| ()).await.unwrap();
    assert_eq!(document.url, server.url("/b/real.m3u8"));
    // A circle ends.
    site.fault("/c", Fault::Moved("/c"), u32::MAX);
    let resource = Resource { url: server.url("/c"), range: None };
    let error = http.document(&resource, Retry::PLAYING, limits().idle, |_, _| ()).await.unwrap_err();
    assert!(error.to_string().contains("redirects lead nowhere"), "{error}");
}
