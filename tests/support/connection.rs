//! One HTTP connection of a caller, of either version: tests that must hold on both are written once.

use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::caller::{self, AnyBody};
use super::certificates::Papers;
use super::path::Site;
use super::wait;

/// The version of HTTP a caller speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1, kept alive.
    One,
    /// HTTP/2.
    Two,
}

/// Both.
pub(crate) const PROTOCOLS: [Protocol; 2] = [Protocol::One, Protocol::Two];

/// A connection to a site.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: Sender,
    entrance: String,
}

#[derive(Debug)]
enum Sender {
    One(http1::SendRequest<AnyBody>),
    Two(http2::SendRequest<AnyBody>),
}

impl Protocol {
    /// Its name in a handshake (ALPN).
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::One => "http/1.1",
            Self::Two => "h2",
        }
    }
}

impl Connection {
    /// Connects with papers, or none.
    pub(crate) async fn open(site: &Site, papers: Option<&Papers>, protocol: Protocol) -> Self {
        let stream = caller::board(site, papers, &[protocol.name()])
            .await
            .expect("the handshake");
        Self::over(stream, protocol, &site.entrance).await
    }

    /// On a TLS connection that a test made itself.
    pub(crate) async fn over(
        stream: TlsStream<TcpStream>,
        protocol: Protocol,
        entrance: &str,
    ) -> Self {
        let begun = Self::try_over(stream, protocol, entrance).await;
        begun.expect("the beginning of HTTP")
    }

    /// On one that may be gone.
    pub(crate) async fn try_over(
        stream: TlsStream<TcpStream>,
        protocol: Protocol,
        entrance: &str,
    ) -> hyper::Result<Self> {
        let sender = match protocol {
            Protocol::One => Sender::One(caller::http1_over(stream).await),
            Protocol::Two => Sender::Two(caller::try_http2_over(stream).await?),
        };
        Ok(Self {
            sender,
            entrance: entrance.to_owned(),
        })
    }

    /// Sends a request whose URI is a path; host or authority are the site's unless it has its own.
    pub(crate) async fn send(
        &mut self,
        request: Request<AnyBody>,
    ) -> hyper::Result<Response<Incoming>> {
        wait::within("an answer", async {
            match &mut self.sender {
                Sender::One(sender) => {
                    let request = with_host(request, &self.entrance);
                    sender.ready().await?;
                    sender.send_request(request).await
                }
                Sender::Two(sender) => {
                    let request = with_authority(request, &self.entrance);
                    sender.ready().await?;
                    sender.send_request(request).await
                }
            }
        })
        .await
    }

    /// GETs a path.
    pub(crate) async fn get(&mut self, path: &str) -> hyper::Result<Response<Incoming>> {
        self.send(
            Request::get(path)
                .body(caller::body(""))
                .expect("a request"),
        )
        .await
    }

    /// GETs a path and reads the answer to its end; answers its status and body.
    pub(crate) async fn fetch(&mut self, path: &str) -> hyper::Result<(u16, String)> {
        let response = self.get(path).await?;
        let status = response.status().as_u16();
        let body = wait::within(
            "the end of a body",
            http_body_util::BodyExt::collect(response.into_body()),
        )
        .await?;
        Ok((
            status,
            String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        ))
    }

    /// Whether the other side has ended it.
    pub(crate) fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::One(sender) => sender.is_closed(),
            Sender::Two(sender) => sender.is_closed(),
        }
    }

    /// Waits until the other side ends it.
    pub(crate) async fn await_close(&self, whose: &str) {
        wait::until_async(&format!("the end of the connection of {whose}"), || async {
            self.is_closed().then_some(())
        })
        .await;
    }
}

fn with_host(mut request: Request<AnyBody>, entrance: &str) -> Request<AnyBody> {
    if !request.headers().contains_key("host") {
        request
            .headers_mut()
            .insert("host", HeaderValue::from_str(entrance).expect("a name"));
    }
    request
}

fn with_authority(mut request: Request<AnyBody>, entrance: &str) -> Request<AnyBody> {
    if request.uri().authority().is_none() {
        let mut parts = request.uri().clone().into_parts();
        parts.scheme = Some(http::uri::Scheme::HTTPS);
        parts.authority = Some(entrance.parse().expect("an authority"));
        *request.uri_mut() = Uri::from_parts(parts).expect("a URI");
    }
    request
}
