//! HTTPS: which protocols, and a certificate that is replaced under open connections.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::process::{Process, until};
use super::support::{Answer, PATIENCE};

/// A pair for `localhost` under these names, and the certificate to trust.
fn write_pair(folder: &Path) -> rustls::pki_types::CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

fn client(
    trusted: &[rustls::pki_types::CertificateDer<'static>],
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

async fn connect(address: &str, connector: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await?;
    connector.connect(ServerName::try_from("localhost").unwrap(), socket).await
}

async fn ask(stream: &mut TlsStream<TcpStream>) -> u16 {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut got = vec![0; 4096];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut got)).await.unwrap().unwrap();
    Answer::parse(&got[..read]).status
}

fn start(folder: &Path, more: &[&str]) -> Process {
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let pair = ["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    Process::start(&folder.join("data"), &[&pair[..], more].concat())
}

#[tokio::test]
async fn both_versions_and_both_protocols_are_spoken() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = [write_pair(folder.path())];
    let server = start(folder.path(), &[]);
    assert_eq!(server.scheme, "https");
    type Row<'a> = (&'a [&'static SupportedProtocolVersion], &'a [&'a str], Option<&'a [u8]>);
    let rows: &[Row<'_>] = &[
        (&[&version::TLS12], &["http/1.1"], Some(b"http/1.1")),
        (&[&version::TLS13], &["http/1.1"], Some(b"http/1.1")),
        (&[&version::TLS13], &[], None),
        (&[&version::TLS12], &["h2", "http/1.1"], Some(b"h2")),
        (&[&version::TLS13], &["h2", "http/1.1"], Some(b"h2")),
    ];
    for (versions, alpn, expected) in rows {
        let mut stream = connect(&server.address, &client(&trusted, versions, alpn)).await.unwrap();
        let (_, session) = stream.get_ref();
        assert_eq!(session.alpn_protocol(), *expected, "{alpn:?}");
        assert_eq!(session.protocol_version(), Some(versions[0].version));
        if *expected != Some(b"h2") {
            assert_eq!(ask(&mut stream).await, 200);
        }
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let h2 = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_der(&trusted[0]).unwrap()])
        .build()
        .unwrap();
    let port = server.address.rsplit(':').next().unwrap();
    let answer = h2.get(format!("https://localhost:{port}/api/streams")).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_2));
}

#[tokio::test]
async fn a_new_certificate_is_taken_under_load_and_no_connection_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let first = write_pair(folder.path());
    let server = start(folder.path(), &[]);
    let old = client(std::slice::from_ref(&first), rustls::ALL_VERSIONS, &["http/1.1"]);
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(connect(&server.address, &old).await.unwrap());
    }
    let second = write_pair(folder.path());
    let new = client(&[second], rustls::ALL_VERSIONS, &["http/1.1"]);
    server.signal(rustix::process::Signal::HUP);
    // Requests go on over the old connections until a new one shows the new certificate.
    let swapped = async {
        while connect(&server.address, &new).await.is_err() {
            for stream in &mut open {
                assert_eq!(ask(stream).await, 200);
            }
        }
    };
    tokio::time::timeout(PATIENCE, swapped).await.expect("the new certificate is in use");
    for stream in &mut open {
        assert_eq!(ask(stream).await, 200, "opened before the swap");
    }
    // A client without a session to resume, which would spare it the certificate.
    let old = client(&[first], rustls::ALL_VERSIONS, &["http/1.1"]);
    assert!(connect(&server.address, &old).await.is_err(), "nobody gets the old certificate any more");

    // A bad pair changes nothing and is told; a good one is found without a signal.
    std::fs::write(folder.path().join("cert.pem"), "nonsense").unwrap();
    server.signal(rustix::process::Signal::HUP);
    let log = folder.path().join("log");
    until("the log tells of the bad pair", || {
        std::fs::read_to_string(&log).unwrap().contains("cert.pem holds no usable certificate")
    });
    assert_eq!(ask(&mut connect(&server.address, &new).await.unwrap()).await, 200);
    let third = write_pair(folder.path());
    let newest = client(&[third], rustls::ALL_VERSIONS, &["http/1.1"]);
    let swapped = async {
        while connect(&server.address, &newest).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, swapped).await.expect("changed files are found");
}

#[tokio::test]
async fn a_handshake_that_does_not_come_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = [write_pair(folder.path())];
    let server = start(folder.path(), &[]);
    let mut silent = Vec::new();
    for row in 0..100_u8 {
        let mut socket = TcpStream::connect(&server.address).await.unwrap();
        // Nothing, plain HTTP, half of a record, garbage.
        let bytes: &[u8] = match row % 4 {
            0 => b"",
            1 => b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            2 => b"\x16\x03\x01\x02\x00\x01",
            _ => &[row; 300],
        };
        let _ = socket.write_all(bytes).await;
        silent.push(socket);
    }
    let connector = client(&trusted, rustls::ALL_VERSIONS, &["http/1.1"]);
    assert_eq!(ask(&mut connect(&server.address, &connector).await.unwrap()).await, 200);
    assert_eq!(silent.len(), 100);
}

#[tokio::test]
async fn plain_http_is_sent_to_https_where_asked() {
    let folder = tempfile::tempdir().unwrap();
    write_pair(folder.path());
    let server = start(folder.path(), &["--redirect-http", "127.0.0.1:0"]);
    let log = folder.path().join("log");
    let mut plain = String::new();
    until("the second address is told", || {
        let text = std::fs::read_to_string(&log).unwrap();
        let line = text.lines().find(|line| line.contains("sending plain HTTP"));
        plain = line.and_then(|line| line.split("address=").nth(1)).unwrap_or("").trim().to_owned();
        !plain.is_empty()
    });
    let mut socket = TcpStream::connect(&plain).await.unwrap();
    socket
        .write_all(b"GET /stream/a?b=c HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut all = Vec::new();
    socket.read_to_end(&mut all).await.unwrap();
    let answer = Answer::parse(&all);
    let port = server.address.rsplit(':').next().unwrap();
    let expected = format!("https://localhost:{port}/stream/a?b=c");
    assert_eq!((answer.status, answer.header("location")), (308, Some(expected.as_str())));
}
