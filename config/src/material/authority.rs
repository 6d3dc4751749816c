//! An authority that issues, from its two files.

use std::path::{Path, PathBuf};

use gangplank_pki::issue::{CertificateAuthority, IssueFault};

use crate::fault::{Fault, Place};
use crate::file;
use crate::material::Material;
use crate::pem::told;

/// The certificate and the key of an authority.
pub(crate) fn material(
    certificate_file: PathBuf,
    key_file: PathBuf,
) -> Material<CertificateAuthority> {
    let files = vec![certificate_file.clone(), key_file.clone()];
    Material::of_files(files, move || read(&certificate_file, &key_file))
}

fn read(certificate_file: &Path, key_file: &Path) -> Result<CertificateAuthority, Fault> {
    let certificate = file::read_text(certificate_file)?;
    let key = file::read_text(key_file)?;
    CertificateAuthority::load(&certificate, &key).map_err(|fault| {
        let at_key = matches!(fault, IssueFault::Key(_) | IssueFault::Library(_));
        let file = if at_key { key_file } else { certificate_file };
        let cause = std::error::Error::source(&fault).map(ToString::to_string);
        let (message, remedy) = match &cause {
            Some(cause) => told(cause, "give the files that `gangplank pki init` made"),
            None => told(&fault, "give the files that `gangplank pki init` made"),
        };
        Fault::new(file, Place::WHOLE_FILE, fault.reason(), message, remedy)
    })
}
