//! Files that hold something secret: mode 0600, whole or not at all, never over another file.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;

use crate::failure::{Failure, Outcome};

/// Creates `file` with `content` for its owner alone.
///
/// # Errors
///
/// [`Failure::Usage`] when the file exists or its folder does not, [`Failure::Running`] when it cannot be written; then nothing is
/// left behind.
pub(crate) fn create(file: &Path, content: &[u8]) -> Outcome {
    create_with_mode(file, content, 0o600)
}

/// Creates `file` with `content` for everyone to read: a certificate.
///
/// # Errors
///
/// As [`create`].
pub(crate) fn create_public(file: &Path, content: &[u8]) -> Outcome {
    create_with_mode(file, content, 0o644)
}

/// Creates a certificate, for everyone to read, and its key, for its owner alone: both or neither.
///
/// # Errors
///
/// As [`create`]; what was there before stays as it was.
pub(crate) fn create_pair(certificate: (&Path, &str), key: (&Path, &str)) -> Outcome {
    create(key.0, key.1.as_bytes())?;
    let created = create_public(certificate.0, certificate.1.as_bytes());
    if created.is_err() {
        // Beside a certificate that is not its own a key only misleads; if it cannot be removed, the
        // first error says enough.
        drop(std::fs::remove_file(key.0));
    }
    created
}

fn create_with_mode(file: &Path, content: &[u8], mode: u32) -> Outcome {
    let mut opened = match File::options()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(file)
    {
        Ok(opened) => opened,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Failure::Usage(format!(
                "{} exists and is never overwritten: move it away, or name another",
                file.display()
            )));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Failure::Usage(format!(
                "{} cannot be created: its folder does not exist; create that first",
                file.display()
            )));
        }
        Err(error) => {
            return Err(Failure::Running(
                anyhow::Error::new(error).context(format!("{} cannot be created", file.display())),
            ));
        }
    };
    let written = opened.write_all(content).and_then(|()| opened.sync_all());
    if written.is_err() {
        // Half a key helps nobody; if it cannot be removed either, the first error says enough.
        drop(std::fs::remove_file(file));
    }
    written.with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(())
}
