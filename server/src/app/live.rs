//! What is done to live streams as a whole.

use std::net::SocketAddr;
use std::sync::Arc;

use super::App;
use crate::catalog::live::digest;
use crate::catalog::{CatalogError, State, Stream};
use crate::ingest::publishers::Publishers;

/// Why a publisher is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// No stream has this key. The message does not say which streams there are.
    #[error("no stream has this key; take the stream key from the server's admin page or API")]
    WrongKey,
    /// The stream was stopped.
    #[error("the stream \"{0}\" is stopped; start it first")]
    Stopped(String),
}

impl App {
    /// The live stream that a publisher's key opens. `name` is its id, when the publisher gives one beside the key.
    ///
    /// # Errors
    /// See [`Denied`].
    pub fn admit(&self, name: Option<&str>, key: &str) -> Result<Arc<Stream>, Denied> {
        let given = digest(key);
        let found = self.catalog.list().into_iter().find(|stream| {
            name.is_none_or(|name| name == stream.id)
                && stream.live.as_ref().is_some_and(|live| live.accepts(&given))
        });
        let stream = found.ok_or(Denied::WrongKey)?;
        match &stream.live {
            Some(live) if live.enabled => Ok(stream),
            _ => Err(Denied::Stopped(stream.id.clone())),
        }
    }

    /// Who publishes now.
    pub fn publishers(&self) -> &Publishers {
        &self.publishers
    }

    /// Sends a stream's publisher away; it may come back. Says whether there was one.
    pub fn kick(&self, id: &str) -> bool {
        let kicked = self.publishers.kick(id) > 0;
        if kicked {
            tracing::info!(stream = id, "the publisher is sent away");
        }
        kicked
    }

    /// Lets publishers in again.
    ///
    /// # Errors
    /// When the catalogue fails.
    pub async fn start_live(self: &Arc<Self>, stream: &Stream) -> Result<Arc<Stream>, CatalogError> {
        let change = |stream: &mut Stream| {
            if let Some(live) = &mut stream.live {
                live.enabled = true;
            }
            if stream.state != State::Live {
                stream.state = State::Idle;
            }
        };
        let stream = self.catalog.update(&stream.id, change).await?;
        Ok(stream)
    }

    /// Ends the stream, now and without a grace period, and lets no publisher in until it is started.
    ///
    /// # Errors
    /// When the catalogue fails.
    pub async fn stop_live(self: &Arc<Self>, stream: &Stream) -> Result<Arc<Stream>, CatalogError> {
        let change = |stream: &mut Stream| {
            if let Some(live) = &mut stream.live {
                live.enabled = false;
            }
            stream.state = State::Ended;
        };
        let stream = self.catalog.update(&stream.id, change).await?;
        tracing::info!(stream = stream.id, "stopped");
        Ok(stream)
    }

    /// Where publishers connect by RTMP: `rtmp://host[:port]/live`. A listener on every address is named as the
    /// request named this server.
    pub fn rtmp_url(&self, host: &str) -> Option<String> {
        let address = self.rtmp.get()?;
        let name = if address.ip().is_unspecified() { host_name(host) } else { literal(*address) };
        let port = if address.port() == 1935 { String::new() } else { format!(":{}", address.port()) };
        Some(format!("rtmp://{name}{port}/{}", crate::ingest::rtmp::APP))
    }

    /// Tells where RTMP listens. Only the first time counts.
    pub fn set_rtmp_address(&self, address: SocketAddr) {
        // A second listener of the same server would be one too many, and the first is as good.
        let _ = self.rtmp.set(address);
    }
}

fn literal(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    }
}

/// The name in a `Host` header, without its port.
fn host_name(host: &str) -> String {
    let name = match (host.starts_with('['), host.find(']')) {
        (true, Some(end)) => host.get(..=end).unwrap_or(""),
        _ => host.split(':').next().unwrap_or(""),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
    if name.is_empty() || !name.chars().all(plain) { "localhost".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_taken_without_their_port() {
        for (host, name) in [
            ("example.org:8080", "example.org"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]:8080", "[::1]"),
            ("", "localhost"),
            ("a b", "localhost"),
            ("<script>", "localhost"),
        ] {
            assert_eq!(host_name(host), name, "{host}");
        }
    }
}
