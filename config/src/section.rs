//! One mapping of a file being read, key by key.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use crate::fault::Place;
use crate::material::{Anchors, KeyPair, KeySet, Material, Purpose};
use crate::scalar::{self, quoted};
use crate::sheet::Sheet;
use crate::suggestion::{listed, nearest};
use crate::yaml::{Key, Node, Value};

/// A mapping of a [`Sheet`].
pub(crate) struct Section<'s> {
    pub(crate) sheet: &'s Sheet<'s>,
    /// Where the mapping begins.
    pub(crate) place: Place,
    what: String,
    entries: &'s [(Key, Node)],
    /// Known keys that were written wrongly; that they are missing need not be told as well.
    pub(crate) slips: Vec<&'static str>,
}

/// Text and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Written<'s> {
    pub(crate) place: Place,
    pub(crate) text: &'s str,
}

impl<'s> Section<'s> {
    pub(crate) fn new(
        sheet: &'s Sheet<'s>,
        place: Place,
        what: &str,
        entries: &'s [(Key, Node)],
    ) -> Self {
        Self {
            sheet,
            place,
            what: what.to_owned(),
            entries,
            slips: Vec::new(),
        }
    }

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
        let entry = self.entries.iter().find(|(written, _)| written.name == key);
        match entry {
            Some((_, node)) if !matches!(node.value, Value::Null) => return Some(node),
            Some((written, _)) => {
                let message = format!("`{key}` has no value");
                self.sheet
                    .fault(written.place, "MissingValue", message, "write one");
            }
            None if self.slips.contains(&key) => {}
            None => {
                let message = format!("{} lacks the key `{key}`", self.what);
                self.sheet
                    .fault(self.place, "MissingKey", message, "add it");
            }
        }
        None
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
        self.sheet
            .section(self.required(key)?, &format!("`{key}`"), known)
    }

    /// The section under a key that may be missing.
    pub(crate) fn optional_section(
        &self,
        key: &'static str,
        known: &[&'static str],
    ) -> Option<Self> {
        self.sheet
            .section(self.optional(key)?, &format!("`{key}`"), known)
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
            self.wrong_type(node, key, "a string");
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

    fn wrong_type(&self, node: &Node, key: &str, expected: &str) {
        self.sheet.wrong_type(node, &format!("`{key}`"), expected);
    }

    fn list(&self, key: &str, node: &'s Node) -> Option<&'s [Node]> {
        let Value::List(items) = &node.value else {
            self.wrong_type(node, key, "a list");
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
            self.wrong_type(node, key, "true or false");
            return None;
        };
        Some(flag)
    }

    /// A whole number within `range`; `missing` when the key is not there.
    pub(crate) fn number(
        &self,
        key: &str,
        range: RangeInclusive<u64>,
        missing: u64,
    ) -> Option<u64> {
        let Some(node) = self.optional(key) else {
            return Some(missing);
        };
        let Value::Number(number) = node.value else {
            self.wrong_type(node, key, "a number");
            return None;
        };
        let within = number.filter(|number| range.contains(number));
        if within.is_none() {
            let (start, end) = (range.start(), range.end());
            let message = format!("`{key}` is not a whole number from {start} to {end}");
            let remedy = format!("write one, such as `{missing}`");
            self.sheet.fault(node.place, "OutOfRange", message, remedy);
        }
        within
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

    /// A chain and its key in one file under `key`, read and checked once.
    pub(crate) fn key_pair_of_one_file(
        &self,
        key: &str,
        purpose: Purpose,
    ) -> Option<Material<KeyPair>> {
        let written = self.required_text(key)?;
        let file = self.sheet.resolve(written.text);
        let material = KeyPair::material_of_one_file(file, purpose);
        self.sheet
            .accept_referenced(written.place, material.read())?;
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

    /// The keys of an issuer, read and checked once.
    pub(crate) fn key_set(&self, key: &str) -> Option<Material<KeySet>> {
        let written = self.required_text(key)?;
        let material = KeySet::material(self.sheet.resolve(written.text));
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
