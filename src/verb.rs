//! The verbs of the command line, a file each.

pub(crate) mod accept;
pub(crate) mod agent;
pub(crate) mod cluster;
pub(crate) mod compare;
pub(crate) mod controller;
pub(crate) mod credential;
pub(crate) mod dev;
pub(crate) mod invite;
pub(crate) mod join;
pub(crate) mod kubeconfig;
pub(crate) mod pki;
pub(crate) mod proxy;
pub(crate) mod reach;
pub(crate) mod register;
pub(crate) mod relay;
pub(crate) mod revoke;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod trust;
