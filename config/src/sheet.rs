//! One file being read, and every fault found on the way.
//!
//! What cannot be read is noted on the sheet and `None` goes on, so that one mistake does not hide the next.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use crate::fault::{Fault, Faults, Place};
use crate::file;
use crate::scalar::{Complaint, quoted};
use crate::section::Section;
use crate::suggestion::{listed, nearest};
use crate::yaml::{self, Node, Value};

/// One file being read, with the faults found so far.
pub(crate) struct Sheet<'p> {
    path: &'p Path,
    faults: RefCell<Vec<Fault>>,
}

impl<'p> Sheet<'p> {
    pub(crate) fn new(path: &'p Path) -> Self {
        Self {
            path,
            faults: RefCell::default(),
        }
    }

    /// Reads a file that holds exactly one document.
    pub(crate) fn load<T>(
        path: &Path,
        read: impl FnOnce(&Sheet<'_>, &Node) -> Option<T>,
    ) -> Result<T, Faults> {
        let text = file::read_text(path)?;
        let documents = yaml::documents(path, &text)?;
        let root = match documents.as_slice() {
            [root] => root,
            [] => {
                let remedy = "fill it in, or name another file";
                return Err(Fault::new(
                    path,
                    Place::WHOLE_FILE,
                    "Empty",
                    "this file is empty",
                    remedy,
                )
                .into());
            }
            [_, second, ..] => {
                let message = "a second document begins here, but one is all that is read";
                let remedy = "remove the `---` above, or put it in a file of its own";
                return Err(
                    Fault::new(path, second.place, "SecondDocument", message, remedy).into(),
                );
            }
        };
        let sheet = Sheet::new(path);
        let meant = read(&sheet, root);
        sheet.finish(meant)
    }

    /// What was read, unless there are faults.
    pub(crate) fn finish<T>(self, meant: Option<T>) -> Result<T, Faults> {
        Faults::none_of(self.faults.into_inner())?;
        meant.ok_or_else(|| {
            let message = "this file could not be understood";
            let remedy = "compare it with the example in the documentation";
            Fault::new(
                self.path,
                Place::WHOLE_FILE,
                "NotUnderstood",
                message,
                remedy,
            )
            .into()
        })
    }

    /// `written` as a path relative to the folder of this file.
    pub(crate) fn resolve(&self, written: &str) -> PathBuf {
        self.path
            .parent()
            .unwrap_or_else(|| Path::new(""))
            .join(written)
    }

    /// Notes a fault at `place`.
    pub(crate) fn fault(
        &self,
        place: Place,
        reason: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.faults
            .borrow_mut()
            .push(Fault::new(self.path, place, reason, message, remedy));
    }

    /// The value, or its complaint noted at `place`.
    pub(crate) fn accept<T>(&self, place: Place, parsed: Result<T, Complaint>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(Complaint {
                reason,
                message,
                remedy,
            }) => {
                self.fault(place, reason, message, remedy);
                None
            }
        }
    }

    /// The value, or the fault of the file that `place` names.
    pub(crate) fn accept_referenced<T>(&self, place: Place, read: Result<T, Fault>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(fault) => {
                self.faults
                    .borrow_mut()
                    .push(fault.referenced_from(self.path, place));
                None
            }
        }
    }

    /// The value, or all faults of the file that `place` names.
    pub(crate) fn accept_all_referenced<T>(
        &self,
        place: Place,
        read: Result<T, Faults>,
    ) -> Option<T> {
        let noted = |faults: Faults| {
            let seen_from_here = faults
                .into_iter()
                .map(|f| f.referenced_from(self.path, place));
            self.faults.borrow_mut().extend(seen_from_here);
        };
        read.map_err(noted).ok()
    }

    /// A mapping in which only `known` keys may stand. `what` completes "… has no key `x`".
    pub(crate) fn section<'s>(
        &'s self,
        node: &'s Node,
        what: &str,
        known: &[&'static str],
    ) -> Option<Section<'s>> {
        let mut section = self.open_section(node, what)?;
        for (key, _) in section.entries() {
            if known.contains(&key.name.as_str()) {
                continue;
            }
            let remedy = if let Some(meant) = nearest(&key.name, known) {
                section.slips.push(meant);
                format!("did you mean `{meant}`?")
            } else {
                format!("the keys here are {}", listed(known))
            };
            let message = format!("{what} has no key {}", quoted(&key.name));
            self.fault(key.place, "UnknownKey", message, remedy);
        }
        Some(section)
    }

    /// A mapping in which other keys than those asked for may stand as well.
    pub(crate) fn open_section<'s>(&'s self, node: &'s Node, what: &str) -> Option<Section<'s>> {
        let Value::Mapping(entries) = &node.value else {
            self.wrong_type(node, what, "a mapping");
            return None;
        };
        Some(Section::new(self, node.place, what, entries))
    }

    /// Notes that a value is of another type than `what` takes.
    pub(crate) fn wrong_type(&self, node: &Node, what: &str, expected: &str) {
        let found = node.value.kind();
        let remedy = match (&node.value, expected) {
            (Value::Number(_) | Value::Bool(_), "a string") => "put it in quotes".to_owned(),
            (Value::Null, _) => format!("write {expected}, or remove the key"),
            _ => format!("write {expected}"),
        };
        let message = format!("{what} must be {expected}, but this is {found}");
        self.fault(node.place, "WrongType", message, remedy);
    }
}
