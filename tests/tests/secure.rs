//! HTTPS from the real server: which certificates are accepted, and what is said of those that are not.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use weir_abr::record::Event;
use weir_tests::{Player, Server, fixture, process::program};

/// An authority of one's own.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = folder.join(format!("{name}.pem"));
        fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, file }
    }

    /// Writes a certificate for `host` and its key; whether it has expired.
    fn issue(&self, folder: &Path, host: &str, expired: bool) -> [PathBuf; 2] {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(if expired { 2021 } else { 2090 }, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = ["cert", "key"].map(|kind| folder.join(format!("{host}-{expired}-{kind}.pem")));
        fs::write(&files[0], certificate.pem()).unwrap();
        fs::write(&files[1], key.serialize_pem()).unwrap();
        files
    }
}

fn serve(data: &Path, [certificate, key]: &[PathBuf; 2]) -> Server {
    let args = [OsStr::new("--tls-cert"), certificate.as_ref(), OsStr::new("--tls-key"), key.as_ref()];
    Server::start_at(data, 0, &args).unwrap()
}

/// The address of the packaged stream at `localhost`.
fn address(server: &Server) -> String {
    format!("https://localhost:{}/stream/{}/hls/master.m3u8", server.port(), fixture::SHORT)
}

#[test]
fn plays_over_https_and_http_2_from_a_server_whose_authority_is_named() {
    let data = fixture::packaged().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "Own");
    let server = serve(data.path(), &authority.issue(folder.path(), "localhost", false));
    let trusted: [(&str, &OsStr); 1] = [("SSL_CERT_FILE", authority.file.as_ref())];

    let player = Player::headless_with(&address(&server), &["--duration", "6"], &trusted).unwrap();
    let log = player.finish(Duration::from_secs(40)).unwrap();

    assert!(log.position() > 3.0, "{}", log.tail(20));
    assert_eq!(log.stalls(), 0, "{}", log.tail(40));
    let over_2 =
        |event: &Event| matches!(event, Event::Manifest { http: Some(http), .. } if http == "HTTP/2.0");
    assert!(log.count(over_2) >= 2, "{}", log.tail(60));
}

#[test]
fn says_what_is_wrong_with_a_certificate_and_what_to_do() {
    let data = fixture::packaged().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (Authority::new(folder.path(), "Own"), Authority::new(folder.path(), "Other"));
    let good = own.issue(folder.path(), "localhost", false);
    let rows = [
        (&other, good, "an authority that this machine does not trust"),
        (&own, own.issue(folder.path(), "localhost", true), "has expired"),
        (&own, own.issue(folder.path(), "elsewhere.test", false), "is for another host than localhost"),
    ];
    for (trusted, pair, expected) in rows {
        let server = serve(data.path(), &pair);
        let output = Command::new(program("weir"))
            .args(["play", &address(&server), "--headless"])
            .env("SSL_CERT_FILE", &trusted.file)
            .env("XDG_STATE_HOME", folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("localhost") && message.contains("SSL_CERT_FILE"), "{message}");
        assert!(!message.contains("panicked"), "{message}");
    }
}
