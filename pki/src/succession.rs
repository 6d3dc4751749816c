//! One certificate authority follows another: what the old key has signed of the new one.
//!
//! The proof is a cross certificate: the successor's name and key, certified by its predecessor. Whoever has pinned the
//! predecessor takes the successor over when he sees one, whoever brings it. It is a proof and no link of a chain: the
//! authorities made here may certify no further ones, so no verifier of chains takes it for one.

use rustls_pki_types::{CertificateDer, UnixTime};

use crate::anchor::TrustAnchor;
use crate::certificate::Certificate;
use crate::signed::Signed;

/// Does `proof` show that whoever holds the key of `pinned` wants `candidate` trusted in its place?
///
/// It must be the certificate of an authority with the candidate's name and key, signed by the pinned key in the pinned
/// name. The candidate must have signed itself, so that nothing in it, such as its end, is somebody else's word. All
/// three must be valid now: an authority whose time is over advances nobody.
pub fn advances(
    pinned: &TrustAnchor,
    candidate: &TrustAnchor,
    proof: &CertificateDer<'_>,
    now: UnixTime,
) -> bool {
    certified(pinned, proof, now).is_some_and(|certified| is_meant(&certified, candidate, now))
}

/// The candidates that the pinned authorities lead to, over as many steps as it takes; not the pinned ones themselves.
/// The authorities between need not be there: their proofs say all that is needed of them. More than a handful of
/// either is not read.
pub fn successors(
    pinned: &[TrustAnchor],
    candidates: &[TrustAnchor],
    proofs: &[CertificateDer<'_>],
    now: UnixTime,
) -> Vec<TrustAnchor> {
    let mut vouched: Vec<TrustAnchor> = pinned.to_vec();
    let mut left: Vec<&CertificateDer<'_>> = proofs.iter().take(MOST).collect();
    let next = |vouched: &[TrustAnchor], left: &[&CertificateDer<'_>]| {
        left.iter().enumerate().find_map(|(place, proof)| {
            let mut from = vouched.iter();
            Some((place, from.find_map(|from| certified(from, proof, now))?))
        })
    };
    while let Some((place, certified)) = next(&vouched, &left) {
        left.swap_remove(place);
        vouched.push(certified);
    }
    let (_pinned, vouched) = vouched.split_at(pinned.len());
    let mut followed: Vec<TrustAnchor> = candidates.iter().take(MOST).cloned().collect();
    followed.retain(|candidate| {
        let mut vouched = vouched.iter();
        !is_among(candidate, pinned) && vouched.any(|vouched| is_meant(vouched, candidate, now))
    });
    followed
}

/// What `proof` certifies, if `from` signed it and both are valid.
fn certified(from: &TrustAnchor, proof: &CertificateDer<'_>, now: UnixTime) -> Option<TrustAnchor> {
    let read = Certificate::parse(proof)?;
    let certified = TrustAnchor::parse(proof.clone()).ok()?;
    let good = read.issuer() == from.subject()
        && is_now(from, now)
        && is_now(&certified, now)
        && is_signed_by(proof, from);
    good.then_some(certified)
}

/// Is `candidate` the authority whose name and key were certified, in its own words?
fn is_meant(certified: &TrustAnchor, candidate: &TrustAnchor, now: UnixTime) -> bool {
    certified.subject() == candidate.subject()
        && certified.public_key() == candidate.public_key()
        && is_now(candidate, now)
        && is_signed_by(candidate.der(), candidate)
}

fn is_now(anchor: &TrustAnchor, now: UnixTime) -> bool {
    anchor.not_before() <= now && now <= anchor.not_after()
}

/// Authorities, and proofs, of one cluster that are looked at: each lives for years, and a stranger's list costs no more
/// than a few thousand signatures.
const MOST: usize = 16;

fn is_among(anchor: &TrustAnchor, others: &[TrustAnchor]) -> bool {
    let same = |other: &TrustAnchor| other.fingerprint() == anchor.fingerprint();
    others.iter().any(same)
}

fn is_signed_by(certificate: &CertificateDer<'_>, signer: &TrustAnchor) -> bool {
    let signed = Signed::split(certificate);
    signed.is_some_and(|signed| signed.is_signed_by(signer.public_key()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::at;
    use crate::fixture::{DAY, NOW, now};
    use crate::issue::CertificateAuthority;

    fn authority(name: &str) -> CertificateAuthority {
        CertificateAuthority::create(name, 365, now()).unwrap()
    }

    fn holds(
        pinned: &CertificateAuthority,
        candidate: &CertificateAuthority,
        proof: &CertificateDer<'_>,
    ) -> bool {
        advances(pinned.anchor(), candidate.anchor(), proof, now())
    }

    #[test]
    fn the_pinned_key_advances_to_what_it_signed() {
        let (old, new) = (authority("one"), authority("two"));
        let proof = old.certify_successor(&new, now()).unwrap();
        assert!(holds(&old, &new, &proof));
        assert!(!holds(&new, &old, &proof), "not back");
    }

    #[test]
    fn the_same_name_is_no_obstacle() {
        let (old, new) = (authority("same"), authority("same"));
        let proof = old.certify_successor(&new, now()).unwrap();
        assert!(holds(&old, &new, &proof));
        assert!(!holds(&old, &authority("same"), &proof), "another key");
    }

    #[test]
    fn a_proof_by_another_key_is_refused() {
        let (old, new) = (authority("one"), authority("two"));
        let stranger = authority("one");
        let proof = stranger.certify_successor(&new, now()).unwrap();
        assert!(!holds(&old, &new, &proof));
        let own = new.anchor().der();
        assert!(!holds(&old, &new, own), "its own word is none");
    }

    #[test]
    fn a_proof_for_another_authority_is_refused() {
        let (old, new, other) = (authority("one"), authority("two"), authority("three"));
        let proof = old.certify_successor(&other, now()).unwrap();
        assert!(!holds(&old, &new, &proof));
    }

    #[test]
    fn what_is_over_or_has_not_begun_advances_nobody() {
        let old = CertificateAuthority::create("one", 10, now()).unwrap();
        let new = authority("two");
        let proof = old.certify_successor(&new, now()).unwrap();
        let when = |moment| advances(old.anchor(), new.anchor(), &proof, at(moment));
        assert!(when(NOW + 10 * DAY));
        assert!(!when(NOW + 10 * DAY + 1), "the old one is over");
        assert!(!when(NOW - 301), "it has not begun");
        let short = CertificateAuthority::create("two", 5, now()).unwrap();
        let proof = old.certify_successor(&short, now()).unwrap();
        let when = |moment| advances(old.anchor(), short.anchor(), &proof, at(moment));
        assert!(
            when(NOW + 5 * DAY) && !when(NOW + 5 * DAY + 1),
            "the new one is over"
        );
    }

    #[test]
    fn a_leaf_is_no_proof() {
        let (old, new) = (authority("one"), authority("two"));
        let kind = crate::issue::Kind::Caller {
            common_name: "two".to_owned(),
            uri: None,
        };
        let request = crate::issue::Request {
            kind,
            lifetime: Duration::from_secs(DAY),
            now: now(),
        };
        let leaf = old.issue(&request).unwrap().cert_pem;
        let leaf = crate::pem::certificates(leaf.as_bytes()).unwrap().remove(0);
        assert!(!holds(&old, &new, &leaf));
        let proof = old.certify_successor(&new, now()).unwrap();
        for at in 0..proof.len() {
            let mut bent = proof.to_vec();
            bent[at] ^= 1;
            assert!(!holds(&old, &new, &bent.into()), "byte {at}");
        }
    }

    /// Somebody who carries certificates could else lengthen the life of an authority whose key he never had.
    #[test]
    fn a_candidate_that_did_not_sign_itself_is_refused() {
        let (old, new) = (authority("one"), authority("two"));
        let proof = old.certify_successor(&new, now()).unwrap();
        let mut bent = new.anchor().der().to_vec();
        *bent.last_mut().unwrap() ^= 1;
        let candidate = TrustAnchor::parse(bent.into()).unwrap();
        assert!(!advances(old.anchor(), &candidate, &proof, now()));
    }

    #[test]
    fn many_steps_are_followed_in_any_order() {
        let steps = ["a", "b", "c", "d"].map(authority);
        let proofs: Vec<_> = steps
            .windows(2)
            .map(|pair| pair[0].certify_successor(&pair[1], now()).unwrap())
            .collect();
        let anchors: Vec<_> = steps.iter().map(|step| step.anchor().clone()).collect();
        let mut candidates = anchors.clone();
        candidates.reverse();
        candidates.push(authority("stranger").anchor().clone());
        let told = |from: &[TrustAnchor], proofs: &[CertificateDer<'_>]| {
            let followed = successors(from, &candidates, proofs, now());
            followed
                .iter()
                .map(|anchor| anchor.subject_text().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(told(&anchors[..1], &proofs), ["CN=d", "CN=c", "CN=b"]);
        let last = successors(&anchors[..1], &anchors[3..], &proofs, now());
        assert_eq!(last.len(), 1, "those between need not be there");
        assert_eq!(told(&anchors[2..3], &proofs), ["CN=d"]);
        assert_eq!(
            told(&anchors[..1], &proofs[1..]),
            [""; 0],
            "a step is missing"
        );
    }
}
