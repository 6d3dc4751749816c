//! Distinguished names as text for people: bounded, and safe to print whatever is in them.

use std::fmt::Write as _;

use x509_parser::asn1_rs::Tag;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Longest text made of a name, in bytes; a certificate may carry 64 KiB of it, a log line may not.
const LONGEST: usize = 256;

/// A name as `CN=ca, O=Example`, in the order of the certificate. What is not printable ASCII is
/// escaped, and a long text is cut and ends in `…`.
pub(crate) fn text(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    for attribute in name.iter_attributes() {
        if text.len() > LONGEST {
            break;
        }
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&key(attribute));
        text.push('=');
        append_value(&mut text, attribute);
    }
    if text.len() > LONGEST {
        text.truncate(LONGEST); // ASCII only up to here
        text.push('…');
    }
    text
}

fn key(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type().to_id_string();
    let short = match oid.as_str() {
        "2.5.4.3" => "CN",
        "2.5.4.5" => "SERIALNUMBER",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "EMAIL",
        _ => return oid,
    };
    short.to_owned()
}

fn append_value(text: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let value = attribute.attr_value();
    let readable = matches!(
        value.tag(),
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String
    );
    if !readable {
        text.push('#');
    }
    for byte in value.data.iter().take(LONGEST) {
        // Writing to a String cannot fail.
        let _written = match byte {
            b' '..=b'~' if readable && !matches!(byte, b'\\' | b',') => {
                text.push(char::from(*byte));
                Ok(())
            }
            _ if readable => write!(text, "\\{byte:02x}"),
            _ => write!(text, "{byte:02x}"),
        };
    }
}
