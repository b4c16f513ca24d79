//! Who counts, and as how many: one behaviour a test.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

const TARGET: Duration = Duration::from_secs(4);

struct Bench {
    clock: Arc<ManualClock>,
    viewers: Arc<Viewers>,
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let viewers = Arc::new(Viewers::new(clock.clone(), [3; 32]));
        viewers.open("a", TARGET);
        Self { clock, viewers }
    }

    fn seconds(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn segment(&self, who: &Who) {
        self.viewers.media("a", who, Protocol::Hls);
    }

    fn current(&self) -> u64 {
        self.viewers.count("a").current
    }
}

fn who(address: &str, headers: &[(&'static str, &str)], query: Option<&str>) -> Who {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    Who::from_request(address.parse::<IpAddr>().unwrap(), &map, query)
}

fn agent(address: &str, agent: &str) -> Who {
    who(address, &[("user-agent", agent)], None)
}

#[test]
fn nobody_watches_before_the_first_media_fetch() {
    let bench = Bench::new();
    bench.viewers.playlist("a", &agent("192.0.2.1", "mpv"));
    assert_eq!(bench.viewers.count("a"), Count::default());
}

#[test]
fn two_tabs_behind_one_address_are_two_when_they_name_their_sessions() {
    let bench = Bench::new();
    for sid in ["one", "two"] {
        let query = format!("CMCD=sid%3D%22{sid}%22%2Cbr%3D2800");
        bench.segment(&who("192.0.2.1", &[("user-agent", "Firefox")], Some(&query)));
    }
    let count = bench.viewers.count("a");
    assert_eq!((count.current, count.by_method.cmcd, count.total), (2, 2, 2));
}

#[test]
fn two_unnamed_players_behind_one_address_look_like_one_and_are_marked_as_a_guess() {
    let bench = Bench::new();
    bench.segment(&agent("192.0.2.1", "mpv"));
    bench.segment(&agent("192.0.2.1", "mpv"));
    bench.segment(&agent("192.0.2.1", "curl"));
    let count = bench.viewers.count("a");
    assert_eq!((count.current, count.by_method.heuristic), (2, 2));
    assert!((count.estimated_share - 1.0).abs() < f64::EPSILON);
}

#[test]
fn the_same_session_from_two_addresses_is_one() {
    let bench = Bench::new();
    bench.segment(&who("192.0.2.1", &[("cmcd-session", "sid=\"x\"")], None));
    bench.segment(&who("198.51.100.7", &[("cmcd-session", "sid=\"x\"")], None));
    assert_eq!(bench.current(), 1);
}

#[test]
fn keys_are_taken_in_order() {
    let bench = Bench::new();
    let token = bench.viewers.mint();
    let playback = [("x-playback-session-id", "p")];
    let rows = [
        (who("192.0.2.1", &playback, Some(&format!("sid={token}&CMCD=sid%3D%22c%22"))), Method::Exact),
        (who("192.0.2.1", &playback, Some("sid=forged.0000&CMCD=sid%3D%22c%22")), Method::Cmcd),
        (who("192.0.2.1", &playback, Some("s=x")), Method::Exact),
        (who("192.0.2.1", &[], Some(&format!("s={token}"))), Method::Exact),
        (who("192.0.2.1", &[], Some(&format!("CMCD=sid%3D%22{token}%22"))), Method::Exact),
        (who("192.0.2.1", &[], Some("s=forged")), Method::Heuristic),
        (who("192.0.2.1", &[], None), Method::Heuristic),
    ];
    for (who, method) in &rows {
        assert_eq!(bench.viewers.key_of("a", who).0, *method, "{who:?}");
    }
    // One token is one viewer by whichever way it comes.
    let ways: std::collections::HashSet<_> =
        [0, 3, 4].into_iter().map(|i| bench.viewers.key_of("a", &rows[i].0).1).collect();
    assert_eq!(ways.len(), 1);
}

#[test]
fn a_switch_of_rendition_or_protocol_keeps_one_viewer() {
    let bench = Bench::new();
    let x = who("192.0.2.1", &[("cmcd-session", "sid=\"x\"")], None);
    bench.viewers.media("a", &x, Protocol::Hls);
    bench.viewers.media("a", &x, Protocol::Hls);
    bench.viewers.media("a", &x, Protocol::Dash);
    let count = bench.viewers.count("a");
    assert_eq!((count.current, count.total), (1, 1));
    assert_eq!(count.by_protocol, ByProtocol { hls: 0, dash: 1, progressive: 0 });
}

#[test]
fn a_killed_client_is_gone_after_the_window() {
    let bench = Bench::new();
    bench.segment(&agent("192.0.2.1", "mpv"));
    bench.seconds(15);
    assert_eq!(bench.current(), 1);
    bench.seconds(1);
    assert_eq!(bench.current(), 0);
}

#[test]
fn the_window_grows_with_long_segments() {
    let bench = Bench::new();
    bench.viewers.open("a", Duration::from_secs(10));
    bench.segment(&agent("192.0.2.1", "mpv"));
    bench.seconds(30);
    assert_eq!(bench.current(), 1);
    bench.seconds(1);
    assert_eq!(bench.current(), 0);
}

#[test]
fn crawlers_and_prefetches_get_media_but_are_no_viewers() {
    let bench = Bench::new();
    bench.segment(&agent("192.0.2.1", "Mozilla/5.0 (compatible; Googlebot/2.1)"));
    bench.segment(&who(
        "192.0.2.2",
        &[("user-agent", "Chrome"), ("sec-purpose", "prefetch;prerender")],
        None,
    ));
    assert_eq!(bench.viewers.count("a").total, 0);
}

#[test]
fn an_init_segment_counts_only_after_a_playlist() {
    let bench = Bench::new();
    let mpv = agent("192.0.2.1", "mpv");
    bench.viewers.init("a", &mpv, Protocol::Hls);
    assert_eq!(bench.current(), 0);
    bench.viewers.playlist("a", &mpv);
    bench.viewers.init("a", &mpv, Protocol::Hls);
    assert_eq!(bench.current(), 1);
    let late = agent("192.0.2.9", "vlc");
    bench.viewers.playlist("a", &late);
    bench.seconds(16);
    bench.viewers.init("a", &late, Protocol::Hls);
    assert_eq!(bench.current(), 0);
}

#[test]
fn the_end_of_a_stream_sets_zero_at_once_and_late_deliveries_count_nobody() {
    let bench = Bench::new();
    bench.segment(&agent("192.0.2.1", "mpv"));
    let held = bench.viewers.hold("a", &agent("192.0.2.2", "curl"), Protocol::Progressive);
    assert_eq!(bench.current(), 2);
    bench.viewers.close("a");
    assert_eq!(bench.current(), 0);
    bench.segment(&agent("192.0.2.1", "mpv"));
    drop(held);
    assert_eq!(bench.viewers.count("a"), Count::default());
}

#[test]
fn peak_and_total_stay_when_viewers_leave() {
    let bench = Bench::new();
    for i in 1..=5 {
        bench.segment(&agent(&format!("192.0.2.{i}"), "mpv"));
    }
    bench.seconds(20);
    bench.segment(&agent("192.0.2.9", "mpv"));
    let count = bench.viewers.count("a");
    assert_eq!((count.current, count.peak, count.total), (1, 5, 6));
}

#[test]
fn a_named_session_that_returns_from_a_pause_is_not_counted_twice_in_the_total() {
    let bench = Bench::new();
    let x = who("192.0.2.1", &[("cmcd-session", "sid=\"x\"")], None);
    bench.segment(&x);
    bench.seconds(300);
    assert_eq!(bench.current(), 0);
    bench.segment(&x);
    let count = bench.viewers.count("a");
    assert_eq!((count.current, count.total), (1, 1));
}

#[test]
fn watch_time_runs_from_first_to_last_fetch() {
    let bench = Bench::new();
    let x = agent("192.0.2.1", "mpv");
    for _ in 0..10 {
        bench.segment(&x);
        bench.seconds(4);
    }
    assert!((bench.viewers.count("a").watch_seconds - 36.0).abs() < 0.05);
    bench.seconds(60);
    assert!((bench.viewers.count("a").watch_seconds - 36.0).abs() < 0.05);
}

#[test]
fn an_open_progressive_stream_counts_as_long_as_it_is_open() {
    let bench = Bench::new();
    let held = bench.viewers.hold("a", &agent("192.0.2.1", "curl"), Protocol::Progressive);
    bench.seconds(600);
    assert_eq!(bench.current(), 1);
    drop(held);
    bench.seconds(15);
    assert_eq!(bench.current(), 1);
    bench.seconds(1);
    assert_eq!(bench.current(), 0);
}

#[test]
fn a_guessed_session_lives_through_midnight_as_one() {
    let bench = Bench::new();
    bench.seconds(86_400 - 2);
    bench.segment(&agent("192.0.2.1", "mpv"));
    bench.seconds(4);
    bench.segment(&agent("192.0.2.1", "mpv"));
    let count = bench.viewers.count("a");
    assert_eq!((count.current, count.total), (1, 1));
}

#[test]
fn one_household_of_ipv6_is_its_64_bit_prefix() {
    let bench = Bench::new();
    bench.segment(&agent("2001:db8::1", "mpv"));
    bench.segment(&agent("2001:db8::2", "mpv"));
    bench.segment(&agent("2001:db8:0:1::1", "mpv"));
    assert_eq!(bench.current(), 2);
}

#[test]
fn streams_are_counted_apart_and_unknown_ones_not_at_all() {
    let bench = Bench::new();
    bench.viewers.open("b", TARGET);
    let x = agent("192.0.2.1", "mpv");
    bench.segment(&x);
    bench.viewers.media("b", &x, Protocol::Hls);
    bench.viewers.media("never-opened", &x, Protocol::Hls);
    assert_eq!(bench.current(), 1);
    assert_eq!(bench.viewers.count("b").current, 1);
    assert_eq!(bench.viewers.count("never-opened"), Count::default());
}

fn cmcd(list: &str) -> Who {
    let query: String =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("CMCD", list).finish();
    who("192.0.2.1", &[("user-agent", "player")], Some(&query))
}

#[test]
fn a_player_whose_buffer_is_full_stays_counted_as_long_as_it_lasts() {
    let bench = Bench::new();
    bench.segment(&cmcd("sid=\"x\",ot=v,bl=60000"));
    bench.seconds(60);
    assert_eq!(bench.current(), 1);
    bench.seconds(1);
    assert_eq!(bench.current(), 0);
    // Nobody is counted for an hour on the strength of one request.
    bench.segment(&cmcd("sid=\"y\",ot=v,bl=36000000"));
    bench.seconds(601);
    assert_eq!(bench.current(), 0);
}

#[test]
fn beats_keep_a_viewer_and_a_quit_ends_it_at_once() {
    let bench = Bench::new();
    bench.segment(&cmcd("sid=\"x\",ot=v,bl=4000"));
    let beat = |list: &str| bench.viewers.event("a", &cmcd(list));
    for _ in 0..6 {
        bench.seconds(10);
        assert!(beat("e=t,sta=a,sid=\"x\",v=2"), "a pause is watched as well");
    }
    assert_eq!(bench.current(), 1);
    assert!(beat("e=ps,sta=q,sid=\"x\",v=2"));
    let count = bench.viewers.count("a");
    assert_eq!((count.current, count.total), (0, 1));
    assert!((count.watch_seconds - 60.0).abs() < 0.05);
    // At the end of a film nobody watches any more; who plays it again is the same viewer.
    assert!(beat("e=ps,sta=p,sid=\"x\",v=2") && beat("e=ps,sta=e,sid=\"x\",v=2"));
    assert_eq!(bench.current(), 0);
    assert!(beat("e=ps,sta=p,sid=\"x\",v=2"));
    let count = bench.viewers.count("a");
    assert_eq!((count.current, count.total), (1, 1));
}

#[test]
fn behind_a_cache_that_gives_all_media_a_playing_event_makes_the_viewer() {
    let bench = Bench::new();
    let beat = |list: &str| bench.viewers.event("a", &cmcd(list));
    for list in ["e=ps,sta=s,sid=\"x\"", "e=ps,sta=d,sid=\"x\"", "e=ps,sta=p", "e=ps,sta=q,sid=\"x\""] {
        assert!(!beat(list), "{list}");
    }
    assert_eq!(bench.viewers.count("a").total, 0);
    assert!(beat("e=ps,sta=p,sid=\"x\",sf=d"));
    let count = bench.viewers.count("a");
    assert_eq!((count.current, count.by_protocol.dash, count.by_method.cmcd), (1, 1, 1));
    assert!(!bench.viewers.event("none", &cmcd("e=ps,sta=p,sid=\"x\"")));
}

#[test]
fn the_end_of_a_live_stream_empties_it_and_keeps_what_was_counted() {
    let bench = Bench::new();
    let x = cmcd("sid=\"x\",ot=v,br=2000");
    let _held = bench.viewers.hold("a", &agent("192.0.2.2", "curl"), Protocol::Progressive);
    bench.segment(&x);
    bench.viewers.end("a");
    let count = bench.viewers.count("a");
    assert_eq!((count.current, count.peak, count.total), (0, 2, 2));
    assert_eq!(bench.viewers.quality("a").sessions, 1);
    bench.segment(&x);
    let count = bench.viewers.count("a");
    assert_eq!((count.current, count.total), (1, 2), "the same session goes on with the recording");
}

#[test]
fn a_kicked_session_is_refused_for_a_while_and_others_are_not() {
    let bench = Bench::new();
    let (x, y) = (cmcd("sid=\"x\",ot=v"), cmcd("sid=\"y\",ot=v"));
    bench.segment(&x);
    bench.segment(&y);
    assert!(!bench.viewers.kicked("a", &x));
    let sid = format!("{:032x}", bench.viewers.key_of("a", &x).1);
    assert!(bench.viewers.list("a", 10).iter().any(|session| session.sid == sid));
    for wrong in ["", "x", "zz", &sid[1..], &"0".repeat(32)] {
        assert!(!bench.viewers.kick(wrong, Duration::from_secs(60)), "{wrong}");
    }
    assert!(bench.viewers.kick(&sid, Duration::from_secs(60)));
    assert_eq!(bench.current(), 1);
    assert!(bench.viewers.kicked("a", &x) && !bench.viewers.kicked("a", &y));
    assert!(!bench.viewers.event("a", &cmcd("e=ps,sta=p,sid=\"x\"")));
    bench.seconds(60);
    assert!(!bench.viewers.kicked("a", &x));
}

#[test]
fn the_list_tells_networks_and_not_addresses() {
    let bench = Bench::new();
    bench.segment(&agent("192.0.2.77", "mpv"));
    bench.segment(&agent("2001:db8:1:2::3", &"long ".repeat(100)));
    let list = bench.viewers.list("a", 10);
    let mut addresses: Vec<_> = list.iter().map(|session| session.address.as_str()).collect();
    addresses.sort_unstable();
    assert_eq!(addresses, ["192.0.2.0/24", "2001:db8:1::/48"]);
    assert!(list.iter().all(|session| session.agent.len() <= 96 && session.stalls.is_none()));
    assert_eq!(bench.viewers.list("a", 1).len(), 1);
}

#[test]
fn metrics_have_series_a_stream_and_a_bound_on_streams() {
    let bench = Bench::new();
    for n in 0..250 {
        bench.viewers.open(&format!("s{n}"), TARGET);
    }
    bench.segment(&cmcd("sid=\"x\",ot=v,br=2000,d=4000,bl=8000,bs"));
    bench.seconds(20);
    bench.segment(&cmcd("sid=\"y\",ot=v,br=2000,d=4000,bl=8000"));
    let mut text = String::new();
    bench.viewers.write_metrics(&mut text);
    for line in [
        "weir_viewers{stream=\"a\"} 1",
        "weir_viewer_sessions_total{stream=\"a\"} 2",
        "weir_viewers{stream=\"_rest\"} 0",
        "weir_qoe_bitrate_bits_per_second_bucket{stream=\"a\",le=\"1024000\"} 0",
        "weir_qoe_bitrate_bits_per_second_bucket{stream=\"a\",le=\"2048000\"} 1",
        "weir_qoe_stalls_total{stream=\"a\"} 1",
        "weir_qoe_reporting{stream=\"a\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    assert_eq!(text.lines().filter(|l| l.starts_with("weir_viewers{")).count(), 201);
    assert!(!text.contains("sid") && !text.contains("192.0.2"));
}

#[test]
fn reports_alone_make_only_so_many_viewers_of_one_network() {
    let bench = Bench::new();
    let play = |sid: &str| bench.viewers.event("a", &cmcd(&format!("e=ps,sta=p,bl=60000,sid=\"{sid}\"")));
    let believed = (0..500).filter(|n| play(&n.to_string())).count();
    assert_eq!((believed, bench.current()), (120, 120));
    assert!(play(&bench.viewers.mint()), "an id of ours is no invention");
    // Media counts as ever, and a minute later reports do again.
    bench.segment(&cmcd("sid=\"media\",ot=v"));
    assert_eq!(bench.current(), 122);
    bench.seconds(60);
    assert!(play("late"));
}
