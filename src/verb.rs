//! The verbs of the command line, a file each.

pub(crate) mod agent;
pub(crate) mod dev;
pub(crate) mod kubeconfig;
pub(crate) mod pki;
pub(crate) mod proxy;
pub(crate) mod relay;
pub(crate) mod status;
