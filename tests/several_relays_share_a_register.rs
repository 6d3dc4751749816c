//! Two relays with one etcd: what is done at one holds at the other, whatever becomes of the etcd meanwhile.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gangplank_agent::enrolment::{Address, EnrolmentError, Proof, Steps, join};
use gangplank_enrolment::{CertificateRecord, EtcdRegister, Known, Register as _, TokenRecord};
use gangplank_pki::clock::{SystemClock, at};
use gangplank_pki::{Fingerprint, TunnelName};
use gangplank_tunnel::wire::enrolment::{EnrolmentRefusal, JoinToken};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, Protocol};
use crate::support::entrance::{self, INTERNAL_ERROR, UNRECOGNIZED_NAME, alert};
use crate::support::etcd::Etcd;
use crate::support::fake_api_server::FakeApiServer;
use crate::support::gangplank;
use crate::support::path::{Course, DOMAIN, Relay, Site};
use crate::support::{hello, measured, wait};

const NAME: &str = "harbour.acme";
const PREFIX: &str = "/gangplank/";

/// An etcd and two relays of one name before it.
fn two_relays() -> (Etcd, Arc<Relay>, Arc<Relay>) {
    let etcd = Etcd::start();
    let further = Relay::enrolment(&etcd.register(PREFIX));
    let one = Relay::start_with(&further);
    let other = one.start_beside(&further);
    (etcd, Arc::new(one), Arc::new(other))
}

/// An agent that has joined with a token of `from`, and is at `at`.
fn joined(from: &Relay, at: &Arc<Relay>, exit: (&Path, &[&Organisation])) -> (Site, TempDir) {
    let (folder, said) = at.join(&from.token(NAME), exit.0);
    said.expect_success();
    let course = Course::by(at.address);
    let site = Site::of_joined(at, (NAME, folder.path()), exit, &course);
    wait::until("the tunnel", || at.has_tunnel(NAME).then_some(()));
    (site, folder)
}

/// What a caller for a cluster is told, that has no tunnel.
async fn told(relay: &Relay, cluster: &str) -> Vec<u8> {
    let hello = hello::of_a_real_client(&format!("{cluster}.{DOMAIN}"));
    let told = entrance::say(relay.address, &hello).await;
    told.expect("a clean end")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_at_one_holds_at_the_other() {
    let (etcd, one, mut other) = two_relays();
    let fake = FakeApiServer::echo().await;
    let (kubeconfig, acme) = (fake.kubeconfig(), Organisation::new("acme"));
    let token = one.token(NAME);
    let (folder, said) = other.join(&token, &kubeconfig);
    said.expect_success();
    let (_again, said) = one.join(&token, &kubeconfig);
    assert!(
        said.err.contains("the token was used before"),
        "{}",
        said.err
    );
    // Nothing in an etcd is of use to who reads it there.
    let kept = etcd.dump(PREFIX).await;
    assert!(kept.contains(NAME) && !kept.contains(&token), "{kept}");
    assert!(!kept.contains("PRIVATE KEY"), "{kept}");

    let shown = one.process.status()["certificates"].to_string();
    for kind in [
        "issuing authority",
        "authority of relays",
        "etcd client certificate",
        "authority of etcd",
    ] {
        assert!(shown.contains(&format!("\"name\":\"{kind}\"")), "{shown}");
        let metric = "gangplank_certificate_not_after_timestamp_seconds";
        let until = one
            .process
            .metric(&format!("{metric}{{certificate=\"{kind}\"}}"));
        assert!(until.is_some_and(|until| until > 0.0), "{kind}");
    }

    // Known where it never was, and away; the same after a start.
    let known = || async { (told(&one, NAME).await, told(&one, "nobody.acme").await) };
    let apart = (alert(INTERNAL_ERROR), alert(UNRECOGNIZED_NAME));
    assert_eq!(known().await, apart);
    Arc::get_mut(&mut other)
        .expect("nobody else has it")
        .process
        .kill();
    Arc::get_mut(&mut other)
        .expect("nobody else has it")
        .restart();
    assert_eq!(told(&other, NAME).await, apart.0);
    assert_eq!(told(&other, "nobody.acme").await, apart.1);

    let course = Course::by(other.address);
    let exit = (&*kubeconfig, &[&acme][..]);
    let _site = Site::of_joined(&other, (NAME, folder.path()), exit, &course);
    wait::until("the tunnel", || other.has_tunnel(NAME).then_some(()));
    one.revoke(NAME);
    let revoked = Instant::now();
    wait::until("the tunnel to end at the other relay", || {
        (!other.has_tunnel(NAME)).then_some(())
    });
    measured::tell(&format!(
        "revoked at one relay: the tunnel at the other had ended {} ms later",
        revoked.elapsed().as_millis()
    ));
    wait::until_async("the name to be unknown at who never had it", || async {
        (told(&one, NAME).await == apart.1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_that_is_lost_takes_no_tunnel_along() {
    let (mut etcd, one, other) = two_relays();
    let fake = FakeApiServer::echo().await;
    let (kubeconfig, acme) = (fake.kubeconfig(), Organisation::new("acme"));
    let exit = (&*kubeconfig, &[&acme][..]);
    let (site, _folder) = joined(&one, &other, exit);
    let unused = one.token("quay.acme");
    let papers = acme.caller("a");
    let mut caller = Connection::open(&site, Some(&papers), Protocol::Two).await;
    etcd.kill();
    let config = one.folder().join("relay.yaml").display().to_string();
    for arguments in [
        &[
            "token",
            "create",
            "--config",
            &config,
            "--cluster",
            "edge-1.acme",
        ][..],
        &["cluster", "list", "--config", &config],
        &["cluster", "revoke", "--config", &config, NAME],
    ] {
        let said = gangplank::run(arguments);
        assert_eq!(said.code, 1, "{arguments:?}: {}", said.err);
        assert!(
            said.err.contains("/gangplank/ at etcd 127.0.0.1:"),
            "{}",
            said.err
        );
    }
    let (_nothing, said) = one.join(&unused, &kubeconfig);
    assert_ne!(said.code, 0);
    assert!(said.err.contains("try again later"), "{}", said.err);
    for relay in [&one, &other] {
        await_warning(relay);
    }
    assert!(other.has_tunnel(NAME));
    assert_eq!(caller.fetch("/kept").await.expect("an answer").0, 200);
    let mut new = Connection::open(&site, Some(&papers), Protocol::One).await;
    assert_eq!(new.fetch("/new").await.expect("an answer").0, 200);

    etcd.restart();
    // While the relays may not be back yet: revoked, and the state of before is not to be had any more.
    let register = EtcdRegister::new(etcd.settings(PREFIX));
    let tunnel = TunnelName::parse(NAME).expect("a name");
    let revoked = register.revoke(tunnel, at(1)).await.expect("it is back");
    assert_eq!(revoked.certificates, Some(1));
    etcd.compact().await;
    wait::until("the revoked tunnel to end", || {
        (!other.has_tunnel(NAME)).then_some(())
    });
    for relay in [&one, &other] {
        wait::until("the register to be followed again", || {
            (seconds_lost(relay) == 0.0).then_some(())
        });
    }
    let (_folder, said) = other.join(&unused, &kubeconfig);
    said.expect_success();
}

/// Waits until a relay warns of its register, which stays ready: else a balancer would send callers to none at all.
fn await_warning(relay: &Relay) {
    wait::until("status to warn of it", || {
        let warning = relay.process.status()["warnings"][0].to_string();
        let wanted = "and nobody can join: the register /gangplank/ at etcd";
        warning.contains(wanted).then_some(())
    });
    assert!(seconds_lost(relay) > 0.0);
    let (ready, said) = relay.process.readiness();
    assert!(ready, "{said}");
}

/// For how long a relay has not followed its register, by its metric.
fn seconds_lost(relay: &Relay) -> f64 {
    let lost = relay
        .process
        .metric("gangplank_relay_register_lost_seconds");
    lost.expect("the metric")
}

/// A round: one token, two relays, three at each at the same moment.
async fn race(one: &Relay, other: &Relay, token: &JoinToken) -> usize {
    let mut tries = JoinSet::new();
    for relay in [one, other].into_iter().cycle().take(6) {
        let (token, address) = (token.clone(), relay.address);
        tries.spawn(async move {
            let host = address.ip().to_string();
            let address = Address {
                host: &host,
                port: address.port(),
                proxy: None,
            };
            let proof = Proof::Token(&token);
            join(address, proof, Arc::new(SystemClock), &Steps::default()).await
        });
    }
    let mut won = 0;
    for outcome in tries.join_all().await {
        match outcome {
            Ok(_enrolled) => won += 1,
            Err(EnrolmentError::Refused { code, .. }) => {
                assert_eq!(code, EnrolmentRefusal::TokenUsed);
            }
            Err(other) => panic!("{other}"),
        }
    }
    won
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_join_by_one_token_one_wins() {
    let (etcd, one, other) = two_relays();
    let pattern: JoinToken = one.token("pattern.acme").parse().expect("a token");
    let register = EtcdRegister::new(etcd.settings(PREFIX));
    for round in 0..40_u8 {
        let token = JoinToken {
            id: [round; 16],
            tunnel: TunnelName::parse(&format!("edge-{round}.acme")).expect("a name"),
            ..pattern.clone()
        };
        let record = TokenRecord {
            id: token.id,
            secret: Fingerprint::of(&token.secret),
            tunnel: token.tunnel.clone(),
            created: at(0),
            expires: at(u64::from(u32::MAX)),
            used: None,
        };
        register.keep_token(record).await.expect("kept");
        let won = wait::within("a round", race(&one, &other, &token)).await;
        assert_eq!(won, 1, "round {round}");
        let issued = register.certificates_of(token.tunnel).await;
        assert_eq!(issued.expect("read").len(), 1, "round {round}");
    }
}

fn certificate_of(cluster: &str) -> CertificateRecord {
    CertificateRecord {
        fingerprint: Fingerprint::of(cluster.as_bytes()),
        tunnel: TunnelName::parse(cluster).expect("a name"),
        issued: at(150),
        not_after: at(1000),
        revoked: None,
    }
}

/// One key that nobody understands stops no revocation of others, and counts as the worst that it can have said.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_gives_nobody_a_right() {
    const NAMES: [&str; 4] = ["out.acme", "broken.acme", "good.acme", "late.acme"];
    let etcd = Etcd::start();
    let register = EtcdRegister::new(etcd.settings(PREFIX));
    let [out, broken, good, late] = NAMES.map(certificate_of);
    for certificate in [&out, &broken, &good, &late] {
        let admitted = register.admit(certificate.clone()).await;
        assert!(admitted.expect("admitted"));
    }
    let revoke = |of: &CertificateRecord| register.revoke(of.tunnel.clone(), at(160));
    let revocation = revoke(&out).await.expect("revoked");
    assert_eq!(revocation.certificates, Some(1));
    for what in [
        "cluster/out.acme",
        "cluster/broken.acme",
        "cluster/No-Name",
        "token/none",
        "certificate/good.acme/none",
    ] {
        etcd.put(&format!("{PREFIX}v1/{what}"), "?").await;
    }
    let snapshot = register.snapshot().await.expect("the others are read");
    let names = [good.tunnel.clone(), late.tunnel.clone()];
    assert_eq!(snapshot.names, names.into());
    let revoked = [out.fingerprint, broken.fingerprint];
    assert_eq!(snapshot.revoked, revoked.into());
    let mut successor = certificate_of(NAMES[1]);
    successor.fingerprint = Fingerprint::of(b"successor");
    let renewed = register.succeed(broken.fingerprint, successor.clone());
    assert!(renewed.await.is_err(), "nobody knows whether it may");
    assert!(register.admit(successor).await.is_err(), "nor whether this");
    register.forget(at(0)).await.expect("the others are read");

    // The same of what changes while it is followed; and the rest goes on.
    let (known, shutdown) = (Known::new(snapshot), CancellationToken::new());
    let following = {
        let (register, known, shutdown) = (register.clone(), known.clone(), shutdown.clone());
        tokio::spawn(async move { register.follow(known, shutdown).await })
    };
    let mut revoked = known.revoked();
    etcd.put(&format!("{PREFIX}v1/cluster/late.acme"), "?")
        .await;
    let heard = revoked.wait_for(|revoked| revoked.contains(&late.fingerprint));
    drop(wait::within("what is spoiled to be out", heard).await);
    // Beside the key that nobody understands, which may be a certificate as well.
    let revocation = revoke(&good).await.expect("revoked");
    assert_eq!(revocation.certificates, Some(2));
    let heard = revoked.wait_for(|revoked| revoked.contains(&good.fingerprint));
    drop(wait::within("a revocation to be known", heard).await);
    assert_eq!(revoked.borrow().len(), NAMES.len());
    let mut names = known.names();
    let gone = names.wait_for(|names| names.is_empty());
    drop(wait::within("the names to be gone", gone).await);
    shutdown.cancel();
    wait::within("the end", following).await.expect("no panic");
}

/// Etcd's own users: the certificate's common name is one, and its role reaches no further than the prefix.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_needs_no_more_than_its_prefix() {
    let etcd = Etcd::start();
    let text = |tag: u8, text: &str| {
        let length = u8::try_from(text.len()).expect("it is short");
        [&[tag, length], text.as_bytes()].concat()
    };
    let without_password = [0x1a, 2, 8, 1];
    let permission = [&[8, 2][..], &text(0x12, PREFIX), &text(0x1a, "/gangplank0")].concat();
    let length = u8::try_from(permission.len()).expect("it is short");
    let granted = [text(0x0a, "relays"), vec![0x12, length], permission].concat();
    for (call, message) in [
        (
            "UserAdd",
            [&text(0x0a, "root")[..], &without_password].concat(),
        ),
        (
            "UserAdd",
            [&text(0x0a, "relay")[..], &without_password].concat(),
        ),
        ("RoleAdd", text(0x0a, "relays")),
        ("RoleGrantPermission", granted),
        (
            "UserGrantRole",
            [text(0x0a, "root"), text(0x12, "root")].concat(),
        ),
        (
            "UserGrantRole",
            [text(0x0a, "relay"), text(0x12, "relays")].concat(),
        ),
        ("AuthEnable", Vec::new()),
    ] {
        etcd.call(&format!("/etcdserverpb.Auth/{call}"), &message)
            .await;
    }
    let relay = Relay::start_with(&Relay::enrolment(&etcd.register(PREFIX)));
    let fake = FakeApiServer::echo().await;
    drop(relay.enrol(NAME, &fake.kubeconfig()));
    relay.revoke(NAME);
    let stranger = etcd.authority().caller("stranger");
    for settings in [
        etcd.settings("/elsewhere/"),
        etcd.settings_as(&stranger, PREFIX),
    ] {
        let fault = EtcdRegister::new(settings).tokens().await;
        let fault = fault.expect_err("it has no right to that");
        let told = gangplank_pki::WithCauses(&fault).to_string();
        assert!(told.contains("permission denied"), "{told}");
    }
}

/// The members are tried in turn, and one that is silent costs no more than its two seconds.
#[tokio::test(flavor = "multi_thread")]
async fn members_that_are_away_are_passed_over() {
    let etcd = Etcd::start();
    let mut settings = etcd.settings(PREFIX);
    let [there] = settings.endpoints.as_slice() else {
        panic!("one member");
    };
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let at = |listener: &tokio::net::TcpListener| {
        let port = listener.local_addr().expect("an address").port();
        gangplank_config::upstream::Server {
            port,
            authority: format!("127.0.0.1:{port}"),
            ..there.clone()
        }
    };
    settings.endpoints = vec![at(&closed), at(&silent), there.clone()];
    drop(closed);
    let register = EtcdRegister::new(settings);
    let read = tokio::time::timeout(Duration::from_secs(30), register.tokens()).await;
    assert_eq!(read.expect("in time").expect("read"), []);
}
