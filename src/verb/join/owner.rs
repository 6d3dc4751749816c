//! Whose a file is. What root replaces stays its owner's: the agent runs as that user, and could not read it otherwise.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, fchown};

/// User and group of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    user: u32,
    group: u32,
}

impl Owner {
    pub(super) fn of(file: &Metadata) -> Self {
        Self {
            user: file.uid(),
            group: file.gid(),
        }
    }

    /// Gives them a file.
    ///
    /// # Errors
    ///
    /// When it is another user's now and may not be given away.
    pub(super) fn take(self, file: &File) -> io::Result<()> {
        let now = Self::of(&file.metadata()?);
        if now == self {
            return Ok(());
        }
        let given = fchown(file, Some(self.user), Some(self.group));
        // A group of which this user is none is no reason to refuse: the owner can read it.
        given.or_else(|error| {
            if now.user == self.user {
                Ok(())
            } else {
                Err(error)
            }
        })
    }
}
