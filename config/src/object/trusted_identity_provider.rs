//! `TrustedIdentityProvider`: one or several authorities, and the prefix that the common names they
//! certify get here.

use std::sync::Arc;

use gangplank_pki::{Prefix, Provider, ProviderFault, ProviderId, TrustAnchor, UsernameFrom};

use crate::encoding;
use crate::object::ObjectId;
use crate::pem::{self, told};
use crate::section::Section;
use crate::sheet::Sheet;
use crate::yaml::Node;

mod revocations;

const KEYS: &[&str] = &["apiVersion", "kind", "metadata", "spec", "status"];
const SPEC_KEYS: &[&str] = &[
    "prefix",
    "certificateAuthorityData",
    "admiraltyReference",
    "usernameFrom",
    "groups",
    revocations::LISTS,
    revocations::LATE,
    revocations::DENIED,
];

/// A provider as its object describes it.
#[derive(Clone, Debug)]
pub struct TrustedIdentityProvider {
    /// Its meaning: who it is, which anchors, which prefix.
    pub provider: Arc<Provider>,
}

pub(super) fn read(
    sheet: &Sheet<'_>,
    root: &Node,
    id: &ObjectId,
) -> Option<TrustedIdentityProvider> {
    let section = sheet.section(root, "a TrustedIdentityProvider", KEYS)?;
    let spec = section.required_section("spec", SPEC_KEYS)?;
    let prefix = prefix(&spec);
    let anchors = anchors(&spec);
    let words = [
        ("CommonName", UsernameFrom::CommonName),
        ("URI", UsernameFrom::Uri),
    ];
    let username_from = spec.word("usernameFrom", &words, UsernameFrom::CommonName);
    let groups = groups(&spec);
    let revocations = revocations::read(&spec, anchors.as_deref());
    let id = ProviderId {
        namespace: id.namespace.clone(),
        name: id.name.clone(),
    };
    let (anchors, revocations) = (anchors?, revocations?);
    let provider = Provider::new(id, prefix?, anchors, username_from?, groups?);
    let provider = provider
        .map_err(|fault| {
            let (message, remedy) = told(&fault, "correct the object");
            let place = spec
                .optional(blamed(&fault))
                .map_or(spec.place, |node| node.place);
            spec.sheet.fault(place, fault.reason(), message, remedy);
        })
        .ok()?;
    Some(TrustedIdentityProvider {
        provider: Arc::new(provider.with_revocations(revocations)),
    })
}

/// The key that holds what a provider was refused for.
fn blamed(fault: &ProviderFault) -> &'static str {
    match fault {
        ProviderFault::PrefixNotUri { .. } => "prefix",
        ProviderFault::TooManyGroups { .. } | ProviderFault::Group { .. } => "groups",
        _ => "certificateAuthorityData",
    }
}

fn prefix(spec: &Section<'_>) -> Option<Prefix> {
    let written = spec.required_text("prefix")?;
    match Prefix::parse(written.text) {
        Ok(prefix) => Some(prefix),
        Err(fault) => {
            let (message, remedy) = told(&fault, "write one such as `spiffe://source-cluster/`");
            spec.sheet
                .fault(written.place, fault.reason(), message, remedy);
            None
        }
    }
}

fn anchors(spec: &Section<'_>) -> Option<Vec<TrustAnchor>> {
    if let (None, Some(reference)) = (
        spec.optional("certificateAuthorityData"),
        spec.optional("admiraltyReference"),
    ) {
        spec.sheet.section(
            reference,
            "an admiraltyReference",
            &["accountName", "clusterName"],
        );
        let message = "a reference to another cluster is only followed with a KnownCluster pin, which \
                       comes with Kubernetes mode";
        let remedy = "write the CA itself into `certificateAuthorityData`";
        spec.sheet
            .fault(reference.place, "AwaitingPin", message, remedy);
        return None;
    }
    let key = "certificateAuthorityData";
    let written = spec.required_text(key)?;
    let pem = spec
        .sheet
        .accept(written.place, encoding::base64(key, written.text))?;
    match pem::anchors(&pem) {
        Ok(anchors) => Some(anchors),
        Err(complaint) => {
            spec.sheet
                .accept::<()>(written.place, Err(complaint.inside(key)));
            None
        }
    }
}

fn groups(spec: &Section<'_>) -> Option<Vec<String>> {
    if spec.optional("groups").is_none() {
        return Some(Vec::new());
    }
    let items = spec.optional_list("groups")?;
    items
        .iter()
        .map(|item| Some(spec.text("groups", item)?.text.to_owned()))
        .collect()
}
