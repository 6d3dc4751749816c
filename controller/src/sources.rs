//! `Source` and `ClusterSource`: the bindings that they ask for are there, and no others of theirs.

use std::collections::BTreeSet;

use gangplank_objects::condition::Verdict;
use gangplank_objects::{ClusterSource, Source, SourceStatus};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding};
use kube::api::{ListParams, ObjectMeta};
use kube::{Api, Client, ResourceExt};

use crate::drive::{Keeper, Outcome};
use crate::grant::{Binding, Grant, SourceRoles};
use crate::made::{Found, MANAGED_BY, Maker};
use crate::trouble::Trouble;

/// Keeps the bindings of sources.
pub(crate) struct Sources {
    pub(crate) client: Client,
    pub(crate) roles: SourceRoles,
}

/// The same for sources of the whole cluster.
pub(crate) struct ClusterSources(pub(crate) Sources);

impl Keeper for Sources {
    type Kind = Source;

    async fn make(&self, source: &Source) -> Result<Outcome<SourceStatus>, Trouble> {
        let grant = Grant::of_source(source, &self.roles);
        let namespace = source.namespace().unwrap_or_default();
        self.bring_about(&Maker::of(source), &namespace, grant)
            .await
    }

    async fn unmake(&self, source: &Source) -> Result<(), Trouble> {
        self.clear(&Maker::of(source), &BTreeSet::new()).await
    }
}

impl Keeper for ClusterSources {
    type Kind = ClusterSource;

    async fn make(&self, source: &ClusterSource) -> Result<Outcome<SourceStatus>, Trouble> {
        let grant = Grant::of_cluster_source(source, &self.0.roles);
        self.0.bring_about(&Maker::of(source), "", grant).await
    }

    async fn unmake(&self, source: &ClusterSource) -> Result<(), Trouble> {
        self.0.clear(&Maker::of(source), &BTreeSet::new()).await
    }
}

impl Sources {
    /// First what is no longer granted goes, then what is granted comes: who lost access never keeps it because
    /// something else could not be made.
    async fn bring_about(
        &self,
        maker: &Maker,
        home: &str,
        grant: Grant,
    ) -> Result<Outcome<SourceStatus>, Trouble> {
        let wanted: BTreeSet<String> = grant.bindings.iter().map(Binding::told).collect();
        self.clear(maker, &wanted).await?;
        if let Some((namespace, name)) = &grant.account {
            self.ensure_account(namespace, name).await?;
        }
        let mut taken = Vec::new();
        for binding in &grant.bindings {
            if self.bind(maker, home, binding).await? == Found::Foreign {
                taken.push(binding.told());
            }
        }
        let status = SourceStatus {
            bindings: wanted
                .into_iter()
                .filter(|binding| !taken.contains(binding))
                .collect(),
            ..SourceStatus::default()
        };
        Ok(Outcome {
            verdict: verdict(&grant, &taken),
            status,
            again: None,
        })
    }

    /// Puts one binding into place.
    async fn bind(&self, maker: &Maker, home: &str, binding: &Binding) -> Result<Found, Trouble> {
        let metadata = ObjectMeta {
            name: Some(binding.name.clone()),
            namespace: binding.namespace.clone(),
            ..ObjectMeta::default()
        };
        let subjects = Some(binding.subjects.clone());
        let role_ref = binding.role.clone();
        if let Some(namespace) = &binding.namespace {
            let mut wanted = RoleBinding {
                metadata,
                role_ref,
                subjects,
            };
            maker.mark(&mut wanted, namespace == home);
            let api = Api::namespaced(self.client.clone(), namespace);
            maker.keep(&api, wanted).await
        } else {
            let mut wanted = ClusterRoleBinding {
                metadata,
                role_ref,
                subjects,
            };
            maker.mark(&mut wanted, false);
            maker.keep(&Api::all(self.client.clone()), wanted).await
        }
    }

    /// An account that somebody names without having made it. It stays when the source goes: something may run
    /// under it.
    async fn ensure_account(&self, namespace: &str, name: &str) -> Result<(), Trouble> {
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        if api.get_metadata_opt(name).await?.is_some() {
            return Ok(());
        }
        let account = ServiceAccount {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            ..ServiceAccount::default()
        };
        match api
            .create(&kube::api::PostParams::default(), &account)
            .await
        {
            Ok(_created) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the maker's bindings but those that are `wanted`.
    async fn clear(&self, maker: &Maker, wanted: &BTreeSet<String>) -> Result<(), Trouble> {
        let ours = ListParams::default().labels(&format!("{}={}", MANAGED_BY.0, MANAGED_BY.1));
        let everywhere: Api<RoleBinding> = Api::all(self.client.clone());
        for binding in everywhere.list(&ours).await? {
            let namespace = binding.namespace().unwrap_or_default();
            let told = format!("RoleBinding {namespace}/{}", binding.name_any());
            if maker.made(&binding) && !wanted.contains(&told) {
                let api: Api<RoleBinding> = Api::namespaced(self.client.clone(), &namespace);
                maker.part_with(&api, &binding).await?;
            }
        }
        let whole: Api<ClusterRoleBinding> = Api::all(self.client.clone());
        for binding in whole.list(&ours).await? {
            let told = format!("ClusterRoleBinding {}", binding.name_any());
            if maker.made(&binding) && !wanted.contains(&told) {
                maker.part_with(&whole, &binding).await?;
            }
        }
        Ok(())
    }
}

impl Binding {
    /// As the status says it.
    fn told(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("RoleBinding {namespace}/{}", self.name),
            None => format!("ClusterRoleBinding {}", self.name),
        }
    }
}

fn verdict(grant: &Grant, taken: &[String]) -> Verdict {
    if let [first, ..] = taken {
        let message = format!(
            "{first} is there and was not made for this object; delete or rename it, or rename this object"
        );
        return Verdict::unready("BindingTaken", message);
    }
    if grant.bindings.is_empty() {
        let message = "the source names nobody, so that nothing is granted; give userName, groupName or a service account";
        return Verdict::unready("NobodyNamed", message);
    }
    Verdict::ready("Granted", format!("{} bindings", grant.bindings.len()))
}
