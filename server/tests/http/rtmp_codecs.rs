//! Enhanced RTMP with what real encoders make: HEVC, AV1, Opus.

use std::sync::Arc;

use gstreamer::prelude::*;
use gstreamer_app::AppSink;
use serde_json::json;
use weir_server::ingest::rtmp::{RtmpLimits, RtmpServer};

use super::rtmp_client::RtmpClient;
use super::support::{PATIENCE, Server};

/// A coded buffer: stamps in milliseconds.
struct Unit {
    dts: u32,
    offset: i32,
    key: bool,
    data: Vec<u8>,
}

/// What a pipeline with the appsink `out` makes, and its caps' `codec_data`.
fn encode(pipeline: &str) -> (Vec<u8>, Vec<Unit>) {
    gstreamer::init().unwrap();
    let text = format!("{pipeline} ! appsink name=out sync=false");
    let pipeline = gstreamer::parse::launch(&text).unwrap().downcast::<gstreamer::Bin>().unwrap();
    let sink = pipeline.by_name("out").unwrap().downcast::<AppSink>().unwrap();
    pipeline.set_state(gstreamer::State::Playing).unwrap();
    let (mut config, mut units) = (Vec::new(), Vec::new());
    let mut first = None;
    while let Ok(sample) = sink.pull_sample() {
        let caps = sample.caps().unwrap().structure(0).unwrap().to_owned();
        if let Ok(data) = caps.get::<gstreamer::Buffer>("codec_data") {
            config = data.map_readable().unwrap().to_vec();
        }
        let buffer = sample.buffer().unwrap();
        let pts = buffer.pts().unwrap().mseconds() as i64;
        let dts = buffer.dts().map_or(pts, |dts| dts.mseconds() as i64);
        let base = *first.get_or_insert(dts);
        units.push(Unit {
            dts: (dts - base) as u32,
            offset: (pts - dts) as i32,
            key: !buffer.flags().contains(gstreamer::BufferFlags::DELTA_UNIT),
            data: buffer.map_readable().unwrap().to_vec(),
        });
    }
    pipeline.set_state(gstreamer::State::Null).unwrap();
    assert!(units.len() > 50, "{} units of {text}", units.len());
    (config, units)
}

fn tag(first: u8, code: &[u8; 4], offset: Option<i32>, data: &[u8]) -> Vec<u8> {
    let mut body = vec![first];
    body.extend(code);
    if let Some(offset) = offset {
        body.extend(&offset.to_be_bytes()[1..]);
    }
    body.extend(data);
    body
}

async fn publish(code: &'static [u8; 4], video: &'static str, codecs: &str) {
    let (mut config, pictures) = tokio::task::spawn_blocking(move || encode(video)).await.unwrap();
    if code == b"av01" {
        // The parser names no configuration: the record's fixed part (profile 0, 4:2:0) and the sequence header.
        let [0x12, 0, rest @ ..] = &pictures[0].data[..] else { panic!("no temporal delimiter in front") };
        config = [&[0x81, 0, 0x0c, 0][..], &rest[..2 + usize::from(rest[1])]].concat();
    }
    let sound =
        "audiotestsrc num-buffers=150 samplesperbuffer=960 ! audio/x-raw,rate=48000,channels=2 ! opusenc";
    let (_, packets) = tokio::task::spawn_blocking(move || encode(sound)).await.unwrap();
    let server = Server::with(|_| {}, &[]).await;
    let rtmp = RtmpServer::bind(([127, 0, 0, 1], 0).into(), RtmpLimits::default()).await.unwrap();
    let address = rtmp.address();
    tokio::spawn(rtmp.serve(Arc::clone(&server.app), server.app.stop.clone()));
    let made = server
        .post_json("/api/stream/create", &json!({"id": "cam", "mode": "live", "dvr_s": 0}))
        .await
        .json();
    let (mut client, status) = RtmpClient::publish(address, made["stream_key"].as_str().unwrap()).await;
    assert_eq!(status, "NetStream.Publish.Start");

    client.video(0, &tag(0x90, code, None, &config)).await;
    let head = b"OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00";
    client.audio(0, &tag(0x90, b"Opus", None, head)).await;
    let mut packets = packets.iter().peekable();
    for unit in &pictures {
        while let Some(packet) = packets.next_if(|packet| packet.dts <= unit.dts) {
            client.audio(packet.dts, &tag(0x91, b"Opus", None, &packet.data)).await;
        }
        let offset = (code == b"hvc1").then_some(unit.offset);
        let frame = if unit.key { 0x91 } else { 0xa1 };
        client.video(unit.dts, &tag(frame, code, offset, &unit.data)).await;
    }
    let wait = async {
        let mut status = server.app.live.watch("cam").expect("a session");
        status.wait_for(|now| now.duration_ms >= 2000).await.map(|now| now.clone())
    };
    let Ok(Ok(now)) = tokio::time::timeout(PATIENCE, wait).await else {
        panic!("no media: {:?}", server.app.live.status("cam"));
    };
    let named: Vec<_> = now.tracks.iter().map(|track| track.codecs.clone()).collect();
    assert!(named.iter().any(|name| name.starts_with(codecs)), "{named:?}");
    assert!(named.iter().any(|name| name.eq_ignore_ascii_case("opus")), "{named:?}");
    assert_eq!(now.discontinuities, 0, "{:?}", now.warnings);
    let stopped = server.send("POST", "/api/stream/cam/stop", &[], "").await;
    assert_eq!(stopped.status, 200);
    let source = server.app.media("cam").unwrap().rendition("source").unwrap();
    assert_eq!((source.info().width, source.info().height), (320, 180), "read from the configuration");
    let (seconds, ticks) = (3.0, f64::from(source.info().timescale));
    let listed: f64 = source.window().segments.iter().map(|segment| segment.duration as f64 / ticks).sum();
    assert!((listed - seconds).abs() < 0.3, "{listed} s");
}

#[tokio::test]
async fn hevc_with_opus_passes_through() {
    let video = "videotestsrc num-buffers=75 ! video/x-raw,format=I420,width=320,height=180,framerate=25/1 ! \
                 x265enc key-int-max=25 speed-preset=ultrafast ! h265parse ! video/x-h265,stream-format=hvc1,alignment=au";
    publish(b"hvc1", video, "hvc1.").await;
}

#[tokio::test]
async fn av1_with_opus_passes_through() {
    let video = "videotestsrc num-buffers=75 ! video/x-raw,format=I420,width=320,height=180,framerate=25/1 ! \
                 av1enc keyframe-max-dist=25 cpu-used=8 usage-profile=realtime ! av1parse ! \
                 video/x-av1,stream-format=obu-stream,alignment=tu";
    publish(b"av01", video, "av01.").await;
}
