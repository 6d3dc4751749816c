//! The keys by which an issuer's tokens are verified.

use std::fmt;
use std::path::{Path, PathBuf};

use jsonwebtoken::jwk::JwkSet;

use crate::fault::{Fault, Place};
use crate::file;
use crate::material::Material;

/// A JSON Web Key Set (RFC 7517), as `kubectl get --raw /openid/v1/jwks` prints it.
#[derive(Clone)]
pub struct KeySet(JwkSet);

impl KeySet {
    /// Keys that were read already.
    pub fn new(keys: JwkSet) -> Self {
        Self(keys)
    }

    /// The keys.
    pub fn keys(&self) -> &JwkSet {
        &self.0
    }

    /// A set in a file.
    pub(crate) fn material(file: PathBuf) -> Material<Self> {
        Material::of_files(vec![file.clone()], move || Self::read(&file))
    }

    fn read(path: &Path) -> Result<Self, Fault> {
        let remedy = "save what `kubectl get --raw /openid/v1/jwks` prints at the cluster";
        let fault =
            |reason, message| Err(Fault::new(path, Place::WHOLE_FILE, reason, message, remedy));
        match serde_json::from_slice::<JwkSet>(&file::read(path)?) {
            Ok(set) if set.keys.is_empty() => fault("NoKeys", "there is no key in this key set"),
            Ok(set) => Ok(Self(set)),
            // What stands in the file is not quoted.
            Err(_meaningless) => fault("NotAKeySet", "this is no JSON Web Key Set"),
        }
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet")
            .field("keys", &self.0.keys.len())
            .finish()
    }
}
