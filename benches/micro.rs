//! What single steps of a request's way cost: `cargo bench --bench micro`.
//!
//! The steps are taken as the program takes them, through public functions.

use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::{io, time::Duration};

use anyhow::Context as _;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gangplank_pki::bundle::{TrustBundle, assemble};
use gangplank_pki::clock::{Clock as _, SystemClock};
use gangplank_pki::issue::{CertificateAuthority, Kind, Request};
use gangplank_pki::{
    EntranceDomain, Identity, Prefix, Provider, ProviderId, TrustAnchor, UsernameFrom, identify,
    pem,
};
use gangplank_proxy::headers::{self, Impersonation};
use gangplank_relay::peek_server_name;
use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::runtime::Runtime;
use uuid::Uuid;

use self::line::Line;

#[path = "micro/line.rs"]
mod line;

/// Trust anchors at one exit: a team, a company, a provider of clusters, more than anyone has.
const ANCHORS: [usize; 4] = [1, 10, 100, 1_000];

/// What one splice carries: ten full buffers and a bit, so that starting is not what is measured.
const CARRIED: usize = 1 << 20;

type Outcome<T> = anyhow::Result<T>;

/// An organisation's provider, and a caller of it.
struct World {
    bundle: TrustBundle,
    chain: Vec<CertificateDer<'static>>,
    now: UnixTime,
}

impl World {
    /// A bundle of so many providers; the caller belongs to the one in the middle.
    fn of(anchors: usize) -> Outcome<Self> {
        let now = SystemClock.now();
        let mut wanted = Vec::with_capacity(anchors);
        let mut chain = Vec::new();
        for number in 0..anchors {
            let authority = CertificateAuthority::create(&format!("team-{number} CA"), 1, now)?;
            if number == anchors / 2 {
                chain = caller(&authority, now)?;
            }
            let anchors = pem::certificates(authority.certificate_pem().as_bytes())?;
            let anchors: Result<_, _> = anchors.into_iter().map(TrustAnchor::parse).collect();
            wanted.push(Provider::new(
                ProviderId::new("default", format!("team-{number}")),
                Prefix::parse(&format!("spiffe://team-{number}.example/"))?,
                anchors?,
                UsernameFrom::CommonName,
                Vec::new(),
            )?);
        }
        let assembly = assemble(&TrustBundle::empty(), wanted);
        anyhow::ensure!(assembly.refused.is_empty(), "providers collide");
        Ok(Self {
            bundle: assembly.bundle,
            chain,
            now,
        })
    }

    fn identify(&self) -> Outcome<Identity> {
        Ok(identify(&self.bundle, black_box(&self.chain), self.now)?)
    }
}

fn caller(
    authority: &CertificateAuthority,
    now: UnixTime,
) -> Outcome<Vec<CertificateDer<'static>>> {
    let issued = authority.issue(&Request {
        kind: Kind::Caller {
            common_name: "ns/shop/id/deployer".to_owned(),
            uri: None,
        },
        lifetime: Duration::from_secs(3600),
        now,
    })?;
    Ok(pem::certificates(issued.cert_pem.as_bytes())?)
}

/// Who a certificate is, username and all, among more and more anchors.
fn identity(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("identify");
    for anchors in ANCHORS {
        let world = must(World::of(anchors));
        group.bench_function(BenchmarkId::from_parameter(anchors), |bencher| {
            bencher.iter(|| must(world.identify()));
        });
    }
    group.finish();
}

/// The headers of a request as kubectl writes them, made anew for the API server.
fn header_pass(criterion: &mut Criterion) {
    let identity = must(must(World::of(1)).identify());
    criterion.bench_function("headers/impersonation", |bencher| {
        bencher.iter(|| must(Impersonation::of(black_box(&identity))));
    });
    let impersonation = must(Impersonation::of(&identity));
    let caller = kubectl_headers();
    criterion.bench_function("headers/upstream", |bencher| {
        bencher.iter(|| {
            must(headers::upstream(
                black_box(&caller),
                &impersonation,
                Uuid::nil(),
                None,
            ))
        });
    });
}

fn kubectl_headers() -> HeaderMap {
    [
        ("host", "harbour.acme.tunnels.example.com"),
        (
            "accept",
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
        ),
        ("accept-encoding", "gzip"),
        ("kubectl-command", "kubectl get"),
        ("kubectl-session", "0b1f0a52-6d5e-4a0e-a6c8-d92ecfcde0d9"),
        (
            "user-agent",
            "kubectl/v1.35.0 (linux/amd64) kubernetes/0123456",
        ),
    ]
    .into_iter()
    .map(|(name, value)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    })
    .collect()
}

/// The relay's look at a ClientHello, which has the post-quantum key share of today: in one piece, as it
/// arrives nearly always, and in small ones, which must not cost more than in proportion.
fn peek(criterion: &mut Criterion) {
    let hello = must(client_hello());
    let runtime = must(Runtime::new());
    let mut group = criterion.benchmark_group("peek");
    for (name, piece) in [("in one piece", hello.len()), ("in pieces of 64 bytes", 64)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut caller = Pieces {
                    left: black_box(&hello),
                    piece,
                };
                let name = runtime.block_on(peek_server_name(&mut caller));
                must(name.context("no server name"))
            });
        });
    }
    group.finish();
}

fn client_hello() -> Outcome<Vec<u8>> {
    let config = ClientConfig::builder_with_provider(gangplank_pki::crypto::provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("harbour.acme.tunnels.example.com")?;
    let mut hello = Vec::new();
    ClientConnection::new(Arc::new(config), name)?.write_tls(&mut hello)?;
    Ok(hello)
}

/// Bytes that arrive a piece a read.
struct Pieces<'a> {
    left: &'a [u8],
    piece: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = self.piece.min(buf.remaining()).min(self.left.len());
        let (read, left) = self.left.split_at(count);
        buf.put_slice(read);
        self.left = left;
        Poll::Ready(Ok(()))
    }
}

/// From a server name to a tunnel's name.
fn route(criterion: &mut Criterion) {
    let domain = must(EntranceDomain::parse("tunnels.example.com"));
    criterion.bench_function("route", |bencher| {
        bencher.iter(|| must(domain.route(black_box("harbour.acme.tunnels.example.com"))));
    });
}

/// The relay's copy loop between a TCP socket and a stream in memory: a byte there and back, and bulk.
fn copy_loop(criterion: &mut Criterion) {
    let runtime = must(Runtime::new());
    let mut line = must(runtime.block_on(Line::lay()));
    let mut group = criterion.benchmark_group("splice");
    group.bench_function("round trip of a byte", |bencher| {
        bencher.iter(|| must(runtime.block_on(line.round_trip())));
    });
    let bytes = vec![7; CARRIED];
    let mut room = vec![0; CARRIED];
    group.throughput(Throughput::Bytes(u64::try_from(CARRIED).unwrap_or(0)));
    group.bench_function("to the caller", |bencher| {
        bencher.iter(|| {
            must(runtime.block_on(async {
                let (sent, read) = tokio::join!(
                    line.exit.write_all(&bytes),
                    line.caller.read_exact(&mut room)
                );
                sent.and(read)
            }))
        });
    });
    group.bench_function("to the exit", |bencher| {
        bencher.iter(|| {
            must(runtime.block_on(async {
                let (sent, read) = tokio::join!(
                    line.caller.write_all(&bytes),
                    line.exit.read_exact(&mut room)
                );
                sent.and(read)
            }))
        });
    });
    group.finish();
}

/// A bench that cannot take its step has nothing to measure.
#[expect(
    clippy::panic,
    reason = "criterion has no other way to end a bench that failed"
)]
fn must<T, E: Into<anyhow::Error>>(outcome: Result<T, E>) -> T {
    match outcome.map_err(Into::into).context("the step failed") {
        Ok(done) => done,
        Err(error) => panic!("{error:#}"),
    }
}

criterion_group!(benches, identity, header_pass, peek, route, copy_loop);
criterion_main!(benches);
