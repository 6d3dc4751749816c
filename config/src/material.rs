//! Key pairs, anchors and tokens as files: read and checked when asked, and again when they change.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fault::Fault;
use crate::reload::{Reloaded, Reloader};

pub use anchors::Anchors;
pub use key_pair::KeyPair;
pub use key_set::KeySet;
pub use purpose::Purpose;
pub(crate) use token::NOT_A_TOKEN;
pub use token::Token;

mod anchors;
pub(crate) mod authority;
mod key_pair;
mod key_set;
mod purpose;
mod token;

/// Something that lies in one or several files and can be read again at any time.
///
/// Whoever needs it once per use calls [`read`](Self::read); whoever serves with it all the time calls
/// [`watch`](Self::watch).
pub struct Material<T> {
    files: Arc<[PathBuf]>,
    read: Arc<Read<T>>,
}

type Read<T> = dyn Fn() -> Result<T, Fault> + Send + Sync;

impl<T: Clone + Send + Sync + 'static> Material<T> {
    /// Material that is not in a file and never changes: throwaway authorities, tests.
    pub fn fixed(value: T) -> Self {
        Self {
            files: Arc::from([]),
            read: Arc::new(move || Ok(value.clone())),
        }
    }
}

impl<T: Send + Sync + 'static> Material<T> {
    /// Material made of `files` by `read`.
    pub(crate) fn of_files(
        files: Vec<PathBuf>,
        read: impl Fn() -> Result<T, Fault> + Send + Sync + 'static,
    ) -> Self {
        Self {
            files: files.into(),
            read: Arc::new(read),
        }
    }

    /// Material that is not in a file and is made anew each time: what cannot be cloned, in tests.
    pub fn made(make: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self {
            files: Arc::from([]),
            read: Arc::new(move || Ok(make())),
        }
    }

    /// Reads and checks the files now.
    ///
    /// # Errors
    /// When a file cannot be read or does not hold what it should; key material is never quoted.
    pub fn read(&self) -> Result<T, Fault> {
        (self.read)()
    }

    /// Reads the files now and gives out a reader half, and a writer half that follows changes.
    ///
    /// # Errors
    /// As [`read`](Self::read): at the start there is no last good state to fall back to.
    pub fn watch(&self) -> Result<(Reloaded<T>, Reloader<T>), Fault> {
        Reloaded::open(self.clone())
    }

    /// The files; empty for [`fixed`](Self::fixed) material.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The first file, to name it in messages.
    pub fn first_file(&self) -> Option<&Path> {
        self.files.first().map(PathBuf::as_path)
    }
}

impl<T> Clone for Material<T> {
    fn clone(&self) -> Self {
        Self {
            files: Arc::clone(&self.files),
            read: Arc::clone(&self.read),
        }
    }
}

impl<T> fmt::Debug for Material<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}
