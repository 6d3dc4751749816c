//! Kubernetes objects as a person writes them into files or into an API server: the same names, groups and
//! fields in both, so that manifests work unchanged, and the same reader, so that they mean the same.

use std::fmt;
use std::path::Path;

use crate::fault::{Fault, Faults, Place};
use crate::file;
use crate::scalar::quoted;
use crate::section::Section;
use crate::sheet::Sheet;
use crate::suggestion::{listed, nearest};
use crate::yaml::{self, Node};

pub use known_cluster::{ClusterName, KnownCluster, PinnedAuthorities};
pub use secret::Secret;
pub use trusted_identity_provider::{Referring, TrustedIdentityProvider};

mod known_cluster;
mod metadata;
mod secret;
mod trusted_identity_provider;

/// The kinds that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `multicluster.admiralty.io/v1alpha1`: an authority and the prefix its names get here.
    TrustedIdentityProvider,
    /// `gangplank.dev/v1alpha1`: what a person accepted of another cluster.
    KnownCluster,
    /// `v1`: certificates and keys.
    Secret,
}

impl Kind {
    const ALL: [Self; 3] = [
        Self::TrustedIdentityProvider,
        Self::KnownCluster,
        Self::Secret,
    ];

    /// The kind as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TrustedIdentityProvider => "TrustedIdentityProvider",
            Self::KnownCluster => "KnownCluster",
            Self::Secret => "Secret",
        }
    }

    /// The group and version it belongs to.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::TrustedIdentityProvider => "multicluster.admiralty.io/v1alpha1",
            Self::KnownCluster => "gangplank.dev/v1alpha1",
            Self::Secret => "v1",
        }
    }

    /// Whether its objects lie in namespaces.
    pub fn is_namespaced(self) -> bool {
        self != Self::KnownCluster
    }
}

/// Which object it is. Displays as `Secret namespace-a/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// The kind.
    pub kind: Kind,
    /// The namespace; `default` when none was written, and empty for kinds that have none.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            namespace,
            name,
        } = self;
        if kind.is_namespaced() {
            return write!(f, "{} {namespace}/{name}", kind.as_str());
        }
        write!(f, "{} {name}", kind.as_str())
    }
}

/// A valid object.
#[derive(Clone, Debug)]
pub enum Object {
    /// See [`TrustedIdentityProvider`].
    TrustedIdentityProvider(TrustedIdentityProvider),
    /// The same whose authorities are another cluster's; see [`Referring`].
    Referring(Referring),
    /// See [`KnownCluster`].
    KnownCluster(KnownCluster),
    /// See [`Secret`].
    Secret(Secret),
}

/// One document of a file of objects.
#[derive(Clone, Debug)]
pub struct Document {
    /// Where it begins.
    pub place: Place,
    /// Which object it is; `None` when kind or name cannot be told.
    pub id: Option<ObjectId>,
    /// The object, or all that is wrong with it.
    pub object: Result<Object, Faults>,
}

/// The documents of a file of objects.
///
/// # Errors
/// When the file is not YAML, so that not even its documents can be told apart.
pub fn documents(path: &Path, bytes: Vec<u8>) -> Result<Vec<Document>, Fault> {
    let text = file::text(path, bytes)?;
    let documents = yaml::documents(path, &text)?;
    Ok(documents.iter().map(|root| document(path, root)).collect())
}

/// The document of an object that an API server told of. Its faults name `path`, without lines.
pub(crate) fn document_of_json(path: &Path, json: &serde_json::Value) -> Document {
    document(path, &Node::of_json(json))
}

fn document(path: &Path, root: &Node) -> Document {
    let sheet = Sheet::new(path);
    let id = identity(&sheet, root);
    let object = id.as_ref().and_then(|id| object(&sheet, root, id));
    Document {
        place: root.place,
        id,
        object: sheet.finish(object),
    }
}

fn identity(sheet: &Sheet<'_>, root: &Node) -> Option<ObjectId> {
    let section = sheet.open_section(root, "an object")?;
    let kind = kind(&section);
    let is_namespaced = kind.is_none_or(Kind::is_namespaced);
    let names = metadata::names(&section, is_namespaced);
    let (namespace, name) = names?;
    Some(ObjectId {
        kind: kind?,
        namespace,
        name,
    })
}

fn kind(section: &Section<'_>) -> Option<Kind> {
    let api_version = section.required_text("apiVersion");
    let written = section.required_text("kind")?;
    let Some(kind) = Kind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == written.text)
    else {
        refuse_kind(section.sheet, written.place, written.text);
        return None;
    };
    let api_version = api_version?;
    if api_version.text != kind.api_version() {
        let message = format!(
            "{} has no kind `{}`",
            quoted(api_version.text),
            kind.as_str()
        );
        let remedy = format!("write `apiVersion: {}`", kind.api_version());
        section
            .sheet
            .fault(api_version.place, "WrongApiVersion", message, remedy);
        return None;
    }
    Some(kind)
}

fn refuse_kind(sheet: &Sheet<'_>, place: Place, written: &str) {
    let known = Kind::ALL.map(Kind::as_str);
    let remedy = match nearest(written, &known) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if written == "List" => "write its items as documents separated by `---`".to_owned(),
        None => format!("put only {} into this directory", listed(&known)),
    };
    let message = format!(
        "objects of kind {} are not read from files",
        quoted(written)
    );
    sheet.fault(place, "UnknownKind", message, remedy);
}

fn object(sheet: &Sheet<'_>, root: &Node, id: &ObjectId) -> Option<Object> {
    match id.kind {
        Kind::TrustedIdentityProvider => trusted_identity_provider::read(sheet, root, id),
        Kind::KnownCluster => known_cluster::read(sheet, root).map(Object::KnownCluster),
        Kind::Secret => secret::read(sheet, root).map(Object::Secret),
    }
}

#[cfg(test)]
mod tests;
