//! Gangplank's Kubernetes objects: what may be written into them, and what is said back in their status.
//!
//! The Rust types are the source of the custom resource definitions ([`definitions`]), which the chart and the
//! checked-in files are made of. Group, names and fields of the Admiralty kinds are those of Admiralty's
//! documentation, so that its manifests work unchanged; what is added is optional.
//!
//! What administrators' commands make of these objects is here, too: the two halves of a connection between clusters
//! ([`halves`]), put into place ([`place`]) and taken away again ([`parting`]).
//!
//! Not here: what becomes of an object. The controller makes Secrets and bindings of them; the exit reads the
//! providers with the same reader as files (`gangplank_config::object`).

#![expect(
    unreachable_pub,
    reason = "the schema is derived from a copy of each type, which lives in a function"
)]

pub mod authority;
pub mod client;
pub mod condition;
pub mod definitions;
pub mod follow;
pub mod halves;
pub mod identity;
pub mod installation;
pub mod known_cluster;
pub mod kubeconfig;
pub mod manifest;
pub mod parting;
pub mod pinning;
pub mod place;
pub mod reference;
pub mod source;
pub mod trusted_identity_provider;

pub use authority::AuthorityStatus;
pub use identity::{Identity, IdentitySpec, IdentityStatus};
pub use known_cluster::{KnownCluster, KnownClusterSpec, KnownClusterStatus};
pub use kubeconfig::{Kubeconfig, KubeconfigSpec, KubeconfigStatus};
pub use reference::ClusterReference;
pub use source::{ClusterSource, ClusterSourceSpec, Source, SourceSpec, SourceStatus};
pub use trusted_identity_provider::{
    TrustedIdentityProvider, TrustedIdentityProviderSpec, TrustedIdentityProviderStatus,
};

/// The group of the kinds that Admiralty's documentation names.
pub const ADMIRALTY: &str = "multicluster.admiralty.io";

/// The group of the kinds that are Gangplank's own.
pub const GANGPLANK: &str = "gangplank.dev";
