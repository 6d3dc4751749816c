//! The clocks of a role under test, which a test sets while it runs: a small library is loaded before the C library, and
//! adds what a file says (`clock.c`). The program is the same as ever.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;

/// The library, made once with the C compiler that the build takes anyway.
static LIBRARY: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let library = folder.path().join("clock.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/clock.c");
    let made = Command::new("cc")
        .args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    assert!(made.expect("a C compiler").success(), "the clock is made");
    (folder, library)
});

/// Two clocks.
#[derive(Debug)]
pub(crate) struct Clock {
    _folder: TempDir,
    file: PathBuf,
}

impl Clock {
    /// Clocks that are right.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Self {
            file: folder.path().join("offsets"),
            _folder: folder,
        };
        fs::write(&clock.file, [0; 16]).expect("written");
        clock
    }

    /// What a role's environment must have to go by them.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        [("LD_PRELOAD", &LIBRARY.1), ("TEST_CLOCK", &self.file)]
            .map(|(name, path)| (name.to_owned(), path.display().to_string()))
            .to_vec()
    }

    /// Sets both to so many seconds after what the kernel says: the wall clock, and the one that only counts.
    pub(crate) fn set(&self, wall: i64, counting: i64) {
        let nanoseconds = |seconds: i64| (seconds * 1_000_000_000).to_ne_bytes();
        let both = [nanoseconds(wall), nanoseconds(counting)].concat();
        // Written over, since the role has it in its memory.
        let file = fs::File::options().write(true).open(&self.file);
        std::io::Write::write_all(&mut file.expect("it is there"), &both).expect("written");
    }
}
