use proptest::prelude::*;

use super::*;
use crate::anchor::TrustAnchor;
use crate::fixture::list::{ListDraft, entry, number, reason};
use crate::fixture::{
    Ca, DAY, NOW, authority_key_id, common_name, der, extension, new_key, sequence,
};

fn parsed(draft: &ListDraft) -> Result<UnprovenList, RevocationListFault> {
    UnprovenList::parse(&draft.sign(&new_key()))
}

fn prove_by(
    list: &UnprovenList,
    anchors: &[TrustAnchor],
) -> Result<RevocationList, RevocationListFault> {
    list.prove(&Authorities::over(anchors))
}

fn reason_of<T: std::fmt::Debug>(result: Result<T, RevocationListFault>) -> &'static str {
    let fault = result.unwrap_err();
    assert!(fault.to_string().contains("; "), "a remedy: {fault}");
    fault.reason()
}

#[test]
fn a_list_says_what_its_authority_took_back() {
    let ca = Ca::root("ca");
    let draft = ca
        .list_draft(&[&[0x12, 0x34], &[0, 0x80]])
        .with_entry(entry(&[5], &[reason(1)]));
    let list = ca.list(&draft);
    assert_eq!(list.issuer_text(), "CN=ca");
    assert_eq!(list.number().unwrap().to_string(), "01");
    assert_eq!(list.this_update(), at(NOW - DAY));
    assert_eq!(list.next_update(), at(NOW + DAY));
    assert_eq!(list.revoked(), 3);
    for (serial, revoked) in [("1234", true), ("80", true), ("5", true), ("6", false)] {
        assert_eq!(list.revokes(serial.parse().unwrap()), revoked, "{serial}");
    }
}

#[test]
fn a_list_may_be_empty_and_without_a_number() {
    let ca = Ca::root("ca");
    let mut draft = ca.list_draft(&[]);
    draft.extensions.pop();
    let list = ca.list(&draft);
    assert_eq!((list.revoked(), list.number()), (0, None));
}

fn null() -> Vec<u8> {
    der(5, &[])
}

/// An extension that nobody knows.
fn unheard_of(critical: bool) -> Vec<u8> {
    extension(&[42, 3], critical, &null())
}

/// issuingDistributionPoint, with a full name and more.
fn distribution_point(more: &[u8]) -> Vec<u8> {
    let uri = der(0x86, b"http://ca.example/crl");
    let full_name = der(0xa0, &der(0xa0, &uri));
    extension(&[85, 29, 28], true, &sequence(&[full_name, more.to_vec()]))
}

#[test]
fn lists_that_cover_a_part_or_other_authorities_are_refused() {
    let ca = Ca::root("ca");
    let good = || ca.list_draft(&[&[1]]);
    let (only_users, indirect) = (der(0x81, &[0xff]), der(0x84, &[0xff]));
    let issuer_of_entry = extension(&[85, 29, 29], true, &sequence(&[der(0x86, b"x:y")]));
    let delta = extension(&[85, 29, 27], true, &der(2, &[1]));
    for (expected, draft) in [
        ("RevocationListDelta", good().with(delta)),
        (
            "RevocationListDelta",
            good().with_entry(entry(&[2], &[reason(8)])),
        ),
        (
            "RevocationListPartial",
            good().with(distribution_point(&[])),
        ),
        (
            "RevocationListPartial",
            good().with(distribution_point(&only_users)),
        ),
        (
            "RevocationListIndirect",
            good().with(distribution_point(&indirect)),
        ),
        (
            "RevocationListIndirect",
            good().with_entry(entry(&[2], &[issuer_of_entry])),
        ),
    ] {
        assert_eq!(reason_of(parsed(&draft)), expected);
    }
}

#[test]
fn lists_that_are_not_understood_are_refused() {
    let ca = Ca::root("ca");
    let good = || ca.list_draft(&[&[1]]);
    let (mut version_1, mut endless) = (good(), good());
    (version_1.version, endless.next_update) = (None, None);
    for (expected, draft) in [
        ("NotVersion2", version_1),
        ("WithoutNextUpdate", endless),
        ("CriticalExtension", good().with(unheard_of(true))),
        (
            "CriticalExtension",
            good().with_entry(entry(&[2], &[unheard_of(true)])),
        ),
        ("Malformed", good().with_entry(entry(&[0x80], &[]))),
        ("Malformed", good().with_entry(entry(&[1; 21], &[]))),
        ("Malformed", good().with_entry(null())),
        ("Malformed", good().with(number(2))),
    ] {
        assert_eq!(
            reason_of(parsed(&draft)),
            format!("RevocationList{expected}")
        );
    }
    assert!(parsed(&good().with(unheard_of(false))).is_ok());
    let whole = good().sign(&ca.key);
    let trailing = [whole.as_slice(), &[0]].concat();
    let cut = (0..whole.len()).map(|length| &whole[..length]);
    for der in cut.chain([trailing.as_slice(), &ca.der]) {
        assert_eq!(
            reason_of(UnprovenList::parse(der)),
            "RevocationListMalformed"
        );
    }
}

#[test]
fn only_the_authority_itself_proves_a_list() {
    let (ca, namesake, stranger) = (Ca::root("ca"), Ca::root("ca"), Ca::root("stranger"));
    let prove = |draft: &ListDraft, signer: &Ca, anchors: &[&Ca]| {
        let list = UnprovenList::parse(&draft.sign(&signer.key)).unwrap();
        let anchors: Vec<_> = anchors.iter().map(|ca| ca.anchor()).collect();
        list.prove(&Authorities::over(&anchors))
    };
    let draft = ca.list_draft(&[&[0x77]]);
    let proven = prove(&draft, &ca, &[&stranger, &namesake, &ca]).unwrap();
    assert_eq!(*proven.authority(), AuthorityId::of(&ca.anchor()));
    assert_eq!(
        reason_of(prove(&draft, &namesake, &[&ca])),
        "RevocationListSignature"
    );
    assert_eq!(
        reason_of(prove(&draft, &stranger, &[&ca])),
        "RevocationListSignature"
    );
    assert_eq!(
        reason_of(prove(&draft, &ca, &[&stranger])),
        "RevocationListOfNobody"
    );
    assert_eq!(reason_of(prove(&draft, &ca, &[])), "RevocationListOfNobody");
    let mut altered = draft.sign(&ca.key);
    let at = altered
        .windows(3)
        .position(|bytes| bytes == [2, 1, 0x77])
        .unwrap();
    altered[at + 2] = 0x78;
    let altered = UnprovenList::parse(&altered).unwrap();
    assert_eq!(
        reason_of(prove_by(&altered, &[ca.anchor()])),
        "RevocationListSignature"
    );
}

#[test]
fn an_authority_whose_key_usage_forbids_it_signs_no_lists() {
    let certs_only = extension(&[85, 29, 15], true, &der(3, &[2, 0b0000_0100]));
    let ca = Ca::root_as(common_name("ca"), |draft| {
        draft.without(15).with(certs_only.clone())
    });
    let list = UnprovenList::parse(&ca.list_draft(&[]).sign(&ca.key)).unwrap();
    assert_eq!(
        reason_of(prove_by(&list, &[ca.anchor()])),
        "RevocationListKeyUsage"
    );
    // Issued anew, with both: the same authority.
    let anew = Ca::with_key(Arc::clone(&ca.key), common_name("ca"), |draft| draft);
    assert!(prove_by(&list, &[ca.anchor(), anew.anchor()]).is_ok());
    let unsaid = Ca::with_key(Arc::clone(&ca.key), common_name("ca"), |d| d.without(15));
    assert!(prove_by(&list, &[unsaid.anchor()]).is_ok());
}

/// Installers name all their CAs alike: the key identifier says which one it was, with bounded work.
#[test]
fn among_many_of_one_name_the_key_identifier_decides() {
    let cas: Vec<_> = (0..17).map(|_| Ca::root("kubernetes")).collect();
    let anchors: Vec<_> = cas.iter().map(Ca::anchor).collect();
    let draft = cas[16].list_draft(&[&[1]]);
    let list = UnprovenList::parse(&draft.sign(&cas[16].key)).unwrap();
    assert_eq!(
        *prove_by(&list, &anchors).unwrap().authority(),
        AuthorityId::of(&anchors[16])
    );
    let mut unsaid = draft;
    unsaid.extensions.remove(0);
    let list = UnprovenList::parse(&unsaid.sign(&cas[16].key)).unwrap();
    assert_eq!(
        reason_of(prove_by(&list, &anchors)),
        "RevocationListAmbiguous"
    );
    assert!(prove_by(&list, &anchors[1..]).is_ok(), "sixteen are tried");
    unsaid.extensions.push(authority_key_id(b"nobody"));
    let list = UnprovenList::parse(&unsaid.sign(&cas[16].key)).unwrap();
    assert_eq!(
        reason_of(prove_by(&list, &anchors)),
        "RevocationListOfNobody"
    );
    assert!(
        prove_by(&list, &anchors[15..]).is_ok(),
        "few are tried all the same"
    );
}

#[test]
fn numbers_order_lists_and_times_where_there_are_none() {
    let ca = Ca::root("ca");
    let made = |n: Option<u8>, this_update: u64| {
        let mut draft = ca.list_draft(&[]);
        draft.extensions.pop();
        draft.extensions.extend(n.map(number));
        draft.this_update = this_update;
        ca.list(&draft)
    };
    for (older, newer) in [
        ((Some(1), NOW), (Some(2), NOW - 5)),
        ((Some(1), NOW - 5), (Some(1), NOW)),
        ((None, NOW - 5), (None, NOW)),
        ((None, NOW - 5), (Some(1), NOW)),
        ((Some(9), NOW - 5), (None, NOW)),
    ] {
        let (older, newer) = (made(older.0, older.1), made(newer.0, newer.1));
        assert!(older.is_older_than(&newer) && !newer.is_older_than(&older));
        assert!(!newer.is_older_than(&newer));
    }
}

/// As openssl and the CAs of this world sign them.
#[test]
fn lists_of_every_usual_kind_of_key_are_proven() {
    use rcgen::{
        CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa, KeyIdMethod,
        KeyPair, KeyUsagePurpose, SerialNumber,
    };
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ECDSA_P521_SHA512,
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_RSA_SHA256,
        &rcgen::PKCS_RSA_SHA512,
    ] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let list = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2029, 12, 1),
            next_update: rcgen::date_time_ymd(2030, 12, 1),
            crl_number: SerialNumber::from(7_u64),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&issuer).unwrap();
        let anchor = TrustAnchor::parse(issuer.der().clone()).unwrap();
        let proven = prove_by(&UnprovenList::parse(list.der()).unwrap(), &[anchor]);
        assert_eq!(
            proven.unwrap().number().unwrap().to_string(),
            "07",
            "{algorithm:?}"
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(bytes: Vec<u8>, from in 0..400_usize, to in 0..400_usize) {
        static LIST: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let list = LIST.get_or_init(|| {
            let ca = Ca::root("ca");
            ca.list_draft(&[&[1], &[2]]).sign(&ca.key)
        });
        let mut list = list.clone();
        let from = from.min(list.len());
        list.splice(from..to.clamp(from, list.len()), bytes);
        if let Ok(list) = UnprovenList::parse(&list) {
            drop(prove_by(&list, &[Ca::root("ca").anchor()]));
        }
    }
}
