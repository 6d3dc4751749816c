//! One visit at a relay: connection, handshake, question, answer; and how far it has come.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use gangplank_pki::crypto;
use gangplank_tunnel::wire::enrolment::{EnrolmentAnswer, EnrolmentQuestion, Grant, MAX_ANSWER};
use gangplank_tunnel::wire::{RECORD_PREFIX, record_length};
use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::{ClientConfig, version};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Address, EnrolmentError};
use crate::way;

/// From the lookup of the relay's name to its answer; the relay itself gives a visit fifteen seconds.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// How far a visit has come: what is waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Step {
    /// The name is looked up, and a connection made, by way of the HTTP proxy if there is one.
    #[default]
    Connection,
    /// A connection stands, and the relay is to show itself.
    Handshake,
    /// The question was put.
    Answer,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection => "a connection to it",
            Self::Handshake => "its part of the TLS handshake",
            Self::Answer => "its answer",
        })
    }
}

impl Step {
    /// What to look at when it never came.
    pub(super) const fn remedy(self) -> &'static str {
        match self {
            Self::Connection => "look at the network between the two",
            Self::Handshake => {
                "something accepts connections there and says nothing: is that address the relay's, or does something on \
                 the way keep packets back?"
            }
            Self::Answer => "the relay's log may say what its register does",
        }
    }
}

/// The step of a visit under way, for who wants to see it.
pub type Steps = watch::Sender<Step>;

pub(super) fn client(
    relay: Arc<dyn ServerCertVerifier>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, EnrolmentError> {
    Ok(ClientConfig::builder_with_provider(crypto::provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(EnrolmentError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(relay))
}

/// Gives a visit its time, and says what it was waiting for when that is over.
pub(super) async fn in_time<T>(
    steps: &Steps,
    visit: impl Future<Output = Result<T, EnrolmentError>>,
) -> Result<T, EnrolmentError> {
    let visited = timeout(DEADLINE, visit).await;
    visited.unwrap_or_else(|_elapsed| {
        Err(EnrolmentError::TooLate {
            step: *steps.borrow(),
        })
    })
}

/// Connects, and has the relay show itself.
pub(super) async fn meet(
    relay: Address<'_>,
    name: ServerName<'static>,
    (mut config, protocol): (ClientConfig, &[u8]),
    steps: &Steps,
) -> Result<TlsStream<TcpStream>, EnrolmentError> {
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = Resumption::disabled();
    steps.send_replace(Step::Connection);
    let socket = way::connect(relay.host, relay.port, relay.proxy)
        .await
        .map_err(EnrolmentError::Unreachable)?;
    steps.send_replace(Step::Handshake);
    TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await
        .map_err(EnrolmentError::Handshake)
}

/// Puts the question to a relay that has shown itself.
pub(super) async fn ask(
    mut stream: TlsStream<TcpStream>,
    question: &EnrolmentQuestion,
    steps: &Steps,
) -> Result<Grant, EnrolmentError> {
    let question = question.encode().map_err(EnrolmentError::Answer)?;
    steps.send_replace(Step::Answer);
    match exchange(&mut stream, &question).await? {
        EnrolmentAnswer::Granted(grant) => Ok(grant),
        EnrolmentAnswer::Refused { code, message } => {
            Err(EnrolmentError::Refused { code, message })
        }
    }
}

async fn exchange(
    stream: &mut TlsStream<TcpStream>,
    question: &[u8],
) -> Result<EnrolmentAnswer, EnrolmentError> {
    // In TLS 1.3 a server refuses a client's certificate after the client has gone on: then the alert
    // comes in the place of the answer.
    let broken = |error: io::Error| {
        let refused = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if refused.is_some() {
            EnrolmentError::Handshake(error)
        } else {
            EnrolmentError::Broken(error)
        }
    };
    stream.write_all(question).await.map_err(broken)?;
    let mut prefix = [0; RECORD_PREFIX];
    stream.read_exact(&mut prefix).await.map_err(broken)?;
    let length =
        record_length(prefix, "enrolment answer", MAX_ANSWER).map_err(EnrolmentError::Answer)?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.map_err(broken)?;
    EnrolmentAnswer::parse(&body).map_err(EnrolmentError::Answer)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_in_vain_is_told_for_what() {
        for (step, word) in [
            (Step::Connection, "network between"),
            (Step::Handshake, "says nothing"),
            (Step::Answer, "register"),
        ] {
            let (steps, begun) = (Steps::new(step), Instant::now());
            let visit = pending::<Result<(), EnrolmentError>>();
            let error = in_time(&steps, visit).await.expect_err("it never came");
            assert_eq!(begun.elapsed(), DEADLINE);
            let told = error.to_string();
            assert!(
                told.contains(&step.to_string()) && told.contains(word),
                "{told}"
            );
            assert!(told.contains("20 s"), "{told}");
        }
    }
}
