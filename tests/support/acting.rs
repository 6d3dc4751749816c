//! Callers who may act as someone else: the rights of the manual at the shared cluster, for whoever needs them.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use super::certificates::Organisation;
use super::kubectl::Kubectl;
use super::manual::Page;
use super::path::{Relay, Site, Way};
use super::{cluster, exit_account};

/// The manual's rights, given once.
pub(crate) static ACTING: LazyLock<Acting> = LazyLock::new(Acting::set);

/// Where `bob` may do everything, and the caller nothing.
pub(crate) const NAMESPACE: &str = "nested";

/// The exit's account.
pub(crate) const ACCOUNT: &str = "system:serviceaccount:gangplank-nested:gangplank-exit";

/// The name of the caller in the manual and here.
const DEPLOYER: &str = "ns/shop/id/deployer";

/// A caller who may act as `bob`, a member of `auditors`.
pub(crate) struct Acting {
    /// Whose the caller is.
    pub(crate) organisation: Organisation,
    /// The kubeconfig of the exit's account.
    pub(crate) account: PathBuf,
    _folder: tempfile::TempDir,
}

impl Acting {
    fn set() -> Self {
        let cluster = cluster::shared();
        let examples = Page::open("operate.md").yaml("Acting as someone else");
        let [_, callers, exits] = &examples[..] else {
            panic!("the line in the file, the callers' rights and the exit's: {examples:?}");
        };
        let organisation = Organisation::new("team-a");
        assert!(callers.contains(&organisation.username(DEPLOYER)));
        cluster.apply(&callers.replace("act-as-auditor", "nested-act-as-auditor"));
        let folder = tempfile::tempdir().expect("a folder");
        let account = exit_account::from_manual(cluster, exits, "gangplank-nested", folder.path());
        cluster.namespace(NAMESPACE);
        cluster.make_namespace_admin("bob", NAMESPACE);
        Self {
            organisation,
            account,
            _folder: folder,
        }
    }

    /// An exit that lets callers act as others where RBAC does.
    pub(crate) fn site(&self, way: Way) -> Site {
        let site = match way {
            Way::Direct => Site::direct(&self.account, &[&self.organisation]),
            Way::Tunnel => {
                let relay = Arc::new(Relay::start());
                Site::tunnel(&relay, "nested.acme", &self.account, &[&self.organisation])
            }
        };
        site.with_exit_line("nestedImpersonation: Authorize")
            .with_kubectl(cluster::shared())
    }

    /// The caller's kubectl.
    pub(crate) fn kubectl(&self, site: &Site) -> Kubectl {
        site.kubectl(&self.organisation.caller(DEPLOYER))
    }

    /// The caller's name at the cluster.
    pub(crate) fn caller_username(&self) -> String {
        self.organisation.username(DEPLOYER)
    }
}
