//! One table of cases for every place where tokens and certificates are kept: a file, and a real etcd.

use std::pin::Pin;
use std::sync::Arc;

use gangplank_enrolment::{
    CertificateRecord, Contact, EmbeddedRegister, EtcdRegister, Known, Register, Revocation,
    Succession, TokenRecord,
};
use gangplank_pki::clock::at;
use gangplank_pki::{Fingerprint, TunnelName};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::etcd::Etcd;
use crate::support::wait;

/// A register that nobody has used yet.
enum Place {
    File(TempDir),
    Etcd(Arc<Etcd>, String),
}

impl Place {
    /// As another process would.
    fn open(&self) -> Arc<dyn Register> {
        match self {
            Self::File(folder) => {
                let register = EmbeddedRegister::open(&folder.path().join("register"));
                Arc::new(register.expect("it opens"))
            }
            Self::Etcd(etcd, prefix) => Arc::new(EtcdRegister::new(etcd.settings(prefix))),
        }
    }
}

type Case = fn(Place) -> Pin<Box<dyn Future<Output = ()>>>;

const CASES: [(&str, Case); 10] = [
    ("what was written is there for others and later", |place| {
        Box::pin(what_was_written_is_there(place))
    }),
    ("a token is used once however many try at once", |place| {
        Box::pin(a_token_is_used_once(place))
    }),
    ("a token is of its cluster alone", |place| {
        Box::pin(a_token_is_of_its_cluster(place))
    }),
    ("a revoked certificate has no successor", |place| {
        Box::pin(a_revoked_certificate_has_no_successor(place))
    }),
    ("renewals that are good are bounded", |place| {
        Box::pin(renewals_that_are_good_are_bounded(place))
    }),
    ("nothing is issued beside a revocation", |place| {
        Box::pin(nothing_is_issued_beside_a_revocation(place))
    }),
    ("a revoked name is admitted only after a token", |place| {
        Box::pin(a_revoked_name_is_admitted_only_after_a_token(place))
    }),
    ("what ended long ago is forgotten", |place| {
        Box::pin(what_ended_long_ago_is_forgotten(place))
    }),
    (
        "a revocation is forgotten no sooner than its certificate",
        |place| Box::pin(a_revocation_is_not_forgotten_early(place)),
    ),
    ("who follows knows what others did", |place| {
        Box::pin(who_follows_knows_what_others_did(place))
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn in_a_file() {
    for (what, case) in CASES {
        let place = Place::File(TempDir::new().expect("a folder"));
        wait::within(what, case(place)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_an_etcd() {
    let etcd = Arc::new(Etcd::start());
    for (number, (what, case)) in CASES.into_iter().enumerate() {
        let place = Place::Etcd(Arc::clone(&etcd), format!("/case-{number}/"));
        wait::within(what, case(place)).await;
    }
}

fn name(text: &str) -> TunnelName {
    TunnelName::parse(text).expect("a name")
}

fn token_of(tunnel: &str, id: u8) -> TokenRecord {
    TokenRecord {
        id: [id; 16],
        secret: Fingerprint::of(&[id]),
        tunnel: name(tunnel),
        created: at(100 + u64::from(id)),
        expires: at(200),
        used: None,
    }
}

fn certificate_of(tunnel: &str, number: u8) -> CertificateRecord {
    CertificateRecord {
        fingerprint: Fingerprint::of(&[number]),
        tunnel: name(tunnel),
        issued: at(150),
        not_after: at(1000),
        revoked: None,
    }
}

async fn what_was_written_is_there(place: Place) {
    let (one, other) = (place.open(), place.open());
    let (token, later) = (token_of("edge-1.acme", 1), token_of("edge-2.acme", 2));
    one.keep_token(later.clone()).await.expect("kept");
    one.keep_token(token.clone()).await.expect("kept");
    let found = other.token([1; 16]).await.expect("read");
    assert_eq!(found, Some(token.clone()));
    assert_eq!(other.token([3; 16]).await.expect("read"), None);
    let certificate = certificate_of("edge-1.acme", 7);
    let redeemed = other.redeem([1; 16], certificate.clone()).await;
    assert!(redeemed.expect("redeemed"));
    drop((one, other));
    let again = place.open();
    let used = TokenRecord {
        used: Some(at(150)),
        ..token
    };
    let tokens = again.tokens().await.expect("read");
    assert_eq!(tokens, [used, later], "by the time when they were made");
    let tunnel = name("edge-1.acme");
    let one_of = again.certificate(tunnel.clone(), certificate.fingerprint);
    assert_eq!(one_of.await.expect("read"), Some(certificate.clone()));
    let of_another = again.certificate(name("edge-2.acme"), certificate.fingerprint);
    assert_eq!(of_another.await.expect("read"), None);
    let of = again.certificates_of(tunnel).await.expect("read");
    assert_eq!(of, std::slice::from_ref(&certificate));
    assert_eq!(again.certificates().await.expect("read"), [certificate]);
    assert!(again.forget_token([2; 16]).await.expect("forgotten"));
    assert!(!again.forget_token([2; 16]).await.expect("nothing there"));
}

async fn a_token_is_used_once(place: Place) {
    for round in 0..20 {
        let registers = [place.open(), place.open(), place.open(), place.open()];
        let cluster = format!("edge-{round}.acme");
        let kept = registers[0].keep_token(token_of(&cluster, round));
        kept.await.expect("kept");
        let mut tries = JoinSet::new();
        for (number, register) in (0..).zip(registers) {
            let certificate = CertificateRecord {
                fingerprint: Fingerprint::of(&[round, number]),
                ..certificate_of(&cluster, number)
            };
            tries.spawn(async move { register.redeem([round; 16], certificate).await });
        }
        let outcomes = tries.join_all().await.into_iter();
        let redeemed = outcomes.filter(|outcome| *outcome.as_ref().expect("an answer"));
        assert_eq!(redeemed.count(), 1, "round {round}");
        let issued = place.open().certificates_of(name(&cluster)).await;
        assert_eq!(issued.expect("read").len(), 1, "round {round}");
    }
}

async fn a_token_is_of_its_cluster(place: Place) {
    let register = place.open();
    let kept = register.keep_token(token_of("edge-1.acme", 1));
    kept.await.expect("kept");
    let own = certificate_of("edge-1.acme", 1);
    assert!(register.redeem([1; 16], own.clone()).await.expect("done"));
    let second = certificate_of("edge-1.acme", 2);
    assert!(!register.redeem([1; 16], second).await.expect("used before"));
    let none = certificate_of("edge-1.acme", 3);
    assert!(!register.redeem([9; 16], none).await.expect("unknown"));
    assert_eq!(register.certificates().await.expect("read"), [own]);
}

async fn a_revoked_certificate_has_no_successor(place: Place) {
    let register = place.open();
    for id in [1, 2] {
        let kept = register.keep_token(token_of("edge-1.acme", id));
        kept.await.expect("kept");
    }
    let first = certificate_of("edge-1.acme", 1);
    let redeemed = register.redeem([1; 16], first.clone()).await;
    assert!(redeemed.expect("redeemed"));
    let second = certificate_of("edge-1.acme", 2);
    let renewed = register.succeed(first.fingerprint, second.clone()).await;
    assert_eq!(renewed.expect("renewed"), Succession::Written);
    let other = certificate_of("edge-2.acme", 3);
    let renamed = register.succeed(first.fingerprint, other).await;
    assert_eq!(
        renamed.expect("an answer"),
        Succession::NoRight,
        "another name"
    );
    let elsewhere = place.open();
    let revoked = elsewhere.revoke(name("edge-1.acme"), at(160)).await;
    let concerned = Revocation {
        certificates: Some(2),
        tokens: Some(1),
    };
    assert_eq!(revoked.expect("revoked"), concerned);
    let known = register.snapshot().await.expect("read");
    let both = [first.fingerprint, second.fingerprint];
    assert_eq!(known.revoked, both.into_iter().collect());
    let third = certificate_of("edge-1.acme", 4);
    let renewed = register.succeed(second.fingerprint, third).await;
    assert_eq!(renewed.expect("an answer"), Succession::NoRight);
    let held = register.certificates().await.expect("read");
    assert!(held.iter().all(|one| one.revoked == Some(at(160))));
    let unused = register.token([2; 16]).await.expect("read");
    assert_eq!(unused, None, "unused tokens go too");
    let listed = register.tokens().await.expect("read");
    assert_eq!(listed.len(), 1, "the used one is still told");
    let again = elsewhere.revoke(name("edge-1.acme"), at(170)).await;
    assert!(again.expect("an answer").is_empty());
    // A token alone is something to revoke.
    let kept = register.keep_token(token_of("edge-3.acme", 5));
    kept.await.expect("kept");
    let revoked = elsewhere.revoke(name("edge-3.acme"), at(180)).await;
    let concerned = Revocation {
        certificates: Some(0),
        tokens: Some(1),
    };
    assert_eq!(revoked.expect("revoked"), concerned);
    assert_eq!(register.token([5; 16]).await.expect("read"), None);
}

/// Each name for itself; those that have ended and those that were revoked are not among them.
async fn renewals_that_are_good_are_bounded(place: Place) {
    const MOST: u16 = 64;
    let renewal = |tunnel: &str, number: u16, issued| CertificateRecord {
        fingerprint: Fingerprint::of(&number.to_be_bytes()),
        issued: at(issued),
        not_after: at(issued + 100),
        ..certificate_of(tunnel, 0)
    };
    let (one, other) = (place.open(), place.open());
    for (tunnel, number) in [("edge-1.acme", 1), ("edge-2.acme", 2)] {
        let admitted = one.admit(certificate_of(tunnel, number)).await;
        assert!(admitted.expect("admitted"));
    }
    let first = certificate_of("edge-1.acme", 1).fingerprint;
    for number in 0..MOST {
        let register = if number % 2 == 0 { &one } else { &other };
        let renewed = register.succeed(first, renewal("edge-1.acme", number, 200));
        assert_eq!(renewed.await.expect("renewed"), Succession::Written);
    }
    let too_many = other.succeed(first, renewal("edge-1.acme", 100, 300));
    assert_eq!(too_many.await.expect("an answer"), Succession::TooMany);
    let of = one.certificates_of(name("edge-1.acme")).await;
    assert_eq!(of.expect("read").len(), 1 + usize::from(MOST));
    let second = certificate_of("edge-2.acme", 2).fingerprint;
    let renewed = one.succeed(second, renewal("edge-2.acme", 101, 300));
    assert_eq!(renewed.await.expect("renewed"), Succession::Written);
    let renewed = one.succeed(first, renewal("edge-1.acme", 102, 301));
    assert_eq!(renewed.await.expect("they have ended"), Succession::Written);
    assert_eq!(one.last_end().await.expect("read"), Some(at(1000)));
    let revoked = other.revoke(name("edge-1.acme"), at(302)).await;
    let revoked = revoked.expect("revoked").certificates;
    assert_eq!(revoked, Some(2 + usize::from(MOST)));
    other.forget(at(1001)).await.expect("forgotten");
    assert_eq!(one.last_end().await.expect("read"), None);
}

/// Whoever is first: nothing that was issued before or beside a revocation is good after it.
async fn nothing_is_issued_beside_a_revocation(place: Place) {
    let register = place.open();
    for round in 0..20 {
        let cluster = format!("edge-{round}.acme");
        let kept = register.keep_token(token_of(&cluster, round));
        kept.await.expect("kept");
        let first = CertificateRecord {
            fingerprint: Fingerprint::of(&[round, 1]),
            ..certificate_of(&cluster, 1)
        };
        let redeemed = register.redeem([round; 16], first.clone()).await;
        assert!(redeemed.expect("redeemed"));
        let next = CertificateRecord {
            fingerprint: Fingerprint::of(&[round, 2]),
            ..first.clone()
        };
        let (renewing, revoking) = (place.open(), place.open());
        let (renewed, revoked) = tokio::join!(
            renewing.succeed(first.fingerprint, next),
            revoking.revoke(name(&cluster), at(160)),
        );
        let issued = usize::from(renewed.expect("an answer") == Succession::Written);
        let revoked = revoked.expect("an answer").certificates.expect("counted");
        assert!(
            (1..=1 + issued).contains(&revoked),
            "{revoked} of {}",
            1 + issued
        );
        let held = register.certificates_of(name(&cluster)).await;
        let held = held.expect("read");
        assert_eq!(held.len(), 1 + issued);
        assert!(
            held.iter().all(|one| one.revoked.is_some()),
            "round {round}"
        );
    }
}

async fn a_revoked_name_is_admitted_only_after_a_token(place: Place) {
    let register = place.open();
    let admit = async |tunnel: &str, number| {
        let admitted = register.admit(certificate_of(tunnel, number)).await;
        admitted.expect("an answer")
    };
    assert!(admit("edge-1.acme", 1).await);
    assert!(admit("edge-1.acme", 2).await);
    let revoked = register.revoke(name("edge-1.acme"), at(150)).await;
    assert_eq!(revoked.expect("revoked").certificates, Some(2));
    assert!(!admit("edge-1.acme", 3).await);
    assert!(admit("edge-2.acme", 4).await);
    let kept = register.keep_token(token_of("edge-1.acme", 1));
    kept.await.expect("kept");
    let redeemed = register.redeem([1; 16], certificate_of("edge-1.acme", 5));
    assert!(redeemed.await.expect("redeemed"));
    assert!(admit("edge-1.acme", 6).await);
    let known = register.snapshot().await.expect("read");
    assert_eq!(known.revoked.len(), 2, "those of before stay revoked");
}

async fn what_ended_long_ago_is_forgotten(place: Place) {
    let register = place.open();
    let kept = register.keep_token(token_of("edge-1.acme", 1));
    kept.await.expect("kept");
    let certificate = certificate_of("edge-1.acme", 1);
    let redeemed = register.redeem([1; 16], certificate).await;
    assert!(redeemed.expect("redeemed"));
    register.forget(at(201)).await.expect("forgotten");
    assert_eq!(register.token([1; 16]).await.expect("read"), None);
    assert_eq!(register.certificates().await.expect("read").len(), 1);
    assert_eq!(register.snapshot().await.expect("read").names.len(), 1);
    register.forget(at(1001)).await.expect("forgotten");
    assert_eq!(register.certificates().await.expect("read"), []);
    let known = register.snapshot().await.expect("read");
    assert!(known.names.is_empty() && known.revoked.is_empty());
    // More than go into one transaction.
    for number in 0..=250 {
        let admitted = register.admit(certificate_of("edge-2.acme", number)).await;
        assert!(admitted.expect("admitted"));
    }
    register.forget(at(1001)).await.expect("forgotten");
    assert_eq!(register.certificates().await.expect("read"), []);
}

async fn a_revocation_is_not_forgotten_early(place: Place) {
    let register = place.open();
    let certificate = certificate_of("edge-1.acme", 1);
    let admitted = register.admit(certificate.clone()).await;
    assert!(admitted.expect("admitted"));
    let longer = CertificateRecord {
        not_after: at(2000),
        ..certificate_of("edge-1.acme", 2)
    };
    assert!(register.admit(longer.clone()).await.expect("admitted"));
    let revoked = register.revoke(name("edge-1.acme"), at(160)).await;
    assert_eq!(revoked.expect("revoked").certificates, Some(2));
    register.forget(at(1000)).await.expect("to the second");
    let known = register.snapshot().await.expect("read");
    assert_eq!(known.revoked.len(), 2);
    register
        .forget(at(1001))
        .await
        .expect("the first has ended");
    let known = register.snapshot().await.expect("read");
    assert_eq!(known.revoked, [longer.fingerprint].into());
    // What is forgotten gives no right back: it has no successor, and the name is still out.
    let next = certificate_of("edge-1.acme", 3);
    let renewed = register
        .succeed(certificate.fingerprint, next.clone())
        .await;
    assert_eq!(renewed.expect("an answer"), Succession::NoRight);
    assert!(!register.admit(next.clone()).await.expect("an answer"));
    register.forget(at(2001)).await.expect("all have ended");
    let renewed = register.succeed(longer.fingerprint, next).await;
    assert_eq!(renewed.expect("an answer"), Succession::NoRight);
}

async fn who_follows_knows_what_others_did(place: Place) {
    let (register, other) = (place.open(), place.open());
    let known = Known::new(register.snapshot().await.expect("read"));
    let shutdown = CancellationToken::new();
    let following = {
        let (known, shutdown) = (known.clone(), shutdown.clone());
        tokio::spawn(async move { register.follow(known, shutdown).await })
    };
    let (mut names, mut revoked) = (known.names(), known.revoked());
    let certificate = certificate_of("edge-1.acme", 1);
    let admitted = other.admit(certificate.clone()).await;
    assert!(admitted.expect("admitted"));
    let joined = names.wait_for(|names| names.contains(&name("edge-1.acme")));
    drop(wait::within("the name to be known", joined).await);
    let count = other.revoke(name("edge-1.acme"), at(160)).await;
    assert_eq!(count.expect("revoked").certificates, Some(1));
    let out = revoked.wait_for(|revoked| revoked.contains(&certificate.fingerprint));
    drop(wait::within("the revocation to be known", out).await);
    let gone = names.wait_for(|names| names.is_empty());
    drop(wait::within("the name to be gone", gone).await);
    other.forget(at(1001)).await.expect("forgotten");
    let forgotten = revoked.wait_for(|revoked| revoked.is_empty());
    drop(wait::within("the revocation to be forgotten", forgotten).await);
    assert!(matches!(*known.contact().borrow(), Contact::Held));
    shutdown.cancel();
    wait::within("the end", following).await.expect("no panic");
}

/// Certificates that cannot be listed, here since etcd forbids it, are revoked none the less.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_written_whatever_can_be_counted() {
    let etcd = Etcd::start();
    let all = EtcdRegister::new(etcd.settings("/a/"));
    let certificate = certificate_of("edge-1.acme", 1);
    let admitted = all.admit(certificate.clone()).await;
    assert!(admitted.expect("admitted"));
    let text = |tag: u8, text: &[u8]| {
        let length = u8::try_from(text.len()).expect("it is short");
        [&[tag, length], text].concat()
    };
    let both = |one: &[u8], other: &[u8]| [text(0x0a, one), text(0x12, other)].concat();
    let without_password = |name: &[u8]| [&text(0x0a, name)[..], &[0x1a, 2, 8, 1]].concat();
    let clusters = [text(0x12, b"/a/v1/cluster/"), text(0x1a, b"/a/v1/cluster0")].concat();
    let granted = both(b"narrow", &[&[8, 2], &clusters[..]].concat());
    for (call, message) in [
        ("UserAdd", without_password(b"root")),
        ("UserAdd", without_password(b"narrow")),
        ("RoleAdd", text(0x0a, b"narrow")),
        ("RoleGrantPermission", granted),
        ("UserGrantRole", both(b"root", b"root")),
        ("UserGrantRole", both(b"narrow", b"narrow")),
        ("AuthEnable", Vec::new()),
    ] {
        let path = format!("/etcdserverpb.Auth/{call}");
        etcd.call(&path, &message).await;
    }
    let papers = etcd.authority().caller("narrow");
    let narrow = EtcdRegister::new(etcd.settings_as(&papers, "/a/"));
    let revoked = narrow.revoke(name("edge-1.acme"), at(160)).await;
    let uncounted = Revocation {
        certificates: None,
        tokens: None,
    };
    assert_eq!(revoked.expect("revoked"), uncounted);
    let root = etcd.authority().caller("root");
    let root = EtcdRegister::new(etcd.settings_as(&root, "/a/"));
    let known = root.snapshot().await.expect("read");
    assert_eq!(known.revoked, [certificate.fingerprint].into());
}
