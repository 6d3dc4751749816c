//! Reading one file, bounded, and only when it is a file.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use crate::fault::{Fault, Place};

/// The most that is read of any one file: etcd, and so Kubernetes, takes no larger object.
pub(crate) const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The whole of a regular file (or of one that symbolic links lead to).
///
/// # Errors
/// When it is missing, not a regular file (a FIFO would block for ever), too large, or unreadable.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    read_at_most(path, MAX_FILE_BYTES)
}

/// As [`read`], with another bound, in whole MiB.
pub(crate) fn read_at_most(path: &Path, bound: u64) -> Result<Vec<u8>, Fault> {
    let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    refuse_other_than_files(path, &metadata)?;
    if metadata.len() > bound {
        return Err(too_large(path, bound));
    }
    let file = fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut bytes = Vec::new();
    file.take(bound.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(path, &error))?;
    // It may have grown since it was measured.
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > bound {
        return Err(too_large(path, bound));
    }
    Ok(bytes)
}

/// As [`read`], as text without a byte-order mark.
pub(crate) fn read_text(path: &Path) -> Result<String, Fault> {
    text(path, read(path)?)
}

/// `bytes` as text without a byte-order mark.
pub(crate) fn text(path: &Path, bytes: Vec<u8>) -> Result<String, Fault> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error
            .as_bytes()
            .get(..error.utf8_error().valid_up_to())
            .unwrap_or_default();
        let line = valid.split(|byte| *byte == b'\n').count();
        Fault::new(
            path,
            Place::line(line),
            "NotUtf8",
            "this line is not UTF-8 text",
            "save the file as UTF-8",
        )
    })?;
    Ok(text
        .strip_prefix('\u{feff}')
        .map(str::to_owned)
        .unwrap_or(text))
}

fn refuse_other_than_files(path: &Path, metadata: &fs::Metadata) -> Result<(), Fault> {
    if metadata.is_file() {
        return Ok(());
    }
    let what = if metadata.is_dir() {
        "a directory"
    } else {
        "not a regular file"
    };
    Err(Fault::new(
        path,
        Place::WHOLE_FILE,
        "NotAFile",
        format!("this is {what}"),
        "put a regular file here, or a symbolic link to one",
    ))
}

fn too_large(path: &Path, bound: u64) -> Fault {
    Fault::new(
        path,
        Place::WHOLE_FILE,
        "TooLarge",
        format!("this file is larger than {} MiB", bound / (1024 * 1024)),
        "split it, or check that it is the file you meant",
    )
}

/// What the operating system says about a file, in words that lead on.
pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Fault {
    let (reason, message, remedy) = match error.kind() {
        io::ErrorKind::NotFound => (
            "NoSuchFile",
            "there is no such file".to_owned(),
            "create it, or correct the path; paths are relative to the file that names them",
        ),
        io::ErrorKind::PermissionDenied => (
            "PermissionDenied",
            "this process may not read the file".to_owned(),
            "let the user that runs this program read it",
        ),
        // The kind for a symbolic link that leads back to itself is not stable yet.
        _ if is_link_loop(error) => (
            "LinkLoop",
            "this symbolic link leads back to itself".to_owned(),
            "point the link at a regular file",
        ),
        _ => (
            "Unreadable",
            format!("this cannot be read: {error}"),
            "check the file system",
        ),
    };
    Fault::new(path, Place::WHOLE_FILE, reason, message, remedy)
}

fn is_link_loop(error: &io::Error) -> bool {
    /// ELOOP of Linux; other systems fall through to the general message.
    const ELOOP: i32 = 40;
    cfg!(target_os = "linux") && error.raw_os_error() == Some(ELOOP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_regular_file_of_sane_size_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);

        fs::create_dir(at("folder")).unwrap();
        assert_eq!(read(&at("folder")).unwrap_err().reason(), "NotAFile");

        std::os::unix::fs::symlink(at("loop"), at("loop")).unwrap();
        assert_eq!(read(&at("loop")).unwrap_err().reason(), "LinkLoop");

        let made = std::process::Command::new("mkfifo")
            .arg(at("fifo"))
            .status()
            .unwrap();
        assert!(made.success());
        assert_eq!(read(&at("fifo")).unwrap_err().reason(), "NotAFile");

        let huge = fs::File::create(at("huge")).unwrap();
        huge.set_len(100 * 1024 * 1024).unwrap();
        assert_eq!(read(&at("huge")).unwrap_err().reason(), "TooLarge");

        assert_eq!(read(&at("missing")).unwrap_err().reason(), "NoSuchFile");
        assert_eq!(
            read(Path::new("/dev/zero")).unwrap_err().reason(),
            "NotAFile"
        );
    }

    #[test]
    fn a_line_that_is_not_text_is_named() {
        let fault = text(Path::new("x.yaml"), b"a: 1\nb: \xff\n".to_vec()).unwrap_err();
        assert_eq!((fault.line(), fault.reason()), (2, "NotUtf8"));
        assert_eq!(
            text(Path::new("x.yaml"), b"\xef\xbb\xbfa".to_vec()).unwrap(),
            "a"
        );
    }
}
