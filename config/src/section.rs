//! Reading a tree key by key, collecting every fault on the way.
//!
//! A [`Sheet`] is one file being read; a [`Section`] one of its mappings. What cannot be read is noted on
//! the sheet and `None` goes on, so that one mistake does not hide the next.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::fault::{Fault, Faults, Place};
use crate::file;
use crate::material::{Anchors, KeyPair, Material, Purpose};
use crate::scalar::{self, Complaint, quoted};
use crate::suggestion::{listed, nearest};
use crate::yaml::{self, Key, Node, Value};

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
        what: &'static str,
        known: &[&'static str],
    ) -> Option<Section<'s>> {
        let section = self.open_section(node, what)?;
        for (key, _) in section.entries {
            if known.contains(&key.name.as_str()) {
                continue;
            }
            let remedy = match nearest(&key.name, known) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("the keys here are {}", listed(known)),
            };
            let message = format!("{what} has no key {}", quoted(&key.name));
            self.fault(key.place, "UnknownKey", message, remedy);
        }
        Some(section)
    }

    /// A mapping in which other keys than those asked for may stand as well.
    pub(crate) fn open_section<'s>(
        &'s self,
        node: &'s Node,
        what: &'static str,
    ) -> Option<Section<'s>> {
        let Value::Mapping(entries) = &node.value else {
            self.wrong_type(node, what, "a mapping");
            return None;
        };
        Some(Section {
            sheet: self,
            place: node.place,
            what,
            entries,
        })
    }

    fn wrong_type(&self, node: &Node, key: &str, expected: &str) {
        let found = node.value.kind();
        let remedy = match (&node.value, expected) {
            (Value::Number | Value::Bool(_), "a string") => "put it in quotes".to_owned(),
            (Value::Null, _) => format!("write {expected}, or remove the key"),
            _ => format!("write {expected}"),
        };
        let message = format!("{} must be {expected}, but this is {found}", quoted(key));
        self.fault(node.place, "WrongType", message, remedy);
    }
}

/// A mapping of a [`Sheet`].
pub(crate) struct Section<'s> {
    pub(crate) sheet: &'s Sheet<'s>,
    /// Where the mapping begins.
    pub(crate) place: Place,
    what: &'static str,
    entries: &'s [(Key, Node)],
}

/// Text and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Written<'s> {
    pub(crate) place: Place,
    pub(crate) text: &'s str,
}

impl<'s> Section<'s> {
    /// The value of a key that may be missing; a key without a value counts as missing.
    pub(crate) fn optional(&self, key: &str) -> Option<&'s Node> {
        self.entries
            .iter()
            .find(|(written, _)| written.name == key)
            .map(|(_, node)| node)
            .filter(|node| !matches!(node.value, Value::Null))
    }

    /// The value of a key that must be there.
    pub(crate) fn required(&self, key: &str) -> Option<&'s Node> {
        let node = self.optional(key);
        if node.is_none() {
            let message = format!("{} lacks the key `{key}`", self.what);
            self.sheet
                .fault(self.place, "MissingKey", message, "add it");
        }
        node
    }

    /// Every key of the mapping.
    pub(crate) fn entries(&self) -> &'s [(Key, Node)] {
        self.entries
    }

    /// The section under a key that must be there.
    pub(crate) fn required_section(
        &self,
        key: &'static str,
        known: &[&'static str],
    ) -> Option<Self> {
        self.sheet.section(self.required(key)?, key, known)
    }

    /// The section under a key that may be missing.
    pub(crate) fn optional_section(
        &self,
        key: &'static str,
        known: &[&'static str],
    ) -> Option<Self> {
        self.sheet.section(self.optional(key)?, key, known)
    }

    /// The text of a key that must be there.
    pub(crate) fn required_text(&self, key: &str) -> Option<Written<'s>> {
        self.text(key, self.required(key)?)
    }

    /// The text of a key that may be missing.
    pub(crate) fn optional_text(&self, key: &str) -> Option<Written<'s>> {
        self.text(key, self.optional(key)?)
    }

    /// `node` as text; empty text is a fault.
    pub(crate) fn text(&self, key: &str, node: &'s Node) -> Option<Written<'s>> {
        let Value::Text(text) = &node.value else {
            self.sheet.wrong_type(node, key, "a string");
            return None;
        };
        if text.is_empty() {
            let message = format!("`{key}` is empty");
            self.sheet.fault(
                node.place,
                "EmptyText",
                message,
                "write a value, or remove the key",
            );
            return None;
        }
        Some(Written {
            place: node.place,
            text,
        })
    }

    /// The items of a list that must be there.
    pub(crate) fn required_list(&self, key: &str) -> Option<&'s [Node]> {
        self.list(key, self.required(key)?)
    }

    /// The items of a list that may be missing.
    pub(crate) fn optional_list(&self, key: &str) -> Option<&'s [Node]> {
        self.list(key, self.optional(key)?)
    }

    fn list(&self, key: &str, node: &'s Node) -> Option<&'s [Node]> {
        let Value::List(items) = &node.value else {
            self.sheet.wrong_type(node, key, "a list");
            return None;
        };
        Some(items)
    }

    /// True or false; `missing` when the key is not there.
    pub(crate) fn flag(&self, key: &str, missing: bool) -> Option<bool> {
        let Some(node) = self.optional(key) else {
            return Some(missing);
        };
        let Value::Bool(flag) = node.value else {
            self.sheet.wrong_type(node, key, "true or false");
            return None;
        };
        Some(flag)
    }

    /// An address to listen on.
    pub(crate) fn listen_address(&self, key: &str) -> Option<SocketAddr> {
        let written = self.required_text(key)?;
        self.sheet
            .accept(written.place, scalar::listen_address(written.text))
    }

    /// `certificateFile` and `keyFile`, read and checked once.
    pub(crate) fn key_pair(&self, purpose: Purpose) -> Option<Material<KeyPair>> {
        self.key_pair_at("certificateFile", "keyFile", purpose)
    }

    /// A chain and its key under these two keys, read and checked once.
    pub(crate) fn key_pair_at(
        &self,
        certificate_key: &str,
        key_key: &str,
        purpose: Purpose,
    ) -> Option<Material<KeyPair>> {
        let (certificate, key) = (
            self.required_text(certificate_key),
            self.required_text(key_key),
        );
        let (certificate, key) = (certificate?, key?);
        let (certificate_file, key_file) = (
            self.sheet.resolve(certificate.text),
            self.sheet.resolve(key.text),
        );
        let material = KeyPair::material(certificate_file, key_file.clone(), purpose);
        let read = material.read();
        let of_key = read.as_ref().is_err_and(|fault| fault.file == key_file);
        let place = if of_key { key.place } else { certificate.place };
        self.sheet.accept_referenced(place, read)?;
        Some(material)
    }

    /// A bundle of authorities, read and checked once.
    pub(crate) fn anchors(&self, key: &str) -> Option<Material<Anchors>> {
        let written = self.required_text(key)?;
        let material = Anchors::material(self.sheet.resolve(written.text));
        self.sheet
            .accept_referenced(written.place, material.read())?;
        Some(material)
    }

    /// One of a few words; `missing` when the key is not there.
    pub(crate) fn word<T: Copy>(&self, key: &str, words: &[(&str, T)], missing: T) -> Option<T> {
        if self.optional(key).is_none() {
            return Some(missing);
        }
        let written = self.optional_text(key)?;
        if let Some((_, meant)) = words.iter().find(|(word, _)| *word == written.text) {
            return Some(*meant);
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let remedy = match nearest(written.text, &known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("write {}", listed(&known)),
        };
        let message = format!("`{key}` cannot be {}", quoted(written.text));
        self.sheet
            .fault(written.place, "UnknownWord", message, remedy);
        None
    }
}
