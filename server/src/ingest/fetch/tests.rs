use std::io::{BufRead, BufReader};
use std::net::TcpListener;

use super::*;

/// Lets loopback through but for the ports it is told to refuse.
#[derive(Debug)]
struct Loopback {
    max_bytes: u64,
    refused_port: Option<u16>,
}

impl FetchPolicy for Loopback {
    fn allow_url(&self, url: &Url) -> Result<(), String> {
        if url.port() == self.refused_port && self.refused_port.is_some() {
            return Err("that port is closed to you".to_owned());
        }
        Ok(())
    }
    fn allow_address(&self, address: IpAddr) -> bool {
        address.is_loopback()
    }
    fn max_bytes(&self) -> u64 {
        self.max_bytes
    }
}

/// Answers every connection with the same bytes.
fn serve(answer: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::Builder::new()
        .name("answers".to_owned())
        .spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut line = String::new();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                    line.clear();
                }
                let _ = stream.write_all(&answer);
            }
        })
        .unwrap();
    port
}

fn body(length: usize) -> Vec<u8> {
    let mut answer =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n").into_bytes();
    answer.extend(std::iter::repeat_n(b'x', length));
    answer
}

fn redirect_to(url: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nlocation: {url}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        .into_bytes()
}

async fn get(port: u16, policy: impl FetchPolicy + 'static) -> (Result<u64, FetchError>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let url = Url::parse(&format!("http://127.0.0.1:{port}/film.mp4")).unwrap();
    let result = fetch(&url, &dir.path().join("source"), Arc::new(policy), |_, _| true).await;
    let left = std::fs::read_dir(dir.path()).unwrap().flatten();
    (result, left.map(|e| e.file_name().into_string().unwrap()).collect())
}

#[tokio::test]
async fn a_download_arrives_whole() {
    let policy = Loopback { max_bytes: 100_000, refused_port: None };
    let (result, left) = get(serve(body(70_000)), policy).await;
    assert_eq!(result.unwrap(), 70_000);
    assert_eq!(left, ["source"]);
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_leaves_nothing() {
    let (result, left) = get(serve(body(70_000)), Loopback { max_bytes: 10_000, refused_port: None }).await;
    assert!(matches!(result, Err(FetchError::TooLarge { .. })), "{result:?}");
    assert!(left.is_empty());
    // The same without a length to judge by beforehand.
    let mut endless = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
    endless.extend(std::iter::repeat_n(b'x', 70_000));
    let (result, left) = get(serve(endless), Loopback { max_bytes: 10_000, refused_port: None }).await;
    assert!(matches!(result, Err(FetchError::TooLarge { .. })), "{result:?}");
    assert!(left.is_empty());
}

#[tokio::test]
async fn a_redirect_to_where_it_must_not_go_is_not_followed() {
    let secret = serve(body(10));
    let port = serve(redirect_to(&format!("http://127.0.0.1:{secret}/")));
    let (result, left) = get(port, Loopback { max_bytes: 1000, refused_port: Some(secret) }).await;
    assert!(result.unwrap_err().to_string().contains("redirect refused"));
    assert!(left.is_empty());
    let (result, _) = get(port, Loopback { max_bytes: 1000, refused_port: None }).await;
    assert_eq!(result.unwrap(), 10, "the same redirect is followed where it may go");
}

#[tokio::test]
async fn the_default_policy_keeps_to_public_addresses() {
    let (result, _) = get(serve(body(10)), PublicInternet { max_bytes: 1000 }).await;
    assert!(matches!(result, Err(FetchError::Forbidden { .. })), "{result:?}");
    let url = Url::parse("http://localhost:1/x").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let policy = Arc::new(PublicInternet { max_bytes: 1000 });
    let error = fetch(&url, &dir.path().join("x"), policy, |_, _| true).await.unwrap_err().to_string();
    assert!(error.contains("not a host"), "{error}");
}

#[tokio::test]
async fn an_error_status_and_a_dead_server_are_told() {
    let policy = || Loopback { max_bytes: 1000, refused_port: None };
    let gone = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec();
    assert!(get(serve(gone), policy()).await.0.unwrap_err().to_string().contains("404"));
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert!(matches!(get(free, policy()).await.0, Err(FetchError::Network { .. })));
    let short = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\nconnection: close\r\n\r\nxxx".to_vec();
    assert!(matches!(get(serve(short), policy()).await.0, Err(FetchError::Network { .. })));
}

#[test]
fn private_addresses_are_told_from_public_ones() {
    for private in [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "ff02::1",
    ] {
        assert!(!is_public(private.parse().unwrap()), "{private}");
    }
    for public in ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8"] {
        assert!(is_public(public.parse().unwrap()), "{public}");
    }
}

fn getter(policy: Loopback) -> Getter {
    Getter::new(Arc::new(policy)).unwrap()
}

fn address(port: u16) -> Url {
    Url::parse(&format!("http://user:pass@127.0.0.1:{port}/live/1.m4s?token=secret")).unwrap()
}

const OPEN: Loopback = Loopback { max_bytes: 1 << 30, refused_port: None };
const WITHIN: Limits = Limits { bytes: 10_000, time: Duration::from_secs(20) };

#[tokio::test]
async fn small_downloads_keep_to_their_limits_and_tell_no_secrets() {
    let good = getter(OPEN).get(&address(serve(body(9000))), None, WITHIN).await.unwrap();
    assert_eq!(good.1.len(), 9000);
    let mut endless = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
    endless.extend(std::iter::repeat_n(b'x', 70_000));
    for answer in [body(70_000), endless] {
        let error = getter(OPEN).get(&address(serve(answer)), None, WITHIN).await.unwrap_err();
        assert!(matches!(error, FetchError::TooLarge { limit: 10_000, .. }), "{error}");
        assert!(!error.to_string().contains("secret") && !error.to_string().contains("pass"), "{error}");
    }
    // A body that never ends although bytes keep coming would be the same.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let short = Limits { time: Duration::from_millis(200), ..WITHIN };
    let error =
        getter(OPEN).get(&address(silent.local_addr().unwrap().port()), None, short).await.unwrap_err();
    assert!(matches!(error, FetchError::TooSlow { .. }), "{error}");
}

#[tokio::test]
async fn a_redirect_of_a_segment_is_under_the_policy_too() {
    let secret = serve(body(10));
    let port = serve(redirect_to(&format!("http://127.0.0.1:{secret}/")));
    let closed = Loopback { refused_port: Some(secret), ..OPEN };
    let error = getter(closed).get(&address(port), None, WITHIN).await.unwrap_err().to_string();
    assert!(error.contains("redirect refused"), "{error}");
    let (end, _) = getter(OPEN).get(&address(port), None, WITHIN).await.unwrap();
    assert_eq!(end.port(), Some(secret), "addresses in a playlist count from where it was in the end");
    let public = Getter::new(Arc::new(PublicInternet { max_bytes: 1000 })).unwrap();
    let error = public.get(&address(port), None, WITHIN).await.unwrap_err();
    assert!(matches!(error, FetchError::Forbidden { .. }), "{error}");
    let round = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let round = serve(redirect_to(&format!("http://127.0.0.1:{round}/")));
    assert!(getter(OPEN).get(&address(round), None, WITHIN).await.is_err());
}

#[tokio::test]
async fn ranges_are_cut_out_of_whole_answers() {
    let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\n0123456789".to_vec();
    let range = |offset, length| Some(ByteRange { offset, length });
    let port = serve(whole);
    let (_, bytes) = getter(OPEN).get(&address(port), range(3, 4), WITHIN).await.unwrap();
    assert_eq!(bytes.as_ref(), b"3456");
    assert!(getter(OPEN).get(&address(port), range(8, 4), WITHIN).await.is_err(), "it is shorter");
    let partial =
        b"HTTP/1.1 206 Partial Content\r\ncontent-length: 4\r\nconnection: close\r\n\r\n3456".to_vec();
    let (_, bytes) = getter(OPEN).get(&address(serve(partial)), range(3, 4), WITHIN).await.unwrap();
    assert_eq!(bytes.as_ref(), b"3456");
}
