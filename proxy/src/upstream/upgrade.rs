//! Requests that turn their connection into something else: exec, attach, port-forward, WebSockets.
//!
//! Each has an HTTP/1.1 connection of its own. Nothing of what the caller sends behind its request goes
//! out before the API server has answered 101, for there is nothing here that could carry it.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use gangplank_apiserver::{Connector, DialError, Offer};
use http::header::UPGRADE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::upgrade::{OnUpgrade, Upgraded};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::error::UpstreamError;
use super::exchange::classify;
use super::h1_connection;
use crate::body::UpstreamBody;

/// What the API server answered to a request for an upgrade.
#[derive(Debug)]
pub enum UpgradeAnswer {
    /// It switched to the protocol that was asked for.
    Switched {
        /// The 101, for its headers.
        response: Response<()>,
        /// The connection, beginning with the first byte behind the 101.
        io: Upgraded,
    },
    /// It answered like to any other request.
    Refused(Response<UpstreamBody>),
}

impl UpgradeAnswer {
    pub(super) const fn outcome(&self) -> &'static str {
        match self {
            Self::Switched { .. } => "switched",
            Self::Refused(_) => "refused",
        }
    }
}

/// What an upgrade needs on its way to the API server.
pub(super) struct Path<'c> {
    pub(super) connector: &'c Connector,
    /// How long the answer may take.
    pub(super) deadline: Duration,
    /// Bounds the connections being opened at the same time.
    pub(super) turns: &'c Semaphore,
    pub(super) tasks: &'c TaskTracker,
}

impl Path<'_> {
    /// Asks for `protocol` on a new connection.
    pub(super) async fn ask(
        &self,
        parts: Parts,
        protocol: &HeaderValue,
    ) -> Result<UpgradeAnswer, UpstreamError> {
        let request = Request::from_parts(parts, Empty::new());
        let mut sender = {
            let Ok(_turn) = self.turns.acquire().await else {
                return Err(UpstreamError::Stopping);
            };
            self.dial().await?
        };
        let deadline = self.deadline;
        let response = match timeout(deadline, sender.send_request(request)).await {
            Ok(result) => result.map_err(classify)?,
            Err(_late) => return Err(UpstreamError::UpgradeLate(deadline)),
        };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let body = |incoming| UpstreamBody::unguarded(incoming, Version::HTTP_11);
            return Ok(UpgradeAnswer::Refused(response.map(body)));
        }
        if !agreed(response.headers(), protocol) {
            return Err(UpstreamError::WrongProtocol);
        }
        let (response, upgrade) = split(response);
        let io = upgrade.await.map_err(UpstreamError::BrokeOff)?;
        Ok(UpgradeAnswer::Switched { response, io })
    }

    async fn dial(&self) -> Result<SendRequest<Empty<Bytes>>, DialError> {
        let connector = self.connector;
        let tcp = connector.reach().await?;
        let deadline = connector.deadlines().handshake;
        let securing = async {
            let (io, _certificate) = connector.secure(tcp, Offer::Http1).await?;
            let opened = h1_connection::open_for_upgrade(io).await;
            opened.map_err(|error| connector.tls_fault(io::Error::other(error)))
        };
        let Ok(opened) = timeout(deadline, securing).await else {
            let authority = connector.authority().to_owned();
            return Err(DialError::HandshakeLate {
                authority,
                deadline,
            });
        };
        let (sender, connection) = opened?;
        self.tasks.spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "upstream connection for an upgrade ended");
            }
        });
        Ok(sender)
    }
}

/// Whether the 101 names the protocol that was asked for, and only that (RFC 9110 §7.8).
fn agreed(headers: &HeaderMap, asked: &HeaderValue) -> bool {
    let mut chosen = headers.get_all(UPGRADE).iter();
    let (Some(protocol), None) = (chosen.next(), chosen.next()) else {
        return false;
    };
    protocol
        .as_bytes()
        .trim_ascii()
        .eq_ignore_ascii_case(asked.as_bytes().trim_ascii())
}

fn split(mut response: Response<Incoming>) -> (Response<()>, OnUpgrade) {
    let upgrade = hyper::upgrade::on(&mut response);
    (response.map(drop), upgrade)
}
