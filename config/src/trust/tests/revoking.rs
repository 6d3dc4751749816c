//! Revocation lists as files beside the objects, looked at by hand. Case A57.

use gangplank_pki::inspect::inspect_certificates;
use gangplank_pki::issue::CertificateAuthority;
use gangplank_pki::{identify, pem};

use super::*;
use crate::fixture::{List, authority, base64, caller, issued, now};

/// A provider of one authority, and certificates of it.
struct Organisation {
    name: &'static str,
    authority: CertificateAuthority,
}

impl Organisation {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            authority: authority(name),
        }
    }

    fn provider(&self) -> String {
        let prefix = format!("spiffe://{}/", self.name);
        provider_yaml(self.name, &prefix, self.authority.certificate_pem())
    }

    /// The provider with this line in its specification.
    fn specified(&self, line: &str) -> String {
        self.provider()
            .replace("spec:\n", &format!("spec:\n  {line}\n"))
    }

    /// With a list in the object itself.
    fn with_own_list(&self, list: &List<'_>) -> String {
        let data = base64(list.der(&self.authority));
        self.specified(&format!("certificateRevocationListData: {data}"))
    }

    /// A certificate, and its serial number.
    fn caller(&self) -> (String, String) {
        let certificate = issued(&self.authority, caller()).cert_pem;
        let serial = inspect_certificates(certificate.as_bytes()).unwrap()[0]
            .serial
            .clone();
        (certificate, serial)
    }
}

impl Looked {
    /// Who an exit would say that the certificate is, or why nobody, when everything was made.
    fn asked(&self, certificate: &str) -> String {
        let chain = pem::certificates(certificate.as_bytes()).unwrap();
        match identify(self.state.bundle(), &chain, now()) {
            Ok(identity) => identity.username().to_owned(),
            Err(refusal) => refusal.class().to_owned(),
        }
    }

    /// The numbers of the lists in use.
    fn numbers(&self) -> Vec<String> {
        let providers = self.state.bundle().providers().iter();
        let lists = providers.flat_map(|provider| provider.lists());
        lists
            .map(|list| list.number().unwrap().to_string())
            .collect()
    }
}

#[test]
fn a_list_beside_its_provider_counts_in_der_and_in_pem_for_as_long_as_it_is_there() {
    let (a, b) = (Organisation::new("a"), Organisation::new("b"));
    let ((leaf, serial), (sister, _)) = (a.caller(), a.caller());
    let (others, _) = b.caller();
    let revoking = List {
        serials: &[&serial],
        ..List::numbered(1)
    };
    let both = format!(
        "{}{}",
        List::numbered(1).pem(&b.authority),
        revoking.pem(&a.authority)
    );
    for content in [revoking.der(&a.authority), both.into_bytes()] {
        let mut looked = Looked::with(|at| {
            at.write("trust/a.yaml", a.provider());
            at.write("trust/b.yaml", b.provider());
        });
        assert_eq!(looked.asked(&leaf), "spiffe://a/alice");
        looked.place.write("trust/any-name.crl", &content);
        assert!(looked.look().is_empty());
        assert_eq!(looked.asked(&leaf), "Revoked");
        assert_eq!(looked.asked(&sister), "spiffe://a/alice");
        assert_eq!(looked.asked(&others), "spiffe://b/alice");
        assert_eq!(looked.generation(), 2);
        looked.look();
        assert_eq!(looked.generation(), 2, "looking again changes nothing");
        assert!(
            looked.kept().is_empty(),
            "the provider is the one that is written"
        );
        fs::rename(
            looked.place.path("trust/any-name.crl"),
            looked.place.path("trust/other.crl"),
        )
        .unwrap();
        assert!(looked.look().is_empty());
        assert_eq!(
            (looked.asked(&leaf).as_str(), looked.generation()),
            ("Revoked", 2)
        );
        looked.place.remove("trust/other.crl");
        assert!(looked.look().is_empty());
        assert_eq!(looked.asked(&leaf), "spiffe://a/alice");
    }
}

#[test]
fn a_cold_start_reads_lists_before_anybody_is_let_in() {
    let a = Organisation::new("a");
    let (leaf, serial) = a.caller();
    let revoking = List {
        serials: &[&serial],
        ..List::numbered(1)
    };
    let looked = Looked::with(|at| {
        at.write("trust/0.crl", revoking.pem(&a.authority));
        at.write("trust/a.yaml", a.provider());
    });
    assert_eq!(
        (looked.asked(&leaf).as_str(), looked.generation()),
        ("Revoked", 1)
    );
}

/// §4.9: bad input removes nothing that was good.
#[test]
fn a_broken_list_keeps_the_last_good_one() {
    let (a, b) = (Organisation::new("a"), Organisation::new("b"));
    let mut looked = Looked::with(|at| {
        at.write("trust/a.yaml", a.provider());
        at.write("trust/b.yaml", b.provider());
        at.write("trust/a.crl", List::numbered(1).der(&a.authority));
    });
    let whole = List::numbered(2).der(&a.authority);
    let (namesake, list) = (authority("a"), List::numbered(2));
    for (reason, content) in [
        ("RevocationListMalformed", whole.split_at(whole.len() / 2).0),
        ("NoRevocationList", b"<html>404 Not Found</html>"),
        ("Empty", b""),
        ("RevocationListSignature", &list.der(&namesake)),
        ("RevocationListSignature", list.pem(&namesake).as_bytes()),
    ] {
        looked.place.write("trust/a.crl", content);
        assert_eq!(looked.look(), [reason]);
        assert_eq!(looked.look(), [reason], "as long as it is there");
        assert_eq!(
            (looked.numbers(), looked.generation()),
            (vec!["01".to_owned()], 1)
        );
    }
    // Of two lists in a file, one is good.
    let both = format!("{}{}", list.pem(&namesake), list.pem(&b.authority));
    looked.place.write("trust/a.crl", both);
    assert_eq!(looked.look(), ["RevocationListSignature"]);
    assert_eq!(looked.numbers(), ["01", "02"], "a's is kept, b's is new");
    looked.place.write("trust/a.crl", whole);
    assert!(looked.look().is_empty());
    assert_eq!(looked.numbers(), ["02"]);
}

#[test]
fn a_list_never_goes_back_while_it_is_there() {
    let a = Organisation::new("a");
    let list = |number| List::numbered(number).der(&a.authority);
    let mut looked = Looked::with(|at| {
        at.write("trust/a.yaml", a.provider());
        at.write("trust/a.crl", list(5));
    });
    looked.place.write("trust/a.crl", list(4));
    assert_eq!(looked.look(), ["RevocationListWentBack"]);
    assert_eq!(looked.numbers(), ["05"]);
    looked.place.write("trust/b.crl", list(3));
    looked.place.remove("trust/a.crl");
    assert_eq!(
        looked.look(),
        ["RevocationListWentBack"],
        "under another name"
    );
    assert_eq!(looked.numbers(), ["05"]);
    looked.place.write("trust/b.crl", "half");
    assert_eq!(
        looked.look(),
        ["NoRevocationList"],
        "and of that the last good one"
    );
    assert_eq!(looked.numbers(), ["05"]);
    looked.place.write("trust/a.crl", list(6));
    looked.place.remove("trust/b.crl");
    assert!(looked.look().is_empty());
    assert_eq!(looked.numbers(), ["06"]);
    // A CA that began anew: the old list is taken away first.
    looked.place.remove("trust/a.crl");
    assert!(looked.look().is_empty());
    looked.place.write("trust/a.crl", list(1));
    assert!(looked.look().is_empty());
    assert_eq!(looked.numbers(), ["01"]);
}

#[test]
fn of_two_files_of_one_authority_the_newer_counts_whatever_it_is_called() {
    let a = Organisation::new("a");
    let list = |number| List::numbered(number).der(&a.authority);
    for (one, other) in [(1, 2), (2, 1)] {
        let mut looked = Looked::with(|at| {
            at.write("trust/a.yaml", a.provider());
            at.write("trust/a.crl", list(one));
            at.write("trust/b.crl", list(other));
        });
        assert_eq!(looked.numbers(), ["02"]);
        let older = if one == 1 {
            "trust/a.crl"
        } else {
            "trust/b.crl"
        };
        looked.place.remove(older);
        assert!(looked.look().is_empty());
        assert_eq!(
            (looked.numbers(), looked.generation()),
            (vec!["02".to_owned()], 1)
        );
    }
}

#[test]
fn the_list_in_an_object_never_goes_back_either() {
    let a = Organisation::new("a");
    let manifest = |number| a.with_own_list(&List::numbered(number));
    let mut looked = Looked::with(|at| at.write("trust/a.yaml", manifest(5)));
    looked.place.write("trust/a.yaml", manifest(4));
    assert_eq!(looked.look(), ["RevocationListWentBack"]);
    assert_eq!(looked.numbers(), ["05"]);
    assert_eq!(looked.kept(), [("namespace-a/a".to_owned(), 100)]);
    looked.place.write("trust/a.yaml", manifest(6));
    assert!(looked.look().is_empty());
    assert_eq!(looked.numbers(), ["06"]);
    // Of a list beside it and its own, the newer one counts.
    looked
        .place
        .write("trust/a.crl", List::numbered(7).der(&a.authority));
    assert!(looked.look().is_empty());
    assert_eq!(looked.numbers(), ["07"]);
    looked.place.write("trust/a.yaml", manifest(8));
    assert!(looked.look().is_empty());
    assert_eq!(looked.numbers(), ["08"]);
}

/// A list whose provider was taken away first, or comes later, is told and stops nothing.
#[test]
fn a_list_of_nobody_is_told_and_counts_once_its_authority_is_there() {
    let a = Organisation::new("a");
    let place = Workplace::empty();
    fs::create_dir(place.path("trust")).unwrap();
    place.write("trust/a.crl", List::numbered(1).der(&a.authority));
    let (source, _watcher) = open(&place).unwrap();
    let reasons: Vec<_> = source.report().faults.iter().map(Fault::reason).collect();
    assert_eq!(reasons, ["RevocationListOfNobody"]);

    let mut looked =
        Looked::with(|at| at.write("trust/a.crl", List::numbered(1).der(&a.authority)));
    assert_eq!(looked.look(), ["RevocationListOfNobody"]);
    looked.place.write("trust/a.yaml", a.provider());
    assert!(looked.look().is_empty());
    assert_eq!(looked.numbers(), ["01"]);
    looked.place.remove("trust/a.yaml");
    assert_eq!(looked.look(), ["RevocationListOfNobody"]);
    // With the authority its past is gone too.
    looked.place.write("trust/a.yaml", a.provider());
    looked
        .place
        .write("trust/a.crl", List::numbered(0).der(&a.authority));
    assert!(looked.look().is_empty());
    assert_eq!(looked.numbers(), ["00"]);
}

#[test]
fn a_late_list_is_told_and_missing_ones_where_it_is_strict() {
    let (a, b) = (Organisation::new("a"), Organisation::new("b"));
    let (leaf, _) = a.caller();
    let (others, _) = b.caller();
    let late = List {
        next_update: now().as_secs() - 1,
        ..List::numbered(1)
    };
    let strict = b.specified("crl: Strict");
    let mut looked = Looked::with(|at| {
        at.write("trust/a.yaml", a.provider());
        at.write("trust/b.yaml", &strict);
        at.write("trust/a.crl", late.pem(&a.authority));
    });
    assert_eq!(looked.look(), ["RevocationListMissing"]);
    looked.clock.set(now());
    assert_eq!(
        looked.look(),
        ["RevocationListLate", "RevocationListMissing"]
    );
    assert_eq!(looked.asked(&leaf), "spiffe://a/alice", "kept");
    assert_eq!(
        looked.asked(&others),
        "spiffe://b/alice",
        "nothing to be strict about"
    );
    looked.place.write("trust/b.crl", late.pem(&b.authority));
    assert_eq!(looked.look(), ["RevocationListLate", "RevocationListLate"]);
    assert_eq!(looked.asked(&others), "RevocationUnknown");
    looked.clock.set(at(100));
    let told: Vec<String> = {
        looked.place.remove("trust/b.crl");
        looked.clock.set(now());
        let look = looked.state.look();
        look.notices
            .iter()
            .map(|fault| looked.place.told(fault))
            .collect()
    };
    insta::assert_snapshot!(told.join("\n"));
    for organisation in [&a, &b] {
        let file = format!("trust/{}.crl", organisation.name);
        let current = List::numbered(2).pem(&organisation.authority);
        looked.place.write(&file, current);
    }
    assert!(looked.look().is_empty());
    assert_eq!(looked.asked(&others), "spiffe://b/alice");
}

/// What revokes must not wait for a stranger's conflict, nor for the object's own.
#[test]
fn revocations_count_whatever_conflicts() {
    let (a, b) = (Organisation::new("a"), Organisation::new("b"));
    let (leaf, serial) = a.caller();
    let mut looked = Looked::with(|at| {
        at.write("trust/a.yaml", a.provider());
        at.write("trust/b.yaml", b.provider());
    });
    // The edit is refused; the list speaks for itself.
    let edit = a.provider().replace("spiffe://a/", "spiffe://b/a/");
    looked.place.write("trust/a.yaml", edit);
    let revoking = List {
        serials: &[&serial],
        ..List::numbered(1)
    };
    looked
        .place
        .write("trust/a.crl", revoking.der(&a.authority));
    assert_eq!(looked.look(), ["PrefixConflict"]);
    assert_eq!(looked.asked(&leaf), "Revoked");
    // The same by name, while a newcomer claims the prefix.
    looked.place.remove("trust/a.crl");
    looked.place.write("trust/a.yaml", a.provider());
    assert!(looked.look().is_empty());
    assert_eq!(looked.asked(&leaf), "spiffe://a/alice");
    let denying = a.specified(&format!("deniedCertificates: [\"serial:{serial}\"]"));
    looked.place.write("trust/a.yaml", denying);
    looked
        .place
        .write("trust/c.yaml", with_prefix("c", "spiffe://a/"));
    assert_eq!(looked.look(), ["PrefixConflict"]);
    assert_eq!(looked.asked(&leaf), "Revoked");
}

/// What a CRL file can be, and is told as.
#[test]
fn faults_of_files_of_lists() {
    let a = Organisation::new("a");
    let namesake = List::numbered(1).pem(&authority("a"));
    let good = List::numbered(1).pem(&a.authority);
    let certificate = a.authority.certificate_pem();
    let planted = [
        ("nothing in it", " \n".to_owned()),
        ("a page", "<html></html>".to_owned()),
        ("cut off", good.split_at(80).0.to_owned()),
        (
            "a certificate behind the list",
            format!("{good}{certificate}"),
        ),
        (
            "a namesake's, behind the right one",
            format!("{good}{namesake}"),
        ),
        ("too large", " ".repeat(8 * 1024 * 1024 + 1)),
    ];
    let said = |what: &str, plant: &dyn Fn(&Workplace)| {
        let place = Workplace::empty();
        fs::create_dir(place.path("trust")).unwrap();
        place.write("trust/a.yaml", a.provider());
        plant(&place);
        let faults = open(&place).expect_err(what);
        format!("# {what}\n{}\n\n", place.told(&faults))
    };
    let paragraphs = planted
        .iter()
        .map(|(what, content)| said(what, &|at| at.write("trust/a.crl", content)));
    let directory = said("a directory", &|at| {
        fs::create_dir(at.path("trust/a.crl")).unwrap();
    });
    insta::assert_snapshot!(paragraphs.chain([directory]).collect::<String>());
}
