//! What handlers take from a request.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};

use super::files::protocol_of;
use crate::app::App;
use crate::catalog::valid_id;
use crate::http::{Peer, Problem};
use crate::viewers::{Protocol, Who};

/// A well-formed stream id from the path.
#[derive(Debug)]
pub struct StreamId(pub String);

impl<S: Send + Sync> FromRequestParts<S> for StreamId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = parameter(parts, state, "id").await?;
        if valid_id(&id) {
            Ok(Self(id))
        } else {
            Err(Problem::bad_request(
                "A stream's id has 1 to 64 of a-z, 0-9 and '-', and does not start with '-'.",
            ))
        }
    }
}

/// Protocol, rendition and file name from the path; not yet looked up.
#[derive(Debug)]
pub struct MediaPath {
    /// The one whose folder it is in.
    pub protocol: Protocol,
    /// The rendition's name.
    pub rendition: String,
    /// The file's name.
    pub file: String,
}

impl<S: Send + Sync> FromRequestParts<S> for MediaPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = parameters(parts, state).await?;
        let folder = one_of(&params, "protocol")?;
        let protocol = protocol_of(&folder).ok_or_else(nothing_there)?;
        Ok(Self { protocol, rendition: one_of(&params, "rendition")?, file: one_of(&params, "file")? })
    }
}

/// One parameter of the path, decoded.
pub async fn parameter<S: Send + Sync>(parts: &mut Parts, state: &S, name: &str) -> Result<String, Problem> {
    one_of(&parameters(parts, state).await?, name)
}

async fn parameters<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<RawPathParams, Problem> {
    RawPathParams::from_request_parts(parts, state)
        .await
        .map_err(|_| Problem::bad_request("The path is not valid UTF-8."))
}

fn one_of(params: &RawPathParams, name: &str) -> Result<String, Problem> {
    params.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).ok_or_else(nothing_there)
}

fn nothing_there() -> Problem {
    Problem::not_found("There is nothing at this path.")
}

/// The one who asks.
#[derive(Debug)]
pub struct Client {
    /// Address of the client: the socket's, or the one that a trusted proxy names.
    pub address: IpAddr,
    /// Signs of identity, for counting.
    pub who: Who,
    /// The connection; absent in tests without a socket.
    pub peer: Option<Peer>,
}

impl FromRequestParts<Arc<App>> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<Peer>().cloned();
        Ok(Self::of(app, peer, &parts.headers, &parts.uri))
    }
}

impl Client {
    /// The one who sent these headers over this connection.
    pub fn of(app: &App, peer: Option<Peer>, headers: &HeaderMap, uri: &Uri) -> Self {
        let socket = peer.as_ref().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.address.ip());
        let address = app.client_address(socket, headers);
        Self { address, who: Who::from_request(address, headers, uri.query()), peer }
    }
}
