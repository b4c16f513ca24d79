//! Deliveries to a real listener.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;

use super::*;
use crate::ingest::PublicInternet;
use crate::viewers::hmac_sha256;

const SECRET: &str = "0123456789abcdef-secret";
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
struct Anywhere;

impl FetchPolicy for Anywhere {
    fn allow_url(&self, _: &Url) -> Result<(), String> {
        Ok(())
    }

    fn allow_address(&self, _: IpAddr) -> bool {
        true
    }

    fn max_bytes(&self) -> u64 {
        0
    }
}

/// What came: the head in lower case, and the body.
type Came = (String, Vec<u8>);

/// Answers each connection's request with the next of `answers`, the last one for ever.
async fn receiver(answers: &'static [&'static str]) -> (SocketAddr, mpsc::Receiver<Came>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (came, requests) = mpsc::channel(64);
    tokio::spawn(async move {
        let mut number = 0;
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut all = Vec::new();
            let (head, length) = loop {
                let mut some = [0; 4096];
                let read = socket.read(&mut some).await.unwrap();
                all.extend_from_slice(&some[..read]);
                if let Some(end) = all.windows(4).position(|w| w == b"\r\n\r\n") {
                    let head = String::from_utf8(all.drain(..end + 4).collect()).unwrap().to_lowercase();
                    let length = head.split("content-length: ").nth(1).unwrap();
                    break (head.clone(), length.lines().next().unwrap().parse::<usize>().unwrap());
                }
                assert!(read > 0, "a whole head");
            };
            while all.len() < length {
                let mut some = [0; 4096];
                let read = socket.read(&mut some).await.unwrap();
                all.extend_from_slice(&some[..read]);
            }
            let answer = answers.get(number).or(answers.last()).unwrap();
            number += 1;
            let text = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            socket.write_all(text.as_bytes()).await.unwrap();
            if came.send((head, all)).await.is_err() {
                return;
            }
        }
    });
    (address, requests)
}

/// An address at which nobody listens, nor can as long as the socket is kept.
fn nobody() -> (SocketAddr, TcpSocket) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    (socket.local_addr().unwrap(), socket)
}

fn open(folder: &std::path::Path, policy: Arc<dyn FetchPolicy>, settings: &[HookSetting]) -> Arc<Webhooks> {
    let patience =
        Patience { waits: vec![Duration::from_millis(10), Duration::from_millis(20)], attempt: PATIENCE };
    Webhooks::open(folder.join("webhooks.json"), policy, settings, patience, CancellationToken::new())
        .unwrap()
}

fn hook(url: String) -> HookSetting {
    HookSetting { url, events: Vec::new(), secret: SECRET.into(), enabled: true }
}

fn event(kind: EventKind) -> Event {
    Event { kind, stream: "film".into(), data: json!({"title": "A film"}) }
}

async fn settled(hooks: &Webhooks, id: &str) -> Vec<Delivery> {
    let wait = async {
        while hooks.get(id).unwrap().waiting > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("deliveries settle");
    hooks.deliveries(id).unwrap()
}

#[tokio::test]
async fn an_event_arrives_signed_and_with_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let (address, mut requests) = receiver(&["204 No Content"]).await;
    let hooks = open(folder.path(), Arc::new(Anywhere), &[]);
    let id = hooks.add(hook(format!("http://{address}/in?x=1"))).unwrap().id;
    hooks.tell(&event(EventKind::Started));
    let (head, body) = tokio::time::timeout(PATIENCE, requests.recv()).await.unwrap().unwrap();
    assert!(head.starts_with("post /in?x=1 http/1.1\r\n"), "{head}");
    for line in ["content-type: application/json", "weir-event: stream.started", "weir-delivery: "] {
        assert!(head.contains(line), "{line}: {head}");
    }
    let signature = head.split("weir-signature: ").nth(1).unwrap().lines().next().unwrap();
    let (at, hex) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    assert!(unix_ms() / 1000 - at.parse::<u64>().unwrap() < 60);
    let signed = [at.as_bytes(), b".", body.as_slice()].concat();
    let expected: String =
        hmac_sha256(SECRET.as_bytes(), &[&signed]).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, expected);
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&body["type"], &body["stream"]), (&json!("stream.started"), &json!("film")));
    assert_eq!(body["data"]["title"], "A film");
    let log = settled(&hooks, &id).await;
    assert_eq!((log[0].state, log[0].status, log[0].attempts), (DeliveryState::Delivered, Some(204), 1));
    assert_eq!(log[0].id, body["id"]);
}

#[tokio::test]
async fn a_refused_delivery_is_repeated_with_the_same_id_and_given_up_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (address, mut requests) = receiver(&["500 No", "302 Elsewhere\r\nLocation: /x", "200 OK"]).await;
    let hooks = open(folder.path(), Arc::new(Anywhere), &[]);
    let id = hooks.add(hook(format!("http://{address}/"))).unwrap().id;
    hooks.tell(&event(EventKind::Failed));
    let log = settled(&hooks, &id).await;
    assert_eq!((log[0].state, log[0].attempts, log[0].status), (DeliveryState::Delivered, 3, Some(200)));
    let mut ids = Vec::new();
    for _ in 0..3 {
        let (_, body) = requests.recv().await.unwrap();
        ids.push(serde_json::from_slice::<Value>(&body).unwrap()["id"].clone());
    }
    assert!(ids.iter().all(|id| *id == ids[0]));

    let (address, _requests) = receiver(&["503 Busy"]).await;
    let id = hooks.add(hook(format!("http://{address}/"))).unwrap().id;
    hooks.ping(&id).unwrap();
    let log = settled(&hooks, &id).await;
    assert_eq!((log[0].state, log[0].attempts, log[0].event), (DeliveryState::Failed, 3, "ping"));
    assert_eq!(hooks.get(&id).unwrap().failed, 1);

    let (address, _requests) = receiver(&["410 Gone"]).await;
    let id = hooks.add(hook(format!("http://{address}/"))).unwrap().id;
    hooks.ping(&id).unwrap();
    assert_eq!(settled(&hooks, &id).await[0].attempts, 1, "it said that it is gone");
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_told_plainly() {
    let folder = tempfile::tempdir().unwrap();
    let (free, _kept) = nobody();
    let hooks = open(folder.path(), Arc::new(Anywhere), &[]);
    let id = hooks.add(hook(format!("http://{free}/"))).unwrap().id;
    hooks.ping(&id).unwrap();
    let log = settled(&hooks, &id).await;
    assert_eq!(log[0].state, DeliveryState::Failed);
    assert!(log[0].error.as_ref().unwrap().starts_with("cannot be reached"), "{:?}", log[0].error);
}

#[tokio::test]
async fn only_wanted_events_go_out_and_a_switched_off_hook_is_silent() {
    let folder = tempfile::tempdir().unwrap();
    let (address, _requests) = receiver(&["200 OK"]).await;
    let hooks = open(folder.path(), Arc::new(Anywhere), &[]);
    let wanted = HookSetting { events: vec![EventKind::ViewerPeak], ..hook(format!("http://{address}/")) };
    let id = hooks.add(wanted).unwrap().id;
    hooks.tell(&event(EventKind::Started));
    hooks.tell(&event(EventKind::ViewerPeak));
    assert_eq!(settled(&hooks, &id).await.len(), 1);
    hooks
        .change(&id, |setting| {
            setting.enabled = false;
            Ok(())
        })
        .unwrap();
    hooks.tell(&event(EventKind::ViewerPeak));
    assert_eq!(hooks.deliveries(&id).unwrap().len(), 1);
    assert!(matches!(hooks.ping(&id), Err(HookError::Off)));
}

#[tokio::test]
async fn private_addresses_are_refused_by_default_by_number_and_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let hooks = open(folder.path(), Arc::new(PublicInternet { max_bytes: 0 }), &[]);
    for url in [
        "http://127.0.0.1/",
        "http://[::1]:9/",
        "http://169.254.169.254/latest",
        "http://10.1.2.3/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "https://user:pass@example.org/",
        "not an address",
    ] {
        let refused = hooks.add(hook(url.to_owned()));
        assert!(matches!(refused, Err(HookError::Field { field: "url", .. })), "{url}: {refused:?}");
    }
    let short = HookSetting { secret: "short".into(), ..hook("https://example.org/".into()) };
    assert!(matches!(hooks.add(short), Err(HookError::Field { field: "secret", .. })));
    // A name is judged when it is resolved.
    let id = hooks.add(hook("http://localhost:9/".to_owned())).unwrap().id;
    hooks.ping(&id).unwrap();
    let log = settled(&hooks, &id).await;
    assert!(log[0].error.as_ref().unwrap().contains("not a host that this server may fetch from"), "{log:?}");
}

#[tokio::test]
async fn hooks_survive_a_restart_and_those_of_the_settings_are_not_kept() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let from_file = hook("https://settings.example/".into());
    let first = open(folder.path(), Arc::new(Anywhere), std::slice::from_ref(&from_file));
    let id = first.add(hook("https://example.org/a".into())).unwrap().id;
    let gone = first.add(hook("https://example.org/b".into())).unwrap().id;
    first.remove(&gone).unwrap();
    assert!(matches!(first.remove(&gone), Err(HookError::Missing)));
    let settings = first.list().into_iter().find(|hook| hook.from_settings).unwrap();
    assert!(matches!(first.remove(&settings.id), Err(HookError::FromSettings)));
    let mode = std::fs::metadata(folder.path().join("webhooks.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let second = open(folder.path(), Arc::new(Anywhere), &[]);
    let urls: Vec<_> = second.list().into_iter().map(|hook| (hook.id, hook.url)).collect();
    assert_eq!(urls, [(id, "https://example.org/a".to_owned())]);
    second.apply(std::slice::from_ref(&from_file));
    second.apply(&[from_file]);
    assert_eq!(second.list().len(), 2);
    second.apply(&[]);
    assert_eq!(second.list().len(), 1);
}

#[tokio::test]
async fn there_are_only_so_many() {
    let folder = tempfile::tempdir().unwrap();
    let hooks = open(folder.path(), Arc::new(Anywhere), &[]);
    for n in 0..MOST_HOOKS {
        hooks.add(hook(format!("https://example.org/{n}"))).unwrap();
    }
    assert!(matches!(hooks.add(hook("https://example.org/more".into())), Err(HookError::Full)));
}

/// The numbers of the events that came, in order.
async fn numbers(requests: &mut mpsc::Receiver<Came>, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let (_, body) = tokio::time::timeout(PATIENCE, requests.recv()).await.expect("it is told").unwrap();
        numbers.push(serde_json::from_slice::<Value>(&body).unwrap()["data"]["n"].as_u64().unwrap());
    }
    numbers
}

fn numbered(n: u64) -> Event {
    Event { data: json!({"n": n}), ..event(EventKind::Started) }
}

#[tokio::test]
async fn what_waits_when_the_server_stops_is_delivered_after_its_start_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (free, _kept) = nobody();
    let from_file = HookSetting { secret: "fedcba9876543210".into(), ..hook(format!("http://{free}/file")) };
    let (first_id, id) = {
        let patience = Patience { waits: vec![Duration::from_secs(3600)], attempt: PATIENCE };
        let stop = CancellationToken::new();
        let path = folder.path().join("webhooks.json");
        let settings = std::slice::from_ref(&from_file);
        let first = Webhooks::open(path, Arc::new(Anywhere), settings, patience, stop.clone()).unwrap();
        let id = first.add(hook(format!("http://{free}/"))).unwrap().id;
        for n in 0..20 {
            first.tell(&numbered(n));
        }
        while first.deliveries(&id).unwrap().iter().all(|delivery| delivery.attempts == 0) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        stop.cancel();
        // Told at the very end: nobody delivers any more.
        first.tell(&numbered(20));
        (first.deliveries(&id).unwrap().last().unwrap().id.clone(), id)
    };
    // A webhook that is gone leaves nothing.
    std::fs::create_dir_all(folder.path().join("outbox/gone")).unwrap();
    let patience = Patience { waits: vec![Duration::from_millis(100); 200], attempt: PATIENCE };
    let (path, settings) = (folder.path().join("webhooks.json"), std::slice::from_ref(&from_file));
    let second =
        Webhooks::open(path, Arc::new(Anywhere), settings, patience, CancellationToken::new()).unwrap();
    assert!(!folder.path().join("outbox/gone").exists());
    let listed = second.list();
    assert_eq!(listed.iter().filter(|hook| hook.from_settings).count(), 1);
    assert!(listed.iter().all(|hook| hook.waiting > 0), "{listed:?}");
    let (address, mut requests) = receiver(&["200 OK"]).await;
    second
        .change(&id, |setting| {
            setting.url = format!("http://{address}/");
            Ok(())
        })
        .unwrap();
    let log = settled(&second, &id).await;
    assert!(log.len() == 21 && log.iter().all(|d| d.state == DeliveryState::Delivered), "{log:?}");
    assert_eq!(numbers(&mut requests, 21).await, (0..=20).collect::<Vec<_>>());
    assert_eq!(log.last().unwrap().id, first_id, "under the same ids");
    assert_eq!(std::fs::read_dir(folder.path().join("outbox").join(&id)).unwrap().count(), 0);
    second.remove(&id).unwrap();
    assert!(!folder.path().join("outbox").join(&id).exists());
}

#[tokio::test]
async fn a_webhook_that_is_changed_during_an_attempt_is_tried_again_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let patience = Patience { waits: vec![Duration::from_secs(3600)], attempt: PATIENCE };
    let path = folder.path().join("webhooks.json");
    let hooks = Webhooks::open(path, Arc::new(Anywhere), &[], patience, CancellationToken::new()).unwrap();
    let before = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let id = hooks.add(hook(format!("http://{}/", before.local_addr().unwrap()))).unwrap().id;
    hooks.tell(&numbered(7));
    let (attempt, _) = tokio::time::timeout(PATIENCE, before.accept()).await.unwrap().unwrap();
    let (address, mut requests) = receiver(&["200 OK"]).await;
    hooks
        .change(&id, |setting| {
            setting.url = format!("http://{address}/");
            Ok(())
        })
        .unwrap();
    // Only now the attempt at the old address fails.
    drop((attempt, before));
    assert_eq!(numbers(&mut requests, 1).await, [7]);
}

#[tokio::test]
async fn what_waits_is_bounded_also_on_the_disk_and_rubbish_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let stop = CancellationToken::new();
    stop.cancel();
    let path = folder.path().join("webhooks.json");
    let hooks = Webhooks::open(path, Arc::new(Anywhere), &[], Patience::default(), stop).unwrap();
    let id = hooks.add(hook("https://example.org/".into())).unwrap().id;
    for n in 0..MOST_WAITING as u64 + 10 {
        hooks.tell(&numbered(n));
    }
    let box_of = folder.path().join("outbox").join(&id);
    assert_eq!(std::fs::read_dir(&box_of).unwrap().count(), MOST_WAITING);
    assert_eq!(hooks.get(&id).unwrap().failed, 10, "the rest is told as dropped");
    std::fs::write(box_of.join("0000000000000003.json"), b"{").unwrap();
    std::fs::write(box_of.join("notes.txt"), b"x").unwrap();
    let again = open(folder.path(), Arc::new(PublicInternet { max_bytes: 0 }), &[]);
    assert_eq!(again.deliveries(&id).unwrap().len(), MOST_WAITING - 1);
}
