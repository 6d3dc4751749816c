//! The installation's own certificate authority: made once, kept in a Secret of the installation's namespace.

use std::collections::BTreeMap;
use std::sync::Arc;

use gangplank_pki::clock::Clock;
use gangplank_pki::issue::CertificateAuthority;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use crate::made::MANAGED_BY;
use crate::trouble::Trouble;

/// How long an authority of its own lives. Its successor is prepared long before.
const LIFETIME_DAYS: u32 = 10 * 365;

/// The keys of a Secret with a certificate (cert-manager's layout).
pub(crate) const CERTIFICATE: &str = "tls.crt";
/// See [`CERTIFICATE`].
pub(crate) const KEY: &str = "tls.key";
/// See [`CERTIFICATE`].
pub(crate) const AUTHORITIES: &str = "ca.crt";

/// Where an authority is kept.
pub(crate) struct Authority {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) secret_name: String,
    /// The common name that a new one gets.
    pub(crate) common_name: String,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Authority {
    /// The authority as it is in its Secret, made now if there is none.
    ///
    /// # Errors
    /// When the Secret cannot be read or written, or does not hold an authority: it is never overwritten.
    pub(crate) async fn current(&self) -> Result<CertificateAuthority, Trouble> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        if let Some(secret) = api.get_opt(&self.secret_name).await? {
            return self.load(&secret);
        }
        let made =
            CertificateAuthority::create(&self.common_name, LIFETIME_DAYS, self.clock.now())?;
        let secret = self.secret(&made);
        match api.create(&PostParams::default(), &secret).await {
            Ok(_created) => {
                tracing::info!(
                    secret = format!("{}/{}", self.namespace, self.secret_name),
                    fingerprint = %made.anchor().fingerprint(),
                    "a certificate authority was made"
                );
                Ok(made)
            }
            // Another replica was faster: its authority counts.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                self.load(&api.get(&self.secret_name).await?)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn load(&self, secret: &Secret) -> Result<CertificateAuthority, Trouble> {
        let certificate = self.text(secret, CERTIFICATE)?;
        let key = self.text(secret, KEY)?;
        CertificateAuthority::load(&certificate, &key)
            .map_err(|fault| self.spoilt(&fault.to_string()))
    }

    fn text(&self, secret: &Secret, key: &str) -> Result<String, Trouble> {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key));
        let bytes = bytes.ok_or_else(|| self.spoilt(&format!("it has no `{key}`")))?;
        String::from_utf8(bytes.0.clone())
            .map_err(|_not_text| self.spoilt(&format!("`{key}` is not PEM")))
    }

    fn spoilt(&self, why: &str) -> Trouble {
        Trouble::Spoilt {
            what: format!("Secret {}/{}", self.namespace, self.secret_name),
            why: why.to_owned(),
            remedy: "restore it from a backup; or delete it for a new authority, which all who trust the old one must learn of",
        }
    }

    fn secret(&self, authority: &CertificateAuthority) -> Secret {
        let certificate = authority.certificate_pem().to_owned();
        let (label, value) = MANAGED_BY;
        Secret {
            metadata: ObjectMeta {
                name: Some(self.secret_name.clone()),
                labels: Some(BTreeMap::from([(label.to_owned(), value.to_owned())])),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(BTreeMap::from([
                bytes(CERTIFICATE, certificate.clone()),
                bytes(KEY, authority.key_pem()),
                bytes(AUTHORITIES, certificate),
            ])),
            ..Secret::default()
        }
    }
}

/// One entry of a Secret.
pub(crate) fn bytes(key: &str, value: String) -> (String, ByteString) {
    (key.to_owned(), ByteString(value.into_bytes()))
}
