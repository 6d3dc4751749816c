//! A function for each parser of bytes that strangers choose: it must return, and what it returns must make
//! sense. `fuzz_targets/` feeds them with what libFuzzer thinks of, `tests/seeds.rs` with the seeds.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gangplank_agent::proxy_status;
use gangplank_config::letter::Letter;
use gangplank_config::upstream::InCluster;
use gangplank_config::{HostName, ProxyEnvironment, Token, object, role};
use gangplank_enrolment::Office;
use gangplank_pki::bundle::assemble;
use gangplank_pki::clock::{Clock as _, SystemClock};
use gangplank_pki::issue::{AgentRequest, CertificateAuthority, Kind, Request};
use gangplank_pki::{
    Denied, EntranceDomain, Fingerprint, Identity, Prefix, Provider, ProviderId, Serial,
    TrustAnchor, TrustBundle, TunnelName, UnprovenList, UsernameFrom, clock, identify, inspect,
    pem,
};
use gangplank_proxy::headers::{self, Impersonation};
use gangplank_proxy::{Protocol, audit, watch_is_whole_after};
use gangplank_relay::{forwarded_source, peek_server_name};
use gangplank_tunnel::http2::RelayEndpoint;
use gangplank_tunnel::wire;
use gangplank_tunnel::wire::enrolment::{
    EnrolmentAnswer, EnrolmentQuestion, EnrolmentRefusal, JoinToken, TunnelText,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use rustls_pki_types::{CertificateDer, UnixTime};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

/// A parser's name, which is its folder of seeds', too, and the parser.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 16] = [
    ("client_hello", client_hello),
    ("forwarded", forwarded),
    ("wire", wire_records),
    ("pem", pem_files),
    ("certificate", certificate),
    ("revocation_list", revocation_list),
    ("chain", chain),
    ("headers", header_lines),
    ("watch", watch),
    ("object", objects),
    ("config", configuration),
    ("request_line", request_line),
    ("agent_request", agent_request),
    ("proxy_answer", proxy_answer),
    ("vouched_token", vouched_token),
    ("letter", letter),
];

/// An authority and a certificate of it, with the common name `alice`.
const AUTHORITY_AND_LEAF: &[u8] = include_bytes!("../../pki/testdata/p-256.pem");

/// When that certificate is valid: 2030-01-01.
const NOW: u64 = 1_893_456_000;

fn now() -> UnixTime {
    clock::at(NOW)
}

/// What is trusted in these tests, and the one chain that leads to it.
struct World {
    bundle: TrustBundle,
    leaf: CertificateDer<'static>,
    identity: Identity,
}

impl World {
    fn new() -> Self {
        let certificates = pem::certificates(AUTHORITY_AND_LEAF).expect("test data");
        let [authority, leaf] = <[_; 2]>::try_from(certificates).expect("two certificates");
        let provider = Provider::new(
            ProviderId::new("default", "p"),
            Prefix::parse("p:").expect("a prefix"),
            vec![TrustAnchor::parse(authority).expect("an authority")],
            UsernameFrom::CommonName,
            vec!["g".to_owned()],
        );
        let provider = provider.expect("a provider");
        let bundle = assemble(&TrustBundle::empty(), vec![provider]).bundle;
        let identity = identify(&bundle, std::slice::from_ref(&leaf), now()).expect("alice");
        Self {
            bundle,
            leaf,
            identity,
        }
    }
}

thread_local! {
    static WORLD: World = World::new();
    static RUNTIME: Runtime = Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    static FOLDER: RefCell<Option<TempDir>> = const { RefCell::new(None) };
    static DESK: Desk = Desk::new();
}

/// The keys of a cluster's issuer, as in its key set.
const ISSUER_KEYS: &str = include_str!("vouched_keys.json");

/// A token that one of them has signed, for the account that may join: good until 2100.
const GOOD_TOKEN: &[u8] = include_bytes!("../seeds/vouched_token/good");

/// A relay's office where a service account may join as `edge-1.acme`.
struct Desk {
    office: Office,
    _folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = CertificateAuthority::create("a", 1, SystemClock.now()).expect("a CA");
        let own = authority.issue(&Request {
            kind: Kind::Relay {
                hosts: vec!["relay.example.com".to_owned()],
            },
            lifetime: Duration::from_secs(60),
            now: SystemClock.now(),
        });
        let own = own.expect("a certificate");
        let file = folder.path().join("relay.yaml");
        let text = "listen: 127.0.0.1:0\ndomain: tunnels.example.com\ntunnel:\n  serverName: relay.example.com\n  \
             certificateFile: relay.crt\n  keyFile: relay.key\n  clientCAFile: ca.crt\nenrolment:\n  \
             certificateFile: ca.crt\n  keyFile: ca.key\n  relayCAFile: ca.crt\n  register: { file: register }\n  \
             serviceAccounts:\n    - cluster: edge-1.acme\n      \
             issuer: https://kubernetes.default.svc.cluster.local\n      jwksFile: keys.json\n      \
             audience: relay.example.com\n      namespace: joining\n      name: agent\n";
        for (name, text) in [
            ("relay.yaml", text),
            ("relay.crt", &own.cert_pem),
            ("relay.key", &own.key_pem),
            ("ca.crt", authority.certificate_pem()),
            ("ca.key", &authority.key_pem()),
            ("keys.json", ISSUER_KEYS),
        ] {
            fs::write(folder.path().join(name), text).expect("a file");
        }
        let role = role::relay::load(&file).expect("a role file");
        let office = Office::open(&role, Arc::new(SystemClock)).expect("a register");
        Self {
            office: office.expect("it has `enrolment`"),
            _folder: folder,
        }
    }
}

/// The relay's look at a ClientHello: the same name in whatever pieces it comes.
pub fn client_hello(bytes: &[u8]) {
    let whole = RUNTIME.with(|it| it.block_on(peek_server_name(&mut &*bytes)));
    let (one, other) = bytes.split_at(bytes.len() / 2);
    let cut = RUNTIME.with(|it| it.block_on(peek_server_name(&mut one.chain(other))));
    assert_eq!(whole, cut);
    assert!(whole.is_none_or(|name| name.is_ascii() && !name.is_empty()));
    // Whether it asks for a tunnel is read by the TLS library, which must come to an end as well.
    let asked = RelayEndpoint::is_asked_for(bytes);
    assert!(!asked || bytes.len() > 40, "as long as a hello has to be");
}

/// What a load balancer says of whom it forwards: the same in whatever pieces it comes, and nothing behind it is taken.
pub fn forwarded(bytes: &[u8]) {
    let mut left = bytes;
    let source = RUNTIME.with(|it| it.block_on(forwarded_source(&mut left)));
    let (one, other) = bytes.split_at(bytes.len() / 2);
    let cut = RUNTIME.with(|it| it.block_on(forwarded_source(&mut one.chain(other))));
    assert_eq!(source, cut);
    let taken = bytes.len() - left.len();
    assert!(source.is_none() || (28..=16 + 1024).contains(&taken));
}

/// A certificate request of an agent that joins, or renews.
pub fn agent_request(bytes: &[u8]) {
    let tunnel = TunnelName::parse("edge-1.acme").expect("a name");
    if let Ok(request) = AgentRequest::read(bytes, &tunnel) {
        assert_eq!(request.tunnel(), &tunnel);
    }
}

/// A service account's token as a proof: only what the issuer has signed proves anything.
pub fn vouched_token(token: &[u8]) {
    let question = EnrolmentQuestion::Vouched {
        tunnel: TunnelText::fitting("edge-1.acme"),
        token: token.to_vec(),
        request: Vec::new(),
    };
    let answer = DESK
        .with(|desk| RUNTIME.with(|runtime| runtime.block_on(desk.office.answer_join(&question))));
    let EnrolmentAnswer::Refused { code, .. } = answer else {
        panic!("there is no request to certify");
    };
    if code != EnrolmentRefusal::ProofRefused {
        assert_eq!(code, EnrolmentRefusal::RequestRefused);
        assert_eq!(signed_part(token), signed_part(GOOD_TOKEN));
    }
}

/// An invitation or an answer: what is understood is exactly what would be written.
pub fn letter(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(letter) = Letter::parse(text) {
        assert_eq!(letter.text(), text.trim());
    }
}

/// Header and claims: what stands before the second dot.
fn signed_part(token: &[u8]) -> &[u8] {
    let end = token.iter().rposition(|byte| *byte == b'.');
    token.get(..end.unwrap_or_default()).unwrap_or_default()
}

/// What agent and relay say to one another: what was read is written as it was.
pub fn wire_records(bytes: &[u8]) {
    if let Ok(header) = wire::StreamHeader::parse(bytes) {
        let again = header.encode().expect("what was read can be written");
        assert_eq!(again.get(wire::RECORD_PREFIX..), Some(bytes));
    }
    if let Ok(status) = wire::StreamStatus::parse(bytes) {
        let again = status.encode().expect("what was read can be written");
        let body = again.get(wire::RECORD_PREFIX..).unwrap_or_default();
        assert_eq!(wire::StreamStatus::parse(body), Ok(status));
    }
    if let Ok(question) = EnrolmentQuestion::parse(bytes) {
        let again = question.encode().expect("what was read can be written");
        assert_eq!(again.get(wire::RECORD_PREFIX..), Some(bytes));
    }
    if let Ok(answer) = EnrolmentAnswer::parse(bytes) {
        let again = answer.encode().expect("what was read can be written");
        assert_eq!(again.get(wire::RECORD_PREFIX..), Some(bytes));
    }
    if let Ok(token) = std::str::from_utf8(bytes)
        .unwrap_or_default()
        .parse::<JoinToken>()
    {
        assert_eq!(token.text().parse(), Ok(token));
    }
    // The words beside a close code, as a peer chose them.
    let words = wire::Message::fitting(&String::from_utf8_lossy(bytes));
    assert!(words.len() <= 256 && !words.chars().any(char::is_control));
    if let Some((number, _)) = bytes.split_first_chunk() {
        let number = u32::from_be_bytes(*number);
        assert_eq!(wire::CloseCode::from_number(number).number(), number);
        assert_eq!(wire::AbortCode::from_number(number).number(), number);
    }
    let Some((prefix, body)) = bytes.split_first_chunk() else {
        return;
    };
    if let Ok(length) = wire::record_length(*prefix, "record", wire::MAX_HEADER) {
        assert!(length <= wire::MAX_HEADER);
    }
    let Ok(kind) = wire::FrameKind::parse(*prefix) else {
        return;
    };
    if let Ok(Some(frame)) = wire::ControlFrame::parse(kind, body) {
        let again = frame.encode().expect("what was read can be written");
        let (prefix, body) = again.split_first_chunk().expect("a prefix");
        let kind = wire::FrameKind::parse(*prefix).expect("a frame");
        assert_eq!(wire::ControlFrame::parse(kind, body), Ok(Some(frame)));
    }
}

/// Files of certificates, keys and lists, and small texts that people write.
pub fn pem_files(bytes: &[u8]) {
    drop(pem::certificates(bytes));
    drop(pem::private_key(bytes));
    drop(pem::revocation_lists(bytes));
    drop(inspect::inspect_certificates(bytes));
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(prefix) = Prefix::parse(text) {
        assert!(!prefix.as_str().starts_with("system:"));
    }
    if let Ok(domain) = EntranceDomain::parse("tunnels.example.com")
        && let Ok(name) = domain.route(text)
    {
        assert!(domain.covers(&domain.entrance_of(&name)));
    }
    if let Ok(serial) = text.parse::<Serial>() {
        assert_eq!(serial.to_string().parse(), Ok(serial));
    }
    if let Ok(print) = text.parse::<Fingerprint>() {
        assert_eq!(print.to_string().parse(), Ok(print));
    }
    drop(text.parse::<Denied>());
    drop(text.parse::<TunnelName>());
    drop(text.parse::<HostName>());
    drop(Token::parse(text));
}

/// A single certificate, as an anchor, in a summary, as an agent's.
pub fn certificate(der: &[u8]) {
    drop(inspect::inspect_der(der));
    let der = CertificateDer::from(der);
    drop(TrustAnchor::parse(der.clone()));
    drop(TunnelName::from_agent_certificate(&der));
}

/// A revocation list.
pub fn revocation_list(der: &[u8]) {
    drop(UnprovenList::parse(der));
}

/// A chain of certificates, each behind its length in two bytes: only the one with the right key is someone.
pub fn chain(bytes: &[u8]) {
    let (mut rest, mut chain) = (bytes, Vec::new());
    while let Some((length, behind)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length)).min(behind.len());
        let (der, behind) = behind.split_at(length);
        chain.push(CertificateDer::from(der));
        rest = behind;
    }
    WORLD.with(|world| {
        if let Ok(identity) = identify(&world.bundle, &chain, now()) {
            assert_eq!(chain.first(), Some(&world.leaf));
            assert_eq!(identity.username(), "p:alice");
        }
    });
}

/// Headers, a line each: what goes on names nobody but the certificate's owner.
pub fn header_lines(bytes: &[u8]) {
    let mut caller = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (parts.next(), parts.next().unwrap_or_default());
        let name = HeaderName::from_bytes(name.unwrap_or_default());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            caller.append(name, value);
        }
    }
    let protocols = [None, Some(Protocol::WebSocket)];
    let protocol = protocols.get(bytes.len() % 2).copied().flatten();
    WORLD.with(|world| {
        let impersonation = Impersonation::of(&world.identity).expect("alice can be written");
        let asks = |name: &HeaderName| name.as_str().starts_with("impersonate-");
        let built = headers::upstream(&caller, &impersonation, Uuid::nil(), protocol);
        assert_eq!(built.is_err(), caller.keys().any(asks));
        if let Ok(built) = &built {
            check_headers(built);
        }
    });
}

fn check_headers(built: &HeaderMap) {
    let all = |name: &str| built.get_all(name).iter().collect::<Vec<_>>();
    assert_eq!(all("impersonate-user"), ["p:alice"]);
    assert_eq!(all("impersonate-group"), ["g"]);
    assert_eq!(all("audit-id").len(), 1);
    for (name, value) in built {
        let name = name.as_str();
        let beginnings = ["x-remote-", "x-forwarded-", "proxy-"];
        assert!(!beginnings.iter().any(|it| name.starts_with(it)), "{name}");
        let never = [
            "authorization",
            "forwarded",
            "te",
            "trailer",
            "host",
            "expect",
        ];
        assert!(!never.contains(&name), "{name}");
        assert!(!name.contains('_'), "{name}");
        let ours = ["impersonate-user", "impersonate-group"].contains(&name);
        assert!(ours || !name.starts_with("impersonate-"), "{name}");
        let mut offers = value.as_bytes().split(|byte| *byte == b',');
        let token = b"base64url.bearer.authorization.k8s.io.";
        let is_token = |offer: &[u8]| offer.trim_ascii().to_ascii_lowercase().starts_with(token);
        let protocols = name == "sec-websocket-protocol";
        assert!(!protocols || !offers.any(is_token), "{value:?}");
    }
}

/// A watch's bytes: where it can be cut does not depend on the pieces it came in.
pub fn watch(bytes: &[u8]) {
    for kind in ["application/json", "application/vnd.kubernetes.protobuf"] {
        let whole = watch_is_whole_after(kind, &mut std::iter::once(bytes));
        let cut = watch_is_whole_after(kind, &mut bytes.chunks(3));
        assert_eq!(whole, cut, "{kind}");
        assert!(whole.is_some());
    }
}

/// A file of objects.
pub fn objects(bytes: &[u8]) {
    let path = Path::new("object.yaml");
    let Ok(documents) = object::documents(path, bytes.to_vec()) else {
        return;
    };
    for document in documents {
        if let Err(faults) = document.object {
            assert!(!faults.to_string().is_empty());
        }
    }
}

/// A role's file, and a kubeconfig.
pub fn configuration(bytes: &[u8]) {
    FOLDER.with_borrow_mut(|folder| {
        let folder = folder.get_or_insert_with(|| tempfile::tempdir().expect("a folder"));
        let (role_file, kubeconfig) = (
            folder.path().join("role.yaml"),
            folder.path().join("kubeconfig"),
        );
        fs::write(&role_file, bytes).expect("a file");
        let outside = InCluster::absent();
        drop(role::relay::load(&role_file));
        drop(role::agent::load(&role_file, &outside));
        drop(role::proxy::load(&role_file, &outside));
        fs::write(&kubeconfig, bytes).expect("a file");
        fs::write(
            &role_file,
            "listen: 127.0.0.1:0\nexit:\n  upstream: {kubeconfig: kubeconfig}\n",
        )
        .expect("a file");
        drop(role::proxy::load(&role_file, &outside));
    });
}

/// Method and target of a request, as the audit trail reads them.
pub fn request_line(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (method, target) = text.split_once(' ').unwrap_or(("GET", text));
    if let Some((verb, name)) = audit::words_of(method, target) {
        assert!(verb.len() <= method.len().max("deletecollection".len()));
        assert!(name.len() <= target.len());
    }
}

/// What an HTTP proxy answers to CONNECT, and what stands in `HTTPS_PROXY`.
pub fn proxy_answer(bytes: &[u8]) {
    if let Some((status, rest)) = proxy_status(bytes) {
        assert!(status <= 999, "three digits");
        assert!(rest < bytes.len(), "the head itself has some bytes");
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let read = ProxyEnvironment::read(|name| (name == "HTTPS_PROXY").then(|| text.to_owned()));
    if let Some(proxy) = read.ok().and_then(|said| said.on_the_way_to("relay")) {
        let credentials = proxy.credentials().unwrap_or_default();
        assert!(
            credentials.is_ascii() && !credentials.contains(['\r', '\n']),
            "one line"
        );
        let shown = proxy.to_string();
        let (address, variable) = shown.split_once(' ').unwrap_or((&shown, ""));
        assert_eq!(variable, "(of HTTPS_PROXY)");
        let again = ProxyEnvironment::read(|name| {
            (name == "HTTPS_PROXY").then(|| format!("http://{address}"))
        });
        assert!(again.is_ok(), "what is shown of it can be read");
    }
}
