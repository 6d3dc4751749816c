//! What very many providers cost: `cargo bench --bench trust`.
//!
//! Loading 5,000 of them from a directory, taking one edit over, a handshake against 5,000 and against one, and
//! looking whether an open connection is concerned by a change. All authorities have one name, as those that
//! one installer made have: the hardest case, because only their keys tell them apart.

use std::fs;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use gangplank_config::TrustDirectory;
use gangplank_pki::bundle::{TrustBundle, Wanted, assemble};
use gangplank_pki::caller::{BundleSource, CallerVerifier};
use gangplank_pki::clock::{Clock, SystemClock};
use gangplank_pki::issue::{CertificateAuthority, Issued, Kind, Request};
use gangplank_pki::{
    Prefix, Provider, ProviderId, TrustAnchor, UsernameFrom, crypto, identify, pem,
};
use rustls::client::Resumption;
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tempfile::TempDir;
use tokio::time::Instant;

/// As many as the project promises to load in two seconds.
const MANY: usize = 5_000;

/// The name that callers expect at the exit.
const EXIT: &str = "one.acme.example.com";

/// Handshakes of each kind for the ratio, in turn, so that both see the same moods of the machine.
const PAIRS: usize = 1_000;

type Outcome<T> = anyhow::Result<T>;

/// Many organisations, of which one has a caller.
struct World {
    manifests: Vec<String>,
    providers: Vec<Provider>,
    caller: Issued,
}

impl World {
    fn of(count: usize) -> Outcome<Self> {
        let now = SystemClock.now();
        let (mut manifests, mut providers) = (Vec::new(), Vec::new());
        let mut caller = None;
        for number in 0..count {
            let authority = CertificateAuthority::create("kubernetes", 1, now)?;
            let name = format!("team-{number}");
            manifests.push(manifest(&name, authority.certificate_pem()));
            providers.push(provider(&name, &authority)?);
            if number == count / 2 {
                caller = Some(issued(&authority, alice())?);
            }
        }
        Ok(Self {
            manifests,
            providers,
            caller: caller.context("at least one provider")?,
        })
    }

    fn bundle(&self) -> Outcome<TrustBundle> {
        let assembly = assemble(&TrustBundle::empty(), self.providers.clone());
        anyhow::ensure!(assembly.refused.is_empty(), "providers collide");
        Ok(assembly.bundle)
    }

    fn directory(&self) -> Outcome<TempDir> {
        let directory = tempfile::tempdir()?;
        for (number, manifest) in self.manifests.iter().enumerate() {
            fs::write(directory.path().join(format!("{number}.yaml")), manifest)?;
        }
        Ok(directory)
    }

    fn chain(&self) -> Outcome<Vec<CertificateDer<'static>>> {
        Ok(pem::certificates(self.caller.cert_pem.as_bytes())?)
    }
}

fn manifest(name: &str, authority_pem: &str) -> String {
    format!(
        "apiVersion: multicluster.admiralty.io/v1alpha1\nkind: TrustedIdentityProvider\nmetadata:\n  name: {name}\n\
         spec:\n  prefix: \"spiffe://{name}.example/\"\n  certificateAuthorityData: {}\n",
        BASE64_STANDARD.encode(authority_pem)
    )
}

fn provider(name: &str, authority: &CertificateAuthority) -> Outcome<Provider> {
    Ok(Provider::new(
        ProviderId::new("default", name),
        Prefix::parse(&format!("spiffe://{name}.example/"))?,
        vec![TrustAnchor::parse(authority.anchor().der().clone())?],
        UsernameFrom::CommonName,
        Vec::new(),
    )?)
}

fn alice() -> Kind {
    Kind::Caller {
        common_name: "ns/shop/id/deployer".to_owned(),
        uri: None,
    }
}

fn issued(authority: &CertificateAuthority, kind: Kind) -> Outcome<Issued> {
    let request = Request {
        kind,
        lifetime: Duration::from_secs(3600),
        now: SystemClock.now(),
    };
    Ok(authority.issue(&request)?)
}

/// An exit's side and a caller's, in memory.
struct Ends {
    exit: Arc<ServerConfig>,
    caller: Arc<ClientConfig>,
}

impl Ends {
    /// An exit that trusts `bundle` and refuses others in the handshake.
    fn with(bundle: TrustBundle, caller: &Issued) -> Outcome<Self> {
        let now = SystemClock.now();
        let authority = CertificateAuthority::create("exit", 1, now)?;
        let dns_names = vec![EXIT.to_owned()];
        let own = credential(&issued(&authority, Kind::Exit { dns_names })?)?;
        let bundle = Arc::new(bundle);
        let source: BundleSource = Arc::new(move || Arc::clone(&bundle));
        let callers = CallerVerifier::require(source, Arc::new(SystemClock));
        let mut exit = ServerConfig::builder_with_provider(crypto::provider())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(Arc::new(callers))
            .with_single_cert(own.0, own.1)?;
        exit.session_storage = Arc::new(NoServerSessionStorage {});
        exit.send_tls13_tickets = 0;
        let mut roots = RootCertStore::empty();
        roots.add(authority.anchor().der().clone())?;
        let (chain, key) = credential(caller)?;
        let mut caller = ClientConfig::builder_with_provider(crypto::provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        caller.resumption = Resumption::disabled();
        Ok(Self {
            exit: Arc::new(exit),
            caller: Arc::new(caller),
        })
    }

    fn shake_hands(&self) -> Outcome<()> {
        let name = ServerName::try_from(EXIT)?;
        let mut caller = ClientConnection::new(Arc::clone(&self.caller), name)?;
        let mut exit = ServerConnection::new(Arc::clone(&self.exit))?;
        while caller.wants_write() || exit.wants_write() {
            let mut wire = Vec::new();
            caller.write_tls(&mut wire)?;
            exit.read_tls(&mut wire.as_slice())?;
            exit.process_new_packets()?;
            let mut wire = Vec::new();
            exit.write_tls(&mut wire)?;
            caller.read_tls(&mut wire.as_slice())?;
            caller.process_new_packets()?;
        }
        anyhow::ensure!(!exit.is_handshaking(), "the handshake is not done");
        Ok(())
    }

    fn timed(&self) -> Outcome<Duration> {
        let begin = Instant::now();
        self.shake_hands()?;
        Ok(begin.elapsed())
    }
}

fn credential(issued: &Issued) -> Outcome<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let chain = pem::certificates(issued.cert_pem.as_bytes())?;
    Ok((chain, pem::private_key(issued.key_pem.as_bytes())?))
}

/// From files to a bundle in use.
fn load(criterion: &mut Criterion) {
    let world = must(World::of(MANY));
    let directory = must(world.directory());
    let mut group = criterion.benchmark_group("trust/load");
    group.sample_size(10);
    group.bench_function(BenchmarkId::from_parameter(MANY), |bencher| {
        bencher.iter(|| {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let (source, _watcher) = must(TrustDirectory::open(directory.path(), clock));
            assert_eq!(source.current().providers().len(), MANY);
        });
    });
    group.finish();
}

/// One object of many changes; the files were read already.
fn edit(criterion: &mut Criterion) {
    let world = must(World::of(MANY));
    let bundle = must(world.bundle());
    let mut providers: Vec<_> = world.providers.into_iter().map(Arc::new).collect();
    let now = SystemClock.now();
    let other = must(CertificateAuthority::create("kubernetes", 1, now));
    providers.pop();
    providers.push(Arc::new(must(provider("newcomer", &other))));
    criterion.bench_function("trust/edit/5000", |bencher| {
        bencher.iter(|| {
            let wanted = Wanted {
                providers: providers.clone(),
                ..Wanted::default()
            };
            black_box(assemble(&bundle, wanted))
        });
    });
}

/// Whether an open connection is concerned by a change costs a look and no signature.
fn concern(criterion: &mut Criterion) {
    let world = must(World::of(MANY));
    let (bundle, chain) = (must(world.bundle()), must(world.chain()));
    let identity = must(identify(&bundle, &chain, SystemClock.now()));
    criterion.bench_function("trust/identify/5000", |bencher| {
        bencher.iter(|| must(identify(&bundle, black_box(&chain), SystemClock.now())));
    });
    criterion.bench_function("trust/upholds/5000", |bencher| {
        bencher.iter(|| assert!(bundle.upholds(black_box(&identity))));
    });
}

/// A whole handshake, whose verifier finds the caller's authority.
fn handshake(criterion: &mut Criterion) {
    let ends = [1, MANY].map(|count| {
        let world = must(World::of(count));
        let bundle = must(world.bundle());
        (count, must(Ends::with(bundle, &world.caller)))
    });
    for (count, ends) in &ends {
        criterion.bench_function(&format!("trust/handshake/{count}"), |bencher| {
            bencher.iter(|| must(ends.shake_hands()));
        });
    }
    let [(_, one), (_, many)] = &ends;
    must(print_ratio(one, many));
}

#[expect(clippy::print_stdout, reason = "this is what the bench is for")]
fn print_ratio(one: &Ends, many: &Ends) -> Outcome<()> {
    let (mut with_one, mut with_many) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        with_one.push(one.timed()?);
        with_many.push(many.timed()?);
    }
    let (one, many) = (median(with_one), median(with_many));
    let ratio = many.as_secs_f64() / one.as_secs_f64();
    println!(
        "handshake, median of {PAIRS}: {one:?} with 1 provider, {many:?} with {MANY} of one name: {ratio:.3} times"
    );
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
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

criterion_group!(benches, load, edit, concern, handshake);
criterion_main!(benches);
