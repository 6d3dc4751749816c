//! `TrustedIdentityProvider`: one or several authorities, and the prefix that the common names they
//! certify get here.

use std::path::Path;
use std::sync::Arc;

use gangplank_pki::{Prefix, Provider, ProviderFault, ProviderId, TrustAnchor, UsernameFrom};

use crate::encoding;
use crate::fault::Faults;
use crate::object::known_cluster::ClusterName;
use crate::object::{Object, ObjectId};
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

/// A provider whose authorities are another cluster's: what it means is known once that cluster is.
#[derive(Clone, Debug)]
pub struct Referring {
    /// The cluster.
    pub cluster: ClusterName,
    manifest: Arc<Node>,
}

impl Referring {
    /// The provider with the authorities of that cluster.
    ///
    /// # Errors
    /// What of the manifest does not fit these authorities; the faults name `path`.
    pub(crate) fn with(
        &self,
        anchors: &[TrustAnchor],
        path: &Path,
        id: &ObjectId,
    ) -> Result<Arc<Provider>, Faults> {
        let sheet = Sheet::new(path);
        let spec = spec(&sheet, &self.manifest);
        let provider = spec.and_then(|spec| provider(&spec, id, Some(anchors.to_vec())));
        sheet.finish(provider)
    }
}

pub(super) fn read(sheet: &Sheet<'_>, root: &Node, id: &ObjectId) -> Option<Object> {
    let spec = spec(sheet, root)?;
    let data = spec.optional("certificateAuthorityData");
    let reference = spec.optional("admiraltyReference");
    let (None, Some(reference)) = (data, reference) else {
        let provider = provider(&spec, id, anchors(&spec))?;
        let object = TrustedIdentityProvider { provider };
        return Some(Object::TrustedIdentityProvider(object));
    };
    let cluster = ClusterName::of_reference(sheet, reference);
    let parts = (prefix(&spec), username_from(&spec), groups(&spec));
    let revocations = revocations::is_readable(&spec);
    let (Some(_prefix), Some(_from), Some(_groups)) = parts else {
        return None;
    };
    revocations?;
    Some(Object::Referring(Referring {
        cluster: cluster?,
        manifest: Arc::new(root.clone()),
    }))
}

fn spec<'s>(sheet: &'s Sheet<'s>, root: &'s Node) -> Option<Section<'s>> {
    let section = sheet.section(root, "a TrustedIdentityProvider", KEYS)?;
    section.required_section("spec", SPEC_KEYS)
}

fn username_from(spec: &Section<'_>) -> Option<UsernameFrom> {
    let words = [
        ("CommonName", UsernameFrom::CommonName),
        ("URI", UsernameFrom::Uri),
    ];
    spec.word("usernameFrom", &words, UsernameFrom::CommonName)
}

/// `anchors` are its authorities, if they are good.
fn provider(
    spec: &Section<'_>,
    id: &ObjectId,
    anchors: Option<Vec<TrustAnchor>>,
) -> Option<Arc<Provider>> {
    let prefix = prefix(spec);
    let username_from = username_from(spec);
    let groups = groups(spec);
    let revocations = revocations::read(spec, anchors.as_deref());
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
    Some(Arc::new(provider.with_revocations(revocations)))
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
