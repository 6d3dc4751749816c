use proptest::prelude::*;
use rcgen::KeyPair;

use super::*;
use crate::fixture::{Ca, new_key};

fn certificate() -> String {
    encode("CERTIFICATE", &Ca::root("ca").der)
}

fn fault<T: std::fmt::Debug>(result: Result<T, PemFault>) -> (usize, PemProblem) {
    let fault = result.unwrap_err();
    (fault.line, fault.problem)
}

#[test]
fn bundles_are_read_as_people_write_them() {
    let (one, two) = (certificate(), certificate());
    let both = format!("{one}{two}");
    for (case, text) in [
        ("plain", both.clone()),
        ("carriage returns", both.replace('\n', "\r\n")),
        ("byte order mark", format!("\u{feff}{both}")),
        (
            "leading text",
            format!("subject=/CN=ca\n# of März\n\n{one}\nand\n{two}\nend"),
        ),
        ("indented", both.replace('\n', " \n  ")),
        ("no last newline", both.trim_end().to_owned()),
        ("old label", both.replace("CERTIFICATE", "X509 CERTIFICATE")),
    ] {
        assert_eq!(certificates(text.as_bytes()).unwrap().len(), 2, "{case}");
    }
    let latin_1 = [b"M\xe4rz\n", one.as_bytes()].concat();
    assert_eq!(certificates(&latin_1).unwrap().len(), 1);
    assert_eq!(
        certificates(format!("{one}{one}").as_bytes())
            .unwrap()
            .len(),
        2,
        "kept as is"
    );
}

#[test]
fn revocation_lists_are_read_in_der_and_in_pem() {
    let ca = Ca::root("ca");
    let der = ca.list_draft(&[&[1]]).sign(&ca.key);
    let text = encode("X509 CRL", &der);
    let of = |file: &[u8]| -> Vec<_> {
        let lists = revocation_lists(file).unwrap();
        assert!(lists.iter().all(|list| list.der == der));
        lists.iter().map(|list| list.line).collect()
    };
    assert_eq!(of(&der), [0]);
    assert_eq!(of(text.as_bytes()), [1]);
    let talkative = format!("0 Certificate Revocation List (CRL):\n\n{text}\n{text}");
    let second = 4 + text.lines().count();
    assert_eq!(of(talkative.as_bytes()), [3, second]);
    let key = new_key().serialize_pem();
    for (text, line, problem) in [
        (String::new(), 1, PemProblem::NoRevocationList),
        ("0".to_owned(), 1, PemProblem::NoRevocationList),
        (
            format!("{text}{}", certificate()),
            second - 3,
            PemProblem::NotARevocationList,
        ),
        (
            format!("\n{key}"),
            2,
            PemProblem::PrivateKeyAmongCertificates,
        ),
        (
            text.replace("END X509 CRL", "END CRL"),
            1,
            PemProblem::NotClosed,
        ),
        (text.replace("MI", "M*"), 1, PemProblem::NotBase64),
    ] {
        assert_eq!(
            fault(revocation_lists(text.as_bytes())),
            (line, problem),
            "{text}"
        );
    }
}

#[test]
fn faults_in_bundles_have_a_line_and_a_remedy() {
    let good = certificate();
    let lines = good.lines().count();
    let key = new_key().serialize_pem();
    let cut: String = good
        .lines()
        .take(3)
        .map(|line| format!("{line}\n"))
        .collect();
    let bad = good.replacen("MII", "M*I", 1);
    let bad_padding = "-----BEGIN CERTIFICATE-----\nMIIB=\n-----END CERTIFICATE-----\n";
    let empty_block = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
    let other_end = good.replace("END CERTIFICATE", "END X");
    let request = good.replace("CERTIFICATE", "CERTIFICATE REQUEST");
    for (text, line, problem) in [
        (String::new(), 1, PemProblem::NoCertificate),
        ("hello\n".to_owned(), 1, PemProblem::NoCertificate),
        (
            format!("{good}{key}"),
            lines + 1,
            PemProblem::PrivateKeyAmongCertificates,
        ),
        (
            format!("{key}{good}"),
            1,
            PemProblem::PrivateKeyAmongCertificates,
        ),
        (format!("\n\n{cut}"), 3, PemProblem::NotClosed),
        (format!("{cut}{good}"), 1, PemProblem::NotClosed),
        (other_end, 1, PemProblem::NotClosed),
        (format!("{good}{bad}"), lines + 1, PemProblem::NotBase64),
        (bad_padding.to_owned(), 1, PemProblem::NotBase64),
        (empty_block.to_owned(), 1, PemProblem::NotACertificate),
        (request, 1, PemProblem::OtherBlock),
    ] {
        let fault = certificates(text.as_bytes()).unwrap_err();
        assert_eq!((fault.line, fault.problem), (line, problem), "{text}");
        assert!(fault.to_string().contains("; ") && !fault.reason().is_empty());
    }
}

#[test]
fn messages_never_show_a_key() {
    let key = new_key().serialize_pem();
    let secret = key.lines().nth(1).unwrap();
    let broken = key.replacen("MIG", "M*G", 1);
    for fault in [
        certificates(key.as_bytes()).unwrap_err(),
        private_key(broken.as_bytes()).unwrap_err(),
        private_key(format!("{key}{key}").as_bytes()).unwrap_err(),
    ] {
        let shown = format!("{fault} {fault:?} {}", fault.reason());
        assert!(!shown.contains(secret.get(..8).unwrap()), "{shown}");
    }
}

#[test]
fn the_one_key_of_a_file_is_found() {
    let key = new_key();
    let pem = key.serialize_pem();
    let beside = format!(
        "{}-----BEGIN EC PARAMETERS-----\nBggq\n-----END EC PARAMETERS-----\n{pem}",
        certificate()
    );
    assert_eq!(
        private_key(pem.as_bytes()).unwrap().secret_der(),
        key.serialized_der()
    );
    assert_eq!(
        private_key(beside.as_bytes()).unwrap().secret_der(),
        key.serialized_der()
    );
    assert_eq!(fault(private_key(b"")), (1, PemProblem::NoPrivateKey));
    assert_eq!(
        fault(private_key(certificate().as_bytes())),
        (1, PemProblem::NoPrivateKey)
    );
    let lines = pem.lines().count();
    let twice = format!("{pem}{pem}");
    assert_eq!(
        fault(private_key(twice.as_bytes())),
        (lines + 1, PemProblem::SecondPrivateKey)
    );
    let encrypted = pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert_eq!(
        fault(private_key(encrypted.as_bytes())),
        (1, PemProblem::EncryptedKey)
    );
    let ssh = pem.replace("PRIVATE KEY", "OPENSSH PRIVATE KEY");
    assert_eq!(fault(private_key(ssh.as_bytes())), (1, PemProblem::NotAKey));
    let nonsense = encode("PRIVATE KEY", b"nonsense");
    assert_eq!(
        fault(private_key(nonsense.as_bytes())),
        (1, PemProblem::NotAKey)
    );
}

#[test]
fn a_key_is_told_from_the_key_of_another_certificate() {
    let (ca, other) = (Ca::root("ca"), Ca::root("ca"));
    let read = |key: &KeyPair| private_key(key.serialize_pem().as_bytes()).unwrap();
    assert_eq!(key_matches(&ca.der, &read(&ca.key)), Ok(()));
    assert_eq!(
        key_matches(&ca.der, &read(&other.key)),
        Err(KeyFault::Mismatch)
    );
    let broken = CertificateDer::from(b"x".to_vec());
    assert_eq!(
        key_matches(&broken, &read(&ca.key)),
        Err(KeyFault::Unreadable)
    );
}

proptest! {
    #[test]
    fn nothing_in_a_file_causes_a_panic(
        noise in prop::collection::vec(any::<u8>(), 0..300), at in 0_usize..600, flip in any::<u8>(),
    ) {
        let _fault = certificates(&noise);
        let _fault = private_key(&noise);
        let mut text = certificate().into_bytes();
        if let Some(byte) = text.get_mut(at) {
            *byte ^= flip;
        }
        if let Ok(read) = certificates(&text) {
            prop_assert_eq!(read.len(), 1);
        }
    }
}
