//! `Secret`: taken so that a directory of manifests need not be sorted; nothing refers to one yet, so it
//! is only checked. No value ever appears in a message.

use crate::encoding;
use crate::pem::{PemComplaint, told};
use crate::scalar::{Complaint, quoted};
use crate::section::Section;
use crate::sheet::Sheet;
use crate::suggestion::listed;
use crate::yaml::{Node, Value};

const KEYS: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "type",
    "data",
    "stringData",
    "immutable",
];
const TYPES: &[&str] = &["Opaque", "kubernetes.io/tls"];

/// A valid Secret. Its content is not kept, because nothing uses it.
#[derive(Clone, Debug)]
pub struct Secret {
    /// The keys it has, sorted.
    pub keys: Vec<String>,
}

pub(super) fn read(sheet: &Sheet<'_>, root: &Node) -> Option<Secret> {
    let section = sheet.section(root, "a Secret", KEYS)?;
    section.flag("immutable", false);
    let is_tls = is_tls(&section);
    let mut values = Vec::new();
    for (key, decode) in [("data", true), ("stringData", false)] {
        if let Some(node) = section.optional(key) {
            values.extend(contents(sheet, node, key, decode)?);
        }
    }
    if is_tls? {
        check_key_pair(&section, &values);
    }
    let mut keys: Vec<String> = values.into_iter().map(|(key, _)| key).collect();
    keys.sort();
    keys.dedup();
    Some(Secret { keys })
}

fn is_tls(section: &Section<'_>) -> Option<bool> {
    if section.optional("type").is_none() {
        return Some(false);
    }
    let written = section.optional_text("type")?;
    if !TYPES.contains(&written.text) {
        let message = format!(
            "Secrets of type {} are not read from files",
            quoted(written.text)
        );
        let remedy = format!("put only {} here", listed(TYPES));
        section
            .sheet
            .fault(written.place, "UnknownSecretType", message, remedy);
        return None;
    }
    Some(written.text == "kubernetes.io/tls")
}

fn contents(
    sheet: &Sheet<'_>,
    node: &Node,
    what: &str,
    decode: bool,
) -> Option<Vec<(String, Vec<u8>)>> {
    let section = sheet.open_section(node, &format!("`{what}`"))?;
    let mut values = Vec::new();
    for (key, node) in section.entries() {
        // Kubernetes takes an empty value.
        let text = match &node.value {
            Value::Text(text) => text.as_str(),
            Value::Null => "",
            Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Mapping(_) => {
                section.text(&key.name, node)?.text
            }
        };
        let bytes = if decode {
            sheet.accept(node.place, encoding::base64(&key.name, text))?
        } else {
            text.as_bytes().to_vec()
        };
        values.push((key.name.clone(), bytes));
    }
    Some(values)
}

fn check_key_pair(section: &Section<'_>, values: &[(String, Vec<u8>)]) {
    let value = |name: &str| {
        let found = values
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, bytes)| bytes);
        if found.is_none() {
            let message = format!("a Secret of type kubernetes.io/tls lacks `{name}`");
            section
                .sheet
                .fault(section.place, "MissingKey", message, "add it");
        }
        found
    };
    let (certificate, key) = (value("tls.crt"), value("tls.key"));
    let (Some(certificate), Some(key)) = (certificate, key) else {
        return;
    };
    let certificates = gangplank_pki::pem::certificates(certificate)
        .map_err(|fault| PemComplaint::from(fault).inside("tls.crt"));
    let certificates = section.sheet.accept(section.place, certificates);
    let key = gangplank_pki::pem::private_key(key)
        .map_err(|fault| PemComplaint::from(fault).inside("tls.key"));
    let key = section.sheet.accept(section.place, key);
    if let (Some([leaf, ..]), Some(key)) = (certificates.as_deref(), key) {
        let matches = gangplank_pki::pem::key_matches(leaf, &key).map_err(|fault| {
            let (message, remedy) = told(&fault, "take both of the same issuance");
            Complaint {
                reason: fault.reason(),
                message,
                remedy,
            }
        });
        section.sheet.accept(section.place, matches);
    }
}
