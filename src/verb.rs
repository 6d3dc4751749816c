//! The verbs of the command line, a file each.

pub(crate) mod agent;
pub(crate) mod cluster;
pub(crate) mod controller;
pub(crate) mod credential;
pub(crate) mod dev;
pub(crate) mod join;
pub(crate) mod kubeconfig;
pub(crate) mod pki;
pub(crate) mod proxy;
pub(crate) mod register;
pub(crate) mod relay;
pub(crate) mod status;
pub(crate) mod token;
