//! What single steps of a request's way cost: `cargo bench --bench micro`.
//!
//! The steps are taken as the program takes them, through public functions. The ClientHello's reader is
//! private to the relay and so not here: what follows it, finding the tunnel's name, is.

use std::hint::black_box;
use std::pin::Pin;
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
use gangplank_tunnel::wire::AbortCode;
use gangplank_tunnel::{OpenStreams, ReadHalf, Stream, WriteHalf, splice};
use http::{HeaderMap, HeaderName, HeaderValue};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

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

/// A caller, a splice between, and the exit's end.
struct Line {
    caller: TcpStream,
    exit: DuplexStream,
}

impl Line {
    async fn lay() -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (caller, accepted) = tokio::join!(
            TcpStream::connect(listener.local_addr()?),
            listener.accept()
        );
        let (caller, (accepted, _)) = (caller?, accepted?);
        caller.set_nodelay(true)?;
        accepted.set_nodelay(true)?;
        let (exit, relay) = tokio::io::duplex(256 * 1024);
        let (read, write) = tokio::io::split(relay);
        let stream = Stream::new(
            Box::new(Memory(read)),
            Box::new(Memory(write)),
            &OpenStreams::default(),
        );
        drop(TaskTracker::new().spawn(splice(accepted, stream)));
        Ok(Self { caller, exit })
    }

    async fn round_trip(&mut self) -> io::Result<u8> {
        self.caller.write_all(b"?").await?;
        let asked = self.exit.read_u8().await?;
        self.exit.write_all(&[asked]).await?;
        self.caller.read_u8().await
    }
}

/// A half of a stream that never breaks.
struct Memory<H>(H);

impl<H: AsyncRead + Unpin> AsyncRead for Memory<H> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<H: AsyncWrite + Unpin> AsyncWrite for Memory<H> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl<H: AsyncRead + Send + Sync + Unpin> ReadHalf for Memory<H> {
    fn stop(&mut self, _code: AbortCode) {}

    fn poll_reset(&mut self, _cx: &mut Context<'_>) -> Poll<AbortCode> {
        Poll::Pending
    }
}

impl<H: AsyncWrite + Send + Sync + Unpin> WriteHalf for Memory<H> {
    fn reset(&mut self, _code: AbortCode) {}

    fn poll_stopped(&mut self, _cx: &mut Context<'_>) -> Poll<AbortCode> {
        Poll::Pending
    }

    fn poll_delivered(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
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

criterion_group!(benches, identity, header_pass, route, copy_loop);
criterion_main!(benches);
