use std::time::Duration;

use parking_lot::Mutex;

use super::*;
use crate::clock::ManualClock;
use crate::fixture::handshake::{VERSIONS, client, credential, server, shake_hands};
use crate::fixture::{DAY, now};
use crate::issue::{CertificateAuthority, Issued, Kind, Request};
use crate::peer::RelayVerifier;
use crate::prefix::Prefix;
use crate::provider::{Provider, ProviderId, UsernameFrom};

struct Exit {
    authority: CertificateAuthority,
    own: Issued,
}

impl Exit {
    fn new() -> Self {
        let authority = CertificateAuthority::create("callers", 365, now()).unwrap();
        let kind = Kind::Exit {
            dns_names: vec!["one.acme.example.com".to_owned()],
        };
        let request = Request {
            kind,
            lifetime: Duration::from_secs(DAY),
            now: now(),
        };
        let own = authority.issue(&request).unwrap();
        Self { authority, own }
    }

    fn caller(&self) -> Issued {
        let kind = Kind::Caller {
            common_name: "alice".to_owned(),
            uri: None,
        };
        let request = Request {
            kind,
            lifetime: Duration::from_secs(DAY),
            now: now(),
        };
        self.authority.issue(&request).unwrap()
    }

    fn trusting(&self) -> TrustBundle {
        let provider = Provider::new(
            ProviderId::new("default", "p"),
            Prefix::parse("p:").unwrap(),
            vec![self.authority.anchor().clone()],
            UsernameFrom::CommonName,
            Vec::new(),
        );
        crate::fixture::bundle(vec![provider.unwrap()])
    }

    fn call(
        &self,
        version: &'static rustls::SupportedProtocolVersion,
        verifier: Arc<CallerVerifier>,
        caller: Option<&Issued>,
    ) -> Result<Vec<CertificateDer<'static>>, rustls::Error> {
        let trusted = [self.authority.anchor().der().clone()];
        let clock = Arc::new(ManualClock::new(now()));
        let servers = Arc::new(RelayVerifier::new(&trusted, clock).unwrap());
        let client = client(version, servers, caller.map(credential));
        let server = server(version, verifier, credential(&self.own));
        shake_hands(client, server, "one.acme.example.com")
    }
}

#[test]
fn a_requested_certificate_may_be_missing_or_a_stranger_s() {
    let (exit, stranger) = (Exit::new(), Exit::new());
    for version in VERSIONS {
        let verifier = Arc::new(CallerVerifier::request());
        let none = exit.call(version, Arc::clone(&verifier), None).unwrap();
        assert!(none.is_empty());
        for caller in [exit.caller(), stranger.caller(), exit.own.clone()] {
            let sent = exit
                .call(version, Arc::clone(&verifier), Some(&caller))
                .unwrap();
            assert_eq!(sent, credential(&caller).0);
        }
    }
}

#[test]
fn a_required_certificate_must_make_someone_of_its_owner_at_this_moment() {
    let (exit, stranger) = (Exit::new(), Exit::new());
    let current = Arc::new(Mutex::new(Arc::new(exit.trusting())));
    let source: BundleSource = {
        let current = Arc::clone(&current);
        Arc::new(move || Arc::clone(&current.lock()))
    };
    let clock = Arc::new(ManualClock::new(now()));
    let verifier = || {
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        Arc::new(CallerVerifier::require(Arc::clone(&source), clock))
    };
    for version in VERSIONS {
        assert!(exit.call(version, verifier(), Some(&exit.caller())).is_ok());
        let none = exit.call(version, verifier(), None).unwrap_err();
        assert_eq!(none, rustls::Error::NoCertificatesPresented);
        let refused = exit
            .call(version, verifier(), Some(&stranger.caller()))
            .unwrap_err();
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!(refused, unknown);
        clock.advance(Duration::from_secs(2 * DAY));
        let late = exit
            .call(version, verifier(), Some(&exit.caller()))
            .unwrap_err();
        assert_eq!(
            late,
            rustls::Error::InvalidCertificate(CertificateError::Expired)
        );
        clock.set(now());
    }
    *current.lock() = Arc::new(TrustBundle::empty());
    assert!(
        exit.call(VERSIONS[1], verifier(), Some(&exit.caller()))
            .is_err()
    );
}

#[test]
fn no_authority_is_hinted_at() {
    let bundle: BundleSource = Arc::new(|| Arc::new(Exit::new().trusting()));
    let clock = Arc::new(ManualClock::new(now()));
    for verifier in [
        CallerVerifier::request(),
        CallerVerifier::require(bundle, clock),
    ] {
        assert!(verifier.root_hint_subjects().is_empty());
        assert!(verifier.offer_client_auth());
    }
}
