use std::path::Path;

use super::*;
use crate::fixture::{List, authority, authority_pem, base64, exit, issued, provider_yaml};

fn read(text: &str) -> Vec<Document> {
    documents(Path::new("providers.yaml"), text.as_bytes().to_vec()).unwrap()
}

/// A good manifest with one thing changed in it.
fn changed(from: &str, to: &str) -> String {
    let good = provider_yaml("partner", "spiffe://partner/", &authority_pem("partner"));
    assert!(good.contains(from), "{good}");
    good.replacen(from, to, 1)
}

/// As [`changed`], with other data for the authority.
fn with_data(data: &str) -> String {
    let good = provider_yaml("partner", "spiffe://partner/", "");
    good.replace(
        "certificateAuthorityData: ",
        &format!("certificateAuthorityData: {data}"),
    )
}

fn said(text: &str) -> String {
    match documents(Path::new("providers.yaml"), text.as_bytes().to_vec()) {
        Ok(documents) => {
            let faults = documents
                .iter()
                .filter_map(|document| document.object.as_ref().err());
            faults
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n")
        }
        Err(fault) => fault.to_string(),
    }
}

type Planted = (&'static str, String);

/// All that is said about each manifest, one paragraph a manifest; never anything `secret`.
fn paragraphs(planted: Vec<Planted>, secret: &[&str]) -> String {
    let paragraphs = planted.into_iter().map(|(what, text)| {
        let said = said(&text);
        assert!(!said.is_empty(), "nothing said about: {what}");
        let told = secret.iter().find(|secret| said.contains(**secret));
        assert_eq!(told, None, "{said}");
        format!("# {what}\n{said}\n\n")
    });
    paragraphs.collect()
}

#[test]
fn faults_of_what_an_object_is() {
    let planted = vec![
        (
            "another kind",
            changed("TrustedIdentityProvider", "Identity"),
        ),
        (
            "a kind misspelt",
            changed("TrustedIdentityProvider", "TrustedIdentityProviders"),
        ),
        ("a list", changed("TrustedIdentityProvider", "List")),
        (
            "another version",
            changed("multicluster.admiralty.io/v1alpha1", "v1"),
        ),
        ("no name", changed("name: partner", "labels: {}")),
        (
            "a name that Kubernetes refuses",
            changed("name: partner", "name: Partner_1"),
        ),
        (
            "a namespace that Kubernetes refuses",
            changed("namespace-a", "a.b"),
        ),
        ("a key misspelt", changed("prefix", "prefx")),
        (
            "a key of the specification outside",
            changed("spec:", "prefix: x\nspec:"),
        ),
        ("not YAML", changed("spec:", "spec")),
    ];
    insta::assert_snapshot!(paragraphs(planted, &["MII", "MIG", "TUlJ", "TUlH"]));
}

#[test]
fn faults_of_prefixes_and_names() {
    let prefix = "spiffe://partner/";
    let planted = vec![
        (
            "no prefix",
            changed("prefix: \"spiffe://partner/\"", "groups: []"),
        ),
        ("an empty prefix", changed(prefix, "")),
        ("a reserved prefix", changed(prefix, "system:")),
        (
            "a prefix that a reserved one begins with",
            changed(prefix, "sys"),
        ),
        ("a prefix with a line break", changed(prefix, "a\\nb")),
        (
            "a prefix that is a number",
            changed("\"spiffe://partner/\"", "17"),
        ),
        (
            "a reserved group",
            changed("spec:", "spec:\n  groups: [\"system:masters\"]"),
        ),
        (
            "a group that is a number",
            changed("spec:", "spec:\n  groups: [partners, 7]"),
        ),
        (
            "an unknown source of names",
            changed("spec:", "spec:\n  usernameFrom: Email"),
        ),
        ("names from URIs below no URI", {
            changed("spec:", "spec:\n  usernameFrom: URI").replace(prefix, "partner:")
        }),
    ];
    insta::assert_snapshot!(paragraphs(planted, &["MII", "MIG", "TUlJ", "TUlH"]));
}

#[test]
fn faults_of_authorities() {
    let leaf = issued(&authority("partner"), exit());
    let pem = authority_pem("partner");
    let data = base64(&pem);
    let (half_pem, half_data) = (pem.split_at(pem.len() / 2).0, data.split_at(101).0);
    let reference = "admiraltyReference: { accountName: acme }\n  #";
    let planted = vec![
        (
            "PEM instead of base64",
            with_data(&format!("|\n    {}", pem.replace('\n', "\n    "))),
        ),
        ("base64 that is cut off", with_data(half_data)),
        ("PEM that is cut off", with_data(&base64(half_pem))),
        ("no PEM", with_data(&base64("nothing"))),
        (
            "a leaf",
            with_data(&base64(format!("# ours\n{}{pem}", leaf.cert_pem))),
        ),
        (
            "a private key",
            with_data(&base64(format!("# ours\n{}{pem}", leaf.key_pem))),
        ),
        (
            "a reference to nothing",
            changed("certificateAuthorityData", reference),
        ),
    ];
    insta::assert_snapshot!(paragraphs(planted, &["MII", "MIG", "TUlJ", "TUlH"]));
}

/// A manifest with these lines in its specification.
fn specified(pem: &str, lines: &str) -> String {
    let good = provider_yaml("partner", "spiffe://partner/", pem);
    good.replace("spec:\n", &format!("spec:\n  {lines}\n"))
}

#[test]
fn faults_of_revocation_lists() {
    let (ours, namesake, other) = (
        authority("partner"),
        authority("partner"),
        authority("other"),
    );
    let list = List::numbered(1);
    let planted = |data: &str| {
        let line = format!("certificateRevocationListData: {data}");
        specified(ours.certificate_pem(), &line)
    };
    let (good, stranger) = (list.pem(&ours), list.pem(&other));
    let half = good.split_at(good.len() / 2).0;
    let der = list.der(&ours);
    let (cut, _) = der.split_at(der.len() - 1);
    let planted = vec![
        ("no text", planted("[a]")),
        ("not base64", planted("\"*\"")),
        ("PEM instead of base64", planted("-----BEGIN")),
        ("nothing in it", planted(&base64("nothing"))),
        ("PEM that is cut off", planted(&base64(half))),
        ("DER that is cut off", planted(&base64(cut))),
        (
            "a certificate",
            planted(&base64(format!("{good}{}", ours.certificate_pem()))),
        ),
        (
            "a private key",
            planted(&base64(format!("# ours\n{}", ours.key_pem()))),
        ),
        (
            "another authority's",
            planted(&base64(format!("# mine\n{good}{stranger}"))),
        ),
        ("a namesake's", planted(&base64(list.der(&namesake)))),
        ("a word for late lists", {
            specified(ours.certificate_pem(), "crl: strict")
        }),
    ];
    insta::assert_snapshot!(paragraphs(planted, &["MII", "MIG", "TUlJ", "TUlH"]));
}

#[test]
fn faults_of_denied_certificates() {
    let pem = authority_pem("partner");
    let planted = |value: &str| specified(&pem, &format!("deniedCertificates: {value}"));
    let planted = vec![
        ("no list", planted("serial:0a")),
        ("a number", planted("[4711]")),
        ("neither kind", planted("[\"4711\", \"sha1:00\"]")),
        ("no digits", planted("[\"serial:\", \"serial:4z\"]")),
        (
            "a fingerprint that is cut off",
            planted("[\"sha256:0a1b\"]"),
        ),
    ];
    insta::assert_snapshot!(paragraphs(planted, &[]));
}

#[test]
fn what_is_revoked_and_denied_stands_in_the_object() {
    let (one, two) = (authority("one"), authority("two"));
    let pem = format!("{}{}", one.certificate_pem(), two.certificate_pem());
    let lists = [
        List::numbered(1).pem(&one),
        List::numbered(2).pem(&one),
        List::numbered(7).pem(&two),
    ];
    let lines = |data: &str| {
        let lists = format!("certificateRevocationListData: {data}");
        let denied = format!(
            "deniedCertificates: [serial:0A1B, \"sha256:{}\"]",
            "0".repeat(64)
        );
        specified(&pem, &format!("{lists}\n  {denied}\n  crl: Strict"))
    };
    let manifest = lines(&base64(lists.concat()));
    let documents = read(&manifest);
    let Ok(Object::TrustedIdentityProvider(object)) = &documents[0].object else {
        panic!("{documents:?}")
    };
    let numbers = object.provider.lists().iter().map(|list| {
        let number = list.number().map(|number| number.to_string());
        format!("{} {}", list.issuer_text(), number.unwrap_or_default())
    });
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort();
    assert_eq!(numbers, ["CN=one 02", "CN=two 07"], "the newest of each");
    let denied = object.provider.denied().iter().map(ToString::to_string);
    let zeros = format!("sha256:{}", "0".repeat(64));
    assert_eq!(denied.collect::<Vec<_>>(), ["serial:0a1b", &zeros]);
    assert_eq!(object.provider.late_list(), gangplank_pki::LateList::Strict);
    let der = lines(&base64(List::numbered(1).der(&two)));
    assert!(read(&der)[0].object.is_ok(), "DER");
    let nothing = specified(
        &pem,
        "certificateRevocationListData:\n  deniedCertificates: []",
    );
    assert!(read(&nothing)[0].object.is_ok());
}

#[test]
fn faults_of_secrets() {
    let leaf = issued(&authority("partner"), exit());
    let other = issued(&authority("partner"), exit());
    let secret =
        |rest: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{ name: s }}\n{rest}");
    let tls = |certificate: &str, key: &str| {
        let data = format!("tls.crt: {}, tls.key: {}", base64(certificate), base64(key));
        secret(&format!("type: kubernetes.io/tls\ndata: {{ {data} }}\n"))
    };
    assert_eq!(said(&secret("stringData: { a: b, c: }\n")), "");
    assert_eq!(said(&tls(&leaf.cert_pem, &leaf.key_pem)), "");
    let planted = vec![
        (
            "a value that is not base64",
            secret("data: { password: \"hunter2*\" }\n"),
        ),
        (
            "a value that is a number",
            secret("stringData: { password: 12345 }\n"),
        ),
        (
            "a type nobody reads",
            secret("type: bootstrap.kubernetes.io/token\n"),
        ),
        ("no key", secret("type: kubernetes.io/tls\n")),
        (
            "a key of another certificate",
            tls(&leaf.cert_pem, &other.key_pem),
        ),
        (
            "key and certificate exchanged",
            tls(&leaf.key_pem, &leaf.cert_pem),
        ),
    ];
    insta::assert_snapshot!(paragraphs(
        planted,
        &["MI", "TUlJ", "TUlH", "hunter2", "12345"]
    ));
}

#[test]
fn a_manifest_exported_from_a_cluster_is_taken_as_it_is() {
    let data = base64(authority_pem("partner"));
    let text = format!(
        "apiVersion: multicluster.admiralty.io/v1alpha1
kind: TrustedIdentityProvider
metadata:
  annotations: {{ kubectl.kubernetes.io/last-applied-configuration: \"{{}}\" }}
  creationTimestamp: \"2026-01-01T00:00:00Z\"
  generation: 1
  labels: {{ a: b }}
  managedFields: [{{ manager: kubectl }}]
  name: partner
  resourceVersion: \"1\"
  uid: 5e8a
spec:
  admiraltyReference: {{ clusterName: partner }}
  certificateAuthorityData: {data}
  prefix: spiffe://partner/
status:
  conditions: []
"
    );
    let documents = read(&text);
    let [
        Document {
            id: Some(id),
            object: Ok(Object::TrustedIdentityProvider(object)),
            ..
        },
    ] = documents.as_slice()
    else {
        panic!("{documents:?}")
    };
    assert_eq!(id.to_string(), "TrustedIdentityProvider default/partner");
    assert_eq!(object.provider.id().to_string(), "default/partner");
    assert_eq!(object.provider.prefix().as_str(), "spiffe://partner/");
}

#[test]
fn json_is_read_like_yaml() {
    let data = base64(authority_pem("partner"));
    let text = format!(
        "{{\n\t\"apiVersion\": \"multicluster.admiralty.io/v1alpha1\",\n\
         \t\"kind\": \"TrustedIdentityProvider\",\n\
         \t\"metadata\": {{ \"name\": \"partner\" }},\n\
         \t\"spec\": {{ \"prefix\": \"spiffe:\\/\\/partner\\/\", \"certificateAuthorityData\": \"{data}\" }}\n}}\n"
    );
    let documents = read(&text);
    assert!(documents[0].object.is_ok(), "{documents:?}");
}

/// F8: what people's bundles look like.
#[test]
fn bundles_with_carriage_returns_marks_text_and_repetitions_are_taken() {
    let (one, two) = (authority_pem("one"), authority_pem("two"));
    for (pem, anchors) in [
        (one.replace('\n', "\r\n"), 1),
        (format!("\u{feff}{one}"), 1),
        (
            format!("subject=CN = one\nissuer=CN = one\n{one}\n\nand another:\n{two}"),
            2,
        ),
        (format!("{one}{one}"), 1),
        (one.trim_end().to_owned(), 1),
    ] {
        let documents = read(&provider_yaml("partner", "spiffe://partner/", &pem));
        let Ok(Object::TrustedIdentityProvider(object)) = &documents[0].object else {
            panic!("{pem}: {documents:?}")
        };
        assert_eq!(object.provider.anchors().len(), anchors, "{pem}");
    }
    let folded = base64(&one)
        .as_bytes()
        .chunks(76)
        .map(|line| format!("\n    {}", String::from_utf8_lossy(line)))
        .collect::<String>();
    let documents = read(&with_data(&format!("|{folded}")));
    assert!(documents[0].object.is_ok(), "{documents:?}");
}

#[test]
fn a_broken_document_leaves_the_others_of_its_file_alone() {
    let good = provider_yaml("partner", "spiffe://partner/", &authority_pem("partner"));
    let text = format!(
        "{}---\n{good}",
        good.replace("name: partner", "name: other")
            .replace("prefix", "prefx")
    );
    let documents = read(&text);
    assert_eq!(
        documents[0].object.as_ref().unwrap_err().reason(),
        "UnknownKey"
    );
    assert_eq!(documents[0].id.as_ref().unwrap().name, "other");
    assert!(documents[1].object.is_ok());
}

proptest::proptest! {
    /// Anything in the middle of a manifest.
    #[test]
    fn no_file_makes_reading_panic(bytes: Vec<u8>, at in 0..=100_usize) {
        let mut text = with_data(&base64("x")).into_bytes();
        let middle = text.len() * at / 100;
        text.splice(middle..middle, bytes);
        drop(documents(Path::new("x.yaml"), text));
    }
}
