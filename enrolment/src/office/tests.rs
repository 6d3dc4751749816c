use gangplank_pki::TrustAnchor;
use gangplank_pki::clock::ManualClock;
use gangplank_pki::issue::RequestedKey;
use tempfile::TempDir;

use super::*;
use crate::register::Revocation;
use gangplank_tunnel::wire::enrolment::JoinToken;

const NOW: u64 = 1_893_456_000;
const HOUR: Duration = Duration::from_secs(60 * 60);

struct Desk {
    office: Office,
    clock: Arc<ManualClock>,
    _folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Arc::new(ManualClock::new(at(NOW)));
        let agents = CertificateAuthority::create("agents", 365, at(NOW)).unwrap();
        let (certificate, key) = (agents.certificate_pem().to_owned(), agents.key_pem());
        let relay = CertificateAuthority::create("relay", 365, at(NOW)).unwrap();
        let anchors: Vec<TrustAnchor> = vec![relay.anchor().clone()];
        let register = EmbeddedRegister::open(&folder.path().join("register")).unwrap();
        let office = Office {
            register: Arc::new(register),
            accounts: Accounts::new(&[]),
            authority: Material::made(move || {
                CertificateAuthority::load(&certificate, &key).unwrap()
            }),
            relay_authorities: Material::fixed(Anchors::new(anchors)),
            lifetime: 24 * HOUR,
            grace: 48 * HOUR,
            domain: EntranceDomain::parse("tunnels.example.com").unwrap(),
            relay: wire::ServerName::fitting("relay.example.com"),
            clock: Arc::<ManualClock>::clone(&clock),
        };
        Self {
            office,
            clock,
            _folder: folder,
        }
    }

    async fn token(&self, tunnel: &str) -> JoinToken {
        let made = self.office.make_token(&name(tunnel), HOUR, false).await;
        made.unwrap().token
    }

    async fn join(&self, token: &JoinToken, request: &[u8]) -> Result<Grant, EnrolmentRefusal> {
        let question = EnrolmentQuestion::Join {
            id: token.id,
            secret: token.secret,
            request: request.to_vec(),
        };
        outcome(self.office.answer_join(&question).await)
    }

    async fn renew(&self, shown: &[u8], request: &[u8]) -> Result<Grant, EnrolmentRefusal> {
        let question = EnrolmentQuestion::Renew {
            request: request.to_vec(),
        };
        let shown = CertificateDer::from(shown);
        outcome(self.office.answer_renewal(&shown, &question).await)
    }
}

fn outcome(answer: EnrolmentAnswer) -> Result<Grant, EnrolmentRefusal> {
    match answer {
        EnrolmentAnswer::Granted(grant) => Ok(grant),
        EnrolmentAnswer::Refused { code, message } => {
            assert!(message.len() < 256, "cut off: {message}");
            Err(code)
        }
    }
}

fn name(text: &str) -> TunnelName {
    TunnelName::parse(text).unwrap()
}

fn request(tunnel: &str) -> Vec<u8> {
    RequestedKey::for_tunnel(&name(tunnel)).unwrap().request
}

fn named(grant: &Grant) -> TunnelName {
    let [leaf] = grant.chain.as_slice() else {
        panic!("one certificate");
    };
    TunnelName::from_agent_certificate(&CertificateDer::from(leaf.as_slice())).unwrap()
}

#[tokio::test]
async fn a_token_gives_one_certificate_of_its_name() {
    let desk = Desk::new();
    let token = desk.token("edge-1.acme").await;
    let grant = desk.join(&token, &request("edge-1.acme")).await.unwrap();
    assert_eq!(named(&grant), name("edge-1.acme"));
    assert_eq!(&*grant.entrance_domain, "tunnels.example.com");
    let [authority] = grant.relay_authorities.as_slice() else {
        panic!("one authority");
    };
    assert_eq!(
        Fingerprint::of(authority).as_bytes(),
        &token.relay_authority
    );
    let again = desk.join(&token, &request("edge-1.acme")).await;
    assert_eq!(again, Err(EnrolmentRefusal::TokenUsed));
}

#[tokio::test]
async fn what_is_wrong_with_a_token_does_not_use_it_up() {
    let desk = Desk::new();
    let token = desk.token("edge-1.acme").await;
    for other in ["edge-2.acme", "edge-1.other"] {
        let refused = desk.join(&token, &request(other)).await;
        assert_eq!(refused, Err(EnrolmentRefusal::RequestRefused));
    }
    let guessed = JoinToken {
        secret: [9; 32],
        ..token.clone()
    };
    let refused = desk.join(&guessed, &request("edge-1.acme")).await;
    assert_eq!(refused, Err(EnrolmentRefusal::TokenUnknown));
    let unknown = JoinToken {
        id: [9; 16],
        ..token.clone()
    };
    let refused = desk.join(&unknown, &request("edge-1.acme")).await;
    assert_eq!(refused, Err(EnrolmentRefusal::TokenUnknown));
    // Nobody learns what became of a token without having it.
    assert!(desk.join(&token, &request("edge-1.acme")).await.is_ok());
    let refused = desk.join(&guessed, &request("edge-1.acme")).await;
    assert_eq!(refused, Err(EnrolmentRefusal::TokenUnknown));
}

#[tokio::test]
async fn a_token_ends_to_the_second() {
    let desk = Desk::new();
    let (early, late) = (
        desk.token("edge-1.acme").await,
        desk.token("edge-2.acme").await,
    );
    desk.clock.advance(HOUR - Duration::from_secs(1));
    assert!(desk.join(&early, &request("edge-1.acme")).await.is_ok());
    desk.clock.advance(Duration::from_secs(1));
    let refused = desk.join(&late, &request("edge-2.acme")).await;
    assert_eq!(refused, Err(EnrolmentRefusal::TokenExpired));
}

#[tokio::test]
async fn renewals_keep_the_name_and_end_with_the_grace() {
    let desk = Desk::new();
    let token = desk.token("edge-1.acme").await;
    let first = desk.join(&token, &request("edge-1.acme")).await.unwrap();
    let refused = desk.renew(&first.chain[0], &request("edge-2.acme")).await;
    assert_eq!(refused, Err(EnrolmentRefusal::RequestRefused), "renamed");
    let second = desk
        .renew(&first.chain[0], &request("edge-1.acme"))
        .await
        .unwrap();
    assert_eq!(named(&second), name("edge-1.acme"));
    assert_ne!(first.chain, second.chain);
    desk.clock.advance(72 * HOUR);
    assert!(
        desk.renew(&second.chain[0], &request("edge-1.acme"))
            .await
            .is_ok()
    );
    desk.clock.advance(Duration::from_secs(1));
    let refused = desk.renew(&second.chain[0], &request("edge-1.acme")).await;
    assert_eq!(refused, Err(EnrolmentRefusal::NotRenewable));
    let strange = desk
        .renew(b"not issued here", &request("edge-1.acme"))
        .await;
    assert_eq!(strange, Err(EnrolmentRefusal::NotRenewable));
}

#[tokio::test]
async fn who_is_revoked_stays_so_and_may_join_anew() {
    let desk = Desk::new();
    let token = desk.token("edge-1.acme").await;
    let first = desk.join(&token, &request("edge-1.acme")).await.unwrap();
    let taken = desk
        .office
        .make_token(&name("edge-1.acme"), HOUR, false)
        .await;
    let told = taken.unwrap_err().to_string();
    assert!(
        told.contains("--again") && told.contains("cluster revoke --config FILE edge-1.acme"),
        "{told}"
    );
    assert!(
        desk.office
            .make_token(&name("edge-1.acme"), HOUR, true)
            .await
            .is_ok()
    );
    let register = Arc::clone(desk.office.register());
    assert_eq!(
        register.revoke(name("edge-1.acme"), at(NOW)).await.unwrap(),
        Revocation {
            certificates: Some(1),
            tokens: Some(1)
        }
    );
    let refused = desk.renew(&first.chain[0], &request("edge-1.acme")).await;
    assert_eq!(refused, Err(EnrolmentRefusal::NotRenewable));
    let token = desk.token("edge-1.acme").await;
    let second = desk.join(&token, &request("edge-1.acme")).await.unwrap();
    assert!(
        desk.renew(&second.chain[0], &request("edge-1.acme"))
            .await
            .is_ok()
    );
    let refused = desk.renew(&first.chain[0], &request("edge-1.acme")).await;
    assert_eq!(refused, Err(EnrolmentRefusal::NotRenewable));
}

/// Whoever has an agent's key asks as often as it likes, with the first certificate or the newest; sixteen agents have two each.
#[tokio::test]
async fn renewals_of_a_name_that_are_good_are_counted() {
    let desk = Desk::new();
    let token = desk.token("edge-1.acme").await;
    let first = desk.join(&token, &request("edge-1.acme")).await.unwrap();
    let wanted = request("edge-1.acme");
    let mut newest = first.clone();
    for number in 0..MOST_RENEWALS {
        let shown = if number % 2 == 0 { &first } else { &newest };
        newest = desk.renew(&shown.chain[0], &wanted).await.unwrap();
    }
    for shown in [&first, &newest] {
        let refused = desk.renew(&shown.chain[0], &wanted).await;
        assert_eq!(refused, Err(EnrolmentRefusal::NotRenewable));
    }
    let other = desk.token("edge-2.acme").await;
    let other = desk.join(&other, &request("edge-2.acme")).await.unwrap();
    let renewed = desk.renew(&other.chain[0], &request("edge-2.acme")).await;
    assert!(renewed.is_ok(), "each name for itself");
    desk.clock.advance(24 * HOUR);
    let refused = desk.renew(&first.chain[0], &wanted).await;
    assert_eq!(
        refused,
        Err(EnrolmentRefusal::NotRenewable),
        "the last second"
    );
    desk.clock.advance(Duration::from_secs(1));
    let renewed = desk.renew(&first.chain[0], &wanted).await;
    assert!(renewed.is_ok(), "they have ended");
    let register = Arc::clone(desk.office.register());
    let revoked = register.revoke(name("edge-1.acme"), desk.clock.now()).await;
    assert_eq!(revoked.unwrap().certificates, Some(MOST_RENEWALS + 2));
    let token = desk.token("edge-1.acme").await;
    let anew = desk.join(&token, &wanted).await.unwrap();
    for _ in 0..MOST_RENEWALS {
        assert!(desk.renew(&anew.chain[0], &wanted).await.is_ok());
    }
}

/// What is revoked or ended has no more right when nobody remembers it than before.
#[tokio::test]
async fn what_may_be_renewed_is_remembered_and_what_is_forgotten_may_not() {
    const DAY: u32 = 24;
    for grace in [2 * DAY, 60 * DAY] {
        let mut desk = Desk::new();
        desk.office.grace = HOUR * grace;
        let (good, out) = (
            desk.token("edge-1.acme").await,
            desk.token("edge-2.acme").await,
        );
        let good = desk.join(&good, &request("edge-1.acme")).await.unwrap();
        let out = desk.join(&out, &request("edge-2.acme")).await.unwrap();
        let register = Arc::clone(desk.office.register());
        let revoked = register.revoke(name("edge-2.acme"), at(NOW)).await;
        assert_eq!(revoked.unwrap().certificates, Some(1));
        // To the last second of the longer of grace and a month; the certificates are of a day.
        desk.clock.advance(HOUR * (DAY + grace.max(30 * DAY)));
        let witness = desk.token("edge-3.acme").await;
        desk.join(&witness, &request("edge-3.acme")).await.unwrap();
        desk.office.forget().await.unwrap();
        let snapshot = register.snapshot().await.unwrap();
        assert_eq!((snapshot.names.len(), snapshot.revoked.len()), (2, 1));
        let renewed = desk.renew(&good.chain[0], &request("edge-1.acme")).await;
        let in_grace = grace >= 30 * DAY;
        assert_eq!(renewed.is_ok(), in_grace, "{renewed:?}");
        desk.clock.advance(Duration::from_secs(1));
        desk.office.forget().await.unwrap();
        let snapshot = register.snapshot().await.unwrap();
        assert!(snapshot.revoked.is_empty());
        assert_eq!(snapshot.names.len(), 1 + usize::from(in_grace));
        for (held, of) in [(&good, "edge-1.acme"), (&out, "edge-2.acme")] {
            let refused = desk.renew(&held.chain[0], &request(of)).await;
            assert_eq!(refused, Err(EnrolmentRefusal::NotRenewable), "{of}");
        }
    }
}

/// A relay whose clock runs ahead speaks for no other: nothing in the register bears it out.
#[tokio::test]
async fn a_clock_that_is_ahead_forgets_nothing() {
    let desk = Desk::new();
    let token = desk.token("edge-1.acme").await;
    desk.join(&token, &request("edge-1.acme")).await.unwrap();
    let token = desk.token("edge-2.acme").await;
    desk.join(&token, &request("edge-2.acme")).await.unwrap();
    let register = Arc::clone(desk.office.register());
    let revoked = register.revoke(name("edge-2.acme"), at(NOW)).await;
    assert_eq!(revoked.unwrap().certificates, Some(1));
    let before = register.snapshot().await.unwrap();
    desk.clock.advance(HOUR * 24 * 365);
    desk.office.forget().await.unwrap();
    assert_eq!(register.snapshot().await.unwrap(), before);
}

#[tokio::test]
async fn each_question_has_its_desk() {
    let desk = Desk::new();
    let renew = EnrolmentQuestion::Renew { request: vec![] };
    let answer = desk.office.answer_join(&renew).await;
    assert_eq!(outcome(answer), Err(EnrolmentRefusal::Malformed));
    let join = EnrolmentQuestion::Join {
        id: [0; 16],
        secret: [0; 32],
        request: vec![],
    };
    let shown = CertificateDer::from(&b"any"[..]);
    let answer = desk.office.answer_renewal(&shown, &join).await;
    assert_eq!(outcome(answer), Err(EnrolmentRefusal::Malformed));
}
