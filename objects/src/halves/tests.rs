use gangplank_config::letter::Offer;
use gangplank_pki::TrustAnchor;
use gangplank_pki::clock::at;
use gangplank_pki::issue::CertificateAuthority;
use serde_json::Value;

use super::*;

fn authority(common_name: &str) -> Vec<TrustAnchor> {
    let made = CertificateAuthority::create(common_name, 365, at(1_900_000_000)).unwrap();
    vec![made.anchor().clone()]
}

fn invitation() -> Invitation {
    let cluster = TunnelName::parse("target-cluster.user-abcdef").unwrap();
    let offer = Offer::new("namespace-b", &["edit".to_owned()]).unwrap();
    Invitation::new(cluster, "https://target.example", authority("exit"), offer).unwrap()
}

fn answer(namespace: &str) -> Answer {
    let cluster = TunnelName::parse("source-cluster.user-abcdef").unwrap();
    Answer::to(
        &invitation(),
        cluster,
        authority("identities"),
        (namespace, "default"),
    )
    .unwrap()
}

fn grant(prefix: Option<&str>) -> Grant {
    Grant {
        namespace: "namespace-b".to_owned(),
        roles: vec!["edit".to_owned()],
        prefix: prefix.map(|prefix| Prefix::parse(prefix).unwrap()),
        installation: "gangplank".to_owned(),
        own_account: Some("user-abcdef".to_owned()),
    }
}

fn kinds(manifests: &[Manifest]) -> Vec<&str> {
    let kind = |manifest: &'_ Manifest| manifest.value()["kind"].as_str().unwrap().to_owned();
    let kinds: Vec<String> = manifests.iter().map(kind).collect();
    kinds
        .into_iter()
        .map(|kind| match kind.as_str() {
            "KnownCluster" => "KnownCluster",
            "Kubeconfig" => "Kubeconfig",
            "TrustedIdentityProvider" => "TrustedIdentityProvider",
            "Source" => "Source",
            _ => "?",
        })
        .collect()
}

#[test]
fn who_calls_gets_a_pin_and_a_kubeconfig_that_refers_to_it() {
    let caller = Caller {
        namespace: "team-a".to_owned(),
        name: "target-cluster".to_owned(),
        certificate_secret: None,
    };
    let manifests = calling(&invitation(), &caller, &[]).unwrap();
    assert_eq!(kinds(&manifests), ["KnownCluster", "Kubeconfig"]);
    let kubeconfig = manifests[1].value();
    assert_eq!(
        kubeconfig["spec"]["secretName"],
        "target-cluster-kubeconfig"
    );
    assert_eq!(
        kubeconfig["spec"]["cluster"]["admiraltyReference"]["accountName"],
        "user-abcdef"
    );
    assert_eq!(
        manifests[1].told(),
        "kubeconfig.multicluster.admiralty.io/target-cluster"
    );
    for manifest in &manifests {
        let marked = &manifest.value()["metadata"]["annotations"]["gangplank.dev/accepted"];
        assert_eq!(marked, "target-cluster.user-abcdef");
        assert_eq!(manifest.value().get("status"), None);
    }
}

#[test]
fn who_is_called_gets_a_pin_a_provider_and_a_source() {
    let called = called(&answer("team-a"), &grant(None), &[], &[]).unwrap();
    assert_eq!(
        kinds(&called.manifests),
        ["KnownCluster", "TrustedIdentityProvider", "Source"]
    );
    let user = "spiffe://source-cluster.user-abcdef/ns/team-a/id/default";
    assert_eq!(called.username, user);
    let [_, provider, source] = called.manifests.as_slice() else {
        panic!("three")
    };
    assert_eq!(provider.namespace(), Some("gangplank"));
    assert_eq!(source.namespace(), Some("namespace-b"));
    assert_eq!(source.value()["spec"]["userName"], user);
    assert_eq!(source.value()["spec"]["roles"], Value::from(vec!["edit"]));
}

/// Two providers of one authority would both be refused: a cluster has one.
#[test]
fn a_second_namespace_goes_by_the_provider_that_is_there() {
    let reference = ClusterReference {
        account_name: None,
        cluster_name: "source-cluster".to_owned(),
    };
    let spec = TrustedIdentityProviderSpec {
        prefix: "spiffe://theirs/".to_owned(),
        certificate_authority_data: None,
        admiralty_reference: Some(reference),
        username_from: None,
        groups: Vec::new(),
        certificate_revocation_list_data: None,
        crl: None,
        denied_certificates: Vec::new(),
    };
    let mut theirs = TrustedIdentityProvider::new("theirs", spec);
    theirs.metadata.namespace = Some("somewhere".to_owned());
    let theirs = [theirs];
    let second = called(&answer("team-c"), &grant(None), &[], &theirs).unwrap();
    assert_eq!(kinds(&second.manifests), ["KnownCluster", "Source"]);
    assert_eq!(second.username, "spiffe://theirs/ns/team-c/id/default");
    let other = called(&answer("team-c"), &grant(Some("spiffe://x/")), &[], &theirs);
    let fault = other.unwrap_err();
    assert!(matches!(fault, HalfFault::OtherPrefix { .. }), "{fault}");
}
