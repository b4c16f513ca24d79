//! The real window on a display without a monitor.

use std::{path::Path, time::Duration};

use serde_json::json;
use weir_abr::record::Event;
use weir_tests::{
    Home, Player, Server, fixture, http,
    screen::{Screen, Shot, until},
};

const WIDTH: usize = 640;
const HEIGHT: usize = 360;

#[test]
fn the_window_shows_the_picture_that_the_log_speaks_of() {
    let data = fixture::packaged().unwrap();
    let server = Server::start(data.path()).unwrap();
    let screen = Screen::start(WIDTH, HEIGHT).unwrap();
    let size = format!("{WIDTH}x{HEIGHT}");
    let mut player = Player::window(
        &server.hls(fixture::SHORT),
        &screen.display,
        &["--window-size", &size, "--cap", "1M", "--duration", "20"],
    )
    .unwrap();
    player.wait_for(Duration::from_secs(30), |log| log.position() > 0.5).unwrap();

    // The controls hide by themselves; then the whole picture, its code included, is on screen.
    let read = |player: &Player| -> anyhow::Result<Option<(u32, f64)>> {
        let code = screen.shot()?.luma().code();
        let position = player.log()?.position();
        Ok(code.map(|code| (code.frame, position)))
    };
    let mut seen = Vec::new();
    for _ in 0..6 {
        let (frame, position) = until(Duration::from_secs(10), || read(&player)).unwrap();
        assert!(
            (f64::from(frame) / 25.0 - position).abs() < 0.5,
            "frame {frame} is on screen while the log is at {position} s"
        );
        seen.push(frame);
        std::thread::sleep(Duration::from_millis(600));
    }
    assert!(seen.windows(2).all(|pair| pair[1] > pair[0] + 4), "the picture does not move on: {seen:?}");

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    screen.shot().unwrap().save(&folder.join("window.png")).unwrap();
    let log = player.finish(Duration::from_secs(40)).unwrap();
    assert_eq!(log.stalls(), 0, "{}", log.tail(20));
}

#[test]
fn the_window_lists_what_the_server_has_a_live_stream_among_it() {
    let data = fixture::packaged().unwrap();
    let server = Server::start(data.path()).unwrap();
    let body = json!({"id": "cam", "title": "Camera", "mode": "live"});
    assert_eq!(http::post_json(&format!("{}/api/stream/create", server.url), &body).unwrap().status, 201);
    let screen = Screen::start(WIDTH, HEIGHT).unwrap();
    let size = format!("{WIDTH}x{HEIGHT}");
    let _home = Home::window(&server.url, &screen.display, &["--window-size", &size]).unwrap();

    // The posters of the test cards have a bar of a colour that nothing else in the window has.
    let shown = until(Duration::from_secs(40), || {
        let shot = screen.shot()?;
        Ok((magenta(&shot) > 150).then_some(shot))
    });
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    screen.shot().unwrap().save(&folder.join("home.png")).unwrap();
    shown.expect("the list shows posters");
}

#[test]
fn subtitles_that_came_with_a_stream_are_written_into_its_picture() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_at(data.path(), 0, &["--rtmp", "off"]).unwrap();
    // A green that the test card does not have.
    let cue = "WEBVTT\n\n00:00.500 --> 00:08.000 line:40%\n<c.lime>WEIR</c>\n";
    let body = json!({
        "id": "said",
        "source": {"type": "testcard", "height": 240, "duration_s": 8},
        "subtitles": [{"lang": "de", "label": "Deutsch", "default": true, "text": "WEBVTT\n\n00:01.000 --> 00:02.000\nnein\n"},
                      {"lang": "en", "label": "English", "default": false, "text": cue}],
    });
    let created = http::post_json(&format!("{}/api/stream/create", server.url), &body).unwrap();
    assert_eq!(created.status, 201, "{}", String::from_utf8_lossy(&created.body));
    fixture::wait_ready(&server, "said", Duration::from_secs(60)).unwrap();
    let screen = Screen::start(WIDTH, HEIGHT).unwrap();
    let size = format!("{WIDTH}x{HEIGHT}");
    let args = ["--window-size", &size, "--subtitles", "en", "--duration", "12"];
    let mut player = Player::window(&server.hls("said"), &screen.display, &args).unwrap();
    player.wait_for(Duration::from_secs(30), |log| log.position() > 0.6).unwrap();

    let lime =
        |shot: &Shot| shot.rgb.chunks_exact(3).filter(|p| p[0] < 40 && p[1] > 220 && p[2] < 40).count();
    let written =
        until(Duration::from_secs(15), || Ok(Some(lime(&screen.shot()?)).filter(|count| *count > 60)));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    screen.shot().unwrap().save(&folder.join("subtitles.png")).unwrap();
    written.expect("the words are on screen");
    let log = player.finish(Duration::from_secs(40)).unwrap();
    let chosen = |event: &Event| matches!(event, Event::Subtitles { language: Some(language), .. } if language == "en");
    assert_eq!(log.count(chosen), 1, "{}", log.tail(40));
    assert_eq!(log.stalls(), 0, "{}", log.tail(40));
}

fn magenta(shot: &Shot) -> usize {
    shot.rgb.chunks_exact(3).filter(|p| p[0] > 140 && p[1] < 60 && p[2] > 140).count()
}
