//! TLS towards callers: who we are, that they are asked for a certificate, and for how long.
//!
//! No session is ever resumed: a resumed session brings its old certificate back without asking
//! whether it is still trusted. So there is no session storage, no ticket and no early data.

mod places;

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use self::places::{Places, Way};
use crate::connection::linger::linger;
use crate::exit::Caller;
use crate::shares;

pub use places::HANDSHAKES_AT_ONCE;

/// From the first byte to the last of a handshake, whatever arrives in between. A caller at the far
/// end of a bad mobile line needs two or three seconds.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// What a handshake may take once others wait for its place: strangers who say half a hello and no more
/// would otherwise keep everybody out with a hundred connections a second. So it takes a thousand, which
/// is what one core can refuse. Two round trips to the other side of the world are half of it.
pub const HANDSHAKE_DEADLINE_WHEN_CROWDED: Duration = Duration::from_secs(1);

/// Connections at the same time whose caller was not let in and is being told: a 401 and its reason, or the alert
/// of a handshake that failed. Each lives ten seconds at most and holds at most some 200 KiB (a head that is not
/// whole, and what TLS holds back), so all of them 100 MiB. Anyone can make them, as fast as handshakes go; beyond
/// their number a connection is closed without a word.
pub const REFUSED_AT_ONCE: u64 = 512;

/// Plain text that rustls takes in advance of the socket. Four records: enough to keep the socket
/// busy, and little for a caller who stopped reading.
const UNSENT_LIMIT: usize = 64 * 1024;

/// The protocols we speak, best first (RFC 7301 names).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeFault {
    /// No place came free before the deadline.
    #[error("too many handshakes at once")]
    Crowded,
    /// It was not done before the deadline.
    #[error(
        "the handshake was not done within {} s, or {} s while others waited",
        HANDSHAKE_DEADLINE.as_secs(),
        HANDSHAKE_DEADLINE_WHEN_CROWDED.as_secs()
    )]
    Late,
    /// TLS failed, or the caller left.
    #[error("the handshake failed")]
    Failed(#[source] std::io::Error),
}

impl HandshakeFault {
    /// The variant's name.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Crowded => "Crowded",
            Self::Late => "Late",
            Self::Failed(_) => "Failed",
        }
    }
}

/// Accepts TLS connections, a bounded number at once.
#[derive(Clone)]
pub(crate) struct Handshake {
    acceptor: TlsAcceptor,
    places: Arc<Places>,
    refused: Arc<shares::Places>,
}

impl Handshake {
    /// TLS with this serving certificate and this idea of callers' certificates.
    ///
    /// # Errors
    /// When the crypto provider lacks what TLS 1.2 or 1.3 needs.
    pub(crate) fn new(
        serving: Arc<dyn ResolvesServerCert>,
        callers: Arc<dyn ClientCertVerifier>,
    ) -> Result<Self, rustls::Error> {
        let config = Arc::new(server_config(serving, callers)?);
        Ok(Self {
            acceptor: TlsAcceptor::from(config),
            places: Arc::default(),
            refused: Arc::new(shares::Places::of(REFUSED_AT_ONCE)),
        })
    }

    /// A caller's certificate was accepted: there are places that strangers cannot take from others who
    /// come from the same address.
    pub(crate) fn remember(&self, caller: &Caller) {
        self.places.remember(caller);
    }

    /// A place for a caller who was not let in, to be told why, if there is one.
    pub(crate) fn place_to_be_told(&self) -> Option<shares::Place> {
        self.refused.place()
    }

    /// The handshake of `caller` on `io`, done before an absolute deadline or not at all.
    pub(crate) async fn accept<IO>(
        &self,
        io: IO,
        caller: &Caller,
    ) -> Result<TlsStream<IO>, HandshakeFault>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let deadline = Instant::now() + HANDSHAKE_DEADLINE;
        let (way, is_known) = (self.places.of(caller), self.places.knows(caller));
        let Ok(Some(place)) = timeout_at(deadline, way.place(is_known)).await else {
            return Err(HandshakeFault::Crowded);
        };
        let handshake = self
            .acceptor
            .accept_with(io, |tls| tls.set_buffer_limit(Some(UNSENT_LIMIT)))
            .into_fallible();
        let done = tokio::select! {
            biased;
            done = timeout_at(deadline, handshake) => done.ok(),
            () = crowded_out(&way) => None,
        };
        match done {
            Some(Ok(stream)) => Ok(stream),
            Some(Err((error, io))) => {
                drop(place);
                // The alert is all that the caller learns, and with TLS 1.3 its first request is already
                // under way.
                if let Some(_place) = self.place_to_be_told() {
                    linger(Some(io)).await;
                }
                Err(HandshakeFault::Failed(error))
            }
            None => Err(HandshakeFault::Late),
        }
    }
}

/// Resolves when a handshake that began now has had its time, and somebody waits for its place.
async fn crowded_out(way: &Way) {
    sleep(HANDSHAKE_DEADLINE_WHEN_CROWDED).await;
    way.is_awaited().await;
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake")
            .field("places", &self.places)
            .finish_non_exhaustive()
    }
}

fn server_config(
    serving: Arc<dyn ResolvesServerCert>,
    callers: Arc<dyn ClientCertVerifier>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(gangplank_pki::crypto::provider())
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_client_cert_verifier(callers)
        .with_cert_resolver(serving);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

#[cfg(test)]
mod tests {
    use gangplank_pki::caller::CallerVerifier;
    use rustls::server::ClientHello;
    use rustls::sign::CertifiedKey;
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
    use tokio::task::JoinSet;

    use super::*;
    use crate::exit::Witness;

    type Crowd = JoinSet<Result<(), HandshakeFault>>;

    #[derive(Debug)]
    struct NoCertificate;

    impl ResolvesServerCert for NoCertificate {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            None
        }
    }

    fn someone() -> Caller {
        Caller {
            address: "192.0.2.7:4711".parse().unwrap(),
            said_by: Witness::Relay,
            connection: 7,
            tunnel: None,
            relay: None,
        }
    }

    fn handshake() -> Handshake {
        Handshake::new(Arc::new(NoCertificate), Arc::new(CallerVerifier::request())).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_is_absolute_whatever_drips_in() {
        let (mut caller, ours) = duplex(1024);
        let began = Instant::now();
        let drip = async {
            // A record that announces 512 bytes, one byte a second.
            let mut bytes = [0x16, 0x03, 0x01, 0x02, 0x00]
                .into_iter()
                .chain(std::iter::repeat(1));
            loop {
                caller.write_all(&[bytes.next().unwrap()]).await.unwrap();
                sleep(Duration::from_secs(1)).await;
            }
        };
        let (handshake, caller_of_ours) = (handshake(), someone());
        let fault = tokio::select! {
            result = handshake.accept(ours, &caller_of_ours) => result.unwrap_err(),
            () = drip => unreachable!(),
        };
        assert!(matches!(fault, HandshakeFault::Late));
        assert!(began.elapsed() <= HANDSHAKE_DEADLINE + Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_place_there_is_no_handshake() {
        let handshake = handshake();
        let way = handshake.places.of(&someone());
        let mut taken = Vec::new();
        while let Ok(place) = timeout_at(Instant::now(), way.place(true)).await {
            taken.push(place);
        }
        assert_eq!(taken.len(), HANDSHAKES_AT_ONCE);
        let (_caller, ours) = duplex(1024);
        assert!(matches!(
            handshake.accept(ours, &someone()).await,
            Err(HandshakeFault::Crowded)
        ));
        drop(taken);
    }

    /// Strangers hold every place that they can have, and never let go.
    async fn crowd(handshake: &Handshake) -> (Vec<DuplexStream>, Crowd) {
        let mut strangers = Vec::new();
        let mut dawdling = Crowd::new();
        for _ in 0..HANDSHAKES_AT_ONCE {
            let (mut stranger, ours) = duplex(64);
            stranger.write_all(&[0x16, 0x03, 0x01]).await.unwrap();
            strangers.push(stranger);
            let handshake = handshake.clone();
            dawdling.spawn(async move { handshake.accept(ours, &someone()).await.map(drop) });
        }
        // So that each has begun.
        sleep(Duration::from_millis(1)).await;
        (strangers, dawdling)
    }

    async fn has_its_turn(handshake: &Handshake, caller: &Caller) -> Duration {
        let (mut theirs, ours) = duplex(1024);
        theirs.write_all(b"not TLS either").await.unwrap();
        theirs.shutdown().await.unwrap();
        let began = Instant::now();
        let result = handshake.accept(ours, caller).await;
        assert!(
            matches!(result, Err(HandshakeFault::Failed(_))),
            "it had its turn"
        );
        began.elapsed()
    }

    /// Whoever was here before does not even wait that second, nor who comes by another relay.
    #[tokio::test(start_paused = true)]
    async fn strangers_keep_no_known_address_waiting() {
        let handshake = handshake();
        let known = Caller {
            address: "192.0.2.8:4711".parse().unwrap(),
            ..someone()
        };
        handshake.remember(&known);
        let (_strangers, _dawdling) = crowd(&handshake).await;
        let moment = HANDSHAKE_DEADLINE_WHEN_CROWDED / 2;
        assert!(has_its_turn(&handshake, &known).await < moment);
        let elsewhere = Caller {
            relay: Some(Arc::from("relay.example.com:443")),
            ..someone()
        };
        assert!(has_its_turn(&handshake, &elsewhere).await < moment);
    }

    /// More strangers than there is room for: those who dawdle make room for the others, and for whoever comes
    /// then, after a second, not ten.
    #[tokio::test(start_paused = true)]
    async fn who_dawdles_makes_room_once_somebody_waits() {
        let handshake = handshake();
        let (_strangers, mut dawdling) = crowd(&handshake).await;
        let waited = has_its_turn(&handshake, &someone()).await;
        assert!(waited <= 2 * HANDSHAKE_DEADLINE_WHEN_CROWDED, "{waited:?}");
        let gone = dawdling.join_next().await.unwrap().unwrap();
        assert!(matches!(gone, Err(HandshakeFault::Late)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_dawdles_stays_while_nobody_waits() {
        let handshake = handshake();
        let (mut stranger, ours) = duplex(64);
        stranger.write_all(&[0x16, 0x03, 0x01]).await.unwrap();
        let began = Instant::now();
        let result = handshake.accept(ours, &someone()).await;
        assert!(matches!(result, Err(HandshakeFault::Late)));
        assert_eq!(began.elapsed(), HANDSHAKE_DEADLINE);
    }

    /// Who fails is read for a while, so that the alert arrives; so many at a time and no more.
    #[tokio::test(start_paused = true)]
    async fn beyond_a_number_nobody_is_told_why() {
        let handshake = handshake();
        let failing = async || {
            let (mut stranger, ours) = duplex(1024);
            stranger.write_all(b"not TLS").await.unwrap();
            let began = Instant::now();
            let result = handshake.accept(ours, &someone()).await;
            assert!(matches!(result, Err(HandshakeFault::Failed(_))));
            began.elapsed()
        };
        let alone = failing().await;
        assert!(alone > Duration::ZERO, "{alone:?}");
        let told: Vec<_> = std::iter::from_fn(|| handshake.place_to_be_told()).collect();
        assert_eq!(u64::try_from(told.len()), Ok(REFUSED_AT_ONCE));
        assert_eq!(failing().await, Duration::ZERO);
        drop(told);
        assert_eq!(failing().await, alone);
    }

    #[tokio::test]
    async fn what_is_not_tls_is_refused_at_once() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"\x80\x2e\x01\x00\x02",
            b"PROXY TCP4 \r\n",
        ] {
            let (mut caller, ours) = duplex(1024);
            caller.write_all(bytes).await.unwrap();
            caller.shutdown().await.unwrap();
            let result = handshake().accept(ours, &someone()).await;
            assert!(matches!(result, Err(HandshakeFault::Failed(_))));
        }
    }
}
