//! TLS by rustls: one certificate that may be replaced while connections are open.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Largest certificate or key file in bytes: chains are a few kilobytes.
const LARGEST_FILE: u64 = 1 << 20;

/// Where the certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM file with the certificate, then its chain.
    pub certificate: PathBuf,
    /// PEM file with the private key (PKCS #8, PKCS #1 or SEC 1).
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {what} in {}: {source}", path.display())]
    Read {
        /// What it holds.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} holds no usable {what}: {why}; a PEM file is needed", path.display())]
    Pem {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Certificate and key do not belong together, or are of a kind that is not known.
    #[error("the certificate in {} and the key in {} cannot be used together: {source}", files.certificate.display(), files.key.display())]
    Pair {
        /// The pair.
        files: TlsFiles,
        /// What is wrong.
        source: rustls::Error,
    },
    /// The TLS library refused its settings.
    #[error("cannot set TLS up: {0}")]
    Library(#[from] rustls::Error),
}

impl TlsError {
    /// The file that it is about, where that is one of the two.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Read { path, .. } | Self::Pem { path, .. } => Some(path),
            Self::Pair { .. } | Self::Library(_) => None,
        }
    }
}

/// A certificate in use and where its successors will be.
#[derive(Debug)]
pub struct Tls {
    current: Arc<Current>,
    config: Arc<ServerConfig>,
    /// The pair's place, and when its files were changed when it was last read, good or bad.
    source: Mutex<(TlsFiles, Stamp)>,
}

/// Sizes and times of change of the two files.
type Stamp = [Option<(u64, SystemTime)>; 2];

#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Tls {
    /// Reads the pair. TLS 1.2 and 1.3 are spoken, HTTP/2 is preferred to HTTP/1.1.
    ///
    /// # Errors
    /// When a file cannot be read or the two do not belong together.
    pub fn open(files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        let stamp = stamp(&files);
        let current = Arc::new(Current(RwLock::new(Arc::new(read(&files)?))));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(Self { current, config: Arc::new(config), source: Mutex::new((files, stamp)) }))
    }

    /// The same certificate for a protocol that HTTP's names are not offered in.
    pub(crate) fn plain_acceptor(&self) -> TlsAcceptor {
        let mut config = ServerConfig::clone(&self.config);
        config.alpn_protocols.clear();
        TlsAcceptor::from(Arc::new(config))
    }

    /// What handshakes are done with.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }

    /// Reads the pair again, from `files` from now on. Open connections keep what they have; new ones get the new
    /// certificate. On an error the old one stays.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn reload(&self, files: TlsFiles) -> Result<(), TlsError> {
        let stamp = stamp(&files);
        let pair = read(&files);
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        // A bad pair is remembered with its times too, so that it is told once and not at every look.
        *source = (files, stamp);
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(pair?);
        Ok(())
    }

    /// Reads the pair again when one of its files has changed since the last look: `Ok(true)` when it did.
    ///
    /// # Errors
    /// As [`open`](Self::open), once for each change.
    pub fn reload_if_changed(&self) -> Result<bool, TlsError> {
        let files = {
            let source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
            if stamp(&source.0) == source.1 {
                return Ok(false);
            }
            source.0.clone()
        };
        self.reload(files).map(|()| true)
    }

    /// Looks for changed files every `interval` until `stop`.
    pub async fn watch(self: Arc<Self>, interval: Duration, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(interval) => {}
            }
            let tls = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || tls.reload_if_changed()).await {
                Ok(Ok(true)) => tracing::info!("the TLS certificate was replaced"),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::error!(%error, "the old TLS certificate stays in use"),
                Err(error) => tracing::error!(%error, "looking at the TLS files failed"),
            }
        }
    }
}

fn stamp(files: &TlsFiles) -> Stamp {
    [&files.certificate, &files.key].map(|path| {
        let data = fs::metadata(path).ok()?;
        Some((data.len(), data.modified().ok()?))
    })
}

fn read(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let (certificate, key) = ("certificate", "private key");
    let pem = |what: &'static str, path: &Path, why: &dyn std::fmt::Display| TlsError::Pem {
        what,
        path: path.to_owned(),
        why: why.to_string(),
    };
    let chain = CertificateDer::pem_slice_iter(&bytes(certificate, &files.certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| pem(certificate, &files.certificate, &error))?;
    if chain.is_empty() {
        return Err(pem(certificate, &files.certificate, &"there is no certificate in it"));
    }
    let secret = PrivateKeyDer::from_pem_slice(&bytes(key, &files.key)?)
        .map_err(|error| pem(key, &files.key, &error))?;
    let pair = |source| TlsError::Pair { files: files.clone(), source };
    let signing = rustls::crypto::ring::sign::any_supported_type(&secret).map_err(pair)?;
    let pair_of_both = CertifiedKey::new(chain, signing);
    pair_of_both.keys_match().map_err(pair)?;
    Ok(pair_of_both)
}

fn bytes(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let fail = |source| TlsError::Read { what, path: path.to_owned(), source };
    let length = fs::metadata(path).map_err(fail)?.len();
    if length > LARGEST_FILE {
        let why = format!("{length} bytes are more than any");
        return Err(TlsError::Pem { what, path: path.to_owned(), why });
    }
    fs::read(path).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_pair(folder: &Path, name: &str) -> TlsFiles {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let files = TlsFiles {
            certificate: folder.join(format!("{name}.crt")),
            key: folder.join(format!("{name}.key")),
        };
        fs::write(&files.certificate, made.cert.pem()).unwrap();
        fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        files
    }

    fn served(tls: &Tls) -> Vec<u8> {
        tls.current.0.read().unwrap().cert[0].to_vec()
    }

    #[test]
    fn a_changed_pair_is_taken_and_a_bad_one_is_told_once_and_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let files = write_pair(folder.path(), "a");
        let tls = Tls::open(files.clone()).unwrap();
        let first = served(&tls);
        assert!(!tls.reload_if_changed().unwrap());

        // Half of a new pair, as it lies there while a renewal is being written.
        let other = write_pair(folder.path(), "b");
        fs::copy(&other.certificate, &files.certificate).unwrap();
        filetime_later(&files.certificate, 10);
        assert!(matches!(tls.reload_if_changed(), Err(TlsError::Pair { .. })));
        assert!(!tls.reload_if_changed().unwrap(), "told once");
        assert_eq!(served(&tls), first);

        fs::copy(&other.key, &files.key).unwrap();
        filetime_later(&files.key, 10);
        assert!(tls.reload_if_changed().unwrap());
        assert_ne!(served(&tls), first);
    }

    fn filetime_later(path: &Path, seconds: u64) {
        let later = SystemTime::now() + Duration::from_secs(seconds);
        fs::File::options().write(true).open(path).unwrap().set_modified(later).unwrap();
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let good = write_pair(folder.path(), "good");
        let nonsense = folder.path().join("nonsense.pem");
        fs::write(&nonsense, "-----BEGIN CERTIFICATE-----\nAAAA").unwrap();
        let empty = folder.path().join("empty.pem");
        fs::write(&empty, "").unwrap();
        let rows = [
            (folder.path().join("missing.pem"), good.key.clone(), "missing.pem"),
            (nonsense, good.key.clone(), "nonsense.pem"),
            (empty.clone(), good.key.clone(), "empty.pem"),
            (good.certificate.clone(), empty, "empty.pem"),
            (good.certificate.clone(), good.certificate.clone(), "good.crt"),
        ];
        for (certificate, key, named) in rows {
            let error = Tls::open(TlsFiles { certificate, key }).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
