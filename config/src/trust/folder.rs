//! The files of the directory, parsed again only when their content changed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};

use gangplank_pki::Fingerprint;

use crate::fault::{Fault, Place};
use crate::file;
use crate::object::{self, Document};
use crate::pem::{self, FoundList};
use crate::trust::directory_fault;

/// How many files are read: ten times the number of providers this program is tested with, so that a
/// directory named by mistake does not fill memory.
const MAX_FILES: usize = 50_000;

/// The most that is read of a revocation list: it names a certificate in about 40 bytes, so that this is
/// about 200,000 of them.
const MAX_LIST_BYTES: u64 = 8 * 1024 * 1024;

/// The directory, and what its files held when they were last read.
#[derive(Debug)]
pub(super) struct Folder {
    directory: PathBuf,
    files: BTreeMap<PathBuf, Known>,
    /// On which file system the directory lay when it was last read.
    device: Option<u64>,
}

#[derive(Debug)]
struct Known {
    digest: Fingerprint,
    content: Content,
}

/// What a file holds.
#[derive(Debug)]
pub(super) enum Content {
    /// Its documents; none when it has comments alone.
    Documents(Vec<Document>),
    /// Its revocation lists, at least one, not proven yet.
    Lists(Vec<FoundList>),
    /// Nothing can be said about anything in it.
    Unreadable(Fault),
}

impl Folder {
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            files: BTreeMap::new(),
            device: None,
        }
    }

    /// Reads all files with objects or revocation lists; whether any of them changed, came or went since the last time.
    ///
    /// # Errors
    /// When the directory itself cannot be read, or seems to be gone.
    pub(super) fn read(&mut self) -> Result<bool, Fault> {
        let device = device(&self.directory);
        let names = self.names()?;
        if names.is_empty() && !self.files.is_empty() && device != self.device {
            let message = "another file system is here than before, and it is empty";
            let remedy =
                "mount the volume again; to trust nobody, delete the files, not the volume";
            return Err(directory_fault(
                &self.directory,
                "Unmounted",
                message,
                remedy,
            ));
        }
        self.device = device;
        let mut before = mem::take(&mut self.files);
        let mut changed = false;
        for (path, kind) in names {
            let known = before.remove(&path);
            let Some((digest, read)) = read_file(&path, kind) else {
                changed |= known.is_some();
                continue;
            };
            let known = known
                .filter(|known| known.digest == digest)
                .unwrap_or_else(|| {
                    changed = true;
                    let content =
                        read.map_or_else(Content::Unreadable, |bytes| content(&path, kind, bytes));
                    Known { digest, content }
                });
            self.files.insert(path, known);
        }
        Ok(changed || !before.is_empty())
    }

    /// The files and what they held when they were last read, by name.
    pub(super) fn files(&self) -> impl Iterator<Item = (&Path, &Content)> {
        self.files
            .iter()
            .map(|(path, known)| (path.as_path(), &known.content))
    }

    fn names(&self) -> Result<BTreeMap<PathBuf, FileKind>, Fault> {
        let unreadable = |error: &io::Error| {
            let (reason, message, remedy) = match error.kind() {
                io::ErrorKind::NotFound => (
                    "NoSuchDirectory",
                    "there is no such directory",
                    "create it, or mount the volume",
                ),
                io::ErrorKind::PermissionDenied => (
                    "PermissionDenied",
                    "this process may not read the directory",
                    "let the user that runs this program read it",
                ),
                io::ErrorKind::NotADirectory => (
                    "NotADirectory",
                    "this is not a directory",
                    "name a directory of objects",
                ),
                _ => (
                    "Unreadable",
                    "the directory cannot be read",
                    "check the file system",
                ),
            };
            directory_fault(&self.directory, reason, message, remedy)
        };
        let mut names = BTreeMap::new();
        for entry in fs::read_dir(&self.directory).map_err(|error| unreadable(&error))? {
            let entry = entry.map_err(|error| unreadable(&error))?;
            let path = entry.path();
            if let Some(kind) = FileKind::of(&path) {
                names.insert(path, kind);
            }
            if names.len() > MAX_FILES {
                let message = format!("the directory has more than {MAX_FILES} files");
                let remedy = "name the directory that holds trust objects alone";
                return Err(directory_fault(
                    &self.directory,
                    "TooManyFiles",
                    &message,
                    remedy,
                ));
            }
        }
        Ok(names)
    }
}

/// What is in a file, or why it cannot be read.
type ReadFile = Result<Vec<u8>, Fault>;

/// What is in the file, and a digest that tells it from any other state. `None` when the file was deleted
/// since the directory was listed.
fn read_file(path: &Path, kind: FileKind) -> Option<(Fingerprint, ReadFile)> {
    let read = match kind {
        FileKind::Objects => file::read(path),
        FileKind::Lists => file::read_at_most(path, MAX_LIST_BYTES),
    };
    let digest = match &read {
        Ok(bytes) => Fingerprint::of(bytes),
        Err(_)
            if fs::symlink_metadata(path).is_err_and(|e| e.kind() == io::ErrorKind::NotFound) =>
        {
            return None;
        }
        Err(fault) => Fingerprint::of(fault.to_string().as_bytes()),
    };
    Some((digest, read))
}

fn content(path: &Path, kind: FileKind, bytes: Vec<u8>) -> Content {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        // Someone is about to write it, or the disk was full.
        let remedy = "fill it, or delete it";
        let message = "this file is empty";
        return Content::Unreadable(Fault::new(
            path,
            Place::WHOLE_FILE,
            "Empty",
            message,
            remedy,
        ));
    }
    let read = match kind {
        FileKind::Lists => pem::lists(&bytes)
            .map(Content::Lists)
            .map_err(|complaint| complaint.of_file(path)),
        FileKind::Objects => object::documents(path, bytes).map(Content::Documents),
    };
    read.unwrap_or_else(Content::Unreadable)
}

/// What a file is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileKind {
    /// Names that end in `.yaml`, `.yml` or `.json`.
    Objects,
    /// Names that end in `.crl`.
    Lists,
}

impl FileKind {
    /// Hidden files are none: editors and Kubernetes keep their own (`.x.yaml.swp`, `..data`) under such
    /// names.
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name().and_then(OsStr::to_str)?;
        let (_, extension) = name.rsplit_once('.').filter(|_| !name.starts_with('.'))?;
        match extension {
            "yaml" | "yml" | "json" => Some(Self::Objects),
            "crl" => Some(Self::Lists),
            _ => None,
        }
    }
}

#[cfg(unix)]
fn device(directory: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(directory).ok().map(|metadata| metadata.dev())
}

#[cfg(not(unix))]
fn device(_directory: &Path) -> Option<u64> {
    None
}
