use gangplank_pki::clock::at;
use gangplank_pki::issue::CertificateAuthority;

use super::*;

fn authority(common_name: &str) -> TrustAnchor {
    let made = CertificateAuthority::create(common_name, 365, at(1_900_000_000)).unwrap();
    made.anchor().clone()
}

fn cluster() -> TunnelName {
    TunnelName::parse("target-cluster.user-abcdef").unwrap()
}

fn pinning<'p>(cluster: &'p TunnelName, authorities: &'p [TrustAnchor]) -> Pinning<'p> {
    Pinning {
        cluster,
        purpose: Purpose::Serving,
        authorities,
        server: Some("https://target.example"),
    }
}

fn wanted(pinned: Pinned) -> KnownCluster {
    match pinned {
        Pinned::Wanted(known) => *known,
        Pinned::Stands(name) => panic!("{name} stands"),
    }
}

#[test]
fn a_cluster_is_known_once_with_both_pins() {
    let (cluster, exit, callers) = (cluster(), [authority("exit")], [authority("identities")]);
    let first = wanted(pinning(&cluster, &exit).among(&[]).unwrap());
    assert_eq!(first.name_any(), "target-cluster.user-abcdef");
    assert!(first.spec.identity.is_none());
    let identities = Pinning {
        purpose: Purpose::Identity,
        server: None,
        ..pinning(&cluster, &callers)
    };
    let both = wanted(identities.among(std::slice::from_ref(&first)).unwrap());
    assert_eq!(both.spec.serving, first.spec.serving);
    assert_eq!(both.spec.server, first.spec.server);
    assert_eq!(both.spec.identity, Some(Pin::of(&callers)));
    let again = wanted(
        pinning(&cluster, &exit)
            .among(std::slice::from_ref(&both))
            .unwrap(),
    );
    let shown = |known: &KnownCluster| serde_json::to_value(known).unwrap();
    assert_eq!(
        shown(&again),
        shown(&both),
        "once more makes nothing else of it"
    );
}

/// An altered letter may hold the true authority beside another one.
#[test]
fn another_authority_never_takes_the_place_of_a_pin() {
    let (cluster, exit, other) = (cluster(), authority("exit"), authority("exit"));
    let own = [exit.clone()];
    let first = wanted(pinning(&cluster, &own).among(&[]).unwrap());
    for altered in [vec![other.clone()], vec![exit, other]] {
        let fault = pinning(&cluster, &altered).among(std::slice::from_ref(&first));
        let fault = fault.unwrap_err();
        assert!(matches!(fault, PinFault::Other { .. }), "{fault}");
        assert!(
            fault
                .to_string()
                .contains(&own[0].fingerprint().to_string()),
            "{fault}"
        );
    }
}

#[test]
fn what_somebody_else_wrote_is_used_if_it_says_the_same_and_never_changed() {
    let (cluster, exit) = (cluster(), [authority("exit")]);
    let mut theirs = wanted(pinning(&cluster, &exit).among(&[]).unwrap());
    theirs.metadata.annotations = None;
    theirs.metadata.name = Some("theirs".to_owned());
    let stands = pinning(&cluster, &exit).among(std::slice::from_ref(&theirs));
    assert!(matches!(stands, Ok(Pinned::Stands(name)) if name == "theirs"));
    theirs.spec.server = None;
    let fault = pinning(&cluster, &exit).among(std::slice::from_ref(&theirs));
    assert!(matches!(fault, Err(PinFault::NotOurs { .. })));
    let twice = [theirs.clone(), theirs];
    let fault = pinning(&cluster, &exit).among(&twice);
    assert!(matches!(fault, Err(PinFault::Ambiguous { .. })));
}
