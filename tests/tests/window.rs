//! The real window on a display without a monitor.

use std::{path::Path, time::Duration};

use weir_tests::{
    Player, Server, fixture,
    screen::{Screen, until},
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
