//! From a leaf to the anchors: every path that holds.

mod chain;

use std::cell::RefCell;

pub(crate) use chain::Chain;
use rustls_pki_types::UnixTime;
use webpki::{KeyUsage, VerifiedPath};

use crate::anchor::TrustAnchor;
use crate::certificate::Certificate;
use crate::crypto;
use crate::provider::{Issuer, Provider};
use crate::refusal::{IssuerRule, Link, Purpose, Refusal, Revoker};

/// id-kp-clientAuth, 1.3.6.1.5.5.7.3.2 (RFC 5280 §4.2.1.12), as its DER content.
const CLIENT_AUTH: &[u8] = &[43, 6, 1, 5, 5, 7, 3, 2];

/// id-kp-serverAuth, 1.3.6.1.5.5.7.3.1, as its DER content.
const SERVER_AUTH: &[u8] = &[43, 6, 1, 5, 5, 7, 3, 1];

/// In which place a certificate is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    /// A caller's: clientAuth if it has an extended key usage at all.
    CallerAtExit,
    /// An agent's: clientAuth, said in so many words.
    AgentAtRelay,
    /// A relay's: serverAuth, said in so many words.
    RelayAtAgent,
}

impl Usage {
    fn purpose(self) -> Purpose {
        match self {
            Self::CallerAtExit | Self::AgentAtRelay => Purpose::Client,
            Self::RelayAtAgent => Purpose::Server,
        }
    }

    /// What webpki is to demand of intermediates and leaf alike.
    fn of_every_certificate(self) -> KeyUsage {
        match self.purpose() {
            Purpose::Client => KeyUsage::required_if_present(CLIENT_AUTH),
            Purpose::Server => KeyUsage::required_if_present(SERVER_AUTH),
        }
    }

    fn must_be_said(self) -> bool {
        self != Self::CallerAtExit
    }
}

/// A CA that is trusted, and by which provider; agents and relays are nobody's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trusted<'b> {
    pub(crate) anchor: &'b TrustAnchor,
    pub(crate) provider: Option<&'b Provider>,
}

impl<'b> From<&'b TrustAnchor> for Trusted<'b> {
    fn from(anchor: &'b TrustAnchor) -> Self {
        Self {
            anchor,
            provider: None,
        }
    }
}

/// A path that holds: which of the given anchors it ends at, and the last second it is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) anchor: usize,
    pub(crate) valid_until: UnixTime,
}

/// Every path from the leaf to one of `anchors` that holds at `now`; at least one.
///
/// webpki verifies signatures, validity, names and usages of what was sent, and is told to go on
/// after each path it finds. What it knows nothing of is checked here: the anchor's own validity,
/// purposes and path length, the key usage of intermediates, and what was revoked.
///
/// A path through a revoked intermediate does not hold, but another may. A leaf that was revoked on
/// one path is refused whatever the others say: it would be someone else's otherwise.
pub(crate) fn verify(
    chain: &Chain<'_>,
    anchors: &[Trusted<'_>],
    usage: Usage,
    now: UnixTime,
) -> Result<Vec<Path>, Refusal> {
    if anchors.is_empty() {
        return Err(chain.unknown_issuer()); // no work for strangers
    }
    let for_webpki: Vec<_> = anchors.iter().map(|it| it.anchor.for_webpki()).collect();
    let search = RefCell::new(Search {
        chain,
        usage,
        now,
        paths: Vec::new(),
        refused: None,
        revoked: None,
    });
    let weigh = |path: &VerifiedPath<'_>| {
        let position = for_webpki
            .iter()
            .position(|anchor| std::ptr::eq(anchor, path.anchor()));
        let trusted = position.and_then(|at| Some((at, *anchors.get(at)?)));
        search.borrow_mut().weigh(path, trusted);
        Err(webpki::Error::UnknownIssuer) // go on: all paths are wanted
    };
    let outcome = chain.end_entity().verify_for_usage(
        crypto::chain_algorithms(),
        &for_webpki,
        chain.intermediates(),
        now,
        usage.of_every_certificate(),
        None,
        Some(&weigh),
    );
    let error = outcome.err().unwrap_or(webpki::Error::UnknownIssuer);
    let search = search.into_inner();
    let refusal = explain(chain, usage, &error);
    if refusal == Refusal::TooComplex {
        return Err(refusal); // a path not looked at could lead elsewhere
    }
    if let Some(revoked) = search.revoked {
        return Err(revoked);
    }
    if search.paths.is_empty() {
        return Err(search.refused.unwrap_or(refusal));
    }
    if usage.must_be_said() && chain.leaf().extended_key_usage().is_none() {
        return Err(Refusal::WrongPurpose {
            purpose: usage.purpose(),
        });
    }
    Ok(search.paths)
}

struct Search<'c, 'a> {
    chain: &'c Chain<'a>,
    usage: Usage,
    now: UnixTime,
    paths: Vec<Path>,
    refused: Option<Refusal>,
    /// That the leaf was revoked on some path.
    revoked: Option<Refusal>,
}

impl Search<'_, '_> {
    fn weigh(&mut self, path: &VerifiedPath<'_>, trusted: Option<(usize, Trusted<'_>)>) {
        let Some((position, trusted)) = trusted else {
            return;
        };
        match self.check(path, trusted) {
            Ok(valid_until) => self.paths.push(Path {
                anchor: position,
                valid_until,
            }),
            Err(refusal) => {
                self.refused.get_or_insert(refusal);
            }
        }
    }

    /// Checks what webpki does not, and finds the earliest end on the path.
    fn check(
        &mut self,
        path: &VerifiedPath<'_>,
        trusted: Trusted<'_>,
    ) -> Result<UnixTime, Refusal> {
        let anchor = trusted.anchor;
        if self.now < anchor.not_before() {
            let not_before = anchor.not_before();
            return Err(Refusal::NotYetValid {
                link: Link::Anchor,
                not_before,
            });
        }
        if self.now > anchor.not_after() {
            let not_after = anchor.not_after();
            return Err(Refusal::Expired {
                link: Link::Anchor,
                not_after,
            });
        }
        if !anchor.allows(self.usage.purpose()) {
            return Err(Refusal::WrongPurpose {
                purpose: self.usage.purpose(),
            });
        }
        let chain = self.chain;
        let between: Vec<_> = path
            .intermediate_certificates()
            .map(|it| chain.intermediate(&it.der()))
            .collect::<Option<_>>()
            .ok_or_else(|| chain.unknown_issuer())?;
        if anchor
            .path_length()
            .is_some_and(|most| between.len() > most)
        {
            return Err(Refusal::IssuerNotAllowed {
                rule: IssuerRule::PathLength,
            });
        }
        let mut valid_until = chain.leaf().not_after().min(anchor.not_after());
        for parsed in &between {
            if !parsed.may_sign_certificates() {
                return Err(Refusal::IssuerNotAllowed {
                    rule: IssuerRule::KeyUsage,
                });
            }
            valid_until = valid_until.min(parsed.not_after());
        }
        match trusted.provider.filter(|it| it.revokes_something()) {
            Some(provider) => Ok(self
                .check_revocations(provider, anchor, &between)?
                .map_or(valid_until, |until| until.min(valid_until))),
            None => Ok(valid_until),
        }
    }

    /// Is any certificate of the path revoked, from the leaf up? `between` are the intermediates in
    /// this order. Gives the earliest moment until which a strict provider's lists can say so.
    fn check_revocations(
        &mut self,
        provider: &Provider,
        anchor: &TrustAnchor,
        between: &[&Certificate<'_>],
    ) -> Result<Option<UnixTime>, Refusal> {
        if provider.denies_anchor(anchor) {
            let (link, by) = (Link::Anchor, Revoker::Administrator);
            return Err(Refusal::Revoked { link, by });
        }
        let issuers = between
            .iter()
            .map(|certificate| Issuer::Intermediate(certificate))
            .chain([Issuer::Anchor(anchor)]);
        let links = std::iter::once((self.chain.leaf(), Link::Leaf))
            .chain(between.iter().map(|it| (*it, Link::Intermediate)));
        let mut until: Option<UnixTime> = None;
        for ((certificate, link), issuer) in links.zip(issuers) {
            let said = provider
                .check_standing(certificate, link, issuer, self.now)
                .inspect_err(|refusal| {
                    if link == Link::Leaf {
                        self.revoked.get_or_insert_with(|| refusal.clone());
                    }
                })?;
            until = until.into_iter().chain(said).min();
        }
        Ok(until)
    }
}

/// webpki's verdict in our words. It gives the most specific cause it met on any path.
fn explain(chain: &Chain<'_>, usage: Usage, error: &webpki::Error) -> Refusal {
    use webpki::Error;

    let purpose = usage.purpose();
    match *error {
        Error::CertExpired { not_after, .. } => Refusal::Expired {
            link: chain.link_with(|certificate| certificate.not_after() == not_after),
            not_after,
        },
        Error::CertNotValidYet { not_before, .. } => Refusal::NotYetValid {
            link: chain.link_with(|certificate| certificate.not_before() == not_before),
            not_before,
        },
        Error::CaUsedAsEndEntity => Refusal::IsAuthority { purpose },
        Error::EndEntityUsedAsCa => Refusal::IssuerNotAllowed {
            rule: IssuerRule::NotAnAuthority,
        },
        Error::PathLenConstraintViolated => Refusal::IssuerNotAllowed {
            rule: IssuerRule::PathLength,
        },
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => {
            Refusal::WrongPurpose { purpose }
        }
        Error::NameConstraintViolation
        | Error::MalformedNameConstraint
        | Error::MalformedDnsIdentifier
        | Error::InvalidNetworkMaskConstraint
        | Error::UnsupportedNameType => Refusal::NameNotPermitted,
        Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            Refusal::UnsupportedAlgorithm {
                what: "a signature in the chain".to_owned(),
            }
        }
        Error::MaximumSignatureChecksExceeded
        | Error::MaximumPathBuildCallsExceeded
        | Error::MaximumNameConstraintComparisonsExceeded => Refusal::TooComplex,
        Error::MaximumPathDepthExceeded => Refusal::IssuerNotAllowed {
            rule: IssuerRule::PathLength,
        },
        Error::UnknownIssuer | Error::InvalidSignatureForPublicKey => chain.unknown_issuer(),
        _ => Refusal::Malformed {
            position: 1,
            problem: "cannot be verified",
        },
    }
}
