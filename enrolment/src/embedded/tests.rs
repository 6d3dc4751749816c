//! What is so because it is a file. What every register must do is a table of its own, `tests/registers_keep_their_contract.rs`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// As another process would.
    fn open(&self) -> EmbeddedRegister {
        EmbeddedRegister::open(&self.0.path().join("register")).unwrap()
    }
}

#[test]
fn a_register_is_its_owners_alone() {
    let folder = Folder::new();
    let _register = folder.open();
    for entry in fs::read_dir(folder.0.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", entry.path().display());
    }
}

#[test]
fn what_is_no_register_is_left_alone_and_named() {
    let folder = Folder::new();
    let file = folder.0.path().join("other");
    fs::write(
        &file,
        "these are the last words of somebody, and longer than a header of SQLite's",
    )
    .unwrap();
    let before = fs::read(&file).unwrap();
    let refused = EmbeddedRegister::open(&file).unwrap_err();
    assert!(
        refused.to_string().contains("other cannot be opened"),
        "{refused}"
    );
    assert_eq!(fs::read(&file).unwrap(), before);
    assert!(EmbeddedRegister::open(&folder.0.path().join("no/folder")).is_err());
    drop(folder.open());
    let later = Connection::open(folder.0.path().join("register")).unwrap();
    later.pragma_update(None, "user_version", 2).unwrap();
    drop(later);
    let refused = EmbeddedRegister::open(&folder.0.path().join("register")).unwrap_err();
    assert!(
        refused.cause.to_string().contains("later version"),
        "{}",
        refused.cause
    );
}
