//! Why a right ends, and the trust directory that says so.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gangplank_pki::Fingerprint;
use rcgen::{ExtendedKeyUsagePurpose, SerialNumber};
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::support::certificates::{Authority, Organisation, Papers, leaf_params};
use crate::support::path::Site;

/// What takes a right away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The certificate of the authority is taken out of the provider, which keeps another.
    AuthorityRemoved,
    /// The provider's file is deleted.
    ProviderRemoved,
    /// The provider gives other names.
    PrefixChanged,
    /// The serial number is on the provider's deny list.
    SerialDenied,
    /// The certificate's fingerprint is.
    FingerprintDenied,
    /// The authority's revocation list has the serial number.
    Revoked,
    /// The certificate's time is over.
    Expired,
}

/// All of them.
pub(super) const CAUSES: [Cause; 7] = [
    Cause::AuthorityRemoved,
    Cause::ProviderRemoved,
    Cause::PrefixChanged,
    Cause::SerialDenied,
    Cause::FingerprintDenied,
    Cause::Revoked,
    Cause::Expired,
];

impl Cause {
    /// What a new caller with the same certificate is afterwards: the class of a refusal, or another user.
    pub(super) const fn told(self) -> &'static str {
        match self {
            Self::AuthorityRemoved | Self::ProviderRemoved => "UnknownIssuer",
            Self::PrefixChanged => "spiffe://renamed.example/caller",
            Self::SerialDenied | Self::FingerprintDenied | Self::Revoked => "Revoked",
            Self::Expired => "Expired",
        }
    }
}

const SERIAL: u64 = 0x0a1b_2c3d;
const FILE: &str = "trust/leaving.yaml";
const LIST: &str = "trust/leaving.crl";
const PREFIX: &str = "spiffe://leaving.example/";

/// Who the callers are while they are trusted.
pub(super) const USER: &str = "spiffe://leaving.example/caller";

/// The provider whose right ends: two authorities, of which the callers have the first.
pub(super) struct Trusted {
    organisation: Organisation,
    spare: Authority,
}

impl Trusted {
    /// One that the site trusts.
    pub(super) fn new(site: &Site) -> Self {
        let trusted = Self {
            organisation: Organisation::new("leaving"),
            spare: Authority::new("spare CA"),
        };
        trusted.restore(site);
        trusted
    }

    /// A caller's certificate.
    pub(super) fn papers(&self) -> (Papers, SystemTime) {
        self.papers_for(Duration::from_secs(86_400))
    }

    /// One that is good for so long, and the first moment at which it is not.
    pub(super) fn papers_for(&self, lifetime: Duration) -> (Papers, SystemTime) {
        let now = OffsetDateTime::now_utc();
        let mut params = leaf_params("caller", ExtendedKeyUsagePurpose::ClientAuth);
        params.serial_number = Some(SerialNumber::from(SERIAL));
        params.not_before = now - Duration::from_secs(60);
        params.not_after = now + lifetime;
        let last = u64::try_from(params.not_after.unix_timestamp()).expect("after 1970");
        let papers = self.organisation.authority.sign(&params);
        (papers, UNIX_EPOCH + Duration::from_secs(last + 1))
    }

    /// Trusts all of it.
    pub(super) fn restore(&self, site: &Site) {
        let list = site.folder().join(LIST);
        if list.exists() {
            fs::remove_file(list).expect("removed");
        }
        put(site, FILE, self.manifest(PREFIX, true, ""));
    }

    /// Takes the right away; answers when that could be read.
    pub(super) fn withdraw(&self, site: &Site, cause: Cause, certificate: &Fingerprint) -> Instant {
        let denied = |what: &str| {
            self.manifest(
                PREFIX,
                true,
                &format!("  deniedCertificates: [\"{what}\"]\n"),
            )
        };
        match cause {
            Cause::AuthorityRemoved => put(site, FILE, self.manifest(PREFIX, false, "")),
            Cause::ProviderRemoved => fs::remove_file(site.folder().join(FILE)).expect("removed"),
            Cause::PrefixChanged => {
                let renamed = self.manifest("spiffe://renamed.example/", true, "");
                put(site, FILE, renamed);
            }
            Cause::SerialDenied => put(site, FILE, denied("serial:0a1b2c3d")),
            Cause::FingerprintDenied => put(site, FILE, denied(&certificate.to_string())),
            Cause::Revoked => {
                let authority = &self.organisation.authority;
                put(site, LIST, authority.revocation_list(1, &[SERIAL]).der());
            }
            Cause::Expired => {}
        }
        Instant::now()
    }

    fn manifest(&self, prefix: &str, with_first: bool, further: &str) -> String {
        let mut bundle = self.spare.pem();
        if with_first {
            bundle.push_str(&self.organisation.authority.pem());
        }
        format!(
            "apiVersion: multicluster.admiralty.io/v1alpha1\nkind: TrustedIdentityProvider\nmetadata:\n  name: leaving\n\
             spec:\n  prefix: \"{prefix}\"\n  certificateAuthorityData: {}\n{further}",
            BASE64_STANDARD.encode(bundle)
        )
    }
}

/// Renames a file into place.
fn put(site: &Site, name: &str, content: impl AsRef<[u8]>) {
    let beside = site.folder().join("beside");
    fs::write(&beside, content).expect("written");
    fs::rename(beside, site.folder().join(name)).expect("renamed");
}
